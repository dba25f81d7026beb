/* Reductions by columns: K is dense, R is not. What device/cpu/ahead.c does with the functions: a row is added
 * to the sums of its lane, one number a column, lanes to each other, and the last sums are stored. */
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

static const char *const combined[4] = {"%s + %s", "%s * %s", "tide_max_%s(%s, %s)", "tide_min_%s(%s, %s)"};
static void put_combined(writer *w, int v, const char *a, const char *b) {
    int op = insn(w, v)->op - TIDE_P_SUM;
    const char *type = tide_c_suffix[insn(w, v)->type];
    char text[128];
    if (op < 2)
        snprintf(text, sizeof text, combined[op], a, b); /* NOLINT */
    else
        snprintf(text, sizeof text, combined[op], type, a, b); /* NOLINT */
    put(w, "%s", text);
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
            char a[32], b[32];
            snprintf(a, sizeof a, "s%d[i]", v);
            snprintf(b, sizeof b, "v%d", insn(w, v)->a);
            put(w, "            s%d[i] = ", v);
            if (first)
                put(w, "%s", b);
            else
                put_combined(w, v, a, b);
            put(w, ";\n");
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
        char a[32], b[32];
        snprintf(a, sizeof a, "s%d[i]", v);
        snprintf(b, sizeof b, "t%d[i]", v);
        put(w, "        %s = ", a);
        put_combined(w, v, a, b);
        put(w, ";\n");
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
