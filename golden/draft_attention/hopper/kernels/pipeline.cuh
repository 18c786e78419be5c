// What the 16-bit and the 8-bit attention kernel share: the problem, the order of work, the shared-memory ring
// between the loading warp and the two computing warpgroups, masking of ragged blocks, and the storing warp.
#pragma once

#include "ptx.cuh"

#ifndef QUERY_BLOCK
#define QUERY_BLOCK 128
#endif
#ifndef KEY_BLOCK
#define KEY_BLOCK 128
#endif
#ifndef RUNS
#define RUNS 0
#endif

constexpr int kBlock = 128;           // rows of a query tile, columns of a key tile
#ifndef SHARED_ROWS
#define SHARED_ROWS (QUERY_BLOCK == 128)
#endif

constexpr int kQueryBlock = QUERY_BLOCK, kKeyBlock = KEY_BLOCK;  // tokens in a block of the mask
constexpr int kQueryParts = kBlock / kQueryBlock, kKeyParts = kBlock / kKeyBlock;
constexpr bool kSharedRows = SHARED_ROWS;  // the query blocks of a tile have one set: its first row is read for all
static_assert((kQueryBlock == 64 || kQueryBlock == 128) && (kKeyBlock == 64 || kKeyBlock == 128));
static_assert(kQueryBlock == 128 || kKeyBlock == 64, "64-token query blocks come with 64-token key blocks");
constexpr int kThreads = 384;         // one loading warpgroup, two computing warpgroups of 64 rows each
constexpr int kConsumerThreads = 256;
constexpr int kQueryBuffers = 2;
constexpr float kNegativeInfinity = -__builtin_huge_valf();
constexpr uint32_t kAllLanes = 0xFFFFFFFFu;

// How one side's tokens lie in blocks. Video blocks are boxes of 2^log_pt x 2^log_ph x 2^log_pw tokens of a
// frames x height x width grid; blocks from n_video on are runs of text tokens.
struct Blocks {
  int n_video, n_text;
  int frames, height, width, text_length;
  int blocks_high, blocks_wide;
  int log_pt, log_ph, log_pw;
  uint32_t per_row, per_frame;  // 2^32 / blocks_wide and 2^32 / (blocks_wide * blocks_high), up; 0 for a divisor of 1
  int unused;

  __device__ __forceinline__ int count() const { return n_video + n_text; }
};

// One call. A "head" counts batch and heads together.
struct Problem {
  TensorMap out_video;  // boxes of 64 rows, 64 columns
  TensorMap out_text;
  const uint32_t* bits;     // [query_heads, query blocks, words]: the key blocks of each query block; the rest is zero
  const int* counts;        // [query_heads, query blocks]: set bits
  int* next_tile;           // zero at launch: tiles handed out beyond the first of each thread block
  const uint32_t* pooled;   // tail: [key heads, 128 * tail_tiles], two fp16 for a pooled token: log2(tokens / block),
                            // -infinity where there is no video block, and in the upper half its spread
  const float* profile;     // tail: [key heads, head dim], the key variance of a token of spread 1
  const int* order;         // [query_heads, video tiles of a head]: in which the video tiles of a head are handed out
  const uint32_t* ragged;   // with RUNS: [words], the key blocks that hold RUNS runs of 16 tokens
  Blocks queries, keys;
  int query_heads, group;     // group: query heads that share a key head
  int tail_tiles, words;      // words: a multiple of four
  float scale, scale_log2;    // scale_log2 = scale * log2(e)
};
static_assert(sizeof(Problem) == 448, "golden/draft_attention/hopper/problem.py mirrors this layout");

// Where a block lies. `frame` < 0 marks text, `x` is then its first row. `valid` is 0 for a full block.
struct Place {
  int x, y, frame;
  uint32_t valid;
};

constexpr uint32_t kTextFlag = 1u << 31;
constexpr uint32_t kNoTokens = kTextFlag | (1u << 16) | (1u << 8);  // `valid` of a block that is not there

// `number` over the divisor of which `inverse` tells (see Blocks): exact while number * divisor is below 2^32.
__device__ __forceinline__ int quotient(int number, uint32_t inverse) {
  return inverse == 0 ? number : int(__umulhi(uint32_t(number), inverse));
}

template <int kSize>
__device__ __forceinline__ Place place_of(const Blocks& b, int block) {
  if (block >= b.n_video) {
    const int row = (block - b.n_video) * kSize;
    const int tokens = min(kSize, b.text_length - row);
    return {row, 0, -1, tokens == kSize ? 0u : kNoTokens | uint32_t(tokens)};
  }
  const int t = quotient(block, b.per_frame);
  const int row = quotient(block, b.per_row);
  const int i = row - t * b.blocks_high;
  const int j = block - row * b.blocks_wide;
  const Place place{j << b.log_pw, i << b.log_ph, t << b.log_pt, 0};
  const int wide = min(1 << b.log_pw, b.width - place.x);
  const int high = min(1 << b.log_ph, b.height - place.y);
  const int deep = min(1 << b.log_pt, b.frames - place.frame);
  const bool full = wide * high * deep == kSize;
  return {place.x, place.y, place.frame, full ? 0u : uint32_t(wide) | uint32_t(high) << 8 | uint32_t(deep) << 16};
}

__device__ __forceinline__ Place broadcast(const Place& place, int lane) {
  return {__shfl_sync(kAllLanes, place.x, lane), __shfl_sync(kAllLanes, place.y, lane),
          __shfl_sync(kAllLanes, place.frame, lane), __shfl_sync(kAllLanes, place.valid, lane)};
}

// By value: a choice between addresses would keep both in local memory.
__device__ __forceinline__ Place either(bool left, Place a, Place b) {
  return {left ? a.x : b.x, left ? a.y : b.y, left ? a.frame : b.frame, left ? a.valid : b.valid};
}

// Scores of columns that hold no token become `masked`: of the kColumns columns (one block) from register kFirst on.
template <int kColumns, int kFirst, typename Score>
__device__ __forceinline__ void mask_ragged(const Blocks& b, Score (&s)[64], Score masked, uint32_t valid, int lane) {
  const bool text = valid & kTextFlag;
  const int log_w = text ? 7 : b.log_pw;
  const int log_h = text ? 0 : b.log_ph;
  const int wide = valid & 0xFF, high = valid >> 8 & 0xFF, deep = valid >> 16 & 0xFF;
#pragma unroll
  for (int j = 0; j < kColumns / 8; ++j) {
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int column = 8 * j + 2 * (lane & 3) + e;
      const int x = column & ((1 << log_w) - 1);
      const int y = column >> log_w & ((1 << log_h) - 1);
      const int t = column >> (log_w + log_h);
      if (x >= wide || y >= high || t >= deep) s[kFirst + 4 * j + e] = s[kFirst + 4 * j + 2 + e] = masked;
    }
  }
}

// The order of work: text rows first (they attend everything and take longest), then heads outermost, so that the
// query blocks in flight share keys in L2; in a head by `order`. A tile is one query block, or two neighbours of 64
// tokens.
struct Tile {
  int head;        // < 0: no more work
  int block;       // the first
  int steps;       // key tiles
  int parts;       // query blocks that are there
  int tail_tiles;  // tiles of pooled tokens
};

__device__ __forceinline__ int next_index(const Problem& p, bool first) {
  return first ? int(blockIdx.x) : int(gridDim.x) + atomicAdd(p.next_tile, 1);
}

__device__ __forceinline__ int tiles_of(int blocks) { return (blocks + kQueryParts - 1) / kQueryParts; }

__device__ __forceinline__ Tile tile_at(const Problem& p, int index) {
  const int text_per_head = tiles_of(p.queries.n_text), video_per_head = tiles_of(p.queries.n_video);
  const int text_tiles = p.query_heads * text_per_head;
  const bool text = index < text_tiles;
  const int per_head = text ? text_per_head : video_per_head;
  const int rest = text ? index : index - text_tiles;
  const int within = (text ? rest % per_head : p.order[rest]) * kQueryParts;
  const int parts = min(kQueryParts, (text ? p.queries.n_text : p.queries.n_video) - within);
  return {rest / per_head, within + (text ? p.queries.n_video : 0), 0, parts, 0};
}

__device__ __forceinline__ int tile_count(const Problem& p) {
  return p.query_heads * (tiles_of(p.queries.n_text) + tiles_of(p.queries.n_video));
}

// Position in the ring of key/value slots. A waiter for filled slots passes `phase`, one for free slots `phase ^ 1`.
template <int kSlots>
struct Ring {
  int slot = 0;
  uint32_t phase = 0;
  __device__ __forceinline__ void advance() {
    if (++slot == kSlots) {
      slot = 0;
      phase ^= 1;
    }
  }
};

// A computing warp's side of the ring.
template <int kSlots, typename Shared>
struct RingReader {
  Shared& shared;
  const int lane;
  Ring<kSlots> ring;

  __device__ __forceinline__ void wait(const Ring<kSlots>& at) {
    barrier_wait(shared_address(&shared.slot_full[at.slot]), at.phase);
  }

  __device__ __forceinline__ void release(int slot) {
    __syncwarp();  // what the other lanes read of the slot is read
    if (lane == 0) barrier_arrive(shared_address(&shared.slot_empty[slot]));
  }
};

// Writes a warp's 16 x kDim results (registers as in wgmma.cuh) over the rows of the query buffer that it has read, and
// tells the storing warp by `barrier`. `rows` has rows of 128 bytes, 128-byte swizzle, 64-column chunks `chunk_bytes`
// apart. `pack(a, b)` rounds two floats to a 16-bit pair.
template <int kDim, typename Pack>
__device__ __forceinline__ void stage_rows(const float (&o)[kDim / 2], uint32_t rows, uint32_t chunk_bytes,
                                           uint32_t barrier, Pack pack) {
  const int lane = threadIdx.x & 31, row = lane & 15;
#pragma unroll
  for (int j = 0; j < kDim / 8; j += 2) {
    const int piece = (j & 7) + (lane >> 4);
    const uint32_t address = rows + (j >> 3) * chunk_bytes + row * 128 + ((piece ^ (row & 7)) << 4);
    store_matrix_x4(address, pack(o[4 * j], o[4 * j + 1]), pack(o[4 * j + 2], o[4 * j + 3]),
                    pack(o[4 * j + 4], o[4 * j + 5]), pack(o[4 * j + 6], o[4 * j + 7]));
  }
  async_proxy_fence();
  __syncwarp();
  if (lane == 0) barrier_arrive(barrier);
}

// The 64 rows of a warpgroup from the query buffer to the output in place; positions outside the grid are dropped by
// the copy engine.
template <int kDim>
__device__ __forceinline__ void store_rows(const Problem& p, const Tile& tile, uint32_t staging, uint32_t chunk_bytes,
                                           int warpgroup) {
  if (warpgroup * kQueryParts >= 2 * tile.parts) return;
  const int half = kQueryParts == 1 ? warpgroup : 0;  // rows 64..127 of a box: its upper half along the outermost
  const Blocks& b = p.queries;                        // axis longer than one
  const Place place = place_of<kQueryBlock>(b, tile.block + (kQueryParts == 1 ? 0 : warpgroup));
  const int frame = place.frame + (b.log_pt > 0 ? half << (b.log_pt - 1) : 0);
  const int y = place.y + (b.log_pt == 0 && b.log_ph > 0 ? half << (b.log_ph - 1) : 0);
  const int x = place.x + (b.log_pt == 0 && b.log_ph == 0 ? half << (b.log_pw - 1) : 0);
#pragma unroll
  for (int chunk = 0; chunk < kDim / 64; ++chunk) {
    if (place.frame < 0) {
      tma_store_3d(&p.out_text, staging + chunk * chunk_bytes, chunk * 64, place.x + 64 * half, tile.head);
    } else {
      tma_store_5d(&p.out_video, staging + chunk * chunk_bytes, chunk * 64, x, y, frame, tile.head);
    }
  }
}

// Barriers of the two query buffers: filled by the loading warp, free again once the storing warp has read the results
// that the computing warps left there (`out_full`, one for each warpgroup).
struct QueryBarriers {
  uint64_t query_full[kQueryBuffers], query_empty[kQueryBuffers], out_full[kQueryBuffers][2];

  __device__ __forceinline__ void init() {
    for (int i = 0; i < kQueryBuffers; ++i) {
      barrier_init(shared_address(&query_full[i]), 1);
      barrier_init(shared_address(&query_empty[i]), 1);
      for (int warpgroup = 0; warpgroup < 2; ++warpgroup) barrier_init(shared_address(&out_full[i][warpgroup]), 4);
    }
  }
};

// One thread, at the start: the barriers of the query buffers and of the ring's slots.
template <typename Shared>
__device__ __forceinline__ void init_barriers(Shared& shared) {
  shared.queries.init();
  for (int i = 0; i < int(sizeof(shared.slot_full) / sizeof(uint64_t)); ++i) {
    barrier_init(shared_address(&shared.slot_full[i]), 1);
    barrier_init(shared_address(&shared.slot_empty[i]), kConsumerThreads / 32);
  }
  barrier_init_fence();
}

// One thread: stores what the computing warps leave, so that none of them waits for the copy engine.
template <int kDim, typename Shared>
__device__ __forceinline__ void store(const Problem& p, Shared& shared, uint32_t chunk_bytes) {
  int buffer = 0;
  uint32_t phase = 0;
  for (;;) {
    barrier_wait(shared_address(&shared.queries.query_full[buffer]), phase);
    const Tile tile = shared.tile[buffer];
    if (tile.head < 0) return;
    for (int warpgroup = 0; warpgroup < 2; ++warpgroup) {
      barrier_wait(shared_address(&shared.queries.out_full[buffer][warpgroup]), phase);
      const uint32_t staging = shared_address(shared.query[buffer]) + warpgroup * 64 * 128;
      store_rows<kDim>(p, tile, staging, chunk_bytes, warpgroup);
    }
    tma_store_finish_reads();
    barrier_arrive(shared_address(&shared.queries.query_empty[buffer]));
    buffer ^= 1;
    phase ^= buffer == 0;
  }
}

// A value that lane 0 reads for its warp: the lane that releases a slot is then the only one that has read there.
template <typename Value>
__device__ __forceinline__ Value read_once(const Value& value, int lane) {
  Value mine{};
  if (lane == 0) mine = value;
  return __shfl_sync(kAllLanes, mine, 0);
}

__device__ __forceinline__ Tile read_tile(const Tile& tile, int lane) {
  return {read_once(tile.head, lane), read_once(tile.block, lane), read_once(tile.steps, lane),
          read_once(tile.parts, lane), read_once(tile.tail_tiles, lane)};
}
