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

/* Asks for the row that is as far ahead as a group is long: rows are streams too short for the processor. */
static inline void look_ahead(const char *row, int64_t bytes) {
    for (int64_t j = 0; j < bytes; j += 64) __builtin_prefetch(row + j);
}

/* The order in which lanes come, so that the last two on the stack are those to be combined: bits reversed. */
static inline int64_t lane_of(int64_t j) {
    static const uint8_t nibble[16] = {0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15};
    return nibble[j & 15] << 4 | nibble[j >> 4 & 15];
}

#include "ahead_programs.h" /* written by core/ahead */
