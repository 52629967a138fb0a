#include "cli/bench_requests.h"

#include <fmt/core.h>

#include <algorithm>
#include <string>
#include <vector>

#include "cli/load.h"

namespace sheaf::cli {
namespace {

constexpr std::size_t kPreparedRequests = 256;
constexpr std::uint64_t kPreparedTextsMax = 16'384;

// What the server says that texts have, their mean.
Result<double> tokens_a_text(LoadTarget& target, BenchTexts texts, std::uint32_t count) {
  prepare_requests(target, texts, 1, count);
  const LoadResult answer =
      run_load(target, {.lanes = 1, .warmup_us = 0, .requests = 1}, [](std::uint64_t) {});
  if (answer.errors > 0) return Error{ErrorCode::io, answer.first_error};
  return static_cast<double>(answer.tokens) / count;
}

}  // namespace

std::size_t requests_to_prepare(std::uint32_t batch_size) {
  return std::max<std::size_t>(
      8, std::min<std::size_t>(kPreparedRequests, kPreparedTextsMax / batch_size));
}

void prepare_requests(LoadTarget& target, BenchTexts& texts, std::size_t count,
                      std::uint32_t batch_size) {
  std::vector<std::vector<std::string>> requests;
  for (std::size_t i = 0; i < count; ++i) requests.push_back(texts.next(batch_size));
  target.prepare(requests);
}

Result<BenchTexts> texts_of_length(LoadTarget& target, std::uint32_t prompt_length,
                                   std::uint64_t seed) {
  // Short enough for any model's limit, so that nothing is cut off.
  constexpr std::uint32_t kProbeWords = 24;
  const auto made_of = [&](std::uint32_t words) { return BenchTexts::made_of_words(words, seed); };
  SHEAF_ASSIGN(const double probe_tokens, tokens_a_text(target, made_of(kProbeWords), 8));
  const std::uint32_t words = words_for(prompt_length, kProbeWords, probe_tokens);
  if (words <= kProbeWords) return made_of(words);
  SHEAF_ASSIGN(const double tokens, tokens_a_text(target, made_of(words), 1));
  if (tokens > 0 && tokens < 0.9 * prompt_length)
    fmt::print(stderr, "--prompt-length {}: the model cuts such texts to {:.0f} tokens\n",
               prompt_length, tokens);
  return made_of(words);
}

}  // namespace sheaf::cli
