#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "hub/hub.h"

namespace sheaf::hub {
namespace {

// Environment of one test: every variable that matters is unset before and after.
class OptionsTest : public testing::Test {
 protected:
  void SetUp() override {
    clear();
    set("HOME", "/home/u");
  }
  void TearDown() override { clear(); }

  static void set(const char* name, const char* value) { ::setenv(name, value, 1); }
  static void clear() {
    for (const char* name :
         {"HF_ENDPOINT", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME",
          "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HUB_OFFLINE",
          "TRANSFORMERS_OFFLINE", "HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT",
          "HF_HUB_DISABLE_IMPLICIT_TOKEN", "MODELSCOPE_DOMAIN", "MODELSCOPE_CACHE"})
      ::unsetenv(name);
  }
  static std::string cache() { return HubOptions::from_environment().cache_folder; }
};

TEST_F(OptionsTest, CacheFolderFollowsTheHubsOrder) {
  EXPECT_EQ(cache(), "/home/u/.cache/huggingface/hub");
  set("XDG_CACHE_HOME", "/x");
  EXPECT_EQ(cache(), "/x/huggingface/hub");
  set("HF_HOME", "~/hf/");
  EXPECT_EQ(cache(), "/home/u/hf/hub");
  set("HUGGINGFACE_HUB_CACHE", "/old");
  EXPECT_EQ(cache(), "/old");
  set("HF_HUB_CACHE", "/new");
  EXPECT_EQ(cache(), "/new");
}

TEST_F(OptionsTest, SwitchesReadAsThePythonToolReadsThem) {
  EXPECT_FALSE(HubOptions::from_environment().offline);
  for (const char* value : {"1", "on", "Yes", "TRUE"}) {
    set("HF_HUB_OFFLINE", value);
    EXPECT_TRUE(HubOptions::from_environment().offline) << value;
  }
  for (const char* value : {"0", "off", "", "2"}) {
    set("HF_HUB_OFFLINE", value);
    EXPECT_FALSE(HubOptions::from_environment().offline) << value;
  }
}

TEST_F(OptionsTest, TokenComesFromVariableThenFileAndHoldsNoLineBreak) {
  const std::string file = testing::TempDir() + "sheaf_token";
  std::ofstream(file) << " from-file \nsecond line\n";
  set("HF_TOKEN_PATH", file.c_str());
  EXPECT_EQ(HubOptions::from_environment().token, "from-file");
  set("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1");
  EXPECT_EQ(HubOptions::from_environment().token, "");
  set("HF_TOKEN", "a\r\nX-Evil:1");
  EXPECT_EQ(HubOptions::from_environment().token, "aX-Evil:1");
}

TEST_F(OptionsTest, BadNumbersKeepTheDefault) {
  set("HF_HUB_ETAG_TIMEOUT", "3");
  set("HF_HUB_DOWNLOAD_TIMEOUT", "soon");
  const auto options = HubOptions::from_environment();
  EXPECT_EQ(options.metadata_timeout_s, 3);
  EXPECT_EQ(options.download_timeout_s, 10);
}

TEST_F(OptionsTest, EndpointsLoseTheirLastSlash) {
  set("HF_ENDPOINT", "http://mirror:1/");
  set("MODELSCOPE_DOMAIN", "modelscope.ai");
  const auto options = HubOptions::from_environment();
  EXPECT_EQ(options.endpoint, "http://mirror:1");
  EXPECT_EQ(options.modelscope_endpoint, "https://modelscope.ai");
}

}  // namespace
}  // namespace sheaf::hub
