/* Data: CSV, permutations. */
#include "bindings/lua_tide.h"
#include "io/csv.h"
#include <stdlib.h>
#include <unistd.h>

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
            values[i] = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL; /* the table keeps it */
            if (!values[i]) return tide_lua_error(L, s, "csv", "na_values must be strings");
            lua_pop(L, 1);
        }
        o.na_values = values;
        o.n_na_values = n;
    }
    csv_box *b = lua_newuserdatauv(L, sizeof *b, 0);
    b->csv = NULL;
    tide_lua_class(L, s, "tide.CsvFile", (luaL_Reg[]){{"__gc", csv_box_gc}, {NULL, NULL}});
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
    tide_context *cx = tide_lua_context(L);
    lua_pushinteger(L,
                    (lua_Integer)((cx->seed * 6364136223846793005ull + ++cx->rng_calls) >> 1 & 0x7FFFFFFFFFFF));
    return 1;
}
static int is_terminal(lua_State *L) {
    lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
    return 1;
}

void tide_lua_open_data(lua_State *L, tide_lua *s) {
    tide_lua_register(L, s,
                      (luaL_Reg[]){{"_csv", csv},
                                   {"_permutation", permutation},
                                   {"_draw_seed", draw_seed},
                                   {"_isatty", is_terminal},
                                   {NULL, NULL}});
}
