#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/mapping.h"
#include "base/result.h"
#include "model/spec/product_dtype.h"
#include "model/spec/shard.h"
#include "model/spec/spec.h"
#include "tensor/dtype.h"

namespace sheaf::kernels {
class Communicator;
class Profile;
struct SharedCopy;
}  // namespace sheaf::kernels

namespace sheaf::engine {

// What is asked of one text of a batch beyond the model's own pooling. The first three mean
// vectors; sparse rows and those of tokens are as the model's heads give them.
struct ItemOptions {
  bool normalize = true;         // L2 norm at the very end; of a classifier's scores: never
  std::uint32_t dimensions = 0;  // cut to the first n before normalizing; 0 = all
  // The first id of token type 1, or, of a model whose pooling leaves prompts out, behind the
  // prompt; 0: all are of type 0, or there is no prompt.
  std::uint32_t second_at = 0;
  model::Output output = model::Output::vector;  // one that the model gives
};

// Texts laid end to end; no padding exists. Text i is ids[cu_seqlens[i] .. cu_seqlens[i + 1]).
struct Batch {
  std::span<const std::int32_t> ids;  // [total_tokens]
  std::span<const std::uint32_t>
      cu_seqlens;                        // [n + 1], first 0, strictly increasing, last total_tokens
  std::span<const ItemOptions> options;  // [n]
};

// Rows of floats, one after the other, each of its own length: what a batch's texts are answered
// with. Keeps its memory when it is cleared.
class Rows {
 public:
  void clear();
  // `count` more rows of `floats` each, [count, floats], not set yet; valid until the next call.
  std::span<float> add(std::size_t count, std::size_t floats);

  std::size_t size() const { return floats_.size(); }
  std::span<const std::uint32_t> floats() const { return floats_; }  // of each row
  std::span<const float> values() const { return {values_.data(), used_}; }

 private:
  std::vector<float> values_;  // used_ of them are rows
  std::size_t used_ = 0;
  std::vector<std::uint32_t> floats_;
};

struct EngineOptions {
  int threads = 1;  // the calling thread included
  // Raised at least every 20 ms of CPU time while embed() works (a hang is seen by its standing
  // still).
  std::atomic<std::uint64_t>* progress = nullptr;
  kernels::Profile* profile = nullptr;  // to time operations into; outlives the engine
  // Of a model that is divided over ranks or into stages: each process has an engine and is given
  // the same batches, and as many threads, by which they are cut. All ranks answer the same; stages
  // but the last answer with no rows. Outlives the engine.
  kernels::Communicator* communicator = nullptr;
  // Of the weights on a device: one to map, or how the one that is made here is told to others.
  // Null: the engine has its own. Outlives the engine.
  kernels::SharedCopy* weights_copy = nullptr;
  // How many engines of the model this process has on the device, each used by a thread of its own.
  int lanes = 1;
};

// A model to be packed: its folder, read with `pooling` as read_spec() takes it, what its products
// are to be computed in, which part of it, and of fp8 in which layers.
struct Source {
  std::string folder;
  std::string pooling = {};
  tensor::Dtype dtype = tensor::Dtype::float32;
  model::Shard shard = {};
  model::Fp8Layers fp8_layers = {};
};

// Writes the model, weights packed for this machine's fastest instructions for the dtype, into the
// empty file `fd` (a memfd that the caller seals afterwards). The file describes itself: spec,
// tensors, backend. Error of kind unsupported if this processor has no instructions for the dtype,
// invalid_argument where layers are named that the model does not have, or for another dtype.
Status pack(const Source& source, int fd);

// Of the backend that pack() chooses for a dtype; empty: this processor has none.
std::string backend_name(tensor::Dtype dtype);

// A loaded model on a device. One thread calls it at a time.
class Engine {
 public:
  // `packed` is a mapping of what pack() wrote; shared by any number of engines and processes.
  // Every offset in it is checked. The engine allocates its working set as batches need it.
  static Result<std::unique_ptr<Engine>> open(Mapping packed, EngineOptions options);
  virtual ~Engine() = default;

  virtual const model::ModelSpec& spec() const = 0;
  virtual std::string device() const = 0;  // a name of kernels::backend_names()
  virtual std::string dtype() const = 0;   // a text of model::ProductDtype
  // Not ok once the device has failed: no batch succeeds any more, and only another process helps.
  virtual Status status() const { return {}; }

  // Runs the batch; row i of `out`, which is cleared first, answers text i:
  //   vector: spec().dimensions floats, or a classifier's score for each label, as the head gives
  //     it; with options[i].dimensions = d only the first d are meaningful
  //   sparse: the words of weight above 0, ids ascending, each as two floats: id, weight
  //   tokens: [tokens, width_of(tokens)]: the last hidden states, or what the model's head for
  //     several vectors makes of all but the first, each of length 1
  // Batches that break the rules above, ids outside the vocabulary and texts longer than the
  // position table are refused, naming the number.
  virtual Status embed(const Batch& batch, Rows& out) = 0;
};

}  // namespace sheaf::engine
