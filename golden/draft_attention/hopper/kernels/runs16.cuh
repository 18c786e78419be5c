// The steps of a tile where every ragged block holds the same number, RUNS, of full runs of 16 tokens, and they come
// first in it: a grid whose height (or number of frames) the blocks do not divide. A ragged block would cost as much as
// a full one; its runs are gathered instead, eight to a key tile, so that no tile but a row's last has empty columns.
// Included by load16.cuh.
#pragma once

constexpr int kRuns = RUNS, kRunTokens = 16, kTileRuns = kBlock / kRunTokens;
static_assert(kKeyBlock == kBlock && kRuns < kTileRuns);

struct Steps {
  static constexpr int kBoxes = kTileRuns * kChunks;  // lanes of the keys; as many follow for the values
  Walk walk;
  int steps;
  const int place_in_tile;  // of this lane's run
  int filled = 0;  // runs in the tile that is being gathered
  Place gathered{};  // of this lane's run in it
  Place previous{};  // of this lane's box of values
  bool previous_whole = false, follows = false;

  __device__ __forceinline__ Steps(const Problem& p, long long row, int parts, int lane)
      : walk(p, row, lane), place_in_tile(lane % kBoxes / kChunks) {
    int ragged = 0;
    for (int at = lane; at < p.words; at += 32) ragged += __popc(walk.row[at] & p.ragged[at]);
    ragged = __reduce_add_sync(kAllLanes, ragged);
    steps = p.counts[row] - ragged + (ragged * kRuns + kTileRuns - 1) / kTileRuns;
  }

  // Run `number` of a ragged block.
  static __device__ __forceinline__ Place run_of(const Blocks& b, const Place& block, int number) {
    const int token = number * kRunTokens;
    return {block.x + (token & ((1 << b.log_pw) - 1)), block.y + (token >> b.log_pw & ((1 << b.log_ph) - 1)),
            block.frame + (token >> (b.log_pw + b.log_ph)), 0};
  }

  // One step: a whole block, or the gathered runs. Brings its keys and the values of the step before.
  __device__ __forceinline__ void bring(Loader& loader, int head, bool keys, bool whole, const Place& place) {
    const bool second = loader.lane >= kBoxes;
    const bool mine_whole = second ? previous_whole : whole;
    const Place mine = either(second, previous, place);
    const bool wanted = second ? follows && loader.lane < 2 * kBoxes : keys;
    if (wanted && (place_in_tile == 0 || !mine_whole)) {
      Ring<kSlots> to = loader.ring;
      if (second && keys) to.advance();
      barrier_wait(shared_address(&loader.shared.slot_empty[to.slot]), to.phase ^ 1);
      const uint32_t full = shared_address(&loader.shared.slot_full[to.slot]);
      const int chunk = loader.lane % kChunks;
      if (loader.lane == 0) loader.shared.valid[to.slot][0] = place.valid;
      if (loader.lane % kBoxes == 0) barrier_arrive_expect(full, kTileBytes);
      const uint32_t slot = shared_address(loader.shared.slot[to.slot]) + chunk * kChunkBytes;
      const Operands& maps = loader.maps;
      if (!mine_whole) {
        tma_load_5d(slot + place_in_tile * kRunTokens * 128, second ? &maps.v_runs : &maps.k_runs, full, kEvictLast, chunk * 64,
                    mine.x, mine.y, mine.frame, head);
      } else if (mine.frame < 0) {
        tma_load_3d(slot, second ? &maps.v_text : &maps.k_text, full, kEvictLast, chunk * 64, mine.x, head);
      } else {
        tma_load_5d(slot, second ? &maps.v_video : &maps.k_video, full, kEvictLast, chunk * 64, mine.x, mine.y,
                    mine.frame, head);
      }
    }
    __syncwarp();
    if (keys) loader.ring.advance();
    if (follows) loader.ring.advance();
    previous = place;
    previous_whole = whole;
    follows = true;
  }

  __device__ __forceinline__ void gather(Loader& loader, int head, const Place& block) {
    const Blocks& b = loader.p.keys;
    if (place_in_tile >= filled && place_in_tile < filled + kRuns) gathered = run_of(b, block, place_in_tile - filled);
    filled += kRuns;
    if (filled < kTileRuns) return;
    bring(loader, head, true, false, gathered);
    filled -= kTileRuns;
    if (place_in_tile < filled) gathered = run_of(b, block, place_in_tile + kRuns - filled);
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
          if (place.valid != 0 && place.frame >= 0) {
            gather(loader, head, place);
          } else {
            bring(loader, head, true, true, place);
          }
        }
      }
    }
    if (filled > 0) {  // the rest of the tile repeats its first run, masked: a slot never holds what nobody wrote
      Place place = either(place_in_tile < filled, gathered, broadcast(gathered, 0));
      place.valid = kNoTokens | uint32_t(filled * kRunTokens);
      bring(loader, head, true, false, place);
    }
  }

  __device__ __forceinline__ void finish(Loader& loader, int head) {
    if (follows) bring(loader, head, false, false, previous);
  }
};
