#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/measured_store.h"

// How many replicas of a model on one card or MIG slice serve most, or a replica on how many
// streams, which `--num-replicas auto` and `--streams auto` go by there. Measured once with 1, 2,
// 4, … of them and kept (cli/measured_store.h).
namespace sheaf::cli {

struct SharingStep {
  std::uint32_t replicas = 1;  // on one card
  std::uint32_t streams = 1;   // of each
  double tokens_per_s = 0;     // of all together
};
// From one replica on; those with more streams, which take less memory than more replicas do, come
// before those with more replicas.
using CardSharing = std::vector<SharingStep>;

// What so many serve; nothing: there is no room for them.
using RateOf =
    std::function<Result<std::optional<double>>(std::uint32_t replicas, std::uint32_t streams)>;

// One replica on more streams, where they may be doubled up to `streams_max`, then more replicas,
// up to 16: doubles while that gains a twentieth. What several fail at ends it; an error is what
// one replica on `streams` fails at, and what is unavailable for now.
Result<CardSharing> measure_sharing(const RateOf& rate_of, std::uint32_t streams = 1,
                                    std::uint32_t streams_max = 1);

// The last step that gained a twentieth over the best of those before it.
SharingStep best_sharing(const CardSharing& sharing);
// The same of those with so many streams; without any such one replica on them.
SharingStep best_sharing(const CardSharing& sharing, std::uint32_t streams);

// "2 replicas", "1 replica on 2 streams"
std::string describe(const SharingStep& step);
// "1 replica: 10200 tokens/s, 1 replica on 2 streams: 10300 tokens/s, 2 replicas: 17900 tokens/s"
std::string describe(const CardSharing& sharing);

// `of.kind` is kSharing.
inline constexpr const char* kSharing = "sharing";
std::optional<CardSharing> kept_sharing(const Measured& of);
Status keep_sharing(const Measured& of, const CardSharing& sharing);
// By Measured::on.
std::map<std::string, CardSharing> kept_sharing_on_cards(const ModelSource& source);

}  // namespace sheaf::cli
