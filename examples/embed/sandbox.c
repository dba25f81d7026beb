/* Scripts that nobody trusts: whatever they do, the host goes on.
 *
 *   cc sandbox.c $(pkg-config --cflags --libs tide-lua) -o sandbox && ./sandbox [script.lua ...] */
#include <stdio.h>
#include <string.h>
#include <tide_engine.h>

static void print(void *ud, const char *text, size_t n) {
    (void)ud;
    printf("  says: %.*s", (int)n, text);
}

static const char *const names[] = {"fine", "stopped", "caught", "too big", "outside", "frozen"};
static const char *const scripts[] = {
    "print(tide.ones(2, 2):sum():item())",
    "while true do end",
    "while true do pcall(function() return ('a'):rep(3000):find('.-.-b') end) end",
    "local list = {} while true do list[#list + 1] = tide.ones(1024, 1024) end",
    "return os.execute('true')",
    "string.rep = nil",
};

static int show(tide_engine *e, const char *name, tide_status status) {
    static const char *const words[] = {"fine", "an error", "out of memory", "no file", "malformed", "stopped"};
    printf("%s: %s%s%s\n", name, status < 6 ? words[status] : "an error", status ? ": " : "",
           status ? tide_engine_error(e) : "");
    return status == TIDE_OK;
}

int main(int argc, char **argv) {
    tide_config context = {.size = sizeof context, .threads = 1, .memory_limit = (size_t)32 << 20};
    tide_engine_config config = {.size = sizeof config,
                                 .context = &context,
                                 .sandbox = 1,
                                 .lua_limit = (size_t)16 << 20,
                                 .print = print};
    char why[300];
    int n = argc > 1 ? argc - 1 : (int)(sizeof scripts / sizeof *scripts), fine = 0;
    for (int i = 0; i < n; i++) {
        tide_engine *e; /* each its own: nothing is left of one when the next begins */
        if (tide_engine_open(&config, &e, why, sizeof why)) return fprintf(stderr, "%s\n", why), 1;
        tide_engine_limit(e, 0.1, 0);
        if (argc > 1)
            fine += show(e, argv[i + 1], tide_engine_run_file(e, argv[i + 1]));
        else
            fine += show(e, names[i], tide_engine_run(e, scripts[i], strlen(scripts[i]), names[i]));
        tide_engine_close(e);
    }
    printf("RESULT sandbox scripts=%d fine=%d\n", n, fine);
    return 0;
}
