#include "outbox.h"

#include <algorithm>

namespace sluice {

Outbox::Outbox(const Limits& limits) : limits_(limits), slots_(std::max<size_t>(limits.capacity, 1)) {}

bool Outbox::push(const Sample& sample) {
  const bool full = count_ == slots_.size();
  if (full) {
    overwritten_++;
    remove(0);
  }
  Slot& slot = at(count_++);
  slot.sample = sample;
  slot.sendings = 0;
  slot.nextMs = 0;
  return !full;
}

Sample* Outbox::due(uint64_t nowMs) {
  for (size_t i = 0; i < count_ && i < limits_.window; i++) {
    if (at(i).nextMs <= nowMs) return &at(i).sample;
  }
  return nullptr;
}

void Outbox::sent(uint64_t seq, uint64_t nowMs) {
  for (size_t i = 0; i < count_; i++) {
    Slot& slot = at(i);
    if (slot.sample.seq != seq) continue;
    const uint64_t wait = uint64_t{limits_.resendAfterMs} << std::min<uint32_t>(slot.sendings, 16);
    slot.nextMs = nowMs + std::min<uint64_t>(wait, limits_.resendAtMostMs);
    slot.sendings++;
    return;
  }
}

bool Outbox::settle(uint64_t seq) {
  for (size_t i = 0; i < count_; i++) {
    if (at(i).sample.seq != seq) continue;
    remove(i);
    return true;
  }
  return false;
}

void Outbox::restart() {
  for (size_t i = 0; i < count_; i++) {
    at(i).nextMs = 0;
    at(i).sendings = 0;
  }
}

void Outbox::remove(size_t i) {
  if (i == 0) {
    first_ = (first_ + 1) % slots_.size();
  } else {
    for (; i + 1 < count_; i++) at(i) = at(i + 1);
  }
  count_--;
}

}  // namespace sluice
