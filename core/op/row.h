/* The functions that a row of the operation table may name, each declared and defined at once. */
#ifndef TIDE_ROW_H
#define TIDE_ROW_H

#include "op/op.h"

/* y = f(x) and, by hand, gx from gy: instructions that are added to p */
#define PROGRAM(name)                                                                    \
    void name##_program(tide_prog *p, const void *attr, const tide_val *x, tide_val *y); \
    void name##_program(tide_prog *p, const void *attr, const tide_val *x, tide_val *y)
#define VJP_PROGRAM(name)                                                                         \
    void name##_vjp_program(tide_prog *p, const void *attr, const tide_val *x, const tide_val *y, \
                            const tide_val *gy, tide_val *gx);                                    \
    void name##_vjp_program(tide_prog *p, const void *attr, const tide_val *x, const tide_val *y, \
                            const tide_val *gy, tide_val *gx)
/* metas of the results */
#define RULE(name)                    \
    tide_status name(tide_shapes *s); \
    tide_status name(tide_shapes *s)
/* which dims a program runs over, and where its arguments vary */
#define SPACE(name)                                                  \
    tide_status name##_space(const tide_shapes *s, tide_space *out); \
    tide_status name##_space(const tide_shapes *s, tide_space *out)
#define VIEW(name)                                                                    \
    tide_status name##_view(tide_context *cx, const tide_call *call, tide_seen *out); \
    tide_status name##_view(tide_context *cx, const tide_call *call, tide_seen *out)
#define KERNEL(name)                                                    \
    tide_status name##_kernel(tide_context *cx, const tide_call *call); \
    tide_status name##_kernel(tide_context *cx, const tide_call *call)
/* by other operations, at the door */
#define COMPOSE(name)                                              \
    tide_status name##_compose(tide_context *cx, tide_call *call); \
    tide_status name##_compose(tide_context *cx, tide_call *call)
/* the gradients that `need` names, by other operations */
#define VJP(name)                                                                                          \
    tide_status name##_vjp(tide_context *cx, const tide_call *call, tide_tensor *const *gy, uint32_t need, \
                           tide_tensor **gx);                                                              \
    tide_status name##_vjp(tide_context *cx, const tide_call *call, tide_tensor *const *gy, uint32_t need, \
                           tide_tensor **gx)

#endif
