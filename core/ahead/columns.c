/* Reductions by columns: K is dense, R is not. Rows come lane by lane, each added to the sums of its lane, one
 * number a column; the sums of lanes wait on a stack for their partners in the tree of program.h. */
#include "ahead/write.h"

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

void put_columns(writer *w) {
    const tide_prog *p = w->p;
    w->columns = true;
    put(w, "    const int64_t R = q->R;\n"
           "    for (int64_t k = q->begin; k < q->end; k += q->group) {\n"
           "        const int64_t g = q->end - k < q->group ? q->end - k : q->group;\n");
    int at = 0;
    for (int v = 0; v < p->n; v++) {
        if (kind(w, v) != 'R') continue;
        put(w, "        %s *top%d = (%s *)(q->buffer + q->group * %d);\n", c_type(w, v), v, c_type(w, v), at);
        at += TIDE_AHEAD_STACK * type_size(w, v);
    }
    put(w, "        for (int64_t j = 0; j < TIDE_LANES; j++) {\n"
           "            for (int64_t row = lane_of(j); row < R; row += TIDE_LANES) {\n"
           "                const int64_t next = row + TIDE_LANES < R ? row + TIDE_LANES : lane_of(j + 1);\n");
    for (int a = 0; a < p->narg; a++) {
        if (a >= p->nin || !(p->arg[a].space & TIDE_AXIS_R)) continue;
        int size = arg_size(w, a);
        put(w, "                const char *a%d = q->arg[%d].base + row * q->arg[%d].r", a, a, a);
        put(w, p->arg[a].space & TIDE_AXIS_K ? " + k * %d;\n" : ";\n", size);
        if (p->arg[a].space & TIDE_AXIS_K)
            put(w, "                look_ahead(a%d + (next - row) * q->arg[%d].r, g * %d);\n", a, a, size);
    }
    put_column_values(w, true, "                ");
    for (int first = 1; first >= 0; first--) {
        put(w, first ? "                if (row < TIDE_LANES) {\n" : "                } else {\n");
        put(w, "                EACH (int64_t i = 0; i < g; i++) {\n");
        put_column_values(w, false, "                    ");
        for (int v = 0; v < p->n; v++) {
            if (kind(w, v) != 'R') continue;
            char a[32], b[32];
            snprintf(a, sizeof a, "top%d[i]", v);
            snprintf(b, sizeof b, "v%d", insn(w, v)->a);
            put(w, "                    top%d[i] = ", v);
            if (first)
                put(w, "%s", b);
            else
                put_combined(w, v, a, b);
            put(w, ";\n");
        }
        put(w, "                }\n");
    }
    put(w, "                }\n            }\n");
    put(w, "            for (int64_t m = j; m & 1; m >>= 1) {\n"
           "                EACH (int64_t i = 0; i < g; i++) {\n");
    for (int v = 0; v < p->n; v++) {
        if (kind(w, v) != 'R') continue;
        char a[64], b[32];
        snprintf(a, sizeof a, "top%d[i - q->group]", v);
        snprintf(b, sizeof b, "top%d[i]", v);
        put(w, "                    %s = ", a);
        put_combined(w, v, a, b);
        put(w, ";\n");
    }
    put(w, "                }\n");
    for (int v = 0; v < p->n; v++)
        if (kind(w, v) == 'R') put(w, "                top%d -= q->group;\n", v);
    put(w, "            }\n");
    for (int v = 0; v < p->n; v++)
        if (kind(w, v) == 'R') put(w, "            top%d += q->group;\n", v);
    put(w, "        }\n");
    put(w, "        EACH (int64_t i = 0; i < g; i++) {\n");
    for (int v = 0; v < p->n; v++) {
        const tide_insn *i = insn(w, v);
        if (kind(w, v) == 'E') {
            put_effect(w, v, "            ");
        } else if (i->space == TIDE_KEPT) {
            put(w, "            const %s v%d = ", c_type(w, v), v);
            if (kind(w, v) == 'R')
                put(w, "top%d[i - q->group]", v);
            else
                put_expression(w, v);
            put(w, ";\n");
        }
    }
    put(w, "        }\n    }\n");
    w->columns = false;
}
