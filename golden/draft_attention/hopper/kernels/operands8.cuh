// Shared memory, operands and matrix products of attention8.cu.
#pragma once

#include "rows.cuh"
#include "sweep.cuh"
#include "wgmma.cuh"

constexpr int kDim = HEAD_DIM;
constexpr uint32_t kTileBytes = kBlock * kDim;
constexpr uint32_t kChunkBytes = kBlock * 128;  // 64 columns of 16 bits
constexpr uint32_t kQueryBytes = kDim / 64 * kChunkBytes;
constexpr int kSlots = kDim == 128 ? 8 : 16;
// Below each value tile in shared memory stand eight more rows, the first all ones: one more column of the product,
// the sum of the row's weights.
constexpr uint32_t kSumBytes = 8 * 128;
constexpr int kProducts = kDim / 2 + 4;
constexpr int kFlush = 8;  // blocks whose products the tensor cores add up before fp32 takes over
constexpr float kLargestE4m3 = 448.0f;
constexpr float kSmallest = 1e-6f;  // as in quantise.cu
// Named barriers (0 is __syncthreads).
constexpr uint32_t kRowsBarrier = 1;  // + warpgroup: its 128 threads
constexpr uint32_t kTurnBarrier = 3;  // + warpgroup: it may issue its matrix products
constexpr bool kTakesTurns = TAIL;    // the two warpgroups, at the tensor cores: measured (docs/results.md)
constexpr uint32_t kPooledBytes = kBlock * 4, kChosenBytes = kBlock / 8, kTailBytes = kPooledBytes + kChosenBytes;
[[maybe_unused]] constexpr float kLogBlock = 7.0f;  // log2 of a block's tokens
// A row's weights are 2^kHeadroom at its kept maximum, and the maximum is kept until it grows by more than a factor
// 2^kGrowth: weights stay below 256, e4m3 ends at 448.
constexpr float kHeadroom = 6.0f, kGrowth = 2.0f;
// An e4m3 number of code c is 2^(c / 8 - 7) where c is a multiple of eight, and linear between: to within 6 % the code
// is eight times the logarithm. So a weight is its score on another scale, rounded down to an integer: no exponential.
// (Rounding to nearest would make weights 4.1 % too large on average, where the chords lie above the curve; half a code
// less is 4.4 %.) On the way it is a share of the 16 octaves that 128 codes span, kept within [0, 1] at no cost.
constexpr float kCodes = 128.0f, kOctaves = 16.0f, kCodeOfOne = 7.0f;  // octaves from code 0 to a weight of one
constexpr float kFloor = 8388608.0f;  // 2^23: a sum with it is an integer, in the low bits

struct Operands {
  TensorMap q_video, q_text;  // 16 bits, in place: boxes of one block, 64 columns
  TensorMap k;                // [head * block * token][dim], boxes of a block; pooled tokens follow the head's blocks
  TensorMap v;                // [head * block * dim][token]
  const float* k_scale;    // [key heads, blocks + tail tiles]
  const float* v_largest;  // [key heads], no magnitude of v - v_mean is larger; kept as 448
  const float* v_mean;     // [key heads, dim], what was taken off v
};
static_assert(sizeof(Operands) == 576, "golden/draft_attention/hopper/eight_bit.py mirrors this layout");

struct __align__(1024) Shared {
  uint8_t query[kQueryBuffers][kQueryBytes];
  uint8_t query8[kTileBytes];
  uint8_t slot[kSlots][kTileBytes + kSumBytes];
  uint8_t tail[TAIL ? kSlots : 1][TAIL ? kTailBytes : 16];  // of a pooled key slot: Problem::pooled, bits of the row
  QueryBarriers queries;
  uint64_t slot_full[kSlots], slot_empty[kSlots];
  Tile tile[kQueryBuffers];
  uint32_t valid[kSlots];
  uint32_t scratch;  // of order_after
  float k_scale[kSlots];
};

DEFINE_WGMMA_SS(multiply_keys, int, "+r", "m64n128k32.s32.s8.s8", "", 64, "%64", "%65", "%66")
#if HEAD_DIM == 128
DEFINE_WGMMA_RS(multiply_values, "m64n136k32.f32.e4m3.e4m3", ", 1, 1", 68, "%68", "%69", "%70", "%71", "%72", "%73")
#else
DEFINE_WGMMA_RS(multiply_values, "m64n72k32.f32.e4m3.e4m3", ", 1, 1", 36, "%36", "%37", "%38", "%39", "%40", "%41")
#endif
