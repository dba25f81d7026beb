/* One arithmetic: the scalar functions that all elementwise work is made of. They give the same bits on every
 * instruction set, CPU or GPU (any NaN equals any NaN), because they use only + - * / sqrt, explicit fma,
 * comparisons, ?: and wrapping integers. What a loop calls is free of branches, tables and calls, so that gcc
 * vectorises it; only fmod, mod, floordiv, ipow and the circular functions beyond TIDE_TRIG_SMALL branch.
 *
 * C includes <stdint.h> first; CUDA source is compiled with -fmad=false -ftz=false -prec-div=true
 * -prec-sqrt=true, C with -ffp-contract=off -fno-math-errno -fno-trapping-math. Errors stay below 2 ULP (2.6
 * for tanh, sinh and sigmoid of floats): tests/accuracy.c has the figures. */
#ifndef TIDE_MATH_H
#define TIDE_MATH_H

#ifdef __CUDACC__
#ifndef TIDE_FN
#define TIDE_FN static __device__ __forceinline__
#endif
#if defined(__CUDACC_RTC__) && !defined(TIDE_CUDA_TYPES)
#define TIDE_CUDA_TYPES
typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef short int16_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
#endif
#endif
#ifndef TIDE_FN
#define TIDE_FN static inline __attribute__((always_inline)) /* else gcc stops inlining in long files */
#endif

/* ---- bits ---- */

#ifdef __CUDACC__
TIDE_FN uint32_t tide_bits_f32(float x) { return __float_as_uint(x); }
TIDE_FN uint64_t tide_bits_f64(double x) { return (uint64_t)__double_as_longlong(x); }
TIDE_FN float tide_from_bits_f32(uint32_t b) { return __uint_as_float(b); }
TIDE_FN double tide_from_bits_f64(uint64_t b) { return __longlong_as_double((long long)b); }
TIDE_FN float tide_sqrt_f32(float x) { return __fsqrt_rn(x); }
TIDE_FN double tide_sqrt_f64(double x) { return __dsqrt_rn(x); }
#else
TIDE_FN uint32_t tide_bits_f32(float x) {
    uint32_t b;
    __builtin_memcpy(&b, &x, 4);
    return b;
}
TIDE_FN uint64_t tide_bits_f64(double x) {
    uint64_t b;
    __builtin_memcpy(&b, &x, 8);
    return b;
}
TIDE_FN float tide_from_bits_f32(uint32_t b) {
    float x;
    __builtin_memcpy(&x, &b, 4);
    return x;
}
TIDE_FN double tide_from_bits_f64(uint64_t b) {
    double x;
    __builtin_memcpy(&x, &b, 8);
    return x;
}
#define tide_sqrt_f32(x) __builtin_sqrtf(x)
#define tide_sqrt_f64(x) __builtin_sqrt(x)
#endif

#define TIDE_INF_F32 tide_from_bits_f32(0x7f800000u)
#define TIDE_INF_F64 tide_from_bits_f64(0x7ff0000000000000u)
#define TIDE_NAN_F32 tide_from_bits_f32(0x7fc00000u)
#define TIDE_NAN_F64 tide_from_bits_f64(0x7ff8000000000000u)

TIDE_FN float tide_abs_f32(float x) { return tide_from_bits_f32(tide_bits_f32(x) & 0x7fffffffu); }
TIDE_FN double tide_abs_f64(double x) { return tide_from_bits_f64(tide_bits_f64(x) & 0x7fffffffffffffffu); }
TIDE_FN int tide_isnan_f32(float x) { return x != x; }
TIDE_FN int tide_isnan_f64(double x) { return x != x; }

TIDE_FN float tide_copysign_f32(float x, float s) {
    return tide_from_bits_f32((tide_bits_f32(x) & 0x7fffffffu) | (tide_bits_f32(s) & 0x80000000u));
}
TIDE_FN double tide_copysign_f64(double x, double s) {
    return tide_from_bits_f64((tide_bits_f64(x) & 0x7fffffffffffffffu) |
                              (tide_bits_f64(s) & 0x8000000000000000u));
}

/* x with its sign changed if s is negative (also -0) */
TIDE_FN float tide_mulsign_f32(float x, float s) {
    return tide_from_bits_f32(tide_bits_f32(x) ^ (tide_bits_f32(s) & 0x80000000u));
}
TIDE_FN double tide_mulsign_f64(double x, double s) {
    return tide_from_bits_f64(tide_bits_f64(x) ^ (tide_bits_f64(s) & 0x8000000000000000u));
}

/* 2^n for n of a normal number */
TIDE_FN float tide_pow2_f32(int32_t n) { return tide_from_bits_f32((uint32_t)(n + 127) << 23); }
TIDE_FN double tide_pow2_f64(int64_t n) { return tide_from_bits_f64((uint64_t)(n + 1023) << 52); }

/* y 2^n, rounded once for y near 1; n may reach twice as far as an exponent does */
TIDE_FN float tide_scale_f32(float y, int32_t n) {
    return y * tide_pow2_f32(n >> 1) * tide_pow2_f32(n - (n >> 1));
}
TIDE_FN double tide_scale_f64(double y, int64_t n) {
    return y * tide_pow2_f64(n >> 1) * tide_pow2_f64(n - (n >> 1));
}

/* ---- fused multiply-add ---- */

#if defined(__CUDACC__)
TIDE_FN float tide_fma_f32(float a, float b, float c) { return __fmaf_rn(a, b, c); }
TIDE_FN double tide_fma_f64(double a, double b, double c) { return __fma_rn(a, b, c); }
#elif defined(__FMA__) || defined(__aarch64__)
TIDE_FN float tide_fma_f32(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
TIDE_FN double tide_fma_f64(double a, double b, double c) { return __builtin_fma(a, b, c); }
#else

/* a + b and what the rounding lost */
TIDE_FN double tide_two_sum(double a, double b, double *lost) {
    double s = a + b, t = s - a;
    *lost = (a - (s - t)) + (b - t);
    return s;
}

/* a + b rounded to odd: an inexact sum gets an odd last bit, so that a later, coarser rounding is as if the
 * only one */
TIDE_FN double tide_add_odd(double a, double b) {
    double e, s = tide_two_sum(a, b, &e);
    uint64_t bits = tide_bits_f64(s), inexact = (e > 0) | (e < 0), away = (e > 0) == (s > 0);
    return tide_from_bits_f64(bits + (inexact & ~bits & 1) * (away ? 1 : ~(uint64_t)0));
}

/* The product of two floats is exact in double. */
TIDE_FN float tide_fma_f32(float a, float b, float c) { return (float)tide_add_odd((double)a * b, c); }

/* a b + c, after Boldo and Melquiond, where nothing over- or underflows. A result up to `least`, a power of two
 * or 0, is rounded to a multiple of the last place of `least`. */
TIDE_FN double tide_fma_split(double a, double b, double c, double least) {
    double t = a * 0x1.0000002p27, ah = t - (t - a), al = a - ah;
    double u = b * 0x1.0000002p27, bh = u - (u - b), bl = b - bh;
    double ph = a * b, pl = ((ah * bh - ph) + ah * bl + al * bh) + al * bl;
    double ul, uh = tide_two_sum(c, pl, &ul);
    double sl, sh = tide_two_sum(ph, uh, &sl);
    double v = tide_add_odd(sl, ul), head = sh + v;
    double step = tide_abs_f64(head) <= least ? tide_copysign_f64(least, head) : 0;
    double el, eh = tide_two_sum(step, sh, &el);
    return tide_copysign_f64((eh + tide_add_odd(el, v)) - step, head);
}

/* x = m 2^e with 1 <= |m| < 2, for finite x != 0 */
TIDE_FN double tide_normalise(double x, int64_t *e) {
    int tiny = tide_abs_f64(x) < 0x1p-1022;
    uint64_t b = tide_bits_f64(tiny ? x * 0x1p54 : x);
    *e = (int64_t)(b >> 52 & 0x7ff) - (tiny ? 1023 + 54 : 1023);
    return tide_from_bits_f64((b & 0x800fffffffffffffu) | 0x3ff0000000000000u);
}

/* Arguments near the ends of the range are moved to its middle first. Too long to be inlined. */
static inline double tide_fma_f64(double a, double b, double c) {
    uint64_t ea = tide_bits_f64(a) >> 52 & 0x7ff, eb = tide_bits_f64(b) >> 52 & 0x7ff;
    uint64_t ec = tide_bits_f64(c) >> 52 & 0x7ff;
    if (ea - 600 < 900 && eb - 600 < 900 && ec < 2000) return tide_fma_split(a, b, c, 0);
    if (ea == 0x7ff || eb == 0x7ff || a == 0 || b == 0) return a * b + c;
    if (ec == 0x7ff) return c;
    int64_t na, nb, nc = 0;
    a = tide_normalise(a, &na);
    b = tide_normalise(b, &nb);
    int64_t n = na + nb;
    if (c == 0) {
        n = n < -1200 ? -1200 : n;
    } else {
        double m = tide_normalise(c, &nc);
        nc -= n;
        if (nc > 110) return c;
        c = m * tide_pow2_f64(nc < -110 ? -110 : nc); /* below -110 only its sign matters */
    }
    double least = n < -900 ? tide_pow2_f64(-1022 - n) : 0; /* a subnormal result is a multiple of 2^-1074 */
    return tide_scale_f64(tide_fma_split(a, b, c, least), n);
}
#endif

/* (n + nl) / (d + dl), rounded nearly once */
TIDE_FN double tide_quotient(double n, double nl, double d, double dl) {
    double i = 1 / d, q = n * i;
    return tide_fma_f64(tide_fma_f64(-q, d, n) + (nl - q * dl), i, q);
}

/* a + b x + c x^2 + ... by Horner's rule; f is f32 or f64 */
#define TIDE_P2(f, x, a, b) tide_fma_##f(b, x, a)
#define TIDE_P3(f, x, a, ...) tide_fma_##f(TIDE_P2(f, x, __VA_ARGS__), x, a)
#define TIDE_P4(f, x, a, ...) tide_fma_##f(TIDE_P3(f, x, __VA_ARGS__), x, a)
#define TIDE_P5(f, x, a, ...) tide_fma_##f(TIDE_P4(f, x, __VA_ARGS__), x, a)
#define TIDE_P6(f, x, a, ...) tide_fma_##f(TIDE_P5(f, x, __VA_ARGS__), x, a)
#define TIDE_P7(f, x, a, ...) tide_fma_##f(TIDE_P6(f, x, __VA_ARGS__), x, a)
#define TIDE_P8(f, x, a, ...) tide_fma_##f(TIDE_P7(f, x, __VA_ARGS__), x, a)
#define TIDE_P9(f, x, a, ...) tide_fma_##f(TIDE_P8(f, x, __VA_ARGS__), x, a)
#define TIDE_P10(f, x, a, ...) tide_fma_##f(TIDE_P9(f, x, __VA_ARGS__), x, a)
#define TIDE_P11(f, x, a, ...) tide_fma_##f(TIDE_P10(f, x, __VA_ARGS__), x, a)
#define TIDE_P12(f, x, a, ...) tide_fma_##f(TIDE_P11(f, x, __VA_ARGS__), x, a)
#define TIDE_P13(f, x, a, ...) tide_fma_##f(TIDE_P12(f, x, __VA_ARGS__), x, a)

/* The same with x2 = x^2, by Estrin's rule: half the length of the chain, so a processor waits less. */
#define TIDE_E4(f, x, x2, a, b, c, d) tide_fma_##f(tide_fma_##f(d, x, c), x2, tide_fma_##f(b, x, a))
#define TIDE_E6(f, x, x2, a, b, c, d, ...) \
    tide_fma_##f(TIDE_E4(f, x, x2, c, d, __VA_ARGS__), x2, tide_fma_##f(b, x, a))
#define TIDE_E7(f, x, x2, a, b, c, d, e, g, h) \
    tide_fma_##f(tide_fma_##f(h, x2, tide_fma_##f(g, x, e)), (x2) * (x2), TIDE_E4(f, x, x2, a, b, c, d))

/* ---- rounding, order, sign ---- */

/* Adding 2^23 (2^52) leaves no place for a fraction. */
TIDE_FN float tide_round_f32(float x) {
    float a = tide_abs_f32(x), r = tide_copysign_f32((a + 0x1p23f) - 0x1p23f, x);
    return a < 0x1p23f ? r : x;
}
TIDE_FN double tide_round_f64(double x) {
    double a = tide_abs_f64(x), r = tide_copysign_f64((a + 0x1p52) - 0x1p52, x);
    return a < 0x1p52 ? r : x;
}

#define TIDE_ROUNDINGS(T, f)                                                                  \
    TIDE_FN T tide_floor_##f(T x) {                                                           \
        T r = tide_round_##f(x);                                                              \
        return r > x ? r - 1 : r;                                                             \
    }                                                                                         \
    TIDE_FN T tide_ceil_##f(T x) {                                                            \
        T r = tide_round_##f(x);                                                              \
        return tide_copysign_##f(r < x ? r + 1 : r, x);                                       \
    }                                                                                         \
    TIDE_FN T tide_trunc_##f(T x) {                                                           \
        T a = tide_abs_##f(x), r = tide_round_##f(a);                                         \
        return tide_copysign_##f(r > a ? r - 1 : r, x);                                       \
    }                                                                                         \
    TIDE_FN T tide_sign_##f(T x) { return x > 0 ? (T)1 : x < 0 ? (T)-1 : x == 0 ? (T)0 : x; } \
    TIDE_FN T tide_rsqrt_##f(T x) { return 1 / tide_sqrt_##f(x); }                            \
    /* NaN wins, -0 < +0: equal numbers have equal bits, but for the sign of a zero */        \
    TIDE_FN T tide_min_##f(T a, T b) {                                                        \
        T e = tide_from_bits_##f(tide_bits_##f(a) | tide_bits_##f(b));                        \
        return a < b ? a : b < a ? b : a == b ? e : a + b;                                    \
    }                                                                                         \
    TIDE_FN T tide_max_##f(T a, T b) {                                                        \
        T e = tide_from_bits_##f(tide_bits_##f(a) & tide_bits_##f(b));                        \
        return a > b ? a : b > a ? b : a == b ? e : a + b;                                    \
    }
TIDE_ROUNDINGS(float, f32)
TIDE_ROUNDINGS(double, f64)

/* ---- remainders ---- */

/* The remainder of a quotient below 2^BITS is exact: the rounded quotient is at most one too large, and a - q b
 * needs no more places than b has. Larger quotients are reduced step by step, modulo b times powers of two. */
#define TIDE_REMAINDERS(T, f, I, U, BITS, NORMAL)                                                  \
    TIDE_FN T tide_rem_step_##f(T a, T b) {                                                        \
        T r = tide_fma_##f(-tide_trunc_##f(a / b), b, a);                                          \
        return r < 0 ? r + b : r;                                                                  \
    }                                                                                              \
    TIDE_FN T tide_fmod_##f(T x, T y) {                                                            \
        T a = tide_abs_##f(x), b = tide_abs_##f(y);                                                \
        if (!(a < TIDE_INF_##NORMAL && b > 0)) return TIDE_NAN_##NORMAL;                           \
        if (b == TIDE_INF_##NORMAL) return x;                                                      \
        if (a / b >= (T)((U)1 << (BITS - 1))) {                                                    \
            U c = tide_bits_##f(b < tide_from_bits_##f((U)1 << BITS) ? b * (T)((U)1 << BITS) : b); \
            for (I n = (I)(tide_bits_##f(a) >> BITS) - (I)(c >> BITS); n > 0; n -= BITS - 2) {     \
                I up = n > BITS - 2 ? n - (BITS - 2) : 0;                                          \
                a = tide_rem_step_##f(a, tide_from_bits_##f(c + ((U)up << BITS)));                 \
            }                                                                                      \
            a = tide_rem_step_##f(a, tide_from_bits_##f(c));                                       \
        }                                                                                          \
        return tide_copysign_##f(tide_rem_step_##f(a, b), x);                                      \
    }                                                                                              \
    /* with the sign of the divisor, as PyTorch's remainder */                                     \
    TIDE_FN T tide_mod_##f(T x, T y) {                                                             \
        T r = tide_fmod_##f(x, y);                                                                 \
        return r != 0 && (y < 0) != (r < 0) ? r + y : r;                                           \
    }                                                                                              \
    /* the floor of the exact quotient, as Python's // */                                          \
    TIDE_FN T tide_floordiv_##f(T x, T y) {                                                        \
        T r = tide_fmod_##f(x, y), q = (x - r) / y;                                                \
        q = r != 0 && (y < 0) != (r < 0) ? q - 1 : q;                                              \
        T n = tide_floor_##f(q);                                                                   \
        n = q - n > (T)0.5 ? n + 1 : n;                                                            \
        return y == 0 ? x / y : q == 0 ? tide_copysign_##f(0, x / y) : n;                          \
    }
TIDE_REMAINDERS(float, f32, int32_t, uint32_t, 23, F32)
TIDE_REMAINDERS(double, f64, int64_t, uint64_t, 52, F64)

/* ---- exponentials ---- */

/* e^x = 2^n (1 + p): returns p. x is moderate or NaN; in double, xl continues x. */
TIDE_FN float tide_exp_parts_f32(float x, int32_t *n) {
    float t = tide_fma_f32(x, 0x1.715476p0f, 0x1.8p23f), k = t - 0x1.8p23f;
    float r = tide_fma_f32(k, -0x1.62e43p-1f, x);
    r = tide_fma_f32(k, 0x1.05c61p-29f, r);
    *n = (int32_t)(tide_bits_f32(t) - 0x4b400000u);
    float q = TIDE_P5(f32, r, 0x1p-1f, 0x1.5554bp-3f, 0x1.5554ep-5f, 0x1.1227a6p-7f, 0x1.6d5642p-10f);
    return tide_fma_f32(r * r, q, r);
}
TIDE_FN double tide_exp_parts_f64(double x, double xl, int64_t *n) {
    double t = tide_fma_f64(x, 0x1.71547652b82fep0, 0x1.8p52), k = t - 0x1.8p52;
    double a = tide_fma_f64(k, -0x1.62e42fefa39efp-1, x), b = tide_fma_f64(k, -0x1.abc9e3b39803fp-56, xl);
    double r = a + b, rl = (a - r) + b;
    *n = (int64_t)(tide_bits_f64(t) - 0x4338000000000000u);
    double q =
        TIDE_P11(f64, r, 0x1p-1, 0x1.5555555555559p-3, 0x1.5555555555558p-5, 0x1.111111110f64ap-7,
                 0x1.6c16c16c14f49p-10, 0x1.a01a01b00a401p-13, 0x1.a01a01ade6578p-16, 0x1.71ddf7fa677bbp-19,
                 0x1.27e4cae30061cp-22, 0x1.af5f55c97343cp-26, 0x1.1f8e1252770b1p-29);
    return r + tide_fma_f64(r * r, q, tide_fma_f64(rl, r, rl));
}

/* e^x 2^k for |k| <= 1: no overflow on the way */
TIDE_FN float tide_exp_scaled_f32(float x, int32_t k) {
    int32_t n;
    float p = tide_exp_parts_f32(x > 128 ? 128 : x < -128 ? -128 : x, &n);
    return tide_scale_f32(1 + p, n + k);
}
TIDE_FN double tide_exp_scaled_f64(double x, int32_t k) {
    int64_t n;
    double p = tide_exp_parts_f64(x > 1000 ? 1000 : x < -1000 ? -1000 : x, 0, &n);
    return tide_scale_f64(1 + p, n + k);
}

/* (e^x - 1) 2^k for k = 0 or -1 */
TIDE_FN float tide_expm1_scaled_f32(float x, int32_t k) {
    int32_t n;
    float p = tide_exp_parts_f32(x > 91 ? 91 : x < -20 ? -20 : x, &n);
    n += k;
    int32_t m = n > 127 ? 127 : n;
    float s = tide_pow2_f32(m);
    return tide_fma_f32(s, p, s - tide_pow2_f32(k)) * tide_pow2_f32(n - m);
}
TIDE_FN double tide_expm1_scaled_f64(double x, int32_t k) {
    int64_t n;
    double p = tide_exp_parts_f64(x > 712 ? 712 : x < -40 ? -40 : x, 0, &n);
    n += k;
    int64_t m = n > 1023 ? 1023 : n;
    double s = tide_pow2_f64(m);
    return tide_fma_f64(s, p, s - tide_pow2_f64(k)) * tide_pow2_f64(n - m);
}

TIDE_FN float tide_exp_f32(float x) { return tide_exp_scaled_f32(x, 0); }
TIDE_FN double tide_exp_f64(double x) { return tide_exp_scaled_f64(x, 0); }

TIDE_FN float tide_expm1_f32(float x) {
    float y = tide_expm1_scaled_f32(x, 0);
    return x == 0 ? x : y;
}
TIDE_FN double tide_expm1_f64(double x) {
    double y = tide_expm1_scaled_f64(x, 0);
    return x == 0 ? x : y;
}

TIDE_FN float tide_exp2_f32(float x) {
    float a = x > 200 ? 200 : x < -200 ? -200 : x, t = a + 0x1.8p23f, r = a - (t - 0x1.8p23f);
    float q = TIDE_P6(f32, r, 0x1.62e43p-1f, 0x1.ebfbd8p-3f, 0x1.c6af78p-5f, 0x1.3b30b6p-7f, 0x1.5f0a28p-10f,
                      0x1.3f84ap-13f);
    return tide_scale_f32(tide_fma_f32(r, q, 1), (int32_t)(tide_bits_f32(t) - 0x4b400000u));
}
TIDE_FN double tide_exp2_f64(double x) {
    double a = x > 1200 ? 1200 : x < -1200 ? -1200 : x, t = a + 0x1.8p52, r = a - (t - 0x1.8p52);
    double q =
        TIDE_P12(f64, r, 0x1.62e42fefa39efp-1, 0x1.ebfbdff82c58ep-3, 0x1.c6b08d704a186p-5, 0x1.3b2ab6fba510bp-7,
                 0x1.5d87fe7887f4bp-10, 0x1.430912f7a366p-13, 0x1.ffcbfcdfc612bp-17, 0x1.62c025846579p-20,
                 0x1.b524194104d2ap-24, 0x1.e4c2dd18a96c7p-28, 0x1.eb0cb7d38cf2cp-32, 0x1.d58cb46ee93d8p-36);
    return tide_scale_f64(tide_fma_f64(r, q, 1), (int64_t)(tide_bits_f64(t) - 0x4338000000000000u));
}

TIDE_FN float tide_sigmoid_f32(float x) {
    float e = tide_exp_f32(-tide_abs_f32(x));
    return (x < 0 ? e : 1) / (1 + e);
}
TIDE_FN double tide_sigmoid_f64(double x) {
    double e = tide_exp_f64(-tide_abs_f64(x)), d = 1 + e;
    return tide_quotient(x < 0 ? e : 1, 0, d, e - (d - 1));
}

TIDE_FN float tide_tanh_f32(float x) {
    float a = tide_abs_f32(x), e = tide_expm1_scaled_f32(a > 10 ? 20 : 2 * a, 0);
    return tide_copysign_f32(e / (e + 2), x);
}
TIDE_FN double tide_tanh_f64(double x) {
    double a = tide_abs_f64(x), e = tide_expm1_scaled_f64(a > 20 ? 40 : 2 * a, 0), d = e + 2;
    return tide_copysign_f64(tide_quotient(e, 0, d, e - (d - 2)), x);
}

/* h = (e^|x| - 1) / 2 */
TIDE_FN float tide_sinh_f32(float x) {
    float a = tide_abs_f32(x), h = tide_expm1_scaled_f32(a, -1), y = h + (h < 0x1p30f ? h / (2 * h + 1) : 0);
    return a < 0x1p-13f ? x : tide_copysign_f32(y, x);
}
TIDE_FN double tide_sinh_f64(double x) {
    double a = tide_abs_f64(x), h = tide_expm1_scaled_f64(a, -1), y = h + (h < 0x1p60 ? h / (2 * h + 1) : 0);
    return a < 0x1p-28 ? x : tide_copysign_f64(y, x);
}

TIDE_FN float tide_cosh_f32(float x) {
    float w = tide_exp_scaled_f32(tide_abs_f32(x), -1);
    return w + 0.25f / w;
}
TIDE_FN double tide_cosh_f64(double x) {
    double w = tide_exp_scaled_f64(tide_abs_f64(x), -1);
    return w + 0.25 / w;
}

/* ---- logarithms ---- */

/* x = m 2^e with m from sqrt(1/2) to sqrt(2), for finite x > 0 */
TIDE_FN float tide_log_parts_f32(float x, int32_t *e) {
    int tiny = x < 0x1p-126f;
    uint32_t b = tide_bits_f32(tiny ? x * 0x1p23f : x) - 0x3f3504f3u;
    *e = ((int32_t)b >> 23) - (tiny ? 23 : 0);
    return tide_from_bits_f32((b & 0x7fffffu) + 0x3f3504f3u);
}
TIDE_FN double tide_log_parts_f64(double x, int64_t *e) {
    int tiny = x < 0x1p-1022;
    uint64_t b = tide_bits_f64(tiny ? x * 0x1p52 : x) - 0x3fe6a09e667f3bcdu + (0x3ffull << 52);
    *e = (int64_t)(b >> 52) - (tiny ? 1023 + 52 : 1023);
    return tide_from_bits_f64((b & 0xfffffffffffffu) + 0x3fe6a09e667f3bcdu);
}

/* log(1 + f) = f + the result */
TIDE_FN float tide_log_tail_f32(float f) {
    float p = TIDE_P8(f32, f, 0x1.555554p-2f, -0x1.000226p-2f, 0x1.99a02p-3f, -0x1.54729p-3f, 0x1.22d8c8p-3f,
                      -0x1.0d818ep-3f, 0x1.05614ap-3f, -0x1.38d4p-4f);
    return f * f * tide_fma_f32(f, p, -0.5f);
}
/* log((1+s)/(1-s)) = 2s + s^3 (2/3 + z Q(z)), z = s^2: this is Q */
TIDE_FN double tide_log_q_f64(double z) {
    return TIDE_P7(f64, z, 0x1.9999999999b33p-2, 0x1.2492492457798p-2, 0x1.c71c722deb967p-3,
                   0x1.745ce9b44abbfp-3, 0x1.3b1ef4c781e3dp-3, 0x1.0f7f18353db0ep-3, 0x1.0e4a78887ebebp-3);
}
/* with s = f / (2+f), 2s + s R = f - f^2/2 + s (f^2/2 + R); *h is f^2/2, so that log(1+f) = f - *h + the result
 */
TIDE_FN double tide_log_tail_f64(double f, double *h) {
    double s = f / (2 + f), z = s * s;
    *h = 0.5 * f * f;
    return s * (*h + z * tide_fma_f64(z, tide_log_q_f64(z), 0x1.5555555555555p-1));
}

/* what a logarithm is at the ends, else y */
TIDE_FN float tide_log_ends_f32(float x, float y) {
    return x > 0 ? (x < TIDE_INF_F32 ? y : x) : x == 0 ? -TIDE_INF_F32 : TIDE_NAN_F32;
}
TIDE_FN double tide_log_ends_f64(double x, double y) {
    return x > 0 ? (x < TIDE_INF_F64 ? y : x) : x == 0 ? -TIDE_INF_F64 : TIDE_NAN_F64;
}

/* log(1+f) + e log 2 */
TIDE_FN float tide_log_sum_f32(float f, int32_t e) {
    float k = (float)e;
    return tide_fma_f32(k, 0x1.62e43p-1f, f + tide_fma_f32(k, -0x1.05c61p-29f, tide_log_tail_f32(f)));
}
TIDE_FN double tide_log_sum_f64(double f, int64_t e) {
    double k = (double)(int32_t)e, h, t = tide_log_tail_f64(f, &h);
    return tide_fma_f64(k, 0x1.62e42fefa39efp-1, f - (h - tide_fma_f64(k, 0x1.abc9e3b39803fp-56, t)));
}

TIDE_FN float tide_log_f32(float x) {
    int32_t e;
    float m = tide_log_parts_f32(x, &e);
    return tide_log_ends_f32(x, tide_log_sum_f32(m - 1, e));
}
TIDE_FN double tide_log_f64(double x) {
    int64_t e;
    double m = tide_log_parts_f64(x, &e);
    return tide_log_ends_f64(x, tide_log_sum_f64(m - 1, e));
}

/* 1 + x is rounded only to find its power of two, and where x is so large that the 1 does not matter. */
TIDE_FN float tide_log1p_f32(float x) {
    int32_t e;
    float u = 1 + x, m = tide_log_parts_f32(u, &e);
    float s = tide_pow2_f32(e > 24 ? 0 : -e), f = tide_fma_f32(x, s, s - 1);
    float y = tide_log_ends_f32(u, tide_log_sum_f32(e > 24 ? m - 1 : f, e));
    return x == 0 ? x : y;
}
TIDE_FN double tide_log1p_f64(double x) {
    int64_t e;
    double u = 1 + x, m = tide_log_parts_f64(u, &e);
    double s = tide_pow2_f64(e > 53 ? 0 : -e), f = tide_fma_f64(x, s, s - 1);
    double y = tide_log_ends_f64(u, tide_log_sum_f64(e > 53 ? m - 1 : f, e));
    return x == 0 ? x : y;
}

/* log(x) (c + cl) with e times the logarithm of 2 (b + bl) added apart, so that powers of the base come out
 * exactly */
TIDE_FN float tide_log_base_f32(float x, float c, float cl, float b, float bl) {
    int32_t e;
    float f = tide_log_parts_f32(x, &e) - 1, k = (float)e;
    float t = tide_fma_f32(k, bl, tide_fma_f32(tide_log_tail_f32(f), c, f * cl));
    return tide_log_ends_f32(x, tide_fma_f32(k, b, tide_fma_f32(f, c, t)));
}
TIDE_FN double tide_log_base_f64(double x, double c, double cl, double b, double bl) {
    int64_t e;
    double f = tide_log_parts_f64(x, &e) - 1, k = (double)(int32_t)e, h, t = tide_log_tail_f64(f, &h);
    double w = f - h, wl = ((f - w) - h) + t, p = w * c, pl = tide_fma_f64(w, c, -p);
    double kb = k * b, y = kb + p;
    pl += tide_fma_f64(wl, c, tide_fma_f64(w, cl, k * bl)) + ((kb - y) + p);
    return tide_log_ends_f64(x, y + pl);
}

TIDE_FN float tide_log2_f32(float x) { return tide_log_base_f32(x, 0x1.715476p0f, 0x1.4ae0cp-26f, 1, 0); }
TIDE_FN double tide_log2_f64(double x) {
    return tide_log_base_f64(x, 0x1.71547652b82fep0, 0x1.777d0ffda0d24p-56, 1, 0);
}
TIDE_FN float tide_log10_f32(float x) {
    return tide_log_base_f32(x, 0x1.bcb7b2p-2f, -0x1.5b235ep-27f, 0x1.344p-2f, 0x1.3509f8p-18f);
}
TIDE_FN double tide_log10_f64(double x) {
    return tide_log_base_f64(x, 0x1.bcb7b1526e50ep-2, 0x1.95355baaafad3p-57, 0x1.34413509f8p-2,
                             -0x1.80433b83b532ap-44);
}

/* ---- power ---- */

/* |x|^y is p for finite x and y; the rest of x^y */
#define TIDE_POW_ENDS(T, f, F)                                                                \
    TIDE_FN T tide_pow_ends_##f(T x, T y, T p) {                                              \
        T a = tide_abs_##f(x), h = y * (T)0.5;                                                \
        int whole = tide_trunc_##f(y) == y, odd = whole && tide_trunc_##f(h) != h;            \
        p = a == 0 || a == TIDE_INF_##F ? ((a == 0) == (y < 0) ? TIDE_INF_##F : (T)0) : p;    \
        p = tide_abs_##f(y) == TIDE_INF_##F ? ((a > 1) == (y > 0) ? TIDE_INF_##F : (T)0) : p; \
        p = tide_abs_##f(y) == TIDE_INF_##F && a == 1 ? (T)1 : p;                             \
        p = odd ? tide_copysign_##f(p, x) : p;                                                \
        p = x < 0 && !whole && a < TIDE_INF_##F ? TIDE_NAN_##F : p;                           \
        p = x != x || y != y ? x + y : p;                                                     \
        return x == 1 || y == 0 ? (T)1 : p;                                                   \
    }
TIDE_POW_ENDS(float, f32, F32)
TIDE_POW_ENDS(double, f64, F64)

/* In double, which leaves 29 bits to spare. */
TIDE_FN float tide_pow_f32(float x, float y) {
    int32_t e;
    double m = tide_log_parts_f32(tide_abs_f32(x), &e), f = (m - 1) / (m + 1), z = f * f;
    double l = f * TIDE_P6(f64, z, 0x1.71547652b825p1, 0x1.ec709dc53e582p-1, 0x1.2776c290e0244p-1,
                           0x1.a61a30c966234p-2, 0x1.4794ff395430ep-2, 0x1.21b608f6c2c57p-2);
    double w = y * (e + l);
    w = w > 300 ? 300 : w < -300 ? -300 : w;
    double t = w + 0x1.8p52, r = w - (t - 0x1.8p52);
    double p =
        TIDE_P8(f64, r, 0x1p0, 0x1.62e4300b9c912p-1, 0x1.ebfbe0456d33ap-3, 0x1.c6b0551e8716dp-5,
                0x1.3b2a1bf6227d1p-7, 0x1.5dc050392c69bp-10, 0x1.443f9647cf775p-13, 0x1.c0494d8612eddp-17);
    return tide_pow_ends_f32(x, y, (float)tide_from_bits_f64(tide_bits_f64(p) + (tide_bits_f64(t) << 52)));
}

/* e^(y log|x|), the logarithm and the product as sums of two doubles. */
TIDE_FN double tide_pow_f64(double x, double y) {
    int64_t e, n;
    double m = tide_log_parts_f64(tide_abs_f64(x), &e), k = (double)(int32_t)e;
    double f = m - 1, d = m + 1, dl = m - (d - 1), i = 1 / d; /* s = f / d */
    double s = f * i, sl = (tide_fma_f64(-s, d, f) - s * dl) * i;
    double z = s * s, zl = tide_fma_f64(2 * s, sl, tide_fma_f64(s, s, -z));
    double q = z * tide_log_q_f64(z), c = 0x1.5555555555555p-1 + q;
    double cl = ((0x1.5555555555555p-1 - c) + q) + 0x1.5555555555555p-55;
    double s3 = s * z, s3l = tide_fma_f64(s, z, -s3) + tide_fma_f64(s, zl, sl * z);
    double t = s3 * c, tl = tide_fma_f64(s3, c, -t) + tide_fma_f64(s3, cl, s3l * c);
    double h = 2 * s + t, hl = ((2 * s - h) + t) + tide_fma_f64(2, sl, tl);
    double kb = k * 0x1.62e42fefa38p-1, l = kb + h; /* exact: the constant has 42 bits */
    double ll = ((kb - l) + h) + tide_fma_f64(k, 0x1.ef35793c7673p-45, hl);
    double v = y > 0x1p65 ? 0x1p65 : y < -0x1p65 ? -0x1p65 : y;
    double w = v * l, wl = tide_fma_f64(v, ll, tide_fma_f64(v, l, -w));
    wl = tide_abs_f64(w) > 1000 ? 0 : wl;
    w = w > 1000 ? 1000 : w < -1000 ? -1000 : w;
    double p = tide_exp_parts_f64(w, wl, &n);
    return tide_pow_ends_f64(x, y, tide_scale_f64(1 + p, n));
}

/* ---- circular functions ---- */

/* Up to these, the _small_ functions give the same bits as the full ones, and a loop of them vectorises. */
#define TIDE_TRIG_SMALL_F32 0x1p18f
#define TIDE_TRIG_SMALL_F64 0x1p30

TIDE_FN uint64_t tide_mulhi_u64(uint64_t a, uint64_t b) {
    uint64_t al = (uint32_t)a, ah = a >> 32, bl = (uint32_t)b, bh = b >> 32;
    uint64_t t = ah * bl + (al * bl >> 32), u = al * bh + (uint32_t)t;
    return ah * bh + (t >> 32) + (u >> 32);
}

/* a = q pi/2 + r + *rl (q modulo 4) for finite a >= 2^18: Payne and Hanek's reduction. Of 2/pi only those bits
 * are multiplied that reach below the multiples of 4. */
TIDE_FN uint32_t tide_trig_large(double a, double *r, double *rl) {
    static const uint64_t two_over_pi[20] = {0,
                                             0xa2f9836e4e441529u,
                                             0xfc2757d1f534ddc0u,
                                             0xdb6295993c439041u,
                                             0xfe5163abdebbc561u,
                                             0xb7246e3a424dd2e0u,
                                             0x06492eea09d1921cu,
                                             0xfe1deb1cb129a73eu,
                                             0xe88235f52ebb4484u,
                                             0xe99c7026b45f7e41u,
                                             0x3991d639835339f4u,
                                             0x9c845f8bbdf9283bu,
                                             0x1ff897ffde05980fu,
                                             0xef2f118b5a0a6d1fu,
                                             0x6d367ecf27cb09b7u,
                                             0x4f463f669e5fea2du,
                                             0x7527bac7ebe5f17bu,
                                             0x3d0739f78a5292eau,
                                             0x6bfb5fb11f8d5d08u,
                                             0x56033046fc7b6babu};
    uint64_t b = tide_bits_f64(a), m = (b & 0xfffffffffffffu) | 1ull << 52;
    int32_t at = (int32_t)(b >> 52) - 1075 + 62, i = at >> 6, s = at & 63;
    uint64_t w0 = two_over_pi[i] << s | two_over_pi[i + 1] >> 1 >> (63 - s);
    uint64_t w1 = two_over_pi[i + 1] << s | two_over_pi[i + 2] >> 1 >> (63 - s);
    uint64_t w2 = two_over_pi[i + 2] << s | two_over_pi[i + 3] >> 1 >> (63 - s);
    uint64_t p2 = m * w2, p1 = m * w1, mid = p1 + tide_mulhi_u64(m, w2);
    uint64_t top = m * w0 + tide_mulhi_u64(m, w1) + (mid < p1);
    uint64_t hi = top << 2 | mid >> 62, lo = mid << 2 | p2 >> 62, neg = hi >> 63; /* the fraction, 128 bits */
    hi = neg ? ~hi : hi;
    lo = neg ? ~lo : lo;
    double f0 = (double)(uint32_t)(hi >> 32) * 0x1p-32, f1 = (double)(uint32_t)hi * 0x1p-64;
    double f2 = (double)(uint32_t)(lo >> 32) * 0x1p-96 + (double)(uint32_t)lo * 0x1p-128;
    double g = f0 + f1, gl = ((f0 - g) + f1) + f2, f = g + gl, fl = (g - f) + gl;
    double h = f * 0x1.921fb54442d18p0;
    double hl = tide_fma_f64(f, 0x1.921fb54442d18p0, -h) +
                tide_fma_f64(fl, 0x1.921fb54442d18p0, f * 0x1.1a62633145c07p-54);
    double y = h + hl, yl = (h - y) + hl;
    *r = neg ? -y : y;
    *rl = neg ? -yl : yl;
    return (uint32_t)(top >> 62) + (uint32_t)neg;
}

/* the same for 0 <= a <= TIDE_TRIG_SMALL: a - k pi/2 in three parts */
TIDE_FN uint32_t tide_trig_near_f32(float a, float *r) {
    float t = tide_fma_f32(a, 0x1.45f306p-1f, 0x1.8p23f), k = t - 0x1.8p23f;
    *r = tide_fma_f32(k, -0x1.921fb6p0f, a);
    *r = tide_fma_f32(k, 0x1.777a5cp-25f, *r);
    *r = tide_fma_f32(k, 0x1.ee59dap-50f, *r);
    return tide_bits_f32(t);
}
TIDE_FN uint32_t tide_trig_near_f64(double a, double *r, double *rl) {
    double t = tide_fma_f64(a, 0x1.45f306dc9c883p-1, 0x1.8p52), k = t - 0x1.8p52;
    double h = tide_fma_f64(k, -0x1.921fb54442d18p0, a), p = k * 0x1.1a62633145c07p-54;
    double pl = tide_fma_f64(k, 0x1.1a62633145c07p-54, -p), y = h - p, b = h - y;
    double e = (h - (y + b)) + (b - p);
    *r = y;
    *rl = tide_fma_f64(k, 0x1.f1976b7ed8fb8p-110, e - pl);
    return (uint32_t)tide_bits_f64(t);
}

/* sin(r + q pi/2) for |r| <= pi/4 */
TIDE_FN float tide_trig_f32(uint32_t q, float r) {
    float z = r * r,
          s = tide_fma_f32(r * z, TIDE_P3(f32, z, -0x1.555546p-3f, 0x1.11077cp-7f, -0x1.995594p-13f), r);
    float c = TIDE_P3(f32, z, 0x1.55554ap-5f, -0x1.6c0c28p-10f, 0x1.99e816p-16f);
    c = tide_fma_f32(z * z, c, tide_fma_f32(z, -0.5f, 1));
    return tide_from_bits_f32(tide_bits_f32(q & 1 ? c : s) ^ (q & 2) << 30);
}
/* sin(r + rl) = *s + *sl, cos(r + rl) = *c + *cl */
TIDE_FN void tide_trig_pair_f64(double r, double rl, double *s, double *sl, double *c, double *cl) {
    double z = r * r, w = tide_fma_f64(z, -0.5, 1);
    double a = TIDE_P6(f64, z, -0x1.5555555555549p-3, 0x1.111111110f895p-7, -0x1.a01a019c12954p-13,
                       0x1.71de35772d427p-19, -0x1.ae5e650053072p-26, 0x1.5d9276c0259b9p-33);
    double b = TIDE_P6(f64, z, 0x1.555555555554bp-5, -0x1.6c16c16c1500bp-10, 0x1.a01a019c8d5bbp-16,
                       -0x1.27e4f7efc7894p-22, 0x1.1ee9da4d59cd7p-29, -0x1.8fa59b25cc7a1p-37);
    a = tide_fma_f64(r * z, a, rl * w);
    b = tide_fma_f64(z * z, b, tide_fma_f64(z, -0.5, 1 - w) - r * rl);
    *s = r + a;
    *sl = (r - *s) + a;
    *c = w + b;
    *cl = (w - *c) + b;
}
TIDE_FN double tide_trig_f64(uint32_t q, double r, double rl) {
    double s, sl, c, cl;
    tide_trig_pair_f64(r, rl, &s, &sl, &c, &cl);
    return tide_from_bits_f64(tide_bits_f64(q & 1 ? c : s) ^ (uint64_t)(q & 2) << 62);
}
/* tan(r + q pi/2) */
TIDE_FN double tide_trig_tan(uint32_t q, double r, double rl) {
    double s, sl, c, cl;
    tide_trig_pair_f64(r, rl, &s, &sl, &c, &cl);
    double n = q & 1 ? -c : s, nl = q & 1 ? -cl : sl, d = q & 1 ? s : c, dl = q & 1 ? sl : cl;
    return tide_quotient(n, nl, d, dl);
}

TIDE_FN float tide_sin_small_f32(float x) {
    float r;
    uint32_t q = tide_trig_near_f32(tide_abs_f32(x), &r);
    return tide_mulsign_f32(tide_trig_f32(q, r), x);
}
TIDE_FN float tide_cos_small_f32(float x) {
    float r;
    uint32_t q = tide_trig_near_f32(tide_abs_f32(x), &r);
    return tide_trig_f32(q + 1, r);
}
TIDE_FN double tide_sin_small_f64(double x) {
    double r, rl;
    uint32_t q = tide_trig_near_f64(tide_abs_f64(x), &r, &rl);
    return tide_mulsign_f64(tide_trig_f64(q, r, rl), x);
}
TIDE_FN double tide_cos_small_f64(double x) {
    double r, rl;
    uint32_t q = tide_trig_near_f64(tide_abs_f64(x), &r, &rl);
    return tide_trig_f64(q + 1, r, rl);
}
TIDE_FN double tide_tan_small_f64(double x) {
    double r, rl;
    uint32_t q = tide_trig_near_f64(tide_abs_f64(x), &r, &rl);
    return tide_mulsign_f64(tide_trig_tan(q, r, rl), x);
}
TIDE_FN float tide_tan_small_f32(float x) { return (float)tide_tan_small_f64(x); }

TIDE_FN float tide_sin_f32(float x) {
    double a = tide_abs_f32(x), r, rl;
    if (a <= TIDE_TRIG_SMALL_F32) return tide_sin_small_f32(x);
    if (!(a < TIDE_INF_F64)) return TIDE_NAN_F32;
    uint32_t q = tide_trig_large(a, &r, &rl);
    return tide_mulsign_f32(tide_trig_f32(q, (float)r), x);
}
TIDE_FN float tide_cos_f32(float x) {
    double a = tide_abs_f32(x), r, rl;
    if (a <= TIDE_TRIG_SMALL_F32) return tide_cos_small_f32(x);
    if (!(a < TIDE_INF_F64)) return TIDE_NAN_F32;
    uint32_t q = tide_trig_large(a, &r, &rl);
    return tide_trig_f32(q + 1, (float)r);
}
TIDE_FN double tide_sin_f64(double x) {
    double a = tide_abs_f64(x), r, rl;
    if (a <= TIDE_TRIG_SMALL_F64) return tide_sin_small_f64(x);
    if (!(a < TIDE_INF_F64)) return TIDE_NAN_F64;
    uint32_t q = tide_trig_large(a, &r, &rl);
    return tide_mulsign_f64(tide_trig_f64(q, r, rl), x);
}
TIDE_FN double tide_cos_f64(double x) {
    double a = tide_abs_f64(x), r, rl;
    if (a <= TIDE_TRIG_SMALL_F64) return tide_cos_small_f64(x);
    if (!(a < TIDE_INF_F64)) return TIDE_NAN_F64;
    uint32_t q = tide_trig_large(a, &r, &rl);
    return tide_trig_f64(q + 1, r, rl);
}
TIDE_FN double tide_tan_f64(double x) {
    double a = tide_abs_f64(x), r, rl;
    if (a <= TIDE_TRIG_SMALL_F64) return tide_tan_small_f64(x);
    if (!(a < TIDE_INF_F64)) return TIDE_NAN_F64;
    uint32_t q = tide_trig_large(a, &r, &rl);
    return tide_mulsign_f64(tide_trig_tan(q, r, rl), x);
}
TIDE_FN float tide_tan_f32(float x) { return (float)tide_tan_f64(x); }

/* atan(t) = t + t z P(z), z = t^2 <= tan(pi/8)^2: this is P */
TIDE_FN float tide_atan_p_f32(float z) {
    return TIDE_P5(f32, z, -0x1.55554ap-2f, 0x1.9991dep-3f, -0x1.23b92p-3f, 0x1.b21a5cp-4f, -0x1.f2a8cp-5f);
}
TIDE_FN double tide_atan_p_f64(double z) {
    return TIDE_P12(f64, z, -0x1.5555555555554p-2, 0x1.99999999995b8p-3, -0x1.2492492471c92p-3,
                    0x1.c71c71b5c8b95p-4, -0x1.745d148a07b1ep-4, 0x1.3b136a65903eap-4, -0x1.110c3fd25db6cp-4,
                    0x1.e16e64bdc6dbdp-5, -0x1.ab67d0e479955p-5, 0x1.709a3ebc249cfp-5, -0x1.11807bb861124p-5,
                    0x1.ef22fefa8b726p-7);
}

/* Arguments above tan(pi/8) are turned back by pi/4, above tan(3pi/8) by pi/2. */
TIDE_FN float tide_atan_f32(float x) {
    float a = tide_abs_f32(x);
    int mid = a > 0x1.a8279ap-2f, far = a > 0x1.3504f4p1f;
    float t = (far ? -1 : mid ? a - 1 : a) / (far ? a : mid ? a + 1 : 1), z = t * t;
    float base = far ? 0x1.921fb6p0f : mid ? 0x1.921fb6p-1f : 0;
    float low = far ? -0x1.777a5cp-25f : mid ? -0x1.777a5cp-26f : 0;
    float y = base + (t + tide_fma_f32(t * z, tide_atan_p_f32(z), low));
    return tide_copysign_f32(y, x);
}

/* atan(y / x) = the result + *low, for finite y, x >= 0 */
TIDE_FN double tide_atan_ratio(double y, double x, double *low) {
    double c = y > 1 ? 0.5 : 1; /* keeps y + x finite */
    y *= c;
    x = x + y == 0 ? 1 : x * c;
    double mid = x * 0x1.a827999fcef32p-2, far = x * 0x1.3504f333f9de6p1;
    double d = y + x, db = d - y, dl = (y - (d - db)) + (x - db);
    double n = y - x, nb = n - y, nl = (y - (n - nb)) - (x + nb);
    n = y > far ? -x : y > mid ? n : y;
    d = y > far ? y : y > mid ? d : x;
    nl = y > far ? 0 : y > mid ? nl : 0;
    dl = y > far ? 0 : y > mid ? dl : 0;
    double base = y > far ? 0x1.921fb54442d18p0 : y > mid ? 0x1.921fb54442d18p-1 : 0;
    double bl = y > far ? 0x1.1a62633145c07p-54 : y > mid ? 0x1.1a62633145c07p-55 : 0;
    double t = n / d, tl = (tide_fma_f64(-t, d, n) + (nl - t * dl)) / d, z = t * t;
    double v = tide_fma_f64(t * z, tide_atan_p_f64(z), tide_fma_f64(-z, tl, tl));
    double h = base + t;
    *low = ((base - h) + t) + (v + bl);
    return h;
}
TIDE_FN double tide_atan_f64(double x) {
    double a = tide_abs_f64(x), low, h = tide_atan_ratio(a > 0x1p70 ? 0x1p70 : a, 1, &low);
    return tide_copysign_f64(h + low, x);
}
TIDE_FN double tide_atan2_f64(double y, double x) {
    double a = tide_abs_f64(y), b = tide_abs_f64(x), low;
    double inf = TIDE_INF_F64, u = a < inf ? b < inf ? a : 0 : 1, v = b < inf ? a < inf ? b : 0 : 1;
    double h = tide_atan_ratio(u, v, &low);
    double g = 0x1.921fb54442d18p1 - h, gl = ((0x1.921fb54442d18p1 - g) - h) + (0x1.1a62633145c07p-53 - low);
    double r = tide_copysign_f64(tide_copysign_f64(1, x) < 0 ? g + gl : h + low, y), s = x + y;
    return x != x ? s : y != y ? s : r;
}
TIDE_FN float tide_atan2_f32(float y, float x) { return (float)tide_atan2_f64(y, x); }

/* asin(s) = s + s z P(z), z = s^2 <= 1/4: this is P */
TIDE_FN float tide_asin_p_f32(float z) {
    return TIDE_P5(f32, z, 0x1.5555c8p-3f, 0x1.330206p-4f, 0x1.747b7p-5f, 0x1.8c4186p-6f, 0x1.59597p-5f);
}
TIDE_FN double tide_asin_p_f64(double z) {
    return TIDE_P13(f64, z, 0x1.5555555555577p-3, 0x1.333333332e134p-4, 0x1.6db6db721236cp-5,
                    0x1.f1c71a95076d3p-6, 0x1.6e8bdedde737dp-6, 0x1.1c49f0876f518p-6, 0x1.ca1f8977d0ddfp-7,
                    0x1.7585a9ca256f1p-7, 0x1.613bdab0a96e8p-7, 0x1.e5ffe33a98967p-9, 0x1.63995559f1baap-6,
                    -0x1.57f91ff2d468p-6, 0x1.0b456385f2324p-5);
}

/* asin(a) = pi/2 - 2 asin(sqrt((1 - a) / 2)): *s is a, or the root for a > 1/2, and the result + *s its asin */
TIDE_FN float tide_asin_parts_f32(float a, float *s) {
    float z = a > 0.5f ? 0.5f * (1 - a) : a * a;
    *s = a > 0.5f ? tide_sqrt_f32(z) : a;
    return *s * z * tide_asin_p_f32(z);
}
TIDE_FN double tide_asin_parts_f64(double a, double *s) {
    double z = a > 0.5 ? 0.5 * (1 - a) : a * a, root = tide_sqrt_f64(z);
    double lost = tide_fma_f64(-root, root, z) / (z > 0 ? 2 * root : 1);
    *s = a > 0.5 ? root : a;
    return tide_fma_f64(*s * z, tide_asin_p_f64(z), a > 0.5 ? lost : 0);
}

TIDE_FN float tide_asin_f32(float x) {
    float a = tide_abs_f32(x), s, t = tide_asin_parts_f32(a, &s);
    float y = a > 0.5f ? 0x1.921fb6p0f - 2 * (s + (t + 0x1.777a5cp-26f)) : s + t;
    return tide_copysign_f32(y, x);
}
TIDE_FN double tide_asin_f64(double x) {
    double a = tide_abs_f64(x), s, t = tide_asin_parts_f64(a, &s);
    double h = 0x1.921fb54442d18p0 - 2 * s, hl = (0x1.921fb54442d18p0 - h) - 2 * s;
    double y = a > 0.5 ? h + (hl + (0x1.1a62633145c07p-54 - 2 * t)) : s + t;
    return tide_copysign_f64(y, x);
}
TIDE_FN float tide_acos_f32(float x) {
    float a = tide_abs_f32(x), s, t = tide_asin_parts_f32(a, &s), u = tide_copysign_f32(s, x);
    float v = tide_copysign_f32(t, x), far = 2 * (s + t);
    float mid = 0x1.921fb6p0f - (u + (v + 0x1.777a5cp-25f));
    return a > 0.5f ? (x < 0 ? 0x1.921fb6p1f - (far + 0x1.777a5cp-24f) : far) : mid;
}
TIDE_FN double tide_acos_f64(double x) {
    double a = tide_abs_f64(x), s, t = tide_asin_parts_f64(a, &s);
    double b = a > 0.5 ? 0x1.921fb54442d18p1 : 0x1.921fb54442d18p0;
    double bl = a > 0.5 ? 0x1.1a62633145c07p-53 : 0x1.1a62633145c07p-54;
    s = a > 0.5 ? 2 * s : tide_copysign_f64(s, x);
    t = a > 0.5 ? 2 * t : tide_copysign_f64(t, x);
    double h = b - s, hl = ((b - h) - s) + (bl - t);
    return a > 0.5 && x > 0 ? s + t : h + hl;
}

/* ---- error function ---- */

/* erf(x) for |x| <= 1 */
TIDE_FN double tide_erf_near_f64(double x) {
    double z = x * x;
    double p = TIDE_P12(f64, z, 0x1.06eba8214db68p-3, -0x1.812746b0379b2p-2, 0x1.ce2f21a0408dp-4,
                        -0x1.b82ce311ee023p-6, 0x1.565bccf7e1391p-8, -0x1.c02db01462149p-11,
                        0x1.f9a2b74ef0be8p-14, -0x1.f4ca1fe41740bp-17, 0x1.b97e3fe172859p-20,
                        -0x1.5bfe5acb71582p-23, 0x1.d6e31951bb437p-27, -0x1.ab1368e540b12p-31);
    return tide_fma_f64(x, p, x);
}

/* erfc(a) = e^(-a^2) R(t) / (1 + 2a), t = (a-4) / (a+4), for a >= 0.49 */
TIDE_FN double tide_erfc_far_f64(double a) {
    int64_t n;
    a = a > 28 ? 28 : a;
    double t = (a - 4) / (a + 4), h = a * a, p = tide_exp_parts_f64(-h, -tide_fma_f64(a, a, -h), &n);
    double r =
        TIDE_P11(f64, t, 0x1.3be05f1753711p-13, -0x1.995534a185843p-16, -0x1.788b7fe6b082bp-17,
                 0x1.7ef7e1ba2b95fp-18, 0x1.3b4ebf13a28bap-22, -0x1.b81995788bc49p-21, 0x1.40e5f143a351ep-24,
                 0x1.bc47dc4d1fd12p-24, -0x1.335fffedd8f4cp-26, -0x1.4dc264a63227fp-27, 0x1.f062b68a66f1ap-30);
    r = TIDE_P12(f64, t, -0x1.1df1ad154a28ep-3, 0x1.f7f5df66fd74cp-7, 0x1.16ecefcfa5306p-4,
                 -0x1.9ddb23c3e8cd6p-4, 0x1.7fee004e142abp-4, -0x1.0fb06dfe505edp-4, 0x1.3079edf6306a5p-5,
                 -0x1.0962388379dbap-6, 0x1.49c672a52f157p-8, -0x1.8d4a9b8f88e2ep-11, -0x1.a1df4192494p-13, r);
    /* the leading coefficient has a second part: t r is small beside it, and little is lost */
    double v = tide_fma_f64(t, r, -0x1.a6b097c4670afp-55), b = 0x1.3ba5916e9fd7fp0 + v;
    double d = 1 + 2 * a, q = tide_quotient(b, (0x1.3ba5916e9fd7fp0 - b) + v, d, 2 * a - (d - 1));
    return tide_scale_f64(tide_fma_f64(p, q, q), n);
}

/* x (1 + P(x^2)) below 0.9, from there 1 - 2^h with h = log2 erfc(|x|), whose error the small 2^h makes small
 */
TIDE_FN float tide_erf_f32(float x) {
    float a = tide_abs_f32(x), z = x * x, b = a > 4 ? 4 : a, b2 = b * b;
    float p = TIDE_E6(f32, z, z * z, 0x1.06eba6p-3f, -0x1.8126fap-2f, 0x1.ce1dd2p-4f, -0x1.b6bee8p-6f,
                      0x1.4876e2p-8f, -0x1.3f4fc6p-11f);
    float h = TIDE_E7(f32, b, b2, -0x1.0c82f2p-12f, -0x1.a082fcp0f, -0x1.d6920ap-1f, -0x1.336492p-3f,
                      0x1.074872p-5f, -0x1.20e724p-8f, 0x1.2a4a9ep-12f);
    float t = h + 0x1.8p23f, r = h - (t - 0x1.8p23f);
    float e = TIDE_E6(f32, r, r * r, 0x1.000002p0f, 0x1.62e428p-1f, 0x1.ebf918p-3f, 0x1.c6b6e4p-5f,
                      0x1.3d0c52p-7f, 0x1.5c08e4p-10f);
    float far = tide_fma_f32(e, tide_from_bits_f32((tide_bits_f32(t) << 23) + 0xbf800000u), 1);
    return a < 0.9f ? tide_fma_f32(x, p, x) : tide_copysign_f32(far, x);
}
TIDE_FN double tide_erf_f64(double x) {
    double a = tide_abs_f64(x), near = tide_erf_near_f64(x), far = 1 - tide_erfc_far_f64(a);
    return a < 1 ? near : tide_copysign_f64(far, x);
}
TIDE_FN double tide_erfc_f64(double x) {
    double a = tide_abs_f64(x), near = 1 - tide_erf_near_f64(x), far = tide_erfc_far_f64(a);
    return a < 0.5 ? near : x < 0 ? 2 - far : far;
}
TIDE_FN float tide_erfc_f32(float x) { return (float)tide_erfc_f64(x); }

/* ---- integers ---- */

/* Division by 0 gives 0 and the least number by -1 wraps. A shift by a negative count or by all bits leaves
 * nothing but the sign. Powers wrap; those with a negative exponent are truncated. */
#define TIDE_INTEGERS(I, U, i, BITS)                                                             \
    TIDE_FN I tide_tdiv_##i(I a, I b) {                                                          \
        I q = a / (b == 0 || b == -1 ? 1 : b);                                                   \
        return b == 0 ? 0 : b == -1 ? (I)(0 - (U)a) : q;                                         \
    }                                                                                            \
    TIDE_FN I tide_tmod_##i(I a, I b) { return b == 0 ? 0 : a % (b == 0 || b == -1 ? 1 : b); }   \
    TIDE_FN I tide_div_##i(I a, I b) {                                                           \
        I q = tide_tdiv_##i(a, b), r = tide_tmod_##i(a, b);                                      \
        return r != 0 && (r ^ b) < 0 ? q - 1 : q;                                                \
    }                                                                                            \
    TIDE_FN I tide_mod_##i(I a, I b) {                                                           \
        I r = tide_tmod_##i(a, b);                                                               \
        return r != 0 && (r ^ b) < 0 ? r + b : r;                                                \
    }                                                                                            \
    TIDE_FN I tide_shl_##i(I a, I n) { return (U)n < BITS ? (I)((U)a << (n & (BITS - 1))) : 0; } \
    TIDE_FN I tide_shr_##i(I a, I n) { return a >> ((U)n < BITS ? n & (BITS - 1) : BITS - 1); }  \
    TIDE_FN I tide_ipow_##i(I a, I n) {                                                          \
        U r = 1, b = (U)a;                                                                       \
        if (n < 0) return a == 1 ? 1 : a == -1 ? (n & 1 ? -1 : 1) : 0;                           \
        for (; n > 0; n >>= 1, b *= b) r = n & 1 ? r * b : r;                                    \
        return (I)r;                                                                             \
    }
TIDE_INTEGERS(int32_t, uint32_t, i32, 32)
TIDE_INTEGERS(int64_t, uint64_t, i64, 64)

/* ---- conversions ---- */

/* Float to integer truncates and saturates; NaN gives 0. Made of shifts, for the processors' own instructions
 * differ. */
TIDE_FN int32_t tide_i32_of_f32(float x) {
    uint32_t b = tide_bits_f32(x), m = (b & 0x7fffffu) | 0x800000u;
    int32_t e = (int32_t)(b >> 23 & 0xff) - 150;
    uint32_t v = e >= 0 ? m << (e < 7 ? e : 7) : m >> (e > -31 ? -e : 31);
    int32_t y = (int32_t)(x < 0 ? 0 - v : v), end = (int32_t)(0x7fffffffu + (x < 0));
    return x != x ? 0 : e > 7 ? end : y;
}
TIDE_FN int64_t tide_i64_of_f64(double x) {
    uint64_t b = tide_bits_f64(x), m = (b & 0xfffffffffffffu) | 1ull << 52;
    int64_t e = (int64_t)(b >> 52 & 0x7ff) - 1075;
    uint64_t v = e >= 0 ? m << (e < 10 ? e : 10) : m >> (e > -63 ? -e : 63);
    int64_t y = (int64_t)(x < 0 ? 0 - v : v), end = (int64_t)(0x7fffffffffffffffu + (x < 0));
    return x != x ? 0 : e > 10 ? end : y;
}
TIDE_FN int64_t tide_i64_of_f32(float x) { return tide_i64_of_f64(x); }
TIDE_FN int32_t tide_i32_of_f64(double x) {
    int64_t y = tide_i64_of_f64(x);
    y = y > 0x7fffffff ? 0x7fffffff : y;
    y = y < -0x7fffffff - 1 ? -0x7fffffff - 1 : y;
    return (int32_t)y;
}
TIDE_FN float tide_f32_of_i32(int32_t x) { return (float)x; }
TIDE_FN float tide_f32_of_i64(int64_t x) { return (float)x; }
TIDE_FN double tide_f64_of_i32(int32_t x) { return (double)x; }
TIDE_FN double tide_f64_of_i64(int64_t x) { return (double)x; }

/* The 16-bit formats as their bits. f64 is stored through f32, rounded twice. */
TIDE_FN float tide_f32_of_f16(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, b = (uint32_t)(h & 0x7fff) << 13;
    float tiny = tide_from_bits_f32(b + (113u << 23)) - 0x1p-14f; /* b as a fraction below 2^-14 */
    uint32_t big = b + (b >= 31u << 23 ? 224u << 23 : 112u << 23);
    return tide_from_bits_f32((b < 1u << 23 ? tide_bits_f32(tiny) : big) | sign);
}
TIDE_FN uint16_t tide_f16_of_f32(float x) {
    uint32_t b = tide_bits_f32(x), a = b & 0x7fffffffu, sign = b >> 16 & 0x8000u;
    uint32_t tiny =
        tide_bits_f32(tide_from_bits_f32(a) + 0.5f) - 0x3f000000u; /* a place of 0.5 is one of the least */
    uint32_t h = a - (112u << 23) + 0xfffu + (a >> 13 & 1);
    h = a < 113u << 23 ? tiny : h >> 13;
    h = a >= 0x47800000u - 0x1000u ? 0x7c00u : h; /* from 65520 on */
    return (uint16_t)((a > 0x7f800000u ? 0x7e00u : h) | sign);
}
TIDE_FN float tide_f32_of_bf16(uint16_t h) { return tide_from_bits_f32((uint32_t)h << 16); }
TIDE_FN uint16_t tide_bf16_of_f32(float x) {
    uint32_t b = tide_bits_f32(x);
    return (uint16_t)(x != x ? b >> 16 | 0x40 : (b + 0x7fffu + (b >> 16 & 1)) >> 16);
}

/* Random bits to [0, 1). */
TIDE_FN float tide_unit_f32(uint32_t bits) { return (float)(int32_t)(bits >> 8) * 0x1p-24f; }
TIDE_FN double tide_unit_f64(uint32_t hi, uint32_t lo) {
    return (double)(int32_t)(hi >> 5) * 0x1p-27 + (double)(int32_t)(lo >> 6) * 0x1p-53;
}

#endif
