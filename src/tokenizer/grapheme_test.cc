#include "tokenizer/grapheme.h"

#include <gtest/gtest.h>

#include <string>

namespace sheaf::tokenizer {
namespace {

// The clusters of `text`, parted by '|'.
std::string parted(const std::string& text) {
  static const GraphemeScanner scanner;
  std::string result;
  const char* const end = text.data() + text.size();
  for (const char* p = text.data(); p < end;) {
    const char* const next = scanner.cluster_end(p, end);
    if (!result.empty()) result += '|';
    result.append(p, next);
    p = next;
  }
  return result;
}

TEST(Grapheme, RulesOfAnnex29) {
  EXPECT_EQ(parted("ab"), "a|b");
  EXPECT_EQ(parted("\r\n\n\r"), "\r\n|\n|\r");  // GB3 to GB5
  EXPECT_EQ(parted("\n\u0301"), "\n|\u0301");   // GB4
  EXPECT_EQ(parted("\u1100\u1161\u11A8\u11A8\u1100"), "\u1100\u1161\u11A8\u11A8|\u1100");  // GB6–8
  EXPECT_EQ(parted("\uAC00\u11A8\u1161"), "\uAC00\u11A8|\u1161");
  EXPECT_EQ(parted("\uAC01\u1161\u11A8"), "\uAC01|\u1161\u11A8");
  EXPECT_EQ(parted("a\u0301\u200D\u0302b"), "a\u0301\u200D\u0302|b");                      // GB9
  EXPECT_EQ(parted("\u0915\u0903x"), "\u0915\u0903|x");                                    // GB9a
  EXPECT_EQ(parted("\u0600a\u0600\n"), "\u0600a|\u0600|\n");                               // GB9b
  EXPECT_EQ(parted("\u0915\u094D\u200D\u0915\u0915"), "\u0915\u094D\u200D\u0915|\u0915");  // GB9c
  EXPECT_EQ(parted("\u0915\u094D\u200C\u0915"), "\u0915\u094D\u200C|\u0915");
  EXPECT_EQ(parted("\u00A9\u0301\u200D\u00A9\u00A9"), "\u00A9\u0301\u200D\u00A9|\u00A9");  // GB11
  EXPECT_EQ(parted("\u00A9\u200D\u0301\u00A9"), "\u00A9\u200D\u0301|\u00A9");
  EXPECT_EQ(parted("a\u200D\u00A9"), "a\u200D|\u00A9");
  EXPECT_EQ(parted(""), "");
}

}  // namespace
}  // namespace sheaf::tokenizer
