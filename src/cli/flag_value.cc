#include "cli/flag_value.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <span>

namespace sheaf::cli {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};
// Largest first: show_…() takes the first that divides.
constexpr Unit kTimeUnits[] = {{"m", 60'000'000}, {"s", 1'000'000}, {"ms", 1'000}, {"us", 1}};
constexpr Unit kByteUnits[] = {{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}};

// "<number><unit>", the unit one of `units`, or `bare` where there is none.
Result<std::uint64_t> parse_quantity(std::string_view text, std::span<const Unit> units,
                                     std::uint64_t bare, std::string_view example) {
  const Error wrong = usage_error(fmt::format("'{}' is not like {}", text, example));
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || !std::isfinite(number) || number < 0) return wrong;
  const std::string_view name(end, static_cast<std::size_t>(text.data() + text.size() - end));
  std::uint64_t factor = name.empty() ? bare : 0;
  for (const Unit& unit : units)
    if (unit.name == name) factor = unit.factor;
  const double quantity = number * static_cast<double>(factor);
  if (factor == 0 || quantity > 9e15) return wrong;
  return static_cast<std::uint64_t>(std::llround(quantity));
}

std::string show_quantity(std::uint64_t quantity, std::span<const Unit> units) {
  for (const Unit& unit : units)
    if (quantity >= unit.factor && quantity % unit.factor == 0)
      return fmt::format("{}{}", quantity / unit.factor, unit.name);
  return fmt::format("0{}", units.back().name);
}

std::vector<std::string_view> split_commas(std::string_view text) {
  std::vector<std::string_view> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    if (end > begin) parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

// A value whose text is parsed by `parse` and shown by `show`.
template <class T, class Parse, class Show>
FlagValue scalar(T& variable, Parse parse, Show show) {
  return {.set = [&variable, parse](std::string_view text) -> Status {
            SHEAF_ASSIGN(const auto value, parse(text));
            variable = static_cast<T>(value);
            return {};
          },
          .show = [&variable, show] { return show(variable); }};
}

template <class T>
FlagValue bounded_number(T& variable, T min, T max) {
  return scalar(
      variable, [min, max](std::string_view text) { return parse_whole_number(text, min, max); },
      [](T value) { return fmt::format("{}", value); });
}

}  // namespace

Error usage_error(std::string message) {
  return Error{ErrorCode::invalid_argument, std::move(message)};
}

Result<bool> parse_boolean(std::string_view text) {
  for (std::string_view word : {"true", "1", "on", "yes", "enabled"})
    if (text == word) return true;
  for (std::string_view word : {"false", "0", "off", "no", "disabled"})
    if (text == word) return false;
  return usage_error(fmt::format("'{}' is not true or false", text));
}

Result<std::uint64_t> parse_whole_number(std::string_view text, std::uint64_t min,
                                         std::uint64_t max) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc{} && end == text.data() + text.size() && number >= min && number <= max)
    return number;
  if (max == std::numeric_limits<std::uint64_t>::max())
    return usage_error(fmt::format("'{}' is not a whole number of at least {}", text, min));
  return usage_error(fmt::format("'{}' is not a whole number from {} to {}", text, min, max));
}

Result<TimeUs> parse_duration(std::string_view text) {
  SHEAF_ASSIGN(const std::uint64_t us,
               parse_quantity(text, kTimeUnits, 1'000'000, "30s, 250ms or 5m"));
  return static_cast<TimeUs>(us);
}

Result<std::uint64_t> parse_byte_count(std::string_view text) {
  return parse_quantity(text, kByteUnits, 1, "32MiB, 64KiB or a number of bytes");
}

std::string show_duration(TimeUs us) {
  return show_quantity(static_cast<std::uint64_t>(us), kTimeUnits);
}
std::string show_byte_count(std::uint64_t bytes) { return show_quantity(bytes, kByteUnits); }

FlagValue text(std::string& variable) {
  return scalar(
      variable, [](std::string_view text) -> Result<std::string> { return std::string(text); },
      [](const std::string& value) { return value; });
}

FlagValue text(std::optional<std::string>& variable) {
  return scalar(
      variable, [](std::string_view text) -> Result<std::string> { return std::string(text); },
      [](const std::optional<std::string>& value) { return value.value_or(""); });
}

FlagValue checked_text(std::string& variable, Status (*check)(std::string_view)) {
  return {.set = [&variable, check](std::string_view text) -> Status {
            SHEAF_TRY(check(text));
            variable = text;
            return {};
          },
          .show = [&variable] { return variable; }};
}

FlagValue text_list(std::vector<std::string>& variable) {
  return {.set = [&variable](std::string_view text) -> Status {
            for (std::string_view part : split_commas(text)) variable.emplace_back(part);
            return {};
          },
          .show = [&variable] { return fmt::format("{}", fmt::join(variable, ",")); },
          .is_list = true};
}

FlagValue choice(std::string& variable, std::initializer_list<std::string_view> words) {
  return scalar(
      variable,
      [allowed = std::vector(words)](std::string_view text) -> Result<std::string> {
        if (std::find(allowed.begin(), allowed.end(), text) != allowed.end())
          return std::string(text);
        return usage_error(fmt::format("'{}' is not one of {}", text, fmt::join(allowed, ", ")));
      },
      [](const std::string& value) { return value; });
}

FlagValue whole_number(std::uint64_t& variable, std::uint64_t min, std::uint64_t max) {
  return bounded_number(variable, min, max);
}
FlagValue whole_number(std::uint32_t& variable, std::uint32_t min, std::uint32_t max) {
  return bounded_number(variable, min, max);
}

FlagValue number_list(std::vector<std::uint32_t>& variable, std::uint32_t min, std::uint32_t max) {
  return {.set = [&variable, min, max](std::string_view text) -> Status {
            std::vector<std::uint32_t> numbers;
            for (std::string_view part : split_commas(text)) {
              SHEAF_ASSIGN(const std::uint64_t number, parse_whole_number(part, min, max));
              numbers.push_back(static_cast<std::uint32_t>(number));
            }
            if (numbers.empty()) return usage_error("names no number");
            variable = std::move(numbers);
            return {};
          },
          .show = [&variable] { return fmt::format("{}", fmt::join(variable, ",")); }};
}

FlagValue positive_real(double& variable) {
  return scalar(
      variable,
      [](std::string_view text) -> Result<double> {
        double number = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
        if (error == std::errc{} && end == text.data() + text.size() && std::isfinite(number) &&
            number > 0)
          return number;
        return usage_error(fmt::format("'{}' is not a number above 0", text));
      },
      [](double value) { return fmt::format("{}", value); });
}

FlagValue boolean(bool& variable) {
  FlagValue value =
      scalar(variable, parse_boolean, [](bool value) { return value ? "true" : "false"; });
  value.is_switch = true;
  return value;
}

FlagValue duration(TimeUs& variable) { return scalar(variable, parse_duration, show_duration); }

FlagValue byte_count(std::uint64_t& variable) {
  return scalar(variable, parse_byte_count, show_byte_count);
}

}  // namespace sheaf::cli
