// Runs one scenario on fastcar_core: random stalls on every handshake, an AXI memory with latency and a rate.
// Arguments: scenario, results. All integers are little-endian int32 unless said otherwise.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "Vfastcar_core.h"
#include "coverage.h"
#include "memory_model.h"
#include "verilated.h"

namespace {

struct Header {
  int32_t seed, stall, latency, interval_num, interval_den, policy, threshold, rows, may, limit;
  int32_t regions, jobs, loads, scores, memory;
  int32_t error, response;  // a byte whose beat gets another response, -1: none
  int32_t distance;         // scores are distances
};
struct Region { int32_t addr, beats, mlp, last; };
struct Job { int32_t segments, pairs, mlp, last; };
struct Load { int32_t row, segment, last; uint8_t data[WIDTH]; };
struct Score { int32_t last, wait, weight; uint8_t q[WIDTH], k[WIDTH]; };

template <class T>
std::vector<T> read(FILE* in, size_t count) {
  std::vector<T> items(count);
  if (count && fread(items.data(), sizeof(T), count, in) != count) exit(2);
  return items;
}

// An offer that stands until it is taken; new ones come after random pauses.
struct Source {
  size_t next = 0;
  bool offered = false;
  bool offer(size_t count, bool pause) {
    if (!offered && next < count && !pause) offered = true;
    return offered;
  }
  void taken() { offered = false; next++; }
};

template <class Port>
void set_bytes(Port& port, const uint8_t* data) {
  for (int i = 0; i < WIDTH / 4; i++) {
    port[i] = data[4 * i] | data[4 * i + 1] << 8 | data[4 * i + 2] << 16 | uint32_t(data[4 * i + 3]) << 24;
  }
}

}  // namespace

int main(int argc, char** argv) {
  FILE* in = argc == 3 ? fopen(argv[1], "rb") : nullptr;
  FILE* out = argc == 3 ? fopen(argv[2], "wb") : nullptr;
  if (!in || !out) return 2;
  const Header h = read<Header>(in, 1)[0];
  const auto regions = read<Region>(in, h.regions);
  const auto jobs = read<Job>(in, h.jobs);
  const auto loads = read<Load>(in, h.loads);
  const auto scores = read<Score>(in, h.scores);
  MemoryTiming timing;
  timing.latency = uint32_t(h.latency);
  // A beat every interval_num / interval_den cycles, and at most one a cycle.
  const int64_t full = WIDTH * 1000;
  timing.milli_bytes_per_cycle = uint32_t(std::min(full, full * h.interval_den / h.interval_num));
  MemoryModel memory{0, WIDTH, timing};
  memory.data() = read<uint8_t>(in, h.memory);

  if (h.error >= 0) memory.error = {uint64_t(h.error), uint64_t(h.error) + 1};

  VerilatedContext context;
  context.randReset(2);
  context.randSeed((h.seed & 0x3fffffff) + 1);
  Vfastcar_core top{&context};
  const KeepCoverage keep{context};
  std::mt19937 rng(h.seed);
  auto pause = [&] { return int(rng() % 256) < h.stall; };

  Source region, job, load, score;
  MemoryModel::Beat beat;
  size_t bursts = 0;  // under way
  uint64_t cycle = 0, quiet = 0, last_score = 0, planned = 0, stopped = 0;
  std::vector<int32_t> sums;
  std::vector<uint32_t> decisions;
  int32_t idle_before = 0;

  top.policy_i = h.policy;
  top.tas_distance_i = h.distance;
  top.threshold_i = h.threshold;
  top.rows_i = h.rows;
  top.scheduling_i = 1;
  top.may_replay_i = h.may;
  top.rst_ni = 0;
  for (int i = 0; i < 8; i++) {
    context.assertOn(i >= 4);  // until the reset has met every flop, they hold anything
    top.clk_i = i & 1;
    top.eval();
  }
  top.rst_ni = 1;

  for (; cycle < uint64_t(h.limit); cycle++) {
    top.clk_i = 0;
    top.region_valid_i = region.offer(regions.size(), pause());
    if (region.offered) {
      const Region& r = regions[region.next];
      // region_t: addr 40, beats 24, mlp, last
      const unsigned __int128 bits = (unsigned __int128)(uint32_t(r.addr)) << 26 | uint64_t(uint32_t(r.beats)) << 2 |
                                     uint64_t(r.mlp) << 1 | uint64_t(r.last);
      for (int i = 0; i < 3; i++) top.region_i[i] = uint32_t(bits >> (32 * i));
    }
    top.job_valid_i = job.offer(jobs.size(), pause());
    if (job.offered) {
      const Job& j = jobs[job.next];
      top.job_i = j.segments << 18 | j.pairs << 2 | j.mlp << 1 | j.last;
    }
    top.load_valid_i = load.offer(loads.size(), pause());
    if (load.offered) {
      const Load& l = loads[load.next];
      top.load_row_i = l.row;
      top.load_segment_i = l.segment;
      top.load_last_i = l.last;
      set_bytes(top.load_data_i, l.data);
    }
    const bool held = score.next < scores.size() && uint64_t(scores[score.next].wait) > cycle;
    top.tas_valid_i = score.offer(scores.size(), held || pause());
    if (score.offered) {
      const Score& s = scores[score.next];
      top.tas_last_i = s.last;
      top.tas_weight_i = s.weight & 15;
      for (int i = 0; i < WIDTH; i++) { top.tas_q_i[i] = s.q[i]; top.tas_k_i[i] = s.k[i]; }
    }
    top.arready_i = memory.ar_ready() && !pause();
    if (!beat.valid && !pause()) beat = memory.r_offer();
    top.rvalid_i = beat.valid;
    if (beat.valid) {
      if (beat.error && h.error < 0) { fprintf(stderr, "read beyond memory\n"); return 1; }
      top.rresp_i = beat.error ? h.response : 0;
      set_bytes(top.rdata_i, beat.bytes);
      top.rlast_i = beat.last;
    }
    top.sum_ready_i = !pause();
    top.eval();

    const bool r_taken = beat.valid && top.rready_o, ar = top.arvalid_o && top.arready_i;
    if (top.region_valid_i && top.region_ready_o) region.taken();
    if (top.job_valid_i && top.job_ready_o) job.taken();
    if (top.load_ready_o && !planned && last_score) planned = cycle;
    if (top.load_valid_i && top.load_ready_o) load.taken();
    if (top.tas_valid_i && top.tas_ready_o) {
      score.taken();
      if (score.next == scores.size()) last_score = cycle;
    }
    if (r_taken) {
      bursts -= beat.last;
      memory.take_r();
      beat = {};
    }
    if (ar) memory.accept_ar(0, top.araddr_o, top.arlen_o);
    bursts += ar;
    memory.tick();
    if (top.decided_o) decisions.push_back(top.index_o);
    if (top.sum_valid_o && top.sum_ready_i) {
      for (int32_t v : {int32_t(top.sum_row_o), int32_t(top.sum_pair_o), int32_t(top.sum_even_o),
                        int32_t(top.sum_odd_o)}) sums.push_back(v);
    }
    context.timeInc(1);  // assertions name the cycle
    top.clk_i = 1;
    top.eval();
    const bool idle = int32_t(top.cycles_o[0]) != idle_before;
    idle_before = top.cycles_o[0];
    const bool all = region.next == regions.size() && job.next == jobs.size() && load.next == loads.size() &&
                     score.next == scores.size() && idle;
    // A core that stopped takes what it asked for and is quiet; the words before the error may still be computed.
    if (top.fault_o && !stopped) stopped = cycle;
    const bool over = (all || (stopped && cycle - stopped > 2000)) && !bursts;
    quiet = over ? quiet + 1 : 0;
    if (quiet > 40) break;
  }
  top.final();
  if (quiet <= 40) {
    fprintf(stderr, "hangs: %zu/%zu regions, %zu/%zu jobs, %zu/%zu loads, %zu/%zu scores, %zu sums\n", region.next,
            regions.size(), job.next, jobs.size(), load.next, loads.size(), score.next, scores.size(), sums.size() / 4);
    return 1;
  }
  std::vector<int32_t> counters;
  for (int i = 0; i < 6; i++) counters.push_back(top.stream_o[i]);
  for (int i = 0; i < 7; i++) counters.push_back(top.cycles_o[i]);
  for (uint32_t v : {top.lanes_busy_o, top.lanes_spare_o, top.loads_dropped_o, top.rows_computed_o,
                     top.rows_replayed_o}) counters.push_back(v);
  counters.push_back(int32_t(cycle));
  counters.push_back(int32_t(quiet));
  counters.push_back(planned ? int32_t(planned - last_score) : -1);
  counters.push_back(top.fault_o);
  const int32_t sizes[3] = {int32_t(counters.size()), int32_t(decisions.size()), int32_t(sums.size() / 4)};
  fwrite(sizes, sizeof sizes, 1, out);
  fwrite(counters.data(), 4, counters.size(), out);
  fwrite(decisions.data(), 4, decisions.size(), out);
  fwrite(sums.data(), 4, sums.size(), out);
  fclose(in);
  fclose(out);
  return 0;
}
