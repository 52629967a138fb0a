#pragma once

#include <gtest/gtest.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "api/fake_router.h"
#include "server/server.h"
#include "server/test_client.h"
#include "telemetry/metrics.h"

namespace sheaf::server {

// A server over a FakeRouter on ports of the system's choice, with two threads.
class TestServer {
 public:
  explicit TestServer(ServerOptions options = {}) : router(io_) {
    options.http_port = 0;
    options.grpc_port = 0;
    auto started = Server::start(io_, router, metrics, std::move(options));
    EXPECT_TRUE(started.ok()) << (started.ok() ? "" : started.error().message);
    if (started.ok()) server = std::move(*started);
    for (int i = 0; i < 2; ++i) threads_.emplace_back([this] { io_.run(); });
  }
  ~TestServer() {
    server.reset();
    work_.reset();
    io_.stop();
    for (std::thread& thread : threads_) thread.join();
  }
  TestClient client() const { return TestClient(server->http_port()); }
  bool drain() {
    auto drained = std::make_shared<std::promise<void>>();
    server->drain([drained] { drained->set_value(); });
    return drained->get_future().wait_for(std::chrono::seconds(10)) == std::future_status::ready;
  }

 private:
  boost::asio::io_context io_{2};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      io_.get_executor()};
  std::vector<std::thread> threads_;

 public:
  api::FakeRouter router;
  telemetry::Metrics metrics;
  std::unique_ptr<Server> server;
};

}  // namespace sheaf::server
