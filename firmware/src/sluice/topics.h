// Topics of one device; the same names as packages/shared-types/src/topics.ts.
#pragma once
#include <string>

namespace sluice {

struct Topics {
  std::string root;
  std::string device;

  std::string telemetry(const std::string& type) const { return own("/telemetry/" + type); }
  std::string status(const std::string& type) const { return own("/status/" + type); }
  std::string ack() const { return own("/ack"); }
  std::string rejected() const { return own("/rejected"); }
  std::string config() const { return own("/config"); }
  std::string commands() const { return own("/commands/+"); }
  std::string result(const std::string& type) const { return own("/commands/" + type + "/result"); }
  std::string lwt() const { return root + "/lwt/devices/" + device; }
  std::string systemTime() const { return root + "/system/time"; }

  // The command's type where `topic` is one of ours; empty otherwise.
  std::string commandType(const std::string& topic) const {
    const std::string prefix = own("/commands/");
    if (topic.compare(0, prefix.size(), prefix) != 0) return "";
    const std::string type = topic.substr(prefix.size());
    return type.find('/') == std::string::npos ? type : "";
  }

 private:
  std::string own(const std::string& rest) const { return root + "/devices/" + device + rest; }
};

}  // namespace sluice
