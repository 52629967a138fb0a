#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "slices/device.h"

// Which devices are there, looked at again and again.
namespace sheaf::slices {

// What holds after several readings, of which any may have gone wrong: a device is gone when two
// readings in a row lack it, and a card of which not all could be read has what it had.
class SteadyDevices {
 public:
  // False while it is too early to say, that is for the first reading.
  bool take(const GpuInventory& reading);
  const std::vector<Device>& now() const { return now_; }

 private:
  void keep(const Device& device);
  std::vector<Device> now_;
  std::map<std::string, int> missed_;  // by UUID: how many readings lacked it
  bool first_ = true;
};

// Reads the cards in a thread of its own, since NVML may take its time, or hang.
class DeviceWatch {
 public:
  // The devices, on the watch's thread, after each reading from the second on; not called while or
  // after the destructor runs. It must not wait for whoever destroys the watch.
  using Heard = std::function<void(const std::vector<Device>&)>;

  static constexpr std::chrono::milliseconds kPeriod{400};
  // Of the NVML that Nvml::open() finds; the log says when it cannot be read, and when it can
  // again. `mps_folder`: where MPS daemons are kept, to be looked at too; empty: they are not.
  explicit DeviceWatch(Heard heard, std::chrono::milliseconds period = kPeriod,
                       std::string mps_folder = {});
  // Waits a second at most: a reading that hangs is left behind, and nobody hears of it.
  ~DeviceWatch();
  DeviceWatch(const DeviceWatch&) = delete;
  DeviceWatch& operator=(const DeviceWatch&) = delete;

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

}  // namespace sheaf::slices
