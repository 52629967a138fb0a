#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "server/server_test.h"

namespace sheaf::server {

// A channel of its own for every test, so that none inherits another's connection.
inline std::shared_ptr<grpc::Channel> channel_to(const TestServer& server,
                                                 grpc::ChannelArguments arguments = {}) {
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(100 << 20);
  return grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(server.server->grpc_port()),
                                   grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace sheaf::server
