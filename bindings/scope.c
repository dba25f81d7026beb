/* tide.scope(): the handles made while a scope is open are closed with it, except those kept. */
#include "bindings/lua_tide.h"

static void release(tide_lua *s, void *p);
static int scope_close(lua_State *L), scope_keep(lua_State *L);
static const tide_lua_kind kind = {
    "tide.Scope", sizeof(scope), release,
    (luaL_Reg[]){{"__close", scope_close}, {"close", scope_close}, {"keep", scope_keep}, {NULL, NULL}}};

void tide_lua_scope_add(scope *sc, handle *h) {
    h->scope = sc;
    h->prev = NULL;
    h->next = sc->first;
    if (h->next) h->next->prev = h;
    sc->first = h;
}

void tide_lua_scope_remove(handle *h) {
    if (h->prev)
        h->prev->next = h->next;
    else
        h->scope->first = h->next;
    if (h->next) h->next->prev = h->prev;
}

/* Its newest handle, now in the outermost scope; NULL: it has none. */
static handle *take(tide_lua *s, scope *sc) {
    handle *h = sc->first;
    if (!h) return NULL;
    tide_lua_scope_remove(h);
    tide_lua_scope_add(&s->outermost, h);
    return h;
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
    scope *sc = tide_lua_object(L, 1, &kind);
    if (!sc->open) return 0;
    s->L = L;
    leave(s, sc);
    for (handle *h; (h = take(s, sc));) {
        tide_tensor *t = h->t;
        h->t = NULL;
        tide_handle_free(t);
    }
    return 0;
}

/* A scope that was forgotten, not closed: its tensors are left to the collector. */
static void release(tide_lua *s, void *p) {
    scope *sc = p;
    if (sc->open) leave(s, sc);
    while (take(s, sc)) {}
}

static int scope_keep(lua_State *L) { /* s:keep(t): t belongs to the next scope outside, if there is one */
    tide_lua *s = STATE(L);
    scope *sc = tide_lua_object(L, 1, &kind);
    handle *h = tide_lua_handle(L, s, 2);
    if (!h) return tide_lua_error(L, s, "scope", "keep: expected a tensor, got %s", luaL_typename(L, 2));
    if (h->scope == sc) {
        tide_lua_scope_remove(h);
        tide_lua_scope_add(sc->outer, h);
    }
    lua_settop(L, 2);
    return 1;
}

static int scope_open(lua_State *L) {
    tide_lua *s = STATE(L);
    scope *sc = tide_lua_new(L, s, &kind);
    sc->outer = s->scope;
    sc->open = true;
    s->scope = sc;
    return 1;
}

void tide_lua_open_scope(lua_State *L, tide_lua *s) {
    tide_lua_register(L, s, (luaL_Reg[]){{"_scope", scope_open}, {NULL, NULL}});
}
