// What the loading warps of both attention kernels do for a tile before they bring its keys.
#pragma once

#include "pipeline.cuh"

// The rows of a tile into a query buffer; one lane calls. `maps` holds q_video and q_text, boxes of one query block and
// 64 columns.
template <int kDim, typename Operands>
__device__ __forceinline__ void load_query(const Operands& maps, const Problem& p, uint32_t buffer, uint32_t barrier,
                                           const Tile& tile) {
  constexpr uint32_t kColumnBytes = kBlock * 128;
  barrier_arrive_expect(barrier, tile.parts * (kDim / 64 * kColumnBytes / kQueryParts));
  for (int part = 0; part < tile.parts; ++part) {
    const Place place = place_of<kQueryBlock>(p.queries, tile.block + part);
#pragma unroll
    for (int chunk = 0; chunk < kDim / 64; ++chunk) {
      const uint32_t to = buffer + chunk * kColumnBytes + part * kQueryBlock * 128;
      if (place.frame < 0) {
        tma_load_3d(to, &maps.q_text, barrier, kEvictFirst, chunk * 64, place.x, tile.head);
      } else {
        tma_load_5d(to, &maps.q_video, barrier, kEvictFirst, chunk * 64, place.x, place.y, place.frame, tile.head);
      }
    }
  }
}

// The tiles of this thread block, one after the other, each with the query buffer that it is to use. All lanes hold the
// same state.
template <int kDim, typename Operands, typename Shared>
struct Feed {
  const Operands& maps;
  const Problem& p;
  Shared& shared;
  const int lane;
  int buffer = 0;
  uint32_t phase = 0;
  bool first = true;

  // Waits for the buffer and returns true with the next tile, its steps yet to be counted; tells the other warps that
  // there is none and returns false.
  __device__ __forceinline__ bool next(Tile& tile) {
    int index = lane == 0 ? next_index(p, first) : 0;
    first = false;
    index = __shfl_sync(kAllLanes, index, 0);
    barrier_wait(shared_address(&shared.queries.query_empty[buffer]), phase ^ 1);
    if (index >= tile_count(p)) {
      if (lane == 0) {
        shared.tile[buffer].head = -1;
        barrier_arrive(shared_address(&shared.queries.query_full[buffer]));
      }
      return false;
    }
    tile = tile_at(p, index);
    return true;
  }

  // Hands over the tile that `next` gave, and brings its queries.
  __device__ __forceinline__ void hand_over(const Tile& tile) {
    if (lane == 0) {
      shared.tile[buffer] = tile;
      load_query<kDim>(maps, p, shared_address(shared.query[buffer]),
                       shared_address(&shared.queries.query_full[buffer]), tile);
    }
    buffer ^= 1;
    phase ^= buffer == 0;
  }
};
