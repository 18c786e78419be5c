// The computing warpgroups of attention8.cu.
#pragma once

#include "operands8.cuh"

// An int32 of magnitude below 2^22 plus this bit pattern, read as a float, is kMagic + the integer, exactly. The tensor
// cores add it: dot products start there instead of at zero, and need no conversion.
constexpr int kMagicBits = 0x4B400000;
constexpr float kMagic = 12582912.0f;
constexpr int kMaskedDot = int(0xFF800000u);  // as a float -infinity; as an integer below all others

struct Consumer : RingReader<kSlots, Shared> {
  const Problem& p;
  const int warpgroup;
  uint64_t query;
  float q_scale[2];  // of this thread's two rows; holds scale * log2(e)
  int dots[64];              // kMagicBits and more
  float product[kProducts];  // of the steps since the last flush
  float out[kDim / 2];
  uint32_t weights[16];
  float maximum[2];  // of this thread's two rows, in log2 units
  float sum[2];      // of their weights, in every fourth lane
  float gain[2];     // tail: what a unit of spread adds to a score, in log2 units

  // This warp's 16 rows from 16 bits at `rows` to int8 at `rows8` (rows of kDim bytes, swizzled over that length).
  // Fragments are read as for a 16-bit product; a row's largest magnitude is then spread over four lanes. Of each 16
  // columns a lane holds 2c, 2c + 1, 2c + 8, 2c + 9 (c = lane % 4) and stores them as one word: the same order within
  // 16 that quantise.cu gives the keys.
  __device__ __forceinline__ void quantise_query(uint32_t rows, uint32_t rows8, [[maybe_unused]] const float* profile) {
    uint32_t pairs[kDim / 4];
    load_rows<kDim>(pairs, rows, kChunkBytes, lane);
#if TAIL
    weigh_rows<kDim>(pairs, profile, 0.5f * p.scale * p.scale_log2, lane, gain);
#endif
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float top = kSmallest;
#pragma unroll
      for (int i = r; i < kDim / 4; i += 2) top = fmaxf(top, fmaxf(fabsf(unpack_low(pairs[i])), fabsf(unpack_high(pairs[i]))));
      top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 1));
      top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 2));
      q_scale[r] = top / 127.0f * p.scale_log2;
      const float inverse = 127.0f / top;
      const int at = lane / 4 + 8 * r;
#pragma unroll
      for (int k = 0; k < kDim / 16; ++k) {
        const uint32_t left = pairs[4 * k + r], right = pairs[4 * k + 2 + r];
        const uint32_t word = to_int8(unpack_low(left) * inverse) | to_int8(unpack_high(left) * inverse) << 8 |
                              to_int8(unpack_low(right) * inverse) << 16 | to_int8(unpack_high(right) * inverse) << 24;
        const int swizzled = kDim == 128 ? k ^ (at & 7) : k ^ (at >> 1 & 3);
        store_shared(rows8 + at * kDim + swizzled * 16 + (lane & 3) * 4, word);
      }
    }
  }

  static __device__ __forceinline__ uint32_t to_int8(float x) { return __float2int_rn(x) & 0xFF; }

  __device__ __forceinline__ void issue_keys(int slot) {
    const uint64_t keys = matrix_descriptor<kDim>(shared_address(shared.slot[slot]));
#pragma unroll
    for (int k = 0; k < kDim / 32; ++k) multiply_keys(dots, query + 2 * k, keys + 2 * k, true);
  }

  __device__ __forceinline__ void issue_values(int slot, bool accumulate) {
    const uint64_t values = matrix_descriptor<128>(shared_address(shared.slot[slot]));
#pragma unroll
    for (int k = 0; k < kBlock / 32; ++k) multiply_values(product, weights + 4 * k, values + 2 * k, accumulate || k > 0);
  }

  __device__ __forceinline__ void flush() {
#pragma unroll
    for (int i = 0; i < kDim / 2; ++i) out[i] += product[i];
#pragma unroll
    for (int r = 0; r < 2; ++r) sum[r] += product[kDim / 2 + 2 * r];
  }

  __device__ __forceinline__ void rescale(const float (&change)[2]) {
#pragma unroll
    for (int i = 0; i < kDim / 2; ++i) out[i] *= change[i >> 1 & 1];
#pragma unroll
    for (int i = 0; i < kProducts; ++i) product[i] *= change[i >> 1 & 1];
    sum[0] *= change[0];
    sum[1] *= change[1];
  }

  // Dot products -> weights relative to the kept maximum, two to a word. Returns in `change` what earlier results must
  // be multiplied by (1 where the maximum was kept).
  __device__ __forceinline__ void soften(uint32_t (&pairs)[32], float k_scale, float (&change)[2]) {
    float scale[2], offset[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      int high[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) high[i] = max(dots[4 * i + 2 * r], dots[4 * i + 2 * r + 1]);
#pragma unroll
      for (int j = 4; j < 16; ++j) high[j & 3] = __vimax3_s32(high[j & 3], dots[4 * j + 2 * r], dots[4 * j + 2 * r + 1]);
      int top = max(__vimax3_s32(high[0], high[1], high[2]), high[3]);
      top = max(top, __shfl_xor_sync(kAllLanes, top, 1));
      top = max(top, __shfl_xor_sync(kAllLanes, top, 2));
      scale[r] = q_scale[r] * k_scale;
      offset[r] = -kMagic * scale[r];
      keep(r, fmaf(__int_as_float(top), scale[r], offset[r]), scale[r], offset[r], change[r]);
    }
    encode(pairs, scale, offset);
  }

  // Keeps the maximum of row r or moves it to what this step reached, and turns what makes a score, dot * scale +
  // offset, into what makes the share of its weight's code.
  __device__ __forceinline__ void keep(int r, float reached, float& scale, float& offset, float& change) {
    const float kept = reached > maximum[r] + kGrowth ? reached : maximum[r];
    change = exp2_fast(maximum[r] - kept);
    maximum[r] = kept;
    scale *= 1.0f / kOctaves;
    offset = (offset + (kHeadroom + kCodeOfOne - kept)) * (1.0f / kOctaves);
  }

  __device__ __forceinline__ void encode(uint32_t (&pairs)[32], const float (&scale)[2], const float (&offset)[2]) {
#pragma unroll
    for (int i = 0; i < 32; ++i) {
      const int r = i & 1;
      pairs[i] = __byte_perm(code_of(dots[2 * i], scale[r], offset[r]), code_of(dots[2 * i + 1], scale[r], offset[r]),
                             0x0040);
    }
  }

  // In the low byte: the code of a weight.
  static __device__ __forceinline__ uint32_t code_of(int dot, float scale, float offset) {
    float share;
    asm("fma.rn.sat.f32 %0, %1, %2, %3;" : "=f"(share) : "f"(__int_as_float(dot)), "f"(scale), "f"(offset));
    return __float_as_uint(__fmaf_rd(share, kCodes, kFloor));
  }

#if TAIL
  // The same for pooled tokens, whose scores have log n and the variance term added; chosen blocks weigh nothing. The
  // scores take the place of the dot products.
  __device__ __forceinline__ void soften_pooled(uint32_t (&pairs)[32], float k_scale, float (&change)[2], int slot) {
    const uint32_t* pooled = reinterpret_cast<const uint32_t*>(shared.tail[slot]);
    const uint32_t* words = reinterpret_cast<const uint32_t*>(shared.tail[slot] + kPooledBytes);
    const int column = 2 * (lane & 3);
    float scale[2], offset[2], top[2] = {kNegativeInfinity, kNegativeInfinity};
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      scale[r] = q_scale[r] * k_scale;
      offset[r] = fmaf(-kMagic, scale[r], kLogBlock);
    }
#pragma unroll
    for (int j = 0; j < 16; ++j) {
      const uint32_t word = words[j >> 2] >> (8 * (j & 3) + column);
      const uint2 pair = *reinterpret_cast<const uint2*>(pooled + 8 * j + column);
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const uint32_t token = e == 0 ? pair.x : pair.y;
        const float log_count = half_low(token), spread = half_high(token);
        const bool chosen = word >> e & 1;
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          const int i = 4 * j + 2 * r + e;
          const float added = fmaf(gain[r], spread, log_count + offset[r]);
          const float score = chosen ? kNegativeInfinity : fmaf(__int_as_float(dots[i]), scale[r], added);
          top[r] = fmaxf(top[r], score);
          dots[i] = __float_as_int(score);
        }
      }
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      top[r] = fmaxf(top[r], __shfl_xor_sync(kAllLanes, top[r], 1));
      top[r] = fmaxf(top[r], __shfl_xor_sync(kAllLanes, top[r], 2));
      scale[r] = 1.0f;
      offset[r] = 0;
      keep(r, top[r], scale[r], offset[r], change[r]);
    }
    encode(pairs, scale, offset);
  }
#endif

  // One step of the software pipeline: scores of this step while the values of the step before are multiplied.
  // `accumulate`: that product continues `product`; `flushes`: it is the last to do so.
  template <bool kFirst, bool kPooled>
  __device__ __forceinline__ void step(bool accumulate, bool flushes) {
    const Ring<kSlots> keys = ring;
    ring.advance();
#pragma unroll
    for (int i = 0; i < 64; ++i) dots[i] = kMagicBits;
    wait(keys);
    if constexpr (!kFirst && kTakesTurns) named_sync(kTurnBarrier + warpgroup, kConsumerThreads);
    pin(dots);
    pin(product);
    wgmma_fence();
    issue_keys(keys.slot);
    wgmma_commit();
    const Ring<kSlots> values = ring;
    if constexpr (!kFirst) {
      ring.advance();
      wait(values);
      issue_values(values.slot, accumulate);
      wgmma_commit();
      if constexpr (kTakesTurns) named_arrive(kTurnBarrier + (warpgroup ^ 1), kConsumerThreads);
    }
    const float k_scale = read_once(shared.k_scale[keys.slot], lane);
    [[maybe_unused]] const uint32_t valid = kPooled ? 0 : read_once(shared.valid[keys.slot], lane);
    wgmma_wait<kFirst ? 0 : 1>();
    pin(dots);
    uint32_t pairs[32];  // merged below: while the product runs its operands must not be written
    float change[2];
#if TAIL
    if constexpr (kPooled) {
      soften_pooled(pairs, k_scale, change, keys.slot);
      release(keys.slot);
    }
#endif
    if constexpr (!kPooled) {
      release(keys.slot);
      if (valid != 0) mask_ragged<128, 0>(p.keys, dots, kMaskedDot, valid, lane);
      soften(pairs, k_scale, change);
    }
    if constexpr (!kFirst) {
      uint32_t some = pairs[0];
#pragma unroll
      for (int i = 8; i < 32; i += 8) some ^= pairs[i];
      order_after(__uint_as_float(some), shared_address(&shared.scratch));
      wgmma_wait<0>();
      pin(product);
      release(values.slot);
      if (__any_sync(kAllLanes, change[0] != 1.0f || change[1] != 1.0f)) rescale(change);
      if (flushes) flush();
    }
#pragma unroll
    for (int i = 0; i < 16; ++i) {
      const int first = 8 * (i >> 2) + 4 * (i >> 1 & 1) + (i & 1);
      weights[i] = __byte_perm(pairs[first], pairs[first + 2], 0x5410);
    }
  }

  __device__ __forceinline__ void attend(const Tile& tile) {
#pragma unroll
    for (int i = 0; i < kDim / 2; ++i) out[i] = 0;
#pragma unroll
    for (int i = 0; i < kProducts; ++i) product[i] = 0;
    maximum[0] = maximum[1] = kNegativeInfinity;
    sum[0] = sum[1] = 0;
    if (tile.steps + tile.tail_tiles == 0) return;
    int run = 0;  // steps in `product`, the one that this step multiplies included
#if TAIL
    int pooled = tile.tail_tiles;
    if (tile.steps == 0) {
      step<true, true>(false, false);
      --pooled;
    }
#endif
    if (tile.steps > 0) step<true, false>(false, false);
#pragma unroll 1
    for (int n = 1; n < tile.steps; ++n) {
      const bool accumulate = run != 0;
      run = run == kFlush - 1 ? 0 : run + 1;
      step<false, false>(accumulate, run == 0);
    }
#if TAIL
#pragma unroll 1
    for (; pooled > 0; --pooled) {
      const bool accumulate = run != 0;
      run = run == kFlush - 1 ? 0 : run + 1;
      step<false, true>(accumulate, run == 0);
    }
#endif
    wait(ring);
    pin(product);
    wgmma_fence();
    issue_values(ring.slot, run != 0);
    wgmma_commit();
    wgmma_wait<0>();
    pin(product);
    release(ring.slot);
    ring.advance();
    flush();
  }

  // Undoes the scale of v, divides by the sum, adds the mean of v.
  __device__ __forceinline__ void finish(const Operands& maps, int head) {
    const float* mean = maps.v_mean + head * kDim + 2 * (lane & 3);
    const float v_scale = fmaxf(maps.v_largest[head], kSmallest) / kLargestE4m3;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float total = sum[r];
      total += __shfl_xor_sync(kAllLanes, total, 1);
      total += __shfl_xor_sync(kAllLanes, total, 2);
      const float inverse = v_scale / total;
#pragma unroll
      for (int j = 0; j < kDim / 8; ++j) {
        const float2 offset = *reinterpret_cast<const float2*>(mean + 8 * j);
        out[4 * j + 2 * r] = fmaf(out[4 * j + 2 * r], inverse, offset.x);
        out[4 * j + 2 * r + 1] = fmaf(out[4 * j + 2 * r + 1], inverse, offset.y);
      }
    }
  }
};
