/* Which kernels of a piece run over a given space, and how they divide it: a function of the shape and strides
 * only. */
#include "device/cuda/text.h"

#define MAX_GRID (1 << 20)

void tide_cuda_space_of(const tide_iter *it, const uint64_t *slot, int nslot, uint32_t *flag,
                        tide_cuda_space *out) {
    memset(out, 0, sizeof *out);
    out->head.K = it->K;
    out->head.R = it->R;
    out->head.nk = it->nk;
    out->head.nr = it->nr;
    out->head.flag = flag;
    memcpy(out->head.k, it->k, sizeof it->k);
    memcpy(out->head.r, it->r, sizeof it->r);
    if (nslot) memcpy(out->head.slot, slot, (size_t)nslot * sizeof *slot);
    for (int a = 0; a < it->narg; a++) {
        out->arg[a].base = it->arg[a].base;
        memcpy(out->arg[a].sk, it->arg[a].sk, sizeof it->arg[a].sk);
        memcpy(out->arg[a].sr, it->arg[a].sr, sizeof it->arg[a].sr);
    }
}

/* The least b with n <= 2^b. */
static int32_t bits_for(int64_t n) {
    int32_t b = 0;
    while ((int64_t)1 << b < n) b++;
    return b;
}

static int64_t above(int64_t n, int64_t d) { return n / d + (n % d != 0); }

static uint32_t grid_for(int64_t blocks) { return (uint32_t)(blocks < MAX_GRID ? blocks : MAX_GRID); }

static int64_t distance(int64_t stride) { return stride < 0 ? -stride : stride; }

/* Do most arguments have their neighbours along K rather than R? */
static bool along_k(const tide_prog *p, const tide_iter *it) {
    int votes = 0;
    if (it->nk == 0 || it->nr == 0) return false;
    for (int a = 0; a < p->narg; a++) {
        const int64_t k = distance(it->arg[a].sk[it->nk - 1]), r = distance(it->arg[a].sr[it->nr - 1]);
        if (p->arg[a].space == TIDE_POINT && k && r) votes += k < r ? 1 : -1;
    }
    return votes > 0;
}

/* Threads for `kept` elements that are reduced over R. Along K, a warp visits 32 neighbours, and a thread
 * carries several lanes; along R, it visits neighbouring lanes, and short elements share a block. */
static void lay_out(tide_cuda_work *w, int64_t kept, int64_t R, bool columns) {
    const int32_t lanes = bits_for(R < TIDE_LANES ? R : TIDE_LANES);
    int32_t wide = columns ? bits_for(kept < 32 ? kept : 32) : 0;
    w->lt = lanes < 8 - wide ? lanes : 8 - wide;
    w->lw = 8 - w->lt;
    w->lg = lanes - w->lt;
    w->columns = columns;
}

typedef struct {
    tide_cuda_launch *out;
    int n;
} launches;

static void launch(launches *l, int kernel, int64_t blocks, const tide_cuda_work *work) {
    l->out[l->n++] = (tide_cuda_launch){.kernel = (uint8_t)kernel, .grid = grid_for(blocks), .work = *work};
}

/* R beyond one chunk: for each level partial results of the chunks, joined until one is left, then the effects.
 * Returns the bytes of temporaries. */
static size_t stages(launches *l, const tide_cuda_group *g, int first, int64_t kept, int64_t R, bool columns) {
    const int64_t chunks = above(R, TIDE_CHUNK);
    int64_t reductions = 0, most = 0;
    for (int level = 0; level < g->nlevel; level++) {
        reductions += g->nred[level];
        if (g->nred[level] > most) most = g->nred[level];
    }
    const int64_t results = reductions * kept, partial = most * kept * chunks;
    const int64_t joined = most * kept * above(chunks, TIDE_CHUNK);
    tide_cuda_work w = {.count = kept, .kept = kept, .chunks = chunks};
    lay_out(&w, kept, R, columns);
    const int64_t blocks = above(kept, (int64_t)1 << w.lw) * chunks;
    for (int level = 1; level <= g->nlevel; level++) {
        w.level = level;
        w.to = results;
        launch(l, first + 1, blocks, &w);
        tide_cuda_work j = {.kept = kept, .parts = chunks, .to = results, .level = level};
        do {
            j.from = j.to;
            j.to = j.from == results ? results + partial : results;
            j.chunks = above(j.parts, TIDE_CHUNK);
            j.count = kept * j.chunks;
            lay_out(&j, j.count, j.parts, false);
            launch(l, first + 2, above(j.count, (int64_t)1 << j.lw), &j);
            j.parts = j.chunks;
        } while (j.chunks > 1);
    }
    if (g->points) {
        w.level = g->nlevel + 1;
        launch(l, first + 1, blocks, &w);
    }
    if (g->ends) {
        w.level = g->nlevel + 2;
        w.chunks = 1;
        lay_out(&w, kept, 1, false);
        launch(l, first + 1, above(kept, TIDE_CUDA_BLOCK), &w);
    }
    return (size_t)(results + partial + joined) * sizeof(uint64_t);
}

int tide_cuda_plan(const tide_cuda_source *source, const tide_prog *piece, const tide_iter *it,
                   tide_cuda_launch out[TIDE_CUDA_LAUNCHES], size_t *temp) {
    launches l = {out, 0};
    const bool columns = along_k(piece, it);
    *temp = 0;
    for (int group = 0; group < 2; group++) {
        const tide_cuda_group *g = &source->group[group];
        const int64_t kept = group == 0 ? it->K : 1;
        if (g->flat) {
            const int64_t counts[4] = {1, it->K, it->R, it->K * it->R};
            for (int s = 3; s >= 0; s--) {
                if ((s & TIDE_AXIS_K) != (group == 0 ? TIDE_AXIS_K : 0)) continue;
                if (!(source->kernels >> s & 1) || counts[s] == 0) continue;
                tide_cuda_work w = {.count = counts[s]};
                launch(&l, TIDE_CUDA_FLAT + s, above(counts[s], TIDE_CUDA_BLOCK), &w);
            }
        } else if (g->nlevel && kept > 0) {
            const int first = group == 0 ? TIDE_CUDA_ROWS : TIDE_CUDA_ONCE;
            if (it->R <= TIDE_CHUNK) {
                tide_cuda_work w = {.count = kept, .kept = kept};
                lay_out(&w, kept, it->R, columns && kept > 1);
                launch(&l, first, above(kept, (int64_t)1 << w.lw), &w);
            } else {
                const size_t bytes = stages(&l, g, first, kept, it->R, columns && kept > 1);
                if (bytes > *temp) *temp = bytes;
            }
        }
    }
    return l.n;
}
