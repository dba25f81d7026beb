/* Ctrl-C: ends what runs, be it a loop, a coroutine or a tensor operation, and nothing else. */
#ifndef TIDE_CLI_STOP_H
#define TIDE_CLI_STOP_H

#include <lua.h>
#include <stdbool.h>

/* Tells the binding where to look, and makes coroutine.resume and coroutine.wrap say which coroutine runs. */
void stop_open(lua_State *L);
/* At a prompt a second Ctrl-C only warns; otherwise it ends the process. */
void stop_at_prompt(bool on);
/* lua_pcall that Ctrl-C ends with an error; *stopped (may be NULL) says whether it did. */
int stop_pcall(lua_State *L, int nargs, int nresults, int handler, bool *stopped);
/* For a message handler, whose error will end stop_pcall: it must not be interrupted itself. */
void stop_hook_off(lua_State *L);
/* Was Ctrl-C pressed since last asked? For waiting outside stop_pcall. */
bool stop_asked(void);

#endif
