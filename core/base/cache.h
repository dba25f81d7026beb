/* Things found again by a key of bytes. What is kept begins with a tide_cached. */
#ifndef TIDE_CACHE_H
#define TIDE_CACHE_H

#include "base/base.h"

typedef struct tide_cached {
    uint32_t hash, nkey;
    const void *key;
} tide_cached;

typedef struct tide_cache {
    tide_cached **slot; /* a power of two of them, half of them free */
    int64_t n, capacity;
} tide_cache;

uint32_t tide_cache_hash(const void *key, uint32_t nkey); /* nkey: a multiple of 8 */
tide_cached *tide_cache_find(const tide_cache *c, const void *key, uint32_t nkey, uint32_t hash);
tide_status tide_cache_add(tide_context *cx, tide_cache *c,
                           tide_cached *entry); /* its hash, key and nkey are set */
void tide_cache_clear(tide_context *cx, tide_cache *c, void (*release)(tide_context *cx, tide_cached *entry));

#endif
