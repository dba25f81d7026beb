/* What engine.c and the files of the sandbox share. */
#ifndef TIDE_ENGINE_PARTS_H
#define TIDE_ENGINE_PARTS_H

#include "bindings/engine.h"
#include "bindings/lua_tide.h"

/* The library's Lua part, written by embed.lua; the last has no name. */
typedef struct {
    const char *name, *source, *text; /* "tide.nn.linear", "@tide://nn/linear.lua" */
} tide_lua_module;
extern const tide_lua_module tide_lua_modules[];

struct tide_engine {
    lua_State *L, *running; /* running: the thread that runs now */
    bool own, active;       /* active: a call is under way */
    tide_engine_config config;
    tide_config context;
    tide_lua_host host;
    tide_lua *s;
    size_t used; /* bytes of an own state */
    bool lifted; /* its cap is */

    double seconds; /* the limits, and where the present call stands */
    uint64_t instructions, steps;
    int64_t end; /* ns; 0: none */
    bool stopped;
    int grad; /* the mode when it began */
    lua_Hook host_hook;
    int host_mask, host_count;

    lua_State *slice; /* NULL: nothing was started, or it has ended */
    int nargs;        /* to begin with; -1: it has begun */
    int64_t slice_end, slice_length, chance,
        gap; /* ns; chance: when it last could give way; gap: between two */

    char error[4096];
};

/* ---- engine.c ---- */
extern const char tide_engine_slice_key,
    tide_engine_reload_key;    /* by their addresses: the coroutine, tide.reload */
int64_t tide_engine_now(void); /* ns */
tide_status tide_engine_fail(tide_engine *e, tide_status code, const char *text); /* code, with the text kept */
/* A call on thread L begins: limits count from here, hooks are set. finish takes them away. */
void tide_engine_begin(tide_engine *e, lua_State *L);
void tide_engine_finish(tide_engine *e, lua_State *L);
/* The error on top of L, of a Lua status, becomes the engine's; before finish. */
tide_status tide_engine_failed(tide_engine *e, lua_State *L, int status);
tide_status tide_engine_protected(tide_engine *e, lua_CFunction f,
                                  void *job); /* f(job), as a call of its own */
/* `steps` of a loop in C, each about as long as an instruction, are done or about to be: raises the error that
 * stops the script when it is time. */
void tide_engine_tick(lua_State *L, tide_engine *e, uint64_t steps);
bool tide_engine_stopped(const tide_engine *e); /* in the present call */
/* The thread that a coroutine function is about to run; returns the one before. */
lua_State *tide_engine_running(tide_engine *e, lua_State *L);

/* ---- pattern.c, listing.c, sandbox.c: into the table on top; upvalue 1 is the engine ---- */
void tide_sandbox_patterns(lua_State *L, tide_engine *e); /* find, match, gmatch, gsub */
void tide_sandbox_lists(lua_State *L, tide_engine *e);    /* concat, insert, move, remove, sort, unpack */
/* Takes stock functions that cannot be stopped out of the open libraries, before Tide's Lua part is loaded. */
void tide_sandbox_replace(lua_State *L, tide_engine *e);
/* Tide is loaded, and on top: leaves scripts only what lua/tide/sandbox.lua lets them see. */
void tide_sandbox_close(lua_State *L, tide_engine *e);
void tide_sandbox_functions(lua_State *L, tide_engine *e, const luaL_Reg *f);

#endif
