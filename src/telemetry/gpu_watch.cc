#include "telemetry/gpu_watch.h"

#include <optional>
#include <utility>

#include "base/log.h"

namespace sheaf::telemetry {
namespace {

LogLevel level_of(slices::XidReaction reaction) {
  return reaction >= slices::XidReaction::drain_card ? LogLevel::error : LogLevel::warn;
}

}  // namespace

GpuWatch::GpuWatch(Metrics& metrics, GpuWatchOptions options)
    : metrics_(metrics),
      carry_out_(std::move(options.carry_out)),
      sampler_({.interval_us = options.interval_us,
                .busy_time = std::move(options.busy_time),
                .on_xid = [this](const slices::XidEvent& event) { on_xid(event); }}) {
  metrics_.set_gpu_reader([this] { return readings(); });
}

GpuWatch::~GpuWatch() { metrics_.set_gpu_reader(nullptr); }

void GpuWatch::card_is_well(unsigned gpu) {
  const std::lock_guard lock(mutex_);
  reactions_.forget(gpu);
}

void GpuWatch::on_xid(const slices::XidEvent& event) {
  std::optional<slices::XidOrder> order;
  {
    const std::lock_guard lock(mutex_);
    order = reactions_.on_event(event);
    if (!order) return;
    ++counts_[{event.gpu, order->reaction}];
  }
  log(level_of(order->reaction), "{}", describe(*order));
  if (order->reaction == slices::XidReaction::alert || !carry_out_) return;
  const std::lock_guard one_at_a_time(orders_mutex_);
  carry_out_(*order);
}

GpuReadings GpuWatch::readings() const {
  GpuReadings readings{.samples = sampler_.samples(), .reactions = {}};
  const std::lock_guard lock(mutex_);
  readings.reactions = counts_;
  return readings;
}

}  // namespace sheaf::telemetry
