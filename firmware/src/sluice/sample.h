// One set of readings taken at one instant, and how it is written down.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace sluice {

// One value. `name` must outlive the sample: use literals. A value that is not finite is sent as null, which
// the server stores as a reading with status "error".
struct Reading {
  enum class Kind : uint8_t { number, boolean };
  const char* name = "";
  double value = 0;
  Kind kind = Kind::number;
};

inline Reading number(const char* name, double value) { return {name, value, Reading::Kind::number}; }
inline Reading boolean(const char* name, bool value) { return {name, value ? 1.0 : 0.0, Reading::Kind::boolean}; }

constexpr size_t kMaxReadings = 12;

struct Sample {
  uint64_t seq = 0;
  // Uptime when it was taken.
  uint64_t takenMs = 0;
  // Unix time when it was taken; fixed at the first sending, so that a resend is the same message.
  uint64_t epochMs = 0;
  // Sent before without a clock: then it stays with its age.
  bool byAge = false;
  uint8_t count = 0;
  Reading readings[kMaxReadings];
};

// Payload of `sample`: {"boot","seq","ts" or "age_ms", readings…}.
std::string buildPayload(const Sample& sample, const std::string& boot, uint64_t nowMs);

// Bytes of the PUBLISH packet (QoS 0); PubSubClient's buffer must hold it.
size_t publishSize(size_t topicLength, size_t payloadLength);

}  // namespace sluice
