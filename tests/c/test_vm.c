/* The vector machine against the reference: the same bytes for every instruction and type, in every mode, on
 * every instruction set that the processor has, on any number of threads, with large and with small tiles. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/context.h"
#include "device/cpu/vm.h"
#include "reference.h"

enum { NCX = 3, GUARD = 64 };
static tide_context *context[NCX]; /* 1, 2 and 4 threads */
static uint64_t seed = 88172645463325252u;

static uint64_t next(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

static int64_t size_of(tide_dtype dtype) {
    static const uint8_t bytes[] = {0, 4, 8, 2, 2, 8, 4, 1, 1, 1};
    return bytes[dtype];
}

/* ---- one trial: a program over a space, with all arguments laid out in some way ---- */

enum { ROWS, COLUMNS, TURNED, PADDED, BACKWARDS, SPARSE, ALL_WAYS }; /* the last: each argument another */

typedef struct {
    tide_prog *p;
    int nk, nr;
    int64_t k[3], r[3];
    int way;
    bool wild;               /* NaN, infinities and other extremes among the data */
    int alias[TIDE_MAXARGS]; /* output -> the input whose memory it is, + 1 */
    uint64_t slot[4];
    int failing; /* the check that is to fail, -1 none */
    const char *what;
} trial;

typedef struct {
    char *block, *base;
    int64_t bytes, low;
} memory;
typedef struct {
    tide_iter it;
    memory m[TIDE_MAXARGS];
} bound;

static double wild_number(uint64_t x) {
    switch (x % 16) {
    case 0: return __builtin_nan("");
    case 1: return __builtin_inf();
    case 2: return -__builtin_inf();
    case 3: return -0.0;
    case 4: return 0;
    case 5: return 1e-41;
    case 6: return 3e38;
    case 7: return -1e10;
    case 8: return 1;
    case 9: return -1;
    default: return ((double)(int64_t)(x >> 8) / 36028797018963968.0) * 100 - 50;
    }
}

static void fill(tide_dtype dtype, char *at, int64_t n, bool wild) {
    for (int64_t i = 0; i < n; i++, at += size_of(dtype)) {
        uint64_t x = next();
        double v = wild ? wild_number(x) : (double)(x >> 11) / 9007199254740992.0 * 6 - 3;
        float f = (float)v;
        switch (dtype) {
        case TIDE_F32: memcpy(at, &f, 4); break;
        case TIDE_F64: memcpy(at, &v, 8); break;
        case TIDE_F16: {
            uint16_t h = (uint16_t)(wild ? x : (x & 0x83FF) | 0x3C00);
            memcpy(at, &h, 2);
            break;
        }
        case TIDE_BF16: {
            uint16_t h = (uint16_t)(wild ? x : (x & 0x80FF) | 0x3F00);
            memcpy(at, &h, 2);
            break;
        }
        case TIDE_I64: {
            int64_t l = wild && x % 7 == 0 ? INT64_MIN + (int64_t)(x >> 60)
                        : wild && x % 3    ? (int64_t)x
                                           : (int64_t)(x % 19) - 9;
            memcpy(at, &l, 8);
            break;
        }
        case TIDE_I32: {
            int32_t l = wild && x % 7 == 0 ? INT32_MIN + (int32_t)(x >> 60)
                        : wild && x % 3    ? (int32_t)x
                                           : (int32_t)(x % 19) - 9;
            memcpy(at, &l, 4);
            break;
        }
        case TIDE_BOOL: *at = (char)(wild ? x & x >> 8 & 3 : x & 1); break;
        default: *at = (char)x;
        }
    }
}

/* Strides of an argument that has `space`; returns the bytes it spans, *low of them before its first element.
 */
static int64_t lay_out(const trial *t, int way, int space, int64_t size, int64_t sk[], int64_t sr[],
                       int64_t *low) {
    int64_t *s[6], n[6], at = size;
    int dims = 0;
    bool columns = way == COLUMNS || way == TURNED;
    for (int half = 0; half < 2; half++) {
        bool reduced = (half == 0) == columns;
        for (int d = 0; d < (reduced ? t->nr : t->nk); d++) {
            int64_t *to = reduced ? &sr[d] : &sk[d];
            *to = 0;
            if (!(space & (reduced ? TIDE_REDUCED : TIDE_KEPT))) continue;
            n[dims] = reduced ? t->r[d] : t->k[d];
            s[dims++] = to;
        }
    }
    for (int i = 0; i < dims && way == TURNED; i++) { /* the first dim innermost of all */
        *s[i] = at;
        at *= n[i];
    }
    for (int i = dims; i-- > 0 && way != TURNED;) {
        if (way == SPARSE) at *= 2;
        *s[i] = at;
        at *= n[i];
        if (way == PADDED && n[i]) at += 3 * size;
    }
    *low = 0;
    for (int i = 0; i < dims && way == BACKWARDS; i++) {
        *low += n[i] ? (n[i] - 1) * *s[i] : 0;
        *s[i] = -*s[i];
    }
    return at;
}

static void bind(const trial *t, bound *b, const bound *like) {
    tide_iter *it = &b->it;
    memset(it, 0, sizeof *it);
    it->nk = (int8_t)t->nk;
    it->nr = (int8_t)t->nr;
    it->narg = (int8_t)t->p->narg;
    it->K = it->R = 1;
    for (int d = 0; d < t->nk; d++) it->K *= it->k[d] = t->k[d];
    for (int d = 0; d < t->nr; d++) it->R *= it->r[d] = t->r[d];
    for (int a = 0; a < it->narg; a++) {
        tide_dtype dtype = (tide_dtype)t->p->arg[a].dtype;
        memory *m = &b->m[a];
        int from = t->alias[a] - 1, way = t->way == ALL_WAYS ? (from < 0 ? a : from) % ALL_WAYS : t->way;
        m->bytes = lay_out(t, way, t->p->arg[a].space, size_of(dtype), it->arg[a].sk, it->arg[a].sr, &m->low);
        if (from >= 0) {
            *m = (memory){NULL, b->m[from].base, b->m[from].bytes, b->m[from].low};
        } else {
            m->block = malloc((size_t)m->bytes + 2 * GUARD);
            m->base = m->block + GUARD;
            if (like)
                memcpy(m->block, like->m[a].block, (size_t)m->bytes + 2 * GUARD);
            else
                memset(m->block, 0x5A, (size_t)m->bytes + 2 * GUARD);
            if (!like && a < t->p->nin) fill(dtype, m->base, m->bytes / size_of(dtype), t->wild);
        }
        it->arg[a].base = m->base + m->low;
    }
    tide_iter_collapse(it);
}

static void unbind(bound *b) {
    for (int a = 0; a < b->it.narg; a++) free(b->m[a].block);
}

/* Elements equal (any NaN to any NaN), and nothing else written. */
static void compare(const trial *t, const bound *want, const bound *got, const char *how) {
    for (int a = t->p->nin; a < t->p->narg; a++) {
        tide_dtype dtype = (tide_dtype)t->p->arg[a].dtype;
        const tide_iter *it = &want->it;
        int64_t size[6], stride[6], n = 1;
        int dims = 0;
        for (int d = 0; d < it->nk && t->p->arg[a].space & TIDE_KEPT; d++)
            size[dims] = it->k[d], stride[dims++] = it->arg[a].sk[d];
        for (int d = 0; d < it->nr && t->p->arg[a].space & TIDE_REDUCED; d++)
            size[dims] = it->r[d], stride[dims++] = it->arg[a].sr[d];
        for (int d = 0; d < dims; d++) n *= size[d];
        const memory *m = &want->m[a], *o = &got->m[a];
        int64_t at = reference_differs(dtype, dims, size, stride, m->base + m->low, o->base + o->low);
        if (at >= 0)
            fail_msg("%s: output %d differs at element %lld of %lld (K %lld, R %lld, way %d): %s", t->what,
                     a - t->p->nin, (long long)at, (long long)n, (long long)it->K, (long long)it->R, t->way,
                     how);
        uint8_t *covered = calloc(1, (size_t)m->bytes + 1);
        for (int64_t i = 0; i < n; i++) {
            int64_t off = m->low, rest = i;
            for (int d = dims; d-- > 0; rest /= size[d]) off += rest % size[d] * stride[d];
            memset(covered + off, 1, (size_t)size_of(dtype));
        }
        for (int64_t i = -GUARD; i < m->bytes + GUARD; i++)
            if ((i < 0 || i >= m->bytes || !covered[i]) && m->base[i] != o->base[i])
                fail_msg("%s: output %d wrote outside its elements at byte %lld: %s", t->what, a - t->p->nin,
                         (long long)i, how);
        free(covered);
    }
}

static const char *const isa_name[] = {"baseline", "avx2", "avx512"};

static void run_trials(const trial *t, int n) {
    bound *start = malloc(3 * (size_t)n * sizeof *start), *want = start + n, *got = want + n;
    tide_iter *it = malloc((size_t)n * sizeof *it);
    assert_int_equal(t->p->failed, TIDE_OK);
    for (int i = 0; i < n; i++) {
        bind(&t[i], &start[i], NULL);
        bind(&t[i], &want[i], &start[i]);
        assert_int_equal(reference_run(t->p, &want[i].it, t->slot), t->failing);
    }
    for (int isa = 0; isa <= (int)tide_cpu_isa(); isa++) {
        context[0]->isa = (tide_isa)isa;
        tide_vm *vm = tide_vm_build(context[0], t->p);
        assert_non_null(vm);
        for (int c = 0; c < 2 * NCX; c++) {
            tide_context *cx = context[c % NCX];
            if (isa < (int)tide_cpu_isa() && (c == 1 || c == 2 || c == 4))
                continue; /* threads: where it is fastest */
            char how[64];
            cx->small_tiles = c >= NCX;
            snprintf(how, sizeof how, "%s, %d threads%s", isa_name[isa], tide_threads(cx),
                     c >= NCX ? ", small tiles" : "");
            for (int i = 0; i < n; i++) it[i] = want[i].it;
            tide_vm_launch *launch = tide_vm_bind(cx, vm, n, it);
            assert_non_null(launch);
            for (int i = 0; i < n; i++) { /* runs at other addresses than it was bound at */
                bind(&t[i], &got[i], &start[i]);
                it[i] = got[i].it;
            }
            tide_status e = tide_vm_run(cx, launch, it, t->slot);
            tide_vm_unbind(cx, launch);
            if (t->failing < 0) {
                assert_int_equal(e, TIDE_OK);
                for (int i = 0; i < n; i++) compare(&t[i], &want[i], &got[i], how);
            } else {
                tide_status code;
                assert_int_equal(e, TIDE_EARG);
                assert_string_equal(tide_error(cx, &code), t->p->check[t->failing]);
            }
            for (int i = 0; i < n; i++) unbind(&got[i]);
        }
        tide_vm_free(context[0], vm);
    }
    for (int i = 0; i < n; i++) {
        unbind(&want[i]);
        unbind(&start[i]);
    }
    free(it);
    free(start);
}

static void run_trial(trial t) { run_trials(&t, 1); }
static tide_prog *program(void) { return tide_prog_new(context[0]); }
static void out(tide_prog *p, tide_val v, tide_dtype dtype, int space) {
    p_store(p, v, p_out(p, dtype, space));
}
static trial over(tide_prog *p, const char *what, int64_t k, int64_t r, int way) {
    return (trial){.p = p,
                   .nk = 1,
                   .nr = r < 0 ? 0 : 1,
                   .k = {k},
                   .r = {r < 0 ? 1 : r},
                   .way = way,
                   .failing = -1,
                   .what = what};
}

static const tide_dtype dtype_of[TIDE_NREG] = {TIDE_F32, TIDE_F64, TIDE_I32, TIDE_I64, TIDE_BOOL};

/* ---- instructions ---- */

static void test_instructions(void **state) {
    for (int op = TIDE_P_NEG; op < TIDE_P_CHECK; op++) {
        for (int type = 0; type < TIDE_NREG; type++) {
            char kind = tide_insn_kind[op];
            if (kind == 'R') continue;
            tide_prog *p = program();
            tide_val x[3] = {TIDE_NOVAL, TIDE_NOVAL, TIDE_NOVAL}, y;
            int n = tide_insn_nargs[op];
            for (int j = 0; j < n; j++)
                x[j] = p_arg(p, op == TIDE_P_SELECT && j == 0 ? TIDE_BOOL : dtype_of[type], TIDE_KEPT);
            if (op == TIDE_P_SELECT) {
                y = p_select(p, x[0], x[1], x[2]);
            } else if (op == TIDE_P_FMA) { /* the builder writes none */
                y = p_bin(p, TIDE_P_MUL, x[0], x[1]);
                if (!p->failed) p->insn[y].op = TIDE_P_FMA, p->insn[y].c = x[2];
                if (type > TIDE_RF64) y = p_un(p, TIDE_P_EXP, x[0]);
            } else {
                y = n == 1 ? p_un(p, op, x[0]) : p_bin(p, op, x[0], x[1]);
            }
            if (p->failed) { /* the instruction does not take this type */
                tide_error(context[0], NULL);
                tide_prog_free(p);
                continue;
            }
            out(p, y, dtype_of[p_type(p, y)], TIDE_KEPT);
            for (int wild = 0; wild < 2; wild++) {
                trial t = over(p, tide_insn_name[op], wild ? 1237 : 83, -1, ROWS);
                t.wild = wild;
                run_trial(t);
            }
            tide_prog_free(p);
        }
    }
}

static void test_broadcast_operands(void **state) {
    static const int spaces[] = {TIDE_ONE, TIDE_KEPT, TIDE_REDUCED, TIDE_POINT};
    for (int a = 0; a < 4; a++) {
        for (int b = 0; b < 4; b++) {
            tide_prog *p = program();
            tide_val x = p_arg(p, TIDE_F32, spaces[a]), y = p_arg(p, TIDE_F32, spaces[b]),
                     z = p_arg(p, TIDE_F32, TIDE_POINT);
            tide_val s = p_sub(p, x, y);
            out(p, p_select(p, p_lt(p, x, z), s, y), TIDE_F32, TIDE_POINT);
            for (int way = 0; way <= ALL_WAYS; way++) run_trial(over(p, "operands", 37, 70, way));
            run_trial(over(p, "operands", 5, 3001, ROWS));
            run_trial(over(p, "operands", 3001, 3, ROWS));
            tide_prog_free(p);
        }
    }
}

/* ---- dtypes, strides, sizes ---- */

static void test_dtypes(void **state) {
    for (int from = TIDE_F32; from <= TIDE_BOOL; from++) {
        for (int to = TIDE_F32; to <= TIDE_BOOL; to++) {
            tide_prog *p = program();
            tide_val x = p_arg(p, (tide_dtype)from, TIDE_KEPT);
            out(p, p_round_to(p, p_cvt(p, x, tide_reg_of((tide_dtype)to)), (tide_dtype)to), (tide_dtype)to,
                TIDE_KEPT);
            for (int way = 0; way <= ALL_WAYS; way++) {
                trial t = over(p, "dtypes", 11, -1, way);
                t.wild = true;
                t.nk = 3;
                t.k[1] = 13;
                t.k[2] = 9;
                run_trial(t);
            }
            tide_prog_free(p);
        }
    }
}

static void test_copies(void **state) {
    for (int dtype = TIDE_F32; dtype <= TIDE_BOOL; dtype++) {
        tide_prog *p = program();
        out(p, p_arg(p, (tide_dtype)dtype, TIDE_KEPT), (tide_dtype)dtype, TIDE_KEPT);
        for (int way = 0; way <= ALL_WAYS; way++) {
            trial t = over(p, "copy", 67, -1, way);
            t.wild = true;
            t.nk = 2;
            t.k[1] = 129;
            run_trial(t);
        }
        tide_prog_free(p);
    }
}

static void test_sizes(void **state) {
    static const int64_t sizes[] = {63, 64, 65, 255, 256, 257, 1000, 2048, 2049, 16384, 16385, 65537};
    tide_prog *p = program();
    tide_val x = p_arg(p, TIDE_F32, TIDE_KEPT), y = p_arg(p, TIDE_F32, TIDE_KEPT);
    out(p, p_exp(p, p_add(p, x, y)), TIDE_F32, TIDE_KEPT);
    out(p, p_mul(p, x, y), TIDE_F64 - 1, TIDE_KEPT);
    for (int64_t n = 0; n <= 33; n++) run_trial(over(p, "sizes", n, -1, ROWS));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) run_trial(over(p, "sizes", sizes[i], -1, ROWS));
    tide_prog_free(p);
}

/* ---- reductions ---- */

static void test_reductions(void **state) {
    static const int64_t sizes[] = {1,   2,   3,   7,   15,  16,   17,   31,    32,    33,   100,
                                    255, 256, 257, 511, 513, 1000, 5000, 16384, 16385, 65537};
    for (int op = TIDE_P_SUM; op <= TIDE_P_MINR; op++) {
        for (int type = 0; type < TIDE_RMASK; type++) {
            tide_prog *p = program();
            out(p, p_reduce(p, op, p_arg(p, dtype_of[type], TIDE_POINT), TIDE_AXIS_R), dtype_of[type],
                TIDE_KEPT);
            for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
                int64_t n = sizes[i];
                if (n > 1000 && (type > 0 || op > TIDE_P_PROD) && (op != TIDE_P_SUM || n == 65537)) continue;
                for (int way = ROWS; way <= COLUMNS; way++) {
                    run_trial(over(p, tide_insn_name[op], n > 1000 ? 3 : 37, n, way));
                    run_trial(over(p, tide_insn_name[op], 1, n, way));
                    if (n < 40) run_trial(over(p, tide_insn_name[op], 700, n, way));
                }
            }
            trial t = over(p, tide_insn_name[op], 21, 300, ROWS);
            t.wild = true;
            run_trial(t);
            t.way = COLUMNS;
            run_trial(t);
            tide_prog_free(p);
        }
    }
}

/* More partial results than lanes, and than a chunk holds lanes of. */
static void test_long_reductions(void **state) {
    tide_prog *p = program();
    tide_val x = p_arg(p, TIDE_F32, TIDE_POINT);
    out(p, p_sum_r(p, x), TIDE_F32, TIDE_KEPT);
    out(p, p_max_r(p, x), TIDE_F32, TIDE_KEPT);
    run_trial(over(p, "long", 1, 300 * TIDE_CHUNK + 5, ROWS));
    run_trial(over(p, "long", 2, 20 * TIDE_CHUNK, COLUMNS));
    run_trial(over(p, "long", 40, 3 * TIDE_CHUNK + 1, ROWS));
    tide_prog_free(p);
}

/* ---- whole programs ---- */

static tide_prog *softmax(void) {
    tide_prog *p = program();
    tide_val x = p_arg(p, TIDE_F32, TIDE_POINT), e = p_exp(p, p_sub(p, x, p_max_r(p, x)));
    out(p, p_div(p, e, p_sum_r(p, e)), TIDE_F32, TIDE_POINT);
    return p;
}

static tide_prog *layer_norm(void) {
    tide_prog *p = program();
    tide_val x = p_arg(p, TIDE_F32, TIDE_POINT), w = p_arg(p, TIDE_F16, TIDE_REDUCED),
             b = p_arg(p, TIDE_F32, TIDE_REDUCED);
    tide_val n = p_cvt(p, p_index(p, TIDE_P_SIZE_R, TIDE_ONE), TIDE_RF32);
    tide_val mean = p_div(p, p_sum_r(p, x), n), d = p_sub(p, x, mean);
    tide_val rstd = p_rsqrt(p, p_add(p, p_div(p, p_sum_r(p, p_mul(p, d, d)), n), p_const(p, TIDE_RF32, 1e-5)));
    out(p, p_add(p, p_mul(p, p_mul(p, d, rstd), p_add(p, w, p_const(p, TIDE_RF32, 1))), b), TIDE_F32,
        TIDE_POINT);
    out(p, mean, TIDE_F32, TIDE_KEPT);
    out(p, rstd, TIDE_F64 - 1, TIDE_KEPT);
    return p;
}

/* The loss of rows of logits, with its largest class; masked beyond a length. */
static tide_prog *cross_entropy(void) {
    tide_prog *p = program();
    tide_val x = p_arg(p, TIDE_BF16, TIDE_POINT), label = p_arg(p, TIDE_I64, TIDE_KEPT);
    tide_val r = p_index(p, TIDE_P_INDEX_R, TIDE_REDUCED), k = p_index(p, TIDE_P_INDEX_K, TIDE_KEPT);
    label = p_mod(p, label, p_index(p, TIDE_P_SIZE_R, TIDE_ONE));
    tide_val m = p_max_r(p, x), d = p_sub(p, x, m), s = p_sum_r(p, p_exp(p, d));
    tide_val hit = p_eq(p, r, label), zero = p_const(p, TIDE_RF32, 0);
    tide_val best = p_min_r(p, p_select(p, p_eq(p, x, m), r, p_index(p, TIDE_P_SIZE_R, TIDE_ONE)));
    out(p, p_sub(p, p_log(p, s), p_sum_r(p, p_select(p, hit, d, zero))), TIDE_F32, TIDE_KEPT);
    out(p, best, TIDE_I64, TIDE_KEPT);
    out(p, p_add(p, p_mul(p, k, p_const(p, TIDE_RI64, 1000)), r), TIDE_I64, TIDE_POINT);
    out(p, p_lt(p, r, k), TIDE_BOOL, TIDE_POINT);
    return p;
}

/* Values of every space, sums of what does not vary, results before the last pass. */
static tide_prog *everything(void) {
    tide_prog *p = program();
    tide_val x = p_arg(p, TIDE_F32, TIDE_POINT), k = p_arg(p, TIDE_F64, TIDE_KEPT),
             r = p_arg(p, TIDE_F32, TIDE_REDUCED);
    tide_val o = p_arg(p, TIDE_I8, TIDE_ONE);
    tide_val kf = p_cvt(p, k, TIDE_RF32), of = p_cvt(p, o, TIDE_RF32);
    tide_val a = p_mul(p, p_add(p, x, r), kf), s = p_sum_r(p, a), t = p_sum_r(p, kf),
             u = p_prod_r(p, p_exp(p, of));
    tide_val v = p_min_r(p, p_sub(p, a, s)), w = p_max_r(p, p_mul(p, a, v));
    out(p, a, TIDE_F32, TIDE_POINT);
    out(p, p_add(p, p_add(p, s, t), p_min(p, u, of)), TIDE_F32, TIDE_KEPT);
    out(p, w, TIDE_F32, TIDE_KEPT);
    out(p, p_add(p, r, of), TIDE_F32, TIDE_REDUCED);
    out(p, of, TIDE_F32, TIDE_ONE);
    out(p, of, TIDE_F32, TIDE_POINT);
    out(p, r, TIDE_F16, TIDE_POINT);
    out(p, k, TIDE_F64, TIDE_KEPT);
    return p;
}

static void test_programs(void **state) {
    static const int64_t shapes[][2] = {{1, 1},    {1, 0},    {0, 4},     {3, 0},     {32, 10},    {5, 31},
                                        {5, 32},   {7, 33},   {17, 256},  {16, 257},  {1000, 2},   {300, 16},
                                        {2, 1000}, {9, 2500}, {3, 16384}, {2, 16385}, {18, 40000}, {1, 40000}};
    tide_prog *p[] = {softmax(), layer_norm(), cross_entropy(), everything()};
    const char *name[] = {"softmax", "layer_norm", "cross_entropy", "everything"};
    for (int i = 0; i < 4; i++) {
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            int64_t n = shapes[s][0] * shapes[s][1];
            for (int way = 0; way <= ALL_WAYS; way++) {
                if (n > 20000 && way > COLUMNS) continue;
                if (n > 100000 && i != 1) continue;
                run_trial(over(p[i], name[i], shapes[s][0], shapes[s][1], way));
            }
        }
        trial t = over(p[i], name[i], 5, 7, ALL_WAYS); /* dims that do not collapse */
        t.nk = t.nr = 3;
        t.k[1] = 2;
        t.k[2] = 3;
        t.r[1] = 6;
        t.r[2] = 11;
        run_trial(t);
        t.r[2] = 80;
        run_trial(t);
        tide_prog_free(p[i]);
    }
}

/* Random programs of cheap instructions, which the machine makes chains of: any sharing of values, any spaces.
 */
static void test_chains(void **state) {
    static const int ops[] = {TIDE_P_ADD, TIDE_P_SUB,  TIDE_P_MUL, TIDE_P_DIV, TIDE_P_NEG,
                              TIDE_P_ABS, TIDE_P_SQRT, TIDE_P_FMA, TIDE_P_FMA, TIDE_P_TANH};
    static const int64_t sizes[] = {1, 2, 3, 7, 16, 31, 33, 129, 1000, 3001};
    for (int round = 0; round < 1000; round++) {
        tide_prog *p = program();
        tide_val x[32];
        int nin = 1 + (int)(next() % 4), n = 0, kept = next() % 3 == 0;
        for (; n < nin; n++)
            x[n] = p_arg(p, n == 0 || next() % 8 ? TIDE_F32 : TIDE_F16,
                         kept || n == 0 ? (kept ? TIDE_KEPT : TIDE_POINT) : (int)(next() % 4));
        x[n++] = p_slot(p, 0, true, TIDE_RF32);
        x[n++] = p_const(p, TIDE_RF32, 1.5);
        for (int more = 2 + (int)(next() % 20); more > 0; more--) {
            int op = ops[next() % 8 ? (int)(next() % 9) : 9];
            tide_val a = x[next() % 3 ? n - 1 : (int)(next() % (uint64_t)n)],
                     b = x[(int)(next() % (uint64_t)n)], c = x[(int)(next() % (uint64_t)n)];
            int order = (int)(next() % 3);
            x[n++] = tide_insn_nargs[op] == 1 ? p_un(p, op, a)
                     : op == TIDE_P_FMA       ? p_fma(p, order == 0 ? a : b, order == 1 ? a : c,
                                                order == 2   ? a
                                                      : order == 1 ? c
                                                                   : b)
                     : order                  ? p_bin(p, op, a, b)
                                              : p_bin(p, op, b, a);
        }
        int nout = 1 + (int)(next() % 3);
        for (int k = 0; k < nout; k++)
            out(p, k ? x[nin + 2 + (int)(next() % (uint64_t)(n - nin - 2))] : x[n - 1], TIDE_F32,
                kept ? TIDE_KEPT : TIDE_POINT);
        trial t = over(p, "chain", sizes[next() % 10], kept ? -1 : sizes[next() % 10],
                       (int)(next() % (ALL_WAYS + 1)));
        if (t.r[0] > 100 && t.k[0] > 100) t.k[0] = 5;
        t.slot[0] = 0x3FB999999999999Au; /* 0.1 */
        if (next() % 2) t.alias[nin] = 1;
        run_trial(t);
        tide_prog_free(p);
    }
}

/* ---- in place, lists, slots, random numbers, checks ---- */

static tide_prog *adamw(void) {
    tide_prog *p = program();
    tide_val w = p_arg(p, TIDE_F32, TIDE_KEPT), g = p_arg(p, TIDE_F32, TIDE_KEPT);
    tide_val m = p_arg(p, TIDE_F32, TIDE_KEPT), v = p_arg(p, TIDE_F32, TIDE_KEPT);
    tide_val lr = p_slot(p, 0, true, TIDE_RF32), b1 = p_const(p, TIDE_RF32, 0.9),
             b2 = p_const(p, TIDE_RF32, 0.999);
    tide_val c1 = p_const(p, TIDE_RF32, 0.1), c2 = p_const(p, TIDE_RF32, 0.001),
             eps = p_const(p, TIDE_RF32, 1e-8);
    tide_val step = p_slot(p, 8, false, TIDE_RF32);
    tide_val m1 = p_add(p, p_mul(p, m, b1), p_mul(p, g, c1)),
             v1 = p_add(p, p_mul(p, v, b2), p_mul(p, p_mul(p, g, g), c2));
    tide_val u = p_div(p, m1, p_add(p, p_sqrt(p, p_abs(p, v1)), eps));
    out(p, m1, TIDE_F32, TIDE_KEPT);
    out(p, v1, TIDE_F32, TIDE_KEPT);
    out(p,
        p_sub(p, p_mul(p, w, p_sub(p, p_const(p, TIDE_RF32, 1), p_mul(p, lr, p_const(p, TIDE_RF32, 0.01)))),
              p_mul(p, p_div(p, lr, step), u)),
        TIDE_F32, TIDE_KEPT);
    return p;
}

static uint64_t bits(double d) {
    uint64_t b;
    memcpy(&b, &d, sizeof b);
    return b;
}

static void test_in_place(void **state) {
    tide_prog *p = adamw();
    for (int way = 0; way <= ALL_WAYS; way++) {
        trial t = over(p, "adamw", 13, -1, way);
        t.nk = 2;
        t.k[1] = 1100;
        t.alias[4] = 3;
        t.alias[5] = 4;
        t.alias[6] = 1;
        t.slot[0] = bits(1e-3);
        t.slot[1] = 7;
        run_trial(t);
    }
    tide_prog_free(p);

    /* an input that is read after its memory has been written: x' = x + y, y' = x - y */
    p = program();
    tide_val x = p_arg(p, TIDE_F32, TIDE_KEPT), y = p_arg(p, TIDE_F32, TIDE_KEPT);
    tide_val a = p_add(p, x, y);
    out(p, a, TIDE_F32, TIDE_KEPT);
    out(p, p_sub(p, x, y), TIDE_F32, TIDE_KEPT);
    trial t = over(p, "butterfly", 3000, -1, ROWS);
    t.alias[2] = 1;
    t.alias[3] = 2;
    run_trial(t);
    tide_prog_free(p);

    p = softmax();
    for (int way = 0; way < ALL_WAYS; way++) {
        t = over(p, "softmax in place", 40, 70, way);
        t.alias[1] = 1;
        run_trial(t);
        t.r[0] = 3001;
        run_trial(t);
        t.k[0] = 2;
        t.r[0] = 33000;
        run_trial(t);
    }
    tide_prog_free(p);
}

static void test_lists(void **state) {
    tide_prog *p = adamw();
    trial t[24];
    for (int i = 0; i < 24; i++) {
        t[i] = over(p, "adamw list", (int64_t[]){0, 1, 17, 1000, 40000, 64}[i % 6], -1, i % ALL_WAYS);
        t[i].alias[4] = 3;
        t[i].alias[5] = 4;
        t[i].alias[6] = 1;
        t[i].slot[0] = bits(1e-3);
        t[i].slot[1] = 7;
    }
    run_trials(t, 24);
    tide_prog_free(p);

    p = program(); /* squares of gradients: long ones go in stages */
    tide_val x = p_arg(p, TIDE_F32, TIDE_POINT);
    out(p, p_sum_r(p, p_mul(p, x, x)), TIDE_F32, TIDE_KEPT);
    for (int i = 0; i < 8; i++)
        t[i] = over(p, "norm list", 1, (int64_t[]){70000, 5, 0, 16384, 16385, 1, 300, 33000}[i], ROWS);
    run_trials(t, 8);
    tide_prog_free(p);
}

static void test_random(void **state) {
    tide_prog *p = program();
    int key = p_slot_index(p, 0, false), hi = p_slot_index(p, 8, false);
    tide_val k = p_index(p, TIDE_P_INDEX_K, TIDE_KEPT), r = p_index(p, TIDE_P_INDEX_R, TIDE_REDUCED);
    tide_val i = p_add(p, p_mul(p, k, p_index(p, TIDE_P_SIZE_R, TIDE_ONE)), r);
    out(p, p_random(p, i, key, hi), TIDE_I32, TIDE_POINT);
    out(p, p_random(p, p_mul(p, i, p_const(p, TIDE_RI64, 7)), key, hi), TIDE_I32, TIDE_POINT);
    out(p, p_random(p, k, hi, key), TIDE_I32, TIDE_KEPT);
    for (int way = 0; way <= ALL_WAYS; way++) {
        trial t = over(p, "random", 33, 77, way);
        t.slot[0] = 0x123456789ABCDEF0u;
        t.slot[1] = 42;
        run_trial(t);
        t.r[0] = 1;
        run_trial(t);
        t.k[0] = 1;
        t.r[0] = 3333;
        run_trial(t);
    }
    tide_prog_free(p);
}

static void test_checks(void **state) {
    tide_prog *p = program();
    tide_val x = p_arg(p, TIDE_I64, TIDE_POINT), n = p_arg(p, TIDE_I32, TIDE_KEPT);
    p_check(p, p_lt(p, p_index(p, TIDE_P_INDEX_R, TIDE_REDUCED), p_slot(p, 0, false, TIDE_RI64)), "too long");
    p_check(p, p_lt(p, x, p_slot(p, 8, false, TIDE_RI64)), "too large");
    p_check(p, p_lt(p, n, p_slot(p, 16, false, TIDE_RI32)), "too many");
    out(p, p_sum_r(p, x), TIDE_I64, TIDE_KEPT);
    for (int failing = -1; failing < 3; failing++) {
        for (int way = ROWS; way <= COLUMNS; way++) {
            trial t = over(p, "checks", 19, 300, way);
            t.failing = failing;
            for (int i = 0; i < 3; i++)
                t.slot[i] =
                    failing >= 0 && failing <= i ? (uint64_t)-100 : 100000; /* the first that fails is told */
            if (failing == 0) t.slot[0] = 299;
            run_trial(t);
            t.k[0] = 2;
            t.r[0] = 20000;
            if (failing == 0) t.slot[0] = 19999;
            run_trial(t);
        }
    }
    tide_prog_free(p);
}

static void test_refusals(void **state) {
    tide_prog *p = program();
    out(p, p_reduce(p, TIDE_P_SUM, p_arg(p, TIDE_F32, TIDE_POINT), TIDE_AXIS_K), TIDE_F32, TIDE_REDUCED);
    assert_null(tide_vm_build(context[0], p));
    tide_status code;
    assert_non_null(tide_error(context[0], &code));
    assert_int_equal(code, TIDE_EARG);
    tide_prog_free(p);
    tide_vm_free(context[0], NULL);
}

/* ---- memory ---- */

static void test_memory(void **state) {
    tide_prog *p[] = {softmax(), layer_norm(), cross_entropy(), everything(), adamw()};
    tide_memory_stats before, after;
    tide_memory(context[0], &before);
    for (int i = 0; i < 5; i++) tide_vm_free(context[0], tide_vm_build(context[0], p[i]));
    tide_memory(context[0], &after);
    assert_int_equal(before.live, after.live);
    for (int i = 0; i < 5; i++) tide_prog_free(p[i]);
}

/* Refuses the k-th request of a size that only the heap's larger blocks have. */
static void *failing_alloc(void *ud, void *m, size_t from, size_t to, size_t align) {
    int *left = ud;
    if (to == 0) return free(m), NULL;
    if (to > 4096 && (*left)-- == 0) return NULL;
    return m ? NULL : aligned_alloc(align, (to + align - 1) / align * align);
}

static void test_failing_memory(void **state) {
    bool finished = false;
    for (int k = 0; k < 60 && !finished; k++) {
        int left = INT32_MAX;
        tide_config config = {.size = sizeof config, .ud = &left, .alloc = failing_alloc, .threads = 1};
        tide_context *cx, *main_context = context[0];
        assert_int_equal(tide_open(&config, &cx), TIDE_OK);
        context[0] = cx;
        tide_prog *p = everything();
        trial t = over(p, "failing memory", 2, 40000, ROWS);
        bound b;
        bind(&t, &b, NULL);
        left = k;
        tide_vm *vm = tide_vm_build(cx, p);
        tide_vm_launch *launch = vm ? tide_vm_bind(cx, vm, 1, &b.it) : NULL;
        tide_status s = launch ? tide_vm_run(cx, launch, &b.it, t.slot) : tide_pending(cx);
        finished = s == TIDE_OK;
        if (!finished) assert_int_equal(s, TIDE_EMEM);
        left = INT32_MAX;
        tide_vm_unbind(cx, launch);
        tide_vm_free(cx, vm);
        tide_prog_free(p);
        unbind(&b);
        tide_close(cx);
        context[0] = main_context;
    }
    assert_true(finished);
}

static int open_contexts(void **state) {
    for (int i = 0; i < NCX; i++) {
        tide_config config = {.size = sizeof config, .threads = 1 << i};
        if (tide_open(&config, &context[i])) return -1;
    }
    return 0;
}

static int close_contexts(void **state) {
    for (int i = 0; i < NCX; i++) tide_close(context[i]);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_instructions),    cmocka_unit_test(test_broadcast_operands),
        cmocka_unit_test(test_dtypes),          cmocka_unit_test(test_copies),
        cmocka_unit_test(test_sizes),           cmocka_unit_test(test_reductions),
        cmocka_unit_test(test_long_reductions), cmocka_unit_test(test_programs),
        cmocka_unit_test(test_in_place),        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_random),          cmocka_unit_test(test_checks),
        cmocka_unit_test(test_refusals),        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_failing_memory),  cmocka_unit_test(test_chains),
    };
    return cmocka_run_group_tests(tests, open_contexts, close_contexts);
}
