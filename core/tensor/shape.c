/* Shapes: counting, comparing, broadcasting, as text. */
#include "tensor/tensor.h"
#include <inttypes.h>
#include <stdio.h>

/* Of a shape that no tensor has yet the count may wrap: it is refused where one is made. */
int64_t tide_numel(const tide_meta *m) {
    uint64_t n = 1;
    for (int d = 0; d < m->ndim; d++) n *= (uint64_t)m->shape[d];
    return (int64_t)n;
}

bool tide_same_shape(const tide_meta *a, const tide_meta *b) {
    return a->ndim == b->ndim && !memcmp(a->shape, b->shape, (size_t)a->ndim * sizeof *a->shape);
}

bool tide_same_meta(const tide_meta *a, const tide_meta *b) {
    return a->dtype == b->dtype && a->device.kind == b->device.kind && a->device.index == b->device.index &&
           tide_same_shape(a, b);
}

const char *tide_shape_text(const tide_meta *m, char *buffer) {
    int n = snprintf(buffer, TIDE_SHAPE_TEXT, "(");
    for (int d = 0; d < m->ndim; d++)
        n += snprintf(buffer + n, (size_t)(TIDE_SHAPE_TEXT - n), "%s%" PRId64, d ? "," : "", m->shape[d]);
    snprintf(buffer + n, (size_t)(TIDE_SHAPE_TEXT - n), ")");
    return buffer;
}

tide_status tide_broadcast(tide_context *cx, tide_meta *into, const tide_meta *with) {
    if (tide_same_shape(into, with)) return TIDE_OK;
    tide_meta r = *into;
    int n = into->ndim > with->ndim ? into->ndim : with->ndim;
    for (int i = 1; i <= n; i++) {
        int64_t a = i <= into->ndim ? into->shape[into->ndim - i] : 1;
        int64_t b = i <= with->ndim ? with->shape[with->ndim - i] : 1;
        if (a != b && a != 1 && b != 1) {
            char s[TIDE_SHAPE_TEXT], t[TIDE_SHAPE_TEXT];
            return tide_fail(cx, TIDE_EARG,
                             "shapes %s and %s do not broadcast: sizes %" PRId64 " and %" PRId64 " differ",
                             tide_shape_text(into, s), tide_shape_text(with, t), a, b);
        }
        r.shape[n - i] = a == 1 ? b : a;
    }
    r.ndim = n;
    *into = r;
    return TIDE_OK;
}

tide_status tide_wrap_dim(tide_context *cx, int64_t dim, int ndim, int *out) {
    int n = ndim ? ndim : 1;
    *out = 0; /* callers may look at it before they look at the status */
    if (dim < -n || dim >= n)
        return tide_fail(cx, TIDE_EARG, "dim %" PRId64 " is out of range for a tensor of %d dims",
                         dim < 0 ? dim : dim + 1, ndim);
    *out = (int)(dim < 0 ? dim + n : dim);
    return TIDE_OK;
}

void tide_contiguous_strides(const tide_meta *m, int64_t *stride) {
    uint64_t n = 1;
    for (int d = m->ndim - 1; d >= 0; d--) {
        stride[d] = (int64_t)n;
        n *= m->shape[d] > 0 ? (uint64_t)m->shape[d] : 1;
    }
}
