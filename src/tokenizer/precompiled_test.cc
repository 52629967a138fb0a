#include "tokenizer/precompiled.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include <fstream>
#include <map>
#include <sstream>

#include "base/base64.h"

namespace sheaf::tokenizer {
namespace {

using NormalizerPtr = std::unique_ptr<const Normalizer>;

Result<NormalizerPtr> precompiled_of(const std::string& charsmap) {
  simdjson::dom::parser parser;
  const std::string json = fmt::format(R"({{"precompiled_charsmap": "{}"}})", charsmap);
  return Precompiled::parse(JsonField(parser.parse(json).value(), "normalizer"));
}

std::string encode_base64(std::string_view bytes) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t bits = 0;
    for (std::size_t j = 0; j < 3; ++j)
      bits = bits << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0);
    for (std::size_t j = 0; j < 4; ++j)
      text += i + j <= bytes.size() ? kDigits[bits >> (18 - 6 * j) & 63] : '=';
  }
  return text;
}

void append_u32(std::string& out, std::uint32_t value) {
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(value >> shift & 0xFF);
}

std::string charsmap_of(const std::vector<std::uint32_t>& units, std::string_view texts) {
  std::string bytes;
  append_u32(bytes, static_cast<std::uint32_t>(4 * units.size()));
  for (const std::uint32_t unit : units) append_u32(bytes, unit);
  bytes += texts;
  return encode_base64(bytes);
}

// A charsmap with these rules. As in tests/tokenizer/charsmap.py, each node has a block to itself.
std::string charsmap_of(const std::map<std::string, std::string>& rules) {
  std::map<std::string, std::uint32_t> base;  // of each prefix
  for (const auto& [key, text] : rules) {
    for (std::size_t size = 0; size <= key.size(); ++size)
      base.emplace(key.substr(0, size), static_cast<std::uint32_t>(256 * (base.size() + 1)));
  }
  std::vector<std::uint32_t> units(256 * (base.size() + 1));
  units[0] = base.at("") << 10;
  for (const auto& [prefix, at] : base) {
    if (prefix.empty()) continue;
    const auto label = static_cast<unsigned char>(prefix.back());
    const std::uint32_t unit = base.at(prefix.substr(0, prefix.size() - 1)) ^ label;
    units[unit] = label | (unit ^ at) << 10 | (rules.contains(prefix) ? 0x100 : 0);
  }
  std::string texts;
  for (const auto& [key, text] : rules) {
    units[base.at(key)] = static_cast<std::uint32_t>(texts.size()) | 1U << 31;
    texts += text + '\0';
  }
  return charsmap_of(units, texts);
}

std::string normalized(const Normalizer& normalizer, std::string_view text) {
  TextBuffer buffer;
  normalizer.normalize(text, buffer);
  EXPECT_EQ(buffer.view(), normalizer.normalize_aligned(AlignedText(text)).text) << text;
  EXPECT_LE(buffer.view().size(), normalizer.size_max(text.size()));
  return std::string(buffer.view());
}

TEST(Precompiled, AppliesRulesToCharacters) {
  const NormalizerPtr n =
      precompiled_of(charsmap_of({{"a", "xy"}, {"\u4E00", ""}, {"\n", " "}})).value();
  EXPECT_EQ(normalized(*n, "banana \u4E00\u4E01\n"), "bxynxynxy \u4E01 ");
  EXPECT_EQ(normalized(*n, std::string_view("a\0b", 3)), std::string_view("xy\0b", 4));
  EXPECT_EQ(normalized(*n, ""), "");
}

TEST(Precompiled, ShortClustersAreReplacedWhole) {
  const NormalizerPtr n =
      precompiled_of(charsmap_of({{"e\u0301", "\u00E9"}, {"a", "x"}, {"\r", "R"}})).value();
  EXPECT_EQ(normalized(*n, "e\u0301e\u0302"), "\u00E9e\u0302");
  EXPECT_EQ(normalized(*n, "a\u0301\u0301b"), "xb");  // five bytes: the rule for "a"
  EXPECT_EQ(normalized(*n, "a\u0301\u0301\u0301"), "x\u0301\u0301\u0301");  // seven
  EXPECT_EQ(normalized(*n, "\r\n\r"), "RR");
}

TEST(Precompiled, OriginsMoveAsInHuggingFace) {
  const NormalizerPtr n = precompiled_of(charsmap_of({{"a", "xy"}, {"b", ""}})).value();
  const AlignedText text = n->normalize_aligned(AlignedText("cabd", 10));
  EXPECT_EQ(text.text, "cxyd");
  // The "y" that was added takes the place of the "b" that vanished.
  EXPECT_EQ(text.origins, (std::vector<Piece>{{10, 11}, {11, 12}, {12, 13}, {13, 14}}));
  // A character that vanishes at the beginning shifts all others.
  const AlignedText shifted = n->normalize_aligned(AlignedText("bcd"));
  EXPECT_EQ(shifted.origins, (std::vector<Piece>{{0, 1}, {1, 2}}));
}

TEST(Precompiled, ReadsTheCharsmapOfNmtNfkc) {
  std::ostringstream json;
  json << std::ifstream(SHEAF_SOURCE_DIR "/tests/golden/tokenizer/unigram.json").rdbuf();
  simdjson::dom::parser parser;
  const simdjson::dom::element document = parser.parse(json.str()).value();
  const NormalizerPtr n =
      Precompiled::parse(JsonField(document["normalizer"].value(), "normalizer")).value();
  EXPECT_EQ(normalized(*n, "\uFF21\u2460 \u3326\u3000\uFB01e\u0301\u200B|"),
            "A1 \u30C9\u30EB fi\u00E9 |");
  for (unicode::CodePoint c = 1; c < unicode::kCodePoints; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text = "plain ascii a";
    unicode::append_utf8(c, text);
    normalized(*n, text + "\u0301b");
  }
}

struct HostileCharsmap {
  std::string charsmap;
  const char* message;
};

TEST(Precompiled, RefusesHostileCharsmaps) {
  constexpr std::uint32_t kLeaf = 0x100;
  // The root's children are counted from 256.
  std::vector<std::uint32_t> units(1024);
  units[0] = 256 << 10;
  const auto with = [&](std::uint32_t index, std::uint32_t unit) {
    std::vector<std::uint32_t> changed = units;
    changed[index] = unit;
    return changed;
  };
  const std::uint32_t a = 256 ^ 'a', lead = 256 ^ 0xE4;
  std::vector<std::uint32_t> far = with(a, 'a' | (a ^ 512) << 10 | kLeaf);
  far[512] = 1000;
  std::vector<std::uint32_t> inside = far;
  inside[512] = 1;
  const HostileCharsmap hostile[] = {
      {"!", "is not base64"},
      {"", "is too short"},
      {charsmap_of({}, "x"), "its double array has 0 bytes"},
      {encode_base64(std::string_view("@\0\0\0wxyz", 8)),
       "its double array has 64 bytes, but 4 are left"},
      {charsmap_of(units, "\xFF"), "its texts are not UTF-8"},
      {charsmap_of(far, "abc"), "points outside its texts"},
      {charsmap_of(with(a, 'a' | (a ^ 4096) << 10 | kLeaf), "abc"), "points outside its texts"},
      {charsmap_of(inside, "\u00E9"), "points into a character"},
      {charsmap_of(inside, std::string(300, 'x')), "more than 255 bytes"},
      {charsmap_of(with(lead, 0xE4 | (lead ^ 512) << 10 | kLeaf), ""), "a part of a character"},
  };
  for (const HostileCharsmap& h : hostile) {
    const auto parsed = precompiled_of(h.charsmap);
    ASSERT_FALSE(parsed.ok()) << h.message;
    EXPECT_NE(parsed.error().message.find(h.message), std::string::npos) << parsed.error().message;
    EXPECT_NE(parsed.error().message.find("normalizer.precompiled_charsmap"), std::string::npos);
  }
}

TEST(Precompiled, RefusesAnArrayThatBitesItsTail) {
  std::vector<std::uint32_t> units(512);
  units[0] = 256 << 10;
  for (std::uint32_t label = 1; label < 0x80; ++label)
    units[256 ^ label] = label | (256 ^ label ^ 256) << 10;  // every child leads back to the root
  const auto parsed = precompiled_of(charsmap_of(units, ""));
  ASSERT_FALSE(parsed.ok());
  EXPECT_NE(parsed.error().message.find("is no tree"), std::string::npos) << parsed.error().message;
}

TEST(Precompiled, NoCutOfACharsmapCrashes) {
  const std::string whole =
      decode_base64(charsmap_of({{"a", "xy"}, {"\u4E00", "one"}, {"e\u0301", "\u00E9"}})).value();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto parsed = precompiled_of(encode_base64(whole.substr(0, size)));
    if (parsed.ok()) normalized(**parsed, "banana \u4E00 e\u0301");
  }
}

}  // namespace
}  // namespace sheaf::tokenizer
