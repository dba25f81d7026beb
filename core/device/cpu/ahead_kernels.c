/* The programs compiled ahead, for one instruction set. */
#include "device/cpu/ahead.h"
#include "program/math.h"

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define TIDE_AHEAD_TABLE JOIN(tide_ahead_, TIDE_VM_ISA)
/* An output may be an input, element for element: no iteration waits for another. */
#define EACH _Pragma("GCC ivdep") for

/* Where `n` floats of an output are computed that belong at `to`: there, or in stage number `stage`. */
static inline char *computed_at(const tide_ahead_call *q, int arg, char *to, int64_t n, int stage) {
    return q->stream >> arg & 1 ? q->stage + stage * n * (int64_t)sizeof(float) : to;
}
static inline void computed(const tide_ahead_call *q, int arg, char *to, int64_t n, char *at) {
    static const uint16_t ref[2] = {0, 1};
    if (q->stream >> arg & 1)
        q->kernels->stream((tide_loc[2]){{to, 0, sizeof(float)}, {at, 0, sizeof(float)}}, ref, 1, n);
}

/* Asks for a row to come: rows are streams too short for the processor. (As a
 * function of its own it would do nothing in gcc's eyes, and calls would go.) */
static inline __attribute__((always_inline)) void look_ahead(const char *row, int64_t bytes) {
    for (int64_t j = 0; j < bytes; j += 64) __builtin_prefetch(row + j);
}

/* h[i] = the reduction over r < n of x[r][i], in the order of program.h. */
#define SHORT_REDUCTION(name, T, expr)                                                     \
    static inline __attribute__((unused)) void short_##name(T *h, const T *x, int64_t n) { \
        enum { G = TIDE_AHEAD_ROWS };                                                      \
        T t[TIDE_AHEAD_SHORT / 2 * G];                                                     \
        int64_t s = 1;                                                                     \
        while (2 * s < n) s *= 2;                                                          \
        for (int64_t r = 0; r < s && n > 1; r++) EACH(int i = 0; i < G; i++) {             \
                T a = x[r * G + i], b = x[(r + s < n ? r + s : r) * G + i];                \
                t[r * G + i] = r + s < n ? expr : a;                                       \
            }                                                                              \
        for (s /= 2; s >= 1; s /= 2)                                                       \
            for (int64_t r = 0; r < s; r++) EACH(int i = 0; i < G; i++) {                  \
                    T a = t[r * G + i], b = t[(r + s) * G + i];                            \
                    t[r * G + i] = expr;                                                   \
                }                                                                          \
        memcpy(h, n > 1 ? t : x, G * sizeof(T));                                           \
    }
#define SHORT_REDUCTIONS(t, T)         \
    SHORT_REDUCTION(sum_##t, T, a + b) \
    SHORT_REDUCTION(prod_##t, T, a *b) \
    SHORT_REDUCTION(max_##t, T, tide_max_##t(a, b)) SHORT_REDUCTION(min_##t, T, tide_min_##t(a, b))
SHORT_REDUCTIONS(f32, float)

#include "ahead_programs.h" /* written by core/ahead */
