/* Images as bytes: PNG by libpng and JPEG by libjpeg-turbo, which are loaded when they are first needed. Pixels
 * are 8 bits, in planes: channels x height x width. */
#ifndef TIDE_IMAGE_H
#define TIDE_IMAGE_H

#include "io/file.h"

enum { TIDE_IMAGE_PIXELS = 1 << 27 }; /* larger images are refused: a small file may claim any size */

/* Called once, when the size is known: room for channels * height * width bytes, or NULL with an error
 * pending. */
typedef unsigned char *(*tide_image_room)(void *arg, int channels, int height, int width);

/* Decodes the n bytes of a file (`name` is for errors). channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA; 0:
 * as the file has them (palettes are expanded). TIDE_EFORMAT: malformed or cut off; TIDE_EUNSUP: no such kind
 * here, too large, or the library is missing. Memory beyond the image itself: the rows of an interlaced PNG,
 * the coefficients of a progressive JPEG, and less than 16 MiB. */
tide_status tide_image_read(tide_context *cx, const char *name, const char *bytes, size_t n, int channels,
                            tide_image_room room, void *arg);
tide_status tide_png_read(tide_context *cx, const char *name, const char *bytes, size_t n, int channels,
                          tide_image_room room, void *arg);
tide_status tide_jpeg_read(tide_context *cx, const char *name, const char *bytes, size_t n, int channels,
                           tide_image_room room, void *arg);

/* Encodes planes into an open writer, which keeps the failures of the disk. */
tide_status tide_png_write(tide_writer *w, const unsigned char *planes, int channels, int height, int width);
tide_status tide_jpeg_write(tide_writer *w, const unsigned char *planes, int channels, int height, int width,
                            int quality);

/* One row: interleaved to planes and back; `plane` is height * width. */
static inline void tide_image_spread(const unsigned char *row, int channels, int width, size_t plane,
                                     unsigned char *to) {
    for (int c = 0; c < channels; c++)
        for (int x = 0; x < width; x++) to[(size_t)c * plane + (size_t)x] = row[x * channels + c];
}
static inline void tide_image_gather(const unsigned char *from, int channels, int width, size_t plane,
                                     unsigned char *row) {
    for (int c = 0; c < channels; c++)
        for (int x = 0; x < width; x++) row[x * channels + c] = from[(size_t)c * plane + (size_t)x];
}

void tide_png_text(char *out, size_t n); /* for tide_parts */
void tide_jpeg_text(char *out, size_t n);

#endif
