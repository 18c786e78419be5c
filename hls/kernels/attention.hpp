// Attention with an int8 KV cache in DRAM, over all keys or over a sink and the newest window.
//
// In: the heads of every row, queries, then keys, then values, a head at a time in words of 64. The new keys and values
// are stored first. Then, for each row and key head, for each group of HEAD_GROUP query heads that share it, five
// processes: keys stream in, scores, softmax, values stream in, weighted sums. Out: a head at a time, as they came.
#pragma once

#include "dataflow.hpp"
#include "products.hpp"
#include "records.hpp"
#include "softmax.hpp"

namespace fastcar {

using HeadBuffer = Int8Word[MAX_HEAD_WORDS];

// The keys that a position sees: [0, old) and [first, position].
struct Seen {
    int old;
    int first;
    int count;
};

inline Seen seen_keys(int position, int window, int sink) {
#pragma HLS INLINE
    const int first = window && position + 1 > window ? position + 1 - window : 0;
    const int old = sink < first ? sink : first;
    return {old, first, old + position + 1 - first};
}

// What the processes of a layer share. heads_each: query heads of a key head; rounds: groups of them, `groups` over all rows
// and key heads; key_words, query_words: of all rows' heads of one position; head_stride: words of a head's part of the
// cache, layer_words all; seen_words, sink_words: of the keys seen, of those before the window; gap: words between the two; streamed: words
// that the cache gives in the layer.
struct AttentionPlan {
    int heads_each;
    int rounds;
    int groups;
    int head_words;
    int key_words;
    int query_words;
    int head_stride;
    int seen;
    int seen_words;
    int sink_words;
    int gap;
    std::int64_t layer_words;
    std::int64_t streamed;
    int score_multiplier;
    int score_shift;
    int attention_shift;
};

// The plan of a step: what no layer changes.
inline AttentionPlan attention_plan(const Shape& shape) {
#pragma HLS INLINE
    AttentionPlan plan = {};
    plan.head_words = words(shape.head_dim, BYTES);
    plan.heads_each = shape.heads / shape.kv_heads;
    plan.rounds = words(plan.heads_each, HEAD_GROUP);
    const int key_heads = times_in_luts<7, 13>(shape.rows, shape.kv_heads);
    plan.groups = times<18, 13>(key_heads, plan.rounds);
    plan.key_words = times_in_luts<18, 3>(key_heads, plan.head_words);
    plan.query_words = times<18, 13>(plan.key_words, plan.heads_each);
    plan.head_stride = times_in_luts<14, 3>(shape.context, plan.head_words);
    plan.layer_words = times<18, 16>(key_heads, plan.head_stride);
    return plan;
}

// What a layer's window makes of it.
inline void plan_layer(const LayerRegisters& scalars, int position, AttentionPlan& plan) {
#pragma HLS INLINE
    const Seen seen = seen_keys(position, scalars.window, scalars.sink);
    plan.seen = seen.count;
    plan.seen_words = times_in_luts<14, 3>(seen.count, plan.head_words);
    plan.sink_words = times_in_luts<14, 3>(seen.old, plan.head_words);
    plan.gap = times_in_luts<14, 3>(seen.first - seen.old, plan.head_words);
    plan.streamed = times<18, 16>(plan.groups, plan.seen_words);
    plan.score_multiplier = scalars.score_multiplier;
    plan.score_shift = scalars.score_shift;
    plan.attention_shift = scalars.attention_shift;
}

// Counts the query heads of a key head, a group after the other: `here` of them, behind those of the rounds before.
struct Round {
    int number;
    int behind;
};

inline int next_round(const AttentionPlan& plan, Round& round) {
#pragma HLS INLINE
    const int left = plan.heads_each - round.behind;
    const bool last = round.number == plan.rounds - 1;
    round.number = last ? 0 : round.number + 1;
    round.behind = last ? 0 : round.behind + HEAD_GROUP;
    return left < HEAD_GROUP ? left : HEAD_GROUP;
}

// Keys or values of all rows, once for each group of query heads: one loop, so that a word leaves every cycle. `at` is the
// word of the keys seen, behind the sink's words the window's; `base` the head's first word in the cache.
inline void stream_cache(const Int8Word* cache, const AttentionPlan& plan, hls::stream<Int8Word>& out) {
    std::int64_t base = 0;
    int at = 0, round = 0;
words:
    for (std::int64_t i = 0; i < plan.streamed; ++i) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=8388608
        out.write(cache[base + at + (at < plan.sink_words ? 0 : plan.gap)]);
        if (++at == plan.seen_words) {
            at = 0;
            if (++round == plan.rounds) {
                round = 0;
                base += plan.head_stride;
            }
        }
    }
}

// By logic: a DSP48E2 holds no two products of int8 that share no operand.
inline std::int32_t dot(const Int8Word& a, const Int8Word& b) {
#pragma HLS INLINE
    std::int32_t sum = 0;
elements:
    for (int i = 0; i < BYTES; ++i) {
#pragma HLS UNROLL
        sum += times_in_luts<8, 8>(a[i], b[i]);
    }
    return sum;
}

// Queries of one row and key head come as `heads_each` heads.
inline void score_keys(const AttentionPlan& plan, hls::stream<Int8Word>& queries, hls::stream<Int8Word>& keys,
                       hls::stream<ScoreWord>& scores, hls::stream<ScoreWord>& largest) {
    HeadBuffer query[HEAD_GROUP];
#pragma HLS ARRAY_PARTITION variable=query complete dim=0
    Round round = {0, 0};
groups:
    for (int group = 0; group < plan.groups; ++group) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
        const int here = next_round(plan, round);
    load_heads:
        for (int head = 0; head < here; ++head) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=4
        load:
            for (int i = 0; i < plan.head_words; ++i) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=2
                query[head][i] = queries.read();
            }
        }
        ScoreWord top(INT32_MIN);
        ScoreWord score(0);
        int word = 0;
    keys:  // and their words: `word` counts within a key
        for (int i = 0; i < plan.seen_words; ++i) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=8192
            const Int8Word elements = keys.read();
            const bool first = word == 0;
            const bool last = word == plan.head_words - 1;
        heads:
            for (int head = 0; head < HEAD_GROUP; ++head) {
#pragma HLS UNROLL
                const std::int32_t before_word = first ? 0 : score[head];
                score[head] = head < here ? before_word + dot(query[head][word], elements) : 0;
                if (last && score[head] > top[head]) top[head] = score[head];
            }
            if (last) scores.write(score);
            word = last ? 0 : word + 1;
        }
        largest.write(top);
    }
}

inline void weigh_scores(const AttentionPlan& plan, hls::stream<ScoreWord>& scores, hls::stream<ScoreWord>& largest,
                         hls::stream<ProbabilityWord>& probabilities) {
groups:
    for (int group = 0; group < plan.groups; ++group) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
        softmax(plan.seen, plan.score_multiplier, plan.score_shift, scores, largest, probabilities);
    }
}

inline void sum_values(const AttentionPlan& plan, hls::stream<ProbabilityWord>& probabilities,
                       hls::stream<Int8Word>& values, hls::stream<Int8Word>& attended) {
    std::int32_t sums[HEAD_GROUP][MAX_HEAD_WORDS][BYTES];
#pragma HLS ARRAY_PARTITION variable=sums complete dim=0
    Round round = {0, 0};
groups:
    for (int group = 0; group < plan.groups; ++group) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
        const int here = next_round(plan, round);
        ScoreWord total(0);
    clear:
        for (int word = 0; word < MAX_HEAD_WORDS; ++word) {
#pragma HLS PIPELINE II=1
        clear_heads:
            for (int head = 0; head < HEAD_GROUP; ++head) {
#pragma HLS UNROLL
            clear_elements:
                for (int i = 0; i < BYTES; ++i) {
#pragma HLS UNROLL
                    sums[head][word][i] = 0;
                }
            }
        }
        ProbabilityWord p(0);
        int word = 0;
    keys:  // and their words: `word` counts within a key
        for (int i = 0; i < plan.seen_words; ++i) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=8192
            const bool first = word == 0;
            if (first) p = probabilities.read();
            const Int8Word value = values.read();
        heads:
            for (int head = 0; head < HEAD_GROUP; ++head) {
#pragma HLS UNROLL
                if (first) total[head] += p[head];
                if (head < here) {
                pairs:
                    for (int j = 0; j < BYTES / 2; ++j) {
#pragma HLS UNROLL
                        const ValuePair made = value_pair(p[head], value[2 * j], value[2 * j + 1]);
                        sums[head][word][2 * j] += made.even;
                        sums[head][word][2 * j + 1] += made.odd;
                    }
                }
            }
            word = word == plan.head_words - 1 ? 0 : word + 1;
        }
    heads_out:
        for (int head = 0; head < here; ++head) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=4
            const Scale scale = recip(total[head]);
        words_out:
            for (int word = 0; word < plan.head_words; ++word) {
#pragma HLS PIPELINE II=32
#pragma HLS LOOP_TRIPCOUNT min=1 max=2
                Int8Word out;
            elements_out:
                for (int i = 0; i < BYTES; ++i) {
#pragma HLS UNROLL
                    out[i] = sat8(rs(times<32, 16>(sums[head][word][i], scale.m), scale.e - plan.attention_shift));
                }
                attended.write(out);
            }
        }
    }
}

inline void send_queries(const Int8Word (&buffer)[MAX_ROWS * MAX_WIDTH / BYTES], int count,
                         hls::stream<Int8Word>& queries) {
words:
    for (int i = 0; i < count; ++i) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=2048
        queries.write(buffer[i]);
    }
}

inline void attend(const AttentionPlan& plan, const Int8Word (&buffer)[MAX_ROWS * MAX_WIDTH / BYTES],
                   const Int8Word* key_cache, const Int8Word* value_cache, hls::stream<Int8Word>& attended) {
#pragma HLS DATAFLOW
    hls::stream<Int8Word, 16> queries("attention.queries");
    hls::stream<Int8Word, 128> keys("attention.keys");
    hls::stream<ScoreWord, MAX_CONTEXT> scores("attention.scores");
    hls::stream<ScoreWord, 2> largest("attention.largest");
    hls::stream<ProbabilityWord, 64> probabilities("attention.probabilities");
    hls::stream<Int8Word, 128> values("attention.values");
    FASTCAR_REGION;
    FASTCAR_PROCESS(send_queries, buffer, plan.query_words, queries);
    FASTCAR_PROCESS(stream_cache, key_cache, plan, keys);
    FASTCAR_PROCESS(score_keys, plan, queries, keys, scores, largest);
    FASTCAR_PROCESS(weigh_scores, plan, scores, largest, probabilities);
    FASTCAR_PROCESS(stream_cache, value_cache, plan, values);
    FASTCAR_PROCESS(sum_values, plan, probabilities, values, attended);
}

// The heads of one token of every row, to their place in the cache.
inline void store_heads(const AttentionPlan& plan, int first, hls::stream<Int8Word>& heads, Int8Word* cache) {
    std::int64_t base = first;
    int word = 0;
words:
    for (int i = 0; i < plan.key_words; ++i) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=2048
        cache[base + word] = heads.read();
        if (++word == plan.head_words) {
            word = 0;
            base += plan.head_stride;
        }
    }
}

inline void run_attention(const LayerRegisters* registers, Int8Word* key_cache, Int8Word* value_cache,
                          const Shape& shape, hls::stream<Int8Word>& heads, hls::stream<Int8Word>& attended) {
    Int8Word queries[MAX_ROWS * MAX_WIDTH / BYTES];
#pragma HLS BIND_STORAGE variable=queries type=ram_2p impl=uram
    AttentionPlan plan = attention_plan(shape);
    const int token = times_in_luts<14, 3>(shape.position, plan.head_words);  // its place in a head
    std::int64_t base = 0;
layers:
    for (int layer = 0; layer < shape.layers; ++layer) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
        const LayerRegisters scalars = registers[layer];
        plan_layer(scalars, shape.position, plan);
    queries:
        for (int i = 0; i < plan.query_words; ++i) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=2048
            queries[i] = heads.read();
        }
        store_heads(plan, token, heads, key_cache + base);
        store_heads(plan, token, heads, value_cache + base);
        attend(plan, queries, key_cache + base, value_cache + base, attended);
        base += plan.layer_words;
    }
}

}  // namespace fastcar
