/* Two contexts on two threads train at once, each with threads of its own: they disturb neither each other nor
 * the result. tests/threads.sh runs this under ThreadSanitizer. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tide.h"
#include "tide_ops.h"

enum { INPUTS = 64, HIDDEN = 128, CLASSES = 10, BATCH = 256, STEPS = 12, PARAMETERS = INPUTS * HIDDEN };

typedef struct {
    int compiled;
    float weight[PARAMETERS]; /* of the first layer, when done */
    char error[256];
} trained;

static tide_tensor *parameter(tide_context *cx, int64_t rows, int64_t columns) {
    tide_randn_attr a = {.size = {columns ? 2 : 1, {rows, columns}}};
    tide_tensor *t = tide_mul(tide_randn(cx, &a), NULL, &(tide_mul_attr){.other = {{.f = 0.1}, TIDE_FLOAT}});
    if (t) tide_set_requires_grad(t, 1);
    return tide_keep(t);
}

static void *train(void *arg) {
    trained *r = arg;
    tide_context *cx;
    tide_config config = {.size = sizeof config, .seed = 7, .threads = 2};
    if (tide_open(&config, &cx)) return strcpy(r->error, "cannot open a context"), NULL;
    tide_begin(cx);
    tide_tensor *p[4] = {parameter(cx, HIDDEN, INPUTS), parameter(cx, HIDDEN, 0),
                         parameter(cx, CLASSES, HIDDEN), parameter(cx, CLASSES, 0)};
    tide_end(cx);
    tide_optim_config adam = tide_optim_defaults(TIDE_ADAM);
    tide_optim *opt = tide_optim_new(cx, p, 4, &adam);
    for (int i = 0; i < STEPS && opt; i++) {
        if (r->compiled) tide_step_begin(cx, "step", 4);
        tide_begin(cx);
        tide_randn_attr shape = {.size = {2, {BATCH, INPUTS}}};
        tide_tensor *x = tide_randn(cx, &shape);
        tide_argmax_attr first = {.dim = {1, {1}}};
        tide_tensor *y = tide_argmax(tide_narrow(x, &(tide_narrow_attr){1, 0, CLASSES}), &first);
        tide_tensor *h = tide_dropout(tide_gelu(tide_linear(x, p[0], p[1], NULL), NULL), NULL);
        tide_tensor *loss = tide_cross_entropy(tide_linear(h, p[2], p[3], NULL), y, NULL, NULL);
        tide_optim_zero_grad(opt);
        tide_backward(loss, NULL, 0);
        tide_optim_step(opt);
        if (r->compiled) tide_step_end(cx, NULL, 0);
        tide_end(cx);
    }
    tide_read(p[0], r->weight, sizeof r->weight);
    const char *error = tide_error(cx, NULL);
    if (error) strncpy(r->error, error, sizeof r->error - 1);
    tide_optim_free(opt);
    for (int i = 0; i < 4; i++) tide_free(p[i]);
    tide_close(cx);
    return NULL;
}

static void test_two_at_once(void **state) {
    static trained alone, at_once[4];
    train(&alone);
    assert_string_equal(alone.error, "");
    for (int i = 1; i < PARAMETERS; i++) assert_true(isfinite(alone.weight[i]));
    for (int round = 0; round < 2; round++) {
        pthread_t thread[2];
        for (int k = 0; k < 2; k++) {
            at_once[2 * round + k].compiled = round;
            assert_int_equal(pthread_create(&thread[k], NULL, train, &at_once[2 * round + k]), 0);
        }
        for (int k = 0; k < 2; k++) pthread_join(thread[k], NULL);
    }
    for (int k = 0; k < 4; k++) {
        assert_string_equal(at_once[k].error, "");
        assert_memory_equal(at_once[k].weight, alone.weight, sizeof alone.weight);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_two_at_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
