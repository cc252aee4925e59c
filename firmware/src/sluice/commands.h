// Which commands were carried out already: a retained or resent command must not run twice.
#pragma once
#include <array>
#include <cstddef>
#include <string>

namespace sluice {

class CommandLog {
 public:
  // True the first time an id is seen among the last 16; a command without an id is always new.
  bool isNew(const std::string& id) {
    if (id.empty()) return true;
    for (const std::string& known : ids_) {
      if (known == id) return false;
    }
    ids_[next_++ % ids_.size()] = id;
    return true;
  }

 private:
  std::array<std::string, 16> ids_;
  size_t next_ = 0;
};

}  // namespace sluice
