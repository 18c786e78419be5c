// Runs one token of a small layer on a board (or in hardware emulation) and compares it with golden: untested, no board
// was at hand. Vectors come from `triptych vectors --fastcar FOLDER`.
//
//   g++ -std=c++17 -I$XILINX_XRT/include hls/vitis/host.cpp -o host -L$XILINX_XRT/lib -lxrt_coreutil -pthread
//   ./host fastcar.hw.xclbin FOLDER        (XCL_EMULATION_MODE=hw_emu for emulation)
#include <xrt/xrt_bo.h>
#include <xrt/xrt_device.h>
#include <xrt/xrt_kernel.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using Bytes = std::vector<char>;

// The fields of `Shape` (hls/include/records.hpp), in order.
const char* const kFields[] = {"layers",  "rows",     "position",     "width",   "ffn",                "heads",
                               "kv_heads", "head_dim", "frame_tokens", "context", "resource_scheduling"};
struct Shape {
    std::int32_t field[std::size(kFields)];
};

Bytes load(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error(path + " is missing: write it by `triptych vectors --fastcar FOLDER`");
    return Bytes(std::istreambuf_iterator<char>(file), {});
}

Shape load_shape(const std::string& path) {
    std::ifstream file(path);
    std::map<std::string, std::int32_t> values;
    std::string name;
    for (std::int32_t value; file >> name >> value;) values[name] = value;
    Shape shape;
    for (std::size_t i = 0; i < std::size(kFields); ++i) {
        if (!values.count(kFields[i])) throw std::runtime_error(path + " has no field " + kFields[i]);
        shape.field[i] = values[kFields[i]];
    }
    return shape;
}

class Board {
   public:
    Board(const std::string& xclbin, std::string folder)
        : device_(0), id_(device_.load_xclbin(xclbin)), folder_(std::move(folder)) {}

    // An array for a kernel's argument: one of the same name is shared between kernels, as their banks are.
    xrt::bo& array(const xrt::kernel& kernel, int argument, const std::string& name, std::size_t bytes = 0) {
        const auto found = arrays_.find(name);
        if (found != arrays_.end()) return found->second;
        const Bytes content = bytes ? Bytes(bytes, 0) : load(folder_ + "/" + name + ".bin");
        xrt::bo made(device_, content.size(), kernel.group_id(argument));
        made.write(content.data());
        made.sync(XCL_BO_SYNC_BO_TO_DEVICE);
        return arrays_.emplace(name, std::move(made)).first->second;
    }

    xrt::kernel kernel(const std::string& name) { return xrt::kernel(device_, id_, name); }

    // Bytes that differ from the file `expected`; both lengths count.
    std::size_t differences(const std::string& name, const std::string& expected) {
        const Bytes wanted = load(folder_ + "/" + expected + ".bin");
        xrt::bo& array = arrays_.at(name);
        array.sync(XCL_BO_SYNC_BO_FROM_DEVICE);
        Bytes got(array.size());
        array.read(got.data());
        std::size_t wrong = 0;
        for (std::size_t i = 0; i < wanted.size(); ++i) wrong += i >= got.size() || got[i] != wanted[i];
        return wrong;
    }

   private:
    xrt::device device_;
    xrt::uuid id_;
    std::string folder_;
    std::map<std::string, xrt::bo> arrays_;
};

// An argument of a kernel, by position: an array, or a value by its bytes. Streams are links and take no argument.
struct Argument {
    int place;
    std::string array;
    std::size_t bytes = 0;  // of an array that no file holds
};

xrt::run start(Board& board, const std::string& name, int shape_place, const Shape& shape,
               const std::vector<Argument>& arguments) {
    const xrt::kernel kernel = board.kernel(name);
    xrt::run run(kernel);
    if (shape_place >= 0) run.set_arg(shape_place, &shape, sizeof shape);
    for (const Argument& a : arguments) run.set_arg(a.place, board.array(kernel, a.place, a.array, a.bytes));
    run.start();
    return run;
}

int run_layer(const std::string& xclbin, const std::string& folder) {
    const Shape shape = load_shape(folder + "/shape.txt");
    const Bytes x = load(folder + "/x.bin");
    Board board(xclbin, folder);
    const std::int32_t words = std::int32_t(x.size() / 64);

    // Places are those of the top functions of hls/fastcar.cpp.
    std::vector<xrt::run> runs;
    runs.push_back(start(board, "weight_streamer", 2, shape,
                         {{0, "weights"}, {1, "scales"}, {7, "weight_counters", 64}, {8, "scale_counters", 64}}));
    runs.push_back(start(board, "lane_array", -1, shape, {{6, "lane_counters", 64}}));
    runs.push_back(start(board, "tas", 3, shape, {{0, "registers"}, {1, "keys"}, {2, "values"}}));
    runs.push_back(start(board, "drs", 3, shape,
                         {{0, "registers"}, {1, "chains"}, {2, "decisions", 4096}, {12, "drs_counters", 64}}));
    runs.push_back(start(board, "attention", 3, shape, {{0, "registers"}, {1, "keys"}, {2, "values"}}));
    runs.push_back(start(board, "replay_ring", 1, shape, {{0, "ring"}}));
    runs.push_back(start(board, "decoder", 3, shape, {{0, "registers"}, {1, "gains"}, {2, "turns"}}));
    for (const char* name : {"rows_out", "rows_in"}) {
        const xrt::kernel kernel = board.kernel(name);
        xrt::run run(kernel);
        const bool in = std::strcmp(name, "rows_in") == 0;
        run.set_arg(0, board.array(kernel, 0, in ? "x" : "result", in ? 0 : x.size()));
        run.set_arg(1, words);
        run.start();
        runs.push_back(run);
    }
    for (xrt::run& run : runs) run.wait();

    std::size_t wrong = board.differences("result", "y");
    for (const char* name : {"keys", "values", "ring", "chains"}) {
        wrong += board.differences(name, std::string(name) + "_after");
    }
    std::printf("%zu bytes differ from golden\n", wrong);
    return wrong ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) {
        std::fprintf(stderr, "usage: %s XCLBIN FOLDER\n", argv[0]);
        return 2;
    }
    try {
        return run_layer(argv[1], argv[2]);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 2;
    }
}
