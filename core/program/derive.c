/* The derivative of a program by reverse mode on its SSA: a program again, so gradients of gradients derive
 * again. Ties and edges are PyTorch's: max and min over an axis share the gradient among equals; maximum and
 * minimum split it in half; abs and sign have 0 at 0. */
#include "program/program.h"

typedef struct {
    const tide_prog *p; /* forward */
    tide_prog *q;       /* derivative */
    tide_val *fwd;      /* forward value -> its value in q, TIDE_NOVAL: not there yet */
    tide_val *adj;      /* forward value -> its adjoint in q, TIDE_NOVAL: zero so far */
    tide_val *saved;    /* forward value -> load of the output that holds it, or TIDE_NOVAL */
} derive_t;

/* The forward value v inside q: loaded where an output holds it, else computed again. */
static tide_val fwd(derive_t *d, tide_val v) {
    if (v == TIDE_NOVAL || d->q->failed) return TIDE_NOVAL;
    if (d->fwd[v] != TIDE_NOVAL) return d->fwd[v];
    if (d->saved[v] != TIDE_NOVAL) return d->fwd[v] = d->saved[v];
    const tide_insn *i = &d->p->insn[v];
    tide_prog *q = d->q;
    tide_val r;
    switch (i->op) {
    case TIDE_P_LOAD:
        r = (tide_val)i->a;
        break; /* the loads are the first instructions of q, one an argument */
    case TIDE_P_CONST: {
        double x = 0;
        uint64_t bits = d->p->konst[i->a];
        if (i->type == TIDE_RF32) {
            float f;
            memcpy(&f, &bits, sizeof f);
            x = f;
        } else if (i->type == TIDE_RF64)
            memcpy(&x, &bits, sizeof x);
        else if (i->type == TIDE_RI32)
            x = (int32_t)bits;
        else
            x = (double)(int64_t)bits;
        r = p_const(q, i->type, x);
        break;
    }
    case TIDE_P_SLOT: r = p_slot(q, d->p->slot[i->a].offset, d->p->slot[i->a].is_float, i->type); break;
    case TIDE_P_INDEX_K:
    case TIDE_P_INDEX_R:
    case TIDE_P_SIZE_K:
    case TIDE_P_SIZE_R: r = p_index(q, i->op, i->space); break;
    case TIDE_P_RANDOM: {
        const tide_slot *b = &d->p->slot[i->b], *c = &d->p->slot[i->c];
        r = p_random(q, fwd(d, i->a), p_slot_index(q, b->offset, b->is_float),
                     p_slot_index(q, c->offset, c->is_float));
        break;
    }
    case TIDE_P_CVT: r = p_cvt(q, fwd(d, i->a), i->type); break;
    case TIDE_P_ROUND_TO: r = p_round_to(q, fwd(d, i->a), (tide_dtype)i->aux); break;
    case TIDE_P_SELECT: {
        tide_val m = fwd(d, i->a), a = fwd(d, i->b), b = fwd(d, i->c);
        r = p_select(q, m, a, b);
        break;
    }
    case TIDE_P_FMA: {
        tide_val a = fwd(d, i->a), b = fwd(d, i->b), c = fwd(d, i->c);
        r = p_fma(q, a, b, c);
        break;
    }
    default:
        if (tide_insn_kind[i->op] == 'R')
            r = p_reduce(q, i->op, fwd(d, i->a), i->aux);
        else if (tide_insn_nargs[i->op] == 1)
            r = p_un(q, i->op, fwd(d, i->a));
        else {
            tide_val a = fwd(d, i->a), b = fwd(d, i->b);
            r = p_bin(q, i->op, a, b);
        }
    }
    return d->fwd[v] = r;
}

static bool differentiable(const tide_prog *p, tide_val v) { return p->insn[v].type <= TIDE_RF64; }

/* Adds contribution c, one an element of `space`, to the adjoint of forward value v. */
static void add(derive_t *d, tide_val v, tide_val c, int space) {
    if (d->q->failed || !differentiable(d->p, v)) return;
    int gone = space & ~d->p->insn[v].space;
    if (gone & TIDE_AXIS_R) c = p_reduce(d->q, TIDE_P_SUM, c, TIDE_AXIS_R);
    if (gone & TIDE_AXIS_K) c = p_reduce(d->q, TIDE_P_SUM, c, TIDE_AXIS_K);
    d->adj[v] = d->adj[v] == TIDE_NOVAL ? c : p_add(d->q, d->adj[v], c);
}

static tide_val half_at_ties(tide_prog *q, tide_val g, tide_val wins, tide_val ties) {
    tide_val zero = p_like(q, g, 0), half = p_mul(q, g, p_like(q, g, 0.5));
    return p_select(q, ties, half, p_select(q, wins, g, zero));
}

static void step(derive_t *d, tide_val v) {
    tide_prog *q = d->q;
    const tide_insn *i = &d->p->insn[v];
    tide_val g = d->adj[v];
    int s = i->space;
#define A fwd(d, i->a)
#define B fwd(d, i->b)
#define Y fwd(d, v)
#define K(x) p_like(q, g, x)
    switch (i->op) {
    case TIDE_P_NEG: add(d, i->a, p_neg(q, g), s); break;
    case TIDE_P_ABS: { /* 0 at 0, and where a is NaN */
        tide_val a = A, zero = K(0);
        add(d, i->a, p_select(q, p_lt(q, zero, a), g, p_select(q, p_lt(q, a, zero), p_neg(q, g), zero)), s);
        break;
    }
    case TIDE_P_SQRT: add(d, i->a, p_div(q, g, p_mul(q, K(2), Y)), s); break;
    case TIDE_P_RSQRT: {
        tide_val y = Y;
        add(d, i->a, p_mul(q, p_mul(q, K(-0.5), g), p_mul(q, y, p_mul(q, y, y))), s);
        break;
    }
    case TIDE_P_EXP: add(d, i->a, p_mul(q, g, Y), s); break;
    case TIDE_P_EXPM1: add(d, i->a, p_mul(q, g, p_add(q, Y, K(1))), s); break;
    case TIDE_P_EXP2: add(d, i->a, p_mul(q, p_mul(q, g, Y), K(0.69314718055994530942)), s); break;
    case TIDE_P_LOG: add(d, i->a, p_div(q, g, A), s); break;
    case TIDE_P_LOG1P: add(d, i->a, p_div(q, g, p_add(q, A, K(1))), s); break;
    case TIDE_P_LOG2: add(d, i->a, p_div(q, g, p_mul(q, A, K(0.69314718055994530942))), s); break;
    case TIDE_P_LOG10: add(d, i->a, p_div(q, g, p_mul(q, A, K(2.30258509299404568402))), s); break;
    case TIDE_P_SIN: add(d, i->a, p_mul(q, g, p_cos(q, A)), s); break;
    case TIDE_P_COS: add(d, i->a, p_neg(q, p_mul(q, g, p_sin(q, A))), s); break;
    case TIDE_P_TAN: {
        tide_val y = Y;
        add(d, i->a, p_mul(q, g, p_add(q, K(1), p_mul(q, y, y))), s);
        break;
    }
    case TIDE_P_ASIN: {
        tide_val a = A;
        add(d, i->a, p_mul(q, g, p_rsqrt(q, p_sub(q, K(1), p_mul(q, a, a)))), s);
        break;
    }
    case TIDE_P_ACOS: {
        tide_val a = A;
        add(d, i->a, p_neg(q, p_mul(q, g, p_rsqrt(q, p_sub(q, K(1), p_mul(q, a, a))))), s);
        break;
    }
    case TIDE_P_ATAN: {
        tide_val a = A;
        add(d, i->a, p_div(q, g, p_add(q, p_mul(q, a, a), K(1))), s);
        break;
    }
    case TIDE_P_SINH: add(d, i->a, p_mul(q, g, p_un(q, TIDE_P_COSH, A)), s); break;
    case TIDE_P_COSH: add(d, i->a, p_mul(q, g, p_un(q, TIDE_P_SINH, A)), s); break;
    case TIDE_P_TANH: {
        tide_val y = Y;
        add(d, i->a, p_mul(q, g, p_sub(q, K(1), p_mul(q, y, y))), s);
        break;
    }
    case TIDE_P_SIGMOID: {
        tide_val y = Y;
        add(d, i->a, p_mul(q, g, p_mul(q, p_sub(q, K(1), y), y)), s);
        break;
    }
    case TIDE_P_ERF:
    case TIDE_P_ERFC: {
        tide_val a = A, e = p_exp(q, p_neg(q, p_mul(q, a, a)));
        add(d, i->a,
            p_mul(q, g, p_mul(q, K(i->op == TIDE_P_ERF ? 1.12837916709551257390 : -1.12837916709551257390), e)),
            s);
        break;
    }
    case TIDE_P_CVT:
        if (differentiable(d->p, i->a)) add(d, i->a, p_cvt(q, g, d->p->insn[i->a].type), s);
        break;
    case TIDE_P_ROUND_TO: add(d, i->a, g, s); break;
    case TIDE_P_ADD:
        add(d, i->a, g, s);
        add(d, i->b, g, s);
        break;
    case TIDE_P_SUB:
        add(d, i->a, g, s);
        add(d, i->b, p_neg(q, g), s);
        break;
    case TIDE_P_MUL:
        add(d, i->a, p_mul(q, g, B), s);
        add(d, i->b, p_mul(q, g, A), s);
        break;
    case TIDE_P_DIV: {
        tide_val b = B;
        add(d, i->a, p_div(q, g, b), s);
        add(d, i->b, p_neg(q, p_mul(q, g, p_div(q, p_div(q, A, b), b))), s);
        break;
    }
    case TIDE_P_POW: { /* d/da = b a^(b-1), 0 where b = 0; d/db = a^b log a, 0 where a = 0 and b >= 0 */
        tide_val a = A, b = B, zero = K(0);
        tide_val da = p_mul(q, b, p_pow(q, a, p_sub(q, b, K(1))));
        add(d, i->a, p_mul(q, g, p_select(q, p_eq(q, b, zero), zero, da)), s);
        tide_val flat = p_and(q, p_eq(q, a, zero), p_le(q, zero, b));
        add(d, i->b, p_mul(q, g, p_select(q, flat, zero, p_mul(q, Y, p_log(q, a)))), s);
        break;
    }
    case TIDE_P_MOD:
    case TIDE_P_FMOD: {
        tide_val r = p_div(q, A, B);
        add(d, i->a, g, s);
        add(d, i->b, p_neg(q, p_mul(q, g, i->op == TIDE_P_MOD ? p_floor(q, r) : p_trunc(q, r))), s);
        break;
    }
    case TIDE_P_ATAN2: {
        tide_val a = A, b = B, r = p_div(q, g, p_add(q, p_mul(q, a, a), p_mul(q, b, b)));
        add(d, i->a, p_mul(q, r, b), s);
        add(d, i->b, p_neg(q, p_mul(q, r, a)), s);
        break;
    }
    case TIDE_P_COPYSIGN: add(d, i->a, p_mul(q, g, p_mul(q, p_sign(q, A), p_sign(q, Y))), s); break;
    case TIDE_P_MAX:
    case TIDE_P_MIN: { /* the loser gets nothing; with NaN both count as not losing */
        tide_val a = A, b = B, ties = p_eq(q, a, b);
        bool max = i->op == TIDE_P_MAX;
        tide_val a_loses = max ? p_lt(q, a, b) : p_lt(q, b, a), b_loses = max ? p_lt(q, b, a) : p_lt(q, a, b);
        add(d, i->a, half_at_ties(q, g, p_not(q, a_loses), ties), s);
        add(d, i->b, half_at_ties(q, g, p_not(q, b_loses), ties), s);
        break;
    }
    case TIDE_P_SELECT: {
        tide_val m = A, zero = K(0);
        add(d, i->b, p_select(q, m, g, zero), s);
        add(d, i->c, p_select(q, m, zero, g), s);
        break;
    }
    case TIDE_P_FMA: {
        add(d, i->a, p_mul(q, g, B), s);
        add(d, i->b, p_mul(q, g, A), s);
        add(d, i->c, g, s);
        break;
    }
    case TIDE_P_SUM:
    case TIDE_P_MAXR:
    case TIDE_P_MINR:
    case TIDE_P_PROD: {
        int over = d->p->insn[i->a].space;
        tide_val c = g;
        if (!(over & i->aux)) { /* the operand does not vary along the axis: it counted once an element */
            if (i->op == TIDE_P_SUM)
                c = p_mul(q, g,
                          p_cvt(q, p_index(q, i->aux == TIDE_AXIS_R ? TIDE_P_SIZE_R : TIDE_P_SIZE_K, TIDE_ONE),
                                i->type));
        } else if (i->op == TIDE_P_PROD) {
            c = p_mul(q, g, p_div(q, Y, A));
        } else if (i->op != TIDE_P_SUM) { /* equals share; NaN equals NaN */
            tide_val a = A, y = Y;
            tide_val hit = p_or(q, p_eq(q, a, y), p_and(q, p_isnan(q, a), p_isnan(q, y)));
            tide_val ones = p_cvt(q, hit, i->type);
            c = p_mul(q, p_div(q, g, p_reduce(q, TIDE_P_SUM, ones, i->aux)), ones);
        }
        add(d, i->a, c, over);
        break;
    }
    default: break; /* steps, comparisons, integers: zero */
    }
#undef A
#undef B
#undef Y
#undef K
}

/* Forward inputs and outputs that q does not load are taken off its list of arguments. */
static uint64_t compact(const tide_prog *p, tide_prog *q) {
    int nfwd = p->nin + p->nout, shift[TIDE_MAXARGS], gone = 0;
    bool used[TIDE_MAXARGS] = {false};
    uint64_t uses = 0;
    for (int64_t v = 0; v < q->n; v++)
        if (q->insn[v].op == TIDE_P_LOAD) used[q->insn[v].a] = true;
    for (int a = 0; a < q->narg; a++) {
        bool keep = a >= nfwd || used[a];
        shift[a] = gone;
        if (keep) {
            q->arg[a - gone] = q->arg[a];
            if (a < p->nin)
                uses |= 1ull << a;
            else if (a < nfwd)
                uses |= 1ull << (32 + a - p->nin);
        } else {
            gone++;
        }
    }
    for (int64_t v = 0; v < q->n; v++) {
        tide_insn *i = &q->insn[v];
        if (i->op == TIDE_P_LOAD) i->a = (uint16_t)(i->a - shift[i->a]);
        if (i->op == TIDE_P_STORE) i->b = (uint16_t)(i->b - shift[i->b]);
    }
    q->nin = (uint8_t)(q->nin - gone);
    q->narg = (uint8_t)(q->narg - gone);
    return uses;
}

tide_prog *tide_prog_derive(const tide_prog *p, uint32_t want, uint32_t seeded, uint64_t *uses) {
    tide_context *cx = p->cx;
    if (p->failed) return NULL;
    tide_prog *q = tide_prog_new(cx);
    size_t size = (size_t)p->n * 3 * sizeof(tide_val);
    tide_val *table = q ? tide_alloc(cx, size) : NULL;
    if (!table) {
        tide_prog_free(q);
        return NULL;
    }
    memset(table, 0xFF, size);
    derive_t d = {p, q, table, table + p->n, table + 2 * p->n};

    tide_val load[TIDE_MAXARGS], seed[TIDE_MAXARGS];
    int gx[TIDE_MAXARGS];
    for (int a = 0; a < p->nin + p->nout; a++) load[a] = p_arg(q, (tide_dtype)p->arg[a].dtype, p->arg[a].space);
    for (int j = 0; j < p->nout; j++)
        if (seeded >> j & 1) seed[j] = p_arg(q, (tide_dtype)p->arg[p->nin + j].dtype, p->arg[p->nin + j].space);
    for (int i = 0; i < p->nin; i++)
        if (want >> i & 1) gx[i] = p_out(q, (tide_dtype)p->arg[i].dtype, p->arg[i].space);

    /* A value that an output holds without rounding and in its own space need not be computed again. */
    for (int64_t v = 0; v < p->n; v++) {
        const tide_insn *i = &p->insn[v];
        if (i->op != TIDE_P_STORE) continue;
        const tide_insn *of = &p->insn[i->a];
        int dtype = p->arg[i->b].dtype;
        bool exact = dtype == TIDE_F32 || dtype == TIDE_F64 || dtype == TIDE_I64;
        if (exact && of->space == p->arg[i->b].space && tide_insn_kind[of->op] != 'S')
            d.saved[i->a] = load[i->b];
    }
    for (int64_t v = 0; v < p->n; v++) {
        const tide_insn *i = &p->insn[v];
        if (i->op == TIDE_P_STORE && (seeded >> (i->b - p->nin) & 1) && differentiable(p, i->a))
            add(&d, i->a, seed[i->b - p->nin], p->arg[i->b].space);
    }
    for (int64_t v = p->n - 1; v >= 0 && !q->failed; v--)
        if (d.adj[v] != TIDE_NOVAL && tide_insn_kind[p->insn[v].op] != 'S') step(&d, (tide_val)v);
    for (int64_t v = 0; v < p->n && !q->failed; v++) {
        const tide_insn *i = &p->insn[v];
        if (i->op != TIDE_P_LOAD || !(want >> i->a & 1)) continue;
        tide_val g = d.adj[v] == TIDE_NOVAL ? p_const(q, i->type, 0) : d.adj[v];
        p_store(q, g, gx[i->a]);
        want &= ~(1u << i->a);
    }
    for (int i = 0; i < p->nin; i++) /* inputs that the simplified program does not even load */
        if (want >> i & 1) p_store(q, p_const(q, tide_reg_of((tide_dtype)p->arg[i].dtype), 0), gx[i]);
    tide_release(cx, table, size);
    if (q->failed || tide_prog_simplify(q)) {
        tide_prog_free(q);
        return NULL;
    }
    *uses = compact(p, q);
    return q;
}
