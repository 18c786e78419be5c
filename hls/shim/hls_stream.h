// hls::stream with a real depth, as in Vitis HLS 2022 and later: `stream<T, N>` holds N elements, a write to a full one
// and a read from an empty one block. The stock header for C simulation is unbounded and hides deadlocks.
#pragma once

#include "fibers.hpp"

#include <memory>
#include <string>

namespace hls {

template <class T, int DEPTH = 0>
class stream;

// Any depth: what functions take by reference.
template <class T>
class stream<T, 0> {
public:
    explicit stream(const char* name = "stream", std::size_t depth = 2)
        : depth_(fibers::Scheduler::get().depth(name, depth)), data_(new T[depth_]) {
        channel_.name = name;
    }
    ~stream() {
        if (count_) fibers::Scheduler::get().left(channel_.name, count_);
    }
    stream(const stream&) = delete;
    stream& operator=(const stream&) = delete;

    bool empty() const { return count_ == 0; }
    bool full() const { return count_ == depth_; }
    std::size_t size() const { return count_; }
    std::size_t capacity() const { return depth_; }

    void write(const T& value) {
        fibers::Scheduler& scheduler = fibers::Scheduler::get();
        scheduler.maybe_yield();
        while (full()) scheduler.wait(channel_, fibers::State::NeedsSpace);
        put(value);
    }

    T read() {
        fibers::Scheduler& scheduler = fibers::Scheduler::get();
        scheduler.maybe_yield();
        while (empty()) scheduler.wait(channel_, fibers::State::NeedsData);
        return get();
    }

    void read(T& value) { value = read(); }

    bool write_nb(const T& value) {
        if (full()) return false;
        put(value);
        return true;
    }

    bool read_nb(T& value) {
        if (empty()) return false;
        value = get();
        return true;
    }

    void operator<<(const T& value) { write(value); }
    void operator>>(T& value) { value = read(); }

    // The other end is no process: waiting for it is no deadlock.
    void outside() { channel_.outside = true; }

    const T& front() const { return data_[head_]; }

    void drain_into(T* to) {
        while (!empty()) *to++ = get();
    }

private:
    void put(const T& value) {
        std::size_t place = head_ + count_;
        if (place >= depth_) place -= depth_;
        data_[place] = value;
        ++count_;
        if (channel_.reader) fibers::Scheduler::get().wake(channel_.reader);
    }

    T get() {
        T value = data_[head_];
        if (++head_ == depth_) head_ = 0;
        --count_;
        if (channel_.writer) fibers::Scheduler::get().wake(channel_.writer);
        return value;
    }

    fibers::Channel channel_;
    std::size_t depth_, head_ = 0, count_ = 0;
    std::unique_ptr<T[]> data_;
};

template <class T, int DEPTH>
class stream : public stream<T, 0> {
public:
    static_assert(DEPTH > 0, "a FIFO holds at least one element");
    explicit stream(const char* name = "stream") : stream<T, 0>(name, DEPTH) {}
};

}  // namespace hls
