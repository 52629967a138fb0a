#pragma once

#include <memory>

#include "tokenizer/added_tokens.h"
#include "tokenizer/decoder.h"
#include "tokenizer/model.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/post_processor.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/tokenizer.h"

namespace sheaf::tokenizer {

// The tokenizer that a tokenizer.json describes: its stages, composed. A text is cut at raw added
// tokens; what lies between is normalized, cut at normalized added tokens, split into pieces and
// given to the model.
class Pipeline final : public Tokenizer {
 public:
  struct Stages {
    std::unique_ptr<const Normalizer> normalizer;       // null: text stays as it is
    std::unique_ptr<const PreTokenizer> pre_tokenizer;  // null: all text is one piece
    std::unique_ptr<const Model> model;                 // never null
    std::unique_ptr<const Decoder> decoder;             // null: tokens are joined by spaces
    AddedTokens added_tokens;
    PostProcessor post_processor;
  };
  explicit Pipeline(Stages stages) : stages_(std::move(stages)) {}
  // `field` is the whole document.
  static Result<std::shared_ptr<const Tokenizer>> parse(const JsonField& field,
                                                        const Additions& additions);

  Result<std::size_t> encode(std::string_view text, const EncodeOptions& options,
                             std::vector<std::int32_t>& ids) const override;
  Status encode_bare(std::string_view text, std::vector<std::int32_t>& ids) const override;
  Result<EncodedPair> join_pair(std::span<const std::int32_t> first,
                                std::span<const std::int32_t> second, const EncodeOptions& options,
                                std::vector<std::int32_t>& ids) const override;
  Result<std::vector<Token>> encode_tokens(std::string_view text,
                                           const EncodeOptions& options) const override;
  Result<std::string> decode(const std::vector<std::int32_t>& ids,
                             bool skip_special_tokens) const override;
  std::size_t vocab_size() const override;
  std::size_t special_tokens_added() const override { return stages_.post_processor.size(); }

 private:
  struct Scratch;

  Status encode_text(std::string_view text, Scratch& scratch, std::vector<std::int32_t>& ids) const;
  Status encode_unnormalized(std::string_view text, Scratch& scratch,
                             std::vector<std::int32_t>& ids) const;
  Status encode_with_origins(std::string_view text, Scratch& scratch,
                             std::vector<std::int32_t>& ids) const;
  Status encode_normalized(std::string_view text, std::vector<Piece>* origins, Scratch& scratch,
                           std::vector<std::int32_t>& ids) const;

  Result<std::vector<Token>> place_text(std::string_view text) const;
  Status place_unnormalized(std::string_view text, std::size_t offset,
                            std::vector<Token>& tokens) const;
  Status place_normalized(AlignedText text, std::vector<Token>& tokens) const;
  std::optional<std::string_view> text_of(std::int32_t id) const;

  Stages stages_;
};

}  // namespace sheaf::tokenizer
