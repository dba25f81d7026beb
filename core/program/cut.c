/* Cuts a program into pieces that each reduce over one axis only.
 *
 * Every value gets a phase. A phase has a kind: which axis its reductions run over, and whether their operands
 * vary along that axis alone (thin). Values of earlier phases that a later phase needs are stored in
 * temporaries if they are KEPT, REDUCED or ONE; POINT values are computed again. */
#include "program/program.h"

enum { THIN = 4 };
#define FREE (-1)

typedef struct {
    const tide_prog *p;
    tide_pieces *out;
    int8_t *phase;  /* of each value; FREE: depends on no reduction */
    uint8_t *in;    /* in the piece being made */
    uint8_t *where; /* spilled value -> argument of the whole program + 1 */
    tide_val *map;
    int nphase;
    uint8_t kind[8];
} cut_t;

static tide_status find_phases(cut_t *c) {
    const tide_prog *p = c->p;
    for (int64_t v = 0; v < p->n; v++) {
        const tide_insn *i = &p->insn[v];
        int n = tide_insn_nargs[i->op];
        int ph = FREE;
        if (n > 0 && c->phase[i->a] > ph) ph = c->phase[i->a];
        if (n > 1 && c->phase[i->b] > ph) ph = c->phase[i->b];
        if (n > 2 && c->phase[i->c] > ph) ph = c->phase[i->c];
        if (tide_insn_kind[i->op] == 'R') {
            int other = TIDE_POINT & ~i->aux;
            int kind = i->aux | (p->insn[i->a].space & other ? 0 : THIN);
            if (ph < 0) ph = 0;
            while (ph < c->nphase && c->kind[ph] != kind) ph++;
            if (ph == c->nphase) {
                if (ph == 8)
                    return tide_fail(p->cx, TIDE_EARG, "program: too many reductions over alternating axes");
                c->kind[c->nphase++] = (uint8_t)kind;
            }
        }
        c->phase[v] = (int8_t)ph;
    }
    if (c->nphase == 0) c->kind[c->nphase++] = TIDE_AXIS_R;
    return TIDE_OK;
}

/* Is v computed inside phase ph's piece, or loaded from a temporary? */
static bool inside(const cut_t *c, tide_val v, int ph) {
    return c->phase[v] == FREE || c->phase[v] == ph ||
           (c->p->insn[v].space == TIDE_POINT && tide_insn_kind[c->p->insn[v].op] != 'R');
}

static void need(cut_t *c, tide_val v, int ph) {
    if (c->in[v]) return;
    c->in[v] = 1;
    if (!inside(c, v, ph)) return;
    const tide_insn *i = &c->p->insn[v];
    int n = tide_insn_nargs[i->op];
    if (n > 0) need(c, i->a, ph);
    if (n > 1) need(c, i->b, ph);
    if (n > 2) need(c, i->c, ph);
}

static int phase_of_effect(const cut_t *c, const tide_insn *i) {
    return c->phase[i->a] == FREE ? 0 : c->phase[i->a];
}

/* Marks what phase ph needs: its effects, and the values that later phases take from it. */
static void mark(cut_t *c, int ph) {
    const tide_prog *p = c->p;
    memset(c->in, 0, (size_t)p->n);
    for (int64_t v = 0; v < p->n; v++) {
        const tide_insn *i = &p->insn[v];
        if (tide_insn_kind[i->op] == 'E' && phase_of_effect(c, i) == ph) need(c, i->a, ph);
    }
    for (int64_t v = 0; v < p->n; v++)
        if (c->where[v] && c->phase[v] == ph) need(c, (tide_val)v, ph);
}

static const uint8_t dtype_of[TIDE_NREG] = {TIDE_F32, TIDE_F64, TIDE_I32, TIDE_I64, TIDE_BOOL};

/* Decides, from the last phase to the first, what is spilled and where. */
static tide_status find_spills(cut_t *c) {
    const tide_prog *p = c->p;
    for (int ph = c->nphase - 1; ph > 0; ph--) {
        mark(c, ph);
        for (int64_t v = 0; v < p->n; v++) {
            if (!c->in[v] || inside(c, (tide_val)v, ph) || c->where[v]) continue;
            int at = -1;
            for (int64_t w = 0; w < p->n && at < 0; w++) { /* an output may hold it already */
                const tide_insn *i = &p->insn[w];
                if (i->op == TIDE_P_STORE && i->a == v && p->arg[i->b].dtype == dtype_of[p->insn[v].type] &&
                    p->arg[i->b].space == p->insn[v].space)
                    at = i->b;
            }
            if (at < 0) {
                tide_pieces *o = c->out;
                if (o->ntemp == 16 || p->narg + o->ntemp + 1 >= 255)
                    return tide_fail(p->cx, TIDE_EARG, "program: too many temporaries");
                o->temp[o->ntemp].space = p->insn[v].space;
                o->temp[o->ntemp].dtype = dtype_of[p->insn[v].type];
                at = p->narg + o->ntemp++;
            }
            c->where[v] = (uint8_t)(at + 1);
        }
    }
    return TIDE_OK;
}

static int turn(int space, bool swapped) { return swapped ? (space >> 1 & 1) | (space & 1) << 1 : space; }

static tide_status make_piece(cut_t *c, int ph) {
    const tide_prog *p = c->p;
    tide_pieces *o = c->out;
    mark(c, ph);
    bool any = false;
    for (int64_t v = 0; v < p->n && !any; v++) any = c->in[v];
    if (!any) return TIDE_OK;
    tide_piece *piece = &o->piece[o->npiece];
    uint8_t *arg_of = o->arg_of[o->npiece];
    bool swapped = c->kind[ph] & TIDE_AXIS_K;
    tide_prog *q = tide_prog_new(p->cx);
    if (!q) return TIDE_EMEM;
    o->npiece++;
    *piece = (tide_piece){q, swapped, (c->kind[ph] & THIN) != 0};
    memcpy(q->slot, p->slot, sizeof q->slot);
    memcpy(q->check, p->check, sizeof q->check);
    q->nslot = p->nslot;
    q->ncheck = p->ncheck;
    memset(c->map, 0xFF, (size_t)p->n * sizeof *c->map);

    for (int64_t v = 0; v < p->n; v++) { /* inputs: loads of this piece and values spilled before */
        const tide_insn *i = &p->insn[v];
        if (!c->in[v]) continue;
        int at = i->op == TIDE_P_LOAD ? i->a : inside(c, (tide_val)v, ph) ? -1 : c->where[v] - 1;
        if (at < 0) continue;
        int dtype = at < p->narg ? p->arg[at].dtype : o->temp[at - p->narg].dtype;
        arg_of[q->narg] = (uint8_t)at;
        c->map[v] = p_arg(q, (tide_dtype)dtype, turn(i->space, swapped));
    }
    for (int64_t v = 0; v < p->n && !q->failed; v++) {
        tide_insn i = p->insn[v];
        if (!c->in[v] || c->map[v] != TIDE_NOVAL || tide_insn_kind[i.op] == 'E') continue;
        int n = tide_insn_nargs[i.op];
        if (n > 0) i.a = c->map[i.a];
        if (n > 1) i.b = c->map[i.b];
        if (n > 2) i.c = c->map[i.c];
        if (i.op == TIDE_P_HOLD) { /* nothing derives a piece */
            c->map[v] = i.a;
            continue;
        }
        i.space = (uint8_t)turn(i.space, swapped);
        if (tide_insn_kind[i.op] == 'R') i.aux = TIDE_AXIS_R;
        if (swapped) {
            if (i.op == TIDE_P_INDEX_K)
                i.op = TIDE_P_INDEX_R;
            else if (i.op == TIDE_P_INDEX_R)
                i.op = TIDE_P_INDEX_K;
            else if (i.op == TIDE_P_SIZE_K)
                i.op = TIDE_P_SIZE_R;
            else if (i.op == TIDE_P_SIZE_R)
                i.op = TIDE_P_SIZE_K;
        }
        if (i.op == TIDE_P_CONST) {
            q->failed = tide_grow(q->cx, (void **)&q->konst, &q->kcapacity, q->nkonst + 1, sizeof *q->konst);
            if (q->failed) break;
            q->konst[q->nkonst] = p->konst[i.a];
            i.a = (uint16_t)q->nkonst++;
        }
        q->failed = tide_grow(q->cx, (void **)&q->insn, &q->capacity, q->n + 1, sizeof *q->insn);
        if (q->failed) break;
        q->insn[q->n] = i;
        c->map[v] = (tide_val)q->n++;
    }
    for (int64_t v = 0; v < p->n && !q->failed; v++) {
        const tide_insn *i = &p->insn[v];
        if (tide_insn_kind[i->op] != 'E' || phase_of_effect(c, i) != ph) continue;
        if (i->op == TIDE_P_CHECK) {
            int k = q->ncheck;
            q->ncheck = (uint8_t)i->b; /* p_check appends: give it this check's number */
            p_check(q, c->map[i->a], p->check[i->b]);
            q->ncheck = (uint8_t)k;
        } else {
            arg_of[q->narg] = (uint8_t)i->b;
            int at = p_out(q, (tide_dtype)p->arg[i->b].dtype, turn(p->arg[i->b].space, swapped));
            p_store(q, c->map[i->a], at);
        }
    }
    for (int64_t v = 0; v < p->n && !q->failed; v++) {
        if (c->phase[v] != ph || c->where[v] <= p->narg) continue; /* not spilled, or an output holds it */
        int t = c->where[v] - 1 - p->narg;
        arg_of[q->narg] = (uint8_t)(p->narg + t);
        int at = p_out(q, (tide_dtype)o->temp[t].dtype, turn(o->temp[t].space, swapped));
        p_store(q, c->map[v], at);
    }
    return q->failed ? q->failed : tide_prog_simplify(q);
}

tide_status tide_prog_cut(const tide_prog *p, tide_pieces *out) {
    memset(out, 0, sizeof *out);
    if (p->failed) return p->failed;
    size_t each = 3 + sizeof(tide_val), size = (size_t)p->n * each;
    char *m = tide_alloc0(p->cx, size);
    if (!m) return TIDE_EMEM;
    cut_t c = {.p = p, .out = out, .map = (tide_val *)m};
    c.phase = (int8_t *)(m + (size_t)p->n * sizeof(tide_val));
    c.in = (uint8_t *)c.phase + p->n;
    c.where = c.in + p->n;
    tide_status s = find_phases(&c);
    if (!s) s = find_spills(&c);
    for (int ph = 0; ph < c.nphase && !s; ph++) s = make_piece(&c, ph);
    tide_release(p->cx, m, size);
    if (s) tide_pieces_free(out);
    return s;
}

void tide_pieces_free(tide_pieces *pieces) {
    for (int i = 0; i < pieces->npiece; i++) tide_prog_free(pieces->piece[i].prog);
    pieces->npiece = 0;
}
