#pragma once

#include <string>
#include <vector>

namespace sheaf::cli {

// What computes a model where it is measured.
struct Computer {
  std::string program;  // sheaf-replica, or the one for cards
  // The kind of card or MIG slice, as card_kind() names it; empty: this processor.
  std::string card = {};
  std::vector<std::string> environment = {};  // "NAME=value", by which the program finds it
  std::vector<std::string> dtypes = {};       // to measure, of the program's; empty: all
};

}  // namespace sheaf::cli
