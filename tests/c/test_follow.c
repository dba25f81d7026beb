/* Compiled steps: the same bytes as eager ones, whatever the step does; and that they do save the work. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "twins.h"

/* ---- models ---- */

static tide_tensor *dense(tide_tensor *x, tide_tensor *w, tide_tensor *b, int activation) {
    return tide_linear(x, w, b, A(linear, activation));
}
static tide_tensor *batch_of(twin *t, int i) { return noise(t->cx, SH(t->batch, 6), (uint64_t)(1000 + i)); }
static tide_tensor *targets_of(twin *t, int i) { return labels(t->cx, t->batch, 3, (uint64_t)(2000 + i)); }
static void give_input(twin *t, int i) { /* made outside the step, as a data loader does */
    for (int k = 0; k < t->nstate; k++) tide_free(t->state[k]);
    t->state[0] = batch_of(t, i);
    t->state[1] = targets_of(t, i);
    t->nstate = 2;
}
#define X t->state[0]
#define Y t->state[1]

static void mlp_params(twin *t) {
    param(t, SH(10, 6)), param(t, SH(10));
    param(t, SH(3, 10)), param(t, SH(3));
}
static void mlp_sgd(twin *t) { mlp_params(t), optimizer(t, TIDE_SGD, 0.1, 0.9); }
static void mlp_adamw(twin *t) { mlp_params(t), optimizer(t, TIDE_ADAMW, 0.01, 0); }
static void mlp_amsgrad(twin *t) {
    mlp_adamw(t);
    tide_optim_settings(t->opt)->amsgrad = 1;
}
static tide_tensor *hidden(twin *t) { return dense(X, t->p[0], t->p[1], TIDE_LINEAR_RELU); }
static tide_tensor *loss_of(twin *t, tide_tensor *h) {
    return tide_cross_entropy(dense(h, t->p[2], t->p[3], TIDE_LINEAR_NONE), Y, NULL, NULL);
}
static void mlp_step(twin *t, int i) { learn(t, loss_of(t, hidden(t))); }

static void dropout_step(twin *t, int i) { /* the rate is a slot, the call number another */
    learn(t, loss_of(t, tide_dropout(hidden(t), A(dropout, .p = i % 2 ? 0.5 : 0.25, .training = 1))));
}

static void norms_init(twin *t) {
    mlp_params(t);
    for (int k = 0; k < 4; k++) param(t, SH(10));
    optimizer(t, TIDE_SGD, 0.05, 0.9);
}
static void norms_before(twin *t, int i) { /* running statistics stay, inputs change */
    if (i == 1) {
        t->state[2] = tide_zeros(t->cx, A(zeros, .size = LIST(10)));
        t->state[3] = tide_ones(t->cx, A(ones, .size = LIST(10)));
    }
    tide_free(X), tide_free(Y);
    X = batch_of(t, i), Y = targets_of(t, i);
    t->nstate = 4;
}
static void norms_step(twin *t, int i) {
    tide_tensor *h = tide_batch_norm(hidden(t), t->state[2], t->state[3], t->p[4], t->p[5],
                                     A(batch_norm, 1, i > 9 ? 0.2 : 0.1, 1e-5));
    learn(t, loss_of(t, tide_layer_norm(h, t->p[6], t->p[7], A(layer_norm, LIST(10), 1e-5))));
}

static void branch_step(twin *t, int i) {
    tide_tensor *h = hidden(t);
    learn(t, loss_of(t, i < 7 || i % 5 == 0 ? tide_tanh(h) : tide_sigmoid(tide_mul(h, h, NULL))));
}
static void host_step(twin *t, int i) {
    tide_tensor *loss = loss_of(t, hidden(t));
    float value = 0;
    if (i == 9) tide_read(loss, &value, sizeof value);
    learn(t, value > 0 ? tide_mul(loss, NULL, A(mul, .other = F(2))) : loss);
}
static void host_late_step(twin *t, int i) { /* reads what backward and the optimizer have written */
    mlp_step(t, i);
    float w[60], g[60];
    if (i % 4 == 0) tide_read(t->p[0], w, sizeof w), tide_read(tide_grad_of(t->p[0]), g, sizeof g);
}
static void sizes_before(twin *t, int i) {
    t->batch = i % 4 == 3 ? 5 : 8;
    tide_optim_settings(t->opt)->lr = 0.1 / i;
    give_input(t, i);
}
static void shapes_before(twin *t, int i) { /* one key, two shapes */
    give_input(t, i);
    if (i % 3) return;
    int batch = t->batch;
    t->batch = 4;
    give_input(t, i);
    t->batch = batch;
}
static void clip_step(twin *t, int i) {
    tide_tensor *loss = loss_of(t, hidden(t));
    tide_optim_zero_grad(t->opt);
    tide_backward(loss, NULL, 0);
    give(t, tide_clip_grad_norm(t->cx, t->p, t->np, 0.5 + 0.01 * i));
    tide_optim_step(t->opt);
    give(t, loss);
}
static void escape_step(twin *t, int i) { /* the caller keeps an intermediate, later not, later another */
    tide_tensor *h = hidden(t), *e = tide_tanh(h);
    learn(t, loss_of(t, e));
    if (i < 12) give(t, h);
    if (i > 8) give(t, tide_detach(e));
}
static void zero_before(twin *t, int i) {
    give_input(t, i);
    if (i == 6 || i == 13) tide_optim_zero_grad(t->opt);
}
static void accumulate_step(twin *t, int i) { /* gradients add up over three steps */
    tide_tensor *loss = loss_of(t, hidden(t));
    tide_backward(loss, NULL, 0);
    if (i % 3 == 0) {
        tide_optim_step(t->opt);
        tide_optim_zero_grad(t->opt);
    }
    give(t, loss);
}
static void view_step(twin *t, int i) {
    tide_tensor *first = tide_unsqueeze(tide_select(X, A(select, 1, 2)), A(unsqueeze, 1));
    tide_tensor *h = dense(X, t->p[0], t->p[1], TIDE_LINEAR_NONE), *half = tide_narrow(h, A(narrow, 1, 0, 5)),
                *rest = tide_narrow(h, A(narrow, 1, 5, 5));
    tide_tensor *wide = tide_expand(first, A(expand, LIST(-1, 5)));
    learn(t,
          loss_of(t, tide_cat((tide_tensor *[]){tide_tanh(rest), tide_mul(half, wide, NULL)}, 2, A(cat, 1))));
}
static void in_place_step(twin *t, int i) {
    tide_tensor *h = dense(X, t->p[0], t->p[1], TIDE_LINEAR_NONE);
    h = inplace(TIDE_OP_RELU, tide_add(h, NULL, A(add, .other = F(0.1), .alpha = I(1))), NULL, NULL);
    tide_tensor *scaled =
        inplace(TIDE_OP_MUL, tide_mul(h, NULL, A(mul, .other = F(0.5))), NULL, A(mul, .other = F(1.5)));
    inplace(TIDE_OP_ADD, scaled, h, NULL);
    learn(t, loss_of(t, scaled));
}
static void no_grad_step(twin *t,
                         int i) { /* a moving average of the first weight, and inputs standardised in place */
    int was = tide_set_grad_enabled(t->cx, 0);
    tide_tensor *x = tide_sub(X, tide_mean(X, A(mean, .dim = LIST(0))), NULL);
    inplace(TIDE_OP_MUL, t->p[0], NULL, A(mul, .other = F(0.99)));
    tide_set_grad_enabled(t->cx, was);
    learn(t, loss_of(t, dense(x, t->p[0], t->p[1], TIDE_LINEAR_TANH)));
}
static void penalty_step(twin *t, int i) { /* a gradient inside the graph */
    tide_tensor *loss = loss_of(t, dense(X, t->p[0], t->p[1], TIDE_LINEAR_TANH)), *g[2] = {NULL};
    if (tide_grad(t->cx, &loss, 1, t->p, 2, NULL, TIDE_CREATE_GRAPH, g)) return;
    learn(t,
          tide_add(loss, tide_add(tide_sum(tide_square(g[0]), NULL), tide_sum(tide_square(g[1]), NULL), NULL),
                   NULL));
}
static void wrapped_step(twin *t, int i) { /* a step inside the step */
    if (t->compiled) tide_step_begin(t->cx, "in", 2);
    mlp_step(t, i);
    if (t->compiled) tide_step_end(t->cx, NULL, 0);
}
static void write_step(twin *t, int i) { /* the host writes into an input that matched calls have read */
    tide_tensor *h = hidden(t);
    float row[6] = {0.5f};
    if (i % 6 == 5) tide_write(tide_select(X, A(select, 0, 0)), row, sizeof row);
    learn(t, loss_of(t, tide_add(h, tide_mean(X, NULL), NULL)));
}
static void freeze_before(twin *t, int i) { /* a layer stops and starts learning */
    give_input(t, i);
    if (i == 6) tide_set_requires_grad(t->p[0], 0);
    if (i == 12) tide_set_requires_grad(t->p[0], 1);
}
static void alias_step(twin *t, int i) { /* once both operands are one tensor, once not */
    tide_tensor *h = hidden(t), *g = i % 7 < 4 ? h : tide_add(h, NULL, A(add, .other = I(0), .alpha = I(1)));
    learn(t, loss_of(t, tide_mul(h, g, NULL)));
}
static void random_step(twin *t, int i) { /* random tensors made inside */
    tide_tensor *n = tide_randn_like(X, NULL), *u = tide_rand(t->cx, A(rand, .size = LIST(8, 10)));
    tide_tensor *x = tide_add(X, n, A(add, .alpha = F(0.1)));
    learn(t, loss_of(t, tide_mul(dense(x, t->p[0], t->p[1], TIDE_LINEAR_GELU), u, NULL)));
}
static void index_step(twin *t, int i) {
    tide_tensor *rows =
        tide_index_select(t->p[0], tide_argmax(X, A(argmax, .dim = LIST(1))), A(index_select, 0));
    tide_tensor *best =
        tide_amax(dense(X, t->p[0], t->p[1], TIDE_LINEAR_SILU), A(amax, .dim = LIST(1), .keepdim = 1));
    learn(t, tide_add(loss_of(t, hidden(t)), tide_mean(tide_mul(rows, best, NULL), NULL), NULL));
}
static tide_status pass(void *ud, tide_tensor *const *gy, int ngy, tide_tensor **gx, int ngx) {
    gx[0] = tide_keep(gy[0]);
    return TIDE_OK;
}
static void custom_step(twin *t, int i) {
    tide_tensor *h = hidden(t), *out = tide_detach(tide_mul(h, NULL, A(mul, .other = F(1.25))));
    if (i % 2)
        tide_custom_attach(t->cx, &h, 1, &out, 1, pass, NULL, NULL);
    else
        out = tide_mul(h, NULL, A(mul, .other = F(1.25)));
    learn(t, loss_of(t, out));
}
static void failing_step(twin *t, int i) { /* half way a call fails on some steps */
    tide_tensor *h = hidden(t);
    if (i % 4 == 0) h = tide_add(h, t->p[2], NULL);
    learn(t, loss_of(t, h));
}
static const model models[] = {
    {"mlp, AdamW", mlp_adamw, mlp_step, give_input, NULL},
    {"mlp, SGD", mlp_sgd, mlp_step, give_input, NULL},
    {"mlp, AMSGrad", mlp_amsgrad, mlp_step, give_input, NULL},
    {"dropout", mlp_adamw, dropout_step, give_input, NULL},
    {"norms", norms_init, norms_step, norms_before, NULL},
    {"two branches", mlp_adamw, branch_step, give_input, NULL},
    {"loss read on the host", mlp_adamw, host_step, give_input, NULL},
    {"weights read on the host", mlp_adamw, host_late_step, give_input, NULL},
    {"batch size and learning rate", mlp_sgd, mlp_step, sizes_before, NULL},
    {"two shapes under one key", mlp_sgd, mlp_step, shapes_before, NULL},
    {"clipping", mlp_adamw, clip_step, give_input, NULL},
    {"escaping intermediates", mlp_sgd, escape_step, give_input, NULL},
    {"zero_grad outside", mlp_sgd, accumulate_step, zero_before, NULL},
    {"accumulation", mlp_adamw, accumulate_step, give_input, NULL},
    {"views of inputs", mlp_sgd, view_step, give_input, NULL},
    {"in place", mlp_sgd, in_place_step, give_input, NULL},
    {"no_grad", mlp_sgd, no_grad_step, give_input, NULL},
    {"gradient penalty", mlp_sgd, penalty_step, give_input, NULL},
    {"a step inside", mlp_sgd, wrapped_step, give_input, NULL},
    {"written from the host", mlp_sgd, write_step, give_input, NULL},
    {"freezing a layer", mlp_sgd, mlp_step, freeze_before, NULL},
    {"aliases", mlp_sgd, alias_step, give_input, NULL},
    {"random tensors", mlp_adamw, random_step, give_input, NULL},
    {"positions", mlp_sgd, index_step, give_input, NULL},
    {"custom function", mlp_sgd, custom_step, give_input, NULL},
    {"failing calls", mlp_sgd, failing_step, give_input, NULL},
};

static void twins(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof models / sizeof *models; k++) {
        tide_counters c;
        train_twins(&models[k], 20, &c);
        if (getenv("TIDE_TEST_VERBOSE"))
            print_message("%-30s %3d launches, %2d deopts, %2d recordings, %s\n", models[k].name,
                          (int)c.launches, (int)c.deopts, (int)c.recordings, c.refused ? c.refused : "");
    }
}

/* ---- what following saves ---- */

static void savings(void **state) {
    (void)state;
    tide_config config = {.size = sizeof config, .threads = 1};
    twin t = {.compiled = true};
    assert_true(open_twin(&t, &models[0], &config));
    for (int i = 1; i <= 20; i++) {
        tide_counters was, now;
        give_input(&t, i);
        tide_count(t.cx, &was);
        run_step(&t, &models[0], i);
        assert_int_equal(t.status, TIDE_OK);
        tide_count(t.cx, &now);
        if (i < 3) continue;
        assert_int_equal(now.calls - was.calls, 0);
        assert_int_equal(now.launches - was.launches, 1);
        assert_int_equal(now.deopts - was.deopts, 0);
        assert_int_equal(now.matched - was.matched, 6);
        assert_in_range(now.kernels - was.kernels, 1, 16);
        if (i > 3) assert_int_equal(now.allocs - was.allocs, 0); /* the first launch makes the arena */
        if (i > 3) assert_int_equal(now.programs - was.programs, 0);
    }
    close_twin(&t);
}

/* ---- errors ---- */

static void expect_error(tide_context *cx, tide_status e, const char *part) {
    const char *text = tide_error(cx, NULL);
    assert_int_not_equal(e, TIDE_OK);
    if (!text || !strstr(text, part)) fail_msg("'%s' does not say '%s'", text ? text : "no error", part);
}

static tide_status step_of(twin *t, int i, bool labelled) {
    give_input(t, i);
    if (!labelled) ((int64_t *)(void *)tide_data(Y))[3] = 7;
    tide_step_begin(t->cx, "s", 1);
    tide_begin(t->cx);
    tide_site(t->cx, tide_intern_site(t->cx, "train.lua", 10));
    tide_tensor *h = dense(hidden(t), t->p[2], t->p[3], TIDE_LINEAR_NONE);
    tide_site(t->cx, tide_intern_site(t->cx, "train.lua", 11));
    tide_tensor *loss = tide_cross_entropy(h, Y, NULL, NULL);
    if (loss) tide_site(t->cx, tide_intern_site(t->cx, "train.lua", 12)), learn(t, loss);
    tide_end(t->cx);
    tide_status e = tide_pending(t->cx) ? tide_step_abort(t->cx) : tide_step_end(t->cx, t->out, t->nout);
    drop_results(t);
    return e ? e : tide_pending(t->cx);
}

static void wrong_label(void **state) {
    (void)state;
    tide_config config = {.size = sizeof config, .threads = 1};
    twin t = {.compiled = true};
    tide_counters c;
    assert_true(open_twin(&t, &models[1], &config));
    for (int i = 1; i <= 12; i++) {
        float before[60], after[60];
        tide_read(t.p[0], before, sizeof before);
        tide_status e = step_of(&t, i, i != 6 && i != 1);
        if (i == 6 || i == 1) {
            assert_string_equal(tide_site_text(t.cx, t.cx->site), "train.lua:11");
            expect_error(t.cx, e, "[cross_entropy] a class number in target is out of range");
            tide_read(t.p[0], after, sizeof after);
            assert_memory_equal(before, after, sizeof before); /* nothing after it ran */
        } else {
            assert_int_equal(e, TIDE_OK);
        }
    }
    tide_count(t.cx, &c);
    assert_int_equal(c.deopts, 0);
    assert_int_equal(c.launches, 9); /* 1 failed, 2 and 3 recorded, 4 to 12 */
    close_twin(&t);
}

static void aborted(void **state) { /* as if the script raised after the forward calls */
    (void)state;
    tide_config config = {.size = sizeof config, .threads = 1};
    twin t[2] = {{.compiled = false}, {.compiled = true}};
    for (int k = 0; k < 2; k++) assert_true(open_twin(&t[k], &models[3], &config));
    for (int i = 1; i <= 12; i++) {
        for (int k = 0; k < 2; k++) {
            give_input(&t[k], i);
            if (i % 4 != 2) {
                run_step(&t[k], &models[3], i);
                continue;
            }
            drop_results(&t[k]);
            if (k) assert_int_equal(tide_step_begin(t[k].cx, &(int){t[k].batch}, sizeof(int)), TIDE_OK);
            tide_begin(t[k].cx);
            tide_tensor *loss = loss_of(&t[k], tide_dropout(hidden(&t[k]), NULL));
            give(&t[k], loss);
            tide_optim_zero_grad(t[k].opt);
            tide_backward(loss, NULL, 0);
            tide_end(t[k].cx);
            if (k) assert_int_equal(tide_step_abort(t[k].cx), TIDE_OK);
        }
        same_twins(&t[0], &t[1], "aborted", i); /* what ran before the abort did run */
    }
    for (int k = 0; k < 2; k++) close_twin(&t[k]);
}

static void dead_temporaries(void **state) {
    (void)state;
    tide_config config = {.size = sizeof config, .threads = 1};
    twin t = {.compiled = true};
    tide_tensor *kept = NULL;
    float value;
    assert_true(open_twin(&t, &models[1], &config));
    for (int i = 1; i <= 4; i++) {
        give_input(&t, i);
        tide_step_begin(t.cx, "s", 1);
        tide_begin(t.cx);
        tide_tensor *h = hidden(&t), *loss = loss_of(&t, h);
        learn(&t, loss);
        if (i == 4) kept = tide_keep(h); /* was no result before */
        tide_end(t.cx);
        assert_int_equal(tide_step_end(t.cx, t.out, t.nout), TIDE_OK);
        drop_results(&t);
    }
    expect_error(t.cx, tide_read(kept, &value, sizeof value),
                 "temporary of a compiled step and is gone: return it");
    assert_null(tide_relu(kept));
    expect_error(t.cx, TIDE_EARG, "argument 1 was a temporary of a compiled step and is gone");
    tide_free(kept);
    assert_int_not_equal(tide_step_end(t.cx, NULL, 0), TIDE_OK);
    expect_error(t.cx, TIDE_EARG, "no step has begun");
    close_twin(&t);
}

/* ---- random programs ---- */

enum { LENGTH = 15, STEPS = 6 };

typedef struct {
    uint64_t seed;
    int changed; /* the step at which one of the calls is another, 0: none */
} random_program;

typedef struct {
    tide_tensor *t[40];
    int n;
} pool;

static void push(pool *p, tide_tensor *t) {
    if (t && p->n < 40) p->t[p->n++] = t;
}
/* A random floating value of the pool with at least one dim, and below a size. */
static tide_tensor *pick(const pool *p) { return p->t[below(p->n)]; }

static tide_tensor *pointwise(tide_tensor *x, int which) {
    switch (which % 8) {
    case 0: return tide_tanh(x);
    case 1: return tide_sigmoid(x);
    case 2: return tide_relu(x);
    case 3: return tide_sin(x);
    case 4: return tide_mul(x, NULL, A(mul, .other = F(0.75)));
    case 5: return tide_abs(x);
    case 6: return tide_clamp(x, NULL, NULL, A(clamp, .min = F(-0.5), .max = F(0.8)));
    default: return tide_gelu(x, NULL);
    }
}
static tide_tensor *reduced(tide_tensor *x, int which) {
    tide_dims last = LIST(-1);
    switch (which % 7) {
    case 0: return tide_sum(x, A(sum, .dim = last, .keepdim = 1));
    case 1: return tide_mean(x, A(mean, .dim = LIST(0)));
    case 2: return tide_softmax(x, A(softmax, .dim = last));
    case 3: return tide_amax(x, A(amax, .dim = LIST(0), .keepdim = 1));
    case 4: return tide_logsumexp(x, A(logsumexp, .dim = last));
    case 5: return tide_log_softmax(x, A(log_softmax, .dim = last));
    default: return tide_mean(x, NULL);
    }
}
static tide_tensor *viewed(tide_tensor *x, int which) {
    const tide_meta *m = &x->meta;
    switch (which % 6) {
    case 0: return tide_transpose(x, A(transpose, 0, -1));
    case 1: return tide_select(x, A(select, 0, m->shape[0] / 2));
    case 2: return tide_narrow(x, A(narrow, -1, 0, (m->shape[m->ndim - 1] + 1) / 2));
    case 3: return tide_unsqueeze(x, A(unsqueeze, 0));
    case 4: return tide_reshape(x, A(reshape, LIST(-1)));
    default: return tide_detach(x);
    }
}

static void random_call(twin *t, pool *p, int which) {
    tide_tensor *x = pick(p), *y = pick(p), *z;
    int kind = which % 10;
    if (x->meta.ndim == 0 || x->meta.ndim > 3) kind = 0;
    switch (kind) {
    case 0:
    case 1: push(p, pointwise(x, which / 10)); break;
    case 2:
    case 3: {
        tide_meta m = x->meta;
        if (tide_broadcast(t->cx, &m, &y->meta)) tide_error(t->cx, NULL), y = x;
        if (which / 10 % 4 == 0)
            push(p, tide_add(x, y, A(add, .alpha = F(0.5))));
        else if (which / 10 % 4 == 1)
            push(p, tide_mul(x, y, NULL));
        else if (which / 10 % 4 == 2)
            push(p, tide_maximum(x, y));
        else
            push(p, tide_where(tide_gt(x, NULL, A(gt, F(0.1))), x, y, NULL));
        break;
    }
    case 4:
    case 5: push(p, reduced(x, which / 10)); break;
    case 6: push(p, viewed(x, which / 10)); break;
    case 7: /* a product with itself or a parameter that fits */
        if (x->meta.ndim == 2) {
            for (int k = 0; k < t->np; k++)
                if (t->p[k]->meta.ndim == 2 && t->p[k]->meta.shape[1] == x->meta.shape[1])
                    push(p, dense(x, t->p[k], NULL, which / 10 % 6));
            push(p, tide_matmul(x, tide_transpose(x, A(transpose, 0, 1))));
        }
        break;
    case 8: /* in place on a temporary that nothing saved */
        z = tide_mul(x, NULL, A(mul, .other = F(1.25)));
        push(p, inplace(which / 10 % 2 ? TIDE_OP_TANH : TIDE_OP_ADD, z, which / 10 % 2 ? NULL : x, NULL));
        if (which / 20 % 8 == 0) inplace(TIDE_OP_NEG, x, NULL, NULL); /* may be refused, now or in backward */
        break;
    default: push(p, tide_dropout(x, A(dropout, .p = 0.25, .training = 1)));
    }
}

static void random_init(twin *t) {
    const random_program *r = t->ud;
    static const int64_t shape[][2] = {{4, 6}, {6, 6}, {4, 1}};
    seed_random(r->seed);
    for (int k = 0; k < 3; k++) param(t, SH(shape[k][0], shape[k][1]));
    param(t, SH(6));
    int kind = below(4);
    optimizer(t, kind == 0 ? TIDE_ADAM : TIDE_SGD, kind == 0 ? 0.01 : 0.05, kind == 1 ? 0.9 : 0);
}
static void random_before(twin *t, int i) {
    for (int k = 0; k < t->nstate; k++) tide_free(t->state[k]);
    t->state[0] = noise(t->cx, SH(4, 6), (uint64_t)(3000 + i));
    t->nstate = 1;
}
static void random_program_step(twin *t, int i) {
    const random_program *r = t->ud;
    pool p = {.n = 0};
    seed_random(r->seed);
    for (int k = 0; k < t->np; k++) push(&p, t->p[k]);
    push(&p, t->state[0]);
    int at = below(LENGTH), late_zero = below(2), clip = below(4) == 0, read = below(4) == 0, escape = below(3),
        quiet = below(6);
    if (!late_zero) tide_optim_zero_grad(t->opt);
    for (int k = 0; k < LENGTH && !tide_pending(t->cx); k++) {
        seed_random(r->seed * LENGTH + (uint64_t)k); /* the same calls after a changed one */
        int which = below(100000);
        if (k == at && r->changed == i) which += 1;
        if (k == quiet) tide_set_grad_enabled(t->cx, 0);
        random_call(t, &p, which);
        if (k == quiet) tide_set_grad_enabled(t->cx, 1);
        if (k == at && read && i == 5 && !tide_pending(t->cx)) {
            float v[512];
            tide_tensor *x = p.t[p.n - 1];
            tide_read(x, v, (size_t)tide_numel(&x->meta) * 4);
        }
    }
    tide_tensor *loss = NULL;
    for (int k = t->np + 1; k < p.n && !tide_pending(t->cx); k++) {
        tide_tensor *mean = tide_mean(p.t[k], NULL);
        loss = loss ? tide_add(loss, mean, NULL) : mean;
    }
    if (!loss) return;
    loss = tide_add(loss, tide_mean(tide_square(t->p[0]), NULL), NULL);
    if (late_zero) tide_optim_zero_grad(t->opt);
    tide_backward(loss, NULL, 0);
    if (clip) tide_clip_grad_norm(t->cx, t->p, t->np, 0.1);
    tide_optim_step(t->opt);
    if (tide_pending(t->cx)) return;
    give(t, loss);
    if (escape == 1 || (escape == 2 && i % 2)) give(t, tide_detach(p.t[p.n - 1]));
}

static void random_programs(void **state) {
    (void)state;
    const char *from = getenv("TIDE_TEST_FROM"), *count = getenv("TIDE_TEST_COUNT");
    int first = from ? atoi(from) : 1, n = count ? atoi(count) : 300, followed = 0, failed = 0;
    for (int k = first; k < first + n; k++) {
        random_program r = {(uint64_t)k, k % 3 ? 0 : 4};
        char name[32];
        snprintf(name, sizeof name, "program %d", k);
        model m = {name, random_init, random_program_step, random_before, &r};
        tide_counters c;
        train_twins(&m, STEPS, &c);
        followed += c.launches > 0;
        failed += c.launches == 0 && c.recordings == STEPS;
    }
    if (getenv("TIDE_TEST_VERBOSE"))
        print_message("%d of %d programs were followed, %d never could be\n", followed, n, failed);
    assert_true(followed > n * 3 / 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(twins),   cmocka_unit_test(savings),          cmocka_unit_test(wrong_label),
        cmocka_unit_test(aborted), cmocka_unit_test(dead_temporaries), cmocka_unit_test(random_programs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
