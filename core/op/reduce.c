/* Reductions over any subset of dims. All rows of the family begin their attributes with `dim`. */
#include "op/kernel.h"

_Static_assert(offsetof(tide_sum_attr, dim) == 0 && offsetof(tide_softmax_attr, dim) == 0, "dim comes first");

SPACE(reduce) { return space_reduce(s, s->attr, false, out); }
SPACE(soft) { return space_reduce(s, s->attr, true, out); }

static tide_status out_meta(tide_shapes *s, bool keepdim) {
    return meta_reduce(s->cx, s->in[0], s->attr, keepdim, &s->out[0]);
}

RULE(sum_infer) {
    const tide_sum_attr *a = s->attr;
    tide_status e = out_meta(s, a->keepdim);
    if (a->dtype)
        s->out[0].dtype = (uint8_t)a->dtype;
    else if (!tide_dtype_is_float((tide_dtype)s->in[0]->dtype))
        s->out[0].dtype = TIDE_I64;
    return e;
}
/* Sums in the type of the result: `dtype` converts first; integers sum as int64. */
static tide_val summand(tide_prog *p, tide_val x, int64_t dtype) {
    if (dtype) return p_round_to(p, p_cvt(p, x, tide_reg_of((tide_dtype)dtype)), (tide_dtype)dtype);
    return p_type(p, x) > TIDE_RF64 ? p_cvt(p, x, TIDE_RI64) : x;
}
static tide_val count(tide_prog *p, int type) { return p_cvt(p, p_index(p, TIDE_P_SIZE_R, TIDE_ONE), type); }

PROGRAM(sum) { y[0] = p_sum_r(p, summand(p, x[0], ((const tide_sum_attr *)attr)->dtype)); }

RULE(mean_infer) {
    const tide_mean_attr *a = s->attr;
    tide_status e = out_meta(s, a->keepdim);
    if (a->dtype) s->out[0].dtype = (uint8_t)a->dtype;
    return e ? e : want_float(s->cx, &s->out[0], "the dtype of a mean");
}
PROGRAM(mean) {
    tide_val v = p_sum_r(p, summand(p, x[0], ((const tide_mean_attr *)attr)->dtype));
    y[0] = p_div(p, v, count(p, p_type(p, v)));
}

/* The gradients of sum and mean are views: every summand's is the result's (over the count). Takes g. */
static tide_status spread(tide_context *cx, const tide_call *call, tide_tensor *g, tide_tensor **gx) {
    const tide_meta *m = &call->in[0]->meta;
    if (g && g->meta.dtype != m->dtype) {
        tide_tensor *typed = tide_call1(cx, TIDE_OP_TO, &g, 1, &(tide_to_attr){.dtype = m->dtype});
        tide_free(g);
        g = typed;
    }
    tide_spread_attr a = {.dim = *(const tide_dims *)call->attr, .size = {m->ndim, {0}}};
    memcpy(a.size.v, m->shape, sizeof a.size.v);
    if (g) gx[0] = tide_call1(cx, TIDE_OP_SPREAD, &g, 1, &a);
    tide_free(g);
    return gx[0] ? TIDE_OK : tide_pending(cx);
}

VJP(sum) { return spread(cx, call, tide_keep(gy[0]), gx); }
VJP(mean) {
    int64_t kept = tide_numel(&gy[0]->meta);
    tide_div_attr by = {
        .other = {.kind = TIDE_INTEGER, .u.i = kept ? tide_numel(&call->in[0]->meta) / kept : 1}};
    tide_tensor *g = NULL;
    tide_status e = kernel_apply(cx, TIDE_OP_DIV, (tide_tensor *[]){gy[0], NULL}, 2, &by, &g);
    return e ? e : spread(cx, call, g, gx);
}

static tide_status not_empty(tide_shapes *s) {
    uint8_t mask;
    tide_status e = tide_dims_mask(s->cx, s->attr, s->in[0]->ndim, &mask);
    for (int d = 0; d < s->in[0]->ndim && !e; d++)
        if ((mask >> d & 1) && s->in[0]->shape[d] == 0)
            e = tide_fail(s->cx, TIDE_EARG, "nothing to choose from: dim %d has size 0", d + 1);
    return e;
}

RULE(extreme_infer) {
    const tide_amax_attr *a = s->attr;
    tide_status e = not_empty(s);
    return e ? e : out_meta(s, a->keepdim);
}
RULE(argument_infer) {
    const tide_argmax_attr *a = s->attr;
    if (a->dim.n > 1) return tide_fail(s->cx, TIDE_EARG, "takes one dim, or none for all");
    tide_status e = extreme_infer(s);
    s->out[0].dtype = TIDE_I64;
    return e;
}
RULE(extreme_dim_infer) {
    const tide_max_dim_attr *a = s->attr;
    if (a->dim.n != 1) return tide_fail(s->cx, TIDE_EARG, "takes one dim");
    tide_status e = extreme_infer(s);
    s->out[1] = s->out[0];
    s->out[1].dtype = TIDE_I64;
    return e;
}

static tide_val extreme(tide_prog *p, tide_val x, bool max) {
    bool mask = p_type(p, x) == TIDE_RMASK;
    tide_val v = mask ? p_cvt(p, x, TIDE_RI32) : x;
    return max ? p_max_r(p, v) : p_min_r(p, v);
}
/* The first place that holds the extreme, or NaN where that won. */
static tide_val argument(tide_prog *p, tide_val x, bool max) {
    if (p_type(p, x) == TIDE_RMASK) x = p_cvt(p, x, TIDE_RI32);
    tide_val m = max ? p_max_r(p, x) : p_min_r(p, x), hit = p_eq(p, x, m);
    if (p_type(p, x) <= TIDE_RF64) hit = p_or(p, hit, p_and(p, p_isnan(p, x), p_isnan(p, m)));
    tide_val i = p_index(p, TIDE_P_INDEX_R, TIDE_REDUCED);
    return p_min_r(p, p_select(p, hit, i, p_const(p, TIDE_RI64, 9e18)));
}
PROGRAM(amax) { y[0] = extreme(p, x[0], true); }
PROGRAM(amin) { y[0] = extreme(p, x[0], false); }
PROGRAM(argmax) { y[0] = argument(p, x[0], true); }
PROGRAM(argmin) { y[0] = argument(p, x[0], false); }
PROGRAM(max_dim) {
    y[0] = extreme(p, x[0], true);
    y[1] = argument(p, x[0], true);
}
PROGRAM(min_dim) {
    y[0] = extreme(p, x[0], false);
    y[1] = argument(p, x[0], false);
}
VJP_PROGRAM(extreme_dim) {
    tide_val here = p_eq(p, y[1], p_index(p, TIDE_P_INDEX_R, TIDE_REDUCED));
    gx[0] = p_select(p, here, gy[0], p_like(p, gy[0], 0));
}

RULE(var_infer) {
    tide_status e = out_meta(s, ((const tide_var_attr *)s->attr)->keepdim);
    return e ? e : want_float(s->cx, &s->out[0], "input");
}

/* Two passes: the mean, then the squared distances from it (the textbook formula that does not cancel). */
static tide_val variance(tide_prog *p, tide_val x, uint16_t correction, tide_val *mean) {
    tide_val n = count(p, p_type(p, x)), m = p_div(p, p_sum_r(p, x), n), d = p_sub(p, x, m),
             zero = p_like(p, x, 0);
    tide_val dof = p_sub(p, n, p_slot(p, correction, true, p_type(p, x)));
    if (mean) *mean = m;
    return p_div(p, p_sum_r(p, p_mul(p, d, d)), p_select(p, p_lt(p, dof, zero), zero, dof));
}
PROGRAM(var) { y[0] = variance(p, x[0], offsetof(tide_var_attr, correction), NULL); }
PROGRAM(std) { y[0] = p_sqrt(p, variance(p, x[0], offsetof(tide_std_attr, correction), NULL)); }

RULE(var_mean_infer) {
    tide_status e = var_infer(s);
    s->out[1] = s->out[0];
    return e;
}
PROGRAM(var_mean) { y[0] = variance(p, x[0], offsetof(tide_var_mean_attr, correction), &y[1]); }

/* The largest is only there against overflow: to the derivative it is a constant. Infinite ones are left out.
 */
static tide_val shifted(tide_prog *p, tide_val x, tide_val *shift) {
    tide_val m = p_hold(p, p_max_r(p, x)), zero = p_like(p, x, 0);
    *shift = p_select(p, p_eq(p, p_sub(p, m, m), zero), m, zero);
    return p_sub(p, x, *shift);
}
RULE(logsumexp_infer) {
    uint8_t dtype = s->out[0].dtype;
    tide_status e = out_meta(s, ((const tide_logsumexp_attr *)s->attr)->keepdim);
    s->out[0].dtype = dtype;
    return e;
}
PROGRAM(logsumexp) {
    tide_val m, e = p_exp(p, shifted(p, x[0], &m));
    y[0] = p_add(p, p_log(p, p_sum_r(p, e)), m);
}

RULE(soft_infer) {
    const tide_softmax_attr *a = s->attr;
    uint8_t mask;
    if (a->dim.n != 1) return tide_fail(s->cx, TIDE_EARG, "takes one dim");
    tide_status e = tide_dims_mask(s->cx, &a->dim, s->in[0]->ndim, &mask);
    s->out[0] = *s->in[0];
    if (a->dtype) s->out[0].dtype = (uint8_t)a->dtype;
    return e ? e : want_float(s->cx, &s->out[0], "input");
}
PROGRAM(softmax) {
    tide_val e = summand(p, x[0], ((const tide_softmax_attr *)attr)->dtype);
    e = p_exp(p, p_sub(p, e, p_max_r(p, e)));
    y[0] = p_div(p, e, p_sum_r(p, e));
}
VJP_PROGRAM(softmax) {
    tide_val g = p_mul(p, gy[0], y[0]);
    gx[0] = p_fma(p, y[0], p_neg(p, p_sum_r(p, g)), g);
}
PROGRAM(log_softmax) {
    tide_val v = summand(p, x[0], ((const tide_log_softmax_attr *)attr)->dtype);
    tide_val d = p_sub(p, v, p_max_r(p, v));
    y[0] = p_sub(p, d, p_log(p, p_sum_r(p, p_exp(p, d))));
}
VJP_PROGRAM(log_softmax) { gx[0] = p_sub(p, gy[0], p_mul(p, p_exp(p, y[0]), p_sum_r(p, gy[0]))); }
