/* The text is cut into cells a block of rows at a time, and each column takes its cells of the block while they
 * are in the cache. A column's type only ever widens: nothing, bool or int64, float64, text. One that was wrong
 * about earlier rows takes all of them in a second pass, when its type is known. Quotes inside text cells are
 * taken out at the very end, in place, so that the text can be read twice. */
#include "io/csv_reader.h"
#include "io/json.h"
#include "io/number.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A small file could else be a very large table: its short rows may lack so many cells a byte, and a few. */
enum { FILLED = 16, FEW_FILLED = 1 << 16 };
/* ---- passes over all rows ---- */

/* Of the text from `begin` to r->at, which has been looked at. */
static tide_status check_utf8(reader *r, const char *begin) {
    if (!r->high) return TIDE_OK;
    r->high = r->stretch_high; /* the stretch may reach further */
    for (const char *p = begin; p < r->at;) {
        uint64_t w;
        while (r->at - p >= 8 && (memcpy(&w, p, 8), !(w & 0x8080808080808080u))) p += 8;
        const char *line = memchr(p, '\n', (size_t)(r->at - p));
        line = line ? line + 1 : r->at;
        if (!tide_utf8_valid(p, (size_t)(line - p))) return tide_csv_fail_at(r, p, "invalid UTF-8");
        p = line;
    }
    return TIDE_OK;
}

/* Cuts up to a block of rows after the first `row`; returns their number, 0 at the end, -1 on an error. */
static int64_t cut_block(reader *r, int64_t row, char **base) {
    int64_t ncolumns = r->csv->ncolumns, most = (int64_t)r->ncells / ncolumns, rows = 0;
    if (most > r->most_rows - row) most = r->most_rows - row;
    if (most == 0 || !tide_csv_next_row(r)) return 0;
    *base = r->at;
    while (rows < most && r->at - *base < BLOCK_BYTES && (rows == 0 || tide_csv_next_row(r))) {
        char *begin = r->at;
        span *cells = r->cells + rows * ncolumns;
        int64_t n = tide_csv_cut_row(r, *base, cells, ncolumns);
        if (n < 0) return -1;
        if (n > ncolumns) {
            tide_fail(r->cx, TIDE_EFORMAT, "%s:%lld: a row of %lld cells in a table of %lld columns", r->name,
                      (long long)tide_csv_line(r, begin), (long long)n, (long long)ncolumns);
            return -1;
        }
        r->filled += ncolumns - n;
        if (r->filled / FILLED > r->end - r->text + FEW_FILLED / FILLED) {
            tide_csv_fail_at(r, begin,
                             "rows are far shorter than the first one: most of the table would be missing");
            return -1;
        }
        while (n < ncolumns) cells[n++] = (span){0, 0}; /* a short row ends in empty cells */
        rows++;
    }
    return r->checked ? rows : check_utf8(r, *base) ? -1 : rows;
}

/* Rows that all of the text will have if it goes on like this, but no more than it can have. */
static int64_t expect(const reader *r, const char *begin, int64_t rows) {
    double all = (double)rows * (double)(r->end - begin) / (double)(r->at - begin);
    int64_t most = (FEW_FILLED + (FILLED + 1) * (r->end - r->text)) / r->csv->ncolumns + 1;
    if (most > r->most_rows) most = r->most_rows;
    return (int64_t)(all * 1.02) + 16 < most ? (int64_t)(all * 1.02) + 16 : most;
}

static tide_status take_directly(reader *r, int64_t j) {
    tide_csv_column *c = &r->csv->column[j];
    c->length = tide_alloc(r->cx, (size_t)c->capacity * sizeof *c->length);
    r->column[j].direct = c->length != NULL;
    return c->length ? TIDE_OK : TIDE_EMEM;
}

static tide_status first_pass(reader *r) {
    char *begin = r->at, *base = NULL;
    tide_csv *csv = r->csv;
    int64_t n = 0, room = 0;
    tide_status e = TIDE_OK;
    while (!e && (n = cut_block(r, csv->rows, &base)) > 0) {
        if (csv->rows + n > room) {
            int64_t want = expect(r, begin, csv->rows + n), least = csv->rows + n + room / 4;
            room = want > least ? want : least;
        }
        for (int64_t j = 0; j < csv->ncolumns && !e; j++) {
            if (r->column[j].skip) continue;
            e = tide_csv_reserve(r, &csv->column[j], room);
            if (!e && !r->column[j].direct) e = tide_csv_take(r, j, base, csv->rows, n);
            if (!e && csv->rows == 0 && r->column[j].kind == TEXT) e = take_directly(r, j);
            if (!e && r->column[j].direct) e = tide_csv_take_text(r, j, base, csv->rows, n);
        }
        csv->rows += n;
    }
    return e ? e : n < 0 ? TIDE_EFORMAT : TIDE_OK;
}

static tide_status second_pass(reader *r) {
    char *base = NULL;
    int64_t n = 0, row = 0;
    tide_status e = TIDE_OK;
    r->most_rows = r->csv->rows;
    for (; !e && (n = cut_block(r, row, &base)) > 0; row += n)
        for (int64_t j = 0; j < r->csv->ncolumns && !e; j++) {
            if (r->column[j].skip) continue;
            if (r->column[j].kind == TEXT)
                e = tide_csv_take_text(r, j, base, row, n);
            else if (r->column[j].again)
                e = tide_csv_take(r, j, base, row, n);
        }
    return e ? e : n < 0 ? TIDE_EFORMAT : TIDE_OK;
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
    int64_t n = tide_csv_cut_row(r, begin, NULL, 0), most;
    if (n < 0) return TIDE_EFORMAT;
    tide_csv *csv = r->csv;
    csv->column = tide_alloc0(r->cx, (size_t)n * sizeof *csv->column);
    if (!csv->column) return TIDE_EMEM;
    csv->ncolumns = csv->all = n;
    most = BLOCK_CELLS / n < BLOCK_ROWS ? BLOCK_CELLS / n : BLOCK_ROWS;
    r->ncells = (size_t)(n * (most ? most : 1));
    r->column = tide_alloc0(r->cx, (size_t)n * sizeof *r->column);
    r->cells = r->column ? tide_alloc(r->cx, r->ncells * sizeof *r->cells) : NULL;
    if (!r->cells) return TIDE_EMEM;

    r->at = begin;
    tide_csv_look_from(r, begin);
    if (header) tide_csv_cut_row(r, begin, r->cells, n);
    tide_status e = TIDE_OK;
    for (int64_t j = 0; j < n && !e; j++) {
        const char *p = NULL;
        uint32_t length = 0;
        char made[32];
        if (header) e = tide_csv_plain(r, begin, r->cells[j], &p, &length);
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
    r->na_first[(unsigned char)*text] = true;
    r->na_lengths |= (uint64_t)1 << (n < 63 ? n : 63);
}

enum { SPELLING = 32 };

/* The shortest text that is read as d again, as Python writes it. */
static void spell(double d, char *text) {
    double back = 0;
    for (int digits = 1; digits <= 17 && back != d; digits++) {
        int n = snprintf(text, SPELLING, "%.*g", digits, d);
        char *comma = memchr(text, ',', (size_t)n); /* the locale's */
        if (comma) *comma = '.';
        tide_parse_double(text, text + n, &back);
    }
}

/* As pandas has it, a number among the host's texts means a few spellings of it too, "-999" also "-999.0" and
 * "1.50" also "1.5"; and in a column of floats every cell of that value. */
static tide_status make_na(reader *r, const tide_csv_options *o) {
    static const char *const defaults[] = {"",     "#N/A",   "#N/A N/A", "#NA",  "-1.#IND", "-1.#QNAN", "-NaN",
                                           "-nan", "1.#IND", "1.#QNAN",  "<NA>", "N/A",     "NA",       "NULL",
                                           "NaN",  "None",   "n/a",      "nan",  "null"};
    enum { NDEFAULTS = sizeof defaults / sizeof *defaults };
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
        if (!tide_csv_float(s, (uint32_t)strlen(s), &d)) continue;
        r->na_number[r->nna_number++] = d;
        if (!(fabs(d) < 1e18)) continue;
        const int spellings = d == (double)(int64_t)d ? 2 : 1;
        for (int k = 0; k < spellings; k++, text += SPELLING) {
            if (spellings == 2)
                snprintf(text, SPELLING, k ? "%lld.0" : "%lld", (long long)d);
            else
                spell(d, text);
            add_na(r, text);
        }
    }
    return TIDE_OK;
}

/* ---- which columns, and their types ---- */

static int64_t column_named(const reader *r, const char *name) {
    for (int64_t j = 0; j < r->csv->ncolumns; j++)
        if (!strcmp(r->csv->column[j].name, name)) return j;
    tide_fail(r->cx, TIDE_EARG, "%s: there is no column '%s'", r->name, name);
    return -1;
}

static tide_status choose(reader *r, const tide_csv_options *o) {
    for (int64_t j = 0; j < r->csv->ncolumns; j++) r->column[j].skip = o->n_columns > 0;
    for (int i = 0; i < o->n_columns; i++) {
        int64_t j = column_named(r, o->columns[i]);
        if (j < 0) return TIDE_EARG;
        r->column[j].skip = false;
    }
    for (int i = 0; i < o->n_types; i++) {
        int64_t j = column_named(r, o->typed[i]);
        if (j < 0) return TIDE_EARG;
        uint8_t t = o->types[i];
        r->column[j].wants = t == TIDE_I64 ? INT : t == TIDE_F64 ? FLOAT : t == TIDE_BOOL ? BOOL : TEXT;
    }
    return TIDE_OK;
}

/* ---- all of it, or some rows after the others ---- */

struct tide_csv_stream {
    reader r; /* r.csv is the head between two tables */
    char *name;
    size_t nname;
    tide_csv *head; /* the columns' names, no rows */
    tide_map map;   /* or, where a file cannot be mapped: */
    char *owned;
    int64_t nowned;
};

tide_csv_options tide_csv_defaults(void) {
    return (tide_csv_options){.sep = ",", .header = true, .keep_default_na = true};
}

static tide_status begin(reader *r, const tide_csv_options *o) {
    tide_status e = make_na(r, o);
    if (e) return e;
    r->at = r->text;
    if (r->end - r->at >= 3 && !memcmp(r->at, "\xEF\xBB\xBF", 3)) r->at += 3;
    tide_csv_look_from(r, r->at);
    if (!tide_csv_next_row(r)) return tide_csv_fail_at(r, r->at, "no columns: the file is empty");
    char *first = r->at;
    e = make_columns(r, o->header);
    if (!e && o->header) e = check_utf8(r, first);
    return e ? e : choose(r, o);
}

static tide_status open_text(tide_context *cx, const char *name, char *text, size_t n,
                             const tide_csv_options *o, tide_csv_stream *s) {
    tide_csv_options defaults = tide_csv_defaults();
    if (!o) o = &defaults;
    if (!o->sep || strlen(o->sep) != 1 || strchr("\"\r\n", *o->sep))
        return tide_fail(cx, TIDE_EARG, "the separator of a CSV file is one byte, no quote and no line end");
    s->r = (reader){.cx = cx, .name = name, .text = text, .end = text + n, .sep = *o->sep};
    s->r.skip_space = o->skip_initial_space;
    s->r.csv = s->head = tide_alloc0(cx, sizeof *s->head);
    return s->head ? begin(&s->r, o) : TIDE_EMEM;
}

/* What a stream keeps of the text's reading; not the text. */
static void close_text(tide_csv_stream *s) {
    reader *r = &s->r;
    if (!s->head) return;
    tide_release(r->cx, r->na, (size_t)r->na_room * sizeof *r->na);
    tide_release(r->cx, r->na_number, r->na_bytes);
    tide_release(r->cx, r->scratch, (size_t)r->scratch_room);
    tide_release(r->cx, r->column, (size_t)s->head->ncolumns * sizeof *r->column);
    tide_release(r->cx, r->cells, r->ncells * sizeof *r->cells);
    tide_csv_free(r->cx, s->head);
}

/* The rows from r->at on, into r->csv, which has its names. */
static tide_status parse(reader *r) {
    char *begin = r->at;
    bool again = false;
    for (int64_t j = 0; j < r->csv->ncolumns; j++) {
        progress *g = &r->column[j];
        g->kind = g->wants;
        g->again = g->wants == TEXT;
        g->direct = false;
        g->negative_zero = false;
    }
    r->filled = 0;
    r->checked = false;
    tide_status e = first_pass(r);
    if (!e) e = tide_csv_settle(r, &again);
    if (!e && again) {
        r->at = begin;
        r->filled = 0;
        r->checked = true;
        tide_csv_look_from(r, begin);
        e = second_pass(r);
    }
    if (e) return e;
    int64_t kept = 0;
    for (int64_t j = 0; j < r->csv->all; j++) {
        tide_csv_column c = r->csv->column[j];
        if (r->column[j].skip) {
            tide_release(r->cx, (char *)c.name, (size_t)c.name_length + 1);
            continue;
        }
        if (c.type == 0) tide_csv_unescape_text(&c, r->csv->rows);
        void *p = tide_csv_values(&c);
        c.i = c.type == TIDE_I64 ? p : NULL;
        c.f = c.type == TIDE_F64 ? p : NULL;
        c.b = c.type == TIDE_BOOL ? p : NULL;
        c.text = c.type == 0 ? p : NULL;
        r->csv->column[kept++] = c;
    }
    r->csv->ncolumns = kept;
    return TIDE_OK;
}

/* A table of at most `rows` rows. */
static tide_status next_table(tide_csv_stream *s, int64_t rows, tide_csv **out) {
    reader *r = &s->r;
    tide_csv *csv = tide_alloc0(r->cx, sizeof *csv);
    if (!csv) return TIDE_EMEM;
    csv->ncolumns = csv->all = s->head->ncolumns;
    csv->column = tide_alloc0(r->cx, (size_t)csv->all * sizeof *csv->column);
    tide_status e = csv->column ? TIDE_OK : TIDE_EMEM;
    if (e) csv->ncolumns = csv->all = 0;
    r->csv = csv;
    r->most_rows = rows;
    for (int64_t j = 0; j < csv->ncolumns && !e; j++)
        e = set_name(r, &csv->column[j], s->head->column[j].name, s->head->column[j].name_length);
    if (!e) e = parse(r);
    r->csv = s->head;
    if (e)
        tide_csv_free(r->cx, csv);
    else
        *out = csv;
    return e;
}

tide_status tide_csv_parse(tide_context *cx, const char *name, char *text, size_t n,
                           const tide_csv_options *options, tide_csv **out) {
    tide_csv_stream s = {0};
    *out = NULL;
    tide_status e = open_text(cx, name, text, n, options, &s);
    if (!e) e = next_table(&s, options && options->limit ? options->limit : INT64_MAX, out);
    close_text(&s);
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

/* The text at `path`: mapped if it is a file, read if it is a pipe. */
static tide_status get_text(tide_context *cx, const char *path, tide_csv_stream *s, char **text, size_t *n) {
    struct stat st;
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
        tide_status e = tide_map_open(cx, path, &s->map);
        *text = s->map.data ? s->map.data : (char *)"";
        *n = s->map.size;
        return e;
    }
    tide_status e = load(cx, path, &s->owned, &s->nowned, n);
    *text = s->owned;
    return e;
}

void tide_csv_close(tide_csv_stream *s) {
    if (!s) return;
    tide_context *cx = s->r.cx;
    close_text(s);
    tide_map_close(cx, &s->map);
    tide_release(cx, s->owned, (size_t)s->nowned);
    tide_release(cx, s->name, s->nname);
    tide_release(cx, s, sizeof *s);
}

tide_status tide_csv_open(tide_context *cx, const char *path, const tide_csv_options *options,
                          tide_csv_stream **out) {
    char *text = NULL;
    size_t n = 0;
    *out = NULL;
    tide_csv_stream *s = tide_alloc0(cx, sizeof *s);
    if (!s) return TIDE_EMEM;
    s->r.cx = cx;
    s->nname = strlen(path) + 1;
    s->name = tide_alloc(cx, s->nname);
    tide_status e = s->name ? TIDE_OK : TIDE_EMEM;
    if (!e) {
        memcpy(s->name, path, s->nname);
        e = get_text(cx, path, s, &text, &n);
    }
    if (!e) e = open_text(cx, s->name, text, n, options, s);
    if (e)
        tide_csv_close(s);
    else
        *out = s;
    return e;
}

tide_status tide_csv_next(tide_csv_stream *s, int64_t rows, tide_csv **out) {
    *out = NULL;
    if (s->map.mapped) { /* what was read before is not needed again, nor the cells rewritten there */
        size_t page = (size_t)sysconf(_SC_PAGESIZE), done = (size_t)(s->r.at - s->r.text) / page * page;
        if (done) madvise(s->map.data, done, MADV_DONTNEED);
    }
    tide_status e = next_table(s, rows, out);
    if (e || (*out)->rows) return e;
    tide_csv_free(s->r.cx, *out);
    *out = NULL;
    return TIDE_OK;
}

tide_status tide_csv_read(tide_context *cx, const char *path, const tide_csv_options *options, tide_csv **out) {
    tide_csv_stream *s;
    *out = NULL;
    tide_status e = tide_csv_open(cx, path, options, &s);
    if (!e) e = next_table(s, options && options->limit ? options->limit : INT64_MAX, out);
    if (!e) { /* the text goes with the table */
        (*out)->map = s->map;
        (*out)->owned = s->owned;
        (*out)->nowned = (size_t)s->nowned;
        s->map = (tide_map){0};
        s->owned = NULL;
        s->nowned = 0;
    }
    tide_csv_close(s);
    return e;
}

void tide_csv_free(tide_context *cx, tide_csv *csv) {
    if (!csv) return;
    for (int64_t j = 0; j < csv->ncolumns; j++) {
        tide_csv_column *c = &csv->column[j];
        size_t rows = (size_t)c->capacity;
        if (c->name) tide_release(cx, (char *)c->name, (size_t)c->name_length + 1);
        tide_release(cx, tide_csv_values(c), rows * sizeof(int64_t));
        tide_release(cx, c->length, rows * sizeof *c->length);
        tide_release(cx, c->missing, rows);
    }
    tide_release(cx, csv->column, (size_t)csv->all * sizeof *csv->column);
    tide_map_close(cx, &csv->map);
    tide_release(cx, csv->owned, csv->nowned);
    tide_release(cx, csv, sizeof *csv);
}
