/* The probe asks a real GPU what it answers: return codes, what capture allows, what cuBLASLt computes, how
 * long things take. It stands alone (no Tide), is plain C, and loads every library at run time, so it builds
 * and starts anywhere. */
#ifndef PROBE_H
#define PROBE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <cuda.h>
#include <cublasLt.h>
#include <nvrtc.h>
#include <stdbool.h>
#include <stdint.h>

/* ---- JSON. At depth 0 every entry is one line `"key":value`, flushed: what a child wrote before it died is
 * kept ---- */

extern FILE *json_file;
void json_open(const char *key,
               char bracket); /* '{' or '['; key NULL inside arrays, and for the document itself */
void json_close(void);
void json_text(const char *key, const char *format, ...) __attribute__((format(printf, 2, 3)));
void json_int(const char *key, long long value);
void json_num(const char *key, double value); /* null if not finite */
void json_cu(const char *key, CUresult code); /* [700,"CUDA_ERROR_ILLEGAL_ADDRESS"] */
void json_lt(const char *key, cublasStatus_t status);

/* Runs `task` of this program in a process of its own and puts the lines it wrote under `key`, with "error" if
 * it died or ran out of time. Returns its exit status, or -1. */
int json_child(const char *key, const char *task, double seconds);
/* The same of any command that writes lines to `part`; `whole`: for the whole file, whose entries stand on own
 * lines. */
int json_command(const char *key, char *const *argv, const char *part, double seconds, bool whole);

/* ---- the libraries ---- */

/* clang-format off */
#define DRIVER_CALLS(F) \
    F(cuInit) F(cuDriverGetVersion) F(cuGetErrorName) F(cuDeviceGet) F(cuDeviceGetCount) F(cuDeviceGetName) \
    F(cuDeviceGetAttribute) F(cuDeviceTotalMem) F(cuDeviceGetDefaultMemPool) F(cuDevicePrimaryCtxRetain) \
    F(cuDevicePrimaryCtxRelease) F(cuDevicePrimaryCtxReset) F(cuDevicePrimaryCtxGetState) F(cuCtxSetCurrent) \
    F(cuCtxGetCurrent) F(cuCtxSynchronize) F(cuCtxGetStreamPriorityRange) F(cuCtxGetLimit) F(cuMemAlloc) \
    F(cuMemFree) F(cuMemAllocAsync) F(cuMemFreeAsync) F(cuMemHostAlloc) F(cuMemAllocHost) F(cuMemFreeHost) \
    F(cuMemHostRegister) F(cuMemHostUnregister) F(cuMemGetInfo) F(cuMemGetAddressRange) F(cuMemcpyHtoD) \
    F(cuMemcpyDtoH) F(cuMemcpyDtoD) F(cuMemcpyHtoDAsync) F(cuMemcpyDtoHAsync) F(cuMemcpyDtoDAsync) \
    F(cuMemsetD8) F(cuMemsetD8Async) F(cuMemsetD32Async) F(cuMemPoolSetAttribute) F(cuMemPoolGetAttribute) \
    F(cuPointerGetAttribute) F(cuStreamCreate) F(cuStreamDestroy) F(cuStreamSynchronize) F(cuStreamQuery) \
    F(cuStreamWaitEvent) F(cuStreamBeginCapture) F(cuStreamEndCapture) F(cuStreamIsCapturing) \
    F(cuThreadExchangeStreamCaptureMode) F(cuEventCreate) F(cuEventDestroy) F(cuEventRecord) F(cuEventQuery) \
    F(cuEventSynchronize) F(cuEventElapsedTime) F(cuLaunchHostFunc) F(cuLaunchKernel) F(cuModuleLoadData) \
    F(cuModuleLoadDataEx) F(cuModuleUnload) F(cuModuleGetFunction) F(cuModuleGetGlobal) F(cuFuncGetAttribute) \
    F(cuFuncSetAttribute) F(cuOccupancyMaxActiveBlocksPerMultiprocessor) F(cuGraphCreate) F(cuGraphDestroy) \
    F(cuGraphGetNodes) F(cuGraphNodeGetType) F(cuGraphInstantiate) F(cuGraphLaunch) F(cuGraphUpload) \
    F(cuGraphExecDestroy) F(cuGraphExecUpdate) F(cuGraphKernelNodeGetParams) F(cuGraphExecKernelNodeSetParams) \
    F(cuGraphMemsetNodeGetParams) F(cuGraphExecMemsetNodeSetParams)
#define NVRTC_CALLS(F) \
    F(nvrtcVersion) F(nvrtcCreateProgram) F(nvrtcCompileProgram) F(nvrtcDestroyProgram) F(nvrtcGetCUBINSize) \
    F(nvrtcGetCUBIN) F(nvrtcGetPTXSize) F(nvrtcGetPTX) F(nvrtcGetProgramLogSize) F(nvrtcGetProgramLog)
#define LT_CALLS(F) \
    F(cublasLtGetVersion) F(cublasLtGetStatusName) F(cublasLtCreate) F(cublasLtDestroy) \
    F(cublasLtMatmulDescCreate) F(cublasLtMatmulDescDestroy) F(cublasLtMatmulDescSetAttribute) \
    F(cublasLtMatrixLayoutCreate) F(cublasLtMatrixLayoutDestroy) F(cublasLtMatrixLayoutSetAttribute) \
    F(cublasLtMatmulPreferenceCreate) F(cublasLtMatmulPreferenceDestroy) \
    F(cublasLtMatmulPreferenceSetAttribute) F(cublasLtMatmulAlgoGetHeuristic) \
    F(cublasLtMatmulAlgoConfigGetAttribute) F(cublasLtMatmul)
/* clang-format on */

/* cuda.h renames many calls (cuMemAlloc is cuMemAlloc_v2): the fields and their uses are renamed alike. */
#define FIELD(f) __typeof__(f) *f;
extern struct driver { DRIVER_CALLS(FIELD) } cu;
extern struct nvrtc { NVRTC_CALLS(FIELD) } rtc;
extern struct lt { LT_CALLS(FIELD) } lt;
#undef FIELD

bool load_driver(void);
bool load_nvrtc(void);
bool load_lt(void);

/* ---- one GPU, its primary context current ---- */

extern struct gpu {
    CUdevice device;
    CUcontext context;
    CUmodule module; /* the kernels of probe_gpu.c */
    int arch;        /* 90 for sm_90 */
} gpu;

int gpu_count(void); /* 0 without a driver */
bool gpu_open(bool kernels);
CUfunction gpu_kernel(const char *name);
CUresult gpu_launch(const char *name, unsigned blocks, unsigned threads, CUstream stream, void **args);
extern const char kernel_text[];
/* Compiles for sm_<arch>; kind 'c' gives a cubin, 'p' PTX, to be freed. NULL on failure, with the log as
 * "nvrtc". */
void *compile(const char *text, int arch, char kind, size_t *size);

/* Stops the section where going on makes no sense: its entries so far are kept, with this as its error. */
void must_(CUresult code, const char *what);
#define MUST(call) must_(call, #call)

double now(void); /* microseconds */
double median(double *x, int n);
/* Time of one round of fn(arg) on the GPU in microseconds: rounds are repeated for about `budget` microseconds.
 */
double gpu_time(int (*fn)(void *arg), void *arg, CUstream stream, double budget);

/* ---- the tasks ---- */

void task_machine(void);
void task_compile(void);
void task_codes(void);
bool task_alone(const char *name); /* a group of wrong calls, or one that may crash; false: no such name */
void task_sticky(void);
void task_sticky_one(const char *kernel); /* what every call answers after it broke the context */
void task_capture(void);
void task_graph(void);
void task_epilogues(void);
void task_alignment(void);
void task_misaligned(void);
void task_matmul(void);
void task_launch(void);
void task_copy(void);
void task_memory(void);

int lt_small_ready(void); /* prepares a 128x128x128 bf16 product; returns a cublasStatus_t */
int lt_small_run(CUstream stream);
int lt_small_heuristic(void);

#endif
