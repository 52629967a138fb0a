#include "api/tokens.h"

#include <fmt/format.h>

#include "router/prepare.h"

namespace sheaf::api {
namespace {

constexpr std::size_t kInspectedBytesMax = 1u << 20;

Result<std::string> prompt_of(const router::ModelInfo& model, const std::string& name) {
  SHEAF_TRY(router::check_prompt(name, model.spec, model.name, "prompt_name"));
  return name.empty() ? std::string() : model.spec.prompts.at(name);
}

}  // namespace

Status check_inspected_bytes(std::string_view what, std::size_t bytes) {
  if (bytes <= kInspectedBytesMax) return {};
  return Error{ErrorCode::too_large, fmt::format("{} has {} bytes; this route takes {}", what,
                                                 bytes, kInspectedBytesMax)};
}

Result<std::vector<tokenizer::Token>> shown_tokens(const Context& context,
                                                   const router::ModelInfo& model,
                                                   const std::string& text, bool add_special_tokens,
                                                   const std::string& prompt_name) {
  SHEAF_ASSIGN(const std::string prompt, prompt_of(model, prompt_name));
  const std::string whole = prompt + text;
  SHEAF_ASSIGN(std::vector<tokenizer::Token> tokens,
               context.router.tokenizer_of(model)->encode_tokens(
                   whole, {.add_special_tokens = add_special_tokens}));
  for (tokenizer::Token& token : tokens) {
    if (token.start >= 0 && std::size_t(token.stop) <= whole.size())
      token.text = whole.substr(token.start, token.stop - token.start);
    else
      token.start = token.stop = -1;
  }
  return tokens;
}

Result<std::string> shown_text(const Context& context, const router::ModelInfo& model,
                               const std::vector<std::int32_t>& ids, bool skip_special_tokens) {
  return context.router.tokenizer_of(model)->decode(ids, skip_special_tokens);
}

}  // namespace sheaf::api
