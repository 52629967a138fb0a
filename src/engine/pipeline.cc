#include "engine/pipeline.h"

#include <algorithm>

namespace sheaf::engine {
namespace {

// Few enough that activations stay small and near, whatever the batch's size.
constexpr std::size_t kBlocksPerGroup = 4;
// While the first group is on its way to the last stage, and the last group from the first one,
// some stages have nothing to do: of n groups' time about (stages - 1) / n is lost.
constexpr std::size_t kGroupsPerStage = 4;

std::size_t bytes_of(const tensor::TypedView& x) { return x.rows * x.columns * size_of(x.dtype); }

}  // namespace

Pipeline::Pipeline(const model::ModelSpec& spec, const model::Stage& stage,
                   kernels::Communicator* others, std::atomic<std::uint64_t>* progress)
    : hidden_(spec.hidden_size), stage_(stage), others_(others), progress_(progress) {}

Result<tensor::TypedView> Pipeline::forward(model::Model& model, kernels::Backend& ops,
                                            const kernels::Texts& texts,
                                            std::span<const std::uint32_t> shape) {
  const tensor::TypedSpan x = ops.states(states_, texts.ids.size(), hidden_);
  if (status_.ok()) status_ = run(model, ops, texts, shape, x);
  SHEAF_TRY(status_);
  return tensor::TypedView(x);
}

// What comes from another stage is there before the pass begins, which so is the same operations
// over the same places each time that its shape comes.
Status Pipeline::run(model::Model& model, kernels::Backend& ops, const kernels::Texts& texts,
                     std::span<const std::uint32_t> shape, tensor::TypedSpan x) {
  if (!stage_.is_first()) SHEAF_TRY(receive(ops, x));
  ops.begin_pass(shape, texts.cu_seqlens);
  if (stage_.is_first()) model.embed(ops, texts, x);
  model.run_layers(ops, texts.cu_seqlens, x);
  if (!stage_.is_last()) return send(ops, x);
  model.finish(ops, x);
  return {};
}

Status Pipeline::receive(kernels::Backend& ops, tensor::TypedSpan x) {
  SHEAF_TRY(ops.status());  // without room for x there is nothing to write to
  const tensor::TypedSpan from = on_host(x, ops.memory());
  SHEAF_TRY(others_->receive((others_->rank() + stage_.count - 1) % stage_.count, from));
  raise_progress();
  if (from.data != x.data) ops.memory().write(from.data, bytes_of(x), x.data);
  raise_progress();
  return {};
}

Status Pipeline::send(kernels::Backend& ops, tensor::TypedSpan x) {
  const tensor::TypedSpan to = on_host(x, ops.memory());
  if (to.data != x.data) ops.memory().read(x.data, bytes_of(x), to.data);
  raise_progress();
  SHEAF_TRY(ops.status());  // of a card that failed nothing was read
  SHEAF_TRY(others_->send((others_->rank() + 1) % stage_.count, to));
  raise_progress();
  return {};
}

void Pipeline::raise_progress() {
  if (progress_ != nullptr) progress_->fetch_add(1, std::memory_order_relaxed);
}

tensor::TypedSpan Pipeline::on_host(tensor::TypedSpan x, const tensor::Memory& memory) {
  if (memory.is_host()) return x;
  return copy_.matrix(x.dtype, x.rows, x.columns, tensor::host_memory());
}

std::size_t Pipeline::group_tokens(std::size_t batch_tokens, std::size_t block) const {
  const std::size_t most = kBlocksPerGroup * block;
  if (stage_.count == 1) return most;
  return std::clamp(batch_tokens / (kGroupsPerStage * stage_.count), block, most);
}

}  // namespace sheaf::engine
