// The device of the stand-in: every kernel that was started is a fiber with the arguments it was given.
#include <xrt/xrt_kernel.h>

#include <cstring>
#include <stdexcept>

#include "fibers.hpp"
#include "system.hpp"

namespace xrt {

namespace {

template <class T>
T* buffer(const Started& run, int place) {
    const auto found = run.buffers.find(place);
    if (found == run.buffers.end()) throw std::runtime_error(run.name + ": argument " + std::to_string(place) + " is not set");
    return static_cast<T*>(found->second);
}

template <class T>
T value(const Started& run, int place) {
    T made;
    const auto found = run.values.find(place);
    if (found == run.values.end() || found->second.size() != sizeof made)
        throw std::runtime_error(run.name + ": argument " + std::to_string(place) + " is not set, or of another size");
    std::memcpy(&made, found->second.data(), sizeof made);
    return made;
}

}  // namespace

void run_started(std::vector<std::shared_ptr<Started>>& runs) {
    using namespace fastcar;
    if (runs.empty()) return;
    System s({}, {});
    fibers::Scheduler& scheduler = fibers::Scheduler::get();
    for (const std::shared_ptr<Started>& run : runs) {
        const Started& r = *run;
        scheduler.spawn(r.name.c_str(), [&s, &r] {
            if (r.name == "weight_streamer")
                weight_streamer(buffer<Word>(r, 0), buffer<Word>(r, 1), value<Shape>(r, 2), s.weights_wanted,
                                s.scales_wanted, s.weights, s.scales, buffer<StreamCounters>(r, 7),
                                buffer<StreamCounters>(r, 8));
            else if (r.name == "lane_array")
                lane_array(s.jobs, s.passes, s.weights, s.scales, s.activations, s.results, buffer<LaneCounters>(r, 6));
            else if (r.name == "tas")
                tas(buffer<LayerRegisters>(r, 0), buffer<Int8Word>(r, 1), buffer<Int8Word>(r, 2), value<Shape>(r, 3),
                    s.queries, s.scores);
            else if (r.name == "drs")
                drs(buffer<LayerRegisters>(r, 0), buffer<std::uint8_t>(r, 1), buffer<Decision>(r, 2), value<Shape>(r, 3),
                    s.commands, s.scores, s.jobs, s.passes, s.decoder_index, s.ring_index, s.weights_wanted,
                    s.scales_wanted, buffer<DrsCounters>(r, 12));
            else if (r.name == "attention")
                attention(buffer<LayerRegisters>(r, 0), buffer<Int8Word>(r, 1), buffer<Int8Word>(r, 2),
                          value<Shape>(r, 3), s.heads, s.attended);
            else if (r.name == "replay_ring")
                replay_ring(buffer<Int16Word>(r, 0), value<Shape>(r, 1), s.ring_index, s.computed, s.replayed);
            else if (r.name == "decoder")
                decoder(buffer<LayerRegisters>(r, 0), buffer<std::int16_t>(r, 1), buffer<std::int16_t>(r, 2),
                        value<Shape>(r, 3), s.x, s.y, s.commands, s.activations, s.results, s.queries, s.heads,
                        s.attended, s.decoder_index, s.computed, s.replayed);
            else if (r.name == "rows_in")
                rows_in(buffer<Int16Word>(r, 0), value<std::int32_t>(r, 1), s.x);
            else if (r.name == "rows_out")
                rows_out(buffer<Int16Word>(r, 0), value<std::int32_t>(r, 1), s.y);
            else
                throw std::runtime_error("no kernel " + r.name);
        });
    }
    const bool done = scheduler.run() == fibers::Outcome::Done;
    const std::string why = done ? "" : scheduler.deadlock();
    runs.clear();
    if (!done) throw std::runtime_error(why);
}

}  // namespace xrt
