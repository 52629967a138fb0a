#include "slices/slice_sample.h"

#include <algorithm>
#include <array>
#include <utility>

#include "slices/slice.h"

namespace sheaf::slices {
namespace {

constexpr TimeUs kFreshUs = 5 * kSecond;

constexpr std::array<std::pair<LoadSource, std::string_view>, 5> kLoadSources = {{
    {LoadSource::none, "none"},
    {LoadSource::gpm, "gpm"},
    {LoadSource::nvml, "nvml"},
    {LoadSource::kernel, "kernel"},
    {LoadSource::busy_time, "busy_time"},
}};

bool is_of_cores(std::string_view slice) { return slice.starts_with("cores:"); }

}  // namespace

bool is_slice_of(std::string_view slice, std::string_view whole) {
  if (is_of_cores(slice) || is_of_cores(whole)) return slice == whole;
  if (slice.empty() || whole.empty()) return false;
  for (std::size_t at = 0; at != slice.npos;) {
    const std::size_t end = slice.find(',', at);
    if (place_in(slice.substr(at, end - at)) == place_in(whole)) return true;
    at = end == slice.npos ? end : end + 1;
  }
  return false;
}

std::string_view name_of(LoadSource source) {
  for (const auto& [one, name] : kLoadSources)
    if (one == source) return name;
  return "";
}

std::optional<LoadSource> parse_load_source(std::string_view name) {
  for (const auto& [source, text] : kLoadSources)
    if (text == name) return source;
  return std::nullopt;
}

bool SliceSample::is_fresh() const { return error.empty() && age_us && *age_us <= kFreshUs; }

}  // namespace sheaf::slices
