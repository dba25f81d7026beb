/* Gradients from Lua: backward, grad, no_grad, custom functions. */
#include "bindings/lua_tide.h"

static bool flag(lua_State *L, int i, const char *name) {
    if (!lua_istable(L, i)) return false;
    lua_getfield(L, i, name);
    bool on = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return on;
}

static unsigned flags_of(lua_State *L, int i) {
    unsigned f = 0;
    if (flag(L, i, "create_graph")) f |= TIDE_CREATE_GRAPH | TIDE_RETAIN_GRAPH;
    if (flag(L, i, "retain_graph")) f |= TIDE_RETAIN_GRAPH;
    if (flag(L, i, "allow_unused")) f |= TIDE_ALLOW_UNUSED;
    return f;
}

static int backward(lua_State *L) { /* t:backward([gradient][, options]) */
    tide_lua *s = tide_lua_enter(L);
    tide_tensor *t = tide_lua_check(L, s, 1, "backward"), *g = NULL;
    int at = 2;
    if (!lua_isnoneornil(L, 2)) g = tide_lua_test(L, s, 2);
    if (g || lua_isnil(L, 2)) at = 3;
    if (tide_backward(t, g, flags_of(L, at))) return tide_lua_raise(L, s);
    return 0;
}

static int grad(lua_State *L) { /* grad(outputs, inputs[, options]) */
    tide_lua *s = tide_lua_enter(L);
    lua_settop(L, 3);
    for (int i = 1; i <= 2; i++)
        if (tide_lua_test(L, s, i)) { /* a single tensor is a list of one */
            lua_createtable(L, 1, 0);
            lua_pushvalue(L, i);
            lua_rawseti(L, -2, 1);
            lua_replace(L, i);
        }
    int ny, nx, ng = 0;
    tide_tensor **y = tide_lua_list(L, s, 1, "grad", &ny), **x = tide_lua_list(L, s, 2, "grad", &nx);
    tide_tensor **gy = lua_newuserdatauv(L, (size_t)(ny + 1) * sizeof *gy, 0);
    for (int j = 0; j < ny; j++) gy[j] = NULL;
    if (lua_istable(L, 3) && lua_getfield(L, 3, "grad_outputs") != LUA_TNIL) {
        tide_tensor *one = tide_lua_test(L, s, -1);
        if (one) {
            gy[0] = one;
        } else {
            for (int j = 0; j < ny; j++) {
                lua_geti(L, -1, j + 1);
                gy[j] = lua_isnil(L, -1) ? NULL : tide_lua_check(L, s, -1, "grad");
                lua_pop(L, 1);
            }
        }
        ng = ny;
    }
    if (ny == 0 || nx == 0) return tide_lua_error(L, s, "grad", "no %s", ny == 0 ? "outputs" : "inputs");
    tide_tensor **gx = lua_newuserdatauv(L, (size_t)nx * sizeof *gx, 0);
    lua_createtable(L, nx, 0);
    int list = lua_gettop(L);
    for (int i = 0; i < nx; i++) {
        tide_lua_box(L, s);
        lua_rawseti(L, list, i + 1);
    }
    if (tide_grad(s->cx, y, ny, x, nx, ng ? gy : NULL, flags_of(L, 3), gx)) return tide_lua_raise(L, s);
    for (int i = 0; i < nx; i++) {
        if (gx[i]) {
            lua_rawgeti(L, list, i + 1);
            tide_lua_fill(s, tide_lua_handle(L, s, -1), gx[i]);
        } else {
            lua_pushnil(L);
            lua_rawseti(L, list, i + 1);
            lua_pushnil(L);
        }
        lua_pop(L, 1);
    }
    return 1;
}

/* ---- grad mode ---- */

static void restore_mode(tide_lua *s, int was) { tide_set_grad_enabled(s->cx, was); }

static int with_mode(lua_State *L, int on) { /* (fn, ...) */
    tide_lua *s = tide_lua_enter(L);
    int nargs = lua_gettop(L) - 1;
    if (nargs < 0 || (!lua_isfunction(L, 1) && luaL_getmetafield(L, 1, "__call") == LUA_TNIL))
        return tide_lua_error(L, s, on ? "enable_grad" : "no_grad", "expected a function, got %s",
                              nargs < 0 ? "nothing" : luaL_typename(L, 1));
    lua_settop(L, nargs + 1);
    tide_lua_guard *guard = tide_lua_guarded(L, s);
    guard->was = tide_set_grad_enabled(s->cx, on);
    guard->undo = restore_mode;
    luaL_checkstack(L, nargs + 2, "too many arguments");
    for (int i = 1; i <= nargs + 1; i++) lua_pushvalue(L, i);
    lua_call(L, nargs, LUA_MULTRET);
    return lua_gettop(L) - nargs - 2;
}
static int no_grad(lua_State *L) { return with_mode(L, 0); }
static int enable_grad(lua_State *L) { return with_mode(L, 1); }
static int set_grad_enabled(lua_State *L) {
    lua_pushboolean(L, tide_set_grad_enabled(tide_lua_enter(L)->cx, lua_toboolean(L, 1)));
    return 1;
}
static int is_grad_enabled(lua_State *L) {
    lua_pushboolean(L, tide_lua_enter(L)->cx->tape->enabled);
    return 1;
}

/* ---- custom functions ---- */

/* The Lua backward of a node. {backward, ctx} lies in the registry under its address until the node goes: the
 * node must not be reachable from ctx, or neither would ever go, so the results are views of what forward
 * returned. */
typedef struct custom {
    tide_lua *s; /* NULL: has ended */
    tide_context *cx;
    struct custom *prev, *next;
} custom_t;
typedef struct {
    custom_t *c;
    tide_tensor *const *gy;
    tide_tensor **gx;
    int ngy, ngx;
} custom_call;

static int run_backward(lua_State *L) { /* called protected: no error may cross the core */
    const custom_call *k = lua_touserdata(L, 1);
    tide_lua *s = k->c->s;
    luaL_checkstack(L, k->ngy + k->ngx + 8, "backward");
    lua_rawgetp(L, LUA_REGISTRYINDEX, k->c);
    lua_rawgeti(L, 2, 1);
    lua_rawgeti(L, 2, 2);
    for (int j = 0; j < k->ngy; j++) {
        handle *h = tide_lua_box(L, s);
        if (k->gy[j])
            tide_lua_fill(s, h, tide_keep(k->gy[j]));
        else
            lua_pushnil(L), lua_replace(L, -2);
    }
    lua_call(L, k->ngy + 1, k->ngx);
    for (int i = 0; i < k->ngx; i++)
        if (!lua_isnil(L, 3 + i) && !tide_lua_test(L, s, 3 + i))
            return luaL_error(L, "gradient %d is a %s, not a tensor", i + 1, luaL_typename(L, 3 + i));
    for (int i = 0; i < k->ngx; i++) k->gx[i] = tide_keep(tide_lua_test(L, s, 3 + i));
    return 0;
}

static tide_status custom_backward(void *ud, tide_tensor *const *gy, int ngy, tide_tensor **gx, int ngx) {
    custom_call k = {ud, gy, gx, ngy, ngx};
    tide_lua *s = k.c->s;
    if (!s) return tide_fail(k.c->cx, TIDE_EARG, "the Lua state of this function's backward was closed");
    lua_State *L = s->L;
    if (!lua_checkstack(L, 3)) return tide_fail(s->cx, TIDE_EMEM, "the Lua stack is full");
    lua_pushcfunction(L, run_backward);
    lua_pushlightuserdata(L, &k);
    int status = lua_pcall(L, 1, 0, 0);
    s->L = L;
    if (!status) return TIDE_OK;
    const char *text = lua_tostring(L, -1);
    tide_fail(s->cx, TIDE_EARG, "%s", text ? text : "the error object is no string");
    lua_pop(L, 1);
    return TIDE_EARG;
}

static void forget(custom_t *c) {
    if (c->prev)
        c->prev->next = c->next;
    else
        c->s->customs = c->next;
    if (c->next) c->next->prev = c->prev;
    c->s = NULL;
}

static void custom_release(void *ud) {
    custom_t *c = ud;
    lua_State *L = c->s ? c->s->L : NULL;
    if (L) {
        forget(c);
        if (lua_checkstack(L, 1)) {
            lua_pushnil(L);
            lua_rawsetp(L, LUA_REGISTRYINDEX, c);
        }
    }
    tide_release(c->cx, c, sizeof *c);
}

void tide_lua_forget_customs(tide_lua *s) {
    while (s->customs) forget(s->customs);
}

static int
custom_attach(lua_State *L) { /* _attach(backward, ctx, {inputs}, {outputs}): the outputs with their gradient */
    tide_lua *s = tide_lua_enter(L);
    lua_settop(L, 4);
    int nin, nout;
    tide_tensor **in = tide_lua_list(L, s, 3, "custom", &nin), **out = tide_lua_list(L, s, 4, "custom", &nout);
    lua_createtable(L, nout, 0);
    for (int j = 0; j < nout; j++) {
        handle *h = tide_lua_box(L, s);
        tide_tensor *view = tide_call1(s->cx, TIDE_OP_DETACH, &out[j], 1, NULL);
        if (!view) return tide_lua_raise(L, s);
        tide_lua_fill(s, h, out[j] = view);
        lua_rawseti(L, -2, j + 1);
    }
    lua_createtable(L, 2, 0);
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, 1);
    lua_pushvalue(L, 2);
    lua_rawseti(L, -2, 2);
    custom_t *c = tide_alloc(s->cx, sizeof *c);
    if (!c) return tide_lua_raise(L, s);
    *c = (custom_t){s, s->cx, NULL, s->customs};
    if (c->next) c->next->prev = c;
    s->customs = c;
    lua_rawsetp(L, LUA_REGISTRYINDEX, c);
    if (tide_custom_attach(s->cx, in, nin, out, nout, custom_backward, c, custom_release))
        return tide_lua_raise(L, s);
    return 1;
}

static int why(lua_State *L) {
    tide_lua *s = tide_lua_enter(L);
    char text[512];
    tide_why(tide_lua_check(L, s, 1, "why"), text, sizeof text);
    lua_pushstring(L, text);
    return 1;
}

void tide_lua_open_grad(lua_State *L, tide_lua *s) {
    tide_lua_register(L, s,
                      (luaL_Reg[]){{"backward", backward},
                                   {"grad", grad},
                                   {"no_grad", no_grad},
                                   {"enable_grad", enable_grad},
                                   {"set_grad_enabled", set_grad_enabled},
                                   {"is_grad_enabled", is_grad_enabled},
                                   {"_attach", custom_attach},
                                   {"why", why},
                                   {NULL, NULL}});
    lua_getfield(L, -1, "_methods");
    tide_lua_register(L, s, (luaL_Reg[]){{"backward", backward}, {NULL, NULL}});
    lua_pop(L, 1);
}
