#pragma once

#include <grpcpp/support/server_callback.h>

#include "api/call_gate.h"
#include "api/grpc_method.h"

namespace sheaf::api {

using StreamReactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

// A stream whose every message is a request of its own to `method`, answered in the order of the
// messages. Many are under way at once (AnswerWindow); when there is no room the client is not
// read, and gRPC's flow control holds it back. The first that fails ends the stream with its
// status, after the answers before it; but for overload: such a message is tried again until there
// is room, since a stream can wait where others are told to. A stream that is drained answers what
// it has read and ends as unavailable, or well if the client had sent its last. To be given to
// gRPC, which ends it.
StreamReactor* answer_stream(const GrpcCaller& caller, CallGate& gate, GrpcMethod method);

}  // namespace sheaf::api
