// The loading warp of attention8.cu.
#pragma once

#include "feed.cuh"
#include "operands8.cuh"

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
  const int n_blocks = p.keys.count() + p.tail_tiles;  // of a head in the operands
  Ring<kSlots> ring;
  Feed<kDim, Operands, Shared> feed{maps, p, shared, lane};
  for (Tile tile; feed.next(tile);) {
    const long long row_of_bits = (long long)tile.head * p.queries.count() + tile.block;
    tile.steps = p.counts[row_of_bits];
    tile.tail_tiles = TAIL && tile.steps < p.keys.count() ? p.tail_tiles : 0;
    feed.hand_over(tile);
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
  }
}
