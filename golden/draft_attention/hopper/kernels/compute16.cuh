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

struct Consumer : RingReader<kSlots, Shared> {
  const Problem& p;
  const int warpgroup;
  uint32_t query[kDim / 4];  // this warp's 16 rows as left operands; from registers they cost no shared-memory reads
  float scores[64];
  float out[kDim / 2];
  uint32_t weights[32];
  Softmax softmax;

  // Scores of the slot's keys: all of them, or (kPrivate) of this warpgroup's block alone; on top of what `scores` hold
  // where they are to accumulate.
  template <bool kPrivate>
  __device__ __forceinline__ void issue_keys(int slot, bool accumulate = false) {
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
      multiply_keys(scores, query + 4 * k, piece, accumulate || k > 0);
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
  // The scores start at log n and the variance term, in units of raw scores; those of chosen blocks and padding at
  // -infinity.
  __device__ __forceinline__ void start_at_counts(int slot, const float (&gain)[2]) {
    const uint32_t* pooled = reinterpret_cast<const uint32_t*>(shared.tail[slot]);
    const uint32_t* words = reinterpret_cast<const uint32_t*>(
        shared.tail[slot] + kPooledBytes + (kQueryParts == 2 ? warpgroup * kChosenBytes : 0));
    const int column = 2 * (lane & 3);
    const float per_scale = 1.0f / p.scale_log2;
#pragma unroll
    for (int j = 0; j < 16; ++j) {
      const uint32_t word = words[j >> 2] >> (8 * (j & 3) + column);
      const uint2 pair = *reinterpret_cast<const uint2*>(pooled + 8 * j + column);
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const uint32_t token = e == 0 ? pair.x : pair.y;
        const float log_count = (half_low(token) + kLogBlock) * per_scale, spread = half_high(token);
#pragma unroll
        for (int r = 0; r < 2; ++r)
          scores[4 * j + 2 * r + e] = word >> e & 1 ? kNegativeInfinity : fmaf(gain[r], spread, log_count);
      }
    }
  }
#endif

  // The ring positions of a step's keys and the values of the step before.
  struct Slots {
    Ring<kSlots> keys, values;
  };

  __device__ __forceinline__ Slots next_slots(bool first) {
    Slots at{ring, {}};
    ring.advance();
    at.values = ring;
    if (!first) ring.advance();
    return at;
  }

  // One step of the software pipeline: scores of this step while the values of the step before, of the same kind, are
  // multiplied. kFirst: there are none.
  template <bool kTail, bool kPrivate, bool kFirst>
  __device__ __forceinline__ void step(const Slots at, [[maybe_unused]] const float (&gain)[2]) {
    wait(at.keys);
#if TAIL
    if constexpr (kTail) start_at_counts(at.keys.slot, gain);
#endif
    pin(scores);
    pin(out);
    wgmma_fence();
    issue_keys<kPrivate>(at.keys.slot, kTail);
    wgmma_commit();
    if constexpr (!kFirst) {
      wait(at.values);
      wgmma_fence();
      issue_values<kPrivate>(at.values.slot);
      wgmma_commit();
    }
    wgmma_wait<kFirst ? 0 : 1>();
    pin(scores);
    const Valid valid = read_valid(at.keys.slot);
    release(at.keys.slot);
    if constexpr (!kTail) mask<kPrivate>(valid);
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

  // Of the blocks of a key slot: see Place.
  struct Valid {
    uint32_t of[kKeyParts];
  };

  __device__ __forceinline__ Valid read_valid(int slot) {
    Valid valid;
#pragma unroll
    for (int part = 0; part < kKeyParts; ++part) valid.of[part] = read_once(shared.valid[slot][part], lane);
    return valid;
  }

  template <bool kPrivate>
  __device__ __forceinline__ void mask(const Valid& valid) {
#if KEY_BLOCK == 128
    if (valid.of[0] != 0) mask_ragged<128, 0>(p.keys, scores, kNegativeInfinity, valid.of[0], lane);
#else
    if constexpr (kPrivate) {
      const uint32_t mine = warpgroup == 0 ? valid.of[0] : valid.of[1];
      if (mine != 0) mask_ragged<64, 0>(p.keys, scores, kNegativeInfinity, mine, lane);
    } else {
      if (valid.of[0] != 0) mask_ragged<64, 0>(p.keys, scores, kNegativeInfinity, valid.of[0], lane);
      if (valid.of[1] != 0) mask_ragged<64, 32>(p.keys, scores, kNegativeInfinity, valid.of[1], lane);
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
#if SHARED_ROWS
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

#if !SHARED_ROWS
  // The key tiles. Shared steps in a row overlap; otherwise the values of the step before come to their end first (for
  // an overlap of private steps ptxas has too few registers, and serialises all products). Returns the last step's kind.
  __device__ __forceinline__ Kind attend_blocks(int steps) {
    const float none[2] = {0, 0};
    Kind before = Kind::kNone;
#pragma unroll 1
    for (int n = 0; n < steps; ++n) {
      const Slots at = next_slots(n == 0);
      wait(at.keys);
      const int told = read_once(shared.kind[at.keys.slot], lane);
      const Kind kind = told & (warpgroup == 0 ? 4 : 2) ? Kind::kNone : Kind(told & 1);
      if (kind == before && kind == Kind::kShared) {
        step<false, false, false>(at, none);
        continue;
      }
      if (n > 0) finish(before, at.values);
      if (kind == Kind::kShared) {
        step<false, false, true>(at, none);
      } else if (kind == Kind::kPrivate) {
        step<false, true, true>(at, none);
      } else {
        release(at.keys.slot);
      }
      before = kind;
    }
    return before;
  }
#endif

  __device__ __forceinline__ void attend(const Tile& tile) {
    [[maybe_unused]] float gain[2] = {0, 0};  // of the tail
#pragma unroll
    for (int i = 0; i < kDim / 2; ++i) out[i] = 0;
    softmax = {{kNegativeInfinity, kNegativeInfinity}, {0, 0}};
    const int steps = tile.steps;
    if (steps + tile.tail_tiles == 0) return;
    [[maybe_unused]] Kind last = Kind::kNone;
#if !SHARED_ROWS
    last = attend_blocks(steps);
#else
    if (steps > 0) {
      step<false, false, true>(next_slots(true), gain);
#pragma unroll 1
      for (int n = 1; n < steps; ++n) step<false, false, false>(next_slots(false), gain);
    }
#endif
#if TAIL
    if (tile.tail_tiles > 0) {
      weigh_rows<kDim>(query, p.profile + tile.head / p.group * kDim, 0.5f * p.scale, lane, gain);  // of a raw score
      const Slots at = next_slots(steps == 0);
      if (steps > 0) finish(last, at.values);
      step<true, false, true>(at, gain);
#pragma unroll 1
      for (int n = 1; n < tile.tail_tiles; ++n) {
        const Slots next = next_slots(false);
#if !SHARED_ROWS
        finish_values<false>(next.values);  // ptxas runs out of registers for the overlap and serialises all products
        step<true, false, true>(next, gain);
#else
        step<true, false, false>(next, gain);
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
