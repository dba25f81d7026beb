/* Writes pieces of programs as C for device/cpu/ahead_kernels.c. */
#ifndef TIDE_AHEAD_WRITE_H
#define TIDE_AHEAD_WRITE_H

#include "program/program.h"
#include <stdio.h>

/* Writes a function named after the piece's hash. False, and nothing written: the piece is not of a kind that
 * gains by it. */
bool tide_ahead_write(FILE *to, const tide_prog *piece);
/* The row of the table for a piece that was written. */
void tide_ahead_row(FILE *to, const tide_prog *piece);

#endif
