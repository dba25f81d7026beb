/* A message belongs to no context: it is made in one thread and taken apart in another, so its memory is
 * malloc's. */
#include "bindings/message.h"
#include <stdlib.h>

enum { DEEPEST = 64 };

tide_message *tide_message_new(void) { return calloc(1, sizeof(tide_message)); }

void tide_message_free(tide_message *m) {
    if (!m) return;
    for (size_t i = 0; i < m->ntensor; i++) free(m->tensor[i]);
    free(m->tensor);
    free(m->bytes);
    free(m);
}

static bool grow(void **p, size_t *room, size_t want, size_t size) {
    if (want <= *room) return true;
    size_t n = want + *room / 2 + 64;
    void *q = realloc(*p, n * size);
    if (!q) return false;
    *p = q;
    *room = n;
    return true;
}

static bool add(tide_message *m, const void *data, size_t n) {
    if (!grow((void **)&m->bytes, &m->room, m->size + n, 1)) return false;
    if (n) memcpy(m->bytes + m->size, data, n);
    m->size += n;
    return true;
}

static bool add_tagged(tide_message *m, char tag, const void *data, size_t n) {
    return add(m, &tag, 1) && add(m, data, n);
}

bool tide_message_put_text(tide_message *m, const char *text, size_t n) {
    return add_tagged(m, 's', &n, sizeof n) && add(m, text, n);
}

/* ---- in ---- */

static bool put_tensor(lua_State *L, tide_lua *s, tide_message *m, tide_tensor *t) {
    size_t n = tide_dtype_size((tide_dtype)t->meta.dtype);
    for (int d = 0; d < t->meta.ndim; d++) n *= (size_t)t->meta.shape[d];
    if (!grow((void **)&m->tensor, &m->tensor_room, m->ntensor + 1, sizeof *m->tensor)) return false;
    void *data = aligned_alloc(TIDE_ALIGN, (n + TIDE_ALIGN) / TIDE_ALIGN * TIDE_ALIGN);
    if (!data) return false;
    m->tensor[m->ntensor++] = data;
    if (tide_read(t, data, n)) tide_lua_raise(L, s);
    uint64_t which = m->ntensor - 1;
    return add_tagged(m, 't', &t->meta, sizeof t->meta) && add(m, &which, sizeof which);
}

static void put(lua_State *L, tide_lua *s, tide_message *m, int i, int depth, const char *who) {
    bool fits = true;
    luaL_checkstack(L, 8, who);
    i = lua_absindex(L, i);
    switch (lua_type(L, i)) {
    case LUA_TNIL: fits = add(m, "n", 1); break;
    case LUA_TBOOLEAN: fits = add(m, lua_toboolean(L, i) ? "1" : "0", 1); break;
    case LUA_TNUMBER:
        if (lua_isinteger(L, i)) {
            lua_Integer v = lua_tointeger(L, i);
            fits = add_tagged(m, 'i', &v, sizeof v);
        } else {
            lua_Number v = lua_tonumber(L, i);
            fits = add_tagged(m, 'f', &v, sizeof v);
        }
        break;
    case LUA_TSTRING: {
        size_t n;
        const char *text = lua_tolstring(L, i, &n);
        fits = tide_message_put_text(m, text, n);
        break;
    }
    case LUA_TTABLE: {
        if (depth == DEEPEST)
            tide_lua_error(L, s, who, "a table nested deeper than %d, or in itself, cannot be sent", DEEPEST);
        if (lua_getmetatable(L, i))
            tide_lua_error(L, s, who, "a table with a metatable cannot be sent to another thread");
        uint32_t n = (uint32_t)lua_rawlen(L, i);
        fits = add_tagged(m, '{', &n, sizeof n);
        lua_pushnil(L);
        while (fits && lua_next(L, i)) {
            put(L, s, m, -2, depth + 1, who);
            put(L, s, m, -1, depth + 1, who);
            lua_pop(L, 1);
        }
        fits = fits && add(m, "}", 1);
        break;
    }
    default: {
        tide_tensor *t = tide_lua_test(L, s, i);
        if (t)
            fits = put_tensor(L, s, m, t);
        else
            tide_lua_error(L, s, who, "a %s cannot be sent to another thread", luaL_typename(L, i));
    }
    }
    if (!fits) tide_lua_error(L, s, who, "out of memory");
}

void tide_message_put(lua_State *L, tide_lua *s, tide_message *m, int i, const char *who) {
    put(L, s, m, i, 0, who);
}

/* ---- out ---- */

static void get(tide_message *m, void *to, size_t n) {
    memcpy(to, m->bytes + m->at, n);
    m->at += n;
}

static void take_tensor(lua_State *L, tide_lua *s, tide_message *m) {
    tide_meta meta;
    uint64_t which;
    get(m, &meta, sizeof meta);
    get(m, &which, sizeof which);
    handle *h = tide_lua_box(L, s);
    tide_tensor *t = tide_wrap(s->cx, &meta, m->tensor[which], free, m->tensor[which]);
    if (!t) tide_lua_raise(L, s);
    m->tensor[which] = NULL;
    tide_lua_fill(s, h, t);
}

void tide_message_take(lua_State *L, tide_lua *s, tide_message *m) {
    char tag;
    lua_Integer i;
    lua_Number f;
    size_t n;
    uint32_t entries;
    luaL_checkstack(L, 4, "message");
    get(m, &tag, 1);
    switch (tag) {
    case '0':
    case '1': lua_pushboolean(L, tag == '1'); return;
    case 'i': get(m, &i, sizeof i); return lua_pushinteger(L, i);
    case 'f': get(m, &f, sizeof f); return lua_pushnumber(L, f);
    case 's':
        get(m, &n, sizeof n);
        lua_pushlstring(L, m->bytes + m->at, n);
        m->at += n;
        return;
    case 't': take_tensor(L, s, m); return;
    case '{':
        get(m, &entries, sizeof entries);
        lua_createtable(L, entries < 1 << 20 ? (int)entries : 1 << 20, 0);
        while (m->bytes[m->at] != '}') {
            tide_message_take(L, s, m);
            tide_message_take(L, s, m);
            lua_rawset(L, -3);
        }
        m->at++;
        return;
    default: lua_pushnil(L);
    }
}
