/* The part of math.h about circular functions. */
#ifndef TIDE_MATH_CIRCULAR_H
#define TIDE_MATH_CIRCULAR_H

#ifndef __CUDACC__ /* CUDA source is one text */
#include "program/math_bits.h"
#endif

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

#endif
