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

const tide_gemm_kernel PASTE(tide_gemm_, TIDE_ISA_NAME) = {tile_f32, tile_f64, round_f32};
