#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tokenizer/json_field.h"
#include "tokenizer/piece.h"
#include "tokenizer/vocabulary.h"

namespace sheaf::tokenizer {

struct PlacedId {
  std::int32_t id;
  Piece place;  // in the text given
  // Its text is that at its place, whatever the vocabulary calls the id.
  bool shown_as_place = false;
};

// What a vocabulary is written in: text, or the byte-level alphabet (byte_level.h), the model
// reading bytes.
enum class Alphabet { characters, bytes };

// The third stage: turns each piece into ids of its vocabulary. Immutable.
class Model {
 public:
  virtual ~Model() = default;
  // Appends the ids of all `pieces` of `text`.
  virtual void encode(std::string_view text, std::span<const Piece> pieces,
                      std::vector<std::int32_t>& ids) const = 0;
  // The same ids with their places.
  virtual void encode_placed(std::string_view text, std::span<const Piece> pieces,
                             std::vector<PlacedId>& ids) const = 0;
  virtual const Vocabulary& vocabulary() const = 0;

  // By its "type"; files older than tokenizers 0.9 have none and are told by their members.
  static Result<std::unique_ptr<const Model>> parse(const JsonField& field, Alphabet alphabet);
};

}  // namespace sheaf::tokenizer
