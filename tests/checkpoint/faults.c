/* A disk that fails: preloaded, it stands before the C library's calls; loaded as a Lua module as well, it is
 * told which call is to fail, and how. faults.arm("write", 3, "ENOSPC")   the third write from now on, and all
 * later ones ("EIO", "short": one half is written) faults.disarm()                    returns how many calls
 * were made to fail */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

int luaopen_faults(lua_State *L);

static const char *armed = "";  /* a call's name */
static int left, failed, error; /* error 0: short */

static int hit(const char *call) {
    if (strcmp(call, armed) || --left > 0) return 0;
    failed++;
    errno = error;
    return 1;
}
#define REAL(f) ((__typeof__(&(f)))dlsym(RTLD_NEXT, #f))

ssize_t write(int fd, const void *p, size_t n) {
    if (fd > 2 && hit("write")) {
        if (error) return -1;
        n = (n + 1) / 2;
    }
    return REAL(write)(fd, p, n);
}
int fsync(int fd) { return hit("fsync") ? -1 : REAL(fsync)(fd); }
int rename(const char *from, const char *to) { return hit("rename") ? -1 : REAL(rename)(from, to); }
int mkdir(const char *path, mode_t mode) { return hit("mkdir") ? -1 : REAL(mkdir)(path, mode); }
int close(int fd) { /* of files written to: that of others says nothing */
    int bad = (fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY && hit("close"), kept = errno, r = REAL(close)(fd);
    if (bad) errno = kept;
    return bad ? -1 : r;
}
int open(const char *path, int flags, ...) {
    va_list ap;
    va_start(ap, flags);
    mode_t mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    return flags & O_CREAT && hit("open") ? -1 : REAL(open)(path, flags, mode);
}

static int arm(lua_State *L) {
    static char name[16];
    const char *how = luaL_checkstring(L, 3);
    snprintf(name, sizeof name, "%s", luaL_checkstring(L, 1));
    left = (int)luaL_checkinteger(L, 2);
    error = !strcmp(how, "ENOSPC") ? ENOSPC : !strcmp(how, "EIO") ? EIO : 0;
    failed = 0;
    armed = name;
    return 0;
}
static int disarm(lua_State *L) {
    armed = "";
    lua_pushinteger(L, failed);
    return 1;
}

int luaopen_faults(lua_State *L) {
    luaL_newlib(L, ((luaL_Reg[]){{"arm", arm}, {"disarm", disarm}, {NULL, NULL}}));
    return 1;
}
