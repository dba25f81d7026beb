/* Comparisons and logic. */
#include "op/row.h"
#include <math.h>

#define COMPARISON(name, expr) \
    PROGRAM(name) { y[0] = expr; }

/* masks are ordered as 0 < 1 */
static tide_val ordered(tide_prog *p, tide_val v) {
    return p_type(p, v) == TIDE_RMASK ? p_cvt(p, v, TIDE_RI32) : v;
}
static tide_val truth(tide_prog *p, tide_val v) { return p_cvt(p, v, TIDE_RMASK); }

COMPARISON(eq, p_eq(p, x[0], x[1]))
COMPARISON(ne, p_ne(p, x[0], x[1]))
COMPARISON(lt, p_lt(p, ordered(p, x[0]), ordered(p, x[1])))
COMPARISON(le, p_le(p, ordered(p, x[0]), ordered(p, x[1])))
COMPARISON(gt, p_lt(p, ordered(p, x[1]), ordered(p, x[0])))
COMPARISON(ge, p_le(p, ordered(p, x[1]), ordered(p, x[0])))
COMPARISON(logical_and, p_and(p, truth(p, x[0]), truth(p, x[1])))
COMPARISON(logical_or, p_or(p, truth(p, x[0]), truth(p, x[1])))
COMPARISON(logical_xor, p_xor(p, truth(p, x[0]), truth(p, x[1])))
COMPARISON(logical_not, p_not(p, truth(p, x[0])))

tide_status rule_bits(tide_shapes *s);
tide_status rule_bits(tide_shapes *s) {
    if (tide_dtype_is_float((tide_dtype)s->out[0].dtype))
        return tide_fail(s->cx, TIDE_EARG, "needs integers or bool, not floats");
    return rule_broadcast(s);
}
COMPARISON(bitwise_and, p_and(p, x[0], x[1]))
COMPARISON(bitwise_or, p_or(p, x[0], x[1]))
COMPARISON(bitwise_xor, p_xor(p, x[0], x[1]))
COMPARISON(bitwise_not, p_not(p, x[0]))
COMPARISON(isnan, p_type(p, x[0]) <= TIDE_RF64 ? p_isnan(p, x[0]) : p_const(p, TIDE_RMASK, 0))
/* x - x is 0 for finite numbers only */
COMPARISON(isfinite, p_type(p, x[0]) <= TIDE_RF64 ? p_eq(p, p_sub(p, x[0], x[0]), p_like(p, x[0], 0))
                                                  : p_const(p, TIDE_RMASK, 1))
COMPARISON(isinf, p_type(p, x[0]) <= TIDE_RF64 ? p_eq(p, p_abs(p, x[0]), p_like(p, x[0], INFINITY))
                                               : p_const(p, TIDE_RMASK, 0))

RULE(isclose_infer) {
    const tide_isclose_attr *a = s->attr;
    if (!(a->rtol >= 0 && a->atol >= 0))
        return tide_fail(s->cx, TIDE_EARG, "rtol and atol must not be negative, not %g and %g", a->rtol,
                         a->atol);
    return rule_broadcast(s);
}
PROGRAM(isclose) {
    const tide_isclose_attr *a = attr;
    bool floats = p_type(p, x[0]) <= TIDE_RF64;
    tide_val u = floats ? x[0] : p_cvt(p, x[0], TIDE_RF64), v = floats ? x[1] : p_cvt(p, x[1], TIDE_RF64);
    tide_val rtol = p_slot(p, offsetof(tide_isclose_attr, rtol), true, p_type(p, u)),
             atol = p_slot(p, offsetof(tide_isclose_attr, atol), true, p_type(p, u));
    tide_val apart = p_abs(p, p_sub(p, u, v)),
             near = p_le(p, apart, p_add(p, atol, p_abs(p, p_mul(p, rtol, v))));
    /* infinite ones are close only to themselves */
    y[0] = p_or(p, p_eq(p, x[0], x[1]), p_and(p, near, p_lt(p, apart, p_like(p, apart, INFINITY))));
    if (a->equal_nan && floats) y[0] = p_or(p, y[0], p_and(p, p_isnan(p, u), p_isnan(p, v)));
}
