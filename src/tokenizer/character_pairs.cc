#include "tokenizer/character_pairs.h"

#include <string_view>
#include <unordered_map>

#include "base/utf8.h"

namespace sheaf::tokenizer {
namespace {

using Merge = MergeTable::Pair;

std::string_view last_sequence(std::string_view bytes) {
  std::size_t at = bytes.empty() ? 0 : bytes.size() - 1;
  while (at > 0 && (static_cast<unsigned char>(bytes[at]) & 0xC0) == 0x80) --at;
  return bytes.substr(at);
}

// The token of the character at the start of `bytes`; -1 if there is none.
std::int32_t first_character(std::string_view bytes, const CodePointMap<std::int32_t>& characters) {
  if (valid_utf8_sequence(bytes) == 0) return -1;
  const char* p = bytes.data();
  return characters[unicode::decode_utf8(p)];
}

std::int32_t last_character(std::string_view bytes, const CodePointMap<std::int32_t>& characters) {
  const std::string_view last = last_sequence(bytes);
  return valid_utf8_sequence(last) == last.size() ? first_character(last, characters) : -1;
}

void lower(std::uint32_t& rank, std::uint32_t to) { rank = std::min(rank, to); }

// By id, the first merge of which it is a part.
std::vector<std::uint32_t> first_uses(const std::vector<Merge>& merges, std::size_t ids) {
  std::vector<std::uint32_t> uses(ids, MergeTable::kNoRank);
  for (std::uint32_t rank = 0; rank < merges.size(); ++rank) {
    lower(uses[static_cast<std::size_t>(merges[rank].left)], rank);
    lower(uses[static_cast<std::size_t>(merges[rank].right)], rank);
  }
  return uses;
}

}  // namespace

CharacterPairs::CharacterPairs(const std::vector<Merge>& merges,
                               const std::vector<std::string>& strings,
                               const CodePointMap<std::int32_t>& characters,
                               const MergeTable& table)
    : indices_({}, 0) {
  const std::vector<std::uint32_t> uses = first_uses(merges, strings.size());
  const auto string = [&](std::int32_t id) -> std::string_view {
    return strings[static_cast<std::size_t>(id)];
  };
  std::unordered_map<std::uint64_t, std::size_t> found;
  std::vector<Merge> keys;
  for (std::uint32_t rank = 0; rank < merges.size(); ++rank) {
    const Merge& merge = merges[rank];
    // Parts that no merge makes never stand in a text; within the others earlier merges have been.
    const std::int32_t left = last_character(string(merge.left), characters);
    const std::int32_t right = first_character(string(merge.right), characters);
    if (left < 0 || right < 0) continue;
    const std::uint64_t key =
        std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
    const auto [place, is_new] = found.emplace(key, pairs_.size());
    if (is_new) {
      keys.push_back({left, right, 0});
      pairs_.emplace_back();
    }
    Pair& pair = pairs_[place->second];
    if (merge.right == right) lower(pair.before, rank);
    if (merge.left == left) lower(pair.behind, rank);
    if (merge.left == left && merge.right == right &&
        uses[static_cast<std::size_t>(merge.id)] > table.rank_of(left, right)) {
      pair.rank = table.rank_of(left, right);
      pair.id = merge.id;
    }
  }
  pairs_.emplace_back();
  indices_ = MergeTable(keys, strings.size());
}

}  // namespace sheaf::tokenizer
