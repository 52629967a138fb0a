#include "tokenizer/pattern.h"

namespace sheaf::tokenizer {

Result<Pattern> Pattern::parse(const JsonField& field) {
  SHEAF_ASSIGN(const std::optional<JsonField> text, field.find("String"));
  if (text) {
    SHEAF_ASSIGN(const std::string_view value, text->string());
    return Pattern(What(std::string(value)));
  }
  SHEAF_ASSIGN(const JsonField regex_field, field.get("Regex"));
  SHEAF_ASSIGN(const std::string_view expression, regex_field.string());
  if (const std::optional<WordScanner> scanner = WordScanner::find(expression))
    return Pattern(What(*scanner));
  SHEAF_ASSIGN(Regex regex, Regex::parse(regex_field));
  return Pattern(What(std::move(regex)));
}

Status Pattern::find_matches(std::string_view text, std::vector<Piece>& matches) const {
  if (const WordScanner* words = scanner()) {
    words->split(text, matches);
    return {};
  }
  if (const Regex* regex = std::get_if<Regex>(&what_)) return regex->find_all(text, matches);
  const std::string& wanted = std::get<std::string>(what_);
  if (wanted.empty()) {
    // Matches between any two characters, as an empty expression does.
    for (std::size_t i = 0; i <= text.size(); ++i) {
      if (i == text.size() || (static_cast<unsigned char>(text[i]) & 0xC0) != 0x80)
        matches.push_back({i, i});
    }
    return {};
  }
  for (std::size_t at = text.find(wanted); at != std::string_view::npos;
       at = text.find(wanted, at + wanted.size())) {
    matches.push_back({at, at + wanted.size()});
  }
  return {};
}

Status Pattern::find(std::string_view text, std::vector<Stretch>& stretches) const {
  if (text.empty()) return {};
  std::vector<Piece> matches;
  SHEAF_TRY(find_matches(text, matches));
  std::size_t done = 0;
  for (const Piece& match : matches) {
    if (done < match.begin) stretches.push_back({{done, match.begin}, false});
    stretches.push_back({match, true});
    done = match.end;
  }
  if (done < text.size()) stretches.push_back({{done, text.size()}, false});
  return {};
}

}  // namespace sheaf::tokenizer
