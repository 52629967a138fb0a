#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/measured_store.h"

// How many replicas of a model on one card or MIG slice serve most, which `--num-replicas auto`
// goes by there. Measured once with 1, 2, 4, … of them and kept (cli/measured_store.h).
namespace sheaf::cli {

struct SharingStep {
  std::uint32_t replicas = 0;  // on one card
  double tokens_per_s = 0;     // of all together
};
using CardSharing = std::vector<SharingStep>;  // each twice as many as the one before it, from 1 on

// What so many serve; nothing: there is no room for them.
using RateOf = std::function<Result<std::optional<double>>(std::uint32_t replicas)>;

// Doubles while that gains a twentieth, up to 16. What several fail at ends it; an error is what
// one fails at, and what is unavailable for now.
Result<CardSharing> measure_sharing(const RateOf& rate_of);

// The last step that gained a twentieth over the one before it.
std::uint32_t best_sharing(const CardSharing& sharing);

// "1: 10200 tokens/s, 2: 17900 tokens/s, 4: 18000 tokens/s"
std::string describe(const CardSharing& sharing);

// `of.kind` is kSharing.
inline constexpr const char* kSharing = "sharing";
std::optional<CardSharing> kept_sharing(const Measured& of);
Status keep_sharing(const Measured& of, const CardSharing& sharing);
// By Measured::on.
std::map<std::string, CardSharing> kept_sharing_on_cards(const ModelSource& source);

}  // namespace sheaf::cli
