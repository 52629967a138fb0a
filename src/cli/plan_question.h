#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/plan_serving.h"
#include "cli/serve_settings.h"

namespace sheaf::cli {

// What is planned for, besides the models: cards or cores, here or described.
struct PlanQuestion {
  std::string gpu;                 // a card of the table, "h200"; empty: those here
  std::uint32_t count = 0;         // such cards; 0: one
  std::string cores;               // a number, or "here"; empty: cards
  std::uint64_t memory_bytes = 0;  // of a machine of such cores; 0: that here
  std::string dtype;               // empty: as the models say
  double memory_utilization = 0.9;
};
// Errors name what is wrong behind `dashes`: "--" of flags, "" of a request's fields.
Status check_plan_question(const PlanQuestion& question, std::string_view dashes);

struct PlanAnswer {
  std::string table;             // for people
  nlohmann::ordered_json facts;  // the same for programs, without what follows
  PlanServing serving;
  std::string cut;   // in mig-parted's format; empty where cores were planned for
  bool met = false;  // every model runs and no target is missed

  std::string json() const;  // facts and serving
};
// The plan for the models of `serve`, whose files must be on this machine; of a question that was
// checked. Takes as long as planner::make_plan(), and some milliseconds a model. Error
// invalid_argument: there is no such card.
Result<PlanAnswer> answer_plan(const PlanQuestion& question, const ServeSettings& serve);

}  // namespace sheaf::cli
