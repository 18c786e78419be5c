// Attention with an int8 KV cache in DRAM, over all keys or over a sink and the newest window.
//
// In: the heads of every row, queries, then keys, then values, a head at a time in words of 64. The new keys and values
// are stored first. Then, for each row and key head, for each group of HEAD_GROUP query heads that share it, five
// processes: keys stream in, scores, softmax, values stream in, weighted sums. Out: a head at a time, as they came.
#pragma once

#include "dataflow.hpp"
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

// What the processes of a layer share. heads_each: query heads of a key head; rounds: groups of them.
struct AttentionPlan {
    int rows;
    int kv_heads;
    int heads_each;
    int rounds;
    int head_words;
    int context;
    int score_multiplier;
    int score_shift;
    int attention_shift;
    Seen seen;
};

inline std::int64_t cache_word(const AttentionPlan& plan, int row, int kv_head, int position) {
#pragma HLS INLINE
    return ((std::int64_t(row) * plan.kv_heads + kv_head) * plan.context + position) * plan.head_words;
}

// Keys or values of all rows, once for each group of query heads: one loop, so that a word leaves every cycle. `at` is the
// word of the keys seen, behind the sink's words the window's; `base` the head's first word in the cache.
inline void stream_cache(const Int8Word* cache, const AttentionPlan& plan, hls::stream<Int8Word>& out) {
    const int seen_words = plan.seen.count * plan.head_words;
    const int sink_words = plan.seen.old * plan.head_words;
    const int gap = (plan.seen.first - plan.seen.old) * plan.head_words;
    const std::int64_t count = std::int64_t(plan.rows) * plan.kv_heads * plan.rounds * seen_words;
    std::int64_t base = 0;
    int at = 0, round = 0;
words:
    for (std::int64_t i = 0; i < count; ++i) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=8388608
        out.write(cache[base + at + (at < sink_words ? 0 : gap)]);
        if (++at == seen_words) {
            at = 0;
            if (++round == plan.rounds) {
                round = 0;
                base += std::int64_t(plan.context) * plan.head_words;
            }
        }
    }
}

inline std::int32_t dot(const Int8Word& a, const Int8Word& b) {
#pragma HLS INLINE
    std::int32_t sum = 0;
elements:
    for (int i = 0; i < BYTES; ++i) {
#pragma HLS UNROLL
        sum += std::int16_t(a[i]) * std::int16_t(b[i]);
    }
    return sum;
}

// Queries of one row and key head come as `heads_each` heads.
inline void score_keys(const AttentionPlan& plan, hls::stream<Int8Word>& queries, hls::stream<Int8Word>& keys,
                       hls::stream<ScoreWord>& scores, hls::stream<ScoreWord>& largest) {
    HeadBuffer query[HEAD_GROUP];
#pragma HLS ARRAY_PARTITION variable=query complete dim=0
groups:
    for (int group = 0; group < plan.rows * plan.kv_heads * plan.rounds; ++group) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
        const int before = group % plan.rounds * HEAD_GROUP;
        const int here = plan.heads_each - before < HEAD_GROUP ? plan.heads_each - before : HEAD_GROUP;
    load:
        for (int i = 0; i < here * plan.head_words; ++i) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=8
            query[i / plan.head_words][i % plan.head_words] = queries.read();
        }
        ScoreWord top(INT32_MIN);
        ScoreWord score(0);
        int word = 0;
    keys:  // and their words: `word` counts within a key
        for (int i = 0; i < plan.seen.count * plan.head_words; ++i) {
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
    for (int group = 0; group < plan.rows * plan.kv_heads * plan.rounds; ++group) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
        softmax(plan.seen.count, plan.score_multiplier, plan.score_shift, scores, largest, probabilities);
    }
}

inline void sum_values(const AttentionPlan& plan, hls::stream<ProbabilityWord>& probabilities,
                       hls::stream<Int8Word>& values, hls::stream<Int8Word>& attended) {
    std::int32_t sums[HEAD_GROUP][MAX_HEAD_WORDS][BYTES];
#pragma HLS ARRAY_PARTITION variable=sums complete dim=0
groups:
    for (int group = 0; group < plan.rows * plan.kv_heads * plan.rounds; ++group) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
        const int before = group % plan.rounds * HEAD_GROUP;
        const int here = plan.heads_each - before < HEAD_GROUP ? plan.heads_each - before : HEAD_GROUP;
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
        for (int i = 0; i < plan.seen.count * plan.head_words; ++i) {
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
                elements:
                    for (int j = 0; j < BYTES; ++j) {
#pragma HLS UNROLL
                        sums[head][word][j] += p[head] * value[j];
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
#pragma HLS PIPELINE II=16
#pragma HLS LOOP_TRIPCOUNT min=1 max=2
                Int8Word out;
            elements_out:
                for (int i = 0; i < BYTES; ++i) {
#pragma HLS UNROLL
                    out[i] = sat8(rs(std::int64_t(sums[head][word][i]) * scale.m, scale.e - plan.attention_shift));
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
    FASTCAR_PROCESS(send_queries, buffer, plan.rows * plan.kv_heads * plan.heads_each * plan.head_words, queries);
    FASTCAR_PROCESS(stream_cache, key_cache, plan, keys);
    FASTCAR_PROCESS(score_keys, plan, queries, keys, scores, largest);
    FASTCAR_PROCESS(weigh_scores, plan, scores, largest, probabilities);
    FASTCAR_PROCESS(stream_cache, value_cache, plan, values);
    FASTCAR_PROCESS(sum_values, plan, probabilities, values, attended);
}

// The heads of one token of every row, to their place in the cache.
inline void store_heads(const AttentionPlan& plan, int position, hls::stream<Int8Word>& heads, Int8Word* cache) {
    std::int64_t base = std::int64_t(position) * plan.head_words;
    int word = 0;
words:
    for (int i = 0; i < plan.rows * plan.kv_heads * plan.head_words; ++i) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=2048
        cache[base + word] = heads.read();
        if (++word == plan.head_words) {
            word = 0;
            base += std::int64_t(plan.context) * plan.head_words;
        }
    }
}

inline void run_attention(const LayerRegisters* registers, Int8Word* key_cache, Int8Word* value_cache,
                          const Shape& shape, hls::stream<Int8Word>& heads, hls::stream<Int8Word>& attended) {
    Int8Word queries[MAX_ROWS * MAX_WIDTH / BYTES];
#pragma HLS BIND_STORAGE variable=queries type=ram_2p impl=uram
    const int head_words = words(shape.head_dim, BYTES);
    const int heads_each = shape.heads / shape.kv_heads;
layers:
    for (int layer = 0; layer < shape.layers; ++layer) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=32
        const LayerRegisters scalars = registers[layer];
        const AttentionPlan plan = {shape.rows, shape.kv_heads, heads_each, words(heads_each, HEAD_GROUP), head_words,
                                    shape.context, scalars.score_multiplier, scalars.score_shift,
                                    scalars.attention_shift,
                                    seen_keys(shape.position, scalars.window, scalars.sink)};
        const std::int64_t base = cache_word(plan, layer * shape.rows, 0, 0);
    queries:
        for (int i = 0; i < shape.rows * shape.heads * head_words; ++i) {
#pragma HLS PIPELINE II=1
#pragma HLS LOOP_TRIPCOUNT min=1 max=2048
            queries[i] = heads.read();
        }
        store_heads(plan, shape.position, heads, key_cache + base);
        store_heads(plan, shape.position, heads, value_cache + base);
        attend(plan, queries, key_cache + base, value_cache + base, attended);
    }
}

}  // namespace fastcar
