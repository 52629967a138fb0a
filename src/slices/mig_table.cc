#include "slices/mig_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace sheaf::slices {
namespace {

constexpr auto kDocumented = Certainty::documented;
constexpr auto kInferred = Certainty::inferred;
constexpr auto kUnknown = Certainty::unknown;

constexpr int kStartsOfWhole[] = {0};
constexpr int kStartsOfOne[] = {0, 1, 2, 3, 4, 5, 6};
constexpr int kStartsOfOneDouble[] = {0, 2, 4, 6};
constexpr int kStartsOfTwo[] = {0, 2, 4};
constexpr int kStartsOfThree[] = {0, 4};

// The seven profiles of a card with eight memory slices: the same ids and places on all of them.
struct Shape {
  unsigned index, id;
  int compute_slices, memory_slices, count_max;
  std::span<const int> starts;
};
constexpr Shape kOne{0, 19, 1, 1, 7, kStartsOfOne};
constexpr Shape kOneMedia{7, 20, 1, 1, 1, kStartsOfOne};
constexpr Shape kOneDouble{9, 15, 1, 2, 4, kStartsOfOneDouble};
constexpr Shape kTwo{1, 14, 2, 2, 3, kStartsOfTwo};
constexpr Shape kThree{2, 9, 3, 4, 2, kStartsOfThree};
constexpr Shape kFour{3, 5, 4, 4, 1, kStartsOfWhole};
constexpr Shape kSeven{4, 0, 7, 8, 1, kStartsOfWhole};

// A30 has four memory slices, and gives the same ids to other profiles.
constexpr int kA30StartsOfOne[] = {0, 1, 2, 3};
constexpr int kA30StartsOfTwo[] = {0, 2};
constexpr Shape kA30One{0, 14, 1, 1, 4, kA30StartsOfOne};
constexpr Shape kA30OneMedia{7, 21, 1, 1, 1, kA30StartsOfOne};
constexpr Shape kA30Two{1, 5, 2, 2, 2, kA30StartsOfTwo};
constexpr Shape kA30TwoMedia{8, 6, 2, 2, 1, kA30StartsOfTwo};
constexpr Shape kA30Four{3, 0, 4, 4, 1, kStartsOfWhole};

struct Trust {
  Certainty placement = kDocumented;
  Certainty memory = kDocumented;
  Certainty multiprocessors = kDocumented;
  Certainty engines = kDocumented;
};

constexpr MigProfile profile(std::string_view name, const Shape& shape, std::uint64_t memory_mib,
                             int multiprocessors, const Engines& engines, const Trust& trust = {}) {
  return {.name = name,
          .index = shape.index,
          .id = shape.id,
          .compute_slices = shape.compute_slices,
          .memory_slices = shape.memory_slices,
          .count_max = shape.count_max,
          .memory_mib = memory_mib,
          .multiprocessors = multiprocessors,
          .starts = shape.starts,
          .engines = engines,
          .placement_certainty = trust.placement,
          .memory_certainty = trust.memory,
          .multiprocessors_certainty = trust.multiprocessors,
          .engines_certainty = trust.engines};
}

// Engines: copy, decoder, encoder, jpeg, ofa. No card for data centres that has MIG has encoders.

// The guide's table gives 1g no decoder and its listing one: the listing is of a real card.
constexpr Trust kA30Engines{.engines = kInferred};
constexpr MigProfile kA30[] = {
    profile("1g.6gb", kA30One, 5949, 14, {1, 1, 0, 0, 0}, kA30Engines),
    profile("1g.6gb+me", kA30OneMedia, 5949, 14, {1, 1, 0, 1, 1}),
    profile("2g.12gb", kA30Two, 11971, 28, {2, 2, 0, 0, 0}),
    profile("2g.12gb+me", kA30TwoMedia, 11971, 28, {2, 2, 0, 1, 1}, kA30Engines),
    profile("4g.24gb", kA30Four, 24003, 56, {4, 4, 0, 1, 1}, kA30Engines),
};

constexpr MigProfile kA100_40[] = {
    profile("1g.5gb", kOne, 4864, 14, {1, 0, 0, 0, 0}),
    profile("1g.5gb+me", kOneMedia, 4864, 14, {1, 1, 0, 1, 1}),
    profile("1g.10gb", kOneDouble, 9856, 14, {1, 1, 0, 0, 0}),
    profile("2g.10gb", kTwo, 9856, 28, {2, 1, 0, 0, 0}),
    profile("3g.20gb", kThree, 19968, 42, {3, 2, 0, 0, 0}),
    profile("4g.20gb", kFour, 19968, 56, {4, 2, 0, 0, 0}),
    profile("7g.40gb", kSeven, 40192, 98, {7, 5, 0, 1, 1}),
};
constexpr MigProfile kA100_80[] = {
    profile("1g.10gb", kOne, 9728, 14, {1, 0, 0, 0, 0}),
    profile("1g.10gb+me", kOneMedia, 9728, 14, {1, 1, 0, 1, 1}),
    profile("1g.20gb", kOneDouble, 19968, 14, {1, 1, 0, 0, 0}),
    profile("2g.20gb", kTwo, 19968, 28, {2, 1, 0, 0, 0}),
    profile("3g.40gb", kThree, 40192, 42, {3, 2, 0, 0, 0}),
    profile("4g.40gb", kFour, 40192, 56, {4, 2, 0, 0, 0}),
    profile("7g.80gb", kSeven, 80896, 98, {7, 5, 0, 1, 1}),
};

// Chips with unevenly disabled units: a wider place holds more multiprocessors than its share.
constexpr MigProfile kH100Sxm[] = {
    profile("1g.10gb", kOne, 9984, 16, {1, 1, 0, 1, 0}),
    profile("1g.10gb+me", kOneMedia, 9984, 16, {1, 1, 0, 1, 1}),
    profile("1g.20gb", kOneDouble, 20096, 26, {1, 1, 0, 1, 0}),
    profile("2g.20gb", kTwo, 20096, 32, {2, 2, 0, 2, 0}),
    profile("3g.40gb", kThree, 40448, 60, {3, 3, 0, 3, 0}),
    profile("4g.40gb", kFour, 40448, 64, {4, 4, 0, 4, 0}),
    profile("7g.80gb", kSeven, 81152, 132, {8, 7, 0, 7, 1}),
};
constexpr MigProfile kH100Pcie[] = {
    profile("1g.10gb", kOne, 9984, 14, {1, 1, 0, 1, 0}),
    profile("1g.10gb+me", kOneMedia, 9984, 14, {1, 1, 0, 1, 1}),
    profile("1g.20gb", kOneDouble, 20096, 14, {1, 1, 0, 1, 0}),
    profile("2g.20gb", kTwo, 20096, 30, {2, 2, 0, 2, 0}),
    profile("3g.40gb", kThree, 40448, 46, {3, 3, 0, 3, 0}),
    profile("4g.40gb", kFour, 40448, 62, {4, 4, 0, 4, 0}),
    profile("7g.80gb", kSeven, 81152, 114, {8, 7, 0, 7, 1}),
};

// Memory and multiprocessors come from listings that others published; the double 1g is taken for
// as large as 2g, 4g for as large as 3g and for as many multiprocessors as on H100.
constexpr Trust kH200{kInferred, kInferred, kInferred, kDocumented};
constexpr Trust kH200Guessed{kInferred, kUnknown, kInferred, kDocumented};
constexpr Trust kH200Unseen{kInferred, kUnknown, kUnknown, kDocumented};
constexpr MigProfile kH200_141[] = {
    profile("1g.18gb", kOne, 16384, 16, {1, 1, 0, 1, 0}, kH200),
    profile("1g.18gb+me", kOneMedia, 16384, 16, {1, 1, 0, 1, 1}, kH200),
    profile("1g.35gb", kOneDouble, 33280, 26, {1, 1, 0, 1, 0}, kH200Guessed),
    profile("2g.35gb", kTwo, 33280, 32, {2, 2, 0, 2, 0}, kH200),
    profile("3g.71gb", kThree, 71680, 60, {3, 3, 0, 3, 0}, kH200Guessed),
    profile("4g.71gb", kFour, 71680, 64, {4, 4, 0, 4, 0}, kH200Unseen),
    profile("7g.141gb", kSeven, 143360, 132, {8, 7, 0, 7, 1}, kH200),
};

// Memory: eighths of the card less what H200 keeps for itself of each; about 21 GB of 1g was
// reported. Multiprocessors: eighteen for each compute slice. Both are nominal. Decoders as on
// H100.
constexpr Trust kB200{kInferred, kUnknown, kUnknown, kInferred};
constexpr MigProfile kB200_180[] = {
    profile("1g.23gb", kOne, 21504, 18, {2, 1, 0, 1, 0}, kB200),
    profile("1g.23gb+me", kOneMedia, 21504, 18, {2, 1, 0, 1, 1}, kB200),
    profile("1g.45gb", kOneDouble, 43008, 18, {2, 1, 0, 1, 0}, kB200),
    profile("2g.45gb", kTwo, 43008, 36, {3, 2, 0, 2, 0}, kB200),
    profile("3g.90gb", kThree, 88064, 54, {6, 3, 0, 3, 0}, kB200),
    profile("4g.90gb", kFour, 88064, 72, {8, 4, 0, 4, 0}, kB200),
    profile("7g.180gb", kSeven, 180224, 126, {16, 7, 0, 7, 1}, kB200),
};

constexpr std::uint32_t kA30Ids[] = {0x20B710DE};
constexpr std::uint32_t kA100_40Ids[] = {0x20B010DE, 0x20B110DE, 0x20F110DE, 0x20F610DE};
constexpr std::uint32_t kA100_80Ids[] = {0x20B210DE, 0x20B510DE, 0x20F310DE, 0x20F510DE};
constexpr std::uint32_t kH100SxmIds[] = {0x233010DE, 0x232410DE};
constexpr std::uint32_t kH100PcieIds[] = {0x233110DE, 0x232210DE};
constexpr std::uint32_t kH200Ids[] = {0x233510DE, 0x233B10DE};
constexpr std::uint32_t kB200Ids[] = {0x290110DE};
constexpr std::uint32_t kRtx4090Ids[] = {0x268410DE};
constexpr std::uint32_t kA10gIds[] = {0x223710DE};
constexpr std::uint32_t kL4Ids[] = {0x27B810DE};

// Whole cards' memory is what nvidia-smi was seen to print (inferred): the guide gives names only.
constexpr CardModel cut(std::string_view key, std::string_view product, std::uint64_t memory_mib,
                        int major, int minor, int multiprocessors,
                        std::span<const std::uint32_t> ids, std::string_view driver,
                        std::span<const MigProfile> profiles) {
  const MigProfile& whole = profiles.back();
  return {key,
          product,
          memory_mib,
          major,
          minor,
          multiprocessors,
          ids,
          driver,
          whole.memory_slices,
          whole.compute_slices,
          profiles,
          kInferred,
          kDocumented};
}
constexpr CardModel uncut(std::string_view key, std::string_view product, std::uint64_t memory_mib,
                          int major, int minor, int multiprocessors,
                          std::span<const std::uint32_t> ids, std::string_view driver) {
  return {key,    product, memory_mib, major, minor,     multiprocessors, ids,
          driver, 0,       0,          {},    kInferred, kInferred};
}

constexpr CardModel kCards[] = {
    cut("a30", "NVIDIA A30", 24576, 8, 0, 56, kA30Ids, "460.73.01", kA30),
    cut("a100-40", "NVIDIA A100-SXM4-40GB", 40960, 8, 0, 108, kA100_40Ids, "450.80.02", kA100_40),
    cut("a100-80", "NVIDIA A100-SXM4-80GB", 81920, 8, 0, 108, kA100_80Ids, "450.80.02", kA100_80),
    cut("h100-80", "NVIDIA H100 80GB HBM3", 81559, 9, 0, 132, kH100SxmIds, "525.85.12", kH100Sxm),
    cut("h100-80-pcie", "NVIDIA H100 PCIe", 81559, 9, 0, 114, kH100PcieIds, "525.85.12", kH100Pcie),
    cut("h200-141", "NVIDIA H200", 143771, 9, 0, 132, kH200Ids, "550.90.07", kH200_141),
    cut("b200-180", "NVIDIA B200", 183359, 10, 0, 148, kB200Ids, "570.133.20", kB200_180),
    uncut("rtx-4090", "NVIDIA GeForce RTX 4090", 24564, 8, 9, 128, kRtx4090Ids, "520.56.06"),
    uncut("a10g", "NVIDIA A10G", 23028, 8, 6, 80, kA10gIds, "470.57.02"),
    uncut("l4", "NVIDIA L4", 23034, 8, 9, 58, kL4Ids, "525.60.13"),
    // On the processor's own memory, without a bus address: most of what NVML tells is missing.
    uncut("jetson", "Orin (nvgpu)", 62841, 8, 7, 16, {}, "540.3.0"),
};

// Where compute instances of a width may start inside a GPU instance, and how many there may be. A
// start is a multiple of the slot's width, and three take the width of four.
struct ComputeShape {
  int compute_slices;
  std::vector<int> starts;
};
std::vector<ComputeShape> compute_shapes(int slices_of_instance) {
  switch (slices_of_instance) {
    case 1:
      return {{1, {0}}};
    case 2:
      return {{1, {0, 1}}, {2, {0}}};
    case 3:
      return {{1, {0, 1, 2}}, {2, {0}}, {3, {0}}};
    case 4:
      return {{1, {0, 1, 2, 3}}, {2, {0, 2}}, {4, {0}}};
    case 7:
      return {{1, {0, 1, 2, 3, 4, 5, 6}}, {2, {0, 2, 4}}, {3, {0, 4}}, {4, {0}}, {7, {0}}};
    default:
      return {};
  }
}

// NVML_COMPUTE_INSTANCE_PROFILE_n_SLICE, which public listings show as the ids too.
unsigned compute_profile_index(int compute_slices) {
  return compute_slices == 7 ? 4u : static_cast<unsigned>(compute_slices - 1);
}

// "1g.5gb.me" → "1g.5gb+me": resource names of Kubernetes cannot hold a plus.
std::string with_plus(std::string_view name) {
  const std::size_t mark = name.find(".me");
  std::string out(name);
  if (mark != std::string_view::npos) out[mark] = '+';
  return out;
}

}  // namespace

std::string_view name_of(Certainty certainty) {
  constexpr std::array<std::string_view, 3> names{"documented", "inferred", "unknown"};
  return names[static_cast<std::size_t>(certainty)];
}

std::span<const CardModel> card_models() { return kCards; }

const CardModel* find_card(std::string_view key) {
  const auto* found = std::ranges::find(kCards, key, &CardModel::key);
  return found == std::end(kCards) ? nullptr : found;
}

const CardModel* find_card_by_pci_id(std::uint32_t pci_id) {
  const auto* found = std::ranges::find_if(kCards, [pci_id](const CardModel& card) {
    return std::ranges::find(card.pci_ids, pci_id) != card.pci_ids.end();
  });
  return found == std::end(kCards) ? nullptr : found;
}

const MigProfile* find_profile(const CardModel& card, std::string_view name) {
  const auto found = std::ranges::find(card.profiles, name, &MigProfile::name);
  return found == card.profiles.end() ? nullptr : &*found;
}

const MigProfile* find_profile_by_id(const CardModel& card, unsigned id) {
  const auto found = std::ranges::find(card.profiles, id, &MigProfile::id);
  return found == card.profiles.end() ? nullptr : &*found;
}

Result<const MigProfile*> profile_named(const CardModel& card, std::string_view text) {
  if (!card.has_mig())
    return Error{ErrorCode::unsupported, fmt::format("{} cannot be cut by MIG", card.product)};
  unsigned id = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), id);
  const bool is_id = failure == std::errc() && end == text.data() + text.size();
  const MigProfile* found =
      is_id ? find_profile_by_id(card, id) : find_profile(card, with_plus(text));
  if (found != nullptr) return found;
  return Error{ErrorCode::invalid_argument, fmt::format("{} has no MIG profile {}; it has {}",
                                                        card.product, text, profile_names(card))};
}

std::vector<ComputeProfile> compute_profiles(const MigProfile& profile) {
  std::vector<ComputeProfile> profiles;
  for (ComputeShape& shape : compute_shapes(profile.compute_slices)) {
    const bool whole = shape.compute_slices == profile.compute_slices;
    ComputeProfile one;
    one.name = whole ? std::string(profile.name)
                     : fmt::format("{}c.{}", shape.compute_slices, profile.name);
    one.index = compute_profile_index(shape.compute_slices);
    one.id = one.index;
    one.compute_slices = shape.compute_slices;
    one.count_max = static_cast<int>(shape.starts.size());
    one.multiprocessors = profile.multiprocessors * shape.compute_slices / profile.compute_slices;
    one.starts = std::move(shape.starts);
    profiles.push_back(std::move(one));
  }
  return profiles;
}

std::string profile_names(const CardModel& card) {
  std::string names;
  for (const MigProfile& profile : card.profiles)
    names += fmt::format("{}{}", names.empty() ? "" : ", ", profile.name);
  return names.empty() ? "none" : names;
}

}  // namespace sheaf::slices
