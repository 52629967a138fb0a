#include "tokenizer/roberta_processing.h"

#include "tokenizer/bert_processing.h"
#include "tokenizer/byte_level_processing.h"

namespace sheaf::tokenizer {

Result<PostProcessor> parse_roberta_processing(const JsonField& field,
                                               const PostProcessor::IsKnownId& is_known) {
  SHEAF_ASSIGN(PostProcessor result, parse_bert_processing(field, is_known));
  SHEAF_ASSIGN(PostProcessor places, parse_byte_level_processing(field));
  result.trimmings = std::move(places.trimmings);
  const SpecialToken& first = result.before.front();
  const SpecialToken& last = result.after.front();
  result.pair = PairTemplate{{first}, {last, last}, {last}, 4, 2};
  return result;
}

}  // namespace sheaf::tokenizer
