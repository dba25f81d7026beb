#include "io/words.h"

typedef struct {
    uint32_t hash, code; /* code + 1; 0: empty */
} slot;

static uint32_t hash_of(const char *p, uint32_t n) {
    uint64_t h = n * 0x9E3779B97F4A7C15u;
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        h = (h ^ w) * 0xFF51AFD7ED558CCDu;
        h ^= h >> 32;
    }
    for (; n; p++, n--) h = (h ^ (unsigned char)*p) * 0x100000001B3u;
    h *= 0xC4CEB9FE1A85EC53u;
    return (uint32_t)(h >> 32);
}

static tide_status widen(tide_context *cx, slot **table, size_t *size) {
    size_t n = *size ? *size * 4 : 1024;
    slot *wide = tide_alloc0(cx, n * sizeof *wide);
    if (!wide) return TIDE_EMEM;
    for (size_t i = 0; i < *size; i++) {
        if (!(*table)[i].code) continue;
        size_t at = (*table)[i].hash & (n - 1);
        while (wide[at].code) at = (at + 1) & (n - 1);
        wide[at] = (*table)[i];
    }
    tide_release(cx, *table, *size * sizeof *wide);
    *table = wide;
    *size = n;
    return TIDE_OK;
}

tide_status tide_words_code(tide_context *cx, const char *const *text, const uint32_t *length,
                            const uint8_t *missing, int64_t rows, int64_t *codes, tide_words *out) {
    slot *table = NULL;
    size_t size = 0;
    tide_status e = TIDE_OK;
    *out = (tide_words){0};
    for (int64_t row = 0; row < rows && !e; row++) {
        codes[row] = -1;
        if (missing && missing[row]) continue;
        if ((size_t)out->n * 2 >= size) e = widen(cx, &table, &size);
        if (!e && out->n == UINT32_MAX - 1) e = tide_fail(cx, TIDE_EUNSUP, "more than 2^32 distinct texts");
        if (e) break;
        uint32_t h = hash_of(text[row], length[row]);
        size_t at = h & (size - 1);
        for (; table[at].code; at = (at + 1) & (size - 1)) {
            if (table[at].hash != h) continue;
            int64_t other = out->first[table[at].code - 1];
            if (length[other] == length[row] && !memcmp(text[other], text[row], length[row])) break;
        }
        if (!table[at].code) {
            e = tide_grow(cx, (void **)&out->first, &out->room, out->n + 1, sizeof *out->first);
            if (e) break;
            out->first[out->n++] = row;
            table[at] = (slot){h, (uint32_t)out->n};
        }
        codes[row] = (int64_t)table[at].code - 1;
    }
    tide_release(cx, table, size * sizeof *table);
    if (e) tide_words_free(cx, out);
    return e;
}

void tide_words_free(tide_context *cx, tide_words *w) {
    tide_release(cx, w->first, (size_t)w->room * sizeof *w->first);
    *w = (tide_words){0};
}
