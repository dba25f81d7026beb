/* Max pooling: a window's largest element and where it is. Planes (a channel of an image) are independent. */
#include "op/kernel.h"
#include "program/math.h"
#include <inttypes.h>

_Static_assert(sizeof(tide_max_pool2d_attr) == sizeof(tide_max_pool2d_with_indices_attr),
               "one operation, shown in two ways");

/* The stride is the kernel where none is given. */
static tide_pair stride_of(const tide_max_pool2d_attr *a) {
    return a->stride.v[0] == TIDE_ABSENT ? a->kernel_size : a->stride;
}

static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }

/* The first position of a window that is not in the padding before the image. */
static int64_t first_inside(int64_t start, int64_t step) {
    return start >= 0 ? start : start + (-start + step - 1) / step * step;
}

RULE(max_pool_infer) {
    const tide_max_pool2d_attr *a = s->attr;
    const tide_meta *x = s->in[0];
    tide_pair stride = stride_of(a);
    char t[TIDE_SHAPE_TEXT];
    if (x->dtype == TIDE_BOOL) return tide_fail(s->cx, TIDE_EARG, "takes numbers, not bool");
    bool sizes = x->ndim == 3 || x->ndim == 4;
    for (int d = x->ndim - 3; sizes && d < x->ndim; d++) sizes = x->shape[d] > 0;
    if (!sizes)
        return tide_fail(s->cx, TIDE_EARG,
                         "input must be (batch, channels, rows, columns) or without batch, and only the batch "
                         "may be empty, not %s",
                         tide_shape_text(x, t));
    s->out[0] = *x;
    for (int i = 0; i < 2; i++) {
        int64_t k = a->kernel_size.v[i], p = a->padding.v[i], dil = a->dilation.v[i],
                in = x->shape[x->ndim - 2 + i];
        if (k < 1 || stride.v[i] < 1 || dil < 1)
            return tide_fail(s->cx, TIDE_EARG, "kernel_size, stride and dilation must be positive");
        int64_t window = dil * (k - 1) + 1;
        if (p < 0 || p > window / 2)
            return tide_fail(s->cx, TIDE_EARG,
                             "padding must be 0 to half the window of %" PRId64 ", not %" PRId64, window, p);
        int64_t n = floor_div(in + 2 * p - window + (a->ceil_mode ? stride.v[i] - 1 : 0), stride.v[i]) + 1;
        if (a->ceil_mode && (n - 1) * stride.v[i] >= in + p)
            n--; /* windows begin inside the image or its padding before it */
        if (n < 1)
            return tide_fail(s->cx, TIDE_EARG,
                             "the window of %" PRId64 " positions is larger than the padded input %s", window,
                             tide_shape_text(x, t));
        for (int64_t start = -p; start < 0 && n > 0; start += stride.v[i])
            if (first_inside(start, dil) >= in)
                return tide_fail(s->cx, TIDE_EARG,
                                 "a window of dilation %" PRId64 " lies in the padding of %s alone", dil,
                                 tide_shape_text(x, t));
        s->out[0].shape[x->ndim - 2 + i] = n;
    }
    s->out[1] = s->out[0];
    s->out[1].dtype = TIDE_I64;
    return TIDE_OK;
}

typedef struct {
    tide_dtype dtype;
    const void *x;
    void *y;
    int64_t *at;
    int64_t planes, h, w, oh, ow;
    tide_pair kernel, stride, padding, dilation;
    kernel_planes cut;
    tide_context *cx;
} pooling;

/* Floats are compared as integers of the same order, which takes no branch: NaN is the largest, both zeros are
 * equal. */
static int32_t order_f32(float v) {
    int32_t b = (int32_t)tide_bits_f32(v + 0.0f);
    return v != v ? INT32_MAX : b ^ (int32_t)((uint32_t)(b >> 31) >> 1);
}
static int64_t order_f64(double v) {
    int64_t b = (int64_t)tide_bits_f64(v + 0.0);
    return v != v ? INT64_MAX : b ^ (int64_t)((uint64_t)(b >> 63) >> 1);
}
static int32_t order_f16(uint16_t v) { return order_f32(tide_f32_of_f16(v)); }
static int32_t order_bf16(uint16_t v) { return order_f32(tide_f32_of_bf16(v)); }

/* One place of the window after the other, over a row of results; the first of equals stays. Where nothing
 * beats the lowest, all were that: the first place. */
#define POOL(T, N, order, lowest)                                                                    \
    for (int64_t oy = t.row; oy < t.rows_end; oy++) {                                                \
        const T *x = (const T *)p->x + c * p->h * p->w;                                              \
        T *y = (T *)p->y + (c * p->oh + oy) * p->ow + t.col;                                         \
        int64_t *at = p->at + (c * p->oh + oy) * p->ow + t.col;                                      \
        N *most = scratch;                                                                           \
        int64_t top = oy * p->stride.v[0] - p->padding.v[0];                                         \
        for (int64_t ox = 0; ox < n; ox++) {                                                         \
            most[ox] = lowest;                                                                       \
            at[ox] = first_inside(top, p->dilation.v[0]) * p->w +                                    \
                     first_inside((t.col + ox) * sw - p->padding.v[1], p->dilation.v[1]);            \
        }                                                                                            \
        for (int64_t i = 0; i < p->kernel.v[0]; i++) {                                               \
            int64_t iy = top + i * p->dilation.v[0];                                                 \
            if (iy < 0 || iy >= p->h) continue;                                                      \
            for (int64_t j = 0; j < p->kernel.v[1]; j++) {                                           \
                int64_t shift = t.col * sw + j * p->dilation.v[1] - p->padding.v[1],                 \
                        a = shift < 0 ? (-shift + sw - 1) / sw : 0, b = (p->w - 1 - shift) / sw + 1; \
                if (b > n) b = n;                                                                    \
                if (shift > p->w - 1) b = 0;                                                         \
                for (int64_t ox = a; ox < b; ox++) {                                                 \
                    int64_t here = iy * p->w + shift + ox * sw;                                      \
                    N v = order(x[here]), best = most[ox];                                           \
                    int64_t was = at[ox];                                                            \
                    most[ox] = v > best ? v : best;                                                  \
                    at[ox] = v > best ? here : was;                                                  \
                }                                                                                    \
            }                                                                                        \
        }                                                                                            \
        for (int64_t ox = 0; ox < n; ox++) y[ox] = x[at[ox]];                                        \
    }
#define SAME(v) (v)

static void pool_tile(void *arg, int tile, void *scratch) {
    const pooling own = *(const pooling *)arg, *p = &own; /* a copy, which stores through `at` cannot change */
    kernel_part t = kernel_part_of(&p->cut, tile);
    int64_t sw = p->stride.v[1], n = t.cols_end - t.col;
    for (int64_t c = t.plane; c < t.planes_end; c++) {
        switch (p->dtype) {
        case TIDE_F32: POOL(float, int32_t, order_f32, INT32_MIN) break;
        case TIDE_F64: POOL(double, int64_t, order_f64, INT64_MIN) break;
        case TIDE_F16: POOL(uint16_t, int32_t, order_f16, INT32_MIN) break;
        case TIDE_BF16: POOL(uint16_t, int32_t, order_bf16, INT32_MIN) break;
        case TIDE_I64: POOL(int64_t, int64_t, SAME, INT64_MIN) break;
        case TIDE_I32: POOL(int32_t, int32_t, SAME, INT32_MIN) break;
        case TIDE_I8: POOL(int8_t, int8_t, SAME, INT8_MIN) break;
        default: POOL(uint8_t, uint8_t, SAME, 0) break;
        }
    }
}

static int64_t planes_of(const tide_meta *m) { return m->ndim == 4 ? m->shape[0] * m->shape[1] : m->shape[0]; }

static tide_status max_pool(tide_context *cx, const tide_call *call) {
    const tide_max_pool2d_attr *a = call->attr;
    const tide_meta *m = &call->in[0]->meta, *o = &call->out[0]->meta;
    tide_tensor *x = kernel_packed(cx, call->in[0]), *y = NULL, *at = NULL;
    if (x) y = kernel_result(cx, call->out[0], (tide_dtype)o->dtype);
    if (y) at = kernel_result(cx, call->out[1], TIDE_I64);
    pooling p = {.dtype = (tide_dtype)m->dtype,
                 .planes = planes_of(m),
                 .h = m->shape[m->ndim - 2],
                 .w = m->shape[m->ndim - 1],
                 .oh = o->shape[o->ndim - 2],
                 .ow = o->shape[o->ndim - 1],
                 .kernel = a->kernel_size,
                 .stride = stride_of(a),
                 .padding = a->padding,
                 .dilation = a->dilation};
    double each = (double)p.kernel.v[0] * (double)p.kernel.v[1];
    p.cut = kernel_cut(cx, p.planes, p.oh, p.ow, each);
    tide_status e = at ? TIDE_OK : tide_pending(cx);
    if (!e)
        p.x = tide_data(x), p.y = tide_data(y), p.at = (int64_t *)(void *)tide_data(at),
        e = tide_run_tiles(cx, kernel_parts(&p.cut), 2 * each * (double)p.planes * (double)(p.oh * p.ow),
                           (size_t)p.cut.wide * 8, pool_tile, &p);
    tide_free(x);
    e = kernel_result_end(cx, y, call->out[0], e);
    return kernel_result_end(cx, at, call->out[1], e);
}
KERNEL(max_pool2d) { return max_pool(cx, call); }
KERNEL(max_pool2d_with_indices) { return max_pool(cx, call); }
VJP(max_pool) {
    const tide_meta *m = &call->in[0]->meta;
    tide_max_pool2d_grad_attr a = {{{m->shape[m->ndim - 2], m->shape[m->ndim - 1]}}};
    return kernel_apply(cx, TIDE_OP_MAX_POOL2D_GRAD, (tide_tensor *[]){gy[0], call->out[1]}, 2, &a, &gx[0]);
}

/* ---- the gradient: back to where the elements were ---- */

RULE(max_pool2d_grad_infer) {
    const tide_max_pool2d_grad_attr *a = s->attr;
    s->out[0] = *s->in[0];
    for (int i = 0; i < 2; i++) s->out[0].shape[s->in[0]->ndim - 2 + i] = a->size.v[i];
    return want_float(s->cx, s->in[0], "input");
}

#define BACK(T, sum)                                                   \
    {                                                                  \
        const T *g = (const T *)p->x + c * n;                          \
        T *to = (T *)p->y + c * p->h * p->w;                           \
        memset(to, 0, (size_t)(p->h * p->w) * sizeof *to);             \
        for (int64_t i = 0; i < n && !kernel_stopped(p->cx, i); i++) { \
            T u = to[at[i]], v = g[i];                                 \
            to[at[i]] = sum;                                           \
        }                                                              \
    }
/* Sums have the order of the results, so planes are not cut. */
static void back_tile(void *arg, int tile, void *scratch) {
    const pooling own = *(const pooling *)arg, *p = &own;
    kernel_part t = kernel_part_of(&p->cut, tile);
    int64_t n = p->oh * p->ow;
    for (int64_t c = t.plane; c < t.planes_end; c++) {
        const int64_t *at = p->at + c * n;
        switch (p->dtype) {
        case TIDE_F32: BACK(float, u + v) break;
        case TIDE_F64: BACK(double, u + v) break;
        case TIDE_F16: BACK(uint16_t, tide_f16_of_f32(tide_f32_of_f16(u) + tide_f32_of_f16(v))) break;
        default: BACK(uint16_t, tide_bf16_of_f32(tide_f32_of_bf16(u) + tide_f32_of_bf16(v))) break;
        }
    }
}

KERNEL(max_pool2d_grad) {
    const tide_meta *o = &call->in[0]->meta, *m = &call->out[0]->meta;
    tide_tensor *g = kernel_packed(cx, call->in[0]), *at = NULL, *gx = NULL;
    if (g) at = kernel_packed(cx, call->in[1]);
    if (at) gx = kernel_result(cx, call->out[0], (tide_dtype)m->dtype);
    pooling p = {.dtype = (tide_dtype)m->dtype,
                 .planes = planes_of(m),
                 .h = m->shape[m->ndim - 2],
                 .w = m->shape[m->ndim - 1],
                 .oh = o->shape[o->ndim - 2],
                 .ow = o->shape[o->ndim - 1],
                 .cx = cx};
    double each = (double)(p.h * p.w + p.oh * p.ow);
    p.cut = kernel_cut(cx, p.planes, 1, 1, each);
    tide_status e = gx ? TIDE_OK : tide_pending(cx);
    if (!e)
        p.x = tide_data(g), p.y = tide_data(gx), p.at = (int64_t *)(void *)tide_data(at),
        e = tide_run_tiles(cx, kernel_parts(&p.cut), each * (double)p.planes, 0, back_tile, &p);
    tide_free(g), tide_free(at);
    return kernel_result_end(cx, gx, call->out[0], e);
}

static tide_tensor *planes_as_rows(tide_context *cx, tide_tensor *t) {
    int64_t n = t->meta.shape[t->meta.ndim - 2] * t->meta.shape[t->meta.ndim - 1];
    return kernel_reshape(cx, t, &(tide_meta){.ndim = 2, .shape = {planes_of(&t->meta), n}});
}
/* Linear in its input: the transpose picks the elements out of the planes. */
VJP(max_pool2d_grad) {
    tide_gather_attr a = {1};
    tide_tensor *g = planes_as_rows(cx, gy[0]), *at = g ? planes_as_rows(cx, call->in[1]) : NULL, *r = NULL;
    kernel_apply(cx, TIDE_OP_GATHER, (tide_tensor *[]){g, at}, 2, &a, &r);
    gx[0] = r ? kernel_reshape(cx, r, &call->in[0]->meta) : NULL;
    tide_free(g), tide_free(at), tide_free(r);
    return gx[0] ? TIDE_OK : tide_pending(cx);
}
