/* Cells to values, column by column: types widen as the cells ask for it. */
#include "io/csv_reader.h"
#include "io/number.h"
#include <math.h>
#include <stdio.h>

static bool is_missing(const reader *r, const char *p, uint32_t n) {
    if (!(r->na_lengths >> (n < 63 ? n : 63) & 1) || !r->na_first[n ? (unsigned char)*p : 0]) return false;
    for (int64_t i = 0; i < r->nna; i++)
        if (r->na[i].length == n && !memcmp(r->na[i].text, p, n)) return true;
    return false;
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

/* The usual number: [-] up to 7 digits, a point, 1 to 8 digits. Its at most 15 digits and the power of ten are
 * exact doubles, so one division rounds as it should. The 8 bytes that end with the fraction are looked at
 * together; `begin` is as far back as may be read. */
static inline bool short_float(const char *begin, const char *p, const char *end, double *out) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    static const double tens[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8};
    bool negative = p < end && *p == '-';
    const char *first = p += negative;
    uint64_t w = 0, x;
    while (p < end && (unsigned char)(*p - '0') < 10) w = w * 10 + (uint64_t)(*p++ - '0');
    ptrdiff_t digits = end - p - 1;
    if (p == first || p - first > 7 || p == end || *p != '.' || digits < 1 || digits > 8 || end - begin < 8)
        return false;
    memcpy(&x, end - 8, 8);
    uint64_t others = digits == 8 ? 0 : ~(uint64_t)0 >> 8 * digits; /* bytes before the fraction: as if '0' */
    x = (x & ~others) | (0x3030303030303030u & others);
    if (((x & 0xF0F0F0F0F0F0F0F0u) | ((x + 0x0606060606060606u) & 0xF0F0F0F0F0F0F0F0u) >> 4) !=
        0x3333333333333333u)
        return false;
    x = (x & 0x0F0F0F0F0F0F0F0Fu) * (10 << 8 | 1) >> 8;
    x = (x & 0x00FF00FF00FF00FFu) * (100 << 16 | 1) >> 16;
    x = (x & 0x0000FFFF0000FFFFu) * ((uint64_t)10000 << 32 | 1) >> 32;
    static const uint32_t scale[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
    double d = (double)(w * scale[digits] + x) / tens[digits];
    *out = negative ? -d : d;
    return true;
#else
    return (void)begin, (void)p, (void)end, (void)out, false;
#endif
}

static bool parse_float(const char *p, uint32_t n, double *out) {
    const char *end = p + n;
    trim(&p, &end);
    if (tide_parse_double(p, end, out)) return true;
    if (p == end) return false;
    bool negative = *p == '-';
    p += *p == '-' || *p == '+';
    if (!same_letters(p, (size_t)(end - p), "inf") && !same_letters(p, (size_t)(end - p), "infinity"))
        return false;
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

/* The first `rows` ints become floats. */
static tide_status to_float(reader *r, tide_csv_column *c, progress *g, int64_t rows) {
    double *f = tide_csv_values(c);
    for (int64_t i = 0; i < rows; i++) {
        int64_t v = c->i[i];
        double d = (double)v;
        bool gone = c->missing && c->missing[i];
        if (!gone && r->nna_number && is_missing_number(r, d)) {
            tide_status e = mark_missing(r, c, i);
            if (e) return e;
            gone = true;
        }
        f[i] = gone ? NAN : d;
    }
    g->kind = FLOAT;
    g->again |= g->negative_zero;
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
    } else if (was <= INT && was != BOOL && parse_float(p, n, &d)) {
        e = was == INT ? to_float(r, c, g, row) : TIDE_OK;
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
static inline bool fits(tide_csv_column *c, progress *g, const char *begin, const char *p, uint32_t n,
                        int64_t row) {
    double *f = (double *)(void *)c->i + row;
    switch ((kind)g->kind) {
    case FLOAT: return short_float(begin, p, p + n, f) || parse_float(p, n, f);
    case BOOL: return parse_bool(p, n, (uint8_t *)tide_csv_values(c) + row);
    case INT:
        if (!parse_int(p, n, c->i + row)) return false;
        g->negative_zero |= c->i[row] == 0 && memchr(p, '-', n);
        return true;
    default: return false;
    }
}

/* Takes column j of a block of rows, the first of which is `row`. */
tide_status tide_csv_take(reader *r, int64_t j, const char *base, int64_t row, int64_t nrows) {
    tide_csv_column *c = &r->csv->column[j];
    progress *g = &r->column[j];
    const span *cell = r->cells + j;
    tide_status e = TIDE_OK;
    bool numbers = r->nna_number > 0; /* else only a cell that is no number can be missing */
    for (int64_t end = row + nrows; row < end && g->kind != TEXT && !e; row++, cell += r->csv->ncolumns) {
        const char *p;
        uint32_t n;
        e = tide_csv_plain(r, base, *cell, &p, &n);
        if (e) break;
        if ((numbers && is_missing(r, p, n)) || !fits(c, g, cell->length & ESCAPED ? p : r->text, p, n, row)) {
            e = widen(r, c, g, base + cell->at, p, n, row);
        } else if (numbers && g->kind == FLOAT && is_missing_number(r, ((double *)tide_csv_values(c))[row])) {
            put_missing(c, FLOAT, row);
            e = mark_missing(r, c, row);
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
            e = to_float(r, c, g, r->csv->rows);
        } else if (g->kind == TEXT && !g->direct) {
            c->length = tide_alloc(r->cx, (size_t)c->capacity * sizeof *c->length);
            if (!c->length) e = TIDE_EMEM;
        }
        c->type = type[g->kind];
        *again |= g->again && !g->direct;
    }
    return e;
}
