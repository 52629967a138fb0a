#include "tokenizer/template_processing.h"

#include <fmt/format.h>

#include <map>
#include <optional>
#include <string_view>

namespace sheaf::tokenizer {
namespace {

// A name may stand for many tokens and a template repeat it often; their product must not fill the
// memory.
constexpr std::size_t kTokensMax = 256;

using SpecialTokens = std::map<std::string_view, std::vector<SpecialToken>>;

// A name in a template stands for one token or several.
Result<std::vector<SpecialToken>> parse_special_token(const JsonField& field,
                                                      const PostProcessor::IsKnownId& is_known) {
  SHEAF_ASSIGN(const JsonField ids_field, field.get("ids"));
  SHEAF_ASSIGN(const std::vector<JsonField> ids, ids_field.array());
  SHEAF_ASSIGN(const JsonField tokens_field, field.get("tokens"));
  SHEAF_ASSIGN(const std::vector<JsonField> tokens, tokens_field.array());
  if (ids.size() != tokens.size()) {
    return field.error(fmt::format("has {} ids but {} tokens", ids.size(), tokens.size()));
  }
  std::vector<SpecialToken> result;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    SHEAF_ASSIGN(const std::int32_t id, ids[i].token_id());
    SHEAF_ASSIGN(const std::string_view text, tokens[i].string());
    if (!is_known(id)) return ids[i].error(fmt::format("no token has the id {}", id));
    result.push_back({id, std::string(text)});
  }
  return result;
}

Result<SpecialTokens> parse_special_tokens(const JsonField& field,
                                           const PostProcessor::IsKnownId& is_known) {
  SHEAF_ASSIGN(const auto members, field.members());
  SpecialTokens result;
  for (const auto& [name, member] : members) {
    SHEAF_ASSIGN(std::vector<SpecialToken> tokens, parse_special_token(member, is_known));
    if (!result.emplace(name, std::move(tokens)).second) return member.error("appears twice");
  }
  return result;
}

// One piece of a template: a sequence ('A' or 'B'), or the tokens that a name stands for.
struct Part {
  char sequence = 0;
  const std::vector<SpecialToken>* tokens = nullptr;
};

Result<Part> parse_sequence(const JsonField& field) {
  SHEAF_ASSIGN(const JsonField id_field, field.get("id"));
  SHEAF_ASSIGN(const std::string_view id, id_field.string());
  if (id != "A" && id != "B")
    return id_field.error(fmt::format("must be \"A\" or \"B\", is {}", in_quotes(id)));
  return Part{id[0], nullptr};
}

Result<Part> parse_part(const JsonField& field, const SpecialTokens& special_tokens) {
  SHEAF_ASSIGN(const std::optional<JsonField> sequence, field.find("Sequence"));
  if (sequence) return parse_sequence(*sequence);
  SHEAF_ASSIGN(const JsonField special, field.get("SpecialToken"));
  SHEAF_ASSIGN(const JsonField name_field, special.get("id"));
  SHEAF_ASSIGN(const std::string_view name, name_field.string());
  const auto found = special_tokens.find(name);
  if (found == special_tokens.end()) {
    return name_field.error(fmt::format("{} is not among special_tokens", in_quotes(name)));
  }
  return Part{0, &found->second};
}

Result<std::vector<Part>> parse_template(const JsonField& field,
                                         const SpecialTokens& special_tokens) {
  SHEAF_ASSIGN(const std::vector<JsonField> items, field.array());
  std::vector<Part> parts;
  for (const JsonField& item : items) {
    SHEAF_ASSIGN(const Part part, parse_part(item, special_tokens));
    parts.push_back(part);
  }
  return parts;
}

// The tokens before and behind the sequence A, which must stand there once and alone.
Result<PostProcessor> around_sequence(const JsonField& field, const std::vector<Part>& parts) {
  PostProcessor result;
  bool seen = false;
  for (const Part& part : parts) {
    if (part.sequence != 0) {
      if (part.sequence == 'B' || seen)
        return field.error("must hold the sequence A once and no other");
      seen = true;
      continue;
    }
    std::vector<SpecialToken>& side = seen ? result.after : result.before;
    side.insert(side.end(), part.tokens->begin(), part.tokens->end());
    if (result.size() > kTokensMax)
      return field.error(fmt::format("adds more than {} tokens", kTokensMax));
  }
  if (!seen) return field.error("must hold the sequence A once and no other");
  return result;
}

}  // namespace

Result<PostProcessor> parse_template_processing(const JsonField& field,
                                                const PostProcessor::IsKnownId& is_known) {
  SHEAF_ASSIGN(const JsonField special_field, field.get("special_tokens"));
  SHEAF_ASSIGN(const SpecialTokens special_tokens, parse_special_tokens(special_field, is_known));
  SHEAF_ASSIGN(const JsonField single_field, field.get("single"));
  SHEAF_ASSIGN(const std::vector<Part> single, parse_template(single_field, special_tokens));
  SHEAF_ASSIGN(const JsonField pair_field, field.get("pair"));
  SHEAF_TRY(parse_template(pair_field, special_tokens));
  return around_sequence(single_field, single);
}

}  // namespace sheaf::tokenizer
