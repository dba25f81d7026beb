/* Putting tensors together. cat of many is a tree of joins, so that no operation has more inputs than the tape,
 * the trace and the programs allow. */
#include "op/kernel.h"
#include <inttypes.h>

static bool skipped(const tide_meta *m) { return m->ndim == 1 && m->shape[0] == 0; }

static tide_status check_pieces(tide_context *cx, tide_tensor *const *t, uint32_t n, int64_t want,
                                tide_join_attr *a) {
    const tide_meta *first = NULL;
    tide_dtype d = 0;
    if (n == 0) return tide_fail(cx, TIDE_EARG, "takes at least one tensor");
    for (uint32_t i = 0; i < n; i++) {
        if (!t[i]) return tide_fail(cx, TIDE_EARG, "tensor %u is missing", i + 1);
        d = tide_dtype_promote(d, (tide_dtype)t[i]->meta.dtype);
        if (!first && !skipped(&t[i]->meta)) first = &t[i]->meta;
    }
    if (!first) first = &t[0]->meta;
    int dim;
    tide_status e = first->ndim ? tide_wrap_dim(cx, want, first->ndim, &dim)
                                : tide_fail(cx, TIDE_EARG, "0-d tensors have no dim to join along; use stack");
    for (uint32_t i = 0; i < n && !e; i++) {
        const tide_meta *m = &t[i]->meta;
        if (skipped(m)) continue;
        bool fits = m->ndim == first->ndim;
        for (int k = 0; fits && k < m->ndim; k++) fits = k == dim || m->shape[k] == first->shape[k];
        char s[TIDE_SHAPE_TEXT], u[TIDE_SHAPE_TEXT];
        if (!fits)
            e = tide_fail(cx, TIDE_EARG, "tensor %u is %s: it does not fit %s beside dim %d", i + 1,
                          tide_shape_text(m, s), tide_shape_text(first, u), dim + 1);
    }
    if (!e) *a = (tide_join_attr){dim, d};
    return e;
}

/* Joins of at most TIDE_MAXARGS, again and again until one is left. t[] is used up. */
static tide_status join_all(tide_context *cx, tide_tensor **t, int64_t n, const tide_join_attr *a,
                            tide_tensor **out) {
    tide_status e = TIDE_OK;
    while (n > TIDE_MAXARGS - 1 && !e) { /* inputs and the output count together */
        int64_t groups = 0;
        for (int64_t i = 0; i < n && !e; i += TIDE_MAXARGS - 1, groups++) {
            int64_t k = n - i < TIDE_MAXARGS - 1 ? n - i : TIDE_MAXARGS - 1;
            tide_tensor *joined = NULL;
            e = kernel_apply(cx, TIDE_OP_JOIN, t + i, (int)k, a, &joined);
            for (int64_t j = i; j < i + k; j++) tide_free(t[j]), t[j] = NULL;
            t[groups] = joined;
        }
        if (!e) n = groups;
    }
    if (!e) e = kernel_apply(cx, TIDE_OP_JOIN, t, (int)n, a, out);
    for (int64_t i = 0; i < n; i++) tide_free(t[i]);
    return e;
}

COMPOSE(cat) {
    tide_join_attr a;
    tide_status e = check_pieces(cx, call->in, call->nin, ((const tide_cat_attr *)call->attr)->dim, &a);
    if (e) return e;
    size_t bytes = call->nin * sizeof(tide_tensor *);
    tide_tensor **t = tide_alloc(cx, bytes);
    if (!t) return TIDE_EMEM;
    int64_t n = 0;
    for (uint32_t i = 0; i < call->nin; i++)
        if (!skipped(&call->in[i]->meta)) t[n++] = tide_keep(call->in[i]);
    if (n == 0) t[n++] = tide_keep(call->in[0]);
    e = join_all(cx, t, n, &a, &call->out[0]);
    tide_release(cx, t, bytes);
    return e;
}

COMPOSE(stack) {
    const tide_meta *first = call->nin && call->in[0] ? &call->in[0]->meta : NULL;
    if (!first) return tide_fail(cx, TIDE_EARG, "takes at least one tensor");
    int dim;
    tide_status e = tide_wrap_dim(cx, ((const tide_stack_attr *)call->attr)->dim, first->ndim + 1, &dim);
    size_t bytes = call->nin * sizeof(tide_tensor *);
    tide_tensor **t = e ? NULL : tide_alloc(cx, bytes);
    if (!t) return tide_pending(cx);
    tide_join_attr a = {dim, 0};
    tide_unsqueeze_attr u = {dim};
    int64_t n = 0;
    for (uint32_t i = 0; i < call->nin && !e; i++) {
        char s[TIDE_SHAPE_TEXT], v[TIDE_SHAPE_TEXT];
        if (!call->in[i])
            e = tide_fail(cx, TIDE_EARG, "tensor %u is missing", i + 1);
        else if (!tide_same_shape(&call->in[i]->meta, first))
            e = tide_fail(cx, TIDE_EARG, "tensor %u is %s, the first is %s", i + 1,
                          tide_shape_text(&call->in[i]->meta, s), tide_shape_text(first, v));
        if (e) break;
        a.dtype = tide_dtype_promote((tide_dtype)a.dtype, (tide_dtype)call->in[i]->meta.dtype);
        t[n] = tide_call1(cx, TIDE_OP_UNSQUEEZE, &call->in[i], 1, &u);
        if (t[n])
            n++;
        else
            e = tide_pending(cx);
    }
    if (!e)
        e = join_all(cx, t, n, &a, &call->out[0]);
    else
        for (int64_t i = 0; i < n; i++) tide_free(t[i]);
    tide_release(cx, t, bytes);
    return e;
}

RULE(join_infer) {
    const tide_join_attr *a = s->attr;
    s->out[0] = *s->in[0];
    s->out[0].dtype = (uint8_t)a->dtype;
    for (int i = 1; i < s->nin; i++) s->out[0].shape[a->dim] += s->in[i]->shape[a->dim];
    return TIDE_OK;
}
KERNEL(join) {
    const tide_join_attr *a = call->attr;
    int64_t at = 0;
    for (uint32_t i = 0; i < call->nin; i++) {
        tide_tensor places = *call->out[0]; /* those that input i fills: a view on the stack */
        places.meta.shape[a->dim] = call->in[i]->meta.shape[a->dim];
        places.offset += at * places.stride[a->dim];
        at += places.meta.shape[a->dim];
        if (tide_numel(&places.meta) == 0) continue;
        tide_status e = kernel_copy(cx, call->in[i], &places);
        if (e) return e;
    }
    return TIDE_OK;
}
VJP(join) {
    const tide_join_attr *a = call->attr;
    int64_t at = 0;
    for (uint32_t i = 0; i < call->nin; i++) {
        const tide_meta *m = &call->in[i]->meta;
        tide_narrow_attr part = {a->dim, at, m->shape[a->dim]};
        at += part.length;
        if (!(need >> i & 1)) continue;
        tide_tensor *g = tide_call1(cx, TIDE_OP_NARROW, gy, 1, &part);
        if (g && m->dtype != g->meta.dtype) {
            tide_to_attr to = {m->dtype};
            tide_tensor *t = tide_call1(cx, TIDE_OP_TO, &g, 1, &to);
            tide_free(g);
            g = t;
        }
        gx[i] = g;
        if (!g) return tide_pending(cx);
    }
    return TIDE_OK;
}
