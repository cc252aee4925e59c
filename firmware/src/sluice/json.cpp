#include "json.h"

#include <cmath>
#include <cstdio>
#include <cstring>

namespace sluice {
namespace {

void appendQuoted(std::string& out, const char* text, size_t length) {
  out += '"';
  for (size_t i = 0; i < length; i++) {
    const unsigned char c = static_cast<unsigned char>(text[i]);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c < 0x20) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", c);
      out += escaped;
    } else {
      out += static_cast<char>(c);
    }
  }
  out += '"';
}

// Position behind the string that opens at `at`, or npos where it does not end.
size_t skipString(const std::string& json, size_t at) {
  for (size_t i = at + 1; i < json.size(); i++) {
    if (json[i] == '\\') i++;
    else if (json[i] == '"') return i + 1;
  }
  return std::string::npos;
}

size_t skipSpace(const std::string& json, size_t at) {
  while (at < json.size() && std::strchr(" \t\r\n", json[at]) != nullptr) at++;
  return at;
}

// Position of the value of `name` in the outermost object.
size_t findValue(const std::string& json, const char* name) {
  const size_t length = std::strlen(name);
  int depth = 0;
  for (size_t i = 0; i < json.size();) {
    const char c = json[i];
    if (c == '{' || c == '[') depth++;
    if (c == '}' || c == ']') depth--;
    if (c != '"') {
      i++;
      continue;
    }
    const size_t end = skipString(json, i);
    if (end == std::string::npos) return end;
    const size_t colon = skipSpace(json, end);
    const bool isName = depth == 1 && colon < json.size() && json[colon] == ':';
    if (isName && end - i - 2 == length && json.compare(i + 1, length, name) == 0) {
      return skipSpace(json, colon + 1);
    }
    i = end;
  }
  return std::string::npos;
}

}  // namespace

void JsonWriter::name(const char* name) {
  if (text_.size() > 1) text_ += ',';
  appendQuoted(text_, name, std::strlen(name));
  text_ += ':';
}

void JsonWriter::number(const char* member, double value) {
  if (!std::isfinite(value)) return null(member);
  name(member);
  char digits[32];
  std::snprintf(digits, sizeof digits, "%.9g", value);
  text_ += digits;
}

void JsonWriter::integer(const char* member, uint64_t value) {
  name(member);
  text_ += std::to_string(static_cast<unsigned long long>(value));
}

void JsonWriter::boolean(const char* member, bool value) {
  name(member);
  text_ += value ? "true" : "false";
}

void JsonWriter::null(const char* member) {
  name(member);
  text_ += "null";
}

void JsonWriter::string(const char* member, const std::string& value) {
  name(member);
  appendQuoted(text_, value.data(), value.size());
}

std::string JsonWriter::finish() {
  text_ += '}';
  return std::move(text_);
}

std::optional<std::string> findString(const std::string& json, const char* name) {
  const size_t at = findValue(json, name);
  if (at >= json.size() || json[at] != '"') return std::nullopt;
  const size_t end = skipString(json, at);
  if (end == std::string::npos) return std::nullopt;
  std::string value;
  for (size_t i = at + 1; i < end - 1; i++) {
    if (json[i] == '\\') {
      i++;
      if (json[i] != '"' && json[i] != '\\' && json[i] != '/') return std::nullopt;
    }
    value += json[i];
  }
  return value;
}

std::optional<uint64_t> findInteger(const std::string& json, const char* name) {
  size_t at = findValue(json, name);
  if (at >= json.size()) return std::nullopt;
  uint64_t value = 0;
  const size_t start = at;
  for (; at < json.size() && json[at] >= '0' && json[at] <= '9'; at++) {
    value = value * 10 + static_cast<uint64_t>(json[at] - '0');
    if (value > (uint64_t{1} << 53)) return std::nullopt;
  }
  const bool whole = at > start && (at == json.size() || std::strchr(",}] \t\r\n", json[at]) != nullptr);
  return whole ? std::optional<uint64_t>(value) : std::nullopt;
}

}  // namespace sluice
