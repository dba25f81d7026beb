/* Tensors from nothing: programs over their own indices. */
#include "op/front.h"
#include "op/kernel.h"
#include "base/random.h"
#include <inttypes.h>
#include <math.h>

static tide_status sized(tide_shapes *s, const tide_shape *size, int64_t dtype) {
    if (size->n < 0) return tide_fail(s->cx, TIDE_EARG, "no shape is given");
    s->out[0] = (tide_meta){.ndim = (int32_t)size->n, .dtype = (uint8_t)dtype};
    memcpy(s->out[0].shape, size->v, sizeof s->out[0].shape);
    return TIDE_OK;
}

/* A number attribute as a value of register type `type`. */
static tide_val number(tide_prog *p, const tide_num *n, uint16_t offset, int type) {
    return p_slot(p, offset, n->kind == TIDE_FLOAT, type);
}

RULE(full_infer) {
    const tide_full_attr *a = s->attr;
    int64_t d = a->fill_value.kind == TIDE_FLOAT     ? TIDE_F32
                : a->fill_value.kind == TIDE_INTEGER ? TIDE_I64
                                                     : TIDE_BOOL;
    return sized(s, &a->size, a->dtype ? a->dtype : d);
}
PROGRAM(full) {
    const tide_full_attr *a = attr;
    y[0] = number(p, &a->fill_value, offsetof(tide_full_attr, fill_value),
                  a->fill_value.kind == TIDE_FLOAT ? TIDE_RF64 : TIDE_RI64);
}

RULE(empty_infer) {
    const tide_empty_attr *a = s->attr;
    return sized(s, &a->size, a->dtype ? a->dtype : TIDE_F32);
}
tide_status empty_kernel(tide_context *cx, const tide_call *call);
tide_status empty_kernel(tide_context *cx, const tide_call *call) { return TIDE_OK; }

static tide_status filled(tide_context *cx, const tide_shape *size, tide_num value, int64_t dtype,
                          tide_tensor **out) {
    tide_full_attr f = {*size, value, dtype ? dtype : TIDE_F32};
    *out = tide_call1(cx, TIDE_OP_FULL, NULL, 0, &f);
    return *out ? TIDE_OK : tide_pending(cx);
}
static tide_num integer(int64_t i) { return (tide_num){{.i = i}, TIDE_INTEGER, 0}; }
static tide_shape shape_of(const tide_meta *m) {
    tide_shape s = {m->ndim, {0}};
    memcpy(s.v, m->shape, sizeof s.v);
    return s;
}

COMPOSE(zeros) {
    const tide_zeros_attr *a = call->attr;
    return filled(cx, &a->size, integer(0), a->dtype, &call->out[0]);
}
COMPOSE(ones) {
    const tide_ones_attr *a = call->attr;
    return filled(cx, &a->size, integer(1), a->dtype, &call->out[0]);
}
COMPOSE(empty_like) {
    const tide_empty_like_attr *a = call->attr;
    const tide_meta *m = &call->in[0]->meta;
    tide_empty_attr e = {shape_of(m), a->dtype ? a->dtype : m->dtype};
    call->out[0] = tide_call1(cx, TIDE_OP_EMPTY, NULL, 0, &e);
    return call->out[0] ? TIDE_OK : tide_pending(cx);
}
COMPOSE(zeros_like) {
    const tide_zeros_like_attr *a = call->attr;
    const tide_meta *m = &call->in[0]->meta;
    return filled(cx, &(tide_shape[]){shape_of(m)}[0], integer(0), a->dtype ? a->dtype : m->dtype,
                  &call->out[0]);
}
COMPOSE(ones_like) {
    const tide_ones_like_attr *a = call->attr;
    const tide_meta *m = &call->in[0]->meta;
    return filled(cx, &(tide_shape[]){shape_of(m)}[0], integer(1), a->dtype ? a->dtype : m->dtype,
                  &call->out[0]);
}
COMPOSE(full_like) {
    const tide_full_like_attr *a = call->attr;
    const tide_meta *m = &call->in[0]->meta;
    return filled(cx, &(tide_shape[]){shape_of(m)}[0], a->fill_value, a->dtype ? a->dtype : m->dtype,
                  &call->out[0]);
}

/* ---- arange, eye ---- */

static bool is_float(const tide_num *n) { return n->kind == TIDE_FLOAT; }
static double as_double(const tide_num *n) { return is_float(n) ? n->u.f : (double)n->u.i; }

RULE(arange_infer) {
    const tide_arange_attr *a = s->attr;
    bool one = a->end_.kind == TIDE_NONE,
         floats = is_float(&a->start) || is_float(&a->step) || (!one && is_float(&a->end_));
    double from = one ? 0 : as_double(&a->start), to = as_double(one ? &a->start : &a->end_),
           step = as_double(&a->step);
    if (step == 0 || !isfinite(step) || !isfinite(from) || !isfinite(to))
        return tide_fail(s->cx, TIDE_EARG, "start, end and step must be finite and step not 0");
    double n;
    if (floats) {
        n = ceil((to - from) / step);
    } else {
        int64_t i = one ? 0 : a->start.u.i, j = one ? a->start.u.i : a->end_.u.i, k = a->step.u.i;
        uint64_t way = k > 0 ? (uint64_t)j - (uint64_t)i : (uint64_t)i - (uint64_t)j; /* may not fit int64 */
        uint64_t by = k > 0 ? (uint64_t)k : 0 - (uint64_t)k;
        n = (k > 0 ? j > i : i > j) ? (double)((way - 1) / by) + 1 : 0;
    }
    if (n < 0)
        return tide_fail(s->cx, TIDE_EARG, "step has the wrong sign: from %g to %g by %g", from, to, step);
    if (n > 1e15) return tide_fail(s->cx, TIDE_EARG, "too many elements");
    if ((step > 0 && to < from) || (step < 0 && to > from))
        return tide_fail(s->cx, TIDE_EARG, "step has the wrong sign: from %g to %g by %g", from, to, step);
    return sized(s, &(tide_shape){1, {(int64_t)n}}, a->dtype ? a->dtype : floats ? TIDE_F32 : TIDE_I64);
}
PROGRAM(arange) { /* start + i * step, in int64 where the result is integer (step is cut too then), else in
                     float64 */
    const tide_arange_attr *a = attr;
    bool one = a->end_.kind == TIDE_NONE,
         floats = is_float(&a->start) || is_float(&a->step) || (!one && is_float(&a->end_));
    if (a->dtype) floats = tide_dtype_is_float((tide_dtype)a->dtype);
    int type = floats ? TIDE_RF64 : TIDE_RI64;
    tide_val i = p_cvt(p, p_index(p, TIDE_P_INDEX_K, TIDE_KEPT), type);
    y[0] = p_mul(p, i, number(p, &a->step, offsetof(tide_arange_attr, step), type));
    if (!one) y[0] = p_add(p, number(p, &a->start, offsetof(tide_arange_attr, start), type), y[0]);
}

RULE(eye_infer) {
    const tide_eye_attr *a = s->attr;
    int64_t m = a->m == TIDE_ABSENT ? a->n : a->m;
    if (a->n < 0 || m < 0) return tide_fail(s->cx, TIDE_EARG, "sizes must not be negative");
    return sized(s, &(tide_shape){2, {a->n, m}}, a->dtype ? a->dtype : TIDE_F32);
}
PROGRAM(eye) {
    const tide_eye_attr *a = attr;
    int64_t m = a->m == TIDE_ABSENT ? a->n : a->m;
    tide_val i = p_index(p, TIDE_P_INDEX_K, TIDE_KEPT); /* on the diagonal i = k * (m + 1), k < m */
    tide_val cols = p_const(p, TIDE_RI64, (double)(m > 0 ? m : 1));
    y[0] = p_eq(p, p_floordiv(p, i, cols), p_mod(p, i, cols));
}

/* ---- random ---- */

RULE(random_infer) {
    const tide_rand_attr *a = s->attr;
    tide_status e = sized(s, &a->size, a->dtype ? a->dtype : TIDE_F32);
    return e ? e : want_float(s->cx, &s->out[0], "dtype");
}

/* Word `i` of the operation's stream as a uniform number that `dtype` holds exactly, so that none is rounded up
 * to 1: 24 bits in float32, 11 in float16, 8 in bfloat16, two words' 53 in float64. */
static tide_val uniform(tide_prog *p, tide_val i, int64_t dtype, uint16_t seed_at, uint16_t call_at) {
    int seed = p_slot_index(p, seed_at, false), call = p_slot_index(p, call_at, false);
    if (dtype != TIDE_F64) {
        int bits = dtype == TIDE_F16 ? 11 : dtype == TIDE_BF16 ? 8 : 24;
        tide_val word = p_bin(p, TIDE_P_SHR, p_random(p, i, seed, call), p_const(p, TIDE_RI32, 32 - bits));
        tide_val u = p_and(p, word, p_const(p, TIDE_RI32, (1 << bits) - 1));
        return p_mul(p, p_cvt(p, u, TIDE_RF32), p_const(p, TIDE_RF32, ldexp(1, -bits)));
    }
    tide_val two = p_const(p, TIDE_RI64, 2), j = p_mul(p, i, two);
    tide_val hi = p_bin(p, TIDE_P_SHR, p_random(p, j, seed, call), p_const(p, TIDE_RI32, 5));
    tide_val lo = p_bin(p, TIDE_P_SHR, p_random(p, p_add(p, j, p_const(p, TIDE_RI64, 1)), seed, call),
                        p_const(p, TIDE_RI32, 6));
    hi = p_cvt(p, p_and(p, hi, p_const(p, TIDE_RI32, 0x7FFFFFF)), TIDE_RF64);
    lo = p_cvt(p, p_and(p, lo, p_const(p, TIDE_RI32, 0x3FFFFFF)), TIDE_RF64);
    return p_mul(p, p_add(p, p_mul(p, hi, p_const(p, TIDE_RF64, 0x1p26)), lo), p_const(p, TIDE_RF64, 0x1p-53));
}

/* Elements 2j and 2j+1 share the words 2j (the radius) and 2j+1 (the angle): r cos t and r sin t. */
static tide_val normal(tide_prog *p, int64_t dtype, uint16_t seed, uint16_t call) {
    int type = dtype == TIDE_F64 ? TIDE_RF64 : TIDE_RF32;
    int64_t wide = dtype == TIDE_F64 ? TIDE_F64 : TIDE_F32;
    tide_val i = p_index(p, TIDE_P_INDEX_K, TIDE_KEPT), one = p_const(p, TIDE_RI64, 1), odd = p_and(p, i, one),
             even = p_sub(p, i, odd);
    tide_val u = uniform(p, even, wide, seed, call), v = uniform(p, p_add(p, even, one), wide, seed, call);
    tide_val r = p_sqrt(p, p_mul(p, p_const(p, type, -2),
                                 p_log(p, p_sub(p, p_const(p, type, 1), u)))); /* 1 - u lies in (0, 1] */
    tide_val t = p_mul(p, p_const(p, type, 6.28318530717958647692), v);
    return p_mul(p, r, p_select(p, p_eq(p, odd, one), p_sin(p, t), p_cos(p, t)));
}
#define KEYS(op) offsetof(tide_##op##_attr, seed), offsetof(tide_##op##_attr, call)
#define INDEX p_index(p, TIDE_P_INDEX_K, TIDE_KEPT)
PROGRAM(rand) { y[0] = uniform(p, INDEX, ((const tide_rand_attr *)attr)->dtype, KEYS(rand)); }
PROGRAM(randn) { y[0] = normal(p, ((const tide_randn_attr *)attr)->dtype, KEYS(randn)); }

static int64_t dtype_like(const tide_prog *p, const void *attr) {
    const tide_rand_like_attr *a = attr;
    return a->dtype ? a->dtype : p->arg[0].dtype;
}
RULE(random_like_infer) {
    const tide_rand_like_attr *a = s->attr;
    s->out[0] = *s->in[0];
    if (a->dtype) s->out[0].dtype = (uint8_t)a->dtype;
    return want_float(s->cx, &s->out[0], "dtype");
}
PROGRAM(rand_like) { y[0] = uniform(p, INDEX, dtype_like(p, attr), KEYS(rand_like)); }
PROGRAM(randn_like) { y[0] = normal(p, dtype_like(p, attr), KEYS(randn_like)); }

RULE(randperm_infer) {
    const tide_randperm_attr *a = s->attr;
    if (a->n < 0) return tide_fail(s->cx, TIDE_EARG, "n must not be negative");
    return sized(s, &(tide_shape){1, {a->n}}, TIDE_I64);
}
typedef struct {
    tide_context *cx;
    const tide_randperm_attr *a;
    int64_t *v;
} shuffling;
static void shuffle_tile(void *arg, int tile, void *scratch) {
    const shuffling s = *(const shuffling *)arg;
    int64_t *v = s.v;
    for (int64_t i = 0; i < s.a->n && !kernel_stopped(s.cx, i); i++) v[i] = i;
    for (int64_t i = s.a->n - 1; i > 0 && !kernel_stopped(s.cx, i); i--) {
        uint32_t w[4]; /* 64 random bits against at most 2^40 places: the bias is below 2^-24 */
        tide_philox((uint64_t)s.a->seed, (uint64_t)s.a->call, (uint64_t)i, w);
        int64_t k = (int64_t)((((uint64_t)w[0] << 32) | w[1]) % (uint64_t)(i + 1)), t = v[i];
        v[i] = v[k];
        v[k] = t;
    }
}
KERNEL(randperm) {
    shuffling s = {cx, call->attr, (int64_t *)(void *)tide_data(call->out[0])};
    return tide_run_tiles(cx, 1, 0, 0, shuffle_tile, &s);
}

/* ---- into existing tensors ---- */

PROGRAM(fill) {
    const tide_fill_attr *a = attr;
    y[0] = number(p, &a->value, offsetof(tide_fill_attr, value),
                  a->value.kind == TIDE_FLOAT ? TIDE_RF64 : TIDE_RI64);
}
RULE(copy_infer) {
    tide_meta m = *s->in[0];
    tide_status e = tide_broadcast(s->cx, &m, s->in[1]);
    s->out[0] = *s->in[0];
    if (!e && !tide_same_shape(&m, s->in[0])) {
        char a[TIDE_SHAPE_TEXT], b[TIDE_SHAPE_TEXT];
        e = tide_fail(s->cx, TIDE_EARG, "%s does not broadcast to %s", tide_shape_text(s->in[1], a),
                      tide_shape_text(s->in[0], b));
    }
    return e;
}
PROGRAM(copy) { y[0] = x[1]; }
