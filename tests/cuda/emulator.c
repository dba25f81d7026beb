/* Fibres are made once with makecontext and then switched with _setjmp, which asks nothing of the system. */
#undef _FORTIFY_SOURCE /* its longjmp refuses to leave for another stack */
#include "emulator.h"
#include <dlfcn.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define STACK (64 << 10)
enum { READY, WAITING, DONE };

/* What the text sees as threadIdx and so on; the same words are in `shim`. */
typedef struct {
    uint32_t thread, block, threads, blocks;
    void (*barrier)(int site);
} emu_state;

static const char shim[] =
    "#include <stdint.h>\n"
    "struct emu_index { uint32_t x; };\n"
    "struct emu_state { emu_index thread, block, threads, blocks; void (*barrier)(int); };\n"
    "static emu_state *emu;\n"
    "extern \"C\" void emu_bind(emu_state *state) { emu = state; }\n"
    "#define threadIdx emu->thread\n"
    "#define blockIdx emu->block\n"
    "#define blockDim emu->threads\n"
    "#define gridDim emu->blocks\n"
    "#define __syncthreads() emu->barrier(__LINE__)\n"
    "#define __global__\n"
    "#define __device__\n"
    "#define __shared__ static\n"
    "#define __forceinline__ inline\n"
    "#define __grid_constant__\n"
    "#define __launch_bounds__(threads, blocks)\n"
    "static inline uint32_t __brev(uint32_t x) {\n"
    "    uint32_t y = 0;\n"
    "    for (int i = 0; i < 32; i++) y |= (x >> i & 1) << (31 - i);\n"
    "    return y;\n"
    "}\n"
    "static inline void atomicMin(uint32_t *p, uint32_t v) { if (v < *p) *p = v; }\n"
    "template <class Q, class W> static void emu_call(void (*f)(Q, W), const void *q, const void *w) {\n"
    "    f(*(const Q *)q, *(const W *)w);\n"
    "}\n";

struct emu_unit {
    char source[256], object[256];
    FILE *compiler;
    void *library;
};

static struct {
    emu_state state;
    ucontext_t made[TIDE_CUDA_BLOCK];
    jmp_buf at[TIDE_CUDA_BLOCK], scheduler;
    int status[TIDE_CUDA_BLOCK], site[TIDE_CUDA_BLOCK];
    bool begun[TIDE_CUDA_BLOCK];
    char *stacks;
    void (*kernel)(const void *, const void *);
    const void *space, *work;
} emu;

/* ---- compiling ---- */

emu_unit *emu_start(int n, const tide_cuda_source *const *source) {
    static int serial;
    emu_unit *u = calloc(1, sizeof *u);
    const char *folder = getenv("TMPDIR");
    if (!folder) folder = P_tmpdir;
    snprintf(u->source, sizeof u->source, "%s/tide-emulator-%d-%d.cpp", folder, (int)getpid(), serial);
    snprintf(u->object, sizeof u->object, "%s/tide-emulator-%d-%d.so", folder, (int)getpid(), serial++);
    FILE *f = fopen(u->source, "w");
    if (!f) return u;
    fprintf(f, "%s%s", shim, tide_cuda_prelude());
    for (int i = 0; i < n; i++) {
        fprintf(f, "%s", source[i]->text);
        for (int k = 0; k < TIDE_CUDA_NKERNEL; k++) {
            char name[48];
            if (!(source[i]->kernels >> k & 1)) continue;
            tide_cuda_kernel_name(source[i], k, name);
            fprintf(f, "extern \"C\" void emu_%s(const void *q, const void *w) { emu_call(%s, q, w); }\n", name,
                    name);
        }
    }
    fclose(f);
    char command[1024];
    snprintf(
        command, sizeof command,
        "g++ -w -O1 -shared -fPIC -ffp-contract=off -fno-strict-aliasing -fwrapv -march=native -o %s %s 2>&1",
        u->object, u->source);
    u->compiler = popen(command, "r");
    return u;
}

emu_unit *emu_wait(emu_unit *u) {
    char line[512];
    if (u->compiler) {
        while (fgets(line, sizeof line, u->compiler)) fputs(line, stderr);
        if (pclose(u->compiler) == 0) u->library = dlopen(u->object, RTLD_NOW | RTLD_LOCAL);
    }
    if (u->library) {
        void (*bind)(emu_state *);
        *(void **)&bind = dlsym(u->library, "emu_bind");
        bind(&emu.state);
        return u;
    }
    emu_close(u);
    return NULL;
}

void emu_close(emu_unit *u) {
    if (!u) return;
    if (u->library) dlclose(u->library);
    unlink(u->source);
    unlink(u->object);
    free(u);
}

/* ---- fibres ---- */

static void leave(int status, int site) {
    const uint32_t i = emu.state.thread;
    emu.status[i] = status;
    emu.site[i] = site;
    if (!_setjmp(emu.at[i])) _longjmp(emu.scheduler, 1);
}

static void barrier(int site) { leave(WAITING, site); }

static void fibre(void) {
    for (;;) {
        emu.kernel(emu.space, emu.work);
        leave(DONE, 0);
    }
}

static void enter(uint32_t i) {
    emu.state.thread = i;
    if (_setjmp(emu.scheduler)) return;
    if (emu.begun[i]) _longjmp(emu.at[i], 1);
    emu.begun[i] = true;
    setcontext(&emu.made[i]);
}

static bool make_fibres(void) {
    if (!emu.stacks) {
        emu.stacks = mmap(NULL, (size_t)STACK * TIDE_CUDA_BLOCK, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (emu.stacks == MAP_FAILED) return emu.stacks = NULL, false;
    }
    for (int i = 0; i < TIDE_CUDA_BLOCK; i++) {
        if (emu.begun[i] && emu.status[i] == DONE) continue;
        char *stack = emu.stacks + (size_t)i * STACK;
        mprotect(stack, 4096, PROT_NONE);
        getcontext(&emu.made[i]);
        emu.made[i].uc_stack.ss_sp = stack;
        emu.made[i].uc_stack.ss_size = STACK;
        makecontext(&emu.made[i], fibre, 0);
        emu.begun[i] = false;
    }
    return true;
}

static const char *run_block(void) {
    for (int i = 0; i < TIDE_CUDA_BLOCK; i++) emu.status[i] = READY;
    for (;;) {
        for (uint32_t i = 0; i < TIDE_CUDA_BLOCK; i++) {
            enter(i);
            if (emu.status[i] != emu.status[0]) return "some threads of a block do not reach a barrier";
            if (emu.site[i] != emu.site[0]) return "threads of a block wait at different barriers";
        }
        if (emu.status[0] == DONE) return NULL;
    }
}

const char *emu_run(emu_unit *u, const tide_cuda_source *source, int kernel, uint32_t grid,
                    const tide_cuda_space *space, const tide_cuda_work *work) {
    char name[48], symbol[64];
    tide_cuda_kernel_name(source, kernel, name);
    snprintf(symbol, sizeof symbol, "emu_%s", name);
    *(void **)&emu.kernel = dlsym(u->library, symbol);
    if (!emu.kernel) return "no such kernel";
    emu.space = space;
    emu.work = work;
    emu.state = (emu_state){.threads = TIDE_CUDA_BLOCK, .blocks = grid, .barrier = barrier};
    for (uint32_t b = 0; b < grid; b++) {
        if (!make_fibres()) return "no memory for fibres";
        emu.state.block = b;
        const char *wrong = run_block();
        if (wrong) return wrong;
    }
    return NULL;
}
