#pragma once

#include <grpcpp/impl/codegen/service_type.h>

#include <chrono>
#include <memory>

#include "api/context.h"

namespace sheaf::api {

// ArcticInference's gRPC dialect (proto/arctic.proto). Failures are reported in band, with status
// OK and EncodeResponse.error, but for those that clients may retry or cannot see (errors.cc,
// in_band). Trailing metadata carries x-sheaf-model, -replica, -slice, -tokens, -tokenize-us,
// -queue-us, -compute-us.
class ArcticService {
 public:
  // `context` outlives the gRPC server.
  static std::unique_ptr<ArcticService> create(const Context& context);
  virtual ~ArcticService() = default;

  virtual grpc::Service& service() = 0;
  // Refuses new calls and waits for those at hand. False if some are left when the time is over.
  virtual bool drain(std::chrono::milliseconds timeout) = 0;
};

}  // namespace sheaf::api
