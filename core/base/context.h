/* The context owns everything: hooks, the pending error, memory, threads, random keys, and the state of the
 * upper floors, which is opaque here. */
#ifndef TIDE_CONTEXT_H
#define TIDE_CONTEXT_H

#include "base/base.h"

typedef struct tide_heap tide_heap;   /* memory.c; outlives the context while storages shared with others do */
typedef struct tide_pool tide_pool;   /* pool.c */
typedef struct tide_box tide_box;     /* blackbox.c */
typedef struct tide_sites tide_sites; /* status.c: interned file:line */

/* What the language above the core hooks in, besides the host's own hooks, which stay as they were given. */
typedef struct {
    void *ud;
    int (*cancelled)(void *ud);
    void (*pressure)(void *ud, size_t handle_only_bytes);
} tide_above;

struct tide_context {
    tide_config config; /* every hook that the host left out has its default here, except
                           parallel/cancelled/pressure/log */
    tide_above above;
    tide_heap *heap;
    tide_pool *pool;
    tide_box *box;
    tide_sites *sites;

    tide_status error; /* pending, with its text */
    char error_text[1024];
    const char *opname; /* the operation at the door now, or NULL */

    uint32_t site;                 /* where the caller's program stands */
    const volatile uint8_t *alive; /* reads 1; 0 in a forked child (page wiped on fork) */
    int32_t opener;                /* the opener's process where the system cannot wipe `alive`, else 0 */
    bool small_tiles;
    tide_isa isa;
    int threads;
    uint64_t seed;
    uint64_t rng_calls; /* random operations so far: the second half of their key */

    size_t handle_only_bytes; /* tensor/ keeps it up to date; config.pressure is told */

    /* Upper floors keep their state here; each sets and frees its own through `closing`. */
    struct tide_tensors *tensors;           /* tensor/: live tensors, scopes, bytes held by handles only */
    struct tide_door *door;                 /* op/: observers, program cache */
    struct tide_cpu *cpu;                   /* device/cpu/ */
    struct tide_tape *tape;                 /* autograd/ */
    struct tide_trace *trace;               /* trace/ */
    void (*closing[8])(tide_context *);     /* called by tide_close, last registered first */
    int nclosing, nlasting;                 /* the first `nlasting` wait until nothing is in use any more */
    bool (*in_use)(const tide_context *cx); /* tensor/: tensors are alive; NULL: no */
    bool whole;                             /* what runs now is finished, whoever cancels */
    bool closed;                            /* by its owner; the last tensor calls tide_close again */
    /* tensor/: the biggest holders of memory as lines, for the error that memory is out; may be NULL */
    void (*holders)(tide_context *cx, char *buffer, size_t n);
};

const char *tide_site_text(const tide_context *cx, uint32_t site); /* "train.lua:12", "" for site 0 */
bool tide_forked(const tide_context *cx);                          /* this process is a child of the opener */
void tide_sites_free(tide_context *cx);                            /* status.c; tide_close calls it */

static inline bool tide_cancelled(const tide_context *cx) { /* from any thread */
    return !cx->whole && ((cx->config.cancelled && cx->config.cancelled(cx->config.ud)) ||
                          (cx->above.cancelled && cx->above.cancelled(cx->above.ud)));
}
static inline bool tide_can_press(const tide_context *cx) { return cx->config.pressure || cx->above.pressure; }
static inline void tide_press(tide_context *cx, size_t handle_only_bytes) {
    if (cx->config.pressure) cx->config.pressure(cx->config.ud, handle_only_bytes);
    if (cx->above.pressure) cx->above.pressure(cx->above.ud, handle_only_bytes);
}

/* memory.c */
tide_heap *tide_heap_open(const tide_config *config);
void tide_heap_close(tide_heap *heap); /* frees what is cached; blocks still out are freed when released */
void tide_heap_release(tide_heap *heap, tide_context *cx, void *p,
                       size_t n);     /* cx: the releasing context, may not be the heap's */
void tide_heap_trim(tide_heap *heap); /* gives cached blocks back to the host */

/* pool.c, blackbox.c */
tide_status tide_pool_open(tide_context *cx);
void tide_pool_close(tide_context *cx);
tide_status tide_blackbox_open(tide_context *cx); /* config.blackbox NULL: memory only */
void tide_blackbox_close(tide_context *cx);       /* removes the file: a clean end leaves none */
/* As tide_blackbox_read, of the context's own ring, which may be in memory only. */
int tide_blackbox_dump(const tide_context *cx, void (*line)(void *arg, const char *text), void *arg);

#endif
