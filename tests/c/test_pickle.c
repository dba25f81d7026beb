/* Pickles byte by byte: what is understood, what is malformed, what is refused. The files of torch.save are
 * read in tests/lua/test_files.lua. */
#include "io_test.h"
#include "io/pth.h"

#define FRAME "\x80\x02"
#define OPEN_TENSOR "ctorch._utils\n_rebuild_tensor_v2\n("
#define STORAGE                                        \
    "(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0" \
    "0X\3\0\0\0cpuK\4tQ"

typedef struct {
    const char *bytes;
    size_t n;
    tide_status status;
    const char *says;
} pickle_case;
#define CASE(text, status, says) \
    { FRAME text, sizeof(FRAME text) - 1, status, says }

static const pickle_case cases[] = {
    CASE("N.", TIDE_OK, NULL),
    CASE("](K\1M\2\3J\xff\xff\xff\xff"
         "e.",
         TIDE_OK, NULL),
    CASE("]q\0h\0a.", TIDE_OK, NULL), /* a list that holds itself */
    CASE("}(X\1\0\0\0aK\1X\1\0\0\0"
         "bNu.",
         TIDE_OK, NULL),
    CASE("ccollections\nOrderedDict\n)R}b.", TIDE_OK, NULL),
    CASE("ctorch\nSize\nK\2K\3\x86\x85R.", TIDE_OK, NULL),
    CASE(OPEN_TENSOR STORAGE "K\0K\4\x85K\1\x85\x89})tR.", TIDE_EUNSUP,
         "unusual call"), /* hooks are a dictionary */
    CASE(OPEN_TENSOR STORAGE "K\0K\4\x85K\1\x85\x89}tR.", TIDE_OK, NULL),
    CASE(OPEN_TENSOR STORAGE "K\0K\4\x85K\1\x85\x89}NtR.", TIDE_OK, NULL),
    CASE(OPEN_TENSOR STORAGE "K\0K\4\x85K\1\x85\x89}}K\1K\1stR.", TIDE_EUNSUP, "hooks or flags"),
    CASE(OPEN_TENSOR STORAGE "K\0K\4\x85K\1\x85\x89}K\1K\1stR.", TIDE_EUNSUP, "hooks or flags"),
    CASE("", TIDE_EFORMAT, "ends early"),
    CASE("N", TIDE_EFORMAT, "ends early"),
    CASE("NN.", TIDE_EFORMAT, "one value"),
    CASE(".", TIDE_EFORMAT, "one value"),
    CASE("N.N", TIDE_EFORMAT, "one value"),
    CASE("(N.", TIDE_EFORMAT, "one value"),
    CASE("t.", TIDE_EFORMAT, "mark is missing"),
    CASE("e.", TIDE_EFORMAT, "mark is missing"),
    CASE("N(e.", TIDE_EFORMAT, "no list"),
    CASE("(e.", TIDE_EFORMAT, "nothing to add to"),
    CASE("](a.", TIDE_EFORMAT, "nothing to add"),
    CASE("](Na.", TIDE_EFORMAT, "nothing to add"), /* the list is beyond the mark */
    CASE("}(K\1u.", TIDE_EFORMAT, "key without a value"),
    CASE("}]Ns.", TIDE_EUNSUP, "a key that is no"),
    CASE("}G\x7f\xf8\0\0\0\0\0\0Ns.", TIDE_EUNSUP, "a key that is no"),
    CASE("]K\1K\2s.", TIDE_EFORMAT, "no dictionary"),
    CASE("N\x86.", TIDE_EFORMAT, "too few"),
    CASE("(N\x85\x85\x87.", TIDE_EFORMAT, "too few"),
    CASE("h\0.", TIDE_EFORMAT, "did not remember"),
    CASE("j\xff\xff\xff\xff.", TIDE_EFORMAT, "did not remember"),
    CASE("Nr\xff\xff\xff\xff.", TIDE_EFORMAT, "out of order"),
    CASE("q\0.", TIDE_EFORMAT, "nothing to remember"),
    CASE("X\xff\xff\xff\xffxx.", TIDE_EFORMAT, "ends early"),
    CASE("X\1\0\0\0\xff.", TIDE_EFORMAT, "not UTF-8"),
    CASE("\x8a\x09xxxxxxxxx.", TIDE_EUNSUP, "64 bits"),
    CASE("G\0\0.", TIDE_EFORMAT, "ends early"),
    CASE("cos\nsystem", TIDE_EFORMAT, "ends early"),
    CASE("cos\nsystem\nX\4\0\0\0true\x85R.", TIDE_EUNSUP, "'os.system'"),
    CASE("cbuiltins\neval\n.", TIDE_EUNSUP, "'builtins.eval'"),
    CASE("ctorch._utils\n_rebuild_tensor_v2\x1b[31m\n.", TIDE_EUNSUP, "'torch._utils._rebuild_tensor_v2?[31m'"),
    CASE("ctorch\nFloatStorage \n.", TIDE_EUNSUP, "'torch.FloatStorage '"),
    CASE("ctorch FloatStorage\n\n.", TIDE_EUNSUP, "'torch FloatStorage.'"),
    CASE("ctorch\nFloatStorage\n)R.", TIDE_EUNSUP, "unusual call of 'torch FloatStorage'"),
    CASE("ccollections\nOrderedDict\n]\x85R.", TIDE_EUNSUP, "unusual call"),
    CASE("N)R.", TIDE_EUNSUP, "calls a value"),
    CASE("ccollections\nOrderedDict\n]R.", TIDE_EUNSUP, "calls a value"),
    CASE(")R.", TIDE_EFORMAT, "nothing to call"),
    CASE("K\1Q.", TIDE_EFORMAT, "no storage"),
    CASE("Q.", TIDE_EFORMAT, "no storage"),
    CASE("(X\7\0\0\0storageccollections\nOrderedDict\nX\1\0\0\0"
         "0X\3\0\0\0cpuK\4tQ.",
         TIDE_EFORMAT, "no storage"),
    CASE("NNb.", TIDE_EUNSUP, "'BUILD'"),
    CASE("ctorch\nSize\n}b.", TIDE_EUNSUP, "'BUILD'"),
    CASE("b.", TIDE_EFORMAT, "nothing to build"),
    CASE("(ios\nsystem\n.", TIDE_EUNSUP, "'INST'"),
    CASE("(cos\nsystem\no.", TIDE_EUNSUP, "'os.system'"),
    CASE("(o.", TIDE_EUNSUP, "'OBJ'"),
    CASE("\x81.", TIDE_EUNSUP, "'NEWOBJ'"),
    CASE("\x93.", TIDE_EUNSUP, "'STACK_GLOBAL'"),
    CASE("\x82\1.", TIDE_EUNSUP, "'EXT1'"),
    CASE("P0\n.", TIDE_EUNSUP, "'PERSID'"),
    CASE("Vx\n.", TIDE_EUNSUP, "'UNICODE'"),
    CASE("\x80\4N.", TIDE_EUNSUP, "protocol 4"),
    CASE("\xff.", TIDE_EFORMAT, "unknown opcode"),
    CASE("z.", TIDE_EFORMAT, "unknown opcode"),
};

static void each_case(void **state) {
    (void)state;
    tide_context *cx = open_context();
    uint64_t live = live_bytes(cx);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tide_pickle p;
        char *exact = malloc(cases[i].n); /* so that reading on is noticed by sanitizers */
        memcpy(exact, cases[i].bytes, cases[i].n);
        tide_status e = tide_pickle_read(cx, "case", exact, cases[i].n, &p);
        const char *message = tide_error(cx, NULL);
        if (e != cases[i].status || (e && !strstr(message, cases[i].says)))
            fail_msg("case %zu: %d, %s", i, e, message ? message : "no error");
        if (!e) tide_pickle_free(cx, &p);
        assert_clean(cx, live);
        free(exact);
    }
    tide_pickle p;
    assert_int_equal(tide_pickle_read(cx, "empty", "", 0, &p), TIDE_EFORMAT);
    assert_clean(cx, live);
    tide_close(cx);
}

static void values(void **state) {
    (void)state;
    static const char text[] =
        FRAME "](K\xffM\xff\xffJ\xfe\xff\xff\xff\x8a\x01\x80\x8a\x00\x8a\x08\0\0\0\0\0\0\0\x80"
              "G\xc0\x04\0\0\0\0\0\0X\3\0\0\0a\0b\x88\x89N"
              "e.";
    tide_context *cx = open_context();
    tide_pickle p;
    assert_int_equal(tide_pickle_read(cx, "values", text, sizeof text - 1, &p), TIDE_OK);
    const tide_pickle_node *list = &p.node[p.root];
    assert_true(list->type == PICKLE_LIST && list->n == 11);
    static const int64_t ints[] = {255, 65535, -2, -128, 0, INT64_MIN};
    for (uint32_t i = 0; i < 6; i++) {
        const tide_pickle_node *v = tide_pickle_child(&p, list, i);
        assert_true(v->type == PICKLE_INT && v->v.i == ints[i]);
    }
    assert_true(tide_pickle_child(&p, list, 6)->v.f == -2.5);
    assert_memory_equal(tide_pickle_child(&p, list, 7)->v.text, "a\0b", 3);
    assert_int_equal(tide_pickle_child(&p, list, 8)->type, PICKLE_TRUE);
    assert_int_equal(tide_pickle_child(&p, list, 10)->type, PICKLE_NONE);
    assert_null(tide_pickle_child(&p, list, 11));
    tide_pickle_free(cx, &p);
    tide_close(cx);
}

/* A million values take memory in proportion. */
static void bounded(void **state) {
    (void)state;
    enum { N = 1000000 };
    char *text = malloc(N + 6);
    memcpy(text, FRAME "](", 4);
    memset(text + 4, ']', N);
    memcpy(text + 4 + N, "e.", 2);
    tide_context *cx = open_context();
    tide_pickle p;
    assert_int_equal(tide_pickle_read(cx, "many", text, N + 6, &p), TIDE_OK);
    tide_memory_stats m;
    tide_memory(cx, &m);
    assert_true(m.peak < 200u * N);
    assert_int_equal(p.node[p.root].n, N);
    tide_pickle_free(cx, &p);
    tide_close(cx);
    free(text);
}

static tide_status open_job(tide_context *cx) {
    tide_zip zip;
    tide_pth p;
    tide_status e = tide_zip_open(cx, data_path("pth", "plain.pth", ""), &zip);
    if (!e) e = tide_pth_open(&zip, &p);
    if (!e) tide_pth_close(&p);
    return e;
}
static void failing_allocations(void **state) {
    (void)state;
    fail_every_time(open_job);
}

/* Damaged pickles in whole archives: their sums are made right, or the pickle would not be looked at. */
static void mutated_files(void **state) {
    (void)state;
    tide_context *cx = open_context();
    uint64_t live = live_bytes(cx);
    size_t n;
    char *text = slurp(data_path("pth", "plain.pth", ""), &n), *copy = malloc(n + 64), path[512];
    snprintf(path, sizeof path, "%s", scratch_path("mutated"));
    int good = 0;
    for (int round = 200 * mutation_rounds(); round > 0; round--) {
        tide_zip zip;
        tide_pth p;
        memcpy(copy, text, n);
        spill(path, copy, n);
        assert_int_equal(tide_zip_open(cx, path, &zip), TIDE_OK);
        for (int64_t i = 0; i < zip.n; i++) {
            const tide_zip_entry *e = &zip.entry[i];
            if (e->name_length < 8 || memcmp(e->name + e->name_length - 8, "data.pkl", 8)) continue;
            size_t at = (size_t)(e->data - zip.map.data), row = (size_t)(e->name - zip.map.data) - 30;
            copy[at + next_random() % e->size] = (char)next_random();
            uint32_t sum = tide_crc32(0, copy + at, e->size);
            for (int k = 0; k < 4; k++) copy[row + (size_t)k] = (char)(sum >> 8 * k);
        }
        tide_zip_close(&zip);
        spill(path, copy, n);
        tide_status e = tide_zip_open(cx, path, &zip);
        if (!e) e = tide_pth_open(&zip, &p);
        if (!e) tide_pth_close(&p);
        assert_true(!e || e == TIDE_EFORMAT || e == TIDE_EUNSUP);
        good += !e;
        assert_clean(cx, live);
    }
    assert_true(good > 0); /* a text or a number is another */
    free(text);
    free(copy);
    unlink(path);
    tide_close(cx);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_case), cmocka_unit_test(values),
                                       cmocka_unit_test(bounded), cmocka_unit_test(failing_allocations),
                                       cmocka_unit_test(mutated_files)};
    if (!start_tests(argc, argv)) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(scratch_folder);
    return failed;
}
