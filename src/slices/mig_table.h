#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

// What is known of cards and of how they can be cut, as facts without a card at hand: for planning
// for another machine, for checking before a card is touched, and for the simulated NVML. On a real
// card NVML has the last word. Sources: NVIDIA's MIG user guide and header, and listings of others;
// each figure says how far it is to be trusted.
namespace sheaf::slices {

enum class Certainty {
  documented,  // NVIDIA's guide or header says so
  inferred,    // follows from other figures, or was seen by others than NVIDIA
  unknown,     // no source; a nominal figure stands in its place, so that one can reckon at all
};
std::string_view name_of(Certainty certainty);

// Engines that a GPU instance owns, or that a compute instance shares with its siblings.
struct Engines {
  int copy = 0;
  int decoder = 0;
  int encoder = 0;
  int jpeg = 0;
  int ofa = 0;
};

// A size of GPU instance that one card model offers.
struct MigProfile {
  std::string_view name;  // "1g.5gb+me"
  // NVML counts profiles in two ways: `index` (NVML_GPU_INSTANCE_PROFILE_…) goes into the query of
  // a profile's facts and nowhere else; all other calls take `id`, which means other profiles on
  // other cards.
  unsigned index = 0;
  unsigned id = 0;
  int compute_slices = 0;
  int memory_slices = 0;
  int count_max = 0;  // on an empty card
  std::uint64_t memory_mib = 0;
  int multiprocessors = 0;
  std::span<const int> starts;  // legal first memory slices, ascending
  Engines engines;
  Certainty placement_certainty = Certainty::documented;  // of id, count_max and starts
  Certainty memory_certainty = Certainty::documented;
  Certainty multiprocessors_certainty = Certainty::documented;
  Certainty engines_certainty = Certainty::documented;

  std::uint64_t memory_bytes() const { return memory_mib << 20; }
};

struct CardModel {
  std::string_view key;      // "a100-40": what a user types
  std::string_view product;  // as NVML names it
  std::uint64_t memory_mib = 0;
  int compute_capability_major = 0;
  int compute_capability_minor = 0;
  int multiprocessors = 0;
  std::span<const std::uint32_t> pci_ids;  // device and vendor in one word, 0x20B010DE
  std::string_view driver_min;             // that knows the card; "450.80.02"
  int memory_slices = 0;                   // 0: cannot be cut by MIG
  int compute_slices = 0;
  std::span<const MigProfile> profiles;  // small ones first
  Certainty memory_certainty = Certainty::documented;
  Certainty driver_certainty = Certainty::documented;

  bool has_mig() const { return memory_slices > 0; }
  // Ampere's mode survives a reboot and needs a reset to change; from Hopper on it is neither.
  bool mode_needs_reset() const { return compute_capability_major < 9; }
  std::uint64_t memory_bytes() const { return memory_mib << 20; }
};

// A size of compute instance inside a GPU instance. Its memory and engines are its siblings' too.
struct ComputeProfile {
  std::string name;    // "1c.3g.20gb"; the GPU instance's own name where it takes all of it
  unsigned index = 0;  // NVML_COMPUTE_INSTANCE_PROFILE_…
  unsigned id = 0;
  int compute_slices = 0;
  int count_max = 0;        // in an empty GPU instance
  int multiprocessors = 0;  // inferred where a card's slices are uneven (Hopper)
  std::vector<int> starts;  // legal first compute slices, ascending
};

std::span<const CardModel> card_models();  // all of them; lives as long as the program

// nullptr where there is none.
const CardModel* find_card(std::string_view key);
const CardModel* find_card_by_pci_id(std::uint32_t pci_id);
const MigProfile* find_profile(const CardModel& card, std::string_view name);
const MigProfile* find_profile_by_id(const CardModel& card, unsigned id);

// The profile that a user means by a name ("1g.5gb", "1g.5gb.me" as Kubernetes writes it) or an id
// ("19"). Errors name the profiles that the card has, or say that it has none.
Result<const MigProfile*> profile_named(const CardModel& card, std::string_view text);

// Small ones first; the last takes the whole GPU instance. One pattern for all cards so far.
std::vector<ComputeProfile> compute_profiles(const MigProfile& profile);

// "1g.5gb, 1g.10gb, …": the card's profiles in one line.
std::string profile_names(const CardModel& card);

}  // namespace sheaf::slices
