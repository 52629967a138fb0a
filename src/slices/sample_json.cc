#include "slices/sample_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

namespace sheaf::slices {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr double kMilli = 1e-3;
constexpr double kLongestS = 1e9;  // some 30 years: what no clock here counts

template <class Value>
ordered_json null_or(const std::optional<Value>& value) {
  return value ? ordered_json(*value) : ordered_json();
}

ordered_json watts(const std::optional<unsigned>& milliwatts) {
  return milliwatts ? ordered_json(*milliwatts * kMilli) : ordered_json();
}

double seconds_of(TimeUs us) { return static_cast<double>(us) / double{kSecond}; }

ordered_json facts_of_processes(const std::vector<GpuProcess>& processes) {
  auto list = ordered_json::array();
  for (const GpuProcess& one : processes)
    list.push_back({{"pid", one.pid}, {"name", one.name}, {"memory_bytes", one.bytes}});
  return list;
}

ordered_json facts_of_xids(const std::map<unsigned, std::uint64_t>& xids) {
  auto counts = ordered_json::object();
  for (const auto& [number, count] : xids) counts[std::to_string(number)] = count;
  return counts;
}

bool is_within(const json& field, double most) {
  return field.is_number() && field.get<double>() >= 0 && field.get<double>() <= most;
}

// Reads fields into their places; the first one of a wrong type is remembered.
class Reader {
 public:
  explicit Reader(const json& facts) : facts_(facts) {
    if (!facts.is_object()) wrong_ = "sample";
  }

  void text(const char* name, std::string& out) {
    if (const json* field = find(name)) read(name, field->is_string(), *field, out);
  }
  void flag(const char* name, bool& out) {
    if (const json* field = find(name)) read(name, field->is_boolean(), *field, out);
  }
  void part(const char* name, std::optional<double>& out) {
    const json* field = find(name);
    if (field == nullptr) return;
    const bool fits = is_within(*field, 1);
    double value = 0;
    if (read(name, fits, *field, value)) out = value;
  }
  template <class Whole>
  void whole(const char* name, std::optional<Whole>& out) {
    const json* field = find(name);
    if (field == nullptr) return;
    const bool fits = field->is_number_unsigned() && field->get<std::uint64_t>() <= Whole(-1);
    Whole value = 0;
    if (read(name, fits, *field, value)) out = value;
  }
  // Times and powers: `out` counts in millionths or thousandths.
  template <class Whole>
  void scaled(const char* name, double scale, std::optional<Whole>& out) {
    const json* field = find(name);
    if (field == nullptr) return;
    double value = 0;
    const double most =
        std::min(kLongestS, static_cast<double>(std::numeric_limits<Whole>::max()) / scale);
    const bool fits = is_within(*field, most);
    if (read(name, fits, *field, value)) out = static_cast<Whole>(std::llround(value * scale));
  }

  const json* find(const char* name) const {
    if (!wrong_.empty()) return nullptr;
    const auto found = facts_.find(name);
    return found == facts_.end() || found->is_null() ? nullptr : &*found;
  }
  void refuse(const char* name) {
    if (wrong_.empty()) wrong_ = name;
  }
  Status status() const {
    if (wrong_.empty()) return {};
    return Error{ErrorCode::corrupt, fmt::format("'{}' of a slice is not as it should be", wrong_)};
  }

 private:
  template <class Value>
  bool read(const char* name, bool fits, const json& field, Value& out) {
    if (fits)
      out = field.get<Value>();
    else
      refuse(name);
    return fits;
  }

  const json& facts_;
  std::string wrong_;
};

void read_processes_of(Reader& reader, SliceSample& sample) {
  const json* list = reader.find("processes");
  if (list == nullptr) return;
  if (!list->is_array()) return reader.refuse("processes");
  for (const json& entry : *list) {
    Reader fields(entry);
    GpuProcess process;
    std::optional<unsigned> pid;
    std::optional<std::uint64_t> bytes;
    fields.whole("pid", pid);
    fields.text("name", process.name);
    fields.whole("memory_bytes", bytes);
    if (!fields.status().ok() || !pid) return reader.refuse("processes");
    process.pid = *pid;
    process.bytes = bytes.value_or(0);
    sample.processes.push_back(std::move(process));
  }
}

void read_xids(Reader& reader, SliceSample& sample) {
  const json* counts = reader.find("xids");
  if (counts == nullptr) return;
  if (!counts->is_object()) return reader.refuse("xids");
  for (const auto& [name, count] : counts->items()) {
    unsigned number = 0;
    const char* end = name.data() + name.size();
    const bool whole = std::from_chars(name.data(), end, number).ptr == end && !name.empty();
    if (!whole || !count.is_number_unsigned()) return reader.refuse("xids");
    sample.xids[number] = count.get<std::uint64_t>();
  }
}

void read_load_source(Reader& reader, SliceSample& sample) {
  std::string name{name_of(LoadSource::none)};
  reader.text("load_source", name);
  if (const auto source = parse_load_source(name))
    sample.load_source = *source;
  else
    reader.refuse("load_source");
}

}  // namespace

ordered_json facts_of(const SliceSample& sample) {
  const bool of_cores = sample.slice.starts_with("cores:");
  return {{"slice", sample.slice},
          {"gpu", of_cores ? ordered_json() : ordered_json(sample.gpu)},
          {"gpu_instance", null_or(sample.gpu_instance)},
          {"compute_instance", null_or(sample.compute_instance)},
          {"name", sample.name},
          {"uuid", sample.uuid},
          {"cut", sample.cut},
          {"load", null_or(sample.load)},
          {"load_source", name_of(sample.load_source)},
          {"multiprocessor_load", null_or(sample.multiprocessor_load)},
          {"memory_load", null_or(sample.memory_load)},
          {"memory_used_bytes", null_or(sample.memory_used_bytes)},
          {"memory_bytes", null_or(sample.memory_bytes)},
          {"temperature_c", null_or(sample.temperature_c)},
          {"power_w", watts(sample.power_mw)},
          {"power_limit_w", watts(sample.power_limit_mw)},
          {"sm_clock_mhz", null_or(sample.sm_clock_mhz)},
          {"memory_clock_mhz", null_or(sample.memory_clock_mhz)},
          {"processes", facts_of_processes(sample.processes)},
          {"xids", facts_of_xids(sample.xids)},
          {"out_of_use", sample.out_of_use},
          {"age_s", sample.age_us ? ordered_json(seconds_of(*sample.age_us)) : ordered_json()},
          {"silent_s", seconds_of(sample.silent_us)},
          {"error", sample.error}};
}

Result<SliceSample> sample_of(const json& facts) {
  Reader reader(facts);
  SliceSample sample;
  std::optional<unsigned> gpu;
  std::optional<TimeUs> silent_us;
  reader.text("slice", sample.slice);
  reader.whole("gpu", gpu);
  reader.whole("gpu_instance", sample.gpu_instance);
  reader.whole("compute_instance", sample.compute_instance);
  reader.text("name", sample.name);
  reader.text("uuid", sample.uuid);
  reader.flag("cut", sample.cut);
  reader.part("load", sample.load);
  read_load_source(reader, sample);
  reader.part("multiprocessor_load", sample.multiprocessor_load);
  reader.part("memory_load", sample.memory_load);
  reader.whole("memory_used_bytes", sample.memory_used_bytes);
  reader.whole("memory_bytes", sample.memory_bytes);
  reader.whole("temperature_c", sample.temperature_c);
  reader.scaled("power_w", 1e3, sample.power_mw);
  reader.scaled("power_limit_w", 1e3, sample.power_limit_mw);
  reader.whole("sm_clock_mhz", sample.sm_clock_mhz);
  reader.whole("memory_clock_mhz", sample.memory_clock_mhz);
  read_processes_of(reader, sample);
  read_xids(reader, sample);
  reader.text("out_of_use", sample.out_of_use);
  reader.scaled("age_s", 1e6, sample.age_us);
  reader.scaled("silent_s", 1e6, silent_us);
  reader.text("error", sample.error);
  SHEAF_TRY(reader.status());
  sample.gpu = gpu.value_or(0);
  sample.silent_us = silent_us.value_or(0);
  return sample;
}

}  // namespace sheaf::slices
