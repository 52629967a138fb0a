#include "cli/model_memory.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/child_process.h"

namespace sheaf::cli {
namespace {

using Array = nlohmann::json::array_t;

constexpr int kEstimateMs = 60'000;

// Not an unsigned number, as json takes a negative one for.
std::uint64_t bytes_of(const nlohmann::json& number) {
  return number.get_ref<const nlohmann::json::number_unsigned_t&>();
}
std::uint64_t bytes_of(const nlohmann::json& json, const char* field) {
  return bytes_of(json.at(field));
}

// Has `take` read what the program says in this mode.
template <class Take>
Status ask(const std::string& replica_program, const std::string& mode, const ModelSource& source,
           const std::vector<std::string>& flags, Take take) {
  std::vector<std::string> command = {replica_program, mode};
  std::ranges::move(source.flags(), std::back_inserter(command));
  std::ranges::copy(flags, std::back_inserter(command));
  SHEAF_ASSIGN(const std::string said, output_of(command, kEstimateMs));
  try {
    const auto json = nlohmann::json::parse(said);
    if (json.contains("error"))
      return Error{ErrorCode::corrupt, json.at("error").get<std::string>()};
    take(json);
    return {};
  } catch (const nlohmann::json::exception&) {
    return Error{ErrorCode::internal, fmt::format("{} could not estimate the memory of {}",
                                                  replica_program, source.folder)};
  }
}

}  // namespace

Result<ModelMemory> memory_of(const std::string& replica_program, const ModelSource& source,
                              std::uint32_t max_batch_tokens, int threads, std::uint32_t streams) {
  ModelMemory memory;
  for (const model::Stage& stage : source.stages) {
    // The first rank's: all take as much.
    std::vector<std::string> flags = model::flags_of({0, source.ranks, stage});
    flags.insert(flags.end(), {"--threads", std::to_string(threads)});
    if (streams > 1) flags.insert(flags.end(), {"--streams", std::to_string(streams)});
    if (max_batch_tokens > 0)
      flags.insert(flags.end(), {"--max-batch-tokens", std::to_string(max_batch_tokens)});
    const auto add = [&](const nlohmann::json& json) {
      memory.weights_bytes += bytes_of(json, "weights_bytes") * source.ranks;
      memory.replica_bytes += bytes_of(json, "replica_bytes") * source.ranks;
      memory.max_batch_tokens = json.at("max_batch_tokens").get<std::uint32_t>();
      if (!json.contains("card")) return;
      const std::uint64_t weights_bytes = bytes_of(json.at("card"), "weights_bytes");
      const std::uint64_t replica_bytes = bytes_of(json.at("card"), "added_replica_bytes");
      if (weights_bytes + replica_bytes <= memory.card_weights_bytes + memory.card_replica_bytes)
        return;
      memory.card_weights_bytes = weights_bytes;
      memory.card_replica_bytes = replica_bytes;
    };
    SHEAF_TRY(ask(replica_program, "estimate", source, flags, add));
  }
  return memory;
}

Result<model::PartBytes> parts_of(const std::string& replica_program, const ModelSource& source) {
  model::PartBytes parts;
  const auto take = [&](const nlohmann::json& json) {
    parts.words = bytes_of(json, "words_bytes");
    for (const nlohmann::json& layer : json.at("layer_bytes").get_ref<const Array&>())
      parts.layers.push_back(bytes_of(layer));
    parts.heads = bytes_of(json, "heads_bytes");
  };
  SHEAF_TRY(ask(replica_program, "parts", source, {}, take));
  return parts;
}

std::string describe(const ModelMemory& memory) {
  const auto text = [](std::uint64_t bytes) { return human_bytes(static_cast<double>(bytes)); };
  std::string said = fmt::format("{} of weights once, {} a replica", text(memory.weights_bytes),
                                 text(memory.replica_bytes));
  if (memory.card_replica_bytes > 0)
    said += fmt::format("; of its card {} of weights once, {} a replica",
                        text(memory.card_weights_bytes), text(memory.card_replica_bytes));
  return said;
}

}  // namespace sheaf::cli
