#pragma once

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <type_traits>

#include "router/router.h"

// For the tests of api and server.
namespace sheaf::api {

// One token a word, its id the number of its letters; byte offsets as the contract says.
class FakeTokenizer final : public tokenizer::Tokenizer {
 public:
  Result<std::size_t> encode(std::string_view text, const tokenizer::EncodeOptions& options,
                             std::vector<std::int32_t>& ids) const override {
    SHEAF_ASSIGN(const std::vector<tokenizer::Token> tokens, encode_tokens(text, options));
    for (const tokenizer::Token& token : tokens) ids.push_back(token.id);
    return tokens.size();
  }
  Result<std::vector<tokenizer::Token>> encode_tokens(
      std::string_view text, const tokenizer::EncodeOptions& options) const override {
    std::vector<tokenizer::Token> tokens;
    if (options.add_special_tokens) tokens.push_back({101, "[CLS]", true, -1, -1});
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find(' ', at), text.size());
      if (end > at) {
        tokens.push_back(
            {std::int32_t(end - at), "word", false, std::int64_t(at), std::int64_t(end)});
      }
      at = end + 1;
    }
    if (options.add_special_tokens) tokens.push_back({102, "[SEP]", true, -1, -1});
    return tokens;
  }
  Status encode_bare(std::string_view text, std::vector<std::int32_t>& ids) const override {
    SHEAF_ASSIGN(std::ignore, encode(text, {.add_special_tokens = false}, ids));
    return {};
  }
  Result<tokenizer::EncodedPair> join_pair(std::span<const std::int32_t> first,
                                           std::span<const std::int32_t> second,
                                           const tokenizer::EncodeOptions&,
                                           std::vector<std::int32_t>& ids) const override {
    ids.insert(ids.end(), first.begin(), first.end());
    ids.insert(ids.end(), second.begin(), second.end());
    return tokenizer::EncodedPair{first.size() + second.size(), first.size()};
  }
  Result<std::string> decode(const std::vector<std::int32_t>& ids,
                             bool skip_special_tokens) const override {
    std::string text;
    for (const std::int32_t id : ids) {
      if (std::size_t(id) >= vocab_size()) {
        return Error{ErrorCode::invalid_argument,
                     "id " + std::to_string(id) + " is not below 1000"};
      }
      if (skip_special_tokens && (id == 101 || id == 102)) continue;
      text += (text.empty() ? "w" : " w") + std::to_string(id);
    }
    return text;
  }
  std::size_t vocab_size() const override { return 1000; }
  std::size_t special_tokens_added() const override { return 2; }
};

// Answers with vectors that depend on the input alone, on a thread of `io`; can be told to hold
// answers, to refuse, or to be unready. Thread-safe.
class FakeRouter final : public router::Router {
 public:
  static constexpr std::uint32_t kDimensions = 8;

  explicit FakeRouter(boost::asio::io_context& io) : io_(io) {
    options_.models = {{"org/model", "/models/model", "abc", 1, 4096, 0}};
    options_.max_texts = 2048;
    router::ModelInfo& model = add_model("org/model", kDimensions);
    model.spec.pooling = {model::Pooling::mean};
    model.spec.hidden_size = kDimensions;
    model.spec.prompts = {{"query", "query: "}};
  }

  // From now on there are org/reranker and org/classifier too. The score of label i is the bytes
  // of the text, or of the second less those of the first, less i. Before any request.
  void serve_classifiers() {
    add_model("org/reranker", 1).spec.labels = {"LABEL_0"};
    add_model("org/classifier", 3).spec.labels = {"contradiction", "entailment", "neutral"};
  }

  // From now on there is org/splade too. Before any request.
  void serve_splade() {
    model::ModelSpec& spec = add_model("org/splade", 1000).spec;
    spec.vocab_size = 1000;
    spec.hidden_size = kDimensions;
    spec.word_head.transform.name = "head";
  }

  // From now on there is such an embedder too, for the test to furnish. Before any request.
  model::ModelSpec& serve(std::string name) { return add_model(std::move(name), kDimensions).spec; }

  // What value `column` of the vector of `input` is, before any option.
  static float value(const router::Input& input, std::uint32_t column) {
    return value_of(hash(input), column);
  }

  // ---- controls
  void hold() {
    set([&] { holding_ = true; });
  }
  void release() {
    std::map<core::RequestId, Held> held;
    set([&] {
      holding_ = false;
      held.swap(held_);
    });
    for (auto& [id, h] : held) answer(std::move(h));
  }
  void refuse_with(std::optional<Error> error) {
    set([&] { refusal_ = std::move(error); });
  }
  void refuse_at_door(std::optional<Error> error) {
    set([&] { door_ = std::move(error); });
  }
  void set_ready(bool ready) {
    set([&] { ready_ = ready; });
  }
  void set_processes(std::vector<int> pids) {
    set([&] { pids_ = std::move(pids); });
  }
  void set_dimensions(std::uint32_t dimensions) {
    set([&] { dimensions_ = dimensions; });
  }
  // Waits until so many are held or cancelled; false after 10 s.
  bool wait_held(std::size_t count) {
    return wait([&] { return held_.size() == count; });
  }
  bool wait_cancelled(std::size_t count) {
    return wait([&] { return cancelled_ >= count; });
  }
  std::size_t embeds() const {
    return get([&] { return embeds_; });
  }
  router::EmbedRequest last() const {
    return get([&] { return last_; });
  }

  // ---- router::Router
  core::RequestId embed(router::EmbedRequest request, router::EmbedCallback callback) override {
    std::unique_lock lock(mutex_);
    ++embeds_;
    last_ = request;
    const core::RequestId id = next_id_++;
    if (std::optional<Error> error = refusal_ ? refusal_ : check(request)) {
      lock.unlock();
      callback(*error);
      return id;
    }
    Held held{std::move(request), std::move(callback)};
    if (holding_) {
      held_.emplace(id, std::move(held));
      changed_.notify_all();
      return id;
    }
    lock.unlock();
    answer(std::move(held));
    return id;
  }
  void cancel(core::RequestId request) override {
    Held dropped;  // destroyed without the lock
    std::lock_guard lock(mutex_);
    const auto found = held_.find(request);
    if (found == held_.end()) return;
    dropped = std::move(found->second);
    held_.erase(found);
    ++cancelled_;
    changed_.notify_all();
  }
  Status admit(std::string_view, std::uint64_t) const override {
    return get([&]() -> Status { return door_ ? Status(*door_) : Status(); });
  }
  Result<const router::ModelInfo*> find_model(std::string_view name,
                                              std::optional<model::Task> task = {}) const override {
    if (name.empty() && task)
      for (const router::ModelInfo& model : models_)
        if (model.spec.task() == *task) return &model;
    if (name.empty()) return &models_.front();
    for (const router::ModelInfo& model : models_)
      if (name == model.name) return &model;
    return Error{ErrorCode::not_found, "model \"" + std::string(name) + "\" is not served",
                 "model"};
  }
  std::vector<const router::ModelInfo*> models() const override {
    std::vector<const router::ModelInfo*> all;
    for (const router::ModelInfo& model : models_) all.push_back(&model);
    return all;
  }
  std::shared_ptr<const tokenizer::Tokenizer> tokenizer_of(
      const router::ModelInfo&) const override {
    return std::make_shared<FakeTokenizer>();
  }
  void check_health(std::function<void(Status)> callback) override {
    callback(ready()
                 ? Status()
                 : Status(Error{ErrorCode::unavailable, "model org/model has no ready replica"}));
  }
  bool ready() const override {
    return get([&] { return ready_; });
  }
  std::vector<router::ReplicaView> replicas() const override {
    core::ReplicaStatus status;
    status.state = core::ReplicaState::ready;
    status.restarts = 3;
    status.tokens_per_s = 1234.5;
    return {{"0", "cores:0-1", "org/model", 1, 1, get([&] { return pids_; }), status}};
  }
  std::size_t open_requests() const override {
    return get([&] { return held_.size(); });
  }
  const router::RouterOptions& options() const override { return options_; }
  void card_failed(const fleet::CardFailure&) override {}
  void card_is_well(unsigned) override {}
  void drain(std::function<void()> done) override { boost::asio::post(io_, std::move(done)); }

 private:
  static void mix(std::uint32_t& hash, std::uint32_t word) { hash = (hash ^ word) * 16777619u; }
  static std::uint32_t hash(const router::Input& input) {
    std::uint32_t hash = 2166136261u;
    if (const auto* text = std::get_if<std::string>(&input)) {
      for (const char c : *text) mix(hash, static_cast<unsigned char>(c));
    } else if (const auto* ids = std::get_if<std::vector<std::int32_t>>(&input)) {
      for (const std::int32_t id : *ids) mix(hash, std::uint32_t(id));
    }
    return hash;
  }
  static float value_of(std::uint32_t hash, std::uint32_t column) {
    mix(hash, column);
    return float(hash % 20011) / 10000.0f - 1.0f;
  }

  static float score_of(const router::Input& input, std::uint32_t label) {
    if (const auto* pair = std::get_if<router::TextPair>(&input))
      return float(pair->second.size()) - float(pair->first->size()) - float(label);
    const auto* text = std::get_if<std::string>(&input);
    return float(text ? text->size() : 0) - float(label);
  }

  // Two terms, or three tokens.
  static std::vector<float> row_of(std::uint32_t seed, model::Output output,
                                   std::uint32_t dimensions) {
    if (output == model::Output::sparse)
      return {float(seed % 500), 0.25f, float(500 + seed % 500), value_of(seed, 0)};
    std::vector<float> row;
    for (std::uint32_t i = 0; i < 3 * dimensions; ++i) row.push_back(value_of(seed, i));
    return row;
  }

  router::ModelInfo& add_model(std::string name, std::uint32_t dimensions) {
    router::ModelInfo& model = models_.emplace_back();
    model.name = std::move(name);
    model.revision = "abc";
    model.max_length = 16;
    model.max_batch_tokens = 4096;
    model.created_unix_s = 1'700'000'000;
    model.spec.dimensions = dimensions;
    return model;
  }

  struct Held {
    router::EmbedRequest request;
    router::EmbedCallback callback;
  };

  // As the real router refuses.
  std::optional<Error> check(const router::EmbedRequest& request) const {
    const Result<const router::ModelInfo*> found = find_model(request.model, request.task);
    if (!found.ok()) return found.error();
    const router::ModelInfo& model = **found;
    if (model.spec.task() != request.task) {
      return Error{ErrorCode::wrong_model_type,
                   "model " + model.name + " is not to " + std::string(name_of(request.task)),
                   "model"};
    }
    if (!model.spec.gives(request.output)) {
      return Error{ErrorCode::wrong_model_type,
                   "model " + model.name + " gives no " + std::string(name_of(request.output)),
                   "model"};
    }
    if (request.dimensions && (*request.dimensions == 0 || *request.dimensions > kDimensions)) {
      return Error{ErrorCode::invalid_argument,
                   "dimensions is " + std::to_string(*request.dimensions) + "; 1 to 8 are possible",
                   "dimensions"};
    }
    if (request.prompt_name.value_or("") != "" &&
        !model.spec.prompts.contains(*request.prompt_name)) {
      return Error{ErrorCode::invalid_argument, "there is no prompt " + *request.prompt_name,
                   "prompt_name"};
    }
    for (const router::Input& input : request.inputs) {
      const auto* text = std::get_if<std::string>(&input);
      const std::size_t words = text ? std::size_t(std::count(text->begin(), text->end(), ' ')) : 0;
      if (!request.truncate && words + 3 > model.max_length) {
        return Error{ErrorCode::invalid_argument,
                     "a text has " + std::to_string(words + 3) + " tokens; at most 16 are taken"};
      }
      const auto* ids = std::get_if<std::vector<std::int32_t>>(&input);
      if (ids &&
          std::any_of(ids->begin(), ids->end(), [](auto id) { return id < 0 || id > 999; })) {
        return Error{ErrorCode::invalid_argument, "a token id is not below 1000"};
      }
    }
    return std::nullopt;
  }

  void answer(Held held) {
    const router::ModelInfo& model = **find_model(held.request.model, held.request.task);
    const bool scores = model.spec.task() == model::Task::classify;
    const std::uint32_t dimensions =
        scores ? model.spec.dimensions : get([&] { return dimensions_; });
    boost::asio::post(io_, [held = std::move(held), &model, scores, dimensions] {
      router::EmbedReply reply;
      reply.model = model.name;
      reply.dimensions = std::uint32_t(held.request.dimensions.value_or(dimensions));
      for (const router::Input& input : held.request.inputs) {
        const std::uint32_t seed = hash(input);
        reply.tokens.push_back(3);
        if (held.request.output != model::Output::vector) {
          reply.rows.push_back(row_of(seed, held.request.output, reply.dimensions));
          continue;
        }
        for (std::uint32_t i = 0; i < reply.dimensions; ++i) {
          reply.vectors.push_back(scores ? score_of(input, i) : value_of(seed, i));
        }
      }
      reply.total_tokens = 3 * held.request.inputs.size();
      reply.timings = {5'300, 100, 200, 4'900};
      reply.replica = "0";
      reply.slice = "cores:0-1";
      held.callback(std::move(reply));
    });
  }

  template <class F>
  std::invoke_result_t<F> get(F read) const {
    std::lock_guard lock(mutex_);
    return read();
  }
  template <class F>
  void set(F write) {
    std::lock_guard lock(mutex_);
    write();
  }
  template <class F>
  bool wait(F reached) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), reached);
  }

  boost::asio::io_context& io_;
  router::RouterOptions options_;
  std::deque<router::ModelInfo> models_;  // pointers to them are given away
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<core::RequestId, Held> held_;
  core::RequestId next_id_ = 1;
  std::size_t embeds_ = 0, cancelled_ = 0;
  std::uint32_t dimensions_ = kDimensions;
  router::EmbedRequest last_;
  bool holding_ = false, ready_ = true;
  std::vector<int> pids_ = {4242};
  std::optional<Error> refusal_, door_;
};

}  // namespace sheaf::api
