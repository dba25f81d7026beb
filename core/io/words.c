#include "io/words.h"

typedef struct {
    uint32_t hash, code; /* code + 1; 0: empty */
} slot;

static inline uint64_t eight(const char *p) {
    uint64_t w;
    memcpy(&w, p, 8);
    return w;
}

static inline uint32_t four(const char *p) {
    uint32_t w;
    memcpy(&w, p, 4);
    return w;
}

/* Short texts are looked at as their first and their last bytes, which may be the same ones: a loop over bytes
 * would end at a place that nobody can guess. */
static inline uint32_t hash_of(const char *p, uint32_t n) {
    uint64_t h = n * 0x9E3779B97F4A7C15u, first = 0, last = 0;
    for (; n > 16; p += 8, n -= 8) {
        h = (h ^ eight(p)) * 0xFF51AFD7ED558CCDu;
        h ^= h >> 32;
    }
    if (n >= 8)
        first = eight(p), last = eight(p + n - 8);
    else if (n >= 4)
        first = four(p), last = four(p + n - 4);
    else if (n)
        first = (unsigned char)*p, last = (unsigned char)p[n / 2] | (uint64_t)(unsigned char)p[n - 1] << 8;
    unsigned __int128 all = (unsigned __int128)(h ^ first) * (last ^ 0xC4CEB9FE1A85EC53u);
    h = (uint64_t)all ^ (uint64_t)(all >> 64);
    return (uint32_t)(h ^ h >> 32);
}

static inline bool same(const char *p, const char *q, uint32_t n) {
    if (n > 16) return !memcmp(p, q, n);
    if (n >= 8) return eight(p) == eight(q) && eight(p + n - 8) == eight(q + n - 8);
    if (n >= 4) return four(p) == four(q) && four(p + n - 4) == four(q + n - 4);
    return !n || (*p == *q && p[n / 2] == q[n / 2] && p[n - 1] == q[n - 1]);
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
            if (length[other] == length[row] && same(text[other], text[row], length[row])) break;
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
