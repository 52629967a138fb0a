#include "cli/load_target.h"
#include "cli/remote_question.h"

namespace sheaf::cli {
namespace {

class HttpLane final : public LoadLane {
 public:
  HttpLane(boost::asio::any_io_executor executor, const LoadTargetOptions& options,
           const std::vector<std::string>& bodies)
      : connection_(std::move(executor), options.address, options.api_key, options.timeout_us),
        bodies_(bodies) {}

  boost::asio::awaitable<Result<LoadAnswer>> send(std::size_t request) override {
    Result<HttpAnswer> answer = co_await connection_.post("/v1/embeddings", bodies_[request]);
    if (!answer.ok()) co_return std::move(answer).error();
    if (answer->status != 200) co_return error_of(*answer);
    co_return LoadAnswer{answer->tokens, answer->compute_us};
  }

 private:
  HttpConnection connection_;
  const std::vector<std::string>& bodies_;
};

class HttpTarget final : public LoadTarget {
 public:
  explicit HttpTarget(LoadTargetOptions options) : options_(std::move(options)) {}

  void prepare(const std::vector<std::vector<std::string>>& requests) override {
    const RemoteQuestion question({.output = model::Output::vector}, options_.model);
    bodies_.clear();
    for (const auto& texts : requests) bodies_.push_back(question.body(texts));
  }
  std::size_t prepared() const override { return bodies_.size(); }
  std::unique_ptr<LoadLane> open_lane(boost::asio::any_io_executor executor) override {
    return std::make_unique<HttpLane>(std::move(executor), options_, bodies_);
  }

 private:
  LoadTargetOptions options_;
  std::vector<std::string> bodies_;
};

}  // namespace

std::unique_ptr<LoadTarget> make_http_target(LoadTargetOptions options) {
  return std::make_unique<HttpTarget>(std::move(options));
}

}  // namespace sheaf::cli
