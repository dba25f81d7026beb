/* Optimizer steps: PyTorch's formulas, products and sums rounded once where they meet. A row of update.lua is
 * one function here; its optional states follow the others in x and y. */
#include "op/row.h"

/* What every step begins with: its attributes, the gradient as the parameter's type, and what the parameter is
 * multiplied by (TIDE_NOVAL: nothing). */
#define STEP(op)                                                          \
    const tide_##op##_attr *a = attr;                                     \
    const int type = p_type(p, x[0]);                                     \
    tide_val param = x[0], shrink = TIDE_NOVAL, g = p_cvt(p, x[1], type); \
    if (a->maximize) g = p_neg(p, g)
#define SLOT(op, field) p_slot(p, offsetof(tide_##op##_attr, field), true, type)
#define ONE p_const(p, type, 1)
/* Weight decay as a part of the gradient, or by itself. */
#define L2(op) \
    if (a->has_weight_decay) g = p_fma(p, SLOT(op, weight_decay), param, g)
#define DECOUPLED(op) \
    if (a->has_weight_decay) shrink = SLOT(op, shrink)
#define DECAY(op)                    \
    if (a->decoupled_weight_decay) { \
        DECOUPLED(op);               \
    } else                           \
        L2(op)

/* from + (to - from) * weight */
static tide_val lerp(tide_prog *p, tide_val from, tide_val to, tide_val weight) {
    return p_fma(p, p_sub(p, to, from), weight, from);
}
/* old * keep + g * g * weight; weight is 1 - keep */
static tide_val square_average(tide_prog *p, tide_val old, tide_val g, tide_val keep, tide_val weight) {
    return p_fma(p, old, keep, p_mul(p, p_mul(p, g, g), weight));
}
/* param * shrink - rate * direction */
static tide_val descend(tide_prog *p, tide_val param, tide_val shrink, tide_val rate, tide_val direction) {
    tide_val down = p_neg(p, rate);
    return shrink == TIDE_NOVAL ? p_fma(p, direction, down, param)
                                : p_fma(p, param, shrink, p_mul(p, direction, down));
}

PROGRAM(sgd) {
    STEP(sgd);
    L2(sgd);
    if (a->has_momentum) {
        tide_val m = SLOT(sgd, momentum);
        y[1] = a->first ? g : p_fma(p, m, x[2], p_mul(p, SLOT(sgd, rest_dampening), g));
        g = a->nesterov ? p_fma(p, m, y[1], g) : y[1];
    }
    y[0] = descend(p, param, shrink, SLOT(sgd, lr), g);
}

PROGRAM(adam) {
    STEP(adam);
    DECAY(adam);
    y[1] = lerp(p, x[2], g, SLOT(adam, rest_beta1));
    tide_val v = y[2] = square_average(p, x[3], g, SLOT(adam, beta2), SLOT(adam, rest_beta2));
    if (a->amsgrad) v = y[3] = p_max(p, x[4], v);
    tide_val denominator = p_add(p, p_div(p, p_sqrt(p, v), SLOT(adam, root)), SLOT(adam, eps));
    y[0] = descend(p, param, shrink, SLOT(adam, step_size), p_div(p, y[1], denominator));
}

PROGRAM(nadam) {
    STEP(nadam);
    DECAY(nadam);
    y[1] = lerp(p, x[2], g, SLOT(nadam, rest_beta1));
    y[2] = square_average(p, x[3], g, SLOT(nadam, beta2), SLOT(nadam, rest_beta2));
    tide_val denominator = p_add(p, p_div(p, p_sqrt(p, y[2]), SLOT(nadam, root)), SLOT(nadam, eps));
    tide_val by_grad = descend(p, param, shrink, SLOT(nadam, grad_rate), p_div(p, g, denominator));
    y[0] = descend(p, by_grad, TIDE_NOVAL, SLOT(nadam, mean_rate), p_div(p, y[1], denominator));
}

PROGRAM(radam) {
    STEP(radam);
    DECAY(radam);
    y[1] = lerp(p, x[2], g, SLOT(radam, rest_beta1));
    y[2] = square_average(p, x[3], g, SLOT(radam, beta2), SLOT(radam, rest_beta2));
    /* rectified or not is a number, so that a plan goes on where the one begins */
    tide_val root = SLOT(radam, root), scale = p_div(p, root, p_add(p, p_sqrt(p, y[2]), SLOT(radam, eps)));
    scale = p_select(p, p_eq(p, root, p_const(p, type, 0)), ONE, scale);
    y[0] = descend(p, param, shrink, SLOT(radam, step_size), p_mul(p, y[1], scale));
}

PROGRAM(adamax) {
    STEP(adamax);
    L2(adamax);
    y[1] = lerp(p, x[2], g, SLOT(adamax, rest_beta1));
    y[2] = p_max(p, p_mul(p, x[3], SLOT(adamax, beta2)), p_add(p, p_abs(p, g), SLOT(adamax, eps)));
    y[0] = descend(p, param, shrink, SLOT(adamax, step_size), p_div(p, y[1], y[2]));
}

PROGRAM(adagrad) {
    STEP(adagrad);
    L2(adagrad);
    y[1] = p_fma(p, g, g, x[2]);
    tide_val direction = p_div(p, g, p_add(p, p_sqrt(p, y[1]), SLOT(adagrad, eps)));
    y[0] = descend(p, param, shrink, SLOT(adagrad, rate), direction);
}

PROGRAM(adadelta) {
    STEP(adadelta);
    L2(adadelta);
    tide_val rho = SLOT(adadelta, rho), left = SLOT(adadelta, rest_rho), eps = SLOT(adadelta, eps);
    y[1] = square_average(p, x[2], g, rho, left);
    tide_val std = p_sqrt(p, p_add(p, y[1], eps));
    tide_val change = p_mul(p, p_div(p, p_sqrt(p, p_add(p, x[3], eps)), std), g);
    y[2] = square_average(p, x[3], change, rho, left);
    y[0] = descend(p, param, shrink, SLOT(adadelta, lr), change);
}

PROGRAM(rmsprop) {
    STEP(rmsprop);
    L2(rmsprop);
    tide_val left = SLOT(rmsprop, rest_alpha), direction;
    tide_val v = y[1] = square_average(p, x[2], g, SLOT(rmsprop, alpha), left);
    int mean = a->has_momentum ? 3 : 2; /* its place among the outputs */
    if (a->centered) {
        tide_val m = y[mean] = lerp(p, x[mean + 1], g, left);
        /* below 0 by roundings only: PyTorch gives NaN there */
        v = p_max(p, p_sub(p, v, p_mul(p, m, m)), p_const(p, type, 0));
    }
    direction = p_div(p, g, p_add(p, p_sqrt(p, v), SLOT(rmsprop, eps)));
    if (a->has_momentum) direction = y[2] = p_fma(p, x[3], SLOT(rmsprop, momentum), direction);
    y[0] = descend(p, param, shrink, SLOT(rmsprop, lr), direction);
}

PROGRAM(asgd) {
    STEP(asgd);
    L2(asgd);
    tide_val mu = SLOT(asgd, mu);
    shrink = SLOT(asgd, keep);
    y[0] = descend(p, param, shrink, SLOT(asgd, eta), g);
    y[1] = p_select(p, p_eq(p, mu, ONE), y[0], lerp(p, x[2], y[0], mu));
}

PROGRAM(rprop) {
    STEP(rprop);
    tide_val zero = p_const(p, type, 0), both = p_mul(p, g, x[2]), back = p_lt(p, both, zero);
    tide_val factor = p_select(p, p_lt(p, zero, both), SLOT(rprop, etaplus), ONE);
    factor = p_select(p, back, SLOT(rprop, etaminus), factor);
    y[2] = p_min(p, p_max(p, p_mul(p, x[3], factor), SLOT(rprop, step_min)), SLOT(rprop, step_max));
    y[1] = p_select(p, back, zero, g);
    y[0] = descend(p, param, shrink, p_sign(p, y[1]), y[2]);
}

PROGRAM(lion) {
    STEP(lion);
    DECOUPLED(lion);
    tide_val blend = p_add(p, p_mul(p, SLOT(lion, beta1), x[2]), p_mul(p, SLOT(lion, rest_beta1), g));
    y[0] = descend(p, param, shrink, SLOT(lion, lr), p_sign(p, blend));
    y[1] = p_add(p, p_mul(p, SLOT(lion, beta2), x[2]), p_mul(p, SLOT(lion, rest_beta2), g));
}

/* ---- gradients and averages of many tensors at once ---- */

static tide_status all_reduced(const tide_shapes *s, tide_space *out) {
    tide_dims all = {-1, {0}};
    return space_reduce(s, &all, false, out);
}
static tide_status scalars(tide_shapes *s) {
    for (int j = 0; j < s->nout; j++)
        s->out[j] = (tide_meta){.dtype = s->in[0]->dtype, .device = s->in[0]->device};
    return TIDE_OK;
}
tide_status sum_squares_infer(tide_shapes *s);
tide_status sum_squares_infer(tide_shapes *s) { return scalars(s); }
tide_status sum_squares_space(const tide_shapes *s, tide_space *out);
tide_status sum_squares_space(const tide_shapes *s, tide_space *out) { return all_reduced(s, out); }
PROGRAM(sum_squares) { y[0] = p_sum_r(p, p_mul(p, x[0], x[0])); }

tide_status clip_factor_infer(tide_shapes *s);
tide_status clip_factor_infer(tide_shapes *s) { return scalars(s); }
tide_status clip_factor_space(const tide_shapes *s, tide_space *out);
tide_status clip_factor_space(const tide_shapes *s, tide_space *out) { return all_reduced(s, out); }
PROGRAM(clip_factor) {
    int type = p_type(p, x[0]);
    y[0] = p_sqrt(p, p_sum_r(p, x[0]));
    tide_val f = p_div(p, SLOT(clip_factor, limit), p_add(p, y[0], p_const(p, type, 1e-6)));
    y[1] = p_min(p, f, ONE);
}
PROGRAM(scale_all) { y[0] = p_mul(p, x[0], p_cvt(p, x[1], p_type(p, x[0]))); }
PROGRAM(clamp_all) {
    int type = p_type(p, x[0]);
    tide_val limit = SLOT(clamp_all, limit);
    y[0] = p_max(p, p_min(p, x[0], limit), p_neg(p, limit));
}
PROGRAM(lerp_all) { /* from the nearer end, so that weight 1 gives the target itself */
    int type = p_type(p, x[0]);
    tide_val w = SLOT(lerp_all, weight), to = p_cvt(p, x[1], type), way = p_sub(p, to, x[0]);
    tide_val near = p_add(p, x[0], p_mul(p, way, w)), far = p_sub(p, to, p_mul(p, way, p_sub(p, ONE, w)));
    y[0] = p_select(p, p_lt(p, w, p_const(p, type, 0.5)), near, far);
}
