/* Matrix products: cuts c into tiles, by shape only, and picks the kernel of the instruction set. */
#include "device/cpu/gemm_kernel.h"
#include "device/cpu/onednn.h"
#include "base/context.h"
#include <stdatomic.h>

/* A tile of c: large enough to use packed b often, small enough for the cache and for many threads. */
#define MOST_ROWS 504
#define MOST_COLS 128
#define LEAST_WORK 1e6       /* multiply-adds worth a tile of their own */
#define LEAST_BATCH_WORK 2e5 /* what small products of a batch are gathered to */
#define PACK_ROWS 192        /* from here on b is packed even where it could be read in place */
#define DNNL_WORK 1e5        /* multiply-adds of a bf16 product worth a call of oneDNN */
#define DNNL_ROWS 256
#define DNNL_COLS 512

typedef struct {
    tide_context *cx;
    const tide_gemm *g;
    const tide_gemm_kernel *kernel;
    int64_t rows, cols, row_tiles, col_tiles; /* of one product */
    int64_t products;                         /* of a tile; more than 1 only where a product is one tile */
    size_t scratch;
    bool pack_b, use_dnnl;
    const tide_dnnl_primitive *dnnl[2][2]; /* of tiles [in the last row][in the last column] */
    atomic_bool failed;
} plan;

static int64_t align64(int64_t n) { return (n + 63) / 64 * 64; }

static int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* The size of about equal parts of at most `most`, but the last all multiples of `unit`. */
static int64_t part(int64_t n, int64_t most, int64_t unit) {
    if (n <= most) return n;
    return divide_up(divide_up(n, divide_up(n, most)), unit) * unit;
}

static void set_tiles(plan *p, int64_t rows, int64_t cols) {
    p->rows = part(p->g->m, rows, 1);
    p->cols = part(p->g->n, cols, TIDE_GEMM_NR);
    p->row_tiles = divide_up(p->g->m, p->rows);
    p->col_tiles = divide_up(p->g->n, p->cols);
}

/* Tiles of at most rows by cols, smaller (first columns, then rows) where they would be too few for many
 * threads. */
static void cut(plan *p, int64_t rows, int64_t least_rows, int64_t cols, int64_t least_cols, int64_t enough) {
    const double depth = p->g->k ? (double)p->g->k : 1;
    set_tiles(p, rows, cols);
    while (p->row_tiles * p->col_tiles * p->g->batch < enough &&
           (double)p->rows * (double)p->cols * depth > 2 * LEAST_WORK &&
           (cols > least_cols || rows > least_rows)) {
        if (cols > least_cols)
            cols /= 2;
        else
            rows /= 2;
        set_tiles(p, rows, cols);
    }
}

static void plan_own(plan *p, bool small) {
    const tide_gemm *g = p->g;
    const bool must_pack = g->b_col != 1 || tide_gemm_narrow(g);
    const int64_t wide =
        g->m == 1 && !must_pack ? 4 : 1; /* one row: only b counts, and is read in long pieces */
    /* Fewer rows mean that b, where it must be packed, is packed more often. */
    cut(p, MOST_ROWS, must_pack ? MOST_ROWS / 2 : MOST_ROWS / 8, wide * MOST_COLS, wide * MOST_COLS / 2, 16);
    p->products = 1;
    if (small) {
        set_tiles(p, 7, 40);
    } else if (g->batch > 1 && p->row_tiles * p->col_tiles == 1) {
        double work = (double)g->m * (double)g->n * (g->k ? (double)g->k : 1);
        if (work < LEAST_BATCH_WORK) p->products = (int64_t)(LEAST_BATCH_WORK / work);
        if (p->products > g->batch) p->products = g->batch;
    }
    p->pack_b = must_pack || p->rows >= PACK_ROWS;
    p->scratch = tide_gemm_scratch(g, p->rows, p->cols);
}

/* The size of a tile: that of all but the last, or that of the last one. */
static int64_t extent(int64_t n, int64_t part_size, int64_t tiles, bool last) {
    return last ? n - (tiles - 1) * part_size : part_size;
}

/* bf16 where the processor multiplies it. Its own order of sums must not depend on how a test cuts tiles, so
 * small tiles do not count here. */
static bool plan_dnnl(tide_context *cx, plan *p) {
    const tide_gemm *g = p->g;
    if (g->dtype != TIDE_BF16 || (double)g->m * (double)g->n * (double)g->k < DNNL_WORK ||
        !tide_dnnl_fast_bf16(cx))
        return false;
    cut(p, DNNL_ROWS, DNNL_ROWS / 2, DNNL_COLS, DNNL_COLS, 8); /* it likes its tiles wide */
    p->products = 1;
    p->scratch = 0;
    for (int i = 0; i < 2; i++) {
        for (int j = 0; j < 2; j++) {
            int64_t rows = extent(g->m, p->rows, p->row_tiles, i),
                    cols = extent(g->n, p->cols, p->col_tiles, j);
            p->dnnl[i][j] = tide_dnnl_matmul(cx, rows, cols, g->k, g->a_row, g->a_col, g->b_row, g->b_col);
            if (!p->dnnl[i][j]) return false;
            size_t scratch = tide_dnnl_scratch(p->dnnl[i][j]) + (size_t)align64(rows * cols * 4);
            if (p->scratch < scratch) p->scratch = scratch;
        }
    }
    p->use_dnnl = true;
    return true;
}

static void run_dnnl(plan *p, const tide_gemm_tile *t, void *scratch) {
    const tide_gemm *g = p->g;
    float *sums = scratch;
    const bool last_row = t->row + t->rows == g->m, last_col = t->col + t->cols == g->n;
    if (!tide_dnnl_run_matmul(p->dnnl[last_row][last_col], (const uint16_t *)t->a + t->row * g->a_row,
                              (const uint16_t *)t->b + t->col * g->b_col, sums,
                              (char *)scratch + align64(t->rows * t->cols * 4)))
        atomic_store_explicit(&p->failed, true, memory_order_relaxed);
    p->kernel->round(g, t, sums, g->accumulate);
}

static tide_gemm_fn own_tile(const plan *p) {
    switch (p->g->dtype) {
    case TIDE_F64: return p->kernel->f64;
    case TIDE_I64: return p->kernel->i64;
    case TIDE_I32: return p->kernel->i32;
    case TIDE_I8:
    case TIDE_U8: return p->kernel->i8;
    default: return p->kernel->f32;
    }
}

static void run_tile(void *arg, int tile, void *scratch) {
    plan *p = arg;
    const tide_gemm *g = p->g;
    const tide_gemm_fn multiply = own_tile(p);
    const int64_t size = (int64_t)tide_dtype_size((tide_dtype)g->dtype);
    const int64_t tiles = p->row_tiles * p->col_tiles, at = tile % tiles, first = tile / tiles * p->products;
    tide_gemm_tile t = {.cx = p->cx,
                        .row = at % p->row_tiles * p->rows,
                        .col = at / p->row_tiles * p->cols,
                        .pack_b = p->pack_b};
    t.rows = g->m - t.row < p->rows ? g->m - t.row : p->rows;
    t.cols = g->n - t.col < p->cols ? g->n - t.col : p->cols;
    for (int64_t i = first; i < first + p->products && i < g->batch; i++) {
        t.a = (const char *)g->a + size * (g->a_off ? g->a_off[i] : i * g->a_batch);
        t.b = (const char *)g->b + size * (g->b_off ? g->b_off[i] : i * g->b_batch);
        t.c = (char *)g->c + size * i * g->c_batch;
        if (p->use_dnnl)
            run_dnnl(p, &t, scratch);
        else
            multiply(g, &t, scratch);
    }
}

tide_status tide_gemm_run(tide_context *cx, const tide_gemm *g) {
    static const tide_gemm_kernel *const kernels[] = {
        [TIDE_ISA_BASELINE] = &tide_gemm_baseline,
#if defined(__x86_64__)
        [TIDE_ISA_AVX2] = &tide_gemm_avx2,
        [TIDE_ISA_AVX512] = &tide_gemm_avx512,
#endif
    };
    if (g->dtype == TIDE_BOOL) return tide_fail(cx, TIDE_EARG, "bool has no matrix products");
    if (!g->m || !g->n || !g->batch) return TIDE_OK;
    if (!g->k && g->accumulate && !g->bias && g->activation == TIDE_ACT_NONE) return TIDE_OK;

    /* A column is a row: the sums are the same, and their terms lie along vectors. */
    tide_gemm row;
    if (g->n == 1 && g->m > 1 && g->c_row == 1 && (!g->bias || g->bias_col == 0)) {
        row = *g;
        row.m = 1, row.n = g->m, row.c_row = g->m;
        row.a = g->b, row.a_row = g->b_col, row.a_col = g->b_row, row.a_batch = g->b_batch,
        row.a_off = g->b_off;
        row.b = g->a, row.b_row = g->a_col, row.b_col = g->a_row, row.b_batch = g->a_batch,
        row.b_off = g->a_off;
        g = &row;
    }

    plan p = {.cx = cx, .g = g, .kernel = kernels[cx->isa]};
    if (!plan_dnnl(cx, &p)) plan_own(&p, tide_small_tiles(cx));
    const int64_t ntiles = p.row_tiles * p.col_tiles * divide_up(g->batch, p.products);
    if (ntiles > INT32_MAX) return tide_fail(cx, TIDE_EARG, "a matrix product of more than 2^31 tiles");
    const double work = (double)g->m * (double)g->n * (double)g->k * (double)g->batch;
    tide_status status = tide_run_tiles(cx, (int)ntiles, work, p.scratch, run_tile, &p);
    if (!status && atomic_load_explicit(&p.failed, memory_order_relaxed))
        status = tide_fail(cx, TIDE_EDEVICE, "oneDNN failed");
    return status;
}
