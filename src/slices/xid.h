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

// What a look at a card told of its recovery.
struct CardReading {
  bool lost = false;                        // it is off the bus
  std::optional<unsigned> recovery_action;  // as of events; unset: it does not tell
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
// once for the card, until that was reset. What ran on a card that is drained is not
// restarted there. Pure: knows only the times that it is given, which never go back.
class XidReactions {
 public:
  std::optional<XidOrder> on_event(const XidEvent& event);
  // True: it was drained, and has been reset: it asked to be and does no longer, or was lost and is
  // back. Then its next Xid is answered as the first. A card in quarantine stays there.
  bool on_reading(unsigned gpu, const CardReading& reading);
  // "drained after Xid 48", "in quarantine after Xid 79"; empty: the card may be used.
  std::string out_of_use(unsigned gpu) const;

 private:
  // What counts as one burst: reaction, card, instances (-1: none), and of alerts the number.
  using Burst = std::tuple<XidReaction, unsigned, long, long, unsigned>;
  struct Heard {
    TimeUs last_us = 0;
    std::uint64_t unsaid = 0;
  };
  struct FailedCard {
    XidReaction reaction = XidReaction::drain_card;  // or quarantine_card
    bool asked = false;                              // for a reset, since then
    bool lost = false;                               // once, since then
    unsigned xid = 0;
  };
  static Burst burst_of(XidReaction reaction, const XidEvent& event);
  void forget(unsigned gpu);
  bool is_settled(XidReaction reaction, const XidEvent& event) const;

  std::map<Burst, Heard> heard_;
  std::map<unsigned, FailedCard> cards_;
};

}  // namespace sheaf::slices
