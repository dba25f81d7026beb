/* Rows and cells: the text is looked at 64 bytes at a time for what may end a cell. */
#include "io/csv_reader.h"

int64_t tide_csv_line(const reader *r, const char *p) {
    int64_t line = 1;
    for (const char *s = r->text; s < p; s++)
        line += *s == '\n' || (*s == '\r' && !(s + 1 < r->end && s[1] == '\n'));
    return line;
}

tide_status tide_csv_fail_at(const reader *r, const char *p, const char *what) {
    return tide_fail(r->cx, TIDE_EFORMAT, "%s:%lld: %s", r->name, (long long)tide_csv_line(r, p), what);
}

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
void tide_csv_look_at(reader *r, const char *p) {
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
    while (!r->marks) tide_csv_look_at(r, r->window + 64);
    const char *p = r->window + __builtin_ctzll(r->marks);
    r->marks &= r->marks - 1;
    return (char *)p;
}

/* Moves r->at past empty lines and lines of spaces; false at the end of the text. */
bool tide_csv_next_row(reader *r) {
    char *p = r->at;
    for (;;) {
        while (p < r->end && (*p == ' ' || *p == '\t') && *p != r->sep) p++;
        if (p == r->end) return false;
        if (*p != '\n' && *p != '\r') break;
        r->at = ++p;
        tide_csv_look_at(r, p);
    }
    return true;
}

/* The quoted cell at p, whose mark is returned, or NULL (an error is pending). */
static char *quoted(reader *r, char *p, const char *base, span *cell) {
    char *quote = p + 1;
    bool escaped = false;
    for (;; quote += 2) {
        quote = memchr(quote, '"', (size_t)(r->end - quote));
        if (!quote) return tide_csv_fail_at(r, p, "a quote is not closed"), NULL;
        if (quote + 1 == r->end || quote[1] != '"') break;
        escaped = true;
    }
    tide_csv_look_at(r, quote + 1);
    char *mark = next_mark(r);
    if (escaped || mark != quote + 1) /* text after the quote belongs to the cell */
        *cell = (span){(uint32_t)(p - base), (uint32_t)(mark - p) | ESCAPED};
    else
        *cell = (span){(uint32_t)(p + 1 - base), (uint32_t)(quote - p - 1)};
    return mark;
}

/* Cuts the row at r->at: its first `room` cells, counted from `base`. Returns the number of all, or -1. */
int64_t tide_csv_cut_row(reader *r, const char *base, span *cells, int64_t room) {
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
        if (mark - base > REACH) return tide_csv_fail_at(r, r->at, "a row of more than 2 GiB"), -1;
        p = mark + 1;
        if (mark < r->end && *mark == r->sep) continue;
        if (mark < r->end && *mark == '\r' && p < r->end && *p == '\n') p = next_mark(r) + 1;
        r->at = mark < r->end ? p : r->end;
        return n + 1;
    }
}

/* Cell p of n bytes, written with its quotes, as it is meant. `to` may be p. */
uint32_t tide_csv_unescape(const char *p, uint32_t n, char *to) {
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
tide_status tide_csv_plain(reader *r, const char *base, span cell, const char **p, uint32_t *n) {
    *p = base + cell.at;
    *n = cell.length & ~ESCAPED;
    if (!(cell.length & ESCAPED)) return TIDE_OK;
    tide_status e = tide_grow(r->cx, (void **)&r->scratch, &r->scratch_room, *n, 1);
    if (e) return e;
    *n = tide_csv_unescape(*p, *n, r->scratch);
    *p = r->scratch;
    return TIDE_OK;
}
