#include "telemetry/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <array>
#include <atomic>
#include <cmath>
#include <mutex>
#include <utility>

#include "telemetry/family.h"

namespace sheaf::telemetry {
namespace {

using prometheus::Counter;
using prometheus::Histogram;
using prometheus::MetricFamily;
using prometheus::MetricType;

constexpr double kSecondsPerUs = 1e-6;

// TEI's: 35 steps of ×1.5 from 15 µs, so its dashboards carry over.
Histogram::BucketBoundaries duration_buckets() {
  Histogram::BucketBoundaries bounds;
  for (int step = 0; step < 35; ++step) bounds.push_back(15e-6 * std::pow(1.5, step));
  return bounds;
}

// Powers of two up to `max`.
Histogram::BucketBoundaries size_buckets(double max) {
  Histogram::BucketBoundaries bounds;
  for (double bound = 1; bound <= max; bound *= 2) bounds.push_back(bound);
  return bounds;
}

Labels labels_of(const ReplicaReading& reading) {
  return {{"model", reading.model}, {"replica", reading.replica}, {"slice", reading.slice}};
}

void append_replicas(const std::vector<ReplicaReading>& replicas, std::vector<MetricFamily>& out) {
  {
    Family state(out, "sheaf_replica_state", "1 for the state that a replica is in",
                 MetricType::Gauge);
    for (const ReplicaReading& r : replicas) {
      Labels labels = labels_of(r);
      labels.push_back({"state", r.state});
      state.add(std::move(labels), 1);
    }
  }
  struct Row {
    const char *name, *help;
    MetricType type;
    double (*value)(const ReplicaReading&);
  };
  static constexpr std::array<Row, 6> kRows = {{
      {"sheaf_replica_restarts_total", "Processes started after the first one", MetricType::Counter,
       [](const ReplicaReading& r) { return double(r.restarts); }},
      {"sheaf_replica_queue_tokens", "Tokens sent to the replica and not yet answered",
       MetricType::Gauge, [](const ReplicaReading& r) { return double(r.tokens_in_flight); }},
      {"sheaf_replica_batches_total", "Batches run", MetricType::Counter,
       [](const ReplicaReading& r) { return double(r.batches); }},
      {"sheaf_replica_batch_tokens_total", "Tokens in the batches run", MetricType::Counter,
       [](const ReplicaReading& r) { return double(r.tokens); }},
      {"sheaf_replica_busy_seconds_total", "Compute time of the batches run", MetricType::Counter,
       [](const ReplicaReading& r) { return r.busy_seconds; }},
      {"sheaf_replica_tokens_per_second", "Rate that the balancer has learnt", MetricType::Gauge,
       [](const ReplicaReading& r) { return r.tokens_per_second; }},
  }};
  for (const Row& row : kRows) {
    Family family(out, row.name, row.help, row.type);
    for (const ReplicaReading& r : replicas) family.add(labels_of(r), row.value(r));
  }
}

void append_models(const std::vector<ModelReading>& models, std::vector<MetricFamily>& out) {
  double queued = 0;
  Family items(out, "sheaf_queue_items", "Texts waiting for a replica", MetricType::Gauge);
  Family tokens(out, "sheaf_queue_tokens", "Tokens waiting for a replica", MetricType::Gauge);
  Family bound(out, "sheaf_queue_tokens_max", "Tokens that the queue takes", MetricType::Gauge);
  for (const ModelReading& m : models) {
    items.add({{"model", m.model}}, double(m.queue_items));
    tokens.add({{"model", m.model}}, double(m.queue_tokens));
    bound.add({{"model", m.model}}, double(m.queue_tokens_max));
    queued += double(m.queue_items);
  }
  Family total(out, "te_queue_size", "Texts waiting for a replica", MetricType::Gauge);
  total.add({}, queued);
}

}  // namespace

// References into the registry, which owns the metrics; each is thread-safe by itself.
struct Metrics::State {
  using Counters = prometheus::Family<Counter>;
  using Histograms = prometheus::Family<Histogram>;

  prometheus::Registry registry;
  Counters& count = counters("te_request_count", "Requests begun");
  Counters& success = counters("te_request_success", "Requests answered");
  Counters& failure = counters("te_request_failure", "Requests refused or failed, by reason");
  std::array<Counter*, 2> count_by_method = {&count.Add({{"method", "single"}}),
                                             &count.Add({{"method", "batch"}})};
  std::array<Counter*, 2> success_by_method = {&success.Add({{"method", "single"}}),
                                               &success.Add({{"method", "batch"}})};
  Counter& embed_count =
      counters("te_embed_count", "Requests that run a model begun, whatever its kind").Add({});
  Counter& embed_success =
      counters("te_embed_success", "Requests that run a model answered").Add({});

  // TEI counts every request twice, under te_request_ and under its kind.
  struct Durations {
    Histogram &total, &tokenize, &queue, &inference;
  };
  std::array<Durations, 2> durations = {durations_of("te_request"), durations_of("te_embed")};

  Histogram& input_length = sizes("te_request_input_length", "Tokens of a text", 1 << 15);
  Counter& inputs_cut =
      counters("sheaf_cut_texts", "Texts that were too long and lost an end").Add({});
  Histogram& batch_items = sizes("te_batch_next_size", "Texts of a batch", 1 << 12);
  Histogram& batch_tokens = sizes("te_batch_next_tokens", "Tokens of a batch", 1 << 17);

  std::array<std::atomic<std::int64_t>, std::size(kStageNames)> stage_ns{};

  mutable std::mutex reader_mutex;
  std::function<Readings()> reader;
  std::function<GpuReadings()> gpu_reader;

  // Its own copy of a reader, if there is one: it is called without the mutex.
  template <class Reader>
  Reader copy_of(const Reader& kept) const {
    const std::lock_guard lock(reader_mutex);
    return kept;
  }

  Counters& counters(const char* name, const char* help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
  }
  Histogram& histogram(const std::string& name, const char* help,
                       const Histogram::BucketBoundaries& bounds) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add({}, bounds);
  }
  Histogram& sizes(const char* name, const char* help, double max) {
    return histogram(name, help, size_buckets(max));
  }
  Durations durations_of(const std::string& prefix) {
    const auto bounds = duration_buckets();
    return {histogram(prefix + "_duration", "Seconds from request to answer", bounds),
            histogram(prefix + "_tokenization_duration", "Seconds of tokenizing", bounds),
            histogram(prefix + "_queue_duration", "Seconds of waiting for a replica", bounds),
            histogram(prefix + "_inference_duration", "Seconds of the model itself", bounds)};
  }
};

Metrics::Metrics() : state_(std::make_unique<State>()) {}
Metrics::~Metrics() = default;

void Metrics::request_started(Method method) {
  state_->count_by_method[method == Method::batch]->Increment();
  state_->embed_count.Increment();
}

void Metrics::request_succeeded(Method method, std::int64_t total_us, std::int64_t tokenize_us,
                                std::int64_t queue_us, std::int64_t compute_us) {
  state_->success_by_method[method == Method::batch]->Increment();
  state_->embed_success.Increment();
  for (State::Durations& durations : state_->durations) {
    durations.total.Observe(double(total_us) * kSecondsPerUs);
    durations.tokenize.Observe(double(tokenize_us) * kSecondsPerUs);
    durations.queue.Observe(double(queue_us) * kSecondsPerUs);
    durations.inference.Observe(double(compute_us) * kSecondsPerUs);
  }
}

void Metrics::request_failed(std::string_view err) {
  state_->failure.Add({{"err", std::string(err)}}).Increment();
}

void Metrics::input_length(std::uint32_t tokens) { state_->input_length.Observe(tokens); }

void Metrics::inputs_cut(std::uint64_t inputs) {
  if (inputs > 0) state_->inputs_cut.Increment(static_cast<double>(inputs));
}

void Metrics::stage_took(Stage stage, std::int64_t ns) {
  state_->stage_ns[static_cast<std::size_t>(stage)].fetch_add(ns, std::memory_order_relaxed);
}

void Metrics::batch_sent(std::uint32_t items, std::uint32_t tokens) {
  state_->batch_items.Observe(items);
  state_->batch_tokens.Observe(tokens);
}

void Metrics::set_reader(std::function<Readings()> reader) {
  std::lock_guard lock(state_->reader_mutex);
  state_->reader = std::move(reader);
}

void Metrics::set_gpu_reader(std::function<GpuReadings()> reader) {
  std::lock_guard lock(state_->reader_mutex);
  state_->gpu_reader = std::move(reader);
}

Readings Metrics::readings() const {
  const auto reader = state_->copy_of(state_->reader);
  return reader ? reader() : Readings();
}

GpuReadings Metrics::gpu_readings() const {
  const auto reader = state_->copy_of(state_->gpu_reader);
  return reader ? reader() : GpuReadings();
}

std::string Metrics::render() const {
  std::vector<MetricFamily> families = state_->registry.Collect();
  {
    Family stages(families, "sheaf_router_stage_seconds_total",
                  "CPU time of the router spent on requests, by stage", MetricType::Counter);
    for (std::size_t i = 0; i < std::size(kStageNames); ++i)
      stages.add({{"stage", std::string(kStageNames[i])}},
                 double(state_->stage_ns[i].load(std::memory_order_relaxed)) * 1e-9);
  }
  const Readings now = readings();
  if (!now.models.empty()) append_models(now.models, families);
  append_replicas(now.replicas, families);
  append_gpus(gpu_readings(), families);
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace sheaf::telemetry
