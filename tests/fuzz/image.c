#include "io/image.h"
#include "fuzz.h"
#include <stdlib.h>

typedef struct {
    unsigned char *pixels;
    size_t n;
} target;

static unsigned char *room(void *arg, int channels, int height, int width) {
    target *t = arg;
    fuzz_check(!t->pixels && channels > 0 && channels <= 4 && height > 0 && width > 0,
               "one image of some size");
    t->n = (size_t)channels * (size_t)height * (size_t)width;
    t->pixels = tide_alloc(NULL, t->n);
    memset(t->pixels, 0, t->n);
    return t->pixels;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    int channels = n > 0 ? data[n - 1] % 5 : 0; /* the last byte says how; readers stop before it */
    target t = {0};
    char *bytes = fuzz_copy(data, n);
    fuzz_begin(data, n,
               1032 * 8 * 4 * 2); /* deflate's most, bits to bytes, a palette's RGBA, interlaced rows */
    if (!tide_image_read(NULL, "input", bytes, n, channels, room, &t)) fuzz_sum(t.pixels, t.n);
    tide_release(NULL, t.pixels, t.n);
    fuzz_end();
    free(bytes);
    return 0;
}
