/* Files as the readers and writers of formats see them: bytes that are mapped, and a new file that takes the
 * place of the old one only when all of it is on the disk. */
#ifndef TIDE_FILE_H
#define TIDE_FILE_H

#include "base/base.h"

typedef struct tide_map {
    char *data; /* NULL: an empty file. Private to the process: writing to it does not change the file */
    size_t size;
    bool mapped; /* else read into memory, where the file cannot be mapped */
} tide_map;

/* TIDE_EIO: not there, not a regular file, or unreadable. */
tide_status tide_map_open(tide_context *cx, const char *path, tide_map *out);
void tide_map_close(tide_context *cx, tide_map *map);

/* Writes go to a file beside `path`. The first failure is kept, later writes do nothing. */
typedef struct tide_writer {
    tide_context *cx;
    const char *path; /* the caller's; must outlive the writer */
    char *temporary;
    size_t room;
    int fd;
    uint64_t size;   /* bytes written so far */
    uint32_t crc32c; /* of them */
    tide_status error;
} tide_writer;

tide_status tide_writer_open(tide_context *cx, tide_writer *w, const char *path);
tide_status tide_writer_put(tide_writer *w, const void *data, size_t n);
/* If all went well so far: syncs, renames to `path`, syncs the folder. Else, or on failure, `path` is as it was
 * (or new and whole, if only its folder could not be synced) and the temporary file is gone. Call it in any
 * case. */
tide_status tide_writer_close(tide_writer *w);

/* Makes earlier renames and new files in a folder outlive a crash; file systems that cannot sync folders pass.
 */
tide_status tide_sync_folder(tide_context *cx, const char *path);
/* rename(from, to), then syncs the folder of `to`. */
tide_status tide_rename(tide_context *cx, const char *from, const char *to);

/* CRC-32C (Castagnoli; RFC 3720, appendix B.4) of the n bytes after those that gave `crc`; begin with 0. */
uint32_t tide_crc32c(uint32_t crc, const void *data, size_t n);
/* CRC-32 of zip and gzip (ISO 3309), likewise. */
uint32_t tide_crc32(uint32_t crc, const void *data, size_t n);

#endif
