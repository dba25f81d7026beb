/* What the tests of the file readers share: contexts, the data's folder, an allocator that fails, mutated
 * bytes. */
#ifndef IO_TEST_H
#define IO_TEST_H

#include "base/context.h"
#include "io/json.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#ifndef TIDE_TEST_DATA
#define TIDE_TEST_DATA "tests/data"
#endif

static const char *data_folder = TIDE_TEST_DATA; /* or the first argument */
static char scratch_folder[300];

static tide_context *open_context(void) {
    tide_context *cx;
    tide_config config = {.size = sizeof config, .threads = 1};
    assert_int_equal(tide_open(&config, &cx), TIDE_OK);
    return cx;
}

static uint64_t live_bytes(tide_context *cx) {
    tide_memory_stats m;
    tide_memory(cx, &m);
    return m.live;
}

/* The context holds nothing that it did not hold before; its error is forgotten. */
static void assert_clean(tide_context *cx, uint64_t live) {
    tide_error(cx, NULL);
    assert_int_equal(live_bytes(cx), live);
}

static char *slurp(const char *path, size_t *n) {
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s: cannot be read", path);
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    char *text = malloc(*n + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, *n, f), *n);
    text[*n] = 0;
    fclose(f);
    return text;
}

static void spill(const char *path, const char *text, size_t n) {
    unlink(path); /* some file systems wait for the disk when a file is emptied and written again */
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static const char *data_path(const char *folder, const char *name, const char *ending) {
    static char path[4][512];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s/%s%s", data_folder, folder, name, ending);
    return path[turn];
}

static const char *scratch_path(const char *name) {
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", scratch_folder, name);
    return path;
}

static inline tide_json_doc read_json(tide_context *cx, const char *path) {
    size_t n;
    char *text = slurp(path, &n);
    tide_json_doc doc;
    if (tide_json_read(cx, text, n, &doc)) fail_msg("%s: %s", path, tide_error(cx, NULL));
    free(text);
    return doc;
}

static uint64_t random_state = 88172645463325252u;
static uint64_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

typedef struct {
    int64_t left;
    int64_t live;
} meter;

static void *failing_alloc(void *ud, void *p, size_t from, size_t to, size_t align) {
    meter *m = ud;
    if (to == 0) {
        if (p) m->live -= (int64_t)from;
        free(p);
        return NULL;
    }
    if (m->left-- <= 0) return NULL;
    void *q = NULL;
    if (posix_memalign(&q, align < sizeof(void *) ? sizeof(void *) : align, to)) return NULL;
    m->live += (int64_t)to;
    if (p) {
        memcpy(q, p, from < to ? from : to);
        free(p);
        m->live -= (int64_t)from;
    }
    return q;
}

typedef tide_status (*job)(tide_context *cx);

/* Every call of the host's allocator fails once, and all after it: TIDE_EMEM, and nothing is kept. */
static void fail_every_time(job run) {
    for (int64_t k = 0;; k++) {
        meter m = {INT64_MAX, 0};
        tide_context *cx;
        tide_config config = {.size = sizeof config, .ud = &m, .alloc = failing_alloc, .threads = 1};
        assert_int_equal(tide_open(&config, &cx), TIDE_OK);
        uint64_t live = live_bytes(cx);
        m.left = k;
        tide_status e = run(cx), code = TIDE_OK;
        m.left = INT64_MAX;
        tide_error(cx, &code);
        assert_int_equal(code, e);
        assert_true(e == TIDE_OK || e == TIDE_EMEM);
        assert_int_equal(live_bytes(cx), live);
        tide_close(cx);
        assert_int_equal(m.live, 0);
        if (!e) break;
    }
}

/* Some bytes of the text are changed, left out or doubled; returns its new length, at most n + 64. */
static inline size_t mutate(char *text, size_t n) {
    static const char likely[] = "\"\",,\n\r{}[]:\\0123456789-+.eEu \xff\xc3\xef";
    for (int times = (int)(next_random() % 4) + 1; times > 0 && n > 0; times--) {
        size_t at = next_random() % n;
        switch (next_random() % 5) {
        case 0: text[at] ^= (char)(1u << next_random() % 8); break;
        case 1: text[at] = likely[next_random() % (sizeof likely - 1)]; break;
        case 2: n = next_random() % 8 ? n : at; break;
        case 3: memmove(text + at, text + at + 1, n - at - 1), n--; break;
        default:
            memmove(text + at + 1, text + at, n - at);
            text[at] = likely[next_random() % (sizeof likely - 1)];
            n++;
        }
    }
    return n;
}

/* How often every file is mutated: TIDE_TEST_ROUNDS, to look for longer than the tests do. */
static int mutation_rounds(void) {
    const char *more = getenv("TIDE_TEST_ROUNDS");
    return more ? atoi(more) : 5;
}

static bool start_tests(int argc, char **argv) {
    const char *tmp = getenv("TMPDIR");
    if (argc > 1) data_folder = argv[1];
    snprintf(scratch_folder, sizeof scratch_folder, "%s/tide-test-io-XXXXXX", tmp ? tmp : P_tmpdir);
    return mkdtemp(scratch_folder);
}

#endif
