/* PNG and JPEG. The libraries themselves are not built for fuzzing: this tries how Tide calls them. */
#include "io/image.h"
#include "fuzz.h"
#include <stdlib.h>

typedef struct {
    int calls;
    size_t size;
    unsigned char *pixels;
} target;

static unsigned char *room(void *arg, int channels, int height, int width) {
    target *t = arg;
    fuzz_check(!t->calls++, "room is asked for once");
    fuzz_check(channels >= 1 && channels <= 4 && height > 0 && width > 0, "an image has a size");
    fuzz_check((int64_t)height * width <= TIDE_IMAGE_PIXELS, "large images are refused");
    if ((int64_t)height * width > 1 << 20) return NULL; /* as if memory were out: keeps inputs quick */
    t->size = (size_t)channels * (size_t)height * (size_t)width;
    return t->pixels = malloc(t->size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    target t = {0};
    int channels = n ? data[n - 1] % 5 : 0;
    char *bytes = fuzz_copy(data, n);
    fuzz_begin(data, n, 0);
    fuzz_allow(32 << 20); /* rows of interlaced images */
    if (!tide_image_read(NULL, "input", bytes, n, channels, room, &t)) fuzz_sum(t.pixels, t.size);
    fuzz_end();
    free(t.pixels);
    free(bytes);
    return 0;
}
