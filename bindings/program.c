/* Programs of operations, and of their gradients, as text. */
#include "bindings/lua_tide.h"

const tide_op *tide_lua_op(const char *name) {
    for (int i = 0; i < TIDE_NOPS; i++) {
        const char *lua = tide_op_table[i].lua;
        if (!strcmp(tide_op_table[i].name, name) || (lua && !strcmp(lua, name))) return &tide_op_table[i];
    }
    return NULL;
}

/* A call as its shapes alone: what a program is made from. */
typedef struct {
    const tide_op *op;
    tide_shapes s;
    tide_space space;
    tide_meta in[TIDE_MAXARGS], out[TIDE_MAXARGS];
    const tide_meta *metas[2 * TIDE_MAXARGS]; /* of the inputs (NULL: not given), then of the outputs */
    union {
        char bytes[512];
        int64_t align;
    } attr;
} sample;

/* What a tensor may be, the likely first. */
static const tide_meta kinds[] = {
    {.shape = {4, 3}, .ndim = 2, .dtype = TIDE_F32},  {.shape = {3}, .ndim = 1, .dtype = TIDE_F32},
    {.shape = {4, 3}, .ndim = 2, .dtype = TIDE_I64},  {.shape = {4}, .ndim = 1, .dtype = TIDE_I64},
    {.shape = {4, 3}, .ndim = 2, .dtype = TIDE_BOOL}, {.ndim = 0, .dtype = TIDE_F32},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void attributes(sample *x) {
    const tide_op *op = x->op;
    if (op->nattr) memcpy(x->attr.bytes, op->attr0, op->nattr);
    for (int k = 0; k < op->narg; k++) {
        const tide_arg *a = &op->arg[k];
        void *at = x->attr.bytes + a->offset;
        if (a->optional) continue;
        switch (a->type) {
        case TIDE_ARG_SHAPE: *(tide_shape *)at = (tide_shape){1, {3}}; break;
        case TIDE_ARG_DIMS: *(tide_dims *)at = (tide_dims){1, {1}}; break;
        case TIDE_ARG_NUMBER: *(tide_num *)at = (tide_num){{.f = 2}, TIDE_FLOAT, 0}; break;
        case TIDE_ARG_FLOAT: *(double *)at = 0.5; break;
        case TIDE_ARG_DTYPE: *(int64_t *)at = TIDE_BF16; break;
        case TIDE_ARG_INT: *(int64_t *)at = 3; break;
        default: break;
        }
    }
}

/* Outputs and space for the inputs as they are; false: the operation refuses them. */
static bool shaped(sample *x) {
    const tide_op *op = x->op;
    memset(x->out, 0, sizeof x->out);
    for (int j = 0; j < op->nout; j++)
        if (op->flags & TIDE_F_LIST)
            x->out[j] = *x->metas[0];
        else if (op->flags & TIDE_F_BOOL)
            x->out[j].dtype = TIDE_BOOL;
        else if (op->flags & (TIDE_F_PROMOTES | TIDE_F_FLOATING))
            x->out[j].dtype = (uint8_t)tide_result_dtype(op, &x->s);
    return !(!(op->flags & TIDE_F_LIST) && op->infer && op->infer(&x->s)) &&
           !tide_space_of(op, &x->s, &x->space);
}

/* Tries the kinds for input i and those behind it, until the operation takes them. */
static bool search(tide_context *cx, sample *x, int i) {
    if (i == x->s.nin) {
        tide_error(cx, NULL);
        return shaped(x);
    }
    for (int k = 0; k < KINDS; k++) {
        x->in[i] = kinds[k];
        x->metas[i] = &x->in[i];
        if (search(cx, x, i + 1)) return true;
        if (tide_pending(cx) == TIDE_EMEM) return false;
    }
    x->metas[i] = NULL; /* for the last time without it, where that may be */
    for (int a = 0; a < x->op->narg; a++)
        if (x->op->arg[a].input == i && x->op->arg[a].optional) return search(cx, x, i + 1);
    return false;
}

/* Holds a program while a Lua error might come between. */
typedef struct {
    tide_prog *p;
} box;

static void box_release(tide_lua *s, void *p) {
    box *b = p;
    (void)s;
    tide_prog_free(b->p);
}
static const tide_lua_kind box_kind = {"tide.Program", sizeof(box), box_release, (luaL_Reg[]){{NULL, NULL}}};

/* In the place of its box, which is on top. */
static void text(lua_State *L, tide_lua *s, box *b) {
    if (!b->p) tide_lua_raise(L, s);
    size_t n = tide_prog_text(b->p, NULL, 0);
    luaL_Buffer buffer;
    char *at = luaL_buffinitsize(L, &buffer, n + 1);
    tide_prog_text(b->p, at, n + 1);
    luaL_pushresultsize(&buffer, n);
    tide_prog_free(b->p);
    b->p = NULL;
    lua_remove(L, -2);
}

/* The gradients of all inputs that have one: usually one program; several where inputs are summed over
 * different dims. */
static int gradient(lua_State *L, tide_lua *s, sample *x) {
    const tide_op *op = x->op;
    uint32_t want = 0;
    if (op->nograd) return tide_lua_error(L, s, "program", "%s has no gradient: %s", op->name, op->nograd);
    if (op->vjp)
        return tide_lua_error(L, s, "program", "%s has no gradient: none of its own, other operations give it",
                              op->name);
    for (int i = 0; i < x->s.nin; i++)
        if (x->metas[i] && tide_dtype_is_float((tide_dtype)x->metas[i]->dtype)) want |= 1u << i;
    if (!want) return tide_lua_error(L, s, "program", "%s: no input is of floats", op->name);
    for (int j = 0; j < x->s.nout; j++) x->metas[x->s.nin + j] = &x->out[j];
    tide_call call = {.op = (uint16_t)(op - tide_op_table),
                      .nin = (uint32_t)x->s.nin,
                      .nout = (uint32_t)x->s.nout,
                      .attr = x->attr.bytes,
                      .nattr = op->nattr};
    const tide_vjp_plan *plan = tide_vjp_plan_of(s->cx, op, &call, x->metas, want);
    if (!plan) return tide_lua_raise(L, s);
    int n = plan->n;
    luaL_checkstack(L, n + 8, "program");
    for (int g = 0; g < n; g++) {
        uint64_t uses;
        if (g) lua_pushliteral(L, "\n");
        box *b = tide_lua_new(L, s, &box_kind);
        b->p = tide_vjp_program(s->cx, plan->group[g].blob, 0, &uses);
        text(L, s, b);
    }
    lua_concat(L, 2 * n - 1);
    return 1;
}

/* program(name[, {grad = true, inputs = {tensors}}]): for inputs like those given, else for small ones that the
 * operation takes. */
static int program(lua_State *L) {
    tide_lua *s = tide_lua_enter(L);
    const char *name = luaL_checkstring(L, 1);
    const tide_op *op = tide_lua_op(name);
    if (!lua_isnoneornil(L, 2)) luaL_checktype(L, 2, LUA_TTABLE);
    if (!op) return tide_lua_error(L, s, "program", "no operation '%s'", name);
    if (!op->program)
        return tide_lua_error(L, s, "program", "%s is no program but a %s", name,
                              op->view      ? "view"
                              : op->compose ? "composition"
                                            : "kernel");
    bool derive = lua_istable(L, 2) && (lua_getfield(L, 2, "grad"), lua_toboolean(L, -1));
    sample x = {.op = op};
    x.s = (tide_shapes){s->cx,    x.attr.bytes, op->flags & TIDE_F_LIST ? op->group : op->nin,
                        op->nout, x.metas,      x.out};
    attributes(&x);
    bool fits;
    if (tide_door_open(s->cx)) return tide_lua_raise(L, s);
    if (lua_istable(L, 2) && lua_getfield(L, 2, "inputs") == LUA_TTABLE) {
        for (int i = 0; i < x.s.nin; i++) {
            lua_rawgeti(L, -1, i + 1);
            const tide_tensor *t = tide_lua_test(L, s, -1);
            if (t) x.in[i] = t->meta, x.metas[i] = &x.in[i];
            lua_pop(L, 1);
        }
        for (int a = 0; a < op->narg; a++)
            if (op->arg[a].input >= 0 && !op->arg[a].optional && !x.metas[op->arg[a].input])
                return tide_lua_error(L, s, "program", "inputs: '%s' is missing", op->arg[a].name);
        fits = shaped(&x);
    } else {
        fits = search(s->cx, &x, 0);
    }
    if (!fits) return tide_lua_raise(L, s);
    if (derive) return gradient(L, s, &x);
    box *b = tide_lua_new(L, s, &box_kind);
    b->p = tide_op_program(s->cx, op, &x.s, &x.space);
    text(L, s, b);
    return 1;
}

void tide_lua_open_program(lua_State *L, tide_lua *s) {
    tide_lua_register(L, s, (luaL_Reg[]){{"program", program}, {NULL, NULL}});
}
