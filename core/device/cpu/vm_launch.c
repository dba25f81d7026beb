/* Launches: what shapes and strides decide is worked out once, a run fills in addresses and numbers. */
#include "base/context.h"
#include "device/cpu/vm_plan.h"

/* A place of a small launch that is known when it runs: where in the frame, which slot, or which argument. */
typedef struct {
    uint16_t value;
    int16_t arg; /* IN_FRAME, IN_SLOTS */
    uint32_t offset;
} direct_place;
enum { IN_FRAME = -2, IN_SLOTS = -1 };

/* One unit of the machine's program over all items. */
typedef struct {
    tide_vm_shape *shape; /* niter */
    int *first;           /* of a list: the first tile of each item */
    int64_t tiles;        /* of items that do not go in stages, all as one list */
    double work;
    size_t bytes;
    bool large;         /* outputs may go past the caches: decided when addresses are known */
    tide_loc *loc;      /* one block with everything in place: its values; NULL: it is not so */
    direct_place *open; /* of those whose place is not known yet */
    int nopen;
    bool hazards; /* only where outputs are no inputs */
} unit_launch;

struct tide_vm_launch {
    const tide_vm *vm;
    int niter;
    size_t size; /* of this block */
    unit_launch unit[2];
};

/* ---- binding ---- */

static double work_of(const tide_vm_shape *s) { return (double)s->K * (double)s->R * s->plan->cost; }

static void shapes(tide_context *cx, const tide_vm *vm, const tide_vm_unit *unit, const tide_iter *iter,
                   int niter, unit_launch *l) {
    l->tiles = 0;
    l->work = 0;
    l->bytes = 0;
    l->large = false;
    for (int i = 0; i < niter; i++) {
        tide_vm_shape *s = &l->shape[i];
        tide_vm_shape_of(vm, unit, &iter[i], tide_small_tiles(cx), s);
        l->large |= tide_vm_may_stream(&iter[i], tide_small_tiles(cx));
        l->first[i] = (int)l->tiles;
        if (s->staged) continue;
        l->tiles += s->nk * s->nr;
        l->work += work_of(s);
        if (s->bytes > l->bytes) l->bytes = s->bytes;
    }
}

/* Bytes from element to element of an argument in a space of one dim, 0 where it does not vary. */
static int64_t stride_of(const tide_vm *vm, const tide_vm_unit *unit, const tide_iter *it, int arg) {
    if (!(vm->arg[arg].space & unit->space & (it->nr ? TIDE_AXIS_R : TIDE_AXIS_K))) return 0;
    return it->nr ? it->arg[arg].sr[0] : it->nk ? it->arg[arg].sk[0] : 0;
}

static bool goes_direct(const tide_vm *vm, const tide_vm_unit *unit, const tide_iter *it) {
    const tide_vm_plan *p = unit->flat;
    if (!p || !p->direct || it->nk + it->nr > 1 || it->K * it->R > p->block || it->K * it->R == 0) return false;
    for (int a = 0; a < vm->narg && it->nk + it->nr; a++) {
        int64_t stride = stride_of(vm, unit, it, a);
        if (stride != vm->arg[a].size && (stride || a >= vm->nin)) return false;
    }
    return true;
}

static void find_places(const tide_vm *vm, const tide_vm_unit *unit, const tide_iter *it, unit_launch *l) {
    const tide_vm_plan *p = unit->flat;
    for (int i = 0; i < p->nvalue; i++) {
        const tide_vm_value *v = &p->value[i];
        const int a = v->load >= 0 ? v->load : v->out;
        direct_place at = {(uint16_t)i, (int16_t)a, 0};
        if (v->place == VM_SLOT)
            at.arg = IN_SLOTS, at.offset = 8 * v->off;
        else if (a < 0)
            at.arg = IN_FRAME, at.offset = v->off;
        l->loc[i].si = v->load >= 0 ? stride_of(vm, unit, it, v->load) : v->space ? v->size : 0;
        if (v->place == VM_CONST)
            l->loc[i].p = (char *)&vm->konst[v->off];
        else
            l->open[l->nopen++] = at;
        l->hazards |= v->hazard != 0;
    }
}

tide_vm_launch *tide_vm_bind(tide_context *cx, const tide_vm *vm, int niter, const tide_iter *iter) {
    bool direct[2];
    size_t size = sizeof(tide_vm_launch);
    for (int u = 0; u < vm->nunit; u++) {
        direct[u] = niter == 1 && !vm->ahead && !tide_small_tiles(cx) && goes_direct(vm, &vm->unit[u], iter);
        size += (size_t)niter * (sizeof(tide_vm_shape) + sizeof(int)) + 8;
        if (direct[u]) size += (size_t)vm->unit[u].flat->nvalue * (sizeof(tide_loc) + sizeof(direct_place));
    }
    tide_vm_launch *launch = tide_alloc0(cx, size);
    if (!launch) return NULL;
    launch->vm = vm;
    launch->niter = niter;
    launch->size = size;
    char *at = (char *)(launch + 1);
    for (int u = 0; u < vm->nunit; u++) {
        unit_launch *l = &launch->unit[u];
        l->shape = (tide_vm_shape *)at, at += (size_t)niter * sizeof *l->shape;
        l->first = (int *)at, at += ((size_t)niter * sizeof *l->first + 7) / 8 * 8;
        shapes(cx, vm, &vm->unit[u], iter, niter, l);
        if (!direct[u]) continue;
        l->loc = (tide_loc *)at, at += (size_t)vm->unit[u].flat->nvalue * sizeof *l->loc;
        l->open = (direct_place *)at, at += (size_t)vm->unit[u].flat->nvalue * sizeof *l->open;
        find_places(vm, &vm->unit[u], iter, l);
    }
    return launch;
}

void tide_vm_unbind(tide_context *cx, tide_vm_launch *launch) {
    if (launch) tide_release(cx, launch, launch->size);
}

/* ---- in stages ---- */

/* One item, chunk by chunk: all chunks of a level, then what they gave, then the next level. */
static tide_status run_staged(tide_context *cx, tide_vm_work *work) {
    const tide_vm_shape *s = work->shape;
    size_t results = (size_t)(8 * s->plan->nred * s->K), parts = results * (size_t)s->nr;
    if (!(work->results = tide_alloc(cx, results + parts))) return TIDE_EMEM;
    work->parts = work->results + results;
    tide_status e = TIDE_OK;
    for (work->level = 0; work->level < s->plan->nlevel && !e; work->level++) {
        if (!vm_has(s->plan, vm_pass(work->level))) continue;
        e = tide_run_tiles(cx, (int)(s->nk * s->nr), work_of(s), s->bytes, tide_vm_chunk_tile, work);
        if (!e && work->level < s->plan->nlevel - 1)
            e = tide_run_tiles(cx, (int)s->nk, (double)s->K * (double)s->nr, s->bytes, tide_vm_combine_tile,
                               work);
    }
    if (!e && vm_has(s->plan, vm_finish(s->plan)))
        e = tide_run_tiles(cx, (int)s->nk, (double)s->K * s->plan->cost, s->bytes, tide_vm_finish_tile, work);
    tide_release(cx, work->results, results + parts);
    return e;
}

/* ---- small launches: one block, everything in place ---- */

typedef struct {
    const tide_vm *vm;
    const tide_vm_plan *plan;
    const unit_launch *launch;
    const tide_iter *iter;
    const uint64_t *slot;
} direct_work;

static bool meets_hazard(const tide_vm *vm, const tide_vm_plan *p, const tide_iter *it) {
    for (int v = 0; v < p->nvalue; v++)
        for (int a = 0; a < vm->nin && p->value[v].hazard; a++)
            if (p->value[v].hazard >> a & 1 && it->arg[a].base == it->arg[p->value[v].out].base) return true;
    return false;
}

static void direct_tile(void *arg, int tile, void *scratch) {
    const direct_work *d = arg;
    const tide_vm_plan *p = d->plan;
    const tide_iter *it = d->iter;
    tide_loc *loc = d->launch->loc;
    for (const direct_place *at = d->launch->open, *end = at + d->launch->nopen; at < end; at++)
        loc[at->value].p = at->arg >= 0          ? it->arg[at->arg].base
                           : at->arg == IN_SLOTS ? (char *)d->slot + at->offset
                                                 : (char *)scratch + at->offset;
    const int64_t n = it->K * it->R;
    const tide_vm_step *t = p->step, *end = p->step + p->section[vm_pass(0) + 1];
    for (; t < end; t++) {
        if (t->kind == VM_KERNEL) t->fn(loc, t->ref, 1, t->space ? n : 1);
        if (t->kind == VM_CHAIN) d->vm->kernels->chain(loc, p->link + t->ref[0], t->ref[1], 1, n, NULL);
    }
    (void)tile;
}

static tide_status run_direct(tide_context *cx, const tide_vm *vm, const tide_vm_plan *plan,
                              const unit_launch *l, const tide_iter *iter, const uint64_t *slot) {
    direct_work d = {vm, plan, l, iter, slot};
    return tide_run_tiles(cx, 1, 1, plan->registers, direct_tile, &d);
}

/* ---- running ---- */

static tide_status run_unit(tide_context *cx, const tide_vm *vm, const tide_vm_unit *unit, int niter,
                            unit_launch *l, const tide_iter *iter, const uint64_t *slot, uint32_t *failed) {
    if (l->loc && !(l->hazards && meets_hazard(vm, unit->flat, iter)))
        return run_direct(cx, vm, unit->flat, l, iter, slot);
    if (l->large) shapes(cx, vm, unit, iter, niter, l);
    tide_vm_work work = {.cx = cx,
                         .vm = vm,
                         .unit = unit,
                         .iter = iter,
                         .shape = l->shape,
                         .first = niter > 1 ? l->first : NULL,
                         .niter = niter,
                         .slot = slot};
    tide_status e =
        l->tiles ? tide_run_tiles(cx, (int)l->tiles, l->work, l->bytes, tide_vm_tile, &work) : TIDE_OK;
    for (int i = 0; i < niter && !e; i++) {
        if (!l->shape[i].staged) continue;
        work.shape = &l->shape[i];
        work.iter = &iter[i];
        e = run_staged(cx, &work);
    }
    *failed |= work.failed;
    return e;
}

tide_status tide_vm_run(tide_context *cx, tide_vm_launch *launch, const tide_iter *iter, const uint64_t *slot) {
    const tide_vm *vm = launch->vm;
    tide_status e = TIDE_OK;
    uint32_t failed = 0;
    for (int u = 0; u < vm->nunit && !e; u++)
        e = run_unit(cx, vm, &vm->unit[u], launch->niter, &launch->unit[u], iter, slot, &failed);
    if (e || !failed) return e;
    return tide_fail(cx, TIDE_EARG, "%s", vm->check[__builtin_ctz(failed)]);
}
