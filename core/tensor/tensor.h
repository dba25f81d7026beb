/* Floor 1: dtypes, shapes, storages and tensors. Knows no operations. */
#ifndef TIDE_TENSOR_H
#define TIDE_TENSOR_H

#include "base/context.h"
#include <stdatomic.h>

#define TIDE_NDTYPE (TIDE_BOOL + 1)

/* ---- dtype.c ---- */
static inline size_t tide_dtype_size(tide_dtype d) {
    static const uint8_t size[16] = {0, 4, 8, 2, 2, 8, 4, 1, 1, 1};
    return size[d & 15];
}
const char *tide_dtype_name(tide_dtype d);     /* "float32"; "?" for none */
tide_dtype tide_dtype_named(const char *name); /* 0: no such dtype */
bool tide_dtype_is_float(tide_dtype d);
bool tide_dtype_is_int(tide_dtype d); /* not bool */
tide_dtype tide_dtype_promote(tide_dtype a, tide_dtype b);

/* ---- shape.c ---- */
int64_t tide_numel(const tide_meta *m);
bool tide_same_shape(const tide_meta *a, const tide_meta *b);
bool tide_same_meta(const tide_meta *a, const tide_meta *b); /* shape, dtype and device */
tide_status tide_broadcast(tide_context *cx, tide_meta *into, const tide_meta *with); /* shapes only */
tide_status tide_wrap_dim(tide_context *cx, int64_t dim, int ndim,
                          int *out); /* negative from the end; 0-d takes 0 and -1 */
void tide_contiguous_strides(const tide_meta *m, int64_t *stride);
/* "(2,3)" into a buffer of TIDE_SHAPE_TEXT bytes; returns it */
#define TIDE_SHAPE_TEXT 192
const char *tide_shape_text(const tide_meta *m, char *buffer);

/* ---- tensor.c: storages ---- */
typedef struct tide_storage {
    _Atomic int64_t refs; /* tensors, of any context */
    tide_heap *heap;      /* whose memory this struct is, and the data if `owned` */
    tide_context
        *home; /* its context, for the lists below; NULL once shared with another, or that has closed */
    void *data;
    size_t nbytes;
    void (*release)(void *arg);
    void *arg;
    bool owned;                       /* the data are a block of the heap, not the host's (release, arg) */
    bool inner;                       /* part of the block of the tensor that it was made for */
    uint32_t version;                 /* counts changes in place */
    int32_t pins;                     /* references of tensors that are not only Lua handles */
    uint32_t site;                    /* where it was made */
    uint32_t pending;                 /* epoch of a followed step that will write it at launch, 0: none */
    struct tide_storage *next, *prev; /* all storages of `home` */
} tide_storage;

tide_storage *tide_storage_new(tide_context *cx, size_t nbytes); /* one reference */
tide_storage *tide_storage_wrap(tide_context *cx, void *data, size_t nbytes, void (*release)(void *),
                                void *arg);
void tide_storage_keep(tide_storage *s);
void tide_storage_free(tide_context *cx, tide_storage *s);
void tide_storage_pin(tide_storage *s);   /* a tensor that is more than a Lua handle refers to it */
void tide_storage_unpin(tide_storage *s); /* NULL passes both */

/* ---- tensor.c: tensors ---- */
enum {
    TIDE_REQUIRES_GRAD = 1, /* results of it are recorded */
    TIDE_IS_VIEW = 4,       /* shares the storage of another tensor */
    TIDE_DEAD = 8,          /* a temporary of a compiled step that has been launched: no data any more */
    TIDE_TEMP = 16, /* a temporary of a compiled step: the struct serves one run after another (see epoch) */
};

struct tide_tensor {
    tide_meta meta;
    int64_t stride[TIDE_MAXDIM]; /* in elements */
    int64_t offset;              /* in elements */
    tide_storage *storage;
    tide_context *cx;
    uint32_t refs; /* all references */
    uint32_t pins; /* those that are not Lua handles */
    uint32_t flags;
    uint32_t view_version;    /* a view: storage version when it was taken */
    struct tide_node *node;   /* autograd/: what made it, or NULL */
    struct tide_saved *saved; /* autograd/: where nodes keep it */
    uint32_t node_out;
    bool grad_absent; /* .grad is a stable buffer; this says whether it holds anything */
    bool whole;       /* tensor.c: one block with the storage that was made for it */
    tide_tensor *grad;
    uint32_t epoch, value; /* trace/: which value of the step recorded or followed now */
};

/* State of the floor in a context. */
typedef struct tide_tensors {
    tide_storage *storages;
    uint64_t idle;       /* bytes of storages that only Lua handles refer to */
    uint64_t idle_limit; /* pressure is called when idle passes it */
    int64_t live;        /* tensors */
    tide_tensor **owned; /* by open scopes */
    int64_t nowned, cowned;
    int64_t *scope; /* stack: nowned when each was opened */
    int64_t nscope, cscope;
    void (*dropped)(tide_context *cx, tide_tensor *t); /* autograd/: lets go of node and grad */
    /* trace/: makes the pending data of t real; t NULL: leaves the step being followed, whatever is pending */
    tide_status (*sync)(tide_context *cx, tide_tensor *t);
    void (*gone)(tide_context *cx, tide_tensor *t); /* trace/: a tensor of the step being recorded dies */
    uint32_t epoch;                                 /* of the step being recorded or followed, 0: none */
} tide_tensors;

tide_status tide_tensors_open(tide_context *cx); /* idempotent */

/* Strides in elements. All give one pinned reference to the caller, or NULL with the error pending. */
tide_tensor *tide_tensor_new(tide_context *cx, const tide_meta *m); /* contiguous, uninitialised */
/* In a block of nbytes from tide_alloc, as large as needed or larger; NULL leaves it to the caller. */
tide_tensor *tide_tensor_adopt(tide_context *cx, const tide_meta *m, void *data, size_t nbytes);
tide_tensor *tide_tensor_view(tide_tensor *of, const tide_meta *m, const int64_t *stride, int64_t offset);
tide_tensor *tide_tensor_struct(tide_context *cx, const tide_meta *m); /* without storage yet */

void tide_tensor_give(tide_tensor *t, tide_storage *s); /* its storage from now on */
/* Each becomes what the other was, but for their references. */
void tide_tensor_swap(tide_tensor *a, tide_tensor *b);

bool tide_is_contiguous(const tide_tensor *t);
bool tide_is_expanded(const tide_tensor *t); /* one element stands for several */
static inline char *tide_data(const tide_tensor *t) {
    return (char *)t->storage->data + t->offset * (int64_t)tide_dtype_size((tide_dtype)t->meta.dtype);
}
/* Makes pending data real and refuses dead temporaries; every reader of data from outside the door calls it
 * first. */
tide_status tide_sync(tide_tensor *t);

tide_tensor *tide_scoped(tide_tensor *t); /* hands a result to the innermost open scope, if any; returns it */
void tide_to_handle(tide_tensor *t);      /* the caller's reference becomes a Lua handle's */
void tide_handle_free(tide_tensor *t);    /* a Lua handle lets go */

/* Counts bytes that only handles hold against the limit and calls the host's pressure hook; a safe point. */
void tide_pace(tide_context *cx);

/* The biggest holders of memory by site, one a line: "12.5 MiB in 3 tensors, train.lua:41". */
void tide_holders_text(tide_context *cx, char *buffer, size_t n);

#endif
