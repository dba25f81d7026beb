/* A piece as one C function.
 *
 * A flat piece is one loop over its elements. One with reductions goes over a few rows at a time: pass by pass,
 * what a pass reduces is left in a buffer, the machine's own reduction makes one number a row of it, and the
 * numbers of the rows (h) go into the next pass. A value that a later pass needs is found in its buffer if it
 * has one, and computed again otherwise. */
#include "ahead/write.h"
#include <stdarg.h>
#include <stdlib.h>

enum { MOST = 1024 }; /* instructions */
static const char *const one_type[TIDE_NREG] = {"float", "double", "int32_t", "int64_t", "bool"};
static const int type_size[TIDE_NREG] = {4, 8, 4, 8, 1};
static const int dtype_size[TIDE_BOOL + 1] = {
    [TIDE_F32] = 4, [TIDE_F64] = 8, [TIDE_F16] = 2, [TIDE_BF16] = 2, [TIDE_I64] = 8,
    [TIDE_I32] = 4, [TIDE_I8] = 1,  [TIDE_U8] = 1,  [TIDE_BOOL] = 1};

typedef struct {
    FILE *to;
    const tide_prog *p;
    bool flat, kept; /* kept: writing values of rows */
    int npass, last; /* last: the pass that stores elements */
    uint8_t level[MOST];
    int8_t first[MOST];   /* the pass that computes it first; -1: none */
    int16_t buffer[MOST]; /* where its buffer begins, in bytes an element; -1: none */
    uint8_t needed[MOST]; /* by the pass being written */
    int buffers;
} writer;

static const tide_insn *insn(const writer *w, int64_t v) { return &w->p->insn[v]; }
static char kind(const writer *w, int64_t v) { return tide_insn_kind[insn(w, v)->op]; }
static bool along_r(const writer *w, int64_t v) { return (insn(w, v)->space & TIDE_AXIS_R) != 0; }
static bool is_load(const writer *w, int64_t v) { return insn(w, v)->op == TIDE_P_LOAD; }

static int operands(const writer *w, int64_t v, uint16_t u[3]) {
    const tide_insn *i = insn(w, v);
    u[0] = i->a, u[1] = i->b, u[2] = i->c;
    return tide_insn_nargs[i->op];
}

/* ---- is it worth it? ---- */

static bool cheap(const tide_insn *i) {
    switch (i->op) {
    case TIDE_P_LOAD:
    case TIDE_P_CVT:
    case TIDE_P_HOLD:
    case TIDE_P_NEG:
    case TIDE_P_ABS:
    case TIDE_P_ADD:
    case TIDE_P_SUB:
    case TIDE_P_MUL:
    case TIDE_P_FMA:
    case TIDE_P_INDEX_K:
    case TIDE_P_INDEX_R: return true;
    default: return tide_insn_kind[i->op] == 'S' || tide_insn_kind[i->op] == 'C';
    }
}

/* What branches does not become vectors; what is random the machine does better. */
static bool takes(const tide_insn *i) {
    switch (i->op) {
    case TIDE_P_RANDOM:
    case TIDE_P_SIN:
    case TIDE_P_COS:
    case TIDE_P_TAN:
    case TIDE_P_MOD:
    case TIDE_P_FMOD:
    case TIDE_P_FLOORDIV: return false;
    default: return true;
    }
}

/* Where the piece fits, levels and passes. A level is one more than the reductions below it in a row. */
static bool examine(writer *w) {
    const tide_prog *p = w->p;
    int work = 0, nred = 0;
    uint8_t both = TIDE_POINT, any = 0;
    if (p->n > MOST) return false;
    for (int64_t v = 0; v < p->n; v++) {
        const tide_insn *i = insn(w, v);
        uint16_t u[3];
        int n = operands(w, v, u);
        w->level[v] = 0;
        w->first[v] = w->buffer[v] = -1;
        for (int k = 0; k < n; k++)
            if (w->level[u[k]] > w->level[v]) w->level[v] = w->level[u[k]];
        if (!takes(i)) return false;
        if (kind(w, v) == 'R') {
            if (i->aux != TIDE_AXIS_R || insn(w, i->a)->space != TIDE_POINT) return false;
            nred++;
            if (++w->level[v] > w->npass) w->npass = w->level[v];
        } else if (kind(w, v) == 'E') {
            uint8_t space = i->op == TIDE_P_STORE ? p->arg[i->b].space : i->space;
            both &= space, any |= space;
            if (space & TIDE_AXIS_R && w->level[v] > w->last) w->last = w->level[v];
        } else {
            work += kind(w, v) != 'S' && along_r(w, v);
        }
        if (i->type == TIDE_RF64) return false;
    }
    w->flat = nred == 0;
    if (w->flat)
        for (int64_t v = 0; v < p->n; v++)
            if ((insn(w, v)->space != TIDE_POINT && insn(w, v)->space != TIDE_ONE) ||
                insn(w, v)->op == TIDE_P_INDEX_K || insn(w, v)->op == TIDE_P_INDEX_R)
                return false;
    if (any & TIDE_AXIS_R && w->last + 1 > w->npass) w->npass = w->last + 1;
    return work >= 2 && (w->flat ? both == TIDE_POINT : both & TIDE_AXIS_K);
}

/* ---- passes ---- */

static bool stores(const writer *w, int64_t v, bool elements) {
    const tide_insn *i = insn(w, v);
    if (kind(w, v) != 'E') return false;
    uint8_t space = i->op == TIDE_P_STORE ? w->p->arg[i->b].space : i->space;
    return elements == ((space & TIDE_AXIS_R) != 0);
}
static bool reduces(const writer *w, int64_t v, int pass) {
    return kind(w, v) == 'R' && w->level[v] == pass + 1;
}
/* The reduction takes it from memory itself. */
static bool reduced_in_place(const writer *w, int64_t v) {
    return is_load(w, v) && w->p->arg[insn(w, v)->a].dtype == TIDE_F32;
}

static void give_buffer(writer *w, int64_t v) {
    if (w->buffer[v] >= 0) return;
    w->buffer[v] = (int16_t)w->buffers;
    w->buffers += type_size[insn(w, v)->type];
}

static void need(writer *w, int64_t v, int pass) {
    if (w->needed[v] || !along_r(w, v)) return;
    w->needed[v] = 1;
    bool before = w->first[v] >= 0 && w->first[v] < pass;
    if (w->first[v] < 0) w->first[v] = (int8_t)pass;
    if (before && !cheap(insn(w, v))) give_buffer(w, v);
    if (before && w->buffer[v] >= 0) return;
    uint16_t u[3];
    for (int k = 0, n = operands(w, v, u); k < n; k++) need(w, u[k], pass);
}

/* Marks what a pass computes or finds. */
static void mark(writer *w, int pass) {
    memset(w->needed, 0, sizeof w->needed);
    for (int64_t v = 0; v < w->p->n; v++) {
        const tide_insn *i = insn(w, v);
        if (reduces(w, v, pass) && !reduced_in_place(w, i->a)) {
            need(w, i->a, pass);
            give_buffer(w, i->a);
        }
        if (stores(w, v, true) && pass == w->last) need(w, i->a, pass);
    }
}

/* ---- text ---- */

static void put(writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(writer *w, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vfprintf(w->to, format, args);
    va_end(args);
}

static void put_value(writer *w, int v) {
    uint8_t space = insn(w, v)->space;
    put(w, space & TIDE_AXIS_R || space == TIDE_ONE ? "v%d" : w->kept ? "h%d[i]" : "x%d", v);
}

static void put_address(writer *w, int arg) {
    int size = dtype_size[w->p->arg[arg].dtype];
    if (w->p->arg[arg].space & TIDE_AXIS_R)
        put(w, "(a%d + %d * r)", arg, size);
    else if (w->p->arg[arg].space)
        put(w, "(q->arg[%d].base + (k + i) * q->arg[%d].k)", arg, arg);
    else
        put(w, "q->arg[%d].base", arg);
}

static void put_form(writer *w, const tide_insn *i, const char *form) {
    const uint16_t operand[3] = {i->a, i->b, i->c};
    for (; *form; form++) {
        if (*form != '$') {
            put(w, "%c", *form);
            continue;
        }
        int k = *++form - 'a';
        if ((i->op == TIDE_P_LOAD && k == 0) || (i->op == TIDE_P_STORE && k == 1))
            put_address(w, operand[k]);
        else
            put_value(w, operand[k]);
    }
}

static void put_bits(writer *w, int type, const char *of, int which) {
    static const char *const text[TIDE_NREG] = {"tide_from_bits_f32((uint32_t)q->%s[%d])",
                                                "tide_from_bits_f64(q->%s[%d])", "(int32_t)q->%s[%d]",
                                                "(int64_t)q->%s[%d]", "(bool)q->%s[%d]"};
    char buffer[80];
    snprintf(buffer, sizeof buffer, text[type], of, which); /* NOLINT: a constant table */
    put(w, "%s", buffer);
}

static void put_expression(writer *w, int v) {
    const tide_insn *i = insn(w, v);
    char form[TIDE_FORM];
    switch (i->op) {
    case TIDE_P_CONST: put_bits(w, i->type, "konst", i->a); return;
    case TIDE_P_SIZE_K: put(w, "q->K"); return;
    case TIDE_P_SIZE_R: put(w, "q->R"); return;
    case TIDE_P_INDEX_K: put(w, "k + i"); return;
    case TIDE_P_INDEX_R: put(w, "r"); return;
    case TIDE_P_LOAD: put_form(w, i, tide_c_load[w->p->arg[i->a].dtype]); return;
    case TIDE_P_SLOT: {
        int type = w->p->slot[i->a].is_float ? TIDE_RF64 : TIDE_RI64;
        const char *c = tide_c_conversion(i->type, type), *a = strstr(c, "$a");
        put(w, "%.*s", (int)(a - c), c);
        put_bits(w, type, "slot", i->a);
        put(w, "%s", a + 2);
        return;
    }
    default: break;
    }
    if (!tide_insn_form(w->p, (tide_val)v, form)) {
        fprintf(stderr, "ahead: %s has no expression\n", tide_insn_name[i->op]);
        exit(1);
    }
    put_form(w, i, form);
}

static void put_effect(writer *w, int v, const char *indent) {
    const tide_insn *i = insn(w, v);
    put(w, "%s", indent);
    if (i->op == TIDE_P_STORE) {
        put_form(w, i, tide_c_store[w->p->arg[i->b].dtype]);
    } else {
        put(w, "bad |= (uint32_t)!");
        put_value(w, i->a);
        put(w, " << %d", i->b);
    }
    put(w, ";\n");
}

/* The loop over R (FLAT: over all) of what is marked. */
static void put_loop(writer *w, int pass, const char *from, const char *end, const char *indent) {
    put(w, "%sEACH (int64_t r = %s; r < %s; r++) {\n", indent, from, end);
    char more[32];
    snprintf(more, sizeof more, "%s    ", indent);
    for (int v = 0; v < w->p->n; v++) {
        if (!w->needed[v] || !along_r(w, v) || kind(w, v) == 'E') continue;
        const char *type = one_type[insn(w, v)->type];
        put(w, "%sconst %s v%d = ", more, type, v);
        if (w->first[v] < pass && w->buffer[v] >= 0)
            put(w, "b%d[r]", v);
        else
            put_expression(w, v);
        put(w, ";\n");
        if (w->first[v] == pass && w->buffer[v] >= 0) put(w, "%sb%d[r] = v%d;\n", more, v, v);
    }
    for (int v = 0; v < w->p->n; v++)
        if (stores(w, v, true) && pass == w->last) put_effect(w, v, more);
    put(w, "%s}\n", indent);
}

/* Does the loop of this pass use argument a? */
static bool uses(const writer *w, int a, int pass) {
    for (int v = 0; v < w->p->n; v++) {
        const tide_insn *i = insn(w, v);
        if (w->needed[v] && is_load(w, v) && i->a == a) return true;
        if (i->op == TIDE_P_STORE && i->b == a && stores(w, v, true) && pass == w->last) return true;
    }
    return false;
}

/* Where the row of an argument begins. */
static void put_begin(writer *w, int arg) {
    put(w, "q->arg[%d].base", arg);
    if (!w->flat && w->p->arg[arg].space & TIDE_AXIS_K) put(w, " + (k + i) * q->arg[%d].k", arg);
}

/* What takes one loop is as fast without. */
static bool may_stream(const writer *w, int arg) {
    return !w->flat && arg >= w->p->nin && w->p->arg[arg].dtype == TIDE_F32 &&
           w->p->arg[arg].space == TIDE_POINT;
}

static void put_pointers(writer *w, int pass, const char *indent) {
    for (int a = 0, stage = 0; a < w->p->narg; a++) {
        if (!(w->p->arg[a].space & TIDE_AXIS_R) || !uses(w, a, pass)) continue;
        put(w, may_stream(w, a) ? "%schar *a%d = computed_at(q, %d, " : "%schar *a%d = ", indent, a, a);
        put_begin(w, a);
        if (may_stream(w, a)) put(w, ", R, %d)", stage++);
        put(w, ";\n");
    }
}

/* Asks for rows of the next group: for one argument in each pass, so that memory is busy in all of them.
 * Reductions in place look ahead themselves. */
static void put_look_ahead(writer *w, int pass) {
    for (int v = 0, turn = 0; v < w->p->n; v++) {
        int arg = insn(w, v)->a;
        if (!is_load(w, v) || insn(w, v)->space != TIDE_POINT) continue;
        bool reduced = false;
        for (int u = 0; u < w->p->n; u++)
            reduced |= kind(w, u) == 'R' && insn(w, u)->a == v && reduced_in_place(w, v);
        if (reduced || turn++ % (w->last + 1) != pass) continue;
        put(w, "            look_ahead(q->arg[%d].base + (k + i + q->group) * q->arg[%d].k, R * %d);\n", arg,
            arg, dtype_size[w->p->arg[arg].dtype]);
    }
}

static void put_streams(writer *w, const char *indent) {
    for (int a = 0; a < w->p->narg; a++) {
        if (!may_stream(w, a)) continue;
        put(w, "%scomputed(q, %d, ", indent, a);
        put_begin(w, a);
        put(w, ", R, a%d);\n", a);
    }
}

static void put_pass(writer *w, int pass) {
    const tide_prog *p = w->p;
    mark(w, pass);
    bool any = pass == w->last, hoist[MOST] = {false};
    for (int v = 0; v < p->n; v++) any |= w->needed[v];
    if (any) {
        put(w, "        for (int64_t i = 0; i < g; i++) {\n");
        put_pointers(w, pass, "            ");
        for (int v = 0; v < p->n; v++) {
            if (w->needed[v] && w->buffer[v] >= 0)
                put(w, "            %s *b%d = (%s *)(q->buffer + q->group * R * %d) + i * R;\n",
                    one_type[insn(w, v)->type], v, one_type[insn(w, v)->type], w->buffer[v]);
            uint16_t u[3];
            bool found = w->needed[v] && w->first[v] < pass && w->buffer[v] >= 0;
            if (found || !(w->needed[v] || (stores(w, v, true) && pass == w->last))) continue;
            for (int k = 0, n = operands(w, v, u); k < n; k++) hoist[u[k]] = insn(w, u[k])->space == TIDE_KEPT;
        }
        for (int v = 0; v < p->n; v++)
            if (hoist[v]) put(w, "            const %s x%d = h%d[i];\n", one_type[insn(w, v)->type], v, v);
        put_look_ahead(w, pass);
        put_loop(w, pass, "0", "R", "            ");
        if (pass == w->last) put_streams(w, "            ");
        put(w, "        }\n");
    }
    for (int v = 0; v < p->n; v++) {
        if (!reduces(w, v, pass)) continue;
        int a = insn(w, v)->a;
        put(w, "        q->kernels->reduction[%d][%d].rows(h%d, ", insn(w, v)->op - TIDE_P_SUM,
            insn(w, v)->type, v);
        if (reduced_in_place(w, a))
            put(w, "q->arg[%d].base + k * q->arg[%d].k, q->arg[%d].k, g, R, true);\n", insn(w, a)->a,
                insn(w, a)->a, insn(w, a)->a);
        else
            put(w, "q->buffer + q->group * R * %d, R * %d, g, R, false);\n", w->buffer[a],
                type_size[insn(w, a)->type]);
    }
}

/* Values of the rows that need `level` levels of reductions. */
static void put_kept(writer *w, int level) {
    bool any = false;
    w->kept = true;
    for (int v = 0; v < w->p->n; v++) {
        if (insn(w, v)->space != TIDE_KEPT || kind(w, v) == 'R' || kind(w, v) == 'E' || w->level[v] != level)
            continue;
        if (!any) put(w, "        for (int64_t i = 0; i < g; i++) {\n");
        any = true;
        put(w, "            h%d[i] = ", v);
        put_expression(w, v);
        put(w, ";\n");
    }
    if (any) put(w, "        }\n");
    w->kept = false;
}

static void put_ends(writer *w) {
    bool any = false;
    w->kept = true;
    for (int v = 0; v < w->p->n; v++) {
        if (!stores(w, v, false)) continue;
        if (!any) put(w, "        for (int64_t i = 0; i < g; i++) {\n");
        any = true;
        put_effect(w, v, "            ");
    }
    if (any) put(w, "        }\n");
    w->kept = false;
}

static bool has_checks(const writer *w) {
    for (int v = 0; v < w->p->n; v++)
        if (insn(w, v)->op == TIDE_P_CHECK) return true;
    return false;
}

static void put_rows(writer *w) {
    put(w, "    const int64_t R = q->R;\n"
           "    for (int64_t k = q->begin; k < q->end; k += q->group) {\n"
           "        const int64_t g = q->end - k < q->group ? q->end - k : q->group;\n");
    for (int v = 0; v < w->p->n; v++)
        if (insn(w, v)->space == TIDE_KEPT && kind(w, v) != 'E')
            put(w, "        %s h%d[TIDE_AHEAD_ROWS];\n", one_type[insn(w, v)->type], v);
    for (int pass = 0; pass < w->npass; pass++) {
        put_kept(w, pass);
        put_pass(w, pass);
    }
    put_kept(w, w->npass);
    put_ends(w);
    put(w, "    }\n");
}

static bool begin(writer *w, FILE *to, const tide_prog *piece) {
    memset(w, 0, sizeof *w);
    w->to = to;
    w->p = piece;
    if (!examine(w)) return false;
    for (int pass = 0; pass < w->npass; pass++) mark(w, pass);
    return true;
}

bool tide_ahead_write(FILE *to, const tide_prog *piece) {
    writer *w = malloc(sizeof *w);
    bool written = w && begin(w, to, piece);
    if (written) {
        put(w, "static void p%016llx(const tide_ahead_call *q) {\n",
            (unsigned long long)tide_prog_hash(piece, false));
        if (has_checks(w)) put(w, "    uint32_t bad = 0;\n");
        for (int v = 0; v < piece->n; v++) {
            if (insn(w, v)->space != TIDE_ONE || kind(w, v) == 'E') continue;
            put(w, "    const %s v%d = ", one_type[insn(w, v)->type], v);
            put_expression(w, v);
            put(w, ";\n");
        }
        if (w->flat) {
            mark(w, 0);
            put_pointers(w, 0, "    ");
            put_loop(w, 0, "q->begin", "q->end", "    ");
        } else {
            put_rows(w);
        }
        if (has_checks(w)) put(w, "    if (bad) __atomic_fetch_or(q->failed, bad, __ATOMIC_RELAXED);\n");
        put(w, "}\n\n");
    }
    free(w);
    return written;
}

void tide_ahead_row(FILE *to, const tide_prog *piece) {
    writer *w = malloc(sizeof *w);
    if (w && begin(w, to, piece)) {
        unsigned long long hash = tide_prog_hash(piece, false);
        int stages = 0;
        for (int a = 0; a < piece->narg; a++) stages += may_stream(w, a);
        fprintf(to, "    {0x%llx, p%016llx, %d, %d, %d},\n", hash, hash, w->flat, w->buffers, stages);
    }
    free(w);
}
