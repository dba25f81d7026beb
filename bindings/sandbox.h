/* What a sandboxed state gets instead of Lua's own libraries. */
#ifndef TIDE_SANDBOX_H
#define TIDE_SANDBOX_H

#include "bindings/engine.h"
#include "bindings/lua_tide.h"

/* engine.c: `steps` of a loop in C have been done; raises the error that stops the script when it is time. */
void tide_engine_tick(lua_State *L, tide_engine *e, uint64_t steps);

/* pattern.c: find, match, gmatch and gsub; into the table on top. */
void tide_sandbox_patterns(lua_State *L, tide_engine *e);
/* sandbox.c: takes away and replaces, then freezes. The globals are complete, tide included. */
void tide_sandbox_close(lua_State *L, tide_engine *e);

#endif
