/* What the parts of the CSV reader share: csv_scan.c cuts rows into cells, csv_types.c makes values of them,
 * csv.c reads whole tables. */
#ifndef TIDE_CSV_READER_H
#define TIDE_CSV_READER_H

#include "io/csv.h"

enum { BLOCK_CELLS = 8192, BLOCK_ROWS = 4096, BLOCK_BYTES = 16 << 20, STRETCH = 4096, MARKS_AT_ONCE = 16 };
#define ESCAPED 0x80000000u /* in a length: the cell holds its quotes still */
#define REACH 0x7FFFFFFFu   /* bytes of a block of rows */

typedef struct {
    uint32_t at, length;
} span; /* from the block's start */

/* A column's type while it is read; wider than tide_dtype by UNKNOWN: only missing cells so far. */
typedef enum { UNKNOWN, BOOL, INT, FLOAT, TEXT } kind;

typedef struct {
    uint8_t kind;
    bool again;         /* its earlier rows were taken for something else */
    bool negative_zero; /* an int "-0": a float would show the sign */
    bool unnamed;
    bool direct;   /* text from the first block on: taken in the first pass, its quotes unescaped after all */
    bool skip;     /* not asked for */
    uint8_t wants; /* the kind that the options say, or UNKNOWN */
} progress;

typedef struct {
    const char *text;
    uint32_t length;
} word;

typedef struct {
    tide_context *cx;
    const char *name;
    char *text, *at, *end; /* `at`: the next row */
    char sep;
    bool skip_space;

    const char *stretch, *seen; /* the text looked at last, up to `seen` */
    uint16_t *next, *last;      /* its separators and line ends that are not passed yet, in */
    uint16_t marks[STRETCH + MARKS_AT_ONCE];
    bool stretch_high, high; /* bytes that are not ASCII: in the stretch; since the text's last check */

    word *na;
    double *na_number; /* those of them that are numbers; their usual spellings follow in the block */
    int64_t nna, nna_number, na_room;
    size_t na_bytes;
    bool na_first[256];  /* how one begins */
    uint64_t na_lengths; /* bit n: one has n bytes; bit 63: or more */

    char *scratch; /* one unescaped cell */
    int64_t scratch_room;

    tide_csv *csv;
    int64_t most_rows; /* of this table */
    progress *column;
    span *cells;    /* of one block, row after row */
    bool checked;   /* the text is UTF-8: it was looked at in the first pass */
    int64_t filled; /* cells that short rows lacked */
    size_t ncells;
} reader;

/* ---- csv_scan.c ---- */

tide_status tide_csv_fail_at(const reader *r, const char *p, const char *what); /* "name:line: what" */
int64_t tide_csv_line(const reader *r, const char *p);
void tide_csv_look_from(reader *r, const char *p); /* where marks are looked for next */
bool tide_csv_next_row(reader *r);                 /* past empty lines; false: the end */
/* Cuts the row at r->at: its first `room` cells, counted from `base`. Returns the number of all, or -1. */
int64_t tide_csv_cut_row(reader *r, const char *base, span *cells, int64_t room);
/* Cell p of n bytes, written with its quotes, as it is meant. `to` may be p. */
uint32_t tide_csv_unescape(const char *p, uint32_t n, char *to);
/* The cell without its quotes, in r->scratch where it is not so in the text. */
tide_status tide_csv_plain(reader *r, const char *base, span cell, const char **p, uint32_t *n);

/* ---- csv_types.c ---- */

bool tide_csv_float(const char *p, uint32_t n, double *out); /* the cell as a number, also an infinite one */
void *tide_csv_values(const tide_csv_column *c);
tide_status tide_csv_reserve(reader *r, tide_csv_column *c, int64_t rows);
/* Take column j of a block of rows, the first of which is `row`; the second is for text. Cells keep their
 * quotes, marked by ESCAPED in their lengths, until tide_csv_unescape_text. */
tide_status tide_csv_take(reader *r, int64_t j, const char *base, int64_t row, int64_t nrows);
tide_status tide_csv_take_text(reader *r, int64_t j, char *base, int64_t row, int64_t nrows);
void tide_csv_unescape_text(tide_csv_column *c, int64_t rows);
/* Settles the types; says whether some columns must be read once more. */
tide_status tide_csv_settle(reader *r, bool *again);

#endif
