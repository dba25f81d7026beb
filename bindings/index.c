/* x[...]: positions and ranges give views; integer and bool tensors gather. Positions count from 1, ranges
 * include their end; numbers stored in tensors count from 0. */
#include "bindings/lua_tide.h"

enum { MAXPARTS = 2 * TIDE_MAXDIM };
typedef enum { PART_POSITION, PART_RANGE, PART_ALL, PART_NEW, PART_REST, PART_TENSOR } part_kind;
typedef struct {
    part_kind kind;
    int64_t a, b, step;
    tide_tensor *t;
} part;

typedef struct {
    lua_State *L;
    tide_lua *s;
    part p[MAXPARTS];
    int n, rest;
} parts;

/* tide.newaxis and tide.ellipsis are the addresses of these. */
static const char newaxis, ellipsis;

static int64_t position(parts *q, int i) {
    int ok;
    int64_t v = lua_tointegerx(q->L, i, &ok);
    if (!ok || lua_type(q->L, i) != LUA_TNUMBER)
        tide_lua_error(q->L, q->s, "index", "a position must be an integer, not %s", luaL_typename(q->L, i));
    if (v == 0)
        tide_lua_error(q->L, q->s, "index", "positions count from 1; stored indices from 0: use index_select");
    return v;
}

static void add(parts *q, part p) {
    if (q->n == MAXPARTS) tide_lua_error(q->L, q->s, "index", "too many parts");
    q->p[q->n++] = p;
}

/* One part from the value at i. */
static void read_part(parts *q, int i) {
    lua_State *L = q->L;
    i = lua_absindex(L, i);
    int top = lua_gettop(L);
    tide_tensor *t = tide_lua_test(L, q->s, i);
    if (t) {
        add(q, (part){.kind = PART_TENSOR, .t = t});
    } else if (lua_type(L, i) == LUA_TNUMBER) {
        add(q, (part){.kind = PART_POSITION, .a = position(q, i)});
    } else if (lua_touserdata(L, i) == &newaxis) {
        add(q, (part){.kind = PART_NEW});
    } else if (lua_touserdata(L, i) == &ellipsis) {
        if (q->rest++) tide_lua_error(L, q->s, "index", "only one ellipsis");
        add(q, (part){.kind = PART_REST});
    } else if (lua_istable(L, i)) {
        int n = (int)lua_rawlen(L, i);
        if (n == 0) {
            add(q, (part){.kind = PART_ALL});
        } else if (n == 2 || n == 3) {
            part p = {.kind = PART_RANGE, .step = 1};
            lua_rawgeti(L, i, 1);
            p.a = position(q, -1);
            lua_rawgeti(L, i, 2);
            p.b = position(q, -1);
            if (n == 3) {
                lua_rawgeti(L, i, 3);
                p.step = lua_tointeger(L, -1);
                if (p.step < 1) tide_lua_error(L, q->s, "index", "the step of a range must be positive");
            }
            add(q, p);
        } else {
            tide_lua_error(L, q->s, "index", "a range is {first, last} or {first, last, step}");
        }
    } else {
        tide_lua_error(L, q->s, "index", "cannot index with a %s", luaL_typename(L, i));
    }
    lua_settop(L, top);
}

static void read_key(parts *q, int i) {
    lua_State *L = q->L;
    if (!lua_istable(L, i)) {
        read_part(q, i);
        return;
    }
    int n = (int)lua_rawlen(L, i);
    for (int k = 1; k <= n; k++) {
        lua_rawgeti(L, i, k);
        read_part(q, -1);
        lua_pop(L, 1);
    }
}

/* The views that the parts other than tensors make, and which dim of the result each tensor indexes. */
static tide_tensor *views(parts *q, tide_tensor *t, tide_tensor **index, int *ndims) {
    tide_context *cx = q->s->cx;
    int used = 0, dim = 0;
    for (int i = 0; i < q->n; i++) {
        const part *p = &q->p[i];
        if (p->kind == PART_TENSOR)
            used += p->t->meta.dtype == TIDE_BOOL ? p->t->meta.ndim : 1;
        else if (p->kind != PART_NEW && p->kind != PART_REST)
            used++;
    }
    if (used > t->meta.ndim) {
        tide_fail(cx, TIDE_EARG, "[index] %d positions for a tensor of %d dims", used, t->meta.ndim);
        return NULL;
    }
    int skip = t->meta.ndim - used;
    tide_tensor *at = tide_keep(t);
    for (int i = 0; i < q->n && at; i++) {
        const part *p = &q->p[i];
        tide_tensor *next = NULL;
        if (p->kind == PART_REST) {
            dim += skip;
            continue;
        }
        if (p->kind == PART_ALL) {
            dim++;
            continue;
        }
        if (p->kind == PART_TENSOR) {
            int covers = p->t->meta.dtype == TIDE_BOOL ? p->t->meta.ndim : 1;
            index[dim] = p->t;
            if (p->t->meta.dtype == TIDE_BOOL && covers == 0) { /* a 0-d mask: a new dim of size 0 or 1 */
                tide_unsqueeze_attr u = {dim};
                next = tide_call1(cx, TIDE_OP_UNSQUEEZE, &at, 1, &u);
                tide_free(at);
                at = next;
                dim++;
                continue;
            }
            dim += covers;
            continue;
        }
        if (p->kind == PART_NEW) {
            tide_unsqueeze_attr u = {dim++};
            next = tide_call1(cx, TIDE_OP_UNSQUEEZE, &at, 1, &u);
        } else if (p->kind == PART_POSITION) {
            tide_select_attr sel = {dim, p->a > 0 ? p->a - 1 : p->a};
            next = tide_call1(cx, TIDE_OP_SELECT, &at, 1, &sel);
        } else {
            int64_t size = at->meta.shape[dim], a = p->a > 0 ? p->a - 1 : p->a + size,
                    b = p->b > 0 ? p->b : p->b + size + 1;
            if (a < 0) a = 0;
            if (b > size) b = size;
            int64_t n = b > a ? (b - a - 1) / p->step + 1 : 0;
            tide_slice_attr sl = {dim++, n > 0 ? a : 0, n, p->step};
            next = tide_call1(cx, TIDE_OP_SLICE, &at, 1, &sl);
        }
        tide_free(at);
        at = next;
    }
    *ndims = dim;
    return at;
}

/* Masks become the positions of their true elements, a tensor for each dim they cover; `own` counts new
 * references. */
static tide_status positions(tide_context *cx, tide_tensor *at, tide_tensor **index, int n, tide_tensor **own,
                             int *nown) {
    tide_tensor *out[TIDE_MAXDIM + 2] = {NULL};
    for (int d = 0; d < n; d++) {
        tide_tensor *t = index[d];
        if (!t) continue;
        if (t->meta.dtype != TIDE_BOOL) {
            out[d] = t;
            continue;
        }
        int covers = t->meta.ndim ? t->meta.ndim : 1;
        for (int k = 0; k < t->meta.ndim; k++)
            if (t->meta.shape[k] != at->meta.shape[d + k]) {
                char a[TIDE_SHAPE_TEXT], b[TIDE_SHAPE_TEXT];
                return tide_fail(cx, TIDE_EARG, "[index] the mask %s does not fit %s at dim %d",
                                 tide_shape_text(&t->meta, a), tide_shape_text(&at->meta, b), d + 1);
            }
        tide_reshape_attr flat = {{1, {1}}};
        tide_tensor *whole = t->meta.ndim ? tide_keep(t) : tide_call1(cx, TIDE_OP_RESHAPE, &t, 1, &flat);
        tide_tensor *places = whole ? tide_call1(cx, TIDE_OP_NONZERO, &whole, 1, NULL) : NULL;
        tide_free(whole);
        if (!places) return tide_pending(cx);
        for (int k = 0; k < covers; k++) {
            tide_select_attr column = {1, k};
            out[d + k] = own[*nown] = tide_call1(cx, TIDE_OP_SELECT, &places, 1, &column);
            if (!own[(*nown)++]) {
                tide_free(places);
                return tide_pending(cx);
            }
        }
        tide_free(places);
    }
    memcpy(index, out, sizeof out);
    return TIDE_OK;
}

static tide_status gathered(tide_context *cx, tide_tensor *at, tide_tensor **index, int n, tide_tensor **out) {
    tide_tensor *own[TIDE_MAXDIM + 2], *in[TIDE_MAXDIM + 3] = {at};
    int nown = 0;
    tide_status e = positions(cx, at, index, n, own, &nown);
    memcpy(in + 1, index, (size_t)n * sizeof *in);
    tide_call c = {.op = TIDE_OP_INDEX, .nin = (uint32_t)n + 1, .nout = 1, .in = in, .out = out};
    if (!e) e = tide_apply(cx, &c);
    while (nown > 0) tide_free(own[--nown]);
    return e;
}

static tide_status stored(tide_context *cx, tide_tensor *at, tide_tensor **index, int n, tide_tensor *value,
                          bool accumulate, int flags, tide_tensor **out) {
    tide_tensor *own[TIDE_MAXDIM + 2], *in[TIDE_MAXDIM + 4] = {at, value}, *same = NULL;
    int nown = 0;
    tide_index_put_attr a = {accumulate};
    tide_status e = positions(cx, at, index, n, own, &nown);
    if (!e && value->meta.dtype != at->meta.dtype) {
        tide_to_attr to = {at->meta.dtype};
        in[1] = same = tide_call1(cx, TIDE_OP_TO, &value, 1, &to);
        if (!same) e = tide_pending(cx);
    }
    memcpy(in + 2, index, (size_t)n * sizeof *in);
    tide_call c = {.op = TIDE_OP_INDEX_PUT,
                   .flags = (uint16_t)flags,
                   .nin = (uint32_t)n + 2,
                   .nout = 1,
                   .in = in,
                   .out = out,
                   .attr = &a,
                   .nattr = sizeof a};
    if (!e) e = tide_apply(cx, &c);
    while (nown > 0) tide_free(own[--nown]);
    tide_free(same);
    return e;
}

static bool any_tensor(const parts *q) {
    for (int i = 0; i < q->n; i++)
        if (q->p[i].kind == PART_TENSOR) return true;
    return false;
}

int tide_lua_getitem(lua_State *L, tide_lua *s, tide_tensor *t) {
    parts q = {.L = L, .s = s};
    read_key(&q, 2);
    handle *h = tide_lua_box(L, s);
    tide_tensor *index[TIDE_MAXDIM + 2] = {NULL};
    int n = 0;
    tide_tensor *at = views(&q, t, index, &n);
    if (at && any_tensor(&q)) {
        tide_tensor *r = NULL;
        gathered(s->cx, at, index, n, &r);
        tide_free(at);
        at = r;
    }
    if (!at) return tide_lua_raise(L, s);
    tide_lua_fill(s, h, at);
    return 1;
}

int tide_lua_setitem(lua_State *L, tide_lua *s, tide_tensor *t) {
    parts q = {.L = L, .s = s};
    read_key(&q, 2);
    tide_tensor *index[TIDE_MAXDIM + 2] = {NULL}, *value = tide_lua_test(L, s, 3), *number = NULL;
    int n = 0;
    tide_status e = TIDE_OK;
    if (!value) {
        if (lua_type(L, 3) != LUA_TNUMBER && !lua_isboolean(L, 3))
            return tide_lua_error(L, s, "index", "cannot store a %s in a tensor", luaL_typename(L, 3));
        tide_full_attr f = {{0, {0}}, {{.i = 0}, TIDE_INTEGER, 0}, t->meta.dtype};
        if (lua_isboolean(L, 3))
            f.fill_value.u.i = lua_toboolean(L, 3);
        else if (lua_isinteger(L, 3))
            f.fill_value.u.i = lua_tointeger(L, 3);
        else
            f.fill_value.u.f = lua_tonumber(L, 3), f.fill_value.kind = TIDE_FLOAT;
        value = number = tide_call1(s->cx, TIDE_OP_FULL, NULL, 0, &f);
        if (!value) return tide_lua_raise(L, s);
    }
    tide_tensor *at = views(&q, t, index, &n), *out = NULL;
    if (!at)
        e = tide_pending(s->cx);
    else if (number && q.n == 1 && q.p[0].kind == PART_TENSOR && q.p[0].t->meta.dtype == TIDE_BOOL &&
             tide_same_shape(&q.p[0].t->meta, &t->meta)) {
        tide_masked_fill_attr a = {
            {{0}, TIDE_NONE, 0}}; /* the common x[mask] = number, without looking at the mask */
        tide_call c = {.op = TIDE_OP_MASKED_FILL,
                       .flags = TIDE_INPLACE,
                       .nin = 3,
                       .nout = 1,
                       .in = (tide_tensor *[]){t, q.p[0].t, number},
                       .out = &out,
                       .attr = &a,
                       .nattr = sizeof a};
        e = tide_apply(s->cx, &c);
    } else if (any_tensor(&q)) {
        e = stored(s->cx, at, index, n, value, false, TIDE_INPLACE, &out);
    } else {
        tide_call c = {.op = TIDE_OP_COPY,
                       .flags = TIDE_INPLACE,
                       .nin = 2,
                       .nout = 1,
                       .in = (tide_tensor *[]){at, value},
                       .out = &out};
        e = tide_apply(s->cx, &c);
    }
    tide_free(at);
    tide_free(number);
    return e ? tide_lua_raise(L, s) : 0;
}

/* index_put(input, {indices}, values[, {accumulate}]), upvalue 2: in place or not */
static int index_put(lua_State *L) {
    tide_lua *s = tide_lua_enter(L);
    int flags = lua_toboolean(L, lua_upvalueindex(2)) ? TIDE_INPLACE : 0;
    lua_settop(L, 4);
    tide_tensor *t = tide_lua_check(L, s, 1, "index_put"), *value = tide_lua_check(L, s, 3, "index_put"),
                *index[TIDE_MAXDIM + 2] = {NULL}, *out = NULL;
    bool accumulate = lua_istable(L, 4) && (lua_getfield(L, 4, "accumulate"), lua_toboolean(L, -1));
    parts q = {.L = L, .s = s};
    if (!lua_istable(L, 2))
        return tide_lua_error(L, s, "index_put", "expected a list of tensors, got %s", luaL_typename(L, 2));
    read_key(&q, 2);
    for (int i = 0; i < q.n; i++)
        if (q.p[i].kind != PART_TENSOR)
            return tide_lua_error(L, s, "index_put", "entry %d of the indices is not a tensor", i + 1);
    handle *h = tide_lua_box(L, s);
    int n = 0;
    tide_tensor *at = views(&q, t, index, &n);
    tide_status e = at ? stored(s->cx, at, index, n, value, accumulate, flags, &out) : tide_pending(s->cx);
    tide_free(at);
    if (e) return tide_lua_raise(L, s);
    if (flags)
        lua_settop(L, 1);
    else
        tide_lua_fill(s, h, out);
    return 1;
}

void tide_lua_open_index(lua_State *L, tide_lua *s) {
    lua_pushlightuserdata(L, (void *)&newaxis);
    lua_setfield(L, -2, "newaxis");
    lua_pushlightuserdata(L, (void *)&ellipsis);
    lua_setfield(L, -2, "ellipsis");
    lua_getfield(L, -1, "_methods");
    for (int inplace = 0; inplace < 2; inplace++) {
        lua_pushlightuserdata(L, s);
        lua_pushboolean(L, inplace);
        lua_pushcclosure(L, index_put, 2);
        lua_pushvalue(L, -1);
        lua_setfield(L, -3, inplace ? "index_put_" : "index_put");
        lua_setfield(L, -3, inplace ? "index_put_" : "index_put");
    }
    lua_pop(L, 1);
}
