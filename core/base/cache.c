/* Open addressing over entries that hold their own keys. */
#include "base/cache.h"

uint32_t tide_cache_hash(const void *key, uint32_t nkey) {
    const char *k = key;
    uint64_t h = nkey, odd = 0x9E3779B97F4A7C15u, w;
    for (; nkey; nkey -= 8, k += 8, odd *= 0xD6E8FEB86659FD93u) { /* no word waits for the one before */
        memcpy(&w, k, 8);
        h += w * odd;
    }
    h = (h ^ h >> 32) * 0x9E3779B97F4A7C15u;
    return (uint32_t)(h ^ h >> 32);
}

tide_cached *tide_cache_find(const tide_cache *c, const void *key, uint32_t nkey, uint32_t hash) {
    if (!c->capacity) return NULL;
    for (int64_t i = hash & (c->capacity - 1);; i = (i + 1) & (c->capacity - 1)) {
        tide_cached *e = c->slot[i];
        if (!e || (e->hash == hash && e->nkey == nkey && !memcmp(e->key, key, nkey))) return e;
    }
}

static void place(tide_cache *c, tide_cached *e) {
    int64_t i = e->hash & (c->capacity - 1);
    while (c->slot[i]) i = (i + 1) & (c->capacity - 1);
    c->slot[i] = e;
}

tide_status tide_cache_add(tide_context *cx, tide_cache *c, tide_cached *entry) {
    if (2 * (c->n + 1) > c->capacity) {
        int64_t old = c->capacity, n = old ? 2 * old : 256;
        tide_cached **from = c->slot, **to = tide_alloc0(cx, (size_t)n * sizeof *to);
        if (!to) return TIDE_EMEM;
        c->slot = to;
        c->capacity = n;
        for (int64_t i = 0; i < old; i++)
            if (from[i]) place(c, from[i]);
        tide_release(cx, from, (size_t)old * sizeof *from);
    }
    place(c, entry);
    c->n++;
    return TIDE_OK;
}

void tide_cache_clear(tide_context *cx, tide_cache *c, void (*release)(tide_context *cx, tide_cached *entry)) {
    for (int64_t i = 0; i < c->capacity; i++)
        if (c->slot[i]) release(cx, c->slot[i]);
    tide_release(cx, c->slot, (size_t)c->capacity * sizeof *c->slot);
    *c = (tide_cache){0};
}
