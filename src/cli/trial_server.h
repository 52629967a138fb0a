#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "cli/placing.h"
#include "router/router.h"
#include "slices/mps_user.h"
#include "telemetry/metrics.h"

namespace sheaf::cli {

// A server of one model without listeners, kept busy by sample texts: what its replicas serve
// together, tokenizing included. They end with it, and with the process.
class TrialServer {
 public:
  // Starts the replicas; `options` has the one model and all but its placement.
  static Result<std::unique_ptr<TrialServer>> start(router::RouterOptions options, Placing placing);
  ~TrialServer();
  TrialServer(const TrialServer&) = delete;
  TrialServer& operator=(const TrialServer&) = delete;

  // Waits until all replicas are ready, then for some seconds of answers, and no later than until
  // `end_us`. Asks `stopped` all the while. To be called once.
  Result<double> tokens_per_s(TimeUs end_us, const std::function<bool()>& stopped);

 private:
  using Stopped = std::function<bool()>;
  TrialServer() = default;
  Result<std::size_t> ready_replicas() const;
  Status wait_ready(TimeUs end_us, const Stopped& stopped) const;
  Status wait(TimeUs until_us, const Stopped& stopped) const;
  Status failure() const;
  void send();
  void take(Result<router::EmbedReply> reply);

  telemetry::Metrics metrics_;
  boost::asio::io_context io_;  // destroyed after what runs on it
  std::unique_ptr<slices::MpsUser> mps_;
  std::unique_ptr<router::Router> router_;
  std::vector<std::thread> threads_;
  std::vector<router::EmbedRequest> requests_;  // sent in turn
  std::atomic<std::uint64_t> sent_{0}, answered_{0}, tokens_{0};
  mutable std::mutex mutex_;
  Status failure_;  // of the first request that failed
};

}  // namespace sheaf::cli
