#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "core/simulation/scenario.h"

namespace sheaf::core {

struct SimulationReport {
  std::uint64_t log_hash = 0;  // of every event and action; equal runs have equal hashes
  std::string log;             // the same in words, if asked for
  std::vector<std::string> violations;

  std::size_t answered = 0;
  std::size_t cancelled = 0;
  std::map<ErrorCode, std::size_t> refused;
  std::size_t deaths = 0;
  std::size_t batches = 0;
  std::uint64_t tokens_answered = 0;
  std::map<RequestId, TimeUs> answered_after_us;  // from its arrival to its answer
};

// Runs the real core among simulated processes and clients until every request has ended and every
// replica is back (or the drain is over), and checks:
// - every request ends exactly once: answered, refused, or cancelled by its client;
// - an answer has every result, each computed from that very text;
// - an item is in one replica at a time and is not run again once done; batches fit their replica;
//   frames and orders go to the process that lives;
// - refusals have their reason: poisonous names a poisonous text, deadline_exceeded comes after the
//   deadline, overloaded at once on arrival, unavailable in a drain or after 10 s without replica,
//   which poisonous texts alone must not bring about;
// - nothing ends after its deadline; the queue respects its bound; a stopped replica at work is
//   killed within 0.1 s, one that computes in vain within 0.7 s; the fleet is complete again after
//   the last fault.
SimulationReport simulate(const Scenario& scenario, bool keep_log = false);

}  // namespace sheaf::core
