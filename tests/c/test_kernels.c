/* The operations that are kernels, against plain loops and small known answers: joins, positions, scans,
 * sorting, convolutions, pooling; their gradients as adjoints, and the same bytes on any number of threads and
 * tiles. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "op/op.h"

static tide_context *cx;

static int setup(void **state) {
    (void)state;
    tide_config config = {.size = sizeof config, .threads = 1};
    return tide_open(&config, &cx);
}
/* A test that leaves a tensor alive fails. */
static int teardown(void **state) {
    (void)state;
    int64_t live = cx->tensors ? cx->tensors->live : 0;
    const char *error = tide_error(cx, NULL);
    if (error) print_error("%s\n", error);
    tide_close(cx);
    return live != 0 || error;
}

/* ---- making and reading tensors ---- */

#define SHAPE(...) \
    (tide_meta) { .shape = {__VA_ARGS__}, .ndim = sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t) }

static tide_tensor *make(tide_meta m, tide_dtype d, const void *data) {
    m.dtype = (uint8_t)d;
    tide_tensor *t = tide_empty(cx, &m);
    assert_non_null(t);
    assert_int_equal(tide_write(t, data, (size_t)tide_numel(&m) * tide_dtype_size(d)), TIDE_OK);
    return t;
}
#define F64(shape, ...) make(shape, TIDE_F64, (double[]){__VA_ARGS__})
#define F32(shape, ...) make(shape, TIDE_F32, (float[]){__VA_ARGS__})
#define I64(shape, ...) make(shape, TIDE_I64, (int64_t[]){__VA_ARGS__})

static double value(uint64_t i) { /* in (-1, 1), any order of i */
    i = (i + 1) * 0x9e3779b97f4a7c15u;
    i ^= i >> 29;
    i *= 0xbf58476d1ce4e5b9u;
    return (double)(int64_t)(i ^ i >> 32) * 0x1p-63;
}
static tide_tensor *noise(tide_meta m, tide_dtype d, uint64_t seed) {
    m.dtype = (uint8_t)d;
    tide_tensor *t = tide_empty(cx, &m);
    assert_non_null(t);
    for (int64_t i = 0; i < tide_numel(&m); i++) {
        double v = value(seed * 1000003 + (uint64_t)i);
        if (d == TIDE_F64)
            ((double *)(void *)tide_data(t))[i] = v;
        else
            ((float *)(void *)tide_data(t))[i] = (float)v;
    }
    return t;
}
static tide_tensor *indices(tide_meta m, int64_t below, uint64_t seed) {
    m.dtype = TIDE_I64;
    tide_tensor *t = tide_empty(cx, &m);
    for (int64_t i = 0; i < tide_numel(&m); i++)
        ((int64_t *)(void *)tide_data(t))[i] = (int64_t)(fabs(value(seed + (uint64_t)i)) * (double)below);
    return t;
}
static const double *f64(const tide_tensor *t) { return (const double *)(const void *)tide_data(t); }
static const int64_t *i64(const tide_tensor *t) { return (const int64_t *)(const void *)tide_data(t); }

static void same_f64(tide_tensor *t, const double *want, int64_t n, double tolerance) {
    assert_non_null(t);
    assert_int_equal(t->meta.dtype, TIDE_F64);
    assert_int_equal(tide_numel(&t->meta), n);
    double *got = malloc((size_t)n * 8 + 8);
    assert_int_equal(tide_read(t, got, (size_t)n * 8), TIDE_OK);
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(got[i] - want[i]) <= tolerance))
            fail_msg("element %d is %.17g, not %.17g", (int)i, got[i], want[i]);
    free(got);
}
#define IS_F64(t, ...) same_f64(t, (double[]){__VA_ARGS__}, sizeof((double[]){__VA_ARGS__}) / sizeof(double), 0)
static void same_i64(tide_tensor *t, const int64_t *want, int64_t n) {
    assert_non_null(t);
    assert_int_equal(t->meta.dtype, TIDE_I64);
    assert_int_equal(tide_numel(&t->meta), n);
    for (int64_t i = 0; i < n; i++) assert_int_equal(i64(t)[i], want[i]);
}
#define IS_I64(t, ...) same_i64(t, (int64_t[]){__VA_ARGS__}, sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

static void fails(tide_tensor *t, const char *text) {
    assert_null(t);
    const char *error = tide_error(cx, NULL);
    assert_non_null(error);
    assert_string_equal(error, text);
}
#define FREE(...) \
    for (tide_tensor **p_ = (tide_tensor *[]){__VA_ARGS__, NULL}; *p_; p_++) tide_free(*p_)

static tide_tensor *apply(int op, tide_tensor *const *in, int nin, const void *attr, unsigned flags) {
    const tide_op *o = &tide_op_table[op];
    tide_tensor *out[4] = {NULL};
    tide_call c = {.op = (uint16_t)op,
                   .flags = (uint16_t)flags,
                   .nin = (uint32_t)nin,
                   .nout = o->nout,
                   .in = (tide_tensor **)in,
                   .out = out,
                   .attr = attr ? attr : o->attr0,
                   .nattr = o->nattr};
    assert_int_equal(tide_door_open(cx), TIDE_OK);
    if (tide_apply(cx, &c)) return NULL;
    for (uint32_t j = 1; j < c.nout; j++) tide_free(out[j]);
    return out[0];
}
#define IN(...) \
    (tide_tensor *[]){__VA_ARGS__}, (int)(sizeof((tide_tensor *[]){__VA_ARGS__}) / sizeof(tide_tensor *))

static tide_tensor *turned(tide_tensor *t) {
    tide_transpose_attr a = {0, 1};
    return tide_transpose(t, &a);
}

/* sum(g * y), which must equal sum(gx * x) for whatever is linear in x. */
static double dot(tide_tensor *a, tide_tensor *b) {
    int64_t n = tide_numel(&a->meta);
    double *u = malloc((size_t)n * 8 + 8), *v = malloc((size_t)n * 8 + 8), sum = 0;
    assert_int_equal(tide_read(a, u, (size_t)n * 8), TIDE_OK);
    assert_int_equal(tide_read(b, v, (size_t)n * 8), TIDE_OK);
    for (int64_t i = 0; i < n; i++) sum += u[i] * v[i];
    free(u), free(v);
    return sum;
}
/* y is linear in x alone: checks its gradient, and the gradient of that, which is y again. */
static void linear(tide_tensor *y, tide_tensor *x) {
    assert_non_null(y);
    tide_tensor *g = noise(y->meta, TIDE_F64, 77), *gx = NULL, *back = NULL;
    assert_int_equal(tide_set_requires_grad(g, 1), TIDE_OK);
    assert_int_equal(tide_grad(cx, &y, 1, &x, 1, &g, TIDE_CREATE_GRAPH, &gx), TIDE_OK);
    assert_true(tide_same_meta(&gx->meta, &x->meta));
    assert_true(fabs(dot(g, y) - dot(gx, x)) <= 1e-11 * (1 + fabs(dot(g, y))));
    tide_tensor *seed = tide_detach(x);
    assert_int_equal(tide_grad(cx, &gx, 1, &g, 1, &seed, 0, &back), TIDE_OK);
    double *want = malloc((size_t)tide_numel(&y->meta) * 8 + 8);
    assert_int_equal(tide_read(y, want, (size_t)tide_numel(&y->meta) * 8), TIDE_OK);
    same_f64(back, want, tide_numel(&y->meta), 1e-12);
    free(want);
    FREE(g, gx, back, seed);
}
static tide_tensor *tracked(tide_tensor *t) {
    assert_int_equal(tide_set_requires_grad(t, 1), TIDE_OK);
    return t;
}

/* ---- joins ---- */

static void cat_and_stack(void **state) {
    (void)state;
    tide_tensor *a = F64(SHAPE(2, 2), 1, 2, 3, 4), *b = F64(SHAPE(2, 1), 5, 6),
                *none = make(SHAPE(0), TIDE_F32, "");
    tide_cat_attr rows = {0}, cols = {-1};
    tide_tensor *c = tide_cat((tide_tensor *[]){a, none, b}, 3, &cols), *at = turned(a);
    IS_F64(c, 1, 2, 5, 3, 4, 6);
    tide_tensor *d = tide_cat((tide_tensor *[]){a, at}, 2, &rows);
    IS_F64(d, 1, 2, 3, 4, 1, 3, 2, 4);
    tide_stack_attr last = {-1};
    tide_tensor *s = tide_stack((tide_tensor *[]){a, at}, 2, &last);
    IS_F64(s, 1, 1, 2, 3, 3, 2, 4, 4);
    tide_tensor *whole = I64(SHAPE(1, 2), 7, 8), *mixed = tide_cat((tide_tensor *[]){whole, a}, 2, &rows);
    IS_F64(mixed, 7, 8, 1, 2, 3, 4);
    fails(tide_cat((tide_tensor *[]){a, b}, 2, &rows),
          "[cat] tensor 2 is (2,1): it does not fit (2,2) beside dim 1");
    fails(tide_stack((tide_tensor *[]){a, b}, 2, &last), "[stack] tensor 2 is (2,1), the first is (2,2)");
    FREE(a, b, none, c, at, d, s, whole, mixed);
}

static void cat_of_many(void **state) {
    (void)state;
    enum { N = 700 };
    tide_tensor *t[N], *g[N], *seed = noise(SHAPE(N), TIDE_F64, 5);
    for (int i = 0; i < N; i++) t[i] = tracked(noise(SHAPE(1), TIDE_F64, (uint64_t)i));
    tide_cat_attr a = {0};
    tide_tensor *y = tide_cat(t, N, &a);
    assert_non_null(y);
    for (int i = 0; i < N; i++) assert_true(f64(y)[i] == f64(t[i])[0]);
    assert_int_equal(tide_grad(cx, &y, 1, t, N, &seed, 0, g), TIDE_OK);
    for (int i = 0; i < N; i++) {
        assert_true(f64(g[i])[0] == f64(seed)[i]);
        FREE(t[i], g[i]);
    }
    FREE(y, seed);
}

/* ---- positions ---- */

static void lookups(void **state) {
    (void)state;
    tide_tensor *x = F64(SHAPE(2, 3), 1, 2, 3, 4, 5, 6), *i = I64(SHAPE(4), 2, 0, 2, 1), *xt = turned(x);
    tide_index_select_attr cols = {1}, rows = {0};
    tide_tensor *a = tide_index_select(x, i, &cols), *b = tide_index_select(xt, i, &rows);
    IS_F64(a, 3, 1, 3, 2, 6, 4, 6, 5);
    IS_F64(b, 3, 6, 1, 4, 3, 6, 2, 5);
    tide_tensor *at = I64(SHAPE(2, 2), 2, 0, 1, 1);
    tide_gather_attr along = {-1};
    tide_tensor *c = tide_gather(x, at, &along);
    IS_F64(c, 3, 1, 5, 5);
    tide_tensor *ends = I64(SHAPE(2), -1, 0), *d = tide_take(x, ends);
    IS_F64(d, 6, 1);
    fails(tide_index_select(x, ends, &cols), "[index_select] index -1 is out of range for dim 2 of size 3");
    tide_tensor *far = I64(SHAPE(1), 7);
    fails(tide_index_select(x, far, &rows), "[index_select] index 7 is out of range for dim 1 of size 2");
    fails(tide_gather(x, i, &along), "[gather] index (4) does not fit input (2,3) beside dim 2");
    FREE(x, i, xt, a, b, at, c, ends, d, far);
}

static void advanced_indexing(void **state) {
    (void)state;
    tide_tensor *x = noise(SHAPE(3, 4, 5), TIDE_F64, 1), *i = I64(SHAPE(2, 1), 2, -3),
                *j = I64(SHAPE(3), 4, 0, -1), *k = I64(SHAPE(3), 3, 1, 0);
    tide_tensor *near = apply(TIDE_OP_INDEX, IN(x, NULL, k, j), NULL, 0),
                *apart = apply(TIDE_OP_INDEX, IN(x, i, NULL, j), NULL, 0);
    assert_int_equal(near->meta.ndim, 2);
    assert_int_equal(apart->meta.ndim, 3);
    const int64_t in[] = {2, 0}, jn[] = {4, 0, 4}, kn[] = {3, 1, 0};
    for (int a = 0; a < 3; a++) /* neighbours: in place */
        for (int b = 0; b < 3; b++) assert_true(f64(near)[a * 3 + b] == f64(x)[(a * 4 + kn[b]) * 5 + jn[b]]);
    for (int a = 0; a < 2; a++) /* separated: first */
        for (int b = 0; b < 3; b++)
            for (int c = 0; c < 4; c++)
                assert_true(f64(apart)[(a * 3 + b) * 4 + c] == f64(x)[(in[a] * 4 + c) * 5 + jn[b]]);
    tide_tensor *p = tracked(noise(x->meta, TIDE_F64, 2)),
                *y = apply(TIDE_OP_INDEX, IN(p, i, NULL, j), NULL, 0);
    linear(y, p); /* with duplicates */
    fails(apply(TIDE_OP_INDEX, IN(x, j), NULL, 0), "[index] index 4 is out of range for dim 1 of size 3");
    FREE(x, i, j, k, near, apart, p, y);
}

static void writing(void **state) {
    (void)state;
    tide_tensor *x = F64(SHAPE(4), 1, 2, 3, 4), *i = I64(SHAPE(3), 1, 3, 1), *v = F64(SHAPE(3), 10, 20, 30),
                *far = I64(SHAPE(3), 0, 1, 4);
    tide_scatter_add_attr dim = {0};
    tide_tensor *a = tide_scatter_add(x, i, v, &dim);
    IS_F64(a, 1, 42, 3, 24);
    tide_scatter_attr write = {0, {{0}, TIDE_NONE, 0}, TIDE_SCATTER_NONE},
                      nine = {0, {{.i = 9}, TIDE_INTEGER, 0}, TIDE_SCATTER_MULTIPLY};
    tide_tensor *b = tide_scatter(x, i, v, &write), *c = tide_scatter(x, i, NULL, &nine);
    IS_F64(b, 1, 30, 3, 20);
    IS_F64(c, 1, 162, 3, 36);
    tide_index_add_attr half = {0, {{.f = 0.5}, TIDE_FLOAT, 0}};
    tide_tensor *d = tide_index_add(x, i, v, &half);
    IS_F64(d, 1, 22, 3, 14);
    tide_tensor *one = F64(SHAPE(1), -1);
    tide_index_put_attr put = {false};
    assert_ptr_equal(apply(TIDE_OP_INDEX_PUT, IN(x, one, i), &put, TIDE_INPLACE), x);
    IS_F64(x, 1, -1, 3, -1);
    assert_ptr_equal(apply(TIDE_OP_SCATTER_ADD, IN(x, i, v), &dim, TIDE_INPLACE), x);
    IS_F64(x, 1, 39, 3, 19);
    fails(apply(TIDE_OP_SCATTER_ADD, IN(x, far, v), &dim, TIDE_INPLACE),
          "[scatter_add] index 4 is out of range for dim 1 of size 4");
    IS_F64(x, 1, 39, 3, 19); /* nothing was written */
    tide_tensor *m = F64(SHAPE(2, 3), 0, 0, 0, 0, 0, 0), *mt = turned(m), *rows = I64(SHAPE(1), 2),
                *w = F64(SHAPE(1, 2), 5, 6);
    tide_index_add_attr add = {0, {{.i = 1}, TIDE_INTEGER, 0}};
    apply(TIDE_OP_INDEX_ADD, IN(mt, rows, w), &add, TIDE_INPLACE);
    IS_F64(m, 0, 0, 5, 0, 0, 6);
    FREE(x, i, v, far, a, b, c, d, one, m, mt, rows, w);
}

static void position_gradients(void **state) {
    (void)state;
    tide_tensor *x = tracked(noise(SHAPE(3, 4), TIDE_F64, 1)), *i = indices(SHAPE(7), 4, 3),
                *at = indices(SHAPE(2, 5), 4, 9);
    tide_index_select_attr cols = {1};
    tide_gather_attr along = {1};
    tide_tensor *a = tide_index_select(x, i, &cols), *b = tide_gather(x, at, &along);
    linear(a, x);
    linear(b, x);
    tide_tensor *zero = noise(SHAPE(3, 4), TIDE_F64, 1),
                *src = tracked(noise(SHAPE(3, 6), TIDE_F64, 4)); /* larger than the index */
    memset(tide_data(zero), 0, 12 * 8);
    tide_scatter_add_attr add = {1};
    tide_tensor *c = tide_scatter_add(zero, at, src, &add);
    linear(c, src);
    tide_scatter_attr write = {1, {{.i = 0}, TIDE_INTEGER, 0}, TIDE_SCATTER_NONE};
    tide_tensor *d = tide_scatter(x, at, NULL, &write);
    linear(d, x);
    FREE(x, i, at, a, b, zero, src, c, d);
}

static void nonzero_and_mask(void **state) {
    (void)state;
    tide_tensor *x = F64(SHAPE(2, 3), 0, 2, -0.0, NAN, 0, 6), *n = tide_nonzero(x), *xt = turned(x),
                *m = tide_nonzero(xt);
    IS_I64(n, 0, 1, 1, 0, 1, 2);
    IS_I64(m, 0, 1, 1, 0, 2, 1);
    tide_tensor *mask = make(SHAPE(3), TIDE_BOOL, (uint8_t[]){1, 0, 1}), *v = F64(SHAPE(2, 1), 7, 8),
                *s = tide_masked_select(v, mask);
    IS_F64(s, 7, 7, 8, 8);
    FREE(x, n, xt, m, mask, v, s);
}

static void embedding(void **state) {
    (void)state;
    tide_tensor *w = tracked(F64(SHAPE(3, 2), 1, 2, 3, 4, 5, 6)), *ids = I64(SHAPE(2, 2), 2, 0, 2, 1),
                *g = NULL;
    tide_embedding_attr a = *(const tide_embedding_attr *)tide_op_table[TIDE_OP_EMBEDDING].attr0;
    tide_tensor *y = tide_embedding(ids, w, &a), *one = F64(SHAPE(2, 2, 2), 1, 1, 1, 1, 1, 1, 1, 1);
    IS_F64(y, 5, 6, 1, 2, 5, 6, 3, 4);
    linear(y, w);
    a.padding_idx = -2;
    a.scale_grad_by_freq = 1;
    tide_tensor *z = tide_embedding(ids, w, &a);
    assert_int_equal(tide_grad(cx, &z, 1, &w, 1, &one, 0, &g), TIDE_OK);
    IS_F64(g, 1, 1, 0, 0, 1, 1);
    a.max_norm = 5;
    tide_tensor *n = tide_embedding(ids, w, &a);
    same_f64(w, (double[]){1, 2, 3, 4, 5 * 5 / sqrt(61), 5 * 6 / sqrt(61)}, 6, 1e-6);
    FREE(w, ids, y, one, z, g, n);
}

/* ---- scans and sorting ---- */

static void cumsum(void **state) {
    (void)state;
    tide_tensor *x = F64(SHAPE(2, 3), 1, 2, 3, 4, 5, 6), *b = make(SHAPE(3), TIDE_BOOL, (uint8_t[]){1, 0, 1});
    tide_cumsum_attr rows = {0, 0}, cols = {-1, 0};
    tide_tensor *p = tide_cumsum(x, &rows), *q = tide_cumsum(x, &cols), *r = tide_cumsum(b, &rows);
    IS_F64(p, 1, 2, 3, 5, 7, 9);
    IS_F64(q, 1, 3, 6, 4, 9, 15);
    IS_I64(r, 1, 1, 2);
    tide_tensor *v = tracked(noise(SHAPE(4, 5), TIDE_F64, 3)), *y = tide_cumsum(v, &rows);
    linear(y, v);
    FREE(x, b, p, q, r, v, y);
}

static void sorting(void **state) {
    (void)state;
    tide_tensor *x = F64(SHAPE(6), 2, NAN, 1, 2, -INFINITY, 1), *out[2];
    tide_sort_attr up = {-1, 0, 0}, down = {-1, 1, 0};
    assert_int_equal(tide_sort(x, &up, out), TIDE_OK);
    IS_I64(out[1], 4, 2, 5, 0, 3, 1);
    assert_true(f64(out[0])[0] == -INFINITY && f64(out[0])[4] == 2 && isnan(f64(out[0])[5]));
    FREE(out[0], out[1]);
    tide_tensor *i = tide_argsort(x, &(tide_argsort_attr){-1, 1, 0});
    IS_I64(i, 1, 0, 3, 2, 5, 4);
    tide_topk_attr two = {3, 0, 1, 1};
    assert_int_equal(tide_topk(x, &two, out), TIDE_OK);
    IS_I64(out[1], 1, 0, 3);
    FREE(out[0], out[1], i, x);
    x = tracked(noise(SHAPE(1000, 3), TIDE_F64, 8));
    down.dim = 0;
    assert_int_equal(tide_sort(x, &down, out), TIDE_OK);
    for (int k = 3; k < 3000; k++) assert_true(f64(out[0])[k] <= f64(out[0])[k - 3]);
    for (int k = 0; k < 3000; k++) assert_true(f64(out[0])[k] == f64(x)[i64(out[1])[k] * 3 + k % 3]);
    linear(out[0], x);
    FREE(out[0], out[1]);
    two = (tide_topk_attr){5, 0, 0, 1};
    assert_int_equal(tide_topk(x, &two, out), TIDE_OK);
    linear(out[0], x);
    FREE(out[0], out[1]);
    two.k = 1001;
    fails(tide_topk(x, &two, out) ? NULL : x, "[topk] k = 1001 is out of range for dim 1 of size 1000");
    FREE(x);
}

/* ---- convolution ---- */

typedef struct {
    int64_t n, g, ic, oc, h, w, kh, kw, sh, sw, ph, pw, dh, dw;
} convolution;

static void naive(const convolution *c, const double *x, const double *w, const double *b, double *y,
                  int64_t oh, int64_t ow) {
    int64_t icg = c->ic / c->g, ocg = c->oc / c->g;
    for (int64_t n = 0; n < c->n; n++)
        for (int64_t o = 0; o < c->oc; o++)
            for (int64_t i = 0; i < oh; i++)
                for (int64_t j = 0; j < ow; j++) {
                    double sum = b ? b[o] : 0;
                    for (int64_t k = 0; k < icg; k++)
                        for (int64_t u = 0; u < c->kh; u++)
                            for (int64_t v = 0; v < c->kw; v++) {
                                int64_t iy = i * c->sh - c->ph + u * c->dh, ix = j * c->sw - c->pw + v * c->dw;
                                if (iy < 0 || ix < 0 || iy >= c->h || ix >= c->w) continue;
                                sum += x[((n * c->ic + o / ocg * icg + k) * c->h + iy) * c->w + ix] *
                                       w[((o * icg + k) * c->kh + u) * c->kw + v];
                            }
                    y[((n * c->oc + o) * oh + i) * ow + j] = sum;
                }
}

static const convolution shapes[] = {
    {2, 1, 3, 4, 7, 8, 3, 3, 1, 1, 1, 1, 1, 1}, {3, 2, 4, 6, 9, 7, 3, 2, 2, 1, 0, 1, 1, 2},
    {1, 1, 2, 3, 5, 5, 1, 1, 1, 1, 0, 0, 1, 1}, {2, 4, 4, 4, 6, 6, 3, 3, 1, 2, 2, 0, 2, 1},
    {2, 1, 2, 2, 4, 4, 1, 1, 2, 2, 1, 1, 1, 1}, {0, 1, 2, 3, 5, 5, 3, 3, 1, 1, 1, 1, 1, 1},
    {1, 1, 1, 1, 3, 3, 3, 3, 1, 1, 2, 2, 1, 1},
};

static void conv2d(void **state) {
    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        const convolution *c = &shapes[s];
        tide_tensor *x = tracked(noise(SHAPE(c->n, c->ic, c->h, c->w), TIDE_F64, 1));
        tide_tensor *w = tracked(noise(SHAPE(c->oc, c->ic / c->g, c->kh, c->kw), TIDE_F64, 2)),
                    *b = tracked(noise(SHAPE(c->oc), TIDE_F64, 3));
        tide_conv2d_attr a = {.stride = {{c->sh, c->sw}},
                              .padding = {{c->ph, c->pw}},
                              .dilation = {{c->dh, c->dw}},
                              .groups = c->g};
        tide_tensor *y = tide_conv2d(x, w, b, &a), *plain = tide_conv2d(x, w, NULL, &a);
        assert_non_null(y);
        int64_t oh = y->meta.shape[2], ow = y->meta.shape[3], n = tide_numel(&y->meta);
        assert_int_equal(oh, (c->h + 2 * c->ph - c->dh * (c->kh - 1) - 1) / c->sh + 1);
        double *want = malloc((size_t)n * 8 + 8);
        naive(c, f64(x), f64(w), f64(b), want, oh, ow);
        same_f64(y, want, n, 1e-13);
        free(want);
        linear(plain, x); /* each direction, and the directions' own gradients */
        linear(plain, w);
        FREE(x, w, b, y, plain);
    }
}

static void conv_forms(void **state) {
    (void)state;
    tide_tensor *x = F64(SHAPE(1, 4), 1, 2, 3, 4), *w = F64(SHAPE(1, 1, 2), 1, 10), *b = F64(SHAPE(1), 0.5);
    tide_conv1d_attr a = *(const tide_conv1d_attr *)tide_op_table[TIDE_OP_CONV1D].attr0;
    tide_tensor *y = tide_conv1d(x, w, b, &a); /* no batch */
    IS_F64(y, 21.5, 32.5, 43.5);
    a.pad = TIDE_CONV1D_SAME;
    tide_tensor *z = tide_conv1d(x, w, NULL, &a); /* the odd one of padding comes last */
    IS_F64(z, 21, 32, 43, 4);
    a.stride.v[1] = 2;
    fails(tide_conv1d(x, w, NULL, &a), "[conv1d] pad = \"same\" takes stride 1");
    tide_tensor *ix = I64(SHAPE(1, 1, 2, 2), 1, 2, 3, 4), *iw = I64(SHAPE(2, 1, 2, 2), 1, 0, 0, 1, 1, 1, 1, 1);
    tide_conv2d_attr c = *(const tide_conv2d_attr *)tide_op_table[TIDE_OP_CONV2D].attr0;
    tide_tensor *iy = tide_conv2d(ix, iw, NULL, &c);
    IS_I64(iy, 5, 10);
    c.groups = 3;
    fails(tide_conv2d(ix, iw, NULL, &c), "[conv2d] 3 groups do not divide the 2 results of weight (2,1,2,2)");
    FREE(x, w, b, y, z, ix, iw, iy);
}

static void max_pool(void **state) {
    (void)state;
    tide_tensor *x = F64(SHAPE(1, 3, 4), 1, 9, 9, 2, NAN, 0, -INFINITY, 3, 5, NAN, 4, 4), *out[2];
    tide_max_pool2d_with_indices_attr a =
        *(const tide_max_pool2d_with_indices_attr *)tide_op_table[TIDE_OP_MAX_POOL2D].attr0;
    a.kernel_size = (tide_pair){{2, 2}};
    a.stride = (tide_pair){{1, 1}};
    assert_int_equal(tide_max_pool2d_with_indices(x, &a, out), TIDE_OK);
    IS_I64(out[1], 4, 1, 2, 4, 9, 10); /* NaN wins, then the first of equals */
    FREE(out[0], out[1], x);
    x = tracked(noise(SHAPE(2, 3, 7, 9), TIDE_F64, 6));
    a = (tide_max_pool2d_with_indices_attr){
        .kernel_size = {{3, 2}}, .stride = {{2, 1}}, .padding = {{1, 1}}, .dilation = {{1, 2}}, .ceil_mode = 1};
    assert_int_equal(tide_max_pool2d_with_indices(x, &a, out), TIDE_OK);
    linear(out[0], x);
    FREE(out[0], out[1]);
    a.padding.v[0] = 2;
    fails(tide_max_pool2d_with_indices(x, &a, out) ? NULL : x,
          "[max_pool2d_with_indices] padding must be 0 to half the window of 3, not 2");
    FREE(x);
}

/* ---- the same bytes on any number of threads and tiles ---- */

enum { RESULTS = 9, MOST = 1 << 16 };
static size_t everything(int threads, float *to) {
    tide_config config = {.size = sizeof config, .threads = threads};
    tide_context *outer = cx;
    assert_int_equal(tide_open(&config, &cx), TIDE_OK);
    tide_begin(cx);
    tide_tensor *x = noise(SHAPE(8, 6, 14, 14), TIDE_F32, 1), *w = noise(SHAPE(10, 3, 3, 3), TIDE_F32, 2),
                *b = noise(SHAPE(10), TIDE_F32, 3);
    tracked(x), tracked(w);
    tide_conv2d_attr c = {.stride = {{1, 1}}, .padding = {{1, 1}}, .dilation = {{1, 1}}, .groups = 2};
    tide_tensor *result[RESULTS], *g[2], *pooled[2];
    tide_tensor *y = result[0] = tide_conv2d(x, w, b, &c), *gy = noise(y->meta, TIDE_F32, 9);
    assert_int_equal(tide_grad(cx, &y, 1, (tide_tensor *[]){x, w}, 2, &gy, 0, g), TIDE_OK);
    result[1] = g[0], result[2] = g[1];
    tide_max_pool2d_with_indices_attr p = {
        .kernel_size = {{3, 3}}, .stride = {{2, 2}}, .padding = {{1, 1}}, .dilation = {{1, 1}}};
    assert_int_equal(tide_max_pool2d_with_indices(x, &p, pooled), TIDE_OK);
    result[3] = pooled[0];
    tide_tensor *table = noise(SHAPE(50, 130), TIDE_F32, 4), *ids = indices(SHAPE(400), 50, 5),
                *rows = noise(SHAPE(400, 130), TIDE_F32, 6);
    tide_index_add_attr add = {0, {{.i = 1}, TIDE_INTEGER, 0}};
    result[4] = tide_index_add(table, ids, rows, &add);
    tide_tensor *at = indices(SHAPE(50, 300), 130, 7), *src = noise(SHAPE(50, 300), TIDE_F32, 8);
    result[5] = tide_scatter_add(table, at, src, &(tide_scatter_add_attr){1});
    result[6] = tide_gather(table, at, &(tide_gather_attr){1});
    result[7] = tide_cumsum(rows, &(tide_cumsum_attr){0, 0});
    assert_int_equal(tide_sort(rows, &(tide_sort_attr){0, 0, 0}, pooled), TIDE_OK);
    result[8] = pooled[0];
    size_t n = 0;
    for (int i = 0; i < RESULTS; i++) {
        assert_non_null(result[i]);
        size_t k = (size_t)tide_numel(&result[i]->meta);
        assert_true(n + k <= RESULTS * MOST);
        assert_int_equal(tide_read(result[i], to + n, k * sizeof *to), TIDE_OK);
        n += k;
    }
    tide_end(cx);
    tide_close(cx);
    cx = outer;
    return n;
}
static void same_bytes(void **state) {
    (void)state;
    float *one = malloc(RESULTS * MOST * sizeof *one), *other = malloc(RESULTS * MOST * sizeof *other);
    size_t n = everything(1, one);
    assert_int_equal(everything(4, other), n);
    assert_memory_equal(one, other, n * sizeof *one);
    setenv("TIDE_TILE", "small", 1);
    assert_int_equal(everything(4, other), n);
    unsetenv("TIDE_TILE");
    assert_memory_equal(one, other, n * sizeof *one);
    free(one), free(other);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(cat_and_stack),     TEST(cat_of_many), TEST(lookups),
        TEST(advanced_indexing), TEST(writing),     TEST(position_gradients),
        TEST(nonzero_and_mask),  TEST(embedding),   TEST(cumsum),
        TEST(sorting),           TEST(conv2d),      TEST(conv_forms),
        TEST(max_pool),          TEST(same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
