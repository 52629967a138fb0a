#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "router/router.h"

namespace sheaf::router {

// Token ids of some of a request's inputs, laid end to end: input i has
// ids[cu_seqlens[i]..cu_seqlens[i+1]).
struct PreparedInputs {
  std::vector<std::int32_t> ids;
  std::vector<std::uint32_t> cu_seqlens{0};
  std::vector<std::uint32_t> second_at;  // as engine::ItemOptions::second_at, one an input
  std::size_t cut = 0;                   // inputs that were too long and lost an end

  std::size_t size() const { return cu_seqlens.size() - 1; }
  std::span<const std::int32_t> ids_of(std::size_t input) const {
    return std::span(ids).subspan(cu_seqlens[input], cu_seqlens[input + 1] - cu_seqlens[input]);
  }
  void append(const PreparedInputs& other);
};

// What does not need the texts themselves: number of inputs, dimensions, prompt, instruction.
Status check_request(const EmbedRequest& request, const ModelInfo& model, std::uint32_t max_texts);

// That `name` is one of the prompts of `spec`, or "" for none; `field` is what asks for it.
Status check_prompt(const std::string& name, const model::ModelSpec& spec, const std::string& model,
                    std::string_view field);

// The prompt that the request asks for by name, else the model's default one, else "".
std::string_view prompt_of(const EmbedRequest& request, const ModelInfo& model);

// Appends inputs [first, first + count) to `out`. Texts: prompt, tokenize, truncate to
// model.max_length or refuse. Pairs: the same with both texts as they are, or in the model's
// template, where the prompt is the instruction. Ids: checked against vocabulary and length. Errors
// name the input by its index. Any thread.
Status prepare_inputs(const EmbedRequest& request, const ModelInfo& model,
                      const tokenizer::Tokenizer& tokenizer, std::size_t first, std::size_t count,
                      PreparedInputs& out);

std::uint64_t bytes_of(const Input& input);
std::uint64_t characters_of(const Input& input);  // ids count as one each

}  // namespace sheaf::router
