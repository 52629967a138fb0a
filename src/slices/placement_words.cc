#include "slices/placement_words.h"

#include <fmt/format.h>

namespace sheaf::slices {

Result<std::string> on_this_machine(const std::string& word, const PlacementRules& rules) {
  const std::size_t at = word.find('@');
  if (at == word.npos) return word;
  const std::string machine = word.substr(at + 1);
  if (machine == rules.machine || machine == "localhost") return word.substr(0, at);
  return placement_error(
      fmt::format("slice {} is on machine {}, and only slices of this one, {}, are served", word,
                  machine, rules.machine));
}

}  // namespace sheaf::slices
