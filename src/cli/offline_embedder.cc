#include <fmt/core.h>

#include <deque>
#include <optional>

#include "channel/offline.h"
#include "cli/child_process.h"
#include "cli/embedder.h"
#include "router/prepare.h"

namespace sheaf::cli {
namespace {

// A batch whose texts are token ids already.
struct PreparedBatch {
  std::vector<std::string> texts;
  router::PreparedInputs inputs;
};

// At most one batch is inside the replica, so neither end ever writes to a full pipe while the
// other does the same; a second one is tokenized meanwhile and sent when the first is back.
class OfflineEmbedder final : public Embedder {
 public:
  OfflineEmbedder(ChildProcess process, channel::Limits limits, router::ModelInfo model,
                  std::shared_ptr<const tokenizer::Tokenizer> tokenizer,
                  router::EmbedRequest request)
      : process_(std::move(process)),
        limits_(limits),
        model_(std::move(model)),
        tokenizer_(std::move(tokenizer)),
        request_(std::move(request)) {}

  std::size_t window() const override { return 2; }

  Status submit(std::vector<std::string> texts) override {
    router::EmbedRequest request = request_;
    for (std::string& text : texts) request.inputs.emplace_back(std::move(text));
    PreparedBatch batch;
    SHEAF_TRY(router::prepare_inputs(request, model_, *tokenizer_, 0, request.inputs.size(),
                                     batch.inputs));
    for (router::Input& input : request.inputs)
      batch.texts.push_back(std::get<std::string>(std::move(input)));
    batches_.push_back(std::move(batch));
    return batches_.size() == 1 ? send_part(batches_.front()) : Status{};
  }

  Result<EmbeddedBatch> receive() override {
    EmbeddedBatch done{.dimensions = limits_.row_floats};
    PreparedBatch batch = std::move(batches_.front());
    batches_.pop_front();
    while (true) {
      SHEAF_ASSIGN(const auto reply,
                   channel::read_offline_reply(process_.output(), items_, limits_));
      done.vectors.insert(done.vectors.end(), reply.values.begin(), reply.values.end());
      if (sent_ == batch.texts.size()) break;
      SHEAF_TRY(send_part(batch));
    }
    sent_ = 0;
    if (!batches_.empty()) SHEAF_TRY(send_part(batches_.front()));
    done.texts = std::move(batch.texts);
    return done;
  }

 private:
  // Sends as many of the texts not sent yet as the replica takes at once.
  Status send_part(const PreparedBatch& batch) {
    items_.clear();
    std::size_t tokens = 0;
    for (; sent_ < batch.texts.size() && items_.size() < limits_.max_batch_items; ++sent_) {
      const auto ids = batch.inputs.ids_of(sent_);
      if (!items_.empty() && tokens + ids.size() > limits_.max_batch_tokens) break;
      tokens += ids.size();
      items_.push_back({.ids = ids, .normalize = true, .dimensions = 0});
    }
    return channel::write_offline_batch(process_.input(), items_);
  }

  ChildProcess process_;
  channel::Limits limits_;
  router::ModelInfo model_;
  std::shared_ptr<const tokenizer::Tokenizer> tokenizer_;
  const router::EmbedRequest request_;  // without inputs
  std::deque<PreparedBatch> batches_;   // the first is inside the replica
  std::vector<channel::Item> items_;    // that the replica has now, of the first batch
  std::size_t sent_ = 0;                // texts of the first batch that have been sent
};

// What the router asks of every request: that the model embeds and knows the prompt.
Status check(router::EmbedRequest request, const router::ModelInfo& model) {
  request.inputs.emplace_back(std::string());
  return router::check_request(request, model, 1);
}

}  // namespace

Result<std::unique_ptr<Embedder>> make_offline_embedder(const OfflineEmbedderOptions& options) {
  // The process loads its weights while the tokenizer is read here.
  SHEAF_ASSIGN(ChildProcess process,
               ChildProcess::start({options.replica_program, "embed", "--model", options.folder}));
  router::ModelInfo model;
  model.folder = options.folder;
  model.name = options.folder;
  SHEAF_ASSIGN(model.spec, model::read_spec(options.folder));
  model.max_length = options.max_length == 0 ? model.spec.max_length : options.max_length;
  if (model.max_length > model.spec.positions)
    return Error{ErrorCode::invalid_argument,
                 fmt::format("--max-length {} is above the {} positions of the model",
                             model.max_length, model.spec.positions)};
  router::EmbedRequest request;
  if (!options.prompt_name.empty()) request.prompt_name = options.prompt_name;
  SHEAF_TRY(check(request, model));
  SHEAF_ASSIGN(auto tokenizer, tokenizer::Tokenizer::load(options.folder + "/tokenizer.json"));
  SHEAF_ASSIGN(const channel::Limits limits, channel::read_offline_hello(process.output()));
  return std::unique_ptr<Embedder>(std::make_unique<OfflineEmbedder>(
      std::move(process), limits, std::move(model), std::move(tokenizer), std::move(request)));
}

}  // namespace sheaf::cli
