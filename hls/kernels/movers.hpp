// Movers: rows of the residual stream between DRAM and the decoder.
#pragma once

#include "types.hpp"

namespace fastcar {

inline void move_in(const Int16Word* memory, int count, hls::stream<Int16Word>& out) {
words:
    for (int i = 0; i < count; ++i) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=4096
        out.write(memory[i]);
    }
}

inline void move_out(Int16Word* memory, int count, hls::stream<Int16Word>& in) {
words:
    for (int i = 0; i < count; ++i) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=4096
        memory[i] = in.read();
    }
}

}  // namespace fastcar
