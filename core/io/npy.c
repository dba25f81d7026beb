/* The header is a Python literal, of which only what NumPy writes is understood: nothing is evaluated. */
#include "io/npy.h"
#include "io/json.h"
#include <stdio.h>

typedef struct {
    const char *descr; /* as NumPy writes it */
    uint8_t dtype, item;
} dtype_row;

static const dtype_row dtypes[] = {
    {"f4", TIDE_F32, 4}, {"f8", TIDE_F64, 8}, {"f2", TIDE_F16, 2},  {"i8", TIDE_I64, 8}, {"i4", TIDE_I32, 4},
    {"u1", TIDE_U8, 1},  {"i1", TIDE_I8, 1},  {"b1", TIDE_BOOL, 1}, {"?", TIDE_BOOL, 1},
};
enum { NDTYPES = sizeof dtypes / sizeof *dtypes };

/* Known to NumPy, not to Tide: letter and sizes. Texts and voids have any size. */
static bool foreign(char kind, const char *size) {
    static const char *const sizes[] = {"i 2", "u 2 4 8", "f 12 16", "c 8 16 24 32", "M 8", "m 8"};
    char want[24];
    if (kind && strchr("SUVa", kind)) return strspn(size, "0123456789") == strlen(size);
    if (kind == 'O') return true;
    if (strlen(size) > 16 || strcspn(size, " [") == 0) return false;
    snprintf(want, sizeof want, " %.*s ", (int)strcspn(size, "["), size); /* M8[ns] */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char have[24];
        snprintf(have, sizeof have, "%s ", sizes[i] + 1);
        if (sizes[i][0] == kind && strstr(have, want)) return true;
    }
    return false;
}

/* ---- the literal ---- */

typedef struct {
    tide_context *cx;
    const char *name, *at, *end;
} reader;

static tide_status malformed(reader *r, const char *what) {
    return tide_fail(r->cx, TIDE_EFORMAT, "%s: no npy array: %s", r->name, what);
}

static void space(reader *r) {
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r')) r->at++;
}

/* Whether the next thing is c; then it is passed. */
static bool pass(reader *r, char c) {
    space(r);
    if (r->at == r->end || *r->at != c) return false;
    r->at++;
    return true;
}

static bool pass_word(reader *r, const char *word) {
    size_t n = strlen(word);
    space(r);
    if ((size_t)(r->end - r->at) < n || memcmp(r->at, word, n)) return false;
    r->at += n;
    return true;
}

/* A string without escapes, cut to what fits. */
static bool text(reader *r, char *out, size_t room) {
    space(r);
    if (r->at == r->end || (*r->at != '\'' && *r->at != '"')) return false;
    char quote = *r->at++;
    size_t n = 0;
    for (; r->at < r->end && *r->at != quote; r->at++) {
        if (*r->at == '\\' || *r->at == '\n' || !*r->at) return false;
        if (n + 1 < room) out[n++] = *r->at;
    }
    out[n] = 0;
    return r->at++ < r->end;
}

static bool number(reader *r, int64_t *out) {
    space(r);
    const char *begin = r->at;
    *out = 0;
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++)
        if (__builtin_mul_overflow(*out, 10, out) || __builtin_add_overflow(*out, *r->at - '0', out))
            return false;
    bool some = r->at > begin;
    if (some && r->at < r->end && *r->at == 'L') r->at++; /* Python 2 */
    return some;
}

static bool shape(reader *r, tide_npy *a) {
    int64_t d;
    if (!pass(r, '(')) return false;
    while (!pass(r, ')')) {
        if (!number(r, &d)) return false;
        if (a->ndim < TIDE_MAXDIM) a->shape[a->ndim] = d;
        a->ndim++;
        if (pass(r, ')')) return a->ndim > 1; /* (6) is a number */
        if (!pass(r, ',')) return false;
    }
    return true;
}

static tide_status descr(reader *r, tide_npy *a) {
    char name[32];
    space(r);
    if (r->at < r->end && *r->at == '[')
        return tide_fail(r->cx, TIDE_EUNSUP, "%s: an array of records, which is no tensor", r->name);
    if (!text(r, name, sizeof name)) return malformed(r, "descr is no dtype");
    const char *p = name;
    bool little = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
    if (*p == '<' || *p == '>') a->swap = (*p == '<') != little;
    if (*p && strchr("<>=|", *p)) p++;
    for (int k = 0; k < NDTYPES; k++)
        if (!strcmp(dtypes[k].descr, p)) {
            a->dtype = dtypes[k].dtype;
            a->item = dtypes[k].item;
            return TIDE_OK;
        }
    if (*p == 'O')
        return tide_fail(r->cx, TIDE_EUNSUP, "%s: an array of objects, which are pickles: refused", r->name);
    if (*p && foreign(*p, p + 1))
        return tide_fail(r->cx, TIDE_EUNSUP, "%s: dtype '%s', which Tide does not have", r->name, name);
    return malformed(r, "descr is no dtype");
}

static tide_status header(reader *r, tide_npy *a) {
    enum { DESCR = 1, ORDER = 2, SHAPE = 4 };
    char key[16];
    int seen = 0;
    if (!pass(r, '{')) return malformed(r, "the header is no dictionary");
    while (!pass(r, '}')) {
        if (!text(r, key, sizeof key) || !pass(r, ':')) return malformed(r, "the header cannot be read");
        int what = !strcmp(key, "descr")           ? DESCR
                   : !strcmp(key, "fortran_order") ? ORDER
                   : !strcmp(key, "shape")         ? SHAPE
                                                   : 0;
        if (!what || seen & what) return malformed(r, "the header has a key too many");
        seen |= what;
        if (what == DESCR) {
            tide_status e = descr(r, a);
            if (e) return e;
        } else if (what == ORDER) {
            a->fortran = pass_word(r, "True");
            if (!a->fortran && !pass_word(r, "False"))
                return malformed(r, "fortran_order is neither True nor False");
        } else if (!shape(r, a)) {
            return malformed(r, "the shape is no tuple of sizes");
        }
        if (pass(r, ',')) continue;
        if (!pass(r, '}')) return malformed(r, "the header cannot be read");
        break;
    }
    space(r);
    if (seen != (DESCR | ORDER | SHAPE)) return malformed(r, "the header lacks descr, fortran_order or shape");
    if (r->at < r->end) return malformed(r, "something follows the header's dictionary");
    return TIDE_OK;
}

/* All but whether the array is there: a->data is where it should be. */
static tide_status read_header(tide_context *cx, const char *name, const char *bytes, size_t n, tide_npy *a) {
    const unsigned char *u = (const unsigned char *)bytes;
    reader r = {cx, name, NULL, NULL};
    memset(a, 0, sizeof *a);
    if (n < 8 || memcmp(bytes, "\x93NUMPY", 6)) return malformed(&r, "it does not begin as one");
    if (u[6] < 1 || u[6] > 3 || u[7]) return malformed(&r, "its version is none of 1.0, 2.0 and 3.0");
    size_t start = u[6] == 1 ? 10 : 12, length;
    if (n < start) return malformed(&r, "it ends in the header");
    length = (size_t)u[8] | (size_t)u[9] << 8;
    if (u[6] > 1) length |= (size_t)u[10] << 16 | (size_t)u[11] << 24;
    if (length > n - start) return malformed(&r, "it ends in the header");
    r.at = bytes + start;
    r.end = r.at + length;
    if (u[6] == 3 && !tide_utf8_valid(r.at, length)) return malformed(&r, "its header is not UTF-8");
    tide_status e = header(&r, a);
    if (e) return e;
    size_t count = a->item, room = count; /* room: strides must fit, also where a size is 0 */
    for (int d = 0; d < a->ndim && d < TIDE_MAXDIM; d++) {
        size_t k = (size_t)a->shape[d];
        if (__builtin_mul_overflow(room, k ? k : 1, &room) || room > INT64_MAX / 16)
            return malformed(&r, "its shape is too large");
        count *= k;
    }
    if (a->ndim > TIDE_MAXDIM)
        return tide_fail(cx, TIDE_EUNSUP, "%s: %d dims, which Tide does not have", name, a->ndim);
    a->data = bytes + start + length;
    a->nbytes = count;
    return TIDE_OK;
}

tide_status tide_npy_read(tide_context *cx, const char *name, const char *bytes, size_t n, tide_npy *a) {
    tide_status e = read_header(cx, name, bytes, n, a);
    if (!e && a->nbytes > n - (size_t)(a->data - bytes))
        e = malformed(&(reader){.cx = cx, .name = name}, "it ends before the last element");
    return e;
}

tide_status tide_npy_size(tide_context *cx, const char *name, const char *bytes, size_t n, size_t *size) {
    tide_npy a;
    tide_status e = read_header(cx, name, bytes, n, &a);
    if (!e) *size = (size_t)(a.data - bytes) + a.nbytes;
    return e;
}

/* ---- elements ---- */

static void put_element(char *dst, const char *src, const tide_npy *a) {
    if (a->dtype == TIDE_BOOL)
        *dst = *src != 0;
    else if (!a->swap)
        memcpy(dst, src, a->item);
    else
        for (int i = 0; i < a->item; i++) dst[i] = src[a->item - 1 - i];
}

void tide_npy_copy(const tide_npy *a, void *dst) {
    char *p = dst;
    if (!a->nbytes) return;
    if (a->dtype != TIDE_BOOL && !a->swap && (!a->fortran || a->ndim < 2)) {
        memcpy(p, a->data, a->nbytes);
        return;
    }
    size_t step[TIDE_MAXDIM] = {0}, at = 0; /* bytes of the source, and where it is read */
    int64_t index[TIDE_MAXDIM] = {0};
    size_t s = a->item;
    for (int k = 0; k < a->ndim; k++) {
        int d = a->fortran ? k : a->ndim - 1 - k;
        step[d] = s;
        s *= (size_t)a->shape[d];
    }
    for (size_t done = 0; done < a->nbytes; done += a->item, p += a->item) {
        put_element(p, a->data + at, a);
        for (int d = a->ndim - 1; d >= 0; d--) {
            at += step[d];
            if (++index[d] < a->shape[d]) break;
            at -= step[d] * (size_t)a->shape[d];
            index[d] = 0;
        }
    }
}

size_t tide_npy_header(uint8_t dtype, int ndim, const int64_t *sizes, char out[TIDE_NPY_HEADER]) {
    int k = 0;
    while (k < NDTYPES && dtypes[k].dtype != dtype) k++;
    if (k == NDTYPES) return 0;
    char order = dtypes[k].item == 1 ? '|' : __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? '<' : '>';
    memcpy(out, "\x93NUMPY\1", 8);
    int n = 10 + snprintf(out + 10, TIDE_NPY_HEADER - 10,
                          "{'descr': '%c%s', 'fortran_order': False, 'shape': (", order, dtypes[k].descr);
    for (int d = 0; d < ndim; d++)
        n += snprintf(out + n, TIDE_NPY_HEADER - (size_t)n, "%lld%s", (long long)sizes[d],
                      d + 1 < ndim ? ", "
                      : ndim == 1  ? ","
                                   : "");
    n += snprintf(out + n, TIDE_NPY_HEADER - (size_t)n, "), }");
    while (n % 64 != 63) out[n++] = ' ';
    out[n++] = '\n';
    out[8] = (char)((n - 10) & 255);
    out[9] = (char)((n - 10) >> 8);
    return (size_t)n;
}
