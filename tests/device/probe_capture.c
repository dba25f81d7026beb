/* What is legal while a stream is captured, and what may be changed in a graph afterwards. */
#include <stdio.h>
#include "probe.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Everything that a call under test may need; the streams are new for each. */
static struct {
    CUstream s, t;           /* s is captured, t is not */
    CUevent e, before, late; /* unrecorded; recorded before the capture, complete; for joining */
    CUdeviceptr p, q;
    CUdeviceptr pool; /* of cuMemAllocAsync, before the capture */
    void *pinned, *pageable;
    CUfunction set, fresh; /* fresh: of a module that was just loaded, never launched */
    CUmodule module;
    char *code;
    CUgraphExec exec;
    cublasLtHandle_t handle;
} f;

static CUresult launch_set(CUfunction k, CUstream s) {
    int value = 3;
    void *args[] = {&f.p, &value};
    return cu.cuLaunchKernel(k, 1, 1, 1, 1, 1, 1, 0, s, args, NULL);
}

static void nothing(void *arg) { (void)arg; }

static CUresult fork_stream(void) {
    CUresult code = cu.cuEventRecord(f.e, f.s);
    return code ? code : cu.cuStreamWaitEvent(f.t, f.e, 0);
}

static CUresult join_stream(void) {
    CUresult code = cu.cuEventRecord(f.late, f.t);
    return code ? code : cu.cuStreamWaitEvent(f.s, f.late, 0);
}

static CUresult fork_launch_join(void) {
    CUresult code = fork_stream();
    if (!code) code = launch_set(f.set, f.t);
    return code ? code : join_stream();
}

static CUresult fork_launch(void) {
    CUresult code = fork_stream();
    return code ? code : launch_set(f.set, f.t);
}

static CUresult alloc_and_free(void) {
    CUdeviceptr d = 0;
    CUresult code = cu.cuMemAllocAsync(&d, 4096, f.s);
    return code ? code : cu.cuMemFreeAsync(d, f.s);
}

static CUresult relaxed_alloc(void) { /* what a library does that must allocate during somebody's capture */
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
    CUdeviceptr d = 0;
    CUresult code = cu.cuThreadExchangeStreamCaptureMode(&mode);
    if (!code) code = cu.cuMemAlloc(&d, 4096);
    cu.cuThreadExchangeStreamCaptureMode(&mode);
    return code;
}

static CUresult other_capture(void) {
    CUgraph g = NULL;
    CUresult code = cu.cuStreamBeginCapture(f.t, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    if (!code) code = launch_set(f.set, f.t);
    if (!code) code = cu.cuStreamEndCapture(f.t, &g);
    if (g) cu.cuGraphDestroy(g);
    return code;
}

static CUresult instantiate_other(void) {
    CUgraph g = NULL;
    CUgraphExec exec = NULL;
    CUresult code = cu.cuGraphCreate(&g, 0);
    if (!code) code = cu.cuGraphInstantiate(&exec, g, 0);
    return code;
}

/* The same from another thread, which captures nothing. */
static void *thread_alloc(void *result) {
    CUdeviceptr d = 0;
    cu.cuCtxSetCurrent(gpu.context);
    *(CUresult *)result = cu.cuMemAlloc(&d, 4096);
    return NULL;
}
static void *thread_launch(void *result) {
    cu.cuCtxSetCurrent(gpu.context);
    *(CUresult *)result = launch_set(f.set, f.t);
    return NULL;
}
static void *thread_launch_captured(void *result) {
    cu.cuCtxSetCurrent(gpu.context);
    *(CUresult *)result = launch_set(f.set, f.s);
    return NULL;
}
static void *thread_end(void *result) {
    CUgraph g = NULL;
    cu.cuCtxSetCurrent(gpu.context);
    *(CUresult *)result = cu.cuStreamEndCapture(f.s, &g);
    if (g) cu.cuGraphDestroy(g);
    return NULL;
}

static CUresult in_thread(void *(*fn)(void *)) {
    pthread_t thread;
    CUresult code = CUDA_ERROR_UNKNOWN;
    if (pthread_create(&thread, NULL, fn, &code) == 0) pthread_join(thread, NULL);
    return code;
}

/* name, call; a call of cuBLASLt gives its own status */
#define CALLS(X)                                                                                    \
    X(nothing, CUDA_SUCCESS)                                                                        \
    X(kernel, launch_set(f.set, f.s))                                                               \
    X(kernel_never_launched, launch_set(f.fresh, f.s))                                              \
    X(kernel_other_stream, launch_set(f.set, f.t))                                                  \
    X(kernel_legacy_stream, launch_set(f.set, CU_STREAM_LEGACY))                                    \
    X(kernel_per_thread_stream, launch_set(f.set, CU_STREAM_PER_THREAD))                            \
    X(mem_alloc, cu.cuMemAlloc(&(CUdeviceptr){0}, 4096))                                            \
    X(mem_alloc_relaxed_thread, relaxed_alloc())                                                    \
    X(mem_free, ({                                                                                  \
          CUdeviceptr d = f.q;                                                                      \
          f.q = 0;                                                                                  \
          cu.cuMemFree(d);                                                                          \
      }))                                                                                           \
    X(mem_alloc_async, cu.cuMemAllocAsync(&(CUdeviceptr){0}, 4096, f.s))                            \
    X(mem_alloc_async_free_async, alloc_and_free())                                                 \
    X(mem_alloc_async_other_stream, cu.cuMemAllocAsync(&(CUdeviceptr){0}, 4096, f.t))               \
    X(mem_free_async_of_earlier, ({                                                                 \
          CUdeviceptr d = f.pool;                                                                   \
          f.pool = 0;                                                                               \
          cu.cuMemFreeAsync(d, f.s);                                                                \
      }))                                                                                           \
    X(mem_free_async_other_stream, ({                                                               \
          CUdeviceptr d = f.pool;                                                                   \
          f.pool = 0;                                                                               \
          cu.cuMemFreeAsync(d, f.t);                                                                \
      }))                                                                                           \
    X(host_alloc, cu.cuMemHostAlloc(&(void *){NULL}, 4096, 0))                                      \
    X(mem_get_info, cu.cuMemGetInfo(&(size_t){0}, &(size_t){0}))                                    \
    X(copy_in_sync, cu.cuMemcpyHtoD(f.p, f.pinned, 64))                                             \
    X(copy_out_sync, cu.cuMemcpyDtoH(f.pinned, f.p, 64))                                            \
    X(copy_device_sync, cu.cuMemcpyDtoD(f.p, f.p + 256, 64))                                        \
    X(copy_in_async_pinned, cu.cuMemcpyHtoDAsync(f.p, f.pinned, 64, f.s))                           \
    X(copy_in_async_pageable, cu.cuMemcpyHtoDAsync(f.p, f.pageable, 64, f.s))                       \
    X(copy_out_async_pinned, cu.cuMemcpyDtoHAsync(f.pinned, f.p, 64, f.s))                          \
    X(copy_out_async_pageable, cu.cuMemcpyDtoHAsync(f.pageable, f.p, 64, f.s))                      \
    X(copy_device_async, cu.cuMemcpyDtoDAsync(f.p, f.p + 256, 64, f.s))                             \
    X(copy_0_bytes_async, cu.cuMemcpyDtoDAsync(f.p, f.p + 256, 0, f.s))                             \
    X(copy_async_other_stream, cu.cuMemcpyHtoDAsync(f.p, f.pinned, 64, f.t))                        \
    X(memset_sync, cu.cuMemsetD8(f.p, 0, 64))                                                       \
    X(memset_async, cu.cuMemsetD8Async(f.p, 0, 64, f.s))                                            \
    X(event_create, cu.cuEventCreate(&(CUevent){NULL}, CU_EVENT_DEFAULT))                           \
    X(event_record, cu.cuEventRecord(f.e, f.s))                                                     \
    X(event_record_query, (cu.cuEventRecord(f.e, f.s), cu.cuEventQuery(f.e)))                       \
    X(event_record_synchronize, (cu.cuEventRecord(f.e, f.s), cu.cuEventSynchronize(f.e)))           \
    X(event_record_twice_elapsed, (cu.cuEventRecord(f.e, f.s), cu.cuEventRecord(f.late, f.s),       \
                                   cu.cuEventElapsedTime(&(float){0}, f.e, f.late)))                \
    X(event_query_earlier, cu.cuEventQuery(f.before))                                               \
    X(event_synchronize_earlier, cu.cuEventSynchronize(f.before))                                   \
    X(event_wait_earlier, cu.cuStreamWaitEvent(f.s, f.before, 0))                                   \
    X(event_record_other_stream, cu.cuEventRecord(f.e, f.t))                                        \
    X(event_wait_uncaptured_other, (cu.cuEventRecord(f.e, f.t), cu.cuStreamWaitEvent(f.s, f.e, 0))) \
    X(stream_synchronize, cu.cuStreamSynchronize(f.s))                                              \
    X(stream_query, cu.cuStreamQuery(f.s))                                                          \
    X(stream_synchronize_other, cu.cuStreamSynchronize(f.t))                                        \
    X(stream_query_other, cu.cuStreamQuery(f.t))                                                    \
    X(stream_synchronize_legacy, cu.cuStreamSynchronize(CU_STREAM_LEGACY))                          \
    X(ctx_synchronize, cu.cuCtxSynchronize())                                                       \
    X(stream_create, cu.cuStreamCreate(&(CUstream){NULL}, CU_STREAM_NON_BLOCKING))                  \
    X(module_load, cu.cuModuleLoadData(&(CUmodule){NULL}, f.code))                                  \
    X(module_unload, ({                                                                             \
          CUmodule m = f.module;                                                                    \
          f.module = NULL;                                                                          \
          cu.cuModuleUnload(m);                                                                     \
      }))                                                                                           \
    X(module_get_function, cu.cuModuleGetFunction(&(CUfunction){NULL}, f.module, "sum"))            \
    X(func_get_attribute, cu.cuFuncGetAttribute(&(int){0}, CU_FUNC_ATTRIBUTE_NUM_REGS, f.set))      \
    X(func_set_attribute,                                                                           \
      cu.cuFuncSetAttribute(f.set, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 65536))         \
    X(occupancy, cu.cuOccupancyMaxActiveBlocksPerMultiprocessor(&(int){0}, f.set, 128, 0))          \
    X(host_func, cu.cuLaunchHostFunc(f.s, nothing, NULL))                                           \
    X(fork_launch_join, fork_launch_join())                                                         \
    X(fork_unjoined, fork_launch())                                                                 \
    X(fork_then_end_forked, ({                                                                      \
          CUgraph g = NULL;                                                                         \
          fork_launch();                                                                            \
          cu.cuStreamEndCapture(f.t, &g);                                                           \
      }))                                                                                           \
    X(begin_again, cu.cuStreamBeginCapture(f.s, CU_STREAM_CAPTURE_MODE_GLOBAL))                     \
    X(capture_other_stream_too, other_capture())                                                    \
    X(graph_instantiate, instantiate_other())                                                       \
    X(graph_launch_captured, cu.cuGraphLaunch(f.exec, f.s))                                         \
    X(graph_launch_other_stream, cu.cuGraphLaunch(f.exec, f.t))                                     \
    X(thread_mem_alloc, in_thread(thread_alloc))                                                    \
    X(thread_kernel_other_stream, in_thread(thread_launch))                                         \
    X(thread_kernel_captured_stream, in_thread(thread_launch_captured))                             \
    X(thread_end_capture, in_thread(thread_end))                                                    \
    X(lt_matmul, lt_small_run(f.s))                                                                 \
    X(lt_heuristic, lt_small_heuristic())                                                           \
    X(lt_create, lt.cublasLtCreate(&f.handle))                                                      \
    X(stream_destroy, ({                                                                            \
          CUstream s = f.s;                                                                         \
          f.s = NULL;                                                                               \
          cu.cuStreamDestroy(s);                                                                    \
      }))

#define FUNCTION(name, call) \
    static int call_##name(void) { return (int)(call); }
CALLS(FUNCTION)
#define ROW(name, call) {#name, call_##name},
static const struct {
    const char *name;
    int (*call)(void);
} calls[] = {CALLS(ROW)};

static void set_up(unsigned flags, bool first) {
    size_t size;
    if (first) {
        MUST(cu.cuMemAlloc(&f.p, 4096));
        MUST(cu.cuMemHostAlloc(&f.pinned, 4096, 0));
        f.pageable = calloc(1, 4096);
        f.code = compile(kernel_text, gpu.arch, 'c', &size);
        f.set = gpu_kernel("set");
    }
    MUST(cu.cuStreamCreate(&f.s, flags));
    MUST(cu.cuStreamCreate(&f.t, flags));
    MUST(cu.cuEventCreate(&f.e, CU_EVENT_DEFAULT));
    MUST(cu.cuEventCreate(&f.before, CU_EVENT_DEFAULT));
    MUST(cu.cuEventCreate(&f.late, CU_EVENT_DEFAULT));
    MUST(cu.cuMemAlloc(&f.q, 4096));
    MUST(cu.cuMemAllocAsync(&f.pool, 4096, f.t));
    MUST(cu.cuModuleLoadData(&f.module, f.code));
    MUST(cu.cuModuleGetFunction(&f.fresh, f.module, "set"));
    if (first) {
        CUgraph g;
        MUST(launch_set(f.set, f.s)); /* loaded by now, as kernels are that an eager step has run */
        MUST(cu.cuStreamBeginCapture(f.s, CU_STREAM_CAPTURE_MODE_RELAXED));
        MUST(launch_set(f.set, f.s));
        MUST(cu.cuStreamEndCapture(f.s, &g));
        MUST(cu.cuGraphInstantiate(&f.exec, g, 0));
    }
    MUST(cu.cuEventRecord(f.before, f.t));
    MUST(cu.cuCtxSynchronize());
}

static void tear_down(void) { /* whatever state a call left: nothing here must succeed */
    if (f.s) cu.cuStreamDestroy(f.s);
    cu.cuStreamDestroy(f.t);
    cu.cuEventDestroy(f.e);
    cu.cuEventDestroy(f.before);
    cu.cuEventDestroy(f.late);
    if (f.q) cu.cuMemFree(f.q);
    if (f.pool) cu.cuMemFree(f.pool);
    if (f.module) cu.cuModuleUnload(f.module);
    if (f.handle) lt.cublasLtDestroy(f.handle);
    f.handle = NULL;
}

static void capture_one(const char *mode_name, CUstreamCaptureMode mode, unsigned flags, size_t i) {
    char key[96];
    CUgraph graph = NULL;
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
    static const char *const states[] = {"none", "active", "invalidated"};
    size_t nodes = 0;
    set_up(flags, false);
    snprintf(key, sizeof(key), "%s.%s", mode_name, calls[i].name);
    json_open(key, '{');
    MUST(cu.cuStreamBeginCapture(f.s, mode));
    MUST(launch_set(f.set, f.s));
    int code = calls[i].call();
    if (strncmp(calls[i].name, "lt_", 3) == 0)
        json_lt("call", (cublasStatus_t)code);
    else
        json_cu("call", (CUresult)code);
    if (f.s) {
        json_cu("is_capturing", cu.cuStreamIsCapturing(f.s, &status));
        json_text("status", "%s", (unsigned)status < 3 ? states[status] : "other");
        /* on a stream that no longer captures, these would run; that is worth knowing, too */
        json_cu("next_launch", launch_set(f.set, f.s));
        json_cu("end", cu.cuStreamEndCapture(f.s, &graph));
        if (graph && cu.cuGraphGetNodes(graph, NULL, &nodes) == CUDA_SUCCESS)
            json_int("nodes", (long long)nodes);
        if (graph) {
            CUgraphExec exec = NULL;
            CUresult made = cu.cuGraphInstantiate(&exec, graph, 0);
            json_cu("instantiate", made);
            if (!made) {
                json_cu("launch", cu.cuGraphLaunch(exec, f.s));
                cu.cuStreamSynchronize(f.s);
                cu.cuGraphExecDestroy(exec);
            }
            cu.cuGraphDestroy(graph);
        }
    }
    json_cu("context_after", cu.cuCtxSynchronize());
    json_close();
    tear_down();
}

void task_capture(void) {
    static const struct {
        const char *name;
        CUstreamCaptureMode mode;
        unsigned flags;
    } modes[] = {{"global", CU_STREAM_CAPTURE_MODE_GLOBAL, CU_STREAM_NON_BLOCKING},
                 {"thread_local", CU_STREAM_CAPTURE_MODE_THREAD_LOCAL, CU_STREAM_NON_BLOCKING},
                 {"relaxed", CU_STREAM_CAPTURE_MODE_RELAXED, CU_STREAM_NON_BLOCKING},
                 {"thread_local_blocking_streams", CU_STREAM_CAPTURE_MODE_THREAD_LOCAL, CU_STREAM_DEFAULT}};
    gpu_open(true);
    int lt_status = lt_small_ready();
    json_int("lt_ready", lt_status);
    set_up(CU_STREAM_NON_BLOCKING, true);
    tear_down();
    for (size_t m = 0; m < sizeof(modes) / sizeof(*modes); m++)
        for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
            if (lt_status == 0 || strncmp(calls[i].name, "lt_", 3) != 0)
                capture_one(modes[m].name, modes[m].mode, modes[m].flags, i);
}

/* ---- graphs: what may change after they were instantiated ---- */

/* A chain: set p[0] = value, then `adds` times p[0] += 1, a memset of `bytes` at q, a copy. */
static CUgraph chain(CUstream s, CUdeviceptr p, CUdeviceptr q, int value, int adds, size_t bytes) {
    CUgraph g = NULL;
    int one = 1;
    void *set_args[] = {&p, &value}, *add_args[] = {&p, &one};
    MUST(cu.cuStreamBeginCapture(s, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
    MUST(gpu_launch("set", 1, 1, s, set_args));
    for (int i = 0; i < adds; i++) MUST(gpu_launch("add", 1, 1, s, add_args));
    MUST(cu.cuMemsetD8Async(q, 5, bytes, s));
    MUST(cu.cuMemcpyDtoDAsync(q + 1024, q, bytes, s));
    MUST(cu.cuStreamEndCapture(s, &g));
    return g;
}

static CUgraphNode node_of(CUgraph g,
                           CUgraphNodeType wanted) { /* the first of its kind, in no promised order */
    CUgraphNode nodes[64] = {NULL};
    CUgraphNodeType type;
    size_t n = 64;
    MUST(cu.cuGraphGetNodes(g, nodes, &n));
    for (size_t i = 0; i < n && i < 64; i++)
        if (cu.cuGraphNodeGetType(nodes[i], &type) == CUDA_SUCCESS && type == wanted) return nodes[i];
    return NULL;
}

static int value_at(CUdeviceptr p) {
    int value = -1;
    MUST(cu.cuMemcpyDtoH(&value, p, sizeof(value)));
    return value;
}

static void launched(const char *key, CUresult code, CUgraphExec exec, CUstream s, CUdeviceptr p) {
    json_open(key, '{');
    json_cu("code", code);
    MUST(cu.cuMemsetD8(p, 0, 4));
    json_cu("launch", cu.cuGraphLaunch(exec, s));
    json_cu("synchronize", cu.cuStreamSynchronize(s));
    json_int("value", value_at(p));
    json_close();
}

static void updated(const char *key, CUgraphExec exec, CUgraph to, CUstream s, CUdeviceptr p) {
    CUgraphExecUpdateResultInfo info;
    memset(&info, 0, sizeof(info));
    CUresult code = cu.cuGraphExecUpdate(exec, to, &info);
    json_open(key, '{');
    json_cu("code", code);
    json_int("result", info.result);
    MUST(cu.cuMemsetD8(p, 0, 4));
    json_cu("launch", cu.cuGraphLaunch(exec, s));
    json_cu("synchronize", cu.cuStreamSynchronize(s));
    json_int("value", value_at(p));
    json_close();
    cu.cuGraphDestroy(to);
}

void task_graph(void) {
    CUstream s, t;
    CUdeviceptr p, q, other;
    CUgraph g, allocating;
    CUgraphExec exec, second;
    CUDA_KERNEL_NODE_PARAMS kernel;
    CUDA_MEMSET_NODE_PARAMS memset_params;
    int value = 40;
    gpu_open(true);
    MUST(cu.cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
    MUST(cu.cuStreamCreate(&t, CU_STREAM_NON_BLOCKING));
    MUST(cu.cuMemAlloc(&p, 4096));
    MUST(cu.cuMemAlloc(&q, 4096));
    MUST(cu.cuMemAlloc(&other, 4096));
    void *args[] = {&p, &value};
    MUST(gpu_launch("set", 1, 1, s, args));
    MUST(gpu_launch("add", 1, 1, s, args));
    g = chain(s, p, q, 10, 2, 64);
    json_cu("instantiate", cu.cuGraphInstantiate(&exec, g, 0));
    json_cu("instantiate_twice", cu.cuGraphInstantiate(&second, g, 0));
    json_cu("instantiate_bad_flags", cu.cuGraphInstantiate(&(CUgraphExec){NULL}, g, 0xFF00));
    launched("unchanged_12", CUDA_SUCCESS, exec, s, p);
    json_cu("upload", cu.cuGraphUpload(exec, s));

    /* the parameters of a kernel node: its values, place, size, function */
    CUgraphNode node = node_of(g, CU_GRAPH_NODE_TYPE_KERNEL);
    memset(&kernel, 0, sizeof(kernel));
    json_cu("kernel_get_params", cu.cuGraphKernelNodeGetParams(node, &kernel));
    json_int("first_kernel_is_set", kernel.func == gpu_kernel("set"));
    kernel.kernelParams = args;
    kernel.extra = NULL;
    launched("new_value_42", cu.cuGraphExecKernelNodeSetParams(exec, node, &kernel), exec, s, p);
    kernel.gridDimX = 2;
    kernel.blockDimX = 64;
    launched("new_grid_and_block", cu.cuGraphExecKernelNodeSetParams(exec, node, &kernel), exec, s, p);
    kernel.gridDimX = kernel.blockDimX = 1;
    kernel.func = gpu_kernel("add");
    launched("new_function_42_on_0", cu.cuGraphExecKernelNodeSetParams(exec, node, &kernel), exec, s, p);
    kernel.func = gpu_kernel("set");
    args[0] = &other;
    launched("new_pointer_leaves_2", cu.cuGraphExecKernelNodeSetParams(exec, node, &kernel), exec, s, p);
    kernel.blockDimX = 2048;
    json_cu("bad_block", cu.cuGraphExecKernelNodeSetParams(exec, node, &kernel));
    kernel.blockDimX = 1;
    json_cu("node_of_no_kernel",
            cu.cuGraphExecKernelNodeSetParams(exec, node_of(g, CU_GRAPH_NODE_TYPE_MEMSET), &kernel));
    memset(&memset_params, 0, sizeof(memset_params));
    CUgraphNode set_node = node_of(g, CU_GRAPH_NODE_TYPE_MEMSET);
    json_cu("memset_get_params", cu.cuGraphMemsetNodeGetParams(set_node, &memset_params));
    memset_params.value = 9;
    json_cu("memset_new_value", cu.cuGraphExecMemsetNodeSetParams(exec, set_node, &memset_params, gpu.context));
    memset_params.width = 32;
    json_cu("memset_new_width", cu.cuGraphExecMemsetNodeSetParams(exec, set_node, &memset_params, gpu.context));

    /* the whole graph from another one */
    updated("update_same_shape_22", exec, chain(s, p, q, 20, 2, 64), s, p);
    updated("update_other_buffers_0", exec, chain(s, other, q, 20, 2, 64), s, p);
    updated("update_other_sizes_32", exec, chain(s, p, q, 30, 2, 128), s, p);
    updated("update_more_nodes", exec, chain(s, p, q, 40, 3, 64), s, p);
    updated("update_fewer_nodes", exec, chain(s, p, q, 50, 1, 64), s, p);

    /* lives: what may go while the graph runs */
    json_cu("launch_two_streams_a", cu.cuGraphLaunch(second, s));
    json_cu("launch_two_streams_b", cu.cuGraphLaunch(second, t));
    json_cu("launch_again_in_flight", cu.cuGraphLaunch(second, s));
    json_cu("destroy_graph_first", cu.cuGraphDestroy(g));
    json_cu("launch_without_graph", cu.cuGraphLaunch(second, s));
    json_cu("destroy_exec_in_flight", cu.cuGraphExecDestroy(second));
    json_cu("synchronize", cu.cuCtxSynchronize());
    json_int("value_12", value_at(p));
    cu.cuGraphExecDestroy(exec);

    /* graphs that allocate */
    CUdeviceptr inside = 0;
    MUST(cu.cuStreamBeginCapture(s, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
    json_cu("capture_alloc", cu.cuMemAllocAsync(&inside, 1 << 20, s));
    json_cu("capture_memset", cu.cuMemsetD8Async(inside, 1, 1 << 20, s));
    MUST(cu.cuStreamEndCapture(s, &allocating));
    json_cu("allocating_instantiate", cu.cuGraphInstantiate(&exec, allocating, 0));
    json_cu("allocating_instantiate_twice", cu.cuGraphInstantiate(&second, allocating, 0));
    json_cu("allocating_launch", cu.cuGraphLaunch(exec, s));
    json_cu("allocating_launch_unfreed", cu.cuGraphLaunch(exec, s));
    json_cu("allocating_free_outside", cu.cuMemFreeAsync(inside, s));
    json_cu("allocating_launch_freed", cu.cuGraphLaunch(exec, s));
    json_cu("context_after_all", cu.cuCtxSynchronize());
}
