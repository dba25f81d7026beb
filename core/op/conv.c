/* Convolutions: shapes and gradients; the work is in device/cpu/conv.c. conv1d is conv2d of one row. Halves are
 * computed in float32 and rounded once. */
#include "op/kernel.h"
#include "device/cpu/conv.h"
#include <inttypes.h>

_Static_assert(sizeof(tide_convolution_attr) == sizeof(tide_convolution_input_attr) &&
                   sizeof(tide_convolution_attr) == sizeof(tide_convolution_weight_attr) &&
                   sizeof(tide_conv1d_attr) == sizeof(tide_conv2d_attr),
               "the directions share one struct");

/* ---- conv1d, conv2d: what the user gives, worked out ---- */

static tide_status check(tide_context *cx, const tide_meta *x, const tide_meta *w, const tide_meta *b,
                         int spatial, const tide_conv2d_attr *a) {
    char s[TIDE_SHAPE_TEXT], t[TIDE_SHAPE_TEXT];
    if (w->ndim != spatial + 2)
        return tide_fail(cx, TIDE_EARG, "weight must have %d dims, not %d", spatial + 2, w->ndim);
    if (x->ndim != spatial + 2 && x->ndim != spatial + 1)
        return tide_fail(cx, TIDE_EARG, "input must have %d or %d dims, not %d", spatial + 2, spatial + 1,
                         x->ndim);
    for (int i = 2 - spatial; i < 2; i++) {
        if (a->stride.v[i] < 1)
            return tide_fail(cx, TIDE_EARG, "stride must be positive, not %" PRId64, a->stride.v[i]);
        if (a->dilation.v[i] < 1)
            return tide_fail(cx, TIDE_EARG, "dilation must be positive, not %" PRId64, a->dilation.v[i]);
        if (a->padding.v[i] < 0)
            return tide_fail(cx, TIDE_EARG, "padding must not be negative, but is %" PRId64, a->padding.v[i]);
        if (a->pad == TIDE_CONV2D_SAME && a->stride.v[i] != 1)
            return tide_fail(cx, TIDE_EARG, "pad = \"same\" takes stride 1");
    }
    if (a->groups < 1) return tide_fail(cx, TIDE_EARG, "groups must be positive, not %" PRId64, a->groups);
    int64_t channels = x->shape[x->ndim - spatial - 1];
    if (w->shape[0] % a->groups || w->shape[0] < a->groups)
        return tide_fail(cx, TIDE_EARG, "%" PRId64 " groups do not divide the %" PRId64 " results of weight %s",
                         a->groups, w->shape[0], tide_shape_text(w, s));
    if (w->shape[1] * a->groups != channels)
        return tide_fail(
            cx, TIDE_EARG, "input %s has %" PRId64 " channels, weight %s in %" PRId64 " groups takes %" PRId64,
            tide_shape_text(x, s), channels, tide_shape_text(w, t), a->groups, w->shape[1] * a->groups);
    if (b && (b->ndim != 1 || b->shape[0] != w->shape[0]))
        return tide_fail(cx, TIDE_EARG, "bias %s does not fit weight %s", tide_shape_text(b, s),
                         tide_shape_text(w, t));
    return TIDE_OK;
}

static void work_out(const tide_conv2d_attr *a, const tide_meta *w, int spatial, tide_convolution_attr *c) {
    *c = (tide_convolution_attr){.stride = a->stride, .dilation = a->dilation, .groups = a->groups};
    for (int i = 0; i < 2; i++) {
        int64_t all = a->dilation.v[i] * (w->shape[w->ndim - 2 + i] - 1);
        if (i < 2 - spatial)
            c->stride.v[i] = c->dilation.v[i] = 1; /* the row of conv1d */
        else if (a->pad == TIDE_CONV2D_SAME)
            c->before.v[i] = all / 2, c->after.v[i] = all - all / 2;
        else if (a->pad == TIDE_CONV2D_GIVEN)
            c->before.v[i] = c->after.v[i] = a->padding.v[i];
    }
}

static tide_tensor *unsqueezed(tide_context *cx, tide_tensor *t, int64_t dim) {
    tide_unsqueeze_attr u = {dim};
    return t ? tide_call1(cx, TIDE_OP_UNSQUEEZE, &t, 1, &u) : NULL;
}
static tide_tensor *squeezed(tide_context *cx, tide_tensor *t, int64_t dim) {
    tide_squeeze_attr u = {{1, {dim}}};
    return t ? tide_call1(cx, TIDE_OP_SQUEEZE, &t, 1, &u) : NULL;
}
/* t is replaced by what was made of it. */
static void become(tide_tensor **t, tide_tensor *made) {
    tide_free(*t);
    *t = made;
}

static tide_status convolve(tide_context *cx, tide_call *call, int spatial) {
    const tide_conv2d_attr *a = call->attr;
    tide_tensor *x = call->in[0], *w = call->in[1], *b = call->in[2], *y = NULL;
    tide_convolution_attr c;
    tide_status e = check(cx, &x->meta, &w->meta, b ? &b->meta : NULL, spatial, a);
    if (e) return e;
    bool batch = x->meta.ndim == spatial + 2;
    work_out(a, &w->meta, spatial, &c);
    tide_keep(x), tide_keep(w);
    if (!batch) become(&x, unsqueezed(cx, x, 0));
    if (spatial == 1) become(&x, unsqueezed(cx, x, -2)), become(&w, unsqueezed(cx, w, -2));
    e = kernel_apply(cx, TIDE_OP_CONVOLUTION, (tide_tensor *[]){x, w, b}, 3, &c, &y);
    if (spatial == 1) become(&y, squeezed(cx, y, -2));
    if (!batch) become(&y, squeezed(cx, y, 0));
    tide_free(x), tide_free(w);
    call->out[0] = y;
    return y ? TIDE_OK : tide_pending(cx);
}
COMPOSE(conv2d) { return convolve(cx, call, 2); }
COMPOSE(conv1d) { return convolve(cx, call, 1); }

/* ---- conv_transpose1d, conv_transpose2d: the gradient of a convolution's input, as an operation ---- */

_Static_assert(sizeof(tide_conv_transpose1d_attr) == sizeof(tide_conv_transpose2d_attr), "one struct");

static tide_status transposed(tide_context *cx, tide_call *call, int spatial) {
    const tide_conv_transpose2d_attr *a = call->attr;
    tide_tensor *x = call->in[0], *w = call->in[1], *b = call->in[2], *y = NULL;
    char s[TIDE_SHAPE_TEXT], t[TIDE_SHAPE_TEXT];
    if (w->meta.ndim != spatial + 2)
        return tide_fail(cx, TIDE_EARG, "weight must have %d dims, not %d", spatial + 2, w->meta.ndim);
    int64_t results = a->groups > 0 ? w->meta.shape[1] * a->groups : 0;
    tide_meta seen = w->meta; /* as the convolution back from the result sees input: what it makes */
    tide_conv2d_attr c = {
        .stride = a->stride, .padding = a->padding, .dilation = a->dilation, .groups = a->groups};
    tide_meta from = x->meta; /* its input has the channels of the result */
    if (from.ndim == spatial + 2 || from.ndim == spatial + 1) from.shape[from.ndim - spatial - 1] = results;
    tide_status e = check(cx, &from, &seen, NULL, spatial, &c);
    if (e) return e;
    if (x->meta.shape[x->meta.ndim - spatial - 1] != w->meta.shape[0])
        return tide_fail(cx, TIDE_EARG, "input %s has not the %" PRId64 " channels of weight %s",
                         tide_shape_text(&x->meta, s), w->meta.shape[0], tide_shape_text(&w->meta, t));
    if (b && (b->meta.ndim != 1 || b->meta.shape[0] != results))
        return tide_fail(cx, TIDE_EARG, "bias %s does not fit the %" PRId64 " results of weight %s",
                         tide_shape_text(&b->meta, s), results, tide_shape_text(&w->meta, t));
    tide_convolution_attr v;
    work_out(&c, &w->meta, spatial, &v);
    v.size = (tide_pair){{1, 1}};
    for (int i = 2 - spatial; i < 2; i++) {
        int64_t more = a->output_padding.v[i];
        if (more < 0 || (more >= a->stride.v[i] && more >= a->dilation.v[i]))
            return tide_fail(cx, TIDE_EARG,
                             "output_padding %" PRId64 " must be smaller than stride or dilation", more);
        v.size.v[i] = (x->meta.shape[x->meta.ndim - 2 + i] - 1) * a->stride.v[i] - 2 * a->padding.v[i] +
                      a->dilation.v[i] * (w->meta.shape[w->meta.ndim - 2 + i] - 1) + more + 1;
        if (more >= a->stride.v[i]) v.after.v[i] -= more;
        if (v.size.v[i] < 1)
            return tide_fail(cx, TIDE_EARG, "the result would have size %" PRId64, v.size.v[i]);
    }
    bool batch = x->meta.ndim == spatial + 2;
    tide_keep(x), tide_keep(w), tide_keep(b);
    if (!batch) become(&x, unsqueezed(cx, x, 0));
    if (spatial == 1) become(&x, unsqueezed(cx, x, -2)), become(&w, unsqueezed(cx, w, -2));
    e = kernel_apply(cx, TIDE_OP_CONVOLUTION_INPUT, (tide_tensor *[]){x, w}, 2, &v, &y);
    if (spatial == 1) become(&y, squeezed(cx, y, -2));
    if (!batch) become(&y, squeezed(cx, y, 0));
    if (b && y) {
        for (int i = 0; i < spatial; i++) become(&b, unsqueezed(cx, b, -1));
        become(&y, b ? OP1(cx, TIDE_OP_ADD, tide_op_table[TIDE_OP_ADD].attr0, y, b) : NULL);
    }
    tide_free(x), tide_free(w), tide_free(b);
    call->out[0] = y;
    return y ? TIDE_OK : tide_pending(cx);
}
COMPOSE(conv_transpose2d) { return transposed(cx, call, 2); }
COMPOSE(conv_transpose1d) { return transposed(cx, call, 1); }

/* ---- the three directions ---- */

static tide_status want_computable(tide_context *cx, const tide_meta *a, const tide_meta *b) {
    if (a->dtype != b->dtype)
        return tide_fail(cx, TIDE_EARG, "dtypes %s and %s differ", tide_dtype_name((tide_dtype)a->dtype),
                         tide_dtype_name((tide_dtype)b->dtype));
    if (a->dtype == TIDE_I64) return TIDE_OK;
    return want_float(cx, a, "input and weight (other than int64)");
}

RULE(convolution_infer) {
    const tide_convolution_attr *a = s->attr;
    const tide_meta *x = s->in[0], *w = s->in[1];
    tide_meta *y = &s->out[0];
    tide_status e = want_computable(s->cx, x, w);
    if (!e && s->in[2]) e = want_computable(s->cx, x, s->in[2]);
    *y = *x;
    y->shape[1] = w->shape[0];
    for (int i = 0; i < 2 && !e; i++) {
        int64_t have = x->shape[2 + i] + a->before.v[i] + a->after.v[i],
                need = a->dilation.v[i] * (w->shape[2 + i] - 1) + 1;
        if (w->shape[2 + i] < 1 || have < need)
            e = tide_fail(s->cx, TIDE_EARG,
                          "the kernel reaches over %" PRId64 " positions, the padded input has %" PRId64, need,
                          have);
        y->shape[2 + i] = (have - need) / a->stride.v[i] + 1;
    }
    return e;
}
RULE(convolution_input_infer) {
    const tide_convolution_attr *a = s->attr;
    s->out[0] = *s->in[0];
    s->out[0].shape[1] = s->in[1]->shape[1] * a->groups;
    s->out[0].shape[2] = a->size.v[0];
    s->out[0].shape[3] = a->size.v[1];
    return want_float(s->cx, s->in[0], "input");
}
RULE(convolution_weight_infer) {
    const tide_convolution_attr *a = s->attr;
    s->out[0] = *s->in[0];
    s->out[0].shape[0] = s->in[0]->shape[1];
    s->out[0].shape[1] = s->in[1]->shape[1] / a->groups;
    s->out[0].shape[2] = a->size.v[0];
    s->out[0].shape[3] = a->size.v[1];
    return TIDE_OK;
}

static tide_conv geometry(const tide_convolution_attr *a, const tide_meta *x, const tide_meta *w,
                          const tide_meta *y) {
    return (tide_conv){.n = x->shape[0],
                       .groups = a->groups,
                       .ic = x->shape[1],
                       .h = x->shape[2],
                       .w = x->shape[3],
                       .oc = w->shape[0],
                       .oh = y->shape[2],
                       .ow = y->shape[3],
                       .kh = w->shape[2],
                       .kw = w->shape[3],
                       .stride_h = a->stride.v[0],
                       .stride_w = a->stride.v[1],
                       .dilation_h = a->dilation.v[0],
                       .dilation_w = a->dilation.v[1],
                       .top = a->before.v[0],
                       .left = a->before.v[1],
                       .bottom = a->after.v[0],
                       .right = a->after.v[1]};
}

/* Operands and the result packed, in the dtype that is computed in. */
typedef struct {
    tide_tensor *a, *b, *c, *out;
    tide_dtype dtype;
} operands;

static tide_status open_operands(tide_context *cx, const tide_call *call, operands *o) {
    tide_dtype d = (tide_dtype)call->in[0]->meta.dtype;
    *o = (operands){.dtype = d == TIDE_F16 || d == TIDE_BF16 ? TIDE_F32 : d};
    o->a = kernel_packed_as(cx, call->in[0], o->dtype);
    o->b = o->a ? kernel_packed_as(cx, call->in[1], o->dtype) : NULL;
    if (o->b && call->nin > 2 && call->in[2]) o->c = kernel_packed_as(cx, call->in[2], o->dtype);
    if (o->b && !tide_pending(cx)) o->out = kernel_result(cx, call->out[0], o->dtype);
    return o->out ? TIDE_OK : tide_pending(cx);
}
static tide_status close_operands(tide_context *cx, const tide_call *call, operands *o, tide_status e) {
    tide_free(o->a), tide_free(o->b), tide_free(o->c);
    return kernel_result_end(cx, o->out, call->out[0], e);
}

KERNEL(convolution) {
    operands o;
    tide_conv d = geometry(call->attr, &call->in[0]->meta, &call->in[1]->meta, &call->out[0]->meta);
    tide_status e = open_operands(cx, call, &o);
    if (!e)
        e = tide_conv_run(cx, &d, o.dtype, tide_data(o.a), tide_data(o.b), o.c ? tide_data(o.c) : NULL,
                          tide_data(o.out));
    return close_operands(cx, call, &o, e);
}
KERNEL(convolution_input) {
    operands o;
    tide_conv d = geometry(call->attr, &call->out[0]->meta, &call->in[1]->meta, &call->in[0]->meta);
    tide_status e = open_operands(cx, call, &o);
    if (!e) e = tide_conv_run_input(cx, &d, o.dtype, tide_data(o.a), tide_data(o.b), tide_data(o.out));
    return close_operands(cx, call, &o, e);
}
KERNEL(convolution_weight) {
    operands o;
    tide_conv d = geometry(call->attr, &call->in[1]->meta, &call->out[0]->meta, &call->in[0]->meta);
    tide_status e = open_operands(cx, call, &o);
    if (!e) e = tide_conv_run_weight(cx, &d, o.dtype, tide_data(o.a), tide_data(o.b), tide_data(o.out));
    return close_operands(cx, call, &o, e);
}

/* Each direction is linear in both operands, so the gradients are the other two. */
static tide_status direction(tide_context *cx, int op, const void *attr, const tide_meta *size, tide_tensor *a,
                             tide_tensor *b, tide_tensor **out) {
    tide_convolution_attr c = *(const tide_convolution_attr *)attr;
    if (size) c.size = (tide_pair){{size->shape[2], size->shape[3]}};
    return kernel_apply(cx, op, (tide_tensor *[]){a, b, NULL}, op == TIDE_OP_CONVOLUTION ? 3 : 2, &c, out);
}
VJP(convolution) {
    tide_tensor *x = call->in[0], *w = call->in[1];
    tide_status e = TIDE_OK;
    if (need & 1) e = direction(cx, TIDE_OP_CONVOLUTION_INPUT, call->attr, &x->meta, gy[0], w, &gx[0]);
    if (!e && (need & 2)) e = direction(cx, TIDE_OP_CONVOLUTION_WEIGHT, call->attr, &w->meta, gy[0], x, &gx[1]);
    if (e || !(need & 4)) return e;
    tide_sum_attr sum = *(const tide_sum_attr *)tide_op_table[TIDE_OP_SUM].attr0;
    sum.dim = (tide_dims){3, {0, 2, 3}};
    return kernel_apply(cx, TIDE_OP_SUM, gy, 1, &sum, &gx[2]);
}
VJP(convolution_input) {
    tide_tensor *g = call->in[0], *w = call->in[1];
    tide_status e = TIDE_OK;
    if (need & 1) e = direction(cx, TIDE_OP_CONVOLUTION, call->attr, NULL, gy[0], w, &gx[0]);
    if (!e && (need & 2)) e = direction(cx, TIDE_OP_CONVOLUTION_WEIGHT, call->attr, &w->meta, g, gy[0], &gx[1]);
    return e;
}
VJP(convolution_weight) {
    tide_tensor *g = call->in[0], *x = call->in[1];
    tide_status e = TIDE_OK;
    if (need & 1) e = direction(cx, TIDE_OP_CONVOLUTION, call->attr, NULL, x, gy[0], &gx[0]);
    if (!e && (need & 2)) e = direction(cx, TIDE_OP_CONVOLUTION_INPUT, call->attr, &x->meta, g, gy[0], &gx[1]);
    return e;
}
