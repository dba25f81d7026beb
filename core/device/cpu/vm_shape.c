/* How a unit runs over an iteration space: the mode, the blocks and the tiles, from shapes and strides only. */
#include "device/cpu/vm_plan.h"

enum {
    SMALL_BLOCK = 256,
    SHORT_ROW = 32,        /* shorter rows run as columns: loaded turned, but then by long loops */
    LONG_INNER = 64,       /* an inner axis of a flat block that needs no joining of dims */
    COLUMNS = 128,         /* columns of a block: what a chain does at once */
    STRETCH = 512,         /* elements computed in the first cache before they are streamed */
    FEW_TILES = 16,        /* fewer than these: long reductions are cut into chunks */
    KEEP_BYTES = 1 << 18,  /* of the second cache, for values kept from pass to pass */
    FAR_BYTES = 1 << 21,   /* arguments of this size come from farther away */
    STREAM_BYTES = 1 << 23 /* outputs of this size have left the caches before they are read */
};

static int64_t magnitude(int64_t a) { return a < 0 ? -a : a; }

static bool is_far(const tide_vm *vm, const tide_iter *it) {
    int64_t bytes = 0;
    for (int a = 0; a < vm->narg; a++)
        bytes += (vm->arg[a].space & TIDE_AXIS_K ? it->K : 1) * (vm->arg[a].space & TIDE_AXIS_R ? it->R : 1) *
                 vm->arg[a].size;
    return bytes > FAR_BYTES;
}

bool tide_vm_may_stream(const tide_iter *it, bool small) {
    return small || it->K * it->R * (int64_t)sizeof(float) >= STREAM_BYTES;
}

/* Outputs to write past the caches: large, not read before. (16 MiB: copy 0.65 -> 0.45 ms.) */
static uint32_t streamed(const tide_vm *vm, const tide_iter *it, bool small) {
    uint32_t bits = 0;
    if (!tide_vm_may_stream(it, small)) return 0;
    for (int a = vm->nin; a < vm->narg; a++) {
        if (vm->arg[a].dtype != TIDE_F32 || vm->arg[a].space != TIDE_POINT) continue;
        bits |= 1u << a;
        for (int i = 0; i < vm->nin; i++)
            if (it->arg[i].base == it->arg[a].base) bits &= ~(1u << a);
    }
    return bits;
}

/* Sizes and, for one argument, strides of all dims of a flat space. */
typedef struct {
    int n;
    int64_t size[2 * TIDE_MAXDIM];
} dims;

static dims dims_of(const tide_vm_unit *unit, const tide_iter *it) {
    dims d = {0};
    for (int i = 0; i < it->nk && unit->space & TIDE_AXIS_K; i++) d.size[d.n++] = it->k[i];
    for (int i = 0; i < it->nr && unit->space & TIDE_AXIS_R; i++) d.size[d.n++] = it->r[i];
    return d;
}

static int64_t stride_at(const tide_vm *vm, const tide_vm_unit *unit, const tide_iter *it, int arg, int dim) {
    int nk = unit->space & TIDE_AXIS_K ? it->nk : 0;
    if (dim < nk) return vm->arg[arg].space & TIDE_AXIS_K ? it->arg[arg].sk[dim] : 0;
    return vm->arg[arg].space & TIDE_AXIS_R ? it->arg[arg].sr[dim - nk] : 0;
}

/* Does an argument lie densest along the dim before the last? */
static bool turned(const tide_vm *vm, const tide_vm_unit *unit, const tide_iter *it, int n) {
    for (int a = 0; a < vm->narg; a++) {
        int64_t before = magnitude(stride_at(vm, unit, it, a, n - 2)),
                last = magnitude(stride_at(vm, unit, it, a, n - 1));
        if (before && before < last) return true;
    }
    return false;
}

static void flat_shape(const tide_vm *vm, const tide_vm_unit *unit, const tide_iter *it, bool small,
                       tide_vm_shape *s) {
    int nd = (unit->space & TIDE_AXIS_K ? it->nk : 0) + (unit->space & TIDE_AXIS_R ? it->nr : 0);
    int64_t n = (unit->space & TIDE_AXIS_K ? it->K : 1) * (unit->space & TIDE_AXIS_R ? it->R : 1);
    int64_t tile = small ? VM_SMALL_TILE : VM_TILE,
            block = s->stream ? vm_least(unit->flat->block, STRETCH) : unit->flat->block;
    s->plan = unit->flat;
    s->mode = VM_FLAT;
    s->staged = false;
    s->split = 0;
    s->K = s->kb = s->ktile = s->nk = 1;
    s->R = n;
    s->rb = block;
    s->rtile = tile;
    s->bytes = unit->flat->registers;
    if (nd > 1 && n > 0) {
        dims d = dims_of(unit, it);
        s->split = d.n - 1;
        s->R = d.size[s->split];
        while (s->split > 0 && s->R < LONG_INNER) s->R *= d.size[--s->split];
        s->K = n / s->R;
        s->rb = vm_least(s->R, block);
        if (turned(vm, unit, it, nd)) s->rb = vm_least(s->rb, LONG_INNER);
        s->kb = vm_least(s->K, vm_most(block / s->rb, 1));
        s->ktile = small ? 1 : vm_least(s->K, vm_most(s->kb, tile / s->R / s->kb * s->kb));
        s->rtile = vm_least(s->R, vm_most(tile / s->ktile / s->rb, 1) * s->rb);
        if (small) s->rtile = vm_least(s->R, tile);
        s->nk = vm_cut(s->K, s->ktile);
    }
    s->nr = vm_cut(s->R, s->rtile);
}

/* Which axis do the arguments that vary along both lie dense along? */
static bool rows_are_dense(const tide_vm *vm, const tide_iter *it) {
    int64_t rows = 0, columns = 0;
    for (int a = 0; a < vm->narg; a++) {
        if (vm->arg[a].space != TIDE_POINT) continue;
        int64_t r = it->nr ? magnitude(it->arg[a].sr[it->nr - 1]) : 0,
                k = it->nk ? magnitude(it->arg[a].sk[it->nk - 1]) : 0;
        if (r && (!k || r < k)) rows += vm->arg[a].size;
        if (k && (!r || k < r)) columns += vm->arg[a].size;
    }
    return rows >= columns;
}

static void blocks(tide_vm_shape *s, int64_t block) {
    if (s->mode == VM_ROWS) {
        s->rb = s->R <= block ? s->R : block;
        s->kb = s->R <= block ? vm_least(s->K, block / vm_most(s->R, 1)) : 1;
        return;
    }
    if (s->R <= TIDE_LANES && s->R * 16 <= block) {
        s->rb = s->R;
        s->kb = vm_least(s->K, block / vm_most(s->R, 1) & ~(int64_t)15);
        return;
    }
    s->kb = vm_least(s->K,
                     vm_least(COLUMNS, block / 4)); /* rb divides TIDE_LANES: no block crosses the last lane */
    for (s->rb = TIDE_LANES; s->rb * s->kb > block; s->rb /= 2) {}
    s->rb = vm_least(s->rb, s->R);
}

void tide_vm_shape_of(const tide_vm *vm, const tide_vm_unit *unit, const tide_iter *it, bool small,
                      tide_vm_shape *s) {
    s->far = is_far(vm, it);
    s->stream = streamed(vm, it, small);
    if (vm->ahead && tide_ahead_shape(vm, it, small, s)) return;
    bool keyed = unit->indexed && it->K != 1 && it->R != 1;
    if (unit->flat && !keyed) {
        flat_shape(vm, unit, it, small, s);
        return;
    }
    const tide_vm_plan *p = unit->keep;
    s->K = unit->space & TIDE_AXIS_K ? it->K : 1;
    s->R = it->R;
    s->split = 0;
    s->mode = VM_ROWS;
    if (s->K > 1 && (s->R == 1 || (s->R < SHORT_ROW && s->K >= 16) || !rows_are_dense(vm, it)))
        s->mode = VM_COLUMNS;
    blocks(s, small ? SMALL_BLOCK : p->block);
    int64_t chunks = vm_cut(s->R, TIDE_CHUNK), tile = s->R * s->kb,
            a_tile = small ? 1 : vm_most(VM_TILE / vm_most(tile, 1), 1);
    s->ktile = s->kb * a_tile;
    s->staged = chunks > 1 && vm_cut(s->K, s->ktile) < FEW_TILES;
    if (unit->again && (s->staged || (s->rb < s->R && tile * p->row_bytes > KEEP_BYTES))) {
        p = unit->again;
        blocks(s, small ? SMALL_BLOCK : p->block);
        s->ktile = s->kb;
    }
    s->plan = p;
    if (s->staged) s->ktile = s->kb;
    s->rtile = s->staged ? TIDE_CHUNK : s->R;
    s->nk = vm_cut(s->K, vm_most(s->ktile, 1));
    s->nr = s->staged ? chunks : 1;

    int64_t size = 0;
    for (int j = 0; j < p->nred; j++) size += p->red[j].size;
    s->rows = p->registers;
    s->lanes = vm_up(s->rows + (size_t)(s->R * s->kb * p->row_bytes));
    s->parts =
        vm_up(s->lanes + (s->mode == VM_ROWS && s->rb == s->R ? 0 : (size_t)(size * TIDE_LANES * s->kb)));
    s->bytes = s->parts + (chunks > 1 && !s->staged ? (size_t)(8 * p->nred * chunks * s->kb) : 0);
}
