/* Storages and tensors: references, views, scopes, and the count of bytes that only Lua handles hold. */
#include "tensor/tensor.h"
#include <stdio.h>

#define MIB (1024.0 * 1024.0)

static void closing(tide_context *cx) {
    tide_tensors *ts = cx->tensors;
    for (tide_storage *s = ts->storages; s; s = s->next) s->home = NULL;
    tide_release(cx, ts->owned, (size_t)ts->cowned * sizeof *ts->owned);
    tide_release(cx, ts->scope, (size_t)ts->cscope * sizeof *ts->scope);
    tide_release(cx, ts, sizeof *ts);
    cx->tensors = NULL;
}

static bool in_use(const tide_context *cx) { return cx->tensors->live > 0; }

tide_status tide_tensors_open(tide_context *cx) {
    if (cx->tensors) return TIDE_OK;
    cx->tensors = tide_alloc0(cx, sizeof *cx->tensors);
    if (!cx->tensors) return TIDE_EMEM;
    cx->tensors->idle_limit = 16u << 20;
    cx->closing[cx->nclosing++] = closing;
    cx->nlasting = cx->nclosing;
    cx->in_use = in_use;
    cx->holders = tide_holders_text;
    return TIDE_OK;
}

/* ---- storage ---- */

/* With what surrounds the data: scripts leave many small tensors behind. */
static void idle(tide_storage *s, int sign) {
    if (s->home) s->home->tensors->idle += (uint64_t)sign * (s->nbytes + sizeof *s + sizeof(tide_tensor));
}

/* From here on any thread may hold it: no context counts it any more. */
static void leave_home(tide_storage *s) {
    tide_context *cx = s->home;
    if (!cx) return;
    if (s->pins == 0) idle(s, -1);
    if (s->next) s->next->prev = s->prev;
    if (s->prev)
        s->prev->next = s->next;
    else
        cx->tensors->storages = s->next;
    s->home = NULL;
}

/* In zeroed memory. */
static void enlist(tide_context *cx, tide_storage *s, void *data, size_t nbytes) {
    atomic_store_explicit(&s->refs, 1, memory_order_relaxed);
    s->heap = cx->heap;
    s->home = cx;
    s->data = data;
    s->nbytes = nbytes;
    s->site = cx->site;
    s->next = cx->tensors->storages;
    if (s->next) s->next->prev = s;
    cx->tensors->storages = s;
}

static tide_storage *storage(tide_context *cx, void *data, size_t nbytes) {
    tide_storage *s = tide_alloc0(cx, sizeof *s);
    if (!s) return NULL;
    enlist(cx, s, data, nbytes);
    idle(s, 1); /* no pins yet */
    return s;
}

/* A tensor with a storage of its own is one block, which goes with the storage; few data follow in it. Where
 * the tensor comes to have another storage, it holds a reference to its own one still. */
typedef struct {
    tide_tensor tensor;
    tide_storage storage;
} whole;
enum { INNER = (sizeof(whole) + TIDE_ALIGN - 1) / TIDE_ALIGN * TIDE_ALIGN, FEW_BYTES = 512 };

static inline size_t whole_size(size_t nbytes, bool apart) { return apart ? sizeof(whole) : INNER + nbytes; }

static inline tide_storage *own_storage(tide_tensor *t) { return t->whole ? &((whole *)t)->storage : NULL; }

tide_storage *tide_storage_new(tide_context *cx, size_t nbytes) {
    void *data = tide_alloc(cx, nbytes);
    tide_storage *s = data ? storage(cx, data, nbytes) : NULL;
    if (!s) {
        tide_release(cx, data, nbytes);
        return NULL;
    }
    s->owned = true;
    return s;
}

tide_storage *tide_storage_wrap(tide_context *cx, void *data, size_t nbytes, void (*release)(void *),
                                void *arg) {
    tide_storage *s = storage(cx, data, nbytes);
    if (!s) return NULL;
    s->release = release;
    s->arg = arg;
    return s;
}

/* By one thread alone while it has a home. Gives what it was. */
static inline int64_t count(tide_storage *s, int64_t by) {
    if (!s->home) return atomic_fetch_add_explicit(&s->refs, by, memory_order_acq_rel);
    int64_t was = atomic_load_explicit(&s->refs, memory_order_relaxed);
    atomic_store_explicit(&s->refs, was + by, memory_order_relaxed);
    return was;
}

void tide_storage_keep(tide_storage *s) { count(s, 1); }

void tide_storage_free(tide_context *cx, tide_storage *s) {
    if (!s || count(s, -1) > 1) return;
    leave_home(s);
    if (s->owned) tide_heap_release(s->heap, cx, s->data, s->nbytes);
    if (s->release) s->release(s->arg);
    if (s->inner)
        tide_heap_release(s->heap, cx, (char *)s - offsetof(whole, storage), whole_size(s->nbytes, s->owned));
    else
        tide_heap_release(s->heap, cx, s, sizeof *s);
}

void tide_storage_pin(tide_storage *s) {
    if (s && s->home && s->pins++ == 0) idle(s, -1);
}

void tide_storage_unpin(tide_storage *s) {
    if (s && s->home && --s->pins == 0) idle(s, 1);
}

/* ---- tensor ---- */

/* Counts of elements, strides and bytes can be computed without a thought of overflow, also of expanded views
 * and beside dims of size 0. */
static tide_status check_size(tide_context *cx, const tide_meta *m) {
    if (m->ndim > TIDE_MAXDIM)
        return tide_fail(cx, TIDE_EARG, "a tensor has at most %d dims, not %d", TIDE_MAXDIM, m->ndim);
    int64_t n = 1;
    for (int d = 0; d < m->ndim; d++)
        if (m->shape[d] < 0 || __builtin_mul_overflow(n, m->shape[d] ? m->shape[d] : 1, &n) ||
            n > INT64_MAX / 16) {
            char text[TIDE_SHAPE_TEXT];
            return tide_fail(cx, TIDE_EARG, "shape %s is negative or too large", tide_shape_text(m, text));
        }
    return TIDE_OK;
}

static inline void describe(tide_context *cx, tide_tensor *t, const tide_meta *m) {
    t->meta = *m;
    t->cx = cx;
    t->refs = t->pins = 1;
    t->grad_absent = true;
    tide_contiguous_strides(m, t->stride);
    cx->tensors->live++;
}

tide_tensor *tide_tensor_struct(tide_context *cx, const tide_meta *m) {
    tide_tensor *t = check_size(cx, m) ? NULL : tide_alloc0(cx, sizeof *t);
    if (t) describe(cx, t, m);
    return t;
}

/* data NULL: uninitialised ones. apart: they are a block of their own. */
static tide_tensor *tensor_whole(tide_context *cx, const tide_meta *m, void *data, size_t nbytes, bool apart) {
    whole *w = tide_alloc(cx, whole_size(nbytes, apart));
    if (!w) return NULL;
    memset(w, 0, sizeof *w);
    if (!apart)
        data = (char *)w + INNER;
    else if (!data && !(data = tide_alloc(cx, nbytes)))
        return tide_release(cx, w, sizeof *w), NULL;
    describe(cx, &w->tensor, m);
    enlist(cx, &w->storage, data, nbytes);
    w->storage.inner = true;
    w->storage.owned = apart;
    w->storage.pins = 1;
    w->tensor.storage = &w->storage;
    w->tensor.whole = true;
    return &w->tensor;
}

tide_tensor *tide_tensor_new(tide_context *cx, const tide_meta *m) {
    if (check_size(cx, m)) return NULL;
    size_t nbytes = (size_t)tide_numel(m) * tide_dtype_size((tide_dtype)m->dtype);
    return tensor_whole(cx, m, NULL, nbytes, nbytes > FEW_BYTES);
}

tide_tensor *tide_tensor_adopt(tide_context *cx, const tide_meta *m, void *data, size_t nbytes) {
    return check_size(cx, m) ? NULL : tensor_whole(cx, m, data, nbytes, true);
}

tide_tensor *tide_tensor_view(tide_tensor *of, const tide_meta *m, const int64_t *stride, int64_t offset) {
    tide_tensor *t = tide_tensor_struct(of->cx, m);
    if (!t) return NULL;
    memcpy(t->stride, stride, sizeof t->stride);
    t->offset = offset;
    t->flags = TIDE_IS_VIEW;
    t->storage = of->storage;
    if (of->offset == offset && tide_same_meta(&of->meta, m) &&
        !memcmp(of->stride, stride, (size_t)m->ndim * sizeof *stride))
        t->epoch = of->epoch, t->value = of->value; /* the same value of a step */
    if (of->storage) {
        tide_storage_keep(of->storage);
        tide_storage_pin(of->storage);
        t->view_version = of->storage->version;
    }
    return t;
}

void tide_tensor_give(tide_tensor *t, tide_storage *s) {
    tide_storage *was = t->storage, *own = own_storage(t);
    if (was == s) return;
    if (s != own) tide_storage_keep(s);
    tide_storage_unpin(was);
    if (was != own) tide_storage_free(t->cx, was);
    t->storage = s;
    tide_storage_pin(s);
}

void tide_tensor_swap(tide_tensor *a, tide_tensor *b) {
    const tide_tensor was[2] = {*a, *b};
    tide_tensor *const pair[2] = {a, b};
    for (int i = 0; i < 2; i++) {
        tide_tensor *t = pair[i];
        *t = was[!i];
        t->refs = was[i].refs, t->pins = was[i].pins, t->whole = was[i].whole;
        tide_storage *own = own_storage(t);
        bool had = was[i].storage == own, has = t->storage == own;
        if (own && had && !has) tide_storage_keep(own);
        if (own && has && !had) tide_storage_free(t->cx, own);
    }
}

static void drop(tide_tensor *t) {
    tide_context *cx = t->cx;
    if (t->epoch && t->epoch == cx->tensors->epoch && cx->tensors->gone) cx->tensors->gone(cx, t);
    if (cx->tensors->dropped) cx->tensors->dropped(cx, t);
    tide_storage *s = t->storage, *own = own_storage(t);
    cx->tensors->live--;
    if (s != own) tide_storage_free(cx, s);
    if (own)
        tide_storage_free(cx, own);
    else
        tide_release(cx, t, sizeof *t);
    if (cx->closed && !cx->tensors->live) tide_close(cx);
}

tide_tensor *tide_keep(tide_tensor *t) {
    if (!t) return NULL;
    t->refs++;
    if (t->pins++ == 0) tide_storage_pin(t->storage);
    return t;
}

void tide_free(tide_tensor *t) {
    if (!t) return;
    if (--t->pins == 0) tide_storage_unpin(t->storage);
    if (--t->refs == 0) drop(t);
}

void tide_to_handle(tide_tensor *t) {
    if (--t->pins == 0) tide_storage_unpin(t->storage);
}

void tide_handle_free(tide_tensor *t) {
    if (t && --t->refs == 0) drop(t);
}

bool tide_is_expanded(const tide_tensor *t) {
    for (int d = 0; d < t->meta.ndim; d++)
        if (t->stride[d] == 0 && t->meta.shape[d] > 1) return true;
    return false;
}

bool tide_is_contiguous(const tide_tensor *t) {
    int64_t n = 1;
    for (int d = t->meta.ndim - 1; d >= 0; d--) {
        if (t->meta.shape[d] != 1) {
            if (t->meta.shape[d] == 0) return true;
            if (t->stride[d] != n) return false;
        }
        n *= t->meta.shape[d];
    }
    return true;
}

tide_status tide_sync(tide_tensor *t) {
    tide_context *cx = t->cx;
    if (t->flags & TIDE_DEAD)
        return tide_fail(
            cx, TIDE_EARG,
            "this tensor was a temporary of a compiled step and is gone: return it from the step to keep it");
    if (t->storage && !t->storage->pending) return TIDE_OK;
    return cx->tensors->sync ? cx->tensors->sync(cx, t) : TIDE_OK;
}

const tide_meta *tide_meta_of(const tide_tensor *t) { return t ? &t->meta : NULL; }
tide_context *tide_context_of(const tide_tensor *t) { return t ? t->cx : NULL; }

tide_tensor *tide_empty(tide_context *cx, const tide_meta *m) {
    if (tide_pending(cx) || tide_tensors_open(cx)) return NULL;
    if (!m || m->dtype == 0 || m->dtype >= TIDE_NDTYPE)
        return tide_fail(cx, TIDE_EARG, "empty: no such dtype"), NULL;
    return tide_scoped(tide_tensor_new(cx, m));
}

tide_tensor *tide_wrap(tide_context *cx, const tide_meta *m, void *host, void (*release)(void *), void *arg) {
    if (tide_pending(cx) || tide_tensors_open(cx)) return NULL;
    if (!m || m->dtype == 0 || m->dtype >= TIDE_NDTYPE || m->ndim > TIDE_MAXDIM)
        return tide_fail(cx, TIDE_EARG, "wrap: wrong dtype or dims"), NULL;
    if (!host && tide_numel(m)) return tide_fail(cx, TIDE_EARG, "wrap: the memory is NULL"), NULL;
    tide_tensor *t = tide_tensor_struct(cx, m);
    if (!t) return NULL;
    t->storage = tide_storage_wrap(cx, host, (size_t)tide_numel(m) * tide_dtype_size((tide_dtype)m->dtype),
                                   release, arg);
    if (!t->storage) return tide_free(t), NULL;
    tide_storage_pin(t->storage);
    return tide_scoped(t);
}

tide_tensor *tide_share(tide_context *to, tide_tensor *t) {
    if (!t || tide_sync(t) || tide_tensors_open(to)) return NULL;
    tide_tensor *r = tide_tensor_struct(to, &t->meta);
    if (!r) return NULL;
    memcpy(r->stride, t->stride, sizeof r->stride);
    r->offset = t->offset;
    r->flags |= TIDE_IS_VIEW;
    leave_home(t->storage);
    tide_storage_keep(t->storage);
    r->storage = t->storage;
    return tide_scoped(r);
}

/* ---- scopes ---- */

void tide_begin(tide_context *cx) {
    tide_tensors *ts;
    if (tide_tensors_open(cx)) return;
    ts = cx->tensors;
    if (tide_grow(cx, (void **)&ts->scope, &ts->cscope, ts->nscope + 1, sizeof *ts->scope)) return;
    ts->scope[ts->nscope++] = ts->nowned;
}

void tide_end(tide_context *cx) {
    tide_tensors *ts = cx->tensors;
    if (!ts || !ts->nscope) return;
    int64_t from = ts->scope[--ts->nscope];
    while (ts->nowned > from) tide_free(ts->owned[--ts->nowned]);
}

tide_tensor *tide_scoped(tide_tensor *t) {
    if (!t) return NULL;
    tide_tensors *ts = t->cx->tensors;
    if (!ts->nscope) return t;
    if (tide_grow(t->cx, (void **)&ts->owned, &ts->cowned, ts->nowned + 1, sizeof *ts->owned))
        return tide_free(t), NULL;
    return ts->owned[ts->nowned++] = t;
}

/* ---- who holds memory ---- */

void tide_pace(tide_context *cx) {
    tide_tensors *ts = cx->tensors;
    if (ts->idle > ts->idle_limit && tide_can_press(cx)) tide_press(cx, ts->idle);
}

void tide_holders_text(tide_context *cx, char *buffer, size_t n) {
    enum { TOP = 5 };
    struct {
        uint32_t site;
        size_t bytes;
        int count;
    } top[64];
    int k = 0;
    for (tide_storage *s = cx->tensors ? cx->tensors->storages : NULL; s; s = s->next) {
        int i = 0;
        while (i < k && top[i].site != s->site) i++;
        if (i == k) {
            if (k == 64) continue;
            top[k].site = s->site;
            top[k].bytes = 0;
            top[k++].count = 0;
        }
        top[i].bytes += s->nbytes;
        top[i].count++;
    }
    size_t used = 0;
    if (n) *buffer = 0;
    for (int line = 0; line < TOP && k > 0; line++) {
        int best = 0;
        for (int i = 1; i < k; i++)
            if (top[i].bytes > top[best].bytes) best = i;
        if (!top[best].bytes) break;
        const char *where = tide_site_text(cx, top[best].site);
        int w = snprintf(buffer + used, n - used, "\n  %.1f MiB in %d tensors, %s",
                         (double)top[best].bytes / MIB, top[best].count, *where ? where : "made from C");
        if (w < 0 || (size_t)w >= n - used) {
            if (n) buffer[used] = 0;
            break;
        }
        used += (size_t)w;
        top[best] = top[--k];
    }
}
