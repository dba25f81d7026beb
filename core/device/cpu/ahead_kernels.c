/* The programs compiled ahead, for one instruction set. */
#include "device/cpu/ahead.h"
#include "program/math.h"

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define TIDE_AHEAD_TABLE JOIN(tide_ahead_, TIDE_VM_ISA)
/* An output may be an input, element for element: no iteration waits for another. */
#define EACH _Pragma("GCC ivdep") for

#include "ahead_programs.h" /* written by core/ahead */
