/* What tide_vm_build makes of a piece, and what a launch makes of that for given shapes. Private to the
 * machine. */
#ifndef TIDE_VM_PLAN_H
#define TIDE_VM_PLAN_H

#include "device/cpu/ahead.h"
#include "device/cpu/vm.h"
#include "device/cpu/vm_kernels.h"

/* Where a value lies. Registers are in the frame, the scratch memory of a tile. */
enum {
    VM_REG,   /* a register of one block, or of the kept elements of a block */
    VM_ROW,   /* a register as long as R, because a later pass needs it */
    VM_CONST, /* in the vm */
    VM_SLOT,  /* in the launch, as the next two */
    VM_SIZE,
    VM_FAILED,
    VM_PASSING, /* nowhere: from one link of a chain to the next */
    VM_ORIGIN   /* not a value: the numbers of the block's elements, for INDEX */
};

typedef struct {
    uint8_t place, space, size; /* size of an element in bytes */
    uint8_t dense;              /* operand of a reduction: its elements must follow each other */
    int8_t load;     /* the argument that it is loaded from, and may lie in; or -1 (none, or a scalar) */
    int8_t out;      /* the argument that it is stored to, and may be computed in; or -1 */
    uint32_t off;    /* REG: in the frame; ROW: bytes an element of the rows before it; else: which */
    uint32_t hazard; /* inputs that are still read after it was written: then it is not computed in `out` */
} tide_vm_value;

enum { VM_KERNEL, VM_LOAD, VM_STORE, VM_REDUCE, VM_CHAIN };

typedef struct {
    tide_vm_fn fn;
    uint16_t ref[4];     /* values: result, operands; CHAIN: the first link, and how many */
    uint8_t kind, space; /* space: which elements it works on */
    uint8_t arg;         /* LOAD, STORE: argument; REDUCE: number of the reduction */
} tide_vm_step;

typedef struct {
    tide_vm_reduction f;
    uint16_t value, operand;
    uint8_t size, level; /* level 1 reduces what depends on no reduction, level 2 what depends on level 1 .. */
    uint64_t neutral;
} tide_vm_red;

/* Steps in sections: those on scalars (ONE); then for every level its kept values (KEPT) and its pass over the
 * blocks; then what is done last for each block of K. */
typedef struct {
    int nvalue, nred, nlevel;
    tide_vm_value *value;
    tide_vm_step *step;
    tide_vm_red *red;
    tide_vm_link *link; /* of all chains */
    int nlink;
    uint16_t *section; /* 2 + 2 * nlevel sections, and the end */
    int64_t block;     /* elements of a block */
    size_t registers;  /* bytes of the frame for places in loc[], their states and registers */
    int64_t row_bytes; /* an element of all ROW values */
    double cost;       /* steps an element takes */
    int longest;       /* the pass with the most steps that compute, and how many */
    int longest_work;
    bool one_chain; /* that are fused into one */
    bool direct;    /* flat, and where its arguments lie as registers, nothing but kernels is to run */
    size_t bytes;   /* of this plan */
} tide_vm_plan;

static inline int vm_kept(int level) { return 1 + 2 * level; }
static inline int vm_pass(int level) { return 2 + 2 * level; }
static inline int vm_finish(const tide_vm_plan *p) { return 1 + 2 * p->nlevel; }
static inline bool vm_has(const tide_vm_plan *p, int section) {
    return p->section[section] < p->section[section + 1];
}

/* Effects that run over one iteration space. */
typedef struct {
    uint8_t space;       /* K x R, or without K: what its effects vary along */
    bool indexed;        /* uses INDEX: K and R cannot be run as one axis */
    tide_vm_plan *flat;  /* all elements alike, no reductions; NULL: there are some */
    tide_vm_plan *keep;  /* a later pass finds what an earlier one computed ... */
    tide_vm_plan *again; /* ... or computes it again */
} tide_vm_unit;

struct tide_vm {
    const tide_vm_kernels *kernels;
    int nunit, narg, nin;
    struct {
        uint8_t dtype, space, size;
        bool plain;
    } arg[TIDE_MAXARGS]; /* plain: stored as in a register */
    const char *check[TIDE_MAXCHECKS];
    uint64_t *konst;
    int64_t nkonst;
    tide_vm_unit unit[2];
    const tide_ahead *ahead; /* the only unit, compiled ahead; NULL: it is not */
};

/* How one unit runs over one iteration space: decided from shapes and strides only. */
/* The inner axis of a block: all, R, K; or a function compiled ahead runs, over all or rows, columns, short
 * rows. */
typedef enum { VM_FLAT, VM_ROWS, VM_COLUMNS, VM_AHEAD, VM_AHEAD_COLUMNS, VM_AHEAD_SHORT } tide_vm_mode;

typedef struct {
    const tide_vm_plan *plan;
    uint8_t mode;
    bool staged;               /* tiles are chunks of R */
    bool far;                  /* more memory than the second cache holds */
    uint32_t stream;           /* outputs that go past the caches: bits by argument */
    int split;                 /* FLAT: dims of the outer axis */
    int64_t K, R;              /* FLAT: outer and inner size */
    int64_t kb, rb;            /* a block */
    int64_t ktile, rtile;      /* a tile */
    int64_t nk, nr;            /* how many tiles along the two axes */
    size_t rows, lanes, parts; /* offsets in the frame: ROW values, accumulators, results of chunks */
    size_t bytes;              /* of the frame */
} tide_vm_shape;

/* vm_fuse.c. First, before registers are assigned: marks what a chain passes on only (uses: space for a count a
 * value). Then, when nothing looks at single steps any more: makes chains of steps. */
void tide_vm_find_passing(const tide_vm *vm, tide_vm_plan *plan, uint16_t *uses);
void tide_vm_fuse(const tide_vm *vm, tide_vm_plan *plan);

/* vm_shape.c */
enum {
    VM_TILE = 32768,   /* elements of a tile: 5 to 100 us */
    VM_SMALL_TILE = 64 /* the same for tests */
};
static inline size_t vm_up(size_t n) { return (n + 63) & ~(size_t)63; } /* to whole lines */
static inline int64_t vm_cut(int64_t n, int64_t part) { return (n + part - 1) / part; }
static inline int64_t vm_least(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t vm_most(int64_t a, int64_t b) { return a > b ? a : b; }
void tide_vm_shape_of(const tide_vm *vm, const tide_vm_unit *unit, const tide_iter *it, bool small,
                      tide_vm_shape *out);

bool tide_vm_may_stream(const tide_iter *it, bool small); /* its shape depends on addresses as well */

/* What all tiles of a list share. */
typedef struct {
    tide_context *cx;
    const tide_vm *vm;
    const tide_vm_unit *unit;
    const tide_iter *iter;
    const tide_vm_shape *shape;
    const int *first; /* the first tile of each item of a list; NULL: one item */
    int niter;
    const uint64_t *slot;
    uint32_t failed;       /* checks that did not hold, a bit each */
    char *parts, *results; /* staged: of chunks, and of whole reductions */
    int level;             /* staged: how far the work has got */
} tide_vm_work;

/* vm.c: tiles of a tide_vm_work; the last three of an item in stages: chunks, combining what they gave, the end
 */
void tide_vm_tile(void *work, int tile, void *scratch);
void tide_vm_chunk_tile(void *work, int tile, void *scratch);
void tide_vm_combine_tile(void *work, int tile, void *scratch);
void tide_vm_finish_tile(void *work, int tile, void *scratch);
/* At the end of a tile that may have written past the caches. */
void tide_vm_end_tile(const tide_vm_shape *s);

/* vm_ahead.c */
const tide_ahead *tide_ahead_of(tide_isa isa, const tide_prog *piece); /* NULL: not compiled ahead */
/* False: its arguments do not lie as the functions want them. */
bool tide_ahead_shape(const tide_vm *vm, const tide_iter *it, bool small, tide_vm_shape *out);
void tide_ahead_tile(const tide_vm *vm, const tide_iter *it, const tide_vm_shape *s, const uint64_t *slot,
                     uint32_t *failed, int64_t tile, void *scratch);

#endif
