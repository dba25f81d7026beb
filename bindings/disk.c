/* What checkpoints need of the machine beyond Lua's own library: files that last, sums, JSON, the random state,
 * and a signal. */
#include "bindings/lua_tide.h"
#include "io/file.h"
#include "io/json.h"
#include <signal.h>
#include <time.h>

static int
write_text(lua_State *L) { /* _write(path, text): size, crc32c; replaces the file at once or not at all */
    tide_lua *s = tide_lua_enter(L);
    size_t n;
    const char *path = luaL_checkstring(L, 1), *text = luaL_checklstring(L, 2, &n);
    tide_writer w;
    tide_writer_open(s->cx, &w, path);
    tide_writer_put(&w, text, n);
    if (tide_writer_close(&w)) return tide_lua_fail(L, s);
    lua_pushinteger(L, (lua_Integer)w.size);
    lua_pushinteger(L, w.crc32c);
    return 2;
}

static int sum(lua_State *L) { /* _crc32c(path): size, crc32c */
    tide_lua *s = tide_lua_enter(L);
    tide_map m;
    if (tide_map_open(s->cx, luaL_checkstring(L, 1), &m)) return tide_lua_fail(L, s);
    lua_pushinteger(L, (lua_Integer)m.size);
    lua_pushinteger(L, tide_crc32c(0, m.data, m.size));
    tide_map_close(s->cx, &m);
    return 2;
}

static int sum_text(lua_State *L) { /* _crc32c_text(text): size, crc32c */
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);
    lua_pushinteger(L, (lua_Integer)n);
    lua_pushinteger(L, tide_crc32c(0, text, n));
    return 2;
}

static int rename_synced(lua_State *L) { /* _rename(from, to): true */
    tide_lua *s = tide_lua_enter(L);
    if (tide_rename(s->cx, luaL_checkstring(L, 1), luaL_checkstring(L, 2))) return tide_lua_fail(L, s);
    lua_pushboolean(L, 1);
    return 1;
}

static int sync_folder(lua_State *L) { /* _sync_folder(path): true */
    tide_lua *s = tide_lua_enter(L);
    if (tide_sync_folder(s->cx, luaL_checkstring(L, 1))) return tide_lua_fail(L, s);
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- JSON ---- */

static void push_json(lua_State *L, const tide_json *v) { /* depth: at most the reader's 64 */
    luaL_checkstack(L, 4, "JSON");
    switch (v->type) {
    case JSON_FALSE:
    case JSON_TRUE: lua_pushboolean(L, v->type == JSON_TRUE); return;
    case JSON_INT: lua_pushinteger(L, v->i); return;
    case JSON_FLOAT: lua_pushnumber(L, v->f); return;
    case JSON_STRING: lua_pushlstring(L, v->string, v->length); return;
    case JSON_ARRAY:
    case JSON_OBJECT:
        lua_newtable(L);
        lua_Integer i = 0;
        for (const tide_json *c = v->child; c; c = c->next) {
            if (v->type == JSON_OBJECT)
                lua_pushlstring(L, c->key, c->key_length);
            else
                lua_pushinteger(L, ++i);
            push_json(L, c);
            lua_rawset(L, -3);
        }
        return;
    default: lua_pushnil(L);
    }
}

static int decode(lua_State *L) {
    tide_json_doc *doc = lua_touserdata(L, 1);
    push_json(L, doc->root);
    return 1;
}

/* _json(text): the value; objects and arrays are tables, null is nil */
static int json(lua_State *L) {
    tide_lua *s = tide_lua_enter(L);
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);
    tide_json_doc doc;
    if (tide_json_read(s->cx, text, n, &doc)) return tide_lua_fail(L, s);
    lua_pushcfunction(L, decode);
    lua_pushlightuserdata(L, &doc);
    int status = lua_pcall(L, 1, 1, 0); /* memory may run out: the document goes all the same */
    tide_json_free(s->cx, &doc);
    return status ? lua_error(L) : 1;
}

static int quote(lua_State *L) { /* _json_quote(string): string, or nil if it is not UTF-8 */
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);
    luaL_Buffer b;
    if (!tide_utf8_valid(text, n)) return 0;
    size_t want = tide_json_quote(text, n, NULL, 0);
    char *out = luaL_buffinitsize(L, &b, want);
    tide_json_quote(text, n, out, want);
    luaL_pushresultsize(&b, want);
    return 1;
}

/* ---- the random state, SIGTERM ---- */

static int random_state(lua_State *L) { /* _random_state([seed, calls]): seed, calls */
    tide_lua *s = tide_lua_enter(L);
    if (!lua_isnoneornil(L, 1)) {
        lua_Integer calls = luaL_checkinteger(L, 2);
        tide_manual_seed(s->cx, (uint64_t)luaL_checkinteger(L, 1));
        s->cx->rng_calls = (uint64_t)calls;
    }
    lua_pushinteger(L, (lua_Integer)s->cx->seed);
    lua_pushinteger(L, (lua_Integer)s->cx->rng_calls);
    return 2;
}

static volatile sig_atomic_t terminated; /* a signal is the process's, not a state's */
static volatile time_t terminated_at;
static void
on_terminate(int sig) { /* timeout(1) and batch systems send it twice: to the process and its group */
    time_t now = time(NULL);
    if (terminated && now - terminated_at > 1) { /* asked again: no longer at a step's boundary */
        signal(sig, SIG_DFL);
        raise(sig);
    }
    if (!terminated) terminated_at = now;
    terminated = 1;
}

/* _watch_sigterm(): whether SIGTERM is watched from now on. A host's own handler is left alone. */
static int watch_sigterm(lua_State *L) {
    struct sigaction old;
    bool ours =
        !sigaction(SIGTERM, NULL, &old) && (old.sa_handler == SIG_DFL || old.sa_handler == on_terminate);
    if (ours) {
        struct sigaction new = {.sa_handler = on_terminate, .sa_flags = SA_RESTART};
        sigaction(SIGTERM, &new, NULL);
    }
    lua_pushboolean(L, ours);
    return 1;
}
static int sigterm_seen(lua_State *L) { /* _sigterm_seen() */
    lua_pushboolean(L, terminated);
    return 1;
}

void tide_lua_open_disk(lua_State *L, tide_lua *s) {
    tide_lua_register(L, s,
                      (luaL_Reg[]){{"_write", write_text},
                                   {"_crc32c", sum},
                                   {"_crc32c_text", sum_text},
                                   {"_rename", rename_synced},
                                   {"_sync_folder", sync_folder},
                                   {"_json", json},
                                   {"_json_quote", quote},
                                   {"_random_state", random_state},
                                   {"_watch_sigterm", watch_sigterm},
                                   {"_sigterm_seen", sigterm_seen},
                                   {NULL, NULL}});
}
