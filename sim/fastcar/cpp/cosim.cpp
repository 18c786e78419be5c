// The kernels behind AXI-Streams in a Verilog simulation: the shell (cosim_shell.sv) calls the functions here once a
// clock; Python, in the same process, prepares what ap_start starts. Functional co-simulation, never RTL: the kernels
// take no time between beats, but valid, ready and back-pressure are real.

#include "system.hpp"

#include <cstring>
#include <exception>
#include <memory>
#include <vector>

namespace {

constexpr std::size_t PORT_BYTES = 128;  // of a port's tdata in the shell

struct Port {
    std::function<bool()> room;
    std::function<bool()> any;
    std::function<void(const void*)> push;
    std::function<void(void*)> front;
    std::function<void()> pop;
};

template <class T>
Port port(hls::stream<T>& stream) {
    static_assert(sizeof(T) <= PORT_BYTES, "the shell's tdata is too narrow");
    stream.outside();
    return {[&] { return !stream.full(); }, [&] { return !stream.empty(); },
            [&](const void* data) {
                T value;
                std::memcpy(&value, data, sizeof(T));
                stream.write_nb(value);
            },
            [&](void* data) {
                std::memset(data, 0, PORT_BYTES);
                std::memcpy(data, &stream.front(), sizeof(T));
            },
            [&] {
                T value;
                stream.read_nb(value);
            }};
}

// One kernel or all of them, on the ports of the shell.
struct Bench {
    std::vector<Port> inputs;
    std::vector<Port> outputs;
    std::function<void()> start;
    std::shared_ptr<void> streams;
};

Bench bench;
Counters counters;
std::string message;

struct LaneStreams {
    hls::stream<Job> jobs{"jobs", JOBS_DEPTH};
    hls::stream<Pass> passes{"passes", PASSES_DEPTH};
    hls::stream<Word> weights{"weights", WEIGHTS_DEPTH};
    hls::stream<Word> scales{"scales", SCALES_DEPTH};
    hls::stream<Int8Word> activations{"activations", ACTIVATIONS_DEPTH};
    hls::stream<TileWord> results{"results", RESULTS_DEPTH};
};

}  // namespace

extern "C" {

// Python: what the next ap_start starts.
void cosim_prepare_lane_array() {
    auto s = std::make_shared<LaneStreams>();
    bench = {{port(s->jobs), port(s->passes), port(s->weights), port(s->scales), port(s->activations)},
             {port(s->results)},
             [p = s.get()] {
                 fibers::Scheduler::get().spawn("lane_array", [p] {
                     lane_array(p->jobs, p->passes, p->weights, p->scales, p->activations, p->results, &counters.lanes);
                 });
             },
             s};
}

void cosim_prepare_system(const Shape* shape, const Memory* memory) {
    auto s = std::make_shared<System>(*shape, *memory);
    bench = {{port(s->x), port(s->weights), port(s->scales)},
             {port(s->y), port(s->weights_wanted), port(s->scales_wanted)},
             [p = s.get()] { p->start(); },
             s};
}

// Python: what the last run ended with.
const char* cosim_message() { return message.c_str(); }

// The shell.
void cosim_start() {
    message.clear();
    if (bench.start) bench.start();
    else message = "ap_start before anything was prepared";
}

// Lets the kernels run as far as they can. 0: they wait for the outside; 1: they are done; 2: deadlock or an error.
int cosim_tick() {
    fibers::Scheduler& scheduler = fibers::Scheduler::get();
    try {
        switch (scheduler.run()) {
            case fibers::Outcome::WaitsOutside: return 0;
            case fibers::Outcome::Deadlock: message = scheduler.deadlock(); return 2;
            case fibers::Outcome::Done: return message.empty() ? 1 : 2;
        }
    } catch (const std::exception& problem) {
        message = problem.what();
    }
    return 2;
}

int cosim_room(int input) { return std::size_t(input) < bench.inputs.size() && bench.inputs[input].room(); }

void cosim_push(int input, const std::uint32_t* data) { bench.inputs[input].push(data); }

int cosim_front(int output, std::uint32_t* data) {
    if (std::size_t(output) >= bench.outputs.size() || !bench.outputs[output].any()) return 0;
    bench.outputs[output].front(data);
    return 1;
}

void cosim_pop(int output) { bench.outputs[output].pop(); }

}
