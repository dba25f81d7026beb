/* One file a reader: LLVMFuzzerTestOneInput of libFuzzer (llvm.org/docs/LibFuzzer.html). */
#ifndef TIDE_FUZZ_H
#define TIDE_FUZZ_H

#include "io/file.h"
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

void fuzz_check(int ok, const char *what); /* ends the process if not */
/* From here on tide_map_open gives the input, and no more than factor * n + 4 MiB may be in use. */
void fuzz_begin(const uint8_t *data, size_t n, size_t factor);
void fuzz_allow(size_t more);                   /* so many bytes more */
void fuzz_end(void);                            /* nothing may be in use */
char *fuzz_copy(const uint8_t *data, size_t n); /* malloc'd */
unsigned fuzz_sum(const void *p, size_t n);     /* reads every byte */

#endif
