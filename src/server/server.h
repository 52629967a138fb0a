#pragma once

#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "api/options.h"
#include "base/result.h"
#include "router/router.h"
#include "telemetry/metrics.h"

namespace sheaf::server {

// Every limit of the two listeners. An answer that a limit causes names the number.
struct ServerOptions {
  std::string host = "127.0.0.1";   // address or name; "::" and "0.0.0.0" listen everywhere
  std::uint16_t http_port = 8080;   // 0: the system chooses
  std::uint16_t grpc_port = 50050;  // 0: the system chooses

  std::size_t header_bytes_max = 32u << 10;         // 431 beyond
  std::size_t body_bytes_max = 32u << 20;           // after decompression too; 413 beyond
  std::size_t bodies_bytes_max = 1u << 30;          // of all requests under way; 429 beyond
  std::size_t grpc_message_bytes_max = 100u << 20;  // RESOURCE_EXHAUSTED beyond
  // Messages and answers of all streams; those that have some under way are not read beyond.
  std::size_t grpc_streams_bytes_max = 256u << 20;
  // What gRPC holds for all connections, of messages that come and answers that go; beyond, it
  // reads less of each, and ends calls with RESOURCE_EXHAUSTED if that does not help.
  std::size_t grpc_memory_bytes_max = 1u << 30;
  std::uint32_t grpc_calls_max = 1024;          // of a connection; more wait in the client
  std::uint32_t grpc_keepalive_ms = 60'000;     // in silence, then the client is pinged
  std::uint32_t grpc_ping_timeout_ms = 20'000;  // no answer to that: the client is gone
  std::uint32_t grpc_ping_interval_ms = 5'000;  // clients that ping more often are closed
  std::size_t connections_max = 8192;           // HTTP; 503 beyond
  std::uint32_t header_timeout_ms = 10'000;     // first byte of a request to the end of its header
  std::uint32_t body_timeout_ms = 60'000;       // end of the header to the end of the body
  std::uint32_t idle_timeout_ms = 120'000;      // between two requests of a connection
  std::uint32_t write_timeout_ms = 60'000;      // a whole answer
  std::uint32_t drain_timeout_ms = 30'000;      // then drain() closes what is still open

  api::ApiOptions api;
};

// The HTTP and the gRPC listener in front of one router. HTTP runs on the threads of `io`, a strand
// a connection; gRPC on threads of its own library.
class Server {
 public:
  // Whether both ports can be bound now. For those who have long work before start(), which may
  // still find that another program was faster.
  static Status check_ports(const ServerOptions& options);

  // Binds both ports and begins to serve. Errors name the address. `io`, `router` and `metrics`
  // must outlive the server, and `router` the last run of `io`.
  static Result<std::unique_ptr<Server>> start(boost::asio::io_context& io, router::Router& router,
                                               telemetry::Metrics& metrics, ServerOptions options);
  // Closes listeners and connections at once.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  std::uint16_t http_port() const;
  std::uint16_t grpc_port() const;
  std::size_t connections() const;  // HTTP, open now

  // Stops accepting, closes idle connections, finishes the requests at hand (answers say
  // "Connection: close"), then calls `done` once on a thread of `io`. Call it before
  // Router::drain(), which refuses new requests. Thread-safe.
  void drain(std::function<void()> done);

 private:
  class Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sheaf::server
