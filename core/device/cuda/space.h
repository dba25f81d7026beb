/* What a generated kernel is given at launch, the same bytes on both sides: plain C that is CUDA source as
 * well. A kernel is called as kernel(space, work) and declares only as many arguments as its program has. */
#ifndef TIDE_CUDA_SPACE_H
#define TIDE_CUDA_SPACE_H

/* The iteration space: sizes of the kept and reduced dims, the failure flag, and the numbers of the slots. */
typedef struct tide_cuda_head {
    int64_t K, R, k[8], r[8];
    int32_t nk, nr;
    uint32_t *flag; /* all ones, until a CHECK lowers it to its index */
    uint64_t slot[16];
} tide_cuda_head;

typedef struct tide_cuda_arg {
    char *base;
    int64_t sk[8], sr[8]; /* bytes */
} tide_cuda_arg;

/* How one kernel divides it. A block of 256 threads visits 2^lw kept elements at a time with 2^lt threads each,
 * and a thread carries 2^lg of the lanes in which its element is reduced. */
typedef struct tide_cuda_work {
    int64_t count;    /* elements to visit: kept ones, or those of a flat kernel's space */
    int64_t kept;     /* kept elements */
    int64_t chunks;   /* stage: chunks that R is cut into; join: partial results that are left */
    int64_t parts;    /* join: partial results before */
    uint64_t *temp;   /* results of the reductions by kept element, then partial results; 8 bytes each */
    int64_t from, to; /* where in temp partial results are read and written */
    int32_t level;    /* stage and join: which level of reductions; above the last, the effects */
    int32_t lt, lw, lg;
    int32_t columns; /* neighbouring threads visit neighbouring kept elements, not neighbouring lanes */
    int32_t pad;
} tide_cuda_work;

#endif
