#include "core/inquest.h"

#include <limits>

namespace sheaf::core {
namespace {

constexpr std::uint8_t kStrikesMax = 2;
constexpr std::uint32_t kLastItem = std::numeric_limits<std::uint32_t>::max();

std::uint64_t sum_tokens(const std::vector<QueuedItem>& items) {
  std::uint64_t total = 0;
  for (const QueuedItem& item : items) total += item.tokens;
  return total;
}

bool fits(TimeUs now_us, const Replica& replica, const std::vector<QueuedItem>& items) {
  return items.size() <= 1 || (sum_tokens(items) <= replica.limit_tokens(now_us) &&
                               items.size() <= replica.limits.max_batch_items);
}

}  // namespace

std::optional<Inquest::Verdict> Inquest::accuse(TimeUs now_us, Charge charge) {
  if (charge.blame == Blame::too_large && charge.items.size() > 1) {
    add_halves(charge.items);
    return {};
  }
  const bool fell = !replicas_[charge.replica].supervisor.is_ready();  // else it refused the batch
  for (const QueuedItem& item : charge.items) {
    Record& record = records_[{item.ref.request, item.ref.index}];
    if (fell) record.fallen.push_back(charge.replica);
    if (!charge.alone) {
      groups_.push_back({{item}, {}});
      continue;
    }
    if (++record.strikes >= kStrikesMax) return convict(now_us, item, record, charge.cause);
    // Ahead of all others: a verdict is near, and with it the deaths are explained that would else
    // add up and open the breakers.
    groups_.push_front({{item}, charge.replica});
  }
  return {};
}

// By tokens, each at least one item.
void Inquest::add_halves(const std::vector<QueuedItem>& items) {
  const std::uint64_t total = sum_tokens(items);
  Group first, second;
  std::uint64_t tokens = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const bool in_first =
        i == 0 || (i + 1 < items.size() && (tokens + items[i].tokens) * 2 <= total);
    (in_first ? first : second).items.push_back(items[i]);
    tokens += items[i].tokens;
  }
  groups_.push_back(std::move(first));
  groups_.push_back(std::move(second));
}

Inquest::Verdict Inquest::convict(TimeUs now_us, const QueuedItem& item, const Record& record,
                                  const std::string& cause) {
  for (const std::uint32_t fallen : record.fallen) replicas_[fallen].supervisor.forgive(now_us);
  const std::string index = std::to_string(item.ref.index);
  Error error{ErrorCode::poisonous, "item " + index + " (" + std::to_string(item.tokens) +
                                        " tokens) made a replica fail twice while it ran alone; "
                                        "last: " +
                                        cause};
  error.param = "input[" + index + "]";
  return {item.ref.request, std::move(error)};
}

std::optional<Inquest::Trial> Inquest::next(TimeUs now_us) {
  while (!trial_on_) {
    drop_ended();
    if (groups_.empty()) {
      witness_.reset();
      return {};
    }
    const std::optional<std::uint32_t> avoid = groups_.front().avoid;
    if (!witness_ || witness_ == avoid) witness_ = choose_witness(now_us, avoid);
    if (!witness_ || !replicas_[*witness_].flight.empty()) return {};
    if (!replicas_[*witness_].supervisor.has_worked()) return Trial{*witness_, {}};

    std::vector<QueuedItem> items = std::move(groups_.front().items);
    groups_.pop_front();
    trial_on_ = fits(now_us, replicas_[*witness_], items);
    if (trial_on_) return Trial{*witness_, std::move(items)};
    add_halves(items);  // half of what a larger replica had
  }
  return {};
}

// Requests that end do not search for their suspects; those are dropped when their turn comes.
void Inquest::drop_ended() {
  while (!groups_.empty()) {
    std::erase_if(groups_.front().items,
                  [this](const QueuedItem& item) { return !requests_.contains(item.ref.request); });
    if (!groups_.front().items.empty()) return;
    groups_.pop_front();
  }
}

// The ready replica that gets free first, but for the one to avoid unless no other can be hoped
// for.
std::optional<std::uint32_t> Inquest::choose_witness(TimeUs now_us,
                                                     std::optional<std::uint32_t> avoid) const {
  std::optional<std::uint32_t> best;
  TimeUs best_us = std::numeric_limits<TimeUs>::max();
  bool another_comes = false;
  for (std::uint32_t i = 0; i < replicas_.size(); ++i) {
    const Replica& replica = replicas_[i];
    const ReplicaState state = replica.supervisor.state();
    another_comes |= state == ReplicaState::starting || state == ReplicaState::killing;
    if (!replica.supervisor.is_ready() || avoid == i) continue;
    const TimeUs free_us = replica.flight.free_us(now_us, replica.rate);
    if (free_us >= best_us) continue;
    best = i;
    best_us = free_us;
  }
  const bool avoided_ready = avoid && replicas_[*avoid].supervisor.is_ready();
  return best || another_comes || !avoided_ready ? best : avoid;
}

void Inquest::batch_ended(std::uint32_t replica) {
  if (witness_ == replica) trial_on_ = false;
}

void Inquest::replica_ended(std::uint32_t replica) {
  if (witness_ != replica) return;
  witness_.reset();
  trial_on_ = false;
}

void Inquest::forget(RequestId request) {
  records_.erase(records_.lower_bound({request, 0}), records_.upper_bound({request, kLastItem}));
}

}  // namespace sheaf::core
