/* From a record to a plan, and running it: no tape, no allocation of temporaries, no shape rules. */
#include "trace/trace.h"

/* ---- planning ---- */

static int64_t bytes_of(const tide_value *v) {
    int64_t n = tide_numel(&v->meta) * (int64_t)tide_dtype_size((tide_dtype)v->meta.dtype);
    return (n + 63) & ~(int64_t)63;
}

/* A made value with storage of its own that lives in the arena. */
static bool in_arena(const tide_record *r, int64_t v) {
    const tide_value *x = &r->value[v];
    return x->kind == VALUE_MADE && x->root == (uint32_t)v && !x->output;
}

static void live(tide_record *r, uint32_t v, int32_t at) {
    if (!v) return;
    tide_value *root = &r->value[r->value[v].root];
    if (root->first < 0) root->first = at;
    root->last = at;
}

static bool overlap_in_time(const tide_value *a, const tide_value *b) {
    return a->first <= b->last && b->first <= a->last;
}

/* Each temporary, the largest first, at the lowest place that is free while it lives. */
static void place(tide_record *r) {
    r->arena_size = 0;
    for (;;) {
        int64_t best = 0;
        for (int64_t v = 1; v < r->nvalue; v++)
            if (in_arena(r, v) && r->value[v].at < 0 &&
                (!best || bytes_of(&r->value[v]) > bytes_of(&r->value[best])))
                best = v;
        if (!best) return;
        tide_value *x = &r->value[best];
        int64_t at = 0, size = bytes_of(x);
        for (bool moved = true; moved;) {
            moved = false;
            for (int64_t v = 1; v < r->nvalue; v++) {
                const tide_value *y = &r->value[v];
                if (v == best || !in_arena(r, v) || y->at < 0 || !overlap_in_time(x, y)) continue;
                if (at < y->at + bytes_of(y) && y->at < at + size) at = y->at + bytes_of(y), moved = true;
            }
        }
        x->at = at;
        if (at + size > r->arena_size) r->arena_size = at + size;
    }
}

tide_status tide_plan(tide_context *cx, tide_record *r) {
    if (r->planned) return TIDE_OK;
    for (int64_t v = 1; v < r->nvalue; v++) { /* a view that outlives the step keeps its root alive */
        tide_value *x = &r->value[v];
        x->first = x->last = -1;
        if (x->output && x->kind == VALUE_MADE)
            r->value[x->root].output |= r->value[x->root].kind == VALUE_MADE;
    }
    for (int64_t l = 0; l < r->nleaf; l++) {
        const tide_leaf *leaf = &r->leaf[l];
        for (uint32_t i = 0; i < leaf->call.nin; i++) live(r, leaf->in[i], (int32_t)l);
        for (uint32_t j = 0; j < leaf->call.nout; j++) live(r, leaf->out[j], (int32_t)l);
    }
    place(r);
    r->arena = tide_storage_new(cx, (size_t)r->arena_size);
    if (!r->arena) return tide_pending(cx);
    r->planned = true;
    return TIDE_OK;
}

/* ---- launching ---- */

/* The tensor that a made value is written to, with storage. */
static tide_tensor *made(tide_context *cx, tide_record *r, uint32_t number) {
    tide_value *v = &r->value[number];
    tide_tensor *t = v->output ? v->bound : v->tensor;
    if (!t) {
        t = tide_tensor_struct(cx, &v->meta);
        if (!t) return NULL;
        memcpy(t->stride, v->stride, sizeof t->stride);
        if (v->output)
            v->bound = t; /* inside a composition: freed with the bindings */
        else
            v->tensor = t, t->flags |= TIDE_TEMP;
    }
    if (v->view) {
        tide_value *root = &r->value[v->root];
        tide_tensor *of = root->kind == VALUE_MADE       ? made(cx, r, v->root)
                          : root->kind == VALUE_CAPTURED ? root->tensor
                                                         : root->bound;
        if (!of) return NULL;
        tide_tensor_give(t, of->storage);
        t->offset = of->offset + v->delta;
        return t;
    }
    if (v->output) {
        if (!t->storage) {
            tide_storage *s =
                tide_storage_new(cx, (size_t)tide_numel(&v->meta) * tide_dtype_size((tide_dtype)v->meta.dtype));
            if (!s) return NULL;
            tide_tensor_give(t, s);
            tide_storage_free(cx, s);
        }
    } else {
        tide_tensor_give(t, r->arena);
        t->offset = v->at / (int64_t)tide_dtype_size((tide_dtype)v->meta.dtype);
    }
    return t;
}

static tide_tensor *resolve(tide_context *cx, tide_record *r, uint32_t number) {
    if (!number) return NULL;
    tide_value *v = &r->value[number];
    if (v->kind == VALUE_CAPTURED) return v->tensor;
    return v->kind == VALUE_EXTERNAL ? v->bound : made(cx, r, number);
}

/* Numbers that vary: a leaf that is a matched call has that call's; a vjp those of the forward call it came
 * from. */
static void refresh(tide_record *r, int64_t l) {
    tide_leaf *leaf = &r->leaf[l];
    if (leaf->origin < 0) return;
    const tide_leaf *from = &r->leaf[leaf->origin];
    memcpy((char *)leaf->call.attr + sizeof(tide_vjp_head), from->call.attr, from->call.nattr);
}

tide_status tide_launch(tide_context *cx, tide_record *r) {
    tide_trace *tr = cx->trace;
    uint32_t site = cx->site;
    const char *opname = cx->opname;
    tide_status e = tide_plan(cx, r);
    for (int64_t i = 0; i < r->nnode && !e; i++) {
        const tide_tnode *n = &r->node[i];
        if (n->nleaf == 1 && n->nattr && r->leaf[n->leaf0].call.op == n->op)
            memcpy((void *)r->leaf[n->leaf0].call.attr, n->attr, n->nattr);
        for (int32_t l = n->leaf0; l < n->leaf0 + n->nleaf && !e; l++) {
            tide_leaf *leaf = &r->leaf[l];
            const tide_op *op = &tide_op_table[leaf->call.op];
            refresh(r, l);
            for (uint32_t k = 0; k < leaf->call.nin && !e; k++) {
                leaf->call.in[k] = resolve(cx, r, leaf->in[k]);
                if (leaf->in[k] && !leaf->call.in[k]) e = tide_pending(cx);
            }
            for (uint32_t k = 0; k < leaf->call.nout && !e; k++) {
                leaf->call.out[k] = resolve(cx, r, leaf->out[k]);
                if (leaf->out[k] && !leaf->call.out[k]) e = tide_pending(cx);
            }
            if (e || (op->flags & TIDE_F_VIEW)) continue;
            cx->site = op->compose ? n->site : leaf->site;
            cx->opname =
                op->infer == tide_vjp_infer ? tide_op_table[tide_vjp_head_of(&leaf->call)->op].name : op->name;
            if (!leaf->ready && (op->program || op->infer == tide_vjp_infer))
                leaf->ready = tide_ready_new(cx, op, &leaf->call);
            e = tide_pending(cx);
            if (!e) e = tide_perform(cx, op, &leaf->call, leaf->ready);
        }
    }
    if (!e) cx->site = site; /* else: the line that failed */
    cx->opname = opname;
    tr->count.launches++;
    return e;
}
