#pragma once

#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <memory>

#include "router/prepare.h"

namespace sheaf::router {

// Turns a request's texts into ids outside any replica. Short requests are done on the calling
// thread, since handing them over costs more than the work; long ones are cut into pieces for the
// pool's threads.
class TokenizerPool {
 public:
  TokenizerPool(std::uint32_t threads, telemetry::Metrics& metrics)
      : threads_(threads), metrics_(metrics), pool_(threads) {}
  ~TokenizerPool() { pool_.join(); }

  using Done = std::function<void(Result<PreparedInputs>)>;
  // Calls `done` once, on this thread or one of the pool's. `request` must stay unchanged and alive
  // until then; the caller holds it in what `done` captures.
  void prepare(const EmbedRequest& request, const ModelInfo& model,
               std::shared_ptr<const tokenizer::Tokenizer> tokenizer, Done done);

 private:
  Result<PreparedInputs> prepare_here(const EmbedRequest& request, const ModelInfo& model,
                                      const tokenizer::Tokenizer& tokenizer, std::uint64_t bytes);

  const std::uint32_t threads_;
  telemetry::Metrics& metrics_;
  boost::asio::thread_pool pool_;
};

}  // namespace sheaf::router
