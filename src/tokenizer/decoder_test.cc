#include "tokenizer/decoder.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <simdjson.h>

namespace sheaf::tokenizer {
namespace {

using Tokens = std::vector<std::string>;

Result<std::unique_ptr<const Decoder>> decoder_of(const std::string& json) {
  simdjson::dom::parser parser;
  return Decoder::parse(JsonField(parser.parse(json).value(), "decoder"));
}

Tokens decoded(const std::string& json, Tokens tokens) {
  decoder_of(json).value()->decode(tokens);
  return tokens;
}

TEST(Decoder, Metaspace) {
  const std::string json = R"({"type": "Metaspace", "replacement": "_")";
  EXPECT_EQ(decoded(json + "}", {"_a_", "_b"}), (Tokens{"a", " b"}));
  EXPECT_EQ(decoded(json + R"(, "prepend_scheme": "never"})", {"_a", "b"}), (Tokens{" a", "b"}));
}

TEST(Decoder, ByteFallback) {
  const std::string json = R"({"type": "ByteFallback"})";
  EXPECT_EQ(decoded(json, {"a", "<0xC3>", "<0xA9>", "b", "<0x41>"}),
            (Tokens{"a", "\u00E9", "b", "A"}));
  EXPECT_EQ(decoded(json, {"<0xC3>", "<0x41>"}), (Tokens{"\uFFFD", "\uFFFD"}));
  EXPECT_EQ(decoded(json, {"<0xG1>", "<0x1>", "<0x041>"}), (Tokens{"<0xG1>", "<0x1>", "<0x041>"}));
}

TEST(Decoder, SequenceOfLlama) {
  const std::string json = R"({"type": "Sequence", "decoders": [
      {"type": "Replace", "pattern": {"String": "_"}, "content": " "}, {"type": "ByteFallback"},
      {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})";
  EXPECT_EQ(decoded(json, {"__a", "<0x62>", "_c_"}), (Tokens{" ab c "}));
  EXPECT_EQ(decoded(json, {}), (Tokens{""}));
}

TEST(Decoder, RefusesWhatItDoesNotKnow) {
  const auto unknown = decoder_of(R"({"type": "CTC"})");
  ASSERT_FALSE(unknown.ok());
  EXPECT_NE(unknown.error().message.find(R"(decoder.type: "CTC" is not supported)"),
            std::string::npos);
  const auto inner =
      decoder_of(R"({"type": "Sequence", "decoders": [{"type": "Strip", "content": "ab"}]})");
  ASSERT_FALSE(inner.ok());
  EXPECT_NE(inner.error().message.find(R"(decoder.decoders[0].content: must be one character)"),
            std::string::npos);
}

TEST(Decoder, RefusesRulesThatMultiply) {
  const std::string twice = R"({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"})";
  const auto parsed = decoder_of(fmt::format(R"({{"type": "Sequence", "decoders": [{}]}})",
                                             fmt::join(Tokens(20, twice), ",")));
  ASSERT_FALSE(parsed.ok());
  EXPECT_NE(parsed.error().message.find("256 times longer"), std::string::npos);
}

}  // namespace
}  // namespace sheaf::tokenizer
