/* The nine dtypes: sizes, names, promotion. */
#include "tensor/tensor.h"

static const char *const names[TIDE_NDTYPE] = {"?",     "float32", "float64", "float16", "bfloat16",
                                               "int64", "int32",   "int8",    "uint8",   "bool"};

const char *tide_dtype_name(tide_dtype d) { return names[d < TIDE_NDTYPE ? d : 0]; }

tide_dtype tide_dtype_named(const char *name) {
    for (int d = 1; d < TIDE_NDTYPE; d++)
        if (!strcmp(names[d], name)) return (tide_dtype)d;
    return 0;
}

bool tide_dtype_is_float(tide_dtype d) { return d >= TIDE_F32 && d <= TIDE_BF16; }
bool tide_dtype_is_int(tide_dtype d) { return d >= TIDE_I64 && d <= TIDE_U8; }

/* PyTorch's lattice: floats over integers over bool; float16 with bfloat16 gives float32, uint8 with int8 int16
 * there, which Tide does not have, so int32. */
tide_dtype tide_dtype_promote(tide_dtype a, tide_dtype b) {
    if (a == b || b == 0) return a;
    if (a == 0 || a == TIDE_BOOL) return b;
    if (b == TIDE_BOOL) return a;
    bool fa = tide_dtype_is_float(a), fb = tide_dtype_is_float(b);
    if (fa != fb) return fa ? a : b;
    if (fa) return a == TIDE_F64 || b == TIDE_F64 ? TIDE_F64 : TIDE_F32;
    if (a == TIDE_I64 || b == TIDE_I64) return TIDE_I64;
    return TIDE_I32;
}
