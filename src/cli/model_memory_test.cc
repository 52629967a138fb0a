#include "cli/model_memory.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace sheaf::cli {
namespace {

class ModelMemoryTest : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(program_); }

  // What a program that answers so is understood to say.
  Result<ModelMemory> said(const std::string& answer) {
    std::ofstream(program_) << "#!/bin/sh\necho '" << answer << "'\n";
    ::chmod(program_.c_str(), 0755);
    return memory_of(program_, {"model", ""}, 0, 1);
  }
  std::string refusal(const std::string& answer) {
    const auto memory = said(answer);
    return memory.ok() ? "" : memory.error().message;
  }

  const std::string program_ =
      testing::TempDir() + "/sheaf_model_memory_test_" + std::to_string(::getpid());
};

TEST_F(ModelMemoryTest, IsAsTheProgramSays) {
  const auto memory = said(
      R"({"weights_bytes": 5, "replica_bytes": 6, "max_batch_tokens": 7, "card": {"weights_bytes": 8, "added_replica_bytes": 9}})");
  ASSERT_TRUE(memory.ok()) << memory.error().message;
  EXPECT_EQ(memory->weights_bytes, 5u);
  EXPECT_EQ(memory->replica_bytes, 6u);
  EXPECT_EQ(memory->max_batch_tokens, 7u);
  EXPECT_EQ(memory->card_weights_bytes, 8u);
  EXPECT_EQ(memory->card_replica_bytes, 9u);
  EXPECT_EQ(said(R"({"weights_bytes": 5, "replica_bytes": 6, "max_batch_tokens": 7})")
                ->card_replica_bytes,
            0u);
  EXPECT_EQ(refusal(R"({"error": "a tensor is missing"})"), "a tensor is missing");
}

TEST_F(ModelMemoryTest, WhatCannotBeIsRefused) {
  for (
      const char* answer :
      {"", "Hello", "[]", R"({"error": 5})", R"({"weights_bytes": 5, "replica_bytes": 6})",
       R"({"weights_bytes": -5, "replica_bytes": 6, "max_batch_tokens": 7})",
       R"({"weights_bytes": 5, "replica_bytes": 6, "max_batch_tokens": 7, "card": 5})",
       R"({"weights_bytes": 5, "replica_bytes": 6, "max_batch_tokens": 7, "card": {"weights_bytes": 8}})"})
    EXPECT_EQ(refusal(answer), program_ + " could not estimate the memory of model") << answer;
}

}  // namespace
}  // namespace sheaf::cli
