#include "io/safetensors.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAXHEADER = 100000000 };

static const struct { const char *name; uint8_t dtype; uint16_t bits; } dtypes[] = {
    {"F32", TIDE_F32, 32}, {"F64", TIDE_F64, 64}, {"F16", TIDE_F16, 16}, {"BF16", TIDE_BF16, 16}, {"I64", TIDE_I64, 64}, {"I32", TIDE_I32, 32},
    {"I8", TIDE_I8, 8}, {"U8", TIDE_U8, 8}, {"BOOL", TIDE_BOOL, 8}, {"I16", 0, 16}, {"U16", 0, 16}, {"U32", 0, 32}, {"U64", 0, 64},
    {"F8_E5M2", 0, 8}, {"F8_E4M3", 0, 8}, {"F8_E8M0", 0, 8}, {"F8_E4M3FNUZ", 0, 8}, {"F8_E5M2FNUZ", 0, 8}, {"F4", 0, 4}, {"F6_E2M3", 0, 6},
    {"F6_E3M2", 0, 6}, {"C64", 0, 64},
};
enum { NDTYPES = sizeof dtypes / sizeof *dtypes };

static tide_status io_error(tide_context *cx, const char *path) { return tide_fail(cx, TIDE_EIO, "%s: %s", path, strerror(errno)); }

/* ---- reading ---- */

static tide_status map_file(tide_context *cx, const char *path, tide_st_file *f) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0) return io_error(cx, path);
    if (fstat(fd, &st)) { tide_status e = io_error(cx, path); close(fd); return e; }
    if (!S_ISREG(st.st_mode)) return close(fd), tide_fail(cx, TIDE_EIO, "%s: not a regular file", path);
    f->size = (size_t)st.st_size;
    if (f->size) {
        f->map = mmap(NULL, f->size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
        if (f->map == MAP_FAILED) { tide_status e = io_error(cx, path); f->map = NULL; close(fd); return e; }
        f->mapped = true;
    }
    close(fd);
    return TIDE_OK;
}

static bool counts(const tide_json *v, uint64_t *out) {
    if (!v || v->type != JSON_INT || v->i < 0) return false;
    *out = (uint64_t)v->i;
    return true;
}

static tide_status one(tide_context *cx, const char *path, const tide_json *v, size_t data, size_t ndata, tide_st_file *f, tide_st_entry *e) {
    e->name = v->key;
    const tide_json *dtype = tide_json_get(v, "dtype"), *shape = tide_json_get(v, "shape"), *off = tide_json_get(v, "data_offsets");
    if (v->type != JSON_OBJECT || !dtype || dtype->type != JSON_STRING || !shape || shape->type != JSON_ARRAY || !off || off->type != JSON_ARRAY ||
        off->length != 2 || v->length != 3)
        return tide_fail(cx, TIDE_EFORMAT, "%s: '%s' wants exactly dtype, shape and data_offsets", path, v->key);
    int k = 0;
    while (k < NDTYPES && strcmp(dtypes[k].name, dtype->string)) k++;
    if (k == NDTYPES || strlen(dtype->string) != dtype->length) return tide_fail(cx, TIDE_EFORMAT, "%s: '%s' has the unknown dtype '%s'", path, v->key, dtype->string);
    e->dtype_name = dtypes[k].name;
    e->dtype = dtypes[k].dtype;
    uint64_t n = 1, bits, begin, end, d;
    for (const tide_json *s = shape->child; s; s = s->next) {
        if (!counts(s, &d) || __builtin_mul_overflow(n, d, &n)) return tide_fail(cx, TIDE_EFORMAT, "%s: the shape of '%s' is not one, or too large", path, v->key);
        if (e->ndim < TIDE_MAXDIM) e->shape[e->ndim] = (int64_t)d;
        e->ndim++;
    }
    if (e->ndim > TIDE_MAXDIM) e->dtype = 0;
    if (__builtin_mul_overflow(n, dtypes[k].bits, &bits) || bits % 8) return tide_fail(cx, TIDE_EFORMAT, "%s: '%s' is too large, or no whole number of bytes", path, v->key);
    if (!counts(off->child, &begin) || !counts(off->child->next, &end) || begin > end || end > ndata || end - begin != bits / 8)
        return tide_fail(cx, TIDE_EFORMAT, "%s: the offsets of '%s' do not fit its shape or the file", path, v->key);
    e->data = f->map ? f->map + data + begin : NULL;
    e->nbytes = (size_t)(end - begin);
    if (e->dtype == TIDE_BOOL)
        for (size_t i = 0; i < e->nbytes; i++)
            if ((unsigned char)e->data[i] > 1) return tide_fail(cx, TIDE_EFORMAT, "%s: '%s' holds a bool that is neither 0 nor 1", path, v->key);
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
    tide_status e = map_file(cx, path, f);
    if (e) return e;
    uint64_t n = 0;
    if (f->size < 8) e = tide_fail(cx, TIDE_EFORMAT, "%s: no safetensors file: shorter than 8 bytes", path);
    for (int i = 0; i < 8 && !e; i++) n |= (uint64_t)(unsigned char)f->map[i] << (8 * i);
    if (!e && (n > MAXHEADER || n > f->size - 8)) e = tide_fail(cx, TIDE_EFORMAT, "%s: no safetensors file: its header would have %llu bytes", path, (unsigned long long)n);
    if (!e && (n == 0 || f->map[8] != '{')) e = tide_fail(cx, TIDE_EFORMAT, "%s: the header does not begin with {", path);
    if (!e) {
        e = tide_json_read(cx, f->map + 8, (size_t)n, &f->doc);
    }
    size_t data = 8 + (size_t)n, ndata = f->size - data;
    if (!e) {
        f->n = 0;
        f->entry = tide_alloc0(cx, (f->doc.root->length + 1) * sizeof *f->entry);
        if (!f->entry) e = TIDE_EMEM;
    }
    for (const tide_json *v = e ? NULL : f->doc.root->child; v && !e; v = v->next) {
        if (!strcmp(v->key, "__metadata__") && v->key_length == 12) {
            f->metadata = v;
            if (v->type != JSON_OBJECT) e = tide_fail(cx, TIDE_EFORMAT, "%s: __metadata__ is no object", path);
            for (const tide_json *m = v->child; m && !e; m = m->next)
                if (m->type != JSON_STRING) e = tide_fail(cx, TIDE_EFORMAT, "%s: __metadata__ holds something other than strings", path);
            continue;
        }
        e = one(cx, path, v, data, ndata, f, &f->entry[f->n]);
        f->n++;
    }
    if (!e && f->n) { /* the bytes must be covered without gap and overlap */
        qsort(f->entry, (size_t)f->n, sizeof *f->entry, by_data);
        const char *at = f->map + data;
        for (int64_t i = 0; i < f->n && !e; i++) {
            if (f->entry[i].data != at) e = tide_fail(cx, TIDE_EFORMAT, "%s: '%s' overlaps another tensor or leaves a gap", path, f->entry[i].name);
            at = f->entry[i].data + f->entry[i].nbytes;
        }
        if (!e && at != f->map + f->size) e = tide_fail(cx, TIDE_EFORMAT, "%s: bytes after the last tensor", path);
    } else if (!e && ndata) {
        e = tide_fail(cx, TIDE_EFORMAT, "%s: bytes that belong to no tensor", path);
    }
    if (e) tide_st_close(f);
    return e;
}

void tide_st_close(tide_st_file *f) {
    if (f->entry) tide_release(f->cx, f->entry, (f->doc.root->length + 1) * sizeof *f->entry);
    if (f->doc.nodes) tide_json_free(f->cx, &f->doc);
    if (f->mapped) munmap(f->map, f->size);
    memset(f, 0, sizeof *f);
}

/* ---- writing ---- */

static bool write_all(int fd, const char *p, size_t n) {
    while (n > 0) {
        ssize_t k = write(fd, p, n < ((size_t)1 << 30) ? n : (size_t)1 << 30);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return false;
        p += k;
        n -= (size_t)k;
    }
    return true;
}

static int item_size(const tide_st_entry *e) { return e->dtype == TIDE_F64 || e->dtype == TIDE_I64 ? 8 : e->dtype == TIDE_F32 || e->dtype == TIDE_I32 ? 4 : e->dtype == TIDE_F16 || e->dtype == TIDE_BF16 ? 2 : 1; }
static int by_size_and_name(const void *a, const void *b) {
    const tide_st_entry *x = *(const tide_st_entry *const *)a, *y = *(const tide_st_entry *const *)b;
    int s = item_size(y) - item_size(x); /* the widest first keep all aligned */
    return s ? s : strcmp(x->name, y->name);
}

typedef struct { char *p; size_t n, room; } text_t; /* room 0: only counts */
static void put(text_t *t, const char *s, size_t n) {
    if (t->n + n <= t->room) memcpy(t->p + t->n, s, n);
    t->n += n;
}
static void puts_(text_t *t, const char *s) { put(t, s, strlen(s)); }
static void quoted(text_t *t, const char *s) {
    t->n += tide_json_quote(s, strlen(s), t->p ? t->p + (t->n < t->room ? t->n : t->room) : NULL, t->n < t->room ? t->room - t->n : 0);
}

static void header(text_t *t, const tide_st_entry *const *list, int64_t n, const char *const *metadata, int npairs) {
    char buf[96];
    size_t at = 0;
    puts_(t, "{");
    if (npairs) {
        puts_(t, "\"__metadata__\":{");
        for (int i = 0; i < npairs; i++) {
            if (i) puts_(t, ",");
            quoted(t, metadata[2 * i]);
            puts_(t, ":");
            quoted(t, metadata[2 * i + 1]);
        }
        puts_(t, n ? "}," : "}");
    }
    for (int64_t i = 0; i < n; i++) {
        const tide_st_entry *e = list[i];
        const char *dtype = "";
        for (int k = 0; k < NDTYPES; k++)
            if (dtypes[k].dtype == e->dtype) { dtype = dtypes[k].name; break; }
        if (i) puts_(t, ",");
        quoted(t, e->name);
        puts_(t, ":{\"dtype\":\"");
        puts_(t, dtype);
        puts_(t, "\",\"shape\":[");
        for (int d = 0; d < e->ndim; d++) {
            snprintf(buf, sizeof buf, "%s%lld", d ? "," : "", (long long)e->shape[d]);
            puts_(t, buf);
        }
        snprintf(buf, sizeof buf, "],\"data_offsets\":[%zu,%zu]}", at, at + e->nbytes);
        puts_(t, buf);
        at += e->nbytes;
    }
    puts_(t, "}");
    while (t->n % 8) puts_(t, " ");
}

static void sync_folder(const char *path) {
    const char *slash = strrchr(path, '/');
    char dir[4096];
    size_t n = slash ? (size_t)(slash - path) : 0;
    if (n >= sizeof dir) return;
    memcpy(dir, path, n);
    dir[n] = 0;
    int fd = open(slash ? (n ? dir : "/") : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

tide_status tide_st_save(tide_context *cx, const char *path, const tide_st_entry *entry, int64_t n, const char *const *metadata, int npairs) {
    size_t bytes = (size_t)(n + 1) * sizeof(tide_st_entry *), npath = strlen(path);
    const tide_st_entry **list = tide_alloc(cx, bytes);
    char *temporary = list ? tide_alloc(cx, npath + 32) : NULL;
    text_t t = {NULL, 0, 0};
    tide_status e = temporary ? TIDE_OK : TIDE_EMEM;
    for (int64_t i = 0; i < n && !e; i++) {
        list[i] = &entry[i];
        if (!tide_utf8_valid(entry[i].name, strlen(entry[i].name)) || !strcmp(entry[i].name, "__metadata__"))
            e = tide_fail(cx, TIDE_EARG, "%s: '%s' cannot be the name of a tensor", path, entry[i].name);
    }
    if (!e) {
        qsort(list, (size_t)n, sizeof *list, by_size_and_name);
        for (int64_t i = 1; i < n && !e; i++)
            if (!strcmp(list[i - 1]->name, list[i]->name)) e = tide_fail(cx, TIDE_EARG, "%s: two tensors are named '%s'", path, list[i]->name);
    }
    if (!e) {
        header(&t, list, n, metadata, npairs);
        t.room = t.n;
        t.p = tide_alloc(cx, t.room);
        t.n = 0;
        if (!t.p) e = TIDE_EMEM;
        else header(&t, list, n, metadata, npairs);
    }
    if (!e) {
        snprintf(temporary, npath + 32, "%s.tmp-%ld", path, (long)getpid());
        int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        if (fd < 0) {
            e = io_error(cx, temporary);
        } else {
            unsigned char length[8];
            for (int i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)t.n >> (8 * i));
            bool ok = write_all(fd, (char *)length, 8) && write_all(fd, t.p, t.n);
            for (int64_t i = 0; i < n && ok; i++) ok = write_all(fd, list[i]->data, list[i]->nbytes);
            ok = ok && fsync(fd) == 0;
            int saved = errno;
            ok = close(fd) == 0 && ok;
            if (ok && rename(temporary, path)) ok = false, saved = errno;
            if (!ok) {
                errno = saved;
                e = io_error(cx, path);
                unlink(temporary);
            } else {
                sync_folder(path);
            }
        }
    }
    tide_release(cx, t.p, t.room);
    tide_release(cx, temporary, npath + 32);
    tide_release(cx, list, bytes);
    return e;
}
