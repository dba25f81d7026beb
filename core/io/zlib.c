/* Every call of zlib. The library is loaded when it is first needed, so that Tide runs without it. */
#include "io/zip.h"
#include <stdio.h>

#ifdef TIDE_HAVE_ZLIB
#include <dlfcn.h>
#include <zlib.h>

#define EACH_FUNCTION(X) \
    X(inflateInit2_)     \
    X(inflate) X(inflateEnd) X(deflateInit2_) X(deflate) X(deflateEnd) X(deflateBound) X(zlibVersion)

typedef struct {
    void *handle;
#define X(f) __typeof__(&(f)) f##_;
    EACH_FUNCTION(X)
#undef X
} library;

static bool load(library *z) {
    bool all = true;
    z->handle = dlopen("libz.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!z->handle) return false;
#define X(f) all = all && (*(void **)&z->f##_ = dlsym(z->handle, #f));
    EACH_FUNCTION(X)
#undef X
    if (!all) dlclose(z->handle);
    return all;
}

static uInt part(uint64_t n) { return n > 1u << 30 ? 1u << 30 : (uInt)n; }

tide_status tide_inflate(const tide_zip *zip, const tide_zip_entry *e, char *dst, uint64_t size) {
    tide_context *cx = zip->cx;
    library z;
    z_stream s = {0};
    Bytef none;
    bool whole = size == e->size;
    if (!load(&z)) return tide_fail(cx, TIDE_EUNSUP, "compressed entries need zlib, which was not found");
    int r = z.inflateInit2__(&s, -15, ZLIB_VERSION, (int)sizeof s);
    uint64_t in = 0, out = 0;
    s.next_out = &none;
    while (r == Z_OK && (whole || out < size)) {
        uInt a = part(e->packed - in), b = part(size - out);
        s.next_in = (z_const Bytef *)(e->data + in);
        s.avail_in = a;
        if (b) s.next_out = (Bytef *)(dst + out);
        s.avail_out = b;
        r = z.inflate_(&s, Z_NO_FLUSH);
        in += a - s.avail_in;
        out += b - s.avail_out;
    }
    z.inflateEnd_(&s);
    dlclose(z.handle);
    if (r == Z_MEM_ERROR) return tide_fail(cx, TIDE_EMEM, "out of memory in zlib");
    if (out != size || (whole && (r != Z_STREAM_END || in != e->packed)))
        return tide_fail(cx, TIDE_EFORMAT, "%s: the compressed bytes of '%.*s' are damaged", zip->path,
                         (int)e->name_length, e->name);
    return TIDE_OK;
}

tide_status tide_deflate(tide_context *cx, const void *head, size_t nhead, const void *data, size_t ndata,
                         char **packed, size_t *n, size_t *capacity) {
    library z;
    z_stream s = {0};
    *packed = NULL;
    if (!load(&z)) return tide_fail(cx, TIDE_EUNSUP, "compressed entries need zlib, which was not found");
    int r = z.deflateInit2__(&s, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
                             (int)sizeof s);
    tide_status e = TIDE_OK;
    if (r == Z_OK) {
        *capacity = z.deflateBound_(&s, nhead + ndata) + 64;
        *packed = tide_alloc(cx, *capacity);
        if (!*packed) e = TIDE_EMEM;
    }
    uint64_t in = 0, out = 0;
    while (r == Z_OK && !e) {
        bool first = in < nhead;
        uInt a = part(first ? nhead - in : nhead + ndata - in), b = part(*capacity - out);
        s.next_in = (z_const Bytef *)(first ? (const char *)head + in : (const char *)data + (in - nhead));
        s.avail_in = a;
        s.next_out = (Bytef *)(*packed + out);
        s.avail_out = b;
        r = z.deflate_(&s, in + a == nhead + ndata ? Z_FINISH : Z_NO_FLUSH);
        in += a - s.avail_in;
        out += b - s.avail_out;
    }
    *n = out;
    z.deflateEnd_(&s);
    dlclose(z.handle);
    if (!e && r != Z_STREAM_END) e = tide_fail(cx, TIDE_EMEM, "zlib could not compress");
    if (e && *packed) {
        tide_release(cx, *packed, *capacity);
        *packed = NULL;
    }
    return e;
}

void tide_zlib_text(char *out, size_t n) {
    library z;
    if (load(&z)) {
        snprintf(out, n, "%s (loaded when needed)", z.zlibVersion_());
        dlclose(z.handle);
    } else {
        snprintf(out, n, "not found at run time; compressed npz files are refused");
    }
}

#else

tide_status tide_inflate(const tide_zip *zip, const tide_zip_entry *e, char *dst, uint64_t size) {
    return tide_fail(zip->cx, TIDE_EUNSUP, "compressed entries need zlib, which this build is without");
}
tide_status tide_deflate(tide_context *cx, const void *head, size_t nhead, const void *data, size_t ndata,
                         char **packed, size_t *n, size_t *capacity) {
    return tide_fail(cx, TIDE_EUNSUP, "compressed entries need zlib, which this build is without");
}
void tide_zlib_text(char *out, size_t n) { snprintf(out, n, "not built in; compressed npz files are refused"); }

#endif
