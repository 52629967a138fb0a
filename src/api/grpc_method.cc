#include "api/grpc_method.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "api/embed.h"
#include "api/errors.h"
#include "api/keys.h"

namespace sheaf::api {
namespace {

std::string_view metadata_of(const grpc::CallbackServerContext& rpc, const char* key) {
  const auto& metadata = rpc.client_metadata();
  const auto found = metadata.find(key);
  if (found == metadata.end()) return {};
  return {found->second.data(), found->second.size()};
}

TimeUs deadline_of(const grpc::CallbackServerContext& rpc) {
  const auto deadline = rpc.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return 0;
  const auto left = std::chrono::duration_cast<std::chrono::microseconds>(
      deadline - std::chrono::system_clock::now());
  return std::max<TimeUs>(1, monotonic_us() + left.count());
}

}  // namespace

Result<GrpcCaller> read_caller(const Context& context, const grpc::CallbackServerContext& rpc) {
  const std::optional<core::TenantId> tenant =
      tenant_of(context.options.api_keys, metadata_of(rpc, "authorization"));
  if (!tenant)
    return Error{ErrorCode::unauthenticated,
                 "an API key is needed: metadata \"authorization: Bearer KEY\""};
  return GrpcCaller{.context = context,
                    .tenant = *tenant,
                    .deadline_us = deadline_of(rpc),
                    .model = std::string(metadata_of(rpc, "x-sheaf-model"))};
}

void add_trailers(grpc::CallbackServerContext& rpc, const std::string& model,
                  const std::string& replica, const std::string& slice) {
  if (!model.empty()) rpc.AddTrailingMetadata("x-sheaf-model", model);
  if (!replica.empty()) rpc.AddTrailingMetadata("x-sheaf-replica", replica);
  if (!slice.empty()) rpc.AddTrailingMetadata("x-sheaf-slice", slice);
}

grpc::Status refusal_status(const Context& context, const Error& error) {
  note_refusal(context, "of gRPC", error);
  return grpc_status(error);
}

}  // namespace sheaf::api
