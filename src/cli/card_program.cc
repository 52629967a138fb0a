#include "cli/card_program.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>

#include "cli/child_process.h"
#include "cli/precision.h"
#include "cli/replica_program.h"
#include "model/spec/product_dtype.h"

namespace sheaf::cli {
namespace {

Error cannot(const std::string& path, const std::string& why) {
  return Error{ErrorCode::unsupported,
               fmt::format("{}: {}", std::filesystem::path(path).filename().string(), why)};
}

}  // namespace

bool CardProgram::has_code_for(int compute_capability) const {
  return compute_capabilities.empty() ||
         std::ranges::find(compute_capabilities, compute_capability) != compute_capabilities.end();
}

Result<std::string> find_card_program(const std::string& given,
                                      const std::string& replica_program) {
  if (!given.empty() && !is_program(given))
    return Error{
        ErrorCode::not_found,
        fmt::format("{} is not a program; --card-program names sheaf-replica-cuda", given)};
  if (!given.empty()) return given;
  std::string beside =
      (std::filesystem::path(replica_program).parent_path() / "sheaf-replica-cuda").string();
  return is_program(beside) ? beside : "";
}

Result<CardProgram> ask_card_program(const std::string& path, int timeout_ms) {
  const auto said = output_of({path, "devices"}, timeout_ms);
  if (!said.ok() && said.error().code == ErrorCode::deadline_exceeded)
    return cannot(path, fmt::format("it has not said within {:g} s which cards it can use; "
                                    "`nvidia-smi` shows whether the driver hangs",
                                    timeout_ms / 1000.0));
  if (!said.ok()) return said.error();
  try {
    const auto json = nlohmann::json::parse(*said);
    if (json.contains("error"))
      return cannot(path,
                    json.at("error").get<std::string>() + "; `sheaf slices check` says what helps");
    CardProgram program{.path = path};
    json.at("dtypes").get_to(program.dtypes);
    json.at("compute_capabilities").get_to(program.compute_capabilities);
    program.sums_by = json.value("sums_by", "");
    program.no_sums_because = json.value("no_sums_because", "");
    return program;
  } catch (const nlohmann::json::exception&) {
    return cannot(path, fmt::format("it does not say which cards it can use; `{} devices` shows "
                                    "whether it starts",
                                    path));
  }
}

Result<std::string> dtype_on_card(const CardProgram& program, const std::string& wanted,
                                  const std::string& model, const model::ModelSpec& spec) {
  const std::string dtype = wanted != "auto" ? wanted : is_measured(spec) ? "bfloat16" : "float32";
  if (std::ranges::find(program.dtypes, model::dtype_name_in(dtype)) != program.dtypes.end())
    return dtype;
  std::vector<std::string> others;  // that --dtype takes
  std::ranges::copy_if(program.dtypes, std::back_inserter(others),
                       [](const std::string& one) { return check_dtype(one).ok(); });
  return Error{
      ErrorCode::unsupported,
      fmt::format("model {}: cards do not compute in {}, but in {}; --device cpu computes in "
                  "it on the processor",
                  model, dtype, fmt::join(others, ", "))};
}

}  // namespace sheaf::cli
