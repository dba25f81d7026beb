/* What torch.save of PyTorch 1.6 and later writes: a zip archive of a pickle and of the storages that it names.
 * Read only, and only plain data: see pickle.h. */
#ifndef TIDE_PTH_H
#define TIDE_PTH_H

#include "io/pickle.h"
#include "io/zip.h"

/* Bytes that one or several tensors lie in. */
typedef struct {
    const tide_zip_entry *entry;
    int64_t numel;
    int64_t users; /* tensors in it */
    uint8_t dtype;
} tide_pth_storage;

/* Within its storage, checked; in elements. */
typedef struct {
    int64_t storage, offset;
    int64_t shape[TIDE_MAXDIM], stride[TIDE_MAXDIM];
    int ndim;
} tide_pth_tensor;

typedef struct tide_pth {
    tide_zip zip;
    tide_zip_bytes text;
    tide_pickle pickle; /* of the nodes reached: v.i of a PICKLE_TENSOR is its place in tensor; none is a
                         * PICKLE_STORAGE or PICKLE_GLOBAL */
    tide_pth_storage *storage;
    tide_pth_tensor *tensor;
    int64_t nstorage, storage_room, ntensor, tensor_room;
} tide_pth;

/* Whether the archive is one of these (TorchScript's are, too, and will be refused). */
bool tide_pth_is(const tide_zip *zip);
/* Takes the archive over, also on failure. TIDE_EFORMAT: malformed; TIDE_EUNSUP: something else than plain
 * data, named. */
tide_status tide_pth_open(tide_zip *zip, tide_pth *out);
void tide_pth_close(tide_pth *p);

#endif
