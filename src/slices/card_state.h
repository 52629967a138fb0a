#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "slices/gpu.h"
#include "slices/mig_geometry.h"

// How a card is cut, or shall be: values that are compared, kept in the journal, and gone between
// by steps.
namespace sheaf::slices {

struct ComputeState {
  unsigned profile_id = 0;
  unsigned start = 0, size = 0;  // compute slices of its GPU instance
  friend auto operator<=>(const ComputeState&, const ComputeState&) = default;
};

struct InstanceState {
  unsigned profile_id = 0;
  std::string name;                   // "3g.20gb"
  unsigned start = 0, size = 0;       // memory slices
  std::vector<ComputeState> compute;  // by start
  friend bool operator==(const InstanceState&, const InstanceState&) = default;

  bool same_place(const InstanceState& other) const {
    return profile_id == other.profile_id && start == other.start;
  }
};

struct CardState {
  unsigned gpu = 0;  // NVML's index, for people
  std::string uuid;  // which card it is
  bool mig = false;
  bool mig_pending = false;              // the mode after a reset; else the same
  std::vector<InstanceState> instances;  // by start
  friend bool operator==(const CardState&, const CardState&) = default;
};

// Error unsupported: the card has no MIG; io: its instances could not be listed.
Result<CardState> state_of(const Gpu& gpu);

// Error unsupported: an instance whose profile the model does not know.
Result<MigGeometry> geometry_of(const CardModel& model, const CardState& state);

// One change of a card, as NVML makes them.
struct MigStep {
  enum class Kind { destroy_compute, destroy_instance, set_mode, create_instance, create_compute };
  Kind kind = Kind::set_mode;
  bool mig = false;          // of set_mode
  InstanceState instance;    // of all others; its `compute` is not looked at
  ComputeState compute;      // of …_compute
  std::string text() const;  // "create 3g.20gb at memory slice 4"
};

// What leads from one state to the other: first what must go, then the mode, then what comes.
// Instances that are in both are left alone.
std::vector<MigStep> steps_between(const CardState& from, const CardState& to);

// "stop what holds the card, then …", as a change of mode needs where the driver cannot do it.
std::string how_to_reset(unsigned gpu);

}  // namespace sheaf::slices
