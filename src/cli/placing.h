#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cli/serve_settings.h"
#include "cli/slices.h"
#include "router/router.h"
#include "slices/placement.h"

namespace sheaf::cli {

// Where the replicas of a server run.
struct Placing {
  slices::Placement placement;
  std::string card_program;           // of those on slices of cards; empty: none is
  std::vector<std::string> warnings;  // for the log
  // Replicas on slices by MPS need their daemons. False on simulated cards without NVIDIA's
  // program, where nothing would come of it.
  bool needs_mps = false;
};

// Whether `--device cuda` can be done here at all: asked before models are fetched.
Status check_device(const ServeSettings& settings, const std::string& replica_program);

// What computes on the cards that are here: sheaf-replica-cuda beside sheaf-replica. On simulated
// cards nothing can, and `replica_program` stands in.
Result<std::string> card_program(const SlicesHere& here, const std::string& replica_program);

// Places the models, `configs` as settings.models stand, their dtypes no longer "auto", and sets
// how many replicas each has. What a replica takes of a card is estimated as `sheaf plan model`
// does. Refusals say what is needed, what is there, and what would help.
Result<Placing> place_models(const ServeSettings& settings, const std::string& replica_program,
                             std::vector<router::ModelConfig>& configs);

// A row for each replica: slice, memory it needs and may use.
std::string table_of(const Placing& placing, const std::vector<router::ModelConfig>& configs);

// {"cores:0", "2-3", "gpu:0"}, as --slices cuts it at its commas, to {"cores:0,2-3", "gpu:0"}.
std::vector<std::string> join_core_lists(const std::vector<std::string>& words);

}  // namespace sheaf::cli
