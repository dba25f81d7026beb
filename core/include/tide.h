/* Tide: an embeddable tensor engine.
 *
 * Every object belongs to a tide_context. A context is used by one thread at a time; several contexts may live
 * in one process on several threads. The library never exits, aborts, prints or installs signal handlers.
 *
 * Errors. The first error is kept in the context until it is asked for (tide_error). Functions that make
 * tensors return NULL on error, and NULL passed as a required tensor gives NULL again, so calls can be chained
 * and the error asked for once. All other functions return a tide_status.
 *
 * Ownership. A result belongs to the innermost open scope (tide_begin .. tide_end), else to the caller, who
 * gives it back with tide_free. Positions and dims count from 0, negative dims from the end. */
#ifndef TIDE_H
#define TIDE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(TIDE_BUILD) && defined(__GNUC__)
#define TIDE_API __attribute__((visibility("default")))
#else
#define TIDE_API
#endif

#define TIDE_VERSION "0.1.0"
#define TIDE_MAXDIM 8

typedef struct tide_context tide_context;
typedef struct tide_tensor tide_tensor;

typedef enum {
    TIDE_OK,
    TIDE_EARG,    /* a wrong argument: shapes, dtypes, ranges */
    TIDE_EMEM,    /* out of memory, or over the context's limit */
    TIDE_EIO,     /* reading or writing a file failed */
    TIDE_EFORMAT, /* a file is malformed */
    TIDE_ECANCEL, /* the host's `cancelled` hook said so */
    TIDE_EDEVICE, /* a device failed */
    TIDE_EPEER,   /* another process failed */
    TIDE_EUNSUP,  /* not supported here */
    TIDE_EFORK    /* the context was made before a fork */
} tide_status;

/* The numbers are part of the ABI. */
typedef enum {
    TIDE_F32 = 1,
    TIDE_F64,
    TIDE_F16,
    TIDE_BF16,
    TIDE_I64,
    TIDE_I32,
    TIDE_I8,
    TIDE_U8,
    TIDE_BOOL
} tide_dtype;

typedef struct {
    uint8_t kind, index;
} tide_device; /* kind 0: cpu */

/* What is known of a tensor without its data. */
typedef struct {
    int64_t shape[TIDE_MAXDIM];
    int32_t ndim;
    uint8_t dtype; /* a tide_dtype */
    tide_device device;
} tide_meta;

/* A number beside tensors: an integer does not make a float of an integer tensor, a float does. */
typedef enum { TIDE_NONE, TIDE_BOOLEAN, TIDE_INTEGER, TIDE_FLOAT } tide_numkind;
typedef struct {
    union {
        double f;
        int64_t i;
    } u;
    int32_t kind; /* a tide_numkind; TIDE_NONE: not given */
    int32_t pad;
} tide_num;

/* ---- context
 * ---------------------------------------------------------------------------------------------------- */

typedef void (*tide_tile)(void *arg, int i);

/* The host's hooks. Zero means the default. Set `size` to sizeof(tide_config). */
typedef struct tide_config {
    size_t size;
    void *ud; /* first argument of every hook */
    /* to == 0 frees, p == NULL allocates; from and to are bytes */
    void *(*alloc)(void *ud, void *p, size_t from, size_t to, size_t align);
    /* runs tile(arg, i) for every 0 <= i < ntiles, on any threads, and returns when all have run */
    void (*parallel)(void *ud, int ntiles, tide_tile tile, void *arg);
    /* polled between tiles, from any thread; nonzero stops the operation, unless it writes into tensors that
     * were there before (those are finished, never half done) */
    int (*cancelled)(void *ud);
    void (*pressure)(void *ud, size_t handle_only_bytes); /* the host may give back tensors now */
    void (*log)(void *ud, int level, const char *text);
    int threads;         /* 0: TIDE_THREADS, else the processors this process may use */
    size_t memory_limit; /* bytes; 0: none */
    uint64_t seed;
    const char *blackbox; /* path of the ring file; NULL: the ring is kept in memory only */
} tide_config;

/* Memory: when an allocation would exceed memory_limit or the host's allocator refuses, cached blocks go back,
 * then `pressure` is called; if that does not help, TIDE_EMEM with the lines that hold most. */
/* config may be NULL. On failure *out is NULL. */
TIDE_API tide_status tide_open(const tide_config *config, tide_context **out);
TIDE_API void
tide_close(tide_context *cx); /* NULL passes; tensors still alive become unusable but may be freed */
TIDE_API const char *tide_error(tide_context *cx,
                                tide_status *code); /* the first since last asked, or NULL; asking clears */
TIDE_API uint32_t tide_intern_site(tide_context *cx, const char *file, int line); /* a number for "file:line" */
TIDE_API void tide_site(tide_context *cx, uint32_t site); /* where the caller's program stands now */
TIDE_API void tide_manual_seed(tide_context *cx, uint64_t seed);
TIDE_API const char *tide_parts(tide_context *cx); /* one line an optional part: found or not */
/* The last operations of a process that ended badly: gives the lines of the ring file `path`, oldest first, to
 * `line`, and returns how many, or -1 if it is no ring file. A line is
 * "  1234  matmul (32,64) float32 (64,128) float32  train.lua:12  +0.480s", the time since the start. */
TIDE_API int tide_blackbox_read(const char *path, void (*line)(void *arg, const char *text), void *arg);

/* ---- tensors
 * ---------------------------------------------------------------------------------------------------- */

TIDE_API void tide_begin(tide_context *cx);      /* opens a scope: results belong to it */
TIDE_API void tide_end(tide_context *cx);        /* frees them, except what was kept */
TIDE_API tide_tensor *tide_keep(tide_tensor *t); /* one more reference; returns t */
TIDE_API void tide_free(tide_tensor *t);         /* one reference less; NULL passes */

TIDE_API tide_tensor *tide_empty(tide_context *cx, const tide_meta *meta); /* contiguous, contents undefined */
/* Host memory, row-major, used in place; release(arg) is called when no tensor refers to it any more (may be
 * NULL). */
TIDE_API tide_tensor *tide_wrap(tide_context *cx, const tide_meta *meta, void *host, void (*release)(void *),
                                void *arg);
/* The same data in another context. Neither context may be in use by another thread during the call; afterwards
 * each goes its own way, on its own thread, and may close first. Changes in place are not coordinated. NULL: no
 * memory, the error in `to`; or the compiled step that was to write t failed, the error in t's context. */
TIDE_API tide_tensor *tide_share(tide_context *to, tide_tensor *t);
TIDE_API const tide_meta *tide_meta_of(const tide_tensor *t);
TIDE_API tide_context *tide_context_of(const tide_tensor *t);
/* Copies all elements, row-major, to or from host memory of exactly nbytes. */
TIDE_API tide_status tide_read(tide_tensor *t, void *dst, size_t nbytes);
TIDE_API tide_status tide_write(tide_tensor *t, const void *src, size_t nbytes);
/* The tensor as text, as PyTorch prints it, summarised above 1,000 elements. At most n bytes with the final 0;
 * returns the length wanted. */
TIDE_API size_t tide_text(tide_tensor *t, char *buffer, size_t n);

/* ---- operations
 * --------------------------------------------------------------------------------------------------- */

/* An operation as data. tide_ops.h, generated from the operation table, has one function for each operation;
 * this is what they call. in[] may hold NULL for an optional input; out[] receives new references, or holds
 * tensors of the right shape and dtype to write into. */
typedef struct tide_call {
    uint16_t op;    /* TIDE_OP_... */
    uint16_t flags; /* TIDE_INPLACE: the result replaces the contents of in[0], which is also out[0] */
    uint32_t nin, nout;
    tide_tensor **in, **out;
    const void *attr; /* the operation's attributes: plain data, zero padded */
    size_t nattr;
} tide_call;
enum { TIDE_INPLACE = 1 };
TIDE_API tide_status tide_apply(tide_context *cx, tide_call *call);

/* ---- gradients
 * -------------------------------------------------------------------------------------------------- */

enum { TIDE_CREATE_GRAPH = 1, TIDE_RETAIN_GRAPH = 2, TIDE_ALLOW_UNUSED = 4 };
TIDE_API tide_status tide_set_requires_grad(tide_tensor *t, int on); /* leaves of floating dtypes only */
TIDE_API int tide_requires_grad(const tide_tensor *t);
TIDE_API int tide_set_grad_enabled(tide_context *cx, int on); /* returns what it was */
/* Adds d(loss)/d(leaf) to the .grad of every leaf; seed NULL: ones, for a loss of one element. */
TIDE_API tide_status tide_backward(tide_tensor *loss, tide_tensor *seed, unsigned flags);
/* gx[i] = sum over j of gy[j] * dy[j]/dx[i]; gy (or single entries) may be NULL. gx[i] is NULL where unused. */
TIDE_API tide_status tide_grad(tide_context *cx, tide_tensor **y, int ny, tide_tensor **x, int nx,
                               tide_tensor **gy, unsigned flags, tide_tensor **gx);
TIDE_API tide_tensor *tide_grad_of(tide_tensor *t); /* the .grad buffer, borrowed; NULL if absent */
TIDE_API tide_status tide_zero_grad(tide_tensor *const *t,
                                    int n);        /* marks them absent; the next backward overwrites */
TIDE_API tide_tensor *tide_detach(tide_tensor *t); /* the same data, not followed by gradients */

/* ---- optimizers
 * --------------------------------------------------------------------------------------------------- */

typedef enum {
    TIDE_SGD,
    TIDE_ADAM,
    TIDE_ADAMW,
    TIDE_NADAM,
    TIDE_RADAM,
    TIDE_ADAMAX,
    TIDE_ADAGRAD,
    TIDE_ADADELTA,
    TIDE_RMSPROP,
    TIDE_ASGD,
    TIDE_RPROP,
    TIDE_LION,
    TIDE_NOPTIM
} tide_optim_kind;
/* PyTorch's names. Each kind looks at its own fields only. */
typedef struct {
    tide_optim_kind kind;
    double lr, weight_decay;                      /* all; Rprop has no weight_decay */
    double momentum, dampening;                   /* SGD; momentum: RMSprop */
    double beta1, beta2, eps;                     /* the Adams; betas: Lion; eps: Adagrad, Adadelta, RMSprop */
    double momentum_decay;                        /* NAdam */
    double lr_decay, initial_accumulator_value;   /* Adagrad */
    double rho;                                   /* Adadelta */
    double alpha, lambd, t0;                      /* ASGD; alpha: RMSprop */
    double etaminus, etaplus, step_min, step_max; /* Rprop */
    int nesterov;                                 /* SGD */
    int amsgrad;                                  /* Adam, AdamW */
    int centered;                                 /* RMSprop */
    int decoupled_weight_decay;                   /* Adam, NAdam, RAdam */
    int maximize;                                 /* all */
} tide_optim_config;
typedef struct tide_optim tide_optim;

TIDE_API tide_optim_config tide_optim_defaults(tide_optim_kind kind); /* PyTorch's */
/* Keeps a reference to every parameter. State is made at the first step that finds a gradient. NULL: a
 * parameter is no floating leaf or comes twice, or an option is out of range (EARG). */
TIDE_API tide_optim *tide_optim_new(tide_context *cx, tide_tensor *const *params, int n,
                                    const tide_optim_config *config);
TIDE_API void tide_optim_free(tide_optim *o);
TIDE_API tide_optim_config *tide_optim_settings(tide_optim *o); /* may be changed between steps */
/* Updates all parameters that have a gradient: one operation for those of one dtype that made as many steps. */
TIDE_API tide_status tide_optim_step(tide_optim *o);
TIDE_API tide_status tide_optim_zero_grad(tide_optim *o);
/* State of parameter i: the number of its steps; tensors under PyTorch's names ("momentum_buffer", "exp_avg",
 * "exp_avg_sq", "max_exp_avg_sq", "exp_inf", "sum", "square_avg", "acc_delta", "grad_avg", "ax", "prev",
 * "step_size"), borrowed, NULL if there is none yet. Restoring copies `value`, of the parameter's shape; name
 * NULL: the count only. */
TIDE_API int64_t tide_optim_count(tide_optim *o, int i);
TIDE_API tide_tensor *tide_optim_state(tide_optim *o, int i, const char *name);
TIDE_API tide_status tide_optim_restore(tide_optim *o, int i, int64_t count, const char *name,
                                        tide_tensor *value);
/* A number kept for parameter i ("mu_product" of NAdam; "eta" and "mu" of ASGD), to read or to set; NULL: none.
 */
TIDE_API double *tide_optim_number(tide_optim *o, int i, const char *name);
/* Scales the gradients so that their common 2-norm is at most `limit`; returns the norm before (0-d), or NULL.
 */
TIDE_API tide_tensor *tide_clip_grad_norm(tide_context *cx, tide_tensor *const *params, int n, double limit);
/* Brings every element of the gradients into [-limit, limit]; NaN stays. EARG: limit is negative. */
TIDE_API tide_status tide_clip_grad_value(tide_context *cx, tide_tensor *const *params, int n, double limit);
/* averages[i] += (values[i] - averages[i]) * weight, elementwise: an exponential moving average with decay
 * 1 - weight. EARG: the shapes of a pair differ, or a tensor is not of a floating dtype. */
TIDE_API tide_status tide_average(tide_context *cx, tide_tensor *const *averages, tide_tensor *const *values,
                                  int n, double weight);

/* ---- compiled steps
 * ----------------------------------------------------------------------------------------------- */

/* Between begin and end the operations are recorded; from the third time with the same key they are only
 * matched, and run as a plan when the step ends. The values in out[] are valid afterwards, other results of the
 * step are not. */
TIDE_API tide_status tide_step_begin(tide_context *cx, const void *key, size_t nkey);
TIDE_API tide_status tide_step_end(tide_context *cx, tide_tensor **out, int nout);
TIDE_API tide_status tide_step_abort(tide_context *cx); /* instead of end, when the step failed half way */
/* Forgets the steps whose keys begin with these bytes, but not one that is open. */
TIDE_API void tide_step_forget(tide_context *cx, const void *prefix, size_t nprefix);

typedef struct tide_counters {
    uint64_t calls;   /* operations executed at the door */
    uint64_t matched; /* operations only matched */
    uint64_t launches, deopts, recordings;
    uint64_t kernels;    /* programs and kernels run */
    uint64_t programs;   /* programs built */
    uint64_t allocs;     /* calls of the host's allocator */
    const char *refused; /* why the last recorded step that cannot be followed cannot, or NULL */
    uint64_t threads;    /* most threads that shared the tiles of one operation; 0: none were shared */
} tide_counters;
TIDE_API void tide_count(tide_context *cx, tide_counters *out);

#ifdef __cplusplus
}
#endif
#endif
