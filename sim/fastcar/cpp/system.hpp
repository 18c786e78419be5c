// The kernels of hls/fastcar.cpp, linked as vitis/link.cfg links them, on fibers: one step of a batch.
#pragma once

#include "links.hpp"
#include "records.hpp"

#include <functional>
#include <string>

extern "C" {
using namespace fastcar;
void weight_streamer(const Word*, const Word*, Shape, hls::stream<bool>&, hls::stream<bool>&, hls::stream<Word>&,
                     hls::stream<Word>&, StreamCounters*, StreamCounters*);
void lane_array(hls::stream<Job>&, hls::stream<Pass>&, hls::stream<Word>&, hls::stream<Word>&, hls::stream<Int8Word>&,
                hls::stream<TileWord>&, LaneCounters*);
void tas(const LayerRegisters*, const Int8Word*, const Int8Word*, Shape, hls::stream<Int8Word>&, hls::stream<std::int32_t>&);
void drs(const LayerRegisters*, std::uint8_t*, Decision*, Shape, hls::stream<RowCommand>&, hls::stream<std::int32_t>&,
         hls::stream<Job>&, hls::stream<Pass>&, hls::stream<std::uint32_t>&, hls::stream<std::uint32_t>&,
         hls::stream<bool>&, hls::stream<bool>&, DrsCounters*);
void attention(const LayerRegisters*, Int8Word*, Int8Word*, Shape, hls::stream<Int8Word>&, hls::stream<Int8Word>&);
void replay_ring(Int16Word*, Shape, hls::stream<std::uint32_t>&, hls::stream<Int16Word>&, hls::stream<Int16Word>&);
void decoder(const LayerRegisters*, const std::int16_t*, const std::int16_t*, Shape, hls::stream<Int16Word>&,
             hls::stream<Int16Word>&, hls::stream<RowCommand>&, hls::stream<Int8Word>&, hls::stream<TileWord>&,
             hls::stream<Int8Word>&, hls::stream<Int8Word>&, hls::stream<Int8Word>&, hls::stream<std::uint32_t>&,
             hls::stream<Int16Word>&, hls::stream<Int16Word>&);
void rows_in(const Int16Word*, int, hls::stream<Int16Word>&);
void rows_out(Int16Word*, int, hls::stream<Int16Word>&);
}

namespace fastcar {

// What lies in DRAM. Caches, ring, chains: [layer][row]...; docs/fastcar.md has the layouts.
struct Memory {
    const Word* weights;
    const Word* scales;
    const LayerRegisters* registers;
    const std::int16_t* gains;
    const std::int16_t* turns;
    Int8Word* keys;
    Int8Word* values;
    Int16Word* ring;
    std::uint8_t* chains;
    Decision* decisions;
};

struct Counters {
    LaneCounters lanes;
    StreamCounters weights;
    StreamCounters scales;
    DrsCounters drs;
};

struct System {
    Shape shape;
    Memory memory;
    Counters counters{};

    hls::stream<Word> weights{"weights", WEIGHTS_DEPTH};
    hls::stream<Word> scales{"scales", SCALES_DEPTH};
    hls::stream<bool> weights_wanted{"weights_wanted", WANTED_DEPTH};
    hls::stream<bool> scales_wanted{"scales_wanted", WANTED_DEPTH};
    hls::stream<RowCommand> commands{"commands", COMMANDS_DEPTH};
    hls::stream<Job> jobs{"jobs", JOBS_DEPTH};
    hls::stream<Pass> passes{"passes", PASSES_DEPTH};
    hls::stream<Int8Word> activations{"activations", ACTIVATIONS_DEPTH};
    hls::stream<TileWord> results{"results", RESULTS_DEPTH};
    hls::stream<Int8Word> queries{"queries", QUERIES_DEPTH};
    hls::stream<Int8Word> heads{"heads", HEADS_DEPTH};
    hls::stream<Int8Word> attended{"attended", ATTENDED_DEPTH};
    hls::stream<std::int32_t> scores{"scores", SCORES_DEPTH};
    hls::stream<std::uint32_t> decoder_index{"decoder_index", INDEX_DEPTH};
    hls::stream<std::uint32_t> ring_index{"ring_index", INDEX_DEPTH};
    hls::stream<Int16Word> computed{"computed", COMPUTED_DEPTH};
    hls::stream<Int16Word> replayed{"replayed", REPLAYED_DEPTH};
    hls::stream<Int16Word> x{"x", ROWS_DEPTH};
    hls::stream<Int16Word> y{"y", ROWS_DEPTH};

    System(const Shape& shape_, const Memory& memory_) : shape(shape_), memory(memory_) {}

    // Starts every kernel but the weight streamer and the movers.
    void start() {
        fibers::Scheduler& scheduler = fibers::Scheduler::get();
        scheduler.spawn("lane_array", [this] {
            lane_array(jobs, passes, weights, scales, activations, results, &counters.lanes);
        });
        scheduler.spawn("tas", [this] { tas(memory.registers, memory.keys, memory.values, shape, queries, scores); });
        scheduler.spawn("drs", [this] {
            drs(memory.registers, memory.chains, memory.decisions, shape, commands, scores, jobs, passes, decoder_index,
                ring_index, weights_wanted, scales_wanted, &counters.drs);
        });
        scheduler.spawn("attention", [this] {
            attention(memory.registers, memory.keys, memory.values, shape, heads, attended);
        });
        scheduler.spawn("replay_ring",
                        [this] { replay_ring(memory.ring, shape, ring_index, computed, replayed); });
        scheduler.spawn("decoder", [this] {
            decoder(memory.registers, memory.gains, memory.turns, shape, x, y, commands, activations, results, queries,
                    heads, attended, decoder_index, computed, replayed);
        });
    }

    // Those that co-simulation's test bench stands for.
    void start_memory(const Int16Word* x_memory, Int16Word* y_memory) {
        fibers::Scheduler& scheduler = fibers::Scheduler::get();
        const int row_words = shape.rows * words(shape.width, SHORTS);
        scheduler.spawn("rows_in", [this, x_memory, row_words] { rows_in(x_memory, row_words, x); });
        scheduler.spawn("rows_out", [this, y_memory, row_words] { rows_out(y_memory, row_words, y); });
        scheduler.spawn("weight_streamer", [this] {
            weight_streamer(memory.weights, memory.scales, shape, weights_wanted, scales_wanted, weights, scales,
                            &counters.weights, &counters.scales);
        });
    }
};

// Processes of a test bench.
template <class T>
void feed(const char* name, const T* from, std::size_t count, hls::stream<T>& stream) {
    fibers::Scheduler::get().spawn(name, [=, &stream] {
        for (std::size_t i = 0; i < count; ++i) stream.write(from[i]);
    });
}

template <class T>
void drain(const char* name, hls::stream<T>& stream, T* to, std::size_t count) {
    fibers::Scheduler::get().spawn(name, [=, &stream] {
        for (std::size_t i = 0; i < count; ++i) to[i] = stream.read();
    });
}

}  // namespace fastcar
