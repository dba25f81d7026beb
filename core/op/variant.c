/* Variants: an operation's program for given attributes and dtypes, derived, simplified, cut, and compiled by
 * the device once; and running one over a call's tensors. */
#include "op/op.h"
#include "device/cpu/cpu.h"

void tide_frame_of(tide_context *cx, const tide_op *op, const tide_call *call, tide_frame *f) {
    f->s = (tide_shapes){cx, call->attr, (int)call->nin, (int)call->nout, f->in, f->out};
    for (uint32_t i = 0; i < call->nin && i < TIDE_MAXARGS; i++)
        f->in[i] = call->in[i] ? &call->in[i]->meta : NULL;
    for (uint32_t j = 0; j < call->nout && j < TIDE_MAXARGS; j++)
        if (call->out[j]) f->out[j] = call->out[j]->meta;
}

uint8_t tide_arg_space(const tide_space *space, int arg) {
    uint8_t bits = 0;
    for (int d = 0; d < space->ndim; d++)
        if (space->map[arg][d] >= 0)
            bits |= space->reduced >> d & 1 ? TIDE_REDUCED : space->reduced ? TIDE_KEPT : TIDE_POINT;
    return bits;
}

tide_status tide_space_of(const tide_op *op, const tide_shapes *s, tide_space *space) {
    memset(space, 0, sizeof *space);
    if (op->infer == tide_vjp_infer) return tide_vjp_space(s->cx, s->attr, space);
    return op->space ? op->space(s, space) : space_broadcast(s, space);
}

void tide_key_attr(const tide_op *op, const void *attr, size_t nattr, uint8_t *out) {
    if (nattr) memcpy(out, attr, nattr);
    if (op->infer == tide_vjp_infer) { /* the forward attributes' slots; the metas are not part of a key */
        const tide_vjp_head *head = attr;
        tide_key_attr(&tide_op_table[head->op], tide_vjp_attr(head), head->nattr, out + sizeof *head);
        const char *metas = (const char *)tide_vjp_metas(head);
        memset(out + (metas - (const char *)attr), 0, nattr - (size_t)(metas - (const char *)attr));
        return;
    }
    for (int i = 0; i < op->nslot; i++) memset(out + op->slot[i], 0, 8);
}

/* ---- building ---- */

/* Loads operand `arg` as the program sees it: a tensor or a number, in the common type where the operation
 * promotes. */
static tide_val operand(tide_prog *p, const tide_op *op, const tide_shapes *s, const tide_space *space,
                        const tide_arg *arg, int type) {
    int i = arg->input;
    if (s->in[i]) {
        tide_val v = p_arg(p, (tide_dtype)s->in[i]->dtype, tide_arg_space(space, i));
        return type >= 0 && !arg->raw ? p_cvt(p, v, type) : v;
    }
    const tide_num *n = (const tide_num *)((const char *)s->attr + arg->offset);
    if (arg->type != TIDE_ARG_OPERAND || n->kind == TIDE_NONE) return TIDE_NOVAL;
    int own = n->kind == TIDE_FLOAT ? TIDE_RF64 : TIDE_RI64;
    return p_slot(p, arg->offset, n->kind == TIDE_FLOAT, type >= 0 ? type : own);
}

/* Inputs that are given are declared in order, so that argument numbers follow from `s`. */
static void arguments(tide_prog *p, const tide_op *op, const tide_shapes *s, const tide_space *space,
                      tide_val *x) {
    int type = op->flags & (TIDE_F_PROMOTES | TIDE_F_FLOATING) ? tide_reg_of(tide_result_dtype(op, s)) : -1;
    for (int a = 0; a < op->narg; a++)
        if (op->arg[a].input >= 0) x[op->arg[a].input] = operand(p, op, s, space, &op->arg[a], type);
}

tide_prog *tide_op_program(tide_context *cx, const tide_op *op, const tide_shapes *s, const tide_space *space) {
    if (op->infer == tide_vjp_infer) {
        uint64_t uses;
        return tide_vjp_program(cx, s->attr, space->reduced, &uses);
    }
    tide_prog *p = tide_prog_new(cx);
    if (!p) return NULL;
    tide_val x[TIDE_MAXARGS], y[TIDE_MAXARGS];
    memset(x, 0xFF, sizeof x);
    memset(y, 0xFF, sizeof y);
    arguments(p, op, s, space, x);
    op->program(p, s->attr, x, y);
    int nout = op->flags & TIDE_F_LIST ? op->nout : s->nout;
    for (int j = 0; j < nout; j++) {
        int at = p_out(p, (tide_dtype)s->out[j].dtype,
                       space->reduced ? tide_arg_space(space, s->nin + j) : TIDE_POINT);
        p_store(p, y[j], at);
    }
    if (p->failed || tide_prog_simplify(p)) {
        tide_prog_free(p);
        return NULL;
    }
    return p;
}

/* ---- the table ---- */

static uint32_t hash(const uint8_t *k, uint32_t n) {
    uint64_t h = 0xcbf29ce484222325ull;
    for (uint32_t i = 0; i + 8 <= n; i += 8) {
        uint64_t w;
        memcpy(&w, k + i, 8);
        h = (h ^ w) * 0x9E3779B97F4A7C15ull;
        h ^= h >> 29;
    }
    return (uint32_t)(h ^ h >> 32);
}

static tide_variant *find(tide_context *cx, const uint8_t *key, uint32_t nkey, uint32_t h) {
    tide_door *door = cx->door;
    if (!door->cvariant) return NULL;
    for (int64_t i = h & (door->cvariant - 1);; i = (i + 1) & (door->cvariant - 1)) {
        tide_variant *v = door->table[i];
        if (!v || (v->hash == h && v->nkey == nkey && !memcmp(v->key, key, nkey))) return v;
    }
}

static void place(tide_door *door, tide_variant *v) {
    int64_t i = v->hash & (door->cvariant - 1);
    while (door->table[i]) i = (i + 1) & (door->cvariant - 1);
    door->table[i] = v;
}

static tide_status insert(tide_context *cx, tide_variant *v) {
    tide_door *door = cx->door;
    if (2 * (door->nvariant + 1) > door->cvariant) {
        int64_t old = door->cvariant, n = old ? 2 * old : 256;
        tide_variant **from = door->table, **to = tide_alloc0(cx, (size_t)n * sizeof *to);
        if (!to) return TIDE_EMEM;
        door->table = to;
        door->cvariant = n;
        for (int64_t i = 0; i < old; i++)
            if (from[i]) place(door, from[i]);
        tide_release(cx, from, (size_t)old * sizeof *from);
    }
    place(door, v);
    door->nvariant++;
    door->count.variants++;
    return TIDE_OK;
}

static void variant_free(tide_context *cx, tide_variant *v) {
    for (int i = 0; i < v->pieces.npiece; i++) tide_cpu_release(cx, v->compiled[i]);
    tide_pieces_free(&v->pieces);
    tide_prog_free(v->prog);
    tide_release(cx, v, sizeof *v + v->nkey);
}

void tide_variants_free(tide_context *cx) {
    tide_door *door = cx->door;
    for (int64_t i = 0; i < door->cvariant; i++)
        if (door->table[i]) variant_free(cx, door->table[i]);
    tide_release(cx, door->table, (size_t)door->cvariant * sizeof *door->table);
}

static tide_variant *make(tide_context *cx, const uint8_t *key, uint32_t nkey, uint32_t h, tide_prog *prog,
                          uint64_t uses) {
    if (!prog) return NULL;
    tide_variant *v = tide_alloc0(cx, sizeof *v + nkey);
    if (!v) {
        tide_prog_free(prog);
        return NULL;
    }
    v->hash = h;
    v->nkey = nkey;
    v->prog = prog;
    v->uses = uses;
    memcpy(v->key, key, nkey);
    if (tide_prog_cut(prog, &v->pieces) || insert(cx, v)) {
        variant_free(cx, v);
        return NULL;
    }
    return v;
}

enum { KEY_MAX = 4096 };

/* Bytes that decide a program: the operation, its attributes without slots, dtypes and spaces of all arguments.
 */
static uint32_t start_key(uint8_t *key, uint16_t op) {
    memset(key, 0, 8);
    memcpy(key, &op, 2);
    return 8;
}

static uint32_t end_key(uint8_t *key, uint32_t n) {
    while (n & 7) key[n++] = 0;
    return n;
}

tide_variant *tide_variant_of(tide_context *cx, const tide_op *op, const tide_call *call,
                              const tide_space *space) {
    if (op->infer == tide_vjp_infer) return tide_variant_vjp(cx, call->attr);
    uint8_t key[KEY_MAX];
    uint32_t n = start_key(key, call->op);
    tide_key_attr(op, call->attr, call->nattr, key + n);
    n += (uint32_t)call->nattr;
    bool list = op->flags & TIDE_F_LIST;
    int nin = list ? op->group : (int)call->nin, nout = list ? op->nout : (int)call->nout,
        count = list ? (int)call->nin / op->group : 1;
    tide_frame f;
    f.s = (tide_shapes){cx, call->attr, nin, nout, f.in, f.out};
    for (int i = 0; i < nin; i++) {
        const tide_tensor *t = call->in[i * count];
        f.in[i] = t ? &t->meta : NULL;
        key[n++] = t ? t->meta.dtype : 0;
        key[n++] =
            t ? tide_arg_space(space, i) | (t->meta.ndim ? 8 : 0) : 4; /* 0-d tensors promote otherwise */
    }
    for (int j = 0; j < nout; j++) {
        f.out[j] = call->out[j * count]->meta;
        key[n++] = f.out[j].dtype;
        key[n++] = tide_arg_space(space, nin + j);
    }
    n = end_key(key, n);
    tide_variant *last = cx->door->last[call->op];
    if (last && last->nkey == n && !memcmp(last->key, key, n)) return last;
    uint32_t h = hash(key, n);
    tide_variant *v = find(cx, key, n, h);
    if (!v) v = make(cx, key, n, h, tide_op_program(cx, op, &f.s, space), 0);
    if (v) cx->door->last[call->op] = v;
    return v;
}

tide_variant *tide_variant_vjp(tide_context *cx, const tide_vjp_head *head) {
    uint8_t key[KEY_MAX];
    tide_vjp_head h = *head;
    h.uses = 0; /* follows from the rest */
    uint32_t n = start_key(key, TIDE_OP_VJP);
    if (head->nattr > KEY_MAX - 512) {
        tide_fail(cx, TIDE_EUNSUP, "gradients of gradients nested too deeply");
        return NULL;
    }
    memcpy(key + n, &h, sizeof h);
    n += sizeof h;
    tide_key_attr(&tide_op_table[head->op], tide_vjp_attr(head), head->nattr, key + n);
    n += head->nattr;
    tide_space space;
    const tide_meta *metas = tide_vjp_metas(head);
    const tide_meta *in[TIDE_MAXARGS];
    tide_meta out[TIDE_MAXARGS];
    for (int i = 0; i < head->nin; i++) in[i] = head->given >> i & 1 ? &metas[i] : NULL;
    memcpy(out, metas + head->nin, head->nout * sizeof *out);
    tide_shapes s = {cx, tide_vjp_attr(head), head->nin, head->nout, in, out};
    if (tide_space_of(&tide_op_table[head->op], &s, &space)) return NULL;
    if (head->reduced) space.reduced = head->reduced;
    for (int a = 0; a < head->nin + head->nout; a++) {
        key[n++] = metas[a].dtype;
        key[n++] = tide_arg_space(&space, a) | (metas[a].ndim ? 8 : 0);
    }
    n = end_key(key, n);
    uint32_t hh = hash(key, n);
    tide_variant *v = find(cx, key, n, hh);
    if (v) return v;
    uint64_t uses;
    tide_prog *prog = tide_vjp_program(cx, head, 0, &uses);
    return prog ? make(cx, key, n, hh, prog, uses) : NULL;
}

/* ---- running ---- */

static int64_t axis_size(const tide_space *space, bool reduced) {
    int64_t n = 1;
    for (int d = 0; d < space->ndim; d++)
        if ((space->reduced >> d & 1) == reduced) n *= space->size[d];
    return n;
}

static int64_t temp_count(const tide_space *space, int bits) {
    return (bits & TIDE_KEPT ? axis_size(space, false) : 1) *
           (bits & TIDE_REDUCED ? axis_size(space, true) : 1);
}

/* Binds one piece to the tensors of item `item` of the call. */
static void bind(const tide_variant *v, int piece, const tide_space *space, const tide_call *call, int nin,
                 int count, int item, void *const *temp, tide_iter *it) {
    const tide_piece *pc = &v->pieces.piece[piece];
    it->nk = it->nr = 0;
    it->K = it->R = 1;
    it->narg = (int8_t)pc->prog->narg;
    const tide_tensor *tensor[TIDE_MAXARGS];
    int map_of[TIDE_MAXARGS];
    int ninputs = v->prog->nin;
    for (int a = 0; a < it->narg; a++) {
        int g = v->pieces.arg_of[piece][a];
        tensor[a] = NULL;
        if (g >= v->prog->narg) {
            it->arg[a].base = temp[g - v->prog->narg];
            map_of[a] = -1;
            continue;
        }
        /* program inputs are the call's inputs that are there, in order */
        int at = g;
        if (g < ninputs) {
            at = -1;
            for (int i = 0, k = 0; i < nin; i++)
                if (call->in[i * count + item] && k++ == g) {
                    at = i;
                    break;
                }
            tensor[a] = call->in[at * count + item];
        } else {
            at = nin + g - ninputs;
            tensor[a] = call->out[(g - ninputs) * count + item];
        }
        map_of[a] = at;
        it->arg[a].base = tide_data(tensor[a]);
    }
    for (int d = 0; d < space->ndim; d++) {
        bool r = space->reduced >> d & 1;
        bool to_r = r != pc->swapped;
        if (pc->drop_k && !to_r) continue;
        int at = to_r ? it->nr++ : it->nk++;
        if (to_r)
            it->r[at] = space->size[d], it->R *= space->size[d];
        else
            it->k[at] = space->size[d], it->K *= space->size[d];
        for (int a = 0; a < it->narg; a++) {
            int64_t stride = 0;
            if (tensor[a]) {
                int m = space->map[map_of[a]][d];
                if (m >= 0 && tensor[a]->meta.shape[m] != 1)
                    stride = tensor[a]->stride[m] * (int64_t)tide_dtype_size((tide_dtype)tensor[a]->meta.dtype);
            } else { /* a temporary: contiguous over the dims of its space */
                int g = v->pieces.arg_of[piece][a] - v->prog->narg;
                int bits = v->pieces.temp[g].space;
                if (bits & (r ? TIDE_REDUCED : TIDE_KEPT)) {
                    stride = (int64_t)tide_dtype_size((tide_dtype)v->pieces.temp[g].dtype);
                    for (int e = d + 1; e < space->ndim; e++)
                        if (bits & (space->reduced >> e & 1 ? TIDE_REDUCED : TIDE_KEPT))
                            stride *= space->size[e];
                }
            }
            *(to_r ? &it->arg[a].sr[at] : &it->arg[a].sk[at]) = stride;
        }
    }
    tide_iter_collapse(it);
}

static void read_slots(const tide_prog *p, const void *attr, uint64_t *slot) {
    for (int i = 0; i < p->nslot; i++) memcpy(&slot[i], (const char *)attr + p->slot[i].offset, 8);
}

/* All tensors contiguous and of one shape: no space is needed. */
static bool flat(const tide_call *call, int64_t *n) {
    const tide_tensor *first = call->out[0];
    *n = tide_numel(&first->meta);
    for (uint32_t i = 0; i < call->nin; i++)
        if (call->in[i] &&
            (!tide_same_shape(&call->in[i]->meta, &first->meta) || !tide_is_contiguous(call->in[i])))
            return false;
    for (uint32_t j = 0; j < call->nout; j++)
        if (!tide_same_shape(&call->out[j]->meta, &first->meta) || !tide_is_contiguous(call->out[j]))
            return false;
    return true;
}

/* All pieces over all items of a call whose spaces and variant are known. */
static tide_status run_items(tide_context *cx, tide_variant *v, const tide_space *space, const tide_call *call,
                             int nin, int count, tide_iter *it) {
    uint64_t slot[TIDE_MAXSLOTS];
    void *temp[16] = {NULL};
    tide_status s = TIDE_OK;
    read_slots(v->prog, call->attr, slot);
    for (int t = 0; t < v->pieces.ntemp && !s; t++) { /* lists have no temporaries: their pieces never cut */
        temp[t] = tide_alloc(cx, (size_t)temp_count(&space[0], v->pieces.temp[t].space) *
                                     tide_dtype_size((tide_dtype)v->pieces.temp[t].dtype));
        if (!temp[t]) s = TIDE_EMEM;
    }
    for (int p = 0; p < v->pieces.npiece && !s; p++) {
        for (int item = 0; item < count; item++)
            bind(v, p, &space[item], call, nin, count, item, temp, &it[item]);
        s = tide_cpu_program(cx, &v->compiled[p], v->pieces.piece[p].prog, count, it, slot);
    }
    for (int t = 0; t < v->pieces.ntemp; t++)
        tide_release(cx, temp[t],
                     (size_t)temp_count(&space[0], v->pieces.temp[t].space) *
                         tide_dtype_size((tide_dtype)v->pieces.temp[t].dtype));
    return s;
}

tide_status tide_run_ready(tide_context *cx, const tide_op *op, const tide_call *call, tide_ready *ready) {
    tide_iter it;
    cx->door->count.kernels++;
    if (!ready->variant) {
        tide_frame f;
        tide_frame_of(cx, op, call, &f);
        tide_status e = tide_space_of(op, &f.s, &ready->space);
        if (e) return e;
        ready->variant = tide_variant_of(cx, op, call, &ready->space);
        if (!ready->variant) return tide_pending(cx);
    }
    return run_items(cx, ready->variant, &ready->space, call, (int)call->nin, 1, &it);
}

tide_status tide_run_program(tide_context *cx, const tide_op *op, const tide_call *call) {
    cx->door->count.kernels++;
    uint64_t slot[TIDE_MAXSLOTS];
    int64_t n;
    bool list = op->flags & TIDE_F_LIST;
    if (!op->space && !list && op->infer != tide_vjp_infer && flat(call, &n)) {
        static const tide_space whole = {1, 0, {0}, {{0}}}; /* every argument varies along the one dim */
        tide_variant *v = tide_variant_of(cx, op, call, &whole);
        if (!v) return tide_pending(cx);
        if (v->pieces.npiece == 1) {
            tide_iter it;
            it.nk = 1;
            it.nr = 0;
            it.K = n;
            it.R = 1;
            it.k[0] = n;
            it.narg = 0;
            for (uint32_t i = 0; i < call->nin; i++)
                if (call->in[i])
                    it.arg[it.narg].base = tide_data(call->in[i]),
                    it.arg[it.narg++].sk[0] = (int64_t)tide_dtype_size((tide_dtype)call->in[i]->meta.dtype);
            for (uint32_t j = 0; j < call->nout; j++)
                it.arg[it.narg].base = tide_data(call->out[j]),
                it.arg[it.narg++].sk[0] = (int64_t)tide_dtype_size((tide_dtype)call->out[j]->meta.dtype);
            read_slots(v->prog, call->attr, slot);
            if (v->prog->narg == v->pieces.piece[0].prog->narg)
                return tide_cpu_program(cx, &v->compiled[0], v->pieces.piece[0].prog, 1, &it, slot);
        }
    }
    int nin = list ? op->group : (int)call->nin, nout = list ? op->nout : (int)call->nout,
        count = list ? (int)call->nin / op->group : 1;
    if (count == 0) return TIDE_OK;
    tide_iter local[4], *it = local;
    tide_space *space, one;
    size_t bytes = (size_t)count * (sizeof *it + sizeof *space);
    if (count > 1) {
        space = tide_alloc(cx, bytes);
        if (!space) return TIDE_EMEM;
        it = (tide_iter *)(space + count);
    } else {
        space = &one;
    }
    tide_status s = TIDE_OK;
    for (int item = 0; item < count && !s; item++) {
        tide_frame f;
        f.s = (tide_shapes){cx, call->attr, nin, nout, f.in, f.out};
        for (int i = 0; i < nin; i++)
            f.in[i] = call->in[i * count + item] ? &call->in[i * count + item]->meta : NULL;
        for (int j = 0; j < nout; j++) f.out[j] = call->out[j * count + item]->meta;
        s = tide_space_of(op, &f.s, &space[item]);
    }
    tide_variant *v = s ? NULL : tide_variant_of(cx, op, call, &space[0]);
    if (!s && !v) s = tide_pending(cx);
    if (!s) s = run_items(cx, v, space, call, nin, count, it);
    if (count > 1) tide_release(cx, space, bytes);
    return s;
}
