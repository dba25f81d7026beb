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

/* ---- engine.c ---- */
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
