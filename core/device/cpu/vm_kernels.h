/* The loops of the vector machine: one function for each instruction and register type, over a block of
 * no x ni elements. Compiled once for each instruction set; vm_kernels.c is the text of all of them. */
#ifndef TIDE_VM_KERNELS_H
#define TIDE_VM_KERNELS_H

#include "program/program.h"

/* Where the elements of a value lie: strides in bytes along the outer and the inner axis of the block. A
 * register or an argument used in place has si = its element size, or 0: one element a row. */
typedef struct {
    char *p;
    int64_t so, si;
} tide_loc;

/* ref: the places in loc[] of the result and of the operands. A result may lie where an operand lies. */
typedef void (*tide_vm_fn)(const tide_loc *loc, const uint16_t *ref, int64_t no, int64_t ni);

/* Chains (vm_chain.c): what a link does with the number at hand and, where it has them, its operands. */
enum {
    TIDE_LINK_LOAD,
    TIDE_LINK_STORE,
    TIDE_LINK_ADD,
    TIDE_LINK_SUB,
    TIDE_LINK_SUB_FROM, /* operand - number */
    TIDE_LINK_MUL,
    TIDE_LINK_DIV,
    TIDE_LINK_DIV_INTO,    /* operand / number */
    TIDE_LINK_FMA,         /* number * operand + second operand, rounded once */
    TIDE_LINK_ADD_PRODUCT, /* number + operand * second operand, rounded once */
    TIDE_LINK_SQUARE,      /* from here on without operands */
    TIDE_LINK_NEG,
    TIDE_LINK_ABS,
    TIDE_LINK_SQRT,
    TIDE_LINK_END
};
#define TIDE_MAXLINKS 48
typedef struct {
    uint16_t code, ref, second; /* refs: 0 where there is no operand */
} tide_vm_link;
/* Memory that is used next: asked for while a chain computes, as many elements as it has done. */
typedef struct {
    int n;
    struct {
        char *p;
        int64_t size; /* of an element */
        bool write;
    } stream[8];
} tide_vm_ahead;
/* ahead: may be NULL; it moves on. */
typedef void (*tide_vm_chain)(const tide_loc *loc, const tide_vm_link *link, int n, int64_t no, int64_t ni,
                              tide_vm_ahead *ahead);

/* Reductions, each in the order of program.h. acc: TIDE_LANES x k elements. far: x comes from memory, what
 * follows it is asked for. */
typedef struct {
    /* d[o] = reduction of the ni elements of row o, 1 <= ni <= TIDE_CHUNK */
    void (*rows)(void *d, const char *x, int64_t so, int64_t no, int64_t ni, bool far);
    /* Takes elements r .. r+n of a chunk, each a vector of k, into their lanes; the first ones open them. */
    void (*fold)(void *acc, const char *x, int64_t so, int64_t r, int64_t n, int64_t k, bool far);
    /* d[0..k) = the 1 <= n <= TIDE_LANES vectors x, combined by halving; acc is work space and may be x. */
    void (*tree)(void *d, void *acc, const char *x, int64_t so, int64_t n, int64_t k);
} tide_vm_reduction;

typedef struct {
    tide_vm_fn op[TIDE_NINSN][TIDE_NREG]; /* by the type of the first operand; SELECT: of the second */
    tide_vm_fn cvt[TIDE_NREG][TIDE_NREG]; /* [from][to]; from == to copies */
    tide_vm_fn load[TIDE_BOOL + 1];       /* any inner stride -> register */
    tide_vm_fn store[TIDE_BOOL + 1];      /* register -> any inner stride */
    tide_vm_fn stream;                    /* store[TIDE_F32], past the caches; to be followed by a fence */
    tide_vm_fn round_to[TIDE_BOOL + 1];
    tide_vm_chain chain;               /* of f32 */
    tide_vm_fn index;                  /* operand: p is the first number, so and si are the steps */
    tide_vm_reduction reduction[4][4]; /* [op - TIDE_P_SUM][type] */
} tide_vm_kernels;

extern const tide_vm_kernels tide_vm_kernels_baseline;
#if defined(__x86_64__)
extern const tide_vm_kernels tide_vm_kernels_avx2, tide_vm_kernels_avx512;
#endif

#endif
