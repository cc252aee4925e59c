#include "sample.h"

#include "json.h"

namespace sluice {

std::string buildPayload(const Sample& sample, const std::string& boot, uint64_t nowMs) {
  JsonWriter json;
  json.string("boot", boot);
  json.integer("seq", sample.seq);
  if (sample.byAge) json.integer("age_ms", nowMs - sample.takenMs);
  else json.integer("ts", sample.epochMs);
  for (size_t i = 0; i < sample.count; i++) {
    const Reading& reading = sample.readings[i];
    if (reading.kind == Reading::Kind::boolean) json.boolean(reading.name, reading.value != 0);
    else json.number(reading.name, reading.value);
  }
  return json.finish();
}

size_t publishSize(size_t topicLength, size_t payloadLength) {
  // PubSubClient always reserves five bytes for the fixed header.
  return 5 + 2 + topicLength + payloadLength;
}

}  // namespace sluice
