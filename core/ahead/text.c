/* Values, expressions and effects as C. */
#include "ahead/writer.h"
#include <stdarg.h>
#include <stdlib.h>

void put(writer *w, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vfprintf(w->to, format, args);
    va_end(args);
}

void put_value(writer *w, int v) {
    uint8_t space = insn(w, v)->space;
    put(w,
        w->columns || space & TIDE_AXIS_R || space == TIDE_ONE ? "v%d"
        : w->kept || w->shorts                                 ? "h%d[i]"
                                                               : "x%d",
        v);
}

static void put_address(writer *w, int arg) {
    int size = arg_size(w, arg);
    if (w->shorts && w->p->arg[arg].space == TIDE_POINT)
        put(w, "(q->arg[%d].base + (k + i) * q->arg[%d].k + r * q->arg[%d].r)", arg, arg, arg);
    else if (w->shorts && w->p->arg[arg].space == TIDE_REDUCED)
        put(w, "(q->arg[%d].base + r * q->arg[%d].r)", arg, arg);
    else if (w->columns && w->p->arg[arg].space == TIDE_REDUCED)
        put(w, "a%d", arg);
    else if (w->columns && w->p->arg[arg].space == TIDE_POINT)
        put(w, "(a%d + %d * i)", arg, size);
    else if (w->columns && w->p->arg[arg].space)
        put(w, "(q->arg[%d].base + (k + i) * %d)", arg, size);
    else if (w->p->arg[arg].space & TIDE_AXIS_R)
        put(w, "(a%d + %d * r)", arg, size);
    else if (w->p->arg[arg].space)
        put(w, "(q->arg[%d].base + (k + i) * q->arg[%d].k)", arg, arg);
    else
        put(w, "q->arg[%d].base", arg);
}

static void put_form(writer *w, const tide_insn *i, const char *form) {
    const uint16_t operand[3] = {i->a, i->b, i->c};
    for (; *form; form++) {
        if (*form != '$') {
            put(w, "%c", *form);
            continue;
        }
        int k = *++form - 'a';
        if ((i->op == TIDE_P_LOAD && k == 0) || (i->op == TIDE_P_STORE && k == 1))
            put_address(w, operand[k]);
        else
            put_value(w, operand[k]);
    }
}

static void put_bits(writer *w, int type, const char *of, int which) {
    switch (type) {
    case TIDE_RF32: put(w, "tide_from_bits_f32((uint32_t)q->%s[%d])", of, which); return;
    case TIDE_RF64: put(w, "tide_from_bits_f64(q->%s[%d])", of, which); return;
    default: put(w, "(%s)q->%s[%d]", tide_c_type[type], of, which);
    }
}

void put_expression(writer *w, int v) {
    const tide_insn *i = insn(w, v);
    char form[TIDE_FORM];
    switch (i->op) {
    case TIDE_P_CONST: put_bits(w, i->type, "konst", i->a); return;
    case TIDE_P_SIZE_K: put(w, "q->K"); return;
    case TIDE_P_SIZE_R: put(w, "q->R"); return;
    case TIDE_P_INDEX_K: put(w, "k + i"); return;
    case TIDE_P_INDEX_R: put(w, "r"); return;
    case TIDE_P_LOAD: put_form(w, i, tide_c_load[w->p->arg[i->a].dtype]); return;
    case TIDE_P_SLOT: {
        int type = w->p->slot[i->a].is_float ? TIDE_RF64 : TIDE_RI64;
        const char *c = tide_c_conversion(i->type, type), *a = strstr(c, "$a");
        put(w, "%.*s", (int)(a - c), c);
        put_bits(w, type, "slot", i->a);
        put(w, "%s", a + 2);
        return;
    }
    default: break;
    }
    if (!tide_insn_form(w->p, (tide_val)v, form)) {
        fprintf(stderr, "ahead: %s has no expression\n", tide_insn_name[i->op]);
        exit(1);
    }
    put_form(w, i, form);
}

void put_effect(writer *w, int v, const char *indent) {
    const tide_insn *i = insn(w, v);
    put(w, "%s", indent);
    if (i->op == TIDE_P_STORE) {
        put_form(w, i, tide_c_store[w->p->arg[i->b].dtype]);
    } else {
        put(w, "bad |= (uint32_t)!");
        put_value(w, i->a);
        put(w, " << %d", i->b);
    }
    put(w, ";\n");
}

void put_scalars(writer *w) {
    for (int v = 0; v < w->p->n; v++) {
        if (insn(w, v)->space != TIDE_ONE || kind(w, v) == 'E') continue;
        put(w, "    const %s v%d = ", c_type(w, v), v);
        put_expression(w, v);
        put(w, ";\n");
    }
}
