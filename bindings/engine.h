/* Lua inside a C program: scripts with tensors, within the limits that the host sets.
 *
 * An engine has one Lua state and one tide_context; both belong to one thread at a time. Functions that can fail give a
 * status; tide_engine_error then has the text, with the script's line. Nothing is printed, and no call ends the process. */
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
    struct lua_State *L;  /* the host's state, which stays the host's; NULL: the engine opens its own */
    const char *library;  /* the folder that holds tide/init.lua; NULL: where it was installed */
    int sandbox;          /* for scripts that nobody trusts; needs a state of the engine's own. No files, processes,
                             modules, bytecode, finalizers; libraries are frozen; every loop can be stopped */
    size_t memory_limit;  /* bytes for Lua (own state) and tensors together; 0: none */
    int threads;          /* as in tide_config */
    uint64_t seed;
    void *ud; /* first argument of the hooks */
    int (*cancelled)(void *ud);                                   /* nonzero stops the script with an error */
    void (*progress)(void *ud, const char *what, double part);    /* tide.report(what, part) in a script */
    void (*print)(void *ud, const char *text, size_t n);          /* print(...) in a script of an own state, with the
                                                                     newline; NULL: dropped in a sandbox, else stdout */
} tide_engine_config;

/* On failure *out is NULL, and `why`, if it is not NULL, holds up to `n` bytes of text. */
TIDE_API tide_status tide_engine_open(const tide_engine_config *config, tide_engine **out, char *why, size_t n);
TIDE_API void tide_engine_close(tide_engine *e); /* NULL passes; frees its tensors, but not a host's lua_State */
TIDE_API tide_context *tide_engine_context(tide_engine *e);
TIDE_API struct lua_State *tide_engine_lua(tide_engine *e);
TIDE_API const char *tide_engine_error(tide_engine *e); /* of the last call that failed; "" if none did */

/* For each of the calls that follow: seconds of wall time and Lua instructions (counted by the thousand); 0: no limit.
 * Past them the script fails with TIDE_ECANCEL, also inside string and table functions of a sandbox and inside tensor
 * operations, which stop between tiles. */
TIDE_API void tide_engine_limit(tide_engine *e, double seconds, uint64_t instructions);

/* Runs a chunk of text (n bytes), or a file. `name` is how errors call it. */
TIDE_API tide_status tide_engine_run(tide_engine *e, const char *text, size_t n, const char *name);
TIDE_API tide_status tide_engine_run_file(tide_engine *e, const char *path);

/* Calls a global function, or a field of global tables ("agent.step"), with tensors (NULL: nil) and receives nout results,
 * each a new reference or NULL for nil. Any other result fails. Inputs may be over host memory: see tide_wrap. */
TIDE_API tide_status tide_engine_call(tide_engine *e, const char *function, tide_tensor *const *in, int nin,
                                      tide_tensor **out, int nout);

/* Work in slices, as a game does in each frame: starts a function as a coroutine, whose slices then take about `ms`
 * milliseconds each: it gives way at the first chance after that, between Lua instructions, never inside a tensor operation
 * or a compiled step; also at coroutine.yield(). *running is 0 once it has returned. A second start replaces the first. */
TIDE_API tide_status tide_engine_start(tide_engine *e, const char *function, tide_tensor *const *in, int nin);
TIDE_API tide_status tide_engine_slice(tide_engine *e, double ms, int *running);

/* Runs a changed file again in the same state, keeping what was learned: every global that was a tensor or a module
 * before and is one of the same kind and shapes after takes over its old values. On failure all globals are as before. */
TIDE_API tide_status tide_engine_reload(tide_engine *e, const char *path);

#ifdef __cplusplus
}
#endif
#endif
