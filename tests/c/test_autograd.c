/* Gradients: of every differentiable operation against central differences in float64, first and second order,
 * over shapes and layouts; then the rules of the tape: accumulation, graphs used twice, changes in place,
 * detaching. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "autograd/tape.h"
#include "reference.h"
#include "samples.h"

enum { SEEDS = 20 };
static const double EPS = 1e-6, ATOL = 1e-5, RTOL = 1e-3; /* PyTorch's */

static int setup(void **state) {
    (void)state;
    tide_config config = {.size = sizeof config, .threads = 1};
    if (tide_open(&config, &cx)) return 1;
    return tide_tape_open(cx);
}
/* A test that leaves a tensor, a node or an error fails. */
static int teardown(void **state) {
    (void)state;
    int64_t live = cx->tensors->live, nodes = (int64_t)cx->tape->nodes;
    const char *error = tide_error(cx, NULL);
    if (error) print_error("%s\n", error);
    if (live || nodes) print_error("%lld tensors and %lld nodes are left\n", (long long)live, (long long)nodes);
    tide_close(cx);
    return live || nodes || error;
}

/* ---- points: leaves, and what the operation sees of them ---- */

static uint64_t random_state;
static double uniform(void) { /* xorshift64* (Vigna 2016): in [0, 1) */
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (double)((random_state * 0x2545F4914F6CDD1Dull) >> 11) * 0x1p-53;
}
static void seed_random(uint64_t seed) { random_state = seed * 0x9E3779B97F4A7C15ull + 88172645463325252ull; }

enum { PLAIN, TRANSPOSED, SELECTED, EXPANDED, STRIDED, NLAYOUT };
typedef struct {
    tide_tensor *leaf;
    int layout;
    tide_meta seen;
} point;

static double *f64(const tide_tensor *t) { return (double *)(void *)tide_data(t); }

/* A leaf of which `m` is seen through a layout; all its values differ. */
static point make_point(const tide_meta *m, int layout, char domain) {
    tide_meta leaf = *m;
    int n = m->ndim;
    if ((layout == TRANSPOSED && n < 2) || (n == 0 && layout != SELECTED)) layout = PLAIN;
    if (layout == TRANSPOSED) leaf.shape[0] = m->shape[n - 1], leaf.shape[n - 1] = m->shape[0];
    if (layout == EXPANDED) leaf.shape[0] = 1;
    if (layout == STRIDED) leaf.shape[n - 1] *= 2;
    if (layout == SELECTED) {
        leaf.shape[0] = 2;
        memcpy(leaf.shape + 1, m->shape, (size_t)n * sizeof *m->shape);
        leaf.ndim++;
    }
    point p = {tide_empty(cx, &leaf), layout, *m};
    assert_non_null(p.leaf);
    double low = domain == 'p'   ? 0.4
                 : domain == 'u' ? 0.1
                                 : -2,
           high = domain == 'p'   ? 2.4
                  : domain == 'u' ? 0.9
                                  : 2,
           *v = f64(p.leaf);
    int64_t count = tide_numel(&leaf);
    for (int64_t i = 0; i < count; i++) {
        double here = low + ((double)i + 0.25 + 0.5 * uniform()) * (high - low) / (double)count;
        int64_t k = (int64_t)(uniform() * (double)(i + 1));
        v[i] = v[k];
        v[k] = here;
    }
    return p;
}

static tide_tensor *see(const point *p) {
    tide_expand_attr e = {{p->seen.ndim, {0}}};
    switch (p->layout) {
    case TRANSPOSED: return tide_transpose(p->leaf, A(transpose, 0, -1));
    case SELECTED: return tide_select(p->leaf, A(select, 0, 1));
    case EXPANDED: memcpy(e.size.v, p->seen.shape, sizeof e.size.v); return tide_expand(p->leaf, &e);
    case STRIDED: return tide_slice(p->leaf, A(slice, -1, 1, p->seen.shape[p->seen.ndim - 1], 2));
    default: return p->leaf;
    }
}

static tide_tensor *result(const sample *s, const point *p) {
    tide_tensor *x[MOST];
    for (int i = 0; i < inputs(s); i++) x[i] = see(&p[i]);
    tide_tensor *y = s->fn(x);
    if (!y) fail_msg("%s: %s", s->name, tide_error(cx, NULL));
    return y;
}

static double *values(tide_tensor *t) {
    size_t bytes = (size_t)tide_numel(&t->meta) * sizeof(double);
    double *v = malloc(bytes + 8);
    assert_int_equal(t->meta.dtype, TIDE_F64);
    assert_int_equal(tide_read(t, v, bytes), TIDE_OK);
    return v;
}

/* sum of a * b, elements in order */
static double dot(tide_tensor *a, tide_tensor *b) {
    double *u = values(a), *v = values(b), sum = 0;
    for (int64_t i = 0; i < tide_numel(&a->meta); i++) sum += u[i] * v[i];
    free(u), free(v);
    return sum;
}

/* ---- gradcheck ---- */

typedef struct {
    const sample *s;
    point p[MOST]; /* of the inputs, then of the gradient of the result */
    point v[MOST]; /* second order: weights of the gradients */
    int n;
} problem;

/* The gradients of the inputs' leaves; entries may be NULL. */
static void first_order(const problem *q, unsigned flags, tide_tensor **gx) {
    tide_tensor *y = result(q->s, q->p), *gy = see(&q->p[q->n]), *leaf[MOST];
    for (int i = 0; i < q->n; i++) leaf[i] = q->p[i].leaf;
    if (tide_grad(cx, &y, 1, leaf, q->n, &gy, flags | TIDE_ALLOW_UNUSED, gx))
        fail_msg("%s: %s", q->s->name, tide_error(cx, NULL));
}

static double value_of_result(const problem *q) {
    int was = tide_set_grad_enabled(cx, 0);
    double d = dot(result(q->s, q->p), see(&q->p[q->n]));
    tide_set_grad_enabled(cx, was);
    return d;
}

static double value_of_gradients(const problem *q) {
    tide_tensor *gx[MOST] = {NULL};
    double sum = 0;
    first_order(q, 0, gx);
    for (int i = 0; i < q->n; i++)
        if (gx[i]) sum += dot(gx[i], q->v[i].leaf);
    return sum;
}

/* Compares a gradient of one leaf with central differences of `value`. */
static void compare(const problem *q, const char *what, int seed, int at, tide_tensor *gradient,
                    double (*value)(const problem *)) {
    tide_tensor *leaf = q->p[at].leaf;
    double *g = gradient ? values(gradient) : NULL, *x = f64(leaf);
    for (int64_t i = 0; i < tide_numel(&leaf->meta); i++) {
        double here = x[i], got = g ? g[i] : 0, up, down;
        tide_begin(cx);
        x[i] = here + EPS;
        up = value(q);
        x[i] = here - EPS;
        down = value(q);
        x[i] = here;
        tide_end(cx);
        double want = (up - down) / (2 * EPS);
        if (!(fabs(got - want) <= ATOL + RTOL * fabs(want)))
            fail_msg("%s of %s, seed %d, input %d (layout %d), element %d: %.9g, differences give %.9g", what,
                     q->s->name, seed, at, q->p[at].layout, (int)i, got, want);
    }
    free(g);
}

static bool seen[TIDE_NOPS];
static void note_nodes(const tide_node *n, uint64_t mark) { /* which operations the graph holds */
    if (!n || n->mark == mark) return;
    ((tide_node *)(uintptr_t)n)->mark = mark;
    seen[n->op] = true;
    for (int i = 0; i < n->nin; i++) note_nodes(n->edge[i].node, mark);
}
static void pose(problem *q, const sample *s, int seed) {
    seed_random((uint64_t)seed + 1);
    q->s = s;
    q->n = inputs(s);
    for (int i = 0; i < q->n; i++) {
        int layout = (seed + i * (1 + seed / NLAYOUT)) % NLAYOUT;
        q->p[i] = make_point(&s->shape[i], layout == EXPANDED && !expandable(s) ? PLAIN : layout, s->domain[i]);
        tide_set_requires_grad(q->p[i].leaf, 1);
        q->v[i] = make_point(&q->p[i].leaf->meta, PLAIN, 'a');
    }
    tide_tensor *y = result(s, q->p);
    note_nodes(y->node, ++cx->tape->walk);
    q->p[q->n] = make_point(&y->meta, (seed / 2) % NLAYOUT, 'a');
}

static tide_status note_call(void *state, tide_context *context, tide_call *call,
                             bool leaf) { /* compositions have no nodes */
    if (!leaf) seen[call->op] = true;
    return TIDE_OK;
}

static void gradcheck(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof samples / sizeof *samples; k++)
        for (int seed = 0; seed < SEEDS; seed++) {
            problem q;
            tide_tensor *gx[MOST] = {NULL};
            tide_begin(cx);
            pose(&q, &samples[k], seed);
            first_order(&q, 0, gx);
            for (int i = 0; i < q.n; i++) compare(&q, "gradient", seed, i, gx[i], value_of_result);
            tide_end(cx);
        }
}

static void gradgradcheck(void **state) {
    (void)state;
    cx->door->trace.after = note_call;
    for (size_t k = 0; k < sizeof samples / sizeof *samples; k++)
        for (int seed = 0; seed < SEEDS; seed++) {
            problem q;
            tide_tensor *gx[MOST] = {NULL}, *y[MOST], *v[MOST], *x[MOST], *ggx[MOST] = {NULL};
            int ny = 0;
            tide_begin(cx);
            pose(&q, &samples[k], seed);
            tide_set_requires_grad(q.p[q.n].leaf, 1);
            first_order(&q, TIDE_CREATE_GRAPH, gx);
            for (int i = 0; i < q.n; i++)
                if (gx[i]) {
                    note_nodes(gx[i]->node, ++cx->tape->walk);
                    v[ny] = q.v[i].leaf;
                    y[ny++] = gx[i];
                }
            for (int i = 0; i <= q.n; i++) x[i] = q.p[i].leaf;
            if (ny && tide_grad(cx, y, ny, x, q.n + 1, v, TIDE_ALLOW_UNUSED, ggx))
                fail_msg("%s: %s", q.s->name, tide_error(cx, NULL));
            for (int i = 0; i <= q.n; i++)
                compare(&q, "gradient of the gradient", seed, i, ggx[i], value_of_gradients);
            tide_end(cx);
        }
    cx->door->trace.after = NULL;
}

/* Every operation that has a gradient was differentiated above; runs after gradgradcheck. */
static void nothing_left_out(void **state) {
    (void)state;
    static const char *const others[] = {"vjp", "backward", "zero_grad", "gradients", "grad_of"};
    for (int i = 0; i < TIDE_NOPS; i++) {
        const tide_op *o = &tide_op_table[i];
        bool known = o->nograd || seen[i];
        for (size_t k = 0; k < sizeof others / sizeof *others; k++) known |= !strcmp(o->name, others[k]);
        if (!known) fail_msg("%s has a gradient and no sample", o->name);
    }
}

/* ---- written gradients against derived ones ---- */

/* The derived gradient of a program over (3, 5), reduced over its second dim or not, run by the reference. */
static void derived(int code, const void *attr, tide_tensor *x, tide_tensor *const *y, tide_tensor *gy,
                    double *gx) {
    const tide_op *o = &tide_op_table[code];
    tide_frame f;
    tide_space space;
    tide_call call = {.op = (uint16_t)code,
                      .nin = o->nin,
                      .nout = o->nout,
                      .in = (tide_tensor *[TIDE_MAXARGS]){x},
                      .out = (tide_tensor **)y,
                      .attr = attr,
                      .nattr = o->nattr};
    uint64_t uses;
    tide_frame_of(cx, o, &call, &f);
    assert_int_equal(tide_space_of(o, &f.s, &space), TIDE_OK);
    tide_prog *p = tide_op_program(cx, o, &f.s, &space), *q = p ? tide_prog_derive(p, 1, 1, &uses) : NULL;
    assert_non_null(q);
    int64_t K = 3, R = 5;
    tide_iter it = {.nk = 1, .nr = 1, .K = K, .R = R, .k = {K}, .r = {R}, .narg = 0};
    void *base[8];
    for (int i = 0; i < 1 + o->nout; i++)
        if (uses >> (i ? 31 + i : 0) & 1) base[it.narg++] = tide_data(i ? y[i - 1] : x);
    base[it.narg++] = tide_data(gy);
    base[it.narg++] = gx;
    if (!space.reduced) it.nr = 0, it.R = 1, it.K = it.k[0] = K * R;
    for (int a = 0; a < it.narg; a++) {
        bool full = q->arg[a].space == TIDE_POINT;
        it.arg[a].base = base[a];
        it.arg[a].sk[0] = full && space.reduced ? R * 8 : 8;
        it.arg[a].sr[0] = full ? 8 : 0;
    }
    assert_int_equal(reference_run(q, &it, NULL), -1);
    tide_prog_free(p);
    tide_prog_free(q);
}

static void written_gradients(void **state) {
    (void)state;
    static const struct {
        int op;
        union {
            tide_dims dim;
            tide_gelu_attr gelu;
            tide_layer_norm_attr norm;
            int64_t room[16];
        } attr;
    } cases[] = {{TIDE_OP_RELU, {LIST(1)}},
                 {TIDE_OP_SOFTMAX, {LIST(1)}},
                 {TIDE_OP_LOG_SOFTMAX, {LIST(1)}},
                 {TIDE_OP_MAX_DIM, {LIST(1)}},
                 {TIDE_OP_MIN_DIM, {LIST(1)}},
                 {TIDE_OP_GELU, {.gelu = {TIDE_GELU_NONE}}},
                 {TIDE_OP_GELU, {.gelu = {TIDE_GELU_TANH}}},
                 {TIDE_OP_LAYER_NORM, {.norm = {LIST(5), 1e-5}}}};
    enum { NCASES = sizeof cases / sizeof *cases, TWICE = 1 };
    int left = 2; /* hardsigmoid's slope is not the derived one, on purpose; batch_norm's is layer_norm's */
    int written = 0;
    for (int i = 0; i < TIDE_NOPS; i++) written += tide_op_table[i].vjp_program != NULL;
    assert_int_equal(written - left, NCASES - TWICE);
    for (size_t k = 0; k < NCASES; k++) {
        const tide_op *o = &tide_op_table[cases[k].op];
        tide_begin(cx);
        seed_random(k + 1);
        tide_tensor *x = make_point(&(tide_meta)SH(3, 5), PLAIN, 'a').leaf, *y[TIDE_MAXARGS] = {NULL},
                    *gx = NULL;
        tide_set_requires_grad(x, 1);
        tide_call c = {.op = (uint16_t)cases[k].op,
                       .nin = o->nin,
                       .nout = o->nout,
                       .in = (tide_tensor *[TIDE_MAXARGS]){x},
                       .out = y,
                       .attr = &cases[k].attr,
                       .nattr = o->nattr};
        assert_int_equal(tide_apply(cx, &c), TIDE_OK);
        tide_tensor *gy = make_point(&y[0]->meta, PLAIN, 'a').leaf;
        double want[15], *got;
        derived(cases[k].op, &cases[k].attr, x, y, gy, want);
        assert_int_equal(tide_grad(cx, y, 1, &x, 1, &gy, 0, &gx), TIDE_OK);
        got = values(gx);
        for (int i = 0; i < 15; i++)
            if (!(fabs(got[i] - want[i]) <= 1e-14))
                fail_msg("%s, element %d: %.17g, derived %.17g", o->name, i, got[i], want[i]);
        free(got);
        for (int j = 0; j < o->nout; j++) tide_free(y[j]);
        tide_end(cx);
    }
}

/* ---- ties and edges ---- */

static void expect(tide_tensor *t, int n, const double *want) {
    assert_non_null(t);
    assert_int_equal(tide_numel(&t->meta), n);
    double *got = values(t);
    for (int i = 0; i < n; i++)
        if (got[i] != want[i]) fail_msg("element %d: %.17g, not %.17g", i, got[i], want[i]);
    free(got);
}
#define EXPECT(t, ...) expect(t, sizeof((double[]){__VA_ARGS__}) / sizeof(double), (double[]){__VA_ARGS__})

static tide_tensor *leaf_of(tide_tensor *t) {
    assert_int_equal(tide_set_requires_grad(t, 1), TIDE_OK);
    return t;
}
#define LEAF(shape, ...) leaf_of(tensor_of((tide_meta)shape, TIDE_F64, (double[]){__VA_ARGS__}))

/* d sum(y) / dx */
static tide_tensor *slope(tide_tensor *y, tide_tensor *x) {
    tide_tensor *g = NULL, *total = tide_sum(y, NULL);
    assert_int_equal(tide_grad(cx, &total, 1, &x, 1, NULL, TIDE_RETAIN_GRAPH, &g), TIDE_OK);
    return g;
}

static void ties(void **state) {
    (void)state;
    tide_begin(cx);
    tide_tensor *x = LEAF(SH(3), 3, 1, 3), *z = LEAF(SH(3), -1, 0, 2), *y;
    EXPECT(slope(tide_amax(x, NULL), x), 0.5, 0, 0.5);
    EXPECT(slope(FIRST(tide_max_dim(x, A(max_dim, .dim = LIST(0)), out)), x), 1, 0, 0);
    y = tide_maximum(x, F64S(SH(3), 3, 2, 0));
    EXPECT(slope(y, x), 0.5, 0, 1);
    EXPECT(slope(tide_clamp(x, F64S(SH0, 1), F64S(SH0, 3), NULL), x), 0.5, 0.5, 0.5);
    EXPECT(slope(tide_clamp(x, NULL, NULL, A(clamp, F(1), F(4))), x), 1, 0, 1);
    EXPECT(slope(tide_relu(z), z), 0, 0, 1);
    EXPECT(slope(tide_abs(z), z), -1, 0, 1);
    EXPECT(slope(tide_pow(z, NULL, A(pow, .exponent = F(0))), z), 0, 0, 0);
    tide_tensor *n = LEAF(SH(3), NAN, 1, NAN);
    EXPECT(slope(tide_amax(n, NULL), n), 0.5, 0, 0.5);
    EXPECT(slope(FIRST(tide_max_dim(n, A(max_dim, .dim = LIST(0)), out)), n), 1, 0, 0);
    tide_end(cx);
}

/* ---- the rules of the tape ---- */

/* The pending error holds `part`; it is cleared. */
static void expect_error(const char *part) {
    const char *text = tide_error(cx, NULL);
    if (!text)
        fail_msg("no error; expected '%s'", part);
    else if (!strstr(text, part))
        fail_msg("'%s' does not say '%s'", text, part);
}
static tide_tensor *sum_of_squares(tide_tensor *x) { return tide_sum(tide_mul(x, x, NULL), NULL); }

static void accumulation(void **state) {
    (void)state;
    tide_begin(cx);
    tide_tensor *x = LEAF(SH(3), 1, 2, 3), *unused = LEAF(SH(1), 1);
    assert_null(tide_grad_of(x));
    assert_int_equal(tide_backward(sum_of_squares(x), NULL, 0), TIDE_OK);
    tide_tensor *buffer = tide_grad_of(x);
    EXPECT(buffer, 2, 4, 6);
    assert_int_equal(tide_backward(tide_sum(x, NULL), NULL, 0), TIDE_OK);
    EXPECT(buffer, 3, 5, 7);
    /* x in three places of one graph, twice as both operands */
    tide_tensor *y = tide_add(tide_mul(x, x, NULL), tide_mul(x, tide_add(x, x, NULL), NULL), NULL);
    assert_int_equal(tide_backward(y, F64S(SH(3), 1, 0, 2), 0), TIDE_OK);
    EXPECT(buffer, 3 + 6, 5, 7 + 36);
    assert_null(tide_grad_of(unused));

    assert_int_equal(tide_zero_grad((tide_tensor *[]){x, unused}, 2), TIDE_OK);
    assert_null(tide_grad_of(x));
    assert_int_equal(tide_backward(tide_sum(x, NULL), NULL, 0), TIDE_OK);
    assert_ptr_equal(tide_grad_of(x), buffer); /* the same buffer, overwritten */
    EXPECT(buffer, 1, 1, 1);
    /* two contributions into an absent buffer: the first overwrites, the second is added */
    assert_int_equal(tide_zero_grad(&x, 1), TIDE_OK);
    assert_int_equal(
        tide_backward(
            tide_sum(tide_add(tide_exp(tide_mul(x, NULL, A(mul, .other = I(0)))), tide_square(x), NULL), NULL),
            NULL, 0),
        TIDE_OK);
    EXPECT(buffer, 2, 4, 6);
    /* a leaf is its own result */
    tide_tensor *one = LEAF(SH0, 5);
    assert_int_equal(tide_backward(one, NULL, 0), TIDE_OK);
    EXPECT(tide_grad_of(one), 1);
    /* tide_grad leaves .grad alone */
    tide_tensor *g = NULL, *total = sum_of_squares(one);
    assert_int_equal(tide_grad(cx, &total, 1, &one, 1, NULL, 0, &g), TIDE_OK);
    EXPECT(g, 10);
    EXPECT(tide_grad_of(one), 1);
    tide_end(cx);
}

static void graphs_used_twice(void **state) {
    (void)state;
    tide_begin(cx);
    tide_tensor *x = LEAF(SH(2), 1, 2), *y = sum_of_squares(x);
    assert_int_equal(tide_backward(y, NULL, TIDE_RETAIN_GRAPH), TIDE_OK);
    assert_int_equal(tide_backward(y, NULL, 0), TIDE_OK);
    EXPECT(tide_grad_of(x), 4, 8);
    assert_int_not_equal(tide_backward(y, NULL, 0), TIDE_OK);
    expect_error("already used and freed; give retain_graph = true");
    EXPECT(tide_grad_of(x), 4, 8);
    /* gradients of gradients: d2(x^3) = 6x, accumulated into .grad with a graph */
    tide_tensor *z = tide_pow(x, NULL, A(pow, .exponent = I(3))), *g = NULL, *gg = NULL,
                *ones = tide_ones_like(x, NULL);
    assert_int_equal(tide_grad(cx, &z, 1, &x, 1, &ones, TIDE_CREATE_GRAPH, &g), TIDE_OK);
    assert_int_equal(tide_grad(cx, &g, 1, &x, 1, &ones, TIDE_CREATE_GRAPH, &gg), TIDE_OK);
    EXPECT(gg, 6, 12);
    assert_int_equal(tide_zero_grad(&x, 1), TIDE_OK);
    assert_int_equal(tide_backward(tide_sum(z, NULL), NULL, TIDE_CREATE_GRAPH), TIDE_OK);
    EXPECT(tide_grad_of(x), 3, 12);
    assert_true(tide_requires_grad(tide_grad_of(x)));
    assert_int_equal(tide_zero_grad(&x, 1), TIDE_OK); /* x and its .grad hold each other until then */
    tide_end(cx);
}

static void wrong_calls(void **state) {
    (void)state;
    tide_begin(cx);
    tide_tensor *x = LEAF(SH(2), 1, 2), *other = LEAF(SH(2), 1, 2), *y = tide_mul(x, x, NULL), *g[2] = {NULL};
    assert_int_not_equal(tide_backward(y, NULL, 0), TIDE_OK);
    expect_error("the output has 2 elements: give the gradient to start from");
    assert_int_not_equal(tide_backward(y, F64S(SH(3), 1, 2, 3), 0), TIDE_OK);
    expect_error("the gradient given has shape (3), the output (2)");
    assert_int_not_equal(tide_backward(F64S(SH0, 1), NULL, 0), TIDE_OK);
    expect_error("does not depend on anything that requires a gradient");
    tide_tensor *total = tide_sum(y, NULL), *both[2] = {x, other};
    assert_int_not_equal(tide_grad(cx, &total, 1, both, 2, NULL, TIDE_RETAIN_GRAPH, g), TIDE_OK);
    expect_error("input 2 is not used by the outputs");
    assert_null(g[0]);
    assert_int_equal(tide_grad(cx, &total, 1, both, 2, NULL, TIDE_ALLOW_UNUSED, g), TIDE_OK);
    EXPECT(g[0], 2, 4);
    assert_null(g[1]);
    assert_int_not_equal(tide_set_requires_grad(INTS(SH(1), 1), 1), TIDE_OK);
    expect_error("only floating tensors can require a gradient, not int64");
    assert_null(INPLACE(TIDE_OP_ADD, NULL, F64S(SH(1), 1)));
    expect_error("argument 'other' is missing");
    assert_null(INPLACE(TIDE_OP_ADD, A(add, .other = I(1), .alpha = I(1)), F64S(SH(1), 1)));
    expect_error("takes 2 inputs, not 1");
    assert_int_not_equal(tide_set_requires_grad(total, 0), TIDE_OK);
    expect_error("use detach()");
    tide_end(cx);
}

static void in_place(void **state) {
    (void)state;
    tide_begin(cx);
    tide_tensor *x = LEAF(SH(2, 2), 1, 2, 3, 4), *y = tide_mul(x, NULL, A(mul, .other = I(2))), *row;
    assert_null(INPLACE(TIDE_OP_EXP, NULL, x));
    expect_error("a leaf that requires a gradient cannot be changed in place");
    row = tide_select(y, A(select, 0, 0));
    assert_null(INPLACE(TIDE_OP_EXP, NULL, row));
    expect_error("a view cannot be changed in place");
    assert_non_null(
        INPLACE(TIDE_OP_ADD, A(add, .other = I(1), .alpha = I(1)), y, NULL)); /* its gradient needs no value */
    assert_null(tide_exp(row));
    expect_error("a view taken before its tensor was changed in place");
    assert_int_equal(tide_backward(tide_sum(y, NULL), NULL, 0), TIDE_OK);
    EXPECT(tide_grad_of(x), 2, 2, 2, 2);

    tide_site(cx, tide_intern_site(cx, "saved.lua", 12));
    tide_tensor *a = tide_mul(x, NULL, A(mul, .other = I(3))), *b = tide_mul(a, a, NULL);
    tide_site(cx, 0);
    assert_non_null(INPLACE(TIDE_OP_ADD, A(add, .other = I(1), .alpha = I(1)), a, NULL));
    assert_int_not_equal(tide_backward(tide_sum(b, NULL), NULL, 0), TIDE_OK);
    expect_error("the gradient of mul (saved.lua:12) needs was changed in place");
    assert_null(INPLACE(TIDE_OP_MUL, NULL, a, a));
    expect_error("needs the value that this would overwrite");

    /* a constant becomes a result by what is written into it */
    tide_tensor *into = F64S(SH(2), 1, 1), *w = LEAF(SH(2), 5, 6);
    assert_null(INPLACE(TIDE_OP_MUL, NULL, into, w)); /* the gradient of w is what into held */
    expect_error("needs the value that this would overwrite");
    EXPECT(into, 1, 1); /* refused before it happened */
    tide_tensor *of = tide_mul(w, NULL, A(mul, .other = I(1)));
    assert_null(INPLACE(TIDE_OP_DIV, NULL, of, tide_narrow(of, A(narrow, 0, 0, 1))));
    expect_error("needs the value that this would overwrite");
    /* what is changed in place may come from what kept it: nothing is left over */
    assert_non_null(INPLACE(TIDE_OP_ADD, NULL, of, tide_sin(of)));
    assert_int_not_equal(tide_backward(tide_sum(of, NULL), NULL, 0), TIDE_OK);
    expect_error("changed in place");
    assert_non_null(INPLACE(TIDE_OP_ADD, NULL, into, w));
    assert_int_equal(tide_backward(tide_sum(into, NULL), NULL, 0), TIDE_OK);
    EXPECT(tide_grad_of(w), 1, 1);
    /* shapes and dtypes that do not fit */
    assert_null(INPLACE(TIDE_OP_ADD, NULL, F64S(SH(2), 1, 1), F64S(SH(2, 1), 1, 1)));
    expect_error("the result (2,2) does not fit into (2)");
    assert_null(INPLACE(TIDE_OP_ADD, NULL, INTS(SH(2), 1, 1), F64S(SH(2), 1, 1)));
    expect_error("a float64 result cannot be stored in a int64 tensor");
    assert_null(INPLACE(TIDE_OP_NEG, NULL, tide_expand(F64S(SH(1), 1), A(expand, LIST(3)))));
    expect_error("the tensor is expanded");
    /* operands that overlap the result are read before they are written */
    tide_tensor *m = F64S(SH(2, 2), 1, 2, 3, 4);
    assert_non_null(INPLACE(TIDE_OP_ADD, NULL, m, tide_transpose(m, A(transpose, 0, 1))));
    EXPECT(m, 2, 5, 5, 8);
    tide_end(cx);
}

static void outside_the_graph(void **state) {
    (void)state;
    tide_begin(cx);
    tide_tensor *x = LEAF(SH(2), 1, 2), *y = tide_mul(x, x, NULL), *d = tide_detach(y);
    assert_false(tide_requires_grad(d));
    assert_ptr_equal(tide_data(d), tide_data(y));
    assert_false(tide_requires_grad(tide_mul(d, d, NULL)));
    int was = tide_set_grad_enabled(cx, 0);
    assert_true(was);
    assert_false(tide_requires_grad(tide_mul(x, x, NULL)));
    assert_non_null(
        INPLACE(TIDE_OP_ADD, A(add, .other = I(1), .alpha = I(1)), x, NULL)); /* as an optimizer does */
    tide_set_grad_enabled(cx, was);
    assert_int_not_equal(tide_backward(tide_sum(y, NULL), NULL, 0), TIDE_OK);
    expect_error("changed in place");
    assert_int_equal(tide_backward(sum_of_squares(x), NULL, 0), TIDE_OK);
    EXPECT(tide_grad_of(x), 4, 6);
    assert_false(tide_requires_grad(tide_grad_of(x)));
    /* nothing is recorded behind comparisons and integers */
    assert_false(tide_requires_grad(tide_gt(x, NULL, A(gt, F(0)))));
    assert_false(tide_requires_grad(tide_to(x, A(to, TIDE_I64))));
    tide_end(cx);
}

/* A long chain is walked and freed without recursion. */
static void long_chain(void **state) {
    (void)state;
    tide_begin(cx);
    tide_tensor *x = LEAF(SH0, 2), *y = tide_keep(x);
    for (int i = 0; i < 100000; i++) {
        tide_begin(cx);
        tide_tensor *z = tide_keep(tide_add(y, x, NULL));
        tide_end(cx);
        tide_free(y);
        y = z;
    }
    assert_int_equal(tide_backward(y, NULL, TIDE_RETAIN_GRAPH), TIDE_OK);
    EXPECT(tide_grad_of(x), 100001);
    tide_free(y);
    tide_end(cx);
}

/* ---- functions from outside, and why ---- */

typedef struct {
    tide_tensor *wrong;
    int released;
} outside;

static tide_status twice(void *ud, tide_tensor *const *gy, int ngy, tide_tensor **gx, int ngx) {
    outside *o = ud;
    assert_int_equal(ngy, 1);
    assert_int_equal(ngx, 2);
    if (o->wrong)
        gx[0] = tide_keep(o->wrong);
    else
        gx[0] = tide_call1(cx, TIDE_OP_MUL, (tide_tensor *[]){gy[0], NULL}, 2, A(mul, .other = F(2)));
    return TIDE_OK;
}
static void released(void *ud) { ((outside *)ud)->released++; }

static tide_tensor *twice_of(tide_tensor *x, tide_tensor *second, outside *o) {
    int was = tide_set_grad_enabled(cx, 0);
    tide_tensor *y = tide_mul(x, NULL, A(mul, .other = F(2)));
    tide_set_grad_enabled(cx, was);
    assert_int_equal(tide_custom_attach(cx, (tide_tensor *[]){x, second}, 2, &y, 1, twice, o, released),
                     TIDE_OK);
    return y;
}

static void custom_functions(void **state) {
    (void)state;
    outside o = {NULL, 0};
    tide_begin(cx);
    tide_tensor *x = LEAF(SH(2), 1, 2), *second = LEAF(SH(1), 1);
    assert_int_equal(tide_backward(sum_of_squares(twice_of(x, second, &o)), NULL, 0), TIDE_OK);
    EXPECT(tide_grad_of(x), 8, 16);
    assert_null(tide_grad_of(second));
    o.wrong = second;
    tide_tensor *y = tide_sum(twice_of(x, second, &o), NULL);
    assert_int_not_equal(tide_backward(y, NULL, 0), TIDE_OK);
    expect_error("the gradient of input 1 has shape (1) and dtype float64, the input (2) and float64");
    tide_set_grad_enabled(cx, 0);
    twice_of(x, second, &o); /* nothing to record: released at once */
    tide_set_grad_enabled(cx, 1);
    assert_int_equal(o.released, 1);
    tide_end(cx);
    assert_int_equal(o.released, 3);
}

static void expect_why(tide_tensor *t, const char *part) {
    char text[256];
    assert_true(tide_why(t, text, sizeof text) < sizeof text);
    if (!strstr(text, part)) fail_msg("'%s' does not say '%s'", text, part);
}

static void why(void **state) {
    (void)state;
    tide_begin(cx);
    tide_tensor *x = LEAF(SH(2), 1, 2), *y;
    expect_why(x, "no backward has reached it yet");
    tide_site(cx, tide_intern_site(cx, "why.lua", 7));
    y = sum_of_squares(x);
    tide_site(cx, 0);
    expect_why(y, "a result of sum (why.lua:7)");
    expect_why(INTS(SH(1), 1), "its dtype is int64");
    expect_why(tide_detach(y), "it was detached");
    expect_why(F64S(SH(1), 1), "call requires_grad_(true)");
    assert_int_equal(tide_backward(y, NULL, 0), TIDE_OK);
    expect_why(x, "it has a gradient");
    assert_int_equal(tide_zero_grad(&x, 1), TIDE_OK);
    expect_why(x, "cleared by zero_grad");
    tide_end(cx);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(gradcheck),
        TEST(gradgradcheck),
        cmocka_unit_test(nothing_left_out),
        TEST(written_gradients),
        TEST(ties),
        TEST(accumulation),
        TEST(graphs_used_twice),
        TEST(wrong_calls),
        TEST(in_place),
        TEST(outside_the_graph),
        TEST(long_chain),
        TEST(custom_functions),
        TEST(why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
