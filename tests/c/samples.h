/* One sample or more of every operation that has a gradient: inputs by shape and domain, and the result.
 * Included by one test, after cmocka's header; it works in the context `cx`. */
#ifndef SAMPLES_H
#define SAMPLES_H

#include "autograd/tape.h"

enum { MOST = 6 }; /* inputs of a sample */
static tide_context *cx;

#define NARGS(...) (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t))
#define SH(...) \
    { .shape = {__VA_ARGS__}, .ndim = NARGS(__VA_ARGS__), .dtype = TIDE_F64 }
#define SH0 \
    { .ndim = 0, .dtype = TIDE_F64 }
#define LIST(...)                           \
    {                                       \
        NARGS(__VA_ARGS__), { __VA_ARGS__ } \
    } /* dims or a shape */
#define ALL   \
    {         \
        -1, { \
            0 \
        }     \
    }
#define F(v) \
    { {.f = v}, TIDE_FLOAT, 0 }
#define I(v) \
    { {.i = v}, TIDE_INTEGER, 0 }
#define A(op, ...) (&(tide_##op##_attr){__VA_ARGS__})

static tide_tensor *tensor_of(tide_meta m, tide_dtype d, const void *data) {
    m.dtype = (uint8_t)d;
    tide_tensor *t = tide_empty(cx, &m);
    assert_non_null(t);
    assert_int_equal(tide_write(t, data, (size_t)tide_numel(&m) * tide_dtype_size(d)), TIDE_OK);
    return t;
}
#define INTS(shape, ...) tensor_of((tide_meta)shape, TIDE_I64, (int64_t[]){__VA_ARGS__})
#define MASK(shape, ...) tensor_of((tide_meta)shape, TIDE_BOOL, (uint8_t[]){__VA_ARGS__})
#define F64S(shape, ...) tensor_of((tide_meta)shape, TIDE_F64, (double[]){__VA_ARGS__})

/* An operation by its number: what tide_ops.h has no function for, and what is written in place. */
static tide_tensor *op(int code, int nin, tide_tensor *const *in, const void *attr) {
    return tide_scoped(tide_call1(cx, code, in, nin, attr));
}
#define OP(code, attr, ...)                                                                                  \
    op(code, sizeof((tide_tensor *[]){__VA_ARGS__}) / sizeof(tide_tensor *), (tide_tensor *[]){__VA_ARGS__}, \
       attr)

static tide_tensor *inplace_n(int code, int nin, tide_tensor **in, const void *attr) {
    const tide_op *o = &tide_op_table[code];
    tide_tensor *out = NULL;
    tide_call c = {.op = (uint16_t)code,
                   .flags = TIDE_INPLACE,
                   .nin = (uint32_t)nin,
                   .nout = 1,
                   .in = in,
                   .out = &out,
                   .attr = attr ? attr : o->attr0,
                   .nattr = o->nattr};
    return tide_apply(cx, &c) ? NULL : in[0];
}
#define INPLACE(code, attr, ...)                                                    \
    inplace_n(code, sizeof((tide_tensor *[]){__VA_ARGS__}) / sizeof(tide_tensor *), \
              (tide_tensor *[]){__VA_ARGS__}, attr)

static tide_tensor *first_of(tide_status status, tide_tensor *const *out) { return status ? NULL : out[0]; }
#define FIRST(call_of_out)            \
    ({                                \
        tide_tensor *out[2] = {NULL}; \
        first_of(call_of_out, out);   \
    })

static tide_tensor *running(double v) { return F64S(SH(3), v, v + 0.5, v + 0.25); }

/* X(name, (shapes of the inputs), "domains", result). Domains, one an input: a in (-2, 2), p in (0.4, 2.4), u
 * in (0.1, 0.9); all values of an input differ. ! : not with expanded inputs, whose equal elements have no
 * gradient. */
#define UNARIES(X)                                                                   \
    X(neg, (SH(3, 4)), "a", tide_neg(x[0]))                                          \
    X(abs, (SH(3, 4)), "a", tide_abs(x[0]))                                          \
    X(sign, (SH(3)), "a", tide_sign(x[0]))                                           \
    X(square, (SH0), "a", tide_square(x[0]))                                         \
    X(floor, (SH(3)), "u", tide_floor(x[0]))                                         \
    X(ceil, (SH(3)), "u", tide_ceil(x[0]))                                           \
    X(trunc, (SH(3)), "u", tide_trunc(x[0]))                                         \
    X(round, (SH(3)), "u", tide_round(x[0], NULL))                                   \
    X(reciprocal, (SH(5)), "p", tide_reciprocal(x[0]))                               \
    X(exp, (SH(2, 3)), "a", tide_exp(x[0]))                                          \
    X(expm1, (SH(2, 3)), "a", tide_expm1(x[0]))                                      \
    X(log, (SH(2, 3)), "p", tide_log(x[0]))                                          \
    X(log1p, (SH(2, 3)), "u", tide_log1p(x[0]))                                      \
    X(sqrt, (SH(2, 3)), "p", tide_sqrt(x[0]))                                        \
    X(rsqrt, (SH(2, 3)), "p", tide_rsqrt(x[0]))                                      \
    X(sin, (SH(2, 3)), "a", tide_sin(x[0]))                                          \
    X(cos, (SH(2, 3)), "a", tide_cos(x[0]))                                          \
    X(tanh, (SH(2, 3)), "a", tide_tanh(x[0]))                                        \
    X(erf, (SH(2, 3)), "a", tide_erf(x[0]))                                          \
    X(sigmoid, (SH(2, 3)), "a", tide_sigmoid(x[0]))                                  \
    X(relu, (SH(3, 4)), "a", tide_relu(x[0]))                                        \
    X(gelu, (SH(2, 3)), "a", tide_gelu(x[0], NULL))                                  \
    X(gelu_tanh, (SH(2, 3)), "a", tide_gelu(x[0], A(gelu, TIDE_GELU_TANH)))          \
    X(silu, (SH(2, 3)), "a", tide_silu(x[0]))                                        \
    X(to, (SH(2, 3)), "a", tide_to(x[0], A(to, TIDE_F64)))                           \
    X(clone, (SH(2, 3)), "a", tide_clone(x[0]))                                      \
    X(dropout_eval, (SH(2, 3)), "a", tide_dropout(x[0], A(dropout, 0.5, 0, 0, 0)))   \
    X(dropout, (SH(4, 5)), "a", OP(TIDE_OP_DROPOUT, A(dropout, 0.4, 1, 7, 3), x[0])) \
    X(exp_inplace, (SH(2, 3)), "a", INPLACE(TIDE_OP_EXP, NULL, tide_clone(x[0])))    \
    X(relu_inplace, (SH(2, 3)), "a", INPLACE(TIDE_OP_RELU, NULL, tide_clone(x[0])))

#define BINARIES(X)                                                                                          \
    X(add, (SH(3, 4), SH(3, 4)), "aa", tide_add(x[0], x[1], NULL))                                           \
    X(add_row, (SH(3, 4), SH(4)), "aa", tide_add(x[0], x[1], A(add, .alpha = F(-1.5))))                      \
    X(add_outer, (SH(3, 1), SH(1, 4)), "aa", tide_add(x[0], x[1], A(add, .alpha = I(3))))                    \
    X(add_0d, (SH0, SH(2, 3)), "aa", tide_add(x[0], x[1], NULL))                                             \
    X(add_number, (SH(2, 3)), "a", tide_add(x[0], NULL, A(add, .other = F(2), .alpha = I(1))))               \
    X(sub, (SH(2, 1, 3), SH(4, 1)), "aa", tide_sub(x[0], x[1], A(sub, .alpha = I(2))))                       \
    X(mul, (SH(3, 4), SH(3, 4)), "aa", tide_mul(x[0], x[1], NULL))                                           \
    X(mul_outer, (SH(3, 1), SH(2, 1, 4)), "aa", tide_mul(x[0], x[1], NULL))                                  \
    X(mul_0d, (SH(2, 3), SH0), "aa", tide_mul(x[0], x[1], NULL))                                             \
    X(mul_self, (SH(2, 3)), "a", tide_mul(x[0], x[0], NULL))                                                 \
    X(mul_inplace, (SH(2, 3), SH(3)), "aa", INPLACE(TIDE_OP_ADD, NULL, tide_mul(x[0], x[0], NULL), x[1]))    \
    X(div, (SH(3, 4), SH(4)), "ap", tide_div(x[0], x[1], NULL))                                              \
    X(div_column, (SH(3, 1), SH(3, 4)), "ap", tide_div(x[0], x[1], NULL))                                    \
    X(div_trunc, (SH(3), SH(3)), "up", tide_div(x[0], x[1], A(div, .rounding_mode = TIDE_DIV_TRUNC)))        \
    X(div_number, (SH(3)), "p", tide_div(NULL, x[0], A(div, .input = F(3))))                                 \
    X(remainder, (SH(3, 2), SH(2)), "pp", tide_remainder(x[0], x[1], NULL))                                  \
    X(pow, (SH(3, 4), SH(4)), "pa", tide_pow(x[0], x[1], NULL))                                              \
    X(pow_number, (SH(3, 4)), "a", tide_pow(x[0], NULL, A(pow, .exponent = I(3))))                           \
    X(pow_half, (SH(3)), "p", tide_pow(x[0], NULL, A(pow, .exponent = F(-0.5))))                             \
    X(pow_base, (SH(3)), "a", tide_pow(NULL, x[0], A(pow, .input = F(1.7))))                                 \
    X(maximum, (SH(3, 4), SH(4)), "aa", tide_maximum(x[0], x[1]))                                            \
    X(minimum, (SH(3, 1), SH(1, 4)), "aa", tide_minimum(x[0], x[1]))                                         \
    X(clamp, (SH(3, 4)), "a", tide_clamp(x[0], NULL, NULL, A(clamp, .min = F(-0.7), .max = F(0.9))))         \
    X(clamp_min, (SH(3, 4)), "a", tide_clamp(x[0], NULL, NULL, A(clamp, .min = F(0.1))))                     \
    X(clamp_tensors, (SH(3, 4), SH(4), SH(3, 1)), "aup", tide_clamp(x[0], x[1], x[2], NULL))                 \
    X(clamp_mixed, (SH(3, 4), SH(4)), "au", tide_clamp(x[0], x[1], NULL, A(clamp, .max = F(1.1))))           \
    X(where, (SH(3, 4), SH(4)), "aa", tide_where(MASK(SH(3, 1), 1, 0, 1), x[0], x[1], NULL))                 \
    X(copy_out, (SH(2, 3), SH(3)), "aa", tide_copy(x[0], x[1]))                                              \
    X(where_number, (SH(2, 1)), "a", tide_where(MASK(SH(3), 1, 0, 1), x[0], NULL, A(where, .other = F(2))))  \
    X(masked_fill, (SH(2, 3), SH0), "aa", tide_masked_fill(x[0], MASK(SH(3), 1, 0, 1), x[1], NULL))          \
    X(masked_fill_number, (SH(2, 3)), "a",                                                                   \
      tide_masked_fill(x[0], MASK(SH(2, 1), 1, 0), NULL, A(masked_fill, .value = F(9))))                     \
    X(mse_loss, (SH(3, 4), SH(4)), "aa", tide_mse_loss(x[0], x[1], NULL))                                    \
    X(mse_loss_outer, (SH(3, 1), SH(1, 4)), "aa", tide_mse_loss(x[0], x[1], A(mse_loss, TIDE_MSE_LOSS_SUM))) \
    X(mse_loss_0d, (SH(2, 1, 3), SH0), "aa", tide_mse_loss(x[0], x[1], NULL))                                \
    X(mse_loss_none, (SH(2, 1, 3), SH(4, 1)), "aa",                                                          \
      tide_mse_loss(x[0], x[1], A(mse_loss, TIDE_MSE_LOSS_NONE)))                                            \
    X(copy, (SH(3)), "a", INPLACE(TIDE_OP_COPY, NULL, F64S(SH(2, 3), 1, 2, 3, 4, 5, 6), x[0]))

#define REDUCTIONS(X)                                                                                          \
    X(sum, (SH(3, 4)), "a", tide_sum(x[0], NULL))                                                              \
    X(sum_0d, (SH0), "a", tide_sum(x[0], NULL))                                                                \
    X(sum_dims, (SH(2, 3, 4)), "a", tide_sum(x[0], A(sum, .dim = LIST(0, 2))))                                 \
    X(sum_keep, (SH(2, 3, 4)), "a", tide_sum(x[0], A(sum, .dim = LIST(-2), .keepdim = 1)))                     \
    X(mean, (SH(3, 4)), "a", tide_mean(x[0], NULL))                                                            \
    X(mean_dims, (SH(2, 3, 4)), "a", tide_mean(x[0], A(mean, .dim = LIST(1, 2), .keepdim = 1)))                \
    X(amax, (SH(3, 4)), "a!", tide_amax(x[0], A(amax, .dim = LIST(1))))                                        \
    X(amax_all, (SH(3, 4)), "a!", tide_amax(x[0], NULL))                                                       \
    X(amin, (SH(2, 3, 2)), "a!", tide_amin(x[0], A(amin, LIST(0, 2), 1)))                                      \
    X(max_dim, (SH(3, 4)), "a!", FIRST(tide_max_dim(x[0], A(max_dim, .dim = LIST(1)), out)))                   \
    X(min_dim, (SH(3, 4)), "a!", FIRST(tide_min_dim(x[0], A(min_dim, LIST(0), 1), out)))                       \
    X(var, (SH(3, 4)), "a", tide_var(x[0], NULL))                                                              \
    X(var_dims, (SH(2, 3, 2)), "a", tide_var(x[0], A(var, LIST(0, 2), 0, 1)))                                  \
    X(std, (SH(3, 4)), "a!", tide_std(x[0], A(std, .dim = LIST(1), .correction = 1)))                          \
    X(var_mean, (SH(3, 4)), "a", ({                                                                            \
          tide_tensor *out[2] = {NULL};                                                                        \
          tide_var_mean(x[0], A(var_mean, .dim = LIST(1), .correction = 1), out)                               \
              ? NULL                                                                                           \
              : tide_mul(out[0], out[1], NULL);                                                                \
      }))                                                                                                      \
    X(logsumexp, (SH(3, 4)), "a", tide_logsumexp(x[0], A(logsumexp, .dim = LIST(1))))                          \
    X(logsumexp_dims, (SH(2, 3, 2)), "a", tide_logsumexp(x[0], A(logsumexp, LIST(0, 2), 1)))                   \
    X(softmax, (SH(3, 4)), "a", tide_softmax(x[0], A(softmax, .dim = LIST(1))))                                \
    X(softmax_first, (SH(3, 2, 2)), "a", tide_softmax(x[0], A(softmax, .dim = LIST(0))))                       \
    X(log_softmax, (SH(3, 4)), "a", tide_log_softmax(x[0], A(log_softmax, .dim = LIST(-1))))                   \
    X(log_softmax_middle, (SH(2, 3, 2)), "a", tide_log_softmax(x[0], A(log_softmax, .dim = LIST(1))))          \
    X(layer_norm, (SH(3, 4)), "a", tide_layer_norm(x[0], NULL, NULL, A(layer_norm, LIST(4), 1e-5)))            \
    X(layer_norm_all, (SH(2, 3, 2), SH(3, 2), SH(3, 2)), "aaa",                                                \
      tide_layer_norm(x[0], x[1], x[2], A(layer_norm, LIST(3, 2), 1e-5)))                                      \
    X(rms_norm, (SH(3, 4)), "a", tide_rms_norm(x[0], NULL, A(rms_norm, LIST(4), 1e-5)))                        \
    X(rms_norm_weight, (SH(2, 2, 3), SH(3)), "aa", tide_rms_norm(x[0], x[1], A(rms_norm, LIST(3), 1e-5)))      \
    X(batch_norm, (SH(4, 3)), "a", tide_batch_norm(x[0], NULL, NULL, NULL, NULL, A(batch_norm, 1, 0.1, 1e-5))) \
    X(batch_norm_all, (SH(2, 3, 2), SH(3), SH(3)), "aaa",                                                      \
      tide_batch_norm(x[0], running(0), running(1), x[1], x[2], A(batch_norm, 1, 0.1, 1e-5)))                  \
    X(batch_norm_eval, (SH(2, 3, 2), SH(3), SH(3)), "aaa",                                                     \
      tide_batch_norm(x[0], running(0), running(1), x[1], x[2], A(batch_norm, 0, 0.1, 1e-5)))                  \
    X(cross_entropy, (SH(3, 4)), "a", tide_cross_entropy(x[0], INTS(SH(3), 1, 3, 0), NULL, NULL))              \
    X(cross_entropy_one, (SH(4)), "a", tide_cross_entropy(x[0], INTS(SH0, 2), NULL, NULL))                     \
    X(cross_entropy_ignore, (SH(3, 4)), "a",                                                                   \
      tide_cross_entropy(x[0], INTS(SH(3), 1, -100, 0), NULL,                                                  \
                         A(cross_entropy, -100, TIDE_CROSS_ENTROPY_MEAN, 0)))                                  \
    X(cross_entropy_weight, (SH(3, 4)), "a",                                                                   \
      tide_cross_entropy(x[0], INTS(SH(3), 1, 3, 0), F64S(SH(4), 0.5, 2, 1, 3),                                \
                         A(cross_entropy, 3, TIDE_CROSS_ENTROPY_MEAN, 0)))                                     \
    X(cross_entropy_smooth, (SH(2, 3, 2)), "a",                                                                \
      tide_cross_entropy(x[0], INTS(SH(2, 2), 1, 2, 0, 0), F64S(SH(3), 0.5, 2, 1),                             \
                         A(cross_entropy, -100, TIDE_CROSS_ENTROPY_SUM, 0.2)))                                 \
    X(cross_entropy_smooth_mean, (SH(2, 3, 2)), "a",                                                           \
      tide_cross_entropy(x[0], INTS(SH(2, 2), 1, 2, 0, 0), F64S(SH(3), 0.5, 2, 1),                             \
                         A(cross_entropy, 2, TIDE_CROSS_ENTROPY_MEAN, 0.2)))                                   \
    X(cross_entropy_none, (SH(2, 3, 2)), "a",                                                                  \
      tide_cross_entropy(x[0], INTS(SH(2, 2), 1, 2, 0, 0), F64S(SH(3), 0.5, 2, 1),                             \
                         A(cross_entropy, 0, TIDE_CROSS_ENTROPY_NONE, 0.1)))                                   \
    X(cross_entropy_soft, (SH(3, 4), SH(3, 4)), "au",                                                          \
      tide_cross_entropy(x[0], x[1], F64S(SH(4), 0.5, 2, 1, 3),                                                \
                         A(cross_entropy, -100, TIDE_CROSS_ENTROPY_MEAN, 0.1)))                                \
    X(cross_entropy_soft_none, (SH(2, 3, 2), SH(2, 3, 2)), "au",                                               \
      tide_cross_entropy(x[0], x[1], NULL, A(cross_entropy, -100, TIDE_CROSS_ENTROPY_NONE, 0)))                \
    X(cumsum, (SH(3, 4)), "a", tide_cumsum(x[0], A(cumsum, .dim = 1)))                                         \
    X(sort, (SH(3, 4)), "a!", FIRST(tide_sort(x[0], A(sort, .dim = 1, .descending = 1), out)))                 \
    X(topk, (SH(3, 4)), "a!", FIRST(tide_topk(x[0], A(topk, 2, 1, 1, 1), out)))

#define PRODUCTS(X)                                                                                        \
    X(matmul, (SH(3, 4), SH(4, 2)), "aa", tide_matmul(x[0], x[1]))                                         \
    X(matmul_dot, (SH(4), SH(4)), "aa", tide_matmul(x[0], x[1]))                                           \
    X(matmul_vector, (SH(2, 3, 4), SH(4)), "aa", tide_matmul(x[0], x[1]))                                  \
    X(matmul_row, (SH(3), SH(2, 3, 2)), "aa", tide_matmul(x[0], x[1]))                                     \
    X(matmul_batch, (SH(2, 1, 2, 3), SH(2, 3, 2)), "aa", tide_matmul(x[0], x[1]))                          \
    X(matmul_one, (SH(2, 2, 3), SH(3, 2)), "aa", tide_matmul(x[0], x[1]))                                  \
    X(matmul_self, (SH(3, 3)), "a", tide_matmul(x[0], x[0]))                                               \
    X(mm, (SH(2, 3), SH(3, 2)), "aa", tide_mm(x[0], x[1]))                                                 \
    X(bmm, (SH(2, 2, 3), SH(2, 3, 2)), "aa", tide_bmm(x[0], x[1]))                                         \
    X(linear, (SH(3, 4), SH(2, 4), SH(2)), "aaa", tide_linear(x[0], x[1], x[2], NULL))                     \
    X(linear_relu, (SH(3, 4), SH(2, 4), SH(2)), "aaa",                                                     \
      tide_linear(x[0], x[1], x[2], A(linear, TIDE_LINEAR_RELU)))                                          \
    X(linear_gelu, (SH(2, 2, 3), SH(2, 3), SH(2)), "uuu",                                                  \
      tide_linear(x[0], x[1], x[2], A(linear, TIDE_LINEAR_GELU)))                                          \
    X(linear_gelu_tanh, (SH(3), SH(2, 3), SH(2)), "uuu",                                                   \
      tide_linear(x[0], x[1], x[2], A(linear, TIDE_LINEAR_GELU_TANH)))                                     \
    X(linear_silu, (SH(2, 3), SH(2, 3)), "aa", tide_linear(x[0], x[1], NULL, A(linear, TIDE_LINEAR_SILU))) \
    X(linear_tanh, (SH(2, 3), SH(2, 3), SH(2)), "uuu",                                                     \
      tide_linear(x[0], x[1], x[2], A(linear, TIDE_LINEAR_TANH)))                                          \
    X(linear_sigmoid, (SH(2, 2, 3), SH(2, 3), SH(2)), "uuu",                                               \
      tide_linear(x[0], x[1], x[2], A(linear, TIDE_LINEAR_SIGMOID)))                                       \
    X(linear_vector, (SH(3, 4), SH(4), SH0), "aaa", tide_linear(x[0], x[1], x[2], NULL))                   \
    X(conv2d, (SH(2, 2, 4, 3), SH(2, 2, 2, 2), SH(2)), "aaa",                                              \
      tide_conv2d(x[0], x[1], x[2], A(conv2d, {{2, 1}}, {{1, 0}}, {{1, 1}}, 1, TIDE_CONV2D_GIVEN)))        \
    X(conv2d_groups, (SH(2, 3, 4), SH(2, 1, 2, 2)), "aa",                                                  \
      tide_conv2d(x[0], x[1], NULL, A(conv2d, {{1, 1}}, {{0, 0}}, {{2, 1}}, 2, TIDE_CONV2D_SAME)))         \
    X(conv1d, (SH(2, 2, 5), SH(2, 2, 3), SH(2)), "aaa",                                                    \
      tide_conv1d(x[0], x[1], x[2], A(conv1d, {{1, 1}}, {{0, 0}}, {{1, 1}}, 1, TIDE_CONV1D_VALID)))        \
    X(max_pool2d, (SH(1, 2, 4, 4)), "a!",                                                                  \
      tide_max_pool2d(x[0], A(max_pool2d, {{2, 2}}, {{1, 2}}, {{0, 1}}, {{1, 1}}, 0)))                     \
    X(max_pool2d_with_indices, (SH(2, 3, 4)), "a!",                                                        \
      FIRST(tide_max_pool2d_with_indices(                                                                  \
          x[0], A(max_pool2d_with_indices, {{2, 2}}, {{2, 2}}, {{0, 0}}, {{1, 1}}, 1), out)))

#define SHAPES(X)                                                                                       \
    X(view, (SH(3, 4)), "a", tide_view(tide_clone(x[0]), A(view, LIST(2, -1))))                         \
    X(reshape, (SH(3, 4)), "a",                                                                         \
      tide_reshape(tide_transpose(x[0], A(transpose, 0, 1)), A(reshape, LIST(6, 2))))                   \
    X(contiguous, (SH(3, 4)), "a", tide_contiguous(tide_transpose(x[0], A(transpose, 0, 1))))           \
    X(transpose, (SH(2, 3, 2)), "a", tide_transpose(x[0], A(transpose, 0, -1)))                         \
    X(permute, (SH(2, 3, 2)), "a", tide_permute(x[0], A(permute, LIST(2, 0, 1))))                       \
    X(squeeze, (SH(1, 3, 1)), "a", tide_squeeze(x[0], A(squeeze, LIST(-1))))                            \
    X(squeeze_all, (SH(1, 3, 1)), "a", tide_squeeze(x[0], NULL))                                        \
    X(unsqueeze, (SH(2, 3)), "a", tide_unsqueeze(x[0], A(unsqueeze, -2)))                               \
    X(expand, (SH(3, 1)), "a", tide_expand(x[0], A(expand, LIST(2, -1, 4))))                            \
    X(expand_0d, (SH0), "a", tide_expand(x[0], A(expand, LIST(2, 3))))                                  \
    X(narrow, (SH(2, 5)), "a", tide_narrow(x[0], A(narrow, 1, 1, 3)))                                   \
    X(select, (SH(2, 3)), "a", tide_select(x[0], A(select, -1, -2)))                                    \
    X(slice, (SH(5, 2)), "a", tide_slice(x[0], A(slice, 0, 1, 2, 2)))                                   \
    X(index_select, (SH(3, 4)), "a", tide_index_select(x[0], INTS(SH(3), 1, 3, 1), A(index_select, 1))) \
    X(gather, (SH(3, 4)), "a", tide_gather(x[0], INTS(SH(2, 3), 0, 1, 1, 3, 0, 0), A(gather, 1)))       \
    X(take_along_dim, (SH(3, 4)), "a",                                                                  \
      tide_take_along_dim(x[0], INTS(SH(1, 4), 2, 1, 0, 2), A(take_along_dim, 0)))                      \
    X(take, (SH(3, 4)), "a", tide_take(x[0], INTS(SH(2, 2), 0, 5, 11, 5)))                              \
    X(index, (SH(3, 4)), "a", OP(TIDE_OP_INDEX, NULL, x[0], INTS(SH(2), 2, 0), INTS(SH(2), 1, 1)))      \
    X(scatter, (SH(3, 4), SH(3, 2)), "aa",                                                              \
      tide_scatter(x[0], INTS(SH(3, 2), 0, 1, 2, 3, 1, 0), x[1], A(scatter, .dim = 1)))                 \
    X(scatter_add, (SH(3, 4), SH(3, 2)), "aa",                                                          \
      tide_scatter_add(x[0], INTS(SH(3, 2), 0, 1, 2, 2, 1, 0), x[1], A(scatter_add, 1)))                \
    X(index_add, (SH(3, 4), SH(2, 4)), "aa",                                                            \
      tide_index_add(x[0], INTS(SH(2), 2, 2), x[1], A(index_add, 0, F(-0.5))))                          \
    X(index_put, (SH(3, 4), SH(2)), "aa",                                                               \
      OP(TIDE_OP_INDEX_PUT, NULL, x[0], x[1], INTS(SH(2), 2, 0), INTS(SH(2), 1, 1)))                    \
    X(index_put_add, (SH(3, 4), SH(2)), "aa",                                                           \
      OP(TIDE_OP_INDEX_PUT, A(index_put, 1), x[0], x[1], INTS(SH(2), 2, 2), INTS(SH(2), 1, 1)))         \
    X(masked_select, (SH(2, 3)), "a", tide_masked_select(x[0], MASK(SH(3), 1, 0, 1)))                   \
    X(embedding, (SH(4, 3)), "a",                                                                       \
      tide_embedding(INTS(SH(2, 2), 0, 3, 3, 1), x[0],                                                  \
                     A(embedding, .padding_idx = TIDE_ABSENT, .norm_type = 2)))                         \
    X(cat, (SH(2, 3), SH(2, 1), SH(2, 2)), "aaa", tide_cat(x, 3, A(cat, 1)))                            \
    X(stack, (SH(2, 3), SH(2, 3)), "aa", tide_stack(x, 2, A(stack, -1)))

#define ACTIVATIONS(X)                                                        \
    X(elu, (SH(2, 3)), "a", tide_elu(x[0], NULL))                             \
    X(selu, (SH(2, 3)), "a", tide_selu(x[0]))                                 \
    X(celu, (SH(2, 3)), "a", tide_celu(x[0], NULL))                           \
    X(softplus, (SH(2, 3)), "a", tide_softplus(x[0], NULL))                   \
    X(logsigmoid, (SH(2, 3)), "a", tide_logsigmoid(x[0]))                     \
    X(mish, (SH(2, 3)), "a", tide_mish(x[0]))                                 \
    X(hardtanh, (SH(2, 3)), "a", tide_hardtanh(x[0], NULL))                   \
    X(relu6, (SH(2, 3)), "a", tide_relu6(x[0]))                               \
    X(hardsigmoid, (SH(2, 3)), "a", tide_hardsigmoid(x[0]))                   \
    X(hardswish, (SH(2, 3)), "a", tide_hardswish(x[0]))                       \
    X(softsign, (SH(2, 3)), "a", tide_softsign(x[0]))                         \
    X(tanhshrink, (SH(2, 3)), "a", tide_tanhshrink(x[0]))                     \
    X(softshrink, (SH(2, 3)), "a", tide_softshrink(x[0], NULL))               \
    X(hardshrink, (SH(2, 3)), "a", tide_hardshrink(x[0], NULL))               \
    X(leaky_relu, (SH(2, 3)), "a", tide_leaky_relu(x[0], NULL))               \
    X(threshold, (SH(2, 3)), "a", tide_threshold(x[0], A(threshold, 0.1, 3))) \
    X(softplus_sharp, (SH(2, 3)), "a", tide_softplus(x[0], A(softplus, 2, 1.5)))

#define LOSSES(X)                                                                                            \
    X(l1_loss, (SH(3, 4), SH(4)), "aa", tide_l1_loss(x[0], x[1], NULL))                                      \
    X(smooth_l1_loss, (SH(3, 4), SH(4)), "aa", tide_smooth_l1_loss(x[0], x[1], NULL))                        \
    X(huber_loss, (SH(3, 4), SH(4)), "aa", tide_huber_loss(x[0], x[1], NULL))                                \
    X(soft_margin_loss, (SH(3, 4), SH(4)), "aa", tide_soft_margin_loss(x[0], x[1], NULL))                    \
    X(hinge_embedding_loss, (SH(3, 2)), "a", tide_hinge_embedding_loss(x[0], F64S(SH(2), 1, -1), NULL))      \
    X(binary_cross_entropy, (SH(3, 2), SH(2), SH(2)), "uua",                                                 \
      tide_binary_cross_entropy(x[0], x[1], x[2], NULL))                                                     \
    X(bce_logits, (SH(3, 2), SH(2), SH(2), SH0), "auau",                                                     \
      tide_binary_cross_entropy_with_logits(x[0], x[1], x[2], x[3],                                          \
                                            A(binary_cross_entropy_with_logits, TIDE_MSE_LOSS_SUM)))         \
    X(kl_div, (SH(3, 2), SH(3, 2)), "au", tide_kl_div(x[0], x[1], NULL))                                     \
    X(kl_div_logs, (SH(3, 2), SH(3, 2)), "au", tide_kl_div(x[0], x[1], A(kl_div, TIDE_KL_DIV_NONE, 1)))      \
    X(poisson_nll_loss, (SH(3, 2), SH(3, 2)), "ap",                                                          \
      tide_poisson_nll_loss(x[0], x[1], A(poisson_nll_loss, TIDE_MSE_LOSS_MEAN, 1, 1, 0)))                   \
    X(poisson_plain, (SH(3, 2), SH(3, 2)), "pp",                                                             \
      tide_poisson_nll_loss(x[0], x[1], A(poisson_nll_loss, TIDE_MSE_LOSS_MEAN, 0, 0, 1e-8)))                \
    X(nll_loss, (SH(3, 4)), "a", tide_nll_loss(x[0], INTS(SH(3), 1, 3, 0), F64S(SH(4), 0.5, 2, 1, 3), NULL)) \
    X(nll_loss_none, (SH(2, 3, 2)), "a",                                                                     \
      tide_nll_loss(x[0], INTS(SH(2, 2), 1, 2, 0, 0), NULL, A(nll_loss, 0, TIDE_NLL_LOSS_NONE)))             \
    X(lstm_cell_gates, (SH(2, 3), SH(2, 3), SH(2, 3), SH(2, 3)), "aaaa",                                     \
      tide_lstm_cell_gates(x[0], x[1], x[2], x[3]))                                                          \
    X(lstm_hidden_gate, (SH(2, 3), SH(2, 3)), "aa", tide_lstm_hidden_gate(x[0], x[1]))                       \
    X(gru_gates, (SH(2, 3), SH(2, 3), SH(2, 3), SH(2, 3), SH(2, 3)), "aaaaa",                                \
      tide_gru_gates(x[0], x[1], x[2], x[3], x[4]))

#define IMAGES(X)                                                                                              \
    X(conv_transpose2d, (SH(1, 2, 3, 2), SH(2, 2, 2, 2), SH(2)), "aaa",                                        \
      tide_conv_transpose2d(x[0], x[1], x[2], A(conv_transpose2d, {{2, 1}}, {{1, 0}}, {{1, 0}}, 1, {{1, 1}}))) \
    X(conv_transpose1d, (SH(2, 3), SH(2, 1, 2)), "aa",                                                         \
      tide_conv_transpose1d(x[0], x[1], NULL, A(conv_transpose1d, {{2, 2}}, {{0, 0}}, {{0, 0}}, 2, {{2, 2}}))) \
    X(avg_pool2d, (SH(1, 2, 4, 4)), "a",                                                                       \
      tide_avg_pool2d(x[0], A(avg_pool2d, {{2, 2}}, {{1, 2}}, {{0, 1}}, 0, 0, TIDE_ABSENT)))                   \
    X(adaptive_avg_pool2d, (SH(2, 3, 4)), "a", tide_adaptive_avg_pool2d(x[0], A(adaptive_avg_pool2d, {{2, 3}})))

#define SAMPLES(X) UNARIES(X) BINARIES(X) REDUCTIONS(X) PRODUCTS(X) SHAPES(X) ACTIVATIONS(X) LOSSES(X) IMAGES(X)

#define FUNCTION(name, shapes, domain, ...) \
    static tide_tensor *sample_##name(tide_tensor *const *x) { return __VA_ARGS__; }
SAMPLES(FUNCTION)

typedef struct {
    const char *name, *domain;
    tide_meta shape[MOST];
    tide_tensor *(*fn)(tide_tensor *const *x);
} sample;
#define OPEN(...) __VA_ARGS__
#define ROW(name, shapes, domain, ...) {#name, domain, {OPEN shapes}, sample_##name},
static const sample samples[] = {SAMPLES(ROW)};

static bool expandable(const sample *s) { return !strchr(s->domain, '!'); }
static int inputs(const sample *s) { return (int)strlen(s->domain) - !expandable(s); }

#endif
