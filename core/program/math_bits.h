/* The part of math.h that the others stand on: bits, fma, rounding, order, remainders. */
#ifndef TIDE_MATH_BITS_H
#define TIDE_MATH_BITS_H

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

#endif
