/* Running the vector machine: tiles over the blocks of an iteration space.
 *
 * A block is no x ni elements. Its inner axis is R (ROWS), K (COLUMNS) or, where nothing is reduced, the
 * innermost dims (FLAT). Every value has a place in loc[], and a step is one call of a kernel over the block.
 * Arguments that lie as a register would are used in place; others are packed into registers, and outputs
 * copied from them. */
#include "base/context.h"
#include "device/cpu/vm_plan.h"

typedef struct {
    int n;
    const int64_t *size;
} vm_axis;

/* Of an argument along an axis. even: `step` says it all. */
typedef struct {
    const int64_t *dim;
    int64_t step;
    bool even;
} vm_strides;

/* An argument, along the outer and the inner axis. */
typedef struct {
    char *base;
    vm_strides o, i;
} vm_arg;

/* From o, i on; no x ni elements. */
typedef struct {
    int64_t o, no, i, ni;
} vm_block;

/* One tile at work. */
typedef struct {
    const tide_vm_work *work;
    const tide_vm *vm;
    const tide_vm_plan *plan;
    const tide_vm_shape *shape;
    tide_loc *loc;
    uint16_t *moving; /* values whose place depends on the block */
    uint8_t *where;   /* IN_REGISTER .. */
    int nmoving;
    char *frame;
    vm_axis o, i;
    int64_t k0, nk;  /* the kept elements at hand */
    int64_t r0;      /* where the chunk at hand begins */
    int64_t size[2]; /* what SIZE_K and SIZE_R give */
    bool along_k;    /* FLAT: elements are numbered along K */
    vm_arg arg[TIDE_MAXARGS];
    int64_t joined[TIDE_MAXARGS + 1][2 * TIDE_MAXDIM]; /* K and R as one axis: strides; the last: sizes */
} vm_tile;

enum { IN_REGISTER, IN_INPUT, IN_OUTPUT, IN_PLACE }; /* IN_PLACE: in an output that is an input as well */

/* ---- arguments ---- */

static vm_strides strides_of(const vm_axis *axis, const int64_t *dim) {
    vm_strides s = {dim, 0, true};
    int64_t next = 0; /* what the dim before must step */
    bool any = false;
    for (int d = axis->n; d-- > 0;) {
        if (axis->size[d] == 1) continue;
        if (!any)
            s.step = dim[d];
        else if (dim[d] != next)
            s.even = false;
        next = dim[d] * axis->size[d];
        any = true;
    }
    return s;
}

static int64_t offset_of(const vm_axis *axis, const vm_strides *s, int64_t at) {
    if (s->even) return at * s->step;
    int64_t off = 0;
    for (int d = axis->n; d-- > 0; at /= axis->size[d]) off += at % axis->size[d] * s->dim[d];
    return off;
}

/* How many of the `left` elements from `at` on lie evenly, `*step` apart. */
static int64_t run_of(const vm_axis *axis, const vm_strides *s, int64_t at, int64_t left, int64_t *step) {
    *step = s->step;
    if (s->even) return left;
    int64_t last = axis->size[axis->n - 1], n = last - at % last;
    *step = s->dim[axis->n - 1];
    return n < left ? n : left;
}

/* Between an argument and a register, run by run. */
static void move(tide_vm_fn fn, bool load, char *base, const vm_axis *o, const vm_strides *so, const vm_axis *i,
                 const vm_strides *si, const vm_block *b, tide_loc reg) {
    static const uint16_t ref[2] = {0, 1};
    int64_t no, ni, step_o, step_i;
    for (int64_t x = 0; x < b->no; x += no) {
        no = run_of(o, so, b->o + x, b->no - x, &step_o);
        char *row = base + offset_of(o, so, b->o + x);
        for (int64_t y = 0; y < b->ni; y += ni) {
            ni = run_of(i, si, b->i + y, b->ni - y, &step_i);
            tide_loc memory = {row + offset_of(i, si, b->i + y), step_o, step_i};
            tide_loc part = {reg.p + x * reg.so + y * reg.si, reg.so, reg.si};
            fn((tide_loc[2]){load ? part : memory, load ? memory : part}, ref, no, ni);
        }
    }
}

/* A step between memory and registers. What varies along one axis only goes as a row along that axis. */
static void move_step(vm_tile *x, const tide_vm_step *t, const vm_block *b) {
    static const vm_axis none = {0, NULL};
    static const vm_strides still = {NULL, 0, true};
    const vm_arg *a = &x->arg[t->arg];
    bool load = t->kind == VM_LOAD, rows = x->shape->mode == VM_ROWS;
    tide_loc reg = x->loc[t->ref[!load]];
    if (t->space == TIDE_POINT) {
        tide_vm_fn fn = !load && x->shape->stream >> t->arg & 1 ? x->vm->kernels->stream : t->fn;
        move(fn, load, a->base, &x->o, &a->o, &x->i, &a->i, b, reg);
    } else if (t->space == TIDE_ONE) {
        move(t->fn, load, a->base, &none, &still, &none, &still, &(vm_block){0, 1, 0, 1}, reg);
    } else if ((t->space == TIDE_KEPT) == rows) {
        move(t->fn, load, a->base, &none, &still, &x->o, &a->o, &(vm_block){0, 1, b->o, b->no},
             (tide_loc){reg.p, 0, reg.so});
    } else {
        move(t->fn, load, a->base, &none, &still, &x->i, &a->i, &(vm_block){0, 1, b->i, b->ni},
             (tide_loc){reg.p, 0, reg.si});
    }
}

/* Binds the tile to the arguments of one item. */
static void bind(vm_tile *x, const tide_iter *it) {
    static const int64_t zero[2 * TIDE_MAXDIM];
    const tide_vm_shape *s = x->shape;
    bool k = x->work->unit->space & TIDE_AXIS_K, r = s->mode != VM_FLAT || x->work->unit->space & TIDE_AXIS_R;
    int nk = k ? it->nk : 0, nr = r ? it->nr : 0;
    vm_axis ak = {nk, it->k}, ar = {nr, it->r}, all = nr ? ar : ak;
    bool join = s->mode == VM_FLAT && nk && nr;
    if (join) {
        memcpy(x->joined[TIDE_MAXARGS], it->k, (size_t)nk * sizeof(int64_t));
        memcpy(x->joined[TIDE_MAXARGS] + nk, it->r, (size_t)nr * sizeof(int64_t));
        all = (vm_axis){nk + nr, x->joined[TIDE_MAXARGS]};
    }
    switch (s->mode) {
    case VM_ROWS: x->o = ak, x->i = ar; break;
    case VM_COLUMNS: x->o = ar, x->i = ak; break;
    default: x->o = (vm_axis){s->split, all.size}; x->i = (vm_axis){all.n - s->split, all.size + s->split};
    }
    for (int a = 0; a < x->vm->narg; a++) {
        if (s->mode == VM_FLAT && all.n <= 1) { /* the common case, and the one whose time counts */
            const int64_t *dim = nr ? it->arg[a].sr : it->arg[a].sk;
            int64_t step = all.n && x->vm->arg[a].space & (nr ? TIDE_AXIS_R : TIDE_AXIS_K) ? dim[0] : 0;
            x->arg[a] = (vm_arg){it->arg[a].base, {dim, 0, true}, {dim, step, true}};
            continue;
        }
        const int64_t *dk = x->vm->arg[a].space & TIDE_AXIS_K ? it->arg[a].sk : zero;
        const int64_t *dr = x->vm->arg[a].space & TIDE_AXIS_R ? it->arg[a].sr : zero;
        const int64_t *o, *i;
        if (s->mode == VM_FLAT) {
            o = nr ? dr : dk;
            if (join) {
                memcpy(x->joined[a], dk, (size_t)nk * sizeof *dk);
                memcpy(x->joined[a] + nk, dr, (size_t)nr * sizeof *dr);
                o = x->joined[a];
            }
            i = o + s->split;
        } else {
            o = s->mode == VM_ROWS ? dk : dr;
            i = s->mode == VM_ROWS ? dr : dk;
        }
        x->arg[a] = (vm_arg){it->arg[a].base, strides_of(&x->o, o), strides_of(&x->i, i)};
    }
    x->size[0] = it->K;
    x->size[1] = it->R;
    x->along_k = it->K != 1;
}

/* ---- places ---- */

/* Does argument `arg` lie as a register of v would? Then its strides are left in *at. */
static bool lies(const vm_tile *x, const tide_vm_value *v, int arg, bool output, tide_loc *at) {
    const vm_arg *a = &x->arg[arg];
    int64_t size = v->size;
    if (v->space == TIDE_POINT) {
        at->so = a->o.step;
        at->si = a->i.step;
        bool one_row = x->shape->mode != VM_COLUMNS && x->shape->kb == 1;
        return a->i.even && (a->o.even || one_row) && (at->si == size || (at->si == 0 && !v->dense && !output));
    }
    bool outer = (v->space == TIDE_KEPT) == (x->shape->mode == VM_ROWS);
    const vm_strides *s = outer ? &a->o : &a->i;
    at->so = outer ? s->step : 0;
    at->si = outer ? 0 : s->step;
    return s->even && (s->step == size || (s->step == 0 && !output));
}

/* May v be computed where it is stored? Not while that memory is read as an input. What is packed from afar
 * goes to a register first: writing the rows of an output in turns keeps throwing lines out of the cache. */
static bool free_to_write(const vm_tile *x, const tide_vm_value *v) {
    if (v->space == TIDE_KEPT && x->shape->staged) return false; /* each chunk has its own */
    if (v->load >= 0 && !(x->arg[v->load].i.even && x->arg[v->load].i.step == x->vm->arg[v->load].size))
        return false;
    for (int a = 0; a < x->vm->nin; a++)
        if (v->hazard >> a & 1 && x->arg[a].base == x->arg[v->out].base) return false;
    return true;
}

static bool is_input(const vm_tile *x, int out) {
    for (int a = 0; a < x->vm->nin; a++)
        if (x->arg[a].base == x->arg[out].base) return true;
    return false;
}

/* Gives every value its place, for blocks of nk kept elements. */
static void place(vm_tile *x, int64_t nk) {
    const tide_vm_plan *p = x->plan;
    const tide_vm_shape *s = x->shape;
    bool rows = s->mode == VM_ROWS;
    int64_t width = s->mode == VM_COLUMNS ? nk : s->rb, row_width = rows ? s->R : nk;
    x->nk = nk;
    x->nmoving = 0;
    for (int i = 0; i < p->nvalue; i++) {
        const tide_vm_value *v = &p->value[i];
        tide_loc l = {NULL, 0, 0};
        bool moving = false;
        switch (v->place) {
        case VM_CONST: l.p = (char *)&x->vm->konst[v->off]; break;
        case VM_SLOT: l.p = (char *)&x->work->slot[v->off]; break;
        case VM_SIZE: l.p = (char *)&x->size[v->off]; break;
        case VM_FAILED:
            l.p = (char *)&x->work->failed;
            l.so = v->off;
            break;
        case VM_PASSING: break;
        case VM_ORIGIN:
            moving = true;
            if (s->mode == VM_FLAT)
                l.si = x->along_k == (v->off == 0), l.so = l.si * s->R;
            else if ((v->off == 0) == rows)
                l.so = 1;
            else
                l.si = 1;
            break;
        default:
            x->where[i] = IN_REGISTER;
            if (v->load >= 0 && x->vm->arg[v->load].plain && lies(x, v, v->load, false, &l))
                x->where[i] = IN_INPUT;
            else if (v->out >= 0 && !(s->stream >> v->out & 1) && lies(x, v, v->out, true, &l) &&
                     free_to_write(x, v))
                x->where[i] = is_input(x, v->out) ? IN_PLACE : IN_OUTPUT;
            moving = x->where[i] != IN_REGISTER || v->place == VM_ROW;
            if (x->where[i] != IN_REGISTER) break;
            l.p = x->frame + v->off;
            l.so = l.si = 0;
            if (v->space == TIDE_POINT)
                l.so = (v->place == VM_ROW ? row_width : width) * v->size, l.si = v->size;
            else if (v->space && (v->space == TIDE_KEPT) == rows)
                l.so = v->size;
            else if (v->space)
                l.si = v->size;
        }
        x->loc[i] = l;
        if (moving) x->moving[x->nmoving++] = (uint16_t)i;
    }
}

/* Moves the places that depend on the block to block b. */
static void move_places(vm_tile *x, const vm_block *b) {
    const tide_vm_shape *s = x->shape;
    bool rows = s->mode == VM_ROWS;
    int64_t r = rows ? b->i : b->o;
    for (int j = 0; j < x->nmoving; j++) {
        int i = x->moving[j];
        const tide_vm_value *v = &x->plan->value[i];
        tide_loc *l = &x->loc[i];
        if (v->place == VM_ORIGIN) {
            int64_t first = s->mode != VM_FLAT ? (v->off == 0 ? x->k0 : r) : b->o * l->so + b->i * l->si;
            l->p = (char *)(intptr_t)first;
        } else if (x->where[i] == IN_REGISTER) {
            l->p = x->frame + s->rows + (int64_t)v->off * s->R * s->kb +
                   r * (v->space == TIDE_POINT && !rows ? l->so : v->size);
        } else {
            const vm_arg *a = &x->arg[x->where[i] == IN_INPUT ? v->load : v->out];
            l->p = a->base;
            if (v->space == TIDE_POINT || (v->space == TIDE_KEPT) == rows)
                l->p += offset_of(&x->o, &a->o, b->o);
            if (v->space == TIDE_POINT || (v->space == TIDE_KEPT) != rows)
                l->p += offset_of(&x->i, &a->i, b->i);
        }
    }
}

/* ---- steps ---- */

static char *lanes_of(const vm_tile *x, int red) {
    char *at = x->frame + x->shape->lanes;
    for (int j = 0; j < red; j++) at += x->plan->red[j].size * TIDE_LANES * x->shape->kb;
    return at;
}

static bool whole(const tide_vm_shape *s) { return s->rb == s->R; }

static void reduce_step(vm_tile *x, const tide_vm_step *t, const vm_block *b) {
    const tide_vm_red *red = &x->plan->red[t->arg];
    tide_loc from = x->loc[red->operand];
    char *result = x->loc[red->value].p;
    bool rows = x->shape->mode == VM_ROWS, far = x->where[red->operand] == IN_INPUT;
    if (whole(x->shape)) {
        if (rows)
            red->f.rows(result, from.p, from.so, b->no, b->ni, far);
        else
            red->f.tree(result, lanes_of(x, t->arg), from.p, from.so, b->no, b->ni);
    } else if (rows) {
        red->f.fold(lanes_of(x, t->arg), from.p, red->size, b->i - x->r0, b->ni, 1, far);
    } else {
        red->f.fold(lanes_of(x, t->arg), from.p, from.so, b->o - x->r0, b->no, b->ni, far);
    }
}

/* Asks for the inputs of the next block and for outputs while we compute, a part at every step: each argument
 * is visited in streams too short for the processor to see them coming. Chains ask strip by strip. (4 M
 * elements: AdamW 5.4 -> 3.3 ms, layer norm 2.5 -> 1.7 ms.) */
enum {
    SOME_STEPS = 2, /* a pass of one is a stream itself */
    NEAR = 512 /* elements: as far as one chain over all of a pass needs to look (AdamW: 19.5 -> 15.5 ms) */
};

static void look_ahead(const vm_tile *x, const vm_block *b, tide_vm_ahead *a) {
    int64_t far = b->no * b->ni;
    if (x->plan->one_chain && far > NEAR) far = NEAR;
    a->n = 0;
    for (int j = 0; j < x->nmoving && a->n < 8; j++) {
        int v = x->moving[j], where = x->where[v];
        const tide_loc *l = &x->loc[v];
        bool row = b->no == 1 || l->so == b->ni * l->si;
        if ((where != IN_INPUT && where != IN_OUTPUT) || x->plan->value[v].space != TIDE_POINT || !row)
            continue;
        a->stream[a->n].p = l->p + far * l->si;
        a->stream[a->n].size = l->si;
        a->stream[a->n++].write = where == IN_OUTPUT;
    }
}

static void fetch(tide_vm_ahead *a, const vm_block *b, int64_t elements) {
    for (int k = 0; k < a->n; k++) {
        int64_t bytes = elements * a->stream[k].size;
        char *p = a->stream[k].p;
        if (a->stream[k].write) /* of this block: it is written by the end of this pass, or later */
            for (int64_t j = 0; j < bytes; j += 64)
                __builtin_prefetch(p + j - b->no * b->ni * a->stream[k].size, 1);
        else
            for (int64_t j = 0; j < bytes; j += 64) __builtin_prefetch(p + j);
        a->stream[k].p += bytes;
    }
}

static void run_section(vm_tile *x, int section, const vm_block *b) {
    const tide_vm_plan *p = x->plan;
    bool rows = x->shape->mode == VM_ROWS;
    /* by space: how much of the block a step works on */
    const int64_t no[4] = {1, rows ? b->no : 1, rows ? 1 : b->no, b->no},
                  ni[4] = {1, rows ? 1 : b->ni, rows ? b->ni : 1, b->ni};
    const tide_vm_step *t = p->step + p->section[section], *end = p->step + p->section[section + 1];
    tide_vm_ahead ahead;
    bool once = x->shape->mode == VM_FLAT || whole(x->shape); /* what is fetched is used soon */
    bool looks = once && x->shape->far && section == vm_pass(p->longest) && p->longest_work >= SOME_STEPS;
    if (looks) look_ahead(x, b, &ahead);
    for (; t < end; t++) {
        switch (t->kind) {
        case VM_KERNEL: t->fn(x->loc, t->ref, no[t->space], ni[t->space]); break;
        case VM_CHAIN:
            x->vm->kernels->chain(x->loc, p->link + t->ref[0], t->ref[1], b->no, b->ni, looks ? &ahead : NULL);
            break;
        case VM_LOAD:
            if (x->where[t->ref[0]] != IN_INPUT) move_step(x, t, b);
            break;
        case VM_STORE:
            if (x->where[t->ref[1]] < IN_OUTPUT || p->value[t->ref[1]].out != t->arg) move_step(x, t, b);
            break;
        default: reduce_step(x, t, b);
        }
        if (looks && (t->kind == VM_KERNEL || t->kind == VM_REDUCE))
            fetch(&ahead, b, b->no * b->ni / p->longest_work);
    }
}

static vm_block block_of(const vm_tile *x, int64_t r, int64_t nr) {
    return x->shape->mode == VM_ROWS ? (vm_block){x->k0, x->nk, r, nr} : (vm_block){r, nr, x->k0, x->nk};
}

/* n <= TIDE_CHUNK vectors of k elements, one after the other, into one. */
static void reduce_chunk(const tide_vm_red *red, char *d, void *lanes, const char *x, int64_t n, int64_t k) {
    if (n > TIDE_LANES) {
        red->f.fold(lanes, x, red->size * k, 0, n, k, false);
        x = lanes;
        n = TIDE_LANES;
    }
    red->f.tree(d, lanes, x, red->size * k, n, k);
}

/* The results of n chunks, which are overwritten, into one. */
static void combine(const tide_vm_red *red, char *d, void *lanes, char *x, int64_t n, int64_t k) {
    int64_t size = red->size * k;
    while (n > TIDE_CHUNK) {
        int64_t m = 0;
        for (int64_t c = 0; c < n; c += TIDE_CHUNK, m++)
            reduce_chunk(red, x + m * size, lanes, x + c * size, n - c < TIDE_CHUNK ? n - c : TIDE_CHUNK, k);
        n = m;
    }
    reduce_chunk(red, d, lanes, x, n, k);
}

static char *parts_of(const vm_tile *x, int red) {
    const tide_vm_shape *s = x->shape;
    int64_t chunks = (s->R + TIDE_CHUNK - 1) / TIDE_CHUNK;
    return s->staged ? x->work->parts + 8 * chunks * (red * s->K + x->k0)
                     : x->frame + s->parts + 8 * chunks * red * s->kb;
}

/* One pass over the blocks of one chunk; leaves what its reductions give, for this chunk. */
static void pass_chunk(vm_tile *x, int level, int64_t chunk) {
    const tide_vm_shape *s = x->shape;
    int64_t r0 = chunk * TIDE_CHUNK, end = s->R - r0 < TIDE_CHUNK ? s->R : r0 + TIDE_CHUNK;
    x->r0 = r0;
    for (int64_t r = r0; r < end; r += s->rb) {
        vm_block b = block_of(x, r, end - r < s->rb ? end - r : s->rb);
        move_places(x, &b);
        run_section(x, vm_pass(level), &b);
    }
    for (int j = 0; j < x->plan->nred && !whole(s); j++) {
        const tide_vm_red *red = &x->plan->red[j];
        if (red->level != level + 1) continue;
        char *lanes = lanes_of(x, j);
        char *d = s->R <= TIDE_CHUNK ? x->loc[red->value].p : parts_of(x, j) + chunk * x->nk * red->size;
        red->f.tree(d, lanes, lanes, red->size * x->nk, end - r0 < TIDE_LANES ? end - r0 : TIDE_LANES, x->nk);
    }
}

/* What the chunks gave, or the neutral element, into the kept values. */
static void finish_pass(vm_tile *x, int level) {
    const tide_vm_shape *s = x->shape;
    for (int j = 0; j < x->plan->nred; j++) {
        const tide_vm_red *red = &x->plan->red[j];
        if (red->level != level + 1) continue;
        char *d = x->loc[red->value].p;
        if (s->R > TIDE_CHUNK)
            combine(red, d, lanes_of(x, j), parts_of(x, j), (s->R + TIDE_CHUNK - 1) / TIDE_CHUNK, x->nk);
        for (int64_t k = 0; k < x->nk && s->R == 0; k++) memcpy(d + k * red->size, &red->neutral, red->size);
    }
}

enum { OFTEN = 16 }; /* chunks between two questions whether to stop */

static void run_pass(vm_tile *x, int level) {
    if (!vm_has(x->plan, vm_pass(level))) return;
    for (int64_t r = 0; r < x->shape->R; r += TIDE_CHUNK) {
        if (r && r / TIDE_CHUNK % OFTEN == 0 && tide_tile_cancelled(x->work->cx)) return;
        pass_chunk(x, level, r / TIDE_CHUNK);
    }
    finish_pass(x, level);
}

/* ---- tiles ---- */

/* Places and scalars. */
static void begin(vm_tile *x, int64_t nk) {
    place(x, nk);
    run_section(x, 0, &(vm_block){0, 0, 0, 0});
}

/* Goes on to the kept elements k0 .. k0 + nk. Places last as long as nk does. */
static void begin_kept(vm_tile *x, int64_t k0, int64_t nk) {
    x->k0 = k0;
    if (x->nk != nk) place(x, nk);
    vm_block b = block_of(x, 0, 0);
    if (x->shape->R == 0 || vm_has(x->plan, vm_kept(0))) move_places(x, &b);
}

/* Does a pass do one thing only, between memory and memory? Then its blocks may be as long as we like: memory
 * gives its best only to long streams. (4 M elements: add 1.07 -> 0.8 ms.) */
static bool is_stream(const vm_tile *x, int section) {
    const tide_vm_plan *p = x->plan;
    int steps = 0;
    for (int s = p->section[section]; s < p->section[section + 1]; s++) {
        const tide_vm_step *t = &p->step[s];
        int moved = t->kind == VM_LOAD ? t->ref[0] : t->ref[1];
        if (t->kind == VM_CHAIN) return false;
        if (t->kind == VM_LOAD && x->where[moved] == IN_INPUT) continue;
        if (t->kind == VM_STORE && x->where[moved] >= IN_OUTPUT && p->value[moved].out == t->arg) continue;
        for (int k = 0; k < 4; k++) {
            const tide_vm_value *v = &p->value[t->ref[k]];
            if (v->place == VM_ROW ||
                (v->place == VM_REG && v->space & TIDE_AXIS_R && x->where[t->ref[k]] == IN_REGISTER))
                return false;
        }
        steps++;
    }
    return steps == 1;
}

static void flat_tile(vm_tile *x, int64_t tile) {
    const tide_vm_shape *s = x->shape;
    int64_t o0 = tile / s->nr * s->ktile, o1 = s->K - o0 < s->ktile ? s->K : o0 + s->ktile;
    int64_t i0 = tile % s->nr * s->rtile, i1 = s->R - i0 < s->rtile ? s->R : i0 + s->rtile;
    begin(x, 1);
    bool stream = is_stream(x, vm_pass(0));
    int64_t no = stream && s->kb > 1 ? s->ktile : s->kb, ni = stream ? s->rtile : s->rb;
    for (int64_t o = o0; o < o1; o += no) {
        for (int64_t i = i0; i < i1; i += ni) {
            vm_block b = {o, o1 - o < no ? o1 - o : no, i, i1 - i < ni ? i1 - i : ni};
            move_places(x, &b);
            run_section(x, vm_pass(0), &b);
        }
    }
    run_section(x, vm_finish(x->plan), &(vm_block){0, 1, 0, 1});
}

/* All passes over some kept elements. */
static void kept_tile(vm_tile *x, int64_t tile) {
    const tide_vm_shape *s = x->shape;
    int64_t end = s->K - tile * s->ktile < s->ktile ? s->K : (tile + 1) * s->ktile;
    int64_t kb = s->kb;
    begin(x, kb);
    bool one_pass = x->plan->nlevel == 1 || (x->plan->nlevel == 2 && !vm_has(x->plan, vm_pass(1)));
    if (s->mode == VM_ROWS && whole(s) && kb > 1 && one_pass && is_stream(x, vm_pass(0))) kb = x->plan->block;
    for (int64_t k = tile * s->ktile; k < end; k += kb) {
        begin_kept(x, k, end - k < kb ? end - k : kb);
        vm_block b = block_of(x, 0, 0);
        for (int level = 0; level < x->plan->nlevel; level++) {
            run_section(x, vm_kept(level), &b);
            run_pass(x, level);
        }
        run_section(x, vm_finish(x->plan), &b);
    }
}

/* Staged: the reductions of earlier levels are known; what depends on them alone is computed again. */
static void recall(vm_tile *x, int64_t k0, int level) {
    const tide_vm_shape *s = x->shape;
    int64_t nk = s->K - k0 < s->kb ? s->K - k0 : s->kb;
    begin(x, nk);
    begin_kept(x, k0, nk);
    for (int j = 0; j < x->plan->nred; j++) {
        const tide_vm_red *red = &x->plan->red[j];
        if (red->level <= level)
            memcpy(x->loc[red->value].p, x->work->results + 8 * (j * s->K + k0), (size_t)(nk * red->size));
    }
    vm_block b = block_of(x, 0, 0);
    for (int l = 0; l <= level; l++) run_section(x, vm_kept(l), &b);
}

/* What went past the caches must be there before another thread is told that the tile is done. */
void tide_vm_end_tile(const tide_vm_shape *s) {
#if defined(__x86_64__)
    if (s->stream) __builtin_ia32_sfence();
#endif
}

static void start(vm_tile *x, const tide_vm_work *work, int item, void *scratch) {
    x->work = work;
    x->vm = work->vm;
    x->shape = &work->shape[item];
    x->plan = x->shape->plan;
    x->frame = scratch;
    x->loc = scratch;
    x->moving = (uint16_t *)(x->loc + x->plan->nvalue);
    x->where = (uint8_t *)(x->moving + x->plan->nvalue);
    bind(x, &work->iter[item]);
}

void tide_vm_tile(void *arg, int tile, void *scratch) {
    const tide_vm_work *work = arg;
    int item = 0;
    for (int end = work->niter; work->first && end - item > 1;) {
        int middle = item + (end - item) / 2;
        if (work->first[middle] <= tile)
            item = middle;
        else
            end = middle;
    }
    if (work->first) tile -= work->first[item];
    const tide_vm_shape *s = &work->shape[item];
    if (s->mode >= VM_AHEAD) {
        tide_ahead_tile(work->vm, &work->iter[item], s, work->slot, (uint32_t *)&work->failed, tile, scratch);
    } else {
        vm_tile x;
        start(&x, work, item, scratch);
        if (s->mode == VM_FLAT)
            flat_tile(&x, tile);
        else
            kept_tile(&x, tile);
    }
    tide_vm_end_tile(s);
}

void tide_vm_chunk_tile(void *arg, int tile, void *scratch) {
    const tide_vm_work *work = arg;
    vm_tile x;
    start(&x, work, 0, scratch);
    recall(&x, tile / x.shape->nr * x.shape->kb, work->level);
    pass_chunk(&x, work->level, tile % x.shape->nr);
    tide_vm_end_tile(x.shape);
}

void tide_vm_combine_tile(void *arg, int tile, void *scratch) {
    const tide_vm_work *work = arg;
    vm_tile x;
    start(&x, work, 0, scratch);
    recall(&x, tile * x.shape->kb, work->level);
    finish_pass(&x, work->level);
    for (int j = 0; j < x.plan->nred; j++) {
        const tide_vm_red *red = &x.plan->red[j];
        if (red->level == work->level + 1)
            memcpy(work->results + 8 * (j * x.shape->K + x.k0), x.loc[red->value].p,
                   (size_t)(x.nk * red->size));
    }
}

void tide_vm_finish_tile(void *arg, int tile, void *scratch) {
    const tide_vm_work *work = arg;
    vm_tile x;
    start(&x, work, 0, scratch);
    recall(&x, tile * x.shape->kb, x.plan->nlevel - 1);
    vm_block b = block_of(&x, 0, 0);
    run_section(&x, vm_finish(x.plan), &b);
}
