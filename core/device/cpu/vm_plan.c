/* Translating a piece: which instructions each pass runs, in which registers, by which kernels.
 *
 * The effects of a piece are run over K x R, or, those that do not vary along K, over R alone: two units. A
 * unit without reductions, whose effects vary along the same axes, is flat: all its values are treated alike.
 * Otherwise values have levels: one more than the reductions that they depend on in a row. Pass s over the
 * elements computes what the reductions of level s + 1 take, and the last pass also all effects. */
#include "base/context.h"
#include "device/cpu/vm_plan.h"

enum { FLAT, KEEP, AGAIN };
#define NONE 0xFFFF

/* One unit of a piece while it is translated. All arrays are by instruction. */
typedef struct {
    tide_context *cx;
    const tide_prog *p;
    const tide_vm *vm;
    uint16_t *same; /* the value that this one is: HOLD and the like are their operands */
    uint16_t *at;   /* its place in plan->value */
    uint8_t *space, *level;
    uint8_t *used, *in, *done;
    int nlevel, last; /* the pass that runs the effects */
    uint8_t unit;     /* the space that the unit runs over */
    bool reduces, mixed, indexed;
    int nused, nred;
} build;

static bool is_effect(const tide_insn *i) { return tide_insn_kind[i->op] == 'E'; }
static bool is_reduction(const tide_insn *i) { return tide_insn_kind[i->op] == 'R'; }
static bool is_index(const tide_insn *i) { return i->op == TIDE_P_INDEX_K || i->op == TIDE_P_INDEX_R; }
static int is_slot_float(const tide_prog *p, int slot) {
    return p->slot[slot].is_float ? TIDE_RF64 : TIDE_RI64;
}

/* What an effect varies along. */
static int effect_space(const build *b, const tide_insn *i) {
    return i->op == TIDE_P_STORE ? b->p->arg[i->b].space : b->space[b->same[i->a]];
}
static bool runs_here(const build *b, const tide_insn *i) {
    return (effect_space(b, i) & TIDE_AXIS_K) == (b->unit & TIDE_AXIS_K);
}

static int operands(const build *b, const tide_insn *i, uint16_t v[3]) {
    int n = tide_insn_nargs[i->op];
    if (n > 0) v[0] = b->same[i->a];
    if (n > 1) v[1] = b->same[i->b];
    if (n > 2) v[2] = b->same[i->c];
    return n;
}

/* Spaces and levels of all values. A value may depend on a reduction whose operand does not vary along K: in
 * the machine it is a kept value all the same. */
static tide_status examine(build *b) {
    const tide_prog *p = b->p;
    for (int64_t v = 0; v < p->n; v++) {
        const tide_insn *i = &p->insn[v];
        uint16_t u[3];
        int space = i->space, level = 0, n = operands(b, i, u);
        b->same[v] = (uint16_t)v;
        if (i->op == TIDE_P_HOLD || (i->op == TIDE_P_CVT && p->insn[u[0]].type == i->type)) b->same[v] = u[0];
        if (i->op == TIDE_P_INDEX_K) space = TIDE_KEPT;
        if (i->op == TIDE_P_INDEX_R) space = TIDE_REDUCED;
        if (i->op == TIDE_P_SIZE_K || i->op == TIDE_P_SIZE_R) space = TIDE_ONE;
        if (n) space = 0;
        for (int k = 0; k < n; k++) {
            space |= b->space[u[k]];
            if (b->level[u[k]] > level) level = b->level[u[k]];
        }
        if (is_reduction(i)) {
            if (i->aux != TIDE_AXIS_R)
                return tide_fail(b->cx, TIDE_EARG, "program: a reduction over K is not cut off");
            space = TIDE_KEPT;
            level++;
        }
        b->space[v] = (uint8_t)space;
        b->level[v] = (uint8_t)level;
    }
    return TIDE_OK;
}

/* Marks what the unit's effects need. Returns whether it has any. */
static bool select_unit(build *b, int space) {
    const tide_prog *p = b->p;
    int both = TIDE_POINT, any = 0;
    bool found = false;
    memset(b->used, 0, (size_t)p->n);
    b->unit = (uint8_t)space;
    b->reduces = b->indexed = false;
    b->nlevel = b->last = b->nused = b->nred = 0;
    for (int64_t v = p->n - 1; v >= 0; v--) {
        const tide_insn *i = &p->insn[v];
        uint16_t u[3];
        if (is_effect(i)) {
            if (!runs_here(b, i)) continue;
            int s = effect_space(b, i);
            both &= s;
            any |= s;
            found = true;
            if (b->level[v] > b->nlevel) b->nlevel = b->level[v];
            if (s & TIDE_AXIS_R && b->level[v] > b->last) b->last = b->level[v];
        } else if (!b->used[v]) {
            continue;
        }
        b->nused++;
        b->indexed |= is_index(i);
        if (is_reduction(i)) {
            b->reduces = true;
            b->nred++;
        }
        for (int k = 0, n = operands(b, i, u); k < n; k++) b->used[u[k]] = 1;
    }
    b->mixed = both != any;
    if (b->nlevel > 0 && b->last < b->nlevel - 1) b->last = b->nlevel - 1;
    b->nlevel++;
    if (!b->mixed) b->unit = (uint8_t)any;
    return found;
}

/* ---- one plan ---- */

typedef struct {
    build *b;
    tide_vm_plan *plan;
    int variant, nstep;
    uint16_t *last_use;           /* by value: of the section at hand */
    uint16_t *free_slot;          /* lists of free registers, by kind */
    int nslot[2][9], nfree[2][9]; /* by REDUCED/POINT and size: registers in all, free ones */
} plan_build;

static int space_here(const plan_build *pb, int64_t v) {
    int s = pb->b->space[v];
    if (pb->variant == FLAT) return s ? TIDE_POINT : TIDE_ONE;
    /* Without K, what varies along R is a block of one row. */
    return !(pb->b->unit & TIDE_AXIS_K) && s & TIDE_AXIS_R ? TIDE_POINT : s;
}

static uint16_t new_value(plan_build *pb, int place, int space, int type, uint32_t off) {
    tide_vm_plan *plan = pb->plan;
    plan->value[plan->nvalue] = (tide_vm_value){.place = (uint8_t)place,
                                                .space = (uint8_t)space,
                                                .size = tide_reg_size[type],
                                                .load = -1,
                                                .out = -1,
                                                .off = off};
    return (uint16_t)plan->nvalue++;
}

/* Values that no instruction makes: one of each. */
static uint16_t given(plan_build *pb, int place, int space, uint32_t which) {
    tide_vm_plan *plan = pb->plan;
    for (int v = 0; v < plan->nvalue; v++)
        if (plan->value[v].place == place && plan->value[v].off == which) return (uint16_t)v;
    return new_value(pb, place, space, TIDE_RI64, which);
}

static uint16_t value_of(plan_build *pb, uint16_t v) {
    build *b = pb->b;
    if (b->at[v] != NONE) return b->at[v];
    const tide_insn *i = &b->p->insn[v];
    int space = space_here(pb, v);
    switch (i->op) {
    case TIDE_P_CONST: b->at[v] = new_value(pb, VM_CONST, TIDE_ONE, i->type, i->a); break;
    case TIDE_P_SIZE_K: b->at[v] = given(pb, VM_SIZE, TIDE_ONE, 0); break;
    case TIDE_P_SIZE_R: b->at[v] = given(pb, VM_SIZE, TIDE_ONE, 1); break;
    default:
        b->at[v] = new_value(pb, VM_REG, space, i->type, 0);
        if (i->op == TIDE_P_LOAD && space) pb->plan->value[b->at[v]].load = (int8_t)i->a;
    }
    return b->at[v];
}

static void add_step(plan_build *pb, tide_vm_step step) { pb->plan->step[pb->nstep++] = step; }

/* The step of one value. */
static tide_status emit(plan_build *pb, uint16_t v) {
    build *b = pb->b;
    const tide_insn *i = &b->p->insn[v];
    const tide_vm_kernels *k = b->vm->kernels;
    uint16_t u[3];
    int n = operands(b, i, u);
    tide_vm_step s = {.kind = VM_KERNEL, .space = (uint8_t)space_here(pb, v)};
    s.ref[0] = value_of(pb, v);
    for (int j = 0; j < n; j++) s.ref[j + 1] = value_of(pb, u[j]);
    int from = n ? b->p->insn[u[0]].type : i->type;
    switch (i->op) {
    case TIDE_P_CONST:
    case TIDE_P_SIZE_K:
    case TIDE_P_SIZE_R: return TIDE_OK;
    case TIDE_P_LOAD:
        s.kind = VM_LOAD;
        s.arg = (uint8_t)i->a;
        s.fn = k->load[b->p->arg[i->a].dtype];
        break;
    case TIDE_P_SLOT:
        s.ref[1] = given(pb, VM_SLOT, TIDE_ONE, i->a);
        s.fn = k->cvt[is_slot_float(b->p, i->a)][i->type];
        break;
    case TIDE_P_INDEX_K:
    case TIDE_P_INDEX_R:
        s.ref[1] = given(pb, VM_ORIGIN, s.space, i->op == TIDE_P_INDEX_R);
        s.fn = k->index;
        break;
    case TIDE_P_RANDOM:
        s.ref[2] = given(pb, VM_SLOT, TIDE_ONE, i->b);
        s.ref[3] = given(pb, VM_SLOT, TIDE_ONE, i->c);
        s.fn = k->op[i->op][from];
        break;
    case TIDE_P_CVT: s.fn = k->cvt[from][i->type]; break;
    case TIDE_P_ROUND_TO: s.fn = k->round_to[i->aux]; break;
    case TIDE_P_SELECT: s.fn = k->op[i->op][i->type]; break;
    default: s.fn = k->op[i->op][from];
    }
    if (!s.fn) return tide_fail(b->cx, TIDE_EARG, "program: %s does not take this type", tide_insn_name[i->op]);
    add_step(pb, s);
    return TIDE_OK;
}

static tide_status emit_reduction(plan_build *pb, uint16_t v) {
    build *b = pb->b;
    tide_vm_plan *plan = pb->plan;
    const tide_insn *i = &b->p->insn[v];
    static const uint64_t neutral[4][4] = {
        {0, 0, 0, 0},
        {0x3F800000, 0x3FF0000000000000, 1, 1},
        {0xFF800000, 0xFFF0000000000000, 0x80000000, (uint64_t)INT64_MIN},
        {0x7F800000, 0x7FF0000000000000, 0x7FFFFFFF, INT64_MAX},
    };
    if (i->type == TIDE_RMASK) return tide_fail(b->cx, TIDE_EARG, "program: masks have no reductions");
    uint16_t from = value_of(pb, b->same[i->a]);
    if (plan->value[from].space != TIDE_POINT) { /* one element stands for many: they count all the same */
        uint16_t spread = new_value(pb, VM_REG, TIDE_POINT, i->type, 0);
        tide_vm_fn copy = b->vm->kernels->cvt[i->type][i->type];
        add_step(pb, (tide_vm_step){.fn = copy, .ref = {spread, from}, .kind = VM_KERNEL, .space = TIDE_POINT});
        from = spread;
    }
    plan->value[from].dense = 1;
    int op = i->op - TIDE_P_SUM;
    uint16_t to = value_of(pb, v);
    plan->red[plan->nred] =
        (tide_vm_red){.f = b->vm->kernels->reduction[op][i->type], .value = to, .operand = from};
    plan->red[plan->nred].size = tide_reg_size[i->type];
    plan->red[plan->nred].level = b->level[v];
    plan->red[plan->nred].neutral = neutral[op][i->type];
    add_step(pb, (tide_vm_step){
                     .kind = VM_REDUCE, .space = TIDE_POINT, .ref = {to, from}, .arg = (uint8_t)plan->nred});
    plan->nred++;
    return TIDE_OK;
}

static void emit_effect(plan_build *pb, const tide_insn *i, int space) {
    build *b = pb->b;
    uint16_t a = value_of(pb, b->same[i->a]);
    tide_vm_step s = {.ref = {0, a}, .space = (uint8_t)space};
    if (i->op == TIDE_P_CHECK) {
        s.kind = VM_KERNEL;
        s.fn = b->vm->kernels->op[TIDE_P_CHECK][TIDE_RMASK];
        s.ref[0] = given(pb, VM_FAILED, TIDE_ONE, i->b);
    } else {
        s.kind = VM_STORE;
        s.fn = b->vm->kernels->store[b->p->arg[i->b].dtype];
        s.arg = (uint8_t)i->b;
    }
    add_step(pb, s);
}

/* The elements that an effect works on, as space_here has it for values. */
static int effect_here(const plan_build *pb, const tide_insn *i) {
    int s = effect_space(pb->b, i);
    if (pb->variant == FLAT) return s ? TIDE_POINT : TIDE_ONE;
    return s & TIDE_AXIS_R ? TIDE_POINT : TIDE_KEPT;
}

static bool along_r(const plan_build *pb, int64_t v) { return (space_here(pb, v) & TIDE_AXIS_R) != 0; }

/* Marks what varies along R and a pass needs for v. */
static void need(plan_build *pb, uint16_t v) {
    build *b = pb->b;
    if (b->in[v] || !along_r(pb, v)) return;
    if (b->done[v] && pb->variant == KEEP) {
        tide_vm_value *x = &pb->plan->value[b->at[v]];
        x->place = VM_ROW;
        return;
    }
    b->in[v] = 1;
    uint16_t u[3];
    for (int k = 0, n = operands(b, &b->p->insn[v], u); k < n; k++) need(pb, u[k]);
}

static tide_status emit_pass(plan_build *pb, int pass) {
    build *b = pb->b;
    const tide_prog *p = b->p;
    tide_status s = TIDE_OK;
    memset(b->in, 0, (size_t)p->n);
    if (pb->variant == AGAIN) /* what is computed again has another register */
        for (int64_t v = 0; v < p->n; v++)
            if (along_r(pb, v)) b->at[v] = NONE;
    for (int64_t v = 0; v < p->n; v++) {
        const tide_insn *i = &p->insn[v];
        bool effect = is_effect(i) && runs_here(b, i) && pass == b->last && effect_here(pb, i) == TIDE_POINT;
        if (effect || (is_reduction(i) && b->used[v] && b->level[v] == pass + 1)) need(pb, b->same[i->a]);
    }
    for (int64_t v = 0; v < p->n && !s; v++) {
        const tide_insn *i = &p->insn[v];
        if (is_reduction(i) && b->used[v] && b->level[v] == pass + 1) {
            s = emit_reduction(pb, (uint16_t)v);
        } else if (b->in[v]) {
            s = emit(pb, (uint16_t)v);
            b->done[v] = 1;
        }
    }
    for (int64_t v = 0; v < p->n && pass == b->last; v++) {
        const tide_insn *i = &p->insn[v];
        if (is_effect(i) && runs_here(b, i) && effect_here(pb, i) == TIDE_POINT) emit_effect(pb, i, TIDE_POINT);
    }
    return s;
}

/* Values without R of one level, or the scalars. */
static tide_status emit_values(plan_build *pb, int space, int level) {
    build *b = pb->b;
    tide_status s = TIDE_OK;
    for (int64_t v = 0; v < b->p->n && !s; v++) {
        const tide_insn *i = &b->p->insn[v];
        if (b->used[v] && !is_reduction(i) && space_here(pb, v) == space && b->level[v] == level)
            s = emit(pb, (uint16_t)v);
    }
    return s;
}

/* ---- registers ---- */

static bool in_block(const tide_vm_value *x) { return x->place == VM_REG && x->space & TIDE_AXIS_R; }

/* A free list is the slots themselves, pushed on one array per kind of register. */
static uint16_t *free_list(plan_build *pb, const tide_vm_value *x) {
    int kind = (x->space == TIDE_POINT) * 3 + (x->size == 8) + 2 * (x->size == 1);
    return pb->free_slot + kind * pb->plan->nvalue;
}

/* Registers of a pass: each value has one from the step that makes it to the last that uses it. Stores come
 * last, so what is stored keeps its register till then. */
static void assign_pass(plan_build *pb, int first, int end) {
    tide_vm_plan *plan = pb->plan;
    for (int x = 0; x < 2; x++)
        for (int size = 0; size < 9; size++) pb->nfree[x][size] = 0;
    for (int kind = 0; kind < 2; kind++) { /* every register that exists is free now */
        for (int size = 1; size <= 8; size++) {
            tide_vm_value like = {.space = kind ? TIDE_POINT : TIDE_REDUCED, .size = (uint8_t)size};
            if (size != 1 && size != 4 && size != 8) continue;
            for (int j = pb->nslot[kind][size]; j-- > 0;)
                free_list(pb, &like)[pb->nfree[kind][size]++] = (uint16_t)j;
        }
    }
    for (int s = first; s < end; s++)
        for (int k = 0; k < 4; k++) pb->last_use[plan->step[s].ref[k]] = (uint16_t)s;
    for (int s = first; s < end; s++) {
        const tide_vm_step *t = &plan->step[s];
        for (int k = 1; k < 4; k++) {
            tide_vm_value *x = &plan->value[t->ref[k]];
            int kind = x->space == TIDE_POINT;
            bool again = false;
            for (int j = 1; j < k; j++) again |= t->ref[j] == t->ref[k];
            if (in_block(x) && pb->last_use[t->ref[k]] == s && !again)
                free_list(pb, x)[pb->nfree[kind][x->size]++] = (uint16_t)x->off;
        }
        tide_vm_value *d = &plan->value[t->ref[0]];
        int kind = d->space == TIDE_POINT;
        if (t->kind == VM_STORE || t->kind == VM_REDUCE || !in_block(d)) continue;
        d->off = pb->nfree[kind][d->size] ? free_list(pb, d)[--pb->nfree[kind][d->size]]
                                          : (uint32_t)pb->nslot[kind][d->size]++;
    }
}

/* Chooses the block so that its registers stay in the first cache, and gives every register its bytes. */
static void lay_out(plan_build *pb) {
    tide_vm_plan *plan = pb->plan;
    static const int sizes[3] = {8, 4, 1};
    int64_t live = 0;
    for (int kind = 0; kind < 2; kind++)
        for (int j = 0; j < 3; j++) live += pb->nslot[kind][sizes[j]] * sizes[j];
    plan->block = 4096;
    while (plan->block > 256 && plan->block * live > 48 * 1024) plan->block /= 2;
    size_t at = vm_up((size_t)plan->nvalue * (sizeof(tide_loc) + sizeof(uint16_t) + 1)), base[2][9];
    for (int kind = 0; kind < 2; kind++) {
        for (int j = 0; j < 3; j++) {
            base[kind][sizes[j]] = at;
            at += (size_t)pb->nslot[kind][sizes[j]] * vm_up((size_t)(plan->block * sizes[j]) + 1);
        }
    }
    for (int v = 0; v < plan->nvalue; v++) {
        tide_vm_value *x = &plan->value[v];
        if (x->place != VM_REG) continue;
        size_t width = vm_up((size_t)(plan->block * x->size) + 1); /* a line more: neighbours do not alias */
        if (in_block(x)) {
            x->off = (uint32_t)(base[x->space == TIDE_POINT][x->size] + x->off * width);
        } else {
            x->off = (uint32_t)at;
            at += x->space == TIDE_ONE ? 64 : width;
        }
    }
    plan->registers = at;
    for (int j = 0; j < 3; j++) {
        for (int v = 0; v < plan->nvalue; v++) {
            tide_vm_value *x = &plan->value[v];
            if (x->place != VM_ROW || x->size != sizes[j]) continue;
            x->off = (uint32_t)plan->row_bytes;
            plan->row_bytes += x->size;
        }
    }
}

/* Which values may be computed where they are stored, and which inputs stand against it. */
static void find_outputs(plan_build *pb) {
    tide_vm_plan *plan = pb->plan;
    const tide_vm *vm = pb->b->vm;
    int pass = plan->section[vm_pass(pb->b->last)], end = plan->section[vm_finish(plan) + 1];
    for (int s = pass; s < end; s++) {
        const tide_vm_step *t = &plan->step[s];
        tide_vm_value *x = &plan->value[t->ref[1]];
        if (t->kind != VM_STORE || !vm->arg[t->arg].plain || x->place != VM_REG || x->space != t->space ||
            x->space == TIDE_ONE)
            continue;
        if (x->out >= 0 || (x->space == TIDE_KEPT && x->load >= 0)) continue;
        int made =
            x->space == TIDE_KEPT ? 0 : pass; /* outputs that vary along R are written in the last pass */
        while (made < s && plan->step[made].ref[0] != t->ref[1]) made++;
        if (made == s) continue;
        x->out = (int8_t)t->arg;
        for (int r = made + 1; r < end; r++) {
            const tide_vm_step *later = &plan->step[r];
            if (later->kind == VM_LOAD) x->hazard |= 1u << later->arg;
            for (int k = 1; k < 4; k++)
                if (plan->value[later->ref[k]].load >= 0) x->hazard |= 1u << plan->value[later->ref[k]].load;
        }
    }
}

static bool is_direct(const plan_build *pb) {
    const tide_vm_plan *plan = pb->plan;
    bool direct = pb->variant == FLAT && !vm_has(plan, vm_finish(plan));
    for (int v = 0; v < plan->nvalue && direct; v++) {
        int load = plan->value[v].load;
        direct = (plan->value[v].place <= VM_SLOT || plan->value[v].place == VM_PASSING) &&
                 (load < 0 || pb->b->vm->arg[load].plain);
    }
    for (int s = 0; s < pb->nstep && direct; s++) {
        const tide_vm_step *t = &plan->step[s];
        const tide_vm_value *stored = &plan->value[t->ref[1]];
        if (t->kind == VM_STORE) direct = stored->out == t->arg && stored->load < 0;
        if (t->kind == VM_LOAD) direct = plan->value[t->ref[0]].load >= 0;
    }
    return direct;
}

/* Steps that compute, of one section. */
static int work_of(const tide_vm_plan *plan, int section) {
    int n = 0;
    for (int s = plan->section[section]; s < plan->section[section + 1]; s++)
        n += plan->step[s].kind != VM_LOAD && plan->step[s].kind != VM_STORE;
    return n;
}

static tide_status fill_plan(plan_build *pb) {
    build *b = pb->b;
    tide_vm_plan *plan = pb->plan;
    tide_status s = TIDE_OK;
    memset(b->at, 0xFF, (size_t)b->p->n * sizeof *b->at);
    memset(b->done, 0, (size_t)b->p->n);
    new_value(pb, VM_CONST, TIDE_ONE, TIDE_RI64, 0); /* value 0 stands for operands that are not there */
    plan->nlevel = b->nlevel;
    int at = 0;
    s = emit_values(pb, TIDE_ONE, 0);
    plan->section[++at] = (uint16_t)pb->nstep;
    for (int level = 0; level < b->nlevel && !s; level++) {
        s = emit_values(pb, TIDE_KEPT, level);
        plan->section[++at] = (uint16_t)pb->nstep;
        if (!s) s = emit_pass(pb, level);
        plan->section[++at] = (uint16_t)pb->nstep;
    }
    for (int64_t v = 0; v < b->p->n && !s; v++) {
        const tide_insn *i = &b->p->insn[v];
        if (is_effect(i) && runs_here(b, i) && effect_here(pb, i) != TIDE_POINT)
            emit_effect(pb, i, effect_here(pb, i));
    }
    plan->section[++at] = (uint16_t)pb->nstep;
    if (s) return s;
    tide_vm_find_passing(b->vm, plan, pb->last_use);
    for (int level = 0; level < b->nlevel; level++)
        assign_pass(pb, plan->section[vm_pass(level)], plan->section[vm_pass(level) + 1]);
    lay_out(pb);
    find_outputs(pb);
    plan->cost = 1 + pb->nstep;
    plan->direct = is_direct(pb);
    for (int level = 0; level < b->nlevel; level++) {
        int work = work_of(plan, vm_pass(level));
        if (work <= plan->longest_work) continue;
        plan->longest = level;
        plan->longest_work = work;
    }
    tide_vm_fuse(b->vm, plan);
    plan->one_chain = work_of(plan, vm_pass(plan->longest)) == 1;
    return TIDE_OK;
}

static tide_vm_plan *make_plan(build *b, int variant) {
    /* Bounds: every value and step once a pass, a spread copy a reduction; slots, sizes, origins. */
    size_t nstep = (size_t)(b->nlevel + 1) * (size_t)(b->nused + b->nred) + 1,
           nvalue = nstep + TIDE_MAXSLOTS + 8;
    size_t nsection = (size_t)(2 * b->nlevel + 3), red = (size_t)b->nred * sizeof(tide_vm_red),
           link = 3 * nstep * sizeof(tide_vm_link);
    size_t bytes = sizeof(tide_vm_plan) + nvalue * sizeof(tide_vm_value) + nstep * sizeof(tide_vm_step) + red +
                   link + nsection * 2;
    if (nvalue >= NONE || nstep >= NONE || b->nred > 255) {
        tide_fail(b->cx, TIDE_EUNSUP, "program: too long for the vector machine");
        return NULL;
    }
    tide_vm_plan *plan = tide_alloc0(b->cx, bytes);
    uint16_t *work = plan ? tide_alloc0(b->cx, nvalue * 7 * sizeof *work) : NULL;
    plan_build pb = {.b = b, .plan = plan, .variant = variant, .last_use = work};
    if (work) {
        plan->bytes = bytes;
        plan->red = (tide_vm_red *)(plan + 1);
        plan->step = (tide_vm_step *)((char *)plan->red + red);
        plan->value = (tide_vm_value *)(plan->step + nstep);
        plan->link = (tide_vm_link *)(plan->value + nvalue);
        plan->section = (uint16_t *)((char *)plan->link + link);
        pb.free_slot = work + nvalue;
    }
    if (!work || fill_plan(&pb)) {
        tide_release(b->cx, plan, bytes);
        plan = NULL;
    }
    tide_release(b->cx, work, nvalue * 7 * sizeof *work);
    return plan;
}

/* ---- the whole machine ---- */

static tide_status make_unit(build *b, tide_vm *vm) {
    tide_vm_unit *u = &vm->unit[vm->nunit++];
    u->space = b->unit;
    u->indexed = b->indexed;
    if (!b->reduces && !b->mixed && !(u->flat = make_plan(b, FLAT))) return TIDE_EMEM;
    if (u->flat && !b->indexed) return TIDE_OK;
    if (!(u->keep = make_plan(b, KEEP))) return TIDE_EMEM;
    return b->last == 0 || (u->again = make_plan(b, AGAIN)) ? TIDE_OK : TIDE_EMEM;
}

static const tide_vm_kernels *kernels_of(tide_isa isa) {
#if defined(__x86_64__)
    if (isa == TIDE_ISA_AVX512) return &tide_vm_kernels_avx512;
    if (isa == TIDE_ISA_AVX2) return &tide_vm_kernels_avx2;
#endif
    return &tide_vm_kernels_baseline;
}

static void describe(tide_vm *vm, const tide_prog *p) {
    static const uint8_t size[TIDE_BOOL + 1] = {
        [TIDE_F32] = 4, [TIDE_F64] = 8, [TIDE_F16] = 2, [TIDE_BF16] = 2, [TIDE_I64] = 8,
        [TIDE_I32] = 4, [TIDE_I8] = 1,  [TIDE_U8] = 1,  [TIDE_BOOL] = 1};
    vm->narg = p->narg;
    vm->nin = p->nin;
    for (int a = 0; a < p->narg; a++) {
        vm->arg[a].dtype = p->arg[a].dtype;
        vm->arg[a].space = p->arg[a].space;
        vm->arg[a].size = size[p->arg[a].dtype];
        vm->arg[a].plain = size[p->arg[a].dtype] == tide_reg_size[tide_reg_of((tide_dtype)p->arg[a].dtype)];
        if (p->arg[a].dtype == TIDE_BOOL && a < p->nin) vm->arg[a].plain = false; /* any byte but 0 is true */
    }
    memcpy(vm->check, p->check, sizeof vm->check);
}

tide_vm *tide_vm_build(tide_context *cx, const tide_prog *piece) {
    size_t n = (size_t)piece->n, bytes = n * 9;
    tide_vm *vm = tide_alloc0(cx, sizeof *vm);
    uint16_t *work = tide_alloc0(cx, bytes);
    tide_status s = vm && work ? piece->failed : TIDE_EMEM;
    if (!s) {
        build b = {.cx = cx, .p = piece, .vm = vm, .same = work, .at = work + n};
        b.space = (uint8_t *)(work + 2 * n);
        b.level = b.space + n;
        b.used = b.level + n;
        b.in = b.used + n;
        b.done = b.in + n;
        vm->kernels = kernels_of(cx->isa);
        vm->nkonst = piece->nkonst;
        describe(vm, piece);
        vm->konst = tide_alloc(cx, (size_t)(piece->nkonst + 1) * sizeof *vm->konst);
        if (!vm->konst) s = TIDE_EMEM;
        if (!s) {
            vm->konst[piece->nkonst] = 0; /* there is always one */
            if (piece->nkonst) memcpy(vm->konst, piece->konst, (size_t)piece->nkonst * sizeof *vm->konst);
            s = examine(&b);
        }
        static const uint8_t space[2] = {TIDE_POINT, TIDE_REDUCED};
        for (int u = 0; u < 2 && !s; u++)
            if (select_unit(&b, space[u])) s = make_unit(&b, vm);
        if (vm->nunit == 1) vm->ahead = tide_ahead_of(cx->isa, piece);
    }
    tide_release(cx, work, bytes);
    if (!s) return vm;
    tide_vm_free(cx, vm);
    return NULL;
}

static void free_plan(tide_context *cx, tide_vm_plan *plan) {
    if (plan) tide_release(cx, plan, plan->bytes);
}

void tide_vm_free(tide_context *cx, tide_vm *vm) {
    if (!vm) return;
    for (int u = 0; u < vm->nunit; u++) {
        free_plan(cx, vm->unit[u].flat);
        free_plan(cx, vm->unit[u].keep);
        free_plan(cx, vm->unit[u].again);
    }
    if (vm->konst) tide_release(cx, vm->konst, (size_t)(vm->nkonst + 1) * sizeof *vm->konst);
    tide_release(cx, vm, sizeof *vm);
}
