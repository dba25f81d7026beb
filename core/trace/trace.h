/* Floor 6: compiled steps. A step is recorded at the door as it runs; later its calls are only matched against
 * the record, and the work is launched when the step ends. Whatever does not match makes the matched part run
 * eagerly. */
#ifndef TIDE_TRACE_H
#define TIDE_TRACE_H

#include "autograd/tape.h"

enum { TIDE_MAXTRACES = 8, TIDE_WARMUP = 2, TIDE_GIVE_UP = 16 };

typedef enum {
    VALUE_EXTERNAL, /* came into the step: bound when it is matched */
    VALUE_CAPTURED, /* a .grad buffer: the same tensor every time */
    VALUE_MADE      /* result of a call of the step */
} tide_value_kind;

/* A tensor of the step. Values are numbered from 1 in order of appearance. */
typedef struct {
    uint8_t kind;
    bool output; /* outlives the step: returned, or still held when the recording ended */
    bool view;   /* shares the storage of `root` */
    uint32_t root;
    uint32_t flags; /* TIDE_REQUIRES_GRAD */
    int64_t delta;  /* a view: elements from the root's first */
    tide_meta meta;
    int64_t stride[TIDE_MAXDIM];
    int32_t first, last; /* leaf calls between which it lives */
    int64_t at;          /* in the arena; -1: not there */
    tide_tensor *tensor; /* recording: the tensor itself, not owned, NULL once gone.
                            plan: made values: the struct that serves run after run; captured: the buffer */
    tide_tensor *bound;  /* while followed: what stands for it now */
} tide_value;

/* A program, kernel or view that ran. */
typedef struct {
    tide_call call;     /* the plan's own copy: tensors are filled in at launch */
    uint32_t *in, *out; /* value numbers, 0: NULL */
    uint32_t site;
    tide_ready *ready; /* of a program, once launched */
    int32_t origin;    /* a vjp: the leaf call whose attributes its own contain, -1: none */
} tide_leaf;

typedef struct {
    uint32_t leaf, grad;
    bool was_absent;
} tide_effect; /* backward overwrote or added to leaf's .grad */

/* A call as the script made it: what is matched. */
typedef struct {
    uint16_t op, flags;
    bool grad_enabled;
    uint32_t nin, nout, nattr, site;
    uint8_t *attr, *key; /* as recorded, then as last matched; and with its slots zeroed */
    uint32_t *in, *out;
    int32_t leaf0, nleaf;
    tide_effect *effect;
    int64_t neffect, ceffect;
} tide_tnode;

typedef struct {
    tide_tnode *node;
    tide_leaf *leaf;
    tide_value *value; /* [0] is not used */
    int64_t nnode, cnode, nleaf, cleaf, nvalue, cvalue;
    bool usable;     /* may be followed */
    const char *why; /* not usable because */
    bool finished;   /* the made values' tensors are the plan's own */
    bool planned;
    tide_storage *arena;
    int64_t arena_size;
} tide_record;

typedef struct tide_step {
    struct tide_step *next;
    uint8_t *key;
    size_t nkey;
    int runs, ntrace, failures;
    tide_record *trace[TIDE_MAXTRACES];
} tide_step;

typedef struct {
    tide_tensor *leaf;
    bool was_absent;
} tide_undo;

typedef struct tide_trace {
    tide_step *steps, *step; /* all; the one that is open */
    int depth;               /* steps opened inside a step */
    enum { TRACE_OFF, TRACE_RECORD, TRACE_FOLLOW } mode;
    uint32_t epochs;                        /* steps so far */
    tide_record *record;                    /* being written */
    tide_record *candidate[TIDE_MAXTRACES]; /* still matching */
    int ncandidate;
    int64_t position; /* next node to match */
    bool inside;      /* a composition is open while recording */
    tide_undo *undo;
    int64_t nundo, cundo;
    tide_storage **pending; /* storages that the launch will write */
    int64_t npending, cpending;
    struct {
        uint64_t matched, launches, deopts, recordings;
    } count;
    const char *refused; /* why the last record that may not be followed may not */
} tide_trace;

/* record.c */
tide_record *tide_record_new(tide_context *cx);
void tide_record_free(tide_context *cx, tide_record *r);
tide_status tide_record_after(void *state, tide_context *cx, tide_call *call, bool leaf);
void tide_record_enter(void *state, tide_context *cx, tide_call *call);
void tide_record_leave(void *state, tide_context *cx, tide_call *call, tide_status status);
void tide_record_gone(tide_context *cx, tide_tensor *t);
void tide_record_touch(tide_context *cx, tide_tensor *leaf, bool was_absent, bool fresh);
void tide_record_finish(tide_context *cx, tide_record *r, tide_tensor *const *out, int nout);

/* follow.c */
tide_status tide_follow_before(void *state, tide_context *cx, tide_call *call, bool *taken);
tide_status tide_follow_leave(tide_context *cx); /* deoptimise: run what was matched, then record */
tide_status tide_follow_sync(tide_context *cx, tide_tensor *t);
void tide_follow_end(tide_context *cx,
                     const tide_record *launched); /* lets go of what stood for values; NULL: none was */

/* launch.c */
tide_status tide_plan(tide_context *cx, tide_record *r);
tide_status tide_launch(tide_context *cx, tide_record *r);

#endif
