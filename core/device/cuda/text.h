/* Programs on CUDA: a piece becomes CUDA C++ source, one text for all shapes, and a list of launches for a
 * given shape. Results have the CPU's bits. The text wants tide_cuda_prelude() in front and is compiled with
 * -fmad=false -ftz=false -prec-div=true -prec-sqrt=true. */
#ifndef TIDE_CUDA_TEXT_H
#define TIDE_CUDA_TEXT_H

#include "program/program.h"
#include "device/cuda/space.h"

/* Effects that do not vary along K are computed once, apart. What needs no reduction is a flat kernel, one
 * thread an element of the effect's space (kernels 0 to 3). Else rows: all levels of reductions and then the
 * effects in one kernel, for R up to TIDE_CHUNK; above that, stage and join by turns: partial results of each
 * chunk, and theirs. */
enum {
    TIDE_CUDA_FLAT = 0,
    TIDE_CUDA_ROWS = 4,
    TIDE_CUDA_STAGE,
    TIDE_CUDA_JOIN,
    TIDE_CUDA_ONCE,
    TIDE_CUDA_NKERNEL = 10
};
/* TIDE_CUDA_ONCE + 0, 1, 2: rows, stage, join of the effects that do not vary along K */

#define TIDE_CUDA_LEVELS 8    /* reductions that wait for each other */
#define TIDE_CUDA_LAUNCHES 96 /* what a plan can need */

/* Effects that share kernels: 0 those that vary along K, 1 those that do not. */
typedef struct tide_cuda_group {
    uint8_t nlevel, nred[TIDE_CUDA_LEVELS]; /* levels, and reductions in each */
    bool flat, points, ends;                /* points: effects that vary along R; ends: others */
} tide_cuda_group;

typedef struct tide_cuda_source {
    char *text;
    int64_t length, capacity;
    char name[24];    /* of the piece, a hash: equal pieces have equal names */
    uint16_t kernels; /* bit i: kernel i is there */
    uint8_t narg;
    tide_cuda_group group[2];
} tide_cuda_source;

tide_status tide_cuda_text(tide_context *cx, const tide_prog *piece, tide_cuda_source *out);
void tide_cuda_source_free(tide_context *cx, tide_cuda_source *source);
void tide_cuda_kernel_name(const tide_cuda_source *source, int kernel, char out[48]);
const char *tide_cuda_prelude(void);

/* The first parameter of every kernel. */
typedef struct tide_cuda_space {
    tide_cuda_head head;
    tide_cuda_arg arg[TIDE_MAXARGS];
} tide_cuda_space;
void tide_cuda_space_of(const tide_iter *it, const uint64_t *slot, int nslot, uint32_t *flag,
                        tide_cuda_space *out);

/* Launches in order, blocks of 256 threads, no dynamic shared memory. Sets work.temp to NULL: the caller puts
 * there *temp bytes of device memory, if that is not 0. */
typedef struct tide_cuda_launch {
    uint8_t kernel;
    uint32_t grid;
    tide_cuda_work work;
} tide_cuda_launch;
#define TIDE_CUDA_BLOCK 256
int tide_cuda_plan(const tide_cuda_source *source, const tide_prog *piece, const tide_iter *it,
                   tide_cuda_launch out[TIDE_CUDA_LAUNCHES], size_t *temp);

#endif
