/* Reading maps the file and believes nothing in it: the header must name every byte of the data once, and every
 * size is checked without wrapping before it is used. */
#include "io/safetensors.h"
#include <stdio.h>
#include <stdlib.h>

enum { MAXHEADER = 100000000 };

typedef struct {
    const char *name;
    uint8_t dtype; /* 0: Tide has none */
    uint16_t bits;
} dtype_row;

static const dtype_row dtypes[] = {
    {"F32", TIDE_F32, 32},  {"F64", TIDE_F64, 64}, {"F16", TIDE_F16, 16}, {"BF16", TIDE_BF16, 16},
    {"I64", TIDE_I64, 64},  {"I32", TIDE_I32, 32}, {"I8", TIDE_I8, 8},    {"U8", TIDE_U8, 8},
    {"BOOL", TIDE_BOOL, 8}, {"I16", 0, 16},        {"U16", 0, 16},        {"U32", 0, 32},
    {"U64", 0, 64},         {"F8_E5M2", 0, 8},     {"F8_E4M3", 0, 8},     {"F8_E8M0", 0, 8},
    {"F8_E4M3FNUZ", 0, 8},  {"F8_E5M2FNUZ", 0, 8}, {"F4", 0, 4},          {"F6_E2M3", 0, 6},
    {"F6_E3M2", 0, 6},      {"C64", 0, 64},
};
enum { NDTYPES = sizeof dtypes / sizeof *dtypes };

/* ---- reading ---- */

static bool counts(const tide_json *v, uint64_t *out) {
    if (!v || v->type != JSON_INT || v->i < 0) return false;
    *out = (uint64_t)v->i;
    return true;
}

static tide_status one(tide_context *cx, const char *path, const tide_json *v, size_t data, size_t ndata,
                       tide_st_file *f, tide_st_entry *e) {
    e->name = v->key;
    e->name_length = v->key_length;
    const tide_json *dtype = tide_json_get(v, "dtype"), *shape = tide_json_get(v, "shape"),
                    *off = tide_json_get(v, "data_offsets");
    if (v->type != JSON_OBJECT || !dtype || dtype->type != JSON_STRING || !shape || shape->type != JSON_ARRAY ||
        !off || off->type != JSON_ARRAY || off->length != 2)
        return tide_fail(cx, TIDE_EFORMAT, "%s: '%s' wants dtype, shape and data_offsets", path, v->key);
    int k = 0;
    while (k < NDTYPES && strcmp(dtypes[k].name, dtype->string)) k++;
    if (k == NDTYPES || strlen(dtype->string) != dtype->length)
        return tide_fail(cx, TIDE_EFORMAT, "%s: '%s' has the unknown dtype '%s'", path, v->key, dtype->string);
    e->dtype_name = dtypes[k].name;
    e->dtype = dtypes[k].dtype;
    uint64_t n = 1, room = 1, bits, begin, end, d; /* room: strides must fit, also where a size is 0 */
    for (const tide_json *s = shape->child; s; s = s->next) {
        if (!counts(s, &d) || __builtin_mul_overflow(room, d ? d : 1, &room) || room > INT64_MAX / 16)
            return tide_fail(cx, TIDE_EFORMAT, "%s: the shape of '%s' is not one, or too large", path, v->key);
        n *= d;
        if (e->ndim < TIDE_MAXDIM) e->shape[e->ndim] = (int64_t)d;
        e->ndim++;
    }
    if (e->ndim > TIDE_MAXDIM) e->dtype = 0;
    if (__builtin_mul_overflow(n, dtypes[k].bits, &bits) || bits % 8)
        return tide_fail(cx, TIDE_EFORMAT, "%s: '%s' is too large, or no whole number of bytes", path, v->key);
    if (!counts(off->child, &begin) || !counts(off->child->next, &end) || begin > end || end > ndata ||
        end - begin != bits / 8)
        return tide_fail(cx, TIDE_EFORMAT, "%s: the offsets of '%s' do not fit its shape or the file", path,
                         v->key);
    e->data = f->map.data ? f->map.data + data + begin : NULL;
    e->nbytes = (size_t)(end - begin);
    if (e->dtype == TIDE_BOOL)
        for (size_t i = 0; i < e->nbytes; i++)
            if ((unsigned char)e->data[i] > 1)
                return tide_fail(cx, TIDE_EFORMAT, "%s: '%s' holds a bool that is neither 0 nor 1", path,
                                 v->key);
    return TIDE_OK;
}

static int by_data(const void *a, const void *b) {
    const tide_st_entry *x = a, *y = b;
    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    return (x->nbytes > y->nbytes) - (x->nbytes < y->nbytes); /* empty ones come first */
}

tide_status tide_st_open(tide_context *cx, const char *path, tide_st_file *f) {
    memset(f, 0, sizeof *f);
    f->cx = cx;
    tide_status e = tide_map_open(cx, path, &f->map);
    uint64_t n = 0;
    if (!e && f->map.size < 8)
        e = tide_fail(cx, TIDE_EFORMAT, "%s: no safetensors file: shorter than 8 bytes", path);
    for (int i = 0; i < 8 && !e; i++) n |= (uint64_t)(unsigned char)f->map.data[i] << (8 * i);
    if (!e && (n > MAXHEADER || n > f->map.size - 8))
        e = tide_fail(cx, TIDE_EFORMAT, "%s: no safetensors file: its header would have %llu bytes", path,
                      (unsigned long long)n);
    if (!e && (n == 0 || f->map.data[8] != '{'))
        e = tide_fail(cx, TIDE_EFORMAT, "%s: the header does not begin with {", path);
    if (!e) e = tide_json_read(cx, f->map.data + 8, (size_t)n, &f->doc);
    size_t data = 8 + (size_t)n, ndata = f->map.size - data;
    if (!e) {
        f->n = 0;
        f->entry = tide_alloc0(cx, (f->doc.root->length + 1) * sizeof *f->entry);
        if (!f->entry) e = TIDE_EMEM;
    }
    for (const tide_json *v = e ? NULL : f->doc.root->child; v && !e; v = v->next) {
        if (!strcmp(v->key, "__metadata__") && v->key_length == 12) {
            if (v->type == JSON_NULL) continue; /* the reference reads it as none */
            f->metadata = v;
            if (v->type != JSON_OBJECT) e = tide_fail(cx, TIDE_EFORMAT, "%s: __metadata__ is no object", path);
            for (const tide_json *m = v->child; m && !e; m = m->next)
                if (m->type != JSON_STRING)
                    e = tide_fail(cx, TIDE_EFORMAT, "%s: __metadata__ holds something other than strings",
                                  path);
            continue;
        }
        e = one(cx, path, v, data, ndata, f, &f->entry[f->n]);
        f->n++;
    }
    if (!e && f->n) { /* the bytes must be covered without gap and overlap */
        qsort(f->entry, (size_t)f->n, sizeof *f->entry, by_data);
        const char *at = f->map.data + data;
        for (int64_t i = 0; i < f->n && !e; i++) {
            if (f->entry[i].data != at)
                e = tide_fail(cx, TIDE_EFORMAT, "%s: '%s' overlaps another tensor or leaves a gap", path,
                              f->entry[i].name);
            at = f->entry[i].data + f->entry[i].nbytes;
        }
        if (!e && at != f->map.data + f->map.size)
            e = tide_fail(cx, TIDE_EFORMAT, "%s: bytes after the last tensor", path);
    } else if (!e && ndata) {
        e = tide_fail(cx, TIDE_EFORMAT, "%s: bytes that belong to no tensor", path);
    }
    if (e) tide_st_close(f);
    return e;
}

void tide_st_close(tide_st_file *f) {
    if (f->entry) tide_release(f->cx, f->entry, (f->doc.root->length + 1) * sizeof *f->entry);
    tide_json_free(f->cx, &f->doc);
    tide_map_close(f->cx, &f->map);
    memset(f, 0, sizeof *f);
}

/* ---- writing ---- */

static size_t length_of(const char *s, size_t n) { return n ? n : strlen(s); }
static size_t name_length(const tide_st_entry *e) { return length_of(e->name, e->name_length); }
static size_t text_length(const tide_st_text *t) { return length_of(t->p, t->n); }

/* The row of a dtype that Tide has, or NULL. */
static const dtype_row *row_of(uint8_t dtype) {
    for (int k = 0; k < NDTYPES; k++)
        if (dtype && dtypes[k].dtype == dtype) return &dtypes[k];
    return NULL;
}

static int compare(const char *x, size_t nx, const char *y, size_t ny) {
    int c = memcmp(x, y, nx < ny ? nx : ny);
    return c ? c : (nx > ny) - (nx < ny);
}

static int by_name(const tide_st_entry *x, const tide_st_entry *y) {
    return compare(x->name, name_length(x), y->name, name_length(y));
}

static int by_size_and_name(const void *a, const void *b) {
    const tide_st_entry *x = *(const tide_st_entry *const *)a, *y = *(const tide_st_entry *const *)b;
    int s = row_of(y->dtype)->bits - row_of(x->dtype)->bits; /* the widest first keep all aligned */
    return s ? s : by_name(x, y);
}

static int by_plain_name(const void *a, const void *b) {
    return by_name(*(const tide_st_entry *const *)a, *(const tide_st_entry *const *)b);
}

static int by_text(const void *a, const void *b) {
    const tide_st_text *x = *(const tide_st_text *const *)a, *y = *(const tide_st_text *const *)b;
    return compare(x->p, text_length(x), y->p, text_length(y));
}

/* Whether a file with these would be one that tide_st_open takes. `list` is scratch and ends sorted for
 * writing. */
static tide_status check(tide_context *cx, const char *path, const tide_st_entry **list, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const tide_st_entry *e = list[i];
        const dtype_row *row = row_of(e->dtype);
        size_t want = row ? row->bits / 8 : 0;
        bool fits = row && e->ndim >= 0 && e->ndim <= TIDE_MAXDIM;
        for (int d = 0; fits && d < e->ndim; d++)
            fits = e->shape[d] >= 0 && !__builtin_mul_overflow(want, (size_t)e->shape[d], &want);
        if (!fits || want != e->nbytes)
            return tide_fail(cx, TIDE_EARG, "%s: dtype, shape and bytes of '%s' do not agree", path, e->name);
        if (!tide_utf8_valid(e->name, name_length(e)) || !strcmp(e->name, "__metadata__"))
            return tide_fail(cx, TIDE_EARG, "%s: '%s' cannot be the name of a tensor", path, e->name);
    }
    qsort(list, (size_t)n, sizeof *list, by_plain_name);
    for (int64_t i = 1; i < n; i++)
        if (!by_name(list[i - 1], list[i]))
            return tide_fail(cx, TIDE_EARG, "%s: two tensors are named '%s'", path, list[i]->name);
    qsort(list, (size_t)n, sizeof *list, by_size_and_name);
    return TIDE_OK;
}

static tide_status check_metadata(tide_context *cx, const char *path, const tide_st_text *metadata,
                                  int npairs) {
    size_t bytes = ((size_t)npairs + 1) * sizeof(tide_st_text *);
    const tide_st_text **keys = tide_alloc(cx, bytes);
    tide_status e = keys ? TIDE_OK : TIDE_EMEM;
    for (int i = 0; i < 2 * npairs && !e; i++) {
        if (!tide_utf8_valid(metadata[i].p, text_length(&metadata[i])))
            e = tide_fail(cx, TIDE_EARG, "%s: invalid UTF-8 in the metadata", path);
        if (i % 2 == 0) keys[i / 2] = &metadata[i];
    }
    if (!e) qsort(keys, (size_t)npairs, sizeof *keys, by_text);
    for (int i = 1; i < npairs && !e; i++)
        if (!by_text(&keys[i - 1], &keys[i]))
            e = tide_fail(cx, TIDE_EARG, "%s: '%s' twice in the metadata", path, keys[i]->p);
    tide_release(cx, keys, bytes);
    return e;
}

/* Text being made: twice, first to count it (room 0). */
typedef struct {
    char *p;
    size_t n, room;
} maker;

static void put(maker *t, const char *s) {
    size_t n = strlen(s);
    if (t->n + n <= t->room) memcpy(t->p + t->n, s, n);
    t->n += n;
}

static void put_quoted(maker *t, const char *s, size_t n) {
    size_t left = t->n < t->room ? t->room - t->n : 0;
    t->n += tide_json_quote(s, n, left ? t->p + t->n : NULL, left);
}

static void header(maker *t, const tide_st_entry *const *list, int64_t n, const tide_st_text *metadata,
                   int npairs) {
    char text[96];
    size_t at = 0;
    put(t, "{");
    if (npairs) put(t, "\"__metadata__\":{");
    for (int i = 0; i < npairs; i++) {
        if (i) put(t, ",");
        put_quoted(t, metadata[2 * i].p, text_length(&metadata[2 * i]));
        put(t, ":");
        put_quoted(t, metadata[2 * i + 1].p, text_length(&metadata[2 * i + 1]));
    }
    if (npairs) put(t, n ? "}," : "}");
    for (int64_t i = 0; i < n; i++) {
        const tide_st_entry *e = list[i];
        if (i) put(t, ",");
        put_quoted(t, e->name, name_length(e));
        put(t, ":{\"dtype\":\"");
        put(t, row_of(e->dtype)->name);
        put(t, "\",\"shape\":[");
        for (int d = 0; d < e->ndim; d++) {
            snprintf(text, sizeof text, "%s%lld", d ? "," : "", (long long)e->shape[d]);
            put(t, text);
        }
        snprintf(text, sizeof text, "],\"data_offsets\":[%zu,%zu]}", at, at + e->nbytes);
        put(t, text);
        at += e->nbytes;
    }
    put(t, "}");
    while (t->n % 8) put(t, " ");
}

/* Header and data, one tensor after another. */
static tide_status write_file(tide_writer *w, const maker *t, const tide_st_entry *const *list, int64_t n,
                              const tide_st_source *source) {
    char length[8];
    for (int i = 0; i < 8; i++) length[i] = (char)((uint64_t)t->n >> (8 * i));
    tide_writer_put(w, length, 8);
    tide_writer_put(w, t->p, t->n);
    for (int64_t i = 0; i < n && !w->error; i++) {
        const char *data = list[i]->data;
        if (!data && list[i]->nbytes) data = source->bytes(source->arg, list[i]);
        if (!data && list[i]->nbytes)
            w->error = tide_fail(w->cx, TIDE_EMEM, "%s: '%s' could not be read", w->path, list[i]->name);
        else
            tide_writer_put(w, data, list[i]->nbytes);
    }
    return w->error;
}

tide_status tide_st_save(tide_context *cx, const char *path, const tide_st_entry *entry, int64_t n,
                         const tide_st_text *metadata, int npairs, const tide_st_source *source,
                         tide_writer *written) {
    size_t bytes = (size_t)(n + 1) * sizeof(tide_st_entry *);
    const tide_st_entry **list = tide_alloc(cx, bytes);
    if (!list) return TIDE_EMEM;
    for (int64_t i = 0; i < n; i++) list[i] = &entry[i];
    maker t = {NULL, 0, 0};
    tide_status e = check(cx, path, list, n);
    if (!e) e = check_metadata(cx, path, metadata, npairs);
    if (!e) {
        header(&t, list, n, metadata, npairs);
        if (t.n > MAXHEADER)
            e = tide_fail(cx, TIDE_EARG, "%s: a header of %zu bytes, more than the format allows", path, t.n);
    }
    if (!e) {
        t.p = tide_alloc(cx, t.n);
        e = t.p ? TIDE_OK : TIDE_EMEM;
        t.room = t.n;
    }
    if (!e) {
        t.n = 0;
        header(&t, list, n, metadata, npairs);
        tide_writer w;
        tide_writer_open(cx, &w, path);
        write_file(&w, &t, list, n, source);
        e = tide_writer_close(&w);
        if (written) *written = w;
    }
    tide_release(cx, t.p, t.room);
    tide_release(cx, list, bytes);
    return e;
}
