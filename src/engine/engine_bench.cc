// sheaf-engine-bench FOLDER WORKLOAD [--threads N] [--backend NAME | --dtype T] [--vectors FILE]
//                    [--openings N]
//
// Runs a workload through the engine once for every line it reads, and prints one JSON line each
// time, so that a driver (bench/peers/run.py) can take turns with another program. A workload is a
// text file: a batch a line, texts separated by ';', token ids by spaces. --vectors writes the
// answers, as floats, once. --openings opens the packed model again so often, in the same process,
// and runs the workload's first batch: what a model that lies in memory takes to be back. With
// SHEAF_PROFILE=1 in the environment the time of each operation is shown on standard error at the
// end, of all runs.
#include <fmt/core.h>
#include <fmt/ranges.h>
#include <time.h>

#include <charconv>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mapping.h"
#include "engine/engine.h"
#include "engine/pack.h"
#include "kernels/ops.h"
#include "kernels/profile.h"

namespace sheaf::engine {
namespace {

struct OwnedBatch {
  std::vector<std::int32_t> ids;
  std::vector<std::uint32_t> cu_seqlens = {0};
  std::vector<ItemOptions> options;
};

OwnedBatch parse_batch(const std::string& line) {
  OwnedBatch batch;
  const char* at = line.data();
  const char* end = at + line.size();
  while (at < end) {
    std::int32_t id = 0;
    const auto [next, error] = std::from_chars(at, end, id);
    if (error == std::errc()) batch.ids.push_back(id);
    at = error == std::errc() ? next : at + 1;
    if (at == end || *at == ';') {
      batch.cu_seqlens.push_back(static_cast<std::uint32_t>(batch.ids.size()));
      batch.options.emplace_back();
    }
  }
  return batch;
}

Result<std::vector<OwnedBatch>> read_workload(const std::string& path) {
  std::vector<OwnedBatch> batches;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) batches.push_back(parse_batch(line));
  if (batches.empty())
    return Error{ErrorCode::invalid_argument, path + ": holds no batch, or cannot be read"};
  return batches;
}

Status write_vectors(const std::string& path, const std::vector<float>& vectors) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(vectors.data()),
             static_cast<std::streamsize>(vectors.size() * sizeof(float)));
  file.close();
  if (file) return {};
  return Error{ErrorCode::invalid_argument, path + ": cannot be written"};
}

struct Opened {
  Fd packed;
  std::unique_ptr<Engine> engine;
  double pack_seconds = 0;
  double open_seconds = 0;
};

double seconds_since(TimeUs start) { return static_cast<double>(monotonic_us() - start) * 1e-6; }

Result<std::unique_ptr<Engine>> open_packed(const Fd& packed, int threads,
                                            kernels::Profile* profile) {
  SHEAF_ASSIGN(const std::size_t bytes, file_size(packed.get()));
  SHEAF_ASSIGN(Mapping mapping, Mapping::map(packed.get(), bytes, Mapping::Access::read_only));
  return Engine::open(std::move(mapping), {.threads = threads, .profile = profile});
}

Result<Opened> open_engine(const std::string& folder, const std::string& backend, int threads,
                           kernels::Profile* profile) {
  const TimeUs start = monotonic_us();
  SHEAF_ASSIGN(Fd fd, make_memfd("sheaf-engine-bench", 0));
  SHEAF_TRY(pack_for(backend, folder, fd.get()));
  SHEAF_TRY(seal_memfd(fd.get()));
  const TimeUs packed = monotonic_us();
  SHEAF_ASSIGN(auto engine, open_packed(fd, threads, profile));
  return Opened{.packed = std::move(fd),
                .engine = std::move(engine),
                .pack_seconds = static_cast<double>(packed - start) * 1e-6,
                .open_seconds = seconds_since(packed)};
}

struct Times {
  double wall_seconds = 0;
  double cpu_seconds = 0;  // of all threads; what counts on a busy machine
};

double cpu_now() {
  timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// Runs the whole workload once; the answers, if asked for, are appended to `vectors`.
Result<Times> run(Engine& engine, const std::vector<OwnedBatch>& workload,
                  std::vector<float>* vectors) {
  Rows out;
  const TimeUs start = monotonic_us();
  const double cpu_start = cpu_now();
  for (const OwnedBatch& batch : workload) {
    SHEAF_TRY(engine.embed({batch.ids, batch.cu_seqlens, batch.options}, out));
    if (vectors != nullptr)
      vectors->insert(vectors->end(), out.values().begin(), out.values().end());
  }
  return Times{.wall_seconds = seconds_since(start), .cpu_seconds = cpu_now() - cpu_start};
}

Result<std::string> backend_of(const std::string& backend, const std::string& dtype) {
  if (!backend.empty()) return backend;
  const auto known = tensor::dtype_of(dtype.empty() ? "float32" : dtype);
  std::string name = known ? backend_name(*known) : "";
  if (name.empty())
    return Error{ErrorCode::unsupported, "this processor has no instructions for " + dtype};
  return name;
}

// Of a flag that is a number from `least` to 1024, and is that if it is not there.
Result<int> number_of(const std::map<std::string, std::string>& flags, const std::string& name,
                      int least) {
  const auto flag = flags.find(name);
  if (flag == flags.end()) return least;
  const std::string& text = flag->second;
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size() && number >= least && number <= 1024)
    return number;
  return Error{ErrorCode::invalid_argument,
               fmt::format("{} {}: is not a number from {} to 1024", name, text, least)};
}

// What it takes to open the packed model once more, and to answer the first batch.
Status open_again(const Opened& opened, int threads, const std::vector<OwnedBatch>& workload) {
  const TimeUs start = monotonic_us();
  SHEAF_ASSIGN(const auto engine, open_packed(opened.packed, threads, nullptr));
  const double open_seconds = seconds_since(start);
  SHEAF_TRY(run(*engine, {workload.front()}, nullptr));
  SHEAF_ASSIGN(const std::size_t bytes, file_size(opened.packed.get()));
  fmt::print("{{\"packed_bytes\":{},\"open_seconds\":{},\"answered_seconds\":{}}}\n", bytes,
             open_seconds, seconds_since(start));
  std::fflush(stdout);
  return {};
}

Status serve(const std::string& folder, const std::string& path,
             std::map<std::string, std::string> flags) {
  SHEAF_ASSIGN(const int threads, number_of(flags, "--threads", 1));
  SHEAF_ASSIGN(const int openings, number_of(flags, "--openings", 0));
  SHEAF_ASSIGN(const std::string backend, backend_of(flags["--backend"], flags["--dtype"]));
  SHEAF_ASSIGN(const std::vector<OwnedBatch> workload, read_workload(path));
  const auto profile = kernels::profile_if_asked();
  SHEAF_ASSIGN(const Opened opened, open_engine(folder, backend, threads, profile.get()));
  std::vector<float> vectors;
  SHEAF_ASSIGN(const Times first, run(*opened.engine, workload, &vectors));
  if (flags.contains("--vectors")) SHEAF_TRY(write_vectors(flags["--vectors"], vectors));
  fmt::print(
      "{{\"device\":\"{}\",\"pack_seconds\":{},\"open_seconds\":{},\"first_run_seconds\":{}}}\n",
      opened.engine->device(), opened.pack_seconds, opened.open_seconds, first.wall_seconds);
  std::fflush(stdout);
  for (int i = 0; i < openings; ++i) SHEAF_TRY(open_again(opened, threads, workload));
  for (std::string line; std::getline(std::cin, line);) {
    SHEAF_ASSIGN(const Times times, run(*opened.engine, workload, nullptr));
    fmt::print("{{\"wall\":{},\"cpu\":{}}}\n", times.wall_seconds, times.cpu_seconds);
    std::fflush(stdout);
  }
  kernels::print_profile(profile.get());
  return {};
}

}  // namespace
}  // namespace sheaf::engine

int main(int argc, char** argv) {
  if (argc < 3 || argc % 2 == 0) {
    fmt::print(stderr,
               "usage: {} FOLDER WORKLOAD [--threads N] [--backend NAME | --dtype T] "
               "[--vectors FILE] [--openings N]\n",
               argv[0]);
    return 2;
  }
  std::map<std::string, std::string> flags;
  for (int i = 3; i < argc; i += 2) flags[argv[i]] = argv[i + 1];
  const sheaf::Status status = sheaf::engine::serve(argv[1], argv[2], flags);
  if (status.ok()) return 0;
  fmt::print(stderr, "{}\n", status.error().message);
  return 1;
}
