/* Writing programs: every p_ function appends an instruction, works out its type and space, and refuses what
 * does not fit. Equal sources (constants, slots, indices) are shared at once; the rest is left to simplify.c.
 */
#include "program/program.h"

#define X(name, n, kind) #name,
const char *const tide_insn_name[TIDE_NINSN] = {TIDE_INSNS(X)};
#undef X
#define X(name, n, kind) n,
const uint8_t tide_insn_nargs[TIDE_NINSN] = {TIDE_INSNS(X)};
#undef X
#define X(name, n, kind) kind,
const char tide_insn_kind[TIDE_NINSN] = {TIDE_INSNS(X)};
#undef X

const uint8_t tide_reg_size[TIDE_NREG] = {4, 8, 4, 8, 1};

int tide_reg_of(tide_dtype dtype) {
    switch (dtype) {
    case TIDE_F64: return TIDE_RF64;
    case TIDE_I64: return TIDE_RI64;
    case TIDE_I32:
    case TIDE_I8:
    case TIDE_U8: return TIDE_RI32;
    case TIDE_BOOL: return TIDE_RMASK;
    default: return TIDE_RF32;
    }
}

tide_prog *tide_prog_new(tide_context *cx) {
    tide_prog *p = tide_alloc0(cx, sizeof *p);
    if (p) p->cx = cx;
    return p;
}

void tide_prog_free(tide_prog *p) {
    if (!p) return;
    tide_context *cx = p->cx;
    tide_release(cx, p->insn, (size_t)p->capacity * sizeof *p->insn);
    tide_release(cx, p->konst, (size_t)p->kcapacity * sizeof *p->konst);
    tide_release(cx, p, sizeof *p);
}

static tide_val wrong(tide_prog *p, const char *what) {
    if (!p->failed) p->failed = tide_fail(p->cx, TIDE_EARG, "program: %s", what);
    return TIDE_NOVAL;
}

static tide_val emit(tide_prog *p, tide_insn i) {
    if (p->failed) return TIDE_NOVAL;
    if (p->n >= TIDE_NOVAL - 1) return wrong(p, "too long");
    p->failed = tide_grow(p->cx, (void **)&p->insn, &p->capacity, p->n + 1, sizeof *p->insn);
    if (p->failed) return TIDE_NOVAL;
    p->insn[p->n] = i;
    return (tide_val)p->n++;
}

/* Sources do not depend on anything, so one of each is enough. */
static tide_val source(tide_prog *p, tide_insn i) {
    if (p->failed) return TIDE_NOVAL;
    for (int64_t v = 0; v < p->n; v++)
        if (!memcmp(&p->insn[v], &i, sizeof i)) return (tide_val)v;
    return emit(p, i);
}

static bool valid(tide_prog *p, tide_val v) {
    if (p->failed) return false;
    if (v < p->n && tide_insn_kind[p->insn[v].op] != 'E') return true;
    wrong(p, "operand is not a value");
    return false;
}

int p_type(const tide_prog *p, tide_val v) { return v < p->n ? p->insn[v].type : TIDE_RF32; }

tide_val p_arg(tide_prog *p, tide_dtype dtype, int space) {
    if (p->nout) return wrong(p, "inputs come before outputs");
    if (p->narg >= TIDE_MAXARGS) return wrong(p, "too many arguments");
    p->arg[p->narg].dtype = (uint8_t)dtype;
    p->arg[p->narg].space = (uint8_t)space;
    p->nin++;
    return emit(p, (tide_insn){.op = TIDE_P_LOAD,
                               .type = (uint8_t)tide_reg_of(dtype),
                               .space = (uint8_t)space,
                               .a = p->narg++});
}

int p_out(tide_prog *p, tide_dtype dtype, int space) {
    if (p->narg >= TIDE_MAXARGS) return wrong(p, "too many arguments"), 0;
    p->arg[p->narg].dtype = (uint8_t)dtype;
    p->arg[p->narg].space = (uint8_t)space;
    p->nout++;
    return p->narg++;
}

void p_store(tide_prog *p, tide_val v, int arg) {
    if (!valid(p, v)) return;
    v = p_cvt(p, v, tide_reg_of(p->arg[arg].dtype));
    if (!valid(p, v)) return;
    if (p->insn[v].space & ~p->arg[arg].space) {
        wrong(p, "a stored value varies along an axis that its output does not have");
        return;
    }
    emit(p, (tide_insn){.op = TIDE_P_STORE,
                        .type = p->insn[v].type,
                        .space = p->arg[arg].space,
                        .a = v,
                        .b = (uint16_t)arg});
}

tide_val p_const(tide_prog *p, int type, double v) {
    uint64_t bits = 0;
    switch (type) {
    case TIDE_RF32: {
        float f = (float)v;
        memcpy(&bits, &f, sizeof f);
        break;
    }
    case TIDE_RF64: memcpy(&bits, &v, sizeof v); break;
    case TIDE_RI32: bits = (uint32_t)(int32_t)(int64_t)v; break;
    case TIDE_RI64: bits = (uint64_t)(int64_t)v; break;
    default: bits = v != 0; break;
    }
    if (p->failed) return TIDE_NOVAL;
    int64_t k = 0;
    while (k < p->nkonst && p->konst[k] != bits) k++;
    if (k == p->nkonst) {
        p->failed = tide_grow(p->cx, (void **)&p->konst, &p->kcapacity, k + 1, sizeof *p->konst);
        if (p->failed) return TIDE_NOVAL;
        p->konst[p->nkonst++] = bits;
    }
    return source(p,
                  (tide_insn){.op = TIDE_P_CONST, .type = (uint8_t)type, .space = TIDE_ONE, .a = (uint16_t)k});
}

tide_val p_like(tide_prog *p, tide_val x, double v) { return p_const(p, p_type(p, x), v); }

int p_slot_index(tide_prog *p, uint16_t offset, bool is_float) {
    for (int i = 0; i < p->nslot; i++)
        if (p->slot[i].offset == offset && p->slot[i].is_float == is_float) return i;
    if (p->nslot >= TIDE_MAXSLOTS) return wrong(p, "too many slots"), 0;
    p->slot[p->nslot] = (tide_slot){offset, is_float};
    return p->nslot++;
}

tide_val p_slot(tide_prog *p, uint16_t offset, bool is_float, int type) {
    int i = p_slot_index(p, offset, is_float);
    return source(p,
                  (tide_insn){.op = TIDE_P_SLOT, .type = (uint8_t)type, .space = TIDE_ONE, .a = (uint16_t)i});
}

static bool is_float(int type) { return type == TIDE_RF32 || type == TIDE_RF64; }

/* Which register types an instruction takes. */
static bool takes(int op, int type) {
    switch (op) {
    case TIDE_P_HOLD:
    case TIDE_P_NOT:
    case TIDE_P_EQ:
    case TIDE_P_NE: return op != TIDE_P_NOT || !is_float(type);
    case TIDE_P_AND:
    case TIDE_P_OR:
    case TIDE_P_XOR: return !is_float(type);
    case TIDE_P_SHL:
    case TIDE_P_SHR: return type == TIDE_RI32 || type == TIDE_RI64;
    case TIDE_P_NEG:
    case TIDE_P_ABS:
    case TIDE_P_SIGN:
    case TIDE_P_ADD:
    case TIDE_P_SUB:
    case TIDE_P_MUL:
    case TIDE_P_DIV:
    case TIDE_P_FLOORDIV:
    case TIDE_P_MOD:
    case TIDE_P_FMOD:
    case TIDE_P_POW:
    case TIDE_P_MIN:
    case TIDE_P_MAX:
    case TIDE_P_LT:
    case TIDE_P_LE:
    case TIDE_P_SUM:
    case TIDE_P_PROD:
    case TIDE_P_MAXR:
    case TIDE_P_MINR: return type != TIDE_RMASK;
    default: return is_float(type);
    }
}

tide_val p_un(tide_prog *p, int op, tide_val a) {
    if (!valid(p, a)) return TIDE_NOVAL;
    tide_insn i = p->insn[a];
    if (!takes(op, i.type)) return wrong(p, "operand type does not fit");
    return emit(
        p, (tide_insn){
               .op = (uint8_t)op, .type = op == TIDE_P_ISNAN ? TIDE_RMASK : i.type, .space = i.space, .a = a});
}

tide_val p_bin(tide_prog *p, int op, tide_val a, tide_val b) {
    if (!valid(p, a) || !valid(p, b)) return TIDE_NOVAL;
    tide_insn x = p->insn[a], y = p->insn[b];
    if (x.type != y.type || !takes(op, x.type)) return wrong(p, "operand types do not fit");
    uint8_t type = tide_insn_kind[op] == 'C' ? TIDE_RMASK : x.type;
    return emit(p, (tide_insn){.op = (uint8_t)op, .type = type, .space = x.space | y.space, .a = a, .b = b});
}

tide_val p_select(tide_prog *p, tide_val m, tide_val a, tide_val b) {
    if (!valid(p, m) || !valid(p, a) || !valid(p, b)) return TIDE_NOVAL;
    tide_insn i = p->insn[m], x = p->insn[a], y = p->insn[b];
    if (i.type != TIDE_RMASK || x.type != y.type) return wrong(p, "select: operand types do not fit");
    return emit(
        p,
        (tide_insn){
            .op = TIDE_P_SELECT, .type = x.type, .space = i.space | x.space | y.space, .a = m, .b = a, .c = b});
}

tide_val p_fma(tide_prog *p, tide_val a, tide_val b, tide_val c) {
    if (!valid(p, a) || !valid(p, b) || !valid(p, c)) return TIDE_NOVAL;
    tide_insn x = p->insn[a], y = p->insn[b], z = p->insn[c];
    if (x.type != y.type || x.type != z.type || !takes(TIDE_P_FMA, x.type))
        return wrong(p, "fma: operand types do not fit");
    return emit(
        p, (tide_insn){
               .op = TIDE_P_FMA, .type = x.type, .space = x.space | y.space | z.space, .a = a, .b = b, .c = c});
}

tide_val p_cvt(tide_prog *p, tide_val a, int type) {
    if (!valid(p, a) || p->insn[a].type == type) return a;
    return emit(p, (tide_insn){.op = TIDE_P_CVT, .type = (uint8_t)type, .space = p->insn[a].space, .a = a});
}

tide_val p_round_to(tide_prog *p, tide_val a, tide_dtype dtype) {
    if (!valid(p, a) || dtype == TIDE_F32 || dtype == TIDE_F64 || dtype == TIDE_I64 || dtype == TIDE_I32 ||
        dtype == TIDE_BOOL)
        return a;
    if (p->insn[a].type != tide_reg_of(dtype)) return wrong(p, "round_to: operand type does not fit");
    return emit(p, (tide_insn){.op = TIDE_P_ROUND_TO,
                               .type = p->insn[a].type,
                               .space = p->insn[a].space,
                               .aux = (uint8_t)dtype,
                               .a = a});
}

tide_val p_reduce(tide_prog *p, int op, tide_val a, int axis) {
    if (!valid(p, a)) return TIDE_NOVAL;
    tide_insn i = p->insn[a];
    if (!takes(op, i.type)) return wrong(p, "reduction: operand type does not fit");
    return emit(p, (tide_insn){.op = (uint8_t)op,
                               .type = i.type,
                               .space = (uint8_t)(i.space & ~axis),
                               .aux = (uint8_t)axis,
                               .a = a});
}

tide_val p_index(tide_prog *p, int op, int space) {
    return source(p, (tide_insn){.op = (uint8_t)op, .type = TIDE_RI64, .space = (uint8_t)space});
}

tide_val p_random(tide_prog *p, tide_val index, int key_slot, int hi_slot) {
    if (!valid(p, index)) return TIDE_NOVAL;
    return emit(p, (tide_insn){.op = TIDE_P_RANDOM,
                               .type = TIDE_RI32,
                               .space = p->insn[index].space,
                               .a = index,
                               .b = (uint16_t)key_slot,
                               .c = (uint16_t)hi_slot});
}

void p_check(tide_prog *p, tide_val mask, const char *text) {
    if (!valid(p, mask)) return;
    if (p->insn[mask].type != TIDE_RMASK) {
        wrong(p, "check: not a mask");
        return;
    }
    if (p->ncheck >= TIDE_MAXCHECKS) {
        wrong(p, "too many checks");
        return;
    }
    p->check[p->ncheck] = text;
    emit(
        p,
        (tide_insn){
            .op = TIDE_P_CHECK, .type = TIDE_RMASK, .space = p->insn[mask].space, .a = mask, .b = p->ncheck++});
}
