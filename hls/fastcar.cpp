// Top functions: one Vitis kernel each, linked by AXI-Streams (vitis/*.cfg). C simulation links the same functions.

#include "kernels/attention.hpp"
#include "kernels/decoder.hpp"
#include "kernels/drs.hpp"
#include "kernels/lane_array.hpp"
#include "kernels/movers.hpp"
#include "kernels/replay_ring.hpp"
#include "kernels/tas.hpp"
#include "kernels/weight_streamer.hpp"

using namespace fastcar;

extern "C" {

void weight_streamer(const Word* weight_memory, const Word* scale_memory, Shape shape,
                     hls::stream<bool>& weights_wanted, hls::stream<bool>& scales_wanted, hls::stream<Word>& weights,
                     hls::stream<Word>& scales, StreamCounters* weight_counters, StreamCounters* scale_counters) {
#pragma HLS INTERFACE m_axi port=weight_memory bundle=weights offset=slave max_read_burst_length=64 num_read_outstanding=16 latency=64
#pragma HLS INTERFACE m_axi port=scale_memory bundle=scales offset=slave max_read_burst_length=64
#pragma HLS INTERFACE s_axilite port=shape
#pragma HLS INTERFACE axis port=weights_wanted
#pragma HLS INTERFACE axis port=scales_wanted
#pragma HLS INTERFACE axis port=weights
#pragma HLS INTERFACE axis port=scales
#pragma HLS INTERFACE m_axi port=weight_counters bundle=weight_counters offset=slave
#pragma HLS INTERFACE m_axi port=scale_counters bundle=scale_counters offset=slave
#pragma HLS INTERFACE s_axilite port=return
    stream_weights(weight_memory, scale_memory, shape.layers, layer_sizes(shape), weights_wanted, scales_wanted, weights,
                   scales, *weight_counters, *scale_counters);
}

void lane_array(hls::stream<Job>& jobs, hls::stream<Pass>& passes, hls::stream<Word>& weights,
                hls::stream<Word>& scales, hls::stream<Int8Word>& activations, hls::stream<TileWord>& results,
                LaneCounters* counters) {
#pragma HLS INTERFACE axis port=jobs
#pragma HLS INTERFACE axis port=passes
#pragma HLS INTERFACE axis port=weights
#pragma HLS INTERFACE axis port=scales
#pragma HLS INTERFACE axis port=activations
#pragma HLS INTERFACE axis port=results
#pragma HLS INTERFACE m_axi port=counters bundle=counters offset=slave
#pragma HLS INTERFACE s_axilite port=return
    run_lanes(jobs, passes, weights, scales, activations, results, *counters);
}

void tas(const LayerRegisters* registers, const Int8Word* key_cache, const Int8Word* value_cache, Shape shape,
         hls::stream<Int8Word>& queries, hls::stream<std::int32_t>& scores) {
#pragma HLS INTERFACE m_axi port=registers bundle=registers offset=slave
#pragma HLS INTERFACE m_axi port=key_cache bundle=keys offset=slave max_read_burst_length=64
#pragma HLS INTERFACE m_axi port=value_cache bundle=values offset=slave max_read_burst_length=64
#pragma HLS INTERFACE s_axilite port=shape
#pragma HLS INTERFACE axis port=queries
#pragma HLS INTERFACE axis port=scores
#pragma HLS INTERFACE s_axilite port=return
    run_tas(registers, key_cache, value_cache, shape, queries, scores);
}

void drs(const LayerRegisters* registers, std::uint8_t* chains, Decision* decisions, Shape shape,
         hls::stream<RowCommand>& commands, hls::stream<std::int32_t>& scores, hls::stream<Job>& jobs,
         hls::stream<Pass>& passes, hls::stream<std::uint32_t>& decoder_index, hls::stream<std::uint32_t>& ring_index,
         hls::stream<bool>& weights_wanted, hls::stream<bool>& scales_wanted, DrsCounters* counters) {
#pragma HLS INTERFACE m_axi port=registers bundle=control offset=slave
#pragma HLS INTERFACE m_axi port=chains bundle=chains offset=slave
#pragma HLS INTERFACE m_axi port=decisions bundle=control offset=slave
#pragma HLS INTERFACE s_axilite port=shape
#pragma HLS INTERFACE axis port=commands
#pragma HLS INTERFACE axis port=scores
#pragma HLS INTERFACE axis port=jobs
#pragma HLS INTERFACE axis port=passes
#pragma HLS INTERFACE axis port=decoder_index
#pragma HLS INTERFACE axis port=ring_index
#pragma HLS INTERFACE axis port=weights_wanted
#pragma HLS INTERFACE axis port=scales_wanted
#pragma HLS INTERFACE m_axi port=counters bundle=counters offset=slave
#pragma HLS INTERFACE s_axilite port=return
    run_drs(registers, chains, decisions, shape, commands, scores, jobs, passes, decoder_index, ring_index,
            weights_wanted, scales_wanted, *counters);
}

void attention(const LayerRegisters* registers, Int8Word* key_cache, Int8Word* value_cache, Shape shape,
               hls::stream<Int8Word>& heads, hls::stream<Int8Word>& attended) {
#pragma HLS INTERFACE m_axi port=registers bundle=control offset=slave
#pragma HLS INTERFACE m_axi port=key_cache bundle=keys offset=slave max_read_burst_length=64
#pragma HLS INTERFACE m_axi port=value_cache bundle=values offset=slave max_read_burst_length=64
#pragma HLS INTERFACE s_axilite port=shape
#pragma HLS INTERFACE axis port=heads
#pragma HLS INTERFACE axis port=attended
#pragma HLS INTERFACE s_axilite port=return
    run_attention(registers, key_cache, value_cache, shape, heads, attended);
}

void replay_ring(Int16Word* ring, Shape shape, hls::stream<std::uint32_t>& index, hls::stream<Int16Word>& computed,
                 hls::stream<Int16Word>& replayed) {
#pragma HLS INTERFACE m_axi port=ring bundle=ring offset=slave max_read_burst_length=64 max_write_burst_length=64
#pragma HLS INTERFACE s_axilite port=shape
#pragma HLS INTERFACE axis port=index
#pragma HLS INTERFACE axis port=computed
#pragma HLS INTERFACE axis port=replayed
#pragma HLS INTERFACE s_axilite port=return
    run_ring(ring, shape, index, computed, replayed);
}

void decoder(const LayerRegisters* registers, const std::int16_t* gains, const std::int16_t* turns, Shape shape,
             hls::stream<Int16Word>& x_in, hls::stream<Int16Word>& y_out, hls::stream<RowCommand>& commands,
             hls::stream<Int8Word>& activations, hls::stream<TileWord>& results, hls::stream<Int8Word>& tas_queries,
             hls::stream<Int8Word>& attention_heads, hls::stream<Int8Word>& attended,
             hls::stream<std::uint32_t>& index, hls::stream<Int16Word>& computed, hls::stream<Int16Word>& replayed) {
#pragma HLS INTERFACE m_axi port=registers bundle=control offset=slave
#pragma HLS INTERFACE m_axi port=gains bundle=constants offset=slave
#pragma HLS INTERFACE m_axi port=turns bundle=constants offset=slave
#pragma HLS INTERFACE s_axilite port=shape
#pragma HLS INTERFACE axis port=x_in
#pragma HLS INTERFACE axis port=y_out
#pragma HLS INTERFACE axis port=commands
#pragma HLS INTERFACE axis port=activations
#pragma HLS INTERFACE axis port=results
#pragma HLS INTERFACE axis port=tas_queries
#pragma HLS INTERFACE axis port=attention_heads
#pragma HLS INTERFACE axis port=attended
#pragma HLS INTERFACE axis port=index
#pragma HLS INTERFACE axis port=computed
#pragma HLS INTERFACE axis port=replayed
#pragma HLS INTERFACE s_axilite port=return
    run_decoder(registers, gains, turns, shape, x_in, y_out, commands, activations, results, tas_queries, attention_heads,
                attended, index, computed, replayed);
}

void rows_in(const Int16Word* memory, int words, hls::stream<Int16Word>& x) {
#pragma HLS INTERFACE m_axi port=memory bundle=rows offset=slave
#pragma HLS INTERFACE s_axilite port=words
#pragma HLS INTERFACE axis port=x
#pragma HLS INTERFACE s_axilite port=return
    move_in(memory, words, x);
}

void rows_out(Int16Word* memory, int words, hls::stream<Int16Word>& y) {
#pragma HLS INTERFACE m_axi port=memory bundle=rows offset=slave
#pragma HLS INTERFACE s_axilite port=words
#pragma HLS INTERFACE axis port=y
#pragma HLS INTERFACE s_axilite port=return
    move_out(memory, words, y);
}

}  // extern "C"
