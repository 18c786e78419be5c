// Block-sparse attention in bf16 or fp16 for Hopper. Build with -DHEAD_DIM=64|128, -DELEMENT="bf16"|"f16" (a string),
// -DTAIL=0|1, -DQUERY_BLOCK=64|128 and -DKEY_BLOCK=64|128 (tokens in a block of the mask; 128 by default), and -DRUNS=n
// (runs16.cuh; 0 by default).
//
// One persistent thread block on each multiprocessor. A loading warp walks the bit rows and brings key and value
// boxes straight from the token order into a ring of shared-memory slots; two computing warpgroups own 64 rows of the
// query block each; a storing warp sends off what they leave in the query buffer. The schedule is FlashAttention-3's (Shah et al., arXiv 2407.08608): within a warpgroup the
// softmax of block n overlaps the value product of block n - 1; the two warpgroups run free of each other, and one
// multiplies while the other exponentiates. The output is rescaled only when a row's maximum grows by more than a
// factor 2^kRescaleThreshold.
#include "compute16.cuh"
#include "load16.cuh"

__device__ __forceinline__ void compute(const Problem& p, Shared& shared) {
  const int warpgroup = threadIdx.x / 128 - 1;
  const int warp = threadIdx.x / 32 & 3;
  Consumer consumer{{shared, int(threadIdx.x & 31)}, p, warpgroup};
  int buffer = 0;
  uint32_t phase = 0;
  for (;;) {
    barrier_wait(shared_address(&shared.queries.query_full[buffer]), phase);
    const Tile tile = read_tile(shared.tile[buffer], consumer.lane);
    if (tile.head < 0) return;
    const uint32_t rows = shared_address(shared.query[buffer]) + (warpgroup * 64 + warp * 16) * 128;
    load_rows<kDim>(consumer.query, rows, kChunkBytes, consumer.lane);
    consumer.attend(tile);
    const uint32_t left = shared_address(&shared.queries.out_full[buffer][warpgroup]);
    stage_rows<kDim>(consumer.out, rows, kChunkBytes, left, pack);
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
    init_barriers(shared);
  }
  __syncthreads();
  if (threadIdx.x < 128) {
    registers_shrink<56>();
    if (threadIdx.x < 32) load(maps, problem, shared);
    if (threadIdx.x == 32) store<kDim>(problem, shared, kChunkBytes);
  } else {
    registers_grow<224>();
    compute(problem, shared);
  }
}

extern "C" __device__ const unsigned int attention16_shared_bytes = sizeof(Shared);
