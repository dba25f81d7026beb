/* Collapsing an iteration space: fewer, longer dims. */
#include "program/program.h"

/* `dims` dims of sizes size[], and for each argument its strides; returns how many are left. */
static int collapse(int dims, int64_t *size, int narg, int64_t *stride[TIDE_MAXARGS]) {
    int out = 0;
    for (int d = 0; d < dims; d++) {
        if (size[d] == 1) continue;
        bool merge = out > 0;
        for (int a = 0; a < narg && merge; a++) merge = stride[a][out - 1] == stride[a][d] * size[d];
        if (merge) {
            size[out - 1] *= size[d];
            for (int a = 0; a < narg; a++) stride[a][out - 1] = stride[a][d];
        } else {
            size[out] = size[d];
            for (int a = 0; a < narg; a++) stride[a][out] = stride[a][d];
            out++;
        }
    }
    return out;
}

void tide_iter_collapse(tide_iter *it) {
    int64_t *s[TIDE_MAXARGS];
    if (it->nk) {
        for (int a = 0; a < it->narg; a++) s[a] = it->arg[a].sk;
        it->nk = (int8_t)collapse(it->nk, it->k, it->narg, s);
    }
    if (it->nr) {
        for (int a = 0; a < it->narg; a++) s[a] = it->arg[a].sr;
        it->nr = (int8_t)collapse(it->nr, it->r, it->narg, s);
    }
}
