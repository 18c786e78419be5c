// What benches of a step's units share: scenarios of little-endian int32 and arrays behind their length, a clock with
// random pauses, words between memories and ports.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "coverage.h"
#include "verilated.h"

constexpr int kBytes = 64, kLimit = 2'000'000;
using Line = std::vector<uint8_t>;

inline FILE* in;
inline FILE* out;

inline int32_t number() {
  int32_t value;
  if (fread(&value, 4, 1, in) != 1) exit(2);
  return value;
}
inline Line bytes() {
  Line line(number());
  if (!line.empty() && fread(line.data(), 1, line.size(), in) != line.size()) exit(2);
  return line;
}
inline std::vector<int32_t> numbers() {
  const Line line = bytes();
  std::vector<int32_t> values(line.size() / 4);
  if (!values.empty()) memcpy(values.data(), line.data(), line.size());
  return values;
}
inline void put(int32_t value) { fwrite(&value, 4, 1, out); }
inline void put(const Line& line) { fwrite(line.data(), 1, line.size(), out); }
inline void put_wide(uint64_t value) {
  put(int32_t(value & 0xffffffff));
  put(int32_t(value >> 32));
}

template <class Port>
void set(Port& port, const Line& memory, size_t word) {
  memcpy(&port[0], &memory[word * kBytes], kBytes);
}
template <class Port>
void get(Line& memory, size_t word, const Port& port) {
  memcpy(&memory[word * kBytes], &port[0], kBytes);
}

// quiet: holds all valids and readies low before the reset.
template <class Top>
class UnitBench {
 public:
  template <class Quiet>
  UnitBench(int seed, int stall, Quiet quiet) : rng_(seed), stall_(stall) {
    context_.randReset(2);
    context_.randSeed((seed & 0x3fffffff) + 1);
    quiet(top);
    top.rst_ni = 0;
    for (int i = 0; i < 8; i++) {
      context_.assertOn(i >= 4);
      top.clk_i = i & 1;
      top.eval();
    }
    top.rst_ni = 1;
    top.clk_i = 0;
    top.eval();
  }
  bool pause() { return stall_ && int(rng_() % 256) < stall_; }
  // The falling edge is part of the next eval, which a bench does before each tick.
  void tick() {
    top.clk_i = 1;
    top.eval();
    top.clk_i = 0;
    context_.timeInc(1);
    if (++cycle_ > kLimit) {
      fprintf(stderr, "hangs\n");
      exit(1);
    }
  }
  // A stream of words into the unit: an offer stays until it is taken.
  void offer(const Line& words, size_t at) {
    if (!top.word_valid_i) top.word_valid_i = at * kBytes < words.size() && !pause();
    if (top.word_valid_i) set(top.word_i, words, at);
  }

  VerilatedContext context_;
  Top top{&context_};

 private:
  const KeepCoverage keep_{context_};
  std::mt19937 rng_;
  int stall_;
  int cycle_ = 0;
};

// A program of one scenario: reads it, runs the unit of its mode and writes what was seen.
template <class Bench, class Quiet, class Run>
int run_scenario(int argc, char** argv, Quiet quiet, Run run) {
  in = argc == 3 ? fopen(argv[1], "rb") : nullptr;
  out = argc == 3 ? fopen(argv[2], "wb") : nullptr;
  if (!in || !out) return 2;
  const int seed = number(), stall = number(), mode = number();
  Bench bench(seed, stall, quiet);
  run(bench, mode, seed, stall);
  bench.top.final();
  fclose(in);
  fclose(out);
  return 0;
}
