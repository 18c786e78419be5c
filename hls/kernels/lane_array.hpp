// Lane array: LANES lanes, each of which multiplies a weight word with 64 activations of a row: two dot products.
//
// A window of weights is on chip when the passes run over it, so the stream brings every weight once, whatever the
// number of rows. A pass gives each lane one row and a range of the window's words; DRS makes the passes. Results leave
// requantised: for each tile, for each computing row in order, TILE int16.
#pragma once

#include "records.hpp"

namespace fastcar {

struct WeightPair {
    weight_t even[BYTES];
    weight_t odd[BYTES];
};

struct Segment {
    activation_t input[BYTES];
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

inline acc_t dot(const weight_t (&weights)[BYTES], const Segment& segment) {
#pragma HLS INLINE
    acc_t sum = 0;
inputs:
    for (int i = 0; i < BYTES; ++i) {
#pragma HLS UNROLL
        sum += product(weights[i], segment.input[i]);
    }
    return sum;
}

inline bool bit(std::uint32_t index, int row) {
#pragma HLS INLINE
    return (index >> row) & 1;
}

inline void load_activations(const Job& job, hls::stream<Int8Word>& activations,
                             Segment (&buffer)[MAX_ROWS][MAX_SEGMENTS]) {
rows:
    for (int row = 0; row < MAX_ROWS; ++row) {
        if (!bit(job.index, row)) continue;
    segments:
        for (int segment = 0; segment < job.segments; ++segment) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=172
            const Int8Word word = activations.read();
        inputs:
            for (int i = 0; i < BYTES; ++i) {
#pragma HLS UNROLL
                buffer[row][segment].input[i] = word[i];
            }
        }
    }
}

inline void read_window(hls::stream<Word>& stream, WeightPair (&weights)[WINDOW]) {
window:
    for (int word = 0; word < WINDOW; ++word) {
#pragma HLS PIPELINE II=1
        unpack(stream.read(), weights[word]);
    }
}

// One segment of one tile: all passes.
inline void run_passes(int passes, int segment, const Pass (&table)[MAX_ROWS], const WeightPair (&weights)[WINDOW],
                       const Segment (&activations)[MAX_ROWS][MAX_SEGMENTS], SumPair (&sums)[MAX_ROWS][WINDOW]) {
passes:
    for (int pass = 0; pass < passes; ++pass) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
    steps:
        for (int step = 0; step < WINDOW; ++step) {
#pragma HLS PIPELINE II=1
            bool any = false;
        lanes:
            for (int k = 0; k < LANES; ++k) {
#pragma HLS UNROLL
                const Entry entry = table[pass].lane[k];
                const int word = entry.begin + step;
                if (word < entry.end) {
                    sums[entry.row][word].even += dot(weights[word].even, activations[entry.row][segment]);
                    sums[entry.row][word].odd += dot(weights[word].odd, activations[entry.row][segment]);
                    any = true;
                }
            }
            if (!any) break;  // every part is done: the next pass
        }
    }
}

// Cycles of all passes over a window, and the lane-cycles in them that work or idle because a row replays.
struct PassCost {
    int cycles;
    int busy;
    int replayed;
};

inline PassCost cost(int passes, const Pass (&table)[MAX_ROWS]) {
    PassCost total = {0, 0, 0};
passes:
    for (int pass = 0; pass < passes; ++pass) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
        int longest = 0;
        int replayed = 0;
    lanes:
        for (int k = 0; k < LANES; ++k) {
#pragma HLS UNROLL
            const Entry entry = table[pass].lane[k];
            const int length = entry.end - entry.begin;
            total.busy += length;
            replayed += entry.replayed ? 1 : 0;
            longest = length > longest ? length : longest;
        }
        total.cycles += longest;
        total.replayed += replayed * longest;
    }
    return total;
}

inline std::int16_t scaled(acc_t sum, const Word (&scale)[SCALE_WORDS], int output) {
#pragma HLS INLINE
    FASTCAR_ASSERT(fits(sum, ACC_BITS));
    const int low = 2 * output;
    const int high = 2 * output + 1;
    const int count = 2 * TILE + output;
    const std::int64_t multiplier = scale[low / BYTES][low % BYTES] | (scale[high / BYTES][high % BYTES] << 8);
    return sat16(rs(std::int64_t(sum) * multiplier, scale[count / BYTES][count % BYTES]));
}

inline void requantise(std::uint32_t index, const Word (&scale)[SCALE_WORDS], const SumPair (&sums)[MAX_ROWS][WINDOW],
                       hls::stream<TileWord>& results) {
rows:
    for (int row = 0; row < MAX_ROWS; ++row) {
#pragma HLS PIPELINE II=1
        if (!bit(index, row)) continue;
        TileWord result;
    window:
        for (int word = 0; word < WINDOW; ++word) {
#pragma HLS UNROLL
            result[2 * word] = scaled(sums[row][word].even, scale, 2 * word);
            result[2 * word + 1] = scaled(sums[row][word].odd, scale, 2 * word + 1);
        }
        results.write(result);
    }
}

inline void clear(std::uint32_t index, SumPair (&sums)[MAX_ROWS][WINDOW]) {
rows:
    for (int row = 0; row < MAX_ROWS; ++row) {
#pragma HLS PIPELINE II=1
        if (!bit(index, row)) continue;
    window:
        for (int word = 0; word < WINDOW; ++word) {
#pragma HLS UNROLL
            sums[row][word].even = 0;
            sums[row][word].odd = 0;
        }
    }
}

inline void run_job(const Job& job, const Pass (&table)[MAX_ROWS], hls::stream<Word>& weight_stream,
                    hls::stream<Word>& scale_stream, const Segment (&activations)[MAX_ROWS][MAX_SEGMENTS],
                    hls::stream<TileWord>& results, LaneCounters& counters) {
    WeightPair weights[WINDOW];
#pragma HLS ARRAY_PARTITION variable=weights complete dim=1
    SumPair sums[MAX_ROWS][WINDOW];
#pragma HLS ARRAY_PARTITION variable=sums complete dim=2
    Word scale[SCALE_WORDS];
#pragma HLS ARRAY_PARTITION variable=scale complete dim=1
    const PassCost passes = cost(job.passes, table);
tiles:
    for (int tile = 0; tile < job.tiles; ++tile) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1376
    scales:
        for (int word = 0; word < SCALE_WORDS; ++word) {
#pragma HLS PIPELINE II=1
            scale[word] = scale_stream.read();
        }
        clear(job.index, sums);
    segments:
        for (int segment = 0; segment < job.segments; ++segment) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=172
#pragma HLS DEPENDENCE variable=sums inter false
            read_window(weight_stream, weights);
            run_passes(job.passes, segment, table, weights, activations, sums);
        }
        requantise(job.index, scale, sums, results);
    }
    const std::uint64_t windows = std::uint64_t(job.tiles) * job.segments;
    const int paced = passes.cycles > WINDOW ? passes.cycles : WINDOW;
    counters.cycles += windows * paced;
    counters.busy += windows * passes.busy;
    counters.replayed += windows * passes.replayed;
    counters.unfilled += windows * (std::uint64_t(passes.cycles) * LANES - passes.busy - passes.replayed);
    counters.starved += windows * (paced - passes.cycles) * LANES;
}

inline void run_lanes(hls::stream<Job>& jobs, hls::stream<Pass>& passes, hls::stream<Word>& weights,
                      hls::stream<Word>& scales, hls::stream<Int8Word>& activations, hls::stream<TileWord>& results,
                      LaneCounters& counters) {
    Segment buffer[MAX_ROWS][MAX_SEGMENTS];
#pragma HLS BIND_STORAGE variable=buffer type=ram_t2p impl=uram
#pragma HLS ARRAY_PARTITION variable=buffer complete dim=1
    Pass table[MAX_ROWS];
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
            if (job.loads) load_activations(job, activations, buffer);
            run_job(job, table, weights, scales, buffer, results, total);
        }
    }
    counters = total;
}

}  // namespace fastcar
