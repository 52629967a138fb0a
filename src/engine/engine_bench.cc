// sheaf-engine-bench FOLDER WORKLOAD [--threads N] [--backend NAME | --dtype T] [--vectors FILE]
//
// Runs a workload through the engine once for every line it reads, and prints one JSON line each
// time, so that a driver (bench/peers/run.py) can take turns with another program. A workload is a
// text file: a batch a line, texts separated by ';', token ids by spaces. --vectors writes the
// answers, as floats, once. With SHEAF_PROFILE=1 in the environment the time of each operation is
// shown on standard error at the end, of all runs.
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
  std::unique_ptr<Engine> engine;
  double pack_seconds = 0;
  double open_seconds = 0;
};

Result<Opened> open_engine(const std::string& folder, const std::string& backend, int threads,
                           kernels::Profile* profile) {
  const TimeUs start = monotonic_us();
  SHEAF_ASSIGN(const Fd fd, make_memfd("sheaf-engine-bench", 0));
  SHEAF_TRY(pack_for(backend, folder, fd.get()));
  SHEAF_TRY(seal_memfd(fd.get()));
  const TimeUs packed = monotonic_us();
  SHEAF_ASSIGN(const std::size_t bytes, file_size(fd.get()));
  SHEAF_ASSIGN(Mapping mapping, Mapping::map(fd.get(), bytes, Mapping::Access::read_only));
  SHEAF_ASSIGN(auto engine,
               Engine::open(std::move(mapping), {.threads = threads, .profile = profile}));
  return Opened{.engine = std::move(engine),
                .pack_seconds = static_cast<double>(packed - start) * 1e-6,
                .open_seconds = static_cast<double>(monotonic_us() - packed) * 1e-6};
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
  return Times{.wall_seconds = static_cast<double>(monotonic_us() - start) * 1e-6,
               .cpu_seconds = cpu_now() - cpu_start};
}

Result<std::string> backend_of(const std::string& backend, const std::string& dtype) {
  if (!backend.empty()) return backend;
  const auto known = tensor::dtype_of(dtype.empty() ? "float32" : dtype);
  std::string name = known ? backend_name(*known) : "";
  if (name.empty())
    return Error{ErrorCode::unsupported, "this processor has no instructions for " + dtype};
  return name;
}

Result<int> thread_count(const std::string& text) {
  int threads = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), threads);
  if (error == std::errc() && end == text.data() + text.size() && threads >= 1 && threads <= 1024)
    return threads;
  return Error{ErrorCode::invalid_argument,
               "--threads " + text + ": is not a number from 1 to 1024"};
}

Status serve(const std::string& folder, const std::string& path,
             std::map<std::string, std::string> flags) {
  SHEAF_ASSIGN(const int threads,
               thread_count(flags.contains("--threads") ? flags["--threads"] : "1"));
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
               "[--vectors FILE]\n",
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
