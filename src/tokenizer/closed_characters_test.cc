#include "tokenizer/closed_characters.h"

#include <gtest/gtest.h>

namespace sheaf::tokenizer {
namespace {

// Byte-level merges of byte strings, and which of two characters they leave closed.
struct Closed {
  std::vector<std::string> strings;
  std::vector<BpeWalk::Merge> merges;

  Closed() {
    for (int byte = 0; byte < 256; ++byte) strings.emplace_back(1, static_cast<char>(byte));
  }
  std::int32_t id_of(const std::string& bytes) {
    for (std::size_t i = 0; i < strings.size(); ++i) {
      if (strings[i] == bytes) return static_cast<std::int32_t>(i);
    }
    strings.push_back(bytes);
    return static_cast<std::int32_t>(strings.size() - 1);
  }
  void merge(const std::string& left, const std::string& right) {
    merges.push_back({id_of(left), id_of(right), id_of(left + right)});
  }
  bool has(unicode::CodePoint c) {
    std::vector<std::int32_t> bytes(256);
    for (std::int32_t i = 0; i < 256; ++i) bytes[static_cast<std::size_t>(i)] = i;
    const auto walk = BpeWalk::build(bytes, merges, strings, MergeTable(merges, strings.size()));
    return closed_characters(walk.value(), merges, strings)[c] >= 0;
  }
};

TEST(ClosedCharacters, AreThoseWhoseBytesMergeBeforeAnythingAround) {
  Closed closed;
  closed.merge("\xE4", "\xB8");
  closed.merge("\xE4\xB8", "\xAD");  // U+4E2D
  EXPECT_TRUE(closed.has(0x4E2D));
  EXPECT_FALSE(closed.has(0x4E2E));  // not a token
  closed.merge("\xAD", "\xE4");      // later than the character itself
  closed.merge("x", "\xE4\xB8");
  closed.merge("\xE4\xB8\xAD", "\xE4");
  EXPECT_TRUE(closed.has(0x4E2D));
  closed.merge("\xE4\xB8", "\xAE");  // of which the last byte may have merged before
  EXPECT_FALSE(closed.has(0x4E2E));
}

TEST(ClosedCharacters, AreOpenWhereANeighbourMayTakeTheirEnds) {
  Closed at_end;
  at_end.merge("\xE4", "\xB8");
  at_end.merge("\xAD", "\xE5");
  at_end.merge("\xE4\xB8", "\xAD");
  EXPECT_FALSE(at_end.has(0x4E2D));
  Closed at_start;
  at_start.merge("\xE4", "\xB8");
  at_start.merge("x", "\xE4\xB8");
  at_start.merge("\xE4\xB8", "\xAD");
  EXPECT_FALSE(at_start.has(0x4E2D));
  Closed inside;  // what follows the byte AD is never 80 where a character ends
  inside.merge("\xAD", "\x80");
  inside.merge("\xE4", "\xB8");
  inside.merge("\xE4\xB8", "\xAD");
  EXPECT_TRUE(inside.has(0x4E2D));
}

}  // namespace
}  // namespace sheaf::tokenizer
