#include "tokenizer/bpe_walk.h"

#include <algorithm>

namespace sheaf::tokenizer {

std::optional<BpeWalk> BpeWalk::build(const std::array<std::int32_t, 256>& byte_ids,
                                      const std::vector<Merge>& merges,
                                      const std::vector<std::string>& strings,
                                      const MergeTable& table) {
  BpeWalk walk;
  walk.origins_.resize(strings.size());
  for (const std::int32_t id : byte_ids) walk.origins_[static_cast<std::size_t>(id)].size = 1;
  if (!walk.find_origins(merges, table)) return std::nullopt;

  std::vector<ByteTrie::Entry> entries;
  for (std::size_t id = 0; id < strings.size(); ++id) {
    if (walk.origins_[id].size > 0) entries.push_back({strings[id], static_cast<std::int32_t>(id)});
  }
  std::sort(entries.begin(), entries.end(),
            [](const ByteTrie::Entry& a, const ByteTrie::Entry& b) { return a.key < b.key; });
  walk.trie_ = ByteTrie::build(entries);
  if (!walk.trie_) return std::nullopt;
  walk.prefixes_.resize(strings.size());
  for (const ByteTrie::Entry& entry : entries) {
    const ByteTrie::Match match =
        walk.trie_->longest_match(walk.trie_->root(), entry.key.substr(0, entry.key.size() - 1));
    walk.prefixes_[static_cast<std::size_t>(entry.value)] = {
        match.value, static_cast<std::uint32_t>(match.size)};
  }
  return walk;
}

// False if some token may come about by merges whose ranks do not rise.
bool BpeWalk::find_origins(const std::vector<Merge>& merges, const MergeTable& table) {
  const auto origin = [&](std::int32_t id) -> Origin& {
    return origins_[static_cast<std::size_t>(id)];
  };
  std::vector<const Merge*> unclear;
  for (std::uint32_t rank = 0; rank < merges.size(); ++rank) {
    const Merge& merge = merges[rank];
    if (table.find(merge.left, merge.right).rank != rank) continue;  // a later merge replaces it
    if (origin(merge.id).size > 0) continue;  // made by an earlier merge, as it always will be
    const std::uint32_t size = origin(merge.left).size + origin(merge.right).size;
    if (origin(merge.left).size == 0 || origin(merge.right).size == 0) {
      unclear.push_back(&merge);
    } else if (are_apart(merge.left, merge.right, rank, table)) {
      origin(merge.id) = {rank + 1, merge.left, merge.right, size};
    }
  }
  // Parts that never come about do no harm; parts that do, by a later merge, might.
  return std::none_of(unclear.begin(), unclear.end(), [&](const Merge* merge) {
    return origin(merge->id).size == 0 && origin(merge->left).size > 0 &&
           origin(merge->right).size > 0;
  });
}

bool BpeWalk::are_apart(std::int32_t left, std::int32_t right, std::uint32_t limit,
                        const MergeTable& table) const {
  const auto origin = [&](std::int32_t id) { return origins_[static_cast<std::size_t>(id)]; };
  Origin l = origin(left), r = origin(right);
  for (;;) {
    // The pair as it stands before the merges of rank `limit`.
    if (table.find(left, right).rank < limit) return false;
    if (l.order == 0 && r.order == 0) return true;
    // Undo the later merge. At equal ranks the left one was first, and so was a merge across the
    // border before that of the right one.
    if (l.order > r.order) {
      limit = l.order - 1;
      left = l.right;
      l = origin(left);
    } else {
      limit = r.order;
      right = r.left;
      r = origin(right);
    }
  }
}

void BpeWalk::tokenize(std::string_view piece, const MergeTable& table, Borders& borders,
                       std::vector<Token>& tokens) const {
  const std::size_t first = tokens.size();
  // What may come next, and where it would end.
  Token candidate{};
  const auto try_longest = [&](std::size_t begin) {
    const ByteTrie::Match match = trie_->longest_match(trie_->root(), piece.substr(begin));
    candidate = {match.value, static_cast<std::uint32_t>(begin + match.size)};
  };
  borders.assign(piece.size() + 1, true);  // false: no encoding has a border here
  std::size_t at = 0;
  try_longest(at);
  while (at < piece.size()) {
    const bool is_first = tokens.size() == first;
    if (borders[candidate.end] &&
        (is_first || are_apart(tokens.back().id, candidate.id, MergeTable::kNoRank, table))) {
      tokens.push_back(candidate);
      at = candidate.end;
      if (at < piece.size()) try_longest(at);
      continue;
    }
    if (const Prefix prefix = prefixes_[static_cast<std::size_t>(candidate.id)]; prefix.id >= 0) {
      candidate = {prefix.id, static_cast<std::uint32_t>(at) + prefix.size};
    } else {
      // Stuck: the last token was wrong. There is one, since every text has an encoding.
      borders[at] = false;
      candidate = tokens.back();
      tokens.pop_back();
      at = tokens.size() == first ? 0 : tokens.back().end;
    }
  }
}

}  // namespace sheaf::tokenizer
