/* Several cheap instructions as one loop over floats: a chain of links works on one strip of elements in
 * processor registers, so that what a link leaves for the next never goes through memory. Compiled once for
 * each instruction set. */
#include "device/cpu/vm_kernels.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* clang-format off */
#if defined(__AVX512F__)
enum { BYTES = 64 };
#define SQRT(x) (vector)_mm512_sqrt_ps((__m512)(x))
#elif defined(__AVX__)
enum { BYTES = 32 };
#define SQRT(x) (vector)_mm256_sqrt_ps((__m256)(x))
#elif defined(__x86_64__)
enum { BYTES = 16 };
#define SQRT(x) (vector)_mm_sqrt_ps((__m128)(x))
#else
enum { BYTES = 16 };
#define SQRT(x) (vector){__builtin_sqrtf((x)[0]), __builtin_sqrtf((x)[1]), __builtin_sqrtf((x)[2]), __builtin_sqrtf((x)[3])}
#endif
/* clang-format on */

typedef float vector __attribute__((vector_size(BYTES), may_alias));
typedef vector anywhere __attribute__((aligned(4)));
typedef int32_t bits __attribute__((vector_size(BYTES)));

#define INLINE static inline __attribute__((always_inline))
/* One link over a row. SPREAD is added to the code where one element serves the whole row. */
enum { SPREAD = 32 };
typedef struct {
    char *p;
    int64_t so;
    int code;
} part;

/* Eight vectors at a time: named, so that they stay in processor registers from link to link. */
#define EIGHT(DO, Y) DO(0, Y) DO(1, Y) DO(2, Y) DO(3, Y) DO(4, Y) DO(5, Y) DO(6, Y) DO(7, Y)
#define ONE(DO, Y) DO(0, Y)
#define NEXT(k) (*(anywhere *)(p + (k)*BYTES))
#define SAME(k) same
#define LOAD(k, Y) a##k = Y(k);
#define STORE(k, Y) Y(k) = a##k;
#define ADD(k, Y) a##k += Y(k);
#define SUB(k, Y) a##k -= Y(k);
#define SUB_FROM(k, Y) a##k = Y(k) - a##k;
#define MUL(k, Y) a##k *= Y(k);
#define DIV(k, Y) a##k /= Y(k);
#define DIV_INTO(k, Y) a##k = Y(k) / a##k;
#define SQUARE(k, Y) a##k *= a##k;
#define NEG(k, Y) a##k = (vector)((bits)a##k ^ INT32_MIN);
#define ABS(k, Y) a##k = (vector)((bits)a##k & INT32_MAX);
#define ROOT(k, Y) a##k = SQRT(a##k);

#define EITHER(EACH, NAME)                                      \
    case TIDE_LINK_##NAME: EACH(NAME, NEXT) break;              \
    case TIDE_LINK_##NAME + SPREAD: {                           \
        const vector same = *(const float *)x->p - (vector){0}; \
        EACH(NAME, SAME)                                        \
        break;                                                  \
    }
#define WORK(EACH)                                 \
    switch (x->code) {                             \
        EITHER(EACH, LOAD)                         \
        EITHER(EACH, ADD)                          \
        EITHER(EACH, SUB)                          \
        EITHER(EACH, SUB_FROM)                     \
        EITHER(EACH, MUL)                          \
        EITHER(EACH, DIV)                          \
        EITHER(EACH, DIV_INTO)                     \
    case TIDE_LINK_STORE: EACH(STORE, NEXT) break; \
    case TIDE_LINK_SQUARE: EACH(SQUARE, ) break;   \
    case TIDE_LINK_NEG: EACH(NEG, ) break;         \
    case TIDE_LINK_ABS: EACH(ABS, ) break;         \
    default: EACH(ROOT, )                          \
    }

INLINE void wide(const part *x, const part *end, int64_t at) {
    vector a0 = {0}, a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, a6 = a0, a7 = a0;
    for (; x < end; x++) {
        char *p = x->p + at;
        WORK(EIGHT)
    }
}

INLINE void narrow(const part *x, const part *end, int64_t at) {
    vector a0 = {0};
    for (; x < end; x++) {
        char *p = x->p + at;
        WORK(ONE)
    }
}

/* The first bytes of a vector. */
INLINE void few(const part *x, const part *end, int64_t at, size_t bytes) {
    vector a0 = {0}, copy = {0};
    for (; x < end; x++) {
        char *p = x->p + at;
        if (x->code == TIDE_LINK_STORE) {
            memcpy(p, &a0, bytes);
            continue;
        }
        if (x->code < TIDE_LINK_SQUARE) p = memcpy(&copy, p, bytes);
        WORK(ONE)
    }
}

/* For a strip of eight vectors. */
INLINE void fetch(tide_vm_ahead *a) {
    for (int k = 0; k < a->n; k++) {
        int64_t bytes = 2 * BYTES * a->stream[k].size;
        for (int64_t j = 0; j < bytes; j += 64) {
            if (a->stream[k].write)
                __builtin_prefetch(a->stream[k].p + j, 1);
            else
                __builtin_prefetch(a->stream[k].p + j);
        }
        a->stream[k].p += bytes;
    }
}

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
void JOIN(tide_vm_chain_, TIDE_VM_ISA)(const tide_loc *, const tide_vm_link *, int, int64_t, int64_t,
                                       tide_vm_ahead *);
void JOIN(tide_vm_chain_, TIDE_VM_ISA)(const tide_loc *loc, const tide_vm_link *link, int n, int64_t no,
                                       int64_t ni, tide_vm_ahead *ahead) {
    part part_of[TIDE_MAXLINKS], *end = part_of + n;
    bool joined = true, column = ni == 1 && no > 1; /* several rows as one */
    for (int k = 0; k < n; k++) {
        const tide_loc *x = &loc[link[k].ref];
        if (link[k].code >= TIDE_LINK_SQUARE) continue;
        joined = joined && x->so == ni * x->si;
        column = column && (x->so == 0 || x->so == 4);
    }
    for (int k = 0; k < n; k++) {
        const tide_loc *x = &loc[link[k].ref];
        bool moves = (joined || !column ? x->si : x->so) != 0 || link[k].code >= TIDE_LINK_SQUARE;
        part_of[k] = (part){x->p, x->so, link[k].code + (moves ? 0 : SPREAD)};
    }
    if (joined || column) {
        ni *= no;
        no = 1;
    }
    int64_t bytes = 4 * ni;
    for (; no > 0; no--) {
        int64_t at = 0;
        for (; bytes - at >= 8 * BYTES; at += 8 * BYTES) {
            wide(part_of, end, at);
            if (ahead) fetch(ahead);
        }
        for (; bytes - at >= BYTES; at += BYTES) narrow(part_of, end, at);
        if (at < bytes) few(part_of, end, at, (size_t)(bytes - at));
        for (part *x = part_of; x < end; x++) x->p += x->so;
    }
}
