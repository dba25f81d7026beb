/* Decimal text to numbers, whatever the locale: what the JSON and CSV readers share. The whole of [s, end) must
 * be the number; no spaces, no infinities. */
#ifndef TIDE_NUMBER_H
#define TIDE_NUMBER_H

#include "base/base.h"

/* [+-] digits, in the range of int64. */
bool tide_parse_int64(const char *s, const char *end, int64_t *out);
/* [+-] digits [. digits] [e [+-] digits], a digit at least before or after the point: the nearest double. */
bool tide_parse_double(const char *s, const char *end, double *out);
/* w * 10^e, rounded once; w > 0 and -27 <= e <= 27. */
double tide_decimal(uint64_t w, int e);

#endif
