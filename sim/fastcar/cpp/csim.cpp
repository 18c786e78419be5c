// What Python calls: a step of the whole system, and single kernels fed from arrays and drained into arrays.
// Every function returns 0, or 1 with a line in `error`.

#include "kernels/decoder.hpp"
#include "kernels/drs.hpp"
#include "system.hpp"

#include <cstring>
#include <stdexcept>
#include <vector>

namespace {

constexpr std::size_t ERROR_BYTES = 512;

int report(char* error, const std::string& text) {
    std::strncpy(error, text.c_str(), ERROR_BYTES - 1);
    error[ERROR_BYTES - 1] = 0;
    return 1;
}

// Runs what has been spawned to its end.
int run(char* error) {
    fibers::Scheduler& scheduler = fibers::Scheduler::get();
    try {
        if (scheduler.run() == fibers::Outcome::Done) return 0;
        return report(error, scheduler.deadlock());
    } catch (const std::exception& problem) {
        return report(error, problem.what());
    }
}

template <class T>
int left_over(char* error, const hls::stream<T>& stream, const char* name) {
    if (stream.empty()) return 0;
    return report(error, std::string("stream '") + name + "' holds " + std::to_string(stream.size()) +
                             " elements after the end");
}

}  // namespace

extern "C" {

void csim_shake(std::uint64_t seed, unsigned chance) { fibers::Scheduler::get().shake(seed, chance); }

void csim_depth(const char* stream, std::size_t depth) { fibers::Scheduler::get().override_depth(stream, depth); }

void csim_sizes(std::int32_t* out) {
    const std::int32_t sizes[] = {LANES,       WINDOW,         SCALE_WORDS,   MAX_ROWS,
                                  MAX_WIDTH,   MAX_FFN,        MAX_HEAD_DIM,  MAX_CONTEXT,
                                  sizeof(Pass), sizeof(Decision), sizeof(Counters)};
    std::memcpy(out, sizes, sizeof(sizes));
}

int csim_step(const Shape* shape, const Memory* memory, const Int16Word* x, Int16Word* y, Counters* counters,
              char* error) {
    System system(*shape, *memory);
    system.start();
    system.start_memory(x, y);
    if (run(error)) return 1;
    *counters = system.counters;
    return left_over(error, system.weights, "weights") || left_over(error, system.scales, "scales") ||
           left_over(error, system.passes, "passes") || left_over(error, system.replayed, "replayed");
}

int csim_lane_array(const Job* jobs, std::size_t job_count, const Pass* passes, std::size_t pass_count,
                    const Word* weights, std::size_t weight_count, const Word* scales, std::size_t scale_count,
                    const Int8Word* activations, std::size_t activation_count, TileWord* results,
                    std::size_t result_count, LaneCounters* counters, char* error) {
    hls::stream<Job> job_stream("jobs", JOBS_DEPTH);
    hls::stream<Pass> pass_stream("passes", PASSES_DEPTH);
    hls::stream<Word> weight_stream("weights", WEIGHTS_DEPTH);
    hls::stream<Word> scale_stream("scales", SCALES_DEPTH);
    hls::stream<Int8Word> activation_stream("activations", ACTIVATIONS_DEPTH);
    hls::stream<TileWord> result_stream("results", RESULTS_DEPTH);
    fibers::Scheduler::get().spawn("lane_array", [&] {
        lane_array(job_stream, pass_stream, weight_stream, scale_stream, activation_stream, result_stream, counters);
    });
    feed("jobs", jobs, job_count, job_stream);
    feed("passes", passes, pass_count, pass_stream);
    feed("weights", weights, weight_count, weight_stream);
    feed("scales", scales, scale_count, scale_stream);
    feed("activations", activations, activation_count, activation_stream);
    drain("results", result_stream, results, result_count);
    return run(error);
}

int csim_weight_streamer(const Shape* shape, const Word* weight_memory, const Word* scale_memory, const bool* wanted,
                         Word* weights, std::size_t weight_count, Word* scales, std::size_t scale_count,
                         StreamCounters* counters, char* error) {
    hls::stream<bool> weights_wanted("weights_wanted", WANTED_DEPTH);
    hls::stream<bool> scales_wanted("scales_wanted", WANTED_DEPTH);
    hls::stream<Word> weight_stream("weights", WEIGHTS_DEPTH);
    hls::stream<Word> scale_stream("scales", SCALES_DEPTH);
    fibers::Scheduler::get().spawn("weight_streamer", [&] {
        weight_streamer(weight_memory, scale_memory, *shape, weights_wanted, scales_wanted, weight_stream, scale_stream,
                        counters, counters + 1);
    });
    feed("weights_wanted", wanted, shape->layers, weights_wanted);
    feed("scales_wanted", wanted, shape->layers, scales_wanted);
    drain("weights", weight_stream, weights, weight_count);
    drain("scales", scale_stream, scales, scale_count);
    return run(error) || left_over(error, weight_stream, "weights") || left_over(error, scale_stream, "scales");
}

int csim_attention(const Shape* shape, const LayerRegisters* registers, Int8Word* keys, Int8Word* values,
                   const Int8Word* heads, std::size_t head_count, Int8Word* attended, std::size_t attended_count,
                   char* error) {
    hls::stream<Int8Word> head_stream("heads", HEADS_DEPTH);
    hls::stream<Int8Word> attended_stream("attended", ATTENDED_DEPTH);
    fibers::Scheduler::get().spawn(
        "attention", [&] { attention(registers, keys, values, *shape, head_stream, attended_stream); });
    feed("heads", heads, head_count, head_stream);
    drain("attended", attended_stream, attended, attended_count);
    return run(error);
}

int csim_tas(const Shape* shape, const LayerRegisters* registers, const Int8Word* keys, const Int8Word* values,
             const Int8Word* queries, std::size_t query_count, std::int32_t* scores, std::size_t score_count,
             char* error) {
    hls::stream<Int8Word> query_stream("queries", QUERIES_DEPTH);
    hls::stream<std::int32_t> score_stream("scores", SCORES_DEPTH);
    fibers::Scheduler::get().spawn("tas", [&] { tas(registers, keys, values, *shape, query_stream, score_stream); });
    feed("queries", queries, query_count, query_stream);
    drain("scores", score_stream, scores, score_count);
    return run(error);
}

int csim_replay_ring(const Shape* shape, Int16Word* ring, const std::uint32_t* index, const Int16Word* computed,
                     std::size_t computed_count, Int16Word* replayed, std::size_t replayed_count, char* error) {
    hls::stream<std::uint32_t> index_stream("ring_index", INDEX_DEPTH);
    hls::stream<Int16Word> computed_stream("computed", COMPUTED_DEPTH);
    hls::stream<Int16Word> replayed_stream("replayed", REPLAYED_DEPTH);
    fibers::Scheduler::get().spawn(
        "replay_ring", [&] { replay_ring(ring, *shape, index_stream, computed_stream, replayed_stream); });
    feed("ring_index", index, shape->layers, index_stream);
    feed("computed", computed, computed_count, computed_stream);
    drain("replayed", replayed_stream, replayed, replayed_count);
    return run(error);
}

// Jobs and passes as they come; `counts` says how many.
int csim_drs(const Shape* shape, const LayerRegisters* registers, std::uint8_t* chains, const RowCommand* commands,
             std::size_t command_count, const std::int32_t* scores, std::size_t score_count, Decision* decisions,
             Job* jobs, std::size_t job_room, Pass* passes, std::size_t pass_room, std::size_t* counts, bool* wanted,
             DrsCounters* counters, char* error) {
    hls::stream<RowCommand> command_stream("commands", COMMANDS_DEPTH);
    hls::stream<std::int32_t> score_stream("scores", SCORES_DEPTH);
    hls::stream<Job> job_stream("jobs", job_room);
    hls::stream<Pass> pass_stream("passes", pass_room);
    hls::stream<std::uint32_t> decoder_index("decoder_index", shape->layers);
    hls::stream<std::uint32_t> ring_index("ring_index", shape->layers);
    hls::stream<bool> weights_wanted("weights_wanted", shape->layers);
    hls::stream<bool> scales_wanted("scales_wanted", shape->layers);
    fibers::Scheduler::get().spawn("drs", [&] {
        drs(registers, chains, decisions, *shape, command_stream, score_stream, job_stream, pass_stream, decoder_index,
            ring_index, weights_wanted, scales_wanted, counters);
    });
    feed("commands", commands, command_count, command_stream);
    feed("scores", scores, score_count, score_stream);
    if (run(error)) return 1;
    counts[0] = job_stream.size();
    counts[1] = pass_stream.size();
    job_stream.drain_into(jobs);
    pass_stream.drain_into(passes);
    weights_wanted.drain_into(wanted);
    return 0;
}

// Functions of one element or one row, over arrays.
void csim_functions(const std::int32_t* in, std::size_t count, std::int32_t* exp2n_out, std::int32_t* silu_out,
                    Scale* recip_out, Scale* rsqrt_out) {
    for (std::size_t i = 0; i < count; ++i) {
        exp2n_out[i] = exp2n(std::int16_t(in[i]));
        silu_out[i] = silu(std::int16_t(in[i]));
        recip_out[i] = recip(in[i]);
        rsqrt_out[i] = rsqrt(in[i]);
    }
}

void csim_rms_norm(const std::int16_t* x, const std::int16_t* gain, int width, int norm_shift, std::int8_t* out) {
    static Int16Word row[ROW_WORDS];
    static Int8Word normed[MAX_SEGMENTS];
    std::int16_t gains[MAX_WIDTH] = {};
    std::memcpy(static_cast<void*>(row), x, width * sizeof(*x));
    std::memcpy(gains, gain, width * sizeof(*gain));
    rms_norm(row, gains, width, norm_shift, normed);
    std::memcpy(out, normed, width);
}

void csim_rope(const std::int16_t* head, const std::int16_t* turns, int head_dim, std::int8_t* before,
               std::int8_t* after) {
    static Int16Word row[ROW_WORDS];
    std::int16_t table[MAX_HEAD_DIM] = {};
    std::int8_t rounded[MAX_HEAD_DIM] = {}, turned[MAX_HEAD_DIM] = {};
    std::memcpy(static_cast<void*>(row), head, head_dim * sizeof(*head));
    std::memcpy(table, turns, head_dim * sizeof(*turns));
    round_head(row, 0, head_dim, rounded);
    rope(row, 0, head_dim, table, turned);
    std::memcpy(before, rounded, head_dim);
    std::memcpy(after, turned, head_dim);
}

void csim_swiglu(const TileWord* gate, const TileWord* up, std::size_t tiles, int shift, std::int8_t* hidden) {
    for (std::size_t tile = 0; tile < tiles; ++tile) {
        HiddenWord out;
        swiglu(gate[tile], up[tile], shift, out);
        std::memcpy(hidden + tile * TILE, &out[0], TILE);
    }
}

}  // extern "C"
