/* Tensors as text, as PyTorch prints them. */
#include "tensor/tensor.h"
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

enum { THRESHOLD = 1000, EDGE = 3, WIDTH = 80 };

typedef struct {
    char *at;
    size_t left, want;
    int column;
} out_t;

static void put(out_t *o, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(out_t *o, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(o->at, o->left, format, ap);
    va_end(ap);
    if (n < 0) return;
    o->want += (size_t)n;
    o->column += n;
    size_t step = (size_t)n < o->left ? (size_t)n : (o->left ? o->left - 1 : 0);
    o->at += step;
    o->left -= step;
}

static double half(uint16_t h) {
    int e = h >> 10 & 31, m = h & 1023;
    double v = e == 0 ? ldexp(m, -24) : e == 31 ? (m ? NAN : INFINITY) : ldexp(m + 1024, e - 25);
    return h >> 15 ? -v : v;
}

typedef struct {
    bool is_int;
    double f;
    int64_t i;
} value_t;

static value_t value_at(const tide_tensor *t, int64_t offset) {
    const char *p =
        (const char *)t->storage->data + offset * (int64_t)tide_dtype_size((tide_dtype)t->meta.dtype);
    value_t v = {true, 0, 0};
    uint16_t h;
    uint32_t w;
    float f;
    switch (t->meta.dtype) {
    case TIDE_F32: memcpy(&f, p, 4); return (value_t){false, f, 0};
    case TIDE_F64:
        memcpy(&v.f, p, 8);
        v.is_int = false;
        return v;
    case TIDE_F16: memcpy(&h, p, 2); return (value_t){false, half(h), 0};
    case TIDE_BF16:
        memcpy(&h, p, 2);
        w = (uint32_t)h << 16;
        memcpy(&f, &w, 4);
        return (value_t){false, f, 0};
    case TIDE_I64: memcpy(&v.i, p, 8); return v;
    case TIDE_I32: {
        int32_t i;
        memcpy(&i, p, 4);
        v.i = i;
        return v;
    }
    case TIDE_I8: v.i = *(const int8_t *)p; return v;
    default: v.i = *(const uint8_t *)p; return v;
    }
}

/* How the shown numbers are written: alike, as wide as the widest. */
typedef struct {
    bool scientific, whole;
    int width;
} style_t;

static int format_one(char *buf, size_t n, const tide_tensor *t, value_t v, const style_t *s) {
    if (t->meta.dtype == TIDE_BOOL) return snprintf(buf, n, "%s", v.i ? "true" : "false");
    if (v.is_int) return snprintf(buf, n, "%" PRId64, v.i);
    if (isnan(v.f)) return snprintf(buf, n, "nan");
    if (isinf(v.f)) return snprintf(buf, n, v.f < 0 ? "-inf" : "inf");
    if (s->scientific) return snprintf(buf, n, "%.4e", v.f);
    if (s->whole) return snprintf(buf, n, "%.0f.", v.f);
    return snprintf(buf, n, "%.4f", v.f);
}

typedef void (*visit_fn)(void *arg, const tide_tensor *t, int64_t offset);

/* Visits the elements that are shown. */
static void visit(const tide_tensor *t, int d, int64_t offset, bool summary, visit_fn fn, void *arg) {
    if (d == t->meta.ndim) {
        fn(arg, t, offset);
        return;
    }
    int64_t n = t->meta.shape[d];
    for (int64_t i = 0; i < n; i++) {
        if (summary && n > 2 * EDGE && i == EDGE) i = n - EDGE;
        visit(t, d + 1, offset + i * t->stride[d], summary, fn, arg);
    }
}

typedef struct {
    double lo, hi;
    bool whole, any;
} range_t;
static void see(void *arg, const tide_tensor *t, int64_t offset) {
    range_t *r = arg;
    value_t v = value_at(t, offset);
    if (v.is_int || !isfinite(v.f)) return;
    if (v.f != rint(v.f)) r->whole = false;
    if (v.f == 0) return;
    double a = fabs(v.f);
    if (!r->any || a < r->lo) r->lo = a;
    if (!r->any || a > r->hi) r->hi = a;
    r->any = true;
}

typedef struct {
    const style_t *style;
    int width;
} widest_t;
static void measure(void *arg, const tide_tensor *t, int64_t offset) {
    widest_t *w = arg;
    char buf[64];
    int n = format_one(buf, sizeof buf, t, value_at(t, offset), w->style);
    if (n > w->width) w->width = n;
}

static void element(out_t *o, const tide_tensor *t, int64_t offset, const style_t *s) {
    char buf[64];
    format_one(buf, sizeof buf, t, value_at(t, offset), s);
    put(o, "%*s", s->width, buf);
}

static void body(out_t *o, const tide_tensor *t, int d, int64_t offset, int indent, bool summary,
                 const style_t *s) {
    if (d == t->meta.ndim) {
        element(o, t, offset, s);
        return;
    }
    int64_t n = t->meta.shape[d];
    bool last = d == t->meta.ndim - 1;
    put(o, "[");
    for (int64_t i = 0; i < n; i++) {
        if (i > 0) {
            put(o, ",");
            if (last && o->column + s->width + 1 < WIDTH) {
                put(o, " ");
            } else {
                for (int k = d; k < t->meta.ndim - 1; k++) put(o, "\n");
                if (last) put(o, "\n");
                o->column = 0;
                put(o, "%*s", indent + 1, "");
            }
        }
        if (summary && n > 2 * EDGE && i == EDGE) {
            put(o, "...,");
            i = n - EDGE;
            if (last)
                put(o, " ");
            else {
                for (int k = d; k < t->meta.ndim - 1; k++) put(o, "\n");
                o->column = 0;
                put(o, "%*s", indent + 1, "");
            }
        }
        body(o, t, d + 1, offset + i * t->stride[d], indent + 1, summary, s);
    }
    put(o, "]");
}

size_t tide_text(tide_tensor *t, char *buffer, size_t n) {
    out_t o = {buffer, n, 0, 0};
    if (n) *buffer = 0;
    if (!t || tide_sync(t)) return 0;
    bool summary = tide_numel(&t->meta) > THRESHOLD;
    range_t r = {0, 0, true, false};
    style_t s = {false, false, 0};
    put(&o, "tensor(");
    if (tide_numel(&t->meta) == 0) {
        put(&o, "[]");
    } else {
        if (tide_dtype_is_float((tide_dtype)t->meta.dtype)) {
            visit(t, 0, t->offset, summary, see, &r);
            s.scientific = r.any && (r.hi / r.lo > 1000 || r.hi > 1e8 || (!r.whole && r.lo < 1e-4));
            if (r.whole) s.scientific = r.any && r.hi > 1e8;
            s.whole = r.whole && !s.scientific;
        }
        widest_t w = {&s, 0};
        if (t->meta.ndim) visit(t, 0, t->offset, summary, measure, &w);
        s.width = w.width;
        body(&o, t, 0, t->offset, o.column, summary, &s);
    }
    if (tide_numel(&t->meta) == 0 && t->meta.ndim != 1) {
        char shape[TIDE_SHAPE_TEXT];
        put(&o, ", size=%s", tide_shape_text(&t->meta, shape));
    }
    if (t->meta.dtype != TIDE_F32 && t->meta.dtype != TIDE_I64 && t->meta.dtype != TIDE_BOOL)
        put(&o, ", dtype=%s", tide_dtype_name((tide_dtype)t->meta.dtype));
    if (t->flags & TIDE_REQUIRES_GRAD) put(&o, t->node ? ", recorded" : ", requires_grad=true");
    put(&o, ")");
    return o.want;
}
