#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/spec/spec.h"

namespace sheaf::cli {

// Where `sheaf embed` puts its rows. A file is replaced by finish(), not before: until then
// they stand in FILE.part, which goes with the writer. Pipes, devices and /dev/stdout are written
// to as they are.
class VectorWriter {
 public:
  virtual ~VectorWriter() = default;
  // A row for each text, as EmbeddedBatch has them; `width` is the same at every call.
  virtual Status write(std::span<const std::string> texts, std::span<const std::vector<float>> rows,
                       std::uint32_t width) = 0;
  // Call once after the last write().
  virtual Status finish() = 0;
};

// One object a line: {"text": …} and by the kind of output "embedding": […], "sparse": [{"index":
// …, "value": …}, …] or "embeddings": [[…], …], floats in the fewest digits that read back exactly.
// `path` empty: standard output.
Result<std::unique_ptr<VectorWriter>> make_json_lines_writer(
    const std::string& path, model::Output output = model::Output::vector);

// One NumPy array of float32, [texts, dimensions], of vectors. Needs a file: the number of rows
// stands at its start and is known at the end.
Result<std::unique_ptr<VectorWriter>> make_npy_writer(const std::string& path);

// The header of a .npy file (version 1.0) for such an array: always 128 bytes.
std::string npy_header(std::uint64_t rows, std::uint32_t dimensions);

}  // namespace sheaf::cli
