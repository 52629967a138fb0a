#include <fmt/core.h>

#include <optional>

#include "cli/card_program.h"
#include "cli/command.h"
#include "cli/replica_program.h"
#include "cli/slices.h"
#include "cli/slices_verbs.h"
#include "cli/table.h"
#include "slices/doctor.h"

// `sheaf slices check`: can these cards be cut, and can they run sheaf?
namespace sheaf::cli {
namespace {

nlohmann::ordered_json facts_of_finding(const slices::Finding& finding) {
  return {{"health", name_of(finding.health)},
          {"question", name_of(finding.question)},
          {"gpu", finding.gpu ? nlohmann::ordered_json(*finding.gpu) : nlohmann::ordered_json()},
          {"what", finding.what},
          {"why", finding.why},
          {"repair", finding.repair}};
}

std::string where(const slices::Finding& finding) {
  return finding.gpu ? fmt::format("GPU {} {}", *finding.gpu, name_of(finding.question))
                     : std::string(name_of(finding.question));
}

void print(const std::vector<slices::Finding>& findings) {
  for (const slices::Finding& one : findings) {
    std::string text =
        wrapped(fmt::format("{:<8} {:<10} {}", name_of(one.health), where(one), one.what), 20);
    if (!one.why.empty()) text += wrapped(fmt::format("{:19} why: {}", "", one.why), 22);
    if (!one.repair.empty()) text += wrapped(fmt::format("{:19} repair: {}", "", one.repair), 22);
    fmt::print("{}", text);
  }
}

// What computes on this machine's cards says itself whether it can. On simulated ones nothing does.
std::optional<slices::HostFacts::CardProgram> ask_for_cards(const SlicesHere& here) {
  const auto replica = find_replica_program("");
  if (!replica.ok() || here.gpus.simulated || here.gpus.gpus.empty()) return std::nullopt;
  const auto path = find_card_program("", *replica);
  if (!path.ok() || path->empty()) return slices::HostFacts::CardProgram{};
  const auto program = ask_card_program(*path);
  if (!program.ok())
    return slices::HostFacts::CardProgram{.path = *path, .refusal = program.error().message};
  return slices::HostFacts::CardProgram{
      .path = *path, .sums_by = program->sums_by, .no_sums_because = program->no_sums_because};
}

}  // namespace

int slices_check(const SlicesSettings& settings) {
  const auto here = look_at_slices();
  if (!here.ok()) return fail("slices", here.error(), kExitUsage);
  slices::HostFacts host = slices::read_host(here->machine, here->gpus);
  host.card_program = ask_for_cards(*here);
  const auto findings = slices::examine(here->gpus, host, here->no_gpus_because);
  if (settings.json) {
    auto json = nlohmann::ordered_json::array();
    for (const slices::Finding& one : findings) json.push_back(facts_of_finding(one));
    fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  } else {
    print(findings);
  }
  return static_cast<int>(slices::worst_of(findings));
}

}  // namespace sheaf::cli
