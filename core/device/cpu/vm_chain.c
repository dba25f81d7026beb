/* Several cheap instructions as one loop over floats: a chain of links works on one strip of elements in
 * processor registers, so that what a link leaves for the next never goes through memory. Compiled once for
 * each instruction set. */
#include "device/cpu/vm_kernels.h"
#include "program/math_bits.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* clang-format off */
#if defined(__AVX512F__)
enum { BYTES = 64 };
#define SQRT(x) (vector)_mm512_sqrt_ps((__m512)(x))
#define FUSED(x, y, z) (vector)_mm512_fmadd_ps((__m512)(x), (__m512)(y), (__m512)(z))
#elif defined(__AVX2__)
enum { BYTES = 32 };
#define SQRT(x) (vector)_mm256_sqrt_ps((__m256)(x))
#define FUSED(x, y, z) (vector)_mm256_fmadd_ps((__m256)(x), (__m256)(y), (__m256)(z))
#else
enum { BYTES = 16 };
#if defined(__x86_64__)
#define SQRT(x) (vector)_mm_sqrt_ps((__m128)(x))
#else
#define SQRT(x) (vector){__builtin_sqrtf((x)[0]), __builtin_sqrtf((x)[1]), __builtin_sqrtf((x)[2]), __builtin_sqrtf((x)[3])}
#endif
#define FUSED(x, y, z) fused(x, y, z)
#endif
/* clang-format on */

typedef float vector __attribute__((vector_size(BYTES), may_alias));
typedef vector anywhere __attribute__((aligned(4)));
typedef int32_t bits __attribute__((vector_size(BYTES)));

#if !defined(__AVX2__)
static vector fused(vector x, vector y, vector z) {
    for (int j = 0; j < BYTES / 4; j++) z[j] = tide_fma_f32(x[j], y[j], z[j]);
    return z;
}
#endif

/* One link over a row. To the code is added what is one element for the whole row: the operand, the second. */
enum { SPREAD = 16, SPREAD_SECOND = 32 };
typedef struct {
    char *p, *q;    /* operands */
    int64_t po, qo; /* bytes from row to row */
    int code;
} part;

static bool has_operand(int code) { return code < TIDE_LINK_SQUARE; }
static bool has_second(int code) { return code == TIDE_LINK_FMA || code == TIDE_LINK_ADD_PRODUCT; }

/* Eight vectors at a time: named, so that they stay in processor registers from link to link. */
#define EIGHT(DO, Y, Z) \
    DO(0, Y, Z) DO(1, Y, Z) DO(2, Y, Z) DO(3, Y, Z) DO(4, Y, Z) DO(5, Y, Z) DO(6, Y, Z) DO(7, Y, Z)
#define ONE(DO, Y, Z) DO(0, Y, Z)
#define P(k) (*(anywhere *)(p + (k)*BYTES))
#define Q(k) (*(anywhere *)(q + (k)*BYTES))
#define SAME_P(k) same_p
#define SAME_Q(k) same_q
#define LOAD(k, Y, Z) a##k = Y(k);
#define STORE(k, Y, Z) Y(k) = a##k;
#define ADD(k, Y, Z) a##k += Y(k);
#define SUB(k, Y, Z) a##k -= Y(k);
#define SUB_FROM(k, Y, Z) a##k = Y(k) - a##k;
#define MUL(k, Y, Z) a##k *= Y(k);
#define DIV(k, Y, Z) a##k /= Y(k);
#define DIV_INTO(k, Y, Z) a##k = Y(k) / a##k;
#define FMA(k, Y, Z) a##k = FUSED(a##k, Y(k), Z(k));
#define ADD_PRODUCT(k, Y, Z) a##k = FUSED(Y(k), Z(k), a##k);
#define SQUARE(k, Y, Z) a##k *= a##k;
#define NEG(k, Y, Z) a##k = (vector)((bits)a##k ^ INT32_MIN);
#define ABS(k, Y, Z) a##k = (vector)((bits)a##k & INT32_MAX);
#define ROOT(k, Y, Z) a##k = SQRT(a##k);

/* clang-format off */
/* Each link jumps to the next one by itself: the processor learns every such jump on its own. */
#define NEXT_LINK x++; goto *go[x->code];
#define MOVES_P p = x->p + at;
#define MOVES_Q q = x->q + at;
#define SPREADS_P const vector same_p = *(const float *)x->p - (vector){0};
#define SPREADS_Q const vector same_q = *(const float *)x->q - (vector){0};
#define ALONE(EACH, NAME) NAME: { EACH(NAME, , ) } NEXT_LINK
#define WITH_ONE(EACH, NAME) \
    NAME: { MOVES_P EACH(NAME, P, ) } NEXT_LINK \
    NAME##_S: { SPREADS_P EACH(NAME, SAME_P, ) } NEXT_LINK
#define WITH_TWO(EACH, NAME) \
    NAME: { MOVES_P MOVES_Q EACH(NAME, P, Q) } NEXT_LINK \
    NAME##_S: { SPREADS_P MOVES_Q EACH(NAME, SAME_P, Q) } NEXT_LINK \
    NAME##_T: { MOVES_P SPREADS_Q EACH(NAME, P, SAME_Q) } NEXT_LINK \
    NAME##_ST: { SPREADS_P SPREADS_Q EACH(NAME, SAME_P, SAME_Q) } NEXT_LINK
#define AT_ONE(NAME) [TIDE_LINK_##NAME] = &&NAME, [TIDE_LINK_##NAME + SPREAD] = &&NAME##_S
#define AT_TWO(NAME) \
    AT_ONE(NAME), [TIDE_LINK_##NAME + SPREAD_SECOND] = &&NAME##_T, [TIDE_LINK_##NAME + SPREAD + SPREAD_SECOND] = &&NAME##_ST
#define WORK(EACH) \
    static const void *const go[] = { \
        AT_ONE(LOAD), [TIDE_LINK_STORE] = &&STORE, AT_ONE(ADD), AT_ONE(SUB), AT_ONE(SUB_FROM), AT_ONE(MUL), AT_ONE(DIV), \
        AT_ONE(DIV_INTO), AT_TWO(FMA), AT_TWO(ADD_PRODUCT), [TIDE_LINK_SQUARE] = &&SQUARE, [TIDE_LINK_NEG] = &&NEG, \
        [TIDE_LINK_ABS] = &&ABS, [TIDE_LINK_SQRT] = &&ROOT, [TIDE_LINK_END] = &&END}; \
    char *p, *q; \
    goto *go[x->code]; \
    WITH_ONE(EACH, LOAD) \
    STORE: { MOVES_P EACH(STORE, P, ) } NEXT_LINK \
    WITH_ONE(EACH, ADD) WITH_ONE(EACH, SUB) WITH_ONE(EACH, SUB_FROM) WITH_ONE(EACH, MUL) WITH_ONE(EACH, DIV) \
    WITH_ONE(EACH, DIV_INTO) WITH_TWO(EACH, FMA) WITH_TWO(EACH, ADD_PRODUCT) \
    ALONE(EACH, SQUARE) ALONE(EACH, NEG) ALONE(EACH, ABS) ALONE(EACH, ROOT) \
    END:
/* clang-format on */

/* All links of a row, the last an END, over eight vectors from `at` on. */
static void wide(const part *x, int64_t at) {
    vector a0 = {0}, a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, a6 = a0, a7 = a0;
    WORK(EIGHT);
}

/* Over one vector; a0: the number at hand. */
static vector narrow(const part *x, int64_t at, vector a0) { WORK(ONE) return a0; }

/* Over the first bytes of a vector, link by link: what one stores another may load. */
static void few(const part *x, int64_t at, size_t bytes) {
    vector a = {0}, p = a, q = a;
    for (; x->code != TIDE_LINK_END; x++) {
        if (x->code == TIDE_LINK_STORE) {
            memcpy(x->p + at, &a, bytes);
            continue;
        }
        part one[2] = {*x, {.code = TIDE_LINK_END}};
        int code = x->code % SPREAD;
        if (has_operand(code) && !(x->code & SPREAD)) one->p = memcpy(&p, x->p + at, bytes);
        if (has_second(code) && !(x->code & SPREAD_SECOND)) one->q = memcpy(&q, x->q + at, bytes);
        a = narrow(one, 0, a);
    }
}

/* For a strip of eight vectors. */
static inline void fetch(tide_vm_ahead *a) {
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
    part part_of[TIDE_MAXLINKS + 1], *end = part_of + n;
    bool joined = true, column = ni == 1 && no > 1; /* several rows as one */
    for (int k = 0; k < n; k++) {
        for (int j = 0; j < has_operand(link[k].code) + has_second(link[k].code); j++) {
            const tide_loc *x = &loc[j ? link[k].second : link[k].ref];
            joined = joined && x->so == ni * x->si;
            column = column && (x->so == 0 || x->so == 4);
        }
    }
    bool turn = column && !joined; /* rows of one element: what lies along them lies along a row now */
    for (int k = 0; k < n; k++) {
        const tide_loc *x = &loc[link[k].ref], *y = &loc[link[k].second];
        int code = link[k].code;
        if (has_operand(code) && !(turn ? x->so : x->si)) code += SPREAD;
        if (has_second(link[k].code) && !(turn ? y->so : y->si)) code += SPREAD_SECOND;
        part_of[k] = (part){x->p, y->p, x->so, y->so, code};
    }
    end->code = TIDE_LINK_END;
    if (joined || column) {
        ni *= no;
        no = 1;
    }
    int64_t bytes = 4 * ni;
    for (; no > 0; no--) {
        int64_t at = 0;
        for (; bytes - at >= 8 * BYTES; at += 8 * BYTES) {
            wide(part_of, at);
            if (ahead) fetch(ahead);
        }
        for (; bytes - at >= BYTES; at += BYTES) narrow(part_of, at, (vector){0});
        if (at < bytes) few(part_of, at, (size_t)(bytes - at));
        for (part *x = part_of; x < end; x++) x->p += x->po, x->q += x->qo;
    }
}
