#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

// How the text of a flag, an environment variable or a key of the configuration file becomes a
// value, and back.
namespace sheaf::cli {

// What the user wrote cannot be: of kind invalid_argument.
Error usage_error(std::string message);

// A variable of a settings struct, seen as text. The variable must outlive the value; what it holds
// when the value is made is the default.
struct FlagValue {
  // Errors say what is wrong with the text, to be put after the flag's name: "is not a number".
  std::function<Status(std::string_view)> set;
  std::function<std::string()> show;
  bool is_switch = false;  // a bare --flag means "true"
  bool is_list = false;    // may be given several times; each call of set() adds
};

FlagValue text(std::string& variable);
FlagValue text(std::optional<std::string>& variable);  // empty until it is set
// A text that `check` takes.
FlagValue checked_text(std::string& variable, Status (*check)(std::string_view));
// Comma-separated, or given several times.
FlagValue text_list(std::vector<std::string>& variable);
FlagValue choice(std::string& variable, std::initializer_list<std::string_view> words);
FlagValue whole_number(std::uint64_t& variable, std::uint64_t min, std::uint64_t max);
FlagValue whole_number(std::uint32_t& variable, std::uint32_t min, std::uint32_t max);
FlagValue number_list(std::vector<std::uint32_t>& variable, std::uint32_t min, std::uint32_t max);
FlagValue positive_real(double& variable);
// true/false, 1/0, on/off, yes/no, enabled/disabled.
FlagValue boolean(bool& variable);
// "300", "300s", "250ms", "5m"; a bare number is seconds.
FlagValue duration(TimeUs& variable);
// "1048576", "32MiB", "1GiB", "64KiB".
FlagValue byte_count(std::uint64_t& variable);

Result<bool> parse_boolean(std::string_view text);
Result<std::uint64_t> parse_whole_number(std::string_view text, std::uint64_t min,
                                         std::uint64_t max);
Result<TimeUs> parse_duration(std::string_view text);
Result<std::uint64_t> parse_byte_count(std::string_view text);

std::string show_duration(TimeUs us);
std::string show_byte_count(std::uint64_t bytes);

}  // namespace sheaf::cli
