/* The digits' network trained from C alone.
 *   cc train.c $(pkg-config --cflags --libs tide) -lm -o train && ./train digits.csv */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tide.h>
#include <tide_ops.h>

enum { PIXELS = 64, HIDDEN = 128, CLASSES = 10, BATCH = 32, MAXROWS = 2000 };

static float pixels[MAXROWS][PIXELS];
static int64_t labels[MAXROWS];

/* Complete rows of the file: 64 numbers and a label. */
static int read_digits(const char *path) {
    FILE *f = fopen(path, "r");
    char line[4096];
    int n = 0;
    if (!f) return 0;
    if (!fgets(line, sizeof line, f)) n = -1; /* the names */
    while (n >= 0 && n < MAXROWS && fgets(line, sizeof line, f)) {
        char *at = line;
        int k = 0;
        for (; k <= PIXELS; k++) {
            char *end;
            double v = strtod(at, &end);
            if (end == at || !isfinite(v)) break; /* a missing cell */
            if (k < PIXELS)
                pixels[n][k] = (float)(v / 16);
            else
                labels[n] = (int64_t)v;
            at = end + (*end == ',');
        }
        if (k == PIXELS + 1) n++;
    }
    fclose(f);
    return n;
}

static tide_tensor *parameter(tide_context *cx, int64_t rows, int64_t columns, double bound) {
    tide_rand_attr shape = {.size = {columns ? 2 : 1, {rows, columns}}};
    tide_tensor *u = tide_rand(cx, &shape), *t;
    t = tide_sub(tide_mul(u, NULL, &(tide_mul_attr){.other = {{.f = 2 * bound}, TIDE_FLOAT}}), NULL,
                 &(tide_sub_attr){.other = {{.f = bound}, TIDE_FLOAT}, .alpha = {{.i = 1}, TIDE_INTEGER}});
    if (t) tide_set_requires_grad(t, 1);
    return tide_keep(t);
}

/* A batch as tensors over the arrays themselves. */
static void batch(tide_context *cx, int from, int n, tide_tensor **x, tide_tensor **y) {
    *x = tide_wrap(cx, &(tide_meta){.ndim = 2, .shape = {n, PIXELS}, .dtype = TIDE_F32}, pixels[from], NULL,
                   NULL);
    *y = tide_wrap(cx, &(tide_meta){.ndim = 1, .shape = {n}, .dtype = TIDE_I64}, &labels[from], NULL, NULL);
}

int main(int argc, char **argv) {
    int rows = read_digits(argc > 1 ? argv[1] : "examples/data/digits.csv"), train = rows * 4 / 5;
    if (rows < 100) return fprintf(stderr, "cannot read the digits\n"), 1;

    tide_context *cx;
    tide_config config = {.size = sizeof config, .seed = 1};
    if (tide_open(&config, &cx)) return fprintf(stderr, "cannot open a context\n"), 1;
    tide_begin(cx);
    tide_tensor *p[4] = {
        parameter(cx, HIDDEN, PIXELS, 1 / sqrt(PIXELS)), parameter(cx, HIDDEN, 0, 1 / sqrt(PIXELS)),
        parameter(cx, CLASSES, HIDDEN, 1 / sqrt(HIDDEN)), parameter(cx, CLASSES, 0, 1 / sqrt(HIDDEN))};
    tide_end(cx);
    tide_optim_config adam = tide_optim_defaults(TIDE_ADAM);
    tide_optim *opt = tide_optim_new(cx, p, 4, &adam);

    for (int epoch = 0; epoch < 20 && opt; epoch++)
        for (int at = 0; at + BATCH <= train; at += BATCH) {
            tide_tensor *x, *y;
            tide_step_begin(cx, "train", 5); /* from the third time on a plan */
            tide_begin(cx);                  /* whatever is made in here is freed at tide_end */
            batch(cx, at, BATCH, &x, &y);
            tide_tensor *h = tide_linear(x, p[0], p[1], &(tide_linear_attr){TIDE_LINEAR_RELU});
            tide_tensor *loss = tide_cross_entropy(tide_linear(h, p[2], p[3], NULL), y, NULL, NULL);
            tide_optim_zero_grad(opt);
            tide_backward(loss, NULL, 0);
            tide_optim_step(opt);
            tide_step_end(cx, NULL, 0);
            tide_end(cx);
        }

    /* Errors wait in the context until somebody asks: once is enough. */
    const char *error = tide_error(cx, NULL);
    if (error) return fprintf(stderr, "%s\n", error), 1;

    int64_t guess[MAXROWS];
    int right = 0, unseen = rows - train;
    tide_tensor *x, *y;
    tide_begin(cx);
    tide_set_grad_enabled(cx, 0);
    batch(cx, train, unseen, &x, &y);
    tide_tensor *h = tide_linear(x, p[0], p[1], &(tide_linear_attr){TIDE_LINEAR_RELU});
    tide_argmax_attr classes = {.dim = {1, {1}}};
    tide_read(tide_argmax(tide_linear(h, p[2], p[3], NULL), &classes), guess, (size_t)unseen * sizeof *guess);
    tide_end(cx);
    for (int i = 0; i < unseen; i++) right += guess[i] == labels[train + i];
    error = tide_error(cx, NULL);
    if (error) return fprintf(stderr, "%s\n", error), 1;
    printf("RESULT train accuracy=%.4f\n", (double)right / unseen);

    tide_optim_free(opt);
    for (int i = 0; i < 4; i++) tide_free(p[i]);
    tide_close(cx);
    return 0;
}
