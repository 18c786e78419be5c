// AXI4 memory with settable latency and bandwidth: reads and writes share one budget of bytes a cycle; addresses in an
// error range answer SLVERR, those in a hang range never. What AXI4 leaves open is settable too: which write channel must
// come first, the order of read data between identifiers, stalls on every channel, when a write shows.
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
  uint32_t behind = 0;               // cycles more until a write is answered
};

// The same kinds as in sim/rtl/orders.py.
enum class WriteOrder { kFree, kAddressFirst, kOffered, kDataFirst };
enum class ReadOrder { kInOrder, kByBurst, kInterleaved };

struct MemoryBehaviour {
  WriteOrder writes = WriteOrder::kAddressFirst;
  ReadOrder reads = ReadOrder::kInOrder;
  bool late = false;   // a write shows when it is answered, not when its data come
  uint32_t stall = 0;  // chances in 256 that a channel holds back in a cycle, each for itself
  uint64_t seed = 1;
};

class MemoryModel {
 public:
  MemoryModel(size_t bytes, unsigned beat_bytes, MemoryTiming timing, MemoryBehaviour behaviour = {})
      : data_(bytes), beat_(beat_bytes), timing_(timing), behaviour_(behaviour), random_(behaviour.seed | 1ull << 32) {}

  std::vector<uint8_t>& data() { return data_; }
  Range error, hang;

  struct Beat {
    bool valid = false, last = false, error = false;
    uint32_t id = 0;
    const uint8_t* bytes = nullptr;
  };

  bool ar_ready() { return reads_.size() < timing_.outstanding && !holds_back(); }
  // offered: write data wait on their channel and are not taken in this cycle.
  bool aw_ready(bool offered) {
    if (writes_.size() >= timing_.outstanding || holds_back()) return false;
    if (behaviour_.writes == WriteOrder::kOffered) return offered && unfinished_ == 0;
    if (behaviour_.writes == WriteOrder::kDataFirst) return bursts_ahead_ > 0;
    return true;
  }
  // Write data is taken as fast as the budget allows.
  bool w_ready() {
    const bool ahead = behaviour_.writes == WriteOrder::kFree || behaviour_.writes == WriteOrder::kDataFirst;
    return (unfinished_ > 0 || (ahead && ahead_.size() < 512)) && budget_ >= 0 && !holds_back();
  }

  void accept_ar(uint32_t id, uint64_t address, uint32_t len) {
    reads_.push_back({id, address, len + 1, cycle_ + timing_.latency, hang.hits(address, uint64_t(len + 1) * beat_)});
  }
  void accept_aw(uint32_t id, uint64_t address, uint32_t len) {
    writes_.push_back({id, address, len + 1, 0, hang.hits(address, uint64_t(len + 1) * beat_)});
    ++unfinished_;
    match();
  }
  void accept_w(const uint8_t* bytes, const uint8_t* strobes, bool last) {
    ahead_.push_back({std::vector<uint8_t>(bytes, bytes + beat_), std::vector<uint8_t>(strobes, strobes + (beat_ + 7) / 8),
                      last});
    bursts_ahead_ += last;
    budget_ -= int64_t(beat_) * 1000;
    bytes_written += beat_;
    match();
  }

  // What the memory offers in this cycle; the offer stays until it is taken.
  Beat r_offer() {
    Beat beat;
    if (!r_offered_ && (budget_ < 0 || holds_back() || !choose())) return beat;
    const Burst& burst = reads_[current_];
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
    Burst& burst = reads_[current_];
    burst.address += beat_;
    budget_ -= int64_t(beat_) * 1000;
    bytes_read += beat_;
    const bool whole = --burst.beats == 0;
    if (whole) reads_.erase(reads_.begin() + current_);
    if (whole || behaviour_.reads == ReadOrder::kInterleaved) current_ = kNone;
  }
  Beat b_offer() {
    Beat beat;
    if (writes_.empty()) return beat;
    Burst& burst = writes_.front();
    beat.valid = b_offered_ || (burst.beats == 0 && cycle_ >= burst.ready && !burst.hang && !holds_back());
    b_offered_ = beat.valid;
    if (beat.valid) show(burst);
    beat.id = burst.id;
    beat.error = burst.error;
    return beat;
  }
  void take_b() {
    b_offered_ = false;
    writes_.pop_front();
  }

  void tick() {
    ++cycle_;
    budget_ += timing_.milli_bytes_per_cycle;
    const int64_t most = int64_t(beat_) * 1000;
    if (budget_ > most) budget_ = most;
  }

  uint64_t bytes_read = 0, bytes_written = 0;

 private:
  struct Data {
    std::vector<uint8_t> bytes, strobes;
    bool last;
    uint64_t address = 0;
  };
  struct Burst {
    uint32_t id;
    uint64_t address;
    uint32_t beats;
    uint64_t ready;
    bool hang;
    bool error = false;
    std::vector<Data> held = {};  // written, and not to be seen yet
  };
  static constexpr size_t kNone = ~size_t{0};

  bool holds_back() {
    if (!behaviour_.stall) return false;
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return (random_ >> 16 & 255) < behaviour_.stall;
  }
  // Names the burst whose data come next, the oldest of its identifier; false when none is due.
  bool choose() {
    if (current_ != kNone) return true;
    std::vector<size_t> due;
    for (size_t i = 0; i < reads_.size(); ++i) {
      bool oldest = true;
      for (size_t k = 0; k < i; ++k) oldest &= reads_[k].id != reads_[i].id;
      if (oldest && cycle_ >= reads_[i].ready && !reads_[i].hang) due.push_back(i);
      if (behaviour_.reads == ReadOrder::kInOrder) break;
    }
    if (due.empty()) return false;
    current_ = due[(cycle_ * 2654435761u >> 7) % due.size()];
    return true;
  }
  // Data find their addresses, in order.
  void match() {
    while (unfinished_ && !ahead_.empty()) {
      Burst& burst = writes_[writes_.size() - unfinished_];
      Data& data = ahead_.front();
      data.address = burst.address;
      burst.error |= bad(burst.address);
      burst.address += beat_;
      bursts_ahead_ -= data.last;
      burst.held.push_back(std::move(data));
      ahead_.pop_front();
      if (!behaviour_.late) show(burst);
      if (--burst.beats == 0) {
        burst.ready = cycle_ + timing_.latency + timing_.behind;
        --unfinished_;
      }
    }
  }
  void show(Burst& burst) {
    for (const Data& data : burst.held) {
      if (!in_range(data.address)) continue;
      for (unsigned i = 0; i < beat_; ++i)
        if (data.strobes[i >> 3] >> (i & 7) & 1) data_[data.address + i] = data.bytes[i];
    }
    burst.held.clear();
  }
  bool in_range(uint64_t address) const { return address + beat_ <= data_.size(); }
  bool bad(uint64_t address) const { return !in_range(address) || error.hits(address, beat_); }

  std::vector<uint8_t> data_;
  unsigned beat_;
  MemoryTiming timing_;
  MemoryBehaviour behaviour_;
  uint64_t random_;
  std::deque<Burst> reads_, writes_;
  std::deque<Data> ahead_;  // data without their address yet
  size_t bursts_ahead_ = 0;  // whole bursts among them
  size_t current_ = kNone;
  size_t unfinished_ = 0;
  uint64_t cycle_ = 0;
  int64_t budget_ = 0;
  bool r_offered_ = false, b_offered_ = false;
  uint8_t zeros_[256] = {};
};
