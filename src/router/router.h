#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "core/core.h"
#include "fleet/card_failure.h"
#include "model/spec/shard.h"
#include "model/spec/spec.h"
#include "slices/placement.h"
#include "telemetry/metrics.h"
#include "tokenizer/tokenizer.h"

// Driver around the deterministic core: tokenizer pool, timers, payloads. All dialects meet in its
// types.
namespace boost::asio {
class io_context;
}

namespace sheaf::router {

// Two texts that a model reads together: a query and a document, a premise and a conclusion. Pairs
// of one query share it: it is kept once and tokenized once.
struct TextPair {
  std::shared_ptr<const std::string> first;  // never null
  std::string second;
};
// A text, or ids that are final (nothing is added; checked against the vocabulary), or a pair.
using Input = std::variant<std::string, std::vector<std::int32_t>, TextPair>;

// What errors call a request's inputs, in the words of whoever sent them: "texts[3]", or where
// there is but one, "texts".
struct InputNames {
  std::string list = "input";
  // Where not empty: the first input came in a field of its own, and the list begins behind it.
  std::string first = {};
  // Of pairs whose first texts came in a field of their own: that.
  std::string with = {};
  // Where not empty: what each input is called, one by one.
  std::vector<std::string> each = {};

  std::string of(std::size_t index, std::size_t count) const;
};

struct EmbedRequest {
  std::string model;  // empty: the default model for the task
  std::vector<Input> inputs;
  InputNames names;
  // What the model must be for (else wrong_model_type). A classifier's vectors are its labels'
  // scores as the head gives them, no sigmoid or softmax yet; pairs are for classifiers only.
  model::Task task = model::Task::embed;
  // What each input is answered with, one that the model gives (else wrong_model_type). The options
  // normalize and dimensions are of vectors alone.
  model::Output output = model::Output::vector;
  bool truncate = true;  // false: a text over the limit is refused, naming both lengths
  std::optional<tokenizer::Side> truncation_side;  // that is cut off; unset: the model's own
  // Limits of tokens below the model's own; 0: none. Of an input, special tokens included,
  std::uint32_t max_tokens = 0;
  // and of the second text of a pair alone, which is cut to it even if `truncate` is false.
  std::uint32_t max_second_tokens = 0;
  bool normalize = true;
  std::optional<std::uint64_t> dimensions;  // 0 or above the model's: refused
  // One of the model's prompts, "" for none; unset: the model's default prompt.
  std::optional<std::string> prompt_name;
  // In place of the instruction in a model's template for pairs; "": that stays. Refused where an
  // input is no pair or the model has no template.
  std::string instruction;
  TimeUs deadline_us = 0;  // absolute, monotonic; 0: the default timeout
  core::TenantId tenant = 0;
  // As in core::RequestSpec. Who sends a message of a stream asks again if it is refused as
  // overloaded: that is neither counted nor logged, since it is no failure.
  core::StreamId stream = 0;
  std::string id;      // the client's or the dialect's name for it, for the log; empty: a number
  bool probe = false;  // the server's own: not counted, not logged
};

struct Timings {
  TimeUs total_us = 0;
  TimeUs tokenize_us = 0;
  TimeUs queue_us = 0;
  TimeUs compute_us = 0;  // as core::Answer has it, and queue_us too
};

struct EmbedReply {
  std::string model;             // served name
  std::uint32_t dimensions = 0;  // of a vector
  std::vector<float> vectors;    // [inputs, dimensions], row-major, in input order
  // Other outputs, one row an input: of sparse ones [terms, 2], ids ascending within the
  // vocabulary, each with its weight; of tokens [vectors, dimensions].
  std::vector<std::vector<float>> rows;
  std::vector<std::uint32_t> tokens;  // really run, one an input
  std::uint64_t total_tokens = 0;
  std::uint64_t cut_inputs = 0;  // that were too long and lost an end
  std::uint64_t characters = 0;  // of the texts given, a pair's first with each second
  Timings timings;
  std::string replica;  // that did the last of it
  std::string slice;
};

// Exactly one call, on a thread of the io_context, or on the caller's own before embed() returns
// (refusals).
using EmbedCallback = std::function<void(Result<EmbedReply>)>;

struct ModelInfo {
  std::string name;  // served id
  std::string revision;
  std::string folder;
  model::ModelSpec spec;
  std::uint32_t max_length = 0;        // tokens a text, special tokens included
  std::uint32_t max_batch_tokens = 0;  // that a replica takes; how many it is given is learnt
  std::string dtype = "float32";
  std::int64_t created_unix_s = 0;
};

struct ReplicaView {
  std::string name, slice, model;
  std::uint32_t ranks = 1;
  std::uint32_t streams = 1;  // batches that it is to compute at once
  std::vector<int> pids;      // of its processes that run, by rank
  core::ReplicaStatus status;
};

struct ModelConfig {
  std::string name;
  std::string folder;
  std::string revision;
  std::uint32_t replicas = 1;
  std::uint32_t max_batch_tokens = 0;  // 0: measured
  std::uint32_t max_length = 0;        // 0: the model's own
  std::string pooling;                 // as model::read_spec() takes it
  std::string dtype = "float32";       // that products are computed in
  // What a replica is divided over: processes that each have a part of every layer, or one for each
  // stage of its layers.
  std::uint32_t ranks = 1;
  std::vector<model::Stage> stages = {{}};
  std::uint32_t streams = 1;  // of a replica on a card, each with a batch

  std::uint32_t processes() const { return ranks * static_cast<std::uint32_t>(stages.size()); }
  // Of an embedder alone, put before texts that ask for no prompt, in place of the model's own
  // default; at most one of the two: one of the model's prompts ("" for none), or a text, which
  // becomes prompt "default".
  std::optional<std::string> default_prompt_name;
  std::optional<std::string> default_prompt;
};

struct RouterOptions {
  std::vector<ModelConfig> models;  // the first is the default
  std::string replica_program;
  std::string card_program;  // that runs on slices of cards
  std::vector<std::string> replica_environment;
  std::function<void(const std::string& uuid)> want_mps = {};  // as fleet::FleetOptions has it
  // Of all replicas, by model; none: processor cores, divided evenly.
  slices::Placement placement;
  core::Policy policy = core::Policy::predictive;
  TimeUs request_timeout_us = 300'000'000;
  std::uint32_t max_texts = 2048;       // a request
  std::uint64_t queue_tokens_max = 0;   // 0: the core's default
  std::uint32_t tokenizer_threads = 0;  // 0: one per core, at most 8
  std::uint64_t seed = 0;               // 0: from the clock
  // Floats of sparse rows and vectors of tokens that a request may be answered with, and all that
  // are open at a time; in JSON a float takes some 13 bytes more.
  std::uint64_t answer_floats_max = std::uint64_t{16} << 20;
  std::uint64_t open_answer_floats_max = std::uint64_t{64} << 20;
};

// Thread-safe.
class Router {
 public:
  // Reads specs and tokenizers (errors name file and field), then starts the replicas; returns
  // before they are ready. `io` and `metrics` must outlive the router; `io` is run by at least one
  // thread.
  static Result<std::unique_ptr<Router>> create(boost::asio::io_context& io, RouterOptions options,
                                                telemetry::Metrics& metrics);
  virtual ~Router() = default;

  // Runs the request; see EmbedCallback. Returns a handle for cancel().
  virtual core::RequestId embed(EmbedRequest request, EmbedCallback callback) = 0;
  // The client went away: the callback will not be called any more unless it is already under way.
  virtual void cancel(core::RequestId request) = 0;

  // Would about `text_bytes` of text for this model be taken now? Cheap: asked before a body is
  // parsed.
  virtual Status admit(std::string_view model, std::uint64_t text_bytes) const = 0;

  // The model served under `name`, or the only one whose name ends in "/name"; error not_found
  // names it. "" is the default model: the first one named at start, or the first for the task if
  // one is given.
  virtual Result<const ModelInfo*> find_model(
      std::string_view name, std::optional<model::Task> task = std::nullopt) const = 0;
  virtual std::vector<const ModelInfo*> models() const = 0;
  virtual std::shared_ptr<const tokenizer::Tokenizer> tokenizer_of(
      const ModelInfo& model) const = 0;

  // Healthy at once if a batch ended in the last 5 s, unavailable at once if a
  // model has no ready replica, else a one-token probe with a limit of 1 s. Same calling rules as
  // EmbedCallback.
  virtual void check_health(std::function<void(Status)> callback) = 0;
  virtual bool ready() const = 0;  // every model has a ready replica, and not draining
  virtual std::vector<ReplicaView> replicas() const = 0;
  virtual std::size_t open_requests() const = 0;
  virtual const RouterOptions& options() const = 0;

  // As fleet::Fleet has it.
  virtual void card_failed(const fleet::CardFailure& failure) = 0;
  virtual void card_is_well(unsigned gpu) = 0;

  // Refuses new requests, finishes the accepted ones, stops the replicas, then calls `done` once.
  virtual void drain(std::function<void()> done) = 0;
};

}  // namespace sheaf::router
