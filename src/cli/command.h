#pragma once

#include <functional>
#include <span>
#include <string>

#include "base/error.h"

namespace sheaf::cli {

// What every program of sheaf answers to its caller.
enum ExitCode : int {
  kExitOk = 0,
  kExitFailed = 1,         // something went wrong while it ran
  kExitUsage = 2,          // it was asked for something it cannot do
  kExitInterrupted = 130,  // as a shell says of SIGINT; what was done by then is shown
};

// A command's arguments, its own name not among them.
using Arguments = std::span<const std::string>;

int serve_command(Arguments arguments);
int embed_command(Arguments arguments);
int rerank_command(Arguments arguments);
int bench_command(Arguments arguments);
int models_command(Arguments arguments);
int plan_command(Arguments arguments);
int slices_command(Arguments arguments);
int top_command(Arguments arguments);

// "sheaf bench: <message>" on standard error, in the log's form where that is JSON; gives the exit
// code back.
int fail(std::string_view command, const Error& error, ExitCode code = kExitFailed);

// Of an error in what a command was told: it failed where something that is named is not there, or
// a file cannot be read; all else is wrong usage, what stands in such a file too.
ExitCode exit_code_of(const Error& error);

}  // namespace sheaf::cli
