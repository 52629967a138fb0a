#include "slices/xid.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace sheaf::slices {
namespace {

constexpr TimeUs kBurstUs = 10 * kSecond;
constexpr unsigned kXidRecoveryChanged = 154;

using enum XidReaction;

// After NVIDIA's catalog ("immediate action"). Where that says that the application is to be
// restarted, replicas are; where it says that the card is to be reset, the card is drained.
constexpr XidRow kXidRows[] = {
    {8, "GPU stopped processing", restart_replica},
    {13, "graphics engine exception", restart_replica},
    {31, "memory page fault", restart_replica},
    {32, "invalid push buffer", restart_replica},
    // The process that did it ends by itself.
    {43, "GPU stopped processing for an application's fault", alert},
    {44, "graphics engine fault during a context switch", alert},
    {45, "preemptive cleanup, after another error", alert},
    {46, "GPU stopped processing", drain_card},
    {48, "double-bit memory error", drain_card},
    {62, "internal micro-controller halted", drain_card},
    // Takes effect at the next reset, which may wait.
    {63, "memory row remapped or page retired", alert},
    {64, "memory row could not be remapped", quarantine_card},
    {68, "video decoder exception", restart_replica},
    {69, "graphics engine class error", restart_replica},
    {74, "NVLink error", drain_card},
    {79, "GPU fell off the bus", quarantine_card},
    {92, "high rate of corrected memory errors", alert},
    {94, "contained memory error", restart_replica},
    {95, "uncontained memory error", drain_card},
    {109, "context switch timed out", drain_card},
    {110, "security fault", drain_card},
    {119, "GPU system processor did not answer", drain_card},
    {120, "GPU system processor error", drain_card},
    {140, "unrecovered memory error", drain_card},
    {143, "GPU initialization error", drain_card},
    {kXidRecoveryChanged, "the action to recover changed", alert},
    {155, "NVLink software-defined error", drain_card},
    {156, "resource retirement", drain_card},
    {158, "GPU fatal timeout", drain_card},
};

// NVML's field 230: none, reset the card, reboot the node, drain peers, drain and reset, recover
// the IMEX domain (which is not the card's matter).
XidReaction reaction_of_recovery(std::optional<unsigned> action) {
  switch (action.value_or(0)) {
    case 1:
    case 3:
    case 4:
      return drain_card;
    case 2:
      return quarantine_card;
    default:
      return alert;
  }
}

bool asks_for_help(std::optional<unsigned> action) { return reaction_of_recovery(action) != alert; }

XidReaction reaction_to(const XidEvent& event) {
  if (event.xid == kXidRecoveryChanged) return reaction_of_recovery(event.recovery_action);
  return xid_row(event.xid).reaction;
}

std::string place_of(const XidEvent& event) {
  std::string place = fmt::format("GPU {}", event.gpu);
  if (event.gpu_instance) place += fmt::format(", GPU instance {}", *event.gpu_instance);
  if (event.compute_instance)
    place += fmt::format(", compute instance {}", *event.compute_instance);
  return place;
}

std::string_view consequence_of(XidReaction reaction) {
  switch (reaction) {
    case alert:
      return "nothing is done about it";
    case restart_replica:
      return "what ran there is to be restarted";
    case drain_card:
      return "the card needs a reset: it is to be drained";
    case quarantine_card:
      return "no reset helps the card: it is not to be used any more";
  }
  return "";
}

long or_none(std::optional<unsigned> id) { return id ? static_cast<long>(*id) : -1; }

}  // namespace

std::string_view name_of(XidReaction reaction) {
  return kXidReactionNames[static_cast<std::size_t>(reaction)];
}

std::span<const XidRow> xid_rows() { return kXidRows; }

XidRow xid_row(unsigned number) {
  const auto found = std::ranges::find(kXidRows, number, &XidRow::number);
  return found == std::end(kXidRows) ? XidRow{number, "unknown", alert} : *found;
}

std::string describe(const XidOrder& order) {
  std::string text =
      fmt::format("Xid {} ({}) on {}: {}", order.event.xid, xid_row(order.event.xid).name,
                  place_of(order.event), consequence_of(order.reaction));
  if (order.unsaid > 0) text += fmt::format("; {} more like it came before", order.unsaid);
  return text;
}

XidReactions::Burst XidReactions::burst_of(XidReaction reaction, const XidEvent& event) {
  if (reaction == alert) return {reaction, event.gpu, -1, -1, event.xid};
  if (reaction == restart_replica)
    return {reaction, event.gpu, or_none(event.gpu_instance), or_none(event.compute_instance), 0};
  return {reaction, event.gpu, -1, -1, 0};
}

// What it asks for has been asked for, or more.
bool XidReactions::is_settled(XidReaction reaction, const XidEvent& event) const {
  const auto card = cards_.find(event.gpu);
  return reaction != alert && card != cards_.end() && reaction <= card->second.reaction;
}

std::optional<XidOrder> XidReactions::on_event(const XidEvent& event) {
  const XidReaction reaction = reaction_to(event);
  const auto [place, fresh] = heard_.try_emplace(burst_of(reaction, event));
  Heard& heard = place->second;
  const bool same_burst = !fresh && event.at_us - heard.last_us < kBurstUs;
  heard.last_us = event.at_us;
  if (same_burst || is_settled(reaction, event)) {
    ++heard.unsaid;
    return std::nullopt;
  }
  if (reaction >= drain_card)
    cards_[event.gpu] = {reaction, asks_for_help(event.recovery_action), false, event.xid};
  return XidOrder{reaction, event, std::exchange(heard.unsaid, 0)};
}

bool XidReactions::on_reading(unsigned gpu, const CardReading& reading) {
  const auto found = cards_.find(gpu);
  if (found == cards_.end() || found->second.reaction != drain_card) return false;
  FailedCard& card = found->second;
  card.lost = card.lost || reading.lost;
  card.asked = card.asked || asks_for_help(reading.recovery_action);
  if (reading.lost || asks_for_help(reading.recovery_action)) return false;
  // Older drivers never tell what they ask for; one that did has to say that it does not any more.
  if (!(card.asked ? reading.recovery_action.has_value() : card.lost)) return false;
  forget(gpu);
  return true;
}

std::string XidReactions::out_of_use(unsigned gpu) const {
  const auto card = cards_.find(gpu);
  if (card == cards_.end()) return "";
  return fmt::format("{} after Xid {}",
                     card->second.reaction == drain_card ? "drained" : "in quarantine",
                     card->second.xid);
}

void XidReactions::forget(unsigned gpu) {
  cards_.erase(gpu);
  std::erase_if(heard_, [gpu](const auto& entry) { return std::get<1>(entry.first) == gpu; });
}

}  // namespace sheaf::slices
