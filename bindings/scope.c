/* tide.scope(): the handles made while a scope is open are closed with it, except those kept. */
#include "bindings/lua_tide.h"

#define NAME "tide.Scope"

struct scope {
    handle *first; /* newest */
    scope *outer;  /* opened before and still open */
    bool open;
};

void tide_lua_scope_add(scope *sc, handle *h) {
    h->scope = sc;
    h->prev = NULL;
    h->next = sc->first;
    if (h->next) h->next->prev = h;
    sc->first = h;
}

void tide_lua_scope_remove(handle *h) {
    if (!h->scope) return;
    if (h->prev)
        h->prev->next = h->next;
    else
        h->scope->first = h->next;
    if (h->next) h->next->prev = h->prev;
    h->scope = NULL;
}

/* Takes it out of the chain of open scopes, wherever it stands. */
static void leave(tide_lua *s, scope *sc) {
    scope **at = &s->scope;
    while (*at && *at != sc) at = &(*at)->outer;
    if (*at) *at = sc->outer;
    sc->open = false;
}

static int scope_close(lua_State *L) {
    tide_lua *s = STATE(L);
    scope *sc = luaL_checkudata(L, 1, NAME);
    if (!sc->open) return 0;
    s->L = L;
    leave(s, sc);
    while (sc->first) {
        handle *h = sc->first;
        tide_tensor *t = h->t;
        h->t = NULL;
        tide_lua_scope_remove(h);
        if (s->cx) tide_handle_free(t);
    }
    return 0;
}

/* A scope that was forgotten, not closed: its tensors are left to the collector. */
static int scope_gc(lua_State *L) {
    scope *sc = luaL_checkudata(L, 1, NAME);
    if (sc->open) leave(STATE(L), sc);
    while (sc->first) tide_lua_scope_remove(sc->first);
    return 0;
}

static int scope_keep(lua_State *L) { /* s:keep(t): t belongs to the next scope outside, if there is one */
    tide_lua *s = STATE(L);
    scope *sc = luaL_checkudata(L, 1, NAME);
    handle *h = tide_lua_handle(L, s, 2);
    if (!h) return tide_lua_error(L, s, "scope", "keep: expected a tensor, got %s", luaL_typename(L, 2));
    if (h->scope == sc) {
        tide_lua_scope_remove(h);
        if (sc->outer) tide_lua_scope_add(sc->outer, h);
    }
    lua_settop(L, 2);
    return 1;
}

static int scope_open(lua_State *L) {
    tide_lua *s = STATE(L);
    scope *sc = lua_newuserdatauv(L, sizeof *sc, 0);
    *sc = (scope){0};
    tide_lua_class(L, s, NAME,
                   (luaL_Reg[]){{"__close", scope_close},
                                {"__gc", scope_gc},
                                {"close", scope_close},
                                {"keep", scope_keep},
                                {NULL, NULL}});
    sc->outer = s->scope;
    sc->open = true;
    s->scope = sc;
    return 1;
}

void tide_lua_open_scope(lua_State *L, tide_lua *s) {
    tide_lua_register(L, s, (luaL_Reg[]){{"_scope", scope_open}, {NULL, NULL}});
}
