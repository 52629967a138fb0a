#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/spec/shard.h"

namespace sheaf::cli {

// A model as `sheaf-replica` is told of it.
struct ModelSource {
  std::string folder;
  std::string pooling = {};  // as model::read_spec() takes it
  std::string dtype = "float32";
  std::uint32_t ranks = 1;  // that a replica is divided over
  std::vector<model::Stage> stages = {{}};

  std::vector<std::string> flags() const {
    return {"--model", folder, "--pooling", pooling, "--dtype", dtype};
  }
};

}  // namespace sheaf::cli
