// What travels between kernels: registers, commands, lane assignments.
#pragma once

#include "types.hpp"

namespace fastcar {

enum Policy { PER_SAMPLE = 0, PAIR = 1, ALL = 2, MEAN = 3 };
enum Chooser { PUBLISHED = 0, CONSISTENT = 1, HEADS = 2, VALUE = 3, KEY = 4 };
enum Matrix { Q = 0, K = 1, V = 2, O = 3, GATE_UP = 4, DOWN = 5, MATRICES = 6 };

// One step of a batch: s_axilite registers of every kernel.
struct Shape {
    std::int32_t layers;
    std::int32_t rows;
    std::int32_t position;      // of the token, the same for every row
    std::int32_t width;
    std::int32_t ffn;
    std::int32_t heads;
    std::int32_t kv_heads;
    std::int32_t head_dim;
    std::int32_t frame_tokens;  // depth of the replay ring
    std::int32_t context;       // positions that the KV cache holds a row
    std::int32_t resource_scheduling;  // 1: DRS; 0: each row bound to a lane
};

// One layer's scalars, in DRAM beside its gains.
struct LayerRegisters {
    std::int32_t attention_norm_shift;
    std::int32_t mlp_norm_shift;
    std::int32_t score_multiplier;
    std::int32_t score_shift;
    std::int32_t attention_shift;
    std::int32_t swiglu_shift;
    std::int32_t threshold;
    std::int32_t policy;
    std::int32_t chooser;
    std::int32_t chain_cap;
    std::int32_t window;
    std::int32_t sink;
    std::int32_t unused[4];
    std::uint8_t head_weights[64];  // of HEADS: two a byte, -7..7, head h in nibble h
};
static_assert(sizeof(LayerRegisters) == 128, "a record is two 512-bit words");

// What the program asks for: one output row of one matrix. `droppable`: void when the row replays.
struct RowCommand {
    std::uint8_t matrix;
    std::uint8_t row;
    std::uint16_t tiles;
    std::uint16_t segments;     // words of inputs
    bool loads;                 // its activations come first; else it uses those of the command before
    bool droppable;
};

// One matrix for the lanes; `passes` Pass records follow on their own stream.
struct Job {
    std::uint32_t index;        // the rows, a bit each
    std::uint16_t tiles;
    std::uint16_t segments;
    std::uint8_t passes;
    bool loads;
    bool stop;                  // no job: the step is over
};

// Words begin..end-1 of each window for a row; begin == end: the lane idles.
struct Entry {
    std::uint8_t row;
    std::uint8_t begin;
    std::uint8_t end;
    bool replayed;              // idle because its row replays (DRS off)
};

struct Pass {
    Entry lane[LANES];
};

// Lane-cycles by what the lane did; they add up to LANES * cycles.
struct LaneCounters {
    std::uint64_t cycles;
    std::uint64_t busy;
    std::uint64_t replayed;     // idle: the lane's row replays (DRS off)
    std::uint64_t unfilled;     // idle: fewer rows than lanes, or an uneven split
    std::uint64_t starved;      // idle: a word a cycle is all that the stream brings
};

// 512-bit words of the weight stream.
struct StreamCounters {
    std::uint64_t streamed;
    std::uint64_t skipped;      // of MLPs whose rows all replay
};

struct DrsCounters {
    std::uint64_t computed;     // rows, over the layers
    std::uint64_t replayed;
    std::uint64_t issued;       // row commands
    std::uint64_t dropped;
};

// What DRS decided in one layer.
struct Decision {
    std::uint32_t index;
    std::uint8_t mapping[MAX_ROWS];  // lane of a row, 255 when it replays
    std::int32_t score[MAX_ROWS];
};

}  // namespace fastcar
