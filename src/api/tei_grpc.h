#pragma once

#include <grpcpp/impl/codegen/service_type.h>

#include <memory>
#include <string>
#include <vector>

#include "api/call_gate.h"
#include "api/context.h"
#include "api/stream_room.h"

namespace sheaf::api {

// TEI's dialect over gRPC: the five services of proto/tei.proto.
class TeiServices {
 public:
  // `context`, `gate` and `room` outlive the gRPC server and what is left of its streams.
  static std::unique_ptr<TeiServices> create(const Context& context, CallGate& gate,
                                             StreamRoom& room);
  virtual ~TeiServices() = default;

  virtual std::vector<grpc::Service*> all() = 0;

  // Their names: of all, of those that need no replica, and of those that a served model answers.
  static std::vector<std::string> names();
  static std::vector<std::string> modelless();
  static std::vector<std::string> answered_by(const router::Router& router);
};

}  // namespace sheaf::api
