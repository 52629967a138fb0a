#include "tokenizer/bert_processing.h"

#include <fmt/format.h>

namespace sheaf::tokenizer {
namespace {

Result<SpecialToken> parse_pair(const JsonField& field, const PostProcessor::IsKnownId& is_known) {
  SHEAF_ASSIGN(const std::vector<JsonField> pair, field.array());
  if (pair.size() != 2) return field.error("must be a token and its id");
  SHEAF_ASSIGN(const std::string_view text, pair[0].string());
  SHEAF_ASSIGN(const std::int32_t id, pair[1].token_id());
  if (!is_known(id)) return pair[1].error(fmt::format("no token has the id {}", id));
  return SpecialToken{id, std::string(text)};
}

}  // namespace

Result<PostProcessor> parse_bert_processing(const JsonField& field,
                                            const PostProcessor::IsKnownId& is_known) {
  SHEAF_ASSIGN(const JsonField first_field, field.get("cls"));
  SHEAF_ASSIGN(SpecialToken first, parse_pair(first_field, is_known));
  SHEAF_ASSIGN(const JsonField last_field, field.get("sep"));
  SHEAF_ASSIGN(SpecialToken last, parse_pair(last_field, is_known));
  PostProcessor result;
  result.pair = PairTemplate{{first}, {last}, {last}, 2, 1};
  result.joins_pairs = true;
  result.before.push_back(std::move(first));
  result.after.push_back(std::move(last));
  result.counts_special = true;
  return result;
}

}  // namespace sheaf::tokenizer
