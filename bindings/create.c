/* Tensors from Lua tables and back. */
#include "bindings/lua_tide.h"
#include "program/math.h"
#include <stdlib.h>

/* ---- tide.tensor ---- */

typedef struct {
    lua_State *L;
    tide_lua *s;
    tide_meta m;
    int64_t count;
    bool all_bool, any_float;
} shape_reader;

/* The shape of the nested tables at i, from their first entries. */
static void measure(shape_reader *r, int i) {
    lua_State *L = r->L;
    i = lua_absindex(L, i);
    if (!lua_istable(L, i)) return;
    if (r->m.ndim == TIDE_MAXDIM)
        tide_lua_error(L, r->s, "tensor", "tables nested deeper than %d", TIDE_MAXDIM);
    r->m.shape[r->m.ndim++] = (int64_t)lua_rawlen(L, i);
    if (__builtin_mul_overflow(r->count, (int64_t)lua_rawlen(L, i), &r->count) || r->count > INT64_MAX / 64)
        tide_lua_error(L, r->s, "tensor", "the tables hold too many numbers");
    if (lua_rawlen(L, i) == 0) return;
    lua_rawgeti(L, i, 1);
    measure(r, -1);
    lua_pop(L, 1);
}

/* Visits the numbers; ragged tables raise with the place. */
static void collect(shape_reader *r, int i, int d, double *f, int64_t *n, int64_t *ints, int64_t *place) {
    lua_State *L = r->L;
    i = lua_absindex(L, i);
    luaL_checkstack(L, 4, "tensor");
    if (d == r->m.ndim) {
        int type = lua_type(L, i);
        if (type != LUA_TNUMBER && type != LUA_TBOOLEAN) {
            luaL_Buffer b;
            luaL_buffinit(L, &b);
            for (int k = 0; k < d; k++) {
                lua_pushfstring(L, "[%d]", (int)place[k]);
                luaL_addvalue(&b);
            }
            luaL_pushresult(&b);
            tide_lua_error(L, r->s, "tensor", "expected a number at %s, got %s", lua_tostring(L, -1),
                           luaL_typename(L, i));
        }
        r->all_bool &= type == LUA_TBOOLEAN;
        bool integer = type == LUA_TBOOLEAN || lua_isinteger(L, i);
        r->any_float |= !integer;
        ints[*n] = type == LUA_TBOOLEAN ? lua_toboolean(L, i)
                   : integer            ? lua_tointeger(L, i)
                                        : tide_i64_of_f64(lua_tonumber(L, i));
        f[*n] = integer ? (double)ints[*n] : lua_tonumber(L, i);
        ++*n;
        return;
    }
    int64_t size = lua_istable(L, i) ? (int64_t)lua_rawlen(L, i) : -1;
    if (size != r->m.shape[d]) {
        luaL_Buffer b;
        luaL_buffinit(L, &b);
        for (int k = 0; k < d; k++) {
            lua_pushfstring(L, "[%d]", (int)place[k]);
            luaL_addvalue(&b);
        }
        luaL_pushresult(&b);
        tide_lua_error(L, r->s, "tensor", "ragged: the table at %s has %d entries where the first has %d",
                       lua_tostring(L, -1), (int)size, (int)r->m.shape[d]);
    }
    for (int64_t k = 1; k <= size; k++) {
        place[d] = k;
        lua_rawgeti(L, i, k);
        collect(r, -1, d + 1, f, n, ints, place);
        lua_pop(L, 1);
    }
}

static void store(char *p, uint8_t dtype, int64_t k, double f, int64_t i) {
    switch (dtype) {
    case TIDE_F32: ((float *)(void *)p)[k] = (float)f; break;
    case TIDE_F64: ((double *)(void *)p)[k] = f; break;
    case TIDE_F16: ((uint16_t *)(void *)p)[k] = tide_f16_of_f32((float)f); break;
    case TIDE_BF16: ((uint16_t *)(void *)p)[k] = tide_bf16_of_f32((float)f); break;
    case TIDE_I64: ((int64_t *)(void *)p)[k] = i; break;
    case TIDE_I32: ((int32_t *)(void *)p)[k] = (int32_t)i; break;
    case TIDE_I8: ((int8_t *)p)[k] = (int8_t)i; break;
    case TIDE_U8: ((uint8_t *)p)[k] = (uint8_t)i; break;
    default: ((uint8_t *)p)[k] = f != 0; break;
    }
}

static int tensor(lua_State *L) { /* (data, {dtype, requires_grad}) */
    tide_lua *s = tide_lua_enter(L);
    lua_settop(L, 2);
    shape_reader r = {L, s, {.ndim = 0}, 1, true, false};
    int64_t place[TIDE_MAXDIM] = {0}, n = 0, wanted = 0;
    bool needs = false;
    if (lua_istable(L, 2)) {
        if (lua_getfield(L, 2, "dtype") != LUA_TNIL) wanted = tide_lua_dtype(L, s, -1, "tensor");
        lua_getfield(L, 2, "requires_grad");
        needs = lua_toboolean(L, -1);
        lua_pop(L, 2);
    }
    tide_tensor *given = tide_lua_test(L, s, 1);
    if (given) {
        tide_to_attr a = {wanted ? wanted : given->meta.dtype};
        handle *h = tide_lua_box(L, s);
        tide_tensor *d = tide_call1(s->cx, TIDE_OP_DETACH, &given, 1, NULL),
                    *c = d ? tide_call1(s->cx, TIDE_OP_TO, &d, 1, &a) : NULL;
        tide_free(d);
        if (!c || (needs && tide_set_requires_grad(c, 1))) return tide_lua_raise(L, s);
        tide_lua_fill(s, h, c);
        return 1;
    }
    if (!lua_istable(L, 1) && !lua_isnumber(L, 1) && !lua_isboolean(L, 1))
        return tide_lua_error(L, s, "tensor", "expected a table or a number, got %s", luaL_typename(L, 1));
    measure(&r, 1);
    int64_t count = r.count;
    double *f = lua_newuserdatauv(L, (size_t)(count + 1) * 16, 0);
    int64_t *ints = (int64_t *)(void *)(f + count + 1);
    if (r.m.ndim == 0 || count > 0) collect(&r, 1, 0, f, &n, ints, place);
    r.m.dtype = (uint8_t)(wanted ? wanted : count > 0 && r.all_bool ? TIDE_BOOL : TIDE_F32);
    handle *h = tide_lua_box(L, s);
    tide_tensor *t = tide_tensor_new(s->cx, &r.m);
    if (!t) return tide_lua_raise(L, s);
    for (int64_t k = 0; k < count; k++) store(tide_data(t), r.m.dtype, k, f[k], ints[k]);
    if (needs && tide_set_requires_grad(t, 1)) {
        tide_free(t);
        return tide_lua_raise(L, s);
    }
    tide_lua_fill(s, h, t);
    return 1;
}

/* ---- tolist, item ---- */

static void push_value(lua_State *L, const char *p, uint8_t dtype, int64_t k) {
    switch (dtype) {
    case TIDE_F32: lua_pushnumber(L, ((const float *)(const void *)p)[k]); break;
    case TIDE_F64: lua_pushnumber(L, ((const double *)(const void *)p)[k]); break;
    case TIDE_F16: lua_pushnumber(L, tide_f32_of_f16(((const uint16_t *)(const void *)p)[k])); break;
    case TIDE_BF16: lua_pushnumber(L, tide_f32_of_bf16(((const uint16_t *)(const void *)p)[k])); break;
    case TIDE_I64: lua_pushinteger(L, ((const int64_t *)(const void *)p)[k]); break;
    case TIDE_I32: lua_pushinteger(L, ((const int32_t *)(const void *)p)[k]); break;
    case TIDE_I8: lua_pushinteger(L, ((const int8_t *)p)[k]); break;
    case TIDE_U8: lua_pushinteger(L, ((const uint8_t *)p)[k]); break;
    default: lua_pushboolean(L, ((const uint8_t *)p)[k]); break;
    }
}

static void push_nested(lua_State *L, const tide_meta *m, const char *p, int d, int64_t *k) {
    if (d == m->ndim) {
        push_value(L, p, m->dtype, (*k)++);
        return;
    }
    luaL_checkstack(L, 4, "tolist");
    lua_createtable(L, m->shape[d] < INT32_MAX ? (int)m->shape[d] : 0, 0);
    for (int64_t i = 1; i <= m->shape[d]; i++) {
        push_nested(L, m, p, d + 1, k);
        lua_rawseti(L, -2, i);
    }
}

static int tolist(lua_State *L) {
    tide_lua *s = tide_lua_enter(L);
    tide_tensor *t = tide_lua_check(L, s, 1, "tolist");
    size_t bytes = (size_t)tide_numel(&t->meta) * tide_dtype_size((tide_dtype)t->meta.dtype);
    char *p = lua_newuserdatauv(L, bytes + 1, 0);
    if (tide_read(t, p, bytes)) return tide_lua_raise(L, s);
    int64_t k = 0;
    tide_meta m = t->meta;
    push_nested(L, &m, p, 0, &k);
    return 1;
}

static int item(lua_State *L) {
    tide_lua *s = tide_lua_enter(L);
    tide_tensor *t = tide_lua_check(L, s, 1, "item");
    char p[8];
    if (tide_numel(&t->meta) != 1)
        return tide_lua_error(L, s, "item", "a tensor of one element is needed, not of %I",
                              (lua_Integer)tide_numel(&t->meta));
    if (tide_read(t, p, tide_dtype_size((tide_dtype)t->meta.dtype))) return tide_lua_raise(L, s);
    push_value(L, p, t->meta.dtype, 0);
    return 1;
}

static int manual_seed(lua_State *L) {
    tide_lua *s = tide_lua_enter(L);
    tide_manual_seed(s->cx, (uint64_t)luaL_checkinteger(L, 1));
    return 0;
}

void tide_lua_open_create(lua_State *L, tide_lua *s) {
    const luaL_Reg f[] = {
        {"tensor", tensor}, {"tolist", tolist}, {"item", item}, {"manual_seed", manual_seed}, {NULL, NULL}};
    const luaL_Reg m[] = {{"tolist", tolist}, {"item", item}, {NULL, NULL}};
    tide_lua_register(L, s, f);
    lua_getfield(L, -1, "_methods");
    tide_lua_register(L, s, m);
    lua_pop(L, 1);
}
