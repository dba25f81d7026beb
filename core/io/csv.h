/* CSV as pandas reads it: quotes, missing cells, and a type inferred for every column over all its rows. */
#ifndef TIDE_CSV_H
#define TIDE_CSV_H

#include "io/file.h"

typedef struct tide_csv_options {
    const char *sep;              /* one byte */
    bool header;                  /* the first row has the names; else they are "0", "1", ... */
    const char *const *na_values; /* more texts that mean a missing cell */
    int n_na_values;
    bool keep_default_na;       /* "", NA, NaN, null ... mean one too */
    bool skip_initial_space;    /* after a separator */
    const char *const *columns; /* only these, in the file's order; n_columns 0: all */
    int n_columns;
    const char *const
        *typed; /* columns whose types are not inferred: TIDE_I64, TIDE_F64, TIDE_BOOL or 0, text */
    const uint8_t *types;
    int n_types;
    int64_t limit; /* rows; 0: all. For tide_csv_read and tide_csv_parse */
} tide_csv_options;

/* One of i, f, b, text is set, by type. */
typedef struct tide_csv_column {
    const char *name; /* UTF-8, ended by 0 */
    uint32_t name_length;
    uint8_t type; /* TIDE_I64, TIDE_F64, TIDE_BOOL, or 0: text */
    int64_t *i;
    double *f; /* NaN where missing */
    uint8_t *b;
    const char **text; /* not ended by 0 */
    uint32_t *length;
    uint8_t *missing; /* one byte a row; NULL: none is */
    int64_t capacity; /* rows that the arrays have room for */
} tide_csv_column;

typedef struct tide_csv {
    int64_t rows;
    int64_t ncolumns;
    tide_csv_column *column;
    int64_t all;  /* columns that there was room for */
    tide_map map; /* the file of tide_csv_read: mapped, */
    char *owned;  /* or read */
    size_t nowned;
} tide_csv;

tide_csv_options tide_csv_defaults(void);
/* NULL options: the defaults. TIDE_EIO: cannot be read; TIDE_EFORMAT "path:line: ...": ragged rows, an open
 * quote, no UTF-8, nothing in it, a cell that is not of its column's given type; TIDE_EARG: no such column. The
 * file must not be shortened while the table lives. */
tide_status tide_csv_read(tide_context *cx, const char *path, const tide_csv_options *options, tide_csv **out);
/* The same of n bytes of text, called `name` in errors. Text columns point into it: it must outlive the table,
 * and cells with doubled quotes are rewritten in place. */
tide_status tide_csv_parse(tide_context *cx, const char *name, char *text, size_t n,
                           const tide_csv_options *options, tide_csv **out);
/* A file in pieces, each with types inferred for it alone. The options' texts must outlive the stream. */
typedef struct tide_csv_stream tide_csv_stream;
tide_status tide_csv_open(tide_context *cx, const char *path, const tide_csv_options *options,
                          tide_csv_stream **out);
/* At most `rows` rows more; *out is NULL at the end. Its texts last until the next call for this stream. */
tide_status tide_csv_next(tide_csv_stream *s, int64_t rows, tide_csv **out);
void tide_csv_close(tide_csv_stream *s);             /* NULL passes */
void tide_csv_free(tide_context *cx, tide_csv *csv); /* NULL passes */

#endif
