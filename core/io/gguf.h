/* GGUF, the files of llama.cpp (github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3): metadata
 * and tensors, which may be quantised in blocks. Everything is checked before any tensor is made. */
#ifndef TIDE_GGUF_H
#define TIDE_GGUF_H

#include "io/file.h"

typedef enum {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64
} tide_gguf_type;

/* A value of the metadata: text for strings, item and n for arrays (whose values lie at `text`, one after
 * another), f for floats and for what does not fit int64, else i. */
typedef struct {
    uint8_t type, item;
    bool is_float;
    uint64_t n; /* bytes of a string, values of an array */
    int64_t i;
    double f;
    const char *text;
} tide_gguf_value;

typedef struct {
    const char *name; /* UTF-8, not ended by 0 */
    size_t name_length;
    tide_gguf_value value;
} tide_gguf_pair;

typedef struct {
    const char *name; /* likewise */
    size_t name_length;
    uint8_t kind;  /* index into the kinds that gguf_blocks.c knows */
    uint8_t dtype; /* of the tensor that tide_gguf_copy fills: float32 for blocks */
    int ndim;
    int64_t shape[TIDE_MAXDIM]; /* row-major: the last index runs fastest */
    int64_t numel;
    uint64_t offset, nbytes; /* in the file; packed */
    const char *data;
} tide_gguf_tensor;

typedef struct tide_gguf {
    tide_context *cx;
    const char *path; /* the caller's */
    tide_map map;
    tide_gguf_pair *pair;     /* by name */
    tide_gguf_tensor *tensor; /* by name */
    int64_t npair, pair_room, ntensor, tensor_room;
} tide_gguf;

/* TIDE_EIO: cannot be read; TIDE_EFORMAT: malformed; TIDE_EUNSUP: version 1, big-endian, or a kind of block
 * that is not known here. */
tide_status tide_gguf_open(tide_context *cx, const char *path, tide_gguf *out);
void tide_gguf_close(tide_gguf *g);
/* Reads the value of that type at *p and moves *p behind it; false: there is none. For the values of an array
 * begin with p = value->text and type = value->item. Time grows with the bytes of the value. */
bool tide_gguf_next(const char **p, const char *end, uint32_t type, tide_gguf_value *out);

/* gguf_blocks.c: what tensors are made of. */
typedef struct {
    const char *name;
    uint32_t type;         /* in the file */
    uint16_t block, bytes; /* elements and bytes of a block; bytes 0: not known here */
    uint8_t dtype;
    void (*unpack)(const unsigned char *block, float *out); /* NULL: plain */
} tide_gguf_kind;
const tide_gguf_kind *tide_gguf_kinds(int *n);
/* The elements, to dst: numel of t->dtype. */
void tide_gguf_copy(const tide_gguf_tensor *t, void *dst);

#endif
