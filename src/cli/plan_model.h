#pragma once

#include <string>

#include "base/result.h"
#include "hub/hub.h"
#include "planner/gpu.h"
#include "planner/memory.h"

namespace sheaf::cli {

// A model's files on this machine: nothing is fetched.
Result<hub::ResolvedModel> find_for_planning(const std::string& source,
                                             const std::string& revision);

// "none", "memory" or "full", checked before.
planner::Isolation isolation_of(const std::string& word);

// The same of files that were found.
Result<planner::ModelFacts> facts_of_folder(const std::string& name, const std::string& folder,
                                            const std::string& pooling);

// A load whose dtype is the one that `dtype` of a model is taken for on a card, "fp8:0,2-4" in its
// layers: "auto" is measured there before it is known, and half precision is what most models pass
// in.
Result<planner::Load> load_in(std::string_view setting);
// The same; an error too where there are no such layers.
Result<planner::Load> load_in(std::string_view setting, const planner::ModelFacts& model);

// A model's facts for planning, from its files on this machine. `name` is
// what it is called in the plan; empty: as the hub or its folder does.
Result<planner::ModelFacts> facts_for_planning(const std::string& name, const std::string& source,
                                               const std::string& revision,
                                               const std::string& pooling);

// "24GiB", or a card or slice as planner::find_gpu() takes it.
Result<planner::Gpu> parse_gpu(std::string_view text);

struct CapacityQuestion {
  planner::Load load;
  std::string dtype;  // empty: all of them
  planner::Gpu gpu;
  double memory_utilization = 0.9;
  std::uint32_t instances = 1;
};

// What `sheaf plan model` prints.
struct CapacityReport {
  std::string text;     // tables for people, or JSON
  bool fits = false;    // in a dtype that was asked for
  std::string refusal;  // why not, and what helps; empty where it fits
};
Result<CapacityReport> report_capacity(const planner::ModelFacts& model,
                                       const CapacityQuestion& question, bool json);

}  // namespace sheaf::cli
