// Checks of the portable part. Prints one line per failed check; exit code 1 when there is one.
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "../src/Sluice.h"
#include "../src/sluice/json.h"

using namespace sluice;

static int failures = 0;
#define CHECK(condition)                                              \
  do {                                                                \
    if (!(condition)) {                                               \
      failures++;                                                     \
      std::printf("checks.cpp:%d: %s\n", __LINE__, #condition);       \
    }                                                                 \
  } while (false)

struct Sent {
  std::string topic, payload;
  bool retained;
};

static NodeConfig config() {
  NodeConfig c;
  c.device = "esp32_001";
  c.boot = "7-abc";
  c.outbox = {4, 2, 1000, 4000};
  return c;
}

static const Reading kOne[] = {number("temperature", 21.5)};

static void json() {
  JsonWriter w;
  w.string("a", "x\"\\\n");
  w.number("b", 25.1f);
  w.number("c", NAN);
  w.boolean("d", true);
  w.integer("e", 1700000000000ULL);
  CHECK(w.finish() == "{\"a\":\"x\\\"\\\\\\u000a\",\"b\":25.1000004,\"c\":null,\"d\":true,\"e\":1700000000000}");
  CHECK(JsonWriter().finish() == "{}");
  const std::string ack = "{ \"x\":{\"seq\":1}, \"boot\" : \"7-abc\", \"note\":\"\\\"seq\\\":9\", \"seq\": 42 }";
  CHECK(findString(ack, "boot") == "7-abc");
  CHECK(findInteger(ack, "seq") == 42u);
  CHECK(!findInteger(ack, "boot"));
  CHECK(!findInteger("{\"seq\":-1}", "seq"));
  CHECK(!findInteger("{\"seq\":1.5}", "seq"));
  CHECK(!findInteger("{\"seq\":99999999999999999999}", "seq"));
  CHECK(!findString("{\"boot\":\"x", "boot"));
  CHECK(!findString("", "boot"));
}

static void topics() {
  const Topics t{"iotflow", "d1"};
  CHECK(t.telemetry("environmental") == "iotflow/devices/d1/telemetry/environmental");
  CHECK(t.lwt() == "iotflow/lwt/devices/d1");
  CHECK(t.commandType("iotflow/devices/d1/commands/led") == "led");
  CHECK(t.commandType("iotflow/devices/d1/commands/led/result").empty());
  CHECK(t.commandType("iotflow/devices/d2/commands/led").empty());
}

static void resendsUntilAcknowledged() {
  Node node(config());
  std::vector<Sent> sent;
  const auto publish = [&](const std::string& topic, const std::string& payload, bool retained) {
    sent.push_back({topic, payload, retained});
    return true;
  };
  CHECK(node.offer(kOne, 1, 10) == Offer::kept);
  CHECK(node.pump(20, publish) == 1);
  CHECK(sent[0].payload == "{\"boot\":\"7-abc\",\"seq\":1,\"age_ms\":10,\"temperature\":21.5}");
  CHECK(node.pump(1019, publish) == 0);
  node.setClock(1700000000000ULL, 1000);
  CHECK(node.pump(1020, publish) == 1);
  // Sent by age at first: a resend stays so, with the same number.
  CHECK(sent[1].payload == "{\"boot\":\"7-abc\",\"seq\":1,\"age_ms\":1010,\"temperature\":21.5}");
  CHECK(node.pump(3019, publish) == 0);
  CHECK(node.pump(3020, publish) == 1);
  CHECK(node.received("iotflow/devices/esp32_001/ack", "{\"boot\":\"6-abc\",\"seq\":1}", 3030));
  CHECK(node.outbox().size() == 1);
  CHECK(node.received("iotflow/devices/esp32_001/ack", "{\"boot\":\"7-abc\",\"seq\":1,\"level\":\"accepted\"}", 3030));
  CHECK(node.outbox().size() == 0);
  CHECK(node.pump(900000, publish) == 0);
}

static void keepsTheTimeOfASample() {
  Node node(config());
  std::vector<Sent> sent;
  const auto publish = [&](const std::string& topic, const std::string& payload, bool retained) {
    sent.push_back({topic, payload, retained});
    return true;
  };
  CHECK(node.offer(kOne, 1, 500) == Offer::kept);
  node.setClock(1700000001000ULL, 1000);
  node.connected(1000, publish);
  CHECK(sent[0].topic == "iotflow/devices/esp32_001/status/online" && sent[0].retained);
  node.pump(1000, publish);
  node.setClock(1700000009000ULL, 1001);
  node.pump(2000, publish);
  CHECK(sent[1].payload == "{\"boot\":\"7-abc\",\"seq\":1,\"ts\":1700000000500,\"temperature\":21.5}");
  CHECK(sent[2].payload == sent[1].payload);
  node.setClock(5, 1001);
  node.received("iotflow/system/time", "{\"epochMs\":1800000000000}", 1001);
  CHECK(node.offer(kOne, 1, 2000) == Offer::kept);
  node.pump(2000, publish);
  CHECK(sent.back().payload.find("\"ts\":1700000009999,") != std::string::npos);
}

static void boundsWhatItKeeps() {
  Node node(config());
  int sent = 0;
  const auto publish = [&](const std::string&, const std::string&, bool) { return ++sent > 0; };
  const auto refuse = [](const std::string&, const std::string&, bool) { return false; };
  for (int i = 0; i < 4; i++) CHECK(node.offer(kOne, 1, 0) == Offer::kept);
  CHECK(node.pump(0, refuse) == 0);
  CHECK(node.pump(0, publish) == 2);  // the window
  CHECK(node.offer(kOne, 1, 0) == Offer::keptOldestLost);
  CHECK(node.outbox().size() == 4 && node.outbox().overwritten() == 1);
  const std::string rejected = "{\"boot\":\"7-abc\",\"seq\":3,\"level\":\"rejected\",\"reason\":\"bad_value\"}";
  node.received("iotflow/devices/esp32_001/rejected", rejected, 0);
  CHECK(node.outbox().size() == 3 && node.refused() == 1);
  CHECK(node.offer(kOne, 1, 0) == Offer::kept);
  CHECK(node.outbox().overwritten() == 1);
  for (const int seq : {6, 2, 5, 4}) {
    node.received("iotflow/devices/esp32_001/ack", "{\"boot\":\"7-abc\",\"seq\":" + std::to_string(seq) + "}", 0);
  }
  CHECK(node.outbox().size() == 0);
}

static void refusesWhatCannotBeSent() {
  NodeConfig c = config();
  c.maxPacket = 100;
  Node node(c);
  const Reading many[kMaxReadings + 1] = {};
  CHECK(node.offer(many, kMaxReadings + 1, 0) == Offer::tooManyReadings);
  CHECK(node.offer(kOne, 1, 0) == Offer::tooLarge);
  CHECK(node.outbox().size() == 0);
}

static void runsACommandOnce() {
  CommandLog log;
  CHECK(log.isNew("a") && !log.isNew("a") && log.isNew(""));
  for (int i = 0; i < 16; i++) CHECK(log.isNew(std::to_string(i)));
  CHECK(log.isNew("a"));
}

int main() {
  json();
  topics();
  resendsUntilAcknowledged();
  keepsTheTimeOfASample();
  boundsWhatItKeeps();
  refusesWhatCannotBeSent();
  runsACommandOnce();
  std::printf(failures == 0 ? "all checks passed\n" : "%d checks failed\n", failures);
  return failures == 0 ? 0 : 1;
}
