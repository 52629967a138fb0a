#include "tokenizer/normalizer_sequence.h"

#include <fmt/format.h>

#include <cstring>
#include <utility>

namespace sheaf::tokenizer {
namespace {

// Real files have up to a dozen.
constexpr std::size_t kNormalizersMax = 64;

}  // namespace

Result<std::unique_ptr<const Normalizer>> NormalizerSequence::parse(const JsonField& field) {
  auto result = std::make_unique<NormalizerSequence>();
  SHEAF_ASSIGN(const JsonField list, field.get("normalizers"));
  SHEAF_ASSIGN(const std::vector<JsonField> items, list.array());
  if (items.size() > kNormalizersMax)
    return list.error(fmt::format("holds more than {} normalizers", kNormalizersMax));
  for (const JsonField& item : items) {
    SHEAF_ASSIGN(std::unique_ptr<const Normalizer> part, Normalizer::parse(item));
    result->parts_.push_back(std::move(part));
    SHEAF_TRY(check_growth(field, *result));
  }
  return std::unique_ptr<const Normalizer>(std::move(result));
}

void NormalizerSequence::normalize(std::string_view text, TextBuffer& out) const {
  if (parts_.empty()) {
    char* const begin = out.reserve(text.size());
    std::memcpy(begin, text.data(), text.size());
    return out.finish(begin + text.size());
  }
  TextBuffer other;
  for (const auto& part : parts_) {
    // `text` lies in `out`, from the second part on.
    part->normalize(text, other);
    std::swap(out, other);
    text = out.view();
  }
}

AlignedText NormalizerSequence::normalize_aligned(const AlignedText& text) const {
  AlignedText result = text;
  for (const auto& part : parts_) result = part->normalize_aligned(result);
  return result;
}

std::size_t NormalizerSequence::size_max(std::size_t size) const {
  for (const auto& part : parts_) size = part->size_max(size);
  return size;
}

}  // namespace sheaf::tokenizer
