// Dynamic Resource Scheduling: who computes, and on which lane.
//
// The program asks for every row of every matrix. DRS turns the batch's scores into the index register (0 replays, 1
// computes), drops the MLP commands of rows that replay, gathers the others in order and plans the passes of the lanes
// over a window of weights: full passes of LANES rows, then a last one in which spare lanes split rows. A matrix that
// no row needs is no job at all, and its weights are not streamed.
#pragma once

#include "lane_array.hpp"
#include "records.hpp"

namespace fastcar {

constexpr std::uint8_t NO_LANE = 255;

// The index register. A group of rows (one, a pair, all) replays when each of its rows may, and its score says so: ALL
// wants every row above the threshold, the others the group's sum above the sum of thresholds.
inline std::uint32_t decide(const std::int32_t (&score)[MAX_ROWS], std::uint32_t may, int rows, int policy,
                            std::int64_t threshold) {
    const int size = policy == PER_SAMPLE ? 1 : policy == PAIR ? 2 : rows;
    std::uint32_t computes = 0;
groups:
    for (int first = 0; first < rows; first += size) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
        const int end = first + size < rows ? first + size : rows;
        std::int64_t sum = 0, limit = 0;
        std::uint32_t members = 0;
        bool above = true;
    members:
        for (int row = first; row < end; ++row) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
            sum += score[row];
            limit += threshold;
            above &= score[row] > threshold;
            members |= std::uint32_t(1) << row;
        }
        const bool wants = policy == ALL ? above : sum > limit;
        if (!wants || (may & members) != members) computes |= members;
    }
    return computes;
}

// Computing rows in order; returns how many.
inline int compact(std::uint32_t index, std::uint8_t (&row_of)[MAX_ROWS]) {
    int count = 0;
rows:
    for (int row = 0; row < MAX_ROWS; ++row) {
#pragma HLS PIPELINE II=1
        if (bit(index, row)) row_of[count++] = std::uint8_t(row);
    }
    return count;
}

// Shares of a pass with `taken` rows: row i has LANES / taken lanes, one more when i < LANES % taken; a row of `parts`
// lanes gives each ceil(WINDOW / parts) words. By table: no divider.
struct Shares {
    std::uint8_t quotient[LANES + 1];
    std::uint8_t remainder[LANES + 1];
    std::uint8_t length[LANES + 1];
};

constexpr Shares make_shares() {
    Shares shares = {};
    for (int n = 1; n <= LANES; ++n) {
        shares.quotient[n] = std::uint8_t(LANES / n);
        shares.remainder[n] = std::uint8_t(LANES % n);
        shares.length[n] = std::uint8_t((WINDOW + n - 1) / n);
    }
    return shares;
}

constexpr Shares SHARES = make_shares();

// Lane k works for row k % taken of a pass, as part k / taken: both count up with k.
inline int plan_passes(std::uint32_t index, Pass (&plan)[MAX_ROWS]) {
    std::uint8_t row_of[MAX_ROWS];
    const int count = compact(index, row_of);
    int passes = 0;
passes:
    for (int first = 0; first < count; first += LANES) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
        const int taken = count - first < LANES ? count - first : LANES;
        Pass pass;
#pragma HLS AGGREGATE variable=pass
        int i = 0, begin = 0, longer = 0;  // the row; where its part begins, for rows with a lane less and a lane more
    lanes:
        for (int k = 0; k < LANES; ++k) {
#pragma HLS PIPELINE II=1
            const bool more = i < SHARES.remainder[taken];
            const int length = SHARES.length[SHARES.quotient[taken] + (more ? 1 : 0)];
            const int from = more ? longer : begin;
            const int to = from + length;
            const Entry entry = {row_of[first + i], std::uint8_t(from < WINDOW ? from : WINDOW),
                                 std::uint8_t(to < WINDOW ? to : WINDOW), false};
            pass.lane[k] = entry;
            if (++i == taken) {
                i = 0;
                begin += SHARES.length[SHARES.quotient[taken]];
                longer += SHARES.length[SHARES.quotient[taken] + (SHARES.remainder[taken] ? 1 : 0)];
            }
        }
        plan[passes++] = pass;
    }
    return passes;
}

// DRS off: row b belongs to lane b % LANES in pass b / LANES.
inline int bind_rows(std::uint32_t index, int rows, Pass (&plan)[MAX_ROWS]) {
    int passes = 0;
passes:
    for (int first = 0; first < rows; first += LANES) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
        Pass pass;
#pragma HLS AGGREGATE variable=pass
        bool any = false;
    lanes:
        for (int k = 0; k < LANES; ++k) {
#pragma HLS UNROLL
            const int row = first + k;
            const bool computes = row < rows && bit(index, row);
            pass.lane[k].row = std::uint8_t(row < rows ? row : 0);
            pass.lane[k].begin = 0;
            pass.lane[k].end = std::uint8_t(computes ? WINDOW : 0);
            pass.lane[k].replayed = row < rows && !computes;
            any |= computes;
        }
        if (any) plan[passes++] = pass;
    }
    return passes;
}

// The commands of one matrix: drops those of replaying rows, and issues what is left to the lanes.
inline void dispatch(const Shape& shape, std::uint32_t index, hls::stream<RowCommand>& commands, hls::stream<Job>& jobs,
                     hls::stream<Pass>& passes, DrsCounters& counters) {
    Pass plan[MAX_ROWS];
#pragma HLS BIND_STORAGE variable=plan type=ram_2p impl=lutram
#pragma HLS AGGREGATE variable=plan
    Job job = {0, 0, 0, 0, false, false};
rows:
    for (int row = 0; row < shape.rows; ++row) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
        const RowCommand command = commands.read();
        ++counters.issued;
        if (command.droppable && !bit(index, command.row)) {
            ++counters.dropped;
        } else {
            job.index |= std::uint32_t(1) << command.row;
            job.tiles = command.tiles;
            job.segments = command.segments;
            job.loads = command.loads;
        }
    }
    if (job.index) {
        job.passes =
            std::uint8_t(shape.resource_scheduling ? plan_passes(job.index, plan) : bind_rows(job.index, shape.rows, plan));
        jobs.write(job);
    passes:
        for (int pass = 0; pass < job.passes; ++pass) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
            passes.write(plan[pass]);
        }
    }
}

// The mapping table: the lane of each computing row, round-robin.
inline void map_rows(std::uint32_t index, std::uint8_t (&mapping)[MAX_ROWS]) {
    std::uint8_t row_of[MAX_ROWS];
    const int count = compact(index, row_of);
clear:
    for (int row = 0; row < MAX_ROWS; ++row) {
#pragma HLS UNROLL
        mapping[row] = NO_LANE;
    }
rows:
    for (int rank = 0; rank < count; ++rank) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
        mapping[row_of[rank]] = std::uint8_t(rank % LANES);
    }
}

// One decision: the score of every row, the chain counts of this place of the frame.
inline std::uint32_t decide_layer(const LayerRegisters& registers, const Shape& shape, const std::uint8_t* chains,
                                  hls::stream<std::int32_t>& scores, std::uint8_t (&counts)[MAX_ROWS],
                                  Decision& decision) {
    const bool has_frame = shape.position >= shape.frame_tokens;
    std::uint32_t may = 0;
    int at = shape.position % shape.frame_tokens;
scores:
    for (int row = 0; row < shape.rows; ++row) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
        decision.score[row] = has_frame ? scores.read() : 0;
        counts[row] = chains[at];
        at += shape.frame_tokens;
        const bool free = registers.chain_cap == 0 || counts[row] < registers.chain_cap;
        if (has_frame && free) may |= std::uint32_t(1) << row;
    }
    const std::uint32_t index = decide(decision.score, may, shape.rows, registers.policy, registers.threshold);
    decision.index = index;
    map_rows(index, decision.mapping);
    return index;
}

// What the decision makes of the chain counts, back to DRAM.
inline void store_chains(const Shape& shape, std::uint32_t index, const std::uint8_t (&counts)[MAX_ROWS],
                         std::uint8_t* chains) {
    int at = shape.position % shape.frame_tokens;
chains:
    for (int row = 0; row < shape.rows; ++row) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
        const int longer = counts[row] < 255 ? counts[row] + 1 : 255;
        chains[at] = std::uint8_t(bit(index, row) ? 0 : longer);
        at += shape.frame_tokens;
    }
}

inline void run_drs(const LayerRegisters* registers, std::uint8_t* chains, Decision* decisions, const Shape& shape,
                    hls::stream<RowCommand>& commands, hls::stream<std::int32_t>& scores, hls::stream<Job>& jobs,
                    hls::stream<Pass>& passes, hls::stream<std::uint32_t>& decoder_index,
                    hls::stream<std::uint32_t>& ring_index, hls::stream<bool>& weights_wanted,
                    hls::stream<bool>& scales_wanted, DrsCounters& counters) {
    DrsCounters total = {0, 0, 0, 0};
    const int layer_chains = times_in_luts<7, 14>(shape.rows, shape.frame_tokens);
    int first = 0;
layers:
    for (int layer = 0; layer < shape.layers; ++layer) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
        dispatch(shape, 0, commands, jobs, passes, total);  // Q
        dispatch(shape, 0, commands, jobs, passes, total);  // K
        dispatch(shape, 0, commands, jobs, passes, total);  // V
        Decision decision = {};
        std::uint8_t counts[MAX_ROWS];
        const std::uint32_t index = decide_layer(registers[layer], shape, chains + first, scores, counts, decision);
        decoder_index.write(index);
        ring_index.write(index);
        weights_wanted.write(index != 0);
        scales_wanted.write(index != 0);
        store_chains(shape, index, counts, chains + first);
        first += layer_chains;
        decisions[layer] = decision;
    rows:
        for (int row = 0; row < shape.rows; ++row) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
            if (bit(index, row)) ++total.computed;
            else ++total.replayed;
        }
        dispatch(shape, index, commands, jobs, passes, total);  // O
        dispatch(shape, index, commands, jobs, passes, total);  // gate and up
        dispatch(shape, index, commands, jobs, passes, total);  // down
    }
    const Job stop = {0, 0, 0, 0, false, true};
    jobs.write(stop);
    counters = total;
}

}  // namespace fastcar
