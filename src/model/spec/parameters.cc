#include "model/spec/parameters.h"

#include "model/spec/checkpoint.h"

namespace sheaf::model {
namespace {

bool is_real(const std::string& dtype) {
  return dtype != "BOOL" && (dtype.front() == 'F' || dtype.front() == 'B');
}

// All families call their tables embeddings but for MPNet's biases by distance, of which there are
// a few hundred.
bool is_table(const StoredTensor& tensor) { return tensor.name.find("embed") != std::string::npos; }

}  // namespace

Result<ParameterCount> count_parameters(const std::string& folder, const ModelSpec& spec) {
  SHEAF_ASSIGN(const Checkpoint checkpoint, Checkpoint::open(folder, files_of_parts(spec)));
  ParameterCount count;
  for (const StoredTensor& tensor : checkpoint.tensors()) {
    if (!is_real(tensor.entry.dtype) || tensor.name == "lm_head.weight") continue;
    const std::uint64_t numbers = element_count(tensor.entry);
    if (tensor.entry.shape.size() < 2) {
      count.vectors += numbers;
    } else if (is_table(tensor)) {
      count.tables += numbers;
    } else if (const std::uint64_t inputs = tensor.entry.shape.back(); inputs > 0) {
      count.products += numbers;
      count.blocks += numbers / inputs * int8_blocks(inputs);
    }
  }
  return count;
}

}  // namespace sheaf::model
