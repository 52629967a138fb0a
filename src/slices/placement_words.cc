#include "slices/placement_words.h"

#include <fmt/format.h>

namespace sheaf::slices {

const DivisionWords& words_of(Division division) {
  static constexpr DivisionWords kRanks = {"--tensor-parallel-size", "rank", "card", "cards"};
  static constexpr DivisionWords kStages = {"--pipeline-parallel-size", "stage",
                                            "card or MIG slice", "cards or MIG slices"};
  return division == Division::ranks ? kRanks : kStages;
}

std::string_view flag_of(Division division) { return words_of(division).flag; }

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
