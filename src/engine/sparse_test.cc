// Rows that are no vectors, against what tests/golden/sparse/make.py wrote, on every backend.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/engine.h"
#include "engine/pack.h"
#include "kernels/ops.h"

namespace sheaf::engine {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Row = std::vector<float>;
using Texts = std::vector<std::vector<std::int32_t>>;

const std::string kGolden = SHEAF_SOURCE_DIR "/tests/golden/sparse/";

json read_json(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  return json::parse(stream);
}

Result<std::unique_ptr<Engine>> open_sparse(const std::string& folder, const std::string& backend,
                                            int threads = 1, const std::string& pooling = "") {
  SHEAF_ASSIGN(const Fd fd, make_memfd("sparse_test", 0));
  SHEAF_TRY(pack_for(backend, folder, fd.get(), pooling));
  SHEAF_ASSIGN(const std::size_t bytes, file_size(fd.get()));
  SHEAF_ASSIGN(Mapping mapping, Mapping::map(fd.get(), bytes, Mapping::Access::read_only));
  return Engine::open(std::move(mapping), {.threads = threads});
}

// Each text asked for its own output.
Result<std::vector<Row>> run(Engine& engine, const Texts& texts,
                             const std::vector<model::Output>& outputs) {
  std::vector<std::int32_t> ids;
  std::vector<std::uint32_t> bounds = {0};
  std::vector<ItemOptions> options;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    ids.insert(ids.end(), texts[i].begin(), texts[i].end());
    bounds.push_back(static_cast<std::uint32_t>(ids.size()));
    options.push_back({.output = outputs[i % outputs.size()]});
  }
  Rows out;
  SHEAF_TRY(engine.embed({ids, bounds, options}, out));
  std::vector<Row> rows;
  const float* at = out.values().data();
  for (const std::uint32_t floats : out.floats()) {
    rows.emplace_back(at, at + floats);
    at += floats;
  }
  return rows;
}

float largest(const Row& values) {
  float most = 0;
  for (const float value : values) most = std::max(most, std::abs(value));
  return most;
}

// `scale`: the largest of all values of the case.
void expect_equal(const Row& got, const Row& want, float scale) {
  ASSERT_EQ(got.size(), want.size());
  const float tolerance = 1e-4f * scale;
  for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i], tolerance) << i;
}

// A weight for every word again.
Row spread(const Row& terms, std::size_t words) {
  Row weights(words, 0);
  for (std::size_t i = 0; i + 1 < terms.size(); i += 2) {
    EXPECT_LT(terms[i], static_cast<float>(words));
    EXPECT_GT(terms[i + 1], 0);
    EXPECT_GT(terms[i], i == 0 ? -1.0f : terms[i - 2]);
    weights[static_cast<std::size_t>(terms[i])] = terms[i + 1];
  }
  return weights;
}

class Sparse : public ::testing::TestWithParam<std::string> {
 protected:
  std::string folder() const { return kGolden + GetParam(); }
  Texts texts() const { return read_json(folder() + "/cases.json").get<Texts>(); }
};

TEST_P(Sparse, WordsWeighWhatTheReferenceSays) {
  const auto golden = read_json(folder() + "/words.json").get<std::vector<Row>>();
  float scale = 0;
  for (const Row& row : golden) scale = std::max(scale, largest(row));
  for (const std::string& backend : kernels::backend_names())
    for (const int threads : {1, 3}) {
      SCOPED_TRACE(backend);
      auto engine = open_sparse(folder() + "/model", backend, threads);
      ASSERT_TRUE(engine.ok()) << engine.error().message;
      const auto got = run(**engine, texts(), {model::Output::sparse});
      ASSERT_TRUE(got.ok()) << got.error().message;
      ASSERT_EQ(got->size(), golden.size());
      for (std::size_t i = 0; i < golden.size(); ++i)
        expect_equal(spread((*got)[i], golden[i].size()), golden[i], scale);
    }
}

TEST_P(Sparse, TokensHaveTheVectorsOfTheReference) {
  const json golden = read_json(folder() + "/tokens.json");
  Texts some = texts();
  if (golden.size() == 2) some = {some[2], some[3]};
  for (const std::string& backend : kernels::backend_names()) {
    SCOPED_TRACE(backend);
    auto engine = open_sparse(folder() + "/model", backend);
    ASSERT_TRUE(engine.ok()) << engine.error().message;
    const auto got = run(**engine, some, {model::Output::tokens});
    ASSERT_TRUE(got.ok()) << got.error().message;
    ASSERT_EQ(got->size(), golden.size());
    for (std::size_t i = 0; i < golden.size(); ++i) {
      Row want;
      for (const Row& token : golden[i].get<std::vector<Row>>())
        want.insert(want.end(), token.begin(), token.end());
      expect_equal((*got)[i], want, largest(want));
    }
  }
}

// However many texts there are and whatever else is asked for beside them.
TEST_P(Sparse, TextsDoNotInfluenceEachOther) {
  auto engine = open_sparse(folder() + "/model", kernels::backend_names().front(), 2);
  ASSERT_TRUE(engine.ok()) << engine.error().message;
  Texts many;
  for (int i = 0; i < 60; ++i)
    for (const auto& text : texts()) many.push_back(text);
  const std::vector<model::Output> outputs = {model::Output::sparse, model::Output::sparse,
                                              model::Output::tokens,
                                              (*engine)->spec().main_output()};
  const auto got = run(**engine, many, outputs);
  ASSERT_TRUE(got.ok()) << got.error().message;
  for (std::size_t i = 0; i < many.size(); i += 5) {
    const auto alone = run(**engine, {many[i]}, {outputs[i % outputs.size()]});
    ASSERT_TRUE(alone.ok());
    ASSERT_EQ((*got)[i].size(), (*alone)[0].size()) << i;
    for (std::size_t j = 0; j < (*alone)[0].size(); ++j)
      ASSERT_NEAR((*got)[i][j], (*alone)[0][j], 2e-5f * (1 + largest((*alone)[0])));
  }
}

INSTANTIATE_TEST_SUITE_P(, Sparse,
                         ::testing::Values("bert", "bert_untied", "bge_m3", "distilbert",
                                           "modernbert", "mpnet", "xlm_roberta"),
                         [](const auto& info) { return info.param; });

TEST(SparseHeads, WordsThatAreTiedArePackedOnce) {
  const Fd fd = std::move(*make_memfd("sparse_test", 0));
  ASSERT_TRUE(pack_for("reference", kGolden + "bert/model", fd.get()).ok());
  const std::size_t bytes = *file_size(fd.get());
  const Mapping packed = std::move(*Mapping::map(fd.get(), bytes, Mapping::Access::read_only));
  const std::string_view text(reinterpret_cast<const char*>(packed.data()), bytes);
  const std::string_view name = "embeddings.word_embeddings.weight";
  const std::size_t first = text.find(name);
  ASSERT_NE(first, text.npos);
  EXPECT_EQ(text.find(name, first + 1), text.npos);
  EXPECT_EQ(text.find("decoder.weight"), text.npos);
}

// As transformers saves it, without a word about SPLADE.
TEST(SparseHeads, ABareMaskedLanguageModelIsOneIfTold) {
  const fs::path copy = fs::temp_directory_path() / ("sheaf_splade_" + std::to_string(::getpid()));
  fs::remove_all(copy);
  fs::copy(kGolden + "bert/model", copy, fs::copy_options::recursive);
  fs::remove(copy / "modules.json");
  const auto golden = read_json(kGolden + "bert/words.json").get<std::vector<Row>>();
  const Texts texts = read_json(kGolden + "bert/cases.json").get<Texts>();
  auto engine = open_sparse(copy, kernels::backend_names().front(), 1, "splade");
  fs::remove_all(copy);
  ASSERT_TRUE(engine.ok()) << engine.error().message;
  const auto got = run(**engine, texts, {model::Output::sparse});
  ASSERT_TRUE(got.ok()) << got.error().message;
  ASSERT_EQ(got->size(), golden.size());
  for (std::size_t i = 0; i < golden.size(); ++i)
    expect_equal(spread((*got)[i], golden[i].size()), golden[i], largest(golden[i]));
}

TEST(SparseHeads, PicklesAreNotReadButNoted) {
  const fs::path copy = fs::temp_directory_path() / ("sheaf_sparse_" + std::to_string(::getpid()));
  fs::remove_all(copy);
  fs::copy(kGolden + "bge_m3/model", copy, fs::copy_options::recursive);
  fs::rename(copy / "sparse_linear.safetensors", copy / "sparse_linear.pt");
  fs::remove(copy / "colbert_linear.safetensors");
  auto engine = open_sparse(copy, "reference");
  ASSERT_TRUE(engine.ok()) << engine.error().message;
  const model::ModelSpec& spec = (*engine)->spec();
  EXPECT_EQ(spec.unread_heads, "sparse_linear.pt");
  EXPECT_FALSE(spec.gives(model::Output::sparse));
  EXPECT_EQ(spec.width_of(model::Output::tokens), spec.hidden_size);
  EXPECT_FALSE(run(**engine, {{5}}, {model::Output::sparse}).ok());
  const auto states = run(**engine, {{5, 6}}, {model::Output::tokens});
  ASSERT_TRUE(states.ok());
  EXPECT_EQ((*states)[0].size(), 2 * spec.hidden_size);
  fs::remove_all(copy);
}

}  // namespace
}  // namespace sheaf::engine
