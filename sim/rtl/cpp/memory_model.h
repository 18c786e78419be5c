// AXI4 memory with settable latency and bandwidth: bursts are served in order, reads and writes share one budget of
// bytes a cycle; addresses in an error range answer SLVERR, those in a hang range never.
#pragma once

#include <cstdint>
#include <cstring>
#include <deque>
#include <stdexcept>
#include <string>
#include <vector>

struct Range {
  uint64_t begin = 0, end = 0;
  bool hits(uint64_t address, uint64_t bytes) const { return address < end && address + bytes > begin; }
};

struct MemoryTiming {
  uint32_t latency = 40;             // cycles from an accepted address to its first beat (write: to its response)
  uint32_t milli_bytes_per_cycle = 19200;  // 19.2 GB/s at 1 GHz
  uint32_t outstanding = 16;         // bursts taken before the first is served
};

class MemoryModel {
 public:
  MemoryModel(size_t bytes, unsigned beat_bytes, MemoryTiming timing)
      : data_(bytes), beat_(beat_bytes), timing_(timing) {}

  std::vector<uint8_t>& data() { return data_; }
  Range error, hang;

  struct Beat {
    bool valid = false, last = false, error = false;
    uint32_t id = 0;
    const uint8_t* bytes = nullptr;
  };

  bool ar_ready() const { return reads_.size() < timing_.outstanding; }
  bool aw_ready() const { return writes_.size() < timing_.outstanding; }
  // Write data is taken as fast as the budget allows, once its address is known.
  bool w_ready() const { return unfinished_ > 0 && budget_ >= 0; }

  void accept_ar(uint32_t id, uint64_t address, uint32_t len) {
    reads_.push_back({id, address, len + 1, cycle_ + timing_.latency, hang.hits(address, uint64_t(len + 1) * beat_)});
  }
  void accept_aw(uint32_t id, uint64_t address, uint32_t len) {
    writes_.push_back({id, address, len + 1, 0, hang.hits(address, uint64_t(len + 1) * beat_)});
    ++unfinished_;
  }
  void accept_w(const uint8_t* bytes, const uint8_t* strobes) {
    Burst& burst = writes_[writes_.size() - unfinished_];
    if (in_range(burst.address)) {
      for (unsigned i = 0; i < beat_; ++i)
        if (strobes[i >> 3] >> (i & 7) & 1) data_[burst.address + i] = bytes[i];
    }
    burst.error |= bad(burst.address);
    burst.address += beat_;
    budget_ -= int64_t(beat_) * 1000;
    bytes_written += beat_;
    if (--burst.beats == 0) {
      burst.ready = cycle_ + timing_.latency;
      --unfinished_;
    }
  }

  // What the memory offers in this cycle; the offer stays until it is taken.
  Beat r_offer() {
    Beat beat;
    if (reads_.empty()) return beat;
    const Burst& burst = reads_.front();
    if (burst.hang || cycle_ < burst.ready || (!r_offered_ && budget_ < 0)) return beat;
    r_offered_ = true;
    beat.valid = true;
    beat.id = burst.id;
    beat.last = burst.beats == 1;
    beat.error = bad(burst.address);
    beat.bytes = in_range(burst.address) ? &data_[burst.address] : zeros_;
    return beat;
  }
  void take_r() {
    r_offered_ = false;
    Burst& burst = reads_.front();
    burst.address += beat_;
    budget_ -= int64_t(beat_) * 1000;
    bytes_read += beat_;
    if (--burst.beats == 0) reads_.pop_front();
  }
  Beat b_offer() const {
    Beat beat;
    if (writes_.empty()) return beat;
    const Burst& burst = writes_.front();
    beat.valid = burst.beats == 0 && cycle_ >= burst.ready && !burst.hang;
    beat.id = burst.id;
    beat.error = burst.error;
    return beat;
  }
  void take_b() { writes_.pop_front(); }

  void tick() {
    ++cycle_;
    budget_ += timing_.milli_bytes_per_cycle;
    const int64_t most = int64_t(beat_) * 1000;
    if (budget_ > most) budget_ = most;
  }

  uint64_t bytes_read = 0, bytes_written = 0;

 private:
  struct Burst {
    uint32_t id;
    uint64_t address;
    uint32_t beats;
    uint64_t ready;
    bool hang;
    bool error = false;
  };
  bool in_range(uint64_t address) const { return address + beat_ <= data_.size(); }
  bool bad(uint64_t address) const { return !in_range(address) || error.hits(address, beat_); }

  std::vector<uint8_t> data_;
  unsigned beat_;
  MemoryTiming timing_;
  std::deque<Burst> reads_, writes_;
  size_t unfinished_ = 0;
  uint64_t cycle_ = 0;
  int64_t budget_ = 0;
  bool r_offered_ = false;
  uint8_t zeros_[256] = {};
};
