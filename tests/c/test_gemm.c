/* Matrix products against a plain loop. The order of every sum is promised, so float32, float64, float16 and
 * bfloat16 results are compared bit by bit, on every instruction set, for 1, 2 and 4 threads and for small
 * tiles; the loop itself is compared with a sum in double. Operands end (or begin) at a page that may not be
 * touched. */
#define _GNU_SOURCE
#include "device/cpu/gemm.h"
#include "device/cpu/onednn.h"
#include "base/context.h"
#include "program/math.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

enum { KC = 256 };

/* ---- memory with a forbidden page before and behind ---- */

typedef struct {
    char *map;
    size_t size;
    char *p;
} fenced;

static fenced fence(size_t n, bool at_end) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = (n / page + 1) * page;
    fenced f = {.size = inner + 2 * page};
    f.map = mmap(NULL, f.size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(f.map != MAP_FAILED);
    assert_int_equal(mprotect(f.map + page, inner, PROT_READ | PROT_WRITE), 0);
    f.p = f.map + page + (at_end ? inner - n : 0);
    return f;
}

static void unfence(fenced f) { munmap(f.map, f.size); }

/* ---- numbers ---- */

static double value(uint64_t i) {
    i = (i + 1) * 0x9e3779b97f4a7c15u;
    i ^= i >> 29;
    i *= 0xbf58476d1ce4e5b9u;
    return (double)(int64_t)(i ^ i >> 32) * 0x1p-63;
}

static size_t size_of(int dtype) { return dtype == TIDE_F64 ? 8 : dtype == TIDE_F32 ? 4 : 2; }

static double get(const void *p, int64_t i, int dtype) {
    switch (dtype) {
    case TIDE_F64: return ((const double *)p)[i];
    case TIDE_F32: return ((const float *)p)[i];
    case TIDE_F16: return tide_f32_of_f16(((const uint16_t *)p)[i]);
    default: return tide_f32_of_bf16(((const uint16_t *)p)[i]);
    }
}

static void put(void *p, int64_t i, double x, int dtype) {
    switch (dtype) {
    case TIDE_F64: ((double *)p)[i] = x; break;
    case TIDE_F32: ((float *)p)[i] = (float)x; break;
    case TIDE_F16: ((uint16_t *)p)[i] = tide_f16_of_f32((float)x); break;
    default: ((uint16_t *)p)[i] = tide_bf16_of_f32((float)x); break;
    }
}

/* ---- operands of every layout ---- */

typedef enum { ROWS, COLUMNS, STRIDED, REVERSED, SAME_ROW, SAME_COLUMN, NLAYOUTS } layout;

typedef struct {
    fenced memory;
    const void *first;
    int64_t row, col, batch;
} operand;

static operand make_operand(layout how, int64_t rows, int64_t cols, int64_t batch, int dtype, uint64_t seed) {
    operand o = {.row = cols, .col = 1};
    switch (how) {
    case COLUMNS: o.row = 1, o.col = rows; break;
    case STRIDED: o.row = 2 * cols + 3, o.col = 2; break;
    case REVERSED: o.row = -cols - 1, o.col = -1; break;
    case SAME_ROW: o.row = 0; break;
    case SAME_COLUMN: o.row = 1, o.col = 0; break;
    default: break;
    }
    int64_t r = rows ? (rows - 1) * o.row : 0, c = cols ? (cols - 1) * o.col : 0;
    int64_t low = (r < 0 ? r : 0) + (c < 0 ? c : 0), high = (r > 0 ? r : 0) + (c > 0 ? c : 0);
    o.batch = high - low + 1;
    o.memory = fence((size_t)(o.batch * batch) * size_of(dtype), seed & 1);
    for (int64_t i = 0; i < o.batch * batch; i++) put(o.memory.p, i, value(seed + (uint64_t)i), dtype);
    o.first = o.memory.p - low * (int64_t)size_of(dtype);
    return o;
}

/* ---- the plain loop ---- */

static double activate(double x, int activation) {
    switch (activation) {
    case TIDE_ACT_RELU: return x <= 0 ? 0 : x;
    case TIDE_ACT_GELU: return 0.5 * x * (1 + erf(x * sqrt(0.5)));
    case TIDE_ACT_GELU_TANH: return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
    case TIDE_ACT_SILU: return x / (1 + exp(-x));
    case TIDE_ACT_TANH: return tanh(x);
    case TIDE_ACT_SIGMOID: return 1 / (1 + exp(-x));
    default: return x;
    }
}

/* Element (i, j) of product z: exactly, in the promised order, and in double. `was`: of c before. */
static void expect(const tide_gemm *g, int64_t z, int64_t i, int64_t j, double was, double *exact,
                   double *plain, double *size) {
    const int64_t a0 = (g->a_off ? g->a_off[z] : z * g->a_batch) + i * g->a_row;
    const int64_t b0 = (g->b_off ? g->b_off[z] : z * g->b_batch) + j * g->b_col;
    double sum64 = g->accumulate ? was : 0;
    float sum32 = (float)sum64;
    *plain = sum64;
    *size = 1 + fabs(sum64);
    for (int64_t p = 0; p < g->k; p += KC) {
        double s64 = 0;
        float s32 = 0;
        for (int64_t q = p; q < g->k && q < p + KC; q++) {
            double x = get(g->a, a0 + q * g->a_col, g->dtype), y = get(g->b, b0 + q * g->b_row, g->dtype);
            *plain += x * y;
            *size += fabs(x * y);
            s64 = fma(x, y, s64);
            s32 = fmaf((float)x, (float)y, s32);
        }
        sum64 = p || g->accumulate ? sum64 + s64 : s64;
        sum32 = p || g->accumulate ? sum32 + s32 : s32;
    }
    if (g->bias) {
        double bias = get(g->bias, j * g->bias_col, g->dtype);
        *plain += bias;
        sum64 += bias;
        sum32 += (float)bias;
    }
    *exact = activate(g->dtype == TIDE_F64 ? sum64 : (double)sum32, g->activation);
    *plain = activate(*plain, g->activation);
}

/* ---- contexts of every kind ---- */

typedef struct {
    tide_context *cx;
    char name[40];
} kind;

static kind kinds[12];
static int nkinds;

static int open_kinds(void **state) {
    static const char *const isa_name[] = {"baseline", "avx2", "avx512"};
    unsetenv("TIDE_ISA");
    const int isas = (int)tide_cpu_isa() + 1;
    for (int isa = 0; isa < isas; isa++) {
        for (int way = 0; way < 4; way++) {
            static const int threads[] = {1, 2, 4, 2};
            if (isa < isas - 1 && way != 0 && way != 3) continue;
            kind *k = &kinds[nkinds++];
            tide_config config = {.size = sizeof(config), .threads = threads[way]};
            setenv("TIDE_ISA", isa_name[isa], 1);
            if (way == 3) setenv("TIDE_TILE", "small", 1);
            if (tide_open(&config, &k->cx)) return -1;
            unsetenv("TIDE_TILE");
            snprintf(k->name, sizeof(k->name), "%s, %d threads%s", isa_name[isa], threads[way],
                     way == 3 ? ", small tiles" : "");
            if ((int)k->cx->isa != isa) return -1;
        }
    }
    unsetenv("TIDE_ISA");
    return 0;
}

static int close_kinds(void **state) {
    while (nkinds) tide_close(kinds[--nkinds].cx);
    return 0;
}

/* ---- one case on all of them ---- */

typedef struct {
    int64_t m, n, k, batch;
    layout a, b;
    int dtype, activation;
    bool bias, accumulate, offsets;
    bool all;    /* on every kind of context, else on one for each instruction set */
    bool onednn; /* may have come from oneDNN: the same bits only within an instruction set */
} problem;

static void check(problem q) {
    const uint64_t seed = (uint64_t)(q.m * 1000003 + q.n * 10007 + q.k * 101 + q.batch);
    const int64_t c_row = q.n + (seed % 3 ? 0 : 5), c_batch = q.m * c_row + 2, nc = q.batch * c_batch;
    const size_t size = size_of(q.dtype), c_size = (size_t)nc * size;
    operand a = make_operand(q.a, q.m, q.k, q.batch, q.dtype, seed * 2);
    operand b = make_operand(q.b, q.k, q.n, q.batch, q.dtype, seed * 2 + 1);
    operand bias = make_operand(ROWS, 1, q.n, 1, q.dtype, seed + 77);
    int64_t *a_off = calloc((size_t)q.batch + 1, sizeof(*a_off)),
            *b_off = calloc((size_t)q.batch + 1, sizeof(*b_off));
    for (int64_t z = 0; z < q.batch; z++) a_off[z] = z / 2 * a.batch, b_off[z] = (q.batch - 1 - z) * b.batch;
    fenced c = fence(c_size, true);
    void *before = malloc(c_size + 1), *want = malloc(c_size + 1);
    for (int64_t i = 0; i < nc; i++) put(before, i, value(seed + 1234567 + (uint64_t)i), q.dtype);
    memcpy(want, before, c_size);
    tide_gemm g = {
        .m = q.m,
        .n = q.n,
        .k = q.k,
        .batch = q.batch,
        .dtype = (uint8_t)q.dtype,
        .activation = (uint8_t)q.activation,
        .accumulate = q.accumulate,
        .a = a.first,
        .a_row = a.row,
        .a_col = a.col,
        .a_batch = a.batch,
        .b = b.first,
        .b_row = b.row,
        .b_col = b.col,
        .b_batch = b.batch,
        .c = c.p,
        .c_row = c_row,
        .c_batch = c_batch,
        .bias = q.bias ? bias.first : NULL,
        .bias_col = q.n % 4 ? 1 : 0,
        .a_off = q.offsets ? a_off : NULL,
        .b_off = q.offsets ? b_off : NULL,
    };
    const bool exact = q.activation <= TIDE_ACT_RELU && !q.onednn;
    const double ulp = q.dtype == TIDE_F64   ? 0x1p-52
                       : q.dtype == TIDE_F32 ? 0x1p-23
                       : q.dtype == TIDE_F16 ? 0x1p-10
                                             : 0x1p-7;
    for (int64_t z = 0; z < q.batch; z++) {
        for (int64_t i = 0; i < q.m; i++) {
            for (int64_t j = 0; j < q.n; j++) {
                double x, plain, terms;
                int64_t at = z * c_batch + i * c_row + j;
                expect(&g, z, i, j, get(before, at, q.dtype), &x, &plain, &terms);
                if (fabs(x - plain) > ((double)q.k + 4) * terms * (q.dtype == TIDE_F64 ? 0x1p-52 : 0x1p-23))
                    fail_msg("the plain loop itself: %g and %g", x, plain);
                put(want, at, x, q.dtype);
            }
        }
    }
    void *first = malloc(c_size + 1);
    for (int i = 0, tried = -1; i < nkinds; i++) {
        if (!q.all && (int)kinds[i].cx->isa == tried) continue;
        const bool fresh = tried < 0 || (q.onednn && (int)kinds[i].cx->isa != tried);
        tried = (int)kinds[i].cx->isa;
        memcpy(c.p, before, c_size);
        assert_int_equal(tide_gemm_run(kinds[i].cx, &g), TIDE_OK);
        if (fresh) memcpy(first, c.p, c_size);
        for (int64_t e = 0; e < nc; e++) {
            double x = get(c.p, e, q.dtype), y = get(want, e, q.dtype);
            bool good = exact ? !memcmp(c.p + e * (int64_t)size, (char *)want + e * (int64_t)size, size)
                              : fabs(x - y) <= 4 * ulp * (1 + fabs(y));
            if (good && !exact)
                good = !memcmp(c.p + e * (int64_t)size, (char *)first + e * (int64_t)size, size);
            if (!good)
                fail_msg(
                    "%s: %d x %d x %d batch %d dtype %d layouts %d %d activation %d bias %d accumulate %d: "
                    "element %d is %.9g, not %.9g",
                    kinds[i].name, (int)q.m, (int)q.n, (int)q.k, (int)q.batch, q.dtype, q.a, q.b, q.activation,
                    q.bias, q.accumulate, (int)e, x, y);
        }
    }
    unfence(a.memory), unfence(b.memory), unfence(bias.memory), unfence(c);
    free(a_off), free(b_off), free(before), free(want), free(first);
}

/* ---- tests ---- */

static const int64_t sizes[] = {1, 2, 3, 5, 7, 8, 9, 13, 14, 15, 16, 17, 28, 29, 31, 32, 33, 40};
enum { NSIZES = sizeof(sizes) / sizeof(*sizes) };

static void test_sizes(void **state) {
    static const int64_t depths[] = {0, 1, 2, 7, 16, 17, 40};
    for (int i = 0, t = 0; i < NSIZES; i++)
        for (int j = 0; j < NSIZES; j++)
            for (size_t p = 0; p < sizeof(depths) / sizeof(*depths); p++, t++)
                check((problem){.m = sizes[i],
                                .n = sizes[j],
                                .k = depths[p],
                                .batch = 1,
                                .dtype = TIDE_F32,
                                .a = (layout)(t % 2),
                                .b = (layout)(t / 2 % 2),
                                .bias = t % 3 == 0,
                                .accumulate = t % 5 == 0,
                                .activation = t % 7 == 0 ? TIDE_ACT_RELU : TIDE_ACT_NONE});
}

static void test_layouts(void **state) {
    static const int dtypes[] = {TIDE_F32, TIDE_F64, TIDE_F16, TIDE_BF16};
    for (int d = 0, t = 0; d < 4; d++)
        for (int a = 0; a < NLAYOUTS; a++)
            for (int b = 0; b < NLAYOUTS; b++)
                for (int i = 0; i < 3; i++, t++)
                    check((problem){.m = sizes[(5 * t + i) % NSIZES],
                                    .n = sizes[(7 * t + 3) % NSIZES],
                                    .k = 3 + t % 37,
                                    .batch = 1,
                                    .dtype = dtypes[d],
                                    .a = (layout)a,
                                    .b = (layout)b,
                                    .bias = i == 1,
                                    .accumulate = i == 2,
                                    .all = i == 0});
}

static void test_batches(void **state) {
    for (int t = 0; t < 12; t++)
        check((problem){.m = 1 + t * 3,
                        .n = 40 - 3 * t,
                        .k = 5 + t,
                        .batch = t == 11 ? 300 : 1 + t * 2,
                        .dtype = t % 4 == 3   ? TIDE_BF16
                                 : t % 4 == 2 ? TIDE_F64
                                              : TIDE_F32,
                        .a = (layout)(t % 3),
                        .b = (layout)(t / 3 % 3),
                        .offsets = t % 2,
                        .accumulate = t % 3 == 0,
                        .bias = t % 3 == 1,
                        .all = true});
}

static void test_activations(void **state) {
    static const int dtypes[] = {TIDE_F32, TIDE_F64, TIDE_F16, TIDE_BF16};
    for (int activation = TIDE_ACT_NONE; activation <= TIDE_ACT_SIGMOID; activation++)
        for (int d = 0; d < 4; d++)
            check((problem){.m = 19,
                            .n = 37,
                            .k = 21,
                            .batch = 2,
                            .dtype = dtypes[d],
                            .bias = true,
                            .activation = activation,
                            .b = COLUMNS});
}

/* Sums of several blocks, many tiles. */
static void test_large(void **state) {
    check((problem){.m = 150,
                    .n = 200,
                    .k = 700,
                    .batch = 1,
                    .dtype = TIDE_F32,
                    .all = true,
                    .bias = true,
                    .activation = TIDE_ACT_RELU});
    check((problem){.m = 203, .n = 301, .k = 555, .batch = 1, .dtype = TIDE_F32, .b = COLUMNS, .all = true});
    check((problem){.m = 530,
                    .n = 70,
                    .k = 257,
                    .batch = 1,
                    .dtype = TIDE_F32,
                    .a = COLUMNS,
                    .all = true,
                    .accumulate = true});
    check((problem){.m = 71, .n = 150, .k = 780, .batch = 1, .dtype = TIDE_F64, .all = true});
    check((problem){.m = 90,
                    .n = 150,
                    .k = 780,
                    .batch = 1,
                    .dtype = TIDE_F16,
                    .b = COLUMNS,
                    .all = true,
                    .accumulate = true});
    check((problem){.m = 1, .n = 777, .k = 900, .batch = 1, .dtype = TIDE_F32, .b = COLUMNS, .all = true});
    check((problem){.m = 2, .n = 777, .k = 900, .batch = 1, .dtype = TIDE_F32, .all = true, .bias = true});
    check((problem){.m = 777, .n = 1, .k = 900, .batch = 1, .dtype = TIDE_F32, .all = true});
}

static void test_onednn(void **state) {
    check((problem){.m = 70, .n = 90, .k = 50, .batch = 3, .dtype = TIDE_BF16, .all = true, .onednn = true});
    check((problem){.m = 300,
                    .n = 530,
                    .k = 65,
                    .batch = 1,
                    .dtype = TIDE_BF16,
                    .b = COLUMNS,
                    .all = true,
                    .onednn = true,
                    .bias = true,
                    .activation = TIDE_ACT_RELU});
    check((problem){.m = 530,
                    .n = 77,
                    .k = 300,
                    .batch = 1,
                    .dtype = TIDE_BF16,
                    .a = COLUMNS,
                    .all = true,
                    .onednn = true,
                    .accumulate = true});
    check((problem){.m = 60,
                    .n = 77,
                    .k = 300,
                    .batch = 1,
                    .dtype = TIDE_BF16,
                    .a = STRIDED,
                    .b = REVERSED,
                    .all = true,
                    .onednn = true});
}

/* ---- convolutions ---- */

typedef struct {
    const float *x, *w, *y;
    double *gx, *gw, *gb, *out;
} conv_data;

/* Every term of the sum, once: forward and both gradients. y is the gradient of the result. */
static void plain_conv(const tide_conv *d, const conv_data *v) {
    const int64_t icg = d->ic / d->groups, ocg = d->oc / d->groups;
    for (int64_t n = 0; n < d->n; n++)
        for (int64_t o = 0; o < d->oc; o++)
            for (int64_t p = 0; p < d->oh * d->ow; p++) {
                const int64_t yi = (n * d->oc + o) * d->oh * d->ow + p;
                v->gb[o] += v->y[yi];
                for (int64_t i = 0; i < icg; i++)
                    for (int64_t e = 0; e < d->kh * d->kw; e++) {
                        const int64_t r = p / d->ow * d->stride_h - d->top + e / d->kw * d->dilation_h;
                        const int64_t c = p % d->ow * d->stride_w - d->left + e % d->kw * d->dilation_w;
                        if (r < 0 || r >= d->h || c < 0 || c >= d->w) continue;
                        const int64_t xi = ((n * d->ic + o / ocg * icg + i) * d->h + r) * d->w + c;
                        const int64_t wi = (o * icg + i) * d->kh * d->kw + e;
                        v->out[yi] += (double)v->x[xi] * v->w[wi];
                        v->gx[xi] += (double)v->y[yi] * v->w[wi];
                        v->gw[wi] += (double)v->y[yi] * v->x[xi];
                    }
            }
}

static float *floats(int64_t n, uint64_t seed) {
    float *p = malloc((size_t)n * sizeof(*p));
    for (int64_t i = 0; i < n; i++) p[i] = (float)value(seed + (uint64_t)i);
    return p;
}

static void close_to(const float *got, const double *want, int64_t n) {
    for (int64_t i = 0; i < n; i++) assert_true(fabs(got[i] - want[i]) < 1e-5 * (1 + fabs(want[i])));
}

static void check_conv(const tide_conv *d) {
    const int64_t nx = d->n * d->ic * d->h * d->w, nw = d->oc * (d->ic / d->groups) * d->kh * d->kw;
    const int64_t ny = d->n * d->oc * d->oh * d->ow, nb = d->oc;
    float *x = floats(nx, 1), *w = floats(nw, 2), *gy = floats(ny, 3), *bias = floats(nb, 4);
    float *y = malloc((size_t)ny * 4), *gx = malloc((size_t)nx * 4), *gw = malloc((size_t)nw * 4),
          *gb = malloc((size_t)nb * 4);
    float *gw0 = malloc((size_t)nw * 4);
    conv_data v = {.x = x,
                   .w = w,
                   .y = gy,
                   .gx = calloc((size_t)nx, 8),
                   .gw = calloc((size_t)nw, 8),
                   .gb = calloc((size_t)nb, 8),
                   .out = calloc((size_t)ny, 8)};
    plain_conv(d, &v);
    for (int64_t i = 0; i < ny; i++) v.out[i] += bias[i / (d->oh * d->ow) % d->oc];
    for (int i = 0; i < nkinds; i++) {
        tide_context *cx = kinds[i].cx;
        assert_int_equal(tide_dnnl_conv(cx, d, x, w, bias, y), TIDE_OK);
        assert_int_equal(tide_dnnl_conv_data(cx, d, gy, w, gx), TIDE_OK);
        assert_int_equal(tide_dnnl_conv_weights(cx, d, x, gy, gw, gb), TIDE_OK);
        if (!i) memcpy(gw0, gw, (size_t)nw * 4);
        assert_memory_equal(gw, gw0, (size_t)nw * 4);
        close_to(y, v.out, ny), close_to(gx, v.gx, nx), close_to(gw, v.gw, nw), close_to(gb, v.gb, nb);
        assert_int_equal(tide_dnnl_conv_weights(cx, d, x, gy, gw, NULL), TIDE_OK);
        close_to(gw, v.gw, nw);
    }
    free(x), free(w), free(gy), free(bias), free(y), free(gx), free(gw), free(gb), free(gw0);
    free(v.gx), free(v.gw), free(v.gb), free(v.out);
}

static void test_convolutions(void **state) {
    if (!tide_dnnl_there(kinds[0].cx)) skip();
    check_conv(&(tide_conv){.n = 5,
                            .groups = 1,
                            .ic = 3,
                            .h = 12,
                            .w = 11,
                            .oc = 8,
                            .oh = 12,
                            .ow = 11,
                            .kh = 3,
                            .kw = 3,
                            .stride_h = 1,
                            .stride_w = 1,
                            .dilation_h = 1,
                            .dilation_w = 1,
                            .top = 1,
                            .left = 1,
                            .bottom = 1,
                            .right = 1});
    check_conv(&(tide_conv){.n = 37,
                            .groups = 2,
                            .ic = 4,
                            .h = 10,
                            .w = 9,
                            .oc = 6,
                            .oh = 4,
                            .ow = 4,
                            .kh = 3,
                            .kw = 2,
                            .stride_h = 2,
                            .stride_w = 2,
                            .dilation_h = 1,
                            .dilation_w = 2,
                            .top = 0,
                            .left = 0,
                            .bottom = 0,
                            .right = 0});
}

/* What lies in lanes past the last column never shows, and NaN and infinity go where they belong. */
static void test_special(void **state) {
    float a[2] = {1, INFINITY}, b[2 * 3] = {1, NAN, -1, 0, 1, 2}, c[3];
    for (int i = 0; i < nkinds; i++) {
        tide_gemm g = {.m = 1,
                       .n = 3,
                       .k = 2,
                       .batch = 1,
                       .dtype = TIDE_F32,
                       .a = a,
                       .a_row = 2,
                       .a_col = 1,
                       .b = b,
                       .b_row = 3,
                       .b_col = 1,
                       .c = c,
                       .c_row = 3,
                       .activation = TIDE_ACT_RELU};
        assert_int_equal(tide_gemm_run(kinds[i].cx, &g), TIDE_OK);
        assert_true(isnan(c[0]) && isnan(c[1]) && isinf(c[2]) && c[2] > 0);
    }
}

static void test_nothing(void **state) {
    tide_context *cx = kinds[0].cx;
    float c[2] = {-0.0f, 5};
    tide_gemm g = {
        .m = 1, .n = 2, .k = 0, .batch = 1, .dtype = TIDE_F32, .c = c, .c_row = 2, .accumulate = true};
    assert_int_equal(tide_gemm_run(cx, &g), TIDE_OK);
    assert_true(signbit(c[0]) && c[1] == 5);
    g.accumulate = false, g.m = 0;
    assert_int_equal(tide_gemm_run(cx, &g), TIDE_OK);
    g.m = 1, g.batch = 0;
    assert_int_equal(tide_gemm_run(cx, &g), TIDE_OK);
    assert_true(c[1] == 5);
    g.batch = 1;
    assert_int_equal(tide_gemm_run(cx, &g), TIDE_OK);
    assert_true(c[0] == 0 && c[1] == 0);
    g.dtype = TIDE_BOOL;
    assert_int_equal(tide_gemm_run(cx, &g), TIDE_EARG);
    assert_non_null(tide_error(cx, NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),       cmocka_unit_test(test_layouts), cmocka_unit_test(test_batches),
        cmocka_unit_test(test_activations), cmocka_unit_test(test_large),   cmocka_unit_test(test_special),
        cmocka_unit_test(test_nothing),     cmocka_unit_test(test_onednn),  cmocka_unit_test(test_convolutions),
    };
    return cmocka_run_group_tests(tests, open_kinds, close_kinds);
}
