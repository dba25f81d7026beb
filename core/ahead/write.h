/* Writes pieces of programs as C for device/cpu/ahead_kernels.c. */
#ifndef TIDE_AHEAD_WRITE_H
#define TIDE_AHEAD_WRITE_H

#include "program/program.h"
#include <stdio.h>

/* Writes the functions of a piece, and its row of the table. False, and nothing written: it is not of a kind
 * that gains by it. */
bool tide_ahead_write(FILE *to, FILE *table, const tide_prog *piece);

#endif
