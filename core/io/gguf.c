/* The header of a GGUF file is read once, front to back; nothing that it announces is believed before it is
 * there. */
#include "io/gguf.h"
#include "io/json.h"
#include <stdlib.h>

enum { DEEPEST = 4, MOST_DIMS = 4 }; /* of arrays in arrays; of ggml's tensors */

static tide_status malformed(const tide_gguf *g, const char *what) {
    return tide_fail(g->cx, TIDE_EFORMAT, "%s: no GGUF file: %s", g->path, what);
}

/* ---- numbers, strings, values ---- */

static bool number(const char **p, const char *end, int bytes, uint64_t *out) {
    if (end - *p < bytes) return false;
    *out = 0;
    for (int i = 0; i < bytes; i++) *out |= (uint64_t)(unsigned char)(*p)[i] << (8 * i);
    *p += bytes;
    return true;
}

static bool string(const char **p, const char *end, const char **text, uint64_t *n) {
    if (!number(p, end, 8, n) || *n > (uint64_t)(end - *p)) return false;
    *text = *p;
    *p += *n;
    return true;
}

/* A value that is no array. */
static bool scalar(const char **p, const char *end, uint32_t type, tide_gguf_value *out) {
    static const uint8_t sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    uint64_t v;
    float f;
    if (type == GGUF_STRING) return string(p, end, &out->text, &out->n);
    if (!number(p, end, sizes[type], &v)) return false;
    out->i = (int64_t)v;
    switch (type) {
    case GGUF_BOOL: return v < 2;
    case GGUF_F32:
        memcpy(&f, &(uint32_t){(uint32_t)v}, sizeof f);
        out->is_float = true;
        out->f = (double)f;
        return true;
    case GGUF_F64:
        memcpy(&out->f, &v, sizeof v);
        out->is_float = true;
        return true;
    case GGUF_I8: out->i = (int8_t)v; return true;
    case GGUF_I16: out->i = (int16_t)v; return true;
    case GGUF_I32: out->i = (int32_t)v; return true;
    case GGUF_U64:
        out->is_float = v > INT64_MAX;
        out->f = (double)v;
        return true;
    default: return true;
    }
}

/* Arrays are passed to their end, all of their values checked. */
static bool next(const char **p, const char *end, uint32_t type, tide_gguf_value *out, int depth) {
    tide_gguf_value inner;
    uint64_t item;
    if (type > GGUF_F64 || depth > DEEPEST) return false;
    *out = (tide_gguf_value){.type = (uint8_t)type};
    if (type != GGUF_ARRAY) return scalar(p, end, type, out);
    if (!number(p, end, 4, &item) || item > GGUF_F64 || !number(p, end, 8, &out->n)) return false;
    if (out->n > (uint64_t)(end - *p)) return false; /* every value has a byte at least */
    out->item = (uint8_t)item;
    out->text = *p;
    for (uint64_t i = 0; i < out->n; i++)
        if (!next(p, end, out->item, &inner, depth + 1)) return false;
    return true;
}

bool tide_gguf_next(const char **p, const char *end, uint32_t type, tide_gguf_value *out) {
    return next(p, end, type, out, 0);
}

/* ---- the header ---- */

static int by_name(const void *a, const void *b) { /* pairs and tensors begin alike */
    const tide_gguf_pair *x = a, *y = b;
    int order = memcmp(x->name, y->name, x->name_length < y->name_length ? x->name_length : y->name_length);
    return order ? order : (x->name_length > y->name_length) - (x->name_length < y->name_length);
}
static int by_tensor_name(const void *a, const void *b) {
    const tide_gguf_tensor *x = a, *y = b;
    return by_name(&(tide_gguf_pair){.name = x->name, .name_length = x->name_length},
                   &(tide_gguf_pair){.name = y->name, .name_length = y->name_length});
}
static int by_offset(const void *a, const void *b) {
    const tide_gguf_tensor *x = a, *y = b;
    return x->offset != y->offset ? (x->offset < y->offset ? -1 : 1)
                                  : (x->nbytes > y->nbytes) - (x->nbytes < y->nbytes);
}

static tide_status read_pairs(tide_gguf *g, const char **p, const char *end, uint64_t n) {
    if (n > (uint64_t)(end - *p) / 13) return malformed(g, "it announces more metadata than it has bytes");
    if (n && tide_grow(g->cx, (void **)&g->pair, &g->pair_room, (int64_t)n, sizeof *g->pair)) return TIDE_EMEM;
    for (; (uint64_t)g->npair < n; g->npair++) {
        tide_gguf_pair *a = &g->pair[g->npair];
        uint64_t length, type;
        if (!string(p, end, &a->name, &length)) return malformed(g, "it ends in a key");
        a->name_length = length;
        if (!tide_utf8_valid(a->name, length)) return malformed(g, "a key is not UTF-8");
        if (!number(p, end, 4, &type) || !tide_gguf_next(p, end, (uint32_t)type, &a->value))
            return malformed(g, "a value of its metadata");
    }
    if (n) qsort(g->pair, n, sizeof *g->pair, by_name);
    for (int64_t i = 1; i < g->npair; i++)
        if (!by_name(&g->pair[i - 1], &g->pair[i])) return malformed(g, "a key stands there twice");
    return TIDE_OK;
}

static tide_status read_alignment(tide_gguf *g, uint64_t *out) {
    static const char name[] = "general.alignment";
    tide_gguf_pair key = {.name = name, .name_length = sizeof name - 1}, *found = NULL;
    *out = 32;
    if (g->npair) found = bsearch(&key, g->pair, (size_t)g->npair, sizeof key, by_name);
    if (!found) return TIDE_OK;
    *out = (uint64_t)found->value.i;
    if (found->value.type != GGUF_U32 || !*out || *out & (*out - 1))
        return malformed(g, "its alignment is no power of two");
    return TIDE_OK;
}

static tide_status read_kind(tide_gguf *g, tide_gguf_tensor *t, uint64_t type) {
    int n;
    const tide_gguf_kind *kinds = tide_gguf_kinds(&n);
    for (int k = 0; k < n; k++) {
        if (kinds[k].type != type) continue;
        t->kind = (uint8_t)k;
        t->dtype = kinds[k].dtype;
        if (kinds[k].bytes) return TIDE_OK;
        return tide_fail(g->cx, TIDE_EUNSUP, "%s: '%.*s' is of %s, which Tide does not read", g->path,
                         t->name_length < 200 ? (int)t->name_length : 200, t->name, kinds[k].name);
    }
    return malformed(g, "a tensor is of an unknown type");
}

/* Sizes stand innermost first. */
static tide_status read_shape(tide_gguf *g, tide_gguf_tensor *t, const uint64_t *ne) {
    int n;
    const tide_gguf_kind *k = &tide_gguf_kinds(&n)[t->kind];
    int64_t room = 1; /* strides must fit, also of tensors without elements */
    t->numel = 1;
    for (int d = 0; d < t->ndim; d++) {
        if (ne[d] > INT64_MAX / 8 || __builtin_mul_overflow(room, ne[d] ? (int64_t)ne[d] : 1, &room))
            return malformed(g, "a tensor is too large");
        t->numel *= (int64_t)ne[d];
        t->shape[t->ndim - 1 - d] = (int64_t)ne[d];
    }
    if (t->ndim ? ne[0] % k->block : k->block > 1) return malformed(g, "a tensor's rows are no whole blocks");
    if (__builtin_mul_overflow((uint64_t)t->numel / k->block, (uint64_t)k->bytes, &t->nbytes) ||
        t->nbytes > g->map.size)
        return malformed(g, "a tensor is larger than the file");
    return TIDE_OK;
}

static tide_status read_tensor(tide_gguf *g, const char **p, const char *end, tide_gguf_tensor *t) {
    uint64_t length, ndim, type, ne[MOST_DIMS];
    *t = (tide_gguf_tensor){0};
    if (!string(p, end, &t->name, &length)) return malformed(g, "it ends in a tensor's name");
    t->name_length = length;
    if (!tide_utf8_valid(t->name, length)) return malformed(g, "a tensor's name is not UTF-8");
    if (!number(p, end, 4, &ndim) || ndim > MOST_DIMS) return malformed(g, "a tensor's number of dims");
    t->ndim = (int)ndim;
    for (int d = 0; d < t->ndim; d++)
        if (!number(p, end, 8, &ne[d])) return malformed(g, "it ends in a tensor's sizes");
    if (!number(p, end, 4, &type) || !number(p, end, 8, &t->offset))
        return malformed(g, "it ends in the description of a tensor");
    tide_status e = read_kind(g, t, type);
    return e ? e : read_shape(g, t, ne);
}

/* Where the tensors lie, from the start of the data. */
static tide_status place_tensors(tide_gguf *g, uint64_t start, uint64_t alignment) {
    uint64_t size = g->map.size, before = 0;
    if (!g->ntensor) return TIDE_OK;
    if (start > size) return malformed(g, "it has no data");
    qsort(g->tensor, (size_t)g->ntensor, sizeof *g->tensor, by_offset);
    for (int64_t i = 0; i < g->ntensor; i++) {
        tide_gguf_tensor *t = &g->tensor[i];
        if (t->offset % alignment) return malformed(g, "a tensor is not aligned");
        if (t->offset > size - start || t->nbytes > size - start - t->offset)
            return malformed(g, "a tensor reaches beyond the file");
        if (t->offset < before) return malformed(g, "two tensors overlap");
        before = t->offset + t->nbytes;
        t->offset += start;
        t->data = g->map.data + t->offset;
    }
    qsort(g->tensor, (size_t)g->ntensor, sizeof *g->tensor, by_tensor_name);
    for (int64_t i = 1; i < g->ntensor; i++)
        if (!by_tensor_name(&g->tensor[i - 1], &g->tensor[i])) return malformed(g, "two tensors have one name");
    return TIDE_OK;
}

static tide_status understand(tide_gguf *g) {
    uint64_t magic, version, ntensor, npair, alignment;
    if (!g->map.size) return malformed(g, "it is empty");
    const char *p = g->map.data, *end = p + g->map.size;
    if (!number(&p, end, 4, &magic) || magic != 0x46554747) return malformed(g, "it does not begin as one");
    if (!number(&p, end, 4, &version)) return malformed(g, "it ends in the header");
    if (version == 1 || (version && !(version & 0xFFFF)))
        return tide_fail(g->cx, TIDE_EUNSUP, "%s: GGUF of version 1, or big-endian", g->path);
    if (version != 2 && version != 3) return malformed(g, "its version is neither 2 nor 3");
    if (!number(&p, end, 8, &ntensor) || !number(&p, end, 8, &npair))
        return malformed(g, "it ends in the header");
    tide_status e = read_pairs(g, &p, end, npair);
    if (!e) e = read_alignment(g, &alignment);
    if (e) return e;
    if (ntensor > (uint64_t)(end - p) / 24) return malformed(g, "it announces more tensors than it has bytes");
    if (ntensor && tide_grow(g->cx, (void **)&g->tensor, &g->tensor_room, (int64_t)ntensor, sizeof *g->tensor))
        return TIDE_EMEM;
    for (; (uint64_t)g->ntensor < ntensor && !e; g->ntensor++)
        e = read_tensor(g, &p, end, &g->tensor[g->ntensor]);
    uint64_t start = (uint64_t)(p - g->map.data);
    return e ? e : place_tensors(g, (start + alignment - 1) / alignment * alignment, alignment);
}

tide_status tide_gguf_open(tide_context *cx, const char *path, tide_gguf *g) {
    *g = (tide_gguf){.cx = cx, .path = path};
    tide_status e = tide_map_open(cx, path, &g->map);
    if (!e) e = understand(g);
    if (e) tide_gguf_close(g);
    return e;
}

void tide_gguf_close(tide_gguf *g) {
    tide_release(g->cx, g->pair, (size_t)g->pair_room * sizeof *g->pair);
    tide_release(g->cx, g->tensor, (size_t)g->tensor_room * sizeof *g->tensor);
    tide_map_close(g->cx, &g->map);
    g->pair = NULL;
    g->tensor = NULL;
}
