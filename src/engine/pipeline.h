#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "kernels/ops.h"
#include "kernels/ranks/communicator.h"
#include "model/model.h"
#include "model/spec/shard.h"
#include "tensor/buffer.h"

namespace sheaf::engine {

// A model's layers, or a stage's of them: states come from the stage before and go to the one
// behind. A batch goes through in groups of texts, so that while one stage runs a group the one
// before it runs the next (Huang et al., "GPipe", 2019; there is nothing to go back here). States
// that lie on a card go from one to the other by way of this processor's memory.
class Pipeline {
 public:
  // `others` are the processes of the whole model, as Shard::process() counts them; not used where
  // there is one stage. `progress`, if any, is raised whenever states were handed on: many are work
  // too.
  Pipeline(const model::ModelSpec& spec, const model::Stage& stage, kernels::Communicator* others,
           std::atomic<std::uint64_t>* progress = nullptr);

  // Hidden states [tokens, hidden] of the texts in ops.state_dtype(), valid until the next call; of
  // a stage that is not the last they are not done, and have been handed on. Begins the pass of
  // this shape, as Backend::begin_pass() takes it.
  Result<tensor::TypedView> forward(model::Model& model, kernels::Backend& ops,
                                    const kernels::Texts& texts,
                                    std::span<const std::uint32_t> shape);
  bool answers() const { return stage_.is_last(); }
  // Not ok once another stage is gone: no batch succeeds any more.
  const Status& status() const { return status_; }

  // How many tokens a group of a batch should have about, none fewer than `block`, which are enough
  // that reading the weights costs little beside using them.
  std::size_t group_tokens(std::size_t batch_tokens, std::size_t block) const;

 private:
  Status run(model::Model& model, kernels::Backend& ops, const kernels::Texts& texts,
             std::span<const std::uint32_t> shape, tensor::TypedSpan x);
  Status receive(kernels::Backend& ops, tensor::TypedSpan x);
  Status send(kernels::Backend& ops, tensor::TypedSpan x);
  void raise_progress();
  // Where another stage's states come to, and this one's go from: x itself, if it is on the host.
  tensor::TypedSpan on_host(tensor::TypedSpan x, const tensor::Memory& memory);

  std::size_t hidden_;
  model::Stage stage_;
  kernels::Communicator* others_;
  std::atomic<std::uint64_t>* progress_;
  Status status_;
  tensor::Buffer states_;  // [tokens, hidden]
  tensor::Buffer copy_;    // of them on the host, where they lie elsewhere
};

}  // namespace sheaf::engine
