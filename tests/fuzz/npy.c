#include "io/npy.h"
#include "fuzz.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    tide_npy a;
    char *bytes = fuzz_copy(data, n);
    fuzz_begin(data, n, 0);
    if (!tide_npy_read(NULL, "input", bytes, n, &a)) {
        fuzz_check(a.nbytes <= n, "an array is no larger than its file");
        char *out = malloc(a.nbytes ? a.nbytes : 1);
        tide_npy_copy(&a, out);
        fuzz_sum(out, a.nbytes);
        free(out);
    }
    fuzz_end();
    free(bytes);
    return 0;
}
