/* JSON and safetensors, against what the safetensors package makes of the same bytes, against mutated files and
 * against an allocator and a disk that fail. */
#include "io_test.h"
#include "io/safetensors.h"
#include <locale.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* ---- JSON ---- */

static void json_good(void **state) {
    (void)state;
    static const char *const good[] = {"null",
                                       " true ",
                                       "false",
                                       "0",
                                       "-0",
                                       "1e5",
                                       "-1.5E-3",
                                       "\"\"",
                                       "[]",
                                       "{}",
                                       "[ ]",
                                       "{ }",
                                       "[1,2,[3]]",
                                       "{\"a\":1,\"A\":2}",
                                       "\"\\u0000\"",
                                       "\"\\ud83d\\ude42\"",
                                       "\"\xf4\x8f\xbf\xbf\"",
                                       "\"\x7f\"",
                                       "\t\r\n 1 \n",
                                       "{\"\":null}",
                                       "\"\\/\\\\\\\"\\b\\f\\n\\r\\t\"",
                                       "\",,,,[[{{\"",
                                       "1e400"};
    tide_context *cx = open_context();
    uint64_t live = live_bytes(cx);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        tide_json_doc doc;
        if (tide_json_read(cx, good[i], strlen(good[i]), &doc))
            fail_msg("%s: %s", good[i], tide_error(cx, NULL));
        tide_json_free(cx, &doc);
        assert_clean(cx, live);
    }
    static const char text[] = "{\"i\":[9007199254740993,-9223372036854775808,9223372036854775808,0.1,2e0],"
                               "\"s\":\"a\\u00e9\\ud83d\\ude42\\n\\u0000b\",\"\\u0061\":{\"x\":{\"y\":[]}}}";
    tide_json_doc doc;
    assert_int_equal(tide_json_read(cx, text, sizeof text - 1, &doc), TIDE_OK);
    const tide_json *v = tide_json_get(doc.root, "i")->child;
    assert_true(v->type == JSON_INT && v->i == 9007199254740993);
    v = v->next;
    assert_true(v->type == JSON_INT && v->i == INT64_MIN);
    v = v->next;
    assert_true(v->type == JSON_FLOAT && v->f == 9223372036854775808.0);
    v = v->next;
    assert_true(v->type == JSON_FLOAT && v->f == 0.1);
    v = v->next;
    assert_true(v->type == JSON_FLOAT && v->f == 2 && !v->next);
    v = tide_json_get(doc.root, "s");
    assert_true(v->length == 10 && !memcmp(v->string, "a\xc3\xa9\xf0\x9f\x99\x82\n\0b", 11));
    v = tide_json_get(tide_json_get(tide_json_get(doc.root, "a"), "x"), "y");
    assert_true(v && v->type == JSON_ARRAY && v->length == 0);
    assert_null(tide_json_get(v, "z"));
    assert_null(tide_json_get(doc.root, "z"));
    char quoted[64];
    size_t n = tide_json_quote("a\"\\\n\x01\xc3\xa9", 7, quoted, sizeof quoted);
    assert_true(n == 21 && !memcmp(quoted, "\"a\\\"\\\\\\u000a\\u0001\xc3\xa9\"", n));
    assert_int_equal(tide_json_quote("a\"b", 3, quoted, 2), 6);
    tide_json_free(cx, &doc);
    assert_clean(cx, live);
    tide_close(cx);
}

static void json_bad(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
    } bad[] = {{"", "at byte 0"},
               {" ", "at byte 1"},
               {"nul", "at byte 0"},
               {"01", "text after the value at byte 1"},
               {"1.", "a digit is expected at byte 2"},
               {".5", "at byte 0"},
               {"+1", "at byte 0"},
               {"1e", "at byte 2"},
               {"-", "at byte 1"},
               {"[1,]", "at byte 3"},
               {"[1 2]", "at byte 3"},
               {"[,1]", "at byte 1"},
               {"[", "at byte 1"},
               {"{\"a\"}", "':' is expected"},
               {"{a:1}", "a string is expected"},
               {"{\"a\":1,}", "at byte 7"},
               {"{\"a\":1,\"a\":2}", "a name appears twice"},
               {"{\"a\":1,\"\\u0061\":2}", "a name appears twice"},
               {"\"a", "a string does not end"},
               {"\"\\", "escape"},
               {"\"\\u12\"", "escape"},
               {"\"\\x41\"", "an unknown escape"},
               {"\"\\ud800\"", "\\u escape"},
               {"\"\\ud800\\u0041\"", "a lone surrogate"},
               {"\"\\udc00\"", "\\u escape"},
               {"\"\xff\"", "invalid UTF-8 at byte 1"},
               {"\"\xed\xa0\x80\"", "invalid UTF-8"},
               {"\"\xc0\xaf\"", "invalid UTF-8"},
               {"\"\xf4\x90\x80\x80\"", "invalid UTF-8"},
               {"\"\xc3", "invalid UTF-8"},
               {"\"\n\"", "a control character"},
               {"1 2", "text after the value at byte 2"},
               {"NaN", "at byte 0"},
               {"'a'", "at byte 0"},
               {"[1]/**/", "text after"},
               {"\xef\xbb\xbf[]", "at byte 0"},
               {"truefalse", "text after the value at byte 4"}};
    tide_context *cx = open_context();
    uint64_t live = live_bytes(cx);
    tide_json_doc doc;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (tide_json_read(cx, bad[i].text, strlen(bad[i].text), &doc) != TIDE_EFORMAT)
            fail_msg("%s: taken", bad[i].text);
        const char *message = tide_error(cx, NULL);
        if (strncmp(message, "JSON: ", 6) || !strstr(message, bad[i].message))
            fail_msg("%s: %s", bad[i].text, message);
        assert_clean(cx, live);
    }
    assert_int_equal(tide_json_read(cx, "1\0", 2, &doc), TIDE_EFORMAT);
    tide_error(cx, NULL);
    enum { DEEP = 100000 };
    char *deep = malloc(2 * DEEP);
    memset(deep, '[', DEEP);
    memset(deep + DEEP, ']', DEEP);
    assert_int_equal(tide_json_read(cx, deep, 2 * DEEP, &doc), TIDE_EFORMAT);
    assert_non_null(strstr(tide_error(cx, NULL), "nested too deeply at byte 64"));
    assert_int_equal(tide_json_read(cx, deep + DEEP - 64, 128, &doc), TIDE_OK);
    tide_json_free(cx, &doc);
    /* what cannot be a value asks for no memory of its own */
    memset(deep, ',', 2 * DEEP);
    deep[0] = '[';
    assert_int_equal(tide_json_read(cx, deep, 2 * DEEP, &doc), TIDE_EFORMAT);
    tide_memory_stats m;
    tide_memory(cx, &m);
    assert_true(m.peak < live + 1000000);
    free(deep);
    assert_clean(cx, live);
    tide_close(cx);
}

/* A locale whose point is a comma changes nothing. */
static void locale_does_not_matter(void **state) {
    (void)state;
    static const char *const commas[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE"};
    bool found = false;
    for (size_t i = 0; i < sizeof commas / sizeof *commas && !found; i++)
        found = setlocale(LC_NUMERIC, commas[i]);
    tide_context *cx = open_context();
    tide_json_doc doc;
    assert_int_equal(tide_json_read(cx, "[1.5e-300]", 10, &doc), TIDE_OK);
    assert_true(doc.root->child->f == 1.5e-300);
    tide_json_free(cx, &doc);
    tide_close(cx);
    setlocale(LC_NUMERIC, "C");
    if (!found) skip();
}

/* ---- safetensors ---- */

static const tide_st_entry *find_entry(const tide_st_file *f, const char *name, size_t n) {
    for (int64_t i = 0; i < f->n; i++)
        if (f->entry[i].name_length == n && !memcmp(f->entry[i].name, name, n)) return &f->entry[i];
    return NULL;
}

static void check_entry(const char *file, const tide_st_file *f, const tide_json *want) {
    const tide_st_entry *e = find_entry(f, want->key, want->key_length);
    if (!e) fail_msg("%s: '%s' is missing", file, want->key);
    assert_string_equal(e->dtype_name, tide_json_get(want, "dtype")->string);
    const tide_json *shape = tide_json_get(want, "shape"), *hex = tide_json_get(want, "hex");
    assert_int_equal(e->ndim, shape->length);
    int d = 0;
    for (const tide_json *s = shape->child; s && d < TIDE_MAXDIM; s = s->next)
        assert_true(e->shape[d++] == s->i);
    assert_int_equal(e->nbytes * 2, hex->length);
    for (size_t i = 0; i < e->nbytes; i++) {
        char byte[3];
        snprintf(byte, sizeof byte, "%02x", (unsigned char)e->data[i]);
        assert_memory_equal(byte, hex->string + 2 * i, 2);
    }
}

static void safetensors_files(void **state) {
    (void)state;
    tide_context *cx = open_context();
    tide_json_doc doc = read_json(cx, data_path("safetensors", "expected.json", ""));
    uint64_t live = live_bytes(cx);
    int malformed = 0, valid = 0;
    tide_st_file f;
    for (const tide_json *v = tide_json_get(doc.root, "malformed")->child; v; v = v->next, malformed++) {
        const char *path = data_path("safetensors", v->key, "");
        if (tide_st_open(cx, path, &f) != TIDE_EFORMAT) fail_msg("%s: not refused", v->key);
        tide_status code;
        const char *message = tide_error(cx, &code);
        assert_true(code == TIDE_EFORMAT && message);
        assert_clean(cx, live);
    }
    for (const tide_json *v = tide_json_get(doc.root, "valid")->child; v; v = v->next, valid++) {
        if (tide_st_open(cx, data_path("safetensors", v->key, ""), &f))
            fail_msg("%s: %s", v->key, tide_error(cx, NULL));
        const tide_json *tensors = tide_json_get(v, "tensors"), *metadata = tide_json_get(v, "metadata");
        if (tide_json_get(v, "tensors_rule")) {
            assert_int_equal(f.n, 800);
            for (int i = 0; i < 800; i++) {
                char name[16];
                float value;
                snprintf(name, sizeof name, "t%03d", i);
                memcpy(&value, find_entry(&f, name, 4)->data, sizeof value);
                assert_true(value == (float)i);
            }
        } else {
            assert_int_equal(f.n, tensors->length);
            for (const tide_json *t = tensors->child; t; t = t->next) check_entry(v->key, &f, t);
        }
        assert_int_equal(f.metadata ? f.metadata->length : 0, metadata->length);
        for (const tide_json *m = metadata->child; m; m = m->next) {
            const tide_json *got = tide_json_get(f.metadata, m->key);
            assert_true(got && got->length == m->length && !memcmp(got->string, m->string, m->length));
        }
        tide_st_close(&f);
        assert_clean(cx, live);
    }
    assert_int_equal(malformed, 90);
    assert_int_equal(valid, 22);
    tide_json_free(cx, &doc);
    assert_int_equal(tide_st_open(cx, scratch_path("absent"), &f), TIDE_EIO);
    assert_non_null(strstr(tide_error(cx, NULL), "No such file"));
    assert_int_equal(tide_st_open(cx, scratch_folder, &f), TIDE_EIO);
    tide_close(cx);
}

static const float numbers32[6] = {1, 2, 3, 4, 5, 6};
static const double numbers64[2] = {1.5, -2.5};
static const tide_st_entry saved[] = {
    {.name = "w", .dtype = TIDE_F32, .ndim = 2, .shape = {2, 3}, .data = (const char *)numbers32, .nbytes = 24},
    {.name = "flag", .dtype = TIDE_BOOL, .ndim = 1, .shape = {1}, .data = "\1", .nbytes = 1},
    {.name = "b\"\\\n\xc3\xa9",
     .dtype = TIDE_F64,
     .ndim = 1,
     .shape = {2},
     .data = (const char *)numbers64,
     .nbytes = 16},
    {.name = "empty", .dtype = TIDE_I8, .ndim = 2, .shape = {0, 7}},
    {.name = "a\0b", .name_length = 3, .dtype = TIDE_BF16, .data = "\x80\x3f", .nbytes = 2},
};
enum { NSAVED = sizeof saved / sizeof *saved };
static const tide_st_text saved_metadata[] = {{"format", 0},     {"tide", 0},     {"odd\"key", 0},
                                              {"tab\tvalue", 0}, {"nul\0key", 7}, {"a\0b", 3}};
enum { NPAIRS = 3 };

static void check_saved(const char *path) {
    tide_context *cx = open_context();
    tide_st_file f;
    assert_int_equal(tide_st_open(cx, path, &f), TIDE_OK);
    assert_int_equal(f.n, NSAVED);
    for (int i = 0; i < NSAVED; i++) {
        const tide_st_entry *e = &saved[i];
        const tide_st_entry *got = find_entry(&f, e->name, e->name_length ? e->name_length : strlen(e->name));
        assert_non_null(got);
        assert_true(got->dtype == e->dtype && got->ndim == e->ndim && got->nbytes == e->nbytes);
        assert_memory_equal(got->shape, e->shape, sizeof got->shape);
        if (e->nbytes) assert_memory_equal(got->data, e->data, e->nbytes);
        assert_int_equal((uintptr_t)got->data % (e->dtype == TIDE_F64 ? 8 : e->dtype == TIDE_F32 ? 4 : 1), 0);
    }
    assert_string_equal(tide_json_get(f.metadata, "odd\"key")->string, "tab\tvalue");
    const tide_json *last = f.metadata->child;
    while (last->next) last = last->next;
    assert_true(last->key_length == 7 && !memcmp(last->key, "nul\0key", 7));
    assert_true(last->length == 3 && !memcmp(last->string, "a\0b", 3));
    tide_st_close(&f);
    tide_close(cx);
}

/* What the reference implementation passes over. */
static void safetensors_left_aside(void **state) {
    (void)state;
    static const char text[] = "\x66\0\0\0\0\0\0\0{\"__metadata__\":null,\"a\":{\"dtype\":\"U8\",\"shape\":[1],"
                               "\"data_offsets\":[0,1],\"more\":{\"x\":[1]}}}            \7";
    tide_context *cx = open_context();
    tide_st_file f;
    const char *path = scratch_path("aside.safetensors");
    spill(path, text, sizeof text - 1);
    assert_int_equal(tide_st_open(cx, path, &f), TIDE_OK);
    assert_true(!f.metadata && f.n == 1 && *f.entry[0].data == 7);
    tide_st_close(&f);
    unlink(path);
    tide_close(cx);
}

static void safetensors_saving(void **state) {
    (void)state;
    tide_context *cx = open_context();
    uint64_t live = live_bytes(cx);
    const char *path = scratch_path("saved.safetensors");
    for (int i = 0; i < 2; i++) { /* also over an old file */
        assert_int_equal(tide_st_save(cx, path, saved, NSAVED, saved_metadata, NPAIRS, NULL, NULL), TIDE_OK);
        check_saved(path);
    }
    char again[512], missing[512];
    snprintf(again, sizeof again, "%s", scratch_path("again.safetensors"));
    tide_st_entry turned[NSAVED]; /* the order of the entries does not matter */
    for (int i = 0; i < NSAVED; i++) turned[i] = saved[NSAVED - 1 - i];
    assert_int_equal(tide_st_save(cx, again, turned, NSAVED, saved_metadata, NPAIRS, NULL, NULL), TIDE_OK);
    size_t n, m;
    char *x = slurp(scratch_path("saved.safetensors"), &n), *y = slurp(again, &m);
    assert_true(n == m && !memcmp(x, y, n));
    free(x);
    free(y);
    unlink(again);
    assert_int_equal(tide_st_save(cx, again, NULL, 0, NULL, 0, NULL, NULL), TIDE_OK);
    tide_st_file f;
    assert_int_equal(tide_st_open(cx, again, &f), TIDE_OK);
    assert_int_equal(f.n, 0);
    tide_st_close(&f);
    unlink(again);

    static const tide_st_text twice[] = {{"k", 0}, {"1", 0}, {"k", 0}, {"2", 0}},
                              broken[] = {{"k", 0}, {"\xff", 0}};
    tide_st_entry wrong[2] = {saved[0], saved[0]};
    assert_int_equal(tide_st_save(cx, again, wrong, 2, NULL, 0, NULL, NULL), TIDE_EARG);
    assert_non_null(strstr(tide_error(cx, NULL), "two tensors are named 'w'"));
    wrong[0].dtype = TIDE_U8, wrong[0].nbytes = 6; /* of another size, so not next to it in the file */
    assert_int_equal(tide_st_save(cx, again, wrong, 2, NULL, 0, NULL, NULL), TIDE_EARG);
    tide_error(cx, NULL);
    wrong[0].nbytes = 5;
    assert_int_equal(tide_st_save(cx, again, wrong, 1, NULL, 0, NULL, NULL), TIDE_EARG);
    tide_error(cx, NULL);
    wrong[0].dtype = 0;
    assert_int_equal(tide_st_save(cx, again, wrong, 1, NULL, 0, NULL, NULL), TIDE_EARG);
    tide_error(cx, NULL);
    wrong[1].name = "\xff";
    assert_int_equal(tide_st_save(cx, again, wrong + 1, 1, NULL, 0, NULL, NULL), TIDE_EARG);
    tide_error(cx, NULL);
    wrong[1].name = "__metadata__";
    assert_int_equal(tide_st_save(cx, again, wrong + 1, 1, NULL, 0, NULL, NULL), TIDE_EARG);
    tide_error(cx, NULL);
    assert_int_equal(tide_st_save(cx, again, saved, 1, twice, 2, NULL, NULL), TIDE_EARG);
    tide_error(cx, NULL);
    assert_int_equal(tide_st_save(cx, again, saved, 1, broken, 1, NULL, NULL), TIDE_EARG);
    tide_error(cx, NULL);
    snprintf(missing, sizeof missing, "%s/no/such", scratch_folder);
    assert_int_equal(tide_st_save(cx, missing, saved, 1, NULL, 0, NULL, NULL), TIDE_EIO);
    assert_non_null(strstr(tide_error(cx, NULL), "No such file"));
    assert_int_equal(tide_st_save(cx, scratch_folder, saved, 1, NULL, 0, NULL, NULL),
                     TIDE_EIO); /* a folder is there */
    assert_clean(cx, live);
    tide_close(cx);
}

/* A disk that is full half way: the old file stays, and nothing else. */
static void safetensors_full_disk(void **state) {
    (void)state;
    struct rlimit old, small = {0, 0};
    tide_context *cx = open_context();
    const char *path = scratch_path("saved.safetensors");
    assert_int_equal(tide_st_save(cx, path, saved, NSAVED, saved_metadata, NPAIRS, NULL, NULL), TIDE_OK);
    static const char zeros[100000];
    tide_st_entry big = {
        .name = "big", .dtype = TIDE_U8, .ndim = 1, .shape = {100000}, .data = zeros, .nbytes = 100000};
    getrlimit(RLIMIT_FSIZE, &old);
    small.rlim_cur = 5000;
    small.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    tide_status e = tide_st_save(cx, path, &big, 1, NULL, 0, NULL, NULL);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(e, TIDE_EIO);
    assert_non_null(strstr(tide_error(cx, NULL), "File too large"));
    check_saved(path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(scratch_folder), 0); /* it is empty */
    assert_int_equal(mkdir(scratch_folder, 0700), 0);
    tide_close(cx);
}

/* ---- failing allocations, mutated files ---- */

static char *job_text;
static size_t job_bytes;

static tide_status json_job(tide_context *cx) {
    tide_json_doc doc;
    tide_status e = tide_json_read(cx, job_text, job_bytes, &doc);
    if (!e) tide_json_free(cx, &doc);
    return e;
}

static tide_status open_job(tide_context *cx) {
    tide_st_file f;
    tide_status e = tide_st_open(cx, data_path("safetensors", "ok-many-tensors.safetensors", ""), &f);
    if (!e) tide_st_close(&f);
    return e;
}

static tide_status save_job(tide_context *cx) {
    return tide_st_save(cx, scratch_path("job.safetensors"), saved, NSAVED, saved_metadata, NPAIRS, NULL, NULL);
}

static void failing_allocations(void **state) {
    (void)state;
    job_text = slurp(data_path("safetensors", "expected.json", ""), &job_bytes);
    fail_every_time(json_job);
    free(job_text);
    fail_every_time(open_job);
    fail_every_time(save_job);
    unlink(scratch_path("job.safetensors"));
}

static void mutate_safetensors(tide_context *cx, const char *name) {
    size_t n;
    char *text = slurp(data_path("safetensors", name, ""), &n);
    char *copy = malloc(n + 64);
    memcpy(copy, text, n);
    size_t m = mutate(copy, n);
    char *exact = malloc(m ? m : 1);
    memcpy(exact, copy, m);
    tide_json_doc doc;
    if (m > 8 && !tide_json_read(cx, exact + 8, m - 8, &doc)) tide_json_free(cx, &doc);
    char path[512];
    snprintf(path, sizeof path, "%s", scratch_path("mutated"));
    spill(path, exact, m);
    tide_st_file f;
    if (!tide_st_open(cx, path, &f)) {
        size_t sum = 0;
        for (int64_t i = 0; i < f.n; i++)
            for (size_t k = 0; k < f.entry[i].nbytes; k++) sum += (unsigned char)f.entry[i].data[k];
        assert_true(sum <= 255 * m);
        tide_st_close(&f);
    }
    free(exact);
    free(copy);
    free(text);
}

static void mutated_files(void **state) {
    (void)state;
    tide_context *cx = open_context();
    tide_json_doc expected = read_json(cx, data_path("safetensors", "expected.json", ""));
    uint64_t live = live_bytes(cx);
    for (int round = mutation_rounds(); round > 0; round--)
        for (const tide_json *part = expected.root->child; part; part = part->next)
            for (const tide_json *v = part->child; v; v = v->next) {
                mutate_safetensors(cx, v->key);
                assert_clean(cx, live);
            }
    unlink(scratch_path("mutated"));
    tide_json_free(cx, &expected);
    tide_close(cx);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(json_good),
                                       cmocka_unit_test(json_bad),
                                       cmocka_unit_test(locale_does_not_matter),
                                       cmocka_unit_test(safetensors_files),
                                       cmocka_unit_test(safetensors_saving),
                                       cmocka_unit_test(safetensors_left_aside),
                                       cmocka_unit_test(safetensors_full_disk),
                                       cmocka_unit_test(failing_allocations),
                                       cmocka_unit_test(mutated_files)};
    if (!start_tests(argc, argv)) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(scratch_folder);
    return failed;
}
