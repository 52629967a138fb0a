#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

// Files that are whole whenever the machine stops.
namespace sheaf::slices {

// On the disk when it returns. `path` is for the error.
Status write_synced(int file, std::string_view text, const std::string& path);

// So that a new name in it, or one that is gone, survives a crash too.
Status sync_folder(const std::string& folder);

// The file holds the old text or the new one, never a part of it.
Status replace_file(const std::string& path, std::string_view text);

std::string content_of(const std::string& path);  // empty where there is no such file

}  // namespace sheaf::slices
