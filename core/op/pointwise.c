/* Elementwise operations: one expression each. x[] is already of the common type. */
#include "op/row.h"
#include <math.h>

#define BINARY(name, expr) \
    PROGRAM(name) { y[0] = expr; }
#define UNARY(name, expr) BINARY(name, expr)
#define VALUE(v) p_like(p, x[0], v)

static bool integral(tide_prog *p, tide_val v) { return p_type(p, v) > TIDE_RF64; }

/* alpha * v, for add and sub; a plain v where alpha is 1 */
static tide_val scaled(tide_prog *p, const tide_num *alpha, uint16_t offset, tide_val v) {
    if (p_type(p, v) == TIDE_RMASK || (alpha->kind == TIDE_INTEGER && alpha->u.i == 1)) return v;
    return p_mul(p, p_slot(p, offset, alpha->kind == TIDE_FLOAT, p_type(p, v)), v);
}

PROGRAM(add) {
    const tide_add_attr *a = attr;
    tide_val b = scaled(p, &a->alpha, offsetof(tide_add_attr, alpha), x[1]);
    y[0] = p_type(p, b) == TIDE_RMASK ? p_or(p, x[0], b) : p_add(p, x[0], b);
}

tide_status sub_infer(tide_shapes *s);
tide_status sub_infer(tide_shapes *s) {
    if (s->out[0].dtype == TIDE_BOOL)
        return tide_fail(s->cx, TIDE_EARG, "bool tensors have no difference; use logical_xor");
    return rule_broadcast(s);
}
PROGRAM(sub) {
    const tide_sub_attr *a = attr;
    y[0] = p_sub(p, x[0], scaled(p, &a->alpha, offsetof(tide_sub_attr, alpha), x[1]));
}

BINARY(mul, p_type(p, x[0]) == TIDE_RMASK ? p_and(p, x[0], x[1]) : p_mul(p, x[0], x[1]))

tide_status div_infer(tide_shapes *s);
tide_status div_infer(tide_shapes *s) {
    const tide_div_attr *a = s->attr;
    if (a->rounding_mode == TIDE_DIV_NONE && !tide_dtype_is_float((tide_dtype)s->out[0].dtype))
        s->out[0].dtype = TIDE_F32;
    if (s->out[0].dtype == TIDE_BOOL)
        return tide_fail(s->cx, TIDE_EARG, "bool tensors have no integer quotient");
    return rule_broadcast(s);
}
PROGRAM(div) {
    const tide_div_attr *a = attr;
    tide_val u = x[0], v = x[1];
    if (a->rounding_mode == TIDE_DIV_FLOOR) {
        y[0] = p_floordiv(p, u, v);
        return;
    }
    if (a->rounding_mode == TIDE_DIV_TRUNC) {
        y[0] = integral(p, u) ? p_div(p, u, v) : p_trunc(p, p_div(p, u, v));
        return;
    }
    if (integral(p, u)) u = p_cvt(p, u, TIDE_RF32), v = p_cvt(p, v, TIDE_RF32);
    y[0] = p_div(p, u, v);
}

BINARY(remainder, p_mod(p, x[0], x[1]))
BINARY(floor_divide, p_floordiv(p, x[0], x[1]))

tide_status pow_infer(tide_shapes *s);
tide_status pow_infer(tide_shapes *s) {
    const tide_pow_attr *a = s->attr;
    if (s->out[0].dtype == TIDE_BOOL) return tide_fail(s->cx, TIDE_EARG, "bool tensors have no powers");
    if (a->exponent.kind == TIDE_INTEGER && a->exponent.u.i < 0 &&
        !tide_dtype_is_float((tide_dtype)s->out[0].dtype))
        return tide_fail(s->cx, TIDE_EARG, "integers to a negative power are not integers; use a float tensor");
    return rule_broadcast(s);
}
BINARY(pow, p_pow(p, x[0], x[1]))
BINARY(maximum, p_type(p, x[0]) == TIDE_RMASK ? p_or(p, x[0], x[1]) : p_max(p, x[0], x[1]))
BINARY(minimum, p_type(p, x[0]) == TIDE_RMASK ? p_and(p, x[0], x[1]) : p_min(p, x[0], x[1]))

tide_status clamp_infer(tide_shapes *s);
tide_status clamp_infer(tide_shapes *s) {
    const tide_clamp_attr *a = s->attr;
    if (!s->in[1] && !s->in[2] && !a->min.kind && !a->max.kind)
        return tide_fail(s->cx, TIDE_EARG, "neither min nor max is given");
    if (s->out[0].dtype == TIDE_BOOL) return tide_fail(s->cx, TIDE_EARG, "bool tensors cannot be clamped");
    return rule_broadcast(s);
}
/* By numbers the gradient passes strictly inside; by tensors equal elements share it, as in maximum. */
PROGRAM(clamp) {
    const tide_clamp_attr *a = attr;
    tide_val v = x[0];
    bool numbers =
        (x[1] == TIDE_NOVAL || a->min.kind) && (x[2] == TIDE_NOVAL || a->max.kind) && !integral(p, v);
    if (numbers) {
        tide_val held = p_hold(p, v);
        if (x[1] != TIDE_NOVAL) held = p_max(p, held, x[1]);
        if (x[2] != TIDE_NOVAL) held = p_min(p, held, x[2]);
        tide_val inside = x[1] != TIDE_NOVAL ? p_lt(p, x[1], v) : TIDE_NOVAL;
        if (x[2] != TIDE_NOVAL) {
            tide_val below = p_lt(p, v, x[2]);
            inside = inside != TIDE_NOVAL ? p_and(p, inside, below) : below;
        }
        y[0] = p_select(p, inside, v, held);
        return;
    }
    if (x[1] != TIDE_NOVAL) v = p_max(p, v, x[1]);
    if (x[2] != TIDE_NOVAL) v = p_min(p, v, x[2]);
    y[0] = v;
}

BINARY(where, p_select(p, p_cvt(p, x[0], TIDE_RMASK), x[1], x[2]))

tide_status masked_fill_infer(tide_shapes *s);
tide_status masked_fill_infer(tide_shapes *s) {
    tide_meta m = *s->in[0];
    if (s->in[1]->dtype != TIDE_BOOL)
        return tide_fail(s->cx, TIDE_EARG, "mask must be bool, not %s",
                         tide_dtype_name((tide_dtype)s->in[1]->dtype));
    if (s->in[2] && s->in[2]->ndim)
        return tide_fail(s->cx, TIDE_EARG, "value must be a number or a 0-d tensor");
    tide_status e = tide_broadcast(s->cx, &m, s->in[1]);
    s->out[0] = m;
    return e;
}
BINARY(masked_fill, p_select(p, x[1], p_cvt(p, x[2], p_type(p, x[0])), x[0]))

UNARY(neg, p_neg(p, x[0]))
UNARY(abs, p_abs(p, x[0]))
/* NaN has no sign: 0 */
UNARY(sign, p_type(p, x[0]) == TIDE_RMASK ? x[0]
                                          : p_sub(p, p_cvt(p, p_lt(p, VALUE(0), x[0]), p_type(p, x[0])),
                                                  p_cvt(p, p_lt(p, x[0], VALUE(0)), p_type(p, x[0]))))
static tide_val numeric(tide_prog *p, tide_val v) {
    return p_type(p, v) == TIDE_RMASK ? p_cvt(p, v, TIDE_RI64) : v;
}
tide_status square_infer(tide_shapes *s);
tide_status square_infer(tide_shapes *s) {
    s->out[0] = *s->in[0];
    if (s->out[0].dtype == TIDE_BOOL) s->out[0].dtype = TIDE_I64;
    return TIDE_OK;
}
PROGRAM(square) {
    tide_val v = numeric(p, x[0]);
    y[0] = p_mul(p, v, v);
}
UNARY(floor, integral(p, x[0]) ? x[0] : p_floor(p, x[0]))
UNARY(ceil, integral(p, x[0]) ? x[0] : p_un(p, TIDE_P_CEIL, x[0]))
UNARY(trunc, integral(p, x[0]) ? x[0] : p_trunc(p, x[0]))
PROGRAM(round) {
    const tide_round_attr *a = attr;
    tide_val scale = VALUE(pow(10, (double)(a->decimals < 0 ? -a->decimals : a->decimals)));
    if (integral(p, x[0]))
        y[0] = x[0];
    else if (a->decimals == 0)
        y[0] = p_un(p, TIDE_P_ROUND, x[0]);
    else if (a->decimals > 0)
        y[0] = p_div(p, p_un(p, TIDE_P_ROUND, p_mul(p, x[0], scale)), scale);
    else
        y[0] = p_mul(p, p_un(p, TIDE_P_ROUND, p_div(p, x[0], scale)), scale);
}
UNARY(reciprocal, p_div(p, VALUE(1), x[0]))
UNARY(exp, p_exp(p, x[0]))
UNARY(expm1, p_expm1(p, x[0]))
UNARY(log, p_log(p, x[0]))
UNARY(log1p, p_log1p(p, x[0]))
UNARY(sqrt, p_sqrt(p, x[0]))
UNARY(rsqrt, p_rsqrt(p, x[0]))
UNARY(sin, p_sin(p, x[0]))
UNARY(cos, p_cos(p, x[0]))
UNARY(tanh, p_tanh(p, x[0]))
UNARY(erf, p_erf(p, x[0]))
UNARY(sigmoid, p_sigmoid(p, x[0]))
UNARY(silu, p_mul(p, x[0], p_sigmoid(p, x[0])))

UNARY(relu, p_type(p, x[0]) == TIDE_RMASK ? x[0] : p_max(p, x[0], VALUE(0)))
VJP_PROGRAM(relu) {
    tide_val zero = p_like(p, y[0], 0);
    gx[0] = p_select(p, p_le(p, y[0], zero), zero, gy[0]); /* NaN passes */
}

/* What gelu multiplies its input by: (1 + erf(x / sqrt 2)) / 2, or (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) /
 * 2; and the derivative of that. */
static tide_val gelu_share(tide_prog *p, const tide_gelu_attr *a, const tide_val *x, tide_val *slope) {
    tide_val v = x[0], half = VALUE(0.5), square = p_mul(p, v, v), t;
    if (a->approximate == TIDE_GELU_TANH) {
        const double rate = 0.79788456080286535588, cubic = rate * 0.044715;
        t = p_tanh(p, p_mul(p, v, p_fma(p, square, VALUE(cubic), VALUE(rate))));
        *slope = p_mul(p, p_fma(p, square, VALUE(1.5 * cubic), VALUE(0.5 * rate)),
                       p_fma(p, p_neg(p, t), t, VALUE(1)));
    } else {
        tide_val exponent = p_mul(p, square, VALUE(-0.5));
        t = p_erf(p, p_mul(p, v, VALUE(0.70710678118654752440)));
        *slope = p_mul(p, p_exp(p, exponent), VALUE(0.39894228040143267794));
    }
    return p_fma(p, t, half, half);
}
PROGRAM(gelu) {
    tide_val slope;
    y[0] = p_mul(p, x[0], gelu_share(p, attr, x, &slope));
}
VJP_PROGRAM(gelu) {
    tide_val slope, share = gelu_share(p, attr, x, &slope);
    gx[0] = p_mul(p, p_fma(p, x[0], slope, share), gy[0]);
}

tide_status to_infer(tide_shapes *s);
tide_status to_infer(tide_shapes *s) {
    const tide_to_attr *a = s->attr;
    if (a->dtype <= 0 || a->dtype >= TIDE_NDTYPE) return tide_fail(s->cx, TIDE_EARG, "no such dtype");
    s->out[0] = *s->in[0];
    s->out[0].dtype = (uint8_t)a->dtype;
    return TIDE_OK;
}
UNARY(to, x[0])
UNARY(clone, x[0])

tide_status dropout_infer(tide_shapes *s);
tide_status dropout_infer(tide_shapes *s) {
    const tide_dropout_attr *a = s->attr;
    if (!(a->p >= 0 && a->p <= 1)) return tide_fail(s->cx, TIDE_EARG, "p must lie in [0, 1], not %g", a->p);
    s->out[0] = *s->in[0];
    return want_float(s->cx, s->in[0], "input");
}
/* kept where a uniform number in [0, 1) is at least p */
PROGRAM(dropout) {
    const tide_dropout_attr *a = attr;
    if (!a->training) {
        y[0] = x[0];
        return;
    }
    int type = p_type(p, x[0]);
    tide_val i = p_index(p, TIDE_P_INDEX_K, TIDE_KEPT);
    tide_val bits = p_random(p, i, p_slot_index(p, offsetof(tide_dropout_attr, seed), false),
                             p_slot_index(p, offsetof(tide_dropout_attr, call), false));
    tide_val rate = p_slot(p, offsetof(tide_dropout_attr, p), true, TIDE_RF32);
    tide_val high = p_bin(p, TIDE_P_SHR, bits, p_const(p, TIDE_RI32, 8));
    tide_val u = p_mul(p, p_cvt(p, p_and(p, high, p_const(p, TIDE_RI32, 0xFFFFFF)), TIDE_RF32),
                       p_const(p, TIDE_RF32, 0x1p-24));
    tide_val one = p_const(p, TIDE_RF32, 1);
    tide_val scale =
        p_select(p, p_lt(p, rate, one), p_div(p, one, p_sub(p, one, rate)), p_const(p, TIDE_RF32, 0));
    y[0] = p_select(p, p_le(p, rate, u), p_mul(p, x[0], p_cvt(p, scale, type)), p_like(p, x[0], 0));
}
