/* Every call of libjpeg-turbo. Its errors come back by longjmp, as libpng's: see png.c. */
#include "io/image.h"
#include <stdio.h>

#ifdef TIDE_HAVE_JPEG
#include <dlfcn.h>
#include <jpeglib.h>
#include <jerror.h>
#include <setjmp.h>

#if JPEG_LIB_VERSION >= 80
#define SONAME "libjpeg.so.8"
#else
#define SONAME "libjpeg.so.62"
#endif

enum { MOST_SCANS = 200, PIECE = 16384 }; /* a progressive file of many scans takes time without end */

/* clang-format off */
#define EACH_FUNCTION(X) \
    X(std_error) X(CreateDecompress) X(CreateCompress) X(destroy) X(mem_src) X(read_header) \
    X(start_decompress) X(read_scanlines) X(finish_decompress) X(set_defaults) X(set_quality) \
    X(start_compress) X(write_scanlines) X(finish_compress)
/* clang-format on */

typedef struct {
    void *handle;
#define X(f) __typeof__(&(jpeg_##f)) f;
    EACH_FUNCTION(X)
#undef X
} library;

static bool load(library *z) {
    bool all = true;
    z->handle = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);
    if (!z->handle) return false;
#define X(f) all = all && (*(void **)&z->f = dlsym(z->handle, "jpeg_" #f));
    EACH_FUNCTION(X)
#undef X
    if (!all) dlclose(z->handle);
    return all;
}

typedef struct {
    struct jpeg_error_mgr errors; /* first: the library hands this back */
    struct jpeg_progress_mgr progress;
    struct jpeg_destination_mgr to;
    library lib;
    tide_context *cx;
    union {
        struct jpeg_common_struct any;
        struct jpeg_decompress_struct in;
        struct jpeg_compress_struct out;
    } u;
    jmp_buf leave;
    char message[JMSG_LENGTH_MAX];
    bool whole; /* done to its end */
    bool refused;
    unsigned char *row;
    size_t nrow;
    /* reading */
    const char *bytes;
    size_t n;
    int channels;
    tide_image_room room;
    void *arg;
    /* writing */
    tide_writer *writer;
    const unsigned char *planes;
    int height, width, quality;
    unsigned char piece[PIECE];
} job;

static job *job_of(j_common_ptr c) { return (job *)c->err; }

static void on_error(j_common_ptr c) {
    job *j = job_of(c);
    j->errors.format_message(c, j->message);
    longjmp(j->leave, 1);
}

/* A warning says that bytes are damaged and something was made up for them. Those that change no pixel pass. */
static void on_message(j_common_ptr c, int level) {
    int code = c->err->msg_code;
    if (level >= 0 || code == JWRN_EXTRANEOUS_DATA || code == JWRN_ADOBE_XFORM || code == JWRN_JFIF_MAJOR)
        return;
    on_error(c);
}
static void on_output(j_common_ptr c) {}

static void fail(job *j, bool refused, const char *text) {
    j->refused = refused;
    snprintf(j->message, sizeof j->message, "%s", text);
    longjmp(j->leave, 1);
}

static void on_progress(j_common_ptr c) {
    if (((j_decompress_ptr)c)->input_scan_number > MOST_SCANS) fail(job_of(c), true, "more than 200 scans");
}

static void read_image(job *j) {
    const library *z = &j->lib;
    struct jpeg_decompress_struct *d = &j->u.in;
    z->CreateDecompress(d, JPEG_LIB_VERSION, sizeof *d);
    j->progress.progress_monitor = on_progress;
    d->progress = &j->progress;
    z->mem_src(d, (const unsigned char *)j->bytes, j->n);
    z->read_header(d, TRUE);
    if ((uint64_t)d->image_width * d->image_height > TIDE_IMAGE_PIXELS)
        fail(j, true, "more than 134217728 pixels");
    if (d->num_components != 1 && d->num_components != 3)
        fail(j, true, "only grey and colour images, not CMYK");
    /* a block of 8 x 8 takes a bit at least, in Huffman's code */
    if (!d->arith_code && (uint64_t)d->image_width * d->image_height / 512 > j->n)
        fail(j, false, "it is cut off");
    int channels = j->channels ? j->channels : d->num_components;
    if (channels != 1 && channels != 3) fail(j, true, "a JPEG has no alpha: channels must be 1 or 3");
    d->out_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    z->start_decompress(d);
    int width = (int)d->output_width, height = (int)d->output_height;
    if (d->output_components != channels) fail(j, true, "unknown colours");
    unsigned char *to = j->room(j->arg, channels, height, width);
    if (!to) longjmp(j->leave, 1);
    j->nrow = (size_t)width * (size_t)channels;
    if (!(j->row = tide_alloc(j->cx, j->nrow))) longjmp(j->leave, 1);
    while (d->output_scanline < d->output_height) {
        size_t y = d->output_scanline;
        JSAMPROW row = j->row;
        z->read_scanlines(d, &row, 1);
        tide_image_spread(row, channels, width, (size_t)height * (size_t)width, to + y * (size_t)width);
    }
    z->finish_decompress(d);
}

static void begin_piece(j_compress_ptr c) {
    job *j = job_of((j_common_ptr)c);
    j->to.next_output_byte = j->piece;
    j->to.free_in_buffer = PIECE;
}
static boolean full_piece(j_compress_ptr c) {
    job *j = job_of((j_common_ptr)c);
    tide_writer_put(j->writer, j->piece, PIECE);
    begin_piece(c);
    return TRUE;
}
static void last_piece(j_compress_ptr c) {
    job *j = job_of((j_common_ptr)c);
    tide_writer_put(j->writer, j->piece, PIECE - j->to.free_in_buffer);
}

static void write_image(job *j) {
    const library *z = &j->lib;
    struct jpeg_compress_struct *c = &j->u.out;
    z->CreateCompress(c, JPEG_LIB_VERSION, sizeof *c);
    j->to = (struct jpeg_destination_mgr){
        .init_destination = begin_piece, .empty_output_buffer = full_piece, .term_destination = last_piece};
    c->dest = &j->to;
    c->image_width = (JDIMENSION)j->width;
    c->image_height = (JDIMENSION)j->height;
    c->input_components = j->channels;
    c->in_color_space = j->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    z->set_defaults(c);
    z->set_quality(c, j->quality, TRUE);
    z->start_compress(c, TRUE);
    j->nrow = (size_t)j->width * (size_t)j->channels;
    if (!(j->row = tide_alloc(j->cx, j->nrow))) longjmp(j->leave, 1);
    while (c->next_scanline < c->image_height) {
        JSAMPROW row = j->row;
        tide_image_gather(j->planes + (size_t)c->next_scanline * (size_t)j->width, j->channels, j->width,
                          (size_t)j->height * (size_t)j->width, row);
        z->write_scanlines(c, &row, 1);
    }
    z->finish_compress(c);
}

static void work(job *j) {
    j->lib.std_error(&j->errors);
    j->errors.error_exit = on_error;
    j->errors.emit_message = on_message;
    j->errors.output_message = on_output;
    j->u.any.err = &j->errors;
    if (setjmp(j->leave)) return;
    if (j->writer)
        write_image(j);
    else
        read_image(j);
    j->whole = true;
}

static tide_status run(job *j, const char *name) {
    tide_context *cx = j->cx;
    if (!load(&j->lib))
        return tide_fail(cx, TIDE_EUNSUP, "%s: JPEG needs libjpeg-turbo, which was not found", name);
    work(j);
    j->lib.destroy(&j->u.any);
    tide_release(cx, j->row, j->nrow);
    dlclose(j->lib.handle);
    if (j->whole) return TIDE_OK;
    if (!*j->message) return tide_pending(cx); /* no room */
    return tide_fail(cx, j->refused ? TIDE_EUNSUP : TIDE_EFORMAT, "%s: JPEG: %s", name, j->message);
}

tide_status tide_jpeg_read(tide_context *cx, const char *name, const char *bytes, size_t n, int channels,
                           tide_image_room room, void *arg) {
    job j = {.cx = cx, .bytes = bytes, .n = n, .channels = channels, .room = room, .arg = arg};
    return run(&j, name);
}

tide_status tide_jpeg_write(tide_writer *w, const unsigned char *planes, int channels, int height, int width,
                            int quality) {
    job j = {.cx = w->cx,
             .writer = w,
             .planes = planes,
             .channels = channels,
             .height = height,
             .width = width,
             .quality = quality};
    if (height > JPEG_MAX_DIMENSION || width > JPEG_MAX_DIMENSION)
        return tide_fail(w->cx, TIDE_EUNSUP, "%s: JPEG holds at most 65500 rows and columns", w->path);
    return run(&j, w->path);
}

void tide_jpeg_text(char *out, size_t n) {
    library z;
    if (load(&z)) {
        snprintf(out, n, "found, interface %d (loaded when needed)", JPEG_LIB_VERSION);
        dlclose(z.handle);
    } else {
        snprintf(out, n, "not found at run time; JPEG images are refused");
    }
}

#else

tide_status tide_jpeg_read(tide_context *cx, const char *name, const char *bytes, size_t n, int channels,
                           tide_image_room room, void *arg) {
    return tide_fail(cx, TIDE_EUNSUP, "%s: JPEG needs libjpeg-turbo, which this build is without", name);
}
tide_status tide_jpeg_write(tide_writer *w, const unsigned char *planes, int channels, int height, int width,
                            int quality) {
    return tide_fail(w->cx, TIDE_EUNSUP, "%s: JPEG needs libjpeg-turbo, which this build is without", w->path);
}
void tide_jpeg_text(char *out, size_t n) { snprintf(out, n, "not built in; JPEG images are refused"); }

#endif
