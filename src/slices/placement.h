#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "slices/device.h"
#include "slices/slice.h"

// Which slice each replica of a server gets. Pure functions of plain values: made once at start,
// and asked again for a replica whose slice vanished.
namespace sheaf::slices {

// How replicas may share cards and MIG devices ("devices" below).
//   automatic  a device each while there are enough, else shared
//   dedicated  a device each, or an error
//   mig        the same, of MIG devices alone
//   shared     as evenly as can be; where one has to be shared, in turns
//   time       the same
//   mps        the same, always as clients of the device's MPS daemon
enum class Assignment { automatic, dedicated, shared, mig, mps, time };
std::string_view name_of(Assignment assignment);
std::optional<Assignment> parse_assignment(std::string_view name);

// What a replica of several processes is divided into: ranks, which add up what each has of every
// layer, or stages, which have some of the layers each and hand states on.
enum class Division { ranks, stages };
std::string_view flag_of(Division division);  // that says so: "--tensor-parallel-size"

// What one model wants.
struct Wish {
  std::string model;           // its name, for errors
  bool on_cards = false;       // else on processor cores
  std::uint32_t replicas = 0;  // 0: one a slice, or as many as `on_device` says
  // Where, and nowhere else: devices and cards as Device::is_meant_by() knows them, or
  // "cores:0-1"; with "@machine" behind it. Empty: anywhere.
  std::vector<std::string> slices = {};
  std::uint64_t replica_bytes = 0;  // of a device, that each takes beside the weights
  std::uint64_t weights_bytes = 0;  // of a device, once for all of its replicas there
  // Processes that each replica is divided over: on cores, of which each takes one at least; on
  // cards, of which each rank takes a whole one to itself, and each stage one or a MIG slice. The
  // bytes above are those of each, or of the one that needs most.
  std::uint32_t processes = 1;
  Division division = Division::ranks;
  // Of a device (UUID) that the model has to itself, how many replicas are to share it: where they
  // fit, no number is wanted and devices may be shared.
  std::map<std::string, std::uint32_t> on_device = {};
};

struct PlacementRules {
  std::uint32_t num_gpus = 0;  // cards that models without a list may use, the first ones; 0: all
  Assignment assignment = Assignment::automatic;
  double memory_utilization = 0.9;  // of a device, for all that are on it together
  std::string machine = {};         // this one's name
  std::string slices_folder = {};   // in which MPS daemons have theirs, and leases their table
  // Devices (UUIDs) that others have, and how: "is leased to task t …".
  std::map<std::string, std::string> withheld = {};
  // Cards (UUIDs) on which the server's replicas cannot compute, with all that they are cut into,
  // and why: "has compute capability 8.9, …".
  std::map<std::string, std::string> unusable = {};
};

// Weights on a device, which replicas there have in common: of a replica's own model, and of all
// models there.
struct SharedBytes {
  std::uint64_t own = 0, all = 0;
};

// A replica's place and what it may be exchanged for.
struct PlacedReplica {
  std::size_t wish = 0;
  Slice slice;
  std::uint64_t needed_bytes = 0;  // weights included
  SharedBytes weights = {};
  std::vector<std::string> allowed = {};  // as Wish::slices
  // Of one that is divided over cards or MIG slices those of its ranks or stages, in their order:
  // `slice` is then the first, named after them all, "gpu:0,gpu:1", and the bytes above are those
  // of each.
  std::vector<Slice> cards = {};

  std::span<const Slice> slices() const;  // `cards`, or `slice` alone
  void take_cards(std::vector<Slice> taken);
};

struct Placement {
  std::string machine;
  PlacementRules rules;
  std::vector<PlacedReplica> replicas;  // by wish
};

// A model that does not fit, in numbers: whoever knows models can say what would help.
struct Misfit {
  std::size_t wish = 0;
  Device device;  // the largest that it may use
  std::uint32_t shares = 1;
  std::uint64_t needed_bytes = 0, allowed_bytes = 0;
  std::string text(const Wish& wish) const;
};

// Models with a list of slices get theirs first, their replicas spread over it: with fewer than the
// list is long the first ones, with more several on each, as evenly as can be. What a list names is
// left to those who name it while there is anything else. Models without a number of replicas and
// without a list divide the devices that remain; a processor gives them default_replicas().
// Errors name what is missing, and what there is.
Result<std::variant<Placement, Misfit>> place(const Machine& machine, const GpuInventory& gpus,
                                              std::span<const Wish> wishes,
                                              const PlacementRules& rules);

// What may be used of the smallest device that one of a divided replica's processes is to have, if
// there is nobody else: of those that it names the first that suffice, else of all that it may have
// the largest. Its bytes are not known yet. Errors as of place().
Result<std::uint64_t> least_room(const Machine& machine, const GpuInventory& gpus, const Wish& wish,
                                 const PlacementRules& rules);

}  // namespace sheaf::slices
