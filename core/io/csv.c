/* The text is cut into cells a block of rows at a time, and each column takes its cells of the block while they
 * are in the cache. A column's type only ever widens: nothing, bool or int64, float64, text. One that was wrong
 * about earlier rows takes all of them in a second pass, when its type is known; text columns are only filled
 * there, so that the text is not changed before. */
#include "io/csv.h"
#include "io/json.h"
#include "io/number.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* A small file could else be a very large table: its short rows may lack so many cells a byte, and a few. */
enum { FILLED = 16, FEW_FILLED = 1 << 16 };
enum { BLOCK_CELLS = 8192, BLOCK_ROWS = 4096, BLOCK_BYTES = 16 << 20 };
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

    const char *window; /* `marks`: the separators and line ends not yet seen in the 64 bytes from here */
    uint64_t marks;

    word *na;
    double *na_number; /* those of them that are numbers; other spellings of them follow in the block */
    int64_t nna, nna_number, na_room;
    size_t na_bytes;
    uint64_t na_lengths; /* bit n: one has n bytes; bit 63: or more */

    char *scratch; /* one unescaped cell */
    int64_t scratch_room;

    tide_csv *csv;
    progress *column;
    span *cells;    /* of one block, row after row */
    int64_t filled; /* cells that short rows lacked */
    size_t ncells;
} reader;

static int64_t line_of(const reader *r, const char *p) {
    int64_t line = 1;
    for (const char *s = r->text; s < p; s++)
        line += *s == '\n' || (*s == '\r' && !(s + 1 < r->end && s[1] == '\n'));
    return line;
}

static tide_status fail_at(const reader *r, const char *p, const char *what) {
    return tide_fail(r->cx, TIDE_EFORMAT, "%s:%lld: %s", r->name, (long long)line_of(r, p), what);
}

/* ---- rows and cells ---- */

/* One bit for each of the 64 bytes at p that ends a cell. */
static inline uint64_t find_marks(const char *p, char sep) {
    typedef char bytes __attribute__((vector_size(16)));
    typedef uint64_t words __attribute__((vector_size(16)));
    uint64_t marks = 0;
    for (int i = 0; i < 4; i++) {
        bytes b;
        memcpy(&b, p + 16 * i, 16);
        words w = (words)((b == sep) | (b == '\n') | (b == '\r'));
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        w &= 0x8040201008040201u; /* byte k keeps bit k, and the product adds them up */
#else
        w &= 0x0102040810204080u;
#endif
        marks |= (w[0] * 0x0101010101010101u >> 56 | w[1] * 0x0101010101010101u >> 56 << 8) << (16 * i);
    }
    return marks;
}

/* Sets the window to p. The end of the text counts as a mark. */
static void look_at(reader *r, const char *p) {
    r->window = p;
    size_t left = (size_t)(r->end - p);
    if (left >= 64) {
        r->marks = find_marks(p, r->sep);
        return;
    }
    char rest[64] = {0};
    memcpy(rest, p, left);
    r->marks = find_marks(rest, r->sep) | (uint64_t)1 << left;
}

static inline char *next_mark(reader *r) {
    while (!r->marks) look_at(r, r->window + 64);
    const char *p = r->window + __builtin_ctzll(r->marks);
    r->marks &= r->marks - 1;
    return (char *)p;
}

/* Moves r->at past empty lines and lines of spaces; false at the end of the text. */
static bool next_row(reader *r) {
    char *p = r->at;
    for (;;) {
        while (p < r->end && (*p == ' ' || *p == '\t') && *p != r->sep) p++;
        if (p == r->end) return false;
        if (*p != '\n' && *p != '\r') break;
        r->at = ++p;
        look_at(r, p);
    }
    return true;
}

/* The quoted cell at p, whose mark is returned, or NULL (an error is pending). */
static char *quoted(reader *r, char *p, const char *base, span *cell) {
    char *quote = p + 1;
    bool escaped = false;
    for (;; quote += 2) {
        quote = memchr(quote, '"', (size_t)(r->end - quote));
        if (!quote) return fail_at(r, p, "a quote is not closed"), NULL;
        if (quote + 1 == r->end || quote[1] != '"') break;
        escaped = true;
    }
    look_at(r, quote + 1);
    char *mark = next_mark(r);
    if (escaped || mark != quote + 1) /* text after the quote belongs to the cell */
        *cell = (span){(uint32_t)(p - base), (uint32_t)(mark - p) | ESCAPED};
    else
        *cell = (span){(uint32_t)(p + 1 - base), (uint32_t)(quote - p - 1)};
    return mark;
}

/* Cuts the row at r->at: its first `room` cells, counted from `base`. Returns the number of all, or -1. */
static int64_t cut_row(reader *r, const char *base, span *cells, int64_t room) {
    char *p = r->at;
    for (int64_t n = 0;; n++) {
        span spare = {0}, *cell = n < room ? &cells[n] : &spare;
        if (r->skip_space)
            while (p < r->end && (*p == ' ' || *p == '\t') && *p != r->sep) p++;
        char *mark;
        if (p < r->end && *p == '"') {
            mark = quoted(r, p, base, cell);
            if (!mark) return -1;
        } else {
            mark = next_mark(r);
            *cell = (span){(uint32_t)(p - base), (uint32_t)(mark - p)};
        }
        if (mark - base > REACH) return fail_at(r, r->at, "a row of more than 2 GiB"), -1;
        p = mark + 1;
        if (mark < r->end && *mark == r->sep) continue;
        if (mark < r->end && *mark == '\r' && p < r->end && *p == '\n') p = next_mark(r) + 1;
        r->at = mark < r->end ? p : r->end;
        return n + 1;
    }
}

/* Cell p of n bytes, written with its quotes, as it is meant. `to` may be p. */
static uint32_t unescape(const char *p, uint32_t n, char *to) {
    const char *end = p + n;
    char *begin = to;
    for (p++; *p != '"' || (p + 1 < end && p[1] == '"'); p++) {
        *to++ = *p;
        p += *p == '"';
    }
    size_t rest = (size_t)(end - ++p);
    memmove(to, p, rest);
    return (uint32_t)(to - begin + (ptrdiff_t)rest);
}

/* The cell without its quotes, in r->scratch where it is not so in the text. */
static tide_status plain(reader *r, const char *base, span cell, const char **p, uint32_t *n) {
    *p = base + cell.at;
    *n = cell.length & ~ESCAPED;
    if (!(cell.length & ESCAPED)) return TIDE_OK;
    tide_status e = tide_grow(r->cx, (void **)&r->scratch, &r->scratch_room, *n, 1);
    if (e) return e;
    *n = unescape(*p, *n, r->scratch);
    *p = r->scratch;
    return TIDE_OK;
}

/* ---- cells to values ---- */

static bool is_missing(const reader *r, const char *p, uint32_t n) {
    if (!(r->na_lengths >> (n < 63 ? n : 63) & 1)) return false;
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
static void *values(const tide_csv_column *c) {
    return c->i ? (void *)c->i : c->f ? (void *)c->f : c->b ? (void *)c->b : (void *)c->text;
}

static tide_status reserve(reader *r, tide_csv_column *c, int64_t rows) {
    size_t have = (size_t)c->capacity, want = (size_t)rows;
    if (want <= have) return TIDE_OK;
    int64_t *p = tide_alloc(r->cx, want * sizeof *p);
    uint8_t *missing = p && c->missing ? tide_alloc0(r->cx, want) : NULL;
    if (!p || (c->missing && !missing)) return tide_release(r->cx, p, want * sizeof *p), TIDE_EMEM;
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
        ((double *)values(c))[row] = NAN;
    else if (k == INT)
        c->i[row] = 0;
    else if (k == BOOL)
        ((uint8_t *)values(c))[row] = 0;
}

/* The first `rows` ints become floats. */
static tide_status to_float(reader *r, tide_csv_column *c, progress *g, int64_t rows) {
    double *f = values(c);
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

/* A cell that column c, whatever it is now, cannot hold: widens the column. */
static tide_status widen(reader *r, tide_csv_column *c, progress *g, const char *p, uint32_t n, int64_t row) {
    if (is_missing(r, p, n)) {
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
        ((double *)values(c))[row] = d;
        if (!e && is_missing_number(r, d)) put_missing(c, FLOAT, row), e = mark_missing(r, c, row);
    } else if (was == UNKNOWN && parse_bool(p, n, &b)) {
        g->kind = BOOL;
        ((uint8_t *)values(c))[row] = b;
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
    case FLOAT: return parse_float(p, n, (double *)values(c) + row);
    case BOOL: return parse_bool(p, n, (uint8_t *)values(c) + row);
    case INT:
        if (!parse_int(p, n, c->i + row)) return false;
        g->negative_zero |= c->i[row] == 0 && memchr(p, '-', n);
        return true;
    default: return false;
    }
}

/* Takes column j of a block of rows, the first of which is `row`. */
static tide_status take(reader *r, int64_t j, const char *base, int64_t row, int64_t nrows) {
    tide_csv_column *c = &r->csv->column[j];
    progress *g = &r->column[j];
    const span *cell = r->cells + j;
    tide_status e = TIDE_OK;
    bool numbers = r->nna_number > 0; /* else only a cell that is no number can be missing */
    for (int64_t end = row + nrows; row < end && g->kind != TEXT && !e; row++, cell += r->csv->ncolumns) {
        const char *p;
        uint32_t n;
        e = plain(r, base, *cell, &p, &n);
        if (e) break;
        if ((numbers && is_missing(r, p, n)) || !fits(c, g, p, n, row)) {
            e = widen(r, c, g, p, n, row);
        } else if (numbers && g->kind == FLOAT && is_missing_number(r, ((double *)values(c))[row])) {
            put_missing(c, FLOAT, row);
            e = mark_missing(r, c, row);
        }
    }
    return e;
}

/* The same of a text column, in the second pass. */
static tide_status take_text(reader *r, int64_t j, char *base, int64_t row, int64_t nrows) {
    tide_csv_column *c = &r->csv->column[j];
    const span *cell = r->cells + j;
    const char **text = (const char **)values(c);
    for (int64_t end = row + nrows; row < end; row++, cell += r->csv->ncolumns) {
        char *p = base + cell->at;
        uint32_t n = cell->length & ~ESCAPED;
        if (cell->length & ESCAPED) n = unescape(p, n, p);
        if (is_missing(r, p, n)) {
            n = 0;
            tide_status e = mark_missing(r, c, row);
            if (e) return e;
        }
        text[row] = p;
        c->length[row] = n;
    }
    return TIDE_OK;
}

/* ---- passes over all rows ---- */

/* Cuts up to a block of rows; returns their number, 0 at the end, -1 on an error. */
static int64_t cut_block(reader *r, char **base) {
    int64_t ncolumns = r->csv->ncolumns, most = (int64_t)r->ncells / ncolumns, rows = 0;
    if (!next_row(r)) return 0;
    *base = r->at;
    while (rows < most && r->at - *base < BLOCK_BYTES && (rows == 0 || next_row(r))) {
        char *begin = r->at;
        span *cells = r->cells + rows * ncolumns;
        int64_t n = cut_row(r, *base, cells, ncolumns);
        if (n < 0) return -1;
        if (n > ncolumns) {
            tide_fail(r->cx, TIDE_EFORMAT, "%s:%lld: a row of %lld cells in a table of %lld columns", r->name,
                      (long long)line_of(r, begin), (long long)n, (long long)ncolumns);
            return -1;
        }
        r->filled += ncolumns - n;
        if (r->filled / FILLED > r->end - r->text + FEW_FILLED / FILLED) {
            fail_at(r, begin, "rows are far shorter than the first one: most of the table would be missing");
            return -1;
        }
        while (n < ncolumns) cells[n++] = (span){0, 0}; /* a short row ends in empty cells */
        rows++;
    }
    return rows;
}

/* Rows that all of the text will have if it goes on like this, but no more than it can have. */
static int64_t expect(const reader *r, const char *begin, int64_t rows) {
    double all = (double)rows * (double)(r->end - begin) / (double)(r->at - begin);
    int64_t most = (FEW_FILLED + (FILLED + 1) * (r->end - r->text)) / r->csv->ncolumns + 1;
    return (int64_t)(all * 1.02) + 16 < most ? (int64_t)(all * 1.02) + 16 : most;
}

static tide_status first_pass(reader *r) {
    char *begin = r->at, *base = NULL;
    tide_csv *csv = r->csv;
    int64_t n = 0, room = 0;
    tide_status e = TIDE_OK;
    while (!e && (n = cut_block(r, &base)) > 0) {
        if (csv->rows + n > room) {
            int64_t want = expect(r, begin, csv->rows + n), least = csv->rows + n + room / 4;
            room = want > least ? want : least;
        }
        for (int64_t j = 0; j < csv->ncolumns && !e; j++) {
            e = reserve(r, &csv->column[j], room);
            if (!e) e = take(r, j, base, csv->rows, n);
        }
        csv->rows += n;
    }
    return e ? e : n < 0 ? TIDE_EFORMAT : TIDE_OK;
}

/* Settles the types; says whether some columns must be read once more. */
static tide_status settle(reader *r, bool *again) {
    static const uint8_t type[] = {[BOOL] = TIDE_BOOL, [INT] = TIDE_I64, [FLOAT] = TIDE_F64, [TEXT] = 0};
    tide_status e = TIDE_OK;
    for (int64_t j = 0; j < r->csv->ncolumns && !e; j++) {
        tide_csv_column *c = &r->csv->column[j];
        progress *g = &r->column[j];
        if (r->csv->rows == 0) e = reserve(r, c, 1); /* so that values are never NULL */
        if (e) break;
        if (g->kind == UNKNOWN) {
            g->kind = FLOAT;
            for (int64_t i = 0; i < r->csv->rows; i++) put_missing(c, FLOAT, i);
        } else if (g->kind == INT && c->missing) {
            e = to_float(r, c, g, r->csv->rows);
        } else if (g->kind == TEXT) {
            c->length = tide_alloc(r->cx, (size_t)c->capacity * sizeof *c->length);
            if (!c->length) e = TIDE_EMEM;
        }
        c->type = type[g->kind];
        *again |= g->again;
    }
    return e;
}

static tide_status second_pass(reader *r) {
    char *base = NULL;
    int64_t n, row = 0;
    tide_status e = TIDE_OK;
    for (; !e && (n = cut_block(r, &base)) > 0; row += n)
        for (int64_t j = 0; j < r->csv->ncolumns && !e; j++) {
            if (r->column[j].kind == TEXT)
                e = take_text(r, j, base, row, n);
            else if (r->column[j].again)
                e = take(r, j, base, row, n);
        }
    return e;
}

/* ---- names ---- */

typedef struct {
    const char *text; /* NULL: empty */
    uint32_t length, count;
} seen;

static seen *find(seen *table, size_t mask, const char *text, uint32_t length) {
    uint64_t h = 0xCBF29CE484222325u;
    for (uint32_t i = 0; i < length; i++) h = (h ^ (unsigned char)text[i]) * 0x100000001B3u;
    size_t at = (h ^ h >> 32) & mask;
    while (table[at].text && (table[at].length != length || memcmp(table[at].text, text, length)))
        at = (at + 1) & mask;
    return &table[at];
}

static tide_status set_name(reader *r, tide_csv_column *c, const char *text, uint32_t length) {
    char *name = tide_alloc(r->cx, (size_t)length + 1);
    if (!name) return TIDE_EMEM;
    memcpy(name, text, length);
    name[length] = 0;
    if (c->name) tide_release(r->cx, (char *)c->name, (size_t)c->name_length + 1);
    c->name = name;
    c->name_length = length;
    return TIDE_OK;
}

/* Gives the column that has `first`'s name too a free one: name.1, name.2 ... */
static tide_status rename_column(reader *r, tide_csv_column *c, seen *table, size_t mask, seen *first) {
    int64_t room = 0;
    char *text = NULL;
    tide_status e = tide_grow(r->cx, (void **)&text, &room, (int64_t)c->name_length + 16, 1);
    if (e) return e;
    memcpy(text, c->name, c->name_length);
    uint32_t length;
    seen *s;
    do {
        int suffix = snprintf(text + c->name_length, 16, ".%u", first->count++);
        length = c->name_length + (uint32_t)suffix;
        s = find(table, mask, text, length);
    } while (s->text);
    e = set_name(r, c, text, length);
    if (!e) *s = (seen){c->name, length, 1};
    tide_release(r->cx, text, (size_t)room);
    return e;
}

/* As pandas: the first of a name keeps it, and columns that had none come last. */
static tide_status make_unique(reader *r) {
    int64_t n = r->csv->ncolumns;
    size_t size = 8;
    while (size < (size_t)n * 4) size *= 2;
    seen *table = tide_alloc0(r->cx, size * sizeof *table);
    tide_status e = table ? TIDE_OK : TIDE_EMEM;
    for (int step = 0; step < 4; step++)
        for (int64_t j = 0; j < n && !e; j++) {
            tide_csv_column *c = &r->csv->column[j];
            if (r->column[j].unnamed != (step & 1)) continue;
            seen *s = find(table, size - 1, c->name, c->name_length);
            if (step < 2) {
                if (!s->text) *s = (seen){c->name, c->name_length, 0};
            } else if (!s->count) {
                s->count = 1;
            } else {
                e = rename_column(r, c, table, size - 1, s);
            }
        }
    tide_release(r->cx, table, size * sizeof *table);
    return e;
}

/* Makes the columns of the first row, which is at r->at, and leaves r->at where the data begins. */
static tide_status make_columns(reader *r, bool header) {
    char *begin = r->at;
    int64_t n = cut_row(r, begin, NULL, 0), most;
    if (n < 0) return TIDE_EFORMAT;
    tide_csv *csv = r->csv;
    csv->column = tide_alloc0(r->cx, (size_t)n * sizeof *csv->column);
    if (!csv->column) return TIDE_EMEM;
    csv->ncolumns = n;
    most = BLOCK_CELLS / n < BLOCK_ROWS ? BLOCK_CELLS / n : BLOCK_ROWS;
    r->ncells = (size_t)(n * (most ? most : 1));
    r->column = tide_alloc0(r->cx, (size_t)n * sizeof *r->column);
    r->cells = r->column ? tide_alloc(r->cx, r->ncells * sizeof *r->cells) : NULL;
    if (!r->cells) return TIDE_EMEM;

    r->at = begin;
    look_at(r, begin);
    if (header) cut_row(r, begin, r->cells, n);
    tide_status e = TIDE_OK;
    for (int64_t j = 0; j < n && !e; j++) {
        const char *p = NULL;
        uint32_t length = 0;
        char made[32];
        if (header) e = plain(r, begin, r->cells[j], &p, &length);
        if (!e && !length) {
            r->column[j].unnamed = true;
            length = (uint32_t)snprintf(made, sizeof made, header ? "Unnamed: %lld" : "%lld", (long long)j);
            p = made;
        }
        if (!e) e = set_name(r, &csv->column[j], p, length);
    }
    return e || !header ? e : make_unique(r);
}

/* ---- what means missing ---- */

static void add_na(reader *r, const char *text) {
    uint32_t n = (uint32_t)strlen(text);
    r->na[r->nna++] = (word){text, n};
    r->na_lengths |= (uint64_t)1 << (n < 63 ? n : 63);
}

/* A number among the host's texts means its other spellings too: "-999" also "-999.0". */
static tide_status make_na(reader *r, const tide_csv_options *o) {
    static const char *const defaults[] = {"",     "#N/A",   "#N/A N/A", "#NA",  "-1.#IND", "-1.#QNAN", "-NaN",
                                           "-nan", "1.#IND", "1.#QNAN",  "<NA>", "N/A",     "NA",       "NULL",
                                           "NaN",  "None",   "n/a",      "nan",  "null"};
    enum { NDEFAULTS = sizeof defaults / sizeof *defaults, SPELLING = 24 };
    size_t n = (size_t)o->n_na_values;
    r->na_room = (int64_t)(NDEFAULTS + 3 * n);
    r->na_bytes = n * (2 * SPELLING + sizeof(double)) + 1;
    r->na = tide_alloc(r->cx, (size_t)r->na_room * sizeof *r->na);
    r->na_number = r->na ? tide_alloc(r->cx, r->na_bytes) : NULL;
    if (!r->na_number) return TIDE_EMEM;
    char *text = (char *)(r->na_number + n);
    for (int i = 0; o->keep_default_na && i < NDEFAULTS; i++) add_na(r, defaults[i]);
    for (size_t i = 0; i < n; i++) {
        const char *s = o->na_values[i];
        double d;
        add_na(r, s);
        if (!tide_parse_double(s, s + strlen(s), &d)) continue;
        r->na_number[r->nna_number++] = d;
        if (!(fabs(d) < 1e15) || d != (double)(int64_t)d) continue;
        snprintf(text, SPELLING, "%lld", (long long)d);
        add_na(r, text);
        text += SPELLING;
        snprintf(text, SPELLING, "%lld.0", (long long)d);
        add_na(r, text);
        text += SPELLING;
    }
    return TIDE_OK;
}

/* ---- all of it ---- */

tide_csv_options tide_csv_defaults(void) {
    return (tide_csv_options){.sep = ",", .header = true, .keep_default_na = true};
}

static tide_status check_utf8(const reader *r) {
    for (const char *p = r->text; p < r->end;) {
        uint64_t w;
        while (r->end - p >= 8 && (memcpy(&w, p, 8), !(w & 0x8080808080808080u))) p += 8;
        const char *line = memchr(p, '\n', (size_t)(r->end - p));
        line = line ? line + 1 : r->end;
        if (!tide_utf8_valid(p, (size_t)(line - p))) return fail_at(r, p, "invalid UTF-8");
        p = line;
    }
    return TIDE_OK;
}

static tide_status parse(reader *r, const tide_csv_options *o) {
    tide_status e = check_utf8(r);
    if (!e) e = make_na(r, o);
    if (e) return e;
    r->at = r->text;
    if (r->end - r->at >= 3 && !memcmp(r->at, "\xEF\xBB\xBF", 3)) r->at += 3;
    look_at(r, r->at);
    if (!next_row(r)) return fail_at(r, r->at, "no columns: the file is empty");
    e = make_columns(r, o->header);
    char *begin = r->at;
    bool again = false;
    if (!e) e = first_pass(r);
    if (!e) e = settle(r, &again);
    if (!e && again) {
        r->at = begin;
        r->filled = 0;
        look_at(r, begin);
        e = second_pass(r);
    }
    for (int64_t j = 0; j < r->csv->ncolumns && !e; j++) {
        tide_csv_column *c = &r->csv->column[j];
        void *p = values(c);
        c->i = c->type == TIDE_I64 ? p : NULL;
        c->f = c->type == TIDE_F64 ? p : NULL;
        c->b = c->type == TIDE_BOOL ? p : NULL;
        c->text = c->type == 0 ? p : NULL;
    }
    return e;
}

tide_status tide_csv_parse(tide_context *cx, const char *name, char *text, size_t n,
                           const tide_csv_options *options, tide_csv **out) {
    tide_csv_options o = options ? *options : tide_csv_defaults();
    *out = NULL;
    if (!o.sep || strlen(o.sep) != 1 || strchr("\"\r\n", *o.sep))
        return tide_fail(cx, TIDE_EARG, "the separator of a CSV file is one byte, no quote and no line end");
    reader r = {.cx = cx, .name = name, .text = text, .end = text + n, .sep = *o.sep};
    r.skip_space = o.skip_initial_space;
    r.csv = tide_alloc0(cx, sizeof *r.csv);
    if (!r.csv) return TIDE_EMEM;
    tide_status e = parse(&r, &o);
    tide_release(cx, r.na, (size_t)r.na_room * sizeof *r.na);
    tide_release(cx, r.na_number, r.na_bytes);
    tide_release(cx, r.scratch, (size_t)r.scratch_room);
    tide_release(cx, r.column, (size_t)r.csv->ncolumns * sizeof *r.column);
    tide_release(cx, r.cells, r.ncells * sizeof *r.cells);
    if (e)
        tide_csv_free(cx, r.csv);
    else
        *out = r.csv;
    return e;
}

/* All of the file, in a block of *room bytes. */
static tide_status load(tide_context *cx, const char *path, char **text, int64_t *room, size_t *n) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0) return tide_fail(cx, TIDE_EIO, "%s: %s", path, strerror(errno));
    tide_status e = TIDE_OK;
    int64_t size = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? (int64_t)st.st_size : 0;
    ssize_t got = 1;
    while (!e && got) { /* one byte more than the size, so that the end shows */
        e = tide_grow(cx, (void **)text, room, (size > (int64_t)*n ? size : (int64_t)*n) + 1, 1);
        if (e) break;
        size_t want = (size_t)*room - *n;
        got = read(fd, *text + *n, want < (size_t)1 << 30 ? want : (size_t)1 << 30);
        if (got > 0)
            *n += (size_t)got;
        else if (got < 0 && errno != EINTR)
            e = tide_fail(cx, TIDE_EIO, "%s: %s", path, strerror(errno));
    }
    close(fd);
    return e;
}

tide_status tide_csv_read(tide_context *cx, const char *path, const tide_csv_options *options, tide_csv **out) {
    char *text = NULL;
    int64_t room = 0;
    size_t n = 0;
    *out = NULL;
    tide_status e = load(cx, path, &text, &room, &n);
    if (!e) e = tide_csv_parse(cx, path, text, n, options, out);
    if (e) {
        tide_release(cx, text, (size_t)room);
        return e;
    }
    (*out)->owned = text;
    (*out)->nowned = (size_t)room;
    return TIDE_OK;
}

void tide_csv_free(tide_context *cx, tide_csv *csv) {
    if (!csv) return;
    for (int64_t j = 0; j < csv->ncolumns; j++) {
        tide_csv_column *c = &csv->column[j];
        size_t rows = (size_t)c->capacity;
        if (c->name) tide_release(cx, (char *)c->name, (size_t)c->name_length + 1);
        tide_release(cx, values(c), rows * sizeof(int64_t));
        tide_release(cx, c->length, rows * sizeof *c->length);
        tide_release(cx, c->missing, rows);
    }
    tide_release(cx, csv->column, (size_t)csv->ncolumns * sizeof *csv->column);
    tide_release(cx, csv->owned, csv->nowned);
    tide_release(cx, csv, sizeof *csv);
}
