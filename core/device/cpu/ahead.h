/* Programs compiled ahead. The build writes those that operations use most as C (core/ahead), one loop a pass,
 * and compiles them for each instruction set but the baseline. The vector machine runs all others, and these
 * too where their arguments do not lie dense. The arithmetic and the order of reductions are the same, and so
 * are the bits. */
#ifndef TIDE_AHEAD_H
#define TIDE_AHEAD_H

#include "device/cpu/vm_kernels.h"

#define TIDE_AHEAD_SHORT 32 /* rows below this are short */
#define TIDE_AHEAD_ROWS 16  /* rows at a time, at most: their reductions do not wait for each other */

typedef struct tide_ahead_call {
    const tide_vm_kernels *kernels;
    struct {
        char *base;
        int64_t k, r; /* bytes to the next element; dense are all (flat), those along R (rows) or K (columns) */
    } arg[TIDE_MAXARGS];
    const uint64_t *konst, *slot;
    int64_t K, R;
    int64_t begin, end; /* elements of a flat program, else rows */
    int64_t group;      /* how many at a time; by columns: how many a set of sums has room for */
    int64_t later;      /* the row to ask for, counted from the one at hand */
    char *buffer;       /* `buffers` bytes for each element of a group */
    uint32_t stream;    /* outputs to be written past the caches: bits by argument */
    char *stage;        /* what they are computed in: `stages` floats for each element of a row */
    uint32_t *failed;   /* checks that did not hold, a bit each */
} tide_ahead_call;

typedef struct tide_ahead {
    uint64_t hash;                         /* tide_prog_hash of the piece, without constants */
    void (*run)(const tide_ahead_call *q); /* flat, or by rows */
    void (*shorts)(
        const tide_ahead_call *q); /* of rows below TIDE_AHEAD_SHORT, which may lie anyhow; NULL: flat */
    /* By columns, where that can be, else NULL; a set of sums has a number a column for each reduction. Adds a
     * row of n columns, from k on, to the sums, or begins them; adds sums to others; stores what they give. */
    void (*add)(const tide_ahead_call *q, int64_t k, int64_t n, int64_t row, bool first, char *sums);
    void (*merge)(const tide_ahead_call *q, int64_t n, char *sums, const char *more);
    void (*finish)(const tide_ahead_call *q, int64_t k, int64_t n, const char *sums);
    uint16_t flat, buffers, stages, short_buffers,
        sums; /* bytes: the last two as `buffers`, and a column of a set */
} tide_ahead;

/* Each ends with a NULL run. */
extern const tide_ahead tide_ahead_avx2[], tide_ahead_avx512[];

#endif
