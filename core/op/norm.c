/* Normalisations. Means and reciprocal deviations are hidden outputs: the gradient reads them. */
#include "op/row.h"
#include <float.h>

/* Statistics are kept in the type that they are computed in. */
static uint8_t statistics(uint8_t dtype) { return dtype == TIDE_F64 ? TIDE_F64 : TIDE_F32; }

static tide_val mean_r(tide_prog *p, tide_val x) {
    return p_div(p, p_sum_r(p, x), p_cvt(p, p_index(p, TIDE_P_SIZE_R, TIDE_ONE), p_type(p, x)));
}

static tide_val affine(tide_prog *p, tide_val v, tide_val w, tide_val b) {
    int type = p_type(p, v);
    if (w != TIDE_NOVAL && b != TIDE_NOVAL) return p_fma(p, v, p_cvt(p, w, type), p_cvt(p, b, type));
    if (w != TIDE_NOVAL) return p_mul(p, v, p_cvt(p, w, type));
    return b != TIDE_NOVAL ? p_add(p, v, p_cvt(p, b, type)) : v;
}

/* The gradients of affine((x - m) r, w, b), where m and r are of x's own row; parameters do not vary along
 * `sum`. */
static void normal_vjp(tide_prog *p, tide_val x, tide_val w, tide_val m, tide_val r, tide_val g, int sum,
                       tide_val *gx) {
    tide_val gw = w != TIDE_NOVAL ? p_mul(p, g, p_cvt(p, w, p_type(p, x))) : g;
    tide_val v = p_mul(p, p_sub(p, x, m), r), slope = mean_r(p, p_mul(p, gw, v));
    gx[0] = p_mul(p, p_fma(p, v, p_neg(p, slope), p_sub(p, gw, mean_r(p, gw))), r);
    gx[1] = p_reduce(p, TIDE_P_SUM, p_mul(p, g, v), sum);
    gx[2] = p_reduce(p, TIDE_P_SUM, g, sum);
}

/* ---- over the last dims ---- */

static tide_status last_dims(tide_shapes *s, const tide_shape *shape, int nparams) {
    const tide_meta *x = s->in[0];
    int n = (int)shape->n, first = x->ndim - n;
    tide_status e = want_float(s->cx, x, "input");
    if (e) return e;
    tide_meta want = {.ndim = n};
    memcpy(want.shape, shape->v, sizeof want.shape);
    char a[TIDE_SHAPE_TEXT], b[TIDE_SHAPE_TEXT];
    if (n < 1 || first < 0 || memcmp(x->shape + first, shape->v, (size_t)n * sizeof *shape->v))
        return tide_fail(s->cx, TIDE_EARG, "normalized_shape %s is not how input %s ends",
                         tide_shape_text(&want, a), tide_shape_text(x, b));
    for (int i = 1; i <= nparams; i++)
        if (s->in[i] && !tide_same_shape(s->in[i], &want))
            return tide_fail(s->cx, TIDE_EARG, "%s has shape %s, not %s", i == 1 ? "weight" : "bias",
                             tide_shape_text(s->in[i], a), tide_shape_text(&want, b));
    s->out[0] = *x;
    for (int j = 1; j < s->nout; j++) {
        s->out[j] = *x;
        s->out[j].ndim = first;
        s->out[j].dtype = statistics(x->dtype);
    }
    return TIDE_OK;
}

static tide_status last_space(const tide_shapes *s, const tide_shape *shape, tide_space *out) {
    const tide_meta *x = s->in[0];
    int first = x->ndim - (int)shape->n;
    out->ndim = (int8_t)x->ndim;
    out->reduced = (uint8_t)(((1u << x->ndim) - 1) & ~((1u << first) - 1));
    memcpy(out->size, x->shape, sizeof out->size);
    for (int a = 0; a < s->nin + s->nout; a++)
        for (int d = 0; d < TIDE_MAXDIM; d++) {
            bool in = d < x->ndim, full = a == 0 || a == s->nin, param = a > 0 && a < s->nin;
            out->map[a][d] = (int8_t)(!in     ? -1
                                      : full  ? d
                                      : param ? (d >= first ? d - first : -1)
                                              : (d < first ? d : -1));
        }
    return TIDE_OK;
}

RULE(layer_norm_infer) { return last_dims(s, &((const tide_layer_norm_attr *)s->attr)->normalized_shape, 2); }
SPACE(layer_norm) { return last_space(s, &((const tide_layer_norm_attr *)s->attr)->normalized_shape, out); }
PROGRAM(layer_norm) {
    const tide_layer_norm_attr *a = attr;
    tide_val m = mean_r(p, x[0]), d = p_sub(p, x[0], m);
    tide_val r = p_rsqrt(p, p_add(p, mean_r(p, p_mul(p, d, d)), p_like(p, x[0], a->eps)));
    y[0] = affine(p, p_mul(p, d, r), x[1], x[2]);
    y[1] = m;
    y[2] = r;
}
VJP_PROGRAM(layer_norm) { normal_vjp(p, x[0], x[1], y[1], y[2], gy[0], TIDE_AXIS_K, gx); }

RULE(rms_norm_infer) { return last_dims(s, &((const tide_rms_norm_attr *)s->attr)->normalized_shape, 1); }
SPACE(rms_norm) { return last_space(s, &((const tide_rms_norm_attr *)s->attr)->normalized_shape, out); }
PROGRAM(rms_norm) {
    const tide_rms_norm_attr *a = attr;
    double eps = a->eps != 0                    ? a->eps
                 : p_type(p, x[0]) == TIDE_RF64 ? DBL_EPSILON
                 : p->arg[0].dtype == TIDE_F32  ? FLT_EPSILON
                 : p->arg[0].dtype == TIDE_F16  ? 0x1p-10
                                                : 0x1p-7;
    tide_val r = p_rsqrt(p, p_add(p, mean_r(p, p_mul(p, x[0], x[0])), p_like(p, x[0], eps)));
    y[0] = affine(p, p_mul(p, x[0], r), x[1], TIDE_NOVAL);
    y[1] = r;
}

/* ---- over all but the channels ---- */

static tide_status channels(tide_shapes *s) {
    const tide_meta *x = s->in[0];
    tide_status e = want_float(s->cx, x, "input");
    if (e) return e;
    if (x->ndim < 2) return tide_fail(s->cx, TIDE_EARG, "input needs at least the dims (batch, channels)");
    for (int i = 1; i < s->nin; i++)
        if (s->in[i] && (s->in[i]->ndim != 1 || s->in[i]->shape[0] != x->shape[1])) {
            char a[TIDE_SHAPE_TEXT], b[TIDE_SHAPE_TEXT];
            return tide_fail(s->cx, TIDE_EARG, "parameters of shape %s do not fit the channels of input %s",
                             tide_shape_text(s->in[i], a), tide_shape_text(x, b));
        }
    s->out[0] = *x;
    for (int j = 1; j < s->nout; j++)
        s->out[j] =
            (tide_meta){.shape = {x->shape[1]}, .ndim = 1, .dtype = statistics(x->dtype), .device = x->device};
    return TIDE_OK;
}
static tide_status channel_space(const tide_shapes *s, tide_space *out) {
    const tide_meta *x = s->in[0];
    out->ndim = (int8_t)x->ndim;
    out->reduced = (uint8_t)(((1u << x->ndim) - 1) & ~2u);
    memcpy(out->size, x->shape, sizeof out->size);
    for (int a = 0; a < s->nin + s->nout; a++)
        for (int d = 0; d < TIDE_MAXDIM; d++)
            out->map[a][d] = (int8_t)(d >= x->ndim ? -1 : a == 0 || a == s->nin ? d : d == 1 ? 0 : -1);
    return TIDE_OK;
}

RULE(batch_norm_train_infer) {
    const tide_meta *x = s->in[0];
    int64_t n = tide_numel(x);
    if (x->ndim >= 2 && n && n / x->shape[1] == 1)
        return tide_fail(s->cx, TIDE_EARG, "needs more than one value per channel when training");
    return channels(s);
}
SPACE(batch_norm_train) { return channel_space(s, out); }
PROGRAM(batch_norm_train) {
    const tide_batch_norm_train_attr *a = attr;
    tide_val m = mean_r(p, x[0]), d = p_sub(p, x[0], m), var = mean_r(p, p_mul(p, d, d));
    tide_val r = p_rsqrt(p, p_add(p, var, p_like(p, x[0], a->eps)));
    y[0] = affine(p, p_mul(p, d, r), x[1], x[2]);
    y[1] = m;
    y[2] = r;
    y[3] = var;
}
VJP_PROGRAM(batch_norm_train) { normal_vjp(p, x[0], x[1], y[1], y[2], gy[0], TIDE_AXIS_R, gx); }
RULE(batch_norm_eval_infer) { return channels(s); }
SPACE(batch_norm_eval) { return channel_space(s, out); }
PROGRAM(batch_norm_eval) {
    const tide_batch_norm_eval_attr *a = attr;
    int type = p_type(p, x[0]);
    tide_val r = p_rsqrt(p, p_add(p, p_cvt(p, x[2], type), p_const(p, type, a->eps)));
    y[0] = affine(p, p_mul(p, p_sub(p, x[0], p_cvt(p, x[1], type)), r), x[3], x[4]);
}

PROGRAM(moving) {
    int type = p_type(p, x[0]);
    tide_val m = p_slot(p, offsetof(tide_moving_attr, momentum), true, type),
             f = p_slot(p, offsetof(tide_moving_attr, factor), true, type);
    tide_val new = p_mul(p, p_mul(p, m, f), p_cvt(p, x[1], type));
    y[0] = p_add(p, p_mul(p, p_sub(p, p_const(p, type, 1), m), x[0]), new);
}

static tide_status move(tide_context *cx, tide_tensor *running, tide_tensor *value, double momentum,
                        double factor) {
    tide_moving_attr a = {momentum, factor};
    tide_tensor *out = NULL;
    tide_call c = {.op = TIDE_OP_MOVING,
                   .flags = TIDE_INPLACE,
                   .nin = 2,
                   .nout = 1,
                   .in = (tide_tensor *[]){running, value},
                   .out = &out,
                   .attr = &a,
                   .nattr = sizeof a};
    return tide_apply(cx, &c);
}

tide_status batch_norm_compose(tide_context *cx, tide_call *call);
tide_status batch_norm_compose(tide_context *cx, tide_call *call) {
    const tide_batch_norm_attr *a = call->attr;
    tide_tensor *x = call->in[0], *mean = call->in[1], *var = call->in[2], *w = call->in[3], *b = call->in[4];
    if (!a->training) {
        if (!mean || !var)
            return tide_fail(cx, TIDE_EARG, "running_mean and running_var are needed when not training");
        tide_batch_norm_eval_attr e = {a->eps};
        call->out[0] =
            tide_call1(cx, TIDE_OP_BATCH_NORM_EVAL, (tide_tensor *const[]){x, mean, var, w, b}, 5, &e);
        return call->out[0] ? TIDE_OK : tide_pending(cx);
    }
    if (tide_numel(&x->meta) == 0) { /* nothing to learn from */
        call->out[0] = tide_call1(cx, TIDE_OP_CLONE, &x, 1, NULL);
        return call->out[0] ? TIDE_OK : tide_pending(cx);
    }
    tide_batch_norm_train_attr t = {a->eps};
    tide_tensor *out[4] = {NULL};
    tide_call c = {.op = TIDE_OP_BATCH_NORM_TRAIN,
                   .nin = 3,
                   .nout = 4,
                   .in = (tide_tensor *[]){x, w, b},
                   .out = out,
                   .attr = &t,
                   .nattr = sizeof t};
    tide_status e = tide_apply(cx, &c);
    if (e) return e;
    double n = (double)(tide_numel(&x->meta) / (x->meta.shape[1] ? x->meta.shape[1] : 1));
    if (mean) e = move(cx, mean, out[1], a->momentum, 1);
    if (var && !e)
        e = move(cx, var, out[3], a->momentum, n / (n - 1)); /* the running variance is the unbiased one */
    for (int j = 1; j < 4; j++) tide_free(out[j]);
    call->out[0] = out[0];
    if (e) tide_free(out[0]), call->out[0] = NULL;
    return e;
}
