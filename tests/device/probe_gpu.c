/* What the tasks of the probe share: the JSON writer, the libraries, the kernels, timing. */
#include <stdio.h>
#include "probe.h"
#include <dlfcn.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- JSON ---- */

FILE *json_file;
static struct {
    char stack[16];
    int depth;
    bool more;
} json;

static void put_string(const char *s) {
    putc('"', json_file);
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            fprintf(json_file, "\\%c", c);
        else if (c < 0x20 || c >= 0x7F)
            fprintf(json_file, "\\u%04x", c);
        else
            putc(c, json_file);
    }
    putc('"', json_file);
}

static void begin_value(const char *key) {
    if (json.more) putc(',', json_file);
    if (key) {
        put_string(key);
        putc(':', json_file);
    }
}

static void end_value(void) {
    json.more = json.depth > 0;
    if (json.depth == 0) {
        putc('\n', json_file);
        fflush(json_file);
    }
}

void json_open(const char *key, char bracket) {
    begin_value(key);
    putc(bracket, json_file);
    json.stack[json.depth++] = bracket == '{' ? '}' : ']';
    json.more = false;
}

void json_close(void) {
    putc(json.stack[--json.depth], json_file);
    end_value();
}

void json_text(const char *key, const char *format, ...) {
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    begin_value(key);
    put_string(text);
    end_value();
}

void json_int(const char *key, long long value) {
    begin_value(key);
    fprintf(json_file, "%lld", value);
    end_value();
}

void json_num(const char *key, double value) {
    begin_value(key);
    if (isfinite(value))
        fprintf(json_file, "%.6g", value);
    else
        fputs("null", json_file);
    end_value();
}

void json_cu(const char *key, CUresult code) {
    const char *name = NULL;
    json_open(key, '[');
    json_int(NULL, code);
    if (cu.cuGetErrorName(code, &name) == CUDA_SUCCESS && name) json_text(NULL, "%s", name);
    json_close();
}

void json_lt(const char *key, cublasStatus_t status) {
    json_open(key, '[');
    json_int(NULL, status);
    json_text(NULL, "%s", lt.cublasLtGetStatusName(status));
    json_close();
}

/* ---- the libraries: each table is filled, or stays empty ---- */

struct driver cu;
struct nvrtc rtc;
struct lt lt;

#define TEXT_(s) #s
#define TEXT(s) TEXT_(s)
#define NAME(f) TEXT(f),
#define COUNT(names) (sizeof(names) / sizeof(*(names)))
static const char *const driver_names[] = {DRIVER_CALLS(NAME)};
static const char *const nvrtc_names[] = {NVRTC_CALLS(NAME)};
static const char *const lt_names[] = {LT_CALLS(NAME)};

static bool load(const char *stem, int version, const char *const *names, size_t n, void *table) {
    char file[64];
    snprintf(file, sizeof(file), "%s.so.%d", stem, version);
    void *library = dlopen(file, RTLD_NOW);
    if (!library) return false;
    for (size_t i = 0; i < n; i++) {
        void *f = dlsym(library, names[i]);
        if (!f) {
            json_text("missing_call", "%s has no %s", file, names[i]);
            return false;
        }
        memcpy((char *)table + i * sizeof(f), &f, sizeof(f));
    }
    return true;
}

bool load_driver(void) { return cu.cuInit || load("libcuda", 1, driver_names, COUNT(driver_names), &cu); }

bool load_nvrtc(void) {
    return rtc.nvrtcVersion || load("libnvrtc", CUDA_VERSION / 1000, nvrtc_names, COUNT(nvrtc_names), &rtc);
}

bool load_lt(void) {
    return lt.cublasLtCreate || load("libcublasLt", CUDA_VERSION / 1000, lt_names, COUNT(lt_names), &lt);
}

/* ---- kernels ---- */

const char kernel_text[] =
    "typedef unsigned long long u64;\n"
    "extern \"C\" {\n"
    "__device__ int counter = 7;\n"
    "__global__ void empty() {}\n"
    "__global__ void set(int *p, int value) { *p = value; }\n"
    "__global__ void add(int *p, int value) { *p += value; }\n"
    "__global__ void shift(int *p, int by) { p[by] = by; }\n"
    "__global__ void __launch_bounds__(1024) copy(float4 *to, const float4 *from, u64 n) {\n"
    "    u64 step = (u64)gridDim.x * blockDim.x;\n"
    "    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) to[i] = from[i];\n"
    "}\n"
    /* a block of 256 sums 16,384 floats: 16 float4 a thread, then a tree in shared memory */
    "__global__ void __launch_bounds__(256) sum(float *out, const float4 *in, u64 n) {\n"
    "    __shared__ float s[256];\n"
    "    u64 at = (u64)blockIdx.x * 4096 + threadIdx.x;\n"
    "    float a = 0, b = 0, c = 0, d = 0;\n"
    "    for (int i = 0; i < 16; i++, at += 256)\n"
    "        if (at < n) { float4 v = in[at]; a += v.x; b += v.y; c += v.z; d += v.w; }\n"
    "    s[threadIdx.x] = (a + b) + (c + d);\n"
    "    for (int half = 128; half; half >>= 1) {\n"
    "        __syncthreads();\n"
    "        if (threadIdx.x < half) s[threadIdx.x] += s[threadIdx.x + half];\n"
    "    }\n"
    "    if (threadIdx.x == 0) out[blockIdx.x] = s[0];\n"
    "}\n"
    /* bf16 in [-1, 1), different in every element: constant data would draw less power and clock higher */
    "__global__ void noise(unsigned short *p, u64 n, unsigned seed) {\n"
    "    u64 step = (u64)gridDim.x * blockDim.x;\n"
    "    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {\n"
    "        unsigned h = (unsigned)i * 2654435761u ^ seed;\n"
    "        h ^= h >> 15; h *= 2246822519u; h ^= h >> 13; h *= 3266489917u; h ^= h >> 16;\n"
    "        p[i] = (unsigned short)(__float_as_uint((int)h * 4.656612873e-10f) >> 16);\n"
    "    }\n"
    "}\n"
    /* what breaks a context */
    "__global__ void stray(int *p) { *p = 1; }\n"
    "__global__ void misaligned(char *p) { *(int *)(p + 1) = 1; }\n"
    "__global__ void shared_stray(int *p) { extern __shared__ int s[]; s[(int)(u64)p + (1 << 24)] = 1; }\n"
    "__global__ void trap(int *p) { __trap(); }\n"
    "__global__ void failed_assert(int *p) { assert(p == (int *)1); }\n"
    "}\n";

void *compile(const char *text, int arch, char kind, size_t *size) {
    char target[32];
    snprintf(target, sizeof(target), kind == 'c' ? "-arch=sm_%d" : "-arch=compute_%d", arch);
    const char *options[] = {target, "-fmad=false"};
    nvrtcProgram program = NULL;
    char *code = NULL;
    if (rtc.nvrtcCreateProgram(&program, text, "probe.cu", 0, NULL, NULL) != NVRTC_SUCCESS) return NULL;
    nvrtcResult result = rtc.nvrtcCompileProgram(program, 2, options);
    if (result == NVRTC_SUCCESS) {
        result = kind == 'c' ? rtc.nvrtcGetCUBINSize(program, size) : rtc.nvrtcGetPTXSize(program, size);
        if (result == NVRTC_SUCCESS && (code = malloc(*size + 1)) != NULL) {
            code[*size] = 0;
            result = kind == 'c' ? rtc.nvrtcGetCUBIN(program, code) : rtc.nvrtcGetPTX(program, code);
        }
    }
    if (result != NVRTC_SUCCESS) {
        size_t n = 0;
        char *log = NULL;
        if (rtc.nvrtcGetProgramLogSize(program, &n) == NVRTC_SUCCESS && (log = calloc(1, n + 1)) != NULL)
            rtc.nvrtcGetProgramLog(program, log);
        json_text("nvrtc", "error %d: %s", (int)result, log ? log : "");
        free(log);
        free(code);
        code = NULL;
    }
    rtc.nvrtcDestroyProgram(&program);
    return code;
}

/* ---- the GPU ---- */

struct gpu gpu;

int gpu_count(void) {
    int n = 0;
    if (!load_driver() || cu.cuInit(0) != CUDA_SUCCESS || cu.cuDeviceGetCount(&n) != CUDA_SUCCESS) return 0;
    return n;
}

static void stop(const char *what) {
    while (json.depth) json_close();
    json_text("error", "%s", what);
    exit(1);
}

void must_(CUresult code, const char *what) {
    if (code == CUDA_SUCCESS) return;
    while (json.depth) json_close();
    json_cu("failed", code);
    stop(what);
}

bool gpu_open(bool kernels) {
    int major = 0, minor = 0;
    if (!gpu_count()) stop("no GPU driver");
    MUST(cu.cuDeviceGet(&gpu.device, 0));
    MUST(cu.cuDeviceGetAttribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, gpu.device));
    MUST(cu.cuDeviceGetAttribute(&minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, gpu.device));
    gpu.arch = major * 10 + minor;
    MUST(cu.cuDevicePrimaryCtxRetain(&gpu.context, gpu.device));
    MUST(cu.cuCtxSetCurrent(gpu.context));
    if (kernels) {
        size_t size;
        if (!load_nvrtc()) stop("no NVRTC library");
        void *code = compile(kernel_text, gpu.arch, 'c', &size);
        if (!code) stop("the kernels do not compile");
        MUST(cu.cuModuleLoadData(&gpu.module, code));
        free(code);
    }
    return true;
}

CUfunction
gpu_kernel(const char *name) { /* asked of the driver once: this may be called while a stream is captured */
    static struct {
        const char *name;
        CUfunction f;
    } known[16];
    int i = 0;
    while (known[i].name && strcmp(known[i].name, name) != 0) i++;
    if (!known[i].name) {
        must_(cu.cuModuleGetFunction(&known[i].f, gpu.module, name), name);
        known[i].name = name;
    }
    return known[i].f;
}

CUresult gpu_launch(const char *name, unsigned blocks, unsigned threads, CUstream stream, void **args) {
    return cu.cuLaunchKernel(gpu_kernel(name), blocks, 1, 1, threads, 1, 1, 0, stream, args, NULL);
}

/* ---- time ---- */

double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double median(double *x, int n) {
    qsort(x, (size_t)n, sizeof(*x), ascending);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

double gpu_time(int (*fn)(void *arg), void *arg, CUstream stream, double budget) {
    CUevent from, to;
    float ms = 0;
    long rounds = 1;
    MUST(cu.cuEventCreate(&from, CU_EVENT_DEFAULT));
    MUST(cu.cuEventCreate(&to, CU_EVENT_DEFAULT));
    for (int pass = 0; pass < 3; pass++) { /* the first warms up, the second says how many rounds fit */
        MUST(cu.cuEventRecord(from, stream));
        for (long i = 0; i < rounds; i++)
            if (fn(arg) != 0) {
                cu.cuStreamSynchronize(stream);
                cu.cuEventDestroy(from);
                cu.cuEventDestroy(to);
                return NAN;
            }
        MUST(cu.cuEventRecord(to, stream));
        MUST(cu.cuEventSynchronize(to));
        MUST(cu.cuEventElapsedTime(&ms, from, to));
        if (pass == 1) {
            double fits = budget / (ms * 1e3 + 0.1);
            rounds = fits < 3 ? 3 : fits > 1000 ? 1000 : (long)fits;
        }
    }
    MUST(cu.cuEventDestroy(from));
    MUST(cu.cuEventDestroy(to));
    return ms * 1e3 / (double)rounds;
}
