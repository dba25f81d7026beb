/* Random bits: Philox4x32-10 (Salmon et al., 2011), a function of key and counter only, so that any element of
 * any random tensor can be computed by any thread of any device. Plain C that is CUDA source as well: define
 * TIDE_FN to the function qualifiers wanted there. */
#ifndef TIDE_RANDOM_H
#define TIDE_RANDOM_H

#ifndef __CUDACC_RTC__
#include <stdint.h>
#endif

#ifndef TIDE_FN
#define TIDE_FN static inline
#endif

/* Four words for the 128-bit counter (hi, counter) under `key`; low halves are first words. */
TIDE_FN void tide_philox(uint64_t key, uint64_t hi, uint64_t counter, uint32_t out[4]) {
    uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32);
    uint32_t c2 = (uint32_t)hi, c3 = (uint32_t)(hi >> 32);
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * c0, b = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)b;
        c3 = (uint32_t)a;
        k0 += 0x9E3779B9u; /* Weyl sequences: golden ratio, sqrt(3) - 1 */
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

#endif
