/* Optimizers as rows: a new one is a row of table.c, a line of tide_optim_kind, and a program (op/update.lua,
 * update.c). */
#ifndef TIDE_OPTIM_H
#define TIDE_OPTIM_H

#include "autograd/tape.h"

enum { TIDE_OPTIM_STATES = 3, TIDE_OPTIM_NUMBERS = 2, TIDE_OPTIM_OPTIONS = 12, TIDE_OPTIM_ATTR = 160 };

/* A number of tide_optim_config: a double, or an int where `flag`. Two may be one option of a script:
 * beta1 and beta2 are betas = {beta1, beta2}. */
typedef struct {
    const char *name, *pair; /* pair: the option of which it is a part, NULL: itself */
    uint16_t offset;
    bool flag;
    double low, high;
    const char *range; /* "[0, 1)": which ends belong to it */
} tide_optim_field;
extern const tide_optim_field tide_optim_fields[]; /* ends with a NULL name */

/* Offsets into tide_optim_config stand for fields; 0 (kind) for none. */
typedef struct {
    const char *name;
    tide_opcode op; /* the first of its variants: bit k is the k-th optional state */
    struct {
        const char *name;
        uint16_t when;    /* kept where this field is not 0 */
        uint16_t initial; /* filled with this field, or with 0 */
    } state[TIDE_OPTIM_STATES];
    const char *number[TIDE_OPTIM_NUMBERS]; /* numbers kept for a parameter besides */
    /* Fills what a step's attributes need besides options; t: the number of this step, from 1. May change
     * number[]. */
    void (*derive)(const tide_optim_config *c, double t, double *number, void *attr); /* NULL: nothing */
    const char *(*check)(const tide_optim_config *c); /* what is wrong with options together, NULL: nothing */
    struct {
        uint16_t field;
        double value; /* the default */
    } option[TIDE_OPTIM_OPTIONS];
} tide_optim_row;
extern const tide_optim_row tide_optim_rows[TIDE_NOPTIM];

double tide_optim_get(const tide_optim_config *c, uint16_t field);
void tide_optim_put(tide_optim_config *c, uint16_t field, double value);
const tide_optim_field *tide_optim_field_at(uint16_t offset);
/* Sets the option `name` from one number, or two for a pair. EARG: the optimizer has no such option (or it
 * takes another number of numbers), or the value is out of range. */
tide_status tide_optim_set(tide_context *cx, tide_optim_config *c, const char *name, const double *v, int n);
/* EARG: an option, or several together, are out of range. */
tide_status tide_optim_check(tide_context *cx, const tide_optim_config *c);

#endif
