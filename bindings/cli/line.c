#define _GNU_SOURCE /* ppoll */
/* libedit is loaded only when a prompt is wanted: scripts do not pay for it. */
#include "bindings/cli/line.h"
#include "bindings/cli/stop.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef TIDE_HAVE_EDIT
#include <dlfcn.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <wchar.h>

enum { REMEMBERED = 1000 };

/* clang-format off */
#define EACH_FUNCTION(X) \
    X(el_init) X(el_end) X(el_set) X(el_gets) X(el_line) X(el_insertstr) X(el_resize) \
    X(history_init) X(history_end) X(history)
/* clang-format on */

typedef struct {
#define X(f) __typeof__(&f) f;
    EACH_FUNCTION(X)
#undef X
} library;

/* One editor a process: libedit's callbacks come with no state of ours. */
static struct {
    library lib;
    EditLine *el;
    History *history;
    lua_State *L;
    int table;          /* reference to the prompt's table */
    const char *prompt; /* shown now */
    sigset_t open;      /* signals while waiting for a key */
    bool stopped;       /* the last wait ended with Ctrl-C */
} editor;

static bool load(library *lib) {
    void *handle = dlopen("libedit.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!handle) return false;
#define X(f) \
    if (!(*(void **)&lib->f = dlsym(handle, #f))) return false;
    EACH_FUNCTION(X)
#undef X
    return true;
}

static char *show_prompt(EditLine *el) {
    (void)el;
    return (char *)editor.prompt;
}

/* One character; ends the line at Ctrl-C, which libedit's own reading would overhear. SIGINT is blocked but
 * while this waits, so that it cannot fall between looking and waiting. */
static int get_character(EditLine *el, wchar_t *out) {
    mbstate_t state;
    memset(&state, 0, sizeof state);
    (void)el;
    editor.stopped = false;
    for (;;) {
        char c;
        struct pollfd in = {0, POLLIN, 0};
        int ready = ppoll(&in, 1, NULL, &editor.open);
        if (stop_asked()) {
            editor.stopped = true;
            return -1;
        }
        if (ready < 0 && errno == EINTR) continue;
        ssize_t n = read(0, &c, 1);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return (int)n;
        if (!c) c = 'D' & 31; /* what a Ctrl-D becomes that was typed before the terminal was ours */
        size_t used = mbrtowc(out, &c, 1, &state);
        if (used == (size_t)-2) continue; /* more bytes belong to it */
        if (used == (size_t)-1) {
            memset(&state, 0, sizeof state);
            continue;
        }
        return 1;
    }
}

/* The list in as many columns as the terminal takes. */
static void show_list(lua_State *L, int list) {
    struct winsize w;
    size_t wide = ioctl(1, TIOCGWINSZ, &w) == 0 && w.ws_col ? w.ws_col : 80, longest = 0;
    lua_Integer n = luaL_len(L, list);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_geti(L, list, i);
        size_t length = lua_rawlen(L, -1);
        if (length > longest) longest = length;
        lua_pop(L, 1);
    }
    lua_Integer columns = (lua_Integer)(wide / (longest + 2));
    if (columns < 1) columns = 1;
    lua_Integer rows = (n + columns - 1) / columns;
    for (lua_Integer r = 0; r < rows; r++) {
        for (lua_Integer i = r + 1; i <= n; i += rows) {
            lua_geti(L, list, i);
            const char *text = lua_tostring(L, -1);
            printf(i == r + 1 ? "\n%-*s" : "%-*s", i + rows <= n ? (int)longest + 2 : 0, text ? text : "");
            lua_pop(L, 1);
        }
    }
    puts("");
    fflush(stdout);
}

static unsigned char complete(EditLine *el, int key) {
    (void)key;
    lua_State *L = editor.L;
    int top = lua_gettop(L);
    const LineInfo *line = editor.lib.el_line(el);
    unsigned char result = CC_REFRESH_BEEP;
    lua_rawgeti(L, LUA_REGISTRYINDEX, editor.table);
    if (lua_getfield(L, -1, "complete") == LUA_TFUNCTION) {
        lua_pushlstring(L, line->buffer, (size_t)(line->cursor - line->buffer));
        if (lua_pcall(L, 1, 2, 0) == LUA_OK) {
            const char *insert = lua_tostring(L, -2);
            if (insert && *insert) {
                if (editor.lib.el_insertstr(el, insert) == 0) result = CC_REFRESH;
            } else if (lua_istable(L, -1)) {
                show_list(L, lua_gettop(L));
                result = CC_REDISPLAY;
            }
        }
    }
    lua_settop(L, top);
    return result;
}

/* Wide characters come as UTF-8 also where no locale was set. */
static void set_locale(void) {
    if (!setlocale(LC_CTYPE, "") || strcmp(nl_langinfo(CODESET), "UTF-8")) setlocale(LC_CTYPE, "C.UTF-8");
}

static bool start(lua_State *L, int table) {
    HistEvent event;
    const char *term = getenv("TERM");
    if (!isatty(0) || !isatty(1) || !term || !strcmp(term, "dumb") || !load(&editor.lib)) return false;
    library *lib = &editor.lib;
    set_locale();
    editor.prompt = "> ";
    editor.L = L;
    editor.el = lib->el_init("tide", stdin, stdout, stderr);
    editor.history = lib->history_init();
    if (!editor.el || !editor.history) return false;
    lib->history(editor.history, &event, H_SETSIZE, REMEMBERED);
    lib->history(editor.history, &event, H_SETUNIQUE, 1);
    lib->el_set(editor.el, EL_HIST, lib->history, editor.history);
    lib->el_set(editor.el, EL_EDITOR, "emacs");
    lib->el_set(editor.el, EL_PROMPT, show_prompt);
    lib->el_set(editor.el, EL_GETCFN, get_character);
    lib->el_set(editor.el, EL_ADDFN, "tide-complete", "names and files", complete);
    lib->el_set(editor.el, EL_BIND, "^I", "tide-complete", NULL);
    lib->el_set(editor.el, EL_BIND, "^R", "em-inc-search-prev", NULL);
    lib->el_set(editor.el, EL_BIND, "\\e[1;5C", "em-next-word", NULL); /* Ctrl with the arrows */
    lib->el_set(editor.el, EL_BIND, "\\e[1;5D", "ed-prev-word", NULL);
    lib->el_set(editor.el, EL_BIND, "\\e[3~", "ed-delete-next-char", NULL);
    lua_pushvalue(L, table);
    editor.table = luaL_ref(L, LUA_REGISTRYINDEX);
    return true;
}

static int read_edited(lua_State *L) {
    int n = 0;
    editor.prompt = luaL_checkstring(L, 1);
    editor.L = L;
    editor.lib.el_resize(editor.el);
    editor.lib.el_set(editor.el, EL_PREP_TERM, 1); /* before the prompt invites to type */
    stop_asked();
    sigset_t block;
    sigemptyset(&block);
    sigaddset(&block, SIGINT);
    sigprocmask(SIG_BLOCK, &block, &editor.open);
    const char *line = editor.lib.el_gets(editor.el, &n);
    sigprocmask(SIG_SETMASK, &editor.open, NULL);
    if (editor.stopped) {
        lua_pushboolean(L, 0);
    } else if (line && n > 0) {
        if (line[n - 1] == '\n') n--;
        lua_pushlstring(L, line, (size_t)n);
    } else {
        lua_pushnil(L);
    }
    return 1;
}

static int add(lua_State *L) {
    HistEvent event;
    editor.lib.history(editor.history, &event, H_ENTER, luaL_checkstring(L, 1));
    return 0;
}

static int end(lua_State *L) {
    (void)L;
    if (editor.history) editor.lib.history_end(editor.history);
    if (editor.el) editor.lib.el_end(editor.el);
    editor.history = NULL;
    editor.el = NULL;
    return 0;
}

const char *line_parts(void) {
    library lib;
    return load(&lib) ? "libedit: found; the prompt has history and completion"
                      : "libedit: not found; the prompt reads plain lines";
}
#else
static bool start(lua_State *L, int table) { return false; }
static int read_edited(lua_State *L) { return 0; }
static int add(lua_State *L) { return 0; }
static int end(lua_State *L) { return 0; }
const char *line_parts(void) { return "libedit: not built in; the prompt reads plain lines"; }
#endif

static int read_plain(lua_State *L) {
    const char *prompt = luaL_checkstring(L, 1);
    if (isatty(0)) fputs(prompt, stdout);
    fflush(stdout);
    stop_asked();
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (int some = 0;; some = 1) {
        int c = getc(stdin);
        if (c == '\n') break;
        if (c != EOF) {
            luaL_addchar(&b, (char)c);
            continue;
        }
        bool interrupted = ferror(stdin) && errno == EINTR;
        clearerr(stdin);
        if (interrupted && !stop_asked()) continue;
        if (interrupted) return lua_pushboolean(L, 0), 1;
        if (!some) return lua_pushnil(L), 1;
        break;
    }
    luaL_pushresult(&b);
    return 1;
}

static int add_nothing(lua_State *L) {
    (void)L;
    return 0;
}

/* ---- files: what stock Lua cannot ask for ---- */

static int files(lua_State *L) { /* files(folder): names, folders with a final "/" */
    const char *path = luaL_checkstring(L, 1);
    lua_newtable(L);
    DIR *d = opendir(path);
    int n = 0;
    for (const struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        lua_pushstring(L, e->d_name);
        if (fstatat(dirfd(d), e->d_name, &st, 0) == 0 && S_ISDIR(st.st_mode)) {
            lua_pushliteral(L, "/");
            lua_concat(L, 2);
        }
        lua_rawseti(L, -2, ++n);
    }
    if (d) closedir(d);
    return 1;
}

static int make_folders(lua_State *L) { /* make_folders(path): those that are missing, for the user alone */
    char path[4096];
    size_t n;
    const char *given = luaL_checklstring(L, 1, &n);
    if (n >= sizeof path) return 0;
    memcpy(path, given, n + 1);
    for (size_t i = 1; i <= n; i++)
        if (path[i] == '/' || !path[i]) {
            path[i] = 0;
            mkdir(path, 0700);
            if (i < n) path[i] = '/';
        }
    return 0;
}

void line_open(lua_State *L) {
    lua_newtable(L);
    bool editing = start(L, lua_gettop(L));
    lua_pushcfunction(L, editing ? read_edited : read_plain);
    lua_setfield(L, -2, "read");
    lua_pushcfunction(L, editing ? add : add_nothing);
    lua_setfield(L, -2, "add");
    lua_pushcfunction(L, files);
    lua_setfield(L, -2, "files");
    lua_pushcfunction(L, make_folders);
    lua_setfield(L, -2, "make_folders");
    lua_pushboolean(L, editing);
    lua_setfield(L, -2, "editing");
    lua_pushboolean(L, isatty(0));
    lua_setfield(L, -2, "terminal");
    if (editing) { /* the terminal is given back as it was found */
        lua_createtable(L, 0, 1);
        lua_pushcfunction(L, end);
        lua_setfield(L, -2, "__gc");
        lua_setmetatable(L, -2);
    }
}
