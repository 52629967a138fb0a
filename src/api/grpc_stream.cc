#include "api/grpc_stream.h"

#include <grpcpp/alarm.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

#include "api/answer_window.h"
#include "api/errors.h"
#include "api/grpc_call.h"

namespace sheaf::api {
namespace {

using Number = AnswerWindow::Number;

// Enough for a replica to have a batch of short texts at work and the next at hand. More would only
// fill the queue.
constexpr std::size_t kMessagesPerReplica = 128;

// How long a message waits that was refused for overload. The queue holds seconds of work then, so
// nothing runs dry meanwhile.
constexpr std::chrono::milliseconds kRetryAfter{200};

std::size_t messages_max(const router::Router& router) {
  std::size_t replicas = 0;
  for (const router::ModelConfig& model : router.options().models) replicas += model.replicas;
  return kMessagesPerReplica * std::max<std::size_t>(replicas, 1);
}

class Stream final : public StreamReactor,
                     public GatedCall,
                     public std::enable_shared_from_this<Stream> {
 public:
  Stream(GrpcCaller caller, CallGate& gate, StreamRoom& room, const GrpcMethod& method)
      : caller_(std::move(caller)),
        router_(caller_.context.router),
        gate_(gate),
        method_(method),
        window_(messages_max(router_), room) {}

  bool enter() {
    if (!gate_.enter(*this)) return false;
    self_ = shared_from_this();
    return true;
  }

  void start() {
    StartSendInitialMetadata();  // some clients wait for it before they send
    const std::lock_guard lock(mutex_);
    go_on();
  }

  void OnReadDone(bool ok) override {
    std::unique_lock lock(mutex_);
    reading_ = false;
    if (ended_) return;
    read_all_ = !ok;
    if (!ok || closing_) return go_on();
    const Number number = window_.open(in_, answer_bytes(in_.Length()));
    lock.unlock();
    begin(number);
    lock.lock();
    go_on();
  }

  void OnWriteDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    out_.Clear();
    if (!ok) return end(grpc::Status::CANCELLED);
    go_on();
  }

  void close() override {
    const std::lock_guard lock(mutex_);
    closing_ = true;
    go_on();
  }

  void OnCancel() override {
    const std::lock_guard lock(mutex_);
    end({grpc::StatusCode::CANCELLED, "the client cancelled the stream"});
  }

  void OnDone() override {
    gate_.leave(*this);
    self_.reset();  // perhaps the last that holds this object
  }

 private:
  std::size_t answer_bytes(std::size_t message_bytes) const {
    return method_.answer_bytes == nullptr ? 0 : method_.answer_bytes(caller_, message_bytes);
  }

  // Without the mutex: a refusal comes back at once, on this thread.
  void begin(Number number) {
    std::unique_lock lock(mutex_);
    const grpc::ByteBuffer* found = window_.message(number);
    if (found == nullptr) return;
    const grpc::ByteBuffer message = *found;
    lock.unlock();
    const core::RequestId request = method_.begin(
        caller_, message, [self = shared_from_this(), number](Result<GrpcAnswer> answer) {
          self->answer(number, std::move(answer));
        });
    lock.lock();
    window_.began(number, request);
    const bool ended = ended_;
    lock.unlock();
    if (ended && request != 0) router_.cancel(request);
  }

  void answer(Number number, Result<GrpcAnswer> answer) {
    const std::lock_guard lock(mutex_);
    if (ended_) return;
    if (answer.ok())
      window_.answer(number, answer->message);
    else if (answer.error().code == ErrorCode::overloaded)
      return wait_for_room(number);
    else
      window_.answer(number, std::move(answer).error());
    go_on();
  }

  // ---- all below with the mutex held

  void wait_for_room(Number number) {
    waiting_.insert(number);
    if (std::exchange(alarm_set_, true)) return;
    // Weak, since an alarm keeps what it has called; a new one, since this may be called by the
    // old.
    alarm_.emplace().Set(std::chrono::system_clock::now() + kRetryAfter,
                         [weak = weak_from_this()](bool) {
                           const auto self = weak.lock();
                           if (self == nullptr) return;
                           std::unique_lock lock(self->mutex_);
                           self->alarm_set_ = false;
                           self->try_again(lock);
                         });
  }

  // In the order in which they came, until one is refused again.
  void try_again(std::unique_lock<std::mutex>& lock) {
    while (!ended_ && !waiting_.empty()) {
      const Number number = *waiting_.begin();
      waiting_.erase(waiting_.begin());
      lock.unlock();
      begin(number);
      lock.lock();
      if (waiting_.contains(number)) return;
    }
    go_on();
  }

  // Does what can be done now: writes the next answer, reads the next message, or ends.
  void go_on() {
    if (ended_) return;
    if (!writing_) write_next();
    if (ended_) return;
    if (read_all_ || closing_) {
      if (window_.empty() && !writing_)
        end(read_all_ ? grpc::Status::OK : grpc_status(closed_gate()));
    } else if (!reading_ && waiting_.empty() && window_.room()) {
      reading_ = true;
      StartRead(&in_);
    }
  }

  void write_next() {
    const auto next = window_.take();
    if (!next) return;
    if (!next->ok()) return end(grpc_status(next->error()));
    out_ = **next;
    writing_ = true;
    StartWrite(&out_);
  }

  void end(const grpc::Status& status) {
    if (std::exchange(ended_, true)) return;
    for (const core::RequestId request : window_.abandon()) router_.cancel(request);
    waiting_.clear();
    if (alarm_set_) alarm_->Cancel();
    Finish(status);
  }

  const GrpcCaller caller_;
  router::Router& router_;
  CallGate& gate_;
  const GrpcMethod& method_;
  std::mutex mutex_;  // guards what follows; held before the router's own
  AnswerWindow window_;
  std::set<Number> waiting_;  // refused for overload, to be tried again
  std::optional<grpc::Alarm> alarm_;
  grpc::ByteBuffer in_;   // gRPC's while reading_
  grpc::ByteBuffer out_;  // gRPC's while writing_
  bool alarm_set_ = false;
  bool reading_ = false;
  bool writing_ = false;
  bool read_all_ = false;  // the client has sent its last message
  bool closing_ = false;   // the server drains
  bool ended_ = false;     // Finish() was called: nothing may be started any more
  std::shared_ptr<Stream> self_;
};

}  // namespace

StreamReactor* answer_stream(GrpcCaller caller, CallGate& gate, StreamRoom& room,
                             const GrpcMethod& method) {
  const Context& context = caller.context;
  caller.stream = room.next_number();
  const auto stream = std::make_shared<Stream>(std::move(caller), gate, room, method);
  if (!stream->enter()) return refused<StreamReactor>(refusal_status(context, closed_gate()));
  stream->start();
  return stream.get();
}

}  // namespace sheaf::api
