/* Times matrix products: for each shape the best of several rounds, as GFLOPS, beside the core's peak of fused
 * multiply-adds. Arguments: m n k [layout], layout of "nn", "nt" (b transposed), "tn"; none: a standard list.
 * TIDE_THREADS and TIDE_ISA as everywhere. */
#include "device/cpu/gemm.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double best_of(tide_context *cx, const tide_gemm *g) {
    double best = 1e9, flops = 2.0 * (double)g->m * (double)g->n * (double)g->k;
    long calls = (long)(2e9 / (flops + 1e3));
    if (calls < 1) calls = 1;
    for (int round = 0; round < 12; round++) {
        double start = now();
        for (long i = 0; i < calls; i++)
            if (tide_gemm_run(cx, g)) exit(1);
        double t = (now() - start) / (double)calls;
        if (t < best) best = t;
    }
    return best;
}

static void bench(tide_context *cx, tide_dtype dtype, int64_t m, int64_t n, int64_t k, const char *layout) {
    size_t size = dtype == TIDE_F64 ? 8 : dtype == TIDE_F32 ? 4 : 2;
    bool at = layout[0] == 't', bt = layout[1] == 't';
    size_t na = (size_t)(m * k) * size, nb = (size_t)(n * k) * size, nc = (size_t)(m * n) * size;
    tide_gemm g = {.m = m, .n = n, .k = k, .batch = 1, .dtype = (uint8_t)dtype, .c_row = n};
    void *a = tide_alloc0(cx, na), *b = tide_alloc0(cx, nb);
    g.c = tide_alloc0(cx, nc);
    if (!a || !b || !g.c) exit(1);
    g.a = a, g.a_row = at ? 1 : k, g.a_col = at ? m : 1;
    g.b = b, g.b_row = bt ? 1 : n, g.b_col = bt ? k : 1;
    for (int64_t i = 0; dtype == TIDE_F32 && i < m * k; i++) ((float *)a)[i] = (float)(i % 7) - 3;
    for (int64_t i = 0; dtype == TIDE_F32 && i < n * k; i++) ((float *)b)[i] = (float)(i % 5) - 2;
    double t = best_of(cx, &g);
    static const char *const name[] = {
        [TIDE_F32] = "f32", [TIDE_F64] = "f64", [TIDE_F16] = "f16", [TIDE_BF16] = "bf16"};
    printf("gemm %-4s %5d x %5d x %5d %s  %10.3f us  %7.1f GFLOPS\n", name[dtype], (int)m, (int)n, (int)k,
           layout, t * 1e6, 2.0 * (double)m * (double)n * (double)k / t * 1e-9);
    tide_release(cx, a, na);
    tide_release(cx, b, nb);
    tide_release(cx, g.c, nc);
}

int main(int argc, char **argv) {
    tide_context *cx;
    if (tide_open(NULL, &cx)) return 1;
    if (argc >= 4) {
        bench(cx, TIDE_F32, atoi(argv[1]), atoi(argv[2]), atoi(argv[3]), argc > 4 ? argv[4] : "nn");
    } else {
        static const int square[] = {16, 32, 64, 128, 256, 512, 1024, 2048};
        static const struct {
            int m, n, k;
            const char *layout;
        } mlp[] = {
            {32, 128, 64, "nt"}, {32, 10, 128, "nt"},   {128, 64, 32, "tn"},   {10, 128, 32, "tn"},
            {32, 128, 10, "nn"}, {1, 1024, 1024, "nt"}, {1, 1024, 1024, "nn"}, {1024, 1, 1024, "nn"},
        };
        for (size_t i = 0; i < sizeof(square) / sizeof(*square); i++)
            bench(cx, TIDE_F32, square[i], square[i], square[i], "nn");
        bench(cx, TIDE_F32, 1024, 1024, 1024, "nt");
        bench(cx, TIDE_F32, 1024, 1024, 1024, "tn");
        for (size_t i = 0; i < sizeof(mlp) / sizeof(*mlp); i++)
            bench(cx, TIDE_F32, mlp[i].m, mlp[i].n, mlp[i].k, mlp[i].layout);
        for (int i = 4; i < 7; i++) bench(cx, TIDE_F64, square[i], square[i], square[i], "nn");
        for (int i = 0; i < 8; i++) bench(cx, TIDE_BF16, square[i], square[i], square[i], "nn");
    }
    tide_close(cx);
    return 0;
}
