/* Floor 0: what everything stands on. Status, memory, tiles, random keys, the black box. Knows no tensors. */
#ifndef TIDE_BASE_H
#define TIDE_BASE_H

#include "tide.h"
#include <stdbool.h>
#include <string.h>

#define TIDE_ALIGN 64

/* ---- status.c: the pending error ---- */

/* Keeps the first error; returns `code` so that `return tide_fail(...)` reads well. The text carries no "[op]"
 * prefix: tide_fail puts the name of the operation at the door (cx->opname) in front of it. */
tide_status tide_fail(tide_context *cx, tide_status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
tide_status tide_pending(const tide_context *cx); /* TIDE_OK if there is none */

/* ---- memory.c: every byte comes from the context's allocator and is counted ---- */

void *tide_alloc(tide_context *cx,
                 size_t n); /* 64-byte aligned, not zeroed; NULL: TIDE_EMEM is pending. n = 0 gives a block */
void *tide_alloc0(tide_context *cx, size_t n);          /* zeroed */
void tide_release(tide_context *cx, void *p, size_t n); /* n as allocated; NULL passes */
/* Grows an array of `size`-byte items to hold `want`; keeps *p on failure (TIDE_EMEM pending). */
tide_status tide_grow(tide_context *cx, void **p, int64_t *capacity, int64_t want, size_t size);

typedef struct tide_memory_stats {
    uint64_t live, cached, peak; /* bytes in use, kept for reuse, highest `live` */
    uint64_t allocs;             /* calls of the host's allocator so far */
} tide_memory_stats;
void tide_memory(const tide_context *cx, tide_memory_stats *out);

/* ---- pool.c: all CPU work is a list of tiles whose number and bounds depend on shapes only. Also where it is
 * one tile: a list asks whether the host cancels before it begins ---- */

/* One tile. `scratch`: the bytes asked for, 64-byte aligned, private to the tile while it runs, contents
 * undefined. */
typedef void (*tide_tile_fn)(void *arg, int tile, void *scratch);

/* Runs all tiles, on this thread, on the pool or through the host's `parallel` hook. `work` is a rough count of
 * scalar operations for the whole list: below ~1e6 no other thread is woken. Polls `cancelled` between tiles
 * (TIDE_ECANCEL). Each tile runs with the default floating-point environment (round to nearest, no FTZ/DAZ),
 * and the host's is restored. Tiles must not call tide_run_tiles, allocate, or fail. */
tide_status tide_run_tiles(tide_context *cx, int ntiles, double work, size_t scratch, tide_tile_fn fn,
                           void *arg);
/* For long tiles, from time to time, on any thread: true once the list was cancelled, which then fails; the
 * tile may end. */
bool tide_tile_cancelled(tide_context *cx);
int tide_threads(const tide_context *cx);
int tide_threads_ran(const tide_context *cx);  /* distinct threads that ran tiles of the last list */
int tide_most_threads(const tide_context *cx); /* most of any list; 0: every list ran on its caller alone */
bool tide_small_tiles(const tide_context *cx); /* TIDE_TILE=small: cut everything into many tiles (tests) */

/* ---- blackbox.c: the last operations, readable after SIGKILL ---- */

void tide_blackbox_note(tide_context *cx, const char *name, uint32_t site, int nshapes,
                        const tide_meta *const *shapes);

/* ---- isa.c: which instruction set the CPU kernels use ---- */

typedef enum { TIDE_ISA_BASELINE, TIDE_ISA_AVX2, TIDE_ISA_AVX512 } tide_isa;
tide_isa tide_cpu_isa(void); /* TIDE_ISA=baseline|avx2|avx512 lowers it; never above what the processor has */

#endif
