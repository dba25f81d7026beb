/* What the operations that are kernels share: copies, contiguous operands and results, lanes, reaching
 * positions. */
#ifndef TIDE_KERNEL_H
#define TIDE_KERNEL_H

#include "op/row.h"

#define TIDE_GRAIN 16384                      /* elements worth a tile */
int64_t kernel_grain(const tide_context *cx); /* TIDE_GRAIN, or few for the tests */
/* Before item i of a tile that may be long: asks after each grain of them whether the list was cancelled. */
static inline bool kernel_stopped(tide_context *cx, int64_t i) {
    return i % TIDE_GRAIN == TIDE_GRAIN - 1 && tide_tile_cancelled(cx);
}

/* ---- copies: below the door, so nothing is recorded ---- */
tide_status kernel_copy(tide_context *cx, tide_tensor *from, tide_tensor *to); /* broadcasts, converts */
tide_tensor *kernel_packed(tide_context *cx, tide_tensor *t); /* t, or a contiguous copy; to be freed */
tide_tensor *kernel_packed_as(tide_context *cx, tide_tensor *t, tide_dtype d);
/* A contiguous tensor of dtype d to compute `out` in: out itself or a temporary. _end takes it to out, and
 * frees it. */
tide_tensor *kernel_result(tide_context *cx, tide_tensor *out, tide_dtype d);
tide_status kernel_result_end(tide_context *cx, tide_tensor *result, tide_tensor *out, tide_status e);

/* ---- building gradients ---- */
/* One operation; *out may come set, to be written into. */
tide_status kernel_apply(tide_context *cx, int op, tide_tensor *const *in, int nin, const void *attr,
                         tide_tensor **out);
tide_tensor *kernel_reshape(tide_context *cx, tide_tensor *t, const tide_meta *m);
tide_tensor *kernel_zeros(tide_context *cx, const tide_meta *m); /* one zero, expanded */
tide_tensor *kernel_reduce(tide_context *cx, tide_tensor *t,
                           const tide_meta *m); /* the opposite of broadcasting */

/* ---- lanes: the lines of a tensor along one dim ---- */
static inline tide_meta kernel_at_least_1d(tide_meta m) {
    if (m.ndim == 0) m.ndim = 1, m.shape[0] = 1;
    return m;
}
static inline int64_t kernel_lane(const tide_tensor *t, int dim,
                                  int64_t lane) { /* where it starts, in elements */
    int64_t at = 0;
    for (int d = t->meta.ndim - 1; d >= 0; d--) {
        if (d == dim) continue;
        at += lane % t->meta.shape[d] * t->stride[d];
        lane /= t->meta.shape[d];
    }
    return at;
}

/* ---- planes of results, as tiles: some whole planes, or a rectangle of one that is too much for a tile ----
 */
typedef struct {
    int64_t planes, rows, cols;
    int64_t group, tall, wide; /* of a tile */
} kernel_planes;
typedef struct {
    int64_t plane, planes_end, row, rows_end, col, cols_end;
} kernel_part;
kernel_planes kernel_cut(const tide_context *cx, int64_t planes, int64_t rows, int64_t cols, double each);
int kernel_parts(const kernel_planes *p);
kernel_part kernel_part_of(const kernel_planes *p, int tile);

/* ---- reach.c: reading and writing at positions that tensors hold ---- */

typedef enum { REACH_READ, REACH_WRITE, REACH_ADD, REACH_MULTIPLY } reach_mode;

/* One tensor of positions, which run over `dim` of x. */
typedef struct {
    const char *data;
    bool wide; /* int64, not int32 */
    int64_t stride[TIDE_MAXDIM];
    int64_t size, step; /* of the dim of x */
    int dim;
} reach_pick;

/* x[at(b) + rest] and y[b * ystep + rest] for all b of a shape and all elements of the rest: y = x, x = y,
 * x += alpha * y, or x *= y. at(b) is a sum over the picks, and over the coordinates of b times `base`.
 * Equal positions are served in the order of b, whatever the tiles. */
typedef struct {
    reach_mode mode;
    tide_dtype dtype;
    char *x, *y;
    int64_t ystep;
    tide_num alpha; /* TIDE_NONE: 1 */
    bool wrap;      /* negative positions count from the end */
    int ndim, npick, nrest;
    int64_t size[TIDE_MAXDIM], base[TIDE_MAXDIM];
    reach_pick pick[TIDE_MAXDIM];
    int64_t parts; /* this many equal runs of b reach different elements */
    struct {
        int64_t size, x, y;
    } rest[TIDE_MAXDIM];
} reach;

tide_status reach_find(tide_context *cx, const reach *r,
                       int64_t **at); /* at[b], checked; TIDE_EARG: out of range */
tide_status reach_run(tide_context *cx, const reach *r, const int64_t *at);
void reach_free(tide_context *cx, const reach *r, int64_t *at);
reach_pick reach_pick_of(const tide_tensor *index, const tide_tensor *x, int dim);

#endif
