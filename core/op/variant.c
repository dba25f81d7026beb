/* Variants: an operation's program for given attributes and dtypes, derived, simplified, cut, and compiled by
 * the device once. */
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
        ((tide_vjp_head *)(void *)out)->id = 0;
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

static void variant_free(tide_context *cx, tide_cached *entry) {
    tide_variant *v = (tide_variant *)entry;
    for (int i = 0; i < v->pieces.npiece; i++) tide_cpu_release(cx, v->compiled[i]);
    tide_pieces_free(&v->pieces);
    tide_prog_free(v->prog);
    tide_release(cx, v, sizeof *v + v->entry.nkey);
}

void tide_variants_free(tide_context *cx) { tide_cache_clear(cx, &cx->door->variants, variant_free); }

static tide_variant *find(tide_context *cx, const uint8_t *key, uint32_t nkey, uint32_t hash) {
    return (tide_variant *)tide_cache_find(&cx->door->variants, key, nkey, hash);
}

static tide_variant *make(tide_context *cx, const uint8_t *key, uint32_t nkey, uint32_t hash, tide_prog *prog,
                          uint64_t uses) {
    if (!prog) return NULL;
    tide_variant *v = tide_alloc0(cx, sizeof *v + nkey);
    if (!v) {
        tide_prog_free(prog);
        return NULL;
    }
    v->entry = (tide_cached){hash, nkey, v->key};
    v->prog = prog;
    v->uses = uses;
    memcpy(v->key, key, nkey);
    if (tide_prog_cut(prog, &v->pieces) || tide_cache_add(cx, &cx->door->variants, &v->entry)) {
        variant_free(cx, &v->entry);
        return NULL;
    }
    cx->door->count.variants++;
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
    uint32_t h = tide_cache_hash(key, n);
    tide_variant *v = find(cx, key, n, h);
    return v ? v : make(cx, key, n, h, tide_op_program(cx, op, &f.s, space), 0);
}

tide_variant *tide_variant_vjp(tide_context *cx, const tide_vjp_head *head) {
    uint8_t key[KEY_MAX];
    tide_vjp_head h = *head;
    h.uses = h.id = 0; /* follow from the rest */
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
    uint32_t hh = tide_cache_hash(key, n);
    tide_variant *v = find(cx, key, n, hh);
    if (v) return v;
    uint64_t uses;
    tide_prog *prog = tide_vjp_program(cx, head, 0, &uses);
    return prog ? make(cx, key, n, hh, prog, uses) : NULL;
}
