/* Optimizers: state per parameter, and one list operation a step. */
#include "autograd/tape.h"
#include <math.h>

enum { MAXSTATE = 3, MAXLISTS = 2 + MAXSTATE };

typedef struct {
    int64_t steps;
    tide_tensor *state[MAXSTATE];
} slot_t;

struct tide_optim {
    tide_context *cx;
    tide_optim_config config;
    int n;
    tide_tensor **param;
    slot_t *slot;
    tide_tensor **call; /* room for the lists of one step: inputs, then outputs */
};

static const char *const state_name[2][MAXSTATE] = {{"momentum_buffer", "", ""},
                                                    {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"}};

static int states(const tide_optim_config *c) {
    return c->kind == TIDE_SGD ? c->momentum != 0 : c->amsgrad ? 3 : 2;
}

tide_optim_config tide_optim_defaults(tide_optim_kind kind) {
    return (tide_optim_config){.kind = kind,
                               .lr = 1e-3,
                               .weight_decay = kind == TIDE_ADAMW ? 1e-2 : 0,
                               .beta1 = 0.9,
                               .beta2 = 0.999,
                               .eps = 1e-8};
}

static tide_status check(tide_context *cx, const tide_optim_config *c) {
    if (!(c->lr >= 0)) return tide_fail(cx, TIDE_EARG, "optim: lr must not be negative: %g", c->lr);
    if (!(c->weight_decay >= 0))
        return tide_fail(cx, TIDE_EARG, "optim: weight_decay must not be negative: %g", c->weight_decay);
    if (c->kind == TIDE_SGD) {
        if (!(c->momentum >= 0))
            return tide_fail(cx, TIDE_EARG, "optim: momentum must not be negative: %g", c->momentum);
        if (c->nesterov && (c->momentum == 0 || c->dampening != 0))
            return tide_fail(cx, TIDE_EARG, "optim: nesterov needs a momentum and no dampening");
        return TIDE_OK;
    }
    if (!(c->beta1 >= 0 && c->beta1 < 1) || !(c->beta2 >= 0 && c->beta2 < 1))
        return tide_fail(cx, TIDE_EARG, "optim: betas must lie in [0, 1): %g and %g", c->beta1, c->beta2);
    if (!(c->eps >= 0)) return tide_fail(cx, TIDE_EARG, "optim: eps must not be negative: %g", c->eps);
    return TIDE_OK;
}

tide_optim *tide_optim_new(tide_context *cx, tide_tensor *const *params, int n,
                           const tide_optim_config *config) {
    if (tide_pending(cx) || tide_tape_open(cx) || check(cx, config)) return NULL;
    if (n < 1) return tide_fail(cx, TIDE_EARG, "optim: no parameters"), NULL;
    for (int i = 0; i < n; i++) {
        if (!params[i] || params[i]->node || !tide_dtype_is_float((tide_dtype)params[i]->meta.dtype))
            return tide_fail(cx, TIDE_EARG, "optim: parameter %d is not a floating leaf", i + 1), NULL;
        for (int k = 0; k < i; k++)
            if (params[k] == params[i])
                return tide_fail(cx, TIDE_EARG, "optim: parameters %d and %d are the same tensor", k + 1,
                                 i + 1),
                       NULL;
    }
    tide_optim *o = tide_alloc0(cx, sizeof *o);
    if (!o) return NULL;
    o->cx = cx;
    o->config = *config;
    o->param = tide_alloc0(cx, (size_t)n * sizeof *o->param);
    o->slot = tide_alloc0(cx, (size_t)n * sizeof *o->slot);
    o->call = tide_alloc0(cx, (size_t)n * (2 * MAXLISTS) * sizeof *o->call);
    o->n = n;
    if (!o->param || !o->slot || !o->call) return tide_optim_free(o), NULL;
    for (int i = 0; i < n; i++) o->param[i] = tide_keep(params[i]);
    return o;
}

void tide_optim_free(tide_optim *o) {
    if (!o) return;
    size_t n = (size_t)o->n;
    for (size_t i = 0; i < n; i++) {
        if (o->param) tide_free(o->param[i]);
        for (int k = 0; k < MAXSTATE && o->slot; k++) tide_free(o->slot[i].state[k]);
    }
    tide_release(o->cx, o->param, n * sizeof *o->param);
    tide_release(o->cx, o->slot, n * sizeof *o->slot);
    tide_release(o->cx, o->call, n * (2 * MAXLISTS) * sizeof *o->call);
    tide_release(o->cx, o, sizeof *o);
}

tide_optim_config *tide_optim_settings(tide_optim *o) { return &o->config; }
tide_status tide_optim_zero_grad(tide_optim *o) { return tide_zero_grad(o->param, o->n); }
int64_t tide_optim_count(tide_optim *o, int i) { return i >= 0 && i < o->n ? o->slot[i].steps : 0; }

static int state_index(const tide_optim *o, const char *name) {
    for (int k = 0; k < MAXSTATE; k++)
        if (!strcmp(state_name[o->config.kind != TIDE_SGD][k], name)) return k;
    return -1;
}

tide_tensor *tide_optim_state(tide_optim *o, int i, const char *name) {
    int k = state_index(o, name);
    return k >= 0 && i >= 0 && i < o->n ? o->slot[i].state[k] : NULL;
}

static tide_status make_state(tide_optim *o, int i, int k) {
    if (o->slot[i].state[k]) return TIDE_OK;
    const tide_meta *m = &o->param[i]->meta;
    tide_full_attr f = {{m->ndim, {0}}, {{.i = 0}, TIDE_INTEGER, 0}, m->dtype};
    memcpy(f.size.v, m->shape, sizeof f.size.v);
    o->slot[i].state[k] = tide_call1(o->cx, TIDE_OP_FULL, NULL, 0, &f);
    return o->slot[i].state[k] ? TIDE_OK : tide_pending(o->cx);
}

tide_status tide_optim_restore(tide_optim *o, int i, int64_t count, const char *name, tide_tensor *value) {
    tide_context *cx = o->cx;
    if (i < 0 || i >= o->n) return tide_fail(cx, TIDE_EARG, "optim: there is no parameter %d", i + 1);
    o->slot[i].steps = count;
    if (!name) return TIDE_OK;
    int k = state_index(o, name);
    if (k < 0 || !value) return tide_fail(cx, TIDE_EARG, "optim: no state '%s'", name);
    tide_status e = make_state(o, i, k);
    tide_tensor *out = NULL;
    tide_call c = {.op = TIDE_OP_COPY,
                   .flags = TIDE_INPLACE,
                   .nin = 2,
                   .nout = 1,
                   .in = (tide_tensor *[]){o->slot[i].state[k], value},
                   .out = &out};
    return e ? e : tide_apply(cx, &c);
}

/* One operation over the parameters whose gradients are there and that have made `steps` steps. */
static tide_status update(tide_optim *o, int64_t steps) {
    const tide_optim_config *c = &o->config;
    int nstate = states(c), lists = 2 + nstate, count = 0;
    for (int i = 0; i < o->n; i++) {
        if (!o->param[i]->grad || o->param[i]->grad_absent || o->slot[i].steps != steps) continue;
        for (int k = 0; k < nstate; k++) {
            tide_status e = make_state(o, i, k);
            if (e) return e;
        }
        count++;
    }
    tide_tensor **in = o->call, **out = in + (size_t)lists * (size_t)count;
    for (int i = 0, at = 0; i < o->n; i++) {
        tide_tensor *p = o->param[i];
        if (!p->grad || p->grad_absent || o->slot[i].steps != steps) continue;
        out[at] = in[at] = p;
        in[count + at] = p->grad;
        for (int k = 0; k < nstate; k++)
            out[(1 + k) * count + at] = in[(2 + k) * count + at] = o->slot[i].state[k];
        at++;
    }
    union {
        tide_sgd_plain_attr plain;
        tide_sgd_attr sgd;
        tide_adam_attr adam;
    } a;
    memset(&a, 0, sizeof a);
    a.plain = (tide_sgd_plain_attr){c->lr, c->weight_decay, c->maximize, c->weight_decay != 0};
    tide_call call = {.nin = (uint32_t)(lists * count),
                      .nout = (uint32_t)((1 + nstate) * count),
                      .in = in,
                      .out = out,
                      .attr = &a};
    if (c->kind == TIDE_SGD && !nstate) {
        call.op = TIDE_OP_SGD_PLAIN;
        call.nattr = sizeof a.plain;
    } else if (c->kind == TIDE_SGD) {
        call.op = TIDE_OP_SGD;
        call.nattr = sizeof a.sgd;
        a.sgd.momentum = c->momentum;
        a.sgd.dampening = c->dampening;
        a.sgd.nesterov = c->nesterov;
        a.sgd.first = steps == 0;
    } else {
        double t = (double)(steps + 1);
        call.op = c->amsgrad ? TIDE_OP_ADAM_AMSGRAD : TIDE_OP_ADAM;
        call.nattr = sizeof a.adam;
        a.adam.beta1 = c->beta1;
        a.adam.beta2 = c->beta2;
        a.adam.eps = c->eps;
        a.adam.step_size = c->lr / (1 - pow(c->beta1, t));
        a.adam.root = sqrt(1 - pow(c->beta2, t));
        a.adam.decoupled = c->kind == TIDE_ADAMW;
    }
    tide_status e = tide_apply(o->cx, &call);
    for (int i = 0; i < o->n && !e; i++)
        if (o->param[i]->grad && !o->param[i]->grad_absent && o->slot[i].steps == steps)
            o->slot[i].steps = -1 - (steps + 1); /* done */
    return e;
}

tide_status tide_optim_step(tide_optim *o) {
    tide_status e = check(o->cx, &o->config);
    for (int i = 0; i < o->n && !e; i++) /* usually all have the same number of steps: one operation */
        if (o->param[i]->grad && !o->param[i]->grad_absent && o->slot[i].steps >= 0)
            e = update(o, o->slot[i].steps);
    for (int i = 0; i < o->n; i++)
        if (o->slot[i].steps < 0) o->slot[i].steps = -1 - o->slot[i].steps;
    return e;
}

tide_tensor *tide_clip_grad_norm(tide_context *cx, tide_tensor *const *params, int n, double limit) {
    if (tide_pending(cx) || tide_tape_open(cx)) return NULL;
    int was = tide_set_grad_enabled(cx, 0), count = 0;
    size_t bytes = (size_t)(n > 0 ? n : 1) * 4 * sizeof(tide_tensor *);
    tide_tensor **m = tide_alloc0(cx, bytes), **square = m, **in = m + n, **out = m + 3 * n, *all = NULL,
                *factor[2] = {NULL};
    tide_status e = m ? TIDE_OK : TIDE_EMEM;
    for (int i = 0; i < n && !e; i++) {
        if (!params[i] || !params[i]->grad || params[i]->grad_absent) continue;
        square[count] = tide_call1(cx, TIDE_OP_SUM_SQUARES, &params[i]->grad, 1, NULL);
        if (!square[count]) e = tide_pending(cx);
        out[count] = in[count] = params[i]->grad;
        count++;
    }
    if (!e && count) {
        tide_stack_attr s = {0};
        tide_call stack = {.op = TIDE_OP_STACK,
                           .nin = (uint32_t)count,
                           .nout = 1,
                           .in = square,
                           .out = &all,
                           .attr = &s,
                           .nattr = sizeof s};
        e = tide_apply(cx, &stack);
        tide_clip_factor_attr c = {limit};
        tide_call clip = {.op = TIDE_OP_CLIP_FACTOR,
                          .nin = 1,
                          .nout = 2,
                          .in = &all,
                          .out = factor,
                          .attr = &c,
                          .nattr = sizeof c};
        if (!e) e = tide_apply(cx, &clip);
        for (int i = 0; i < count; i++) in[count + i] = factor[1];
        tide_call scale = {.op = TIDE_OP_SCALE_ALL,
                           .nin = (uint32_t)(2 * count),
                           .nout = (uint32_t)count,
                           .in = in,
                           .out = out};
        if (!e) e = tide_apply(cx, &scale);
    } else if (!e) {
        tide_full_attr f = {{0, {0}}, {{.i = 0}, TIDE_INTEGER, 0}, TIDE_F32};
        factor[0] = tide_call1(cx, TIDE_OP_FULL, NULL, 0, &f);
    }
    for (int i = 0; i < count; i++) tide_free(square[i]);
    tide_free(all);
    tide_free(factor[1]);
    tide_release(cx, m, bytes);
    tide_set_grad_enabled(cx, was);
    if (e) return tide_free(factor[0]), NULL;
    return tide_scoped(factor[0]);
}
