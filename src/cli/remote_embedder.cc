#include <fmt/core.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstring>
#include <deque>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/base64.h"
#include "cli/embedder.h"

namespace sheaf::cli {
namespace {

namespace asio = boost::asio;
constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

// Enough to keep a few replicas busy while answers are written out.
constexpr std::size_t kWindow = 8;
constexpr TimeUs kRequestTimeoutUs = 600'000'000;
constexpr TimeUs kKeepTryingUs = 60'000'000;

Error strange_answer(std::string_view what) {
  return Error{ErrorCode::corrupt, fmt::format("the server's answer {}", what)};
}

Status append_vector(const nlohmann::json& entry, EmbeddedBatch& batch) {
  if (!entry.is_object() || !entry.contains("embedding") || !entry["embedding"].is_string())
    return strange_answer("holds an entry without a base64 embedding");
  const auto bytes = decode_base64(entry["embedding"].get_ref<const std::string&>());
  if (!bytes || bytes->size() % sizeof(float) != 0) return strange_answer("holds broken base64");
  const std::size_t dimensions = bytes->size() / sizeof(float);
  if (batch.dimensions == 0) batch.dimensions = static_cast<std::uint32_t>(dimensions);
  if (dimensions != batch.dimensions) return strange_answer("mixes vectors of different lengths");
  const std::size_t before = batch.vectors.size();
  batch.vectors.resize(before + dimensions);
  std::memcpy(batch.vectors.data() + before, bytes->data(), bytes->size());
  return {};
}

Status read_vectors(const std::string& body, EmbeddedBatch& batch) {
  const auto json = nlohmann::json::parse(body, nullptr, false);
  if (!json.is_object() || !json.contains("data") || !json["data"].is_array())
    return strange_answer("is not an OpenAI embedding list");
  if (json["data"].size() != batch.texts.size())
    return strange_answer(
        fmt::format("holds {} vectors for {} texts", json["data"].size(), batch.texts.size()));
  for (const auto& entry : json["data"]) SHEAF_TRY(append_vector(entry, batch));
  return {};
}

class RemoteEmbedder final : public Embedder {
 public:
  explicit RemoteEmbedder(RemoteEmbedderOptions options) : options_(std::move(options)) {
    for (std::size_t i = 0; i < kWindow; ++i)
      idle_.push_back(std::make_unique<HttpConnection>(io_.get_executor(), options_.address,
                                                       options_.api_key, kRequestTimeoutUs));
  }

  std::size_t window() const override { return kWindow; }

  Status submit(std::vector<std::string> texts) override {
    auto job = std::make_shared<Job>();
    job->batch.texts = std::move(texts);
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
    std::optional<Status> status;  // when it is over
  };

  asio::awaitable<void> run(std::shared_ptr<Job> job) {
    // As many connections as jobs may be under way: one is idle.
    std::unique_ptr<HttpConnection> connection = std::move(idle_.back());
    idle_.pop_back();
    const std::string body =
        embeddings_body(job->batch.texts, options_.model, options_.prompt_name);
    const Result<HttpAnswer> answer = co_await ask(*connection, body);
    idle_.push_back(std::move(connection));
    if (!answer.ok())
      job->status = answer.error();
    else if (answer->status != 200)
      job->status = error_of(*answer);
    else
      job->status = read_vectors(answer->body, job->batch);
  }

  asio::awaitable<Result<HttpAnswer>> ask(HttpConnection& connection, const std::string& body) {
    const TimeUs give_up_us = monotonic_us() + kKeepTryingUs;
    asio::steady_timer pause(io_);
    while (true) {
      Result<HttpAnswer> answer = co_await connection.post("/v1/embeddings", body);
      const bool for_now = answer.ok() && (answer->status == 429 || answer->status == 503);
      if (!for_now || monotonic_us() > give_up_us) co_return answer;
      pause.expires_after(std::chrono::milliseconds(500));
      co_await pause.async_wait(kAwait);
    }
  }

  RemoteEmbedderOptions options_;
  asio::io_context io_{1};
  std::vector<std::unique_ptr<HttpConnection>> idle_;
  std::deque<std::shared_ptr<Job>> jobs_;
};

}  // namespace

std::unique_ptr<Embedder> make_remote_embedder(RemoteEmbedderOptions options) {
  return std::make_unique<RemoteEmbedder>(std::move(options));
}

}  // namespace sheaf::cli
