/* Opening and closing a context: hooks and their defaults, the floors' base parts, detection of a fork. */
#define _GNU_SOURCE
#include "base/context.h"
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_THREADS 1024

/* Large blocks begin on a huge page. Two blocks at other distances can share what a processor tells lines of
 * its first cache apart by (on Zen, address bits 12 and 27 together): reading both then misses at every line.
 * (AdamW over 30 M parameters: 60 -> 20 ms.) */
#define HUGE ((size_t)2 << 20)

static void *default_alloc(void *ud, void *p, size_t from, size_t to, size_t align) {
    void *q = NULL;
    if (to >= HUGE && align < HUGE) align = HUGE;
    if (to && posix_memalign(&q, align < sizeof(void *) ? sizeof(void *) : align, to)) return NULL;
#ifdef MADV_HUGEPAGE
    /* Fewer faults, and a column of a matrix no longer misses the TLB at every row. */
    if (to >= HUGE) (void)madvise(q, to & ~(HUGE - 1), MADV_HUGEPAGE);
#endif
    if (q && p) memcpy(q, p, from < to ? from : to);
    free(p);
    return q;
}

static int processors(void) {
    cpu_set_t set;
    /* fails where the system has more processors than the set has bits */
    if (!sched_getaffinity(0, sizeof(set), &set)) return CPU_COUNT(&set);
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

static int thread_count(int wish) {
    const char *env = getenv("TIDE_THREADS");
    long n = wish;
    if (n <= 0 && env) n = strtol(env, NULL, 10);
    if (n <= 0) n = processors();
    return n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : (int)n;
}

/* A page that the kernel zeroes in a forked child; without that, tide_forked compares process ids. */
static bool watch_forks(tide_context *cx) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return false;
    if (madvise(p, page, MADV_WIPEONFORK)) cx->opener = (int32_t)getpid();
    *p = 1;
    cx->alive = p;
    return true;
}

bool tide_forked(const tide_context *cx) {
    return !*cx->alive || (cx->opener && cx->opener != (int32_t)getpid());
}

tide_status tide_open(const tide_config *config, tide_context **out) {
    tide_config full = {.size = sizeof(full)};
    *out = NULL;
    if (config) { /* an older host's struct is shorter, a newer one's longer */
        if (config->size < sizeof(config->size)) return TIDE_EARG;
        memcpy(&full, config, config->size < sizeof(full) ? config->size : sizeof(full));
        full.size = sizeof(full);
    }
    if (!full.alloc) full.alloc = default_alloc;

    tide_context *cx = full.alloc(full.ud, NULL, 0, sizeof(*cx), TIDE_ALIGN);
    if (!cx) return TIDE_EMEM;
    memset(cx, 0, sizeof(*cx));
    const char *tile = getenv("TIDE_TILE");
    cx->config = full;
    cx->small_tiles = tile && !strcmp(tile, "small");
    cx->isa = tide_cpu_isa();
    cx->threads = thread_count(full.threads);
    cx->seed = full.seed;
    cx->heap = tide_heap_open(&full);

    tide_status status = cx->heap && watch_forks(cx) ? TIDE_OK : TIDE_EMEM;
    if (!status) status = tide_pool_open(cx);
    if (!status) status = tide_blackbox_open(cx);
    if (status) {
        tide_close(cx);
        return status;
    }
    *out = cx;
    return TIDE_OK;
}

void tide_close(tide_context *cx) {
    /* In a forked child the threads to join do not exist, locks may be held for ever, and the ring file is the
     * parent's: everything is left as it is. */
    if (!cx || (cx->alive && tide_forked(cx))) return;
    while (cx->nclosing > cx->nlasting) cx->closing[--cx->nclosing](cx);
    if (cx->box) tide_blackbox_close(cx);
    if (cx->pool) tide_pool_close(cx);
    cx->closed = true;
    if (cx->in_use && cx->in_use(cx)) return;
    while (cx->nclosing > 0) cx->closing[--cx->nclosing](cx);
    if (cx->sites) tide_sites_free(cx);
    if (cx->alive) munmap((void *)(uintptr_t)cx->alive, (size_t)sysconf(_SC_PAGESIZE));
    if (cx->heap) tide_heap_close(cx->heap);
    cx->config.alloc(cx->config.ud, cx, sizeof(*cx), 0, TIDE_ALIGN);
}

void tide_manual_seed(tide_context *cx, uint64_t seed) {
    cx->seed = seed;
    cx->rng_calls = 0;
}
