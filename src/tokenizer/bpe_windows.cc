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
// So few symbols are merged faster by themselves than in lanes.
constexpr std::size_t kMergedAlone = 24;
// Where the next character is that starts as bytes.
std::size_t known_end(const BpeWindows::Rules& rules, std::string_view text, std::size_t begin) {
  const char* const end = text.data() + text.size();
  const char* p = text.data() + begin;
  for (const char* next = p; p < end && rules.characters[unicode::decode_utf8(next)] >= 0;)
    p = next;
  return static_cast<std::size_t>(p - text.data());
}

// Appends the bytes of the character at `begin`, and returns where it ends.
std::size_t push_bytes(const BpeWindows::Rules& rules, std::string_view text, std::size_t begin,
                       std::vector<BpeSymbol>& tokens) {
  const char* next = text.data() + begin;
  unicode::decode_utf8(next);
  const auto end = static_cast<std::size_t>(next - text.data());
  for (; begin < end; ++begin) {
    const std::int32_t id = rules.byte_ids[static_cast<unsigned char>(text[begin])];
    tokens.push_back({id, static_cast<std::uint32_t>(begin + 1)});
  }
  return end;
}

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
  sample(text, begin);
  std::size_t known = rules.bytes_merge ? text.size() : begin;
  while (begin < text.size()) {
    if (begin >= sampled_) sample(text, begin);
    const std::size_t end = is_dense_ ? tokenize_batch(rules, text, begin, tokens) : begin;
    if (end > begin) {
      begin = end;
      continue;
    }
    if (begin >= known) known = known_end(rules, text, begin);
    begin = begin < known ? tokenize_stretch(rules, text.substr(0, known), begin, tokens)
                          : push_bytes(rules, text, begin, tokens);
  }
}

void BpeWindows::sample(std::string_view text, std::size_t at) {
  is_dense_ = is_dense(text.substr(at));
  sampled_ = at + kSampleBytes;
}

// Appends the tokens of the next characters up to the last border among them that no merge crosses,
// and returns where that is: `begin` if there is none. A border is at `begin`.
std::size_t BpeWindows::tokenize_batch(const Rules& rules, std::string_view text, std::size_t begin,
                                       std::vector<BpeSymbol>& tokens) {
  const std::uint32_t border = rules.pairs.border();
  batch_.count = 0;
  const bool ends_at_border = read_batch(rules, text, begin);
  batch_.pairs[0] = border;
  for (std::size_t i = 1; i < batch_.count; ++i)
    batch_.pairs[i] = rules.pairs.index_of(batch_.symbols[i - 1].id, batch_.symbols[i].id);
  batch_.pairs[batch_.count] = border;
  if (!ends_at_border) {
    while (batch_.count > 0 && batch_.pairs[--batch_.count] != border) {
    }
  }
  if (batch_.count == 0) return begin;
  const std::size_t end = batch_.symbols[batch_.count - 1].end;
  merge_certain(rules, batch_.count);
  merge_rest(rules, tokens);
  return end;
}

// Takes characters that are one symbol; says whether a border follows.
bool BpeWindows::read_batch(const Rules& rules, std::string_view text, std::size_t begin) {
  const char* p = text.data() + begin;
  const char* const end = text.data() + text.size();
  std::size_t count = 0;
  std::int32_t id = 0;
  while (p < end && count < kBatchMax) {
    id = rules.characters[unicode::decode_utf8(p)];
    if (id < 0) break;
    batch_.symbols[count++] = {id, static_cast<std::uint32_t>(p - text.data())};
  }
  batch_.count = count;
  return id < 0 ? !rules.bytes_merge : p == end;
}

// Which ones merge is as good as chance, so that nothing here branches on it.
void BpeWindows::merge_certain(const Rules& rules, std::size_t count) {
  const std::uint32_t border = rules.pairs.border();
  batch_.pairs[count + 1] = border;
  batch_.stretches = 0;
  std::size_t kept = 0;
  std::size_t is_taken = 0;  // by the one before: then a symbol merges with none behind it
  CharacterPairs::Pair before = rules.pairs.at(border), pair = rules.pairs.at(batch_.pairs[1]);
  for (std::size_t i = 0; i < count; ++i) {
    const CharacterPairs::Pair behind = rules.pairs.at(batch_.pairs[i + 2]);
    const std::size_t merges =
        std::size_t{pair.rank < before.before} & std::size_t{pair.rank <= behind.behind};
    const std::int32_t own = batch_.symbols[i].id;
    const std::int32_t id = own ^ ((own ^ pair.id) & -static_cast<std::int32_t>(merges));
    batch_.symbols[kept] = {id, batch_.symbols[i + merges].end};
    kept += 1 - is_taken;
    is_taken = merges;
    batch_.stretch_ends[batch_.stretches] = static_cast<std::uint32_t>(kept);
    batch_.stretches += std::size_t{batch_.pairs[i + 1] == border};
    before = pair;
    pair = behind;
  }
  batch_.count = kept;
}

// Of stretches one after the other, in as many runs of about one size as keep all lanes busy.
void BpeWindows::merge_rest(const Rules& rules, std::vector<BpeSymbol>& tokens) {
  constexpr std::size_t kTogether = BpeLanes::kLanes * (BpeLanes::kSymbolsMax - 4);
  if (batch_.count <= kMergedAlone) return merge_run(rules, 0, batch_.count, tokens);
  const std::size_t runs = BpeLanes::kLanes * ((batch_.count + kTogether - 1) / kTogether);
  const std::size_t wanted = (batch_.count + runs - 1) / runs;
  const auto& ends = batch_.stretch_ends;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < batch_.stretches;) {
    std::size_t end = ends[i++];
    while (i < batch_.stretches && end - begin < wanted &&
           ends[i] - begin <= BpeLanes::kSymbolsMax) {
      end = ends[i++];
    }
    if (end - begin <= BpeLanes::kSymbolsMax) {
      lanes_.add(&batch_.symbols[begin], end - begin, rules.merges, tokens);
    } else {
      lanes_.flush(rules.merges, tokens);
      merge_run(rules, begin, end, tokens);
    }
    begin = end;
  }
  lanes_.flush(rules.merges, tokens);
}

void BpeWindows::merge_run(const Rules& rules, std::size_t begin, std::size_t end,
                           std::vector<BpeSymbol>& tokens) {
  window_.assign(&batch_.symbols[begin], &batch_.symbols[end]);
  merger_.merge(window_, rules.merges);
  tokens.insert(tokens.end(), window_.begin(), window_.end());
}

// Appends the tokens from `begin` up to the next border that no merge crosses, and returns where
// that is.
std::size_t BpeWindows::tokenize_stretch(const Rules& rules, std::string_view text,
                                         std::size_t begin, std::vector<BpeSymbol>& tokens) {
  if (!is_dense_ && text.size() - begin <= kWalkedMax) {
    rules.walk.tokenize(text, begin, rules.merges, borders_, tokens);
    return text.size();
  }
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
  if (begin >= sampled_) sample(text, begin);
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
  std::int32_t previous = -1;  // the character before, if it is one symbol
  while (p < end && window_.size() + kCharacterBytesMax <= BpeMerger::kShortMax) {
    const char* const character = p;
    const std::int32_t id = rules.characters[unicode::decode_utf8(p)];
    if (id < 0) {
      push_bytes(character);
      previous = -1;
      continue;
    }
    if (previous >= 0 && rules.pairs.index_of(previous, id) == rules.pairs.border())
      return {place(character), true};
    window_.push_back({id, place(p)});
    previous = id;
  }
  return {place(p), p == end};
}

}  // namespace sheaf::tokenizer
