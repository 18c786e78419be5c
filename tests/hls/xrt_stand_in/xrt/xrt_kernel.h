// See xrt_device.h. A run takes its arguments by place; all kernels run when the first is waited for.
#pragma once

#include <xrt/xrt_bo.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace xrt {

class kernel {
   public:
    kernel(const device&, const uuid&, std::string name) : name_(std::move(name)) {}
    int group_id(int place) const { return place; }
    const std::string& name() const { return name_; }

   private:
    std::string name_;
};

// Arguments of a started run: the bytes of a value, or the address of a buffer.
struct Started {
    std::string name;
    std::map<int, std::vector<char>> values;
    std::map<int, void*> buffers;
};

// Runs all that was started, in C simulation (device.cpp).
void run_started(std::vector<std::shared_ptr<Started>>& runs);
inline std::vector<std::shared_ptr<Started>> started_runs;

class run {
   public:
    explicit run(const kernel& of) : state_(std::make_shared<Started>()) { state_->name = of.name(); }
    void set_arg(int place, const bo& buffer) { state_->buffers[place] = buffer.at_device(); }
    void set_arg(int place, const void* value, std::size_t bytes) {
        const char* from = static_cast<const char*>(value);
        state_->values[place].assign(from, from + bytes);
    }
    void set_arg(int place, std::int32_t value) { set_arg(place, &value, sizeof value); }
    void start() { started_runs.push_back(state_); }
    void wait() { run_started(started_runs); }

   private:
    std::shared_ptr<Started> state_;
};

}  // namespace xrt
