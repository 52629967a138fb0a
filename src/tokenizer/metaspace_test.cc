#include "tokenizer/metaspace.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include "tokenizer/aligned_text.h"

namespace sheaf::tokenizer {
namespace {

using PrependScheme = MetaspaceOptions::Prepend;

// The pieces of `text`, parted by '|', of which the first `offset` bytes are not shown to it.
std::string pieces_of(const PreTokenizer& pre_tokenizer, std::string_view text,
                      std::size_t offset = 0) {
  AlignedText aligned(text, offset);
  PreTokenized pre_tokenized;
  pre_tokenized.origins = &aligned.origins;
  pre_tokenized.start(aligned.text);
  EXPECT_TRUE(pre_tokenizer.apply(pre_tokenized).ok());
  EXPECT_EQ(aligned.origins.size(), pre_tokenized.text.size());
  std::string result;
  for (const Piece& piece : pre_tokenized.pieces) {
    if (!result.empty()) result += '|';
    result += piece.of(pre_tokenized.text);
  }
  return result;
}

TEST(Metaspace, PrependsAndCuts) {
  const Metaspace always({"_", PrependScheme::always, true});
  EXPECT_EQ(pieces_of(always, "a b  c "), "_a|_b|_|_c|_");
  EXPECT_EQ(pieces_of(always, " a"), "_a");
  EXPECT_EQ(pieces_of(always, "_a_b"), "_a|_b");
  EXPECT_EQ(pieces_of(always, ""), "");
  EXPECT_EQ(pieces_of(Metaspace({"_", PrependScheme::never, true}), "a b"), "a|_b");
  EXPECT_EQ(pieces_of(Metaspace({"\u2581", PrependScheme::always, false}), "a b"),
            "\u2581a\u2581b");
}

TEST(Metaspace, FirstPrependsOnlyWhereTheTextBegins) {
  const Metaspace first({"_", PrependScheme::first, true});
  EXPECT_EQ(pieces_of(first, "a b"), "_a|_b");
  EXPECT_EQ(pieces_of(first, "a b", 3), "a|_b");
  EXPECT_TRUE(first.needs_origins());
}

Result<MetaspaceOptions> metaspace_of(const std::string& json) {
  simdjson::dom::parser parser;
  return MetaspaceOptions::parse(JsonField(parser.parse(json).value(), "pre_tokenizer"));
}

TEST(Metaspace, ReadsOldAndNewOptions) {
  EXPECT_EQ(metaspace_of(R"({"replacement": "_", "add_prefix_space": true})").value().prepend,
            PrependScheme::always);
  const auto never =
      metaspace_of(R"({"replacement": "_", "add_prefix_space": false, "prepend_scheme": "never"})");
  EXPECT_EQ(never.value().prepend, PrependScheme::never);
  EXPECT_FALSE(metaspace_of(R"({"replacement": "_", "split": false})").value().split);
  const std::pair<const char*, const char*> hostile[] = {
      {R"({})", R"("replacement" is missing)"},
      {R"({"replacement": "ab"})", R"(replacement: must be one character, is "ab")"},
      {R"({"replacement": ""})", R"(replacement: must be one character, is "")"},
      {R"({"replacement": "_", "prepend_scheme": "last"})",
       R"(prepend_scheme: must be "always", "first" or "never", is "last")"},
      {R"({"replacement": "_", "add_prefix_space": false})",
       R"(add_prefix_space: is false, but prepend_scheme is not "never")"},
      {R"({"replacement": "_", "split": 1})", "split: must be a boolean"},
  };
  for (const auto& [json, message] : hostile) {
    const auto parsed = metaspace_of(json);
    ASSERT_FALSE(parsed.ok()) << json;
    EXPECT_NE(parsed.error().message.find(message), std::string::npos) << parsed.error().message;
  }
}

}  // namespace
}  // namespace sheaf::tokenizer
