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
enum { V = BYTES / 4, WIDE = 8, STRIP = WIDE * V };

#define INLINE static inline __attribute__((always_inline))
INLINE vector negated(vector x) { return (vector)((bits)x ^ INT32_MIN); }
INLINE vector absolute(vector x) { return (vector)((bits)x & INT32_MAX); }

/* Where a link's operand lies in a row; mask: 0 where one element, spread, serves the whole row. */
typedef struct {
    char *p;
    int64_t mask;
} place;

INLINE vector load(const char *p, int64_t n, bool few) {
    vector v = {0};
    if (!few) return *(const anywhere *)p;
    memcpy(&v, p, (size_t)n * 4);
    return v;
}
INLINE void store(char *p, vector v, int64_t n, bool few) {
    if (!few)
        *(anywhere *)p = v;
    else
        memcpy(p, &v, (size_t)n * 4);
}

/* `count` vectors at `at`, or (few) n elements of one. */
INLINE void strip(const tide_vm_link *link, const place *x, int n, int64_t at, int count, bool few,
                  int64_t rest) {
    vector a[WIDE];
#define EACH_ONCE(work) _Pragma("GCC unroll 8") for (int k = 0; k < count; k++) work;
#define EACH(expr)         \
    EACH_ONCE(a[k] = expr) \
    break
#define OPERAND load(p + k * BYTES, rest, few)
    EACH_ONCE(a[k] = (vector){0})
    for (const tide_vm_link *end = link + n; link < end; link++, x++) {
        char *p = x->p + (at & x->mask);
        switch (link->code) {
        case TIDE_LINK_LOAD: EACH(OPERAND);
        case TIDE_LINK_ADD: EACH(a[k] + OPERAND);
        case TIDE_LINK_SUB: EACH(a[k] - OPERAND);
        case TIDE_LINK_MUL: EACH(a[k] * OPERAND);
        case TIDE_LINK_DIV: EACH(a[k] / OPERAND);
        case TIDE_LINK_SUB_FROM: EACH(OPERAND - a[k]);
        case TIDE_LINK_DIV_INTO: EACH(OPERAND / a[k]);
        case TIDE_LINK_SQUARE: EACH(a[k] * a[k]);
        case TIDE_LINK_NEG: EACH(negated(a[k]));
        case TIDE_LINK_ABS: EACH(absolute(a[k]));
        case TIDE_LINK_SQRT: EACH(SQRT(a[k]));
        default: EACH_ONCE(store(p + k * BYTES, a[k], rest, few))
        }
    }
}

static void run_row(const tide_vm_link *link, const place *x, int n, int64_t ni) {
    int64_t at = 0, end = 4 * ni;
    for (; end - at >= WIDE * BYTES; at += WIDE * BYTES) strip(link, x, n, at, WIDE, false, 0);
    for (; end - at >= BYTES; at += BYTES) strip(link, x, n, at, 1, false, 0);
    if (at < end) strip(link, x, n, at, 1, true, ni % V);
}

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
void JOIN(tide_vm_chain_, TIDE_VM_ISA)(const tide_loc *, const tide_vm_link *, int, int64_t, int64_t);
void JOIN(tide_vm_chain_, TIDE_VM_ISA)(const tide_loc *loc, const tide_vm_link *link, int n, int64_t no,
                                       int64_t ni) {
    place l[TIDE_MAXLINKS];
    _Alignas(64) float spread[TIDE_MAXLINKS][STRIP];
    bool joined = true, column = ni == 1;
    for (int k = 0; k < n; k++) {
        const tide_loc *x = &loc[link[k].ref];
        joined = joined && x->so == ni * x->si;
        column = column && (x->so == 0 || x->so == 4);
    }
    bool turned = !joined && column && no > 1;
    if (joined || column) {
        ni *= no;
        no = 1;
    }
    for (int64_t o = 0; o < no; o++) {
        for (int k = 0; k < n; k++) {
            const tide_loc *x = &loc[link[k].ref];
            l[k].p = x->p + o * x->so;
            l[k].mask = (turned ? x->so : x->si) ? -1 : 0;
            if (l[k].mask || link[k].code == TIDE_LINK_STORE) continue;
            for (int j = 0; j < (ni < STRIP ? V : STRIP); j++) spread[k][j] = *(const float *)l[k].p;
            l[k].p = (char *)spread[k];
        }
        run_row(link, l, n, ni);
    }
}
