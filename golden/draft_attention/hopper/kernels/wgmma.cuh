// Warpgroup matrix multiply-accumulate (PTX ISA 9.0, "wgmma.mma_async"): M = 64 rows for each warpgroup.
//
// Accumulators are register arrays of N / 2. Thread t of the warpgroup holds, in
// registers 4j + {0, 1}, row 16 (t / 32) + (t % 32) / 4, columns 8j + 2 (t % 4) + {0, 1}; registers 4j + {2, 3} are
// the same columns eight rows below.
#pragma once

#include "ptx.cuh"

// Descriptor of an operand tile whose rows are kRowBytes long and swizzled over that length; the tile's buffer is
// 1024-byte aligned. K-major operands have rows along the reduction and ignore `chunk_stride`. MN-major ones (16-bit,
// 128-byte rows) have 64-element chunks along M or N, `chunk_stride` bytes apart.
template <int kRowBytes>
__device__ __forceinline__ uint64_t matrix_descriptor(uint32_t address, uint32_t chunk_stride = 0) {
  static_assert(kRowBytes == 64 || kRowBytes == 128);
  constexpr uint64_t kSwizzle = (kRowBytes == 128 ? 1ull : 2ull) << 62;
  constexpr uint64_t kGroupStride = uint64_t(8 * kRowBytes >> 4) << 32;  // between groups of eight rows
  return kSwizzle | kGroupStride | (uint64_t(chunk_stride >> 4) << 16) | uint64_t((address & 0x3FFFF) >> 4);
}

__device__ __forceinline__ void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

template <int kPending>
__device__ __forceinline__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

// Keeps the compiler from moving uses of these registers across this point; emits nothing.
template <int kCount>
__device__ __forceinline__ void pin(float (&r)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(r[i])::"memory");
}

template <int kCount>
__device__ __forceinline__ void pin(int (&r)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+r"(r[i])::"memory");
}

// Holds the following wgmma_wait back until `value` is known. ptxas otherwise schedules the wait first and the
// arithmetic that should overlap the products after it; a store that might happen (to `scratch`, which nobody reads)
// stays before the wait.
__device__ __forceinline__ void order_after(float value, uint32_t scratch) {
  asm volatile("{\n.reg .pred p;\nsetp.eq.f32 p, %1, 0f7E5A5A5A;\n@p st.shared.f32 [%0], %1;\n}" ::"r"(scratch),
               "f"(value)
               : "memory");
}

#define REGS_32                                                                                                    \
  "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29," \
  "%30,%31"
#define REGS_64                                                                                                    \
  REGS_32                                                                                                          \
  ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,"  \
  "%59,%60,%61,%62,%63"
#define REGS_36 REGS_32 ",%32,%33,%34,%35"
#define REGS_68 REGS_64 ",%64,%65,%66,%67"
#define TIED_4(c, d, i) c(d[i]), c(d[i + 1]), c(d[i + 2]), c(d[i + 3])
#define TIED_8(c, d, i) \
  c(d[i]), c(d[i + 1]), c(d[i + 2]), c(d[i + 3]), c(d[i + 4]), c(d[i + 5]), c(d[i + 6]), c(d[i + 7])
#define TIED_32(c, d) TIED_8(c, d, 0), TIED_8(c, d, 8), TIED_8(c, d, 16), TIED_8(c, d, 24)
#define TIED_64(c, d) TIED_32(c, d), TIED_8(c, d, 32), TIED_8(c, d, 40), TIED_8(c, d, 48), TIED_8(c, d, 56)
#define TIED_36(c, d) TIED_32(c, d), TIED_4(c, d, 32)
#define TIED_68(c, d) TIED_64(c, d), TIED_4(c, d, 64)

// Both operands in shared memory; `accumulate` false overwrites d. `shape` is "m64nNkK.types", `flags` the trailing
// immediates; i0.. are the operand numbers that follow the accumulator's.
#define DEFINE_WGMMA_SS(name, type, constraint, shape, flags, count, i0, i1, i2)                               \
  __device__ __forceinline__ void name(type(&d)[count], uint64_t left, uint64_t right, bool accumulate) {      \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " i2 ", 0;\nwgmma.mma_async.sync.aligned." shape            \
                 " {" REGS_##count "}, " i0 ", " i1 ", p" flags ";\n}"                                         \
                 : TIED_##count(constraint, d)                                                                 \
                 : "l"(left), "l"(right), "r"(int(accumulate)));                                               \
  }

// Left operand in four registers, right one in shared memory.
#define DEFINE_WGMMA_RS(name, shape, flags, count, i0, i1, i2, i3, i4, i5)                                         \
  __device__ __forceinline__ void name(float(&d)[count], const uint32_t* left, uint64_t right, bool accumulate) {  \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " i5 ", 0;\nwgmma.mma_async.sync.aligned." shape                \
                 " {" REGS_##count "}, {" i0 ", " i1 ", " i2 ", " i3 "}, " i4 ", p" flags ";\n}"                   \
                 : TIED_##count("+f", d)                                                                           \
                 : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "l"(right), "r"(int(accumulate)));      \
  }
