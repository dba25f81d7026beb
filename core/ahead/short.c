/* Short rows, for classes and the like: sixteen rows at a time, side by side, so that a row's number is the
 * inner loop. Arguments may lie as they like. Passes are those of rows.c, with a buffer for all that is
 * reduced. */
#include "ahead/writer.h"

static void put_short_loop(writer *w, int pass) {
    put(w, "        for (int64_t r = 0; r < R; r++) {\n"
           "            EACH (int64_t i = 0; i < g; i++) {\n");
    for (int v = 0; v < w->p->n; v++) {
        if (!w->needed[v]) continue;
        put(w, "                const %s v%d = ", c_type(w, v), v);
        if (w->first[v] < pass && w->buffer[v] >= 0)
            put(w, "b%d[r * TIDE_AHEAD_ROWS + i]", v);
        else
            put_expression(w, v);
        put(w, ";\n");
        if (w->first[v] == pass && w->buffer[v] >= 0)
            put(w, "                b%d[r * TIDE_AHEAD_ROWS + i] = v%d;\n", v, v);
    }
    for (int v = 0; v < w->p->n; v++)
        if (stores(w, v, true) && pass == w->last) put_effect(w, v, "                ");
    put(w, "            }\n        }\n");
}

static void put_short_pass(writer *w, int pass) {
    mark_pass(w, pass);
    bool any = pass == w->last;
    for (int v = 0; v < w->p->n; v++) any |= w->needed[v];
    if (any) put_short_loop(w, pass);
    for (int v = 0; v < w->p->n; v++) {
        if (kind(w, v) != 'R' || w->level[v] != pass + 1) continue;
        static const char *const name[] = {"sum", "prod", "max", "min"};
        put(w, "        short_%s_%s(h%d, b%d, R);\n", name[insn(w, v)->op - TIDE_P_SUM],
            tide_c_suffix[insn(w, v)->type], v, insn(w, v)->a);
    }
}

void put_short(writer *w) {
    put(w, "    const int64_t R = q->R;\n"
           "    for (int64_t k = q->begin; k < q->end; k += TIDE_AHEAD_ROWS) {\n"
           "        const int64_t g = q->end - k < TIDE_AHEAD_ROWS ? q->end - k : TIDE_AHEAD_ROWS;\n");
    put_kept_arrays(w);
    for (int v = 0; v < w->p->n; v++)
        if (w->buffer[v] >= 0)
            put(w, "        %s *b%d = (%s *)(q->buffer + TIDE_AHEAD_ROWS * R * %d);\n", c_type(w, v), v,
                c_type(w, v), w->buffer[v]);
    for (int pass = 0; pass < w->npass; pass++) {
        put_kept(w, pass);
        put_short_pass(w, pass);
    }
    put_kept(w, w->npass);
    put_ends(w);
    put(w, "    }\n");
}
