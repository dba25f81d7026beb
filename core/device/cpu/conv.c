/* Convolutions as matrix products over the patches of images (im2col), a few images at a time so that the
 * patches stay in the cache. */
#include "device/cpu/conv.h"
#include "device/cpu/gemm.h"
#include "base/context.h"

#define CHUNK_BYTES (4 << 20) /* of patches */
#define TILE_WORK 32768       /* elements worth a tile */

/* The patches of one image: ic * kh * kw rows, one a place in the kernel, of oh * ow columns. */
typedef struct {
    const tide_conv *d;
    const char *from;
    char *to;
    int64_t size, channels; /* of an element; to a tile */
    int64_t planes;         /* images * channels */
    int64_t places;         /* oh * ow */
    int64_t kernel;         /* kh * kw */
} patches;

static int64_t tile_count(int64_t n, int64_t each) { return (n + each - 1) / each; }

/* Which of n results read inside `size` positions at one place of the kernel, `shift` behind the first: [*a,
 * *b). */
static void inside(int64_t n, int64_t size, int64_t shift, int64_t stride, int64_t *a, int64_t *b) {
    int64_t last = size - 1 - shift; /* result * stride lies in [-shift, last] */
    *a = shift < 0 ? (-shift + stride - 1) / stride : 0;
    *b = last < 0 ? 0 : last / stride + 1;
    if (*b > n) *b = n;
    if (*a > *b) *a = *b;
}

/* Rows are short: pieces of 16 bytes, the last one overlapping, take less than a call of memcpy. */
static void copy_row(char *to, const char *from, int64_t bytes) {
    if (bytes >= 16) {
        for (int64_t i = 0; i + 16 < bytes; i += 16) memcpy(to + i, from + i, 16);
        memcpy(to + bytes - 16, from + bytes - 16, 16);
    } else {
        for (int64_t i = 0; i < bytes; i += 4) memcpy(to + i, from + i, 4);
    }
}

/* One place of the kernel: the plane as it is seen from there, zero outside. */
#define SPREAD(T)                                                                                   \
    for (int64_t oy = r0; oy < r1; oy++) {                                                          \
        const T *src = (const T *)(const void *)plane + (oy * d->stride_h + down) * d->w + right;   \
        T *row = (T *)(void *)to + oy * d->ow;                                                      \
        if (d->stride_w == 1)                                                                       \
            copy_row((char *)(row + c0), (const char *)(src + c0), (c1 - c0) * (int64_t)sizeof(T)); \
        else                                                                                        \
            for (int64_t ox = c0; ox < c1; ox++) row[ox] = src[ox * d->stride_w];                   \
    }
#define CLEAR_COLUMNS(T, first, end)         \
    for (int64_t ox = first; ox < end; ox++) \
        for (int64_t oy = r0; oy < r1; oy++) ((T *)(void *)to)[oy * d->ow + ox] = 0;

static void spread(const patches *p, const char *plane, char *to) {
    const tide_conv *d = p->d;
    const int64_t line = d->ow * p->size;
    const bool whole =
        d->stride_h == 1 && d->stride_w == 1 && d->ow == d->w; /* all rows are one piece, shifted */
    for (int64_t i = 0; i < d->kh; i++) {
        int64_t r0, r1, down = i * d->dilation_h - d->top;
        inside(d->oh, d->h, down, d->stride_h, &r0, &r1);
        for (int64_t j = 0; j < d->kw; j++, to += p->places * p->size) {
            int64_t c0, c1, right = j * d->dilation_w - d->left;
            inside(d->ow, d->w, right, d->stride_w, &c0, &c1);
            if (r0 > 0) memset(to, 0, (size_t)(r0 * line));
            if (r1 < d->oh) memset(to + r1 * line, 0, (size_t)((d->oh - r1) * line));
            if (r0 < r1 && c0 < c1) {
                if (whole)
                    memcpy(to + (r0 * d->ow + c0) * p->size,
                           plane + ((r0 + down) * d->w + right + c0) * p->size,
                           (size_t)(((r1 - r0 - 1) * d->w + c1 - c0) * p->size));
                else if (p->size == 4)
                    SPREAD(uint32_t)
                else
                    SPREAD(uint64_t)
            }
            if (p->size == 4) {
                CLEAR_COLUMNS(uint32_t, 0, c0)
                CLEAR_COLUMNS(uint32_t, c1, d->ow)
            } else {
                CLEAR_COLUMNS(uint64_t, 0, c0)
                CLEAR_COLUMNS(uint64_t, c1, d->ow)
            }
        }
    }
}

typedef float float_lanes __attribute__((vector_size(16), aligned(4), may_alias));
typedef double double_lanes __attribute__((vector_size(16), aligned(8), may_alias));
#define LANES(T) (int64_t)(16 / sizeof(T))

/* The opposite: adds every place of the kernel into the plane, one after the other. */
#define GATHER(T)                                                               \
    for (int64_t i = 0; i < d->kh; i++) {                                       \
        int64_t r0, r1, down = i * d->dilation_h - d->top;                      \
        inside(d->oh, d->h, down, d->stride_h, &r0, &r1);                       \
        for (int64_t j = 0; j < d->kw; j++, from += d->oh * d->ow) {            \
            int64_t c0, c1, right = j * d->dilation_w - d->left;                \
            inside(d->ow, d->w, right, d->stride_w, &c0, &c1);                  \
            for (int64_t oy = r0; oy < r1; oy++) {                              \
                T *row = plane + (oy * d->stride_h + down) * d->w + right;      \
                const T *src = from + oy * d->ow;                               \
                int64_t ox = c0;                                                \
                for (; d->stride_w == 1 && ox + LANES(T) <= c1; ox += LANES(T)) \
                    *(T##_lanes *)(row + ox) += *(const T##_lanes *)(src + ox); \
                for (; ox < c1; ox++) row[ox * d->stride_w] += src[ox];         \
            }                                                                   \
        }                                                                       \
    }
static void gather_f32(const tide_conv *d, const float *from, float *plane) { GATHER(float) }
static void gather_f64(const tide_conv *d, const double *from, double *plane) { GATHER(double) }

static void spread_tile(void *arg, int tile, void *scratch) {
    const patches *p = arg;
    int64_t c = tile * p->channels, end = c + p->channels < p->planes ? c + p->channels : p->planes;
    for (; c < end; c++)
        spread(p, p->from + c * p->d->h * p->d->w * p->size, p->to + c * p->kernel * p->places * p->size);
}
static void gather_tile(void *arg, int tile, void *scratch) {
    const patches *p = arg;
    int64_t c = tile * p->channels, end = c + p->channels < p->planes ? c + p->channels : p->planes,
            plane = p->d->h * p->d->w;
    for (; c < end; c++) {
        const void *from = p->from + c * p->kernel * p->places * p->size;
        void *to = p->to + c * plane * p->size;
        memset(to, 0, (size_t)(plane * p->size));
        if (p->size == 4)
            gather_f32(p->d, from, to);
        else
            gather_f64(p->d, from, to);
    }
}

/* Moves between images and their patches. */
static tide_status move(tide_context *cx, const tide_conv *d, int64_t size, int64_t images, const void *from,
                        void *to, bool back) {
    patches p = {.d = d,
                 .from = from,
                 .to = to,
                 .size = size,
                 .planes = images * d->ic,
                 .places = d->oh * d->ow,
                 .kernel = d->kh * d->kw};
    int64_t each = p.kernel * p.places, work = tide_small_tiles(cx) ? 1 : TILE_WORK;
    p.channels = each < work ? work / (each > 0 ? each : 1) : 1;
    double all = (double)p.planes * (double)each;
    return tide_run_tiles(cx, (int)tile_count(p.planes, p.channels), 2 * all, 0,
                          back ? gather_tile : spread_tile, &p);
}

/* What a run needs besides: patches of some images at a time. */
typedef struct {
    int64_t size, kg, og, places; /* element; rows of patches and of results in a group; columns */
    int64_t chunk;                /* images at a time */
    bool direct;                  /* the image is its own patches: kernel 1 x 1, and every place is used */
    size_t bytes;
    char *patch;
} plan;

static tide_status prepare(tide_context *cx, const tide_conv *d, tide_dtype dtype, plan *p) {
    *p = (plan){.size = dtype == TIDE_F32 ? 4 : 8,
                .kg = d->ic / d->groups * d->kh * d->kw,
                .og = d->oc / d->groups,
                .places = d->oh * d->ow,
                .chunk = d->n};
    p->direct = d->kh == 1 && d->kw == 1 && d->stride_h == 1 && d->stride_w == 1 && !d->top && !d->left &&
                !d->bottom && !d->right;
    if (p->direct) return TIDE_OK;
    int64_t image = d->groups * p->kg * p->places * p->size;
    p->chunk = image > 0 ? CHUNK_BYTES / image : d->n;
    if (tide_small_tiles(cx)) p->chunk = 2;
    if (p->chunk < 1) p->chunk = 1;
    if (p->chunk > d->n) p->chunk = d->n;
    p->bytes = (size_t)(p->chunk * image);
    p->patch = tide_alloc(cx, p->bytes);
    return p->patch ? TIDE_OK : TIDE_EMEM;
}
static void finish(tide_context *cx, plan *p) { tide_release(cx, p->patch, p->bytes); }

/* Where the weights of each product's group begin: products are image after image, group after group. */
static tide_status group_offsets(tide_context *cx, const tide_conv *d, const plan *p, int64_t **off) {
    *off = NULL;
    if (d->groups == 1) return TIDE_OK;
    *off = tide_alloc(cx, (size_t)(p->chunk * d->groups) * sizeof **off);
    if (!*off) return TIDE_EMEM;
    for (int64_t z = 0; z < p->chunk * d->groups; z++) (*off)[z] = z % d->groups * p->og * p->kg;
    return TIDE_OK;
}
static void group_offsets_end(tide_context *cx, const tide_conv *d, const plan *p, int64_t *off) {
    tide_release(cx, off, off ? (size_t)(p->chunk * d->groups) * sizeof *off : 0);
}

/* Results begin as the bias. */
#define BEGIN(T)                                                          \
    for (int64_t c = 0; c < d->n * d->oc; c++) {                          \
        T *plane = (T *)y + c * places, b = ((const T *)bias)[c % d->oc]; \
        for (int64_t i = 0; i < places; i++) plane[i] = b;                \
    }
static void begin(const tide_conv *d, int64_t places, tide_dtype dtype, const void *bias, void *y) {
    switch (dtype) {
    case TIDE_F32: BEGIN(float) break;
    case TIDE_F64: BEGIN(double) break;
    default: BEGIN(int64_t) break;
    }
}

tide_status tide_conv_run(tide_context *cx, const tide_conv *d, tide_dtype dtype, const void *x, const void *w,
                          const void *bias, void *y) {
    plan p;
    int64_t *off = NULL;
    tide_status e = prepare(cx, d, dtype, &p);
    if (!e) e = group_offsets(cx, d, &p, &off);
    if (!e && bias) begin(d, p.places, dtype, bias, y);
    for (int64_t i = 0; i < d->n && !e; i += p.chunk) {
        int64_t images = d->n - i < p.chunk ? d->n - i : p.chunk;
        const char *image = (const char *)x + i * d->ic * d->h * d->w * p.size;
        if (!p.direct) e = move(cx, d, p.size, images, image, p.patch, false);
        tide_gemm g = {.m = p.og,
                       .n = p.places,
                       .k = p.kg,
                       .batch = images * d->groups,
                       .dtype = (uint8_t)dtype,
                       .accumulate = bias != NULL,
                       .a = w,
                       .a_row = p.kg,
                       .a_col = 1,
                       .a_off = off,
                       .b = p.direct ? image : p.patch,
                       .b_row = p.places,
                       .b_col = 1,
                       .b_batch = p.kg * p.places,
                       .c = (char *)y + i * d->oc * p.places * p.size,
                       .c_row = p.places,
                       .c_batch = p.og * p.places};
        if (!e) e = tide_gemm_run(cx, &g);
    }
    group_offsets_end(cx, d, &p, off);
    finish(cx, &p);
    return e;
}

tide_status tide_conv_run_input(tide_context *cx, const tide_conv *d, tide_dtype dtype, const void *gy,
                                const void *w, void *gx) {
    plan p;
    int64_t *off = NULL;
    tide_status e = prepare(cx, d, dtype, &p);
    if (!e) e = group_offsets(cx, d, &p, &off);
    for (int64_t i = 0; i < d->n && !e; i += p.chunk) {
        int64_t images = d->n - i < p.chunk ? d->n - i : p.chunk;
        char *image = (char *)gx + i * d->ic * d->h * d->w * p.size;
        tide_gemm g = {.m = p.kg,
                       .n = p.places,
                       .k = p.og,
                       .batch = images * d->groups,
                       .dtype = (uint8_t)dtype,
                       .a = w,
                       .a_row = 1,
                       .a_col = p.kg,
                       .a_off = off,
                       .b = (const char *)gy + i * d->oc * p.places * p.size,
                       .b_row = p.places,
                       .b_col = 1,
                       .b_batch = p.og * p.places,
                       .c = p.direct ? image : p.patch,
                       .c_row = p.places,
                       .c_batch = p.kg * p.places};
        e = tide_gemm_run(cx, &g);
        if (!e && !p.direct) e = move(cx, d, p.size, images, p.patch, image, true);
    }
    group_offsets_end(cx, d, &p, off);
    finish(cx, &p);
    return e;
}

/* ---- the weights' gradient: a product for each image, added in order ---- */

typedef struct {
    const plan *p;
    int64_t groups, images, each;
    const char *part; /* (images, groups, kg, og) */
    char *gw;         /* (groups, og, kg) */
} sum;

#define ADD_PARTS(T)                                                              \
    for (int64_t e = first; e < end; e++) {                                       \
        int64_t k = e % kg, o = e / kg % og, g = e / (kg * og);                   \
        T acc = ((T *)(void *)s->gw)[e];                                          \
        const T *part = (const T *)(const void *)s->part + (g * kg + k) * og + o; \
        for (int64_t i = 0; i < s->images; i++) acc += part[i * all];             \
        ((T *)(void *)s->gw)[e] = acc;                                            \
    }
static void sum_tile(void *arg, int tile, void *scratch) {
    const sum *s = arg;
    int64_t kg = s->p->kg, og = s->p->og, all = s->groups * kg * og, first = tile * s->each,
            end = first + s->each < all ? first + s->each : all;
    if (s->p->size == 4) {
        ADD_PARTS(float)
    } else {
        ADD_PARTS(double)
    }
}

tide_status tide_conv_run_weight(tide_context *cx, const tide_conv *d, tide_dtype dtype, const void *gy,
                                 const void *x, void *gw) {
    plan p;
    tide_status e = prepare(cx, d, dtype, &p);
    int64_t all = d->oc * p.kg, parts = d->n < p.chunk ? d->n : p.chunk;
    int64_t most = all > 0 ? CHUNK_BYTES / (all * p.size) : parts; /* images whose products are kept */
    if (parts > most) parts = most > 0 ? most : 1;
    size_t bytes = (size_t)(parts * all * p.size);
    char *part = e ? NULL : tide_alloc(cx, bytes);
    if (!part) e = tide_pending(cx);
    memset(gw, 0, (size_t)(all * p.size));
    for (int64_t i = 0; i < d->n && !e; i += parts) {
        int64_t images = d->n - i < parts ? d->n - i : parts;
        const char *image = (const char *)x + i * d->ic * d->h * d->w * p.size;
        if (!p.direct) e = move(cx, d, p.size, images, image, p.patch, false);
        tide_gemm g = {.m = p.kg,
                       .n = p.og,
                       .k = p.places,
                       .batch = images * d->groups,
                       .dtype = (uint8_t)dtype,
                       .a = p.direct ? image : p.patch,
                       .a_row = p.places,
                       .a_col = 1,
                       .a_batch = p.kg * p.places,
                       .b = (const char *)gy + i * d->oc * p.places * p.size,
                       .b_row = 1,
                       .b_col = p.places,
                       .b_batch = p.og * p.places,
                       .c = part,
                       .c_row = p.og,
                       .c_batch = p.kg * p.og};
        if (!e) e = tide_gemm_run(cx, &g);
        sum s = {&p,   d->groups, images, tide_small_tiles(cx) ? 8 : 1 + TILE_WORK / (images > 0 ? images : 1),
                 part, gw};
        if (!e)
            e = tide_run_tiles(cx, (int)tile_count(all, s.each), (double)all * (double)images, 0, sum_tile, &s);
    }
    tide_release(cx, part, bytes);
    finish(cx, &p);
    return e;
}
