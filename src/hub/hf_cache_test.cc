#include "hub/hf_cache.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "hub/hub.h"

namespace sheaf::hub {
namespace {
namespace fs = std::filesystem;

const std::string kCommit(40, 'c');

class HfCacheTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "sheaf_hf_cache_test";
    fs::remove_all(root_);
    ASSERT_TRUE(cache().prepare().ok());
  }
  void TearDown() override { fs::remove_all(root_); }

  HfCache cache() const { return HfCache(root_, {"org", "name"}); }
  void add_blob(const std::string& etag, const std::string& content) const {
    std::ofstream(cache().blob(etag)) << content;
  }
  std::string root_;
};

TEST_F(HfCacheTest, LinksAreRelativeAndReplaceDanglingOnes) {
  const std::string pointer = cache().snapshot(kCommit) + "/1_Pooling/config.json";
  fs::create_directories(fs::path(pointer).parent_path());
  fs::create_symlink("nowhere", pointer);
  EXPECT_FALSE(cache().has(kCommit, "1_Pooling/config.json"));
  add_blob("abc", "{}");
  ASSERT_TRUE(cache().link(kCommit, "1_Pooling/config.json", "abc").ok());
  EXPECT_EQ(fs::read_symlink(pointer), "../../../blobs/abc");
  EXPECT_TRUE(cache().has(kCommit, "1_Pooling/config.json"));
}

TEST_F(HfCacheTest, RefsHoldCommitsOnly) {
  EXPECT_EQ(cache().read_ref("main"), std::nullopt);
  ASSERT_TRUE(cache().write_ref("refs/pr/1", kCommit).ok());
  EXPECT_EQ(cache().read_ref("refs/pr/1"), kCommit);
  std::ofstream(root_ + "/models--org--name/refs/main") << "../../elsewhere";
  EXPECT_EQ(cache().read_ref("main"), std::nullopt);
}

TEST_F(HfCacheTest, BrokenTreeListsAreIgnored) {
  fs::create_directories(root_ + "/models--org--name/trees");
  const std::string tree = root_ + "/models--org--name/trees/" + kCommit + ".json";
  for (const char* text : {"", "[", "[]", "{}", R"({"files": []})", R"({"files": {"b": 1}})"}) {
    std::ofstream(tree) << text;
    EXPECT_FALSE(cache().is_listed(kCommit, "a")) << text;
  }
  std::ofstream(tree) << R"({"files": {"a": {}}})";
  EXPECT_TRUE(cache().is_listed(kCommit, "a"));
}

TEST_F(HfCacheTest, ListsModelsWithTheSizesOfTheirBlobs) {
  add_blob("abc", "12345");
  ASSERT_TRUE(cache().link(kCommit, "a/b", "abc").ok());
  HubOptions options;
  options.cache_folder = root_;
  const auto models = list_cached_models(options);
  ASSERT_EQ(models.size(), 1u);
  EXPECT_EQ(models[0].name, "org/name");
  EXPECT_EQ(models[0].revision, kCommit);
  EXPECT_EQ(models[0].bytes, 5u);
  options.cache_folder = "/nonexistent";
  EXPECT_TRUE(list_cached_models(options).empty());
}

}  // namespace
}  // namespace sheaf::hub
