// SwiGLU of one tile: SILU(gate) * up, int16 (gate in Q4.11) in, int8 out.
#pragma once

#include "functions.hpp"

namespace fastcar {

inline void swiglu(const TileWord& gate, const TileWord& up, int shift, HiddenWord& hidden) {
outputs:
    for (int i = 0; i < TILE; ++i) {
#pragma HLS UNROLL
        hidden[i] = sat8(rs(times<17, 16>(silu(gate[i]), up[i]), shift));
    }
}

}  // namespace fastcar
