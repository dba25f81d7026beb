/* Copies, contiguous operands and results, and the small steps that gradients of kernels are built from. */
#include "op/kernel.h"

int64_t kernel_grain(const tide_context *cx) { return tide_small_tiles(cx) ? 16 : TIDE_GRAIN; }

static int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* `each`: operations for a result. A tile has at least a grain of them, and at most 64. */
kernel_planes kernel_cut(const tide_context *cx, int64_t planes, int64_t rows, int64_t cols, double each) {
    kernel_planes p = {planes, rows, cols, 1, rows, cols};
    double least = (double)kernel_grain(cx), most = 64 * least, row = (double)cols * each;
    if (row * (double)rows < least) p.group = (int64_t)(least / (row * (double)rows + 1)) + 1;
    if (row * (double)rows > most) p.tall = row < most ? (int64_t)(most / row) : 1;
    if (row > most) p.wide = each < most ? (int64_t)(most / each) : 1;
    return p;
}

int kernel_parts(const kernel_planes *p) {
    return (int)(divide_up(p->planes, p->group) * divide_up(p->rows, p->tall) * divide_up(p->cols, p->wide));
}

kernel_part kernel_part_of(const kernel_planes *p, int tile) {
    int64_t down = divide_up(p->rows, p->tall), across = divide_up(p->cols, p->wide),
            plane = tile / (down * across) * p->group, row = tile / across % down * p->tall,
            col = tile % across * p->wide;
    return (kernel_part){plane, plane + p->group < p->planes ? plane + p->group : p->planes,
                         row,   row + p->tall < p->rows ? row + p->tall : p->rows,
                         col,   col + p->wide < p->cols ? col + p->wide : p->cols};
}

tide_status kernel_copy(tide_context *cx, tide_tensor *from, tide_tensor *to) {
    tide_call c = {.op = TIDE_OP_COPY, .nin = 2, .nout = 1, .in = (tide_tensor *[]){to, from}, .out = &to};
    return tide_execute(cx, &tide_op_table[TIDE_OP_COPY], &c, NULL);
}

tide_tensor *kernel_packed_as(tide_context *cx, tide_tensor *t, tide_dtype d) {
    if (t->meta.dtype == d && tide_is_contiguous(t)) return tide_keep(t);
    tide_meta m = t->meta;
    m.dtype = (uint8_t)d;
    tide_tensor *copy = tide_tensor_new(cx, &m);
    if (copy && kernel_copy(cx, t, copy)) tide_free(copy), copy = NULL;
    return copy;
}

tide_tensor *kernel_packed(tide_context *cx, tide_tensor *t) {
    return kernel_packed_as(cx, t, (tide_dtype)t->meta.dtype);
}

tide_tensor *kernel_result(tide_context *cx, tide_tensor *out, tide_dtype d) {
    if (out->meta.dtype == d && tide_is_contiguous(out)) return tide_keep(out);
    tide_meta m = out->meta;
    m.dtype = (uint8_t)d;
    return tide_tensor_new(cx, &m);
}

tide_status kernel_result_end(tide_context *cx, tide_tensor *result, tide_tensor *out, tide_status e) {
    if (!result) return tide_pending(cx);
    if (!e && result != out) e = kernel_copy(cx, result, out);
    tide_free(result);
    return e;
}

tide_status kernel_apply(tide_context *cx, int op, tide_tensor *const *in, int nin, const void *attr,
                         tide_tensor **out) {
    for (int i = 0; i < nin; i++) /* what was to make it failed */
        if (!in[i] && tide_pending(cx)) return tide_pending(cx);
    return tide_calls(cx, op, in, nin, attr, out);
}

tide_tensor *kernel_reshape(tide_context *cx, tide_tensor *t, const tide_meta *m) {
    tide_reshape_attr a = {{m->ndim, {0}}};
    memcpy(a.shape.v, m->shape, sizeof a.shape.v);
    return t ? tide_call1(cx, TIDE_OP_RESHAPE, &t, 1, &a) : NULL;
}

tide_tensor *kernel_zeros(tide_context *cx, const tide_meta *m) {
    tide_full_attr f = {{0, {0}}, {{.i = 0}, TIDE_INTEGER, 0}, m->dtype};
    tide_expand_attr a = {{m->ndim, {0}}};
    memcpy(a.size.v, m->shape, sizeof a.size.v);
    tide_tensor *zero = tide_call1(cx, TIDE_OP_FULL, NULL, 0, &f);
    tide_tensor *all = zero ? tide_call1(cx, TIDE_OP_EXPAND, &zero, 1, &a) : NULL;
    tide_free(zero);
    return all;
}

tide_tensor *kernel_reduce(tide_context *cx, tide_tensor *t, const tide_meta *m) {
    if (!t || tide_same_shape(&t->meta, m)) return tide_keep(t);
    tide_sum_attr a = *(const tide_sum_attr *)tide_op_table[TIDE_OP_SUM].attr0;
    int shift = t->meta.ndim - m->ndim;
    a.dim.n = 0;
    a.keepdim = 1;
    for (int d = 0; d < t->meta.ndim; d++)
        if (d < shift || m->shape[d - shift] != t->meta.shape[d]) a.dim.v[a.dim.n++] = d;
    tide_tensor *s = tide_call1(cx, TIDE_OP_SUM, &t, 1, &a), *r = kernel_reshape(cx, s, m);
    tide_free(s);
    return r;
}
