#include "io/safetensors.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    tide_st_file f;
    fuzz_begin(data, n, 200);
    if (!tide_st_open(NULL, "input", &f)) {
        size_t total = 0;
        for (int64_t i = 0; i < f.n; i++) {
            const tide_st_entry *e = &f.entry[i];
            fuzz_sum(e->data, e->nbytes);
            total += e->nbytes;
            fuzz_check(tide_utf8_valid(e->name, e->name_length), "names are UTF-8");
            fuzz_check(!e->dtype || e->ndim <= TIDE_MAXDIM, "what Tide has no tensor for has no dtype");
        }
        fuzz_check(total <= n, "tensors share no bytes");
        tide_st_close(&f);
    }
    fuzz_end();
    return 0;
}
