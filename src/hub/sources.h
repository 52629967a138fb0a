#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "hub/hub.h"
#include "hub/names.h"

namespace sheaf::hub {

// The two hubs behind resolve_model(), one file each. An empty `revision` is the hub's default
// branch.
Result<ResolvedModel> resolve_hugging_face(const RepoName& repo, const std::string& revision,
                                           const std::vector<WantedFile>& files,
                                           const HubOptions& options,
                                           const ProgressCallback& progress);
Result<ResolvedModel> resolve_modelscope(const RepoName& repo, const std::string& revision,
                                         const std::vector<WantedFile>& files,
                                         const HubOptions& options,
                                         const ProgressCallback& progress);

// The first required file that `folder` lacks, or "".
std::string first_missing(const std::string& folder, const std::vector<WantedFile>& files);

// Optional files first: a folder that holds every required file then holds all there is, and a
// fetch that was broken off is seen by what is missing.
std::vector<WantedFile> in_fetch_order(std::vector<WantedFile> files);

}  // namespace sheaf::hub
