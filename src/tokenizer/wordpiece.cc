#include "tokenizer/wordpiece.h"

#include <fmt/format.h>

#include <algorithm>

namespace sheaf::tokenizer {

Result<std::unique_ptr<const Model>> WordPiece::parse(const JsonField& field) {
  SHEAF_ASSIGN(const JsonField vocabulary_field, field.get("vocab"));
  SHEAF_ASSIGN(Vocabulary vocabulary, Vocabulary::parse(vocabulary_field));
  SHEAF_ASSIGN(const JsonField unknown_field, field.get("unk_token"));
  SHEAF_ASSIGN(const std::string_view unknown, unknown_field.string());
  const std::optional<std::int32_t> unknown_id = vocabulary.id_of(unknown);
  if (!unknown_id)
    return unknown_field.error(fmt::format("{} is not in model.vocab", in_quotes(unknown)));
  SHEAF_ASSIGN(const std::string_view prefix, field.string("continuing_subword_prefix"));
  SHEAF_ASSIGN(const JsonField limit_field, field.get("max_input_chars_per_word"));
  SHEAF_ASSIGN(const std::uint64_t limit, limit_field.size());

  std::unique_ptr<WordPiece> model(new WordPiece(std::move(vocabulary)));
  model->continuation_ = model->vocabulary_.trie().after(prefix);
  model->unknown_id_ = *unknown_id;
  model->word_characters_max_ = limit;
  return std::unique_ptr<const Model>(std::move(model));
}

bool WordPiece::is_too_long(std::string_view word) const {
  if (word.size() <= word_characters_max_) return false;
  const auto characters =
      static_cast<std::size_t>(std::count_if(word.begin(), word.end(), [](char c) {
        return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
      }));
  return characters > word_characters_max_;
}

template <class Emit>
bool WordPiece::match(std::string_view word, Emit emit) const {
  if (is_too_long(word)) return false;
  const ByteTrie& trie = vocabulary_.trie();
  ByteTrie::Node from = trie.root();
  for (std::size_t begin = 0; begin < word.size();) {
    // Both are well-formed UTF-8, so a match ends where a character does.
    const ByteTrie::Match found = trie.longest_match(from, word.substr(begin));
    if (found.value < 0) return false;
    emit(found.value, begin, begin + found.size);
    begin += found.size;
    from = continuation_;
  }
  return true;
}

void WordPiece::encode(std::string_view text, std::span<const Piece> pieces,
                       std::vector<std::int32_t>& ids) const {
  for (const Piece& piece : pieces) {
    const std::size_t before = ids.size();
    const auto emit = [&](std::int32_t id, std::size_t, std::size_t) { ids.push_back(id); };
    if (match(piece.of(text), emit)) continue;
    ids.resize(before);
    ids.push_back(unknown_id_);
  }
}

void WordPiece::encode_placed(std::string_view text, std::span<const Piece> pieces,
                              std::vector<PlacedId>& ids) const {
  for (const Piece& piece : pieces) {
    const std::size_t before = ids.size();
    const auto emit = [&](std::int32_t id, std::size_t begin, std::size_t end) {
      ids.push_back({id, {piece.begin + begin, piece.begin + end}});
    };
    if (match(piece.of(text), emit)) continue;
    ids.resize(before);
    ids.push_back({unknown_id_, piece});
  }
}

}  // namespace sheaf::tokenizer
