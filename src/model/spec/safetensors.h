#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sheaf::model {

// One tensor as the header of a safetensors file describes it.
struct TensorEntry {
  std::string name;
  std::string dtype;  // "F32", "F16", "BF16", ...
  std::vector<std::uint64_t> shape;
  std::uint64_t begin = 0;  // bytes from the start of the file
  std::uint64_t bytes = 0;
};

std::uint64_t element_count(const TensorEntry& entry);

// The table of a safetensors file, fully checked against the file: [u64 little-endian n][n bytes of
// JSON][tensors]. Tensors fill the rest of the file in some order without hole or overlap, each as
// long as dtype and shape say.
class TensorTable {
 public:
  // `file` is the whole file (only its header is read); errors name `path` and the tensor.
  static Result<TensorTable> parse(std::span<const std::byte> file, const std::string& path);

  const TensorEntry* find(std::string_view name) const;                 // null if absent
  const std::vector<TensorEntry>& entries() const { return entries_; }  // by name

 private:
  std::vector<TensorEntry> entries_;
};

}  // namespace sheaf::model
