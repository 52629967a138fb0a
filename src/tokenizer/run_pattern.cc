#include "tokenizer/run_pattern.h"

#include <fmt/format.h>

#include <charconv>

#include "tokenizer/unicode.h"

namespace sheaf::tokenizer {
namespace {

constexpr std::string_view kWhiteRuns = R"(\s{2,}|[\n\r\t])";

// The first white space in text[from, end) that is more than one character, or none but a line end
// or a tab; as much as there is.
std::optional<Piece> find_white(std::string_view text, std::size_t from) {
  while (from < text.size()) {
    const std::size_t run = unicode::leading_space_size(text.substr(from));
    const char* next = text.data() + from;
    unicode::decode_utf8(next);
    const auto second = static_cast<std::size_t>(next - text.data());
    const bool control = text[from] == '\n' || text[from] == '\r' || text[from] == '\t';
    if (run > 0 && (from + run > second || control)) return Piece{from, from + run};
    from = second;
  }
  return std::nullopt;
}

struct Repeated {
  std::string_view unit;
  std::size_t count;
};

// "+" means 1, "{N,}" means N.
std::optional<std::size_t> parse_quantifier(std::string_view text) {
  if (text == "+") return 1;
  if (!text.starts_with('{') || !text.ends_with(",}")) return std::nullopt;
  text = text.substr(1, text.size() - 3);
  std::size_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  // More than a thousand is no pattern that anybody means.
  if (!whole || count == 0 || count > 1000) return std::nullopt;
  return count;
}

std::optional<Repeated> parse_regex(std::string_view regex) {
  if (regex.empty()) return std::nullopt;
  const char* end = regex.data();
  unicode::decode_utf8(end);
  const auto size = static_cast<std::size_t>(end - regex.data());
  const std::string_view unit = regex.substr(0, size);
  if (std::string_view("\\^$.|?*+()[]{}").find(unit) != std::string_view::npos) return std::nullopt;
  const std::optional<std::size_t> count = parse_quantifier(regex.substr(size));
  if (!count) return std::nullopt;
  return Repeated{unit, *count};
}

}  // namespace

Result<RunPattern> RunPattern::parse(const JsonField& field) {
  RunPattern result;
  SHEAF_ASSIGN(const std::optional<JsonField> text, field.find("String"));
  if (text) {
    SHEAF_ASSIGN(result.unit_, text->string());
    if (result.unit_.empty()) return text->error("is empty");
    return result;
  }
  SHEAF_ASSIGN(const JsonField regex_field, field.get("Regex"));
  SHEAF_ASSIGN(const std::string_view regex, regex_field.string());
  if (regex == kWhiteRuns) {
    result.white_ = true;
    return result;
  }
  const std::optional<Repeated> repeated = parse_regex(regex);
  if (!repeated) {
    Error error = regex_field.error(
        fmt::format("{} is not supported (known: one character and \"+\" or \"{{N,}}\", and {})",
                    in_quotes(regex), in_quotes(kWhiteRuns)));
    error.code = ErrorCode::unsupported;
    return error;
  }
  result.unit_ = repeated->unit;
  result.count_ = repeated->count;
  result.greedy_ = true;
  return result;
}

std::optional<Piece> RunPattern::find(std::string_view text, std::size_t from) const {
  if (white_) return find_white(text, from);
  for (;;) {
    const std::size_t begin = text.find(unit_, from);
    if (begin == std::string_view::npos) return std::nullopt;
    std::size_t count = 1;
    const auto end = [&] { return begin + count * unit_.size(); };
    while ((count < count_ || greedy_) && text.substr(end()).starts_with(unit_)) ++count;
    if (count >= count_) return Piece{begin, end()};
    from = end();
  }
}

}  // namespace sheaf::tokenizer
