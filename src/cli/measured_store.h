#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/file_lock.h"
#include "base/result.h"
#include "cli/model_source.h"

// What was measured of models on this machine, a JSON file each in the user's cache folder
// ($SHEAF_CACHE, else $XDG_CACHE_HOME/sheaf, else ~/.cache/sheaf). It holds until the model's
// files, the program or what it computes on are others: then it is as good as none.
namespace sheaf::cli {

struct Measured {
  std::string kind;     // "precision": the folder and the field that it is kept in
  std::string program;  // that computed
  ModelSource source;   // its folder and pooling
  std::string on = {};  // a kind of card, and how it was used; empty: this processor
};

// Nothing where there is none that holds.
std::optional<nlohmann::json> read_measured(const Measured& of);
Status write_measured(const Measured& of, nlohmann::json result);

// While it lives, no other process measures the same. Waits for one that does, saying in the log
// what that is `doing`.
Result<FileLock> lock_measuring(const Measured& of, const std::string& doing);

// All that holds of a model on cards, by `on`.
struct MeasuredOnCard {
  Measured of;
  nlohmann::json result;
};
std::vector<MeasuredOnCard> measured_on_cards(const std::string& kind, const ModelSource& source);

}  // namespace sheaf::cli
