/* What the machine is: the device's properties, versions, and what NVML reads. Nothing is set, only read. */
#include <stdio.h>
#include "probe.h"
#include <dlfcn.h>
#include <string.h>

/* ---- NVML, with own prototypes: the toolkit has no nvml.h. All return 0 on success ---- */

typedef struct nvml_device *nvml_device;
typedef struct {
    unsigned long long total, free, used;
} nvml_memory;
typedef struct {
    unsigned gpu, memory;
} nvml_utilization;

static void *nvml;
static nvml_device dev;

static void *nvml_find(const char *name) {
    void *f = dlsym(nvml, name);
    if (!f) json_text(name, "not in this library");
    return f;
}

static void nvml_code(const char *name, int code) {
    json_open(name, '{');
    json_int("nvml_error", code);
    json_close();
}

static void read_uint(const char *key, const char *name) { /* int f(device, unsigned *) */
    unsigned value = 0;
    int (*f)(nvml_device, unsigned *) = (int (*)(nvml_device, unsigned *))nvml_find(name);
    if (!f) return;
    int code = f(dev, &value);
    if (code)
        nvml_code(key, code);
    else
        json_int(key, value);
}

static void read_uint_of(const char *key, const char *name, int which) { /* int f(device, enum, unsigned *) */
    unsigned value = 0;
    int (*f)(nvml_device, int, unsigned *) = (int (*)(nvml_device, int, unsigned *))nvml_find(name);
    if (!f) return;
    int code = f(dev, which, &value);
    if (code)
        nvml_code(key, code);
    else
        json_int(key, value);
}

static void read_u64(const char *key, const char *name) { /* int f(device, unsigned long long *) */
    unsigned long long value = 0;
    int (*f)(nvml_device, unsigned long long *) = (int (*)(nvml_device, unsigned long long *))nvml_find(name);
    if (!f) return;
    int code = f(dev, &value);
    if (code)
        nvml_code(key, code);
    else
        json_int(key, (long long)value);
}

static void read_pair(const char *key, const char *name) { /* int f(device, unsigned *, unsigned *) */
    unsigned now_is = 0, pending = 0;
    int (*f)(nvml_device, unsigned *, unsigned *) =
        (int (*)(nvml_device, unsigned *, unsigned *))nvml_find(name);
    if (!f) return;
    int code = f(dev, &now_is, &pending);
    if (code) {
        nvml_code(key, code);
        return;
    }
    json_open(key, '[');
    json_int(NULL, now_is);
    json_int(NULL, pending);
    json_close();
}

static void read_text(const char *key, const char *name) { /* int f(device, char *, unsigned) */
    char text[96] = "";
    int (*f)(nvml_device, char *, unsigned) = (int (*)(nvml_device, char *, unsigned))nvml_find(name);
    if (!f) return;
    int code = f(dev, text, sizeof(text));
    if (code)
        nvml_code(key, code);
    else
        json_text(key, "%s", text);
}

static void read_ecc_errors(const char *key, int corrected_or_not) { /* since boot */
    unsigned long long value = 0;
    int (*f)(nvml_device, int, int, unsigned long long *) =
        (int (*)(nvml_device, int, int, unsigned long long *))nvml_find("nvmlDeviceGetTotalEccErrors");
    if (!f) return;
    int code = f(dev, corrected_or_not, 0, &value);
    if (code)
        nvml_code(key, code);
    else
        json_int(key, (long long)value);
}

static void nvml_readings(void) {
    nvml_memory memory = {0, 0, 0};
    nvml_utilization use = {0, 0};
    char text[96] = "";
    int version = 0;
    read_text("name", "nvmlDeviceGetName");
    read_text("vbios", "nvmlDeviceGetVbiosVersion");
    int (*get_text)(char *, unsigned) = (int (*)(char *, unsigned))nvml_find("nvmlSystemGetDriverVersion");
    if (get_text && get_text(text, sizeof(text)) == 0) json_text("driver", "%s", text);
    get_text = (int (*)(char *, unsigned))nvml_find("nvmlSystemGetNVMLVersion");
    if (get_text && get_text(text, sizeof(text)) == 0) json_text("nvml", "%s", text);
    int (*get_version)(int *) = (int (*)(int *))nvml_find("nvmlSystemGetCudaDriverVersion_v2");
    if (get_version && get_version(&version) == 0) json_int("cuda", version);
    int (*get_memory)(nvml_device, nvml_memory *) =
        (int (*)(nvml_device, nvml_memory *))nvml_find("nvmlDeviceGetMemoryInfo");
    if (get_memory && get_memory(dev, &memory) == 0) {
        json_int("memory_total", (long long)memory.total);
        json_int("memory_used", (long long)memory.used);
    }
    int (*get_use)(nvml_device, nvml_utilization *) =
        (int (*)(nvml_device, nvml_utilization *))nvml_find("nvmlDeviceGetUtilizationRates");
    if (get_use && get_use(dev, &use) == 0) {
        json_int("utilization_percent", use.gpu);
        json_int("memory_utilization_percent", use.memory);
    }
    static const char *const clocks[] = {"graphics", "sm", "memory", "video"};
    for (int i = 0; i < 4; i++) {
        snprintf(text, sizeof(text), "clock_%s_mhz", clocks[i]);
        read_uint_of(text, "nvmlDeviceGetClockInfo", i);
        snprintf(text, sizeof(text), "max_clock_%s_mhz", clocks[i]);
        read_uint_of(text, "nvmlDeviceGetMaxClockInfo", i);
    }
    read_uint("power_mw", "nvmlDeviceGetPowerUsage");
    read_uint("power_limit_mw", "nvmlDeviceGetEnforcedPowerLimit");
    read_u64("energy_mj", "nvmlDeviceGetTotalEnergyConsumption");
    read_uint_of("temperature_c", "nvmlDeviceGetTemperature", 0);
    read_uint_of("temperature_slowdown_c", "nvmlDeviceGetTemperatureThreshold", 1);
    read_u64("throttle_reasons", "nvmlDeviceGetCurrentClocksThrottleReasons");
    read_uint("performance_state", "nvmlDeviceGetPerformanceState");
    read_uint("persistence_mode", "nvmlDeviceGetPersistenceMode");
    read_uint("compute_mode", "nvmlDeviceGetComputeMode");
    read_pair("ecc_now_and_pending", "nvmlDeviceGetEccMode");
    read_ecc_errors("ecc_corrected", 0);
    read_ecc_errors("ecc_uncorrected", 1);
    read_pair("mig_now_and_pending", "nvmlDeviceGetMigMode");
    read_uint("pcie_generation", "nvmlDeviceGetCurrPcieLinkGeneration");
    read_uint("pcie_width", "nvmlDeviceGetCurrPcieLinkWidth");
    read_uint("pcie_max_generation", "nvmlDeviceGetMaxPcieLinkGeneration");
    read_uint("pcie_max_width", "nvmlDeviceGetMaxPcieLinkWidth");
    read_uint_of("pcie_sent_kb_s", "nvmlDeviceGetPcieThroughput", 0);
    read_uint_of("pcie_received_kb_s", "nvmlDeviceGetPcieThroughput", 1);
}

/* What one reading costs whoever polls it. */
static void nvml_costs(void) {
    static const char *const names[] = {"nvmlDeviceGetPowerUsage", "nvmlDeviceGetUtilizationRates",
                                        "nvmlDeviceGetMemoryInfo"};
    unsigned long long room[8];
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        int (*f)(nvml_device, void *) = (int (*)(nvml_device, void *))nvml_find(names[i]);
        double us[21];
        if (!f) continue;
        for (int k = 0; k < 21; k++) {
            double from = now();
            f(dev, room);
            us[k] = now() - from;
        }
        char key[96];
        snprintf(key, sizeof(key), "%s_us", names[i]);
        json_num(key, median(us, 21));
    }
}

static void nvml_all(void) {
    nvml = dlopen("libnvidia-ml.so.1", RTLD_NOW);
    json_open("nvml", '{');
    int (*init)(void) = nvml ? (int (*)(void))nvml_find("nvmlInit_v2") : NULL;
    int (*get)(unsigned, nvml_device *) =
        nvml ? (int (*)(unsigned, nvml_device *))nvml_find("nvmlDeviceGetHandleByIndex_v2") : NULL;
    int code = -1;
    if (!init || !get)
        json_text("error", "libnvidia-ml.so.1 is not there");
    else if ((code = init()) != 0)
        json_int("init", code);
    else if ((code = get(0, &dev)) != 0)
        json_int("handle", code);
    else {
        nvml_readings();
        nvml_costs();
        int (*done)(void) = (int (*)(void))nvml_find("nvmlShutdown");
        if (done) json_int("shutdown", done());
    }
    json_close();
}

/* ---- the device ---- */

/* clang-format off */
#define ATTRIBUTES(F) \
    F(MAX_THREADS_PER_BLOCK) F(MAX_BLOCK_DIM_X) F(MAX_BLOCK_DIM_Z) F(MAX_GRID_DIM_X) F(MAX_GRID_DIM_Y) \
    F(MAX_SHARED_MEMORY_PER_BLOCK) F(MAX_SHARED_MEMORY_PER_BLOCK_OPTIN) \
    F(MAX_SHARED_MEMORY_PER_MULTIPROCESSOR) F(RESERVED_SHARED_MEMORY_PER_BLOCK) F(MAX_REGISTERS_PER_BLOCK) \
    F(MAX_REGISTERS_PER_MULTIPROCESSOR) F(MAX_THREADS_PER_MULTIPROCESSOR) F(MAX_BLOCKS_PER_MULTIPROCESSOR) \
    F(MULTIPROCESSOR_COUNT) F(WARP_SIZE) F(TOTAL_CONSTANT_MEMORY) F(L2_CACHE_SIZE) \
    F(MAX_PERSISTING_L2_CACHE_SIZE) F(GLOBAL_MEMORY_BUS_WIDTH) F(MEMORY_CLOCK_RATE) F(CLOCK_RATE) \
    F(ECC_ENABLED) F(INTEGRATED) F(ASYNC_ENGINE_COUNT) F(CONCURRENT_KERNELS) F(KERNEL_EXEC_TIMEOUT) \
    F(COMPUTE_MODE) F(UNIFIED_ADDRESSING) F(MANAGED_MEMORY) F(CONCURRENT_MANAGED_ACCESS) \
    F(PAGEABLE_MEMORY_ACCESS) F(HOST_REGISTER_SUPPORTED) F(CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM) \
    F(MEMORY_POOLS_SUPPORTED) F(COOPERATIVE_LAUNCH) F(CLUSTER_LAUNCH) F(STREAM_PRIORITIES_SUPPORTED) \
    F(GPU_DIRECT_RDMA_SUPPORTED) F(VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED) F(COMPUTE_CAPABILITY_MAJOR) \
    F(COMPUTE_CAPABILITY_MINOR) F(COMPUTE_PREEMPTION_SUPPORTED) F(TEXTURE_ALIGNMENT) F(PCI_BUS_ID)
/* clang-format on */

void task_machine(void) {
    char name[256] = "";
    size_t total = 0, unused = 0;
    int version = 0, major = 0, minor = 0, low = 0, high = 0;
    double from = now();
    gpu_open(false);
    json_num("open_us", now() - from);
    MUST(cu.cuDeviceGetName(name, sizeof(name), gpu.device));
    json_text("name", "%s", name);
    json_int("devices", gpu_count());
    MUST(cu.cuDriverGetVersion(&version));
    json_int("cuda_driver", version);
    if (load_nvrtc() && rtc.nvrtcVersion(&major, &minor) == NVRTC_SUCCESS)
        json_text("nvrtc", "%d.%d", major, minor);
    if (load_lt()) json_int("cublaslt", (long long)lt.cublasLtGetVersion());
    MUST(cu.cuDeviceTotalMem(&total, gpu.device));
    json_int("memory", (long long)total);
    MUST(cu.cuMemGetInfo(&unused, &total));
    json_int("memory_free", (long long)unused);
    MUST(cu.cuCtxGetStreamPriorityRange(&low, &high));
    json_text("stream_priorities", "%d to %d", low, high);
    static const struct {
        const char *name;
        CUlimit limit;
    } limits[] = {{"stack", CU_LIMIT_STACK_SIZE},
                  {"printf", CU_LIMIT_PRINTF_FIFO_SIZE},
                  {"heap", CU_LIMIT_MALLOC_HEAP_SIZE}};
    json_open("limits", '{');
    for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++)
        if (cu.cuCtxGetLimit(&total, limits[i].limit) == CUDA_SUCCESS)
            json_int(limits[i].name, (long long)total);
    json_close();
    json_open("attributes", '{');
#define ATTRIBUTE(a)                                                                            \
    if (cu.cuDeviceGetAttribute(&version, CU_DEVICE_ATTRIBUTE_##a, gpu.device) == CUDA_SUCCESS) \
        json_int(#a, version);
    ATTRIBUTES(ATTRIBUTE)
    json_close();
    nvml_all();
}
