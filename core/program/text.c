/* A program as text, for people. */
#include "program/program.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

typedef struct {
    char *at;
    size_t left, want;
} out_t;

static void put(out_t *o, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(o->at, o->left, format, ap);
    va_end(ap);
    if (n < 0) return;
    o->want += (size_t)n;
    size_t step = (size_t)n < o->left ? (size_t)n : (o->left ? o->left - 1 : 0);
    o->at += step;
    o->left -= step;
}

static const char *const reg_name[TIDE_NREG] = {"f32", "f64", "i32", "i64", "mask"};
static const char *const space_name[4] = {"one", "kept", "reduced", "point"};
static const char *const dtype_name[] = {"?",     "float32", "float64", "float16", "bfloat16",
                                         "int64", "int32",   "int8",    "uint8",   "bool"};

static void constant(out_t *o, int type, uint64_t bits) {
    float f;
    double d;
    switch (type) {
    case TIDE_RF32:
        memcpy(&f, &bits, sizeof f);
        put(o, "%.9g", (double)f);
        break;
    case TIDE_RF64:
        memcpy(&d, &bits, sizeof d);
        put(o, "%.17g", d);
        break;
    case TIDE_RI32: put(o, "%" PRId32, (int32_t)bits); break;
    case TIDE_RI64: put(o, "%" PRId64, (int64_t)bits); break;
    default: put(o, bits ? "true" : "false"); break;
    }
}

size_t tide_prog_text(const tide_prog *p, char *buffer, size_t n) {
    out_t o = {buffer, n, 0};
    if (n) *buffer = 0;
    for (int64_t v = 0; v < p->n; v++) {
        const tide_insn *i = &p->insn[v];
        char name[16];
        int c = 0;
        for (const char *s = tide_insn_name[i->op]; *s && c < 15; s++)
            name[c++] = (char)(*s >= 'A' && *s <= 'Z' ? *s + 32 : *s);
        name[c] = 0;
        if (i->op == TIDE_P_STORE) {
            put(&o, "     store y%d %s %%%d\n", i->b - p->nin, dtype_name[p->arg[i->b].dtype], i->a);
            continue;
        }
        if (i->op == TIDE_P_CHECK) {
            put(&o, "     check %%%d \"%s\"\n", i->a, p->check[i->b]);
            continue;
        }
        put(&o, "%%%-3d %-4s %-7s = ", (int)v, reg_name[i->type], space_name[i->space & 3]);
        switch (i->op) {
        case TIDE_P_LOAD: put(&o, "load x%d %s", i->a, dtype_name[p->arg[i->a].dtype]); break;
        case TIDE_P_CONST: constant(&o, i->type, p->konst[i->a]); break;
        case TIDE_P_SLOT: put(&o, "slot %d", i->a); break;
        case TIDE_P_RANDOM: put(&o, "random %%%d", i->a); break;
        case TIDE_P_ROUND_TO: put(&o, "round_to %%%d %s", i->a, dtype_name[i->aux]); break;
        default:
            put(&o, "%s", name);
            if (tide_insn_kind[i->op] == 'R') put(&o, "%s", i->aux == TIDE_AXIS_K ? "_k" : "_r");
            for (int a = 0; a < tide_insn_nargs[i->op]; a++)
                put(&o, " %%%d", a == 0 ? i->a : a == 1 ? i->b : i->c);
        }
        put(&o, "\n");
    }
    return o.want;
}
