#include "slices/lease.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "base/text.h"

namespace sheaf::slices {
namespace {

Error wrong_need(std::string message) { return {ErrorCode::invalid_argument, std::move(message)}; }

bool names_other_than_slice(const LeaseNeed& need) {
  return !need.kind.empty() || !need.profile.empty() || need.memory_bytes > 0 || need.cores > 0;
}

}  // namespace

Result<LeaseNeed> checked(LeaseNeed need) {
  if (!need.slice.empty()) {
    if (names_other_than_slice(need))
      return wrong_need(
          fmt::format("{} is a slice by name; then no kind, profile, memory or "
                      "number of cores is asked for",
                      need.slice));
    return need;
  }
  if (!names_other_than_slice(need))
    return wrong_need("say which slice, or what it must be: kind, profile, memory or cores");
  if (need.kind.empty() && !need.profile.empty()) need.kind = "mig";
  if (need.kind.empty() && need.cores > 0) need.kind = "cores";
  if (!need.kind.empty() && need.kind != "cores" && need.kind != "gpu" && need.kind != "mig")
    return wrong_need(fmt::format("there is no kind {}; there are cores, gpu and mig", need.kind));
  const bool is_cores = need.kind == "cores";
  if (is_cores && (need.memory_bytes > 0 || !need.profile.empty()))
    return wrong_need("cores have neither memory nor a profile of their own");
  if (!is_cores && need.cores > 0)
    return wrong_need(fmt::format("a slice of kind {} has no number of cores",
                                  need.kind.empty() ? "mig" : need.kind));
  if (need.kind == "gpu" && !need.profile.empty())
    return wrong_need(fmt::format("a whole card has no profile {}; kind mig has", need.profile));
  if (is_cores) need.cores = std::max(need.cores, 1u);
  return need;
}

std::string describe(const LeaseNeed& need) {
  if (!need.slice.empty()) return need.slice;
  if (need.kind == "cores" || need.cores > 0)
    return fmt::format("{} core{}", std::max(need.cores, 1u), need.cores > 1 ? "s" : "");
  std::string text = !need.profile.empty() ? "a " + need.profile
                     : need.kind == "gpu"  ? "a whole card"
                     : need.kind == "mig"  ? "a MIG slice"
                                           : "a card or MIG slice";
  if (need.memory_bytes > 0)
    text += fmt::format(" of {} or more", human_bytes(static_cast<double>(need.memory_bytes)));
  return text;
}

bool overlap(const LeasedSlice& a, const LeasedSlice& b) {
  if (a.kind == "cores" || b.kind == "cores")
    return std::ranges::any_of(a.cpus,
                               [&](int cpu) { return std::ranges::binary_search(b.cpus, cpu); });
  if (a.gpu_uuid != b.gpu_uuid) return false;
  return a.kind == "gpu" || b.kind == "gpu" || a.id == b.id;
}

bool excludes(const Lease& lease, const LeasedSlice& slice, bool shared) {
  return overlap(lease.slice, slice) && !(shared && lease.need.shared);
}

std::string describe(const Lease& lease) {
  if (lease.drainable)
    return lease.holder.pid == 0 ? "used by sheaf serve"
                                 : fmt::format("used by sheaf serve, process {}", lease.holder.pid);
  std::string text = "leased";
  if (!lease.task_id.empty()) text += fmt::format(" to task {}", excerpt(lease.task_id));
  if (lease.holder.pid != 0) text += fmt::format(" by process {}", lease.holder.pid);
  return text + fmt::format(" ({}), ends in {} s", lease.id,
                            std::max<std::int64_t>(0, lease.ends_ms - boot_ms() + 999) / 1000);
}

std::vector<std::string> environment_of(const Lease& lease) {
  std::vector<std::string> list = {"SHEAF_LEASE=" + lease.id, "SHEAF_SLICE=" + lease.slice.id};
  if (lease.slice.kind != "cores") list.push_back("CUDA_VISIBLE_DEVICES=" + lease.slice.id);
  return list;
}

std::int64_t boot_ms() {
  timespec now = {};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

}  // namespace sheaf::slices
