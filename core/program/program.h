/* Floor 2: the small language in which elementwise and reduction work is written once.
 *
 * A program is SSA over an iteration space K x R (kept dims x reduced dims). A value's space tells along which
 * of the two it varies: POINT (K and R), KEPT (K), REDUCED (R), ONE (neither). A reduction over an axis removes
 * it. Inputs are converted from their dtype to a register type when loaded and back when stored.
 *
 * Reductions have ONE order, a function of the number n of reduced elements only:
 *   n <= 256          lane i holds element i; lanes are combined by halving: for s = 128, 64 .. 1:
 *                     lane[i] = lane[i] op lane[i+s] for i < s and i + s < n
 *   n <= TIDE_CHUNK   lane i holds the elements i, i+256, i+512 .. combined in that order, then as above
 *   else              every chunk of TIDE_CHUNK elements (the last may be short) is reduced as above, and the
 * results, in order, are reduced by these same rules. Elements of R are numbered row-major over its dims. An
 * empty reduction gives the neutral element: 0 for SUM, 1 for PROD, -inf/lowest for MAX, +inf/highest for MIN.
 */
#ifndef TIDE_PROGRAM_H
#define TIDE_PROGRAM_H

#include "base/base.h"

#define TIDE_LANES 256
#define TIDE_CHUNK 16384

typedef uint16_t tide_val; /* a value: the index of its instruction */
#define TIDE_NOVAL 0xFFFF

enum {
    TIDE_ONE = 0,
    TIDE_KEPT = 1,
    TIDE_REDUCED = 2,
    TIDE_POINT = 3
};                                         /* spaces: bit 0 varies along K, bit 1 along R */
enum { TIDE_AXIS_K = 1, TIDE_AXIS_R = 2 }; /* aux of a reduction */
enum { TIDE_RF32, TIDE_RF64, TIDE_RI32, TIDE_RI64, TIDE_RMASK, TIDE_NREG }; /* register types */

/* name, number of operands, kind: S source, U unary, B binary, C comparison, T ternary, R reduction, E effect.
 * All functions are those of program/math.h in the register type of their operands. */
/* clang-format off */
#define TIDE_INSNS(X) \
    X(LOAD, 0, 'S')    /* a: argument */ \
    X(CONST, 0, 'S')   /* a: index into konst (bits of the register type, low end) */ \
    X(SLOT, 0, 'S')    /* a: slot: a number given at launch */ \
    X(INDEX_K, 0, 'S') /* i64: number of the kept element, row-major */ \
    X(INDEX_R, 0, 'S') /* i64: number of the reduced element */ \
    X(SIZE_K, 0, 'S')  /* i64 */ \
    X(SIZE_R, 0, 'S')  /* i64 */ \
    X(RANDOM, 1, 'U')  /* i32 bits: word (i & 3) of Philox(key = slot b, hi = slot c, counter = i >> 2), i: i64 operand a */ \
    X(CVT, 1, 'U')     /* to `type`; float to integer truncates and saturates, NaN gives 0; to mask: != 0 */ \
    X(ROUND_TO, 1, 'U') /* as stored to and loaded from dtype aux (f16, bf16 in f32; i8, u8 in i32) */ \
    X(HOLD, 1, 'U')    /* the operand, but a constant to the derivative */ \
    X(NEG, 1, 'U') X(ABS, 1, 'U') X(SIGN, 1, 'U') X(SQRT, 1, 'U') X(RSQRT, 1, 'U') \
    X(EXP, 1, 'U') X(EXPM1, 1, 'U') X(EXP2, 1, 'U') X(LOG, 1, 'U') X(LOG1P, 1, 'U') X(LOG2, 1, 'U') X(LOG10, 1, 'U') \
    X(SIN, 1, 'U') X(COS, 1, 'U') X(TAN, 1, 'U') X(ASIN, 1, 'U') X(ACOS, 1, 'U') X(ATAN, 1, 'U') \
    X(SINH, 1, 'U') X(COSH, 1, 'U') X(TANH, 1, 'U') X(SIGMOID, 1, 'U') X(ERF, 1, 'U') X(ERFC, 1, 'U') \
    X(FLOOR, 1, 'U') X(CEIL, 1, 'U') X(TRUNC, 1, 'U') X(ROUND, 1, 'U') /* half to even */ \
    X(NOT, 1, 'U')     /* integers: ~a; mask: !a */ \
    X(ISNAN, 1, 'C')   /* mask */ \
    X(ADD, 2, 'B') X(SUB, 2, 'B') X(MUL, 2, 'B') /* integers wrap */ \
    X(DIV, 2, 'B')     /* floats: /; integers: truncating */ \
    X(FLOORDIV, 2, 'B') X(MOD, 2, 'B') X(FMOD, 2, 'B') X(POW, 2, 'B') X(ATAN2, 2, 'B') X(COPYSIGN, 2, 'B') \
    X(MIN, 2, 'B') X(MAX, 2, 'B') /* NaN wins; -0 < +0 */ \
    X(AND, 2, 'B') X(OR, 2, 'B') X(XOR, 2, 'B') /* integers: bits; masks */ \
    X(SHL, 2, 'B') X(SHR, 2, 'B') \
    X(EQ, 2, 'C') X(NE, 2, 'C') X(LT, 2, 'C') X(LE, 2, 'C') /* mask; false with NaN, NE true */ \
    X(SELECT, 3, 'T')  /* a: mask; a ? b : c */ \
    X(FMA, 3, 'T')     /* a * b + c, rounded once; floats only */ \
    X(SUM, 1, 'R') X(PROD, 1, 'R') X(MAXR, 1, 'R') X(MINR, 1, 'R') /* over axis aux */ \
    X(CHECK, 1, 'E')   /* a: mask that must hold everywhere; b: index into check[] */ \
    X(STORE, 1, 'E')   /* a: value; b: argument */
/* clang-format on */

typedef enum {
#define X(name, n, kind) TIDE_P_##name,
    TIDE_INSNS(X)
#undef X
        TIDE_NINSN
} tide_insn_op;

typedef struct {
    uint8_t op, type, space, aux;
    uint16_t a, b, c, d;
} tide_insn; /* 12 bytes; value = its index */

#define TIDE_MAXARGS 24
#define TIDE_MAXSLOTS 16
#define TIDE_MAXCHECKS 4

/* A slot's number is read from the attributes at launch: 8 bytes at `offset`, a double or an int64_t. */
typedef struct {
    uint16_t offset;
    uint8_t is_float;
} tide_slot;

typedef struct tide_prog {
    tide_context *cx;
    tide_insn *insn;
    int64_t n, capacity;
    uint64_t *konst;
    int64_t nkonst, kcapacity;
    uint8_t nin, nout, nslot, ncheck;
    struct {
        uint8_t dtype, space;
    } arg[TIDE_MAXARGS]; /* inputs, then outputs (then temporaries, after a cut) */
    uint8_t narg;
    tide_slot slot[TIDE_MAXSLOTS];
    const char *check[TIDE_MAXCHECKS]; /* texts with static lifetime */
    tide_status failed; /* set once building failed (message pending in cx); later calls do nothing */
} tide_prog;

/* ---- build.c: writing programs ---- */

tide_prog *tide_prog_new(tide_context *cx);
void tide_prog_free(tide_prog *p); /* NULL passes */
tide_val p_arg(tide_prog *p, tide_dtype dtype,
               int space); /* declares the next input and loads it (register type of dtype) */
int p_out(tide_prog *p, tide_dtype dtype, int space); /* declares an output argument */
void p_store(tide_prog *p, tide_val v, int arg);      /* converts v to the argument's register type */
tide_val p_const(tide_prog *p, int type, double v);   /* any register type */
tide_val p_like(tide_prog *p, tide_val x, double v);  /* a constant of x's type */
tide_val p_slot(tide_prog *p, uint16_t offset, bool is_float,
                int type); /* the attribute at `offset`, as `type` */
tide_val p_un(tide_prog *p, int op, tide_val a);
tide_val p_bin(tide_prog *p, int op, tide_val a, tide_val b); /* operands of one type */
tide_val p_select(tide_prog *p, tide_val mask, tide_val a, tide_val b);
tide_val p_fma(tide_prog *p, tide_val a, tide_val b, tide_val c); /* a * b + c, rounded once; floats */
tide_val p_cvt(tide_prog *p, tide_val a, int type);               /* a itself if it has the type */
tide_val p_round_to(tide_prog *p, tide_val a, tide_dtype dtype);
tide_val p_reduce(tide_prog *p, int op, tide_val a,
                  int axis); /* a value that does not vary along the axis counts once per element */
tide_val p_index(tide_prog *p, int op, int space); /* INDEX_K, INDEX_R, SIZE_K, SIZE_R: i64 */
tide_val p_random(tide_prog *p, tide_val index, int key_slot, int hi_slot);
int p_slot_index(tide_prog *p, uint16_t offset, bool is_float); /* for p_random */
void p_check(tide_prog *p, tide_val mask, const char *text);
int p_type(const tide_prog *p, tide_val v);
extern const uint8_t tide_reg_size[TIDE_NREG]; /* bytes of a value of a register type */
int tide_reg_of(tide_dtype dtype);             /* f16, bf16 -> f32; i8, u8, i32 -> i32; bool -> mask */

#define P_UN(name, OP) \
    static inline tide_val name(tide_prog *p, tide_val a) { return p_un(p, TIDE_P_##OP, a); }
#define P_BIN(name, OP) \
    static inline tide_val name(tide_prog *p, tide_val a, tide_val b) { return p_bin(p, TIDE_P_##OP, a, b); }
/* clang-format off */
P_UN(p_neg, NEG) P_UN(p_abs, ABS) P_UN(p_sign, SIGN) P_UN(p_sqrt, SQRT) P_UN(p_rsqrt, RSQRT) P_UN(p_exp, EXP) P_UN(p_log, LOG)
P_UN(p_log1p, LOG1P) P_UN(p_expm1, EXPM1) P_UN(p_sin, SIN) P_UN(p_cos, COS) P_UN(p_tanh, TANH) P_UN(p_sigmoid, SIGMOID)
P_UN(p_erf, ERF) P_UN(p_not, NOT) P_UN(p_isnan, ISNAN) P_UN(p_hold, HOLD) P_UN(p_floor, FLOOR) P_UN(p_trunc, TRUNC)
P_BIN(p_add, ADD) P_BIN(p_sub, SUB) P_BIN(p_mul, MUL) P_BIN(p_div, DIV) P_BIN(p_pow, POW) P_BIN(p_min, MIN) P_BIN(p_max, MAX)
P_BIN(p_and, AND) P_BIN(p_or, OR) P_BIN(p_xor, XOR) P_BIN(p_eq, EQ) P_BIN(p_ne, NE) P_BIN(p_lt, LT) P_BIN(p_le, LE)
P_BIN(p_floordiv, FLOORDIV) P_BIN(p_mod, MOD)
    /* clang-format on */
    static inline tide_val p_sum_r(tide_prog *p, tide_val a) {
    return p_reduce(p, TIDE_P_SUM, a, TIDE_AXIS_R);
}
static inline tide_val p_max_r(tide_prog *p, tide_val a) { return p_reduce(p, TIDE_P_MAXR, a, TIDE_AXIS_R); }
static inline tide_val p_min_r(tide_prog *p, tide_val a) { return p_reduce(p, TIDE_P_MINR, a, TIDE_AXIS_R); }
static inline tide_val p_prod_r(tide_prog *p, tide_val a) { return p_reduce(p, TIDE_P_PROD, a, TIDE_AXIS_R); }

/* ---- simplify.c, derive.c, cut.c, text.c ---- */

/* In place: folds constants, removes common subexpressions, identities that keep every bit, and dead code. */
tide_status tide_prog_simplify(tide_prog *p);

/* The reverse-mode derivative. `want`: bit i asks for the gradient of input i; `seeded`: bit j says that the
 * gradient of output j is given. The result's inputs are: the forward inputs and outputs that it uses, then the
 * gradients of the seeded outputs in order; its outputs the wanted gradients in order, in the space of the
 * input (reduced over what the input does not vary along). *uses tells which: bit i input i, bit 32+j output j.
 * Not simplified further is needed. */
tide_prog *tide_prog_derive(const tide_prog *p, uint32_t want, uint32_t seeded, uint64_t *uses);

/* A program cut into pieces that can each run on a device: only reductions over R inside a piece. A piece whose
 * program is `swapped` calls the whole program's K its R. Temporaries are arguments after the program's own, of
 * the given space (in the whole program's terms) and dtype, contiguous over their elements. */
typedef struct {
    tide_prog *prog;
    bool swapped, drop_k; /* drop_k: nothing varies along the piece's K: run it with K = 1 */
} tide_piece;
typedef struct {
    int npiece, ntemp;
    tide_piece piece[8];
    struct {
        uint8_t space, dtype;
    } temp[16];
    uint8_t arg_of[8]
                  [TIDE_MAXARGS]; /* piece argument -> argument of the whole program, or nin+nout+temporary */
} tide_pieces;
tide_status tide_prog_cut(const tide_prog *p, tide_pieces *out);
void tide_pieces_free(tide_pieces *pieces);

/* The program as text, one instruction a line. Writes at most n bytes with the final 0; returns the length
 * wanted. */
size_t tide_prog_text(const tide_prog *p, char *buffer, size_t n);

extern const char *const tide_insn_name[TIDE_NINSN];
extern const uint8_t tide_insn_nargs[TIDE_NINSN];
extern const char tide_insn_kind[TIDE_NINSN];

/* ---- expression.c: programs as C ---- */

/* A value's expression over its operands $a $b $c. False: it has none (LOAD, SLOT, INDEX, SIZE, RANDOM,
 * effects; an instruction that does not take the type). */
#define TIDE_FORM 80
bool tide_insn_form(const tide_prog *p, tide_val v, char form[TIDE_FORM]);
const char *tide_c_conversion(int to, int from); /* $a, of register type `from`, as type `to` */
extern const char *const tide_c_type[TIDE_NREG], *const tide_c_suffix[TIDE_NREG]; /* as math.h has it: f32 */
extern const char *const tide_c_load[TIDE_BOOL + 1];  /* from the address $a, by dtype */
extern const char *const tide_c_store[TIDE_BOOL + 1]; /* $a to the address $b */
/* Programs with equal hashes are the same, up to the constants' numbers where those are not asked for. */
uint64_t tide_prog_hash(const tide_prog *p, bool constants);

/* ---- iter.c: an iteration space bound to memory ---- */

/* Kept and reduced dims, outermost first, collapsed where every argument allows it (order is kept: the linear
 * numbers of K and R do not change). Strides in bytes, 0 = broadcast. */
typedef struct tide_iter {
    int8_t nk, nr, narg;
    int64_t K, R;
    int64_t k[TIDE_MAXDIM], r[TIDE_MAXDIM];
    struct {
        char *base;
        int64_t sk[TIDE_MAXDIM], sr[TIDE_MAXDIM];
    } arg[TIDE_MAXARGS];
} tide_iter;

void tide_iter_collapse(tide_iter *it); /* drops dims of size 1, merges neighbours */

#endif
