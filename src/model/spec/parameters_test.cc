#include "model/spec/parameters.h"

#include "model/spec/model_folder_fixture.h"

namespace sheaf::model {
namespace {

using ParametersTest = ModelFolderTest;

TEST_F(ParametersTest, ProductsTablesAndVectorsApart) {
  use("families/qwen3");
  const auto spec = read_spec(folder_);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  const auto count = count_parameters(folder_, *spec);
  ASSERT_TRUE(count.ok()) << count.error().message;
  // Three layers of hidden 20, 6 heads and 2 of keys and values of 10, inner 34; 59 words.
  EXPECT_EQ(count->products, 3u * (20 * 100 + 60 * 20 + 3 * 20 * 34));
  EXPECT_EQ(count->blocks, 3u * (100 + 20 + 2 * 34 + 20));  // none has more than 128 inputs
  EXPECT_EQ(count->tables, 59u * 20);
  EXPECT_EQ(count->vectors, 3u * (2 * 20 + 2 * 10) + 20);
  EXPECT_EQ(count->total(), spec->parameter_count);
}

TEST_F(ParametersTest, TablesOfPositionsAndTypesAreTables) {
  use("tiny_bert");
  const auto spec = read_spec(folder_);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  const auto count = count_parameters(folder_, *spec);
  ASSERT_TRUE(count.ok()) << count.error().message;
  EXPECT_EQ(count->tables,
            std::uint64_t{spec->vocab_size + spec->positions + spec->type_vocab_size} *
                spec->hidden_size);
}

TEST_F(ParametersTest, WithoutWeightsTheFileIsNamed) {
  use("tiny_bert");
  const auto spec = read_spec(folder_);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  std::filesystem::remove(folder_ / "model.safetensors");
  const auto count = count_parameters(folder_, *spec);
  ASSERT_FALSE(count.ok());
  EXPECT_NE(count.error().message.find("model.safetensors"), std::string::npos);
}

}  // namespace
}  // namespace sheaf::model
