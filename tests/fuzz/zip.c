/* Archives, as npz and pth see them. Sums are made right after each mutation, or hardly any entry would be
 * looked at. */
#include "io/npy.h"
#include "io/pth.h"
#include "fuzz.h"
#include <stdlib.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t room);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t room, unsigned seed);

static void each_entry(tide_zip *z) {
    for (int64_t i = 0; i < z->n; i++) {
        tide_zip_bytes b;
        tide_npy a;
        if (tide_zip_read(z, &z->entry[i], &b)) continue;
        fuzz_check(b.size == z->entry[i].size, "an entry is as long as the directory says");
        fuzz_sum(b.data, b.size);
        if (!tide_npy_read(NULL, "entry", b.data, b.size, &a)) fuzz_sum(a.data, a.nbytes);
        tide_zip_free(z, &b);
    }
}

static void each_tensor(tide_zip *z) {
    tide_pth p;
    if (tide_pth_open(z, &p)) return;
    for (int64_t i = 0; i < p.ntensor; i++) {
        const tide_pth_tensor *t = &p.tensor[i];
        int64_t last = t->offset;
        fuzz_check(t->storage < p.nstorage && t->ndim <= TIDE_MAXDIM, "tensors lie in storages");
        for (int d = 0; d < t->ndim && last >= 0; d++)
            last = t->shape[d] ? last + (t->shape[d] - 1) * t->stride[d] : -1;
        fuzz_check(last < p.storage[t->storage].numel, "tensors do not reach out of storages");
    }
    tide_pth_close(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    tide_zip z;
    fuzz_begin(data, n, 1100); /* deflate packs 1032 into 1 */
    if (!tide_zip_open(NULL, "input", &z)) {
        each_entry(&z);
        if (tide_pth_is(&z))
            each_tensor(&z);
        else
            tide_zip_close(&z);
    }
    fuzz_end();
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t room, unsigned seed) {
    tide_zip z;
    n = LLVMFuzzerMutate(data, n, room);
    fuzz_begin(data, n, 1100);
    if (seed % 8 && !tide_zip_open(NULL, "input", &z)) {
        for (int64_t i = 0; i < z.n; i++) {
            const tide_zip_entry *e = &z.entry[i];
            uint32_t crc = tide_crc32(0, e->data, e->packed);
            if (!e->deflated) memcpy(data + (e->name - z.map.data) - 30, &crc, sizeof crc);
        }
        tide_zip_close(&z);
    }
    return n;
}
