/* Looking inside: programs as text, memory, what help is written from, the terminal. */
#include "bindings/lua_tide.h"
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static const tide_op *find(const char *name) {
    for (int i = 0; i < TIDE_NOPS; i++) {
        const char *lua = tide_op_table[i].lua;
        if (!strcmp(tide_op_table[i].name, name) || (lua && !strcmp(lua, name))) return &tide_op_table[i];
    }
    return NULL;
}

/* Holds a program and its derivative while a Lua error might come between. */
typedef struct {
    tide_prog *p, *q;
} prog_box;

static int prog_box_gc(lua_State *L) {
    prog_box *b = lua_touserdata(L, 1);
    if (STATE(L)->cx) tide_prog_free(b->q), tide_prog_free(b->p);
    *b = (prog_box){NULL, NULL};
    return 0;
}

static void push_text(lua_State *L, const tide_prog *p) {
    size_t n = tide_prog_text(p, NULL, 0);
    luaL_Buffer b;
    char *at = luaL_buffinitsize(L, &b, n + 1);
    tide_prog_text(p, at, n + 1);
    luaL_pushresultsize(&b, n);
}

/* program(name[, {grad = true, inputs = {tensors}}]): for inputs like those given, else float32 ones of shape
 * (4,3). */
static int program(lua_State *L) {
    tide_lua *s = tide_lua_enter(L);
    const char *name = luaL_checkstring(L, 1);
    const tide_op *op = find(name);
    if (!op) return tide_lua_error(L, s, "program", "no operation '%s'", name);
    if (!op->program)
        return tide_lua_error(L, s, "program", "%s is no program but a %s", name,
                              op->view      ? "view"
                              : op->compose ? "composition"
                                            : "kernel");
    bool derive = lua_istable(L, 2) && (lua_getfield(L, 2, "grad"), lua_toboolean(L, -1));
    tide_meta in[TIDE_MAXARGS], out[TIDE_MAXARGS];
    const tide_meta *pin[TIDE_MAXARGS] = {NULL};
    union {
        char bytes[512];
        int64_t align;
    } attr;
    if (op->nattr) memcpy(attr.bytes, op->attr0, op->nattr);
    int nin = op->flags & TIDE_F_LIST ? op->group : op->nin;
    for (int k = 0; k < op->narg; k++) {
        const tide_arg *a = &op->arg[k];
        if (a->input >= 0 && (!a->optional || !strcmp(a->name, "weight") || !strcmp(a->name, "bias"))) {
            in[a->input] = (tide_meta){.shape = {4, 3}, .ndim = 2, .dtype = TIDE_F32};
            pin[a->input] = &in[a->input];
        }
        if (a->type == TIDE_ARG_SHAPE) *(tide_shape *)(void *)(attr.bytes + a->offset) = (tide_shape){1, {3}};
        if (a->type == TIDE_ARG_DIMS && !a->optional)
            *(tide_dims *)(void *)(attr.bytes + a->offset) = (tide_dims){1, {1}};
        if (a->type == TIDE_ARG_NUMBER && !a->optional)
            *(tide_num *)(void *)(attr.bytes + a->offset) = (tide_num){{.f = 2}, TIDE_FLOAT, 0};
        if (a->type == TIDE_ARG_DTYPE && !a->optional) *(int64_t *)(void *)(attr.bytes + a->offset) = TIDE_BF16;
        if (a->type == TIDE_ARG_INT && !a->optional) *(int64_t *)(void *)(attr.bytes + a->offset) = 3;
    }
    if (!strcmp(op->name, "cross_entropy"))
        in[1] = (tide_meta){.shape = {4}, .ndim = 1, .dtype = TIDE_I64}, pin[2] = NULL;
    if (strstr(op->name, "norm"))
        for (int i = 1; i < nin; i++) in[i] = (tide_meta){.shape = {3}, .ndim = 1, .dtype = TIDE_F32};
    if (lua_istable(L, 2) && lua_getfield(L, 2, "inputs") == LUA_TTABLE)
        for (int i = 0; i < nin; i++) {
            lua_rawgeti(L, -1, i + 1);
            const tide_tensor *t = tide_lua_test(L, s, -1);
            pin[i] = t ? &in[i] : NULL;
            if (t) in[i] = t->meta;
            lua_pop(L, 1);
        }
    tide_shapes sh = {s->cx, attr.bytes, nin, op->nout, pin, out};
    tide_space space;
    memset(out, 0, sizeof out);
    for (int j = 0; j < op->nout; j++) {
        if (op->flags & TIDE_F_LIST)
            out[j] = in[0];
        else
            out[j].dtype =
                (uint8_t)(op->flags & TIDE_F_BOOL                           ? TIDE_BOOL
                          : op->flags & (TIDE_F_PROMOTES | TIDE_F_FLOATING) ? tide_result_dtype(op, &sh)
                                                                            : 0);
    }
    prog_box *box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = (prog_box){NULL, NULL};
    tide_lua_class(L, s, "tide.Program", (luaL_Reg[]){{"__gc", prog_box_gc}, {NULL, NULL}});
    if ((op->infer && op->infer(&sh)) || tide_space_of(op, &sh, &space) ||
        !(box->p = tide_op_program(s->cx, op, &sh, &space)))
        return tide_lua_raise(L, s);
    if (derive) {
        uint32_t want = 0, seeded = 0;
        uint64_t uses;
        for (int i = 0; i < box->p->nin; i++)
            if (tide_dtype_is_float((tide_dtype)box->p->arg[i].dtype)) want |= 1u << i;
        for (int j = 0; j < op->nshown; j++) seeded |= 1u << j;
        box->q = tide_prog_derive(box->p, want, seeded, &uses);
        if (!box->q) return tide_lua_raise(L, s);
    }
    push_text(L, derive ? box->q : box->p);
    return 1;
}

static int memory(lua_State *L) {
    tide_lua *s = STATE(L);
    tide_memory_stats m;
    tide_memory(s->cx, &m);
    lua_createtable(L, 0, 5);
#define FIELD(name, v) lua_pushinteger(L, (lua_Integer)(v)), lua_setfield(L, -2, name)
    FIELD("live", m.live), FIELD("cached", m.cached), FIELD("peak", m.peak),
        FIELD("idle", s->cx->tensors->idle), FIELD("tensors", s->cx->tensors->live);
#undef FIELD
    return 1;
}
/* _storages(): what lives, in no order: {bytes, line where it was made, id}. */
static int storages(lua_State *L) {
    tide_lua *s = STATE(L);
    lua_newtable(L);
    int n = 0;
    for (const tide_storage *g = s->cx->tensors ? s->cx->tensors->storages : NULL; g; g = g->next) {
        lua_createtable(L, 0, 3);
        lua_pushinteger(L, (lua_Integer)g->nbytes), lua_setfield(L, -2, "bytes");
        lua_pushstring(L, tide_site_text(s->cx, g->site)), lua_setfield(L, -2, "line");
        lua_pushlightuserdata(L, (void *)g), lua_setfield(L, -2, "id");
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}
static int storage_of(lua_State *L) { /* _storage(t): its id in _storages, or nil */
    tide_lua *s = STATE(L);
    handle *h = tide_lua_handle(L, s, 1);
    if (!h || !h->t || !h->t->storage) return lua_pushnil(L), 1;
    lua_pushlightuserdata(L, h->t->storage);
    return 1;
}
static int holders(lua_State *L) {
    char text[2048];
    tide_holders_text(STATE(L)->cx, text, sizeof text);
    lua_pushstring(L, *text ? text + 1 : "");
    return 1;
}

/* ---- what the help is written from ---- */

static const char *const type_names[] = {"tensor", "operand", "tensors", "number", "float",    "int",   "bool",
                                         "dim",    "dims",    "shape",   "pair",   "position", "dtype", "enum"};

static const tide_op *op_of(lua_State *L, int i, bool *inplace) {
    *inplace = false;
    if (lua_type(L, i) == LUA_TSTRING) {
        const char *name = lua_tostring(L, i);
        size_t n = strlen(name);
        const tide_op *op = find(name);
        if (op || !n || name[n - 1] != '_') return op;
        *inplace = true;
        op = find(lua_pushlstring(L, name, n - 1));
        return op && op->inplace ? op : NULL;
    }
    if (!lua_iscfunction(L, i) || !lua_getupvalue(L, i, 2)) return NULL;
    const tide_op *op = lua_touserdata(L, -1);
    lua_pop(L, 1);
    if (op < tide_op_table || op >= tide_op_table + TIDE_NOPS) return NULL;
    if (lua_getupvalue(L, i, 3)) *inplace = lua_tointeger(L, -1) & TIDE_INPLACE, lua_pop(L, 1);
    return op;
}

/* _describe(name or function): an operation as data, or nil. Arguments: {name, type, optional, keyword,
 * default, choices}. */
static int describe(lua_State *L) {
    bool inplace;
    const tide_op *op = op_of(L, 1, &inplace);
    if (!op) return lua_pushnil(L), 1;
#define TEXT(key, v) lua_pushstring(L, v), lua_setfield(L, -2, key)
#define FLAG(key, v) lua_pushboolean(L, v), lua_setfield(L, -2, key)
    lua_createtable(L, 0, 16);
    TEXT("name", op->name), TEXT("lua", op->lua), TEXT("doc", op->doc), TEXT("nograd", op->nograd);
    FLAG("method", op->method), FLAG("inplace", op->inplace), FLAG("called_inplace", inplace);
    FLAG("pointwise", op->program && !op->space && !(op->flags & TIDE_F_LIST) && op->nin > 0);
    FLAG("reduces", op->space == NULL ? false : op->narg > 1 && op->arg[1].type == TIDE_ARG_DIMS);
    FLAG("view", op->flags & TIDE_F_VIEW), FLAG("floating", op->flags & TIDE_F_FLOATING);
    FLAG("promotes", op->flags & TIDE_F_PROMOTES), FLAG("boolean", op->flags & TIDE_F_BOOL);
    FLAG("random", op->flags & TIDE_F_RANDOM);
    lua_pushinteger(L, op->nshown), lua_setfield(L, -2, "results");
    lua_createtable(L, op->narg, 0);
    for (int k = 0; k < op->narg; k++) {
        const tide_arg *a = &op->arg[k];
        lua_createtable(L, 0, 6);
        TEXT("name", a->name), TEXT("type", type_names[a->type]);
        TEXT("default", a->dflt), TEXT("choices", a->choices);
        FLAG("optional", a->optional), FLAG("keyword", a->keyword);
        lua_rawseti(L, -2, k + 1);
    }
    lua_setfield(L, -2, "args");
#undef TEXT
#undef FLAG
    return 1;
}

static int operations(lua_State *L) { /* names that scripts can call, in the table's order */
    lua_newtable(L);
    int n = 0;
    for (int i = 0; i < TIDE_NOPS; i++)
        if (tide_op_table[i].lua) lua_pushstring(L, tide_op_table[i].lua), lua_rawseti(L, -2, ++n);
    return 1;
}

/* ---- the world around ---- */

static int terminal(lua_State *L) { /* _terminal(fd): columns, rows; nil: no terminal */
    struct winsize w;
    int fd = (int)luaL_checkinteger(L, 1);
    if (!isatty(fd)) return lua_pushnil(L), 1;
    bool known = ioctl(fd, TIOCGWINSZ, &w) == 0 && w.ws_col > 0;
    lua_pushinteger(L, known ? w.ws_col : 80);
    lua_pushinteger(L, known ? w.ws_row : 24);
    return 2;
}
static int seconds(lua_State *L) { /* seconds(): of a clock that never jumps */
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    lua_pushnumber(L, (lua_Number)t.tv_sec + (lua_Number)t.tv_nsec * 1e-9);
    return 1;
}
static int random_state(lua_State *L) { /* _random([seed, calls]): what they were */
    tide_lua *s = STATE(L);
    uint64_t seed = s->cx->seed, calls = s->cx->rng_calls;
    if (!lua_isnoneornil(L, 1)) {
        s->cx->seed = (uint64_t)luaL_checkinteger(L, 1);
        s->cx->rng_calls = (uint64_t)luaL_checkinteger(L, 2);
    }
    lua_pushinteger(L, (lua_Integer)seed);
    lua_pushinteger(L, (lua_Integer)calls);
    return 2;
}
static int parts(lua_State *L) {
    lua_pushstring(L, tide_parts(STATE(L)->cx));
    return 1;
}

void tide_lua_open_inspect(lua_State *L, tide_lua *s) {
    lua_pushliteral(L, TIDE_VERSION);
    lua_setfield(L, -2, "version");
    tide_lua_register(L, s,
                      (luaL_Reg[]){{"program", program},
                                   {"memory", memory},
                                   {"holders", holders},
                                   {"_describe", describe},
                                   {"_storages", storages},
                                   {"_storage", storage_of},
                                   {"_terminal", terminal},
                                   {"seconds", seconds},
                                   {"_random", random_state},
                                   {"operations", operations},
                                   {"parts", parts},
                                   {NULL, NULL}});
}
