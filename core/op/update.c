/* Optimizer steps: the same formulas, in the same order of roundings, as PyTorch's. */
#include "op/op.h"

#define PROGRAM(name)                                                                    \
    void name##_program(tide_prog *p, const void *attr, const tide_val *x, tide_val *y); \
    void name##_program(tide_prog *p, const void *attr, const tide_val *x, tide_val *y)
#define SLOT(op, field) p_slot(p, offsetof(tide_##op##_attr, field), true, type)

/* lr, weight_decay and maximize come first in every step's attributes */
_Static_assert(offsetof(tide_sgd_attr, lr) == offsetof(tide_adam_attr, lr) &&
                   offsetof(tide_sgd_attr, maximize) == offsetof(tide_adam_attr, maximize),
               "steps share the start of their attributes");
_Static_assert(sizeof(tide_adam_attr) == sizeof(tide_adam_amsgrad_attr),
               "adam's two forms share their attributes");

static tide_val gradient(tide_prog *p, const void *attr, const tide_val *x, int type) {
    const tide_sgd_attr *a = attr;
    tide_val g = p_cvt(p, x[1], type);
    return a->maximize ? p_neg(p, g) : g;
}
static tide_val decayed(tide_prog *p, const void *attr, tide_val g, tide_val param, int type) {
    const tide_sgd_attr *a = attr;
    return a->decays ? p_add(p, g, p_mul(p, SLOT(sgd, weight_decay), param)) : g;
}

PROGRAM(sgd_plain) {
    int type = p_type(p, x[0]);
    tide_val g = decayed(p, attr, gradient(p, attr, x, type), x[0], type);
    y[0] = p_sub(p, x[0], p_mul(p, SLOT(sgd, lr), g));
}
PROGRAM(sgd) {
    const tide_sgd_attr *a = attr;
    int type = p_type(p, x[0]);
    tide_val g = decayed(p, attr, gradient(p, attr, x, type), x[0], type), m = SLOT(sgd, momentum);
    tide_val b = a->first ? g
                          : p_add(p, p_mul(p, m, x[2]),
                                  p_mul(p, p_sub(p, p_const(p, type, 1), SLOT(sgd, dampening)), g));
    tide_val d = a->nesterov ? p_add(p, g, p_mul(p, m, b)) : b;
    y[0] = p_sub(p, x[0], p_mul(p, SLOT(sgd, lr), d));
    y[1] = b;
}

/* step_size = lr / (1 - beta1^t) and root = sqrt(1 - beta2^t) are worked out in double by the caller. */
static void adam_program_of(tide_prog *p, const void *attr, const tide_val *x, tide_val *y, bool amsgrad) {
    const tide_adam_attr *a = attr;
    int type = p_type(p, x[0]);
    tide_val one = p_const(p, type, 1), param = x[0], g = gradient(p, attr, x, type);
    if (a->decoupled && a->decays)
        param = p_mul(p, param, p_sub(p, one, p_mul(p, SLOT(adam, lr), SLOT(adam, weight_decay))));
    if (!a->decoupled) g = decayed(p, attr, g, param, type);
    tide_val b1 = SLOT(adam, beta1), b2 = SLOT(adam, beta2);
    tide_val m = p_add(p, x[2], p_mul(p, p_sub(p, g, x[2]), p_sub(p, one, b1)));
    tide_val v = p_add(p, p_mul(p, x[3], b2), p_mul(p, p_mul(p, g, g), p_sub(p, one, b2)));
    tide_val largest = amsgrad ? p_max(p, x[4], v) : v;
    tide_val denominator = p_add(p, p_div(p, p_sqrt(p, largest), SLOT(adam, root)), SLOT(adam, eps));
    y[0] = p_sub(p, param, p_mul(p, SLOT(adam, step_size), p_div(p, m, denominator)));
    y[1] = m;
    y[2] = v;
    if (amsgrad) y[3] = largest;
}
PROGRAM(adam) { adam_program_of(p, attr, x, y, false); }
PROGRAM(adam_amsgrad) { adam_program_of(p, attr, x, y, true); }

/* ---- clipping by norm ---- */

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
    y[1] = p_min(p, f, p_const(p, type, 1));
}
PROGRAM(scale_all) { y[0] = p_mul(p, x[0], p_cvt(p, x[1], p_type(p, x[0]))); }
