/* x[...]: positions and ranges give views; integer and bool tensors gather. Positions count from 1, ranges include
 * their end; numbers stored in tensors count from 0. */
#include "bindings/lua_tide.h"
#include <stdlib.h>

enum { MAXPARTS = 2 * TIDE_MAXDIM };
typedef enum { PART_POSITION, PART_RANGE, PART_ALL, PART_NEW, PART_REST, PART_TENSOR } part_kind;
typedef struct { part_kind kind; int64_t a, b, step; tide_tensor *t; } part;

typedef struct { lua_State *L; tide_lua *s; part p[MAXPARTS]; int n; } parts;

/* Is the value at i tide.newaxis or tide.ellipsis? */
static bool is_core_field(lua_State *L, int i, const char *name) {
    int top = lua_gettop(L);
    i = lua_absindex(L, i);
    lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    bool same = lua_getfield(L, -1, "tide.core") == LUA_TTABLE;
    if (same) {
        lua_getfield(L, -1, name);
        same = lua_rawequal(L, -1, i);
    }
    lua_settop(L, top);
    return same;
}

static int64_t position(parts *q, int i) {
    int ok;
    int64_t v = lua_tointegerx(q->L, i, &ok);
    if (!ok) tide_lua_error(q->L, q->s, "index", "a position must be an integer, not %s", luaL_typename(q->L, i));
    if (v == 0) tide_lua_error(q->L, q->s, "index", "positions count from 1; stored indices from 0: use index_select");
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
    } else if (lua_istable(L, i)) {
        if (is_core_field(L, i, "newaxis")) add(q, (part){.kind = PART_NEW});
        else if (is_core_field(L, i, "ellipsis")) add(q, (part){.kind = PART_REST});
        else {
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
                    p.step = luaL_checkinteger(L, -1);
                    if (p.step < 1) tide_lua_error(L, q->s, "index", "the step of a range must be positive");
                }
                add(q, p);
            } else {
                tide_lua_error(L, q->s, "index", "a range is {first, last} or {first, last, step}");
            }
        }
    } else {
        tide_lua_error(L, q->s, "index", "cannot index with a %s", luaL_typename(L, i));
    }
    lua_settop(L, top);
}

static void read_key(parts *q, int i) {
    lua_State *L = q->L;
    if (tide_lua_test(L, q->s, i) || !lua_istable(L, i)) {
        read_part(q, i);
        return;
    }
    if (is_core_field(L, i, "newaxis") || is_core_field(L, i, "ellipsis")) {
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
        if (p->kind == PART_TENSOR) used += p->t->meta.dtype == TIDE_BOOL ? p->t->meta.ndim : 1;
        else if (p->kind != PART_NEW && p->kind != PART_REST) used++;
    }
    if (used > t->meta.ndim) {
        tide_fail(cx, TIDE_EARG, "%d positions for a tensor of %d dims", used, t->meta.ndim);
        return NULL;
    }
    int skip = t->meta.ndim - used;
    tide_tensor *at = tide_keep(t);
    for (int i = 0; i < q->n && at; i++) {
        const part *p = &q->p[i];
        tide_tensor *next = NULL;
        if (p->kind == PART_REST) { dim += skip; continue; }
        if (p->kind == PART_ALL) { dim++; continue; }
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
            int64_t size = at->meta.shape[dim], a = p->a > 0 ? p->a - 1 : p->a + size, b = p->b > 0 ? p->b : p->b + size + 1;
            if (a < 0) a = 0;
            if (b > size) b = size;
            int64_t n = b > a ? (b - a + p->step - 1) / p->step : 0;
            tide_slice_attr sl = {dim++, n > 0 ? a : 0, n, p->step};
            next = tide_call1(cx, TIDE_OP_SLICE, &at, 1, &sl);
        }
        tide_free(at);
        at = next;
    }
    *ndims = dim;
    return at;
}

/* Masks become the positions of their true elements, a tensor for each dim they cover; `own` counts new references. */
static tide_status positions(tide_context *cx, tide_tensor *at, tide_tensor **index, int n, tide_tensor **own, int *nown) {
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
                return tide_fail(cx, TIDE_EARG, "the mask %s does not fit %s at dim %d", tide_shape_text(&t->meta, a), tide_shape_text(&at->meta, b), d + 1);
            }
        tide_reshape_attr flat = {{1, {1}}};
        tide_tensor *whole = t->meta.ndim ? tide_keep(t) : tide_call1(cx, TIDE_OP_RESHAPE, &t, 1, &flat);
        tide_tensor *places = whole ? tide_call1(cx, TIDE_OP_NONZERO, &whole, 1, NULL) : NULL;
        tide_free(whole);
        if (!places) return tide_pending(cx);
        for (int k = 0; k < covers; k++) {
            tide_select_attr column = {1, k};
            out[d + k] = own[*nown] = tide_call1(cx, TIDE_OP_SELECT, &places, 1, &column);
            if (!own[(*nown)++]) { tide_free(places); return tide_pending(cx); }
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

static tide_status stored(tide_context *cx, tide_tensor *at, tide_tensor **index, int n, tide_tensor *value) {
    tide_tensor *own[TIDE_MAXDIM + 2], *in[TIDE_MAXDIM + 4] = {at, value}, *out = NULL, *same = NULL;
    int nown = 0;
    tide_index_put_attr a = {0};
    tide_status e = positions(cx, at, index, n, own, &nown);
    if (!e && value->meta.dtype != at->meta.dtype) {
        tide_to_attr to = {at->meta.dtype};
        in[1] = same = tide_call1(cx, TIDE_OP_TO, &value, 1, &to);
        if (!same) e = tide_pending(cx);
    }
    memcpy(in + 2, index, (size_t)n * sizeof *in);
    tide_call c = {.op = TIDE_OP_INDEX_PUT, .flags = TIDE_INPLACE, .nin = (uint32_t)n + 2, .nout = 1, .in = in, .out = &out, .attr = &a, .nattr = sizeof a};
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
        if (lua_type(L, 3) != LUA_TNUMBER && !lua_isboolean(L, 3)) return tide_lua_error(L, s, "index", "cannot store a %s in a tensor", luaL_typename(L, 3));
        tide_full_attr f = {{0, {0}}, {{.i = 0}, TIDE_INTEGER, 0}, t->meta.dtype};
        if (lua_isboolean(L, 3)) f.fill_value.u.i = lua_toboolean(L, 3);
        else if (lua_isinteger(L, 3)) f.fill_value.u.i = lua_tointeger(L, 3);
        else f.fill_value.u.f = lua_tonumber(L, 3), f.fill_value.kind = TIDE_FLOAT;
        value = number = tide_call1(s->cx, TIDE_OP_FULL, NULL, 0, &f);
        if (!value) return tide_lua_raise(L, s);
    }
    tide_tensor *at = views(&q, t, index, &n), *out = NULL;
    if (!at) e = tide_pending(s->cx);
    else if (any_tensor(&q)) e = stored(s->cx, at, index, n, value);
    else {
        tide_call c = {.op = TIDE_OP_COPY, .flags = TIDE_INPLACE, .nin = 2, .nout = 1, .in = (tide_tensor *[]){at, value}, .out = &out};
        e = tide_apply(s->cx, &c);
    }
    tide_free(at);
    tide_free(number);
    return e ? tide_lua_raise(L, s) : 0;
}
