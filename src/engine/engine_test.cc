#include "engine/engine.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>

#include "engine/cosine.h"
#include "engine/footprint.h"
#include "engine/pack.h"
#include "engine/wide_model.h"
#include "kernels/ops.h"
#include "model/bounds.h"
#include "model/packed_file.h"

namespace sheaf::engine {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const std::string kTiny = SHEAF_SOURCE_DIR "/tests/golden/tiny_bert";
const std::string kMiniLm = SHEAF_SOURCE_DIR "/tests/golden/minilm";

std::string best_backend() { return kernels::backend_names().front(); }

Result<std::unique_ptr<Engine>> open_model(const std::string& folder, const std::string& backend,
                                           EngineOptions options = {},
                                           model::Fp8Layers fp8_layers = {}) {
  SHEAF_ASSIGN(const Fd fd, make_memfd("engine_test", 0));
  SHEAF_TRY(pack_for(backend, folder, fd.get(), "", {}, std::move(fp8_layers)));
  SHEAF_TRY(seal_memfd(fd.get()));
  SHEAF_ASSIGN(const std::size_t bytes, file_size(fd.get()));
  SHEAF_ASSIGN(Mapping mapping, Mapping::map(fd.get(), bytes, Mapping::Access::read_only));
  return Engine::open(std::move(mapping), options);
}

using Texts = std::vector<std::vector<std::int32_t>>;
using Vectors = std::vector<std::vector<float>>;

Result<Vectors> embed(Engine& engine, const Texts& texts,
                      ItemOptions options = {.normalize = false}) {
  std::vector<std::int32_t> ids;
  std::vector<std::uint32_t> bounds = {0};
  for (const auto& text : texts) {
    ids.insert(ids.end(), text.begin(), text.end());
    bounds.push_back(static_cast<std::uint32_t>(ids.size()));
  }
  const std::vector<ItemOptions> all(texts.size(), options);
  Rows rows;
  SHEAF_TRY(engine.embed({ids, bounds, all}, rows));
  EXPECT_EQ(rows.size(), texts.size());
  Vectors vectors;
  const float* at = rows.values().data();
  for (const std::uint32_t floats : rows.floats()) {
    vectors.emplace_back(at, at + floats);
    at += floats;
  }
  return vectors;
}

void expect_near(const std::vector<float>& a, const std::vector<float>& b, double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], tolerance) << "column " << i;
}

Texts tiny_texts() { return json::parse(text_of_file(kTiny + "/cases.json")).get<Texts>(); }

// A copy of the tiny model to change.
class TinyModel : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("sheaf_engine_test_" + std::to_string(::getpid()));
    fs::remove_all(folder_);
    fs::copy(kTiny + "/model", folder_, fs::copy_options::recursive);
  }
  void TearDown() override { fs::remove_all(folder_); }

  void write(const std::string& file, const std::string& content) {
    std::ofstream(folder_ / file, std::ios::binary) << content;
  }
  Result<std::unique_ptr<Engine>> open(EngineOptions options = {}) {
    return open_model(folder_, best_backend(), options);
  }
  // Writes model.safetensors with its header changed by `edit` and its data by `convert`.
  template <class Edit>
  void edit_header(Edit edit) {
    const std::string file = text_of_file(kTiny + "/model/model.safetensors");
    std::uint64_t length = 0;
    std::memcpy(&length, file.data(), 8);
    std::string data = file.substr(8 + length);
    json header = json::parse(file.substr(8, length));
    edit(header, data);
    const std::string text = header.dump();
    length = text.size();
    write("model.safetensors",
          std::string(reinterpret_cast<const char*>(&length), 8) + text + data);
  }

  fs::path folder_;
};

TEST_F(TinyModel, EqualsTransformersInEveryPoolingOnEveryBackend) {
  const json golden = json::parse(text_of_file(kTiny + "/vectors.json"));
  ASSERT_EQ(golden.size(), 6u);
  for (const auto& [mode, vectors] : golden.items()) {
    write("1_Pooling/config.json", json{{"pooling_mode", mode}}.dump());
    for (const std::string& backend : kernels::backend_names()) {
      SCOPED_TRACE(mode + " on " + backend);
      auto engine = open_model(folder_, backend);
      ASSERT_TRUE(engine.ok()) << engine.error().message;
      EXPECT_EQ((*engine)->device(), backend);
      EXPECT_EQ((*engine)->dtype(), "float32");
      const auto got = embed(**engine, tiny_texts());
      ASSERT_TRUE(got.ok()) << got.error().message;
      for (std::size_t i = 0; i < got->size(); ++i)
        expect_near((*got)[i], vectors[i].get<std::vector<float>>(), 2e-5);
    }
  }
}

TEST_F(TinyModel, SeveralPoolingsStandSideBySide) {
  const json golden = json::parse(text_of_file(kTiny + "/vectors.json"));
  write("1_Pooling/config.json", R"({"pooling_mode":["lasttoken","mean"]})");
  auto engine = open();
  ASSERT_TRUE(engine.ok()) << engine.error().message;
  ASSERT_EQ((*engine)->spec().dimensions, 72u);
  const auto got = embed(**engine, tiny_texts());
  for (std::size_t i = 0; i < got->size(); ++i) {
    auto want = golden["lasttoken"][i].get<std::vector<float>>();
    const auto mean = golden["mean"][i].get<std::vector<float>>();
    want.insert(want.end(), mean.begin(), mean.end());
    expect_near((*got)[i], want, 2e-5);
  }
}

TEST_F(TinyModel, TextsDoNotInfluenceEachOther) {
  for (const int threads : {1, 2, 3}) {
    auto engine = open({.threads = threads});
    ASSERT_TRUE(engine.ok());
    std::mt19937 random(1);
    Texts texts;
    for (int i = 0; i < 300; ++i) {  // many groups
      texts.emplace_back(1 + random() % 33);
      for (auto& id : texts.back()) id = static_cast<std::int32_t>(random() % 61);
    }
    const auto together = embed(**engine, texts);
    ASSERT_TRUE(together.ok());
    for (std::size_t i = 0; i < texts.size(); i += 7) {
      const auto alone = embed(**engine, {texts[i]});
      expect_near((*together)[i], (*alone)[0], 2e-6);
    }
  }
}

TEST_F(TinyModel, OptionsCutThenNormalize) {
  auto engine = open();
  const Texts texts = {tiny_texts()[4]};
  const auto raw = embed(**engine, texts);
  const auto cut = embed(**engine, texts, {.normalize = false, .dimensions = 5});
  const auto both = embed(**engine, texts, {.normalize = true, .dimensions = 5});
  double squares = 0;
  for (int i = 0; i < 5; ++i) squares += double{(*raw)[0][i]} * (*raw)[0][i];
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ((*cut)[0][i], (*raw)[0][i]);
    EXPECT_NEAR((*both)[0][i], (*raw)[0][i] / std::sqrt(squares), 1e-6);
  }
}

TEST_F(TinyModel, PrefixAndOldNamesAreTaken) {
  const auto want = embed(**open(), tiny_texts());
  edit_header([](json& header, std::string&) {
    json renamed;
    for (auto& [name, value] : header.items()) {
      std::string to = name == "__metadata__" ? name : "bert." + name;
      if (const auto at = to.find("LayerNorm.weight"); at != to.npos)
        to.replace(at, 16, "LayerNorm.gamma");
      if (const auto at = to.find("LayerNorm.bias"); at != to.npos)
        to.replace(at, 14, "LayerNorm.beta");
      renamed[to] = value;
    }
    header = renamed;
  });
  auto engine = open();
  ASSERT_TRUE(engine.ok()) << engine.error().message;
  EXPECT_EQ(*embed(**engine, tiny_texts()), *want);
  const auto fd = make_memfd("engine_test", 0);  // of a stage without words, whose name tells most
  const Status packed = pack_for(best_backend(), folder_, fd->get(), "", {.stage = {1, 2, 1, 1}});
  EXPECT_TRUE(packed.ok()) << packed.error().message;
}

TEST_F(TinyModel, WeightsOfTwoModelsAreRefused) {
  edit_header([](json& header, std::string&) {
    json renamed;
    for (auto& [name, value] : header.items())
      renamed[name == "__metadata__" ? name : "a." + name] = value;
    renamed["b.embeddings.word_embeddings.weight"] = renamed["a.pooler.dense.weight"];
    renamed.erase("a.pooler.dense.weight");
    header = renamed;
  });
  const auto engine = open();
  ASSERT_FALSE(engine.ok());
  for (const char* name :
       {"'a.embeddings.word_embeddings.weight'", "'b.embeddings.word_embeddings.weight'"})
    EXPECT_NE(engine.error().message.find(name), std::string::npos) << engine.error().message;
}

TEST_F(TinyModel, Bf16WeightsAreTaken) {
  const auto want = embed(**open(), tiny_texts());
  // Every float keeps its upper half, at half the offset.
  edit_header([](json& header, std::string& data) {
    std::string halves;
    for (std::size_t i = 0; i < data.size(); i += 4) halves += data.substr(i + 2, 2);
    data = halves;
    for (auto& [name, value] : header.items()) {
      if (name == "__metadata__") continue;
      value["dtype"] = "BF16";
      for (auto& offset : value["data_offsets"]) offset = offset.get<std::uint64_t>() / 2;
    }
  });
  auto engine = open();
  ASSERT_TRUE(engine.ok()) << engine.error().message;
  EXPECT_EQ((*engine)->spec().weights_dtype, "BF16");
  const auto got = embed(**engine, tiny_texts());
  for (std::size_t i = 0; i < got->size(); ++i) EXPECT_GT(cosine((*got)[i], (*want)[i]), 0.99);
}

TEST_F(TinyModel, WrongWeightsAreRefusedByName) {
  edit_header([](json& header, std::string&) {
    header["encoder.layer.1.output.dense.other"] = header["encoder.layer.1.output.dense.weight"];
    header.erase("encoder.layer.1.output.dense.weight");
  });
  auto engine = open();
  ASSERT_FALSE(engine.ok());
  EXPECT_NE(engine.error().message.find("model.safetensors"), std::string::npos);
  EXPECT_NE(engine.error().message.find("encoder.layer.1.output.dense.weight"), std::string::npos);
  edit_header([](json& header, std::string&) {
    std::swap(header["encoder.layer.0.output.dense.weight"]["shape"][0],
              header["encoder.layer.0.output.dense.weight"]["shape"][1]);
  });
  engine = open();
  ASSERT_FALSE(engine.ok());
  EXPECT_NE(engine.error().message.find("[70, 36]"), std::string::npos) << engine.error().message;
}

TEST_F(TinyModel, WeightsThatAreNoNumbersAreRefusedByName) {
  for (const std::uint32_t bits : {0x7fc00000u, 0x7f800000u, 0xff800000u}) {
    edit_header([bits](json& header, std::string& data) {
      const auto at = header["encoder.layer.1.attention.self.key.weight"]["data_offsets"][0];
      std::memcpy(data.data() + at.get<std::uint64_t>() + 8, &bits, sizeof bits);
    });
    const auto engine = open();
    ASSERT_FALSE(engine.ok());
    EXPECT_NE(engine.error().message.find("attention.self.key"), std::string::npos)
        << engine.error().message;
  }
}

TEST_F(TinyModel, EveryHeaderByteChangedIsRefusedOrWithoutEffect) {
  const Texts texts = {tiny_texts()[5]};
  const auto want = embed(**open(), texts);
  const std::string original = text_of_file(folder_ / "model.safetensors");
  std::uint64_t length = 0;
  std::memcpy(&length, original.data(), 8);
  std::fstream file(folder_ / "model.safetensors", std::ios::binary | std::ios::in | std::ios::out);
  const auto put = [&file](std::size_t at, char byte) {
    file.seekp(static_cast<std::streamoff>(at));
    file.put(byte);
    file.flush();
  };
  int refused = 0;
  for (std::size_t at = 0; at < 8 + length; ++at) {
    const auto flip = static_cast<char>(1 + at * 37 % 255);
    const char likely[] = {static_cast<char>(original[at] ^ 1), ' ', '0'};
    for (const char byte : {static_cast<char>(original[at] ^ flip), likely[at % 3]}) {
      if (byte == original[at]) continue;
      put(at, byte);
      auto engine = open();
      if (engine.ok()) {
        ASSERT_EQ(*embed(**engine, texts), *want) << "byte " << at << " set to " << int{byte};
      } else {
        ++refused;
        ASSERT_NE(engine.error().message.find("model.safetensors"), std::string::npos)
            << engine.error().message;
      }
    }
    put(at, original[at]);
  }
  EXPECT_GT(refused, static_cast<int>(length));
  EXPECT_EQ(*embed(**open(), texts), *want);
}

TEST_F(TinyModel, DamagedPackedFilesAreRefused) {
  const Fd fd = std::move(*make_memfd("engine_test", 0));
  ASSERT_TRUE(pack_for(best_backend(), folder_, fd.get()).ok());
  const std::size_t size = *file_size(fd.get());
  std::string good(size, '\0');
  ASSERT_EQ(::pread(fd.get(), good.data(), size, 0), static_cast<ssize_t>(size));
  const auto open_bytes = [](const std::string& bytes) -> Result<std::unique_ptr<Engine>> {
    const Fd copy = std::move(*make_memfd("engine_test", bytes.size()));
    if (::pwrite(copy.get(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
      return errno_error("pwrite", errno);
    SHEAF_ASSIGN(Mapping mapping,
                 Mapping::map(copy.get(), bytes.size(), Mapping::Access::read_only));
    return Engine::open(std::move(mapping), {});
  };
  ASSERT_TRUE(open_bytes(good).ok());
  std::uint32_t json_bytes = 0;
  std::memcpy(&json_bytes, good.data() + 12, 4);
  for (std::size_t at = 0; at < 64 + json_bytes; ++at) {
    if (at >= 32 && at < 64) continue;  // unused
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    const auto engine = open_bytes(bad);
    ASSERT_FALSE(engine.ok()) << at;
    ASSERT_NE(engine.error().message.find("packed weights"), std::string::npos)
        << engine.error().message;
  }
  for (std::size_t length :
       {std::size_t{0}, std::size_t{1}, std::size_t{63}, std::size_t{64}, size / 2, size - 1})
    EXPECT_FALSE(open_bytes(good.substr(0, length)).ok()) << length;
}

TEST_F(TinyModel, BadBatchesAreRefusedNamingTheNumber) {
  auto engine = open();
  ASSERT_TRUE(engine.ok());
  const std::vector<ItemOptions> one(1);
  Rows out;
  const auto message = [&](std::vector<std::int32_t> ids, std::vector<std::uint32_t> bounds,
                           std::vector<ItemOptions> options) -> std::string {
    const Status status = (*engine)->embed({ids, bounds, options}, out);
    if (status.ok()) return "accepted";
    EXPECT_EQ(status.error().code, ErrorCode::invalid_argument);
    return status.error().message;
  };
  EXPECT_EQ(message({1, 2}, {0, 2}, one), "accepted");
  EXPECT_EQ(message({}, {0}, {}), "accepted");
  EXPECT_NE(message({1, 61}, {0, 2}, one).find("61"), std::string::npos);
  EXPECT_NE(message({-1}, {0, 1}, one).find("-1"), std::string::npos);
  EXPECT_NE(message({1}, {0, 1}, {{.output = model::Output::sparse}}).find("sparse"),
            std::string::npos);
  EXPECT_NE(message({1}, {0, 1}, std::vector<ItemOptions>(2)).find("2 texts"), std::string::npos);
  EXPECT_NE(message({1}, {}, one).find("0 bounds"), std::string::npos);
  EXPECT_NE(message({1}, {1, 1}, one).find("[1, 1)"), std::string::npos);
  EXPECT_NE(message({1}, {0, 2}, one).find("[0, 2)"), std::string::npos);
  EXPECT_NE(message({1, 2}, {0, 0, 2}, std::vector<ItemOptions>(2)).find("text 0"),
            std::string::npos);
  EXPECT_NE(message({1, 2}, {0, 4000000000u, 2}, std::vector<ItemOptions>(2)).find("4000000000"),
            std::string::npos);
  EXPECT_NE(message(std::vector<std::int32_t>(34, 1), {0, 34}, one).find("34 tokens"),
            std::string::npos);
  EXPECT_NE(message({1}, {0, 1}, {{.dimensions = 37}}).find("37"), std::string::npos);
  EXPECT_NE(message({1, 2}, {0, 2}, {{.second_at = 2}}).find("begins at 2 of 2"),
            std::string::npos);
  EXPECT_FALSE(open({.threads = 0}).ok());
}

TEST_F(TinyModel, ProgressAdvancesOnEveryBackend) {
  for (const std::string& backend : kernels::backend_names()) {
    std::atomic<std::uint64_t> progress{0};
    auto engine = open_model(folder_, backend, {.threads = 1, .progress = &progress});
    const std::uint64_t before = progress.load();
    ASSERT_TRUE(embed(**engine, tiny_texts()).ok());
    // A device shows it by operation, of which this model has some six a layer.
    const bool on_host = backend.starts_with("cpu") || backend == "reference";
    EXPECT_GE(progress.load(), before + (on_host ? 20 : 10));
  }
}

// Families by tests/golden/families/make.py: each folder a model and what transformers answers.
class Families : public ::testing::TestWithParam<std::string> {};

void expect_equal(const std::vector<float>& got, const std::vector<float>& want) {
  EXPECT_GE(cosine(got, want), 0.999999);
  float largest = 0;
  for (const float value : want) largest = std::max(largest, std::abs(value));
  expect_near(got, want, 3e-5 * largest);
}

TEST_P(Families, EqualTransformers) {
  const std::string folder = SHEAF_SOURCE_DIR "/tests/golden/families/" + GetParam();
  const json golden = json::parse(text_of_file(folder + "/vectors.json"));
  const auto texts = json::parse(text_of_file(folder + "/cases.json")).get<Texts>();
  const fs::path copy =
      fs::temp_directory_path() / ("sheaf_families_" + std::to_string(::getpid()));
  for (const auto& [mode, vectors] : golden.items()) {
    fs::remove_all(copy);
    fs::copy(folder + "/model", copy, fs::copy_options::recursive);
    std::ofstream(copy / "1_Pooling/config.json") << json{{"pooling_mode", mode}}.dump();
    for (const std::string& backend : kernels::backend_names()) {
      SCOPED_TRACE(mode + " on " + backend);
      auto engine = open_model(copy, backend);
      ASSERT_TRUE(engine.ok()) << engine.error().message;
      EXPECT_EQ((*engine)->spec().positions, texts.back().size());  // the longest case fills them
      for (std::size_t i = 0; i < texts.size(); ++i) {              // alone, so that lengths grow
        const auto got = embed(**engine, {texts[i]});
        ASSERT_TRUE(got.ok()) << got.error().message;
        expect_equal((*got)[0], vectors[i].get<std::vector<float>>());
      }
      const auto got = embed(**engine, texts);
      ASSERT_TRUE(got.ok()) << got.error().message;
      for (std::size_t i = 0; i < texts.size(); ++i)
        expect_equal((*got)[i], vectors[i].get<std::vector<float>>());
    }
  }
  fs::remove_all(copy);
}

// To the bit, whatever a device keeps of the texts before: of the same length with other ids, of
// others, and of many at once, also in another order; as often as it takes to repeat each.
TEST_P(Families, AnswersDoNotDependOnWhatCameBefore) {
  const std::string folder = SHEAF_SOURCE_DIR "/tests/golden/families/" + GetParam();
  Texts texts = json::parse(text_of_file(folder + "/cases.json")).get<Texts>();
  std::ranges::sort(texts, {}, &std::vector<std::int32_t>::size);
  const std::vector<std::int32_t> text = texts[texts.size() / 2], longest = texts.back();
  const std::vector<std::int32_t> backwards(text.rbegin(), text.rend());
  for (const tensor::Dtype dtype : {tensor::Dtype::float32, tensor::Dtype::bfloat16}) {
    const auto backends = kernels::backend_names(dtype);
    if (backends.empty()) continue;
    SCOPED_TRACE(backends.front());
    const auto answer = [&](const Texts& asked) {
      auto fresh = open_model(folder + "/model", backends.front());
      const auto got = embed(**fresh, asked);
      EXPECT_TRUE(got.ok()) << got.error().message;
      return got.ok() ? *got : Vectors();
    };
    const Texts turned(texts.rbegin(), texts.rend());
    const auto middle = text.begin() + static_cast<std::ptrdiff_t>(text.size() / 2);
    const Texts halves = {{text.begin(), middle}, {middle, text.end()}};
    const Vectors answers[] = {answer({text}), answer({backwards}), answer({longest}),
                               answer(texts),  answer(turned),      answer(halves)};
    auto engine = open_model(folder + "/model", backends.front());
    ASSERT_TRUE(engine.ok()) << engine.error().message;
    const auto expect = [&](const Texts& asked, const Vectors& answers, int round) {
      const auto got = embed(**engine, asked);
      ASSERT_TRUE(got.ok()) << got.error().message << " in round " << round;
      EXPECT_EQ(*got, answers) << "in round " << round;
    };
    for (int round = 0; round < 5; ++round) expect(halves, answers[5], round);
    for (int round = 0; round < 5; ++round)
      expect({round % 2 == 0 ? text : backwards}, answers[round % 2], round);
    expect({longest}, answers[2], 0);  // what goes by distances now reaches farther
    expect({text}, answers[0], 5);
    for (int round = 0; round < 5; ++round)
      expect(round % 2 == 0 ? texts : turned, answers[3 + round % 2], round);
  }
}

// Nor on a long one, after which what goes by distances may still have to reach farther.
TEST_P(Families, ShortTextsMayGrowBehindALongOne) {
  const std::string folder = SHEAF_SOURCE_DIR "/tests/golden/families/" + GetParam();
  const Texts texts = json::parse(text_of_file(folder + "/cases.json")).get<Texts>();
  const auto longest = *std::ranges::max_element(texts, {}, &std::vector<std::int32_t>::size);
  const auto first = [&longest](std::ptrdiff_t tokens) {
    return std::vector<std::int32_t>(longest.begin(), longest.begin() + tokens);
  };
  const std::string backend = best_backend();
  auto engine = open_model(folder + "/model", backend);
  ASSERT_TRUE(engine.ok()) << engine.error().message;
  ASSERT_TRUE(embed(**engine, {longest}).ok());
  for (const std::ptrdiff_t tokens : {5, 5, 5, 5, 5, 7, 9}) {
    auto fresh = open_model(folder + "/model", backend);
    const auto got = embed(**engine, {first(tokens)});
    ASSERT_TRUE(got.ok()) << got.error().message << " at " << tokens;
    EXPECT_EQ(*got, *embed(**fresh, {first(tokens)})) << tokens;
  }
}

// Near, since these models' random weights carry rounding further than trained ones do; and the
// same alone as among others.
TEST_P(Families, AreNearInEveryDtype) {
  const std::string folder = SHEAF_SOURCE_DIR "/tests/golden/families/" + GetParam();
  const auto golden = json::parse(text_of_file(folder + "/vectors.json"))["mean"].get<Vectors>();
  const auto texts = json::parse(text_of_file(folder + "/cases.json")).get<Texts>();
  const fs::path copy = fs::temp_directory_path() / ("sheaf_dtypes_" + std::to_string(::getpid()));
  fs::remove_all(copy);
  fs::copy(folder + "/model", copy, fs::copy_options::recursive);
  std::ofstream(copy / "1_Pooling/config.json") << R"({"pooling_mode": "mean"})";
  for (const auto& [dtype, usual] :
       {std::pair(tensor::Dtype::bfloat16, 0.999), std::pair(tensor::Dtype::float16, 0.999),
        std::pair(tensor::Dtype::int8, 0.99), std::pair(tensor::Dtype::fp8, 0.99)})
    for (const std::string& backend : kernels::backend_names(dtype)) {
      // Where the logits of two experts are near, as in a text of nomic_moe, rounding may choose
      // the other one, and does by AVX2, and where states are rounded too.
      SCOPED_TRACE(backend);
      const auto made = kernels::make_backend(backend, {});
      ASSERT_TRUE(made.ok()) << made.error().message;
      const bool other =
          GetParam() == "nomic_moe" &&
          (backend == "cpu avx2 madd int8" || (*made)->state_dtype() == tensor::Dtype::bfloat16);
      const double least = other ? 0.98 : usual;
      auto engine = open_model(copy, backend);
      ASSERT_TRUE(engine.ok()) << engine.error().message;
      EXPECT_EQ((*engine)->dtype(), name_of(dtype));
      const auto together = embed(**engine, texts);
      ASSERT_TRUE(together.ok()) << together.error().message;
      for (std::size_t i = 0; i < texts.size(); ++i) {
        EXPECT_GE(cosine((*together)[i], golden[i]), least) << "text " << i;
        const auto alone = embed(**engine, {texts[i]});
        ASSERT_TRUE(alone.ok()) << alone.error().message;
        expect_near((*alone)[0], (*together)[i], 1e-6);
      }
    }
  fs::remove_all(copy);
}

bool can_be_widened(const std::string& family) {
  const std::string folder = SHEAF_SOURCE_DIR "/tests/golden/families/" + family;
  const bool several_files = !fs::exists(folder + "/model/model.safetensors");
  return !several_files && family != "nomic_long" && family != "jina_v3_own";
}

// Where a device has it, against bfloat16. Numbers of fp8 are off by 2.6 in 100 usually, so each
// product by 4, which add up as random errors do; scores of attention carry them further.
TEST_P(Families, AreNearInFp8WhenTheyAreWide) {
  const std::vector<std::string> backends = kernels::backend_names(tensor::Dtype::fp8);
  if (backends.empty()) GTEST_SKIP() << "nothing here computes in fp8";
  const std::string folder = SHEAF_SOURCE_DIR "/tests/golden/families/" + GetParam();
  if (!can_be_widened(GetParam())) GTEST_SKIP() << "its files or sizes are not just wider ones";
  auto texts = json::parse(text_of_file(folder + "/cases.json")).get<Texts>();
  texts.resize(3);
  const WideModel wide(GetParam());
  auto exact = open_model(wide.folder(), kernels::backend_names(tensor::Dtype::bfloat16).front());
  ASSERT_TRUE(exact.ok()) << exact.error().message;
  const auto want = embed(**exact, texts);
  ASSERT_TRUE(want.ok()) << want.error().message;
  for (const std::string& backend : backends) {
    SCOPED_TRACE(backend);
    auto engine = open_model(wide.folder(), backend);
    ASSERT_TRUE(engine.ok()) << engine.error().message;
    const auto got = embed(**engine, texts);
    ASSERT_TRUE(got.ok()) << got.error().message;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const double near = cosine((*got)[i], (*want)[i]);
      EXPECT_GE(near, backend == backends.front() ? 0.98 : 0.95) << "text " << i;
      EXPECT_LT(near, 1 - 1e-6) << "not in fp8: text " << i;
    }
    expect_near((*embed(**engine, {texts[1]}))[0], (*got)[1], 1e-6);
  }
}

// With no layer in fp8 a text's answer is bfloat16's to the bit, with one it is nearer to that than
// with all. Layers 0 and 1 are of all kinds that the families have, experts among them.
class SomeLayersInFp8 : public ::testing::TestWithParam<std::string> {};

TEST_P(SomeLayersInFp8, AreNearerThanAll) {
  const std::string fp8 = backend_name(tensor::Dtype::fp8);
  if (fp8.empty()) GTEST_SKIP() << "nothing here computes in fp8";
  const WideModel wide(GetParam());
  const std::string cases = SHEAF_SOURCE_DIR "/tests/golden/families/" + GetParam() + "/cases.json";
  const Texts texts = {json::parse(text_of_file(cases)).get<Texts>().at(1)};
  const auto answer = [&](const std::string& backend, const model::Fp8Layers& layers) {
    auto engine = open_model(wide.folder(), backend, {}, layers);
    EXPECT_TRUE(engine.ok()) << engine.error().message;
    if (layers) {
      EXPECT_EQ((*engine)->dtype(), model::text_of({"fp8", layers}));
    }
    const auto got = embed(**engine, texts);
    EXPECT_TRUE(got.ok()) << got.error().message;
    return (*got)[0];
  };
  using Layers = std::vector<std::uint32_t>;
  const auto exact = answer(backend_name(tensor::Dtype::bfloat16), {});
  const auto none = answer(fp8, Layers{});
  // On a real card the library may have taken another product for one of the two.
  if (fp8.starts_with("emulated")) {
    EXPECT_EQ(none, exact);
  }
  EXPECT_GT(cosine(none, exact), 0.9999);
  const auto all = answer(fp8, {}), first = answer(fp8, Layers{0}), second = answer(fp8, Layers{1});
  EXPECT_NE(first, exact);
  EXPECT_NE(second, exact);
  EXPECT_NE(first, second);
  EXPECT_GT(cosine(first, exact), cosine(all, exact));
  EXPECT_GT(cosine(second, exact), cosine(all, exact));
}

INSTANTIATE_TEST_SUITE_P(, SomeLayersInFp8,
                         ::testing::Values("deberta_v2", "gemma3", "jina_bert", "modernbert",
                                           "nomic_moe", "qwen3", "roberta"),
                         [](const auto& info) { return info.param; });

// A layer's first product in fp8 has the scales that the reference's weights, which are the
// checkpoint's, give; and the second takes what the first writes.
TEST(BoundedInFp8, ScalesFollowFromTheBounds) {
  const std::string fp8 = backend_name(tensor::Dtype::fp8);
  if (fp8.empty()) GTEST_SKIP() << "nothing here computes in fp8";
  const WideModel wide("roberta");
  constexpr std::size_t kHidden = 16 * 24, kBetween = 16 * 50;
  const auto packed_by = [&](const std::string& backend) {
    const Fd fd = std::move(*make_memfd("engine_test", 0));
    EXPECT_TRUE(pack_for(backend, wide.folder(), fd.get()).ok());
    return *model::PackedFile::open(
        *Mapping::map(fd.get(), *file_size(fd.get()), Mapping::Access::read_only));
  };
  const model::PackedFile in_fp8 = packed_by(fp8), exact = packed_by("reference");
  // [weights, inputs, 1 / outputs], behind a byte for each weight.
  constexpr std::size_t kCodes = kHidden * kBetween / sizeof(float);
  const auto scales = [&](const std::string& name, std::size_t outputs, std::size_t inputs) {
    return *in_fp8.find(name, outputs, inputs, kCodes + 16) + kCodes;
  };
  for (const std::string layer : {"encoder.layer.0.", "encoder.layer.1."}) {
    const auto vector = [&](const std::string& name, std::size_t count) {
      return *exact.find(layer + name, 1, count, count);
    };
    const float* const scale = vector("attention.output.LayerNorm.weight", kHidden);
    const float* const shift = vector("attention.output.LayerNorm.bias", kHidden);
    const model::NormValues norm = {{scale, scale + kHidden}, {shift, shift + kHidden}};
    const float* const weight =
        *exact.find(layer + "intermediate.dense.weight", kBetween, kHidden, kHidden * kBetween);
    const float largest =
        *std::max_element(weight, weight + kHidden * kBetween,
                          [](float a, float b) { return std::abs(a) < std::abs(b); });
    const float bound = model::largest_of_product(norm, {weight, kBetween, kHidden},
                                                  vector("intermediate.dense.bias", kBetween));
    const float* const up = scales(layer + "intermediate.dense.weight", kBetween, kHidden);
    const float* const down = scales(layer + "output.dense.weight", kHidden, kBetween);
    EXPECT_FLOAT_EQ(up[0], std::abs(largest) / 448);
    EXPECT_FLOAT_EQ(up[1], model::largest_of(norm) / 448);
    EXPECT_FLOAT_EQ(up[2], 448 / bound);
    EXPECT_FLOAT_EQ(down[1], bound / 448);
  }
}

// What is estimated is what is packed, of stages too: a byte less for each number of a layer's two
// products, 64 more for the scales of each.
TEST(LayersInFp8, TakeTheMemoryThatIsEstimated) {
  if (backend_name(tensor::Dtype::fp8).empty()) GTEST_SKIP() << "nothing here computes in fp8";
  const WideModel wide("roberta");
  constexpr std::uint64_t kHidden = 16 * 24, kBetween = 16 * 50;
  constexpr std::uint64_t kLess = 2 * kHidden * kBetween - 2 * 64;
  const auto parts_in = [&](model::Fp8Layers layers) {
    const Source source{
        .folder = wide.folder(), .dtype = tensor::Dtype::fp8, .fp8_layers = std::move(layers)};
    return *part_bytes(source);
  };
  using Layers = std::vector<std::uint32_t>;
  const model::PartBytes none = parts_in(Layers{}), some = parts_in(Layers{0, 2}),
                         all = parts_in({});
  EXPECT_EQ(none.layers[0] - some.layers[0], kLess);
  EXPECT_EQ(none.layers[1], some.layers[1]);
  EXPECT_EQ(some.layers[2], all.layers[2]);
  for (const model::Stage& stage :
       {model::Stage{}, model::Stage{0, 2, 0, 2}, model::Stage{1, 2, 2, 1}}) {
    const Source source{.folder = wide.folder(),
                        .dtype = tensor::Dtype::fp8,
                        .shard = {.stage = stage},
                        .fp8_layers = Layers{0, 2}};
    const Fd fd = std::move(*make_memfd("engine_test", 0));
    ASSERT_TRUE(pack(source, fd.get()).ok());
    EXPECT_EQ(footprint_of(source, 64, 1)->weights_bytes, *file_size(fd.get()));
  }
}

TEST(LayersInFp8, ThatCannotBeAreRefusedNamingTheNumber) {
  const Fd fd = std::move(*make_memfd("engine_test", 0));
  using Layers = std::vector<std::uint32_t>;
  const auto refusal = [&](tensor::Dtype dtype, Layers layers) {
    return pack({.folder = kTiny + "/model", .dtype = dtype, .fp8_layers = std::move(layers)},
                fd.get())
        .error()
        .message;
  };
  EXPECT_EQ(refusal(tensor::Dtype::float32, {0, 1}),
            "2 layers are to be in fp8, and the model in float32");
  if (backend_name(tensor::Dtype::fp8).empty()) GTEST_SKIP() << "nothing here computes in fp8";
  EXPECT_EQ(refusal(tensor::Dtype::fp8, {0, 2}),
            "layer 2 cannot be in fp8: the model's 2 layers are numbered from 0");
  EXPECT_EQ(refusal(tensor::Dtype::fp8, {1, 0}), "layers in fp8 ascend, and 0 comes behind 1");
}

// Heads of 128, for which cards have a kernel that multiplies by tables of positions in 16 bits.
TEST(WideHeads, OfDebertaAreNearInSixteenBits) {
  const std::string folder = SHEAF_SOURCE_DIR "/tests/golden/families/deberta";
  const auto texts = json::parse(text_of_file(folder + "/cases.json")).get<Texts>();
  const fs::path copy = fs::temp_directory_path() / ("sheaf_heads_" + std::to_string(::getpid()));
  fs::remove_all(copy);
  fs::copy(folder + "/model", copy, fs::copy_options::recursive);
  widen(copy, Heads::wider);
  auto exact = open_model(copy, kernels::backend_names(tensor::Dtype::float32).front());
  ASSERT_TRUE(exact.ok()) << exact.error().message;
  ASSERT_EQ((*exact)->spec().head_size, 128u);
  const auto want = embed(**exact, texts);
  ASSERT_TRUE(want.ok()) << want.error().message;
  for (const tensor::Dtype dtype : {tensor::Dtype::bfloat16, tensor::Dtype::float16})
    for (const std::string& backend : kernels::backend_names(dtype)) {
      SCOPED_TRACE(backend);
      auto engine = open_model(copy, backend);
      ASSERT_TRUE(engine.ok()) << engine.error().message;
      const auto got = embed(**engine, texts);
      ASSERT_TRUE(got.ok()) << got.error().message;
      for (std::size_t i = 0; i < texts.size(); ++i)
        EXPECT_GE(cosine((*got)[i], (*want)[i]), 0.999) << "text " << i;
    }
  fs::remove_all(copy);
}

// Of what pooling gives and of what Dense modules give, the first columns are answered, normalized
// if that is asked.
TEST(TruncateDim, CutsBeforeNormalizing) {
  for (const char* family : {"qwen3", "gemma3"}) {
    SCOPED_TRACE(family);
    const std::string folder = SHEAF_SOURCE_DIR "/tests/golden/families/" + std::string(family);
    const auto texts = json::parse(text_of_file(folder + "/cases.json")).get<Texts>();
    const auto golden = json::parse(text_of_file(folder + "/vectors.json"))["mean"].get<Vectors>();
    const fs::path copy =
        fs::temp_directory_path() / ("sheaf_families_" + std::to_string(::getpid()));
    fs::remove_all(copy);
    fs::copy(folder + "/model", copy, fs::copy_options::recursive);
    std::ofstream(copy / "config_sentence_transformers.json") << R"({"truncate_dim": 6})";
    auto engine = open_model(copy, best_backend());
    ASSERT_TRUE(engine.ok()) << engine.error().message;
    ASSERT_EQ((*engine)->spec().dimensions, 6u);
    for (const bool normalize : {false, true}) {
      const auto got = embed(**engine, texts, {.normalize = normalize});
      ASSERT_TRUE(got.ok()) << got.error().message;
      for (std::size_t i = 0; i < texts.size(); ++i) {
        std::vector<float> want(golden[i].begin(), golden[i].begin() + 6);
        double squares = 0;
        for (const float value : want) squares += double{value} * value;
        if (normalize)
          for (float& value : want) value /= static_cast<float>(std::sqrt(squares));
        expect_equal((*got)[i], want);
      }
    }
    fs::remove_all(copy);
  }
}

INSTANTIATE_TEST_SUITE_P(, Families,
                         ::testing::Values("deberta", "deberta_v2", "deberta_keys", "distilbert",
                                           "gemma3", "gte", "gte_longrope", "gte_new", "jina_bert",
                                           "jina_bert_reglu", "jina_code", "jina_v3", "jina_v3_own",
                                           "llama", "mistral", "mistral_longrope", "modernbert",
                                           "modernbert_yarn", "mpnet", "nomic", "nomic_long",
                                           "nomic_moe", "phi3", "phi3_windows", "qwen2",
                                           "qwen2_yarn", "qwen3", "qwen3_windows", "qwen3_yarn",
                                           "roberta", "xlm_roberta"),
                         [](const auto& info) { return info.param; });

// By tests/golden/prompts/make.py: pooling that leaves out as many tokens as the prompt has, here
// of a model that would tell token types apart.
TEST(PromptsLeftOut, EqualSentenceTransformers) {
  const std::string folder = SHEAF_SOURCE_DIR "/tests/golden/prompts";
  const json golden = json::parse(text_of_file(folder + "/vectors.json"));
  const json cases = json::parse(text_of_file(folder + "/cases.json"));
  const fs::path copy = fs::temp_directory_path() / ("sheaf_prompts_" + std::to_string(::getpid()));
  for (const auto& [name, vectors] : golden.items()) {
    fs::remove_all(copy);
    fs::copy(folder + "/model", copy, fs::copy_options::recursive);
    const json mode = name == "cls+mean" ? json{"cls", "mean"} : json(name);
    std::ofstream(copy / "1_Pooling/config.json")
        << json{{"pooling_mode", mode}, {"include_prompt", false}}.dump();
    std::vector<std::int32_t> ids;
    std::vector<std::uint32_t> bounds = {0};
    std::vector<ItemOptions> options;
    Vectors want;
    for (const auto& [prompt, texts] : cases.items())  // all of them in one batch
      for (std::size_t i = 0; i < texts.size(); ++i) {
        const auto text = texts[i]["ids"].get<std::vector<std::int32_t>>();
        ids.insert(ids.end(), text.begin(), text.end());
        bounds.push_back(static_cast<std::uint32_t>(ids.size()));
        options.push_back({.normalize = false, .second_at = texts[i]["prompt_tokens"]});
        want.push_back(vectors[prompt][i].get<std::vector<float>>());
      }
    for (const std::string& backend : kernels::backend_names()) {
      SCOPED_TRACE(name + " on " + backend);
      auto engine = open_model(copy, backend);
      ASSERT_TRUE(engine.ok()) << engine.error().message;
      Rows rows;
      ASSERT_TRUE((*engine)->embed({ids, bounds, options}, rows).ok());
      ASSERT_EQ(rows.size(), want.size());
      const float* at = rows.values().data();
      for (const auto& vector : want) {
        expect_equal({at, at + vector.size()}, vector);
        at += vector.size();
      }
    }
  }
  fs::remove_all(copy);
}

// Its weights go by places in the whole text, prompt included, as sentence-transformers has it.
TEST(PromptsLeftOut, OfAWeightedMean) {
  const fs::path copy =
      fs::temp_directory_path() / ("sheaf_weighted_" + std::to_string(::getpid()));
  fs::copy(SHEAF_SOURCE_DIR "/tests/golden/prompts/model", copy, fs::copy_options::recursive);
  std::ofstream(copy / "1_Pooling/config.json")
      << R"({"pooling_mode": "weightedmean", "include_prompt": false})";
  const Texts texts = {{2, 5, 6, 7, 8, 9, 3}, {2, 5, 6, 3}};
  const std::uint32_t prompt = 3;
  for (const std::string& backend : kernels::backend_names()) {
    SCOPED_TRACE(backend);
    auto engine = open_model(copy, backend);
    ASSERT_TRUE(engine.ok()) << engine.error().message;
    const Vectors got = embed(**engine, texts, {.normalize = false, .second_at = prompt}).value();
    const Vectors states = embed(**engine, texts, {.output = model::Output::tokens}).value();
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const std::size_t columns = got[i].size();
      std::vector<float> want(columns);
      float weights = 0;
      for (std::size_t t = prompt; t < texts[i].size(); ++t) {
        const auto weight = static_cast<float>(t + 1);
        weights += weight;
        for (std::size_t c = 0; c < columns; ++c) want[c] += weight * states[i][t * columns + c];
      }
      for (float& value : want) value /= weights;
      expect_near(got[i], want, 1e-5);
    }
  }
  fs::remove_all(copy);
}

// By tests/golden/classifiers/make.py: texts of one or two token types, and a score a label.
class Classifiers : public ::testing::TestWithParam<std::string> {};

TEST_P(Classifiers, EqualTransformers) {
  const std::string folder = SHEAF_SOURCE_DIR "/tests/golden/classifiers/" + GetParam();
  const json cases = json::parse(text_of_file(folder + "/cases.json"));
  const json golden = json::parse(text_of_file(folder + "/scores.json"));
  std::vector<std::int32_t> ids;
  std::vector<std::uint32_t> bounds = {0};
  std::vector<ItemOptions> options;
  std::vector<float> want;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const auto text = cases[i]["ids"].get<std::vector<std::int32_t>>();
    ids.insert(ids.end(), text.begin(), text.end());
    bounds.push_back(static_cast<std::uint32_t>(ids.size()));
    options.push_back({.normalize = true, .second_at = cases[i]["second_at"]});  // scores never are
    for (const float score : golden[i].get<std::vector<float>>()) want.push_back(score);
  }
  for (const std::string& backend : kernels::backend_names()) {
    SCOPED_TRACE(backend);
    auto engine = open_model(folder + "/model", backend);
    ASSERT_TRUE(engine.ok()) << engine.error().message;
    EXPECT_EQ((*engine)->spec().task(), model::Task::classify);
    EXPECT_EQ((*engine)->spec().labels.size(), golden[0].size());
    Rows got;
    const Status status = (*engine)->embed({ids, bounds, options}, got);
    ASSERT_TRUE(status.ok()) << status.error().message;
    expect_near({got.values().begin(), got.values().end()}, want, 1e-5);
  }
}

INSTANTIATE_TEST_SUITE_P(, Classifiers,
                         ::testing::Values("bert", "deberta", "deberta_moods", "distilbert", "gte",
                                           "gte_new", "jina_bert", "jina_xlm_roberta", "llama",
                                           "mistral", "modernbert", "mpnet", "nomic", "phi3",
                                           "qwen2", "qwen3", "roberta", "xlm_roberta"),
                         [](const auto& info) { return info.param; });

// The real model, where the machine has it.
class MiniLm : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("SHEAF_TEST_MODEL");
    if (folder == nullptr || !fs::exists(fs::path(folder) / "model.safetensors"))
      GTEST_SKIP() << "SHEAF_TEST_MODEL names no folder with the model";
    folder_ = folder;
  }
  std::string folder_;
};

TEST_F(MiniLm, EqualsSentenceTransformers) {
  const json cases = json::parse(text_of_file(kMiniLm + "/cases.json"));
  const std::string golden = text_of_file(kMiniLm + "/vectors.f32");
  ASSERT_EQ(golden.size(), cases.size() * 384 * sizeof(float));
  Texts texts;
  for (const json& c : cases) texts.push_back(c["ids"].get<std::vector<std::int32_t>>());
  for (const std::string& backend : kernels::backend_names()) {
    if (backend == "reference") continue;  // half a minute; the tiny model covers it
    for (const int threads : {1, 2}) {
      auto engine = open_model(folder_, backend, {.threads = threads});
      ASSERT_TRUE(engine.ok()) << engine.error().message;
      EXPECT_EQ((*engine)->spec().max_length, 256u);
      EXPECT_TRUE((*engine)->spec().normalize);
      const auto got = embed(**engine, texts, {.normalize = true});
      ASSERT_TRUE(got.ok()) << got.error().message;
      for (std::size_t i = 0; i < cases.size(); ++i) {
        std::vector<float> want(384);
        std::memcpy(want.data(), golden.data() + i * 384 * sizeof(float), 384 * sizeof(float));
        EXPECT_GE(cosine((*got)[i], want), 0.999999) << backend << ": " << cases[i]["text"];
        expect_near((*got)[i], want, 2e-6);
      }
    }
  }
}

// What of texts of some words trained weights answer, by sentence-transformers.
struct ShortTexts {
  Texts texts;
  Vectors want;

  ShortTexts() {
    const json cases = json::parse(text_of_file(kMiniLm + "/cases.json"));
    const std::string golden = text_of_file(kMiniLm + "/vectors.f32");
    for (std::size_t i = 0; i < cases.size(); ++i) {
      const auto ids = cases[i]["ids"].get<std::vector<std::int32_t>>();
      if (ids.size() < 6 || ids.size() > 40) continue;
      texts.push_back(ids);
      std::memcpy(want.emplace_back(384).data(), golden.data() + i * 384 * sizeof(float),
                  384 * sizeof(float));
    }
  }
};

struct Nearness {
  double mean = 0, least = 1;
};

// Prints what it finds.
Nearness nearness_of(Engine& engine, const ShortTexts& of) {
  const auto got = embed(engine, of.texts, {.normalize = true});
  EXPECT_TRUE(got.ok()) << got.error().message;
  Nearness near;
  for (std::size_t i = 0; i < of.texts.size(); ++i) {
    const double one = cosine((*got)[i], of.want[i]);
    near.mean += one / static_cast<double>(of.texts.size());
    near.least = std::min(near.least, one);
  }
  std::printf("%s, %s: %zu texts, cosine %.5f (least %.5f)\n", engine.device().c_str(),
              engine.dtype().c_str(), of.texts.size(), near.mean, near.least);
  return near;
}

// Of trained weights, for which they are meant: int8, and where a device has it fp8, first for
// feed-forward parts alone, then before and behind attention too.
TEST_F(MiniLm, IsNearInBytes) {
  const ShortTexts texts;
  std::vector<std::string> backends = kernels::backend_names(tensor::Dtype::fp8);
  std::ranges::copy(kernels::backend_names(tensor::Dtype::int8), std::back_inserter(backends));
  for (const std::string& backend : backends) {
    auto engine = open_model(folder_, backend);
    ASSERT_TRUE(engine.ok()) << engine.error().message;
    const auto [mean, least] = nearness_of(**engine, texts);
    const bool int8 = (*engine)->dtype() == "int8";
    const bool feed_forward_alone = backend == backends.front();
    EXPECT_GE(mean, int8 ? 0.999 : feed_forward_alone ? 0.9975 : 0.996);
    EXPECT_GE(least, int8 ? 0.995 : feed_forward_alone ? 0.99 : 0.985);
  }
}

// The three layers that were chosen by measuring other texts (docs/cuda.md) keep what `auto` asks
// for, and what layers cost alone adds up to what they cost together.
TEST_F(MiniLm, KeepsTheBoundsWithChosenLayersInFp8) {
  const std::string fp8 = backend_name(tensor::Dtype::fp8);
  if (fp8.empty()) GTEST_SKIP() << "nothing here computes in fp8";
  const ShortTexts texts;
  const auto error_in = [&](model::Fp8Layers layers) {
    auto engine = open_model(folder_, fp8, {}, std::move(layers));
    EXPECT_TRUE(engine.ok()) << engine.error().message;
    const auto [mean, least] = nearness_of(**engine, texts);
    EXPECT_GE(least, 0.995);
    return 1 - mean;
  };
  using Layers = std::vector<std::uint32_t>;
  const double none = error_in(Layers{}), chosen = error_in(Layers{1, 2, 3});
  EXPECT_LE(chosen, 0.001);
  double sum = none;
  for (const std::uint32_t layer : {1u, 2u, 3u}) sum += error_in(Layers{layer}) - none;
  EXPECT_NEAR(sum, chosen, 0.1 * chosen);
}

}  // namespace
}  // namespace sheaf::engine
