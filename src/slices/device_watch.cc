#include "slices/device_watch.h"

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "base/log.h"

namespace sheaf::slices {
namespace {

constexpr int kReadingsMissed = 2;
constexpr std::chrono::seconds kLeaveBehind{1};

}  // namespace

// ---- what holds after several readings

bool SteadyDevices::take(const GpuInventory& reading) {
  std::set<std::string> doubtful;  // cards
  for (const Gpu& gpu : reading.gpus)
    if (!gpu.uuid.empty() && !gpu.notes.empty()) doubtful.insert(gpu.uuid);
  const std::vector<Device> before = std::exchange(now_, {});
  const auto was_cut_from = [&](const std::string& card) {
    return std::ranges::find(before, card, &Device::card_uuid) != before.end();
  };
  for (const Device& device : devices_of(reading)) {
    if (doubtful.contains(device.card_uuid) && was_cut_from(device.card_uuid)) continue;
    missed_.erase(device.uuid);
    now_.push_back(device);
  }
  for (const Device& device : before) {
    if (std::ranges::find(now_, device.uuid, &Device::uuid) != now_.end()) continue;
    if (doubtful.contains(device.card_uuid))
      now_.push_back(device);
    else
      keep(device);
  }
  std::ranges::stable_sort(now_, {}, &Device::gpu);
  return !std::exchange(first_, false);
}

// Unless it has been missing for too long.
void SteadyDevices::keep(const Device& device) {
  if (++missed_[device.uuid] < kReadingsMissed)
    now_.push_back(device);
  else
    missed_.erase(device.uuid);
}

// ---- the thread

// Outlives the watch where a reading hangs.
struct DeviceWatch::Shared {
  Heard heard;
  std::chrono::milliseconds period;
  std::string mps_folder;
  std::string visible;  // CUDA_VISIBLE_DEVICES when it began
  bool all_visible = true;

  std::mutex mutex;
  std::condition_variable changed;
  bool stop = false;   // nobody wants to hear any more
  bool ended = false;  // the thread has left

  std::optional<Nvml> nvml;  // this and the rest: the thread's own
  SteadyDevices steady;
  bool failed = false;

  // Waits for the next turn; false if there is none.
  bool next() {
    std::unique_lock lock(mutex);
    return !changed.wait_for(lock, period, [this] { return stop; });
  }

  Result<GpuInventory> read() {
    if (!nvml) {
      SHEAF_ASSIGN(nvml, Nvml::open());
    }
    return read_gpus(*nvml, all_visible ? nullptr : visible.c_str(), Reading::devices);
  }

  void look() {
    const auto reading = read();
    if (!reading.ok()) {
      nvml.reset();
      if (!std::exchange(failed, true))
        log(LogLevel::warn, "the cards cannot be read, replicas stay where they are: {}",
            reading.error().message);
      return;
    }
    if (std::exchange(failed, false)) log(LogLevel::info, "the cards can be read again");
    if (!steady.take(*reading)) return;
    std::vector<Device> devices = steady.now();
    if (!mps_folder.empty())
      for (Device& device : devices) device.mps = mps_life(mps_folder, device.uuid);
    const std::lock_guard lock(mutex);
    if (!stop) heard(devices);
  }

  void run() {
    do look();
    while (next());
    nvml.reset();  // the session ends before whoever waits for us goes on
    const std::lock_guard lock(mutex);
    ended = true;
    changed.notify_all();
  }
};

DeviceWatch::DeviceWatch(Heard heard, std::chrono::milliseconds period, std::string mps_folder)
    : shared_(std::make_shared<Shared>()) {
  shared_->heard = std::move(heard);
  shared_->period = period;
  shared_->mps_folder = std::move(mps_folder);
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  shared_->all_visible = visible == nullptr;
  if (visible != nullptr) shared_->visible = visible;
  std::thread([shared = shared_] { shared->run(); }).detach();
}

DeviceWatch::~DeviceWatch() {
  std::unique_lock lock(shared_->mutex);
  shared_->stop = true;
  shared_->changed.notify_all();
  shared_->changed.wait_for(lock, kLeaveBehind, [this] { return shared_->ended; });
}

}  // namespace sheaf::slices
