// Drives one unit of step_units.sv through a scenario, with random gaps on every stream. Arguments: scenario, results.
// Numbers are little-endian int32. Scenario: seed, stall (of 256), mode, then what the mode reads.
#include "Vstep_units.h"
#include "memory_model.h"
#include "unit_bench.h"

namespace {

using Bench = UnitBench<Vstep_units>;

void quiet(Vstep_units& t) {
  t.start_i = t.word_valid_i = t.command_valid_i = t.write_valid_i = t.bvalid_i = 0;
  t.load_ready_i = t.keep_ready_i = t.awready_i = t.wready_i = 0;
  t.kv_heads_i = t.rows_i = 1;
}

void attention(Bench& b) {
  auto& t = b.top;
  t.rows_i = number();
  t.heads_i = number();
  t.kv_heads_i = number();
  t.head_dim_i = number();
  t.seen_i = number();
  t.multiplier_i = number();
  t.shift_i = number();
  t.attention_shift_i = number();
  const Line queries = bytes(), words = bytes();
  Line attended(number());
  const int row_bytes = number();
  size_t at = 0;
  t.start_i = 1;
  for (bool done = false; !done;) {
    t.eval();
    b.offer(words, at);
    t.eval();
    const bool taken = t.word_valid_i && t.word_ready_o, reads = t.query_re_o;
    const unsigned address = t.query_addr_o;
    if (t.attended_we_o) {
      const size_t place = t.attended_row_o * row_bytes + t.attended_word_o * kBytes + t.attended_at_o * 2;
      if (place + 2 > attended.size()) exit(3);
      attended[place] = t.attended_o & 255;
      attended[place + 1] = t.attended_o >> 8;
    }
    done = t.done_o & 1;
    b.tick();
    t.start_i = 0;
    if (reads) set(t.query_i, queries, address);
    if (taken) {
      at++;
      t.word_valid_i = 0;
    }
  }
  put(int32_t(at));
  put(attended);
}

void norm(Bench& b) {
  auto& t = b.top;
  t.index_i = uint32_t(number());
  t.width_i = number();
  t.norm_shift_i = number() & 1023;
  const Line x = bytes(), gain = bytes(), squares = bytes();
  std::vector<int32_t> tags;
  Line loads;
  t.start_i = 2;
  for (bool done = false, last = false; !done || !last;) {
    t.load_ready_i = !b.pause();
    t.eval();
    uint64_t s;
    memcpy(&s, &squares[8 * t.square_row_o], 8);
    t.squares_i = s;
    t.eval();
    if (t.load_valid_o && t.load_ready_i) {
      for (int32_t v : {int32_t(t.load_row_o), int32_t(t.load_segment_o), int32_t(t.load_last_o)}) tags.push_back(v);
      loads.resize(loads.size() + kBytes);
      get(loads, loads.size() / kBytes - 1, t.load_o);
      last |= t.load_last_o;
    }
    done |= t.done_o >> 1 & 1;
    const bool x_reads = t.norm_x_re_o, gain_reads = t.gain_re_o;
    const unsigned x_at = t.norm_x_addr_o, gain_at = t.gain_addr_o;
    b.tick();
    t.start_i = 0;
    if (x_reads) set(t.x_i, x, x_at);
    if (gain_reads) set(t.gain_i, gain, gain_at);
  }
  put(int32_t(tags.size() / 3));
  for (int32_t v : tags) put(v);
  put(loads);
}

void residual(Bench& b) {
  auto& t = b.top;
  t.rows_i = number();
  t.width_i = number();
  t.index_i = uint32_t(number());
  t.fresh_i = number();
  t.keep_i = number();
  Line x = bytes();
  const Line delta = bytes(), words = bytes();
  Line kept;
  size_t at = 0;
  t.start_i = 4;
  for (bool done = false; !done;) {
    t.keep_ready_i = !b.pause();
    t.eval();
    b.offer(words, at);
    t.eval();
    const bool taken = t.word_valid_i && t.word_ready_o;
    if (t.keep_valid_o && t.keep_ready_i) {
      kept.resize(kept.size() + kBytes);
      get(kept, kept.size() / kBytes - 1, t.keep_o);
    }
    done = t.done_o >> 2 & 1;
    const bool x_reads = t.x_re_o, delta_reads = t.delta_re_o;
    const unsigned x_at = t.x_raddr_o, delta_at = t.delta_addr_o;
    if (t.x_we_o) get(x, t.x_waddr_o, t.x_o);
    b.tick();
    t.start_i = 0;
    if (x_reads) set(t.x_i, x, x_at);
    if (delta_reads) set(t.delta_i, delta, delta_at);
    if (taken) {
      at++;
      t.word_valid_i = 0;
    }
  }
  put(int32_t(at));
  put(x);
  for (int row = 0; row < int(t.rows_i); row++) {
    t.square_row_i = row;
    t.eval();
    put(int32_t(t.squares_o & 0xffffffff));
    put(int32_t(t.squares_o >> 32));
  }
  put(int32_t(kept.size()));
  put(kept);
}

// Commands, each with its words and their strobes. Ends when all is answered, or a while after a fault.
void writer(Bench& b, int seed, int stall) {
  auto& t = b.top;
  const int latency = number(), size = number(), error = number(), response = number(), commands = number();
  MemoryTiming timing;
  timing.latency = latency;
  timing.milli_bytes_per_cycle = 64'000;
  MemoryBehaviour behaviour;
  behaviour.stall = stall;
  behaviour.seed = seed + 3;
  behaviour.late = true;
  MemoryModel memory(size, kBytes, timing, behaviour);
  if (error >= 0) memory.error = {uint64_t(error), uint64_t(error) + 1};
  MemoryModel::Beat answer;
  int bursts = 0, answered = 0, crossing = 0, after = 0;
  bool offered = false;
  auto cycle = [&] {
    t.eval();
    t.awready_i = memory.aw_ready(t.wvalid_o);
    t.wready_i = memory.w_ready();
    if (!answer.valid) answer = memory.b_offer();
    t.bvalid_i = answer.valid;
    t.bresp_i = answer.error ? response : 0;
    t.eval();
    const bool taken = t.command_valid_i && t.command_ready_o, wrote = t.write_valid_i && t.write_ready_o;
    after += t.awvalid_o && !offered && t.fault_o != 0;  // what was offered before stays
    after += t.idle_o && bursts != answered;             // idle is not told before the answers
    offered = t.awvalid_o && !t.awready_i;
    if (t.awvalid_o && t.awready_i) {
      crossing += (t.awaddr_o & 4095) + (t.awlen_o + 1) * kBytes > 4096;
      memory.accept_aw(0, t.awaddr_o, t.awlen_o);
      bursts++;
    }
    if (t.wvalid_o && t.wready_i) {
      const uint64_t strobe = t.wstrb_o;
      memory.accept_w(reinterpret_cast<const uint8_t*>(&t.wdata_o[0]), reinterpret_cast<const uint8_t*>(&strobe), t.wlast_o);
    }
    if (answer.valid && t.bready_o) {
      memory.take_b();
      answer = {};
      answered++;
    }
    memory.tick();
    b.tick();
    return (taken ? 1 : 0) | (wrote ? 2 : 0);
  };
  bool stopped = false;
  for (int c = 0; c < commands; c++) {
    const int64_t address = number();
    const Line data = bytes(), strobes = bytes();
    const int words = int(data.size()) / kBytes;
    bool given = false;
    for (int at = 0, waits = 0; !stopped && (!given || at < words);) {
      if (!given && !t.command_valid_i && !b.pause()) {
        t.command_valid_i = 1;
        t.command_addr_i = address;
        t.command_words_i = words;
      }
      if (at < words && !t.write_valid_i) t.write_valid_i = !b.pause();
      if (t.write_valid_i) {
        set(t.write_i, data, at);
        memcpy(&t.strobe_i, &strobes[8 * at], 8);
      }
      const int seen = cycle();
      if (seen & 1) {
        given = true;
        t.command_valid_i = 0;
      }
      if (seen & 2) {
        at++;
        t.write_valid_i = 0;
      }
      waits = seen ? 0 : waits + 1;
      stopped = t.fault_o != 0 && waits > 400;  // what was promised is written: nothing moves any more
    }
    if (c % 3 == 0)  // all of it is answered before the next
      for (int i = 0; !stopped && !t.idle_o; i++) cycle();
  }
  t.command_valid_i = t.write_valid_i = 0;
  for (int i = 0; i < 400 || (!stopped && !t.idle_o); i++) cycle();
  for (int v : {int(t.fault_o), int(t.idle_o), bursts, answered, crossing, after}) put(v);
  put(memory.data());
}

}  // namespace

int main(int argc, char** argv) {
  return run_scenario<Bench>(argc, argv, quiet, [](Bench& bench, int mode, int seed, int stall) {
    if (mode == 0) attention(bench);
    if (mode == 1) norm(bench);
    if (mode == 2) residual(bench);
    if (mode == 3) writer(bench, seed, stall);
  });
}
