#include "cli/model_memory.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/child_process.h"

namespace sheaf::cli {
namespace {

constexpr int kEstimateMs = 60'000;

// Not an unsigned number, as json takes a negative one for.
std::uint64_t bytes_of(const nlohmann::json& json, const char* field) {
  return json.at(field).get_ref<const nlohmann::json::number_unsigned_t&>();
}

}  // namespace

Result<ModelMemory> memory_of(const std::string& replica_program, const ModelSource& source,
                              std::uint32_t max_batch_tokens, int threads) {
  std::vector<std::string> command = {replica_program, "estimate", "--threads",
                                      std::to_string(threads)};
  std::ranges::copy(source.flags(), std::back_inserter(command));
  if (max_batch_tokens > 0) {
    command.emplace_back("--max-batch-tokens");
    command.push_back(std::to_string(max_batch_tokens));
  }
  if (source.ranks > 1)  // the first one's: all take as much
    for (const std::string& word : {std::string("--rank"), std::string("0"), std::string("--ranks"),
                                    std::to_string(source.ranks)})
      command.push_back(word);
  const auto said = output_of(command, kEstimateMs);
  if (!said.ok()) return said.error();
  try {
    const auto json = nlohmann::json::parse(*said);
    if (json.contains("error"))
      return Error{ErrorCode::corrupt, json.at("error").get<std::string>()};
    ModelMemory memory{bytes_of(json, "weights_bytes") * source.ranks,
                       bytes_of(json, "replica_bytes") * source.ranks,
                       json.at("max_batch_tokens").get<std::uint32_t>()};
    if (json.contains("card")) {
      memory.card_weights_bytes = bytes_of(json.at("card"), "weights_bytes");
      memory.card_replica_bytes = bytes_of(json.at("card"), "added_replica_bytes");
    }
    return memory;
  } catch (const nlohmann::json::exception&) {
    return Error{ErrorCode::internal, fmt::format("{} could not estimate the memory of {}",
                                                  replica_program, source.folder)};
  }
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
