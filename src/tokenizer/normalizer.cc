#include "tokenizer/normalizer.h"

#include <fmt/format.h>

#include "tokenizer/bert_normalizer.h"
#include "tokenizer/lowercase.h"
#include "tokenizer/nmt.h"
#include "tokenizer/normalizer_sequence.h"
#include "tokenizer/precompiled.h"
#include "tokenizer/prepend.h"
#include "tokenizer/replace.h"
#include "tokenizer/strip.h"
#include "tokenizer/strip_accents.h"
#include "tokenizer/unicode_form.h"

namespace sheaf::tokenizer {
namespace {

std::unique_ptr<const Normalizer> unicode_form(UnicodeForm::Kind kind) {
  return std::make_unique<UnicodeForm>(kind);
}

Result<std::unique_ptr<const Normalizer>> parse_any(const JsonField& field) {
  SHEAF_ASSIGN(const std::string_view type, field.string("type"));
  if (type == "BertNormalizer") return BertNormalizer::parse(field);
  if (type == "Lowercase") return std::unique_ptr<const Normalizer>(std::make_unique<Lowercase>());
  if (type == "NFC") return unicode_form(UnicodeForm::Kind::nfc);
  if (type == "NFD") return unicode_form(UnicodeForm::Kind::nfd);
  if (type == "NFKC") return unicode_form(UnicodeForm::Kind::nfkc);
  if (type == "NFKD") return unicode_form(UnicodeForm::Kind::nfkd);
  if (type == "Nmt") return std::unique_ptr<const Normalizer>(std::make_unique<Nmt>());
  if (type == "Precompiled") return Precompiled::parse(field);
  if (type == "Prepend") return Prepend::parse(field);
  if (type == "Replace") return Replace::parse(field);
  if (type == "Sequence") return NormalizerSequence::parse(field);
  if (type == "Strip") return Strip::parse(field);
  if (type == "StripAccents") {
    return std::unique_ptr<const Normalizer>(std::make_unique<StripAccents>());
  }
  return field.unknown_type(type,
                            "BertNormalizer, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, Precompiled, "
                            "Prepend, Replace, Sequence, Strip, StripAccents");
}

}  // namespace

Result<std::unique_ptr<const Normalizer>> Normalizer::parse(const JsonField& field) {
  SHEAF_ASSIGN(std::unique_ptr<const Normalizer> result, parse_any(field));
  SHEAF_TRY(check_growth(field, *result));
  return result;
}

Status check_growth(const JsonField& field, const Normalizer& normalizer) {
  constexpr std::size_t kSize = 1024, kGrowthMax = 1024;
  if (normalizer.size_max(kSize) <= kSize * kGrowthMax) return {};
  return field.error(fmt::format("makes texts more than {} times longer", kGrowthMax));
}

}  // namespace sheaf::tokenizer
