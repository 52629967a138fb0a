#include "tokenizer/unigram.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include <chrono>

namespace sheaf::tokenizer {
namespace {

using ModelPtr = std::unique_ptr<const Model>;

Result<ModelPtr> unigram_of(const std::string& json) {
  simdjson::dom::parser parser;
  return Unigram::parse(JsonField(parser.parse(json).value(), "model"));
}

ModelPtr model(std::string_view vocabulary, std::string_view more = "") {
  return unigram_of(
             fmt::format(R"({{"unk_id": 0, "vocab": [["<unk>", 0], {}] {}}})", vocabulary, more))
      .value();
}

std::vector<std::int32_t> ids_of(const Model& model, std::string_view text) {
  const std::vector<Piece> pieces{{0, text.size()}};
  std::vector<std::int32_t> ids;
  model.encode(text, pieces, ids);
  std::vector<PlacedId> placed;
  model.encode_placed(text, pieces, placed);
  std::vector<std::int32_t> placed_ids;
  for (const PlacedId& p : placed) placed_ids.push_back(p.id);
  EXPECT_EQ(ids, placed_ids);
  return ids;
}

using Ids = std::vector<std::int32_t>;

TEST(Unigram, TakesTheHighestSum) {
  const ModelPtr m = model(R"(["a", -1], ["b", -1], ["c", -1], ["ab", -1.5], ["bc", -1.4])");
  EXPECT_EQ(ids_of(*m, "abc"), (Ids{1, 5}));
  EXPECT_EQ(ids_of(*m, "ab"), (Ids{4}));
  EXPECT_EQ(ids_of(*m, ""), (Ids{}));
}

TEST(Unigram, AmongEqualsTheFirstFoundWins) {
  // Both end in "c" with -2; the way over "ab" and "c" starts its last token later, so "bc" is
  // offered first and stays.
  const ModelPtr m = model(R"(["a", -1], ["b", -1], ["c", -1], ["ab", -1], ["bc", -1])");
  EXPECT_EQ(ids_of(*m, "abc"), (Ids{1, 5}));
}

TEST(Unigram, NeighbouringUnknownsAreOneToken) {
  const ModelPtr m = model(R"(["a", -1])");
  EXPECT_EQ(ids_of(*m, "xya\u4E00z"), (Ids{0, 1, 0}));
  // The unknown token itself, written out, is unknown too.
  EXPECT_EQ(ids_of(*m, "x<unk>y"), (Ids{0}));
  std::vector<PlacedId> placed;
  m->encode_placed("_xya", std::vector<Piece>{{1, 4}}, placed);
  ASSERT_EQ(placed.size(), 2u);
  EXPECT_EQ(placed[0].place, (Piece{1, 3}));
  EXPECT_TRUE(placed[0].shown_as_place);
}

TEST(Unigram, FusedUnknownsMayBeAToken) {
  // Two unknowns sum up to 180, the token has 100; fused they are looked up again.
  const ModelPtr m = model(R"(["xy", 100])");
  const ModelPtr high =
      unigram_of(R"({"unk_id": 0, "vocab": [["<unk>", 200], ["xy", 100]]})").value();
  EXPECT_EQ(ids_of(*m, "xy"), (Ids{1}));
  EXPECT_EQ(ids_of(*high, "xyxy"), (Ids{0}));
  EXPECT_EQ(ids_of(*high, "xy"), (Ids{1}));
}

TEST(Unigram, ByteFallbackNeedsAllBytes) {
  const ModelPtr m =
      model(R"(["a", -1], ["<0xC3>", 0], ["<0xA9>", 0])", R"(, "byte_fallback": true)");
  EXPECT_EQ(ids_of(*m, "\u00E9a"), (Ids{2, 3, 1}));
  EXPECT_EQ(ids_of(*m, "\u00E9\u00E8a"), (Ids{0, 1}));
  const ModelPtr without = model(R"(["a", -1], ["<0xC3>", 0], ["<0xA9>", 0])");
  EXPECT_EQ(ids_of(*without, "\u00E9a"), (Ids{0, 1}));
}

TEST(Unigram, OfTwinsTheLastCounts) {
  const ModelPtr m = model(R"(["a", -1], ["b", -3], ["ab", -9], ["ab", -2])");
  EXPECT_EQ(ids_of(*m, "ab"), (Ids{4}));
  EXPECT_EQ(m->vocabulary().token_of(3), "ab");
  EXPECT_EQ(m->vocabulary().size(), 5u);
}

// Time that grows with the square of the length would be minutes, not seconds.
TEST(Unigram, MegabyteOfOneLetterIsQuick) {
  const ModelPtr m = model(R"(["a", -1], ["aa", -1.5], ["aaaaaaaaaaaaaaaa", -2])");
  for (const char letter : {'a', 'b'}) {
    const std::string text(1 << 20, letter);
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(ids_of(*m, text).size(), letter == 'a' ? text.size() / 16 : 1u);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
  }
}

struct HostileUnigram {
  const char* json;
  const char* message;
};

TEST(Unigram, ErrorsNameTheField) {
  const HostileUnigram hostile[] = {
      {R"({"unk_id": 0})", R"(model: "vocab" is missing)"},
      {R"({"vocab": [["a", 0]]})", R"(model: "unk_id" is missing)"},
      {R"({"unk_id": null, "vocab": [["a", 0]]})", R"(model: "unk_id" is missing)"},
      {R"({"unk_id": 1, "vocab": [["a", 0]]})",
       "model.unk_id: must be below the 1 items of model.vocab, is 1"},
      {R"({"unk_id": 0, "vocab": []})", "model.unk_id: must be below the 0 items"},
      {R"({"unk_id": 0, "vocab": {"a": 0}})", "model.vocab: must be an array, is an object"},
      {R"({"unk_id": 0, "vocab": [["a", 0], ["b"]]})",
       "model.vocab: item 1 must be a piece and its score"},
      {R"({"unk_id": 0, "vocab": [["a", 0, 0]]})", "model.vocab: item 0 must be"},
      {R"({"unk_id": 0, "vocab": [["a", "0"]]})", "model.vocab: item 0 must be"},
      {R"({"unk_id": 0, "vocab": [["a", 0]], "byte_fallback": 1})",
       "model.byte_fallback: must be a boolean"},
  };
  for (const HostileUnigram& h : hostile) {
    const auto parsed = unigram_of(h.json);
    ASSERT_FALSE(parsed.ok()) << h.json;
    EXPECT_NE(parsed.error().message.find(h.message), std::string::npos) << parsed.error().message;
  }
}

}  // namespace
}  // namespace sheaf::tokenizer
