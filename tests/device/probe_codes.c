/* What wrong calls of the driver answer, and what every call answers once a kernel broke the context. */
#include <stdio.h>
#include "probe.h"
#include <stdlib.h>
#include <string.h>

static int stray_host[64];

/* One wrong call. "then": what the context answers right after, if that is not success. */
static void answer(const char *key, CUresult code) {
    CUresult after = cu.cuCtxSynchronize();
    json_open(key, '{');
    json_cu("code", code);
    if (after != CUDA_SUCCESS) json_cu("then", after);
    json_close();
}

static void wrong_devices(void) {
    CUdevice d;
    int n;
    answer("device_99", cu.cuDeviceGet(&d, 99));
    answer("device_minus_1", cu.cuDeviceGet(&d, -1));
    answer("device_null", cu.cuDeviceGet(NULL, 0));
    answer("attribute_9999", cu.cuDeviceGetAttribute(&n, (CUdevice_attribute)9999, gpu.device));
    answer("attribute_of_device_99", cu.cuDeviceGetAttribute(&n, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 99));
    answer("init_flags_1", cu.cuInit(1));
    CUcontext context;
    answer("retain_device_99", cu.cuDevicePrimaryCtxRetain(&context, 99));
    MUST(cu.cuCtxSetCurrent(NULL));
    CUdeviceptr p;
    CUresult alloc = cu.cuMemAlloc(&p, 16), sync = cu.cuCtxSynchronize();
    MUST(cu.cuCtxSetCurrent(gpu.context));
    answer("alloc_without_context", alloc);
    answer("synchronize_without_context", sync);
}

static void wrong_memory(void) {
    CUdeviceptr p = 0, q = 0, base = 0;
    size_t size = 0;
    CUstream s;
    CUmemorytype type = 0;
    void *host = NULL;
    char small[64] = "";
    MUST(cu.cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
    answer("alloc_0_bytes", cu.cuMemAlloc(&p, 0));
    answer("alloc_null", cu.cuMemAlloc(NULL, 16));
    answer("alloc_1_TiB", cu.cuMemAlloc(&p, (size_t)1 << 40));
    answer("alloc_max", cu.cuMemAlloc(&p, SIZE_MAX));
    answer("alloc_async_0_bytes", cu.cuMemAllocAsync(&p, 0, s));
    answer("alloc_async_1_TiB", cu.cuMemAllocAsync(&p, (size_t)1 << 40, s));
    answer("host_alloc_0_bytes", cu.cuMemHostAlloc(&host, 0, 0));
    answer("host_alloc_bad_flags", cu.cuMemHostAlloc(&host, 64, 0xFFFF));
    MUST(cu.cuMemAlloc(&p, 1024));
    answer("free_null", cu.cuMemFree(0));
    answer("free_middle", cu.cuMemFree(p + 256));
    answer("free_garbage", cu.cuMemFree(0x123456));
    answer("free_host_pointer", cu.cuMemFree((CUdeviceptr)(uintptr_t)stray_host));
    answer("free_async_garbage", cu.cuMemFreeAsync(0x123456, s));
    answer("free_async_null", cu.cuMemFreeAsync(0, s));
    answer("free_async_of_plain_alloc", cu.cuMemFreeAsync(p, s));
    MUST(cu.cuMemAlloc(&p, 1024));
    MUST(cu.cuMemFree(p));
    answer("free_twice", cu.cuMemFree(p));
    MUST(cu.cuMemAllocAsync(&p, 1024, s));
    MUST(cu.cuMemFreeAsync(p, s));
    answer("free_async_twice", cu.cuMemFreeAsync(p, s));
    MUST(cu.cuMemAllocAsync(&p, 1024, s));
    answer("plain_free_of_async_alloc", cu.cuMemFree(p));
    answer("host_free_of_stack", cu.cuMemFreeHost(small));
    answer("host_free_null", cu.cuMemFreeHost(NULL));
    answer("host_register_null", cu.cuMemHostRegister(NULL, 64, 0));
    answer("host_unregister_stranger", cu.cuMemHostUnregister(stray_host));

    /* 1024 bytes in an allocation granule of 2 MiB: where does "beyond" begin? */
    MUST(cu.cuMemAlloc(&p, 1024));
    MUST(cu.cuMemGetAddressRange(&base, &size, p));
    json_int("address_range_of_1024", (long long)size);
    char *big = calloc(1, (size_t)64 << 20);
    if (!big) return;
    answer("copy_in_1025_of_1024", cu.cuMemcpyHtoD(p, big, 1025));
    answer("copy_in_64_MiB_of_1024", cu.cuMemcpyHtoD(p, big, (size_t)64 << 20));
    answer("copy_out_1025_of_1024", cu.cuMemcpyDtoH(big, p, 1025));
    answer("copy_out_64_MiB_of_1024", cu.cuMemcpyDtoH(big, p, (size_t)64 << 20));
    answer("copy_in_async_64_MiB_of_1024", cu.cuMemcpyHtoDAsync(p, big, (size_t)64 << 20, s));
    answer("copy_0_bytes", cu.cuMemcpyHtoD(p, big, 0));
    answer("copy_0_bytes_null", cu.cuMemcpyHtoD(0, NULL, 0));
    answer("copy_to_null", cu.cuMemcpyHtoD(0, big, 16));
    answer("copy_out_of_garbage", cu.cuMemcpyDtoH(big, 0x123456, 16));
    answer("copy_device_garbage", cu.cuMemcpyDtoD(p, 0x123456, 16));
    answer("copy_overlapping", cu.cuMemcpyDtoD(p + 16, p, 512));
    answer("memset_null", cu.cuMemsetD8(0, 0, 16));
    answer("memset_64_MiB_of_1024", cu.cuMemsetD8(p, 0, (size_t)64 << 20));
    answer("memset_d32_misaligned", cu.cuMemsetD32Async(p + 1, 0, 4, s));
    MUST(cu.cuMemFree(p));
    answer("copy_into_freed", cu.cuMemcpyHtoD(p, big, 16));
    answer("address_range_of_freed", cu.cuMemGetAddressRange(&base, &size, p));
    answer("pointer_type_of_host",
           cu.cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, (CUdeviceptr)(uintptr_t)big));
    free(big);
    MUST(cu.cuMemAlloc(&q, 64));
    json_text("works_after", "%d", (int)cu.cuMemsetD8(q, 1, 64));
    MUST(cu.cuMemFree(q));
    MUST(cu.cuStreamDestroy(s));
}

static CUresult launch(CUfunction f, unsigned grid, unsigned gy, unsigned threads, unsigned shared,
                       CUstream s) {
    CUdeviceptr p = 0;
    int value = 0;
    void *args[] = {&p, &value};
    return cu.cuLaunchKernel(f, grid, gy, 1, threads, 1, 1, shared, s, args, NULL);
}

static void wrong_launches(void) {
    CUfunction f = gpu_kernel("empty"), sum = gpu_kernel("sum");
    CUstream s;
    int blocks = 0;
    MUST(cu.cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
    answer("launch_0_blocks", launch(f, 0, 1, 32, 0, s));
    answer("launch_0_threads", launch(f, 1, 1, 0, 0, s));
    answer("launch_1025_threads", launch(f, 1, 1, 1025, 0, s));
    answer("launch_over_launch_bounds", launch(sum, 1, 1, 512, 0, s));
    answer("launch_grid_y_65536", launch(f, 1, 65536, 32, 0, s));
    answer("launch_grid_x_2_to_31", launch(f, 1u << 31, 1, 32, 0, s));
    answer("launch_shared_49153", launch(f, 1, 1, 32, 49153, s));
    answer("launch_shared_1_MiB", launch(f, 1, 1, 32, 1 << 20, s));
    answer("allow_shared_64_KiB",
           cu.cuFuncSetAttribute(f, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 65536));
    answer("launch_shared_64_KiB_allowed", launch(f, 1, 1, 32, 65536, s));
    answer("allow_shared_1_MiB",
           cu.cuFuncSetAttribute(f, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 1 << 20));
    answer("allow_shared_negative",
           cu.cuFuncSetAttribute(f, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, -1));
    void *extra_bad[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, stray_host, CU_LAUNCH_PARAM_BUFFER_SIZE, NULL,
                         CU_LAUNCH_PARAM_END};
    size_t wrong = 3, right = 16; /* set(int *, int) wants 12 bytes */
    extra_bad[3] = &wrong;
    answer("launch_buffer_too_short",
           cu.cuLaunchKernel(gpu_kernel("set"), 1, 1, 1, 1, 1, 1, 0, s, NULL, extra_bad));
    void *args[] = {&wrong, &right};
    answer("launch_params_and_extra", cu.cuLaunchKernel(f, 1, 1, 1, 32, 1, 1, 0, s, args, extra_bad));
    answer("occupancy_0_threads", cu.cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, f, 0, 0));
    answer("occupancy_2048_threads", cu.cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, f, 2048, 0));
    MUST(cu.cuStreamDestroy(s));
}

static void wrong_modules(void) {
    CUmodule m = NULL;
    CUfunction f = NULL;
    CUdeviceptr p = 0;
    size_t size = 0;
    char log[1024] = "";
    answer("function_missing", cu.cuModuleGetFunction(&f, gpu.module, "no_such_kernel"));
    answer("function_empty_name", cu.cuModuleGetFunction(&f, gpu.module, ""));
    answer("function_null_name", cu.cuModuleGetFunction(&f, gpu.module, NULL));
    answer("global_found", cu.cuModuleGetGlobal(&p, &size, gpu.module, "counter"));
    answer("global_missing", cu.cuModuleGetGlobal(&p, &size, gpu.module, "no_such_global"));
    answer("function_attribute_9999",
           cu.cuFuncGetAttribute(stray_host, (CUfunction_attribute)9999, gpu_kernel("empty")));
    answer("load_text", cu.cuModuleLoadData(&m, "this is no module"));
    answer("load_empty", cu.cuModuleLoadData(&m, ""));
    answer("load_ptx_broken",
           cu.cuModuleLoadData(&m, ".version 8.0\n.target sm_80\n.address_size 64\nnonsense;\n"));
    answer("load_ptx_future", cu.cuModuleLoadData(&m, ".version 99.0\n.target sm_80\n.address_size 64\n"));
    answer("load_ptx_other_chip", cu.cuModuleLoadData(&m, ".version 8.8\n.target sm_120a\n.address_size 64\n"));
    CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void *values[] = {log, (void *)(uintptr_t)sizeof(log)};
    answer("load_ptx_broken_with_log",
           cu.cuModuleLoadDataEx(&m, ".version 8.0\n.target sm_80\n.address_size 64\nnonsense;\n", 2, options,
                                 values));
    json_text("jit_log", "%s", log);
    size = 0;
    char *other = compile("extern \"C\" __global__ void empty() {}\n", gpu.arch == 100 ? 90 : 100, 'c', &size);
    if (other) answer("load_cubin_other_chip", cu.cuModuleLoadData(&m, other));
    free(other);
}

static void wrong_streams_events(void) {
    CUstream s = NULL;
    CUevent e = NULL, f = NULL, timeless = NULL;
    float ms = 0;
    answer("stream_bad_flags", cu.cuStreamCreate(&s, 0xFF));
    answer("stream_null", cu.cuStreamCreate(NULL, 0));
    answer("event_bad_flags", cu.cuEventCreate(&e, 0xFFFF));
    answer("stream_destroy_null", cu.cuStreamDestroy(NULL));
    answer("stream_destroy_legacy", cu.cuStreamDestroy(CU_STREAM_LEGACY));
    MUST(cu.cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
    MUST(cu.cuEventCreate(&e, CU_EVENT_DEFAULT));
    MUST(cu.cuEventCreate(&f, CU_EVENT_DEFAULT));
    MUST(cu.cuEventCreate(&timeless, CU_EVENT_DISABLE_TIMING));
    answer("event_query_unrecorded", cu.cuEventQuery(e));
    answer("event_synchronize_unrecorded", cu.cuEventSynchronize(e));
    answer("event_wait_unrecorded", cu.cuStreamWaitEvent(s, e, 0));
    answer("event_elapsed_unrecorded", cu.cuEventElapsedTime(&ms, e, f));
    MUST(cu.cuEventRecord(e, s));
    answer("event_elapsed_half_recorded", cu.cuEventElapsedTime(&ms, e, f));
    MUST(cu.cuEventRecord(timeless, s));
    answer("event_elapsed_without_timing", cu.cuEventElapsedTime(&ms, e, timeless));
    answer("event_destroy_null", cu.cuEventDestroy(NULL));
    answer("event_record_null", cu.cuEventRecord(NULL, s));
    answer("event_wait_bad_flags", cu.cuStreamWaitEvent(s, e, 0xFF));
    answer("end_capture_not_begun", cu.cuStreamEndCapture(s, (CUgraph[1]){NULL}));
    answer("begin_capture_legacy", cu.cuStreamBeginCapture(CU_STREAM_LEGACY, CU_STREAM_CAPTURE_MODE_GLOBAL));
    answer("begin_capture_null_stream", cu.cuStreamBeginCapture(NULL, CU_STREAM_CAPTURE_MODE_GLOBAL));
    CUgraphExec exec = NULL;
    answer("graph_launch_null", cu.cuGraphLaunch(NULL, s));
    answer("graph_instantiate_null", cu.cuGraphInstantiate(&exec, NULL, 0));
    answer("release_device_99", cu.cuDevicePrimaryCtxRelease(99));
    MUST(cu.cuEventDestroy(e));
    MUST(cu.cuEventDestroy(f));
    MUST(cu.cuEventDestroy(timeless));
    MUST(cu.cuStreamDestroy(s));
}

static const struct {
    const char *name;
    void (*run)(void);
} groups[] = {{"wrong_devices", wrong_devices},
              {"wrong_memory", wrong_memory},
              {"wrong_launches", wrong_launches},
              {"wrong_modules", wrong_modules},
              {"wrong_streams_events", wrong_streams_events}};
enum { GROUP_COUNT = sizeof(groups) / sizeof(*groups) };

/* ---- calls that may crash: each in its own process ---- */

static CUresult load_damaged(void) {
    size_t size = 0;
    CUmodule m;
    char *code = compile("extern \"C\" __global__ void empty() {}\n", gpu.arch, 'c', &size);
    if (!code || size <= 256) return CUDA_ERROR_UNKNOWN;
    memset(code + 64, 0xA5, 192);
    CUresult result = cu.cuModuleLoadData(&m, code);
    free(code);
    return result;
}

static CUresult load_cut_short(void) { /* nothing says how long the image is: the rest of it is zeros here */
    size_t size = 0;
    CUmodule m;
    char *code = compile(kernel_text, gpu.arch, 'c', &size);
    if (!code) return CUDA_ERROR_UNKNOWN;
    memset(code + size / 2, 0, size - size / 2);
    CUresult result = cu.cuModuleLoadData(&m, code);
    free(code);
    return result;
}

/* Needs: p a buffer, s a stream, e an event, f a kernel, m a second handle of the module, g an empty graph. */
#define ALONE(X)                                                                                              \
    X(stream_destroy_twice, (cu.cuStreamDestroy(s), cu.cuStreamDestroy(s)))                                   \
    X(stream_synchronize_destroyed, (cu.cuStreamDestroy(s), cu.cuStreamSynchronize(s)))                       \
    X(launch_on_destroyed_stream, (cu.cuStreamDestroy(s), gpu_launch("empty", 1, 1, s, NULL)))                \
    X(stream_synchronize_garbage, cu.cuStreamSynchronize((CUstream)stray_host))                               \
    X(event_destroy_twice, (cu.cuEventDestroy(e), cu.cuEventDestroy(e)))                                      \
    X(event_record_destroyed, (cu.cuEventDestroy(e), cu.cuEventRecord(e, s)))                                 \
    X(event_query_garbage, cu.cuEventQuery((CUevent)stray_host))                                              \
    X(module_unload_twice, (cu.cuModuleUnload(m), cu.cuModuleUnload(m)))                                      \
    X(module_unload_null, cu.cuModuleUnload(NULL))                                                            \
    X(launch_after_unload, (cu.cuModuleUnload(m), cu.cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, s, NULL, NULL)))  \
    X(launch_null_function, cu.cuLaunchKernel(NULL, 1, 1, 1, 1, 1, 1, 0, s, NULL, NULL))                      \
    X(launch_garbage_function, cu.cuLaunchKernel((CUfunction)stray_host, 1, 1, 1, 1, 1, 1, 0, s, NULL, NULL)) \
    X(launch_without_params, gpu_launch("set", 1, 1, s, NULL))                                                \
    X(copy_from_null, cu.cuMemcpyHtoD(p, NULL, 16))                                                           \
    X(load_null, cu.cuModuleLoadData(&m, NULL))                                                               \
    X(load_cubin_damaged, load_damaged())                                                                     \
    X(load_cubin_cut_short, load_cut_short())                                                                 \
    X(graph_destroy_twice, (cu.cuGraphDestroy(g), cu.cuGraphDestroy(g)))                                      \
    X(graph_exec_destroy_null, cu.cuGraphExecDestroy(NULL))                                                   \
    X(context_set_garbage, cu.cuCtxSetCurrent((CUcontext)stray_host))                                         \
    X(context_used_after_release, (cu.cuDevicePrimaryCtxRelease(gpu.device), cu.cuStreamSynchronize(s)))      \
    X(context_released_twice,                                                                                 \
      (cu.cuDevicePrimaryCtxRelease(gpu.device), cu.cuDevicePrimaryCtxRelease(gpu.device)))

#define NAME(name, call) #name,
static const char *const alone_names[] = {ALONE(NAME)};
enum { ALONE_COUNT = sizeof(alone_names) / sizeof(*alone_names) };

bool task_alone(const char *name) {
    CUdeviceptr p;
    CUstream s;
    CUevent e;
    CUgraph g;
    CUmodule m;
    CUfunction f;
    size_t size;
    bool known = false;
    for (int i = 0; i < GROUP_COUNT; i++)
        if (strcmp(groups[i].name, name) == 0) {
            gpu_open(true);
            groups[i].run();
            json_cu("context_after_all", cu.cuCtxSynchronize());
            return true;
        }
    for (int i = 0; i < ALONE_COUNT; i++) known |= strcmp(alone_names[i], name) == 0;
    if (!known) return false;
    gpu_open(true);
    char *code = compile(kernel_text, gpu.arch, 'c', &size);
    MUST(cu.cuMemAlloc(&p, 4096));
    MUST(cu.cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
    MUST(cu.cuEventCreate(&e, CU_EVENT_DEFAULT));
    MUST(cu.cuGraphCreate(&g, 0));
    MUST(cu.cuModuleLoadData(&m, code));
    MUST(cu.cuModuleGetFunction(&f, m, "empty"));
    free(code);
#define CALL(known_name, call) \
    if (strcmp(name, #known_name) == 0) json_cu("code", (CUresult)(call));
    ALONE(CALL)
    json_cu("then", cu.cuCtxSynchronize());
    return true;
}

void task_codes(void) {
    for (int i = 0; i < GROUP_COUNT; i++) json_child(groups[i].name, groups[i].name, 15);
    for (int i = 0; i < ALONE_COUNT; i++) json_child(alone_names[i], alone_names[i], 10);
}

/* ---- after a kernel broke the context ---- */

void task_sticky_one(const char *kernel) {
    CUstream s, t = NULL;
    CUevent e, later = NULL;
    CUdeviceptr p, q = 0;
    CUmodule m = NULL;
    CUgraph g;
    CUgraphExec exec;
    CUcontext current = NULL;
    size_t size = 0, total = 0;
    unsigned flags = 0;
    int value = 0, active = 0;
    void *host, *host2 = NULL;
    gpu_open(true);
    char *code = compile(kernel_text, gpu.arch, 'c', &size);
    MUST(cu.cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
    MUST(cu.cuEventCreate(&e, CU_EVENT_DEFAULT));
    MUST(cu.cuMemAlloc(&p, 4096));
    MUST(cu.cuMemHostAlloc(&host, 4096, 0));
    MUST(cu.cuStreamBeginCapture(s, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
    MUST(gpu_launch("empty", 1, 1, s, NULL));
    MUST(cu.cuStreamEndCapture(s, &g));
    MUST(cu.cuGraphInstantiate(&exec, g, 0));
    CUdeviceptr target = strcmp(kernel, "misaligned") == 0 ? p : 0;
    void *args[] = {&target};
    CUfunction f = gpu_kernel(kernel);
    json_cu("launch", cu.cuLaunchKernel(f, 1, 1, 1, 32, 1, 1, 1024, s, args, NULL));
    json_cu("event_record_at_once", cu.cuEventRecord(e, s));
    json_cu("stream_synchronize", cu.cuStreamSynchronize(s));
    json_cu("stream_synchronize_again", cu.cuStreamSynchronize(s));
    json_cu("stream_query", cu.cuStreamQuery(s));
    json_cu("ctx_synchronize", cu.cuCtxSynchronize());
    json_cu("event_query", cu.cuEventQuery(e));
    json_cu("event_synchronize", cu.cuEventSynchronize(e));
    json_cu("event_record", cu.cuEventRecord(e, s));
    json_cu("event_create", cu.cuEventCreate(&later, CU_EVENT_DEFAULT));
    json_cu("mem_alloc", cu.cuMemAlloc(&q, 4096));
    json_cu("mem_alloc_async", cu.cuMemAllocAsync(&q, 4096, s));
    json_cu("host_alloc", cu.cuMemHostAlloc(&host2, 4096, 0));
    json_cu("mem_get_info", cu.cuMemGetInfo(&size, &total));
    json_cu("copy_in", cu.cuMemcpyHtoD(p, host, 64));
    json_cu("copy_in_async", cu.cuMemcpyHtoDAsync(p, host, 64, s));
    json_cu("copy_out", cu.cuMemcpyDtoH(host, p, 64));
    json_cu("memset_async", cu.cuMemsetD8Async(p, 0, 64, s));
    json_cu("launch_empty", gpu_launch("empty", 1, 1, s, NULL));
    json_cu("graph_launch", cu.cuGraphLaunch(exec, s));
    json_cu("host_func", cu.cuLaunchHostFunc(s, free, NULL));
    json_cu("stream_create", cu.cuStreamCreate(&t, CU_STREAM_NON_BLOCKING));
    json_cu("module_load", cu.cuModuleLoadData(&m, code));
    json_cu("module_get_function", cu.cuModuleGetFunction(&f, gpu.module, "add"));
    json_cu("func_get_attribute", cu.cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_NUM_REGS, f));
    json_cu("begin_capture", cu.cuStreamBeginCapture(s, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
    json_cu("device_get_attribute", cu.cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_WARP_SIZE, gpu.device));
    json_cu("ctx_get_current", cu.cuCtxGetCurrent(&current));
    json_cu("pointer_attribute", cu.cuPointerGetAttribute(&value, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, p));
    json_cu("graph_exec_destroy", cu.cuGraphExecDestroy(exec));
    json_cu("graph_destroy", cu.cuGraphDestroy(g));
    json_cu("event_destroy", cu.cuEventDestroy(e));
    json_cu("mem_free_async", cu.cuMemFreeAsync(p, s));
    json_cu("mem_free", cu.cuMemFree(p));
    json_cu("host_free", cu.cuMemFreeHost(host));
    json_cu("stream_destroy", cu.cuStreamDestroy(s));
    json_cu("module_unload", cu.cuModuleUnload(gpu.module));
    json_cu("primary_state", cu.cuDevicePrimaryCtxGetState(gpu.device, &flags, &active));
    /* is there a way back within the process? */
    json_cu("primary_reset", cu.cuDevicePrimaryCtxReset(gpu.device));
    json_cu("retain_after_reset", cu.cuDevicePrimaryCtxRetain(&current, gpu.device));
    json_cu("set_current_after_reset", cu.cuCtxSetCurrent(current));
    json_cu("alloc_after_reset", cu.cuMemAlloc(&q, 4096));
    json_cu("load_after_reset", cu.cuModuleLoadData(&gpu.module, code));
    if (cu.cuModuleGetFunction(&f, gpu.module, "empty") == CUDA_SUCCESS)
        json_cu("launch_after_reset", cu.cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
    json_cu("synchronize_after_reset", cu.cuCtxSynchronize());
    free(code);
}

void task_sticky(void) {
    static const char *const kernels[] = {"stray", "trap", "failed_assert", "misaligned", "shared_stray"};
    char task[64];
    for (size_t i = 0; i < sizeof(kernels) / sizeof(*kernels); i++) {
        snprintf(task, sizeof(task), "sticky:%s", kernels[i]);
        json_child(kernels[i], task, 15);
    }
    /* a new process afterwards: is the device unharmed? */
    json_child("alone_after", "stream_destroy_twice", 15);
}
