#include "tokenizer/bpe_walk.h"

#include <algorithm>

namespace sheaf::tokenizer {

std::optional<BpeWalk> BpeWalk::build(std::span<const std::int32_t> atoms,
                                      const std::vector<Merge>& merges,
                                      const std::vector<std::string>& strings,
                                      const MergeTable& table) {
  BpeWalk walk;
  walk.origins_.resize(strings.size());
  for (const std::int32_t atom : atoms) {
    const auto id = static_cast<std::size_t>(atom);
    walk.origins_[id].size = static_cast<std::uint32_t>(strings[id].size());
  }
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
  std::vector<const Merge*> unclear;
  for (std::uint32_t rank = 0; rank < merges.size(); ++rank) {
    const Merge& merge = merges[rank];
    if (table.rank_of(merge.left, merge.right) != rank) continue;  // a later merge replaces it
    if (origin(merge.id).size > 0) continue;  // made by an earlier merge, as it always will be
    const std::uint32_t size = origin(merge.left).size + origin(merge.right).size;
    if (origin(merge.left).size == 0 || origin(merge.right).size == 0) {
      unclear.push_back(&merge);
    } else if (are_apart(merge.left, merge.right, rank, table)) {
      origins_[static_cast<std::size_t>(merge.id)] = {rank + 1, merge.left, merge.right, size};
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
  Origin l = origin(left), r = origin(right);
  for (;;) {
    // The pair as it stands before the merges of rank `limit`.
    if (table.rank_of(left, right) < limit) return false;
    if (l.order == 0 && r.order == 0) return true;
    // Undo the later merge. At equal ranks the left one was first, and so was a merge across the
    // border before that of the right one. Which one it is no processor can guess: no branches.
    const bool is_left = l.order > r.order;
    limit = is_left ? l.order - 1 : r.order;
    const std::int32_t part = is_left ? l.right : r.left;
    const Origin& of_part = origin(part);
    left = is_left ? part : left;
    l.order = is_left ? of_part.order : l.order;
    l.right = is_left ? of_part.right : l.right;
    right = is_left ? right : part;
    r.order = is_left ? r.order : of_part.order;
    r.left = is_left ? r.left : of_part.left;
  }
}

void BpeWalk::tokenize(std::string_view text, std::size_t begin, const MergeTable& table,
                       Borders& borders, std::vector<Token>& tokens) const {
  const std::size_t first = tokens.size();
  // What may come next, and where it would end.
  Token candidate{};
  const auto try_longest = [&](std::size_t at) {
    const ByteTrie::Match match = trie_->longest_match(trie_->root(), text.substr(at));
    candidate = {match.value, static_cast<std::uint32_t>(at + match.size)};
  };
  borders.assign(text.size() - begin + 1, true);  // false: no encoding has a border here
  std::size_t at = begin;
  try_longest(at);
  while (at < text.size()) {
    const bool is_first = tokens.size() == first;
    if (borders[candidate.end - begin] &&
        (is_first || are_compatible(tokens.back().id, candidate.id, table))) {
      tokens.push_back(candidate);
      at = candidate.end;
      if (at < text.size()) try_longest(at);
      continue;
    }
    if (const Prefix prefix = prefixes_[static_cast<std::size_t>(candidate.id)]; prefix.id >= 0) {
      candidate = {prefix.id, static_cast<std::uint32_t>(at) + prefix.size};
    } else {
      // Stuck: the last token was wrong. There is one, since every text has an encoding.
      borders[at - begin] = false;
      candidate = tokens.back();
      tokens.pop_back();
      at = tokens.size() == first ? begin : tokens.back().end;
    }
  }
}

}  // namespace sheaf::tokenizer
