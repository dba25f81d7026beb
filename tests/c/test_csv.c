/* Numbers against strtod, CSV against what pandas makes of the same files, against mutated files and against an
 * allocator that fails. */
#include "io_test.h"
#include "io/csv.h"
#include "io/decimal.h"
#include <math.h>

/* ---- numbers ---- */

static void assert_number(const char *text) {
    double want = strtod(text, NULL), got = 0;
    if (!tide_parse_double(text, text + strlen(text), &got)) fail_msg("%s is a number", text);
    if (memcmp(&want, &got, sizeof want)) fail_msg("%s: %.17g, not %.17g", text, got, want);
}

static void numbers_are_rounded_once(void **state) {
    (void)state;
    static const char *const hard[] = {
        "0",
        "-0",
        "0.0",
        "1",
        "9007199254740993",
        "9007199254740993.0",
        "9007199254740992.99999999999999999",
        "9007199254740993.00000000000000000000000000000001",
        "1e22",
        "1e23",
        "8.5e22",
        "123456789012345678e5",
        "18446744073709551615e-27",
        "18446744073709551615e27",
        "9999999999999999999e-27",
        "1e-27",
        "1e27",
        "3e-28",
        "2.2250738585072011e-308",
        "2.2250738585072014e-308",
        "5e-324",
        "2.4703282292062327e-324",
        "2.4703282292062328e-324",
        "1.7976931348623157e308",
        "1.7976931348623159e308",
        "1e400",
        "-1e400",
        "1e-400",
        "1e99999999999999999999",
        "1e-99999999999999999999",
        "0e99999999999999999999",
        ".5",
        "5.",
        "-.5e-3",
        "+.25",
        "0.000000000000000000000000000000000000000000000001234567890123456789",
        "0.1000000000000000055511151231257827",
        "179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017977587207096"
        "330286"
        "416692887910946555547851940402630657488671505820681908902000708383676273854845817711531764475730270069"
        "855571"
        "366959622842914819860834936475292719074168444365510704342711559699508093042880"};
    for (size_t i = 0; i < sizeof hard / sizeof *hard; i++) assert_number(hard[i]);
    char text[64], scaled[64];
    for (int i = 0; i < 200000; i++) {
        uint64_t bits = next_random();
        double d;
        if (i % 2) bits = (bits & ~((uint64_t)0x7FF << 52)) | (uint64_t)(963 + bits % 120) << 52; /* near 1 */
        memcpy(&d, &bits, sizeof d);
        if (!isfinite(d)) continue;
        snprintf(text, sizeof text, "%.*g", (int)(next_random() % 20 + 1), d);
        assert_number(text);
        snprintf(scaled, sizeof scaled, "%llue%d", (unsigned long long)next_random(),
                 (int)(next_random() % 64) - 32);
        assert_number(scaled);
        uint64_t half = (bits >> 12 | (uint64_t)1 << 52) << 1 | 1; /* exactly between two doubles */
        snprintf(scaled, sizeof scaled, "%llu%se%d", (unsigned long long)half, i % 3 ? "" : ".0", i % 4);
        assert_number(scaled);
    }
    static const char *const bad[] = {"",      "+",   "-",    ".",         "e5",      "1e", "1e+",
                                      "1.2.3", "--1", "1_0",  "0x10",      " 1",      "1 ", "1,5",
                                      "inf",   "nan", "1e5.", "12345678x", "1234567:"};
    double d;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(tide_parse_double(bad[i], bad[i] + strlen(bad[i]), &d));
    int64_t v;
    static const struct {
        const char *text;
        int64_t value;
    } ints[] = {{"9223372036854775807", INT64_MAX},
                {"-9223372036854775808", INT64_MIN},
                {"+5", 5},
                {"-0", 0},
                {"007", 7},
                {"0000000000000000000000000000012", 12},
                {"-12345678901", -12345678901}};
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) {
        assert_true(tide_parse_int64(ints[i].text, ints[i].text + strlen(ints[i].text), &v));
        assert_true(v == ints[i].value);
    }
    static const char *const no_ints[] = {"",    "-",         "9223372036854775808",  "-9223372036854775809",
                                          "1.0", "1e3",       "18446744073709551616", "99999999999999999999",
                                          "1 ",  "123456789a"};
    for (size_t i = 0; i < sizeof no_ints / sizeof *no_ints; i++)
        assert_false(tide_parse_int64(no_ints[i], no_ints[i] + strlen(no_ints[i]), &v));
}

/* The text where the reader may find it: behind anything, before anything. */
static void assert_at_once(const char *text, bool must) {
    static const char around[] = "0123456789.-,\n\"e";
    char line[160];
    size_t n = strlen(text), at = DECIMAL_REACH + next_random() % 8;
    for (size_t i = 0; i < sizeof line; i++) line[i] = around[next_random() % (sizeof around - 1)];
    memcpy(line + at, text, n);
    double want = 0, got = 0;
    int64_t want_int = 0, got_int = 0;
    bool number = tide_parse_double(text, text + n, &want), whole = tide_parse_int64(text, text + n, &want_int);
    bool taken = decimal_float(line, line + at, n, &got);
    if (number && memcmp(&(double){strtod(text, NULL)}, &want, sizeof want))
        fail_msg("%s is not %.17g", text, want);
    if ((taken && (!number || memcmp(&want, &got, sizeof want))) || (must && !taken))
        fail_msg("%s: %.17g, not %.17g", text, got, want);
    taken = decimal_int(line, line + at, n, &got_int);
    if (taken && (!whole || want_int != got_int)) fail_msg("%s: %lld", text, (long long)got_int);
    if (must && !taken && n <= 16 && strspn(text, "-0123456789") == n) fail_msg("%s is an int", text);
    assert_false(decimal_float(line + at + n - DECIMAL_REACH + 1, line + at, n, &got)); /* out of its reach */
}

static void short_numbers_are_strtod(void **state) {
    (void)state;
    static const char some[] = "00112233445566778899.-", any[] = "0123456789.-+eE x";
    char text[40];
    for (int i = 0; i < 400000; i++) {
        int n = (int)(next_random() % 24), places = (int)(next_random() % 20);
        for (int k = 0; k < n; k++)
            text[k] = i % 2 ? some[next_random() % (sizeof some - 1)] : any[next_random() % (sizeof any - 1)];
        text[n] = 0;
        assert_at_once(text, false);
        uint64_t w = next_random() >> next_random() % 64; /* of all lengths */
        int64_t power = 1;
        for (int k = 0; k < places % 16; k++) power *= 10;
        snprintf(text, sizeof text, "%s%llu", i % 3 ? "" : "-", (unsigned long long)w);
        assert_at_once(text, strlen(text) <= 19);
        snprintf(text, sizeof text, "%s%llu.%0*llu", i % 3 ? "-" : "", (unsigned long long)w % 1000,
                 places % 16, (unsigned long long)w % (uint64_t)power);
        assert_at_once(text, true);
        uint64_t half =
            (next_random() >> 11 | (uint64_t)1 << 53) >> 1 | 1; /* about 16 digits: near two doubles */
        snprintf(text, sizeof text, "%llu.%d", (unsigned long long)half, (int)(next_random() % 100));
        assert_at_once(text, true);
        snprintf(text, sizeof text, "%.*g", (int)(next_random() % 17 + 1), (double)next_random() / 0x1p64);
        assert_at_once(text, !strchr(text, 'e') && strlen(text) <= 19);
    }
}

/* ---- CSV ---- */

static const char *type_name(uint8_t type) {
    return type == TIDE_I64 ? "int" : type == TIDE_F64 ? "float" : type == TIDE_BOOL ? "bool" : "string";
}

static bool cell_is(const tide_csv_column *c, int64_t row, const tide_json *want) {
    bool missing = c->missing && c->missing[row];
    if (missing || want->type == JSON_NULL)
        return missing == (want->type == JSON_NULL) && (!c->f || isnan(c->f[row]));
    switch (c->type) {
    case TIDE_I64: return want->type == JSON_INT && want->i == c->i[row];
    case TIDE_F64:
        if (want->type == JSON_STRING) return c->f[row] == (*want->string == '-' ? -INFINITY : INFINITY);
        return (want->type == JSON_FLOAT || want->type == JSON_INT) && want->f == c->f[row];
    case TIDE_BOOL: return want->type == (c->b[row] ? JSON_TRUE : JSON_FALSE);
    default:
        return want->type == JSON_STRING && want->length == c->length[row] &&
               !memcmp(c->text[row], want->string, want->length);
    }
}

static tide_csv_options default_options(void) {
    return (tide_csv_options){.sep = ",", .header = 1, .keep_default_na = 1};
}

static tide_csv_options options_of(const tide_json *o, const char **na) {
    tide_csv_options options = default_options();
    const tide_json *v;
    if ((v = tide_json_get(o, "sep"))) options.sep = v->string;
    if ((v = tide_json_get(o, "header"))) options.header = v->type == JSON_TRUE;
    if ((v = tide_json_get(o, "keep_default_na"))) options.keep_default_na = v->type == JSON_TRUE;
    if ((v = tide_json_get(o, "skip_initial_space"))) options.skip_initial_space = v->type == JSON_TRUE;
    if ((v = tide_json_get(o, "na_values")))
        for (v = v->child; v; v = v->next) na[options.n_na_values++] = v->string;
    options.na_values = na;
    return options;
}

static void check_case(tide_context *cx, const char *name) {
    tide_json_doc doc = read_json(cx, data_path("csv-cases", name, ".json"));
    uint64_t live = live_bytes(cx);
    const char *na[16];
    tide_csv_options options = options_of(tide_json_get(doc.root, "options"), na);
    tide_csv *csv;
    tide_status e = tide_csv_read(cx, data_path("csv-cases", name, ".csv"), &options, &csv);
    const char *message = tide_error(cx, NULL);
    const tide_json *error = tide_json_get(doc.root, "error"), *line = tide_json_get(doc.root, "line");
    if (error) {
        if (e != TIDE_EFORMAT || csv) fail_msg("%s: not refused", name);
        char where[64];
        snprintf(where, sizeof where, ".csv:%d: ", line ? (int)line->i : 0);
        if (line && !strstr(message, where)) fail_msg("%s: %s: not in line %d", name, message, (int)line->i);
    } else {
        if (e) fail_msg("%s: %s", name, message);
        const tide_json *also = tide_json_get(tide_json_get(doc.root, "also_accept"), "dtypes");
        const tide_json *column = tide_json_get(doc.root, "columns")->child;
        const tide_json *type = (also ? also : tide_json_get(doc.root, "dtypes"))->child;
        const tide_json *rows = tide_json_get(doc.root, "rows");
        assert_int_equal(csv->ncolumns, tide_json_get(doc.root, "columns")->length);
        assert_int_equal(csv->rows, rows->length);
        for (int64_t j = 0; j < csv->ncolumns; j++, column = column->next, type = type->next) {
            const tide_csv_column *c = &csv->column[j];
            if (strcmp(c->name, column->string)) fail_msg("%s: '%s', not '%s'", name, c->name, column->string);
            if (csv->rows && strcmp(type_name(c->type), type->string))
                fail_msg("%s: '%s' is %s, not %s", name, c->name, type_name(c->type), type->string);
        }
        const tide_json *row = rows->child;
        for (int64_t i = 0; i < csv->rows; i++, row = row->next) {
            const tide_json *cell = row->child;
            for (int64_t j = 0; j < csv->ncolumns; j++, cell = cell->next)
                if (!cell_is(&csv->column[j], i, cell))
                    fail_msg("%s: row %d of '%s' is another", name, (int)i, csv->column[j].name);
        }
        tide_csv_free(cx, csv);
    }
    assert_clean(cx, live);
    tide_json_free(cx, &doc);
}

static void csv_cases(void **state) {
    (void)state;
    tide_context *cx = open_context();
    tide_json_doc index = read_json(cx, data_path("csv-cases", "index.json", ""));
    assert_int_equal(index.root->length, 90);
    for (const tide_json *v = index.root->child; v; v = v->next) check_case(cx, v->string);
    tide_json_free(cx, &index);
    tide_csv *csv;
    tide_csv_options o = default_options();
    assert_int_equal(tide_csv_read(cx, scratch_path("absent"), &o, &csv), TIDE_EIO);
    assert_non_null(strstr(tide_error(cx, NULL), "No such file"));
    assert_int_equal(tide_csv_read(cx, scratch_folder, &o, &csv), TIDE_EIO);
    tide_error(cx, NULL);
    tide_close(cx);
}

/* The text by way of a file. */
static tide_status parse(tide_context *cx, const char *text, size_t n, const tide_csv_options *o,
                         tide_csv **csv) {
    tide_csv_options defaults = default_options();
    spill(scratch_path("table.csv"), text, n);
    tide_status e = tide_csv_read(cx, scratch_path("table.csv"), o ? o : &defaults, csv);
    unlink(scratch_path("table.csv"));
    return e;
}

/* A table of `rows` rows whose columns change their minds late. */
static char *long_table(int rows, size_t *n) {
    char *text = malloc((size_t)rows * 120 + 1000), *p = text;
    p += sprintf(p, "int,late float,late text,late missing,quoted,bool,zero,empty\n");
    for (int i = 0; i < rows; i++) {
        bool last = i == rows - 1;
        p += sprintf(p, "%d,%s,%s,", i, last ? "0.5" : i % 2 ? "-7" : "12", last ? "oops" : "1");
        p += last ? sprintf(p, ",") : sprintf(p, "%d,", i);
        p += sprintf(p, "\"%d \"\"q\"\"\n, %d\",%s,%s,%s\n", i, i, i % 3 ? "true" : "FALSE",
                     last ? "1.5" : "-0", last ? "7" : "");
    }
    *n = (size_t)(p - text);
    return text;
}

static void csv_late_changes(void **state) {
    (void)state;
    enum { ROWS = 30000 };
    tide_context *cx = open_context();
    uint64_t live = live_bytes(cx);
    size_t n;
    char *text = long_table(ROWS, &n), want[64];
    tide_csv *csv;
    assert_int_equal(parse(cx, text, n, NULL, &csv), TIDE_OK);
    assert_int_equal(csv->rows, ROWS);
    const tide_csv_column *c = csv->column;
    static const uint8_t types[] = {TIDE_I64, TIDE_F64, 0, TIDE_F64, 0, TIDE_BOOL, TIDE_F64, TIDE_F64};
    for (int j = 0; j < 8; j++) assert_int_equal(c[j].type, types[j]);
    for (int i = 0; i < ROWS; i++) {
        bool last = i == ROWS - 1;
        assert_true(c[0].i[i] == i);
        assert_true(c[1].f[i] == (last ? 0.5 : i % 2 ? -7 : 12));
        assert_true(c[2].length[i] == (last ? 4 : 1) &&
                    !memcmp(c[2].text[i], last ? "oops" : "1", last ? 4 : 1));
        assert_true(last ? isnan(c[3].f[i]) && c[3].missing[i] : c[3].f[i] == i && !c[3].missing[i]);
        int length = sprintf(want, "%d \"q\"\n, %d", i, i);
        assert_true(c[4].length[i] == (uint32_t)length && !memcmp(c[4].text[i], want, (size_t)length));
        assert_true(c[5].b[i] == (i % 3 != 0));
        assert_true(last ? c[6].f[i] == 1.5 : c[6].f[i] == 0 && signbit(c[6].f[i]));
        assert_true(last ? c[7].f[i] == 7 && !c[7].missing[i] : isnan(c[7].f[i]) && c[7].missing[i]);
    }
    assert_null(c[0].missing);
    tide_csv_free(cx, csv);
    free(text);
    assert_clean(cx, live);
    tide_close(cx);
}

static tide_csv *parse_text(tide_context *cx, char *text, const tide_csv_options *o) {
    tide_csv *csv;
    if (parse(cx, text, strlen(text), o, &csv)) fail_msg("%s: %s", text, tide_error(cx, NULL));
    return csv;
}

static void csv_details(void **state) {
    (void)state;
    tide_context *cx = open_context();
    uint64_t live = live_bytes(cx);
    /* a number that means missing does so in every spelling where the column is of numbers, as text only as
     * given */
    static const char *const na[] = {"-999", "x"};
    tide_csv_options o = default_options();
    o.na_values = na;
    o.n_na_values = 2;
    char marked[] =
        "a,b,c,d\n-999,-999,-9.99e2,-999\n1,2.5,-999.00,u\nx,-9990e-1,y,-999.0\n4,-999.0,-999.0,-999.00\n";
    tide_csv *csv = parse_text(cx, marked, &o);
    const tide_csv_column *c = csv->column;
    assert_int_equal(c[0].type, TIDE_F64);
    assert_true(c[0].missing[0] && c[0].f[1] == 1 && c[0].missing[2] && c[0].f[3] == 4);
    assert_true(c[1].missing[0] && c[1].f[1] == 2.5 && c[1].missing[2] && c[1].missing[3]);
    assert_true(c[2].type == 0 && !c[2].missing[0] && !c[2].missing[1] && !c[2].missing[2] && c[2].missing[3]);
    assert_true(c[3].type == 0 && c[3].missing[0] && !c[3].missing[1] && c[3].missing[2] && !c[3].missing[3]);
    tide_csv_free(cx, csv);
    /* names */
    char names[] = "Unnamed: 1,,a,a,a.1,a.1,\"a\",\"q\"\"q\",a.2\n1,2,3,4,5,6,7,8,9\n";
    static const char *const want[] = {"Unnamed: 1", "Unnamed: 1.1", "a",    "a.3", "a.1",
                                       "a.1.1",      "a.4",          "q\"q", "a.2"};
    csv = parse_text(cx, names, NULL);
    for (int j = 0; j < 9; j++) assert_string_equal(csv->column[j].name, want[j]);
    tide_csv_free(cx, csv);
    /* cells that only become numbers without their quotes; a quote opened in the last byte of a window */
    char odd[] = "a,b\n\"1\"5,\" 2\"\"\"\n\"\"\"\"\"\",\"\"x\n";
    csv = parse_text(cx, odd, NULL);
    c = csv->column;
    assert_true(c[0].type == 0 && c[0].length[0] == 2 && !memcmp(c[0].text[0], "15", 2));
    assert_true(c[0].length[1] == 2 && !memcmp(c[0].text[1], "\"\"", 2));
    assert_true(c[1].length[0] == 3 && !memcmp(c[1].text[0], " 2\"", 3) && c[1].length[1] == 1);
    tide_csv_free(cx, csv);
    char joined[] = "a\n\"1\"5\n\"2\"\n";
    csv = parse_text(cx, joined, NULL);
    assert_true(csv->column->type == TIDE_I64 && csv->column->i[0] == 15 && csv->column->i[1] == 2);
    tide_csv_free(cx, csv);
    /* every length of a line around the 64 bytes that are looked at together */
    for (int n = 1; n < 200; n++) {
        char text[1024];
        sprintf(text, "%0*d,b\r\n%0*d,\"%d\"\r\n\r\n%0*d,3", n, 0, n, 0, n, n, 0);
        csv = parse_text(cx, text, NULL);
        assert_true(csv->rows == 2 && csv->ncolumns == 2 && strlen(csv->column[0].name) == (size_t)n);
        assert_true(csv->column[1].i[0] == n && csv->column[1].i[1] == 3);
        assert_true(n > 18 || csv->column[0].i[1] == 0);
        tide_csv_free(cx, csv);
    }
    /* an error that was pending before is not taken for one of this call */
    tide_fail(cx, TIDE_EARG, "before");
    char plain[] = "a\n1\n";
    tide_csv_free(cx, parse_text(cx, plain, NULL));
    assert_string_equal(tide_error(cx, NULL), "before");
    assert_clean(cx, live);
    tide_close(cx);
}

/* ---- failing allocations, mutated files ---- */

/* 2 MB that would be a table of 2.5e11 cells, all but a few missing: refused before the memory is taken. */
static void csv_short_rows(void **state) {
    (void)state;
    enum { N = 500000 };
    char *text = malloc(4 * N);
    tide_context *cx = open_context();
    tide_csv *csv;
    for (int i = 0; i < 2 * N; i++) text[i] = i % 2 ? ',' : 'a';
    for (int i = 2 * N; i < 4 * N; i++) text[i] = i % 2 ? '\n' : '1';
    text[2 * N - 1] = '\n';
    assert_int_equal(parse(cx, text, 4 * N, NULL, &csv), TIDE_EFORMAT);
    assert_non_null(strstr(tide_error(cx, NULL), "far shorter than the first one"));
    tide_memory_stats m;
    tide_memory(cx, &m);
    assert_true(m.peak < 1000ull * 4 * N);
    tide_close(cx);
    free(text);
    /* but a few may be missing */
    cx = open_context();
    text = malloc(3000);
    memset(text, ',', 1000);
    strcpy(text + 1000, "\n1\n2\n3\n");
    csv = parse_text(cx, text, NULL);
    assert_true(csv->rows == 3 && csv->ncolumns == 1001 && csv->column[1000].missing[2]);
    tide_csv_free(cx, csv);
    tide_close(cx);
    free(text);
}

static char *job_text;
static size_t job_bytes;

static tide_status csv_job(tide_context *cx) {
    tide_csv *csv;
    tide_status e = parse(cx, job_text, job_bytes, NULL, &csv);
    tide_csv_free(cx, csv);
    return e;
}

static tide_status csv_file_job(tide_context *cx) {
    tide_csv_options o = default_options();
    tide_csv *csv;
    tide_status e = tide_csv_read(cx, data_path("csv-cases", "many-columns", ".csv"), &o, &csv);
    tide_csv_free(cx, csv);
    return e;
}

static void failing_allocations(void **state) {
    (void)state;
    job_text = long_table(3000, &job_bytes);
    fail_every_time(csv_job);
    free(job_text);
    fail_every_time(csv_file_job);
}

static void mutate_csv(tide_context *cx, const char *name) {
    size_t n;
    char *text = slurp(data_path("csv-cases", name, ".csv"), &n);
    char *copy = malloc(n + 64);
    memcpy(copy, text, n);
    size_t m = mutate(copy, n);
    tide_csv_options o = default_options();
    o.header = next_random() % 4 != 0;
    o.skip_initial_space = next_random() % 2;
    o.keep_default_na = next_random() % 4 != 0;
    tide_csv *csv;
    if (!parse(cx, copy, m, &o, &csv)) {
        for (int64_t j = 0; j < csv->ncolumns; j++)
            for (int64_t i = 0; i < csv->rows && csv->column[j].type == 0; i++)
                assert_true(!csv->column[j].length[i] ||
                            tide_utf8_valid(csv->column[j].text[i], csv->column[j].length[i]));
        tide_csv_free(cx, csv);
    }
    free(copy);
    free(text);
}

static void mutated_files(void **state) {
    (void)state;
    tide_context *cx = open_context();
    tide_json_doc index = read_json(cx, data_path("csv-cases", "index.json", ""));
    uint64_t live = live_bytes(cx);
    for (int round = mutation_rounds(); round > 0; round--)
        for (const tide_json *v = index.root->child; v; v = v->next) {
            mutate_csv(cx, v->string);
            assert_clean(cx, live);
        }
    tide_json_free(cx, &index);
    tide_close(cx);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(numbers_are_rounded_once),
                                       cmocka_unit_test(short_numbers_are_strtod),
                                       cmocka_unit_test(csv_cases),
                                       cmocka_unit_test(csv_late_changes),
                                       cmocka_unit_test(csv_details),
                                       cmocka_unit_test(csv_short_rows),
                                       cmocka_unit_test(failing_allocations),
                                       cmocka_unit_test(mutated_files)};
    if (!start_tests(argc, argv)) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(scratch_folder);
    return failed;
}
