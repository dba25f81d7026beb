/* Gradients and averages: list operations that are no optimizer's. */
#include "optim/lists.h"

static bool alike(tide_tensor *const *in, int lists, int count, int i, int k) {
    if ((in[i]->meta.ndim == 0) != (in[k]->meta.ndim == 0)) return false;
    for (int l = 0; l < lists; l++)
        if (in[l * count + i]->meta.dtype != in[l * count + k]->meta.dtype) return false;
    return true;
}

tide_status tide_lists_apply(tide_context *cx, int op, tide_tensor **in, int lists, int count,
                             const void *attr) {
    if (count == 0) return TIDE_OK;
    const tide_op *of = &tide_op_table[op];
    const size_t width = (size_t)(lists + of->nout),
                 bytes = (size_t)count * (width * sizeof(tide_tensor *) + sizeof(int));
    tide_tensor **part = tide_alloc0(cx, bytes);
    if (!part) return TIDE_EMEM;
    int *group = (int *)(void *)(part + width * (size_t)count); /* 0: not yet served */
    tide_status e = TIDE_OK;
    for (int first = 0, number = 1; first < count && !e; first++) {
        if (group[first]) continue;
        int n = 0, outs = 0;
        for (int i = first; i < count; i++)
            if (!group[i] && alike(in, lists, count, first, i)) group[i] = number, n++;
        tide_tensor **out = part + lists * n;
        for (int l = 0; l < lists; l++) {
            bool written = of->writes >> l & 1;
            for (int i = first, at = 0; i < count; i++) {
                if (group[i] != number) continue;
                part[l * n + at] = in[l * count + i];
                if (written) out[outs * n + at] = in[l * count + i];
                at++;
            }
            outs += written;
        }
        tide_call call = {.op = (uint16_t)op,
                          .nin = (uint32_t)(lists * n),
                          .nout = (uint32_t)(outs * n),
                          .in = part,
                          .out = out,
                          .attr = attr,
                          .nattr = of->nattr};
        e = tide_apply(cx, &call);
        number++;
    }
    tide_release(cx, part, bytes);
    return e;
}

/* The gradients that are there, in order; *n: how many. NULL: no memory. */
static tide_tensor **gradients(tide_context *cx, tide_tensor *const *params, int n, int lists, int *count) {
    tide_tensor **list = tide_alloc0(cx, (size_t)(n > 0 ? n : 1) * (size_t)lists * sizeof *list);
    *count = 0;
    for (int i = 0; list && i < n; i++)
        if (params[i] && params[i]->grad && !params[i]->grad_absent) list[(*count)++] = params[i]->grad;
    return list;
}
static void free_list(tide_context *cx, tide_tensor **list, int n, int lists) {
    tide_release(cx, list, (size_t)(n > 0 ? n : 1) * (size_t)lists * sizeof *list);
}

/* sqrt(sum over all gradients of their squares) and the factor to bring it down to `limit`, both 0-d. */
static tide_status norm_of(tide_context *cx, tide_tensor **grad, tide_tensor **square, int n, double limit,
                           tide_tensor *norm_factor[2]) {
    tide_status e = TIDE_OK;
    tide_tensor *all = NULL;
    for (int i = 0; i < n && !e; i++) {
        square[i] = tide_call1(cx, TIDE_OP_SUM_SQUARES, &grad[i], 1, NULL);
        if (!square[i]) e = tide_pending(cx);
    }
    tide_stack_attr s = {0};
    tide_call stack = {.op = TIDE_OP_STACK,
                       .nin = (uint32_t)n,
                       .nout = 1,
                       .in = square,
                       .out = &all,
                       .attr = &s,
                       .nattr = sizeof s};
    if (!e) e = tide_apply(cx, &stack);
    tide_clip_factor_attr c = {limit};
    tide_call clip = {.op = TIDE_OP_CLIP_FACTOR,
                      .nin = 1,
                      .nout = 2,
                      .in = &all,
                      .out = norm_factor,
                      .attr = &c,
                      .nattr = sizeof c};
    if (!e) e = tide_apply(cx, &clip);
    for (int i = 0; i < n; i++) tide_free(square[i]);
    tide_free(all);
    return e;
}

tide_tensor *tide_clip_grad_norm(tide_context *cx, tide_tensor *const *params, int n, double limit) {
    if (tide_pending(cx) || tide_tape_open(cx)) return NULL;
    if (!(limit >= 0))
        return tide_fail(cx, TIDE_EARG, "clip_grad_norm_: max_norm must not be negative: %g", limit), NULL;
    int was = tide_set_grad_enabled(cx, 0), count;
    tide_tensor **grad = gradients(cx, params, n, 2, &count), *norm_factor[2] = {NULL};
    tide_status e = grad ? TIDE_OK : TIDE_EMEM;
    if (!e && count) {
        e = norm_of(cx, grad, grad + count, count, limit, norm_factor);
        for (int i = 0; i < count; i++) grad[count + i] = norm_factor[1];
        if (!e) e = tide_lists_apply(cx, TIDE_OP_SCALE_ALL, grad, 2, count, NULL);
    } else if (!e) {
        tide_full_attr f = {{0, {0}}, {{.i = 0}, TIDE_INTEGER, 0}, TIDE_F32};
        norm_factor[0] = tide_call1(cx, TIDE_OP_FULL, NULL, 0, &f);
    }
    tide_free(norm_factor[1]);
    if (grad) free_list(cx, grad, n, 2);
    tide_set_grad_enabled(cx, was);
    if (e) return tide_free(norm_factor[0]), NULL;
    return tide_scoped(norm_factor[0]);
}

tide_status tide_clip_grad_value(tide_context *cx, tide_tensor *const *params, int n, double limit) {
    if (tide_pending(cx) || tide_tape_open(cx)) return tide_pending(cx);
    if (!(limit >= 0))
        return tide_fail(cx, TIDE_EARG, "clip_grad_value_: clip_value must not be negative: %g", limit);
    int was = tide_set_grad_enabled(cx, 0), count;
    tide_tensor **grad = gradients(cx, params, n, 1, &count);
    tide_clamp_all_attr a = {limit};
    tide_status e = grad ? tide_lists_apply(cx, TIDE_OP_CLAMP_ALL, grad, 1, count, &a) : TIDE_EMEM;
    if (grad) free_list(cx, grad, n, 1);
    tide_set_grad_enabled(cx, was);
    return e;
}

tide_status tide_average(tide_context *cx, tide_tensor *const *averages, tide_tensor *const *values, int n,
                         double weight) {
    if (tide_pending(cx) || tide_tape_open(cx)) return tide_pending(cx);
    for (int i = 0; i < n; i++) {
        if (!averages[i] || !values[i])
            return tide_fail(cx, TIDE_EARG, "average: pair %d is incomplete", i + 1);
        const tide_meta *a = &averages[i]->meta, *v = &values[i]->meta;
        if (!tide_same_shape(a, v))
            return tide_fail(cx, TIDE_EARG, "average: the shapes of pair %d differ", i + 1);
        if (!tide_dtype_is_float((tide_dtype)a->dtype) || !tide_dtype_is_float((tide_dtype)v->dtype))
            return tide_fail(cx, TIDE_EARG, "average: pair %d is not of a floating dtype", i + 1);
    }
    size_t bytes = (size_t)(n > 0 ? n : 1) * 2 * sizeof(tide_tensor *);
    tide_tensor **in = tide_alloc0(cx, bytes);
    if (!in) return TIDE_EMEM;
    memcpy(in, averages, (size_t)n * sizeof *in);
    memcpy(in + n, values, (size_t)n * sizeof *in);
    int was = tide_set_grad_enabled(cx, 0);
    tide_lerp_all_attr a = {weight};
    tide_status e = tide_lists_apply(cx, TIDE_OP_LERP_ALL, in, 2, n, &a);
    tide_set_grad_enabled(cx, was);
    tide_release(cx, in, bytes);
    return e;
}
