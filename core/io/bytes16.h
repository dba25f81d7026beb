/* Sixteen bytes of text at once. */
#ifndef TIDE_BYTES16_H
#define TIDE_BYTES16_H

#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

typedef uint8_t bytes16 __attribute__((vector_size(16)));

static inline bytes16 bytes16_load(const void *p) {
    bytes16 b;
    memcpy(&b, p, 16);
    return b;
}

/* One bit for each byte, which is 0 or 255: bit 0 for the first. */
static inline uint32_t bytes16_mask(bytes16 b) {
#ifdef __SSE2__
    return (uint32_t)_mm_movemask_epi8((__m128i)b);
#else
    typedef uint64_t words __attribute__((vector_size(16)));
    words w = (words)(b & (bytes16){1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128});
    return (uint32_t)(w[0] * 0x0101010101010101u >> 56 | w[1] * 0x0101010101010101u >> 56 << 8);
#endif
}

/* The number whose decimal digits, 0 to 9, the bytes are. */
static inline uint64_t bytes16_decimal(bytes16 b) {
#ifdef __SSE2__
    __m128i x = (__m128i)b, ones = _mm_srli_epi16(x, 8), tens = _mm_and_si128(x, _mm_set1_epi16(0xFF));
    x = _mm_add_epi16(_mm_mullo_epi16(tens, _mm_set1_epi16(10)), ones); /* eight pairs */
    x = _mm_madd_epi16(x, _mm_set1_epi32(1 << 16 | 100));               /* four fours */
    x = _mm_madd_epi16(_mm_packs_epi32(x, x), _mm_set1_epi32(1 << 16 | 10000));
    uint64_t halves = (uint64_t)_mm_cvtsi128_si64(x);
    return (halves & UINT32_MAX) * 100000000 + (halves >> 32);
#else
    uint64_t high = 0, low = 0;
    for (int i = 0; i < 8; i++) high = high * 10 + b[i], low = low * 10 + b[i + 8];
    return high * 100000000 + low;
#endif
}

#endif
