/* Files and data: safetensors, CSV, permutations. */
#include "bindings/lua_tide.h"
#include "io/csv.h"
#include "io/safetensors.h"
#include <stdlib.h>
#include <unistd.h>

/* ---- tide.save(path, {name = tensor}[, {metadata}]) ---- */

static int save(lua_State *L) {
    tide_lua *s = tide_lua_enter(L);
    const char *path = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 3);
    int64_t n = 0, k = 0;
    lua_pushnil(L);
    while (lua_next(L, 2)) {
        if (lua_type(L, -2) != LUA_TSTRING || !tide_lua_test(L, s, -1))
            return tide_lua_error(L, s, "save", "expected a table from names to tensors; an entry is %s = %s",
                                  luaL_typename(L, -2), luaL_typename(L, -1));
        n++;
        lua_pop(L, 1);
    }
    int pairs = 0;
    if (lua_istable(L, 3)) {
        lua_pushnil(L);
        while (lua_next(L, 3)) {
            if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
                return tide_lua_error(L, s, "save", "metadata must be strings");
            pairs++;
            lua_pop(L, 1);
        }
    }
    tide_st_entry *entry = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *entry, 0);
    const char **meta = lua_newuserdatauv(L, (size_t)(2 * pairs + 1) * sizeof *meta, 0);
    lua_createtable(L, (int)n, 0); /* contiguous copies stay alive here */
    int copies = lua_gettop(L);
    lua_pushnil(L);
    while (lua_next(L, 2)) {
        tide_tensor *t = tide_lua_test(L, s, -1);
        handle *h = tide_lua_box(L, s);
        tide_tensor *c = tide_sync(t)            ? NULL
                         : tide_is_contiguous(t) ? tide_keep(t)
                                                 : tide_call1(s->cx, TIDE_OP_CLONE, &t, 1, NULL);
        if (!c) return tide_lua_raise(L, s);
        tide_lua_fill(s, h, c);
        lua_rawseti(L, copies, k + 1);
        tide_st_entry *e = &entry[k++];
        memset(e, 0, sizeof *e);
        e->name = lua_tolstring(L, -2, &e->name_length);
        e->dtype = c->meta.dtype;
        e->ndim = c->meta.ndim;
        memcpy(e->shape, c->meta.shape, sizeof e->shape);
        e->data = tide_data(c);
        e->nbytes = (size_t)tide_numel(&c->meta) * tide_dtype_size((tide_dtype)c->meta.dtype);
        lua_pop(L, 1);
    }
    int at = 0;
    if (pairs) {
        lua_pushnil(L);
        while (lua_next(L, 3)) {
            meta[at++] = lua_tostring(L, -2);
            meta[at++] = lua_tostring(L, -1);
            lua_pop(L, 1);
        }
    }
    if (tide_st_save(s->cx, path, entry, n, meta, pairs, NULL, NULL)) return tide_lua_fail(L, s);
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- tide.load(path): {name = tensor}, {metadata} ---- */

typedef struct {
    tide_st_file file;
    bool open;
} st_box;

static int st_box_gc(lua_State *L) {
    st_box *b = lua_touserdata(L, 1);
    if (b->open && STATE(L)->cx) tide_st_close(&b->file);
    b->open = false;
    return 0;
}

static int load(lua_State *L) {
    tide_lua *s = tide_lua_enter(L);
    const char *path = luaL_checkstring(L, 1);
    st_box *b = lua_newuserdatauv(L, sizeof *b, 0);
    b->open = false;
    if (luaL_newmetatable(L, "tide.SafetensorsFile"))
        tide_lua_register(L, s, (luaL_Reg[]){{"__gc", st_box_gc}, {NULL, NULL}});
    lua_setmetatable(L, -2);
    if (tide_st_open(s->cx, path, &b->file)) return tide_lua_fail(L, s);
    b->open = true;
    for (int64_t i = 0; i < b->file.n; i++)
        if (!b->file.entry[i].dtype) {
            lua_pushnil(L);
            lua_pushfstring(L, "%s: '%s' has dtype %s and %d dims, which Tide does not have", path,
                            b->file.entry[i].name, b->file.entry[i].dtype_name, b->file.entry[i].ndim);
            lua_pushliteral(L, "EUNSUP");
            return 3;
        }
    lua_createtable(L, 0, (int)b->file.n);
    for (int64_t i = 0; i < b->file.n; i++) {
        const tide_st_entry *e = &b->file.entry[i];
        tide_meta m = {.ndim = e->ndim, .dtype = e->dtype};
        memcpy(m.shape, e->shape, sizeof m.shape);
        lua_pushlstring(L, e->name, e->name_length);
        handle *h = tide_lua_box(L, s);
        tide_tensor *t = tide_tensor_new(s->cx, &m);
        if (!t) return tide_lua_raise(L, s);
        if (e->nbytes) memcpy(tide_data(t), e->data, e->nbytes);
        tide_lua_fill(s, h, t);
        lua_rawset(L, -3);
    }
    lua_newtable(L);
    for (const tide_json *m = b->file.metadata ? b->file.metadata->child : NULL; m; m = m->next) {
        lua_pushlstring(L, m->key, m->key_length);
        lua_pushlstring(L, m->string, m->length);
        lua_rawset(L, -3);
    }
    tide_st_close(&b->file);
    b->open = false;
    return 2;
}

/* ---- CSV ---- */

typedef struct {
    tide_csv *csv;
} csv_box;

static int csv_box_gc(lua_State *L) {
    csv_box *b = lua_touserdata(L, 1);
    if (b->csv && STATE(L)->cx) tide_csv_free(STATE(L)->cx, b->csv);
    b->csv = NULL;
    return 0;
}

static bool option(lua_State *L, const char *name, bool dflt) {
    bool v = lua_getfield(L, 2, name) == LUA_TNIL ? dflt : lua_toboolean(L, -1);
    lua_pop(L, 1);
    return v;
}

static void push_column(lua_State *L, tide_lua *s, const void *data, uint8_t dtype, int64_t rows) {
    handle *h = tide_lua_box(L, s);
    tide_meta m = {.shape = {rows}, .ndim = 1, .dtype = dtype};
    tide_tensor *t = tide_tensor_new(s->cx, &m);
    if (!t) tide_lua_raise(L, s);
    if (rows) memcpy(tide_data(t), data, (size_t)rows * tide_dtype_size((tide_dtype)dtype));
    tide_lua_fill(s, h, t);
}

static int csv(lua_State *L) { /* _csv(path, options): {rows, {name, type, values, missing}...} */
    tide_lua *s = tide_lua_enter(L);
    const char *path = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    tide_csv_options o = {.sep = ",",
                          .header = option(L, "header", true),
                          .keep_default_na = option(L, "keep_default_na", true),
                          .skip_initial_space = option(L, "skip_initial_space", false)};
    if (lua_getfield(L, 2, "sep") == LUA_TSTRING) o.sep = lua_tostring(L, -1);
    if (strlen(o.sep) != 1) return tide_lua_error(L, s, "csv", "sep must be one character");
    if (lua_getfield(L, 2, "na_values") == LUA_TTABLE) {
        int n = (int)lua_rawlen(L, -1), list = lua_gettop(L);
        const char **values = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *values, 0);
        for (int i = 0; i < n; i++) {
            lua_rawgeti(L, list, i + 1);
            values[i] = lua_tostring(L, -1);
            if (!values[i]) return tide_lua_error(L, s, "csv", "na_values must be strings");
            lua_pop(L, 1);
        }
        o.na_values = values;
        o.n_na_values = n;
    }
    csv_box *b = lua_newuserdatauv(L, sizeof *b, 0);
    b->csv = NULL;
    if (luaL_newmetatable(L, "tide.CsvFile"))
        tide_lua_register(L, s, (luaL_Reg[]){{"__gc", csv_box_gc}, {NULL, NULL}});
    lua_setmetatable(L, -2);
    if (tide_csv_read(s->cx, path, &o, &b->csv)) return tide_lua_fail(L, s);
    const tide_csv *c = b->csv;
    lua_createtable(L, c->ncolumns, 1);
    lua_pushinteger(L, c->rows);
    lua_setfield(L, -2, "rows");
    for (int i = 0; i < c->ncolumns; i++) {
        const tide_csv_column *col = &c->column[i];
        lua_createtable(L, 0, 4);
        lua_pushstring(L, col->name);
        lua_setfield(L, -2, "name");
        lua_pushstring(L, col->type ? tide_dtype_name((tide_dtype)col->type) : "string");
        lua_setfield(L, -2, "type");
        if (col->type) {
            push_column(L, s,
                        col->type == TIDE_I64   ? (const void *)col->i
                        : col->type == TIDE_F64 ? (const void *)col->f
                                                : (const void *)col->b,
                        col->type, c->rows);
        } else {
            lua_createtable(L, (int)c->rows, 0);
            for (int64_t r = 0; r < c->rows; r++) {
                lua_pushlstring(L, col->text[r] ? col->text[r] : "", col->text[r] ? col->length[r] : 0);
                lua_rawseti(L, -2, r + 1);
            }
        }
        lua_setfield(L, -2, "values");
        if (col->missing) {
            push_column(L, s, col->missing, TIDE_BOOL, c->rows);
            lua_setfield(L, -2, "missing");
        }
        lua_rawseti(L, -2, i + 1);
    }
    tide_csv_free(s->cx, b->csv);
    b->csv = NULL;
    return 1;
}

/* ---- order ---- */

static int permutation(lua_State *L) { /* _permutation(n, seed): int64, fixed by the seed alone */
    tide_lua *s = tide_lua_enter(L);
    tide_randperm_attr a = {luaL_checkinteger(L, 1), luaL_checkinteger(L, 2), 0x7065726dll};
    handle *h = tide_lua_box(L, s);
    tide_tensor *t = tide_call1(s->cx, TIDE_OP_RANDPERM, NULL, 0, &a);
    if (!t) return tide_lua_raise(L, s);
    tide_lua_fill(s, h, t);
    return 1;
}
static int
draw_seed(lua_State *L) { /* a seed for something that will shuffle by itself: from the context's stream */
    tide_lua *s = STATE(L);
    lua_pushinteger(
        L, (lua_Integer)((s->cx->seed * 6364136223846793005ull + ++s->cx->rng_calls) >> 1 & 0x7FFFFFFFFFFF));
    return 1;
}
static int is_terminal(lua_State *L) {
    lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
    return 1;
}

void tide_lua_open_data(lua_State *L, tide_lua *s) {
    tide_lua_register(L, s,
                      (luaL_Reg[]){{"save", save},
                                   {"load", load},
                                   {"_csv", csv},
                                   {"_permutation", permutation},
                                   {"_draw_seed", draw_seed},
                                   {"_isatty", is_terminal},
                                   {NULL, NULL}});
}
