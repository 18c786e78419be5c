// A warp's 16 rows of queries, as both attention kernels read them: 16 bits, in fragments of a left operand. Of each 16
// columns a lane holds 2c, 2c + 1 (words 0 and 1: its two rows) and 2c + 8, 2c + 9 (words 2 and 3), c = lane % 4.
#pragma once

#include "pipeline.cuh"

__device__ __forceinline__ uint32_t pack(float low, float high) {
  uint32_t pair;
  asm("cvt.rn." ELEMENT "x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

__device__ __forceinline__ float unpack_low(uint32_t pair) {
  float x;
  asm("{\n.reg .b16 l, h;\nmov.b32 {l, h}, %1;\ncvt.f32." ELEMENT " %0, l;\n}" : "=f"(x) : "r"(pair));
  return x;
}

__device__ __forceinline__ float unpack_high(uint32_t pair) {
  float x;
  asm("{\n.reg .b16 l, h;\nmov.b32 {l, h}, %1;\ncvt.f32." ELEMENT " %0, h;\n}" : "=f"(x) : "r"(pair));
  return x;
}

// `rows`: shared-memory address of the first row, as in stage_rows.
template <int kDim>
__device__ __forceinline__ void load_rows(uint32_t (&pairs)[kDim / 4], uint32_t rows, uint32_t chunk_bytes, int lane) {
  const int row = lane & 15;
#pragma unroll
  for (int k = 0; k < kDim / 16; ++k) {
    const int piece = 2 * (k & 3) + (lane >> 4);
    load_matrix_x4(pairs + 4 * k, rows + (k >> 2) * chunk_bytes + row * 128 + ((piece ^ (row & 7)) << 4));
  }
}

// The tail's variance term: factor * sum_d q_d^2 profile_d for this thread's two rows, from `profile` of the key head.
// A unit of spread adds it to a score.
template <int kDim>
__device__ __forceinline__ void weigh_rows(const uint32_t (&pairs)[kDim / 4], const float* profile, float factor,
                                           int lane, float (&gain)[2]) {
  gain[0] = gain[1] = 0;
#pragma unroll
  for (int i = 0; i < kDim / 4; ++i) {
    const float2 weight =
        *reinterpret_cast<const float2*>(profile + 16 * (i >> 2) + 8 * (i >> 1 & 1) + 2 * (lane & 3));
    const float low = unpack_low(pairs[i]), high = unpack_high(pairs[i]);
    gain[i & 1] += low * low * weight.x + high * high * weight.y;
  }
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    gain[r] += __shfl_xor_sync(kAllLanes, gain[r], 1);
    gain[r] += __shfl_xor_sync(kAllLanes, gain[r], 2);
    gain[r] *= factor;
  }
}
