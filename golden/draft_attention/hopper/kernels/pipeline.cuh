// What the 16-bit and the 8-bit attention kernel share: the problem, the order of work, the shared-memory ring
// between the loading warp and the two computing warpgroups, masking of ragged blocks, and the output store.
#pragma once

#include "ptx.cuh"

constexpr int kBlock = 128;           // tokens in a block: rows of a query tile, columns of a key tile
constexpr int kThreads = 384;         // one loading warpgroup, two computing warpgroups of 64 rows each
constexpr int kConsumerThreads = 256;
constexpr int kQueryBuffers = 2;
constexpr float kNegativeInfinity = -__builtin_huge_valf();
constexpr uint32_t kAllLanes = 0xFFFFFFFFu;

// Named barriers (0 is __syncthreads).
constexpr uint32_t kStoreBarrier = 1;  // + warpgroup: its 128 threads

// One call. Video blocks are boxes of 2^log_pt x 2^log_ph x 2^log_pw tokens of a frames x height x width grid; blocks
// from n_video_blocks on are runs of 128 text tokens. A "head" counts batch and heads together.
struct Problem {
  TensorMap out_video;  // boxes of half a block: 64 rows, 64 columns
  TensorMap out_text;
  const uint32_t* bits;     // [query_heads, n_blocks, words]: the key blocks of each query block; zero from n_blocks on
  const int* counts;        // [query_heads, n_blocks]: set bits
  int* next_tile;           // zero at launch: tiles handed out beyond the first of each thread block
  int* hand;                // zero at launch, or null: see Walk
  const float* log_counts;  // tail: [128 * tail_tiles], -infinity where there is no video block
  int query_heads, group;   // group: query heads that share a key head
  int n_video_blocks, n_text_blocks, tail_tiles, words;  // words: a multiple of four
  int frames, height, width, text_length;
  int blocks_high, blocks_wide;
  int log_pt, log_ph, log_pw;
  float scale, scale_log2;    // scale_log2 = scale * log2(e)
};
static_assert(sizeof(Problem) == 384, "golden/draft_attention/hopper/problem.py mirrors this layout");

// Where a block lies. `frame` < 0 marks text, `x` is then its first row. `valid` is 0 for a full block.
struct Place {
  int x, y, frame;
  uint32_t valid;
};

constexpr uint32_t kTextFlag = 1u << 31;

__device__ __forceinline__ Place place_of(const Problem& p, int block) {
  if (block >= p.n_video_blocks) {
    const int row = (block - p.n_video_blocks) * kBlock;
    const int tokens = min(kBlock, p.text_length - row);
    return {row, 0, -1, tokens == kBlock ? 0u : kTextFlag | (1u << 16) | (1u << 8) | uint32_t(tokens)};
  }
  const int j = block % p.blocks_wide;
  const int i = block / p.blocks_wide % p.blocks_high;
  const int t = block / (p.blocks_wide * p.blocks_high);
  const Place place{j << p.log_pw, i << p.log_ph, t << p.log_pt, 0};
  const int wide = min(1 << p.log_pw, p.width - place.x);
  const int high = min(1 << p.log_ph, p.height - place.y);
  const int deep = min(1 << p.log_pt, p.frames - place.frame);
  const bool full = wide * high * deep == kBlock;
  return {place.x, place.y, place.frame, full ? 0u : uint32_t(wide) | uint32_t(high) << 8 | uint32_t(deep) << 16};
}

__device__ __forceinline__ Place broadcast(const Place& place, int lane) {
  return {__shfl_sync(kAllLanes, place.x, lane), __shfl_sync(kAllLanes, place.y, lane),
          __shfl_sync(kAllLanes, place.frame, lane), __shfl_sync(kAllLanes, place.valid, lane)};
}

// Scores of columns that hold no token become `masked`.
template <typename Score>
__device__ __forceinline__ void mask_ragged(const Problem& p, Score (&s)[64], Score masked, uint32_t valid, int lane) {
  const bool text = valid & kTextFlag;
  const int log_w = text ? 7 : p.log_pw;
  const int log_h = text ? 0 : p.log_ph;
  const int wide = valid & 0xFF, high = valid >> 8 & 0xFF, deep = valid >> 16 & 0xFF;
#pragma unroll
  for (int j = 0; j < 16; ++j) {
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int column = 8 * j + 2 * (lane & 3) + e;
      const int x = column & ((1 << log_w) - 1);
      const int y = column >> log_w & ((1 << log_h) - 1);
      const int t = column >> (log_w + log_h);
      if (x >= wide || y >= high || t >= deep) s[4 * j + e] = s[4 * j + 2 + e] = masked;
    }
  }
}

// The order of work: text rows first (they attend everything and take longest), then heads outermost, so that the
// query blocks in flight share keys in L2.
struct Tile {
  int head, block, count;
};

__device__ __forceinline__ int next_index(const Problem& p, bool first) {
  return first ? int(blockIdx.x) : int(gridDim.x) + atomicAdd(p.next_tile, 1);
}

__device__ __forceinline__ Tile tile_at(const Problem& p, int index) {
  const int text_tiles = p.query_heads * p.n_text_blocks;
  const bool text = index < text_tiles;
  const int per_head = text ? p.n_text_blocks : p.n_video_blocks;
  const int rest = text ? index : index - text_tiles;
  const int block = rest % per_head + (text ? p.n_video_blocks : 0);
  return {rest / per_head, block, 0};
}

__device__ __forceinline__ int tile_count(const Problem& p) {
  return p.query_heads * (p.n_text_blocks + p.n_video_blocks);
}

// Up to 1,024 blocks of a bit row, a word in each lane of a warp.
struct Chunk {
  uint32_t word;
  int first;   // block of bit 0 of lane 0
  int before;  // entries in the words of lower lanes
  int count;   // entries of all lanes

  __device__ __forceinline__ Chunk(uint32_t word, int first, int lane) : word(word), first(first) {
    const int mine = __popc(word);
    int sum = mine;
#pragma unroll
    for (int step = 1; step < 32; step *= 2) {
      const int lower = __shfl_up_sync(kAllLanes, sum, step);
      if (lane >= step) sum += lower;
    }
    before = sum - mine;
    count = __shfl_sync(kAllLanes, sum, 31);
  }

  // The block of the entry of this rank, below `count`. All lanes call, each with its own rank.
  __device__ __forceinline__ int block(int rank) const {
    int from = 0;  // the last lane with no more than `rank` entries before it
#pragma unroll
    for (int step = 16; step > 0; step /= 2) {
      if (__shfl_sync(kAllLanes, before, from + step) <= rank) from += step;
    }
    rank -= __shfl_sync(kAllLanes, before, from);
    uint32_t rest = __shfl_sync(kAllLanes, word, from);
    int bit = 0;
#pragma unroll
    for (int width = 16; width > 0; width /= 2) {
      const int low = __popc(rest & ((1u << width) - 1));
      if (rank >= low) {
        rank -= low;
        rest >>= width;
        bit += width;
      }
    }
    return first + 32 * from + bit;
  }
};

// A walk over the blocks of a bit row: ascending from `start` on, then around. The keys and values of a head exceed L2,
// and thread blocks that sweep them out of step fetch them from device memory again and again. So one thread block
// publishes where it is in its sweep (the hand of a clock), and all begin a tile there: they stay together whatever
// the lengths of their rows. The order of a row's blocks, and with it the rounding, then depends on timing; with
// `hand` null every row is read from its beginning.
struct Walk {
  const uint32_t* row;
  int words, lane, start;
  int chunks, visits;  // the chunk of `start` is visited twice: first from `start` on, last below it
  int visit = 0;
  uint32_t ahead;

  __device__ __forceinline__ Walk(const Problem& p, long long query_block, int lane)
      : row(p.bits + query_block * p.words), words(p.words), lane(lane), chunks((p.words + 31) / 32) {
    start = p.hand == nullptr ? 0 : __shfl_sync(kAllLanes, *reinterpret_cast<volatile int*>(p.hand), 0);
    visits = chunks + (start > 0);
    ahead = load(0);
  }

  __device__ __forceinline__ int chunk_at(int which) const {
    const int chunk = start / 1024 + which;
    return chunk < chunks ? chunk : chunk - chunks;
  }

  __device__ __forceinline__ uint32_t load(int which) const {
    const int at = chunk_at(which) * 32 + lane;
    const uint32_t word = at < words ? row[at] : 0;
    const int below = start - 32 * at;  // bits of this word before `start`
    const uint32_t early = below >= 32 ? ~0u : below <= 0 ? 0u : (1u << below) - 1;
    return which == 0 ? word & ~early : which == chunks ? word & early : word;
  }

  __device__ __forceinline__ bool more() const { return visit < visits; }

  __device__ __forceinline__ Chunk next() {
    const uint32_t word = ahead;
    const int first = chunk_at(visit) * 1024;
    if (++visit < visits) ahead = load(visit);
    return Chunk(word, first, lane);
  }
};

__device__ __forceinline__ void publish_hand(const Problem& p, const Tile& tile, int block) {
  if (p.hand != nullptr && blockIdx.x == gridDim.x - 1 && tile.block < p.n_video_blocks)
    *reinterpret_cast<volatile int*>(p.hand) = block;
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

// Writes 64 x kDim results (registers as in wgmma.cuh) over the warpgroup's half of a query buffer, and from there
// to the output in place; positions outside the grid are dropped by the copy engine. `staging` has rows of 128 bytes,
// 128-byte swizzle, 64-column chunks `chunk_bytes` apart. All 128 threads of the warpgroup call.
// `pack(a, b)` rounds two floats to a 16-bit pair. On return the staging memory has been read.
template <int kDim, typename Pack>
__device__ __forceinline__ void store_rows(const Problem& p, const Tile& tile, const float (&o)[kDim / 2],
                                           uint32_t staging, uint32_t chunk_bytes, int warpgroup, Pack pack) {
  const int thread = threadIdx.x & 127, lane = threadIdx.x & 31, warp = thread >> 5;
  named_sync(kStoreBarrier + warpgroup, 128);
  const int row = warp * 16 + (lane & 15);
#pragma unroll
  for (int j = 0; j < kDim / 8; j += 2) {
    const int piece = (j & 7) + (lane >> 4);
    const uint32_t address = staging + (j >> 3) * chunk_bytes + row * 128 + ((piece ^ (row & 7)) << 4);
    store_matrix_x4(address, pack(o[4 * j], o[4 * j + 1]), pack(o[4 * j + 2], o[4 * j + 3]),
                    pack(o[4 * j + 4], o[4 * j + 5]), pack(o[4 * j + 6], o[4 * j + 7]));
  }
  async_proxy_fence();
  named_sync(kStoreBarrier + warpgroup, 128);
  if (thread == 0) {
    const Place place = place_of(p, tile.block);
    // Rows 64..127 of a box are its upper half along the outermost axis longer than one.
    const int frame = place.frame + (p.log_pt > 0 ? warpgroup << (p.log_pt - 1) : 0);
    const int y = place.y + (p.log_pt == 0 && p.log_ph > 0 ? warpgroup << (p.log_ph - 1) : 0);
    const int x = place.x + (p.log_pt == 0 && p.log_ph == 0 ? warpgroup << (p.log_pw - 1) : 0);
#pragma unroll
    for (int chunk = 0; chunk < kDim / 64; ++chunk) {
      if (place.frame < 0) {
        tma_store_3d(&p.out_text, staging + chunk * chunk_bytes, chunk * 64, place.x + 64 * warpgroup, tile.head);
      } else {
        tma_store_5d(&p.out_video, staging + chunk * chunk_bytes, chunk * 64, x, y, frame, tile.head);
      }
    }
    tma_store_finish_reads();
  }
}
