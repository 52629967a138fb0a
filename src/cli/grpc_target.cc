#include <fmt/core.h>
#include <grpcpp/grpcpp.h>

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>
#include <chrono>

#include "arctic.grpc.pb.h"
#include "cli/load_target.h"

namespace sheaf::cli {
namespace {

namespace asio = boost::asio;
namespace wire = arctic_inference;

// HTTP/2 connections that the lanes share. One would be served by one thread of the server.
constexpr std::size_t kChannels = 4;
constexpr int kMessageBytesMax = 1 << 30;

// Answers carry in their metadata what HTTP answers carry in headers.
std::int64_t number_of(const grpc::ClientContext& context, const char* name,
                       std::int64_t otherwise) {
  for (const auto* metadata :
       {&context.GetServerInitialMetadata(), &context.GetServerTrailingMetadata()}) {
    const auto found = metadata->find(name);
    if (found == metadata->end()) continue;
    std::int64_t number = otherwise;
    std::from_chars(found->second.data(), found->second.data() + found->second.size(), number);
    return number;
  }
  return otherwise;
}

// Starts a call by `start(callback)` and waits for its end on the coroutine's own executor.
template <class Start>
asio::awaitable<grpc::Status> await_call(Start start) {
  auto initiate = [start = std::move(start)](auto handler) mutable {
    const auto executor = asio::get_associated_executor(handler);
    // gRPC wants a copyable callback, and its threads are unknown to the executor.
    auto shared = std::make_shared<decltype(handler)>(std::move(handler));
    start([shared, executor, work = asio::make_work_guard(executor)](grpc::Status status) {
      asio::post(executor, [shared, status = std::move(status)]() mutable {
        std::move (*shared)(std::move(status));
      });
    });
  };
  return asio::async_initiate<const asio::use_awaitable_t<>&, void(grpc::Status)>(
      std::move(initiate), asio::use_awaitable);
}

class GrpcLane final : public LoadLane {
 public:
  GrpcLane(std::shared_ptr<grpc::Channel> channel, const LoadTargetOptions& options,
           const std::vector<wire::EncodeRequest>& requests)
      : stub_(wire::InferenceService::NewStub(std::move(channel))),
        options_(options),
        requests_(requests) {}

  asio::awaitable<Result<LoadAnswer>> send(std::size_t request) override {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::microseconds(options_.timeout_us));
    if (!options_.api_key.empty())
      context.AddMetadata("authorization", "Bearer " + options_.api_key);
    wire::EncodeResponse response;
    const auto start = [&, this](std::function<void(grpc::Status)> callback) {
      stub_->async()->Encode(&context, &requests_[request], &response, std::move(callback));
    };
    const grpc::Status status = co_await await_call(start);
    if (!status.ok())
      co_return Error{ErrorCode::io,
                      fmt::format("gRPC {}: {}", int(status.error_code()), status.error_message())};
    if (!response.error().empty()) co_return Error{ErrorCode::io, response.error()};
    co_return LoadAnswer{static_cast<std::uint64_t>(number_of(context, "x-sheaf-tokens", 0)),
                         number_of(context, "x-sheaf-compute-us", -1)};
  }

 private:
  std::unique_ptr<wire::InferenceService::Stub> stub_;
  const LoadTargetOptions& options_;
  const std::vector<wire::EncodeRequest>& requests_;
};

class GrpcTarget final : public LoadTarget {
 public:
  explicit GrpcTarget(LoadTargetOptions options) : options_(std::move(options)) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // else they share one connection
    for (std::size_t i = 0; i < kChannels; ++i)
      channels_.push_back(grpc::CreateCustomChannel(options_.address.text(),
                                                    grpc::InsecureChannelCredentials(), arguments));
  }

  void prepare(const std::vector<std::vector<std::string>>& requests) override {
    requests_.clear();
    for (const auto& texts : requests) {
      wire::EncodeRequest& request = requests_.emplace_back();
      request.set_n_prompts(static_cast<std::int32_t>(texts.size()));
      request.set_model_name(options_.model);
      for (const std::string& text : texts) request.add_prompts(text);
    }
  }
  std::size_t prepared() const override { return requests_.size(); }
  std::unique_ptr<LoadLane> open_lane(asio::any_io_executor) override {
    return std::make_unique<GrpcLane>(channels_[next_channel_++ % kChannels], options_, requests_);
  }

 private:
  LoadTargetOptions options_;
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
  std::size_t next_channel_ = 0;
  std::vector<wire::EncodeRequest> requests_;
};

}  // namespace

std::unique_ptr<LoadTarget> make_grpc_target(LoadTargetOptions options) {
  return std::make_unique<GrpcTarget>(std::move(options));
}

}  // namespace sheaf::cli
