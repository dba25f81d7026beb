/* A program that has a Lua state of its own, with its own functions, and adds Tide to it.
 *
 *   cc host-state.c $(pkg-config --cflags --libs tide-lua) -lm -o host-state && ./host-state */
#include <lauxlib.h>
#include <lualib.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <tide_engine.h>

static int sensor(lua_State *L) { /* the host's own function */
    lua_pushnumber(L, sin(luaL_checknumber(L, 1)));
    return 1;
}

static void progress(void *ud, const char *what, double part) {
    if (part >= 1 || (int)(part * 100) % 25 == 0) printf("%s %3.0f %%\n", what, part * 100);
    ++*(int *)ud;
}

static void release(void *arg) { ++*(int *)arg; }

static const char *const script = "local tide = require 'tide'\n"
                                  "local w = tide.zeros(3):requires_grad_(true)\n"
                                  "local opt = tide.optim.Adam({w}, {lr = 0.05})\n"
                                  "local x = tide.tensor((function() local t = {} for i = 1, 64 do t[i] = "
                                  "{sensor(i / 10), i / 64, 1} end return t end)())\n"
                                  "function fit(y)\n"
                                  "  for i = 1, 400 do\n"
                                  "    opt:zero_grad()\n"
                                  "    local loss = ((x:matmul(w) - y) ^ 2):mean()\n"
                                  "    loss:backward()\n"
                                  "    opt:step()\n"
                                  "    if i % 100 == 0 then tide.report('fit', i / 400) end\n"
                                  "  end\n"
                                  "  return w:detach()\n"
                                  "end\n";

int main(void) {
    int reports = 0, released = 0;
    lua_State *L = luaL_newstate();
    if (!L) return 1;
    luaL_openlibs(L);
    lua_register(L, "sensor", sensor);

    tide_config context = {.size = sizeof context, .threads = 1, .seed = 1};
    tide_engine_config config = {
        .size = sizeof config, .context = &context, .L = L, .ud = &reports, .progress = progress};
    tide_engine *e;
    char why[300];
    if (tide_engine_open(&config, &e, why, sizeof why)) return fprintf(stderr, "%s\n", why), 1;
    if (tide_engine_run(e, script, strlen(script), "fit.lua"))
        return fprintf(stderr, "%s\n", tide_engine_error(e)), 1;

    float y[64]; /* what is to be fitted, in the host's memory */
    for (int i = 0; i < 64; i++) y[i] = 2 * sinf((float)(i + 1) / 10) - (float)(i + 1) / 64 + 0.5f;
    tide_tensor *in =
                    tide_wrap(tide_engine_context(e), &(tide_meta){.ndim = 1, .shape = {64}, .dtype = TIDE_F32},
                              y, release, &released),
                *out;
    if (tide_engine_call(e, "fit", &in, 1, &out, 1)) return fprintf(stderr, "%s\n", tide_engine_error(e)), 1;
    float w[3];
    tide_read(out, w, sizeof w);
    tide_free(out);
    tide_free(in);

    /* the state is the host's: its own calls go on as before, with tensors or without */
    if (luaL_dostring(L, "collectgarbage() return require('tide').version"))
        return fprintf(stderr, "%s\n", lua_tostring(L, -1)), 1;
    printf("RESULT host-state version=%s w=%.2f,%.2f,%.2f reports=%d released=%d\n", lua_tostring(L, -1),
           (double)w[0], (double)w[1], (double)w[2], reports, released);
    tide_engine_close(e);
    lua_close(L);
    return 0;
}
