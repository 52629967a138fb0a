#include "cli/model_memory.h"

#include <fmt/core.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/child_process.h"

namespace sheaf::cli {
namespace {

Result<std::string> read_all(int fd) {
  std::string text;
  std::array<char, 4096> part{};
  for (;;) {
    const ssize_t got = ::read(fd, part.data(), part.size());
    if (got == 0) return text;
    if (got > 0) text.append(part.data(), static_cast<std::size_t>(got));
    if (got < 0 && errno != EINTR) return errno_error("reading from sheaf-replica", errno);
  }
}

}  // namespace

Result<ModelMemory> memory_of(const std::string& replica_program, const std::string& folder,
                              const std::string& pooling, std::uint32_t max_batch_tokens,
                              int threads) {
  std::vector<std::string> command = {
      replica_program, "estimate", "--model",   folder,
      "--pooling",     pooling,    "--threads", std::to_string(threads)};
  if (max_batch_tokens > 0) {
    command.emplace_back("--max-batch-tokens");
    command.push_back(std::to_string(max_batch_tokens));
  }
  SHEAF_ASSIGN(const ChildProcess process,
               ChildProcess::start(command, ChildProcess::Errors::dropped));
  SHEAF_ASSIGN(const std::string said, read_all(process.output()));
  const auto json = nlohmann::json::parse(said, nullptr, /*allow_exceptions=*/false);
  if (json.is_object() && json.contains("error"))
    return Error{ErrorCode::corrupt, json.value("error", "")};
  if (!json.is_object() || !json.contains("weights_bytes") || !json.contains("replica_bytes"))
    return Error{ErrorCode::internal,
                 fmt::format("{}: sheaf-replica could not estimate its memory", folder)};
  return ModelMemory{json.value("weights_bytes", std::uint64_t{0}),
                     json.value("replica_bytes", std::uint64_t{0}),
                     json.value("max_batch_tokens", std::uint32_t{0})};
}

std::string describe(const ModelMemory& memory) {
  return fmt::format("{} of weights once, {} a replica",
                     human_bytes(static_cast<double>(memory.weights_bytes)),
                     human_bytes(static_cast<double>(memory.replica_bytes)));
}

}  // namespace sheaf::cli
