/* tide.compile(fn): calls of the result are steps. */
#include "bindings/lua_tide.h"

/* Bytes that name a step: the function and the metas of its tensor arguments, tables one level deep. */
static void add_value(lua_State *L, tide_lua *s, luaL_Buffer *b, int i, int depth) {
    tide_tensor *t = tide_lua_test(L, s, i);
    if (t) {
        luaL_addchar(b, 'T');
        luaL_addlstring(b, (const char *)&t->meta.ndim, sizeof t->meta.ndim);
        luaL_addchar(b, (char)t->meta.dtype);
        luaL_addlstring(b, (const char *)t->meta.shape, (size_t)t->meta.ndim * sizeof *t->meta.shape);
    } else if (lua_istable(L, i) && depth == 0) {
        luaL_addchar(b, '{');
    } else {
        luaL_addchar(b, (char)('a' + lua_type(L, i)));
    }
}

/* A compiled function: upvalues state, fn, identity. */
static int run(lua_State *L) {
    tide_lua *s = tide_lua_enter(L);
    int nargs = lua_gettop(L);
    const void *self = lua_topointer(L, lua_upvalueindex(3));
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    luaL_addlstring(&b, (const char *)&self, sizeof self);
    for (int i = 1; i <= nargs; i++) add_value(L, s, &b, i, 0);
    luaL_pushresult(&b);
    size_t n;
    const char *key = lua_tolstring(L, -1, &n);
    tide_status e = tide_step_begin(s->cx, key, n);
    lua_pop(L, 1);
    if (e) return tide_lua_raise(L, s);
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_insert(L, 1);
    if (lua_pcall(L, nargs, LUA_MULTRET, 0)) {
        tide_step_abort(s->cx);
        tide_error(s->cx, NULL); /* the script's own error is the one to report */
        return lua_error(L);
    }
    s->L = L;
    int nres = lua_gettop(L);
    tide_tensor *out[TIDE_MAXARGS];
    int nout = 0;
    for (int i = 1; i <= nres && nout < TIDE_MAXARGS; i++) {
        handle *h = lua_touserdata(L, i);
        if (!h || !lua_getmetatable(L, i)) continue;
        if (lua_topointer(L, -1) == s->tensor_mt && h->t) out[nout++] = h->t;
        lua_pop(L, 1);
    }
    if (tide_step_end(s->cx, out, nout)) return tide_lua_raise(L, s);
    return nres;
}

static int compile(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    lua_pushlightuserdata(L, STATE(L));
    lua_insert(L, 1);
    lua_newtable(L);
    lua_pushcclosure(L, run, 3);
    return 1;
}

static int counters(lua_State *L) {
    tide_counters c;
    tide_count(STATE(L)->cx, &c);
    lua_createtable(L, 0, 8);
#define FIELD(name) lua_pushinteger(L, (lua_Integer)c.name), lua_setfield(L, -2, #name)
    FIELD(calls), FIELD(matched), FIELD(launches), FIELD(deopts), FIELD(recordings), FIELD(kernels), FIELD(programs), FIELD(allocs);
#undef FIELD
    return 1;
}

void tide_lua_open_compile(lua_State *L, tide_lua *s) {
    tide_lua_register(L, s, (luaL_Reg[]){{"compile", compile}, {"counters", counters}, {NULL, NULL}});
}
