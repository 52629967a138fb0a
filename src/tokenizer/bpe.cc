#include "tokenizer/bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/utf8.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/closed_characters.h"

namespace sheaf::tokenizer {

// What the pieces of one thread need, kept between them.
struct Bpe::Workspace {
  std::vector<Symbol> symbols;
  void append(std::int32_t id, std::uint32_t size) {
    symbols.push_back({id, size + (symbols.empty() ? 0 : symbols.back().end)});
  }
  BpeMerger merger;
  BpeWindows windows;
};

// Tokens of short pieces that came up lately: most words of a text repeat. Measured with 6,000
// merges and a walk, whole texts are encoded 14 % (English) to 6 % (Chinese) faster with it than
// without. One a thread, of a fixed size (512 KiB), for all models; a newcomer takes the place of
// whatever has the same hash.
class Bpe::Cache {
 public:
  static constexpr std::size_t kBytesMax = 24;
  static constexpr std::size_t kIdsMax = 6;
  struct alignas(64) Entry {
    std::array<std::uint64_t, 3> piece = {};  // filled up with zeros
    std::uint64_t model = 0;                  // no model has this serial number
    std::uint8_t size = 0;                    // of the piece, in bytes
    std::uint8_t count = 0;
    std::int32_t ids[kIdsMax] = {};
  };

  Cache() : entries_(kEntries) {}

  // The entry where `piece` is or shall be, and whether it is there.
  std::pair<Entry*, bool> find(std::string_view piece, std::uint64_t model) {
    std::array<std::uint64_t, 3> words = {};
    std::memcpy(words.data(), piece.data(), piece.size());
    std::uint64_t hash = (words[0] ^ words[1] * kFactor ^ words[2] * (kFactor + 2)) * kFactor;
    Entry& entry = entries_[(hash ^ hash >> 32) * kFactor >> (64 - kEntriesLog2)];
    const bool is_same = entry.piece[0] == words[0] && entry.piece[1] == words[1] &&
                         entry.piece[2] == words[2];  // faster than ==, which is memcmp
    if (is_same && entry.size == piece.size() && entry.model == model) return {&entry, true};
    entry = {words, model, static_cast<std::uint8_t>(piece.size())};
    return {&entry, false};
  }
  static void forget(Entry& entry) { entry.model = 0; }

 private:
  static constexpr int kEntriesLog2 = 13;
  static constexpr std::size_t kEntries = std::size_t{1} << kEntriesLog2;
  static constexpr std::uint64_t kFactor = 0x9E3779B97F4A7C15;

  std::vector<Entry> entries_;
};

namespace {

// Positions are 32-bit numbers.
constexpr std::size_t kPieceBytesMax = 0xFFFFFFF0;
constexpr std::size_t kKeptSymbolsMax = 1 << 16;
constexpr std::string_view kSpaceMark = "\u2581";  // SentencePiece's

// Of the word that begins at `begin`: the next mark of a space behind other characters.
std::size_t word_end(std::string_view text, std::size_t begin) {
  std::size_t at = begin;
  while (text.substr(at).starts_with(kSpaceMark)) at += kSpaceMark.size();
  return std::min(text.find(kSpaceMark, at), text.size());
}

Result<bool> flag(const JsonField& field, std::string_view name) {
  SHEAF_ASSIGN(const std::optional<JsonField> found, field.find(name));
  return found ? found->boolean() : Result<bool>(false);
}

// An empty text says the same as null does.
Status refuse_text(const JsonField& field, std::string_view name) {
  SHEAF_ASSIGN(const std::optional<JsonField> found, field.find(name));
  if (!found) return {};
  SHEAF_ASSIGN(const std::string_view text, found->string());
  if (text.empty()) return {};
  return Error{
      ErrorCode::unsupported,
      found->error(fmt::format("{} is not supported, only null", in_quotes(text))).message};
}

Status refuse_dropout(const JsonField& field) {
  SHEAF_ASSIGN(const std::optional<JsonField> dropout, field.find("dropout"));
  if (!dropout) return {};
  const Result<double> value = dropout->number();
  if (!value.ok()) return value.error();
  if (*value == 0) return {};
  return Error{ErrorCode::unsupported,
               dropout->error(fmt::format("{} is not supported, only null or 0", *value)).message};
}

struct MergeText {
  std::string_view left, right;
};

// Both forms: "a b" of older files, ["a", "b"] of newer ones.
std::optional<MergeText> merge_text(simdjson::dom::element item) {
  std::string_view text;
  if (item.get(text) == simdjson::SUCCESS) {
    const std::size_t space = text.find(' ');
    if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos)
      return std::nullopt;
    return MergeText{text.substr(0, space), text.substr(space + 1)};
  }
  simdjson::dom::array pair;
  MergeText merge;
  if (item.get(pair) != simdjson::SUCCESS || pair.size() != 2 ||
      pair.at(0).get(merge.left) != simdjson::SUCCESS ||
      pair.at(1).get(merge.right) != simdjson::SUCCESS) {
    return std::nullopt;
  }
  return merge;
}

// Merge files began with such a line, and old tokenizer.json have it still.
bool is_version_line(simdjson::dom::element item) {
  std::string_view text;
  return item.get(text) == simdjson::SUCCESS && text.starts_with("#version");
}

// The tokens of a vocabulary in the byte-level alphabet, as bytes. Nothing if they are too long.
std::optional<ByteTrie> trie_of_bytes(const Vocabulary& vocabulary) {
  std::vector<std::pair<std::string, std::int32_t>> tokens;
  vocabulary.for_each([&](std::string_view token, std::int32_t id) {
    std::optional<std::string> bytes = byte_level::bytes_of(token);
    if (bytes && !bytes->empty()) tokens.emplace_back(std::move(*bytes), id);
  });
  std::sort(tokens.begin(), tokens.end());
  std::vector<ByteTrie::Entry> entries;
  for (const auto& [bytes, id] : tokens) entries.push_back({bytes, id});
  return ByteTrie::build(entries);
}

std::uint64_t next_serial() {
  static std::atomic<std::uint64_t> last = 0;
  return ++last;
}

}  // namespace

Bpe::Bpe(Vocabulary vocabulary, Alphabet alphabet, MergeTable merges)
    : vocabulary_(std::move(vocabulary)),
      alphabet_(alphabet),
      merges_(std::move(merges)),
      serial_(next_serial()) {}

Result<Bpe::Options> Bpe::parse_options(const JsonField& field, const Vocabulary& vocabulary) {
  SHEAF_TRY(refuse_dropout(field));
  SHEAF_TRY(refuse_text(field, "continuing_subword_prefix"));
  SHEAF_TRY(refuse_text(field, "end_of_word_suffix"));
  Options options;
  SHEAF_ASSIGN(options.fuse_unknown, flag(field, "fuse_unk"));
  SHEAF_ASSIGN(options.byte_fallback, flag(field, "byte_fallback"));
  SHEAF_ASSIGN(options.ignore_merges, flag(field, "ignore_merges"));
  SHEAF_ASSIGN(const std::optional<JsonField> unknown, field.find("unk_token"));
  if (unknown) {
    SHEAF_ASSIGN(const std::string_view token, unknown->string());
    options.unknown_id = vocabulary.id_of(token);
    if (!options.unknown_id)
      return unknown->error(fmt::format("{} is not in model.vocab", in_quotes(token)));
  }
  return options;
}

Result<std::vector<BpeWalk::Merge>> Bpe::parse_merges(const JsonField& field,
                                                      const Vocabulary& vocabulary) {
  SHEAF_ASSIGN(const simdjson::dom::array items, field.elements());
  std::vector<BpeWalk::Merge> merges;
  std::size_t index = 0;
  std::string merged;
  for (const simdjson::dom::element element : items) {
    // Only made when needed: there are hundreds of thousands of merges.
    const auto item = [&, i = index++] {
      return JsonField(element, fmt::format("{}[{}]", field.path(), i));
    };
    if (is_version_line(element)) continue;
    const std::optional<MergeText> text = merge_text(element);
    if (!text) return item().error(R"(must be two tokens, as "a b" or ["a", "b"])");
    merged.assign(text->left).append(text->right);
    std::array<std::int32_t, 3> ids;
    const std::array<std::string_view, 3> tokens = {text->left, text->right, merged};
    for (std::size_t i = 0; i < 3; ++i) {
      const std::optional<std::int32_t> id = vocabulary.id_of(tokens[i]);
      if (!id) return item().error(fmt::format("{} is not in model.vocab", in_quotes(tokens[i])));
      ids[i] = *id;
    }
    merges.push_back({ids[0], ids[1], ids[2]});
  }
  return merges;
}

Status Bpe::set_bytes(const JsonField& field) {
  bool complete = true;
  for (unsigned byte = 0; byte < 256; ++byte) {
    std::string token;
    if (alphabet_ == Alphabet::bytes) {
      unicode::append_utf8(byte_level::characters()[byte], token);
    } else {
      token = fmt::format("<0x{:02X}>", byte);
    }
    const std::optional<std::int32_t> id = vocabulary_.id_of(token);
    byte_ids_[byte] = id ? *id : -1;
    complete = complete && id;
  }
  if (alphabet_ == Alphabet::bytes && options_.byte_fallback && !complete) {
    return Error{ErrorCode::unsupported,
                 field
                     .error("byte_fallback behind ByteLevel is only supported if the vocabulary "
                            "has all 256 bytes")
                     .message};
  }
  return {};
}

void Bpe::set_characters() {
  vocabulary_.for_each([&](std::string_view token, std::int32_t id) {
    if (!unicode::is_one_character(token)) return;
    const char* p = token.data();
    characters_.set(unicode::decode_utf8(p), id);
  });
}

// What all pieces can start as and the walk can tell apart. With characters that is so only if the
// others become bytes that never merge.
std::optional<std::vector<std::int32_t>> Bpe::atoms(
    const std::vector<BpeWalk::Merge>& merges) const {
  const auto is_byte = [&](std::int32_t id) {
    return std::find(byte_ids_.begin(), byte_ids_.end(), id) != byte_ids_.end();
  };
  if (is_byte(-1)) return std::nullopt;
  if (alphabet_ == Alphabet::bytes)
    return std::vector<std::int32_t>(byte_ids_.begin(), byte_ids_.end());
  if (!options_.byte_fallback) return std::nullopt;
  const bool bytes_merge = std::any_of(merges.begin(), merges.end(), [&](const auto& merge) {
    return is_byte(merge.left) || is_byte(merge.right);
  });
  if (bytes_merge) return std::nullopt;
  std::vector<std::int32_t> result;
  vocabulary_.for_each([&](std::string_view token, std::int32_t id) {
    if (unicode::is_one_character(token)) result.push_back(id);
  });
  return result;
}

// Whether no merge takes the mark of a space together with what stands before it, but for another
// one. Then words are encoded by themselves, and found in the cache.
bool Bpe::merges_keep_words(const std::vector<BpeWalk::Merge>& merges) const {
  const auto crosses_words = [&](const BpeWalk::Merge& merge) {
    const std::string_view token = *vocabulary_.token_of(merge.id);
    for (std::size_t at = token.find(kSpaceMark, 1); at != std::string_view::npos;
         at = token.find(kSpaceMark, at + 1)) {
      if (!token.substr(0, at).ends_with(kSpaceMark)) return true;
    }
    return false;
  };
  return std::none_of(merges.begin(), merges.end(), crosses_words);
}

// Ids far beyond the number of tokens would make its tables too large.
void Bpe::set_walk(const std::vector<BpeWalk::Merge>& merges) {
  const std::optional<std::vector<std::int32_t>> starts = atoms(merges);
  if (!starts || vocabulary_.id_end() > 2 * vocabulary_.size() + 1024) return;
  const bool reads_bytes = alphabet_ == Alphabet::bytes;
  std::vector<std::string> strings(vocabulary_.id_end());
  vocabulary_.for_each([&](std::string_view token, std::int32_t id) {
    strings[static_cast<std::size_t>(id)] =
        reads_bytes ? byte_level::bytes_of(token).value_or("") : std::string(token);
  });
  walk_ = BpeWalk::build(*starts, merges, strings, merges_);
  if (!walk_) return;
  if (reads_bytes) {
    characters_ = closed_characters(*walk_, merges, strings);
    for (unicode::CodePoint c = 0; c < 128; ++c) characters_.set(c, byte_ids_[c]);
  } else {
    cuts_words_ = !options_.ignore_merges && merges_keep_words(merges);
  }
  pairs_.emplace(merges, strings, characters_, merges_);
}

Result<std::unique_ptr<const Model>> Bpe::parse(const JsonField& field, Alphabet alphabet) {
  SHEAF_ASSIGN(const JsonField vocabulary_field, field.get("vocab"));
  SHEAF_ASSIGN(Vocabulary vocabulary, Vocabulary::parse(vocabulary_field));
  SHEAF_ASSIGN(const Options options, parse_options(field, vocabulary));
  SHEAF_ASSIGN(const JsonField merges_field, field.get("merges"));
  SHEAF_ASSIGN(const std::vector<BpeWalk::Merge> merges, parse_merges(merges_field, vocabulary));
  MergeTable table(merges, vocabulary.id_end());
  std::unique_ptr<Bpe> model(new Bpe(std::move(vocabulary), alphabet, std::move(table)));
  model->options_ = options;
  SHEAF_TRY(model->set_bytes(field));
  if (alphabet == Alphabet::characters) model->set_characters();
  model->set_walk(merges);
  if (options.ignore_merges && alphabet == Alphabet::bytes) {
    model->whole_pieces_ = trie_of_bytes(model->vocabulary_);
    if (!model->whole_pieces_) return vocabulary_field.error("is too large");
  }
  return std::unique_ptr<const Model>(std::move(model));
}

void Bpe::start_from_bytes(std::string_view piece, Workspace& workspace) const {
  bool after_unknown = false;
  std::uint32_t end = 0;
  for (const char c : piece) {
    ++end;
    std::int32_t id = byte_ids_[static_cast<unsigned char>(c)];
    const bool unknown = id < 0;
    if (unknown) {
      if (!options_.unknown_id) continue;
      id = *options_.unknown_id;
      if (after_unknown && options_.fuse_unknown) {
        workspace.symbols.back().end = end;
        continue;
      }
    }
    after_unknown = unknown;
    workspace.symbols.push_back({id, end});
  }
}

// Appends the tokens of the bytes of `character`, of one byte each. False if one has none.
bool Bpe::fall_back(std::string_view character, Workspace& workspace) const {
  const auto id_of = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
  for (const char c : character) {
    if (id_of(c) < 0) return false;
  }
  for (const char c : character) workspace.append(id_of(c), 1);
  return true;
}

// Odd in two ways, as Hugging Face is: characters without any token take no room, so that the
// places of those behind them shift; and an unknown token waits for the next known character, even
// beyond byte tokens (which matters only if some byte has no token).
void Bpe::start_from_characters(std::string_view piece, Workspace& workspace) const {
  std::uint32_t unknown_size = 0;  // of the unknown token that waits; 0: none does
  const auto append_unknown = [&] {
    if (unknown_size > 0) workspace.append(*options_.unknown_id, unknown_size);
    unknown_size = 0;
  };
  const char* p = piece.data();
  while (p < piece.data() + piece.size()) {
    const char* const start = p;
    const std::int32_t id = characters_[unicode::decode_utf8(p)];
    const std::string_view character(start, static_cast<std::size_t>(p - start));
    const auto size = static_cast<std::uint32_t>(character.size());
    if (id >= 0) {
      append_unknown();
      workspace.append(id, size);
    } else if (options_.byte_fallback && fall_back(character, workspace)) {
      continue;
    } else if (options_.unknown_id) {
      if (!options_.fuse_unknown) append_unknown();
      unknown_size += size;
    }
  }
  append_unknown();
}

void Bpe::tokenize(std::string_view piece, Workspace& workspace) const {
  workspace.symbols.clear();
  piece = piece.substr(0, kPieceBytesMax);
  if (options_.ignore_merges) {
    const std::optional<std::int32_t> id =
        whole_pieces_ ? whole_pieces_->find(piece) : vocabulary_.id_of(piece);
    if (id) {
      workspace.symbols.push_back({*id, static_cast<std::uint32_t>(piece.size())});
      return;
    }
  }
  if (walk_) {
    workspace.windows.tokenize(rules(), piece, 0, workspace.symbols);
  } else {
    alphabet_ == Alphabet::bytes ? start_from_bytes(piece, workspace)
                                 : start_from_characters(piece, workspace);
    workspace.merger.merge(workspace.symbols, merges_);
  }
}

void Bpe::encode_piece(std::string_view piece, Workspace& workspace, Cache& cache,
                       std::vector<std::int32_t>& ids) const {
  Cache::Entry* entry = nullptr;
  if (piece.size() <= Cache::kBytesMax) {
    const auto [found, is_there] = cache.find(piece, serial_);
    if (is_there) {
      ids.insert(ids.end(), found->ids, found->ids + found->count);
      return;
    }
    entry = found;
  }
  tokenize(piece, workspace);
  const std::size_t before = ids.size();
  ids.resize(before + workspace.symbols.size());
  std::transform(workspace.symbols.begin(), workspace.symbols.end(),
                 ids.begin() + static_cast<std::ptrdiff_t>(before),
                 [](const Symbol& symbol) { return symbol.id; });
  if (entry == nullptr) return;
  if (workspace.symbols.size() > Cache::kIdsMax) return Cache::forget(*entry);
  entry->count = static_cast<std::uint8_t>(workspace.symbols.size());
  for (std::size_t i = 0; i < workspace.symbols.size(); ++i)
    entry->ids[i] = workspace.symbols[i].id;
}

void Bpe::encode(std::string_view text, std::span<const Piece> pieces,
                 std::vector<std::int32_t>& ids) const {
  thread_local Workspace workspace;
  thread_local Cache cache;
  for (const Piece& place : pieces) {
    const std::string_view piece = place.of(text);
    if (!cuts_words_) {
      encode_piece(piece, workspace, cache, ids);
      continue;
    }
    for (std::size_t begin = 0, end = 0; begin < piece.size(); begin = end) {
      end = word_end(piece, begin);
      encode_piece(piece.substr(begin, end - begin), workspace, cache, ids);
    }
  }
  if (workspace.symbols.capacity() > kKeptSymbolsMax) workspace = Workspace{};
}

void Bpe::encode_placed(std::string_view text, std::span<const Piece> pieces,
                        std::vector<PlacedId>& ids) const {
  Workspace workspace;
  for (const Piece& piece : pieces) {
    tokenize(piece.of(text), workspace);
    std::size_t begin = piece.begin;
    for (const Symbol& symbol : workspace.symbols) {
      ids.push_back({symbol.id, {begin, piece.begin + symbol.end}});
      begin = piece.begin + symbol.end;
    }
  }
}

}  // namespace sheaf::tokenizer
