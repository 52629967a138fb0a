#pragma once

#include <grpcpp/impl/codegen/service_type.h>

#include <memory>

#include "api/call_gate.h"
#include "api/context.h"

namespace sheaf::api {

// ArcticInference's gRPC dialect (proto/arctic.proto). Failures are reported in band, with status
// OK and EncodeResponse.error, but for those that clients may retry or cannot see (errors.cc,
// in_band). Trailing metadata carries x-sheaf-model, -replica, -slice, -tokens, -tokenize-us,
// -queue-us, -compute-us.
class ArcticService {
 public:
  // `context` and `gate`, where Encode enters, outlive the gRPC server.
  static std::unique_ptr<ArcticService> create(const Context& context, CallGate& gate);
  virtual ~ArcticService() = default;

  virtual grpc::Service& service() = 0;
};

}  // namespace sheaf::api
