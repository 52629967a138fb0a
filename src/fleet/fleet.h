#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "channel/router_end.h"
#include "core/core.h"
#include "fleet/card_failure.h"
#include "model/spec/shard.h"
#include "model/spec/spec.h"
#include "slices/placement.h"

// Driver: owns the replica processes, their channels and the weights' memfds; knows nothing of
// requests.
namespace boost::asio {
class io_context;
}

namespace sheaf::fleet {

using core::BatchId;
using core::Incarnation;
using core::ReplicaId;

using BatchItem = channel::Item;
// Valid during the call only. Already checked: the batch is open in this incarnation, the rows are
// whole, lie inside it, were not reported before, and are as long as what was asked may be; sparse
// ones are terms.
using ResultRows = channel::Rows;

struct BatchEnd {
  BatchId batch = 0;
  TimeUs compute_us = 0;  // stamped by the replica around the model alone
  const Error* failure = nullptr;
};

struct ReplicaHello {
  std::string device;  // "cpu avx2"
  std::string dtype;   // "float32"
  core::ReplicaReady limits;
};

// What the fleet reports. Called on a thread of the io_context with the fleet's mutex held;
// progress every 50 ms while the replica has work, and some times a second while it is stopped
// without any.
class FleetListener {
 public:
  virtual ~FleetListener() = default;
  virtual void replica_ready(ReplicaId, Incarnation, const ReplicaHello&) = 0;
  virtual void replica_rows(ReplicaId, Incarnation, const ResultRows&) = 0;
  virtual void replica_batch_end(ReplicaId, Incarnation, const BatchEnd&) = 0;
  virtual void replica_progress(ReplicaId, Incarnation, const core::ProgressSample&) = 0;
  virtual void replica_exit(ReplicaId, Incarnation, const core::ExitReport&) = 0;
  // One that was to start waits for a slice, as the reason says; empty: it has one and goes on.
  virtual void replica_waits(ReplicaId, Incarnation, const std::string& reason) = 0;
};

struct FleetModel {
  std::string name;
  std::string folder;  // with config.json and so on
  model::ModelSpec spec;
  std::uint32_t replicas = 1;     // as many as the placement has for it, all on cards or none
  std::string pooling = {};       // that `spec` was read with, as model::read_spec() takes it
  std::string dtype = "float32";  // that products are computed in
  // What each replica is divided over, as model::check_shard() allows: more than one process on
  // slices of at least so many cores, or on as many cards.
  std::uint32_t ranks = 1;
  std::vector<model::Stage> stages = {{}};
  // On which a replica on a card computes as many batches side by side.
  std::uint32_t streams = 1;
};

struct FleetOptions {
  std::string replica_program;     // path of sheaf-replica
  std::string card_program = {};   // of the one for slices of cards, if there are any
  std::vector<FleetModel> models;  // replica ids run over these in order
  slices::Placement placement;     // of them all, in this order
  // Has an MPS daemon started on a card or MIG device, later, that a replica waits for. Called with
  // the mutex held, also again and again. Empty: replicas start without, which is for tests alone.
  std::function<void(const std::string& uuid)> want_mps = {};
  // "NAME=value" added to the replicas' environment (the tests' fault hooks).
  std::vector<std::string> replica_environment;
};

// A replica of several ranks or stages is one: its cores are cut into a part for each, or each has
// a card, in their order, and what befalls one process, or its card, befalls all.
//
// A replica whose card or MIG device vanishes is killed, which counts neither against it nor
// against texts, and starts again on another slice of its kind, or waits for one. Vanishing is
// noticed within about two seconds. Clients of an MPS daemon are killed so as one, when it ends or
// one of them had a fault, and start again when it runs. All members are called with `mutex` (given
// at creation) held, except create() and the destructor.
class Fleet {
 public:
  // Begins packing each model's weights (in a `sheaf-replica pack` process); start() calls made
  // before that ends wait for it. Errors later on reach the listener as exits of kind spawn_failed.
  static Result<std::unique_ptr<Fleet>> create(boost::asio::io_context& io, std::mutex& mutex,
                                               FleetOptions options, FleetListener& listener);
  // Kills what still runs and reaps it.
  virtual ~Fleet() = default;

  virtual void start(ReplicaId replica, Incarnation incarnation) = 0;
  virtual void stop(ReplicaId replica, Incarnation incarnation) = 0;  // closes its control socket
  virtual void kill(ReplicaId replica, Incarnation incarnation) = 0;
  // Copies the batch into the replica's channel and wakes it. False if it cannot be taken (over or
  // full; the core never sends more than the limits of ReplicaHello, so full means a broken
  // replica, which is killed).
  virtual bool submit(ReplicaId replica, Incarnation incarnation, BatchId batch,
                      std::span<const BatchItem> items) = 0;
  virtual void cancel(ReplicaId replica, Incarnation incarnation, BatchId batch) = 0;

  // Replicas there are killed as if their slices had vanished, and start again: on others if it is
  // for good.
  virtual void card_failed(const CardFailure& failure) = 0;
  // A card that failed for good (NVML's index) may be used again after all.
  virtual void card_is_well(unsigned gpu) = 0;

  virtual std::string replica_name(ReplicaId replica) const = 0;  // "0", "1", ...: x-sheaf-replica
  virtual std::string slice_name(ReplicaId replica) const = 0;    // "cores:0-1"; the last it had
  virtual std::vector<int> pids(ReplicaId replica) const = 0;     // of its processes, by rank
};

}  // namespace sheaf::fleet
