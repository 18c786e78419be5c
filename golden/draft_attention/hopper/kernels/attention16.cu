// Block-sparse attention in bf16 or fp16 for Hopper. Build with -DHEAD_DIM=64|128, -DELEMENT="bf16"|"f16" (a string)
// and -DTAIL=0|1.
//
// One persistent thread block on each multiprocessor. A loading warp walks the bit rows and brings key and value
// boxes straight from the token order into a ring of shared-memory slots; two computing warpgroups own 64 rows of the
// query block each. The schedule is FlashAttention-3's (Shah et al., arXiv 2407.08608): within a warpgroup the
// softmax of block n overlaps the value product of block n - 1; the two warpgroups run free of each other, and one
// multiplies while the other exponentiates. The output is rescaled only when a row's maximum grows by more than a
// factor 2^kRescaleThreshold.
//
// Over 400 lines: the kernel's parts share registers and shared-memory layout, and reading them in two files is harder.
#include "pipeline.cuh"
#include "wgmma.cuh"

constexpr int kDim = HEAD_DIM;
constexpr int kChunks = kDim / 64;  // 64 columns = 128 bytes, the width of the swizzle
constexpr uint32_t kChunkBytes = kBlock * 128;
constexpr uint32_t kTileBytes = kChunks * kChunkBytes;
constexpr int kSlots = kDim == 128 ? 5 : 8;
constexpr float kRescaleThreshold = 8.0f;

constexpr uint32_t kLogBytes = kBlock * 4, kChosenBytes = kBlock / 8;
constexpr uint32_t kTailBytes = kLogBytes + kChosenBytes;

struct Operands {
  TensorMap q_video, q_text, k_video, k_text, v_video, v_text;  // boxes of one block, 64 columns
  TensorMap k_mean, k_var, v_mean;                              // tail: 128 pooled tokens, 64 columns
};

struct __align__(1024) Shared {
  uint8_t query[kQueryBuffers][kTileBytes];
  uint8_t slot[kSlots][kTileBytes];
  uint8_t tail[TAIL ? kSlots : 1][TAIL ? kTailBytes : 16];  // log counts, then bits of the row, of a k_mean slot
  uint64_t query_full[kQueryBuffers], query_empty[kQueryBuffers];
  uint64_t slot_full[kSlots], slot_empty[kSlots];
  Tile tile[kQueryBuffers];
  uint32_t valid[kSlots];
  uint32_t scratch;  // of order_after
};

DEFINE_WGMMA_RS(multiply_keys, "m64n128k16.f32." ELEMENT "." ELEMENT, ", 1, 1, 0", 64, "%64", "%65", "%66", "%67", "%68", "%69")
#if HEAD_DIM == 128
DEFINE_WGMMA_RS(multiply_values, "m64n128k16.f32." ELEMENT "." ELEMENT, ", 1, 1, 1", 64, "%64", "%65", "%66", "%67", "%68", "%69")
#else
DEFINE_WGMMA_RS(multiply_values, "m64n64k16.f32." ELEMENT "." ELEMENT, ", 1, 1, 1", 32, "%32", "%33", "%34", "%35", "%36", "%37")
#endif

__device__ __forceinline__ uint32_t pack(float low, float high) {
  uint32_t pair;
  asm("cvt.rn." ELEMENT "x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

// ---- the loading warp ------------------------------------------------------------------------------------------

struct Loader {
  const Operands& maps;
  Shared& shared;
  const int lane;
  Ring<kSlots> ring;  // the same in all lanes

  // Waits until the next slot is free; returns the barrier that tells when it is filled.
  __device__ __forceinline__ uint32_t claim() {
    barrier_wait(shared_address(&shared.slot_empty[ring.slot]), ring.phase ^ 1);
    return shared_address(&shared.slot_full[ring.slot]);
  }

  // The keys of one block and the values of another into the next slots, either where asked for. All lanes call; each
  // box is issued by a lane of its own.
  __device__ __forceinline__ void load_blocks(bool keys, const Place& keys_at, bool values, const Place& values_at,
                                              int head) {
    const bool second = lane >= kChunks;  // this lane's box is of the values
    if (second ? values && lane < 2 * kChunks : keys) {
      Ring<kSlots> to = ring;
      if (second && keys) to.advance();
      barrier_wait(shared_address(&shared.slot_empty[to.slot]), to.phase ^ 1);
      const uint32_t full = shared_address(&shared.slot_full[to.slot]);
      const int chunk = second ? lane - kChunks : lane;
      const Place place = second ? values_at : keys_at;
      if (chunk == 0) {
        shared.valid[to.slot] = place.valid;
        barrier_arrive_expect(full, kTileBytes);
      }
      const uint32_t slot = shared_address(shared.slot[to.slot]) + chunk * kChunkBytes;
      if (place.frame < 0) {
        tma_load_3d(slot, second ? &maps.v_text : &maps.k_text, full, kEvictLast, chunk * 64, place.x, head);
      } else {
        tma_load_5d(slot, second ? &maps.v_video : &maps.k_video, full, kEvictLast, chunk * 64, place.x, place.y,
                    place.frame, head);
      }
    }
    if (keys) ring.advance();
    if (values) ring.advance();
  }

  __device__ __forceinline__ void load_pooled(const TensorMap& map, uint32_t full, int first, int head,
                                              uint32_t extra = 0) {
    barrier_arrive_expect(full, kTileBytes + extra);
#pragma unroll
    for (int chunk = 0; chunk < kChunks; ++chunk)
      tma_load_3d(shared_address(shared.slot[ring.slot]) + chunk * kChunkBytes, &map, full, kEvictLast, chunk * 64,
                  first, head);
  }

  __device__ __forceinline__ void load_query(uint32_t destination, uint32_t barrier, const Place& place, int head) {
#pragma unroll
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      const uint32_t to = destination + chunk * kChunkBytes;
      if (place.frame < 0) {
        tma_load_3d(to, &maps.q_text, barrier, kEvictFirst, chunk * 64, place.x, head);
      } else {
        tma_load_5d(to, &maps.q_video, barrier, kEvictFirst, chunk * 64, place.x, place.y, place.frame, head);
      }
    }
  }
};

// The ring carries, for steps 0..n-1 of a tile: K0, K1 V0, K2 V1, ..., V(n-1); in the tail each K is followed by its
// variances.
__device__ __forceinline__ void load(const Operands& maps, const Problem& p, Shared& shared) {
  const int lane = threadIdx.x & 31;
  const int tiles = tile_count(p);
  Loader loader{maps, shared, lane, {}};
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
    const long long row = (long long)tile.head * (p.n_video_blocks + p.n_text_blocks) + tile.block;
    tile.count = p.counts[row];
    if (lane == 0) {
      shared.tile[buffer] = tile;
      barrier_arrive_expect(query_full, kTileBytes);
      loader.load_query(shared_address(shared.query[buffer]), query_full, place_of(p, tile.block), tile.head);
    }
    const int head = tile.head / p.group;
    Place previous{};
    bool follows = false;  // a block whose values are still to be loaded
    for (Walk walk(p, row, lane); walk.more();) {
      const Chunk chunk = walk.next();
      for (int base = 0; base < chunk.count; base += 32) {
        const int blocks = chunk.block(min(base + lane, chunk.count - 1));
        const Place mine = place_of(p, blocks);
        const int entries = min(32, chunk.count - base);
        for (int i = 0; i < entries; ++i) {
          const Place place = broadcast(mine, i);
          const int block = __shfl_sync(kAllLanes, blocks, i);
          if (lane == 0) publish_hand(p, tile, block);
          loader.load_blocks(true, place, follows, previous, head);
          previous = place;
          follows = true;
        }
      }
    }
#if TAIL
    const int tail_tiles = tile.count < p.n_video_blocks + p.n_text_blocks ? p.tail_tiles : 0;
    for (int t = 0; t < tail_tiles; ++t) {
      if (lane == 0) {
        const uint32_t full = loader.claim();
        const uint32_t extra = shared_address(shared.tail[loader.ring.slot]);
        loader.load_pooled(maps.k_mean, full, t * kBlock, head, kTailBytes);
        bulk_load(extra, p.log_counts + t * kBlock, kLogBytes, full);
        bulk_load(extra + kLogBytes, p.bits + row * p.words + t * 4, kChosenBytes, full);
      }
      loader.ring.advance();
      if (lane == 0) loader.load_pooled(maps.k_var, loader.claim(), t * kBlock, head);
      loader.ring.advance();
      if (t == 0) {
        loader.load_blocks(false, previous, follows, previous, head);
      } else {
        if (lane == 0) loader.load_pooled(maps.v_mean, loader.claim(), (t - 1) * kBlock, head);
        loader.ring.advance();
      }
    }
    if (tail_tiles > 0) {
      if (lane == 0) loader.load_pooled(maps.v_mean, loader.claim(), (tail_tiles - 1) * kBlock, head);
      loader.ring.advance();
    } else {
      loader.load_blocks(false, previous, follows, previous, head);
    }
#else
    loader.load_blocks(false, previous, follows, previous, head);
#endif
    buffer ^= 1;
    phase ^= buffer == 0;
  }
}

// ---- the computing warpgroups ----------------------------------------------------------------------------------

// Running maximum (log2 units) and this thread's part of the running sum, for its two rows.
struct Softmax {
  float maximum[2], sum[2];

  // Scores -> weights relative to the kept maximum. Returns in `factor` what earlier results must be multiplied by
  // (1 where the maximum was kept).
  __device__ __forceinline__ void step(float (&s)[64], float scale_log2, float (&factor)[2]) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float high[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) high[i] = fmaxf(s[4 * i + 2 * r], s[4 * i + 2 * r + 1]);
#pragma unroll
      for (int j = 4; j < 16; ++j) high[j & 3] = fmaxf(high[j & 3], fmaxf(s[4 * j + 2 * r], s[4 * j + 2 * r + 1]));
      float top = fmaxf(fmaxf(high[0], high[1]), fmaxf(high[2], high[3]));
      top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 1));
      top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 2)) * scale_log2;
      const float kept = top > maximum[r] + kRescaleThreshold ? top : maximum[r];
      factor[r] = exp2_fast(maximum[r] - kept);
      maximum[r] = kept;
    }
#pragma unroll
    for (int j = 0; j < 16; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) s[4 * j + i] = exp2_fast(fmaf(s[4 * j + i], scale_log2, -maximum[i >> 1]));
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float part[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) part[i] = s[4 * i + 2 * r] + s[4 * i + 2 * r + 1];
#pragma unroll
      for (int j = 4; j < 16; ++j) part[j & 3] += s[4 * j + 2 * r] + s[4 * j + 2 * r + 1];
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

  __device__ __forceinline__ void issue_keys(const uint32_t (&left)[kDim / 4], int slot, bool accumulate = false) {
    const uint64_t keys = matrix_descriptor<128>(shared_address(shared.slot[slot]));
#pragma unroll
    for (int k = 0; k < kDim / 16; ++k)
      multiply_keys(scores, left + 4 * k, keys + (k & 3) * 2 + (k >> 2) * (kChunkBytes >> 4), accumulate || k > 0);
  }

  __device__ __forceinline__ void issue_values(int slot) {
    const uint64_t values = matrix_descriptor<128>(shared_address(shared.slot[slot]), kChunkBytes);
#pragma unroll
    for (int k = 0; k < kBlock / 16; ++k) multiply_values(out, weights + 4 * k, values + k * (16 * 128 >> 4), true);
  }

#if TAIL
  // scale/2 * q^2, the left operand of the variance term.
  __device__ __forceinline__ void square_query(uint32_t (&squares)[kDim / 4]) {
#pragma unroll
    for (int i = 0; i < kDim / 4; ++i) {
      const float low = unpack_low(query[i]), high = unpack_high(query[i]);
      squares[i] = pack(0.5f * p.scale * low * low, 0.5f * p.scale * high * high);
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

  // Adds log n, in units of raw scores; chosen blocks and padding become -infinity.
  __device__ __forceinline__ void add_counts(int slot) {
    const float* logs = reinterpret_cast<const float*>(shared.tail[slot]);
    const uint32_t* words = reinterpret_cast<const uint32_t*>(shared.tail[slot] + kLogBytes);
    const int column = 2 * (lane & 3);
    const float per_scale = 1.0f / p.scale;
#pragma unroll
    for (int j = 0; j < 16; ++j) {
      const uint32_t word = words[j >> 2] >> (8 * (j & 3) + column);
      const float2 log_count = *reinterpret_cast<const float2*>(logs + 8 * j + column);
      const float low = word & 1 ? kNegativeInfinity : log_count.x * per_scale;
      const float high = word & 2 ? kNegativeInfinity : log_count.y * per_scale;
      scores[4 * j] += low;
      scores[4 * j + 1] += high;
      scores[4 * j + 2] += low;
      scores[4 * j + 3] += high;
    }
  }
#endif

  // One step of the software pipeline: scores of this step while the values of the step before are multiplied.
  template <bool kTail, bool kFirst>
  __device__ __forceinline__ void step() {
    const Ring<kSlots> keys = ring;
    ring.advance();
    [[maybe_unused]] const Ring<kSlots> variances = ring;
    if constexpr (kTail) ring.advance();
    const Ring<kSlots> values = ring;
    if constexpr (!kFirst) ring.advance();

    wait(keys);
    pin(scores);
    pin(out);
    wgmma_fence();
    issue_keys(query, keys.slot);
    wgmma_commit();
    if constexpr (!kFirst) {
      wait(values);
      issue_values(values.slot);
      wgmma_commit();
    }
    uint32_t valid = 0;
#if TAIL
    if constexpr (kTail) {
      // The squares take the registers of the weights, so the value product comes to its end first.
      wgmma_wait<0>();
      pin(scores);
      pin(out);
      if constexpr (!kFirst) release(values.slot);
      uint32_t squares[kDim / 4];
      square_query(squares);
      wait(variances);
      wgmma_fence();
      issue_keys(squares, variances.slot, true);
      wgmma_commit();
      wgmma_wait<0>();
      pin(scores);
      add_counts(keys.slot);
      release(variances.slot);
    } else
#endif
    {
      wgmma_wait<kFirst ? 0 : 1>();
      pin(scores);
      valid = shared.valid[keys.slot];
    }
    release(keys.slot);
    if (valid != 0) mask_ragged(p, scores, kNegativeInfinity, valid, lane);
    float factor[2];
    softmax.step(scores, p.scale_log2, factor);
    if constexpr (!kFirst) {
      if constexpr (!kTail) {
        order_after(softmax.sum[0] + softmax.sum[1], shared_address(&shared.scratch));
        wgmma_wait<0>();
        pin(out);
        release(values.slot);
      }
      if (__any_sync(kAllLanes, factor[0] != 1.0f || factor[1] != 1.0f)) {
#pragma unroll
        for (int i = 0; i < kDim / 2; ++i) out[i] *= factor[i >> 1 & 1];
      }
    }
#pragma unroll
    for (int i = 0; i < 32; ++i) weights[i] = pack(scores[2 * i], scores[2 * i + 1]);
  }

  __device__ __forceinline__ void finish_values() {
    wait(ring);
    pin(out);
    wgmma_fence();
    issue_values(ring.slot);
    wgmma_commit();
    wgmma_wait<0>();
    pin(out);
    release(ring.slot);
    ring.advance();
  }

  __device__ __forceinline__ void attend(int count) {
#pragma unroll
    for (int i = 0; i < kDim / 2; ++i) out[i] = 0;
    softmax = {{kNegativeInfinity, kNegativeInfinity}, {0, 0}};
#if TAIL
    int tail_steps = count < p.n_video_blocks + p.n_text_blocks ? p.tail_tiles : 0;
    if (count > 0) {
      step<false, true>();
    } else {
      step<true, true>();
      --tail_steps;
    }
#else
    if (count == 0) return;
    step<false, true>();
#endif
#pragma unroll 1
    for (int n = 1; n < count; ++n) step<false, false>();
#if TAIL
#pragma unroll 1
    for (int n = 0; n < tail_steps; ++n) step<true, false>();
#endif
    finish_values();
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float total = softmax.sum[r];
      total += __shfl_xor_sync(kAllLanes, total, 1);
      total += __shfl_xor_sync(kAllLanes, total, 2);
      const float inverse = 1.0f / total;
#pragma unroll
      for (int i = 0; i < kDim / 2; ++i) {
        if ((i >> 1 & 1) == r) out[i] *= inverse;
      }
    }
  }
};

__device__ __forceinline__ void compute(const Problem& p, Shared& shared) {
  const int warpgroup = threadIdx.x / 128 - 1;
  const int warp = threadIdx.x / 32 & 3;
  Consumer consumer{p, shared, warpgroup, int(threadIdx.x & 31)};
  int buffer = 0;
  uint32_t phase = 0;
  for (;;) {
    barrier_wait(shared_address(&shared.query_full[buffer]), phase);
    const Tile tile = shared.tile[buffer];
    if (tile.head < 0) return;
    const uint32_t rows = shared_address(shared.query[buffer]) + warpgroup * 64 * 128;
    consumer.load_query(rows + warp * 16 * 128);
    consumer.attend(tile.count);
    store_rows<kDim>(p, tile, consumer.out, rows, kChunkBytes, warpgroup, pack);
    if ((threadIdx.x & 127) == 0) barrier_arrive(shared_address(&shared.query_empty[buffer]));
    buffer ^= 1;
    phase ^= buffer == 0;
  }
}

extern "C" __global__ void __launch_bounds__(kThreads, 1)
    attention16(const __grid_constant__ Operands maps, const __grid_constant__ Problem problem) {
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
  __syncthreads();
  if (threadIdx.x < 128) {
    registers_shrink<56>();
    if (threadIdx.x < 32) load(maps, problem, shared);
  } else {
    registers_grow<224>();
    compute(problem, shared);
  }
}

extern "C" __device__ const unsigned int attention16_shared_bytes = sizeof(Shared);
