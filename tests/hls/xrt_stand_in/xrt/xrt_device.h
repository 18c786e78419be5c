// A stand-in for XRT's headers, as much of them as hls/vitis/host.cpp uses: the "device" is C simulation. Our own, after
// XRT's documentation; where the real library is stricter (banks, alignment), this one is not.
#pragma once

#include <fstream>
#include <stdexcept>
#include <string>

namespace xrt {

class uuid {};

class device {
   public:
    explicit device(unsigned) {}
    uuid load_xclbin(const std::string& path) {
        if (!std::ifstream(path)) throw std::runtime_error("failed to open " + path);
        return {};
    }
};

}  // namespace xrt
