/* Tiles: on the calling thread, on the context's own threads, or through the host's `parallel` hook.
 *
 * How a list runs on own threads. The caller writes the list down and stores the number of tiles in `left`;
 * every thread claims tiles by counting `left` down, and reads the list only after a claim that succeeded, so a
 * worker that wakes late finds nothing, or joins the next list, and both are right. Workers count themselves in
 * `inside` before they claim; when the caller's own claim fails all tiles are claimed, and when `inside` is 0
 * all have run. */
#define _GNU_SOURCE
#include "base/context.h"
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define DESERVES_THREADS 1e6 /* scalar operations */
#define SPIN_NS 30000
#define HOST_BUFFERS 64
#define HOST_THREADS 64 /* as many distinct threads of the host are told apart */

typedef struct {
    void *p;
    size_t n;
} buffer;

typedef struct {
    tide_pool *pool;
    pthread_t thread;
    int index; /* of its scratch buffer; the caller has 0 */
} worker;

struct tide_pool {
    tide_context *cx;
    buffer *scratch; /* one a thread, or HOST_BUFFERS */
    int nscratch;
    worker *workers;
    int nworkers; /* running; -1: not yet started */

    /* the list */
    tide_tile_fn fn;
    void *arg;
    int ntiles;
    bool use_scratch;

    _Alignas(64) atomic_int left; /* tiles not yet claimed; claims past the end leave it negative */
    _Alignas(64) atomic_int inside;
    atomic_int caller_sleeps;
    _Alignas(64) atomic_int lists; /* counts up with each list: what workers wait for */
    atomic_int sleepers;
    atomic_bool quit;
    _Alignas(64) atomic_int ran; /* threads that ran a tile of the list */
    int most;                    /* the largest `ran` of all lists */
    atomic_bool cancelled;

    /* the host's threads */
    _Alignas(64) pthread_mutex_t lock;
    pthread_cond_t returned;
    int spare[HOST_BUFFERS], nspare;
    pthread_t host_thread[HOST_THREADS];
    int done;
};

/* ---- the floating-point environment: round to nearest, gradual underflow, no traps ---- */

#if defined(__x86_64__)
#define MXCSR_DEFAULT 0x1F80u
#define MXCSR_FLAGS 0x3Fu /* sticky, change nothing */
typedef unsigned fp_state;
static inline fp_state fp_enter(void) {
    unsigned host = _mm_getcsr();
    if ((host & ~MXCSR_FLAGS) != MXCSR_DEFAULT) _mm_setcsr(MXCSR_DEFAULT);
    return host;
}
static inline void fp_leave(fp_state host) {
    if ((host & ~MXCSR_FLAGS) != MXCSR_DEFAULT) _mm_setcsr(host);
}
static inline void pause_briefly(void) { _mm_pause(); }
#elif defined(__aarch64__)
typedef uint64_t fp_state;
static inline void fp_set(uint64_t fpcr) { __asm__ volatile("msr fpcr, %0" ::"r"(fpcr) : "memory"); }
static inline fp_state fp_enter(void) {
    uint64_t host;
    __asm__ volatile("mrs %0, fpcr" : "=r"(host));
    if (host) fp_set(0);
    return host;
}
static inline void fp_leave(fp_state host) {
    if (host) fp_set(host);
}
static inline void pause_briefly(void) { __asm__ volatile("yield"); }
#else
typedef int fp_state;
static inline fp_state fp_enter(void) { return 0; }
static inline void fp_leave(fp_state host) {}
static inline void pause_briefly(void) {}
#endif

/* ---- waiting: spin for a bounded time, then sleep ---- */

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* True as soon as *at is not `old`; false when the time is up. */
static bool spin_while(atomic_int *at, int old) {
    int64_t end = now_ns() + SPIN_NS;
    do {
        for (int i = 0; i < 32; i++) {
            if (atomic_load_explicit(at, memory_order_acquire) != old) return true;
            pause_briefly();
        }
    } while (now_ns() < end);
    return false;
}

static void sleep_while(atomic_int *at, int old) {
    syscall(SYS_futex, at, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
}

static void wake(atomic_int *at, int n) { syscall(SYS_futex, at, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0); }

/* A sleeper counts itself before the kernel compares *at once more, and a waker changes *at before it reads the
 * count: in the one order of all these (sequentially consistent), one of the two sees the other. */
static int next_list(tide_pool *pool, int seen) {
    if (!spin_while(&pool->lists, seen)) {
        atomic_fetch_add(&pool->sleepers, 1);
        while (atomic_load(&pool->lists) == seen) sleep_while(&pool->lists, seen);
        atomic_fetch_sub(&pool->sleepers, 1);
    }
    return atomic_load(&pool->lists);
}

static void announce_list(tide_pool *pool, int nthreads) {
    atomic_fetch_add(&pool->lists, 1);
    if (atomic_load(&pool->sleepers) > 0) wake(&pool->lists, nthreads);
}

static void leave(tide_pool *pool) {
    if (atomic_fetch_sub(&pool->inside, 1) == 1 && atomic_load(&pool->caller_sleeps)) wake(&pool->inside, 1);
}

static void wait_for_workers(tide_pool *pool) {
    for (int n; (n = atomic_load(&pool->inside)) > 0;) {
        if (spin_while(&pool->inside, n)) continue;
        atomic_store(&pool->caller_sleeps, 1);
        sleep_while(&pool->inside, n);
        atomic_store(&pool->caller_sleeps, 0);
    }
}

/* ---- own threads ---- */

/* From any thread. Once the host has said so, the whole list stops. */
static bool cancelled(tide_pool *pool) {
    if (!atomic_load_explicit(&pool->cancelled, memory_order_relaxed)) {
        if (!tide_cancelled(pool->cx)) return false;
        atomic_store_explicit(&pool->cancelled, true, memory_order_relaxed);
    }
    return true;
}

static void run_claimed(tide_pool *pool, int index) {
    bool ran = false;
    fp_state host = fp_enter();
    for (int left; (left = atomic_fetch_sub(&pool->left, 1)) > 0;) {
        if (cancelled(pool)) {
            atomic_exchange(&pool->left, 0);
            break;
        }
        pool->fn(pool->arg, pool->ntiles - left, pool->use_scratch ? pool->scratch[index].p : NULL);
        ran = true;
    }
    fp_leave(host);
    if (ran) atomic_fetch_add(&pool->ran, 1);
}

static void *worker_main(void *arg) {
    worker *self = arg;
    tide_pool *pool = self->pool;
    for (int seen = 0;;) {
        seen = next_list(pool, seen);
        if (atomic_load(&pool->quit)) return NULL;
        atomic_fetch_add(&pool->inside, 1);
        run_claimed(pool, self->index);
        leave(pool);
    }
}

/* As many as the system lets us have. Signals stay with the host's threads. */
static void start_workers(tide_pool *pool) {
    sigset_t all, old;
    pool->nworkers = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (int i = 0; i < pool->cx->threads - 1; i++) {
        worker *w = &pool->workers[i];
        *w = (worker){.pool = pool, .index = i + 1};
        if (pthread_create(&w->thread, NULL, worker_main, w)) break;
        pool->nworkers++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void run_on_workers(tide_pool *pool) {
    int nhelpers = pool->ntiles - 1 < pool->nworkers ? pool->ntiles - 1 : pool->nworkers;
    atomic_store(&pool->left, pool->ntiles); /* opens the list */
    announce_list(pool, nhelpers);
    run_claimed(pool, 0);
    wait_for_workers(pool);
}

/* ---- the host's threads ---- */

static int enter_host(tide_pool *pool) {
    pthread_t self = pthread_self();
    pthread_mutex_lock(&pool->lock);
    int ran = atomic_load(&pool->ran), i = 0;
    while (i < ran && !pthread_equal(pool->host_thread[i], self)) i++;
    if (i == ran && ran < HOST_THREADS) {
        pool->host_thread[ran] = self;
        atomic_store(&pool->ran, ran + 1);
    }
    while (!pool->nspare) pthread_cond_wait(&pool->returned, &pool->lock);
    int index = pool->spare[--pool->nspare];
    pthread_mutex_unlock(&pool->lock);
    return index;
}

static void leave_host(tide_pool *pool, int index) {
    pthread_mutex_lock(&pool->lock);
    pool->spare[pool->nspare++] = index;
    pool->done++;
    pthread_mutex_unlock(&pool->lock);
    pthread_cond_signal(&pool->returned);
}

static void host_tile(void *arg, int i) {
    tide_pool *pool = arg;
    if (cancelled(pool)) return;
    int index = enter_host(pool);
    fp_state host = fp_enter();
    pool->fn(pool->arg, i, pool->use_scratch ? pool->scratch[index].p : NULL);
    fp_leave(host);
    leave_host(pool, index);
}

static tide_status run_on_host(tide_pool *pool, int nbuffers) {
    const tide_config *config = &pool->cx->config;
    pool->done = 0;
    pool->nspare = nbuffers;
    for (int i = 0; i < nbuffers; i++) pool->spare[i] = i;
    config->parallel(config->ud, pool->ntiles, host_tile, pool);
    if (pool->done == pool->ntiles || atomic_load(&pool->cancelled)) return TIDE_OK;
    return tide_fail(pool->cx, TIDE_EARG, "the host's parallel hook ran %d of %d tiles", pool->done,
                     pool->ntiles);
}

/* ---- running a list ---- */

/* On the calling thread, before any tile runs: tiles never allocate. */
static tide_status grow_scratch(tide_pool *pool, int nbuffers, size_t size) {
    for (int i = 0; i < nbuffers; i++) {
        buffer *b = &pool->scratch[i];
        if (b->n >= size) continue;
        tide_release(pool->cx, b->p, b->n);
        *b = (buffer){0};
        if (!(b->p = tide_alloc(pool->cx, size))) return TIDE_EMEM;
        b->n = size;
    }
    return TIDE_OK;
}

bool tide_tile_cancelled(tide_context *cx) { return cancelled(cx->pool); }

static tide_status stopped(tide_context *cx) { return tide_fail(cx, TIDE_ECANCEL, "cancelled"); }

static tide_status run_here(tide_pool *pool, int ntiles, size_t scratch, tide_tile_fn fn, void *arg) {
    tide_context *cx = pool->cx;
    if (scratch && grow_scratch(pool, 1, scratch)) return TIDE_EMEM;
    void *bytes = scratch ? pool->scratch[0].p : NULL;
    int i = 0;
    fp_state host = fp_enter();
    atomic_store_explicit(&pool->cancelled, false, memory_order_relaxed);
    for (; i < ntiles && !cancelled(pool); i++) fn(arg, i, bytes);
    fp_leave(host);
    atomic_store_explicit(&pool->ran, i > 0, memory_order_relaxed);
    return atomic_load_explicit(&pool->cancelled, memory_order_relaxed) ? stopped(cx) : TIDE_OK;
}

tide_status tide_run_tiles(tide_context *cx, int ntiles, double work, size_t scratch, tide_tile_fn fn,
                           void *arg) {
    tide_pool *pool = cx->pool;
    bool by_host = cx->config.parallel;
    if (ntiles <= 1 || (work < DESERVES_THREADS && !cx->small_tiles) || (!by_host && cx->threads == 1))
        return run_here(pool, ntiles, scratch, fn, arg);
    if (tide_forked(cx)) return tide_fail(cx, TIDE_EFORK, "the context was opened before a fork");

    int nbuffers = pool->nscratch;
    if (by_host) {
        if (nbuffers > 2 * cx->threads) nbuffers = 2 * cx->threads;
        if (nbuffers > ntiles) nbuffers = ntiles;
    } else if (pool->nworkers < 0) {
        start_workers(pool);
    }
    if (scratch && grow_scratch(pool, nbuffers, scratch)) return TIDE_EMEM;
    pool->fn = fn;
    pool->arg = arg;
    pool->ntiles = ntiles;
    pool->use_scratch = scratch > 0;
    atomic_store(&pool->ran, 0);
    atomic_store(&pool->cancelled, false);
    tide_status status = TIDE_OK;
    if (by_host)
        status = run_on_host(pool, nbuffers);
    else
        run_on_workers(pool);
    int ran = atomic_load(&pool->ran);
    if (ran > pool->most) pool->most = ran;
    return atomic_load(&pool->cancelled) ? stopped(cx) : status;
}

int tide_threads(const tide_context *cx) { return cx->threads; }

int tide_threads_ran(const tide_context *cx) { return atomic_load(&cx->pool->ran); }

int tide_most_threads(const tide_context *cx) { return cx->pool->most; }

bool tide_small_tiles(const tide_context *cx) { return cx->small_tiles; }

/* ---- opening and closing ---- */

tide_status tide_pool_open(tide_context *cx) {
    tide_pool *pool = tide_alloc0(cx, sizeof(*pool));
    if (!pool) return TIDE_EMEM;
    pool->cx = cx;
    pool->nworkers = -1;
    pool->nscratch = cx->config.parallel ? HOST_BUFFERS : cx->threads;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->returned, NULL);
    cx->pool = pool;
    pool->scratch = tide_alloc0(cx, (size_t)pool->nscratch * sizeof(*pool->scratch));
    pool->workers = tide_alloc0(cx, (size_t)cx->threads * sizeof(*pool->workers));
    return pool->scratch && pool->workers ? TIDE_OK : TIDE_EMEM;
}

void tide_pool_close(tide_context *cx) {
    tide_pool *pool = cx->pool;
    atomic_store(&pool->quit, true);
    announce_list(pool, cx->threads);
    for (int i = 0; i < pool->nworkers; i++) pthread_join(pool->workers[i].thread, NULL);
    for (int i = 0; pool->scratch && i < pool->nscratch; i++)
        tide_release(cx, pool->scratch[i].p, pool->scratch[i].n);
    tide_release(cx, pool->scratch, (size_t)pool->nscratch * sizeof(*pool->scratch));
    tide_release(cx, pool->workers, (size_t)cx->threads * sizeof(*pool->workers));
    pthread_cond_destroy(&pool->returned);
    pthread_mutex_destroy(&pool->lock);
    tide_release(cx, pool, sizeof(*pool));
    cx->pool = NULL;
}
