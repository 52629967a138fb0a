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
    write(answer);
    return memory_of(program_, {"model", ""}, 0, 1);
  }
  Result<model::PartBytes> parts_said(const std::string& answer) {
    write(answer);
    return parts_of(program_, {"model", ""});
  }
  std::string refusal(const std::string& answer) {
    const auto memory = said(answer);
    return memory.ok() ? "" : memory.error().message;
  }

  void write(const std::string& answer) const {
    std::ofstream(program_) << "#!/bin/sh\necho '" << answer << "'\n";
    ::chmod(program_.c_str(), 0755);
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

TEST_F(ModelMemoryTest, IsThatOfAllStages) {
  write(R"({"weights_bytes": 5, "replica_bytes": 6, "max_batch_tokens": 7})");
  const auto memory = memory_of(
      program_, {.folder = "model", .stages = {{0, 3, 0, 1}, {1, 3, 1, 1}, {2, 3, 2, 1}}}, 0, 1);
  ASSERT_TRUE(memory.ok()) << memory.error().message;
  EXPECT_EQ(memory->weights_bytes, 15u);
  EXPECT_EQ(memory->replica_bytes, 18u);
  EXPECT_EQ(memory_of(program_, {.folder = "model", .ranks = 2}, 0, 1)->weights_bytes, 10u);
}

// Which every card of a replica has to hold.
TEST_F(ModelMemoryTest, OfACardIsThatOfTheStageThatNeedsMost) {
  std::ofstream(program_) << R"(#!/bin/sh
case "$*" in
  *"--stage 0"*) weights=30 added=2;;
  *"--stage 1"*) weights=20 added=13;;
  *) weights=31 added=1;;
esac
echo "{\"weights_bytes\": $weights, \"replica_bytes\": 6, \"max_batch_tokens\": 7,
       \"card\": {\"weights_bytes\": $weights, \"added_replica_bytes\": $added}}"
)";
  ::chmod(program_.c_str(), 0755);
  const auto memory = memory_of(
      program_, {.folder = "model", .stages = {{0, 3, 0, 1}, {1, 3, 1, 1}, {2, 3, 2, 1}}}, 0, 1);
  ASSERT_TRUE(memory.ok()) << memory.error().message;
  EXPECT_EQ(memory->weights_bytes, 81u);
  EXPECT_EQ(memory->card_weights_bytes, 20u);
  EXPECT_EQ(memory->card_replica_bytes, 13u);
}

TEST_F(ModelMemoryTest, PartsAreAsTheProgramSays) {
  const auto parts = parts_said(R"({"words_bytes": 5, "layer_bytes": [6, 7], "heads_bytes": 0})");
  ASSERT_TRUE(parts.ok()) << parts.error().message;
  EXPECT_EQ(parts->words, 5u);
  EXPECT_EQ(parts->layers, (std::vector<std::uint64_t>{6, 7}));
  EXPECT_EQ(parts->heads, 0u);
  for (const char* answer : {"", "[]", R"({"words_bytes": 5, "heads_bytes": 0})",
                             R"({"words_bytes": 5, "layer_bytes": 6, "heads_bytes": 0})",
                             R"({"words_bytes": 5, "layer_bytes": [-6], "heads_bytes": 0})"}) {
    const auto refused = parts_said(answer);
    ASSERT_FALSE(refused.ok()) << answer;
    EXPECT_EQ(refused.error().message, program_ + " could not estimate the memory of model");
  }
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
