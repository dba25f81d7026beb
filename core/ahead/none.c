/* No programs compiled ahead: for what writes them, and for builds without them. */
#include "device/cpu/ahead.h"

const tide_ahead tide_ahead_avx2[] = {{0}};
const tide_ahead tide_ahead_avx512[] = {{0}};
