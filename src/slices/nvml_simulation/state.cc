#include "slices/nvml_simulation/state.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>

namespace sheaf::slices::simulation {
namespace {

constexpr std::uint64_t kMagic = 0x53494d4e564d4c31;  // "SIMNVML1"

void copy_text(char* to, std::size_t bytes, std::string_view text) {
  const std::size_t size = std::min(text.size(), bytes - 1);
  std::memcpy(to, text.data(), size);
  to[size] = 0;
}

// FNV-1a: makes identifiers that are the same in every run.
std::uint64_t hash_of(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

std::string uuid_of(std::string_view seed) {
  const std::uint64_t high = hash_of(seed), low = hash_of(std::string(seed) + "/low");
  return fmt::format("{:08x}-{:04x}-5{:03x}-a{:03x}-{:012x}", high >> 32, high >> 16 & 0xFFFF,
                     high & 0xFFF, low >> 48 & 0xFFF, low & 0xFFFFFFFFFFFF);
}

void init_mutex(pthread_mutex_t& mutex) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&mutex, &attributes);
  pthread_mutexattr_destroy(&attributes);
}

void init_card(SimCard& card, const CardModel& model, std::size_t index) {
  copy_text(card.key, sizeof card.key, model.key);
  copy_text(card.uuid, sizeof card.uuid, "GPU-" + uuid_of(fmt::format("{}#{}", model.key, index)));
  card.nvlinks = model.has_mig() && model.key != "a30" ? 12 : 0;
  card.ecc_enabled = model.has_mig() ? 1 : 0;
  card.pcie_generation = card.pcie_generation_max = model.compute_capability_major >= 9 ? 5 : 4;
}

}  // namespace

StateFile::StateFile(Mapping mapping)
    : mapping_(std::move(mapping)), state_(reinterpret_cast<SimState*>(mapping_.data())) {}

Result<StateFile> StateFile::create(const std::string& path,
                                    const std::vector<std::string>& cards) {
  if (cards.size() > kCardsMax)
    return Error{ErrorCode::invalid_argument,
                 fmt::format("{} cards are more than the {} of a simulated machine", cards.size(),
                             kCardsMax)};
  const Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file) return errno_error(path, errno);
  if (ftruncate(file.get(), sizeof(SimState)) != 0) return errno_error(path, errno);
  SHEAF_ASSIGN(Mapping mapping,
               Mapping::map(file.get(), sizeof(SimState), Mapping::Access::read_write));
  auto* state = new (mapping.data()) SimState;
  init_mutex(state->mutex);
  for (const std::string& key : cards) {
    const CardModel* model = find_card(key);
    if (model == nullptr)
      return Error{ErrorCode::not_found, fmt::format("no card is called {}", key)};
    init_card(state->cards[state->card_count], *model, state->card_count);
    ++state->card_count;
  }
  state->magic = kMagic;
  return StateFile(std::move(mapping));
}

Result<StateFile> StateFile::open(const std::string& path) {
  const Fd file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!file) return errno_error(path, errno);
  SHEAF_ASSIGN(const std::size_t size, file_size(file.get()));
  if (size != sizeof(SimState))
    return Error{ErrorCode::corrupt, path + " is no state of a simulated NVML"};
  SHEAF_ASSIGN(Mapping mapping,
               Mapping::map(file.get(), sizeof(SimState), Mapping::Access::read_write));
  StateFile state(std::move(mapping));
  if (state.state_->magic != kMagic)
    return Error{ErrorCode::corrupt, path + " is no state of a simulated NVML"};
  return state;
}

StateFile::Locked::Locked(SimState& state) : state_(state) {
  // Its owner was killed: every change here is whole, or is undone by who comes after.
  if (pthread_mutex_lock(&state_.mutex) == EOWNERDEAD) pthread_mutex_consistent(&state_.mutex);
}

StateFile::Locked::~Locked() { pthread_mutex_unlock(&state_.mutex); }

void StateFile::add_fault(const SimFault& fault) {
  Locked state = lock();
  for (SimFault& place : state->faults) {
    if (place.used) continue;
    place = fault;
    place.used = true;
    return;
  }
}

void StateFile::clear_faults() {
  Locked state = lock();
  for (SimFault& fault : state->faults) fault = {};
}

void StateFile::add_event(const SimEvent& event) {
  Locked state = lock();
  SimEvent& place = state->events[state->event_sequence % kEventsMax];
  place = event;
  place.sequence = ++state->event_sequence;
}

const CardModel& model_of(const SimCard& card) { return *find_card(card.key); }

std::string mig_uuid(const SimCard& card, std::uint32_t gpu_instance,
                     std::uint32_t compute_instance) {
  return "MIG-" + uuid_of(fmt::format("{}/{}/{}", card.uuid, gpu_instance, compute_instance));
}

}  // namespace sheaf::slices::simulation
