/* The CPU as a device: programs through the vector machine, products through gemm. */
#ifndef TIDE_CPU_H
#define TIDE_CPU_H

#include "program/program.h"

/* Runs a piece; *compiled is made at the first run and kept by the caller, who gives it back with
 * tide_cpu_release. */
tide_status tide_cpu_program(tide_context *cx, void **compiled, const tide_prog *piece, int niter,
                             const tide_iter *iter, const uint64_t *slot);
void tide_cpu_release(tide_context *cx, void *compiled);

#endif
