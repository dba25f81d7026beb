/* Only the directory at the end is believed, and each local header must agree with it. */
#include "io/zip.h"
#include <stdlib.h>

enum { LOCAL = 0x04034b50, CENTRAL = 0x02014b50, END = 0x06054b50, END64 = 0x06064b50, LOCATOR64 = 0x07064b50 };
enum { LOCAL_SIZE = 30, CENTRAL_SIZE = 46, END_SIZE = 22, END64_SIZE = 56, LOCATOR64_SIZE = 20 };

static uint64_t get(const char *p, int bytes) {
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++) v |= (uint64_t)(unsigned char)p[i] << (8 * i);
    return v;
}

/* ---- reading ---- */

static tide_status malformed(const tide_zip *z, const char *what) {
    return tide_fail(z->cx, TIDE_EFORMAT, "%s: no zip archive: %s", z->path, what);
}

/* Where the directory lies: its offset, bytes and entries. */
static tide_status find_directory(const tide_zip *z, uint64_t *at, uint64_t *size, uint64_t *n) {
    const char *file = z->map.data;
    uint64_t total = z->map.size, end, limit;
    if (total < END_SIZE) return malformed(z, "too short");
    for (end = total - END_SIZE, limit = end > 65535 ? end - 65535 : 0;; end--) {
        if (get(file + end, 4) == END && end + END_SIZE + get(file + end + 20, 2) == total) break;
        if (end == limit) return malformed(z, "it has no end record");
    }
    if (get(file + end + 4, 2) || get(file + end + 6, 2)) {
        if (get(file + end + 4, 2) != 0xFFFF) return malformed(z, "it is spread over several disks");
    }
    *n = get(file + end + 10, 2);
    *size = get(file + end + 12, 4);
    *at = get(file + end + 16, 4);
    uint64_t before = end;
    if ((*n == 0xFFFF || *size == 0xFFFFFFFF || *at == 0xFFFFFFFF) && end >= LOCATOR64_SIZE &&
        get(file + end - LOCATOR64_SIZE, 4) == LOCATOR64) {
        uint64_t end64 = get(file + end - LOCATOR64_SIZE + 8, 8);
        if (end64 > end - LOCATOR64_SIZE || end - LOCATOR64_SIZE - end64 < END64_SIZE ||
            get(file + end64, 4) != END64)
            return malformed(z, "its Zip64 record is not where it should be");
        *n = get(file + end64 + 32, 8);
        *size = get(file + end64 + 40, 8);
        *at = get(file + end64 + 48, 8);
        before = end64;
    }
    if (*at > before || *size > before - *at || *n > *size / CENTRAL_SIZE)
        return malformed(z, "its directory does not fit the file");
    return TIDE_OK;
}

/* Sizes and offset that did not fit 32 bits stand in an extra field, in this order. */
static bool zip64(const char *extra, uint64_t n, uint64_t *size, uint64_t *packed, uint64_t *offset) {
    uint64_t *const value[3] = {size, packed, offset};
    for (uint64_t i = 0; n - i >= 4;) {
        uint64_t length = get(extra + i + 2, 2);
        if (length > n - i - 4) return false;
        if (get(extra + i, 2) == 1) {
            uint64_t at = 0;
            for (int k = 0; k < 3; k++) {
                if (*value[k] != 0xFFFFFFFF) continue;
                if (length - at < 8) return false;
                *value[k] = get(extra + i + 4 + at, 8);
                at += 8;
            }
            return true;
        }
        i += 4 + length;
    }
    return *size != 0xFFFFFFFF && *packed != 0xFFFFFFFF && *offset != 0xFFFFFFFF;
}

/* One row of the directory at *p, and the entry it means. */
static tide_status read_row(tide_zip *z, const char **p, const char *end, tide_zip_entry *e) {
    const char *row = *p, *file = z->map.data;
    if (end - row < CENTRAL_SIZE || get(row, 4) != CENTRAL)
        return malformed(z, "a row of its directory is none");
    uint64_t flags = get(row + 8, 2), method = get(row + 10, 2), name = get(row + 28, 2),
             extra = get(row + 30, 2), offset = get(row + 42, 4), total = z->map.size;
    e->crc = (uint32_t)get(row + 16, 4);
    e->packed = get(row + 20, 4);
    e->size = get(row + 24, 4);
    e->name = row + CENTRAL_SIZE;
    e->name_length = name;
    if ((uint64_t)(end - row) < CENTRAL_SIZE + name + extra + get(row + 32, 2))
        return malformed(z, "its directory is cut off");
    if (!zip64(e->name + name, extra, &e->size, &e->packed, &offset))
        return malformed(z, "a Zip64 field is missing");
    *p = row + CENTRAL_SIZE + name + extra + get(row + 32, 2);
    if (flags & 1) return tide_fail(z->cx, TIDE_EUNSUP, "%s: encrypted", z->path);
    if (method != 0 && method != 8)
        return tide_fail(z->cx, TIDE_EUNSUP, "%s: packed by method %d; known are 0 (stored) and 8 (deflate)",
                         z->path, (int)method);
    e->deflated = method == 8;
    if (offset > total || total - offset < LOCAL_SIZE || get(file + offset, 4) != LOCAL)
        return malformed(z, "an entry is not where its directory says");
    uint64_t skip = LOCAL_SIZE + get(file + offset + 26, 2) + get(file + offset + 28, 2);
    if (skip > total - offset || e->packed > total - offset - skip)
        return malformed(z, "an entry is longer than the file");
    if (get(file + offset + 26, 2) != name || memcmp(file + offset + LOCAL_SIZE, e->name, name))
        return malformed(z, "an entry has another name than in the directory");
    e->data = file + offset + skip;
    /* deflate packs 1032 bytes into one at best */
    if (e->deflated ? e->size / 1032 > e->packed : e->size != e->packed)
        return malformed(z, "an entry's size is not possible");
    return TIDE_OK;
}

static int by_place(const void *a, const void *b) {
    const tide_zip_entry *x = a, *y = b;
    return x->data != y->data ? (x->data < y->data ? -1 : 1)
                              : (x->packed > y->packed) - (x->packed < y->packed);
}

static int by_name(const void *a, const void *b) {
    const tide_zip_entry *x = a, *y = b;
    size_t n = x->name_length < y->name_length ? x->name_length : y->name_length;
    int order = memcmp(x->name, y->name, n);
    return order ? order : (x->name_length > y->name_length) - (x->name_length < y->name_length);
}

tide_status tide_zip_open(tide_context *cx, const char *path, tide_zip *z) {
    uint64_t at = 0, size = 0, n = 0;
    memset(z, 0, sizeof *z);
    z->cx = cx;
    z->path = path;
    tide_status e = tide_map_open(cx, path, &z->map);
    if (!e) e = find_directory(z, &at, &size, &n);
    if (!e && n) e = tide_grow(cx, (void **)&z->entry, &z->capacity, (int64_t)n, sizeof *z->entry);
    const char *p = e ? NULL : z->map.data + at, *end = e ? NULL : p + size;
    for (; !e && (uint64_t)z->n < n; z->n++) e = read_row(z, &p, end, &z->entry[z->n]);
    if (!e && n) qsort(z->entry, (size_t)n, sizeof *z->entry, by_place);
    for (int64_t i = 1; !e && i < z->n; i++)
        if (z->entry[i - 1].packed > (uint64_t)(z->entry[i].data - z->entry[i - 1].data))
            e = malformed(z, "two entries overlap");
    if (!e && n) qsort(z->entry, (size_t)n, sizeof *z->entry, by_name);
    for (int64_t i = 1; !e && i < z->n; i++)
        if (!by_name(&z->entry[i - 1], &z->entry[i])) e = malformed(z, "two entries have one name");
    if (e) tide_zip_close(z);
    return e;
}

void tide_zip_close(tide_zip *z) {
    if (z->entry) tide_release(z->cx, z->entry, (size_t)z->capacity * sizeof *z->entry);
    z->entry = NULL;
    z->n = z->capacity = 0;
    tide_map_close(z->cx, &z->map);
}

const tide_zip_entry *tide_zip_find(const tide_zip *z, const char *name, size_t n) {
    tide_zip_entry key = {.name = name, .name_length = n};
    return z->n ? bsearch(&key, z->entry, (size_t)z->n, sizeof key, by_name) : NULL;
}

tide_status tide_zip_read(tide_zip *z, const tide_zip_entry *entry, tide_zip_bytes *b) {
    *b = (tide_zip_bytes){.data = entry->data, .size = (size_t)entry->size};
    tide_status e = TIDE_OK;
    if (entry->deflated) {
        b->own = tide_alloc(z->cx, b->size);
        if (!b->own) return TIDE_EMEM;
        b->data = b->own;
        e = tide_inflate(z, entry, b->own, entry->size);
    }
    if (!e && tide_crc32(0, b->data, b->size) != entry->crc)
        e = tide_fail(z->cx, TIDE_EFORMAT, "%s: the sum of '%.*s' is wrong: it is damaged", z->path,
                      (int)entry->name_length, entry->name);
    if (e) tide_zip_free(z, b);
    return e;
}

void tide_zip_free(tide_zip *z, tide_zip_bytes *b) {
    if (b->own) tide_release(z->cx, b->own, b->size);
    b->own = NULL;
}

/* ---- writing ---- */

/* Numbers laid out little-endian: pairs of value and bytes, ended by 0 bytes. */
typedef struct {
    uint64_t value;
    int bytes;
} field;

static size_t lay(char *out, const field *f) {
    size_t n = 0;
    for (; f->bytes; f++)
        for (int i = 0; i < f->bytes; i++) out[n++] = (char)(f->value >> (8 * i));
    return n;
}

tide_status tide_zip_create(tide_context *cx, tide_zip_writer *z, const char *path, bool deflate) {
    memset(z, 0, sizeof *z);
    z->deflate = deflate;
    return tide_writer_open(cx, &z->w, path);
}

enum {
    NOW = 0x21 << 16,
    VERSION = 45,
    UTF8 = 1 << 11,
    BIG = 0xFFFFFFFF
}; /* 1 January 1980: the same bytes every time */

tide_status tide_zip_put(tide_zip_writer *z, const char *name, const void *head, size_t nhead, const void *data,
                         size_t ndata) {
    tide_context *cx = z->w.cx;
    char *packed = NULL, record[CENTRAL_SIZE + 28];
    size_t n = nhead + ndata, size = n, room = 0, length = strlen(name);
    if (z->w.error) return z->w.error;
    if (length > 65535)
        return z->w.error = tide_fail(cx, TIDE_EARG, "%s: a name of %zu bytes", z->w.path, length);
    if (z->deflate) z->w.error = tide_deflate(cx, head, nhead, data, ndata, &packed, &n, &room);
    uint32_t crc = tide_crc32(tide_crc32(0, head, nhead), data, ndata);
    uint64_t offset = z->w.size;
    int method = z->deflate ? 8 : 0;
    /* sizes always stand in the Zip64 field: archives then look alike, small or large */
    size_t k = lay(record, (field[]){{LOCAL, 4},
                                     {VERSION, 2},
                                     {UTF8, 2},
                                     {method, 2},
                                     {NOW, 4},
                                     {crc, 4},
                                     {BIG, 4},
                                     {BIG, 4},
                                     {length, 2},
                                     {20, 2},
                                     {0, 0}});
    tide_writer_put(&z->w, record, k);
    tide_writer_put(&z->w, name, length);
    k = lay(record, (field[]){{1, 2}, {16, 2}, {size, 8}, {n, 8}, {0, 0}});
    tide_writer_put(&z->w, record, k);
    tide_writer_put(&z->w, packed ? packed : head, packed ? n : nhead);
    if (!packed) tide_writer_put(&z->w, data, ndata);
    if (packed) tide_release(cx, packed, room);
    if (z->w.error) return z->w.error;
    k = lay(record, (field[]){{CENTRAL, 4},
                              {VERSION, 2},
                              {VERSION, 2},
                              {UTF8, 2},
                              {method, 2},
                              {NOW, 4},
                              {crc, 4},
                              {BIG, 4},
                              {BIG, 4},
                              {length, 2},
                              {28, 2},
                              {0, 2},
                              {0, 2},
                              {0, 2},
                              {0, 4},
                              {BIG, 4},
                              {0, 0}});
    int64_t want = z->ndirectory + (int64_t)(k + length + 28);
    z->w.error = tide_grow(cx, (void **)&z->directory, &z->capacity, want, 1);
    if (z->w.error) return z->w.error;
    memcpy(z->directory + z->ndirectory, record, k);
    memcpy(z->directory + z->ndirectory + k, name, length);
    lay(z->directory + z->ndirectory + k + length,
        (field[]){{1, 2}, {24, 2}, {size, 8}, {n, 8}, {offset, 8}, {0, 0}});
    z->ndirectory = want;
    z->n++;
    return TIDE_OK;
}

tide_status tide_zip_finish(tide_zip_writer *z) {
    char record[END64_SIZE + LOCATOR64_SIZE + END_SIZE];
    uint64_t at = z->w.size, n = (uint64_t)z->ndirectory;
    if (n) tide_writer_put(&z->w, z->directory, n);
    size_t k = lay(record, (field[]){{END64, 4},     {END64_SIZE - 12, 8},
                                     {VERSION, 2},   {VERSION, 2},
                                     {0, 4},         {0, 4},
                                     {z->n, 8},      {z->n, 8},
                                     {n, 8},         {at, 8},
                                     {LOCATOR64, 4}, {0, 4},
                                     {at + n, 8},    {1, 4},
                                     {END, 4},       {0, 2},
                                     {0, 2},         {0xFFFF, 2},
                                     {0xFFFF, 2},    {BIG, 4},
                                     {BIG, 4},       {0, 2},
                                     {0, 0}});
    tide_writer_put(&z->w, record, k);
    if (z->directory) tide_release(z->w.cx, z->directory, (size_t)z->capacity);
    z->directory = NULL;
    return tide_writer_close(&z->w);
}
