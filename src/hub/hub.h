#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"

namespace sheaf::hub {

// Where models come from. Read once from the environment, by the names of huggingface_hub
// ("Environment variables") and of modelscope: HF_ENDPOINT, HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE,
// HF_HOME, XDG_CACHE_HOME, HF_TOKEN, HF_TOKEN_PATH, HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE,
// HF_HUB_ETAG_TIMEOUT, HF_HUB_DOWNLOAD_TIMEOUT, MODELSCOPE_CACHE, ...
struct HubOptions {
  std::string endpoint = "https://huggingface.co";
  std::string cache_folder;  // .../huggingface/hub
  std::string token;         // empty = none
  bool offline = false;
  // Ends the message "NAME is not in the cache; …": why, or what helps.
  std::string offline_because = "cannot be fetched: HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set";
  int metadata_timeout_s = 10;
  int download_timeout_s = 10;  // without a byte
  int retry_wait_ms = 500;      // before the second attempt; doubles from there
  std::string modelscope_endpoint = "https://modelscope.cn";
  std::string modelscope_cache_folder;
  std::string modelscope_token;

  static HubOptions from_environment();
};

// Called while bytes arrive; from the thread that called resolve_model().
struct Progress {
  std::string file;
  std::uint64_t done_bytes = 0;
  std::uint64_t total_bytes = 0;
};
using ProgressCallback = std::function<void(const Progress&)>;

struct WantedFile {
  std::string path;  // inside the repository
  bool required = false;
  std::string remedy;  // ends the message that a required one is missing; may be empty
};

struct WantedFiles {
  std::vector<WantedFile> first;
  // What else is wanted, all of it required, once `folder` holds those: they may name further
  // files. Called with any folder that may hold them. Null: nothing.
  std::function<Result<std::vector<WantedFile>>(const std::string& folder)> further;
};

struct ResolvedModel {
  std::string name;      // hub name ("org/name"), or the last part of a folder that is no snapshot
  std::string folder;    // holds config.json and so on
  std::string revision;  // commit, or empty for a local folder
};

// Names a model's files on this machine, fetching what is missing:
//   1. `source` is a folder that exists: that folder;
//   2. "modelscope:org/name": ModelScope's cache and download;
//   3. "org/name": the Hugging Face cache, exactly in the hub's layout, or a download into it.
//   `revision`
//      empty means main. A bare "name" is tried as "sentence-transformers/name".
// Offline, or with the hub unreachable, a complete snapshot is used; an incomplete one is an error
// that names the missing file. Several processes may resolve the same model at once: one downloads,
// the others wait.
Result<ResolvedModel> resolve_model(const std::string& source, const std::string& revision,
                                    const WantedFiles& files, const HubOptions& options,
                                    const ProgressCallback& progress);

// Whether resolve_model() would ask a hub for it: neither something that exists nor a mistyped
// path.
bool is_hub_name(const std::string& source);

// The folder of a model whose path is most like `source`, for whoever mistyped it; "" if none is.
std::string similar_folder(const std::string& source);

// Models that the cache holds, for `sheaf models`.
struct CachedModel {
  std::string name;
  std::string revision;
  std::string folder;
  std::uint64_t bytes = 0;
};
std::vector<CachedModel> list_cached_models(const HubOptions& options);

}  // namespace sheaf::hub
