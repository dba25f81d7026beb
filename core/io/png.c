/* Every call of libpng. Its errors come back by longjmp, so all that a job has lies in one struct, which the
 * function that called setjmp only knows by its address. */
#include "io/image.h"
#include <stdio.h>

#ifdef TIDE_HAVE_PNG
#include <dlfcn.h>
#include <png.h>
#include <setjmp.h>

/* clang-format off */
#define EACH_FUNCTION(X) \
    X(create_read_struct) X(create_write_struct) X(create_info_struct) X(destroy_read_struct) \
    X(destroy_write_struct) X(set_read_fn) X(set_write_fn) X(error) X(read_info) X(get_IHDR) X(get_valid) \
    X(set_user_limits) X(set_chunk_malloc_max) X(set_keep_unknown_chunks) X(set_expand) X(set_scale_16) X(set_strip_alpha) \
    X(set_add_alpha) X(set_gray_to_rgb) X(set_rgb_to_gray) X(set_interlace_handling) X(read_update_info) \
    X(get_rowbytes) X(get_channels) X(read_row) X(read_end) X(set_IHDR) X(write_info) X(write_row) \
    X(write_end) X(get_libpng_ver)
/* clang-format on */

typedef struct {
    void *handle;
#define X(f) __typeof__(&(png_##f)) f;
    EACH_FUNCTION(X)
#undef X
} library;

static bool load(library *z) {
    bool all = true;
    z->handle = dlopen("libpng16.so.16", RTLD_NOW | RTLD_LOCAL);
    if (!z->handle) return false;
#define X(f) all = all && (*(void **)&z->f = dlsym(z->handle, "png_" #f));
    EACH_FUNCTION(X)
#undef X
    if (!all) dlclose(z->handle);
    return all;
}

typedef struct {
    library lib;
    tide_context *cx;
    png_structp png;
    png_infop info;
    jmp_buf out;
    char message[128];
    unsigned char *rows;
    size_t nrows;
    /* reading */
    const char *bytes;
    size_t n, at;
    int channels;
    tide_image_room room;
    void *arg;
    bool whole;   /* done to its end */
    bool refused; /* `message` says why; not malformed */
    /* writing */
    tide_writer *writer;
    const unsigned char *planes;
    int height, width;
} job;

/* The job of this thread: what libpng hands to its callbacks can only be asked for by a function of libpng. */
static __thread job *current;

static void on_error(png_structp png, png_const_charp text) {
    job *j = current;
    snprintf(j->message, sizeof j->message, "%s", text);
    longjmp(j->out, 1);
}
static void on_warning(png_structp png, png_const_charp text) {}

static void take(png_structp png, png_bytep to, size_t n) {
    job *j = current;
    if (n > j->n - j->at) j->lib.error(png, "it is cut off");
    memcpy(to, j->bytes + j->at, n);
    j->at += n;
}

static void give(png_structp png, png_bytep from, size_t n) { tide_writer_put(current->writer, from, n); }
static void flush(png_structp png) {}

static void refuse(job *j, const char *text) {
    j->refused = true;
    on_error(j->png, text);
}

/* 8 bits, and the channels that are wanted. */
static void convert(job *j, int kind) {
    const library *z = &j->lib;
    bool alpha = (kind & PNG_COLOR_MASK_ALPHA) || z->get_valid(j->png, j->info, PNG_INFO_tRNS);
    bool colour = kind & PNG_COLOR_MASK_COLOR, want_alpha = j->channels % 2 == 0,
         want_colour = j->channels >= 3;
    z->set_expand(j->png);
    z->set_scale_16(j->png);
    if (!j->channels) return;
    if (alpha && !want_alpha) z->set_strip_alpha(j->png);
    if (!alpha && want_alpha) z->set_add_alpha(j->png, 0xff, PNG_FILLER_AFTER);
    if (colour && !want_colour) z->set_rgb_to_gray(j->png, 1, 0.299, 0.587); /* ITU-R BT.601, as JPEG's */
    if (!colour && want_colour) z->set_gray_to_rgb(j->png);
}

static void read_image(job *j) {
    const library *z = &j->lib;
    png_uint_32 width, height;
    int depth, kind, interlaced;
    z->set_read_fn(j->png, NULL, take);
    z->set_user_limits(j->png, TIDE_IMAGE_PIXELS, TIDE_IMAGE_PIXELS);
    z->set_chunk_malloc_max(j->png, 8 << 20);
    /* Of no use here, and read whole, however long they claim to be: the limit only warns. */
    static const png_byte unused[] = "eXIf\0hIST\0iCCP\0iTXt\0pCAL\0sCAL\0sPLT\0tEXt\0zTXt";
    z->set_keep_unknown_chunks(j->png, PNG_HANDLE_CHUNK_NEVER, unused, sizeof unused / 5);
    z->read_info(j->png, j->info);
    z->get_IHDR(j->png, j->info, &width, &height, &depth, &kind, &interlaced, NULL, NULL);
    if ((uint64_t)width * height > TIDE_IMAGE_PIXELS) refuse(j, "more than 134217728 pixels");
    /* deflate makes at most 1032 bytes of one (zlib's technical notes): less cannot be the whole image */
    if ((uint64_t)z->get_rowbytes(j->png, j->info) * height / 1032 > j->n) on_error(j->png, "it is cut off");
    convert(j, kind);
    int passes = z->set_interlace_handling(j->png);
    z->read_update_info(j->png, j->info);
    int channels = z->get_channels(j->png, j->info);
    size_t row = z->get_rowbytes(j->png, j->info), plane = (size_t)width * height;
    if (row != (size_t)width * (size_t)channels) refuse(j, "no 8-bit image");
    unsigned char *to = j->room(j->arg, channels, (int)height, (int)width);
    if (!to) longjmp(j->out, 1);
    j->nrows = passes > 1 ? row * height : row;
    j->rows = tide_alloc(j->cx, j->nrows);
    if (!j->rows) longjmp(j->out, 1);
    for (int pass = 0; pass < passes; pass++)
        for (png_uint_32 y = 0; y < height; y++) {
            unsigned char *r = j->rows + (passes > 1 ? row * y : 0);
            z->read_row(j->png, r, NULL);
            if (pass == passes - 1) tide_image_spread(r, channels, (int)width, plane, to + (size_t)y * width);
        }
    z->read_end(j->png, NULL);
}

static void write_image(job *j) {
    const library *z = &j->lib;
    static const int kind[] = {PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB,
                               PNG_COLOR_TYPE_RGB_ALPHA};
    z->set_write_fn(j->png, NULL, give, flush);
    z->set_user_limits(j->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    z->set_IHDR(j->png, j->info, (png_uint_32)j->width, (png_uint_32)j->height, 8, kind[j->channels - 1],
                PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    z->write_info(j->png, j->info);
    j->nrows = (size_t)j->width * (size_t)j->channels;
    j->rows = tide_alloc(j->cx, j->nrows);
    if (!j->rows) longjmp(j->out, 1);
    for (int y = 0; y < j->height; y++) {
        tide_image_gather(j->planes + (size_t)y * (size_t)j->width, j->channels, j->width,
                          (size_t)j->height * (size_t)j->width, j->rows);
        z->write_row(j->png, j->rows);
    }
    z->write_end(j->png, NULL);
}

static void work(job *j) {
    const library *z = &j->lib;
    if (setjmp(j->out)) return;
    j->png = j->writer ? z->create_write_struct(PNG_LIBPNG_VER_STRING, NULL, on_error, on_warning)
                       : z->create_read_struct(PNG_LIBPNG_VER_STRING, NULL, on_error, on_warning);
    j->info = j->png ? z->create_info_struct(j->png) : NULL;
    if (!j->info)
        snprintf(j->message, sizeof j->message, "libpng could not begin");
    else if (j->writer)
        write_image(j);
    else
        read_image(j);
    j->whole = !*j->message;
}

static tide_status run(job *j, const char *name) {
    tide_context *cx = j->cx;
    if (!load(&j->lib)) return tide_fail(cx, TIDE_EUNSUP, "%s: PNG needs libpng, which was not found", name);
    job *outer = current;
    current = j;
    work(j);
    if (j->png) {
        if (j->writer)
            j->lib.destroy_write_struct(&j->png, &j->info);
        else
            j->lib.destroy_read_struct(&j->png, &j->info, NULL);
    }
    current = outer;
    tide_release(cx, j->rows, j->nrows);
    dlclose(j->lib.handle);
    if (j->whole) return TIDE_OK;
    if (!*j->message) return tide_pending(cx); /* no room */
    return tide_fail(cx, j->refused ? TIDE_EUNSUP : TIDE_EFORMAT, "%s: PNG: %s", name, j->message);
}

tide_status tide_png_read(tide_context *cx, const char *name, const char *bytes, size_t n, int channels,
                          tide_image_room room, void *arg) {
    job j = {.cx = cx, .bytes = bytes, .n = n, .channels = channels, .room = room, .arg = arg};
    return run(&j, name);
}

tide_status tide_png_write(tide_writer *w, const unsigned char *planes, int channels, int height, int width) {
    job j = {
        .cx = w->cx, .writer = w, .planes = planes, .channels = channels, .height = height, .width = width};
    return run(&j, w->path);
}

void tide_png_text(char *out, size_t n) {
    library z;
    if (load(&z)) {
        snprintf(out, n, "%s (loaded when needed)", z.get_libpng_ver(NULL));
        dlclose(z.handle);
    } else {
        snprintf(out, n, "not found at run time; PNG images are refused");
    }
}

#else

tide_status tide_png_read(tide_context *cx, const char *name, const char *bytes, size_t n, int channels,
                          tide_image_room room, void *arg) {
    return tide_fail(cx, TIDE_EUNSUP, "%s: PNG needs libpng, which this build is without", name);
}
tide_status tide_png_write(tide_writer *w, const unsigned char *planes, int channels, int height, int width) {
    return tide_fail(w->cx, TIDE_EUNSUP, "%s: PNG needs libpng, which this build is without", w->path);
}
void tide_png_text(char *out, size_t n) { snprintf(out, n, "not built in; PNG images are refused"); }

#endif
