#pragma once

#include <string>
#include <vector>

namespace sheaf::cli {

// A model as `sheaf-replica` is told of it.
struct ModelSource {
  std::string folder;
  std::string pooling = {};  // as model::read_spec() takes it
  std::string dtype = "float32";

  std::vector<std::string> flags() const {
    return {"--model", folder, "--pooling", pooling, "--dtype", dtype};
  }
};

}  // namespace sheaf::cli
