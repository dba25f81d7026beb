/* CSV tables with pandas' rules for quoting, missing values and types. */
#ifndef TIDE_CSV_H
#define TIDE_CSV_H

#include "base/base.h"

typedef struct {
    const char *sep;          /* one byte */
    int header;               /* 0: columns are named "0", "1", ... */
    const char *const *na_values; /* more texts that mean a missing cell */
    int n_na_values;
    int keep_default_na;
    int skip_initial_space;
} tide_csv_options;

typedef struct {
    const char *name;
    uint8_t type;       /* TIDE_I64, TIDE_F64, TIDE_BOOL, or 0: text */
    int64_t *i;
    double *f;
    uint8_t *b;
    const char **text;  /* of length[row] bytes; NULL: missing */
    uint32_t *length;
    uint8_t *missing;   /* one byte a row; NULL: none is missing */
} tide_csv_column;

typedef struct tide_csv {
    int64_t rows;
    int ncolumns;
    tide_csv_column *column;
    struct tide_csv_memory *memory; /* all of it */
} tide_csv;

/* TIDE_EIO; TIDE_EFORMAT "path:line: ..." for ragged rows, open quotes, invalid UTF-8, no columns. */
tide_status tide_csv_read(tide_context *cx, const char *path, const tide_csv_options *options, tide_csv **out);
void tide_csv_free(tide_context *cx, tide_csv *csv);

#endif
