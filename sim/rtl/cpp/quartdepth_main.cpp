// Runs one program on the chip: memory image in, memory image, events and registers out. No Python on the way.
//
//   Vquartdepth_board --image FILE --memory-out FILE --events FILE --classes FILE --result FILE [--write ADDR=VALUE ...] [--read ADDR ...]
//                     [--latency N] [--milli-bytes-per-cycle N] [--max-cycles N] [--error A:B] [--hang A:B]
//                     [--traffic FILE] [--waves FILE --waves-from N --waves-to N] [+PLUSARG ...]
//
// Registers are written in order before the clock matters (the last write starts the chip); when the interrupt rises, or
// max-cycles have passed, the registers to read are read and everything is written out. Events are 16-byte records
// {u64 cycle, u32 retire << 31 | engine << 24 | pc, u32 signature}. Classes are seven u64 for each instruction that the MXU
// retires: its cycles by class since the one before. Traffic is a u64 for every kTrafficCycles cycles from the start on:
// bytes that crossed the memory port so far. Waves (a build with --trace-fst; --trace-saif: how often each bit changed)
// hold those cycles alone. Progress goes to stdout: "progress CYCLES RETIRED".

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iostream>
#include <memory>
#include <utility>

#include "Vquartdepth_board.h"
#include "coverage.h"
#include "memory_model.h"
#include "verilated.h"
#if VM_TRACE_FST
#include "verilated_fst_c.h"
#elif VM_TRACE_SAIF
#include "verilated_saif_c.h"
#endif

namespace {

constexpr uint64_t kTrafficCycles = 256;

struct Event {
  uint64_t cycle;
  uint32_t what, signature;
};
static_assert(sizeof(Event) == 16);

struct Options {
  std::string image, memory_out, events, classes, result, traffic, waves;
  std::vector<std::pair<uint32_t, uint32_t>> writes;
  std::vector<uint32_t> reads;
  MemoryTiming timing;
  MemoryBehaviour behaviour;
  int power_on = -1;  // seed of what memories and flops hold at first; -1: zeros
  uint64_t max_cycles = 1ull << 40, waves_from = 0, waves_to = 0;
  Range error, hang;
};

// Of this process alone, so that what else runs on the computer hardly counts.
double cpu_seconds() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return double(now.tv_sec) + double(now.tv_nsec) * 1e-9;
}

[[noreturn]] void fail(const std::string& message) {
  std::fprintf(stderr, "%s\n", message.c_str());
  std::exit(2);
}

Range parse_range(const std::string& text) {
  const size_t colon = text.find(':');
  if (colon == std::string::npos) fail("a range is BEGIN:END, not " + text);
  return {std::stoull(text.substr(0, colon), nullptr, 0), std::stoull(text.substr(colon + 1), nullptr, 0)};
}

Options parse(int argc, char** argv) {
  Options o;
  Verilated::commandArgs(argc, argv);
  for (int i = 1; i + 1 < argc && argv[i][0] != '+'; i += 2) {
    const std::string name = argv[i], value = argv[i + 1];
    if (name == "--image") o.image = value;
    else if (name == "--memory-out") o.memory_out = value;
    else if (name == "--events") o.events = value;
    else if (name == "--classes") o.classes = value;
    else if (name == "--result") o.result = value;
    else if (name == "--traffic") o.traffic = value;
    else if (name == "--waves") o.waves = value;
    else if (name == "--waves-from") o.waves_from = std::stoull(value);
    else if (name == "--waves-to") o.waves_to = std::stoull(value);
    else if (name == "--latency") o.timing.latency = std::stoul(value);
    else if (name == "--milli-bytes-per-cycle") o.timing.milli_bytes_per_cycle = std::stoul(value);
    else if (name == "--stall") o.behaviour.stall = std::stoul(value);
    else if (name == "--seed") o.behaviour.seed = std::stoull(value);
    else if (name == "--write-order") o.behaviour.writes = WriteOrder(std::stoul(value));
    else if (name == "--read-order") o.behaviour.reads = ReadOrder(std::stoul(value));
    else if (name == "--power-on") o.power_on = std::stoi(value);
    else if (name == "--max-cycles") o.max_cycles = std::stoull(value);
    else if (name == "--error") o.error = parse_range(value);
    else if (name == "--hang") o.hang = parse_range(value);
    else if (name == "--read") o.reads.push_back(std::stoul(value, nullptr, 0));
    else if (name == "--write") {
      const size_t equals = value.find('=');
      o.writes.emplace_back(std::stoul(value.substr(0, equals), nullptr, 0), std::stoul(value.substr(equals + 1), nullptr, 0));
    } else fail("unknown option " + name);
  }
  if (o.image.empty() || o.result.empty()) fail("--image and --result are needed");
  return o;
}

template <typename Port>
uint8_t* bytes_of(Port& port) {
  return reinterpret_cast<uint8_t*>(&port);
}

class Chip {
  static constexpr unsigned kMxu = 1, kClasses = 7;

 public:
  Chip(std::vector<uint8_t> image, const Options& o)
      : top_(powered_on(o.power_on)), memory_(image.size(), sizeof(top_->m_axi_rdata_d), o.timing, o.behaviour) {
    memory_.data() = std::move(image);
    memory_.error = o.error;
    memory_.hang = o.hang;
#if VM_TRACE
    Verilated::traceEverOn(true);
    if (!o.waves.empty()) {
      top_->trace(&waves_, 99);
      waves_.set_time_unit("1ns");
      waves_.set_time_resolution("1ns");
      waves_.open(o.waves.c_str());
    }
#endif
    top_->rst_ni = 0;
    Verilated::defaultContextp()->assertOn(false);  // until the reset has met every flop, they hold anything
    tick();
    tick();
    Verilated::defaultContextp()->assertOn(true);
    tick();
    tick();
    top_->rst_ni = 1;
    tick();
  }

  // One cycle. The outputs stand as of the cycle that ends; the inputs set here are what the next one sees.
  void tick() {
    Vquartdepth_board& t = *top_;
    if (t.m_axi_arvalid_o && ar_ready_) memory_.accept_ar(t.m_axi_arid_o, t.m_axi_araddr_o, t.m_axi_arlen_o);
    if (t.m_axi_awvalid_o && aw_ready_) memory_.accept_aw(t.m_axi_awid_o, t.m_axi_awaddr_o, t.m_axi_awlen_o);
    if (t.m_axi_wvalid_o && w_ready_) memory_.accept_w(bytes_of(t.m_axi_wdata_o), bytes_of(t.m_axi_wstrb_o), t.m_axi_wlast_o);
    if (r_.valid && t.m_axi_rready_o) memory_.take_r();
    if (b_.valid && t.m_axi_bready_o) memory_.take_b();
    const bool data_wait = t.m_axi_wvalid_o && !w_ready_;
    if (t.rst_ni) {  // before, the flops hold anything
      ++classes_[__builtin_ctz(t.trace_mxu_class_o | 1u << kClasses)];
      if (t.trace_issue_o | t.trace_retire_o) record();
    }
    memory_.tick();
    ++cycle_;
    Verilated::defaultContextp()->timeInc(1);  // assertions name the cycle
    t.m_axi_arready_d = ar_ready_ = memory_.ar_ready();
    t.m_axi_awready_d = aw_ready_ = memory_.aw_ready(data_wait);
    t.m_axi_wready_d = w_ready_ = memory_.w_ready();
    r_ = memory_.r_offer();
    b_ = memory_.b_offer();
    t.m_axi_rvalid_d = r_.valid;
    if (r_.valid) {
      t.m_axi_rid_d = r_.id;
      t.m_axi_rlast_d = r_.last;
      t.m_axi_rresp_d = r_.error ? 2 : 0;
      std::memcpy(bytes_of(t.m_axi_rdata_d), r_.bytes, sizeof(t.m_axi_rdata_d));
    }
    t.m_axi_bvalid_d = b_.valid;
    t.m_axi_bid_d = b_.id;
    t.m_axi_bresp_d = b_.error ? 2 : 0;
    t.clk_i = 0;
    t.eval();
    show(0);
    t.clk_i = 1;
    t.eval();
    show(1);
  }

  // From the next cycle on, those from begin to end are cycles 0, 1, ... of the run; waves show them.
  void start_of_run(uint64_t from, uint64_t to) {
    first_ = cycle_;
    from_ = from;
    to_ = to;
  }

  void write(uint32_t address, uint32_t value) {
    Vquartdepth_board& t = *top_;
    t.s_axil_awvalid_d = t.s_axil_wvalid_d = t.s_axil_bready_d = 1;
    t.s_axil_awaddr_d = address;
    t.s_axil_wdata_d = value;
    t.s_axil_wstrb_d = 0xf;
    tick();
    while (t.s_axil_awvalid_d || t.s_axil_wvalid_d) {
      if (t.s_axil_awready_o) t.s_axil_awvalid_d = 0;
      if (t.s_axil_wready_o) t.s_axil_wvalid_d = 0;
      tick();
    }
    while (!t.s_axil_bvalid_o) tick();
    tick();
  }

  uint32_t read(uint32_t address) {
    Vquartdepth_board& t = *top_;
    t.s_axil_arvalid_d = t.s_axil_rready_d = 1;
    t.s_axil_araddr_d = address;
    tick();
    while (!t.s_axil_arready_o) tick();
    t.s_axil_arvalid_d = 0;
    tick();
    while (!t.s_axil_rvalid_o) tick();
    const uint32_t value = t.s_axil_rdata_o;
    tick();
    return value;
  }

  bool interrupt() const { return top_->irq_o; }
  uint64_t cycle() const { return cycle_; }
  uint64_t retired() const { return retired_; }
  MemoryModel& memory() { return memory_; }
  const std::vector<Event>& events() const { return events_; }
  const std::vector<uint64_t>& class_records() const { return class_records_; }

 private:
  // Takes effect in a build whose variables start with --x-initial unique.
  static std::unique_ptr<Vquartdepth_board> powered_on(int seed) {
    if (seed >= 0) {
      Verilated::defaultContextp()->randReset(2);
      Verilated::defaultContextp()->randSeed(seed + 1);
    }
    auto top = std::make_unique<Vquartdepth_board>();
    top->s_axil_awvalid_d = top->s_axil_wvalid_d = top->s_axil_arvalid_d = 0;  // nobody drives the bus yet
    top->s_axil_bready_d = top->s_axil_rready_d = 0;
    top->m_axi_rvalid_d = top->m_axi_bvalid_d = 0;
    return top;
  }

  // A cycle of the run is two time units of the waves: the clock is low in the first.
  void show([[maybe_unused]] unsigned half) {
#if VM_TRACE
    constexpr bool kBoth = VM_TRACE_FST;  // switching is counted once a cycle, behind the clock's edge
    if (first_ && waves_.isOpen() && cycle_ - first_ >= from_ && cycle_ - first_ <= to_ && (half || kBoth))
      waves_.dump(2 * (cycle_ - first_) + half);
#endif
  }

  void record() {
    const Vquartdepth_board& t = *top_;
    for (uint32_t e = 0; e < 4; ++e) {
      if (t.trace_retire_o >> e & 1) {
        events_.push_back({cycle_, 1u << 31 | e << 24 | t.trace_retire_pc_o[e], t.trace_retire_sig_o[e]});
        ++retired_;
        if (e == kMxu) {
          class_records_.insert(class_records_.end(), classes_, classes_ + kClasses);
          std::fill(classes_, classes_ + kClasses, 0);
        }
      }
      if (t.trace_issue_o >> e & 1) events_.push_back({cycle_, e << 24 | t.trace_issue_pc_o[e], 0});
    }
  }

  std::unique_ptr<Vquartdepth_board> top_;
  MemoryModel memory_;
  MemoryModel::Beat r_, b_;
  bool ar_ready_ = false, aw_ready_ = false, w_ready_ = false;
  std::vector<Event> events_;
  std::vector<uint64_t> class_records_;
  uint64_t classes_[kClasses + 1] = {};
  uint64_t cycle_ = 0, retired_ = 0, first_ = 0, from_ = 0, to_ = 0;
#if VM_TRACE_FST
  VerilatedFstC waves_;
#elif VM_TRACE_SAIF
  VerilatedSaifC waves_;
#endif
};

std::vector<uint8_t> read_file(const std::string& name) {
  std::ifstream file(name, std::ios::binary | std::ios::ate);
  if (!file) fail("cannot read " + name);
  std::vector<uint8_t> bytes(size_t(file.tellg()));
  file.seekg(0);
  file.read(reinterpret_cast<char*>(bytes.data()), std::streamsize(bytes.size()));
  return bytes;
}

void write_file(const std::string& name, const void* bytes, size_t size) {
  std::ofstream file(name, std::ios::binary);
  file.write(static_cast<const char*>(bytes), std::streamsize(size));
  file.close();
  if (!file) fail("cannot write " + name + " (disk full?)");
}

}  // namespace

int main(int argc, char** argv) {
  const Options o = parse(argc, argv);
  Chip chip(read_file(o.image), o);
  const KeepCoverage keep{*Verilated::threadContextp()};
  for (const auto& [address, value] : o.writes) chip.write(address, value);
  const double begin = cpu_seconds();
  const uint64_t first = chip.cycle();
  chip.start_of_run(o.waves_from, o.waves_to);
  std::vector<uint64_t> traffic;
  uint64_t next_progress = first + 50000;
  while (!chip.interrupt() && chip.cycle() - first < o.max_cycles) {
    chip.tick();
    if ((chip.cycle() - first) % kTrafficCycles == 0)
      traffic.push_back(chip.memory().bytes_read + chip.memory().bytes_written);
    if (chip.cycle() >= next_progress) {
      next_progress += 50000;
      std::printf("progress %llu %llu\n", (unsigned long long)(chip.cycle() - first), (unsigned long long)chip.retired());
      std::fflush(stdout);
    }
  }
  const double seconds = cpu_seconds() - begin;
  const uint64_t cycles = chip.cycle() - first;
  const bool interrupted = chip.interrupt();
  std::string json = "{\"interrupted\": " + std::string(interrupted ? "true" : "false") +
                     ", \"simulated_cycles\": " + std::to_string(cycles) + ", \"seconds\": " + std::to_string(seconds) +
                     ", \"first_cycle\": " + std::to_string(first) +
                     ", \"bytes_read\": " + std::to_string(chip.memory().bytes_read) +
                     ", \"bytes_written\": " + std::to_string(chip.memory().bytes_written) + ", \"registers\": {";
  for (size_t i = 0; i < o.reads.size(); ++i)
    json += (i ? ", \"" : "\"") + std::to_string(o.reads[i]) + "\": " + std::to_string(chip.read(o.reads[i]));
  json += "}}\n";
  if (!o.memory_out.empty()) write_file(o.memory_out, chip.memory().data().data(), chip.memory().data().size());
  if (!o.events.empty()) write_file(o.events, chip.events().data(), chip.events().size() * sizeof(Event));
  if (!o.classes.empty())
    write_file(o.classes, chip.class_records().data(), chip.class_records().size() * sizeof(uint64_t));
  if (!o.traffic.empty()) write_file(o.traffic, traffic.data(), traffic.size() * sizeof(uint64_t));
  write_file(o.result, json.data(), json.size());
  return 0;
}
