/* The one door that every operation goes through: shapes are checked, outputs made, the work done, and the
 * observers told. Errors are raised here and carry the operation's name. */
#include "op/front.h"

static void closing(tide_context *cx) {
    tide_readies_free(cx);
    tide_vjps_free(cx);
    tide_variants_free(cx);
    tide_release(cx, cx->door, sizeof *cx->door);
    cx->door = NULL;
}

tide_status tide_door_open(tide_context *cx) {
    if (cx->door) return TIDE_OK;
    tide_status e = tide_tensors_open(cx);
    if (e) return e;
    cx->door = tide_alloc0(cx, sizeof *cx->door);
    if (!cx->door) return TIDE_EMEM;
    cx->closing[cx->nclosing++] = closing;
    return TIDE_OK;
}

const tide_op *tide_op_named(const char *name) {
    for (int i = 0; i < TIDE_NOPS; i++)
        if (!strcmp(tide_op_table[i].name, name)) return &tide_op_table[i];
    return NULL;
}

static tide_status check_inputs(tide_context *cx, const tide_op *op, const tide_call *call) {
    bool whole = call->nin == op->nin;
    for (uint32_t i = 0; i < call->nin; i++) {
        const tide_tensor *t = call->in[i];
        whole &= t != NULL;
        if (!t) continue;
        if (t->cx != cx) return tide_fail(cx, TIDE_EARG, "argument %u belongs to another context", i + 1);
        if (t->flags & TIDE_DEAD)
            return tide_fail(cx, TIDE_EARG,
                             "argument %u was a temporary of a compiled step and is gone: return it from the "
                             "step to keep it",
                             i + 1);
    }
    if ((call->flags & TIDE_INPLACE) && (call->nin == 0 || !call->in[0]))
        return tide_fail(cx, TIDE_EARG, "in place: the first argument must be a tensor");
    if (whole || op->infer == tide_vjp_infer || (op->flags & TIDE_F_LIST)) return TIDE_OK;
    bool many = false;
    for (int a = 0; a < op->narg; a++) {
        const tide_arg *arg = &op->arg[a];
        many |= arg->type == TIDE_ARG_TENSORS;
        if (arg->input < 0 || arg->optional || arg->type == TIDE_ARG_TENSORS) continue;
        if ((uint32_t)arg->input < call->nin && call->in[arg->input]) continue;
        if (arg->type == TIDE_ARG_OPERAND && ((const tide_num *)((const char *)call->attr + arg->offset))->kind)
            continue;
        return tide_fail(cx, TIDE_EARG, "argument '%s' is missing", arg->name);
    }
    if (!many && call->nin != op->nin)
        return tide_fail(cx, TIDE_EARG, "takes %u inputs, not %u", op->nin, call->nin);
    return TIDE_OK;
}

static tide_status check_inplace(tide_context *cx, const tide_call *call, const tide_meta *m) {
    const tide_tensor *t = call->in[0];
    if (!tide_same_shape(&t->meta, m)) {
        char a[TIDE_SHAPE_TEXT], b[TIDE_SHAPE_TEXT];
        return tide_fail(cx, TIDE_EARG, "in place: the result %s does not fit into %s", tide_shape_text(m, a),
                         tide_shape_text(&t->meta, b));
    }
    bool ff = tide_dtype_is_float((tide_dtype)m->dtype), tf = tide_dtype_is_float((tide_dtype)t->meta.dtype);
    if ((ff && !tf) || (tide_dtype_is_int((tide_dtype)m->dtype) && t->meta.dtype == TIDE_BOOL))
        return tide_fail(cx, TIDE_EARG, "in place: a %s result cannot be stored in a %s tensor",
                         tide_dtype_name((tide_dtype)m->dtype), tide_dtype_name((tide_dtype)t->meta.dtype));
    if (tide_is_expanded(t))
        return tide_fail(
            cx, TIDE_EARG,
            "in place: the tensor is expanded, so one element stands for several; clone() it first");
    return TIDE_OK;
}

tide_status tide_infer(tide_context *cx, const tide_op *op, const tide_call *call, tide_meta *out) {
    const tide_meta *few[64], **in = few;
    if (call->nin > 64 && !(in = tide_alloc(cx, call->nin * sizeof *in)))
        return TIDE_EMEM; /* cat and stack of many */
    for (uint32_t i = 0; i < call->nin; i++) in[i] = call->in[i] ? &call->in[i]->meta : NULL;
    tide_shapes s = {cx, call->attr, (int)call->nin, (int)call->nout, in, out};
    if (op->flags & (TIDE_F_PROMOTES | TIDE_F_FLOATING | TIDE_F_BOOL)) {
        tide_dtype d = op->flags & TIDE_F_BOOL ? TIDE_BOOL : tide_result_dtype(op, &s);
        for (uint32_t j = 0; j < call->nout; j++) out[j].dtype = (uint8_t)d;
    }
    tide_status e = op->infer(&s);
    if (in != few) tide_release(cx, in, call->nin * sizeof *in);
    return e;
}

static tide_status make_outputs(tide_context *cx, tide_call *call, const tide_meta *meta) {
    if (call->flags & TIDE_INPLACE) call->out[0] = call->in[0];
    for (uint32_t j = 0; j < call->nout; j++)
        if (!call->out[j] && !(call->out[j] = tide_tensor_new(cx, &meta[j]))) return tide_pending(cx);
    return TIDE_OK;
}

tide_status tide_prepare(tide_context *cx, const tide_op *op, tide_call *call) {
    if (op->flags & TIDE_F_VIEW) {
        tide_seen v = {.meta = call->in[0]->meta};
        tide_status e = op->view(cx, call, &v);
        if (e) return e;
        if (call->out[0]) return TIDE_OK;
        tide_tensor *t = call->out[0] = tide_tensor_view(call->in[0], &v.meta, v.stride, v.offset);
        if (!t) return tide_pending(cx);
        t->epoch = 0; /* a value of its own, also where it looks like its input: detach */
        return TIDE_OK;
    }
    if (op->flags & TIDE_F_LIST)
        return op->infer
                   ? op->infer(&(tide_shapes){cx, call->attr, (int)call->nin, (int)call->nout, NULL, NULL})
                   : TIDE_OK;
    tide_meta out[TIDE_MAXARGS] = {0};
    tide_status e = tide_infer(cx, op, call, out);
    if (e) return e;
    if (call->flags & TIDE_INPLACE) e = check_inplace(cx, call, &out[0]);
    return e ? e : make_outputs(cx, call, out);
}

static tide_status run_program(tide_context *cx, const tide_op *op, const tide_call *call, tide_ready *ready) {
    bool fresh = false;
    if (call->nin + call->nout == 0 || ((op->flags & TIDE_F_LIST) && call->nin == 0)) return TIDE_OK;
    if (!ready) ready = tide_ready_of(cx, op, call, UINT32_MAX, &fresh);
    if (!ready) return tide_pending(cx);
    tide_status e = tide_ready_run(cx, ready, call);
    if (fresh) tide_ready_free(cx, ready);
    return e;
}

static tide_status run(tide_context *cx, const tide_op *op, const tide_call *call, tide_ready *ready) {
    if (op->program || op->infer == tide_vjp_infer) return run_program(cx, op, call, ready);
    if (!op->kernel) return TIDE_OK;
    cx->door->count.kernels++;
    return op->kernel(cx, call);
}

/* What writes into tensors that the caller has, an optimizer's step for one, is over after one pass: it is not
 * left half done. */
static tide_status run_whole(tide_context *cx, const tide_op *op, const tide_call *call, tide_ready *ready) {
    cx->whole = true;
    tide_status e = run(cx, op, call, ready);
    cx->whole = false;
    if (op->flags & TIDE_F_MUTATES)
        for (uint32_t i = 0; i < call->nin; i++) {
            uint32_t bit = op->flags & TIDE_F_LIST ? i / (call->nin / op->group) : i;
            if ((op->writes >> bit & 1) && call->in[i]) call->in[i]->storage->version++;
        }
    if (call->flags & TIDE_INPLACE) call->in[0]->storage->version++;
    return e;
}

tide_status tide_execute(tide_context *cx, const tide_op *op, const tide_call *call, tide_ready *ready) {
    bool writes = (call->flags & TIDE_INPLACE) || (op->flags & TIDE_F_MUTATES);
    return writes ? run_whole(cx, op, call, ready) : run(cx, op, call, ready);
}

/* Programs read all inputs element by element as they write: an input that overlaps the result otherwise is
 * copied. */
static bool overlaps(const tide_tensor *t, const tide_tensor *out) {
    return t && t != out && t->storage == out->storage &&
           (t->offset != out->offset || !tide_same_shape(&t->meta, &out->meta) ||
            memcmp(t->stride, out->stride, (size_t)t->meta.ndim * sizeof *t->stride));
}

/* Before it runs: the box tells what a process died of. */
static void note(tide_context *cx, const tide_op *op, const tide_call *call) {
    const tide_meta *shapes[4];
    int n = 0;
    for (uint32_t i = 0; i < call->nin && n < 4; i++)
        if (call->in[i]) shapes[n++] = &call->in[i]->meta;
    tide_blackbox_note(cx, op->name, cx->site, n, shapes);
}

tide_status tide_perform(tide_context *cx, const tide_op *op, const tide_call *call, tide_ready *ready) {
    note(cx, op, call);
    if (!(call->flags & TIDE_INPLACE)) {
        if (ready && !(op->flags & TIDE_F_MUTATES)) return tide_ready_run(cx, ready, call);
        return tide_execute(cx, op, call, ready);
    }
    tide_tensor *copy[TIDE_MAXARGS] = {NULL}, *in[TIDE_MAXARGS];
    tide_call c = *call;
    tide_status e = TIDE_OK;
    for (uint32_t i = 0; i < call->nin; i++) {
        in[i] = call->in[i];
        if (!overlaps(in[i], call->in[0])) continue;
        copy[i] = tide_tensor_new(cx, &in[i]->meta);
        if (!copy[i]) {
            e = tide_pending(cx);
            break;
        }
        tide_call k = {.op = TIDE_OP_CLONE, .nin = 1, .nout = 1, .in = &call->in[i], .out = &copy[i]};
        e = tide_execute(cx, &tide_op_table[TIDE_OP_CLONE], &k, NULL);
        in[i] = copy[i];
        ready = NULL; /* the copy lies otherwise */
        if (e) break;
    }
    c.in = in;
    if (!e) e = tide_execute(cx, op, &c, ready);
    for (uint32_t i = 0; i < call->nin; i++) tide_free(copy[i]);
    return e;
}

static void undo(tide_call *call, uint32_t kept) {
    for (uint32_t j = 0; j < call->nout; j++) {
        if (kept >> (j < 31 ? j : 31) & 1) continue;
        if (call->out[j] && !((call->flags & TIDE_INPLACE) && j == 0)) tide_free(call->out[j]);
        call->out[j] = NULL;
    }
}

static tide_status compose(tide_context *cx, const tide_op *op, tide_call *call) {
    tide_door *door = cx->door;
    if (door->trace.enter && door->depth == 0) door->trace.enter(door->trace.state, cx, call);
    door->depth++;
    tide_status e = op->compose(cx, call);
    door->depth--;
    if (door->trace.leave && door->depth == 0) door->trace.leave(door->trace.state, cx, call, e);
    return e;
}

tide_status tide_apply(tide_context *cx, tide_call *call) {
    if (cx->error) return cx->error;
    if (call->op >= TIDE_NOPS) return tide_fail(cx, TIDE_EARG, "no such operation");
    if (!*cx->alive || !cx->door) {
        if (tide_forked(cx))
            return tide_fail(cx, TIDE_EFORK, "this context was made before a fork; open a new one");
        tide_status e = tide_door_open(cx);
        if (e) return e;
    }
    tide_door *door = cx->door;
    const tide_op *op = &tide_op_table[call->op];
    const char *outer = cx->opname;
    cx->opname = outer && !op->lua ? outer : op->name; /* the user knows nothing of inner operations */
    tide_status e;
    bool taken = false;
    if (door->depth == 0) {
        tide_pace(cx);
        if (door->trace.before) {
            e = door->trace.before(door->trace.state, cx, call, &taken);
            if (e || taken) goto done;
        }
    }
    door->count.calls++;
    uint32_t kept = 0; /* outputs that came with the call */
    for (uint32_t j = 0; j < call->nout; j++)
        if (call->out[j]) kept |= 1u << (j < 31 ? j : 31);
    e = check_inputs(cx, op, call);
    if (e) goto done;
    if (op->compose) {
        e = compose(cx, op, call);
        if (!e && door->trace.after && door->depth == 0)
            e = door->trace.after(door->trace.state, cx, call, false);
        goto done;
    }
    bool program = (op->program || op->infer == tide_vjp_infer) && !(op->flags & TIDE_F_LIST), fresh = false;
    tide_ready *ready = program ? tide_ready_of(cx, op, call, kept, NULL) : NULL;
    e = ready ? make_outputs(cx, call, ready->out) : tide_prepare(cx, op, call);
    if (!e && program && !ready && !(ready = tide_ready_of(cx, op, call, kept, &fresh))) e = tide_pending(cx);
    if (!e && door->tape.before) e = door->tape.before(door->tape.state, cx, call, &taken); /* in-place rules */
    if (!e) e = tide_perform(cx, op, call, ready);
    if (fresh) tide_ready_free(cx, ready);
    if (!e) {
        door->ready = fresh ? NULL : ready;
        if (door->tape.after) e = door->tape.after(door->tape.state, cx, call, true);
        if (!e && door->trace.after) e = door->trace.after(door->trace.state, cx, call, true);
    }
    if (e) undo(call, kept);
done:
    cx->opname = outer;
    return e;
}
