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

constexpr std::string_view kNotAThenB = "must hold the sequence A once and behind it B once";

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
  std::uint64_t type = 0;
};

Result<std::uint64_t> parse_type(const JsonField& field) {
  SHEAF_ASSIGN(const JsonField type, field.get("type_id"));
  return type.size();
}

Result<Part> parse_sequence(const JsonField& field) {
  SHEAF_ASSIGN(const JsonField id_field, field.get("id"));
  SHEAF_ASSIGN(const std::string_view id, id_field.string());
  if (id != "A" && id != "B")
    return id_field.error(fmt::format("must be \"A\" or \"B\", is {}", in_quotes(id)));
  SHEAF_ASSIGN(const std::uint64_t type, parse_type(field));
  return Part{id[0], nullptr, type};
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
  SHEAF_ASSIGN(const std::uint64_t type, parse_type(special));
  return Part{0, &found->second, type};
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

// The tokens before, between and behind the sequences A and B.
Result<PairTemplate> around_sequences(const JsonField& field, const std::vector<Part>& parts) {
  PairTemplate result;
  result.texts_of_type_0 = 0;
  std::vector<SpecialToken>* const sides[] = {&result.before, &result.between, &result.after};
  std::size_t texts = 0;
  std::uint64_t type = 0;
  for (const Part& part : parts) {
    if (part.type < type || part.type > 1)
      return field.unsupported("type_id must be 0 up to some place and 1 from there on");
    type = part.type;
    if (part.sequence != 0) {
      if (texts == 2 || part.sequence != "AB"[texts]) return field.unsupported(kNotAThenB);
      ++texts;
      if (type == 0) result.texts_of_type_0 = texts;
      continue;
    }
    sides[texts]->insert(sides[texts]->end(), part.tokens->begin(), part.tokens->end());
    if (type == 0) result.special_of_type_0 = result.size();
    if (result.size() > kTokensMax)
      return field.unsupported(fmt::format("adds more than {} tokens", kTokensMax));
  }
  if (texts < 2) return field.unsupported(kNotAThenB);
  if (result.texts_of_type_0 == 0)
    return field.unsupported("the sequence A must have the type_id 0");
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
  SHEAF_ASSIGN(const std::vector<Part> pair, parse_template(pair_field, special_tokens));
  SHEAF_ASSIGN(PostProcessor result, around_sequence(single_field, single));
  result.pair = around_sequences(pair_field, pair);
  result.joins_pairs = true;
  return result;
}

}  // namespace sheaf::tokenizer
