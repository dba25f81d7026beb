/* Losses: one program each, from the numbers that come in to the one that comes out. */
#include "op/row.h"

/* ---- cross_entropy: K = everything but the classes, R = the classes ---- */

static int class_dim(const tide_meta *x) { return x->ndim == 1 ? 0 : 1; }
static bool probabilities(const tide_shapes *s) { return tide_dtype_is_float((tide_dtype)s->in[1]->dtype); }

RULE(cross_entropy_infer) {
    const tide_cross_entropy_attr *a = s->attr;
    const tide_meta *x = s->in[0], *t = s->in[1], *w = s->in[2];
    tide_status e = want_float(s->cx, x, "input");
    if (e) return e;
    if (x->ndim < 1) return tide_fail(s->cx, TIDE_EARG, "input needs a dim of classes");
    int c = class_dim(x);
    tide_meta rest = *x;
    rest.ndim--;
    for (int d = c; d < rest.ndim; d++) rest.shape[d] = x->shape[d + 1];
    char u[TIDE_SHAPE_TEXT], v[TIDE_SHAPE_TEXT];
    bool prob = probabilities(s);
    if (!prob && t->dtype != TIDE_I64 && t->dtype != TIDE_U8)
        return tide_fail(s->cx, TIDE_EARG, "target holds class numbers (int64) or probabilities, not %s",
                         tide_dtype_name((tide_dtype)t->dtype));
    if (!tide_same_shape(t, prob ? x : &rest))
        return tide_fail(s->cx, TIDE_EARG, "target has shape %s; input %s wants %s", tide_shape_text(t, u),
                         tide_shape_text(x, v), prob ? "the same" : "the same without its classes");
    if (prob && t->dtype != x->dtype)
        return tide_fail(s->cx, TIDE_EARG, "input is %s, the probabilities are %s",
                         tide_dtype_name((tide_dtype)x->dtype), tide_dtype_name((tide_dtype)t->dtype));
    if (w && (w->ndim != 1 || w->shape[0] != x->shape[c]))
        return tide_fail(s->cx, TIDE_EARG, "weight has shape %s for %lld classes", tide_shape_text(w, u),
                         (long long)x->shape[c]);
    if (!(a->label_smoothing >= 0 && a->label_smoothing <= 1))
        return tide_fail(s->cx, TIDE_EARG, "label_smoothing must lie in [0, 1], not %g", a->label_smoothing);
    s->out[0] = rest;
    if (a->reduction != TIDE_CROSS_ENTROPY_NONE) s->out[0].ndim = 0;
    s->out[1] =
        (tide_meta){.ndim = 0, .dtype = x->dtype == TIDE_F64 ? TIDE_F64 : TIDE_F32, .device = x->device};
    return TIDE_OK;
}

SPACE(cross_entropy) {
    const tide_meta *x = s->in[0];
    int c = class_dim(x);
    bool prob = probabilities(s),
         none = s->out[0].ndim > 0 ||
                ((const tide_cross_entropy_attr *)s->attr)->reduction == TIDE_CROSS_ENTROPY_NONE;
    out->ndim = (int8_t)x->ndim;
    out->reduced = (uint8_t)(1u << c);
    memcpy(out->size, x->shape, sizeof out->size);
    for (int d = 0; d < TIDE_MAXDIM; d++) {
        bool in = d < x->ndim;
        int8_t rest = (int8_t)(!in || d == c ? -1 : d > c ? d - 1 : d);
        out->map[0][d] = (int8_t)(in ? d : -1);
        out->map[1][d] = prob ? out->map[0][d] : rest;
        out->map[2][d] = (int8_t)(in && d == c ? 0 : -1);
        out->map[3][d] = none ? rest : -1;
        out->map[4][d] = -1;
    }
    return TIDE_OK;
}

static tide_val sum_k(tide_prog *p, tide_val v) { return p_reduce(p, TIDE_P_SUM, v, TIDE_AXIS_K); }

PROGRAM(cross_entropy) {
    const tide_cross_entropy_attr *a = attr;
    int type = p_type(p, x[0]);
    tide_val zero = p_const(p, type, 0), one = p_const(p, type, 1);
    tide_val d = p_sub(p, x[0], p_hold(p, p_max_r(p, x[0])));
    tide_val logs = p_log(p, p_sum_r(p, p_exp(p, d))); /* -log_softmax is logs - d */
    tide_val w = x[2] != TIDE_NOVAL ? p_cvt(p, x[2], type) : TIDE_NOVAL;
    tide_val count = p_cvt(p, p_index(p, TIDE_P_SIZE_R, TIDE_ONE), type);
    tide_val smooth = p_div(p, p_const(p, type, a->label_smoothing), count),
             sharp = p_const(p, type, 1 - a->label_smoothing);
    tide_val loss, share;
    if (p_type(p, x[1]) <= TIDE_RF64) {
        tide_val t = p_cvt(p, x[1], type);
        if (a->label_smoothing != 0) t = p_add(p, p_mul(p, t, sharp), smooth);
        tide_val each = p_mul(p, t, p_sub(p, logs, d));
        loss = p_sum_r(p, w != TIDE_NOVAL ? p_mul(p, w, each) : each);
        share = one;
    } else {
        tide_val t = p_cvt(p, x[1], TIDE_RI64), classes = p_index(p, TIDE_P_SIZE_R, TIDE_ONE);
        tide_val valid = p_ne(p, t, p_const(p, TIDE_RI64, (double)a->ignore_index));
        tide_val inside = p_and(p, p_le(p, p_const(p, TIDE_RI64, 0), t), p_lt(p, t, classes));
        p_check(p, p_or(p, inside, p_not(p, valid)), "a class number in target is out of range");
        tide_val hit = p_eq(p, p_index(p, TIDE_P_INDEX_R, TIDE_REDUCED), t);
        share = w != TIDE_NOVAL ? p_sum_r(p, p_select(p, hit, w, zero)) : one;
        loss = p_mul(p, share, p_sub(p, logs, p_sum_r(p, p_select(p, hit, d, zero))));
        if (a->label_smoothing != 0) {
            tide_val each = p_sub(p, logs, d), all = p_sum_r(p, w != TIDE_NOVAL ? p_mul(p, w, each) : each);
            loss = p_add(p, p_mul(p, sharp, loss), p_mul(p, smooth, all));
        }
        loss = p_select(p, valid, loss, zero);
        share = p_select(p, valid, share, zero);
    }
    y[0] = loss;
    y[1] = one;
    if (a->reduction == TIDE_CROSS_ENTROPY_NONE) return;
    y[0] = sum_k(p, loss);
    if (a->reduction == TIDE_CROSS_ENTROPY_SUM) return;
    y[1] = sum_k(p, p_hold(p, share)); /* by how much the mean divides */
    y[0] = p_div(p, y[0], y[1]);
}

/* ---- nll_loss: over the same space ---- */

RULE(nll_loss_infer) {
    const tide_nll_loss_attr *a = s->attr;
    tide_cross_entropy_attr c = {.ignore_index = a->ignore_index, .reduction = a->reduction};
    if (s->in[1]->dtype != TIDE_I64)
        return tide_fail(s->cx, TIDE_EARG, "target holds class numbers (int64), not %s",
                         tide_dtype_name((tide_dtype)s->in[1]->dtype));
    tide_shapes as = *s;
    as.attr = &c;
    return cross_entropy_infer(&as);
}
SPACE(nll_loss) {
    tide_cross_entropy_attr c = {.reduction = ((const tide_nll_loss_attr *)s->attr)->reduction};
    tide_shapes as = *s;
    as.attr = &c;
    return cross_entropy_space(&as, out);
}
PROGRAM(nll_loss) {
    const tide_nll_loss_attr *a = attr;
    int type = p_type(p, x[0]);
    tide_val zero = p_const(p, type, 0), t = p_cvt(p, x[1], TIDE_RI64);
    tide_val valid = p_ne(p, t, p_const(p, TIDE_RI64, (double)a->ignore_index));
    tide_val inside =
        p_and(p, p_le(p, p_const(p, TIDE_RI64, 0), t), p_lt(p, t, p_index(p, TIDE_P_SIZE_R, TIDE_ONE)));
    p_check(p, p_or(p, inside, p_not(p, valid)), "a class number in target is out of range");
    tide_val hit = p_eq(p, p_index(p, TIDE_P_INDEX_R, TIDE_REDUCED), t), share = p_const(p, type, 1);
    if (x[2] != TIDE_NOVAL) share = p_sum_r(p, p_select(p, hit, p_cvt(p, x[2], type), zero));
    tide_val loss = p_neg(p, p_mul(p, share, p_sum_r(p, p_select(p, hit, x[0], zero))));
    y[0] = p_select(p, valid, loss, zero);
    y[1] = p_const(p, type, 1);
    if (a->reduction == TIDE_NLL_LOSS_NONE) return;
    y[0] = sum_k(p, y[0]);
    if (a->reduction == TIDE_NLL_LOSS_SUM) return;
    y[1] = sum_k(p, p_hold(p, p_select(p, valid, share, zero)));
    y[0] = p_div(p, y[0], y[1]);
}

/* ---- losses of each element: inputs broadcast together, all dims reduced unless `reduction` says none ---- */

_Static_assert(offsetof(tide_mse_loss_attr, reduction) == 0 && offsetof(tide_huber_loss_attr, reduction) == 0 &&
                   offsetof(tide_poisson_nll_loss_attr, reduction) == 0,
               "the reduction comes first");
static int64_t reduction_of(const void *attr) { return *(const int64_t *)attr; }

RULE(loss_infer) {
    tide_status e = rule_broadcast(s);
    if (!e) e = want_float(s->cx, &s->out[0], "the common dtype of input and target");
    if (reduction_of(s->attr) != TIDE_MSE_LOSS_NONE) s->out[0].ndim = 0;
    return e;
}
SPACE(loss) {
    bool none = reduction_of(s->attr) == TIDE_MSE_LOSS_NONE;
    tide_meta whole = {.ndim = 0};
    tide_status e = TIDE_OK;
    for (int i = 0; i < s->nin && !e; i++)
        if (s->in[i]) e = tide_broadcast(s->cx, &whole, s->in[i]);
    if (e) return e;
    tide_shapes all = *s;
    all.out = &whole;
    e = space_broadcast(&all, out);
    if (none) return e;
    out->reduced = (uint8_t)((1u << whole.ndim) - 1);
    memset(out->map[s->nin], -1, sizeof out->map[s->nin]);
    return e;
}
static tide_val reduced(tide_prog *p, const void *attr, tide_val each) {
    int64_t how = reduction_of(attr);
    if (how == TIDE_MSE_LOSS_NONE) return each;
    tide_val sum = p_sum_r(p, each);
    return how == TIDE_MSE_LOSS_MEAN
               ? p_div(p, sum, p_cvt(p, p_index(p, TIDE_P_SIZE_R, TIDE_ONE), p_type(p, each)))
               : sum;
}
#define LOSS(name, each) \
    PROGRAM(name) { y[0] = reduced(p, attr, each); }
#define VALUE(v) p_like(p, x[0], v)

static tide_val squared(tide_prog *p, tide_val v) { return p_mul(p, v, v); }
static tide_val distance(tide_prog *p, const tide_val *x) { return p_abs(p, p_sub(p, x[0], x[1])); }
/* log(v), and 0 with no gradient where v is 0 */
static tide_val log_or_0(tide_prog *p, tide_val v) {
    return p_log(p, p_select(p, p_eq(p, v, p_like(p, v, 0)), p_like(p, v, 1), v));
}
/* log(1 + exp(v)) */
static tide_val log1pexp(tide_prog *p, tide_val v) {
    return p_add(p, p_max(p, v, p_like(p, v, 0)), p_log1p(p, p_exp(p, p_neg(p, p_abs(p, v)))));
}

LOSS(mse_loss, squared(p, p_sub(p, x[0], x[1])))
LOSS(l1_loss, distance(p, x))
PROGRAM(smooth_l1_loss) {
    double beta = ((const tide_smooth_l1_loss_attr *)attr)->beta;
    tide_val d = distance(p, x), far = p_sub(p, d, VALUE(beta / 2));
    if (beta != 0)
        far = p_select(p, p_lt(p, d, VALUE(beta)), p_div(p, p_mul(p, VALUE(0.5), squared(p, d)), VALUE(beta)),
                       far);
    y[0] = reduced(p, attr, far);
}
RULE(huber_loss_infer) {
    double delta = ((const tide_huber_loss_attr *)s->attr)->delta;
    if (!(delta > 0)) return tide_fail(s->cx, TIDE_EARG, "delta must be positive, not %g", delta);
    return loss_infer(s);
}
PROGRAM(huber_loss) {
    double delta = ((const tide_huber_loss_attr *)attr)->delta;
    tide_val d = distance(p, x), far = p_mul(p, VALUE(delta), p_sub(p, d, VALUE(delta / 2)));
    y[0] = reduced(p, attr, p_select(p, p_le(p, d, VALUE(delta)), p_mul(p, VALUE(0.5), squared(p, d)), far));
}
/* the logarithm is at least -100, also of 0 */
static tide_val log_100(tide_prog *p, tide_val v) {
    tide_val none = p_eq(p, v, p_like(p, v, 0));
    return p_select(p, none, p_like(p, v, -100), p_max(p, log_or_0(p, v), p_like(p, v, -100)));
}
PROGRAM(binary_cross_entropy) {
    tide_val one = VALUE(1), inside = p_and(p, p_le(p, VALUE(0), x[0]), p_le(p, x[0], one));
    p_check(p, inside, "input must lie in [0, 1]");
    tide_val each = p_add(p, p_mul(p, x[1], log_100(p, x[0])),
                          p_mul(p, p_sub(p, one, x[1]), log_100(p, p_sub(p, one, x[0]))));
    each = p_neg(p, each);
    y[0] = reduced(p, attr, x[2] != TIDE_NOVAL ? p_mul(p, each, x[2]) : each);
}
PROGRAM(binary_cross_entropy_with_logits) {
    tide_val one = VALUE(1), soft = log1pexp(p, p_neg(p, x[0]));
    if (x[3] != TIDE_NOVAL) soft = p_mul(p, soft, p_add(p, one, p_mul(p, p_sub(p, x[3], one), x[1])));
    tide_val each = p_add(p, p_mul(p, p_sub(p, one, x[1]), x[0]), soft);
    y[0] = reduced(p, attr, x[2] != TIDE_NOVAL ? p_mul(p, each, x[2]) : each);
}
PROGRAM(kl_div) {
    bool logs = ((const tide_kl_div_attr *)attr)->log_target;
    tide_val t = logs ? p_exp(p, x[1]) : x[1], l = logs ? x[1] : log_or_0(p, x[1]);
    y[0] = reduced(p, attr, p_mul(p, t, p_sub(p, l, x[0])));
}
PROGRAM(poisson_nll_loss) {
    const tide_poisson_nll_loss_attr *a = attr;
    tide_val t = x[1], each = a->log_input
                                  ? p_sub(p, p_exp(p, x[0]), p_mul(p, t, x[0]))
                                  : p_sub(p, x[0], p_mul(p, t, p_log(p, p_add(p, x[0], VALUE(a->eps)))));
    if (a->full) { /* t log t - t + log(2 pi t) / 2, for t > 1 */
        tide_val large = p_lt(p, VALUE(1), t), u = p_select(p, large, t, VALUE(1)), l = p_log(p, u);
        tide_val stirling = p_add(p, p_sub(p, p_mul(p, u, l), u),
                                  p_mul(p, VALUE(0.5), p_add(p, l, VALUE(1.8378770664093454836))));
        each = p_add(p, each, p_select(p, large, stirling, VALUE(0)));
    }
    y[0] = reduced(p, attr, each);
}
LOSS(soft_margin_loss, log1pexp(p, p_neg(p, p_mul(p, x[0], x[1]))))
PROGRAM(hinge_embedding_loss) {
    const tide_hinge_embedding_loss_attr *a = attr;
    tide_val zero = VALUE(0), gap = p_sub(p, VALUE(a->margin), x[0]);
    tide_val low = p_select(p, p_eq(p, x[1], VALUE(1)), zero, p_select(p, p_lt(p, gap, zero), zero, gap));
    tide_val high = p_select(p, p_eq(p, x[1], VALUE(-1)), zero, x[0]);
    y[0] = reduced(p, attr, p_add(p, low, high));
}
