#include "cli/cli.h"

#include <fmt/core.h>

#include <cstdio>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/version.h"

namespace sheaf::cli {
namespace {

struct Command {
  std::string_view name;
  std::string_view summary;
  int (*run)(Arguments);
};

constexpr Command kCommands[] = {
    {"serve", "serve models over HTTP and gRPC", serve_command},
    {"embed", "vectors of the lines of files or of standard input", embed_command},
    {"rerank", "lines of files or of standard input ranked by a query", rerank_command},
    {"bench", "measure a running server", bench_command},
    {"models", "models on this machine: list, show, pull, measure", models_command},
    {"plan", "slices and replicas for models on cards; whether a model fits", plan_command},
    {"slices", "what this machine has, and how its cards are cut", slices_command},
    {"top", "how busy the slices are, and what runs there", top_command},
};

std::string help() {
  std::string out =
      "usage: sheaf COMMAND [arguments]\n"
      "Serves embedding and reranking models: many replicas behind one endpoint.\n\n"
      "Commands\n";
  for (const Command& command : kCommands)
    out += fmt::format("  {:<8} {}\n", command.name, command.summary);
  out +=
      "\n"
      "  --help     this page; sheaf COMMAND --help says flags and defaults\n"
      "  --version  the version\n\n"
      "exit codes: 0 done, 1 failed (a file that is not there too), 2 wrong usage\n"
      "example: sheaf serve sentence-transformers/all-MiniLM-L6-v2 --num-replicas 2\n";
  return out;
}

int unknown_command(const std::string& name) {
  std::vector<std::string_view> names;
  for (const Command& command : kCommands) names.push_back(command.name);
  const std::string_view near =
      name == "doctor" ? std::string_view("slices check") : nearest_word(name, names);
  fmt::print(stderr, "sheaf: unknown command '{}'{}\n", name,
             near.empty() ? "; sheaf --help lists them" : fmt::format("; did you mean {}?", near));
  return kExitUsage;
}

}  // namespace

int run(int argument_count, const char* const* arguments) {
  std::vector<std::string> words(arguments + 1, arguments + argument_count);
  if (words.empty()) {
    fmt::print(stderr, "{}", help());
    return kExitUsage;
  }
  if (words[0] == "help" && words.size() > 1) words = {words[1], "--help"};
  if (words[0] == "--help" || words[0] == "-h" || words[0] == "help") {
    fmt::print("{}", help());
    return kExitOk;
  }
  if (words[0] == "--version" || words[0] == "version") {
    fmt::print("sheaf {}\n", kVersion);
    return kExitOk;
  }
  for (const Command& command : kCommands)
    if (command.name == words[0]) return command.run(Arguments(words).subspan(1));
  return unknown_command(words[0]);
}

ExitCode exit_code_of(const Error& error) {
  const bool no_file = error.code == ErrorCode::not_found || error.code == ErrorCode::io;
  return no_file ? kExitFailed : kExitUsage;
}

int fail(std::string_view command, const Error& error, ExitCode code) {
  if (log_is_json())
    write_log(LogLevel::error, error.message);
  else
    fmt::print(stderr, "sheaf {}: {}\n", command, error.message);
  return code;
}

}  // namespace sheaf::cli
