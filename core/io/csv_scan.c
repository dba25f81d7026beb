/* Rows and cells: first the places of all bytes that may end a cell are listed, 64 bytes at once, then they are
 * cut. */
#include "io/bytes16.h"
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

/* ---- marks: the bytes that may end a cell, a stretch of text at a time ---- */

/* One bit for each of the 64 bytes at p that is a mark; *high gathers the bytes' first bits. */
static inline uint64_t marks_of(const char *p, char sep, bytes16 *high) {
    uint64_t marks = 0;
    for (int i = 0; i < 4; i++) {
        bytes16 b = bytes16_load(p + 16 * i);
        *high |= b;
        bytes16 ends = (bytes16)((b == (uint8_t)sep) | (b == '\n') | (b == '\r'));
        marks |= (uint64_t)bytes16_mask(ends) << 16 * i;
    }
    return marks;
}

static inline unsigned count_bits(uint64_t x) { /* the compiler would call a function */
    x -= x >> 1 & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
    return (unsigned)(((x + (x >> 4)) & 0x0F0F0F0F0F0F0F0Fu) * 0x0101010101010101u >> 56);
}

/* Writes the places of the bits, counted from `at`; MARKS_AT_ONCE in any case, for how many there are is hard
 * to guess for a processor. */
static inline uint16_t *put_marks(uint64_t bits, size_t at, uint16_t *to) {
    const uint64_t some = (uint64_t)1 << 63; /* there is no first one of no bits */
    uint16_t *end = to + count_bits(bits);
    do {
#pragma GCC unroll 16
        for (int i = 0; i < MARKS_AT_ONCE; i++) {
            *to++ = (uint16_t)(at + (size_t)__builtin_ctzll(bits | some));
            bits &= bits - 1;
        }
    } while (to < end);
    return end;
}

/* Looks at the next stretch, whose marks take the places of the last one's. The end of the text is a mark. */
static __attribute__((noinline)) void look_further(reader *r) {
    bytes16 high = {0};
    size_t left = (size_t)(r->end - r->seen), at = 0, whole = left < STRETCH ? left / 64 * 64 : STRETCH;
    uint16_t *to = r->marks;
    r->stretch = r->seen;
    for (; at < whole; at += 64) to = put_marks(marks_of(r->seen + at, r->sep, &high), at, to);
    r->seen += whole;
    if (whole < STRETCH) {
        char rest[64] = {0};
        memcpy(rest, r->seen, left -= whole);
        to = put_marks(marks_of(rest, r->sep, &high) | (uint64_t)1 << left, at, to);
        r->seen = r->end;
    }
    r->next = r->marks;
    r->last = to;
    r->stretch_high = bytes16_mask((bytes16)(high > 127)) != 0;
    r->high |= r->stretch_high;
}

void tide_csv_look_from(reader *r, const char *p) {
    r->seen = p;
    r->next = r->last = r->marks;
}

/* Marks before p are none: it is not before those passed. */
static void pass_marks(reader *r, const char *p) {
    if (p > r->seen) {
        tide_csv_look_from(r, p);
        r->high = true; /* for all that is known of the text between */
    }
    while (r->next < r->last && r->stretch + *r->next < p) r->next++;
}

static inline char *next_mark(reader *r) {
    while (__builtin_expect(r->next == r->last, 0)) look_further(r);
    return (char *)r->stretch + *r->next++;
}

/* ---- rows and cells ---- */

/* Moves r->at past empty lines and lines of spaces; false at the end of the text. */
bool tide_csv_next_row(reader *r) {
    char *p = r->at;
    for (;;) {
        while (p < r->end && (*p == ' ' || *p == '\t') && *p != r->sep) p++;
        if (p == r->end) return false;
        if (*p != '\n' && *p != '\r') break;
        r->at = ++p;
        pass_marks(r, p);
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
    pass_marks(r, quote + 1);
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
        if (r->skip_space && p < r->end && *p == ' ') {
            do p++;
            while (p < r->end && *p == ' ');
            pass_marks(r, p); /* the separator may be a space itself */
        }
        char *mark;
        if (p < r->end && *p == '"') {
            mark = quoted(r, p, base, cell);
            if (!mark) return -1;
        } else {
            mark = next_mark(r);
            *cell = (span){(uint32_t)(p - base), (uint32_t)(mark - p)};
        }
        p = mark + 1;
        if (mark < r->end && *mark == r->sep) continue;
        if (mark - base > REACH) return tide_csv_fail_at(r, r->at, "a row of more than 2 GiB"), -1;
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
