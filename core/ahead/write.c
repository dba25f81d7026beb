/* A piece as C: whether it gains by it, its functions, its row of the table. */
#include "ahead/write.h"
#include "ahead/writer.h"

/* What branches does not become vectors; what is random the machine does better. */
static bool takes(const tide_insn *i) {
    switch (i->op) {
    case TIDE_P_RANDOM:
    case TIDE_P_SIN:
    case TIDE_P_COS:
    case TIDE_P_TAN:
    case TIDE_P_MOD:
    case TIDE_P_FMOD:
    case TIDE_P_FLOORDIV: return false;
    default: return true;
    }
}

/* Where the piece fits, levels and passes. A level is one more than the reductions below it in a row. */
static bool examine(writer *w) {
    const tide_prog *p = w->p;
    int work = 0, nred = 0;
    uint8_t both = TIDE_POINT, any = 0;
    if (p->n > MOST) return false;
    for (int64_t v = 0; v < p->n; v++) {
        const tide_insn *i = insn(w, v);
        uint16_t u[3];
        int n = operands(w, v, u);
        w->level[v] = 0;
        w->first[v] = w->buffer[v] = -1;
        for (int k = 0; k < n; k++)
            if (w->level[u[k]] > w->level[v]) w->level[v] = w->level[u[k]];
        if (!takes(i)) return false;
        if (kind(w, v) == 'R') {
            if (i->aux != TIDE_AXIS_R || insn(w, i->a)->space != TIDE_POINT) return false;
            nred++;
            if (++w->level[v] > w->npass) w->npass = w->level[v];
        } else if (kind(w, v) == 'E') {
            uint8_t space = i->op == TIDE_P_STORE ? p->arg[i->b].space : i->space;
            both &= space, any |= space;
            if (space & TIDE_AXIS_R && w->level[v] > w->last) w->last = w->level[v];
        } else {
            work += (kind(w, v) != 'S' && along_r(w, v)) + (i->op == TIDE_P_MAX);
        }
        if (i->type == TIDE_RF64) return false;
    }
    w->flat = nred == 0;
    if (w->flat)
        for (int64_t v = 0; v < p->n; v++)
            if ((insn(w, v)->space != TIDE_POINT && insn(w, v)->space != TIDE_ONE) ||
                insn(w, v)->op == TIDE_P_INDEX_K || insn(w, v)->op == TIDE_P_INDEX_R)
                return false;
    if (any & TIDE_AXIS_R && w->last + 1 > w->npass) w->npass = w->last + 1;
    return work >= 2 && (w->flat ? both == TIDE_POINT : both & TIDE_AXIS_K);
}

static bool has_checks(const writer *w) {
    for (int v = 0; v < w->p->n; v++)
        if (insn(w, v)->op == TIDE_P_CHECK) return true;
    return false;
}

static bool begin(writer *w, FILE *to, const tide_prog *piece, bool shorts) {
    memset(w, 0, sizeof *w);
    w->to = to;
    w->p = piece;
    w->shorts = shorts;
    if (!examine(w) || (shorts && w->flat)) return false;
    find_passes(w);
    return true;
}

/* A function over all that it is given. */
static void put_function(writer *w, char letter, const char *name, void body(writer *w)) {
    put(w, "static void %c%s(const tide_ahead_call *q) {\n", letter, name);
    if (has_checks(w)) put(w, "    uint32_t bad = 0;\n");
    put_scalars(w);
    body(w);
    if (has_checks(w)) put(w, "    if (bad) __atomic_fetch_or(q->failed, bad, __ATOMIC_RELAXED);\n");
    put(w, "}\n\n");
}

bool tide_ahead_write(FILE *to, FILE *table, const tide_prog *piece) {
    static writer w;
    char name[24];
    int stages = 0, sums = 0;
    if (!begin(&w, to, piece, false)) return false;
    snprintf(name, sizeof name, "%016llx", (unsigned long long)tide_prog_hash(piece, false));
    const int flat = w.flat, columns = has_columns(&w), buffers = w.buffers;
    for (int a = 0; a < piece->narg; a++) stages += may_stream(&w, a);
    for (int v = 0; v < piece->n && columns; v++)
        if (kind(&w, v) == 'R') sums += type_size(&w, v);
    put_function(&w, 'p', name, flat ? put_flat : put_rows);
    if (columns) put_columns(&w, name);
    if (begin(&w, to, piece, true)) put_function(&w, 's', name, put_short);
    fprintf(table, "    {0x%s, p%s, ", name, name);
    fprintf(table, flat ? "NULL, " : "s%s, ", name);
    fprintf(table, columns ? "a%s, m%s, f%s, " : "NULL, NULL, NULL, ", name, name, name);
    fprintf(table, "%d, %d, %d, %d, %d},\n", flat, buffers, stages, flat ? 0 : w.buffers, sums);
    return true;
}
