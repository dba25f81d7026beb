/* Reading and writing at positions that tensors hold: gather, scatter, lookups, advanced indexing. First all
 * positions are found and checked, then elements move: nothing is written if a position is out of range. */
#include "op/kernel.h"
#include "program/math.h"
#include <inttypes.h>

static int64_t count(const reach *r) {
    int64_t n = 1;
    for (int d = 0; d < r->ndim; d++) n *= r->size[d];
    return n;
}

reach_pick reach_pick_of(const tide_tensor *index, const tide_tensor *x, int dim) {
    reach_pick p = {
        .data = tide_data(index), .wide = index->meta.dtype == TIDE_I64, .dim = dim, .size = 1, .step = 0};
    if (x->meta.ndim) p.size = x->meta.shape[dim], p.step = x->stride[dim];
    memcpy(p.stride, index->stride, sizeof p.stride);
    return p;
}

/* ---- finding the positions ---- */

typedef struct {
    const reach *r;
    int64_t *at;
    int64_t n, grain;
    _Atomic int64_t bad; /* the first b with a position out of range, n: none */
} search;

static int64_t stored(const reach_pick *p, int64_t i) {
    return p->wide ? ((const int64_t *)(const void *)p->data)[i] : ((const int32_t *)(const void *)p->data)[i];
}

static bool in_range(const reach *r, const reach_pick *p, int64_t *i) {
    if (*i < 0 && r->wrap) *i += p->size;
    return *i >= 0 && *i < p->size;
}

static void report(search *s, int64_t b) {
    int64_t seen = atomic_load_explicit(&s->bad, memory_order_relaxed);
    while (b < seen && !atomic_compare_exchange_weak_explicit(&s->bad, &seen, b, memory_order_relaxed,
                                                              memory_order_relaxed)) {}
}

static void find_tile(void *arg, int tile, void *scratch) {
    search *s = arg;
    const reach *r = s->r;
    int64_t b = tile * s->grain, end = b + s->grain < s->n ? b + s->grain : s->n, last = r->ndim - 1;
    while (b < end) { /* runs along the last dim */
        int64_t rest = b, c0 = rest % r->size[last], run = r->size[last] - c0, base = 0,
                from[TIDE_MAXDIM] = {0};
        if (run > end - b) run = end - b;
        for (int64_t d = last; d >= 0; d--) {
            int64_t c = rest % r->size[d];
            rest /= r->size[d];
            base += c * r->base[d];
            for (int k = 0; k < r->npick; k++) from[k] += c * r->pick[k].stride[d];
        }
        for (int64_t i = 0; i < run; i++) {
            int64_t at = base + i * r->base[last];
            for (int k = 0; k < r->npick; k++) {
                const reach_pick *p = &r->pick[k];
                int64_t v = stored(p, from[k] + i * p->stride[last]);
                if (in_range(r, p, &v))
                    at += v * p->step;
                else
                    report(s, b + i);
            }
            s->at[b + i] = at;
        }
        b += run;
    }
}

static tide_status out_of_range(tide_context *cx, const reach *r, int64_t b) {
    for (int k = 0; k < r->npick; k++) {
        const reach_pick *p = &r->pick[k];
        int64_t rest = b, at = 0;
        for (int d = r->ndim - 1; d >= 0; d--) {
            at += rest % r->size[d] * p->stride[d];
            rest /= r->size[d];
        }
        int64_t v = stored(p, at), i = v;
        if (!in_range(r, p, &i))
            return tide_fail(cx, TIDE_EARG, "index %" PRId64 " is out of range for dim %d of size %" PRId64, v,
                             p->dim + 1, p->size);
    }
    return TIDE_OK;
}

tide_status reach_find(tide_context *cx, const reach *r, int64_t **at) {
    search s = {.r = r, .n = count(r), .grain = kernel_grain(cx)};
    *at = s.at = tide_alloc(cx, (size_t)s.n * sizeof *s.at);
    if (!s.at) return TIDE_EMEM;
    s.bad = s.n;
    tide_status e =
        tide_run_tiles(cx, (int)((s.n + s.grain - 1) / s.grain), 8.0 * (double)s.n, 0, find_tile, &s);
    if (!e && s.bad < s.n) e = out_of_range(cx, r, s.bad);
    if (e) reach_free(cx, r, *at), *at = NULL;
    return e;
}

void reach_free(tide_context *cx, const reach *r, int64_t *at) {
    tide_release(cx, at, (size_t)count(r) * sizeof *at);
}

/* ---- moving the elements ---- */

typedef struct {
    tide_context *cx;
    const reach *r;
    const int64_t *at;
    int64_t n, rows, inner; /* positions; the rest: rows of `inner` elements that are adjacent in x and y */
    int nrow;
    struct {
        int64_t size, x, y;
    } row[TIDE_MAXDIM];
    int64_t piece, pieces,
        group; /* writing: elements of a row to a unit of work, units to a row, units to a tile */
    int64_t units;
    double alpha;
    int64_t integer;
} move;

#define SINGLE(T)                                                                       \
    if (m->r->mode == REACH_READ)                                                       \
        for (int64_t b = b0; b < b1; b++)                                               \
            ((T *)(void *)y)[b * m->r->ystep] = ((const T *)(const void *)x)[m->at[b]]; \
    else                                                                                \
        for (int64_t b = b0; b < b1; b++)                                               \
            ((T *)(void *)x)[m->at[b]] = ((const T *)(const void *)y)[b * m->r->ystep];

static void copy(const move *m, char *x, char *y, int64_t b0, int64_t b1, int64_t len) {
    size_t size = tide_dtype_size(m->r->dtype);
    if (len == 1) {
        switch (size) {
        case 1: SINGLE(uint8_t) break;
        case 2: SINGLE(uint16_t) break;
        case 4: SINGLE(uint32_t) break;
        default: SINGLE(uint64_t) break;
        }
        return;
    }
    for (int64_t b = b0; b < b1; b++) {
        char *px = x + m->at[b] * (int64_t)size, *py = y + b * m->r->ystep * (int64_t)size;
        if (m->r->mode == REACH_READ)
            memcpy(py, px, (size_t)len * size);
        else
            memcpy(px, py, (size_t)len * size);
    }
}

#define COMBINE(T, expr)                                           \
    for (int64_t b = b0; b < b1; b++) {                            \
        T *p = (T *)(void *)x + m->at[b];                          \
        const T *q = (const T *)(const void *)y + b * m->r->ystep; \
        for (int64_t i = 0; i < len; i++) {                        \
            T u = p[i], v = q[i];                                  \
            p[i] = (T)(expr);                                      \
        }                                                          \
    }
#define F16(bits) tide_f32_of_f16(bits)
#define BF16(bits) tide_f32_of_bf16(bits)
#define WRAP(v) ((uint64_t)(v)) /* integers wrap */

static void add(const move *m, char *x, char *y, int64_t b0, int64_t b1, int64_t len) {
    const double a = m->alpha;
    const float f = (float)a;
    const uint64_t k = (uint64_t)m->integer;
    switch (m->r->dtype) {
    case TIDE_F32: COMBINE(float, u + f * v) break;
    case TIDE_F64: COMBINE(double, u + a * v) break;
    case TIDE_F16: COMBINE(uint16_t, tide_f16_of_f32(F16(u) + f * F16(v))) break;
    case TIDE_BF16: COMBINE(uint16_t, tide_bf16_of_f32(BF16(u) + f * BF16(v))) break;
    case TIDE_I64: COMBINE(int64_t, WRAP(u) + k * WRAP(v)) break;
    case TIDE_I32: COMBINE(int32_t, WRAP(u) + k * WRAP(v)) break;
    case TIDE_I8: COMBINE(int8_t, WRAP(u) + k * WRAP(v)) break;
    case TIDE_U8: COMBINE(uint8_t, WRAP(u) + k * WRAP(v)) break;
    default: COMBINE(uint8_t, u | (k ? v : 0)) break;
    }
}

static void multiply(const move *m, char *x, char *y, int64_t b0, int64_t b1, int64_t len) {
    switch (m->r->dtype) {
    case TIDE_F32: COMBINE(float, u *v) break;
    case TIDE_F64: COMBINE(double, u *v) break;
    case TIDE_F16: COMBINE(uint16_t, tide_f16_of_f32(F16(u) * F16(v))) break;
    case TIDE_BF16: COMBINE(uint16_t, tide_bf16_of_f32(BF16(u) * BF16(v))) break;
    case TIDE_I64: COMBINE(int64_t, WRAP(u) * WRAP(v)) break;
    case TIDE_I32: COMBINE(int32_t, WRAP(u) * WRAP(v)) break;
    case TIDE_I8: COMBINE(int8_t, WRAP(u) * WRAP(v)) break;
    case TIDE_U8: COMBINE(uint8_t, WRAP(u) * WRAP(v)) break;
    default: COMBINE(uint8_t, u & v) break;
    }
}

static void some(const move *m, int64_t row, int64_t first, int64_t len, int64_t b0, int64_t b1) {
    int64_t x = first, y = first;
    for (int d = m->nrow - 1; d >= 0; d--) {
        int64_t c = row % m->row[d].size;
        row /= m->row[d].size;
        x += c * m->row[d].x;
        y += c * m->row[d].y;
    }
    int64_t size = (int64_t)tide_dtype_size(m->r->dtype);
    (m->r->mode == REACH_ADD        ? add
     : m->r->mode == REACH_MULTIPLY ? multiply
                                    : copy)(m, m->r->x + x * size, m->r->y + y * size, b0, b1, len);
}

/* Reading: any run of (row, b). */
static void read_tile(void *arg, int tile, void *scratch) {
    const move *m = arg;
    int64_t u = tile * m->group, end = u + m->group < m->units ? u + m->group : m->units;
    while (u < end) {
        int64_t b = u % m->n, run = m->n - b < end - u ? m->n - b : end - u;
        some(m, u / m->n, 0, m->inner, b, b + run);
        u += run;
    }
}

/* Writing: a unit is a piece of a row for one run of positions, so that no element belongs to two. */
static void write_tile(void *arg, int tile, void *scratch) {
    const move *m = arg;
    int64_t u = tile * m->group, end = u + m->group < m->units ? u + m->group : m->units,
            each = m->n / m->r->parts;
    for (; u < end; u++) {
        int64_t piece = u % m->pieces, row = u / m->pieces % m->rows, part = u / (m->pieces * m->rows);
        int64_t first = piece * m->piece, len = m->inner - first < m->piece ? m->inner - first : m->piece;
        int64_t b = part * each, b_end = b + each, run = 1 + TIDE_GRAIN / len; /* between two questions */
        for (; b_end - b > run && !tide_tile_cancelled(m->cx); b += run) some(m, row, first, len, b, b + run);
        some(m, row, first, len, b, b_end);
    }
}

/* The rest as rows, neighbouring dims merged where both sides allow it. */
static void collapse(const reach *r, move *m) {
    m->rows = m->inner = 1;
    for (int i = 0; i < r->nrest; i++) {
        int64_t size = r->rest[i].size, x = r->rest[i].x, y = r->rest[i].y;
        if (size == 1) continue;
        if (m->nrow && m->row[m->nrow - 1].x == size * x && m->row[m->nrow - 1].y == size * y) {
            size *= m->row[--m->nrow].size;
        }
        m->row[m->nrow].size = size;
        m->row[m->nrow].x = x;
        m->row[m->nrow++].y = y;
    }
    if (m->nrow && m->row[m->nrow - 1].x == 1 && m->row[m->nrow - 1].y == 1) m->inner = m->row[--m->nrow].size;
    for (int d = 0; d < m->nrow; d++) m->rows *= m->row[d].size;
}

tide_status reach_run(tide_context *cx, const reach *r, const int64_t *at) {
    move m = {.cx = cx, .r = r, .at = at, .n = count(r), .alpha = 1, .integer = 1};
    collapse(r, &m);
    if (r->alpha.kind == TIDE_FLOAT)
        m.alpha = r->alpha.u.f, m.integer = (int64_t)(r->alpha.u.f != 0);
    else if (r->alpha.kind != TIDE_NONE)
        m.alpha = (double)r->alpha.u.i, m.integer = r->alpha.u.i;
    double all = (double)m.n * (double)m.rows * (double)m.inner;
    if (all == 0) return TIDE_OK;
    int64_t grain = kernel_grain(cx), each;
    if (r->mode == REACH_READ) {
        m.units = m.rows * m.n;
        each = m.inner;
    } else {
        m.piece = m.inner < 128 ? m.inner : 64;
        m.pieces = (m.inner + m.piece - 1) / m.piece;
        m.units = r->parts * m.rows * m.pieces;
        each = m.n / r->parts * m.piece;
    }
    m.group = each >= grain ? 1 : grain / each;
    return tide_run_tiles(cx, (int)((m.units + m.group - 1) / m.group), 4 * all, 0,
                          r->mode == REACH_READ ? read_tile : write_tile, &m);
}
