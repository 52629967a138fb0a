#include "tokenizer/bpe.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "tokenizer/byte_level.h"
#include "tokenizer/tokenizer.h"

namespace sheaf::tokenizer {
namespace {

using Pair = std::pair<std::string, std::string>;

// Merges as the definition says, one at a time.
std::vector<std::int32_t> merge_all(std::vector<std::string> symbols,
                                    const std::vector<Pair>& merges,
                                    const std::map<std::string, int>& ids) {
  std::map<Pair, std::size_t> ranks;
  for (std::size_t i = 0; i < merges.size(); ++i) ranks[merges[i]] = i;
  for (;;) {
    std::size_t best = symbols.size(), best_rank = merges.size();
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto found = ranks.find({symbols[i], symbols[i + 1]});
      if (found == ranks.end() || found->second >= best_rank) continue;
      best = i;
      best_rank = found->second;
    }
    if (best == symbols.size()) break;
    symbols[best] += symbols[best + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
  std::vector<std::int32_t> result;
  for (const std::string& symbol : symbols) result.push_back(ids.at(symbol));
  return result;
}

// A byte-level model over all bytes, with these merges of byte strings.
struct ByteModel {
  std::map<std::string, int> ids;  // by bytes
  std::vector<Pair> merges;

  ByteModel() {
    for (int byte = 0; byte < 256; ++byte)
      ids.emplace(std::string(1, static_cast<char>(byte)), byte);
  }
  void add(const std::string& left, const std::string& right) {
    ids.emplace(left + right, static_cast<int>(ids.size()));
    merges.emplace_back(left, right);
  }
  // The bytes of a character one after the other; those that it shares with others only once.
  void add_character(const std::string& c) {
    for (std::size_t size = 2; size <= c.size(); ++size) {
      if (!ids.contains(c.substr(0, size))) add(c.substr(0, size - 1), c.substr(size - 1, 1));
    }
  }
  std::string json(bool split_words = false) const {
    const auto shown = [](const std::string& bytes) {
      std::string token;
      for (const char c : bytes)
        unicode::append_utf8(byte_level::characters()[static_cast<unsigned char>(c)], token);
      return (token == "\"" || token == "\\" ? "\"\\" : "\"") + token + "\"";
    };
    std::string vocabulary, list;
    for (const auto& [bytes, id] : ids)
      vocabulary += fmt::format("{}{}:{}", vocabulary.empty() ? "" : ",", shown(bytes), id);
    for (const auto& [left, right] : merges)
      list += fmt::format("{}[{},{}]", list.empty() ? "" : ",", shown(left), shown(right));
    return fmt::format(
        R"({{"pre_tokenizer":{{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":false,)"
        R"("use_regex":{}}},"model":{{"type":"BPE","vocab":{{{}}},"merges":[{}]}}}})",
        split_words, vocabulary, list);
  }
  std::vector<std::int32_t> encode(std::string_view text) const {
    std::vector<std::string> symbols;
    for (const char c : text) symbols.emplace_back(1, c);
    return merge_all(symbols, merges, ids);
  }
};

std::vector<std::int32_t> ids_of(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<std::int32_t> ids;
  EXPECT_TRUE(tokenizer.encode(text, {}, ids).ok());
  return ids;
}

std::string random_text(std::mt19937& random, std::size_t size_max, std::string_view letters) {
  std::string text;
  for (std::size_t n = random() % size_max; n > 0; --n) text += letters[random() % letters.size()];
  return text;
}

// Merge lists without sense, of which the walk may or may not be capable: several ways to one
// token, tokens that never come about, ranks that fall.
TEST(Bpe, EncodesAsTheDefinitionSays) {
  std::mt19937 random(5);
  for (int round = 0; round < 400; ++round) {
    ByteModel model;
    std::vector<std::string> parts{"a", "b", "c", "d"};
    const bool sorted = random() % 2 == 0;  // parts are made before they are used
    for (int i = 0; i < 25; ++i) {
      const std::string left = parts[random() % parts.size()];
      const std::string right = parts[random() % parts.size()];
      if (left.size() + right.size() > 9) continue;
      model.add(left, right);
      parts.push_back(left + right);
    }
    if (!sorted) std::shuffle(model.merges.begin(), model.merges.end(), random);
    const auto tokenizer = Tokenizer::parse(model.json()).value();
    for (int i = 0; i < 30; ++i) {
      const std::string text = random_text(random, 90, "abcd");
      ASSERT_EQ(ids_of(*tokenizer, text), model.encode(text)) << text << " in round " << round;
    }
  }
}

using Characters = std::vector<std::string>;

std::string text_of(std::mt19937& random, std::size_t count, const Characters& characters) {
  std::string text;
  for (; count > 0; --count) text += characters[random() % characters.size()];
  return text;
}

// Characters of several bytes, most of which become tokens early, as in a trained vocabulary, some
// late and some never, and other merges across their borders anywhere: closed characters, open
// ones, and texts of many windows.
TEST(Bpe, EncodesDenseTextAsTheDefinitionSays) {
  const Characters characters{"中", "丮", "国", "的", "é", "😀", "a", "ᄀ"};
  std::mt19937 random(6);
  for (int round = 0; round < 60; ++round) {
    ByteModel model;
    Characters parts;
    for (const std::string& c : characters) parts.push_back(c.substr(0, 1));
    for (const std::string& c : characters) {
      parts.push_back(c.substr(c.size() - 1));
      if (c.size() == 1 || random() % 6 == 0) continue;
      model.add_character(c);
      parts.push_back(c.substr(0, c.size() - 1));
      for (int i = 0; i < 4; ++i) parts.push_back(c);
    }
    for (std::size_t i = 0; i < 40; ++i) {
      const std::string left = parts[random() % parts.size()];
      const std::string right = parts[random() % parts.size()];
      if (left.size() + right.size() > 20 || model.ids.contains(left + right)) continue;
      model.add(left, right);
      parts.push_back(left + right);
    }
    if (round % 3 == 0) {  // some a little earlier than the order that they were made in
      for (std::size_t i = 1; i < model.merges.size(); ++i) {
        if (random() % 4 == 0) std::swap(model.merges[i], model.merges[i - 1]);
      }
    }
    const auto tokenizer = Tokenizer::parse(model.json()).value();
    for (int i = 0; i < 20; ++i) {
      const std::string text = text_of(random, random() % (i < 18 ? 60 : 300), characters);
      ASSERT_EQ(ids_of(*tokenizer, text), model.encode(text)) << text << " in round " << round;
    }
  }
}

// A character that is a symbol from the start merges with the first byte of one that is none.
TEST(Bpe, EncodesWhatMergesIntoACharacterOfBytes) {
  ByteModel model;
  model.add_character("中");
  model.add("中", "\xE5");
  const auto tokenizer = Tokenizer::parse(model.json()).value();
  for (const std::string text : {"中国", "中国中", "国中国", "中中国国"})
    EXPECT_EQ(ids_of(*tokenizer, text), model.encode(text)) << text;
}

// Characters of which the last two merge first, then the two before them, and so on: where a window
// is cut off decides about all of its tokens, and windows fit together or never do.
TEST(Bpe, EncodesWhatDependsOnTheFarEndOfTheText) {
  ByteModel model;
  Characters characters;
  for (unicode::CodePoint c = 0x4E00; c < 0x4E00 + 150; ++c) {
    std::string character;
    unicode::append_utf8(c, character);
    model.add_character(character);
    characters.push_back(character);
  }
  for (std::size_t i = characters.size() - 1; i > 0; --i)
    model.add(characters[i - 1], characters[i]);
  const auto tokenizer = Tokenizer::parse(model.json()).value();
  for (std::size_t count = 1; count <= characters.size(); count += 11) {
    std::string text = "a";
    for (std::size_t i = 0; i < 2 * count; ++i) text += characters[i % count];
    ASSERT_EQ(ids_of(*tokenizer, text), model.encode(text)) << count;
  }
}

// Of characters, with byte_fallback, as SentencePiece's: whole texts are one piece.
struct CharacterModel {
  std::map<std::string, int> ids;
  std::vector<Pair> merges;

  explicit CharacterModel(const Characters& characters) {
    for (int byte = 0; byte < 256; ++byte) ids.emplace(fmt::format("<0x{:02X}>", byte), byte);
    for (const std::string& c : characters) ids.emplace(c, static_cast<int>(ids.size()));
  }
  void add(const std::string& left, const std::string& right) {
    ids.emplace(left + right, static_cast<int>(ids.size()));
    merges.emplace_back(left, right);
  }
  std::string json() const {
    std::string vocabulary, list;
    for (const auto& [token, id] : ids)
      vocabulary += fmt::format("{}\"{}\":{}", vocabulary.empty() ? "" : ",", token, id);
    for (const auto& [left, right] : merges)
      list += fmt::format("{}[\"{}\",\"{}\"]", list.empty() ? "" : ",", left, right);
    return fmt::format(
        R"({{"model":{{"type":"BPE","byte_fallback":true,"vocab":{{{}}},"merges":[{}]}}}})",
        vocabulary, list);
  }
  std::vector<std::int32_t> encode(const std::string& text) const {
    Characters symbols;
    for (const char* p = text.data(); p < text.data() + text.size();) {
      const char* const start = p;
      unicode::decode_utf8(p);
      const std::string character(start, p);
      if (ids.contains(character)) {
        symbols.push_back(character);
        continue;
      }
      for (const char c : character)
        symbols.push_back(fmt::format("<0x{:02X}>", static_cast<unsigned char>(c)));
    }
    return merge_all(symbols, merges, ids);
  }
};

TEST(Bpe, EncodesCharactersAsTheDefinitionSays) {
  const Characters known{"a", "b", "▁", "中", "国", "é"};
  const Characters characters{"a", "b", "▁", "中", "国", "é", "a", "▁", "😀", "的"};
  std::mt19937 random(7);
  for (int round = 0; round < 60; ++round) {
    CharacterModel model(known);
    Characters parts = known;
    for (int i = 0; i < 30; ++i) {
      const std::string left = parts[random() % parts.size()];
      const std::string right = parts[random() % parts.size()];
      if (left.size() + right.size() > 18 || model.ids.contains(left + right)) continue;
      // Every other model keeps words apart, as real ones do.
      const bool crosses_words = right.find("▁") != std::string::npos && left != "▁";
      if (round % 2 == 0 && crosses_words) continue;
      model.add(left, right);
      parts.push_back(left + right);
    }
    if (round % 5 == 0) std::shuffle(model.merges.begin(), model.merges.end(), random);
    if (round % 7 == 0) model.add("<0xF0>", "<0x9F>");  // then there is no walk
    const auto tokenizer = Tokenizer::parse(model.json()).value();
    for (int i = 0; i < 20; ++i) {
      const std::string text = text_of(random, random() % (i < 18 ? 60 : 400), characters);
      ASSERT_EQ(ids_of(*tokenizer, text), model.encode(text)) << text << " in round " << round;
    }
  }
}

// Han and a few others, all or most of them known: what is merged at once and what has to wait,
// between borders that no merge crosses and without any, in texts of many batches.
TEST(Bpe, EncodesDenseCharactersAsTheDefinitionSays) {
  std::mt19937 random(8);
  for (int round = 0; round < 80; ++round) {
    Characters known;
    const std::size_t count = 1 + random() % (round % 3 == 0 ? 4 : 40);
    for (unicode::CodePoint c = 0x4E00; known.size() < count; ++c) {
      known.emplace_back();
      unicode::append_utf8(c, known.back());
    }
    CharacterModel model(known);
    Characters parts = known;
    for (std::size_t i = 0; i < 4 * count + 10; ++i) {
      const std::string left = parts[random() % parts.size()];
      const std::string right = parts[random() % parts.size()];
      if (left.size() + right.size() > 24 || model.ids.contains(left + right)) continue;
      model.add(left, right);
      parts.push_back(left + right);
    }
    if (round % 5 == 0) std::shuffle(model.merges.begin(), model.merges.end(), random);
    Characters characters = known;
    if (round % 2 == 0) characters.insert(characters.end(), {"的", "😀"});
    const auto tokenizer = Tokenizer::parse(model.json()).value();
    for (int i = 0; i < 12; ++i) {
      const std::string text = text_of(random, random() % (i < 10 ? 100 : 600), characters);
      ASSERT_EQ(ids_of(*tokenizer, text), model.encode(text)) << text << " in round " << round;
    }
  }
}

TEST(Bpe, TakesTheLeftmostOfEqualPairs) {
  ByteModel model;
  model.add("a", "a");
  model.add("aa", "a");
  const auto tokenizer = Tokenizer::parse(model.json()).value();
  for (std::size_t n = 0; n < 20; ++n) {
    const std::string text(n, 'a');
    EXPECT_EQ(ids_of(*tokenizer, text), model.encode(text));
  }
}

TEST(Bpe, MegabyteWithoutSpaceTakesNoTime) {
  ByteModel model;
  std::string run = "a";
  for (int i = 0; i < 6; ++i, run += run) model.add(run, run);
  for (const std::string pair : {"ab", "ba", "12", "  ", "\xCC\x81"})
    model.add(pair.substr(0, 1), pair.substr(1));
  // Once by the walk, once by merging: a vocabulary that lacks a byte allows no walk.
  ByteModel incomplete = model;
  incomplete.ids.erase("\x01");
  for (const ByteModel& m : {model, incomplete}) {
    const auto tokenizer = Tokenizer::parse(m.json(true)).value();
    for (const std::string unit : {"a", "ab", "1", " ", "\u0301", "\u4E00"}) {
      std::string text;
      while (text.size() < 1'000'000) text += unit;
      const std::vector<std::int32_t> ids = ids_of(*tokenizer, text);
      EXPECT_LE(ids.size(), text.size());
      const std::string start = text.substr(0, 64 * unit.size());
      if (unit != " ") {
        EXPECT_EQ(ids.front(), m.encode(start).front());
      }
    }
  }
}

TEST(Bpe, ModelsOfOneThreadDoNotMixTheirCaches) {
  ByteModel one, two;
  one.add("a", "b");
  two.add("b", "a");
  const auto first = Tokenizer::parse(one.json()).value();
  const auto second = Tokenizer::parse(two.json()).value();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(ids_of(*first, "ab"), one.encode("ab"));
    EXPECT_EQ(ids_of(*second, "ab"), two.encode("ab"));
  }
}

std::string message_of(const std::string& model, const std::string& before = "") {
  const auto parsed = Tokenizer::parse(
      "{" + before + R"("model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2})" + model +
      "}}");
  return parsed.ok() ? "accepted" : parsed.error().message;
}

TEST(Bpe, AcceptsBothFormsOfMerges) {
  EXPECT_EQ(message_of(R"(, "merges": ["a b"])"), "accepted");
  EXPECT_EQ(message_of(R"(, "merges": [["a", "b"]], "dropout": 0.0, "unk_token": null)"),
            "accepted");
}

TEST(Bpe, RefusesNamingTheField) {
  const auto refused = [](const std::string& model, const std::string& message) {
    EXPECT_NE(message_of(model).find(message), std::string::npos) << message_of(model);
  };
  refused("", "model: \"merges\" is missing");
  refused(R"(, "merges": ["a b", "ab"])", "model.merges[1]: must be two tokens");
  refused(R"(, "merges": [["a"]])", "model.merges[0]: must be two tokens");
  refused(R"(, "merges": ["a c"])", R"(model.merges[0]: "c" is not in model.vocab)");
  refused(R"(, "merges": ["b a"])", R"(model.merges[0]: "ba" is not in model.vocab)");
  refused(R"(, "merges": [], "dropout": 0.1)", "model.dropout: 0.1 is not supported");
  refused(R"(, "merges": [], "unk_token": "x")", R"(model.unk_token: "x" is not in model.vocab)");
  refused(R"(, "merges": [], "fuse_unk": 1)", "model.fuse_unk: must be a boolean");
  refused(R"(, "merges": [], "end_of_word_suffix": "</w>")",
          R"(model.end_of_word_suffix: "</w>" is not supported)");
  refused(R"(, "merges": [], "continuing_subword_prefix": "##")",
          R"(model.continuing_subword_prefix: "##" is not supported)");
  const std::string before =
      R"("pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true},)";
  EXPECT_NE(message_of(R"(, "merges": [], "byte_fallback": true)", before).find("byte_fallback"),
            std::string::npos);
}

}  // namespace
}  // namespace sheaf::tokenizer
