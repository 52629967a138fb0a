#include "tokenizer/neighbour_filter.h"

#include <algorithm>
#include <bit>
#include <optional>

#include "base/utf8.h"

namespace sheaf::tokenizer {

NeighbourFilter::NeighbourFilter(std::size_t pairs) {
  constexpr std::size_t kBitsAPair = 8;
  words_.resize(std::bit_ceil(std::max<std::size_t>(pairs * kBitsAPair / 64, 1)));
  shift_ = 64 - std::countr_zero(words_.size() * 64);
}

void NeighbourFilter::add(std::string_view text) {
  std::optional<unicode::CodePoint> previous;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t size = valid_utf8_sequence(text.substr(at));
    if (size == 0) {
      previous.reset();
      ++at;
      continue;
    }
    const char* p = text.data() + at;
    const unicode::CodePoint c = unicode::decode_utf8(p);
    if (previous) {
      const std::uint64_t bit = bit_of(*previous, c);
      words_[bit / 64] |= std::uint64_t{1} << bit % 64;
    }
    previous = c;
    at += size;
  }
}

}  // namespace sheaf::tokenizer
