#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <optional>
#include <span>

#include "cli/embedder.h"
#include "cli/remote_question.h"

namespace sheaf::cli {
namespace {

namespace asio = boost::asio;

// Enough to keep a few replicas busy while answers are written out. Vectors of tokens are megabytes
// a batch.
constexpr std::size_t kWindow = 8;
constexpr std::size_t kWindowOfTokens = 2;
constexpr TimeUs kRequestTimeoutUs = 600'000'000;
constexpr TimeUs kKeepTryingUs = 60'000'000;
constexpr unsigned kTooLarge = 413;

class RemoteEmbedder final : public Embedder {
 public:
  RemoteEmbedder(const RemoteEmbedderOptions& options, RemoteQuestion question)
      : question_(std::move(question)) {
    for (std::size_t i = 0; i < window(); ++i)
      idle_.push_back(std::make_unique<HttpConnection>(io_.get_executor(), options.address,
                                                       options.api_key, kRequestTimeoutUs));
  }

  model::Output output() const override { return question_.output(); }
  std::size_t window() const override {
    return output() == model::Output::tokens ? kWindowOfTokens : kWindow;
  }

  Status submit(TextLines lines) override {
    auto job = std::make_shared<Job>();
    job->batch.texts = std::move(lines.texts);
    job->places = std::move(lines.places);
    jobs_.push_back(job);
    asio::co_spawn(io_, run(job), asio::detached);
    io_.restart();
    io_.poll();
    return {};
  }

  Result<EmbeddedBatch> receive() override {
    const std::shared_ptr<Job> job = jobs_.front();
    jobs_.pop_front();
    io_.restart();
    while (!job->status) io_.run_one();
    if (!job->status->ok()) return job->status->error();
    return std::move(job->batch);
  }

 private:
  struct Job {
    EmbeddedBatch batch;
    std::vector<std::string> places;
    std::optional<Status> status;  // when it is over
  };

  asio::awaitable<void> run(std::shared_ptr<Job> job) {
    // As many connections as jobs may be under way: one is idle.
    std::unique_ptr<HttpConnection> connection = std::move(idle_.back());
    idle_.pop_back();
    Status status = co_await answer(*connection, job->batch.texts, job->places, job->batch);
    idle_.push_back(std::move(connection));
    job->status = std::move(status);
  }

  // Adds the rows of `texts`, in halves if the server finds them too many for one answer.
  asio::awaitable<Status> answer(HttpConnection& connection, std::span<const std::string> texts,
                                 std::span<const std::string> places, EmbeddedBatch& batch) {
    const Result<HttpAnswer> said = co_await ask(connection, question_.body(texts));
    if (!said.ok()) co_return said.error();
    if (said->status == kTooLarge && texts.size() > 1) {
      const std::size_t half = texts.size() / 2;
      Status first = co_await answer(connection, texts.first(half), places.first(half), batch);
      if (!first.ok()) co_return first;
      co_return co_await answer(connection, texts.subspan(half), places.subspan(half), batch);
    }
    if (said->status != 200) co_return question_.in_its_place(error_of(*said), places);
    batch.cut_texts += said->cut_texts;
    co_return question_.read(said->body, texts.size(), batch);
  }

  asio::awaitable<Result<HttpAnswer>> ask(HttpConnection& connection, std::string body) {
    const TimeUs give_up_us = monotonic_us() + kKeepTryingUs;
    asio::steady_timer pause(io_);
    while (true) {
      Result<HttpAnswer> answer = co_await connection.post(question_.target(), body);
      const bool for_now = answer.ok() && (answer->status == 429 || answer->status == 503);
      if (!for_now || monotonic_us() > give_up_us) co_return answer;
      pause.expires_after(std::chrono::milliseconds(500));
      co_await pause.async_wait(kAwait);
    }
  }

  RemoteQuestion question_;
  asio::io_context io_{1};
  std::vector<std::unique_ptr<HttpConnection>> idle_;
  std::deque<std::shared_ptr<Job>> jobs_;
};

// The body of an answer with status 200, else nothing.
Result<std::optional<std::string>> get(const RemoteEmbedderOptions& options,
                                       const std::string& target) {
  SHEAF_ASSIGN(HttpAnswer said,
               get_once(options.address, options.api_key, kRequestTimeoutUs, target));
  if (said.status != 200) return std::optional<std::string>();
  return std::optional(std::move(said.body));
}

// A server that does not say, or knows no such model, is asked for vectors: it then says why not.
Result<model::Output> ask_main_output(const RemoteEmbedderOptions& options) {
  std::string target = "/info";
  if (options.model.empty()) {
    // /info would tell of the server's first model, which need not embed.
    SHEAF_ASSIGN(const auto models, get(options, "/v1/models"));
    if (models)
      if (const auto output = main_output_in(*models)) return *output;
  } else {
    target += "?model=" + percent_encode(options.model);
  }
  SHEAF_ASSIGN(const auto info, get(options, target));
  return info ? main_output_of(*info) : model::Output::vector;
}

}  // namespace

Result<std::unique_ptr<Embedder>> make_remote_embedder(RemoteEmbedderOptions options) {
  Question& question = options.question;
  if (question.query != nullptr) question.output = model::Output::vector;
  if (!question.output) {
    SHEAF_ASSIGN(question.output, ask_main_output(options));
  }
  return std::unique_ptr<Embedder>(
      std::make_unique<RemoteEmbedder>(options, RemoteQuestion(question, options.model)));
}

}  // namespace sheaf::cli
