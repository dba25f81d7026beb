/* The pending error, and the numbers by which places in the caller's program are known. */
#include "base/context.h"
#include <stdarg.h>
#include <stdio.h>

/* ---- the pending error ---- */

tide_status tide_fail(tide_context *cx, tide_status code, const char *format, ...) {
    if (cx->error) return code;
    char *text = cx->error_text;
    const size_t room = sizeof(cx->error_text);
    int prefix = cx->opname ? snprintf(text, room / 2, "[%s] ", cx->opname) : 0;
    size_t at = (size_t)prefix < room / 2 ? (size_t)prefix : room / 2 - 1;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text + at, room - at, format, args);
    va_end(args);
    if (n < 0) text[at] = 0;
    if (n >= (int)(room - at)) { /* too long: cut before a whole UTF-8 character */
        size_t end = room - 4;
        while (end > at && ((unsigned char)text[end] & 0xC0) == 0x80) end--;
        memcpy(text + end, "...", 4);
    }
    cx->error = code;
    return code;
}

tide_status tide_pending(const tide_context *cx) { return cx->error; }

const char *tide_error(tide_context *cx, tide_status *code) {
    tide_status error = cx->error;
    if (code) *code = error;
    cx->error = TIDE_OK;
    return error ? cx->error_text : NULL;
}

/* ---- sites: "file:line" <-> 1, 2, 3 .. ---- */

typedef struct site {
    uint32_t hash, nfile;
    int line;
    uint32_t ntext; /* bytes of the block at `text` */
    char *text;     /* "file:line" */
} site;

struct tide_sites {
    site *site; /* of id i: site[i - 1] */
    int64_t capacity;
    uint32_t count;
    uint32_t *slot; /* open addressing: ids, 0 is empty; a power of two of them, at most half full */
    uint32_t nslots;
};

/* Eight bytes a step; the last step overlaps the one before, or takes what a short text has. */
static uint32_t hash_site(const char *file, size_t n, int line) {
    uint64_t h = (uint64_t)(uint32_t)line << 32 | (uint32_t)n, w;
    for (size_t i = 0; i + 8 < n; i += 8) {
        memcpy(&w, file + i, 8);
        h = (h ^ w) * 0x9E3779B97F4A7C15u;
        h ^= h >> 29;
    }
    if (n >= 8) {
        memcpy(&w, file + n - 8, 8);
    } else {
        w = 0;
        for (size_t i = 0; i < n; i++) w = w << 8 | (unsigned char)file[i];
    }
    h = (h ^ w) * 0x9E3779B97F4A7C15u;
    h = (h ^ h >> 32) * 0xD6E8FEB86659FD93u;
    return (uint32_t)(h >> 32);
}

static tide_status more_slots(tide_context *cx, tide_sites *s) {
    uint32_t nslots = s->nslots ? 2 * s->nslots : 256;
    uint32_t *slot = tide_alloc0(cx, nslots * sizeof(*slot));
    if (!slot) return TIDE_EMEM;
    for (uint32_t id = 1; id <= s->count; id++) {
        uint32_t i = s->site[id - 1].hash & (nslots - 1);
        while (slot[i]) i = (i + 1) & (nslots - 1);
        slot[i] = id;
    }
    tide_release(cx, s->slot, s->nslots * sizeof(*slot));
    s->slot = slot;
    s->nslots = nslots;
    return TIDE_OK;
}

static uint32_t add_site(tide_context *cx, const char *file, size_t nfile, int line, uint32_t hash) {
    if (!cx->sites && !(cx->sites = tide_alloc0(cx, sizeof(*cx->sites)))) return 0;
    tide_sites *s = cx->sites;
    if (2 * (s->count + 1) > s->nslots && more_slots(cx, s)) return 0;
    if (tide_grow(cx, (void **)&s->site, &s->capacity, (int64_t)s->count + 1, sizeof(site))) return 0;
    size_t ntext = nfile + sizeof(":-2147483648");
    char *text = tide_alloc(cx, ntext);
    if (!text) return 0;
    memcpy(text, file, nfile);
    snprintf(text + nfile, ntext - nfile, ":%d", line);
    s->site[s->count++] =
        (site){.hash = hash, .nfile = (uint32_t)nfile, .line = line, .ntext = (uint32_t)ntext, .text = text};
    uint32_t i = hash & (s->nslots - 1);
    while (s->slot[i]) i = (i + 1) & (s->nslots - 1);
    return s->slot[i] = s->count;
}

/* 0: no file was named, or no memory (which is then pending). */
uint32_t tide_intern_site(tide_context *cx, const char *file, int line) {
    if (!file) return 0;
    size_t nfile = strlen(file);
    uint32_t hash = hash_site(file, nfile, line);
    const tide_sites *s = cx->sites;
    if (s && s->nslots) {
        for (uint32_t i = hash & (s->nslots - 1); s->slot[i]; i = (i + 1) & (s->nslots - 1)) {
            const site *at = &s->site[s->slot[i] - 1];
            if (at->hash == hash && at->line == line && at->nfile == nfile && !memcmp(at->text, file, nfile))
                return s->slot[i];
        }
    }
    return add_site(cx, file, nfile, line, hash);
}

const char *tide_site_text(const tide_context *cx, uint32_t id) {
    return id && cx->sites && id <= cx->sites->count ? cx->sites->site[id - 1].text : "";
}

void tide_site(tide_context *cx, uint32_t id) { cx->site = id; }

void tide_sites_free(tide_context *cx) {
    tide_sites *s = cx->sites;
    for (uint32_t i = 0; i < s->count; i++) tide_release(cx, s->site[i].text, s->site[i].ntext);
    tide_release(cx, s->site, (size_t)s->capacity * sizeof(site));
    tide_release(cx, s->slot, s->nslots * sizeof(*s->slot));
    tide_release(cx, s, sizeof(*s));
    cx->sites = NULL;
}
