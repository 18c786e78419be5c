// The computing warpgroups of attention16.cu.
#pragma once

#include "operands16.cuh"

// Running maximum (log2 units) and this thread's part of the running sum, for its two rows.
struct Softmax {
  float maximum[2], sum[2];

  // Scores -> weights relative to the kept maximum. Returns in `factor` what earlier results must be multiplied by
  // (1 where the maximum was kept).
  template <int kColumns>
  __device__ __forceinline__ void step(float (&s)[64], float scale_log2, float (&factor)[2]) {
    constexpr int kGroups = kColumns / 8;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float high[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) high[i] = fmaxf(s[4 * i + 2 * r], s[4 * i + 2 * r + 1]);
#pragma unroll
      for (int j = 4; j < kGroups; ++j) high[j & 3] = fmaxf(high[j & 3], fmaxf(s[4 * j + 2 * r], s[4 * j + 2 * r + 1]));
      float top = fmaxf(fmaxf(high[0], high[1]), fmaxf(high[2], high[3]));
      top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 1));
      top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 2)) * scale_log2;
      const float kept = top > maximum[r] + kRescaleThreshold ? top : maximum[r];
      factor[r] = exp2_fast(maximum[r] - kept);
      maximum[r] = kept;
    }
#pragma unroll
    for (int j = 0; j < kGroups; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) s[4 * j + i] = exp2_fast(fmaf(s[4 * j + i], scale_log2, -maximum[i >> 1]));
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float part[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) part[i] = s[4 * i + 2 * r] + s[4 * i + 2 * r + 1];
#pragma unroll
      for (int j = 4; j < kGroups; ++j) part[j & 3] += s[4 * j + 2 * r] + s[4 * j + 2 * r + 1];
      sum[r] = fmaf(sum[r], factor[r], (part[0] + part[1]) + (part[2] + part[3]));
    }
  }
};

struct Consumer {
  const Problem& p;
  Shared& shared;
  const int warpgroup, lane;
  Ring<kSlots> ring;
  uint32_t query[kDim / 4];  // this warp's 16 rows as left operands; from registers they cost no shared-memory reads
  float scores[64];
  float out[kDim / 2];
  uint32_t weights[32];
  Softmax softmax;

  // `rows`: shared-memory address of this warp's 16 rows.
  __device__ __forceinline__ void load_query(uint32_t rows) {
    const int row = lane & 15;
#pragma unroll
    for (int k = 0; k < kDim / 16; ++k) {
      const int piece = 2 * (k & 3) + (lane >> 4);
      load_matrix_x4(query + 4 * k, rows + (k >> 2) * kChunkBytes + row * 128 + ((piece ^ (row & 7)) << 4));
    }
  }

  __device__ __forceinline__ void wait(const Ring<kSlots>& at) {
    barrier_wait(shared_address(&shared.slot_full[at.slot]), at.phase);
  }

  __device__ __forceinline__ void release(int slot) {
    if (lane == 0) barrier_arrive(shared_address(&shared.slot_empty[slot]));
  }

  // Scores of the slot's keys: all of them, or (kPrivate) of this warpgroup's block alone.
  template <bool kPrivate>
  __device__ __forceinline__ void issue_keys(int slot) {
    const uint64_t keys = matrix_descriptor<128>(shared_address(shared.slot[slot]));
#pragma unroll
    for (int k = 0; k < kDim / 16; ++k) {
      const uint64_t piece = keys + (k & 3) * 2 + (k >> 2) * (kChunkBytes >> 4);
#if KEY_BLOCK == 64
      if constexpr (kPrivate) {
        float(&half)[32] = reinterpret_cast<float(&)[32]>(scores);
        multiply_half_keys(half, query + 4 * k, piece + warpgroup * (kBlockBytes >> 4), k > 0);
        continue;
      }
#endif
      multiply_keys(scores, query + 4 * k, piece, k > 0);
    }
  }

  template <bool kPrivate>
  __device__ __forceinline__ void issue_values(int slot) {
    uint64_t values = matrix_descriptor<128>(shared_address(shared.slot[slot]), kChunkBytes);
    if constexpr (kPrivate) values += warpgroup * (kBlockBytes >> 4);
#pragma unroll
    for (int k = 0; k < (kPrivate ? 64 : kBlock) / 16; ++k)
      multiply_values(out, weights + 4 * k, values + k * (16 * 128 >> 4), true);
  }

#if TAIL
  // scale/2 * q^2, the left operand of the variance term, over the queries: the tail reads those from shared memory.
  __device__ __forceinline__ void square_query() {
#pragma unroll
    for (int i = 0; i < kDim / 4; ++i) {
      const float low = unpack_low(query[i]), high = unpack_high(query[i]);
      query[i] = pack(0.5f * p.scale * low * low, 0.5f * p.scale * high * high);
    }
  }

  // Scores of pooled keys and their variances; `rows`: descriptor of this warpgroup's queries.
  __device__ __forceinline__ void issue_pooled(int mean_slot, int variance_slot, uint64_t rows) {
    const uint64_t means = matrix_descriptor<128>(shared_address(shared.slot[mean_slot]));
    const uint64_t variances = matrix_descriptor<128>(shared_address(shared.slot[variance_slot]));
#pragma unroll
    for (int k = 0; k < kDim / 16; ++k) {
      const uint32_t at = (k & 3) * 2 + (k >> 2) * (kChunkBytes >> 4);
      multiply_pooled(scores, rows + at, means + at, true);
    }
#pragma unroll
    for (int k = 0; k < kDim / 16; ++k) {
      const uint32_t at = (k & 3) * 2 + (k >> 2) * (kChunkBytes >> 4);
      multiply_keys(scores, query + 4 * k, variances + at, true);
    }
  }

  static __device__ __forceinline__ float unpack_low(uint32_t pair) {
    float x;
    asm("{\n.reg .b16 l, h;\nmov.b32 {l, h}, %1;\ncvt.f32." ELEMENT " %0, l;\n}" : "=f"(x) : "r"(pair));
    return x;
  }

  static __device__ __forceinline__ float unpack_high(uint32_t pair) {
    float x;
    asm("{\n.reg .b16 l, h;\nmov.b32 {l, h}, %1;\ncvt.f32." ELEMENT " %0, h;\n}" : "=f"(x) : "r"(pair));
    return x;
  }

  // The scores start at log n, in units of raw scores; those of chosen blocks and padding at -infinity.
  __device__ __forceinline__ void start_at_counts(int slot) {
    const float* logs = reinterpret_cast<const float*>(shared.tail[slot]);
    const uint32_t* words = reinterpret_cast<const uint32_t*>(
        shared.tail[slot] + kLogBytes + (kQueryParts == 2 ? warpgroup * kChosenBytes : 0));
    const int column = 2 * (lane & 3);
    const float per_scale = 1.0f / p.scale;
#pragma unroll
    for (int j = 0; j < 16; ++j) {
      const uint32_t word = words[j >> 2] >> (8 * (j & 3) + column);
      const float2 log_count = *reinterpret_cast<const float2*>(logs + 8 * j + column);
      scores[4 * j] = scores[4 * j + 2] = word & 1 ? kNegativeInfinity : log_count.x * per_scale;
      scores[4 * j + 1] = scores[4 * j + 3] = word & 2 ? kNegativeInfinity : log_count.y * per_scale;
    }
  }
#endif

  // The ring positions of a step's keys, their variances (of the tail) and the values of the step before.
  struct Slots {
    Ring<kSlots> keys, variances, values;
  };

  __device__ __forceinline__ Slots next_slots(bool tail, bool first) {
    Slots at{ring, {}, {}};
    ring.advance();
    at.variances = ring;
    if (tail) ring.advance();
    at.values = ring;
    if (!first) ring.advance();
    return at;
  }

  // One step of the software pipeline: scores of this step while the values of the step before, of the same kind, are
  // multiplied. kFirst: there are none.
  template <bool kTail, bool kPrivate, bool kFirst>
  __device__ __forceinline__ void step(const Slots at, [[maybe_unused]] uint64_t rows = 0) {
    wait(at.keys);
#if TAIL
    if constexpr (kTail) {
      wait(at.variances);
      start_at_counts(at.keys.slot);
    }
#endif
    pin(scores);
    pin(out);
    wgmma_fence();
#if TAIL
    if constexpr (kTail) issue_pooled(at.keys.slot, at.variances.slot, rows);
#endif
    if constexpr (!kTail) issue_keys<kPrivate>(at.keys.slot);
    wgmma_commit();
    if constexpr (!kFirst) {
      wait(at.values);
      wgmma_fence();
      issue_values<kPrivate>(at.values.slot);
      wgmma_commit();
    }
    wgmma_wait<kFirst ? 0 : 1>();
    pin(scores);
#if TAIL
    if constexpr (kTail) {
      release(at.variances.slot);
      release(at.keys.slot);
    }
#endif
    if constexpr (!kTail) mask_and_release<kPrivate>(at.keys.slot);
    float factor[2];
    softmax.template step<kPrivate ? 64 : kBlock>(scores, p.scale_log2, factor);
    if constexpr (!kFirst) {
      order_after(softmax.sum[0] + softmax.sum[1], shared_address(&shared.scratch));
      wgmma_wait<0>();
      pin(out);
      release(at.values.slot);
    }
    if (__any_sync(kAllLanes, factor[0] != 1.0f || factor[1] != 1.0f)) {
#pragma unroll
      for (int i = 0; i < kDim / 2; ++i) out[i] *= factor[i >> 1 & 1];
    }
#pragma unroll
    for (int i = 0; i < (kPrivate ? 16 : 32); ++i) weights[i] = pack(scores[2 * i], scores[2 * i + 1]);
  }

  template <bool kPrivate>
  __device__ __forceinline__ void mask_and_release(int slot) {
#if KEY_BLOCK == 128
    const uint32_t valid = shared.valid[slot][0];
    release(slot);
    if (valid != 0) mask_ragged<128, 0>(p.keys, scores, kNegativeInfinity, valid, lane);
#else
    if constexpr (kPrivate) {
      const uint32_t valid = shared.valid[slot][warpgroup];
      release(slot);
      if (valid != 0) mask_ragged<64, 0>(p.keys, scores, kNegativeInfinity, valid, lane);
    } else {
      const uint32_t upper = shared.valid[slot][0], lower = shared.valid[slot][1];
      release(slot);
      if (upper != 0) mask_ragged<64, 0>(p.keys, scores, kNegativeInfinity, upper, lane);
      if (lower != 0) mask_ragged<64, 32>(p.keys, scores, kNegativeInfinity, lower, lane);
    }
#endif
  }

  template <bool kPrivate>
  __device__ __forceinline__ void finish_values(const Ring<kSlots>& at) {
    wait(at);
    pin(out);
    wgmma_fence();
    issue_values<kPrivate>(at.slot);
    wgmma_commit();
    wgmma_wait<0>();
    pin(out);
    release(at.slot);
  }

  __device__ __forceinline__ void pass_over(const Ring<kSlots>& at) {
    wait(at);
    release(at.slot);
  }

  // Multiplies values of a step that was of kind `kind` for this warpgroup.
  __device__ __forceinline__ void finish([[maybe_unused]] Kind kind, const Ring<kSlots>& at) {
#if QUERY_BLOCK == 128
    finish_values<false>(at);
#else
    if (kind == Kind::kShared) {
      finish_values<false>(at);
    } else if (kind == Kind::kPrivate) {
      finish_values<true>(at);
    } else {
      pass_over(at);
    }
#endif
  }

#if QUERY_BLOCK == 64
  // The key tiles. Steps of one kind in a row overlap; at a change the values of the step before come to their end
  // first. Returns the kind of the last step.
  __device__ __forceinline__ Kind attend_blocks(int steps) {
    Kind before = Kind::kNone;
#pragma unroll 1
    for (int n = 0; n < steps; ++n) {
      const Slots at = next_slots(false, n == 0);
      wait(at.keys);
      const int told = __shfl_sync(kAllLanes, shared.kind[at.keys.slot], 0);
      const Kind kind = told & (warpgroup == 0 ? 4 : 2) ? Kind::kNone : Kind(told & 1);
      if (kind == before && kind == Kind::kShared) {
        step<false, false, false>(at);
        continue;
      }
      if constexpr (kDim == 128) {  // with 64 columns ptxas would serialise all products for it
        if (kind == before && kind == Kind::kPrivate) {
          step<false, true, false>(at);
          continue;
        }
      }
      if (n > 0) finish(before, at.values);
      if (kind == Kind::kShared) {
        step<false, false, true>(at);
      } else if (kind == Kind::kPrivate) {
        step<false, true, true>(at);
      } else {
        release(at.keys.slot);
      }
      before = kind;
    }
    return before;
  }
#endif

  // `rows`: shared-memory address of this warpgroup's queries.
  __device__ __forceinline__ void attend(const Tile& tile, [[maybe_unused]] uint32_t rows) {
#pragma unroll
    for (int i = 0; i < kDim / 2; ++i) out[i] = 0;
    softmax = {{kNegativeInfinity, kNegativeInfinity}, {0, 0}};
    const int steps = tile.steps;
    if (steps + tile.tail_tiles == 0) return;
    [[maybe_unused]] Kind last = Kind::kNone;
#if QUERY_BLOCK == 64
    last = attend_blocks(steps);
#else
    if (steps > 0) {
      step<false, false, true>(next_slots(false, true));
#pragma unroll 1
      for (int n = 1; n < steps; ++n) step<false, false, false>(next_slots(false, false));
    }
#endif
#if TAIL
    if (tile.tail_tiles > 0) {
      square_query();
      const uint64_t queries = matrix_descriptor<128>(rows);
      const Slots at = next_slots(true, steps == 0);
      if (steps > 0) finish(last, at.values);
      step<true, false, true>(at, queries);
#pragma unroll 1
      for (int n = 1; n < tile.tail_tiles; ++n) {
        const Slots next = next_slots(true, false);
#if QUERY_BLOCK == 64
        finish_values<false>(next.values);  // ptxas runs out of registers for the overlap and serialises all products
        step<true, false, true>(next, queries);
#else
        step<true, false, false>(next, queries);
#endif
      }
      last = Kind::kShared;
    }
#endif
    finish(last, ring);
    ring.advance();
    normalise();
  }

  // A row that saw nothing gives zeros.
  __device__ __forceinline__ void normalise() {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float total = softmax.sum[r];
      total += __shfl_xor_sync(kAllLanes, total, 1);
      total += __shfl_xor_sync(kAllLanes, total, 2);
      const float inverse = total > 0.0f ? 1.0f / total : 0.0f;
#pragma unroll
      for (int i = 0; i < kDim / 2; ++i) {
        if ((i >> 1 & 1) == r) out[i] *= inverse;
      }
    }
  }
};
