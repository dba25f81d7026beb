/* Programs compiled ahead: they are found, and give the bytes of the vector machine, which alone runs on the
 * baseline. Rows and columns of lengths around those where the order of additions changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "device/cpu/vm_plan.h"
#include "op/op.h"

enum { OUTPUTS = 4 };

typedef struct {
    int64_t rows, columns;
} shape;
static const shape shapes[] = {{1, 32},   {3, 33},  {7, 255},    {2, 256},   {5, 257},  {4, 1000},
                               {300, 40}, {20, 10}, {17, 2},     {33, 31},   {513, 70}, {256, 17},
                               {600, 64}, {2, 1},   {258, 2100}, {257, 5000}}; /* the last two: fewer rows side
                                                                                  by side */

/* What one operation gave: outputs and gradients, floats each. */
typedef struct {
    int n;
    int64_t size[2 * OUTPUTS];
    float *data[2 * OUTPUTS];
} results;

static void keep(results *r, tide_tensor *t) {
    int64_t n = tide_numel(tide_meta_of(t));
    assert_true(r->n < 2 * OUTPUTS);
    r->size[r->n] = n;
    r->data[r->n] = malloc((size_t)(n + 1) * sizeof(float));
    assert_int_equal(tide_read(t, r->data[r->n], (size_t)n * sizeof(float)), TIDE_OK);
    r->n++;
}
static void drop(results *r) {
    while (r->n > 0) free(r->data[--r->n]);
}

/* Any NaN is equal to any NaN. */
static void same(const char *name, shape s, const results *a, const results *b) {
    assert_int_equal(a->n, b->n);
    for (int k = 0; k < a->n; k++) {
        assert_int_equal(a->size[k], b->size[k]);
        for (int64_t i = 0; i < a->size[k]; i++) {
            float x = a->data[k][i], y = b->data[k][i];
            if (memcmp(&x, &y, sizeof x) && !(isnan(x) && isnan(y)))
                fail_msg("%s (%d,%d): result %d differs at %d: %a and %a", name, (int)s.rows, (int)s.columns, k,
                         (int)i, (double)x, (double)y);
        }
    }
}

static float value(int64_t i, bool odd) {
    static const float odds[] = {NAN, INFINITY, -INFINITY, -0.0f, 1e-40f, 300, -300, 0};
    uint64_t h = (uint64_t)(i + 1) * 0x9e3779b97f4a7c15u;
    h ^= h >> 31;
    h *= 0xbf58476d1ce4e5b9u;
    if (odd && h % 61 == 0) return odds[h >> 33 & 7];
    return (float)(int32_t)(h >> 16) * 0x1p-29f;
}

static tide_tensor *tensor(tide_context *cx, int ndim, shape s, int64_t seed, bool odd) {
    tide_meta m = {.ndim = ndim, .shape = {s.rows, s.columns}, .dtype = TIDE_F32};
    if (ndim == 1) m.shape[0] = s.columns;
    tide_tensor *t = tide_empty(cx, &m);
    assert_non_null(t);
    float *data = (float *)(void *)tide_data(t);
    for (int64_t i = 0; i < tide_numel(&m); i++) data[i] = value(seed * 7919 + i, odd);
    assert_int_equal(tide_set_requires_grad(t, 1), TIDE_OK);
    return t;
}

/* y's elements and the gradients of n inputs. */
static void both_ways(tide_context *cx, results *r, tide_tensor *y, tide_tensor **x, int n) {
    assert_non_null(y);
    shape s = {tide_meta_of(y)->shape[0], tide_meta_of(y)->shape[1]};
    tide_tensor *gy = tide_detach(tensor(cx, 2, s, 99, false)), *gx[4];
    keep(r, y);
    assert_int_equal(tide_grad(cx, &y, 1, x, n, &gy, 0, gx), TIDE_OK);
    for (int k = 0; k < n; k++) keep(r, gx[k]);
}

typedef void experiment(tide_context *cx, shape s, bool odd, results *r);

static void map(tide_context *cx, shape s, bool odd, uint16_t op, const void *attr, results *r) {
    tide_tensor *x = tensor(cx, 2, s, 1, odd), *y = NULL;
    tide_call call = {.op = op,
                      .nin = 1,
                      .nout = 1,
                      .in = &x,
                      .out = &y,
                      .attr = attr ? attr : tide_op_table[op].attr0,
                      .nattr = tide_op_table[op].nattr};
    assert_int_equal(tide_apply(cx, &call), TIDE_OK);
    both_ways(cx, r, y, &x, 1);
    tide_free(y);
}
#define MAP(name, op, ...) \
    static void name(tide_context *cx, shape s, bool odd, results *r) { map(cx, s, odd, op, __VA_ARGS__, r); }
MAP(gelu, TIDE_OP_GELU, NULL)
MAP(gelu_tanh, TIDE_OP_GELU, &(tide_gelu_attr){TIDE_GELU_TANH})
MAP(relu, TIDE_OP_RELU, NULL)
MAP(silu, TIDE_OP_SILU, NULL)
MAP(mish, TIDE_OP_MISH, NULL)
MAP(softmax_rows, TIDE_OP_SOFTMAX, (&(tide_softmax_attr){.dim = {1, {1}}}))
MAP(softmax_columns, TIDE_OP_SOFTMAX, (&(tide_softmax_attr){.dim = {1, {0}}}))
MAP(log_softmax, TIDE_OP_LOG_SOFTMAX, (&(tide_log_softmax_attr){.dim = {1, {1}}}))

static void layer_norm(tide_context *cx, shape s, bool odd, results *r) {
    tide_tensor *x[3] = {tensor(cx, 2, s, 1, odd), tensor(cx, 1, s, 2, odd), tensor(cx, 1, s, 3, false)};
    tide_layer_norm_attr attr = {.normalized_shape = {1, {s.columns}}, .eps = 1e-3};
    both_ways(cx, r, tide_layer_norm(x[0], x[1], x[2], &attr), x, 3);
}
static void layer_norm_alone(tide_context *cx, shape s, bool odd, results *r) {
    tide_tensor *x = tensor(cx, 2, s, 1, odd);
    both_ways(cx, r, tide_layer_norm(x, NULL, NULL, &(tide_layer_norm_attr){{1, {s.columns}}, 1e-5}), &x, 1);
}
static void rms_norm(tide_context *cx, shape s, bool odd, results *r) {
    tide_tensor *x[2] = {tensor(cx, 2, s, 1, odd), tensor(cx, 1, s, 2, odd)};
    both_ways(cx, r, tide_rms_norm(x[0], x[1], &(tide_rms_norm_attr){{1, {s.columns}}, 1e-5}), x, 2);
}

static void cross_entropy(tide_context *cx, shape s, bool odd, results *r) {
    tide_tensor *x = tensor(cx, 2, s, 1, odd), *gx;
    tide_tensor *label = tide_empty(cx, &(tide_meta){.ndim = 1, .shape = {s.rows}, .dtype = TIDE_I64});
    int64_t *data = (int64_t *)(void *)tide_data(label);
    for (int64_t i = 0; i < s.rows; i++) data[i] = i % 5 == 4 ? -100 : i * 7 % s.columns;
    tide_tensor *y = tide_cross_entropy(x, label, NULL, NULL);
    assert_int_equal(tide_grad(cx, &y, 1, &x, 1, NULL, 0, &gx), TIDE_OK);
    keep(r, y);
    keep(r, gx);
}
static void step(tide_context *cx, shape s, bool odd, tide_optim_kind kind, results *r) {
    tide_tensor *x[2] = {tensor(cx, 2, s, 1, odd), tensor(cx, 1, s, 2, odd)};
    tide_optim_config config = tide_optim_defaults(kind);
    config.weight_decay = 0.01;
    tide_optim *o = tide_optim_new(cx, x, 2, &config);
    assert_non_null(o);
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 2; k++) {
            tide_tensor *y = tide_mul(x[k], x[k], NULL);
            assert_int_equal(tide_backward(y, tide_ones_like(y, NULL), 0), TIDE_OK);
        }
        assert_int_equal(tide_optim_step(o), TIDE_OK);
        assert_int_equal(tide_optim_zero_grad(o), TIDE_OK);
    }
    for (int k = 0; k < 2; k++) keep(r, tide_detach(x[k]));
    tide_optim_free(o);
}
static void adam(tide_context *cx, shape s, bool odd, results *r) { step(cx, s, odd, TIDE_ADAM, r); }
static void adamw(tide_context *cx, shape s, bool odd, results *r) { step(cx, s, odd, TIDE_ADAMW, r); }
static void nadam(tide_context *cx, shape s, bool odd, results *r) { step(cx, s, odd, TIDE_NADAM, r); }

static const struct {
    const char *name;
    experiment *run;
    bool columns; /* its gradient is, in part, by columns */
} experiments[] = {{"gelu", gelu, false},
                   {"gelu, tanh", gelu_tanh, false},
                   {"relu", relu, false},
                   {"silu", silu, false},
                   {"mish", mish, false},
                   {"softmax of rows", softmax_rows, false},
                   {"softmax of columns", softmax_columns, false},
                   {"log_softmax", log_softmax, false},
                   {"layer_norm", layer_norm, true},
                   {"layer_norm without weights", layer_norm_alone, false},
                   {"rms_norm", rms_norm, true},
                   {"cross_entropy", cross_entropy, false},
                   {"adam", adam, false},
                   {"adamw", adamw, false},
                   {"nadam", nadam, false}};

/* How many of the context's programs were compiled ahead; *columns: that can run by columns. */
static int found(tide_context *cx, int *columns) {
    int n = 0;
    *columns = 0;
    const tide_cache *c = &cx->door->variants;
    for (int64_t s = 0; s < c->capacity; s++) {
        const tide_variant *v = (const tide_variant *)c->slot[s];
        for (int i = 0; v && i < v->pieces.npiece; i++) {
            const tide_vm *vm = v->compiled[i];
            if (!vm || !vm->ahead) continue;
            n++;
            *columns += vm->ahead->add != NULL;
        }
    }
    return n;
}

/* TIDE_TILE=small is asked for at tide_open: large outputs then go past the caches at any size. */
static void run(tide_isa isa, bool small, size_t e, shape s, bool odd, results *r) {
    tide_context *cx;
    tide_config config = {.size = sizeof config, .threads = 1};
    assert_int_equal(small ? setenv("TIDE_TILE", "small", 1) : unsetenv("TIDE_TILE"), 0);
    assert_int_equal(tide_open(&config, &cx), TIDE_OK);
    if (cx->isa > isa) cx->isa = isa;
    tide_begin(cx);
    experiments[e].run(cx, s, odd, r);
    int columns, n = found(cx, &columns);
    if (isa == TIDE_ISA_BASELINE || tide_ahead_avx2[0].run == NULL) {
        assert_int_equal(n, 0);
    } else if (cx->isa >= TIDE_ISA_AVX2 && s.columns > 1) {
        assert_true(n >= 1);
        assert_true(!experiments[e].columns || columns >= 1);
    }
    tide_end(cx);
    assert_int_equal(cx->tensors ? cx->tensors->live : 0, 0);
    tide_close(cx);
}

static void test_same_bytes(void **state) {
    size_t e = (size_t)((char *)*state - (char *)experiments) / sizeof *experiments;
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
        for (int odd = 0; odd < 2; odd++) {
            results want = {0};
            run(TIDE_ISA_BASELINE, false, e, shapes[k], odd, &want);
            for (int isa = TIDE_ISA_AVX2; isa <= TIDE_ISA_AVX512; isa++) {
                for (int small = 0; small < 2; small++) {
                    results got = {0};
                    run((tide_isa)isa, small, e, shapes[k], odd, &got);
                    same(experiments[e].name, shapes[k], &want, &got);
                    drop(&got);
                }
            }
            drop(&want);
        }
    }
}

int main(void) {
    struct CMUnitTest tests[sizeof experiments / sizeof *experiments];
    for (size_t e = 0; e < sizeof experiments / sizeof *experiments; e++)
        tests[e] =
            (struct CMUnitTest){experiments[e].name, test_same_bytes, NULL, NULL, (void *)&experiments[e]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
