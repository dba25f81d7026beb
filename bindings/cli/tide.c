/* The program: runs scripts with Tide at hand, as `lua` runs them. */
#include "bindings/lua_tide.h"
#include <lualib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifndef TIDE_LUA_DIR
#define TIDE_LUA_DIR "/usr/local/share/lua/5.4"
#endif

/* For the signal handler and the end of the process: of this program, not of the library. */
static lua_State *running, *opened;
static volatile int stopped; /* tensor operations poll it: they end with an error between tiles */

static void stop(lua_State *L, lua_Debug *ar) {
    (void)ar;
    lua_sethook(L, NULL, 0, 0);
    stopped = 0;
    luaL_error(L, "interrupted");
}
static void interrupted(int sig) {
    signal(sig, SIG_DFL); /* a second one ends the program */
    stopped = 1;
    lua_sethook(running, stop, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

/* Calls the function below its arguments, stoppable by Ctrl-C. */
static int stoppable(lua_State *L, int nargs, int nresults, int handler) {
    running = L;
    signal(SIGINT, interrupted);
    int status = lua_pcall(L, nargs, nresults, handler);
    signal(SIGINT, SIG_DFL);
    lua_sethook(L, NULL, 0, 0);
    stopped = 0;
    return status;
}

/* os.exit() in a script ends the process: the state is closed all the same, so that the black box goes. */
static void close_state(void) {
    if (opened) lua_close(opened);
}
static int state_closes(lua_State *L) {
    (void)L;
    opened = NULL;
    return 0;
}
static void close_at_exit(lua_State *L) {
    lua_newuserdatauv(L, 0, 0);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, state_closes);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    luaL_ref(L, LUA_REGISTRYINDEX);
    opened = L;
    atexit(close_state);
}

static int traceback(lua_State *L) {
    const char *text = lua_tostring(L, 1);
    if (!text) {
        if (luaL_callmeta(L, 1, "__tostring") && lua_type(L, -1) == LUA_TSTRING) return 1;
        text = lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
    }
    luaL_traceback(L, L, text, 1);
    return 1;
}

static int call(lua_State *L, int nargs) {
    int base = lua_gettop(L) - nargs;
    lua_pushcfunction(L, traceback);
    lua_insert(L, base);
    int status = stoppable(L, nargs, 0, base);
    lua_remove(L, base);
    return status;
}

static int report(lua_State *L, int status) {
    if (status == LUA_OK) return 0;
    fprintf(stderr, "tide: %s\n", lua_tostring(L, -1) ? lua_tostring(L, -1) : "(no message)");
    lua_pop(L, 1);
    return 1;
}

/* lua/tide beside the build, or where it was installed. */
static void set_paths(lua_State *L) {
    char exe[4096], found[4200] = TIDE_LUA_DIR;
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n > 0) {
        exe[n] = 0;
        char *slash = strrchr(exe, '/');
        if (slash) *slash = 0;
        static const char *const places[] = {"/../lua", "/../share/lua/5.4"};
        for (int i = 0; i < 2; i++) {
            char probe[4300], dir[4200];
            snprintf(dir, sizeof dir, "%.4095s%s", exe, places[i]);
            snprintf(probe, sizeof probe, "%s/tide/init.lua", dir);
            if (access(probe, R_OK) == 0) {
                memcpy(found, dir, sizeof dir);
                break;
            }
        }
    }
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "path");
    lua_pushfstring(L, "%s/?.lua;%s/?/init.lua;%s", found, found, lua_tostring(L, -1));
    lua_setfield(L, -3, "path");
    lua_pop(L, 2);
}

static int preload(lua_State *L) { /* the core is linked in */
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, luaopen_tide_core);
    lua_setfield(L, -2, "tide.core");
    lua_pop(L, 1);
    return 0;
}

static void print_version(void) {
    tide_context *cx;
#ifdef __clang__
    const char *compiler = __VERSION__;
#else
    const char *compiler = "gcc " __VERSION__;
#endif
    printf("Tide %s  %s  built with %s\n", TIDE_VERSION, LUA_RELEASE, compiler);
    if (tide_open(NULL, &cx)) return;
    fputs(tide_parts(cx), stdout);
    tide_close(cx);
}

static int usage(FILE *f, int status) {
    fputs("usage: tide [options] [script [args]]\n"
          "  -e code      run code\n"
          "  -l module    require a module\n"
          "  -i           a prompt after the script\n"
          "  -            run standard input\n"
          "  --version    Tide, Lua, the compiler, instruction set, optional parts\n"
          "  --help       this text\n"
          "tide blackbox FILE   the last operations of a process that ended badly\n",
          f);
    return status;
}

static void print_line(void *arg, const char *text) {
    (void)arg;
    puts(text);
}

static int prompt(lua_State *L) {
    char line[8192];
    bool terminal = isatty(0);
    for (;;) {
        if (terminal) fputs("> ", stdout), fflush(stdout);
        if (!fgets(line, sizeof line, stdin)) break;
        const char *code = line[0] == '=' ? line + 1 : line;
        lua_pushfstring(L, "return %s", code);
        int status = luaL_loadbuffer(L, lua_tostring(L, -1), lua_rawlen(L, -1), "=stdin");
        lua_remove(L, -2);
        if (status) {
            lua_pop(L, 1);
            status = luaL_loadbuffer(L, line, strlen(line), "=stdin");
        }
        if (!status) status = stoppable(L, 0, LUA_MULTRET, 0);
        if (status) {
            report(L, status);
        } else if (lua_gettop(L) > 0) {
            lua_getglobal(L, "print");
            lua_insert(L, 1);
            if (lua_pcall(L, lua_gettop(L) - 1, 0, 0)) report(L, 1);
        }
        lua_settop(L, 0);
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "blackbox")) {
        if (argc != 3) return usage(stderr, 1);
        int n = tide_blackbox_read(argv[2], print_line, NULL);
        if (n < 0) return fprintf(stderr, "tide: %s is no black box\n", argv[2]), 1;
        return 0;
    }
    int script = 1;
    for (; script < argc && argv[script][0] == '-' && argv[script][1]; script++) {
        const char *a = argv[script];
        if (!strcmp(a, "--version") || !strcmp(a, "-v")) return print_version(), 0;
        if (!strcmp(a, "--help") || !strcmp(a, "-h")) return usage(stdout, 0);
        if (!strcmp(a, "-e") || !strcmp(a, "-l"))
            script++;
        else if (strcmp(a, "-i"))
            return fprintf(stderr, "tide: unknown option %s\n", a), usage(stderr, 1);
    }
    if (script > argc) return usage(stderr, 1);
    lua_State *L = luaL_newstate();
    if (!L) return fprintf(stderr, "tide: no memory for a Lua state\n"), 1;
    luaL_openlibs(L);
    close_at_exit(L);
    lua_pushlightuserdata(L, (void *)&stopped);
    lua_setfield(L, LUA_REGISTRYINDEX, TIDE_INTERRUPT);
    lua_gc(L, LUA_GCGEN, 0, 0);
    preload(L);
    set_paths(L);
    lua_createtable(L, argc - script, script + 1);
    for (int i = 0; i < argc; i++) {
        lua_pushstring(L, argv[i]);
        lua_rawseti(L, -2, i - script);
    }
    lua_setglobal(L, "arg");
    int status = 0;
    bool interactive = false, ran = false;
    bool code = false;
    for (int i = 1; i < script && i < argc; i++) code |= !strcmp(argv[i], "-e") || !strcmp(argv[i], "-i");
    if (code) { /* -e and the prompt have tide at hand, as scripts have after require */
        lua_getglobal(L, "require");
        lua_pushliteral(L, "tide");
        status = report(L, lua_pcall(L, 1, 1, 0));
        if (!status) lua_setglobal(L, "tide");
    }
    for (int i = 1; i < script && !status; i++) {
        if (!strcmp(argv[i], "-e")) {
            int s = luaL_loadbuffer(L, argv[i + 1], strlen(argv[i + 1]), "=(command line)");
            status = report(L, s ? s : call(L, 0));
            i++, ran = true;
        } else if (!strcmp(argv[i], "-l")) {
            lua_getglobal(L, "require");
            lua_pushstring(L, argv[++i]);
            int s = lua_pcall(L, 1, 1, 0);
            status = report(L, s);
            if (!s) lua_setglobal(L, argv[i]);
        } else {
            interactive = true;
        }
    }
    if (!status && script < argc) {
        bool input = !strcmp(argv[script], "-");
        int s = luaL_loadfile(L, input ? NULL : argv[script]);
        if (!s) {
            for (int i = script + 1; i < argc; i++) lua_pushstring(L, argv[i]);
            s = call(L, argc - script - 1);
        }
        status = report(L, s);
        ran = true;
    }
    if (!status && (interactive || !ran)) {
        if (!interactive && !code) {
            lua_getglobal(L, "require");
            lua_pushliteral(L, "tide");
            if (!report(L, lua_pcall(L, 1, 1, 0))) lua_setglobal(L, "tide");
        }
        prompt(L);
    }
    lua_close(L);
    return status;
}
