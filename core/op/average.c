/* Average pooling: the mean of each window, and its transpose. Both are linear: each is the other's gradient.
 * Planes (a channel of an image) are independent; a window's elements are added row by row. */
#include "op/kernel.h"
#include "program/math.h"
#include <inttypes.h>

_Static_assert(sizeof(tide_average_attr) == sizeof(tide_average_back_attr), "one struct for both directions");

/* ---- what the user gives, worked out ---- */

static tide_status want_planes(tide_context *cx, const tide_meta *x) {
    char t[TIDE_SHAPE_TEXT];
    bool sizes = x->ndim == 3 || x->ndim == 4;
    for (int d = x->ndim - 3; sizes && d < x->ndim; d++) sizes = x->shape[d] > 0;
    if (!sizes)
        return tide_fail(
            cx, TIDE_EARG,
            "input must be (batch, channels, rows, columns) or without batch, and only the batch may be "
            "empty, not %s",
            tide_shape_text(x, t));
    if (x->dtype == TIDE_I64) return TIDE_OK;
    return want_float(cx, x, "input (other than int64)");
}

COMPOSE(avg_pool2d) {
    const tide_avg_pool2d_attr *a = call->attr;
    const tide_meta *x = &call->in[0]->meta;
    tide_status e = want_planes(cx, x);
    if (e) return e;
    tide_average_attr w = {.kernel = a->kernel_size,
                           .stride = a->stride.v[0] == TIDE_ABSENT ? a->kernel_size : a->stride,
                           .padding = a->padding,
                           .include = a->count_include_pad,
                           .divisor = a->divisor_override == TIDE_ABSENT ? 0 : a->divisor_override};
    if (a->divisor_override == 0) return tide_fail(cx, TIDE_EARG, "divisor_override must not be 0");
    for (int i = 0; i < 2; i++) {
        int64_t k = w.kernel.v[i], s = w.stride.v[i], p = w.padding.v[i], in = x->shape[x->ndim - 2 + i];
        if (k < 1 || s < 1) return tide_fail(cx, TIDE_EARG, "kernel_size and stride must be positive");
        if (p < 0 || p > k / 2)
            return tide_fail(cx, TIDE_EARG, "padding must be 0 to half the window of %" PRId64 ", not %" PRId64,
                             k, p);
        if (in + 2 * p < k)
            return tide_fail(cx, TIDE_EARG,
                             "the window of %" PRId64 " positions is larger than the padded input's %" PRId64,
                             k, in + 2 * p);
        int64_t n = (in + 2 * p - k + (a->ceil_mode ? s - 1 : 0)) / s + 1;
        if (a->ceil_mode && (n - 1) * s >= in + p)
            n--; /* windows begin inside the image or its padding before it */
        w.size.v[i] = n;
    }
    return kernel_apply(cx, TIDE_OP_AVERAGE, call->in, 1, &w, &call->out[0]);
}

COMPOSE(adaptive_avg_pool2d) {
    const tide_adaptive_avg_pool2d_attr *a = call->attr;
    tide_status e = want_planes(cx, &call->in[0]->meta);
    if (e) return e;
    if (a->output_size.v[0] < 1 || a->output_size.v[1] < 1)
        return tide_fail(cx, TIDE_EARG, "output_size must be positive");
    tide_average_attr w = {.size = a->output_size, .adaptive = 1};
    return kernel_apply(cx, TIDE_OP_AVERAGE, call->in, 1, &w, &call->out[0]);
}

/* ---- the work ---- */

RULE(average_infer) {
    const tide_average_attr *a = s->attr;
    s->out[0] = *s->in[0];
    for (int i = 0; i < 2; i++) s->out[0].shape[s->in[0]->ndim - 2 + i] = a->size.v[i];
    return TIDE_OK;
}

typedef struct {
    const tide_average_attr *a;
    tide_dtype dtype;
    bool back;
    const void *x;
    void *y;
    int64_t h, w, oh, ow; /* h, w: the image, whichever direction */
    kernel_planes cut;
} averaging;

typedef struct {
    int64_t from, to, count;
} span;
static span span_of(const tide_average_attr *a, int dim, int64_t o, int64_t in, int64_t out) {
    if (a->adaptive) {
        span s = {o * in / out, ((o + 1) * in + out - 1) / out, 0};
        s.count = s.to - s.from;
        return s;
    }
    int64_t p = a->padding.v[dim], start = o * a->stride.v[dim] - p, end = start + a->kernel.v[dim];
    if (end > in + p) end = in + p;
    span s = {start < 0 ? 0 : start, end > in ? in : end, 0};
    s.count = a->include ? end - start : s.to - s.from;
    return s;
}

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/* The first window that ends behind `at`. */
static int64_t first_over(const tide_average_attr *a, int dim, int64_t at, int64_t in, int64_t out) {
    int64_t low = 0, high = out;
    while (low < high) {
        int64_t mid = (low + high) / 2;
        if (span_of(a, dim, mid, in, out).to > at)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

/* Each mean of a part; or each place of a part of the image, which takes its shares in the order of windows. */
#define AVERAGE(T)                                                                                     \
    if (p->back) {                                                                                     \
        const T *g = (const T *)p->x + c * p->oh * p->ow;                                              \
        T *x = (T *)p->y + c * p->h * p->w;                                                            \
        for (int64_t i = t.row; i < t.rows_end; i++)                                                   \
            memset(x + i * p->w + t.col, 0, (size_t)(t.cols_end - t.col) * sizeof *x);                 \
        for (int64_t oy = top; oy < p->oh; oy++) {                                                     \
            span r = span_of(p->a, 0, oy, p->h, p->oh);                                                \
            if (r.from >= t.rows_end) break;                                                           \
            for (int64_t ox = left; ox < p->ow; ox++) {                                                \
                span q = span_of(p->a, 1, ox, p->w, p->ow);                                            \
                if (q.from >= t.cols_end) break;                                                       \
                T share = g[oy * p->ow + ox] / (T)(p->a->divisor ? p->a->divisor : r.count * q.count); \
                int64_t end = smaller(q.to, t.cols_end);                                               \
                for (int64_t i = larger(r.from, t.row); i < smaller(r.to, t.rows_end); i++)            \
                    for (int64_t j = larger(q.from, t.col); j < end; j++) x[i * p->w + j] += share;    \
            }                                                                                          \
        }                                                                                              \
    } else {                                                                                           \
        const T *x = (const T *)p->x + c * p->h * p->w;                                                \
        T *y = (T *)p->y + c * p->oh * p->ow;                                                          \
        for (int64_t oy = t.row; oy < t.rows_end; oy++) {                                              \
            span r = span_of(p->a, 0, oy, p->h, p->oh);                                                \
            for (int64_t ox = t.col; ox < t.cols_end; ox++) {                                          \
                span q = span_of(p->a, 1, ox, p->w, p->ow);                                            \
                T sum = 0;                                                                             \
                for (int64_t i = r.from; i < r.to; i++)                                                \
                    for (int64_t j = q.from; j < q.to; j++) sum += x[i * p->w + j];                    \
                y[oy * p->ow + ox] = sum / (T)(p->a->divisor ? p->a->divisor : r.count * q.count);     \
            }                                                                                          \
        }                                                                                              \
    }
static void average_tile(void *arg, int tile, void *scratch) {
    const averaging *p = arg;
    kernel_part t = kernel_part_of(&p->cut, tile);
    int64_t top = p->back ? first_over(p->a, 0, t.row, p->h, p->oh) : 0,
            left = p->back ? first_over(p->a, 1, t.col, p->w, p->ow) : 0;
    for (int64_t c = t.plane; c < t.planes_end; c++) {
        if (p->dtype == TIDE_F64) {
            AVERAGE(double)
        } else if (p->dtype == TIDE_F32) {
            AVERAGE(float)
        } else {
            AVERAGE(int64_t)
        }
    }
}

static tide_status run(tide_context *cx, const tide_call *call, bool back) {
    const tide_meta *image = &call->in[0]->meta, *means = &call->out[0]->meta;
    tide_dtype d = (tide_dtype)image->dtype, in = d == TIDE_F16 || d == TIDE_BF16 ? TIDE_F32 : d;
    if (back) image = &call->out[0]->meta, means = &call->in[0]->meta;
    averaging p = {.a = call->attr, .dtype = in, .back = back};
    p.h = image->shape[image->ndim - 2], p.w = image->shape[image->ndim - 1];
    p.oh = means->shape[means->ndim - 2], p.ow = means->shape[means->ndim - 1];
    int64_t planes = image->ndim == 4 ? image->shape[0] * image->shape[1] : image->shape[0];
    int64_t rows = back ? p.h : p.oh, cols = back ? p.w : p.ow;
    span r = span_of(p.a, 0, p.oh / 2, p.h, p.oh), q = span_of(p.a, 1, p.ow / 2, p.w, p.ow); /* as most are */
    double plane = (double)(p.oh * p.ow) * (double)(r.to - r.from) * (double)(q.to - q.from);
    p.cut = kernel_cut(cx, planes, rows, cols, 1 + plane / (double)(rows * cols));
    tide_tensor *x = kernel_packed_as(cx, call->in[0], in), *y = x ? kernel_result(cx, call->out[0], in) : NULL;
    tide_status e = y ? TIDE_OK : tide_pending(cx);
    if (!e) {
        p.x = tide_data(x), p.y = tide_data(y);
        e = tide_run_tiles(cx, kernel_parts(&p.cut), 4 * plane * (double)planes, 0, average_tile, &p);
    }
    tide_free(x);
    return kernel_result_end(cx, y, call->out[0], e);
}
KERNEL(average) { return run(cx, call, false); }
KERNEL(average_back) { return run(cx, call, true); }

static tide_status other(tide_context *cx, const tide_call *call, int op, tide_tensor *const *gy,
                         tide_tensor **gx) {
    tide_average_attr a = *(const tide_average_attr *)call->attr;
    const tide_meta *m = &call->in[0]->meta;
    a.size = (tide_pair){{m->shape[m->ndim - 2], m->shape[m->ndim - 1]}};
    return kernel_apply(cx, op, gy, 1, &a, &gx[0]);
}
VJP(average) { return other(cx, call, TIDE_OP_AVERAGE_BACK, gy, gx); }
VJP(average_back) { return other(cx, call, TIDE_OP_AVERAGE, gy, gx); }
