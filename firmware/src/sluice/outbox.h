// Samples that nobody has acknowledged yet, in a ring: the newest push out the oldest.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "sample.h"

namespace sluice {

class Outbox {
 public:
  struct Limits {
    size_t capacity = 64;
    // Unacknowledged samples on the way at once.
    size_t window = 8;
    // First wait for an acknowledgement; doubles with every resend, up to the second.
    uint32_t resendAfterMs = 5000;
    uint32_t resendAtMostMs = 120000;
  };

  explicit Outbox(const Limits& limits);

  // Keeps `sample`. Returns false where the oldest had to go for it: that one is lost, and its missing
  // sequence number tells the server so.
  bool push(const Sample& sample);

  // The oldest sample that is due to be sent (again) at `nowMs`, or nullptr.
  Sample* due(uint64_t nowMs);

  // The sample that `due` gave went out.
  void sent(uint64_t seq, uint64_t nowMs);

  // Forgets the sample: it is stored or refused for good. False where it is not here (any more).
  bool settle(uint64_t seq);

  // The connection is new: everything may be sent at once.
  void restart();

  size_t size() const { return count_; }
  uint64_t overwritten() const { return overwritten_; }

 private:
  struct Slot {
    Sample sample;
    uint32_t sendings = 0;
    uint64_t nextMs = 0;
  };
  Slot& at(size_t i) { return slots_[(first_ + i) % slots_.size()]; }
  void remove(size_t i);

  Limits limits_;
  std::vector<Slot> slots_;
  size_t first_ = 0;
  size_t count_ = 0;
  uint64_t overwritten_ = 0;
};

}  // namespace sluice
