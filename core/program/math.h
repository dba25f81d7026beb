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

#ifndef __CUDACC__ /* CUDA source is one text */
#include "program/math_bits.h"
#include "program/math_circular.h"
#include "program/math_exp.h"
#endif

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
