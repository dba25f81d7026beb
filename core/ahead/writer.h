/* A piece while it is written, for the files that write it. */
#ifndef TIDE_AHEAD_WRITER_H
#define TIDE_AHEAD_WRITER_H

#include "device/cpu/ahead.h"
#include "tensor/tensor.h"
#include <stdio.h>

enum { MOST = 1024 }; /* instructions */

typedef struct {
    FILE *to;
    const tide_prog *p;
    bool flat;
    bool columns, shorts; /* what is being written: a function by columns, of short rows */
    bool kept;            /* values of rows */
    int npass, last;      /* last: the pass that stores elements */
    uint8_t level[MOST];
    int8_t first[MOST];   /* the pass that computes it first; -1: none */
    int16_t buffer[MOST]; /* where its buffer begins, in bytes an element; -1: none */
    uint8_t needed[MOST]; /* by the pass being written */
    int buffers;
} writer;

static inline const tide_insn *insn(const writer *w, int64_t v) { return &w->p->insn[v]; }
static inline char kind(const writer *w, int64_t v) { return tide_insn_kind[insn(w, v)->op]; }
static inline bool along_r(const writer *w, int64_t v) { return (insn(w, v)->space & TIDE_AXIS_R) != 0; }
static inline bool is_load(const writer *w, int64_t v) { return insn(w, v)->op == TIDE_P_LOAD; }

static inline int operands(const writer *w, int64_t v, uint16_t u[3]) {
    const tide_insn *i = insn(w, v);
    u[0] = i->a, u[1] = i->b, u[2] = i->c;
    return tide_insn_nargs[i->op];
}

/* Is v an effect on elements, or on rows? */
static inline bool stores(const writer *w, int64_t v, bool elements) {
    const tide_insn *i = insn(w, v);
    if (kind(w, v) != 'E') return false;
    uint8_t space = i->op == TIDE_P_STORE ? w->p->arg[i->b].space : i->space;
    return elements == ((space & TIDE_AXIS_R) != 0);
}
static inline const char *c_type(const writer *w, int64_t v) { return tide_c_type[insn(w, v)->type]; }
static inline int type_size(const writer *w, int64_t v) { return tide_reg_size[insn(w, v)->type]; }

static inline int arg_size(const writer *w, int arg) {
    return (int)tide_dtype_size((tide_dtype)w->p->arg[arg].dtype);
}

/* text.c */
void put(writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void put_value(writer *w, int v);
void put_expression(writer *w, int v);
void put_effect(writer *w, int v, const char *indent);
void put_scalars(writer *w); /* values that are one for all elements */

/* rows.c */
void find_passes(writer *w);
void mark_pass(writer *w, int pass); /* what the pass computes or finds, in needed[] */
void put_kept_arrays(writer *w);
void put_kept(writer *w, int level); /* values of the rows that need `level` levels of reductions */
void put_ends(writer *w);            /* effects on rows */
void put_flat(writer *w);
void put_rows(writer *w);
bool may_stream(const writer *w, int arg);

/* short.c */
void put_short(writer *w);

/* columns.c */
bool has_columns(const writer *w);
void put_columns(writer *w, const char *name);

#endif
