#include <algorithm>
#include <deque>
#include <iterator>
#include <optional>

#include "api/score.h"
#include "base/clock.h"
#include "channel/offline.h"
#include "cli/child_process.h"
#include "cli/embedder.h"
#include "router/open_request.h"
#include "router/served_model.h"

namespace sheaf::cli {
namespace {

constexpr TimeUs kEndingUs = 2'000'000;  // that a process may take to end once its time is over

// A batch whose texts are token ids already.
struct PreparedBatch {
  std::vector<std::string> texts;
  router::PreparedInputs inputs;
};

// At most one batch is inside the replica, so neither end ever writes to a full pipe while the
// other does the same; a second one is tokenized meanwhile and sent when the first is back.
class OfflineEmbedder final : public Embedder {
 public:
  // `end_us`: when the process has ended, unless it hangs.
  OfflineEmbedder(ChildProcess process, std::optional<TimeUs> end_us, channel::Limits limits,
                  std::unique_ptr<router::ServedModel> model, router::EmbedRequest request,
                  std::shared_ptr<const std::string> query)
      : process_(std::move(process)),
        end_us_(end_us),
        limits_(limits),
        model_(std::move(model)),
        request_(std::move(request)),
        query_(std::move(query)) {}

  // One that owes nothing ends by itself, and says what it has to say first (SHEAF_PROFILE).
  ~OfflineEmbedder() override {
    if (!owes_answer_) process_.end();
  }

  model::Output output() const override { return request_.output; }
  std::size_t window() const override { return 2; }

  Status submit(TextLines lines) override {
    router::EmbedRequest request = request_;
    request.names = {.with = query_ == nullptr ? "" : "query", .each = std::move(lines.places)};
    for (std::string& text : lines.texts) request.inputs.push_back(to_input(std::move(text)));
    PreparedBatch batch;
    SHEAF_TRY(router::prepare_inputs(request, model_->info(), *model_->tokenizer(), 0,
                                     request.inputs.size(), batch.inputs));
    for (router::Input& input : request.inputs) batch.texts.push_back(to_text(std::move(input)));
    batches_.push_back(std::move(batch));
    return batches_.size() == 1 ? send_part(batches_.front()) : Status{};
  }

  Result<EmbeddedBatch> receive() override {
    EmbeddedBatch done{.width = model_->info().spec.width_of(output())};
    PreparedBatch batch = std::move(batches_.front());
    batches_.pop_front();
    while (true) {
      if (end_us_) SHEAF_TRY(process_.await_output(*end_us_));
      SHEAF_ASSIGN(const auto reply,
                   channel::read_offline_reply(process_.output(), items_, limits_));
      done.compute_us += reply.compute_us;
      for (const channel::Item& item : items_) done.tokens += item.ids.size();
      auto at = reply.values.begin();
      for (const std::uint32_t floats : reply.floats) {
        done.rows.emplace_back(at, at + floats);
        at += floats;
      }
      if (sent_ == batch.texts.size()) break;
      SHEAF_TRY(send_part(batch));
    }
    sent_ = 0;
    owes_answer_ = false;
    if (!batches_.empty()) SHEAF_TRY(send_part(batches_.front()));
    done.texts = std::move(batch.texts);
    done.cut_texts = batch.inputs.cut;
    return done;
  }

 private:
  router::Input to_input(std::string text) const {
    if (query_ == nullptr) return text;
    return router::TextPair{query_, std::move(text)};
  }
  static std::string to_text(router::Input input) {
    if (auto* pair = std::get_if<router::TextPair>(&input)) return std::move(pair->second);
    return std::get<std::string>(std::move(input));
  }

  // Sends as many of the texts not sent yet as the replica takes at once.
  Status send_part(const PreparedBatch& batch) {
    items_.clear();
    std::size_t tokens = 0;
    for (; sent_ < batch.texts.size() && items_.size() < limits_.max_batch_items; ++sent_) {
      const auto ids = batch.inputs.ids_of(sent_);
      if (!items_.empty() && tokens + ids.size() > limits_.max_batch_tokens) break;
      tokens += ids.size();
      items_.push_back({.ids = ids,
                        .normalize = true,
                        .dimensions = 0,
                        .second_at = batch.inputs.second_at[sent_],
                        .output = router::OpenRequest::wire_output(output())});
    }
    owes_answer_ = true;
    return channel::write_offline_batch(process_.input(), items_);
  }

  ChildProcess process_;
  const std::optional<TimeUs> end_us_;
  channel::Limits limits_;
  std::unique_ptr<router::ServedModel> model_;
  const router::EmbedRequest request_;        // without inputs
  std::shared_ptr<const std::string> query_;  // null: texts are asked about alone
  std::deque<PreparedBatch> batches_;         // the first is inside the replica
  std::vector<channel::Item> items_;          // that the replica has now, of the first batch
  bool owes_answer_ = false;                  // the replica
  std::size_t sent_ = 0;                      // texts of the first batch that have been sent
};

router::EmbedRequest request_for(const Question& question, const model::ModelSpec& spec) {
  router::EmbedRequest request;
  if (question.query != nullptr) request.task = model::Task::classify;
  request.output = question.output.value_or(spec.main_output());
  request.prompt_name = question.prompt_name;
  request.instruction = question.instruction;
  return request;
}

// What the server asks of every request: that the model is one for it and knows the prompt.
Status check(const OfflineEmbedderOptions& options, const model::ModelSpec& spec) {
  const router::ModelInfo model{
      .name = options.name, .folder = options.source.folder, .spec = spec};
  if (options.question.query != nullptr)
    SHEAF_TRY(api::check_scorer(model, api::ScoreKind::reranker));
  router::EmbedRequest request = request_for(options.question, spec);
  if (options.question.query != nullptr)
    request.inputs.emplace_back(router::TextPair{options.question.query, {}});
  else
    request.inputs.emplace_back(std::string());
  return router::check_request(request, model, 1);
}

}  // namespace

Result<std::unique_ptr<Embedder>> make_offline_embedder(const OfflineEmbedderOptions& options) {
  // What can be refused is refused before a process starts, which would complain of the same.
  SHEAF_ASSIGN(const model::ModelSpec spec,
               model::read_spec(options.source.folder, options.source.pooling));
  SHEAF_TRY(check(options, spec));
  // The process loads its weights while the tokenizer is read here.
  std::vector<std::string> command = {options.replica_program, "embed"};
  std::ranges::copy(options.source.flags(), std::back_inserter(command));
  std::optional<TimeUs> end_us;
  if (options.seconds_max > 0) {
    command.emplace_back("--seconds-max");
    command.push_back(std::to_string(options.seconds_max));
    end_us = monotonic_us() + TimeUs{options.seconds_max} * 1'000'000 + kEndingUs;
  }
  SHEAF_ASSIGN(ChildProcess process,
               ChildProcess::start(command, ChildProcess::Errors::ours, options.environment));
  SHEAF_ASSIGN(auto model, router::ServedModel::load({.name = options.name,
                                                      .folder = options.source.folder,
                                                      .revision = "",
                                                      .max_length = options.max_length,
                                                      .pooling = options.source.pooling}));
  if (end_us) SHEAF_TRY(process.await_output(*end_us));
  const auto limits = channel::read_offline_hello(process.output());
  if (!limits.ok() && limits.error().code == ErrorCode::io)
    return Error{ErrorCode::io, "its replica did not start, for the reason above"};
  if (!limits.ok()) return limits.error();
  return std::unique_ptr<Embedder>(std::make_unique<OfflineEmbedder>(
      std::move(process), end_us, *limits, std::move(model), request_for(options.question, spec),
      options.question.query));
}

}  // namespace sheaf::cli
