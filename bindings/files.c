/* Files of tensors, one function a format; lua/tide/files.lua chooses among them. */
#include "bindings/lua_tide.h"
#include "io/gguf.h"
#include "io/npy.h"
#include "io/pth.h"
#include "io/safetensors.h"
#include "io/zip.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

/* A mapped file shared by the tensors that lie in it. */
typedef struct {
    tide_map map;
    atomic_long refs;
} shared_map;

static void unmap(void *arg) {
    shared_map *m = arg;
    if (atomic_fetch_sub(&m->refs, 1) > 1) return;
    munmap(m->map.data, m->map.size);
    free(m);
}

/* Something open that must be closed, also when Lua raises: a file being read, or a copy being written. */
typedef struct opened {
    tide_lua *s;
    void (*close)(struct opened *o); /* NULL: closed */
    shared_map *shared;              /* its tensors keep it as well */
    union {
        tide_st_file st;
        tide_map map;
        tide_zip zip;
        tide_pth pth;
        tide_gguf gguf;
        tide_zip_writer writer;
        tide_tensor *tensor;
    } u;
} opened;

static void done(opened *o) {
    if (o->close) o->close(o);
    o->close = NULL;
}
static void opened_release(tide_lua *s, void *p) {
    opened *o = p;
    (void)s;
    done(o);
    if (o->shared) unmap(o->shared);
    o->shared = NULL;
}
static int opened_close(lua_State *L);
static const tide_lua_kind opened_kind = {"tide.OpenFile", sizeof(opened), opened_release,
                                          (luaL_Reg[]){{"__close", opened_close}, {NULL, NULL}}};
static int opened_close(lua_State *L) {
    opened_release(STATE(L), tide_lua_object(L, 1, &opened_kind));
    return 0;
}
static opened *push_opened(lua_State *L, tide_lua *s) {
    opened *o = tide_lua_new(L, s, &opened_kind);
    o->s = s;
    lua_toclose(L, -1);
    return o;
}
static void close_st(opened *o) { tide_st_close(&o->u.st); }
static void close_map(opened *o) { tide_map_close(o->s->cx, &o->u.map); }
static void close_zip(opened *o) { tide_zip_close(&o->u.zip); }
static void close_pth(opened *o) { tide_pth_close(&o->u.pth); }
static void close_gguf(opened *o) { tide_gguf_close(&o->u.gguf); }
static void close_writer(opened *o) {
    if (!o->u.writer.w.error)
        o->u.writer.w.error = TIDE_EARG; /* left half way: nothing replaces the old file */
    tide_zip_finish(&o->u.writer);
}
static void close_tensor(opened *o) {
    tide_free(o->u.tensor);
    o->u.tensor = NULL;
}

/* A row-major copy of t, or t itself, in `o`; NULL: an error is pending. */
static tide_tensor *contiguous(opened *o, tide_tensor *t) {
    close_tensor(o);
    o->close = close_tensor;
    o->u.tensor = tide_sync(t)            ? NULL
                  : tide_is_contiguous(t) ? tide_keep(t)
                                          : tide_call1(o->s->cx, TIDE_OP_CLONE, &t, 1, NULL);
    return o->u.tensor;
}
static size_t bytes_of(const tide_tensor *t) {
    return (size_t)tide_numel(&t->meta) * tide_dtype_size((tide_dtype)t->meta.dtype);
}
static int push_written(lua_State *L, const tide_writer *w) {
    lua_pushinteger(L, (lua_Integer)w->size);
    lua_pushinteger(L, w->crc32c);
    return 2;
}

/* ---- safetensors ---- */

typedef struct {
    opened *copy;
    tide_tensor **tensor; /* beside the entries */
    const tide_st_entry *entry;
} st_source;

static const char *st_bytes(void *arg, const tide_st_entry *e) {
    st_source *source = arg;
    tide_tensor *c = contiguous(source->copy, source->tensor[e - source->entry]);
    return c ? tide_data(c) : NULL;
}

/* _save_safetensors(path, {name = tensor}[, metadata]): size, crc32c. Tensors are copied one at a time if at
 * all. */
static int save_safetensors(lua_State *L) {
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
    int pairs = 0, at = 0;
    if (!lua_isnil(L, 3)) {
        luaL_checktype(L, 3, LUA_TTABLE);
        lua_pushnil(L);
        while (lua_next(L, 3)) {
            if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
                return tide_lua_error(L, s, "save", "metadata must be strings");
            pairs++;
            lua_pop(L, 1);
        }
    }
    tide_st_entry *entry = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *entry, 0);
    tide_tensor **tensor = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *tensor, 0);
    tide_st_text *meta = lua_newuserdatauv(L, (size_t)(2 * pairs + 1) * sizeof *meta, 0);
    lua_pushnil(L);
    while (lua_next(L, 2)) {
        tide_tensor *t = tensor[k] = tide_lua_test(L, s, -1);
        tide_st_entry *e = &entry[k++];
        memset(e, 0, sizeof *e);
        e->name = lua_tolstring(L, -2, &e->name_length);
        e->dtype = t->meta.dtype;
        e->ndim = t->meta.ndim;
        memcpy(e->shape, t->meta.shape, sizeof e->shape);
        e->nbytes = bytes_of(t);
        lua_pop(L, 1);
    }
    if (pairs) {
        lua_pushnil(L);
        while (lua_next(L, 3)) {
            for (int i = -2; i < 0; i++, at++) meta[at].p = lua_tolstring(L, i, &meta[at].n);
            lua_pop(L, 1);
        }
    }
    st_source source = {push_opened(L, s), tensor, entry};
    tide_writer w;
    tide_status e = tide_st_save(s->cx, path, entry, n, meta, pairs, &(tide_st_source){st_bytes, &source}, &w);
    if (e) return tide_lua_fail(L, s);
    return push_written(L, &w);
}

/* _load_safetensors(path, mmap): {name = tensor}, {metadata} */
static int load_safetensors(lua_State *L) {
    tide_lua *s = tide_lua_enter(L);
    const char *path = luaL_checkstring(L, 1);
    opened *o = push_opened(L, s);
    if (tide_st_open(s->cx, path, &o->u.st)) return tide_lua_fail(L, s);
    o->close = close_st;
    tide_st_file *f = &o->u.st;
    for (int64_t i = 0; i < f->n; i++)
        if (!f->entry[i].dtype) {
            tide_fail(s->cx, TIDE_EUNSUP, "%s: '%s' has dtype %s and %d dims, which Tide does not have", path,
                      f->entry[i].name, f->entry[i].dtype_name, f->entry[i].ndim);
            return tide_lua_fail(L, s);
        }
    bool share = lua_toboolean(L, 2) && f->map.mapped;
    if (share) {
        o->shared = malloc(sizeof *o->shared);
        if (!o->shared) return luaL_error(L, "out of memory");
        o->shared->map = f->map;
        atomic_init(&o->shared->refs, 1);
        f->map = (tide_map){0}; /* its last user closes it */
    }
    lua_createtable(L, 0, f->n < 65536 ? (int)f->n : 65536);
    for (int64_t i = 0; i < f->n; i++) {
        const tide_st_entry *e = &f->entry[i];
        tide_meta m = {.ndim = e->ndim, .dtype = e->dtype};
        memcpy(m.shape, e->shape, sizeof m.shape);
        lua_pushlstring(L, e->name, e->name_length);
        handle *h = tide_lua_box(L, s);
        tide_tensor *t;
        if (share && e->nbytes && (uintptr_t)e->data % tide_dtype_size((tide_dtype)e->dtype) == 0) {
            atomic_fetch_add(&o->shared->refs, 1);
            t = tide_wrap(s->cx, &m, (char *)e->data, unmap, o->shared);
            if (!t) unmap(o->shared);
        } else if ((t = tide_tensor_new(s->cx, &m)) && e->nbytes) {
            memcpy(tide_data(t), e->data, e->nbytes);
        }
        if (!t) return tide_lua_raise(L, s);
        tide_lua_fill(s, h, t);
        lua_rawset(L, -3);
    }
    lua_newtable(L);
    for (const tide_json *m = f->metadata ? f->metadata->child : NULL; m; m = m->next) {
        lua_pushlstring(L, m->key, m->key_length);
        lua_pushlstring(L, m->string, m->length);
        lua_rawset(L, -3);
    }
    return 2;
}

/* ---- npy and npz ---- */

/* Pushes the tensor of an npy file's bytes; false: an I/O error is pending. */
static bool push_npy(lua_State *L, tide_lua *s, const char *name, const char *bytes, size_t n) {
    tide_npy a;
    if (tide_npy_read(s->cx, name, bytes, n, &a)) return false;
    tide_meta m = {.ndim = a.ndim, .dtype = a.dtype};
    memcpy(m.shape, a.shape, sizeof m.shape);
    handle *h = tide_lua_box(L, s);
    tide_tensor *t = tide_tensor_new(s->cx, &m);
    if (!t) return false;
    tide_npy_copy(&a, tide_data(t));
    tide_lua_fill(s, h, t);
    return true;
}

static int load_npy(lua_State *L) { /* _load_npy(path): tensor */
    tide_lua *s = tide_lua_enter(L);
    const char *path = luaL_checkstring(L, 1);
    opened *o = push_opened(L, s);
    if (tide_map_open(s->cx, path, &o->u.map)) return tide_lua_fail(L, s);
    o->close = close_map;
    if (!push_npy(L, s, path, o->u.map.data, o->u.map.size)) return tide_lua_fail(L, s);
    return 1;
}

static tide_status npy_header(tide_lua *s, const char *path, const tide_meta *m, char *head, size_t *n) {
    *n = tide_npy_header(m->dtype, m->ndim, m->shape, head);
    return *n ? TIDE_OK
              : tide_fail(s->cx, TIDE_EUNSUP, "%s: npy has no %s; convert the tensor, to float32 for one", path,
                          tide_dtype_name((tide_dtype)m->dtype));
}

static int save_npy(lua_State *L) { /* _save_npy(path, tensor): size, crc32c */
    tide_lua *s = tide_lua_enter(L);
    const char *path = luaL_checkstring(L, 1);
    tide_tensor *t = tide_lua_check(L, s, 2, "save");
    char head[TIDE_NPY_HEADER];
    size_t n;
    tide_writer w;
    opened *o = push_opened(L, s);
    tide_tensor *c = contiguous(o, t);
    if (!c) return tide_lua_raise(L, s);
    if (npy_header(s, path, &c->meta, head, &n)) return tide_lua_fail(L, s);
    tide_writer_open(s->cx, &w, path);
    tide_writer_put(&w, head, n);
    tide_writer_put(&w, tide_data(c), bytes_of(c));
    if (tide_writer_close(&w)) return tide_lua_fail(L, s);
    return push_written(L, &w);
}

/* A small file could become a very large one: no more is unpacked than the array that it begins with takes. */
static tide_status check_deflated(tide_context *cx, const char *name, const tide_zip *zip,
                                  const tide_zip_entry *e) {
    char head[16384]; /* NumPy takes headers of 10,000 bytes */
    size_t n = e->size < sizeof head ? (size_t)e->size : sizeof head, size = 0;
    tide_status code = tide_inflate(zip, e, head, n);
    if (!code) code = tide_npy_size(cx, name, head, n, &size);
    if (!code && e->size > size)
        code = tide_fail(cx, TIDE_EFORMAT, "%s: %llu bytes follow the array", name,
                         (unsigned long long)(e->size - size));
    return code;
}

static int load_npz(lua_State *L, tide_lua *s, const char *path, opened *o) {
    opened *b = push_opened(L, s);
    lua_newtable(L);
    for (int64_t i = 0; i < o->u.zip.n; i++) {
        const tide_zip_entry *e = &o->u.zip.entry[i];
        size_t n = e->name_length;
        tide_zip_bytes bytes;
        if (n < 4 || memcmp(e->name + n - 4, ".npy", 4)) {
            tide_fail(s->cx, TIDE_EFORMAT, "%s: '%.*s' is no npy array", path, (int)n, e->name);
            return tide_lua_fail(L, s);
        }
        lua_pushlstring(L, e->name, n - 4);
        lua_pushfstring(L, "%s: %s", path, lua_tostring(L, -1));
        if (e->deflated && check_deflated(s->cx, lua_tostring(L, -1), &o->u.zip, e)) return tide_lua_fail(L, s);
        if (tide_zip_read(&o->u.zip, e, &bytes)) return tide_lua_fail(L, s);
        b->u.map =
            (tide_map){.data = bytes.own, .size = bytes.size}; /* unpacked bytes are a block of the context */
        b->close = close_map;
        if (!push_npy(L, s, lua_tostring(L, -1), bytes.data, bytes.size)) return tide_lua_fail(L, s);
        done(b);
        lua_remove(L, -2);
        lua_rawset(L, -3);
    }
    return 1;
}

/* ---- pth ---- */

/* Pushes a tensor over the bytes of a storage, in one dim; false: an error is pending. */
static bool push_storage(lua_State *L, tide_lua *s, tide_pth *p, const tide_pth_storage *storage) {
    tide_meta m = {.ndim = 1, .dtype = storage->dtype, .shape = {storage->numel}};
    tide_zip_bytes b;
    handle *h = tide_lua_box(L, s);
    if (tide_zip_read(&p->zip, storage->entry, &b)) return false;
    tide_tensor *t = tide_tensor_new(s->cx, &m);
    char *to = t ? tide_data(t) : NULL;
    if (t && b.size) memcpy(to, b.data, b.size);
    if (t && m.dtype == TIDE_BOOL)
        for (size_t i = 0; i < b.size; i++) to[i] = to[i] != 0;
    tide_zip_free(&p->zip, &b);
    if (t) tide_lua_fill(s, h, t);
    return t;
}

/* Pushes the k-th tensor. Storages are kept in the table at `storages`: tensors that share one still do. */
static bool push_pth_tensor(lua_State *L, tide_lua *s, tide_pth *p, int64_t k, int storages) {
    const tide_pth_tensor *x = &p->tensor[k];
    const tide_pth_storage *storage = &p->storage[x->storage];
    tide_meta m = {.ndim = x->ndim, .dtype = storage->dtype};
    memcpy(m.shape, x->shape, sizeof m.shape);
    if (lua_rawgeti(L, storages, x->storage + 1) == LUA_TNIL) {
        lua_pop(L, 1);
        if (!push_storage(L, s, p, storage)) return false;
        lua_pushvalue(L, -1);
        lua_rawseti(L, storages, x->storage + 1);
    }
    tide_tensor *base = tide_lua_test(L, s, -1);
    handle *h = tide_lua_box(L, s);
    tide_tensor *t = tide_tensor_view(base, &m, x->stride, x->offset), *own = t;
    if (t && storage->users == 1 && tide_numel(&m) < storage->numel) /* a part of a storage: let the rest go */
        own = tide_call1(s->cx, TIDE_OP_CLONE, &t, 1, NULL);
    if (own != t) tide_free(t);
    if (!own) return false;
    tide_lua_fill(s, h, own);
    lua_remove(L, -2);
    return true;
}

/* Pushes the value of a node; tables and tensors are in the table at `made`. */
static void push_node(lua_State *L, const tide_pickle *t, int32_t i, int made) {
    const tide_pickle_node *v = &t->node[i];
    switch (v->type) {
    case PICKLE_FALSE:
    case PICKLE_TRUE: lua_pushboolean(L, v->type == PICKLE_TRUE); return;
    case PICKLE_INT: lua_pushinteger(L, v->v.i); return;
    case PICKLE_FLOAT: lua_pushnumber(L, v->v.f); return;
    case PICKLE_TEXT: lua_pushlstring(L, v->v.text, v->n); return;
    case PICKLE_NONE: lua_pushnil(L); return;
    default: lua_rawgeti(L, made, (lua_Integer)i + 1);
    }
}

/* The children of a list, tuple or dictionary go into the table on top. */
static void fill_table(lua_State *L, const tide_pickle *t, const tide_pickle_node *of, int made) {
    lua_Integer place = 0;
    for (int32_t c = of->first; c != PICKLE_NOTHING; c = t->cell[c].next) {
        if (of->type == PICKLE_DICT) {
            push_node(L, t, t->cell[c].node, made);
            c = t->cell[c].next;
        } else {
            lua_pushinteger(L, ++place);
        }
        push_node(L, t, t->cell[c].node, made);
        lua_rawset(L, -3);
    }
}

static int load_pth(lua_State *L, tide_lua *s, opened *o) {
    tide_zip zip = o->u.zip;
    tide_pth *p = &o->u.pth;
    const tide_pickle *t = &p->pickle;
    o->close = NULL;
    if (tide_pth_open(&zip, p)) return tide_lua_fail(L, s);
    o->close = close_pth;
    lua_newtable(L);
    lua_newtable(L);
    int storages = lua_gettop(L) - 1, made = storages + 1;
    for (int64_t i = 0; i < t->nnode; i++) {
        const tide_pickle_node *v = &t->node[i];
        if (!v->reached || v->type < PICKLE_TUPLE) continue;
        if (v->type != PICKLE_TENSOR)
            lua_newtable(L);
        else if (!push_pth_tensor(L, s, p, v->v.i, storages))
            return tide_lua_fail(L, s);
        lua_rawseti(L, made, i + 1);
    }
    for (int64_t i = 0; i < t->nnode; i++) {
        const tide_pickle_node *v = &t->node[i];
        if (!v->reached || v->type < PICKLE_TUPLE || v->type > PICKLE_DICT) continue;
        lua_rawgeti(L, made, i + 1);
        fill_table(L, t, v, made);
        lua_pop(L, 1);
    }
    push_node(L, t, t->root, made);
    return 1;
}

/* _load_zip(path): of an npz {name = tensor}, the names without ".npy"; of a pth what was saved */
static int load_zip(lua_State *L) {
    tide_lua *s = tide_lua_enter(L);
    const char *path = luaL_checkstring(L, 1);
    opened *o = push_opened(L, s);
    if (tide_zip_open(s->cx, path, &o->u.zip)) return tide_lua_fail(L, s);
    o->close = close_zip;
    return tide_pth_is(&o->u.zip) ? load_pth(L, s, o) : load_npz(L, s, path, o);
}

/* _save_npz(path, {names}, {tensors}, compressed): size, crc32c */
static int save_npz(lua_State *L) {
    tide_lua *s = tide_lua_enter(L);
    const char *path = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    luaL_checktype(L, 3, LUA_TTABLE);
    opened *o = push_opened(L, s), *copy = push_opened(L, s);
    tide_zip_writer *z = &o->u.writer;
    o->close = close_writer;
    tide_zip_create(s->cx, z, path, lua_toboolean(L, 4));
    for (int64_t i = 1; !z->w.error && lua_rawgeti(L, 2, i) == LUA_TSTRING; i++) {
        lua_pushfstring(L, "%s.npy", lua_tostring(L, -1));
        lua_rawgeti(L, 3, i);
        tide_tensor *c = contiguous(copy, tide_lua_check(L, s, -1, "save"));
        char head[TIDE_NPY_HEADER];
        size_t n;
        if (!c || npy_header(s, path, &c->meta, head, &n)) return tide_lua_fail(L, s);
        tide_zip_put(z, lua_tostring(L, -2), head, n, tide_data(c), bytes_of(c));
        lua_pop(L, 3);
    }
    o->close = NULL;
    if (tide_zip_finish(z)) return tide_lua_fail(L, s);
    return push_written(L, &z->w);
}

/* ---- gguf ---- */

static void push_value(lua_State *L, const tide_gguf_value *v, const char *end) { /* arrays: not deep */
    luaL_checkstack(L, 4, "metadata");
    if (v->type == GGUF_STRING) {
        lua_pushlstring(L, v->text, v->n);
    } else if (v->type == GGUF_BOOL) {
        lua_pushboolean(L, v->i != 0);
    } else if (v->is_float) {
        lua_pushnumber(L, v->f);
    } else if (v->type != GGUF_ARRAY) {
        lua_pushinteger(L, v->i);
    } else {
        const char *p = v->text;
        tide_gguf_value item;
        lua_newtable(L);
        for (uint64_t i = 1; i <= v->n && tide_gguf_next(&p, end, v->item, &item); i++) {
            push_value(L, &item, end);
            lua_rawseti(L, -2, (lua_Integer)i);
        }
    }
}

/* _load_gguf(path): {name = tensor}, {metadata} */
static int load_gguf(lua_State *L) {
    tide_lua *s = tide_lua_enter(L);
    const char *path = luaL_checkstring(L, 1);
    opened *o = push_opened(L, s);
    tide_gguf *g = &o->u.gguf;
    if (tide_gguf_open(s->cx, path, g)) return tide_lua_fail(L, s);
    o->close = close_gguf;
    lua_newtable(L);
    for (int64_t i = 0; i < g->ntensor; i++) {
        const tide_gguf_tensor *e = &g->tensor[i];
        tide_meta m = {.ndim = e->ndim, .dtype = e->dtype};
        memcpy(m.shape, e->shape, sizeof m.shape);
        lua_pushlstring(L, e->name, e->name_length);
        handle *h = tide_lua_box(L, s);
        tide_tensor *t = tide_tensor_new(s->cx, &m);
        if (!t) return tide_lua_fail(L, s);
        tide_gguf_copy(e, tide_data(t));
        tide_lua_fill(s, h, t);
        lua_rawset(L, -3);
    }
    lua_newtable(L);
    for (int64_t i = 0; i < g->npair; i++) {
        lua_pushlstring(L, g->pair[i].name, g->pair[i].name_length);
        push_value(L, &g->pair[i].value, g->map.data + g->map.size);
        lua_rawset(L, -3);
    }
    return 2;
}

void tide_lua_open_files(lua_State *L, tide_lua *s) {
    tide_lua_register(L, s,
                      (luaL_Reg[]){{"_save_safetensors", save_safetensors},
                                   {"_load_safetensors", load_safetensors},
                                   {"_save_npy", save_npy},
                                   {"_load_npy", load_npy},
                                   {"_save_npz", save_npz},
                                   {"_load_zip", load_zip},
                                   {"_load_gguf", load_gguf},
                                   {NULL, NULL}});
}
