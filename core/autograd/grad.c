/* The public functions of gradients, as operations at the door: a compiled step matches each as one node. */
#include "autograd/tape.h"

static tide_status front(tide_context *cx, int op, tide_tensor **in, int nin, tide_tensor **out, int nout,
                         const void *attr, size_t nattr) {
    tide_status e = tide_tape_open(cx);
    tide_call c = {.op = (uint16_t)op,
                   .nin = (uint32_t)nin,
                   .nout = (uint32_t)nout,
                   .in = in,
                   .out = out,
                   .attr = attr,
                   .nattr = nattr};
    return e ? e : tide_apply(cx, &c);
}

tide_status backward_compose(tide_context *cx, tide_call *call);
tide_status backward_compose(tide_context *cx, tide_call *call) {
    const tide_backward_attr *a = call->attr;
    tide_tensor *seed = call->nin > 1 ? call->in[1] : NULL;
    return tide_walk(cx, call->in, &seed, 1, NULL, 0, (unsigned)a->flags, NULL);
}

tide_status tide_backward(tide_tensor *loss, tide_tensor *seed, unsigned flags) {
    if (!loss) return TIDE_EARG;
    tide_backward_attr a = {flags};
    return front(loss->cx, TIDE_OP_BACKWARD, (tide_tensor *[]){loss, seed}, seed ? 2 : 1, NULL, 0, &a,
                 sizeof a);
}

tide_status gradients_compose(tide_context *cx, tide_call *call);
tide_status gradients_compose(tide_context *cx,
                              tide_call *call) { /* in: y..., x..., gy... (NULL: none given) */
    const tide_gradients_attr *a = call->attr;
    tide_tensor **y = call->in, **x = y + a->ny, **gy = x + a->nx;
    return tide_walk(cx, y, gy, (int)a->ny, x, (int)a->nx, (unsigned)a->flags, call->out);
}

tide_status tide_grad(tide_context *cx, tide_tensor **y, int ny, tide_tensor **x, int nx, tide_tensor **gy,
                      unsigned flags, tide_tensor **gx) {
    tide_gradients_attr a = {ny, nx, flags};
    for (int i = 0; i < nx; i++) gx[i] = NULL;
    for (int i = 0; i < ny + nx; i++)
        if (!(i < ny ? y[i] : x[i - ny])) return tide_fail(cx, TIDE_EARG, "grad: a tensor is missing");
    size_t n = (size_t)(2 * ny + nx);
    tide_tensor **in = tide_alloc0(cx, n * sizeof *in);
    if (!in) return TIDE_EMEM;
    memcpy(in, y, (size_t)ny * sizeof *in);
    memcpy(in + ny, x, (size_t)nx * sizeof *in);
    if (gy) memcpy(in + ny + nx, gy, (size_t)ny * sizeof *in);
    tide_status e = front(cx, TIDE_OP_GRADIENTS, in, (int)n, gx, nx, &a, sizeof a);
    tide_release(cx, in, n * sizeof *in);
    for (int i = 0; i < nx && !e; i++) tide_scoped(gx[i]);
    return e;
}

tide_status grad_of_compose(tide_context *cx, tide_call *call);
tide_status grad_of_compose(tide_context *cx, tide_call *call) {
    tide_tensor *t = call->in[0];
    call->out[0] = t->grad && !t->grad_absent ? tide_keep(t->grad) : NULL;
    return TIDE_OK;
}

tide_tensor *tide_grad_of(tide_tensor *t) {
    tide_tensor *g = NULL;
    if (!t || front(t->cx, TIDE_OP_GRAD_OF, &t, 1, &g, 1, NULL, 0)) return NULL;
    if (g) tide_free(g); /* borrowed: the leaf keeps it */
    return g;
}

tide_status zero_grad_compose(tide_context *cx, tide_call *call);
tide_status zero_grad_compose(tide_context *cx, tide_call *call) {
    for (uint32_t i = 0; i < call->nin; i++) {
        tide_tensor *t = call->in[i];
        t->grad_absent = true;
        if (t->grad &&
            (t->grad->node || (t->grad->flags & TIDE_REQUIRES_GRAD))) { /* part of a graph: let it go */
            tide_free(t->grad);
            t->grad = NULL;
        }
    }
    return TIDE_OK;
}

tide_status tide_zero_grad(tide_tensor *const *t, int n) {
    if (n == 0) return TIDE_OK;
    for (int i = 0; i < n; i++)
        if (!t[i]) return TIDE_EARG;
    return front(t[0]->cx, TIDE_OP_ZERO_GRAD, (tide_tensor **)t, n, NULL, 0, NULL, 0);
}
