#include "tokenizer/bpe_windows.h"

#include <algorithm>
#include <cstring>

namespace sheaf::tokenizer {
namespace {

// Of a window that is walked, in bytes; one that is merged has as many symbols as are merged fast.
constexpr std::size_t kWalkedMax = 2048;
// What follows this many bytes behind a token hardly changes it.
constexpr std::size_t kMarginBytes = 32;
constexpr int kMisfitsMax = 8;

bool is_inside_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// Whether the next characters have 2.5 bytes or more on average, as far as a sample shows.
bool is_dense(std::string_view text) {
  constexpr std::size_t kSampleBytes = 64;
  constexpr std::uint64_t kLowBits = 0x0101010101010101;
  const std::string_view sample = text.substr(0, kSampleBytes);
  std::uint64_t inside = 0;  // a count in each byte
  std::size_t i = 0;
  for (std::uint64_t word; i + sizeof word <= sample.size(); i += sizeof word) {
    std::memcpy(&word, sample.data() + i, sizeof word);
    inside += word >> 7 & ~(word >> 6) & kLowBits;
  }
  std::size_t all_inside = inside * kLowBits >> 56;
  for (; i < sample.size(); ++i) all_inside += is_inside_character(sample[i]) ? 1 : 0;
  return 5 * (sample.size() - all_inside) <= 2 * sample.size();
}

std::size_t character_start(std::string_view text, std::size_t at) {
  while (at < text.size() && is_inside_character(text[at])) --at;
  return at;
}

}  // namespace

void BpeWindows::tokenize(const Rules& rules, std::string_view text, std::size_t begin,
                          std::vector<BpeSymbol>& tokens) {
  const auto walk = [&] { rules.walk.tokenize(text, begin, rules.merges, borders_, tokens); };
  if (text.size() - begin <= kWalkedMax && !is_dense(text.substr(begin))) return walk();
  const std::size_t first = tokens.size();
  int misfits = 0;
  for (std::size_t at = begin; at < text.size();) {
    const std::size_t end = fill(rules, text, at);
    if (tokens.size() > first &&
        !rules.walk.are_compatible(tokens.back().id, window_.front().id, rules.merges)) {
      tokens.pop_back();
      at = tokens.size() == first ? begin : tokens.back().end;
      if (++misfits <= kMisfitsMax) continue;
      tokens.resize(first);
      return walk();
    }
    const auto is_near_end = [&](const BpeSymbol& token) {
      return end < text.size() && token.end + kMarginBytes > end;
    };
    const auto kept = std::find_if(window_.begin() + 1, window_.end(), is_near_end);
    tokens.insert(tokens.end(), window_.begin(), kept);
    at = tokens.back().end;
  }
}

// Leaves the tokens of a window in window_ and returns where it ends.
std::size_t BpeWindows::fill(const Rules& rules, std::string_view text, std::size_t begin) {
  window_.clear();
  if (is_dense(text.substr(begin))) {
    const std::size_t end = start(rules, text, begin);
    merger_.merge(window_, rules.merges);
    return end;
  }
  const std::size_t end = character_start(text, std::min(begin + kWalkedMax, text.size()));
  rules.walk.tokenize(text.substr(0, end), begin, rules.merges, borders_, window_);
  return end;
}

// Leaves the first symbols of a window in window_ and returns where it ends.
std::size_t BpeWindows::start(const Rules& rules, std::string_view text, std::size_t begin) {
  constexpr std::size_t kCharacterBytesMax = 4;
  const char* p = text.data() + begin;
  const char* const end = text.data() + text.size();
  const auto push = [&](std::int32_t id, const char* behind) {
    window_.push_back({id, static_cast<std::uint32_t>(behind - text.data())});
  };
  const auto push_bytes = [&](const char* byte) {
    for (; byte < p; ++byte) push(rules.byte_ids[static_cast<unsigned char>(*byte)], byte + 1);
  };
  // The window before may have ended with a token of some bytes of a character.
  while (p < end && is_inside_character(*p)) push_bytes(p++);
  while (p < end && window_.size() + kCharacterBytesMax <= BpeMerger::kShortMax) {
    const char* const character = p;
    if (const std::int32_t id = rules.characters[unicode::decode_utf8(p)]; id >= 0) {
      push(id, p);
    } else {
      push_bytes(character);
    }
  }
  return static_cast<std::size_t>(p - text.data());
}

}  // namespace sheaf::tokenizer
