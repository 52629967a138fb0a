#pragma once

#include <memory>
#include <string>

#include "slices/mig_table.h"
#include "slices/nvml.h"

namespace sheaf::slices {

// How the card may be cut, as it tells itself: profiles, sizes and legal places. What it does not
// tell (old drivers while the mode is off; places without the right to ask) comes from the table's
// row of the card with this PCI id. nullptr: neither knows a profile.
std::shared_ptr<const CardModel> read_card_model(const Nvml& nvml, abi::Device device,
                                                 std::uint32_t pci_id, const std::string& product);

// "3g.20gb" of a profile without a name: its share of the card in eighths, rounded up, of the
// card's whole GiB.
std::string profile_name(int compute_slices, std::uint64_t memory_mib,
                         std::uint64_t card_memory_mib);

}  // namespace sheaf::slices
