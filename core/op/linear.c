/* Matrix products: shapes and gradients here, the work in device/cpu/gemm.c. */
#include "op/row.h"
#include "device/cpu/gemm.h"
#include <inttypes.h>

static tide_status mismatch(tide_context *cx, const tide_meta *a, const tide_meta *b, int64_t i, int64_t j) {
    char s[TIDE_SHAPE_TEXT], t[TIDE_SHAPE_TEXT];
    return tide_fail(cx, TIDE_EARG, "%s x %s: inner sizes %" PRId64 " and %" PRId64 " differ",
                     tide_shape_text(a, s), tide_shape_text(b, t), i, j);
}

static tide_status same_dtype(tide_context *cx, const tide_meta *a, const tide_meta *b) {
    if (a->dtype == TIDE_BOOL) return tide_fail(cx, TIDE_EARG, "bool tensors have no products");
    if (a->dtype == b->dtype) return TIDE_OK;
    return tide_fail(cx, TIDE_EARG, "dtypes %s and %s differ", tide_dtype_name((tide_dtype)a->dtype),
                     tide_dtype_name((tide_dtype)b->dtype));
}

/* ---- gemm: two matrices ---- */

RULE(gemm_infer) {
    const tide_gemm_attr *t = s->attr;
    const tide_meta *a = s->in[0], *b = s->in[1];
    if (a->ndim != 2 || b->ndim != 2) return tide_fail(s->cx, TIDE_EARG, "takes matrices");
    tide_status e = same_dtype(s->cx, a, b);
    if (e) return e;
    int64_t ka = a->shape[t->ta ? 0 : 1], kb = b->shape[t->tb ? 1 : 0];
    if (ka != kb) return mismatch(s->cx, a, b, ka, kb);
    s->out[0] = *a;
    s->out[0].shape[0] = a->shape[t->ta ? 1 : 0];
    s->out[0].shape[1] = b->shape[t->tb ? 0 : 1];
    return TIDE_OK;
}
KERNEL(gemm) {
    const tide_gemm_attr *t = call->attr;
    const tide_tensor *a = call->in[0], *b = call->in[1], *c = call->out[0];
    tide_gemm g = {.m = c->meta.shape[0],
                   .n = c->meta.shape[1],
                   .k = a->meta.shape[t->ta ? 0 : 1],
                   .batch = 1,
                   .dtype = a->meta.dtype,
                   .a = tide_data(a),
                   .a_row = a->stride[t->ta ? 1 : 0],
                   .a_col = a->stride[t->ta ? 0 : 1],
                   .b = tide_data(b),
                   .b_row = b->stride[t->tb ? 1 : 0],
                   .b_col = b->stride[t->tb ? 0 : 1],
                   .c = tide_data(c),
                   .c_row = c->stride[0]};
    return tide_gemm_run(cx, &g);
}
static tide_status gemm(tide_context *cx, tide_tensor *a, tide_tensor *b, bool ta, bool tb, tide_tensor **out) {
    tide_gemm_attr t = {ta, tb};
    tide_call c = {.op = TIDE_OP_GEMM,
                   .nin = 2,
                   .nout = 1,
                   .in = (tide_tensor *[]){a, b},
                   .out = out,
                   .attr = &t,
                   .nattr = sizeof t};
    return tide_apply(cx, &c);
}
VJP(gemm) {
    const tide_gemm_attr *t = call->attr;
    tide_tensor *a = call->in[0], *b = call->in[1], *g = gy[0];
    tide_status e = TIDE_OK;
    if (need & 1) e = t->ta ? gemm(cx, b, g, t->tb, true, &gx[0]) : gemm(cx, g, b, false, !t->tb, &gx[0]);
    if (!e && (need & 2))
        e = t->tb ? gemm(cx, g, a, true, t->ta, &gx[1]) : gemm(cx, a, g, !t->ta, false, &gx[1]);
    return e;
}

/* ---- linear ---- */

RULE(linear_infer) {
    const tide_meta *x = s->in[0], *w = s->in[1], *b = s->in[2];
    if (w->ndim != 2 && w->ndim != 1) return tide_fail(s->cx, TIDE_EARG, "weight must be a matrix (out, in)");
    if (x->ndim < 1) return tide_fail(s->cx, TIDE_EARG, "input needs at least one dim");
    tide_status e = same_dtype(s->cx, x, w);
    if (!e && b) e = same_dtype(s->cx, x, b);
    if (e) return e;
    int64_t in = w->shape[w->ndim - 1];
    if (x->shape[x->ndim - 1] != in) return mismatch(s->cx, x, w, x->shape[x->ndim - 1], in);
    s->out[0] = *x;
    if (w->ndim == 2)
        s->out[0].shape[x->ndim - 1] = w->shape[0];
    else
        s->out[0].ndim--;
    if (b && !(w->ndim == 2 ? b->ndim == 1 && b->shape[0] == w->shape[0] : b->ndim == 0)) {
        char t[TIDE_SHAPE_TEXT], u[TIDE_SHAPE_TEXT];
        return tide_fail(s->cx, TIDE_EARG, "bias %s does not fit weight %s", tide_shape_text(b, t),
                         tide_shape_text(w, u));
    }
    return TIDE_OK;
}

/* Rows of t: all dims but the last as one, if their strides allow it. */
static bool rows(const tide_tensor *t, int64_t *m, int64_t *row) {
    *m = 1;
    *row = 0;
    for (int d = t->meta.ndim - 2; d >= 0; d--) {
        if (t->meta.shape[d] != 1) {
            if (*m == 1)
                *row = t->stride[d];
            else if (t->stride[d] != *m * *row)
                return false;
        }
        *m *= t->meta.shape[d];
    }
    return true;
}

static const uint8_t activation[] = {
    [TIDE_LINEAR_NONE] = TIDE_ACT_NONE,      [TIDE_LINEAR_RELU] = TIDE_ACT_RELU,
    [TIDE_LINEAR_GELU] = TIDE_ACT_GELU,      [TIDE_LINEAR_GELU_TANH] = TIDE_ACT_GELU_TANH,
    [TIDE_LINEAR_SILU] = TIDE_ACT_SILU,      [TIDE_LINEAR_TANH] = TIDE_ACT_TANH,
    [TIDE_LINEAR_SIGMOID] = TIDE_ACT_SIGMOID};

KERNEL(linear) {
    const tide_linear_attr *l = call->attr;
    tide_tensor *x = call->in[0], *w = call->in[1], *b = call->in[2], *y = call->out[0], *copy = NULL;
    tide_gemm g = {.batch = 1, .dtype = x->meta.dtype, .activation = activation[l->activation]};
    if (!rows(x, &g.m, &g.a_row)) {
        copy = tide_tensor_new(cx, &x->meta);
        if (!copy) return tide_pending(cx);
        tide_call k = {.op = TIDE_OP_CLONE, .nin = 1, .nout = 1, .in = call->in, .out = &copy};
        tide_status e = tide_execute(cx, &tide_op_table[TIDE_OP_CLONE], &k, NULL);
        if (e) return tide_free(copy), e;
        x = copy;
        rows(x, &g.m, &g.a_row);
    }
    bool matrix = w->meta.ndim == 2;
    g.n = matrix ? w->meta.shape[0] : 1;
    g.k = x->meta.shape[x->meta.ndim - 1];
    g.a = tide_data(x);
    g.a_col = x->stride[x->meta.ndim - 1];
    g.b = tide_data(w);
    g.b_row = w->stride[w->meta.ndim - 1];
    g.b_col = matrix ? w->stride[0] : 0;
    g.c = tide_data(y);
    g.c_row = g.n;
    if (b) g.bias = tide_data(b), g.bias_col = b->meta.ndim ? b->stride[0] : 0;
    tide_status e = tide_gemm_run(cx, &g);
    tide_free(copy);
    return e;
}

/* The gradient before the activation, from the one after it. */
static tide_tensor *before_activation(tide_context *cx, const tide_call *call, tide_tensor *gy) {
    static const uint16_t op[] = {
        [TIDE_LINEAR_RELU] = TIDE_OP_RELU,      [TIDE_LINEAR_GELU] = TIDE_OP_GELU,
        [TIDE_LINEAR_GELU_TANH] = TIDE_OP_GELU, [TIDE_LINEAR_SILU] = TIDE_OP_SILU,
        [TIDE_LINEAR_TANH] = TIDE_OP_TANH,      [TIDE_LINEAR_SIGMOID] = TIDE_OP_SIGMOID};
    const tide_linear_attr *l = call->attr;
    if (l->activation == TIDE_LINEAR_NONE) return tide_keep(gy);
    bool from_input = l->activation == TIDE_LINEAR_GELU || l->activation == TIDE_LINEAR_GELU_TANH ||
                      l->activation == TIDE_LINEAR_SILU;
    tide_tensor *z = NULL, *g = NULL;
    if (from_input) {
        tide_linear_attr plain = {TIDE_LINEAR_NONE};
        z = tide_call1(cx, TIDE_OP_LINEAR, call->in, 3, &plain);
        if (!z) return NULL;
    }
    tide_gelu_attr form = {l->activation == TIDE_LINEAR_GELU_TANH ? TIDE_GELU_TANH : TIDE_GELU_NONE};
    bool gelu = op[l->activation] == TIDE_OP_GELU;
    tide_call f = {.op = op[l->activation],
                   .nin = 1,
                   .nout = 1,
                   .in = &z,
                   .out = call->out,
                   .attr = gelu ? &form : NULL,
                   .nattr = gelu ? sizeof form : 0};
    tide_meta metas[2] = {gy->meta, gy->meta};
    tide_vjp(cx, &tide_op_table[f.op], &f, metas, &gy, 1, &g, NULL);
    tide_free(z);
    return g;
}

/* (..., cols) as a matrix; a tensor whose last dim disappeared (cols is 1 then) as a column. */
static tide_tensor *matrix_of(tide_context *cx, tide_tensor *t, int64_t cols) {
    tide_reshape_attr r = {{2, {1, cols}}};
    bool last = t->meta.ndim > 0 && t->meta.shape[t->meta.ndim - 1] == cols;
    for (int d = 0; d < t->meta.ndim - last; d++) r.shape.v[0] *= t->meta.shape[d];
    if (t->meta.ndim == 2) return tide_keep(t);
    return tide_call1(cx, TIDE_OP_RESHAPE, &t, 1, &r);
}
static tide_tensor *shaped(tide_context *cx, tide_tensor *t, const tide_meta *m) {
    tide_reshape_attr r = {{m->ndim, {0}}};
    memcpy(r.shape.v, m->shape, sizeof r.shape.v);
    return tide_call1(cx, TIDE_OP_RESHAPE, &t, 1, &r);
}

VJP(linear) {
    tide_tensor *x = call->in[0], *w = call->in[1], *b = call->in[2];
    tide_tensor *g = before_activation(cx, call, gy[0]), *w2 = NULL, *g2 = NULL, *x2 = NULL;
    int64_t in = w->meta.shape[w->meta.ndim - 1], out = w->meta.ndim == 2 ? w->meta.shape[0] : 1;
    if (!g) return tide_pending(cx);
    tide_status e = TIDE_OK;
    bool plain = g->meta.ndim == 2 && w->meta.ndim == 2;
    g2 = matrix_of(cx, g, out);
    w2 = w->meta.ndim == 2 ? tide_keep(w) : matrix_of(cx, w, in);
    if (!g2 || !w2) e = tide_pending(cx);
    if (!e && (need & 1)) { /* gx = g w */
        tide_tensor *r = plain ? gx[0] : NULL;
        e = gemm(cx, g2, w2, false, false, &r);
        if (!e) gx[0] = plain ? r : shaped(cx, r, &x->meta);
        if (!e && !plain) tide_free(r);
        if (!e && !gx[0]) e = tide_pending(cx);
    }
    if (!e && (need & 2)) { /* gw = g^T x */
        x2 = matrix_of(cx, x, in);
        tide_tensor *r = w->meta.ndim == 2 ? gx[1] : NULL;
        e = x2 ? gemm(cx, g2, x2, true, false, &r) : tide_pending(cx);
        if (!e) gx[1] = w->meta.ndim == 2 ? r : shaped(cx, r, &w->meta);
        if (!e && w->meta.ndim != 2) tide_free(r);
        if (!e && !gx[1]) e = tide_pending(cx);
    }
    if (!e && b && (need & 4)) {
        tide_sum_attr a = *(const tide_sum_attr *)tide_op_table[TIDE_OP_SUM].attr0;
        a.dim = b->meta.ndim ? (tide_dims){1, {0}} : (tide_dims){0, {0}};
        tide_call c = {
            .op = TIDE_OP_SUM, .nin = 1, .nout = 1, .in = &g2, .out = &gx[2], .attr = &a, .nattr = sizeof a};
        e = tide_apply(cx, &c);
    }
    tide_free(g), tide_free(g2), tide_free(w2), tide_free(x2);
    return e;
}

/* ---- matmul: any dims ---- */

/* Both operands with at least two dims: a 1-d left one is a row, a 1-d right one a column. */
static void as_matrices(const tide_meta *a, const tide_meta *b, tide_meta *ma, tide_meta *mb) {
    *ma = *a;
    *mb = *b;
    if (a->ndim == 1) ma->ndim = 2, ma->shape[1] = a->shape[0], ma->shape[0] = 1;
    if (b->ndim == 1) mb->ndim = 2, mb->shape[1] = 1;
}

static tide_status batch_shape(tide_context *cx, const tide_meta *a, const tide_meta *b, tide_meta *batch) {
    tide_meta y = *b;
    *batch = *a;
    batch->ndim -= 2;
    y.ndim -= 2;
    return tide_broadcast(cx, batch, &y);
}

RULE(matmul_infer) {
    const tide_meta *a = s->in[0], *b = s->in[1];
    if (a->ndim == 0 || b->ndim == 0) return tide_fail(s->cx, TIDE_EARG, "both operands need at least one dim");
    tide_status e = same_dtype(s->cx, a, b);
    if (e) return e;
    tide_meta ma, mb, *o = &s->out[0];
    as_matrices(a, b, &ma, &mb);
    int64_t ka = ma.shape[ma.ndim - 1], kb = mb.shape[mb.ndim - 2];
    if (ka != kb) return mismatch(s->cx, a, b, ka, kb);
    e = batch_shape(s->cx, &ma, &mb, o);
    if (a->ndim > 1) o->shape[o->ndim++] = ma.shape[ma.ndim - 2];
    if (b->ndim > 1) o->shape[o->ndim++] = mb.shape[mb.ndim - 1];
    return e;
}

KERNEL(matmul) {
    const tide_tensor *a = call->in[0], *b = call->in[1], *c = call->out[0];
    tide_meta ma, mb, batch;
    as_matrices(&a->meta, &b->meta, &ma, &mb);
    tide_status e = batch_shape(cx, &ma, &mb, &batch);
    if (e) return e;
    int na = a->meta.ndim, nb = b->meta.ndim;
    tide_gemm g = {.m = ma.shape[ma.ndim - 2],
                   .n = mb.shape[mb.ndim - 1],
                   .k = ma.shape[ma.ndim - 1],
                   .batch = tide_numel(&batch),
                   .dtype = a->meta.dtype,
                   .a = tide_data(a),
                   .a_row = na > 1 ? a->stride[na - 2] : 0,
                   .a_col = a->stride[na - 1],
                   .b = tide_data(b),
                   .b_row = nb > 1 ? b->stride[nb - 2] : b->stride[0],
                   .b_col = nb > 1 ? b->stride[nb - 1] : 0,
                   .c = tide_data(c)};
    g.c_row = g.n;
    g.c_batch = g.m * g.n;
    if (g.batch == 0) return TIDE_OK;
    size_t bytes = 2 * (size_t)g.batch * sizeof(int64_t);
    int64_t *off = NULL;
    if (g.batch > 1) {
        off = tide_alloc(cx, bytes);
        if (!off) return TIDE_EMEM;
        for (int64_t z = 0; z < g.batch; z++) { /* where each product's operands start */
            int64_t rest = z, oa = 0, ob = 0;
            for (int d = batch.ndim - 1; d >= 0; d--) {
                int64_t i = rest % batch.shape[d];
                rest /= batch.shape[d];
                int da = d - (batch.ndim - (ma.ndim - 2)), db = d - (batch.ndim - (mb.ndim - 2));
                if (da >= 0 && ma.shape[da] != 1) oa += i * a->stride[da];
                if (db >= 0 && mb.shape[db] != 1) ob += i * b->stride[db];
            }
            off[z] = oa;
            off[g.batch + z] = ob;
        }
        g.a_off = off;
        g.b_off = off + g.batch;
    }
    e = tide_gemm_run(cx, &g);
    tide_release(cx, off, bytes);
    return e;
}

static tide_tensor *transposed(tide_context *cx, tide_tensor *t) {
    tide_transpose_attr a = {-1, -2};
    return t->meta.ndim > 1 ? tide_call1(cx, TIDE_OP_TRANSPOSE, &t, 1, &a) : tide_keep(t);
}

/* Sums g over the dims that `m` lacks or has with size 1. */
static tide_tensor *reduced_to(tide_context *cx, tide_tensor *g, const tide_meta *m) {
    if (!g || tide_same_shape(&g->meta, m)) return tide_keep(g);
    tide_call f = {.op = TIDE_OP_EXPAND};
    tide_tensor *gx = NULL, stand = {.meta = *m, .cx = cx}, *in = &stand;
    tide_expand_attr a = {{g->meta.ndim, {0}}};
    memcpy(a.size.v, g->meta.shape, sizeof a.size.v);
    f.attr = &a;
    f.nattr = sizeof a;
    f.in = &in;
    f.nin = f.nout = 1;
    tide_op_table[TIDE_OP_EXPAND].vjp(cx, &f, &g, 1, &gx);
    return gx;
}

static tide_tensor *unsqueezed(tide_context *cx, tide_tensor *t, int dim) {
    tide_unsqueeze_attr a = {dim};
    return tide_call1(cx, TIDE_OP_UNSQUEEZE, &t, 1, &a);
}

/* ga = g b^T and gb = a^T g with vectors made matrices, summed where an operand was broadcast. */
VJP(matmul) {
    tide_tensor *a = call->in[0], *b = call->in[1];
    bool va = a->meta.ndim == 1, vb = b->meta.ndim == 1;
    tide_tensor *A = va ? unsqueezed(cx, a, 0) : tide_keep(a), *B = vb ? unsqueezed(cx, b, 1) : tide_keep(b);
    tide_tensor *G = vb ? unsqueezed(cx, gy[0], -1) : tide_keep(gy[0]), *t = NULL, *r = NULL, *m = NULL;
    if (G && va) { /* the row that disappeared */
        tide_tensor *row = unsqueezed(cx, G, -2);
        tide_free(G);
        G = row;
    }
    tide_status e = A && B && G ? TIDE_OK : tide_pending(cx);
    for (int i = 0; i < 2 && !e; i++) {
        if (!(need >> i & 1)) continue;
        t = transposed(cx, i == 0 ? B : A);
        r = t ? tide_call1(cx, TIDE_OP_MATMUL,
                           i == 0 ? (tide_tensor *const[]){G, t} : (tide_tensor *const[]){t, G}, 2, NULL)
              : NULL;
        m = reduced_to(cx, r, i == 0 ? &A->meta : &B->meta);
        gx[i] = m ? ((i == 0 ? va : vb) ? shaped(cx, m, i == 0 ? &a->meta : &b->meta) : tide_keep(m)) : NULL;
        if (!gx[i]) e = tide_pending(cx);
        tide_free(t), tide_free(r), tide_free(m);
    }
    tide_free(A), tide_free(B), tide_free(G);
    return e;
}

static tide_status product_of(tide_context *cx, tide_call *call, int ndim) {
    if (call->in[0]->meta.ndim != ndim || call->in[1]->meta.ndim != ndim)
        return tide_fail(cx, TIDE_EARG, "takes two tensors of %d dims, not %d and %d", ndim,
                         call->in[0]->meta.ndim, call->in[1]->meta.ndim);
    if (ndim == 3 && call->in[0]->meta.shape[0] != call->in[1]->meta.shape[0])
        return tide_fail(cx, TIDE_EARG, "the stacks differ in size");
    call->out[0] = tide_call1(cx, TIDE_OP_MATMUL, call->in, 2, NULL);
    return call->out[0] ? TIDE_OK : tide_pending(cx);
}
tide_status mm_compose(tide_context *cx, tide_call *call);
tide_status mm_compose(tide_context *cx, tide_call *call) { return product_of(cx, call, 2); }
tide_status bmm_compose(tide_context *cx, tide_call *call);
tide_status bmm_compose(tide_context *cx, tide_call *call) { return product_of(cx, call, 3); }
