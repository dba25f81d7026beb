/* Recording a step: an observer of the door that writes down every call, and every program, kernel and view in
 * it. */
#include "trace/trace.h"

tide_record *tide_record_new(tide_context *cx) {
    tide_record *r = tide_alloc0(cx, sizeof *r);
    if (!r) return NULL;
    r->usable = true;
    r->nvalue = 1;
    if (tide_grow(cx, (void **)&r->value, &r->cvalue, 1, sizeof *r->value)) {
        tide_release(cx, r, sizeof *r);
        return NULL;
    }
    return r;
}

static size_t leaf_size(const tide_leaf *l) {
    return (l->call.nin + l->call.nout) * (sizeof(uint32_t) + sizeof(tide_tensor *)) + l->call.nattr + 32;
}
static size_t node_size(const tide_tnode *n) {
    return (n->nin + n->nout) * sizeof(uint32_t) + 2 * (size_t)n->nattr + 32;
}

void tide_record_free(tide_context *cx, tide_record *r) {
    if (!r) return;
    for (int64_t i = 0; i < r->nleaf; i++) {
        tide_ready_free(cx, r->leaf[i].ready);
        tide_release(cx, r->leaf[i].call.in, leaf_size(&r->leaf[i]));
    }
    for (int64_t i = 0; i < r->nnode; i++) {
        tide_release(cx, r->node[i].attr, node_size(&r->node[i]));
        tide_release(cx, r->node[i].effect, (size_t)r->node[i].ceffect * sizeof *r->node[i].effect);
    }
    for (int64_t v = 1; v < r->nvalue; v++)
        if (r->value[v].tensor &&
            (r->value[v].kind == VALUE_CAPTURED || (r->finished && r->value[v].kind == VALUE_MADE))) {
            r->value[v].tensor->flags |= r->value[v].kind == VALUE_MADE ? TIDE_DEAD : 0;
            tide_free(r->value[v].tensor);
        }
    if (r->arena) tide_storage_free(cx, r->arena);
    tide_release(cx, r->leaf, (size_t)r->cleaf * sizeof *r->leaf);
    tide_release(cx, r->node, (size_t)r->cnode * sizeof *r->node);
    tide_release(cx, r->value, (size_t)r->cvalue * sizeof *r->value);
    tide_release(cx, r, sizeof *r);
}

static void spoil(tide_record *r, const char *why) {
    if (r->usable) r->why = why;
    r->usable = false;
}

/* A new number for t. */
static uint32_t number(tide_context *cx, tide_record *r, tide_tensor *t, tide_value_kind kind) {
    if (tide_grow(cx, (void **)&r->value, &r->cvalue, r->nvalue + 1, sizeof *r->value)) return 0;
    tide_value *v = &r->value[r->nvalue];
    *v = (tide_value){.kind = (uint8_t)kind,
                      .root = (uint32_t)r->nvalue,
                      .meta = t->meta,
                      .tensor = t,
                      .at = -1,
                      .flags = t->flags & TIDE_REQUIRES_GRAD};
    memcpy(v->stride, t->stride, sizeof v->stride);
    if (kind == VALUE_CAPTURED) tide_keep(t);
    t->epoch = cx->tensors->epoch;
    t->value = (uint32_t)r->nvalue;
    return (uint32_t)r->nvalue++;
}

static uint32_t known(tide_context *cx, const tide_record *r, const tide_tensor *t) {
    return t->epoch == cx->tensors->epoch && t->value < r->nvalue ? t->value : 0;
}

/* A .grad buffer that this backward writes? */
static bool is_grad(const tide_record *r, const tide_tensor *t) {
    for (int64_t v = 1; v < r->nvalue; v++)
        if (r->value[v].kind == VALUE_EXTERNAL && r->value[v].tensor && r->value[v].tensor->grad == t)
            return true;
    return false;
}

static uint32_t input(tide_context *cx, tide_record *r, tide_tensor *t, bool top) {
    if (!t) return 0;
    uint32_t v = known(cx, r, t);
    if (v) return v;
    if (top) return number(cx, r, t, VALUE_EXTERNAL);
    if (is_grad(r, t)) return number(cx, r, t, VALUE_CAPTURED);
    spoil(r, "an operation uses a tensor that the step did not see");
    return number(cx, r, t, VALUE_CAPTURED);
}

static uint32_t output(tide_context *cx, tide_record *r, const tide_call *call, uint32_t j, bool leaf) {
    tide_tensor *t = call->out[j];
    if (!t) return 0;
    uint32_t v = known(cx, r, t);
    if (v) return v;
    if (!leaf) return input(cx, r, t, false); /* a composition gave back what was there: a .grad */
    if (cx->door->depth > 0 && is_grad(r, t)) return number(cx, r, t, VALUE_CAPTURED);
    v = number(cx, r, t, VALUE_MADE);
    if (!v) return 0;
    if (tide_op_table[call->op].flags & TIDE_F_VIEW) {
        tide_value *me = &r->value[v], *of = &r->value[call->in[0]->value];
        me->view = true;
        me->root = of->root;
        me->delta = of->delta + (t->offset - call->in[0]->offset);
    }
    return v;
}

static tide_status add_leaf(tide_context *cx, tide_record *r, const tide_call *call) {
    if (tide_grow(cx, (void **)&r->leaf, &r->cleaf, r->nleaf + 1, sizeof *r->leaf)) return TIDE_EMEM;
    tide_leaf l = {.call = *call, .site = cx->site, .origin = -1};
    char *m = tide_alloc0(cx, leaf_size(&l));
    if (!m) return TIDE_EMEM;
    bool top = cx->door->depth == 0;
    l.call.in = (tide_tensor **)m, m += call->nin * sizeof *l.call.in;
    l.call.out = (tide_tensor **)m, m += call->nout * sizeof *l.call.out;
    l.call.attr = m, m += (call->nattr + 7) & ~(size_t)7;
    l.in = (uint32_t *)m;
    l.out = l.in + call->nin;
    if (call->nattr) memcpy((void *)l.call.attr, call->attr, call->nattr);
    if (tide_op_table[call->op].flags & TIDE_F_SYNC) spoil(r, "it reads data on the host");
    for (uint32_t i = 0; i < call->nin; i++) l.in[i] = input(cx, r, call->in[i], top);
    for (uint32_t j = 0; j < call->nout; j++) l.out[j] = output(cx, r, call, j, true);
    tide_node *at = cx->tape->stepping;
    if (at) {
        if (at->custom)
            spoil(r, "a custom function's gradient was used");
        else if (at->epoch != cx->tensors->epoch)
            spoil(r, "backward went through operations from before the step");
        else if (call->op == TIDE_OP_VJP && tide_vjp_head_of(call)->op == at->op)
            l.origin = (int32_t)at->leaf;
    }
    tide_node *n = NULL;
    for (uint32_t j = 0; j < call->nout && !n; j++)
        if (call->out[j] && call->out[j]->node && call->out[j]->node->seq == cx->tape->seq)
            n = call->out[j]->node;
    if (n) n->epoch = cx->tensors->epoch, n->leaf = (uint32_t)r->nleaf;
    for (uint32_t j = 0; n && j < call->nout;
         j++) { /* the tape kept views of results before they had a number */
        tide_tensor *s = n->saved[n->nin + j].tensor;
        if (s) s->epoch = cx->tensors->epoch, s->value = l.out[j];
    }
    r->leaf[r->nleaf++] = l;
    return TIDE_OK;
}

static tide_status open_node(tide_context *cx, tide_record *r, const tide_call *call) {
    if (tide_grow(cx, (void **)&r->node, &r->cnode, r->nnode + 1, sizeof *r->node)) return TIDE_EMEM;
    tide_tnode n = {.op = call->op,
                    .flags = call->flags,
                    .nin = call->nin,
                    .nout = call->nout,
                    .nattr = (uint32_t)call->nattr,
                    .site = cx->site,
                    .grad_enabled = cx->tape->enabled,
                    .leaf0 = (int32_t)r->nleaf};
    char *m = tide_alloc0(cx, node_size(&n));
    if (!m) return TIDE_EMEM;
    n.attr = (uint8_t *)m, m += (call->nattr + 7) & ~(size_t)7;
    n.key = (uint8_t *)m, m += (call->nattr + 7) & ~(size_t)7;
    n.in = (uint32_t *)m;
    n.out = n.in + call->nin;
    const tide_op *op = &tide_op_table[call->op];
    if (call->nattr) {
        memcpy(n.attr, call->attr, call->nattr);
        if (op->compose)
            memcpy(n.key, call->attr, call->nattr); /* inner calls copy its numbers: they may not vary */
        else
            tide_key_attr(op, call->attr, call->nattr, n.key);
    }
    for (uint32_t i = 0; i < call->nin; i++) n.in[i] = input(cx, r, call->in[i], true);
    r->node[r->nnode++] = n;
    return TIDE_OK;
}

static void close_node(tide_context *cx, tide_record *r, const tide_call *call, bool leaf) {
    tide_tnode *n = &r->node[r->nnode - 1];
    n->nleaf = (int32_t)(r->nleaf - n->leaf0);
    for (uint32_t j = 0; j < call->nout; j++) n->out[j] = output(cx, r, call, j, leaf);
}

void tide_record_enter(void *state, tide_context *cx, tide_call *call) {
    tide_trace *tr = state;
    if (tr->mode != TRACE_RECORD) return;
    tr->inside = !open_node(cx, tr->record, call);
    if (!tr->inside) spoil(tr->record, "out of memory");
}

void tide_record_leave(void *state, tide_context *cx, tide_call *call, tide_status status) {
    tide_trace *tr = state;
    if (tr->mode != TRACE_RECORD) return;
    if (status)
        spoil(tr->record, "an operation failed");
    else if (tr->inside)
        close_node(cx, tr->record, call, false);
    tr->inside = false;
}

tide_status tide_record_after(void *state, tide_context *cx, tide_call *call, bool leaf) {
    tide_trace *tr = state;
    if (tr->mode != TRACE_RECORD || !leaf) return TIDE_OK;
    tide_record *r = tr->record;
    bool top = cx->door->depth == 0;
    tide_status e = top ? open_node(cx, r, call) : TIDE_OK;
    if (!e) e = add_leaf(cx, r, call);
    if (!e && top) close_node(cx, r, call, true);
    if (e) spoil(r, "out of memory");
    return e;
}

void tide_record_gone(tide_context *cx, tide_tensor *t) {
    tide_trace *tr = cx->trace;
    if (!tr || tr->mode != TRACE_RECORD || t->value >= tr->record->nvalue) return;
    tide_value *v = &tr->record->value[t->value];
    if (v->tensor == t) v->tensor = NULL;
}

void tide_record_touch(tide_context *cx, tide_tensor *leaf, bool was_absent, bool fresh) {
    tide_trace *tr = cx->trace;
    if (tr->mode != TRACE_RECORD) return;
    tide_record *r = tr->record;
    uint32_t v = known(cx, r, leaf);
    if (fresh) spoil(r, "a .grad was made in it");
    if (!v || !tr->inside) {
        spoil(r, "backward reached a leaf that the step did not see");
        return;
    }
    if (fresh) return;
    uint32_t g = known(cx, r, leaf->grad);
    if (!g) g = number(cx, r, leaf->grad, VALUE_CAPTURED);
    tide_tnode *n = &r->node[r->nnode - 1];
    for (int64_t i = 0; i < n->neffect; i++)
        if (n->effect[i].leaf == v) return;
    if (!g || tide_grow(cx, (void **)&n->effect, &n->ceffect, n->neffect + 1, sizeof *n->effect)) {
        spoil(r, "out of memory");
        return;
    }
    n->effect[n->neffect++] = (tide_effect){v, g, was_absent};
}

/* What is still alive outlives the step; what still has a graph that could be walked cannot be followed. */
void tide_record_finish(tide_context *cx, tide_record *r, tide_tensor *const *out, int nout) {
    r->finished = true;
    for (int i = 0; i < nout; i++) {
        uint32_t v = out[i] ? known(cx, r, out[i]) : 0;
        if (v) r->value[v].output = true;
    }
    for (int64_t i = 1; i < r->nvalue; i++) {
        tide_value *v = &r->value[i];
        if (!v->tensor) continue;
        if (v->kind == VALUE_MADE) {
            v->output = true;
            if (v->tensor->node && !v->tensor->node->spent)
                spoil(r, "a result still has a graph that backward could walk");
            if (v->tensor->grad) spoil(r, "a result has a .grad");
        }
        if (v->kind != VALUE_CAPTURED) v->tensor = NULL;
    }
}
