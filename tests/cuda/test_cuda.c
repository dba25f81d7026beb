/* Programs as CUDA text, compared with the CPU bit by bit under the emulator, and compiled by NVRTC. */
#include "base/base.h"
#include "check.h"
#include "program/program.h"
#include "reference.h"
#include <stdio.h>
#include <stdlib.h>

enum { ROWS, COLUMNS, REVERSED, NLAYOUT }; /* R innermost; K innermost; dims of R from their ends, with gaps */

static tide_context *cx;
static uint64_t state = 1;

static uint32_t random_bits(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

static const int dtype_size[] = {
    [TIDE_F32] = 4, [TIDE_F64] = 8, [TIDE_F16] = 2, [TIDE_BF16] = 2, [TIDE_I64] = 8,
    [TIDE_I32] = 4, [TIDE_I8] = 1,  [TIDE_U8] = 1,  [TIDE_BOOL] = 1};

/* Ordinary numbers, and in one of 16 places any bits at all. */
static void fill(char *p, int dtype, int64_t n, bool tame) {
    for (int64_t i = 0; i < n; i++, p += dtype_size[dtype]) {
        const float x = ((float)(random_bits() & 0xffff) - 32768) / 8192;
        const double d = x;
        const int64_t l = (int64_t)random_bits() % 7 - 3;
        uint64_t any = (uint64_t)random_bits() << 32 ^ random_bits() << 7 ^ random_bits();
        const bool wild = !tame && random_bits() % 16 == 0;
        uint32_t bits;
        memcpy(&bits, &x, 4);
        if (dtype == TIDE_BOOL)
            any &= 1;
        else if (wild && random_bits() % 2)
            any = dtype == TIDE_F32 ? 0x7fc00000 : 0; /* NaN, zero */
        else if (!wild) {
            const uint16_t half = (uint16_t)((bits >> 16 & 0x8000) | (0x3000 + (any & 0xfff))),
                           brain = (uint16_t)(bits >> 16);
            if (dtype == TIDE_F32)
                memcpy(&any, &x, 4);
            else if (dtype == TIDE_F64)
                memcpy(&any, &d, 8);
            else if (dtype == TIDE_F16)
                memcpy(&any, &half, 2);
            else if (dtype == TIDE_BF16)
                memcpy(&any, &brain, 2);
            else
                memcpy(&any, &l, 8);
        }
        memcpy(p, &any, (size_t)dtype_size[dtype]);
    }
}

/* Strides of an argument of `space` over dims d[0..n), K's first; returns the bytes it spans. */
static int64_t strides(int space, int size, int layout, const tide_iter *it, int64_t sk[], int64_t sr[],
                       int64_t *offset) {
    int64_t step = size;
    *offset = 0;
    for (int turn = 0; turn < 2; turn++) {
        const bool k = (turn == 0) == (layout == COLUMNS);
        const int n = k ? it->nk : it->nr;
        const int64_t *dim = k ? it->k : it->r;
        int64_t *s = k ? sk : sr;
        if (!(space & (k ? TIDE_KEPT : TIDE_REDUCED))) continue;
        for (int d = n; d-- > 0;) {
            const bool back = layout == REVERSED && !k;
            s[d] = back ? -step : step;
            if (back && dim[d] > 0) *offset += (dim[d] - 1) * step;
            step *= dim[d] + (back ? 1 : 0);
        }
    }
    return step;
}

/* Runs p over K x R on the CPU and keeps it as a sample. `alias`: output i is the same memory as input alias[i]
 * - 1. */
static void sample(const char *name, const tide_prog *p, int nk, const int64_t *k, int nr, const int64_t *r,
                   int layout, const uint64_t *slot, const int *alias, bool tame) {
    tide_iter it = {.nk = (int8_t)nk, .nr = (int8_t)nr, .narg = (int8_t)p->narg, .K = 1, .R = 1};
    char *memory[TIDE_MAXARGS] = {NULL}, label[96];
    for (int d = 0; d < nk; d++) it.K *= it.k[d] = k[d];
    for (int d = 0; d < nr; d++) it.R *= it.r[d] = r[d];
    for (int a = 0; a < p->narg; a++) {
        int64_t offset, bytes = strides(p->arg[a].space, dtype_size[p->arg[a].dtype], layout, &it, it.arg[a].sk,
                                        it.arg[a].sr, &offset);
        const int of = a >= p->nin && alias ? alias[a - p->nin] : 0;
        if (!of) {
            memory[a] = malloc((size_t)bytes + 8);
            fill(memory[a], p->arg[a].dtype, bytes / dtype_size[p->arg[a].dtype], tame);
        }
        it.arg[a].base = of ? it.arg[of - 1].base : memory[a] + offset;
    }
    tide_iter_collapse(&it);
    snprintf(label, sizeof label, "%s K=%lld R=%lld layout %d", name, (long long)it.K, (long long)it.R, layout);
    cuda_sample *s = cuda_begin(label, p, 1, &it, slot);
    cuda_end(s, reference_run(p, &it, slot) < 0 ? TIDE_OK : TIDE_EARG);
    for (int a = 0; a < p->narg; a++) free(memory[a]);
}

static const int64_t small[] = {1, 2, 5, 31, 33, 255, 256, 257, 1000};

/* Over many shapes: K by R, short and long. */
static void over_shapes(const char *name, tide_prog *p, const uint64_t *slot, bool tame, int64_t longest) {
    const int64_t kept[] = {1, 3, 40};
    tide_prog_simplify(p);
    for (int layout = 0; layout < NLAYOUT; layout++) {
        for (size_t i = 0; i < sizeof small / sizeof *small; i++)
            for (int j = 0; j < 3; j++)
                if ((i + (size_t)j) % 3 == (size_t)layout || i == 5)
                    sample(name, p, 1, &kept[j], 1, &small[i], layout, slot, NULL, tame);
        sample(name, p, 2, (int64_t[]){3, 2}, 2, (int64_t[]){5, 70}, layout, slot, NULL, tame);
        sample(name, p, 1, (int64_t[]){4}, 1, (int64_t[]){0}, layout, slot, NULL, tame);
        sample(name, p, 1, (int64_t[]){0}, 1, (int64_t[]){6}, layout, slot, NULL, tame);
        if (longest > 20000)
            sample(name, p, 1, (int64_t[]){3}, 2, (int64_t[]){2, 8193}, layout, slot, NULL, tame);
        if (longest > 60000)
            sample(name, p, 1, (int64_t[]){2}, 1, (int64_t[]){65537}, layout, slot, NULL, tame);
    }
    sample(name, p, 1, (int64_t[]){300}, 1, (int64_t[]){257}, COLUMNS, slot, NULL, tame);
    if (longest > 16384) sample(name, p, 1, (int64_t[]){70}, 1, (int64_t[]){16385}, COLUMNS, slot, NULL, tame);
    tide_prog_free(p);
}

static tide_prog *new_prog(void) { return tide_prog_new(cx); }

/* ---- programs without reductions ---- */

static void flat_programs(void) {
    const int64_t shape[] = {7, 300}, one[] = {1}, long_shape[] = {2000};
    tide_prog *p = new_prog();
    tide_val x = p_arg(p, TIDE_F32, TIDE_KEPT), y = p_arg(p, TIDE_F32, TIDE_KEPT);
    p_store(p, p_add(p, x, y), p_out(p, TIDE_F32, TIDE_KEPT));
    sample("add", p, 1, long_shape, 0, NULL, ROWS, NULL, NULL, false);
    sample("add in place", p, 2, shape, 0, NULL, ROWS, NULL, (int[]){1}, false);
    sample("add one", p, 1, one, 0, NULL, ROWS, NULL, NULL, false);
    tide_prog_free(p);

    p = new_prog();
    x = p_arg(p, TIDE_F32, TIDE_POINT);
    y = p_arg(p, TIDE_F32, TIDE_REDUCED);
    tide_val z = p_arg(p, TIDE_F32, TIDE_KEPT);
    tide_val xy = p_mul(p, x, y);
    p_store(p, p_add(p, xy, z), p_out(p, TIDE_F32, TIDE_POINT));
    p_store(p, p_exp(p, z), p_out(p, TIDE_F32, TIDE_KEPT));
    p_store(p, p_neg(p, y), p_out(p, TIDE_F32, TIDE_REDUCED));
    p_store(p, p_index(p, TIDE_P_SIZE_R, TIDE_ONE), p_out(p, TIDE_I64, TIDE_ONE));
    over_shapes("mul with broadcast", p, NULL, false, 1000);

    p = new_prog();
    x = p_arg(p, TIDE_F32, TIDE_KEPT);
    tide_val half = p_like(p, x, 0.5),
             cdf = p_add(p, p_like(p, x, 1), p_erf(p, p_mul(p, x, p_like(p, x, 0.7071067811865476))));
    p_store(p, p_mul(p, p_mul(p, half, x), cdf), p_out(p, TIDE_F32, TIDE_KEPT));
    sample("gelu", p, 2, shape, 0, NULL, ROWS, NULL, NULL, false);
    tide_prog_free(p);

    p = new_prog();
    x = p_arg(p, TIDE_F32, TIDE_KEPT);
    int key = p_slot_index(p, 0, false), call = p_slot_index(p, 8, false);
    tide_val keep = p_slot(p, 16, true, TIDE_RF32), i = p_index(p, TIDE_P_INDEX_K, TIDE_KEPT);
    tide_val bits =
        p_bin(p, TIDE_P_AND, p_bin(p, TIDE_P_SHR, p_random(p, i, key, call), p_const(p, TIDE_RI32, 8)),
              p_const(p, TIDE_RI32, 0xffffff));
    tide_val mask = p_lt(p, p_mul(p, p_cvt(p, bits, TIDE_RF32), p_const(p, TIDE_RF32, 0x1p-24)), keep);
    p_store(p, p_select(p, mask, p_div(p, x, keep), p_like(p, x, 0)), p_out(p, TIDE_F32, TIDE_KEPT));
    p_store(p, mask, p_out(p, TIDE_BOOL, TIDE_KEPT));
    uint64_t slot[3] = {0x123456789abcdefu, 77, 0};
    memcpy(&slot[2], &(double){0.7}, 8);
    sample("dropout", p, 2, shape, 0, NULL, ROWS, slot, NULL, false);
    sample("dropout", p, 2, (int64_t[]){33, 5}, 0, NULL, ROWS, slot, NULL, false);
    tide_prog_free(p);

    p = new_prog(); /* AdamW: p, m, v in place */
    tide_val w = p_arg(p, TIDE_F32, TIDE_KEPT), m = p_arg(p, TIDE_F32, TIDE_KEPT),
             v = p_arg(p, TIDE_F32, TIDE_KEPT);
    tide_val g = p_arg(p, TIDE_F32, TIDE_KEPT), lr = p_slot(p, 0, true, TIDE_RF32),
             c1 = p_slot(p, 8, true, TIDE_RF32);
    tide_val c2 = p_slot(p, 16, true, TIDE_RF32);
    w = p_mul(p, w, p_sub(p, p_like(p, w, 1), p_mul(p, lr, p_like(p, w, 0.01))));
    m = p_add(p, p_mul(p, m, p_like(p, w, 0.9)), p_mul(p, g, p_like(p, w, 0.1)));
    v = p_add(p, p_mul(p, v, p_like(p, w, 0.999)), p_mul(p, p_mul(p, g, g), p_like(p, w, 0.001)));
    tide_val step = p_div(p, p_div(p, m, c1), p_add(p, p_sqrt(p, p_div(p, v, c2)), p_like(p, w, 1e-8)));
    p_store(p, p_sub(p, w, p_mul(p, lr, step)), p_out(p, TIDE_F32, TIDE_KEPT));
    p_store(p, m, p_out(p, TIDE_F32, TIDE_KEPT));
    p_store(p, v, p_out(p, TIDE_F32, TIDE_KEPT));
    const double numbers[3] = {1e-3, 0.1, 0.001};
    memcpy(slot, numbers, sizeof slot);
    sample("adamw", p, 2, shape, 0, NULL, ROWS, slot, (int[]){1, 2, 3}, false);
    tide_prog_free(p);
}

/* Every instruction in every type it has, inputs as they come. */
static void instructions(void) {
    const int64_t n[] = {700};
    static const int dtype_of[] = {TIDE_F32, TIDE_F64, TIDE_I32, TIDE_I64, TIDE_BOOL};
    for (int op = 0; op < TIDE_NINSN; op++) {
        const char kind = tide_insn_kind[op];
        if (kind == 'S' || kind == 'E' || kind == 'R' || op == TIDE_P_RANDOM || op == TIDE_P_CVT ||
            op == TIDE_P_ROUND_TO)
            continue;
        for (int type = 0; type < TIDE_NREG; type++) {
            tide_prog *p = new_prog();
            tide_val a = p_arg(p, (tide_dtype)dtype_of[type], TIDE_KEPT), v;
            tide_val b = tide_insn_nargs[op] > 1 ? p_arg(p, (tide_dtype)dtype_of[type], TIDE_KEPT) : a;
            if (op == TIDE_P_SELECT)
                v = p_select(p, p_eq(p, a, b), a, b);
            else if (op == TIDE_P_FMA)
                v = TIDE_NOVAL;
            else
                v = tide_insn_nargs[op] == 1 ? p_un(p, op, a) : p_bin(p, op, a, b);
            if (v != TIDE_NOVAL) {
                char name[32];
                snprintf(name, sizeof name, "%s %d", tide_insn_name[op], type);
                p_store(p, v, p_out(p, (tide_dtype)dtype_of[p_type(p, v)], TIDE_KEPT));
                sample(name, p, 1, n, 0, NULL, ROWS, NULL, NULL, false);
            }
            tide_status code;
            tide_error(cx, &code); /* types that the instruction does not take */
            tide_prog_free(p);
        }
    }
    for (int type = TIDE_RF32; type <= TIDE_RF64; type++) {
        tide_prog *p = new_prog();
        tide_val v[3];
        for (int i = 0; i < 3; i++) v[i] = p_arg(p, (tide_dtype)dtype_of[type], TIDE_KEPT);
        p_store(p, p_add(p, v[0], p_mul(p, v[1], v[2])), p_out(p, (tide_dtype)dtype_of[type], TIDE_KEPT));
        p->insn[p->n - 2] = (tide_insn){
            .op = TIDE_P_FMA, .type = (uint8_t)type, .space = TIDE_KEPT, .a = v[0], .b = v[1], .c = v[2]};
        sample("fma", p, 1, n, 0, NULL, ROWS, NULL, NULL, false);
        tide_prog_free(p);
    }
}

static void casts(void) {
    const int64_t n[] = {600};
    for (int from = TIDE_F32; from <= TIDE_BOOL; from++) {
        tide_prog *p = new_prog();
        tide_val x = p_arg(p, (tide_dtype)from, TIDE_KEPT);
        for (int to = TIDE_F32; to <= TIDE_BOOL; to++) p_store(p, x, p_out(p, (tide_dtype)to, TIDE_KEPT));
        const int type = p_type(p, x);
        static const tide_dtype narrow[] = {TIDE_F16, TIDE_BF16, TIDE_I8, TIDE_U8};
        for (int i = 0; i < 4; i++)
            if (tide_reg_of(narrow[i]) == type)
                p_store(p, p_round_to(p, x, narrow[i]),
                        p_out(p, type == TIDE_RF32 ? TIDE_F32 : TIDE_I32, TIDE_KEPT));
        sample("cast", p, 1, n, 0, NULL, ROWS, NULL, NULL, false);
        tide_prog_free(p);
    }
}

/* ---- programs with reductions ---- */

static tide_val mean(tide_prog *p, tide_val x) {
    return p_div(p, p_sum_r(p, x), p_cvt(p, p_index(p, TIDE_P_SIZE_R, TIDE_ONE), p_type(p, x)));
}

static void reductions(void) {
    tide_prog *p = new_prog();
    tide_val x = p_arg(p, TIDE_F32, TIDE_POINT), e = p_exp(p, p_sub(p, x, p_max_r(p, x)));
    p_store(p, p_div(p, e, p_sum_r(p, e)), p_out(p, TIDE_F32, TIDE_POINT));
    sample("softmax in place", p, 1, (int64_t[]){5}, 1, (int64_t[]){400}, ROWS, NULL, (int[]){1}, true);
    over_shapes("softmax", p, NULL, true, 20001);

    p = new_prog();
    x = p_arg(p, TIDE_F32, TIDE_POINT);
    tide_val g = p_arg(p, TIDE_F32, TIDE_REDUCED), b = p_arg(p, TIDE_F32, TIDE_REDUCED), mu = mean(p, x),
             d = p_sub(p, x, mu);
    tide_val rstd = p_rsqrt(p, p_add(p, mean(p, p_mul(p, d, d)), p_like(p, x, 1e-5)));
    p_store(p, p_add(p, p_mul(p, p_mul(p, d, rstd), g), b), p_out(p, TIDE_F32, TIDE_POINT));
    p_store(p, mu, p_out(p, TIDE_F32, TIDE_KEPT));
    p_store(p, rstd, p_out(p, TIDE_F32, TIDE_KEPT));
    over_shapes("layer_norm", p, NULL, true, 20001);

    static const tide_dtype types[] = {TIDE_F32, TIDE_F64, TIDE_I32, TIDE_I64, TIDE_BF16};
    static const int ops[] = {TIDE_P_SUM, TIDE_P_PROD, TIDE_P_MAXR, TIDE_P_MINR};
    for (int t = 0; t < 5; t++) {
        p = new_prog();
        x = p_arg(p, types[t], TIDE_POINT);
        for (int o = 0; o < 4; o++)
            p_store(p, p_reduce(p, ops[o], x, TIDE_AXIS_R), p_out(p, types[t], TIDE_KEPT));
        over_shapes("sum, prod, max, min", p, NULL, t % 2, t == 0 ? 65537 : 1000);
    }

    p = new_prog(); /* sum alone: long */
    x = p_arg(p, TIDE_F32, TIDE_POINT);
    p_store(p, p_sum_r(p, x), p_out(p, TIDE_F32, TIDE_KEPT));
    over_shapes("sum", p, NULL, true, 65537);

    p = new_prog(); /* cross entropy by class index, labels out of range fail */
    x = p_arg(p, TIDE_F32, TIDE_POINT);
    tide_val label = p_arg(p, TIDE_I64, TIDE_KEPT), i = p_index(p, TIDE_P_INDEX_R, TIDE_REDUCED),
             top = p_max_r(p, x);
    tide_val classes = p_index(p, TIDE_P_SIZE_R, TIDE_ONE), zero = p_const(p, TIDE_RI64, 0);
    tide_val at = p_select(p, p_eq(p, i, label), x, p_like(p, x, 0));
    tide_val lse = p_add(p, top, p_log(p, p_sum_r(p, p_exp(p, p_sub(p, x, top)))));
    p_check(p, p_and(p, p_le(p, zero, label), p_lt(p, label, classes)), "a label is out of range");
    p_store(p, p_sub(p, lse, p_sum_r(p, at)), p_out(p, TIDE_F32, TIDE_KEPT));
    over_shapes("cross_entropy", p, NULL, true, 20001);

    p = new_prog(); /* the same with labels that are in range */
    x = p_arg(p, TIDE_F32, TIDE_POINT);
    label = p_arg(p, TIDE_BOOL, TIDE_KEPT);
    i = p_cvt(p, p_index(p, TIDE_P_INDEX_R, TIDE_REDUCED), TIDE_RI32);
    tide_val l32 = p_cvt(p, label, TIDE_RI32);
    p_check(p, p_le(p, p_const(p, TIDE_RI32, 0), l32), "a label is out of range");
    p_store(p, p_sum_r(p, p_select(p, p_eq(p, i, l32), x, p_like(p, x, 0))), p_out(p, TIDE_F32, TIDE_KEPT));
    over_shapes("pick", p, NULL, true, 1000);

    p = new_prog(); /* argmax: the first that equals the largest */
    x = p_arg(p, TIDE_F32, TIDE_POINT);
    i = p_index(p, TIDE_P_INDEX_R, TIDE_REDUCED);
    tide_val most = p_max_r(p, x), hit = p_or(p, p_eq(p, x, most), p_isnan(p, x));
    p_store(p, most, p_out(p, TIDE_F32, TIDE_KEPT));
    p_store(p, p_min_r(p, p_select(p, hit, i, p_index(p, TIDE_P_SIZE_R, TIDE_ONE))),
            p_out(p, TIDE_I64, TIDE_KEPT));
    over_shapes("argmax", p, NULL, false, 20001);

    p = new_prog(); /* what does not vary along K: a normed weight, its norm, and a sum of ones */
    x = p_arg(p, TIDE_F32, TIDE_POINT);
    tide_val w = p_arg(p, TIDE_F64, TIDE_REDUCED), norm = p_un(p, TIDE_P_SQRT, p_sum_r(p, p_mul(p, w, w)));
    tide_val unit = p_div(p, w, norm), y = p_sum_r(p, p_mul(p, p_cvt(p, x, TIDE_RF64), unit));
    p_store(p, y, p_out(p, TIDE_F64, TIDE_KEPT));
    p_store(p, unit, p_out(p, TIDE_F64, TIDE_REDUCED));
    p_store(p, norm, p_out(p, TIDE_F64, TIDE_ONE));
    p_store(p, p_reduce(p, TIDE_P_SUM, y, TIDE_AXIS_R), p_out(p, TIDE_F64, TIDE_KEPT));
    over_shapes("weight norm", p, NULL, true, 20001);
}

/* Nothing but negative zeros sums to one; of nothing, to zero. */
static void negative_zeros(void) {
    tide_prog *p = new_prog();
    tide_val x = p_arg(p, TIDE_F32, TIDE_POINT), y = p_cvt(p, x, TIDE_RF64);
    p_store(p, p_sum_r(p, p_mul(p, p_abs(p, x), p_like(p, x, -0.0))), p_out(p, TIDE_F32, TIDE_KEPT));
    p_store(p, p_sum_r(p, p_mul(p, p_abs(p, y), p_like(p, y, -0.0))), p_out(p, TIDE_F64, TIDE_KEPT));
    over_shapes("negative zeros", p, NULL, true, 20001);
}

/* So long that partial results are joined twice: too long for the reference, but the sum of all indices is
 * known. */
static void very_long(void) {
    const int64_t R = ((int64_t)TIDE_CHUNK + 2) * TIDE_CHUNK + 5;
    int64_t sum = 0;
    tide_prog *p = new_prog();
    p_store(p, p_sum_r(p, p_index(p, TIDE_P_INDEX_R, TIDE_REDUCED)), p_out(p, TIDE_I64, TIDE_ONE));
    const tide_iter it = {.nr = 1, .narg = 1, .K = 1, .R = R, .r = {R}, .arg = {{.base = (char *)&sum}}};
    cuda_sample *s = cuda_begin("very long", p, 1, &it, NULL);
    sum = R * (R - 1) / 2;
    cuda_end(s, TIDE_OK);
    tide_prog_free(p);
}

/* One program over several tensors. */
static void list(void) {
    float x[3][50];
    tide_iter it[3];
    tide_prog *p = new_prog();
    tide_val v = p_arg(p, TIDE_F32, TIDE_KEPT);
    p_store(p, p_tanh(p, v), p_out(p, TIDE_F32, TIDE_KEPT));
    for (int i = 0; i < 3; i++) {
        const int64_t n = 20 + 15 * i;
        fill((char *)x[i], TIDE_F32, 50, false);
        it[i] = (tide_iter){.nk = 1,
                            .narg = 2,
                            .K = n,
                            .R = 1,
                            .k = {n},
                            .arg = {{.base = (char *)x[i], .sk = {4}}, {.base = (char *)x[i], .sk = {4}}}};
    }
    cuda_sample *s = cuda_begin("list", p, 3, it, NULL);
    for (int i = 0; i < 3; i++) reference_run(p, &it[i], NULL);
    cuda_end(s, TIDE_OK);
    tide_prog_free(p);
}

int main(void) {
    cuda_counts counts = {0};
    if (tide_open(NULL, &cx)) return 1;
    flat_programs();
    instructions();
    casts();
    reductions();
    negative_zeros();
    very_long();
    list();
    cuda_check(&counts);
    tide_close(cx);
    printf("%d passed, %d failed", counts.passed, counts.failed);
    if (counts.skipped) printf(", %d skipped", counts.skipped);
    printf("\n");
    return counts.failed != 0;
}
