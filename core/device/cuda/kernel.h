/* What every generated text begins with, after the scalar functions: wrapping integers, the operations of
 * reductions, and the order in which a block of threads reduces. CUDA C++ that an emulator compiles for the
 * host as well. */

#define TIDE_KERNEL extern "C" __global__ void __launch_bounds__(256, 2) /* up to 128 registers */

template <int N> struct tide_space : tide_cuda_head { tide_cuda_arg arg[N]; };

/* ---- integers ---- */

#define TIDE_WRAPPING(I, U, i)                                          \
    TIDE_FN I tide_add_##i(I a, I b) { return (I)((U)a + (U)b); }       \
    TIDE_FN I tide_sub_##i(I a, I b) { return (I)((U)a - (U)b); }       \
    TIDE_FN I tide_mul_##i(I a, I b) { return (I)((U)a * (U)b); }       \
    TIDE_FN I tide_neg_##i(I a) { return (I)(0 - (U)a); }               \
    TIDE_FN I tide_abs_##i(I a) { return a < 0 ? tide_neg_##i(a) : a; } \
    TIDE_FN I tide_sign_##i(I a) { return (I)((a > 0) - (a < 0)); }     \
    TIDE_FN I tide_min_##i(I a, I b) { return b < a ? b : a; }          \
    TIDE_FN I tide_max_##i(I a, I b) { return b > a ? b : a; }
TIDE_WRAPPING(int32_t, uint32_t, i32)
TIDE_WRAPPING(int64_t, uint64_t, i64)
TIDE_FN float tide_add_f32(float a, float b) { return a + b; }
TIDE_FN float tide_mul_f32(float a, float b) { return a * b; }
TIDE_FN double tide_add_f64(double a, double b) { return a + b; }
TIDE_FN double tide_mul_f64(double a, double b) { return a * b; }

/* i modulo n, and i divided by n; quicker where both fit 32 bits */
TIDE_FN int64_t tide_digit(int64_t &i, int64_t n) {
    if ((uint64_t)(i | n) >> 32 == 0) {
        const uint32_t q = (uint32_t)i / (uint32_t)n, d = (uint32_t)i - q * (uint32_t)n;
        i = q;
        return d;
    }
    const int64_t q = i / n, d = i - q * n;
    i = q;
    return d;
}

TIDE_FN int32_t tide_random(uint64_t key, uint64_t hi, int64_t i) {
    uint32_t w[4];
    tide_philox(key, hi, (uint64_t)i >> 2, w);
    return (int32_t)(i & 2 ? (i & 1 ? w[3] : w[2]) : (i & 1 ? w[1] : w[0]));
}

/* ---- reductions ---- */

/* none() leaves every bit of the other operand: the place of an element that is not there. */
#define TIDE_REDUCTION(name, f, T, op, nothing)                  \
    struct tide_##name##_##f {                                   \
        typedef T type;                                          \
        TIDE_FN T none() { return nothing; }                     \
        TIDE_FN T of(T a, T b) { return tide_##op##_##f(a, b); } \
    };
#define TIDE_REDUCTIONS(f, T, zero, least, greatest) \
    TIDE_REDUCTION(sum, f, T, add, zero)             \
    TIDE_REDUCTION(prod, f, T, mul, 1)               \
    TIDE_REDUCTION(maxr, f, T, max, least)           \
    TIDE_REDUCTION(minr, f, T, min, greatest)
TIDE_REDUCTIONS(f32, float, -0.0f, -TIDE_INF_F32, TIDE_INF_F32)
TIDE_REDUCTIONS(f64, double, -0.0, -TIDE_INF_F64, TIDE_INF_F64)
TIDE_REDUCTIONS(i32, int32_t, 0, (int32_t)0x80000000u, 0x7fffffff)
TIDE_REDUCTIONS(i64, int64_t, 0, (int64_t)0x8000000000000000ull, 0x7fffffffffffffffll)

#define TIDE_LANES 256
#define TIDE_CHUNK 16384
#define TIDE_DEPTH 5 /* a thread carries at most 2^5 lanes */

/* Where a thread stands in its block: thread t of those that share kept element w. */
struct tide_place {
    uint32_t t, w, lt, lg, shift;
};

TIDE_FN tide_place tide_place_of(const tide_cuda_work &w) {
    tide_place at;
    const uint32_t i = threadIdx.x;
    at.t = w.columns ? i >> w.lw : i & ((1u << w.lt) - 1);
    at.w = w.columns ? i & ((1u << w.lw) - 1) : i >> w.lt;
    at.lt = (uint32_t)w.lt;
    at.lg = (uint32_t)w.lg;
    at.shift = w.columns ? (uint32_t)w.lw : 0;
    return at;
}

/* The j-th lane of a thread. Lanes come in the order of their reversed bits, so that those which the tree
 * combines first follow each other. */
TIDE_FN int64_t tide_lane(const tide_place &at, uint32_t j) {
    return at.t + ((__brev(j) >> 1 >> (31 - at.lg)) << at.lt);
}

/* Takes the j-th lane's value x into the tree above a thread's lanes; after the last, returns the whole. left[]
 * holds the finished left branches, like the digits of a binary counter. */
template <class Op>
TIDE_FN typename Op::type tide_push(typename Op::type (&left)[TIDE_DEPTH], uint32_t j, typename Op::type x) {
    bool carry = true;
#pragma unroll
    for (int b = 0; b < TIDE_DEPTH; b++) {
        const bool one = j >> b & 1;
        if (carry && !one) left[b] = x;
        carry = carry && one;
        if (carry) x = Op::of(left[b], x);
    }
    return x;
}

TIDE_FN uint64_t *tide_shared() {
    __shared__ uint64_t buffer[TIDE_LANES];
    return buffer;
}

/* The rest of the tree, across the threads of an element; all of them get the result. */
template <class Op> TIDE_FN typename Op::type tide_tree(typename Op::type x, const tide_place &at) {
    typedef typename Op::type T;
    if (at.lt == 0) return x;
    T *const buffer = (T *)tide_shared();
    const uint32_t i = threadIdx.x;
    __syncthreads(); /* the result before this one has been read */
    buffer[i] = x;
    for (uint32_t s = 1u << at.lt >> 1; s > 0; s >>= 1) {
        __syncthreads();
        if (at.t < s) buffer[i] = x = Op::of(x, buffer[i + (s << at.shift)]);
    }
    __syncthreads();
    return buffer[i - (at.t << at.shift)];
}

/* Reduction j's result for kept element k, and partial result c of the i-th reduction of a level. */
template <class T> TIDE_FN T tide_got(const tide_cuda_work &w, int64_t j, int64_t k) {
    return *(const T *)(w.temp + j * w.kept + k);
}
template <class T> TIDE_FN void tide_put(const tide_cuda_work &w, int64_t i, int64_t k, int64_t c, T x) {
    *(T *)(w.temp + w.to + (i * w.kept + k) * w.chunks + c) = x;
}

/* Joins the partial results of a level's i-th reduction, the j-th of all. */
template <class Op> TIDE_FN void tide_join(const tide_cuda_work &w, int64_t i, int64_t j) {
    typedef typename Op::type T;
    const tide_place at = tide_place_of(w);
    for (int64_t first = (int64_t)blockIdx.x << w.lw; first < w.count; first += (int64_t)gridDim.x << w.lw) {
        const bool live = first + at.w < w.count;
        int64_t k = live ? first + at.w : w.count - 1;
        const int64_t c = tide_digit(k, w.chunks), begin = c * TIDE_CHUNK;
        const int64_t end = begin + TIDE_CHUNK < w.parts ? begin + TIDE_CHUNK : w.parts;
        const uint64_t *const part = w.temp + w.from + (i * w.kept + k) * w.parts;
        T a = Op::none();
        for (int64_t n = begin + at.t; n < end; n += TIDE_LANES) a = Op::of(a, *(const T *)(part + n));
        a = tide_tree<Op>(a, at);
        if (!live || at.t != 0) continue;
        if (w.chunks == 1)
            *(T *)(w.temp + j * w.kept + k) = a;
        else
            tide_put(w, i, k, c, a);
    }
}

/* ---- checks ---- */

TIDE_FN void tide_check(uint32_t *flag, bool holds, uint32_t index) {
    if (!holds) atomicMin(flag, index);
}
