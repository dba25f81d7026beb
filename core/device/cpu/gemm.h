/* Matrix products on the CPU: c = activation(a b + bias), one product or a batch, any strides of a and b.
 *
 * The sum over k has one order, whatever the tiles, threads and instruction set: blocks of 256 consecutive k,
 * within a block one fused multiply-add after the other from 0, and the blocks' sums added in order (to c, when
 * accumulating). f16 and bf16 are computed in f32 and rounded once at the end. Integers wrap, and have no
 * activation. */
#ifndef TIDE_GEMM_H
#define TIDE_GEMM_H

#include "base/base.h"

typedef enum {
    TIDE_ACT_NONE,
    TIDE_ACT_RELU,
    TIDE_ACT_GELU,
    TIDE_ACT_GELU_TANH,
    TIDE_ACT_SILU,
    TIDE_ACT_TANH,
    TIDE_ACT_SIGMOID
} tide_activation;

/* Strides count elements and may have any sign; those of a and b may be 0. The rows of c do not overlap
 * (|c_row| >= n where m > 1), its columns are adjacent, and it shares no memory with a, b or bias. */
typedef struct tide_gemm {
    int64_t m, n, k, batch;
    uint8_t dtype; /* of a, b, bias and c: any but TIDE_BOOL */
    uint8_t activation;
    bool accumulate; /* c = activation(c + a b + bias) */
    const void *a, *b;
    int64_t a_row, a_col, a_batch, b_row, b_col, b_batch;
    void *c;
    int64_t c_row, c_batch;
    const void *bias; /* a number per column, bias_col apart; NULL: none */
    int64_t bias_col;
    const int64_t *a_off, *b_off; /* where each product's a and b start, instead of a_batch, b_batch; or NULL */
} tide_gemm;

tide_status tide_gemm_run(tide_context *cx, const tide_gemm *g);

#endif
