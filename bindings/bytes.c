/* A mapped file of numbers, read where they are wanted: token shards, IDX and CIFAR files. */
#include "bindings/lua_tide.h"
#include "io/file.h"

static void release(tide_lua *s, void *p) { tide_map_close(s->cx, p); }
static int bytes_len(lua_State *L), bytes_read(lua_State *L);
static const tide_lua_kind kind = {"tide.Bytes", sizeof(tide_map), release,
                                   (luaL_Reg[]){{"__len", bytes_len}, {"read", bytes_read}, {NULL, NULL}}};

static tide_map *check(lua_State *L) { return tide_lua_object(L, 1, &kind); }

static int bytes_len(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)check(L)->size);
    return 1;
}

static const struct {
    const char *name;
    uint8_t size, dtype; /* in the file, as a tensor */
    bool is_signed;
} kinds[] = {{"uint8", 1, TIDE_U8, false}, {"int8", 1, TIDE_I8, true},     {"uint16", 2, TIDE_I64, false},
             {"int16", 2, TIDE_I64, true}, {"uint32", 4, TIDE_I64, false}, {"int32", 4, TIDE_I32, true},
             {"int64", 8, TIDE_I64, true}, {"float32", 4, TIDE_F32, true}, {"float64", 8, TIDE_F64, true}};

static uint64_t load(const unsigned char *p, int size, bool big) {
    uint64_t v = 0;
    for (int i = 0; i < size; i++) v |= (uint64_t)p[i] << 8 * (big ? size - 1 - i : i);
    return v;
}

/* bytes:read(kind, at, n[, big_endian]): n numbers from byte `at` (from 0) as a 1-d tensor; what has no dtype
 * of its own, as int64 */
static int bytes_read(lua_State *L) {
    tide_lua *s = tide_lua_enter(L);
    const tide_map *m = check(L);
    const char *name = luaL_checkstring(L, 2);
    lua_Integer at = luaL_checkinteger(L, 3), n = luaL_checkinteger(L, 4);
    bool big = lua_toboolean(L, 5);
    size_t k = 0;
    while (k < sizeof kinds / sizeof *kinds && strcmp(name, kinds[k].name)) k++;
    if (k == sizeof kinds / sizeof *kinds)
        return tide_lua_error(L, s, "bytes", "no numbers are called '%s'", name);
    int size = kinds[k].size;
    if (at < 0 || n < 0 || (uint64_t)at > m->size || (uint64_t)n > (m->size - (uint64_t)at) / (unsigned)size)
        return tide_lua_error(L, s, "bytes",
                              "%I numbers of %d bytes from byte %I are not in a file of %I bytes", n, size, at,
                              (lua_Integer)m->size);
    handle *h = tide_lua_box(L, s);
    tide_meta meta = {.shape = {n}, .ndim = 1, .dtype = kinds[k].dtype};
    tide_tensor *t = tide_tensor_new(s->cx, &meta);
    if (!t) return tide_lua_raise(L, s);
    const unsigned char *p = (const unsigned char *)m->data + at;
    int wide = (int)tide_dtype_size((tide_dtype)meta.dtype);
    char *to = tide_data(t);
    if (size == 1) {
        if (n) memcpy(to, p, (size_t)n);
    } else {
        for (lua_Integer i = 0; i < n; i++, p += size, to += wide) {
            uint64_t v = load(p, size, big);
            if (kinds[k].is_signed && size < wide)
                v = (uint64_t)((int64_t)(v << (64 - 8 * size)) >> (64 - 8 * size));
            uint32_t narrow = (uint32_t)v;
            memcpy(to, wide == 4 ? (void *)&narrow : (void *)&v, (size_t)wide);
        }
    }
    tide_lua_fill(s, h, t);
    return 1;
}

static int new_bytes(lua_State *L) { /* _bytes(path) */
    tide_lua *s = tide_lua_enter(L);
    const char *path = luaL_checkstring(L, 1);
    if (tide_map_open(s->cx, path, tide_lua_new(L, s, &kind))) return tide_lua_fail(L, s);
    return 1;
}

void tide_lua_open_bytes(lua_State *L, tide_lua *s) {
    tide_lua_register(L, s, (luaL_Reg[]){{"_bytes", new_bytes}, {NULL, NULL}});
}
