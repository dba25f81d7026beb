/* Zip archives (PKWARE's APPNOTE, with Zip64): what .npz and .pth files are. Stored and deflated entries; the
 * latter through zlib, where it is. */
#ifndef TIDE_ZIP_H
#define TIDE_ZIP_H

#include "io/file.h"

typedef struct tide_zip_entry {
    const char *name; /* not ended by 0 */
    size_t name_length;
    const char *data; /* as it lies in the file */
    uint64_t packed, size;
    uint32_t crc;
    bool deflated;
} tide_zip_entry;

typedef struct tide_zip {
    tide_context *cx;
    const char *path; /* the caller's */
    tide_map map;
    tide_zip_entry *entry; /* by name */
    int64_t n, capacity;
} tide_zip;

/* Checks the directory: every entry lies in the file, none overlaps another or has its name, none claims more
 * than deflate can pack. TIDE_EIO, TIDE_EFORMAT, TIDE_EUNSUP (encrypted, or another method). */
tide_status tide_zip_open(tide_context *cx, const char *path, tide_zip *out);
void tide_zip_close(tide_zip *zip);
const tide_zip_entry *tide_zip_find(const tide_zip *zip, const char *name, size_t n); /* NULL: not there */

/* An entry's size bytes: in the map if stored, else unpacked into memory. The sum is checked. */
typedef struct {
    const char *data;
    char *own;
    size_t size;
} tide_zip_bytes;
tide_status tide_zip_read(tide_zip *zip, const tide_zip_entry *entry, tide_zip_bytes *out);
void tide_zip_free(tide_zip *zip, tide_zip_bytes *bytes);

/* An archive being written: entries one after another, then the directory. */
typedef struct tide_zip_writer {
    tide_writer w;
    bool deflate;
    char *directory;
    int64_t ndirectory, capacity;
    uint64_t n;
} tide_zip_writer;

tide_status tide_zip_create(tide_context *cx, tide_zip_writer *z, const char *path, bool deflate);
/* An entry of the bytes of head, then data. */
tide_status tide_zip_put(tide_zip_writer *z, const char *name, const void *head, size_t nhead, const void *data,
                         size_t ndata);
tide_status tide_zip_finish(tide_zip_writer *z); /* as tide_writer_close; call it in any case */

/* zlib.c: raw deflate streams. TIDE_EUNSUP: no zlib here. */
/* The first `size` bytes of a deflated entry; where these are all, it must end there. */
tide_status tide_inflate(const tide_zip *zip, const tide_zip_entry *entry, char *dst, uint64_t size);
/* *packed is capacity bytes of the context's memory, *n of them used. */
tide_status tide_deflate(tide_context *cx, const void *head, size_t nhead, const void *data, size_t ndata,
                         char **packed, size_t *n, size_t *capacity);
void tide_zlib_text(char *out, size_t n); /* for tide_parts */

#endif
