/* The front of the door, for the generated C functions. */
#ifndef TIDE_FRONT_H
#define TIDE_FRONT_H

#include "op/op.h"

/* The context of the first tensor that is there; NULL if the first is required and not there. */
tide_context *tide_front_context(tide_tensor *const *in, int n, int required);
/* Applies an operation; attr NULL: defaults. out NULL: returns the one result; else out[] gets the shown ones
 * and the first is returned. Results go to the innermost scope. */
tide_tensor *tide_front(tide_context *cx, int op, tide_tensor *const *in, int nin, const void *attr,
                        tide_tensor **out);

#endif
