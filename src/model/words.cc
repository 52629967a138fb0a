#include "model/words.h"

#include <string>

namespace sheaf::model {
namespace {

std::string name_of_words(const ModelSpec& spec) {
  return spec.architecture == Architecture::modernbert ? "embeddings.tok_embeddings"
                                                       : "embeddings.word_embeddings";
}

}  // namespace

void bind_words(const ModelSpec& spec, WeightSource& weights, kernels::Embedding& table) {
  if (spec.is_splade() && spec.word_head.decoder.empty())
    table.packed_words = bind_decoder(spec, weights);
  else
    table.words = weights.table(name_of_words(spec), spec.vocab_size, spec.hidden_size);
}

void bind_positions(const ModelSpec& spec, WeightSource& weights, kernels::Embedding& table) {
  table.positions = weights.table("embeddings.position_embeddings",
                                  spec.positions + spec.position_offset, spec.hidden_size);
  if (spec.position_offset == 0) return;
  table.first_position = spec.position_offset;
  table.uncounted_id = static_cast<std::int32_t>(spec.position_offset) - 1;
}

kernels::Linear bind_decoder(const ModelSpec& spec, WeightSource& weights) {
  const WordHeadSpec& head = spec.word_head;
  const std::string name = head.decoder.empty() ? name_of_words(spec) : head.decoder;
  return weights.linear({{name, spec.vocab_size}}, spec.hidden_size, Bias::none);
}

}  // namespace sheaf::model
