/* The program's Lua state: as luaL_newstate makes it, but for its memory. */
#ifndef TIDE_CLI_STATE_H
#define TIDE_CLI_STATE_H

#include <lua.h>

lua_State *state_new(void); /* NULL: out of memory */
void state_close(lua_State *L);

#endif
