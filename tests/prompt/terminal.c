/* A terminal for the tests, as a Lua module: a program runs on a pseudo-terminal and is typed at.
 *   local t = require("terminal").spawn({program, arguments...}, {columns, rows, [name] = value...})
 *   t:send(text)   t:read(seconds) -> what was written until then, "" if nothing, nil if the program has ended
 *   t:signal(number)   t:resize(columns, rows)   t:wait() -> exit status, signal, seconds of processor time */
#include <errno.h>
#include <lauxlib.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
    int fd; /* -1: closed */
    pid_t pid;
} terminal;

static terminal *check(lua_State *L) { return luaL_checkudata(L, 1, "tests.terminal"); }

static int spawn(lua_State *L) {
    char *argv[32];
    int n = (int)luaL_len(L, 1);
    luaL_argcheck(L, n > 0 && n < 32, 1, "a program and at most 30 arguments");
    for (int i = 0; i < n; i++) {
        lua_geti(L, 1, i + 1);
        argv[i] = (char *)luaL_checkstring(L, -1); /* stays on the stack */
    }
    argv[n] = NULL;
    struct winsize size = {.ws_col = 80, .ws_row = 24};
    if (lua_getfield(L, 2, "columns") == LUA_TNUMBER) size.ws_col = (unsigned short)lua_tointeger(L, -1);
    if (lua_getfield(L, 2, "rows") == LUA_TNUMBER) size.ws_row = (unsigned short)lua_tointeger(L, -1);
    terminal *t = lua_newuserdatauv(L, sizeof *t, 0);
    *t = (terminal){-1, 0};
    luaL_setmetatable(L, "tests.terminal");
    pid_t pid = forkpty(&t->fd, NULL, NULL, &size);
    if (pid < 0) return luaL_error(L, "forkpty: %s", strerror(errno));
    t->pid = pid; /* never -1: a signal to that goes to every process */
    if (pid == 0) {
        lua_pushnil(L);
        while (lua_next(L, 2)) {
            if (lua_type(L, -1) == LUA_TSTRING) setenv(lua_tostring(L, -2), lua_tostring(L, -1), 1);
            if (lua_type(L, -1) == LUA_TBOOLEAN) unsetenv(lua_tostring(L, -2));
            lua_pop(L, 1);
        }
        execv(argv[0], argv);
        _exit(127);
    }
    return 1;
}

static int send_text(lua_State *L) {
    terminal *t = check(L);
    size_t n;
    const char *text = luaL_checklstring(L, 2, &n);
    while (n > 0) {
        ssize_t k = write(t->fd, text, n);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return luaL_error(L, "write: %s", strerror(errno));
        text += k, n -= (size_t)k;
    }
    return 0;
}

static int read_some(lua_State *L) {
    terminal *t = check(L);
    char bytes[65536];
    struct pollfd p = {t->fd, POLLIN, 0};
    int ready = poll(&p, 1, (int)(luaL_checknumber(L, 2) * 1000));
    ssize_t n = ready > 0 ? read(t->fd, bytes, sizeof bytes) : 0;
    if (n < 0 || (ready > 0 && n == 0)) return lua_pushnil(L), 1; /* EIO: no one has it open any more */
    lua_pushlstring(L, bytes, (size_t)n);
    return 1;
}

static int send_signal(lua_State *L) {
    terminal *t = check(L);
    int number = (int)luaL_checkinteger(L, 2);
    if (t->pid > 0) kill(t->pid, number);
    return 0;
}

static int resize(lua_State *L) {
    struct winsize size = {.ws_col = (unsigned short)luaL_checkinteger(L, 2),
                           .ws_row = (unsigned short)luaL_checkinteger(L, 3)};
    ioctl(check(L)->fd, TIOCSWINSZ, &size);
    return 0;
}

static int wait_for(lua_State *L) {
    terminal *t = check(L);
    int status = 0;
    struct rusage use;
    if (!t->pid || wait4(t->pid, &status, 0, &use) < 0) return 0;
    t->pid = 0;
    lua_pushinteger(L, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    lua_pushinteger(L, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    lua_pushnumber(L, (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                          1e-6 * (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec));
    return 3;
}

static int collect(lua_State *L) {
    terminal *t = check(L);
    if (t->pid > 0) kill(t->pid, SIGKILL), waitpid(t->pid, NULL, 0);
    if (t->fd >= 0) close(t->fd);
    *t = (terminal){-1, 0};
    return 0;
}

int luaopen_terminal(lua_State *L);
__attribute__((visibility("default"))) int luaopen_terminal(lua_State *L) {
    luaL_newmetatable(L, "tests.terminal");
    luaL_setfuncs(L,
                  (luaL_Reg[]){{"send", send_text},
                               {"read", read_some},
                               {"signal", send_signal},
                               {"resize", resize},
                               {"wait", wait_for},
                               {"__gc", collect},
                               {"__close", collect},
                               {NULL, NULL}},
                  0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    lua_newtable(L);
    lua_pushcfunction(L, spawn);
    lua_setfield(L, -2, "spawn");
    return 1;
}
