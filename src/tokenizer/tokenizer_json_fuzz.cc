// A tokenizer.json and a text, parted by the first 0xFF (which no JSON holds): parsing must refuse
// or give a tokenizer whose two ways to encode agree, whose pairs keep their limit, and whose ids
// it can decode.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "tokenizer/tokenizer.h"

using sheaf::tokenizer::Tokenizer;

static void require(bool condition) {
  if (!condition) std::abort();
}

// A pair of the text's two halves: a file may join only single texts.
static void check_pair(const Tokenizer& tokenizer, std::string_view text, std::size_t limit) {
  for (const bool special : {false, true}) {
    std::vector<std::int32_t> ids{-7};
    const auto pair =
        tokenizer.encode_pair(text.substr(0, text.size() / 2), text.substr(text.size() / 2),
                              {.add_special_tokens = special, .max_tokens = limit}, ids);
    require(ids[0] == -7 && (pair.ok() || ids.size() == 1));
    ids.erase(ids.begin());
    if (!pair.ok()) continue;
    require(ids.size() == (limit == 0 ? pair->tokens : std::min(limit, pair->tokens)));
    require(pair->second_at == 0 || pair->second_at < ids.size());
    require(tokenizer.decode(ids, false).ok());
  }
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t border = input.find('\xFF');
  const auto parsed = Tokenizer::parse(input.substr(0, border));
  if (!parsed.ok()) {
    require(!parsed.error().message.empty());
    return 0;
  }
  const Tokenizer& tokenizer = *parsed.value();
  const std::string_view text =
      border == std::string_view::npos ? "A \u4E00[CLS]\u0301" : input.substr(border + 1);
  for (const std::size_t limit : {0, 3}) {
    check_pair(tokenizer, text, limit);
    std::vector<std::int32_t> ids;
    const auto total = tokenizer.encode(text, {.max_tokens = limit}, ids);
    const auto placed = tokenizer.encode_tokens(text, {.max_tokens = limit});
    // A regular expression may lose itself in the text, in both ways alike but for the time taken.
    if (!total.ok() || !placed.ok()) {
      require(ids.empty() || total.ok());
      continue;
    }
    require(ids.size() <= *total && (limit == 0 ? ids.size() == *total : ids.size() <= limit));
    const std::vector<sheaf::tokenizer::Token>& tokens = *placed;
    require(tokens.size() == ids.size());
    for (std::size_t i = 0; i < ids.size(); ++i) {
      require(tokens[i].id == ids[i]);
      require(tokens[i].start <= tokens[i].stop &&
              tokens[i].stop <= static_cast<std::int64_t>(text.size()));
    }
    require(tokenizer.decode(ids, false).ok());
  }
  return 0;
}
