/* Which instruction set the CPU kernels use: what the processor and the system have, lowered by TIDE_ISA. */
#include "base/base.h"
#include <stdlib.h>

static tide_isa processor(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
#ifndef __clang__ /* knows no f16c, which all processors with avx2 have */
                __builtin_cpu_supports("f16c") &&
#endif
                __builtin_cpu_supports("bmi2");
    bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    return avx2 ? avx512 ? TIDE_ISA_AVX512 : TIDE_ISA_AVX2 : TIDE_ISA_BASELINE;
#else
    return TIDE_ISA_BASELINE;
#endif
}

tide_isa tide_cpu_isa(void) {
    static const char *const name[] = {"baseline", "avx2", "avx512"};
    tide_isa isa = processor();
    const char *wish = getenv("TIDE_ISA");
    for (int i = 0; wish && i < (int)isa; i++) {
        if (!strcmp(wish, name[i])) return (tide_isa)i;
    }
    return isa;
}
