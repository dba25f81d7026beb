/* The derivative of any program operation, as one operation: TIDE_OP_VJP. Its attributes name the forward call;
 * its inputs are the forward tensors that the derivative reads and the gradients of the outputs; its outputs
 * the gradients of the inputs. Its own derivative is again a TIDE_OP_VJP. */
#include "op/op.h"

static size_t round8(size_t n) { return (n + 7) & ~(size_t)7; }

const void *tide_vjp_attr(const tide_vjp_head *head) { return head + 1; }
const tide_meta *tide_vjp_metas(const tide_vjp_head *head) {
    return (const tide_meta *)((const char *)(head + 1) + round8(head->nattr));
}
static size_t blob_size(const tide_vjp_head *head) {
    return sizeof *head + round8(head->nattr) + (size_t)(head->nin + head->nout) * sizeof(tide_meta);
}

typedef struct {
    tide_shapes s;
    const tide_meta *in[TIDE_MAXARGS];
    tide_meta out[TIDE_MAXARGS];
} shapes_t;

static void forward_shapes(tide_context *cx, const tide_vjp_head *head, shapes_t *f) {
    const tide_meta *m = tide_vjp_metas(head);
    f->s = (tide_shapes){cx, tide_vjp_attr(head), head->nin, head->nout, f->in, f->out};
    for (int i = 0; i < head->nin; i++) f->in[i] = head->given >> i & 1 ? &m[i] : NULL;
    memcpy(f->out, m + head->nin, head->nout * sizeof *f->out);
}

/* Dims of the space of size other than 1 along which argument `arg` does not vary. */
static uint8_t missing(const tide_space *sp, int arg) {
    uint8_t m = 0;
    for (int d = 0; d < sp->ndim; d++)
        if (sp->map[arg][d] < 0 && sp->size[d] != 1) m |= (uint8_t)(1u << d);
    return m;
}

/* The forward space, with the dims that this gradient sums over as the reduced ones where the forward reduces
 * none. */
static tide_status forward_space(tide_context *cx, const tide_vjp_head *head, shapes_t *f, tide_space *sp) {
    forward_shapes(cx, head, f);
    tide_status e = tide_space_of(&tide_op_table[head->op], &f->s, sp);
    if (!e && head->reduced) sp->reduced = head->reduced;
    return e;
}

/* A gradient that is wide keeps, within each axis along which its input varies at all, the dims that the input
 * lacks. */
static void widen(tide_space *sp, int8_t *map, int *ndim_out) {
    bool axis[2] = {false, false};
    for (int d = 0; d < sp->ndim; d++)
        if (map[d] >= 0) axis[sp->reduced >> d & 1] = true;
    for (int d = 0; d < sp->ndim; d++) map[d] = (int8_t)(axis[sp->reduced >> d & 1] ? d : -1);
    if (ndim_out) *ndim_out = sp->ndim;
}

tide_status tide_vjp_space(tide_context *cx, const tide_vjp_head *head, tide_space *out) {
    shapes_t f;
    tide_space sp;
    tide_status e = forward_space(cx, head, &f, &sp);
    if (e) return e;
    *out = sp;
    int n = 0;
    for (int i = 0; i < head->nin; i++)
        if (head->uses >> i & 1) memcpy(out->map[n++], sp.map[i], sizeof sp.map[0]);
    for (int j = 0; j < head->nout; j++)
        if (head->uses >> (32 + j) & 1) memcpy(out->map[n++], sp.map[head->nin + j], sizeof sp.map[0]);
    for (int j = 0; j < head->nout; j++)
        if (head->seeded >> j & 1) memcpy(out->map[n++], sp.map[head->nin + j], sizeof sp.map[0]);
    for (int i = 0; i < head->nin; i++)
        if (head->want >> i & 1) {
            memcpy(out->map[n], sp.map[i], sizeof sp.map[0]);
            if (head->wide >> i & 1) widen(&sp, out->map[n], NULL);
            n++;
        }
    return TIDE_OK;
}

tide_status tide_vjp_infer(tide_shapes *s) {
    const tide_vjp_head *head = s->attr;
    const tide_meta *m = tide_vjp_metas(head);
    shapes_t f;
    tide_space sp;
    if (head->wide) {
        tide_status e = forward_space(s->cx, head, &f, &sp);
        if (e) return e;
    }
    for (int i = 0, k = 0; i < head->nin; i++) {
        if (!(head->want >> i & 1)) continue;
        tide_meta *o = &s->out[k++];
        *o = m[i];
        if (!(head->wide >> i & 1)) continue;
        int8_t map[TIDE_MAXDIM];
        memcpy(map, sp.map[i], sizeof map);
        widen(&sp, map, &o->ndim);
        for (int d = 0; d < sp.ndim; d++) o->shape[d] = map[d] >= 0 ? sp.size[d] : 1;
    }
    return TIDE_OK;
}

/* The forward program over the forward space, then derived; an operation's own vjp_program instead where it has
 * one and the gradient is the first output's alone (second derivatives reach the hidden ones too). A derivative
 * that is derived again has the reduced dims of that: the gradients of what it broadcasts are sums. */
tide_prog *tide_vjp_program(tide_context *cx, const tide_vjp_head *head, uint8_t reduced, uint64_t *uses) {
    const tide_op *op = &tide_op_table[head->op];
    shapes_t f;
    tide_space sp;
    if (forward_space(cx, head, &f, &sp)) return NULL;
    if (reduced) sp.reduced = reduced;
    tide_prog *p = tide_op_program(cx, op, &f.s, &sp);
    if (!p) return NULL;
    /* program inputs are the forward inputs that are given (a nested vjp's are all given) */
    uint32_t want = 0;
    int number[TIDE_MAXARGS], k = 0;
    for (int i = 0; i < head->nin; i++)
        if (f.in[i]) {
            if (head->want >> i & 1) want |= 1u << k;
            number[k++] = i;
        }
    uint64_t used;
    tide_prog *q;
    if (op->vjp_program && head->seeded == 1) {
        q = tide_prog_new(cx);
        tide_val x[TIDE_MAXARGS], y[TIDE_MAXARGS], gy[TIDE_MAXARGS], gx[TIDE_MAXARGS];
        memset(x, 0xFF, sizeof x), memset(y, 0xFF, sizeof y), memset(gy, 0xFF, sizeof gy),
            memset(gx, 0xFF, sizeof gx);
        if (q) {
            used = 0;
            for (int i = 0; i < head->nin; i++)
                if (f.in[i] && (op->saves_in >> i & 1))
                    x[i] = p_arg(q, (tide_dtype)f.in[i]->dtype, tide_arg_space(&sp, i)), used |= 1ull << i;
            for (int j = 0; j < head->nout; j++)
                if (op->saves_out >> j & 1)
                    y[j] = p_arg(q, (tide_dtype)f.out[j].dtype, tide_arg_space(&sp, head->nin + j)),
                    used |= 1ull << (32 + j);
            gy[0] = p_arg(q, (tide_dtype)f.out[0].dtype, tide_arg_space(&sp, head->nin));
            op->vjp_program(q, tide_vjp_attr(head), x, y, gy, gx);
            for (int i = 0; i < head->nin; i++)
                if (head->want >> i & 1)
                    p_store(
                        q, gx[i],
                        p_out(q, (tide_dtype)f.in[i]->dtype, sp.reduced ? tide_arg_space(&sp, i) : TIDE_POINT));
            if (q->failed || tide_prog_simplify(q)) tide_prog_free(q), q = NULL;
            *uses = used;
        }
        tide_prog_free(p);
    } else {
        q = tide_prog_derive(p, want, head->seeded, &used);
        tide_prog_free(p);
        if (!q) return NULL;
        *uses = used & ~0xFFFFFFFFull;
        for (int i = 0; i < k; i++)
            if (used >> i & 1) *uses |= 1ull << number[i];
    }
    /* slots are read from the vjp's own attributes: the forward ones lie behind the head */
    for (int i = 0; q && i < q->nslot; i++) q->slot[i].offset = (uint16_t)(q->slot[i].offset + sizeof *head);
    return q;
}

/* ---- plans: which derivatives give the gradients of a call ---- */

static void plan_free(tide_context *cx, tide_cached *entry) {
    tide_vjp_plan *plan = (tide_vjp_plan *)entry;
    for (int i = 0; i < plan->n; i++) {
        tide_release(cx, plan->group[i].blob, blob_size(plan->group[i].blob));
        tide_release(cx, plan->group[i].space, sizeof *plan->group[i].space);
    }
    tide_release(cx, plan, sizeof *plan + plan->entry.nkey);
}

void tide_vjps_free(tide_context *cx) {
    cx->door->vjps_age++;
    tide_cache_clear(cx, &cx->door->vjps, plan_free);
}

/* The inputs to be differentiated by one program: all of them, but for pointwise operations only those that are
 * summed over the same dims. Takes them from *want; sets head->want, reduced and wide. */
static void next_group(const tide_space *sp, tide_vjp_head *head, uint32_t *want) {
    if (!sp->reduced) {
        int first = __builtin_ctz(*want);
        head->reduced = missing(sp, first);
        for (int i = first; i < head->nin; i++)
            if ((*want >> i & 1) && missing(sp, i) == head->reduced) head->want |= 1u << i;
    } else {
        head->want = *want;
        for (int i = 0; i < head->nin; i++) {
            if (!(*want >> i & 1)) continue;
            uint8_t m = missing(sp, i), all = (uint8_t)((1u << sp->ndim) - 1), big = 0;
            for (int d = 0; d < sp->ndim; d++) big |= (uint8_t)((sp->size[d] != 1) << d);
            uint8_t r = sp->reduced & big, k = (uint8_t)(all & ~sp->reduced) & big;
            if (((m & r) && (m & r) != r) || ((m & k) && (m & k) != k)) head->wide |= 1u << i;
        }
    }
    *want &= ~head->want;
}

/* Does the program only copy its input, which looks like all gradients wanted? The number of the output whose
 * gradient that is, from 1; 0: no. */
static int passing(const tide_prog *p, const tide_vjp_head *b, const tide_space *sp) {
    const tide_meta *m = tide_vjp_metas(b);
    const int out = b->nin + (b->seeded ? __builtin_ctz(b->seeded) : 0);
    if (b->uses || b->reduced || b->wide || sp->reduced || p->nin != 1) return 0;
    for (int64_t v = 0; v < p->n; v++)
        if (v ? p->insn[v].op != TIDE_P_STORE || p->insn[v].a : p->insn[v].op != TIDE_P_LOAD) return 0;
    for (int i = 0; i < b->nin; i++)
        if ((b->want >> i & 1) && !tide_same_meta(&m[i], &m[out])) return 0;
    return out - b->nin + 1;
}

/* head: op, nattr, nin, nout, seeded and given of the call. */
static tide_vjp_plan *plan_new(tide_context *cx, const tide_vjp_head *head, const void *attr,
                               const tide_meta *const *metas, uint32_t want, const void *key, uint32_t nkey) {
    tide_vjp_plan *plan = tide_alloc0(cx, sizeof *plan + nkey);
    if (!plan) return NULL;
    memcpy(plan + 1, key, nkey);
    plan->entry = (tide_cached){.nkey = nkey, .key = plan + 1};
    plan->want = want;
    plan->seeded = head->seeded;
    while (want) {
        shapes_t f;
        tide_space sp;
        tide_vjp_head *b = tide_alloc0(cx, blob_size(head));
        if (!b) break;
        plan->group[plan->n++].blob = b;
        *b = *head;
        if (head->nattr) memcpy(b + 1, attr, head->nattr);
        for (int a = 0; a < head->nin + head->nout; a++)
            if (metas[a]) ((tide_meta *)tide_vjp_metas(b))[a] = *metas[a];
        if (forward_space(cx, b, &f, &sp)) break;
        next_group(&sp, b, &want);
        const tide_variant *v = tide_variant_vjp(cx, b);
        if (!v) break;
        b->uses = v->uses;
        b->id = ++cx->door->vjps_made;
        plan->uses |= v->uses;
        plan->group[plan->n - 1].passes = passing(v->prog, b, &sp);
        if (!b->wide) continue;
        tide_space *keep = plan->group[plan->n - 1].space = tide_alloc(cx, sizeof sp);
        if (!keep) break;
        *keep = sp;
    }
    if (!tide_pending(cx)) return plan;
    plan_free(cx, &plan->entry);
    return NULL;
}

enum { KEY_MAX = 4096, LIMIT = 2048 };

/* The plan for a call with inputs and outputs like `metas` (NULL: not given). */
static tide_vjp_plan *plan_of(tide_context *cx, const tide_call *call, const tide_meta *const *metas,
                              uint32_t want, uint32_t seeded) {
    tide_vjp_head h = {.op = call->op,
                       .nattr = (uint16_t)call->nattr,
                       .nin = (uint8_t)call->nin,
                       .nout = (uint8_t)call->nout,
                       .seeded = seeded};
    uint64_t key[KEY_MAX / 8], *w = key;
    if (call->nattr > KEY_MAX / 2) {
        tide_fail(cx, TIDE_EUNSUP, "gradients of gradients nested too deeply");
        return NULL;
    }
    *w++ = call->op | (uint64_t)call->nin << 16 | (uint64_t)call->nout << 32;
    *w++ = want | (uint64_t)seeded << 32;
    if (call->nattr) {
        w += (call->nattr + 7) / 8;
        w[-1] = 0;
        tide_key_attr(&tide_op_table[call->op], call->attr, call->nattr, (uint8_t *)(key + 2));
    }
    for (uint32_t a = 0; a < call->nin + call->nout; a++) {
        const tide_meta *m = metas[a];
        *w++ = m ? 1u | (uint32_t)m->dtype << 8 | (uint64_t)(uint32_t)m->ndim << 32 : 0;
        for (int d = 0; m && d < m->ndim; d++) *w++ = (uint64_t)m->shape[d];
        if (m && a < call->nin) h.given |= 1u << a;
    }
    uint32_t n = (uint32_t)((char *)w - (char *)key), hash = tide_cache_hash(key, n);
    tide_vjp_plan *plan = (tide_vjp_plan *)tide_cache_find(&cx->door->vjps, key, n, hash);
    if (plan) return plan;
    plan = plan_new(cx, &h, call->attr, metas, want, key, n);
    if (!plan) return NULL;
    plan->entry.hash = hash;
    if (cx->door->vjps.n >= LIMIT && !cx->door->deriving) tide_vjps_free(cx);
    if (!tide_cache_add(cx, &cx->door->vjps, &plan->entry)) return plan;
    plan_free(cx, &plan->entry);
    return NULL;
}

const tide_vjp_plan *tide_vjp_plan_of(tide_context *cx, const tide_op *op, const tide_call *call,
                                      const tide_meta *const *metas, uint32_t want) {
    uint32_t seeded = 0;
    int shown = op->infer == tide_vjp_infer ? (int)call->nout : op->nshown;
    for (int j = 0; j < shown; j++)
        if (tide_dtype_is_float((tide_dtype)metas[call->nin + (uint32_t)j]->dtype)) seeded |= 1u << j;
    return plan_of(cx, call, metas, want, seeded);
}

const tide_vjp_plan *tide_vjp_plan_for(tide_context *cx, const tide_op *op, const tide_call *call,
                                       uint32_t want) {
    const tide_meta *metas[2 * TIDE_MAXARGS];
    for (uint32_t i = 0; i < call->nin; i++) metas[i] = call->in[i] ? &call->in[i]->meta : NULL;
    for (uint32_t j = 0; j < call->nout; j++) metas[call->nin + j] = &call->out[j]->meta;
    return tide_vjp_plan_of(cx, op, call, metas, want);
}

/* ---- calling it ---- */

/* Sums a wide gradient down to the shape of its input. */
static tide_tensor *sum_to(tide_context *cx, tide_tensor *g, const tide_space *sp, int arg,
                           const tide_meta *m) {
    tide_sum_attr a = *(const tide_sum_attr *)tide_op_table[TIDE_OP_SUM].attr0;
    a.dim.n = 0;
    a.keepdim = 1;
    for (int d = 0; d < sp->ndim; d++)
        if (sp->map[arg][d] < 0 && g->meta.shape[d] != 1) a.dim.v[a.dim.n++] = d;
    tide_tensor *s = tide_call1(cx, TIDE_OP_SUM, &g, 1, &a);
    if (!s) return NULL;
    tide_reshape_attr r = {{m->ndim, {0}}};
    memcpy(r.shape.v, m->shape, sizeof r.shape.v);
    tide_tensor *out = tide_call1(cx, TIDE_OP_RESHAPE, &s, 1, &r);
    tide_free(s);
    return out;
}

/* The gradients of one group into gx. */
static tide_status run_group(tide_context *cx, tide_vjp_head *b, const tide_space *space,
                             const tide_call *forward, const tide_meta *metas, tide_tensor *const *gy,
                             tide_tensor **gx) {
    tide_tensor *in[2 * TIDE_MAXARGS], *out[TIDE_MAXARGS];
    uint32_t nin = 0, nout = 0;
    if (b->nattr) memcpy(b + 1, forward->attr, b->nattr);
    for (uint32_t i = 0; i < forward->nin; i++)
        if (b->uses >> i & 1) in[nin++] = forward->in[i];
    for (uint32_t j = 0; j < forward->nout; j++)
        if (b->uses >> (32 + j) & 1) in[nin++] = forward->out[j];
    for (uint32_t j = 0; j < forward->nout; j++)
        if (gy[j]) in[nin++] = gy[j];
    for (uint32_t i = 0; i < forward->nin; i++)
        if (b->want >> i & 1) out[nout++] = b->wide >> i & 1 ? NULL : gx[i];
    tide_call c = {
        .op = TIDE_OP_VJP, .nin = nin, .nout = nout, .in = in, .out = out, .attr = b, .nattr = blob_size(b)};
    tide_status e = tide_apply(cx, &c);
    for (uint32_t i = 0, k = 0; i < forward->nin && !e; i++) {
        if (!(b->want >> i & 1)) continue;
        gx[i] = out[k++];
        if (!(b->wide >> i & 1)) continue;
        tide_tensor *g = gx[i];
        gx[i] = sum_to(cx, g, space, (int)i, &metas[i]);
        tide_free(g);
        if (!gx[i]) e = tide_pending(cx);
    }
    return e;
}

/* False: a tensor to write into is there. */
static bool pass(uint32_t want, tide_tensor *gy, tide_tensor **gx) {
    for (uint32_t w = want; w; w &= w - 1)
        if (gx[__builtin_ctz(w)]) return false;
    for (uint32_t w = want; w; w &= w - 1) gx[__builtin_ctz(w)] = tide_keep(gy);
    return true;
}

tide_status tide_vjp(tide_context *cx, const tide_op *op, const tide_call *forward, const tide_meta *metas,
                     tide_tensor *const *gy, uint32_t want, tide_tensor **gx, const tide_vjp_plan *plan) {
    if (op->vjp) return op->vjp(cx, forward, gy, want, gx);
    uint32_t seeded = 0;
    if (!want) return TIDE_OK;
    for (uint32_t j = 0; j < forward->nout; j++)
        if (gy[j]) seeded |= 1u << j;
    if (!plan || plan->want != want || plan->seeded != seeded) {
        const tide_meta *shapes[2 * TIDE_MAXARGS];
        for (uint32_t a = 0; a < forward->nin + forward->nout; a++)
            shapes[a] = metas[a].dtype ? &metas[a] : NULL;
        plan = plan_of(cx, forward, shapes, want, seeded);
        if (!plan) return tide_pending(cx);
    }
    tide_status e = TIDE_OK;
    cx->door->deriving++;
    for (int g = 0; g < plan->n && !e; g++)
        if (!plan->group[g].passes || !pass(plan->group[g].blob->want, gy[plan->group[g].passes - 1], gx))
            e = run_group(cx, plan->group[g].blob, plan->group[g].space, forward, metas, gy, gx);
    cx->door->deriving--;
    return e;
}
