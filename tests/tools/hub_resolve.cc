// hub_resolve SOURCE [--revision R] [--retry-wait-ms N] [--required FILE]... [--optional FILE]...
// [--list FILE] FILE of --list names further files, one a line. Resolves a model as `sheaf serve`
// would, with options from the environment. Prints one JSON object on standard output: {"name",
// "folder", "revision", "progress": [[file, done, total]...]} or {"error", "message"}.
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/log.h"
#include "hub/hub.h"

namespace {

sheaf::Result<std::vector<sheaf::hub::WantedFile>> files_listed(const std::string& path) {
  std::vector<sheaf::hub::WantedFile> files;
  std::ifstream stream(path);
  for (std::string line; std::getline(stream, line);)
    files.push_back({line, true, "so says the list"});
  return files;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace sheaf;
  hub::HubOptions options = hub::HubOptions::from_environment();
  hub::WantedFiles files;
  std::string source;
  std::string revision;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (!argument.starts_with("--"))
      source = argument;
    else if (i + 1 == argc)
      return 2;
    else if (argument == "--revision")
      revision = argv[++i];
    else if (argument == "--retry-wait-ms")
      options.retry_wait_ms = std::atoi(argv[++i]);
    else if (argument == "--required" || argument == "--optional")
      files.first.push_back({argv[++i], argument == "--required"});
    else if (argument == "--list")
      files.further = [list = std::string(argv[++i])](const std::string& folder) {
        return files_listed(folder + "/" + list);
      };
    else
      return 2;
  }
  set_log_options({LogLevel::debug, false});

  nlohmann::json out;
  out["progress"] = nlohmann::json::array();
  const auto model =
      hub::resolve_model(source, revision, files, options, [&out](const hub::Progress& progress) {
        out["progress"].push_back({progress.file, progress.done_bytes, progress.total_bytes});
      });
  if (model.ok()) {
    out["name"] = model->name;
    out["folder"] = model->folder;
    out["revision"] = model->revision;
  } else {
    out["error"] = name_of(model.error().code);
    out["message"] = model.error().message;
  }
  std::cout << out.dump() << "\n";
  return model.ok() ? 0 : 1;
}
