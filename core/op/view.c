/* Views: shapes and strides only. Their gradients are views too, except slice's, which is unslice. */
#include "op/row.h"
#include <inttypes.h>

#define GIVE(expr) \
    gx[0] = expr;  \
    return gx[0] ? TIDE_OK : tide_pending(cx)

static void same(const tide_call *call, tide_seen *out) {
    const tide_tensor *t = call->in[0];
    out->meta = t->meta;
    memcpy(out->stride, t->stride, sizeof out->stride);
    out->offset = t->offset;
}

static tide_tensor *reshape_to(tide_context *cx, tide_tensor *g, const tide_meta *m) {
    tide_reshape_attr a = {{m->ndim, {0}}};
    memcpy(a.shape.v, m->shape, sizeof a.shape.v);
    return tide_call1(cx, TIDE_OP_RESHAPE, &g, 1, &a);
}

/* The wanted shape with -1 worked out. */
static tide_status resolve(tide_context *cx, const tide_meta *in, const tide_shape *want, tide_meta *out) {
    int64_t n = tide_numel(in), known = 1;
    int open = -1;
    *out = *in;
    if (want->n < 0 || want->n > TIDE_MAXDIM)
        return tide_fail(cx, TIDE_EARG, "a shape has 0 to %d sizes", TIDE_MAXDIM);
    out->ndim = (int32_t)want->n;
    for (int d = 0; d < want->n; d++) {
        out->shape[d] = want->v[d];
        if (want->v[d] == -1 && open < 0) {
            open = d;
            continue;
        }
        if (want->v[d] < 0)
            return tide_fail(cx, TIDE_EARG, "a size is %" PRId64 "; only one may be -1", want->v[d]);
        if (__builtin_mul_overflow(known, want->v[d], &known)) known = -1;
    }
    if (open >= 0 && known > 0 && n % known == 0)
        out->shape[open] = n / known;
    else if (open >= 0 || known != n) {
        char a[TIDE_SHAPE_TEXT], b[TIDE_SHAPE_TEXT];
        return tide_fail(cx, TIDE_EARG, "%s with %" PRId64 " elements does not fit into %s",
                         tide_shape_text(in, a), n, tide_shape_text(out, b));
    }
    return TIDE_OK;
}

/* Strides for seeing t in shape m; false if that takes a copy. */
static bool strides_for(const tide_tensor *t, const tide_meta *m, int64_t *stride) {
    if (tide_numel(m) == 0 || tide_is_contiguous(t)) {
        tide_contiguous_strides(m, stride);
        return true;
    }
    /* Walk both shapes from the end, matching runs of old dims that lie evenly with runs of new dims. */
    int nd = m->ndim - 1;
    int64_t base = t->stride[t->meta.ndim - 1], told = 1, tnew = 1;
    for (int od = t->meta.ndim - 1; od >= 0; od--) {
        told *= t->meta.shape[od];
        if (od > 0 && (t->meta.shape[od - 1] == 1 || t->stride[od - 1] == told * base)) continue;
        while (nd >= 0 && (tnew < told || m->shape[nd] == 1)) {
            stride[nd] = tnew * base;
            tnew *= m->shape[nd--];
        }
        if (tnew != told) return false;
        if (od > 0) {
            base = t->stride[od - 1];
            told = tnew = 1;
        }
    }
    return nd == -1;
}

VIEW(view) {
    const tide_view_attr *a = call->attr;
    same(call, out);
    tide_status e = resolve(cx, &call->in[0]->meta, &a->shape, &out->meta);
    if (e) return e;
    if (strides_for(call->in[0], &out->meta, out->stride)) return TIDE_OK;
    char t[TIDE_SHAPE_TEXT];
    return tide_fail(cx, TIDE_EARG, "%s cannot be seen so without copying; use reshape",
                     tide_shape_text(&call->in[0]->meta, t));
}
VJP(view) { GIVE(reshape_to(cx, gy[0], &call->in[0]->meta)); }

tide_status reshape_compose(tide_context *cx, tide_call *call);
tide_status reshape_compose(tide_context *cx, tide_call *call) {
    const tide_reshape_attr *a = call->attr;
    tide_seen v;
    same(call, &v);
    tide_status e = resolve(cx, &call->in[0]->meta, &a->shape, &v.meta);
    if (e) return e;
    tide_tensor *t = call->in[0], *copy = NULL;
    if (!strides_for(t, &v.meta, v.stride)) {
        t = copy = tide_call1(cx, TIDE_OP_CLONE, call->in, 1, NULL);
        if (!t) return tide_pending(cx);
    }
    call->out[0] = tide_call1(cx, TIDE_OP_VIEW, &t, 1, a);
    tide_free(copy);
    return call->out[0] ? TIDE_OK : tide_pending(cx);
}

tide_status contiguous_compose(tide_context *cx, tide_call *call);
tide_status contiguous_compose(tide_context *cx, tide_call *call) {
    call->out[0] = tide_is_contiguous(call->in[0]) ? tide_keep(call->in[0])
                                                   : tide_call1(cx, TIDE_OP_CLONE, call->in, 1, NULL);
    return call->out[0] ? TIDE_OK : tide_pending(cx);
}

VIEW(transpose) {
    const tide_transpose_attr *a = call->attr;
    int i, j, n = call->in[0]->meta.ndim;
    tide_status e = tide_wrap_dim(cx, a->dim0, n, &i);
    if (!e) e = tide_wrap_dim(cx, a->dim1, n, &j);
    same(call, out);
    if (e || n == 0) return e;
    out->meta.shape[i] = call->in[0]->meta.shape[j];
    out->meta.shape[j] = call->in[0]->meta.shape[i];
    out->stride[i] = call->in[0]->stride[j];
    out->stride[j] = call->in[0]->stride[i];
    return TIDE_OK;
}
VJP(transpose) { GIVE(tide_call1(cx, TIDE_OP_TRANSPOSE, gy, 1, call->attr)); }

/* perm[new] = old; an error unless it names every dim once */
static tide_status permutation(tide_context *cx, const tide_dims *dims, int n, int *perm) {
    uint8_t mask;
    if (dims->n != n) return tide_fail(cx, TIDE_EARG, "%d dims for a tensor of %d", (int)dims->n, n);
    tide_status e = n ? tide_dims_mask(cx, dims, n, &mask) : TIDE_OK;
    for (int d = 0; d < n && !e; d++) e = tide_wrap_dim(cx, dims->v[d], n, &perm[d]);
    return e;
}

VIEW(permute) {
    const tide_permute_attr *a = call->attr;
    int perm[TIDE_MAXDIM];
    tide_status e = permutation(cx, &a->dims, call->in[0]->meta.ndim, perm);
    same(call, out);
    if (e) return e;
    for (int d = 0; d < out->meta.ndim; d++) {
        out->meta.shape[d] = call->in[0]->meta.shape[perm[d]];
        out->stride[d] = call->in[0]->stride[perm[d]];
    }
    return TIDE_OK;
}
VJP(permute) {
    const tide_permute_attr *a = call->attr;
    int perm[TIDE_MAXDIM], n = gy[0]->meta.ndim;
    tide_status e = permutation(cx, &a->dims, n, perm);
    if (e) return e;
    tide_permute_attr back = {{n, {0}}};
    for (int d = 0; d < n; d++) back.dims.v[perm[d]] = d;
    GIVE(tide_call1(cx, TIDE_OP_PERMUTE, gy, 1, &back));
}

VIEW(squeeze) {
    const tide_squeeze_attr *a = call->attr;
    const tide_tensor *t = call->in[0];
    uint8_t mask = 0;
    tide_status e = a->dim.n == 0 ? TIDE_OK : tide_dims_mask(cx, &a->dim, t->meta.ndim, &mask);
    if (e) return e;
    same(call, out);
    out->meta.ndim = 0;
    for (int d = 0; d < t->meta.ndim; d++) {
        if ((mask >> d & 1) && t->meta.shape[d] == 1) continue;
        out->meta.shape[out->meta.ndim] = t->meta.shape[d];
        out->stride[out->meta.ndim++] = t->stride[d];
    }
    return TIDE_OK;
}
VJP(squeeze) { GIVE(reshape_to(cx, gy[0], &call->in[0]->meta)); }

VIEW(unsqueeze) {
    const tide_unsqueeze_attr *a = call->attr;
    const tide_tensor *t = call->in[0];
    int dim;
    if (t->meta.ndim == TIDE_MAXDIM)
        return tide_fail(cx, TIDE_EARG, "a tensor has at most %d dims", TIDE_MAXDIM);
    tide_status e = tide_wrap_dim(cx, a->dim, t->meta.ndim + 1, &dim);
    if (e) return e;
    same(call, out);
    for (int d = t->meta.ndim; d > dim; d--)
        out->meta.shape[d] = t->meta.shape[d - 1], out->stride[d] = t->stride[d - 1];
    out->meta.shape[dim] = 1;
    out->stride[dim] = dim < t->meta.ndim ? t->stride[dim] * t->meta.shape[dim] : 1;
    out->meta.ndim++;
    return TIDE_OK;
}
VJP(unsqueeze) { GIVE(reshape_to(cx, gy[0], &call->in[0]->meta)); }

VIEW(expand) {
    const tide_expand_attr *a = call->attr;
    const tide_tensor *t = call->in[0];
    int shift = (int)a->size.n - t->meta.ndim;
    if (shift < 0 || a->size.n > TIDE_MAXDIM)
        return tide_fail(cx, TIDE_EARG, "%d sizes for a tensor of %d dims", (int)a->size.n, t->meta.ndim);
    same(call, out);
    out->meta.ndim = (int32_t)a->size.n;
    for (int d = 0; d < a->size.n; d++) {
        int64_t want = a->size.v[d], have = d < shift ? 1 : t->meta.shape[d - shift];
        if (want == -1 && d >= shift) want = have;
        if (want < 0 || (have != want && have != 1))
            return tide_fail(cx, TIDE_EARG, "size %" PRId64 " of dim %d cannot become %" PRId64, have, d + 1,
                             want);
        out->meta.shape[d] = want;
        out->stride[d] = d < shift || have != want ? 0 : t->stride[d - shift];
    }
    return TIDE_OK;
}
VJP(expand) {
    const tide_meta *m = &call->in[0]->meta;
    tide_sum_attr a = *(const tide_sum_attr *)tide_op_table[TIDE_OP_SUM].attr0;
    int shift = gy[0]->meta.ndim - m->ndim;
    a.dim.n = 0;
    a.keepdim = 1;
    for (int d = 0; d < gy[0]->meta.ndim; d++)
        if (d < shift || m->shape[d - shift] != gy[0]->meta.shape[d]) a.dim.v[a.dim.n++] = d;
    if (a.dim.n == 0) { GIVE(tide_keep(gy[0])); }
    tide_tensor *s = tide_call1(cx, TIDE_OP_SUM, gy, 1, &a);
    if (!s) return tide_pending(cx);
    gx[0] = reshape_to(cx, s, m);
    tide_free(s);
    return gx[0] ? TIDE_OK : tide_pending(cx);
}

VIEW(spread) {
    const tide_spread_attr *a = call->attr;
    const tide_tensor *t = call->in[0];
    uint8_t summed;
    tide_status e = tide_dims_mask(cx, &a->dim, (int)a->size.n, &summed);
    if (e) return e;
    same(call, out);
    out->meta.ndim = (int32_t)a->size.n;
    bool kept = t->meta.ndim == a->size.n;
    for (int d = 0, from = 0; d < a->size.n; d++) {
        out->meta.shape[d] = a->size.v[d];
        out->stride[d] = summed >> d & 1 ? 0 : t->stride[from];
        from += kept || !(summed >> d & 1);
    }
    return TIDE_OK;
}
VJP(spread) {
    const tide_spread_attr *a = call->attr;
    tide_sum_attr sum = *(const tide_sum_attr *)tide_op_table[TIDE_OP_SUM].attr0;
    sum.dim = a->dim;
    sum.keepdim = call->in[0]->meta.ndim == a->size.n;
    GIVE(tide_call1(cx, TIDE_OP_SUM, gy, 1, &sum));
}

/* A position: 0-based, negative from the end. `size` itself is allowed where `end` is. */
static tide_status position(tide_context *cx, int64_t at, int64_t size, bool end, int64_t *out) {
    int64_t i = at < 0 ? at + size : at;
    if (i < 0 || i > size || (i == size && !end))
        return tide_fail(cx, TIDE_EARG, "position %" PRId64 " is out of range for a dim of size %" PRId64,
                         at < 0 ? at : at + 1, size);
    *out = i;
    return TIDE_OK;
}

static tide_status sliced(tide_context *cx, const tide_call *call, int64_t dim, int64_t start, int64_t length,
                          int64_t step, tide_seen *out) {
    int d;
    int64_t i = 0;
    tide_status e = tide_wrap_dim(cx, dim, call->in[0]->meta.ndim, &d);
    same(call, out);
    if (e) return e;
    if (call->in[0]->meta.ndim == 0) return tide_fail(cx, TIDE_EARG, "a 0-d tensor has no positions");
    int64_t size = out->meta.shape[d];
    e = position(cx, start, size, true, &i);
    if (e) return e;
    if (step < 1 || length < 0 || (length > 0 && i + (length - 1) * step >= size))
        return tide_fail(cx, TIDE_EARG,
                         "%" PRId64 " positions from %" PRId64 " do not fit into a dim of size %" PRId64,
                         length, i + 1, size);
    out->meta.shape[d] = length;
    out->offset += i * out->stride[d];
    out->stride[d] *= step;
    return TIDE_OK;
}

static tide_tensor *unsliced(tide_context *cx, tide_tensor *g, const tide_meta *m, int64_t dim, int64_t start,
                             int64_t step) {
    int d = (int)(dim < 0 ? dim + m->ndim : dim);
    tide_unslice_attr a = {d, start < 0 ? start + m->shape[d] : start, step, m->shape[d]};
    return tide_call1(cx, TIDE_OP_UNSLICE, &g, 1, &a);
}

VIEW(narrow) {
    const tide_narrow_attr *a = call->attr;
    return sliced(cx, call, a->dim, a->start, a->length, 1, out);
}
VJP(narrow) {
    const tide_narrow_attr *a = call->attr;
    GIVE(unsliced(cx, gy[0], &call->in[0]->meta, a->dim, a->start, 1));
}
VIEW(slice) {
    const tide_slice_attr *a = call->attr;
    return sliced(cx, call, a->dim, a->start, a->length, a->step, out);
}
VJP(slice) {
    const tide_slice_attr *a = call->attr;
    GIVE(unsliced(cx, gy[0], &call->in[0]->meta, a->dim, a->start, a->step));
}

VIEW(select) {
    const tide_select_attr *a = call->attr;
    int d;
    int64_t i = 0;
    tide_status e = tide_wrap_dim(cx, a->dim, call->in[0]->meta.ndim, &d);
    same(call, out);
    if (e) return e;
    if (call->in[0]->meta.ndim == 0) return tide_fail(cx, TIDE_EARG, "a 0-d tensor has no positions");
    e = position(cx, a->index, out->meta.shape[d], false, &i);
    if (e) return e;
    out->offset += i * out->stride[d];
    for (int k = d; k + 1 < out->meta.ndim; k++)
        out->meta.shape[k] = out->meta.shape[k + 1], out->stride[k] = out->stride[k + 1];
    out->meta.ndim--;
    return TIDE_OK;
}
VJP(select) {
    const tide_select_attr *a = call->attr;
    const tide_meta *m = &call->in[0]->meta;
    tide_unsqueeze_attr u = {a->dim < 0 ? a->dim + m->ndim : a->dim};
    tide_tensor *g = tide_call1(cx, TIDE_OP_UNSQUEEZE, gy, 1, &u);
    if (!g) return tide_pending(cx);
    gx[0] = unsliced(cx, g, m, a->dim, a->index, 1);
    tide_free(g);
    return gx[0] ? TIDE_OK : tide_pending(cx);
}

VIEW(detach) {
    same(call, out);
    return TIDE_OK;
}

tide_status unslice_infer(tide_shapes *s);
tide_status unslice_infer(tide_shapes *s) {
    const tide_unslice_attr *a = s->attr;
    s->out[0] = *s->in[0];
    s->out[0].shape[a->dim] = a->size;
    return TIDE_OK;
}
tide_status unslice_kernel(tide_context *cx, const tide_call *call);
tide_status unslice_kernel(tide_context *cx, const tide_call *call) {
    const tide_unslice_attr *a = call->attr;
    tide_tensor *out = call->out[0], places;
    memset(tide_data(out), 0, (size_t)tide_numel(&out->meta) * tide_dtype_size((tide_dtype)out->meta.dtype));
    places = *out; /* the places in out that input fills: a view on the stack */
    places.meta = call->in[0]->meta;
    places.offset += a->start * out->stride[a->dim];
    places.stride[a->dim] *= a->step;
    tide_tensor *into = &places;
    tide_call copy = {.op = TIDE_OP_CLONE, .nin = 1, .nout = 1, .in = call->in, .out = &into};
    return tide_execute(cx, &tide_op_table[TIDE_OP_CLONE], &copy, NULL);
}
VJP(unslice) {
    const tide_unslice_attr *a = call->attr;
    tide_slice_attr s = {a->dim, a->start, call->in[0]->meta.shape[a->dim], a->step};
    GIVE(tide_call1(cx, TIDE_OP_SLICE, gy, 1, &s));
}
