/* Lua's patterns for sandboxes: the same language and results as string.find, match, gmatch and gsub, but every
 * step is counted, so that no pattern runs for ever. */
#define _GNU_SOURCE /* memmem */
#include "bindings/engine_parts.h"
#include <ctype.h>

enum { MOST_CAPTURES = 32, DEEPEST = 200, TICK = 256 };
enum { OPEN = -1, POSITION = -2 }; /* lengths of captures that are not finished, or empty by `()` */

typedef struct {
    lua_State *L;
    tide_engine *e;
    const char *text, *end, *stop; /* subject; end of the pattern */
    int depth, n;
    size_t steps;
    struct {
        const char *at;
        ptrdiff_t length;
    } capture[MOST_CAPTURES];
} matcher;

static const char *follow(matcher *m, const char *s, const char *p);

static void count(matcher *m, size_t n) {
    m->steps += n;
    if (m->steps < TICK) return;
    size_t steps = m->steps;
    m->steps = 0;
    tide_engine_tick(m->L, m->e, steps);
}

/* ---- one character ---- */

/* The end of the item that begins at p: a character, %x, or a set. */
static const char *item_end(matcher *m, const char *p) {
    char c = *p++;
    if (c == '%') {
        if (p == m->stop) luaL_error(m->L, "malformed pattern (ends with '%%')");
        return p + 1;
    }
    if (c != '[') return p;
    if (p < m->stop && *p == '^') p++;
    bool first = true; /* a ] in first place is one of the set */
    for (;; first = false) {
        if (p >= m->stop) luaL_error(m->L, "malformed pattern (missing ']')");
        c = *p++;
        if (c == ']' && !first) return p;
        if (c == '%') {
            if (p >= m->stop) luaL_error(m->L, "malformed pattern (missing ']')");
            p++;
        }
    }
}

static bool in_class(int c, int class) {
    bool in;
    switch (tolower(class)) {
    case 'a': in = isalpha(c); break;
    case 'c': in = iscntrl(c); break;
    case 'd': in = isdigit(c); break;
    case 'g': in = isgraph(c); break;
    case 'l': in = islower(c); break;
    case 'p': in = ispunct(c); break;
    case 's': in = isspace(c); break;
    case 'u': in = isupper(c); break;
    case 'w': in = isalnum(c); break;
    case 'x': in = isxdigit(c); break;
    default: return class == c;
    }
    return in != (isupper(class) != 0);
}

/* p: behind the '['; last: the closing ']'. */
static bool in_set(int c, const char *p, const char *last) {
    bool negated = *p == '^';
    if (negated) p++;
    while (p < last) {
        if (*p == '%') {
            if (in_class(c, (unsigned char)p[1])) return !negated;
            p += 2;
        } else if (p + 2 < last && p[1] == '-') {
            if ((unsigned char)p[0] <= c && c <= (unsigned char)p[2]) return !negated;
            p += 3;
        } else {
            if ((unsigned char)*p++ == c) return !negated;
        }
    }
    return negated;
}

static bool fits(matcher *m, const char *s, const char *p, const char *end) {
    count(m, 1 + (size_t)(end - p) / 8); /* a set may be long */
    if (s >= m->end) return false;
    int c = (unsigned char)*s;
    switch (*p) {
    case '.': return true;
    case '%': return in_class(c, (unsigned char)p[1]);
    case '[': return in_set(c, p + 1, end - 1);
    default: return (unsigned char)*p == c;
    }
}

/* ---- repetitions, captures, special items: each goes on with the rest of the pattern ---- */

static const char *greedy(matcher *m, const char *s, const char *p, const char *end, ptrdiff_t least) {
    ptrdiff_t i = 0;
    while (fits(m, s + i, p, end)) i++;
    for (; i >= least; i--) {
        const char *r = follow(m, s + i, end + 1);
        if (r) return r;
    }
    return NULL;
}

static const char *lazy(matcher *m, const char *s, const char *p, const char *end) {
    for (;; s++) {
        const char *r = follow(m, s, end + 1);
        if (r) return r;
        if (!fits(m, s, p, end)) return NULL;
    }
}

static const char *open_capture(matcher *m, const char *s, const char *p, ptrdiff_t kind) {
    if (m->n == MOST_CAPTURES) luaL_error(m->L, "too many captures");
    m->capture[m->n].at = s;
    m->capture[m->n++].length = kind;
    const char *r = follow(m, s, p);
    if (!r) m->n--;
    return r;
}

static const char *close_capture(matcher *m, const char *s, const char *p) {
    int k = m->n - 1;
    while (k >= 0 && m->capture[k].length != OPEN) k--;
    if (k < 0) luaL_error(m->L, "invalid pattern capture");
    m->capture[k].length = s - m->capture[k].at;
    const char *r = follow(m, s, p);
    if (!r) m->capture[k].length = OPEN;
    return r;
}

static int finished(matcher *m, int c) { /* the capture that %c names */
    int k = c - '1';
    if (k < 0 || k >= m->n || m->capture[k].length == OPEN)
        luaL_error(m->L, "invalid capture index %%%d", k + 1);
    return k;
}

static const char *balanced(matcher *m, const char *s, const char *p) { /* p: the two characters */
    if (p + 1 >= m->stop) luaL_error(m->L, "malformed pattern (missing arguments to '%%b')");
    if (s >= m->end || *s != p[0]) return NULL;
    int depth = 1;
    while (++s < m->end) {
        count(m, 1);
        if (*s == p[1]) {
            if (--depth == 0) return s + 1;
        } else if (*s == p[0]) {
            depth++;
        }
    }
    return NULL;
}

/* Matches the pattern from p on at s; the end of the match, or NULL. */
static const char *follow(matcher *m, const char *s, const char *p) {
    if (++m->depth > DEEPEST) luaL_error(m->L, "pattern too complex");
    const char *r = NULL;
    for (;;) {
        count(m, 1);
        if (p == m->stop) {
            r = s;
            break;
        }
        if (*p == '(') {
            bool position = p + 1 < m->stop && p[1] == ')';
            r = open_capture(m, s, p + (position ? 2 : 1), position ? POSITION : OPEN);
            break;
        }
        if (*p == ')') {
            r = close_capture(m, s, p + 1);
            break;
        }
        if (*p == '$' && p + 1 == m->stop) {
            r = s == m->end ? s : NULL;
            break;
        }
        if (*p == '%' && p + 1 < m->stop && p[1] == 'b') {
            s = balanced(m, s, p + 2);
            p += 4;
            if (s) continue;
            break;
        }
        if (*p == '%' && p + 1 < m->stop && p[1] == 'f') {
            p += 2;
            if (p >= m->stop || *p != '[') luaL_error(m->L, "missing '[' after '%%f' in pattern");
            const char *end = item_end(m, p);
            count(m, (size_t)(end - p) / 4);
            int before = s == m->text ? 0 : (unsigned char)s[-1], here = s < m->end ? (unsigned char)*s : 0;
            bool edge = !in_set(before, p + 1, end - 1) && in_set(here, p + 1, end - 1);
            p = end;
            if (edge) continue;
            break;
        }
        if (*p == '%' && p + 1 < m->stop && isdigit((unsigned char)p[1])) {
            int k = finished(m, (unsigned char)p[1]);
            size_t n = m->capture[k].length > 0 ? (size_t)m->capture[k].length : 0;
            count(m, n / 8);
            if ((size_t)(m->end - s) < n || memcmp(m->capture[k].at, s, n)) break;
            s += n;
            p += 2;
            continue;
        }
        const char *end = item_end(m, p);
        count(m, (size_t)(end - p) / 8);
        char suffix = end < m->stop ? *end : 0;
        if (suffix == '*' || suffix == '+') {
            r = greedy(m, s, p, end, suffix == '+');
            break;
        }
        if (suffix == '-') {
            r = lazy(m, s, p, end);
            break;
        }
        bool one = fits(m, s, p, end);
        if (suffix == '?') {
            if (one && (r = follow(m, s + 1, end + 1))) break;
            p = end + 1;
            continue;
        }
        if (!one) break;
        s++;
        p = end;
    }
    m->depth--;
    return r;
}

/* ---- the four functions ---- */

static void push_capture(matcher *m, int k, const char *s, const char *e) {
    if (k >= m->n) {
        if (k) luaL_error(m->L, "invalid capture index %%%d", k + 1);
        lua_pushlstring(m->L, s, (size_t)(e - s));
    } else if (m->capture[k].length == POSITION) {
        lua_pushinteger(m->L, m->capture[k].at - m->text + 1);
    } else if (m->capture[k].length == OPEN) {
        luaL_error(m->L, "unfinished capture");
    } else {
        lua_pushlstring(m->L, m->capture[k].at, (size_t)m->capture[k].length);
    }
}

/* All captures, or the whole match where there are none and s is not NULL. */
static int push_captures(matcher *m, const char *s, const char *e) {
    int n = m->n == 0 && s ? 1 : m->n;
    luaL_checkstack(m->L, n, "too many captures");
    for (int k = 0; k < n; k++) push_capture(m, k, s, e);
    return n;
}

static const char *match_at(matcher *m, const char *s, const char *p) {
    m->n = m->depth = 0;
    return follow(m, s, p);
}

/* The first place from `init` on, from 0; -1: beyond the end. */
static lua_Integer start_of(lua_State *L, int arg, size_t n) {
    lua_Integer init = luaL_optinteger(L, arg, 1);
    if (init > 0) return init - 1 > (lua_Integer)n ? -1 : init - 1;
    if (init == 0) return 0;
    return init < -(lua_Integer)n ? 0 : (lua_Integer)n + init;
}

static matcher prepare(lua_State *L, int text, int pattern, const char **p) {
    size_t n, np;
    const char *s = luaL_checklstring(L, text, &n);
    *p = luaL_checklstring(L, pattern, &np);
    return (matcher){
        .L = L, .e = lua_touserdata(L, lua_upvalueindex(1)), .text = s, .end = s + n, .stop = *p + np};
}

static int search(lua_State *L, bool find) {
    const char *p;
    matcher m = prepare(L, 1, 2, &p);
    lua_Integer init = start_of(L, 3, (size_t)(m.end - m.text));
    if (init < 0) return lua_pushnil(L), 1;
    const char *s = m.text + init;
    size_t np = (size_t)(m.stop - p);
    if (find && lua_toboolean(L, 4)) {
        tide_engine_tick(L, m.e, (uint64_t)(m.end - s) / 16);
        s = np ? memmem(s, (size_t)(m.end - s), p, np) : s;
        if (!s) return lua_pushnil(L), 1;
        lua_pushinteger(L, s - m.text + 1);
        lua_pushinteger(L, s - m.text + (lua_Integer)np);
        return 2;
    }
    bool anchored = np && *p == '^';
    p += anchored;
    do {
        const char *e = match_at(&m, s, p);
        if (!e) continue;
        if (!find) return push_captures(&m, s, e);
        lua_pushinteger(L, s - m.text + 1);
        lua_pushinteger(L, e - m.text);
        return push_captures(&m, NULL, NULL) + 2;
    } while (s++ < m.end && !anchored);
    return lua_pushnil(L), 1;
}
static int find(lua_State *L) { return search(L, true); }
static int match(lua_State *L) { return search(L, false); }

/* upvalues: engine, text, pattern, next place, end of the last match (-1: none) */
static int next_match(lua_State *L) {
    const char *p;
    matcher m = prepare(L, lua_upvalueindex(2), lua_upvalueindex(3), &p);
    const char *s = m.text + lua_tointeger(L, lua_upvalueindex(4));
    lua_Integer last = lua_tointeger(L, lua_upvalueindex(5));
    for (; s <= m.end; s++) {
        const char *e = match_at(&m, s, p);
        if (!e || e - m.text == last) continue;
        lua_pushinteger(L, e - m.text);
        lua_pushvalue(L, -1);
        lua_replace(L, lua_upvalueindex(4));
        lua_replace(L, lua_upvalueindex(5));
        return push_captures(&m, s, e);
    }
    return 0;
}
static int gmatch(lua_State *L) {
    size_t n;
    luaL_checklstring(L, 1, &n);
    luaL_checkstring(L, 2);
    lua_Integer init = start_of(L, 3, n);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    lua_pushinteger(L, init < 0 ? (lua_Integer)n + 1 : init);
    lua_pushinteger(L, -1);
    lua_pushcclosure(L, next_match, 5);
    return 1;
}

/* Adds what the match s..e is replaced by; the replacement is argument 3. */
static void replace(matcher *m, luaL_Buffer *b, const char *s, const char *e) {
    lua_State *L = m->L;
    if (lua_type(L, 3) == LUA_TFUNCTION) {
        lua_pushvalue(L, 3);
        lua_call(L, push_captures(m, s, e), 1);
    } else if (lua_istable(L, 3)) {
        push_capture(m, 0, s, e);
        lua_gettable(L, 3);
    } else {
        size_t n;
        const char *r = lua_tolstring(L, 3, &n);
        for (const char *end = r + n; r < end; r++) {
            if (*r != '%') {
                luaL_addchar(b, *r);
            } else if (++r < end && *r == '%') {
                luaL_addchar(b, '%');
            } else if (r < end && *r == '0') {
                luaL_addlstring(b, s, (size_t)(e - s));
            } else if (r < end && isdigit((unsigned char)*r)) {
                push_capture(m, *r - '1', s, e);
                luaL_tolstring(L, -1, NULL);
                lua_remove(L, -2);
                luaL_addvalue(b);
            } else {
                luaL_error(L, "invalid use of '%%' in replacement string");
            }
        }
        return;
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        luaL_addlstring(b, s, (size_t)(e - s)); /* stays as it is */
        return;
    }
    if (!lua_isstring(L, -1)) luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    luaL_addvalue(b);
}

static int gsub(lua_State *L) {
    const char *p;
    matcher m = prepare(L, 1, 2, &p);
    int type = lua_type(L, 3);
    if (type != LUA_TSTRING && type != LUA_TNUMBER && type != LUA_TTABLE && type != LUA_TFUNCTION)
        return luaL_typeerror(L, 3, "string/function/table");
    lua_Integer most = luaL_optinteger(L, 4, m.end - m.text + 1), n = 0;
    bool anchored = p < m.stop && *p == '^';
    p += anchored;
    const char *s = m.text, *last = NULL;
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    while (n < most) {
        const char *e = match_at(&m, s, p);
        if (e && e != last) {
            n++;
            replace(&m, &b, s, e);
            s = last = e;
        } else if (s < m.end) {
            luaL_addchar(&b, *s++);
        } else {
            break;
        }
        if (anchored) break;
    }
    luaL_addlstring(&b, s, (size_t)(m.end - s));
    luaL_pushresult(&b);
    lua_pushinteger(L, n);
    return 2;
}

void tide_sandbox_patterns(lua_State *L, tide_engine *e) {
    tide_sandbox_functions(
        L, e, (luaL_Reg[]){{"find", find}, {"match", match}, {"gmatch", gmatch}, {"gsub", gsub}, {NULL, NULL}});
}
