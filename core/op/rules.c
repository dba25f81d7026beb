/* Shape rules that many operations share. None touches data. */
#include "op/op.h"
#include <inttypes.h>

static int category(tide_dtype d) { return d == 0 ? 0 : d == TIDE_BOOL ? 1 : tide_dtype_is_float(d) ? 3 : 2; }

/* Tensors with dims decide; 0-d tensors, then numbers, only raise the category. */
static tide_dtype combine(tide_dtype higher, tide_dtype lower) {
    if (category(higher) == 3) return higher;
    if (category(higher) <= 1 || category(lower) == 3) return tide_dtype_promote(higher, lower);
    return higher;
}

tide_dtype tide_result_dtype(const tide_op *op, const tide_shapes *s) {
    tide_dtype dims = 0, zero = 0, number = 0;
    for (int a = 0; a < op->narg; a++) {
        const tide_arg *arg = &op->arg[a];
        if (arg->input < 0 || arg->raw) continue;
        const tide_meta *m = s->in[arg->input];
        if (m) {
            tide_dtype *into = m->ndim ? &dims : &zero;
            *into = tide_dtype_promote(*into, (tide_dtype)m->dtype);
        } else if (arg->type == TIDE_ARG_OPERAND) {
            const tide_num *n = (const tide_num *)((const char *)s->attr + arg->offset);
            tide_dtype d = n->kind == TIDE_FLOAT     ? TIDE_F32
                           : n->kind == TIDE_INTEGER ? TIDE_I64
                           : n->kind == TIDE_BOOLEAN ? TIDE_BOOL
                                                     : 0;
            number = tide_dtype_promote(number, d);
        }
    }
    tide_dtype d = combine(dims, combine(zero, number));
    if ((op->flags & TIDE_F_FLOATING) && !tide_dtype_is_float(d)) d = TIDE_F32;
    return d ? d : TIDE_F32;
}

tide_status rule_broadcast(tide_shapes *s) {
    tide_meta m = {.ndim = 0};
    for (int i = 0; i < s->nin; i++) {
        if (!s->in[i]) continue;
        if (m.dtype == 0) { /* the first one */
            m = *s->in[i];
            continue;
        }
        tide_status e = tide_broadcast(s->cx, &m, s->in[i]);
        if (e) return e;
        m.device = s->in[i]->device;
    }
    for (int j = 0; j < s->nout; j++) {
        uint8_t dtype = s->out[j].dtype; /* the promoted one, put there by tide_frame_of's user */
        s->out[j] = m;
        s->out[j].dtype = dtype;
    }
    return TIDE_OK;
}

tide_status rule_like_first(tide_shapes *s) {
    for (int j = 0; j < s->nout; j++) s->out[j] = *s->in[0];
    return TIDE_OK;
}

tide_status space_broadcast(const tide_shapes *s, tide_space *out) {
    const tide_meta *m = &s->out[0];
    out->ndim = (int8_t)m->ndim;
    out->reduced = 0;
    memcpy(out->size, m->shape, sizeof out->size);
    for (int a = 0; a < s->nin + s->nout; a++) {
        const tide_meta *x = a < s->nin ? s->in[a] : &s->out[a - s->nin];
        int shift = x ? m->ndim - x->ndim : 0;
        for (int d = 0; d < TIDE_MAXDIM; d++)
            out->map[a][d] =
                (int8_t)(x && d >= shift && d < m->ndim && (x->shape[d - shift] == m->shape[d]) ? d - shift
                                                                                                : -1);
    }
    return TIDE_OK;
}

tide_status tide_dims_mask(tide_context *cx, const tide_dims *dims, int ndim, uint8_t *mask) {
    *mask = 0;
    if (dims->n <= 0) {
        *mask = (uint8_t)((1u << ndim) - 1);
        return TIDE_OK;
    }
    for (int i = 0; i < dims->n; i++) {
        int d;
        tide_status e = tide_wrap_dim(cx, dims->v[i], ndim, &d);
        if (e) return e;
        if (*mask >> d & 1) return tide_fail(cx, TIDE_EARG, "dim %d appears twice", d + 1);
        if (ndim) *mask |= (uint8_t)(1u << d);
    }
    return TIDE_OK;
}

tide_status meta_reduce(tide_context *cx, const tide_meta *in, const tide_dims *dims, bool keepdim,
                        tide_meta *out) {
    uint8_t mask;
    tide_status e = tide_dims_mask(cx, dims, in->ndim, &mask);
    if (e) return e;
    tide_meta m = *in;
    m.ndim = 0;
    for (int d = 0; d < in->ndim; d++) {
        if (!(mask >> d & 1))
            m.shape[m.ndim++] = in->shape[d];
        else if (keepdim)
            m.shape[m.ndim++] = 1;
    }
    *out = m;
    return TIDE_OK;
}

tide_status space_reduce(const tide_shapes *s, const tide_dims *dims, bool whole, tide_space *out) {
    const tide_meta *in = s->in[0];
    uint8_t mask;
    tide_status e = tide_dims_mask(s->cx, dims, in->ndim, &mask);
    if (e) return e;
    out->ndim = (int8_t)in->ndim;
    out->reduced = mask;
    memcpy(out->size, in->shape, sizeof out->size);
    for (int a = 0; a < s->nin + s->nout; a++) {
        bool full = a < s->nin || whole, keepdim = full || s->out[a - s->nin].ndim == in->ndim;
        int at = 0;
        for (int d = 0; d < TIDE_MAXDIM; d++) {
            bool has = d < in->ndim && (full || !(mask >> d & 1));
            out->map[a][d] = (int8_t)(!has ? -1 : keepdim ? d : at++);
        }
    }
    return TIDE_OK;
}

tide_status want_float(tide_context *cx, const tide_meta *m, const char *what) {
    if (tide_dtype_is_float((tide_dtype)m->dtype)) return TIDE_OK;
    return tide_fail(cx, TIDE_EARG, "%s must be floating, not %s", what, tide_dtype_name((tide_dtype)m->dtype));
}
