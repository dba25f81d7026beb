/* Instructions as expressions of C, which are CUDA C++ too, over the functions of math.h. In a form $a $b $c
 * stand for the operands. */
#include "program/program.h"
#include <stdio.h>

const char *const tide_c_type[TIDE_NREG] = {"float", "double", "int32_t", "int64_t", "bool"};
const char *const tide_c_suffix[TIDE_NREG] = {"f32", "f64", "i32", "i64", "mask"};

const char *const tide_c_load[TIDE_BOOL + 1] = {
    [TIDE_F32] = "*(const float *)$a",
    [TIDE_F64] = "*(const double *)$a",
    [TIDE_F16] = "tide_f32_of_f16(*(const uint16_t *)$a)",
    [TIDE_BF16] = "tide_f32_of_bf16(*(const uint16_t *)$a)",
    [TIDE_I64] = "*(const int64_t *)$a",
    [TIDE_I32] = "*(const int32_t *)$a",
    [TIDE_I8] = "(int32_t)*(const int8_t *)$a",
    [TIDE_U8] = "(int32_t)*(const uint8_t *)$a",
    [TIDE_BOOL] = "(bool)(0 != *(const uint8_t *)$a)",
};
const char *const tide_c_store[TIDE_BOOL + 1] = {
    [TIDE_F32] = "*(float *)$b = $a",
    [TIDE_F64] = "*(double *)$b = $a",
    [TIDE_F16] = "*(uint16_t *)$b = tide_f16_of_f32($a)",
    [TIDE_BF16] = "*(uint16_t *)$b = tide_bf16_of_f32($a)",
    [TIDE_I64] = "*(int64_t *)$b = $a",
    [TIDE_I32] = "*(int32_t *)$b = $a",
    [TIDE_I8] = "*(int8_t *)$b = (int8_t)($a)",
    [TIDE_U8] = "*(uint8_t *)$b = (uint8_t)($a)",
    [TIDE_BOOL] = "*(uint8_t *)$b = (uint8_t)($a)",
};

const char *tide_c_conversion(int to, int from) {
    static const char *const plain[] = {"(float)($a)", "(double)($a)", "(int32_t)($a)", "(int64_t)($a)"};
    static const char *const of_float[2][2] = {{"tide_i32_of_f32($a)", "tide_i32_of_f64($a)"},
                                               {"tide_i64_of_f32($a)", "tide_i64_of_f64($a)"}};
    if (to == TIDE_RMASK) return "(bool)(0 != $a)";
    if ((to == TIDE_RI32 || to == TIDE_RI64) && from <= TIDE_RF64)
        return of_float[to == TIDE_RI64][from == TIDE_RF64];
    return plain[to];
}

static const char *constant(int type) {
    static const char *const text[] = {"tide_from_bits_f32(0x%llxu)", "tide_from_bits_f64(0x%llxull)",
                                       "(int32_t)0x%llxu", "(int64_t)0x%llxull", "(bool)%llu"};
    return text[type];
}

/* How an instruction is written for floats, integers and masks. Where there is but a name, it is that
 * function's. */
static const char *const forms[TIDE_NINSN][3] = {
    [TIDE_P_HOLD] = {"$a", "$a", "$a"},
    [TIDE_P_NEG] = {"-$a", "neg"},
    [TIDE_P_ABS] = {"abs", "abs"},
    [TIDE_P_SIGN] = {"sign", "sign"},
    [TIDE_P_SQRT] = {"sqrt"},
    [TIDE_P_RSQRT] = {"rsqrt"},
    [TIDE_P_EXP] = {"exp"},
    [TIDE_P_EXPM1] = {"expm1"},
    [TIDE_P_EXP2] = {"exp2"},
    [TIDE_P_LOG] = {"log"},
    [TIDE_P_LOG1P] = {"log1p"},
    [TIDE_P_LOG2] = {"log2"},
    [TIDE_P_LOG10] = {"log10"},
    [TIDE_P_SIN] = {"sin"},
    [TIDE_P_COS] = {"cos"},
    [TIDE_P_TAN] = {"tan"},
    [TIDE_P_ASIN] = {"asin"},
    [TIDE_P_ACOS] = {"acos"},
    [TIDE_P_ATAN] = {"atan"},
    [TIDE_P_SINH] = {"sinh"},
    [TIDE_P_COSH] = {"cosh"},
    [TIDE_P_TANH] = {"tanh"},
    [TIDE_P_SIGMOID] = {"sigmoid"},
    [TIDE_P_ERF] = {"erf"},
    [TIDE_P_ERFC] = {"erfc"},
    [TIDE_P_FLOOR] = {"floor"},
    [TIDE_P_CEIL] = {"ceil"},
    [TIDE_P_TRUNC] = {"trunc"},
    [TIDE_P_ROUND] = {"round"},
    [TIDE_P_NOT] = {NULL, "~$a", "!$a"},
    [TIDE_P_ISNAN] = {"$a != $a"},
    [TIDE_P_ADD] = {"$a + $b", "add"},
    [TIDE_P_SUB] = {"$a - $b", "sub"},
    [TIDE_P_MUL] = {"$a * $b", "mul"},
    [TIDE_P_DIV] = {"$a / $b", "tdiv"},
    [TIDE_P_FLOORDIV] = {"floordiv", "div"},
    [TIDE_P_MOD] = {"mod", "mod"},
    [TIDE_P_FMOD] = {"fmod", "tmod"},
    [TIDE_P_POW] = {"pow", "ipow"},
    [TIDE_P_ATAN2] = {"atan2"},
    [TIDE_P_COPYSIGN] = {"copysign"},
    [TIDE_P_MIN] = {"min", "min"},
    [TIDE_P_MAX] = {"max", "max"},
    [TIDE_P_AND] = {NULL, "$a & $b", "$a & $b"},
    [TIDE_P_OR] = {NULL, "$a | $b", "$a | $b"},
    [TIDE_P_XOR] = {NULL, "$a ^ $b", "$a ^ $b"},
    [TIDE_P_SHL] = {NULL, "shl"},
    [TIDE_P_SHR] = {NULL, "shr"},
    [TIDE_P_EQ] = {"$a == $b", "$a == $b", "$a == $b"},
    [TIDE_P_NE] = {"$a != $b", "$a != $b", "$a != $b"},
    [TIDE_P_LT] = {"$a < $b", "$a < $b"},
    [TIDE_P_LE] = {"$a <= $b", "$a <= $b"},
    [TIDE_P_FMA] = {"fma"},
    [TIDE_P_SELECT] = {NULL, NULL, "$a ? $b : $c"},
};

bool tide_insn_form(const tide_prog *p, tide_val v, char form[TIDE_FORM]) {
    const tide_insn *i = &p->insn[v];
    const char *f = NULL;
    if (i->op == TIDE_P_CONST) {
        uint64_t bits = p->konst[i->a];
        snprintf(form, TIDE_FORM, constant(i->type),
                 (unsigned long long)(i->type == TIDE_RF32 || i->type == TIDE_RI32 ? (uint32_t)bits : bits));
        return true;
    }
    if (i->op == TIDE_P_CVT)
        f = tide_c_conversion(i->type, p->insn[i->a].type);
    else if (i->op == TIDE_P_ROUND_TO)
        f = i->aux == TIDE_F16    ? "tide_f32_of_f16(tide_f16_of_f32($a))"
            : i->aux == TIDE_BF16 ? "tide_f32_of_bf16(tide_bf16_of_f32($a))"
            : i->aux == TIDE_I8   ? "(int32_t)(int8_t)$a"
                                  : "(int32_t)(uint8_t)$a";
    else if (tide_insn_nargs[i->op] > 0) {
        int type = p->insn[i->a].type;
        f = forms[i->op][type <= TIDE_RF64 ? 0 : type == TIDE_RMASK ? 2 : 1];
        static const char *const operands[] = {"", "$a", "$a, $b", "$a, $b, $c"};
        if (f && !strchr(f, '$')) {
            snprintf(form, TIDE_FORM, "tide_%s_%s(%s)", f, tide_c_suffix[type],
                     operands[tide_insn_nargs[i->op]]);
            return true;
        }
    }
    if (f) snprintf(form, TIDE_FORM, "%s", f);
    return f != NULL;
}

uint64_t tide_prog_hash(const tide_prog *p, bool constants) {
    uint64_t h = 0xCBF29CE484222325u; /* FNV-1a */
    struct {
        const void *at;
        size_t n;
    } part[] = {{p->insn, (size_t)p->n * sizeof *p->insn},
                {p->arg, p->narg * sizeof *p->arg},
                {&p->nin, 1},
                {p->konst, constants ? (size_t)p->nkonst * sizeof *p->konst : 0}};
    for (size_t k = 0; k < sizeof part / sizeof *part; k++)
        for (size_t j = 0; j < part[k].n; j++) h = (h ^ ((const uint8_t *)part[k].at)[j]) * 0x100000001B3u;
    for (int i = 0; i < p->nslot; i++) h = (h ^ p->slot[i].is_float) * 0x100000001B3u;
    return h;
}
