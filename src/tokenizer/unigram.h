#pragma once

#include <array>

#include "tokenizer/model.h"

namespace sheaf::tokenizer {

// SentencePiece's unigram model. Of all ways to cut a piece into tokens it takes the one whose
// scores sum up highest (Viterbi; among equals as Hugging Face's encode_optimized() does). A
// character that is no token by itself may stand alone as unknown, at a score below all others;
// neighbouring unknowns become one token, or with byte_fallback one a byte.
class Unigram final : public Model {
 public:
  static Result<std::unique_ptr<const Model>> parse(const JsonField& field);

  void encode(std::string_view text, std::span<const Piece> pieces,
              std::vector<std::int32_t>& ids) const override;
  void encode_placed(std::string_view text, std::span<const Piece> pieces,
                     std::vector<PlacedId>& ids) const override;
  const Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  // The best way to some place in a piece: its last token, and the sum of all scores.
  struct Step {
    double score;
    std::int32_t id;
    std::uint32_t size;  // bytes; 0: no way leads here
  };

  Unigram(Vocabulary vocabulary, std::vector<double> scores, std::int32_t unknown_id);

  // Calls emit(id, begin, end, is_byte) for each token of `text`.
  template <class Emit>
  void segment(std::string_view text, Emit emit) const;
  // Fills steps[1, text.size()], of which steps[end] is the step that ends there.
  void find_best(std::string_view text, std::vector<Step>& steps) const;
  template <class Emit>
  void emit_unknown(std::string_view text, std::size_t begin, std::size_t end, Emit emit) const;

  Vocabulary vocabulary_;
  std::vector<double> scores_;  // by id
  std::int32_t unknown_id_;
  double unknown_score_;
  std::array<std::int32_t, 256> byte_ids_;  // -1: no such token, or no byte_fallback
};

}  // namespace sheaf::tokenizer
