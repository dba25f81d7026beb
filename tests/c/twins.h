/* Two of everything: the same training run eagerly in one context and as compiled steps in another. After every
 * step parameters, gradients, optimizer state, results and the number of random calls are the same bytes.
 * Included by one test, after cmocka's header. */
#ifndef TWINS_H
#define TWINS_H

#include "trace/trace.h"
#include <stdio.h>
#include <stdlib.h>

enum { MOST = 16 };

typedef struct twin {
    tide_context *cx;
    bool compiled;
    int np, nstate, nout, batch;
    tide_tensor *p[MOST];     /* parameters */
    tide_tensor *state[MOST]; /* other tensors that live from step to step: running statistics, inputs */
    tide_tensor *out[MOST];   /* what a step gives back, freed by the driver */
    tide_optim *opt;
    tide_status status; /* of the step */
    char error[512];
    void *ud;
} twin;

typedef struct {
    const char *name;
    void (*init)(twin *t);
    void (*step)(twin *t, int i);   /* between tide_step_begin and tide_step_end, with a scope open */
    void (*before)(twin *t, int i); /* outside the step; may be NULL */
    void *ud;
} model;

/* ---- making tensors ---- */

static uint64_t random_state = 1;
static uint64_t random_bits(void) { /* xorshift64* (Vigna 2016) */
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545F4914F6CDD1Dull;
}
static void seed_random(uint64_t seed) {
    random_state = seed * 0x9E3779B97F4A7C15ull + 88172645463325252ull;
    random_bits();
}
static double uniform(void) { return (double)(random_bits() >> 11) * 0x1p-53; }
static int below(int n) { return (int)(random_bits() >> 33) % n; }

#define NARGS(...) (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t))
#define SH(...) ((tide_meta){.shape = {__VA_ARGS__}, .ndim = NARGS(__VA_ARGS__)})
#define LIST(...)                           \
    {                                       \
        NARGS(__VA_ARGS__), { __VA_ARGS__ } \
    }
#define F(v) \
    { {.f = v}, TIDE_FLOAT, 0 }
#define I(v) \
    { {.i = v}, TIDE_INTEGER, 0 }
#define A(op, ...) (&(tide_##op##_attr){__VA_ARGS__})

/* The same numbers for the same seed, in any context. */
static tide_tensor *noise(tide_context *cx, tide_meta m, uint64_t seed) {
    m.dtype = TIDE_F32;
    tide_tensor *t = tide_empty(cx, &m);
    if (!t) return NULL;
    uint64_t was = random_state;
    seed_random(seed);
    for (int64_t i = 0; i < tide_numel(&m); i++)
        ((float *)(void *)tide_data(t))[i] = (float)(2 * uniform() - 1);
    random_state = was;
    return t;
}
static tide_tensor *labels(tide_context *cx, int64_t n, int classes, uint64_t seed) {
    tide_meta m = SH(n);
    m.dtype = TIDE_I64;
    tide_tensor *t = tide_empty(cx, &m);
    if (!t) return NULL;
    uint64_t was = random_state;
    seed_random(seed);
    for (int64_t i = 0; i < n; i++) ((int64_t *)(void *)tide_data(t))[i] = below(classes);
    random_state = was;
    return t;
}
static tide_tensor *param(twin *t, tide_meta m) {
    tide_tensor *p = noise(t->cx, m, (uint64_t)(100 + t->np));
    if (p) tide_set_requires_grad(p, 1);
    return t->p[t->np++] = p;
}
static void optimizer(twin *t, tide_optim_kind kind, double lr, double momentum) {
    tide_optim_config c = tide_optim_defaults(kind);
    c.lr = lr;
    c.momentum = momentum;
    t->opt = tide_optim_new(t->cx, t->p, t->np, &c);
}
static tide_tensor *inplace(int code, tide_tensor *x, tide_tensor *other, const void *attr) {
    const tide_op *o = &tide_op_table[code];
    tide_tensor *in[3] = {x, other, NULL}, *out = NULL;
    if (!x) return NULL;
    tide_call c = {.op = (uint16_t)code,
                   .flags = TIDE_INPLACE,
                   .nin = o->nin,
                   .nout = 1,
                   .in = in,
                   .out = &out,
                   .attr = attr ? attr : o->attr0,
                   .nattr = o->nattr};
    return tide_apply(x->cx, &c) ? NULL : x;
}
/* Gives t back from the step. */
static void give(twin *t, tide_tensor *result) { t->out[t->nout++] = tide_keep(result); }
static void learn(twin *t, tide_tensor *loss) {
    tide_optim_zero_grad(t->opt);
    tide_backward(loss, NULL, 0);
    tide_optim_step(t->opt);
    give(t, loss);
}

/* ---- running and comparing ---- */

static bool open_twin(twin *t, const model *m, const tide_config *config) {
    t->ud = m->ud;
    t->batch = 8;
    if (tide_open(config, &t->cx) || tide_tape_open(t->cx)) return false;
    tide_manual_seed(t->cx, 42);
    m->init(t);
    return !tide_pending(t->cx);
}

static void drop_results(twin *t) {
    for (int i = 0; i < t->nout; i++) tide_free(t->out[i]);
    t->nout = 0;
}

static void close_twin(twin *t) {
    drop_results(t);
    tide_optim_free(t->opt);
    for (int i = 0; i < t->np; i++) tide_free(t->p[i]);
    for (int i = 0; i < t->nstate; i++) tide_free(t->state[i]);
    tide_close(t->cx);
}

static void run_step(twin *t, const model *m, int i) {
    tide_context *cx = t->cx;
    struct {
        int batch;
    } key = {t->batch};
    drop_results(t);
    t->status = t->compiled ? tide_step_begin(cx, &key, sizeof key) : TIDE_OK;
    if (!t->status) {
        tide_begin(cx);
        m->step(t, i);
        tide_end(cx);
        t->status = tide_pending(cx);
        if (t->compiled) {
            tide_status e = t->status ? tide_step_abort(cx) : tide_step_end(cx, t->out, t->nout);
            if (!t->status) t->status = e;
        }
    }
    const char *text = tide_error(cx, NULL);
    snprintf(t->error, sizeof t->error, "%s", text ? text : "");
    if (t->status) drop_results(t);
}

static void same_bytes(tide_tensor *a, tide_tensor *b, const char *who, int step, const char *what, int at) {
    if (!a != !b)
        fail_msg("%s, step %d: %s %d is there in one only: eager %d, compiled %d", who, step, what, at,
                 a != NULL, b != NULL);
    if (!a) return;
    if (!tide_same_meta(&a->meta, &b->meta))
        fail_msg("%s, step %d: %s %d has another shape or dtype", who, step, what, at);
    size_t n = (size_t)tide_numel(&a->meta) * tide_dtype_size((tide_dtype)a->meta.dtype);
    char *u = malloc(n + 1), *v = malloc(n + 1);
    if (tide_read(a, u, n))
        fail_msg("%s, step %d: %s %d, eager: %s", who, step, what, at, tide_error(a->cx, NULL));
    if (tide_read(b, v, n))
        fail_msg("%s, step %d: %s %d, compiled: %s", who, step, what, at, tide_error(b->cx, NULL));
    for (size_t i = 0; i < n; i++)
        if (u[i] != v[i]) fail_msg("%s, step %d: %s %d differs at byte %zu of %zu", who, step, what, at, i, n);
    free(u), free(v);
}

static void same_twins(twin *a, twin *b, const char *who, int step) {
    static const char *const name[] = {"momentum_buffer", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"};
    if (a->status != b->status || strcmp(a->error, b->error))
        fail_msg("%s, step %d: eager '%s', compiled '%s'", who, step, a->error, b->error);
    if (a->cx->rng_calls != b->cx->rng_calls) fail_msg("%s, step %d: random calls differ", who, step);
    if (a->nout != b->nout) fail_msg("%s, step %d: %d results, %d compiled", who, step, a->nout, b->nout);
    for (int i = 0; i < a->np; i++) same_bytes(a->p[i], b->p[i], who, step, "parameter", i);
    for (int i = 0; i < a->np; i++)
        same_bytes(tide_grad_of(a->p[i]), tide_grad_of(b->p[i]), who, step, "gradient", i);
    for (int i = 0; i < a->nstate; i++) same_bytes(a->state[i], b->state[i], who, step, "state", i);
    for (int i = 0; i < a->nout; i++) same_bytes(a->out[i], b->out[i], who, step, "result", i);
    for (int i = 0; a->opt && i < a->np; i++) {
        if (tide_optim_count(a->opt, i) != tide_optim_count(b->opt, i))
            fail_msg("%s, step %d: optimizer counts differ", who, step);
        for (int k = 0; k < 4; k++)
            same_bytes(tide_optim_state(a->opt, i, name[k]), tide_optim_state(b->opt, i, name[k]), who, step,
                       name[k], i);
    }
}

/* Trains both, comparing after every step; `count` gets what the last step of the compiled one added. */
static void train_twins(const model *m, int steps, tide_counters *total) {
    tide_config config = {.size = sizeof config, .threads = 1};
    twin a = {.compiled = false}, b = {.compiled = true};
    if (!open_twin(&a, m, &config) || !open_twin(&b, m, &config)) fail_msg("%s: cannot open", m->name);
    for (int i = 1; i <= steps; i++) {
        for (int k = 0; k < 2; k++) {
            twin *t = k ? &b : &a;
            if (m->before) m->before(t, i);
            run_step(t, m, i);
        }
        same_twins(&a, &b, m->name, i);
    }
    tide_count(b.cx, total);
    for (int k = 0; k < 2; k++) { /* what is left when everything has been freed was leaked */
        twin *t = k ? &b : &a;
        tide_context *cx = t->cx;
        drop_results(t);
        tide_optim_free(t->opt);
        t->opt = NULL;
        for (int i = 0; i < t->np; i++) tide_free(t->p[i]), t->p[i] = NULL;
        for (int i = 0; i < t->nstate; i++) tide_free(t->state[i]), t->state[i] = NULL;
        if (cx->tape->nodes)
            fail_msg("%s: %d nodes and %d tensors are left, %s", m->name, (int)cx->tape->nodes,
                     (int)cx->tensors->live, k ? "compiled" : "eager");
        if (!k && cx->tensors->live) fail_msg("%s: %d tensors are left", m->name, (int)cx->tensors->live);
        close_twin(t);
    }
}

#endif
