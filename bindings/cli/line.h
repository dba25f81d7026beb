/* Reading lines at the prompt: edited by libedit on a terminal, plain otherwise. */
#ifndef TIDE_CLI_LINE_H
#define TIDE_CLI_LINE_H

#include <lua.h>

/* Pushes a table for lua/tide/prompt:
 *   read(prompt)  -> a line without its end; nil: no more input; false: Ctrl-C
 *   add(line)     into the history
 *   complete      a function that the prompt may set: complete(text before the cursor) -> text to insert, list
 * to show editing       whether lines are edited, terminal: whether input is a terminal */
void line_open(lua_State *L);
/* "libedit 2.11 ..." or why there is none, as --version shows it */
const char *line_parts(void);

#endif
