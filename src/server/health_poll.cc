#include "server/health_poll.h"

#include <boost/asio/post.hpp>
#include <chrono>

namespace sheaf::server {
namespace {

constexpr std::chrono::milliseconds kInterval{100};

}  // namespace

HealthPoll::HealthPoll(asio::io_context& io, const router::Router& router,
                       grpc::HealthCheckServiceInterface& health, std::vector<std::string> services)
    : timer_(asio::make_strand(io)),
      services_(std::move(services)),
      router_(&router),
      health_(&health) {}

void HealthPoll::start() {
  look();
  asio::post(timer_.get_executor(), [self = shared_from_this()] { self->wait(); });
}

void HealthPoll::stop() {
  std::lock_guard lock(mutex_);
  router_ = nullptr;
  asio::post(timer_.get_executor(), [self = shared_from_this()] { self->timer_.cancel(); });
}

void HealthPoll::look() {
  std::lock_guard lock(mutex_);
  if (router_ == nullptr) return;
  const bool ready = router_->ready();
  for (const std::string& service : services_) health_->SetServingStatus(service, ready);
}

void HealthPoll::wait() {
  timer_.expires_after(kInterval);
  timer_.async_wait([self = shared_from_this()](const boost::system::error_code& ec) {
    if (ec) return;
    self->look();
    self->wait();
  });
}

}  // namespace sheaf::server
