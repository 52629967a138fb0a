#pragma once

#include <grpcpp/support/server_callback.h>

#include "api/call_gate.h"
#include "api/grpc_method.h"
#include "api/stream_room.h"

namespace sheaf::api {

using StreamReactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

// A stream whose every message is a request of its own to `method`, answered in the order of the
// messages. Many are under way at once (AnswerWindow); when there is no room the client is not
// read, and gRPC's flow control holds it back. To the queue the stream is one request that goes on
// (RequestSpec::stream).
//
// The first message that fails ends the stream with its status, after the answers before it; but
// for overload: such a message is tried again until there is room, since a stream can wait where
// others are told to. A stream that is drained answers what it has read and ends as unavailable, or
// well if the client had sent its last.
//
// To be given to gRPC, which ends it. `method` is a constant.
StreamReactor* answer_stream(GrpcCaller caller, CallGate& gate, StreamRoom& room,
                             const GrpcMethod& method);

}  // namespace sheaf::api
