/* Programs compiled ahead. The build writes those that operations use most as C (core/ahead), one loop a pass,
 * and compiles them for each instruction set but the baseline. The vector machine runs all others, and these
 * too where their arguments do not lie dense. The arithmetic and the order of reductions are the same, and so
 * are the bits. */
#ifndef TIDE_AHEAD_H
#define TIDE_AHEAD_H

#include "device/cpu/vm_kernels.h"

#define TIDE_AHEAD_SHORT 32 /* rows below this are short */
#define TIDE_AHEAD_ROWS 16  /* rows at a time, at most: their reductions do not wait for each other */
#define TIDE_AHEAD_STACK \
    9 /* of columns: lanes wait for their partners, as many as TIDE_LANES has bits, and one */

typedef struct tide_ahead_call {
    const tide_vm_kernels *kernels;
    struct {
        char *base;
        int64_t k,
            r; /* bytes to the next element. Dense are: all (flat), those along R (rows) or K (columns) */
    } arg[TIDE_MAXARGS];
    const uint64_t *konst, *slot;
    int64_t K, R;
    int64_t begin, end; /* elements of a flat program, else rows */
    int64_t group;      /* how many at a time */
    char *buffer;       /* `buffers` bytes for each element of a group */
    uint32_t stream;    /* outputs to be written past the caches: bits by argument */
    char *stage;        /* what they are computed in: `stages` floats for each element of a row */
    uint32_t *failed;   /* checks that did not hold, a bit each */
} tide_ahead_call;

typedef struct tide_ahead {
    uint64_t hash;                             /* tide_prog_hash of the piece, without constants */
    void (*run)(const tide_ahead_call *q);     /* flat, or by rows */
    void (*columns)(const tide_ahead_call *q); /* may be NULL, as the next */
    void (*shorts)(const tide_ahead_call *q);  /* of rows shorter than TIDE_AHEAD_SHORT, which may lie anyhow */
    uint16_t flat, buffers, stages;
    uint16_t stack;         /* of columns: bytes for each of a group */
    uint16_t short_buffers; /* of short rows: as `buffers` */
} tide_ahead;

/* Each ends with a NULL run. */
extern const tide_ahead tide_ahead_avx2[], tide_ahead_avx512[];

#endif
