/* Collects runs of programs on the CPU and repeats them as CUDA text: under the emulator, where every byte must
 * come out the same (any NaN equal to any NaN), and through NVRTC, which must find nothing wrong with the text.
 *
 *     cuda_sample *s = cuda_begin("softmax", piece, niter, iter, slot);   copies the inputs and what surrounds
 * them status = tide_vm_run(cx, launch, iter, slot); cuda_end(s, status); copies the outputs
 *     ...
 *     cuda_check(&counts);                                               compiles all, in batches, runs and
 * compares */
#ifndef CUDA_CHECK_H
#define CUDA_CHECK_H

#include "program/program.h"

typedef struct cuda_sample cuda_sample;
typedef struct {
    int passed, failed, skipped;
} cuda_counts;

cuda_sample *cuda_begin(const char *name, const tide_prog *piece, int niter, const tide_iter *iter,
                        const uint64_t *slot);
void cuda_end(cuda_sample *s,
              tide_status status); /* TIDE_EARG: a CHECK did not hold, outputs are not compared */
/* Prints what fails, adds to the counts, and forgets the samples. */
void cuda_check(cuda_counts *counts);

#endif
