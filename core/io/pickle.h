/* Python's pickles (protocol 2, docs.python.org/3/library/pickletools.html) as torch.save writes them, of plain
 * data: a tree of values. A pickle is a program; here only the opcodes that build data are understood, and of
 * all classes and functions it may name only those below. Anything else is refused, by its name. Nothing is
 * ever called. */
#ifndef TIDE_PICKLE_H
#define TIDE_PICKLE_H

#include "base/base.h"

typedef enum {
    PICKLE_NONE,
    PICKLE_FALSE,
    PICKLE_TRUE,
    PICKLE_INT,
    PICKLE_FLOAT,
    PICKLE_TEXT,
    PICKLE_TUPLE,
    PICKLE_LIST,
    PICKLE_DICT,
    PICKLE_TENSOR,  /* children: storage, offset, sizes, strides, requires_grad, hooks[, metadata] */
    PICKLE_STORAGE, /* v.text: its key, n: the key's bytes, dtype; first: the node of its number of elements */
    PICKLE_GLOBAL   /* one of the allowed names, by itself */
} tide_pickle_type;

enum { PICKLE_NOTHING = -1 };

typedef struct tide_pickle_node {
    uint8_t type, dtype;
    bool reached;        /* for whoever follows the root */
    uint32_t n;          /* children (of a dict: keys and values), or bytes of text */
    int32_t first, last; /* cells */
    union {
        int64_t i;
        double f;
        const char *text; /* UTF-8, not ended by 0, in the pickle's bytes */
    } v;
} tide_pickle_node;

typedef struct {
    int32_t node, next;
} tide_pickle_cell;

/* Nodes may be shared, and lists and dicts may hold themselves: follow `root` with care. */
typedef struct tide_pickle {
    tide_pickle_node *node;
    tide_pickle_cell *cell;
    int64_t nnode, node_room, ncell, cell_room;
    int32_t root;
} tide_pickle;

/* Understands n bytes, which must stay; `name` is for errors. Time and memory grow with n. TIDE_EFORMAT:
 * malformed; TIDE_EUNSUP: something else than plain data. */
tide_status tide_pickle_read(tide_context *cx, const char *name, const char *bytes, size_t n, tide_pickle *out);
void tide_pickle_free(tide_context *cx, tide_pickle *p);
/* The k-th child (from 0) of a node; NULL: it has fewer. */
const tide_pickle_node *tide_pickle_child(const tide_pickle *p, const tide_pickle_node *of, uint32_t k);

#endif
