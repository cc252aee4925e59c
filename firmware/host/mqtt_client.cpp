#include "mqtt_client.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

namespace sluice {
namespace {

constexpr uint16_t kKeepAliveS = 20;

std::string u16(size_t n) { return {static_cast<char>(n >> 8), static_cast<char>(n)}; }
std::string text(const std::string& s) { return u16(s.size()) + s; }

std::string packet(uint8_t header, const std::string& body) {
  std::string bytes(1, static_cast<char>(header));
  size_t length = body.size();
  do {
    const uint8_t digit = length % 128;
    length /= 128;
    bytes += static_cast<char>(length > 0 ? digit | 128 : digit);
  } while (length > 0);
  return bytes + body;
}

uint64_t uptimeMs() {
  using namespace std::chrono;
  return static_cast<uint64_t>(duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count());
}

int openSocket(const std::string& host, uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) return -1;
  int fd = -1;
  for (addrinfo* at = found; at != nullptr && fd < 0; at = at->ai_next) {
    fd = socket(at->ai_family, at->ai_socktype, at->ai_protocol);
    if (fd >= 0 && ::connect(fd, at->ai_addr, at->ai_addrlen) != 0) {
      ::close(fd);
      fd = -1;
    }
  }
  freeaddrinfo(found);
  if (fd < 0) return fd;
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const timeval limit{5, 0};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  return fd;
}

}  // namespace

bool MqttClient::connect(const std::string& host, uint16_t port, const Login& login) {
  close();
  socket_ = openSocket(host, port);
  if (socket_ < 0) return false;
  constexpr uint8_t kWill = 0x04 | 0x08 | 0x20;  // will, at QoS 1, retained
  uint8_t flags = kWill;
  if (!login.user.empty()) flags |= 0x80 | 0x40;
  std::string body = text("MQTT") + '\x04' + static_cast<char>(flags) + u16(kKeepAliveS);
  body += text(login.clientId) + text(login.willTopic) + text(login.willPayload);
  if (!login.user.empty()) body += text(login.user) + text(login.password);
  uint8_t header = 0;
  std::string answer;
  if (send(packet(0x10, body))) {
    const uint64_t untilMs = uptimeMs() + 5000;
    while (connected() && uptimeMs() < untilMs && !takePacket(header, answer)) readMore(100);
  }
  if (header == 0x20 && answer.size() == 2 && answer[1] == 0) {
    nextPingMs_ = uptimeMs() + kKeepAliveS * 500;
    return true;
  }
  close();
  return false;
}

bool MqttClient::publish(const std::string& topic, const std::string& payload, bool retained) {
  return send(packet(retained ? 0x31 : 0x30, text(topic) + payload));
}

bool MqttClient::subscribe(const std::string& filter, uint8_t qos) {
  return send(packet(0x82, u16(nextId_++) + text(filter) + static_cast<char>(qos)));
}

void MqttClient::poll(int waitMs, const OnMessage& onMessage) {
  if (uptimeMs() >= nextPingMs_) {
    nextPingMs_ = uptimeMs() + kKeepAliveS * 500;
    send(packet(0xc0, ""));
  }
  readMore(waitMs);
  uint8_t header = 0;
  std::string body;
  while (connected() && takePacket(header, body)) handle(header, body, onMessage);
}

void MqttClient::handle(uint8_t header, const std::string& body, const OnMessage& onMessage) {
  if ((header & 0xf0) != 0x30 || body.size() < 2) return;
  const size_t topicLength = (static_cast<uint8_t>(body[0]) << 8) | static_cast<uint8_t>(body[1]);
  const uint8_t qos = (header >> 1) & 3;
  const size_t start = 2 + topicLength + (qos > 0 ? 2 : 0);
  if (body.size() < start) return close();
  onMessage(body.substr(2, topicLength), body.substr(start));
  if (qos == 1) send(packet(0x40, body.substr(2 + topicLength, 2)));
}

void MqttClient::disconnect() {
  send(packet(0xe0, ""));
  close();
}

bool MqttClient::send(const std::string& bytes) {
  if (!connected()) return false;
  for (size_t sent = 0; sent < bytes.size();) {
    const ssize_t n = ::send(socket_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) {
      if (n < 0 && errno == EINTR) continue;
      close();
      return false;
    }
    sent += static_cast<size_t>(n);
  }
  return true;
}

bool MqttClient::readMore(int waitMs) {
  if (!connected()) return false;
  pollfd wait{socket_, POLLIN, 0};
  if (::poll(&wait, 1, waitMs) <= 0) return false;
  char chunk[4096];
  const ssize_t n = recv(socket_, chunk, sizeof chunk, 0);
  if (n <= 0) {
    close();
    return false;
  }
  input_.append(chunk, static_cast<size_t>(n));
  return true;
}

bool MqttClient::takePacket(uint8_t& header, std::string& body) {
  size_t length = 0;
  for (size_t i = 1; i < 5; i++) {
    if (i >= input_.size()) return false;
    const auto digit = static_cast<uint8_t>(input_[i]);
    length |= static_cast<size_t>(digit & 127) << (7 * (i - 1));
    if (digit & 128) continue;
    if (input_.size() < i + 1 + length) return false;
    header = static_cast<uint8_t>(input_[0]);
    body = input_.substr(i + 1, length);
    input_.erase(0, i + 1 + length);
    return true;
  }
  close();
  return false;
}

void MqttClient::close() {
  if (socket_ >= 0) ::close(socket_);
  socket_ = -1;
  input_.clear();
}

}  // namespace sluice
