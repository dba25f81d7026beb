/* What can be proved about a text without a GPU. */
#include "nvrtc.h"
#include <ctype.h>
#include <dlfcn.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct nvrtc_program *program;
static struct {
    int (*create)(program *, const char *, const char *, int, const char *const *, const char *const *);
    int (*destroy)(program *);
    int (*compile)(program, int, const char *const *);
    int (*log_size)(program, size_t *);
    int (*log)(program, char *);
    int (*ptx_size)(program, size_t *);
    int (*ptx)(program, char *);
} rtc;

bool nvrtc_open(void) {
    static const char *const libraries[] = {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so",
                                            "/usr/local/cuda/lib64/libnvrtc.so"};
    static const struct {
        const char *name;
        void *to;
    } symbols[] = {
        {"nvrtcCreateProgram", &rtc.create},
        {"nvrtcDestroyProgram", &rtc.destroy},
        {"nvrtcCompileProgram", &rtc.compile},
        {"nvrtcGetProgramLogSize", &rtc.log_size},
        {"nvrtcGetProgramLog", &rtc.log},
        {"nvrtcGetPTXSize", &rtc.ptx_size},
        {"nvrtcGetPTX", &rtc.ptx},
    };
    void *library = NULL;
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries && !library; i++)
        library = dlopen(libraries[i], RTLD_NOW);
    for (size_t i = 0; library && i < sizeof symbols / sizeof *symbols; i++)
        if (!(*(void **)symbols[i].to = dlsym(library, symbols[i].name))) library = NULL;
    return library != NULL;
}

/* The compiler's own words on each kernel: "Function properties for X", "N bytes spill stores", "Used N
 * registers". */
static int read_log(const char *log, int *registers) {
    int wrong = 0;
    char kernel[64] = "";
    for (const char *line = log; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        const char *end = strchr(line, '\n'), *at;
        char text[512];
        snprintf(text, sizeof text, "%.*s", (int)(end ? end - line : (long)strlen(line)), line);
        if ((at = strstr(text, "Compiling entry function '")))
            sscanf(at, "Compiling entry function '%63[^']", kernel);
        if ((at = strstr(text, " bytes spill stores"))) {
            while (at > text && isdigit((unsigned char)at[-1])) at--;
            if (atoi(at) > 0) wrong++, printf("  %s: %s\n", kernel, text);
        }
        if ((at = strstr(text, "Used "))) {
            const int n = atoi(at + 5);
            if (n > *registers) *registers = n;
            if (n > 128) wrong++, printf("  %s: %d registers\n", kernel, n);
        }
    }
    return wrong;
}

/* NVRTC makes max and min of selects such as `C < x ? x : C`, and minds NaNs but not the signs of zeros. With a
 * number C as the last operand they have the select's result for every x, a NaN (C) included, unless C is the
 * zero that they would give away for the other one: PTX orders -0 before +0. */
static bool is_exact_bound(const char *text) {
    const char *operand = strrchr(text, ',');
    const bool is_min = !strncmp(text, "min", 3);
    uint64_t bits;
    double c;
    if (!operand) return false;
    if (sscanf(operand, ", 0f%8" SCNx64, &bits) == 1) {
        const uint32_t narrow = (uint32_t)bits;
        float f;
        memcpy(&f, &narrow, sizeof f);
        c = (double)f;
    } else if (sscanf(operand, ", 0d%16" SCNx64, &bits) == 1) {
        memcpy(&c, &bits, sizeof c);
    } else {
        return false;
    }
    return c == c && (c != 0 || !signbit(c) == !is_min);
}

/* Is `text` an instruction whose result is not that of the CPU? */
static bool is_loose(const char *text) {
    if (strstr(text, ".approx") || strstr(text, ".ftz")) return true;
    if (!strncmp(text, "max.f", 5) || !strncmp(text, "min.f", 5)) return !is_exact_bound(text);
    if (!strncmp(text, "max.NaN", 7) || !strncmp(text, "min.NaN", 7)) return true;
    /* cvt.rzi.s32.f32: float to integer by the machine's own rules */
    return !strncmp(text, "cvt.r", 5) && text[6] == 'i' && strstr(text, ".f") && !strstr(text, ".f32.f32") &&
           !strstr(text, ".f64.f64");
}

static int read_ptx(char *ptx) {
    int wrong = 0;
    const char *entry = "";
    for (char *save, *line = strtok_r(ptx, "\n;", &save); line; line = strtok_r(NULL, "\n;", &save)) {
        while (isspace((unsigned char)*line)) line++;
        if (strstr(line, ".entry ")) entry = strstr(line, ".entry ");
        if (*line == '@') line += strcspn(line, " \t"), line += strspn(line, " \t");
        if (!strncmp(line, "//", 2) || !is_loose(line)) continue;
        printf("  PTX: %s in %s\n", line, entry);
        wrong++;
    }
    return wrong;
}

int nvrtc_check(int arch, int n, const tide_cuda_source *const *source, int *registers) {
    size_t length = strlen(tide_cuda_prelude()) + 1, size = 0;
    for (int i = 0; i < n; i++) length += (size_t)source[i]->length;
    char *text = malloc(length), *end = text + sprintf(text, "%s", tide_cuda_prelude()), option[64];
    for (int i = 0; i < n; i++) end += sprintf(end, "%s", source[i]->text);
    snprintf(option, sizeof option, "--gpu-architecture=sm_%d", arch);
    const char *options[] = {option,           "--std=c++17",     "-fmad=false",       "-ftz=false",
                             "-prec-div=true", "-prec-sqrt=true", "--ptxas-options=-v"};
    program p = NULL;
    int wrong = rtc.create(&p, text, "tide.cu", 0, NULL, NULL);
    if (!wrong) {
        wrong = rtc.compile(p, sizeof options / sizeof *options, options);
        char *log = NULL, *ptx = NULL;
        if (!rtc.log_size(p, &size) && (log = malloc(size + 1)) && !rtc.log(p, log)) {
            if (wrong) printf("%s\n", log);
            wrong += read_log(log, registers);
        }
        if (!wrong && !rtc.ptx_size(p, &size) && (ptx = malloc(size + 1)) && !rtc.ptx(p, ptx))
            wrong += read_ptx(ptx);
        free(log);
        free(ptx);
        rtc.destroy(&p);
    }
    free(text);
    return wrong;
}
