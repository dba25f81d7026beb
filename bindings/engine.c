/* Lua for a C host: a state with Tide in it, its memory, limits, protected calls. */
#include "bindings/engine_parts.h"
#include <errno.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Instructions between two looks at the clock: few, since one may copy a string of megabytes. */
enum { EACH = 50, LARGE = 16384 };
#define SANDBOX_LUA ((size_t)64 << 20)
#define SANDBOX_TENSORS ((size_t)256 << 20)

static const char engine_key = 0;
const char tide_engine_slice_key = 0, tide_engine_reload_key = 0;

int64_t tide_engine_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- memory ---- */

static void arm(lua_State *L, int count);

/* From any thread: tensor operations ask between tiles. */
static int late(void *ud) {
    const tide_engine *e = ud;
    return e->end && e->active && tide_engine_now() >= e->end;
}
static bool over(tide_engine *e) {
    if (!e->active) return false;
    return e->stopped || late(e) || (e->instructions && e->steps >= e->instructions) ||
           (e->context.cancelled && e->context.cancelled(e->context.ud));
}

static void *from_host(tide_engine *e, void *p, size_t from, size_t to) {
    if (e->context.alloc) return e->context.alloc(e->context.ud, p, from, to, 16);
    if (to) return realloc(p, to);
    free(p);
    return NULL;
}

/* Lua's allocator. What makes large blocks in one instruction ends here when the time is up. */
static void *allocate(void *ud, void *p, size_t from, size_t to) {
    tide_engine *e = ud;
    if (!p) from = 0;
    size_t limit = e->config.lua_limit;
    if (to > from && limit && !e->lifted) {
        bool full = e->used + (to - from) > limit || (e->config.sandbox && to > limit / 4);
        if ((full || to >= LARGE) &&
            over(e)) { /* each refusal costs a collection: the next instruction stops */
            arm(e->running, 1);
            full = true;
        }
        if (full) return NULL;
    }
    void *q = from_host(e, p, from, to);
    if (to && !q) return to <= from ? p : NULL; /* Lua relies on shrinking */
    e->used += to - from;
    return q;
}

/* ---- stopping ---- */

static void stop(lua_State *L, tide_engine *e) {
    lua_Debug at;
    e->stopped = true;
    arm(L, 1); /* whatever catches the error gets no further */
    const char *why = late(e)                                          ? "the time is up"
                      : e->instructions && e->steps >= e->instructions ? "the instructions are used up"
                                                                       : "cancelled";
    for (int level = 0; lua_getstack(L, level, &at); level++) {
        lua_getinfo(L, "Sl", &at);
        if (at.currentline <= 0) continue;
        lua_pushfstring(L, "%s:%d: stopped: %s", at.short_src, at.currentline, why);
        lua_error(L);
    }
    luaL_error(L, "stopped: %s", why);
}

void tide_engine_tick(lua_State *L, tide_engine *e, uint64_t steps) {
    e->steps += steps;
    if (over(e)) stop(L, e);
}

bool tide_engine_stopped(const tide_engine *e) { return e->stopped; }

static void hook(lua_State *L, lua_Debug *ar) {
    (void)ar;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &engine_key);
    tide_engine *e = lua_touserdata(L, -1);
    lua_pop(L, 1);
    if (!e || (!e->active && !e->config.sandbox)) {
        lua_sethook(L, NULL, 0, 0);
        return;
    }
    e->steps += lua_gethookcount(L) == 1 ? 1 : EACH;
    if (over(e)) stop(L, e);
    if (lua_gethookcount(L) == 1) arm(L, EACH); /* a coroutine left from a call that was stopped */
    if (L != e->slice || !e->slice_end) return;
    int64_t t = tide_engine_now(), gap = t - e->chance;
    if (!lua_isyieldable(
            L)) { /* lots may always end within a step: from time to time the next place is sought */
        if (gap > e->slice_length / 8) arm(L, 1);
        return;
    }
    e->chance = t;
    e->gap = gap > e->gap ? gap : e->gap - (e->gap - gap) / 8; /* the longest lately, soon forgotten */
    if (t + e->gap > e->slice_end) lua_yield(L, 0);
}

static void arm(lua_State *L, int count) {
    lua_sethook(L, hook, LUA_MASKCOUNT,
                count); /* not at calls: guards written in C must run while errors unwind */
}

lua_State *tide_engine_running(tide_engine *e, lua_State *L) {
    lua_State *was = e->running;
    e->running = L;
    return was;
}

/* ---- calls ---- */

tide_status tide_engine_fail(tide_engine *e, tide_status code, const char *text) {
    snprintf(e->error, sizeof e->error, "%s", text);
    return code;
}

void tide_engine_begin(tide_engine *e, lua_State *L) {
    e->active = true;
    e->stopped = false;
    e->steps = 0;
    e->end = e->seconds > 0 ? tide_engine_now() + (int64_t)(e->seconds * 1e9) : 0;
    e->running = L;
    e->grad = e->s ? e->s->cx->tape->enabled : 1;
    e->host_hook = lua_gethook(L);
    e->host_mask = lua_gethookmask(L);
    e->host_count = lua_gethookcount(L);
    if (e->config.sandbox || e->end || e->instructions || e->context.cancelled || e->slice_end) arm(L, EACH);
}

void tide_engine_finish(tide_engine *e, lua_State *L) {
    if (e->s && e->stopped) { /* coroutines may have left it otherwise */
        tide_step_abort(e->s->cx);
        tide_error(e->s->cx, NULL);
        tide_set_grad_enabled(e->s->cx, e->grad);
    }
    e->active = false;
    e->end = 0;
    e->running = e->L;
    if (e->s) e->s->L = e->L; /* not a coroutine's, which may be collected */
    if (e->config.sandbox)
        arm(L, EACH);
    else
        lua_sethook(L, e->host_hook, e->host_mask, e->host_count);
}

/* The error on top of L becomes the engine's. */
tide_status tide_engine_failed(tide_engine *e, lua_State *L, int status) {
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    if (text)
        tide_engine_fail(e, TIDE_OK, text);
    else
        snprintf(e->error, sizeof e->error, "the error is a %s value", luaL_typename(L, -1));
    lua_pop(L, 1);
    bool cancelled = e->s && e->s->failed == TIDE_ECANCEL;
    if (e->stopped || cancelled) {
        if (!text || status == LUA_ERRMEM) tide_engine_fail(e, TIDE_OK, "stopped: the time is up");
        return TIDE_ECANCEL;
    }
    return status == LUA_ERRMEM || (e->s && e->s->failed == TIDE_EMEM) ? TIDE_EMEM : TIDE_EARG;
}

tide_status tide_engine_protected(tide_engine *e, lua_CFunction f, void *job) {
    if (e->active) return tide_engine_fail(e, TIDE_EARG, "the engine is running a script");
    lua_State *L = e->L;
    if (!lua_checkstack(L, 4)) return tide_engine_fail(e, TIDE_EMEM, "the Lua stack is full");
    if (e->s) e->s->failed = TIDE_OK;
    tide_engine_begin(e, L);
    lua_pushcfunction(L, f);
    lua_pushlightuserdata(L, job);
    int status = lua_pcall(L, 1, 0, 0);
    tide_status code = status ? tide_engine_failed(e, L, status) : TIDE_OK;
    tide_engine_finish(e, L);
    return code;
}

/* ---- opening ---- */

static int load_module(lua_State *L) { /* upvalue: the module */
    const tide_lua_module *m = lua_touserdata(L, lua_upvalueindex(1));
    if (luaL_loadbufferx(L, m->text, strlen(m->text), m->source, "t")) return lua_error(L);
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

static int report(lua_State *L) {
    tide_engine *e = lua_touserdata(L, lua_upvalueindex(1));
    const char *what = luaL_checkstring(L, 1);
    lua_Number part = luaL_optnumber(L, 2, 0);
    if (e->config.progress) e->config.progress(e->config.ud, what, part);
    tide_engine_tick(L, e, 10);
    return 0;
}

static int print(lua_State *L) {
    tide_engine *e = lua_touserdata(L, lua_upvalueindex(1));
    int n = lua_gettop(L);
    size_t length;
    if (!e->config.print) return 0;
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (int i = 1; i <= n; i++) {
        if (i > 1) luaL_addchar(&b, '\t');
        luaL_tolstring(L, i, NULL);
        luaL_addvalue(&b);
    }
    luaL_addchar(&b, '\n');
    luaL_pushresult(&b);
    const char *text = lua_tolstring(L, -1, &length);
    e->config.print(e->config.ud, text, length);
    tide_engine_tick(L, e, 10 + length / 16);
    return 0;
}

void tide_sandbox_functions(lua_State *L, tide_engine *e, const luaL_Reg *f) {
    for (; f->name; f++) {
        lua_pushlightuserdata(L, e);
        lua_pushcclosure(L, f->func, 1);
        lua_setfield(L, -2, f->name);
    }
}

static void push_required(lua_State *L, const char *name) {
    if (lua_getglobal(L, "require") != LUA_TFUNCTION)
        luaL_error(L, "the state has no require: open its libraries");
    lua_pushstring(L, name);
    lua_call(L, 1, 1);
}

static int open_job(lua_State *L) {
    tide_engine *e = lua_touserdata(L, 1);
    if (e->own) luaL_openlibs(L);
    lua_pushlightuserdata(L, e);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &engine_key);
    lua_pushlightuserdata(L, &e->host);
    lua_setfield(L, LUA_REGISTRYINDEX, TIDE_HOST);
    if (e->config.sandbox) tide_sandbox_replace(L, e);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, luaopen_tide_core);
    lua_setfield(L, -2, "tide.core");
    for (const tide_lua_module *m = tide_lua_modules; m->name; m++) {
        lua_pushlightuserdata(L, (void *)(uintptr_t)m);
        lua_pushcclosure(L, load_module, 1);
        lua_setfield(L, -2, m->name);
    }
    push_required(L, "tide.reload");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &tide_engine_reload_key);
    push_required(L, "tide");
    e->s = tide_lua_of(L);
    e->s->host = &e->host; /* it may have been open before */
    tide_sandbox_functions(L, e, (luaL_Reg[]){{"report", report}, {NULL, NULL}});
    if (!e->own) return 0;
    if (e->config.sandbox || e->config.print) {
        lua_pushlightuserdata(L, e);
        lua_pushcclosure(L, print, 1);
        lua_setglobal(L, "print");
    }
    if (e->config.sandbox)
        tide_sandbox_close(L, e);
    else
        lua_setglobal(L, "tide");
    return 0;
}

static int find_engine(lua_State *L) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &engine_key);
    *(bool *)lua_touserdata(L, 1) = lua_touserdata(L, -1) != NULL;
    return 0;
}

tide_status tide_engine_open(const tide_engine_config *config, tide_engine **out, char *why, size_t n) {
    tide_engine_config given = {.size = sizeof given};
    tide_config context = {.size = sizeof context};
    *out = NULL;
    if (config) memcpy(&given, config, config->size < sizeof given ? config->size : sizeof given);
    if (given.context)
        memcpy(&context, given.context,
               given.context->size < sizeof context ? given.context->size : sizeof context);
    context.size = sizeof context;
    if (given.sandbox && !given.lua_limit) given.lua_limit = SANDBOX_LUA;
    if (given.sandbox && !context.memory_limit) context.memory_limit = SANDBOX_TENSORS;
    tide_engine first = {.config = given, .context = context}, *e = from_host(&first, NULL, 0, sizeof *e);
    tide_status code = TIDE_EMEM;
    if (why && n) snprintf(why, n, "out of memory");
    if (!e) return code;
    *e = first;
    e->own = !given.L;
    e->config.context = NULL;
    e->host = (tide_lua_host){.config = &e->context, .cancelled = late, .ud = e, .closed = given.sandbox};
    e->L = e->running = given.L ? given.L : lua_newstate(allocate, e);
    if (e->L) {
        bool there = false;
        if (e->own)
            code = TIDE_OK;
        else if (given.sandbox)
            code = tide_engine_fail(e, TIDE_EARG, "a sandbox needs a state of the engine's own");
        else if (!(code = tide_engine_protected(e, find_engine, &there)) && there)
            code = tide_engine_fail(e, TIDE_EARG, "the state has an engine already");
        if (!code) code = tide_engine_protected(e, open_job, e);
        if (code && why && n) snprintf(why, n, "%s", e->error);
    }
    if (!code) {
        if (given.sandbox) arm(e->L, EACH);
        *out = e;
        return TIDE_OK;
    }
    if (e->L && e->s) e->s->host = NULL;
    if (e->L && e->own) lua_close(e->L);
    from_host(&first, e, sizeof *e, 0);
    return code;
}

void tide_engine_close(tide_engine *e) {
    if (!e) return;
    lua_State *L = e->L;
    if (e->own) {
        lua_close(L);
    } else if (lua_checkstack(L, 1)) { /* keys that are there: nothing is allocated */
        e->s->host = NULL;
        lua_pushnil(L);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &engine_key);
        lua_pushnil(L);
        lua_setfield(L, LUA_REGISTRYINDEX, TIDE_HOST);
        if (e->slice) {
            lua_pushnil(L);
            lua_rawsetp(L, LUA_REGISTRYINDEX, &tide_engine_slice_key);
        }
    }
    tide_engine last = {.context = e->context};
    from_host(&last, e, sizeof *e, 0);
}

tide_context *tide_engine_context(tide_engine *e) { return e->s->cx; }
struct lua_State *tide_engine_lua(tide_engine *e) {
    return e->L;
}
const char *tide_engine_error(tide_engine *e) { return e->error; }
size_t tide_engine_memory(tide_engine *e) { return e->used; }

void tide_engine_limit(tide_engine *e, double seconds, uint64_t instructions) {
    e->seconds = seconds;
    e->instructions = instructions;
}
