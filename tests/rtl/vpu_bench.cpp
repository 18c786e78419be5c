// Runs jobs on the vector engine: a scratchpad with random grants, accumulator rows with random gaps.
// Usage: Vbench_vpu JOBS OUT. The files' layout is that of tests/rtl/vpu_jobs.py. DEPTH, LANES, SPAD_WORDS, PROG_WORDS, TABLES
// come as macros.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "../../sim/rtl/cpp/coverage.h"
#include "Vbench_vpu.h"
#include "verilated.h"

namespace {

constexpr int kWords32 = DEPTH / 4;

struct Reader {
  std::vector<uint8_t> data;
  size_t at = 0;
  const uint8_t* take(size_t bytes) {
    if (at + bytes > data.size()) {
      fprintf(stderr, "jobs file ends early\n");
      exit(2);
    }
    at += bytes;
    return data.data() + at - bytes;
  }
  uint32_t word() {
    uint32_t v;
    memcpy(&v, take(4), 4);
    return v;
  }
};

struct Random {
  uint64_t state;
  uint32_t next() {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return static_cast<uint32_t>(state >> 16);
  }
  bool chance(uint32_t in256) { return (next() & 255) < in256; }
};

struct ReadPort {
  bool granted = false;
  uint8_t word[DEPTH];
};

void store(uint32_t* to, const uint8_t* from) { memcpy(to, from, DEPTH); }

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  Reader in;
  FILE* f = fopen(argv[1], "rb");
  if (!f) return 2;
  fseek(f, 0, SEEK_END);
  in.data.resize(ftell(f));
  rewind(f);
  if (fread(in.data.data(), 1, in.data.size(), f) != in.data.size()) return 2;
  fclose(f);
  FILE* out = fopen(argv[2], "wb");
  if (!out) return 2;

  VerilatedContext context;
  context.randReset(2);
  context.randSeed(static_cast<int>(in.data.size() % 1000003) + 1);  // other jobs, another power-on state
  Vbench_vpu top{&context};
  const KeepCoverage keep{context};
  top.clk_i = 0;
  top.rst_ni = 1;
  top.eval();
  top.rst_ni = 0;
  for (int i = 0; i < 4; i++) {  // with clocks, so that assertions forget the random start too
    top.clk_i = i & 1;
    top.eval();
  }
  top.clk_i = 0;
  top.rst_ni = 1;
  top.eval();

  std::vector<uint8_t> spad(SPAD_WORDS * DEPTH);
  const uint32_t jobs = in.word();
  for (uint32_t job = 0; job < jobs; job++) {
    Random random{in.word() | 0x100000001ull};
    uint32_t stall[5];
    for (auto& s : stall) s = in.word();
    const uint32_t instructions = in.word(), rows = in.word();
    const uint8_t* prog = in.take(PROG_WORDS * 32);
    const uint8_t* tables = in.take(TABLES * 64);
    memcpy(spad.data(), in.take(spad.size()), spad.size());
    const uint8_t* instr = in.take(instructions * 64);
    const uint8_t* row = in.take(size_t{rows} * LANES * 4);

    for (int t = 0; t < TABLES; t++) {
      for (int i = 0; i < 16; i++) top.decode_i[t][i] = tables[64 * t + i] & 31;
      for (int i = 0; i < 15; i++) memcpy(&top.threshold_i[t][i], tables + 64 * t + 16 + 2 * i, 2);
    }

    auto edge = [&] {
      top.clk_i = 1;
      top.eval();
      top.clk_i = 0;
    };
    auto quiet = [&] {
      top.instr_valid_i = top.token_wait_i = top.stop_i = top.acc_valid_i = top.prog_we_i = 0;
      top.a_rgnt_i = top.b_rgnt_i = top.p_rgnt_i = top.wgnt_i = 0;
      top.eval();
    };
    quiet();
    for (uint32_t w = 0; w < PROG_WORDS * 32 / DEPTH; w++) {
      top.prog_we_i = 1;
      top.prog_addr_i = w;
      store(top.prog_wdata_i.data(), prog + w * DEPTH);
      top.eval();
      edge();
    }
    quiet();

    ReadPort ports[3];
    uint32_t status = 2, cause = 0, taken = 0, issued = 0, cycles = 0, classes[7] = {};
    std::vector<uint32_t> signatures;
    bool offered = false, instr_offered = false;
    uint64_t last = 0;
    while (cycles - last < 200000) {
      uint32_t* rdata[3] = {top.a_rdata_i.data(), top.b_rdata_i.data(), top.p_rdata_i.data()};
      for (int p = 0; p < 3; p++) {
        if (ports[p].granted) {
          store(rdata[p], ports[p].word);
        } else {
          for (int i = 0; i < kWords32; i++) rdata[p][i] = random.next();
        }
      }
      offered = taken < rows && (offered || !random.chance(stall[4]));
      top.acc_valid_i = offered;
      if (offered) memcpy(&top.acc_data_i[0], row + size_t{taken} * LANES * 4, LANES * 4);
      instr_offered = issued < instructions && (instr_offered || !random.chance(stall[4]));
      top.instr_valid_i = instr_offered;
      top.token_wait_i = issued < instructions && !instr_offered;
      if (issued < instructions) memcpy(&top.instr_i[0], instr + 64 * issued, 64);
      top.eval();
      top.a_rgnt_i = top.a_rreq_o && !random.chance(stall[0]);
      top.b_rgnt_i = top.b_rreq_o && !random.chance(stall[1]);
      top.p_rgnt_i = top.p_rreq_o && !random.chance(stall[2]);
      top.wgnt_i = top.wreq_o && !random.chance(stall[3]);
      top.eval();

      cycles++;
      int set = 0;
      for (int c = 0; c < 7; c++) {
        if (top.class_o >> c & 1) {
          classes[c]++;
          set++;
        }
      }
      if (set != 1) {
        fprintf(stderr, "job %u: %d classes in one cycle\n", job, set);
        return 1;
      }
      const bool grants[3] = {bool(top.a_rgnt_i), bool(top.b_rgnt_i), bool(top.p_rgnt_i)};
      const uint32_t addrs[3] = {top.a_raddr_o, top.b_raddr_o, top.p_raddr_o};
      const bool write = top.wgnt_i;
      uint8_t bytes[DEPTH];
      memcpy(bytes, top.wdata_o.data(), DEPTH);
      const uint64_t be = top.wbe_o;
      const uint32_t waddr = top.waddr_o;
      const bool handed = offered && top.acc_ready_o, accepted = instr_offered && top.instr_ready_o;
      if (top.retire_o) {
        signatures.push_back(top.retire_sig_o);
        last = cycles;
      }
      const bool fault = top.fault_o;
      cause = top.fault_cause_o;
      const bool done = signatures.size() == instructions && top.idle_o;
      edge();
      // A read sees the word as it was before a write of the same cycle.
      for (int p = 0; p < 3; p++) {
        ports[p].granted = grants[p];
        if (grants[p]) memcpy(ports[p].word, spad.data() + size_t{addrs[p]} * DEPTH, DEPTH);
      }
      if (write) {
        for (int b = 0; b < DEPTH; b++) {
          if (be >> b & 1) spad[size_t{waddr} * DEPTH + b] = bytes[b];
        }
      }
      if (handed) {
        taken++;
        offered = false;
      }
      if (accepted) {
        issued++;
        instr_offered = false;
      }
      if (fault) {
        status = 1;
        break;
      }
      if (done) {
        status = 0;
        cause = 0;
        break;
      }
    }
    // Stop whatever is left, and let writes under way drain.
    top.instr_valid_i = top.acc_valid_i = 0;
    for (int i = 0; i < 200 && (i < 3 || !top.idle_o); i++) {
      top.stop_i = i < 3;
      top.eval();
      top.wgnt_i = top.wreq_o;
      top.p_rgnt_i = top.p_rreq_o;
      top.a_rgnt_i = top.b_rgnt_i = 0;
      top.eval();
      edge();
      top.eval();
    }
    if (!top.idle_o) {
      fprintf(stderr, "job %u: not idle after stop\n", job);
      return 1;
    }
    const uint32_t head[5] = {status, cause, static_cast<uint32_t>(signatures.size()), taken, cycles};
    fwrite(head, 4, 5, out);
    fwrite(classes, 4, 7, out);
    fwrite(signatures.data(), 4, signatures.size(), out);
    fwrite(spad.data(), 1, spad.size(), out);
  }
  fclose(out);
  top.final();
  return 0;
}
