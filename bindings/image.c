/* Images to and from tensors; lua/tide/image.lua checks the arguments. */
#include "bindings/lua_tide.h"
#include "io/image.h"

typedef struct {
    tide_context *cx;
    tide_tensor *t;
} target;

static unsigned char *room(void *arg, int channels, int height, int width) {
    target *to = arg;
    tide_meta m = {.ndim = 3, .dtype = TIDE_U8, .shape = {channels, height, width}};
    to->t = tide_tensor_new(to->cx, &m);
    return to->t ? (unsigned char *)tide_data(to->t) : NULL;
}

static int load(lua_State *L) { /* _load_image(path, channels): tensor */
    tide_lua *s = tide_lua_enter(L);
    const char *path = luaL_checkstring(L, 1);
    int channels = (int)luaL_checkinteger(L, 2);
    handle *h = tide_lua_box(L, s);
    target to = {.cx = s->cx};
    tide_map map;
    if (tide_map_open(s->cx, path, &map)) return tide_lua_fail(L, s);
    tide_status e = tide_image_read(s->cx, path, map.data, map.size, channels, room, &to);
    tide_map_close(s->cx, &map);
    if (e) {
        tide_free(to.t);
        return tide_lua_fail(L, s);
    }
    tide_lua_fill(s, h, to.t);
    return 1;
}

static int save(lua_State *L) { /* _save_image(path, uint8 tensor of 3 dims, quality; 0: PNG): size, crc32c */
    tide_lua *s = tide_lua_enter(L);
    const char *path = luaL_checkstring(L, 1);
    tide_tensor *t = tide_lua_check(L, s, 2, "save");
    int quality = (int)luaL_checkinteger(L, 3);
    const int64_t *shape = t->meta.shape;
    bool image = t->meta.ndim == 3 && t->meta.dtype == TIDE_U8 && shape[0] >= 1 && shape[0] <= 4 &&
                 shape[1] >= 1 && shape[1] <= INT32_MAX && shape[2] >= 1 && shape[2] <= INT32_MAX;
    luaL_argcheck(L, image && (!quality || shape[0] % 2), 2, "no image");
    if (tide_sync(t)) return tide_lua_raise(L, s);
    tide_tensor *c = tide_is_contiguous(t) ? tide_keep(t) : tide_call1(s->cx, TIDE_OP_CLONE, &t, 1, NULL);
    if (!c) return tide_lua_raise(L, s);
    const unsigned char *planes = (const unsigned char *)tide_data(c);
    int channels = (int)c->meta.shape[0], height = (int)c->meta.shape[1], width = (int)c->meta.shape[2];
    tide_writer w;
    tide_status e = tide_writer_open(s->cx, &w, path);
    if (!e)
        e = quality ? tide_jpeg_write(&w, planes, channels, height, width, quality)
                    : tide_png_write(&w, planes, channels, height, width);
    if (e) w.error = e;
    e = tide_writer_close(&w);
    tide_free(c);
    if (e) return tide_lua_fail(L, s);
    lua_pushinteger(L, (lua_Integer)w.size);
    lua_pushinteger(L, w.crc32c);
    return 2;
}

void tide_lua_open_image(lua_State *L, tide_lua *s) {
    tide_lua_register(L, s, (luaL_Reg[]){{"_load_image", load}, {"_save_image", save}, {NULL, NULL}});
}
