/* What the readers stand on, as a fuzzer wants it: blocks of exactly the size asked for, an upper bound on
 * memory, and the input in place of files. Linked with core/io and without core/base. */
#include "fuzz.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static size_t live, limit = SIZE_MAX;
static const uint8_t *input;
static size_t ninput;

void fuzz_check(int ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "fuzz: not so: %s\n", what);
    abort();
}

void fuzz_begin(const uint8_t *data, size_t n, size_t factor) {
    input = data;
    ninput = n;
    limit = factor * n + (4 << 20); /* room for a block of cells */
    fuzz_check(live == 0, "nothing is left of the last input");
}

void fuzz_allow(size_t more) { limit += more; }

void fuzz_end(void) { fuzz_check(live == 0, "all memory was given back"); }

char *fuzz_copy(const uint8_t *data, size_t n) {
    char *p = malloc(n ? n : 1); /* ends where the input ends, and may be written to */
    fuzz_check(p != NULL, "memory for the input");
    if (n) memcpy(p, data, n);
    return p;
}

unsigned fuzz_sum(const void *p, size_t n) {
    unsigned sum = 0;
    for (size_t i = 0; i < n; i++) sum += ((const unsigned char *)p)[i];
    return sum;
}

tide_status tide_fail(tide_context *cx, tide_status code, const char *format, ...) {
    static char text[1024];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    fuzz_check(code != TIDE_OK, "an error has a code");
    return code;
}

tide_status tide_pending(const tide_context *cx) { return TIDE_EMEM; } /* asked only after a failure */

void *tide_alloc(tide_context *cx, size_t n) {
    void *p = NULL;
    fuzz_check(n <= limit && live + n <= limit, "memory is bounded by the size of the input");
    fuzz_check(!posix_memalign(&p, TIDE_ALIGN, n ? n : 1), "memory");
    live += n;
    return p;
}
void *tide_alloc0(tide_context *cx, size_t n) {
    void *p = tide_alloc(cx, n);
    memset(p, 0, n);
    return p;
}
void tide_release(tide_context *cx, void *p, size_t n) {
    if (!p) return;
    fuzz_check(n <= live, "no more is given back than was taken");
    live -= n;
    free(p);
}
tide_status tide_grow(tide_context *cx, void **p, int64_t *capacity, int64_t want, size_t size) {
    if (want <= *capacity) return TIDE_OK;
    int64_t n = want < 2 * *capacity ? 2 * *capacity : want < 8 ? 8 : want;
    void *q = tide_alloc(cx, (size_t)n * size);
    if (*p) memcpy(q, *p, (size_t)*capacity * size);
    tide_release(cx, *p, (size_t)*capacity * size);
    *p = q;
    *capacity = n;
    return TIDE_OK;
}

/* The linker puts these in place of those in core/io/file.c. */
tide_status __wrap_tide_map_open(tide_context *cx, const char *path, tide_map *m);
void __wrap_tide_map_close(tide_context *cx, tide_map *m);

tide_status __wrap_tide_map_open(tide_context *cx, const char *path, tide_map *m) {
    *m = (tide_map){.size = ninput};
    if (ninput) m->data = fuzz_copy(input, ninput);
    return TIDE_OK;
}
void __wrap_tide_map_close(tide_context *cx, tide_map *m) {
    free(m->data);
    *m = (tide_map){0};
}
