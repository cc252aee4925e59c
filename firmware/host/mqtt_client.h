// As much of MQTT 3.1.1 as PubSubClient has, over a POSIX socket: QoS 0 out, QoS 0 and 1 in.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

namespace sluice {

class MqttClient {
 public:
  struct Login {
    std::string clientId, user, password, willTopic, willPayload;
  };
  using OnMessage = std::function<void(const std::string& topic, const std::string& payload)>;

  ~MqttClient() { close(); }

  // Connects with a kept session and a retained will at QoS 1; false where the server refuses or is not there.
  bool connect(const std::string& host, uint16_t port, const Login& login);
  bool connected() const { return socket_ >= 0; }
  bool publish(const std::string& topic, const std::string& payload, bool retained);
  bool subscribe(const std::string& filter, uint8_t qos);
  // Waits up to `waitMs` for input and handles what is complete. Pings every ten seconds.
  void poll(int waitMs, const OnMessage& onMessage);
  void disconnect();

 private:
  bool send(const std::string& bytes);
  bool readMore(int waitMs);
  bool takePacket(uint8_t& header, std::string& body);
  void handle(uint8_t header, const std::string& body, const OnMessage& onMessage);
  void close();

  int socket_ = -1;
  uint16_t nextId_ = 1;
  uint64_t nextPingMs_ = 0;
  std::string input_;
};

}  // namespace sluice
