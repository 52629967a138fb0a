#include "tokenizer/unicode_form.h"

#include <gtest/gtest.h>

#include <random>

namespace sheaf::tokenizer {
namespace {

using FormKind = UnicodeForm::Kind;

std::string normalized(FormKind kind, std::string_view text) {
  TextBuffer buffer;
  UnicodeForm(kind).normalize(text, buffer);
  return std::string(buffer.view());
}

TEST(UnicodeForm, ComposesAndDecomposes) {
  EXPECT_EQ(normalized(FormKind::nfc, "e\u0301 plain"), "\u00E9 plain");
  EXPECT_EQ(normalized(FormKind::nfd, "\u00E9"), "e\u0301");
  EXPECT_EQ(normalized(FormKind::nfc, "\u1100\u1161\u11A8"), "\uAC01");
  EXPECT_EQ(normalized(FormKind::nfd, "\uAC01"), "\u1100\u1161\u11A8");
  EXPECT_EQ(normalized(FormKind::nfc, "\u0958"), "\u0915\u093C");  // excluded from composition
  EXPECT_EQ(normalized(FormKind::nfc, "a\u0323\u0302"), "\u1EAD");
  EXPECT_EQ(normalized(FormKind::nfc, "a\u0302\u0323"), "\u1EAD");  // put in order first
  EXPECT_EQ(normalized(FormKind::nfc, "a\u0315\u0315\u0300"), "\u00E0\u0315\u0315");
  EXPECT_EQ(normalized(FormKind::nfkc, "\uFB01\u00BD"), "fi1\u20442");
  EXPECT_EQ(normalized(FormKind::nfkd, "\uFDFA").size(), 33u);
}

// The fast path, which leaves alone what it can, against the whole text in one.
TEST(UnicodeForm, FastPathAgreesWithPlainForm) {
  const std::vector<unicode::CodePoint> some = {
      'a',    ' ',     0xE9,   0x301,  0x323,  0x315,  0x345,   0x1100,  0x1161, 0x11A8,
      0xAC00, 0xAC01,  0x3099, 0x304B, 0xFB01, 0xFDFA, 0x958,   0xF71,   0xF72,  0x4E00,
      0x390,  0x1D15E, 0x212B, 0xBD,   0x1E9B, 0x9C7,  0x11131, 0x11127, 0x1F600};
  std::mt19937 random(4);
  for (const FormKind kind : {FormKind::nfc, FormKind::nfd, FormKind::nfkc, FormKind::nfkd}) {
    const UnicodeForm form(kind);
    TextBuffer buffer;
    for (int i = 0; i < 20'000; ++i) {
      std::string text;
      for (std::size_t n = random() % 14; n > 0; --n)
        unicode::append_utf8(some[random() % some.size()], text);
      form.normalize(text, buffer);
      ASSERT_EQ(buffer.view(), form.normalize_aligned(AlignedText(text)).text);
    }
    for (unicode::CodePoint c = 0; c < unicode::kCodePoints; ++c) {
      if (c >= 0xD800 && c <= 0xDFFF) continue;
      std::string text = "a";
      unicode::append_utf8(c, text);
      form.normalize(text, buffer);
      ASSERT_LE(buffer.view().size(), form.size_max(text.size()));
      if (c < 0x20000 || c % 61 == 0) {
        ASSERT_EQ(buffer.view(), form.normalize_aligned(AlignedText(text)).text);
      }
    }
  }
}

TEST(UnicodeForm, LongRunOfMarksIsNoTrouble) {
  std::string text = "a";
  for (int i = 0; i < 200'000; ++i) text += i % 2 == 0 ? "\u0301" : "\u0323";
  EXPECT_EQ(normalized(FormKind::nfd, text).size(), text.size());
  // A dot below, of two bytes, makes the a a letter of three.
  EXPECT_EQ(normalized(FormKind::nfc, text).size(), text.size());
}

}  // namespace
}  // namespace sheaf::tokenizer
