/* What a host may ask of the engine: tiles on its own threads, stopping, memory given back under pressure, its
 * own floating-point flags, tensors shared by contexts on two threads; whatever it does, the same bytes. */
#define _GNU_SOURCE
#include "autograd/tape.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define NARGS(...) (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t))
#define SH(...) \
    { .shape = {__VA_ARGS__}, .ndim = NARGS(__VA_ARGS__), .dtype = TIDE_F32 }
#define LIST(...)                           \
    {                                       \
        NARGS(__VA_ARGS__), { __VA_ARGS__ } \
    }
#define A(op, ...) (&(tide_##op##_attr){__VA_ARGS__})

/* ---- the table: forward, and the gradients of every input ---- */

static tide_tensor *adamw(tide_tensor *const *x) { /* three steps with the second input as the gradient */
    tide_tensor *p = tide_detach(tide_clone(x[0]));
    if (!p || tide_set_requires_grad(p, 1)) return NULL;
    tide_optim_config c = tide_optim_defaults(TIDE_ADAMW);
    tide_optim *o = tide_optim_new(p->cx, &p, 1, &c);
    for (int i = 0; i < 3 && o; i++) {
        tide_optim_zero_grad(o);
        tide_backward(tide_sum(tide_mul(p, x[1], NULL), NULL), NULL, 0);
        tide_optim_step(o);
    }
    tide_optim_free(o);
    return tide_detach(p);
}

#define CASES(X)                                                                                    \
    X(matmul, (SH(130, 700), SH(700, 90)), tide_matmul(x[0], x[1]))                                 \
    X(matmul_batch, (SH(6, 65, 300), SH(6, 300, 70)), tide_matmul(x[0], x[1]))                      \
    X(linear, (SH(128, 600), SH(200, 600), SH(200)),                                                \
      tide_linear(x[0], x[1], x[2], A(linear, TIDE_LINEAR_GELU)))                                   \
    X(softmax, (SH(300, 1000)), tide_softmax(x[0], A(softmax, .dim = LIST(1))))                     \
    X(softmax_first, (SH(1000, 300)), tide_softmax(x[0], A(softmax, .dim = LIST(0))))               \
    X(sum, (SH(65537)), tide_sum(x[0], NULL))                                                       \
    X(sum_rows, (SH(65537, 8)), tide_sum(x[0], A(sum, .dim = LIST(0))))                             \
    X(conv2d, (SH(6, 16, 20, 20), SH(32, 16, 3, 3), SH(32)),                                        \
      tide_conv2d(x[0], x[1], x[2], A(conv2d, {{1, 1}}, {{1, 1}}, {{1, 1}}, 1, TIDE_CONV2D_GIVEN))) \
    X(layer_norm, (SH(300, 1000), SH(1000), SH(1000)),                                              \
      tide_layer_norm(x[0], x[1], x[2], A(layer_norm, LIST(1000), 1e-5)))                           \
    X(gelu, (SH(300, 1000)), tide_gelu(x[0], NULL))                                                 \
    X(mul, (SH(300, 1000), SH(1000)), tide_mul(x[0], x[1], NULL))                                   \
    X(cumsum, (SH(200, 1500)), tide_cumsum(x[0], A(cumsum, .dim = 1)))                              \
    X(adamw, (SH(700, 500), SH(700, 500)), adamw(x))

#define FUNCTION(name, shapes, ...) \
    static tide_tensor *case_##name(tide_tensor *const *x) { return __VA_ARGS__; }
CASES(FUNCTION)

enum { MOST = 3 };
static const struct row {
    const char *name;
    tide_meta shape[MOST];
    tide_tensor *(*fn)(tide_tensor *const *x);
} rows[] = {
#define OPEN(...) __VA_ARGS__
#define ROW(name, shapes, ...) {#name, {OPEN shapes}, case_##name},
    CASES(ROW)};
enum { NROWS = sizeof rows / sizeof *rows };

static tide_tensor *filled(tide_context *cx, const tide_meta *m, uint32_t seed, float scale) {
    tide_tensor *t = tide_empty(cx, m);
    for (int64_t i = 0; t && i < tide_numel(m); i++) {
        seed = seed * 1664525u + 1013904223u;
        ((float *)(void *)tide_data(t))[i] = ((float)(seed >> 8) * 0x1p-23f - 1) * scale;
    }
    return t;
}

typedef struct {
    char *bytes;
    size_t n;
} result;

static void add(result *r, tide_tensor *t) {
    if (!t) return;
    size_t n = (size_t)tide_numel(&t->meta) * tide_dtype_size((tide_dtype)t->meta.dtype);
    r->bytes = realloc(r->bytes, r->n + n);
    if (tide_read(t, r->bytes + r->n, n)) return;
    r->n += n;
}

/* Inputs times `scale`; what it gives and its gradients, as bytes. An error stays pending. */
static result run(tide_context *cx, const struct row *c, float scale) {
    result r = {0};
    tide_tensor *x[MOST] = {NULL};
    int n = 0;
    tide_begin(cx);
    for (; n < MOST && c->shape[n].ndim; n++) {
        x[n] = filled(cx, &c->shape[n], (uint32_t)n + 1, n ? 1 : scale);
        tide_set_requires_grad(x[n], 1);
    }
    tide_tensor *y = c->fn(x);
    add(&r, y);
    if (y && tide_requires_grad(y)) tide_backward(y, filled(cx, tide_meta_of(y), 9, 1), 0);
    for (int i = 0; i < n; i++) add(&r, tide_grad_of(x[i]));
    tide_end(cx);
    return r;
}

static tide_context *open_with(tide_config config) {
    tide_context *cx = NULL;
    config.size = sizeof config;
    assert_int_equal(tide_open(&config, &cx), TIDE_OK);
    assert_int_equal(tide_tape_open(cx), TIDE_OK);
    return cx;
}

/* In one thread, with tiles as large as they usually are; everything else runs with small ones. */
static result reference(const struct row *c, float scale) {
    unsetenv("TIDE_TILE");
    tide_context *cx = open_with((tide_config){.threads = 1});
    setenv("TIDE_TILE", "small", 1);
    result r = run(cx, c, scale);
    const char *text = tide_error(cx, NULL);
    if (text) fail_msg("%s: %s", c->name, text);
    tide_close(cx);
    return r;
}

static void same(tide_context *cx, const struct row *c, float scale, const result *want, const char *where) {
    result got = run(cx, c, scale);
    const char *text = tide_error(cx, NULL);
    if (text) fail_msg("%s, %s: %s", c->name, where, text);
    if (got.n != want->n) fail_msg("%s, %s: %zu bytes, not %zu", c->name, where, got.n, want->n);
    for (size_t i = 0; i < got.n; i++)
        if (got.bytes[i] != want->bytes[i])
            fail_msg("%s, %s: differs at byte %zu of %zu", c->name, where, i, got.n);
    free(got.bytes);
}

/* ---- a host with three threads ---- */

enum { THREADS = 3 };
typedef struct {
    int lists, most; /* lists of tiles, and how many threads ran some of one */
    unsigned flags;  /* of its threads, 0: as they are */
    atomic_int polls, cancel_at, before;
    atomic_int said; /* polls answered with yes */
} host;

typedef struct {
    host *h;
    tide_tile tile;
    void *arg;
    int first, ntiles;
} share;

static void *run_share(void *arg) {
    share *s = arg;
#if defined(__x86_64__)
    if (s->h->flags) _mm_setcsr(s->h->flags);
#endif
    for (int i = s->first; i < s->ntiles; i += THREADS) s->tile(s->arg, i);
#if defined(__x86_64__)
    if (s->h->flags) assert_int_equal(_mm_getcsr() & ~0x3Fu, s->h->flags & ~0x3Fu);
#endif
    return NULL;
}

static void parallel(void *ud, int ntiles, tide_tile tile, void *arg) {
    host *h = ud;
    pthread_t thread[THREADS];
    share s[THREADS];
    for (int i = 0; i < THREADS; i++) {
        s[i] = (share){h, tile, arg, i, ntiles};
        pthread_create(&thread[i], NULL, run_share, &s[i]);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    h->lists++;
    int ran = ntiles < THREADS ? ntiles : THREADS;
    if (ran > h->most) h->most = ran;
}

static void test_parallel(void **state) {
    for (int i = 0; i < NROWS; i++) {
        host h = {0};
        result want = reference(&rows[i], 1);
        tide_context *own = open_with((tide_config){.threads = THREADS});
        tide_context *theirs = open_with((tide_config){.threads = THREADS, .ud = &h, .parallel = parallel});
        same(own, &rows[i], 1, &want, "own threads");
        same(theirs, &rows[i], 1, &want, "the host's");
        if (!h.lists || h.most < 2) fail_msg("%s: %d lists on %d threads", rows[i].name, h.lists, h.most);
        tide_close(own);
        tide_close(theirs);
        free(want.bytes);
    }
}

/* ---- stopping ---- */

static int cancelled(void *ud) {
    host *h = ud;
    int poll = atomic_fetch_add(&h->polls, 1) + 1, at = atomic_load(&h->cancel_at);
    if (!at || poll < at) return 0;
    atomic_fetch_add(&h->said, 1);
    return 1;
}

static void test_cancelled(void **state) {
    for (int i = 0; i < NROWS; i++) {
        result want = reference(&rows[i], 1);
        for (int mode = 0; mode < 3; mode++) {
            host h = {0};
            tide_context *cx = open_with((tide_config){.threads = mode ? THREADS : 1,
                                                       .ud = &h,
                                                       .cancelled = cancelled,
                                                       .parallel = mode == 2 ? parallel : NULL});
            same(cx, &rows[i], 1, &want, "not stopped");
            int all = atomic_load(&h.polls);
            if (all < 4) fail_msg("%s: polled %d times only", rows[i].name, all);
            for (int k = 0; k < 4; k++) { /* from its first tile to its last */
                int at = 1 + k * (all - 1) / 3;
                atomic_store(&h.cancel_at, at);
                atomic_store(&h.polls, 0);
                atomic_store(&h.said, 0);
                free(run(cx, &rows[i], 1).bytes);
                tide_status code;
                const char *text = tide_error(cx, &code);
                if (!text || code != TIDE_ECANCEL || !strstr(text, "cancelled"))
                    fail_msg("%s, stopped at poll %d of %d: %s", rows[i].name, at, all,
                             text ? text : "no error");
                /* each tile is polled for: after the first yes no thread begins another, nor does another list
                 */
                if (mode < 2 && (h.said > THREADS || h.polls > at - 1 + THREADS))
                    fail_msg("%s: %d polls after stopping at %d", rows[i].name, h.polls, at);
                atomic_store(&h.cancel_at, 0);
                if (cx->tensors->live || cx->tape->nodes)
                    fail_msg("%s: %d tensors are left", rows[i].name, (int)cx->tensors->live);
            }
            same(cx, &rows[i], 1, &want, "afterwards");
            tide_close(cx);
        }
        free(want.bytes);
    }
}

/* ---- its floating-point flags ---- */

#if defined(__x86_64__)
static void test_flags(void **state) {
    const unsigned mine = _mm_getcsr(), odd = mine | 0x8040; /* FTZ, DAZ */
    for (int i = 0; i < NROWS; i++) {
        const float scale = 0x1p-130f; /* inputs are denormal */
        result want = reference(&rows[i], scale);
        int nonzero = 0;
        for (size_t k = 0; k < want.n; k++) nonzero |= want.bytes[k];
        assert_true(nonzero);
        for (int mode = 0; mode < 3; mode++) {
            host h = {.flags = odd};
            _mm_setcsr(odd); /* before own threads start: they inherit it */
            tide_config config = {.size = sizeof config, .threads = mode ? THREADS : 1, .ud = &h};
            if (mode == 2) config.parallel = parallel;
            tide_context *cx = NULL;
            tide_open(&config, &cx);
            tide_tape_open(cx);
            _mm_setcsr(mine);
            tide_tensor *x[MOST] = {NULL}, *y, *seed; /* the host's own arithmetic is not at issue */
            result got = {0};
            int n = 0;
            for (; n < MOST && rows[i].shape[n].ndim; n++) {
                x[n] = filled(cx, &rows[i].shape[n], (uint32_t)n + 1, n ? 1 : scale);
                tide_set_requires_grad(x[n], 1);
            }
            tide_begin(cx);
            _mm_setcsr(odd);
            y = rows[i].fn(x);
            _mm_setcsr(mine);
            seed = y ? filled(cx, tide_meta_of(y), 9, 1) : NULL;
            _mm_setcsr(odd);
            add(&got, y);
            if (y && tide_requires_grad(y)) tide_backward(y, seed, 0);
            for (int k = 0; k < n; k++) add(&got, tide_grad_of(x[k]));
            unsigned after = _mm_getcsr();
            _mm_setcsr(mine);
            assert_int_equal(after & ~0x3Fu, odd & ~0x3Fu);
            if (got.n != want.n || memcmp(got.bytes, want.bytes, got.n))
                fail_msg("%s, mode %d: other bytes under the host's flags", rows[i].name, mode);
            tide_end(cx);
            for (int k = 0; k < n; k++) tide_free(x[k]);
            free(got.bytes);
            tide_close(cx);
        }
        free(want.bytes);
    }
}
#endif

/* ---- memory ---- */

typedef struct {
    tide_tensor *held[4];
    int n, pressed;
} holder;

static void give_back(void *ud, size_t bytes) {
    holder *h = ud;
    h->pressed++;
    while (h->n) tide_free(h->held[--h->n]);
}

static void test_pressure(void **state) {
    holder h = {0};
    const tide_meta mib8 = SH(2 << 20), mib16 = SH(4 << 20);
    tide_context *cx = open_with(
        (tide_config){.ud = &h, .pressure = give_back, .memory_limit = (size_t)64 << 20, .threads = 1});
    tide_site(cx, tide_intern_site(cx, "game.c", 41));
    for (; h.n < 4; h.n++) h.held[h.n] = tide_empty(cx, &mib8);
    tide_site(cx, tide_intern_site(cx, "game.c", 77));
    tide_tensor *a = tide_empty(cx, &mib16), *b = tide_ones(cx, A(ones, .size = LIST(4 << 20)));
    assert_non_null(a);
    assert_non_null(b); /* there was room only after the host gave back */
    assert_int_equal(h.pressed, 1);
    assert_int_equal(h.n, 0);
    tide_tensor *c = tide_empty(cx, &mib16);
    assert_null(tide_mul(b, c, NULL));
    tide_status code;
    const char *text = tide_error(cx, &code);
    assert_int_equal(code, TIDE_EMEM);
    assert_int_equal(h.pressed, 2);
    if (!strstr(text, "[mul] out of memory: 16777216 bytes wanted") || !strstr(text, "limit 67108864") ||
        !strstr(text, "\n  48.0 MiB in 3 tensors, game.c:77"))
        fail_msg("%s", text);
    tide_free(a);
    tide_free(c);
    tide_free(tide_mul(b, b, NULL)); /* there is room again */
    assert_null(tide_error(cx, NULL));
    tide_free(b);
    tide_close(cx);
}

/* ---- two contexts ---- */

static atomic_long out;
static void *counted(void *ud, void *p, size_t from, size_t to, size_t align) {
    void *q = NULL;
    if (to && posix_memalign(&q, align, to)) return NULL;
    free(p);
    atomic_fetch_add(&out, (long)to - (long)from);
    return q;
}

typedef struct {
    tide_context *cx;
    tide_tensor *w;
    float sum;
} side;

static void *use(void *arg) { /* reads, differentiates, drops and views what both have */
    side *s = arg;
    for (int i = 0; i < 50; i++) {
        tide_begin(s->cx);
        tide_tensor *x = tide_ones(s->cx, A(ones, .size = LIST(64, 64)));
        tide_set_requires_grad(x, 1);
        tide_tensor *y = tide_sum(tide_matmul(x, tide_transpose(s->w, A(transpose, 0, 1))), NULL);
        tide_backward(y, NULL, 0);
        tide_read(y, &s->sum, sizeof s->sum);
        tide_end(s->cx);
    }
    tide_free(s->w);
    tide_close(s->cx);
    return NULL;
}

static void freed(void *arg) { atomic_fetch_add((atomic_int *)arg, 1); }

static void test_share(void **state) {
    static float own[64 * 64];
    for (int i = 0; i < 64 * 64; i++) own[i] = (float)(i % 7);
    for (int round = 0; round < 20; round++) {
        atomic_int released = 0;
        side s[2];
        pthread_t thread[2];
        for (int k = 0; k < 2; k++) s[k].cx = open_with((tide_config){.alloc = counted, .threads = 1});
        const tide_meta m = SH(64, 64);
        if (round % 2)
            s[0].w = tide_wrap(s[0].cx, &m, own, freed, &released);
        else
            tide_write(s[0].w = tide_empty(s[0].cx, &m), own, sizeof own);
        s[1].w = tide_share(s[1].cx, s[0].w);
        assert_non_null(s[1].w);
        tide_tensor *third = tide_share(s[1].cx, s[1].w); /* shared once more, dropped at once */
        tide_free(third);
        for (int k = 0; k < 2; k++) pthread_create(&thread[k], NULL, use, &s[k]);
        for (int k = 0; k < 2; k++) pthread_join(thread[k], NULL);
        assert_true(s[0].sum == s[1].sum && s[0].sum > 0);
        assert_int_equal(released, round % 2);
        assert_int_equal(out, 0);
    }
}

/* Tensors may outlive their context, with a graph and gradients on them, in whatever order they go. */
static void test_close_first(void **state) {
    for (int order = 0; order < 2; order++) {
        tide_context *cx = open_with((tide_config){.alloc = counted, .threads = 2});
        tide_tensor *x = tide_ones(cx, A(ones, .size = LIST(8, 8)));
        tide_set_requires_grad(x, 1);
        tide_tensor *sum = tide_sum(x, NULL), *turned = tide_transpose(x, A(transpose, 0, 1));
        tide_backward(sum, NULL, 0);
        tide_tensor *y = tide_exp(turned);
        tide_free(sum), tide_free(turned); /* no scope is open: they are ours */
        tide_context *other = open_with((tide_config){.alloc = counted, .threads = 1});
        tide_tensor *z = tide_share(other, y);
        assert_null(tide_error(cx, NULL));
        tide_close(cx);
        float e[64];
        assert_int_equal(tide_read(z, e, sizeof e), TIDE_OK); /* lives on in the other */
        assert_true(e[0] > 2.718f && e[63] < 2.719f);
        if (order) tide_free(z), tide_close(other);
        tide_free(order ? x : y);
        tide_free(order ? y : x);
        if (!order) tide_close(other), tide_free(z);
    }
}

static void refused(tide_context *cx, tide_status got) {
    assert_int_equal(got, TIDE_EARG);
    tide_error(cx, NULL);
}

/* What a host passes on when something before it failed. */
static void test_null(void **state) {
    tide_context *cx = open_with((tide_config){.threads = 1});
    tide_meta m = {.shape = {2}, .ndim = 1, .dtype = TIDE_F32};
    tide_tensor *t = tide_empty(cx, &m), *none = NULL, *gx;
    assert_null(tide_empty(cx, NULL));
    refused(cx, tide_pending(cx));
    assert_null(tide_wrap(cx, &m, NULL, NULL, NULL));
    refused(cx, tide_pending(cx));
    refused(cx, tide_read(t, NULL, 8));
    refused(cx, tide_write(t, NULL, 8));
    refused(cx, tide_read(NULL, &m, 8));
    refused(cx, tide_set_requires_grad(NULL, 1));
    refused(cx, tide_zero_grad(&none, 1));
    refused(cx, tide_backward(NULL, NULL, 0));
    refused(cx, tide_grad(cx, &none, 1, &t, 1, NULL, 0, &gx));
    refused(cx, tide_average(cx, &t, &none, 1, 0.5));
    assert_null(tide_optim_new(cx, &t, 1, NULL));
    refused(cx, tide_pending(cx));
    refused(cx, tide_optim_step(NULL));
    refused(cx, tide_optim_zero_grad(NULL));
    assert_true(!tide_optim_settings(NULL) && !tide_optim_state(NULL, 0, NULL) && !tide_optim_count(NULL, 0));
    assert_null(tide_matmul(t, none));
    refused(cx, tide_pending(cx));
    tide_free(t);
    tide_close(cx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parallel),
        cmocka_unit_test(test_cancelled),
#if defined(__x86_64__)
        cmocka_unit_test(test_flags),
#endif
        cmocka_unit_test(test_pressure),
        cmocka_unit_test(test_share),
        cmocka_unit_test(test_close_first),
        cmocka_unit_test(test_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
