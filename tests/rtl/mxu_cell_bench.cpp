// Every operand, a byte or two entries, times every weight byte in every mode and phase of an array cell, against plain
// products.
#include <cstdint>
#include <cstdio>

#include "Vmxu_cell_bench.h"
#include "verilated.h"

namespace {

int low(int byte) { return byte & 15; }
int high(int byte) { return byte >> 4 & 15; }
int signed4(int nibble) { return nibble < 8 ? nibble : nibble - 16; }
int entry(int five) { return five < 16 ? five : five - 32; }

// docs/numerics.md, MATMUL; the high nibble of an int8 weight counts sixteenfold.
int expected(int a, int w, int mode, int phase) {
  if (mode == 0) return entry(a & 31) * signed4(low(w)) + entry(a >> 5) * signed4(high(w));
  if (mode == 1) return static_cast<int8_t>(a) * signed4(phase ? high(w) : low(w));
  return static_cast<int8_t>(a) * (phase ? 16 * signed4(high(w)) : low(w));
}

}  // namespace

int main() {
  VerilatedContext context;
  Vmxu_cell_bench top{&context};
  long checked = 0;
  for (int mode = 0; mode < 3; mode++) {
    for (int phase = 0; phase < (mode == 0 ? 1 : 2); phase++) {
      for (int a = 0; a < (mode == 0 ? 1024 : 256); a++) {
        for (int w = 0; w < 256; w++) {
          top.mode_i = mode;
          top.phase_i = phase;
          top.operand_i = a;
          top.weight_i = w;
          top.eval();
          const int32_t got = static_cast<int32_t>(top.product_o), want = expected(a, w, mode, phase);
          if (got != want) {
            printf("mode %d phase %d: %02x x %02x gives %d, not %d\n", mode, phase, a, w, got, want);
            return 1;
          }
          checked++;
        }
      }
    }
  }
  printf("%ld products\n", checked);
  return 0;
}
