/* What gemm.c, which cuts products into tiles, and gemm_kernel.c, which computes one, know of each other. */
#ifndef TIDE_GEMM_KERNEL_H
#define TIDE_GEMM_KERNEL_H

#include "device/cpu/gemm.h"
#include "tensor/tensor.h"

enum {
    TIDE_GEMM_KC = 256,                /* terms of a block of the sum: part of the rounding contract */
    TIDE_GEMM_NR = 32,                 /* columns of the widest register block of any instruction set */
    TIDE_GEMM_LDA = TIDE_GEMM_KC + 16, /* row stride of packed a: off a power of two, for the cache's sake */
};

/* A rectangle of c, of one product; a, b and c are the product's own first elements. Long sums end between
 * blocks where cx says that the list was cancelled. */
typedef struct tide_gemm_tile {
    tide_context *cx;
    const void *a, *b;
    void *c;
    int64_t row, rows, col, cols;
    bool pack_b; /* must be set where b_col is not 1, and for f16 and bf16, whose a is packed too */
} tide_gemm_tile;

typedef void (*tide_gemm_fn)(const tide_gemm *g, const tide_gemm_tile *t, void *scratch);

typedef struct tide_gemm_kernel {
    tide_gemm_fn f32, f64;     /* f32 serves f16 and bf16 */
    tide_gemm_fn i64, i32, i8; /* i8 serves uint8: modulo 2^8 they are one */
    /* The end of an f16 or bf16 tile whose sums (rows of t->cols) came from elsewhere; add: c is added to them.
     */
    void (*round)(const tide_gemm *g, const tide_gemm_tile *t, float *sums, bool add);
} tide_gemm_kernel;

extern const tide_gemm_kernel tide_gemm_baseline, tide_gemm_avx2, tide_gemm_avx512;

static inline int64_t tide_gemm_longest(const tide_gemm *g) {
    return g->k < TIDE_GEMM_KC ? g->k : TIDE_GEMM_KC;
}

static inline int64_t tide_gemm_strip(int64_t cols) {
    return (cols + TIDE_GEMM_NR - 1) / TIDE_GEMM_NR * TIDE_GEMM_NR;
}

static inline bool tide_gemm_narrow(const tide_gemm *g) {
    return g->dtype == TIDE_F16 || g->dtype == TIDE_BF16;
}

/* Scratch of a tile: packed b, then for f16 and bf16 packed a and the sums. */
static inline size_t tide_gemm_scratch(const tide_gemm *g, int64_t rows, int64_t cols) {
    int64_t b = tide_gemm_strip(cols) * tide_gemm_longest(g);
    if (tide_gemm_narrow(g)) return (size_t)(b + rows * (TIDE_GEMM_LDA + cols)) * sizeof(float);
    return (size_t)b * tide_dtype_size((tide_dtype)g->dtype);
}

#endif
