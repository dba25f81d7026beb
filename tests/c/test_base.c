/* Floor 0: errors, sites, the heap, tiles, random bits, the black box, forks. */
#define _GNU_SOURCE
#include "base/context.h"
#include "base/random.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define MIB ((size_t)1 << 20)

/* A host that counts what it hands out, and from some request on refuses. */
typedef struct {
    atomic_long out, calls;
    long fail_from;
    tide_context *cx;
    void *held[8]; /* what `pressure` gives back */
    size_t held_size;
    int nheld, npressure;
} host;

static void *host_alloc(void *ud, void *p, size_t from, size_t to, size_t align) {
    host *h = ud;
    void *q = NULL;
    assert_null(to ? p : NULL);
    if (to) {
        if (atomic_fetch_add(&h->calls, 1) + 1 >= h->fail_from && h->fail_from) return NULL;
        if (posix_memalign(&q, align, to)) return NULL;
        memset(q, 0xA5, to);
    }
    atomic_fetch_add(&h->out, (long)to - (long)from);
    free(p);
    return q;
}

static void host_pressure(void *ud, size_t bytes) {
    host *h = ud;
    h->npressure++;
    assert_int_equal(bytes, 77);
    while (h->nheld) tide_release(h->cx, h->held[--h->nheld], h->held_size);
}

static tide_context *open_with(tide_config config) {
    tide_context *cx;
    config.size = sizeof(config);
    assert_int_equal(tide_open(&config, &cx), TIDE_OK);
    return cx;
}

/* ---- context, errors, sites ---- */

static void test_open(void **state) {
    tide_context *cx;
    assert_int_equal(tide_open(NULL, &cx), TIDE_OK);
    assert_true(tide_threads(cx) >= 1);
    assert_false(tide_forked(cx));
    tide_close(cx);
    tide_close(NULL);
    setenv("TIDE_THREADS", "3", 1);
    setenv("TIDE_TILE", "small", 1);
    setenv("TIDE_ISA", "baseline", 1);
    cx = open_with((tide_config){.seed = 5});
    assert_int_equal(tide_threads(cx), 3);
    assert_true(tide_small_tiles(cx));
    assert_int_equal(cx->isa, TIDE_ISA_BASELINE);
    assert_int_equal(cx->seed, 5);
    cx->rng_calls = 9;
    tide_manual_seed(cx, 6);
    assert_int_equal(cx->seed, 6);
    assert_int_equal(cx->rng_calls, 0);
    tide_close(cx);
    unsetenv("TIDE_THREADS");
    unsetenv("TIDE_TILE");
    unsetenv("TIDE_ISA");
    tide_config shorter = {.size = offsetof(tide_config, threads), .threads = 7};
    assert_int_equal(tide_open(&shorter, &cx), TIDE_OK);
    assert_int_equal(cx->config.threads, 0);
    tide_close(cx);
    assert_int_equal(tide_open(&(tide_config){0}, &cx), TIDE_EARG);
    assert_null(cx);
}

static char closing_order[4];
static void close_a(tide_context *cx) { strcat(closing_order, "a"); }
static void close_b(tide_context *cx) { strcat(closing_order, "b"); }

static void test_closing(void **state) {
    tide_context *cx = open_with((tide_config){0});
    cx->closing[cx->nclosing++] = close_a;
    cx->closing[cx->nclosing++] = close_b;
    tide_close(cx);
    assert_string_equal(closing_order, "ba");
}

static void test_open_fails(void **state) {
    for (long k = 1;; k++) { /* every allocation fails */
        host h = {.fail_from = k};
        tide_context *cx;
        tide_config config = {.size = sizeof(config), .ud = &h, .alloc = host_alloc, .threads = 2};
        tide_status status = tide_open(&config, &cx);
        if (!status) {
            assert_true(k > 3);
            tide_close(cx);
            assert_int_equal(h.out, 0);
            return;
        }
        assert_int_equal(status, TIDE_EMEM);
        assert_null(cx);
        assert_int_equal(h.out, 0);
    }
}

static void test_errors(void **state) {
    tide_context *cx = open_with((tide_config){0});
    tide_status code = TIDE_EIO;
    assert_null(tide_error(cx, &code));
    assert_int_equal(code, TIDE_OK);
    cx->opname = "matmul";
    assert_int_equal(tide_fail(cx, TIDE_EARG, "inner sizes %d and %d differ", 3, 4), TIDE_EARG);
    assert_int_equal(tide_fail(cx, TIDE_EIO, "a later one"), TIDE_EIO);
    assert_int_equal(tide_pending(cx), TIDE_EARG);
    assert_string_equal(tide_error(cx, &code), "[matmul] inner sizes 3 and 4 differ");
    assert_int_equal(code, TIDE_EARG);
    assert_int_equal(tide_pending(cx), TIDE_OK);
    cx->opname = NULL;
    tide_fail(cx, TIDE_EIO, "plain");
    assert_string_equal(tide_error(cx, NULL), "plain");

    char text[3001] = "";
    for (int i = 0; i < 1000; i++) strcat(text, "\u20ac"); /* three bytes each */
    for (int shift = 0; shift < 3; shift++) {
        tide_fail(cx, TIDE_EARG, "%.*s%s", shift, "xx", text);
        const char *cut = tide_error(cx, NULL);
        size_t n = strlen(cut);
        assert_true(n < sizeof(cx->error_text) && n > sizeof(cx->error_text) - 6);
        assert_string_equal(cut + n - 3, "...");
        assert_int_equal((n - 3 - (size_t)shift) % 3, 0);
    }
    tide_close(cx);
}

static void test_sites(void **state) {
    host h = {0};
    tide_context *cx = open_with((tide_config){.ud = &h, .alloc = host_alloc});
    char file[64], want[80];
    assert_int_equal(tide_intern_site(cx, NULL, 3), 0);
    assert_string_equal(tide_site_text(cx, 0), "");
    assert_string_equal(tide_site_text(cx, 1), "");
    assert_int_equal(tide_intern_site(cx, "train.lua", 12), 1);
    assert_string_equal(tide_site_text(cx, 1), "train.lua:12");
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 5000; i++) {
            snprintf(file, sizeof(file), "%.*s%d.lua", i % 20, "a/long/way/to/a/file/", i / 100);
            uint32_t id = tide_intern_site(cx, file, i % 100 - 1);
            snprintf(want, sizeof(want), "%s:%d", file, i % 100 - 1);
            assert_string_equal(tide_site_text(cx, id), want);
            assert_int_equal(id, i + 2);
        }
    }
    tide_site(cx, 17);
    assert_int_equal(cx->site, 17);
    tide_close(cx);
    assert_int_equal(h.out, 0);
}

/* ---- the heap ---- */

static void test_alloc(void **state) {
    host h = {0};
    tide_context *cx = open_with((tide_config){.ud = &h, .alloc = host_alloc});
    tide_memory_stats before, now;
    tide_memory(cx, &before);
    enum { N = 3000 };
    static unsigned char *block[N];
    size_t size[N], total = 0;
    for (int round = 0; round < 2; round++) {
        total = 0;
        for (int i = 0; i < N; i++) { /* all sizes to 3000, and their like around every power of two to 1 GiB */
            size[i] = i < 2950 ? (size_t)i : ((size_t)4096 << (i - 2950) / 3) - 1 + (size_t)(i - 2950) % 3;
            block[i] = tide_alloc(cx, size[i] < 64 * MIB ? size[i] : 0);
            if (size[i] >= 64 * MIB) size[i] = 0;
            assert_non_null(block[i]);
            assert_int_equal((uintptr_t)block[i] % TIDE_ALIGN, 0);
            if (size[i]) block[i][0] = block[i][size[i] - 1] = (unsigned char)i;
            total += size[i];
        }
        tide_memory(cx, &now);
        assert_true(now.live - before.live >= total && now.peak >= now.live);
        for (int i = 0; i < N; i++) {
            if (size[i]) assert_int_equal(block[i][0] & block[i][size[i] - 1], (unsigned char)i);
            tide_release(cx, block[i], size[i]);
        }
        tide_memory(cx, &now);
        assert_int_equal(now.live, before.live);
        assert_true(now.cached <= 256 * MIB);
    }
    unsigned char *zero = tide_alloc0(cx, 5000);
    for (int i = 0; i < 5000; i++) assert_int_equal(zero[i], 0);
    tide_release(cx, zero, 5000);
    tide_release(cx, NULL, 10);
    tide_memory(cx, &now);
    uint64_t calls = now.allocs; /* a block used before costs the host nothing */
    for (int i = 0; i < 100; i++) {
        void *p = tide_alloc(cx, 5000);
        void *q = tide_alloc(cx, 100);
        tide_release(cx, p, 5000);
        tide_release(cx, q, 100);
    }
    tide_memory(cx, &now);
    assert_int_equal(now.allocs, calls);
    tide_heap_trim(cx->heap);
    tide_memory(cx, &now);
    assert_true(now.cached < MIB);
    assert_null(tide_alloc(cx, SIZE_MAX));
    assert_non_null(strstr(tide_error(cx, NULL), "out of memory: 18446744073709551615 bytes wanted"));
    tide_close(cx);
    assert_int_equal(h.out, 0);
}

static void test_grow(void **state) {
    tide_context *cx = open_with((tide_config){.memory_limit = MIB});
    int *a = NULL;
    int64_t capacity = 0, n = 0;
    while (!tide_grow(cx, (void **)&a, &capacity, n + 1, sizeof(*a))) a[n] = (int)n, n++;
    assert_true(n > 10000 && n == capacity);
    assert_int_equal(tide_pending(cx), TIDE_EMEM);
    for (int64_t i = 0; i < n; i++) assert_int_equal(a[i], i);
    assert_int_equal(tide_grow(cx, (void **)&a, &capacity, INT64_MAX, 16), TIDE_EMEM);
    assert_int_equal(capacity, n);
    tide_release(cx, a, (size_t)capacity * sizeof(*a));
    tide_close(cx);
}

static void test_cap(void **state) {
    tide_context *cx = open_with((tide_config){0});
    tide_memory_stats m;
    void *p[40];
    for (int i = 0; i < 40; i++) assert_non_null(p[i] = tide_alloc(cx, 8 * MIB + (size_t)(i % 4) * 2 * MIB));
    for (int i = 0; i < 40; i++) tide_release(cx, p[i], 8 * MIB + (size_t)(i % 4) * 2 * MIB);
    tide_memory(cx, &m);
    assert_true(m.cached <= 256 * MIB && m.cached > 200 * MIB);
    for (int i = 0; i < 32; i++) assert_non_null(p[i] = tide_alloc(cx, 16 * MIB)); /* new shapes push out old */
    for (int i = 0; i < 32; i++) tide_release(cx, p[i], 16 * MIB);
    uint64_t calls = m.allocs;
    for (int i = 0; i < 15; i++) assert_non_null(p[i] = tide_alloc(cx, 16 * MIB));
    tide_memory(cx, &m);
    assert_true(m.allocs <= calls + 32);
    for (int i = 0; i < 15; i++) tide_release(cx, p[i], 16 * MIB);
    tide_close(cx);
}

static void test_limit(void **state) {
    host h = {.held_size = 2 * MIB};
    tide_context *cx = h.cx = open_with((tide_config){
        .ud = &h, .alloc = host_alloc, .pressure = host_pressure, .memory_limit = 10 * MIB, .threads = 1});
    tide_status code;
    cx->handle_only_bytes = 77;
    void *p = tide_alloc(cx, 6 * MIB); /* a cached block makes room by itself */
    tide_release(cx, p, 6 * MIB);
    assert_non_null(p = tide_alloc(cx, 8 * MIB));
    tide_release(cx, p, 8 * MIB);
    assert_int_equal(h.npressure, 0);
    while (h.nheld < 4) assert_non_null(h.held[h.nheld++] = tide_alloc(cx, h.held_size));
    assert_non_null(p = tide_alloc(cx, 5 * MIB)); /* the host gives back its four */
    assert_int_equal(h.npressure, 1);
    assert_int_equal(h.nheld, 0);
    assert_null(tide_alloc(cx, 6 * MIB));
    assert_int_equal(h.npressure, 2);
    const char *text = tide_error(cx, &code);
    assert_int_equal(code, TIDE_EMEM);
    assert_non_null(strstr(text, "out of memory: 6291456 bytes wanted, "));
    assert_non_null(strstr(text, " in use, limit 10485760"));
    assert_true(h.out <= (long)(10 * MIB + 65536));
    tide_release(cx, p, 5 * MIB);
    tide_close(cx);
    assert_int_equal(h.out, 0);
}

static void test_fail_injection(void **state) {
    host h = {0};
    tide_context *cx = open_with((tide_config){.ud = &h, .alloc = host_alloc});
    void *kept = tide_alloc(cx, 4 * MIB);
    tide_release(cx, kept, 4 * MIB);
    tide_memory_stats m;
    h.fail_from = h.calls + 1;
    assert_non_null(kept = tide_alloc(cx, 4 * MIB)); /* needs no host */
    tide_release(cx, kept, 4 * MIB);
    assert_null(tide_alloc(cx, MIB));
    assert_int_equal(tide_pending(cx), TIDE_EMEM);
    tide_error(cx, NULL);
    tide_memory(cx, &m);
    assert_true(m.cached < MIB); /* what was cached went back before giving up */
    h.fail_from = 0;
    assert_non_null(kept = tide_alloc(cx, MIB));
    tide_release(cx, kept, MIB);
    tide_close(cx);
    assert_int_equal(h.out, 0);
}

/* ---- blocks that cross threads ---- */

typedef struct {
    void *p[64];
    tide_heap *heap;
    atomic_int ready;
} crossing;

#define CROSSING_SIZE(i) ((i) % 2 ? (size_t)100 * ((size_t)(i) + 1) : (size_t)10000 * ((size_t)(i) + 1))

static void *release_elsewhere(void *arg) {
    crossing *c = arg;
    tide_context *other = open_with((tide_config){.threads = 1});
    for (int i = 0; i < 64; i++) {
        while (atomic_load(&c->ready) <= i) sched_yield();
        tide_heap_release(c->heap, other, c->p[i], CROSSING_SIZE(i));
    }
    tide_close(other);
    return NULL;
}

static void test_remote_release(void **state) {
    for (int closed_early = 0; closed_early < 2; closed_early++) {
        host h = {0};
        tide_memory_stats before, now;
        tide_context *cx = open_with((tide_config){.ud = &h, .alloc = host_alloc, .threads = 1});
        crossing c = {.heap = cx->heap};
        pthread_t thread;
        tide_memory(cx, &before);
        assert_int_equal(pthread_create(&thread, NULL, release_elsewhere, &c), 0);
        for (int i = 0; i < 64; i++) {
            assert_non_null(c.p[i] = tide_alloc(cx, CROSSING_SIZE(i)));
            memset(c.p[i], i, CROSSING_SIZE(i));
            if (!closed_early) atomic_store(&c.ready, i + 1);
        }
        if (closed_early) {
            atomic_store(&c.ready, 20);
            tide_close(cx); /* while the other thread releases; the heap lives until the last block is back */
            atomic_store(&c.ready, 64);
            pthread_join(thread, NULL);
        } else {
            pthread_join(thread, NULL);
            tide_memory(cx, &now);
            assert_int_equal(now.live, before.live);
            void *p = tide_alloc(cx, 100);
            tide_heap_release(c.heap, cx, p, 100); /* the owner's own */
            tide_close(cx);
        }
        assert_int_equal(h.out, 0);
    }
}

/* ---- tiles ---- */

typedef struct {
    atomic_int count[512];
    atomic_int started, bad;
    size_t scratch;
    int cancel_after; /* tiles started before `cancelled` says so */
    int npolls_true;
    int nthreads; /* of host_parallel */
    int skip;     /* tiles that host_parallel forgets */
} tiles;

static void count_tile(void *arg, int i, void *scratch) {
    tiles *t = arg;
    atomic_fetch_add(&t->started, 1);
    atomic_fetch_add(&t->count[i], 1);
    if ((uintptr_t)scratch % 64) atomic_fetch_add(&t->bad, 1);
    if (!t->scratch != !scratch) atomic_fetch_add(&t->bad, 1);
    if (!scratch) return;
    unsigned char *b = scratch;
    memset(b, i, t->scratch);
    for (int k = 0; k < 50; k++) sched_yield();
    for (size_t k = 0; k < t->scratch; k++) { /* nobody else wrote here */
        if (b[k] != (unsigned char)i) atomic_fetch_add(&t->bad, 1);
    }
}

static void run_counted(tide_context *cx, tiles *t, int n, double work, size_t scratch) {
    for (int i = 0; i < 512; i++) t->count[i] = 0;
    t->started = 0;
    t->scratch = scratch;
    assert_int_equal(tide_run_tiles(cx, n, work, scratch, count_tile, t), TIDE_OK);
    for (int i = 0; i < 512; i++) assert_int_equal(t->count[i], i < n);
    assert_int_equal(t->bad, 0);
}

typedef struct {
    atomic_int next;
    int ntiles;
    tide_tile tile;
    void *arg;
} job;

static void *host_worker(void *arg) {
    job *j = arg;
    for (int i; (i = atomic_fetch_add(&j->next, 1)) < j->ntiles;) j->tile(j->arg, i);
    return NULL;
}

static void host_parallel(void *ud, int ntiles, tide_tile tile, void *arg) {
    tiles *t = ud;
    job j = {.ntiles = ntiles - t->skip, .tile = tile, .arg = arg};
    pthread_t thread[16];
    for (int i = 0; i < t->nthreads; i++) pthread_create(&thread[i], NULL, host_worker, &j);
    for (int i = 0; i < t->nthreads; i++) pthread_join(thread[i], NULL);
}

static int cancel_now(void *ud) {
    tiles *t = ud;
    return atomic_load(&t->started) >= t->cancel_after;
}

static void test_tiles(void **state) {
    static const int threads[] = {1, 2, 5};
    for (int k = 0; k < 3; k++) {
        tiles t = {0};
        tide_context *cx = open_with((tide_config){.threads = threads[k]});
        for (int round = 0; round < 40; round++) {
            int n = round * 13 % 512;
            run_counted(cx, &t, n, round % 3 ? 1e7 : 10, round % 2 ? 64 * (size_t)round : 0);
            assert_true(tide_threads_ran(cx) <= threads[k] && (n == 0) == (tide_threads_ran(cx) == 0));
            if (round % 8 == 7) usleep(500); /* workers fall asleep in between */
        }
        run_counted(cx, &t, 300, 10, 0);
        assert_int_equal(tide_threads_ran(cx), 1);
        tide_close(cx);
    }
}

/* Every one of the threads takes part: no tile ends before all have begun. */
static void meet_tile(void *arg, int i, void *scratch) {
    atomic_int *met = arg;
    atomic_fetch_add(met, 1);
    while (atomic_load(met) < 4) sched_yield();
}

static void test_all_threads_run(void **state) {
    tide_context *cx = open_with((tide_config){.threads = 4});
    for (int round = 0; round < 20; round++) {
        atomic_int met = 0;
        if (round % 5 == 4) usleep(2000);
        assert_int_equal(tide_run_tiles(cx, 4, 1e7, 0, meet_tile, &met), TIDE_OK);
        assert_int_equal(tide_threads_ran(cx), 4);
    }
    tide_close(cx);
}

static void test_host_parallel(void **state) {
    tiles t = {.nthreads = 7};
    tide_context *cx = open_with((tide_config){.ud = &t, .parallel = host_parallel, .threads = 2});
    run_counted(cx, &t, 100, 1e7, 256); /* seven threads, four buffers */
    assert_in_range(tide_threads_ran(cx), 1, 7);
    run_counted(cx, &t, 3, 1e7, 4096);
    run_counted(cx, &t, 511, 1e7, 0);
    t.skip = 1;
    assert_int_equal(tide_run_tiles(cx, 10, 1e7, 0, count_tile, &t), TIDE_EARG);
    assert_string_equal(tide_error(cx, NULL), "the host's parallel hook ran 9 of 10 tiles");
    tide_close(cx);
}

static void test_cancelled(void **state) {
    for (int mode = 0; mode < 3; mode++) { /* this thread, own threads, the host's */
        tiles t = {.nthreads = 3, .cancel_after = 1000};
        int threads = mode ? 3 : 1;
        tide_config config = {.ud = &t, .threads = threads, .cancelled = cancel_now};
        if (mode == 2) config.parallel = host_parallel;
        tide_context *cx = open_with(config);
        run_counted(cx, &t, 400, 1e7, 64);
        t.started = 0;
        t.cancel_after = 10;
        assert_int_equal(tide_run_tiles(cx, 400, 1e7, 64, count_tile, &t), TIDE_ECANCEL);
        assert_in_range(t.started, 10, 10 + threads - 1); /* tiles already begun are all that run on */
        assert_string_equal(tide_error(cx, NULL), "cancelled");
        t.cancel_after = 0;
        t.started = 0;
        assert_int_equal(tide_run_tiles(cx, 1, 1, 0, count_tile, &t), TIDE_ECANCEL);
        assert_int_equal(t.started, 0);
        tide_error(cx, NULL);
        t.cancel_after = 1000;
        run_counted(cx, &t, 400, 1e7, 64);
        tide_close(cx);
    }
}

#if defined(__x86_64__)
static void fp_tile(void *arg, int i, void *scratch) {
    if ((_mm_getcsr() & ~0x3Fu) != 0x1F80) atomic_fetch_add((atomic_int *)arg, 1);
}

static void test_fp_environment(void **state) {
    tiles t = {.nthreads = 3};
    atomic_int bad = 0;
    unsigned mine = _mm_getcsr();
    unsigned odd = (mine | 0x8040) ^ 0x6000; /* FTZ, DAZ, toward zero */
    for (int mode = 0; mode < 3; mode++) {
        _mm_setcsr(odd); /* before the workers start: they inherit it */
        tide_config config = {.ud = &t, .threads = mode ? 3 : 1};
        if (mode == 2) config.parallel = host_parallel;
        tide_context *cx = open_with(config);
        for (int n = 1; n < 100; n += 33)
            assert_int_equal(tide_run_tiles(cx, n, 1e7, 0, fp_tile, &bad), TIDE_OK);
        unsigned after = _mm_getcsr();
        _mm_setcsr(mine);
        assert_int_equal(after, odd);
        assert_int_equal(bad, 0);
        tide_close(cx);
    }
}
#endif

static void test_scratch_fails(void **state) {
    tiles t = {.scratch = MIB};
    tide_context *cx = open_with((tide_config){.threads = 2, .memory_limit = 2 * MIB});
    assert_int_equal(tide_run_tiles(cx, 4, 1e7, 3 * MIB, count_tile, &t), TIDE_EMEM);
    assert_int_equal(t.started, 0);
    assert_int_equal(tide_pending(cx), TIDE_EMEM);
    tide_error(cx, NULL);
    run_counted(cx, &t, 4, 1e7, 1000);
    tide_close(cx);
}

/* ---- random bits: the known answers of Random123 ---- */

static void test_philox(void **state) {
    static const struct {
        uint64_t key, hi, counter;
        uint32_t out[4];
    } known[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822,
         0x0370734413198a2e,
         0x85a308d3243f6a88,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (int i = 0; i < 3; i++) {
        uint32_t out[4];
        tide_philox(known[i].key, known[i].hi, known[i].counter, out);
        assert_memory_equal(out, known[i].out, sizeof(out));
    }
}

/* ---- the black box ---- */

typedef struct {
    int n;
    char first[512], last[512];
} lines;

static void keep_line(void *arg, const char *text) {
    lines *l = arg;
    snprintf(l->n++ ? l->last : l->first, sizeof(l->last), "%s", text);
}

static void ignore_line(void *arg, const char *text) { assert_true(strlen(text) < 512); }

static char *ring_path(char *path) {
    const char *tmp = getenv("TMPDIR");
    snprintf(path, 256, "%s/tide-test-%d.ring", tmp ? tmp : P_tmpdir, (int)getpid());
    return path;
}

static void note(tide_context *cx, const char *name, int line) {
    tide_meta a = {.shape = {32, 64}, .ndim = 2, .dtype = TIDE_F32},
              b = {.shape = {64, 128}, .ndim = 2, .dtype = TIDE_BF16};
    const tide_meta *shapes[] = {&a, &b};
    tide_blackbox_note(cx, name, tide_intern_site(cx, "train.lua", line), 2, shapes);
}

static void test_blackbox_killed(void **state) {
    char path[256], bytes[4096];
    lines l = {0};
    ring_path(path);
    pid_t child = fork();
    if (!child) {
        tide_context *cx;
        tide_config config = {.size = sizeof(config), .blackbox = path, .threads = 1};
        if (tide_open(&config, &cx)) _exit(1);
        for (int i = 1; i <= 5000; i++) note(cx, i < 5000 ? "add" : "a_name_of_more_than_23_chars", i % 2000);
        kill(getpid(), SIGKILL);
    }
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(tide_blackbox_read(path, keep_line, &l), 1024);
    assert_int_equal(l.n, 1024);
    assert_memory_equal(l.first, "  3977  add (32,64) float32 (64,128) bfloat16",
                        45); /* its site made room for another */
    assert_memory_equal(
        l.last, "  5000  a_name_of_more_than_23_ (32,64) float32 (64,128) bfloat16  train.lua:1000  +", 82);

    FILE *f = fopen(path, "r+b"); /* a torn or hostile file: noise at many places */
    unsigned seed = 1;
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 64; i++, seed = seed * 1103515245u + 12345u) bytes[i] = (char)(seed >> 16);
        fseek(f, 64 + (long)(seed >> 4) % (64 * 1024 + 1024 * 152 - 128), SEEK_SET);
        fwrite(bytes, 1, 64, f);
    }
    fflush(f);
    assert_true(tide_blackbox_read(path, ignore_line, NULL) > 700);
    fseek(f, 8, SEEK_SET);
    fwrite("\xff", 1, 1, f);
    fclose(f);
    assert_int_equal(tide_blackbox_read(path, ignore_line, NULL), -1);
    assert_int_equal(truncate(path, 1000), 0);
    assert_int_equal(tide_blackbox_read(path, ignore_line, NULL), -1);
    assert_int_equal(tide_blackbox_read("/", ignore_line, NULL), -1);

    tide_context *cx = open_with((tide_config){.blackbox = path}); /* takes the old ring's place */
    assert_int_equal(tide_blackbox_read(path, ignore_line, NULL), 0);
    tide_close(cx);
    assert_int_equal(access(path, F_OK), -1); /* a clean end leaves no file */
}

static void test_blackbox_memory(void **state) {
    tide_context *cx = open_with((tide_config){0});
    lines l = {0};
    tide_meta big = {.shape = {1, 2, 3, 4, 5, 6, 7, (int64_t)1 << 40}, .ndim = 8, .dtype = TIDE_BOOL};
    tide_meta huge = {.shape = {(int64_t)1 << 40}, .ndim = 1, .dtype = 200}, scalar = {.dtype = TIDE_I64};
    const tide_meta *shapes[] = {&big, &huge, &scalar, &scalar, &scalar};
    tide_blackbox_note(cx, "odd\n", 0, 5, shapes);
    note(cx, "mul", 7);
    assert_int_equal(tide_blackbox_dump(cx, keep_line, &l), 2);
    assert_memory_equal(l.first, "     1  odd? (1,2,3,4,5,6,..) bool (>4294967295) ? () int64 () int64 ..  +",
                        73);
    assert_memory_equal(l.last, "     2  mul (32,64) float32 (64,128) bfloat16  train.lua:7  +", 60);
    tide_close(cx);
}

static void test_blackbox_path(void **state) {
    char path[256];
    tide_context *cx;
    FILE *f = fopen(ring_path(path), "w"); /* somebody's own file is not ours to replace */
    fputs("print 'hello'\n", f);
    fclose(f);
    assert_int_equal(tide_open(&(tide_config){.size = sizeof(tide_config), .blackbox = path}, &cx), TIDE_EIO);
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
    assert_int_equal(tide_open(&(tide_config){.size = sizeof(tide_config), .blackbox = "/no/such/dir/x"}, &cx),
                     TIDE_EIO);
}

/* ---- forks ---- */

static void test_fork(void **state) {
    tiles t = {0};
    tide_context *cx = open_with((tide_config){.threads = 2});
    run_counted(cx, &t, 8, 1e7, 0);
    pid_t child = fork();
    if (!child) {
        bool right = tide_forked(cx) && tide_run_tiles(cx, 8, 1e7, 0, count_tile, &t) == TIDE_EFORK;
        tide_close(cx); /* must not wait for threads that are not here */
        _exit(right ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_false(tide_forked(cx));
    cx->opener = (int32_t)getpid() + 1; /* where the page cannot be wiped, process ids tell */
    assert_true(tide_forked(cx));
    cx->opener = 0;
    run_counted(cx, &t, 8, 1e7, 0);
    tide_close(cx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_closing),
        cmocka_unit_test(test_open_fails),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_sites),
        cmocka_unit_test(test_alloc),
        cmocka_unit_test(test_grow),
        cmocka_unit_test(test_cap),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_fail_injection),
        cmocka_unit_test(test_remote_release),
        cmocka_unit_test(test_tiles),
        cmocka_unit_test(test_all_threads_run),
        cmocka_unit_test(test_host_parallel),
        cmocka_unit_test(test_cancelled),
#if defined(__x86_64__)
        cmocka_unit_test(test_fp_environment),
#endif
        cmocka_unit_test(test_scratch_fails),
        cmocka_unit_test(test_philox),
        cmocka_unit_test(test_blackbox_killed),
        cmocka_unit_test(test_blackbox_memory),
        cmocka_unit_test(test_blackbox_path),
        cmocka_unit_test(test_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
