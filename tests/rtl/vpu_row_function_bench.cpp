// Streams int32 inputs through vpu_row_function, one a cycle: file of int32 in, file of uint32 (RECIP, then RSQRT) out.
#include <cstdint>
#include <cstdio>
#include <vector>

#include "Vvpu_row_function.h"
#include "verilated.h"

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  std::vector<int32_t> in;
  FILE* f = fopen(argv[1], "rb");
  if (!f) return 2;
  for (int32_t v; fread(&v, 4, 1, f) == 1;) in.push_back(v);
  fclose(f);
  FILE* out = fopen(argv[2], "wb");
  if (!out) return 2;
  VerilatedContext context;
  Vvpu_row_function top{&context};
  top.enable_i = 1;
  top.valid_i = 15;
  for (int root = 0; root < 2; root++) {
    top.root_i = root;
    for (size_t i = 0; i < in.size() + 4; i++) {
      top.y_i = i < in.size() ? in[i] : 0;
      top.clk_i = 0;
      top.eval();
      if (i >= 4) fwrite(&top.packed_o, 4, 1, out);
      top.clk_i = 1;
      top.eval();
    }
  }
  fclose(out);
  top.final();
  return 0;
}
