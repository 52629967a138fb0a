#include "router/prepare.h"

#include <fmt/core.h>

#include <algorithm>
#include <string>

#include "base/text.h"
#include "base/utf8.h"

namespace sheaf::router {
namespace {

Error input_error(std::size_t index, std::string message) {
  return {ErrorCode::invalid_argument, fmt::format("input {}: {}", index, message), "input"};
}

Error too_long(std::size_t index, std::size_t tokens, std::uint32_t limit) {
  return input_error(
      index, fmt::format("{} tokens are more than the model's limit of {} and truncation is off",
                         tokens, limit));
}

tokenizer::Side side_of(const EmbedRequest& request, const ModelInfo& model) {
  const auto own = model.spec.cut_left ? tokenizer::Side::left : tokenizer::Side::right;
  return request.truncation_side.value_or(own);
}

Status prepare_text(const std::string& text, std::string_view prompt, std::size_t index,
                    const EmbedRequest& request, const ModelInfo& model,
                    const tokenizer::Tokenizer& tokenizer, PreparedInputs& out) {
  const tokenizer::EncodeOptions options{.max_tokens = model.max_length,
                                         .truncation_side = side_of(request, model)};
  const std::string prompted = prompt.empty() ? std::string() : std::string(prompt) + text;
  const std::string& whole = prompt.empty() ? text : prompted;
  const Result<std::size_t> encoded = tokenizer.encode(whole, options, out.ids);
  if (!encoded.ok()) return input_error(index, encoded.error().message);
  const std::size_t tokens = *encoded;
  if (tokens > model.max_length && !request.truncate)
    return too_long(index, tokens, model.max_length);
  if (out.ids.size() == out.cu_seqlens.back()) return input_error(index, "the text has no tokens");
  return {};
}

// Gives where the second text begins, as the model is to be told.
Result<std::uint32_t> prepare_pair(const TextPair& pair, std::size_t index,
                                   const EmbedRequest& request, const ModelInfo& model,
                                   const tokenizer::Tokenizer& tokenizer, PreparedInputs& out) {
  const tokenizer::EncodeOptions options{.max_tokens = model.max_length,
                                         .truncation_side = side_of(request, model)};
  const std::size_t before = out.ids.size();
  const Result<tokenizer::EncodedPair> encoded =
      tokenizer.encode_pair(pair.first, pair.second, options, out.ids);
  if (!encoded.ok()) return input_error(index, encoded.error().message);
  if (encoded->tokens > model.max_length && !request.truncate)
    return too_long(index, encoded->tokens, model.max_length);
  if (out.ids.size() == before) return input_error(index, "the pair has no tokens");
  const bool cut_off = encoded->second_at >= out.ids.size() - before;  // nothing of the second left
  return cut_off ? 0 : static_cast<std::uint32_t>(encoded->second_at);
}

Status prepare_ids(const std::vector<std::int32_t>& ids, std::size_t index,
                   const EmbedRequest& request, const ModelInfo& model, PreparedInputs& out) {
  if (ids.empty()) return input_error(index, "the list of token ids is empty");
  const auto vocabulary = static_cast<std::int64_t>(model.spec.vocab_size);
  for (std::int32_t id : ids) {
    if (id < 0 || id >= vocabulary)
      return input_error(
          index, fmt::format("token id {} is outside the vocabulary of {} (ids made for another "
                             "tokenizer? With LangChain set check_embedding_ctx_length=False)",
                             id, vocabulary));
  }
  if (ids.size() > model.max_length && !request.truncate)
    return too_long(index, ids.size(), model.max_length);
  std::span<const std::int32_t> kept(ids);
  if (kept.size() > model.max_length)
    kept = side_of(request, model) == tokenizer::Side::right ? kept.first(model.max_length)
                                                             : kept.last(model.max_length);
  out.ids.insert(out.ids.end(), kept.begin(), kept.end());
  return {};
}

Status check_task(const EmbedRequest& request, const ModelInfo& model) {
  if (request.task == model.spec.task()) return {};
  const std::string_view routes = model.spec.task() == model::Task::embed ? "/v1/embeddings, /embed"
                                  : model.spec.is_reranker()              ? "/rerank, /score"
                                                                          : "/predict, /classify";
  return Error{ErrorCode::wrong_model_type,
               fmt::format("model {} is a {} ({}): it does not {}", model.name,
                           model::kind_of(model.spec), routes, name_of(request.task)),
               "model"};
}

}  // namespace

void PreparedInputs::append(const PreparedInputs& other) {
  const auto base = static_cast<std::uint32_t>(ids.size());
  ids.insert(ids.end(), other.ids.begin(), other.ids.end());
  for (std::size_t i = 1; i < other.cu_seqlens.size(); ++i)
    cu_seqlens.push_back(base + other.cu_seqlens[i]);
  second_at.insert(second_at.end(), other.second_at.begin(), other.second_at.end());
}

std::uint64_t bytes_of(const Input& input) {
  if (const auto* text = std::get_if<std::string>(&input)) return text->size();
  if (const auto* pair = std::get_if<TextPair>(&input))
    return pair->first.size() + pair->second.size();
  return std::get<std::vector<std::int32_t>>(input).size() * sizeof(std::int32_t);
}

Status check_request(const EmbedRequest& request, const ModelInfo& model, std::uint32_t max_texts) {
  if (request.inputs.empty())
    return Error{ErrorCode::invalid_argument, "the list of inputs is empty", "input"};
  if (request.inputs.size() > max_texts)
    return Error{ErrorCode::invalid_argument,
                 fmt::format("{} inputs are more than the limit of {} a request",
                             request.inputs.size(), max_texts),
                 "input"};
  SHEAF_TRY(check_task(request, model));
  if (request.dimensions &&
      (*request.dimensions == 0 || *request.dimensions > model.spec.dimensions))
    return Error{ErrorCode::invalid_argument,
                 fmt::format("dimensions is {}, must be 1 to {} for {}", *request.dimensions,
                             model.spec.dimensions, model.name),
                 "dimensions"};
  if (request.prompt_name && !request.prompt_name->empty() &&
      !model.spec.prompts.contains(*request.prompt_name)) {
    std::string known;
    for (const auto& [name, text] : model.spec.prompts) known += (known.empty() ? "" : ", ") + name;
    return Error{ErrorCode::invalid_argument,
                 fmt::format("prompt_name {} is not one of the prompts of {} ({})",
                             json_quote(excerpt(*request.prompt_name)), model.name,
                             known.empty() ? "it has none" : known),
                 "prompt_name"};
  }
  return {};
}

std::string_view prompt_of(const EmbedRequest& request, const ModelInfo& model) {
  const std::string& name =
      request.prompt_name ? *request.prompt_name : model.spec.default_prompt_name;
  const auto found = model.spec.prompts.find(name);
  return found == model.spec.prompts.end() ? std::string_view() : std::string_view(found->second);
}

Status prepare_inputs(const EmbedRequest& request, const ModelInfo& model,
                      const tokenizer::Tokenizer& tokenizer, std::size_t first, std::size_t count,
                      PreparedInputs& out) {
  const std::string_view prompt = prompt_of(request, model);
  for (std::size_t i = first; i < first + count; ++i) {
    const Input& input = request.inputs[i];
    std::uint32_t second_at = 0;
    if (const auto* text = std::get_if<std::string>(&input)) {
      SHEAF_TRY(prepare_text(*text, prompt, i, request, model, tokenizer, out));
    } else if (const auto* pair = std::get_if<TextPair>(&input)) {
      SHEAF_ASSIGN(second_at, prepare_pair(*pair, i, request, model, tokenizer, out));
    } else {
      SHEAF_TRY(prepare_ids(std::get<std::vector<std::int32_t>>(input), i, request, model, out));
    }
    out.cu_seqlens.push_back(static_cast<std::uint32_t>(out.ids.size()));
    out.second_at.push_back(second_at);
  }
  return {};
}

}  // namespace sheaf::router
