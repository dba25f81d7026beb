#include "io/pickle.h"
#include "fuzz.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    tide_pickle p;
    char *bytes = fuzz_copy(data, n);
    fuzz_begin(data, n, 200);
    if (!tide_pickle_read(NULL, "input", bytes, n, &p)) {
        fuzz_check(p.root >= 0 && p.root < p.nnode, "there is a root");
        for (int64_t i = 0; i < p.nnode; i++) {
            const tide_pickle_node *v = &p.node[i];
            uint32_t children = 0;
            if (v->type == PICKLE_TEXT || v->type == PICKLE_STORAGE) {
                fuzz_sum(v->v.text, v->n);
                continue;
            }
            for (int32_t c = v->first; c != PICKLE_NOTHING; c = p.cell[c].next, children++)
                fuzz_check(p.cell[c].node >= 0 && p.cell[c].node < p.nnode && children <= p.ncell, "cells end");
            fuzz_check(children == v->n, "n counts the children");
            if (v->type == PICKLE_TENSOR)
                fuzz_check(tide_pickle_child(&p, v, 0)->type == PICKLE_STORAGE &&
                               tide_pickle_child(&p, v, 1)->type == PICKLE_INT,
                           "a tensor has a storage and an offset");
        }
        tide_pickle_free(NULL, &p);
    }
    fuzz_end();
    free(bytes);
    return 0;
}
