/* What a host asks an engine to do: chunks, calls with tensors, slices, reloading. */
#include "bindings/engine_parts.h"
#include <errno.h>
#include <stdio.h>

enum { MOST = 64 };

/* ---- running ---- */

typedef struct {
    tide_engine *e;
    const char *text, *name; /* of a chunk; text NULL: a file */
    size_t n;
    const char *function; /* to call, or start */
    tide_tensor *const *in;
    tide_tensor **out;
    int nin, nout;
} job;

static void push_chunk(lua_State *L, const job *j) {
    int status;
    if (j->text) {
        const char *name = lua_pushfstring(L, "@%s", j->name ? j->name : "script");
        status = luaL_loadbufferx(L, j->text, j->n, name, "t");
        lua_remove(L, -2);
    } else {
        status = luaL_loadfilex(L, j->name, "t");
    }
    if (status) lua_error(L);
}

static int run_job(lua_State *L) {
    push_chunk(L, lua_touserdata(L, 1));
    lua_call(L, 0, 0);
    return 0;
}

tide_status tide_engine_run(tide_engine *e, const char *text, size_t n, const char *name) {
    return tide_engine_protected(e, run_job,
                                 &(job){.e = e, .text = text ? text : "", .n = text ? n : 0, .name = name});
}

static tide_status readable(tide_engine *e, const char *path) {
    if (!path) return tide_engine_fail(e, TIDE_EARG, "no path is given");
    FILE *f = fopen(path, "r");
    if (f) return fclose(f), TIDE_OK;
    snprintf(e->error, sizeof e->error, "cannot open %s: %s", path, strerror(errno));
    return TIDE_EIO;
}

tide_status tide_engine_run_file(tide_engine *e, const char *path) {
    tide_status code = readable(e, path);
    return code ? code : tide_engine_protected(e, run_job, &(job){.e = e, .name = path});
}

/* Pushes the function "a.b.c" and the inputs. */
static void push_call(lua_State *L, const job *j) {
    tide_lua *s = j->e->s;
    luaL_checkstack(L, j->nin + 8, "too many inputs");
    lua_pushglobaltable(L);
    for (const char *at = j->function;;) {
        size_t n = strcspn(at, ".");
        lua_pushlstring(L, at, n);
        lua_gettable(L, -2);
        lua_remove(L, -2);
        at += n;
        if (!*at++) break;
        if (lua_isnil(L, -1)) break;
    }
    if (lua_isnil(L, -1)) luaL_error(L, "no function '%s'", j->function);
    for (int i = 0; i < j->nin; i++) {
        if (!j->in[i]) {
            lua_pushnil(L);
            continue;
        }
        if (j->in[i]->cx != s->cx) luaL_error(L, "%s: input %d belongs to another context", j->function, i + 1);
        handle *h = tide_lua_box(L, s);
        tide_lua_fill(s, h, tide_keep(j->in[i]));
    }
}

static tide_tensor *number(lua_State *L, tide_lua *s, int i) {
    double f = lua_tonumber(L, i);
    int64_t k = lua_tointeger(L, i);
    bool integer = lua_isinteger(L, i);
    tide_meta m = {.dtype = integer ? TIDE_I64 : TIDE_F64};
    tide_tensor *t = tide_empty(s->cx, &m);
    if (!t || tide_write(t, integer ? (void *)&k : (void *)&f, 8)) tide_lua_raise(L, s);
    return t;
}

static int call_job(lua_State *L) {
    const job *j = lua_touserdata(L, 1);
    tide_lua *s = j->e->s;
    push_call(L, j);
    lua_call(L, j->nin, j->nout);
    s->L = L;
    for (int k = 0; k < j->nout; k++) {
        int at = 2 + k;
        if (lua_type(L, at) == LUA_TNUMBER) {
            j->out[k] = number(L, s, at);
        } else if (!lua_isnil(L, at)) {
            tide_tensor *t = tide_lua_test(L, s, at);
            if (!t)
                return luaL_error(L, "%s: result %d is a %s, not a tensor", j->function, k + 1,
                                  luaL_typename(L, at));
            j->out[k] = tide_keep(t);
        }
    }
    return 0;
}

static tide_status check_call(tide_engine *e, const char *function, tide_tensor *const *in, int nin,
                              tide_tensor **out, int nout) {
    if (!function) return tide_engine_fail(e, TIDE_EARG, "no function is named");
    if (nin < 0 || nin > MOST || nout < 0 || nout > MOST)
        return tide_engine_fail(e, TIDE_EARG, "at most 64 inputs and results");
    if ((nin && !in) || (nout && !out)) return tide_engine_fail(e, TIDE_EARG, "an array of tensors is NULL");
    return TIDE_OK;
}

tide_status tide_engine_call(tide_engine *e, const char *function, tide_tensor *const *in, int nin,
                             tide_tensor **out, int nout) {
    for (int k = 0; out && k < nout; k++) out[k] = NULL;
    tide_status code = check_call(e, function, in, nin, out, nout);
    if (code) return code;
    code = tide_engine_protected(
        e, call_job, &(job){.e = e, .function = function, .in = in, .nin = nin, .out = out, .nout = nout});
    for (int k = 0; code && k < nout; k++) {
        tide_free(out[k]);
        out[k] = NULL;
    }
    return code;
}

/* ---- slices ---- */

static void drop_slice(tide_engine *e) {
    e->slice = NULL;
    lua_pushnil(e->L);
    lua_rawsetp(e->L, LUA_REGISTRYINDEX, &tide_engine_slice_key);
}

static int start_job(lua_State *L) {
    const job *j = lua_touserdata(L, 1);
    lua_State *co = lua_newthread(L);
    push_call(L, j);
    luaL_checkstack(co, j->nin + 2, "too many inputs");
    lua_xmove(L, co, j->nin + 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &tide_engine_slice_key);
    j->e->slice = co;
    j->e->nargs = j->nin;
    return 0;
}

tide_status tide_engine_start(tide_engine *e, const char *function, tide_tensor *const *in, int nin) {
    tide_status code = check_call(e, function, in, nin, NULL, 0);
    if (code) return code;
    return tide_engine_protected(e, start_job, &(job){.e = e, .function = function, .in = in, .nin = nin});
}

tide_status tide_engine_slice(tide_engine *e, double ms, int *running) {
    lua_State *co = e->slice;
    int nargs = e->nargs < 0 ? 0 : e->nargs, n = 0;
    tide_status code = TIDE_OK;
    if (!running) return tide_engine_fail(e, TIDE_EARG, "running is NULL");
    *running = 0;
    if (e->active) return tide_engine_fail(e, TIDE_EARG, "the engine is running a script");
    if (!co) return tide_engine_fail(e, TIDE_EARG, "nothing was started");
    if (!lua_checkstack(e->L, 4)) return tide_engine_fail(e, TIDE_EMEM, "the Lua stack is full");
    e->s->failed = TIDE_OK;
    e->nargs = -1;
    e->chance = tide_engine_now();
    e->slice_length = (int64_t)(ms * 1e6);
    e->slice_end = e->chance + e->slice_length;
    tide_engine_begin(e, co);
    /* a part of the slice is the collector's, so that no frame has to bear a whole collection */
    while (tide_lua_collect_step(e->s, e->L) && tide_engine_now() < e->chance + e->slice_length / 6) {}
    e->chance = tide_engine_now();
    e->s->sliced = true;
    int status = lua_resume(co, e->L, nargs, &n);
    e->s->sliced = false;
    if (status == LUA_YIELD) {
        lua_pop(co, n);
        *running = 1;
    } else {
        if (status) {
            code = tide_engine_failed(e, co, status);
            /* a thread that ended in a hook would run what it has to close without hooks: finish does what
             * matters */
            if (!e->stopped) lua_resetthread(co);
        }
        drop_slice(e);
    }
    e->slice_end = 0;
    tide_engine_finish(e, co);
    return code;
}

/* ---- reloading ---- */

static void copy_fields(lua_State *L, int from, int to) {
    lua_pushnil(L);
    while (lua_next(L, from)) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, to);
    }
}

static int reload_run(lua_State *L) { /* the job, the globals before */
    push_chunk(L, lua_touserdata(L, 1));
    lua_call(L, 0, 0);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &tide_engine_reload_key);
    lua_pushvalue(L, 2);
    lua_pushglobaltable(L);
    lua_call(L, 2, 0);
    return 0;
}

static int reload_job(lua_State *L) {
    tide_engine *e = ((job *)lua_touserdata(L, 1))->e;
    lua_pushglobaltable(L);
    lua_newtable(L);
    copy_fields(L, 2, 3);
    lua_pushcfunction(L, reload_run);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 3);
    if (lua_pcall(L, 2, 0, 0) == LUA_OK) return 0;
    bool stopped = e->stopped; /* putting back is not the script's doing */
    e->active = false;
    e->lifted = true;
    lua_pushnil(L);
    while (lua_next(L, 2)) {
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
        lua_pushnil(L);
        lua_rawset(L, 2);
    }
    copy_fields(L, 3, 2);
    e->lifted = false;
    e->active = true;
    e->stopped = stopped;
    lua_settop(L, 4);
    return lua_error(L);
}

tide_status tide_engine_reload(tide_engine *e, const char *path) {
    tide_status code = readable(e, path);
    return code ? code : tide_engine_protected(e, reload_job, &(job){.e = e, .name = path});
}
