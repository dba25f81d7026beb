/* List operations over tensors of any floating dtypes. */
#ifndef TIDE_LISTS_H
#define TIDE_LISTS_H

#include "autograd/tape.h"

/* Applies the list operation `op` in place. in: `lists` lists of `count` tensors, list after list. One call for
 * all tensors that look alike: a program is written for one combination of dtypes, and 0-d tensors have one of
 * their own. */
tide_status tide_lists_apply(tide_context *cx, int op, tide_tensor **in, int lists, int count,
                             const void *attr);

#endif
