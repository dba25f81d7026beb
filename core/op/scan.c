/* Scans and sorting: lanes are independent, so tiles are runs of lanes. */
#include "op/kernel.h"
#include "program/math.h"
#include <inttypes.h>

static int64_t lanes_to_tile(const tide_context *cx, int64_t length) {
    int64_t n = kernel_grain(cx) / (length > 0 ? length : 1);
    return n > 0 ? n : 1;
}
static int64_t lanes_of(const tide_meta *m, int dim) {
    int64_t n = 1;
    for (int d = 0; d < m->ndim; d++)
        if (d != dim) n *= m->shape[d];
    return n;
}

/* ---- cumsum ---- */

RULE(cumsum_infer) {
    const tide_cumsum_attr *a = s->attr;
    int d;
    s->out[0] = *s->in[0];
    if (a->dtype)
        s->out[0].dtype = (uint8_t)a->dtype;
    else if (!tide_dtype_is_float((tide_dtype)s->in[0]->dtype))
        s->out[0].dtype = TIDE_I64;
    return tide_wrap_dim(s->cx, a->dim, s->in[0]->ndim, &d);
}

typedef struct {
    tide_context *cx;
    const tide_tensor *x, *y; /* of one dtype */
    int dim;
    int64_t lanes, group, length, sx, sy;
    bool back;
} scan;

#define SUM(T, S, get, put)                                                 \
    {                                                                       \
        const T *px = (const T *)(const void *)tide_data(s->x) + x;         \
        T *py = (T *)(void *)tide_data(s->y) + y;                           \
        S sum = 0;                                                          \
        for (int64_t i = 0; i < length && !kernel_stopped(s->cx, i); i++) { \
            T v = px[i * sx];                                               \
            sum += get;                                                     \
            py[i * sy] = put;                                               \
        }                                                                   \
    }
/* Halves sum in float32 and round each result once. */
static void scan_tile(void *arg, int tile, void *scratch) {
    const scan *s = arg;
    int64_t lane = tile * s->group, end = lane + s->group < s->lanes ? lane + s->group : s->lanes;
    int64_t length = s->length, sx = s->back ? -s->sx : s->sx, sy = s->back ? -s->sy : s->sy;
    for (; lane < end; lane++) {
        int64_t x = kernel_lane(s->x, s->dim, lane), y = kernel_lane(s->y, s->dim, lane);
        if (s->back) x += (s->length - 1) * s->sx, y += (s->length - 1) * s->sy;
        switch (s->x->meta.dtype) {
        case TIDE_F32: SUM(float, double, v, (float)sum) break;
        case TIDE_F64: SUM(double, double, v, sum) break;
        case TIDE_F16: SUM(uint16_t, float, tide_f32_of_f16(v), tide_f16_of_f32(sum)) break;
        case TIDE_BF16: SUM(uint16_t, float, tide_f32_of_bf16(v), tide_bf16_of_f32(sum)) break;
        case TIDE_I64: SUM(int64_t, uint64_t, (uint64_t)v, (int64_t)sum) break;
        case TIDE_I32: SUM(int32_t, uint32_t, (uint32_t)v, (int32_t)sum) break;
        case TIDE_BOOL: SUM(uint8_t, uint8_t, v, (sum = sum != 0)) break;
        default: SUM(uint8_t, uint8_t, v, sum) break; /* int8 wraps alike */
        }
    }
}

static tide_status cumulate(tide_context *cx, const tide_call *call, int64_t dim, bool back) {
    tide_tensor *out = call->out[0], *in = call->in[0], *x;
    x = in->meta.dtype == out->meta.dtype ? tide_keep(in)
                                          : kernel_packed_as(cx, in, (tide_dtype)out->meta.dtype);
    if (!x) return tide_pending(cx);
    scan s = {.cx = cx, .x = x, .y = out, .length = 1, .lanes = 1, .back = back};
    if (x->meta.ndim) {
        s.dim = (int)(dim < 0 ? dim + x->meta.ndim : dim);
        s.length = x->meta.shape[s.dim];
        s.sx = x->stride[s.dim];
        s.sy = out->stride[s.dim];
        s.lanes = lanes_of(&x->meta, s.dim);
    }
    s.group = lanes_to_tile(cx, s.length);
    tide_status e = s.length == 0 ? TIDE_OK
                                  : tide_run_tiles(cx, (int)((s.lanes + s.group - 1) / s.group),
                                                   4.0 * (double)s.lanes * (double)s.length, 0, scan_tile, &s);
    tide_free(x);
    return e;
}
KERNEL(cumsum) { return cumulate(cx, call, ((const tide_cumsum_attr *)call->attr)->dim, false); }
KERNEL(cumsum_back) { return cumulate(cx, call, ((const tide_cumsum_back_attr *)call->attr)->dim, true); }

VJP(cumsum) {
    const tide_cumsum_attr *a = call->attr;
    const tide_meta *m = &call->in[0]->meta;
    tide_cumsum_back_attr back = {a->dim};
    if (m->dtype == gy[0]->meta.dtype) return kernel_apply(cx, TIDE_OP_CUMSUM_BACK, gy, 1, &back, &gx[0]);
    tide_tensor *g = tide_call1(cx, TIDE_OP_CUMSUM_BACK, gy, 1, &back);
    tide_to_attr to = {m->dtype};
    tide_status e = kernel_apply(cx, TIDE_OP_TO, &g, 1, &to, &gx[0]);
    tide_free(g);
    return e;
}
VJP(cumsum_back) {
    tide_cumsum_attr a = {((const tide_cumsum_back_attr *)call->attr)->dim, 0};
    return kernel_apply(cx, TIDE_OP_CUMSUM, gy, 1, &a, &gx[0]);
}

/* ---- sorting: by keys that are ordered as unsigned integers, then by position ---- */

typedef struct {
    uint64_t key;
    int64_t at;
} item;

static uint64_t key_of_float(double v) {
    if (v != v) return UINT64_MAX;
    if (v == 0) v = 0; /* both zeros are equal */
    uint64_t b = tide_bits_f64(v);
    return b >> 63 ? ~b : b | 1ull << 63;
}
static uint64_t key_of_int(int64_t v) { return (uint64_t)v ^ 1ull << 63; }

#define KEYS(T, expr)                      \
    for (int64_t i = 0; i < n; i++) {      \
        T v = ((const T *)data)[i * step]; \
        to[i] = (item){(expr) ^ flip, i};  \
    }
static void keys_of(const void *data, tide_dtype d, int64_t n, int64_t step, uint64_t flip, item *to) {
    switch (d) {
    case TIDE_F32: KEYS(float, key_of_float(v)) break;
    case TIDE_F64: KEYS(double, key_of_float(v)) break;
    case TIDE_F16: KEYS(uint16_t, key_of_float(tide_f32_of_f16(v))) break;
    case TIDE_BF16: KEYS(uint16_t, key_of_float(tide_f32_of_bf16(v))) break;
    case TIDE_I64: KEYS(int64_t, key_of_int(v)) break;
    case TIDE_I32: KEYS(int32_t, key_of_int(v)) break;
    case TIDE_I8: KEYS(int8_t, key_of_int(v)) break;
    default: KEYS(uint8_t, v) break;
    }
}

static bool before(item a, item b) { return a.key < b.key || (a.key == b.key && a.at < b.at); }

/* Merges runs of twice the length each time, from runs of 16 that were sorted by insertion. Result in a. */
static void merge_sort(tide_context *cx, item *a, item *b, int64_t n) {
    enum { RUN = 16 };
    for (int64_t i = 0; i < n && !kernel_stopped(cx, i); i++) {
        item v = a[i];
        int64_t j = i, low = i / RUN * RUN;
        for (; j > low && before(v, a[j - 1]); j--) a[j] = a[j - 1];
        a[j] = v;
    }
    item *from = a, *to = b;
    for (int64_t run = RUN; run < n; run *= 2) {
        for (int64_t lo = 0; lo < n; lo += 2 * run) {
            int64_t mid = lo + run < n ? lo + run : n, hi = lo + 2 * run < n ? lo + 2 * run : n, i = lo,
                    j = mid;
            for (int64_t k = lo; k < hi && !kernel_stopped(cx, k); k++)
                to[k] = i < mid && (j >= hi || before(from[i], from[j])) ? from[i++] : from[j++];
        }
        item *t = from;
        from = to;
        to = t;
    }
    if (from != a) memcpy(a, from, (size_t)n * sizeof *a);
}

/* Puts a[root] in its place in a heap of n whose root goes last. */
static void sift(item *a, int64_t root, int64_t n) {
    item v = a[root];
    for (int64_t c; (c = 2 * root + 1) < n; root = c) {
        if (c + 1 < n && before(a[c], a[c + 1])) c++;
        if (!before(v, a[c])) break;
        a[root] = a[c];
    }
    a[root] = v;
}

/* The k items of a[] that go first, to its beginning, in any order. */
static void choose(tide_context *cx, item *a, int64_t n, int64_t k) {
    for (int64_t i = k / 2 - 1; i >= 0 && !kernel_stopped(cx, i); i--) sift(a, i, k);
    for (int64_t i = k; i < n && !kernel_stopped(cx, i); i++) {
        if (!before(a[i], a[0])) continue;
        a[0] = a[i];
        sift(a, 0, k);
    }
}

typedef struct {
    tide_context *cx;
    const tide_tensor *x, *values, *places; /* values NULL: not wanted */
    int dim;
    int64_t lanes, group, length, k, step;
    uint64_t flip;
} sorting;

#define PICK(T) \
    for (int64_t i = 0; i < k; i++) ((T *)to)[i * step] = ((const T *)from)[a[i].at * from_step];
static void pick(const item *a, int64_t k, size_t size, const void *from, int64_t from_step, void *to,
                 int64_t step) {
    switch (size) {
    case 1: PICK(uint8_t) break;
    case 2: PICK(uint16_t) break;
    case 4: PICK(uint32_t) break;
    default: PICK(uint64_t) break;
    }
}

static int64_t step_of(const tide_tensor *t, int dim) { return t->meta.ndim ? t->stride[dim] : 0; }

static void sort_tile(void *arg, int tile, void *scratch) {
    const sorting *s = arg;
    item *a = scratch, *b = a + s->length;
    tide_dtype d = (tide_dtype)s->x->meta.dtype;
    int64_t size = (int64_t)tide_dtype_size(d), lane = tile * s->group,
            end = lane + s->group < s->lanes ? lane + s->group : s->lanes;
    for (; lane < end; lane++) {
        const char *x = tide_data(s->x) + kernel_lane(s->x, s->dim, lane) * size;
        keys_of(x, d, s->length, s->step, s->flip, a);
        if (s->k < s->length) choose(s->cx, a, s->length, s->k);
        merge_sort(s->cx, a, b, s->k);
        int64_t *places = (int64_t *)(void *)tide_data(s->places) + kernel_lane(s->places, s->dim, lane),
                step = step_of(s->places, s->dim);
        for (int64_t i = 0; i < s->k; i++) places[i * step] = a[i].at;
        if (!s->values) continue;
        char *values = tide_data(s->values) + kernel_lane(s->values, s->dim, lane) * size;
        pick(a, s->k, (size_t)size, x, s->step, values, step_of(s->values, s->dim));
    }
}

static tide_status sorted(tide_context *cx, const tide_tensor *x, int64_t dim, int64_t k, bool descending,
                          const tide_tensor *values, const tide_tensor *places) {
    sorting s = {.cx = cx,
                 .x = x,
                 .values = values,
                 .places = places,
                 .length = 1,
                 .lanes = 1,
                 .k = k,
                 .flip = descending ? UINT64_MAX : 0};
    if (x->meta.ndim) {
        s.dim = (int)(dim < 0 ? dim + x->meta.ndim : dim);
        s.length = x->meta.shape[s.dim];
        s.step = x->stride[s.dim];
        s.lanes = lanes_of(&x->meta, s.dim);
        if (k < 0) s.k = s.length;
    } else if (k < 0) {
        s.k = 1;
    }
    if (s.k == 0) return TIDE_OK;
    s.group = lanes_to_tile(cx, 8 * s.length);
    double work = 32.0 * (double)s.lanes * (double)s.length;
    return tide_run_tiles(cx, (int)((s.lanes + s.group - 1) / s.group), work,
                          2 * (size_t)s.length * sizeof(item), sort_tile, &s);
}

RULE(sort_infer) {
    const tide_sort_attr *a = s->attr;
    int d;
    s->out[0] = s->out[1] = *s->in[0];
    s->out[1].dtype = TIDE_I64;
    return tide_wrap_dim(s->cx, a->dim, s->in[0]->ndim, &d);
}
KERNEL(sort) {
    const tide_sort_attr *a = call->attr;
    return sorted(cx, call->in[0], a->dim, -1, a->descending, call->out[0], call->out[1]);
}
RULE(argsort_infer) {
    const tide_argsort_attr *a = s->attr;
    int d;
    s->out[0] = *s->in[0];
    s->out[0].dtype = TIDE_I64;
    return tide_wrap_dim(s->cx, a->dim, s->in[0]->ndim, &d);
}
KERNEL(argsort) {
    const tide_argsort_attr *a = call->attr;
    return sorted(cx, call->in[0], a->dim, -1, a->descending, NULL, call->out[0]);
}
RULE(topk_infer) {
    const tide_topk_attr *a = s->attr;
    int d;
    tide_status e = tide_wrap_dim(s->cx, a->dim, s->in[0]->ndim, &d);
    if (e) return e;
    int64_t size = s->in[0]->ndim ? s->in[0]->shape[d] : 1;
    if (a->k < 0 || a->k > size)
        return tide_fail(s->cx, TIDE_EARG, "k = %" PRId64 " is out of range for dim %d of size %" PRId64, a->k,
                         d + 1, size);
    s->out[0] = *s->in[0];
    if (s->in[0]->ndim) s->out[0].shape[d] = a->k;
    s->out[1] = s->out[0];
    s->out[1].dtype = TIDE_I64;
    return TIDE_OK;
}
KERNEL(topk) {
    const tide_topk_attr *a = call->attr;
    return sorted(cx, call->in[0], a->dim, call->in[0]->meta.ndim ? a->k : -1, a->largest, call->out[0],
                  call->out[1]);
}

/* The values' gradients go back to where the values were. */
VJP(sorted) {
    tide_scatter_attr a = {
        ((const tide_sort_attr *)call->attr)->dim, {{.i = 0}, TIDE_NONE, 0}, TIDE_SCATTER_NONE};
    if (call->op == TIDE_OP_TOPK) a.dim = ((const tide_topk_attr *)call->attr)->dim;
    tide_tensor *z = kernel_zeros(cx, &call->in[0]->meta);
    tide_status e = kernel_apply(cx, TIDE_OP_SCATTER, (tide_tensor *[]){z, call->out[1], gy[0]}, 3, &a, &gx[0]);
    tide_free(z);
    return e;
}
