/* Following a step: each call at the door is matched against the records that still fit; nothing executes. */
#include "trace/trace.h"

static bool same_strides(const tide_tensor *t, const tide_value *v) {
    return !memcmp(t->stride, v->stride, (size_t)t->meta.ndim * sizeof *t->stride);
}

/* Does t stand for value v of record r here? `fresh`: not seen in this run yet. */
static bool fits(tide_context *cx, const tide_record *r, uint32_t v, const tide_tensor *t) {
    if (!v || !t) return !v && !t;
    const tide_value *val = &r->value[v];
    if (t->epoch == cx->tensors->epoch) return t->value == v;
    if (val->kind == VALUE_CAPTURED) return t == val->tensor;
    return val->kind == VALUE_EXTERNAL && !(t->flags & (TIDE_DEAD | TIDE_TEMP)) &&
           tide_same_meta(&t->meta, &val->meta) && same_strides(t, val) &&
           (t->flags & TIDE_REQUIRES_GRAD) == (val->flags & TIDE_REQUIRES_GRAD) &&
           !(t->node && !t->node->spent);
}

/* Inputs that appear twice in a call must be the same tensor where they were, and different where they were
 * not. */
static bool inputs_fit(tide_context *cx, const tide_record *r, const tide_tnode *n, const tide_call *call) {
    uint64_t tensors = 0,
             values = 0; /* a bit each, by address and by number: where both are new, so are they */
    for (uint32_t i = 0; i < call->nin; i++) {
        const tide_tensor *t = call->in[i];
        if (!fits(cx, r, n->in[i], t)) return false;
        const uint64_t tensor = 1ull << ((uintptr_t)t / TIDE_ALIGN * 0x9E3779B97F4A7C15u >> 58),
                       value = 1ull << n->in[i] % 64;
        const bool maybe = (tensors & tensor) || (values & value);
        tensors |= tensor, values |= value;
        if (!maybe || !t || t->epoch == cx->tensors->epoch || call->nin > TIDE_MAXARGS) continue;
        for (uint32_t k = 0; k < i; k++)
            if ((call->in[k] == t) != (n->in[k] == n->in[i])) return false;
    }
    return true;
}

static bool grads_fit(const tide_record *r, const tide_tnode *n, const tide_call *call) {
    if (n->op == TIDE_OP_GRAD_OF) {
        const tide_tensor *t = call->in[0];
        bool there = t->grad && !t->grad_absent;
        return there == (n->out[0] != 0) && (!there || r->value[n->out[0]].tensor == t->grad);
    }
    if (n->op == TIDE_OP_ZERO_GRAD) {
        for (uint32_t i = 0; i < call->nin; i++) {
            const tide_tensor *g = call->in[i]->grad;
            if (g && (g->node || (g->flags & TIDE_REQUIRES_GRAD))) return false;
        }
    }
    for (int64_t i = 0; i < n->neffect; i++) {
        const tide_tensor *leaf = r->value[n->effect[i].leaf].bound;
        if (!leaf || leaf->grad != r->value[n->effect[i].grad].tensor ||
            leaf->grad_absent != n->effect[i].was_absent)
            return false;
    }
    return true;
}

/* Numbers that may vary must be allowed, and lead to the same shapes. */
static bool numbers_fit(tide_context *cx, const tide_record *r, const tide_tnode *n, const tide_call *call) {
    const tide_op *op = &tide_op_table[call->op];
    if (!(op->flags & TIDE_F_NUMBERS)) return true;
    tide_meta out[TIDE_MAXARGS] = {0};
    if (tide_infer(cx, op, call, out)) { /* raised when the call is made for real */
        tide_error(cx, NULL);
        return false;
    }
    for (uint32_t j = 0; j < call->nout; j++)
        if (!tide_same_meta(&out[j], &r->value[n->out[j]].meta)) return false;
    return true;
}

static bool matches(tide_context *cx, const tide_record *r, int64_t at, const tide_call *call,
                    const uint8_t *key) {
    if (at >= r->nnode) return false;
    const tide_tnode *n = &r->node[at];
    if (n->op != call->op || n->flags != call->flags || n->nin != call->nin || n->nout != call->nout ||
        n->nattr != call->nattr)
        return false;
    if (n->grad_enabled != cx->tape->enabled || (n->nattr && memcmp(n->key, key, n->nattr))) return false;
    return inputs_fit(cx, r, n, call) && grads_fit(r, n, call) && numbers_fit(cx, r, n, call);
}

static tide_status will_write(tide_context *cx, tide_tensor *t) {
    tide_trace *tr = cx->trace;
    tide_storage *s = t->storage;
    if (!s || s->pending) return TIDE_OK;
    tide_status e = tide_grow(cx, (void **)&tr->pending, &tr->cpending, tr->npending + 1, sizeof *tr->pending);
    if (e) return e;
    s->pending = cx->tensors->epoch;
    tide_storage_keep(s);
    tr->pending[tr->npending++] = s;
    return TIDE_OK;
}

static tide_status set_absent(tide_context *cx, tide_tensor *leaf, bool absent) {
    tide_trace *tr = cx->trace;
    tide_status e = tide_grow(cx, (void **)&tr->undo, &tr->cundo, tr->nundo + 1, sizeof *tr->undo);
    if (e) return e;
    tr->undo[tr->nundo++] = (tide_undo){tide_keep(leaf), leaf->grad_absent};
    leaf->grad_absent = absent;
    return TIDE_OK;
}

/* The tensor that stands for a result: the plan's own struct for a temporary, a new one for what outlives the
 * step. */
static tide_tensor *stand_in(tide_context *cx, tide_record *r, uint32_t v) {
    tide_value *val = &r->value[v];
    tide_tensor *t;
    if (!val->output && val->tensor && val->tensor->pins == 1 && (val->tensor->flags & TIDE_TEMP)) {
        t = tide_keep(val->tensor); /* only Lua handles, which check the epoch, may still refer to it */
        t->flags = TIDE_TEMP | val->flags;
    } else {
        t = tide_tensor_struct(cx, &val->meta);
        if (!t) return NULL;
        memcpy(t->stride, val->stride, sizeof t->stride);
        t->flags = val->flags | (val->output ? 0 : TIDE_TEMP);
        if (val->output) {
            if (val->flags & TIDE_REQUIRES_GRAD) tide_node_used(t);
        } else {
            if (val->tensor) tide_free(val->tensor);
            val->tensor = tide_keep(t);
        }
    }
    t->epoch = cx->tensors->epoch;
    t->value = v;
    return t;
}

static void bind(tide_context *cx, tide_record *r, const tide_tnode *n, const tide_call *call) {
    for (uint32_t i = 0; i < call->nin; i++) {
        tide_value *v = &r->value[n->in[i]];
        if (!n->in[i] || v->bound) continue;
        v->bound = tide_keep(call->in[i]);
        call->in[i]->epoch = cx->tensors->epoch;
        call->in[i]->value = n->in[i];
    }
}

/* Takes the call as node `position` of every candidate; results and effects by the first. */
static tide_status take(tide_context *cx, tide_call *call) {
    tide_trace *tr = cx->trace;
    tide_record *r = tr->candidate[0];
    const tide_op *op = &tide_op_table[call->op];
    for (int c = 0; c < tr->ncandidate; c++) {
        tide_record *each = tr->candidate[c];
        tide_tnode *n = &each->node[tr->position];
        bind(cx, each, n, call);
        if (call->nattr) memcpy(n->attr, call->attr, call->nattr);
        n->site = cx->site;
    }
    tide_tnode *n = &r->node[tr->position];
    tide_status e = TIDE_OK;
    if (call->op == TIDE_OP_ZERO_GRAD)
        for (uint32_t i = 0; i < call->nin && !e; i++) e = set_absent(cx, call->in[i], true);
    for (int64_t i = 0; i < n->neffect && !e; i++) {
        tide_tensor *leaf = r->value[n->effect[i].leaf].bound;
        e = set_absent(cx, leaf, false);
        if (!e) e = will_write(cx, leaf->grad);
    }
    for (uint32_t i = 0; i < call->nin && !e; i++) {
        uint32_t list = op->flags & TIDE_F_LIST ? i / (call->nin / op->group) : i;
        if (((op->writes >> list & 1) || (i == 0 && (call->flags & TIDE_INPLACE))) && call->in[i])
            e = will_write(cx, call->in[i]);
    }
    /* batch_norm writes its running statistics inside */
    for (int32_t l = n->leaf0; l < n->leaf0 + n->nleaf && !e && op->compose; l++) {
        const tide_leaf *leaf = &r->leaf[l];
        if ((leaf->call.flags & TIDE_INPLACE) && r->value[leaf->in[0]].kind == VALUE_EXTERNAL &&
            r->value[leaf->in[0]].bound)
            e = will_write(cx, r->value[leaf->in[0]].bound);
    }
    for (uint32_t j = 0; j < call->nout && !e; j++) {
        if (call->out[j] || !n->out[j] || (j == 0 && (call->flags & TIDE_INPLACE))) continue;
        tide_value *v = &r->value[n->out[j]];
        if (v->kind == VALUE_CAPTURED) {
            call->out[j] = tide_keep(v->tensor);
            continue;
        }
        if (v->bound) {
            call->out[j] = tide_keep(v->bound);
            continue;
        } /* in place, or given back as it came */
        tide_tensor *t = stand_in(cx, r, n->out[j]);
        if (!t) return tide_pending(cx);
        call->out[j] = t;
        for (int c = 0; c < tr->ncandidate; c++) {
            tide_value *w = &tr->candidate[c]->value[tr->candidate[c]->node[tr->position].out[j]];
            if (!w->bound) w->bound = tide_keep(t);
        }
    }
    if (e) return e;
    if (call->flags & TIDE_INPLACE) call->out[0] = call->in[0];
    tr->position++;
    tr->count.matched++;
    return TIDE_OK;
}

/* What stood for values in this run lives on with the record that was launched, not with the others. */
static void unbind(tide_record *r, bool launched) {
    for (int64_t i = 1; i < r->nvalue; i++) {
        tide_value *v = &r->value[i];
        if (!v->bound) continue;
        if (v->kind == VALUE_MADE && v->tensor == v->bound && !launched) {
            tide_free(v->tensor);
            v->tensor = NULL;
        }
        tide_free(v->bound);
        v->bound = NULL;
    }
}

tide_status tide_follow_before(void *state, tide_context *cx, tide_call *call, bool *taken) {
    tide_trace *tr = state;
    if (tr->mode != TRACE_FOLLOW) return TIDE_OK;
    const tide_op *op = &tide_op_table[call->op];
    uint8_t local[1024], *key = local;
    if (call->nattr > sizeof local || (op->flags & TIDE_F_SYNC)) return tide_follow_leave(cx);
    if (call->nattr) {
        if (op->compose)
            memcpy(key, call->attr, call->nattr);
        else
            tide_key_attr(op, call->attr, call->nattr, key);
    }
    bool ok[TIDE_MAXTRACES];
    int n = 0;
    for (int c = 0; c < tr->ncandidate; c++)
        n += ok[c] = matches(cx, tr->candidate[c], tr->position, call, key);
    if (n == 0) return tide_follow_leave(cx);
    if (n < tr->ncandidate) { /* the first one made the stand-ins: their bindings are shared by all */
        int k = 0;
        for (int c = 0; c < tr->ncandidate; c++) {
            if (ok[c])
                tr->candidate[k++] = tr->candidate[c];
            else
                unbind(tr->candidate[c], false);
        }
        tr->ncandidate = k;
    }
    *taken = true;
    uint32_t given = 0; /* outputs that came with the call; lists have all of theirs */
    for (uint32_t j = 0; j < call->nout; j++)
        if (call->out[j]) given |= 1u << (j < 31 ? j : 31);
    tide_status e = take(cx, call);
    for (uint32_t j = 0; j < call->nout && e; j++) {
        if (given >> (j < 31 ? j : 31) & 1) continue;
        tide_free(call->out[j]);
        call->out[j] = NULL;
    }
    return e;
}

/* The run is over: what was matched but never computed has no data, and never will. */
void tide_follow_end(tide_context *cx, const tide_record *launched) {
    tide_trace *tr = cx->trace;
    for (int c = 0; c < tr->ncandidate; c++) {
        tide_record *r = tr->candidate[c];
        for (int64_t v = 1; v < r->nvalue; v++)
            if (r->value[v].bound && !r->value[v].bound->storage) r->value[v].bound->flags |= TIDE_DEAD;
        unbind(r, r == launched);
    }
    tr->ncandidate = 0;
}

static void clear_pending(tide_context *cx) {
    tide_trace *tr = cx->trace;
    for (int64_t i = 0; i < tr->npending; i++) {
        tr->pending[i]->pending = 0;
        tide_storage_free(cx, tr->pending[i]);
    }
    tr->npending = 0;
}

/* Runs the matched calls for real, in order, recording them, into the tensors that the script already holds. */
tide_status tide_follow_leave(tide_context *cx) {
    tide_trace *tr = cx->trace;
    if (tr->mode != TRACE_FOLLOW) return TIDE_OK;
    tide_record *r = tr->candidate[0];
    int64_t n = tr->position;
    uint32_t site = cx->site;
    const char *opname = cx->opname;
    tr->count.deopts++;
    clear_pending(cx);
    while (tr->nundo > 0) {
        tide_undo *u = &tr->undo[--tr->nundo];
        u->leaf->grad_absent = u->was_absent;
        tide_free(u->leaf);
    }
    tr->record = tide_record_new(cx);
    tr->mode = tr->record ? TRACE_RECORD : TRACE_OFF;
    cx->tensors->epoch = ++tr->epochs;
    bool enabled = cx->tape->enabled;
    tide_status e = TIDE_OK;
    for (int64_t i = 0; i < n && !e; i++) {
        tide_tnode *node = &r->node[i];
        size_t bytes = (node->nin + node->nout) * sizeof(tide_tensor *);
        tide_tensor **in = tide_alloc0(cx, bytes), **out;
        if (!in) {
            e = TIDE_EMEM;
            break;
        }
        out = in + node->nin;
        for (uint32_t k = 0; k < node->nin; k++) in[k] = node->in[k] ? r->value[node->in[k]].bound : NULL;
        const tide_op *op = &tide_op_table[node->op];
        if (op->flags & TIDE_F_LIST) /* lists are written into their own inputs */
            for (uint32_t j = 0; j < node->nout; j++) out[j] = r->value[node->out[j]].bound;
        tide_call call = {.op = node->op,
                          .flags = node->flags,
                          .nin = node->nin,
                          .nout = node->nout,
                          .in = in,
                          .out = out,
                          .attr = node->nattr ? node->attr : NULL,
                          .nattr = node->nattr};
        cx->site = node->site;
        cx->tape->enabled = node->grad_enabled;
        e = tide_apply(cx, &call);
        for (uint32_t j = 0; j < node->nout && !e; j++) {
            uint32_t v = node->out[j];
            if (!v || !out[j] || (op->flags & TIDE_F_LIST) || ((node->flags & TIDE_INPLACE) && j == 0))
                continue;
            tide_tensor *held = r->value[v].bound;
            if (held && held != out[j] && r->value[v].kind == VALUE_MADE) {
                tide_record *rec = tr->record;
                if (rec && out[j]->value < rec->nvalue && rec->value[out[j]->value].tensor == out[j])
                    rec->value[out[j]->value].tensor = held;
                tide_tensor_swap(held, out[j]); /* what the script holds is what was now computed */
                out[j]->epoch = 0;
            }
            tide_free(out[j]);
        }
        tide_release(cx, in, bytes);
    }
    cx->tape->enabled = enabled;
    cx->site = site;
    cx->opname = opname;
    tide_follow_end(cx, NULL);
    return e;
}

tide_status tide_follow_sync(tide_context *cx, tide_tensor *t) {
    tide_trace *tr = cx->trace;
    if (tr->mode == TRACE_RECORD && tr->record && !t)
        tr->record->usable = false, tr->record->why = "it changed what a plan cannot hold";
    if (tr->mode == TRACE_RECORD && tr->record && t && t->epoch == cx->tensors->epoch)
        tr->record->usable = false, tr->record->why = "it reads data on the host";
    if (tr->mode != TRACE_FOLLOW) return TIDE_OK;
    if (t && t->storage && !t->storage->pending && !(t->flags & TIDE_TEMP)) return TIDE_OK;
    return tide_follow_leave(cx);
}
