/* Reading by mapping; writing that loses nothing when the disk is full or the machine stops. */
#include "io/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static tide_status io_error(tide_context *cx, const char *path) {
    return tide_fail(cx, TIDE_EIO, "%s: %s", path, strerror(errno));
}

/* ---- reading ---- */

/* Where a file system cannot map: the bytes of the file, in memory. */
static tide_status read_file(tide_context *cx, const char *path, int fd, tide_map *m) {
    m->data = tide_alloc(cx, m->size);
    if (!m->data) return TIDE_EMEM;
    for (size_t n = 0; n < m->size;) {
        ssize_t k = pread(fd, m->data + n, m->size - n, (off_t)n);
        if (k == 0) return tide_fail(cx, TIDE_EIO, "%s: the file became shorter while it was read", path);
        if (k > 0)
            n += (size_t)k;
        else if (errno != EINTR)
            return io_error(cx, path);
    }
    return TIDE_OK;
}

tide_status tide_map_open(tide_context *cx, const char *path, tide_map *m) {
    memset(m, 0, sizeof *m);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    tide_status e = TIDE_OK;
    if (fd < 0) return io_error(cx, path);
    if (fstat(fd, &st))
        e = io_error(cx, path);
    else if (!S_ISREG(st.st_mode))
        e = tide_fail(cx, TIDE_EIO, "%s: not a regular file", path);
    else if ((m->size = (size_t)st.st_size) > 0) {
        void *p = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
        m->mapped = p != MAP_FAILED;
        if (m->mapped)
            m->data = p;
        else
            e = read_file(cx, path, fd, m);
    }
    close(fd);
    if (e) tide_map_close(cx, m);
    return e;
}

void tide_map_close(tide_context *cx, tide_map *m) {
    if (m->mapped)
        munmap(m->data, m->size);
    else if (m->data)
        tide_release(cx, m->data, m->size);
    memset(m, 0, sizeof *m);
}

/* ---- writing ---- */

/* A new file beside `path`: other threads and processes may be saving to the same path. */
static int open_temporary(tide_writer *w) {
    for (unsigned i = 0;; i++) {
        snprintf(w->temporary, w->room, "%s.tmp-%ld-%u", w->path, (long)getpid(), i);
        int fd = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST) return fd;
    }
}

tide_status tide_writer_open(tide_context *cx, tide_writer *w, const char *path) {
    *w = (tide_writer){.cx = cx, .path = path, .room = strlen(path) + 48, .fd = -1};
    w->temporary = tide_alloc(cx, w->room);
    if (!w->temporary) return w->error = TIDE_EMEM;
    w->fd = open_temporary(w);
    if (w->fd < 0) w->error = io_error(cx, path);
    return w->error;
}

tide_status tide_writer_put(tide_writer *w, const void *data, size_t n) {
    const char *p = data;
    if (w->error) return w->error;
    w->crc32c = tide_crc32c(w->crc32c, data, n);
    w->size += n;
    while (n > 0) {
        ssize_t k = write(w->fd, p, n < ((size_t)1 << 30) ? n : (size_t)1 << 30);
        if (k == 0) errno = ENOSPC;
        if (k == 0 || (k < 0 && errno != EINTR)) return w->error = io_error(w->cx, w->path);
        if (k < 0) continue;
        p += k;
        n -= (size_t)k;
    }
    return TIDE_OK;
}

/* The folder of a path, in place; "." for a plain name. */
static const char *folder_of(char *path) {
    char *slash = strrchr(path, '/');
    if (slash) slash[slash == path] = 0;
    return slash ? path : ".";
}

tide_status tide_writer_close(tide_writer *w) {
    bool made = w->fd >= 0;
    if (!w->error && fsync(w->fd)) w->error = io_error(w->cx, w->path);
    if (made && close(w->fd) && !w->error) w->error = io_error(w->cx, w->path);
    if (!w->error && rename(w->temporary, w->path)) w->error = io_error(w->cx, w->path);
    if (w->error && made) unlink(w->temporary);
    if (!w->error) w->error = tide_sync_folder(w->cx, folder_of(w->temporary));
    if (w->temporary) tide_release(w->cx, w->temporary, w->room);
    w->temporary = NULL;
    w->fd = -1;
    return w->error;
}

tide_status tide_sync_folder(tide_context *cx, const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return io_error(cx, path);
    tide_status e = TIDE_OK;
    if (fsync(fd) && errno != EINVAL && errno != ENOTSUP) e = io_error(cx, path);
    close(fd);
    return e;
}

tide_status tide_rename(tide_context *cx, const char *from, const char *to) {
    if (rename(from, to)) return io_error(cx, to);
    size_t room = strlen(to) + 1;
    char *copy = tide_alloc(cx, room);
    if (!copy) return TIDE_EMEM;
    memcpy(copy, to, room);
    tide_status e = tide_sync_folder(cx, folder_of(copy));
    tide_release(cx, copy, room);
    return e;
}

/* ---- sums ---- */

/* Eight bytes a step: table[k][b] is byte b followed by k zeros. Made for each call (8 KiB, a few
 * microseconds), since the library keeps no globals; short texts go bit by bit. */
static uint32_t crc(uint32_t polynomial, uint32_t sum, const unsigned char *p, size_t n) {
    sum = ~sum;
    if (n >= 4096) {
        uint32_t table[8][256];
        for (unsigned b = 0; b < 256; b++) {
            uint32_t c = b;
            for (int k = 0; k < 8; k++) c = c >> 1 ^ (c & 1 ? polynomial : 0);
            table[0][b] = c;
        }
        for (int k = 1; k < 8; k++)
            for (unsigned b = 0; b < 256; b++)
                table[k][b] = table[k - 1][b] >> 8 ^ table[0][table[k - 1][b] & 255];
        for (; n >= 8; n -= 8, p += 8) {
            uint32_t a =
                sum ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
            sum = table[7][a & 255] ^ table[6][a >> 8 & 255] ^ table[5][a >> 16 & 255] ^ table[4][a >> 24] ^
                  table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
        }
    }
    for (; n > 0; n--, p++) {
        sum ^= *p;
        for (int k = 0; k < 8; k++) sum = sum >> 1 ^ (sum & 1 ? polynomial : 0);
    }
    return ~sum;
}

uint32_t tide_crc32c(uint32_t sum, const void *data, size_t n) { return crc(0x82F63B78, sum, data, n); }
uint32_t tide_crc32(uint32_t sum, const void *data, size_t n) { return crc(0xEDB88320, sum, data, n); }
