/* Samples: the memory that a program's arguments touch, before and after the CPU ran it. */
#include "check.h"
#include "base/base.h"
#include "emulator.h"
#include "nvrtc.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define BATCH 24     /* texts in one compilation */
#define FEW 7        /* blocks: any grid gives the same, and a small one makes blocks go round */
#define REDZONE 0xA5 /* what surrounds emulated memory */

typedef struct {
    char *at; /* where it was */
    size_t size;
    uint8_t *before, *after; /* after: what the CPU left there */
    uint8_t *pages, *copy;   /* while emulated: mapped pages, and the memory in them */
    size_t mapped;
} region;

struct cuda_sample {
    cuda_sample *next;
    char name[96];
    int text, niter, nregion;
    tide_prog piece; /* its arrays are copies */
    tide_iter *iter;
    uint64_t slot[TIDE_MAXSLOTS];
    region *region;
    bool ended;
    tide_status status;
};

static struct {
    cuda_sample *first, **last;
    tide_cuda_source *text;
    int ntext, capacity;
    tide_context *cx; /* the texts' memory */
} suite = {.last = &suite.first};

static const int dtype_size[] = {
    [TIDE_F32] = 4, [TIDE_F64] = 8, [TIDE_F16] = 2, [TIDE_BF16] = 2, [TIDE_I64] = 8,
    [TIDE_I32] = 4, [TIDE_I8] = 1,  [TIDE_U8] = 1,  [TIDE_BOOL] = 1};

/* ---- collecting ---- */

static void *copy_of(const void *p, size_t n) {
    void *c = malloc(n + 1);
    if (n) memcpy(c, p, n);
    return c;
}

static bool extent(const int64_t *size, const int64_t *stride, int n, char **from, char **to) {
    for (int d = 0; d < n; d++) {
        if (size[d] == 0) return false;
        *(stride[d] < 0 ? from : to) += (size[d] - 1) * stride[d];
    }
    return true;
}

/* The bytes that argument a touches; false if none. */
static bool touched(const tide_prog *p, const tide_iter *it, int a, char **from, char **to) {
    const int space = p->arg[a].space;
    *from = *to = it->arg[a].base;
    if (space & TIDE_KEPT && (it->K == 0 || !extent(it->k, it->arg[a].sk, it->nk, from, to))) return false;
    if (space & TIDE_REDUCED && (it->R == 0 || !extent(it->r, it->arg[a].sr, it->nr, from, to))) return false;
    *to += dtype_size[p->arg[a].dtype];
    return it->arg[a].base != NULL;
}

static int by_address(const void *a, const void *b) {
    const region *x = a, *y = b;
    return (x->at > y->at) - (x->at < y->at);
}

static int text_of(const tide_prog *piece) {
    tide_cuda_source source;
    if (tide_cuda_text(piece->cx, piece, &source)) {
        tide_status code;
        printf("  %s\n", tide_error(piece->cx, &code));
        return -1;
    }
    suite.cx = piece->cx;
    for (int i = 0; i < suite.ntext; i++)
        if (!strcmp(suite.text[i].name, source.name)) return tide_cuda_source_free(piece->cx, &source), i;
    if (suite.ntext == suite.capacity) {
        suite.capacity = suite.capacity ? 2 * suite.capacity : 64;
        suite.text = realloc(suite.text, (size_t)suite.capacity * sizeof *suite.text);
    }
    suite.text[suite.ntext] = source;
    return suite.ntext++;
}

cuda_sample *cuda_begin(const char *name, const tide_prog *piece, int niter, const tide_iter *iter,
                        const uint64_t *slot) {
    cuda_sample *s = calloc(1, sizeof *s);
    snprintf(s->name, sizeof s->name, "%s", name);
    s->niter = niter;
    s->iter = copy_of(iter, (size_t)niter * sizeof *iter);
    s->piece = *piece;
    s->piece.insn = copy_of(piece->insn, (size_t)piece->n * sizeof *piece->insn);
    s->piece.konst = copy_of(piece->konst, (size_t)piece->nkonst * sizeof *piece->konst);
    if (piece->nslot) memcpy(s->slot, slot, piece->nslot * sizeof *slot);
    s->text = text_of(piece);

    /* Arguments that overlap are one region. */
    region *r = calloc((size_t)niter * piece->narg + 1, sizeof *r);
    int n = 0;
    for (int i = 0; i < niter; i++)
        for (int a = 0; a < piece->narg; a++) {
            char *from, *to;
            if (touched(piece, &iter[i], a, &from, &to))
                r[n++] = (region){.at = from, .size = (size_t)(to - from)};
        }
    qsort(r, (size_t)n, sizeof *r, by_address);
    for (int i = 0; i < n; i++) {
        region *before = s->nregion ? &r[s->nregion - 1] : NULL;
        if (before && r[i].at < before->at + before->size) {
            const size_t end = (size_t)(r[i].at - before->at) + r[i].size;
            if (end > before->size) before->size = end;
        } else {
            r[s->nregion++] = r[i];
        }
    }
    for (int i = 0; i < s->nregion; i++) r[i].before = copy_of(r[i].at, r[i].size);
    s->region = r;
    *suite.last = s;
    suite.last = &s->next;
    return s;
}

void cuda_end(cuda_sample *s, tide_status status) {
    s->ended = true;
    s->status = status;
    for (int i = 0; i < s->nregion; i++) s->region[i].after = copy_of(s->region[i].at, s->region[i].size);
}

/* ---- running ---- */

/* Memory that ends at a page that may not be touched, with red zones around it. */
static bool map_region(region *r) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (r->size + 63 + page) / page * page;
    r->mapped = room + page;
    r->pages = mmap(NULL, r->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (r->pages == MAP_FAILED) return r->pages = NULL, false;
    mprotect(r->pages + room, page, PROT_NONE);
    memset(r->pages, REDZONE, room);
    const size_t last = room - r->size, want = (uintptr_t)r->at % 16;
    r->copy = r->pages + last - (last - want) % 16; /* aligned as it was */
    memcpy(r->copy, r->before, r->size);
    return true;
}

static bool zone_intact(const region *r) {
    const uint8_t *end = r->pages + r->mapped - (size_t)sysconf(_SC_PAGESIZE);
    for (const uint8_t *p = r->pages; p < end; p++)
        if ((p < r->copy || p >= r->copy + r->size) && *p != REDZONE) return false;
    return true;
}

/* p, in the copy of its region */
static char *moved(const cuda_sample *s, char *p) {
    for (int i = 0; i < s->nregion; i++) {
        const region *r = &s->region[i];
        if (p >= r->at && p < r->at + r->size) return (char *)r->copy + (p - r->at);
    }
    return NULL;
}

static bool is_nan(const void *p, int dtype) {
    float f;
    double d;
    uint16_t h;
    switch (dtype) {
    case TIDE_F32: memcpy(&f, p, sizeof f); return f != f;
    case TIDE_F64: memcpy(&d, p, sizeof d); return d != d;
    case TIDE_F16: memcpy(&h, p, sizeof h); return (h & 0x7fff) > 0x7c00;
    case TIDE_BF16: memcpy(&h, p, sizeof h); return (h & 0x7fff) > 0x7f80;
    default: return false;
    }
}

static int64_t offset_of(int64_t i, int n, const int64_t *size, const int64_t *stride) {
    int64_t offset = 0;
    for (int d = n; d-- > 0; i /= size[d]) offset += i % size[d] * stride[d];
    return offset;
}

/* Compares one argument's elements; a NaN in both is taken over, so that bytes may be compared afterwards. */
static bool same_elements(const cuda_sample *s, const tide_iter *it, int a) {
    const int space = s->piece.arg[a].space, dtype = s->piece.arg[a].dtype;
    const int64_t K = space & TIDE_KEPT ? it->K : 1, R = space & TIDE_REDUCED ? it->R : 1;
    for (int64_t k = 0; k < K; k++)
        for (int64_t r = 0; r < R; r++) {
            char *p = it->arg[a].base + (space & TIDE_KEPT ? offset_of(k, it->nk, it->k, it->arg[a].sk) : 0) +
                      (space & TIDE_REDUCED ? offset_of(r, it->nr, it->r, it->arg[a].sr) : 0);
            for (int i = 0; i < s->nregion; i++) {
                const region *g = &s->region[i];
                if (p < g->at || p >= g->at + g->size) continue;
                uint8_t *want = g->after + (p - g->at), *got = g->copy + (p - g->at);
                if (!memcmp(want, got, (size_t)dtype_size[dtype])) continue;
                if (!is_nan(want, dtype) || !is_nan(got, dtype)) {
                    uint64_t w = 0, x = 0;
                    memcpy(&w, want, (size_t)dtype_size[dtype]);
                    memcpy(&x, got, (size_t)dtype_size[dtype]);
                    printf("  %s: argument %d at k = %lld of %lld, r = %lld of %lld: %llx, CPU %llx\n", s->name,
                           a, (long long)k, (long long)it->K, (long long)r, (long long)it->R,
                           (unsigned long long)x, (unsigned long long)w);
                    return false;
                }
                memcpy(got, want, (size_t)dtype_size[dtype]);
            }
        }
    return true;
}

static bool same_bytes(const cuda_sample *s) {
    for (int i = 0; i < s->nregion; i++)
        if (memcmp(s->region[i].copy, s->region[i].after, s->region[i].size)) return false;
    return true;
}

static bool compare(const cuda_sample *s) {
    for (int i = 0; i < s->nregion; i++)
        if (!zone_intact(&s->region[i])) return printf("  %s: writes outside its memory\n", s->name), false;
    if (same_bytes(s)) return true;
    for (int64_t v = 0; v < s->piece.n; v++)
        for (int i = 0; i < s->niter; i++)
            if (s->piece.insn[v].op == TIDE_P_STORE && !same_elements(s, &s->iter[i], s->piece.insn[v].b))
                return false;
    return same_bytes(s) || (printf("  %s: writes between its elements\n", s->name), false);
}

static bool emulate(emu_unit *unit, cuda_sample *s) {
    const tide_cuda_source *source = &suite.text[s->text];
    const char *wrong = NULL;
    uint32_t flag = UINT32_MAX;
    for (int i = 0; i < s->nregion && !wrong; i++)
        if (!map_region(&s->region[i])) wrong = "no memory";
    for (int i = 0; i < s->niter && !wrong; i++) {
        tide_cuda_launch launch[TIDE_CUDA_LAUNCHES];
        tide_cuda_space space;
        tide_iter it = s->iter[i];
        size_t bytes;
        for (int a = 0; a < s->piece.narg; a++) it.arg[a].base = moved(s, it.arg[a].base);
        tide_cuda_space_of(&it, s->slot, s->piece.nslot, &flag, &space);
        const int n = tide_cuda_plan(source, &s->piece, &it, launch, &bytes);
        uint64_t *temp = bytes ? malloc(bytes) : NULL;
        if (temp) memset(temp, 0xFF, bytes); /* NaN */
        for (int l = 0; l < n && !wrong; l++) {
            launch[l].work.temp = temp;
            const uint32_t grid = launch[l].grid < FEW ? launch[l].grid : FEW;
            wrong = emu_run(unit, source, launch[l].kernel, grid, &space, &launch[l].work);
        }
        free(temp);
    }
    const bool failed = flag != UINT32_MAX;
    if (wrong)
        printf("  %s: %s\n", s->name, wrong);
    else if (failed != (s->status == TIDE_EARG))
        wrong = "check", printf("  %s: CHECK gives another answer\n", s->name);
    const bool ok = !wrong && (failed || compare(s));
    for (int i = 0; i < s->nregion; i++)
        if (s->region[i].pages) munmap(s->region[i].pages, s->region[i].mapped);
    return ok;
}

static void release(cuda_sample *s) {
    for (int i = 0; i < s->nregion; i++) {
        free(s->region[i].before);
        free(s->region[i].after);
    }
    free(s->region);
    free(s->iter);
    free(s->piece.insn);
    free(s->piece.konst);
    free(s);
}

/* ---- all ---- */

static emu_unit *start(int first) {
    const tide_cuda_source *source[BATCH];
    int n = 0;
    while (n < BATCH && first + n < suite.ntext) source[n] = &suite.text[first + n], n++;
    return n ? emu_start(n, source) : NULL;
}

/* Two compilers run at a time: the next batch is compiled while this one runs. */
static void check_emulated(cuda_counts *counts) {
    emu_unit *next = start(0);
    for (int first = 0; first < suite.ntext; first += BATCH) {
        emu_unit *unit = emu_wait(next);
        next = start(first + BATCH);
        for (cuda_sample *s = suite.first; s; s = s->next) {
            if (s->text < first || s->text >= first + BATCH) continue;
            if (unit && s->ended && emulate(unit, s))
                counts->passed++;
            else
                counts->failed++, printf("FAIL %s\n", s->name);
        }
        emu_close(unit);
    }
    for (cuda_sample *s = suite.first; s; s = s->next)
        if (s->text < 0) counts->failed++, printf("FAIL %s: no text\n", s->name);
}

/* The first batch is compiled for each architecture, the others for one of them by turns. TIDE_NVRTC=each: all
 * for each; 0: none. */
static void check_compiled(cuda_counts *counts) {
    static const int arch[] = {80, 90, 100};
    const char *wish = getenv("TIDE_NVRTC");
    const bool each = wish && !strcmp(wish, "each"), none = wish && !strcmp(wish, "0");
    int registers = 0, batch = 0, compiled = 0;
    if (none || !nvrtc_open()) {
        printf("NVRTC: skipped (%s)\n", none ? "TIDE_NVRTC=0" : "libnvrtc is not installed");
        counts->skipped++;
        return;
    }
    for (int first = 0; first < suite.ntext; first += BATCH, batch++) {
        const tide_cuda_source *source[BATCH];
        int n = 0;
        for (; n < BATCH && first + n < suite.ntext; n++) source[n] = &suite.text[first + n];
        for (int a = 0; a < 3; a++) {
            if (!each && batch > 0 && a != batch % 3) continue;
            const int wrong = nvrtc_check(arch[a], n, source, &registers);
            *(wrong ? &counts->failed : &counts->passed) += 1;
            compiled += n;
            if (wrong) printf("FAIL sm_%d: %d things wrong\n", arch[a], wrong);
        }
    }
    printf("NVRTC: %d texts compiled, at most %d registers\n", compiled, registers);
}

void cuda_check(cuda_counts *counts) {
    check_emulated(counts);
    check_compiled(counts);
    while (suite.first) {
        cuda_sample *s = suite.first;
        suite.first = s->next;
        release(s);
    }
    suite.last = &suite.first;
    for (int i = 0; i < suite.ntext; i++) tide_cuda_source_free(suite.cx, &suite.text[i]);
    free(suite.text);
    suite.text = NULL;
    suite.ntext = suite.capacity = 0;
}
