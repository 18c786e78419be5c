// Lane array: LANES lanes, each of which multiplies a weight word with 64 activations of a row: two dot products.
//
// A window of weights is on chip when the passes run over it, so the stream brings every weight once, whatever the
// number of rows. A pass gives each lane one row and a range of the window's words; DRS makes the passes. Results leave
// requantised: for each tile, for each computing row in order, TILE int16.
#pragma once

#include "products.hpp"
#include "records.hpp"

namespace fastcar {

// Vectors, not arrays: a struct in an array is taken apart by its members, and an array among them would be a memory of
// 64 words on two ports.
using Weights = hls::vector<weight_t, BYTES>;
using Segment = hls::vector<activation_t, BYTES>;

struct WeightPair {
    Weights even;
    Weights odd;
};

struct SumPair {
    acc_t even;
    acc_t odd;
};

inline void unpack(const Word& word, WeightPair& pair) {
#pragma HLS INLINE
inputs:
    for (int i = 0; i < BYTES; ++i) {
#pragma HLS UNROLL
        pair.even[i] = std::int8_t(word[i] << 4) >> 4;
        pair.odd[i] = std::int8_t(word[i]) >> 4;
    }
}

// Both dot products of a word, a DSP48E2 for two weights (see PAIR_SHIFT).
inline SumPair dot_pair(const WeightPair& weights, const Segment& segment) {
#pragma HLS INLINE
#ifdef FASTCAR_WIDTHS
    ap_int<36> sum = 0;
inputs:
    for (int i = 0; i < BYTES; ++i) {
#pragma HLS UNROLL
        const ap_int<23> both = (ap_int<23>(weights.odd[i]) << PAIR_SHIFT) + weights.even[i];
        sum += times<23, 8>(both, segment[i]);
    }
    const ap_int<PAIR_SHIFT> even = sum;
    return {acc_t(even), acc_t((sum - even) >> PAIR_SHIFT)};
#else
    acc_t even = 0;
evens:
    for (int i = 0; i < BYTES; ++i) even += weights.even[i] * segment[i];
    acc_t odd = 0;
odds:
    for (int i = 0; i < BYTES; ++i) odd += weights.odd[i] * segment[i];
    return {even, odd};
#endif
}

inline bool bit(std::uint32_t index, int row) {
#pragma HLS INLINE
    return (index >> row) & 1;
}

// A job's plan as the loops below walk it. cycles: of all passes over a window, each as long as its longest part
// (`longest`); busy, replayed: lane-cycles in them that work, or idle because a row replays. order: pass and lane of each
// computing row's first part; taken: rows of a pass, so that a row's next part is `taken` lanes on.
struct Plan {
    int cycles;
    int busy;
    int replayed;
    int rows;
    std::uint8_t longest[MAX_ROWS];
    std::uint8_t taken[MAX_ROWS];
    std::uint8_t order_pass[MAX_ROWS];
    std::uint8_t order_lane[MAX_ROWS];
};

inline void make_plan(int passes, const Pass (&table)[MAX_ROWS], Plan& plan) {
    plan.cycles = plan.busy = plan.replayed = plan.rows = 0;
passes:
    for (int pass = 0; pass < passes; ++pass) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
        int longest = 0;
        int replayed = 0;
        int taken = 0;
    lanes:
        for (int k = 0; k < LANES; ++k) {
#pragma HLS PIPELINE II=1
            const Entry entry = table[pass].lane[k];
            const int length = entry.end - entry.begin;
            plan.busy += length;
            replayed += entry.replayed ? 1 : 0;
            longest = length > longest ? length : longest;
            if (entry.begin == 0 && length > 0) {
                plan.order_pass[plan.rows] = std::uint8_t(pass);
                plan.order_lane[plan.rows] = std::uint8_t(k);
                ++plan.rows;
                ++taken;
            }
        }
        plan.longest[pass] = std::uint8_t(longest);
        plan.taken[pass] = std::uint8_t(taken);
        plan.cycles += longest;
        plan.replayed += times_in_luts<7, 7>(replayed, longest);
    }
}

// Lanes own their inputs: segment s of the row that lane k has in a pass is word `pass * MAX_SEGMENTS + s` of its memory.
constexpr int MAX_PASSES = (MAX_ROWS + LANES - 1) / LANES;
using Inputs = Segment[LANES][MAX_PASSES * MAX_SEGMENTS];

// A row's segments go to every lane that works for it. `order` counts the rows that compute: the plan knows their pass.
inline void load_activations(const Job& job, const Plan& plan, const Pass (&table)[MAX_ROWS],
                             hls::stream<Int8Word>& activations, Inputs& buffer) {
    int order = 0;
rows:
    for (int row = 0; row < MAX_ROWS; ++row) {
        if (!bit(job.index, row)) continue;
        const int pass = plan.order_pass[order++];
    segments:
        for (int segment = 0; segment < job.segments; ++segment) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=172
            const Int8Word word = activations.read();
            Segment taken;
        inputs:
            for (int i = 0; i < BYTES; ++i) {
#pragma HLS UNROLL
                taken[i] = word[i];
            }
        lanes:
            for (int k = 0; k < LANES; ++k) {
#pragma HLS UNROLL
                const Entry entry = table[pass].lane[k];
                if (entry.row == row && entry.end > entry.begin) buffer[k][pass * MAX_SEGMENTS + segment] = taken;
            }
        }
    }
}

// Lanes own their sums: entry `pass * WINDOW + word` of lane k is the word's sum for the row that k has in the pass.
constexpr int ENTRIES = MAX_PASSES * WINDOW;
using Sums = SumPair[LANES][ENTRIES];
using Windows = WeightPair[2][WINDOW];

// All segments of one tile in one loop: while the passes run over a window, the next one comes in. Invariant: before
// iteration (segment, n) the bank `segment % 2` holds the segment's window whole, the other the first min(n, WINDOW) words
// of the next; the sums hold all segments before, and of this one the first n steps of the passes.
inline void run_tile(int segments, const Plan& plan, const Pass (&table)[MAX_ROWS], hls::stream<Word>& stream,
                     const Inputs& activations, Windows& weights, Sums& sums) {
    const int paced = plan.cycles > WINDOW ? plan.cycles : WINDOW;
    const int all_steps = times_in_luts<10, 11>(segments, paced);
first:
    for (int word = 0; word < WINDOW; ++word) {
#pragma HLS PIPELINE II=1
        unpack(stream.read(), weights[0][word]);
    }
    int segment = 0, n = 0, pass = 0, step = 0;
steps:
    for (int i = 0; i < all_steps; ++i) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=88064
#pragma HLS DEPENDENCE variable=weights inter false
        const int bank = segment & 1;
        if (n < WINDOW && segment + 1 < segments) unpack(stream.read(), weights[1 - bank][n]);
        if (n < plan.cycles) {
        lanes:
            for (int k = 0; k < LANES; ++k) {
#pragma HLS UNROLL
                const Entry entry = table[pass].lane[k];
                const int word = entry.begin + step;
                if (word < entry.end) {
                    const int at = pass * WINDOW + word;
                    const Segment input = activations[k][pass * MAX_SEGMENTS + segment];
                    const SumPair part = dot_pair(weights[bank][word], input);
                    sums[k][at].even = segment == 0 ? part.even : acc_t(sums[k][at].even + part.even);
                    sums[k][at].odd = segment == 0 ? part.odd : acc_t(sums[k][at].odd + part.odd);
                }
            }
            if (++step == plan.longest[pass]) {
                step = 0;
                ++pass;
            }
        }
        if (++n == paced) {
            n = step = pass = 0;
            ++segment;
        }
    }
}

inline std::int16_t scaled(acc_t sum, const Word (&scale)[SCALE_WORDS], int output) {
#pragma HLS INLINE
    FASTCAR_ASSERT(fits(sum, ACC_BITS));
    const int low = 2 * output;
    const int high = 2 * output + 1;
    const int count = 2 * TILE + output;
    const int multiplier = scale[low / BYTES][low % BYTES] | (scale[high / BYTES][high % BYTES] << 8);
    return sat16(rs(times<ACC_BITS, 16>(sum, multiplier), scale[count / BYTES][count % BYTES]));
}

// The tile's outputs leave row by row, a pair a cycle: two requantisers serve all lanes.
inline void requantise(const Plan& plan, const Pass (&table)[MAX_ROWS], const Word (&scale)[SCALE_WORDS],
                       const Sums& sums, hls::stream<TileWord>& results) {
    TileWord result;
    int row = 0, word = 0, lane = 0, pass = 0;
pairs:
    for (int i = 0; i < plan.rows * WINDOW; ++i) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
        if (word == 0) {
            pass = plan.order_pass[row];
            lane = plan.order_lane[row];
        } else if (word == table[pass].lane[lane].end) {
            lane += plan.taken[pass];
        }
        const SumPair sum = sums[lane][pass * WINDOW + word];
        result[2 * word] = scaled(sum.even, scale, 2 * word);
        result[2 * word + 1] = scaled(sum.odd, scale, 2 * word + 1);
        if (++word == WINDOW) {
            word = 0;
            ++row;
            results.write(result);
        }
    }
}

inline void run_job(const Job& job, const Pass (&table)[MAX_ROWS], hls::stream<Word>& weight_stream,
                    hls::stream<Word>& scale_stream, const Plan& plan, const Inputs& activations,
                    hls::stream<TileWord>& results, LaneCounters& counters) {
    Windows weights;
#pragma HLS ARRAY_PARTITION variable=weights complete dim=0
    Sums sums;
#pragma HLS ARRAY_PARTITION variable=sums complete dim=1
    Word scale[SCALE_WORDS];
#pragma HLS ARRAY_PARTITION variable=scale complete dim=1
tiles:
    for (int tile = 0; tile < job.tiles; ++tile) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1376
    scales:
        for (int word = 0; word < SCALE_WORDS; ++word) {
#pragma HLS PIPELINE II=1
            scale[word] = scale_stream.read();
        }
        run_tile(job.segments, plan, table, weight_stream, activations, weights, sums);
        requantise(plan, table, scale, sums, results);
    }
    const int windows = times<14, 10>(job.tiles, job.segments);
    const std::uint64_t passes = times<22, 11>(windows, plan.cycles);
    const std::uint64_t busy = times<22, 16>(windows, plan.busy);
    const std::uint64_t replayed = times<22, 16>(windows, plan.replayed);
    const std::uint64_t paced = plan.cycles > WINDOW ? passes : std::uint64_t(windows) * WINDOW;
    counters.cycles += paced;
    counters.busy += busy;
    counters.replayed += replayed;
    counters.unfilled += passes * LANES - busy - replayed;
    counters.starved += (paced - passes) * LANES;
}

inline void run_lanes(hls::stream<Job>& jobs, hls::stream<Pass>& passes, hls::stream<Word>& weights,
                      hls::stream<Word>& scales, hls::stream<Int8Word>& activations, hls::stream<TileWord>& results,
                      LaneCounters& counters) {
    Inputs buffer;
#pragma HLS BIND_STORAGE variable=buffer type=ram_2p impl=bram
#pragma HLS ARRAY_PARTITION variable=buffer complete dim=1
    Plan plan;
    Pass table[MAX_ROWS];
#pragma HLS AGGREGATE variable=table
#pragma HLS ARRAY_PARTITION variable=table complete dim=1
    LaneCounters total = {0, 0, 0, 0, 0};
    bool running = true;
jobs:
    while (running) {
#pragma HLS LOOP_TRIPCOUNT min=7 max=193
        const Job job = jobs.read();
        running = !job.stop;
        if (running) {
        passes:
            for (int pass = 0; pass < job.passes; ++pass) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
                table[pass] = passes.read();
            }
            make_plan(job.passes, table, plan);
            if (job.loads) load_activations(job, plan, table, activations, buffer);
            run_job(job, table, weights, scales, plan, buffer, results, total);
        }
    }
    counters = total;
}

}  // namespace fastcar
