/* Runs generated CUDA text on the CPU: g++ compiles it, and every CUDA thread of a block is a fibre that gives
 * way at barriers. Blocks run in sequence. Finds barriers that not all threads of a block reach. */
#ifndef EMULATOR_H
#define EMULATOR_H

#include "device/cuda/text.h"

typedef struct emu_unit emu_unit;
/* Starts compiling texts (of different pieces) into one unit; emu_wait ends it and gives NULL if that failed.
 */
emu_unit *emu_start(int n, const tide_cuda_source *const *source);
emu_unit *emu_wait(emu_unit *unit);
void emu_close(emu_unit *unit); /* NULL passes */

/* Runs one launch; work->temp is set. Returns NULL, or what went wrong. */
const char *emu_run(emu_unit *unit, const tide_cuda_source *source, int kernel, uint32_t grid,
                    const tide_cuda_space *space, const tide_cuda_work *work);

#endif
