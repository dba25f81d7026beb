/* The handler of SIGINT raises a flag, which tensor operations poll between tiles, and sets a hook on the Lua
 * thread that runs. A hook belongs to one thread, so resuming a coroutine is written down here. */
#include "bindings/cli/stop.h"
#include "bindings/lua_tide.h"
#include <lualib.h>
#include <signal.h>
#include <unistd.h>

/* For the signal handler: of this program, not of the library. */
static lua_State *volatile running; /* NULL: no Lua function that could be stopped */
static volatile int pressed;
static volatile bool at_prompt;
static int raised; /* errors thrown for the present Ctrl-C */

static void hook(lua_State *L, lua_Debug *ar);

static void arm(lua_State *L, int instructions) {
    int each = instructions == 1 ? LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE : 0;
    lua_sethook(L, hook, LUA_MASKCOUNT | each, instructions);
}

/* A script may catch the error: it then gets time to clean up, less each time, until nothing can hold it. */
static void hook(lua_State *L, lua_Debug *ar) {
    (void)ar;
    if (!pressed) {
        lua_sethook(L, NULL, 0, 0);
        return;
    }
    raised++;
    arm(L, raised == 1 ? 100000 : raised == 2 ? 1000 : 1);
    lua_Debug at;
    for (int level = 0; lua_getstack(L, level, &at); level++) { /* a hook has no level of its own */
        lua_getinfo(L, "Sl", &at);
        if (at.currentline <= 0) continue;
        lua_pushfstring(L, "%s:%d: interrupted", at.short_src, at.currentline);
        lua_error(L);
    }
    lua_pushliteral(L, "interrupted");
    lua_error(L);
}

static void on_interrupt(int sig) {
    pressed = pressed + 1;
    if (running) arm(running, 1);
    if (!running || pressed == 1) return;
    static const char text[] = "\nstill inside a C function; Ctrl-C once more ends the program\n";
    if (at_prompt && write(2, text, sizeof text - 1) < 0) return;
    signal(sig, SIG_DFL);
}

static void install(void) {
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_handler = on_interrupt;
    if (!at_prompt) a.sa_flags = (int)SA_RESETHAND; /* a second one ends the process */
    sigaction(SIGINT, &a, NULL);                    /* no SA_RESTART: reading a line ends too */
}

void stop_at_prompt(bool on) {
    at_prompt = on;
    if (on)
        install();
    else
        signal(SIGINT, SIG_DFL);
}

bool stop_asked(void) {
    bool was = pressed > 0;
    pressed = 0;
    return was;
}

void stop_hook_off(lua_State *L) { lua_sethook(L, NULL, 0, 0); }

int stop_pcall(lua_State *L, int nargs, int nresults, int handler, bool *stopped) {
    pressed = raised = 0;
    running = L;
    install();
    int status = lua_pcall(L, nargs, nresults, handler);
    running = NULL;
    stop_at_prompt(at_prompt);
    lua_sethook(L, NULL, 0, 0);
    bool was = stop_asked();
    if (stopped) *stopped = was;
    return status;
}

/* ---- coroutines ---- */

/* Moves nargs values to co and runs it. Returns the number of results on L, or -1 with an error on top. */
static int resume(lua_State *L, lua_State *co, int nargs) {
    int n;
    if (!lua_checkstack(co, nargs)) return lua_pushliteral(L, "too many arguments to resume"), -1;
    lua_xmove(L, co, nargs);
    lua_State *outer = running;
    if (outer) running = co;
    if (pressed) arm(co, 1);
    int status = lua_resume(co, L, nargs, &n);
    if (outer) running = outer;
    if (pressed) arm(L, 1);
    if (status != LUA_OK && status != LUA_YIELD) return lua_xmove(co, L, 1), -1;
    if (!lua_checkstack(L, n + 1)) {
        lua_pop(co, n);
        return lua_pushliteral(L, "too many results to resume"), -1;
    }
    lua_xmove(co, L, n);
    return n;
}

static int co_resume(lua_State *L) {
    lua_State *co = lua_tothread(L, 1);
    luaL_argexpected(L, co, 1, "coroutine");
    int n = resume(L, co, lua_gettop(L) - 1);
    lua_pushboolean(L, n >= 0);
    lua_insert(L, n >= 0 ? -n - 1 : -2);
    return n >= 0 ? n + 1 : 2;
}

static int co_wrapped(lua_State *L) {
    lua_State *co = lua_tothread(L, lua_upvalueindex(1));
    int n = resume(L, co, lua_gettop(L));
    if (n >= 0) return n;
    int status = lua_status(co);
    if (status != LUA_OK && status != LUA_YIELD) { /* ended by the error: what it left open is closed */
        lua_pop(L, 1);
        status = lua_resetthread(co);
        lua_xmove(co, L, 1);
    }
    if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

static int co_wrap(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *co = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    lua_pushcclosure(L, co_wrapped, 1);
    return 1;
}

/* ---- message handlers ---- */

/* For an error raised in a hook they run without hooks, where nothing could stop them. */
static int handled(lua_State *L) { /* upvalue: the script's handler */
    if (pressed) return 1;
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, 1);
    return 1;
}

static int x_pcall(lua_State *L) { /* upvalue: the stock xpcall, which runs in this call */
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, handled, 1);
    lua_replace(L, 2);
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

static int was_pressed(void *ud) {
    (void)ud;
    return pressed;
}

void stop_open(lua_State *L) {
    static const tide_lua_host host = {.cancelled = was_pressed};
    lua_pushlightuserdata(L, (void *)(uintptr_t)&host);
    lua_setfield(L, LUA_REGISTRYINDEX, TIDE_HOST);
    lua_getglobal(L, LUA_COLIBNAME);
    luaL_setfuncs(L, (luaL_Reg[]){{"resume", co_resume}, {"wrap", co_wrap}, {NULL, NULL}}, 0);
    lua_pop(L, 1);
    lua_getglobal(L, "xpcall");
    lua_pushcclosure(L, x_pcall, 1);
    lua_setglobal(L, "xpcall");
}
