/* Every program of the operation table, and its derivative, as CUDA text: the engine runs operations on the
 * CPU, and each piece that it runs is collected on the way (the linker sends tide_cpu_program here) and
 * repeated. */
#include "autograd/tape.h"
#include "check.h"
#include "device/cpu/cpu.h"
#include "op/op.h"
#include <stdio.h>

tide_status __real_tide_cpu_program(tide_context *cx, void **compiled, void **bound, const tide_prog *piece,
                                    int niter, const tide_iter *iter, const uint64_t *slot);
tide_status __wrap_tide_cpu_program(tide_context *cx, void **compiled, void **bound, const tide_prog *piece,
                                    int niter, const tide_iter *iter, const uint64_t *slot);

static tide_context *cx;
static char label[80]; /* of the call that is running; empty: its pieces are not wanted */
static int collected;

tide_status __wrap_tide_cpu_program(tide_context *c, void **compiled, void **bound, const tide_prog *piece,
                                    int niter, const tide_iter *iter, const uint64_t *slot) {
    cuda_sample *s = *label ? cuda_begin(label, piece, niter, iter, slot) : NULL;
    tide_status status = __real_tide_cpu_program(c, compiled, bound, piece, niter, iter, slot);
    if (s) cuda_end(s, status), collected++;
    return status;
}

/* ---- arguments ---- */

static uint64_t state = 1;
static double number(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)((int64_t)(state >> 33 & 0xffff) - 32768) / 8192;
}

/* Numbers in -4 .. 4, converted by the engine; positions are below 3, which all classes here are. */
static tide_tensor *tensor(const tide_meta *m, bool positions) {
    double values[1024];
    tide_meta wide = *m;
    wide.dtype = TIDE_F64;
    const int64_t n = tide_numel(m);
    for (int64_t i = 0; i < n; i++) values[i] = positions ? (double)(i % 3) : number();
    tide_tensor *t = tide_empty(cx, &wide);
    tide_write(t, values, (size_t)n * sizeof *values);
    return OP1(cx, TIDE_OP_TO, (&(tide_to_attr){.dtype = m->dtype}), t);
}

/* What an operation is called with: its first input's shape and dtype, dims of a reduction, and whether the
 * optional tensors are given. */
typedef struct {
    tide_meta first;
    int64_t dim; /* -1: all, where that may be */
    bool full;
} variant;

static bool number_given(const tide_arg *a) { return a->type == TIDE_ARG_OPERAND && !strcmp(a->name, "value"); }

static void attributes(const tide_op *op, const variant *v, char *attr) {
    if (op->nattr) memcpy(attr, op->attr0, op->nattr);
    const int64_t columns = v->first.shape[v->first.ndim - 1];
    for (int k = 0; k < op->narg; k++) {
        const tide_arg *a = &op->arg[k];
        void *at = attr + a->offset;
        if (a->input >= 0 && !number_given(a)) continue;
        if (a->optional && a->type != TIDE_ARG_DIMS) continue;
        switch (a->type) {
        case TIDE_ARG_SHAPE: *(tide_shape *)at = (tide_shape){1, {columns}}; break;
        case TIDE_ARG_DIMS:
            if (v->dim >= 0 || !a->optional) *(tide_dims *)at = (tide_dims){1, {v->dim >= 0 ? v->dim : 1}};
            break;
        case TIDE_ARG_DIM: *(int64_t *)at = v->dim >= 0 ? v->dim : 1; break;
        case TIDE_ARG_OPERAND:
        case TIDE_ARG_NUMBER: *(tide_num *)at = (tide_num){{.f = 2}, TIDE_FLOAT, 0}; break;
        case TIDE_ARG_FLOAT: *(double *)at = 0.5; break;
        case TIDE_ARG_DTYPE: *(int64_t *)at = v->first.dtype == TIDE_BF16 ? TIDE_F32 : TIDE_BF16; break;
        case TIDE_ARG_INT: *(int64_t *)at = 3; break;
        default: break;
        }
    }
}

/* The meta of an input; false: it is left out. */
static bool input(const tide_op *op, const tide_arg *a, const variant *v, tide_meta *m) {
    const tide_meta row = {.shape = {v->first.shape[1]}, .ndim = 1, .dtype = v->first.dtype};
    *m = v->first;
    if (number_given(a)) return false;
    if (a->optional && (!v->full || op->flags & TIDE_F_RANDOM)) return false;
    if (a->input == 0 && strcmp(a->name, "condition")) return true;
    if (!strcmp(a->name, "condition") || !strcmp(a->name, "mask"))
        m->dtype = TIDE_BOOL;
    else if (!strcmp(a->name, "weight") || !strcmp(a->name, "bias"))
        *m = row;
    else if (!strcmp(op->name, "cross_entropy") || !strcmp(op->name, "nll_loss"))
        *m = (tide_meta){.shape = {v->first.shape[0]}, .ndim = 1, .dtype = TIDE_I64};
    else if (v->dim == 0 && strcmp(op->name, "mse_loss"))
        *m = row; /* one case of broadcasting */
    return true;
}

/* Calls an operation and asks for all its gradients; refusals (dtypes that it does not take) are no failure. */
static void run(const tide_op *op, const variant *v, const char *what) {
    union {
        char bytes[1024];
        int64_t align;
    } attr;
    tide_tensor *in[TIDE_MAXARGS] = {NULL}, *out[TIDE_MAXARGS] = {NULL}, *leaf[TIDE_MAXARGS],
                *gx[TIDE_MAXARGS] = {NULL};
    int nleaf = 0;
    memset(&attr, 0, sizeof attr);
    attributes(op, v, attr.bytes);
    for (int k = 0; k < op->narg; k++) {
        const tide_arg *a = &op->arg[k];
        tide_meta m;
        if (a->input < 0 || !input(op, a, v, &m)) continue;
        in[a->input] = tensor(&m, m.dtype == TIDE_I64);
        if (!tide_dtype_is_float((tide_dtype)m.dtype) || op->nograd) continue;
        tide_set_requires_grad(in[a->input], 1);
        leaf[nleaf++] = in[a->input];
    }
    tide_call call = {.op = (uint16_t)(op - tide_op_table),
                      .nin = op->nin,
                      .nout = op->nout,
                      .in = in,
                      .out = out,
                      .attr = attr.bytes,
                      .nattr = op->nattr};
    snprintf(label, sizeof label, "%s %s", op->name, what);
    if (!tide_apply(cx, &call) && nleaf && tide_requires_grad(out[0])) {
        snprintf(label, sizeof label, "%s %s backward", op->name, what);
        tide_tensor *seed = OP1(
            cx, TIDE_OP_FULL_LIKE,
            (&(tide_full_like_attr){.fill_value = {{.f = 0.75}, TIDE_FLOAT, 0}, .dtype = out[0]->meta.dtype}),
            out[0]);
        tide_grad(cx, out, 1, leaf, nleaf, &seed, TIDE_ALLOW_UNUSED, gx);
    }
    *label = 0;
    tide_error(cx, NULL);
}

/* ---- programs that no script calls: steps of optimizers, clipping ---- */

/* Every kind as it comes in float32, and with all it can do in bfloat16: each row of update.lua is run. */
static void optimizers(void) {
    for (int k = 0; k < 2 * TIDE_NOPTIM; k++) {
        bool plain = k < TIDE_NOPTIM;
        const tide_meta metas[] = {{.shape = {5, 3}, .ndim = 2, .dtype = plain ? TIDE_F32 : TIDE_BF16},
                                   {.shape = {300}, .ndim = 1, .dtype = plain ? TIDE_F32 : TIDE_BF16}};
        tide_tensor *params[2], *averages[2];
        for (int i = 0; i < 2; i++) {
            params[i] = tensor(&metas[i], false);
            averages[i] = tensor(&metas[i], false);
            tide_set_requires_grad(params[i], 1);
        }
        tide_optim_config config = tide_optim_defaults((tide_optim_kind)(k % TIDE_NOPTIM));
        if (!plain) {
            config.momentum = 0.9;
            config.weight_decay = 0.01;
            config.nesterov = config.amsgrad = config.centered = config.decoupled_weight_decay =
                config.maximize = 1;
        }
        tide_optim *o = tide_optim_new(cx, params, 2, &config);
        snprintf(label, sizeof label, "optimizer %d", k);
        for (int step = 0; step < 2; step++) {
            for (int i = 0; i < 2; i++) {
                tide_tensor *y = OP1(cx, TIDE_OP_SQUARE, NULL, params[i]);
                tide_backward(y, tensor(&metas[i], false), 0);
            }
            if (k == 0 || k == TIDE_NOPTIM) {
                tide_clip_grad_norm(cx, params, 2, 0.5);
                tide_clip_grad_value(cx, params, 2, 0.1);
                tide_average(cx, averages, params, 2, 0.25);
            }
            tide_optim_step(o);
            tide_optim_zero_grad(o);
            tide_optim_settings(o)->momentum = plain ? 0.9 : 0; /* other optional states */
            tide_optim_settings(o)->nesterov = 0;
        }
        *label = 0;
        tide_optim_free(o);
    }
}

int main(void) {
    static const struct {
        const char *name;
        variant v;
    } shapes[] = {{"4x3 all", {{.shape = {4, 3}, .ndim = 2}, -1, false}},
                  {"3x300 by rows", {{.shape = {3, 300}, .ndim = 2}, 1, true}},
                  {"70x3 by columns", {{.shape = {70, 3}, .ndim = 2}, 0, true}}};
    static const uint8_t dtypes[] = {TIDE_BF16, TIDE_F64, TIDE_I64, TIDE_BOOL, TIDE_F16, TIDE_I32};
    cuda_counts counts = {0};
    int missed = 0;
    if (tide_open(&(tide_config){.size = sizeof(tide_config), .threads = 1}, &cx) || tide_tape_open(cx))
        return 1;
    tide_begin(cx);
    for (int i = 0; i < TIDE_NOPS; i++) {
        const tide_op *op = &tide_op_table[i];
        if (!op->program || op->flags & TIDE_F_LIST || op->infer == tide_vjp_infer) continue;
        const int before = collected;
        for (int s = 0; s < 3;
             s++) { /* float32 in all shapes, another dtype in each: texts take long to compile */
            variant v = shapes[s].v;
            v.first.dtype = strncmp(op->name, "bitwise", 7) ? TIDE_F32 : TIDE_I32;
            run(op, &v, shapes[s].name);
            if (s == 2) continue;
            v.first.dtype = dtypes[(i + 3 * s) % 6];
            run(op, &v, shapes[s].name);
        }
        if (collected == before) missed++, printf("  %s: no program was run\n", op->name);
    }
    optimizers();
    tide_end(cx);
    cuda_check(&counts);
    const char *error = tide_error(cx, NULL);
    if (error) missed++, printf("  %s\n", error);
    tide_close(cx);
    printf("%d passed, %d failed\n", counts.passed, counts.failed + missed);
    return counts.failed + missed != 0;
}
