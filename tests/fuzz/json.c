#include "io/json.h"
#include "fuzz.h"
#include <stdlib.h>

static void visit(const tide_json *v, int depth) {
    unsigned n = 0;
    fuzz_check(depth <= 65, "depth is bounded");
    if (v->type == JSON_STRING) {
        fuzz_check(tide_utf8_valid(v->string, v->length) && !v->string[v->length], "strings are UTF-8 and end");
        size_t want = tide_json_quote(v->string, v->length, NULL, 0);
        char *text = malloc(want);
        fuzz_check(tide_json_quote(v->string, v->length, text, want) == want, "quoting has one size");
        tide_json_doc again;
        fuzz_check(!tide_json_read(NULL, text, want, &again) && again.root->length == v->length &&
                       !memcmp(again.root->string, v->string, v->length),
                   "a quoted string is read as it was");
        tide_json_free(NULL, &again);
        free(text);
    }
    for (const tide_json *c = v->child; c; c = c->next, n++) {
        if (v->type == JSON_OBJECT)
            fuzz_check(tide_utf8_valid(c->key, c->key_length) && !c->key[c->key_length],
                       "keys are UTF-8 and end");
        visit(c, depth + 1);
    }
    if (v->type == JSON_ARRAY || v->type == JSON_OBJECT)
        fuzz_check(n == v->length, "length counts the entries");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    tide_json_doc doc;
    char *text = fuzz_copy(data, n);
    fuzz_begin(data, n, 200);
    if (!tide_json_read(NULL, text, n, &doc)) {
        visit(doc.root, 0);
        tide_json_free(NULL, &doc);
    }
    fuzz_end();
    free(text);
    return 0;
}
