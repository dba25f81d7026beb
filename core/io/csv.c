/* One pass finds the cells, a second types and reads each column. */
#define _GNU_SOURCE
#include "io/csv.h"
#include "io/json.h"
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct { const char *p; uint32_t n; } cell;

typedef struct block { struct block *next; size_t size; } block; /* memory of a table, freed together */
struct tide_csv_memory { block *blocks; };

typedef struct {
    tide_context *cx;
    const char *path;
    const tide_csv_options *o;
    tide_csv *csv;
    char *text, *end;
    cell *cells; /* row after row; a row has `width` of them */
    int64_t n, capacity;
    int64_t width, line;
    char number[64];
    locale_t c_locale;
} reader;

static void *take(reader *r, size_t n) {
    size_t size = n + 64;
    block *b = tide_alloc(r->cx, size);
    if (!b) return NULL;
    b->size = size;
    b->next = r->csv->memory->blocks;
    r->csv->memory->blocks = b;
    return (char *)b + 64;
}

static tide_status wrong(reader *r, const char *what) { return tide_fail(r->cx, TIDE_EFORMAT, "%s:%lld: %s", r->path, (long long)r->line, what); }

static tide_status read_file(reader *r, size_t *n) {
    int fd = open(r->path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0) return tide_fail(r->cx, TIDE_EIO, "%s: %s", r->path, strerror(errno));
    size_t got = 0, room = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? (size_t)st.st_size : 0;
    char *text = take(r, room + 1);
    while (text) {
        ssize_t k = read(fd, text + got, room + 1 - got);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) {
            tide_status e = tide_fail(r->cx, TIDE_EIO, "%s: %s", r->path, strerror(errno));
            close(fd);
            return e;
        }
        if (k == 0) break;
        got += (size_t)k;
        if (got > room) { /* grew, or no regular file */
            char *more = take(r, 2 * got + 65536);
            if (more) memcpy(more, text, got);
            text = more;
            room = 2 * got + 65535;
        }
    }
    close(fd);
    r->text = text;
    *n = got;
    return text ? TIDE_OK : TIDE_EMEM;
}

/* ---- cells ---- */

static tide_status add(reader *r, const char *p, const char *end) {
    if (r->n == r->capacity) {
        tide_status e = tide_grow(r->cx, (void **)&r->cells, &r->capacity, r->n + 1, sizeof *r->cells);
        if (e) return e;
    }
    r->cells[r->n++] = (cell){p, (uint32_t)(end - p)};
    return TIDE_OK;
}

/* One cell from *at; leaves *at at the separator, the end of the line or of the text. Quotes are taken out in place. */
static tide_status one(reader *r, char **at, char sep) {
    char *p = *at, *end = r->end;
    while (r->o->skip_initial_space && p < end && *p == ' ') p++;
    if (p >= end || *p != '"') {
        char *begin = p;
        while (p < end && *p != sep && *p != '\n' && *p != '\r') p++;
        *at = p;
        return add(r, begin, p);
    }
    char *begin = p, *to = p;
    int64_t opened = r->line;
    p++;
    bool quoted = true;
    for (; p < end; p++) {
        if (quoted) {
            if (*p == '"' && p + 1 < end && p[1] == '"') *to++ = *p++;
            else if (*p == '"') quoted = false;
            else {
                r->line += *p == '\n';
                *to++ = *p;
            }
        } else {
            if (*p == sep || *p == '\n' || *p == '\r') break;
            if (*p == '"') quoted = true; /* as pandas: a quote after the closing one opens again */
            else *to++ = *p;
        }
    }
    if (quoted) {
        r->line = opened;
        return wrong(r, "a quote is not closed");
    }
    *at = p;
    return add(r, begin, to);
}

static bool blank(const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\t')) p++;
    return p == end || *p == '\n' || *p == '\r';
}

static tide_status find_cells(reader *r) {
    char sep = r->o->sep[0], *p = r->text;
    while (p < r->end) {
        bool empty_line = blank(p, r->end) && sep != ' ' && !(sep == '\t' && memchr(p, '\t', (size_t)(r->end - p)) == p);
        int64_t first = r->n, line = r->line;
        if (empty_line) {
            while (p < r->end && *p != '\n' && *p != '\r') p++;
        } else {
            for (;;) {
                tide_status e = one(r, &p, sep);
                if (e) return e;
                if (p < r->end && *p == sep) {
                    p++;
                    if (p == r->end) { e = add(r, p, p); if (e) return e; break; } /* an empty cell ends the text */
                    continue;
                }
                break;
            }
            int64_t got = r->n - first;
            if (r->width == 0) r->width = got;
            if (got > r->width) {
                char text[96];
                r->line = line;
                snprintf(text, sizeof text, "%lld cells where the first row has %lld", (long long)got, (long long)r->width);
                return wrong(r, text);
            }
            for (; got < r->width; got++) { /* short rows end in missing cells */
                tide_status e = add(r, r->end, r->end);
                if (e) return e;
            }
        }
        if (p < r->end && *p == '\r') p++, p += p < r->end && *p == '\n';
        else if (p < r->end) p++;
        r->line++;
    }
    return TIDE_OK;
}

/* ---- types ---- */

static const char *const default_na[] = {"", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A",
                                         "NA", "NULL", "NaN", "None", "n/a", "nan", "null"};

static bool equals(const cell *c, const char *s) { return strlen(s) == c->n && !memcmp(c->p, s, c->n); }

static bool number(reader *r, const cell *c, double *out);

static bool is_missing(reader *r, const cell *c) {
    if (r->o->keep_default_na) {
        if (c->n == 0) return true;
        if (c->n <= 8)
            for (size_t i = 1; i < sizeof default_na / sizeof *default_na; i++)
                if (equals(c, default_na[i])) return true;
    }
    for (int i = 0; i < r->o->n_na_values; i++) {
        const char *na = r->o->na_values[i];
        if (equals(c, na)) return true;
        cell k = {na, (uint32_t)strlen(na)}; /* a number means every way to write it */
        double a, b;
        if (k.n && number(r, &k, &a) && number(r, c, &b) && a == b) return true;
    }
    return false;
}

static cell trimmed(const cell *c) {
    cell t = *c;
    while (t.n && (t.p[0] == ' ' || t.p[0] == '\t')) t.p++, t.n--;
    while (t.n && (t.p[t.n - 1] == ' ' || t.p[t.n - 1] == '\t')) t.n--;
    return t;
}

static bool integer(const cell *cell_, int64_t *out) {
    cell c = trimmed(cell_);
    uint32_t i = 0;
    bool negative = c.n && c.p[0] == '-';
    if (c.n && (c.p[0] == '-' || c.p[0] == '+')) i++;
    if (i == c.n) return false;
    uint64_t v = 0;
    for (; i < c.n; i++) {
        unsigned d = (unsigned char)c.p[i] - '0';
        if (d > 9 || __builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, d, &v)) return false;
    }
    if (v > (uint64_t)INT64_MAX + negative) return false;
    *out = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

static bool same_word(const char *p, uint32_t n, const char *word) { /* word in lower case */
    for (uint32_t i = 0; i < n; i++)
        if (!word[i] || (p[i] | 32) != word[i]) return false;
    return !word[n];
}

static bool number(reader *r, const cell *cell_, double *out) {
    static const double ten[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    cell c = trimmed(cell_);
    const char *p = c.p, *end = c.p + c.n;
    bool negative = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+')) p++;
    if (p == end) return false;
    if ((*p | 32) == 'i') {
        uint32_t n = (uint32_t)(end - p);
        if (!same_word(p, n, "inf") && !same_word(p, n, "infinity")) return false;
        *out = negative ? -INFINITY : INFINITY;
        return true;
    }
    uint64_t m = 0;
    int digits = 0, power = 0, seen = 0;
    for (; p < end && *p >= '0' && *p <= '9'; p++, seen++) {
        if (digits < 19) m = m * 10 + (uint64_t)(*p - '0'), digits += m != 0;
        else power++, digits++;
    }
    if (p < end && *p == '.') {
        for (p++; p < end && *p >= '0' && *p <= '9'; p++, seen++) {
            if (digits < 19) m = m * 10 + (uint64_t)(*p - '0'), digits += m != 0, power--;
            else digits++;
        }
    }
    if (!seen) return false;
    if (p < end && (*p | 32) == 'e') {
        p++;
        bool down = p < end && *p == '-';
        if (p < end && (*p == '-' || *p == '+')) p++;
        if (p == end) return false;
        int e = 0;
        for (; p < end && *p >= '0' && *p <= '9'; p++) e = e < 100000 ? e * 10 + (*p - '0') : e;
        power += down ? -e : e;
    }
    if (p != end) return false;
    if (digits <= 19 && m <= (1ull << 53) && power >= -22 && power <= 22) { /* both exact: rounded once */
        double v = power < 0 ? (double)m / ten[-power] : (double)m * ten[power];
        *out = negative ? -v : v;
        return true;
    }
    char *text = r->number, *big = NULL;
    if (c.n >= sizeof r->number) {
        big = tide_alloc(r->cx, c.n + 1);
        if (!big) return false;
        text = big;
    }
    memcpy(text, c.p, c.n);
    text[c.n] = 0;
    if (!r->c_locale) r->c_locale = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    *out = r->c_locale ? strtod_l(text, NULL, r->c_locale) : strtod(text, NULL);
    tide_release(r->cx, big, big ? c.n + 1 : 0);
    return true;
}

static int boolean(const cell *c) { /* 0, 1, or -1: none */
    if (same_word(c->p, c->n, "true")) return 1;
    return same_word(c->p, c->n, "false") ? 0 : -1;
}

static tide_status column(reader *r, const cell *cells, int64_t rows, int k, tide_csv_column *col) {
    bool ints = true, floats = true, bools = true, missing = false, any = false;
    uint8_t *gone = take(r, (size_t)rows + 1);
    double *f = take(r, (size_t)(rows + 1) * sizeof *f);
    int64_t *i = take(r, (size_t)(rows + 1) * sizeof *i);
    if (!gone || !f || !i) return TIDE_EMEM;
    for (int64_t row = 0; row < rows; row++) {
        const cell *c = &cells[row * r->width + k];
        gone[row] = 0;
        if (ints && !r->o->n_na_values && integer(c, &i[row])) { f[row] = (double)i[row]; any = true; bools = false; continue; }
        gone[row] = is_missing(r, c);
        missing |= gone[row];
        if (gone[row]) { f[row] = NAN; i[row] = 0; continue; }
        any = true;
        if (ints) ints = integer(c, &i[row]);
        if (floats) floats = number(r, c, &f[row]);
        if (bools) bools = boolean(c) >= 0;
        if (!floats && !bools) ints = false;
    }
    col->missing = missing ? gone : NULL;
    if (rows == 0) floats = ints = bools = false;
    if (!any && rows > 0) ints = bools = false, floats = true;
    if (bools && any && !ints && !floats) {
        col->type = TIDE_BOOL;
        col->b = take(r, (size_t)rows + 1);
        if (!col->b) return TIDE_EMEM;
        for (int64_t row = 0; row < rows; row++) col->b[row] = !gone[row] && boolean(&cells[row * r->width + k]) == 1;
    } else if (ints && any && !missing) {
        col->type = TIDE_I64;
        col->i = i;
    } else if (floats) {
        col->type = TIDE_F64;
        col->f = f;
    } else {
        col->text = take(r, (size_t)(rows + 1) * sizeof *col->text);
        col->length = take(r, (size_t)(rows + 1) * sizeof *col->length);
        if (!col->text || !col->length) return TIDE_EMEM;
        for (int64_t row = 0; row < rows; row++) {
            const cell *c = &cells[row * r->width + k];
            gone[row] = is_missing(r, c);
            missing |= gone[row];
            col->text[row] = gone[row] ? NULL : c->p;
            col->length[row] = gone[row] ? 0 : c->n;
        }
        col->missing = missing ? gone : NULL;
    }
    return TIDE_OK;
}

/* ---- names ---- */

static tide_status names(reader *r, const cell *header) {
    tide_csv *csv = r->csv;
    for (int k = 0; k < csv->ncolumns; k++) {
        size_t n = header ? header[k].n : 0;
        char *name = take(r, n + 48);
        if (!name) return TIDE_EMEM;
        if (!header) snprintf(name, n + 48, "%d", k);
        else if (n == 0) snprintf(name, n + 48, "Unnamed: %d", k);
        else memcpy(name, header[k].p, n), name[n] = 0;
        csv->column[k].name = name;
    }
    for (int k = 1; k < csv->ncolumns && header; k++) { /* a, a.1, a.2, as pandas */
        char *name = (char *)csv->column[k].name;
        size_t n = strlen(name);
        for (int copy = 0, clash = 1; clash; copy++) {
            if (copy) snprintf(name + n, 48, ".%d", copy);
            clash = 0;
            for (int j = 0; j < csv->ncolumns && !clash; j++) clash = (j < k || (copy && j > k)) && !strcmp(csv->column[j].name, name);
        }
    }
    return TIDE_OK;
}

tide_status tide_csv_read(tide_context *cx, const char *path, const tide_csv_options *options, tide_csv **out) {
    *out = NULL;
    tide_csv *csv = tide_alloc0(cx, sizeof *csv + sizeof *csv->memory);
    if (!csv) return TIDE_EMEM;
    csv->memory = (struct tide_csv_memory *)(csv + 1);
    reader r = {.cx = cx, .path = path, .o = options, .csv = csv, .line = 1};
    size_t n = 0;
    tide_status e = read_file(&r, &n);
    if (!e) {
        r.end = r.text + n;
        if (n >= 3 && !memcmp(r.text, "\xEF\xBB\xBF", 3)) r.text += 3;
        if (!tide_utf8_valid(r.text, (size_t)(r.end - r.text))) e = tide_fail(cx, TIDE_EFORMAT, "%s: the text is not UTF-8", path);
    }
    if (!e) e = find_cells(&r);
    if (!e && r.width == 0) e = tide_fail(cx, TIDE_EFORMAT, "%s: empty: there are no columns", path);
    if (!e) {
        csv->ncolumns = (int)r.width;
        csv->rows = r.n / r.width - (options->header ? 1 : 0);
        csv->column = take(&r, (size_t)r.width * sizeof *csv->column);
        if (!csv->column) e = TIDE_EMEM;
        else memset(csv->column, 0, (size_t)r.width * sizeof *csv->column);
    }
    const cell *body = r.cells + (options->header ? r.width : 0);
    if (!e) e = names(&r, options->header ? r.cells : NULL);
    for (int k = 0; k < csv->ncolumns && !e; k++) e = column(&r, body, csv->rows, k, &csv->column[k]);
    tide_release(cx, r.cells, (size_t)r.capacity * sizeof *r.cells);
    if (r.c_locale) freelocale(r.c_locale);
    if (e) tide_csv_free(cx, csv);
    else *out = csv;
    return e;
}

void tide_csv_free(tide_context *cx, tide_csv *csv) {
    if (!csv) return;
    for (block *b = csv->memory->blocks, *next; b; b = next) {
        next = b->next;
        tide_release(cx, b, b->size);
    }
    tide_release(cx, csv, sizeof *csv + sizeof *csv->memory);
}
