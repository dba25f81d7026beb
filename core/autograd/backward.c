/* Running the tape backwards. */
#include "autograd/tape.h"

typedef struct {
    tide_context *cx;
    tide_node **node; /* reached, later sorted by descending seq */
    int64_t n, capacity;
    tide_tensor *const *x; /* wanted; nx = 0: the leaves */
    tide_tensor **gx;
    int nx;
    unsigned flags;
} walk_t;

static tide_status reach(walk_t *w, tide_node *n) {
    if (n->mark == w->cx->tape->walk) return TIDE_OK;
    n->mark = w->cx->tape->walk;
    tide_status e = tide_grow(w->cx, (void **)&w->node, &w->capacity, w->n + 1, sizeof *w->node);
    if (!e) w->node[w->n++] = n;
    return e;
}

static void sift(tide_node **a, int64_t root, int64_t end) { /* the smallest seq to the root */
    for (;;) {
        int64_t c = 2 * root + 1;
        if (c >= end) return;
        if (c + 1 < end && a[c + 1]->seq < a[c]->seq) c++;
        if (a[root]->seq <= a[c]->seq) return;
        tide_node *t = a[root];
        a[root] = a[c];
        a[c] = t;
        root = c;
    }
}

static void sort_down(tide_node **a,
                      int64_t n) { /* heap sort by seq, descending: results before what they came from */
    int64_t sorted = 1;
    while (sorted < n && a[sorted - 1]->seq > a[sorted]->seq) sorted++;
    if (sorted >= n) return; /* a chain was found in its order */
    for (int64_t i = n / 2 - 1; i >= 0; i--) sift(a, i, n);
    for (int64_t end = n - 1; end > 0; end--) {
        tide_node *t = a[end];
        a[end] = a[0];
        a[0] = t;
        sift(a, 0, end);
    }
}

static bool tracked_any(tide_tensor *const *y, int ny) {
    for (int j = 0; j < ny; j++)
        if (y[j]->flags & TIDE_REQUIRES_GRAD) return true;
    return false;
}

/* Does nobody else hold t or its elements? */
static bool owned(const tide_tensor *t) {
    return t->refs == 1 && t->storage && atomic_load_explicit(&t->storage->refs, memory_order_relaxed) == 1;
}

/* into += g, taking g. */
static tide_status accumulate(walk_t *w, tide_tensor **into, tide_tensor *g) {
    if (!*into) {
        *into = g;
        return TIDE_OK;
    }
    tide_context *cx = w->cx;
    tide_tensor *sum;
    tide_tensor *a = *into;
    if (owned(a) && !(w->flags & TIDE_CREATE_GRAPH) && !tide_is_expanded(a) &&
        tide_same_meta(&a->meta, &g->meta)) {
        tide_tensor *out = a;
        tide_call c = {.op = TIDE_OP_ADD,
                       .flags = TIDE_INPLACE,
                       .nin = 2,
                       .nout = 1,
                       .in = (tide_tensor *[]){a, g},
                       .out = &out,
                       .attr = tide_op_table[TIDE_OP_ADD].attr0,
                       .nattr = tide_op_table[TIDE_OP_ADD].nattr};
        out = NULL;
        tide_status e = tide_apply(cx, &c);
        tide_free(g);
        return e;
    }
    sum = tide_call1(cx, TIDE_OP_ADD, (tide_tensor *const[]){a, g}, 2, NULL);
    tide_free(g);
    if (!sum) return tide_pending(cx);
    tide_free(a);
    *into = sum;
    return TIDE_OK;
}

/* A leaf's .grad: overwritten where absent, else added to. The buffer stays the same tensor. */
static void touch(tide_context *cx, tide_tensor *leaf) {
    if (cx->tape->touch) cx->tape->touch(cx, leaf, leaf->grad_absent, !leaf->grad);
}

static tide_status to_leaf(walk_t *w, tide_tensor *leaf, tide_tensor *g) {
    tide_context *cx = w->cx;
    if (w->nx) {
        tide_status e = TIDE_OK;
        for (int i = 0; i < w->nx && !e; i++)
            if (w->x[i] == leaf) e = accumulate(w, &w->gx[i], tide_keep(g));
        tide_free(g);
        return e;
    }
    touch(cx, leaf);
    if (w->flags & TIDE_CREATE_GRAPH) { /* the gradient is part of the graph: no buffer to write over */
        if (leaf->grad && leaf->grad_absent) tide_free(leaf->grad), leaf->grad = NULL;
        leaf->grad_absent = false;
        return accumulate(w, &leaf->grad, g);
    }
    tide_status e = TIDE_OK;
    if (leaf->grad == g && leaf->grad_absent) { /* given as the gradient to start from, and handed on to here */
        leaf->grad_absent = false;
        tide_free(g);
        return TIDE_OK;
    }
    if (!leaf->grad) {
        if (owned(g) && tide_is_contiguous(g)) {
            leaf->grad = g;
        } else {
            leaf->grad = tide_call1(cx, TIDE_OP_CLONE, &g, 1, NULL);
            tide_free(g);
            if (!leaf->grad) return tide_pending(cx);
        }
        leaf->grad_absent = false;
        return TIDE_OK;
    }
    tide_tensor *buf = leaf->grad, *out = NULL;
    const tide_op *add = &tide_op_table[TIDE_OP_ADD];
    tide_call c = {.op = leaf->grad_absent ? TIDE_OP_COPY : TIDE_OP_ADD,
                   .flags = TIDE_INPLACE,
                   .nin = 2,
                   .nout = 1,
                   .in = (tide_tensor *[]){buf, g},
                   .out = &out};
    if (!leaf->grad_absent) c.attr = add->attr0, c.nattr = add->nattr;
    e = tide_apply(cx, &c);
    if (!e) leaf->grad_absent = false;
    tide_free(g);
    return e;
}

static tide_status seed_of(tide_context *cx, tide_tensor *y, tide_tensor *gy, tide_tensor **out) {
    if (gy) {
        if (!tide_same_shape(&gy->meta, &y->meta)) {
            char a[TIDE_SHAPE_TEXT], b[TIDE_SHAPE_TEXT];
            return tide_fail(cx, TIDE_EARG, "the gradient given has shape %s, the output %s",
                             tide_shape_text(&gy->meta, a), tide_shape_text(&y->meta, b));
        }
        if (gy->meta.dtype == y->meta.dtype) {
            *out = tide_keep(gy);
        } else {
            tide_to_attr a = {y->meta.dtype};
            *out = tide_call1(cx, TIDE_OP_TO, &gy, 1, &a);
        }
    } else {
        if (tide_numel(&y->meta) != 1)
            return tide_fail(cx, TIDE_EARG, "the output has %lld elements: give the gradient to start from",
                             (long long)tide_numel(&y->meta));
        tide_full_attr f = {{y->meta.ndim, {0}}, {{.i = 1}, TIDE_INTEGER, 0}, y->meta.dtype};
        memcpy(f.size.v, y->meta.shape, sizeof f.size.v);
        *out = tide_call1(cx, TIDE_OP_FULL, NULL, 0, &f);
    }
    return *out ? TIDE_OK : tide_pending(cx);
}

static tide_status check_saved(walk_t *w, tide_node *n) {
    tide_context *cx = w->cx;
    const char *name = tide_node_name(n);
    if (n->spent)
        return tide_fail(
            cx, TIDE_EARG,
            "the graph through %s (%s) was already used and freed; give retain_graph = true the first time",
            name, tide_site_text(cx, n->site));
    for (int i = 0; i < n->nin + n->nout; i++) {
        const tide_tensor *t = n->saved[i].tensor;
        if (t && t->storage->version != n->saved[i].version)
            return tide_fail(cx, TIDE_EARG,
                             "a tensor that the gradient of %s (%s) needs was changed in place since; use the "
                             "form without _, or clone() first",
                             name, tide_site_text(cx, n->site));
    }
    return TIDE_OK;
}

/* A leaf whose gradient comes from this one place can have it computed straight into its absent .grad buffer.
 */
static tide_tensor *direct(const walk_t *w, const tide_node *n, int i) {
    tide_tensor *leaf = n->edge[i].leaf;
    if (!leaf || w->nx || (w->flags & TIDE_CREATE_GRAPH) || n->custom) return NULL;
    if (!leaf->grad || !leaf->grad_absent || leaf->grad->refs == 0 || !tide_is_contiguous(leaf->grad))
        return NULL;
    if (!tide_same_meta(&leaf->grad->meta, &n->meta[i])) return NULL;
    for (int k = 0; k < n->nin; k++)
        if (k != i && n->edge[k].leaf == leaf) return NULL;
    return leaf->grad;
}

static tide_status step(walk_t *w, tide_node *n) {
    tide_context *cx = w->cx;
    tide_status e = check_saved(w, n);
    if (e) return e;
    tide_tensor *stack[2 * TIDE_MAXARGS], *in_stack[2 * TIDE_MAXARGS], *out_stack[TIDE_MAXARGS];
    tide_tensor **gx = stack, **in = in_stack, **out = out_stack;
    size_t bytes = (size_t)(2 * n->nin + n->nout) * sizeof *gx;
    if (n->nin > 2 * TIDE_MAXARGS) {
        gx = tide_alloc(cx, bytes);
        if (!gx) return TIDE_EMEM;
        in = gx + n->nin;
        out = in + n->nin;
    }
    uint32_t need = n->need, preset = 0;
    for (int i = 0; i < n->nin; i++) {
        gx[i] = NULL;
        in[i] = n->saved[i].tensor;
        if (i >= 32 || !(need >> i & 1)) continue;
        gx[i] = direct(w, n, i);
        if (gx[i]) {
            touch(cx, n->edge[i].leaf);
            preset |= 1u << i;
            tide_keep(gx[i]);
            n->edge[i].leaf->grad_absent = false; /* taken: a second contribution is added */
        }
    }
    tide_tensor *linked[TIDE_MAXARGS];
    for (int j = 0; j < n->nout && j < TIDE_MAXARGS; j++) linked[j] = NULL;
    for (int j = 0; j < n->nout && !e; j++) {
        tide_tensor *o = out[j] = n->saved[n->nin + j].tensor;
        if (!o || !(w->flags & TIDE_CREATE_GRAPH) || !tide_dtype_is_float((tide_dtype)o->meta.dtype)) continue;
        /* the saved output as what it is: the result of this node */
        linked[j] = out[j] = tide_tensor_view(o, &o->meta, o->stride, o->offset);
        if (!out[j]) {
            e = tide_pending(cx);
            break;
        }
        out[j]->node = n;
        out[j]->node_out = (uint32_t)j;
        out[j]->flags = TIDE_REQUIRES_GRAD;
        n->refs++;
    }
    tide_tensor **gy = n->grad;
    uint32_t outer = cx->site;
    cx->site = n->site;
    cx->tape->stepping = n;
    const char *name = cx->opname;
    if (e) {
        need = 0;
    } else if (n->custom) {
        e = n->custom->backward(n->custom->ud, gy, n->nout, gx, n->nin);
    } else {
        const tide_op *op = &tide_op_table[n->op];
        cx->opname = op->name;
        const void *attr = n->meta + n->nin + n->nout;
        tide_call c = {
            .op = n->op, .nin = n->nin, .nout = n->nout, .in = in, .out = out, .attr = attr, .nattr = n->nattr};
        tide_tensor stand[TIDE_MAXARGS];
        if (op->vjp) { /* vjp functions look at shapes of inputs that were not saved: stand-ins without data */
            for (int i = 0; i < n->nin && n->nin <= TIDE_MAXARGS; i++)
                if (!in[i] && n->meta[i].dtype)
                    stand[i] = (tide_tensor){.meta = n->meta[i], .cx = cx}, in[i] = &stand[i];
            e = op->vjp(cx, &c, gy, need, gx);
        } else {
            e = tide_vjp(cx, op, &c, n->meta, gy, need, gx, n->plan_age == cx->door->vjps_age ? n->plan : NULL);
        }
    }
    cx->opname = name;
    cx->tape->stepping = NULL;
    for (int j = 0; j < n->nout && j < TIDE_MAXARGS; j++) tide_free(linked[j]);
    for (int i = 0; i < n->nin; i++) {
        tide_tensor *g = gx[i];
        if (i < 32 && (preset >> i & 1) && g != n->edge[i].leaf->grad) { /* it was made elsewhere after all */
            preset &= ~(1u << i);
            n->edge[i].leaf->grad_absent = true;
            tide_free(n->edge[i].leaf->grad);
        }
        if (!g) continue;
        if (e || !(n->edge[i].node || n->edge[i].leaf)) {
            tide_free(g);
            continue;
        }
        tide_node *to = n->edge[i].node;
        bool wide = !tide_same_shape(&g->meta, &n->meta[i]);
        if (wide || g->meta.dtype != n->meta[i].dtype) {
            char a[TIDE_SHAPE_TEXT], b[TIDE_SHAPE_TEXT];
            e = tide_fail(cx, TIDE_EARG,
                          "the gradient of input %d has shape %s and dtype %s, the input %s and %s", i + 1,
                          tide_shape_text(&g->meta, a), tide_dtype_name((tide_dtype)g->meta.dtype),
                          tide_shape_text(&n->meta[i], b), tide_dtype_name((tide_dtype)n->meta[i].dtype));
            tide_free(g);
            continue;
        }
        if (to) {
            if (to->mark == cx->tape->walk)
                e = accumulate(w, &to->grad[n->edge[i].out], g);
            else
                tide_free(g);
        } else if (preset >> (i < 32 ? i : 31) & 1 && g == n->edge[i].leaf->grad) {
            tide_free(g);
        } else {
            e = to_leaf(w, n->edge[i].leaf, g);
        }
    }
    cx->site = outer;
    if (gx != stack) tide_release(cx, gx, bytes);
    return e;
}

static void spend(tide_node *n) {
    n->spent = true;
    tide_unsave(n);
}

tide_status tide_walk(tide_context *cx, tide_tensor *const *y, tide_tensor *const *gy, int ny,
                      tide_tensor *const *x, int nx, unsigned flags, tide_tensor **gx) {
    tide_status e = tide_tape_open(cx);
    if (e) return e;
    walk_t w = {.cx = cx, .x = x, .gx = gx, .nx = nx, .flags = flags};
    tide_tape *tape = cx->tape;
    bool was = tape->enabled;
    if (!nx && !tracked_any(y, ny))
        return tide_fail(cx, TIDE_EARG, "the output does not depend on anything that requires a gradient");
    tape->walk++;
    for (int j = 0; j < ny && !e; j++)
        if (y[j]->node) e = reach(&w, y[j]->node);
    for (int64_t k = 0; k < w.n && !e; k++)
        for (int i = 0; i < w.node[k]->nin && !e; i++)
            if (w.node[k]->edge[i].node) e = reach(&w, w.node[k]->edge[i].node);
    for (int64_t k = 0; k < w.n; k++) w.node[k]->refs++; /* none goes while we walk */
    sort_down(w.node, w.n);
    tape->enabled = flags & TIDE_CREATE_GRAPH;
    for (int j = 0; j < ny && !e; j++) {
        tide_tensor *seed = NULL;
        e = seed_of(cx, y[j], gy ? gy[j] : NULL, &seed);
        if (e) break;
        if (y[j]->node)
            e = accumulate(&w, &y[j]->node->grad[y[j]->node_out], seed);
        else if (y[j]->flags & TIDE_REQUIRES_GRAD)
            e = to_leaf(&w, y[j], seed);
        else
            tide_free(seed);
    }
    for (int64_t k = 0; k < w.n; k++) {
        tide_node *n = w.node[k];
        bool any = false;
        for (int j = 0; j < n->nout; j++) any |= n->grad[j] != NULL;
        if (any && !e) {
            for (int i = 0; i < nx && !e; i++) /* wanted tensors that are results of this node */
                if (x[i]->node == n && n->grad[x[i]->node_out])
                    e = accumulate(&w, &gx[i], tide_keep(n->grad[x[i]->node_out]));
            if (!e) e = step(&w, n);
            if (!e && !(flags & (TIDE_RETAIN_GRAPH | TIDE_CREATE_GRAPH))) spend(n);
        }
        for (int j = 0; j < n->nout; j++) {
            if (n->grad[j]) tide_free(n->grad[j]);
            n->grad[j] = NULL;
        }
    }
    tape->enabled = was;
    for (int64_t k = 0; k < w.n; k++) tide_node_free(cx, w.node[k]);
    tide_release(cx, w.node, (size_t)w.capacity * sizeof *w.node);
    for (int i = 0; i < nx && !e; i++) /* nothing has the gradient nothing */
        if (!gx[i] && tide_numel(&x[i]->meta) == 0 && !(gx[i] = tide_tensor_new(cx, &x[i]->meta)))
            e = tide_pending(cx);
    for (int i = 0; i < nx && !e; i++)
        if (!gx[i] && !(flags & TIDE_ALLOW_UNUSED))
            e = tide_fail(cx, TIDE_EARG,
                          "input %d is not used by the outputs; give allow_unused = true to get nil for it",
                          i + 1);
    for (int i = 0; i < nx && e; i++) {
        tide_free(gx[i]);
        gx[i] = NULL;
    }
    return e;
}
