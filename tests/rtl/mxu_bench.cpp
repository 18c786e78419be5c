// Runs jobs on the matrix engine: a scratchpad that grants at random, a taker of rows that is ready at random.
// Usage: Vbench_mxu JOBS OUT. The files' layout is that of tests/rtl/mxu_jobs.py. DEPTH, LANES, SPAD_WORDS, TABLES are macros.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "../../sim/rtl/cpp/coverage.h"
#include "Vbench_mxu.h"
#include "verilated.h"

namespace {

constexpr int kClasses = 7;
constexpr uint32_t kPatience = 4000000;  // cycles without a retirement or a row

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

// One read port: the word comes in the cycle after the grant, noise in all others.
struct ReadPort {
  bool granted = false;
  uint32_t addr = 0;
  void drive(uint32_t* to, const uint8_t* spad, Random& random) const {
    if (granted) {
      memcpy(to, spad + size_t{addr} * DEPTH, DEPTH);
    } else {
      for (int i = 0; i < DEPTH / 4; i++) to[i] = random.next();
    }
  }
};

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
  Vbench_mxu top{&context};
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

  const uint32_t jobs = in.word();
  for (uint32_t job = 0; job < jobs; job++) {
    Random random{in.word() | 0x100000001ull};
    uint32_t stall[4];  // chances in 256: no grant to the stream, to the weights, no taker, no instruction
    for (auto& s : stall) s = in.word();
    const uint32_t instructions = in.word(), expected_rows = in.word();
    const uint8_t* tables = in.take(TABLES * 64);
    const uint8_t* spad = in.take(size_t{SPAD_WORDS} * DEPTH);
    const uint8_t* instr = in.take(size_t{instructions} * 64);
    for (int t = 0; t < TABLES; t++) {
      for (int i = 0; i < 16; i++) top.decode_i[t][i] = tables[64 * t + i] & 31;
    }

    ReadPort stream, weight;
    std::vector<uint32_t> signatures, rows;
    uint32_t status = 2, cause = 0, issued = 0, cycles = 0, last = 0, taken = 0, idle = 0, classes[kClasses] = {};
    bool offered = false;
    top.stop_i = 0;
    while (cycles - last < kPatience) {
      stream.drive(&top.stream_rdata_i[0], spad, random);
      weight.drive(&top.weight_rdata_i[0], spad, random);
      offered = issued < instructions && (offered || !random.chance(stall[3]));
      top.instr_valid_i = offered;
      top.token_wait_i = issued < instructions && !offered;
      if (offered) {
        memcpy(&top.instr_i[0], instr + 64 * issued, 64);
      } else {
        for (int i = 0; i < 16; i++) top.instr_i[i] = random.next();
      }
      top.acc_ready_i = !random.chance(stall[2]);
      top.stream_rgnt_i = top.weight_rgnt_i = 0;
      top.eval();
      top.stream_rgnt_i = top.stream_rreq_o && !random.chance(stall[0]);
      top.weight_rgnt_i = top.weight_rreq_o && !random.chance(stall[1]);
      top.eval();

      cycles++;
      int set = 0;
      for (int c = 0; c < kClasses; c++) {
        if (top.class_o >> c & 1) {
          classes[c]++;
          set++;
        }
      }
      if (set != 1) {
        fprintf(stderr, "job %u: %d classes in one cycle\n", job, set);
        return 1;
      }
      stream.granted = top.stream_rgnt_i;
      stream.addr = top.stream_raddr_o;
      weight.granted = top.weight_rgnt_i;
      weight.addr = top.weight_raddr_o;
      if ((top.stream_rreq_o && stream.addr >= SPAD_WORDS) || (top.weight_rreq_o && weight.addr >= SPAD_WORDS)) {
        fprintf(stderr, "job %u: request beyond the scratchpad\n", job);
        return 1;
      }
      if (top.acc_valid_o && top.acc_ready_i) {
        for (int c = 0; c < LANES; c++) rows.push_back(top.acc_data_o[c]);
        taken++;
        last = cycles;
      }
      if (top.retire_o) {
        signatures.push_back(top.retire_sig_o);
        last = cycles;
      }
      const bool accepted = offered && top.instr_ready_o;
      const bool fault = top.fault_o;
      cause = top.fault_cause_o;
      const bool done = signatures.size() == instructions && top.idle_o;
      if (top.idle_o && (issued != signatures.size() || top.acc_valid_o)) {
        fprintf(stderr, "job %u: idle with work left\n", job);
        return 1;
      }
      top.clk_i = 1;
      top.eval();
      top.clk_i = 0;
      if (accepted) {
        issued++;
        offered = false;
      }
      if (fault) {
        status = 1;
        break;
      }
      idle = done ? idle + 1 : 0;
      if (idle > 4 || (done && !expected_rows)) {  // a few more cycles: nothing else may come
        status = 0;
        break;
      }
    }
    if (status == 2) {
      fprintf(stderr, "job %u: no progress after %zu instructions and %u rows\n", job, signatures.size(), taken);
      return 1;
    }
    if (status == 1) {  // a stop of one cycle must do
      top.stop_i = 1;
      top.instr_valid_i = top.stream_rgnt_i = top.weight_rgnt_i = 0;
      top.eval();
      top.clk_i = 1;
      top.eval();
      top.clk_i = top.stop_i = 0;
      top.eval();
      if (!top.idle_o || top.fault_o || top.acc_valid_o || top.stream_rreq_o || top.weight_rreq_o) {
        fprintf(stderr, "job %u: not idle after stop\n", job);
        return 1;
      }
    }
    const uint32_t head[4] = {cause, static_cast<uint32_t>(signatures.size()), taken, cycles};
    fwrite(head, 4, 4, out);
    fwrite(classes, 4, kClasses, out);
    fwrite(signatures.data(), 4, signatures.size(), out);
    fwrite(rows.data(), 4, rows.size(), out);
  }
  fclose(out);
  top.final();
  return 0;
}
