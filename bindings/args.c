/* Reading a call's arguments by the operation's description. */
#include "bindings/lua_tide.h"

enum { MAXATTR = 512 };

typedef struct {
    lua_State *L;
    tide_lua *s;
    const tide_op *op;
    char *attr;
    tide_tensor **in;
    uint32_t given;     /* bit k: argument k */
    tide_tensor **list; /* of a TENSORS argument, with room for the inputs before it; pushed on the stack */
    int nlist, list_arg;
} reader;

static int wrong(reader *r, const tide_arg *a, const char *expected, int i) {
    return tide_lua_error(r->L, r->s, r->op->name, "argument '%s': expected %s, got %s", a->name, expected,
                          luaL_typename(r->L, i));
}

static int64_t integer(reader *r, const tide_arg *a, int i) {
    int ok;
    int64_t v = lua_tointegerx(r->L, i, &ok);
    if (!ok || lua_type(r->L, i) != LUA_TNUMBER) wrong(r, a, "an integer", i);
    return v;
}

static int64_t counted(reader *r, const tide_arg *a,
                       int64_t v) { /* from 1 in Lua, from 0 in C, negative from the end */
    if (v == 0)
        tide_lua_error(r->L, r->s, r->op->name, "argument '%s': dims and positions count from 1", a->name);
    return v > 0 ? v - 1 : v;
}

static int64_t choice(reader *r, const tide_arg *a, int i) {
    size_t n;
    if (lua_type(r->L, i) != LUA_TSTRING) wrong(r, a, "a string", i);
    const char *want = lua_tolstring(r->L, i, &n), *c = a->choices;
    for (int64_t k = 0;; k++) {
        size_t len = strcspn(c, "|");
        if (len == n && !memcmp(c, want, n)) return k;
        if (!c[len]) break;
        c += len + 1;
    }
    return tide_lua_error(r->L, r->s, r->op->name, "argument '%s': '%s' is none of %s", a->name, want,
                          a->choices);
}

tide_dtype tide_lua_dtype(lua_State *L, tide_lua *s, int i, const char *op) {
    const char *name = lua_type(L, i) == LUA_TSTRING ? lua_tostring(L, i) : "";
    tide_dtype d = tide_dtype_named(name);
    if (!d) tide_lua_error(L, s, op, "no such dtype: %s", *name ? name : luaL_typename(L, i));
    return d;
}

static bool number(lua_State *L, int i, tide_num *out) {
    switch (lua_type(L, i)) {
    case LUA_TBOOLEAN:
        out->u.i = lua_toboolean(L, i);
        out->kind = TIDE_BOOLEAN;
        return true;
    case LUA_TNUMBER:
        if (lua_isinteger(L, i))
            out->u.i = lua_tointeger(L, i), out->kind = TIDE_INTEGER;
        else
            out->u.f = lua_tonumber(L, i), out->kind = TIDE_FLOAT;
        return true;
    default: return false;
    }
}

/* Sizes or dims from a table, from one integer, or from `many` integers in a row. */
static void numbers(reader *r, const tide_arg *a, int i, int many, tide_shape *out) {
    bool dims = a->type == TIDE_ARG_DIMS;
    lua_State *L = r->L;
    int n = lua_istable(L, i) ? (int)lua_rawlen(L, i) : many;
    if (n > TIDE_MAXDIM)
        tide_lua_error(L, r->s, r->op->name, "argument '%s': at most %d numbers", a->name, TIDE_MAXDIM);
    if (!lua_istable(L, i) && lua_type(L, i) != LUA_TNUMBER)
        wrong(r, a, dims ? "a dim or a list of dims" : "a list of sizes", i);
    out->n = n;
    for (int k = 0; k < n; k++) {
        int at = i + k;
        if (lua_istable(L, i)) lua_rawgeti(L, i, k + 1), at = lua_gettop(L);
        int64_t v = integer(r, a, at);
        out->v[k] = dims ? counted(r, a, v) : v;
        if (lua_istable(L, i)) lua_pop(L, 1);
    }
}

static tide_tensor **list_after(lua_State *L, tide_lua *s, int i, const char *op, int lead, int *n);

/* Argument k from the value at i, nil: left out; `many` values from there on may belong to it. */
static void take(reader *r, int k, int i, int many) {
    const tide_arg *a = &r->op->arg[k];
    lua_State *L = r->L;
    bool tensor = (a->type == TIDE_ARG_TENSOR || a->type == TIDE_ARG_OPERAND) &&
                  (r->in[a->input] = tide_lua_test(L, r->s, i));
    if (!tensor && lua_isnil(L, i)) return;
    r->given |= 1u << k;
    if (tensor) return;
    char *field = r->attr + a->offset;
    switch (a->type) {
    case TIDE_ARG_TENSOR: wrong(r, a, "a tensor", i); break;
    case TIDE_ARG_OPERAND:
        if (!number(L, i, (tide_num *)field)) wrong(r, a, "a tensor or a number", i);
        break;
    case TIDE_ARG_NUMBER:
        if (!number(L, i, (tide_num *)field)) wrong(r, a, "a number", i);
        break;
    case TIDE_ARG_FLOAT: {
        if (lua_type(L, i) != LUA_TNUMBER) wrong(r, a, "a number", i);
        double v = lua_tonumber(L, i);
        memcpy(field, &v, sizeof v);
        break;
    }
    case TIDE_ARG_BOOL: {
        if (!lua_isboolean(L, i)) wrong(r, a, "a boolean", i);
        int64_t v = lua_toboolean(L, i);
        memcpy(field, &v, sizeof v);
        break;
    }
    case TIDE_ARG_INT:
    case TIDE_ARG_DIM:
    case TIDE_ARG_POSITION:
    case TIDE_ARG_ENUM:
    case TIDE_ARG_DTYPE: {
        int64_t v = a->type == TIDE_ARG_ENUM    ? choice(r, a, i)
                    : a->type == TIDE_ARG_DTYPE ? tide_lua_dtype(L, r->s, i, r->op->name)
                                                : integer(r, a, i);
        if (a->type == TIDE_ARG_DIM || a->type == TIDE_ARG_POSITION) v = counted(r, a, v);
        memcpy(field, &v, sizeof v);
        break;
    }
    case TIDE_ARG_DIMS:
    case TIDE_ARG_SHAPE: numbers(r, a, i, many, (tide_shape *)field); break;
    case TIDE_ARG_PAIR: {
        tide_pair *p = (tide_pair *)field;
        if (lua_istable(L, i)) {
            int n = (int)lua_rawlen(L, i);
            if (n != 1 && n != 2) wrong(r, a, "an integer or two", i);
            for (int d = 0; d < 2; d++) {
                lua_rawgeti(L, i, n == 1 ? 1 : d + 1);
                p->v[d] = integer(r, a, lua_gettop(L));
                lua_pop(L, 1);
            }
        } else {
            p->v[0] = p->v[1] = integer(r, a, i);
        }
        break;
    }
    default: /* TENSORS */ r->list = list_after(L, r->s, i, r->op->name, a->input, &r->nlist); r->list_arg = k;
    }
}

static bool is_options(lua_State *L, int i) {
    if (i == 0 || !lua_istable(L, i) || lua_rawlen(L, i) > 0) return false;
    lua_pushnil(L);
    if (!lua_next(L, i)) return false;
    lua_pop(L, 2);
    return true;
}

static void options(reader *r, int i) {
    lua_State *L = r->L;
    lua_pushnil(L);
    while (lua_next(L, i)) {
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
        int found = 0;
        while (found < r->op->narg && strcmp(r->op->arg[found].name, name)) found++;
        if (found == r->op->narg) {
            luaL_Buffer b;
            luaL_buffinit(L, &b);
            for (int k = 0; k < r->op->narg; k++) {
                if (k) luaL_addstring(&b, ", ");
                luaL_addstring(&b, r->op->arg[k].name);
            }
            luaL_pushresult(&b);
            tide_lua_error(L, r->s, r->op->name, "no option '%s'; there are: %s", name, lua_tostring(L, -1));
        }
        if (r->op->arg[found].type == TIDE_ARG_TENSORS)
            tide_lua_error(L, r->s, r->op->name, "argument '%s' comes by position", name);
        take(r, found, lua_gettop(L), 1);
        lua_pop(L, 1);
    }
}

/* A sequence of tensors behind `lead` empty places. */
static tide_tensor **list_after(lua_State *L, tide_lua *s, int i, const char *op, int lead, int *n) {
    if (!lua_istable(L, i)) tide_lua_error(L, s, op, "expected a list of tensors, got %s", luaL_typename(L, i));
    i = lua_absindex(L, i);
    *n = (int)lua_rawlen(L, i);
    tide_tensor **list = lua_newuserdatauv(L, (size_t)(lead + *n + 1) * sizeof *list, 0);
    for (int k = 0; k < *n; k++) {
        lua_rawgeti(L, i, k + 1);
        list[lead + k] = tide_lua_test(L, s, -1);
        if (!list[lead + k])
            tide_lua_error(L, s, op, "entry %d of the list is a %s, not a tensor", k + 1, luaL_typename(L, -1));
        lua_pop(L, 1);
    }
    return list;
}

tide_tensor **tide_lua_list(lua_State *L, tide_lua *s, int i, const char *op, int *n) {
    return list_after(L, s, i, op, 0, n);
}

/* Does no argument behind k come by position? Then a shape or dims may be several numbers in a row. */
static bool last_positional(const tide_op *op, int k) {
    for (k++; k < op->narg; k++)
        if (!op->arg[k].keyword) return false;
    return true;
}

static int call_op(lua_State *L, int flags) {
    tide_lua *s = tide_lua_enter(L);
    const tide_op *op = lua_touserdata(L, lua_upvalueindex(2));
    union {
        char bytes[MAXATTR];
        int64_t align;
    } attr;
    tide_tensor *in[TIDE_MAXARGS], *out[TIDE_MAXARGS];
    handle *box[TIDE_MAXARGS];
    reader r = {.L = L, .s = s, .op = op, .attr = attr.bytes, .in = in};
    int top = lua_gettop(L), at = 1, last = top;
    tide_call call = {.op = (uint16_t)(op - tide_op_table),
                      .flags = (uint16_t)flags,
                      .nin = op->nin,
                      .nout = op->nout,
                      .in = in,
                      .out = out,
                      .attr = attr.bytes,
                      .nattr = op->nattr};
    for (int i = 0; i < op->nin; i++) in[i] = NULL;
    if (op->nattr) memcpy(attr.bytes, op->attr0, op->nattr);
    bool named = is_options(L, top);
    if (named) last--;
    for (int k = 0; k < op->narg && at <= last; k++) {
        const tide_arg *a = &op->arg[k];
        if (a->keyword) continue;
        int many = 1;
        if ((a->type == TIDE_ARG_SHAPE || a->type == TIDE_ARG_DIMS) && !lua_istable(L, at) &&
            !lua_isnil(L, at) && last_positional(op, k))
            many = last - at + 1;
        take(&r, k, at, many);
        at += many;
    }
    while (at <= last && lua_isnil(L, last)) last--;
    if (at == last && lua_istable(L, at) && lua_rawlen(L, at) == 0) last--; /* options, all left out */
    if (at <= last) return tide_lua_error(L, s, op->name, "too many arguments: %d given", last);
    if (named) options(&r, top);
    if (op->required & ~r.given)
        return tide_lua_error(L, s, op->name, "argument '%s' is missing",
                              op->arg[__builtin_ctz(op->required & ~r.given)].name);
    if (r.list) { /* the other inputs come before it */
        int lead = op->arg[r.list_arg].input;
        memcpy(r.list, in, (size_t)lead * sizeof *in);
        call.in = r.list;
        call.nin = (uint32_t)(lead + r.nlist);
        if (!call.nin) return tide_lua_error(L, s, op->name, "an empty list of tensors");
    }
    if (op->flags & TIDE_F_RANDOM) {
        int64_t key[2] = {(int64_t)s->cx->seed, (int64_t)s->cx->rng_calls++};
        memcpy(attr.bytes + op->nattr - sizeof key, key, sizeof key);
    }
    for (int j = 0; j < op->nout; j++) out[j] = NULL;
    if (call.flags & TIDE_INPLACE) {
        if (tide_apply(s->cx, &call)) return tide_lua_raise(L, s);
        lua_pushvalue(L, 1);
        return 1;
    }
    for (int j = 0; j < op->nshown; j++) box[j] = tide_lua_box(L, s);
    if (tide_apply(s->cx, &call)) return tide_lua_raise(L, s);
    for (int j = 0; j < op->nshown; j++) tide_lua_fill(s, box[j], out[j]);
    for (int j = op->nshown; j < op->nout; j++) tide_free(out[j]);
    return op->nshown;
}

int tide_lua_call(lua_State *L) { return call_op(L, 0); }

int tide_lua_call_inplace(lua_State *L) { return call_op(L, TIDE_INPLACE); }
