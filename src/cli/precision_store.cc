#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/measured_store.h"
#include "cli/precision.h"
#include "model/spec/product_dtype.h"

namespace sheaf::cli {
namespace {

using nlohmann::json;

Measured measured_of(const Computer& computer, const ModelSource& source) {
  return {"precisions", computer.program, source, computer.card};
}

// Those that are named are some that there are.
bool has_layers_of(const Precision& precision) {
  const auto dtype = model::parse_product_dtype(precision.dtype);
  if (!dtype.ok()) return false;
  return dtype->fp8_layers ? dtype->fp8_layers->back() < precision.of_layers
                           : precision.of_layers == 0;
}

bool is_share(double cosine) { return cosine >= -1 && cosine <= 1; }

// float32 first, of a rate unless it is all there is.
bool is_sound(const std::vector<Precision>& precisions) {
  if (precisions.empty() || precisions.front().dtype != "float32") return false;
  if (precisions.size() > 1 && precisions.front().tokens_per_s == 0) return false;
  return std::ranges::all_of(precisions, [](const Precision& one) {
    return check_dtype(one.dtype).ok() && one.dtype != "auto" && has_layers_of(one) &&
           one.tokens_per_s >= 0 && one.tokens_per_s < 1e12 && is_share(one.mean_cosine) &&
           is_share(one.min_cosine);
  });
}

std::optional<std::vector<Precision>> precisions_of(const json& list) {
  try {
    std::vector<Precision> precisions;
    for (const json& one : list)
      precisions.push_back({one.at("dtype"), one.at("backend"), one.at("tokens_per_s"),
                            one.at("mean_cosine"), one.at("min_cosine"),
                            one.value("of_layers", std::uint32_t{0})});
    if (!is_sound(precisions)) return std::nullopt;
    return precisions;
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

}  // namespace

std::optional<std::vector<Precision>> kept_precisions(const Computer& computer,
                                                      const ModelSource& source) {
  const auto kept = read_measured(measured_of(computer, source));
  return kept ? precisions_of(*kept) : std::nullopt;
}

std::map<std::string, std::vector<Precision>> kept_precisions_on_cards(const ModelSource& source) {
  std::map<std::string, std::vector<Precision>> all;
  for (const MeasuredOnCard& one : measured_on_cards("precisions", source))
    if (auto precisions = precisions_of(one.result)) all.emplace(one.of.on, std::move(*precisions));
  return all;
}

Result<FileLock> lock_precisions(const Computer& computer, const ModelSource& source,
                                 const std::string& name) {
  return lock_measuring(measured_of(computer, source), "measuring precisions of model " + name);
}

Status keep_precisions(const Computer& computer, const ModelSource& source,
                       std::span<const Precision> precisions) {
  json list = json::array();
  for (const Precision& precision : precisions)
    list.push_back({{"dtype", precision.dtype},
                    {"backend", precision.backend},
                    {"tokens_per_s", precision.tokens_per_s},
                    {"mean_cosine", precision.mean_cosine},
                    {"min_cosine", precision.min_cosine},
                    {"of_layers", precision.of_layers}});
  return write_measured(measured_of(computer, source), std::move(list));
}

}  // namespace sheaf::cli
