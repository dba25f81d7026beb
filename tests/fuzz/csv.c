#include "io/csv.h"
#include "io/json.h"
#include "fuzz.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static const char *const separators[] = {",", "\t", ";", " "}, *const missing[] = {"-", "none"};
    tide_csv_options o = tide_csv_defaults();
    tide_csv *t;
    if (n > 0) { /* the last byte says how */
        unsigned how = data[--n];
        o.sep = separators[how & 3];
        o.header = how & 4;
        o.keep_default_na = !(how & 8);
        o.skip_initial_space = how & 16;
        o.na_values = missing;
        o.n_na_values = how & 32 ? 2 : 0;
    }
    char *text = fuzz_copy(data, n);
    fuzz_begin(data, n, 1000); /* short rows are filled */
    if (!tide_csv_parse(NULL, "input", text, n, &o, &t)) {
        fuzz_check(t->rows >= 0 && t->ncolumns > 0 && (uint64_t)t->rows <= n + 1, "a row has bytes");
        for (int64_t c = 0; c < t->ncolumns; c++) {
            const tide_csv_column *k = &t->column[c];
            size_t rows = (size_t)t->rows;
            fuzz_check(tide_utf8_valid(k->name, k->name_length), "names are UTF-8");
            if (k->missing) fuzz_sum(k->missing, rows);
            if (k->type == TIDE_I64) fuzz_sum(k->i, rows * sizeof *k->i);
            if (k->type == TIDE_F64) fuzz_sum(k->f, rows * sizeof *k->f);
            if (k->type == TIDE_BOOL) fuzz_sum(k->b, rows);
            for (size_t r = 0; !k->type && r < rows; r++)
                if (!k->missing || !k->missing[r])
                    fuzz_check(tide_utf8_valid(k->text[r], k->length[r]), "cells are UTF-8");
        }
        tide_csv_free(NULL, t);
    }
    fuzz_end();
    free(text);
    return 0;
}
