/* Optimizers: one userdata for a group of parameters; lua/tide/optim makes them what a script sees. */
#include "bindings/lua_tide.h"
#include "optim/optim.h"

typedef struct {
    tide_optim *o;
    const tide_optim_row *row;
} box_t;

static const tide_lua_kind kind;

static box_t *check(lua_State *L) { return tide_lua_object(L, 1, &kind); }

/* Sets an option from the value on top of the stack: a number, a boolean, or a list of two numbers. */
static tide_status set_option(lua_State *L, tide_lua *s, tide_optim_config *c, const char *name) {
    double v[2] = {0, 0};
    int n = 1;
    if (lua_istable(L, -1)) {
        n = lua_rawlen(L, -1) == 2 ? 2 : 0;
        for (int k = 0; k < n; k++, lua_pop(L, 1)) {
            if (lua_rawgeti(L, -1, k + 1) != LUA_TNUMBER) n = 0; /* no list of two numbers */
            v[k] = lua_tonumber(L, -1);
        }
    } else if (lua_isboolean(L, -1)) {
        v[0] = lua_toboolean(L, -1);
    } else if (lua_type(L, -1) == LUA_TNUMBER) {
        v[0] = lua_tonumber(L, -1);
    } else {
        return tide_fail(s->cx, TIDE_EARG, "%s: %s cannot be a %s", tide_optim_rows[c->kind].name, name,
                         luaL_typename(L, -1));
    }
    return tide_optim_set(s->cx, c, name, v, n);
}

/* Pushes the value of the option that field `k` of the row belongs to; returns its name, or NULL where the
 * field is the second of a pair and nothing is pushed. */
static const char *push_option(lua_State *L, const tide_optim_row *row, const tide_optim_config *c, int k) {
    const tide_optim_field *f = tide_optim_field_at(row->option[k].field);
    double v = tide_optim_get(c, f->offset);
    if (!f->pair) {
        if (f->flag)
            lua_pushboolean(L, v != 0);
        else
            lua_pushnumber(L, v);
        return f->name;
    }
    if (k > 0 && tide_optim_field_at(row->option[k - 1].field)->pair == f->pair) return NULL;
    lua_createtable(L, 2, 0);
    lua_pushnumber(L, v), lua_rawseti(L, -2, 1);
    lua_pushnumber(L, tide_optim_get(c, row->option[k + 1].field)), lua_rawseti(L, -2, 2);
    return f->pair;
}

static int group_step(lua_State *L) {
    tide_lua *s = tide_lua_enter(L);
    if (tide_optim_step(check(L)->o)) return tide_lua_raise(L, s);
    return 0;
}
static int group_zero_grad(lua_State *L) {
    tide_lua *s = tide_lua_enter(L);
    if (tide_optim_zero_grad(check(L)->o)) return tide_lua_raise(L, s);
    return 0;
}
static int group_set(lua_State *L) { /* set(name, value) */
    tide_lua *s = tide_lua_enter(L);
    box_t *b = check(L);
    lua_settop(L, 3);
    if (set_option(L, s, tide_optim_settings(b->o), luaL_checkstring(L, 2))) return tide_lua_raise(L, s);
    return 0;
}
static int group_options(lua_State *L) { /* {name = value} */
    box_t *b = check(L);
    lua_newtable(L);
    for (int k = 0; k < TIDE_OPTIM_OPTIONS && b->row->option[k].field; k++) {
        const char *name = push_option(L, b->row, tide_optim_settings(b->o), k);
        if (name) lua_setfield(L, -2, name);
    }
    return 1;
}
static int group_get(lua_State *L) {
    const char *name = luaL_checkstring(L, 2);
    group_options(L);
    lua_getfield(L, -1, name);
    return 1;
}
static int
group_state(lua_State *L) { /* state(k): {step, name = tensor or number}; the tensors are those in use */
    tide_lua *s = tide_lua_enter(L);
    box_t *b = check(L);
    int i = (int)luaL_checkinteger(L, 2) - 1;
    int64_t steps = tide_optim_count(b->o, i);
    lua_newtable(L);
    lua_pushinteger(L, steps);
    lua_setfield(L, -2, "step");
    for (int k = 0; k < TIDE_OPTIM_STATES && b->row->state[k].name; k++) {
        tide_tensor *t = tide_optim_state(b->o, i, b->row->state[k].name);
        if (!t) continue;
        handle *h = tide_lua_box(L, s);
        tide_lua_fill(s, h, tide_keep(t));
        lua_setfield(L, -2, b->row->state[k].name);
    }
    for (int k = 0; k < TIDE_OPTIM_NUMBERS && b->row->number[k] && steps; k++) {
        lua_pushnumber(L, *tide_optim_number(b->o, i, b->row->number[k]));
        lua_setfield(L, -2, b->row->number[k]);
    }
    return 1;
}
static int group_restore(lua_State *L) { /* restore(k, {step, name = tensor or number}) */
    tide_lua *s = tide_lua_enter(L);
    box_t *b = check(L);
    int i = (int)luaL_checkinteger(L, 2) - 1;
    lua_getfield(L, 3, "step");
    int64_t steps = luaL_checkinteger(L, -1);
    if (tide_optim_restore(b->o, i, steps, NULL, NULL)) return tide_lua_raise(L, s);
    for (int k = 0; k < TIDE_OPTIM_STATES && b->row->state[k].name; k++) {
        const char *name = b->row->state[k].name;
        if (lua_getfield(L, 3, name) != LUA_TNIL &&
            tide_optim_restore(b->o, i, steps, name, tide_lua_check(L, s, -1, b->row->name)))
            return tide_lua_raise(L, s);
        lua_pop(L, 1);
    }
    for (int k = 0; k < TIDE_OPTIM_NUMBERS && b->row->number[k] && steps; k++) {
        if (lua_getfield(L, 3, b->row->number[k]) != LUA_TNUMBER)
            return tide_lua_error(L, s, b->row->name, "the state of parameter %d has no number '%s'", i + 1,
                                  b->row->number[k]);
        *tide_optim_number(b->o, i, b->row->number[k]) = lua_tonumber(L, -1);
        lua_pop(L, 1);
    }
    return 0;
}

static void release(tide_lua *s, void *p) {
    box_t *b = p;
    (void)s;
    if (b->o) tide_optim_free(b->o);
}
static const tide_lua_kind kind = {"tide.OptimizerGroup", sizeof(box_t), release,
                                   (luaL_Reg[]){{"step", group_step},
                                                {"zero_grad", group_zero_grad},
                                                {"get", group_get},
                                                {"set", group_set},
                                                {"options", group_options},
                                                {"state", group_state},
                                                {"restore", group_restore},
                                                {NULL, NULL}}};

static int optimizer(lua_State *L) { /* _optimizer(kind, params, options) */
    const char *name = luaL_checkstring(L, 1);
    tide_lua *s = tide_lua_enter(L);
    int which = 0;
    while (which < TIDE_NOPTIM && strcmp(tide_optim_rows[which].name, name)) which++;
    if (which == TIDE_NOPTIM) return tide_lua_error(L, s, "optim", "no optimizer '%s'", name);
    tide_optim_config c = tide_optim_defaults((tide_optim_kind)which);
    luaL_checktype(L, 3, LUA_TTABLE);
    lua_pushnil(L);
    while (lua_next(L, 3)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            return tide_lua_error(L, s, name, "options are a table {name = value}");
        if (set_option(L, s, &c, lua_tostring(L, -2))) return tide_lua_raise(L, s);
        lua_pop(L, 1);
    }
    int n;
    tide_tensor **params = tide_lua_list(L, s, 2, name, &n);
    box_t *b = tide_lua_new(L, s, &kind);
    b->row = &tide_optim_rows[which];
    b->o = tide_optim_new(s->cx, params, n, &c);
    if (!b->o) return tide_lua_raise(L, s);
    return 1;
}

static int optimizers(lua_State *L) { /* {{name, doc, options = {{name, default}, ...}}, ...} */
    lua_createtable(L, TIDE_NOPTIM, 0);
    for (int which = 0; which < TIDE_NOPTIM; which++) {
        const tide_optim_row *row = &tide_optim_rows[which];
        const tide_optim_config c = tide_optim_defaults((tide_optim_kind)which);
        lua_createtable(L, 0, 3);
        lua_pushstring(L, row->name), lua_setfield(L, -2, "name");
        lua_pushstring(L, tide_op_table[row->op].doc), lua_setfield(L, -2, "doc");
        lua_newtable(L);
        for (int k = 0, n = 0; k < TIDE_OPTIM_OPTIONS && row->option[k].field; k++) {
            lua_createtable(L, 2, 0);
            const char *name = push_option(L, row, &c, k);
            if (!name) {
                lua_pop(L, 1);
                continue;
            }
            lua_rawseti(L, -2, 2);
            lua_pushstring(L, name), lua_rawseti(L, -2, 1);
            lua_rawseti(L, -2, ++n);
        }
        lua_setfield(L, -2, "options");
        lua_rawseti(L, -2, which + 1);
    }
    return 1;
}

static int clip_grad_norm(lua_State *L) { /* (params, limit): the norm before */
    tide_lua *s = tide_lua_enter(L);
    int n;
    double limit = luaL_checknumber(L, 2);
    tide_tensor **params = tide_lua_list(L, s, 1, "clip_grad_norm_", &n);
    handle *h = tide_lua_box(L, s);
    tide_tensor *norm = tide_clip_grad_norm(s->cx, params, n, limit);
    if (!norm) return tide_lua_raise(L, s);
    tide_lua_fill(s, h, norm);
    return 1;
}
static int clip_grad_value(lua_State *L) { /* (params, limit) */
    tide_lua *s = tide_lua_enter(L);
    int n;
    double limit = luaL_checknumber(L, 2);
    tide_tensor **params = tide_lua_list(L, s, 1, "clip_grad_value_", &n);
    if (tide_clip_grad_value(s->cx, params, n, limit)) return tide_lua_raise(L, s);
    return 0;
}
static int average(lua_State *L) { /* (averages, values, weight) */
    tide_lua *s = tide_lua_enter(L);
    int n, m;
    double weight = luaL_checknumber(L, 3);
    tide_tensor **averages = tide_lua_list(L, s, 1, "average", &n),
                **values = tide_lua_list(L, s, 2, "average", &m);
    if (n != m) return tide_lua_error(L, s, "average", "%d averages of %d tensors", n, m);
    if (tide_average(s->cx, averages, values, n, weight)) return tide_lua_raise(L, s);
    return 0;
}

void tide_lua_open_optim(lua_State *L, tide_lua *s) {
    tide_lua_register(L, s,
                      (luaL_Reg[]){{"_optimizer", optimizer},
                                   {"_optimizers", optimizers},
                                   {"_clip_grad_norm", clip_grad_norm},
                                   {"_clip_grad_value", clip_grad_value},
                                   {"_average", average},
                                   {NULL, NULL}});
}
