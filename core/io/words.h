/* A column of text as numbers: every distinct text gets one, in the order of first appearance. */
#ifndef TIDE_WORDS_H
#define TIDE_WORDS_H

#include "base/base.h"

typedef struct tide_words {
    int64_t n;
    int64_t *first; /* the row where each appears first */
    int64_t room;
} tide_words;

/* codes[row]: the number, from 0, of the text of that row; -1 where missing (which may be NULL) says so. */
tide_status tide_words_code(tide_context *cx, const char *const *text, const uint32_t *length,
                            const uint8_t *missing, int64_t rows, int64_t *codes, tide_words *out);
void tide_words_free(tide_context *cx, tide_words *w);

#endif
