/* Optimizers: state per parameter, and one list operation a step. */
#include "optim/lists.h"
#include "optim/optim.h"

enum { MAXLISTS = 2 + TIDE_OPTIM_STATES, MAXATTRS = 32 };

/* What an attribute of a step is filled with. */
typedef struct {
    enum { DERIVED, OPTION, REST, SHRINK, FIRST } from;
    uint16_t field; /* OPTION: this one; REST: 1 - this one */
} source;

typedef struct {
    int64_t steps;
    double number[TIDE_OPTIM_NUMBERS];
    tide_tensor *state[TIDE_OPTIM_STATES];
    enum { IDLE, DUE, NOW } turn; /* within a step: still to be updated, being updated */
} slot_t;

struct tide_optim {
    tide_context *cx;
    tide_optim_config config;
    const tide_optim_row *row;
    int n;
    tide_tensor **param;
    slot_t *slot;
    tide_tensor **call; /* room for the lists of one step */
    int sources_of;     /* the operation whose attributes `source` tells of; -1: none yet */
    source source[MAXATTRS];
};

tide_optim *tide_optim_new(tide_context *cx, tide_tensor *const *params, int n,
                           const tide_optim_config *config) {
    if (tide_pending(cx) || tide_tape_open(cx)) return NULL;
    if (!config || (unsigned)config->kind >= TIDE_NOPTIM)
        return tide_fail(cx, TIDE_EARG, "optim: no such kind"), NULL;
    if (tide_optim_check(cx, config)) return NULL;
    const tide_optim_row *row = &tide_optim_rows[config->kind];
    if (config->lr < 0) /* here only, as in PyTorch: schedules may pass below 0 later */
        return tide_fail(cx, TIDE_EARG, "%s: lr must lie in [0, inf), not %g", row->name, config->lr), NULL;
    if (n < 1) return tide_fail(cx, TIDE_EARG, "%s: no parameters", row->name), NULL;
    for (int i = 0; i < n; i++) {
        if (!params[i] || params[i]->node || !tide_dtype_is_float((tide_dtype)params[i]->meta.dtype))
            return tide_fail(cx, TIDE_EARG, "%s: parameter %d is not a floating leaf", row->name, i + 1), NULL;
        for (int k = 0; k < i; k++)
            if (params[k] == params[i])
                return tide_fail(cx, TIDE_EARG, "%s: parameters %d and %d are the same tensor", row->name,
                                 k + 1, i + 1),
                       NULL;
    }
    tide_optim *o = tide_alloc0(cx, sizeof *o);
    if (!o) return NULL;
    o->cx = cx;
    o->config = *config;
    o->row = row;
    o->sources_of = -1;
    o->param = tide_alloc0(cx, (size_t)n * sizeof *o->param);
    o->slot = tide_alloc0(cx, (size_t)n * sizeof *o->slot);
    o->call = tide_alloc0(cx, (size_t)n * MAXLISTS * sizeof *o->call);
    o->n = n;
    if (!o->param || !o->slot || !o->call) return tide_optim_free(o), NULL;
    for (int i = 0; i < n; i++) o->param[i] = tide_keep(params[i]);
    return o;
}

void tide_optim_free(tide_optim *o) {
    if (!o) return;
    size_t n = (size_t)o->n;
    for (size_t i = 0; i < n; i++) {
        if (o->param) tide_free(o->param[i]);
        for (int k = 0; k < TIDE_OPTIM_STATES && o->slot; k++) tide_free(o->slot[i].state[k]);
    }
    tide_release(o->cx, o->param, n * sizeof *o->param);
    tide_release(o->cx, o->slot, n * sizeof *o->slot);
    tide_release(o->cx, o->call, n * MAXLISTS * sizeof *o->call);
    tide_release(o->cx, o, sizeof *o);
}

tide_optim_config *tide_optim_settings(tide_optim *o) { return o ? &o->config : NULL; }
tide_status tide_optim_zero_grad(tide_optim *o) { return o ? tide_zero_grad(o->param, o->n) : TIDE_EARG; }

/* ---- state ---- */

static slot_t *slot_of(tide_optim *o, int i) { return o && i >= 0 && i < o->n ? &o->slot[i] : NULL; }

int64_t tide_optim_count(tide_optim *o, int i) { return slot_of(o, i) ? o->slot[i].steps : 0; }

static int state_index(const tide_optim *o, const char *name) {
    for (int k = 0; o && name && k < TIDE_OPTIM_STATES && o->row->state[k].name; k++)
        if (!strcmp(o->row->state[k].name, name)) return k;
    return -1;
}

tide_tensor *tide_optim_state(tide_optim *o, int i, const char *name) {
    int k = state_index(o, name);
    return k >= 0 && slot_of(o, i) ? o->slot[i].state[k] : NULL;
}

double *tide_optim_number(tide_optim *o, int i, const char *name) {
    for (int k = 0; name && slot_of(o, i) && k < TIDE_OPTIM_NUMBERS && o->row->number[k]; k++)
        if (!strcmp(o->row->number[k], name)) return &o->slot[i].number[k];
    return NULL;
}

static tide_status make_state(tide_optim *o, int i, int k) {
    if (o->slot[i].state[k]) return TIDE_OK;
    const tide_meta *m = &o->param[i]->meta;
    uint16_t initial = o->row->state[k].initial;
    tide_full_attr f = {
        {m->ndim, {0}}, {{.f = initial ? tide_optim_get(&o->config, initial) : 0}, TIDE_FLOAT, 0}, m->dtype};
    memcpy(f.size.v, m->shape, sizeof f.size.v);
    o->slot[i].state[k] = tide_call1(o->cx, TIDE_OP_FULL, NULL, 0, &f);
    return o->slot[i].state[k] ? TIDE_OK : tide_pending(o->cx);
}

tide_status tide_optim_restore(tide_optim *o, int i, int64_t count, const char *name, tide_tensor *value) {
    if (!o) return TIDE_EARG;
    tide_context *cx = o->cx;
    const char *who = o->row->name;
    if (!slot_of(o, i)) return tide_fail(cx, TIDE_EARG, "%s: there is no parameter %d", who, i + 1);
    if (count < 0) return tide_fail(cx, TIDE_EARG, "%s: a count of steps cannot be negative", who);
    o->slot[i].steps = count;
    if (!name) return TIDE_OK;
    int k = state_index(o, name);
    if (k < 0 || !value) return tide_fail(cx, TIDE_EARG, "%s: no state '%s'", who, name);
    if (!tide_same_shape(&value->meta, &o->param[i]->meta))
        return tide_fail(cx, TIDE_EARG, "%s: state '%s' of parameter %d has another shape than it", who, name,
                         i + 1);
    tide_status e = make_state(o, i, k);
    tide_tensor *out = NULL;
    tide_call c = {.op = TIDE_OP_COPY,
                   .flags = TIDE_INPLACE,
                   .nin = 2,
                   .nout = 1,
                   .in = (tide_tensor *[]){o->slot[i].state[k], value},
                   .out = &out};
    return e ? e : tide_apply(cx, &c);
}

/* ---- steps ---- */

/* Where attribute `a` of the operation comes from, as update.lua's first lines tell. */
static source source_of(const tide_arg *a) {
    if (a->input >= 0) return (source){DERIVED, 0};
    if (!strcmp(a->name, "first")) return (source){FIRST, 0};
    if (!strcmp(a->name, "shrink")) return (source){SHRINK, 0};
    bool rest = !strncmp(a->name, "rest_", 5);
    const char *name = a->name + (rest ? 5 : !strncmp(a->name, "has_", 4) ? 4 : 0);
    for (const tide_optim_field *f = tide_optim_fields; f->name; f++)
        if (!strcmp(f->name, name)) return (source){rest ? REST : OPTION, f->offset};
    return (source){DERIVED, 0};
}

/* The attributes but for those that are the row's to derive. */
static void fill(tide_optim *o, int opcode, int64_t steps, char *attr) {
    const tide_op *op = &tide_op_table[opcode];
    const tide_optim_config *c = &o->config;
    if (o->sources_of != opcode)
        for (int a = 0; a < op->narg; a++) o->source[a] = source_of(&op->arg[a]);
    o->sources_of = opcode;
    for (int a = 0; a < op->narg; a++) {
        double v = 0;
        switch (o->source[a].from) {
        case DERIVED: continue;
        case OPTION: v = tide_optim_get(c, o->source[a].field); break;
        case REST: v = 1 - tide_optim_get(c, o->source[a].field); break;
        case SHRINK: v = 1 - c->lr * c->weight_decay; break;
        case FIRST: v = steps == 0;
        }
        char *at = attr + op->arg[a].offset;
        if (op->arg[a].type == TIDE_ARG_FLOAT)
            *(double *)(void *)at = v;
        else
            *(int64_t *)(void *)at = v != 0;
    }
}

/* Those parameters that are due and whose count and numbers are those of `like`: usually all of them. */
static tide_status update(tide_optim *o, const slot_t *like) {
    const tide_optim_row *row = o->row;
    int kept[TIDE_OPTIM_STATES], nkept = 0, op = row->op, count = 0, at = 0;
    for (int k = 0, bit = 1; k < TIDE_OPTIM_STATES && row->state[k].name; k++) {
        uint16_t when = row->state[k].when;
        bool here = !when || tide_optim_get(&o->config, when) != 0;
        if (here) kept[nkept++] = k;
        if (when && here) op += bit;
        if (when) bit *= 2;
    }
    const slot_t was = *like;
    slot_t next = was;
    for (int i = 0; i < o->n; i++) {
        slot_t *s = &o->slot[i];
        if (s->turn != DUE || s->steps != was.steps || memcmp(s->number, was.number, sizeof s->number))
            continue;
        s->turn = NOW;
        for (int k = 0; k < nkept; k++) {
            tide_status e = make_state(o, i, kept[k]);
            if (e) return e;
        }
        count++;
    }
    for (int i = 0; i < o->n; i++) {
        if (o->slot[i].turn != NOW) continue;
        o->call[at] = o->param[i];
        o->call[count + at] = o->param[i]->grad;
        for (int k = 0; k < nkept; k++) o->call[(2 + k) * count + at] = o->slot[i].state[kept[k]];
        at++;
    }
    union {
        double number;
        char byte[TIDE_OPTIM_ATTR];
    } attr = {.byte = {0}};
    fill(o, op, was.steps, attr.byte);
    if (row->derive) row->derive(&o->config, (double)(was.steps + 1), next.number, attr.byte);
    tide_status e = tide_lists_apply(o->cx, op, o->call, 2 + nkept, count, attr.byte);
    for (int i = 0; i < o->n && !e; i++) {
        slot_t *s = &o->slot[i];
        if (s->turn != NOW) continue;
        s->turn = IDLE;
        s->steps++;
        memcpy(s->number, next.number, sizeof s->number);
    }
    return e;
}

tide_status tide_optim_step(tide_optim *o) {
    if (!o) return TIDE_EARG;
    tide_status e = tide_optim_check(o->cx, &o->config);
    for (int i = 0; i < o->n; i++)
        o->slot[i].turn = o->param[i]->grad && !o->param[i]->grad_absent ? DUE : IDLE;
    for (int i = 0; i < o->n && !e; i++)
        if (o->slot[i].turn == DUE) e = update(o, &o->slot[i]);
    return e;
}
