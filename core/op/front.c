/* Calling operations from C. */
#include "op/front.h"

tide_status tide_calls(tide_context *cx, int op, tide_tensor *const *in, int nin, const void *attr,
                       tide_tensor **out) {
    const tide_op *o = &tide_op_table[op];
    tide_call c = {.op = (uint16_t)op,
                   .nin = (uint32_t)nin,
                   .nout = o->nout,
                   .in = (tide_tensor **)in,
                   .out = out,
                   .attr = attr ? attr : o->attr0,
                   .nattr = o->nattr};
    return tide_apply(cx, &c);
}

tide_tensor *tide_call1(tide_context *cx, int op, tide_tensor *const *in, int nin, const void *attr) {
    tide_tensor *out[TIDE_MAXARGS] = {NULL};
    if (tide_calls(cx, op, in, nin, attr, out)) return NULL;
    for (int j = 1; j < tide_op_table[op].nout; j++) tide_free(out[j]);
    return out[0];
}

tide_context *tide_front_context(tide_tensor *const *in, int n, int required) {
    if (required && !in[0]) return NULL;
    for (int i = 0; i < n; i++)
        if (in[i]) return in[i]->cx;
    return NULL;
}

tide_tensor *tide_front(tide_context *cx, int op, tide_tensor *const *in, int nin, const void *attr,
                        tide_tensor **shown) {
    const tide_op *o = &tide_op_table[op];
    if (!cx || tide_pending(cx) || tide_door_open(cx)) return NULL;
    union {
        char bytes[512];
        int64_t align;
    } copy;
    if (o->flags & TIDE_F_RANDOM) { /* the last two attributes: seed and number of the call */
        memcpy(copy.bytes, attr ? attr : o->attr0, o->nattr);
        int64_t key[2] = {(int64_t)cx->seed, (int64_t)cx->rng_calls++};
        memcpy(copy.bytes + o->nattr - sizeof key, key, sizeof key);
        attr = copy.bytes;
    }
    tide_tensor *out[TIDE_MAXARGS] = {NULL};
    if (tide_calls(cx, op, in, nin, attr, out)) return NULL;
    for (int j = o->nshown; j < o->nout; j++) tide_free(out[j]);
    for (int j = 0; j < o->nshown; j++) {
        tide_scoped(out[j]);
        if (shown) shown[j] = out[j];
    }
    return out[0];
}

/* ---- data in and out ---- */

static tide_status fits(tide_tensor *t, const void *host, size_t nbytes, const char *what) {
    size_t have = (size_t)tide_numel(&t->meta) * tide_dtype_size((tide_dtype)t->meta.dtype);
    if (nbytes && !host) return tide_fail(t->cx, TIDE_EARG, "%s: the memory is NULL", what);
    if (have == nbytes) return TIDE_OK;
    return tide_fail(t->cx, TIDE_EARG, "%s: the tensor has %zu bytes, not %zu", what, have, nbytes);
}

static tide_status copy_elements(tide_context *cx, tide_tensor *from, tide_tensor *to) {
    tide_status e = tide_door_open(cx);
    tide_call c = {.op = TIDE_OP_CLONE, .nin = 1, .nout = 1, .in = &from, .out = &to};
    return e ? e : tide_execute(cx, &tide_op_table[TIDE_OP_CLONE], &c, NULL);
}

/* A row-major tensor over host memory, on the caller's stack. */
static void over(tide_tensor *t, tide_tensor *host, tide_storage *s, void *data) {
    *s = (tide_storage){.data = data};
    *host = (tide_tensor){.meta = t->meta, .cx = t->cx, .storage = s};
    tide_contiguous_strides(&t->meta, host->stride);
}

tide_status tide_read(tide_tensor *t, void *dst, size_t nbytes) {
    if (!t) return TIDE_EARG;
    tide_status e = tide_sync(t);
    if (!e) e = fits(t, dst, nbytes, "read");
    if (e || nbytes == 0) return e;
    if (tide_is_contiguous(t)) {
        memcpy(dst, tide_data(t), nbytes);
        return TIDE_OK;
    }
    tide_tensor host;
    tide_storage s;
    over(t, &host, &s, dst);
    return copy_elements(t->cx, t, &host);
}

tide_status tide_write(tide_tensor *t, const void *src, size_t nbytes) {
    if (!t) return TIDE_EARG;
    tide_status e = tide_sync(t);
    if (!e && t->cx->tensors->epoch && t->cx->tensors->sync)
        e = t->cx->tensors->sync(t->cx, NULL); /* matched reads have not run yet */
    if (!e) e = fits(t, src, nbytes, "write");
    if (e || nbytes == 0) return e;
    t->storage->version++;
    if (tide_is_contiguous(t)) {
        memcpy(tide_data(t), src, nbytes);
        return TIDE_OK;
    }
    tide_tensor host;
    tide_storage s;
    over(t, &host, &s, (void *)src);
    return copy_elements(t->cx, &host, t);
}
