/* The meaning of programs: see reference.h. Slow on purpose; nothing here is shared with the vector machine but
 * the scalar functions. */
#include "reference.h"
#include "base/random.h"
#include "program/math.h"
#include <stdlib.h>

typedef union {
    float f;
    double d;
    int32_t i;
    int64_t l;
    uint8_t m;
    uint64_t bits;
} cell;

/* ---- memory ---- */

static int64_t offset_of(int n, const int64_t *size, const int64_t *stride, int64_t at) {
    int64_t off = 0;
    for (int d = n - 1; d >= 0; d--) {
        off += at % size[d] * stride[d];
        at /= size[d];
    }
    return off;
}

static char *element(const tide_prog *p, const tide_iter *it, int arg, int64_t k, int64_t r) {
    char *at = it->arg[arg].base;
    if (p->arg[arg].space & TIDE_KEPT) at += offset_of(it->nk, it->k, it->arg[arg].sk, k);
    if (p->arg[arg].space & TIDE_REDUCED) at += offset_of(it->nr, it->r, it->arg[arg].sr, r);
    return at;
}

#define READ(T, from)                 \
    ({                                \
        T x_;                         \
        memcpy(&x_, from, sizeof x_); \
        x_;                           \
    })
#define WRITE(T, to, v)             \
    ({                              \
        T x_ = (T)(v);              \
        memcpy(to, &x_, sizeof x_); \
    })

static cell load(int dtype, const char *from) {
    cell c = {.bits = 0};
    switch (dtype) {
    case TIDE_F32: c.f = READ(float, from); break;
    case TIDE_F64: c.d = READ(double, from); break;
    case TIDE_F16: c.f = tide_f32_of_f16(READ(uint16_t, from)); break;
    case TIDE_BF16: c.f = tide_f32_of_bf16(READ(uint16_t, from)); break;
    case TIDE_I64: c.l = READ(int64_t, from); break;
    case TIDE_I32: c.i = READ(int32_t, from); break;
    case TIDE_I8: c.i = READ(int8_t, from); break;
    case TIDE_U8: c.i = READ(uint8_t, from); break;
    default: c.m = READ(uint8_t, from) != 0;
    }
    return c;
}

static void store(int dtype, char *to, cell c) {
    switch (dtype) {
    case TIDE_F32: WRITE(float, to, c.f); break;
    case TIDE_F64: WRITE(double, to, c.d); break;
    case TIDE_F16: WRITE(uint16_t, to, tide_f16_of_f32(c.f)); break;
    case TIDE_BF16: WRITE(uint16_t, to, tide_bf16_of_f32(c.f)); break;
    case TIDE_I64: WRITE(int64_t, to, c.l); break;
    case TIDE_I32: WRITE(int32_t, to, c.i); break;
    case TIDE_I8: WRITE(int8_t, to, (uint8_t)c.i); break;
    case TIDE_U8: WRITE(uint8_t, to, c.i); break;
    default: WRITE(uint8_t, to, c.m);
    }
}

/* ---- instructions ---- */

static cell convert(cell a, int from, int to) {
    cell c = {.bits = 0};
    switch (to * TIDE_NREG + from) {
#define PAIR(t, f) case TIDE_R##t *TIDE_NREG + TIDE_R##f
        PAIR(F32, F64) : c.f = (float)a.d;
        break;
        PAIR(F32, I32) : c.f = tide_f32_of_i32(a.i);
        break;
        PAIR(F32, I64) : c.f = tide_f32_of_i64(a.l);
        break;
        PAIR(F32, MASK) : c.f = a.m;
        break;
        PAIR(F64, F32) : c.d = a.f;
        break;
        PAIR(F64, I32) : c.d = a.i;
        break;
        PAIR(F64, I64) : c.d = tide_f64_of_i64(a.l);
        break;
        PAIR(F64, MASK) : c.d = a.m;
        break;
        PAIR(I32, F32) : c.i = tide_i32_of_f32(a.f);
        break;
        PAIR(I32, F64) : c.i = tide_i32_of_f64(a.d);
        break;
        PAIR(I32, I64) : c.i = (int32_t)(uint64_t)a.l;
        break;
        PAIR(I32, MASK) : c.i = a.m;
        break;
        PAIR(I64, F32) : c.l = tide_i64_of_f32(a.f);
        break;
        PAIR(I64, F64) : c.l = tide_i64_of_f64(a.d);
        break;
        PAIR(I64, I32) : c.l = a.i;
        break;
        PAIR(I64, MASK) : c.l = a.m;
        break;
        PAIR(MASK, F32) : c.m = a.f != 0;
        break;
        PAIR(MASK, F64) : c.m = a.d != 0;
        break;
        PAIR(MASK, I32) : c.m = a.i != 0;
        break;
        PAIR(MASK, I64) : c.m = a.l != 0;
        break;
    default: c = a;
    }
    return c;
}

static cell round_to(cell a, int dtype) {
    cell c = {.bits = 0};
    if (dtype == TIDE_F16)
        c.f = tide_f32_of_f16(tide_f16_of_f32(a.f));
    else if (dtype == TIDE_BF16)
        c.f = tide_f32_of_bf16(tide_bf16_of_f32(a.f));
    else if (dtype == TIDE_I8)
        c.i = (int8_t)(uint8_t)a.i;
    else
        c.i = (uint8_t)a.i;
    return c;
}

#define FLOAT_CASES(R, f, X)                                      \
    case TIDE_P_NEG: r.R = -X; break;                             \
    case TIDE_P_ABS: r.R = tide_abs_##f(X); break;                \
    case TIDE_P_SIGN: r.R = tide_sign_##f(X); break;              \
    case TIDE_P_SQRT: r.R = tide_sqrt_##f(X); break;              \
    case TIDE_P_RSQRT: r.R = tide_rsqrt_##f(X); break;            \
    case TIDE_P_EXP: r.R = tide_exp_##f(X); break;                \
    case TIDE_P_EXPM1: r.R = tide_expm1_##f(X); break;            \
    case TIDE_P_EXP2: r.R = tide_exp2_##f(X); break;              \
    case TIDE_P_LOG: r.R = tide_log_##f(X); break;                \
    case TIDE_P_LOG1P: r.R = tide_log1p_##f(X); break;            \
    case TIDE_P_LOG2: r.R = tide_log2_##f(X); break;              \
    case TIDE_P_LOG10: r.R = tide_log10_##f(X); break;            \
    case TIDE_P_SIN: r.R = tide_sin_##f(X); break;                \
    case TIDE_P_COS: r.R = tide_cos_##f(X); break;                \
    case TIDE_P_TAN: r.R = tide_tan_##f(X); break;                \
    case TIDE_P_ASIN: r.R = tide_asin_##f(X); break;              \
    case TIDE_P_ACOS: r.R = tide_acos_##f(X); break;              \
    case TIDE_P_ATAN: r.R = tide_atan_##f(X); break;              \
    case TIDE_P_SINH: r.R = tide_sinh_##f(X); break;              \
    case TIDE_P_COSH: r.R = tide_cosh_##f(X); break;              \
    case TIDE_P_TANH: r.R = tide_tanh_##f(X); break;              \
    case TIDE_P_SIGMOID: r.R = tide_sigmoid_##f(X); break;        \
    case TIDE_P_ERF: r.R = tide_erf_##f(X); break;                \
    case TIDE_P_ERFC: r.R = tide_erfc_##f(X); break;              \
    case TIDE_P_FLOOR: r.R = tide_floor_##f(X); break;            \
    case TIDE_P_CEIL: r.R = tide_ceil_##f(X); break;              \
    case TIDE_P_TRUNC: r.R = tide_trunc_##f(X); break;            \
    case TIDE_P_ROUND: r.R = tide_round_##f(X); break;            \
    case TIDE_P_ISNAN: r.m = X != X; break;                       \
    case TIDE_P_ADD:                                              \
    case TIDE_P_SUM: r.R = X + b.R; break;                        \
    case TIDE_P_SUB: r.R = X - b.R; break;                        \
    case TIDE_P_MUL:                                              \
    case TIDE_P_PROD: r.R = X * b.R; break;                       \
    case TIDE_P_DIV: r.R = X / b.R; break;                        \
    case TIDE_P_FLOORDIV: r.R = tide_floordiv_##f(X, b.R); break; \
    case TIDE_P_MOD: r.R = tide_mod_##f(X, b.R); break;           \
    case TIDE_P_FMOD: r.R = tide_fmod_##f(X, b.R); break;         \
    case TIDE_P_POW: r.R = tide_pow_##f(X, b.R); break;           \
    case TIDE_P_ATAN2: r.R = tide_atan2_##f(X, b.R); break;       \
    case TIDE_P_COPYSIGN: r.R = tide_copysign_##f(X, b.R); break; \
    case TIDE_P_MIN:                                              \
    case TIDE_P_MINR: r.R = tide_min_##f(X, b.R); break;          \
    case TIDE_P_MAX:                                              \
    case TIDE_P_MAXR: r.R = tide_max_##f(X, b.R); break;          \
    case TIDE_P_FMA:                                              \
        r.R = tide_fma_##f(X, b.R, c.R);                          \
        break;                                                    \
        COMPARISON_CASES(R)

#define COMPARISON_CASES(R)                  \
    case TIDE_P_EQ: r.m = a.R == b.R; break; \
    case TIDE_P_NE: r.m = a.R != b.R; break; \
    case TIDE_P_LT: r.m = a.R < b.R; break;  \
    case TIDE_P_LE:                          \
        r.m = a.R <= b.R;                    \
        break;

#define INTEGER_CASES(R, t, U)                                        \
    case TIDE_P_NEG: r.R = (t##_)(0 - (U)a.R); break;                 \
    case TIDE_P_ABS: r.R = a.R < 0 ? (t##_)(0 - (U)a.R) : a.R; break; \
    case TIDE_P_SIGN: r.R = (a.R > 0) - (a.R < 0); break;             \
    case TIDE_P_NOT: r.R = ~a.R; break;                               \
    case TIDE_P_ADD:                                                  \
    case TIDE_P_SUM: r.R = (t##_)((U)a.R + (U)b.R); break;            \
    case TIDE_P_SUB: r.R = (t##_)((U)a.R - (U)b.R); break;            \
    case TIDE_P_MUL:                                                  \
    case TIDE_P_PROD: r.R = (t##_)((U)a.R * (U)b.R); break;           \
    case TIDE_P_DIV: r.R = tide_tdiv_##t(a.R, b.R); break;            \
    case TIDE_P_FLOORDIV: r.R = tide_div_##t(a.R, b.R); break;        \
    case TIDE_P_MOD: r.R = tide_mod_##t(a.R, b.R); break;             \
    case TIDE_P_FMOD: r.R = tide_tmod_##t(a.R, b.R); break;           \
    case TIDE_P_POW: r.R = tide_ipow_##t(a.R, b.R); break;            \
    case TIDE_P_MIN:                                                  \
    case TIDE_P_MINR: r.R = a.R < b.R ? a.R : b.R; break;             \
    case TIDE_P_MAX:                                                  \
    case TIDE_P_MAXR: r.R = a.R > b.R ? a.R : b.R; break;             \
    case TIDE_P_AND: r.R = a.R & b.R; break;                          \
    case TIDE_P_OR: r.R = a.R | b.R; break;                           \
    case TIDE_P_XOR: r.R = a.R ^ b.R; break;                          \
    case TIDE_P_SHL: r.R = tide_shl_##t(a.R, b.R); break;             \
    case TIDE_P_SHR:                                                  \
        r.R = tide_shr_##t(a.R, b.R);                                 \
        break;                                                        \
        COMPARISON_CASES(R)

typedef int32_t i32_;
typedef int64_t i64_;

/* op on operands of `type` */
static cell compute(int op, int type, cell a, cell b, cell c) {
    cell r = {.bits = 0};
    if (op == TIDE_P_SELECT) return a.m ? b : c;
    if (op == TIDE_P_HOLD) return a;
    switch (type) {
    case TIDE_RF32:
        switch (op) { FLOAT_CASES(f, f32, a.f) }
        break;
    case TIDE_RF64:
        switch (op) { FLOAT_CASES(d, f64, a.d) }
        break;
    case TIDE_RI32:
        switch (op) { INTEGER_CASES(i, i32, uint32_t) }
        break;
    case TIDE_RI64:
        switch (op) { INTEGER_CASES(l, i64, uint64_t) }
        break;
    default:
        switch (op) {
        case TIDE_P_NOT: r.m = !a.m; break;
        case TIDE_P_AND: r.m = a.m & b.m; break;
        case TIDE_P_OR: r.m = a.m | b.m; break;
        case TIDE_P_XOR:
            r.m = a.m ^ b.m;
            break;
            COMPARISON_CASES(m)
        }
    }
    return r;
}

static cell random_word(cell index, uint64_t key, uint64_t hi) {
    uint32_t out[4];
    tide_philox(key, hi, (uint64_t)index.l >> 2, out);
    return (cell){.bits = out[index.l & 3]};
}

/* ---- reductions: the order that program.h lays down ---- */

static cell neutral(int op, int type) {
    cell c = {.bits = 0};
    bool max = op == TIDE_P_MAXR, sum = op == TIDE_P_SUM, prod = op == TIDE_P_PROD;
    switch (type) {
    case TIDE_RF32: c.f = sum ? 0 : prod ? 1 : max ? -__builtin_inff() : __builtin_inff(); break;
    case TIDE_RF64: c.d = sum ? 0 : prod ? 1 : max ? -__builtin_inf() : __builtin_inf(); break;
    case TIDE_RI32: c.i = sum ? 0 : prod ? 1 : max ? INT32_MIN : INT32_MAX; break;
    default: c.l = sum ? 0 : prod ? 1 : max ? INT64_MIN : INT64_MAX;
    }
    return c;
}

/* Overwrites x. */
static cell reduce(int op, int type, cell *x, int64_t n) {
    if (n == 0) return neutral(op, type);
    if (n > TIDE_CHUNK) {
        int64_t chunks = 0;
        for (int64_t i = 0; i < n; i += TIDE_CHUNK)
            x[chunks++] = reduce(op, type, x + i, n - i < TIDE_CHUNK ? n - i : TIDE_CHUNK);
        return reduce(op, type, x, chunks);
    }
    cell lane[TIDE_LANES];
    int64_t lanes = n < TIDE_LANES ? n : TIDE_LANES;
    for (int64_t i = 0; i < n; i++)
        lane[i % TIDE_LANES] = i < TIDE_LANES ? x[i] : compute(op, type, lane[i % TIDE_LANES], x[i], x[i]);
    for (int64_t s = TIDE_LANES / 2; s >= 1; s /= 2)
        for (int64_t i = 0; i < s && i + s < lanes; i++)
            lane[i] = compute(op, type, lane[i], lane[i + s], lane[i]);
    return lane[0];
}

/* ---- programs ---- */

typedef struct {
    const tide_prog *p;
    int64_t K, R;
    cell **value; /* K x R, where it varies */
} machine;

static int64_t place(const machine *m, int v, int64_t k, int64_t r) {
    int s = m->p->insn[v].space;
    return (s & TIDE_KEPT ? k : 0) * (s & TIDE_REDUCED ? m->R : 1) + (s & TIDE_REDUCED ? r : 0);
}

static cell at(const machine *m, int v, int64_t k, int64_t r) { return m->value[v][place(m, v, k, r)]; }

static cell evaluate(const machine *m, const tide_iter *it, const uint64_t *slot, int v, int64_t k, int64_t r,
                     cell *work) {
    const tide_prog *p = m->p;
    const tide_insn *i = &p->insn[v];
    cell a = {.bits = 0}, b = a, c = a;
    int type = i->type;
    if (tide_insn_nargs[i->op] > 0)
        a = tide_insn_kind[i->op] == 'R' ? a : at(m, i->a, k, r), type = p->insn[i->a].type;
    if (tide_insn_nargs[i->op] > 1) b = at(m, i->b, k, r);
    if (tide_insn_nargs[i->op] > 2) c = at(m, i->c, k, r);
    if (tide_insn_kind[i->op] == 'R') {
        int64_t n = i->aux == TIDE_AXIS_R ? m->R : m->K;
        for (int64_t j = 0; j < n; j++) work[j] = i->aux == TIDE_AXIS_R ? at(m, i->a, k, j) : at(m, i->a, j, r);
        return reduce(i->op, i->type, work, n);
    }
    switch (i->op) {
    case TIDE_P_LOAD: return load(p->arg[i->a].dtype, element(p, it, i->a, k, r));
    case TIDE_P_CONST: return (cell){.bits = p->konst[i->a]};
    case TIDE_P_SLOT:
        return convert((cell){.bits = slot[i->a]}, p->slot[i->a].is_float ? TIDE_RF64 : TIDE_RI64, i->type);
    case TIDE_P_INDEX_K: return (cell){.l = k};
    case TIDE_P_INDEX_R: return (cell){.l = r};
    case TIDE_P_SIZE_K: return (cell){.l = m->K};
    case TIDE_P_SIZE_R: return (cell){.l = m->R};
    case TIDE_P_RANDOM: return random_word(a, slot[i->b], slot[i->c]);
    case TIDE_P_CVT: return convert(a, type, i->type);
    case TIDE_P_ROUND_TO: return round_to(a, i->aux);
    default: return compute(i->op, type, a, b, c);
    }
}

int reference_run(const tide_prog *p, const tide_iter *it, const uint64_t *slot) {
    machine m = {p, it->K, it->R, calloc((size_t)p->n + 1, sizeof(cell *))};
    cell *work = malloc((size_t)(it->K > it->R ? it->K : it->R) * sizeof *work + 1);
    int failed = m.value && work ? -1 : -2;
    for (int v = 0; v < p->n && failed != -2; v++) {
        if (tide_insn_kind[p->insn[v].op] == 'E') continue;
        int64_t K = p->insn[v].space & TIDE_KEPT ? m.K : 1, R = p->insn[v].space & TIDE_REDUCED ? m.R : 1;
        m.value[v] = malloc((size_t)(K * R) * sizeof(cell) + 1);
        if (!m.value[v]) failed = -2;
        for (int64_t k = 0; k < K && m.value[v]; k++)
            for (int64_t r = 0; r < R; r++)
                m.value[v][place(&m, v, k, r)] = evaluate(&m, it, slot, v, k, r, work);
    }
    for (int v = 0; v < p->n && failed != -2; v++) {
        const tide_insn *i = &p->insn[v];
        if (tide_insn_kind[i->op] != 'E') continue;
        int space = i->op == TIDE_P_STORE ? p->arg[i->b].space : p->insn[i->a].space;
        int64_t K = space & TIDE_KEPT ? m.K : 1, R = space & TIDE_REDUCED ? m.R : 1;
        for (int64_t k = 0; k < K; k++) {
            for (int64_t r = 0; r < R; r++) {
                cell c = at(&m, i->a, k, r);
                if (i->op == TIDE_P_STORE)
                    store(p->arg[i->b].dtype, element(p, it, i->b, k, r), c);
                else if (!c.m && (failed < 0 || i->b < failed))
                    failed = i->b;
            }
        }
    }
    for (int v = 0; v < p->n && m.value; v++) free(m.value[v]);
    free(m.value);
    free(work);
    return failed;
}

static bool is_nan(tide_dtype dtype, const char *at) {
    if (dtype == TIDE_F64) return tide_isnan_f64(READ(double, at));
    if (dtype == TIDE_F32 || dtype == TIDE_F16 || dtype == TIDE_BF16) return tide_isnan_f32(load(dtype, at).f);
    return false;
}

int64_t reference_differs(tide_dtype dtype, int ndim, const int64_t *size, const int64_t *stride, const char *a,
                          const char *b) {
    static const uint8_t bytes[] = {0, 4, 8, 2, 2, 8, 4, 1, 1, 1};
    int64_t n = 1;
    for (int d = 0; d < ndim; d++) n *= size[d];
    for (int64_t i = 0; i < n; i++) {
        int64_t off = offset_of(ndim, size, stride, i);
        if (memcmp(a + off, b + off, bytes[dtype]) && !(is_nan(dtype, a + off) && is_nan(dtype, b + off)))
            return i;
    }
    return -1;
}
