#include "slices/mig_cut.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <map>
#include <string_view>
#include <utility>

namespace sheaf::slices {
namespace {

constexpr int kRepeatsMax = 64;

Error bad_word(std::string_view word, std::string_view why) {
  return {ErrorCode::invalid_argument, fmt::format("'{}' {}", word, why)};
}

std::optional<int> whole_number_of(std::string_view text) {
  int value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || failure != std::errc() || end != text.data() + text.size())
    return std::nullopt;
  return value;
}

// --- words ---

// "1c.3g.20gb@4" taken apart.
struct Word {
  int repeats = 1;
  int compute_slices = 0;  // 0: all of the instance
  const MigProfile* profile = nullptr;
  std::optional<int> start;
};

Result<Word> parse_word(const CardModel& model, std::string_view text) {
  Word word;
  std::string_view rest = text;
  if (const std::size_t star = rest.find('*'); star != std::string_view::npos) {
    const auto repeats = whole_number_of(rest.substr(0, star));
    if (!repeats || *repeats < 1 || *repeats > kRepeatsMax)
      return bad_word(text, fmt::format("repeats by no number from 1 to {}", kRepeatsMax));
    word.repeats = *repeats;
    rest.remove_prefix(star + 1);
  }
  if (const std::size_t at = rest.find('@'); at != std::string_view::npos) {
    word.start = whole_number_of(rest.substr(at + 1));
    if (!word.start) return bad_word(text, "has no number of a memory slice behind its @");
    rest = rest.substr(0, at);
  }
  if (const std::size_t c = rest.find("c."); c != std::string_view::npos) {
    const auto slices = whole_number_of(rest.substr(0, c));
    if (!slices || *slices < 1) return bad_word(text, "has no number of compute slices before c");
    word.compute_slices = *slices;
    rest.remove_prefix(c + 2);
  }
  SHEAF_ASSIGN(word.profile, profile_named(model, rest));
  return word;
}

// The largest profile of which so many fit, media engines aside.
Result<InstanceWish> equal_parts(const CardModel& model, int count) {
  const MigProfile* best = nullptr;
  for (const MigProfile& profile : model.profiles) {
    if (profile.count_max < count || profile.name.find('+') != std::string_view::npos) continue;
    if (best == nullptr || std::pair(profile.memory_slices, profile.compute_slices) >
                               std::pair(best->memory_slices, best->compute_slices))
      best = &profile;
  }
  if (count < 1 || best == nullptr)
    return Error{ErrorCode::invalid_argument,
                 fmt::format("{} cannot be cut into {} equal parts; its profiles are {}",
                             model.product, count, profile_names(model))};
  return InstanceWish{best, std::nullopt, {}};
}

std::vector<ComputeState> whole_compute(const MigProfile& profile) {
  const ComputeProfile whole = compute_profiles(profile).back();
  return {{whole.id, 0, static_cast<unsigned>(whole.compute_slices)}};
}

// A legal place beside the others, if there is one.
bool place_compute(std::vector<ComputeState>& placed, const ComputeProfile& profile) {
  const auto size = static_cast<unsigned>(profile.compute_slices);
  for (const int legal : profile.starts) {
    const auto start = static_cast<unsigned>(legal);
    const bool taken = std::ranges::any_of(placed, [&](const ComputeState& other) {
      return start < other.start + other.size && other.start < start + size;
    });
    if (taken) continue;
    placed.push_back({profile.id, start, size});
    return true;
  }
  return false;
}

// One more compute instance. All are placed anew, large ones first, for those have fewer places.
bool add_compute(InstanceWish& wish, const ComputeProfile& added) {
  std::vector<ComputeState> placed;
  const auto profiles = compute_profiles(*wish.profile);
  for (auto profile = profiles.rbegin(); profile != profiles.rend(); ++profile) {
    auto count = std::ranges::count(wish.compute, profile->id, &ComputeState::profile_id);
    if (profile->id == added.id) ++count;
    for (; count > 0; --count)
      if (!place_compute(placed, *profile)) return false;
  }
  std::ranges::sort(placed, {}, &ComputeState::start);
  wish.compute = std::move(placed);
  return true;
}

Result<ComputeProfile> compute_profile_of(const Word& word, std::string_view text) {
  std::string names;
  for (ComputeProfile& profile : compute_profiles(*word.profile)) {
    if (profile.compute_slices == word.compute_slices) return std::move(profile);
    names += (names.empty() ? "" : ", ") + profile.name;
  }
  return bad_word(text,
                  fmt::format("is no way to split {}; there are {}", word.profile->name, names));
}

// Part of the GPU instance that the word before began, while it has room.
Status add_split(const Word& word, std::string_view text, std::vector<InstanceWish>& wishes,
                 bool& open) {
  SHEAF_ASSIGN(const ComputeProfile profile, compute_profile_of(word, text));
  const bool same = open && wishes.back().profile == word.profile &&
                    (!word.start || wishes.back().start == word.start);
  if (same && add_compute(wishes.back(), profile)) return {};
  wishes.push_back({word.profile, word.start, {}});
  add_compute(wishes.back(), profile);
  open = true;
  return {};
}

// --- places ---

InstanceState placed(const InstanceWish& wish, int start) {
  return {wish.profile->id, std::string(wish.profile->name), static_cast<unsigned>(start),
          static_cast<unsigned>(wish.profile->memory_slices), wish.compute};
}

CardState sorted(CardState state) {
  std::ranges::sort(state.instances, {}, &InstanceState::start);
  return state;
}

std::vector<const MigProfile*> profiles_of(const std::vector<InstanceWish>& wishes) {
  std::vector<const MigProfile*> profiles;
  for (const InstanceWish& wish : wishes) profiles.push_back(wish.profile);
  return profiles;
}

// One after the other where the driver would put them.
std::optional<std::vector<int>> fit_as_driver(MigGeometry geometry,
                                              const std::vector<InstanceWish>& wishes) {
  std::vector<int> starts;
  for (const InstanceWish& wish : wishes) {
    const auto start = geometry.first_fit(*wish.profile);
    if (!start || !geometry.place(*wish.profile, *start).ok()) return std::nullopt;
    starts.push_back(*start);
  }
  return starts;
}

// Those that name their place, then the others where there is room.
struct Fitted {
  CardState state;
  bool fits = false;
};
Result<Fitted> fit(const CardModel& model, const CardState& base,
                   const std::vector<InstanceWish>& wishes) {
  Fitted fitted{base, false};
  SHEAF_ASSIGN(MigGeometry geometry, geometry_of(model, base));
  std::vector<InstanceWish> free;
  for (const InstanceWish& wish : wishes) {
    if (!wish.start) {
      free.push_back(wish);
      continue;
    }
    SHEAF_TRY(geometry.place(*wish.profile, *wish.start));
    fitted.state.instances.push_back(placed(wish, *wish.start));
  }
  auto starts = fit_as_driver(geometry, free);
  if (!starts) starts = fit_all(geometry, profiles_of(free));
  if (!starts) return fitted;
  for (std::size_t i = 0; i < free.size(); ++i)
    fitted.state.instances.push_back(placed(free[i], (*starts)[i]));
  fitted.state = sorted(std::move(fitted.state));
  fitted.fits = true;
  return fitted;
}

std::string list_of(const std::vector<InstanceWish>& wishes) {
  std::string text;
  for (const InstanceWish& wish : wishes)
    text += fmt::format("{}{}", text.empty() ? "" : " and ", wish.profile->name);
  return text;
}

bool runs_something(const Gpu& gpu, unsigned start) {
  const auto found = std::ranges::find(gpu.instances, start, &GpuInstance::start);
  return found != gpu.instances.end() &&
         std::ranges::any_of(gpu.processes, [&](const GpuProcess& process) {
           return process.gpu_instance == found->id;
         });
}

struct Move {
  InstanceState from, to;
};
struct Repartition {
  CardState state;
  std::vector<Move> moves;
};

// The wanted instances and those of `mask` beside the rest; nullopt if they do not fit.
std::optional<Repartition> try_moving(const CardModel& model, const CardState& before,
                                      const std::vector<InstanceWish>& wishes, unsigned mask) {
  CardState rest = before;
  rest.instances.clear();
  std::vector<InstanceWish> all;
  std::vector<InstanceState> moving;
  for (std::size_t i = 0; i < before.instances.size(); ++i) {
    const InstanceState& instance = before.instances[i];
    if ((mask >> i & 1) == 0) {
      rest.instances.push_back(instance);
      continue;
    }
    moving.push_back(instance);
    all.push_back({find_profile_by_id(model, instance.profile_id), std::nullopt, instance.compute});
  }
  all.insert(all.end(), wishes.begin(), wishes.end());
  auto geometry = geometry_of(model, rest);
  if (!geometry.ok()) return std::nullopt;
  const auto starts = fit_all(*geometry, profiles_of(all));
  if (!starts) return std::nullopt;
  Repartition found{rest, {}};
  for (std::size_t i = 0; i < all.size(); ++i) {
    found.state.instances.push_back(placed(all[i], (*starts)[i]));
    if (i < moving.size()) found.moves.push_back({moving[i], found.state.instances.back()});
  }
  found.state = sorted(std::move(found.state));
  return found;
}

// As few moves as possible, of idle instances alone.
std::optional<Repartition> fewest_moves(const Gpu& gpu, const CardState& before,
                                        const std::vector<InstanceWish>& wishes) {
  const std::size_t count = before.instances.size();
  unsigned movable = 0;
  for (std::size_t i = 0; i < count; ++i)
    if (!runs_something(gpu, before.instances[i].start)) movable |= 1u << i;
  for (int size = 1; size <= std::popcount(movable); ++size)
    for (unsigned mask = 1; mask < 1u << count; ++mask) {
      if (std::popcount(mask) != size || (mask & ~movable) != 0) continue;
      if (auto found = try_moving(*gpu.model, before, wishes, mask)) return found;
    }
  return std::nullopt;
}

Error no_place(const Gpu& gpu, const CardState& before, const std::vector<InstanceWish>& wishes,
               const std::optional<Repartition>& way) {
  std::string text = fmt::format("GPU {}: there is no place for {}", gpu.index, list_of(wishes));
  if (way) {
    text += "; it would fit if";
    for (const Move& move : way->moves)
      text += fmt::format("{} {} moved from memory slice {} to {}",
                          &move == way->moves.data() ? "" : " and", move.from.name, move.from.start,
                          move.to.start);
    text += ", which --repartition does (an idle instance is destroyed and created again)";
  } else {
    text += ", not even by moving idle instances";
  }
  const auto geometry = geometry_of(*gpu.model, before);
  if (geometry.ok()) text += "\n" + geometry->picture();
  return {ErrorCode::unavailable, text};
}

Result<const CardModel*> model_of(const Gpu& gpu) {
  if (gpu.model == nullptr)
    return Error{ErrorCode::unsupported,
                 fmt::format("GPU {} ({}): neither NVML nor the table tells its MIG profiles",
                             gpu.index, gpu.name)};
  return gpu.model.get();
}

Status need_mig(const CardState& state) {
  if (state.mig) return {};
  if (state.mig_pending)
    return Error{ErrorCode::unavailable, fmt::format("GPU {}: MIG will be on after a reset: {}",
                                                     state.gpu, how_to_reset(state.gpu))};
  return Error{ErrorCode::unavailable,
               fmt::format("GPU {}: MIG is off; `sheaf slices mig enable --gpu {}` turns it on",
                           state.gpu, state.gpu)};
}

// --- destroying ---

bool drop_compute(const Gpu& gpu, CardState& state, std::string_view uuid) {
  for (const GpuInstance& instance : gpu.instances)
    for (const ComputeInstance& compute : instance.compute) {
      if (compute.uuid != uuid) continue;
      const auto found = std::ranges::find(state.instances, instance.start, &InstanceState::start);
      if (found == state.instances.end()) return false;
      std::erase_if(found->compute,
                    [&](const ComputeState& one) { return one.start == compute.start; });
      if (found->compute.empty()) state.instances.erase(found);
      return true;
    }
  return false;
}

// An instance's id, PROFILE@START, or its name as a slice.
bool drop_instance(const Gpu& gpu, CardState& state, std::string_view word) {
  if (const std::string card = fmt::format("mig:{}/", gpu.index); word.starts_with(card))
    word.remove_prefix(card.size());
  const auto id = whole_number_of(word);
  return std::erase_if(state.instances, [&](const InstanceState& one) {
           const auto live = std::ranges::find(gpu.instances, one.start, &GpuInstance::start);
           return (id && live != gpu.instances.end() && live->id == static_cast<unsigned>(*id)) ||
                  fmt::format("{}@{}", one.name, one.start) == word;
         }) > 0;
}

// --- comparing ---

// What an instance is without its place: its profile and how it is split.
std::string kind_text(std::string_view name, const std::vector<ComputeState>& compute,
                      const MigProfile& profile) {
  if (compute == whole_compute(profile)) return std::string(name);
  std::string text(name);
  text += " split into";
  for (const ComputeState& one : compute) text += fmt::format(" {}c", one.size);
  return compute.empty() ? std::string(name) + " without a compute instance" : text;
}

std::map<std::string, int> kinds_of(const CardModel& model, const CardState& state) {
  std::map<std::string, int> kinds;
  for (const InstanceState& one : state.instances)
    if (const MigProfile* profile = find_profile_by_id(model, one.profile_id))
      ++kinds[kind_text(one.name, one.compute, *profile)];
  return kinds;
}

}  // namespace

Result<std::vector<InstanceWish>> parse_wishes(const CardModel& model,
                                               const std::vector<std::string>& words) {
  std::vector<InstanceWish> wishes;
  bool open = false;  // the last one takes more compute instances
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i + 1 < words.size() && words[i + 1] == "equal") {
      const auto count = whole_number_of(words[i]);
      SHEAF_ASSIGN(InstanceWish part, equal_parts(model, count.value_or(0)));
      part.compute = whole_compute(*part.profile);
      wishes.insert(wishes.end(), static_cast<std::size_t>(*count), part);
      open = false;
      ++i;
      continue;
    }
    SHEAF_ASSIGN(const Word word, parse_word(model, words[i]));
    for (int repeat = 0; repeat < word.repeats; ++repeat) {
      if (word.compute_slices > 0) {
        SHEAF_TRY(add_split(word, words[i], wishes, open));
        continue;
      }
      wishes.push_back({word.profile, word.start, whole_compute(*word.profile)});
      open = false;
    }
  }
  return wishes;
}

Result<CardState> with_created(const Gpu& gpu, const CardState& before,
                               const std::vector<std::string>& words, bool repartition) {
  SHEAF_TRY(need_mig(before));
  SHEAF_ASSIGN(const CardModel* model, model_of(gpu));
  SHEAF_ASSIGN(const auto wishes, parse_wishes(*model, words));
  if (wishes.empty())
    return Error{ErrorCode::invalid_argument,
                 "create needs at least one profile: one of " + profile_names(*model)};
  SHEAF_ASSIGN(Fitted fitted, fit(*model, before, wishes));
  if (fitted.fits) return std::move(fitted.state);
  auto way = fewest_moves(gpu, before, wishes);
  if (way && repartition) return std::move(way->state);
  return no_place(gpu, before, wishes, way);
}

Result<CardState> with_destroyed(const Gpu& gpu, const CardState& before,
                                 const std::vector<std::string>& words) {
  CardState after = before;
  for (const std::string& word : words) {
    if (word == "all") {
      after.instances.clear();
      continue;
    }
    if (drop_compute(gpu, after, word) || drop_instance(gpu, after, word)) continue;
    return Error{ErrorCode::not_found,
                 fmt::format("GPU {} has no instance {}: `sheaf slices mig list` shows them",
                             gpu.index, word)};
  }
  return after;
}

Result<CardState> with_exactly(const Gpu& gpu, const CardState& before,
                               const std::vector<std::string>& words) {
  SHEAF_ASSIGN(const CardModel* model, model_of(gpu));
  SHEAF_ASSIGN(std::vector<InstanceWish> wishes, parse_wishes(*model, words));
  CardState kept = before;
  kept.mig = kept.mig_pending = true;
  kept.instances.clear();
  std::vector<InstanceWish> missing = wishes;
  for (const InstanceState& instance : before.instances) {
    const auto found = std::ranges::find_if(missing, [&](const InstanceWish& wish) {
      return wish.profile->id == instance.profile_id && wish.compute == instance.compute &&
             (!wish.start || *wish.start == static_cast<int>(instance.start));
    });
    if (found == missing.end()) continue;
    kept.instances.push_back(instance);
    missing.erase(found);
  }
  if (auto beside = fit(*model, kept, missing); beside.ok() && beside->fits)
    return std::move(beside->state);
  kept.instances.clear();
  SHEAF_ASSIGN(Fitted anew, fit(*model, kept, wishes));
  if (anew.fits) return std::move(anew.state);
  return Error{
      ErrorCode::invalid_argument,
      fmt::format("GPU {}: {} do not fit on one {}", gpu.index, list_of(wishes), model->product)};
}

Result<std::vector<std::string>> differences(const Gpu& gpu, bool mig,
                                             const std::vector<std::string>& words) {
  std::vector<std::string> found;
  if (!gpu.mig) {
    if (mig) found.push_back(fmt::format("GPU {} cannot be cut by MIG", gpu.index));
    return found;
  }
  SHEAF_ASSIGN(const CardState now, state_of(gpu));
  if (now.mig != mig)
    found.push_back(fmt::format("GPU {}: MIG is {}, not {}", gpu.index, now.mig ? "on" : "off",
                                mig ? "on" : "off"));
  if (!mig || !now.mig) return found;
  SHEAF_ASSIGN(const CardModel* model, model_of(gpu));
  SHEAF_ASSIGN(const auto wishes, parse_wishes(*model, words));
  std::map<std::string, int> balance = kinds_of(*model, now);
  for (const InstanceWish& wish : wishes) {
    --balance[kind_text(wish.profile->name, wish.compute, *wish.profile)];
    if (wish.start && std::ranges::none_of(now.instances, [&](const InstanceState& one) {
          return one.same_place(placed(wish, *wish.start));
        }))
      found.push_back(fmt::format("GPU {}: no {} at memory slice {}", gpu.index, wish.profile->name,
                                  *wish.start));
  }
  for (const auto& [kind, count] : balance)
    if (count != 0)
      found.push_back(fmt::format("GPU {}: {} too {} {}", gpu.index, std::abs(count),
                                  count > 0 ? "many" : "few", kind));
  return found;
}

std::vector<std::string> words_of(const CardModel& model, const CardState& state) {
  std::vector<std::string> words;
  for (const InstanceState& one : state.instances) {
    const MigProfile* profile = find_profile_by_id(model, one.profile_id);
    if (profile == nullptr || one.compute == whole_compute(*profile)) {
      words.push_back(fmt::format("{}@{}", one.name, one.start));
      continue;
    }
    for (const ComputeState& compute : one.compute)
      words.push_back(fmt::format("{}c.{}@{}", compute.size, one.name, one.start));
  }
  return words;
}

}  // namespace sheaf::slices
