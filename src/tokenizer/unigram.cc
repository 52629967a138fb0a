#include "tokenizer/unigram.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "tokenizer/serde_number.h"

namespace sheaf::tokenizer {
namespace {

constexpr double kUnknownPenalty = 10;
// Steps that a huge piece has needed are given back rather than kept by every thread.
constexpr std::size_t kKeptStepsMax = 1 << 16;

std::size_t character_size(char first) {
  const auto byte = static_cast<unsigned char>(first);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

struct ScoredPieces {
  std::vector<std::string_view> pieces;
  std::vector<double> scores;
};

Result<ScoredPieces> parse_vocabulary(const JsonField& field) {
  SHEAF_ASSIGN(const simdjson::dom::array array, field.elements());
  ScoredPieces result;
  for (const simdjson::dom::element item : array) {
    simdjson::dom::array pair;
    std::string_view piece;
    double score = 0;
    if (item.get(pair) != simdjson::SUCCESS || pair.size() != 2 ||
        pair.at(0).get(piece) != simdjson::SUCCESS || pair.at(1).get(score) != simdjson::SUCCESS) {
      return field.error(
          fmt::format("item {} must be a piece and its score", result.pieces.size()));
    }
    result.pieces.push_back(piece);
    result.scores.push_back(as_serde_reads_it(score));
  }
  if (result.pieces.size() > std::size_t{std::numeric_limits<std::int32_t>::max()})
    return field.error("has too many items");
  return result;
}

Result<std::int32_t> parse_unknown_id(const JsonField& field, std::size_t pieces) {
  SHEAF_ASSIGN(const JsonField id_field, field.get("unk_id"));
  SHEAF_ASSIGN(const std::int32_t id, id_field.token_id());
  if (static_cast<std::size_t>(id) >= pieces) {
    return id_field.error(
        fmt::format("must be below the {} items of model.vocab, is {}", pieces, id));
  }
  return id;
}

}  // namespace

Unigram::Unigram(Vocabulary vocabulary, std::vector<double> scores, std::int32_t unknown_id)
    : vocabulary_(std::move(vocabulary)),
      scores_(std::move(scores)),
      unknown_id_(unknown_id),
      unknown_score_(*std::min_element(scores_.begin(), scores_.end()) - kUnknownPenalty) {
  byte_ids_.fill(-1);
}

Result<std::unique_ptr<const Model>> Unigram::parse(const JsonField& field) {
  SHEAF_ASSIGN(const JsonField vocabulary_field, field.get("vocab"));
  SHEAF_ASSIGN(ScoredPieces scored, parse_vocabulary(vocabulary_field));
  SHEAF_ASSIGN(const std::int32_t unknown_id, parse_unknown_id(field, scored.pieces.size()));
  SHEAF_ASSIGN(const std::optional<JsonField> fallback_field, field.find("byte_fallback"));
  SHEAF_ASSIGN(Vocabulary vocabulary, Vocabulary::of_list(scored.pieces, vocabulary_field));
  std::unique_ptr<Unigram> model(
      new Unigram(std::move(vocabulary), std::move(scored.scores), unknown_id));
  if (fallback_field) {
    SHEAF_ASSIGN(const bool fallback, fallback_field->boolean());
    for (std::size_t byte = 0; fallback && byte < 256; ++byte) {
      model->byte_ids_[byte] =
          model->vocabulary_.id_of(fmt::format("<0x{:02X}>", byte)).value_or(-1);
    }
  }
  return std::unique_ptr<const Model>(std::move(model));
}

void Unigram::find_best(std::string_view text, std::vector<Step>& steps) const {
  const ByteTrie& trie = vocabulary_.trie();
  for (std::size_t begin = 0; begin < text.size();) {
    const double here = steps[begin].score;
    const std::size_t character = character_size(text[begin]);
    const auto offer = [&](double score, std::int32_t id, std::size_t size) {
      Step& step = steps[begin + size];
      if (step.size != 0 && !(score > step.score)) return;
      step = {score, id, static_cast<std::uint32_t>(size)};
    };
    bool character_is_token = false;
    trie.each_match(text.substr(begin), [&](std::int32_t id, std::size_t size) {
      offer(scores_[static_cast<std::size_t>(id)] + here, id, size);
      if (size == character) character_is_token = true;
    });
    if (!character_is_token) offer(unknown_score_ + here, unknown_id_, character);
    begin += character;
  }
}

template <class Emit>
void Unigram::emit_unknown(std::string_view text, std::size_t begin, std::size_t end,
                           Emit emit) const {
  const std::string_view unknown = text.substr(begin, end - begin);
  // Several unknown characters may be a token together, only not the best.
  if (const auto id = vocabulary_.id_of(unknown)) return emit(*id, begin, end, false);
  const auto byte_id = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
  if (std::any_of(unknown.begin(), unknown.end(), [&](char c) { return byte_id(c) < 0; }))
    return emit(unknown_id_, begin, end, false);
  for (const char c : unknown) emit(byte_id(c), begin, end, true);
}

template <class Emit>
void Unigram::segment(std::string_view text, Emit emit) const {
  thread_local std::vector<Step> steps;
  steps.assign(text.size() + 1, {0, 0, 0});
  find_best(text, steps);
  // Turns the links round: steps[begin] becomes the step that starts there.
  Step step = steps[text.size()];
  for (std::size_t begin = text.size(); begin > 0;) {
    begin -= step.size;
    std::swap(step, steps[begin]);
  }
  for (std::size_t begin = 0; begin < text.size();) {
    std::size_t end = begin + steps[begin].size;
    if (steps[begin].id != unknown_id_) {
      emit(steps[begin].id, begin, end, false);
    } else {
      while (end < text.size() && steps[end].id == unknown_id_) end += steps[end].size;
      emit_unknown(text, begin, end, emit);
    }
    begin = end;
  }
  if (steps.capacity() > kKeptStepsMax) steps = {};
}

void Unigram::encode(std::string_view text, std::span<const Piece> pieces,
                     std::vector<std::int32_t>& ids) const {
  for (const Piece& piece : pieces) {
    segment(piece.of(text),
            [&](std::int32_t id, std::size_t, std::size_t, bool) { ids.push_back(id); });
  }
}

void Unigram::encode_placed(std::string_view text, std::span<const Piece> pieces,
                            std::vector<PlacedId>& ids) const {
  for (const Piece& piece : pieces) {
    const auto emit = [&](std::int32_t id, std::size_t begin, std::size_t end, bool is_byte) {
      ids.push_back({id, {piece.begin + begin, piece.begin + end}, !is_byte});
    };
    segment(piece.of(text), emit);
  }
}

}  // namespace sheaf::tokenizer
