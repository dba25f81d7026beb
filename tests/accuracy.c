/* How far the functions of program/math.h are from the truth, in units of the last place, and whether those
 * that are exact by definition are exact.
 *
 *   accuracy [--all] [name]   a sample of every function; --all: every float for the functions of one float
 *   accuracy --sum [name]     a hash of the results on a fixed sample: the same for every build and instruction
 * set
 *
 * Floats are compared with the C library's double functions, doubles with its long double ones. Exit status 1
 * when a bound is exceeded. */
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "program/math.h"

enum { BLOCK = 1024 };
typedef long double wide;

static int passed, failed;
static const char *only;

static uint64_t seed;
static uint64_t random64(void) /* splitmix64 */
{
    uint64_t z = (seed += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void report(bool ok) {
    if (ok)
        passed++;
    else
        failed++;
}

/* ---- references ---- */

#define REFERENCES(T, s, m)                                                                         \
    static T sigmoid##s(T x) { return x < 0 ? exp##m(x) / (1 + exp##m(x)) : 1 / (1 + exp##m(-x)); } \
    static T rsqrt##s(T x) { return 1 / sqrt##m(x); }                                               \
    static T sign##s(T x) { return x != x ? x : (T)((x > 0) - (x < 0)); }                           \
    static T abs##s(T x) { return fabs##m(x); }                                                     \
    static T max##s(T a, T b) {                                                                     \
        return a != a || b != b ? a + b : a == b ? (signbit(a) ? b : a) : a > b ? a : b;            \
    }                                                                                               \
    static T min##s(T a, T b) {                                                                     \
        return a != a || b != b ? a + b : a == b ? (signbit(a) ? a : b) : a < b ? a : b;            \
    }
REFERENCES(double, _d, )
REFERENCES(wide, _w, l)

/* The C library may take a large even exponent of an infinity for an odd one, and lose the infinity. */
static wide pow_w(wide x, wide y) { return isinf(x) ? pow((double)x, (double)y) : powl(x, y); }

/* The remainders round as the type itself does. */
#define REMAINDERS(T, s, m)                              \
    static T mod##s(T x, T y) {                          \
        T r = fmod##m(x, y);                             \
        return r != 0 && (r < 0) != (y < 0) ? r + y : r; \
    }                                                    \
    static T floordiv##s(T x, T y) {                     \
        T r = fmod##m(x, y), q = (x - r) / y, n;         \
        if (y == 0) return x / y;                        \
        if (r != 0 && (r < 0) != (y < 0)) q -= 1;        \
        if (q == 0) return copysign##m(0, x / y);        \
        n = floor##m(q);                                 \
        return q - n > (T)0.5 ? n + 1 : n;               \
    }
REMAINDERS(float, _f, f)
REMAINDERS(double, _d, )
static double mod_fd(double x, double y) { return mod_f((float)x, (float)y); }
static double floordiv_fd(double x, double y) { return floordiv_f((float)x, (float)y); }
static wide mod_dw(wide x, wide y) { return mod_d((double)x, (double)y); }
static wide floordiv_dw(wide x, wide y) { return floordiv_d((double)x, (double)y); }

/* ---- the functions under test, as loops over a block ---- */

/* clang-format off */
/* name, references for f32 and f64, bounds in ULP */
#define UNARY(X)                                                                         \
    X(exp, exp, expl, 2, 2) X(expm1, expm1, expm1l, 2, 2) X(exp2, exp2, exp2l, 2, 2)     \
    X(log, log, logl, 2, 2) X(log1p, log1p, log1pl, 2, 2) X(log2, log2, log2l, 2, 2)     \
    X(log10, log10, log10l, 2, 2) X(sin, sin, sinl, 2, 2) X(cos, cos, cosl, 2, 2)        \
    X(tan, tan, tanl, 2, 2) X(tanh, tanh, tanhl, 3, 2) X(sinh, sinh, sinhl, 3, 2)        \
    X(cosh, cosh, coshl, 2, 2) X(asin, asin, asinl, 2, 2) X(acos, acos, acosl, 2, 2)     \
    X(atan, atan, atanl, 2, 2) X(erf, erf, erfl, 2, 2) X(erfc, erfc, erfcl, 2, 2)        \
    X(sigmoid, sigmoid_d, sigmoid_w, 3, 2) X(rsqrt, rsqrt_d, rsqrt_w, 2, 2)              \
    X(sqrt, sqrt, sqrtl, 0.5001, 0.5001) X(floor, floor, floorl, 0, 0)                   \
    X(ceil, ceil, ceill, 0, 0) X(trunc, trunc, truncl, 0, 0) X(round, rint, rintl, 0, 0) \
    X(abs, abs_d, abs_w, 0, 0) X(sign, sign_d, sign_w, 0, 0)
#define BINARY(X)                                                                                \
    X(pow, pow, pow_w, 2, 2) X(atan2, atan2, atan2l, 2, 2) X(min, min_d, min_w, 0, 0)            \
    X(max, max_d, max_w, 0, 0) X(copysign, copysign, copysignl, 0, 0) X(fmod, fmod, fmodl, 0, 0) \
    X(mod, mod_fd, mod_dw, 0, 0) X(floordiv, floordiv_fd, floordiv_dw, 0, 0)
/* clang-format on */

#define LOOP1(name, T, f)                                               \
    static void name##_##f(const T *x, T *y) {                          \
        for (int i = 0; i < BLOCK; i++) y[i] = tide_##name##_##f(x[i]); \
    }
#define LOOP2(name, T, f)                                                     \
    static void name##_##f(const T *x, const T *z, T *y) {                    \
        for (int i = 0; i < BLOCK; i++) y[i] = tide_##name##_##f(x[i], z[i]); \
    }
#define X(name, rd, rw, bf, bd) LOOP1(name, float, f32) LOOP1(name, double, f64)
UNARY(X)
#undef X
#define X(name, rd, rw, bf, bd) LOOP2(name, float, f32) LOOP2(name, double, f64)
BINARY(X)
#undef X

typedef struct {
    const char *name;
    void (*f32)(const float *, float *);
    void (*f64)(const double *, double *);
    double (*ref32)(double);
    wide (*ref64)(wide);
    double bound32, bound64;
} unary;
typedef struct {
    const char *name;
    void (*f32)(const float *, const float *, float *);
    void (*f64)(const double *, const double *, double *);
    double (*ref32)(double, double);
    wide (*ref64)(wide, wide);
    double bound32, bound64;
} binary;
#define X(name, rd, rw, bf, bd) {#name, name##_f32, name##_f64, rd, rw, bf, bd},
static const unary unaries[] = {UNARY(X)};
static const binary binaries[] = {BINARY(X)};
#undef X
enum { NUNARY = sizeof unaries / sizeof *unaries, NBINARY = sizeof binaries / sizeof *binaries };

static bool wanted(const char *name) { return !only || !strcmp(only, name); }

/* ---- samples ---- */

static const double specials[] = {0,
                                  1,
                                  2,
                                  3,
                                  0.5,
                                  0.25,
                                  1.5,
                                  2.5,
                                  3.5,
                                  10,
                                  100,
                                  1000,
                                  0x1p-1074,
                                  0x1p-1022,
                                  0x1.fffffffffffffp-1023,
                                  0x1p-149,
                                  0x1p-126,
                                  0x1.fffffcp-127,
                                  0x1p-25,
                                  0x1p-54,
                                  0x1.fffffep127,
                                  0x1.fffffffffffffp1023,
                                  0x1p22,
                                  0x1p23,
                                  0x1p24,
                                  0x1p31,
                                  0x1p32,
                                  0x1p52,
                                  0x1p53,
                                  0x1p62,
                                  0x1p63,
                                  0x1p64,
                                  0x1.fffffep-1,
                                  0x1.fffffffffffffp-1,
                                  0x1.000002p0,
                                  0x1.0000000000001p0,
                                  0x1.921fb6p0,
                                  0x1.921fb54442d18p0,
                                  0x1.921fb6p1,
                                  0x1.921fb54442d18p1,
                                  0x1.62e43p-1,
                                  88.72283,
                                  88.72284,
                                  89.4159,
                                  103.97,
                                  103.98,
                                  709.782712893384,
                                  709.782712893385,
                                  710.4758600739439,
                                  745.1332191019411,
                                  745.1332191019412,
                                  127.99999,
                                  128,
                                  149,
                                  150,
                                  1023.9999999,
                                  1024,
                                  1074,
                                  1075,
                                  9.19455,
                                  10.0542,
                                  26.543258,
                                  27.226,
                                  6381956970095103.0 * 0x1p797,
                                  0x1.e639dcp39,
                                  5.319372648326541e255,
                                  0x1p18,
                                  0x1p30,
                                  0x1.8p17,
                                  INFINITY,
                                  NAN};
enum { NSPECIAL = sizeof specials / sizeof *specials };
static double special(uint64_t i) {
    double x = specials[i / 2 % NSPECIAL];
    return i & 1 ? -x : x;
}

/* Doubles of all kinds: any bits, moderate, near 1, near multiples of pi/2, whole, of random magnitude up to
 * 2^64. */
static double sample64(uint64_t i) {
    uint64_t r = random64();
    double u = (double)(r >> 11) * 0x1p-53, s = r & 1 ? -1 : 1;
    if (i < 2 * NSPECIAL) return special(i);
    switch (i % 8) {
    case 0: return tide_from_bits_f64(random64());
    case 1: return s * u;
    case 2: return s * u * 10;
    case 3: return s * u * 750;
    case 4: return 1 + s * u * tide_pow2_f64(-(int64_t)(r >> 1 & 63));
    case 5: return s * (double)(r >> 20) * tide_pow2_f64(-(int64_t)(r >> 1 & 63)) * 0x1.921fb54442d18p0;
    case 6: return s * (double)(r >> (2 + (r >> 1) % 62));
    default: return s * (1 + u) * tide_pow2_f64((int64_t)(random64() % 128) - 64);
    }
}
static float sample32(uint64_t i) {
    return i % 8 ? (float)sample64(i) : tide_from_bits_f32((uint32_t)random64());
}

/* ---- errors in ULP
 * ---------------------------------------------------------------------------------------------- */

static double ulps(wide y, wide r, int digits, int least, wide huge) {
    if (r != r || y != y) return r != r && y != y ? 0 : INFINITY;
    if (r == y) return r == 0 && !signbit(r) != !signbit(y) ? INFINITY : 0;
    if (isinf(r)) return INFINITY;
    if (isinf(y)) y = y > 0 ? huge : -huge; /* where the next number would be */
    int e = r == 0 ? least : ilogbl(r);
    return (double)fabsl(ldexpl(y - r, digits - 1 - (e < least ? least : e)));
}
/* A reference beyond the range stands for infinity or the largest number, whichever it rounds to. In double
 * alone: this is done for every float of every function. */
static double ulps32(float y, double r) {
    float f = (float)r;
    if (f == y && isinf(y)) return 0;
    if (f != f || y != y) return f != f && y != y ? 0 : INFINITY;
    if (f == 0 && y == 0 && r == 0) return !signbit(r) != !signbit(y) ? INFINITY : 0;
    if (isinf(f)) return INFINITY;
    int e = (int)(tide_bits_f64(r) >> 52 & 0x7ff) - 1023;
    if (e < -126) e = -126;
    return fabs((isinf(y) ? copysign(0x1p128, y) : y) - r) * tide_pow2_f64(23 - e);
}
static double ulps64(double y, wide r) {
    double f = (double)r;
    return f == y && isinf(y) ? 0 : ulps(y, isinf(f) ? f : r, 53, -1022, 0x1p1023L * 2);
}

static void say(const char *name, const char *type, double worst, double bound, double x, const double *z) {
    bool ok = worst <= bound;
    printf("accuracy %s %s max_ulp=%.3f at=%a", name, type, worst, x);
    if (z) printf(",%a", *z);
    puts(ok ? "" : " EXCEEDED");
    report(ok);
}

static void check_unary(const unary *f, bool all) {
    static float x[BLOCK], y[BLOCK];
    static double dx[BLOCK], dy[BLOCK];
    double worst = -1, at = 0;
    uint64_t n = all ? 1ull << 32 : 1 << 20;
    for (uint64_t i = 0; i < n; i += BLOCK) {
        bool bits = all || i >= n / 4; /* the sample: a quarter chosen, the rest spread over all bit patterns */
        for (int j = 0; j < BLOCK; j++)
            x[j] = bits ? tide_from_bits_f32((uint32_t)(i + j) * (all ? 1u : 5461u)) : sample32(i + j);
        f->f32(x, y);
        for (int j = 0; j < BLOCK; j++) {
            double e = ulps32(y[j], f->ref32(x[j]));
            if (e > worst) worst = e, at = x[j];
        }
    }
    say(f->name, "f32", worst, f->bound32, at, NULL);
    if (all) return;
    worst = -1;
    for (uint64_t i = 0; i < 1 << 18; i += BLOCK) {
        for (int j = 0; j < BLOCK; j++) dx[j] = sample64(i + j);
        f->f64(dx, dy);
        for (int j = 0; j < BLOCK; j++) {
            double e = ulps64(dy[j], f->ref64(dx[j]));
            if (e > worst) worst = e, at = dx[j];
        }
    }
    say(f->name, "f64", worst, f->bound64, at, NULL);
}

/* The second argument: every special one with every special one, then samples; often of like size, for powers
 * small. */
static double second64(uint64_t i, double x) {
    if (i < 4 * NSPECIAL * NSPECIAL) return special(i / (2 * NSPECIAL));
    uint64_t r = random64();
    double u = (double)(r >> 11) * 0x1p-53 - 0.5;
    switch (i % 5) {
    case 0: return x * u * tide_pow2_f64((int64_t)(r & 31) - 16);
    case 1: return 1400 * u / log2(fabs(x));
    case 2: return (double)((int64_t)(r >> 1 & 63) - 32) * 0.5;
    default: return sample64(2 * NSPECIAL + r % 8);
    }
}
static double first64(uint64_t i) {
    return i < 4 * NSPECIAL * NSPECIAL ? special(i % (2 * NSPECIAL)) : sample64(i);
}

static void check_binary(const binary *f) {
    static float x[BLOCK], z[BLOCK], y[BLOCK];
    static double dx[BLOCK], dz[BLOCK], dy[BLOCK];
    double worst = -1, at = 0, by = 0;
    for (uint64_t i = 0; i < 1 << 18; i += BLOCK) {
        for (int j = 0; j < BLOCK; j++) {
            x[j] = (float)first64(i + j);
            z[j] = (float)second64(i + j, x[j]);
        }
        f->f32(x, z, y);
        for (int j = 0; j < BLOCK; j++) {
            double e = ulps32(y[j], f->ref32(x[j], z[j]));
            if (e > worst) worst = e, at = x[j], by = z[j];
        }
    }
    say(f->name, "f32", worst, f->bound32, at, &by);
    worst = -1;
    for (uint64_t i = 0; i < 1 << 18; i += BLOCK) {
        for (int j = 0; j < BLOCK; j++) {
            dx[j] = first64(i + j);
            dz[j] = second64(i + j, dx[j]);
        }
        f->f64(dx, dz, dy);
        for (int j = 0; j < BLOCK; j++) {
            double e = ulps64(dy[j], f->ref64(dx[j], dz[j]));
            if (e > worst) worst = e, at = dx[j], by = dz[j];
        }
    }
    say(f->name, "f64", worst, f->bound64, at, &by);
}

/* ---- exact functions ---- */

static void exact(const char *name, uint64_t n, uint64_t wrong) {
    printf("exact %s cases=%llu wrong=%llu\n", name, (unsigned long long)n, (unsigned long long)wrong);
    report(wrong == 0);
}

static bool same32(float a, float b) { return (a != a && b != b) || tide_bits_f32(a) == tide_bits_f32(b); }
static bool same64(double a, double b) { return (a != a && b != b) || tide_bits_f64(a) == tide_bits_f64(b); }

/* Triples whose sum nearly cancels, or that end below the normal numbers, among others. */
static void check_fma(void) {
    uint64_t wrong = 0, n = 3000000;
    for (uint64_t i = 0; i < n; i++) {
        double a = sample64(i), b = i % 3 ? sample64(i / 7 + i % 7) : tide_from_bits_f64(random64()),
               c = sample64(i / 3);
        uint64_t r = random64();
        switch (r % 4) {
        case 0: c = -a * b * (1 + (double)((int64_t)(r >> 60) - 8) * DBL_EPSILON); break;
        case 1: b = tide_pow2_f64(-1021 - (int64_t)(r >> 8) % 60) / a; break;
        case 2: c = a * b * tide_pow2_f64((int64_t)(r >> 8 & 127) - 64); break;
        default: break;
        }
        if (r >> 32 & 1) c *= 1 + (double)(r >> 50) * 0x1p-60;
        wrong += !same64(tide_fma_f64(a, b, c), fma(a, b, c));
        wrong += !same32(tide_fma_f32((float)a, (float)b, (float)c), fmaf((float)a, (float)b, (float)c));
        float x = tide_from_bits_f32((uint32_t)r), y = 0x1p-127f / x, z = (float)a * 0x1p-130f;
        wrong += !same32(tide_fma_f32(x, y, z), fmaf(x, y, z));
    }
    exact("fma", 3 * n, wrong);
}

static void check_small_trig(void) {
    uint64_t wrong = 0, n = 1000000;
    for (uint64_t i = 0; i < n; i++) {
        float x = (float)sample64(i);
        double z = sample64(i);
        if (fabsf(x) <= TIDE_TRIG_SMALL_F32)
            wrong += !same32(tide_sin_f32(x), tide_sin_small_f32(x)) +
                     !same32(tide_cos_f32(x), tide_cos_small_f32(x)) +
                     !same32(tide_tan_f32(x), tide_tan_small_f32(x));
        if (fabs(z) <= TIDE_TRIG_SMALL_F64)
            wrong += !same64(tide_sin_f64(z), tide_sin_small_f64(z)) +
                     !same64(tide_cos_f64(z), tide_cos_small_f64(z)) +
                     !same64(tide_tan_f64(z), tide_tan_small_f64(z));
    }
    exact("small_trig", 6 * n, wrong);
}

/* x rounded to a format of `digits` binary digits */
static double to_format(double x, int digits, int least, double largest) {
    if (x != x || isinf(x) || x == 0) return x;
    int e = ilogb(x);
    int place = (e < least ? least : e) - digits + 1;
    double r = ldexp(rint(ldexp(x, -place)), place);
    return fabs(r) > largest ? copysign(INFINITY, x) : copysign(r, x);
}
static double f16_value(uint16_t h) {
    int e = h >> 10 & 31, m = h & 1023;
    double v = e == 31 ? (m ? NAN : INFINITY) : e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);
    return h >> 15 ? -v : v;
}
static void check_formats(bool all) {
    uint64_t wrong = 0, step = all ? 1 : 1021, n = (1ull << 32) / step;
    for (uint32_t h = 0; h < 65536; h++) {
        wrong += !same32(tide_f32_of_f16((uint16_t)h), (float)f16_value((uint16_t)h));
        float x = tide_f32_of_f16((uint16_t)h), b = tide_f32_of_bf16((uint16_t)h);
        wrong += x == x ? tide_f16_of_f32(x) != h : (tide_f16_of_f32(x) & 0x7fff) <= 0x7c00;
        wrong += b == b ? tide_bf16_of_f32(b) != h : (tide_bf16_of_f32(b) & 0x7fff) <= 0x7f80;
    }
    for (uint64_t i = 0; i < n; i++) {
        float x = tide_from_bits_f32((uint32_t)(i * step));
        wrong += !same32(tide_f32_of_f16(tide_f16_of_f32(x)), (float)to_format(x, 11, -14, 65504));
        wrong += !same32(tide_f32_of_bf16(tide_bf16_of_f32(x)), (float)to_format(x, 8, -126, 0x1.fep127));
    }
    exact("formats", 65536 * 3 + 2 * n, wrong);
}

static int64_t clamped(double x, double lo, double hi, int64_t least, int64_t most) {
    return x != x ? 0 : x <= lo ? least : x >= hi ? most : (int64_t)x;
}
static void check_conversions(void) {
    uint64_t wrong = 0, n = 2000000;
    for (uint64_t i = 0; i < n; i++) {
        double x = sample64(i);
        float f = (float)x;
        wrong += tide_i64_of_f64(x) != clamped(x, -0x1p63, 0x1p63, INT64_MIN, INT64_MAX);
        wrong += tide_i64_of_f32(f) != clamped(f, -0x1p63, 0x1p63, INT64_MIN, INT64_MAX);
        wrong += tide_i32_of_f64(x) != clamped(x, -0x1p31, 0x1p31, INT32_MIN, INT32_MAX);
        wrong += tide_i32_of_f32(f) != clamped(f, -0x1p31, 0x1p31, INT32_MIN, INT32_MAX);
        uint64_t r = random64();
        double u = tide_unit_f64((uint32_t)(r >> 32), (uint32_t)r);
        wrong += !(u >= 0 && u < 1) || u * 0x1p53 != (double)(uint64_t)(u * 0x1p53);
        wrong += tide_unit_f32((uint32_t)r) != (float)((uint32_t)r >> 8) * 0x1p-24f;
    }
    wrong +=
        tide_unit_f64(~0u, ~0u) != 1 - 0x1p-53 || tide_unit_f64(0, 0) != 0 || tide_unit_f64(0, 64) != 0x1p-53;
    exact("conversions", 6 * n + 3, wrong);
}

static int64_t sample_int(int bits) {
    static const int64_t edge[] = {0,         1,         -1,        2,  -2, 3,  7, INT32_MAX,
                                   INT32_MIN, INT64_MAX, INT64_MIN, 31, 32, 63, 64};
    uint64_t r = random64();
    int64_t v = r & 3 ? (int64_t)(random64() >> (r >> 2) % 64) : edge[(r >> 2) % (sizeof edge / sizeof *edge)];
    v = r >> 62 & 1 ? (int64_t)(0 - (uint64_t)v) : v;
    return bits == 32 ? (int32_t)v : v;
}
__extension__ typedef __int128 int128;
static int64_t wrapped(int128 v, int bits) { return bits == 32 ? (int32_t)v : (int64_t)v; }
static int64_t power(int64_t a, int64_t n, int bits) {
    if (n < 0) return a == 1 ? 1 : a == -1 ? (n & 1 ? -1 : 1) : 0;
    uint64_t r = 1;
    for (int i = 62; i >= 0; i--) {
        r *= r;
        if (n >> i & 1) r *= (uint64_t)a;
    }
    return wrapped((int64_t)r, bits);
}
static void check_integers(void) {
    uint64_t wrong = 0, n = 1000000;
    for (uint64_t i = 0; i < n; i++) {
        for (int bits = 32; bits <= 64; bits += 32) {
            int64_t a = sample_int(bits), b = sample_int(bits);
            int128 q = b ? (int128)a / b : 0, r = b ? (int128)a % b : 0;
            bool below = r != 0 && (r < 0) != (b < 0), in = b >= 0 && b < bits;
            int64_t want[7] = {wrapped(q, bits),
                               (int64_t)r,
                               wrapped(q - below, bits),
                               (int64_t)(below ? r + b : r),
                               in ? wrapped((int128)((uint64_t)a << b), bits) : 0,
                               in      ? a >> b
                               : a < 0 ? -1
                                       : 0,
                               power(a, b, bits)};
            int64_t got[7];
            if (bits == 32) {
                int32_t x = (int32_t)a, y = (int32_t)b;
                int32_t g[7] = {tide_tdiv_i32(x, y), tide_tmod_i32(x, y), tide_div_i32(x, y),
                                tide_mod_i32(x, y),  tide_shl_i32(x, y),  tide_shr_i32(x, y),
                                tide_ipow_i32(x, y)};
                for (int k = 0; k < 7; k++) got[k] = g[k];
            } else {
                int64_t g[7] = {tide_tdiv_i64(a, b), tide_tmod_i64(a, b), tide_div_i64(a, b),
                                tide_mod_i64(a, b),  tide_shl_i64(a, b),  tide_shr_i64(a, b),
                                tide_ipow_i64(a, b)};
                memcpy(got, g, sizeof got);
            }
            for (int k = 0; k < 7; k++) wrong += got[k] != want[k];
        }
    }
    exact("integers", 14 * n, wrong);
}

/* ---- hash ---- */

static uint64_t mixed(uint64_t h, uint64_t v) {
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}
static uint64_t hash32(uint64_t h, const float *y) {
    for (int j = 0; j < BLOCK; j++) h = mixed(h, y[j] != y[j] ? 0x7fc00000u : tide_bits_f32(y[j]));
    return h;
}
static uint64_t hash64(uint64_t h, const double *y) {
    for (int j = 0; j < BLOCK; j++) h = mixed(h, y[j] != y[j] ? 0x7ff8000000000000u : tide_bits_f64(y[j]));
    return h;
}
static void print_sums(void) {
    static float x[BLOCK], z[BLOCK], y[BLOCK];
    static double dx[BLOCK], dz[BLOCK], dy[BLOCK];
    uint64_t sum[2 * (NUNARY + NBINARY)] = {0}, total = 0;
    seed = 1;
    for (uint64_t i = 0; i < 1 << 17; i += BLOCK) {
        for (int j = 0; j < BLOCK; j++) {
            dx[j] = sample64(i + j);
            dz[j] = sample64(i / 2 + random64() % 64);
            x[j] = sample32(i + j);
            z[j] = (float)dz[j];
        }
        for (int k = 0; k < NUNARY; k++) {
            if (!wanted(unaries[k].name)) continue;
            unaries[k].f32(x, y);
            unaries[k].f64(dx, dy);
            sum[2 * k] = hash32(sum[2 * k], y);
            sum[2 * k + 1] = hash64(sum[2 * k + 1], dy);
        }
        for (int k = NUNARY; k < NUNARY + NBINARY; k++) {
            if (!wanted(binaries[k - NUNARY].name)) continue;
            binaries[k - NUNARY].f32(x, z, y);
            binaries[k - NUNARY].f64(dx, dz, dy);
            sum[2 * k] = hash32(sum[2 * k], y);
            sum[2 * k + 1] = hash64(sum[2 * k + 1], dy);
        }
    }
    for (int k = 0; k < 2 * (NUNARY + NBINARY); k++) {
        const char *name = k / 2 < NUNARY ? unaries[k / 2].name : binaries[k / 2 - NUNARY].name;
        if (!wanted(name)) continue;
        printf("sum %s f%d %016llx\n", name, k & 1 ? 64 : 32, (unsigned long long)sum[k]);
        total = mixed(total, sum[k]);
    }
    printf("sum %016llx\n", (unsigned long long)total);
}

int main(int argc, char **argv) {
    bool all = false, sum = false;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--all"))
            all = true;
        else if (!strcmp(argv[i], "--sum"))
            sum = true;
        else
            only = argv[i];
    }
    if (sum) {
        print_sums();
        return 0;
    }
    for (int k = 0; k < NUNARY; k++)
        if (wanted(unaries[k].name)) check_unary(&unaries[k], all);
    for (int k = 0; k < NBINARY; k++)
        if (wanted(binaries[k].name) && !all) check_binary(&binaries[k]);
    if (wanted("fma")) check_fma();
    if (wanted("small_trig")) check_small_trig();
    if (wanted("formats")) check_formats(all);
    if (wanted("conversions")) check_conversions();
    if (wanted("integers")) check_integers();
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
