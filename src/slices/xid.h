#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>

#include "base/clock.h"

// Xids: the driver's numbers for what went wrong on a card, and what follows from them.
namespace sheaf::slices {

enum class XidReaction {
  alert,            // say it: nothing here has to be done, or nobody knows what
  restart_replica,  // what ran where it happened is spoilt; the card is well
  drain_card,       // the card needs a reset: its replicas go elsewhere, it takes no new ones
  quarantine_card,  // and no reset will do: only another boot, or another card
};
inline constexpr std::string_view kXidReactionNames[] = {"alert", "restart_replica", "drain_card",
                                                         "quarantine_card"};
std::string_view name_of(XidReaction reaction);

struct XidRow {
  unsigned number = 0;
  std::string_view name;
  XidReaction reaction = XidReaction::alert;
};
std::span<const XidRow> xid_rows();
// Alert for numbers that the table lacks.
XidRow xid_row(unsigned number);

struct XidEvent {
  unsigned xid = 0;
  unsigned gpu = 0;                                        // NVML's index
  std::optional<unsigned> gpu_instance, compute_instance;  // unset: of the whole card
  // What the card itself says is to be done (NVML's field 230); it decides about Xid 154.
  std::optional<unsigned> recovery_action;
  TimeUs at_us = 0;
};

// What is to be done about an event.
struct XidOrder {
  XidReaction reaction = XidReaction::alert;
  XidEvent event;
  std::uint64_t unsaid = 0;  // like events before it that nothing followed from
};

// "Xid 94 (contained memory error) on GPU 0, GPU instance 3: restarting what ran there".
std::string describe(const XidOrder& order);

// Turns events into reactions, so that a burst is answered once: a restart once for the place until
// 10 s have passed without the like, an alert once for the number and card; draining and quarantine
// once for the card, until it is told to be well. What ran on a card that is drained is not
// restarted there. Pure: knows only the times that it is given, which never go back.
class XidReactions {
 public:
  std::optional<XidOrder> on_event(const XidEvent& event);
  // The card was reset, or somebody who knows says that it is well.
  void forget(unsigned gpu);

 private:
  // What counts as one burst: reaction, card, instances (-1: none), and of alerts the number.
  using Burst = std::tuple<XidReaction, unsigned, long, long, unsigned>;
  struct Heard {
    TimeUs last_us = 0;
    std::uint64_t unsaid = 0;
  };
  static Burst burst_of(XidReaction reaction, const XidEvent& event);
  bool is_settled(XidReaction reaction, const XidEvent& event) const;

  std::map<Burst, Heard> heard_;
  std::map<unsigned, XidReaction> cards_;  // drained, or in quarantine
};

}  // namespace sheaf::slices
