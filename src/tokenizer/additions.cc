#include "tokenizer/additions.h"

#include <fmt/format.h>

#include <utility>

#include "tokenizer/json_field.h"
#include "tokenizer/lowercase.h"
#include "tokenizer/normalizer_sequence.h"

namespace sheaf::tokenizer {
namespace {

// In front of what the file says, as sentence-transformers puts it.
std::unique_ptr<const Normalizer> lower_case_before(std::unique_ptr<const Normalizer> normalizer) {
  std::vector<std::unique_ptr<const Normalizer>> parts;
  parts.push_back(std::make_unique<Lowercase>());
  if (normalizer) parts.push_back(std::move(normalizer));
  return std::make_unique<NormalizerSequence>(std::move(parts));
}

bool makes_lower_case(const Normalizer* normalizer) {
  if (normalizer == nullptr) return false;
  TextBuffer out;
  normalizer->normalize("A", out);
  return out.view().find('A') == std::string_view::npos;
}

// The token of this text, by the vocabulary or among those added.
Result<SpecialToken> token_to_add(const std::string& text, const Pipeline::Stages& stages) {
  if (const AddedToken* added = stages.added_tokens.find(text))
    return SpecialToken{added->id, text};
  if (const auto id = stages.model->vocabulary().id_of(text)) return SpecialToken{*id, text};
  return Error{ErrorCode::corrupt,
               fmt::format("{} is to be added to texts, but is no token", in_quotes(text))};
}

// Of two texts each has its own, as the tokenizers of Llama have it.
void put_before(const SpecialToken& token, PostProcessor& post_processor) {
  post_processor.before.push_back(token);
  if (!post_processor.pair.ok()) return;
  PairTemplate& pair = *post_processor.pair;
  pair.before.push_back(token);
  pair.between.push_back(token);
  ++pair.special_of_type_0;
}

void put_after(const SpecialToken& token, PostProcessor& post_processor) {
  post_processor.after.push_back(token);
  if (!post_processor.pair.ok()) return;
  PairTemplate& pair = *post_processor.pair;
  pair.between.insert(pair.between.begin(), token);
  pair.after.push_back(token);
  ++pair.special_of_type_0;
}

}  // namespace

Status apply(const Additions& additions, Pipeline::Stages& stages) {
  if (additions.lower_case && !makes_lower_case(stages.normalizer.get()))
    stages.normalizer = lower_case_before(std::move(stages.normalizer));
  PostProcessor& post_processor = stages.post_processor;
  if (!additions.before.empty() && post_processor.before.empty()) {
    SHEAF_ASSIGN(const SpecialToken token, token_to_add(additions.before, stages));
    put_before(token, post_processor);
  }
  if (!additions.after.empty() && post_processor.after.empty()) {
    SHEAF_ASSIGN(const SpecialToken token, token_to_add(additions.after, stages));
    put_after(token, post_processor);
  }
  return {};
}

}  // namespace sheaf::tokenizer
