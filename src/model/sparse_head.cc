#include "model/sparse_head.h"

#include <algorithm>

#include "model/row_blocks.h"
#include "model/words.h"

namespace sheaf::model {

using kernels::Activation;
using tensor::MatrixSpan;
using tensor::MatrixView;
using tensor::TypedSpan;
using tensor::TypedView;

namespace {

// Of weights of words that exist at once, one text's at least.
constexpr std::size_t kWeights = std::size_t{1} << 21;

}  // namespace

SparseHead::SparseHead(const ModelSpec& spec, WeightSource& weights)
    : of_words_(spec.is_splade()),
      how_{spec.word_head.sum, spec.word_head.logs},
      special_ids_(spec.special_ids) {
  if (!weights.has_heads()) return;
  if (of_words_) {
    const DenseSpec& dense = spec.word_head.transform;
    dense_ = weights.linear({{dense.name, dense.outputs}}, dense.inputs,
                            dense.bias ? Bias::stored : Bias::none);
    norm_ =
        weights.norm(dense.norm, dense.outputs, spec.norm_epsilon,
                     spec.word_head.norm_shift ? NormKind::layer : NormKind::layer_without_shift);
    words_ = bind_decoder(spec, weights);
    if (!spec.word_head.bias.empty())
      words_.bias = weights.vector(spec.word_head.bias, spec.vocab_size);
  } else if (!spec.token_weight.name.empty()) {
    token_weight_ = weights.linear({{spec.token_weight.name, 1}}, spec.hidden_size,
                                   spec.token_weight.bias ? Bias::stored : Bias::none);
  }
}

void SparseHead::forward(kernels::Backend& ops, const kernels::Texts& texts, TypedView states,
                         const Take& take) {
  if (!of_words_) return weigh_tokens(ops, texts, states, take);
  const std::size_t most = std::max<std::size_t>(1, kWeights / words_.outputs);
  const std::size_t count = texts.cu_seqlens.size() - 1;
  for (std::size_t first = 0; first < count; first += most)
    weigh_words(ops, texts, states, first, std::min(count, first + most), take);
}

void SparseHead::weigh_words(kernels::Backend& ops, const kernels::Texts& texts, TypedView states,
                             std::size_t first, std::size_t last, const Take& take) {
  const std::uint32_t begin = texts.cu_seqlens[first];
  std::vector<std::uint32_t> bounds;
  for (std::size_t i = first; i <= last; ++i) bounds.push_back(texts.cu_seqlens[i] - begin);
  const MatrixSpan weights = weights_.matrix(last - first, words_.outputs, ops.memory());
  ops.weigh_words(transform(ops, states.slice_rows(begin, bounds.back())), bounds, words_, how_,
                  weights);
  const MatrixView rows = tensor::on_host(weights, ops.memory(), copy_);
  for (std::size_t i = 0; i < rows.rows; ++i) take_words({rows.row(i), rows.columns}, take);
}

TypedView SparseHead::transform(kernels::Backend& ops, TypedView states) {
  const TypedSpan all = ops.states(transformed_, states.rows, dense_.outputs);
  for_row_blocks(ops, states, [&](std::size_t first, std::size_t rows) {
    const TypedSpan out = all.slice_rows(first, rows);
    ops.linear(states.slice_rows(first, rows), dense_, Activation::gelu, {}, out);
    ops.normalize(out, norm_, {}, out);
  });
  return all;
}

void SparseHead::take_words(std::span<const float> weights, const Take& take) {
  row_.clear();
  for (std::size_t word = 0; word < weights.size(); ++word)
    if (weights[word] != 0) row_.insert(row_.end(), {static_cast<float>(word), weights[word]});
  take(row_);
}

void SparseHead::weigh_tokens(kernels::Backend& ops, const kernels::Texts& texts, TypedView states,
                              const Take& take) {
  const MatrixSpan weights = weights_.matrix(states.rows, 1, ops.memory());
  ops.linear(states, token_weight_, Activation::relu, {}, weights);
  const MatrixView rows = tensor::on_host(weights, ops.memory(), copy_);
  for (std::size_t i = 0; i + 1 < texts.cu_seqlens.size(); ++i) {
    const std::uint32_t begin = texts.cu_seqlens[i];
    take_tokens(texts.ids.subspan(begin, texts.cu_seqlens[i + 1] - begin), rows.data + begin, take);
  }
}

void SparseHead::take_tokens(std::span<const std::int32_t> ids, const float* weights,
                             const Take& take) {
  terms_.clear();
  for (std::size_t t = 0; t < ids.size(); ++t)
    if (weights[t] != 0 &&
        !std::ranges::binary_search(special_ids_, static_cast<std::uint32_t>(ids[t])))
      terms_.emplace_back(ids[t], weights[t]);
  // The best of each word first.
  std::ranges::sort(terms_, [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first < b.first : a.second > b.second;
  });
  row_.clear();
  for (const auto& [id, weight] : terms_)
    if (row_.empty() || row_[row_.size() - 2] != static_cast<float>(id))
      row_.insert(row_.end(), {static_cast<float>(id), weight});
  take(row_);
}

}  // namespace sheaf::model
