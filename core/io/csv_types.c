/* Cells to values, column by column: types widen as the cells ask for it. */
#include "io/csv_reader.h"
#include "io/decimal.h"
#include <math.h>
#include <stdio.h>

static bool is_listed(const reader *r, const char *p, uint32_t n) {
    for (int64_t i = 0; i < r->nna; i++)
        if (r->na[i].length == n && !memcmp(r->na[i].text, p, n)) return true;
    return false;
}

static inline bool is_missing(const reader *r, const char *p, uint32_t n) {
    uint64_t length = r->na_lengths >> (n < 63 ? n : 63), first = r->na_first[n ? (unsigned char)*p : 0];
    return (length & first) && is_listed(r, p, n); /* one branch: texts' lengths are hard to guess */
}

static bool is_missing_number(const reader *r, double d) {
    for (int64_t i = 0; i < r->nna_number; i++)
        if (r->na_number[i] == d) return true;
    return false;
}

static bool same_letters(const char *p, size_t n, const char *lower) {
    if (strlen(lower) != n) return false;
    for (size_t i = 0; i < n; i++)
        if ((p[i] | 0x20) != lower[i]) return false;
    return true;
}

static bool blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static inline void trim(const char **p, const char **end) {
    while (*p < *end && blank(**p)) ++*p;
    while (*p < *end && blank((*end)[-1])) --*end;
}

static bool parse_int(const char *p, uint32_t n, int64_t *out) {
    const char *end = p + n;
    trim(&p, &end);
    return tide_parse_int64(p, end, out);
}

/* Spaces around a number are none of it; around "inf" they make a text. */
bool tide_csv_float(const char *p, uint32_t n, double *out) {
    const char *first = p, *last = p + n;
    trim(&first, &last);
    if (tide_parse_double(first, last, out)) return true;
    if (n == 0) return false;
    bool negative = *p == '-', sign = negative || *p == '+';
    if (!same_letters(p + sign, n - sign, "inf") && !same_letters(p + sign, n - sign, "infinity")) return false;
    *out = negative ? -INFINITY : INFINITY;
    return true;
}

static bool parse_bool(const char *p, uint32_t n, uint8_t *out) {
    *out = same_letters(p, n, "true");
    return *out || same_letters(p, n, "false");
}

/* ---- columns ---- */

/* Every array of values has 8 bytes a row, so that a column can change its type in place. */
void *tide_csv_values(const tide_csv_column *c) {
    return c->i ? (void *)c->i : c->f ? (void *)c->f : c->b ? (void *)c->b : (void *)c->text;
}

tide_status tide_csv_reserve(reader *r, tide_csv_column *c, int64_t rows) {
    size_t have = (size_t)c->capacity, want = (size_t)rows;
    if (want <= have) return TIDE_OK;
    int64_t *p = tide_alloc(r->cx, want * sizeof *p);
    uint8_t *missing = p && c->missing ? tide_alloc0(r->cx, want) : NULL;
    uint32_t *length = p && c->length ? tide_alloc(r->cx, want * sizeof *length) : NULL;
    if (!p || (c->missing && !missing) || (c->length && !length)) {
        tide_release(r->cx, p, want * sizeof *p);
        tide_release(r->cx, missing, want);
        tide_release(r->cx, length, want * sizeof *length);
        return TIDE_EMEM;
    }
    if (length) memcpy(length, c->length, have * sizeof *length);
    tide_release(r->cx, c->length, have * sizeof *length);
    c->length = length;
    if (have) memcpy(p, c->i, have * sizeof *p);
    if (missing) memcpy(missing, c->missing, have);
    tide_release(r->cx, c->i, have * sizeof *p);
    tide_release(r->cx, c->missing, have);
    c->i = p;
    c->missing = missing;
    c->capacity = rows;
    return TIDE_OK;
}

static tide_status mark_missing(reader *r, tide_csv_column *c, int64_t row) {
    if (!c->missing) c->missing = tide_alloc0(r->cx, (size_t)c->capacity);
    if (!c->missing) return TIDE_EMEM;
    c->missing[row] = 1;
    return TIDE_OK;
}

static void put_missing(tide_csv_column *c, uint8_t k, int64_t row) {
    if (k == FLOAT)
        ((double *)tide_csv_values(c))[row] = NAN;
    else if (k == INT)
        c->i[row] = 0;
    else if (k == BOOL)
        ((uint8_t *)tide_csv_values(c))[row] = 0;
}

/* The first `rows` ints become floats. among: because there is a float among them, not because one is missing;
 * only then does a missing number mean all its spellings, and -0 keeps its sign. */
static tide_status to_float(reader *r, tide_csv_column *c, progress *g, int64_t rows, bool among) {
    double *f = tide_csv_values(c);
    for (int64_t i = 0; i < rows; i++) {
        int64_t v = c->i[i];
        double d = (double)v;
        bool gone = c->missing && c->missing[i];
        if (!gone && among && is_missing_number(r, d)) {
            tide_status e = mark_missing(r, c, i);
            if (e) return e;
            gone = true;
        }
        f[i] = gone ? NAN : d;
    }
    g->kind = FLOAT;
    g->again |= among && g->negative_zero;
    return TIDE_OK;
}

static void to_text(tide_csv_column *c, progress *g) {
    /* asked again as text: "-999.00" may have been missing as a number */
    if (c->missing) memset(c->missing, 0, (size_t)c->capacity);
    g->kind = TEXT;
    g->again = true;
}

static tide_status mistyped(reader *r, const tide_csv_column *c, const progress *g, const char *where,
                            const char *p, uint32_t n) {
    char what[160];
    snprintf(what, sizeof what, "column '%.40s': '%.*s' is no %s", c->name, n < 40 ? (int)n : 40, p,
             g->wants == INT     ? "int64"
             : g->wants == FLOAT ? "float64"
                                 : "bool");
    return tide_csv_fail_at(r, where, what);
}

/* A cell (at `where`, p without quotes) that column c, whatever it is now, cannot hold: widens the column. */
static tide_status widen(reader *r, tide_csv_column *c, progress *g, const char *where, const char *p,
                         uint32_t n, int64_t row) {
    bool missing = is_missing(r, p, n);
    if (g->wants && !(missing && g->wants == FLOAT)) return mistyped(r, c, g, where, p, n);
    if (missing) {
        put_missing(c, g->kind, row);
        return mark_missing(r, c, row);
    }
    tide_status e = TIDE_OK;
    double d;
    uint8_t b;
    int64_t i;
    uint8_t was = g->kind;
    if (was == UNKNOWN && parse_int(p, n, &i)) {
        g->kind = INT;
        c->i[row] = i;
        g->negative_zero = i == 0 && memchr(p, '-', n);
    } else if (was <= INT && was != BOOL && tide_csv_float(p, n, &d)) {
        e = was == INT ? to_float(r, c, g, row, true) : TIDE_OK;
        g->kind = FLOAT;
        ((double *)tide_csv_values(c))[row] = d;
        if (!e && is_missing_number(r, d)) put_missing(c, FLOAT, row), e = mark_missing(r, c, row);
    } else if (was == UNKNOWN && parse_bool(p, n, &b)) {
        g->kind = BOOL;
        ((uint8_t *)tide_csv_values(c))[row] = b;
    } else {
        to_text(c, g);
    }
    if (was == UNKNOWN)
        for (int64_t k = 0; k < row; k++) put_missing(c, g->kind, k);
    return e;
}

/* The cell as a value of the type that the column has now; false if it is none. */
static inline bool fits(tide_csv_column *c, progress *g, const char *p, uint32_t n, int64_t row) {
    switch ((kind)g->kind) {
    case FLOAT: return tide_csv_float(p, n, (double *)tide_csv_values(c) + row);
    case BOOL: return parse_bool(p, n, (uint8_t *)tide_csv_values(c) + row);
    case INT:
        if (!parse_int(p, n, c->i + row)) return false;
        g->negative_zero |= c->i[row] == 0 && memchr(p, '-', n);
        return true;
    default: return false;
    }
}

/* The cells from `cell` on that are as numbers nearly always are; returns how many. Cells with quotes inside
 * have lengths that no number has. */
static int64_t take_ints(const reader *r, progress *g, const char *base, const span *cell, int64_t n,
                         int64_t *to) {
    int64_t i = 0;
    for (; i < n && decimal_int(r->text, base + cell->at, cell->length, &to[i]); i++, cell += r->csv->ncolumns)
        if (to[i] == 0) g->negative_zero |= base[cell->at] == '-';
    return i;
}

static int64_t take_floats(const reader *r, const char *base, const span *cell, int64_t n, double *to) {
    int64_t i = 0;
    while (i < n && decimal_float(r->text, base + cell->at, cell->length, &to[i]))
        i++, cell += r->csv->ncolumns;
    return i;
}

tide_status tide_csv_take(reader *r, int64_t j, const char *base, int64_t row, int64_t nrows) {
    tide_csv_column *c = &r->csv->column[j];
    progress *g = &r->column[j];
    const span *cells = r->cells + j;
    int64_t stride = r->csv->ncolumns;
    tide_status e = TIDE_OK;
    bool numbers = r->nna_number > 0; /* else no number can be missing */
    for (int64_t i = 0; i < nrows && g->kind != TEXT && !e; i++) {
        if (!numbers && g->kind == INT)
            i += take_ints(r, g, base, cells + i * stride, nrows - i, c->i + row + i);
        else if (!numbers && g->kind == FLOAT)
            i += take_floats(r, base, cells + i * stride, nrows - i, (double *)tide_csv_values(c) + row + i);
        if (i == nrows) break;
        span cell = cells[i * stride];
        const char *p;
        uint32_t n;
        e = tide_csv_plain(r, base, cell, &p, &n);
        if (e) break;
        if (((numbers || n == 0 || g->kind == BOOL) && is_missing(r, p, n)) || !fits(c, g, p, n, row + i)) {
            e = widen(r, c, g, base + cell.at, p, n, row + i);
        } else if (numbers && g->kind == FLOAT &&
                   is_missing_number(r, ((double *)tide_csv_values(c))[row + i])) {
            put_missing(c, FLOAT, row + i);
            e = mark_missing(r, c, row + i);
        }
    }
    return e;
}

tide_status tide_csv_take_text(reader *r, int64_t j, char *base, int64_t row, int64_t nrows) {
    tide_csv_column *c = &r->csv->column[j];
    const span *cell = r->cells + j;
    const char **text = (const char **)tide_csv_values(c);
    for (int64_t end = row + nrows; row < end; row++, cell += r->csv->ncolumns) {
        const char *p;
        uint32_t n;
        tide_status e = tide_csv_plain(r, base, *cell, &p, &n);
        text[row] = base + cell->at;
        c->length[row] = cell->length;
        if (!e && is_missing(r, p, n)) {
            c->length[row] = 0;
            e = mark_missing(r, c, row);
        }
        if (e) return e;
    }
    return TIDE_OK;
}

void tide_csv_unescape_text(tide_csv_column *c, int64_t rows) {
    const char **text = (const char **)tide_csv_values(c);
    for (int64_t row = 0; row < rows; row++)
        if (c->length[row] & ESCAPED)
            c->length[row] = tide_csv_unescape(text[row], c->length[row] & ~ESCAPED, (char *)text[row]);
}

/* Settles the types; says whether some columns must be read once more. */
tide_status tide_csv_settle(reader *r, bool *again) {
    static const uint8_t type[] = {[BOOL] = TIDE_BOOL, [INT] = TIDE_I64, [FLOAT] = TIDE_F64, [TEXT] = 0};
    tide_status e = TIDE_OK;
    for (int64_t j = 0; j < r->csv->ncolumns && !e; j++) {
        tide_csv_column *c = &r->csv->column[j];
        progress *g = &r->column[j];
        if (g->skip) continue;
        if (r->csv->rows == 0) e = tide_csv_reserve(r, c, 1); /* so that values are never NULL */
        if (e) break;
        if (g->kind == UNKNOWN) {
            g->kind = FLOAT;
            for (int64_t i = 0; i < r->csv->rows; i++) put_missing(c, FLOAT, i);
        } else if (g->kind == INT && c->missing) {
            e = to_float(r, c, g, r->csv->rows, false);
        } else if (g->kind == TEXT && !g->direct) {
            c->length = tide_alloc(r->cx, (size_t)c->capacity * sizeof *c->length);
            if (!c->length) e = TIDE_EMEM;
        }
        c->type = type[g->kind];
        *again |= g->again && !g->direct;
    }
    return e;
}
