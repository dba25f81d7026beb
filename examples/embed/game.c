/* A game that shows sixty pictures a second, and a goalkeeper that learns meanwhile: a Lua script trains a
 * network within three milliseconds of each frame. The longest frame is printed.
 *
 *   cc game.c $(pkg-config --cflags --libs tide-lua) -lm -o game && ./game keeper.lua [frames [fast]] */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tide_engine.h>
#include <time.h>

enum { MOST = 4096, FLIGHT = 6 }; /* shots remembered; frames that a ball flies */
static const double frame = 1.0 / 60, budget_ms = 3;

/* The game's own memory, which the script reads in place. */
static float shots[MOST][4], arrivals[MOST];
static int64_t seen;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static float uniform(void) {
    static uint32_t state = 1;
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / 16777216.0f;
}

/* A ball from (0, y) with speed (vx, vy) and a spin; it bounces off the walls y = -1 and y = 1 and arrives at x
 * = 1. */
static float shoot(float *shot) {
    shot[0] = 2 * uniform() - 1;
    shot[1] = 0.5f + uniform();
    shot[2] = 2 * uniform() - 1;
    shot[3] = uniform() - 0.5f;
    float t = 1 / shot[1], y = shot[0] + shot[2] * t + shot[3] * t * t;
    while (fabsf(y) > 1) y = (y > 0 ? 2.0f : -2.0f) - y;
    return y;
}

static int failed(tide_engine *e) {
    fprintf(stderr, "%s\n", tide_engine_error(e));
    tide_engine_close(e);
    return 1;
}

static time_t changed(const char *path) {
    struct stat s;
    return stat(path, &s) ? 0 : s.st_mtime;
}

int main(int argc, char **argv) {
    const char *script = argc > 1 ? argv[1] : "examples/embed/keeper.lua";
    int frames = argc > 2 ? atoi(argv[2]) : 600, fast = argc > 3;
    tide_config context = {.size = sizeof context, .threads = 1};
    tide_engine_config config = {.size = sizeof config, .context = &context};
    tide_engine *e;
    char why[300];
    if (tide_engine_open(&config, &e, why, sizeof why)) return fprintf(stderr, "%s\n", why), 1;
    if (tide_engine_run_file(e, script)) return failed(e);

    tide_context *cx = tide_engine_context(e);
    tide_tensor *in[3] = {
        tide_wrap(cx, &(tide_meta){.ndim = 2, .shape = {MOST, 4}, .dtype = TIDE_F32}, shots, NULL, NULL),
        tide_wrap(cx, &(tide_meta){.ndim = 2, .shape = {MOST, 1}, .dtype = TIDE_F32}, arrivals, NULL, NULL),
        tide_wrap(cx, &(tide_meta){.dtype = TIDE_I64}, &seen, NULL, NULL)};
    if (tide_engine_start(e, "keeper.learn", in, 3)) return failed(e);

    int running;
    /* A loading screen: the first steps write and compile the programs that all later ones run. */
    for (; seen < 64; seen++) arrivals[seen] = shoot(shots[seen]);
    for (int k = 0; k < 20; k++)
        if (tide_engine_slice(e, budget_ms, &running)) return failed(e);

    float shot[4], target = 0, guess = 0;
    tide_tensor *now_flying =
        tide_wrap(cx, &(tide_meta){.ndim = 2, .shape = {1, 4}, .dtype = TIDE_F32}, shot, NULL, NULL);
    int saved[2] = {0}, shots_at[2] = {0}, over = 0; /* over: frames that came late */
    double longest = 0, sum = 0;
    time_t version = changed(script);
    for (int f = 0; f < frames; f++) {
        double begin = now();
        if (f % FLIGHT == 0) { /* a shot; the keeper goes where it expects the ball */
            tide_tensor *y;
            target = shoot(shot);
            if (tide_engine_call(e, "keeper.guess", &now_flying, 1, &y, 1)) return failed(e);
            tide_read(y, &guess, sizeof guess);
            tide_free(y);
        }
        if (f % FLIGHT == FLIGHT - 1) { /* it arrives */
            int late = f >= frames / 2;
            shots_at[late]++;
            saved[late] += fabsf(guess - target) < 0.2f;
            memcpy(shots[seen % MOST], shot, sizeof shot);
            arrivals[seen % MOST] = target;
            if (seen < MOST) seen++;
            for (int k = 0; k < 7 && seen < MOST; k++) { /* and some that it only watches */
                arrivals[seen] = shoot(shots[seen]);
                seen++;
            }
        }
        if (tide_engine_slice(e, budget_ms, &running)) return failed(e);
        if (f % 60 == 0 && changed(script) != version) { /* a new script: the network stays */
            version = changed(script);
            if (tide_engine_reload(e, script))
                fprintf(stderr, "%s\n", tide_engine_error(e)); /* the old one goes on */
            if (tide_engine_start(e, "keeper.learn", in, 3)) return failed(e);
        }
        double took = now() - begin;
        sum += took;
        if (took > longest) longest = took;
        over += took > frame;
        if (!fast && took < frame) nanosleep(&(struct timespec){0, (long)((frame - took) * 1e9)}, NULL);
    }
    tide_tensor *n;
    int64_t steps = 0;
    if (tide_engine_call(e, "keeper.count", NULL, 0, &n, 1)) return failed(e);
    tide_read(n, &steps, sizeof steps);
    tide_free(n);
    printf("RESULT game frames=%d steps=%lld saved_first=%.2f saved_last=%.2f mean_ms=%.2f longest_ms=%.2f "
           "late=%d\n",
           frames, (long long)steps, (double)saved[0] / (shots_at[0] + !shots_at[0]),
           (double)saved[1] / (shots_at[1] + !shots_at[1]), sum / frames * 1e3, longest * 1e3, over);
    for (int k = 0; k < 3; k++) tide_free(in[k]);
    tide_free(now_flying);
    tide_engine_close(e);
    return 0;
}
