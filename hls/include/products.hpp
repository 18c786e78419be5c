// Products of stated widths, and what multiplies them: `times` a DSP48E2 (27 by 18 bits, signed), `times_in_luts` logic.
//
// Every product of two variables in the kernels is one of these, so that the widths that synthesis builds are those that C
// simulation has seen to suffice. Two products that share an operand share a DSP48E2, exactly: `dot_pair`, `value_pair`.
#pragma once

#include <type_traits>

#include "types.hpp"

namespace fastcar {

template <int BITS>
using integer_t = std::conditional_t<(BITS <= 32), std::int32_t, std::int64_t>;

// a of A bits by b of B bits, both signed.
template <int A, int B>
integer_t<A + B> times(std::int64_t a, std::int64_t b) {
#pragma HLS INLINE
    FASTCAR_ASSERT(fits(a, A) && fits(b, B));
#ifdef FASTCAR_WIDTHS
    const ap_int<A + B> made = ap_int<A>(a) * ap_int<B>(b);
#pragma HLS BIND_OP variable=made op=mul impl=dsp
    return integer_t<A + B>(made);
#else
    return integer_t<A + B>(a * b);
#endif
}

template <int A, int B>
integer_t<A + B> times_in_luts(std::int64_t a, std::int64_t b) {
#pragma HLS INLINE
    FASTCAR_ASSERT(fits(a, A) && fits(b, B));
#ifdef FASTCAR_WIDTHS
    const ap_int<A + B> made = ap_int<A>(a) * ap_int<B>(b);
#pragma HLS BIND_OP variable=made op=mul impl=fabric
    return integer_t<A + B>(made);
#else
    return integer_t<A + B>(a * b);
#endif
}

// Two int4 weights by one activation: {w1, 18'b0} + w0 is 23 bits. A sum of 64 such products holds the sum for w0 in its
// low 18 bits, |.| <= 2^16, and the sum for w1 above, which has lent one to a negative sum below.
constexpr int PAIR_SHIFT = 18;

// Two int8 values by one probability of 12 bits: {v1, 12'b0, the low seven bits of v0}, 27 bits. The low product is not
// negative and below 2^19, so nothing is lent; v0's sign is worth -128 probabilities.
constexpr int VALUE_SHIFT = 19;

struct ValuePair {
    std::int32_t even;
    std::int32_t odd;
};

inline ValuePair value_pair(std::int16_t p, std::int8_t even, std::int8_t odd) {
#pragma HLS INLINE
#ifdef FASTCAR_WIDTHS
    const std::int32_t both = std::int32_t(std::uint32_t(std::int32_t(odd)) << VALUE_SHIFT) | (even & 127);
    const std::int64_t made = times<27, 13>(both, p);
    const std::int32_t low = std::int32_t(made & ((1 << VALUE_SHIFT) - 1));
    return {low - (even < 0 ? p << 7 : 0), std::int32_t(made >> VALUE_SHIFT)};
#else
    return {p * even, p * odd};
#endif
}

}  // namespace fastcar
