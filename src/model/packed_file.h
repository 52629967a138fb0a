#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/mapping.h"
#include "base/result.h"
#include "model/spec/product_dtype.h"
#include "model/spec/shard.h"
#include "model/spec/spec.h"

// The file that pack() writes and every replica maps: weights laid out for one backend, and all
// that is needed to run them. [64-byte header][JSON: backend, spec, tensors][tensors of floats,
// or of what a
// backend packs into them, each at a multiple of 256 bytes]
namespace sheaf::model {

struct PackedTensor {
  std::string name;
  std::uint64_t rows = 0;
  std::uint64_t columns = 0;
  // Of memory: panels are padded, and a float may hold up to four numbers of another dtype.
  std::uint64_t floats = 0;
  std::uint64_t offset = 0;  // bytes from the start of the tensors
};

// A tensor to be written and who writes it into its `floats` zeroed floats; false if a value,
// before it is packed, is not finite. Several tensors are filled at once, each by one thread.
struct PackedTensorSource {
  PackedTensor tensor;
  std::function<bool(float*)> fill;
};

// What a file says of its tensors. The spec must satisfy check_limits().
struct PackedHead {
  ModelSpec spec;
  std::string backend;
  Shard shard;
  Fp8Layers fp8_layers = {};  // as check_fp8_layers() wants them
};

// Writes the file into the empty `fd`, growing it.
Status write_packed_file(int fd, const PackedHead& head, std::vector<PackedTensorSource> tensors);

// The same file with all tensors zero, which takes no memory.
Status write_packed_outline(int fd, const PackedHead& head,
                            std::vector<PackedTensorSource> tensors);

// The file, mapped and checked: nothing in it leads outside. The weights themselves are not looked
// at.
class PackedFile {
 public:
  static Result<PackedFile> open(Mapping mapping);

  const ModelSpec& spec() const { return head_.spec; }
  const std::string& backend() const { return head_.backend; }
  Shard shard() const { return head_.shard; }
  const Fp8Layers& fp8_layers() const { return head_.fp8_layers; }
  // All of it, and how much of that is not tensors but says which file it is.
  std::span<const std::byte> bytes() const { return mapping_.bytes(); }
  std::size_t head_bytes() const { return data_begin_; }
  // The tensor's floats, or an error if it is absent or of another shape.
  Result<const float*> find(std::string_view name, std::uint64_t rows, std::uint64_t columns,
                            std::uint64_t floats) const;

 private:
  PackedFile() = default;
  Mapping mapping_;
  std::size_t data_begin_ = 0;
  PackedHead head_;
  std::vector<PackedTensor> tensors_;  // by name
};

}  // namespace sheaf::model
