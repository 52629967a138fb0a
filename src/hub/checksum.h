#pragma once

#include <string>

#include "base/result.h"

namespace sheaf::hub {

enum class Digest {
  sha256,         // of the bytes: what large files (git LFS) are named by
  git_blob_sha1,  // of "blob SIZE\0" + the bytes: what git names small files by
};

// Lower-case hexadecimal digest of the whole file. Reads it once, in blocks.
Result<std::string> digest_file(const std::string& path, Digest digest);

}  // namespace sheaf::hub
