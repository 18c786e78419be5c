// Rows of the decoder between its memories and its streams: computing rows leave, tiles of results and words of rows come
// in, the residual takes them.
#pragma once

#include "lane_array.hpp"
#include "records.hpp"
#include "weight_streamer.hpp"

namespace fastcar {

// Rows lie in words of 512 bits: a memory is as wide as what enters and leaves it.
using Residual = Int16Word[MAX_ROWS][ROW_WORDS];
using Activations = Int8Word[MAX_ROWS][MAX_SEGMENTS];

// The computing rows, in order, in words that end with zeros.
template <class ELEMENT, std::size_t LANES, std::size_t LENGTH>
void send_rows(std::uint32_t index, int count, const hls::vector<ELEMENT, LANES> (&rows_in)[MAX_ROWS][LENGTH],
               hls::stream<hls::vector<ELEMENT, LANES>>& out) {
rows:
    for (int row = 0; row < MAX_ROWS; ++row) {
        if (!bit(index, row)) continue;
    segments:
        for (int segment = 0; segment < words(count, int(LANES)); ++segment) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=172
            const hls::vector<ELEMENT, LANES> stored = rows_in[row][segment];
            hls::vector<ELEMENT, LANES> word;
        elements:
            for (std::size_t i = 0; i < LANES; ++i) {
#pragma HLS UNROLL
                word[i] = segment * int(LANES) + int(i) < count ? stored[i] : ELEMENT(0);
            }
            out.write(word);
        }
    }
}

// Puts a tile behind the `filled` elements that a row still holds, of `first`, its next word in memory: words that become
// whole leave, up to the row's `count`, what is left is held.
template <class ELEMENT, std::size_t LANES, std::size_t LENGTH>
void append(const hls::vector<ELEMENT, TILE>& tile, int filled, int first, int count,
            hls::vector<ELEMENT, LANES>& held, hls::vector<ELEMENT, LANES> (&out)[LENGTH]) {
#pragma HLS INLINE
    constexpr unsigned SPAN = TILE / LANES + 2;
    hls::vector<ELEMENT, LANES> rest(0);
spans:
    for (unsigned span = 0; span < SPAN; ++span) {
#pragma HLS UNROLL
        const int begin = int(span * LANES);
        hls::vector<ELEMENT, LANES> word;
    elements:
        for (std::size_t i = 0; i < LANES; ++i) {
#pragma HLS UNROLL
            const int at = begin + int(i);
            word[i] = at < filled ? held[i] : at - filled < TILE ? tile[at - filled] : ELEMENT(0);
        }
        const int end = begin + int(LANES);
        if (end <= filled + TILE && first + int(span) < count) out[first + int(span)] = word;
        if (begin <= filled + TILE && filled + TILE < end) rest = word;
    }
    held = rest;
}

// The last words of rows that do not end with a word.
template <class ELEMENT, std::size_t LANES, std::size_t LENGTH>
void flush(std::uint32_t index, int first, int count, const hls::vector<ELEMENT, LANES> (&held)[MAX_ROWS],
           hls::vector<ELEMENT, LANES> (&out)[MAX_ROWS][LENGTH]) {
    if (first >= count) return;
rows:
    for (int row = 0; row < MAX_ROWS; ++row) {
#pragma HLS PIPELINE II=1
        if (bit(index, row)) out[row][first] = held[row];
    }
}

inline void collect(std::uint32_t index, int outputs, hls::stream<TileWord>& results, Residual& out) {
    Int16Word held[MAX_ROWS];
#pragma HLS ARRAY_PARTITION variable=held complete dim=1
    int filled = 0, first = 0;
tiles:
    for (int tile = 0; tile < tiles(outputs); ++tile) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=128
    rows:
        for (int row = 0; row < MAX_ROWS; ++row) {
#pragma HLS PIPELINE II=1
            if (!bit(index, row)) continue;
            Int16Word mine = held[row];
            append(results.read(), filled, first, words(outputs, SHORTS), mine, out[row]);
            held[row] = mine;
        }
        first += (filled + TILE) / SHORTS;
        filled = (filled + TILE) % SHORTS;
    }
    flush(index, first, words(outputs, SHORTS), held, out);
}

// The residual takes a projection's output, a word a cycle.
inline void add_rows(std::uint32_t index, int width, const Residual& delta, Residual& x) {
rows:
    for (int row = 0; row < MAX_ROWS; ++row) {
        if (!bit(index, row)) continue;
    words:
        for (int word = 0; word < words(width, SHORTS); ++word) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=128
            const Int16Word before = x[row][word];
            const Int16Word more = delta[row][word];
            Int16Word after;
        elements:
            for (int i = 0; i < SHORTS; ++i) {
#pragma HLS UNROLL
                after[i] = sat16(std::int32_t(before[i]) + more[i]);
            }
            x[row][word] = after;
        }
    }
}

inline void receive_rows(std::uint32_t index, int width, hls::stream<Int16Word>& in, Residual& rows_out) {
rows:
    for (int row = 0; row < MAX_ROWS; ++row) {
        if (!bit(index, row)) continue;
    words:
        for (int word = 0; word < words(width, SHORTS); ++word) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=128
            rows_out[row][word] = in.read();
        }
    }
}

}  // namespace fastcar
