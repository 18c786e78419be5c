// Turns the ascending block lists into bit sets for the pooled tail: a set bit means "no pooled token for this video
// block", because the block itself is attended, or because there is no such block (padding of the last word).
// One thread block for each row; dynamic shared memory holds its words.
extern "C" __global__ void listed_bits(const int* blocks, const int* counts, unsigned int* listed, int n_blocks,
                                       int n_video_blocks, int words) {
  extern __shared__ unsigned int bits[];
  const long long row = blockIdx.x;
  for (int w = threadIdx.x; w < words; w += blockDim.x) {
    const int missing = 32 * (w + 1) - n_video_blocks;
    bits[w] = missing <= 0 ? 0u : missing >= 32 ? ~0u : ~0u << (32 - missing);
  }
  __syncthreads();
  const int count = counts[row];
  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    const int block = blocks[row * n_blocks + i];
    if (block < n_video_blocks) atomicOr(&bits[block / 32], 1u << (block % 32));
  }
  __syncthreads();
  for (int w = threadIdx.x; w < words; w += blockDim.x) listed[row * words + w] = bits[w];
}
