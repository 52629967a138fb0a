#pragma once

#include <grpcpp/impl/codegen/service_type.h>

#include <memory>
#include <string>
#include <vector>

namespace sheaf::server {

// grpc.reflection.v1 over the descriptors linked into this program; `services` is what it lists.
std::unique_ptr<grpc::Service> make_reflection_v1(std::vector<std::string> services);

}  // namespace sheaf::server
