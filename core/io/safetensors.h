/* safetensors: a header of JSON, then the tensors' bytes. Everything is checked before any tensor is made. */
#ifndef TIDE_SAFETENSORS_H
#define TIDE_SAFETENSORS_H

#include "io/file.h"
#include "io/json.h"

typedef struct {
    const char *name;   /* UTF-8, ended by 0; names in files may hold 0 inside */
    size_t name_length; /* in saving 0: up to the final 0 */
    const char *dtype_name;
    uint8_t dtype; /* a tide_dtype, 0: one that Tide does not have */
    int ndim;      /* may exceed TIDE_MAXDIM: then shape holds the first ones and dtype is 0 */
    int64_t shape[TIDE_MAXDIM];
    const char *data;
    size_t nbytes;
} tide_st_entry;

typedef struct tide_st_file {
    tide_context *cx;
    tide_map map;
    tide_json_doc doc;
    tide_st_entry *entry;
    int64_t n;
    const tide_json *metadata; /* an object of strings, or NULL */
} tide_st_file;

/* TIDE_EIO: cannot be read; TIDE_EFORMAT: malformed. */
tide_status tide_st_open(tide_context *cx, const char *path, tide_st_file *out);
void tide_st_close(tide_st_file *file);

/* Gives the bytes of entries whose data is NULL, one after another as they are written; they must stay until
 * the next call. NULL: an error is pending. */
typedef struct {
    const char *(*bytes)(void *arg, const tide_st_entry *entry);
    void *arg;
} tide_st_source;

typedef struct {
    const char *p;
    size_t n; /* 0: ended by 0 */
} tide_st_text;

/* Writes as tide_writer does: on failure `path` is as it was. Of an entry, name, dtype, ndim, shape, data and
 * nbytes are read. Entries are written by size of their elements, the widest first, then by name; metadata:
 * npairs keys and values. source may be NULL where every entry has its data. *written (or NULL) gets size and
 * crc32c. */
tide_status tide_st_save(tide_context *cx, const char *path, const tide_st_entry *entry, int64_t n,
                         const tide_st_text *metadata, int npairs, const tide_st_source *source,
                         tide_writer *written);

#endif
