// Depths of the streams between kernels, in elements: what vitis/link.cfg states for v++ (a test compares them).
#pragma once

namespace fastcar {

constexpr int WEIGHTS_DEPTH = 512;      // the prefetch: 32 KiB
constexpr int SCALES_DEPTH = 64;
constexpr int WANTED_DEPTH = 2;
constexpr int COMMANDS_DEPTH = 128;
constexpr int JOBS_DEPTH = 8;
constexpr int PASSES_DEPTH = 128;
constexpr int ACTIVATIONS_DEPTH = 128;
constexpr int RESULTS_DEPTH = 64;
constexpr int QUERIES_DEPTH = 64;
constexpr int HEADS_DEPTH = 64;
constexpr int ATTENDED_DEPTH = 64;
constexpr int SCORES_DEPTH = 32;
constexpr int INDEX_DEPTH = 2;
constexpr int COMPUTED_DEPTH = 64;
constexpr int REPLAYED_DEPTH = 64;
constexpr int ROWS_DEPTH = 64;

}  // namespace fastcar
