/* A context for each lua_State: errors with the user's line, and the pace of the garbage collector. */
#include "bindings/lua_tide.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char state_key = 0;

/* ---- where the script stands ---- */

static bool library_frame(const tide_lua *s, const lua_Debug *ar) {
    return s->nlibrary && ar->source[0] == '@' && !strncmp(ar->source + 1, s->library, s->nlibrary);
}

static bool user_frame(lua_State *L, const tide_lua *s, lua_Debug *ar) {
    for (int level = 1; lua_getstack(L, level, ar); level++) {
        lua_getinfo(L, "Sl", ar);
        if (ar->currentline > 0 && !library_frame(s, ar)) return true;
    }
    return false;
}

tide_context *tide_lua_context(lua_State *L) {
    tide_context *cx = STATE(L)->cx;
    if (!cx) luaL_error(L, "tide: the Lua state is closing"); /* a finalizer that runs after the context's */
    return cx;
}

/* The site of a frame, 0: not the user's. Its source, whose name takes time to make up, is asked for once. */
static uint32_t site_of(lua_State *L, tide_lua *s, lua_Debug *ar) {
    lua_getinfo(L, "lf", ar);
    const void *caller = lua_topointer(L, -1);
    lua_pop(L, 1);
    if (ar->currentline <= 0) return 0;
    uintptr_t mix = (uintptr_t)caller >> 4;
    struct seen *seen = &s->seen[(mix ^ mix >> 8 ^ (unsigned)ar->currentline) % NSEEN];
    if (seen->caller != caller || seen->line != ar->currentline) {
        lua_getinfo(L, "S", ar);
        *seen =
            (struct seen){caller, ar->currentline,
                          library_frame(s, ar) ? 0 : tide_intern_site(s->cx, ar->short_src, ar->currentline)};
    }
    return seen->site;
}

tide_lua *tide_lua_enter(lua_State *L) {
    tide_lua *s = STATE(L);
    lua_Debug ar;
    uint32_t site = 0;
    if (!s->cx) tide_lua_context(L); /* raises */
    s->L = L;
    if (!lua_getstack(L, 1, &ar)) return s;
    for (int level = 1; !site && lua_getstack(L, level, &ar); level++) site = site_of(L, s, &ar);
    s->site = site;
    tide_site(s->cx, site);
    return s;
}

static void push_where(lua_State *L, tide_lua *s) {
    lua_Debug ar;
    if (user_frame(L, s, &ar))
        lua_pushfstring(L, "%s:%d: ", ar.short_src, ar.currentline);
    else
        lua_pushliteral(L, "");
}

/* Pushes " (in model.blocks[3])" for the modules whose forward is running, or "". */
static void push_modules(lua_State *L) {
    lua_Debug ar;
    int n = 0, top = lua_gettop(L);
    lua_newtable(L);
    int list = lua_gettop(L);
    for (int level = 1; lua_getstack(L, level, &ar); level++) {
        const char *name = lua_getlocal(L, &ar, 1);
        if (!name) continue;
        bool module = false;
        if (!strcmp(name, "self") && lua_istable(L, -1) && lua_getmetatable(L, -1)) {
            module = lua_getfield(L, -1, "__tide_module") == LUA_TBOOLEAN;
            lua_pop(L, 2);
        }
        if (module)
            lua_rawseti(L, list, ++n);
        else
            lua_pop(L, 1);
    }
    bool done = false;
    if (n > 0 && lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE) &&
        lua_getfield(L, -1, "tide.nn.module") == LUA_TTABLE &&
        lua_getfield(L, -1, "path_of") == LUA_TFUNCTION) {
        lua_createtable(L, n, 0); /* outermost first, each once */
        int k = 0;
        for (int i = n; i >= 1; i--) {
            lua_rawgeti(L, list, i);
            if (k > 0) {
                lua_rawgeti(L, -2, k);
                bool same = lua_rawequal(L, -1, -2);
                lua_pop(L, 1);
                if (same) {
                    lua_pop(L, 1);
                    continue;
                }
            }
            lua_rawseti(L, -2, ++k);
        }
        if (lua_pcall(L, 1, 1, 0) == LUA_OK && lua_isstring(L, -1)) {
            lua_pushfstring(L, " (in %s)", lua_tostring(L, -1));
            lua_replace(L, top + 1);
            done = true;
        }
    }
    if (!done) {
        lua_pushliteral(L, "");
        lua_replace(L, top + 1);
    }
    lua_settop(L, top + 1);
}

int tide_lua_raise(lua_State *L, tide_lua *s) {
    tide_status code = TIDE_OK;
    uint32_t here = s->site;
    const char *text = tide_error(s->cx, &code);
    s->failed = code;
    push_where(L, s);
    lua_pushstring(L, text ? text : "unknown error");
    const char *recorded = s->cx->site != here ? tide_site_text(s->cx, s->cx->site)
                                               : ""; /* a launched step failed at its own line */
    if (*recorded)
        lua_pushfstring(L, " (recorded at %s)", recorded);
    else
        lua_pushliteral(L, "");
    push_modules(L);
    lua_concat(L, 4);
    return lua_error(L);
}

int tide_lua_error(lua_State *L, tide_lua *s, const char *op, const char *format, ...) {
    va_list ap;
    push_where(L, s);
    lua_pushfstring(L, "[%s] ", op);
    va_start(ap, format);
    lua_pushvfstring(L, format, ap);
    va_end(ap);
    push_modules(L);
    lua_concat(L, 4);
    return lua_error(L);
}

static int fail(lua_State *L) { /* (message): the error of a library function that is written in Lua */
    tide_lua *s = tide_lua_enter(L);
    push_where(L, s);
    lua_pushstring(L, luaL_checkstring(L, 1));
    push_modules(L);
    lua_concat(L, 3);
    return lua_error(L);
}

int tide_lua_fail(lua_State *L, tide_lua *s) {
    static const char *const names[] = {"OK",      "EARG",    "EMEM",  "EIO",    "EFORMAT",
                                        "ECANCEL", "EDEVICE", "EPEER", "EUNSUP", "EFORK"};
    tide_status code = TIDE_OK;
    const char *text = tide_error(s->cx, &code);
    lua_pushnil(L);
    lua_pushstring(L, text ? text : "unknown error");
    lua_pushstring(L, names[code]);
    return 3;
}

/* ---- the collector's pace ---- */

enum { FEW = 3500 }; /* handles: with tensors of 16 numbers they fill the second cache */

/* After a collection, which began with `before` bytes idle: when the next one is due. By bytes, and by number:
 * small tensors are made again where the last ones lay, while that is still in the second cache (an addition of
 * 16 numbers: 465 -> 330 ns), if marking Lua's heap, a ns for 9 bytes, is little beside that. */
static void pace(tide_lua *s, uint64_t before) {
    tide_tensors *ts = s->cx->tensors;
    tide_memory_stats m;
    tide_memory(s->cx, &m);
    double heap = lua_gc(s->L, LUA_GCCOUNT) * 1024.0, room = 16.0 * 1048576;
    double number = heap / 220 > FEW ? heap / 220 : FEW;
    if (m.live / 4.0 > room) room = m.live / 4.0;
    if (heap / 3 > room) room = heap / 3;
    /* Little of what had come since the last time was garbage: wait longer, within bounds. */
    uint64_t came = before > s->idle ? before - s->idle : 0, back = before > ts->idle ? before - ts->idle : 0;
    s->step = back >= came / 4 ? 1 : s->step < 4 ? s->step * 2 : 4;
    s->idle = ts->idle;
    s->few = s->handles;
    ts->idle_limit = ts->idle + (uint64_t)(room * s->step);
    s->many = s->handles + (int64_t)(number * s->step);
}

/* Called by the core at safe points when bytes that only handles hold pass the limit, and before it gives up on
 * memory. */
static void pressure(void *ud, size_t idle) {
    tide_lua *s = ud;
    if (s->collecting) return;
    s->collecting = 1;
    uint64_t before = s->cx->tensors->idle;
    if (lua_gc(s->L, LUA_GCCOLLECT) >= 0) pace(s, before); /* else inside the collector */
    s->collecting = 0;
    (void)idle;
}

void tide_lua_many(tide_lua *s) {
    if (s->sliced)
        tide_lua_collect_step(s, s->L);
    else if (lua_gc(s->L, LUA_GCISRUNNING))
        pressure(s, 0);
    /* not done yet; or the script has stopped the collector: then bytes alone count; or it is what runs */
    if (s->handles >= s->many) s->many = s->handles + (s->sliced ? FEW / 16 : FEW);
}

bool tide_lua_collect_step(tide_lua *s, lua_State *L) {
    tide_tensors *ts = s->cx->tensors;
    uint64_t idle = ts->idle;
    if (!s->cycle) {
        bool due =
            idle >= s->idle + (ts->idle_limit - s->idle) / 4 || s->handles >= s->few + (s->many - s->few) / 4;
        if (!due || !lua_gc(L, LUA_GCISRUNNING)) return false;
        s->cycle = idle;
    }
    s->L = L;
    if (lua_gc(L, LUA_GCSTEP, 0) == 0) return true;
    pace(s, s->cycle);
    s->cycle = 0;
    return false;
}

/* ---- guards ---- */

static int guard_close(lua_State *L) {
    tide_lua_guard *g = lua_touserdata(L, 1);
    if (g->undo && g->s->cx) g->undo(g->s, g->was);
    g->undo = NULL;
    return 0;
}

tide_lua_guard *tide_lua_guarded(lua_State *L, tide_lua *s) {
    tide_lua_guard *g = lua_newuserdatauv(L, sizeof *g, 0);
    *g = (tide_lua_guard){s, NULL, 0};
    tide_lua_class(L, s, "tide.Guard", (luaL_Reg[]){{"__close", guard_close}, {NULL, NULL}}, NULL);
    lua_toclose(L, -1);
    return g;
}

/* ---- opening ---- */

static int cancelled(void *ud) {
    const tide_lua_host *host = ((const tide_lua *)ud)->host;
    return host && host->cancelled && host->cancelled(host->ud);
}

static int state_gc(lua_State *L) {
    tide_lua *s = lua_touserdata(L, 1);
    s->L = L;
    if (s->cx) { /* the context may outlive the state, with tensors that a host holds */
        tide_lua_release_all(s);
        tide_lua_forget_customs(s);
        s->cx->above = (tide_above){0};
    }
    tide_close(s->cx);
    s->cx = NULL;
    return 0;
}

void tide_lua_register(lua_State *L, tide_lua *s, const luaL_Reg *f) {
    for (; f->name; f++) {
        lua_pushlightuserdata(L, s);
        lua_pushcclosure(L, f->func, 1);
        lua_setfield(L, -2, f->name);
    }
}

/* Metamethods stay out of reach: objects find their methods in another table. */
void tide_lua_class(lua_State *L, tide_lua *s, const char *name, const luaL_Reg *f, lua_CFunction gc) {
    if (luaL_getmetatable(L, name) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushstring(L, name);
        lua_setfield(L, -2, "__name");
        lua_newtable(L);
        for (; f->name; f++) {
            bool meta = !strncmp(f->name, "__", 2);
            lua_pushlightuserdata(L, s);
            lua_pushcclosure(L, f->func, 1);
            lua_setfield(L, meta ? -3 : -2, f->name);
        }
        lua_setfield(L, -2, "__index");
        if (gc) tide_lua_register(L, s, (luaL_Reg[]){{"__gc", gc}, {NULL, NULL}});
        lua_pushvalue(L, -1);
        lua_setfield(L, LUA_REGISTRYINDEX, name);
    }
    lua_setmetatable(L, -2);
}

/* Where this file's Lua part lies is told by lua/tide/init.lua. */
static int set_library(lua_State *L) {
    tide_lua *s = STATE(L);
    const char *path = luaL_checklstring(L, 1, &s->nlibrary);
    if (s->nlibrary >= sizeof s->library) s->nlibrary = 0;
    memcpy(s->library, path, s->nlibrary);
    return 0;
}

/* A black box in the folder for such files, unless TIDE_BLACKBOX says where, or "off". */
static void open_default(tide_context **out) {
    const char *box = getenv("TIDE_BLACKBOX");
    char path[300];
    tide_config config = {.size = sizeof config};
    if (!box) {
        const char *dir = getenv("TMPDIR");
        snprintf(path, sizeof path, "%s/tide-%ld-%ld.blackbox", dir && *dir ? dir : "/tmp", (long)getuid(),
                 (long)getpid());
        config.blackbox = path;
    } else if (strcmp(box, "off")) {
        config.blackbox = box;
    }
    if (!tide_open(&config, out)) return;
    config.blackbox = NULL; /* a folder that cannot be written must not keep a script from running */
    tide_open(&config, out);
}

tide_lua *tide_lua_of(lua_State *L) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key);
    tide_lua *s = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return s;
}

int luaopen_tide_core(lua_State *L) {
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key) ==
        LUA_TUSERDATA) { /* loaded again: there is one context a state */
        lua_getiuservalue(L, -1, 1);
        return 1;
    }
    tide_lua *s = lua_newuserdatauv(L, sizeof *s, 1);
    memset(s, 0, sizeof *s);
    s->L = L;
    s->step = 1;
    s->scope = &s->outermost;
    lua_createtable(L, 0, 2);
    lua_pushcfunction(L, state_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_getfield(L, LUA_REGISTRYINDEX, TIDE_HOST);
    s->host = lua_touserdata(L, -1);
    lua_pop(L, 1);
    if (s->host && s->host->config)
        tide_open(s->host->config, &s->cx);
    else
        open_default(&s->cx);
    if (!s->cx) return luaL_error(L, "tide: no context could be opened");
    s->cx->above = (tide_above){s, cancelled, pressure};
    if (tide_tape_open(s->cx)) return luaL_error(L, "tide: %s", tide_error(s->cx, NULL));
    pace(s, 0);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, -3, 1);
    tide_lua_open_tensor(L, s);
    tide_lua_open_scope(L, s);
    tide_lua_open_create(L, s);
    tide_lua_open_index(L, s);
    tide_lua_open_grad(L, s);
    tide_lua_open_compile(L, s);
    tide_lua_open_optim(L, s);
    tide_lua_open_inspect(L, s);
    tide_lua_open_program(L, s);
    if (!s->host || !s->host->closed) {
        tide_lua_open_data(L, s);
        tide_lua_open_files(L, s);
        tide_lua_open_image(L, s);
        tide_lua_open_disk(L, s);
        tide_lua_open_worker(L, s);
        tide_lua_open_bytes(L, s);
    }
    tide_lua_register(L, s, (luaL_Reg[]){{"_library", set_library}, {"_fail", fail}, {NULL, NULL}});
    lua_pushvalue(L, -2); /* known once complete: memory may have run out on the way */
    lua_rawsetp(L, LUA_REGISTRYINDEX, &state_key);
    return 1;
}
