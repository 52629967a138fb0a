#include "replica/flags.h"

#include <algorithm>
#include <charconv>

namespace sheaf::replica {
namespace {

Error wrong(std::string message) { return Error{ErrorCode::invalid_argument, std::move(message)}; }

Result<int> parse_number(std::string_view name, std::string_view text) {
  int value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size() || value < 0)
    return wrong("--" + std::string(name) + " wants a number, not '" + std::string(text) + "'");
  return value;
}

}  // namespace

Result<Flags> Flags::parse(int argc, char** argv, std::vector<std::string_view> known) {
  Flags flags;
  for (int i = 0; i < argc; i += 2) {
    const std::string_view argument = argv[i];
    const std::string_view name = argument.substr(std::min<std::size_t>(2, argument.size()));
    const auto match = std::find(known.begin(), known.end(), name);
    if (!argument.starts_with("--") || match == known.end())
      return wrong("unknown flag '" + std::string(argument) + "'");
    if (i + 1 == argc) return wrong(std::string(argument) + " wants a value");
    flags.flags_.push_back({*match, argv[i + 1]});
  }
  return flags;
}

const std::string* Flags::find(std::string_view name) const {
  for (const Flag& flag : flags_)
    if (flag.name == name) return &flag.value;
  return nullptr;
}

Result<std::string> Flags::text(std::string_view name) const {
  if (const std::string* value = find(name)) return *value;
  return wrong("--" + std::string(name) + " is missing");
}

std::string Flags::text_or(std::string_view name, const std::string& otherwise) const {
  const std::string* value = find(name);
  return value == nullptr ? otherwise : *value;
}

Result<int> Flags::number(std::string_view name) const {
  SHEAF_ASSIGN(const std::string value, text(name));
  return parse_number(name, value);
}

Result<int> Flags::number_or(std::string_view name, int otherwise) const {
  const std::string* value = find(name);
  if (value == nullptr) return otherwise;
  return parse_number(name, *value);
}

Result<std::vector<int>> Flags::numbers(std::string_view name) const {
  std::vector<int> all;
  const std::string* value = find(name);
  if (value == nullptr) return all;
  std::string_view rest = *value;
  while (!rest.empty()) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    SHEAF_ASSIGN(const int one, parse_number(name, rest.substr(0, comma)));
    all.push_back(one);
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return all;
}

}  // namespace sheaf::replica
