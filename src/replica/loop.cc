#include "replica/loop.h"

#include <algorithm>
#include <deque>
#include <variant>

#include "replica/runner.h"

namespace sheaf::replica {
namespace {

using channel::Cancel;
using channel::Submission;

// Read ahead only so far: what is in this queue has left the ring and its bound.
constexpr std::size_t kMaxWaiting = 16;

class Loop {
 public:
  Loop(channel::ReplicaEnd& channel, engine::Engine& engine) : channel_(channel), runner_(engine) {}

  Status run() {
    for (;;) {
      SHEAF_TRY(read_orders());
      if (waiting_.empty()) {
        channel_.wait();
        continue;
      }
      const Order order = std::move(waiting_.front());
      waiting_.pop_front();
      SHEAF_TRY(carry_out(order));
    }
  }

 private:
  struct Order {
    Submission submission;
    bool cancelled = false;
  };

  Status read_orders() {
    while (waiting_.size() < kMaxWaiting) {
      SHEAF_ASSIGN(auto received, channel_.receive());
      if (auto* submission = std::get_if<Submission>(&received)) {
        waiting_.push_back({std::move(*submission)});
      } else if (const auto* cancel = std::get_if<Cancel>(&received)) {
        for (Order& order : waiting_)
          if (order.submission.batch == cancel->batch) order.cancelled = true;
      } else {
        break;
      }
    }
    return {};
  }

  Status carry_out(const Order& order) {
    const std::uint64_t batch = order.submission.batch;
    if (order.cancelled) return channel_.send_final(batch, 0, nullptr);
    const auto output = runner_.run(order.submission);
    if (!output.ok()) return channel_.send_final(batch, 0, &output.error());
    SHEAF_TRY(channel_.send_rows(batch, 0, output->values));
    return channel_.send_final(batch, output->compute_us, nullptr);
  }

  channel::ReplicaEnd& channel_;
  Runner runner_;
  std::deque<Order> waiting_;
};

}  // namespace

Status serve(channel::ReplicaEnd& channel, engine::Engine& engine) {
  return Loop(channel, engine).run();
}

}  // namespace sheaf::replica
