#include "engine/pipeline.h"

#include <algorithm>

namespace sheaf::engine {
namespace {

// Few enough that activations stay small and near, whatever the batch's size.
constexpr std::size_t kBlocksPerGroup = 4;
// While the first group is on its way to the last stage, and the last group from the first one,
// some stages have nothing to do: of n groups' time about (stages - 1) / n is lost.
constexpr std::size_t kGroupsPerStage = 4;

}  // namespace

Pipeline::Pipeline(const model::ModelSpec& spec, const model::Stage& stage,
                   kernels::Communicator* others)
    : hidden_(spec.hidden_size), stage_(stage), others_(others) {}

Result<tensor::TypedView> Pipeline::forward(model::Model& model, kernels::Backend& ops,
                                            const kernels::Texts& texts) {
  const tensor::TypedSpan x = ops.states(states_, texts.ids.size(), hidden_);
  if (status_.ok()) status_ = run(model, ops, texts, x);
  SHEAF_TRY(status_);
  return tensor::TypedView(x);
}

Status Pipeline::run(model::Model& model, kernels::Backend& ops, const kernels::Texts& texts,
                     tensor::TypedSpan x) {
  if (stage_.is_first())
    model.embed(ops, texts, x);
  else
    SHEAF_TRY(others_->receive((others_->rank() + stage_.count - 1) % stage_.count, x));
  model.run_layers(ops, texts.cu_seqlens, x);
  if (!stage_.is_last()) return others_->send((others_->rank() + 1) % stage_.count, x);
  model.finish(ops, x);
  return {};
}

std::size_t Pipeline::group_tokens(std::size_t batch_tokens, std::size_t block) const {
  const std::size_t most = kBlocksPerGroup * block;
  if (stage_.count == 1) return most;
  return std::clamp(batch_tokens / (kGroupsPerStage * stage_.count), block, most);
}

}  // namespace sheaf::engine
