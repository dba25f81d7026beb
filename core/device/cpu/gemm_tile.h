/* The text of gemm_kernel.c for numbers of type T: included for each, so without a guard. FN puts the type's
 * name behind a function's; INDEX is an integer of its size. */

#define V FN(vector)
#define VI FN(indices)
#define L (VECTOR / (int)sizeof(T))
typedef T V __attribute__((vector_size(VECTOR)));
typedef INDEX VI __attribute__((vector_size(VECTOR)));

INLINE V FN(load)(const T *p) {
    V v;
    memcpy(&v, p, sizeof(v));
    return v;
}

INLINE void FN(store)(T *p, V v) { memcpy(p, &v, sizeof(v)); }

/* n < most numbers, most a power of two. Calling memcpy costs more. */
INLINE void FN(copy)(T *to, const T *from, int64_t n, const int most) {
    UNROLL for (int step = most / 2; step; step /= 2) {
        if (!(n & step)) continue;
        memcpy(to, from, (size_t)step * sizeof(T));
        to += step, from += step;
    }
}

/* ---- numbers of other dtypes ---- */

INLINE T FN(get)(const void *p, int64_t i, int dtype) {
    if (dtype == TIDE_BF16) return (T)tide_f32_of_bf16(((const uint16_t *)p)[i]);
    if (dtype == TIDE_F16) return (T)tide_f32_of_f16(((const uint16_t *)p)[i]);
    return ((const T *)p)[i];
}

INLINE void FN(put)(void *p, int64_t i, T x, int dtype) {
    if (dtype == TIDE_BF16)
        ((uint16_t *)p)[i] = tide_bf16_of_f32((float)x);
    else if (dtype == TIDE_F16)
        ((uint16_t *)p)[i] = tide_f16_of_f32((float)x);
    else
        ((T *)p)[i] = x;
}

/* min(n, L) numbers from the i-th on, `stride` apart, then zeros. */
INLINE V FN(gather)(const void *p, int64_t i, int64_t stride, int64_t n, int dtype) {
    bool same = dtype == TIDE_F32 || dtype == TIDE_F64;
    if (stride == 1 && same && n >= L) return FN(load)((const T *)p + i);
    T x[L] = {0};
    if (stride == 1 && same)
        FN(copy)(x, (const T *)p + i, n, L);
    else if (stride == 1 && n >= L)
        for (int e = 0; e < L; e++) x[e] = FN(get)(p, i + e, dtype);
    else
        for (int e = 0; e < L && e < n; e++) x[e] = FN(get)(p, i + e * stride, dtype);
    return FN(load)(x);
}

/* ---- packing ---- */

/* Element e is number from[e] of x and y in a row. */
INLINE V FN(shuffle)(V x, V y, VI from) {
#ifdef __clang__
    V v;
    UNROLL for (int e = 0; e < L; e++) v[e] = from[e] < L ? x[from[e]] : y[from[e] - L];
    return v;
#else
    return __builtin_shuffle(x, y, from);
#endif
}

/* Column e of the block becomes row e, by swapping halves, quarters ... of ever smaller squares. */
INLINE void FN(transpose)(V *v) {
    VI iota;
    UNROLL for (int e = 0; e < L; e++) iota[e] = e; // cppcheck-suppress uninitvar
    UNROLL for (int half = 1; half < L; half *= 2) {
        VI low = iota + (iota & half) * (L / half - 1), high = low + half;
        UNROLL for (int i = 0; i < L; i++) {
            if (i & half) continue;
            V x = v[i], y = v[i + half];
            v[i] = FN(shuffle)(x, y, low);
            v[i + half] = FN(shuffle)(x, y, high);
        }
    }
}

/* to[r][c] = from[r * row + c * col] for r < rows, c < cols; rows of `to` are filled up with zeros to whole
 * vectors. */
INLINE void FN(pack_dtype)(T *to, int64_t to_row, const void *from, int64_t start, int64_t row, int64_t col,
                           int64_t rows, int64_t cols, int dtype) {
    if (row != 1 || col == 1) {
        for (int64_t r = 0; r < rows; r++, to += to_row, start += row)
            for (int64_t c = 0; c < cols; c += L)
                FN(store)(to + c, FN(gather)(from, start + c * col, col, cols - c, dtype));
        return;
    }
    const bool same = dtype == TIDE_F32 || dtype == TIDE_F64;
    T edge[L * L] __attribute__((aligned(VECTOR))); /* for squares that are not whole, or not of T */
    for (int64_t c = 0; c < cols; c += L) {
        for (int64_t r = 0; r < rows; r += L) {
            const T *in = (const T *)from + start + r + c * col;
            T *out = to + r * to_row + c;
            const bool direct_in = same && r + L <= rows && c + L <= cols, direct_out = r + L <= rows;
            const int64_t in_row = direct_in ? col : L, out_row = direct_out ? to_row : L;
            for (int64_t e = 0; !direct_in && e < L; e++) {
                V x = {0};
                if (c + e < cols) x = FN(gather)(from, start + r + (c + e) * col, 1, rows - r, dtype);
                FN(store)(edge + e * L, x);
            }
            if (!direct_in) in = edge;
            V v[L];
            UNROLL for (int e = 0; e < L; e++) v[e] = FN(load)(in + e * in_row);
            FN(transpose)(v);
            T *put = direct_out ? out : edge;
            UNROLL for (int e = 0; e < L; e++) FN(store)(put + e * out_row, v[e]);
            for (int64_t e = 0; !direct_out && e < rows - r; e++)
                FN(store)(out + e * to_row, FN(load)(edge + e * L));
        }
    }
}

static void FN(pack)(T *to, int64_t to_row, const void *from, int64_t start, int64_t row, int64_t col,
                     int64_t rows, int64_t cols, int dtype) {
    if (dtype == TIDE_BF16)
        FN(pack_dtype)(to, to_row, from, start, row, col, rows, cols, TIDE_BF16);
    else if (dtype == TIDE_F16)
        FN(pack_dtype)(to, to_row, from, start, row, col, rows, cols, TIDE_F16);
    else
        FN(pack_dtype)(to, to_row, from, start, row, col, rows, cols, TIDE_F32);
}

/* ---- the register block: the only place where a product and a sum are fused ---- */

#pragma GCC push_options
#pragma GCC optimize("fp-contract=fast", "no-version-loops-for-strides")

INLINE V FN(fma)(T x, V y, V z) {
#if defined(__FMA__) || defined(__aarch64__)
#ifdef __clang__
#pragma clang fp contract(fast)
#endif
    return x * y + z;
#else
    for (int e = 0; e < L; e++) z[e] = FN(tide_fma)(x, y[e], z[e]);
    return z;
#endif
}

/* c = a b, or c += a b. Four pointers into a, each for four rows, keep the addresses in registers. */
INLINE void FN(block)(const int mr, const int nv, int64_t k, const T *a, int64_t a_row, int64_t a_col,
                      const T *b, int64_t b_row, T *c, int64_t c_row, bool add) {
    V sum[MR][WIDE];
    UNROLL for (int i = 0; i < mr; i++) { UNROLL for (int j = 0; j < nv; j++) sum[i][j] = (V){0}; }
    const T *quad[(MR + 3) / 4];
    UNROLL for (int q = 0; q < (mr + 3) / 4; q++) quad[q] = a + 4 * q * a_row;
    for (; k > 0; k--) {
        V y[WIDE];
        UNROLL for (int j = 0; j < nv; j++) y[j] = FN(load)(b + j * L);
        UNROLL for (int i = 0; i < mr; i++) {
            T x = quad[i / 4][i % 4 * a_row];
            UNROLL for (int j = 0; j < nv; j++) sum[i][j] = FN(fma)(x, y[j], sum[i][j]);
        }
        UNROLL for (int q = 0; q < (mr + 3) / 4; q++) quad[q] += a_col;
        b += b_row;
    }
    UNROLL for (int i = 0; i < mr; i++, c += c_row) {
        UNROLL for (int j = 0; j < nv; j++) {
            FN(store)(c + j * L, add ? FN(load)(c + j * L) + sum[i][j] : sum[i][j]);
        }
    }
}

#define BLOCK(mr)                                                                                   \
    static void FN(block_##mr##x1)(int64_t k, const T *a, int64_t a_row, int64_t a_col, const T *b, \
                                   int64_t b_row, T *c, int64_t c_row, bool add) {                  \
        FN(block)(mr, 1, k, a, a_row, a_col, b, b_row, c, c_row, add);                              \
    }                                                                                               \
    static void FN(block_##mr##x2)(int64_t k, const T *a, int64_t a_row, int64_t a_col, const T *b, \
                                   int64_t b_row, T *c, int64_t c_row, bool add) {                  \
        FN(block)(mr, 2, k, a, a_row, a_col, b, b_row, c, c_row, add);                              \
    }
EACH_ROWS(BLOCK)
#undef BLOCK

/* One row: reads more of each row of b at a time. */
static void FN(block_wide)(int64_t k, const T *a, int64_t a_col, const T *b, int64_t b_row, T *c, bool add) {
    FN(block)(1, WIDE, k, a, 0, a_col, b, b_row, c, 0, add);
}

/* One row by 2 L columns of b that lie along k, b_col apart: transposed in registers, each number being used
 * once. All blocks of the sum here, so that b is read in long pieces. */
static void FN(block_dots)(int64_t k, const T *a, int64_t a_col, const T *b, int64_t b_col, T *c, bool add) {
    V total[2] = {FN(load)(c), FN(load)(c + L)};
    for (int64_t p = 0; p < k || !add; add = true) {
        const int64_t end = k - p < TIDE_GEMM_KC ? k : p + TIDE_GEMM_KC;
        V sum[2] = {{0}, {0}};
        for (; p + L <= end; p += L, a += L * a_col) {
            UNROLL for (int j = 0; j < 2; j++) {
                V v[L];
                UNROLL for (int e = 0; e < L; e++) v[e] = FN(load)(b + p + (j * L + e) * b_col);
                FN(transpose)(v);
                UNROLL for (int e = 0; e < L; e++) sum[j] = FN(fma)(a[e * a_col], v[e], sum[j]);
            }
        }
        for (; p < end; p++, a += a_col)
            for (int j = 0; j < 2; j++)
                sum[j] = FN(fma)(*a, FN(gather)(b, p + j * L * b_col, b_col, L, TIDE_F32), sum[j]);
        for (int j = 0; j < 2; j++) total[j] = add ? total[j] + sum[j] : sum[j];
    }
    FN(store)(c, total[0]);
    FN(store)(c + L, total[1]);
}

#pragma GCC pop_options

typedef void (*FN(block_fn))(int64_t k, const T *a, int64_t a_row, int64_t a_col, const T *b, int64_t b_row,
                             T *c, int64_t c_row, bool add);
#define BLOCK(mr) {FN(block_##mr##x1), FN(block_##mr##x2)},
static const FN(block_fn) FN(blocks)[MR][2] = {EACH_ROWS(BLOCK)};
#undef BLOCK

/* ---- bias and activation ---- */

static void FN(activate)(int activation, T *c, int64_t n) {
    switch (activation) {
#define EACH(value)                   \
    for (int64_t j = 0; j < n; j++) { \
        T x = c[j];                   \
        c[j] = (value);               \
    }                                 \
    break;
    case TIDE_ACT_RELU: EACH(x <= 0 ? 0 : x)
    case TIDE_ACT_GELU: EACH((T)0.5 * x * (1 + FN(tide_erf)(x * (T)0.70710678118654752440)))
    case TIDE_ACT_GELU_TANH:
        EACH((T)0.5 * x * (1 + FN(tide_tanh)((T)0.79788456080286535588 * (x + (T)0.044715 * x * x * x))))
    case TIDE_ACT_SILU: EACH(x * FN(tide_sigmoid)(x))
    case TIDE_ACT_TANH: EACH(FN(tide_tanh)(x))
    case TIDE_ACT_SIGMOID: EACH(FN(tide_sigmoid)(x))
#undef EACH
    }
}

/* c[rows][cols] = activation(c + bias), a vector of columns at a time. */
static void FN(finish)(const tide_gemm *g, T *c, int64_t c_row, int64_t rows, int64_t col, int64_t cols) {
    const bool relu = g->activation == TIDE_ACT_RELU, other = g->activation != TIDE_ACT_NONE && !relu;
    for (int64_t j = 0; j < cols; j += L, c += L) {
        const int64_t n = cols - j < L ? cols - j : L;
        V bias = {0};
        if (g->bias) bias = FN(gather)(g->bias, (col + j) * g->bias_col, g->bias_col, n, g->dtype);
        T *row = c;
        for (int64_t i = 0; i < rows; i++, row += c_row) {
            if (n < L) {
                for (int64_t e = 0; g->bias && e < n; e++) row[e] += bias[e];
                if (relu || other) FN(activate)(g->activation, row, n);
                continue;
            }
            V x = FN(load)(row);
            if (g->bias) x += bias;
            if (relu) x = (V)((VI)x & ~(x <= 0)); /* NaN stays */
            FN(store)(row, x);
            if (other) FN(activate)(g->activation, row, L);
        }
    }
}

/* From f32 sums of a whole tile to narrow numbers: c = activation(sums + bias), c added first if told so. */
static void FN(round)(const tide_gemm *g, const tide_gemm_tile *t, T *sums, bool add) {
    for (int64_t i = 0; i < t->rows; i++, sums += t->cols) {
        uint16_t *c = (uint16_t *)t->c + (t->row + i) * g->c_row + t->col;
        for (int64_t j = 0; add && j < t->cols; j++) sums[j] += FN(get)(c, j, g->dtype);
        FN(finish)(g, sums, 0, 1, t->col, t->cols);
        if (g->dtype == TIDE_BF16)
            for (int64_t j = 0; j < t->cols; j++) FN(put)(c, j, sums[j], TIDE_BF16);
        else
            for (int64_t j = 0; j < t->cols; j++) FN(put)(c, j, sums[j], TIDE_F16);
    }
}

/* ---- a tile ---- */

static void FN(tile)(const tide_gemm *g, const tide_gemm_tile *t, void *scratch) {
    const int dtype = g->dtype;
    const bool narrow = tide_gemm_narrow(g);
    const bool finishing = !narrow && (g->bias || g->activation != TIDE_ACT_NONE);
    const int64_t nblocks = (t->rows + MR - 1) / MR, least = t->rows / nblocks, more = t->rows % nblocks;
    const int64_t strip = tide_gemm_strip(t->cols); /* row stride of packed b */
    T *packed_b = scratch, *packed_a = packed_b + strip * tide_gemm_longest(g),
      *sums = packed_a + t->rows * TIDE_GEMM_LDA;

    T *c = narrow ? sums : (T *)t->c + t->row * g->c_row + t->col;
    const int64_t c_row = narrow ? t->cols : g->c_row;
    for (int64_t i = 0; narrow && g->accumulate && i < t->rows; i++)
        for (int64_t j = 0; j < t->cols; j++)
            c[i * c_row + j] = FN(get)(t->c, (t->row + i) * g->c_row + t->col + j, dtype);

    int64_t dots = 0, p = 0;
    const bool along_k = t->rows == 1 && t->pack_b && !narrow && g->b_row == 1;
    for (; along_k && dots + 2 * L <= t->cols; dots += 2 * L) {
        if (dots && g->k > TIDE_GEMM_KC && tide_tile_cancelled(t->cx)) return;
        const T *a = (const T *)t->a + t->row * g->a_row, *b = (const T *)t->b + (t->col + dots) * g->b_col;
        FN(block_dots)(g->k, a, g->a_col, b, g->b_col, c + dots, g->accumulate);
    }
    do { /* once where k is 0, too */
        if (p && tide_tile_cancelled(t->cx)) return;
        const int64_t k = g->k - p < TIDE_GEMM_KC ? g->k - p : TIDE_GEMM_KC;
        const bool add = p > 0 || g->accumulate, last = p + k == g->k;
        const int64_t a_start = t->row * g->a_row + p * g->a_col, b_start = p * g->b_row + t->col * g->b_col;
        const T *a = narrow ? packed_a : (const T *)t->a + a_start;
        const int64_t a_row = narrow ? TIDE_GEMM_LDA : g->a_row, a_col = narrow ? 1 : g->a_col;
        if (narrow) FN(pack)(packed_a, a_row, t->a, a_start, g->a_row, g->a_col, t->rows, k, dtype);

        int64_t j = dots;
        for (; t->rows == 1 && !t->pack_b && j + WIDE * L <= t->cols; j += WIDE * L)
            FN(block_wide)(k, a, a_col, (const T *)t->b + b_start + j, g->b_row, c + j, add);
        if (last && finishing) FN(finish)(g, c, c_row, 1, t->col, j);
        const int64_t left = t->cols - j, left_start = b_start + j * g->b_col;
        if (t->pack_b) FN(pack)(packed_b + j, strip, t->b, left_start, g->b_row, g->b_col, k, left, dtype);
        for (; j < t->cols; j += 2 * L) {
            const int64_t cols = t->cols - j < 2 * L ? t->cols - j : 2 * L;
            const int nv = cols > L ? 2 : 1;
            const bool whole = cols == nv * L;
            const T *b = t->pack_b || !whole ? packed_b + j : (const T *)t->b + b_start + j;
            const int64_t b_row = t->pack_b || !whole ? strip : g->b_row;
            if (!t->pack_b && !whole)
                FN(pack)(packed_b + j, strip, t->b, b_start + j, g->b_row, 1, k, cols, dtype);

            for (int64_t r = 0, i = 0, mr; r < nblocks; r++, i += mr) {
                mr = least + (r < more);
                const FN(block_fn) block = FN(blocks)[mr - 1][nv - 1];
                T *to = c + i * c_row + j;
                if (whole) {
                    block(k, a + i * a_row, a_row, a_col, b, b_row, to, c_row, add);
                    if (last && finishing) FN(finish)(g, to, c_row, mr, t->col + j, cols);
                    continue;
                }
                T edge[MR * 2 * L] __attribute__((aligned(VECTOR)));
                for (int64_t e = 0; add && e < mr; e++) FN(copy)(edge + e * 2 * L, to + e * c_row, cols, 2 * L);
                block(k, a + i * a_row, a_row, a_col, b, b_row, edge, 2 * L, add);
                if (last && finishing) FN(finish)(g, edge, 2 * L, mr, t->col + j, cols);
                for (int64_t e = 0; e < mr; e++) FN(copy)(to + e * c_row, edge + e * 2 * L, cols, 2 * L);
            }
        }
        p += k;
    } while (p < g->k);

    if (narrow) FN(round)(g, t, sums, false);
}

#undef V
#undef VI
#undef L
