// The loading warp of attention16.cu. The ring carries, for steps 0..n-1 of a tile: K0, K1 V0, K2 V1, ..., V(n-1).
// Pooled tokens come last.
#pragma once

#include "feed.cuh"
#include "operands16.cuh"

struct Loader {
  const Operands& maps;
  const Problem& p;
  Shared& shared;
  const int lane;
  Ring<kSlots> ring;  // the same in all lanes

  // Waits until the next slot is free; returns the barrier that tells when it is filled.
  __device__ __forceinline__ uint32_t claim() {
    barrier_wait(shared_address(&shared.slot_empty[ring.slot]), ring.phase ^ 1);
    return shared_address(&shared.slot_full[ring.slot]);
  }

  // The keys of one step and the values of another into the next slots, either where asked for. All lanes call; each
  // box is issued by a lane of its own, `block` is the block of its box: lanes count first the columns, then the
  // blocks, then keys and values.
  __device__ __forceinline__ void load_blocks(bool keys, bool values, const Place& place, int kind, int head) {
    constexpr int kBoxes = kChunks * kKeyParts;
    const bool second = lane >= kBoxes;  // this lane's box is of the values
    [[maybe_unused]] const uint32_t valid_of_next = __shfl_down_sync(kAllLanes, place.valid, kChunks);
    if (second ? values && lane < 2 * kBoxes : keys) {
      Ring<kSlots> to = ring;
      if (second && keys) to.advance();
      barrier_wait(shared_address(&shared.slot_empty[to.slot]), to.phase ^ 1);
      const uint32_t full = shared_address(&shared.slot_full[to.slot]);
      const int box = second ? lane - kBoxes : lane;
      const int chunk = box % kChunks;
      if (lane == 0) {  // of the keys
        shared.valid[to.slot][0] = place.valid;
        if constexpr (kKeyParts == 2) shared.valid[to.slot][1] = valid_of_next;
        if constexpr (!kSharedRows) shared.kind[to.slot] = kind;
      }
      if (box == 0) barrier_arrive_expect(full, kTileBytes);
      const uint32_t slot = shared_address(shared.slot[to.slot]) + chunk * kChunkBytes + box / kChunks * kBlockBytes;
      if (place.frame < 0) {
        tma_load_3d(slot, second ? &maps.v_text : &maps.k_text, full, kEvictLast, chunk * 64, place.x, head);
      } else {
        tma_load_5d(slot, second ? &maps.v_video : &maps.k_video, full, kEvictLast, chunk * 64, place.x, place.y,
                    place.frame, head);
      }
    }
    __syncwarp();
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
};

#if RUNS

#include "runs16.cuh"

#elif KEY_BLOCK == 128

// The steps of a tile: one block each. Returns after the last key tile; `finish` loads the values that then remain.
struct Steps {
  Walk walk;
  int steps;
  Place previous{};
  bool follows = false;  // a block whose values are still to be loaded

  __device__ __forceinline__ Steps(const Problem& p, long long row, int parts, int lane)
      : walk(p, row, lane), steps(p.counts[row]) {}

  __device__ __forceinline__ void bring(Loader& loader, int head, bool keys, const Place& place) {
    const bool second = loader.lane >= kChunks;
    loader.load_blocks(keys, follows, either(second, previous, place), 0, head);
  }

  __device__ __forceinline__ void run(Loader& loader, int head) {
    while (walk.more()) {
      const Chunk chunk = walk.next();
      for (int base = 0; base < chunk.count; base += 32) {
        const int blocks = chunk.block(min(base + loader.lane, chunk.count - 1));
        const Place mine = place_of<kKeyBlock>(loader.p.keys, blocks);
        const int entries = min(32, chunk.count - base);
        for (int i = 0; i < entries; ++i) {
          const Place place = broadcast(mine, i);
          bring(loader, head, true, place);
          previous = place;
          follows = true;
        }
      }
    }
  }

  __device__ __forceinline__ void finish(Loader& loader, int head) { bring(loader, head, false, previous); }
};

#elif SHARED_ROWS

// The steps of a tile: two blocks each. An absent second block is replaced by the first, so that a slot never holds
// what nobody wrote.
struct Steps {
  Walk walk;
  int steps;
  Place previous{};      // of this lane's box of values
  Place waiting{};       // a block that has no partner yet
  bool waits = false, follows = false;

  __device__ __forceinline__ Steps(const Problem& p, long long row, int parts, int lane)
      : walk(p, row, lane), steps((p.counts[row] + 1) / 2) {}

  // `place`: of this lane's half of the key tile.
  __device__ __forceinline__ void bring(Loader& loader, int head, const Place& place) {
    const bool is_value = loader.lane >= 2 * kChunks;
    loader.load_blocks(true, follows, either(is_value, previous, place), 0, head);
    previous = place;
    follows = true;
  }

  __device__ __forceinline__ void run(Loader& loader, int head) {
    const int lower = loader.lane / kChunks % 2;  // this lane's half
    while (walk.more()) {
      const Chunk chunk = walk.next();
      for (int base = 0; base < chunk.count; base += 32) {
        const int blocks = chunk.block(min(base + loader.lane, chunk.count - 1));
        const Place mine = place_of<kKeyBlock>(loader.p.keys, blocks);
        const int entries = min(32, chunk.count - base);
        int i = waits ? -1 : 0;
        for (; i + 1 < entries; i += 2) {
          const Place place = broadcast(mine, max(i + lower, 0));
          bring(loader, head, either(i + lower < 0, waiting, place));
        }
        waits = i < entries;
        if (waits) waiting = broadcast(mine, i);
      }
    }
    if (waits) {
      Place place = waiting;
      if (lower) place.valid = kNoTokens;
      bring(loader, head, place);
    }
  }

  __device__ __forceinline__ void finish(Loader& loader, int head) {
    loader.load_blocks(false, follows, previous, 0, head);
  }
};

#else

// The steps of a tile: two blocks that both warpgroups read, or one block for each warpgroup. A block that is not there
// is replaced by its neighbour, so that a slot never holds what nobody wrote.
struct Steps {
  Rows rows;
  Entries<0> shared;
  Entries<1> first;
  Entries<2> second;
  int steps;
  int waiting = -1;  // a shared block that has no partner yet
  Place previous{};  // of this lane's box of values
  bool follows = false;

  __device__ __forceinline__ Steps(const Problem& p, long long row, int parts, int lane)
      : rows(p, row, parts, lane), shared(rows), first(rows), second(rows),
        steps((shared.left + 1) / 2 + max(first.left, second.left)) {}

  // One step of two blocks, either -1 where it is not there.
  __device__ __forceinline__ void bring(Loader& loader, int head, int upper, int lower, int kind) {
    const int there = upper >= 0 ? upper : lower;
    const bool mine_is_lower = loader.lane / kChunks % 2;
    const int wanted = mine_is_lower ? lower : upper;
    Place place = place_of<kKeyBlock>(loader.p.keys, wanted >= 0 ? wanted : there);
    if (wanted < 0) place.valid = kNoTokens;
    const bool is_value = loader.lane >= 2 * kChunks;
    loader.load_blocks(true, follows, either(is_value, previous, place), kind, head);
    previous = place;
    follows = true;
  }

  // Shared blocks, a batch at a time, and after each the private ones that the sweep has passed.
  __device__ __forceinline__ void run(Loader& loader, int head) {
    while (shared.left + privates() > 0) {
      int passed = 32 * rows.words;  // beyond every block
      if (shared.left > 0) {
        shared.refill(rows);
        passed = __shfl_sync(kAllLanes, shared.batch, shared.size - 1);
        for (int entries = shared.size - shared.at; entries > 0;) {
          int upper = waiting;
          if (upper < 0) {
            upper = shared.take();
            --entries;
          }
          waiting = -1;
          if (entries > 0) {
            --entries;
            bring(loader, head, upper, shared.take(), int(Kind::kShared));
          } else if (shared.left > 0) {
            waiting = upper;
          } else {
            bring(loader, head, upper, -1, int(Kind::kShared));
          }
        }
      }
      while (privates() > 0 && (first.left == 0 || first.peek(rows) < passed) &&
             (second.left == 0 || second.peek(rows) < passed)) {
        const int uppers = first.left > 0 ? first.size - first.at : 32;
        const int lowers = second.left > 0 ? second.size - second.at : 32;
        const bool both = first.left > 0 && second.left > 0;
        const int kind = int(Kind::kPrivate) + (both ? 0 : first.left > 0 ? 2 : 4);
        for (int n = min(uppers, lowers); n > 0; --n) {
          const int upper = kind == int(Kind::kPrivate) + 4 ? -1 : first.take();
          const int lower = kind == int(Kind::kPrivate) + 2 ? -1 : second.take();
          bring(loader, head, upper, lower, kind);
        }
      }
    }
  }

  __device__ __forceinline__ int privates() const { return first.left + second.left; }

  __device__ __forceinline__ void finish(Loader& loader, int head) {
    loader.load_blocks(false, follows, previous, 0, head);
  }
};

#endif

#if TAIL
// The pooled tokens; `row` is the tile's first bit row. First loads the values of the last step.
__device__ __forceinline__ void load_tail(Loader& loader, Steps& steps, const Tile& tile, long long row, int head) {
  const Problem& p = loader.p;
  const Operands& maps = loader.maps;
  const bool leads = loader.lane == 0;
  for (int t = 0; t < tile.tail_tiles; ++t) {
    if (leads) {
      const uint32_t full = loader.claim();
      const uint32_t extra = shared_address(loader.shared.tail[loader.ring.slot]);
      loader.load_pooled(maps.k_mean, full, t * kBlock, head, kTailBytes);
      bulk_load(extra, p.pooled + (head * p.tail_tiles + t) * kBlock, kPooledBytes, full);
#pragma unroll
      for (int part = 0; part < kQueryParts; ++part) {
        const long long of = row + min(part, tile.parts - 1);
        bulk_load(extra + kPooledBytes + part * kChosenBytes, p.bits + of * p.words + t * 4, kChosenBytes, full);
      }
    }
    loader.ring.advance();
    if (t == 0) {
      steps.finish(loader, head);
    } else {
      if (leads) loader.load_pooled(maps.v_mean, loader.claim(), (t - 1) * kBlock, head);
      loader.ring.advance();
    }
  }
  if (leads) loader.load_pooled(maps.v_mean, loader.claim(), (tile.tail_tiles - 1) * kBlock, head);
  loader.ring.advance();
}
#endif

__device__ __forceinline__ void load(const Operands& maps, const Problem& p, Shared& shared) {
  const int lane = threadIdx.x & 31;
  Loader loader{maps, p, shared, lane, {}};
  Feed<kDim, Operands, Shared> feed{maps, p, shared, lane};
  for (Tile tile; feed.next(tile);) {
    const long long row = (long long)tile.head * p.queries.count() + tile.block;
    const int head = tile.head / p.group;
    Steps steps(p, row, tile.parts, lane);
    tile.steps = steps.steps;
#if TAIL
    int fewest = p.counts[row];
    if (tile.parts == 2) fewest = min(fewest, p.counts[row + 1]);
    tile.tail_tiles = fewest < p.keys.count() ? p.tail_tiles : 0;
#endif
    feed.hand_over(tile);
    steps.run(loader, head);
#if TAIL
    if (tile.tail_tiles > 0) {
      load_tail(loader, steps, tile, row, head);
      continue;
    }
#endif
    steps.finish(loader, head);
  }
}
