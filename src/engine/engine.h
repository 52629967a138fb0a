#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/mapping.h"
#include "base/result.h"
#include "model/spec/spec.h"

namespace sheaf::engine {

// What is asked of one text of a batch beyond the model's own pooling.
struct ItemOptions {
  bool normalize = true;         // L2 norm at the very end; of a classifier's scores: never
  std::uint32_t dimensions = 0;  // cut to the first n before normalizing; 0 = all
  std::uint32_t second_at = 0;   // the first id of token type 1; 0: all are of type 0
};

// Texts laid end to end; no padding exists. Text i is ids[cu_seqlens[i] .. cu_seqlens[i + 1]).
struct Batch {
  std::span<const std::int32_t> ids;  // [total_tokens]
  std::span<const std::uint32_t>
      cu_seqlens;                        // [n + 1], first 0, strictly increasing, last total_tokens
  std::span<const ItemOptions> options;  // [n]
};

struct EngineOptions {
  int threads = 1;  // the calling thread included
  // Raised at least every 20 ms of CPU time while forward() works (a hang is seen by its standing
  // still).
  std::atomic<std::uint64_t>* progress = nullptr;
};

// Writes the model in `folder`, weights packed for this machine's instruction set, into the empty
// file `fd` (a memfd that the caller seals afterwards). The file describes itself: spec, tensors,
// instruction set.
Status pack(const std::string& folder, int fd);

// A loaded model on a device. One thread calls it at a time.
class Engine {
 public:
  // `packed` is a mapping of what pack() wrote; shared by any number of engines and processes.
  // Every offset in it is checked. The engine allocates its working set as batches need it.
  static Result<std::unique_ptr<Engine>> open(Mapping packed, EngineOptions options);
  virtual ~Engine() = default;

  virtual const model::ModelSpec& spec() const = 0;
  virtual std::string device() const = 0;  // "cpu avx2", "cpu avx512", "reference"
  virtual std::string dtype() const = 0;   // "float32"

  // Runs the batch; row i of `out` ([n, spec().dimensions], row-major) is text i's vector, or its
  // score for each label of a classifier, as the head gives it; with
  // options[i].dimensions = d only its first d floats are meaningful. Batches that break the rules
  // above, ids outside the vocabulary and texts longer than the position table are refused, naming
  // the number.
  virtual Status embed(const Batch& batch, std::span<float> out) = 0;
};

}  // namespace sheaf::engine
