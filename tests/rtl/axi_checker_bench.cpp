// Shows a trace to the protocol checker: 30 words a cycle, in the order of its ports (tests/rtl/test_axi_checker.py).
// Usage: Vaxi_checker TRACE. Beats have 4 bytes. The checker itself ends the simulation at an offence.
#include <cstdint>
#include <cstdio>

#include "Vaxi_checker.h"
#include "verilated.h"

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  FILE* f = fopen(argv[1], "rb");
  if (!f) return 2;
  VerilatedContext context;
  Vaxi_checker top{&context};
  uint32_t v[30];
  while (fread(v, 4, 30, f) == 30) {
    int i = 0;
    top.rst_ni = v[i++];
    top.ar_valid_i = v[i++], top.ar_ready_i = v[i++], top.ar_id_i = v[i++], top.ar_addr_i = v[i++];
    top.ar_len_i = v[i++], top.ar_size_i = v[i++], top.ar_burst_i = v[i++];
    top.r_valid_i = v[i++], top.r_ready_i = v[i++], top.r_id_i = v[i++], top.r_data_i = v[i++];
    top.r_resp_i = v[i++], top.r_last_i = v[i++];
    top.aw_valid_i = v[i++], top.aw_ready_i = v[i++], top.aw_id_i = v[i++], top.aw_addr_i = v[i++];
    top.aw_len_i = v[i++], top.aw_size_i = v[i++], top.aw_burst_i = v[i++];
    top.w_valid_i = v[i++], top.w_ready_i = v[i++], top.w_data_i = v[i++], top.w_strb_i = v[i++];
    top.w_last_i = v[i++];
    top.b_valid_i = v[i++], top.b_ready_i = v[i++], top.b_id_i = v[i++], top.b_resp_i = v[i++];
    top.clk_i = 0;
    top.eval();
    top.clk_i = 1;
    top.eval();
  }
  fclose(f);
  top.final();
  return 0;
}
