/* Recording: an observer of the door. */
#include "autograd/tape.h"
#include <stdio.h>

static bool tracked(const tide_tensor *t) { return t && (t->flags & TIDE_REQUIRES_GRAD); }

static void keep_in(tide_saved *s, tide_tensor *t) {
    s->tensor = t;
    s->next = t->saved;
    s->from = &t->saved;
    if (s->next) s->next->from = &s->next;
    t->saved = s;
}

static void take_out(tide_saved *s) {
    *s->from = s->next;
    if (s->next) s->next->from = s->from;
    tide_free(s->tensor);
    s->tensor = NULL;
}

void tide_unsave(tide_node *n) {
    for (int i = 0; i < n->nin + n->nout; i++)
        if (n->saved[i].tensor) take_out(&n->saved[i]);
}

void tide_node_free(tide_context *cx, tide_node *n) {
    /* Long chains: a list instead of recursion. The field `grad` links nodes that wait. */
    tide_node *waiting = NULL;
    while (n) {
        if (--n->refs == 0) {
            for (int i = 0; i < n->nin; i++) {
                if (n->edge[i].leaf) tide_free(n->edge[i].leaf);
                tide_node *in = n->edge[i].node;
                if (!in) continue;
                if (in->refs > 1)
                    in->refs--;
                else
                    in->grad = (tide_tensor **)waiting, waiting = in;
            }
            tide_unsave(n);
            if (n->custom) {
                if (n->custom->release) n->custom->release(n->custom->ud);
                tide_release(cx, n->custom, sizeof *n->custom);
            }
            if (cx->tape) cx->tape->nodes--;
            tide_release(cx, n, n->size);
        }
        n = waiting;
        if (n) waiting = (tide_node *)n->grad, n->grad = NULL;
    }
}

const char *tide_node_name(const tide_node *n) {
    return !n->size ? "a compiled step" : n->custom ? "a custom function" : tide_op_table[n->op].name;
}

void tide_node_used(tide_tensor *t) {
    t->node = &t->cx->tape->used;
    t->node_out = 0;
    t->node->refs++;
}

static void dropped(tide_context *cx, tide_tensor *t) {
    if (t->node) tide_node_free(cx, t->node);
    if (t->grad) tide_free(t->grad);
    t->node = NULL;
    t->grad = NULL;
}

static tide_node *node_new(tide_context *cx, const tide_call *call) {
    size_t nin = call->nin, nout = call->nout, all = nin + nout;
    size_t nattr = (call->nattr + 7) & ~(size_t)7;
    size_t size = sizeof(tide_node) + nin * sizeof *((tide_node *)0)->edge +
                  all * (sizeof *((tide_node *)0)->saved + sizeof(tide_meta)) + nout * sizeof(tide_tensor *) +
                  nattr;
    tide_node *n = tide_alloc(cx, size);
    if (!n) return NULL;
    char *at = (char *)(n + 1);
    memset(n, 0, size - all * sizeof *n->meta - nattr);
    n->size = size;
    n->edge = (void *)at, at += nin * sizeof *n->edge;
    n->saved = (void *)at, at += all * sizeof *n->saved;
    n->grad = (void *)at, at += nout * sizeof *n->grad;
    n->meta = (void *)at, at += all * sizeof *n->meta;
    if (call->nattr) memcpy(at, call->attr, call->nattr);
    n->seq = ++cx->tape->seq;
    n->op = call->op;
    n->flags = call->flags;
    n->nin = (uint16_t)nin;
    n->nout = (uint16_t)nout;
    n->nattr = (uint32_t)call->nattr;
    n->site = cx->site;
    cx->tape->nodes++;
    for (size_t i = 0; i < nin; i++) {
        tide_tensor *t = call->in[i];
        n->meta[i] = t ? t->meta : (tide_meta){0};
        if (!tracked(t)) continue;
        if (i < 32) n->need |= 1u << i;
        if (t->node) {
            n->edge[i].node = t->node;
            n->edge[i].out = t->node_out;
            t->node->refs++;
        } else {
            n->edge[i].leaf = tide_keep(t);
        }
    }
    return n;
}

/* Takes t over. */
static void save(tide_node *n, int i, tide_tensor *t) {
    if (!t) return;
    keep_in(&n->saved[i], t);
    n->saved[i].version = t->storage ? t->storage->version : 0;
}

/* Before t, changed in place, becomes the result of another node: nodes that keep it keep what it was. They
 * could be what it now comes from, and would never be freed. */
static tide_status part(tide_context *cx, tide_tensor *t) {
    if (!t->saved) return TIDE_OK;
    tide_tensor *was = tide_tensor_view(t, &t->meta, t->stride, t->offset);
    if (!was) return tide_pending(cx);
    was->flags = t->flags;
    was->node = t->node;
    was->node_out = t->node_out;
    if (was->node) was->node->refs++;
    while (t->saved) {
        tide_saved *s = t->saved;
        take_out(s);
        keep_in(s, tide_keep(was));
    }
    tide_free(was);
    return TIDE_OK;
}

/* Makes `t` the result `out` of node n. */
static void adopt(tide_context *cx, tide_tensor *t, tide_node *n, uint32_t out) {
    tide_node *old = t->node;
    t->node = n;
    t->node_out = out;
    t->flags |= TIDE_REQUIRES_GRAD;
    n->refs++;
    if (old) tide_node_free(cx, old);
}

/* Which inputs and outputs the gradient of the inputs `need` reads. */
static tide_status uses_of(tide_context *cx, const tide_call *call, uint32_t need, tide_ready *ready,
                           uint64_t *uses, const tide_vjp_plan **plan) {
    const tide_op *op = &tide_op_table[call->op];
    *uses = op->saves_in | (uint64_t)op->saves_out << 32;
    *plan = NULL;
    if (op->vjp) return TIDE_OK;
    *uses = 0;
    if (!need) return TIDE_OK;
    if (ready && ready->plan && ready->plan_age == cx->door->vjps_age && ready->plan->want == need)
        *plan = ready->plan;
    else if (!(*plan = tide_vjp_plan_for(cx, op, call, need)))
        return tide_pending(cx);
    if (ready) ready->plan = *plan, ready->plan_age = cx->door->vjps_age;
    *uses = (*plan)->uses;
    return TIDE_OK;
}

static uint32_t tracked_of(const tide_call *call) { /* bit i: input i, of the first 32 */
    uint32_t bits = 0;
    for (uint32_t i = 0; i < call->nin && i < 32; i++)
        if (tracked(call->in[i])) bits |= 1u << i;
    return bits;
}

static bool any_tracked(const tide_call *call) {
    for (uint32_t i = 0; i < call->nin; i++)
        if (tracked(call->in[i])) return true;
    return false;
}

/* In-place changes that would make gradients wrong are refused before they happen, when the outputs are known.
 */
static tide_status before(void *state, tide_context *cx, tide_call *call, bool *taken) {
    tide_tape *tape = state;
    if (!tape->enabled) return TIDE_OK;
    for (uint32_t i = 0; i < call->nin; i++) {
        const tide_tensor *t = call->in[i];
        if (tracked(t) && (t->flags & TIDE_IS_VIEW) && t->node && t->view_version != t->storage->version)
            return tide_fail(
                cx, TIDE_EARG,
                "argument %u is a view taken before its tensor was changed in place; take the view again",
                i + 1);
    }
    if (!(call->flags & TIDE_INPLACE)) return TIDE_OK;
    const tide_tensor *t = call->in[0];
    if (!t || !any_tracked(call)) return TIDE_OK;
    if (tracked(t) && !t->node)
        return tide_fail(cx, TIDE_EARG,
                         "a leaf that requires a gradient cannot be changed in place; do it under no_grad");
    if (t->flags & TIDE_IS_VIEW)
        return tide_fail(cx, TIDE_EARG,
                         "a view cannot be changed in place while gradients are recorded: the tensor it views "
                         "would not know; "
                         "change the whole tensor, or clone() the view first");
    const tide_op *op = &tide_op_table[call->op];
    uint64_t uses;
    const tide_vjp_plan *plan;
    tide_status e = op->nograd ? TIDE_OK : uses_of(cx, call, tracked_of(call), NULL, &uses, &plan);
    for (uint32_t i = 0; i < call->nin && i < 32 && !e && !op->nograd; i++)
        if ((uses >> i & 1) && call->in[i] && call->in[i]->storage == t->storage)
            e = tide_fail(
                cx, TIDE_EARG,
                "the gradient of %s needs the value that this would overwrite; use the form without _",
                op->name);
    return e;
}

static tide_status after(void *state, tide_context *cx, tide_call *call, bool leaf) {
    tide_tape *tape = state;
    if (!tape->enabled || !leaf || !any_tracked(call)) return TIDE_OK;
    const tide_op *op = &tide_op_table[call->op];
    if (op->nograd) return TIDE_OK;
    bool floats = false;
    for (uint32_t j = 0; j < call->nout; j++)
        floats |= tide_dtype_is_float((tide_dtype)call->out[j]->meta.dtype);
    if (!floats || call->nin > TIDE_MAXARGS * 2u) {
        if (!floats || (op->flags & TIDE_F_LIST)) return TIDE_OK;
    }
    tide_node *n = node_new(cx, call);
    if (!n) return tide_pending(cx);
    uint64_t uses;
    tide_status e = uses_of(cx, call, n->need, cx->door->ready, &uses, &n->plan);
    n->plan_age = cx->door->vjps_age;
    if (!e && (call->flags & TIDE_INPLACE)) e = part(cx, call->in[0]);
    if (!e) {
        for (uint32_t i = 0; i < call->nin && i < 32; i++)
            if (uses >> i & 1) save(n, (int)i, tide_keep(call->in[i]));
        for (uint32_t j = 0; j < call->nout; j++) {
            n->meta[call->nin + j] = call->out[j]->meta;
            if (tide_dtype_is_float((tide_dtype)call->out[j]->meta.dtype)) adopt(cx, call->out[j], n, j);
        }
        /* A saved output is the node's own result: a detached view of it, or the two would keep each other
         * alive. */
        for (uint32_t j = 0; j < call->nout && !e; j++) {
            if (!(uses >> (32 + j) & 1)) continue;
            tide_tensor *o = call->out[j], *v = tide_tensor_view(o, &o->meta, o->stride, o->offset);
            if (!v) {
                e = tide_pending(cx);
                break;
            }
            save(n, (int)(call->nin + j), v);
        }
        n->refs++; /* so that freeing below is uniform */
    } else {
        n->refs = 1;
    }
    tide_node_free(cx, n);
    if (e) return e;
    if (op->flags & TIDE_F_VIEW) call->out[0]->view_version = call->out[0]->storage->version;
    return TIDE_OK;
}

static void closing(tide_context *cx) {
    tide_release(cx, cx->tape, sizeof *cx->tape);
    cx->tape = NULL;
}

tide_status tide_tape_open(tide_context *cx) {
    if (cx->tape) return TIDE_OK;
    tide_status e = tide_door_open(cx);
    if (e) return e;
    cx->tape = tide_alloc0(cx, sizeof *cx->tape);
    if (!cx->tape) return TIDE_EMEM;
    cx->tape->enabled = true;
    cx->tape->used = (tide_node){.refs = 1, .nout = 1, .spent = true, .grad = &cx->tape->used_grad};
    cx->door->tape = (tide_observer){.state = cx->tape, .before = before, .after = after};
    cx->tensors->dropped = dropped;
    cx->closing[cx->nclosing++] = closing;
    cx->nlasting = cx->nclosing;
    return TIDE_OK;
}

int tide_requires_grad(const tide_tensor *t) { return tracked(t); }

tide_status tide_set_requires_grad(tide_tensor *t, int on) {
    if (!t) return TIDE_EARG;
    tide_context *cx = t->cx;
    tide_status e = tide_tape_open(cx);
    if (e) return e;
    if (cx->tensors->epoch && cx->tensors->sync) e = cx->tensors->sync(cx, NULL);
    if (e) return e;
    if (t->node)
        return on ? TIDE_OK
                  : tide_fail(cx, TIDE_EARG, "requires_grad can only be turned off for leaves; use detach()");
    if (on && !tide_dtype_is_float((tide_dtype)t->meta.dtype))
        return tide_fail(cx, TIDE_EARG, "only floating tensors can require a gradient, not %s",
                         tide_dtype_name((tide_dtype)t->meta.dtype));
    if (on)
        t->flags |= TIDE_REQUIRES_GRAD;
    else
        t->flags &= ~(uint32_t)TIDE_REQUIRES_GRAD;
    return TIDE_OK;
}

int tide_set_grad_enabled(tide_context *cx, int on) {
    if (tide_tape_open(cx)) return 1;
    int was = cx->tape->enabled;
    cx->tape->enabled = on;
    return was;
}

tide_tensor *tide_detach(tide_tensor *t) {
    if (!t || tide_pending(t->cx)) return NULL;
    return tide_scoped(tide_call1(t->cx, TIDE_OP_DETACH, &t, 1, NULL));
}

tide_status tide_custom_attach(tide_context *cx, tide_tensor **in, int nin, tide_tensor **out, int nout,
                               tide_status (*backward)(void *ud, tide_tensor *const *gy, int ngy,
                                                       tide_tensor **gx, int ngx),
                               void *ud, void (*release)(void *ud)) {
    tide_status e = tide_tape_open(cx);
    if (!e && cx->tensors->epoch && cx->tensors->sync)
        e = cx->tensors->sync(cx, NULL); /* plans cannot hold outside functions */
    tide_call call = {.op = TIDE_OP_DETACH, .nin = (uint32_t)nin, .nout = (uint32_t)nout, .in = in, .out = out};
    if (e || !cx->tape->enabled || !any_tracked(&call)) {
        if (release) release(ud);
        return e;
    }
    tide_node *n = node_new(cx, &call);
    tide_custom *c = n ? tide_alloc0(cx, sizeof *c) : NULL;
    if (!c) {
        if (n) n->refs = 1, tide_node_free(cx, n);
        if (release) release(ud);
        return tide_pending(cx);
    }
    *c = (tide_custom){backward, ud, release};
    n->custom = c;
    n->refs = 1;
    for (int j = 0; j < nout; j++) {
        n->meta[nin + j] = out[j]->meta;
        if (tide_dtype_is_float((tide_dtype)out[j]->meta.dtype)) adopt(cx, out[j], n, (uint32_t)j);
    }
    tide_node_free(cx, n);
    return TIDE_OK;
}

size_t tide_why(tide_tensor *t, char *buffer, size_t n) {
    const char *text;
    char made[160];
    if (t->node) {
        snprintf(made, sizeof made,
                 "it is a result of %s (%s): gradients pass through it to the leaves; only leaves keep a .grad",
                 tide_node_name(t->node), tide_site_text(t->cx, t->node->site));
        text = made;
    } else if (!tide_dtype_is_float((tide_dtype)t->meta.dtype)) {
        snprintf(made, sizeof made, "its dtype is %s: only floating tensors have gradients",
                 tide_dtype_name((tide_dtype)t->meta.dtype));
        text = made;
    } else if (!tracked(t)) {
        text = t->flags & TIDE_IS_VIEW
                   ? "it does not require a gradient: it was detached, or made under no_grad"
                   : "it does not require a gradient: call requires_grad_(true), or it was made under no_grad "
                     "or detached";
    } else if (!t->grad) {
        text = "no backward has reached it yet: no operation on the path from a loss used it while gradients "
               "were recorded";
    } else if (t->grad_absent) {
        text = "its gradient was cleared by zero_grad, and no backward has reached it since";
    } else {
        text = "it has a gradient";
    }
    return (size_t)snprintf(buffer, n, "%s", text);
}
