/* Small blocks lie in pages of one size each, with a list of those that are free: a script makes and drops tens
 * of millions of handles, which go by the thousand when Lua collects; malloc merges and splits them each time
 * (a tenth of an addition of 16 numbers). Other blocks are malloc's. Pages go when the state is closed. */
#include "bindings/cli/state.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    STEP = 16,
    SMALL = 256, /* the largest small block */
    PAGE = 4096,
    PAGES = 31 /* of a slab */
};

typedef struct block {
    struct block *next;
} block;

typedef struct {
    bool warns, continued; /* warnings are shown; the next text belongs to the last one */
    block *free[SMALL / STEP];
    block *slabs; /* each by its last bytes */
    char *fresh;  /* pages of the newest that were not used yet */
    int nfresh;
} memory;
static memory own; /* the program has one state; os.exit may close it behind our back */

static bool is_small(size_t n) {
#ifdef __SANITIZE_ADDRESS__
    return n == 0; /* let it watch each block */
#else
    return n <= SMALL;
#endif
}

static int class_of(size_t n) { return n ? (int)((n - 1) / STEP) : 0; }

static bool add_page(memory *m, int class) {
    if (!m->nfresh) {
        char *slab = aligned_alloc(PAGE, PAGE * (PAGES + 1)); /* the last page: of the list */
        if (!slab) return false;
        block *link = (block *)(void *)(slab + PAGE * PAGES);
        link->next = m->slabs;
        m->slabs = link;
        m->fresh = slab;
        m->nfresh = PAGES;
    }
    const size_t size = (size_t)(class + 1) * STEP;
    for (size_t i = PAGE / size; i-- > 0;) {
        block *b = (block *)(void *)(m->fresh + i * size);
        b->next = m->free[class];
        m->free[class] = b;
    }
    m->fresh += PAGE;
    m->nfresh--;
    return true;
}

static void *take(memory *m, size_t n) {
    if (!is_small(n)) return malloc(n);
    const int class = class_of(n);
    if (!m->free[class] && !add_page(m, class)) return NULL;
    block *b = m->free[class];
    m->free[class] = b->next;
    return b;
}

static void put(memory *m, void *p, size_t n) {
    if (!is_small(n)) {
        free(p);
        return;
    }
    block *b = p;
    b->next = m->free[class_of(n)];
    m->free[class_of(n)] = b;
}

/* lua_Alloc */
static void *allocate(void *ud, void *p, size_t from, size_t to) {
    memory *m = ud;
    if (!p) return to ? take(m, to) : NULL; /* `from` says what for */
    if (!to) return put(m, p, from), NULL;
    if (!is_small(from) && !is_small(to)) return realloc(p, to);
    if (is_small(from) && is_small(to) && class_of(from) == class_of(to)) return p;
    void *q = take(m, to);
    if (!q) return to <= from ? p : NULL; /* Lua relies on shrinking: it stays in a block that is too large */
    memcpy(q, p, from < to ? from : to);
    put(m, p, from);
    return q;
}

static void warn(void *ud, const char *text, int continues) {
    memory *m = ud;
    if (!m->continued && !continues && text[0] == '@') {
        if (!strcmp(text, "@on")) m->warns = true;
        if (!strcmp(text, "@off")) m->warns = false;
        return;
    }
    if (m->warns) {
        fprintf(stderr, "%s%s%s", m->continued ? "" : "Lua warning: ", text, continues ? "" : "\n");
        fflush(stderr);
    }
    m->continued = continues;
}

static int panic(lua_State *L) {
    const char *text = lua_tostring(L, -1);
    fprintf(stderr, "PANIC: unprotected error in call to Lua API (%s)\n",
            text ? text : "error object is not a string");
    return 0; /* abort */
}

lua_State *state_new(void) {
    lua_State *L = lua_newstate(allocate, &own);
    if (!L) return NULL;
    lua_atpanic(L, panic);
    lua_setwarnf(L, warn, &own);
    return L;
}

void state_close(lua_State *L) {
    lua_close(L);
    for (block *b = own.slabs, *next; b; b = next) {
        next = b->next;
        free((char *)b - PAGE * PAGES);
    }
    own = (memory){0};
}
