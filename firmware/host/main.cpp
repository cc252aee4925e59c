// The firmware's portable part on a computer: a device over a POSIX socket, for tests and for trying a server.
//   sluice-host --port 1883 --device esp32_001 --user U --password P [--samples 20] [--interval-ms 100]
// Prints one JSON line per event on standard output; exits 0 once every sample is acknowledged or refused.
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#include "../src/Sluice.h"
#include "../src/sluice/json.h"
#include "mqtt_client.h"

namespace {

uint64_t nowMs() {
  using namespace std::chrono;
  return static_cast<uint64_t>(duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count());
}

uint64_t epochMs() {
  using namespace std::chrono;
  return static_cast<uint64_t>(duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count());
}

struct Options {
  std::map<std::string, std::string> values;

  std::string text(const char* name, const char* fallback) const {
    const auto found = values.find(name);
    return found == values.end() ? fallback : found->second;
  }
  uint64_t number(const char* name, uint64_t fallback) const {
    const auto found = values.find(name);
    return found == values.end() ? fallback : std::strtoull(found->second.c_str(), nullptr, 10);
  }
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strncmp(argv[i], "--", 2) != 0) break;
    options.values[argv[i] + 2] = argv[i + 1];
  }
  return options;
}

void say(const std::string& line) {
  std::fputs((line + "\n").c_str(), stdout);
  std::fflush(stdout);
}

void say(const char* event, const std::string& topic, const std::string& payload) {
  sluice::JsonWriter json;
  json.string("event", event);
  json.string("topic", topic);
  json.string("payload", payload);
  say(json.finish());
}

class Host {
 public:
  explicit Host(const Options& options)
      : options_(options), node_(config(options)), clock_(options.text("clock", "ntp")), samples_(options.number("samples", 20)) {
    // "server": from system/time; "none": a device that never learns the time.
    if (clock_ == "ntp") node_.setClock(epochMs(), nowMs());
  }

  int run() {
    const uint64_t intervalMs = options_.number("interval-ms", 100);
    const uint64_t untilMs = nowMs() + options_.number("timeout-ms", 30000);
    const uint64_t lingerMs = options_.number("linger-ms", 0);
    uint64_t nextMs = nowMs();
    uint64_t doneMs = 0;
    while (nowMs() < untilMs) {
      if (offered_ < samples_ && nowMs() >= nextMs) {
        offer();
        nextMs += intervalMs;
      }
      if (!client_.connected() && nowMs() >= retryMs_) connect();
      if (client_.connected()) {
        node_.pump(nowMs(), publisher());
        client_.poll(5, [this](const std::string& topic, const std::string& payload) { receive(topic, payload); });
      } else {
        usleep(5000);
      }
      const bool done = offered_ == samples_ && node_.outbox().size() == 0;
      if (done && doneMs == 0) doneMs = nowMs();
      if (done && nowMs() - doneMs >= lingerMs) return finish();
    }
    say("{\"event\":\"timeout\",\"left\":" + std::to_string(node_.outbox().size()) + "}");
    return 1;
  }

 private:
  static sluice::NodeConfig config(const Options& options) {
    sluice::NodeConfig c;
    c.root = options.text("root", "iotflow");
    c.device = options.text("device", "esp32_001");
    c.type = options.text("type", "environmental");
    c.boot = options.text("boot", "1-host");
    c.outbox.capacity = options.number("capacity", 1000);
    c.outbox.window = options.number("window", 32);
    c.outbox.resendAfterMs = static_cast<uint32_t>(options.number("resend-ms", 1000));
    c.outbox.resendAtMostMs = 4 * c.outbox.resendAfterMs;
    return c;
  }

  sluice::Node::Publish publisher() {
    return [this](const std::string& topic, const std::string& payload, bool retained) {
      return client_.publish(topic, payload, retained);
    };
  }

  void offer() {
    offered_++;
    const double x = static_cast<double>(offered_);
    const double broken = offered_ % 10 == 0 ? NAN : 45 + 5 * std::cos(x / 7);
    const sluice::Reading readings[] = {
        sluice::number("temperature", 20 + x / 1000),
        sluice::number("humidity", broken),
        sluice::number("battery_level", 85.0),
        sluice::boolean("led", offered_ % 2 == 1),
    };
    if (node_.offer(readings, 4, nowMs()) != sluice::Offer::kept) say("{\"event\":\"lost\"}");
  }

  void connect() {
    const sluice::Topics& topics = node_.topics();
    sluice::MqttClient::Login login;
    login.clientId = options_.text("client-id", topics.device.c_str());
    login.user = options_.text("user", "");
    login.password = options_.text("password", "");
    login.willTopic = topics.lwt();
    login.willPayload = node_.will();
    const auto port = static_cast<uint16_t>(options_.number("port", 1883));
    retryMs_ = nowMs() + 300;
    if (!client_.connect(options_.text("host", "127.0.0.1"), port, login)) return;
    say("{\"event\":\"connected\"}");
    const std::string wanted[] = {topics.ack(), topics.rejected(), topics.commands(), topics.config()};
    for (const std::string& topic : wanted) client_.subscribe(topic, topic == topics.commands() || topic == topics.config());
    if (clock_ == "server") client_.subscribe(topics.systemTime(), 0);
    node_.connected(nowMs(), publisher());
  }

  void receive(const std::string& topic, const std::string& payload) {
    const size_t before = node_.outbox().size();
    if (node_.received(topic, payload, nowMs())) {
      if (node_.outbox().size() < before) say("settled", topic, payload);
      return;
    }
    const std::string type = node_.topics().commandType(topic);
    if (type.empty()) return say("message", topic, payload);
    const std::string id = sluice::findString(payload, "id").value_or("");
    if (!commands_.isNew(id)) return;
    say("command", topic, payload);
    sluice::JsonWriter result;
    result.string("id", id);
    result.string("status", "done");
    client_.publish(node_.topics().result(type), result.finish(), false);
  }

  int finish() {
    client_.disconnect();
    sluice::JsonWriter json;
    json.string("event", "done");
    json.integer("samples", offered_);
    json.integer("lost", node_.outbox().overwritten());
    json.integer("refused", node_.refused());
    say(json.finish());
    return 0;
  }

  Options options_;
  sluice::Node node_;
  std::string clock_;
  sluice::MqttClient client_;
  sluice::CommandLog commands_;
  uint64_t samples_;
  uint64_t offered_ = 0;
  uint64_t retryMs_ = 0;
};

}  // namespace

int main(int argc, char** argv) { return Host(parse(argc, argv)).run(); }
