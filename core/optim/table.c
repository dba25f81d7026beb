/* The optimizers: names, state, options with defaults (PyTorch's) and ranges, and what a step works out in
 * double. */
#include "optim/optim.h"
#include <math.h>
#include <stdio.h>

#define F(field) ((uint16_t)offsetof(tide_optim_config, field))
#define NUMBER(field, low, high, range) \
    { #field, NULL, F(field), false, low, high, range }
#define PART(field, pair, low, high, range) \
    { #field, #pair, F(field), false, low, high, range }
#define FLAG(field) \
    { #field, NULL, F(field), true, 0, 1, "[0, 1]" }

const tide_optim_field tide_optim_fields[] = {
    NUMBER(lr, -INFINITY, INFINITY, "(-inf, inf)"),
    NUMBER(weight_decay, 0, INFINITY, "[0, inf)"),
    NUMBER(momentum, 0, INFINITY, "[0, inf)"),
    NUMBER(dampening, -INFINITY, INFINITY, "(-inf, inf)"),
    NUMBER(eps, 0, INFINITY, "[0, inf)"),
    PART(beta1, betas, 0, 1, "[0, 1)"),
    PART(beta2, betas, 0, 1, "[0, 1)"),
    NUMBER(momentum_decay, 0, INFINITY, "[0, inf)"),
    NUMBER(lr_decay, 0, INFINITY, "[0, inf)"),
    NUMBER(initial_accumulator_value, 0, INFINITY, "[0, inf)"),
    NUMBER(rho, 0, 1, "[0, 1]"),
    NUMBER(alpha, 0, INFINITY, "[0, inf)"),
    NUMBER(lambd, 0, INFINITY, "[0, inf)"),
    NUMBER(t0, 0, INFINITY, "[0, inf)"),
    PART(etaminus, etas, 0, 1, "(0, 1)"),
    PART(etaplus, etas, 1, INFINITY, "(1, inf)"),
    PART(step_min, step_sizes, 0, INFINITY, "[0, inf)"),
    PART(step_max, step_sizes, 0, INFINITY, "[0, inf)"),
    FLAG(nesterov),
    FLAG(amsgrad),
    FLAG(centered),
    FLAG(decoupled_weight_decay),
    FLAG(maximize),
    {.name = NULL},
};

/* ---- what a step works out; numbers that a parameter keeps are float32, as in PyTorch ---- */

static double corrected(double beta, double t) { return 1 - pow(beta, t); }

static void adam(const tide_optim_config *c, double t, double *number, void *attr) {
    tide_adam_attr *a = attr;
    a->step_size = c->lr / corrected(c->beta1, t);
    a->root = sqrt(corrected(c->beta2, t));
}
static void adamw(const tide_optim_config *c, double t, double *number, void *attr) {
    adam(c, t, number, attr);
    ((tide_adam_attr *)attr)->decoupled_weight_decay = 1;
}
static void nadam(const tide_optim_config *c, double t, double *number, void *attr) {
    tide_nadam_attr *a = attr;
    double mu = c->beta1 * (1 - 0.5 * pow(0.96, t * c->momentum_decay)),
           next = c->beta1 * (1 - 0.5 * pow(0.96, (t + 1) * c->momentum_decay));
    number[0] = (t == 1 ? 1.F : (float)number[0]) * (float)mu;
    a->root = sqrt(corrected(c->beta2, t));
    a->grad_rate = c->lr * (1 - mu) / (1 - number[0]);
    a->mean_rate = c->lr * next / (1 - number[0] * next);
}
static void radam(const tide_optim_config *c, double t, double *number, void *attr) {
    tide_radam_attr *a = attr;
    double last = 2 / (1 - c->beta2) - 1, power = pow(c->beta2, t), rho = last - 2 * t * power / (1 - power);
    a->step_size = c->lr / corrected(c->beta1, t);
    a->root = 0;
    if (rho > 5) a->root = sqrt((rho - 4) * (rho - 2) * last / ((last - 4) * (last - 2) * rho) * (1 - power));
}
static void adamax(const tide_optim_config *c, double t, double *number, void *attr) {
    ((tide_adamax_attr *)attr)->step_size = c->lr / corrected(c->beta1, t);
}
static void adagrad(const tide_optim_config *c, double t, double *number, void *attr) {
    ((tide_adagrad_attr *)attr)->rate = c->lr / (1 + (t - 1) * c->lr_decay);
}
static void asgd(const tide_optim_config *c, double t, double *number, void *attr) {
    tide_asgd_attr *a = attr;
    a->eta = t == 1 ? (float)c->lr : number[0]; /* a step uses what the one before left */
    a->mu = t == 1 ? 1 : number[1];
    a->keep = 1 - c->lambd * a->eta;
    number[0] = (float)(c->lr / pow(1 + c->lambd * c->lr * t, c->alpha));
    number[1] = (float)(1 / fmax(1, t - c->t0));
}

/* ---- options together ---- */

static const char *nesterov(const tide_optim_config *c) {
    return c->nesterov && (c->momentum == 0 || c->dampening != 0) ? "nesterov needs a momentum and no dampening"
                                                                  : NULL;
}
static const char *sizes(const tide_optim_config *c) {
    return c->step_min > c->step_max ? "step_sizes must be {smallest, largest}" : NULL;
}

/* ---- the rows ---- */

#define BETAS(one, two) \
    {F(beta1), one}, { F(beta2), two }
#define MOMENTS \
    {"exp_avg"}, { "exp_avg_sq" }
#define RATE(value, decay) \
    {F(lr), value}, {F(weight_decay), decay}, { F(maximize), 0 }

const tide_optim_row tide_optim_rows[TIDE_NOPTIM] = {
    [TIDE_SGD] = {"SGD",
                  TIDE_OP_SGD,
                  {{"momentum_buffer", F(momentum)}},
                  .check = nesterov,
                  .option = {RATE(1e-3, 0), {F(momentum), 0}, {F(dampening), 0}, {F(nesterov), 0}}},
    [TIDE_ADAM] = {"Adam",
                   TIDE_OP_ADAM,
                   {MOMENTS, {"max_exp_avg_sq", F(amsgrad)}},
                   .derive = adam,
                   .option = {RATE(1e-3, 0),
                              BETAS(0.9, 0.999),
                              {F(eps), 1e-8},
                              {F(amsgrad), 0},
                              {F(decoupled_weight_decay), 0}}},
    [TIDE_ADAMW] = {"AdamW",
                    TIDE_OP_ADAM,
                    {MOMENTS, {"max_exp_avg_sq", F(amsgrad)}},
                    .derive = adamw,
                    .option = {RATE(1e-3, 1e-2), BETAS(0.9, 0.999), {F(eps), 1e-8}, {F(amsgrad), 0}}},
    [TIDE_NADAM] = {"NAdam",
                    TIDE_OP_NADAM,
                    {MOMENTS},
                    {"mu_product"},
                    nadam,
                    .option = {RATE(2e-3, 0),
                               BETAS(0.9, 0.999),
                               {F(eps), 1e-8},
                               {F(momentum_decay), 4e-3},
                               {F(decoupled_weight_decay), 0}}},
    [TIDE_RADAM] =
        {"RAdam",
         TIDE_OP_RADAM,
         {MOMENTS},
         .derive = radam,
         .option = {RATE(1e-3, 0), BETAS(0.9, 0.999), {F(eps), 1e-8}, {F(decoupled_weight_decay), 0}}},
    [TIDE_ADAMAX] = {"Adamax",
                     TIDE_OP_ADAMAX,
                     {{"exp_avg"}, {"exp_inf"}},
                     .derive = adamax,
                     .option = {RATE(2e-3, 0), BETAS(0.9, 0.999), {F(eps), 1e-8}}},
    [TIDE_ADAGRAD] =
        {"Adagrad",
         TIDE_OP_ADAGRAD,
         {{"sum", .initial = F(initial_accumulator_value)}},
         .derive = adagrad,
         .option = {RATE(1e-2, 0), {F(lr_decay), 0}, {F(initial_accumulator_value), 0}, {F(eps), 1e-10}}},
    [TIDE_ADADELTA] = {"Adadelta",
                       TIDE_OP_ADADELTA,
                       {{"square_avg"}, {"acc_delta"}},
                       .option = {RATE(1, 0), {F(rho), 0.9}, {F(eps), 1e-6}}},
    [TIDE_RMSPROP] =
        {"RMSprop",
         TIDE_OP_RMSPROP,
         {{"square_avg"}, {"momentum_buffer", F(momentum)}, {"grad_avg", F(centered)}},
         .option = {RATE(1e-2, 0), {F(alpha), 0.99}, {F(eps), 1e-8}, {F(momentum), 0}, {F(centered), 0}}},
    [TIDE_ASGD] = {"ASGD",
                   TIDE_OP_ASGD,
                   {{"ax"}},
                   {"eta", "mu"},
                   asgd,
                   .option = {RATE(1e-2, 0), {F(lambd), 1e-4}, {F(alpha), 0.75}, {F(t0), 1e6}}},
    [TIDE_RPROP] = {"Rprop",
                    TIDE_OP_RPROP,
                    {{"prev"}, {"step_size", .initial = F(lr)}},
                    .check = sizes,
                    .option = {{F(lr), 1e-2},
                               {F(maximize), 0},
                               {F(etaminus), 0.5},
                               {F(etaplus), 1.2},
                               {F(step_min), 1e-6},
                               {F(step_max), 50}}},
    [TIDE_LION] = {"Lion", TIDE_OP_LION, {{"exp_avg"}}, .option = {RATE(1e-4, 0), BETAS(0.9, 0.99)}},
};

/* ---- options by name ---- */

double tide_optim_get(const tide_optim_config *c, uint16_t field) {
    const char *at = (const char *)c + field;
    return tide_optim_field_at(field)->flag ? (double)*(const int *)(const void *)at
                                            : *(const double *)(const void *)at;
}
void tide_optim_put(tide_optim_config *c, uint16_t field, double value) {
    char *at = (char *)c + field;
    if (tide_optim_field_at(field)->flag)
        *(int *)(void *)at = value != 0;
    else
        *(double *)(void *)at = value;
}
const tide_optim_field *tide_optim_field_at(uint16_t offset) {
    const tide_optim_field *f = tide_optim_fields;
    while (f->offset != offset) f++;
    return f;
}

tide_optim_config tide_optim_defaults(tide_optim_kind kind) {
    tide_optim_config c = {.kind = kind};
    const tide_optim_row *r = &tide_optim_rows[kind];
    for (int k = 0; k < TIDE_OPTIM_OPTIONS && r->option[k].field; k++)
        tide_optim_put(&c, r->option[k].field, r->option[k].value);
    return c;
}

static tide_status in_range(tide_context *cx, const char *who, const tide_optim_field *f, double v) {
    bool low = f->range[0] == '[' ? v >= f->low : v > f->low,
         high = f->range[strlen(f->range) - 1] == ']' ? v <= f->high : v < f->high;
    if (low && high) return TIDE_OK;
    return tide_fail(cx, TIDE_EARG, "%s: %s must lie in %s, not %g", who, f->name, f->range, v);
}

tide_status tide_optim_set(tide_context *cx, tide_optim_config *c, const char *name, const double *v, int n) {
    const tide_optim_row *r = &tide_optim_rows[c->kind];
    uint16_t at[2];
    int count = 0;
    for (int k = 0; k < TIDE_OPTIM_OPTIONS && r->option[k].field; k++) {
        const tide_optim_field *f = tide_optim_field_at(r->option[k].field);
        if (!strcmp(f->pair ? f->pair : f->name, name) && count < 2) at[count++] = f->offset;
    }
    if (!count) {
        char list[256] = "";
        size_t used = 0;
        const char *last = "";
        for (int k = 0; k < TIDE_OPTIM_OPTIONS && r->option[k].field; k++) {
            const tide_optim_field *f = tide_optim_field_at(r->option[k].field);
            const char *own = f->pair ? f->pair : f->name;
            if (strcmp(own, last) && used < sizeof list)
                used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", k ? ", " : "", own);
            last = own;
        }
        return tide_fail(cx, TIDE_EARG, "%s: no option '%s'; it takes %s", r->name, name, list);
    }
    if (count != n)
        return tide_fail(cx, TIDE_EARG, "%s: %s takes %s", r->name, name,
                         count == 2 ? "a list of two numbers" : "one number");
    for (int k = 0; k < n; k++) {
        tide_status e = in_range(cx, r->name, tide_optim_field_at(at[k]), v[k]);
        if (e) return e;
    }
    for (int k = 0; k < n; k++) tide_optim_put(c, at[k], v[k]);
    return TIDE_OK;
}

tide_status tide_optim_check(tide_context *cx, const tide_optim_config *c) {
    const tide_optim_row *r = &tide_optim_rows[c->kind];
    for (int k = 0; k < TIDE_OPTIM_OPTIONS && r->option[k].field; k++) {
        uint16_t at = r->option[k].field;
        tide_status e = in_range(cx, r->name, tide_optim_field_at(at), tide_optim_get(c, at));
        if (e) return e;
    }
    const char *wrong = r->check ? r->check(c) : NULL;
    return wrong ? tide_fail(cx, TIDE_EARG, "%s: %s", r->name, wrong) : TIDE_OK;
}
