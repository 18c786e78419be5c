// The RTL beside the HLS kernels, in one program: mapping and passes, decisions, dot products. Prints what it compared.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "../../../sim/rtl/cpp/coverage.h"
#include "Vtwins.h"
#include "drs.hpp"
#include "verilated.h"

using namespace fastcar;

namespace {

std::mt19937 rng(7);
Vtwins* top;

void tick() {
  top->clk_i = 0;
  top->eval();
  top->clk_i = 1;
  top->eval();
}

void expect(bool same, const char* what, std::uint32_t index) {
  if (same) return;
  std::printf("%s differs, index register %08x\n", what, index);
  std::exit(1);
}

void compare_mapping(std::uint32_t index) {
  top->load_i = 1;
  top->index_i = index;
  tick();
  top->load_i = 0;
  int cycles = 0;
  for (; !top->ready_o; cycles++) tick();
  expect(cycles == 2, "time of the plan", index);
  std::uint8_t rows[MAX_ROWS], mapping[MAX_ROWS];
  Pass plan[MAX_ROWS];
  const int count = compact(index, rows), passes = plan_passes(index, plan);
  map_rows(index, mapping);
  expect(top->count_o == count, "count", index);
  for (int i = 0; i < count; i++) expect(top->row_o[i] == rows[i], "compaction table", index);
  for (int r = 0; r < MAX_ROWS; r++) {
    if (mapping[r] != NO_LANE) expect(top->place_o[r] % LANES == mapping[r], "mapping table", index);
  }
  expect(top->full_o + (top->left_o != 0) == passes, "passes", index);
  int longest = 0;
  for (int p = 0; p < passes; p++) {
    for (int k = 0; k < LANES; k++) {
      const Entry& entry = plan[p].lane[k];
      if (p < top->full_o) {
        expect(entry.row == top->row_o[p * LANES + k] && entry.begin == 0 && entry.end == WINDOW, "full pass", index);
      } else {
        // share_t: slot, first, words
        const std::uint32_t share = top->share_o[k];
        const int slot = share >> 12, first = share >> 6 & 63, words = share & 63;
        expect(entry.row == top->row_o[p * LANES + slot], "row of a split pass", index);
        expect(entry.begin == first && entry.end == first + words, "part of a split row", index);
        if (words > longest) longest = words;
      }
    }
  }
  if (top->left_o) expect(top->steps_o == longest, "steps of the split pass", index);
}

void compare_decision() {
  std::int32_t tas[MAX_ROWS];
  const int rows = 1 + rng() % 32, policy = rng() % 4;
  const std::int32_t threshold = int(rng() % 9) - 4;
  const std::uint32_t may = rng() % 3 ? 0xFFFFFFFFu : rng();
  const int spread = rng() % 2 ? 5 : 1 << 28;
  top->policy_i = policy;
  top->threshold_i = threshold;
  top->rows_i = rows;
  for (int r = 0; r < rows; r++) {
    tas[r] = int(rng() % (2 * spread)) - spread + threshold;
    top->tas_valid_i = 1;
    top->tas_i = tas[r];
    top->may_i = may >> r & 1;
    tick();
  }
  top->tas_valid_i = 0;
  const std::uint32_t index = decide(tas, may, rows, policy, threshold);
  expect(top->decided_o && top->decision_o == index, "decision", index);
  tick();
}

void compare_sums() {
  const int segments = 1 + rng() % 4;
  SumPair sums[WINDOW] = {};
  for (int s = 0; s < segments; s++) {
    Segment input;
    for (int i = 0; i < BYTES; i++) {
      const int x = rng() % 8 ? int(rng() % 256) - 128 : -128;
      input[i] = x;
      if (i % 4 == 0) top->input_i[i / 4] = 0;
      top->input_i[i / 4] |= std::uint32_t(x & 255) << 8 * (i % 4);
    }
    top->input_we_i = 1;
    top->segment_i = s;
    tick();
    top->input_we_i = 0;
    for (int w = 0; w < WINDOW; w++) {
      Word word;
      WeightPair pair;
      for (int i = 0; i < BYTES; i++) {
        word[i] = rng() % 8 ? rng() & 255 : 0x88;
        if (i % 4 == 0) top->word_i[i / 4] = 0;
        top->word_i[i / 4] |= std::uint32_t(word[i]) << 8 * (i % 4);
      }
      unpack(word, pair);
      const SumPair part = dot_pair(pair, input);
      sums[w].even += part.even;
      sums[w].odd += part.odd;
      top->word_we_i = 1;
      top->word_addr_i = w;
      tick();
    }
    top->word_we_i = 0;
    for (int w = 0; w < WINDOW; w++) {
      top->issue_i = 1;
      top->first_i = s == 0;
      top->word_addr_i = w;
      top->entry_i = w;
      tick();
    }
    top->issue_i = 0;
    for (int i = 0; i < 16; i++) tick();
  }
  for (int w = 0; w < WINDOW; w++) {
    top->entry_i = w;
    top->eval();
    expect(std::int32_t(top->even_o) == sums[w].even && std::int32_t(top->odd_o) == sums[w].odd, "sum", w);
  }
}

}  // namespace

int main() {
  VerilatedContext context;
  Vtwins model{&context};
  const KeepCoverage keep{context};
  top = &model;
  top->rst_ni = 0;
  tick();
  top->rst_ni = 1;
  for (int count = 0; count <= 32; count++) compare_mapping(count == 32 ? 0xFFFFFFFFu : (1u << count) - 1);
  for (int i = 0; i < 20000; i++) compare_mapping(rng() % 2 ? rng() : rng() & rng() & rng());
  for (int i = 0; i < 20000; i++) compare_decision();
  for (int i = 0; i < 60; i++) compare_sums();
  std::printf("equal\n");
  model.final();
  return 0;
}
