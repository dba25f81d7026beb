/* From the pickle's tree to tensors in storages. */
#include "io/pth.h"

static const char PICKLE[] = "/data.pkl";

/* The entry `archive/NAME`, where the pickle is `archive/data.pkl`. */
static const tide_zip_entry *part(const tide_zip *z, const tide_zip_entry *pickle, const char *name, size_t n) {
    char path[512]; /* a folder is called as the file was */
    size_t folder = pickle->name_length - strlen(PICKLE) + 1;
    if (folder + n > sizeof path) return NULL;
    memcpy(path, pickle->name, folder);
    memcpy(path + folder, name, n);
    return tide_zip_find(z, path, folder + n);
}

/* The only entry FOLDER/data.pkl; NULL: there is none, or several. */
static const tide_zip_entry *find_pickle(const tide_zip *z) {
    const tide_zip_entry *found = NULL;
    const size_t n = strlen(PICKLE);
    for (int64_t i = 0; i < z->n; i++) {
        const tide_zip_entry *e = &z->entry[i];
        if (e->name_length <= n || memcmp(e->name + e->name_length - n, PICKLE, n) ||
            memchr(e->name, '/', e->name_length - n))
            continue;
        if (found) return NULL;
        found = e;
    }
    return found;
}

bool tide_pth_is(const tide_zip *z) { return find_pickle(z); }

static tide_status malformed(const tide_pth *p, const char *what) {
    return tide_fail(p->zip.cx, TIDE_EFORMAT, "%s: no file of torch.save: %s", p->zip.path, what);
}

static int64_t item_size(uint8_t dtype) {
    switch (dtype) {
    case TIDE_F64:
    case TIDE_I64: return 8;
    case TIDE_F32:
    case TIDE_I32: return 4;
    case TIDE_F16:
    case TIDE_BF16: return 2;
    default: return 1;
    }
}

/* The place of a storage in p->storage; slot[i]: that of the archive's entry i, or -1. */
static tide_status find_storage(tide_pth *p, const tide_zip_entry *pickle, const tide_pickle_node *node,
                                int64_t *slot, int64_t *out) {
    char name[128] = "data/";
    if (node->n > 64) return malformed(p, "a storage has a long name");
    memcpy(name + 5, node->v.text, node->n);
    const tide_zip_entry *e = part(&p->zip, pickle, name, 5 + node->n);
    if (!e) return malformed(p, "a storage is missing");
    int64_t i = e - p->zip.entry, numel = p->pickle.node[node->first].v.i;
    if (slot[i] < 0) {
        if (numel < 0 || (uint64_t)numel > e->size || (uint64_t)(numel * item_size(node->dtype)) != e->size)
            return malformed(p, "a storage is of another size than the pickle says");
        if (tide_grow(p->zip.cx, (void **)&p->storage, &p->storage_room, p->nstorage + 1, sizeof *p->storage))
            return TIDE_EMEM;
        slot[i] = p->nstorage;
        p->storage[p->nstorage++] = (tide_pth_storage){.entry = e, .numel = numel, .dtype = node->dtype};
    }
    *out = slot[i];
    if (p->storage[*out].dtype != node->dtype || p->storage[*out].numel != numel)
        return malformed(p, "a storage has two sizes or dtypes");
    return TIDE_OK;
}

/* The whole numbers of a tuple; how many there are, or -1. */
static int read_sizes(const tide_pickle *t, const tide_pickle_node *tuple, int64_t *out) {
    int n = 0;
    if (tuple->type != PICKLE_TUPLE) return -1;
    for (int32_t c = tuple->first; c != PICKLE_NOTHING; c = t->cell[c].next, n++) {
        const tide_pickle_node *v = &t->node[t->cell[c].node];
        if (v->type != PICKLE_INT || v->v.i < 0) return -1;
        if (n < TIDE_MAXDIM) out[n] = v->v.i;
    }
    return n;
}

/* Whether all elements lie within numel. */
static bool within(const tide_pth_tensor *t, int64_t numel) {
    int64_t last = t->offset, span;
    bool empty = false;
    for (int d = 0; d < t->ndim; d++) empty = empty || t->shape[d] == 0;
    if (empty) return t->offset >= 0 && t->offset <= numel;
    for (int d = 0; d < t->ndim; d++)
        if (__builtin_mul_overflow(t->shape[d] - 1, t->stride[d], &span) ||
            __builtin_add_overflow(last, span, &last))
            return false;
    return t->offset >= 0 && last < numel;
}

static tide_status make_tensor(tide_pth *p, const tide_zip_entry *pickle, tide_pickle_node *node,
                               int64_t *slot) {
    const tide_pickle *t = &p->pickle;
    tide_pth_tensor *x = &p->tensor[p->ntensor];
    int64_t numel = 1;
    *x = (tide_pth_tensor){.offset = tide_pickle_child(t, node, 1)->v.i};
    tide_status e = find_storage(p, pickle, tide_pickle_child(t, node, 0), slot, &x->storage);
    if (e) return e;
    x->ndim = read_sizes(t, tide_pickle_child(t, node, 2), x->shape);
    if (x->ndim < 0 || read_sizes(t, tide_pickle_child(t, node, 3), x->stride) != x->ndim)
        return malformed(p, "a tensor's sizes or strides");
    if (x->ndim > TIDE_MAXDIM)
        return tide_fail(p->zip.cx, TIDE_EUNSUP, "%s: %d dims, which Tide does not have", p->zip.path, x->ndim);
    for (int d = 0; d < x->ndim; d++)
        if (__builtin_mul_overflow(numel, x->shape[d] ? x->shape[d] : 1, &numel) || numel > INT64_MAX / 8)
            return malformed(p, "a tensor's sizes are too large");
    if (!within(x, p->storage[x->storage].numel)) return malformed(p, "a tensor reaches out of its storage");
    p->storage[x->storage].users++;
    node->v.i = p->ntensor++;
    return TIDE_OK;
}

/* Only what hangs on the root counts: marks it, and makes its tensors. */
static tide_status walk(tide_pth *p, const tide_zip_entry *pickle, int32_t *queue, int64_t *slot) {
    tide_pickle *t = &p->pickle;
    int64_t n = 0;
    tide_status e = TIDE_OK;
    queue[n++] = t->root;
    t->node[t->root].reached = true;
    for (int64_t i = 0; i < n && !e; i++) {
        tide_pickle_node *node = &t->node[queue[i]];
        if (node->type == PICKLE_TENSOR) e = make_tensor(p, pickle, node, slot);
        if (node->type == PICKLE_STORAGE || node->type == PICKLE_GLOBAL)
            e = tide_fail(p->zip.cx, TIDE_EUNSUP,
                          "%s: refused: it holds a %s by itself, which is no plain data", p->zip.path,
                          node->type == PICKLE_STORAGE ? "storage" : "class");
        if (node->type < PICKLE_TUPLE || node->type > PICKLE_DICT) continue;
        for (int32_t c = node->first; c != PICKLE_NOTHING; c = t->cell[c].next)
            if (!t->node[t->cell[c].node].reached) {
                t->node[t->cell[c].node].reached = true;
                queue[n++] = t->cell[c].node;
            }
    }
    return e;
}

static tide_status make_tensors(tide_pth *p, const tide_zip_entry *pickle) {
    tide_context *cx = p->zip.cx;
    int64_t nnode = p->pickle.nnode, count = 0;
    for (int64_t i = 0; i < nnode; i++) count += p->pickle.node[i].type == PICKLE_TENSOR;
    size_t room = (size_t)p->zip.n * sizeof(int64_t);
    tide_status e = tide_grow(cx, (void **)&p->tensor, &p->tensor_room, count, sizeof *p->tensor);
    int64_t *slot = e ? NULL : tide_alloc(cx, room);
    int32_t *queue = slot ? tide_alloc(cx, (size_t)nnode * sizeof *queue) : NULL;
    if (queue) {
        for (int64_t i = 0; i < p->zip.n; i++) slot[i] = -1;
        e = walk(p, pickle, queue, slot);
    } else {
        e = TIDE_EMEM;
    }
    tide_release(cx, queue, (size_t)nnode * sizeof *queue);
    tide_release(cx, slot, room);
    return e;
}

static tide_status understand(tide_pth *p) {
    const tide_zip_entry *pickle = find_pickle(&p->zip);
    if (!pickle) return malformed(p, "it has no data.pkl");
    if (pickle->deflated) /* torch.save never does; a small file could become a very large one */
        return tide_fail(p->zip.cx, TIDE_EUNSUP, "%s: its data.pkl is compressed", p->zip.path);
    const tide_zip_entry *order = part(&p->zip, pickle, "byteorder", 9);
    if (order && (order->deflated || order->size != 6 || memcmp(order->data, "little", 6)))
        return tide_fail(p->zip.cx, TIDE_EUNSUP, "%s: its numbers are not little-endian", p->zip.path);
    tide_status e = tide_zip_read(&p->zip, pickle, &p->text);
    if (!e) e = tide_pickle_read(p->zip.cx, p->zip.path, p->text.data, p->text.size, &p->pickle);
    return e ? e : make_tensors(p, pickle);
}

tide_status tide_pth_open(tide_zip *zip, tide_pth *out) {
    *out = (tide_pth){.zip = *zip};
    memset(zip, 0, sizeof *zip);
    tide_status e = understand(out);
    if (e) tide_pth_close(out);
    return e;
}

void tide_pth_close(tide_pth *p) {
    tide_context *cx = p->zip.cx;
    tide_release(cx, p->storage, (size_t)p->storage_room * sizeof *p->storage);
    tide_release(cx, p->tensor, (size_t)p->tensor_room * sizeof *p->tensor);
    p->storage = NULL;
    p->tensor = NULL;
    tide_pickle_free(cx, &p->pickle);
    tide_zip_free(&p->zip, &p->text);
    tide_zip_close(&p->zip);
}
