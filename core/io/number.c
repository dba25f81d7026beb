/* Up to 19 digits and powers of ten to 27, nearly all numbers ever written, go through integers that hold them
 * exactly and are rounded once; the rest is handed to strtod in a form without a decimal point, so that no
 * locale matters. */
#include "io/number.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

typedef unsigned __int128 u128;

enum {
    EXACT = 27,
    SIGNIFICANT = 19,
    KEPT = 800
}; /* 5^27 < 2^63; beyond 767 digits only "not zero" can matter */
#define EXPONENT_CAP 1000000000

static bool digit(char c) { return (unsigned char)(c - '0') < 10; }

/* Appends the digits at p to *value, modulo 2^64, eight at a time; returns where they end. */
static inline const char *take_digits(const char *p, const char *end, uint64_t *value) {
    uint64_t v = *value;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    while (end - p >= 8) {
        uint64_t x;
        memcpy(&x, p, 8);
        uint64_t carried = (x + 0x0606060606060606u) & 0xF0F0F0F0F0F0F0F0u; /* 3x stays 3x only for '0'..'9' */
        if (((x & 0xF0F0F0F0F0F0F0F0u) | carried >> 4) != 0x3333333333333333u) break;
        x = (x & 0x0F0F0F0F0F0F0F0Fu) * (10 << 8 | 1) >> 8; /* pairs, then fours, then all eight */
        x = (x & 0x00FF00FF00FF00FFu) * (100 << 16 | 1) >> 16;
        x = (x & 0x0000FFFF0000FFFFu) * ((uint64_t)10000 << 32 | 1) >> 32;
        v = v * 100000000 + x;
        p += 8;
    }
#endif
    while (p < end && digit(*p)) v = v * 10 + (uint64_t)(*p++ - '0');
    *value = v;
    return p;
}

static double power_of_two(int n) { /* -1022 <= n <= 1023 */
    uint64_t bits = (uint64_t)(n + 1023) << 52;
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

static const uint64_t fives[EXACT + 1] = {1u,
                                          5u,
                                          25u,
                                          125u,
                                          625u,
                                          3125u,
                                          15625u,
                                          78125u,
                                          390625u,
                                          1953125u,
                                          9765625u,
                                          48828125u,
                                          244140625u,
                                          1220703125u,
                                          6103515625ull,
                                          30517578125ull,
                                          152587890625ull,
                                          762939453125ull,
                                          3814697265625ull,
                                          19073486328125ull,
                                          95367431640625ull,
                                          476837158203125ull,
                                          2384185791015625ull,
                                          11920928955078125ull,
                                          59604644775390625ull,
                                          298023223876953125ull,
                                          1490116119384765625ull,
                                          7450580596923828125ull}; /* 5^n */

/* n / d, which fits 64 bits. */
static inline uint64_t divide(u128 n, uint64_t d, uint64_t *rest) {
#if defined(__x86_64__) && defined(__GNUC__)
    uint64_t q; /* one instruction; the compiler would call a function for any quotient */
    __asm__("divq %4" : "=a"(q), "=d"(*rest) : "a"((uint64_t)n), "d"((uint64_t)(n >> 64)), "r"(d) : "cc");
    return q;
#else
    *rest = (uint64_t)(n % d);
    return (uint64_t)(n / d);
#endif
}

/* The value is brought to 62 bits or more with a sticky last one, so the
 * conversion to double is the only rounding. */
double tide_decimal(uint64_t w, int e) {
    static const double tens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                  1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (w <= (uint64_t)1 << 53 && e >= -22 && e <= 22)
        return e < 0 ? (double)w / tens[-e] : (double)w * tens[e];
    if (e < 0) {
        uint64_t d = fives[-e], rest;
        int up_w = __builtin_clzll(w), up_d = __builtin_clzll(d);
        d <<= up_d;
        u128 n = (u128)(w << up_w) << 62;
        uint64_t q = divide(n, d, &rest);
        q |= rest != 0;
        return (double)(int64_t)q * power_of_two(up_d - up_w - 62 + e); /* signed: one instruction */
    }
    u128 n = (u128)w * fives[e];
    uint64_t high = (uint64_t)(n >> 64);
    if (!high) return (double)(uint64_t)n * power_of_two(e);
    int up = __builtin_clzll(high);
    n <<= up;
    return (double)((uint64_t)(n >> 64) | ((uint64_t)n != 0)) * power_of_two(64 - up + e);
}

/* The digits of [s, end), which may hold one point and end at an 'e', times 10^e. */
static double from_text(const char *s, const char *end, int64_t e) {
    char text[KEPT + 32];
    int n = 0;
    bool more = false;
    for (; s < end && (digit(*s) || *s == '.'); s++) {
        if (*s == '.' || (n == 0 && *s == '0')) continue;
        if (n < KEPT) {
            text[n++] = *s;
        } else {
            more |= *s != '0';
            e++;
        }
    }
    if (!n) return 0;
    if (more) text[n++] = '1', e--;
    if (e > EXPONENT_CAP) e = EXPONENT_CAP;
    if (e < -EXPONENT_CAP) e = -EXPONENT_CAP;
    snprintf(text + n, sizeof text - (size_t)n, "e%d", (int)e);
    int kept = errno; /* strtod reports what does not fit a double there */
    double d = strtod(text, NULL);
    errno = kept;
    return d;
}

bool tide_parse_int64(const char *s, const char *end, int64_t *out) {
    bool negative = s < end && *s == '-';
    if (s < end && (*s == '-' || *s == '+')) s++;
    if (s == end) return false;
    while (end - s > SIGNIFICANT && *s == '0') s++;
    uint64_t u = 0;
    if (end - s > SIGNIFICANT || take_digits(s, end, &u) != end || u > (uint64_t)INT64_MAX + negative)
        return false;
    *out = (int64_t)(negative ? 0 - u : u);
    return true;
}

bool tide_parse_double(const char *s, const char *end, double *out) {
    bool negative = s < end && *s == '-';
    if (s < end && (*s == '-' || *s == '+')) s++;
    uint64_t w = 0;
    const char *p = take_digits(s, end, &w);
    int64_t ndigits = p - s, e = 0, power = 0;
    if (p < end && *p == '.') {
        const char *fraction = ++p;
        p = take_digits(p, end, &w);
        e = fraction - p;
        ndigits -= e;
    }
    if (!ndigits) return false;
    const char *stop = p;
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        bool down = p < end && *p == '-';
        if (p < end && (*p == '-' || *p == '+')) p++;
        if (p == end) return false;
        for (; p < end && digit(*p); p++)
            if (power < EXPONENT_CAP) power = power * 10 + (*p - '0');
        e += down ? -power : power;
    }
    if (p != end) return false;
    if (ndigits > SIGNIFICANT)
        for (const char *z = s; z < stop && (*z == '0' || *z == '.'); z++) ndigits -= *z == '0';
    double d = ndigits <= SIGNIFICANT && !w                          ? 0
               : ndigits <= SIGNIFICANT && e >= -EXACT && e <= EXACT ? tide_decimal(w, (int)e)
                                                                     : from_text(s, stop, e);
    *out = negative ? -d : d;
    return true;
}
