/* Activations: one expression each. A branch that is not taken gets a harmless argument, so that its derivative
 * stays finite. */
#include "op/row.h"

#define VALUE(v) p_like(p, x[0], v)

PROGRAM(leaky_relu) {
    const tide_leaky_relu_attr *a = attr;
    y[0] = p_select(p, p_lt(p, VALUE(0), x[0]), x[0], p_mul(p, x[0], VALUE(a->negative_slope)));
}

/* scale * x where positive, scale * alpha * (exp(x / width) - 1) elsewhere */
static tide_val exponential(tide_prog *p, tide_val x, double scale, double alpha, double width) {
    tide_val zero = p_like(p, x, 0), positive = p_lt(p, zero, x), low = p_select(p, positive, zero, x);
    if (width != 1) low = p_div(p, low, p_like(p, x, width));
    tide_val high = scale != 1 ? p_mul(p, x, p_like(p, x, scale)) : x;
    return p_select(p, positive, high, p_mul(p, p_expm1(p, low), p_like(p, x, scale * alpha)));
}
PROGRAM(elu) { y[0] = exponential(p, x[0], 1, ((const tide_elu_attr *)attr)->alpha, 1); }
PROGRAM(selu) { y[0] = exponential(p, x[0], 1.0507009873554804934, 1.6732632423543772848, 1); }
PROGRAM(celu) {
    const tide_celu_attr *a = attr;
    y[0] = exponential(p, x[0], 1, a->alpha, a->alpha);
}

static tide_val softplus(tide_prog *p, tide_val x, double beta, double threshold) {
    tide_val scaled = beta != 1 ? p_mul(p, x, p_like(p, x, beta)) : x;
    tide_val linear = p_lt(p, p_like(p, x, threshold), scaled);
    tide_val soft = p_log1p(p, p_exp(p, p_select(p, linear, p_like(p, x, 0), scaled)));
    if (beta != 1) soft = p_div(p, soft, p_like(p, x, beta));
    return p_select(p, linear, x, soft);
}
PROGRAM(softplus) {
    const tide_softplus_attr *a = attr;
    y[0] = softplus(p, x[0], a->beta, a->threshold);
}
PROGRAM(mish) { y[0] = p_mul(p, x[0], p_tanh(p, softplus(p, x[0], 1, 20))); }
PROGRAM(logsigmoid) {
    tide_val e = p_exp(p, p_neg(p, p_abs(p, x[0])));
    y[0] = p_sub(p, p_min(p, x[0], VALUE(0)), p_log1p(p, e));
}

static tide_val limited(tide_prog *p, tide_val x, double min, double max) {
    tide_val low = p_like(p, x, min), high = p_like(p, x, max);
    return p_select(p, p_le(p, x, low), low, p_select(p, p_le(p, high, x), high, x));
}
PROGRAM(hardtanh) {
    const tide_hardtanh_attr *a = attr;
    y[0] = limited(p, x[0], a->min_val, a->max_val);
}
tide_status hardtanh_infer(tide_shapes *s);
tide_status hardtanh_infer(tide_shapes *s) {
    const tide_hardtanh_attr *a = s->attr;
    if (a->min_val > a->max_val)
        return tide_fail(s->cx, TIDE_EARG, "min_val %g exceeds max_val %g", a->min_val, a->max_val);
    return rule_broadcast(s);
}
PROGRAM(relu6) { y[0] = limited(p, x[0], 0, 6); }
PROGRAM(hardsigmoid) { y[0] = limited(p, p_add(p, p_div(p, x[0], VALUE(6)), VALUE(0.5)), 0, 1); }
/* PyTorch's slope is the float32 nearest to 1/6, in float64 too */
VJP_PROGRAM(hardsigmoid) {
    tide_val inside = p_and(p, p_lt(p, VALUE(-3), x[0]), p_lt(p, x[0], VALUE(3)));
    gx[0] = p_select(p, inside, p_mul(p, gy[0], VALUE(1.0f / 6.0f)), VALUE(0));
}
PROGRAM(hardswish) {
    tide_val middle = p_div(p, p_mul(p, x[0], p_add(p, x[0], VALUE(3))), VALUE(6));
    y[0] = p_select(p, p_le(p, x[0], VALUE(-3)), VALUE(0), p_select(p, p_le(p, VALUE(3), x[0]), x[0], middle));
}

PROGRAM(softsign) { y[0] = p_div(p, x[0], p_add(p, VALUE(1), p_abs(p, x[0]))); }
PROGRAM(tanhshrink) { y[0] = p_sub(p, x[0], p_tanh(p, x[0])); }
tide_status softshrink_infer(tide_shapes *s);
tide_status softshrink_infer(tide_shapes *s) {
    double l = ((const tide_softshrink_attr *)s->attr)->lambd;
    if (!(l >= 0)) return tide_fail(s->cx, TIDE_EARG, "lambd must not be negative, but is %g", l);
    return rule_broadcast(s);
}
PROGRAM(softshrink) {
    tide_val l = VALUE(((const tide_softshrink_attr *)attr)->lambd), m = p_neg(p, l);
    tide_val below = p_select(p, p_lt(p, x[0], m), p_add(p, x[0], l), p_mul(p, x[0], VALUE(0)));
    y[0] = p_select(p, p_lt(p, l, x[0]), p_sub(p, x[0], l), below);
}
PROGRAM(hardshrink) {
    tide_val l = VALUE(((const tide_hardshrink_attr *)attr)->lambd);
    y[0] = p_select(p, p_le(p, p_abs(p, x[0]), l), VALUE(0), x[0]);
}
PROGRAM(threshold) {
    const tide_threshold_attr *a = attr;
    y[0] = p_select(p, p_le(p, x[0], VALUE(a->threshold)), VALUE(a->value), x[0]);
}
