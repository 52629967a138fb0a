#include "tokenizer/added_tokens.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <unordered_set>

#include "tokenizer/unicode.h"

namespace sheaf::tokenizer {
namespace {

// Some value that two of `tokens` share.
template <class Value>
std::optional<Value> shared_value(const std::vector<AddedToken>& tokens,
                                  Value (*value)(const AddedToken&)) {
  std::set<Value> seen;
  for (const AddedToken& token : tokens) {
    if (!seen.insert(value(token)).second) return value(token);
  }
  return std::nullopt;
}

bool is_single_word(std::string_view text, std::size_t begin, std::size_t end) {
  return !unicode::ends_with_word(text.substr(0, begin)) &&
         !unicode::starts_with_word(text.substr(end));
}

}  // namespace

Result<AddedToken> AddedTokens::parse_token(const JsonField& field) {
  AddedToken token;
  SHEAF_ASSIGN(token.content, field.string("content"));
  SHEAF_ASSIGN(const JsonField id_field, field.get("id"));
  SHEAF_ASSIGN(token.id, id_field.token_id());
  SHEAF_ASSIGN(token.special, field.boolean("special"));
  SHEAF_ASSIGN(token.single_word, field.boolean("single_word"));
  SHEAF_ASSIGN(token.lstrip, field.boolean("lstrip"));
  SHEAF_ASSIGN(token.rstrip, field.boolean("rstrip"));
  SHEAF_ASSIGN(token.normalized, field.boolean("normalized"));
  return token;
}

Status AddedTokens::check_twins(const JsonField& field) const {
  const auto id =
      shared_value<std::int32_t>(tokens_, [](const AddedToken& token) { return token.id; });
  if (id) return field.error(fmt::format("the id {} is given to two tokens", *id));
  const auto content = shared_value<std::string_view>(
      tokens_, [](const AddedToken& token) { return std::string_view(token.content); });
  if (content) return field.error(fmt::format("{} appears twice", in_quotes(*content)));
  return {};
}

Result<AddedTokens> AddedTokens::parse(const JsonField& field, const Vocabulary& vocabulary,
                                       const Normalizer* normalizer) {
  AddedTokens result;
  SHEAF_ASSIGN(const std::vector<JsonField> items, field.array());
  for (const JsonField& item : items) {
    SHEAF_ASSIGN(AddedToken token, parse_token(item));
    result.tokens_.push_back(std::move(token));
  }
  SHEAF_TRY(result.check_twins(field));
  std::erase_if(result.tokens_, [](const AddedToken& token) { return token.content.empty(); });

  auto next_id = static_cast<std::int32_t>(vocabulary.size());
  std::unordered_set<std::string_view> special;
  TextBuffer normalized;
  for (AddedToken& token : result.tokens_) {
    const std::optional<std::int32_t> known = vocabulary.id_of(token.content);
    token.id = known ? *known : next_id++;
    token.shown = token.content;
    if (token.special) special.insert(token.content);
    if (!token.normalized || normalizer == nullptr) continue;
    normalizer->normalize(token.content, normalized);
    token.shown = normalized.view();
    if (token.shown.empty()) {
      return field.error(
          fmt::format("nothing is left of {} once normalized", in_quotes(token.content)));
    }
  }
  for (AddedToken& token : result.tokens_) token.skipped = special.contains(token.shown);
  // The ids given here may meet those of a vocabulary with holes.
  SHEAF_TRY(result.check_twins(field));
  std::sort(result.tokens_.begin(), result.tokens_.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  if (!result.raw_.build(result.tokens_, false) ||
      !result.normalized_.build(result.tokens_, true)) {
    return field.error("two tokens are the same once normalized, or all are too long");
  }
  return result;
}

// False if two tokens look the same, or if they are too long for a trie.
bool AddedTokens::Finder::build(const std::vector<AddedToken>& tokens, bool normalized) {
  std::vector<ByteTrie::Entry> entries;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i].normalized == normalized)
      entries.push_back({tokens[i].shown, static_cast<std::int32_t>(i)});
  }
  if (entries.empty()) return true;
  std::sort(entries.begin(), entries.end(),
            [](const ByteTrie::Entry& a, const ByteTrie::Entry& b) { return a.key < b.key; });
  const auto twin = std::adjacent_find(
      entries.begin(), entries.end(),
      [](const ByteTrie::Entry& a, const ByteTrie::Entry& b) { return a.key == b.key; });
  if (twin != entries.end()) return false;
  for (const ByteTrie::Entry& entry : entries)
    is_first_[static_cast<unsigned char>(entry.key[0])] = true;
  if (std::count(is_first_.begin(), is_first_.end(), true) == 1) {
    only_first_ = static_cast<unsigned char>(entries[0].key[0]);
  }
  trie_ = ByteTrie::build(entries);
  return trie_.has_value();
}

std::size_t AddedTokens::Finder::next_candidate(std::string_view text, std::size_t from) const {
  if (from >= text.size()) return std::string_view::npos;
  if (only_first_ >= 0) return text.find(static_cast<char>(only_first_), from);
  while (from < text.size() && !is_first_[static_cast<unsigned char>(text[from])]) ++from;
  return from < text.size() ? from : std::string_view::npos;
}

std::optional<AddedTokens::Finder::Match> AddedTokens::Finder::next(
    std::string_view text, std::size_t from, const std::vector<AddedToken>& tokens) const {
  if (!trie_) return std::nullopt;
  for (;;) {
    from = next_candidate(text, from);
    if (from == std::string_view::npos) return std::nullopt;
    const ByteTrie::Match match = trie_->longest_match(trie_->root(), text.substr(from));
    if (match.value >= 0) {
      return Match{from, from + match.size, &tokens[static_cast<std::size_t>(match.value)]};
    }
    ++from;
  }
}

void AddedTokens::split(std::string_view text, const Finder& finder,
                        std::vector<Segment>& segments) const {
  std::size_t done = 0;  // text before this is in `segments`
  std::size_t at =
      0;  // where to look on: behind the match, not behind the white space it swallowed
  while (const auto match = finder.next(text, at, tokens_)) {
    at = match->end;
    const AddedToken& token = *match->token;
    if (token.single_word && !is_single_word(text, match->begin, match->end)) continue;
    Piece place{match->begin, match->end};
    if (token.lstrip) {
      place.begin = std::max(unicode::trailing_space_start(text.substr(0, match->begin)), done);
    }
    if (token.rstrip) place.end += unicode::leading_space_size(text.substr(match->end));
    if (place.begin >= place.end) continue;
    if (done < place.begin) segments.push_back({{done, place.begin}});
    segments.push_back({place, token.id});
    done = place.end;
  }
  if (done < text.size()) segments.push_back({{done, text.size()}});
}

const AddedToken* AddedTokens::find(std::int32_t id) const {
  const auto found =
      std::lower_bound(tokens_.begin(), tokens_.end(), id,
                       [](const AddedToken& token, std::int32_t v) { return token.id < v; });
  return found != tokens_.end() && found->id == id ? &*found : nullptr;
}

const AddedToken* AddedTokens::find(std::string_view content) const {
  const auto found = std::find_if(tokens_.begin(), tokens_.end(), [&](const AddedToken& token) {
    return token.content == content;
  });
  return found != tokens_.end() ? &*found : nullptr;
}

std::size_t AddedTokens::id_end() const {
  return tokens_.empty() ? 0 : static_cast<std::size_t>(tokens_.back().id) + 1;
}

}  // namespace sheaf::tokenizer
