/* The stack machine of pickle, without its powers. */
#include "io/pickle.h"
#include "io/json.h"
#include <stdio.h>

/* ---- what may be named ---- */

typedef enum { ORDERED_DICT, SIZE, REBUILD_TENSOR, REBUILD_PARAMETER, STORAGE } global_kind;

static const struct {
    const char *name; /* module, space, class or function */
    uint8_t kind, dtype;
} globals[] = {
    {"collections OrderedDict", ORDERED_DICT, 0},
    {"torch Size", SIZE, 0},
    {"torch._utils _rebuild_tensor_v2", REBUILD_TENSOR, 0},
    {"torch._utils _rebuild_parameter", REBUILD_PARAMETER, 0},
    {"torch FloatStorage", STORAGE, TIDE_F32},
    {"torch DoubleStorage", STORAGE, TIDE_F64},
    {"torch HalfStorage", STORAGE, TIDE_F16},
    {"torch BFloat16Storage", STORAGE, TIDE_BF16},
    {"torch LongStorage", STORAGE, TIDE_I64},
    {"torch IntStorage", STORAGE, TIDE_I32},
    {"torch CharStorage", STORAGE, TIDE_I8},
    {"torch ByteStorage", STORAGE, TIDE_U8},
    {"torch BoolStorage", STORAGE, TIDE_BOOL},
};
enum { NGLOBALS = sizeof globals / sizeof *globals };

/* Opcodes that are refused, by their names in pickletools. */
static const struct {
    char code;
    const char *name;
} refused[] = {
    {'0', "POP"},
    {'1', "POP_MARK"},
    {'2', "DUP"},
    {'B', "BINBYTES"},
    {'C', "SHORT_BINBYTES"},
    {'F', "FLOAT"},
    {'I', "INT"},
    {'L', "LONG"},
    {'P', "PERSID"},
    {'S', "STRING"},
    {'T', "BINSTRING"},
    {'U', "SHORT_BINSTRING"},
    {'V', "UNICODE"},
    {'d', "DICT"},
    {'g', "GET"},
    {'i', "INST"},
    {'l', "LIST"},
    {'o', "OBJ"},
    {'p', "PUT"},
    {'\x81', "NEWOBJ"},
    {'\x82', "EXT1"},
    {'\x83', "EXT2"},
    {'\x84', "EXT4"},
    {'\x8b', "LONG4"},
    {'\x8c', "SHORT_BINUNICODE"},
    {'\x8d', "BINUNICODE8"},
    {'\x8e', "BINBYTES8"},
    {'\x8f', "EMPTY_SET"},
    {'\x90', "ADDITEMS"},
    {'\x91', "FROZENSET"},
    {'\x92', "NEWOBJ_EX"},
    {'\x93', "STACK_GLOBAL"},
    {'\x94', "MEMOIZE"},
    {'\x95', "FRAME"},
    {'\x96', "BYTEARRAY8"},
    {'\x97', "NEXT_BUFFER"},
    {'\x98', "READONLY_BUFFER"},
};

/* ---- the machine ---- */

typedef struct {
    int32_t *at;
    int64_t n, room;
} ints;

typedef struct {
    tide_context *cx;
    const char *name, *begin, *p, *end;
    tide_pickle *out;
    ints stack, marks, memo; /* nodes; heights of the stack; nodes by number */
} machine;

static tide_status malformed(machine *m, const char *what) {
    return tide_fail(m->cx, TIDE_EFORMAT, "%s: no pickle: %s, at byte %zu", m->name, what,
                     (size_t)(m->p - m->begin));
}

/* what: in English; the text is the file's, and is made fit for a terminal. */
static tide_status refuse(machine *m, const char *what, const char *text, size_t n) {
    char shown[96];
    size_t k = 0;
    for (; k < n && k + 1 < sizeof shown; k++) shown[k] = text[k] < ' ' || text[k] > '~' ? '?' : text[k];
    shown[k] = 0;
    return tide_fail(m->cx, TIDE_EUNSUP, "%s: refused: %s '%s', which is no plain data (save a state_dict)",
                     m->name, what, shown);
}

static tide_status put_int(machine *m, ints *a, int32_t v) {
    tide_status e = tide_grow(m->cx, (void **)&a->at, &a->room, a->n + 1, sizeof *a->at);
    if (!e) a->at[a->n++] = v;
    return e;
}

static tide_pickle_node *node_at(machine *m, int32_t i) { return &m->out->node[i]; }

/* Pushes a new node; NULL: an error is pending. */
static tide_pickle_node *push(machine *m, tide_pickle_type type) {
    tide_pickle *o = m->out;
    if (o->nnode == INT32_MAX) {
        malformed(m, "too large");
        return NULL;
    }
    if (tide_grow(m->cx, (void **)&o->node, &o->node_room, o->nnode + 1, sizeof *o->node)) return NULL;
    o->node[o->nnode] =
        (tide_pickle_node){.type = (uint8_t)type, .first = PICKLE_NOTHING, .last = PICKLE_NOTHING};
    if (put_int(m, &m->stack, (int32_t)o->nnode)) return NULL;
    return &o->node[o->nnode++];
}

static tide_status push_int(machine *m, int64_t v) {
    tide_pickle_node *node = push(m, PICKLE_INT);
    if (!node) return tide_pending(m->cx);
    node->v.i = v;
    return TIDE_OK;
}

static tide_status add_child(machine *m, int32_t to, int32_t child) {
    tide_pickle *o = m->out;
    if (o->ncell == INT32_MAX) return malformed(m, "too large");
    tide_status e = tide_grow(m->cx, (void **)&o->cell, &o->cell_room, o->ncell + 1, sizeof *o->cell);
    if (e) return e;
    int32_t cell = (int32_t)o->ncell++;
    tide_pickle_node *node = node_at(m, to);
    o->cell[cell] = (tide_pickle_cell){child, PICKLE_NOTHING};
    if (node->last == PICKLE_NOTHING)
        node->first = cell;
    else
        o->cell[node->last].next = cell;
    node->last = cell;
    node->n++;
    return TIDE_OK;
}

/* How many values lie above the last mark, or above nothing. */
static int64_t height(const machine *m) { return m->stack.n - (m->marks.n ? m->marks.at[m->marks.n - 1] : 0); }

/* The value on top, taken away; PICKLE_NOTHING: there is none above the last mark. */
static int32_t pop(machine *m) { return height(m) > 0 ? m->stack.at[--m->stack.n] : PICKLE_NOTHING; }

/* The values above `from` become children of `to`, and are gone. */
static tide_status adopt(machine *m, int32_t to, int64_t from) {
    tide_status e = TIDE_OK;
    for (int64_t i = from; i < m->stack.n && !e; i++) e = add_child(m, to, m->stack.at[i]);
    m->stack.n = from;
    return e;
}

/* A tuple of the values above `from`. */
static tide_status make_tuple(machine *m, int64_t from) {
    if (!push(m, PICKLE_TUPLE)) return tide_pending(m->cx);
    int32_t tuple = m->stack.at[--m->stack.n];
    tide_status e = adopt(m, tuple, from);
    return e ? e : put_int(m, &m->stack, tuple);
}

/* The height at the last mark, which is taken away; -1: an error is pending. */
static int64_t to_mark(machine *m) {
    if (m->marks.n) return m->marks.at[--m->marks.n];
    malformed(m, "a mark is missing");
    return -1;
}

/* The values above `from` go to the list or dict below them. */
static tide_status append(machine *m, int64_t from, tide_pickle_type type) {
    int64_t floor = m->marks.n ? m->marks.at[m->marks.n - 1] : 0;
    if (from <= floor) return malformed(m, "nothing to add to");
    int32_t to = m->stack.at[from - 1];
    if (node_at(m, to)->type != type)
        return malformed(m, type == PICKLE_LIST ? "adds to what is no list" : "adds to what is no dictionary");
    if (type == PICKLE_DICT) {
        if ((m->stack.n - from) % 2) return malformed(m, "a key without a value");
        for (int64_t i = from; i < m->stack.n; i += 2) {
            uint8_t key = node_at(m, m->stack.at[i])->type;
            if (key != PICKLE_TEXT && key != PICKLE_INT && key != PICKLE_TRUE && key != PICKLE_FALSE)
                return tide_fail(m->cx, TIDE_EUNSUP, "%s: a key that is no text, whole number or boolean",
                                 m->name);
        }
    }
    return adopt(m, to, from);
}

/* ---- opcodes with arguments in the bytes ---- */

/* The next n bytes; NULL: an error is pending. */
static const char *take(machine *m, uint64_t n) {
    const char *p = m->p;
    if (n > (uint64_t)(m->end - p)) {
        malformed(m, "it ends early");
        return NULL;
    }
    m->p += n;
    return p;
}

static bool little(machine *m, int bytes, uint64_t *out) {
    const unsigned char *p = (const unsigned char *)take(m, (uint64_t)bytes);
    *out = 0;
    for (int i = 0; p && i < bytes; i++) *out |= (uint64_t)p[i] << (8 * i);
    return p;
}

static tide_status read_long(machine *m) {
    uint64_t n, v;
    if (!little(m, 1, &n)) return TIDE_EFORMAT;
    if (n > 8) return tide_fail(m->cx, TIDE_EUNSUP, "%s: a whole number of more than 64 bits", m->name);
    if (!little(m, (int)n, &v)) return TIDE_EFORMAT;
    if (n && n < 8 && v >> (8 * n - 1)) v |= UINT64_MAX << (8 * n);
    return push_int(m, (int64_t)v);
}

static tide_status read_float(machine *m) { /* big-endian */
    const unsigned char *p = (const unsigned char *)take(m, 8);
    uint64_t bits = 0;
    for (int i = 0; p && i < 8; i++) bits = bits << 8 | p[i];
    tide_pickle_node *node = p ? push(m, PICKLE_FLOAT) : NULL;
    if (!node) return tide_pending(m->cx);
    memcpy(&node->v.f, &bits, sizeof bits);
    return TIDE_OK;
}

static tide_status read_text(machine *m) {
    uint64_t n;
    const char *text = little(m, 4, &n) ? take(m, n) : NULL;
    if (!text) return TIDE_EFORMAT;
    if (!tide_utf8_valid(text, n)) return malformed(m, "a text is not UTF-8");
    tide_pickle_node *node = push(m, PICKLE_TEXT);
    if (!node) return tide_pending(m->cx);
    node->v.text = text;
    node->n = (uint32_t)n;
    return TIDE_OK;
}

static tide_status read_global(machine *m) {
    const char *module = m->p, *line = memchr(module, '\n', (size_t)(m->end - module));
    const char *end = line ? memchr(line + 1, '\n', (size_t)(m->end - line - 1)) : NULL;
    if (!end) return malformed(m, "it ends early");
    size_t n = (size_t)(end - module), before = (size_t)(line - module);
    m->p = end + 1;
    for (int k = 0; k < NGLOBALS; k++) {
        const char *g = globals[k].name;
        if (strlen(g) != n || memcmp(g, module, before) || g[before] != ' ' ||
            memcmp(g + before + 1, line + 1, n - before - 1))
            continue;
        tide_pickle_node *node = push(m, PICKLE_GLOBAL);
        if (!node) return tide_pending(m->cx);
        node->v.i = k;
        return TIDE_OK;
    }
    char name[96];
    int k = snprintf(name, sizeof name, "%.*s.%.*s", before < 64 ? (int)before : 64, module,
                     n - before - 1 < 64 ? (int)(n - before - 1) : 64, line + 1);
    return refuse(m, "it names", name, k < (int)sizeof name ? (size_t)k : sizeof name - 1);
}

static tide_status remember(machine *m, uint64_t place) {
    if (height(m) < 1) return malformed(m, "nothing to remember");
    int32_t top = m->stack.at[m->stack.n - 1];
    if (place < (uint64_t)m->memo.n) {
        m->memo.at[place] = top;
        return TIDE_OK;
    }
    if (place > (uint64_t)m->memo.n) return malformed(m, "what it remembers is out of order");
    return put_int(m, &m->memo, top);
}

static tide_status recall(machine *m, uint64_t place) {
    if (place >= (uint64_t)m->memo.n) return malformed(m, "it recalls what it did not remember");
    return put_int(m, &m->stack, m->memo.at[place]);
}

/* ---- what Python would call ---- */

const tide_pickle_node *tide_pickle_child(const tide_pickle *p, const tide_pickle_node *of, uint32_t k) {
    int32_t cell = of->first;
    for (; k > 0 && cell != PICKLE_NOTHING; k--) cell = p->cell[cell].next;
    return cell == PICKLE_NOTHING ? NULL : &p->node[p->cell[cell].node];
}

/* Whether the children of the tuple have these types, one letter each: see the cases. */
static bool has_types(const machine *m, const tide_pickle_node *tuple, const char *types) {
    int32_t cell = tuple->first;
    for (; *types && cell != PICKLE_NOTHING; types++, cell = m->out->cell[cell].next) {
        uint8_t t = m->out->node[m->out->cell[cell].node].type;
        bool fits = *types == 's'   ? t == PICKLE_STORAGE
                    : *types == 'x' ? t == PICKLE_TENSOR
                    : *types == 'i' ? t == PICKLE_INT
                    : *types == 't' ? t == PICKLE_TUPLE
                    : *types == 'u' ? t == PICKLE_TEXT
                    : *types == 'g' ? t == PICKLE_GLOBAL
                    : *types == 'd' ? t == PICKLE_DICT
                                    : t == PICKLE_TRUE || t == PICKLE_FALSE; /* 'b' */
        if (!fits) return false;
    }
    return !*types && cell == PICKLE_NOTHING;
}

static bool is_empty(const tide_pickle_node *v) { return v->type == PICKLE_NONE || v->n == 0; }

static tide_status reduce(machine *m) {
    int32_t given = pop(m), what = pop(m);
    if (what == PICKLE_NOTHING) return malformed(m, "nothing to call");
    const tide_pickle_node *args = node_at(m, given), *global = node_at(m, what), *last;
    if (args->type != PICKLE_TUPLE || global->type != PICKLE_GLOBAL)
        return tide_fail(m->cx, TIDE_EUNSUP, "%s: refused: it calls a value, which is no plain data", m->name);
    const char *name = globals[global->v.i].name;
    switch (globals[global->v.i].kind) {
    case ORDERED_DICT:
        if (args->n) break;
        return push(m, PICKLE_DICT) ? TIDE_OK : tide_pending(m->cx);
    case SIZE:
        if (!has_types(m, args, "t")) break;
        return put_int(m, &m->stack, m->out->cell[args->first].node);
    case REBUILD_PARAMETER: /* (tensor, requires_grad, hooks) */
        if (!has_types(m, args, "xbd")) break;
        if (!is_empty(tide_pickle_child(m->out, args, 2))) return refuse(m, "hooks of", name, strlen(name));
        return put_int(m, &m->stack, m->out->cell[args->first].node);
    case REBUILD_TENSOR:
        last = tide_pickle_child(m->out, args, args->n - 1);
        if (!has_types(m, args, "sittbd") && !(args->n == 7 && last->type == PICKLE_NONE) &&
            !has_types(m, args, "sittbdd"))
            break;
        if (!is_empty(tide_pickle_child(m->out, args, 5)) || !is_empty(last))
            return refuse(m, "hooks or flags of", name, strlen(name));
        node_at(m, given)->type = PICKLE_TENSOR; /* of its own: else the tuple could be used again */
        return put_int(m, &m->stack, given);
    default: break;
    }
    return refuse(m, "an unusual call of", name, strlen(name));
}

/* ('storage', class, key, location, number of elements) */
static tide_status persistent(machine *m) {
    int32_t id = pop(m);
    const tide_pickle_node *t = id == PICKLE_NOTHING ? NULL : node_at(m, id);
    if (!t || t->type != PICKLE_TUPLE || !has_types(m, t, "uguui")) return malformed(m, "no storage");
    const tide_pickle_node *kind = tide_pickle_child(m->out, t, 0), *key = tide_pickle_child(m->out, t, 2);
    int64_t global = tide_pickle_child(m->out, t, 1)->v.i;
    if (kind->n != 7 || memcmp(kind->v.text, "storage", 7) || globals[global].kind != STORAGE)
        return malformed(m, "no storage");
    const char *text = key->v.text;
    uint32_t length = key->n;
    int32_t numel = m->out->cell[t->last].node;
    tide_pickle_node *node = push(m, PICKLE_STORAGE);
    if (!node) return tide_pending(m->cx);
    node->dtype = globals[global].dtype;
    node->v.text = text;
    node->n = length;
    node->first = numel;
    return TIDE_OK;
}

/* The attributes of an OrderedDict (a state_dict has _metadata) are left aside. */
static tide_status build(machine *m) {
    int32_t state = pop(m), on = height(m) > 0 ? m->stack.at[m->stack.n - 1] : PICKLE_NOTHING;
    if (state == PICKLE_NOTHING || on == PICKLE_NOTHING) return malformed(m, "nothing to build");
    if (node_at(m, on)->type != PICKLE_DICT || node_at(m, state)->type != PICKLE_DICT)
        return refuse(m, "the opcode", "BUILD", 5);
    return TIDE_OK;
}

static tide_status unknown(machine *m, char code) {
    for (size_t k = 0; k < sizeof refused / sizeof *refused; k++)
        if (refused[k].code == code) return refuse(m, "the opcode", refused[k].name, strlen(refused[k].name));
    m->p--;
    return malformed(m, "an unknown opcode");
}

static tide_status opcode(machine *m, char code) {
    uint64_t v;
    int64_t from;
    switch (code) {
    case '\x80': /* PROTO */
        if (!little(m, 1, &v)) return TIDE_EFORMAT;
        return v == 2
                   ? TIDE_OK
                   : tide_fail(m->cx, TIDE_EUNSUP,
                               "%s: a pickle of protocol %d; torch.save writes 2 by default", m->name, (int)v);
    case '(':
        if (m->stack.n > INT32_MAX) return malformed(m, "too large");
        return put_int(m, &m->marks, (int32_t)m->stack.n);
    case 'N': return push(m, PICKLE_NONE) ? TIDE_OK : tide_pending(m->cx);
    case '\x88': return push(m, PICKLE_TRUE) ? TIDE_OK : tide_pending(m->cx);
    case '\x89': return push(m, PICKLE_FALSE) ? TIDE_OK : tide_pending(m->cx);
    case ']': return push(m, PICKLE_LIST) ? TIDE_OK : tide_pending(m->cx);
    case '}': return push(m, PICKLE_DICT) ? TIDE_OK : tide_pending(m->cx);
    case ')': return push(m, PICKLE_TUPLE) ? TIDE_OK : tide_pending(m->cx);
    case '\x85':
    case '\x86':
    case '\x87': /* TUPLE1 to TUPLE3 */
        from = (unsigned char)code - 0x84;
        return height(m) < from ? malformed(m, "a tuple of too few values") : make_tuple(m, m->stack.n - from);
    case 't': return (from = to_mark(m)) < 0 ? TIDE_EFORMAT : make_tuple(m, from);
    case 'a': return height(m) < 2 ? malformed(m, "nothing to add") : append(m, m->stack.n - 1, PICKLE_LIST);
    case 'e': return (from = to_mark(m)) < 0 ? TIDE_EFORMAT : append(m, from, PICKLE_LIST);
    case 's': return height(m) < 3 ? malformed(m, "nothing to add") : append(m, m->stack.n - 2, PICKLE_DICT);
    case 'u': return (from = to_mark(m)) < 0 ? TIDE_EFORMAT : append(m, from, PICKLE_DICT);
    case 'K': return little(m, 1, &v) ? push_int(m, (int64_t)v) : TIDE_EFORMAT;
    case 'M': return little(m, 2, &v) ? push_int(m, (int64_t)v) : TIDE_EFORMAT;
    case 'J': return little(m, 4, &v) ? push_int(m, (int32_t)(uint32_t)v) : TIDE_EFORMAT;
    case '\x8a': return read_long(m);
    case 'G': return read_float(m);
    case 'X': return read_text(m);
    case 'c': return read_global(m);
    case 'q': return little(m, 1, &v) ? remember(m, v) : TIDE_EFORMAT;
    case 'r': return little(m, 4, &v) ? remember(m, v) : TIDE_EFORMAT;
    case 'h': return little(m, 1, &v) ? recall(m, v) : TIDE_EFORMAT;
    case 'j': return little(m, 4, &v) ? recall(m, v) : TIDE_EFORMAT;
    case 'R': return reduce(m);
    case 'Q': return persistent(m);
    case 'b': return build(m);
    default: return unknown(m, code);
    }
}

tide_status tide_pickle_read(tide_context *cx, const char *name, const char *bytes, size_t n,
                             tide_pickle *out) {
    machine m = {.cx = cx, .name = name, .begin = bytes, .p = bytes, .end = bytes + n, .out = out};
    tide_status e = TIDE_OK;
    *out = (tide_pickle){.root = PICKLE_NOTHING};
    if (n < 2 || *bytes != '\x80') e = malformed(&m, "it does not begin as one");
    while (!e) {
        const char *code = take(&m, 1);
        if (!code) {
            e = TIDE_EFORMAT;
        } else if (*code == '.') {
            if (m.stack.n != 1 || m.marks.n || m.p != m.end)
                e = malformed(&m, "it does not end with one value");
            if (!e) out->root = m.stack.at[0];
            break;
        } else {
            e = opcode(&m, *code);
        }
    }
    tide_release(cx, m.stack.at, (size_t)m.stack.room * sizeof *m.stack.at);
    tide_release(cx, m.marks.at, (size_t)m.marks.room * sizeof *m.marks.at);
    tide_release(cx, m.memo.at, (size_t)m.memo.room * sizeof *m.memo.at);
    if (e) tide_pickle_free(cx, out);
    return e;
}

void tide_pickle_free(tide_context *cx, tide_pickle *p) {
    tide_release(cx, p->node, (size_t)p->node_room * sizeof *p->node);
    tide_release(cx, p->cell, (size_t)p->cell_room * sizeof *p->cell);
    *p = (tide_pickle){.root = PICKLE_NOTHING};
}
