#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sheaf::replica {

// The replica's command line, `--name value` pairs. Written by programs (the fleet, `sheaf
// embed`), so it is small and strict; people use `sheaf`.
class Flags {
 public:
  static Result<Flags> parse(int argc, char** argv, std::vector<std::string_view> known);

  // Errors name the flag that is missing or no number.
  Result<std::string> text(std::string_view name) const;
  std::string text_or(std::string_view name, const std::string& otherwise) const;
  Result<int> number(std::string_view name) const;  // 0 .. 2^31 - 1
  Result<int> number_or(std::string_view name, int otherwise) const;
  // "0,2,3"; empty if not given.
  Result<std::vector<int>> numbers(std::string_view name) const;

 private:
  const std::string* find(std::string_view name) const;

  struct Flag {
    std::string_view name;
    std::string value;
  };
  std::vector<Flag> flags_;
};

}  // namespace sheaf::replica
