/* Threads that run Lua: each has a state and a context of its own, and talks to the script that made it in
 * messages. */
#include "bindings/message.h"
#include <errno.h>
#include <lualib.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

typedef struct {
    tide_message *first, *last;
} queue;

/* What the two threads share: `in`, `out`, `ended` under the lock; `stop` is only ever set. The rest is the
 * worker's from when its thread starts until that ends. */
typedef struct worker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    queue in, out; /* to the worker, from it */
    bool ended;
    int stop;
    tide_config config; /* one thread: there are as many workers as are wanted */
    tide_lua_host host;
    tide_message *start; /* package.path, package.cpath, module, data */
} worker;

static void put(queue *q, tide_message *m) {
    m->next = NULL;
    if (q->last)
        q->last->next = m;
    else
        q->first = m;
    q->last = m;
}

static tide_message *take(queue *q) {
    tide_message *m = q->first;
    if (!m) return NULL;
    q->first = m->next;
    if (!q->first) q->last = NULL;
    return m;
}

static bool stopped(const worker *w) { return __atomic_load_n(&w->stop, __ATOMIC_RELAXED); }

static int cancelled(void *ud) { return stopped(ud); }

static void post(worker *w, queue *q, tide_message *m) {
    pthread_mutex_lock(&w->lock);
    put(q, m);
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

/* ---- a message while Lua builds it or takes it apart: freed by its box, whatever happens ---- */

typedef struct {
    tide_message *m;
} box;

static void box_release(tide_lua *s, void *p) {
    box *b = p;
    (void)s;
    tide_message_free(b->m);
}
static const tide_lua_kind box_kind = {"tide.Message", sizeof(box), box_release, (luaL_Reg[]){{NULL, NULL}}};

static int send_value(lua_State *L, tide_lua *s, worker *w, queue *q, const char *who) {
    luaL_checkany(L, 2);
    box *b = tide_lua_new(L, s, &box_kind);
    b->m = tide_message_new();
    if (!b->m) return tide_lua_error(L, s, who, "out of memory");
    tide_message_put(L, s, b->m, 2, who);
    post(w, q, b->m);
    b->m = NULL;
    return 0;
}

/* Pushes true and the value, or false and an error's text; frees the message. */
static int open_message(lua_State *L, tide_lua *s, box *b) {
    lua_pushboolean(L, !b->m->failed);
    tide_message_take(L, s, b->m);
    tide_message_free(b->m);
    b->m = NULL;
    return 2;
}

/* ---- in the worker ---- */

static int port_send(lua_State *L), port_receive(lua_State *L), port_stopped(lua_State *L);
static const tide_lua_kind port_kind = {
    "tide.Port", sizeof(worker *), NULL,
    (luaL_Reg[]){{"send", port_send}, {"receive", port_receive}, {"stopped", port_stopped}, {NULL, NULL}}};

static worker *own(lua_State *L) { return *(worker **)tide_lua_object(L, 1, &port_kind); }

static int port_send(lua_State *L) { return send_value(L, STATE(L), own(L), &own(L)->out, "port:send"); }

/* port:receive(): true, value; or nothing when the script wants no more */
static int port_receive(lua_State *L) {
    worker *w = own(L);
    box *b = tide_lua_new(L, STATE(L), &box_kind);
    pthread_mutex_lock(&w->lock);
    while (!w->in.first && !stopped(w)) pthread_cond_wait(&w->changed, &w->lock);
    b->m = stopped(w) ? NULL : take(&w->in);
    pthread_mutex_unlock(&w->lock);
    return b->m ? open_message(L, STATE(L), b) : 0;
}

static int port_stopped(lua_State *L) {
    lua_pushboolean(L, stopped(own(L)));
    return 1;
}

static void hook(lua_State *L, lua_Debug *ar) {
    (void)ar;
    lua_getfield(L, LUA_REGISTRYINDEX, TIDE_HOST);
    const tide_lua_host *host = lua_touserdata(L, -1);
    lua_pop(L, 1);
    if (host->cancelled(host->ud)) luaL_error(L, "the worker was closed");
}

static int body(lua_State *L) {
    worker *w = lua_touserdata(L, 1);
    luaL_openlibs(L);
    lua_pushlightuserdata(L, &w->host);
    lua_setfield(L, LUA_REGISTRYINDEX, TIDE_HOST);
    lua_sethook(L, hook, LUA_MASKCOUNT, 1000);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, luaopen_tide_core);
    lua_setfield(L, -2, "tide.core");
    lua_settop(L, 1);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "tide.core");
    lua_call(L, 1, 1); /* 2: the core */
    tide_lua *s = tide_lua_of(L);
    for (int i = 0; i < 4; i++) tide_message_take(L, s, w->start); /* 3 path, 4 cpath, 5 module, 6 data */
    lua_getglobal(L, "package");
    lua_pushvalue(L, 3);
    lua_setfield(L, -2, "path");
    lua_pushvalue(L, 4);
    lua_setfield(L, -2, "cpath");
    lua_getglobal(L, "require");
    lua_pushvalue(L, 5);
    lua_call(L, 1, 1);
    if (!lua_isfunction(L, -1))
        return luaL_error(L, "worker: the module '%s' returned a %s, not a function", lua_tostring(L, 5),
                          luaL_typename(L, -1));
    *(worker **)tide_lua_new(L, s, &port_kind) = w;
    lua_pushvalue(L, 6);
    lua_call(L, 2, 0);
    return 0;
}

static int traceback(lua_State *L) {
    luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
    return 1;
}

static void *run(void *arg) {
    worker *w = arg;
    lua_State *L = luaL_newstate();
    const char *text = "worker: out of memory";
    size_t n = strlen(text);
    bool failed = true;
    if (L) {
        lua_pushcfunction(L, traceback);
        lua_pushcfunction(L, body);
        lua_pushlightuserdata(L, w);
        failed = lua_pcall(L, 1, 0, 1) != LUA_OK;
        if (failed && lua_isstring(L, -1)) text = lua_tolstring(L, -1, &n);
    }
    tide_message *m = failed && !stopped(w) ? tide_message_new() : NULL;
    if (m && !tide_message_put_text(m, text, n)) {
        tide_message_free(m);
        m = NULL;
    }
    if (L) lua_close(L);
    pthread_mutex_lock(&w->lock);
    if (m) {
        m->failed = true;
        put(&w->out, m);
    }
    w->ended = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* ---- in the script that made it ---- */

static const tide_lua_kind worker_kind;

static worker *check_worker(lua_State *L, tide_lua *s) {
    worker **p = tide_lua_object(L, 1, &worker_kind);
    if (!*p) tide_lua_error(L, s, "worker", "this worker was closed");
    return *p;
}

static void worker_release(tide_lua *s, void *p) { /* waits until the thread has ended */
    worker *w = *(worker **)p;
    (void)s;
    *(worker **)p = NULL;
    if (!w) return;
    pthread_mutex_lock(&w->lock);
    __atomic_store_n(&w->stop, 1, __ATOMIC_RELAXED);
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    for (tide_message *m; (m = take(&w->in));) tide_message_free(m);
    for (tide_message *m; (m = take(&w->out));) tide_message_free(m);
    tide_message_free(w->start);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

static int worker_close(lua_State *L) {
    worker_release(STATE(L), tide_lua_object(L, 1, &worker_kind));
    return 0;
}

static int worker_send(lua_State *L) { /* worker:send(value) */
    tide_lua *s = tide_lua_enter(L);
    worker *w = check_worker(L, s);
    return send_value(L, s, w, &w->in, "worker:send");
}

static bool asked_to_stop(const tide_lua *s) {
    const tide_lua_host *host = s->host;
    return host && host->cancelled && host->cancelled(host->ud);
}

/* worker:receive(): true, value; false, its error with the traceback; nothing when it has ended */
static int worker_receive(lua_State *L) {
    tide_lua *s = tide_lua_enter(L);
    worker *w = check_worker(L, s);
    bool interrupted = false;
    box *b = tide_lua_new(L, s, &box_kind);
    pthread_mutex_lock(&w->lock);
    while (!(b->m = take(&w->out)) && !w->ended && !interrupted) {
        struct timespec t; /* looks up now and then: Ctrl-C wakes nobody */
        clock_gettime(CLOCK_MONOTONIC, &t);
        t.tv_nsec += 50000000;
        if (t.tv_nsec >= 1000000000) t.tv_sec++, t.tv_nsec -= 1000000000;
        pthread_cond_timedwait(&w->changed, &w->lock, &t);
        interrupted = asked_to_stop(s);
    }
    pthread_mutex_unlock(&w->lock);
    if (interrupted && !b->m) return tide_lua_error(L, s, "worker", "interrupted");
    return b->m ? open_message(L, s, b) : 0;
}

static const tide_lua_kind worker_kind = {"tide.Worker", sizeof(worker *), worker_release,
                                          (luaL_Reg[]){{"__close", worker_close},
                                                       {"close", worker_close},
                                                       {"send", worker_send},
                                                       {"receive", worker_receive},
                                                       {NULL, NULL}}};

/* _worker(module, data): a thread in which require(module)(port, data) runs */
static int new_worker(lua_State *L) {
    tide_lua *s = tide_lua_enter(L);
    luaL_checkstring(L, 1);
    lua_settop(L, 2);
    worker **p = tide_lua_new(L, s, &worker_kind);
    box *b = tide_lua_new(L, s, &box_kind);
    b->m = tide_message_new();
    if (!b->m) return tide_lua_error(L, s, "worker", "out of memory");
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "path");
    tide_message_put(L, s, b->m, -1, "worker");
    lua_getfield(L, -2, "cpath");
    tide_message_put(L, s, b->m, -1, "worker");
    tide_message_put(L, s, b->m, 1, "worker");
    tide_message_put(L, s, b->m, 2, "worker");
    worker *w = calloc(1, sizeof *w);
    if (!w) return tide_lua_error(L, s, "worker", "out of memory");
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&w->lock, NULL);
    w->start = b->m;
    w->config = (tide_config){.size = sizeof w->config, .threads = 1};
    w->host = (tide_lua_host){.config = &w->config, .cancelled = cancelled, .ud = w};
    sigset_t all, before; /* signals are the script's */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int e = pthread_create(&w->thread, NULL, run, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (e) {
        pthread_cond_destroy(&w->changed);
        pthread_mutex_destroy(&w->lock);
        free(w);
        return tide_lua_error(L, s, "worker", "no thread could be started: %s", strerror(e));
    }
    b->m = NULL;
    *p = w;
    lua_pushvalue(L, 3);
    return 1;
}

void tide_lua_open_worker(lua_State *L, tide_lua *s) {
    tide_lua_register(L, s, (luaL_Reg[]){{"_worker", new_worker}, {NULL, NULL}});
}
