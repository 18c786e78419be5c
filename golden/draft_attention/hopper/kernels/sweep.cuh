// The walk of the loading warp over the bit rows of a tile.
#pragma once

#include "pipeline.cuh"

// What a key tile holds. With 64-token query blocks the two rows of a tile are read together: blocks in both rows come
// once, two to a tile, for both warpgroups; the others come as one block for each warpgroup.
enum class Kind : int { kNone = -1, kShared = 0, kPrivate = 1 };

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

// A walk over the blocks of a bit row, ascending, from the first on: the order, and with it the rounding of the result,
// depends on the row alone. The keys and values of a head exceed L2, and thread blocks that sweep them out of step fetch
// them from device memory again and again; tiles that take equally long and are worked on at one time (Problem::order)
// stay together.
struct Walk {
  const uint32_t* row;
  int words, lane;
  int visits;  // of 32 words each
  int visit = 0;
  uint32_t ahead;

  __device__ __forceinline__ Walk(const Problem& p, long long query_block, int lane)
      : row(p.bits + query_block * p.words), words(p.words), lane(lane), visits((p.words + 31) / 32) {
    ahead = load(0);
  }

  __device__ __forceinline__ uint32_t load(int which) const {
    const int at = which * 32 + lane;
    return at < words ? row[at] : 0;
  }

  __device__ __forceinline__ bool more() const { return visit < visits; }

  __device__ __forceinline__ Chunk next() {
    const uint32_t word = ahead;
    const int first = visit * 1024;
    if (++visit < visits) ahead = load(visit);
    return Chunk(word, first, lane);
  }
};

#if !SHARED_ROWS

// The two bit rows of a tile; the second may not be there.
struct Rows {
  const uint32_t *first, *second;
  int words, lane;

  __device__ __forceinline__ Rows(const Problem& p, long long query_block, int parts, int lane)
      : first(p.bits + query_block * p.words), second(parts == 2 ? first + p.words : nullptr), words(p.words),
        lane(lane) {}

  // This lane's word of the shared blocks (0), or of those of the first (1) or the second row alone (2).
  template <int kWhich>
  __device__ __forceinline__ uint32_t word(int at) const {
    if (at >= words) return 0;
    const uint32_t a = first[at];
    const uint32_t b = second == nullptr ? 0 : second[at];
    return kWhich == 0 ? a & b : kWhich == 1 ? a & ~b : b & ~a;
  }

  template <int kWhich>
  __device__ __forceinline__ int total() const {
    int sum = 0;
    for (int at = lane; at < words; at += 32) sum += __popc(word<kWhich>(at));
    return __reduce_add_sync(kAllLanes, sum);
  }
};

// The blocks of one kind, ascending. All lanes hold the same state but `batch`.
template <int kWhich>
struct Entries {
  Chunk chunk;
  int left, visit = 0, base = 0, batch = 0, at = 0, size = 0;

  __device__ __forceinline__ Entries(const Rows& rows) : chunk(0, 0, 0), left(rows.total<kWhich>()) {}

  // Sees to it that the next block, which must be there, is in the batch.
  __device__ __forceinline__ void refill(const Rows& rows) {
    if (at < size) return;
    base += size;
    while (base >= chunk.count) {
      base = 0;
      chunk = read(rows, visit++);
    }
    size = min(32, chunk.count - base);
    at = 0;
    batch = chunk.block(min(base + rows.lane, chunk.count - 1));
  }

  __device__ __forceinline__ int peek(const Rows& rows) {
    refill(rows);
    return __shfl_sync(kAllLanes, batch, at);
  }

  // The next block of the batch.
  __device__ __forceinline__ int take() {
    --left;
    return __shfl_sync(kAllLanes, batch, at++);
  }

  __device__ __forceinline__ Chunk read(const Rows& rows, int which) const {
    return Chunk(rows.word<kWhich>(which * 32 + rows.lane), which * 1024, rows.lane);
  }
};

#endif  // !SHARED_ROWS
