/* One tile of a matrix product, written once with vector extensions: compiled for each instruction set (which
 * names it with TIDE_ISA_NAME and its -m options), from gemm_tile.h for float and for double.
 *
 * A register block is up to MR rows by 1 or 2 vectors of columns. Its a is read number by number, so any
 * strides do; its b must be rows of adjacent columns, so other layouts, and the last columns, are packed first.
 * A single row has blocks of its own, which are about reading b well. */
#include "device/cpu/gemm_kernel.h"
#include "program/math.h"

#define PASTE2(a, b) a##b
#define PASTE(a, b) PASTE2(a, b)
#define UNROLL _Pragma("GCC unroll 32")
#define INLINE static inline __attribute__((always_inline))

#if defined(__AVX512F__)
#define VECTOR 64
#elif defined(__AVX__)
#define VECTOR 32
#else
#define VECTOR 16
#endif

/* As many rows as leave registers for two vectors of b and one of a. */
#if defined(__AVX512F__) || defined(__aarch64__)
#define MR 14
#define EACH_ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
#else
#define MR 6
#define EACH_ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6)
#endif

#define WIDE 8 /* vectors of a block of one row */

#define T float
#define INDEX int32_t
#define FN(name) name##_f32
#include "device/cpu/gemm_tile.h"
#undef T
#undef INDEX
#undef FN

#define T double
#define INDEX int64_t
#define FN(name) name##_f64
#include "device/cpu/gemm_tile.h"

/* Integers wrap, so any order of sums has the same bits: a vector of c takes up b, packed, row by row. */
#define INTEGER_TILE(T)                                                                                     \
    typedef T T##_vector __attribute__((vector_size(VECTOR)));                                              \
    static void tile_##T(const tide_gemm *g, const tide_gemm_tile *t, void *scratch) {                      \
        enum { L = VECTOR / sizeof(T) };                                                                    \
        const T *bias = g->bias;                                                                            \
        const int64_t cols = t->cols, a_col = g->a_col;                                                     \
        T *packed = scratch;                                                                                \
        int64_t p = 0;                                                                                      \
        do { /* once where k is 0, too */                                                                   \
            if (p && tide_tile_cancelled(t->cx)) return;                                                    \
            const int64_t k = g->k - p < TIDE_GEMM_KC ? g->k - p : TIDE_GEMM_KC;                            \
            const T *b = (const T *)t->b + p * g->b_row + t->col * g->b_col;                                \
            for (int64_t q = 0; q < k; q++)                                                                 \
                for (int64_t j = 0; j < cols; j++) packed[q * cols + j] = b[q * g->b_row + j * g->b_col];   \
            for (int64_t i = t->row; i < t->row + t->rows; i++) {                                           \
                const T *a = (const T *)t->a + i * g->a_row + p * a_col;                                    \
                T *c = (T *)t->c + i * g->c_row + t->col;                                                   \
                for (int64_t j = 0; p == 0 && j < cols; j++) {                                              \
                    if (!g->accumulate) c[j] = 0;                                                           \
                    if (bias) c[j] = (T)(c[j] + bias[(t->col + j) * g->bias_col]);                          \
                }                                                                                           \
                int64_t j = 0;                                                                              \
                for (T##_vector sum, row; j + L <= cols; j += L) {                                          \
                    memcpy(&sum, c + j, sizeof sum);                                                        \
                    for (int64_t q = 0; q < k; q++) {                                                       \
                        memcpy(&row, packed + q * cols + j, sizeof row);                                    \
                        sum += a[q * a_col] * row;                                                          \
                    }                                                                                       \
                    memcpy(c + j, &sum, sizeof sum);                                                        \
                }                                                                                           \
                for (; j < cols; j++)                                                                       \
                    for (int64_t q = 0; q < k; q++) c[j] = (T)(c[j] + a[q * a_col] * packed[q * cols + j]); \
            }                                                                                               \
            p += k;                                                                                         \
        } while (p < g->k);                                                                                 \
    }
INTEGER_TILE(uint64_t)
INTEGER_TILE(uint32_t)
INTEGER_TILE(uint8_t)

const tide_gemm_kernel PASTE(tide_gemm_, TIDE_ISA_NAME) = {tile_f32,      tile_f64,     tile_uint64_t,
                                                           tile_uint32_t, tile_uint8_t, round_f32};
