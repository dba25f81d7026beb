/* Reading and writing at positions that tensors hold. The work is reach.c's; here are shapes and gradients. */
#include "op/kernel.h"
#include "program/math.h"
#include <inttypes.h>
#include <math.h>

#define GIVE(i, expr) \
    gx[i] = expr;     \
    return gx[i] ? TIDE_OK : tide_pending(cx)

static tide_status want_positions(tide_context *cx, const tide_meta *m, const char *what) {
    if (m->dtype == TIDE_I64 || m->dtype == TIDE_I32) return TIDE_OK;
    return tide_fail(cx, TIDE_EARG, "%s must be int64 or int32, not %s", what,
                     tide_dtype_name((tide_dtype)m->dtype));
}

static tide_status want_dtype(tide_context *cx, const tide_meta *x, const tide_meta *y, const char *what) {
    if (x->dtype == y->dtype) return TIDE_OK;
    return tide_fail(cx, TIDE_EARG, "input is %s, but %s is %s", tide_dtype_name((tide_dtype)x->dtype), what,
                     tide_dtype_name((tide_dtype)y->dtype));
}

/* ---- how positions lie: any dims of x picked, one tensor a dim ---- */

typedef struct {
    int npick, dim[TIDE_MAXDIM], which[TIDE_MAXDIM]; /* index which[i] runs over dim[i] */
    tide_meta positions, y;                          /* all index tensors broadcast; x[indices] */
    int at;                                          /* where the positions' dims begin in y */
} layout;

static tide_status lay_out(tide_context *cx, const tide_meta *x, const tide_meta *const *index, int n,
                           layout *l) {
    *l = (layout){.y = *x};
    if (n > x->ndim) return tide_fail(cx, TIDE_EARG, "%d indices for a tensor of %d dims", n, x->ndim);
    for (int d = 0; d < n; d++) {
        if (!index[d]) continue;
        tide_status e = want_positions(cx, index[d], "an index");
        if (!e) e = tide_broadcast(cx, &l->positions, index[d]);
        if (e) return e;
        l->which[l->npick] = l->dim[l->npick] = d;
        l->npick++;
    }
    if (l->npick == 0) return tide_fail(cx, TIDE_EARG, "no index is given");
    bool neighbours = l->dim[l->npick - 1] - l->dim[0] == l->npick - 1;
    l->at = neighbours ? l->dim[0] : 0;
    if (x->ndim - l->npick + l->positions.ndim > TIDE_MAXDIM)
        return tide_fail(cx, TIDE_EARG, "the result would have more than %d dims", TIDE_MAXDIM);
    int out = 0, pick = 0;
    for (int d = 0; d < x->ndim; d++) {
        if (d == l->at)
            for (int k = 0; k < l->positions.ndim; k++) l->y.shape[out++] = l->positions.shape[k];
        if (pick < l->npick && d == l->dim[pick])
            pick++;
        else
            l->y.shape[out++] = x->shape[d];
    }
    l->y.ndim = out;
    return TIDE_OK;
}

/* One index over one dim; x and index have at least one dim. */
static tide_status lay_out_one(tide_context *cx, const tide_meta *x, int dim, const tide_meta *index,
                               layout *l) {
    const tide_meta *all[TIDE_MAXDIM] = {NULL};
    all[dim] = index;
    tide_status e = lay_out(cx, x, all, dim + 1, l);
    l->which[0] = 0;
    return e;
}

/* Moves between x and y, which is packed and has the layout's shape. `copy_from`: what x begins as. */
static tide_status reach_layout(tide_context *cx, reach_mode mode, const layout *l, const tide_tensor *x,
                                tide_tensor *const *index, char *y, bool wrap, tide_num alpha,
                                tide_tensor *copy_from) {
    reach r = {.mode = mode,
               .dtype = (tide_dtype)x->meta.dtype,
               .x = tide_data(x),
               .y = y,
               .ystep = 1,
               .alpha = alpha,
               .wrap = wrap,
               .ndim = l->positions.ndim,
               .npick = l->npick,
               .parts = 1};
    memcpy(r.size, l->positions.shape, sizeof r.size);
    if (r.ndim == 0) r.ndim = 1, r.size[0] = 1;
    for (int i = 0; i < l->npick; i++) {
        const tide_tensor *t = index[l->which[i]];
        reach_pick *p = &r.pick[i];
        *p = reach_pick_of(t, x, l->dim[i]);
        int shift = l->positions.ndim - t->meta.ndim;
        for (int d = l->positions.ndim - 1; d >= 0; d--)
            p->stride[d] = d >= shift && t->meta.shape[d - shift] != 1 ? t->stride[d - shift] : 0;
        if (l->positions.ndim == 0) p->stride[0] = 0;
    }
    int64_t stride[TIDE_MAXDIM];
    tide_contiguous_strides(&l->y, stride);
    int pick = 0, out = 0;
    for (int d = 0; d < x->meta.ndim; d++) {
        if (pick < l->npick && d == l->dim[pick]) {
            pick++;
            continue;
        }
        int at = out < l->at ? out : out + l->positions.ndim;
        r.rest[r.nrest].size = x->meta.shape[d];
        r.rest[r.nrest].x = x->stride[d];
        r.rest[r.nrest++].y = stride[at];
        out++;
    }
    for (int d = l->at + l->positions.ndim; d < l->y.ndim; d++) r.ystep *= l->y.shape[d];
    int64_t *at;
    tide_status e = reach_find(cx, &r, &at);
    if (e) return e;
    if (copy_from) e = kernel_copy(cx, copy_from, (tide_tensor *)x);
    if (!e) e = reach_run(cx, &r, at);
    reach_free(cx, &r, at);
    return e;
}

static const tide_num none = {{0}, TIDE_NONE, 0};

static tide_status read_layout(tide_context *cx, const layout *l, const tide_tensor *x,
                               tide_tensor *const *index, tide_tensor *out, bool wrap) {
    tide_tensor *y = kernel_result(cx, out, (tide_dtype)out->meta.dtype);
    tide_status e =
        y ? reach_layout(cx, REACH_READ, l, x, index, tide_data(y), wrap, none, NULL) : tide_pending(cx);
    return kernel_result_end(cx, y, out, e);
}

/* y packed, and no part of what is about to be written. */
static tide_tensor *source(tide_context *cx, tide_tensor *y, const tide_tensor *out) {
    if (y->storage != out->storage) return kernel_packed(cx, y);
    tide_tensor *copy = tide_tensor_new(cx, &y->meta);
    if (copy && kernel_copy(cx, y, copy)) tide_free(copy), copy = NULL;
    return copy;
}

/* The same tensor with at least one dim. */
static tide_tensor lifted(const tide_tensor *t) {
    tide_tensor r = *t;
    if (r.meta.ndim == 0) r.meta = kernel_at_least_1d(r.meta), r.stride[0] = 1;
    return r;
}

/* ---- index_select, index_add ---- */

static tide_status one_dim(tide_context *cx, const tide_meta *x, int64_t want, const tide_meta *index,
                           int *dim) {
    tide_status e = tide_wrap_dim(cx, want, x->ndim, dim);
    if (!e) e = want_positions(cx, index, "index");
    if (!e && index->ndim > 1) e = tide_fail(cx, TIDE_EARG, "index must have one dim, not %d", index->ndim);
    if (!e && x->ndim == 0 && tide_numel(index) != 1)
        e = tide_fail(cx, TIDE_EARG, "a 0-d tensor has one position, index lists %" PRId64, tide_numel(index));
    return e;
}

RULE(index_select_infer) {
    const tide_index_select_attr *a = s->attr;
    int d;
    tide_status e = one_dim(s->cx, s->in[0], a->dim, s->in[1], &d);
    if (e) return e;
    s->out[0] = *s->in[0];
    if (s->out[0].ndim) s->out[0].shape[d] = tide_numel(s->in[1]);
    return TIDE_OK;
}
KERNEL(index_select) {
    const tide_index_select_attr *a = call->attr;
    tide_tensor x = lifted(call->in[0]), index = lifted(call->in[1]), *list = &index;
    int d;
    layout l;
    tide_status e = tide_wrap_dim(cx, a->dim, x.meta.ndim, &d);
    if (!e) e = lay_out_one(cx, &x.meta, d, &index.meta, &l);
    return e ? e : read_layout(cx, &l, &x, &list, call->out[0], false);
}
VJP(index_select) {
    const tide_index_select_attr *a = call->attr;
    tide_index_add_attr back = {a->dim, {{.i = 1}, TIDE_INTEGER, 0}};
    tide_tensor *z = kernel_zeros(cx, &call->in[0]->meta);
    tide_status e =
        kernel_apply(cx, TIDE_OP_INDEX_ADD, (tide_tensor *[]){z, call->in[1], gy[0]}, 3, &back, &gx[0]);
    tide_free(z);
    return e;
}

RULE(index_add_infer) {
    const tide_index_add_attr *a = s->attr;
    const tide_meta *x = s->in[0], *src = s->in[2];
    int d;
    s->out[0] = *x;
    tide_status e = one_dim(s->cx, x, a->dim, s->in[1], &d);
    if (!e) e = want_dtype(s->cx, x, src, "source");
    if (!e && a->alpha.kind == TIDE_FLOAT && !tide_dtype_is_float((tide_dtype)x->dtype))
        e = tide_fail(s->cx, TIDE_EARG, "alpha must be an integer for %s",
                      tide_dtype_name((tide_dtype)x->dtype));
    if (e) return e;
    tide_meta want = *x;
    if (want.ndim) want.shape[d] = tide_numel(s->in[1]);
    if (tide_same_shape(&want, src)) return TIDE_OK;
    char t[TIDE_SHAPE_TEXT], u[TIDE_SHAPE_TEXT];
    return tide_fail(s->cx, TIDE_EARG, "source must be %s, not %s", tide_shape_text(&want, t),
                     tide_shape_text(src, u));
}
KERNEL(index_add) {
    const tide_index_add_attr *a = call->attr;
    tide_tensor x = lifted(call->out[0]), index = lifted(call->in[1]), *list = &index;
    int d;
    layout l;
    tide_status e = tide_wrap_dim(cx, a->dim, x.meta.ndim, &d);
    if (!e) e = lay_out_one(cx, &x.meta, d, &index.meta, &l);
    tide_tensor *y = e ? NULL : source(cx, call->in[2], &x), begin = lifted(call->in[0]);
    if (!y) return tide_pending(cx);
    e = reach_layout(cx, REACH_ADD, &l, &x, &list, tide_data(y), false, a->alpha,
                     call->in[0] == call->out[0] ? NULL : &begin);
    tide_free(y);
    return e;
}
VJP(index_add) {
    const tide_index_add_attr *a = call->attr;
    if (need & 1) gx[0] = tide_keep(gy[0]);
    if (!(need & 4)) return TIDE_OK;
    tide_index_select_attr sel = {a->dim};
    tide_tensor *g = tide_call1(cx, TIDE_OP_INDEX_SELECT, (tide_tensor *[]){gy[0], call->in[1]}, 2, &sel);
    if (a->alpha.kind == TIDE_INTEGER && a->alpha.u.i == 1) { GIVE(2, g); }
    tide_mul_attr m = {.other = a->alpha};
    tide_status e = kernel_apply(cx, TIDE_OP_MUL, (tide_tensor *[]){g, NULL}, 2, &m, &gx[2]);
    tide_free(g);
    return e;
}

/* ---- gather, scatter ---- */

/* index fits into x beside dim, and into src. */
static tide_status check_along(tide_context *cx, const tide_meta *x, int64_t dim, const tide_meta *index,
                               const tide_meta *src) {
    int d;
    tide_status e = tide_wrap_dim(cx, dim, x->ndim, &d);
    if (!e) e = want_positions(cx, index, "index");
    if (e || tide_numel(index) == 0) return e;
    tide_meta mx = kernel_at_least_1d(*x), mi = kernel_at_least_1d(*index);
    char t[TIDE_SHAPE_TEXT], u[TIDE_SHAPE_TEXT];
    bool fits = mx.ndim == mi.ndim;
    for (int k = 0; fits && k < mx.ndim; k++) fits = k == d || mi.shape[k] <= mx.shape[k];
    if (!fits)
        return tide_fail(cx, TIDE_EARG, "index %s does not fit input %s beside dim %d",
                         tide_shape_text(index, t), tide_shape_text(x, u), d + 1);
    if (!src) return TIDE_OK;
    e = want_dtype(cx, x, src, "src");
    tide_meta ms = kernel_at_least_1d(*src);
    fits = ms.ndim == mi.ndim;
    for (int k = 0; fits && k < ms.ndim; k++) fits = mi.shape[k] <= ms.shape[k];
    if (e || fits) return e;
    return tide_fail(cx, TIDE_EARG, "index %s does not fit src %s", tide_shape_text(index, t),
                     tide_shape_text(src, u));
}

/* Moves between x and y along dim: the other dims of index go through x as they are. */
static tide_status reach_along(tide_context *cx, reach_mode mode, const tide_tensor *t, int64_t dim,
                               const tide_tensor *positions, char *y, int64_t ystep, tide_tensor *copy_from) {
    tide_tensor x = lifted(t), index = lifted(positions);
    int d = (int)(dim < 0 ? dim + x.meta.ndim : dim);
    reach r = {.mode = mode,
               .dtype = (tide_dtype)x.meta.dtype,
               .x = tide_data(&x),
               .y = y,
               .ystep = ystep,
               .ndim = index.meta.ndim,
               .npick = 1,
               .parts = 1};
    for (int k = 0; k < r.ndim; k++) {
        r.size[k] = index.meta.shape[k];
        if (k != d && k < x.meta.ndim) r.base[k] = x.stride[k];
        if (k < d) r.parts *= index.meta.shape[k];
    }
    if (d < r.ndim) r.pick[0] = reach_pick_of(&index, &x, d);
    int64_t *at;
    tide_status e = reach_find(cx, &r, &at);
    if (e) return e;
    if (copy_from) e = kernel_copy(cx, copy_from, (tide_tensor *)t);
    if (!e && tide_numel(&index.meta)) e = reach_run(cx, &r, at);
    reach_free(cx, &r, at);
    return e;
}

RULE(gather_infer) {
    const tide_gather_attr *a = s->attr;
    s->out[0] = *s->in[1];
    s->out[0].dtype = s->in[0]->dtype;
    return check_along(s->cx, s->in[0], a->dim, s->in[1], NULL);
}
KERNEL(gather) {
    const tide_gather_attr *a = call->attr;
    tide_tensor *y = kernel_result(cx, call->out[0], (tide_dtype)call->out[0]->meta.dtype);
    tide_status e = y ? reach_along(cx, REACH_READ, call->in[0], a->dim, call->in[1], tide_data(y), 1, NULL)
                      : tide_pending(cx);
    return kernel_result_end(cx, y, call->out[0], e);
}
VJP(gather) {
    tide_tensor *z = kernel_zeros(cx, &call->in[0]->meta);
    tide_status e =
        kernel_apply(cx, TIDE_OP_SCATTER_ADD, (tide_tensor *[]){z, call->in[1], gy[0]}, 3, call->attr, &gx[0]);
    tide_free(z);
    return e;
}
_Static_assert(sizeof(tide_gather_attr) == sizeof(tide_scatter_add_attr), "both hold the dim");

/* Writes src, which may be larger than index, along dim. */
static tide_status scattered(tide_context *cx, const tide_call *call, reach_mode mode, int64_t dim) {
    tide_tensor *out = call->out[0], part = *call->in[2], index = lifted(call->in[1]);
    bool empty = tide_numel(&index.meta) == 0;
    part = lifted(&part);
    part.meta.ndim = index.meta.ndim;
    memcpy(part.meta.shape, index.meta.shape, sizeof part.meta.shape);
    tide_tensor *y = empty ? tide_keep(call->in[2]) : source(cx, &part, out);
    if (y == &part) y = tide_keep(call->in[2]); /* packed already: the same data */
    if (!y) return tide_pending(cx);
    tide_status e =
        reach_along(cx, mode, out, dim, call->in[1], tide_data(y), 1, call->in[0] == out ? NULL : call->in[0]);
    tide_free(y);
    return e;
}

/* The gradient of src: what index picks of g, with zeros where src was larger. */
static tide_status source_gradient(tide_context *cx, tide_tensor *g, int64_t dim, tide_tensor *index,
                                   const tide_meta *src, tide_tensor **gx) {
    tide_gather_attr a = {dim};
    tide_tensor *t = tide_call1(cx, TIDE_OP_GATHER, (tide_tensor *[]){g, index}, 2, &a);
    for (int d = 0; t && d < src->ndim && t->meta.ndim == src->ndim; d++) {
        if (t->meta.shape[d] == src->shape[d]) continue;
        tide_unslice_attr u = {d, 0, 1, src->shape[d]};
        tide_tensor *wide = tide_call1(cx, TIDE_OP_UNSLICE, &t, 1, &u);
        tide_free(t);
        t = wide;
    }
    *gx = t && !tide_same_shape(&t->meta, src) ? kernel_reshape(cx, t, src) : tide_keep(t);
    tide_free(t);
    return *gx ? TIDE_OK : tide_pending(cx);
}

RULE(scatter_add_infer) {
    const tide_scatter_add_attr *a = s->attr;
    s->out[0] = *s->in[0];
    return check_along(s->cx, s->in[0], a->dim, s->in[1], s->in[2]);
}
KERNEL(scatter_add) { return scattered(cx, call, REACH_ADD, ((const tide_scatter_add_attr *)call->attr)->dim); }
VJP(scatter_add) {
    const tide_scatter_add_attr *a = call->attr;
    if (need & 1) gx[0] = tide_keep(gy[0]);
    return need & 4 ? source_gradient(cx, gy[0], a->dim, call->in[1], &call->in[2]->meta, &gx[2]) : TIDE_OK;
}

RULE(scatter_infer) {
    const tide_scatter_attr *a = s->attr;
    s->out[0] = *s->in[0];
    return check_along(s->cx, s->in[0], a->dim, s->in[1], s->in[2]);
}
/* A number as one element of dtype d. */
static void element(tide_num n, tide_dtype d, void *to) {
    double f = n.kind == TIDE_FLOAT ? n.u.f : (double)n.u.i;
    int64_t i = n.kind == TIDE_FLOAT ? (int64_t)n.u.f : n.u.i;
    switch (d) {
    case TIDE_F32: memcpy(to, &(float){(float)f}, 4); break;
    case TIDE_F64: memcpy(to, &f, 8); break;
    case TIDE_F16: memcpy(to, &(uint16_t){tide_f16_of_f32((float)f)}, 2); break;
    case TIDE_BF16: memcpy(to, &(uint16_t){tide_bf16_of_f32((float)f)}, 2); break;
    case TIDE_I64: memcpy(to, &i, 8); break;
    case TIDE_I32: memcpy(to, &(int32_t){(int32_t)i}, 4); break;
    case TIDE_BOOL: memcpy(to, &(uint8_t){f != 0}, 1); break;
    default: memcpy(to, &(uint8_t){(uint8_t)i}, 1); break;
    }
}
KERNEL(scatter) {
    const tide_scatter_attr *a = call->attr;
    static const reach_mode mode[] = {[TIDE_SCATTER_NONE] = REACH_WRITE,
                                      [TIDE_SCATTER_ADD] = REACH_ADD,
                                      [TIDE_SCATTER_MULTIPLY] = REACH_MULTIPLY};
    if (call->in[2]) return scattered(cx, call, mode[a->reduce], a->dim);
    double one; /* aligned for every dtype */
    element(a->src, (tide_dtype)call->out[0]->meta.dtype, &one);
    return reach_along(cx, mode[a->reduce], call->out[0], a->dim, call->in[1], (char *)&one, 0,
                       call->in[0] == call->out[0] ? NULL : call->in[0]);
}
VJP(scatter) {
    const tide_scatter_attr *a = call->attr;
    if (a->reduce == TIDE_SCATTER_MULTIPLY)
        return tide_fail(cx, TIDE_EARG, "reduce = \"multiply\" has no gradient");
    tide_status e = TIDE_OK;
    if ((need & 1) && a->reduce == TIDE_SCATTER_ADD) {
        gx[0] = tide_keep(gy[0]);
    } else if (need & 1) { /* what was written over has no part in the result */
        tide_scatter_attr zero = {a->dim, {{.i = 0}, TIDE_INTEGER, 0}, TIDE_SCATTER_NONE};
        e = kernel_apply(cx, TIDE_OP_SCATTER, (tide_tensor *[]){gy[0], call->in[1], NULL}, 3, &zero, &gx[0]);
    }
    return !e && (need & 4) ? source_gradient(cx, gy[0], a->dim, call->in[1], &call->in[2]->meta, &gx[2]) : e;
}

static tide_tensor *expanded(tide_context *cx, tide_tensor *t, const tide_meta *m) {
    tide_expand_attr a = {{m->ndim, {0}}};
    memcpy(a.size.v, m->shape, sizeof a.size.v);
    return t ? tide_call1(cx, TIDE_OP_EXPAND, &t, 1, &a) : NULL;
}
static tide_tensor *flattened(tide_context *cx, tide_tensor *t) {
    return kernel_reshape(cx, t, &(tide_meta){.ndim = 1, .shape = {tide_numel(&t->meta)}});
}

/* Positions below 0 count from the end. */
static tide_tensor *counted_from_start(tide_context *cx, tide_tensor *i, int64_t size) {
    tide_lt_attr lt = {.other = {{.i = 0}, TIDE_INTEGER, 0}};
    tide_add_attr add = {.other = {{.i = size}, TIDE_INTEGER, 0}, .alpha = {{.i = 1}, TIDE_INTEGER, 0}};
    tide_tensor *below = NULL, *moved = NULL, *r = NULL;
    if (i) below = tide_call1(cx, TIDE_OP_LT, (tide_tensor *[]){i, NULL}, 2, &lt);
    if (below) moved = tide_call1(cx, TIDE_OP_ADD, (tide_tensor *[]){i, NULL}, 2, &add);
    if (moved) r = tide_call1(cx, TIDE_OP_WHERE, (tide_tensor *[]){below, moved, i}, 3, NULL);
    tide_free(below), tide_free(moved);
    return r;
}

COMPOSE(take_along_dim) {
    const tide_take_along_dim_attr *a = call->attr;
    tide_tensor *x = NULL, *i = NULL, *from = NULL;
    tide_gather_attr g = {0};
    if (a->dim == TIDE_ABSENT) {
        x = flattened(cx, call->in[0]);
        i = flattened(cx, call->in[1]);
    } else {
        const tide_meta *mx = &call->in[0]->meta, *mi = &call->in[1]->meta;
        int d;
        tide_status e = tide_wrap_dim(cx, a->dim, mx->ndim, &d);
        if (!e && mx->ndim != mi->ndim)
            e = tide_fail(cx, TIDE_EARG, "input has %d dims, indices %d", mx->ndim, mi->ndim);
        tide_meta beside = *mx, other = *mi, wx, wi;
        if (mx->ndim) beside.shape[d] = other.shape[d] = 1;
        if (!e) e = tide_broadcast(cx, &beside, &other);
        if (e) return e;
        wx = wi = beside;
        if (mx->ndim) wx.shape[d] = mx->shape[d], wi.shape[d] = mi->shape[d];
        g.dim = d;
        x = expanded(cx, call->in[0], &wx);
        i = expanded(cx, call->in[1], &wi);
    }
    if (x && i) from = counted_from_start(cx, i, x->meta.ndim ? x->meta.shape[g.dim] : 1);
    tide_status e = kernel_apply(cx, TIDE_OP_GATHER, (tide_tensor *[]){x, from}, 2, &g, &call->out[0]);
    tide_free(x), tide_free(i), tide_free(from);
    return e;
}

COMPOSE(take) {
    tide_tensor *x = flattened(cx, call->in[0]);
    tide_status e = kernel_apply(cx, TIDE_OP_INDEX, (tide_tensor *[]){x, call->in[1]}, 2, NULL, &call->out[0]);
    tide_free(x);
    return e;
}

/* ---- index, index_put: x[indices] ---- */

static tide_status lay_out_call(tide_context *cx, const tide_call *call, uint32_t first, layout *l) {
    const tide_meta *index[TIDE_MAXDIM];
    int n = (int)(call->nin - first);
    for (int d = 0; d < n && d < TIDE_MAXDIM; d++)
        index[d] = call->in[(int)first + d] ? &call->in[(int)first + d]->meta : NULL;
    return lay_out(cx, &call->in[0]->meta, index, n, l);
}

RULE(index_infer) {
    layout l;
    tide_status e = lay_out(s->cx, s->in[0], s->in + 1, s->nin - 1, &l);
    s->out[0] = l.y;
    return e;
}
KERNEL(index) {
    layout l;
    tide_status e = lay_out_call(cx, call, 1, &l);
    return e ? e : read_layout(cx, &l, call->in[0], call->in + 1, call->out[0], true);
}
VJP(index) {
    tide_tensor *in[TIDE_MAXDIM + 2] = {kernel_zeros(cx, &call->in[0]->meta), gy[0]};
    tide_index_put_attr a = {true};
    if (!in[0]) return tide_pending(cx);
    memcpy(in + 2, call->in + 1, (call->nin - 1) * sizeof *in);
    tide_status e = kernel_apply(cx, TIDE_OP_INDEX_PUT, in, (int)call->nin + 1, &a, &gx[0]);
    tide_free(in[0]);
    return e;
}

RULE(index_put_infer) {
    layout l;
    tide_status e = want_dtype(s->cx, s->in[0], s->in[1], "values");
    if (!e) e = lay_out(s->cx, s->in[0], s->in + 2, s->nin - 2, &l);
    if (e) return e;
    s->out[0] = *s->in[0];
    tide_meta m = l.y;
    e = tide_broadcast(s->cx, &m, s->in[1]);
    if (e || tide_same_shape(&m, &l.y)) return e;
    char t[TIDE_SHAPE_TEXT], u[TIDE_SHAPE_TEXT];
    return tide_fail(s->cx, TIDE_EARG, "values %s do not broadcast to %s", tide_shape_text(s->in[1], t),
                     tide_shape_text(&l.y, u));
}
KERNEL(index_put) {
    const tide_index_put_attr *a = call->attr;
    tide_tensor *x = call->out[0], *v = call->in[1];
    layout l;
    tide_status e = lay_out_call(cx, call, 2, &l);
    if (e) return e;
    tide_tensor wide = *v; /* broadcast to the shape of x[indices] */
    wide.meta = l.y;
    for (int d = 0, shift = l.y.ndim - v->meta.ndim; d < l.y.ndim; d++)
        wide.stride[d] = d >= shift && v->meta.shape[d - shift] == l.y.shape[d] ? v->stride[d - shift] : 0;
    tide_tensor *y = source(cx, &wide, x);
    if (y == &wide) y = tide_keep(v);
    if (!y) return tide_pending(cx);
    e = reach_layout(cx, a->accumulate ? REACH_ADD : REACH_WRITE, &l, x, call->in + 2, tide_data(y), true, none,
                     call->in[0] == x ? NULL : call->in[0]);
    tide_free(y);
    return e;
}
VJP(index_put) {
    const tide_index_put_attr *a = call->attr;
    tide_tensor *in[TIDE_MAXDIM + 2] = {gy[0]};
    tide_status e = TIDE_OK;
    if ((need & 1) && a->accumulate) {
        gx[0] = tide_keep(gy[0]);
    } else if (need & 1) { /* what was written over has no part in the result */
        in[1] = kernel_zeros(cx, &(tide_meta){.dtype = gy[0]->meta.dtype});
        memcpy(in + 2, call->in + 2, (call->nin - 2) * sizeof *in);
        e = kernel_apply(cx, TIDE_OP_INDEX_PUT, in, (int)call->nin, a, &gx[0]);
        tide_free(in[1]);
    }
    if (e || !(need & 2)) return e;
    memcpy(in + 1, call->in + 2, (call->nin - 2) * sizeof *in);
    tide_tensor *g = NULL;
    e = kernel_apply(cx, TIDE_OP_INDEX, in, (int)call->nin - 1, NULL, &g);
    gx[1] = kernel_reduce(cx, g, &call->in[1]->meta);
    tide_free(g);
    return gx[1] ? TIDE_OK : tide_pending(cx);
}

/* ---- nonzero, masked_select: shapes that depend on data ---- */

#define COUNT(T) \
    for (int64_t i = first; i < end; i++) found += ((const T *)s->data)[i] != 0;
#define LIST(T) \
    for (int64_t i = first; to < last; i++) *to = i, to += ((const T *)s->data)[i] != 0;
/* Both zeros of a half are bits that the sign does not count in. */
#define COUNT_HALF \
    for (int64_t i = first; i < end; i++) found += (uint16_t)(((const uint16_t *)s->data)[i] << 1) != 0;
#define LIST_HALF \
    for (int64_t i = first; to < last; i++) *to = i, to += (uint16_t)(((const uint16_t *)s->data)[i] << 1) != 0;

typedef struct {
    const void *data;
    tide_dtype dtype;
    int64_t n, grain;
    int64_t *before, *to; /* before[i]: how many the tiles before i found, once they are added up */
} listing;

static void count_tile(void *arg, int tile, void *scratch) {
    const listing *s = arg;
    int64_t found = 0, first = tile * s->grain, end = first + s->grain < s->n ? first + s->grain : s->n;
    switch (s->dtype) {
    case TIDE_F32: COUNT(float) break;
    case TIDE_F64: COUNT(double) break;
    case TIDE_F16:
    case TIDE_BF16: COUNT_HALF break;
    case TIDE_I64: COUNT(int64_t) break;
    case TIDE_I32: COUNT(int32_t) break;
    default: COUNT(uint8_t) break;
    }
    s->before[tile + 1] = found;
}
static void list_tile(void *arg, int tile, void *scratch) {
    const listing *s = arg;
    int64_t first = tile * s->grain, *to = s->to + s->before[tile], *last = s->to + s->before[tile + 1];
    switch (s->dtype) {
    case TIDE_F32: LIST(float) break;
    case TIDE_F64: LIST(double) break;
    case TIDE_F16:
    case TIDE_BF16: LIST_HALF break;
    case TIDE_I64: LIST(int64_t) break;
    case TIDE_I32: LIST(int32_t) break;
    default: LIST(uint8_t) break;
    }
}

/* The flat positions of what is not zero, 1-d. */
static tide_tensor *nonzero_of(tide_context *cx, tide_tensor *t) {
    tide_tensor *x = tide_sync(t) ? NULL : kernel_packed(cx, t), *y = NULL;
    if (!x) return NULL;
    listing s = {tide_data(x), (tide_dtype)t->meta.dtype, tide_numel(&t->meta), kernel_grain(cx), NULL, NULL};
    int tiles = (int)((s.n + s.grain - 1) / s.grain);
    size_t bytes = ((size_t)tiles + 1) * sizeof *s.before;
    s.before = tide_alloc0(cx, bytes);
    if (s.before && !tide_run_tiles(cx, tiles, (double)s.n, 0, count_tile, &s)) {
        for (int i = 0; i < tiles; i++) s.before[i + 1] += s.before[i];
        y = tide_tensor_new(
            cx,
            &(tide_meta){.ndim = 1, .shape = {s.before[tiles]}, .dtype = TIDE_I64, .device = t->meta.device});
    }
    if (y) s.to = (int64_t *)(void *)tide_data(y);
    if (y && tide_run_tiles(cx, tiles, (double)s.n, 0, list_tile, &s)) tide_free(y), y = NULL;
    tide_release(cx, s.before, bytes);
    tide_free(x);
    return y;
}

COMPOSE(nonzero) {
    const tide_meta *m = &call->in[0]->meta;
    tide_tensor *flat = nonzero_of(cx, call->in[0]);
    if (!flat) return tide_pending(cx);
    int64_t n = flat->meta.shape[0], *from = (int64_t *)(void *)tide_data(flat);
    tide_tensor *out = tide_tensor_new(
        cx, &(tide_meta){.ndim = 2, .shape = {n, m->ndim}, .dtype = TIDE_I64, .device = m->device});
    int64_t *to = out ? (int64_t *)(void *)tide_data(out) : NULL;
    int64_t at[TIDE_MAXDIM] = {0}, before = 0;
    for (int64_t i = 0; to && i < n && m->ndim; i++) { /* positions ascend: few steps carry over */
        at[m->ndim - 1] += from[i] - before;
        before = from[i];
        for (int d = m->ndim - 1; d > 0 && at[d] >= m->shape[d]; d--) {
            at[d - 1] += at[d] / m->shape[d];
            at[d] %= m->shape[d];
        }
        for (int d = 0; d < m->ndim; d++) *to++ = at[d];
    }
    tide_free(flat);
    call->out[0] = out;
    return out ? TIDE_OK : tide_pending(cx);
}

COMPOSE(masked_select) {
    tide_meta m = call->in[0]->meta;
    if (call->in[1]->meta.dtype != TIDE_BOOL)
        return tide_fail(cx, TIDE_EARG, "mask must be bool, not %s",
                         tide_dtype_name((tide_dtype)call->in[1]->meta.dtype));
    tide_status e = tide_broadcast(cx, &m, &call->in[1]->meta);
    if (e) return e;
    tide_tensor *x = expanded(cx, call->in[0], &m), *mask = expanded(cx, call->in[1], &m);
    tide_tensor *flat = x ? flattened(cx, x) : NULL, *at = mask ? nonzero_of(cx, mask) : NULL;
    tide_index_select_attr a = {0};
    e = kernel_apply(cx, TIDE_OP_INDEX_SELECT, (tide_tensor *[]){flat, at}, 2, &a, &call->out[0]);
    tide_free(x), tide_free(mask), tide_free(flat), tide_free(at);
    return e;
}

/* ---- embedding ---- */

COMPOSE(embedding) {
    const tide_embedding_attr *a = call->attr;
    tide_tensor *ids = call->in[0], *weight = call->in[1];
    tide_embed_attr plain = {a->padding_idx, a->scale_grad_by_freq};
    if (weight->meta.ndim != 2)
        return tide_fail(cx, TIDE_EARG, "weight must have 2 dims, not %d", weight->meta.ndim);
    int64_t rows = weight->meta.shape[0];
    if (a->padding_idx != TIDE_ABSENT) {
        if (a->padding_idx < -rows || a->padding_idx >= rows)
            return tide_fail(cx, TIDE_EARG, "padding_idx %" PRId64 " is out of range for %" PRId64 " rows",
                             a->padding_idx, rows);
        if (plain.padding_idx < 0) plain.padding_idx += rows;
    }
    if (a->max_norm > 0) {
        tide_embedding_renorm_attr r = {a->max_norm, a->norm_type};
        tide_status e = kernel_apply(cx, TIDE_OP_EMBEDDING_RENORM, call->in, 2, &r, NULL);
        if (e) return e;
    }
    return kernel_apply(cx, TIDE_OP_EMBED, (tide_tensor *[]){ids, weight}, 2, &plain, &call->out[0]);
}

RULE(embed_infer) {
    layout l;
    tide_status e = lay_out_one(s->cx, s->in[1], 0, s->in[0], &l);
    s->out[0] = l.y;
    return e;
}
KERNEL(embed) {
    layout l;
    tide_status e = lay_out_one(cx, &call->in[1]->meta, 0, &call->in[0]->meta, &l);
    return e ? e : read_layout(cx, &l, call->in[1], call->in, call->out[0], false);
}

/* g with each row divided by how often its id occurs. */
static tide_tensor *by_frequency(tide_context *cx, tide_tensor *g, tide_tensor *ids, const tide_meta *weight) {
    tide_meta rows = {.ndim = 1, .shape = {weight->shape[0]}, .dtype = TIDE_F32},
              uses = {.ndim = 1, .shape = {ids->meta.shape[0]}, .dtype = TIDE_F32};
    tide_full_attr one = {{0, {0}}, {{.i = 1}, TIDE_INTEGER, 0}, TIDE_F32};
    tide_index_add_attr add = {0, {{.i = 1}, TIDE_INTEGER, 0}};
    tide_index_select_attr sel = {0};
    tide_to_attr to = {weight->dtype};
    tide_tensor *zeros = kernel_zeros(cx, &rows), *single = tide_call1(cx, TIDE_OP_FULL, NULL, 0, &one),
                *ones = expanded(cx, single, &uses);
    tide_tensor *count = NULL, *own = NULL, *column = NULL, *typed = NULL, *r = NULL;
    tide_status e = kernel_apply(cx, TIDE_OP_INDEX_ADD, (tide_tensor *[]){zeros, ids, ones}, 3, &add, &count);
    if (!e) e = kernel_apply(cx, TIDE_OP_INDEX_SELECT, (tide_tensor *[]){count, ids}, 2, &sel, &own);
    if (!e) column = kernel_reshape(cx, own, &(tide_meta){.ndim = 2, .shape = {uses.shape[0], 1}});
    if (column) e = kernel_apply(cx, TIDE_OP_TO, &column, 1, &to, &typed);
    if (typed) e = kernel_apply(cx, TIDE_OP_DIV, (tide_tensor *[]){g, typed}, 2, NULL, &r);
    tide_free(zeros), tide_free(single), tide_free(ones), tide_free(count), tide_free(own), tide_free(column),
        tide_free(typed);
    return e ? NULL : r;
}

static tide_tensor *without_padding(tide_context *cx, tide_tensor *g, tide_tensor *ids, int64_t padding) {
    tide_eq_attr eq = {.other = {{.i = padding}, TIDE_INTEGER, 0}};
    tide_masked_fill_attr zero = {.value = {{.i = 0}, TIDE_INTEGER, 0}};
    tide_tensor *hit = tide_call1(cx, TIDE_OP_EQ, (tide_tensor *[]){ids, NULL}, 2, &eq), *column = NULL,
                *r = NULL;
    if (hit) column = kernel_reshape(cx, hit, &(tide_meta){.ndim = 2, .shape = {ids->meta.shape[0], 1}});
    if (column) r = tide_call1(cx, TIDE_OP_MASKED_FILL, (tide_tensor *[]){g, column, NULL}, 3, &zero);
    tide_free(hit), tide_free(column);
    return r;
}

VJP(embed) {
    const tide_embed_attr *a = call->attr;
    const tide_meta *w = &call->in[1]->meta;
    int64_t n = tide_numel(&call->in[0]->meta);
    tide_tensor *ids = flattened(cx, call->in[0]), *z = kernel_zeros(cx, w);
    tide_tensor *g = kernel_reshape(cx, gy[0], &(tide_meta){.ndim = 2, .shape = {n, w->shape[1]}});
    if (a->scale && ids && g) {
        tide_tensor *t = by_frequency(cx, g, ids, w);
        tide_free(g);
        g = t;
    }
    if (a->padding_idx != TIDE_ABSENT && ids && g) {
        tide_tensor *t = without_padding(cx, g, ids, a->padding_idx);
        tide_free(g);
        g = t;
    }
    tide_index_add_attr add = {0, {{.i = 1}, TIDE_INTEGER, 0}};
    tide_status e = kernel_apply(cx, TIDE_OP_INDEX_ADD, (tide_tensor *[]){z, ids, g}, 3, &add, &gx[1]);
    tide_free(ids), tide_free(z), tide_free(g);
    return e;
}

RULE(embedding_renorm_infer) {
    tide_status e = want_positions(s->cx, s->in[0], "input");
    return e ? e : want_float(s->cx, s->in[1], "weight");
}
static double norm(const double *v, int64_t n, double p) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        if (isinf(p))
            sum = fabs(v[i]) > sum ? fabs(v[i]) : sum;
        else
            sum += p == 2 ? v[i] * v[i] : tide_pow_f64(fabs(v[i]), p);
    }
    return isinf(p) ? sum : p == 2 ? sqrt(sum) : tide_pow_f64(sum, 1 / p);
}
KERNEL(embedding_renorm) {
    const tide_embedding_renorm_attr *a = call->attr;
    tide_tensor index = lifted(call->in[0]), *w = call->in[1], *t = NULL;
    int64_t rows = w->meta.shape[0], cols = w->meta.shape[1];
    reach r = {.dtype = TIDE_F64, .ndim = index.meta.ndim, .npick = 1, .parts = 1};
    memcpy(r.size, index.meta.shape, sizeof r.size);
    r.pick[0] = reach_pick_of(&index, w, 0);
    r.pick[0].step = 1;
    int64_t *at, n = tide_numel(&index.meta);
    tide_status e = reach_find(cx, &r, &at);
    if (e) return e;
    uint8_t *seen = tide_alloc0(cx, (size_t)rows);
    t = seen ? kernel_packed_as(cx, w, TIDE_F64) : NULL;
    bool changed = false;
    for (int64_t i = 0; t && i < n; i++) {
        double *v = (double *)(void *)tide_data(t) + at[i] * cols;
        if (seen[at[i]]++) {
            seen[at[i]] = 1;
            continue;
        }
        double length = norm(v, cols, a->norm_type);
        if (!(length > a->max_norm)) continue;
        for (int64_t k = 0; k < cols; k++) v[k] *= a->max_norm / (length + 1e-7);
        changed = true;
    }
    if (!t)
        e = tide_pending(cx);
    else if (changed && t != w)
        e = kernel_copy(cx, t, w);
    tide_free(t);
    tide_release(cx, seen, (size_t)rows);
    reach_free(cx, &r, at);
    return e;
}
