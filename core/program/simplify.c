/* Makes a program smaller without changing a bit of its results: constants, common subexpressions, identities
 * that hold for every value (x + 0 is not one of them: it turns -0 into 0), and code that nothing uses. HOLD
 * stays: what is simplified may still be derived. */
#include "program/program.h"

static bool is_const(const tide_prog *p, tide_val v, double want) {
    const tide_insn *i = &p->insn[v];
    if (i->op != TIDE_P_CONST) return false;
    uint64_t bits = p->konst[i->a];
    float f;
    double d;
    switch (i->type) {
    case TIDE_RF32:
        f = (float)want;
        return (uint32_t)bits == ({
                   uint32_t w;
                   memcpy(&w, &f, 4);
                   w;
               });
    case TIDE_RF64: d = want; return !memcmp(&bits, &d, 8);
    case TIDE_RI32: return (int32_t)bits == (int32_t)want;
    case TIDE_RI64: return (int64_t)bits == (int64_t)want;
    default: return (bits != 0) == (want != 0);
    }
}

/* The value of a constant as a double, where a double holds it exactly. */
static bool const_value(const tide_prog *p, tide_val v, double *out) {
    const tide_insn *i = &p->insn[v];
    if (i->op != TIDE_P_CONST) return false;
    uint64_t bits = p->konst[i->a];
    float f;
    switch (i->type) {
    case TIDE_RF32:
        memcpy(&f, &bits, sizeof f);
        *out = f;
        break;
    case TIDE_RF64: memcpy(out, &bits, sizeof *out); break;
    case TIDE_RI32: *out = (int32_t)bits; break;
    case TIDE_RI64: *out = (double)(int64_t)bits; return (int64_t)*out == (int64_t)bits;
    default: *out = bits != 0; break;
    }
    return true;
}

/* What an instruction over already simplified operands may be replaced by; TIDE_NOVAL: itself. */
static tide_val identity(tide_prog *p, const tide_insn *i) {
    double x, y;
    switch (i->op) {
    case TIDE_P_CVT:
        if (p->insn[i->a].type == i->type) return i->a;
        if (const_value(p, i->a, &x) && x == x && x > -1e9 && x < 1e9 &&
            (i->type <= TIDE_RF64 || x == (double)(int64_t)x))
            return p_const(p, i->type, x);
        return TIDE_NOVAL;
    case TIDE_P_NEG:
        if (p->insn[i->a].op == TIDE_P_NEG) return p->insn[i->a].a;
        return const_value(p, i->a, &x) && i->type <= TIDE_RF64 ? p_const(p, i->type, -x) : TIDE_NOVAL;
    case TIDE_P_NOT: return p->insn[i->a].op == TIDE_P_NOT ? p->insn[i->a].a : TIDE_NOVAL;
    case TIDE_P_ADD:
        if (i->type > TIDE_RF64) return is_const(p, i->b, 0) ? i->a : is_const(p, i->a, 0) ? i->b : TIDE_NOVAL;
        return is_const(p, i->b, -0.0) ? i->a : is_const(p, i->a, -0.0) ? i->b : TIDE_NOVAL;
    case TIDE_P_SUB: return is_const(p, i->b, 0) ? i->a : TIDE_NOVAL;
    case TIDE_P_MUL:
        if (is_const(p, i->b, 1)) return i->a;
        if (is_const(p, i->a, 1)) return i->b;
        if (i->type == TIDE_RF64 && const_value(p, i->a, &x) && const_value(p, i->b, &y))
            return p_const(p, i->type, x * y);
        return TIDE_NOVAL;
    case TIDE_P_DIV: return is_const(p, i->b, 1) ? i->a : TIDE_NOVAL;
    case TIDE_P_SELECT:
        if (i->b == i->c) return i->b;
        return is_const(p, i->a, 1) ? i->b : is_const(p, i->a, 0) ? i->c : TIDE_NOVAL;
    case TIDE_P_AND:
        if (i->a == i->b) return i->a;
        if (i->type == TIDE_RMASK)
            return is_const(p, i->a, 1) ? i->b : is_const(p, i->b, 1) ? i->a : TIDE_NOVAL;
        return TIDE_NOVAL;
    case TIDE_P_OR:
        if (i->a == i->b) return i->a;
        if (i->type == TIDE_RMASK)
            return is_const(p, i->a, 0) ? i->b : is_const(p, i->b, 0) ? i->a : TIDE_NOVAL;
        return TIDE_NOVAL;
    default: return TIDE_NOVAL;
    }
}

static void remap(tide_insn *i, const tide_val *map) {
    int n = tide_insn_nargs[i->op];
    if (n > 0) i->a = map[i->a];
    if (n > 1) i->b = map[i->b];
    if (n > 2) i->c = map[i->c];
}

tide_status tide_prog_simplify(tide_prog *p) {
    if (p->failed) return p->failed;
    tide_context *cx = p->cx;
    int64_t n = p->n, size = n * (int64_t)(sizeof(tide_val) + 1);
    tide_val *map = tide_alloc(cx, (size_t)size);
    tide_insn *old = map ? tide_alloc(cx, (size_t)n * sizeof *old) : NULL;
    if (!old) return tide_release(cx, map, (size_t)size), p->failed = TIDE_EMEM;
    uint8_t *used = (uint8_t *)(map + n);
    memcpy(old, p->insn, (size_t)n * sizeof *old);

    /* Forward: each instruction again over simplified operands, shared with an equal one before it. */
    p->n = 0;
    for (int64_t v = 0; v < n && !p->failed; v++) {
        tide_insn i = old[v];
        remap(&i, map);
        tide_val same = tide_insn_kind[i.op] == 'E' ? TIDE_NOVAL : identity(p, &i);
        for (int64_t w = 0; w < p->n && same == TIDE_NOVAL && tide_insn_kind[i.op] != 'E'; w++)
            if (!memcmp(&p->insn[w], &i, sizeof i)) same = (tide_val)w;
        if (same == TIDE_NOVAL) {
            p->failed = tide_grow(cx, (void **)&p->insn, &p->capacity, p->n + 1, sizeof *p->insn);
            if (p->failed) break;
            p->insn[p->n] = i;
            same = (tide_val)p->n++;
        }
        map[v] = same;
    }
    if (!p->failed) {
        /* Backward: what no effect needs goes. (identity() may have appended constants: at most one an
         * instruction.) */
        tide_release(cx, old, (size_t)n * sizeof *old);
        tide_release(cx, map, (size_t)size);
        n = p->n;
        size = n * (int64_t)(sizeof(tide_val) + 1);
        old = NULL;
        map = tide_alloc0(cx, (size_t)size);
        if (!map) return p->failed = TIDE_EMEM;
        used = (uint8_t *)(map + n);
        for (int64_t v = n - 1; v >= 0; v--) {
            const tide_insn *i = &p->insn[v];
            if (tide_insn_kind[i->op] == 'E') used[v] = 1;
            if (!used[v]) continue;
            int k = tide_insn_nargs[i->op];
            if (k > 0) used[i->a] = 1;
            if (k > 1) used[i->b] = 1;
            if (k > 2) used[i->c] = 1;
        }
        int64_t m = 0;
        for (int64_t v = 0; v < n; v++) {
            if (!used[v]) continue;
            remap(&p->insn[v], map);
            map[v] = (tide_val)m;
            p->insn[m++] = p->insn[v];
        }
        p->n = m;
    }
    if (old) tide_release(cx, old, (size_t)n * sizeof *old);
    tide_release(cx, map, (size_t)size);
    return p->failed;
}
