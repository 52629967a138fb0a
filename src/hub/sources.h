#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "hub/hub.h"
#include "hub/names.h"

namespace sheaf::hub {

// The two hubs behind resolve_model(), one file each. An empty `revision` is the hub's default
// branch.
Result<ResolvedModel> resolve_hugging_face(const RepoName& repo, const std::string& revision,
                                           const WantedFiles& files, const HubOptions& options,
                                           const ProgressCallback& progress);
Result<ResolvedModel> resolve_modelscope(const RepoName& repo, const std::string& revision,
                                         const WantedFiles& files, const HubOptions& options,
                                         const ProgressCallback& progress);

// All files that are wanted as far as `folder` can tell; whoever reads it will complain if what it
// holds is broken.
std::vector<WantedFile> all_files(const std::string& folder, const WantedFiles& files);

// Those that only `folder` names, which holds the first ones.
Result<std::vector<WantedFile>> further_files(const std::string& folder, const WantedFiles& files);

// The first required file that `folder` lacks, or nothing.
std::optional<WantedFile> first_missing(const std::string& folder, const WantedFiles& files);

// "; <remedy>", or "".
std::string remedy_of(const WantedFile& file);

// Optional files first: a folder that holds every required file then holds all there is, and a
// fetch that was broken off is seen by what is missing.
std::vector<WantedFile> in_fetch_order(std::vector<WantedFile> files);

}  // namespace sheaf::hub
