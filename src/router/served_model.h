#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "router/prepare.h"
#include "router/router.h"
#include "tokenizer/tokenizer.h"

namespace sheaf::router {

// One model as the router serves it: what it is, its tokenizer, and a running estimate of how many
// tokens a text will have, for the door to judge a request before it is tokenized. Thread-safe.
class ServedModel {
 public:
  // Reads config.json, its kin and tokenizer.json of `config.folder`; errors name file and field.
  static Result<std::unique_ptr<ServedModel>> load(const ModelConfig& config);

  const ModelInfo& info() const { return info_; }
  const std::shared_ptr<const tokenizer::Tokenizer>& tokenizer() const { return tokenizer_; }

  // Tokens that `bytes` of text may have, before any cut.
  std::uint64_t estimate_tokens(std::uint64_t bytes) const;
  // Tokens of a request that would be run: what is cut off does not count.
  std::uint64_t estimate_tokens(const EmbedRequest& request) const;
  // Learns bytes a token from texts that were run whole; of one that was cut nobody knows.
  void learn(const EmbedRequest& request, const PreparedInputs& inputs);

 private:
  ModelInfo info_;
  std::shared_ptr<const tokenizer::Tokenizer> tokenizer_;
  std::atomic<double> bytes_per_token_{4.0};
};

}  // namespace sheaf::router
