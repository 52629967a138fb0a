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
      card_is_well_(std::move(options.card_is_well)),
      sampler_({.interval_us = options.interval_us,
                .busy_time = std::move(options.busy_time),
                .on_xid = [this](const slices::XidEvent& event) { on_xid(event); },
                .on_reading =
                    [this](unsigned gpu, const slices::CardReading& reading) {
                      on_reading(gpu, reading);
                    }}) {
  metrics_.set_gpu_reader([this] { return readings(); });
}

GpuWatch::~GpuWatch() { metrics_.set_gpu_reader(nullptr); }

void GpuWatch::on_reading(unsigned gpu, const slices::CardReading& reading) {
  {
    const std::lock_guard lock(mutex_);
    if (!reactions_.on_reading(gpu, reading)) return;
  }
  log(LogLevel::warn, "GPU {} was reset, and is used again", gpu);
  if (!card_is_well_) return;
  const std::lock_guard one_at_a_time(orders_mutex_);
  card_is_well_(gpu);
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
  for (slices::SliceSample& sample : readings.samples)
    sample.out_of_use = reactions_.out_of_use(sample.gpu);
  return readings;
}

}  // namespace sheaf::telemetry
