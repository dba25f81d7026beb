/* One pass, by recursive descent. A string is never longer read than written, so one block of the text's size
 * takes all of them. */
#include "io/json.h"
#include "io/number.h"
#include <stdlib.h>

enum { MAXDEPTH = 64, FIRST_BLOCK = 16, LAST_BLOCK = 8192 };

struct tide_json_block {
    struct tide_json_block *next; /* the one before */
    size_t count, capacity;
    tide_json node[];
};

typedef struct {
    tide_context *cx;
    const char *start, *at, *end;
    tide_json_doc *doc;
    char *out; /* strings are unescaped to here */
    int depth;
    tide_status status;
} reader;

static bool fail(reader *r, const char *what) {
    if (!r->status)
        r->status = tide_fail(r->cx, TIDE_EFORMAT, "JSON: %s at byte %zu", what, (size_t)(r->at - r->start));
    return false;
}

/* Length of the UTF-8 sequence at s, 0 if it is not one. */
static int utf8(const unsigned char *s, const unsigned char *end) {
    if (*s < 0x80) return 1;
    int n = *s >= 0xC2 && *s < 0xE0 ? 2 : *s >= 0xE0 && *s < 0xF0 ? 3 : *s >= 0xF0 && *s < 0xF5 ? 4 : 0;
    if (!n || end - s < n) return 0;
    for (int i = 1; i < n; i++)
        if ((s[i] & 0xC0) != 0x80) return 0;
    if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F)) return 0; /* overlong; a surrogate */
    if ((s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F)) return 0; /* overlong; above U+10FFFF */
    return n;
}

bool tide_utf8_valid(const char *text, size_t n) {
    const unsigned char *s = (const unsigned char *)text, *end = s + n;
    while (s < end) {
        int k = utf8(s, end);
        if (!k) return false;
        s += k;
    }
    return true;
}

static void space(reader *r) {
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r')) r->at++;
}

static int hex4(reader *r) {
    int v = 0;
    if (r->end - r->at < 4) return -1;
    for (int i = 0; i < 4; i++) {
        char c = *r->at++;
        bool letter = (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        if (!letter && (c < '0' || c > '9')) return -1;
        v = v * 16 + (letter ? (c | 0x20) - 'a' + 10 : c - '0');
    }
    return v;
}

static void put_utf8(reader *r, int c) {
    if (c < 0x80) {
        *r->out++ = (char)c;
    } else if (c < 0x800) {
        *r->out++ = (char)(0xC0 | c >> 6), *r->out++ = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        *r->out++ = (char)(0xE0 | c >> 12), *r->out++ = (char)(0x80 | (c >> 6 & 63)),
        *r->out++ = (char)(0x80 | (c & 63));
    } else {
        *r->out++ = (char)(0xF0 | c >> 18), *r->out++ = (char)(0x80 | (c >> 12 & 63));
        *r->out++ = (char)(0x80 | (c >> 6 & 63)), *r->out++ = (char)(0x80 | (c & 63));
    }
}

static bool string(reader *r, const char **text, uint32_t *length) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (r->at >= r->end || *r->at != '"') return fail(r, "a string is expected");
    r->at++;
    char *begin = r->out;
    for (;;) {
        if (r->at >= r->end) return fail(r, "a string does not end");
        unsigned char c = (unsigned char)*r->at;
        if (c == '"') break;
        if (c < 0x20) return fail(r, "a control character in a string");
        if (c != '\\') {
            int n = utf8((const unsigned char *)r->at, (const unsigned char *)r->end);
            if (!n) return fail(r, "invalid UTF-8");
            memcpy(r->out, r->at, (size_t)n);
            r->out += n;
            r->at += n;
            continue;
        }
        r->at++;
        const char *e = r->at < r->end && *r->at ? strchr(from, *r->at) : NULL;
        if (e) {
            *r->out++ = to[e - from];
            r->at++;
        } else if (r->at < r->end && *r->at == 'u') {
            r->at++;
            int u = hex4(r);
            if (u >= 0xD800 && u < 0xDC00 && r->end - r->at >= 6 && r->at[0] == '\\' && r->at[1] == 'u') {
                r->at += 2;
                int low = hex4(r);
                if (low < 0xDC00 || low > 0xDFFF) return fail(r, "a lone surrogate");
                u = 0x10000 + ((u - 0xD800) << 10) + (low - 0xDC00);
            }
            if (u < 0 || (u >= 0xD800 && u < 0xE000)) return fail(r, "a wrong \\u escape");
            put_utf8(r, u);
        } else {
            return fail(r, "an unknown escape");
        }
    }
    r->at++;
    *text = begin;
    *length = (uint32_t)(r->out - begin);
    *r->out++ = 0;
    return true;
}

static bool digits(reader *r) {
    if (r->at >= r->end || *r->at < '0' || *r->at > '9') return fail(r, "a digit is expected");
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9') r->at++;
    return true;
}

static bool number(reader *r, tide_json *v) {
    const char *begin = r->at;
    bool integer = true;
    if (*r->at == '-') r->at++;
    if (r->at < r->end && *r->at == '0')
        r->at++;
    else if (!digits(r))
        return false;
    if (r->at < r->end && *r->at == '.') {
        integer = false;
        r->at++;
        if (!digits(r)) return false;
    }
    if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
        integer = false;
        r->at++;
        if (r->at < r->end && (*r->at == '+' || *r->at == '-')) r->at++;
        if (!digits(r)) return false;
    }
    tide_parse_double(begin, r->at, &v->f);
    v->type = integer && tide_parse_int64(begin, r->at, &v->i) ? JSON_INT : JSON_FLOAT;
    return true;
}

static size_t block_size(size_t capacity) {
    return sizeof(struct tide_json_block) + capacity * sizeof(tide_json);
}

static tide_json *node(reader *r) {
    struct tide_json_block *b = r->doc->block;
    if (!b || b->count == b->capacity) {
        size_t capacity = !b ? FIRST_BLOCK : b->capacity < LAST_BLOCK ? 2 * b->capacity : LAST_BLOCK;
        b = tide_alloc(r->cx, block_size(capacity));
        if (!b) return r->status = TIDE_EMEM, NULL;
        *b = (struct tide_json_block){r->doc->block, 0, capacity};
        r->doc->block = b;
    }
    tide_json *v = &b->node[b->count++];
    memset(v, 0, sizeof *v);
    return v;
}

static bool value(reader *r, tide_json *v);

static bool word(reader *r, tide_json *v, const char *text, uint8_t type) {
    size_t n = strlen(text);
    if ((size_t)(r->end - r->at) < n || memcmp(r->at, text, n)) return fail(r, "a value is expected");
    r->at += n;
    v->type = type;
    return true;
}

static int by_key(const void *a, const void *b) {
    const tide_json *x = *(const tide_json *const *)a, *y = *(const tide_json *const *)b;
    uint32_t n = x->key_length < y->key_length ? x->key_length : y->key_length;
    int c = memcmp(x->key, y->key, n);
    return c ? c : (x->key_length > y->key_length) - (x->key_length < y->key_length);
}

/* Sorts pointers to the entries, so that equal names meet. */
static bool unique(reader *r, const tide_json *object) {
    if (object->length < 2) return true;
    size_t bytes = object->length * sizeof(tide_json *);
    const tide_json **list = tide_alloc(r->cx, bytes);
    if (!list) return r->status = TIDE_EMEM, false;
    uint32_t n = 0;
    for (const tide_json *c = object->child; c; c = c->next) list[n++] = c;
    qsort(list, n, sizeof *list, by_key);
    bool ok = true;
    for (uint32_t i = 1; i < n && ok; i++) ok = by_key(&list[i - 1], &list[i]) != 0;
    tide_release(r->cx, list, bytes);
    return ok || fail(r, "a name appears twice");
}

static bool container(reader *r, tide_json *v, bool object) {
    char close = object ? '}' : ']';
    v->type = object ? JSON_OBJECT : JSON_ARRAY;
    if (++r->depth > MAXDEPTH) return fail(r, "nested too deeply");
    r->at++;
    space(r);
    tide_json **tail = &v->child;
    if (r->at < r->end && *r->at == close) {
        r->at++;
    } else {
        for (;;) {
            tide_json *c = node(r);
            if (!c) return false;
            space(r);
            const char *key = NULL;
            uint32_t nkey = 0;
            if (object) {
                if (!string(r, &key, &nkey)) return false;
                space(r);
                if (r->at >= r->end || *r->at != ':') return fail(r, "':' is expected");
                r->at++;
            }
            if (!value(r, c)) return false;
            c->key = key;
            c->key_length = nkey;
            *tail = c;
            tail = &c->next;
            v->length++;
            space(r);
            if (r->at < r->end && *r->at == ',') {
                r->at++;
                continue;
            }
            if (r->at < r->end && *r->at == close) {
                r->at++;
                break;
            }
            return fail(r, object ? "',' or '}' is expected" : "',' or ']' is expected");
        }
    }
    r->depth--;
    return !object || unique(r, v);
}

static bool value(reader *r, tide_json *v) {
    space(r);
    if (r->at >= r->end) return fail(r, "a value is expected");
    switch (*r->at) {
    case '{': return container(r, v, true);
    case '[': return container(r, v, false);
    case '"': v->type = JSON_STRING; return string(r, &v->string, &v->length);
    case 't': return word(r, v, "true", JSON_TRUE);
    case 'f': return word(r, v, "false", JSON_FALSE);
    case 'n': return word(r, v, "null", JSON_NULL);
    default:
        if (*r->at == '-' || (*r->at >= '0' && *r->at <= '9')) return number(r, v);
        return fail(r, "a value is expected");
    }
}

tide_status tide_json_read(tide_context *cx, const char *text, size_t n, tide_json_doc *out) {
    memset(out, 0, sizeof *out);
    if (n > UINT32_MAX / 2) return tide_fail(cx, TIDE_EFORMAT, "JSON: larger than 2 GiB");
    out->ntext = n + 1;
    out->text = tide_alloc(cx, out->ntext);
    if (!out->text) return TIDE_EMEM;
    reader r = {cx, text, text, text + n, out, out->text, 0, TIDE_OK};
    out->root = node(&r);
    if (out->root && value(&r, out->root)) {
        space(&r);
        if (r.at != r.end) fail(&r, "text after the value");
    }
    if (r.status) tide_json_free(cx, out);
    return r.status;
}

void tide_json_free(tide_context *cx, tide_json_doc *doc) {
    while (doc->block) {
        struct tide_json_block *b = doc->block;
        doc->block = b->next;
        tide_release(cx, b, block_size(b->capacity));
    }
    tide_release(cx, doc->text, doc->ntext);
    memset(doc, 0, sizeof *doc);
}

const tide_json *tide_json_get(const tide_json *object, const char *key) {
    size_t n = strlen(key);
    if (!object || object->type != JSON_OBJECT) return NULL;
    for (const tide_json *c = object->child; c; c = c->next)
        if (c->key_length == n && !memcmp(c->key, key, n)) return c;
    return NULL;
}

size_t tide_json_quote(const char *s, size_t length, char *out, size_t n) {
    static const char hex[] = "0123456789abcdef";
    size_t at = 0;
#define PUT(c)                     \
    do {                           \
        if (at < n) out[at] = (c); \
        at++;                      \
    } while (0)
    PUT('"');
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '"' || c == '\\') {
            PUT('\\');
            PUT((char)c);
        } else if (c < 0x20) {
            PUT('\\');
            PUT('u');
            PUT('0');
            PUT('0');
            PUT(hex[c >> 4]);
            PUT(hex[c & 15]);
        } else {
            PUT((char)c);
        }
    }
    PUT('"');
#undef PUT
    return at;
}
