// See xrt_device.h. The host's copy and the device's are two: what is not synchronised is not there.
#pragma once

#include <xrt/xrt_device.h>

#include <cstdlib>
#include <cstring>
#include <memory>

enum xclBOSyncDirection { XCL_BO_SYNC_BO_TO_DEVICE, XCL_BO_SYNC_BO_FROM_DEVICE };

namespace xrt {

class bo {
   public:
    bo(const device&, std::size_t size, int) : size_(size), host_(memory(size)), device_(memory(size)) {}
    std::size_t size() const { return size_; }
    void write(const void* from) { std::memcpy(host_.get(), from, size_); }
    void read(void* to) { std::memcpy(to, host_.get(), size_); }
    void sync(xclBOSyncDirection direction) {
        if (direction == XCL_BO_SYNC_BO_TO_DEVICE) std::memcpy(device_.get(), host_.get(), size_);
        else std::memcpy(host_.get(), device_.get(), size_);
    }
    void* at_device() const { return device_.get(); }

   private:
    static std::shared_ptr<char> memory(std::size_t size) {
        const std::size_t whole = (size + 4095) / 4096 * 4096;
        char* made = static_cast<char*>(std::aligned_alloc(4096, whole));
        std::memset(made, 0xA5, whole);
        return std::shared_ptr<char>(made, std::free);
    }
    std::size_t size_;
    std::shared_ptr<char> host_, device_;
};

}  // namespace xrt
