#include "tokenizer/bert_normalizer.h"

#include <gtest/gtest.h>

#include <random>

namespace sheaf::tokenizer {
namespace {

std::string normalized(const BertNormalizer& normalizer, std::string_view text) {
  TextBuffer buffer;
  normalizer.normalize(text, buffer);
  return std::string(buffer.view());
}

BertNormalizerOptions options_of(int bits) {
  return {(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0};
}

TEST(BertNormalizer, DoesItsFourSteps) {
  const BertNormalizer all({});
  EXPECT_EQ(normalized(all, "Caf\u00E9\tZ\u00DCRICH\u200B \u0130"), "cafe zurich i");
  EXPECT_EQ(normalized(all, "a\u4E00b"), "a \u4E00 b");
  EXPECT_EQ(normalized(all, "\uAC01"), "\u1100\u1161\u11A8");
  EXPECT_EQ(normalized(all, std::string_view("a\0b\xEF\xBF\xBD", 6)), "ab");
  EXPECT_EQ(normalized(all, ""), "");
  const BertNormalizer none(options_of(0));
  EXPECT_EQ(normalized(none, "Caf\u00E9\t\u4E00"), "Caf\u00E9\t\u4E00");
  EXPECT_EQ(normalized(BertNormalizer(options_of(8)), "\u0130"), "i\u0307");
}

TEST(BertNormalizer, OrdersTheMarksThatStay) {
  const BertNormalizer all({});
  // U+302E (class 224) and U+1D165 (class 216) are spacing marks; U+0301 between them is dropped.
  EXPECT_EQ(normalized(all, "A\u302E\u0301\U0001D165"), "a\U0001D165\u302E");
  EXPECT_EQ(normalized(all, "A\u302E\u200B\U0001D165"), "a\U0001D165\u302E");
  EXPECT_EQ(normalized(all, "A\u302E\u034F\U0001D165"),
            "a\u302E\U0001D165");  // class 0 keeps them apart
}

// The fast path against the plain one: every code point, alone and in company, under all options.
TEST(BertNormalizer, FastPathAgreesWithPlainSteps) {
  for (int bits = 0; bits < 16; ++bits) {
    const BertNormalizer normalizer(options_of(bits));
    std::string text;
    for (unicode::CodePoint c = 0; c < unicode::kCodePoints; ++c) {
      if (c >= 0xD800 && c <= 0xDFFF) continue;
      if (c >= 0x20000 && c % 61 != 0) continue;
      text += "aB";
      unicode::append_utf8(c, text);
      if (c % 64 != 63) continue;
      ASSERT_EQ(normalized(normalizer, text), normalizer.normalize_aligned(AlignedText(text)).text)
          << bits << " " << c;
      text.clear();
    }
  }
}

TEST(BertNormalizer, FastPathAgreesOnRandomMarks) {
  const BertNormalizer normalizer({});
  std::mt19937 random(3);
  const std::vector<unicode::CodePoint> some = {
      'a',     'B',  ' ',    0x301,  0x323,  0x302E, 0x302F, 0x1D165, 0x1D16E, 0x34F,  0x200B,
      0x1D15E, 0xE9, 0x4E00, 0xAC01, 0x3099, 0xF71,  0xF73,  0x16FF0, 0x1D1BB, 0xF900, 0x345};
  for (int i = 0; i < 20000; ++i) {
    std::string text;
    for (std::size_t n = random() % 12; n > 0; --n)
      unicode::append_utf8(some[random() % some.size()], text);
    ASSERT_EQ(normalized(normalizer, text), normalizer.normalize_aligned(AlignedText(text)).text);
  }
}

TEST(BertNormalizer, LongRunOfMarksIsNoTrouble) {
  std::string text = "a";
  for (int i = 0; i < 100'000; ++i) text += i % 2 == 0 ? "\u302E" : "\U0001D165";
  EXPECT_EQ(normalized(BertNormalizer({}), text).size(), text.size());
}

TEST(BertNormalizer, KnowsWhereEachByteCameFrom) {
  const AlignedText aligned =
      BertNormalizer({}).normalize_aligned(AlignedText("\u200B\u00C9\u4E00"));
  EXPECT_EQ(aligned.text, "e \u4E00 ");
  ASSERT_EQ(aligned.origins.size(), aligned.text.size());
  EXPECT_EQ(aligned.origins.front(), (Piece{3, 5}));
  for (std::size_t i = 1; i < aligned.origins.size(); ++i)
    EXPECT_EQ(aligned.origins[i], (Piece{5, 8}));
}

}  // namespace
}  // namespace sheaf::tokenizer
