#pragma once

#include "planner/memory.h"

// For tests: the shapes of models that people use, as their config.json has them.
namespace sheaf::planner {

inline Load load(Dtype dtype, std::uint32_t batch_tokens = 16'384) {
  return {.dtype = dtype, .batch_tokens = batch_tokens, .max_length = 0};
}

inline ModelFacts qwen3_embedding_4b() {
  ModelFacts model;
  model.name = "Qwen3-Embedding-4B";
  model::ModelSpec& spec = model.spec;
  spec.architecture = model::Architecture::decoder;
  spec.hidden_size = 2560;
  spec.layers = 36;
  spec.heads = 32;
  spec.kv_heads = 8;
  spec.head_size = 128;
  spec.intermediate_size = 9728;
  spec.vocab_size = 151'665;
  spec.positions = spec.max_length = 40'960;
  spec.causal = true;
  spec.dimensions = 2560;
  const std::uint64_t layer =
      2560ull * (32 + 2 * 8) * 128 + 32 * 128 * 2560ull + 3 * 2560ull * 9728;
  model.parameters = {.products = 36 * layer,
                      .blocks = 36 * layer / model::kInt8Block,  // no width leaves a rest
                      .tables = 151'665ull * 2560,
                      .vectors = 36ull * (2 * 2560 + 2 * 128) + 2560};
  return model;
}

inline ModelFacts minilm() {
  ModelFacts model;
  model.name = "all-MiniLM-L6-v2";
  model::ModelSpec& spec = model.spec;
  spec.hidden_size = spec.dimensions = 384;
  spec.layers = 6;
  spec.heads = spec.kv_heads = 12;
  spec.head_size = 32;
  spec.intermediate_size = 1536;
  spec.vocab_size = 30'522;
  spec.positions = 512;
  spec.max_length = 256;
  model.parameters = {.products = 10'764'288,
                      .blocks = 10'764'288 / model::kInt8Block,
                      .tables = 11'917'824,
                      .vectors = 31'104};
  return model;
}

}  // namespace sheaf::planner
