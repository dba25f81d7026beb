/* A program over arguments of given shapes and strides: all but addresses and numbers is worked out once, and
 * found again by the operation, its attributes and what its arguments look like. */
#include "op/op.h"
#include "device/cpu/cpu.h"

enum { KEY_WORDS = 1024, LIMIT = 2048 };

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
                int i = g < v->prog->nin ? r->given[g] : r->nin + g - v->prog->nin;
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
    if (r) tide_release(cx, r, r->size);
}

/* ---- finding ---- */

static uint64_t *add_tensor(uint64_t *w, const tide_tensor *t) {
    if (!t) {
        *w++ = 0;
        return w;
    }
    *w++ = 1u | (uint32_t)t->meta.dtype << 8 | (uint32_t)t->meta.device.index << 16 |
           (uint64_t)(uint32_t)t->meta.ndim << 32;
    for (int d = 0; d < t->meta.ndim; d++) *w++ = (uint64_t)t->meta.shape[d], *w++ = (uint64_t)t->stride[d];
    return w;
}

/* Writes the key of a call; 0: too long. Outputs that came with the call are part of it, those that are made
 * for it follow from the rest. */
static uint32_t key_of(const tide_op *op, const tide_call *call, uint32_t kept, uint64_t *key) {
    uint64_t *w = key;
    if (call->nattr + 8u * (2 + (call->nin + call->nout) * (1u + 2 * TIDE_MAXDIM)) > 8u * KEY_WORDS) return 0;
    *w++ = call->op | (uint64_t)call->flags << 16 | (uint64_t)call->nin << 32;
    if (op->infer == tide_vjp_infer && tide_vjp_head_of(call)->id) {
        *w++ = tide_vjp_head_of(call)->id;
    } else if (call->nattr) {
        uint8_t *attr = (uint8_t *)w;
        w += (call->nattr + 7) / 8;
        w[-1] = 0;
        memcpy(attr, call->attr, call->nattr);
        const tide_op *of = op;
        if (op->infer == tide_vjp_infer)
            of = &tide_op_table[tide_vjp_head_of(call)->op], attr += sizeof(tide_vjp_head);
        /* of numbers that its shapes depend on, only the keys of random numbers are left out */
        for (int i = 0; i < of->nslot; i++)
            if (!(of->flags & TIDE_F_NUMBERS) || ((of->flags & TIDE_F_RANDOM) && of->slot[i] >= of->nattr - 16))
                memset(attr + of->slot[i], 0, 8);
    }
    for (uint32_t i = 0; i < call->nin; i++) w = add_tensor(w, call->in[i]);
    for (uint32_t j = 0; j < call->nout; j++)
        w = add_tensor(w, kept >> (j < 31 ? j : 31) & 1 ? call->out[j] : NULL);
    return (uint32_t)((char *)w - (char *)key);
}

static void release(tide_context *cx, tide_cached *entry) { tide_ready_free(cx, (tide_ready *)entry); }

void tide_readies_free(tide_context *cx) { tide_cache_clear(cx, &cx->door->readies, release); }

tide_ready *tide_ready_of(tide_context *cx, const tide_op *op, const tide_call *call, uint32_t kept,
                          bool *fresh) {
    uint64_t key[KEY_WORDS];
    uint32_t n = key_of(op, call, kept, key), hash = n ? tide_cache_hash(key, n) : 0;
    tide_ready *r = n ? (tide_ready *)tide_cache_find(&cx->door->readies, key, n, hash) : NULL;
    if (fresh) *fresh = !r && !n;
    if (r || !fresh || !(r = make(cx, op, call, key, n))) return r;
    r->entry.hash = hash;
    if (!n) return r;
    if (cx->door->readies.n >= LIMIT) tide_readies_free(cx);
    if (!tide_cache_add(cx, &cx->door->readies, &r->entry)) return r;
    tide_ready_free(cx, r);
    return NULL;
}

/* ---- running ---- */

static void *address(const tide_ready *r, int g, const tide_call *call, int item, void *const *temp) {
    const tide_prog *prog = r->variant->prog;
    if (g >= prog->narg) return temp[g - prog->narg];
    return tide_data(g < prog->nin ? call->in[r->given[g] * r->count + item]
                                   : call->out[(g - prog->nin) * r->count + item]);
}

tide_status tide_ready_run(tide_context *cx, tide_ready *r, const tide_call *call) {
    tide_variant *v = r->variant;
    uint64_t slot[TIDE_MAXSLOTS];
    void *temp[sizeof r->temp / sizeof *r->temp];
    tide_status e = TIDE_OK;
    cx->door->count.kernels++;
    for (int i = 0; i < v->prog->nslot; i++)
        memcpy(&slot[i], (const char *)call->attr + v->prog->slot[i].offset, 8);
    for (int t = 0; t < v->pieces.ntemp; t++) {
        temp[t] = e ? NULL : tide_alloc(cx, r->temp[t]);
        if (!temp[t]) e = TIDE_EMEM;
    }
    for (int p = 0; p < v->pieces.npiece && !e; p++)
        for (int item = 0; item < r->count; item++)
            for (int a = 0; a < r->iter[p][item].narg; a++)
                r->iter[p][item].arg[a].base = address(r, v->pieces.arg_of[p][a], call, item, temp);
    for (int p = 0; p < v->pieces.npiece && !e; p++) {
        if (p + 1 < v->pieces.npiece &&
            tide_cpu_two(cx, &v->compiled[p], &v->pieces.piece[p], &r->iter[p], slot, &e))
            p++;
        else
            e = tide_cpu_program(cx, &v->compiled[p], v->pieces.piece[p].prog, r->count, r->iter[p], slot);
    }
    for (int t = 0; t < v->pieces.ntemp; t++) tide_release(cx, temp[t], r->temp[t]);
    return e;
}
