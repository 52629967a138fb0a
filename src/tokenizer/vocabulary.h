#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tokenizer/byte_trie.h"
#include "tokenizer/json_field.h"

namespace sheaf::tokenizer {

// A model's tokens and their ids, both ways. Ids need not be dense. Immutable.
class Vocabulary {
 public:
  // An object from token to id. No token and no id may appear twice.
  static Result<Vocabulary> parse(const JsonField& field);
  // The ids are the indices. A token may appear twice: its text then means the last. Errors name
  // `field`.
  static Result<Vocabulary> of_list(std::span<const std::string_view> tokens,
                                    const JsonField& field);

  std::optional<std::int32_t> id_of(std::string_view token) const { return trie_.find(token); }
  std::optional<std::string_view> token_of(std::int32_t id) const;
  const ByteTrie& trie() const { return trie_; }
  std::size_t size() const { return by_id_.size(); }
  // Calls visit(token, id) in the order of ids.
  template <class Visit>
  void for_each(Visit visit) const {
    for (const Entry& e : by_id_) visit(std::string_view(text_).substr(e.offset, e.size), e.id);
  }
  std::size_t id_end() const;  // one more than the largest id, 0 if empty

 private:
  struct Entry {
    std::int32_t id;
    std::uint32_t size;
    std::size_t offset;  // in text_
  };
  explicit Vocabulary(ByteTrie trie) : trie_(std::move(trie)) {}
  static Result<Vocabulary> of_sorted(std::span<const ByteTrie::Entry> entries,
                                      const JsonField& field);

  std::string text_;  // all tokens, one after the other
  std::vector<Entry> by_id_;
  ByteTrie trie_;
};

}  // namespace sheaf::tokenizer
