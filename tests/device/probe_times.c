/* How long things take: compiling, launching, graphs, copying, allocating. Times are in microseconds, medians
 * unless said otherwise. */
#include <stdio.h>
#include "probe.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- NVRTC and modules; the first part needs no GPU ---- */

void task_compile(void) {
    static const char small_text[] =
        "extern \"C\" __global__ void scale(float *y, const float *x, float a, unsigned n) {\n"
        "    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;\n"
        "    if (i < n) y[i] = a * x[i];\n"
        "}\n";
    static const int archs[] = {80, 90, 100};
    char key[64], name[32];
    size_t size = 0;
    double us[5];
    int major = 0, minor = 0;
    bool have_nvrtc = load_nvrtc();
    if (load_lt())
        json_int("cublaslt", (long long)lt.cublasLtGetVersion());
    else
        json_text("cublaslt", "no library");
    if (!have_nvrtc) {
        json_text("error", "no NVRTC library");
        return;
    }
    rtc.nvrtcVersion(&major, &minor);
    json_text("nvrtc", "%d.%d", major, minor);
    for (size_t a = 0; a < sizeof(archs) / sizeof(*archs); a++)
        for (int kind = 0; kind < 2; kind++) {
            for (int i = 0; i < 5; i++) {
                double from = now();
                char *code = compile(small_text, archs[a], kind ? 'p' : 'c', &size);
                us[i] = now() - from;
                free(code);
                if (i == 0 && a == 0 && kind == 0) json_num("first_compile_us", us[0]);
            }
            snprintf(key, sizeof(key), "small_sm_%d_%s_us", archs[a], kind ? "ptx" : "cubin");
            json_num(key, median(us, 5));
        }
    for (size_t a = 0; a < sizeof(archs) / sizeof(*archs); a++) {
        double from = now();
        char *code = compile(kernel_text, archs[a], 'c', &size);
        snprintf(key, sizeof(key), "all_kernels_sm_%d_us", archs[a]);
        json_num(key, code ? now() - from : NAN);
        free(code);
    }
    if (!gpu_count()) return;
    gpu_open(false);
    for (int kind = 0; kind < 2; kind++) { /* names differ: the driver keeps what it compiled from PTX before */
        double load[5], get[5], unload[5];
        for (int i = 0; i < 5; i++) {
            char text[512];
            CUmodule m;
            CUfunction f;
            snprintf(name, sizeof(name), "scale_%d_%d", (int)((unsigned long)now() % 1000000), i);
            snprintf(text, sizeof(text),
                     "extern \"C\" __global__ void %s(float *y, const float *x, float a, unsigned n) {\n"
                     "    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;\n    if (i < n) y[i] = a * x[i] "
                     "+ %d;\n}\n",
                     name, i);
            char *code = compile(text, gpu.arch, kind ? 'p' : 'c', &size);
            if (!code) return;
            double t0 = now();
            MUST(cu.cuModuleLoadData(&m, code));
            double t1 = now();
            MUST(cu.cuModuleGetFunction(&f, m, name));
            double t2 = now();
            MUST(cu.cuModuleUnload(m));
            double t3 = now();
            load[i] = t1 - t0;
            get[i] = t2 - t1;
            unload[i] = t3 - t2;
            free(code);
        }
        json_open(kind ? "module_ptx" : "module_cubin", '{');
        json_num("load_us", median(load, 5));
        json_num("get_function_us", median(get, 5));
        json_num("unload_us", median(unload, 5));
        json_close();
    }
}

/* ---- launches and graphs ---- */

static CUstream stream;
static CUfunction empty;

static void launch_empty(void) { MUST(cu.cuLaunchKernel(empty, 1, 1, 1, 32, 1, 1, 0, stream, NULL, NULL)); }

static void kernels_alone(void) {
    enum { ROUNDS = 201, MANY = 10000 };
    double call[ROUNDS], whole[ROUNDS];
    double from = now();
    launch_empty();
    json_num("first_launch_us", now() - from);
    MUST(cu.cuStreamSynchronize(stream));
    for (int i = 0; i < ROUNDS; i++) {
        double t0 = now();
        launch_empty();
        double t1 = now();
        MUST(cu.cuStreamSynchronize(stream));
        call[i] = t1 - t0;
        whole[i] = now() - t0;
    }
    json_num("launch_call_us", median(call, ROUNDS));
    json_num("launch_and_synchronize_us", median(whole, ROUNDS));
    from = now();
    for (int i = 0; i < MANY; i++) launch_empty();
    double queued = now();
    MUST(cu.cuStreamSynchronize(stream));
    json_num("back_to_back_call_us", (queued - from) / MANY);
    json_num("back_to_back_us", (now() - from) / MANY);
}

static void graph_of(int n) {
    enum { ROUNDS = 101 };
    CUgraph g;
    CUgraphExec exec;
    CUevent a, b;
    float ms = 0;
    double call[ROUNDS], whole[ROUNDS];
    char key[32];
    double t0 = now();
    MUST(cu.cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
    for (int i = 0; i < n; i++) launch_empty();
    MUST(cu.cuStreamEndCapture(stream, &g));
    double t1 = now();
    MUST(cu.cuGraphInstantiate(&exec, g, 0));
    double t2 = now();
    MUST(cu.cuGraphUpload(exec, stream));
    MUST(cu.cuStreamSynchronize(stream));
    double t3 = now();
    MUST(cu.cuGraphLaunch(exec, stream));
    MUST(cu.cuStreamSynchronize(stream));
    double t4 = now();
    for (int i = 0; i < ROUNDS; i++) {
        double from = now();
        MUST(cu.cuGraphLaunch(exec, stream));
        call[i] = now() - from;
        MUST(cu.cuStreamSynchronize(stream));
        whole[i] = now() - from;
    }
    MUST(cu.cuEventCreate(&a, CU_EVENT_DEFAULT));
    MUST(cu.cuEventCreate(&b, CU_EVENT_DEFAULT));
    MUST(cu.cuEventRecord(a, stream));
    for (int i = 0; i < ROUNDS; i++) MUST(cu.cuGraphLaunch(exec, stream));
    MUST(cu.cuEventRecord(b, stream));
    MUST(cu.cuEventSynchronize(b));
    MUST(cu.cuEventElapsedTime(&ms, a, b));
    snprintf(key, sizeof(key), "graph_%d", n);
    json_open(key, '{');
    json_num("capture_us", t1 - t0);
    json_num("instantiate_us", t2 - t1);
    json_num("upload_us", t3 - t2);
    json_num("first_launch_and_synchronize_us", t4 - t3);
    json_num("launch_call_us", median(call, ROUNDS));
    json_num("launch_and_synchronize_us", median(whole, ROUNDS));
    json_num("back_to_back_us", ms * 1e3 / ROUNDS);
    json_num("per_node_us", ms * 1e3 / ROUNDS / n);
    t0 = now();
    CUDA_KERNEL_NODE_PARAMS params;
    CUgraphNode *nodes = calloc((size_t)n, sizeof(*nodes));
    size_t count = (size_t)n;
    if (nodes && cu.cuGraphGetNodes(g, nodes, &count) == CUDA_SUCCESS) {
        memset(&params, 0, sizeof(params));
        MUST(cu.cuGraphKernelNodeGetParams(nodes[0], &params));
        t0 = now();
        for (int i = 0; i < n; i++) MUST(cu.cuGraphExecKernelNodeSetParams(exec, nodes[i], &params));
        json_num("set_params_per_node_us", (now() - t0) / n);
    }
    free(nodes);
    json_close();
    MUST(cu.cuEventDestroy(a));
    MUST(cu.cuEventDestroy(b));
    MUST(cu.cuGraphExecDestroy(exec));
    MUST(cu.cuGraphDestroy(g));
}

static void events(void) {
    enum { ROUNDS = 501 };
    CUevent a, b;
    double record[ROUNDS], query[ROUNDS], gap[ROUNDS], around[ROUNDS];
    float ms = 0;
    MUST(cu.cuEventCreate(&a, CU_EVENT_DEFAULT));
    MUST(cu.cuEventCreate(&b, CU_EVENT_DEFAULT));
    for (int i = 0; i < ROUNDS; i++) {
        double t0 = now();
        MUST(cu.cuEventRecord(a, stream));
        record[i] = now() - t0;
        MUST(cu.cuEventRecord(b, stream));
        MUST(cu.cuEventSynchronize(b));
        MUST(cu.cuEventElapsedTime(&ms, a, b));
        gap[i] = ms * 1e3;
        t0 = now();
        MUST(cu.cuEventQuery(b));
        query[i] = now() - t0;
        MUST(cu.cuEventRecord(a, stream));
        launch_empty();
        MUST(cu.cuEventRecord(b, stream));
        MUST(cu.cuEventSynchronize(b));
        MUST(cu.cuEventElapsedTime(&ms, a, b));
        around[i] = ms * 1e3;
    }
    json_open("events", '{');
    json_num("record_call_us", median(record, ROUNDS));
    json_num("query_call_us", median(query, ROUNDS));
    json_num("two_records_apart_us", median(gap, ROUNDS));
    json_num("around_an_empty_kernel_us", median(around, ROUNDS));
    json_close();
}

void task_launch(void) {
    gpu_open(true);
    empty = gpu_kernel("empty");
    MUST(cu.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    kernels_alone();
    events();
    graph_of(1);
    graph_of(10);
    graph_of(100);
    graph_of(1000);
}

/* ---- copies and sums ---- */

typedef struct {
    void *host;
    CUdeviceptr from, to;
    unsigned long long bytes;
} transfer;

static int copy_in(void *arg) {
    transfer *t = arg;
    return (int)cu.cuMemcpyHtoDAsync(t->to, t->host, t->bytes, stream);
}
static int copy_out(void *arg) {
    transfer *t = arg;
    return (int)cu.cuMemcpyDtoHAsync(t->host, t->from, t->bytes, stream);
}
static int copy_by_driver(void *arg) {
    transfer *t = arg;
    return (int)cu.cuMemcpyDtoDAsync(t->to, t->from, t->bytes, stream);
}
static int set_by_driver(void *arg) {
    transfer *t = arg;
    return (int)cu.cuMemsetD32Async(t->to, 0, t->bytes / 4, stream);
}
static int copy_by_kernel(void *arg) {
    transfer *t = arg;
    unsigned long long n = t->bytes / 16, blocks = (n + 1023) / 1024;
    void *args[] = {&t->to, &t->from, &n};
    return (int)gpu_launch("copy", (unsigned)(blocks > 132 * 16 ? 132 * 16 : blocks), 1024, stream, args);
}
/* Sums by blocks of 16,384 floats until one float is left; the partial sums lie one level after the other in
 * `to`. */
static int sum_by_kernel(void *arg) {
    transfer *t = arg;
    CUdeviceptr in = t->from, out = t->to;
    unsigned long long n = t->bytes / 4;
    while (n > 1) {
        unsigned long long quads = (n + 3) / 4, blocks = (n + 16383) / 16384;
        void *args[] = {&out, &in, &quads};
        CUresult code = gpu_launch("sum", (unsigned)blocks, 256, stream, args);
        if (code) return (int)code;
        in = out;
        n = blocks;
        out += (blocks * 4 + 255) / 256 *
               256; /* rounded up: the tail of a level is zeros, and float4 needs alignment */
    }
    t->host = (void *)(uintptr_t)in; /* where the sum is */
    return 0;
}

static void rate(const char *name, int (*fn)(void *), transfer *t, double times_moved) {
    char key[96];
    double us = gpu_time(fn, t, stream, 20000);
    snprintf(key, sizeof(key), "%s.%llu", name, t->bytes);
    json_open(key, '{');
    json_num("us", us);
    json_num("gb_s", times_moved * (double)t->bytes / us * 1e-3);
    json_close();
}

void task_copy(void) {
    static const unsigned long long host_sizes[] = {4, 4096, 65536, 1 << 20, 16 << 20, 256 << 20};
    static const unsigned long long sizes[] = {4096,      1 << 20,    16 << 20,  64 << 20,
                                               256 << 20, 1ull << 30, 4ull << 30};
    enum { ROUNDS = 101 };
    transfer t;
    void *pinned = NULL, *pageable = malloc(256 << 20);
    double us[ROUNDS];
    memset(&t, 0, sizeof(t));
    gpu_open(true);
    MUST(cu.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    double from = now();
    MUST(cu.cuMemHostAlloc(&pinned, 256 << 20, 0));
    json_num("pin_256_MiB_us", now() - from);
    if (!pageable) return;
    memset(pageable, 1, 256 << 20);
    memset(pinned, 1, 256 << 20);
    MUST(cu.cuMemAlloc(&t.from, 4ull << 30));
    MUST(cu.cuMemAlloc(&t.to, 4ull << 30));
    for (size_t i = 0; i < sizeof(host_sizes) / sizeof(*host_sizes); i++) {
        t.bytes = host_sizes[i];
        t.host = pinned;
        rate("in_pinned", copy_in, &t, 1);
        rate("out_pinned", copy_out, &t, 1);
        t.host = pageable;
        rate("in_pageable", copy_in, &t, 1);
        rate("out_pageable", copy_out, &t, 1);
    }
    t.bytes = 4;
    t.host = pinned;
    for (int kind = 0; kind < 2; kind++) { /* as item() does: copy and wait */
        for (int i = 0; i < ROUNDS; i++) {
            double t0 = now();
            MUST((CUresult)(kind ? copy_in(&t) : copy_out(&t)));
            MUST(cu.cuStreamSynchronize(stream));
            us[i] = now() - t0;
        }
        json_num(kind ? "in_4_bytes_and_wait_us" : "out_4_bytes_and_wait_us", median(us, ROUNDS));
    }
    for (int i = 0; i < ROUNDS; i++) {
        int value;
        double t0 = now();
        MUST(cu.cuMemcpyDtoH(&value, t.from, 4));
        us[i] = now() - t0;
    }
    json_num("out_4_bytes_synchronous_us", median(us, ROUNDS));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        t.bytes = sizes[i];
        rate("device_copy", copy_by_driver, &t, 2);
        rate("kernel_copy", copy_by_kernel, &t, 2);
        rate("device_memset", set_by_driver, &t, 1);
        /* ones, so that the sum is exact; the levels above need zeros behind their ends */
        MUST(cu.cuMemsetD32Async(t.from, 0x3F800000, t.bytes / 4, stream));
        MUST(cu.cuMemsetD32Async(t.to, 0, (t.bytes / 16384 + 1024) / 4, stream));
        rate("kernel_sum", sum_by_kernel, &t, 1);
        float total = 0;
        char key[64];
        MUST(cu.cuMemcpyDtoH(&total, (CUdeviceptr)(uintptr_t)t.host, 4));
        snprintf(key, sizeof(key), "kernel_sum_error.%llu", t.bytes);
        json_num(key, (double)total - (double)(t.bytes / 4));
    }
    free(pageable);
}

/* ---- allocating ---- */

void task_memory(void) {
    static const size_t sizes[] = {256, 65536, 1 << 20, 64 << 20, 1 << 30};
    enum { ROUNDS = 51 };
    double a[ROUNDS], b[ROUNDS];
    CUdeviceptr p = 0;
    CUmemoryPool pool;
    uint64_t keep = UINT64_MAX, reserved = 0;
    char key[64];
    gpu_open(false);
    MUST(cu.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    MUST(cu.cuDeviceGetDefaultMemPool(&pool, gpu.device));
    MUST(cu.cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &reserved));
    json_int("default_release_threshold", (long long)reserved);
    for (int kind = 0; kind < 4; kind++) {
        static const char *const kinds[] = {"plain", "async_default", "async_keeping", "pinned"};
        if (kind == 2) MUST(cu.cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &keep));
        for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
            int rounds = kind == 3 && sizes[s] > (1 << 20) ? 3 : ROUNDS;
            double first = 0;
            for (int i = -1; i < rounds; i++) { /* the first is told apart */
                void *host = NULL;
                double t0 = now();
                if (kind == 0)
                    MUST(cu.cuMemAlloc(&p, sizes[s]));
                else if (kind == 3)
                    MUST(cu.cuMemHostAlloc(&host, sizes[s], 0));
                else
                    MUST(cu.cuMemAllocAsync(&p, sizes[s], stream));
                double t1 = now();
                if (kind == 0)
                    MUST(cu.cuMemFree(p));
                else if (kind == 3)
                    MUST(cu.cuMemFreeHost(host));
                else
                    MUST(cu.cuMemFreeAsync(p, stream));
                double t2 = now();
                MUST(cu.cuStreamSynchronize(stream));
                if (i < 0)
                    first = t1 - t0;
                else
                    a[i] = t1 - t0, b[i] = t2 - t1;
            }
            snprintf(key, sizeof(key), "%s.%zu", kinds[kind], sizes[s]);
            json_open(key, '{');
            json_num("first_alloc_us", first);
            json_num("alloc_us", median(a, rounds));
            json_num("free_us", median(b, rounds));
            json_close();
        }
    }
    MUST(cu.cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT, &reserved));
    json_int("pool_reserved_at_end", (long long)reserved);
}
