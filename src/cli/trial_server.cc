#include "cli/trial_server.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <utility>

#include "cli/sample_texts.h"

namespace sheaf::cli {
namespace {

constexpr int kThreads = 2;
constexpr TimeUs kPollUs = 10'000;
// The same load whatever serves it: some 25,000 tokens, more than a large batch.
constexpr std::size_t kRequestsUnderWay = 64, kTextsARequest = 8;
constexpr TimeUs kWarmupUs = 1'000'000, kMeasuredUs = 2'000'000;
// Goes on for longer where so few requests were answered that one more or less would count.
constexpr TimeUs kMeasuredMostUs = 4'000'000;
constexpr std::uint64_t kAnswersLeast = 100;

router::Input input_of(const std::string& text, const model::ModelSpec& spec) {
  if (!spec.is_reranker()) return text;
  static const auto query = std::make_shared<const std::string>(sample_query());
  return router::TextPair{query, text};
}

// Of texts of all lengths each: neighbours among the samples are alike.
std::vector<router::EmbedRequest> requests_for(const router::ModelInfo& model) {
  const auto texts = sample_texts();
  const std::size_t apart = (texts.size() + kTextsARequest - 1) / kTextsARequest;
  std::vector<router::EmbedRequest> requests(apart);
  for (std::size_t i = 0; i < texts.size(); ++i)
    requests[i % apart].inputs.push_back(input_of(texts[i], model.spec));
  for (router::EmbedRequest& request : requests) {
    request.task = model.spec.task();
    request.output = model.spec.main_output();
    request.probe = true;  // our own: not logged
  }
  return requests;
}

}  // namespace

Result<std::unique_ptr<TrialServer>> TrialServer::start(router::RouterOptions options,
                                                        Placing placing) {
  std::unique_ptr<TrialServer> server(new TrialServer);
  options.placement = std::move(placing.placement);
  if (placing.needs_mps) {
    SHEAF_ASSIGN(server->mps_, slices::MpsUser::start(options.placement));
    options.want_mps = [user = server->mps_.get()](const std::string& uuid) { user->want(uuid); };
  }
  SHEAF_ASSIGN(server->router_,
               router::Router::create(server->io_, std::move(options), server->metrics_));
  server->requests_ = requests_for(*server->router_->models().front());
  for (int i = 0; i < kThreads; ++i)
    server->threads_.emplace_back([io = &server->io_] {
      const auto work = boost::asio::make_work_guard(*io);
      io->run();
    });
  return server;
}

TrialServer::~TrialServer() {
  io_.stop();
  for (std::thread& thread : threads_) thread.join();
  router_.reset();  // and the replicas, before the daemons whose clients they are
}

Status TrialServer::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

// Error of one that is given up.
Result<std::size_t> TrialServer::ready_replicas() const {
  std::size_t ready = 0;
  for (const router::ReplicaView& replica : router_->replicas()) {
    if (replica.status.state == core::ReplicaState::broken)
      return Error{ErrorCode::internal, "a replica does not start: " + replica.status.last_death};
    if (replica.status.state == core::ReplicaState::ready) ++ready;
  }
  return ready;
}

Status TrialServer::wait(TimeUs until_us, const Stopped& stopped) const {
  while (monotonic_us() < until_us) {
    if (stopped()) return Error{ErrorCode::unavailable, "the server was stopped"};
    SHEAF_TRY(failure());
    std::this_thread::sleep_for(std::chrono::microseconds(kPollUs));
  }
  return {};
}

Status TrialServer::wait_ready(TimeUs end_us, const Stopped& stopped) const {
  const std::size_t all = router_->replicas().size();
  for (;;) {
    SHEAF_ASSIGN(const std::size_t ready, ready_replicas());
    if (ready == all) return {};
    if (monotonic_us() >= end_us)
      return Error{ErrorCode::deadline_exceeded,
                   fmt::format("{} of {} replicas were ready in time", ready, all)};
    SHEAF_TRY(wait(monotonic_us() + kPollUs, stopped));
  }
}

Result<double> TrialServer::tokens_per_s(TimeUs end_us, const Stopped& stopped) {
  SHEAF_TRY(wait_ready(end_us - kWarmupUs - kMeasuredUs, stopped));
  for (std::size_t i = 0; i < kRequestsUnderWay; ++i) send();
  SHEAF_TRY(wait(monotonic_us() + kWarmupUs, stopped));

  const TimeUs begin_us = monotonic_us();
  const std::uint64_t answers = answered_, tokens = tokens_;
  SHEAF_TRY(wait(begin_us + kMeasuredUs, stopped));
  const TimeUs most_us = std::min(begin_us + kMeasuredMostUs, end_us);
  while (answered_ - answers < kAnswersLeast && monotonic_us() < most_us)
    SHEAF_TRY(wait(monotonic_us() + kPollUs, stopped));
  const double seconds = static_cast<double>(monotonic_us() - begin_us) * 1e-6;
  if (tokens_ == tokens)
    return Error{ErrorCode::deadline_exceeded,
                 fmt::format("no request was answered in {:.0f} s", seconds)};
  return static_cast<double>(tokens_ - tokens) / seconds;
}

void TrialServer::send() {
  router_->embed(requests_[sent_++ % requests_.size()],
                 [this](Result<router::EmbedReply> reply) { take(std::move(reply)); });
}

// Sends the next, but not from here: a refusal comes before embed() returns.
void TrialServer::take(Result<router::EmbedReply> reply) {
  if (!reply.ok()) {
    const std::lock_guard lock(mutex_);
    if (failure_.ok()) failure_ = reply.error();
    return;
  }
  ++answered_;
  tokens_ += reply->total_tokens;
  boost::asio::post(io_, [this] { send(); });
}

}  // namespace sheaf::cli
