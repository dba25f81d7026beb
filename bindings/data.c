/* Data: CSV, permutations. */
#include "bindings/lua_tide.h"
#include "io/csv.h"
#include "io/words.h"
#include <stdlib.h>
#include <unistd.h>

/* ---- CSV ---- */

/* What is open while Lua takes it over: freed with its box, whatever happens. */
typedef struct {
    tide_csv_stream *stream;
    tide_csv *csv;
    tide_words words;
} csv_box;

static void csv_box_clear(tide_context *cx, csv_box *b) {
    tide_words_free(cx, &b->words);
    tide_csv_free(cx, b->csv);
    b->csv = NULL;
}

static void csv_release(tide_lua *s, void *p) {
    csv_box *b = p;
    csv_box_clear(s->cx, b);
    tide_csv_close(b->stream);
}
static const tide_lua_kind csv_kind = {"tide.CsvFile", sizeof(csv_box), csv_release,
                                       (luaL_Reg[]){{NULL, NULL}}};

static bool option(lua_State *L, const char *name, bool dflt) {
    bool v = lua_getfield(L, 2, name) == LUA_TNIL ? dflt : lua_toboolean(L, -1);
    lua_pop(L, 1);
    return v;
}

/* options[name], a sequence of strings; the array lives as long as the value pushed. */
static const char **strings(lua_State *L, tide_lua *s, const char *name, int *n) {
    int type = lua_getfield(L, 2, name);
    *n = 0;
    if (type == LUA_TNIL) return NULL;
    if (type != LUA_TTABLE) tide_lua_error(L, s, "csv", "%s must be a list of strings", name);
    *n = (int)lua_rawlen(L, -1);
    int list = lua_gettop(L);
    const char **values = lua_newuserdatauv(L, (size_t)(*n + 1) * sizeof *values, 0);
    for (int i = 0; i < *n; i++) {
        if (lua_rawgeti(L, list, i + 1) != LUA_TSTRING) tide_lua_error(L, s, "csv", "%s must be strings", name);
        values[i] = lua_tostring(L, -1);
        lua_pop(L, 1);
    }
    return values;
}

static void take_options(lua_State *L, tide_lua *s, tide_csv_options *o) {
    *o = (tide_csv_options){.sep = ",",
                            .header = option(L, "header", true),
                            .keep_default_na = option(L, "keep_default_na", true),
                            .skip_initial_space = option(L, "skip_initial_space", false)};
    if (lua_getfield(L, 2, "sep") == LUA_TSTRING) o->sep = lua_tostring(L, -1);
    if (strlen(o->sep) != 1) tide_lua_error(L, s, "csv", "sep must be one character");
    if (lua_getfield(L, 2, "limit") != LUA_TNIL) {
        o->limit = luaL_checkinteger(L, -1);
        if (o->limit < 1) tide_lua_error(L, s, "csv", "limit must be a positive integer");
    }
    o->na_values = strings(L, s, "na_values", &o->n_na_values);
    o->columns = strings(L, s, "columns", &o->n_columns);
    o->typed = strings(L, s, "typed", &o->n_types); /* names, and beside them: */
    int n;
    const char **types = strings(L, s, "types", &n);
    uint8_t *kinds = lua_newuserdatauv(L, (size_t)o->n_types + 1, 0);
    for (int i = 0; i < o->n_types; i++)
        kinds[i] = !strcmp(types[i], "int64")     ? TIDE_I64
                   : !strcmp(types[i], "float64") ? TIDE_F64
                   : !strcmp(types[i], "bool")    ? TIDE_BOOL
                                                  : 0;
    o->types = kinds;
}

static tide_tensor *new_column(lua_State *L, tide_lua *s, handle **h, uint8_t dtype, int64_t rows) {
    *h = tide_lua_box(L, s);
    tide_meta m = {.shape = {rows}, .ndim = 1, .dtype = dtype};
    tide_tensor *t = tide_tensor_new(s->cx, &m);
    if (!t) tide_lua_raise(L, s);
    return t;
}

static void push_column(lua_State *L, tide_lua *s, const void *data, uint8_t dtype, int64_t rows) {
    handle *h;
    tide_tensor *t = new_column(L, s, &h, dtype, rows);
    if (rows) memcpy(tide_data(t), data, (size_t)rows * tide_dtype_size((tide_dtype)dtype));
    tide_lua_fill(s, h, t);
}

/* The column's own array becomes the tensor's. */
static void adopt_column(lua_State *L, tide_lua *s, tide_csv_column *c, int64_t rows) {
    handle *h = tide_lua_box(L, s);
    tide_meta m = {.shape = {rows}, .ndim = 1, .dtype = c->type};
    tide_tensor *t = tide_tensor_adopt(s->cx, &m, c->type == TIDE_I64 ? (void *)c->i : (void *)c->f,
                                       (size_t)c->capacity * sizeof(int64_t));
    if (!t) tide_lua_raise(L, s);
    c->i = NULL;
    c->f = NULL;
    tide_lua_fill(s, h, t);
}

/* Text as numbers, and the texts that they stand for in the field `levels` of the table on top. */
static void push_text(lua_State *L, tide_lua *s, csv_box *b, const tide_csv_column *c, int64_t rows) {
    handle *h;
    tide_tensor *t = new_column(L, s, &h, TIDE_I64, rows);
    tide_lua_fill(s, h, t);
    int64_t *codes = (int64_t *)(void *)tide_data(t);
    if (tide_words_code(s->cx, c->text, c->length, c->missing, rows, codes, &b->words)) tide_lua_raise(L, s);
    lua_createtable(L, b->words.n < INT32_MAX ? (int)b->words.n : 0, 0);
    for (int64_t i = 0; i < b->words.n; i++) {
        int64_t row = b->words.first[i];
        lua_pushlstring(L, c->text[row], c->length[row]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -3, "levels");
    tide_words_free(s->cx, &b->words);
}

/* Pushes {rows, {name, type, values[, levels][, missing]}...} and frees the table. */
static void push_csv(lua_State *L, tide_lua *s, csv_box *b) {
    const tide_csv *c = b->csv;
    lua_createtable(L, (int)c->ncolumns, 1);
    lua_pushinteger(L, c->rows);
    lua_setfield(L, -2, "rows");
    for (int i = 0; i < c->ncolumns; i++) {
        tide_csv_column *col = &c->column[i];
        lua_createtable(L, 0, 6);
        lua_pushlstring(L, col->name, col->name_length);
        lua_setfield(L, -2, "name");
        lua_pushstring(L, col->type ? tide_dtype_name((tide_dtype)col->type) : "string");
        lua_setfield(L, -2, "type");
        if (col->type == TIDE_BOOL)
            push_column(L, s, col->b, TIDE_BOOL, c->rows);
        else if (col->type)
            adopt_column(L, s, col, c->rows);
        else
            push_text(L, s, b, col, c->rows);
        lua_setfield(L, -2, "values");
        if (col->missing) {
            push_column(L, s, col->missing, TIDE_BOOL, c->rows);
            lua_setfield(L, -2, "missing");
        }
        lua_rawseti(L, -2, i + 1);
    }
    csv_box_clear(s->cx, b);
}

static int csv(lua_State *L) { /* _csv(path, options): the table's columns */
    tide_lua *s = tide_lua_enter(L);
    const char *path = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    tide_csv_options o;
    take_options(L, s, &o);
    csv_box *b = tide_lua_new(L, s, &csv_kind);
    tide_pace(s->cx); /* tables that are garbage: a loop that only reads has no operation that would ask */
    if (tide_csv_read(s->cx, path, &o, &b->csv)) return tide_lua_fail(L, s);
    push_csv(L, s, b);
    return 1;
}

static int csv_open(lua_State *L) { /* _csv_open(path, options): for _csv_next */
    tide_lua *s = tide_lua_enter(L);
    const char *path = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    tide_csv_options o;
    take_options(L, s, &o);
    csv_box *b = tide_lua_new(L, s, &csv_kind);
    lua_pushvalue(L, 2); /* its strings are looked at later */
    lua_setiuservalue(L, -2, 1);
    if (tide_csv_open(s->cx, path, &o, &b->stream)) return tide_lua_fail(L, s);
    return 1;
}

static int
csv_next(lua_State *L) { /* _csv_next(file, rows): columns; false at the end; or nil, message, code */
    tide_lua *s = tide_lua_enter(L);
    csv_box *b = tide_lua_object(L, 1, &csv_kind);
    int64_t rows = luaL_checkinteger(L, 2);
    tide_pace(s->cx);
    if (b->stream && rows > 0) {
        if (tide_csv_next(b->stream, rows, &b->csv)) return tide_lua_fail(L, s);
        if (b->csv) return push_csv(L, s, b), 1;
    }
    lua_pushboolean(L, 0);
    return 1;
}

/* ---- rows ---- */

/* Argument i, contiguous: what is made for that takes its place on the stack. */
static tide_tensor *packed(lua_State *L, tide_lua *s, int i) {
    tide_tensor *t = tide_lua_check(L, s, i, "keep");
    if (tide_sync(t)) tide_lua_raise(L, s);
    if (tide_is_contiguous(t)) return t;
    handle *h = tide_lua_box(L, s);
    t = tide_call1(s->cx, TIDE_OP_CLONE, &t, 1, NULL);
    if (!t) tide_lua_raise(L, s);
    tide_lua_fill(s, h, t);
    lua_replace(L, i);
    return t;
}

/* Without a branch on the mask, in which nobody sees an order. */
#define KEEP(T)                                                    \
    for (int64_t i = 0, k = 0; k < n; i++) {                       \
        ((T *)(void *)to)[k] = ((const T *)(const void *)from)[i]; \
        k += mask[i];                                              \
    }

static int keep(lua_State *L) { /* _keep(values, mask): the elements of a 1-d tensor where a bool one is true */
    tide_lua *s = tide_lua_enter(L);
    lua_settop(L, 2);
    tide_tensor *x = packed(L, s, 1), *m = packed(L, s, 2);
    int64_t rows = tide_numel(&m->meta), n = 0;
    if (m->meta.dtype != TIDE_BOOL || tide_numel(&x->meta) != rows)
        return tide_lua_error(L, s, "keep", "the mask must be bool, and as long as the values");
    const uint8_t *mask = (const uint8_t *)tide_data(m);
    for (int64_t i = 0; i < rows; i++) n += mask[i];
    handle *h;
    tide_tensor *y = new_column(L, s, &h, x->meta.dtype, n);
    const char *from = tide_data(x);
    char *to = tide_data(y);
    switch (tide_dtype_size((tide_dtype)x->meta.dtype)) {
    case 1: KEEP(uint8_t) break;
    case 2: KEEP(uint16_t) break;
    case 4: KEEP(uint32_t) break;
    default: KEEP(uint64_t) break;
    }
    tide_lua_fill(s, h, y);
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
                                   {"_csv_open", csv_open},
                                   {"_csv_next", csv_next},
                                   {"_keep", keep},
                                   {"_permutation", permutation},
                                   {"_draw_seed", draw_seed},
                                   {"_isatty", is_terminal},
                                   {NULL, NULL}});
}
