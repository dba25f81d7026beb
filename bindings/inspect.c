/* Looking inside: memory, what help is written from, the terminal. */
#include "bindings/lua_tide.h"
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static int memory(lua_State *L) {
    tide_context *cx = tide_lua_context(L);
    tide_memory_stats m;
    tide_memory(cx, &m);
    lua_createtable(L, 0, 5);
#define FIELD(name, v) lua_pushinteger(L, (lua_Integer)(v)), lua_setfield(L, -2, name)
    FIELD("live", m.live), FIELD("cached", m.cached), FIELD("peak", m.peak), FIELD("idle", cx->tensors->idle),
        FIELD("tensors", cx->tensors->live);
#undef FIELD
    return 1;
}
/* _storages(): what lives, in no order: {bytes, line where it was made, id}. Making tables may free some: first
 * they are noted. */
static int storages(lua_State *L) {
    typedef struct {
        const void *id;
        size_t bytes;
        uint32_t site;
    } note;
    tide_context *cx = tide_lua_context(L);
    size_t n = 0, room = 0;
    for (const tide_storage *g = cx->tensors->storages; g; g = g->next) room++;
    note *notes = lua_newuserdatauv(L, (room + 1) * sizeof *notes, 0);
    for (const tide_storage *g = cx->tensors->storages; g && n < room; g = g->next)
        notes[n++] = (note){g, g->nbytes, g->site};
    lua_createtable(L, (int)n, 0);
    for (size_t k = 0; k < n; k++) {
        lua_createtable(L, 0, 3);
        lua_pushinteger(L, (lua_Integer)notes[k].bytes), lua_setfield(L, -2, "bytes");
        lua_pushstring(L, tide_site_text(cx, notes[k].site)), lua_setfield(L, -2, "line");
        lua_pushlightuserdata(L, (void *)notes[k].id), lua_setfield(L, -2, "id");
        lua_rawseti(L, -2, (lua_Integer)k + 1);
    }
    return 1;
}
static int storage_of(lua_State *L) { /* _storage(t): its id in _storages, or nil */
    tide_lua *s = STATE(L);
    handle *h = tide_lua_handle(L, s, 1);
    if (!h || !h->t || !h->t->storage) return lua_pushnil(L), 1;
    lua_pushlightuserdata(L, h->t->storage);
    return 1;
}
static int holders(lua_State *L) {
    char text[2048];
    tide_holders_text(tide_lua_context(L), text, sizeof text);
    lua_pushstring(L, *text ? text + 1 : "");
    return 1;
}

/* ---- what the help is written from ---- */

static const char *const type_names[] = {"tensor", "operand", "tensors", "number", "float",    "int",   "bool",
                                         "dim",    "dims",    "shape",   "pair",   "position", "dtype", "enum"};

static const tide_op *op_of(lua_State *L, int i, bool *inplace) {
    *inplace = false;
    if (lua_type(L, i) == LUA_TSTRING) {
        const char *name = lua_tostring(L, i);
        size_t n = strlen(name);
        const tide_op *op = tide_lua_op(name);
        if (op || !n || name[n - 1] != '_') return op;
        *inplace = true;
        op = tide_lua_op(lua_pushlstring(L, name, n - 1));
        return op && op->inplace ? op : NULL;
    }
    if (!lua_iscfunction(L, i) || !lua_getupvalue(L, i, 2)) return NULL;
    const tide_op *op = lua_touserdata(L, -1);
    lua_pop(L, 1);
    if (op < tide_op_table || op >= tide_op_table + TIDE_NOPS) return NULL;
    *inplace = lua_tocfunction(L, i) == tide_lua_call_inplace;
    return op;
}

/* _describe(name or function): an operation as data, or nil. Arguments: {name, type, optional, keyword,
 * default, choices}. */
static int describe(lua_State *L) {
    bool inplace;
    const tide_op *op = op_of(L, 1, &inplace);
    if (!op) return lua_pushnil(L), 1;
#define TEXT(key, v) lua_pushstring(L, v), lua_setfield(L, -2, key)
#define FLAG(key, v) lua_pushboolean(L, v), lua_setfield(L, -2, key)
    lua_createtable(L, 0, 16);
    TEXT("name", op->name), TEXT("lua", op->lua), TEXT("doc", op->doc), TEXT("nograd", op->nograd);
    FLAG("method", op->method), FLAG("inplace", op->inplace), FLAG("called_inplace", inplace);
    FLAG("pointwise", op->program && !op->space && !(op->flags & TIDE_F_LIST) && op->nin > 0);
    FLAG("reduces", op->space == NULL ? false : op->narg > 1 && op->arg[1].type == TIDE_ARG_DIMS);
    FLAG("view", op->flags & TIDE_F_VIEW), FLAG("floating", op->flags & TIDE_F_FLOATING);
    FLAG("promotes", op->flags & TIDE_F_PROMOTES), FLAG("boolean", op->flags & TIDE_F_BOOL);
    FLAG("random", op->flags & TIDE_F_RANDOM);
    lua_pushinteger(L, op->nshown), lua_setfield(L, -2, "results");
    lua_createtable(L, op->narg, 0);
    for (int k = 0; k < op->narg; k++) {
        const tide_arg *a = &op->arg[k];
        lua_createtable(L, 0, 6);
        TEXT("name", a->name), TEXT("type", type_names[a->type]);
        TEXT("default", a->dflt), TEXT("choices", a->choices);
        FLAG("optional", a->optional), FLAG("keyword", a->keyword);
        lua_rawseti(L, -2, k + 1);
    }
    lua_setfield(L, -2, "args");
#undef TEXT
#undef FLAG
    return 1;
}

static int operations(lua_State *L) { /* names that scripts can call, in the table's order */
    lua_newtable(L);
    int n = 0;
    for (int i = 0; i < TIDE_NOPS; i++)
        if (tide_op_table[i].lua) lua_pushstring(L, tide_op_table[i].lua), lua_rawseti(L, -2, ++n);
    return 1;
}
static int programs(lua_State *L) { /* _programs(): of all operations that have one, also inner ones */
    lua_newtable(L);
    int n = 0;
    for (int i = 0; i < TIDE_NOPS; i++)
        if (tide_op_table[i].program) lua_pushstring(L, tide_op_table[i].name), lua_rawseti(L, -2, ++n);
    return 1;
}

/* ---- the world around ---- */

static int terminal(lua_State *L) { /* _terminal(fd): columns, rows; nil: no terminal */
    struct winsize w;
    int fd = (int)luaL_checkinteger(L, 1);
    if (!isatty(fd)) return lua_pushnil(L), 1;
    bool known = ioctl(fd, TIOCGWINSZ, &w) == 0 && w.ws_col > 0;
    lua_pushinteger(L, known ? w.ws_col : 80);
    lua_pushinteger(L, known ? w.ws_row : 24);
    return 2;
}
static int seconds(lua_State *L) { /* seconds(): of a clock that never jumps */
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    lua_pushnumber(L, (lua_Number)t.tv_sec + (lua_Number)t.tv_nsec * 1e-9);
    return 1;
}
static int random_state(lua_State *L) { /* _random([seed, calls]): what they were */
    tide_context *cx = tide_lua_context(L);
    uint64_t seed = cx->seed, calls = cx->rng_calls;
    if (!lua_isnoneornil(L, 1)) {
        cx->seed = (uint64_t)luaL_checkinteger(L, 1);
        cx->rng_calls = (uint64_t)luaL_checkinteger(L, 2);
    }
    lua_pushinteger(L, (lua_Integer)seed);
    lua_pushinteger(L, (lua_Integer)calls);
    return 2;
}
static int parts(lua_State *L) {
    lua_pushstring(L, tide_parts(tide_lua_context(L)));
    return 1;
}

void tide_lua_open_inspect(lua_State *L, tide_lua *s) {
    lua_pushliteral(L, TIDE_VERSION);
    lua_setfield(L, -2, "version");
    tide_lua_register(L, s,
                      (luaL_Reg[]){{"memory", memory},
                                   {"holders", holders},
                                   {"_describe", describe},
                                   {"_storages", storages},
                                   {"_storage", storage_of},
                                   {"_terminal", terminal},
                                   {"seconds", seconds},
                                   {"_random", random_state},
                                   {"operations", operations},
                                   {"_programs", programs},
                                   {"parts", parts},
                                   {NULL, NULL}});
}
