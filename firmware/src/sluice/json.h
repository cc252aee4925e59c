// The little JSON that a device needs without a library: writing flat objects, reading single members.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

namespace sluice {

// Writes one flat or nested object, member by member. Values that are not finite become null.
class JsonWriter {
 public:
  JsonWriter() { text_.reserve(256); text_ += '{'; }
  void number(const char* name, double value);
  void integer(const char* name, uint64_t value);
  void boolean(const char* name, bool value);
  void null(const char* name);
  void string(const char* name, const std::string& value);
  // Closes the object; the writer is spent afterwards.
  std::string finish();

 private:
  void name(const char* name);
  std::string text_;
};

// The member `name` of the outermost object of `json`, where it is a string without escapes beyond \" and \\.
std::optional<std::string> findString(const std::string& json, const char* name);

// The member `name` of the outermost object of `json`, where it is a whole number from 0 to 2^53.
std::optional<uint64_t> findInteger(const std::string& json, const char* name);

}  // namespace sluice
