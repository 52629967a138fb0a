#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/core.h"

namespace sheaf::core {

// Where all models put what is to be done.
struct Outbox {
  template <class A>  // one of Action
  void add(A&& action) {
    actions.emplace_back(std::forward<A>(action));
  }
  void notice(Notice::Level level, std::string text) { add(Notice{level, std::move(text)}); }

  std::vector<Action> actions;
  BatchId next_batch = 1;
};

}  // namespace sheaf::core
