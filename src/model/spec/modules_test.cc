#include "model/spec/modules.h"

#include <gtest/gtest.h>

#include "model/spec/model_folder_fixture.h"

namespace sheaf::model {
namespace {

namespace fs = std::filesystem;

class PoolingChoiceTest : public ModelFolderTest {
 protected:
  Result<ModelSpec> read_as(const std::string& pooling) { return read_spec(folder_, pooling); }
  std::string refusal_of(const std::string& pooling) {
    const auto spec = read_as(pooling);
    return spec.ok() ? "" : spec.error().message;
  }
};

TEST_F(PoolingChoiceTest, WordsOfTeiAndOfSentenceTransformers) {
  for (const char* word : {"last-token", "last_token", "lasttoken"})
    EXPECT_EQ(parse_pooling(word)->pooling, Pooling::last_token) << word;
  for (const char* word : {"weightedmean", "weighted-mean", "weighted_mean"})
    EXPECT_EQ(parse_pooling(word)->pooling, Pooling::weighted_mean) << word;
  EXPECT_EQ(parse_pooling("mean_sqrt_len_tokens")->pooling, Pooling::mean_sqrt_len);
  EXPECT_EQ(parse_pooling("cls")->pooling, Pooling::cls);
  EXPECT_TRUE(parse_pooling("splade")->splade);
  EXPECT_FALSE(parse_pooling("")->given());
  EXPECT_EQ(check_pooling("median").error().message,
            "'median' is not one of cls, max, mean, mean_sqrt_len, weighted_mean, last_token, "
            "splade, rerank");
}

TEST_F(PoolingChoiceTest, StandsInPlaceOfTheModule) {
  use("tiny_bert");
  EXPECT_EQ(read_as("cls")->pooling, std::vector<Pooling>{Pooling::cls});
  EXPECT_EQ(read_as("")->pooling, std::vector<Pooling>{Pooling::mean});
  set("1_Pooling/config.json", "pooling_mode", "median");
  EXPECT_EQ(read_as("max")->pooling, std::vector<Pooling>{Pooling::max});
  set("1_Pooling/config.json", "include_prompt", false);
  EXPECT_FALSE(read_as("max")->pools_prompt) << "that holds for any pooling";
  EXPECT_FALSE(read_as("weighted-mean")->pools_prompt);
  fs::remove(folder_ / "modules.json");
  EXPECT_EQ(read_as("last-token")->pooling, std::vector<Pooling>{Pooling::last_token});
}

TEST_F(PoolingChoiceTest, KeepsWhatComesBehindIfItFits) {
  use("families/gemma3");
  const auto own = read_as("");
  ASSERT_TRUE(own.ok()) << own.error().message;
  ASSERT_FALSE(own->dense.empty());
  const auto told = read_as("max");
  ASSERT_TRUE(told.ok()) << told.error().message;
  EXPECT_EQ(told->pooling, std::vector<Pooling>{Pooling::max});
  EXPECT_EQ(told->dense.size(), own->dense.size());
  EXPECT_EQ(told->dimensions, own->dimensions);
  EXPECT_EQ(told->normalize, own->normalize);
}

TEST_F(PoolingChoiceTest, MakesMaskedLanguageModelsSparse) {
  use("sparse/bert");
  const std::uint32_t words = read_as("")->vocab_size;
  fs::remove(folder_ / "modules.json");
  EXPECT_FALSE(read_as("")->is_splade()) << "as sentence-transformers takes it";
  const auto spec = read_as("splade");
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_EQ(spec->main_output(), Output::sparse);
  EXPECT_EQ(spec->width_of(Output::sparse), words);
  EXPECT_FALSE(spec->gives(Output::vector));
  EXPECT_FALSE(spec->word_head.sum);
  EXPECT_EQ(spec->word_head.logs, 1u);
}

TEST_F(PoolingChoiceTest, SpladeDropsNormalizeAndRefusesDense) {
  use("sparse/bert");
  const auto with = [this](const char* last) {
    const auto line = [](const std::string& kind, const std::string& path) {
      return nlohmann::json{{"type", "sentence_transformers.models." + kind}, {"path", path}};
    };
    write("modules.json", nlohmann::json{line("Transformer", ""), line("Pooling", "1_Pooling"),
                                         line(last, "2_Last")}
                              .dump());
    fs::create_directory(folder_ / "1_Pooling");
    write("1_Pooling/config.json", "{}");
    return refusal_of("splade");
  };
  EXPECT_EQ(with("Normalize"), "");
  EXPECT_FALSE(read_as("splade")->normalize);
  EXPECT_NE(with("Dense").find("2.type"), std::string::npos) << with("Dense");
}

TEST_F(PoolingChoiceTest, SparseModelsKeepTheirOwnSumsAndMayEmbed) {
  use("sparse/mpnet");
  EXPECT_TRUE(read_as("splade")->word_head.sum);
  const auto spec = read_as("mean");
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_FALSE(spec->is_splade());
  EXPECT_EQ(spec->dimensions, spec->hidden_size);
  EXPECT_EQ(spec->main_output(), Output::vector);
}

TEST_F(PoolingChoiceTest, SpladeNeedsTheHead) {
  use("tiny_bert");
  EXPECT_NE(refusal_of("splade").find("no tensor 'cls.predictions.transform.dense.weight'"),
            std::string::npos)
      << refusal_of("splade");
  use("families/qwen3");
  EXPECT_NE(refusal_of("splade").find("'qwen3', of which no head"), std::string::npos)
      << refusal_of("splade");
}

TEST_F(PoolingChoiceTest, ClassifiersAndRerankersHaveNoChoice) {
  for (const char* pooling : {"mean", "splade"}) {
    copy("rerankers/bert", "model");
    EXPECT_NE(refusal_of(pooling).find("is a reranker; pooling can be chosen"), std::string::npos)
        << refusal_of(pooling);
    use("classifiers/roberta");
    EXPECT_NE(refusal_of(pooling).find("is a classifier; pooling can be chosen"), std::string::npos)
        << refusal_of(pooling);
  }
  EXPECT_EQ(refusal_of(""), "");
}

}  // namespace
}  // namespace sheaf::model
