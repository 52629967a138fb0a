#pragma once

#include <string>

#include "base/result.h"
#include "cli/placing.h"
#include "cli/serve_settings.h"
#include "cli/start_signals.h"
#include "router/router.h"

// What `auto` stands for where it is measured: --dtype, and on cards --num-replicas and --streams.
// What is measured on a card is measured on one that the model may use and nobody computes on;
// where there is none, as little is known as before, and the log says why. No two processes of a
// user measure on cards at once.
namespace sheaf::cli {

// What is known without measuring.
struct KnownDtype {
  std::string dtype;    // what was kept, else bfloat16 on cards and float32 on cores
  bool settled = true;  // false: `auto` would be measured at a start
};
Result<KnownDtype> known_dtype(const ServeSettings& settings, const ModelSetting& model,
                               const router::ModelConfig& config, const Computers& computers);

// In what a model is computed; measures it where that is not known. On cards of several kinds it is
// measured on the least of them.
Result<std::string> measured_dtype(const ServeSettings& settings, const ModelSetting& model,
                                   const router::ModelConfig& config, const Computers& computers);

// How many replicas of a model, whose dtype is known, are to share a card or MIG slice that it has
// to itself, and on how many streams each is to compute: where nobody said a number of replicas,
// cards may be shared and the model is not divided. Else, and where it is not known, the streams
// are as many as the model's setting says, or one.
struct KnownReplicas {
  ReplicasOnDevice on_device;
  std::uint32_t streams = 1;  // on all cards
  bool settled = true;        // false: others would be measured at a start
};
Result<KnownReplicas> known_replicas(const ServeSettings& settings, const ModelSetting& model,
                                     const router::ModelConfig& config, const Computers& computers);

// The same, but measures what is not known: 90 s for each kind of card at most, and some
// seconds to end it. Says in the log what is chosen.
Result<KnownReplicas> measured_replicas(const ServeSettings& settings, const ModelSetting& model,
                                        const router::ModelConfig& config,
                                        const Computers& computers, const StartSignals& signals);

}  // namespace sheaf::cli
