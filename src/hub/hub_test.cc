#include "hub/hub.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace sheaf::hub {
namespace {

namespace fs = std::filesystem;

// A folder models/ with two models, minilm and reranker, in it, and one that is none.
class MistypedTest : public ::testing::Test {
 protected:
  MistypedTest() {
    for (const char* name : {"minilm", "reranker", "minilk"}) fs::create_directories(at(name));
    for (const char* name : {"minilm", "reranker"})
      std::ofstream(at(name) + "/config.json") << "{}";
    std::ofstream(at("minilm") + "/model.safetensors") << "weights";
  }
  ~MistypedTest() override { fs::remove_all(root_); }

  std::string at(const std::string& name) const { return (root_ / "models" / name).string(); }
  static std::string refusal(const std::string& source) {
    HubOptions options;
    options.offline = true;
    const auto found = resolve_model(source, "", {{{"config.json", true, ""}}, nullptr}, options,
                                     [](const Progress&) {});
    return found.ok() ? "" : found.error().message;
  }

  const fs::path root_ =
      fs::temp_directory_path() / ("sheaf_hub_test_" + std::to_string(::getpid()));
};

TEST_F(MistypedTest, AFolderOfAModelNearByIsNamed) {
  EXPECT_EQ(refusal(at("minilm")), "");
  EXPECT_EQ(refusal(at("minlm")),
            "the folder " + at("minlm") + " does not exist; did you mean " + at("minilm") + "?");
  EXPECT_EQ(refusal(at("Reranker/")), "the folder " + at("Reranker/") +
                                          " does not exist; did you mean " + at("reranker") + "?");
  EXPECT_EQ(refusal(at("something-else")),
            "the folder " + at("something-else") + " does not exist");
}

TEST_F(MistypedTest, ASnapshotHasTheNameOfTheHub) {
  const auto name_of = [this](const std::string& folder) {
    fs::create_directories(at(folder));
    std::ofstream(at(folder) + "/config.json") << "{}";
    const auto found = resolve_model(at(folder), "", {{{"config.json", true, ""}}, nullptr}, {},
                                     [](const Progress&) {});
    return found.ok() ? found->name : found.error().message;
  };
  const std::string commit(40, 'c');
  EXPECT_EQ(name_of("models--org--name/snapshots/" + commit), "org/name");
  EXPECT_EQ(name_of("models--org--name/snapshots/" + commit + "/"), "org/name");
  EXPECT_EQ(name_of("other/snapshots/" + commit), commit);
  EXPECT_EQ(name_of("models--org--name/" + commit), commit);
}

TEST_F(MistypedTest, AFileIsNotTakenForAName) {
  const std::string file = at("minilm") + "/model.safetensors";
  EXPECT_EQ(refusal(file), file + " is a file; name the folder that holds it: " + at("minilm"));
  EXPECT_FALSE(is_hub_name(file));
}

TEST_F(MistypedTest, AHubNameThatMayBeAPathIsBoth) {
  const fs::path before = fs::current_path();
  fs::current_path(root_);
  EXPECT_TRUE(is_hub_name("models/minlm"));
  EXPECT_EQ(similar_folder("models/minlm"), "models/minilm");
  EXPECT_NE(refusal("models/minlm").find("; or did you mean the folder models/minilm?"),
            std::string::npos)
      << refusal("models/minlm");
  fs::current_path(root_ / "models");
  EXPECT_EQ(similar_folder("minlm"), "minilm");
  EXPECT_EQ(similar_folder("org/minlm"), "");
  fs::current_path(before);
}

}  // namespace
}  // namespace sheaf::hub
