#include "tokenizer/vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

namespace sheaf::tokenizer {
namespace {

// A token, with its first eight bytes as a number, which settles nearly every comparison.
struct SortedToken {
  std::uint64_t head;
  ByteTrie::Entry entry;

  explicit SortedToken(ByteTrie::Entry e) : head(0), entry(e) {
    std::memcpy(&head, e.key.data(), std::min<std::size_t>(e.key.size(), 8));
    if constexpr (std::endian::native == std::endian::little) head = __builtin_bswap64(head);
  }
  friend bool operator<(const SortedToken& a, const SortedToken& b) {
    if (a.head != b.head) return a.head < b.head;
    return a.entry.key < b.entry.key;
  }
};

}  // namespace

Result<Vocabulary> Vocabulary::parse(const JsonField& field) {
  SHEAF_ASSIGN(const simdjson::dom::object object, field.object());
  std::vector<SortedToken> sorted;
  std::vector<Entry> by_id;
  std::string text;
  std::size_t empty_tokens = 0;
  for (const auto& [token, value] : object) {
    std::uint64_t id = 0;
    if (value.get(id) != simdjson::SUCCESS ||
        id > std::uint64_t{std::numeric_limits<std::int32_t>::max()}) {
      return field.error(fmt::format("the id of {} must be a whole number from 0 to 2147483647",
                                     in_quotes(token)));
    }
    by_id.push_back(
        {static_cast<std::int32_t>(id), static_cast<std::uint32_t>(token.size()), text.size()});
    text += token;
    if (token.empty()) {
      // Can never match, but keeps its id.
      if (++empty_tokens > 1) return field.error("\"\" appears twice");
    } else {
      sorted.emplace_back(ByteTrie::Entry{token, static_cast<std::int32_t>(id)});
    }
  }
  std::sort(sorted.begin(), sorted.end());
  std::vector<ByteTrie::Entry> entries;
  entries.reserve(sorted.size());
  for (const SortedToken& token : sorted) {
    if (!entries.empty() && entries.back().key == token.entry.key) {
      return field.error(fmt::format("{} appears twice", in_quotes(token.entry.key)));
    }
    entries.push_back(token.entry);
  }
  const auto smaller_id = [](const Entry& a, const Entry& b) { return a.id < b.id; };
  if (!std::is_sorted(by_id.begin(), by_id.end(), smaller_id)) {
    std::sort(by_id.begin(), by_id.end(), smaller_id);
  }
  const auto twin = std::adjacent_find(by_id.begin(), by_id.end(),
                                       [](const Entry& a, const Entry& b) { return a.id == b.id; });
  if (twin != by_id.end())
    return field.error(fmt::format("the id {} is given to two tokens", twin->id));

  SHEAF_ASSIGN(Vocabulary result, of_sorted(entries, field));
  result.text_ = std::move(text);
  result.by_id_ = std::move(by_id);
  return result;
}

Result<Vocabulary> Vocabulary::of_list(std::span<const std::string_view> tokens,
                                       const JsonField& field) {
  std::vector<SortedToken> sorted;
  std::vector<Entry> by_id;
  std::string text;
  for (const std::string_view token : tokens) {
    const auto id = static_cast<std::int32_t>(by_id.size());
    by_id.push_back({id, static_cast<std::uint32_t>(token.size()), text.size()});
    text += token;
    if (!token.empty()) sorted.emplace_back(ByteTrie::Entry{token, id});
  }
  std::stable_sort(sorted.begin(), sorted.end());
  std::vector<ByteTrie::Entry> entries;
  entries.reserve(sorted.size());
  for (const SortedToken& token : sorted) {
    if (!entries.empty() && entries.back().key == token.entry.key) entries.pop_back();
    entries.push_back(token.entry);
  }
  SHEAF_ASSIGN(Vocabulary result, of_sorted(entries, field));
  result.text_ = std::move(text);
  result.by_id_ = std::move(by_id);
  return result;
}

Result<Vocabulary> Vocabulary::of_sorted(std::span<const ByteTrie::Entry> entries,
                                         const JsonField& field) {
  std::optional<ByteTrie> trie = ByteTrie::build(entries);
  if (!trie) return field.error("is too large: more than 16 million bytes of distinct prefixes");
  return Vocabulary(std::move(*trie));
}

std::optional<std::string_view> Vocabulary::token_of(std::int32_t id) const {
  const auto found =
      std::lower_bound(by_id_.begin(), by_id_.end(), id,
                       [](const Entry& entry, std::int32_t v) { return entry.id < v; });
  if (found == by_id_.end() || found->id != id) return std::nullopt;
  return std::string_view(text_).substr(found->offset, found->size);
}

std::size_t Vocabulary::id_end() const {
  return by_id_.empty() ? 0 : static_cast<std::size_t>(by_id_.back().id) + 1;
}

}  // namespace sheaf::tokenizer
