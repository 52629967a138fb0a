#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/load.h"

namespace sheaf::cli {

// One step of `sheaf bench`: a batch size and what came of it.
struct BenchStep {
  std::uint32_t batch_size = 1;
  LoadResult result;
};

struct BenchSetup {
  std::string server;
  std::string protocol;  // "http", "grpc"
  std::string model;     // empty: the server's default
  std::uint32_t concurrency = 0;
  double rate = 0;
};

// For people: at most 80 columns.
std::string bench_table(const BenchSetup& setup, const std::vector<BenchStep>& steps);
// For programs: one JSON object, latencies in milliseconds.
std::string bench_json(const BenchSetup& setup, const std::vector<BenchStep>& steps);

}  // namespace sheaf::cli
