/* Which kind of image the bytes are. */
#include "io/image.h"

tide_status tide_image_read(tide_context *cx, const char *name, const char *bytes, size_t n, int channels,
                            tide_image_room room, void *arg) {
    if (n >= 8 && !memcmp(bytes, "\x89PNG\r\n\x1a\n", 8))
        return tide_png_read(cx, name, bytes, n, channels, room, arg);
    if (n >= 3 && !memcmp(bytes, "\xff\xd8\xff", 3))
        return tide_jpeg_read(cx, name, bytes, n, channels, room, arg);
    return tide_fail(cx, TIDE_EFORMAT, "%s: neither PNG nor JPEG", name);
}
