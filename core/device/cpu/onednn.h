/* oneDNN, where it is installed: loaded at first use, its primitives cached by shape in the context. Every
 * primitive runs single-threaded, one execution a tile, so results do not depend on threads. */
#ifndef TIDE_ONEDNN_H
#define TIDE_ONEDNN_H

#include "base/base.h"

typedef struct tide_dnnl_primitive tide_dnnl_primitive;

/* A convolution of n >= 1 images; weights are (oc, ic / groups, kh, kw), images (n, channels, height, width),
 * all f32. */
typedef struct tide_conv {
    int64_t n, groups, ic, h, w, oc, oh, ow, kh, kw;
    int64_t stride_h, stride_w, dilation_h, dilation_w; /* dilation 1: adjacent */
    int64_t top, left, bottom, right;                   /* padding */
} tide_conv;

bool tide_dnnl_there(tide_context *cx);
/* "oneDNN 2.6.3, avx512_core_bf16", the instruction set it really uses, or "oneDNN not found". */
void tide_dnnl_text(tide_context *cx, char *text, size_t n);
bool tide_dnnl_fast_bf16(tide_context *cx); /* the processor multiplies bf16, and TIDE_ISA lets it */

/* c (m x n of f32, packed) = a b of bf16. NULL: it cannot (the strides, or out of memory); no error is pending.
 * Kept by the cache: valid until 60 others have been asked for. */
const tide_dnnl_primitive *tide_dnnl_matmul(tide_context *cx, int64_t m, int64_t n, int64_t k, int64_t a_row,
                                            int64_t a_col, int64_t b_row, int64_t b_col);
size_t tide_dnnl_scratch(const tide_dnnl_primitive *p); /* bytes, for every run */
/* From any thread. False: oneDNN failed. */
bool tide_dnnl_run_matmul(const tide_dnnl_primitive *p, const void *a, const void *b, float *c, void *scratch);

/* TIDE_EUNSUP, without an error pending, where oneDNN is not there or has no such convolution. bias and gbias
 * may be NULL. Results are overwritten. */
tide_status tide_dnnl_conv(tide_context *cx, const tide_conv *d, const float *x, const float *w,
                           const float *bias, float *y);
tide_status tide_dnnl_conv_data(tide_context *cx, const tide_conv *d, const float *gy, const float *w,
                                float *gx);
tide_status tide_dnnl_conv_weights(tide_context *cx, const tide_conv *d, const float *x, const float *gy,
                                   float *gw, float *gbias);

#endif
