/* Optimizers: one userdata for a group of parameters; lua/tide/optim makes them what a script sees. */
#include "bindings/lua_tide.h"

typedef struct {
    tide_optim *o;
    int n;
} box_t;

static box_t *check(lua_State *L) { return luaL_checkudata(L, 1, "tide.OptimizerGroup"); }

static const struct {
    const char *name;
    size_t offset;
    bool is_int;
} fields[] = {{"lr", offsetof(tide_optim_config, lr), false},
              {"weight_decay", offsetof(tide_optim_config, weight_decay), false},
              {"momentum", offsetof(tide_optim_config, momentum), false},
              {"dampening", offsetof(tide_optim_config, dampening), false},
              {"eps", offsetof(tide_optim_config, eps), false},
              {"nesterov", offsetof(tide_optim_config, nesterov), true},
              {"amsgrad", offsetof(tide_optim_config, amsgrad), true},
              {"maximize", offsetof(tide_optim_config, maximize), true}};
enum { NFIELDS = sizeof fields / sizeof *fields };

static bool set_field(lua_State *L, tide_optim_config *c, const char *name, int i) {
    if (!strcmp(name, "betas")) {
        luaL_checktype(L, i, LUA_TTABLE);
        lua_geti(L, i, 1);
        lua_geti(L, i, 2);
        c->beta1 = luaL_checknumber(L, -2);
        c->beta2 = luaL_checknumber(L, -1);
        lua_pop(L, 2);
        return true;
    }
    for (int k = 0; k < NFIELDS; k++) {
        if (strcmp(fields[k].name, name)) continue;
        char *at = (char *)c + fields[k].offset;
        if (fields[k].is_int)
            *(int *)(void *)at = lua_toboolean(L, i);
        else
            *(double *)(void *)at = luaL_checknumber(L, i);
        return true;
    }
    return false;
}

static bool push_field(lua_State *L, const tide_optim_config *c, const char *name) {
    if (!strcmp(name, "betas")) {
        lua_createtable(L, 2, 0);
        lua_pushnumber(L, c->beta1), lua_rawseti(L, -2, 1);
        lua_pushnumber(L, c->beta2), lua_rawseti(L, -2, 2);
        return true;
    }
    for (int k = 0; k < NFIELDS; k++) {
        if (strcmp(fields[k].name, name)) continue;
        const char *at = (const char *)c + fields[k].offset;
        if (fields[k].is_int)
            lua_pushboolean(L, *(const int *)(const void *)at);
        else
            lua_pushnumber(L, *(const double *)(const void *)at);
        return true;
    }
    return false;
}

static int group_gc(lua_State *L) {
    box_t *b = check(L);
    if (b->o && STATE(L)->cx) tide_optim_free(b->o);
    b->o = NULL;
    return 0;
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
static int group_get(lua_State *L) {
    if (!push_field(L, tide_optim_settings(check(L)->o), luaL_checkstring(L, 2))) lua_pushnil(L);
    return 1;
}
static int group_set(lua_State *L) {
    tide_lua *s = tide_lua_enter(L);
    const char *name = luaL_checkstring(L, 2);
    if (!set_field(L, tide_optim_settings(check(L)->o), name, 3))
        return tide_lua_error(L, s, "optim", "no option '%s'", name);
    return 0;
}
static int group_options(lua_State *L) {
    const tide_optim_config *c = tide_optim_settings(check(L)->o);
    lua_newtable(L);
    for (int k = 0; k < NFIELDS; k++) push_field(L, c, fields[k].name), lua_setfield(L, -2, fields[k].name);
    push_field(L, c, "betas"), lua_setfield(L, -2, "betas");
    return 1;
}
static const char *const states[] = {"momentum_buffer", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"};
static int group_state(lua_State *L) { /* state(k): {step, name = tensor} */
    tide_lua *s = tide_lua_enter(L);
    box_t *b = check(L);
    int i = (int)luaL_checkinteger(L, 2) - 1;
    lua_newtable(L);
    lua_pushinteger(L, tide_optim_count(b->o, i));
    lua_setfield(L, -2, "step");
    for (int k = 0; k < 4; k++) {
        tide_tensor *t = tide_optim_state(b->o, i, states[k]);
        if (!t) continue;
        handle *h = tide_lua_box(L, s);
        tide_lua_fill(s, h, tide_keep(t));
        lua_setfield(L, -2, states[k]);
    }
    return 1;
}
static int group_restore(lua_State *L) { /* restore(k, {step, name = tensor}) */
    tide_lua *s = tide_lua_enter(L);
    box_t *b = check(L);
    int i = (int)luaL_checkinteger(L, 2) - 1;
    lua_getfield(L, 3, "step");
    int64_t steps = luaL_checkinteger(L, -1);
    if (tide_optim_restore(b->o, i, steps, NULL, NULL)) return tide_lua_raise(L, s);
    for (int k = 0; k < 4; k++) {
        if (lua_getfield(L, 3, states[k]) != LUA_TNIL &&
            tide_optim_restore(b->o, i, steps, states[k], tide_lua_check(L, s, -1, "optim")))
            return tide_lua_raise(L, s);
        lua_pop(L, 1);
    }
    return 0;
}

static const luaL_Reg group_functions[] = {
    {"__gc", group_gc},     {"step", group_step},       {"zero_grad", group_zero_grad},
    {"get", group_get},     {"set", group_set},         {"options", group_options},
    {"state", group_state}, {"restore", group_restore}, {NULL, NULL}};

static int optimizer(lua_State *L) { /* _optimizer(kind, params, options) */
    static const char *const kinds[] = {"SGD", "Adam", "AdamW", NULL};
    tide_lua *s = tide_lua_enter(L);
    tide_optim_config c = tide_optim_defaults((tide_optim_kind)luaL_checkoption(L, 1, NULL, kinds));
    lua_pushnil(L);
    while (lua_next(L, 3)) {
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
        if (!set_field(L, &c, name, lua_gettop(L)))
            return tide_lua_error(L, s, "optim", "no option '%s'", name);
        lua_pop(L, 1);
    }
    int n;
    tide_tensor **params = tide_lua_list(L, s, 2, "optim", &n);
    box_t *b = lua_newuserdatauv(L, sizeof *b, 0);
    b->o = NULL;
    tide_lua_class(L, s, "tide.OptimizerGroup", group_functions);
    b->n = n;
    b->o = tide_optim_new(s->cx, params, n, &c);
    if (!b->o) return tide_lua_raise(L, s);
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

void tide_lua_open_optim(lua_State *L, tide_lua *s) {
    tide_lua_register(
        L, s, (luaL_Reg[]){{"_optimizer", optimizer}, {"_clip_grad_norm", clip_grad_norm}, {NULL, NULL}});
}
