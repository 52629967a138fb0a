#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "model/spec/spec.h"

namespace sheaf::model {

// One line of modules.json.
struct Module {
  std::string type;  // a class path of sentence-transformers
  std::string kind;  // its last part: "Transformer", "Pooling", ...
  std::string path;  // its folder within the model's; empty: the model's own

  bool has_config() const {
    return kind == "Pooling" || kind == "SpladePooling" || kind == "Dense" || kind == "LogitScore";
  }
};

// modules.json, checked line by line; empty if the folder has none.
Result<std::vector<Module>> list_modules(const std::string& folder);

// The modules' part of `spec`, whose hidden_size is known. Errors name file and field.
Status read_modules(const std::string& folder, ModelSpec& spec);

}  // namespace sheaf::model
