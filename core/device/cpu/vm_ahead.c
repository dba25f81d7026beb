/* Running programs compiled ahead: which of their functions fits, its tiles, and two pieces as one. */
#include "base/context.h"
#include "device/cpu/vm_plan.h"

enum {
    GROUP = 2048,  /* elements of the rows that are taken at a time: longer ones leave memory idle meanwhile */
    COLUMNS = 512, /* of a tile */
    SOON = 2,      /* rows ahead that are asked for */
    SETS = 9,      /* of sums that wait for their partners, at most: lanes have 8 bits */
    WIDE = 4       /* rows side by side that a band takes */
};

const tide_ahead *tide_ahead_of(tide_isa isa, const tide_prog *piece) {
#if defined(__x86_64__)
    if (isa < TIDE_ISA_AVX2) return NULL;
    const tide_ahead *a = isa == TIDE_ISA_AVX512 ? tide_ahead_avx512 : tide_ahead_avx2;
    for (uint64_t hash = tide_prog_hash(piece, false); a->run; a++)
        if (a->hash == hash) return a;
#endif
    return NULL;
}

/* ---- shapes ---- */

/* A mode, or -1. */
static int mode_of(const tide_vm *vm, const tide_iter *it) {
    const tide_ahead *ahead = vm->ahead;
    if (it->K * it->R == 0) return -1;
    if (ahead->flat ? it->nk + it->nr > 1 : it->nk > 1 || it->nr != 1 || it->R > TIDE_CHUNK) return -1;
    if (!ahead->flat && it->R < TIDE_AHEAD_SHORT) return it->K >= TIDE_AHEAD_ROWS ? VM_AHEAD_SHORT : -1;
    bool rows = !ahead->flat, columns = ahead->add && it->nk == 1 && it->R >= TIDE_LANES;
    for (int a = 0; a < vm->narg; a++) {
        int space = vm->arg[a].space, size = vm->arg[a].size;
        if (ahead->flat && space && it->nk + it->nr && (it->nr ? it->arg[a].sr[0] : it->arg[a].sk[0]) != size)
            return -1;
        if (space & TIDE_AXIS_R && it->nr && it->arg[a].sr[0] != size) rows = false;
        if (space & TIDE_AXIS_K && it->nk && it->arg[a].sk[0] != size) columns = false;
    }
    return ahead->flat || rows ? VM_AHEAD : columns ? VM_AHEAD_COLUMNS : -1;
}

bool tide_ahead_shape(const tide_vm *vm, const tide_iter *it, bool small, tide_vm_shape *s) {
    const tide_ahead *ahead = vm->ahead;
    int64_t tile = small ? VM_SMALL_TILE : VM_TILE, n = ahead->flat ? it->K * it->R : it->K;
    int mode = mode_of(vm, it);
    if (mode < 0) return false;
    s->plan = vm->unit->flat ? vm->unit->flat : vm->unit->keep;
    s->mode = (uint8_t)mode;
    s->staged = false;
    s->K = it->K;
    s->R = it->R;
    s->nr = 1;
    s->rows = 0;
    if (ahead->flat) {
        s->kb = s->ktile = tile;
    } else if (mode == VM_AHEAD_COLUMNS) {
        s->kb = s->ktile = small ? TIDE_AHEAD_SHORT : COLUMNS;
        s->bytes = (size_t)(s->kb * ahead->sums * SETS);
    } else if (mode == VM_AHEAD_SHORT) {
        s->kb = TIDE_AHEAD_ROWS;
        s->bytes = (size_t)(s->kb * s->R * ahead->short_buffers);
    } else {
        s->kb = vm_least(vm_most(GROUP / s->R, 1), TIDE_AHEAD_ROWS);
        s->rows = vm_up((size_t)(s->kb * s->R * ahead->buffers));
        s->bytes = s->rows + (s->stream ? (size_t)(s->R * ahead->stages) * sizeof(float) : 0);
    }
    if (ahead->flat) s->bytes = 0;
    if (mode != VM_AHEAD || ahead->flat) s->stream = 0;
    if (!ahead->flat && mode != VM_AHEAD_COLUMNS) s->ktile = vm_most(tile / s->R / s->kb, 1) * s->kb;
    s->nk = vm_cut(n, s->ktile);
    return true;
}

/* ---- tiles ---- */

static tide_ahead_call call_of(const tide_vm *vm, const tide_iter *it, const tide_vm_shape *s,
                               const uint64_t *slot, uint32_t *failed, void *scratch) {
    tide_ahead_call q; /* field by field: most of arg[] is not used */
    q.kernels = vm->kernels;
    q.konst = vm->konst;
    q.slot = slot;
    q.K = s->K;
    q.R = s->R;
    q.begin = q.end = 0;
    q.group = q.later = s->kb;
    q.buffer = scratch;
    q.stream = s->stream;
    q.stage = (char *)scratch + s->rows;
    q.failed = failed;
    for (int a = 0; a < vm->narg; a++) {
        q.arg[a].base = it->arg[a].base;
        q.arg[a].k = vm->arg[a].space & TIDE_AXIS_K && it->nk ? it->arg[a].sk[0] : 0;
        q.arg[a].r = vm->arg[a].space & TIDE_AXIS_R && it->nr ? it->arg[a].sr[0] : 0;
    }
    return q;
}

/* Lane number j in the order in which lanes are added: bits reversed, so that each finds its partner in the
 * tree of program.h on top of the stack. */
static int64_t lane_of(int64_t j) {
    static const uint8_t nibble[16] = {0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15};
    return nibble[j & 15] << 4 | nibble[j >> 4 & 15];
}

/* Inline, or gcc takes it for a function that does nothing. */
static inline __attribute__((always_inline)) void fetch_row(const tide_vm *vm, const tide_ahead_call *q,
                                                            int64_t k, int64_t n, int64_t row) {
    for (int a = 0; a < vm->nin; a++) {
        if (vm->arg[a].space != TIDE_POINT) continue;
        const char *p = q->arg[a].base + row * q->arg[a].r + k * q->arg[a].k;
        for (int64_t j = 0; j < n * q->arg[a].k; j += 64) __builtin_prefetch(p + j);
    }
}

/* Lanes number first[w] .. first[w] + lanes for all w < wide, in step: side by side where they lie so. */
typedef struct {
    int64_t R, lanes;
    int64_t first[WIDE];
    int wide;
} band;

/* The next row in the order of add_lanes: of lane number i of part w; after the last, the first. */
typedef struct {
    int64_t i, at;
    int w;
} visit;
static int64_t row_after(const band *b, visit *v) {
    for (;;) {
        if (++v->w == b->wide) v->w = 0, v->at += TIDE_LANES;
        if (v->at >= b->R) v->at = 0, v->i = (v->i + 1) % b->lanes;
        const int64_t row = lane_of(b->first[v->w] + v->i) + v->at;
        if (row < b->R) return row;
    }
}

/* Adds the columns k .. k + n of the lanes of a band, a power of two of them in each part; the sums are at the
 * bottoms of its stacks then, which are `stack` bytes apart. rows: runs over each row first, or NULL. */
static void add_lanes(const tide_vm *vm, const tide_ahead_call *q, int64_t k, int64_t n, const band *b,
                      char *stacks, size_t stack, const tide_ahead *also, tide_ahead_call *rows) {
    const tide_ahead *ahead = vm->ahead;
    const int64_t set = q->group * ahead->sums;
    visit later = {0, 0, 0};
    for (int s = 1; s < SOON; s++) row_after(b, &later);
    for (int64_t i = 0, top = 0; i < b->lanes; i++, top++) {
        for (int64_t at = 0; at < b->R; at += TIDE_LANES) {
            for (int w = 0; w < b->wide; w++) {
                const int64_t row = lane_of(b->first[w] + i) + at;
                if (row >= b->R) continue;
                const int64_t next = row_after(b, &later);
                if (also) {
                    rows->begin = row;
                    rows->end = row + 1;
                    rows->later = next - row;
                    also->run(rows);
                } else {
                    fetch_row(vm, q, k, n, next);
                }
                ahead->add(q, k, n, row, at == 0, stacks + w * stack + top * set);
            }
        }
        for (int64_t m = i; m & 1; m >>= 1, top--)
            for (int w = 0; w < b->wide; w++) {
                char *to = stacks + w * stack + (top - 1) * set;
                ahead->merge(q, n, to, to + set);
            }
    }
}

void tide_ahead_tile(const tide_vm *vm, const tide_iter *it, const tide_vm_shape *s, const uint64_t *slot,
                     uint32_t *failed, int64_t tile, void *scratch) {
    tide_ahead_call q = call_of(vm, it, s, slot, failed, scratch);
    q.begin = tile * s->ktile;
    q.end = vm_least(vm->ahead->flat ? s->K * s->R : s->K, q.begin + s->ktile);
    if (s->mode == VM_AHEAD_COLUMNS) {
        const band all = {.R = s->R, .lanes = TIDE_LANES, .wide = 1};
        add_lanes(vm, &q, q.begin, q.end - q.begin, &all, scratch, 0, NULL, NULL);
        vm->ahead->finish(&q, q.begin, q.end - q.begin, scratch);
    } else {
        (s->mode == VM_AHEAD ? vm->ahead->run : vm->ahead->shorts)(&q);
    }
}

/* ---- a piece by rows and one by columns over the same elements: each row is read once for both ---- */

enum {
    PARTS = 16, /* of so many lanes each */
    PART = TIDE_LANES / PARTS,
    PART_SETS = 5,        /* PART has 4 bits */
    STACK_BYTES = 1 << 18 /* of the second cache */
};

typedef struct {
    const tide_vm *rows, *columns;
    const tide_iter *rows_it, *columns_it;
    tide_vm_shape rows_shape, columns_shape;
    const uint64_t *slot;
    uint32_t failed;
    int wide;   /* parts of a tile */
    char *sums; /* of the parts */
} both;

/* Parts that begin in neighbouring lanes. */
static void part_tile(void *arg, int tile, void *scratch) {
    both *b = arg;
    const int64_t n = b->columns_shape.K, set = n * b->columns->ahead->sums;
    const size_t stack = vm_up((size_t)(set * PART_SETS));
    char *stacks = scratch, *buffer = stacks + (size_t)b->wide * stack;
    band lanes = {.R = b->columns_shape.R, .lanes = PART, .wide = b->wide};
    for (int w = 0; w < b->wide; w++) lanes.first[w] = lane_of(tile * b->wide + w);
    tide_ahead_call columns =
        call_of(b->columns, b->columns_it, &b->columns_shape, b->slot, &b->failed, scratch);
    tide_ahead_call rows = call_of(b->rows, b->rows_it, &b->rows_shape, b->slot, &b->failed, buffer);
    add_lanes(b->columns, &columns, 0, n, &lanes, stacks, stack, b->rows->ahead, &rows);
    for (int w = 0; w < b->wide; w++)
        memcpy(b->sums + lanes.first[w] / PART * set, stacks + (size_t)w * stack, (size_t)set);
    tide_vm_end_tile(&b->rows_shape);
}

static void last_tile(void *arg, int tile, void *scratch) {
    both *b = arg;
    const tide_ahead *ahead = b->columns->ahead;
    const int64_t n = b->columns_shape.K, set = n * ahead->sums;
    tide_ahead_call q = call_of(b->columns, b->columns_it, &b->columns_shape, b->slot, &b->failed, scratch);
    for (int s = 1; s < PARTS; s *= 2)
        for (int p = 0; p < PARTS; p += 2 * s) ahead->merge(&q, n, b->sums + p * set, b->sums + (p + s) * set);
    ahead->finish(&q, 0, n, b->sums);
}

/* Does one write what the other uses? */
static bool meet(const tide_vm *writer, const tide_iter *w, const tide_vm *other, const tide_iter *o) {
    for (int a = writer->nin; a < writer->narg; a++)
        for (int b = 0; b < other->narg; b++)
            if (w->arg[a].base == o->arg[b].base) return true;
    return false;
}

bool tide_vm_run_both(tide_context *cx, const tide_vm *rows, const tide_iter *rows_it, const tide_vm *columns,
                      const tide_iter *columns_it, const uint64_t *slot, tide_status *status) {
    both b = {rows, columns, rows_it, columns_it, .slot = slot};
    const bool small = tide_small_tiles(cx);
    if (!rows->ahead || !columns->ahead || !columns->ahead->add || rows->ahead->flat) return false;
    if (rows_it->K != columns_it->R || rows_it->R != columns_it->K) return false;
    tide_vm_shape_of(rows, rows->unit, rows_it, small, &b.rows_shape);
    tide_vm_shape_of(columns, columns->unit, columns_it, small, &b.columns_shape);
    const int64_t set = columns_it->K * columns->ahead->sums;
    if (b.rows_shape.mode != VM_AHEAD || b.columns_shape.mode != VM_AHEAD_COLUMNS ||
        set * PART_SETS > STACK_BYTES || meet(rows, rows_it, columns, columns_it) ||
        meet(columns, columns_it, rows, rows_it))
        return false;
    b.rows_shape.kb = 1; /* row by row */
    b.columns_shape.kb = columns_it->K;
    if (!(b.sums = tide_alloc(cx, (size_t)(set * PARTS)))) return *status = TIDE_EMEM, true;
    double work =
        (double)rows_it->K * (double)rows_it->R * (rows->unit->keep->cost + columns->unit->keep->cost);
    for (b.wide = WIDE; b.wide > 1 && b.wide * set * PART_SETS > STACK_BYTES;) b.wide /= 2;
    size_t bytes = (size_t)b.wide * vm_up((size_t)(set * PART_SETS)) + b.rows_shape.bytes;
    *status = tide_run_tiles(cx, PARTS / b.wide, work, bytes, part_tile, &b);
    if (!*status) *status = tide_run_tiles(cx, 1, (double)(set * PARTS), 0, last_tile, &b);
    tide_release(cx, b.sums, (size_t)(set * PARTS));
    if (!*status && b.failed) *status = tide_fail(cx, TIDE_EARG, "%s", rows->check[__builtin_ctz(b.failed)]);
    return true;
}
