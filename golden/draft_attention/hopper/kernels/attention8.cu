// Block-sparse attention in 8 bits for Hopper: int8 query-key products, e4m3 weight-value products, 16-bit output.
// Keys and values come from quantise.cu in block order; queries are read in place and turned to int8 here, one scale a
// row. Build with -DHEAD_DIM=64|128, -DELEMENT="bf16"|"f16" (a string, the type of queries and output) and -DTAIL=0|1.
//
// The schedule is attention16.cu's. Int8 keeps the scores about three times closer than e4m3 would (a step of 1/127
// of the range against three bits of mantissa) at the same tensor-core rate. Hopper accumulates 8-bit floats with few
// bits, so the products of at most kFlush blocks are summed there, and their sums in fp32.
//
// Over 400 lines: the kernel's parts share registers and shared-memory layout, and reading them in two files is harder.
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
constexpr uint32_t kTurnBarrier = 3;  // + warpgroup: it may issue its matrix products; the two take turns
// A row's weights are 2^kHeadroom at its kept maximum, and the maximum is kept until it grows by more than a factor
// 2^kGrowth: weights stay below 256, e4m3 ends at 448.
constexpr uint32_t kPooledBytes = kBlock * 4, kChosenBytes = kBlock / 8, kTailBytes = kPooledBytes + kChosenBytes;
[[maybe_unused]] constexpr float kLogBlock = 4.852030263919617f;  // natural logarithm of a block's tokens
[[maybe_unused]] constexpr float kLog2e = 1.4426950408889634f;
constexpr float kHeadroom = 4.0f, kGrowth = 4.0f;

struct Operands {
  TensorMap q_video, q_text;  // 16 bits, in place: boxes of one block, 64 columns
  TensorMap k;                // [head * block * token][dim], boxes of a block; pooled tokens follow the head's blocks
  TensorMap v;                // [head * block * dim][token]
  const float* k_scale;    // [key heads, blocks + tail tiles]
  const float* v_largest;  // [key heads], the largest magnitude of v - v_mean, kept as 448
  const float* v_mean;     // [key heads, dim], what was taken off v
};
static_assert(sizeof(Operands) == 576, "golden/draft_attention/hopper/eight_bit.py mirrors this layout");

struct __align__(1024) Shared {
  uint8_t query[kQueryBuffers][kQueryBytes];
  uint8_t query8[kTileBytes];
  uint8_t slot[kSlots][kTileBytes + kSumBytes];
  uint8_t tail[TAIL ? kSlots : 1][TAIL ? kTailBytes : 16];  // of a pooled key slot: Problem::pooled, bits of the row
  uint64_t query_full[kQueryBuffers], query_empty[kQueryBuffers];
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

__device__ __forceinline__ uint32_t pack(float low, float high) {
  uint32_t pair;
  asm("cvt.rn." ELEMENT "x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

__device__ __forceinline__ uint32_t pack_e4m3(float a, float b, float c, float d) {
  uint32_t word;
  asm("{\n.reg .b16 l, h;\n"
      "cvt.rn.satfinite.e4m3x2.f32 l, %2, %1;\n"
      "cvt.rn.satfinite.e4m3x2.f32 h, %4, %3;\n"
      "mov.b32 %0, {l, h};\n}"
      : "=r"(word)
      : "f"(a), "f"(b), "f"(c), "f"(d));
  return word;
}

// ---- the loading warp ------------------------------------------------------------------------------------------

struct Entry {
  int block;
  uint32_t valid;
  float k_scale;
};

__device__ __forceinline__ Entry entry_at(const Operands& maps, const Problem& p, int head, int block) {
  const long long at = (long long)head * (p.keys.count() + p.tail_tiles) + block;
  return {block, block < p.keys.count() ? place_of<kKeyBlock>(p.keys, block).valid : 0, maps.k_scale[at]};
}

// The ring carries, for steps 0..n-1 of a tile: K0, K1 V0, K2 V1, ..., V(n-1). A step's two loads are issued by two
// lanes at once.
__device__ __forceinline__ void load(const Operands& maps, const Problem& p, Shared& shared) {
  const int lane = threadIdx.x & 31;
  const int tiles = tile_count(p);
  const int n_blocks = p.keys.count() + p.tail_tiles;  // of a head in the operands
  Ring<kSlots> ring;
  int buffer = 0;
  uint32_t phase = 0;
  bool first = true;
  for (;;) {
    int index = lane == 0 ? next_index(p, first) : 0;
    first = false;
    index = __shfl_sync(kAllLanes, index, 0);
    const uint32_t query_full = shared_address(&shared.query_full[buffer]);
    barrier_wait(shared_address(&shared.query_empty[buffer]), phase ^ 1);
    if (index >= tiles) {
      if (lane == 0) {
        shared.tile[buffer].head = -1;
        barrier_arrive(query_full);
      }
      return;
    }
    Tile tile = tile_at(p, index);
    const long long row_of_bits = (long long)tile.head * p.queries.count() + tile.block;
    tile.steps = p.counts[row_of_bits];
    tile.tail_tiles = TAIL && tile.steps < p.keys.count() ? p.tail_tiles : 0;
    if (lane == 0) {
      shared.tile[buffer] = tile;
      barrier_arrive_expect(query_full, kQueryBytes);
      const Place place = place_of<kQueryBlock>(p.queries, tile.block);
#pragma unroll
      for (int chunk = 0; chunk < kDim / 64; ++chunk) {
        const uint32_t to = shared_address(shared.query[buffer]) + chunk * kChunkBytes;
        if (place.frame < 0) {
          tma_load_3d(to, &maps.q_text, query_full, kEvictFirst, chunk * 64, place.x, tile.head);
        } else {
          tma_load_5d(to, &maps.q_video, query_full, kEvictFirst, chunk * 64, place.x, place.y, place.frame, tile.head);
        }
      }
    }
    const int head = tile.head / p.group;
    int previous = 0;
    bool follows = false;  // a block whose values are still to be loaded
    auto bring = [&](const Entry& entry, bool keys) {
      Ring<kSlots> to = ring;
      if (lane == 1 && keys) to.advance();
      const bool mine = lane == 0 && keys;  // otherwise the values of the block before
      barrier_wait(shared_address(&shared.slot_empty[to.slot]), to.phase ^ 1);
      if (mine) {
        shared.valid[to.slot] = entry.valid;
        shared.k_scale[to.slot] = entry.k_scale;
      }
      const uint32_t full = shared_address(&shared.slot_full[to.slot]);
      const int pooled = TAIL && mine ? entry.block - p.keys.count() : -1;  // the tile of pooled tokens
      barrier_arrive_expect(full, kTileBytes + (pooled < 0 ? 0 : kTailBytes));
#if TAIL
      if (pooled >= 0) {
        const uint32_t extra = shared_address(shared.tail[to.slot]);
        bulk_load(extra, p.pooled + (head * p.tail_tiles + pooled) * kBlock, kPooledBytes, full);
        bulk_load(extra + kPooledBytes, p.bits + row_of_bits * p.words + pooled * 4, kChosenBytes, full);
      }
#endif
      const int row = mine ? (head * n_blocks + entry.block) * kBlock : (head * n_blocks + previous) * kDim;
      tma_load_3d(shared_address(shared.slot[to.slot]), mine ? &maps.k : &maps.v, full, kEvictLast, 0, row, 0);
    };
    for (Walk walk(p, row_of_bits, lane); walk.more();) {
      const Chunk chunk = walk.next();
      for (int base = 0; base < chunk.count; base += 32) {
        const Entry mine = entry_at(maps, p, head, chunk.block(min(base + lane, chunk.count - 1)));
        const int entries = min(32, chunk.count - base);
        for (int i = 0; i < entries; ++i) {
          const Entry entry{__shfl_sync(kAllLanes, mine.block, i), __shfl_sync(kAllLanes, mine.valid, i),
                            __shfl_sync(kAllLanes, mine.k_scale, i)};
          if (lane == 0) publish_hand(p, tile, entry.block);
          if (lane <= int(follows)) bring(entry, true);
          ring.advance();
          if (follows) ring.advance();
          previous = entry.block;
          follows = true;
        }
      }
    }
    for (int t = 0; t < tile.tail_tiles; ++t) {
      const Entry entry = entry_at(maps, p, head, p.keys.count() + t);
      if (lane <= int(follows)) bring(entry, true);
      ring.advance();
      if (follows) ring.advance();
      previous = entry.block;
      follows = true;
    }
    if (follows) {
      if (lane == 0) bring(Entry{}, false);
      ring.advance();
    }
    buffer ^= 1;
    phase ^= buffer == 0;
  }
}

// ---- the computing warpgroups ----------------------------------------------------------------------------------

// An int32 of magnitude below 2^22 plus this bit pattern, read as a float, is kMagic + the integer, exactly. The tensor
// cores add it: dot products start there instead of at zero, and need no conversion.
constexpr int kMagicBits = 0x4B400000;
constexpr float kMagic = 12582912.0f;
constexpr int kMaskedDot = int(0xFF800000u);  // as a float -infinity; as an integer below all others

__device__ __forceinline__ float low(uint32_t pair) {
  float x;
  asm("{\n.reg .b16 l, h;\nmov.b32 {l, h}, %1;\ncvt.f32." ELEMENT " %0, l;\n}" : "=f"(x) : "r"(pair));
  return x;
}

__device__ __forceinline__ float high(uint32_t pair) {
  float x;
  asm("{\n.reg .b16 l, h;\nmov.b32 {l, h}, %1;\ncvt.f32." ELEMENT " %0, h;\n}" : "=f"(x) : "r"(pair));
  return x;
}

struct Consumer {
  const Problem& p;
  Shared& shared;
  const int warpgroup, lane;
  Ring<kSlots> ring;
  uint64_t query;
  float q_scale[2];  // of this thread's two rows; holds scale * log2(e)
  int dots[64];              // kMagicBits and more
  float product[kProducts];  // of the steps since the last flush
  float out[kDim / 2];
  uint32_t weights[16];
  float maximum[2];  // of this thread's two rows, in log2 units
  float sum[2];      // of their weights, in every fourth lane
  float gain[2];     // tail: what a unit of spread adds to a score, in log2 units

  __device__ __forceinline__ void wait(const Ring<kSlots>& at) {
    barrier_wait(shared_address(&shared.slot_full[at.slot]), at.phase);
  }

  __device__ __forceinline__ void release(int slot) {
    __syncwarp();  // what the other lanes read of the slot is read
    if (lane == 0) barrier_arrive(shared_address(&shared.slot_empty[slot]));
  }

  // This warp's 16 rows from 16 bits at `rows` to int8 at `rows8` (rows of kDim bytes, swizzled over that length).
  // Fragments are read as for a 16-bit product; a row's largest magnitude is then spread over four lanes. Of each 16
  // columns a lane holds 2c, 2c + 1, 2c + 8, 2c + 9 (c = lane % 4) and stores them as one word: the same order within
  // 16 that quantise.cu gives the keys.
  __device__ __forceinline__ void quantise_query(uint32_t rows, uint32_t rows8, [[maybe_unused]] const float* profile) {
    uint32_t pairs[kDim / 4];
    const int row = lane & 15;
#pragma unroll
    for (int k = 0; k < kDim / 16; ++k) {
      const int piece = 2 * (k & 3) + (lane >> 4);
      load_matrix_x4(pairs + 4 * k, rows + (k >> 2) * kChunkBytes + row * 128 + ((piece ^ (row & 7)) << 4));
    }
#if TAIL
    gain[0] = gain[1] = 0;
#pragma unroll
    for (int i = 0; i < kDim / 4; ++i) {
      const float2 weight =
          *reinterpret_cast<const float2*>(profile + 16 * (i >> 2) + 8 * (i >> 1 & 1) + 2 * (lane & 3));
      const float left = low(pairs[i]), right = high(pairs[i]);
      gain[i & 1] += left * left * weight.x + right * right * weight.y;
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      gain[r] += __shfl_xor_sync(kAllLanes, gain[r], 1);
      gain[r] += __shfl_xor_sync(kAllLanes, gain[r], 2);
      gain[r] *= 0.5f * p.scale * p.scale_log2;
    }
#endif
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float top = kSmallest;
#pragma unroll
      for (int i = r; i < kDim / 4; i += 2) top = fmaxf(top, fmaxf(fabsf(low(pairs[i])), fabsf(high(pairs[i]))));
      top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 1));
      top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 2));
      q_scale[r] = top / 127.0f * p.scale_log2;
      const float inverse = 127.0f / top;
      const int at = lane / 4 + 8 * r;
#pragma unroll
      for (int k = 0; k < kDim / 16; ++k) {
        const uint32_t left = pairs[4 * k + r], right = pairs[4 * k + 2 + r];
        const uint32_t word = to_int8(low(left) * inverse) | to_int8(high(left) * inverse) << 8 |
                              to_int8(low(right) * inverse) << 16 | to_int8(high(right) * inverse) << 24;
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

  // Dot products -> weights relative to the kept maximum. Returns in `change` what earlier results must be multiplied
  // by (1 where the maximum was kept).
  __device__ __forceinline__ void soften(float (&weight)[64], float k_scale, float (&change)[2]) {
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
      const float reached = (__int_as_float(top) - kMagic) * scale[r];
      const float kept = reached > maximum[r] + kGrowth ? reached : maximum[r];
      change[r] = exp2_fast(maximum[r] - kept);
      maximum[r] = kept;
      offset[r] = fmaf(-kMagic, scale[r], kHeadroom - kept);
    }
#pragma unroll
    for (int i = 0; i < 64; ++i) {
      const float x = fmaf(__int_as_float(dots[i]), scale[i >> 1 & 1], offset[i >> 1 & 1]);
      weight[i] = exp2_fast(x);
    }
  }

#if TAIL
  // The same for pooled tokens, whose scores have log n and the variance term added; chosen blocks weigh nothing.
  __device__ __forceinline__ void soften_pooled(float (&weight)[64], float k_scale, float (&change)[2], int slot) {
    const uint32_t* pooled = reinterpret_cast<const uint32_t*>(shared.tail[slot]);
    const uint32_t* words = reinterpret_cast<const uint32_t*>(shared.tail[slot] + kPooledBytes);
    const int column = 2 * (lane & 3);
    float scale[2], offset[2], top[2] = {kNegativeInfinity, kNegativeInfinity};
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      scale[r] = q_scale[r] * k_scale;
      offset[r] = fmaf(-kMagic, scale[r], kLogBlock * kLog2e);
    }
#pragma unroll
    for (int j = 0; j < 16; ++j) {
      const uint32_t word = words[j >> 2] >> (8 * (j & 3) + column);
      const uint2 pair = *reinterpret_cast<const uint2*>(pooled + 8 * j + column);
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const uint32_t token = e == 0 ? pair.x : pair.y;
        const float log_count = half_low(token) * kLog2e, spread = half_high(token);
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          const int i = 4 * j + 2 * r + e;
          const float score = fmaf(__int_as_float(dots[i]), scale[r], offset[r]);
          weight[i] = word >> e & 1 ? kNegativeInfinity : score + fmaf(gain[r], spread, log_count);
          top[r] = fmaxf(top[r], weight[i]);
        }
      }
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      top[r] = fmaxf(top[r], __shfl_xor_sync(kAllLanes, top[r], 1));
      top[r] = fmaxf(top[r], __shfl_xor_sync(kAllLanes, top[r], 2));
      const float kept = top[r] > maximum[r] + kGrowth ? top[r] : maximum[r];
      change[r] = exp2_fast(maximum[r] - kept);
      maximum[r] = kept;
      offset[r] = kHeadroom - kept;
    }
#pragma unroll
    for (int i = 0; i < 64; ++i) weight[i] = exp2_fast(weight[i] + offset[i >> 1 & 1]);
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
    if constexpr (!kFirst) named_sync(kTurnBarrier + warpgroup, kConsumerThreads);
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
      named_arrive(kTurnBarrier + (warpgroup ^ 1), kConsumerThreads);
      wgmma_wait<1>();
    } else {
      wgmma_wait<0>();
    }
    pin(dots);
    const float k_scale = shared.k_scale[keys.slot];
    float scores[64], change[2];
#if TAIL
    if constexpr (kPooled) {
      soften_pooled(scores, k_scale, change, keys.slot);
      release(keys.slot);
    }
#endif
    if constexpr (!kPooled) {
      const uint32_t valid = shared.valid[keys.slot];
      release(keys.slot);
      if (valid != 0) mask_ragged<128, 0>(p.keys, dots, kMaskedDot, valid, lane);
      soften(scores, k_scale, change);
    }
    if constexpr (!kFirst) {
      float some = scores[0];
#pragma unroll
      for (int i = 4; i < 64; i += 4) some += scores[i];
      order_after(some, shared_address(&shared.scratch));
      wgmma_wait<0>();
      pin(product);
      release(values.slot);
      if (__any_sync(kAllLanes, change[0] != 1.0f || change[1] != 1.0f)) rescale(change);
      if (flushes) flush();
    }
#pragma unroll
    for (int k = 0; k < 4; ++k) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int at = 16 * k + 8 * (i >> 1) + 2 * (i & 1);
        weights[4 * k + i] = pack_e4m3(scores[at], scores[at + 1], scores[at + 4], scores[at + 5]);
      }
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

__device__ __forceinline__ void compute(const Operands& maps, const Problem& p, Shared& shared) {
  const int warpgroup = threadIdx.x / 128 - 1;
  const int lane = threadIdx.x & 31;
  const int warp = threadIdx.x / 32 & 3;
  const uint32_t rows8 = shared_address(shared.query8) + warpgroup * 64 * kDim;
  Consumer consumer{p, shared, warpgroup, lane};
  consumer.query = matrix_descriptor<kDim>(rows8);
  if (warpgroup == 1) named_arrive(kTurnBarrier, kConsumerThreads);  // the first turn is warpgroup 0's
  int buffer = 0;
  uint32_t phase = 0;
  for (;;) {
    barrier_wait(shared_address(&shared.query_full[buffer]), phase);
    const Tile tile = shared.tile[buffer];
    if (tile.head < 0) return;
    const uint32_t rows = shared_address(shared.query[buffer]) + warpgroup * 64 * 128;
    consumer.quantise_query(rows + warp * 16 * 128, rows8 + warp * 16 * kDim, p.profile + tile.head / p.group * kDim);
    async_proxy_fence();
    named_sync(kStoreBarrier + warpgroup, 128);  // the products read all four warps' rows
    consumer.attend(tile);
    if (tile.steps + tile.tail_tiles > 0) consumer.finish(maps, tile.head / p.group);
    store_rows<kDim>(p, tile, consumer.out, rows, kChunkBytes, warpgroup, pack);
    if ((threadIdx.x & 127) == 0) barrier_arrive(shared_address(&shared.query_empty[buffer]));
    buffer ^= 1;
    phase ^= buffer == 0;
  }
}

extern "C" __global__ void __launch_bounds__(kThreads, 1)
    attention8(const __grid_constant__ Operands maps, const __grid_constant__ Problem problem) {
  extern __shared__ __align__(1024) uint8_t memory[];
  Shared& shared = *reinterpret_cast<Shared*>(memory);
  if (threadIdx.x == 0) {
    if (shared_address(memory) & 1023) asm volatile("trap;");  // the swizzle counts on it
    for (int i = 0; i < kQueryBuffers; ++i) {
      barrier_init(shared_address(&shared.query_full[i]), 1);
      barrier_init(shared_address(&shared.query_empty[i]), 2);
    }
    for (int i = 0; i < kSlots; ++i) {
      barrier_init(shared_address(&shared.slot_full[i]), 1);
      barrier_init(shared_address(&shared.slot_empty[i]), kConsumerThreads / 32);
    }
    barrier_init_fence();
  }
  for (int i = threadIdx.x; i < kSlots * int(kSumBytes); i += kThreads) {
    constexpr uint8_t kOne = 0x38;  // 1.0 in e4m3
    shared.slot[i / kSumBytes][kTileBytes + i % kSumBytes] = i % kSumBytes < 128 ? kOne : 0;
  }
  async_proxy_fence();
  __syncthreads();
  if (threadIdx.x < 128) {
    registers_shrink<40>();
    if (threadIdx.x < 32) load(maps, problem, shared);
  } else {
    registers_grow<232>();
    compute(maps, problem, shared);
  }
}

extern "C" __device__ const unsigned int attention8_shared_bytes = sizeof(Shared);
