#include "engine/engine.h"

#include <fmt/core.h>

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "engine/group.h"
#include "engine/pack.h"
#include "engine/pipeline.h"
#include "kernels/dry_run.h"
#include "kernels/ops.h"
#include "kernels/profile.h"
#include "kernels/ranks/communicator.h"
#include "kernels/ranks/ranked.h"
#include "model/dense_head.h"
#include "model/model.h"
#include "model/packed_file.h"
#include "model/packed_weights.h"
#include "model/sparse_head.h"
#include "model/token_head.h"

namespace sheaf::engine {
namespace {

Error refuse(std::string message) { return {ErrorCode::invalid_argument, std::move(message)}; }

kernels::Reduction reduction_of(model::Pooling pooling) {
  switch (pooling) {
    case model::Pooling::cls:
      return kernels::Reduction::cls;
    case model::Pooling::mean:
      return kernels::Reduction::mean;
    case model::Pooling::max:
      return kernels::Reduction::max;
    case model::Pooling::mean_sqrt_len:
      return kernels::Reduction::mean_sqrt_len;
    case model::Pooling::weighted_mean:
      return kernels::Reduction::weighted_mean;
    case model::Pooling::last_token:
      return kernels::Reduction::last_token;
  }
  return kernels::Reduction::mean;
}

class ModelEngine final : public Engine {
 public:
  ModelEngine(model::PackedFile file, std::unique_ptr<kernels::Backend> ops,
              const EngineOptions& options)
      : file_(std::move(file)),
        ops_(std::move(ops)),
        weights_(file_, *ops_),
        model_(model::make_model(file_.spec(), weights_)),
        group_(file_.spec()),
        pipeline_(file_.spec(), file_.shard().stage, options.communicator, options.progress),
        head_(file_.spec(), weights_),
        sparse_head_(file_.spec(), weights_),
        token_head_(file_.spec(), weights_) {
    for (model::Pooling pooling : spec().pooling) reductions_.push_back(reduction_of(pooling));
  }

  Status status() const override {
    if (!weights_.status().ok()) return weights_.status();
    return pipeline_.status().ok() ? ops_->status() : pipeline_.status();
  }
  const model::ModelSpec& spec() const override { return file_.spec(); }
  std::string device() const override { return ops_->name(); }
  std::string dtype() const override {
    return model::text_of({std::string(name_of(ops_->dtype())), file_.fp8_layers()});
  }

  Status embed(const Batch& batch, Rows& out) override {
    SHEAF_TRY(check(batch));
    out.clear();
    const std::size_t group_tokens =
        pipeline_.group_tokens(batch.ids.size(), ops_->preferred_rows(spec().hidden_size));
    std::size_t first = 0;
    while (first < batch.options.size()) {
      std::size_t last = first + 1;
      while (last < batch.options.size() &&
             batch.options[last].output == batch.options[first].output &&
             batch.cu_seqlens[last + 1] - batch.cu_seqlens[first] <= group_tokens)
        ++last;
      SHEAF_TRY(run_group(batch, first, last, out));
      first = last;
    }
    return ops_->status();
  }

 private:
  Status check(const Batch& batch) const {
    const std::size_t texts = batch.options.size();
    if (batch.cu_seqlens.size() != texts + 1)
      return refuse(fmt::format("batch of {} texts has {} bounds", texts, batch.cu_seqlens.size()));
    if (batch.cu_seqlens.front() != 0 || batch.cu_seqlens.back() != batch.ids.size())
      return refuse(fmt::format("texts cover [{}, {}) of {} tokens", batch.cu_seqlens.front(),
                                batch.cu_seqlens.back(), batch.ids.size()));
    for (std::size_t i = 0; i < texts; ++i) SHEAF_TRY(check_text(batch, i));
    return check_ids(batch.ids);
  }

  Status check_text(const Batch& batch, std::size_t i) const {
    const std::uint32_t begin = batch.cu_seqlens[i];
    const std::uint32_t end = batch.cu_seqlens[i + 1];
    if (end <= begin || end > batch.ids.size())
      return refuse(
          fmt::format("text {} covers [{}, {}) of {} tokens", i, begin, end, batch.ids.size()));
    if (end - begin > spec().positions)
      return refuse(fmt::format("text {} has {} tokens, the model has {} positions", i, end - begin,
                                spec().positions));
    if (batch.options[i].dimensions > spec().dimensions)
      return refuse(fmt::format("text {} asks for {} dimensions, the model has {}", i,
                                batch.options[i].dimensions, spec().dimensions));
    if (!spec().gives(batch.options[i].output))
      return refuse(fmt::format("text {} asks for {}, which the model does not give", i,
                                name_of(batch.options[i].output)));
    if (batch.options[i].second_at >= end - begin)
      return refuse(fmt::format("the second part of text {} begins at {} of {} tokens", i,
                                batch.options[i].second_at, end - begin));
    return {};
  }

  Status check_ids(std::span<const std::int32_t> ids) const {
    for (const std::int32_t id : ids)
      if (id < 0 || static_cast<std::uint32_t>(id) >= spec().vocab_size)
        return refuse(
            fmt::format("token id {} is not within the vocabulary of {}", id, spec().vocab_size));
    return {};
  }

  // Texts [first, last), which are asked for the same output.
  Status run_group(const Batch& batch, std::size_t first, std::size_t last, Rows& out) {
    group_.take(batch, first, last, *ops_);
    SHEAF_ASSIGN(const tensor::TypedView states,
                 pipeline_.forward(*model_, *ops_, group_.texts(), group_.shape()));
    if (pipeline_.answers()) add_answers(states, out);
    return {};
  }

  void add_answers(tensor::TypedView states, Rows& out) {
    if (group_.output() == model::Output::vector) return add_vectors(states, out);
    if (group_.output() == model::Output::sparse)
      return sparse_head_.forward(*ops_, group_.texts(), states,
                                  [&out](std::span<const float> row) {
                                    std::ranges::copy(row, out.add(1, row.size()).begin());
                                  });
    token_head_.forward(*ops_, group_.texts().cu_seqlens, states,
                        [&out](tensor::MatrixView vectors) {
                          float* at = out.add(1, vectors.rows * vectors.columns).data();
                          for (std::size_t i = 0; i < vectors.rows; ++i, at += vectors.columns)
                            std::copy_n(vectors.row(i), vectors.columns, at);
                        });
  }

  // Of the texts that were asked for; the others' are left where they are.
  void add_vectors(tensor::TypedView states, Rows& out) {
    const std::size_t asked = group_.asked();
    float* const answers = out.add(asked, spec().dimensions).data();
    tensor::Memory& memory = ops_->memory();
    const bool in_place = memory.is_host() && asked == group_.size();
    const tensor::MatrixSpan vectors =
        in_place ? tensor::MatrixSpan{answers, asked, spec().dimensions}
                 : vectors_.matrix(group_.size(), spec().dimensions, memory);
    const std::size_t columns = reductions_.size() * states.columns;
    if (head_.empty() && columns == spec().dimensions)
      pool(states, group_.items(), vectors);
    else
      pool_through_head(states, columns, vectors);
    if (!in_place) memory.read(vectors.data, asked * spec().dimensions * sizeof(float), answers);
  }

  // Where pooling leaves prompts out, each text is pooled by itself from where its prompt ends.
  void pool(tensor::TypedView states, std::span<const kernels::PoolItem> items,
            tensor::MatrixSpan out) {
    const std::span<const std::uint32_t> cu_seqlens = group_.texts().cu_seqlens;
    if (spec().pools_prompt) return ops_->pool(states, cu_seqlens, reductions_, items, out);
    for (std::size_t i = 0; i < items.size(); ++i) {
      const std::uint32_t bounds[] = {group_.pooled_from(i), cu_seqlens[i + 1]};
      kernels::PoolItem item = items[i];
      item.place = bounds[0] - cu_seqlens[i];
      ops_->pool(states, bounds, reductions_, {&item, 1}, out.slice_rows(i, 1));
    }
  }

  // What Dense modules give, of which the model may answer only the first columns, is cut and
  // normalized as if it were a text of one token.
  void pool_through_head(tensor::TypedView states, std::size_t columns,
                         tensor::MatrixSpan vectors) {
    const tensor::MatrixSpan pooled = pooled_.matrix(vectors.rows, columns, ops_->memory());
    const std::vector<kernels::PoolItem> whole(
        vectors.rows, {.dimensions = static_cast<std::uint32_t>(columns), .normalize = false});
    pool(states, whole, pooled);
    std::vector<std::uint32_t> rows(vectors.rows + 1);
    std::iota(rows.begin(), rows.end(), 0u);
    const kernels::Reduction first[] = {kernels::Reduction::cls};
    ops_->pool(head_.forward(*ops_, pooled).slice_columns(0, vectors.columns), rows, first,
               group_.items(), vectors);
  }

  model::PackedFile file_;
  std::unique_ptr<kernels::Backend> ops_;
  model::PackedWeights weights_;
  std::unique_ptr<model::Model> model_;
  Group group_;  // that runs
  Pipeline pipeline_;
  model::DenseHead head_;
  model::SparseHead sparse_head_;
  model::TokenHead token_head_;
  std::vector<kernels::Reduction> reductions_;
  tensor::Buffer pooled_;   // [texts, reductions * hidden]
  tensor::Buffer vectors_;  // [texts, dimensions], on a device
};

Status check_group(const model::Shard& shard, const kernels::Communicator* communicator) {
  const std::size_t process = communicator == nullptr ? 0 : communicator->rank();
  const std::size_t processes = communicator == nullptr ? 1 : communicator->ranks();
  if (shard.process() == process && shard.processes() == processes) return {};
  return refuse(fmt::format("weights of rank {} of {} cannot run as rank {} of {}", shard.process(),
                            shard.processes(), process, processes));
}

using Wrap = std::unique_ptr<kernels::Backend>(std::unique_ptr<kernels::Backend>);

Result<std::unique_ptr<Engine>> open_with(Wrap wrap, model::PackedFile file,
                                          EngineOptions options) {
  if (options.threads < 1)
    return refuse(fmt::format("an engine cannot run on {} threads", options.threads));
  SHEAF_ASSIGN(auto ops,
               kernels::make_backend(
                   file.backend(),
                   {.threads = options.threads,
                    .progress = options.progress,
                    .busy_ns = options.profile == nullptr ? nullptr : &options.profile->busy_ns,
                    .weights_copy = options.weights_copy,
                    .lanes = options.lanes}));
  ops = wrap(std::move(ops));
  if (file.shard().ranks > 1 && options.communicator != nullptr) {
    SHEAF_ASSIGN(ops, kernels::make_ranked(std::move(ops), *options.communicator));
  }
  if (options.profile != nullptr)
    ops = kernels::make_profiled(std::move(ops), options.threads, *options.profile);
  auto engine = std::make_unique<ModelEngine>(std::move(file), std::move(ops), options);
  SHEAF_TRY(engine->status());
  return std::unique_ptr<Engine>(std::move(engine));
}

}  // namespace

void Rows::clear() {
  used_ = 0;
  floats_.clear();
}

std::span<float> Rows::add(std::size_t count, std::size_t floats) {
  const std::size_t first = used_;
  used_ += count * floats;
  if (used_ > values_.size()) values_.resize(std::max(used_, first + first / 2));
  floats_.insert(floats_.end(), count, static_cast<std::uint32_t>(floats));
  return {values_.data() + first, count * floats};
}

Result<std::unique_ptr<Engine>> Engine::open(Mapping packed, EngineOptions options) {
  const auto as_it_is = [](std::unique_ptr<kernels::Backend> ops) { return ops; };
  SHEAF_ASSIGN(model::PackedFile file, model::PackedFile::open(std::move(packed)));
  SHEAF_TRY(check_group(file.shard(), options.communicator));
  return open_with(as_it_is, std::move(file), options);
}

Result<std::unique_ptr<Engine>> open_dry(Mapping packed, EngineOptions options) {
  SHEAF_ASSIGN(model::PackedFile file, model::PackedFile::open(std::move(packed)));
  return open_with(kernels::make_dry_run, std::move(file), options);
}

}  // namespace sheaf::engine
