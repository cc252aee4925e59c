// A DHT22 on an ESP32 that loses no sample while its memory lasts: every one is kept and sent again until the
// server has acknowledged it. For Arduino-ESP32 3.x, PubSubClient 2.8, ArduinoJson 7, DHT sensor library 1.4.
// See docs/esp32.md.
#include <WiFi.h>
#include <PubSubClient.h>
#include <ArduinoJson.h>
#include <DHT.h>
#include <Preferences.h>
#include <Sluice.h>
#include <time.h>
#include <sys/time.h>

const char* ssid = "your-wifi-ssid";
const char* password = "your-wifi-password";
const char* mqtt_server = "your-server-ip";
const uint16_t mqtt_port = 1883;
const char* mqtt_user = "device_001";
const char* mqtt_password = "device_password";
const char* device_id = "esp32_001";

const uint8_t dhtPin = 2;
const uint8_t ledPin = 4;
const uint32_t sampleEveryMs = 30000;
const uint16_t packetBytes = 1024;  // PubSubClient's own limit is 256, header and topic included

WiFiClient network;  // for TLS: NetworkClientSecure, with setCACert() and port 8883
PubSubClient client(network);
DHT dht(dhtPin, DHT22);
sluice::Node* node = nullptr;
sluice::CommandLog commandLog;

// Uptime that does not wrap after 49 days, as millis() does.
uint64_t uptimeMs() { return static_cast<uint64_t>(esp_timer_get_time() / 1000); }

// Differs at every start: a counter in flash, and a random part in case the flash is erased.
std::string newBoot() {
  Preferences memory;
  memory.begin("sluice", false);
  const uint32_t boots = memory.getUInt("boots", 0) + 1;
  memory.putUInt("boots", boots);
  memory.end();
  char boot[32];
  snprintf(boot, sizeof boot, "%lu-%08lx", static_cast<unsigned long>(boots),
           static_cast<unsigned long>(esp_random()));
  return boot;
}

bool publish(const std::string& topic, const std::string& payload, bool retained) {
  return client.publish(topic.c_str(), payload.c_str(), retained);
}

// NTP runs in the background; whatever it says is handed on, so that drift is corrected.
void readClock() {
  timeval now;
  gettimeofday(&now, nullptr);
  const uint64_t epochMs = static_cast<uint64_t>(now.tv_sec) * 1000 + now.tv_usec / 1000;
  node->setClock(epochMs, uptimeMs());  // ignores a clock that is not set yet
}

void sample() {
  const float temperature = dht.readTemperature();
  const float humidity = dht.readHumidity();
  // A failed reading is NaN: it is sent as null, and stored with status "error".
  const sluice::Reading readings[] = {
      sluice::number("temperature", temperature),
      sluice::number("humidity", humidity),
      sluice::number("wifi_rssi", WiFi.RSSI()),
      sluice::number("free_heap", ESP.getFreeHeap()),
      sluice::boolean("led", digitalRead(ledPin) == HIGH),
  };
  switch (node->offer(readings, sizeof readings / sizeof readings[0], uptimeMs())) {
    case sluice::Offer::kept: break;
    case sluice::Offer::keptOldestLost: Serial.println("buffer full: the oldest sample is lost"); break;
    case sluice::Offer::tooManyReadings: Serial.println("too many readings in one sample"); break;
    case sluice::Offer::tooLarge: Serial.println("sample larger than the packet buffer"); break;
  }
}

// {"id":"…","on":true} on commands/led; the answer goes to commands/led/result.
void runCommand(const std::string& type, const std::string& payload) {
  JsonDocument command;
  const bool valid = deserializeJson(command, payload) == DeserializationError::Ok;
  const std::string id = command["id"] | "";
  if (!commandLog.isNew(id)) return;
  const bool known = valid && type == "led";
  if (known) digitalWrite(ledPin, command["on"] | false ? HIGH : LOW);
  JsonDocument result;
  if (!id.empty()) result["id"] = id;
  result["status"] = known ? "done" : "failed";
  if (!known) result["error"] = valid ? "unknown command" : "not JSON";
  std::string text;
  serializeJson(result, text);
  publish(node->topics().result(type), text, false);
}

void onMessage(char* topicBytes, byte* payloadBytes, unsigned int length) {
  // Copied first: PubSubClient reuses its buffer as soon as something is published.
  const std::string topic(topicBytes);
  const std::string payload(reinterpret_cast<char*>(payloadBytes), length);
  if (node->received(topic, payload, uptimeMs())) return;
  const std::string type = node->topics().commandType(topic);
  if (!type.empty()) runCommand(type, payload);
}

// Tries once; loop() goes on sampling in between.
void connectBroker() {
  static uint64_t nextMs = 0;
  static uint32_t waitMs = 1000;
  if (WiFi.status() != WL_CONNECTED || uptimeMs() < nextMs) return;
  const sluice::Topics& topics = node->topics();
  const bool keepSession = true;
  if (!client.connect(device_id, mqtt_user, mqtt_password, topics.lwt().c_str(), 1, true, node->will().c_str(),
                      !keepSession)) {
    Serial.printf("no connection to the broker: state %d\n", client.state());
    nextMs = uptimeMs() + waitMs + esp_random() % 1000;
    waitMs = waitMs < 60000 ? waitMs * 2 : 60000;
    return;
  }
  waitMs = 1000;
  client.subscribe(topics.commands().c_str(), 1);
  client.subscribe(topics.config().c_str(), 1);
  client.subscribe(topics.ack().c_str());
  client.subscribe(topics.rejected().c_str());
  client.subscribe(topics.systemTime().c_str());
  node->connected(uptimeMs(), publish);
}

void setup() {
  Serial.begin(115200);
  pinMode(ledPin, OUTPUT);
  dht.begin();

  sluice::NodeConfig config;
  config.device = device_id;
  config.type = "environmental";
  config.boot = newBoot();
  config.maxPacket = packetBytes;
  config.outbox.capacity = 120;  // an hour of samples, about 40 KB
  node = new sluice::Node(config);

  WiFi.mode(WIFI_STA);
  WiFi.setAutoReconnect(true);
  WiFi.begin(ssid, password);
  configTime(0, 0, "pool.ntp.org", "time.nist.gov");  // UTC

  client.setServer(mqtt_server, mqtt_port);
  client.setCallback(onMessage);
  client.setKeepAlive(30);
  client.setSocketTimeout(5);
  if (!client.setBufferSize(packetBytes)) Serial.println("no memory for the packet buffer");
}

void loop() {
  static uint64_t nextSampleMs = 0;
  readClock();
  if (uptimeMs() >= nextSampleMs) {
    nextSampleMs = uptimeMs() + sampleEveryMs;
    sample();
  }
  if (client.loop()) {
    node->pump(uptimeMs(), publish);
  } else {
    connectBroker();
  }
  delay(10);
}
