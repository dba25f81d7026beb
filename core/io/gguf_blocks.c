/* Blocks of quantised numbers, as ggml lays them out (github.com/ggml-org/ggml, src/ggml-common.h): some bits a
 * number, and a scale, sometimes a minimum, for the block or its parts. */
#include "io/gguf.h"

static float half(const unsigned char *p) {
    uint32_t h = (uint32_t)p[0] | (uint32_t)p[1] << 8, sign = h >> 15 << 31, e = h >> 10 & 31, m = h & 1023,
             bits;
    float f;
    if (e == 0) { /* m * 2^-24 is exact */
        f = (float)m * 0x1p-24f;
        return sign ? -f : f;
    }
    bits = sign | (e == 31 ? 255u << 23 : (e + 112) << 23) | m << 13;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* ---- blocks of 32: element i in the low halves of the bytes, i + 16 in the high ones ---- */

static int low(const unsigned char *q, int i) { return i < 16 ? q[i] & 15 : q[i - 16] >> 4; }
static int fifth(const unsigned char *bits, int i) { return (bits[i / 8] >> i % 8 & 1) << 4; }

static void q4_0(const unsigned char *b, float *out) {
    for (int i = 0; i < 32; i++) out[i] = half(b) * (float)(low(b + 2, i) - 8);
}
static void q4_1(const unsigned char *b, float *out) {
    for (int i = 0; i < 32; i++) out[i] = half(b) * (float)low(b + 4, i) + half(b + 2);
}
static void q5_0(const unsigned char *b, float *out) {
    for (int i = 0; i < 32; i++) out[i] = half(b) * (float)((low(b + 6, i) | fifth(b + 2, i)) - 16);
}
static void q5_1(const unsigned char *b, float *out) {
    for (int i = 0; i < 32; i++) out[i] = half(b) * (float)(low(b + 8, i) | fifth(b + 4, i)) + half(b + 2);
}
static void q8_0(const unsigned char *b, float *out) {
    for (int i = 0; i < 32; i++) out[i] = half(b) * (float)(int8_t)b[2 + i];
}

/* ---- blocks of 256 ---- */

/* Two bits of element i: 32 bytes serve 128 elements. */
static int two_bits(const unsigned char *q, int i) { return q[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3; }

static void q2_k(const unsigned char *b, float *out) { /* scales and minima of 16, numbers, scale, minimum */
    float d = half(b + 80), min = half(b + 82);
    for (int i = 0; i < 256; i++) {
        int s = b[i / 16];
        out[i] = d * (float)(s & 15) * (float)two_bits(b + 16, i) - min * (float)(s >> 4);
    }
}

static void q3_k(const unsigned char *b, float *out) { /* third bits, numbers, scales of 16 in 6 bits, scale */
    const unsigned char *s = b + 96;
    for (int i = 0; i < 256; i++) {
        int k = i / 16, scale = (k < 8 ? s[k] & 15 : s[k - 8] >> 4) | (s[8 + k % 4] >> k / 4 * 2 & 3) << 4;
        int third = b[i % 32] >> i / 32 & 1;
        out[i] = half(b + 108) * (float)(scale - 32) * (float)(two_bits(b + 32, i) - (third ? 0 : 4));
    }
}

/* Scale and minimum of the k-th of 8 parts: 6 bits each, in 12 bytes. */
static void six_bits(const unsigned char *s, int k, int *scale, int *min) {
    *scale = k < 4 ? s[k] & 63 : (s[k + 4] & 15) | s[k - 4] >> 6 << 4;
    *min = k < 4 ? s[k + 4] & 63 : s[k + 4] >> 4 | s[k] >> 6 << 4;
}

/* Scale, minimum, scales and minima of 32, then numbers: element i of a pair of parts in the low, then the high
 * halves. With fifth bits, or without (NULL). */
static void q45_k(const unsigned char *b, const unsigned char *fifths, const unsigned char *q, float *out) {
    for (int i = 0; i < 256; i++) {
        int k = i / 32, scale, min, byte = q[i / 64 * 32 + i % 32], v = k % 2 ? byte >> 4 : byte & 15;
        six_bits(b + 4, k, &scale, &min);
        if (fifths) v |= (fifths[i % 32] >> k & 1) << 4;
        out[i] = half(b) * (float)scale * (float)v - half(b + 2) * (float)min;
    }
}
static void q4_k(const unsigned char *b, float *out) { q45_k(b, NULL, b + 16, out); }
static void q5_k(const unsigned char *b, float *out) { q45_k(b, b + 16, b + 48, out); }

static void q6_k(const unsigned char *b, float *out) { /* low four bits, high two, scales of 16, scale */
    for (int i = 0; i < 256; i++) {
        int byte = b[i / 128 * 64 + i % 64], v = i % 128 < 64 ? byte & 15 : byte >> 4;
        v |= two_bits(b + 128, i) << 4;
        out[i] = half(b + 208) * (float)(int8_t)b[192 + i / 16] * (float)(v - 32);
    }
}

/* ---- all kinds ---- */

static const tide_gguf_kind kinds[] = {
    {"F32", 0, 1, 4, TIDE_F32, NULL},       {"F16", 1, 1, 2, TIDE_F16, NULL},
    {"BF16", 30, 1, 2, TIDE_BF16, NULL},    {"F64", 28, 1, 8, TIDE_F64, NULL},
    {"I8", 24, 1, 1, TIDE_I8, NULL},        {"I32", 26, 1, 4, TIDE_I32, NULL},
    {"I64", 27, 1, 8, TIDE_I64, NULL},      {"Q4_0", 2, 32, 18, TIDE_F32, q4_0},
    {"Q4_1", 3, 32, 20, TIDE_F32, q4_1},    {"Q5_0", 6, 32, 22, TIDE_F32, q5_0},
    {"Q5_1", 7, 32, 24, TIDE_F32, q5_1},    {"Q8_0", 8, 32, 34, TIDE_F32, q8_0},
    {"Q2_K", 10, 256, 84, TIDE_F32, q2_k},  {"Q3_K", 11, 256, 110, TIDE_F32, q3_k},
    {"Q4_K", 12, 256, 144, TIDE_F32, q4_k}, {"Q5_K", 13, 256, 176, TIDE_F32, q5_k},
    {"Q6_K", 14, 256, 210, TIDE_F32, q6_k}, {.name = "Q8_1", .type = 9},
    {.name = "Q8_K", .type = 15},           {.name = "IQ2_XXS", .type = 16},
    {.name = "IQ2_XS", .type = 17},         {.name = "IQ3_XXS", .type = 18},
    {.name = "IQ1_S", .type = 19},          {.name = "IQ4_NL", .type = 20},
    {.name = "IQ3_S", .type = 21},          {.name = "IQ2_S", .type = 22},
    {.name = "IQ4_XS", .type = 23},         {.name = "I16", .type = 25},
    {.name = "IQ1_M", .type = 29},          {.name = "TQ1_0", .type = 34},
    {.name = "TQ2_0", .type = 35},          {.name = "MXFP4", .type = 39},
};

const tide_gguf_kind *tide_gguf_kinds(int *n) {
    *n = sizeof kinds / sizeof *kinds;
    return kinds;
}

void tide_gguf_copy(const tide_gguf_tensor *t, void *dst) {
    const tide_gguf_kind *k = &kinds[t->kind];
    const unsigned char *p = (const unsigned char *)t->data;
    float *out = dst;
    if (!k->unpack) {
        if (t->nbytes) memcpy(dst, t->data, t->nbytes);
        return;
    }
    for (int64_t i = 0; i < t->numel; i += k->block, p += k->bytes) k->unpack(p, out + i);
}
