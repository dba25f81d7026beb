/* Reductions by columns: K is dense, R is not. What device/cpu/vm_ahead.c does with the functions: a row is
 * added to the sums of its lane, one number a column, lanes to each other, and the last sums are stored. */
#include "ahead/writer.h"

/* One pass of reductions, nothing stored for each element. */
bool has_columns(const writer *w) {
    bool any = !w->flat && w->npass == 1;
    for (int v = 0; v < w->p->n; v++)
        any = any && !stores(w, v, true) && insn(w, v)->op != TIDE_P_CHECK &&
              insn(w, v)->op != TIDE_P_INDEX_K && insn(w, v)->op != TIDE_P_INDEX_R;
    return any;
}

/* The columns' numbers: what varies along K is an element of the loop over k, what varies along R alone a
 * number of the row. */
static void put_column_values(writer *w, bool rows, const char *indent) {
    for (int v = 0; v < w->p->n; v++) {
        const tide_insn *i = insn(w, v);
        bool of_row = i->space == TIDE_REDUCED;
        if (i->space == TIDE_ONE || w->level[v] > 0 || kind(w, v) == 'E' || of_row != rows) continue;
        put(w, "%sconst %s v%d = ", indent, c_type(w, v), v);
        put_expression(w, v);
        put(w, ";\n");
    }
}

/* Combines the sums of reduction v with numbers of another name. */
static void put_combined(writer *w, int v, char name, int number, const char *index) {
    int op = insn(w, v)->op;
    if (op == TIDE_P_SUM || op == TIDE_P_PROD)
        put(w, "s%d[i] = s%d[i] %c %c%d%s;\n", v, v, op == TIDE_P_SUM ? '+' : '*', name, number, index);
    else
        put(w, "s%d[i] = tide_%s_%s(s%d[i], %c%d%s);\n", v, op == TIDE_P_MAXR ? "max" : "min",
            tide_c_suffix[insn(w, v)->type], v, name, number, index);
}

/* Names of the reductions' sums in a set. */
static void put_sums(writer *w, const char *type, char name, const char *set) {
    int at = 0;
    for (int v = 0; v < w->p->n; v++) {
        if (kind(w, v) != 'R') continue;
        put(w, "    %s%s *%c%d = (%s%s *)(%s + q->group * %d);\n", type, c_type(w, v), name, v, type,
            c_type(w, v), set, at);
        at += type_size(w, v);
    }
}

static void put_add(writer *w, const char *name) {
    const tide_prog *p = w->p;
    put(w,
        "static void a%s(const tide_ahead_call *q, int64_t k, int64_t n, int64_t row, bool first, char *sums) "
        "{\n",
        name);
    put_scalars(w);
    put_sums(w, "", 's', "sums");
    for (int a = 0; a < p->nin; a++) {
        if (!(p->arg[a].space & TIDE_AXIS_R)) continue;
        put(w, "    const char *a%d = q->arg[%d].base + row * q->arg[%d].r", a, a, a);
        put(w, p->arg[a].space & TIDE_AXIS_K ? " + k * %d;\n" : ";\n", arg_size(w, a));
    }
    put_column_values(w, true, "    ");
    for (int first = 1; first >= 0; first--) {
        put(w, first ? "    if (first) {\n" : "    } else {\n");
        put(w, "        EACH (int64_t i = 0; i < n; i++) {\n");
        put_column_values(w, false, "            ");
        for (int v = 0; v < p->n; v++) {
            if (kind(w, v) != 'R') continue;
            put(w, "            ");
            if (first)
                put(w, "s%d[i] = v%d;\n", v, insn(w, v)->a);
            else
                put_combined(w, v, 'v', insn(w, v)->a, "");
        }
        put(w, "        }\n");
    }
    put(w, "    }\n}\n\n");
}

static void put_merge(writer *w, const char *name) {
    put(w, "static void m%s(const tide_ahead_call *q, int64_t n, char *sums, const char *more) {\n", name);
    put_sums(w, "", 's', "sums");
    put_sums(w, "const ", 't', "more");
    put(w, "    EACH (int64_t i = 0; i < n; i++) {\n");
    for (int v = 0; v < w->p->n; v++) {
        if (kind(w, v) != 'R') continue;
        put(w, "        ");
        put_combined(w, v, 't', v, "[i]");
    }
    put(w, "    }\n}\n\n");
}

static void put_finish(writer *w, const char *name) {
    put(w, "static void f%s(const tide_ahead_call *q, int64_t k, int64_t n, const char *sums) {\n", name);
    put_scalars(w);
    put_sums(w, "const ", 's', "sums");
    put(w, "    EACH (int64_t i = 0; i < n; i++) {\n");
    for (int v = 0; v < w->p->n; v++) {
        const tide_insn *i = insn(w, v);
        if (kind(w, v) == 'E') {
            put_effect(w, v, "        ");
        } else if (i->space == TIDE_KEPT) {
            put(w, "        const %s v%d = ", c_type(w, v), v);
            if (kind(w, v) == 'R')
                put(w, "s%d[i]", v);
            else
                put_expression(w, v);
            put(w, ";\n");
        }
    }
    put(w, "    }\n}\n\n");
}

void put_columns(writer *w, const char *name) {
    w->columns = true;
    put_add(w, name);
    put_merge(w, name);
    put_finish(w, name);
    w->columns = false;
}
