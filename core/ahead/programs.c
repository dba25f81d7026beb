/* Writes the programs that are compiled ahead: runs the operations named here once, forward and backward, and
 * takes what their variants were cut into.    programs > ahead_programs.h */
#include "ahead/write.h"
#include "base/context.h"
#include "op/op.h"
#include <stdlib.h>

enum { ROWS = 4, COLUMNS = 64 };

static void stop(tide_context *cx, const char *what) {
    fprintf(stderr, "ahead: %s: %s\n", what, tide_error(cx, NULL));
    exit(1);
}

static tide_tensor *leaf(tide_context *cx, int ndim) {
    tide_rand_attr shape = {.size = {ndim, {COLUMNS}}};
    if (ndim == 2) shape.size = (tide_shape){2, {ROWS, COLUMNS}};
    tide_tensor *t = tide_rand(cx, &shape);
    if (!t || tide_set_requires_grad(t, 1)) stop(cx, "leaf");
    return t;
}

/* Gradients of y with respect to the given tensors. */
static void differentiate(tide_context *cx, tide_tensor *y, tide_tensor **x, int n) {
    tide_tensor *gx[4], *gy = tide_ones_like(y, NULL);
    if (!y || tide_grad(cx, &y, 1, x, n, &gy, TIDE_RETAIN_GRAPH, gx)) stop(cx, "gradient");
}

/* An operation of one input, with the defaults of its attributes or those given. */
static void map(tide_context *cx, uint16_t op, const void *attr) {
    const tide_op *row = &tide_op_table[op];
    tide_tensor *x = leaf(cx, 2), *y = NULL;
    tide_call call = {.op = op,
                      .nin = 1,
                      .nout = 1,
                      .in = &x,
                      .out = &y,
                      .attr = attr ? attr : row->attr0,
                      .nattr = row->nattr};
    if (tide_apply(cx, &call)) stop(cx, row->name);
    differentiate(cx, y, &x, 1);
    tide_free(y);
}

static void activations(tide_context *cx) {
    static const uint16_t op[] = {TIDE_OP_RELU,       TIDE_OP_GELU,      TIDE_OP_SILU, TIDE_OP_MISH,
                                  TIDE_OP_ELU,        TIDE_OP_SOFTPLUS,  TIDE_OP_TANH, TIDE_OP_SIGMOID,
                                  TIDE_OP_LOGSIGMOID, TIDE_OP_LEAKY_RELU};
    for (size_t k = 0; k < sizeof op / sizeof *op; k++) map(cx, op[k], NULL);
    map(cx, TIDE_OP_GELU, &(tide_gelu_attr){TIDE_GELU_TANH});
    map(cx, TIDE_OP_SOFTMAX, &(tide_softmax_attr){.dim = {1, {1}}, .dtype = 0});
    map(cx, TIDE_OP_LOG_SOFTMAX, &(tide_log_softmax_attr){.dim = {1, {1}}, .dtype = 0});
}

static void norms(tide_context *cx) {
    tide_tensor *x[3] = {leaf(cx, 2), leaf(cx, 1), leaf(cx, 1)};
    const tide_layer_norm_attr layer = {.normalized_shape = {1, {COLUMNS}}, .eps = 1e-5};
    const tide_rms_norm_attr rms = {.normalized_shape = {1, {COLUMNS}}, .eps = 1e-5};
    for (int n = 1; n <= 3; n++) /* without weight and bias, without bias, with both */
        differentiate(cx, tide_layer_norm(x[0], n > 1 ? x[1] : NULL, n > 2 ? x[2] : NULL, &layer), x, n);
    for (int n = 1; n <= 2; n++) differentiate(cx, tide_rms_norm(x[0], n > 1 ? x[1] : NULL, &rms), x, n);
}

static void losses(tide_context *cx) {
    tide_tensor *x = leaf(cx, 2),
                *label = tide_zeros(cx, &(tide_zeros_attr){.size = {1, {ROWS}}, .dtype = TIDE_I64});
    differentiate(cx, tide_cross_entropy(x, label, NULL, NULL), &x, 1);
}

static void steps(tide_context *cx) {
    for (int kind = 0; kind < TIDE_NOPTIM; kind++) {
        for (int more = 0; more < 2; more++) {
            tide_optim_config config = tide_optim_defaults((tide_optim_kind)kind);
            if (more) config.weight_decay = 0.01, config.momentum = 0.9;
            tide_tensor *x = leaf(cx, 2);
            tide_optim *o = tide_optim_new(cx, &x, 1, &config);
            tide_tensor *y = tide_mul(x, x, NULL);
            if (!y || tide_backward(y, tide_ones_like(y, NULL), 0) || tide_optim_step(o) || tide_optim_step(o))
                stop(cx, "optimizer");
            tide_optim_free(o);
        }
    }
}

/* The pieces of all variants, each once. */
static int pieces(tide_context *cx, const tide_prog **out, int room) {
    int n = 0;
    const tide_cache *c = &cx->door->variants;
    for (int64_t s = 0; s < c->capacity; s++) {
        const tide_variant *v = (const tide_variant *)c->slot[s];
        for (int i = 0; v && i < v->pieces.npiece && n < room; i++) {
            const tide_prog *p = v->pieces.piece[i].prog;
            bool there = false;
            for (int k = 0; k < n; k++) there |= tide_prog_hash(out[k], false) == tide_prog_hash(p, false);
            if (!there) out[n++] = p;
        }
    }
    return n;
}

static int by_hash(const void *a, const void *b) {
    uint64_t x = tide_prog_hash(*(tide_prog *const *)a, false),
             y = tide_prog_hash(*(tide_prog *const *)b, false);
    return (x > y) - (x < y);
}

int main(void) {
    tide_context *cx;
    if (tide_open(NULL, &cx)) return 1;
    tide_begin(cx);
    activations(cx);
    norms(cx);
    losses(cx);
    steps(cx);
    const tide_prog *piece[512];
    int n = pieces(cx, piece, 512);
    qsort(piece, (size_t)n, sizeof *piece, by_hash);
    FILE *table = tmpfile();
    if (!table) return 1;
    printf("/* Written by core/ahead/programs.c. */\n\n");
    for (int k = 0; k < n; k++) tide_ahead_write(stdout, table, piece[k]);
    printf("const tide_ahead TIDE_AHEAD_TABLE[] = {\n");
    rewind(table);
    for (int c; (c = getc(table)) != EOF;) putchar(c);
    printf("    {0}};\n");
    fclose(table);
    tide_end(cx);
    tide_close(cx);
    return 0;
}
