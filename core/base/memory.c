/* The heap of a context. Blocks come in size classes with one free list each, so that a block used before costs
 * a few ns. Small ones are cut from slabs; large ones come singly from the host's allocator and are kept when
 * released, up to a cap. Only the owner's thread touches the lists; other threads leave blocks on a locked list
 * that it collects. */
#include "base/context.h"
#include <pthread.h>

/* 64-byte steps to 1 KiB, then four classes per power of two, to 128 TiB. */
#define STEP 64u
#define NSTEPS 16u
#define STEPS_LOG2 10u
#define LARGEST_LOG2 47u
#define NCLASSES (NSTEPS + 4 * (LARGEST_LOG2 - STEPS_LOG2))

#define SLAB ((size_t)64 << 10)  /* its size and alignment: a block finds its slab by masking */
#define FIRST_LARGE (NSTEPS + 8) /* the first class above 4 KiB */
#define CACHE_FLOOR ((uint64_t)256 << 20)

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)0)
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)0)
#endif

typedef struct block { /* a free block */
    struct block *next;
    size_t size; /* as released; on the remote list only */
} block;

typedef struct slab { /* the first TIDE_ALIGN bytes of a slab */
    struct slab *next;
    uint32_t nblocks, nfree; /* nfree is counted by trimming */
} slab;

struct tide_heap {
    block *free[NCLASSES];
    uint64_t asked[NCLASSES]; /* when last a block of the class was asked for, by `clock` */
    uint64_t clock;
    uint64_t live, held, peak, allocs; /* held: all that came from the host: live and cached */
    uint64_t nblocks;                  /* blocks out */
    slab *slabs;
    void *(*alloc)(void *ud, void *p, size_t from, size_t to, size_t align);
    void *ud;
    size_t limit;
    bool pressing; /* inside tide_press */

    pthread_mutex_t lock; /* of what follows; of everything once closed */
    block *remote;        /* released by other threads */
    bool closed;
};

static inline unsigned class_of(size_t n) {
    if (n <= NSTEPS * STEP) return n ? (unsigned)((n - 1) / STEP) : 0;
    unsigned top = 63u - (unsigned)__builtin_clzll(n - 1);
    return NSTEPS + 4 * (top - STEPS_LOG2) + ((n - 1) >> (top - 2) & 3);
}

static inline size_t class_size(unsigned c) {
    if (c < NSTEPS) return (size_t)(c + 1) * STEP;
    c -= NSTEPS;
    return (size_t)(5 + c % 4) << (STEPS_LOG2 - 2 + c / 4);
}

static slab *slab_of(block *b) { return (slab *)((uintptr_t)b & ~(uintptr_t)(SLAB - 1)); }

/* ---- the lists ---- */

static inline void push(tide_heap *heap, block *b, unsigned c) {
    b->next = heap->free[c];
    heap->free[c] = b;
    ASAN_POISON_MEMORY_REGION(b + 1, class_size(c) - sizeof(*b));
}

static inline void *take(tide_heap *heap, unsigned c, size_t n) {
    block *b = heap->free[c];
    heap->free[c] = b->next;
    heap->asked[c] = ++heap->clock;
    heap->live += class_size(c);
    if (heap->live > heap->peak) heap->peak = heap->live;
    heap->nblocks++;
    ASAN_UNPOISON_MEMORY_REGION(b, n);
    return b;
}

static inline void put(tide_heap *heap, block *b, unsigned c) {
    heap->live -= class_size(c);
    heap->nblocks--;
    push(heap, b, c);
}

/* ---- to and from the host ---- */

static void *from_host(tide_heap *heap, size_t size, size_t align) {
    if (heap->limit && (heap->held > heap->limit || size > heap->limit - heap->held)) return NULL;
    void *p = heap->alloc(heap->ud, NULL, 0, size, align);
    heap->allocs++;
    if (p) heap->held += size;
    return p;
}

static void to_host(tide_heap *heap, void *p, size_t size, size_t align) {
    ASAN_UNPOISON_MEMORY_REGION(p, size);
    heap->alloc(heap->ud, p, size, 0, align);
    heap->held -= size;
}

/* A new slab, cut into blocks of class c in the order of their addresses. */
static void cut(tide_heap *heap, slab *s, unsigned c) {
    size_t size = class_size(c), n = (SLAB - TIDE_ALIGN) / size;
    *s = (slab){.next = heap->slabs, .nblocks = (uint32_t)n};
    heap->slabs = s;
    for (size_t i = n; i-- > 0;) push(heap, (block *)((char *)s + TIDE_ALIGN + i * size), c);
}

static void trim_large(tide_heap *heap, unsigned c) {
    block *b = heap->free[c];
    heap->free[c] = b->next;
    to_host(heap, b, class_size(c), TIDE_ALIGN);
}

/* Slabs without a block out go back: count each slab's free blocks, take those of empty slabs off the lists. */
static void trim_slabs(tide_heap *heap) {
    for (slab *s = heap->slabs; s; s = s->next) s->nfree = 0;
    for (unsigned c = 0; c < FIRST_LARGE; c++) {
        for (block *b = heap->free[c]; b; b = b->next) slab_of(b)->nfree++;
    }
    for (unsigned c = 0; c < FIRST_LARGE; c++) {
        for (block **at = &heap->free[c]; *at;) {
            slab *s = slab_of(*at);
            if (s->nfree == s->nblocks)
                *at = (*at)->next;
            else
                at = &(*at)->next;
        }
    }
    for (slab **at = &heap->slabs; *at;) {
        slab *s = *at;
        if (s->nfree == s->nblocks) {
            *at = s->next;
            to_host(heap, s, SLAB, SLAB);
        } else {
            at = &s->next;
        }
    }
}

void tide_heap_trim(tide_heap *heap) {
    for (unsigned c = FIRST_LARGE; c < NCLASSES; c++) {
        while (heap->free[c]) trim_large(heap, c);
    }
    trim_slabs(heap);
}

/* Over the cap, the sizes that have not been asked for longest go first: shapes of the past make room. */
static void keep_cap(tide_heap *heap) {
    uint64_t cap = heap->live / 4 > CACHE_FLOOR ? heap->live / 4 : CACHE_FLOOR;
    while (heap->held - heap->live > cap) {
        unsigned oldest = NCLASSES;
        for (unsigned c = FIRST_LARGE; c < NCLASSES; c++) {
            if (heap->free[c] && (oldest == NCLASSES || heap->asked[c] < heap->asked[oldest])) oldest = c;
        }
        if (oldest == NCLASSES) return;
        trim_large(heap, oldest);
    }
}

/* ---- blocks released by other threads ---- */

static void collect(tide_heap *heap, block *b) {
    while (b) {
        block *next = b->next;
        put(heap, b, class_of(b->size));
        b = next;
    }
    keep_cap(heap);
}

static void drain(tide_heap *heap) {
    pthread_mutex_lock(&heap->lock);
    block *b = heap->remote;
    heap->remote = NULL;
    pthread_mutex_unlock(&heap->lock);
    if (b) collect(heap, b);
}

static void destroy(tide_heap *heap) {
    tide_heap_trim(heap);
    pthread_mutex_destroy(&heap->lock);
    heap->alloc(heap->ud, heap, sizeof(*heap), 0, TIDE_ALIGN);
}

tide_heap *tide_heap_open(const tide_config *config) {
    tide_heap *heap = config->alloc(config->ud, NULL, 0, sizeof(*heap), TIDE_ALIGN);
    if (!heap) return NULL;
    memset(heap, 0, sizeof(*heap));
    heap->alloc = config->alloc;
    heap->ud = config->ud;
    heap->limit = config->memory_limit;
    pthread_mutex_init(&heap->lock, NULL);
    return heap;
}

void tide_heap_close(tide_heap *heap) {
    pthread_mutex_lock(&heap->lock);
    collect(heap, heap->remote);
    heap->remote = NULL;
    tide_heap_trim(heap);
    heap->closed = true;
    bool last = !heap->nblocks;
    pthread_mutex_unlock(&heap->lock);
    if (last) destroy(heap);
}

void tide_heap_release(tide_heap *heap, tide_context *cx, void *p, size_t n) {
    block *b = p;
    bool last = false;
    if (!p) return;
    if (cx && cx->heap == heap) {
        tide_release(cx, p, n);
        return;
    }
    pthread_mutex_lock(&heap->lock);
    if (heap->closed) { /* a small block waits in its slab for the last one */
        unsigned c = class_of(n);
        put(heap, b, c);
        if (c >= FIRST_LARGE) trim_large(heap, c);
        last = !heap->nblocks;
    } else {
        *b = (block){.next = heap->remote, .size = n};
        heap->remote = b;
    }
    pthread_mutex_unlock(&heap->lock);
    if (last) destroy(heap);
}

/* ---- the context's own blocks ---- */

/* The list of class c is empty. */
static __attribute__((noinline)) void *alloc_slow(tide_context *cx, unsigned c, size_t n) {
    tide_heap *heap = cx->heap;
    bool small = c < FIRST_LARGE;
    size_t size = small ? SLAB : class_size(c), align = small ? SLAB : TIDE_ALIGN;
    for (bool pressed = false;; pressed = true) {
        drain(heap);
        if (!heap->free[c]) {
            void *fresh = from_host(heap, size, align);
            if (!fresh) {
                uint64_t held = heap->held;
                tide_heap_trim(heap);
                if (heap->held < held) fresh = from_host(heap, size, align);
            }
            if (fresh && small) cut(heap, fresh, c);
            if (fresh && !small) push(heap, fresh, c);
        }
        if (heap->free[c]) return take(heap, c, n);
        if (pressed || heap->pressing || !tide_can_press(cx)) return NULL;
        heap->pressing = true;
        tide_press(cx, cx->handle_only_bytes);
        heap->pressing = false;
    }
}

static __attribute__((noinline, cold)) void out_of_memory(tide_context *cx, size_t n) {
    const tide_heap *heap = cx->heap;
    unsigned long long live = heap->live;
    char held[640] = "";
    if (cx->error) return;
    if (cx->holders) cx->holders(cx, held, sizeof(held));
    if (heap->limit) {
        tide_fail(cx, TIDE_EMEM, "out of memory: %zu bytes wanted, %llu in use, limit %zu%s", n, live,
                  heap->limit, held);
    } else {
        tide_fail(cx, TIDE_EMEM, "out of memory: %zu bytes wanted, %llu in use%s", n, live, held);
    }
}

void *tide_alloc(tide_context *cx, size_t n) {
    void *p = NULL;
    if (n <= (size_t)1 << LARGEST_LOG2) {
        unsigned c = class_of(n);
        p = cx->heap->free[c] ? take(cx->heap, c, n) : alloc_slow(cx, c, n);
    }
    if (!p) out_of_memory(cx, n);
    return p;
}

void *tide_alloc0(tide_context *cx, size_t n) {
    void *p = tide_alloc(cx, n);
    if (p) memset(p, 0, n);
    return p;
}

void tide_release(tide_context *cx, void *p, size_t n) {
    if (!p) return;
    unsigned c = class_of(n);
    put(cx->heap, p, c);
    if (c >= FIRST_LARGE) keep_cap(cx->heap);
}

tide_status tide_grow(tide_context *cx, void **p, int64_t *capacity, int64_t want, size_t size) {
    if (want <= *capacity) return TIDE_OK;
    int64_t n = *capacity < INT64_MAX / 2 && want < 2 * *capacity ? 2 * *capacity : want < 8 ? 8 : want;
    size_t bytes;
    if (__builtin_mul_overflow((size_t)n, size, &bytes)) bytes = SIZE_MAX;
    void *q = tide_alloc(cx, bytes);
    if (!q) return TIDE_EMEM;
    if (*p) {
        memcpy(q, *p, (size_t)*capacity * size);
        tide_release(cx, *p, (size_t)*capacity * size);
    }
    *p = q;
    *capacity = n;
    return TIDE_OK;
}

void tide_memory(const tide_context *cx, tide_memory_stats *out) {
    tide_heap *heap = cx->heap;
    drain(heap);
    *out = (tide_memory_stats){
        .live = heap->live, .cached = heap->held - heap->live, .peak = heap->peak, .allocs = heap->allocs};
}
