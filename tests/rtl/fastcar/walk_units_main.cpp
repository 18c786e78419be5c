// Drives one unit of walk_units.sv through a scenario, with random gaps on every stream. Arguments: scenario, results.
// Scenario: seed, stall (of 256), mode, then what the mode reads.
#include "Vwalk_units.h"
#include "unit_bench.h"

namespace {

using Bench = UnitBench<Vwalk_units>;

void quiet(Vwalk_units& t) {
  t.start_i = t.region_ready_i = t.word_valid_i = t.command_ready_i = t.leave_ready_i = 0;
  t.sum_valid_i = t.scale_valid_i = t.turn_we_i = t.counts_i = t.stream_i = 0;
  t.rows_i = t.kv_heads_i = t.chunks_i = t.words_i = 1;
}

// Starts a walk over regions and tells each until the last.
void regions(Bench& b, int start, bool whose) {
  auto& t = b.top;
  t.start_i = start;
  t.eval();
  b.tick();
  t.start_i = 0;
  for (t.eval(); t.region_valid_o; t.eval()) {
    t.region_ready_i = !b.pause();
    t.eval();
    if (t.region_ready_i) {
      put_wide(t.region_addr_o);
      put(int32_t(t.region_beats_o));
      if (whose) put(t.region_mlp_o);
    }
    b.tick();
  }
}

void caches(Bench& b) {
  auto& t = b.top;
  t.score_i = number();
  t.value_i = number();
  t.rows_i = number();
  t.kv_heads_i = number();
  t.head_dim_i = number();
  t.keys_i = uint64_t(number()) << 6;
  t.values_i = uint64_t(number()) << 6;
  t.first_i = number();
  t.stride_i = number();
  t.earlier_i = number();
  t.old_i = number();
  t.window_i = number();
  t.seen_i = number();
  t.rounds_i = number();
  regions(b, 1, false);
  put_wide(t.end_o);
}

void weights(Bench& b) {
  auto& t = b.top;
  t.stream_i = 1;
  t.layers_i = number();
  t.attention_i = number();
  t.mlp_i = number();
  t.decides_i = number();
  t.keys_i = uint64_t(uint32_t(number())) << 6;
  regions(b, 32, true);
}

// What leaves goes to `image`, which begins at address `origin`; commands and their words are told.
struct Writer {
  Bench& b;
  Line image;
  uint64_t origin;
  std::vector<int32_t> commands;
  uint64_t at = 0;
  int left = 0;

  void before() {
    b.top.command_ready_i = !left && !b.pause();
    b.top.leave_ready_i = left && !b.pause();
  }
  void after() {
    auto& t = b.top;
    if (t.command_valid_o && t.command_ready_i) {
      at = t.command_addr_o - origin;
      left = t.command_words_o;
      commands.push_back(int32_t(at));
      commands.push_back(left);
      if (at % kBytes || at + uint64_t(left) * kBytes > image.size()) exit(3);
    }
    if (t.leave_valid_o && t.leave_ready_i) {
      const auto* word = reinterpret_cast<const uint8_t*>(&t.leave_o[0]);
      for (int i = 0; i < kBytes; i++)
        if (uint64_t(t.strobe_o) >> i & 1) image[at + i] = word[i];
      at += kBytes;
      left--;
    }
  }
  void tell() {
    put(int32_t(commands.size() / 2));
    for (int32_t v : commands) put(v);
    put(image);
  }
};

void store(Bench& b) {
  auto& t = b.top;
  t.rows_i = number();
  t.chunks_i = number();
  t.words_i = number();
  t.bytes_i = number();
  const uint64_t base = uint64_t(number()) << 6;
  t.keys_i = base;
  t.first_i = number();
  t.stride_i = number();
  const int row_words = number();
  const Line memory = bytes();
  Writer writer{b, bytes(), base, {}};
  t.start_i = 2;
  for (bool done = false; !done;) {
    writer.before();
    t.eval();
    writer.after();
    done = t.done_o & 1;
    const bool reads = t.read_o;
    const size_t at = t.read_row_o * row_words + t.read_at_o;
    b.tick();
    t.start_i = 0;
    if (reads) set(t.read_i, memory, at);
  }
  writer.tell();
}

// Counts come in, a decision is taken, counts leave.
void counts(Bench& b) {
  auto& t = b.top;
  t.counts_i = 1;
  t.rows_i = number();
  const uint64_t base = uint64_t(number()) << 9;  // up to the last of 40 bits
  t.byte_i = base + number();
  t.byte_stride_i = number();
  t.cap_i = number();
  t.index_i = uint32_t(number());
  const Line words = bytes();
  Writer writer{b, bytes(), base, {}};
  size_t at = 0;
  t.start_i = 4;
  for (bool done = false; !done;) {
    t.eval();
    b.offer(words, at);
    t.eval();
    const bool taken = t.word_valid_i && t.word_ready_o;
    done = t.done_o >> 1 & 1;
    b.tick();
    t.start_i = 0;
    if (taken) {
      at++;
      t.word_valid_i = 0;
    }
  }
  t.eval();
  put(int32_t(at));
  put(int32_t(t.may_replay_o));
  t.start_i = 8;
  for (bool done = false; !done;) {
    writer.before();
    t.eval();
    writer.after();
    done = t.done_o >> 2 & 1;
    if (done) put_wide(t.byte_end_o - base);
    b.tick();
    t.start_i = 0;
  }
  writer.tell();
}

void sums(Bench& b) {
  auto& t = b.top;
  t.kind_i = number();
  t.chooser_i = number();
  t.heads_i = number();
  t.kv_heads_i = number();
  t.head_dim_i = number();
  t.swiglu_shift_i = number();
  for (int old = 0; old < 2; old++) {
    const std::vector<int32_t> turns = numbers();
    for (size_t i = 0; i < turns.size(); i++) {
      t.turn_we_i = 1;
      t.turn_old_i = old;
      t.turn_addr_i = int(i);
      t.turn_i = turns[i] & 0xffff;
      t.eval();
      b.tick();
    }
  }
  t.turn_we_i = 0;
  const std::vector<int32_t> given = numbers();  // row, pair, even, odd
  const Line scales = bytes();
  std::vector<int32_t> written;
  size_t at = 0, scale = 0;
  t.start_i = 16;
  t.eval();
  b.tick();
  t.start_i = 0;
  for (bool busy = true; busy || 4 * at < given.size();) {
    if (!t.sum_valid_i) t.sum_valid_i = 4 * at < given.size() && !b.pause();
    if (t.sum_valid_i) {
      t.sum_row_i = given[4 * at];
      t.sum_pair_i = given[4 * at + 1];
      t.sum_even_i = given[4 * at + 2];
      t.sum_odd_i = given[4 * at + 3];
    }
    if (!t.scale_valid_i) t.scale_valid_i = scale * kBytes < scales.size() && !b.pause();
    if (t.scale_valid_i) set(t.scale_i, scales, scale);
    t.eval();
    for (int w = 0; w < 4; w++) {
      if (!(t.we_o >> w & 1)) continue;
      const int32_t other = w < 2 ? t.other_o >> w & 1 : 0;
      const int32_t row = t.row_o >> (5 * w) & 31, place = uint64_t(t.place_o) >> (12 * w) & 4095;
      const int32_t pair = t.at_o >> (5 * w) & 31, data = int32_t(t.data_o[w]);
      for (int32_t v : {2 * w + other, row, place, pair, data}) written.push_back(v);
    }
    const bool taken = t.sum_valid_i && t.sum_ready_o, scaled = t.scale_valid_i && t.scale_ready_o;
    busy = t.busy_o;
    b.tick();
    if (taken) {
      at++;
      t.sum_valid_i = 0;
    }
    if (scaled) {
      scale++;
      t.scale_valid_i = 0;
    }
  }
  put(int32_t(scale));
  for (int32_t v : written) put(v);
}

}  // namespace

int main(int argc, char** argv) {
  return run_scenario<Bench>(argc, argv, quiet, [](Bench& bench, int mode, int, int) {
    if (mode == 0) caches(bench);
    if (mode == 1) store(bench);
    if (mode == 2) counts(bench);
    if (mode == 3) sums(bench);
    if (mode == 4) weights(bench);
  });
}
