#include "tokenizer/bpe_windows.h"

#include <algorithm>
#include <cstring>
#include <optional>

namespace sheaf::tokenizer {
namespace {

// Of a window that is walked, in bytes; one that is merged has as many symbols as are merged fast.
constexpr std::size_t kWalkedMax = 2048;
// What follows this many bytes behind a token hardly changes it.
constexpr std::size_t kMarginBytes = 32;
constexpr int kMisfitsMax = 8;
// A window does not end at a border before it has so many symbols: each costs something by itself.
constexpr std::size_t kFewestSymbols = 20;

bool is_inside_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// From this many bytes on one tells whether what follows is dense.
constexpr std::size_t kSampleBytes = 64;

// Whether the next characters have 2.5 bytes or more on average, as far as a sample shows.
bool is_dense(std::string_view text) {
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
  is_dense_ = is_dense(text.substr(begin));
  sampled_ = begin + kSampleBytes;
  if (!is_dense_ && text.size() - begin <= kWalkedMax)
    return rules.walk.tokenize(text, begin, rules.merges, borders_, tokens);
  while (begin < text.size()) begin = tokenize_stretch(rules, text, begin, tokens);
}

// Appends the tokens from `begin` up to the next border that no merge crosses, and returns where
// that is.
std::size_t BpeWindows::tokenize_stretch(const Rules& rules, std::string_view text,
                                         std::size_t begin, std::vector<BpeSymbol>& tokens) {
  const std::size_t first = tokens.size();
  int misfits = 0;
  for (std::size_t at = begin;;) {
    const End end = fill(rules, text, at);
    if (tokens.size() > first &&
        !rules.walk.are_compatible(tokens.back().id, window_.front().id, rules.merges)) {
      tokens.pop_back();
      at = tokens.size() == first ? begin : tokens.back().end;
      if (++misfits <= kMisfitsMax) continue;
      tokens.resize(first);
      rules.walk.tokenize(text, begin, rules.merges, borders_, tokens);
      return text.size();
    }
    const auto is_near_end = [&](const BpeSymbol& token) {
      return !end.is_border && token.end + kMarginBytes > end.at;
    };
    const auto kept = std::find_if(window_.begin() + 1, window_.end(), is_near_end);
    tokens.insert(tokens.end(), window_.begin(), kept);
    at = tokens.back().end;
    if (end.is_border) return at;
  }
}

// Leaves the tokens of a window in window_.
BpeWindows::End BpeWindows::fill(const Rules& rules, std::string_view text, std::size_t begin) {
  window_.clear();
  if (begin >= sampled_) {
    is_dense_ = is_dense(text.substr(begin));
    sampled_ = begin + kSampleBytes;
  }
  if (is_dense_) {
    const End end = start(rules, text, begin);
    merger_.merge(window_, rules.merges);
    return end;
  }
  const std::size_t end = character_start(text, std::min(begin + kWalkedMax, text.size()));
  rules.walk.tokenize(text.substr(0, end), begin, rules.merges, borders_, window_);
  return {end, end == text.size()};
}

// Leaves the first symbols of a window in window_.
BpeWindows::End BpeWindows::start(const Rules& rules, std::string_view text, std::size_t begin) {
  constexpr std::size_t kCharacterBytesMax = 4;
  const char* p = text.data() + begin;
  const char* const end = text.data() + text.size();
  const auto place = [&](const char* at) { return static_cast<std::uint32_t>(at - text.data()); };
  const auto push_bytes = [&](const char* byte) {
    for (; byte < p; ++byte)
      window_.push_back({rules.byte_ids[static_cast<unsigned char>(*byte)], place(byte + 1)});
  };
  // The window before may have ended with a token of some bytes of a character.
  while (p < end && is_inside_character(*p)) push_bytes(p++);
  std::optional<unicode::CodePoint> previous;  // if it is one symbol
  while (p < end && window_.size() + kCharacterBytesMax <= BpeMerger::kShortMax) {
    const char* const character = p;
    const unicode::CodePoint c = unicode::decode_utf8(p);
    const std::int32_t id = rules.characters[c];
    if (id < 0) {
      push_bytes(character);
      previous.reset();
      continue;
    }
    if (previous && window_.size() >= kFewestSymbols && !rules.neighbours.may_contain(*previous, c))
      return {place(character), true};
    window_.push_back({id, place(p)});
    previous = c;
  }
  return {place(p), p == end};
}

}  // namespace sheaf::tokenizer
