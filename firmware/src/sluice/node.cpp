#include "node.h"

#include "json.h"

namespace sluice {
namespace {

// A clock before this is not set: 2020-01-01, the server's own bound.
constexpr uint64_t kEarliestMs = 1577836800000ULL;

}  // namespace

Node::Node(const NodeConfig& config)
    : config_(config), topics_{config.root, config.device}, outbox_(config.outbox) {}

void Node::setClock(uint64_t epochMs, uint64_t nowMs) {
  if (epochMs < kEarliestMs || epochMs < nowMs) return;
  bootEpochMs_ = epochMs - nowMs;
  hasClock_ = true;
}

Offer Node::offer(const Reading* readings, size_t count, uint64_t nowMs) {
  if (count > kMaxReadings) return Offer::tooManyReadings;
  Sample sample;
  sample.seq = nextSeq_;
  sample.takenMs = nowMs;
  sample.count = static_cast<uint8_t>(count);
  for (size_t i = 0; i < count; i++) sample.readings[i] = readings[i];
  // The longest it can get: time as Unix milliseconds has 13 digits, an age has fewer for 317 years.
  sample.epochMs = 9999999999999ULL;
  const size_t length = buildPayload(sample, config_.boot, nowMs).size() + 4;
  if (publishSize(topics_.telemetry(config_.type).size(), length) > config_.maxPacket) return Offer::tooLarge;
  sample.epochMs = 0;
  nextSeq_++;
  return outbox_.push(sample) ? Offer::kept : Offer::keptOldestLost;
}

void Node::connected(uint64_t nowMs, const Publish& publish) {
  JsonWriter json;
  json.string("status", "online");
  json.string("boot", config_.boot);
  if (hasClock_) json.integer("ts", bootEpochMs_ + nowMs);
  publish(topics_.status("online"), json.finish(), true);
  outbox_.restart();
}

size_t Node::pump(uint64_t nowMs, const Publish& publish) {
  const std::string topic = topics_.telemetry(config_.type);
  size_t sent = 0;
  while (Sample* sample = outbox_.due(nowMs)) {
    if (sample->epochMs == 0 && !sample->byAge) {
      if (hasClock_) sample->epochMs = bootEpochMs_ + sample->takenMs;
      else sample->byAge = true;
    }
    if (!publish(topic, buildPayload(*sample, config_.boot, nowMs), false)) break;
    outbox_.sent(sample->seq, nowMs);
    sent++;
  }
  return sent;
}

bool Node::received(const std::string& topic, const std::string& payload, uint64_t nowMs) {
  if (topic == topics_.systemTime()) {
    const auto epochMs = findInteger(payload, "epochMs");
    // NTP is better: this one comes with the delay of the network.
    if (epochMs && !hasClock_) setClock(*epochMs, nowMs);
    return true;
  }
  const bool ack = topic == topics_.ack();
  if (!ack && topic != topics_.rejected()) return false;
  const auto boot = findString(payload, "boot");
  const auto seq = findInteger(payload, "seq");
  if (!boot || *boot != config_.boot || !seq) return true;
  // Refused for good or only in part: sending the same bytes again cannot help.
  if (outbox_.settle(*seq) && !ack) refused_++;
  return true;
}

std::string Node::will() const {
  JsonWriter json;
  json.string("status", "offline");
  json.string("boot", config_.boot);
  return json.finish();
}

}  // namespace sluice
