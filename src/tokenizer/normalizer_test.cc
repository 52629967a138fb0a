#include "tokenizer/normalizer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <simdjson.h>

namespace sheaf::tokenizer {
namespace {

Result<std::unique_ptr<const Normalizer>> normalizer_of(const std::string& json) {
  simdjson::dom::parser parser;
  return Normalizer::parse(JsonField(parser.parse(json).value(), "normalizer"));
}

std::string normalized(const std::string& json, std::string_view text) {
  const auto normalizer = normalizer_of(json).value();
  TextBuffer buffer;
  normalizer->normalize(text, buffer);
  const AlignedText aligned = normalizer->normalize_aligned(AlignedText(text));
  EXPECT_EQ(buffer.view(), aligned.text);
  EXPECT_EQ(aligned.origins.size(), aligned.text.size());
  return aligned.text;
}

TEST(Normalizer, SmallOnes) {
  EXPECT_EQ(normalized(R"({"type": "Lowercase"})", "A\u00C9\u0130\u03A3"), "a\u00E9i\u0307\u03C3");
  EXPECT_EQ(normalized(R"({"type": "Nmt"})", "a\x01\tb\u200B\u2581\u008F"), "a b  ");
  EXPECT_EQ(normalized(R"({"type": "Prepend", "prepend": "_"})", "ab"), "_ab");
  EXPECT_EQ(normalized(R"({"type": "Prepend", "prepend": "_"})", ""), "");
  EXPECT_EQ(
      normalized(R"({"type": "Strip", "strip_left": true, "strip_right": true})", " \u3000a \n"),
      "a");
  EXPECT_EQ(normalized(R"({"type": "Strip", "strip_left": true, "strip_right": true})", " \n"), "");
  EXPECT_EQ(normalized(R"({"type": "Strip", "strip_left": false, "strip_right": true})", " a "),
            " a");
  EXPECT_EQ(normalized(R"({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "_"})",
                       "a  b c   "),
            "a_b c_");
  EXPECT_EQ(
      normalized(R"({"type": "Replace", "pattern": {"String": "a"}, "content": ""})", "banana"),
      "bnn");
}

TEST(Normalizer, Sequence) {
  const std::string upper = R"({"type": "Replace", "pattern": {"String": "a"}, "content": "BB"})";
  const std::string lower = R"({"type": "Lowercase"})";
  const auto sequence = [](const std::string& parts) {
    return R"({"type": "Sequence", "normalizers": [)" + parts + "]}";
  };
  EXPECT_EQ(normalized(sequence(""), "aB"), "aB");
  EXPECT_EQ(normalized(sequence(upper), "aC"), "BBC");
  EXPECT_EQ(normalized(sequence(upper + "," + lower), "aC"), "bbc");
  EXPECT_EQ(normalized(sequence(upper + "," + sequence(lower + "," + upper)), "aC"), "bbc");
}

TEST(Normalizer, ReplacementsComeFromTheLastCharacter) {
  const auto replace =
      normalizer_of(R"({"type": "Replace", "pattern": {"Regex": " +"}, "content": "__"})").value();
  EXPECT_EQ(replace->normalize_aligned(AlignedText("a   ", 5)).origins,
            (std::vector<Piece>{{5, 6}, {8, 9}, {8, 9}}));
}

TEST(Normalizer, RefusesWhatItDoesNotKnow) {
  const std::pair<std::string, std::string> hostile[] = {
      {R"({"type": "NFX"})", R"(normalizer.type: "NFX" is not supported)"},
      {R"({"type": "Sequence", "normalizers": [{"type": "NFX"}]})",
       R"(normalizer.normalizers[0].type: "NFX" is not supported)"},
      {R"({"type": "Strip", "strip_left": true})", R"(normalizer: "strip_right" is missing)"},
      {R"({"type": "Prepend", "prepend": ""})", "normalizer.prepend: is empty"},
      {R"({"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": ""})",
       R"(normalizer.pattern.Regex: "\\s+" is not supported)"},
      {R"({"type": "Precompiled", "precompiled_charsmap": null})",
       R"(normalizer: "precompiled_charsmap" is missing)"},
  };
  for (const auto& [json, message] : hostile) {
    const auto parsed = normalizer_of(json);
    ASSERT_FALSE(parsed.ok()) << json;
    EXPECT_NE(parsed.error().message.find(message), std::string::npos) << parsed.error().message;
  }
}

TEST(Normalizer, RefusesRulesThatMultiply) {
  const std::string twice = R"({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"})";
  const std::vector<std::string> many(20, twice);
  const std::string long_content =
      fmt::format(R"({{"type": "Replace", "pattern": {{"String": "a"}}, "content": "{}"}})",
                  std::string(1999, 'a'));
  for (const std::string& json :
       {fmt::format(R"({{"type": "Sequence", "normalizers": [{}]}})", fmt::join(many, ",")),
        long_content}) {
    const auto parsed = normalizer_of(json);
    ASSERT_FALSE(parsed.ok());
    EXPECT_NE(parsed.error().message.find("1024 times longer"), std::string::npos);
  }
}

}  // namespace
}  // namespace sheaf::tokenizer
