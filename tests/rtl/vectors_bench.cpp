// Rows of 11 int64 inputs of bench_vectors from one file, rows of 7 int64 outputs into another.
#include <cstdint>
#include <cstdio>

#include "Vbench_vectors.h"
#include "verilated.h"

int main(int argc, char** argv) {
  FILE* in = argc == 3 ? fopen(argv[1], "rb") : nullptr;
  FILE* out = argc == 3 ? fopen(argv[2], "wb") : nullptr;
  if (!in || !out) return 2;
  VerilatedContext context;
  Vbench_vectors top{&context};
  for (int64_t r[11]; fread(r, sizeof r, 1, in) == 1;) {
    top.value_i = r[0] & 0xFFFFFFFFFFFF;
    top.count_i = r[1] & 0x3FF;
    top.x_i = r[2];
    top.mult_i = r[3];
    top.lane_i = r[4];
    top.exp2n_i = r[5];
    top.row_i = r[6];
    top.root_i = r[7];
    top.operand_i = r[8] & 0x3FF;
    top.weight_i = r[8] >> 10;
    top.mode_i = r[9];
    top.phase_i = r[10];
    for (int cycle = 0; cycle < 4; cycle++) {
      top.clk_i = 0;
      top.eval();
      top.clk_i = 1;
      top.eval();
    }
    const int64_t rounded = static_cast<int64_t>(top.rounded_o << 16) >> 16;
    const int64_t o[7] = {rounded, static_cast<int16_t>(top.sat16_o), static_cast<int32_t>(top.sat32_o),
                          static_cast<int32_t>(top.requantised_o), static_cast<int16_t>(top.lane_o),
                          top.packed_o, static_cast<int32_t>(top.product_o)};
    fwrite(o, sizeof o, 1, out);
  }
  fclose(in);
  fclose(out);
  top.final();
  return 0;
}
