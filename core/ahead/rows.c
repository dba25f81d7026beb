/* Flat pieces, and those with reductions by rows: a few rows at a time, pass by pass. What a pass reduces is
 * left in a buffer, the machine's own reduction makes one number a row of it, and the numbers of the rows (h)
 * go into the next pass. A value that a later pass needs is found in its buffer if it has one, and computed
 * again otherwise. */
#include "ahead/writer.h"

/* ---- passes ---- */

/* Sooner computed again than kept. */
static bool cheap(const tide_insn *i) {
    switch (i->op) {
    case TIDE_P_LOAD:
    case TIDE_P_CVT:
    case TIDE_P_HOLD:
    case TIDE_P_NEG:
    case TIDE_P_ABS:
    case TIDE_P_ADD:
    case TIDE_P_SUB:
    case TIDE_P_MUL:
    case TIDE_P_FMA:
    case TIDE_P_INDEX_K:
    case TIDE_P_INDEX_R: return true;
    default: return tide_insn_kind[i->op] == 'S' || tide_insn_kind[i->op] == 'C';
    }
}

static bool reduces(const writer *w, int64_t v, int pass) {
    return kind(w, v) == 'R' && w->level[v] == pass + 1;
}
/* The reduction takes it from memory itself. */
static bool reduced_in_place(const writer *w, int64_t v) {
    return !w->shorts && is_load(w, v) && w->p->arg[insn(w, v)->a].dtype == TIDE_F32;
}

static void give_buffer(writer *w, int64_t v) {
    if (w->buffer[v] >= 0) return;
    w->buffer[v] = (int16_t)w->buffers;
    w->buffers += type_size(w, v);
}

static void need(writer *w, int64_t v, int pass) {
    if (w->needed[v] || !along_r(w, v)) return;
    w->needed[v] = 1;
    bool before = w->first[v] >= 0 && w->first[v] < pass;
    if (w->first[v] < 0) w->first[v] = (int8_t)pass;
    if (before && !cheap(insn(w, v))) give_buffer(w, v);
    if (before && w->buffer[v] >= 0) return;
    uint16_t u[3];
    for (int k = 0, n = operands(w, v, u); k < n; k++) need(w, u[k], pass);
}

/* Marks what a pass computes or finds. */
void mark_pass(writer *w, int pass) {
    memset(w->needed, 0, sizeof w->needed);
    for (int64_t v = 0; v < w->p->n; v++) {
        const tide_insn *i = insn(w, v);
        if (reduces(w, v, pass) && !reduced_in_place(w, i->a)) {
            need(w, i->a, pass);
            give_buffer(w, i->a);
        }
        if (stores(w, v, true) && pass == w->last) need(w, i->a, pass);
    }
}

void find_passes(writer *w) {
    for (int pass = 0; pass < w->npass; pass++) mark_pass(w, pass);
}

/* ---- loops ---- */

/* The loop over R (FLAT: over all) of what is marked. */
static void put_loop(writer *w, int pass, const char *from, const char *end, const char *indent) {
    put(w, "%sEACH (int64_t r = %s; r < %s; r++) {\n", indent, from, end);
    char more[32];
    snprintf(more, sizeof more, "%s    ", indent);
    for (int v = 0; v < w->p->n; v++) {
        if (!w->needed[v] || !along_r(w, v) || kind(w, v) == 'E') continue;
        const char *type = c_type(w, v);
        put(w, "%sconst %s v%d = ", more, type, v);
        if (w->first[v] < pass && w->buffer[v] >= 0)
            put(w, "b%d[r]", v);
        else
            put_expression(w, v);
        put(w, ";\n");
        if (w->first[v] == pass && w->buffer[v] >= 0) put(w, "%sb%d[r] = v%d;\n", more, v, v);
    }
    for (int v = 0; v < w->p->n; v++)
        if (stores(w, v, true) && pass == w->last) put_effect(w, v, more);
    put(w, "%s}\n", indent);
}

/* Does the loop of this pass use argument a? */
static bool uses(const writer *w, int a, int pass) {
    for (int v = 0; v < w->p->n; v++) {
        const tide_insn *i = insn(w, v);
        if (w->needed[v] && is_load(w, v) && i->a == a) return true;
        if (i->op == TIDE_P_STORE && i->b == a && stores(w, v, true) && pass == w->last) return true;
    }
    return false;
}

/* Where the row of an argument begins. */
static void put_begin(writer *w, int arg) {
    put(w, "q->arg[%d].base", arg);
    if (!w->flat && w->p->arg[arg].space & TIDE_AXIS_K) put(w, " + (k + i) * q->arg[%d].k", arg);
}

/* What takes one loop is as fast without. */
bool may_stream(const writer *w, int arg) {
    return !w->flat && arg >= w->p->nin && w->p->arg[arg].dtype == TIDE_F32 &&
           w->p->arg[arg].space == TIDE_POINT;
}

static void put_pointers(writer *w, int pass, const char *indent) {
    for (int a = 0, stage = 0; a < w->p->narg; a++) {
        if (!(w->p->arg[a].space & TIDE_AXIS_R) || !uses(w, a, pass)) continue;
        put(w, may_stream(w, a) ? "%schar *a%d = computed_at(q, %d, " : "%schar *a%d = ", indent, a, a);
        put_begin(w, a);
        if (may_stream(w, a)) put(w, ", R, %d)", stage++);
        put(w, ";\n");
    }
}

/* Asks for rows to come: for one argument in each pass, so that memory is busy in all of them. What is reduced
 * in place is asked for in the second pass (softmax of 16 MiB: 2.6 -> 2.2 ms); an only pass looks ahead itself.
 */
static void put_look_ahead(writer *w, int pass) {
    for (int v = 0, turn = 0; v < w->p->n; v++) {
        int arg = insn(w, v)->a;
        if (!is_load(w, v) || insn(w, v)->space != TIDE_POINT) continue;
        bool reduced = false;
        for (int u = 0; u < w->p->n; u++)
            reduced |= kind(w, u) == 'R' && insn(w, u)->a == v && reduced_in_place(w, v);
        if (reduced ? pass != (w->last > 0) : turn++ % (w->last + 1) != pass) continue;
        put(w, "            look_ahead(q->arg[%d].base + (k + i + q->later) * q->arg[%d].k, R * %d);\n", arg,
            arg, arg_size(w, arg));
    }
}

static void put_streams(writer *w, const char *indent) {
    for (int a = 0; a < w->p->narg; a++) {
        if (!may_stream(w, a)) continue;
        put(w, "%scomputed(q, %d, ", indent, a);
        put_begin(w, a);
        put(w, ", R, a%d);\n", a);
    }
}

static void put_pass(writer *w, int pass) {
    const tide_prog *p = w->p;
    mark_pass(w, pass);
    bool any = pass == w->last, hoist[MOST] = {false};
    for (int v = 0; v < p->n; v++) any |= w->needed[v];
    if (any) {
        put(w, "        for (int64_t i = 0; i < g; i++) {\n");
        put_pointers(w, pass, "            ");
        for (int v = 0; v < p->n; v++) {
            if (w->needed[v] && w->buffer[v] >= 0)
                put(w, "            %s *b%d = (%s *)(q->buffer + q->group * R * %d) + i * R;\n", c_type(w, v),
                    v, c_type(w, v), w->buffer[v]);
            uint16_t u[3];
            bool found = w->needed[v] && w->first[v] < pass && w->buffer[v] >= 0;
            if (found || !(w->needed[v] || (stores(w, v, true) && pass == w->last))) continue;
            for (int k = 0, n = operands(w, v, u); k < n; k++) hoist[u[k]] = insn(w, u[k])->space == TIDE_KEPT;
        }
        for (int v = 0; v < p->n; v++)
            if (hoist[v]) put(w, "            const %s x%d = h%d[i];\n", c_type(w, v), v, v);
        put_look_ahead(w, pass);
        put_loop(w, pass, "0", "R", "            ");
        if (pass == w->last) put_streams(w, "            ");
        put(w, "        }\n");
    }
    for (int v = 0; v < p->n; v++) {
        if (!reduces(w, v, pass)) continue;
        int a = insn(w, v)->a;
        put(w, "        q->kernels->reduction[%d][%d].rows(h%d, ", insn(w, v)->op - TIDE_P_SUM,
            insn(w, v)->type, v);
        if (reduced_in_place(w, a))
            put(w, "q->arg[%d].base + k * q->arg[%d].k, q->arg[%d].k, g, R, %s);\n", insn(w, a)->a,
                insn(w, a)->a, insn(w, a)->a, w->last > 0 ? "false" : "true");
        else
            put(w, "q->buffer + q->group * R * %d, R * %d, g, R, false);\n", w->buffer[a], type_size(w, a));
    }
}

/* Values of the rows that need `level` levels of reductions. */
void put_kept(writer *w, int level) {
    bool any = false;
    w->kept = true;
    for (int v = 0; v < w->p->n; v++) {
        if (insn(w, v)->space != TIDE_KEPT || kind(w, v) == 'R' || kind(w, v) == 'E' || w->level[v] != level)
            continue;
        if (!any) put(w, "        for (int64_t i = 0; i < g; i++) {\n");
        any = true;
        put(w, "            h%d[i] = ", v);
        put_expression(w, v);
        put(w, ";\n");
    }
    if (any) put(w, "        }\n");
    w->kept = false;
}

void put_ends(writer *w) {
    bool any = false;
    w->kept = true;
    for (int v = 0; v < w->p->n; v++) {
        if (!stores(w, v, false)) continue;
        if (!any) put(w, "        for (int64_t i = 0; i < g; i++) {\n");
        any = true;
        put_effect(w, v, "            ");
    }
    if (any) put(w, "        }\n");
    w->kept = false;
}

void put_kept_arrays(writer *w) {
    for (int v = 0; v < w->p->n; v++)
        if (insn(w, v)->space == TIDE_KEPT && kind(w, v) != 'E')
            put(w, "        %s h%d[TIDE_AHEAD_ROWS];\n", c_type(w, v), v);
}

void put_rows(writer *w) {
    put(w, "    const int64_t R = q->R;\n"
           "    for (int64_t k = q->begin; k < q->end; k += q->group) {\n"
           "        const int64_t g = q->end - k < q->group ? q->end - k : q->group;\n");
    put_kept_arrays(w);
    for (int pass = 0; pass < w->npass; pass++) {
        put_kept(w, pass);
        put_pass(w, pass);
    }
    put_kept(w, w->npass);
    put_ends(w);
    put(w, "    }\n");
}

void put_flat(writer *w) {
    mark_pass(w, 0);
    put_pointers(w, 0, "    ");
    put_loop(w, 0, "q->begin", "q->end", "    ");
}
