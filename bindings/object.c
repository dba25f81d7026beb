/* What a userdata of Tide's stands for lies outside it, in a list of the state. Lua gives up a finalizer that
 * it has no C stack or memory left to call: then nothing may point into the userdata, which is gone, and what
 * it held goes with the state. */
#include "bindings/lua_tide.h"
#include <stddef.h>

struct object {
    object *prev, *next;
    const tide_lua_kind *kind;
    max_align_t held[];
};

typedef struct {
    const void *mark; /* &mark: by this and its size a userdata is known as an object's */
    object *o;        /* NULL: its finalizer has run */
} box;
static const char mark;

static void drop(tide_lua *s, object *o) {
    if (o->prev)
        o->prev->next = o->next;
    else
        s->objects = o->next;
    if (o->next) o->next->prev = o->prev;
    if (o->kind->release) o->kind->release(s, o->held);
    tide_release(s->cx, o, sizeof *o + o->kind->size);
}

static int object_gc(lua_State *L) {
    tide_lua *s = STATE(L);
    box *b = lua_touserdata(L, 1);
    if (!b || lua_rawlen(L, 1) != sizeof *b || b->mark != &mark) return 0;
    object *o = b->o;
    b->o = NULL;
    if (!o || !s->cx) return 0; /* the state's finalizer came first */
    s->L = L;
    drop(s, o);
    return 0;
}

void *tide_lua_new(lua_State *L, tide_lua *s, const tide_lua_kind *kind) {
    box *b = lua_newuserdatauv(L, sizeof *b, 1);
    *b = (box){&mark, NULL};
    if (!s->cx) luaL_error(L, "the state is closing");
    object *o = tide_alloc0(s->cx, sizeof *o + kind->size);
    if (!o) tide_lua_raise(L, s);
    o->kind = kind;
    o->next = s->objects;
    if (o->next) o->next->prev = o;
    s->objects = b->o = o;
    tide_lua_class(L, s, kind->name, kind->functions, object_gc);
    return o->held;
}

void *tide_lua_object(lua_State *L, int i, const tide_lua_kind *kind) {
    box *b = luaL_checkudata(L, i, kind->name);
    if (!b->o) luaL_error(L, "this %s is gone", kind->name);
    return b->o->held;
}

void tide_lua_release_all(tide_lua *s) {
    while (s->objects) drop(s, s->objects);
    for (handle *h; (h = s->outermost.first);) {
        tide_lua_scope_remove(h);
        tide_handle_free(h->t);
        tide_release(s->cx, h, sizeof *h);
    }
}
