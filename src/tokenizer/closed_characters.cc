#include "tokenizer/closed_characters.h"

#include <algorithm>

#include "base/utf8.h"

namespace sheaf::tokenizer {
namespace {

bool begins_inside_character(const std::string& bytes) {
  return !bytes.empty() && (static_cast<unsigned char>(bytes[0]) & 0xC0) == 0x80;
}

// By id, the first merge that takes a token together with something of the next character or of the
// one before.
struct Crossings {
  std::vector<std::uint32_t> to_next, to_previous;  // ranks

  Crossings(const std::vector<BpeWalk::Merge>& merges, const std::vector<std::string>& strings)
      : to_next(strings.size(), MergeTable::kNoRank), to_previous(to_next) {
    const auto lower = [](std::vector<std::uint32_t>& ranks, std::int32_t id, std::uint32_t rank) {
      std::uint32_t& first = ranks[static_cast<std::size_t>(id)];
      first = std::min(first, rank);
    };
    for (std::uint32_t rank = 0; rank < merges.size(); ++rank) {
      // In well-formed text no byte of this kind follows the end of a character.
      if (begins_inside_character(strings[static_cast<std::size_t>(merges[rank].right)])) continue;
      lower(to_next, merges[rank].left, rank);
      lower(to_previous, merges[rank].right, rank);
    }
  }
};

bool is_closed(std::int32_t id, const BpeWalk& walk, const Crossings& crossings) {
  const std::uint32_t order = walk.origin(id).order;  // one more than the rank
  const auto all_later = [&](std::int32_t part, const std::vector<std::uint32_t>& ranks,
                             std::int32_t BpeWalk::Origin::*next) {
    for (; part >= 0; part = walk.origin(part).*next) {
      if (ranks[static_cast<std::size_t>(part)] < order) return false;
    }
    return true;
  };
  return all_later(id, crossings.to_next, &BpeWalk::Origin::right) &&
         all_later(id, crossings.to_previous, &BpeWalk::Origin::left);
}

}  // namespace

CodePointMap<std::int32_t> closed_characters(const BpeWalk& walk,
                                             const std::vector<BpeWalk::Merge>& merges,
                                             const std::vector<std::string>& strings) {
  const Crossings crossings(merges, strings);
  CodePointMap<std::int32_t> closed(-1);
  for (std::size_t i = 0; i < strings.size(); ++i) {
    const std::string& bytes = strings[i];
    const auto id = static_cast<std::int32_t>(i);
    if (bytes.size() < 2 || bytes.size() > 4 || walk.origin(id).size == 0) continue;
    if (find_invalid_utf8(bytes) != std::string_view::npos || !unicode::is_one_character(bytes))
      continue;
    if (!is_closed(id, walk, crossings)) continue;
    const char* p = bytes.data();
    closed.set(unicode::decode_utf8(p), id);
  }
  return closed;
}

}  // namespace sheaf::tokenizer
