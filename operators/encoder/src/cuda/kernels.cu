// What lies between the products of a BERT encoder, over word pieces one behind the other, without padding.
//
// Compiled at start for one network, with these definitions:
//   REAL      __half, __nv_bfloat16 or float: what activations and weights are kept in; sums, norms and softmax are float
//   HIDDEN    features of a word piece, a multiple of 8
//   HEAD      features of an attention head
//   TENSOR    1 if attention multiplies on tensor cores: REAL has 16 bits, HEAD is 16, 32, 48 or 64, compute capability is 8.0 or more
#include <cuda_bf16.h>
#include <cuda_fp16.h>

typedef REAL Real;

// Vectors of a row, which are loaded and stored at once.
struct alignas(16) Eight {
    Real of[8];
};
struct alignas(16) EightFloats {
    float of[8];
};

constexpr int WARP = 32;
constexpr int VECTORS = HIDDEN / 8;
constexpr int OF_LANE = (VECTORS + WARP - 1) / WARP;

// Keys that a block of attention looks at at a time.
constexpr int KEYS = TENSOR ? 64 : 32;

__device__ float sum_of_warp(float x) {
    for (int apart = WARP / 2; apart > 0; apart /= 2) x += __shfl_xor_sync(~0u, x, apart);
    return x;
}

// Layer normalisation (Ba et al., arXiv 1607.06450) of a row whose vectors lie on the lanes of a warp in turn.
__device__ void normalise(float (&x)[OF_LANE][8], int lane, const EightFloats* weight, const EightFloats* bias, float eps, Eight* out) {
    float sum = 0;
    for (int i = 0; i < OF_LANE; i++)
        for (int j = 0; j < 8; j++) sum += x[i][j];
    float mean = sum_of_warp(sum) / HIDDEN, squares = 0;
    for (int i = 0; i < OF_LANE; i++)
        if (i * WARP + lane < VECTORS)
            for (int j = 0; j < 8; j++) squares += (x[i][j] - mean) * (x[i][j] - mean);
    float scale = rsqrtf(sum_of_warp(squares) / HIDDEN + eps);
    for (int i = 0; i < OF_LANE; i++) {
        int vector = i * WARP + lane;
        if (vector >= VECTORS) continue;
        EightFloats w = weight[vector], b = bias[vector];
        Eight y;
        for (int j = 0; j < 8; j++) y.of[j] = Real((x[i][j] - mean) * scale * w.of[j] + b.of[j]);
        out[vector] = y;
    }
}

// The normalised sum of two rows for each word piece; a warp has a word piece.
__device__ void add_and_normalise(const Eight* a, const Eight* b, int lane, const EightFloats* weight, const EightFloats* bias, float eps,
                                  Eight* out) {
    float x[OF_LANE][8] = {};
    for (int i = 0; i < OF_LANE; i++) {
        int vector = i * WARP + lane;
        if (vector >= VECTORS) continue;
        Eight one = a[vector], other = b[vector];
        for (int j = 0; j < 8; j++) x[i][j] = float(one.of[j]) + float(other.of[j]);
    }
    normalise(x, lane, weight, bias, eps, out);
}

// Embeddings of word and position, added and normalised. `places` is [pieces]: a word piece's place in its window.
extern "C" __global__ void embed(const int* ids, const int* places, int pieces, const Eight* words, const Eight* positions,
                                 const EightFloats* weight, const EightFloats* bias, float eps, Eight* out) {
    int piece = (blockIdx.x * blockDim.x + threadIdx.x) / WARP, lane = threadIdx.x % WARP;
    if (piece >= pieces) return;
    add_and_normalise(words + size_t(ids[piece]) * VECTORS, positions + size_t(places[piece]) * VECTORS, lane, weight, bias, eps,
                      out + size_t(piece) * VECTORS);
}

// `x` becomes the layer normalisation of what a block adds to it.
extern "C" __global__ void add_norm(const Eight* added, Eight* x, int pieces, const EightFloats* weight, const EightFloats* bias,
                                    float eps) {
    int piece = (blockIdx.x * blockDim.x + threadIdx.x) / WARP, lane = threadIdx.x % WARP;
    if (piece >= pieces) return;
    size_t row = size_t(piece) * VECTORS;
    add_and_normalise(added + row, x + row, lane, weight, bias, eps, x + row);
}

// The exact GELU (Hendrycks and Gimpel, arXiv 1606.08415) in place.
extern "C" __global__ void gelu(Eight* x, size_t vectors) {
    size_t vector = size_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (vector >= vectors) return;
    Eight y = x[vector];
    for (int j = 0; j < 8; j++) {
        float value = y.of[j];
        y.of[j] = Real(0.5f * value * (1 + erff(value * 0.70710678f)));
    }
    x[vector] = y;
}

// Probabilities of class I from the log odds of each task; `weight` is [tasks, HIDDEN], `out` [pieces, columns] from its column
// `first` on. A warp has a word piece.
extern "C" __global__ void heads(const Eight* x, int pieces, const EightFloats* weight, const float* bias, int tasks, float* out,
                                 int columns, int first) {
    int piece = (blockIdx.x * blockDim.x + threadIdx.x) / WARP, lane = threadIdx.x % WARP;
    if (piece >= pieces) return;
    for (int task = 0; task < tasks; task++) {
        float sum = 0;
        for (int vector = lane; vector < VECTORS; vector += WARP) {
            Eight part = x[size_t(piece) * VECTORS + vector];
            EightFloats w = weight[task * VECTORS + vector];
            for (int j = 0; j < 8; j++) sum += float(part.of[j]) * w.of[j];
        }
        sum = sum_of_warp(sum) + bias[task];
        if (lane == 0) out[size_t(piece) * columns + first + task] = 1 / (1 + expf(-sum));
    }
}

// The queries of a block of attention: 64 at most from the word piece `query` on, of a window from `start` to `end`.
struct Tile {
    int start, end, query;
};

// A score whose exponential is zero beside that of any other.
constexpr float NOTHING = -1e30f;

// Scores are multiplied by it, so that their exponentials are powers of two.
__device__ float scale_of_scores() { return rsqrtf(float(HEAD)) * 1.44269504f; }

#if TENSOR

constexpr int ROW = HEAD + 8;  // So that eight rows from one on are in different banks.
constexpr int STEPS = HEAD / 16;

__device__ void copy_async(void* to, const void* from, bool is_there) {
    unsigned shared = __cvta_generic_to_shared(to);
    int bytes = is_there ? 16 : 0;  // The rest of the 16 becomes zero.
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(from), "r"(bytes));
}

// Four matrices of 8 by 8, of which each lane names a row.
__device__ void load_matrices(unsigned (&to)[4], const Real* row) {
    unsigned shared = __cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(shared));
}

__device__ void load_transposed(unsigned (&to)[4], const Real* row) {
    unsigned shared = __cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(shared));
}

// sum += a · b, of 16 by 16 and 16 by 8.
__device__ void multiply(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." MMA_TYPE "." MMA_TYPE ".f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ unsigned pair(float low, float high) {
    unsigned both;
    asm("cvt.rn." MMA_TYPE "x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
}

// 2 to the power of x, with an error of 2 in the last place.
__device__ float power_of_two(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// The largest or the sum of a row of a product, which lies on four lanes.
__device__ float largest_of_row(float x) {
    x = fmaxf(x, __shfl_xor_sync(~0u, x, 1));
    return fmaxf(x, __shfl_xor_sync(~0u, x, 2));
}
__device__ float sum_of_row(float x) {
    x += __shfl_xor_sync(~0u, x, 1);
    return x + __shfl_xor_sync(~0u, x, 2);
}

// From the scores of 16 queries with KEYS keys, of which `rest` are there, to weights: `most` and `sum` are the largest score and the
// sum of the weights of each row so far, and what was gathered in `context` shrinks to what it is beside the new largest.
__device__ void weigh(float (&scores)[KEYS / 8][4], int rest, float (&most)[2], float (&sum)[2], float (&context)[HEAD / 8][4]) {
    const int column = threadIdx.x % 4 * 2;
    if (rest < KEYS) {
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                if (n * 8 + column + i % 2 >= rest) scores[n][i] = NOTHING;
    }
#pragma unroll
    for (int row = 0; row < 2; row++) {
        float here = most[row];
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++) here = fmaxf(here, fmaxf(scores[n][2 * row], scores[n][2 * row + 1]));
        here = largest_of_row(here);
        const float shift = here * scale_of_scores(), shrink = power_of_two(most[row] * scale_of_scores() - shift);
        most[row] = here;
        sum[row] *= shrink;
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
            for (int i = 2 * row; i < 2 * row + 2; i++) {
                scores[n][i] = power_of_two(scores[n][i] * scale_of_scores() - shift);
                sum[row] += scores[n][i];
            }
#pragma unroll
        for (int n = 0; n < HEAD / 8; n++) {
            context[n][2 * row] *= shrink;
            context[n][2 * row + 1] *= shrink;
        }
    }
}

// Attention within each window with the softmax of keys so far (Dao et al., arXiv 2205.14135), on tensor cores.
//
// `qkv` is [pieces, 3 · HIDDEN], `out` [pieces, HIDDEN]. A block has a tile and a head, each of its four warps 16 queries; while it
// looks at some keys the next are copied. Lane `l` has the rows l/4 and l/4 + 8 of its warp's 16, and of 8 columns 2(l%4) and the next,
// as the tensor cores want it.
extern "C" __global__ void __launch_bounds__(128, 4) attend(const Real* qkv, const Tile* tiles, Real* out) {
    __shared__ alignas(16) Real keys[2][KEYS][ROW];
    __shared__ alignas(16) Real values[2][KEYS][ROW];
    const Tile tile = tiles[blockIdx.x];
    const int lane = threadIdx.x % WARP, column = lane % 4 * 2, head = blockIdx.y * HEAD;
    const int first = tile.query + threadIdx.x / WARP * 16, row = first + lane / 4;
    const int blocks = (tile.end - tile.start + KEYS - 1) / KEYS;
    const size_t stride = 3 * HIDDEN;

    auto fetch = [&](int block) {
        for (int i = threadIdx.x; i < KEYS * (HEAD / 8); i += blockDim.x) {
            int key = i / (HEAD / 8), feature = i % (HEAD / 8) * 8, piece = tile.start + block * KEYS + key;
            bool is_there = piece < tile.end;
            const Real* from = qkv + (is_there ? piece : tile.start) * stride + head + feature;
            copy_async(&keys[block % 2][key][feature], from + HIDDEN, is_there);
            copy_async(&values[block % 2][key][feature], from + 2 * HIDDEN, is_there);
        }
        asm volatile("cp.async.commit_group;");
    };
    fetch(0);

    unsigned query[STEPS][4];
#pragma unroll
    for (int step = 0; step < STEPS; step++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int piece = row + i % 2 * 8, feature = head + step * 16 + column + i / 2 * 8;
            query[step][i] = piece < tile.end ? *reinterpret_cast<const unsigned*>(qkv + piece * stride + feature) : 0;
        }

    float context[HEAD / 8][4] = {}, most[2] = {NOTHING, NOTHING}, sum[2] = {};
    for (int block = 0; block < blocks; block++) {
        if (block + 1 < blocks) {
            fetch(block + 1);
            asm volatile("cp.async.wait_group 1;");
        } else {
            asm volatile("cp.async.wait_group 0;");
        }
        __syncthreads();
        const int rest = tile.end - tile.start - block * KEYS;
        if (first < tile.end) {
            float scores[KEYS / 8][4] = {};
#pragma unroll
            for (int n = 0; n < KEYS / 8; n += 2)
                if (n * 8 < rest) {
#pragma unroll
                    for (int step = 0; step < STEPS; step++) {
                        unsigned key[4];
                        load_matrices(key, &keys[block % 2][n * 8 + lane / 16 * 8 + lane % 8][step * 16 + lane / 8 % 2 * 8]);
                        multiply(scores[n], query[step], key[0], key[1]);
                        multiply(scores[n + 1], query[step], key[2], key[3]);
                    }
                }
            weigh(scores, rest, most, sum, context);
#pragma unroll
            for (int step = 0; step < KEYS / 16; step++)
                if (step * 16 < rest) {
                    const float(&left)[4] = scores[2 * step], (&right)[4] = scores[2 * step + 1];
                    unsigned weight[4] = {pair(left[0], left[1]), pair(left[2], left[3]), pair(right[0], right[1]),
                                          pair(right[2], right[3])};
#pragma unroll
                    for (int n = 0; n < HEAD / 8; n += 2) {
                        unsigned value[4];
                        load_transposed(value, &values[block % 2][step * 16 + lane / 8 % 2 * 8 + lane % 8][n * 8 + lane / 16 * 8]);
                        multiply(context[n], weight, value[0], value[1]);
                        multiply(context[n + 1], weight, value[2], value[3]);
                    }
                }
        }
        __syncthreads();  // Before the next but one is copied here.
    }

#pragma unroll
    for (int of = 0; of < 2; of++) {
        const int piece = row + of * 8;
        const float share = 1 / sum_of_row(sum[of]);
        if (piece >= tile.end) continue;
#pragma unroll
        for (int n = 0; n < HEAD / 8; n++)
            *reinterpret_cast<unsigned*>(out + size_t(piece) * HIDDEN + head + n * 8 + column) =
                pair(context[n][2 * of] * share, context[n][2 * of + 1] * share);
    }
}

#else

// The same without tensor cores; a thread has a query.
extern "C" __global__ void __launch_bounds__(64) attend(const Real* qkv, const Tile* tiles, Real* out) {
    __shared__ float keys[KEYS][HEAD], values[KEYS][HEAD];
    const Tile tile = tiles[blockIdx.x];
    const int head = blockIdx.y * HEAD, piece = tile.query + threadIdx.x;
    const size_t stride = 3 * HIDDEN;
    float query[HEAD], context[HEAD] = {}, most = NOTHING, sum = 0;
    for (int i = 0; i < HEAD; i++)
        query[i] = piece < tile.end ? float(qkv[piece * stride + head + i]) * scale_of_scores() : 0;
    for (int start = tile.start; start < tile.end; start += KEYS) {
        int count = min(KEYS, tile.end - start);
        __syncthreads();
        for (int i = threadIdx.x; i < count * HEAD; i += blockDim.x) {
            const Real* from = qkv + (start + i / HEAD) * stride + head + i % HEAD;
            keys[i / HEAD][i % HEAD] = from[HIDDEN];
            values[i / HEAD][i % HEAD] = from[2 * HIDDEN];
        }
        __syncthreads();
        for (int key = 0; key < count; key++) {
            float score = 0;
            for (int i = 0; i < HEAD; i++) score += query[i] * keys[key][i];
            float here = fmaxf(most, score), shrink = exp2f(most - here), weight = exp2f(score - here);
            most = here;
            sum = sum * shrink + weight;
            for (int i = 0; i < HEAD; i++) context[i] = context[i] * shrink + weight * values[key][i];
        }
    }
    if (piece < tile.end)
        for (int i = 0; i < HEAD; i++) out[size_t(piece) * HIDDEN + head + i] = Real(context[i] / sum);
}

#endif
