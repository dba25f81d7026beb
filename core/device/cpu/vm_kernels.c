/* The loops of the vector machine, compiled once for each instruction set: TIDE_VM_ISA names the table.
 *
 * Every loop works on W elements at a time, WIDE where bytes or halves are among them: `name_w` is that step,
 * written so that the compiler turns it into vector instructions, `name_loop` goes over a block; the tail goes
 * through a padded copy of the operands. An operand that is one element for the whole row is spread first, so
 * one loop serves all mixes of operands. */
#include "device/cpu/vm_kernels.h"
#include "base/random.h"
#include "program/math.h"
#include <stdlib.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

enum { W = 16, WIDE = 64 };

/* Memory that another type may have been written to. */
typedef float __attribute__((may_alias)) f32;
typedef double __attribute__((may_alias)) f64;
typedef int32_t __attribute__((may_alias)) i32;
typedef int64_t __attribute__((may_alias)) i64;
typedef uint32_t __attribute__((may_alias)) u32;
typedef uint64_t __attribute__((may_alias)) u64;
typedef uint16_t __attribute__((may_alias)) u16;
typedef int8_t i8;
typedef uint8_t m8;

#define INLINE static inline __attribute__((always_inline))
/* Not unrolled before it is vectorised: most loops vectorise only then. */
#define EACH(w) _Pragma("GCC ivdep") _Pragma("GCC unroll 1") for (int j = 0; j < w; j++)

/* clang-format off */ /* it takes the macros for expressions */

/* ---- the frame around every loop ---- */

/* Less than W elements, to or from a padded copy. */
INLINE void few(void *to, const void *from, int64_t bytes) {
#if defined(__AVX512BW__) && defined(__AVX512VL__)
    for (; bytes > 64; bytes -= 64, to = (char *)to + 64, from = (const char *)from + 64)
        _mm512_storeu_si512(to, _mm512_loadu_si512(from));
    __mmask64 m = ~(__mmask64)0 >> (64 - bytes);
    _mm512_mask_storeu_epi8(to, m, _mm512_maskz_loadu_epi8(m, from));
#else
    memcpy(to, from, (size_t)bytes);
#endif
}

/* Fewer, longer rows where the operands allow it: rows in a row are one row, and so is a column. Written
 * out, not looped over, so that the places stay in registers. */
#define JOINS(x) (x.so == ni * x.si)
#define IS_COLUMN(x, T) (x.so == 0 || x.so == (int64_t)sizeof(T))
#define LENGTHEN(all_join, all_columns, turn) \
    if (no > 1) { \
        if (all_join) { \
            ni *= no; \
            no = 1; \
        } else if (ni == 1 && all_columns) { \
            turn; \
            ni = no; \
            no = 1; \
        } \
    }

#define OPERAND(x, T, w) \
    const T *p##x = (const T *)x.p; \
    int64_t t##x = w; \
    T s##x[w]; \
    if (!x.si) { \
        EACH(w) s##x[j] = *p##x; \
        p##x = s##x; \
        t##x = 0; \
    }
#define PADDED(x, T, w) \
    T q##x[w] = {0}; \
    few(q##x, p##x, n * (int64_t)sizeof(T));

#define LOOP1(w, name, R, A) \
    static void name##_loop(const tide_loc *loc, const uint16_t *ref, int64_t no, int64_t ni) { \
        tide_loc d = loc[ref[0]], a = loc[ref[1]]; \
        LENGTHEN(JOINS(d) && JOINS(a), IS_COLUMN(d, R) && IS_COLUMN(a, A), (d.si = d.so, a.si = a.so)) \
        for (; no > 0; no--, d.p += d.so, a.p += a.so) { \
            R *pd = (R *)d.p; \
            OPERAND(a, A, w) \
            int64_t n = ni; \
            for (; n >= w; n -= w, pd += w, pa += ta) name##_w(pd, pa); \
            if (n) { \
                R qd[w]; \
                PADDED(a, A, w) \
                name##_w(qd, qa); \
                few(pd, qd, n * (int64_t)sizeof(R)); \
            } \
        } \
    }

#define LOOP2(w, name, R, A, B) \
    static void name##_loop(const tide_loc *loc, const uint16_t *ref, int64_t no, int64_t ni) { \
        tide_loc d = loc[ref[0]], a = loc[ref[1]], b = loc[ref[2]]; \
        LENGTHEN(JOINS(d) && JOINS(a) && JOINS(b), IS_COLUMN(d, R) && IS_COLUMN(a, A) && IS_COLUMN(b, B), \
                 (d.si = d.so, a.si = a.so, b.si = b.so)) \
        for (; no > 0; no--, d.p += d.so, a.p += a.so, b.p += b.so) { \
            R *pd = (R *)d.p; \
            OPERAND(a, A, w) OPERAND(b, B, w) \
            int64_t n = ni; \
            for (; n >= w; n -= w, pd += w, pa += ta, pb += tb) name##_w(pd, pa, pb); \
            if (n) { \
                R qd[w]; \
                PADDED(a, A, w) PADDED(b, B, w) \
                name##_w(qd, qa, qb); \
                few(pd, qd, n * (int64_t)sizeof(R)); \
            } \
        } \
    }

#define LOOP3(w, name, R, A, B, C) \
    static void name##_loop(const tide_loc *loc, const uint16_t *ref, int64_t no, int64_t ni) { \
        tide_loc d = loc[ref[0]], a = loc[ref[1]], b = loc[ref[2]], c = loc[ref[3]]; \
        LENGTHEN(JOINS(d) && JOINS(a) && JOINS(b) && JOINS(c), \
                 IS_COLUMN(d, R) && IS_COLUMN(a, A) && IS_COLUMN(b, B) && IS_COLUMN(c, C), \
                 (d.si = d.so, a.si = a.so, b.si = b.so, c.si = c.so)) \
        for (; no > 0; no--, d.p += d.so, a.p += a.so, b.p += b.so, c.p += c.so) { \
            R *pd = (R *)d.p; \
            OPERAND(a, A, w) OPERAND(b, B, w) OPERAND(c, C, w) \
            int64_t n = ni; \
            for (; n >= w; n -= w, pd += w, pa += ta, pb += tb, pc += tc) name##_w(pd, pa, pb, pc); \
            if (n) { \
                R qd[w]; \
                PADDED(a, A, w) PADDED(b, B, w) PADDED(c, C, w) \
                name##_w(qd, qa, qb, qc); \
                few(pd, qd, n * (int64_t)sizeof(R)); \
            } \
        } \
    }

#define UNARY_BY(w, name, R, T, expr) \
    INLINE void name##_w(R *d, const T *a) { \
        EACH(w) { \
            T x = a[j]; \
            d[j] = (R)(expr); \
        } \
    } \
    LOOP1(w, name, R, T)

#define BINARY_BY(w, name, R, T, expr) \
    INLINE void name##_w(R *d, const T *a, const T *b) { \
        EACH(w) { \
            T x = a[j], y = b[j]; \
            d[j] = (R)(expr); \
        } \
    } \
    LOOP2(w, name, R, T, T)

#define UNARY(name, R, T, expr) UNARY_BY(W, name, R, T, expr)
#define BINARY(name, R, T, expr) BINARY_BY(W, name, R, T, expr)

/* ---- instructions ---- */

#define UNARY_MATH(X, t, T) \
    X(abs, t, T) X(sign, t, T) X(sqrt, t, T) X(rsqrt, t, T) X(exp, t, T) X(expm1, t, T) X(exp2, t, T) \
    X(log, t, T) X(log1p, t, T) X(log2, t, T) X(log10, t, T) X(asin, t, T) X(acos, t, T) X(atan, t, T) \
    X(sinh, t, T) X(cosh, t, T) X(tanh, t, T) X(sigmoid, t, T) X(erf, t, T) X(erfc, t, T) \
    X(floor, t, T) X(ceil, t, T) X(trunc, t, T) X(round, t, T)
#define BINARY_MATH(X, t, T) \
    X(floordiv, t, T) X(mod, t, T) X(fmod, t, T) X(pow, t, T) X(atan2, t, T) X(copysign, t, T) \
    X(min, t, T) X(max, t, T)

#define UNARY_OF(f, t, T) UNARY(f##_##t, T, T, tide_##f##_##t(x))
#define BINARY_OF(f, t, T) BINARY(f##_##t, T, T, tide_##f##_##t(x, y))

/* Large arguments of sin, cos and tan take a way that does not vectorise; both ways give the same bits. */
#define TRIG_OF(f, t, T, SMALL) \
    INLINE void f##_##t##_w(T *d, const T *a) { \
        int large = 0; \
        EACH(W) large |= !(tide_abs_##t(a[j]) <= SMALL); \
        if (__builtin_expect(large, 0)) \
            for (int j = 0; j < W; j++) d[j] = tide_##f##_##t(a[j]); \
        else \
            EACH(W) d[j] = tide_##f##_small_##t(a[j]); \
    } \
    LOOP1(W, f##_##t, T, T)

#define COMPARISONS(t, T) \
    BINARY_BY(WIDE, eq_##t, m8, T, x == y) \
    BINARY_BY(WIDE, ne_##t, m8, T, x != y)
#define ORDERINGS(t, T) \
    BINARY_BY(WIDE, lt_##t, m8, T, x < y) \
    BINARY_BY(WIDE, le_##t, m8, T, x <= y)
/* By size: bits are chosen, not numbers. */
#define SELECT_OF(size, U) \
    INLINE void select_##size##_w(U *d, const m8 *m, const U *a, const U *b) { \
        EACH(WIDE) { \
            U all = (U)(0 - (U)m[j]); \
            d[j] = (a[j] & all) | (b[j] & ~all); \
        } \
    } \
    LOOP3(WIDE, select_##size, U, m8, U, U)
SELECT_OF(1, m8)
SELECT_OF(4, u32)
SELECT_OF(8, u64)

#define FLOATS(t, T, SMALL) \
    UNARY(neg_##t, T, T, -x) \
    UNARY_MATH(UNARY_OF, t, T) \
    TRIG_OF(sin, t, T, SMALL) \
    TRIG_OF(cos, t, T, SMALL) \
    TRIG_OF(tan, t, T, SMALL) \
    UNARY_BY(WIDE, isnan_##t, m8, T, x != x) \
    BINARY(add_##t, T, T, x + y) \
    BINARY(sub_##t, T, T, x - y) \
    BINARY(mul_##t, T, T, x * y) \
    BINARY(div_##t, T, T, x / y) \
    BINARY_MATH(BINARY_OF, t, T) \
    COMPARISONS(t, T) \
    ORDERINGS(t, T) \
    INLINE void fma_##t##_w(T *d, const T *a, const T *b, const T *c) { \
        EACH(W) d[j] = tide_fma_##t(a[j], b[j], c[j]); \
    } \
    LOOP3(W, fma_##t, T, T, T, T)

FLOATS(f32, f32, TIDE_TRIG_SMALL_F32)
FLOATS(f64, f64, TIDE_TRIG_SMALL_F64)

#define INTEGERS(t, T, U) \
    UNARY(neg_##t, T, T, 0 - (U)x) \
    UNARY(abs_##t, T, T, x < 0 ? 0 - (U)x : (U)x) \
    UNARY(sign_##t, T, T, (x > 0) - (x < 0)) \
    UNARY(not_##t, T, T, ~x) \
    BINARY(add_##t, T, T, (U)x + (U)y) \
    BINARY(sub_##t, T, T, (U)x - (U)y) \
    BINARY(mul_##t, T, T, (U)x * (U)y) \
    BINARY(div_##t, T, T, tide_tdiv_##t(x, y)) \
    BINARY(floordiv_##t, T, T, tide_div_##t(x, y)) \
    BINARY(mod_##t, T, T, tide_mod_##t(x, y)) \
    BINARY(fmod_##t, T, T, tide_tmod_##t(x, y)) \
    BINARY(pow_##t, T, T, tide_ipow_##t(x, y)) \
    BINARY(min_##t, T, T, x < y ? x : y) \
    BINARY(max_##t, T, T, x > y ? x : y) \
    BINARY(and_##t, T, T, x & y) \
    BINARY(or_##t, T, T, x | y) \
    BINARY(xor_##t, T, T, x ^ y) \
    BINARY(shl_##t, T, T, tide_shl_##t(x, y)) \
    BINARY(shr_##t, T, T, tide_shr_##t(x, y)) \
    COMPARISONS(t, T) \
    ORDERINGS(t, T)

INTEGERS(i32, i32, uint32_t)
INTEGERS(i64, i64, uint64_t)

UNARY_BY(WIDE, not_m8, m8, m8, !x)
BINARY_BY(WIDE, and_m8, m8, m8, x & y)
BINARY_BY(WIDE, or_m8, m8, m8, x | y)
BINARY_BY(WIDE, xor_m8, m8, m8, x ^ y)
COMPARISONS(m8, m8)

/* ---- conversions between registers, and to what a storage dtype can hold ---- */

#define COPY(t, T) UNARY(t##_of_##t, T, T, x)
#define CAST(to, from) UNARY(to##_of_##from, to, from, x)
#define CVT(to, from) UNARY(to##_of_##from, to, from, tide_##to##_of_##from(x))
#define TRUTH(to) UNARY_BY(WIDE, to##_of_m8, to, m8, x) UNARY_BY(WIDE, m8_of_##to, m8, to, x != 0)
COPY(f32, f32) CAST(f32, f64) CVT(f32, i32) CVT(f32, i64)
CAST(f64, f32) COPY(f64, f64) CVT(f64, i32) CVT(f64, i64)
CVT(i32, f32) CVT(i32, f64) COPY(i32, i32) CAST(i32, i64)
CVT(i64, f32) CVT(i64, f64) CAST(i64, i32) COPY(i64, i64)
TRUTH(f32) TRUTH(f64) TRUTH(i32) TRUTH(i64)
UNARY_BY(WIDE, m8_of_m8, m8, m8, x)

UNARY(round_f16, f32, f32, tide_f32_of_f16(tide_f16_of_f32(x)))
UNARY(round_bf16, f32, f32, tide_f32_of_bf16(tide_bf16_of_f32(x)))
UNARY(round_i8, i32, i32, (int8_t)(uint32_t)x)
UNARY(round_u8, i32, i32, (uint8_t)x)

/* ---- memory ---- */

INLINE tide_loc turned(tide_loc x) { return (tide_loc){x.p, x.si, x.so}; }

/* Between a register and memory with any strides: along the denser axis of the memory. */
#define MOVE(name, R, T, expr, memory) \
    UNARY_BY(WIDE, name##_dense, R, T, expr) \
    static void name##_loop(const tide_loc *loc, const uint16_t *ref, int64_t no, int64_t ni) { \
        tide_loc d = loc[ref[0]], a = loc[ref[1]]; \
        if (d.si == sizeof(R) && (a.si == sizeof(T) || a.si == 0)) { \
            name##_dense_loop(loc, ref, no, ni); \
            return; \
        } \
        if (llabs(memory.so) < llabs(memory.si)) { \
            d = turned(d); \
            a = turned(a); \
            int64_t n = no; \
            no = ni; \
            ni = n; \
        } \
        for (; no > 0; no--, d.p += d.so, a.p += a.so) { \
            char *pd = d.p, *pa = a.p; \
            for (int64_t j = 0; j < ni; j++, pd += d.si, pa += a.si) { \
                T x = *(const T *)pa; \
                *(R *)pd = (R)(expr); \
            } \
        } \
    }


#define LOAD(name, R, T, expr) MOVE(load_##name, R, T, expr, a)
#define STORE(name, R, T, expr) MOVE(store_##name, R, T, expr, d)
LOAD(f32, f32, f32, x)
LOAD(f64, f64, f64, x)
LOAD(i64, i64, i64, x)
LOAD(i32, i32, i32, x)
LOAD(f16, f32, u16, tide_f32_of_f16(x))
LOAD(bf16, f32, u16, tide_f32_of_bf16(x))
LOAD(i8, i32, i8, x)
LOAD(u8, i32, m8, x)
LOAD(bool, m8, m8, x != 0)
STORE(f16, u16, f32, tide_f16_of_f32(x))
STORE(bf16, u16, f32, tide_bf16_of_f32(x))
STORE(i8, i8, i32, (uint32_t)x)
STORE(u8, m8, i32, x)
STORE(f32, f32, f32, x)
STORE(f64, f64, f64, x)
STORE(i64, i64, i64, x)
STORE(i32, i32, i32, x)
STORE(bool, m8, m8, x)

/* Whole lines that nobody has read need not be fetched to be written. */
#if defined(__AVX512F__)
#define LINE 64
#define STREAM(to, from) _mm512_stream_ps(to, _mm512_loadu_ps(from))
#define STREAM_SAME(to, x) _mm512_stream_ps(to, _mm512_set1_ps(x))
#elif defined(__AVX2__)
#define LINE 32
#define STREAM(to, from) _mm256_stream_ps(to, _mm256_loadu_ps(from))
#define STREAM_SAME(to, x) _mm256_stream_ps(to, _mm256_set1_ps(x))
#endif
static void stream_f32(const tide_loc *loc, const uint16_t *ref, int64_t no, int64_t ni) {
#ifdef LINE
    tide_loc d = loc[ref[0]], a = loc[ref[1]];
    enum { N = LINE / sizeof(float) };
    if (d.si != sizeof(float) || (a.si && a.si != sizeof(float))) {
        store_f32_loop(loc, ref, no, ni);
        return;
    }
    LENGTHEN(JOINS(d) && JOINS(a), false, (void)0)
    for (; no > 0; no--, d.p += d.so, a.p += a.so) {
        float *to = (float *)d.p;
        const float *from = (const float *)a.p;
        int64_t j = 0, whole = (int64_t)(-(uintptr_t)to % LINE / sizeof(float));
        for (; j < ni && j < whole; j++) to[j] = from[a.si ? j : 0];
        for (whole = j + (ni - j) / N * N; j < whole; j += N)
            if (a.si)
                STREAM(to + j, from + j);
            else
                STREAM_SAME(to + j, *from);
        for (; j < ni; j++) to[j] = from[a.si ? j : 0];
    }
#else
    store_f32_loop(loc, ref, no, ni);
#endif
}

/* ---- sources and effects ---- */

static void index_i64(const tide_loc *loc, const uint16_t *ref, int64_t no, int64_t ni) {
    tide_loc d = loc[ref[0]], a = loc[ref[1]];
    int64_t first = (int64_t)(intptr_t)a.p;
    LENGTHEN(JOINS(d) && JOINS(a), IS_COLUMN(d, i64) && a.so <= 1, (d.si = d.so, a.si = a.so))
    for (; no > 0; no--, d.p += d.so, first += a.so) {
        i64 *pd = (i64 *)d.p;
        for (int64_t j = 0; j < ni; j++) pd[j] = first + j * a.si;
    }
}

/* W counters in a row. */
INLINE void philox_w(uint64_t key, uint64_t hi, uint64_t counter, u32 w[4][W]) {
    EACH(W) {
        uint32_t out[4];
        tide_philox(key, hi, counter + (uint64_t)j, out);
        w[0][j] = out[0];
        w[1][j] = out[1];
        w[2][j] = out[2];
        w[3][j] = out[3];
    }
}

INLINE void random_any_w(u32 *d, const i64 *a, uint64_t key, uint64_t hi) {
    EACH(W) {
        uint32_t out[4];
        uint32_t k = (uint32_t)a[j] & 3;
        tide_philox(key, hi, (uint64_t)a[j] >> 2, out);
        d[j] = k == 0 ? out[0] : k == 1 ? out[1] : k == 2 ? out[2] : out[3];
    }
}

/* Numbers in a row share their counters, four a counter. */
static void random_row(u32 *d, const i64 *a, int64_t n, uint64_t key, uint64_t hi) {
    uint64_t i = (uint64_t)a[0], end = i + (uint64_t)n;
    u32 w[4][W], flat[4 * W];
    while (i < end) {
        uint64_t base = i & ~(uint64_t)3, m = 4 * W - (i - base);
        philox_w(key, hi, base >> 2, w);
        EACH(W) {
            flat[4 * j] = w[0][j];
            flat[4 * j + 1] = w[1][j];
            flat[4 * j + 2] = w[2][j];
            flat[4 * j + 3] = w[3][j];
        }
        if (m > end - i) m = end - i;
        memcpy(d, flat + (i - base), m * sizeof *d);
        d += m;
        i += m;
    }
}

static void random_i32(const tide_loc *loc, const uint16_t *ref, int64_t no, int64_t ni) {
    tide_loc d = loc[ref[0]], a = loc[ref[1]];
    uint64_t key = *(const uint64_t *)loc[ref[2]].p, hi = *(const uint64_t *)loc[ref[3]].p;
    LENGTHEN(JOINS(d) && JOINS(a), IS_COLUMN(d, u32) && IS_COLUMN(a, i64), (d.si = d.so, a.si = a.so))
    for (; no > 0; no--, d.p += d.so, a.p += a.so) {
        u32 *pd = (u32 *)d.p;
        OPERAND(a, i64, W)
        bool row = ta != 0 && *pa >= 0;
        for (int64_t j = 1; j < ni && row; j++) row = pa[j] == pa[j - 1] + 1;
        if (row) {
            random_row(pd, pa, ni, key, hi);
            continue;
        }
        int64_t n = ni;
        for (; n >= W; n -= W, pd += W, pa += ta) random_any_w(pd, pa, key, hi);
        if (n) {
            u32 qd[W];
            PADDED(a, i64, W)
            random_any_w(qd, qa, key, hi);
            few(pd, qd, n * (int64_t)sizeof(u32));
        }
    }
}

/* The place of the result: p is the word that collects failures, so the number of the check. */
static void check(const tide_loc *loc, const uint16_t *ref, int64_t no, int64_t ni) {
    tide_loc a = loc[ref[1]];
    int bad = 0;
    LENGTHEN(JOINS(a), IS_COLUMN(a, m8), a.si = a.so)
    for (; no > 0; no--, a.p += a.so) {
        const m8 *pa = (const m8 *)a.p;
        int64_t n = a.si ? ni : 1;
        for (int64_t j = 0; j < n; j++) bad |= !pa[j];
    }
    if (bad) __atomic_fetch_or((uint32_t *)loc[ref[0]].p, 1u << loc[ref[0]].so, __ATOMIC_RELAXED);
}

/* ---- reductions ---- */

#define HALVE(name, n) \
    case 2 * n: name##_into(l, l, l + n, n); __attribute__((fallthrough));

enum { FAR = 8192 }; /* bytes: beyond the end of the page, where a processor's own foresight stops */
INLINE void fetch(const void *x, int64_t bytes) {
    for (int64_t j = 0; j < bytes; j += 64) __builtin_prefetch((const char *)x + j);
}

/* lane[0..len) of `rounds` rounds of len elements, a multiple of TIDE_LANES */
#define PLAIN_ROUNDS(name, T) \
    INLINE void name##_rounds(T *lane, const T *x, int64_t len, int64_t rounds, bool open, bool far) { \
        for (int64_t g = 0; g < len; g += TIDE_LANES) { \
            T l[TIDE_LANES]; \
            memcpy(l, open ? x + g : lane + g, sizeof l); \
            for (int64_t r = open; r < rounds; r++) { \
                if (far) fetch((const char *)(x + r * len + g) + FAR, sizeof l); \
                name##_into(l, l, x + r * len + g, TIDE_LANES); \
            } \
            memcpy(lane + g, l, sizeof l); \
        } \
    }

/* The same for maxima: first with the processor's own comparison, which differs only in NaN and in the sign of
 * zero; where one of them (or an infinity) turns up, once more. */
#define EXTREME_ROUNDS(name, T, op) \
    INLINE void name##_rounds(T *lane, const T *x, int64_t len, int64_t rounds, bool open, bool far) { \
        for (int64_t g = 0; g < len; g += TIDE_LANES) { \
            T l[TIDE_LANES], finite[TIDE_LANES] = {0}; \
            int odd = 0; \
            memcpy(l, open ? x + g : lane + g, sizeof l); \
            for (int64_t r = open; r < rounds; r++) { \
                if (far) fetch((const char *)(x + r * len + g) + FAR, sizeof l); \
                _Pragma("GCC ivdep") for (int j = 0; j < TIDE_LANES; j++) { \
                    T y = x[r * len + g + j]; \
                    l[j] = y op l[j] ? y : l[j]; \
                    finite[j] += y * 0; \
                } \
            } \
            for (int j = 0; j < TIDE_LANES; j++) odd |= (finite[j] != finite[j]) | (l[j] == 0); \
            if (odd) { \
                memcpy(l, open ? x + g : lane + g, sizeof l); \
                for (int64_t r = open; r < rounds; r++) name##_into(l, l, x + r * len + g, TIDE_LANES); \
            } \
            memcpy(lane + g, l, sizeof l); \
        } \
    }
#define MAX_ROUNDS(name, T) EXTREME_ROUNDS(name, T, >)
#define MIN_ROUNDS(name, T) EXTREME_ROUNDS(name, T, <)

enum { AHEAD = 16 }; /* rows, of which each may lie in another page: no processor sees those coming */

/* `_lanes` leaves min(n, W) lanes of a row; `_rows` then takes the rest of the way for W rows at a time, so
 * that the rows do not wait for each other's last few additions. */
#define REDUCTION(name, T, expr, ROUNDS) \
    INLINE void name##_into(T *d, const T *a, const T *b, int64_t n) { \
        _Pragma("GCC ivdep") for (int64_t j = 0; j < n; j++) { \
            T x = a[j], y = b[j]; \
            d[j] = (T)(expr); \
        } \
    } \
    ROUNDS(name, T) \
    INLINE void name##_lanes(T *to, const T *x, int64_t n, bool far) { \
        _Alignas(64) T l[TIDE_LANES]; \
        int64_t s = TIDE_LANES; \
        if (n <= 2 * TIDE_LANES) { \
            while (s >= n) s /= 2; \
            name##_into(l, x, x + s, n - s); \
            memcpy(l + (n - s), x + (n - s), (size_t)(2 * s - n) * sizeof(T)); \
        } else { \
            int64_t rounds = n / TIDE_LANES, whole = rounds * TIDE_LANES; \
            name##_rounds(l, x, TIDE_LANES, rounds, true, far); \
            name##_into(l, l, x + whole, n - whole); \
        } \
        switch (s) { \
            HALVE(name, 128) HALVE(name, 64) HALVE(name, 32) HALVE(name, 16) \
        default: memcpy(to, l, W * sizeof(T)); \
        } \
    } \
    INLINE T name##_short(const T *x, int64_t n) { \
        T l[W]; \
        memcpy(l, x, (size_t)n * sizeof(T)); \
        for (int64_t s = W / 2; s >= 1; s /= 2) \
            for (int64_t j = 0; j < s && j + s < n; j++) name##_into(l + j, l + j, l + j + s, 1); \
        return *l; \
    } \
    static void name##_rows(void *d, const char *x, int64_t so, int64_t no, int64_t ni, bool far) { \
        T *to = d; \
        if (ni <= W) { \
            for (; no > 0; no--, x += so) *to++ = name##_short((const T *)x, ni); \
            return; \
        } \
        _Alignas(64) T l[W][W], h[W][W / 2], q[W][W / 4], p[W][W / 8]; \
        for (; no > 0; no -= W) { \
            int64_t m = no < W ? no : W; \
            for (int64_t i = 0; i < m; i++, x += so) name##_lanes(l[i], (const T *)x, ni, far); \
            for (int64_t i = 0; i < m; i++) name##_into(h[i], l[i], l[i] + W / 2, W / 2); \
            for (int64_t i = 0; i < m; i++) name##_into(q[i], h[i], h[i] + W / 4, W / 4); \
            for (int64_t i = 0; i < m; i++) name##_into(p[i], q[i], q[i] + W / 8, W / 8); \
            for (int64_t i = 0; i < m; i++) name##_into(to++, p[i], p[i] + 1, 1); \
        } \
    } \
    static void name##_fold(void *acc, const char *x, int64_t so, int64_t r, int64_t n, int64_t k, bool far) { \
        bool joined = so == k * (int64_t)sizeof(T); \
        while (n > 0) { \
            int64_t lane = r % TIDE_LANES, m = joined ? TIDE_LANES - lane : 1; \
            T *to = (T *)acc + lane * k; \
            if (joined && lane == 0 && n >= TIDE_LANES) { \
                m = n / TIDE_LANES * TIDE_LANES; \
                name##_rounds(to, (const T *)x, TIDE_LANES * k, m / TIDE_LANES, r == 0, far); \
            } else { \
                if (m > n) m = n; \
                if (far && n > AHEAD) fetch(x + AHEAD * so, k * (int64_t)sizeof(T)); \
                if (r < TIDE_LANES) \
                    memcpy(to, x, (size_t)(m * k) * sizeof(T)); \
                else \
                    name##_into(to, to, (const T *)x, m * k); \
            } \
            x += m * so; \
            r += m; \
            n -= m; \
        } \
    } \
    static void name##_tree(void *d, void *acc, const char *x, int64_t so, int64_t n, int64_t k) { \
        T *l = acc; \
        int64_t s = 1; \
        if (n == 1) { \
            memcpy(d, x, (size_t)k * sizeof(T)); \
            return; \
        } \
        while (2 * s < n) s *= 2; \
        T *to = s == 1 ? d : l; \
        int64_t one = so == k * (int64_t)sizeof(T) ? n - s : 1; /* vectors taken at once */ \
        for (int64_t i = 0; i < n - s; i += one) \
            name##_into(to + i * k, (const T *)(x + i * so), (const T *)(x + (i + s) * so), one * k); \
        for (int64_t i = n - s; i < s && x != (char *)to; i++) \
            memcpy(to + i * k, x + i * so, (size_t)k * sizeof(T)); \
        for (s /= 2; s >= 1; s /= 2) name##_into(s == 1 ? d : l, l, l + s * k, s * k); \
    }

#define REDUCTIONS_OF(t, T, sum, prod, max, min, MAX, MIN) \
    REDUCTION(sum_##t, T, sum, PLAIN_ROUNDS) \
    REDUCTION(prod_##t, T, prod, PLAIN_ROUNDS) \
    REDUCTION(greatest_##t, T, max, MAX) \
    REDUCTION(least_##t, T, min, MIN)
#define FLOAT_REDUCTIONS(t, T) \
    REDUCTIONS_OF(t, T, x + y, x * y, tide_max_##t(x, y), tide_min_##t(x, y), MAX_ROUNDS, MIN_ROUNDS)
#define INTEGER_REDUCTIONS(t, T, U) \
    REDUCTIONS_OF(t, T, (U)x + (U)y, (U)x * (U)y, x > y ? x : y, x < y ? x : y, PLAIN_ROUNDS, PLAIN_ROUNDS)
FLOAT_REDUCTIONS(f32, f32)
FLOAT_REDUCTIONS(f64, f64)
INTEGER_REDUCTIONS(i32, i32, uint32_t)
INTEGER_REDUCTIONS(i64, i64, uint64_t)

/* ---- the table ---- */

#define FLOAT_ROW(OP, f) [TIDE_P_##OP] = {[TIDE_RF32] = f##_f32_loop, [TIDE_RF64] = f##_f64_loop}
#define NUMBER_ROW(OP, f) \
    [TIDE_P_##OP] = {[TIDE_RF32] = f##_f32_loop, [TIDE_RF64] = f##_f64_loop, [TIDE_RI32] = f##_i32_loop, [TIDE_RI64] = f##_i64_loop}
#define ANY_ROW(OP, f) \
    [TIDE_P_##OP] = {[TIDE_RF32] = f##_f32_loop, \
                     [TIDE_RF64] = f##_f64_loop, \
                     [TIDE_RI32] = f##_i32_loop, \
                     [TIDE_RI64] = f##_i64_loop, \
                     [TIDE_RMASK] = f##_m8_loop}
#define BITS_ROW(OP, f) [TIDE_P_##OP] = {[TIDE_RI32] = f##_i32_loop, [TIDE_RI64] = f##_i64_loop, [TIDE_RMASK] = f##_m8_loop}
#define INT_ROW(OP, f) [TIDE_P_##OP] = {[TIDE_RI32] = f##_i32_loop, [TIDE_RI64] = f##_i64_loop}
#define CVT_ROW(FROM, from) \
    [TIDE_R##FROM] = {[TIDE_RF32] = f32_of_##from##_loop, \
                      [TIDE_RF64] = f64_of_##from##_loop, \
                      [TIDE_RI32] = i32_of_##from##_loop, \
                      [TIDE_RI64] = i64_of_##from##_loop, \
                      [TIDE_RMASK] = m8_of_##from##_loop}
#define REDUCTION_ROW(OP, f) \
    [TIDE_P_##OP - TIDE_P_SUM] = {[TIDE_RF32] = {f##_f32_rows, f##_f32_fold, f##_f32_tree}, \
                                  [TIDE_RF64] = {f##_f64_rows, f##_f64_fold, f##_f64_tree}, \
                                  [TIDE_RI32] = {f##_i32_rows, f##_i32_fold, f##_i32_tree}, \
                                  [TIDE_RI64] = {f##_i64_rows, f##_i64_fold, f##_i64_tree}}

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

extern void JOIN(tide_vm_chain_, TIDE_VM_ISA)(const tide_loc *, const tide_vm_link *, int, int64_t, int64_t,
                                              tide_vm_ahead *);

const tide_vm_kernels JOIN(tide_vm_kernels_, TIDE_VM_ISA) = {
    .chain = JOIN(tide_vm_chain_, TIDE_VM_ISA),
    .op =
        {
            NUMBER_ROW(NEG, neg),
            NUMBER_ROW(ABS, abs),
            NUMBER_ROW(SIGN, sign),
            FLOAT_ROW(SQRT, sqrt),
            FLOAT_ROW(RSQRT, rsqrt),
            FLOAT_ROW(EXP, exp),
            FLOAT_ROW(EXPM1, expm1),
            FLOAT_ROW(EXP2, exp2),
            FLOAT_ROW(LOG, log),
            FLOAT_ROW(LOG1P, log1p),
            FLOAT_ROW(LOG2, log2),
            FLOAT_ROW(LOG10, log10),
            FLOAT_ROW(SIN, sin),
            FLOAT_ROW(COS, cos),
            FLOAT_ROW(TAN, tan),
            FLOAT_ROW(ASIN, asin),
            FLOAT_ROW(ACOS, acos),
            FLOAT_ROW(ATAN, atan),
            FLOAT_ROW(SINH, sinh),
            FLOAT_ROW(COSH, cosh),
            FLOAT_ROW(TANH, tanh),
            FLOAT_ROW(SIGMOID, sigmoid),
            FLOAT_ROW(ERF, erf),
            FLOAT_ROW(ERFC, erfc),
            FLOAT_ROW(FLOOR, floor),
            FLOAT_ROW(CEIL, ceil),
            FLOAT_ROW(TRUNC, trunc),
            FLOAT_ROW(ROUND, round),
            BITS_ROW(NOT, not),
            FLOAT_ROW(ISNAN, isnan),
            NUMBER_ROW(ADD, add),
            NUMBER_ROW(SUB, sub),
            NUMBER_ROW(MUL, mul),
            NUMBER_ROW(DIV, div),
            NUMBER_ROW(FLOORDIV, floordiv),
            NUMBER_ROW(MOD, mod),
            NUMBER_ROW(FMOD, fmod),
            NUMBER_ROW(POW, pow),
            FLOAT_ROW(ATAN2, atan2),
            FLOAT_ROW(COPYSIGN, copysign),
            NUMBER_ROW(MIN, min),
            NUMBER_ROW(MAX, max),
            BITS_ROW(AND, and),
            BITS_ROW(OR, or),
            BITS_ROW(XOR, xor),
            INT_ROW(SHL, shl),
            INT_ROW(SHR, shr),
            ANY_ROW(EQ, eq),
            ANY_ROW(NE, ne),
            NUMBER_ROW(LT, lt),
            NUMBER_ROW(LE, le),
            FLOAT_ROW(FMA, fma),
            [TIDE_P_SELECT] = {select_4_loop, select_8_loop, select_4_loop, select_8_loop, select_1_loop},
            [TIDE_P_RANDOM] = {[TIDE_RI64] = random_i32},
            [TIDE_P_CHECK] = {[TIDE_RMASK] = check},
        },
    .cvt = {CVT_ROW(F32, f32), CVT_ROW(F64, f64), CVT_ROW(I32, i32), CVT_ROW(I64, i64), CVT_ROW(MASK, m8)},
    .load = {[TIDE_F32] = load_f32_loop,
             [TIDE_F64] = load_f64_loop,
             [TIDE_F16] = load_f16_loop,
             [TIDE_BF16] = load_bf16_loop,
             [TIDE_I64] = load_i64_loop,
             [TIDE_I32] = load_i32_loop,
             [TIDE_I8] = load_i8_loop,
             [TIDE_U8] = load_u8_loop,
             [TIDE_BOOL] = load_bool_loop},
    .store = {[TIDE_F32] = store_f32_loop,
              [TIDE_F64] = store_f64_loop,
              [TIDE_F16] = store_f16_loop,
              [TIDE_BF16] = store_bf16_loop,
              [TIDE_I64] = store_i64_loop,
              [TIDE_I32] = store_i32_loop,
              [TIDE_I8] = store_i8_loop,
              [TIDE_U8] = store_u8_loop,
              [TIDE_BOOL] = store_bool_loop},
    .stream = stream_f32,
    .round_to = {[TIDE_F16] = round_f16_loop, [TIDE_BF16] = round_bf16_loop, [TIDE_I8] = round_i8_loop, [TIDE_U8] = round_u8_loop},
    .index = index_i64,
    .reduction = {REDUCTION_ROW(SUM, sum), REDUCTION_ROW(PROD, prod), REDUCTION_ROW(MAXR, greatest),
                  REDUCTION_ROW(MINR, least)},
};
