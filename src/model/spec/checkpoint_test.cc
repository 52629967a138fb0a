#include "model/spec/checkpoint.h"

#include <gtest/gtest.h>

#include "model/spec/model_folder_fixture.h"
#include "model/spec/shard_index.h"

namespace sheaf::model {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kShard = "model-00002-of-00006.safetensors";

// A copy of a checkpoint in six shards, for a test to spoil.
class CheckpointTest : public ModelFolderTest {
 protected:
  CheckpointTest() {
    use("families/qwen3_windows");
    index_ = read("model.safetensors.index.json");
  }

  void write_index() { write("model.safetensors.index.json", index_.dump()); }
  void expect_refused(ErrorCode code, const std::vector<std::string>& words) {
    const auto checkpoint = Checkpoint::open(folder_, {});
    ASSERT_FALSE(checkpoint.ok());
    EXPECT_EQ(checkpoint.error().code, code);
    for (const std::string& word : words)
      EXPECT_NE(checkpoint.error().message.find(word), std::string::npos)
          << checkpoint.error().message;
  }

  json index_;
};

TEST_F(CheckpointTest, HoldsTheTensorsOfAllShards) {
  const auto checkpoint = Checkpoint::open(folder_, {});
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
  EXPECT_EQ(checkpoint->tensors().size(), index_["weight_map"].size());
  for (const auto& [name, shard] : index_["weight_map"].items()) {
    ASSERT_NE(checkpoint->find(name), nullptr) << name;
    EXPECT_EQ(checkpoint->find(name)->entry.name, name);
  }
  EXPECT_EQ(checkpoint->find("model.layers.9.mlp.down_proj.weight"), nullptr);
}

TEST_F(CheckpointTest, MissingShardIsNamed) {
  fs::remove(folder_ / kShard);
  expect_refused(ErrorCode::not_found, {kShard});
}

TEST_F(CheckpointTest, DamagedShardIsNamed) {
  fs::resize_file(folder_ / kShard, fs::file_size(folder_ / kShard) - 1);
  expect_refused(ErrorCode::corrupt, {kShard});
}

TEST_F(CheckpointTest, TensorThatIsNotInItsShardIsNamed) {
  index_["weight_map"]["model.extra.weight"] = kShard;
  write_index();
  expect_refused(ErrorCode::corrupt,
                 {"model.safetensors.index.json", "'model.extra.weight'", kShard});
}

TEST_F(CheckpointTest, TensorInTwoShardsIsNamed) {
  fs::copy(folder_ / kShard, folder_ / "again.safetensors");
  index_["weight_map"]["model.extra.weight"] = "again.safetensors";
  write_index();
  expect_refused(ErrorCode::corrupt, {"also in", kShard, "again.safetensors"});
}

TEST_F(CheckpointTest, TensorsThatTheIndexLeavesOutAreLeftOut) {
  index_["weight_map"].erase("lm_head.weight");
  write_index();
  const auto checkpoint = Checkpoint::open(folder_, {});
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
  EXPECT_EQ(checkpoint->find("lm_head.weight"), nullptr);
}

TEST_F(CheckpointTest, OneFileIsPreferredToAnIndex) {
  fs::copy(folder_ / kShard, folder_ / "model.safetensors");
  const auto checkpoint = Checkpoint::open(folder_, {});
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
  EXPECT_LT(checkpoint->tensors().size(), index_["weight_map"].size());
}

TEST_F(CheckpointTest, WeightsOfPyTorchAreRefusedWithARemedy) {
  fs::remove(folder_ / "model.safetensors.index.json");
  write("pytorch_model.bin", "\x80\x02");
  expect_refused(ErrorCode::unsupported, {"pytorch_model.bin", "pickle", "save_pretrained()"});
  use("families/qwen3_windows");
  fs::create_directory(folder_ / "2_Dense");
  write("2_Dense/pytorch_model.bin", "\x80\x02");
  const auto checkpoint = Checkpoint::open(folder_, {{"2_Dense/model.safetensors", "2_Dense/"}});
  ASSERT_FALSE(checkpoint.ok());
  EXPECT_NE(checkpoint.error().message.find("2_Dense: there is pytorch_model.bin"),
            std::string::npos)
      << checkpoint.error().message;
}

TEST(ShardIndex, NamesThatAreNoFilesBesideItAreRefused) {
  for (const char* name : {"", ".", "..", "../model.safetensors", "/etc/passwd", "a/b.safetensors",
                           ".hidden.safetensors", "a\\\\b.safetensors", "model.bin", "safetensors",
                           "x\\u0000/../y.safetensors"}) {
    const auto shards =
        parse_shard_index(std::string(R"({"weight_map":{"a":")") + name + "\"}}", "some.json");
    ASSERT_FALSE(shards.ok()) << name;
    EXPECT_EQ(shards.error().code, ErrorCode::corrupt);
    EXPECT_NE(shards.error().message.find("some.json: field 'weight_map.a'"), std::string::npos)
        << shards.error().message;
  }
}

TEST(ShardIndex, BrokenOnesAreRefused) {
  for (const char* text :
       {"", "[]", "{}", R"({"weight_map":[]})", R"({"weight_map":{}})", R"({"weight_map":{"a":1}})",
        R"({"weight_map":{"a":{"b":"c.safetensors"}}})",
        R"({"weight_map":{"a":"b.safetensors","a":"c.safetensors"}})"}) {
    const auto shards = parse_shard_index(text, "some.json");
    ASSERT_FALSE(shards.ok()) << text;
    EXPECT_NE(shards.error().message.find("some.json"), std::string::npos)
        << shards.error().message;
  }
}

}  // namespace
}  // namespace sheaf::model
