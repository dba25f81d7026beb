/* The program: runs scripts with Tide at hand, as `lua` runs them, and shows a prompt. */
#include "bindings/cli/line.h"
#include "bindings/cli/state.h"
#include "bindings/cli/stop.h"
#include "bindings/lua_tide.h"
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifndef TIDE_LUA_DIR
#define TIDE_LUA_DIR "/usr/local/share/lua/5.4"
#endif

static lua_State *opened; /* for the end of the process */

/* os.exit() in a script ends the process: the state is closed all the same, so that the black box goes. */
static void close_state(void) {
    if (opened) state_close(opened);
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
    stop_hook_off(L);
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
    int status = stop_pcall(L, nargs, 0, base, NULL);
    lua_remove(L, base);
    return status;
}

static int report(lua_State *L, int status) {
    if (status == LUA_OK) return 0;
    fprintf(stderr, "tide: %s\n", lua_tostring(L, -1) ? lua_tostring(L, -1) : "(no message)");
    lua_pop(L, 1);
    return 1;
}

/* lua/tide beside the build, or where it was installed: after what LUA_PATH names, before Lua's own places. */
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
    const char *path = lua_tostring(L, -1), *own = strstr(path, LUA_PATH_DEFAULT);
    lua_pushlstring(L, path, own ? (size_t)(own - path) : strlen(path));
    lua_pushfstring(L, "%s%s%s/?.lua;%s/?/init.lua%s%s", lua_tostring(L, -1), own ? "" : ";", found, found,
                    own ? ";" : "", own ? own : "");
    lua_setfield(L, -4, "path");
    lua_pop(L, 3);
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
    if (!tide_open(NULL, &cx)) {
        fputs(tide_parts(cx), stdout);
        tide_close(cx);
    }
    puts(line_parts());
}

static int usage(FILE *f, int status) {
    fputs("usage: tide [options] [script [args]]\n"
          "  -e code         run code\n"
          "  -l module       require a module; -l name=module: under another name\n"
          "  -i              a prompt after the script\n"
          "  -               run standard input\n"
          "  -W              show warnings\n"
          "  -E              ignore LUA_PATH and LUA_CPATH\n"
          "  --              no more options\n"
          "  -v, --version   Tide, Lua, the compiler, instruction set, optional parts\n"
          "  -h, --help      this text\n"
          "Without a script: a prompt on a terminal, else standard input is run.\n"
          "tide blackbox FILE   the last operations of a process that ended badly\n",
          f);
    return status;
}

static void print_line(void *arg, const char *text) {
    (void)arg;
    puts(text);
}

/* ---- options ---- */

typedef struct {
    int argc, script; /* script: the place of the first argument that is no option; argc: none */
    char **argv;
    bool code, interactive, warnings, no_environment;
} options;

/* 0: go on; else the exit status + 1. Options with a value take the rest of their word or the next word. */
static int read_options(options *o) {
    int i = 1;
    for (; i < o->argc && o->argv[i][0] == '-' && o->argv[i][1]; i++) {
        const char *a = o->argv[i];
        if (!strcmp(a, "--")) {
            i++;
            break;
        }
        if (!strcmp(a, "--version") || !strcmp(a, "-v")) return print_version(), 1;
        if (!strcmp(a, "--help") || !strcmp(a, "-h")) return usage(stdout, 0) + 1;
        if (a[1] == 'e' || a[1] == 'l') {
            o->code |= a[1] == 'e';
            if (!a[2] && ++i >= o->argc) {
                fprintf(stderr, "tide: %s needs a value\n", a);
                return usage(stderr, 1) + 1;
            }
        } else if (!strcmp(a, "-i")) {
            o->interactive = true;
        } else if (!strcmp(a, "-W")) {
            o->warnings = true;
        } else if (!strcmp(a, "-E")) {
            o->no_environment = true;
        } else {
            fprintf(stderr, "tide: unknown option %s\n", a);
            return usage(stderr, 1) + 1;
        }
    }
    o->script = i;
    return 0;
}

static int require(lua_State *L, const char *name, const char *global) {
    lua_getglobal(L, "require");
    lua_pushstring(L, name);
    int status = report(L, stop_pcall(L, 1, 1, 0, NULL));
    if (!status) lua_setglobal(L, global);
    return status;
}

/* -e and -l, in their order. */
static int run_options(lua_State *L, const options *o) {
    int status = 0;
    for (int i = 1; i < o->script && !status; i++) {
        char kind = o->argv[i][1];
        if (kind != 'e' && kind != 'l') continue;
        const char *value = o->argv[i][2] ? o->argv[i] + 2 : o->argv[++i];
        if (kind == 'e') {
            int s = luaL_loadbuffer(L, value, strlen(value), "=(command line)");
            status = report(L, s ? s : call(L, 0));
        } else {
            const char *equals = strchr(value, '=');
            const char *name = equals ? lua_pushlstring(L, value, (size_t)(equals - value)) : value;
            status = require(L, equals ? equals + 1 : value, name);
        }
    }
    return status;
}

static int run_script(lua_State *L, const options *o, const char *path) {
    int given = o->argc - o->script - 1, status = luaL_loadfile(L, path);
    if (!status && given > 0) {
        luaL_checkstack(L, given, "too many arguments");
        for (int i = o->script + 1; i < o->argc; i++) lua_pushstring(L, o->argv[i]);
    }
    return report(L, status ? status : call(L, given > 0 ? given : 0));
}

/* ---- the prompt: lua/tide/prompt, over these ---- */

static int handle_error(lua_State *L) { /* upvalue: the prompt's own handler */
    stop_hook_off(L);
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

/* run(function, handler) -> true, results... or false, message, whether it was Ctrl-C */
static int prompt_run(lua_State *L) {
    bool stopped;
    lua_settop(L, 2);
    lua_pushcclosure(L, handle_error, 1);
    lua_insert(L, 1);
    int status = stop_pcall(L, 0, LUA_MULTRET, 1, &stopped);
    lua_pushboolean(L, status == LUA_OK);
    lua_replace(L, 1);
    if (status != LUA_OK) lua_pushboolean(L, stopped);
    return lua_gettop(L);
}

static int prompt(lua_State *L) {
    lua_getglobal(L, "require");
    lua_pushliteral(L, "tide.prompt");
    if (report(L, lua_pcall(L, 1, 1, 0))) return 1;
    line_open(L);
    lua_pushcfunction(L, prompt_run);
    lua_setfield(L, -2, "run");
    stop_at_prompt(true);
    int status = lua_pcall(L, 1, 0, 0);
    stop_at_prompt(false);
    return report(L, status);
}

static int run(lua_State *L, const options *o) {
    const char *script = o->script < o->argc ? o->argv[o->script] : NULL;
    bool input = script ? !strcmp(script, "-") : !o->code && !o->interactive && !isatty(0);
    bool at_prompt = o->interactive || (!script && !o->code && !input);
    lua_createtable(L, o->argc - o->script, o->script + 1);
    for (int i = 0; i < o->argc; i++) {
        lua_pushstring(L, o->argv[i]);
        lua_rawseti(L, -2, i - o->script);
    }
    lua_setglobal(L, "arg");
    if ((o->code || input || at_prompt) && require(L, "tide", "tide"))
        return 1; /* at hand where files say require */
    if (run_options(L, o)) return 1;
    if ((script || input) && run_script(L, o, input ? NULL : script)) return 1;
    return at_prompt ? prompt(L) : 0;
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "blackbox")) {
        if (argc != 3) return usage(stderr, 1);
        int n = tide_blackbox_read(argv[2], print_line, NULL);
        if (n < 0) return fprintf(stderr, "tide: %s is no black box\n", argv[2]), 1;
        return 0;
    }
    options o = {.argc = argc, .argv = argv};
    int status = read_options(&o);
    if (status) return status - 1;
    lua_State *L = state_new();
    if (!L) return fprintf(stderr, "tide: no memory for a Lua state\n"), 1;
    if (o.no_environment) {
        lua_pushboolean(L, 1);
        lua_setfield(L, LUA_REGISTRYINDEX, "LUA_NOENV");
    }
    luaL_openlibs(L);
    if (o.warnings) lua_warning(L, "@on", 0);
    close_at_exit(L);
    stop_open(L);
    preload(L);
    set_paths(L);
    status = run(L, &o);
    state_close(L);
    return status;
}
