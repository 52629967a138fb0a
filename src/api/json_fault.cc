#include "api/json_fault.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/text_place.h"

namespace sheaf::api {
namespace {

using nlohmann::json;

constexpr std::size_t kBytesMax = std::size_t{1} << 20;

// Takes what is JSON for granted.
struct FaultFinder : nlohmann::json_sax<json> {
  std::optional<std::size_t> place;  // a byte, from 0

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return true; }
  bool key(string_t&) override { return true; }
  bool end_object() override { return true; }
  bool start_array(std::size_t) override { return true; }
  bool end_array() override { return true; }
  // A text or number that is not expected there is at fault from its beginning, anything else at
  // the last byte that was read. Only the message tells them apart.
  bool parse_error(std::size_t bytes_read, const std::string& token,
                   const nlohmann::detail::exception& error) override {
    const std::string_view message = error.what();
    const bool whole = message.find("unexpected string literal") != message.npos ||
                       message.find("unexpected number literal") != message.npos;
    const std::size_t behind = whole ? token.size() : 1;
    place = bytes_read - std::min(behind, bytes_read);
    return false;
  }
};

}  // namespace

std::string place_of_json_fault(std::string_view body) {
  if (body.size() > kBytesMax) return "";
  FaultFinder finder;
  json::sax_parse(body, &finder);
  return finder.place ? ", " + line_and_column(body, *finder.place) : "";
}

}  // namespace sheaf::api
