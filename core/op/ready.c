/* A program over arguments of given shapes and strides: all but addresses and numbers is worked out once, and
 * found again by the operation, its attributes and what its arguments look like. */
#include "op/op.h"
#include "device/cpu/cpu.h"

enum { KEY_WORDS = 1024, LIMIT = 2048, FROM_TEMP = 128 };

/* ---- making ---- */

static size_t iter_size(const tide_variant *v, int piece, int count) {
    if (count > 1) return (size_t)count * sizeof(tide_iter);
    return offsetof(tide_iter, arg) + (size_t)v->pieces.piece[piece].prog->narg * sizeof *((tide_iter *)0)->arg;
}

static int64_t elements(const tide_space *space, int bits) {
    int64_t n = 1;
    for (int d = 0; d < space->ndim; d++)
        if (bits & (space->reduced >> d & 1 ? TIDE_REDUCED : TIDE_KEPT)) n *= space->size[d];
    return n;
}

/* The bytes from one element to the next along space dim d: of a tensor, or of a temporary, which is contiguous
 * over the dims of its space. */
static int64_t tensor_stride(const tide_tensor *t, const int8_t *map, int d) {
    int m = map[d];
    return m >= 0 && t->meta.shape[m] != 1 ? t->stride[m] * (int64_t)tide_dtype_size((tide_dtype)t->meta.dtype)
                                           : 0;
}
static int64_t temp_stride(const tide_space *space, int bits, int dtype, int d) {
    if (!(bits & (space->reduced >> d & 1 ? TIDE_REDUCED : TIDE_KEPT))) return 0;
    int64_t stride = (int64_t)tide_dtype_size((tide_dtype)dtype);
    for (int e = d + 1; e < space->ndim; e++)
        if (bits & (space->reduced >> e & 1 ? TIDE_REDUCED : TIDE_KEPT)) stride *= space->size[e];
    return stride;
}

/* Argument g of the whole program: which input of the call, then which output; or a temporary. */
static uint8_t from(const tide_ready *r, int g) {
    const tide_prog *prog = r->variant->prog;
    if (g >= prog->narg) return (uint8_t)(FROM_TEMP + g - prog->narg);
    return (uint8_t)(g < prog->nin ? r->given[g] : r->nin + g - prog->nin);
}

/* One piece over item `item` of the call, but for the addresses. */
static void lay(const tide_ready *r, int piece, const tide_space *space, const tide_call *call, int item,
                tide_iter *it) {
    const tide_variant *v = r->variant;
    const tide_piece *pc = &v->pieces.piece[piece];
    it->nk = it->nr = 0;
    it->K = it->R = 1;
    it->narg = (int8_t)pc->prog->narg;
    for (int d = 0; d < space->ndim; d++) {
        bool reduced = space->reduced >> d & 1, to_r = reduced != pc->swapped;
        if (pc->drop_k && !to_r) continue;
        int at = to_r ? it->nr++ : it->nk++;
        if (to_r)
            it->r[at] = space->size[d], it->R *= space->size[d];
        else
            it->k[at] = space->size[d], it->K *= space->size[d];
        for (int a = 0; a < it->narg; a++) {
            int g = v->pieces.arg_of[piece][a], t = g - v->prog->narg;
            int64_t stride;
            if (t >= 0) {
                stride = temp_stride(space, v->pieces.temp[t].space, v->pieces.temp[t].dtype, d);
            } else {
                const int i = from(r, g);
                const tide_tensor *x =
                    i < r->nin ? call->in[i * r->count + item] : call->out[(i - r->nin) * r->count + item];
                stride = tensor_stride(x, space->map[i], d);
            }
            *(to_r ? &it->arg[a].sr[at] : &it->arg[a].sk[at]) = stride;
        }
    }
    tide_iter_collapse(it);
}

static tide_status space_of_item(tide_context *cx, const tide_op *op, const tide_call *call,
                                 const tide_ready *r, int item, tide_space *space) {
    tide_frame f;
    int nout = (int)call->nout / r->count;
    f.s = (tide_shapes){cx, call->attr, r->nin, nout, f.in, f.out};
    for (int i = 0; i < r->nin; i++) {
        const tide_tensor *t = call->in[i * r->count + item];
        f.in[i] = t ? &t->meta : NULL;
    }
    for (int j = 0; j < nout; j++) f.out[j] = call->out[j * r->count + item]->meta;
    return tide_space_of(op, &f.s, space);
}

/* For a call whose outputs exist. */
static tide_ready *make(tide_context *cx, const tide_op *op, const tide_call *call, const void *key,
                        uint32_t nkey) {
    tide_space space;
    bool list = op->flags & TIDE_F_LIST;
    tide_ready head = {.nin = (uint8_t)(list ? op->group : (int)call->nin),
                       .nout = (uint8_t)(list ? 0 : call->nout),
                       .count = list ? (int)call->nin / op->group : 1};
    if (space_of_item(cx, op, call, &head, 0, &space)) return NULL;
    tide_variant *v = head.variant = tide_variant_of(cx, op, call, &space);
    if (!v) return NULL;
    head.size = sizeof head + head.nout * sizeof(tide_meta) + nkey;
    for (int p = 0; p < v->pieces.npiece; p++) head.size += iter_size(v, p, head.count);
    tide_ready *r = tide_alloc(cx, head.size);
    if (!r) return NULL;
    *r = head;
    for (int i = 0, k = 0; i < r->nin; i++)
        if (call->in[i * r->count]) r->given[k++] = (uint8_t)i;
    for (int t = 0; t < v->pieces.ntemp; t++) /* lists have none: their programs are never cut */
        r->temp[t] = (size_t)elements(&space, v->pieces.temp[t].space) *
                     tide_dtype_size((tide_dtype)v->pieces.temp[t].dtype);
    char *at = (char *)(r + 1);
    for (int p = 0; p < v->pieces.npiece; p++) r->iter[p] = (tide_iter *)at, at += iter_size(v, p, r->count);
    r->out = (tide_meta *)at, at += r->nout * sizeof *r->out;
    for (int j = 0; j < r->nout; j++) r->out[j] = call->out[j]->meta;
    if (nkey) memcpy(at, key, nkey);
    r->entry = (tide_cached){.nkey = nkey, .key = at};
    for (int p = 0; p < v->pieces.npiece; p++)
        for (int a = 0; a < v->pieces.piece[p].prog->narg; a++) r->from[p][a] = from(r, v->pieces.arg_of[p][a]);
    for (int item = 0; item < r->count; item++) {
        if (item && space_of_item(cx, op, call, r, item, &space)) return tide_ready_free(cx, r), NULL;
        for (int p = 0; p < v->pieces.npiece; p++) lay(r, p, &space, call, item, &r->iter[p][item]);
    }
    return r;
}

tide_ready *tide_ready_new(tide_context *cx, const tide_op *op, const tide_call *call) {
    return make(cx, op, call, NULL, 0);
}

void tide_ready_free(tide_context *cx, tide_ready *r) {
    for (int p = 0; r && p < r->variant->pieces.npiece; p++) tide_cpu_unbind(cx, r->bound[p]);
    if (r) tide_release(cx, r, r->size);
}

/* ---- finding ---- */

/* Writes the next word of a key, or compares it with that of one that was written. */
static inline bool put(uint64_t **at, bool compare, uint64_t word) {
    if (compare) return *(*at)++ == word;
    *(*at)++ = word;
    return true;
}

static inline bool put_tensor(uint64_t **at, bool compare, const tide_tensor *t) {
    if (!t) return put(at, compare, 0);
    if (!put(at, compare,
             1u | (uint32_t)t->meta.dtype << 8 | (uint32_t)t->meta.device.index << 16 |
                 (uint64_t)(uint32_t)t->meta.ndim << 32))
        return false;
    for (int d = 0; d < t->meta.ndim; d++)
        if (!put(at, compare, (uint64_t)t->meta.shape[d]) || !put(at, compare, (uint64_t)t->stride[d]))
            return false;
    return true;
}

static inline bool put_words(uint64_t **at, bool compare, const char *from, const uint64_t *unseen, size_t n) {
    uint64_t differs = 0, word, *to = *at;
    for (size_t i = 0; i < n; i++) {
        memcpy(&word, from + 8 * i, 8);
        if (unseen) word &= ~unseen[i];
        if (compare)
            differs |= to[i] ^ word;
        else
            to[i] = word;
    }
    *at = to + n;
    return !differs;
}

static inline bool put_attr(uint64_t **at, bool compare, const tide_op *op, const tide_call *call) {
    const char *attr = call->attr;
    if (op->infer != tide_vjp_infer) return put_words(at, compare, attr, op->unseen, call->nattr / 8);
    const tide_op *forward = &tide_op_table[tide_vjp_head_of(call)->op];
    const size_t head = sizeof(tide_vjp_head) / 8, n = forward->nattr / 8;
    return put_words(at, compare, attr, NULL, head) &&
           put_words(at, compare, attr + 8 * head, forward->unseen, n) &&
           put_words(at, compare, attr + 8 * (head + n), NULL, call->nattr / 8 - head - n);
}

/* The key of a call, word by word: what says how many follow comes before them. Outputs that came with the call
 * are part of it, those that are made for it follow from the rest. */
static inline __attribute__((always_inline)) bool put_key(uint64_t **at, bool compare, const tide_op *op,
                                                          const tide_call *call, uint32_t kept) {
    const bool numbered = op->infer == tide_vjp_infer && tide_vjp_head_of(call)->id;
    if (!put(at, compare, call->op | (uint64_t)call->flags << 16 | (uint64_t)call->nin << 32)) return false;
    if (!put(at, compare, (numbered ? UINT32_MAX : call->nattr) | (uint64_t)call->nout << 32)) return false;
    if (numbered ? !put(at, compare, tide_vjp_head_of(call)->id)
                 : call->nattr && !put_attr(at, compare, op, call))
        return false;
    for (uint32_t i = 0; i < call->nin; i++)
        if (!put_tensor(at, compare, call->in[i])) return false;
    for (uint32_t j = 0; j < call->nout; j++)
        if (!put_tensor(at, compare, kept >> (j < 31 ? j : 31) & 1 ? call->out[j] : NULL)) return false;
    return true;
}

/* The key of a call; 0: too long. */
static uint32_t key_of(const tide_op *op, const tide_call *call, uint32_t kept, uint64_t *key) {
    uint64_t *at = key;
    if (call->nattr + 8u * (3 + (call->nin + call->nout) * (1u + 2 * TIDE_MAXDIM)) > 8u * KEY_WORDS) return 0;
    put_key(&at, false, op, call, kept);
    return (uint32_t)((char *)at - (char *)key);
}

/* Where a call like this one may have been found last. */
static inline tide_ready **recent(tide_context *cx, const tide_op *op, const tide_call *call, uint32_t kept) {
    uint64_t mix = call->op + 5u * call->flags + 11u * kept;
    if (op->infer == tide_vjp_infer) mix += 3 * tide_vjp_head_of(call)->id;
    for (uint32_t i = 0; i < call->nin && i < 2; i++)
        if (call->in[i] && call->in[i]->meta.ndim) mix = 7 * mix + (uint64_t)call->in[i]->meta.shape[0];
    return &cx->door->recent[mix * 0x9E3779B97F4A7C15u >> (64 - TIDE_RECENT_BITS)];
}

static void release(tide_context *cx, tide_cached *entry) { tide_ready_free(cx, (tide_ready *)entry); }

void tide_readies_free(tide_context *cx) {
    memset(cx->door->recent, 0, sizeof cx->door->recent);
    tide_cache_clear(cx, &cx->door->readies, release);
}

static __attribute__((noinline)) tide_ready *search(tide_context *cx, const tide_op *op, const tide_call *call,
                                                    uint32_t kept, bool *fresh) {
    uint64_t key[KEY_WORDS];
    uint32_t n = key_of(op, call, kept, key), hash = n ? tide_cache_hash(key, n) : 0;
    tide_ready *r = n ? (tide_ready *)tide_cache_find(&cx->door->readies, key, n, hash) : NULL;
    if (r || !fresh || !(r = make(cx, op, call, key, n))) return r;
    r->entry.hash = hash;
    if (!n) return *fresh = true, r;
    if (cx->door->readies.n >= LIMIT) tide_readies_free(cx);
    if (!tide_cache_add(cx, &cx->door->readies, &r->entry)) return r;
    tide_ready_free(cx, r);
    return NULL;
}

tide_ready *tide_ready_of(tide_context *cx, const tide_op *op, const tide_call *call, uint32_t kept,
                          bool *fresh) {
    tide_ready **last = recent(cx, op, call, kept), *r = *last;
    uint64_t *known = r ? (uint64_t *)r->entry.key : NULL;
    if (fresh) *fresh = false;
    if (r && put_key(&known, true, op, call, kept)) return r;
    r = search(cx, op, call, kept, fresh);
    if (r && r->entry.nkey) *last = r;
    return r;
}

/* ---- running ---- */

/* The addresses of one item's arguments. */
static inline void fill(const tide_ready *r, int piece, int item, const tide_call *call, void *const *temp) {
    const uint8_t *source = r->from[piece];
    tide_tensor *const *in = call->in, *const *out = call->out;
    tide_iter *it = &r->iter[piece][item];
    const int narg = it->narg, nin = r->nin, count = r->count;
    for (int a = 0; a < narg; a++) {
        const int from = source[a];
        it->arg[a].base = from >= FROM_TEMP ? temp[from - FROM_TEMP]
                          : from < nin      ? tide_data(in[from * count + item])
                                            : tide_data(out[(from - nin) * count + item]);
    }
}

tide_status tide_ready_run(tide_context *cx, tide_ready *r, const tide_call *call) {
    tide_variant *v = r->variant;
    uint64_t slot[TIDE_MAXSLOTS];
    void *temp[sizeof r->temp / sizeof *r->temp];
    const int npiece = v->pieces.npiece, ntemp = v->pieces.ntemp;
    tide_status e = TIDE_OK;
    cx->door->count.kernels++;
    for (int i = 0; i < v->prog->nslot; i++)
        memcpy(&slot[i], (const char *)call->attr + v->prog->slot[i].offset, 8);
    for (int t = 0; t < ntemp; t++) {
        temp[t] = e ? NULL : tide_alloc(cx, r->temp[t]);
        if (!temp[t]) e = TIDE_EMEM;
    }
    for (int p = 0; p < npiece && !e; p++)
        for (int item = 0; item < r->count; item++) fill(r, p, item, call, temp);
    for (int p = 0; p < npiece && !e; p++) {
        if (p + 1 < npiece && tide_cpu_two(cx, &v->compiled[p], &v->pieces.piece[p], &r->iter[p], slot, &e))
            p++;
        else
            e = tide_cpu_program(cx, &v->compiled[p], &r->bound[p], v->pieces.piece[p].prog, r->count,
                                 r->iter[p], slot);
    }
    for (int t = 0; t < ntemp; t++) tide_release(cx, temp[t], r->temp[t]);
    return e;
}
