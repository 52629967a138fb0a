#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/http_client.h"
#include "cli/model_source.h"
#include "cli/text_source.h"
#include "model/spec/spec.h"

namespace sheaf::cli {

// What is asked about every text.
struct Question {
  std::optional<model::Output> output;  // nothing: what the model gives where it is not asked
  // One of the model's prompts, "" for none; nothing: the model's default.
  std::optional<std::string> prompt_name;
  // In place of the instruction in a reranker's template; "": that stays.
  std::string instruction = {};
  // Not null: the texts are documents, and each is answered with a reranker's score for this query,
  // a vector of one number, as the model's head gives it.
  std::shared_ptr<const std::string> query;
};

struct EmbeddedBatch {
  std::vector<std::string> texts;
  std::vector<std::vector<float>> rows;  // one a text, as engine::Engine::embed() has them
  std::uint32_t width = 0;               // numbers of a vector, of a text or a token
  std::uint64_t cut_texts = 0;           // that were too long and lost an end
  // Of an embedder here: what the texts came to, and how long the model took.
  std::uint64_t tokens = 0;
  std::int64_t compute_us = 0;
};

// What turns the texts of `sheaf embed` and `sheaf rerank` into rows. Several batches may be under
// way, so that reading, tokenizing, computing and writing go on side by side. One thread.
class Embedder {
 public:
  virtual ~Embedder() = default;
  virtual model::Output output() const = 0;
  // Batches that may be submitted before the first of them is received.
  virtual std::size_t window() const = 0;
  // A text that is refused is called by its place.
  virtual Status submit(TextLines lines) = 0;
  // The oldest batch submitted and not yet received; waits for it.
  virtual Result<EmbeddedBatch> receive() = 0;
};

// By a `sheaf-replica embed` process of its own, on the model's files in `folder`: the same
// preparation of texts, the same rows and the same refusals as a server's.
struct OfflineEmbedderOptions {
  std::string replica_program;
  std::string name;  // of the model, in refusals
  ModelSource source;
  std::uint32_t max_length = 0;  // 0: the model's own
  Question question;
  // That the process may live; 0: as long as it is wanted. One that does not end then, for it hangs
  // in a driver, is waited for no longer: error deadline_exceeded.
  int seconds_max = 0;
  std::vector<std::string> environment = {};  // "NAME=value", of the process
};
Result<std::unique_ptr<Embedder>> make_offline_embedder(const OfflineEmbedderOptions& options);

struct RemoteEmbedderOptions {
  ServerAddress address;
  std::string model;  // empty: the server's default
  std::string api_key;
  Question question;
};
// By a running server over HTTP, which is asked what the model gives if `question` leaves it open.
// Refusals for the moment (429, 503) are tried again for a minute.
Result<std::unique_ptr<Embedder>> make_remote_embedder(RemoteEmbedderOptions options);

}  // namespace sheaf::cli
