/* The real compiler for GPUs, if it is installed: no driver is needed. */
#ifndef CUDA_NVRTC_H
#define CUDA_NVRTC_H

#include "device/cuda/text.h"

bool nvrtc_open(void); /* false: not installed */
/* Compiles texts (of different pieces) in one unit for sm_<arch>. Prints what is wrong and returns how many
 * such things there are: errors, kernels with more than 128 registers or with spills, PTX that would round
 * otherwise. */
int nvrtc_check(int arch, int n, const tide_cuda_source *const *source, int *registers);

#endif
