/* The black box: the last operations in a ring that is a file mapped into memory, so that it can be read after
 * the process was killed. Written by one thread, without system calls; read as a file that may be torn or
 * hostile. */
#define _GNU_SOURCE
#include "base/context.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NENTRIES 1024u /* 150 KB: room is left in the second cache */
#define NSITES 1024u
#define NSHAPES 4
#define NDIMS 6
#define VERSION 1u
static const char MAGIC[8] = "TIDEBOX";

typedef struct {
    char magic[8];
    uint32_t version, pid;
    uint64_t start; /* ns since 1970 */
    uint32_t nentries, nsites;
    char reserved[32];
} header;

typedef struct {
    _Atomic uint64_t seq; /* from 1; 0 while the entry is being written */
    uint32_t ms;          /* since the start */
    uint32_t site;
    char name[24];
    uint8_t nshapes;
    uint8_t ndim[NSHAPES], dtype[NSHAPES];
    uint8_t reserved[7];
    uint32_t dim[NSHAPES][NDIMS]; /* larger ones read UINT32_MAX */
} entry;

typedef struct {
    _Atomic uint32_t id; /* 0 while the text is being written */
    char text[60];       /* its end, where it is longer */
} site_text;

typedef struct {
    header header;
    site_text site[NSITES]; /* of site i, the last noted: site[i % NSITES] */
    entry entry[NENTRIES];  /* of operation i: entry[i % NENTRIES] */
} image;

_Static_assert(sizeof(header) == 64 && sizeof(entry) == 152 && sizeof(site_text) == 64, "the file's layout");

struct tide_box {
    image *image;
    uint64_t seq;
    int64_t start_ms; /* on the coarse clock */
    char *path;       /* NULL: memory only */
    dev_t dev;        /* the file that we made, should another process replace it */
    ino_t ino;
};

static int64_t coarse_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- writing ---- */

/* Makes the file anew: truncating an old one would pull the memory from under a process that maps it. Only a
 * ring or an empty file is replaced. -1: could not be done. */
static int make_file(const char *path) {
    char magic[sizeof(MAGIC)];
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t n = read(fd, magic, sizeof(magic));
        close(fd);
        if (n && (n < (ssize_t)sizeof(magic) || memcmp(magic, MAGIC, sizeof(magic)))) return -1;
        if (unlink(path)) return -1;
    } else if (errno != ENOENT) {
        return -1;
    }
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    /* with its blocks: a full disk must show here, not as SIGBUS later */
    if (fd >= 0 && posix_fallocate(fd, 0, sizeof(image))) {
        close(fd);
        unlink(path);
        return -1;
    }
    return fd;
}

tide_status tide_blackbox_open(tide_context *cx) {
    const char *path = cx->config.blackbox;
    struct timespec t;
    struct stat st;
    tide_box *box = tide_alloc0(cx, sizeof(*box));
    if (!box) return TIDE_EMEM;
    cx->box = box;
    cx->config.blackbox = NULL;
    void *map;
    if (path) {
        size_t n = strlen(path) + 1;
        if (!(box->path = tide_alloc(cx, n))) return TIDE_EMEM;
        memcpy(box->path, path, n);
        cx->config.blackbox = box->path;
        int fd = make_file(path);
        if (fd < 0) return TIDE_EIO;
        if (!fstat(fd, &st)) {
            box->dev = st.st_dev;
            box->ino = st.st_ino;
        }
        map = mmap(NULL, sizeof(image), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        close(fd);
    } else {
        map = mmap(NULL, sizeof(image), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    }
    if (map == MAP_FAILED) return TIDE_EMEM;
    box->image = map;
    box->start_ms = coarse_ms();
    clock_gettime(CLOCK_REALTIME, &t);
    header *h = &box->image->header;
    *h = (header){.version = VERSION, .pid = (uint32_t)getpid(), .nentries = NENTRIES, .nsites = NSITES};
    h->start = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    memcpy(h->magic, MAGIC, sizeof(MAGIC));
    return TIDE_OK;
}

void tide_blackbox_close(tide_context *cx) {
    tide_box *box = cx->box;
    struct stat st;
    if (box->image) munmap(box->image, sizeof(image));
    if (box->path) {
        if (!lstat(box->path, &st) && st.st_dev == box->dev && st.st_ino == box->ino) unlink(box->path);
        tide_release(cx, box->path, strlen(box->path) + 1);
    }
    tide_release(cx, box, sizeof(*box));
    cx->box = NULL;
    cx->config.blackbox = NULL;
}

static __attribute__((noinline)) void note_site(tide_context *cx, site_text *s, uint32_t id) {
    const char *text = tide_site_text(cx, id);
    size_t n = strlen(text);
    if (n >= sizeof(s->text)) {
        text += n - (sizeof(s->text) - 1);
        n = sizeof(s->text) - 1;
    }
    atomic_store_explicit(&s->id, 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    memcpy(s->text, text, n);
    s->text[n] = 0;
    atomic_store_explicit(&s->id, id, memory_order_release);
}

void tide_blackbox_note(tide_context *cx, const char *name, uint32_t site, int nshapes,
                        const tide_meta *const *shapes) {
    tide_box *box = cx->box;
    uint64_t seq = ++box->seq;
    entry *e = &box->image->entry[seq % NENTRIES];
    if (site) {
        site_text *s = &box->image->site[site % NSITES];
        if (atomic_load_explicit(&s->id, memory_order_relaxed) != site) note_site(cx, s, site);
    }
    atomic_store_explicit(&e->seq, 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    e->ms = (uint32_t)(coarse_ms() - box->start_ms);
    e->site = site;
    size_t n = 0;
    for (; n < sizeof(e->name) - 1 && name[n]; n++) e->name[n] = name[n];
    e->name[n] = 0;
    e->nshapes = (uint8_t)(nshapes < UINT8_MAX ? nshapes : UINT8_MAX);
    for (int i = 0; i < nshapes && i < NSHAPES; i++) {
        const tide_meta *m = shapes[i];
        e->ndim[i] = (uint8_t)m->ndim;
        e->dtype[i] = m->dtype;
        for (int d = 0; d < m->ndim && d < NDIMS; d++)
            e->dim[i][d] = m->shape[d] < UINT32_MAX ? (uint32_t)m->shape[d] : UINT32_MAX;
    }
    atomic_store_explicit(&e->seq, seq, memory_order_release);
}

/* ---- reading: every field is taken for whatever it may be ---- */

typedef struct {
    char text[512];
    size_t n;
} line_text;

static __attribute__((format(printf, 2, 3))) void add(line_text *line, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line->text + line->n, sizeof(line->text) - line->n, format, args);
    va_end(args);
    if (n > 0) line->n += (size_t)n;
    if (line->n >= sizeof(line->text)) line->n = sizeof(line->text) - 1;
}

/* At most `room` bytes up to the 0; a control character, which could play with a terminal, reads '?'. */
static void add_text(line_text *line, const char *text, size_t room) {
    for (size_t i = 0; i < room && text[i]; i++) {
        unsigned char c = (unsigned char)text[i];
        add(line, "%c", c < 0x20 || c == 0x7F ? '?' : c);
    }
}

static void add_shape(line_text *line, const entry *e, int i) {
    static const char *const dtype[] = {"?",     "float32", "float64", "float16", "bfloat16",
                                        "int64", "int32",   "int8",    "uint8",   "bool"};
    unsigned ndim = e->ndim[i], type = e->dtype[i];
    add(line, " (");
    for (unsigned d = 0; d < ndim && d < NDIMS; d++) {
        add(line, e->dim[i][d] == UINT32_MAX ? "%s>%u" : "%s%u", d ? "," : "", e->dim[i][d]);
    }
    add(line, "%s) %s", ndim > NDIMS ? ",.." : "", dtype[type < sizeof(dtype) / sizeof(*dtype) ? type : 0]);
}

static void print_entry(const image *im, const entry *e, line_text *line) {
    line->n = 0;
    add(line, "%6llu  ", (unsigned long long)e->seq);
    add_text(line, e->name, sizeof(e->name));
    for (int i = 0; i < e->nshapes && i < NSHAPES; i++) add_shape(line, e, i);
    if (e->nshapes > NSHAPES) add(line, " ..");
    const site_text *s = &im->site[e->site % NSITES];
    if (e->site && s->id == e->site) {
        add(line, "  ");
        add_text(line, s->text, sizeof(s->text));
    }
    add(line, "  +%u.%03us", e->ms / 1000, e->ms % 1000);
}

typedef struct {
    uint64_t seq;
    uint32_t index;
} order;

static int by_seq(const void *a, const void *b) {
    uint64_t x = ((const order *)a)->seq, y = ((const order *)b)->seq;
    return x < y ? -1 : x > y;
}

/* `sorted` has room for NENTRIES. */
static int print_image(const image *im, order *sorted, void (*print)(void *arg, const char *text), void *arg) {
    line_text line;
    int n = 0;
    for (uint32_t i = 0; i < NENTRIES; i++) {
        uint64_t seq = im->entry[i].seq;
        if (seq && seq % NENTRIES == i) sorted[n++] = (order){seq, i};
    }
    qsort(sorted, (size_t)n, sizeof(*sorted), by_seq);
    for (int i = 0; i < n; i++) {
        print_entry(im, &im->entry[sorted[i].index], &line);
        print(arg, line.text);
    }
    return n;
}

int tide_blackbox_dump(const tide_context *cx, void (*line)(void *arg, const char *text), void *arg) {
    order sorted[NENTRIES];
    return print_image(cx->box->image, sorted, line, arg);
}

static bool read_image(const char *path, image *im) {
    struct stat st;
    size_t n = 0;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return false;
    if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size == (off_t)sizeof(*im)) {
        while (n < sizeof(*im)) {
            ssize_t got = read(fd, (char *)im + n, sizeof(*im) - n);
            if (got < 0 && errno == EINTR) continue;
            if (got <= 0) break;
            n += (size_t)got;
        }
    }
    close(fd);
    const header *h = &im->header;
    return n == sizeof(*im) && !memcmp(h->magic, MAGIC, sizeof(MAGIC)) && h->version == VERSION &&
           h->nentries == NENTRIES && h->nsites == NSITES;
}

int tide_blackbox_read(const char *path, void (*line)(void *arg, const char *text), void *arg) {
    typedef struct {
        image image;
        order sorted[NENTRIES];
    } reading; /* in own memory: the file may change meanwhile */
    reading *room = mmap(NULL, sizeof(*room), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED) return -1;
    int n = read_image(path, &room->image) ? print_image(&room->image, room->sorted, line, arg) : -1;
    munmap(room, sizeof(*room));
    return n;
}
