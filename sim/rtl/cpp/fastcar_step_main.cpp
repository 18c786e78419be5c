// Runs token steps on fastcar_step: one AXI4 memory behind its three ports, registers written over AXI4-Lite.
// Arguments: scenario, results. Numbers are little-endian int32 unless said otherwise.
//
// Scenario: the header; the memory's bytes; where parts of it lie on the bus (three int64 each: the first bus address,
// the first byte of the memory, bytes), and whoever asks beside them gets an error; for each step its registers (word
// address, value), what is written into memory before it (address, bytes) and what is read out of it afterwards
// (address, length). Results: for each step its fault, cycles, cycles by phase, the other counters, then what was asked
// for.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "Vfastcar_step.h"
#include "coverage.h"
#include "memory_model.h"
#include "verilated.h"

namespace {

constexpr int kBytes = 64, kPhases = 24;
struct Header {
  int32_t seed, stall, latency, milli_bytes, outstanding, steps, memory, limit;
  int32_t error, response;  // a byte of the memory that answers with `response`, -1: none
  int32_t writes;           // a WriteOrder
  int32_t windows;          // parts of the memory that lie apart on the bus
};
struct Window {
  uint64_t bus, memory, bytes;
};
constexpr uint64_t kNowhere = ~uint64_t{0} >> 1;

FILE* in;
FILE* out;

template <class T>
std::vector<T> read(size_t count) {
  std::vector<T> items(count);
  if (count && fread(items.data(), sizeof(T), count, in) != count) exit(2);
  return items;
}
int32_t number() { return read<int32_t>(1)[0]; }
void put(int32_t value) { fwrite(&value, 4, 1, out); }

template <class Port>
void set_bytes(Port& port, const uint8_t* data) { memcpy(&port[0], data, kBytes); }

class Bench {
 public:
  explicit Bench(const Header& h)
      : h_(h), memory_(0, kBytes, timing(h), behaviour(h)), top_(&context_), rng_(h.seed) {
    context_.randReset(2);
    context_.randSeed((h.seed & 0x3fffffff) + 1);
    memory_.data() = read<uint8_t>(h.memory);
    windows_ = read<Window>(h.windows);
    if (h.error >= 0) memory_.error = {uint64_t(h.error), uint64_t(h.error) + 1};
    top_.s_axil_awvalid_i = top_.s_axil_wvalid_i = top_.s_axil_arvalid_i = 0;
    top_.s_axil_bready_i = top_.s_axil_rready_i = 1;
    top_.rst_ni = 0;
    for (int i = 0; i < 8; i++) {
      context_.assertOn(i >= 4);  // until the reset has met every flop, they hold anything
      top_.clk_i = i & 1;
      top_.eval();
    }
    top_.rst_ni = 1;
  }

  void write(uint32_t address, uint32_t value) {
    top_.s_axil_awaddr_i = address;
    top_.s_axil_wdata_i = value;
    top_.s_axil_wstrb_i = 15;
    top_.s_axil_awvalid_i = top_.s_axil_wvalid_i = 1;
    while (!tick([&] { return top_.s_axil_awready_o && top_.s_axil_wready_o; })) {}
    top_.s_axil_awvalid_i = top_.s_axil_wvalid_i = 0;
    while (!tick([&] { return top_.s_axil_bvalid_o; })) {}
  }

  uint32_t read_register(uint32_t address) {
    uint32_t value = 0;
    top_.s_axil_araddr_i = address;
    top_.s_axil_arvalid_i = 1;
    while (!tick([&] { return top_.s_axil_arready_o; })) {}
    top_.s_axil_arvalid_i = 0;
    while (!tick([&] { value = top_.s_axil_rdata_o; return top_.s_axil_rvalid_o; })) {}
    return value;
  }

  // Starts a step and waits for its end. Returns its cycles; 0 when the limit passed.
  uint64_t step() {
    const uint64_t begin = cycle_;
    write(0, 1);
    while (!tick([&] { return top_.interrupt_o; }))
      if (cycle_ - begin > uint64_t(h_.limit)) return 0;
    return cycle_ - begin;
  }

  std::vector<uint8_t>& data() { return memory_.data(); }
  void final() { top_.final(); }

 private:
  static MemoryTiming timing(const Header& h) {
    // Where channels stall, writes are answered long after reads would be: who reads too early reads what was there.
    return {uint32_t(h.latency), uint32_t(h.milli_bytes), uint32_t(h.outstanding), h.stall ? 8u * h.latency : 0u};
  }
  static MemoryBehaviour behaviour(const Header& h) {
    MemoryBehaviour b;
    b.reads = ReadOrder::kByBurst;
    b.writes = WriteOrder(h.writes);
    b.late = true;
    b.stall = uint32_t(h.stall);
    b.seed = uint64_t(h.seed) + 7;
    return b;
  }
  bool pause() { return h_.stall && int(rng_() % 256) < h_.stall; }

  // Where a burst's bytes lie in the memory: in one window whole, or nowhere.
  uint64_t place(uint64_t address, uint32_t len) const {
    for (const Window& w : windows_)
      if (address >= w.bus && address + (uint64_t(len) + 1) * kBytes <= w.bus + w.bytes) return address - w.bus + w.memory;
    return kNowhere;
  }

  template <class F>
  bool tick(F seen) {
    top_.clk_i = 0;
    top_.w_arready_i = memory_.ar_ready();
    top_.s_arready_i = memory_.ar_ready() && !pause();
    top_.m_arready_i = memory_.ar_ready() && !pause();
    if (!beat_.valid) beat_ = memory_.r_offer();
    top_.w_rvalid_i = beat_.valid && beat_.id == 0;
    top_.s_rvalid_i = beat_.valid && beat_.id == 1;
    top_.m_rvalid_i = beat_.valid && beat_.id == 2;
    if (beat_.valid) {
      const uint8_t response = beat_.error ? h_.response : 0;
      top_.w_rresp_i = top_.s_rresp_i = top_.m_rresp_i = response;
      top_.w_rlast_i = top_.s_rlast_i = top_.m_rlast_i = beat_.last;
      if (beat_.id == 0) set_bytes(top_.w_rdata_i, beat_.bytes);
      if (beat_.id == 1) set_bytes(top_.s_rdata_i, beat_.bytes);
      if (beat_.id == 2) set_bytes(top_.m_rdata_i, beat_.bytes);
    }
    top_.eval();
    top_.m_awready_i = memory_.aw_ready(top_.m_wvalid_o);
    top_.m_wready_i = memory_.w_ready();
    if (!answer_.valid) answer_ = memory_.b_offer();
    top_.m_bvalid_i = answer_.valid;
    top_.m_bresp_i = answer_.error ? h_.response : 0;
    top_.eval();

    const bool done = seen();
    const bool ready = beat_.id == 0 ? top_.w_rready_o : beat_.id == 1 ? top_.s_rready_o : top_.m_rready_o;
    if (beat_.valid && ready) {
      memory_.take_r();
      beat_ = {};
    }
    if (top_.w_arvalid_o && top_.w_arready_i) memory_.accept_ar(0, place(top_.w_araddr_o, top_.w_arlen_o), top_.w_arlen_o);
    if (top_.s_arvalid_o && top_.s_arready_i) memory_.accept_ar(1, place(top_.s_araddr_o, top_.s_arlen_o), top_.s_arlen_o);
    if (top_.m_arvalid_o && top_.m_arready_i) memory_.accept_ar(2, place(top_.m_araddr_o, top_.m_arlen_o), top_.m_arlen_o);
    if (top_.m_awvalid_o && top_.m_awready_i) memory_.accept_aw(0, place(top_.m_awaddr_o, top_.m_awlen_o), top_.m_awlen_o);
    if (top_.m_wvalid_o && top_.m_wready_i) {
      const uint64_t strobe = top_.m_wstrb_o;
      memory_.accept_w(reinterpret_cast<const uint8_t*>(&top_.m_wdata_o[0]), reinterpret_cast<const uint8_t*>(&strobe),
                       top_.m_wlast_o);
    }
    if (answer_.valid && top_.m_bready_o) {
      memory_.take_b();
      answer_ = {};
    }
    memory_.tick();
    context_.timeInc(1);  // assertions name the cycle
    top_.clk_i = 1;
    top_.eval();
    cycle_++;
    return done;
  }

  Header h_;
  VerilatedContext context_;
  MemoryModel memory_;
  std::vector<Window> windows_;
  Vfastcar_step top_;
  const KeepCoverage keep_{context_};
  std::mt19937 rng_;
  MemoryModel::Beat beat_, answer_;
  uint64_t cycle_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  in = argc == 3 ? fopen(argv[1], "rb") : nullptr;
  out = argc == 3 ? fopen(argv[2], "wb") : nullptr;
  if (!in || !out) return 2;
  const Header h = read<Header>(1)[0];
  Bench bench(h);
  for (int step = 0; step < h.steps; step++) {
    for (int n = number(); n > 0; n--) {
      const int32_t address = number();
      bench.write(uint32_t(address), uint32_t(number()));
    }
    for (int n = number(); n > 0; n--) {
      const int32_t address = number();
      const auto bytes = read<uint8_t>(number());
      std::copy(bytes.begin(), bytes.end(), bench.data().begin() + address);
    }
    const uint64_t cycles = bench.step();
    if (!cycles) {
      fprintf(stderr, "step %d hangs:", step);
      for (int p = 0; p < kPhases; p++) fprintf(stderr, " %u", bench.read_register(0x100 + 4 * p));
      fprintf(stderr, " cycles by phase\n");
      return 1;
    }
    put(int32_t(bench.read_register(0xa0)));
    put(int32_t(cycles));
    for (int p = 0; p < kPhases; p++) put(int32_t(bench.read_register(0x100 + 4 * p)));
    for (uint32_t a = 0xa4; a <= 0xb4; a += 4) put(int32_t(bench.read_register(a)));
    put(int32_t(bench.read_register(0)));
    for (int n = number(); n > 0; n--) {
      const int32_t address = number(), length = number();
      fwrite(bench.data().data() + address, 1, length, out);
    }
  }
  bench.final();
  fclose(in);
  fclose(out);
  return 0;
}
