/* Decimal numbers as tables have them, all bytes at once and with no branch that asks for a digit: signs,
 * lengths and points vary from cell to cell, and a branch guessed wrong costs more than the number. Bytes are
 * loaded backwards from the end, where the last digit is always in one place. What is not taken here is for
 * number.h. */
#ifndef TIDE_DECIMAL_H
#define TIDE_DECIMAL_H

#include "io/bytes16.h"
#include "io/number.h"

enum { DECIMAL_REACH = 33 };  /* bytes before the end that are read */
enum { DECIMAL_DIGITS = 19 }; /* they fit 64 bits */

/* Bytes from 32 - n on are 255: the last n of 32, n <= 32, of which the second half begins 16 later. */
static inline const uint8_t *decimal_last(size_t n) {
    static const uint8_t window[64] = {[32 ... 63] = 255};
    return window + n;
}

/* [-] 1 to 16 digits at p. `begin`: the text's; it may be read from there. */
static inline bool decimal_int(const char *begin, const char *p, size_t n, int64_t *out) {
    const char *end = p + n;
    if (n - 1 > 16 || end - begin < DECIMAL_REACH) return false;
    bool negative = *p == '-';
    n -= negative;
    if (n - 1 > 15) return false;
    bytes16 x = (bytes16_load(end - 16) - '0') & bytes16_load(decimal_last(n) + 16);
    if (bytes16_mask((bytes16)(x > 9))) return false;
    int64_t v = (int64_t)bytes16_decimal(x);
    *out = (v ^ -(int64_t)negative) + negative;
    return true;
}

/* w / 10^places, and its sign; w has at most DECIMAL_DIGITS digits, and so many are the places. */
static inline double decimal_double(bool negative, uint64_t w, int places) {
    static const double tens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,
                                  1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19};
    /* two exact doubles: their quotient is rounded once */
    double d = w <= (uint64_t)1 << 53 ? (double)(int64_t)w / tens[places] : tide_decimal(w, -places);
    uint64_t bits; /* a ?: would become a branch */
    memcpy(&bits, &d, sizeof bits);
    bits |= (uint64_t)negative << 63;
    memcpy(&d, &bits, sizeof d);
    return d;
}

/* More than 16 bytes, as decimal_float. */
static inline bool decimal_long_float(const char *end, size_t n, bool negative, double *out) {
    if (n - 17 > DECIMAL_DIGITS + 1 - 17) return false;
    bytes16 high = bytes16_load(end - 32), low = bytes16_load(end - 16), own = bytes16_load(decimal_last(n));
    uint32_t point = bytes16_mask((bytes16)(low == '.')) << 16 | bytes16_mask((bytes16)(high == '.') & own);
    int places = 0;
    if (point) {
        places = 31 - __builtin_ctz(point);
        const uint8_t *after = decimal_last((size_t)places);
        bytes16 stay = bytes16_load(after), stay_low = bytes16_load(after + 16);
        high = (high & stay) | (bytes16_load(end - 33) & ~stay);
        low = (low & stay_low) | (bytes16_load(end - 17) & ~stay_low);
        own = bytes16_load(decimal_last(--n));
    }
    high = (high - '0') & own;
    low -= '0';
    if (n > DECIMAL_DIGITS || bytes16_mask((bytes16)(high > 9) | (bytes16)(low > 9))) return false;
    *out = decimal_double(negative, bytes16_decimal(high) * 10000000000000000u + bytes16_decimal(low), places);
    return true;
}

/* [-] 1 to 19 digits, among which, before or after which there may be a point, at p. */
static inline bool decimal_float(const char *begin, const char *p, size_t n, double *out) {
    const char *end = p + n;
    if (n - 1 > DECIMAL_DIGITS + 1 || end - begin < DECIMAL_REACH) return false;
    bool negative = *p == '-';
    n -= negative;
    if (n - 1 > 15) return decimal_long_float(end, n, negative, out);
    bytes16 x = bytes16_load(end - 16), own = bytes16_load(decimal_last(n) + 16);
    uint32_t point = bytes16_mask((bytes16)(x == '.') & own);
    int places = 0;
    if (point) { /* the bytes before it move up by one */
        places = 15 - __builtin_ctz(point);
        bytes16 stay = bytes16_load(decimal_last((size_t)places) + 16);
        x = (x & stay) | (bytes16_load(end - 17) & ~stay);
        own = bytes16_load(decimal_last(--n) + 16);
    }
    x = (x - '0') & own;
    if (n == 0 || bytes16_mask((bytes16)(x > 9))) return false;
    *out = decimal_double(negative, bytes16_decimal(x), places);
    return true;
}

#endif
