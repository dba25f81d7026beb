/* tide.compile(fn): calls of the result are steps. */
#include "bindings/lua_tide.h"

/* The handle at i if it is a tensor's and has not been closed. */
static handle *open_handle(lua_State *L, tide_lua *s, int i) {
    handle *h = tide_lua_handle(L, s, i);
    return h && h->t ? h : NULL;
}

static void add_meta(luaL_Buffer *b, const tide_meta *m) {
    luaL_addchar(b, 'T');
    luaL_addchar(b, (char)m->dtype);
    luaL_addchar(b, (char)m->ndim);
    luaL_addlstring(b, (const char *)m->shape, (size_t)m->ndim * sizeof *m->shape);
}

/* Pushes the bytes that name a step: the function and the metas of its tensor arguments, sequences one level
 * deep. They only tell steps apart; the core checks every call against what it recorded. */
static void push_key(lua_State *L, tide_lua *s, const void *self, int nargs) {
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    luaL_addlstring(&b, (const char *)&self, sizeof self);
    for (int i = 1; i <= nargs; i++) {
        const handle *h = open_handle(L, s, i);
        if (h) {
            add_meta(&b, &h->t->meta);
            continue;
        }
        luaL_addchar(&b, (char)('a' + lua_type(L, i)));
        if (!lua_istable(L, i)) continue;
        for (lua_Integer k = 1, n = (lua_Integer)lua_rawlen(L, i); k <= n; k++) {
            lua_rawgeti(L, i, k);
            h = open_handle(L, s, -1);
            lua_pop(L, 1); /* the buffer wants its place on top */
            if (h) add_meta(&b, &h->t->meta);
        }
        luaL_addchar(&b, '}');
    }
    luaL_pushresult(&b);
}

/* Counts the tensors among the values from `first` on, tables one level deep, and puts them into out unless it
 * is NULL. */
static int results(lua_State *L, tide_lua *s, int first, int last, tide_tensor **out) {
    int n = 0;
    for (int i = first; i <= last; i++) {
        const handle *h = open_handle(L, s, i);
        if (h) {
            if (out) out[n] = h->t;
            n++;
        } else if (lua_istable(L, i)) {
            lua_pushnil(L);
            while (lua_next(L, i)) {
                if ((h = open_handle(L, s, -1))) {
                    if (out) out[n] = h->t;
                    n++;
                }
                lua_pop(L, 1);
            }
        }
    }
    return n;
}

static void abandon(tide_lua *s, int was) {
    (void)was;
    tide_step_abort(s->cx);
    tide_error(s->cx, NULL); /* the script's own error is the one to report */
}

/* A compiled function: upvalues state, fn, what goes with it, and the address of that: its identity. */
static int run(lua_State *L) {
    tide_lua *s = tide_lua_enter(L);
    int nargs = lua_gettop(L);
    size_t nkey;
    push_key(L, s, lua_touserdata(L, lua_upvalueindex(4)), nargs);
    const char *key = lua_tolstring(L, -1, &nkey);
    tide_lua_guard *guard = tide_lua_guarded(L, s);
    if (tide_step_begin(s->cx, key, nkey)) return tide_lua_raise(L, s);
    guard->undo = abandon;
    int base = lua_gettop(L);
    luaL_checkstack(L, nargs + 4, "too many arguments");
    lua_pushvalue(L, lua_upvalueindex(2));
    for (int i = 1; i <= nargs; i++) lua_pushvalue(L, i);
    lua_call(L, nargs, LUA_MULTRET); /* not to be yielded across: a step is one piece */
    s->L = L;
    int last = lua_gettop(L);
    luaL_checkstack(L, 4, "too many results");
    int n = results(L, s, base + 1, last, NULL);
    tide_tensor **out = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *out, 0);
    results(L, s, base + 1, last, out);
    guard->undo = NULL;
    if (tide_step_end(s->cx, out, n)) return tide_lua_raise(L, s);
    lua_settop(L, last);
    return last - base;
}

/* The function is gone: so are its steps. */
static void forget(tide_lua *s, void *p) { tide_step_forget(s->cx, &p, sizeof p); }
static const tide_lua_kind identity = {"tide.Step", 1, forget, (luaL_Reg[]){{NULL, NULL}}};

static int compile(lua_State *L) { /* (fn): fn may be anything that can be called */
    if (!lua_isfunction(L, 1) && luaL_getmetafield(L, 1, "__call") == LUA_TNIL)
        return tide_lua_error(L, STATE(L), "compile", "expected a function, got %s", luaL_typename(L, 1));
    lua_settop(L, 1);
    lua_pushlightuserdata(L, STATE(L));
    lua_insert(L, 1);
    lua_pushlightuserdata(L, tide_lua_new(L, lua_touserdata(L, 1), &identity));
    lua_pushcclosure(L, run, 4);
    return 1;
}

static int counters(lua_State *L) {
    tide_counters c;
    tide_count(tide_lua_context(L), &c);
    lua_createtable(L, 0, 9);
#define FIELD(name) lua_pushinteger(L, (lua_Integer)c.name), lua_setfield(L, -2, #name)
    FIELD(threads), FIELD(calls), FIELD(matched), FIELD(launches), FIELD(deopts), FIELD(recordings),
        FIELD(kernels), FIELD(programs), FIELD(allocs);
#undef FIELD
    lua_pushstring(L, c.refused);
    lua_setfield(L, -2, "refused");
    return 1;
}

void tide_lua_open_compile(lua_State *L, tide_lua *s) {
    tide_lua_register(L, s, (luaL_Reg[]){{"compile", compile}, {"counters", counters}, {NULL, NULL}});
}
