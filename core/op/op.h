/* Floor 4: what an operation is. Each operation is a row of core/op/FAMILY.lua (name, arguments, doc, samples)
 * and a few C functions in core/op/FAMILY.c, found by name: NAME_infer, NAME_program ... generate.lua makes the
 * table. */
#ifndef TIDE_OP_H
#define TIDE_OP_H

#include "tensor/tensor.h"
#include "program/program.h"
#include "base/cache.h"
#include "tide_ops.h"

/* ---- arguments, as the user gives them ---- */

typedef enum {
    TIDE_ARG_TENSOR,
    TIDE_ARG_OPERAND /* a tensor or a number */,
    TIDE_ARG_TENSORS,
    TIDE_ARG_NUMBER,
    TIDE_ARG_FLOAT,
    TIDE_ARG_INT,
    TIDE_ARG_BOOL,
    TIDE_ARG_DIM,
    TIDE_ARG_DIMS,
    TIDE_ARG_SHAPE,
    TIDE_ARG_PAIR /* an int or two */,
    TIDE_ARG_POSITION,
    TIDE_ARG_DTYPE,
    TIDE_ARG_ENUM
} tide_argtype;

typedef struct tide_arg {
    const char *name;
    uint8_t type;        /* tide_argtype */
    bool optional;       /* may be left out: the default is in the attributes' initial bytes, or no tensor */
    bool keyword;        /* only by name, in the table of options */
    bool slot;           /* may differ from run to run of a plan */
    bool raw;            /* a program's operand that keeps its own dtype */
    int8_t input;        /* which input, -1: an attribute only */
    uint16_t offset;     /* of the attribute, or of an operand's number */
    const char *choices; /* of an enum: "none|mean|sum" */
    const char *dflt;    /* as written, NULL: none */
} tide_arg;

/* How the arguments of a program lie over its iteration space: space dim -> the argument's dim, -1: does not
 * vary. */
typedef struct tide_space {
    int8_t ndim;
    uint8_t reduced; /* bit d: dim d is reduced */
    int64_t size[TIDE_MAXDIM];
    int8_t map[TIDE_MAXARGS][TIDE_MAXDIM]; /* inputs, then outputs */
} tide_space;

/* A view: the same storage seen otherwise. */
typedef struct tide_seen {
    tide_meta meta;
    int64_t stride[TIDE_MAXDIM];
    int64_t offset;
} tide_seen;

enum {
    TIDE_F_VIEW = 1,      /* out[0] shares in[0]'s storage */
    TIDE_F_MUTATES = 2,   /* writes into inputs: bits of `writes` */
    TIDE_F_LIST = 4,      /* inputs and outputs are `group` lists of equal length, laid out list after list */
    TIDE_F_SYNC = 8,      /* needs data on the host: ends following */
    TIDE_F_FLOATING = 16, /* program operands are promoted to a floating dtype */
    TIDE_F_PROMOTES = 32, /* program operands are promoted to a common dtype */
    TIDE_F_BOOL = 64,     /* the result is bool whatever the operands */
    TIDE_F_NUMBERS = 256, /* infer looks at numbers that may vary in a plan */
    TIDE_F_RANDOM = 128,  /* has attributes `seed` and `call`, filled at the door's front */
};

/* What infer and space work on: never data. */
typedef struct tide_shapes {
    tide_context *cx;
    const void *attr;
    int nin, nout;
    const tide_meta **in; /* NULL: not given */
    tide_meta *out;
} tide_shapes;

typedef struct tide_op {
    const char *name, *lua, *doc;
    uint8_t nin, nout, nshown; /* outputs after the first `nshown` are kept for the gradient only */
    uint8_t narg;
    uint16_t flags, nattr;
    uint32_t writes;      /* bit i: input i is written */
    uint32_t required;    /* bit k: argument k must be given */
    uint8_t group;        /* TIDE_F_LIST: number of lists among the inputs */
    bool method, inplace; /* t:name(), t:name_() */
    const tide_arg *arg;
    const void *attr0;    /* the attributes' initial bytes: defaults */
    const uint16_t *slot; /* offsets of 8-byte numbers that may vary in a plan */
    uint8_t nslot;
    const uint64_t *unseen; /* ones in the words of the attributes that launches do not depend on; NULL: none */

    tide_status (*infer)(tide_shapes *s);
    /* exactly one of these four */
    void (*program)(tide_prog *p, const void *attr, const tide_val *x, tide_val *y);
    tide_status (*compose)(tide_context *cx, tide_call *call);
    tide_status (*kernel)(tide_context *cx, const tide_call *call);
    tide_status (*view)(tide_context *cx, const tide_call *call, tide_seen *out);

    tide_status (*space)(const tide_shapes *s,
                         tide_space *out); /* of a program; NULL: broadcast, nothing reduced */
    /* The gradient. NULL everywhere: derived from the program. vjp_program: the same, written with fewer
     * instructions, where the gradient is the first output's alone, gy[0]. y[], gy[]: TIDE_NOVAL where not
     * saved or not given. */
    void (*vjp_program)(tide_prog *p, const void *attr, const tide_val *x, const tide_val *y,
                        const tide_val *gy, tide_val *gx);
    tide_status (*vjp)(tide_context *cx, const tide_call *call, tide_tensor *const *gy, uint32_t need,
                       tide_tensor **gx);
    uint32_t saves_in, saves_out; /* with vjp: which inputs and outputs it reads */
    const char *nograd;           /* why there is no gradient, NULL: there is one */
} tide_op;

extern const tide_op tide_op_table[TIDE_NOPS];
const tide_op *tide_op_named(const char *name); /* NULL: none */

/* ---- rules.c: shape rules that many share ---- */
tide_status rule_broadcast(tide_shapes *s);  /* all operands broadcast; the dtype by the operation's flags */
tide_status rule_like_first(tide_shapes *s); /* every output as in[0] */
tide_status space_broadcast(const tide_shapes *s, tide_space *out);
tide_dtype tide_result_dtype(const tide_op *op,
                             const tide_shapes *s); /* promotion over tensors, 0-d tensors and numbers */
/* Space of a reduction of in[0] over `dims` (n <= 0: all). Outputs are as large as the input (`whole`) or have
 * lost the reduced dims, or kept them with size 1. */
tide_status space_reduce(const tide_shapes *s, const tide_dims *dims, bool whole, tide_space *out);
tide_status meta_reduce(tide_context *cx, const tide_meta *in, const tide_dims *dims, bool keepdim,
                        tide_meta *out);
tide_status tide_dims_mask(tide_context *cx, const tide_dims *dims, int ndim, uint8_t *mask);
tide_status want_float(tide_context *cx, const tide_meta *m, const char *what);

/* ---- door.c ---- */

/* The tape, the trace and others see every operation go through the door. */
typedef struct tide_observer {
    void *state;
    /* Before anything else; may take the call over: *taken = true. Outer calls only. */
    tide_status (*before)(void *state, tide_context *cx, tide_call *call, bool *taken);
    /* After it ran; leaf: a program, kernel or view, not a composition. */
    tide_status (*after)(void *state, tide_context *cx, tide_call *call, bool leaf);
    /* A composition opens and closes. */
    void (*enter)(void *state, tide_context *cx, tide_call *call);
    void (*leave)(void *state, tide_context *cx, tide_call *call, tide_status status);
} tide_observer;

typedef struct tide_ready tide_ready;
typedef struct tide_vjp_plan tide_vjp_plan;

enum { TIDE_RECENT_BITS = 8 };
typedef struct tide_door {
    tide_observer tape, trace; /* fixed places: an observer that is not there has NULLs */
    int depth;                 /* compositions open now */
    int deriving;              /* plans of gradients in use now */
    tide_cache variants, readies, vjps;
    uint32_t vjps_age; /* plans of another age are gone */
    uint64_t vjps_made;
    tide_ready *ready;                         /* of the program that ran last */
    tide_ready *recent[1 << TIDE_RECENT_BITS]; /* found last, by a coarse look at the call */
    struct {
        uint64_t calls, kernels, launches, variants;
    } count;
} tide_door;

tide_status tide_door_open(tide_context *cx); /* idempotent; opens the tensor floor too */
/* The lower half of the door: runs a program, kernel or view whose outputs exist. */
tide_status tide_execute(tide_context *cx, const tide_op *op, const tide_call *call, tide_ready *ready);
/* The same, safe against overlaps in place. ready: of a program, NULL: to be found. */
tide_status tide_perform(tide_context *cx, const tide_op *op, const tide_call *call, tide_ready *ready);
/* What the operation's rule says of the outputs, from the inputs and attributes. */
tide_status tide_infer(tide_context *cx, const tide_op *op, const tide_call *call, tide_meta *out);
/* Allocates outputs that are not there yet. */
tide_status tide_prepare(tide_context *cx, const tide_op *op, tide_call *call);

/* ---- variant.c: a program for given attributes and dtypes, cut and ready to run ---- */

typedef struct tide_variant {
    tide_cached entry;
    tide_prog *prog;
    tide_pieces pieces;
    void *compiled[8]; /* one a piece, made by the device */
    uint64_t uses;     /* of a vjp: forward inputs and outputs that it reads */
    uint8_t key[];
} tide_variant;

/* Shapes as infer and space see them, from a call. */
typedef struct tide_frame {
    tide_shapes s;
    const tide_meta *in[TIDE_MAXARGS];
    tide_meta out[TIDE_MAXARGS];
} tide_frame;
void tide_frame_of(tide_context *cx, const tide_op *op, const tide_call *call, tide_frame *f);

/* The attributes of TIDE_OP_VJP: this head, the forward attributes (to 8 bytes), the metas of its inputs and
 * outputs. */
typedef struct tide_vjp_head {
    uint16_t op, nattr; /* of the forward call */
    uint8_t nin, nout;
    uint8_t reduced; /* a pointwise forward operation: the dims that its gradients are summed over */
    uint8_t pad;
    uint32_t want, seeded,
        wide;       /* wide: gradients that still vary along dims their input lacks: summed afterwards */
    uint32_t given; /* forward inputs that were there */
    uint64_t uses;  /* forward inputs and outputs passed: 0 until known */
    uint64_t id;    /* of these attributes but for slots; 0: none */
} tide_vjp_head;

tide_variant *tide_variant_of(tide_context *cx, const tide_op *op, const tide_call *call,
                              const tide_space *space);
tide_variant *tide_variant_vjp(tide_context *cx, const tide_vjp_head *head);
tide_status tide_space_of(const tide_op *op, const tide_shapes *s, tide_space *space);
/* The program of an operation over arguments of the given dtypes and spaces (inputs, then outputs); simplified.
 */
tide_prog *tide_op_program(tide_context *cx, const tide_op *op, const tide_shapes *s, const tide_space *space);
uint8_t tide_arg_space(const tide_space *space, int arg); /* ONE, KEPT, REDUCED or POINT */
void tide_key_attr(const tide_op *op, const void *attr, size_t nattr,
                   uint8_t *out); /* attributes with their slots zeroed */
void tide_variants_free(tide_context *cx);

/* ---- ready.c: a program over arguments of given shapes and strides ---- */

struct tide_ready {
    tide_cached entry;
    tide_variant *variant;
    size_t size;                   /* of this block */
    int count;                     /* items of a list; otherwise 1 */
    uint8_t nin, nout;             /* arguments of an item; nout 0: of a list */
    uint8_t given[TIDE_MAXARGS];   /* program input -> input of the call */
    uint8_t from[8][TIDE_MAXARGS]; /* a piece's arguments: inputs, then outputs of the call, temporaries */
    size_t temp[16];               /* bytes */
    tide_iter *iter[8];            /* a piece: its items, but for the addresses */
    void *bound[8];                /* a piece: what the device has made for them */
    tide_meta *out;                /* nout */
    const tide_vjp_plan *plan;     /* of its gradient, when last asked for; of age plan_age */
    uint32_t plan_age;
};

/* For a call like this one; kept: outputs that came with the call. fresh NULL: only if it is found; else it is
 * made for the call's outputs if need be, and *fresh says that it is the caller's own, too large to keep. Valid
 * until the next is made. */
tide_ready *tide_ready_of(tide_context *cx, const tide_op *op, const tide_call *call, uint32_t kept,
                          bool *fresh);
tide_ready *tide_ready_new(tide_context *cx, const tide_op *op, const tide_call *call); /* the caller's own */
void tide_ready_free(tide_context *cx, tide_ready *r);
tide_status tide_ready_run(tide_context *cx, tide_ready *r, const tide_call *call);
void tide_readies_free(tide_context *cx);

/* ---- vjp.c: the derivative of any program operation, as an operation ---- */

/* Which derivatives give the gradients of a call's inputs `want` from those of its outputs. */
struct tide_vjp_plan {
    tide_cached entry;
    uint32_t want, seeded;
    uint64_t uses; /* forward inputs and outputs that any of them reads: bit i input i, bit 32+j output j */
    int n;
    struct {
        tide_vjp_head *blob; /* the attributes of its TIDE_OP_VJP; the forward ones are put in at each call */
        tide_space *space;   /* the forward space, where some gradient is wide; else NULL */
        int passes;          /* its gradients are that of output `passes` - 1 itself; 0: it is to be run */
    } group[TIDE_MAXARGS];
};
/* For all floating outputs that are shown. Valid while cx->door->vjps_age stays. */
const tide_vjp_plan *tide_vjp_plan_for(tide_context *cx, const tide_op *op, const tide_call *call,
                                       uint32_t want);
/* The same from the metas of all inputs (NULL: not given) and outputs; call: without tensors. */
const tide_vjp_plan *tide_vjp_plan_of(tide_context *cx, const tide_op *op, const tide_call *call,
                                      const tide_meta *const *metas, uint32_t want);
/* Gradients of a call's inputs `want` from those of its outputs (NULL: none). Unwanted gx stay NULL; gx[i] may
 * come set to a tensor to write into, and may be one of gy. metas: of all inputs and outputs of the forward
 * call. plan: one that may fit, or NULL. */
tide_status tide_vjp(tide_context *cx, const tide_op *op, const tide_call *forward, const tide_meta *metas,
                     tide_tensor *const *gy, uint32_t want, tide_tensor **gx, const tide_vjp_plan *plan);

static inline const tide_vjp_head *tide_vjp_head_of(const tide_call *call) { return call->attr; }
const void *tide_vjp_attr(const tide_vjp_head *head);       /* the forward attributes */
const tide_meta *tide_vjp_metas(const tide_vjp_head *head); /* the forward metas */
tide_status tide_vjp_space(tide_context *cx, const tide_vjp_head *head,
                           tide_space *out); /* over the vjp's own arguments */
tide_prog *tide_vjp_program(tide_context *cx, const tide_vjp_head *head, uint8_t reduced,
                            uint64_t *uses); /* 0: its own */
tide_status tide_vjp_infer(tide_shapes *s);
void tide_vjps_free(tide_context *cx);

/* ---- front.c: calling operations from C ---- */
/* attr NULL: the defaults; out[]: as in tide_call. */
tide_status tide_calls(tide_context *cx, int op, tide_tensor *const *in, int nin, const void *attr,
                       tide_tensor **out);
/* The first result; the others are let go. */
tide_tensor *tide_call1(tide_context *cx, int op, tide_tensor *const *in, int nin, const void *attr);
#define OP1(cx, OP, attr, ...)                              \
    tide_call1(cx, OP, (tide_tensor *const[]){__VA_ARGS__}, \
               (int)(sizeof((tide_tensor *const[]){__VA_ARGS__}) / sizeof(tide_tensor *)), attr)

#endif
