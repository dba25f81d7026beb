/* A strict JSON reader (RFC 8259): a tree of nodes that come in blocks, and one block for all texts. Refuses
 * duplicate names, invalid UTF-8, lone surrogates, text after the value, and depth over 64. Time and memory
 * grow with the text. */
#ifndef TIDE_JSON_H
#define TIDE_JSON_H

#include "base/base.h"

typedef enum {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_INT,
    JSON_FLOAT,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
} tide_json_type;

typedef struct tide_json {
    uint8_t type;
    uint32_t key_length, length; /* of key and string in bytes; of an array or object in entries */
    const char *key, *string;    /* UTF-8, ended by 0 (and may hold 0 inside) */
    int64_t i;                   /* JSON_INT: exact */
    double f;                    /* JSON_INT and JSON_FLOAT */
    struct tide_json *child, *next;
} tide_json;

typedef struct tide_json_doc {
    tide_json *root;
    struct tide_json_block *block; /* the last one, a list */
    char *text;
    size_t ntext;
} tide_json_doc;

/* TIDE_EFORMAT "JSON: ... at byte N" if the n bytes are not one JSON value. */
tide_status tide_json_read(tide_context *cx, const char *text, size_t n, tide_json_doc *out);
void tide_json_free(tide_context *cx, tide_json_doc *doc);
const tide_json *tide_json_get(const tide_json *object, const char *key); /* NULL: not there, or no object */
bool tide_utf8_valid(const char *s, size_t n);
/* Writes s as a JSON string with its quotes; returns the bytes wanted, writes at most n. */
size_t tide_json_quote(const char *s, size_t length, char *out, size_t n);

#endif
