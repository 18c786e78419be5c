// Prepares k and v for attention8.cu: reads the token order in place, writes block order in 8 bits.
// Build with -DHEAD_DIM=64|128 and -DELEMENT="bf16"|"f16" (a string). One thread block of 256 threads for each block
// of 128 tokens of each head; positions that hold no token become zero.
//
//   quantise_keys     int8 of k - mean, one scale a block: a common offset of all keys leaves the softmax unchanged;
//                     within each 16 columns in the order that attention8.cu gives the queries
//   quantise_values   e4m3 of v - mean, transposed to [dim][token]; within each 16 tokens the order
//                     is the one in which a wgmma accumulator feeds the left operand of the next product, so that
//                     the softmax weights need no exchange between threads. The scale is a head's; it comes with
//                     room to spare, which costs a floating-point format nothing. A head that needs more tells so in
//                     `largest`, and is written again by a second launch, which else does nothing.
//
// Pooled tokens (the tail's) follow a head's blocks, 128 to a block: they come in a second launch, as text.
using uint8_t = unsigned char;
using uint16_t = unsigned short;
using uint32_t = unsigned int;

constexpr int kDim = HEAD_DIM;
constexpr int kBlock = 128;
constexpr int kThreads = 256;
constexpr int kLanes = kDim / 8;  // threads on a row, eight columns each
constexpr int kRows = kThreads / kLanes;
constexpr int kPasses = kBlock / kRows;
constexpr float kLargestE4m3 = 448.0f;
constexpr float kSmallest = 1e-6f;  // floor of a block's largest magnitude: keeps scales normal numbers

struct Source {
  const uint16_t* data;
  long long token_stride, head_stride;  // elements
  const float* mean;                    // [heads, kDim]
  int n_blocks, n_video_blocks;
  int frames, height, width, text_length, video_offset, text_offset;
  int blocks_high, blocks_wide;
  int log_pt, log_ph, log_pw;
  int out_blocks, out_first;  // blocks of a head in the result, and the first that this source writes
};
static_assert(sizeof(Source) == 96, "golden/draft_attention/hopper/eight_bit.py mirrors this layout");

__device__ __forceinline__ float widen(uint32_t bits) {
  float x;
  asm("cvt.f32." ELEMENT " %0, %1;" : "=f"(x) : "h"(uint16_t(bits)));
  return x;
}

// This thread's part of a block: kPasses rows, eight columns each, less the mean. Empty positions are zero.
struct Part {
  float value[kPasses][8];
  int head, block, column, row;  // row of pass 0; pass i is row + i * kRows
  long long target;              // the block's number in the result

  __device__ __forceinline__ Part(const Source& s) {
    head = blockIdx.x / s.n_blocks;
    block = blockIdx.x % s.n_blocks;
    target = (long long)head * s.out_blocks + s.out_first + block;
    column = threadIdx.x % kLanes * 8;
    row = threadIdx.x / kLanes;
    const bool text = block >= s.n_video_blocks;
    const int text_row = (block - s.n_video_blocks) * kBlock;
    const int x0 = block % s.blocks_wide << s.log_pw;
    const int y0 = block / s.blocks_wide % s.blocks_high << s.log_ph;
    const int t0 = block / (s.blocks_wide * s.blocks_high) << s.log_pt;
    const uint16_t* base = s.data + head * s.head_stride + column;
    uint4 raw[kPasses];
    bool present[kPasses];
#pragma unroll
    for (int i = 0; i < kPasses; ++i) {
      const int r = row + i * kRows;
      const int x = x0 + (r & ((1 << s.log_pw) - 1));
      const int y = y0 + (r >> s.log_pw & ((1 << s.log_ph) - 1));
      const int t = t0 + (r >> (s.log_pw + s.log_ph));
      const int token = text ? s.text_offset + text_row + r : s.video_offset + (t * s.height + y) * s.width + x;
      present[i] = text ? text_row + r < s.text_length : x < s.width && y < s.height && t < s.frames;
      raw[i] = present[i] ? *reinterpret_cast<const uint4*>(base + token * s.token_stride) : uint4{0, 0, 0, 0};
    }
    float mean[8];
#pragma unroll
    for (int e = 0; e < 8; ++e) mean[e] = s.mean != nullptr ? s.mean[head * kDim + column + e] : 0.0f;
#pragma unroll
    for (int i = 0; i < kPasses; ++i) {
      const uint32_t words[4] = {raw[i].x, raw[i].y, raw[i].z, raw[i].w};
#pragma unroll
      for (int e = 0; e < 8; ++e) value[i][e] = present[i] ? widen(words[e / 2] >> 16 * (e % 2)) - mean[e] : 0.0f;
    }
  }

  __device__ __forceinline__ float largest(int pass) const {
    float top = 0;
#pragma unroll
    for (int e = 0; e < 8; ++e) top = fmaxf(top, fabsf(value[pass][e]));
    return top;
  }

  // Largest magnitude of the whole block, at least kSmallest.
  __device__ __forceinline__ float largest_of_block() const {
    __shared__ float warps[kThreads / 32];
    float top = kSmallest;
#pragma unroll
    for (int i = 0; i < kPasses; ++i) top = fmaxf(top, largest(i));
#pragma unroll
    for (int step = 16; step > 0; step /= 2) top = fmaxf(top, __shfl_xor_sync(~0u, top, step));
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = top;
    __syncthreads();
#pragma unroll
    for (int w = 0; w < kThreads / 32; ++w) top = fmaxf(top, warps[w]);
    return top;
  }

  // Of each 16 columns, word c holds 2c, 2c + 1, 2c + 8, 2c + 9. Neighbouring threads have eight of them each; they
  // trade two pairs, and the lower thread writes words 0 and 1, the upper one 2 and 3.
  __device__ __forceinline__ void write_int8(uint8_t* out, int pass, float inverse) const {
    const bool upper = column & 8;
    uint32_t pairs[4];
#pragma unroll
    for (int e = 0; e < 8; e += 2)
      pairs[e / 2] = __float2int_rn(value[pass][e] * inverse) & 0xFF |
                     (__float2int_rn(value[pass][e + 1] * inverse) & 0xFF) << 8;
    const uint32_t sent = upper ? pairs[0] | pairs[1] << 16 : pairs[2] | pairs[3] << 16;
    const uint32_t got = __shfl_xor_sync(~0u, sent, 1);
    const uint2 words = upper ? uint2{got & 0xFFFF | pairs[2] << 16, got >> 16 | pairs[3] << 16}
                              : uint2{pairs[0] | got << 16, pairs[1] | got & 0xFFFF0000u};
    const long long at = target * kBlock + row + pass * kRows;
    *reinterpret_cast<uint2*>(out + at * kDim + column) = words;
  }
};

extern "C" __global__ void __launch_bounds__(kThreads) quantise_keys(const Source s, uint8_t* out, float* scales) {
  const Part part(s);
  const float top = part.largest_of_block();
#pragma unroll
  for (int i = 0; i < kPasses; ++i) part.write_int8(out, i, 127.0f / top);
  if (threadIdx.x == 0) scales[part.target] = top / 127.0f;
}

__device__ __forceinline__ void write_e4m3(const Part& part, uint8_t* out, float inverse) {
  constexpr int kPitch = kBlock + 4;  // bytes: keeps the transposing stores on different banks
  __shared__ uint8_t turned[kDim * kPitch];
#pragma unroll
  for (int i = 0; i < kPasses; ++i) {
    const int row = part.row + i * kRows;
    const int slot = (row & ~15) + 4 * ((row & 7) >> 1) + (row & 1) + 2 * (row >> 3 & 1);
#pragma unroll
    for (int e = 0; e < 8; e += 2) {
      uint16_t pair;
      asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;"
          : "=h"(pair)
          : "f"(part.value[i][e + 1] * inverse), "f"(part.value[i][e] * inverse));
      turned[(part.column + e) * kPitch + slot] = pair & 0xFF;
      turned[(part.column + e + 1) * kPitch + slot] = pair >> 8;
    }
  }
  __syncthreads();
  uint32_t* rows = reinterpret_cast<uint32_t*>(out) + part.target * kDim * (kBlock / 4);
  const uint32_t* words = reinterpret_cast<const uint32_t*>(turned);
  for (int i = threadIdx.x; i < kDim * (kBlock / 4); i += kThreads)
    rows[i] = words[i / (kBlock / 4) * (kPitch / 4) + i % (kBlock / 4)];
}


// `expected` [heads]: a bound on the magnitudes of v - mean that most heads keep. `largest` [heads], `expected` at
// launch: raised to what they do not keep.
extern "C" __global__ void __launch_bounds__(kThreads)
    quantise_values(const Source s, uint8_t* out, const float* expected, int* largest) {
  const Part part(s);
  const float bound = fmaxf(expected[part.head], kSmallest);
  float top = 0;
#pragma unroll
  for (int i = 0; i < kPasses; ++i) top = fmaxf(top, part.largest(i));
  if (top > bound) atomicMax(largest + part.head, __float_as_int(top));  // non-negative floats order as integers
  write_e4m3(part, out, kLargestE4m3 / bound);
}

// Heads whose values exceed what was expected, again.
extern "C" __global__ void __launch_bounds__(kThreads)
    requantise_values(const Source s, uint8_t* out, const float* expected, const float* largest) {
  const int head = blockIdx.x / s.n_blocks;
  if (largest[head] <= fmaxf(expected[head], kSmallest)) return;
  write_e4m3(Part(s), out, kLargestE4m3 / largest[head]);
}
