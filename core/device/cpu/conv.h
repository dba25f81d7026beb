/* Convolutions on the CPU: images are laid out as matrices of their patches, and multiplied. Everything is
 * packed; dtype is TIDE_F32 or TIDE_F64, for the forward direction also TIDE_I64. The result does not depend on
 * tiles and threads: the sums over channels and kernel are those of gemm.h, those over images are taken in
 * order. */
#ifndef TIDE_CPU_CONV_H
#define TIDE_CPU_CONV_H

#include "base/base.h"
#include "device/cpu/onednn.h"

/* bias may be NULL */
tide_status tide_conv_run(tide_context *cx, const tide_conv *d, tide_dtype dtype, const void *x, const void *w,
                          const void *bias, void *y);
tide_status tide_conv_run_input(tide_context *cx, const tide_conv *d, tide_dtype dtype, const void *gy,
                                const void *w, void *gx);
tide_status tide_conv_run_weight(tide_context *cx, const tide_conv *d, tide_dtype dtype, const void *gy,
                                 const void *x, void *gw);

#endif
