// The order in which the video tiles of a head are handed out: those of most blocks first, equal ones as they stand.
// A thread block for each head and 256 tiles; a thread counts what comes before its tile. Quadratic in the tiles of a
// head, and faster than a sort while these are few.
constexpr int kThreads = 256;

// `counts` [heads, blocks of a head]; a tile is `parts` (1 or 2) of the first `n_video` blocks. Writes `order`
// [heads, tiles], and zero to `next_tile`.
extern "C" __global__ void __launch_bounds__(kThreads)
    order_tiles(const int* counts, int* order, int* next_tile, int blocks, int n_video, int tiles, int parts) {
  __shared__ int others[kThreads];
  const int chunks = (tiles + kThreads - 1) / kThreads;
  const int head = blockIdx.x / chunks, mine = blockIdx.x % chunks * kThreads + threadIdx.x;
  const int* row = counts + (long long)head * blocks;
  auto work = [&](int tile) {
    const int block = tile * parts;
    return row[block] + (parts == 2 && block + 1 < n_video ? row[block + 1] : 0);
  };
  const int own = mine < tiles ? work(mine) : 0;
  int before = 0;
  for (int base = 0; base < tiles; base += kThreads) {
    const int other = base + int(threadIdx.x);
    __syncthreads();
    others[threadIdx.x] = other < tiles ? work(other) : -1;
    __syncthreads();
#pragma unroll 8
    for (int i = 0; i < kThreads; ++i) before += others[i] > own || (others[i] == own && base + i < mine);
  }
  if (mine < tiles) order[(long long)head * tiles + before] = mine;
  if (blockIdx.x == 0 && threadIdx.x == 0) *next_tile = 0;
}
