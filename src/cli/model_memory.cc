#include "cli/model_memory.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/child_process.h"

namespace sheaf::cli {

Result<ModelMemory> memory_of(const std::string& replica_program, const ModelSource& source,
                              std::uint32_t max_batch_tokens, int threads) {
  std::vector<std::string> command = {replica_program, "estimate", "--threads",
                                      std::to_string(threads)};
  std::ranges::copy(source.flags(), std::back_inserter(command));
  if (max_batch_tokens > 0) {
    command.emplace_back("--max-batch-tokens");
    command.push_back(std::to_string(max_batch_tokens));
  }
  SHEAF_ASSIGN(const std::string said, output_of(command));
  const auto json = nlohmann::json::parse(said, nullptr, /*allow_exceptions=*/false);
  if (json.is_object() && json.contains("error"))
    return Error{ErrorCode::corrupt, json.value("error", "")};
  if (!json.is_object() || !json.contains("weights_bytes") || !json.contains("replica_bytes"))
    return Error{ErrorCode::internal,
                 fmt::format("{}: sheaf-replica could not estimate its memory", source.folder)};
  const auto on_card = json.value("card", nlohmann::json::object());
  return ModelMemory{json.value("weights_bytes", std::uint64_t{0}),
                     json.value("replica_bytes", std::uint64_t{0}),
                     json.value("max_batch_tokens", std::uint32_t{0}),
                     on_card.value("total_bytes", std::uint64_t{0})};
}

std::string describe(const ModelMemory& memory) {
  const auto text = [](std::uint64_t bytes) { return human_bytes(static_cast<double>(bytes)); };
  std::string said = fmt::format("{} of weights once, {} a replica", text(memory.weights_bytes),
                                 text(memory.replica_bytes));
  if (memory.card_bytes > 0) said += fmt::format("; {} of its card", text(memory.card_bytes));
  return said;
}

}  // namespace sheaf::cli
