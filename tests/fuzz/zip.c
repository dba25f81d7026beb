/* Archives, as npz and pth see them. Sums are made right after each mutation, or hardly any entry would be
 * looked at. */
#include "io/npy.h"
#include "io/zip.h"
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    tide_zip z;
    fuzz_begin(data, n, 1100); /* deflate packs 1032 into 1 */
    if (!tide_zip_open(NULL, "input", &z)) {
        each_entry(&z);
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
