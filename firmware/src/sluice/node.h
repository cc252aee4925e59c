// One device: samples in, MQTT publishes out, acknowledgements back. Knows no network and no clock of its own.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "outbox.h"
#include "sample.h"
#include "topics.h"

namespace sluice {

struct NodeConfig {
  std::string root = "iotflow";
  std::string device;
  // Last level of the telemetry topic.
  std::string type = "environmental";
  // Differs at every start of the device, see docs/esp32.md.
  std::string boot;
  // Size of the MQTT client's buffer (PubSubClient::setBufferSize).
  size_t maxPacket = 1024;
  Outbox::Limits outbox;
};

// What came of a sample that was offered.
enum class Offer : uint8_t { kept, keptOldestLost, tooManyReadings, tooLarge };

class Node {
 public:
  // Hands one message to the MQTT client (QoS 0); false where it could not be written.
  using Publish = std::function<bool(const std::string& topic, const std::string& payload, bool retained)>;

  explicit Node(const NodeConfig& config);

  const Topics& topics() const { return topics_; }
  const std::string& boot() const { return config_.boot; }
  const Outbox& outbox() const { return outbox_; }
  uint64_t refused() const { return refused_; }

  // Unix time in milliseconds at uptime `nowMs`, from NTP or `{root}/system/time`. Later calls correct it.
  void setClock(uint64_t epochMs, uint64_t nowMs);
  bool hasClock() const { return hasClock_; }

  // Takes a sample under the next sequence number. One that cannot be sent uses none.
  Offer offer(const Reading* readings, size_t count, uint64_t nowMs);

  // To be called after CONNECT and the subscriptions: tells `status/online` (retained), resends from the oldest.
  void connected(uint64_t nowMs, const Publish& publish);

  // Sends what is due; call it often. Returns how many went out; stops at the first that does not.
  size_t pump(uint64_t nowMs, const Publish& publish);

  // Takes an incoming message. True where it was one for the node (ack, refusal, time).
  bool received(const std::string& topic, const std::string& payload, uint64_t nowMs);

  // Payload of the last will, to be left retained on topics().lwt().
  std::string will() const;

 private:
  NodeConfig config_;
  Topics topics_;
  Outbox outbox_;
  uint64_t nextSeq_ = 1;
  uint64_t refused_ = 0;
  bool hasClock_ = false;
  // Unix time at uptime 0.
  uint64_t bootEpochMs_ = 0;
};

}  // namespace sluice
