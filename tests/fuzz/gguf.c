#include "io/gguf.h"
#include "io/json.h"
#include "fuzz.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    tide_gguf g;
    fuzz_begin(data, n, 200);
    if (!tide_gguf_open(NULL, "input", &g)) {
        size_t total = 0;
        for (int64_t i = 0; i < g.ntensor; i++) {
            const tide_gguf_tensor *t = &g.tensor[i];
            fuzz_check(tide_utf8_valid(t->name, t->name_length), "names are UTF-8");
            fuzz_check((uint64_t)t->numel <= 8 * t->nbytes, "a tensor is not much larger than its bytes");
            void *out = malloc((size_t)t->numel * 8 + 1);
            tide_gguf_copy(t, out);
            free(out);
            total += t->nbytes;
        }
        fuzz_check(total <= n, "tensors share no bytes");
        for (int64_t i = 0; i < g.npair; i++) {
            tide_gguf_value v = g.pair[i].value, item;
            const char *p = v.text;
            fuzz_sum(g.pair[i].name, g.pair[i].name_length);
            if (v.type == GGUF_STRING) fuzz_sum(v.text, v.n);
            for (uint64_t k = 0; v.type == GGUF_ARRAY && k < v.n; k++)
                fuzz_check(tide_gguf_next(&p, g.map.data + g.map.size, v.item, &item), "values were checked");
        }
        tide_gguf_close(&g);
    }
    fuzz_end();
    return 0;
}
