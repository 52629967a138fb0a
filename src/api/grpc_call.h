#pragma once

#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <memory>
#include <utility>

#include "api/call_gate.h"
#include "api/errors.h"
#include "api/grpc_method.h"
#include "api/work_handle.h"

// gRPC's reactors. The library calls back on them, and on OnDone for the last time; until then they
// keep themselves alive, and afterwards whoever may still answer does. What is done to a call after
// its Finish() would touch freed memory, hence the care about who comes first.
namespace sheaf::api {

// Ends a call before anything has been done for it.
template <class Reactor>
Reactor* refused(const grpc::Status& status) {
  class Refused final : public Reactor {
   public:
    explicit Refused(const grpc::Status& status) { this->Finish(status); }
    void OnDone() override { delete this; }
  };
  return new Refused(status);
}

// A call with one answer. The answer, the client's cancellation and the drain race: whoever takes
// the call first finishes it, the others find it taken. Thread-safe.
template <class Reactor>
class OneAnswerCall : public Reactor,
                      public GatedCall,
                      public std::enable_shared_from_this<OneAnswerCall<Reactor>> {
 public:
  OneAnswerCall(const Context& context, CallGate& gate, grpc::CallbackServerContext& rpc,
                grpc::ByteBuffer& out)
      : gate_(gate), rpc_(rpc), out_(out), work_(context.router) {}

  // To be asked first; what is not let in must not be handed to gRPC.
  bool enter() {
    if (!gate_.enter(*this)) return false;
    self_ = this->shared_from_this();
    return true;
  }

  void answer(Result<GrpcAnswer> answer) {
    if (!take()) return;
    if (!answer.ok()) return this->Finish(grpc_status(answer.error()));
    out_ = answer->message;
    add_trailers(rpc_, answer->model, answer->replica, answer->slice);
    this->Finish(grpc::Status::OK);
  }
  // To be passed to a GrpcMethod.
  GrpcRespond responder() {
    return [self = this->shared_from_this()](Result<GrpcAnswer> answer) {
      self->answer(std::move(answer));
    };
  }
  void began(core::RequestId request) { work_.began(request); }

  void OnCancel() override {
    work_.cancel();
    if (take()) this->Finish({grpc::StatusCode::CANCELLED, "the client cancelled the request"});
  }
  void OnDone() override {
    gate_.leave(*this);
    self_.reset();  // perhaps the last that holds this object
  }

 protected:
  bool taken() const { return taken_; }

 private:
  bool take() { return !taken_.exchange(true); }

  CallGate& gate_;
  grpc::CallbackServerContext& rpc_;
  grpc::ByteBuffer& out_;
  WorkHandle work_;
  std::atomic<bool> taken_ = false;
  std::shared_ptr<OneAnswerCall> self_;
};

using UnaryCall = OneAnswerCall<grpc::ServerUnaryReactor>;

}  // namespace sheaf::api
