/* The only code that knows lua_State. Every function here is a closure whose first upvalue is the tide_lua of
 * its state.
 *
 * Lua objects are boxed before what they hold is acquired; Lua errors are raised only after the core has
 * returned. */
#ifndef TIDE_LUA_H
#define TIDE_LUA_H

#include "op/op.h"
#include "autograd/tape.h"
#include <lauxlib.h>
#include <lua.h>

/* A tensor that Lua holds, and the scope that it will be closed with: the outermost goes with the state. */
typedef struct scope scope;
typedef struct object object;
typedef struct handle {
    tide_tensor *t; /* NULL: closed */
    uint32_t epoch; /* of a compiled step's temporary */
    struct scope *scope;
    struct handle *prev, *next;
} handle;
struct scope {
    handle *first; /* newest */
    scope *outer;  /* opened before and still open; NULL: outermost */
    bool open;
};

enum { NSEEN = 256 };

typedef struct tide_lua {
    tide_context *cx;
    lua_State *L; /* the one running now: for the pressure hook */
    int collecting;
    scope outermost, *scope; /* scope: the innermost open one */
    object *objects;         /* what its userdata hold besides tensors */
    struct custom *customs;  /* Lua backwards that the tape holds */
    handle closed;           /* what a userdata has whose finalizer has run */
    int tensor_class;        /* the metatable of tensors, in the registry */
    uint32_t site;           /* of the last call */
    struct seen {
        const void *caller;
        int line;
        uint32_t site;
    } seen[NSEEN];     /* by function and line; site 0: not the user's */
    char library[512]; /* where lua/tide lies: its own frames are not the user's lines */
    size_t nlibrary;
    const struct tide_lua_host *host; /* NULL: none, or gone */
    tide_status failed;               /* of the last error raised for the core */
    double step;                      /* how far idle memory may grow before a collection */
    uint64_t idle;                    /* bytes left idle by the last one */
    int64_t handles, few, many;       /* now; left by the last one; so many are to begin the next */
    bool sliced;                      /* then in small steps: a slice is not to bear a whole one */
    uint64_t cycle; /* idle bytes where one that is done in steps began; 0: none is under way */
} tide_lua;

/* What the program around asks for, as a light userdata in this field of the registry when the core is opened.
 */
#define TIDE_HOST "tide.host"
typedef struct tide_lua_host {
    const tide_config
        *config; /* of the context; NULL: defaults, with a black box in the folder for such files */
    int (*cancelled)(void *ud); /* besides the config's; may be NULL */
    void *ud;
    bool closed; /* no files, no processes: only what computes is opened */
} tide_lua_host;

#define STATE(L) ((tide_lua *)lua_touserdata(L, lua_upvalueindex(1)))

/* ---- state.c ---- */
tide_context *tide_lua_context(lua_State *L); /* raises if the state is closing */
tide_lua *tide_lua_of(lua_State *L);          /* NULL: the core is not open in L */
tide_lua *tide_lua_enter(lua_State *L);       /* the state, with the caller's line told to the core */
/* A small step of a collection, where idle memory nears what would start a whole one; false: nothing more to
 * do. */
bool tide_lua_collect_step(tide_lua *s, lua_State *L);
void tide_lua_many(tide_lua *s);               /* handles have come to be `many`: collects */
int tide_lua_raise(lua_State *L, tide_lua *s); /* the pending error as a Lua error; does not return */
int tide_lua_error(lua_State *L, tide_lua *s, const char *op, const char *format, ...); /* "where: [op] text" */
int tide_lua_fail(lua_State *L, tide_lua *s); /* for I/O: pushes nil, message, code; returns 3 */
void tide_lua_register(lua_State *L, tide_lua *s, const luaL_Reg *functions); /* into the table on top */
/* Gives the userdata on top the metatable of that name, made at the first use and known once it is complete.
 * gc: its finalizer, or NULL. */
void tide_lua_class(lua_State *L, tide_lua *s, const char *name, const luaL_Reg *functions, lua_CFunction gc);

/* Pushed on the stack, where it must stay; calls undo(s, was) when the C function that made it ends, also by an
 * error. undo NULL: disarmed. */
typedef struct {
    tide_lua *s;
    void (*undo)(tide_lua *s, int was);
    int was;
} tide_lua_guard;
tide_lua_guard *tide_lua_guarded(lua_State *L, tide_lua *s);

/* ---- object.c ---- */
typedef struct {
    const char *name; /* of its metatable */
    size_t size;
    void (*release)(tide_lua *s, void *p); /* what p holds, once; NULL: nothing */
    const luaL_Reg *functions;
} tide_lua_kind;
void *tide_lua_new(lua_State *L, tide_lua *s,
                   const tide_lua_kind *kind); /* pushes one of zeros, with a user value */
void *tide_lua_object(lua_State *L, int i, const tide_lua_kind *kind); /* raises if it is something else */
void tide_lua_release_all(tide_lua *s);                                /* objects and tensors: the state ends */

/* ---- tensor.c ---- */
handle *tide_lua_box(lua_State *L, tide_lua *s);            /* pushes a closed handle, in the innermost scope */
void tide_lua_fill(tide_lua *s, handle *h, tide_tensor *t); /* gives it the caller's reference */
handle *tide_lua_handle(lua_State *L, tide_lua *s,
                        int i); /* the tensor's box at i, perhaps closed; NULL: something else */
tide_tensor *tide_lua_test(lua_State *L, tide_lua *s, int i); /* NULL: no tensor; raises on closed ones */
tide_tensor *tide_lua_check(lua_State *L, tide_lua *s, int i, const char *op);
void tide_lua_open_tensor(lua_State *L, tide_lua *s); /* makes the metatable; core table on top */

/* ---- scope.c ---- */
void tide_lua_scope_add(scope *sc, handle *h);
void tide_lua_scope_remove(handle *h);
void tide_lua_open_scope(lua_State *L, tide_lua *s);

/* ---- grad.c ---- */
void tide_lua_forget_customs(tide_lua *s); /* the state ends: its backwards with it, not the nodes */

/* ---- args.c ---- */
int tide_lua_call(lua_State *L); /* upvalue 2: the operation */
int tide_lua_call_inplace(lua_State *L);
tide_dtype tide_lua_dtype(lua_State *L, tide_lua *s, int i, const char *op);

/* ---- the other files: each adds its functions to the core table on top ---- */
void tide_lua_open_create(lua_State *L, tide_lua *s);
void tide_lua_open_index(lua_State *L, tide_lua *s);
void tide_lua_open_grad(lua_State *L, tide_lua *s);
void tide_lua_open_compile(lua_State *L, tide_lua *s);
void tide_lua_open_optim(lua_State *L, tide_lua *s);
void tide_lua_open_data(lua_State *L, tide_lua *s);
void tide_lua_open_files(lua_State *L, tide_lua *s);
void tide_lua_open_disk(lua_State *L, tide_lua *s);
void tide_lua_open_worker(lua_State *L, tide_lua *s);
void tide_lua_open_bytes(lua_State *L, tide_lua *s);
void tide_lua_open_image(lua_State *L, tide_lua *s);
void tide_lua_open_inspect(lua_State *L, tide_lua *s);
void tide_lua_open_program(lua_State *L, tide_lua *s);
const tide_op *tide_lua_op(const char *name);                    /* by its name here or inside; NULL: none */
int tide_lua_getitem(lua_State *L, tide_lua *s, tide_tensor *t); /* x[key], key at 2 */
int tide_lua_setitem(lua_State *L, tide_lua *s, tide_tensor *t); /* x[key] = value at 3 */

/* Reads a sequence of tensors at i into memory that lives as long as the value pushed. */
tide_tensor **tide_lua_list(lua_State *L, tide_lua *s, int i, const char *op, int *n);

TIDE_API int luaopen_tide_core(lua_State *L);

#endif
