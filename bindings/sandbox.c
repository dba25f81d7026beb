/* What scripts that nobody trusts get in place of stock functions: each of these can be stopped, or ends soon.
 */
#include "bindings/engine_parts.h"
#include <lualib.h>

enum { LONGEST_CHUNK = 1 << 20 };

static tide_engine *engine(lua_State *L) { return lua_touserdata(L, lua_upvalueindex(1)); }

/* ---- functions whose work grows with their strings ---- */

/* The stock function, which has no upvalues, runs in this call: its errors then have the script's name for it
 * and line. */
static int weighed(lua_State *L) { /* upvalue 2: the stock function */
    size_t length = 0;
    int n = lua_gettop(L);
    for (int i = 1; i <= n; i++)
        if (lua_type(L, i) == LUA_TSTRING) length += lua_rawlen(L, i);
    tide_engine_tick(L, engine(L), 1 + length / 8);
    return lua_tocfunction(L, lua_upvalueindex(2))(L);
}

/* Wraps the functions of the table on top. */
static void weigh(lua_State *L, tide_engine *e, const char *const *names) {
    for (; *names; names++) {
        lua_pushlightuserdata(L, e);
        lua_getfield(L, -2, *names);
        lua_pushcclosure(L, weighed, 2);
        lua_setfield(L, -2, *names);
    }
}

static int rep(lua_State *L) { /* string.rep(s, n[, sep]) */
    size_t l, lsep;
    const char *s = luaL_checklstring(L, 1, &l);
    lua_Integer n = luaL_checkinteger(L, 2);
    const char *sep = luaL_optlstring(L, 3, "", &lsep);
    if (n <= 0 || l + lsep == 0) return lua_pushliteral(L, ""), 1;
    if (l + lsep > (size_t)LUA_MAXINTEGER / (size_t)n) return luaL_error(L, "resulting string too large");
    size_t total = l * (size_t)n + lsep * (size_t)(n - 1), unit = l + lsep;
    tide_engine_tick(L, engine(L), 1 + total / 64);
    luaL_Buffer b;
    char *at = luaL_buffinitsize(L, &b, total);
    if (n == 1) {
        memcpy(at, s, l);
    } else {
        memcpy(at, s, l);
        memcpy(at + l, sep, lsep);
        for (size_t done = unit; done < total;) { /* doubling */
            size_t more = done < total - done ? done : total - done;
            memcpy(at + done, at, more);
            done += more;
        }
    }
    luaL_pushresultsize(&b, total);
    return 1;
}

/* ---- base ---- */

/* An error raised in a hook calls the handler without hooks, where nothing could stop it. */
static int handled(lua_State *L) { /* upvalue 2: the script's handler */
    if (tide_engine_stopped(engine(L))) return 1;
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_insert(L, 1);
    lua_call(L, 1, 1);
    return 1;
}
static int after_xpcall(lua_State *L, int status, lua_KContext extra) {
    if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L) - (int)extra;
    lua_pushboolean(L, 0);
    lua_pushvalue(L, -2);
    return 2;
}
static int protected(lua_State *L) { /* xpcall(f, handler, ...) */
    int n = lua_gettop(L);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushlightuserdata(L, engine(L));
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, handled, 2);
    lua_replace(L, 2);
    lua_pushboolean(L, 1);
    lua_pushvalue(L, 1);
    lua_rotate(L, 3, 2);
    return after_xpcall(L, lua_pcallk(L, n - 2, LUA_MULTRET, 2, 2, after_xpcall), 2);
}

static int set_metatable(lua_State *L) { /* stock, but for finalizers */
    int type = lua_type(L, 2);
    luaL_argexpected(L, type == LUA_TNIL || type == LUA_TTABLE, 2, "nil or table");
    luaL_checktype(L, 1, LUA_TTABLE);
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
        return luaL_error(L, "cannot change a protected metatable");
    if (type == LUA_TTABLE) {
        lua_pushliteral(L, "__gc");
        if (lua_rawget(L, 2) != LUA_TNIL) return luaL_error(L, "no finalizers (__gc) in a sandbox");
    }
    lua_settop(L, 2);
    lua_setmetatable(L, 1);
    return 1;
}

static int raw_set(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 2);
    luaL_checkany(L, 3);
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL) return luaL_error(L, "the library is frozen");
    lua_settop(L, 3);
    lua_rawset(L, 1);
    return 1;
}

/* load(text or function[, name[, mode[, env]]]): text only, at most 1 MiB of it */
static int load(lua_State *L) {
    tide_engine *e = engine(L);
    bool env = lua_gettop(L) >= 4;
    lua_settop(L, 4);
    const char *name = lua_isstring(L, 2) ? lua_tostring(L, 2) : NULL;
    if (!lua_isstring(L, 1)) {
        luaL_checktype(L, 1, LUA_TFUNCTION);
        if (!name) name = "=(load)";
        luaL_Buffer b;
        size_t total = 0;
        luaL_buffinit(L, &b);
        for (;;) {
            lua_pushvalue(L, 1);
            lua_call(L, 0, 1);
            if (!lua_isnil(L, -1) && !lua_isstring(L, -1))
                return luaL_error(L, "reader function must return a string");
            size_t n = lua_isnil(L, -1) ? 0 : (lua_tostring(L, -1), lua_rawlen(L, -1));
            total += n;
            if (total > LONGEST_CHUNK) break;
            if (n)
                luaL_addvalue(&b);
            else
                lua_pop(L, 1);
            if (!n) break;
            tide_engine_tick(L, e, 10);
        }
        if (total > LONGEST_CHUNK) return lua_pushnil(L), lua_pushliteral(L, "chunk too long"), 2;
        luaL_pushresult(&b);
        lua_replace(L, 1);
    }
    size_t n;
    const char *text = lua_tolstring(L, 1, &n);
    if (n > LONGEST_CHUNK) return lua_pushnil(L), lua_pushliteral(L, "chunk too long"), 2;
    if (name && strlen(name) > 256) return luaL_argerror(L, 2, "name too long");
    tide_engine_tick(L, e, 10 + n);
    if (luaL_loadbufferx(L, text, n, name ? name : "=(load)", "t")) return lua_pushnil(L), lua_insert(L, -2), 2;
    if (env) {
        lua_pushvalue(L, 4);
        if (!lua_setupvalue(L, -2, 1)) lua_pop(L, 1);
    }
    return 1;
}

static int collect(lua_State *L) { /* collectgarbage("collect" or "count") */
    static const char *const options[] = {"collect", "count", NULL};
    if (luaL_checkoption(L, 1, "collect", options) == 1)
        return lua_pushnumber(L, lua_gc(L, LUA_GCCOUNT) + lua_gc(L, LUA_GCCOUNTB) / 1024.0), 1;
    tide_engine_tick(L, engine(L), 1000 + 10 * (uint64_t)lua_gc(L, LUA_GCCOUNT));
    lua_pushinteger(L, lua_gc(L, LUA_GCCOLLECT));
    return 1;
}

/* ---- coroutines: many short ones would never come to their hooks ---- */

static int resumed(lua_State *L, lua_State *co, int nargs) { /* how many results are on L; -1: the error is */
    tide_engine *e = engine(L);
    int n;
    tide_engine_tick(L, e, 50);
    if (!lua_checkstack(co, nargs)) return lua_pushliteral(L, "too many arguments to resume"), -1;
    lua_xmove(L, co, nargs);
    lua_State *outer = tide_engine_running(e, co);
    int status = lua_resume(co, L, nargs, &n);
    tide_engine_running(e, outer);
    if (status != LUA_OK && status != LUA_YIELD) {
        /* closed at once; not if a hook ended it, for it would have no hooks any more (see co_close), nor if it
         * was not to be resumed at all */
        bool ended = lua_status(co) != LUA_OK && lua_status(co) != LUA_YIELD;
        if (ended && !tide_engine_stopped(e)) lua_resetthread(co);
        lua_xmove(co, L, 1);
        return -1;
    }
    if (!lua_checkstack(L, n + 1)) {
        lua_pop(co, n);
        return lua_pushliteral(L, "too many results to resume"), -1;
    }
    lua_xmove(co, L, n);
    return n;
}

static int co_resume(lua_State *L) {
    lua_State *co = lua_tothread(L, 1);
    luaL_argexpected(L, co, 1, "coroutine");
    int n = resumed(L, co, lua_gettop(L) - 1);
    lua_pushboolean(L, n >= 0);
    lua_insert(L, n >= 0 ? -n - 1 : -2);
    return n >= 0 ? n + 1 : 2;
}

static int co_create(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    tide_engine_tick(L, engine(L), 50);
    lua_State *co = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    return 1;
}

static int co_wrapped(lua_State *L) { /* upvalues: engine, thread */
    lua_State *co = lua_tothread(L, lua_upvalueindex(2));
    int n = resumed(L, co, lua_gettop(L));
    if (n >= 0) return n;
    if (lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

static int co_close(lua_State *L) {
    lua_State *co = lua_tothread(L, 1);
    lua_Debug at;
    luaL_argexpected(L, co, 1, "coroutine");
    int status = lua_status(co);
    if (co == L || (status == LUA_OK && lua_getstack(co, 0, &at)))
        return luaL_error(L, "cannot close a running coroutine");
    if (status != LUA_OK && status != LUA_YIELD) return lua_pushboolean(L, 0), lua_pushliteral(L, "stopped"), 2;
    status = lua_resetthread(co);
    lua_pushboolean(L, status == LUA_OK);
    if (status == LUA_OK) return 1;
    lua_xmove(co, L, 1);
    return 2;
}

static int co_wrap(lua_State *L) {
    co_create(L);
    lua_pushlightuserdata(L, engine(L));
    lua_insert(L, -2);
    lua_pushcclosure(L, co_wrapped, 2);
    return 1;
}

/* ---- in place of the stock ones ---- */

void tide_sandbox_replace(lua_State *L, tide_engine *e) {
    lua_getglobal(L, LUA_STRLIBNAME);
    weigh(L, e,
          (const char *const[]){"byte", "char", "format", "lower", "upper", "reverse", "pack", "unpack",
                                "packsize", "sub", NULL});
    tide_sandbox_patterns(L, e);
    tide_sandbox_functions(L, e, (luaL_Reg[]){{"rep", rep}, {NULL, NULL}});
    lua_pushnil(L);
    lua_setfield(L, -2, "dump");
    lua_getglobal(L, LUA_UTF8LIBNAME);
    weigh(L, e, (const char *const[]){"char", "codepoint", "codes", "len", "offset", NULL});
    lua_getglobal(L, LUA_TABLIBNAME);
    tide_sandbox_lists(L, e);
    lua_getglobal(L, LUA_COLIBNAME);
    tide_sandbox_functions(L, e,
                           (luaL_Reg[]){{"create", co_create},
                                        {"resume", co_resume},
                                        {"wrap", co_wrap},
                                        {"close", co_close},
                                        {NULL, NULL}});
    lua_pushglobaltable(L);
    weigh(L, e, (const char *const[]){"tonumber", NULL});
    lua_pop(L, 5);
}

void tide_sandbox_close(lua_State *L, tide_engine *e) {
    lua_getglobal(L, "require");
    lua_pushliteral(L, "tide.sandbox");
    lua_call(L, 1, 1);
    lua_newtable(L);
    tide_sandbox_functions(L, e,
                           (luaL_Reg[]){{"xpcall", protected},
                                        {"setmetatable", set_metatable},
                                        {"rawset", raw_set},
                                        {"load", load},
                                        {"collectgarbage", collect},
                                        {NULL, NULL}});
    lua_call(L, 1, 1);
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    lua_gc(L, LUA_GCCOLLECT);
}
