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
  explicit TokenizerPool(std::uint32_t threads) : threads_(threads), pool_(threads) {}
  ~TokenizerPool() { pool_.join(); }

  using Done = std::function<void(Result<PreparedInputs>)>;
  // Calls `done` once, on this thread or one of the pool's. `request` must stay unchanged and alive
  // until then; the caller holds it in what `done` captures.
  void prepare(const EmbedRequest& request, const ModelInfo& model,
               std::shared_ptr<const tokenizer::Tokenizer> tokenizer, Done done);

 private:
  const std::uint32_t threads_;
  boost::asio::thread_pool pool_;
};

}  // namespace sheaf::router
