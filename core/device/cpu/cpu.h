/* The CPU as a device: programs through the vector machine, products through gemm. */
#ifndef TIDE_CPU_H
#define TIDE_CPU_H

#include "program/program.h"

/* Runs a piece. Made at the first run and kept by the caller: *compiled, for all shapes, until
 * tide_cpu_release; *bound, for iter but for its addresses, until tide_cpu_unbind. */
tide_status tide_cpu_program(tide_context *cx, void **compiled, void **bound, const tide_prog *piece, int niter,
                             const tide_iter *iter, const uint64_t *slot);
/* Runs a piece and the next one in one go; false, and nothing is done, where that cannot be. */
bool tide_cpu_two(tide_context *cx, void **compiled, const tide_piece *pieces, tide_iter *const *iter,
                  const uint64_t *slot, tide_status *status);
void tide_cpu_release(tide_context *cx, void *compiled);
void tide_cpu_unbind(tide_context *cx, void *bound);

#endif
