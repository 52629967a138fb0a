#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "telemetry/gpu_readings.h"

namespace sheaf::telemetry {

// Scrape-time readings, for gauges and counters labelled by model, replica and slice.
struct ReplicaReading {
  std::string replica, slice, model, state;
  std::uint64_t restarts = 0;
  std::uint64_t tokens_in_flight = 0;
  std::uint64_t batches = 0;
  std::uint64_t tokens = 0;
  double busy_seconds = 0;
  double tokens_per_second = 0;
};
struct ModelReading {
  std::string model;
  std::uint64_t queue_items = 0;
  std::uint64_t queue_tokens = 0;
  std::uint64_t queue_tokens_max = 0;
};
struct Readings {
  std::vector<ModelReading> models;
  std::vector<ReplicaReading> replicas;
};

// What the router spends CPU time on for a request besides sockets and the event loop.
enum class Stage {
  parse,     // body to request
  tokenize,  // texts to ids, on whichever thread
  schedule,  // the core, and writing batches into channels
  collect,   // copying rows out of channels
  encode,    // answer to bytes
};
inline constexpr std::string_view kStageNames[] = {"parse", "tokenize", "schedule", "collect",
                                                   "encode"};

// The process's metrics: the te_* names of text-embeddings-inference and sheaf_* ones. Thread-safe;
// recording takes well under a microsecond. Times are seconds in the text, as Prometheus wants, and
// microseconds here.
class Metrics {
 public:
  Metrics();
  ~Metrics();

  enum class Method { single, batch };
  void request_started(Method method);
  void request_succeeded(Method method, std::int64_t total_us, std::int64_t tokenize_us,
                         std::int64_t queue_us, std::int64_t compute_us);
  // `err` as TEI says it: validation, tokenization, inference, overloaded, batch_size, model_type,
  // dropped.
  void request_failed(std::string_view err);
  void input_length(std::uint32_t tokens);
  void inputs_cut(std::uint64_t inputs);  // that were too long and lost an end
  void stage_took(Stage stage, std::int64_t ns);
  void batch_sent(std::uint32_t items, std::uint32_t tokens);

  // Called at each scrape for what is read rather than counted.
  void set_reader(std::function<Readings()> reader);
  // The same for cards: whoever watches them. Without one there are none.
  void set_gpu_reader(std::function<GpuReadings()> reader);

  // What the readers say now.
  Readings readings() const;
  GpuReadings gpu_readings() const;
  std::string render() const;  // Prometheus text format 0.0.4

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Adds the CPU time of its thread during its own life to a stage: on a machine whose cores compute,
// wall time would mostly measure waiting for a core. Of kSampled lives one, drawn by chance, is
// measured and stands for the others, since reading that clock is a system call.
class StageTimer {
 public:
  StageTimer(Metrics& metrics, Stage stage)
      : metrics_(metrics), stage_(stage), started_ns_(drawn() ? thread_cpu_ns() : kNotDrawn) {}
  ~StageTimer() {
    if (started_ns_ != kNotDrawn)
      metrics_.stage_took(stage_, (thread_cpu_ns() - started_ns_) * kSampled);
  }
  StageTimer(const StageTimer&) = delete;
  StageTimer& operator=(const StageTimer&) = delete;

 private:
  static constexpr std::int64_t kNotDrawn = -1;
  static constexpr std::uint32_t kSampled = 8;

  // Not every eighth: the stages of requests follow each other in a pattern.
  static bool drawn() {
    thread_local std::uint32_t state = 1;
    state = state * 1'664'525 + 1'013'904'223;
    return (state >> 16) % kSampled == 0;
  }

  Metrics& metrics_;
  const Stage stage_;
  const std::int64_t started_ns_;
};

}  // namespace sheaf::telemetry
