#pragma once

#include <optional>
#include <string>
#include <string_view>
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

// What pools in place of the module that the model has for it; neither of both: that module.
struct PoolingChoice {
  std::optional<Pooling> pooling;
  bool splade = false;
  bool rerank = false;  // it is not to pool at all, but to be asked about pairs

  bool given() const { return splade || rerank || pooling; }
};
// Of a word as read_spec() takes it.
Result<PoolingChoice> parse_pooling(std::string_view word);

// The modules' part of `spec`, whose hidden_size and, for SPLADE, word_head are known. Errors name
// file and field.
Status read_modules(const std::string& folder, const PoolingChoice& choice, ModelSpec& spec);

}  // namespace sheaf::model
