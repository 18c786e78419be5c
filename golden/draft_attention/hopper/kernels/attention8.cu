// Block-sparse attention in 8 bits for Hopper: int8 query-key products, e4m3 weight-value products, 16-bit output.
// Keys and values come from quantise.cu in block order; queries are read in place and turned to int8 here, one scale a
// row. Build with -DHEAD_DIM=64|128, -DELEMENT="bf16"|"f16" (a string, the type of queries and output) and -DTAIL=0|1.
//
// The schedule is attention16.cu's. Int8 keeps the scores about three times closer than e4m3 would (a step of 1/127
// of the range against three bits of mantissa) at the same tensor-core rate. Hopper accumulates 8-bit floats with few
// bits, so the products of at most kFlush blocks are summed there, and their sums in fp32.
#include "compute8.cuh"
#include "load8.cuh"

__device__ __forceinline__ void compute(const Operands& maps, const Problem& p, Shared& shared) {
  const int warpgroup = threadIdx.x / 128 - 1;
  const int lane = threadIdx.x & 31;
  const int warp = threadIdx.x / 32 & 3;
  const uint32_t rows8 = shared_address(shared.query8) + warpgroup * 64 * kDim;
  Consumer consumer{{shared, lane}, p, warpgroup};
  consumer.query = matrix_descriptor<kDim>(rows8);
  if (kTakesTurns && warpgroup == 1) named_arrive(kTurnBarrier, kConsumerThreads);  // the first turn is warpgroup 0's
  int buffer = 0;
  uint32_t phase = 0;
  for (;;) {
    barrier_wait(shared_address(&shared.queries.query_full[buffer]), phase);
    const Tile tile = read_tile(shared.tile[buffer], lane);
    if (tile.head < 0) return;
    const uint32_t rows = shared_address(shared.query[buffer]) + (warpgroup * 64 + warp * 16) * 128;
    named_sync(kRowsBarrier + warpgroup, 128);  // the products have read all four warps' rows
    consumer.quantise_query(rows, rows8 + warp * 16 * kDim, p.profile + tile.head / p.group * kDim);
    async_proxy_fence();
    named_sync(kRowsBarrier + warpgroup, 128);  // and will read these
    consumer.attend(tile);
    if (tile.steps + tile.tail_tiles > 0) consumer.finish(maps, tile.head / p.group);
    const uint32_t left = shared_address(&shared.queries.out_full[buffer][warpgroup]);
    stage_rows<kDim>(consumer.out, rows, kChunkBytes, left, pack);
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
    init_barriers(shared);
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
    if (threadIdx.x == 32) store<kDim>(problem, shared, kChunkBytes);
  } else {
    registers_grow<232>();
    compute(maps, problem, shared);
  }
}

extern "C" __device__ const unsigned int attention8_shared_bytes = sizeof(Shared);
