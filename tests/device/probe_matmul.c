/* cuBLASLt: which epilogues exist for row-major products and whether they compute what the CPU does, what
 * alignment they ask for, and the times of the products of GPT-2 124M. */
#include <stdio.h>
#include "probe.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WORKSPACE = 64 << 20 };
static cublasLtHandle_t handle;
static void *workspace;

/* C[m,n] = op(A)[m,k] op(B)[k,n], all row-major; A is stored [k,m] if ta, B is stored [n,k] if tb. */
typedef struct {
    bool row; /* described with ORDER_ROW; else as the column-major product of the transposes, operands swapped
               */
    int64_t m, n, k;
    bool ta, tb;
    cudaDataType type;
    cublasLtEpilogue_t epilogue;
    void *bias, *aux;
    int64_t aux_ld, pad; /* pad: elements that every leading dimension is longer than it must be */
    uint32_t align;      /* of the operands, in bytes; 0: 256 */
} product;

typedef struct {
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t x, y, d; /* the operands in cuBLASLt's order, and the result */
    bool swapped;
    cublasLtMatmulHeuristicResult_t found[8];
    int nfound;
    double ask_us;
} plan;

static cublasStatus_t layout(cublasLtMatrixLayout_t *out, const product *p, int64_t rows, int64_t cols) {
    /* rows and cols as stored row-major; column-major sees the transpose */
    int32_t order = CUBLASLT_ORDER_ROW;
    cublasStatus_t s =
        p->row ? lt.cublasLtMatrixLayoutCreate(out, p->type, (uint64_t)rows, (uint64_t)cols, cols + p->pad)
               : lt.cublasLtMatrixLayoutCreate(out, p->type, (uint64_t)cols, (uint64_t)rows, cols + p->pad);
    if (!s && p->row)
        s = lt.cublasLtMatrixLayoutSetAttribute(*out, CUBLASLT_MATRIX_LAYOUT_ORDER, &order, sizeof(order));
    return s;
}

static void plan_free(plan *q) {
    if (q->desc) lt.cublasLtMatmulDescDestroy(q->desc);
    if (q->x) lt.cublasLtMatrixLayoutDestroy(q->x);
    if (q->y) lt.cublasLtMatrixLayoutDestroy(q->y);
    if (q->d) lt.cublasLtMatrixLayoutDestroy(q->d);
    memset(q, 0, sizeof(*q));
}

/* The status of the heuristic, or of what failed before it (then *where says what). */
static cublasStatus_t plan_make(plan *q, const product *p, int want, const char **where) {
    cublasLtMatmulPreference_t preference = NULL;
    cublasOperation_t opa = p->ta ? CUBLAS_OP_T : CUBLAS_OP_N, opb = p->tb ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasLtEpilogue_t epilogue = p->epilogue;
    uint64_t room = WORKSPACE;
    cublasStatus_t s;
    memset(q, 0, sizeof(*q));
    q->swapped = !p->row;
#define STEP(what, call)                                      \
    do {                                                      \
        *where = what;                                        \
        if ((s = (call)) != CUBLAS_STATUS_SUCCESS) goto done; \
    } while (0)
    STEP("desc", lt.cublasLtMatmulDescCreate(&q->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    STEP("trans", lt.cublasLtMatmulDescSetAttribute(q->desc, CUBLASLT_MATMUL_DESC_TRANSA, p->row ? &opa : &opb,
                                                    sizeof(opa)));
    STEP("trans", lt.cublasLtMatmulDescSetAttribute(q->desc, CUBLASLT_MATMUL_DESC_TRANSB, p->row ? &opb : &opa,
                                                    sizeof(opa)));
    STEP("epilogue", lt.cublasLtMatmulDescSetAttribute(q->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue,
                                                       sizeof(epilogue)));
    if (p->bias)
        STEP("bias", lt.cublasLtMatmulDescSetAttribute(q->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &p->bias,
                                                       sizeof(p->bias)));
    if (p->aux) {
        STEP("aux", lt.cublasLtMatmulDescSetAttribute(q->desc, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER,
                                                      &p->aux, sizeof(p->aux)));
        STEP("aux_ld", lt.cublasLtMatmulDescSetAttribute(q->desc, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD,
                                                         &p->aux_ld, sizeof(p->aux_ld)));
    }
    STEP("layout", layout(p->row ? &q->x : &q->y, p, p->ta ? p->k : p->m, p->ta ? p->m : p->k));
    STEP("layout", layout(p->row ? &q->y : &q->x, p, p->tb ? p->n : p->k, p->tb ? p->k : p->n));
    STEP("layout", layout(&q->d, p, p->m, p->n));
    STEP("preference", lt.cublasLtMatmulPreferenceCreate(&preference));
    STEP("preference", lt.cublasLtMatmulPreferenceSetAttribute(
                           preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &room, sizeof(room)));
    for (int a = 0; p->align && a < 4; a++) /* A, B, C, D have consecutive numbers */
        STEP("preference",
             lt.cublasLtMatmulPreferenceSetAttribute(
                 preference,
                 (cublasLtMatmulPreferenceAttributes_t)(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES + a),
                 &p->align, sizeof(p->align)));
    double from = now();
    STEP("heuristic", lt.cublasLtMatmulAlgoGetHeuristic(handle, q->desc, q->x, q->y, q->d, q->d, preference,
                                                        want, q->found, &q->nfound));
    q->ask_us = now() - from;
    if (q->nfound == 0)
        s = CUBLAS_STATUS_NOT_SUPPORTED;
    else
        s = q->found[0].state;
#undef STEP
done:
    if (preference) lt.cublasLtMatmulPreferenceDestroy(preference);
    return s;
}

static cublasStatus_t plan_run(plan *q, int algo, CUdeviceptr a, CUdeviceptr b, CUdeviceptr c,
                               CUstream stream) {
    float one = 1, zero = 0;
    void *x = (void *)(uintptr_t)(q->swapped ? b : a), *y = (void *)(uintptr_t)(q->swapped ? a : b);
    void *d = (void *)(uintptr_t)c;
    return lt.cublasLtMatmul(handle, q->desc, &one, x, q->x, y, q->y, &zero, d, q->d, d, q->d,
                             &q->found[algo].algo, workspace, WORKSPACE, (cudaStream_t)stream);
}

static void open_lt(bool kernels) {
    CUdeviceptr room = 0;
    gpu_open(kernels);
    if (!load_lt()) must_(CUDA_ERROR_SHARED_OBJECT_INIT_FAILED, "no cuBLASLt library");
    double from = now();
    cublasStatus_t s = lt.cublasLtCreate(&handle);
    json_num("create_us", now() - from);
    if (s) {
        json_lt("create", s);
        must_(CUDA_ERROR_UNKNOWN, "cublasLtCreate");
    }
    MUST(cu.cuMemAlloc(&room, WORKSPACE));
    workspace = (void *)(uintptr_t)room;
}

/* ---- a small product for the capture task ---- */

static plan small_plan;
static CUdeviceptr small_a, small_b, small_c;
static const product small_product = {
    .m = 128, .n = 128, .k = 128, .tb = true, .type = CUDA_R_16BF, .epilogue = CUBLASLT_EPILOGUE_DEFAULT};

int lt_small_ready(void) {
    CUdeviceptr room = 0;
    const char *where;
    if (!load_lt()) return -1;
    if (lt.cublasLtCreate(&handle)) return -1;
    MUST(cu.cuMemAlloc(&room, WORKSPACE));
    workspace = (void *)(uintptr_t)room;
    MUST(cu.cuMemAlloc(&small_a, 1 << 16));
    MUST(cu.cuMemAlloc(&small_b, 1 << 16));
    MUST(cu.cuMemAlloc(&small_c, 1 << 16));
    return (int)plan_make(&small_plan, &small_product, 1, &where);
}

int lt_small_run(CUstream stream) { return (int)plan_run(&small_plan, 0, small_a, small_b, small_c, stream); }

int lt_small_heuristic(void) {
    plan q;
    const char *where;
    int s = (int)plan_make(&q, &small_product, 1, &where);
    plan_free(&q);
    return s;
}

/* ---- epilogues on small integers: sums are exact in every dtype, so the CPU's result is the only right one
 * ---- */

enum { M = 48, N = 64, K = 32, AUX_LD = 128 };

static const struct {
    const char *name;
    cudaDataType type;
    size_t size;
} types[] = {{"float32", CUDA_R_32F, 4}, {"bfloat16", CUDA_R_16BF, 2}, {"float16", CUDA_R_16F, 2}};

static const struct {
    const char *name;
    cublasLtEpilogue_t epilogue;
    bool bias, bias_grad;
    char aux; /* 'm' mask, 'z' the value before GELU; upper case: an input */
    char f;   /* 'r' relu, 'g' gelu, 'R' and 'G' their derivatives */
} epilogues[] = {{"default", CUBLASLT_EPILOGUE_DEFAULT, 0, 0, 0, 0},
                 {"bias", CUBLASLT_EPILOGUE_BIAS, 1, 0, 0, 0},
                 {"relu", CUBLASLT_EPILOGUE_RELU, 0, 0, 0, 'r'},
                 {"relu_bias", CUBLASLT_EPILOGUE_RELU_BIAS, 1, 0, 0, 'r'},
                 {"relu_aux", CUBLASLT_EPILOGUE_RELU_AUX, 0, 0, 'm', 'r'},
                 {"relu_aux_bias", CUBLASLT_EPILOGUE_RELU_AUX_BIAS, 1, 0, 'm', 'r'},
                 {"gelu", CUBLASLT_EPILOGUE_GELU, 0, 0, 0, 'g'},
                 {"gelu_bias", CUBLASLT_EPILOGUE_GELU_BIAS, 1, 0, 0, 'g'},
                 {"gelu_aux", CUBLASLT_EPILOGUE_GELU_AUX, 0, 0, 'z', 'g'},
                 {"gelu_aux_bias", CUBLASLT_EPILOGUE_GELU_AUX_BIAS, 1, 0, 'z', 'g'},
                 {"drelu", CUBLASLT_EPILOGUE_DRELU, 0, 0, 'M', 'R'},
                 {"drelu_bgrad", CUBLASLT_EPILOGUE_DRELU_BGRAD, 0, 1, 'M', 'R'},
                 {"dgelu", CUBLASLT_EPILOGUE_DGELU, 0, 0, 'Z', 'G'},
                 {"dgelu_bgrad", CUBLASLT_EPILOGUE_DGELU_BGRAD, 0, 1, 'Z', 'G'},
                 {"bgrada", CUBLASLT_EPILOGUE_BGRADA, 0, 1, 0, 0},
                 {"bgradb", CUBLASLT_EPILOGUE_BGRADB, 0, 1, 0, 0}};

static void put(void *to, cudaDataType type, size_t i, double value) {
    if (type == CUDA_R_32F)
        ((float *)to)[i] = (float)value;
    else if (type == CUDA_R_16F)
        ((_Float16 *)to)[i] = (_Float16)value;
    else { /* what is put has few bits: cutting them off is exact */
        float f = (float)value;
        uint32_t bits;
        memcpy(&bits, &f, 4);
        ((uint16_t *)to)[i] = (uint16_t)(bits >> 16);
    }
}

static double get(const void *from, cudaDataType type, size_t i) {
    if (type == CUDA_R_32F) return ((const float *)from)[i];
    if (type == CUDA_R_16F) return (double)((const _Float16 *)from)[i];
    uint32_t bits = (uint32_t)((const uint16_t *)from)[i] << 16;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

static double gelu(double x, bool by_tanh) {
    return by_tanh ? 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))
                   : 0.5 * x * erfc(-x / sqrt(2));
}

static double dgelu(double x, bool by_tanh) {
    if (!by_tanh) return 0.5 * erfc(-x / sqrt(2)) + x * exp(-x * x / 2) / sqrt(2 * 3.14159265358979323846);
    double t = tanh(0.7978845608028654 * (x + 0.044715 * x * x * x));
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * 0.7978845608028654 * (1 + 3 * 0.044715 * x * x);
}

static size_t aux_at(int i, int j, bool along_m) { /* aux is kept in the order of D, or of its transpose */
    return along_m ? (size_t)j * AUX_LD + (size_t)i : (size_t)i * AUX_LD + (size_t)j;
}

static bool bit_at(const uint8_t *bits, size_t i) { return bits[i / 8] >> (i % 8) & 1; }

static unsigned next_random(unsigned *state) { return (*state = *state * 1664525u + 1013904223u) >> 16; }

static struct {
    double sum[M][N], bias[N], a_sum[M], b_sum[N]; /* the product; its bias; op(A) and op(B) summed over k */
    unsigned char a[M * K * 4], b[N * K * 4], vector[N * 4], aux[N * AUX_LD * 4];
    unsigned char d[M * N * 4], vector_out[N * 4], aux_out[N * AUX_LD * 4];
} small;

/* What cuBLASLt may mean: the bias goes along n or m, GELU is by erf or tanh, aux lies along n or m. The
 * reading that fits D best is reported with its largest error. */
static double expected(int e, cudaDataType type, int i, int j, int reading) {
    double z = small.sum[i][j] + (epilogues[e].bias ? small.bias[reading & 1 ? i : j] : 0);
    size_t at = aux_at(i, j, (reading & 4) != 0);
    switch (epilogues[e].f) {
    case 'r': return z > 0 ? z : 0;
    case 'g': return gelu(z, (reading & 2) != 0);
    case 'R': return bit_at(small.aux, at) ? z : 0;
    case 'G': return z * dgelu(get(small.aux, type, at), (reading & 2) != 0);
    default: return z;
    }
}

static int best_reading(int e, cudaDataType type) {
    double best = INFINITY;
    int which = 0;
    for (int reading = 0; reading < 8; reading++) {
        double worst = 0;
        for (int i = 0; i < M; i++)
            for (int j = 0; j < N; j++) {
                double error =
                    fabs(get(small.d, type, (size_t)i * N + (size_t)j) - expected(e, type, i, j, reading));
                if (!(error <= worst)) worst = isnan(error) ? INFINITY : error;
            }
        if (worst < best) {
            best = worst;
            which = reading;
        }
    }
    json_num("d_error", best);
    if (epilogues[e].bias) json_text("bias_along", which & 1 ? "m" : "n");
    if (epilogues[e].f == 'g' || epilogues[e].f == 'G') json_text("gelu_by", which & 2 ? "tanh" : "erf");
    if (epilogues[e].aux == 'M' || epilogues[e].aux == 'Z') json_text("aux_along", which & 4 ? "m" : "n");
    return which;
}

static void check_aux_out(int e, cudaDataType type, int reading) {
    for (int along_m = 0; along_m < 2; along_m++) {
        double worst = 0;
        int wrong = 0;
        for (int i = 0; i < M; i++)
            for (int j = 0; j < N; j++) {
                double z = small.sum[i][j] + (epilogues[e].bias ? small.bias[reading & 1 ? i : j] : 0);
                size_t at = aux_at(i, j, along_m);
                if (epilogues[e].aux == 'm')
                    wrong += z != 0 && bit_at(small.aux_out, at) != (z > 0);
                else
                    worst = fmax(worst, fabs(get(small.aux_out, type, at) - z));
            }
        if (epilogues[e].aux == 'm')
            json_int(along_m ? "mask_wrong_along_m" : "mask_wrong_along_n", wrong);
        else
            json_num(along_m ? "aux_error_along_m" : "aux_error_along_n", worst);
    }
}

static void check_bias_grad(cudaDataType type) {
    double from_a = 0, from_b = 0, over_m = 0, over_n = 0;
    for (int j = 0; j < N; j++) {
        double v = get(small.vector_out, type, (size_t)j), column = 0;
        for (int i = 0; i < M; i++) column += get(small.d, type, (size_t)i * N + (size_t)j);
        over_m = fmax(over_m, fabs(v - column));
        from_b = fmax(from_b, fabs(v - small.b_sum[j]));
    }
    for (int i = 0; i < M; i++) {
        double v = get(small.vector_out, type, (size_t)i), line = 0;
        for (int j = 0; j < N; j++) line += get(small.d, type, (size_t)i * N + (size_t)j);
        over_n = fmax(over_n, fabs(v - line));
        from_a = fmax(from_a, fabs(v - small.a_sum[i]));
    }
    json_num("error_if_d_summed_over_m", over_m);
    json_num("error_if_d_summed_over_n", over_n);
    json_num("error_if_a_summed_over_k", from_a);
    json_num("error_if_b_summed_over_k", from_b);
}

static void fill_small(cudaDataType type, char aux, bool ta, bool tb) {
    static double a[M][K], b[K][N];
    unsigned state = 7;
    memset(&small, 0, sizeof(small));
    for (int i = 0; i < M; i++)
        for (int k = 0; k < K; k++) {
            a[i][k] = (int)(next_random(&state) % 5) - 2;
            put(small.a, type, ta ? (size_t)k * M + (size_t)i : (size_t)i * K + (size_t)k, a[i][k]);
            small.a_sum[i] += a[i][k];
        }
    for (int k = 0; k < K; k++)
        for (int j = 0; j < N; j++) {
            b[k][j] = (int)(next_random(&state) % 5) - 2;
            put(small.b, type, tb ? (size_t)j * K + (size_t)k : (size_t)k * N + (size_t)j, b[k][j]);
            small.b_sum[j] += b[k][j];
        }
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++)
            for (int k = 0; k < K; k++) small.sum[i][j] += a[i][k] * b[k][j];
    for (int j = 0; j < N; j++) {
        small.bias[j] = (int)(next_random(&state) % 17) - 8;
        put(small.vector, type, (size_t)j, small.bias[j]);
    }
    for (size_t i = 0; i < (size_t)N * AUX_LD; i++) {
        if (aux == 'Z')
            put(small.aux, type, i, ((int)(next_random(&state) % 33) - 16) / 4.0);
        else if (aux == 'M')
            small.aux[i] = (unsigned char)next_random(&state);
    }
}

static void try_epilogue(int e, size_t t, bool row, bool ta, bool tb, const CUdeviceptr *buffer) {
    cudaDataType type = types[t].type;
    plan q;
    const char *where = "";
    char key[96];
    product p = {.row = row,
                 .m = M,
                 .n = N,
                 .k = K,
                 .ta = ta,
                 .tb = tb,
                 .type = type,
                 .epilogue = epilogues[e].epilogue,
                 .aux_ld = AUX_LD};
    if (epilogues[e].bias || epilogues[e].bias_grad) p.bias = (void *)(uintptr_t)buffer[3];
    if (epilogues[e].aux) p.aux = (void *)(uintptr_t)buffer[4];
    fill_small(type, epilogues[e].aux, ta, tb);
    MUST(cu.cuMemcpyHtoD(buffer[0], small.a, sizeof(small.a)));
    MUST(cu.cuMemcpyHtoD(buffer[1], small.b, sizeof(small.b)));
    MUST(cu.cuMemsetD8(buffer[2], 0xFF, sizeof(small.d)));
    MUST(cu.cuMemcpyHtoD(buffer[3], small.vector, sizeof(small.vector)));
    MUST(cu.cuMemcpyHtoD(buffer[4], small.aux, sizeof(small.aux)));
    snprintf(key, sizeof(key), "%s.%s.%s%c%c", types[t].name, epilogues[e].name, row ? "row." : "swapped.",
             ta ? 't' : 'n', tb ? 't' : 'n');
    json_open(key, '{');
    cublasStatus_t s = plan_make(&q, &p, 4, &where);
    if (s) {
        json_text("refused_by", "%s", where);
        json_lt("status", s);
    } else {
        json_int("algorithms", q.nfound);
        s = plan_run(&q, 0, buffer[0], buffer[1], buffer[2], NULL);
        json_lt("status", s);
        CUresult ran = cu.cuCtxSynchronize();
        if (ran) json_cu("synchronize", ran);
        if (!s && !ran) {
            MUST(cu.cuMemcpyDtoH(small.d, buffer[2], sizeof(small.d)));
            MUST(cu.cuMemcpyDtoH(small.vector_out, buffer[3], sizeof(small.vector_out)));
            MUST(cu.cuMemcpyDtoH(small.aux_out, buffer[4], sizeof(small.aux_out)));
            int reading = best_reading(e, type);
            if (epilogues[e].aux == 'm' || epilogues[e].aux == 'z') check_aux_out(e, type, reading);
            if (epilogues[e].bias_grad) check_bias_grad(type);
        }
    }
    plan_free(&q);
    json_close();
}

void task_epilogues(void) {
    CUdeviceptr buffer[5];
    open_lt(false);
    for (int i = 0; i < 5; i++) MUST(cu.cuMemAlloc(&buffer[i], sizeof(small.aux)));
    /* nt: y = x w^T, the linear layer; nn: its input's gradient; tn: its weight's gradient */
    static const bool kinds[3][2] = {{false, true}, {false, false}, {true, false}};
    for (size_t t = 0; t < 3; t++)
        for (int row = 0; row < 2; row++)
            for (int kind = 0; kind < 3; kind++)
                for (size_t e = 0; e < sizeof(epilogues) / sizeof(*epilogues); e++)
                    try_epilogue((int)e, t, row, kinds[kind][0], kinds[kind][1], buffer);
}

/* ---- what the heuristic chose, and how long it takes ---- */

static void describe(const cublasLtMatmulHeuristicResult_t *found) {
    static const struct {
        const char *name;
        cublasLtMatmulAlgoConfigAttributes_t attribute;
        size_t size;
    } rows[] = {{"id", CUBLASLT_ALGO_CONFIG_ID, 4},
                {"tile", CUBLASLT_ALGO_CONFIG_TILE_ID, 4},
                {"stages", CUBLASLT_ALGO_CONFIG_STAGES_ID, 4},
                {"split_k", CUBLASLT_ALGO_CONFIG_SPLITK_NUM, 4},
                {"reduction", CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, 4},
                {"swizzle", CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING, 4},
                {"custom", CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION, 4},
                {"inner_shape", CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID, 2},
                {"cluster_shape", CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID, 2}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        uint32_t value = 0; /* the two-byte ones fill its low half */
        size_t written = 0;
        if (lt.cublasLtMatmulAlgoConfigGetAttribute(&found->algo, rows[i].attribute, &value, rows[i].size,
                                                    &written) == CUBLAS_STATUS_SUCCESS)
            json_int(rows[i].name, value);
    }
    json_int("workspace", (long long)found->workspaceSize);
    json_num("waves", found->wavesCount);
}

typedef struct {
    plan *q;
    int algo;
    CUdeviceptr a, b, c;
    CUstream stream;
} timed;

static int run_timed(void *arg) {
    timed *t = arg;
    return (int)plan_run(t->q, t->algo, t->a, t->b, t->c, t->stream);
}

/* The first `tried` algorithms, each with its time. */
static void time_product(const char *key, const product *p, CUdeviceptr a, CUdeviceptr b, CUdeviceptr c,
                         CUstream stream, int tried) {
    plan q;
    const char *where = "";
    json_open(key, '{');
    json_open("mnk", '[');
    json_int(NULL, p->m);
    json_int(NULL, p->n);
    json_int(NULL, p->k);
    json_close();
    cublasStatus_t s = plan_make(&q, p, 8, &where);
    if (s) {
        json_text("refused_by", "%s", where);
        json_lt("status", s);
    } else {
        json_num("ask_us", q.ask_us);
        json_int("algorithms", q.nfound);
        json_open("tried", '[');
        for (int i = 0; i < q.nfound && i < tried; i++) {
            timed t = {&q, i, a, b, c, stream};
            double us = gpu_time(run_timed, &t, stream, 15000);
            json_open(NULL, '{');
            json_num("us", us);
            if (isnan(us)) json_lt("status", (cublasStatus_t)run_timed(&t));
            json_num("tflops", 2.0 * (double)p->m * (double)p->n * (double)p->k / us * 1e-6);
            describe(&q.found[i]);
            json_close();
        }
        json_close();
    }
    plan_free(&q);
    json_close();
}

static CUdeviceptr noise(int64_t elements, unsigned seed) {
    CUdeviceptr p = 0;
    unsigned long long n = (unsigned long long)elements;
    void *args[] = {&p, &n, &seed};
    MUST(cu.cuMemAlloc(&p, (size_t)elements * 2));
    MUST(gpu_launch("noise", 2048, 256, NULL, args));
    MUST(cu.cuCtxSynchronize());
    return p;
}

void task_matmul(void) {
    static const int64_t shapes[][2] = {{768, 2304}, {768, 768},   {768, 3072},
                                        {3072, 768}, {768, 50304}, {768, 50257}};
    static const int64_t token_counts[] = {4 * 64, 64 * 1024};
    CUstream s;
    char key[96];
    open_lt(true);
    MUST(cu.cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
    CUdeviceptr vector = noise(1 << 16, 9);
    for (size_t f = 0; f < 2; f++)
        for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
            int64_t tokens = token_counts[f], in = shapes[i][0], out = shapes[i][1];
            CUdeviceptr x = noise(tokens * in, 1), w = noise(in * out, 2), y = noise(tokens * out, 3);
            product forward = {.m = tokens,
                               .n = out,
                               .k = in,
                               .tb = true,
                               .type = CUDA_R_16BF,
                               .epilogue = CUBLASLT_EPILOGUE_DEFAULT};
            product input = {
                .m = tokens, .n = in, .k = out, .type = CUDA_R_16BF, .epilogue = CUBLASLT_EPILOGUE_DEFAULT};
            product weight = {.m = out,
                              .n = in,
                              .k = tokens,
                              .ta = true,
                              .type = CUDA_R_16BF,
                              .epilogue = CUBLASLT_EPILOGUE_DEFAULT};
            const char *format = "bfloat16.%s.%lld.%lldx%lld";
            long long t = tokens, from = in, to = out;
            snprintf(key, sizeof(key), format, "forward", t, from, to);
            time_product(key, &forward, x, w, y, s, 3);
            if (out == 3072) { /* the first half of the MLP, with what could be fused into it */
                CUdeviceptr aux = noise(tokens * out, 4);
                static const struct {
                    const char *name;
                    cublasLtEpilogue_t epilogue;
                    bool aux;
                } fused[] = {{"forward_bias", CUBLASLT_EPILOGUE_BIAS, false},
                             {"forward_gelu_bias", CUBLASLT_EPILOGUE_GELU_BIAS, false},
                             {"forward_gelu_aux_bias", CUBLASLT_EPILOGUE_GELU_AUX_BIAS, true}};
                for (size_t e = 0; e < 3; e++) {
                    product p = forward;
                    p.epilogue = fused[e].epilogue;
                    p.bias = (void *)(uintptr_t)vector;
                    if (fused[e].aux) p.aux = (void *)(uintptr_t)aux, p.aux_ld = out;
                    snprintf(key, sizeof(key), format, fused[e].name, t, from, to);
                    time_product(key, &p, x, w, y, s, 1);
                }
                MUST(cu.cuMemFree(aux));
            }
            snprintf(key, sizeof(key), format, "grad_input", t, from, to);
            time_product(key, &input, y, w, x, s, 3);
            if (in == 3072) { /* its second half, going back through the GELU before it */
                CUdeviceptr aux = noise(tokens * in, 4);
                product p = input;
                p.epilogue = CUBLASLT_EPILOGUE_DGELU;
                p.aux = (void *)(uintptr_t)aux;
                p.aux_ld = in;
                snprintf(key, sizeof(key), format, "grad_input_dgelu", t, from, to);
                time_product(key, &p, y, w, x, s, 1);
                p.epilogue = CUBLASLT_EPILOGUE_DGELU_BGRAD;
                p.bias = (void *)(uintptr_t)vector;
                snprintf(key, sizeof(key), format, "grad_input_dgelu_bgrad", t, from, to);
                time_product(key, &p, y, w, x, s, 1);
                MUST(cu.cuMemFree(aux));
            }
            snprintf(key, sizeof(key), format, "grad_weight", t, from, to);
            time_product(key, &weight, y, x, w, s, 3);
            weight.epilogue = CUBLASLT_EPILOGUE_BGRADB; /* swapped: dy is cuBLASLt's B */
            weight.bias = (void *)(uintptr_t)vector;
            snprintf(key, sizeof(key), format, "grad_weight_bgradb", t, from, to);
            time_product(key, &weight, y, x, w, s, 1);
            MUST(cu.cuMemFree(x));
            MUST(cu.cuMemFree(w));
            MUST(cu.cuMemFree(y));
        }
    for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) { /* float32, TF32 stays off by COMPUTE_32F */
        int64_t tokens = token_counts[0], in = shapes[i][0], out = shapes[i][1];
        CUdeviceptr x = noise(tokens * in * 2, 1), w = noise(in * out * 2, 2), y = noise(tokens * out * 2, 3);
        product forward = {.m = tokens,
                           .n = out,
                           .k = in,
                           .tb = true,
                           .type = CUDA_R_32F,
                           .epilogue = CUBLASLT_EPILOGUE_DEFAULT};
        snprintf(key, sizeof(key), "float32.forward.%lld.%lldx%lld", (long long)tokens, (long long)in,
                 (long long)out);
        time_product(key, &forward, x, w, y, s, 3);
        MUST(cu.cuMemFree(x));
        MUST(cu.cuMemFree(w));
        MUST(cu.cuMemFree(y));
    }
}

/* ---- alignment ---- */

enum { SIDE = 1024 };

void task_alignment(void) {
    CUstream s;
    char key[96];
    open_lt(true);
    MUST(cu.cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
    CUdeviceptr a = noise(SIDE * (SIDE + 64) + 64, 1), b = noise(SIDE * (SIDE + 64) + 64, 2);
    CUdeviceptr c = noise(SIDE * (SIDE + 64) + 64, 3);
    for (int i = 0; i < 6; i++) { /* longer rows */
        int64_t pad = i ? 1 << (i - 1) : 0;
        product p = {.m = SIDE,
                     .n = SIDE,
                     .k = SIDE,
                     .tb = true,
                     .type = CUDA_R_16BF,
                     .epilogue = CUBLASLT_EPILOGUE_DEFAULT,
                     .pad = pad};
        snprintf(key, sizeof(key), "bfloat16.rows_longer_by_%lld", (long long)pad);
        time_product(key, &p, a, b, c, s, 1);
    }
    for (unsigned bytes = 2; bytes <= 128; bytes *= 2) { /* buffers that begin at odd places, and say so */
        product p = {.m = SIDE,
                     .n = SIDE,
                     .k = SIDE,
                     .tb = true,
                     .type = CUDA_R_16BF,
                     .epilogue = CUBLASLT_EPILOGUE_DEFAULT,
                     .align = bytes};
        snprintf(key, sizeof(key), "bfloat16.pointers_off_by_%u", bytes);
        time_product(key, &p, a + bytes, b + bytes, c + bytes, s, 1);
    }
    json_child("pointers_off_by_2_unsaid", "misaligned", 15);
}

void task_misaligned(void) {
    plan q;
    const char *where = "";
    product p = {.m = SIDE,
                 .n = SIDE,
                 .k = SIDE,
                 .tb = true,
                 .type = CUDA_R_16BF,
                 .epilogue = CUBLASLT_EPILOGUE_DEFAULT};
    open_lt(true);
    CUdeviceptr a = noise(SIDE * SIDE + 64, 1), b = noise(SIDE * SIDE + 64, 2), c = noise(SIDE * SIDE + 64, 3);
    cublasStatus_t s = plan_make(&q, &p, 1, &where);
    if (!s) s = plan_run(&q, 0, a + 2, b + 2, c + 2, NULL);
    json_lt("status", s);
    json_cu("synchronize", cu.cuCtxSynchronize());
}
