// What the audited copy of hls/ calls: arrays announce themselves, loops under PIPELINE their iterations, and every access
// to an array its address. Ports of a memory bank that an iteration needs, and how many iterations lie between a write
// and a read of the same word, are what bounds the initiation interval; a loop's entries are what its pipeline refills.
#pragma once

#include "fibers.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <map>
#include <tuple>
#include <unordered_map>
#include <vector>

namespace audit {

constexpr int MAX_DIMS = 4;

// How one dimension is spread over banks: factor 0: not; -1: complete; n: cyclic; block: n blocks.
struct Spread {
    int factor = 0;
    bool block = false;
};

// An array's shape, spread and fields (byte offsets of a struct's members, one for anything else). A `registers` array
// is spread completely: its words are flip-flops, with as many ports as one likes. leaf: bytes of an element of an array
// inside the struct, which a copy of the whole takes one by one; whole: AGGREGATE, the struct is one word.
struct Layout {
    int id;
    std::vector<int> sizes;
    std::vector<Spread> spreads;
    std::vector<int> fields;
    std::size_t element;
    bool registers;
    int leaf;
    bool whole;
};

using Bank = std::tuple<int, std::int64_t, int>;  // array, bank, field
using Word = std::pair<Bank, std::int64_t>;

struct Use {
    int reads = 0;
    int writes = 0;
};

// What a loop has shown. worst: per array the most accesses (and writes) to a bank in an iteration; nearest: the least
// distance of a read behind a write to the same word, in iterations.
struct Record {
    std::uint64_t entries = 0;
    std::uint64_t iterations = 0;
    std::map<int, Use> worst;
    std::map<int, std::uint64_t> nearest;
};

struct Open {
    int loop;
    std::uint64_t iteration = 0;
    std::map<Word, Use> seen;                // of this iteration
    std::map<Word, std::uint64_t> written;   // iteration of the last write
};

struct Ledger {
    std::map<int, Record> loops;
    std::map<const char*, std::pair<std::size_t, const Layout*>> arrays;  // by address: size, layout
    std::unordered_map<const void*, std::vector<Open>> open;              // by fiber

    static Ledger& get() {
        static Ledger ledger;
        return ledger;
    }

    std::vector<Open>& mine() { return open[fibers::Scheduler::get().current()]; }
};

inline Word word_of(const Layout& layout, std::size_t offset) {
    std::int64_t element = std::int64_t(offset / layout.element);
    const int inside = layout.whole ? 0 : int(offset % layout.element);
    int field = 0;
    while (field + 1 < int(layout.fields.size()) && layout.fields[field + 1] <= inside) ++field;
    std::int64_t bank = 0, address = 0;
    std::int64_t index[MAX_DIMS];
    for (int d = int(layout.sizes.size()) - 1; d >= 0; --d) {
        index[d] = element % layout.sizes[d];
        element /= layout.sizes[d];
    }
    for (std::size_t d = 0; d < layout.sizes.size(); ++d) {
        const Spread& spread = layout.spreads[d];
        const int size = layout.sizes[d];
        const int banks = spread.factor < 0 ? size : std::max(1, spread.factor);
        const int deep = (size + banks - 1) / banks;
        const std::int64_t b = spread.block ? index[d] / deep : index[d] % banks;
        bank = bank * banks + b;
        address = address * deep + (spread.block ? index[d] % deep : index[d] / banks);
    }
    return {{layout.id, bank, field}, address * std::int64_t(layout.element) + inside - layout.fields[field]};
}

inline void note(Word word, bool read, bool write, bool counted) {
    for (Open& open : Ledger::get().mine()) {
        Record& record = Ledger::get().loops[open.loop];
        const int array = std::get<0>(word.first);
        if (read) {
            const auto last = open.written.find(word);
            if (last != open.written.end() && last->second != open.iteration) {
                const std::uint64_t distance = open.iteration - last->second;
                auto [at, fresh] = record.nearest.emplace(array, distance);
                if (!fresh) at->second = std::min(at->second, distance);
            }
        }
        if (write) open.written[word] = open.iteration;
        if (counted) {
            Use& use = open.seen[word];
            use.reads |= read;
            use.writes |= write;
        }
    }
}

// An access to `value`; `memory`: the number of the m_axi port, for what lies in no announced array.
template <bool READ, bool WRITE, class T>
T& touch(T& value, int memory = -1) {
    Ledger& ledger = Ledger::get();
    if (ledger.mine().empty()) return value;
    const char* at = reinterpret_cast<const char*>(&value);
    auto next = ledger.arrays.upper_bound(at);
    if (next != ledger.arrays.begin()) {
        const auto& [begin, entry] = *std::prev(next);
        if (at < begin + entry.first) {
            const Layout& layout = *entry.second;
            const std::size_t step = layout.leaf && sizeof(T) > std::size_t(layout.leaf) ? layout.leaf : sizeof(T);
            for (std::size_t part = 0; part < sizeof(T); part += step) {
                note(word_of(layout, std::size_t(at - begin) + part), READ, WRITE, !layout.registers);
            }
            return value;
        }
    }
    if (memory >= 0) note({{-1 - memory, 0, 0}, reinterpret_cast<std::intptr_t>(at)}, READ, WRITE, true);
    return value;
}

class Array {
    const char* begin_;

public:
    template <class T>
    Array(T& array, const Layout& layout) : begin_(reinterpret_cast<const char*>(&array)) {
        Ledger::get().arrays[begin_] = {sizeof(T), &layout};
    }
    ~Array() { Ledger::get().arrays.erase(begin_); }
};

// One entry of a loop under PIPELINE.
class Loop {
public:
    explicit Loop(int loop) {
        Ledger::get().mine().push_back({loop, 0, {}, {}});
        ++Ledger::get().loops[loop].entries;
    }
    ~Loop() { Ledger::get().mine().pop_back(); }
};

class Iteration {
public:
    Iteration() {
        Open& open = Ledger::get().mine().back();
        ++open.iteration;
        open.seen.clear();
    }
    ~Iteration() {
        Open& open = Ledger::get().mine().back();
        Record& record = Ledger::get().loops[open.loop];
        ++record.iterations;
        std::map<Bank, Use> banks;
        for (const auto& [word, use] : open.seen) {
            banks[word.first].reads += use.reads;
            banks[word.first].writes += use.writes;
        }
        for (const auto& [bank, use] : banks) {
            Use& worst = record.worst[std::get<0>(bank)];
            if (use.reads + use.writes > worst.reads + worst.writes) worst = use;
        }
    }
};

// Lines "loop entries iterations", then for each array "  array reads writes nearest" (0: no carried dependence).
inline void report(const char* path) {
    FILE* out = std::fopen(path, "w");
    for (const auto& [loop, record] : Ledger::get().loops) {
        std::fprintf(out, "loop %d %llu %llu\n", loop, (unsigned long long)record.entries,
                     (unsigned long long)record.iterations);
        std::map<int, std::tuple<int, int, std::uint64_t>> rows;
        for (const auto& [array, use] : record.worst) rows[array] = {use.reads, use.writes, 0};
        for (const auto& [array, distance] : record.nearest) std::get<2>(rows[array]) = distance;
        for (const auto& [array, row] : rows) {
            std::fprintf(out, "array %d %d %d %llu\n", array, std::get<0>(row), std::get<1>(row),
                         (unsigned long long)std::get<2>(row));
        }
    }
    std::fclose(out);
}

}  // namespace audit
