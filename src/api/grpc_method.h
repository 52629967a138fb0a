#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>

#include <functional>
#include <string>

#include "api/context.h"
#include "base/result.h"

// What the dialects of gRPC have in common: who calls, and a method as bytes in and bytes out.
// Bytes, since grpc++ ends a stream in silence at a message that it cannot parse itself.
namespace sheaf::api {

// Read from a call's metadata ("authorization", "x-sheaf-model") and its deadline.
struct GrpcCaller {
  const Context& context;
  core::TenantId tenant = 0;
  TimeUs deadline_us = 0;     // absolute, on our clock; 0: the client set none
  std::string model;          // "": the default model for the task
  core::StreamId stream = 0;  // whose messages are its requests
};
// Refused, as unauthenticated, without a key where one is needed.
Result<GrpcCaller> read_caller(const Context& context, const grpc::CallbackServerContext& rpc);

// A message that answers one message, and who made it.
struct GrpcAnswer {
  grpc::ByteBuffer message;
  std::string model, replica, slice;  // replica and slice: "" if none was needed
};
using GrpcRespond = std::function<void(Result<GrpcAnswer>)>;

struct GrpcMethod {
  // Begins the work and calls `respond` once, now or later, on any thread. Returns what
  // Router::cancel() takes, or 0.
  core::RequestId (*begin)(const GrpcCaller& caller, const grpc::ByteBuffer& message,
                           const GrpcRespond& respond);
  // How many bytes the answer to a message of that size may have. Null: answers are small, or all
  // of about one size.
  std::size_t (*answer_bytes)(const GrpcCaller& caller, std::size_t message_bytes) = nullptr;
};

// x-sheaf-model, -replica and -slice, for what is not "".
void add_trailers(grpc::CallbackServerContext& rpc, const std::string& model,
                  const std::string& replica, const std::string& slice);

// Counts and logs a call that the router never saw; gives its status.
grpc::Status refusal_status(const Context& context, const Error& error);

}  // namespace sheaf::api
