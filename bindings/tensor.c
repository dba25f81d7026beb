/* Tensors in Lua: handles, fields, methods, operators. */
#include "bindings/lua_tide.h"

/* The userdata. What it stands for lies outside, see object.c. */
typedef struct {
    const void *mark; /* the state's tide_lua: by this and its size a userdata is known as a tensor */
    handle *h;
} box;

handle *tide_lua_box(lua_State *L, tide_lua *s) {
    if (s->handles >= s->many) tide_lua_many(s);
    box *b = lua_newuserdatauv(L, sizeof *b, 0);
    handle *h = s->cx ? tide_alloc(s->cx, sizeof *h) : NULL;
    b->mark = NULL;
    if (!h) {
        if (s->cx) tide_lua_raise(L, s);
        luaL_error(L, "the state is closing");
    }
    h->t = NULL;
    h->epoch = 0;
    s->handles++;
    tide_lua_scope_add(s->scope, h);
    b->h = h;
    b->mark = s;
    lua_rawgeti(L, LUA_REGISTRYINDEX, s->tensor_class);
    lua_setmetatable(L, -2);
    return h;
}

void tide_lua_fill(tide_lua *s, handle *h, tide_tensor *t) {
    if (!t) return;
    tide_to_handle(t);
    h->t = t;
    if (t->flags & TIDE_TEMP) h->epoch = t->epoch;
}

static box *box_at(lua_State *L, tide_lua *s, int i) {
    box *b = lua_touserdata(L, i);
    return b && lua_rawlen(L, i) == sizeof *b && b->mark == s ? b : NULL;
}

handle *tide_lua_handle(lua_State *L, tide_lua *s, int i) {
    const box *b = box_at(L, s, i);
    return b ? b->h : NULL;
}

tide_tensor *tide_lua_test(lua_State *L, tide_lua *s, int i) {
    handle *h = tide_lua_handle(L, s, i);
    if (!h) return NULL;
    if (!h->t) tide_lua_error(L, s, "tensor", "this tensor was closed");
    if (h->epoch && (h->t->flags & TIDE_TEMP) && h->epoch != h->t->epoch)
        tide_lua_error(
            L, s, "tensor",
            "this tensor was a temporary of a compiled step and is gone: return it from the step to keep it");
    return h->t;
}

tide_tensor *tide_lua_check(lua_State *L, tide_lua *s, int i, const char *op) {
    tide_tensor *t = tide_lua_test(L, s, i);
    if (!t) tide_lua_error(L, s, op, "expected a tensor, got %s", luaL_typename(L, i));
    return t;
}

static void close_handle(lua_State *L, tide_lua *s, handle *h) {
    tide_tensor *t = h->t;
    if (!t) return;
    h->t = NULL;
    s->L = L; /* what goes with the tensor may need one that is alive */
    tide_handle_free(t);
}

static int tensor_close(lua_State *L) {
    tide_lua *s = STATE(L);
    handle *h = tide_lua_handle(L, s, 1);
    if (h && s->cx) close_handle(L, s, h);
    return 0;
}

static int tensor_gc(lua_State *L) {
    tide_lua *s = STATE(L);
    box *b = box_at(L, s, 1);
    handle *h = b ? b->h : &s->closed;
    if (h == &s->closed) return 0;
    b->h = &s->closed;
    if (!s->cx) return 0;
    close_handle(L, s, h);
    tide_lua_scope_remove(h);
    tide_release(s->cx, h, sizeof *h);
    s->handles--;
    return 0;
}

/* ---- fields ---- */

static void push_shape(lua_State *L, const tide_tensor *t) {
    lua_createtable(L, t->meta.ndim, 0);
    for (int d = 0; d < t->meta.ndim; d++) {
        lua_pushinteger(L, t->meta.shape[d]);
        lua_rawseti(L, -2, d + 1);
    }
}

static int push_grad(lua_State *L, tide_lua *s, tide_tensor *t) {
    handle *h = tide_lua_box(L, s);
    tide_tensor *g = tide_grad_of(t);
    if (tide_pending(s->cx)) return tide_lua_raise(L, s);
    if (!g) {
        lua_pushnil(L);
        return 1;
    }
    tide_lua_fill(s, h, tide_keep(g));
    return 1;
}

static int apply1(lua_State *L, tide_lua *s, int op, tide_tensor *t, const void *attr) {
    handle *h = tide_lua_box(L, s);
    tide_tensor *r = tide_call1(s->cx, op, &t, 1, attr);
    if (!r) return tide_lua_raise(L, s);
    tide_lua_fill(s, h, r);
    return 1;
}

/* upvalue 2: the methods */
static int tensor_index(lua_State *L) {
    tide_lua *s = STATE(L);
    if (lua_type(L, 2) == LUA_TSTRING) {
        lua_pushvalue(L, 2);
        if (lua_rawget(L, lua_upvalueindex(2)) != LUA_TNIL) return 1;
        lua_pop(L, 1);
        s = tide_lua_enter(L);
        tide_tensor *t = tide_lua_check(L, s, 1, "index");
        const char *key = lua_tostring(L, 2);
        if (!strcmp(key, "shape")) return push_shape(L, t), 1;
        if (!strcmp(key, "dtype")) return lua_pushstring(L, tide_dtype_name((tide_dtype)t->meta.dtype)), 1;
        if (!strcmp(key, "ndim")) return lua_pushinteger(L, t->meta.ndim), 1;
        if (!strcmp(key, "device")) return lua_pushliteral(L, "cpu"), 1;
        if (!strcmp(key, "requires_grad")) return lua_pushboolean(L, tide_requires_grad(t)), 1;
        if (!strcmp(key, "is_leaf")) return lua_pushboolean(L, t->node == NULL), 1;
        if (!strcmp(key, "grad")) return push_grad(L, s, t);
        if (!strcmp(key, "T")) {
            tide_permute_attr a = {{t->meta.ndim, {0}}};
            for (int d = 0; d < t->meta.ndim; d++) a.dims.v[d] = t->meta.ndim - 1 - d;
            return apply1(L, s, TIDE_OP_PERMUTE, t, &a);
        }
        return tide_lua_error(L, s, "index", "a tensor has no field or method '%s'", key);
    }
    s = tide_lua_enter(L);
    return tide_lua_getitem(L, s, tide_lua_check(L, s, 1, "index"));
}

static int tensor_newindex(lua_State *L) {
    tide_lua *s = tide_lua_enter(L);
    tide_tensor *t = tide_lua_check(L, s, 1, "index");
    if (lua_type(L, 2) != LUA_TSTRING) return tide_lua_setitem(L, s, t);
    const char *key = lua_tostring(L, 2);
    if (!strcmp(key, "grad")) {
        if (lua_isnil(L, 3)) {
            if (tide_zero_grad(&t, 1)) return tide_lua_raise(L, s);
            return 0;
        }
        tide_tensor *g = tide_lua_check(L, s, 3, "grad");
        if (!tide_same_meta(&g->meta, &t->meta))
            return tide_lua_error(L, s, "grad", "shape or dtype differ from the tensor's");
        if (t->grad) tide_free(t->grad);
        t->grad = tide_keep(g);
        t->grad_absent = false;
        return 0;
    }
    if (!strcmp(key, "requires_grad")) {
        if (tide_set_requires_grad(t, lua_toboolean(L, 3))) return tide_lua_raise(L, s);
        return 0;
    }
    return tide_lua_error(L, s, "index", "the field '%s' cannot be set", key);
}

static int tensor_len(lua_State *L) {
    tide_lua *s = tide_lua_enter(L);
    tide_tensor *t = tide_lua_check(L, s, 1, "#");
    if (t->meta.ndim == 0) return tide_lua_error(L, s, "#", "a 0-d tensor has no length");
    lua_pushinteger(L, t->meta.shape[0]);
    return 1;
}

static int tensor_tostring(lua_State *L) {
    tide_lua *s = tide_lua_enter(L);
    handle *h = tide_lua_handle(L, s, 1);
    if (h && !h->t) return lua_pushliteral(L, "tensor(closed)"), 1;
    tide_tensor *t = tide_lua_check(L, s, 1, "tostring");
    size_t n = tide_text(t, NULL, 0);
    if (tide_pending(s->cx)) return tide_lua_raise(L, s);
    luaL_Buffer b;
    char *p = luaL_buffinitsize(L, &b, n + 1);
    tide_text(t, p, n + 1);
    luaL_pushresultsize(&b, n);
    return 1;
}

static int tensor_eq(lua_State *L) {
    tide_lua *s = STATE(L);
    handle *a = tide_lua_handle(L, s, 1), *b = tide_lua_handle(L, s, 2);
    lua_pushboolean(L, a && b && a->t == b->t);
    return 1;
}

static int tensor_concat(lua_State *L) {
    luaL_tolstring(L, 1, NULL);
    luaL_tolstring(L, 2, NULL);
    lua_concat(L, 2);
    return 1;
}

/* ---- methods that are no operations ---- */

static int tensor_size(lua_State *L) {
    tide_lua *s = tide_lua_enter(L);
    tide_tensor *t = tide_lua_check(L, s, 1, "size");
    if (lua_isnoneornil(L, 2)) return push_shape(L, t), 1;
    int64_t d = luaL_checkinteger(L, 2);
    int dim;
    if (d == 0 || tide_wrap_dim(s->cx, d > 0 ? d - 1 : d, t->meta.ndim, &dim)) {
        tide_error(s->cx, NULL);
        return tide_lua_error(L, s, "size", "dim %d is out of range for a tensor of %d dims", (int)d,
                              t->meta.ndim);
    }
    lua_pushinteger(L, t->meta.ndim ? t->meta.shape[dim] : 1);
    return 1;
}
static int tensor_numel(lua_State *L) {
    tide_lua *s = tide_lua_enter(L);
    lua_pushinteger(L, tide_numel(&tide_lua_check(L, s, 1, "numel")->meta));
    return 1;
}
static int tensor_dim(lua_State *L) {
    tide_lua *s = tide_lua_enter(L);
    lua_pushinteger(L, tide_lua_check(L, s, 1, "dim")->meta.ndim);
    return 1;
}
static int tensor_is_contiguous(lua_State *L) {
    tide_lua *s = tide_lua_enter(L);
    lua_pushboolean(L, tide_is_contiguous(tide_lua_check(L, s, 1, "is_contiguous")));
    return 1;
}
static int tensor_requires_grad_(lua_State *L) {
    tide_lua *s = tide_lua_enter(L);
    tide_tensor *t = tide_lua_check(L, s, 1, "requires_grad_");
    if (tide_set_requires_grad(t, lua_isnoneornil(L, 2) || lua_toboolean(L, 2))) return tide_lua_raise(L, s);
    lua_settop(L, 1);
    return 1;
}
static int tensor_detach(lua_State *L) {
    tide_lua *s = tide_lua_enter(L);
    return apply1(L, s, TIDE_OP_DETACH, tide_lua_check(L, s, 1, "detach"), NULL);
}
static int tensor_zero_(lua_State *L) {
    tide_lua *s = tide_lua_enter(L);
    tide_tensor *t = tide_lua_check(L, s, 1, "zero_"), *out = NULL;
    tide_fill_attr a = {{{.i = 0}, TIDE_INTEGER, 0}};
    tide_call c = {.op = TIDE_OP_FILL,
                   .flags = TIDE_INPLACE,
                   .nin = 1,
                   .nout = 1,
                   .in = &t,
                   .out = &out,
                   .attr = &a,
                   .nattr = sizeof a};
    if (tide_apply(s->cx, &c)) return tide_lua_raise(L, s);
    lua_settop(L, 1);
    return 1;
}

static int is_tensor(lua_State *L) {
    lua_pushboolean(L, tide_lua_handle(L, STATE(L), 1) != NULL);
    return 1;
}

static const luaL_Reg meta[] = {{"__gc", tensor_gc},
                                {"__close", tensor_close},
                                {"__newindex", tensor_newindex},
                                {"__len", tensor_len},
                                {"__tostring", tensor_tostring},
                                {"__eq", tensor_eq},
                                {"__concat", tensor_concat},
                                {NULL, NULL}};
static const luaL_Reg methods[] = {{"close", tensor_close},
                                   {"size", tensor_size},
                                   {"numel", tensor_numel},
                                   {"dim", tensor_dim},
                                   {"is_contiguous", tensor_is_contiguous},
                                   {"requires_grad_", tensor_requires_grad_},
                                   {"detach", tensor_detach},
                                   {"zero_", tensor_zero_},
                                   {NULL, NULL}};
static const struct {
    const char *event, *op;
} operators[] = {{"__add", "add"},         {"__sub", "sub"},          {"__mul", "mul"},
                 {"__div", "div"},         {"__mod", "remainder"},    {"__idiv", "floor_divide"},
                 {"__pow", "pow"},         {"__band", "bitwise_and"}, {"__bor", "bitwise_or"},
                 {"__bxor", "bitwise_xor"}};

static void push_op(lua_State *L, tide_lua *s, const tide_op *op, lua_CFunction call) {
    lua_pushlightuserdata(L, s);
    lua_pushlightuserdata(L, (void *)op);
    lua_pushcclosure(L, call, 2);
}

/* -x and ~x come with two arguments from Lua */
static int unary(lua_State *L) {
    lua_settop(L, 1);
    return tide_lua_call(L);
}

/* Puts the value on top at the path "nn.functional.name" of the table at i; takes it. */
static void set_path(lua_State *L, int i, const char *path) {
    lua_pushvalue(L, i);
    for (const char *dot; (dot = strchr(path, '.')); path = dot + 1) {
        lua_pushlstring(L, path, (size_t)(dot - path));
        if (lua_rawget(L, -2) != LUA_TTABLE) {
            lua_pop(L, 1);
            lua_newtable(L);
            lua_pushlstring(L, path, (size_t)(dot - path));
            lua_pushvalue(L, -2);
            lua_rawset(L, -4);
        }
        lua_remove(L, -2);
    }
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, path);
    lua_pop(L, 2);
}

void tide_lua_open_tensor(lua_State *L, tide_lua *s) {
    int core = lua_gettop(L);
    lua_newtable(L); /* the metatable */
    int mt = lua_gettop(L);
    lua_pushvalue(L, mt);
    s->tensor_class = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushliteral(L, "tide.Tensor");
    lua_setfield(L, mt, "__name");
    tide_lua_register(L, s, meta);
    lua_newtable(L); /* the methods */
    int met = lua_gettop(L);
    tide_lua_register(L, s, methods);
    for (int i = 0; i < TIDE_NOPS; i++) {
        const tide_op *op = &tide_op_table[i];
        if (!op->lua) continue;
        push_op(L, s, op, tide_lua_call);
        if (op->method) lua_pushvalue(L, -1), lua_setfield(L, met, op->name);
        set_path(L, core, op->lua);
        if (!op->inplace) continue;
        char name[96];
        size_t n = strlen(op->lua);
        if (n + 2 > sizeof name) continue;
        memcpy(name, op->lua, n);
        name[n] = '_', name[n + 1] = 0;
        push_op(L, s, op, tide_lua_call_inplace);
        char *last = strrchr(name, '.');
        lua_pushvalue(L, -1), lua_setfield(L, met, last ? last + 1 : name);
        set_path(L, core, name);
    }
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        const tide_op *op = tide_op_named(operators[i].op);
        if (!op) continue;
        push_op(L, s, op, tide_lua_call);
        lua_setfield(L, mt, operators[i].event);
    }
    const char *const ones[][2] = {{"__unm", "neg"}, {"__bnot", "bitwise_not"}};
    for (int i = 0; i < 2; i++) {
        push_op(L, s, tide_op_named(ones[i][1]), unary);
        lua_setfield(L, mt, ones[i][0]);
    }
    lua_pushvalue(L, met);
    lua_setfield(L, core, "_methods");
    lua_pushlightuserdata(L, s);
    lua_pushvalue(L, met);
    lua_pushcclosure(L, tensor_index, 2);
    lua_setfield(L, mt, "__index");
    lua_settop(L, core);
    tide_lua_register(L, s, (luaL_Reg[]){{"is_tensor", is_tensor}, {NULL, NULL}});
    for (int d = 1; d < TIDE_NDTYPE; d++) {
        lua_pushstring(L, tide_dtype_name((tide_dtype)d));
        lua_setfield(L, core, tide_dtype_name((tide_dtype)d));
    }
}
