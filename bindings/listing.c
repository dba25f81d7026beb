/* The functions of `table` for sandboxes: the same results as the stock ones, but every step is counted;
 * lengths that a
 * __len makes up and metamethods that answer for ever would keep the stock ones going. */
#include "bindings/engine_parts.h"
#include <limits.h>

enum { TICK = 64 };

static void count(lua_State *L, uint64_t *steps) {
    if (++*steps % TICK == 0) tide_engine_tick(L, lua_touserdata(L, lua_upvalueindex(1)), TICK);
}

static lua_Integer length(lua_State *L, int i) {
    luaL_checktype(L, i, LUA_TTABLE);
    return luaL_len(L, i);
}

static int insert(lua_State *L) {
    lua_Integer n = length(L, 1), at = (lua_Integer)((lua_Unsigned)n + 1);
    uint64_t steps = 0;
    int given = lua_gettop(L);
    if (given != 2 && given != 3) return luaL_error(L, "wrong number of arguments to 'insert'");
    if (given == 3) {
        lua_Integer end = at;
        at = luaL_checkinteger(L, 2);
        luaL_argcheck(L, (lua_Unsigned)at - 1u < (lua_Unsigned)end, 2, "position out of bounds");
        for (lua_Integer i = end; i > at; i--) {
            count(L, &steps);
            lua_geti(L, 1, i - 1);
            lua_seti(L, 1, i);
        }
    }
    lua_seti(L, 1, at);
    return 0;
}

static int take_out(lua_State *L) { /* remove */
    lua_Integer n = length(L, 1), at = luaL_optinteger(L, 2, n);
    uint64_t steps = 0;
    if (lua_gettop(L) > 1 && at != n)
        luaL_argcheck(L, (lua_Unsigned)at - 1u <= (lua_Unsigned)n, 2, "position out of bounds");
    lua_geti(L, 1, at);
    for (; at < n; at++) {
        count(L, &steps);
        lua_geti(L, 1, at + 1);
        lua_seti(L, 1, at);
    }
    lua_pushnil(L);
    lua_seti(L, 1, at);
    return 1;
}

static int move(lua_State *L) { /* move(from, f, e, t[, to]) */
    lua_Integer f = luaL_checkinteger(L, 2), e = luaL_checkinteger(L, 3), t = luaL_checkinteger(L, 4);
    int to = lua_isnoneornil(L, 5) ? 1 : 5;
    uint64_t steps = 0;
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, to, LUA_TTABLE);
    if (e >= f) {
        luaL_argcheck(L, f > 0 || e < LUA_MAXINTEGER + f, 3, "too many elements to move");
        lua_Integer n = e - f + 1;
        luaL_argcheck(L, t <= LUA_MAXINTEGER - n + 1, 4, "destination wrap around");
        bool up = t > e || t <= f || (to != 1 && !lua_compare(L, 1, to, LUA_OPEQ));
        for (lua_Integer k = 0; k < n; k++) {
            lua_Integer i = up ? k : n - 1 - k;
            count(L, &steps);
            lua_geti(L, 1, f + i);
            lua_seti(L, to, t + i);
        }
    }
    lua_pushvalue(L, to);
    return 1;
}

static int concat(lua_State *L) { /* concat(list[, sep[, i[, j]]]) */
    lua_Integer n = length(L, 1);
    size_t lsep;
    const char *sep = luaL_optlstring(L, 2, "", &lsep);
    lua_Integer i = luaL_optinteger(L, 3, 1), last = luaL_optinteger(L, 4, n);
    uint64_t steps = 0;
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (; i <= last; i++) {
        count(L, &steps);
        lua_geti(L, 1, i);
        if (!lua_isstring(L, -1))
            return luaL_error(L, "invalid value (at index %I) in table for 'concat'", (LUAI_UACINT)i);
        luaL_addvalue(&b);
        if (i == last) break; /* which may be the largest integer */
        luaL_addlstring(&b, sep, lsep);
    }
    luaL_pushresult(&b);
    return 1;
}

static int unpack(lua_State *L) {
    lua_Integer i = luaL_optinteger(L, 2, 1),
                e = lua_isnoneornil(L, 3) ? luaL_len(L, 1) : luaL_checkinteger(L, 3);
    uint64_t steps = 0;
    if (i > e) return 0;
    lua_Unsigned n = (lua_Unsigned)e - (lua_Unsigned)i;
    if (n >= INT_MAX || !lua_checkstack(L, (int)++n)) return luaL_error(L, "too many results to unpack");
    for (; i < e; i++) {
        count(L, &steps);
        lua_geti(L, 1, i);
    }
    lua_geti(L, 1, e);
    return (int)n;
}

/* ---- sort: by a heap, which no order of values and no comparison slows down (J. W. J. Williams, 1964) ---- */

static bool less(lua_State *L, int a, int b) {
    a = lua_absindex(L, a), b = lua_absindex(L, b);
    if (lua_isnil(L, 2)) return lua_compare(L, a, b, LUA_OPLT);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, a);
    lua_pushvalue(L, b);
    lua_call(L, 2, 1);
    bool r = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return r;
}

/* The value on top sinks from place i of the heap of n; it is popped. */
static void sink(lua_State *L, lua_Integer i, lua_Integer n, uint64_t *steps) {
    while (2 * i <= n) {
        lua_Integer child = 2 * i;
        count(L, steps);
        lua_geti(L, 1, child);
        if (child < n) {
            lua_geti(L, 1, child + 1);
            if (less(L, -2, -1)) {
                lua_remove(L, -2);
                child++;
            } else {
                lua_pop(L, 1);
            }
        }
        if (!less(L, -2, -1)) {
            lua_pop(L, 1);
            break;
        }
        lua_seti(L, 1, i);
        i = child;
    }
    lua_seti(L, 1, i);
}

static int sort(lua_State *L) {
    lua_Integer n = length(L, 1);
    uint64_t steps = 0;
    if (n < 2) return 0;
    luaL_argcheck(L, n < INT_MAX, 1, "array too big");
    if (!lua_isnoneornil(L, 2)) luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 2);
    for (lua_Integer i = n / 2; i >= 1; i--) {
        lua_geti(L, 1, i);
        sink(L, i, n, &steps);
    }
    for (lua_Integer last = n; last > 1; last--) { /* the largest goes to the end */
        lua_geti(L, 1, last);
        lua_geti(L, 1, 1);
        lua_seti(L, 1, last);
        sink(L, 1, last - 1, &steps);
    }
    return 0;
}

void tide_sandbox_lists(lua_State *L, tide_engine *e) {
    tide_sandbox_functions(L, e,
                           (luaL_Reg[]){{"insert", insert},
                                        {"remove", take_out},
                                        {"move", move},
                                        {"concat", concat},
                                        {"unpack", unpack},
                                        {"sort", sort},
                                        {NULL, NULL}});
}
