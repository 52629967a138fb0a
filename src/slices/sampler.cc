#include "slices/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <list>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "slices/nvml.h"

namespace sheaf::slices {
namespace {

constexpr TimeUs kIntervalLeastUs = 200'000;
constexpr TimeUs kPatienceUs = 500'000;  // of the destructor
// How long a thread waits for events at a time, and so for how long it may overlook the end.
constexpr TimeUs kEventWaitUs = 200'000;

std::chrono::microseconds duration_of(TimeUs us) { return std::chrono::microseconds(us); }

// A card as its thread left it.
struct WatchedCard {
  std::vector<SliceSample> samples;  // as of read_us
  std::map<unsigned, std::uint64_t> xids;
  TimeUs read_us = -1;  // -1: never
  TimeUs due_us = -1;   // when the call under way ought to have answered; -1: none is
  unsigned readings = 0;
  std::string error;
};

std::optional<CardReading> reading_of(const Result<std::vector<SliceSample>>& samples) {
  if (samples.ok()) return CardReading{false, samples->front().recovery_action};
  if (samples.error().code == ErrorCode::not_found) return CardReading{.lost = true};
  return std::nullopt;
}

struct Worker {
  std::thread thread;
  bool done = false;
};

}  // namespace

// Shared by the sampler and its threads, and so alive while a hanging one needs it.
struct Sampler::State : std::enable_shared_from_this<Sampler::State> {
  explicit State(SamplerOptions given) : options(std::move(given)) {
    options.interval_us = std::max(options.interval_us, kIntervalLeastUs);
  }

  SamplerOptions options;
  // Set by the first thread before it starts the others.
  std::optional<Nvml> nvml;

  mutable std::mutex mutex;  // guards all below
  mutable std::condition_variable changed;
  bool ending = false;
  bool answered = false;  // NVML, to being opened
  Status status = Error{ErrorCode::deadline_exceeded, "NVML has not answered yet"};
  std::vector<WatchedCard> cards;
  std::list<Worker> workers;  // places stay
  int calls_out = 0;          // of the options' functions

  // ---- threads

  void start_worker(std::function<void(State&)> work) {
    Worker& worker = workers.emplace_back();
    worker.thread = std::thread([self = shared_from_this(), &worker, work = std::move(work)] {
      work(*self);
      const std::lock_guard lock(self->mutex);
      worker.done = true;
      self->changed.notify_all();
    });
  }

  void open() {
    auto opened = Nvml::open();
    const Result<unsigned> count = opened.ok() ? opened->device_count() : opened.error();
    const std::lock_guard lock(mutex);
    answered = true;
    changed.notify_all();
    status = count.ok() ? Status() : count.error();
    if (ending || !count.ok()) return;
    nvml.emplace(std::move(*opened));
    cards.resize(*count);
    for (unsigned gpu = 0; gpu < *count; ++gpu)
      start_worker([gpu](State& state) { state.watch(gpu); });
  }

  void watch(unsigned gpu) {
    CardSampler card(*nvml, gpu, [this](const std::string& slice) { return busy_time(slice); });
    while (!is_ending()) {
      const TimeUs began_us = monotonic_us();
      begin_call(gpu, began_us);
      auto samples = card.read();
      const auto reading = reading_of(samples);
      keep(gpu, std::move(samples));
      if (reading) tell(gpu, *reading);
      wait_for_xids(card, gpu, began_us + options.interval_us);
    }
  }

  void wait_for_xids(CardSampler& card, unsigned gpu, TimeUs until_us) {
    for (TimeUs now = monotonic_us(); now < until_us && !is_ending(); now = monotonic_us()) {
      const TimeUs wait_us = std::min(until_us - now, kEventWaitUs);
      begin_call(gpu, now + wait_us);
      // Rounded up: the last bit of the way would else be a call for each instant.
      const auto event = card.wait_for_xid(static_cast<unsigned>(wait_us / 1000 + 1));
      end_call(gpu);
      if (!event.ok()) return sleep_until(until_us);
      if (*event) heard(gpu, **event);
    }
  }

  bool is_ending() const {
    const std::lock_guard lock(mutex);
    return ending;
  }

  void sleep_until(TimeUs until_us) {
    std::unique_lock lock(mutex);
    const TimeUs now = monotonic_us();
    if (until_us > now)
      changed.wait_for(lock, duration_of(until_us - now), [this] { return ending; });
  }

  // ---- what they leave

  void begin_call(unsigned gpu, TimeUs due_us) {
    const std::lock_guard lock(mutex);
    cards[gpu].due_us = due_us;
  }

  void end_call(unsigned gpu) {
    const std::lock_guard lock(mutex);
    cards[gpu].due_us = -1;
  }

  void keep(unsigned gpu, Result<std::vector<SliceSample>> samples) {
    const std::lock_guard lock(mutex);
    WatchedCard& card = cards[gpu];
    card.due_us = -1;
    ++card.readings;
    if (samples.ok()) {
      card.samples = std::move(*samples);
      card.read_us = monotonic_us();
      card.error.clear();
    } else {
      card.error = samples.error().message;
    }
    changed.notify_all();
  }

  void tell(unsigned gpu, const CardReading& reading) {
    if (const Out out(*this); out.allowed && options.on_reading) options.on_reading(gpu, reading);
  }

  void heard(unsigned gpu, const XidEvent& event) {
    {
      const std::lock_guard lock(mutex);
      ++cards[gpu].xids[event.xid];
    }
    if (const Out out(*this); out.allowed && options.on_xid) options.on_xid(event);
  }

  std::optional<TimeUs> busy_time(const std::string& slice) {
    const Out out(*this);
    return out.allowed && options.busy_time ? options.busy_time(slice) : std::nullopt;
  }

  // While it lives the options' functions may be called, if they still may; the destructor of the
  // sampler waits for those calls, however long they take.
  struct Out {
    explicit Out(State& owner) : state(owner) {
      const std::lock_guard lock(state.mutex);
      allowed = !state.ending;
      if (allowed) ++state.calls_out;
    }
    ~Out() {
      if (!allowed) return;
      const std::lock_guard lock(state.mutex);
      --state.calls_out;
      state.changed.notify_all();
    }
    Out(const Out&) = delete;
    Out& operator=(const Out&) = delete;
    State& state;
    bool allowed = false;
  };

  // ---- the sampler's own

  std::vector<SliceSample> samples_of(unsigned gpu, TimeUs now) const {
    const WatchedCard& card = cards[gpu];
    std::vector<SliceSample> samples = card.samples;
    if (samples.empty()) samples.push_back({.slice = fmt::format("gpu:{}", gpu), .gpu = gpu});
    samples.front().xids = card.xids;
    for (SliceSample& sample : samples) {
      sample.age_us = card.read_us < 0 ? std::nullopt : std::optional(now - card.read_us);
      sample.silent_us = card.due_us < 0 ? 0 : std::max<TimeUs>(now - card.due_us, 0);
      sample.error = card.error;
    }
    return samples;
  }

  // Those that are done are joined, those that hang are let go.
  void end() {
    std::unique_lock lock(mutex);
    ending = true;
    changed.notify_all();
    changed.wait(lock, [this] { return calls_out == 0; });
    changed.wait_for(lock, duration_of(kPatienceUs),
                     [this] { return std::ranges::all_of(workers, &Worker::done); });
    std::vector<std::thread> finished;
    for (Worker& worker : workers)
      worker.done ? finished.push_back(std::move(worker.thread)) : worker.thread.detach();
    lock.unlock();
    for (std::thread& thread : finished) thread.join();
  }
};

Sampler::Sampler(SamplerOptions options) : state_(std::make_shared<State>(std::move(options))) {
  const std::lock_guard lock(state_->mutex);
  state_->start_worker([](State& state) { state.open(); });
}

Sampler::~Sampler() { state_->end(); }

std::vector<SliceSample> Sampler::samples() const {
  const std::lock_guard lock(state_->mutex);
  const TimeUs now = monotonic_us();
  std::vector<SliceSample> all;
  for (unsigned gpu = 0; gpu < state_->cards.size(); ++gpu)
    for (SliceSample& sample : state_->samples_of(gpu, now)) all.push_back(std::move(sample));
  return all;
}

Status Sampler::status() const {
  const std::lock_guard lock(state_->mutex);
  return state_->status;
}

bool Sampler::wait_for_readings(unsigned count, TimeUs timeout_us) const {
  std::unique_lock lock(state_->mutex);
  return state_->changed.wait_for(lock, duration_of(timeout_us), [this, count] {
    return state_->answered && std::ranges::all_of(state_->cards, [count](const WatchedCard& card) {
             return card.readings >= count;
           });
  });
}

}  // namespace sheaf::slices
