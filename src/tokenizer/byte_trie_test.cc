#include "tokenizer/byte_trie.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

namespace sheaf::tokenizer {
namespace {

using Keys =
    std::map<std::string, std::int32_t>;  // ordered as unsigned bytes, like the trie's input

ByteTrie build(const Keys& keys) {
  std::vector<ByteTrie::Entry> entries;
  for (const auto& [key, value] : keys) entries.push_back({key, value});
  return ByteTrie::build(entries).value();
}

ByteTrie::Match slow_longest_match(const Keys& keys, std::string_view text) {
  for (std::size_t size = text.size(); size > 0; --size) {
    const auto found = keys.find(std::string(text.substr(0, size)));
    if (found != keys.end()) return {found->second, size};
  }
  return {};
}

TEST(ByteTrie, EmptyMatchesNothing) {
  const ByteTrie trie = build({});
  EXPECT_EQ(trie.longest_match(trie.root(), "a").value, -1);
  EXPECT_EQ(trie.longest_match(trie.root(), std::string_view("\0", 1)).value, -1);
  EXPECT_FALSE(trie.find(""));
  EXPECT_EQ(trie.longest_match(trie.after("x"), "a").value, -1);
}

TEST(ByteTrie, FindsTheLongestKeyBehindAPrefix) {
  const ByteTrie trie =
      build({{"a", 1}, {"abc", 2}, {"##b", 3}, {"##", 4}, {std::string("\0\xff", 2), 5}});
  EXPECT_EQ(trie.longest_match(trie.root(), "abd").size, 1u);
  EXPECT_EQ(trie.longest_match(trie.root(), "abcd").value, 2);
  EXPECT_EQ(trie.longest_match(trie.after("##"), "bx").value, 3);
  EXPECT_EQ(trie.longest_match(trie.after("##"), "bx").size, 1u);
  EXPECT_EQ(trie.longest_match(trie.after("##"), "").value, -1);
  EXPECT_EQ(trie.find(std::string_view("\0\xff", 2)), 5);
  EXPECT_FALSE(trie.find("ab"));
}

// Random byte strings over alphabets from 2 to 256 letters, so that nodes have few children or all.
TEST(ByteTrie, AgreesWithASlowSearch) {
  std::mt19937 random(5);
  for (const unsigned letters : {2u, 5u, 60u, 256u}) {
    const auto word = [&](std::size_t size_max) {
      std::string result(1 + random() % size_max, '\0');
      for (char& c : result) c = static_cast<char>(random() % letters);
      return result;
    };
    Keys keys;
    for (int i = 0; i < 5000; ++i) keys.emplace(word(7), i);
    const ByteTrie trie = build(keys);
    for (const auto& [key, value] : keys) ASSERT_EQ(trie.find(key), value);
    for (int i = 0; i < 20000; ++i) {
      const std::string text = word(9);
      const ByteTrie::Match expected = slow_longest_match(keys, text);
      const ByteTrie::Match match = trie.longest_match(trie.root(), text);
      ASSERT_EQ(match.value, expected.value);
      ASSERT_EQ(match.size, expected.size);
    }
  }
}

TEST(ByteTrie, OneVeryLongKey) {
  const std::string key(1 << 20, 'x');
  const ByteTrie trie = build({{key, 7}});
  EXPECT_EQ(trie.find(key), 7);
  EXPECT_FALSE(trie.find(key.substr(1)));
}

TEST(ByteTrie, RefusesMoreNodesThanItCanAddress) {
  const std::string key(std::size_t{1} << 25, 'x');
  const ByteTrie::Entry entry{key, 1};
  EXPECT_FALSE(ByteTrie::build({&entry, 1}));
}

}  // namespace
}  // namespace sheaf::tokenizer
