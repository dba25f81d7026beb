/* The meaning of programs, word for word: every value of every element by itself, one instruction after the
 * other. */
#ifndef REFERENCE_H
#define REFERENCE_H

#include "program/program.h"

/* Runs p (whole or a piece) over the space. All inputs are read before an output is written. Returns the number
 * of the first check that does not hold, -1 if all hold, -2 if memory runs out. */
int reference_run(const tide_prog *p, const tide_iter *it, const uint64_t *slot);

/* Compares n elements of dtype at byte strides given by dims: equal bytes, or any NaN with any NaN. -1: all
 * equal, else the row-major number of the first that is not. */
int64_t reference_differs(tide_dtype dtype, int ndim, const int64_t *size, const int64_t *stride, const char *a,
                          const char *b);

#endif
