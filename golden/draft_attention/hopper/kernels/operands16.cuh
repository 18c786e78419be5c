// Shared memory, operands and matrix products of attention16.cu.
#pragma once

#include "rows.cuh"
#include "sweep.cuh"
#include "wgmma.cuh"

constexpr int kDim = HEAD_DIM;
constexpr int kChunks = kDim / 64;  // 64 columns = 128 bytes, the width of the swizzle
constexpr uint32_t kChunkBytes = kBlock * 128;
constexpr uint32_t kTileBytes = kChunks * kChunkBytes;
constexpr int kSlots = kDim == 128 ? 5 : 8;
constexpr float kRescaleThreshold = 8.0f;

constexpr uint32_t kBlockBytes = kKeyBlock * 128;  // of one block in a chunk of a slot

constexpr uint32_t kPooledBytes = kBlock * 4, kChosenBytes = kBlock / 8;
constexpr uint32_t kTailBytes = kPooledBytes + kQueryParts * kChosenBytes;
constexpr float kLogBlock = kKeyBlock == 128 ? 7.0f : 6.0f;  // log2 of a block's tokens

struct Operands {
  TensorMap q_video, q_text, k_video, k_text, v_video, v_text;  // boxes of one block, 64 columns
  TensorMap k_mean, v_mean;                                     // tail: 128 pooled tokens, 64 columns
  TensorMap k_runs, v_runs;                                     // with RUNS: 16 tokens of a video box, 64 columns
};

struct __align__(1024) Shared {
  uint8_t query[kQueryBuffers][kTileBytes];
  uint8_t slot[kSlots][kTileBytes];
  uint8_t tail[TAIL ? kSlots : 1][TAIL ? kTailBytes : 16];  // of a k_mean slot: Problem::pooled, then bits of the rows
  QueryBarriers queries;
  uint64_t slot_full[kSlots], slot_empty[kSlots];
  Tile tile[kQueryBuffers];
  uint32_t valid[kSlots][kKeyParts];  // of a key slot's blocks
  int kind[kSlots];                   // of a key slot: sweep.cuh, Kind; + 2 or 4 where only warpgroup 0 or 1 has a block
  uint32_t scratch;  // of order_after
};

DEFINE_WGMMA_RS(multiply_keys, "m64n128k16.f32." ELEMENT "." ELEMENT, ", 1, 1, 0", 64, "%64", "%65", "%66", "%67", "%68", "%69")
#if KEY_BLOCK == 64
DEFINE_WGMMA_RS(multiply_half_keys, "m64n64k16.f32." ELEMENT "." ELEMENT, ", 1, 1, 0", 32, "%32", "%33", "%34", "%35", "%36", "%37")
#endif
#if HEAD_DIM == 128
DEFINE_WGMMA_RS(multiply_values, "m64n128k16.f32." ELEMENT "." ELEMENT, ", 1, 1, 1", 64, "%64", "%65", "%66", "%67", "%68", "%69")
#else
DEFINE_WGMMA_RS(multiply_values, "m64n64k16.f32." ELEMENT "." ELEMENT, ", 1, 1, 1", 32, "%32", "%33", "%34", "%35", "%36", "%37")
#endif
