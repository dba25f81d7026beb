/* The part of math.h about exponentials, logarithms and powers. */
#ifndef TIDE_MATH_EXP_H
#define TIDE_MATH_EXP_H

#ifndef __CUDACC__ /* CUDA source is one text */
#include "program/math_bits.h"
#endif

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

#endif
