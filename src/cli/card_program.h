#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "model/spec/spec.h"

namespace sheaf::cli {

// The program that computes on cards, and what it says that it can.
struct CardProgram {
  std::string path;
  // Nothing computes on simulated cards, where no program for them is named: sheaf-replica does in
  // their place, as on cores.
  bool stands_in = false;
  std::vector<std::string> dtypes;        // "bfloat16"
  std::vector<int> compute_capabilities;  // that it has code for, 90 for 9.0; empty: any
  // By what ranks that have a card each add up, or why they cannot; both empty: there is one card.
  std::string sums_by, no_sums_because;

  bool has_code_for(int compute_capability) const;
};

// `given` if not empty, else sheaf-replica-cuda beside `replica_program`; empty: it is not there.
// Error where `given` is no program.
Result<std::string> find_card_program(const std::string& given, const std::string& replica_program);

// Runs its mode `devices`, which asks the driver. Error, one sentence, where it can use no card
// here, or has not answered within `timeout_ms`: a driver that hangs holds up nobody else.
inline constexpr int kCardProgramAnswersMs = 20'000;
Result<CardProgram> ask_card_program(const std::string& path,
                                     int timeout_ms = kCardProgramAnswersMs);

// In what it computes a model of whose dtype `wanted` was said. "auto" is bfloat16, and float32
// where that is what processors take without measuring. Error if it cannot compute in it.
Result<std::string> dtype_on_card(const CardProgram& program, const std::string& wanted,
                                  const std::string& model, const model::ModelSpec& spec);

}  // namespace sheaf::cli
