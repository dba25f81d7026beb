/* What this build and this machine have: one line a part. */
#include "device/cpu/onednn.h"
#include "io/image.h"
#include "io/zip.h"
#include "op/op.h"
#include <stdio.h>

#ifdef TIDE_AMALGAMATION
#define FORM "form: one file, tide.c, without optional parts\n"
#else
#define FORM ""
#endif

const char *tide_parts(tide_context *cx) {
    static const char *const isa[] = {"baseline", "avx2", "avx512"};
    char onednn[160], zlib[80], png[80], jpeg[80];
    tide_dnnl_text(cx, onednn, sizeof onednn);
    tide_zlib_text(zlib, sizeof zlib);
    tide_png_text(png, sizeof png);
    tide_jpeg_text(jpeg, sizeof jpeg);
    snprintf(cx->error_text, sizeof cx->error_text,
             FORM "instruction set: %s\nthreads: %d\noneDNN: %s\nzlib: %s\nlibpng: %s\nlibjpeg-turbo: %s\n"
                  "CUDA: kernel texts only (checked with NVRTC and an emulator by the tests)\n",
             isa[cx->isa], cx->threads, onednn, zlib, png, jpeg);
    return cx->error_text;
}
