/* Lua inside a C program: scripts with tensors, within the limits that the host sets. Link with tide-lua
 * instead of tide (pkg-config tide-lua): it holds the engine of tide.h, these functions and the library's Lua
 * part.
 *
 * An engine has one Lua state and one tide_context; both are used by one thread at a time, and several engines
 * may run on several threads. Functions that can fail give a status, and tide_engine_error then has the text,
 * with the script's line: TIDE_EARG for an error in a script, TIDE_EMEM, TIDE_ECANCEL for one that was stopped,
 * TIDE_EIO. Nothing is printed unless a script prints, and no call ends the process. Calls from within a script
 * (from progress, print or a C function) are refused. */
#ifndef TIDE_ENGINE_H
#define TIDE_ENGINE_H

#include "tide.h"

#ifdef __cplusplus
extern "C" {
#endif

struct lua_State;
typedef struct tide_engine tide_engine;

/* Zero means the default. Set `size` to sizeof(tide_engine_config). */
typedef struct tide_engine_config {
    size_t size;
    /* As for tide_open: alloc serves Lua too, and cancelled is also asked between Lua instructions, where it
     * stops the script with an error. The hooks are kept as long as tensors live. NULL: defaults. */
    const tide_config *context;
    /* The host's own state, with the standard libraries open; scripts say require "tide". One engine a state;
     * the host closes it, and the context goes with it. NULL: the engine opens a state, in which `tide` is a
     * global. */
    struct lua_State *L;
    size_t lua_limit; /* bytes that an own state may take; 0: none, but 64 MiB in a sandbox */
    /* For scripts that nobody trusts; not with a state of the host's. No files, processes, modules, bytecode or
     * finalizers; libraries are frozen; every loop can be stopped, also within string and table functions and
     * tensor operations. Without a memory_limit tensors may take 256 MiB. What it cannot keep out are errors in
     * Lua itself: hostile code belongs in a process of its own as well. */
    int sandbox;
    void *ud;                                                  /* first argument of what follows */
    void (*progress)(void *ud, const char *what, double part); /* tide.report(what, part) in a script */
    void (*print)(void *ud, const char *text, size_t n); /* print(...) with its newline, in an own state; NULL:
                                                            standard output, in a sandbox nothing */
} tide_engine_config;

/* config may be NULL. On failure *out is NULL, and `why`, unless it is NULL, holds at most n bytes of text. */
TIDE_API tide_status tide_engine_open(const tide_engine_config *config, tide_engine **out, char *why, size_t n);
/* NULL passes. Closes an own state, also with errors pending; tensors that the host holds stay until freed. */
TIDE_API void tide_engine_close(tide_engine *e);
TIDE_API tide_context *tide_engine_context(tide_engine *e); /* for tide_wrap, tide_read ... */
TIDE_API struct lua_State *tide_engine_lua(tide_engine *e);
TIDE_API const char *tide_engine_error(tide_engine *e); /* of the last call that failed, until the next fails */
TIDE_API size_t tide_engine_memory(tide_engine *e);     /* bytes that an own Lua state takes now */

/* For each of the calls below: seconds of wall time, and Lua instructions (counted in lots of 50); 0: no limit.
 * Past them the script fails with TIDE_ECANCEL, whatever it catches; outside a sandbox, stock functions such as
 * string.rep end first. */
TIDE_API void tide_engine_limit(tide_engine *e, double seconds, uint64_t instructions);

/* Runs n bytes of text, or a file of text. Errors call it `name`. */
TIDE_API tide_status tide_engine_run(tide_engine *e, const char *text, size_t n, const char *name);
TIDE_API tide_status tide_engine_run_file(tide_engine *e, const char *path);

/* Calls a global function, or a field of global tables ("agent.step"), with tensors (NULL: nil). out[] receives
 * nout results, references of the caller's, NULL for nil; results must be tensors, and numbers come as tensors
 * without dims (int64 or float64). Inputs over the host's memory are made by tide_wrap, whose release callback
 * says when no script holds them any more: at the latest in tide_engine_close. nin, nout <= 64. */
TIDE_API tide_status tide_engine_call(tide_engine *e, const char *function, tide_tensor *const *in, int nin,
                                      tide_tensor **out, int nout);

/* Work in slices, as games do it in each frame. start makes a coroutine of a function; a slice goes on with it
 * for about `ms` milliseconds: it gives way between Lua instructions, when what lies between two chances to do
 * so would not fit in any more, or at coroutine.yield(). Tensor operations, compiled steps and functions called
 * from C are not divided. *running becomes 0 when the function has returned or failed. A second start drops the
 * first. */
TIDE_API tide_status tide_engine_start(tide_engine *e, const char *function, tide_tensor *const *in, int nin);
TIDE_API tide_status tide_engine_slice(tide_engine *e, double ms, int *running);

/* Runs a changed file again in the same state and keeps what was learned: tensors, modules and optimizers that
 * are reached from a global through the same names before and after, and have the same shapes, take over the
 * old values. On failure all globals are as before. */
TIDE_API tide_status tide_engine_reload(tide_engine *e, const char *path);

#ifdef __cplusplus
}
#endif
#endif
