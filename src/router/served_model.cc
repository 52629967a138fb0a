#include "router/served_model.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/clock.h"
#include "channel/layout.h"

namespace sheaf::router {
namespace {

// A new ratio's weight: the estimate follows a change of language within some dozen requests.
constexpr double kLearningRate = 0.05;

// Ids that the tokenizer can give must have a row in the model.
Status check_vocabulary(const ModelConfig& config, std::uint64_t of_tokenizer,
                        std::uint64_t of_model) {
  if (of_tokenizer <= of_model) return {};
  return Error{ErrorCode::corrupt,
               fmt::format("{}: tokenizer.json has ids up to {} but config.json says vocab_size {}",
                           config.folder, of_tokenizer - 1, of_model)};
}

// A reranker is of no use if its tokenizer joins no pairs.
Status check_pairs(const ModelConfig& config, const model::ModelSpec& spec,
                   const tokenizer::Tokenizer& tokenizer) {
  if (!spec.is_reranker()) return {};
  std::vector<std::int32_t> ids;
  const auto pair = tokenizer.encode_pair("a", "b", {}, ids);
  if (pair.ok()) return {};
  return Error{pair.error().code, config.folder + "/" + pair.error().message};
}

// Of embedders alone: beside one there may be a reranker, whose instruction it would replace.
Status choose_default_prompt(const ModelConfig& config, model::ModelSpec& spec) {
  if (spec.task() != model::Task::embed) return {};
  if (config.default_prompt) {
    spec.prompts["default"] = *config.default_prompt;
    spec.default_prompt_name = "default";
  }
  if (!config.default_prompt_name) return {};
  const std::string& name = *config.default_prompt_name;
  if (config.default_prompt)
    return Error{ErrorCode::invalid_argument,
                 fmt::format("{}: a default prompt is given by name and by text; leave one out",
                             config.name)};
  SHEAF_TRY(check_prompt(name, spec, config.name, "default prompt"));
  spec.default_prompt_name = name;
  return {};
}

// Tokens that an input has besides its texts.
Result<std::size_t> tokens_around(const model::ModelSpec& spec,
                                  const tokenizer::Tokenizer& tokenizer) {
  std::vector<std::int32_t> ids;
  if (const model::PairTemplate& asked = spec.pair_template; !asked.empty()) {
    for (const std::string& part :
         {asked.before_instruction + asked.before_query + asked.after_query + asked.before_document,
          asked.after_document})
      SHEAF_TRY(tokenizer.encode_bare(part, ids));
    return ids.size();
  }
  if (!spec.is_reranker()) return tokenizer.special_tokens_added();
  SHEAF_ASSIGN(const tokenizer::EncodedPair pair, tokenizer.join_pair({}, {}, {}, ids));
  return pair.tokens;
}

Status check_length(const ModelConfig& config, const model::ModelSpec& spec,
                    const tokenizer::Tokenizer& tokenizer) {
  if (config.max_length > spec.positions)
    return Error{ErrorCode::invalid_argument,
                 fmt::format("max length {} is more than the {} positions of {}", config.max_length,
                             spec.positions, config.name)};
  if (config.max_length == 0) return {};
  SHEAF_ASSIGN(const std::size_t around, tokens_around(spec, tokenizer));
  if (config.max_length > around) return {};
  return Error{ErrorCode::invalid_argument,
               fmt::format("max length {} leaves no room for texts: {} puts {} tokens around them",
                           config.max_length, config.name, around)};
}

}  // namespace

Result<std::unique_ptr<ServedModel>> ServedModel::load(const ModelConfig& config) {
  auto model = std::make_unique<ServedModel>();
  ModelInfo& info = model->info_;
  SHEAF_ASSIGN(info.spec, model::read_spec(config.folder, config.pooling));
  SHEAF_ASSIGN(model->tokenizer_, tokenizer::Tokenizer::load(config.folder + "/tokenizer.json",
                                                             {.lower_case = info.spec.do_lower_case,
                                                              .before = info.spec.opening_token,
                                                              .after = info.spec.closing_token}));
  SHEAF_TRY(choose_default_prompt(config, info.spec));
  SHEAF_TRY(check_vocabulary(config, model->tokenizer_->vocab_size(), info.spec.vocab_size));
  SHEAF_TRY(check_pairs(config, info.spec, *model->tokenizer_));
  SHEAF_TRY(check_length(config, info.spec, *model->tokenizer_));
  info.name = config.name;
  info.folder = config.folder;
  info.revision = config.revision;
  info.dtype = config.dtype;
  info.max_length = config.max_length > 0 ? config.max_length : info.spec.max_length;
  info.max_batch_tokens =
      config.max_batch_tokens > 0 ? config.max_batch_tokens : channel::Limits().max_batch_tokens;
  info.created_unix_s = unix_seconds();
  return model;
}

std::uint64_t ServedModel::estimate_tokens(std::uint64_t bytes) const {
  const double per_token = bytes_per_token_.load(std::memory_order_relaxed);
  return static_cast<std::uint64_t>(static_cast<double>(bytes) / per_token) + 1;
}

std::uint64_t ServedModel::estimate_tokens(const EmbedRequest& request) const {
  std::uint64_t total = 0;
  for (const Input& input : request.inputs) {
    const auto* ids = std::get_if<std::vector<std::int32_t>>(&input);
    const std::uint64_t tokens = ids != nullptr ? ids->size() : estimate_tokens(bytes_of(input));
    total += request.truncate ? std::min<std::uint64_t>(tokens, info_.max_length) : tokens;
  }
  return total;
}

void ServedModel::learn(const EmbedRequest& request, const PreparedInputs& inputs) {
  std::uint64_t bytes = 0, tokens = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const bool ids = std::holds_alternative<std::vector<std::int32_t>>(request.inputs[i]);
    const std::size_t run = inputs.ids_of(i).size();
    if (ids || run >= info_.max_length) continue;
    bytes += bytes_of(request.inputs[i]);
    tokens += run;
  }
  if (bytes == 0 || tokens == 0) return;
  const double ratio = static_cast<double>(bytes) / static_cast<double>(tokens);
  const double old = bytes_per_token_.load(std::memory_order_relaxed);
  bytes_per_token_.store(old + kLearningRate * (ratio - old), std::memory_order_relaxed);
}

}  // namespace sheaf::router
