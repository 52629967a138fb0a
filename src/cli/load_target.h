#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "cli/http_client.h"

namespace sheaf::cli {

// What a server said of one request, besides its vectors.
struct LoadAnswer {
  std::uint64_t tokens = 0;  // really run
  TimeUs compute_us = -1;    // stamped by the replica; -1: not said
};

// A way to one server, with one request at a time under way.
class LoadLane {
 public:
  virtual ~LoadLane() = default;
  // Sends the request that LoadTarget::prepare() made as number `request`.
  virtual boost::asio::awaitable<Result<LoadAnswer>> send(std::size_t request) = 0;
};

// A server to be measured over one protocol. Requests are made before the clock runs.
class LoadTarget {
 public:
  virtual ~LoadTarget() = default;
  // Replaces the prepared requests; each is a list of texts.
  virtual void prepare(const std::vector<std::vector<std::string>>& requests) = 0;
  virtual std::size_t prepared() const = 0;
  virtual std::unique_ptr<LoadLane> open_lane(boost::asio::any_io_executor executor) = 0;
};

struct LoadTargetOptions {
  ServerAddress address;
  std::string model;    // empty: the server's default
  std::string api_key;  // empty: none
  TimeUs timeout_us = 60'000'000;
};

// POST /v1/embeddings with base64 answers, a kept-alive connection a lane.
std::unique_ptr<LoadTarget> make_http_target(LoadTargetOptions options);
// Arctic's InferenceService.Encode; lanes share a few HTTP/2 connections.
std::unique_ptr<LoadTarget> make_grpc_target(LoadTargetOptions options);

}  // namespace sheaf::cli
