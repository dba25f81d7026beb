/* NumPy's .npy: one array (numpy.org/doc/stable/reference/generated/numpy.lib.format.html, versions 1.0
 * to 3.0). Objects, which are pickles, are refused. */
#ifndef TIDE_NPY_H
#define TIDE_NPY_H

#include "base/base.h"

typedef struct tide_npy {
    uint8_t dtype; /* a tide_dtype */
    uint8_t item;  /* bytes of an element */
    bool fortran;  /* the first index runs fastest */
    bool swap;     /* bytes are in the other order than this machine's */
    int ndim;
    int64_t shape[TIDE_MAXDIM];
    const char *data;
    size_t nbytes;
} tide_npy;

/* Understands the n bytes of a file (`name` is for errors); out->data points into them. Bytes after the array
 * are left alone, as NumPy does. TIDE_EFORMAT: malformed; TIDE_EUNSUP: well-formed, but Tide has no such
 * tensor. */
tide_status tide_npy_read(tide_context *cx, const char *name, const char *bytes, size_t n, tide_npy *out);
/* How many bytes header and array take, from the first n of them, which must hold the header. */
tide_status tide_npy_size(tide_context *cx, const char *name, const char *bytes, size_t n, size_t *size);
/* The elements in C order and this machine's bytes, to the nbytes at dst; bools become 0 and 1. */
void tide_npy_copy(const tide_npy *a, void *dst);

enum { TIDE_NPY_HEADER = 384 }; /* holds any header that is written here */
/* Writes what stands before the elements of a C-ordered array; returns its length, a multiple of 64, or 0 if
 * NumPy has no such dtype (bfloat16). */
size_t tide_npy_header(uint8_t dtype, int ndim, const int64_t *shape, char out[TIDE_NPY_HEADER]);

#endif
