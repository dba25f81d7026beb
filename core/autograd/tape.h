/* Floor 5: the tape. Every recorded operation is a node; backward.c walks them from a result to the leaves. */
#ifndef TIDE_TAPE_H
#define TIDE_TAPE_H

#include "op/op.h"

typedef struct tide_node tide_node;

/* A tensor that a gradient needs, and its version then. A tensor knows where it is kept: when it is changed in
 * place, its former self takes its place there. */
typedef struct tide_saved {
    tide_tensor *tensor;             /* NULL: not needed */
    struct tide_saved *next, **from; /* all places of one tensor */
    uint32_t version;
} tide_saved;

/* An operation as recorded: enough to call its gradient. */
struct tide_node {
    uint64_t seq; /* order of recording: inputs come before */
    uint32_t refs;
    uint16_t op, flags;
    uint16_t nin, nout;
    uint32_t site, nattr;
    uint32_t need;             /* bit i: input i wants a gradient (the first 32) */
    uint64_t mark;             /* the walk that has seen it */
    bool spent;                /* its saved tensors are gone */
    const tide_vjp_plan *plan; /* of its gradient, while the plans are of plan_age */
    uint32_t plan_age;
    uint32_t epoch, leaf;       /* trace/: the recorded step and the call in it that this is */
    struct tide_custom *custom; /* a function written outside: its backward */
    struct {
        tide_node *node;
        tide_tensor *leaf;
        uint32_t out;
    } * edge;           /* one an input: where its gradient goes */
    tide_saved *saved;  /* nin + nout */
    tide_tensor **grad; /* nout, while a walk is under way: gradients of the outputs so far */
    tide_meta *meta;    /* nin + nout; the attributes follow them */
    size_t size;        /* of this block */
};

typedef struct tide_tape {
    bool enabled;
    uint64_t seq, walk;
    uint64_t nodes;      /* alive */
    tide_node *stepping; /* whose gradient is being computed, NULL: none */
    tide_node used;      /* stands for the graph of a compiled step's result: it was walked within the step */
    tide_tensor *used_grad;
    /* trace/: a walk is about to write this leaf's .grad; fresh: the buffer was made for it */
    void (*touch)(tide_context *cx, tide_tensor *leaf, bool was_absent, bool fresh);
} tide_tape;

typedef struct tide_custom {
    tide_status (*backward)(void *ud, tide_tensor *const *gy, int ngy, tide_tensor **gx, int ngx);
    void *ud;
    void (*release)(void *ud);
} tide_custom;

tide_status tide_tape_open(tide_context *cx); /* idempotent; opens the door */
void tide_node_free(tide_context *cx, tide_node *n);
void tide_unsave(tide_node *n); /* lets go of the saved tensors */
const char *tide_node_name(const tide_node *n);
void tide_node_used(tide_tensor *t); /* t is a result whose graph is gone */

/* Runs from y to the leaves' .grad (nx = 0) or to x. gy[j] NULL: ones for one element, else an error. */
tide_status tide_walk(tide_context *cx, tide_tensor *const *y, tide_tensor *const *gy, int ny,
                      tide_tensor *const *x, int nx, unsigned flags, tide_tensor **gx);
/* A function whose gradient the caller computes: outputs made without recording become results of a node over
 * in[]. backward gives owned gradients, or NULL for none; release is called when the node goes. */
tide_status tide_custom_attach(tide_context *cx, tide_tensor **in, int nin, tide_tensor **out, int nout,
                               tide_status (*backward)(void *ud, tide_tensor *const *gy, int ngy,
                                                       tide_tensor **gx, int ngx),
                               void *ud, void (*release)(void *ud));
/* Why t has no gradient, or what made it, in a sentence or a few lines. */
size_t tide_why(tide_tensor *t, char *buffer, size_t n);

#endif
