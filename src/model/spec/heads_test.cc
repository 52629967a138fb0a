#include "model/spec/heads.h"

#include <gtest/gtest.h>

#include "model/spec/model_folder_fixture.h"

namespace sheaf::model {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class HeadsTest : public ModelFolderTest {
 protected:
  void use(const std::string& model) { ModelFolderTest::use("sparse/" + model); }
};

TEST_F(HeadsTest, SpladeGivesWordsAndTokensButNoVector) {
  use("bert");
  const auto spec = read_spec(folder_);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_TRUE(spec->is_splade());
  EXPECT_EQ(kind_of(*spec), "sparse embedder");
  EXPECT_EQ(spec->main_output(), Output::sparse);
  EXPECT_EQ(spec->width_of(Output::sparse), spec->vocab_size);
  EXPECT_EQ(spec->width_of(Output::tokens), spec->hidden_size);
  EXPECT_EQ(spec->width_of(Output::vector), 0u);
  EXPECT_FALSE(spec->word_head.sum);
  EXPECT_EQ(spec->word_head.logs, 1u);
  EXPECT_TRUE(spec->word_head.decoder.empty()) << "tied";
  use("bert_untied");
  EXPECT_EQ(read_spec(folder_)->word_head.decoder, "cls.predictions.decoder");
}

TEST_F(HeadsTest, PoolingIsReadAndWhatIsUnknownRefusedByName) {
  use("mpnet");
  const auto spec = read_spec(folder_);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_TRUE(spec->word_head.sum);
  EXPECT_EQ(spec->word_head.logs, 2u);
  set("1_SpladePooling/config.json", "pooling_strategy", "mean");
  EXPECT_NE(refusal().find("'mean'; built are: max, sum"), std::string::npos) << refusal();
  use("mpnet");
  set("1_SpladePooling/config.json", "activation_function", "gelu");
  EXPECT_NE(refusal().find("1_SpladePooling/config.json"), std::string::npos) << refusal();
}

TEST_F(HeadsTest, ModulesBehindSpladePoolingAreRefused) {
  use("bert");
  json modules = read("modules.json");
  modules.push_back({{"idx", 2}, {"path", ""}, {"type", "sentence_transformers.models.Normalize"}});
  write("modules.json", modules.dump());
  EXPECT_NE(refusal().find("2.type"), std::string::npos) << refusal();
}

TEST_F(HeadsTest, TokenHeadsAreFoundBesideTheWeights) {
  use("bge_m3");
  const auto spec = read_spec(folder_);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_EQ(spec->main_output(), Output::vector);
  EXPECT_EQ(spec->width_of(Output::vector), 30u);
  EXPECT_EQ(spec->width_of(Output::sparse), 59u);
  EXPECT_EQ(spec->width_of(Output::tokens), 13u);
  EXPECT_TRUE(spec->token_weight.bias);
  EXPECT_TRUE(spec->unread_heads.empty());
}

TEST_F(HeadsTest, TokenHeadsOfWrongShapeAreRefusedNamingTheFile) {
  use("bge_m3");
  fs::copy_file(folder_ / "colbert_linear.safetensors", folder_ / "sparse_linear.safetensors",
                fs::copy_options::overwrite_existing);
  EXPECT_NE(refusal().find("sparse_linear.safetensors: tensor 'weight' has 13 rows"),
            std::string::npos)
      << refusal();
  write("sparse_linear.safetensors", "no tensors");
  EXPECT_NE(refusal().find("sparse_linear.safetensors"), std::string::npos) << refusal();
}

TEST_F(HeadsTest, SpecialTokensAreKnownOfXlmRobertaAlone) {
  use("bge_m3");
  set("config.json", "model_type", "roberta");
  EXPECT_NE(refusal().find("xlm-roberta"), std::string::npos) << refusal();
}

TEST_F(HeadsTest, PickledHeadsAreNoted) {
  use("bge_m3");
  fs::rename(folder_ / "sparse_linear.safetensors", folder_ / "sparse_linear.pt");
  fs::rename(folder_ / "colbert_linear.safetensors", folder_ / "colbert_linear.pt");
  const auto spec = read_spec(folder_);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_EQ(spec->unread_heads, "sparse_linear.pt, colbert_linear.pt");
  EXPECT_FALSE(spec->gives(Output::sparse));
  EXPECT_TRUE(spec->gives(Output::tokens));
}

}  // namespace
}  // namespace sheaf::model
