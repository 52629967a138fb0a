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
  Loop(channel::ReplicaEnd& channel, engine::Engine& engine)
      : channel_(channel), engine_(engine), runner_(engine) {}

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
    if (!output.ok()) {
      SHEAF_TRY(engine_.status());  // whoever comes after this process runs the batch
      return channel_.send_final(batch, 0, &output.error());
    }
    SHEAF_TRY(send_rows(order.submission, output->rows));
    return channel_.send_final(batch, output->compute_us, nullptr);
  }

  // Vectors that stand side by side together, all else row by row.
  Status send_rows(const Submission& submission, const engine::Rows& rows) {
    const auto is_vector = [&](std::size_t i) {
      return i < rows.size() && submission.options[i].output == channel::Output::vector;
    };
    std::span<const float> values = rows.values();
    for (std::size_t first = 0, last = 0; first < rows.size(); first = last) {
      std::size_t floats = 0;
      do floats += rows.floats()[last++];
      while (is_vector(first) && is_vector(last));
      SHEAF_TRY(channel_.send_rows(submission.batch, static_cast<std::uint32_t>(first),
                                   static_cast<std::uint32_t>(last - first), values.first(floats)));
      values = values.subspan(floats);
    }
    return {};
  }

  channel::ReplicaEnd& channel_;
  engine::Engine& engine_;
  Runner runner_;
  std::deque<Order> waiting_;
};

}  // namespace

Status serve(channel::ReplicaEnd& channel, engine::Engine& engine) {
  return Loop(channel, engine).run();
}

}  // namespace sheaf::replica
