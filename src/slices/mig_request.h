#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "slices/mig_change.h"

// What a command, the router or a page asks of the machine's partitions, and its carrying out under
// the machine's lock: the same whether this process may do it or asks the helper to.
namespace sheaf::slices {

// How one card, or each of several, shall be cut.
struct CardWish {
  std::vector<std::string> gpus;  // indexes or UUIDs; empty: all that can be cut
  // Words of device and vendor ("0x20B010DE"); empty: any card.
  std::vector<std::uint32_t> pci_ids;
  bool mig = false;
  std::vector<std::string> instances;  // mig_cut.h's words
};

struct MigRequest {
  enum class Verb { enable, disable, create, destroy, apply };
  Verb verb = Verb::apply;
  std::vector<std::string> gpus;    // indexes or UUIDs; of all verbs but apply
  std::vector<std::string> words;   // of create and destroy
  std::vector<CardWish> wishes;     // of apply; each card at most once
  bool repartition = false;         // idle instances may be moved
  std::vector<std::string> leases;  // of the asker, whose slices may go
  int wait_ms = 0;                  // for another's change to end, where the helper makes this one
};

// "enable MIG on GPU 0": for journal and log.
std::string describe(const MigRequest& request);

std::string to_text(const MigRequest& request);  // one line of JSON
// Error invalid_argument: it is not what to_text() writes.
Result<MigRequest> parse_request(const std::string& text);

// The cards that these words mean, by index. Without words: the only card that can be cut, or with
// `all_by_default` all of those. Errors name the word.
Result<std::vector<const Gpu*>> choose_gpus(const std::vector<Gpu>& gpus,
                                            const std::vector<std::string>& words,
                                            bool all_by_default);
// The cards of a wish; empty where none passes its filter.
Result<std::vector<const Gpu*>> gpus_of(const CardWish& wish, const std::vector<Gpu>& gpus);

// What is to be changed, without touching a card. What finds no place is refused here, what is busy
// is not yet.
Result<std::vector<CardChange>> changes_for(const MigRequest& request,
                                            const std::vector<Gpu>& gpus);

// Undoes what was cut off, reads the cards, and makes the change. The report is empty where the
// cards are as asked already.
Result<ChangeReport> carry_out(const Nvml& nvml, MigJournal& journal, const MigRequest& request);

}  // namespace sheaf::slices
