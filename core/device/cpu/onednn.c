/* Every call of oneDNN (C API 2.x) is in this file. The library is loaded when it is first wanted and never
 * unloaded, which its OpenMP runtime would not survive. */
#include "device/cpu/onednn.h"
#include "base/context.h"
#include <stdio.h>

#ifdef TIDE_HAVE_DNNL
#include <dlfcn.h>
#include <dnnl.h>
#include <stdatomic.h>
#include <stdlib.h>

#define CACHED 64
#define MOST_GROUPS 16 /* tiles of a weight gradient, each with a sum of its own */

/* clang-format off */
#define EACH_FUNCTION(X) \
    X(dnnl_version) X(dnnl_get_effective_cpu_isa) X(dnnl_engine_create) X(dnnl_engine_destroy) \
    X(dnnl_stream_create) X(dnnl_stream_destroy) X(dnnl_primitive_attr_create) \
    X(dnnl_primitive_attr_destroy) X(dnnl_primitive_attr_set_scratchpad_mode) \
    X(dnnl_memory_desc_init_by_strides) X(dnnl_memory_desc_get_size) X(dnnl_matmul_desc_init) \
    X(dnnl_dilated_convolution_forward_desc_init) \
    X(dnnl_dilated_convolution_backward_data_desc_init) \
    X(dnnl_dilated_convolution_backward_weights_desc_init) X(dnnl_primitive_desc_create) \
    X(dnnl_primitive_desc_query_md) X(dnnl_primitive_desc_destroy) X(dnnl_primitive_create) \
    X(dnnl_primitive_execute) X(dnnl_primitive_destroy) X(dnnl_memory_create) X(dnnl_memory_destroy)
/* clang-format on */

typedef struct {
#define X(f) __typeof__(&f) f;
    EACH_FUNCTION(X)
#undef X
    void (*omp_set_num_threads)(int);
    int (*omp_get_max_threads)(void);
} library;

typedef enum { MATMUL = 1, CONV, CONV_DATA, CONV_WEIGHTS } kind;

/* All of what a primitive depends on: compared with memcmp, so zeroed first. */
typedef struct {
    int64_t kind, bias;
    int64_t m, n, k, a_row, a_col, b_row, b_col;
    tide_conv conv;
} shape;

enum { MOST_OPERANDS = 4 };

struct tide_dnnl_primitive {
    shape shape;
    const library *lib;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t primitive;
    int noperands;
    int operand[MOST_OPERANDS]; /* DNNL_ARG_... */
    dnnl_memory_desc_t desc[MOST_OPERANDS], scratch_desc;
    size_t scratch;
    uint64_t used;
};

struct tide_cpu {
    library lib;
    bool there;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    uint64_t clock;
    tide_dnnl_primitive cache[CACHED];
};

/* ---- loading ---- */

static void close_library(tide_context *cx) {
    struct tide_cpu *cpu = cx->cpu;
    for (int i = 0; i < CACHED; i++)
        if (cpu->cache[i].primitive) cpu->lib.dnnl_primitive_destroy(cpu->cache[i].primitive);
    if (cpu->stream) cpu->lib.dnnl_stream_destroy(cpu->stream);
    if (cpu->engine) cpu->lib.dnnl_engine_destroy(cpu->engine);
    tide_release(cx, cpu, sizeof(*cpu));
    cx->cpu = NULL;
}

static bool load(library *lib) {
    const char *wish = getenv("TIDE_ONEDNN");
    if (wish && !strcmp(wish, "0")) return false;
    void *handle = dlopen("libdnnl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!handle) return false;
#define X(f) \
    if (!(*(void **)&lib->f = dlsym(handle, #f))) return false;
    EACH_FUNCTION(X)
    X(omp_set_num_threads)
    X(omp_get_max_threads)
#undef X
    return true;
}

/* NULL where oneDNN is not to be had. */
static struct tide_cpu *get(tide_context *cx) {
    if (!cx->cpu) {
        struct tide_cpu *cpu = cx->cpu = tide_alloc0(cx, sizeof(*cpu));
        if (!cpu) return NULL;
        cx->closing[cx->nclosing++] = close_library;
        cpu->there = load(&cpu->lib) && !cpu->lib.dnnl_engine_create(&cpu->engine, dnnl_cpu, 0) &&
                     !cpu->lib.dnnl_stream_create(&cpu->stream, cpu->engine, dnnl_stream_default_flags);
    }
    return cx->cpu->there ? cx->cpu : NULL;
}

bool tide_dnnl_there(tide_context *cx) { return get(cx); }

void tide_dnnl_text(tide_context *cx, char *text, size_t n) {
    static const struct {
        int isa;
        const char *name;
    } names[] = {
        {dnnl_cpu_isa_sse41, "sse41"},
        {dnnl_cpu_isa_avx, "avx"},
        {dnnl_cpu_isa_avx2, "avx2"},
        {dnnl_cpu_isa_avx2_vnni, "avx2_vnni"},
        {dnnl_cpu_isa_avx512_core, "avx512_core"},
        {dnnl_cpu_isa_avx512_core_vnni, "avx512_core_vnni"},
        {dnnl_cpu_isa_avx512_core_bf16, "avx512_core_bf16"},
        {dnnl_cpu_isa_avx512_core_amx, "avx512_core_amx"},
    };
    struct tide_cpu *cpu = get(cx);
    if (!cpu) {
        snprintf(text, n, "oneDNN not found");
        return;
    }
    const dnnl_version_t *v = cpu->lib.dnnl_version();
    const int isa = (int)cpu->lib.dnnl_get_effective_cpu_isa();
    const char *name = "generic";
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (names[i].isa == isa) name = names[i].name;
    snprintf(text, n, "oneDNN %d.%d.%d, %s", v->major, v->minor, v->patch, name);
}

bool tide_dnnl_fast_bf16(tide_context *cx) {
    if (cx->isa < TIDE_ISA_AVX512) return false;
    struct tide_cpu *cpu = get(cx);
    if (!cpu) return false;
    const int isa = (int)cpu->lib.dnnl_get_effective_cpu_isa();
    return (isa & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
}

/* ---- primitives ---- */

typedef union {
    dnnl_matmul_desc_t matmul;
    dnnl_convolution_desc_t conv;
} operation;

static bool describe(const library *lib, dnnl_memory_desc_t *md, int ndims, const dnnl_dims_t dims,
                     dnnl_data_type_t type) {
    dnnl_dims_t strides;
    int64_t stride = 1;
    for (int i = ndims; i-- > 0; stride *= dims[i]) strides[i] = stride;
    return !lib->dnnl_memory_desc_init_by_strides(md, ndims, dims, type, strides);
}

static bool describe_matmul(const library *lib, tide_dnnl_primitive *p, operation *op) {
    const shape *s = &p->shape;
    const dnnl_dims_t a = {s->m, s->k}, b = {s->k, s->n}, a_stride = {s->a_row, s->a_col},
                      b_stride = {s->b_row, s->b_col};
    const dnnl_dims_t c = {s->m, s->n};
    p->operand[0] = DNNL_ARG_SRC, p->operand[1] = DNNL_ARG_WEIGHTS, p->operand[2] = DNNL_ARG_DST;
    p->noperands = 3;
    return !lib->dnnl_memory_desc_init_by_strides(&p->desc[0], 2, a, dnnl_bf16, a_stride) &&
           !lib->dnnl_memory_desc_init_by_strides(&p->desc[1], 2, b, dnnl_bf16, b_stride) &&
           describe(lib, &p->desc[2], 2, c, dnnl_f32) &&
           !lib->dnnl_matmul_desc_init(&op->matmul, &p->desc[0], &p->desc[1], NULL, &p->desc[2]);
}

static bool describe_conv(const library *lib, tide_dnnl_primitive *p, operation *op) {
    const tide_conv *d = &p->shape.conv;
    const bool grouped = d->groups > 1;
    const dnnl_dims_t x = {d->n, d->ic, d->h, d->w}, y = {d->n, d->oc, d->oh, d->ow}, bias = {d->oc};
    const dnnl_dims_t w = {d->oc, d->ic, d->kh, d->kw};
    const dnnl_dims_t w_grouped = {d->groups, d->oc / d->groups, d->ic / d->groups, d->kh, d->kw};
    const dnnl_dims_t stride = {d->stride_h, d->stride_w}, dilation = {d->dilation_h - 1, d->dilation_w - 1};
    const dnnl_dims_t before = {d->top, d->left}, after = {d->bottom, d->right};
    dnnl_memory_desc_t *mx = &p->desc[0], *mw = &p->desc[1], *my = &p->desc[2],
                       *mb = p->shape.bias ? &p->desc[3] : NULL;
    if (!describe(lib, mx, 4, x, dnnl_f32) ||
        !describe(lib, mw, grouped ? 5 : 4, grouped ? w_grouped : w, dnnl_f32) ||
        !describe(lib, my, 4, y, dnnl_f32) || !describe(lib, &p->desc[3], 1, bias, dnnl_f32))
        return false;
    p->noperands = mb ? 4 : 3;
    const dnnl_alg_kind_t direct = dnnl_convolution_direct;
    switch (p->shape.kind) {
    case CONV:
        memcpy(p->operand, (int[]){DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_BIAS},
               sizeof(p->operand));
        return !lib->dnnl_dilated_convolution_forward_desc_init(&op->conv, dnnl_forward_training, direct, mx,
                                                                mw, mb, my, stride, dilation, before, after);
    case CONV_DATA:
        memcpy(p->operand, (int[]){DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST, 0},
               sizeof(p->operand));
        return !lib->dnnl_dilated_convolution_backward_data_desc_init(&op->conv, direct, mx, mw, my, stride,
                                                                      dilation, before, after);
    default:
        memcpy(p->operand, (int[]){DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_BIAS},
               sizeof(p->operand));
        return !lib->dnnl_dilated_convolution_backward_weights_desc_init(&op->conv, direct, mx, mw, mb, my,
                                                                         stride, dilation, before, after);
    }
}

/* The caller gives the scratchpad: the library's own belongs to the thread that made the primitive. */
static bool create(tide_dnnl_primitive *p) {
    const library *lib = p->lib;
    operation op;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t desc = NULL;
    bool made = false;
    if (!(p->shape.kind == MATMUL ? describe_matmul(lib, p, &op) : describe_conv(lib, p, &op))) return false;
    if (!lib->dnnl_primitive_attr_create(&attr) &&
        !lib->dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user) &&
        !lib->dnnl_primitive_desc_create(&desc, &op, attr, p->engine, NULL)) {
        p->scratch_desc = *lib->dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0);
        p->scratch = lib->dnnl_memory_desc_get_size(&p->scratch_desc);
        made = !lib->dnnl_primitive_create(&p->primitive, desc);
    }
    if (desc) lib->dnnl_primitive_desc_destroy(desc);
    if (attr) lib->dnnl_primitive_attr_destroy(attr);
    return made;
}

/* From the cache, else in place of what was not used for longest. NULL: there is no such primitive. */
static const tide_dnnl_primitive *find(tide_context *cx, const shape *s) {
    struct tide_cpu *cpu = get(cx);
    if (!cpu) return NULL;
    tide_dnnl_primitive *p = cpu->cache;
    cpu->clock++;
    for (int i = 0; i < CACHED; i++) {
        tide_dnnl_primitive *q = &cpu->cache[i];
        if (q->used && !memcmp(&q->shape, s, sizeof(*s))) {
            q->used = cpu->clock;
            return q->primitive ? q : NULL;
        }
        if (q->used < p->used) p = q;
    }
    if (p->primitive) cpu->lib.dnnl_primitive_destroy(p->primitive);
    memset(p, 0, sizeof(*p));
    p->shape = *s, p->lib = &cpu->lib, p->engine = cpu->engine, p->stream = cpu->stream, p->used = cpu->clock;
    const int threads = cpu->lib.omp_get_max_threads();
    cpu->lib.omp_set_num_threads(1);
    const bool made = create(p);
    cpu->lib.omp_set_num_threads(threads);
    if (!made) p->primitive = NULL; /* remembered as impossible */
    return made ? p : NULL;
}

/* Memory objects are made for each run: cheap beside it, and no two threads share one. */
static bool run(const tide_dnnl_primitive *p, void *const *data, void *scratch) {
    const library *lib = p->lib;
    dnnl_exec_arg_t args[MOST_OPERANDS + 1];
    int n = 0;
    bool good = true;
    for (; good && n <= p->noperands; n++) {
        const bool last = n == p->noperands;
        args[n] = (dnnl_exec_arg_t){.arg = last ? DNNL_ARG_SCRATCHPAD : p->operand[n]};
        good = !lib->dnnl_memory_create(&args[n].memory, last ? &p->scratch_desc : &p->desc[n], p->engine,
                                        last ? scratch : data[n]);
    }
    if (good) {
        const int threads = lib->omp_get_max_threads();
        lib->omp_set_num_threads(1);
        good = !lib->dnnl_primitive_execute(p->primitive, p->stream, n, args);
        lib->omp_set_num_threads(threads);
    }
    while (n-- > 0)
        if (args[n].memory) lib->dnnl_memory_destroy(args[n].memory);
    return good;
}

/* ---- products ---- */

const tide_dnnl_primitive *tide_dnnl_matmul(tide_context *cx, int64_t m, int64_t n, int64_t k, int64_t a_row,
                                            int64_t a_col, int64_t b_row, int64_t b_col) {
    const bool a_plain = (a_col == 1 && a_row >= k) || (a_row == 1 && a_col >= m);
    const bool b_plain = (b_col == 1 && b_row >= n) || (b_row == 1 && b_col >= k);
    if (!a_plain || !b_plain) return NULL;
    shape s;
    memset(&s, 0, sizeof(s));
    s.kind = MATMUL, s.m = m, s.n = n, s.k = k, s.a_row = a_row, s.a_col = a_col, s.b_row = b_row,
    s.b_col = b_col;
    return find(cx, &s);
}

size_t tide_dnnl_scratch(const tide_dnnl_primitive *p) { return p->scratch; }

bool tide_dnnl_run_matmul(const tide_dnnl_primitive *p, const void *a, const void *b, float *c, void *scratch) {
    void *data[] = {(void *)a, (void *)b, c};
    return run(p, data, scratch);
}

/* ---- convolutions: tiles of images ---- */

typedef struct {
    const tide_dnnl_primitive *full, *rest; /* for `images`, and for what the last tile has */
    int64_t images, n;
    const float *data[MOST_OPERANDS];
    int64_t step[MOST_OPERANDS]; /* elements from one tile's operand to the next one's */
    atomic_bool failed;
} images;

static void image_tile(void *arg, int tile, void *scratch) {
    images *v = arg;
    void *data[MOST_OPERANDS];
    for (int i = 0; i < MOST_OPERANDS; i++)
        data[i] = v->data[i] ? (void *)(v->data[i] + tile * v->step[i]) : NULL;
    const bool full = (tile + 1) * v->images <= v->n;
    if (!run(full ? v->full : v->rest, data, scratch))
        atomic_store_explicit(&v->failed, true, memory_order_relaxed);
}

static tide_status run_images(tide_context *cx, kind what, const tide_conv *d, int64_t each, images *v,
                              bool bias) {
    shape s;
    memset(&s, 0, sizeof(s));
    s.kind = what, s.bias = bias, s.conv = *d, s.conv.n = each;
    v->images = each, v->n = d->n;
    if (!(v->full = v->rest = find(cx, &s))) return TIDE_EUNSUP;
    if ((s.conv.n = d->n % each) && !(v->rest = find(cx, &s))) return TIDE_EUNSUP;
    const size_t scratch = v->full->scratch > v->rest->scratch ? v->full->scratch : v->rest->scratch;
    const double work = (double)d->n * (double)d->oc * (double)d->oh * (double)d->ow *
                        (double)(d->ic / d->groups) * (double)d->kh * (double)d->kw;
    tide_status status = tide_run_tiles(cx, (int)((d->n + each - 1) / each), work, scratch, image_tile, v);
    if (!status && atomic_load(&v->failed)) status = tide_fail(cx, TIDE_EDEVICE, "oneDNN failed");
    return status;
}

static int64_t image_size(const tide_conv *d) { return d->ic * d->h * d->w; }
static int64_t result_size(const tide_conv *d) { return d->oc * d->oh * d->ow; }
static int64_t weight_size(const tide_conv *d) { return d->oc * (d->ic / d->groups) * d->kh * d->kw; }

tide_status tide_dnnl_conv(tide_context *cx, const tide_conv *d, const float *x, const float *w,
                           const float *bias, float *y) {
    images v = {.data = {x, w, y, bias}, .step = {image_size(d), 0, result_size(d), 0}};
    return run_images(cx, CONV, d, 1, &v, bias);
}

tide_status tide_dnnl_conv_data(tide_context *cx, const tide_conv *d, const float *gy, const float *w,
                                float *gx) {
    images v = {.data = {gx, w, gy, NULL}, .step = {image_size(d), 0, result_size(d), 0}};
    return run_images(cx, CONV_DATA, d, 1, &v, false);
}

/* Each tile sums over its images into a buffer of its own; the buffers are then added in order. */
tide_status tide_dnnl_conv_weights(tide_context *cx, const tide_conv *d, const float *x, const float *gy,
                                   float *gw, float *gbias) {
    const int64_t each = (d->n + MOST_GROUPS - 1) / MOST_GROUPS, tiles = (d->n + each - 1) / each;
    const int64_t nw = weight_size(d), nb = gbias ? d->oc : 0, step = (nw + nb + 15) / 16 * 16;
    const size_t size = (size_t)(tiles * step) * sizeof(float);
    float *sums = tide_alloc(cx, size);
    if (!sums) return TIDE_EMEM;
    images v = {.data = {x, sums, gy, gbias ? sums + nw : NULL},
                .step = {each * image_size(d), step, each * result_size(d), step}};
    tide_status status = run_images(cx, CONV_WEIGHTS, d, each, &v, gbias);
    for (int64_t t = 1; !status && t < tiles; t++)
        for (int64_t i = 0; i < nw + nb; i++) sums[i] += sums[t * step + i];
    if (!status) {
        memcpy(gw, sums, (size_t)nw * sizeof(float));
        if (gbias) memcpy(gbias, sums + nw, (size_t)nb * sizeof(float));
    }
    tide_release(cx, sums, size);
    return status;
}

#else

bool tide_dnnl_there(tide_context *cx) { return false; }

void tide_dnnl_text(tide_context *cx, char *text, size_t n) { snprintf(text, n, "oneDNN not found"); }

bool tide_dnnl_fast_bf16(tide_context *cx) { return false; }

const tide_dnnl_primitive *tide_dnnl_matmul(tide_context *cx, int64_t m, int64_t n, int64_t k, int64_t a_row,
                                            int64_t a_col, int64_t b_row, int64_t b_col) {
    return NULL;
}

size_t tide_dnnl_scratch(const tide_dnnl_primitive *p) { return 0; }

bool tide_dnnl_run_matmul(const tide_dnnl_primitive *p, const void *a, const void *b, float *c, void *scratch) {
    return false;
}

tide_status tide_dnnl_conv(tide_context *cx, const tide_conv *d, const float *x, const float *w,
                           const float *bias, float *y) {
    return TIDE_EUNSUP;
}

tide_status tide_dnnl_conv_data(tide_context *cx, const tide_conv *d, const float *gy, const float *w,
                                float *gx) {
    return TIDE_EUNSUP;
}

tide_status tide_dnnl_conv_weights(tide_context *cx, const tide_conv *d, const float *x, const float *gy,
                                   float *gw, float *gbias) {
    return TIDE_EUNSUP;
}

#endif
