#include "tokenizer/tokenizer.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

namespace sheaf::tokenizer {
namespace {

using TokenizerPtr = std::shared_ptr<const Tokenizer>;

const std::string kGolden = std::string(SHEAF_SOURCE_DIR) + "/tests/golden/tokenizer/";

std::string read_file(const std::string& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

std::string small_json() { return read_file(kGolden + "small.json"); }
TokenizerPtr small() { return Tokenizer::parse(small_json()).value(); }

// small.json with another post-processor, given as JSON.
std::string small_json_with(const std::string& post_processor) {
  std::string json = small_json();
  json.replace(json.find("\"post_processor\""), 16, "\"old_processor\"");
  return json.insert(1, "\"post_processor\": " + post_processor + ",");
}

// A small tokenizer as XLM-RoBERTa has it.
TokenizerPtr unigram() { return Tokenizer::load(kGolden + "unigram.json").value(); }

// small.json without one of its stages.
std::string small_json_without(const std::string& stage) {
  std::string json = small_json();
  return json.insert(json.find('"' + stage + '"') + 1, "no_");
}

// all-MiniLM-L6-v2, or null where the tests have no model.
TokenizerPtr minilm() {
  const char* folder = std::getenv("SHEAF_TEST_MODEL");
  if (folder == nullptr) return nullptr;
  return Tokenizer::load(std::string(folder) + "/tokenizer.json").value();
}

std::vector<std::int32_t> ids_of(const Tokenizer& tokenizer, std::string_view text,
                                 EncodeOptions options = {}) {
  std::vector<std::int32_t> ids;
  EXPECT_TRUE(tokenizer.encode(text, options, ids).ok());
  return ids;
}

std::string from_hex(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  }
  return bytes;
}

std::vector<std::int64_t> integers(simdjson::dom::element array) {
  std::vector<std::int64_t> result;
  const simdjson::dom::array items = array.get_array().value();
  for (const simdjson::dom::element item : items) {
    result.push_back(item.get_int64().value());
  }
  return result;
}

EncodeOptions options_of(simdjson::dom::element expected) {
  return {.add_special_tokens = expected["special"].get_bool().value(),
          .max_tokens = expected["limit"].get_uint64().value(),
          .truncation_side = expected["left"].get_bool().value() ? Side::left : Side::right};
}

void check_case(const Tokenizer& tokenizer, simdjson::dom::element expected) {
  const std::string text = from_hex(expected["hex"].get_string().value());
  SCOPED_TRACE(text);
  const EncodeOptions options = options_of(expected);
  std::vector<std::int32_t> ids{-7};  // what was there stays there
  EXPECT_EQ(tokenizer.encode(text, options, ids).value(), expected["total"].get_uint64().value());
  const std::vector<std::int64_t> expected_ids = integers(expected["ids"].value());
  EXPECT_EQ(ids.front(), -7);
  EXPECT_EQ(std::vector<std::int64_t>(ids.begin() + 1, ids.end()), expected_ids);

  std::vector<std::int64_t> placed_ids, places;
  const std::vector<Token> tokens = tokenizer.encode_tokens(text, options).value();
  for (const Token& token : tokens) {
    placed_ids.push_back(token.id);
    places.push_back(token.start);
    places.push_back(token.stop);
  }
  EXPECT_EQ(placed_ids, expected_ids);
  EXPECT_EQ(places, integers(expected["places"].value()));
  const auto decoded = tokenizer.decode({ids.begin() + 1, ids.end()}, true);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded.value(), expected["decoded"].get_string().value());
}

void check_cases(const Tokenizer& tokenizer, const std::string& name, std::size_t count) {
  simdjson::dom::parser parser;
  const simdjson::dom::array cases = parser.load(kGolden + name).get_array().value();
  ASSERT_EQ(cases.size(), count);
  for (const simdjson::dom::element expected : cases) check_case(tokenizer, expected);
}

TEST(Tokenizer, SmallGoldenCases) { check_cases(*small(), "small_cases.json", 400); }

TEST(Tokenizer, UnigramGoldenCases) {
  const TokenizerPtr tokenizer = unigram();
  check_cases(*tokenizer, "unigram_cases.json", 500);
  EXPECT_EQ(tokenizer->vocab_size(), 3002u);
  EXPECT_EQ(tokenizer->special_tokens_added(), 2u);
}

TEST(Tokenizer, ByteLevelGoldenCases) {
  check_cases(*Tokenizer::load(kGolden + "byte_level.json").value(), "byte_level_cases.json", 300);
}

TEST(Tokenizer, MiniLmGoldenCases) {
  const TokenizerPtr tokenizer = minilm();
  if (!tokenizer) GTEST_SKIP() << "SHEAF_TEST_MODEL is not set";
  check_cases(*tokenizer, "minilm_cases.json", 600);
  EXPECT_EQ(tokenizer->vocab_size(), 30522u);
  EXPECT_EQ(tokenizer->special_tokens_added(), 2u);
}

void check_pair(const Tokenizer& tokenizer, simdjson::dom::element expected) {
  const std::string first = from_hex(expected["hex"].at(0).get_string().value());
  const std::string second = from_hex(expected["hex"].at(1).get_string().value());
  SCOPED_TRACE(first + " | " + second);
  std::vector<std::int32_t> ids{-7};  // what was there stays there
  const EncodedPair pair = tokenizer.encode_pair(first, second, options_of(expected), ids).value();
  EXPECT_EQ(pair.tokens, expected["total"].get_uint64().value());
  EXPECT_EQ(pair.second_at, expected["second_at"].get_uint64().value());
  EXPECT_EQ(ids.front(), -7);
  EXPECT_EQ(std::vector<std::int64_t>(ids.begin() + 1, ids.end()),
            integers(expected["ids"].value()));
}

TEST(Tokenizer, PairGoldenCases) {
  simdjson::dom::parser parser;
  std::size_t count = 0;
  const simdjson::dom::array groups = parser.load(kGolden + "pair_cases.json").get_array().value();
  for (const simdjson::dom::element group : groups) {
    simdjson::dom::element processor;
    const bool other = group["post_processor"].get(processor) == simdjson::SUCCESS;
    const std::string file(group["file"].get_string().value());
    const std::string json =
        other ? small_json_with(simdjson::minify(processor)) : read_file(kGolden + file);
    SCOPED_TRACE(other ? simdjson::minify(processor) : file);
    const TokenizerPtr tokenizer = Tokenizer::parse(json).value();
    const simdjson::dom::array cases = group["cases"].get_array().value();
    for (const simdjson::dom::element expected : cases) check_pair(*tokenizer, expected);
    count += cases.size();
  }
  EXPECT_EQ(count, 640u);
}

// Token types and pieces of a pair template as `pair`, and why it cannot be used.
struct OddPair {
  const char* name;
  const char* pair;  // A and B with types, or S for a special token: "S0 A0 B1"
  const char* message;
  friend void PrintTo(const OddPair& odd, std::ostream* out) { *out << odd.name; }
};

std::string template_with_pair(std::string_view pair) {
  std::string pieces;
  for (std::size_t i = 0; i < pair.size(); i += 3) {
    const std::string id = pair[i] == 'S' ? "[SEP]" : std::string(1, pair[i]);
    pieces += std::string(i > 0 ? "," : "") +
              (pair[i] == 'S' ? "{\"SpecialToken\"" : "{\"Sequence\"") + R"(: {"id": ")" + id +
              R"(", "type_id": )" + pair[i + 1] + "}}";
  }
  return R"({"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}],
             "pair": [)" +
         pieces +
         R"(], "special_tokens": {"[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}})";
}

class OddPairTemplate : public testing::TestWithParam<OddPair> {};

TEST_P(OddPairTemplate, EncodesSingleTextsOnly) {
  const auto tokenizer = Tokenizer::parse(small_json_with(template_with_pair(GetParam().pair)));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  EXPECT_EQ(ids_of(**tokenizer, "the cat").size(), 2u);
  std::vector<std::int32_t> ids{-7};
  const auto pair = (*tokenizer)->encode_pair("the", "cat", {}, ids);
  ASSERT_FALSE(pair.ok());
  EXPECT_EQ(ids, std::vector{-7});
  EXPECT_EQ(pair.error().code, ErrorCode::unsupported);
  EXPECT_EQ(pair.error().message,
            std::string("tokenizer.json: post_processor.pair: ") + GetParam().message);
}

constexpr const char* kTypes = "type_id must be 0 up to some place and 1 from there on";
constexpr const char* kPlaces = "must hold the sequence A once and behind it B once";

INSTANTIATE_TEST_SUITE_P(
    All, OddPairTemplate,
    testing::Values(OddPair{"empty", "", kPlaces}, OddPair{"only_a", "S0 A0 S0", kPlaces},
                    OddPair{"only_b", "B0", kPlaces}, OddPair{"b_first", "B0 A0", kPlaces},
                    OddPair{"a_twice", "A0 A0 B1", kPlaces},
                    OddPair{"b_twice", "A0 B1 S1 B1", kPlaces},
                    OddPair{"types_fall", "A0 B1 S0", kTypes},
                    OddPair{"type_2", "A0 B1 S2", kTypes},
                    OddPair{"type_1_first", "S1 A0 B1", kTypes},
                    OddPair{"all_type_1", "A1 B1", "the sequence A must have the type_id 0"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(Tokenizer, TwoJoinersOfPairsAreRefused) {
  const std::string twice = R"({"type": "Sequence", "processors": [)" +
                            template_with_pair("A0 S0 B1") + "," + template_with_pair("A0 B1") +
                            "]}";
  const TokenizerPtr tokenizer = Tokenizer::parse(small_json_with(twice)).value();
  std::vector<std::int32_t> ids;
  const auto pair = tokenizer->encode_pair("the", "cat", {}, ids);
  ASSERT_FALSE(pair.ok());
  EXPECT_NE(pair.error().message.find("post_processor.processors[1]: a second"), std::string::npos)
      << pair.error().message;
}

TEST(Tokenizer, AddsTokensWhereTheFileHasNone) {
  const Additions both = {.before = "[CLS]", .after = "[SEP]"};
  const auto added = Tokenizer::parse(small_json_without("post_processor"), both).value();
  EXPECT_EQ(ids_of(*added, "the cat sat"), ids_of(*small(), "the cat sat"));
  EXPECT_EQ(ids_of(*added, "the cat sat", {.max_tokens = 3}),
            (std::vector<std::int32_t>{2, 21, 3}));
  EXPECT_EQ(added->special_tokens_added(), 2u);
  EXPECT_TRUE(added->encode_tokens("the", {}).value().back().special);
  std::vector<std::int32_t> pair;
  const auto encoded = added->encode_pair("the", "cat", {}, pair);
  EXPECT_EQ(pair, (std::vector<std::int32_t>{2, 21, 3, 2, 22, 3}));
  EXPECT_EQ(encoded->second_at, 3u);

  // A word of the vocabulary will do, on one side.
  const auto after =
      Tokenizer::parse(small_json_without("post_processor"), {.after = "mat"}).value();
  EXPECT_EQ(ids_of(*after, "the"), (std::vector<std::int32_t>{21, 25}));
  EXPECT_EQ(ids_of(*after, "the", {.add_special_tokens = false}), (std::vector<std::int32_t>{21}));

  // Where the file has its own, that is right: Qwen3-Embedding's config names another.
  const auto own = Tokenizer::parse(small_json(), {.before = "[MASK]", .after = "[PAD]"}).value();
  EXPECT_EQ(ids_of(*own, "the"), ids_of(*small(), "the"));

  const auto unknown = Tokenizer::parse(small_json_without("post_processor"), {.after = "</s>"});
  ASSERT_FALSE(unknown.ok());
  EXPECT_NE(unknown.error().message.find("\"</s>\""), std::string::npos) << unknown.error().message;
}

TEST(Tokenizer, MakesLowerCaseWhereTheFileDoesNot) {
  const std::string cased = small_json_without("normalizer");
  EXPECT_NE(ids_of(*Tokenizer::parse(cased).value(), "The CAT"), ids_of(*small(), "the cat"));
  const auto lower = Tokenizer::parse(cased, {.lower_case = true}).value();
  EXPECT_EQ(ids_of(*lower, "The CAT"), ids_of(*small(), "the cat"));
  EXPECT_EQ(lower->encode_tokens("The CAT", {}).value()[2].stop, 7);

  // What the file's normalizer does otherwise comes behind it.
  std::string json = small_json();
  json.replace(json.find("\"lowercase\": true"), 17, "\"lowercase\": false");
  EXPECT_NE(ids_of(*Tokenizer::parse(json).value(), "THE\u4E00"), ids_of(*small(), "the\u4E00"));
  const auto parsed = Tokenizer::parse(json, {.lower_case = true}).value();
  EXPECT_EQ(ids_of(*parsed, "THE\u4E00"), ids_of(*small(), "the\u4E00"));
}

TEST(Tokenizer, Truncates) {
  const TokenizerPtr tokenizer = small();
  const std::vector<std::int32_t> all = ids_of(*tokenizer, "the cat sat");
  ASSERT_EQ(all.size(), 5u);
  std::vector<std::int32_t> ids;
  EXPECT_EQ(tokenizer->encode("the cat sat", {.max_tokens = 4}, ids).value(), 5u);
  EXPECT_EQ(ids, (std::vector{all[0], all[1], all[2], all[4]}));
  ids.clear();
  EXPECT_EQ(tokenizer->encode("the cat sat", {.max_tokens = 4, .truncation_side = Side::left}, ids)
                .value(),
            5u);
  EXPECT_EQ(ids, (std::vector{all[0], all[2], all[3], all[4]}));
  // Fewer than the special tokens need: still never more than asked for.
  EXPECT_EQ(ids_of(*tokenizer, "the cat sat", {.max_tokens = 1}), (std::vector{all[0]}));
  EXPECT_EQ(ids_of(*tokenizer, "the cat", {.add_special_tokens = false, .max_tokens = 1}),
            (std::vector{all[1]}));
}

TEST(Tokenizer, PlacesAreBytesOfTheTextGiven) {
  const std::vector<Token> tokens = small()->encode_tokens("\xFF\u00D6t the", {}).value();
  ASSERT_EQ(tokens.size(), 5u);
  EXPECT_TRUE(tokens[0].special);
  EXPECT_EQ(tokens[0].text, "[CLS]");
  EXPECT_EQ(tokens[0].start, -1);
  EXPECT_EQ(tokens[1].text, "o");
  EXPECT_EQ(tokens[1].start, 1);
  EXPECT_EQ(tokens[1].stop, 3);
  EXPECT_EQ(tokens[2].text, "##t");
  EXPECT_EQ(tokens[3].start, 5);
  EXPECT_EQ(tokens[3].stop, 8);
}

TEST(Tokenizer, DecodeRefusesUnknownIds) {
  const TokenizerPtr tokenizer = small();
  EXPECT_EQ(tokenizer->decode({}, false).value(), "");
  for (const std::int32_t id : {-1, 1 << 30}) {
    const auto decoded = tokenizer->decode({id}, false);
    ASSERT_FALSE(decoded.ok());
    EXPECT_NE(decoded.error().message.find(std::to_string(id)), std::string::npos);
  }
}

TEST(Tokenizer, MegabyteWithoutSpaceIsOneUnknownToken) {
  const TokenizerPtr tokenizer = small();
  for (const std::string unit : {"a", "\u00E9", "\u1100", "\u302E"}) {
    std::string text;
    while (text.size() < 1'000'000) text += unit;
    EXPECT_EQ(ids_of(*tokenizer, text).size(), 3u);
  }
  EXPECT_EQ(ids_of(*tokenizer, std::string(1'000'000, '[')).size(), 1'000'002u);
  EXPECT_EQ(ids_of(*tokenizer, std::string(1'000'000, ' ')).size(), 2u);
}

// Time that grows with the square of the length would be minutes for each.
TEST(Tokenizer, UnigramReadsHostileMegabytes) {
  const TokenizerPtr tokenizer = unigram();
  for (const std::string unit :
       {"a", " ", "\u2581", "\u0301", "e\u0301", "\U0001F469\u200D", "\u4E00", "\u0915\u094D",
        "\u1100", "\uFDFA", "\r\n", "\xF0\x9F", "<mask", "\u00A9\u200D"}) {
    std::string text;
    while (text.size() < 1'000'000) text += unit;
    const std::vector<std::int32_t> ids = ids_of(*tokenizer, text);
    EXPECT_GE(ids.size(), 2u) << unit;
    // The other path agrees, on as much as it can do in a test.
    const std::vector<Token> tokens = tokenizer->encode_tokens(text.substr(0, 30'000), {}).value();
    const std::vector<std::int32_t> part = ids_of(*tokenizer, text.substr(0, 30'000));
    ASSERT_EQ(tokens.size(), part.size()) << unit;
    for (std::size_t i = 0; i < part.size(); ++i) ASSERT_EQ(tokens[i].id, part[i]) << unit;
  }
}

TEST(Tokenizer, ManyThreadsShareOne) {
  const TokenizerPtr tokenizer = small();
  const std::vector<std::int32_t> expected = ids_of(*tokenizer, "the cat sat on [MASK] two words");
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 2000; ++n) {
        wrong += ids_of(*tokenizer, "the cat sat on [MASK] two words") != expected ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Tokenizer, LoadNamesTheFile) {
  const auto absent = Tokenizer::load("/nonexistent/tokenizer.json");
  ASSERT_FALSE(absent.ok());
  EXPECT_NE(absent.error().message.find("/nonexistent/tokenizer.json"), std::string::npos);
}

// A change to small.json and what the refusal must say.
struct Hostile {
  const char* name;
  const char* from;
  const char* to;
  const char* message;
  friend void PrintTo(const Hostile& hostile, std::ostream* out) { *out << hostile.name; }
};

class HostileTokenizerJson : public testing::TestWithParam<Hostile> {};

TEST_P(HostileTokenizerJson, IsRefusedNamingTheField) {
  std::string json = small_json();
  const std::size_t at = json.find(GetParam().from);
  ASSERT_NE(at, std::string::npos);
  json.replace(at, std::string_view(GetParam().from).size(), GetParam().to);
  const auto tokenizer = Tokenizer::parse(json);
  ASSERT_FALSE(tokenizer.ok());
  EXPECT_NE(tokenizer.error().message.find(GetParam().message), std::string::npos)
      << tokenizer.error().message;
}

const Hostile kHostile[] = {
    {"version", R"("version": "1.0")", R"("version": "2.0")",
     R"(version: must be "1.0", is "2.0")"},
    {"normalizer_type", R"("type": "BertNormalizer")", R"("type": "NFX")",
     R"(normalizer.type: "NFX" is not supported)"},
    {"normalizer_text", R"("normalizer": {)", R"("normalizer": "x", "n": {)",
     "normalizer: must be an object, is a string"},
    {"flag", R"("clean_text": true)", R"("clean_text": 1)",
     "normalizer.clean_text: must be a boolean, is a number"},
    {"flag_missing", R"("clean_text": true,)", "", R"(normalizer: "clean_text" is missing)"},
    {"flag_twice", R"("clean_text": true)", R"("clean_text": true, "clean_text": false)",
     "normalizer.clean_text: appears twice"},
    {"pre_tokenizer", R"("type": "BertPreTokenizer")", R"("type": "CharDelimiterSplit")",
     R"(pre_tokenizer.type: "CharDelimiterSplit" is not supported)"},
    {"type_number", R"("type": "BertPreTokenizer")", R"("type": 3)",
     "pre_tokenizer.type: must be a string"},
    {"decoder", R"("prefix": "##",)", "", R"(decoder: "prefix" is missing)"},
    {"model_missing", R"("model": {)", R"("modell": {)", R"("model" is missing)"},
    {"model_type", R"("type": "WordPiece",
  "unk)",
     R"("type": "WordLevel",
  "unk)",
     R"(model.type: "WordLevel" is not supported)"},
    {"unknown_token", R"("unk_token": "[UNK]")", R"("unk_token": "[NIX]")",
     R"(model.unk_token: "[NIX]" is not in model.vocab)"},
    {"limit", R"("max_input_chars_per_word": 100)", R"("max_input_chars_per_word": -1)",
     "model.max_input_chars_per_word: must be a whole number"},
    {"vocabulary", R"("vocab": {)", R"("vocab": [], "v": {)",
     "model.vocab: must be an object, is an array"},
    {"id_text", R"("the": 21)", R"("the": "21")",
     R"(model.vocab: the id of "the" must be a whole number)"},
    {"id_fraction", R"("the": 21)", R"("the": 2.5)", R"(model.vocab: the id of "the" must be)"},
    {"id_huge", R"("the": 21)", R"("the": 4294967296)", R"(model.vocab: the id of "the" must be)"},
    {"id_negative", R"("the": 21)", R"("the": -21)", R"(model.vocab: the id of "the" must be)"},
    {"id_twice", R"("the": 21)", R"("the": 20)", "model.vocab: the id 20 is given to two tokens"},
    {"token_twice", R"("the": 21)", R"("the": 21, "the": 1234)",
     R"(model.vocab: "the" appears twice)"},
    {"added_id_twice", R"("id": 1,)", R"("id": 0,)",
     "added_tokens: the id 0 is given to two tokens"},
    {"added_id_huge", R"("id": 1,)", R"("id": 99999999999,)",
     "added_tokens[1].id: must be a token id"},
    {"added_twice", R"("content": "[UNK]")", R"("content": "[PAD]")",
     R"(added_tokens: "[PAD]" appears twice)"},
    {"added_flag", R"("lstrip": false)", R"("lstrip": null)",
     R"(added_tokens[0]: "lstrip" is missing)"},
    {"added_vanishes", R"("content": "\u00c9clair")", R"("content": "\u0301")",
     "added_tokens: nothing is left of"},
    {"added_alike", R"("content": "\u00c9clair")", R"("content": "two words")",
     "added_tokens: two tokens are the same once normalized"},
    {"added_object", R"("added_tokens": [)", R"("added_tokens": {}, "a": [)",
     "added_tokens: must be an array"},
    {"processor", R"("type": "TemplateProcessing")", R"("type": "Nix")",
     R"(post_processor.type: "Nix" is not supported)"},
    {"template_name", R"("id": "[CLS]")", R"("id": "[BOS]")",
     R"(post_processor.single[0].SpecialToken.id: "[BOS]" is not among special_tokens)"},
    {"template_sequence", R"("id": "A")", R"("id": "C")",
     R"(post_processor.single[1].Sequence.id: must be "A" or "B", is "C")"},
    {"template_pair_in_single", R"("id": "A")", R"("id": "B")",
     "post_processor.single: must hold the sequence A once"},
    {"template_empty", R"("single": [)", R"("single": [], "s": [)",
     "post_processor.single: must hold the sequence A once"},
    {"template_id", R"("ids": [
     2)",
     R"("ids": [
     3000)",
     R"(post_processor.special_tokens["[CLS]"].ids[0]: no token has the id 3000)"},
    {"template_counts", R"("ids": [
     2)",
     R"("ids": [
     2, 3)",
     R"(post_processor.special_tokens["[CLS]"]: has 2 ids but 1 tokens)"},
};

INSTANTIATE_TEST_SUITE_P(All, HostileTokenizerJson, testing::ValuesIn(kHostile),
                         [](const auto& info) { return std::string(info.param.name); });

std::string message_of(const std::string& json) {
  const auto tokenizer = Tokenizer::parse(json);
  return tokenizer.ok() ? "accepted" : tokenizer.error().message;
}

TEST(TokenizerJson, RefusesWhatIsNotJson) {
  for (const std::string json : {"", "{", "nul", "{\"model\":\"\xFF\"}", "{} {}", "\xEF\xBB\xBF"}) {
    EXPECT_NE(message_of(json).find("not valid JSON"), std::string::npos) << json;
  }
  EXPECT_NE(message_of("[]").find("must be an object"), std::string::npos);
  EXPECT_NE(message_of("null").find("must be an object"), std::string::npos);
}

TEST(TokenizerJson, RefusesDeepNesting) {
  for (const std::string open : {"[", "{\"model\":"}) {
    std::string json;
    for (int i = 0; i < 1'000'000; ++i) json += open;
    EXPECT_NE(message_of(json).find("not valid JSON"), std::string::npos);
  }
}

TEST(TokenizerJson, RefusesTemplatesThatMultiply) {
  std::string ids = "2", tokens = "\"x\"",
              uses = R"({"SpecialToken": {"id": "[CLS]", "type_id": 0}})";
  for (int i = 0; i < 10'000; ++i) {
    ids += ",2";
    tokens += ",\"x\"";
    uses += R"(,{"SpecialToken": {"id": "[CLS]", "type_id": 0}})";
  }
  const std::string processor = R"({"type": "TemplateProcessing", "pair": [], "single": [)" + uses +
                                R"(], "special_tokens": {"[CLS]": {"ids": [)" + ids +
                                R"(], "tokens": [)" + tokens + "]}}}";
  const std::string message = message_of(small_json_with(processor));
  EXPECT_NE(message.find("post_processor.single: adds more than 256 tokens"), std::string::npos)
      << message.substr(0, 300);
}

// Cut anywhere, the file is refused; no cut crashes.
TEST(TokenizerJson, RefusesEveryTruncation) {
  const std::string json = small_json();
  const std::size_t end = json.rfind('}');
  for (std::size_t size = 0; size <= end; ++size)
    ASSERT_FALSE(Tokenizer::parse(json.substr(0, size)).ok()) << size;
}

TEST(TokenizerJson, StoredTruncationAndPaddingAreIgnored) {
  std::string json = small_json();
  json.replace(json.find("\"truncation\": null"), 18, R"("truncation": {"max_length": 3})");
  json.replace(json.find("\"padding\": null"), 15, R"("padding": {"strategy": {"Fixed": 128}})");
  EXPECT_EQ(ids_of(*Tokenizer::parse(json).value(), "the cat sat"),
            ids_of(*small(), "the cat sat"));
}

TEST(TokenizerJson, SparseIdsCostNoMemory) {
  std::string json = small_json();
  json.replace(json.find("\"the\": 21"), 9, "\"the\": 2147483647");
  const TokenizerPtr tokenizer = Tokenizer::parse(json).value();
  EXPECT_EQ(tokenizer->vocab_size(), std::size_t{1} << 31);
  EXPECT_EQ(tokenizer->decode(ids_of(*tokenizer, "The"), true).value(), "the");
}

TEST(TokenizerJson, OldFilesHaveNoModelType) {
  std::string json = small_json();
  const std::string type = "\"type\": \"WordPiece\",\n  \"unk";
  json.replace(json.find(type), type.size(), "\"unk");
  EXPECT_EQ(ids_of(*Tokenizer::parse(json).value(), "the cat"), ids_of(*small(), "the cat"));
}

}  // namespace
}  // namespace sheaf::tokenizer
