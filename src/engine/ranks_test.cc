// A model that is divided over ranks answers as it does undivided.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "engine/cosine.h"
#include "engine/engine.h"
#include "engine/pack.h"
#include "engine/wide_model.h"
#include "kernels/ops.h"
#include "kernels/ranks/shared_communicator.h"

namespace sheaf::engine {
namespace {

using nlohmann::json;
using RankTexts = std::vector<std::vector<std::int32_t>>;

const std::string kFamilies = SHEAF_SOURCE_DIR "/tests/golden/families/";

// Before the processor's an emulated card may stand.
std::string first_backend() { return kernels::backend_names().front(); }

Result<Mapping> packed(const std::string& folder, model::Shard shard,
                       const std::string& backend = first_backend()) {
  SHEAF_ASSIGN(const Fd fd, make_memfd("ranks_test", 0));
  SHEAF_TRY(pack_for(backend, folder, fd.get(), "", shard));
  SHEAF_ASSIGN(const std::size_t bytes, file_size(fd.get()));
  return Mapping::map(fd.get(), bytes, Mapping::Access::read_only);
}

RankTexts texts_of(const std::string& family) {
  std::ifstream stream(kFamilies + family + "/cases.json");
  return json::parse(stream).get<RankTexts>();
}

Result<std::vector<float>> answer(Mapping weights, const RankTexts& texts, EngineOptions options) {
  SHEAF_ASSIGN(const auto engine, Engine::open(std::move(weights), options));
  std::vector<std::int32_t> ids;
  std::vector<std::uint32_t> bounds = {0};
  for (const auto& text : texts) {
    ids.insert(ids.end(), text.begin(), text.end());
    bounds.push_back(static_cast<std::uint32_t>(ids.size()));
  }
  const std::vector<ItemOptions> all(texts.size(), {.normalize = false});
  Rows rows;
  SHEAF_TRY(engine->embed({ids, bounds, all}, rows));
  return std::vector<float>(rows.values().begin(), rows.values().end());
}

// What each rank of the model in `folder` answers.
std::vector<Result<std::vector<float>>> answers_of_ranks(
    const std::string& folder, const RankTexts& texts, std::uint32_t ranks,
    const std::string& backend = first_backend()) {
  const std::size_t bytes = kernels::shared_group_bytes(ranks);
  const auto memory = make_memfd("ranks_test", bytes);
  std::vector<Result<std::vector<float>>> answers(ranks,
                                                  Error{ErrorCode::internal, "it did not answer"});
  std::vector<std::thread> threads;
  for (std::uint32_t rank = 0; rank < ranks; ++rank)
    threads.emplace_back([&, rank] {
      auto mapping = Mapping::map(memory->get(), bytes, Mapping::Access::read_write);
      const auto group = kernels::join_shared_group(std::move(*mapping), rank, {ranks});
      auto weights = packed(folder, {rank, ranks}, backend);
      if (!weights.ok()) {
        answers[rank] = weights.error();
        return;
      }
      answers[rank] = answer(std::move(*weights), texts, {.communicator = group->get()});
    });
  for (std::thread& thread : threads) thread.join();
  return answers;
}

struct Divided {
  const char* family;
  std::uint32_t ranks;
};

class Ranks : public ::testing::TestWithParam<Divided> {};

TEST_P(Ranks, AnswerAsOneDoes) {
  const auto [family, ranks] = GetParam();
  auto whole = packed(kFamilies + family + "/model", {});
  ASSERT_TRUE(whole.ok()) << whole.error().message;
  const auto want = answer(std::move(*whole), texts_of(family), {});
  ASSERT_TRUE(want.ok()) << want.error().message;
  float largest = 0;
  for (const float value : *want) largest = std::max(largest, std::abs(value));
  const auto answers = answers_of_ranks(kFamilies + family + "/model", texts_of(family), ranks);
  for (const auto& got : answers) {
    ASSERT_TRUE(got.ok()) << got.error().message;
    EXPECT_EQ(*got, *answers.front()) << "ranks differ";
    ASSERT_EQ(got->size(), want->size());
    for (std::size_t i = 0; i < want->size(); ++i)
      ASSERT_NEAR((*got)[i], (*want)[i], 1e-5 * largest) << "value " << i;
  }
}

// Biases and none, norms of heads, windows, heads that share keys, stacked weights, a post-norm
// encoder.
INSTANTIATE_TEST_SUITE_P(, Ranks,
                         ::testing::Values(Divided{"qwen3", 2}, Divided{"gemma3", 2},
                                           Divided{"qwen2_yarn", 2}, Divided{"phi3_windows", 3},
                                           Divided{"llama", 5}, Divided{"roberta", 2}),
                         [](const auto& info) { return std::string(info.param.family); });

// Of those that keep states in it, too: a sum is rounded once, alike on all ranks.
TEST(RanksOfModels, MayBeInBfloat16) {
  for (const std::string& backend : kernels::backend_names(tensor::Dtype::bfloat16)) {
    SCOPED_TRACE(backend);
    auto whole = packed(kFamilies + "roberta/model", {}, backend);
    ASSERT_TRUE(whole.ok()) << whole.error().message;
    const auto want = answer(std::move(*whole), texts_of("roberta"), {});
    ASSERT_TRUE(want.ok()) << want.error().message;
    const auto answers =
        answers_of_ranks(kFamilies + "roberta/model", texts_of("roberta"), 2, backend);
    for (const auto& got : answers) {
      ASSERT_TRUE(got.ok()) << got.error().message;
      EXPECT_EQ(*got, *answers.front()) << "ranks differ";
      EXPECT_GT(cosine(*got, *want), 0.9995);
    }
  }
}

// Each rank's part of what lies between two products has a scale of its own; against bfloat16.
TEST(RanksOfModels, MayBeInFp8) {
  const std::vector<std::string> backends = kernels::backend_names(tensor::Dtype::fp8);
  if (backends.empty()) GTEST_SKIP() << "nothing here computes in fp8";
  const WideModel wide("roberta");
  RankTexts texts = texts_of("roberta");
  texts.resize(3);
  auto whole = packed(wide.folder(), {}, kernels::backend_names(tensor::Dtype::bfloat16).front());
  ASSERT_TRUE(whole.ok()) << whole.error().message;
  const auto want = answer(std::move(*whole), texts, {});
  ASSERT_TRUE(want.ok()) << want.error().message;
  const auto answers = answers_of_ranks(wide.folder(), texts, 2, backends.front());
  for (const auto& got : answers) {
    ASSERT_TRUE(got.ok()) << got.error().message;
    EXPECT_EQ(*got, *answers.front()) << "ranks differ";
    EXPECT_GT(cosine(*got, *want), 0.999);
    EXPECT_LT(cosine(*got, *want), 1 - 1e-6) << "not in fp8";
  }
}

std::string refusal(const std::string& family, model::Shard shard) {
  const auto weights = packed(kFamilies + family + "/model", shard);
  return weights.ok() ? "" : weights.error().message;
}

TEST(RanksOfModels, WhatCannotBeDividedIsNamed) {
  EXPECT_EQ(refusal("qwen3", {0, 4}), "6 heads cannot be divided over 4 ranks");
  EXPECT_EQ(refusal("qwen3", {0, 3}), "2 heads of keys cannot be divided over 3 ranks");
  EXPECT_EQ(refusal("llama", {1, 3}), "5 heads cannot be divided over 3 ranks");
  EXPECT_EQ(refusal("nomic", {0, 5}), "nomic_bert models cannot be divided over ranks");
  EXPECT_EQ(refusal("qwen3", {2, 2}), "there is no rank 2 of 2");
}

TEST(RanksOfModels, WeightsOfARankRunOnlyAsThatRank) {
  auto weights = packed(kFamilies + "qwen3/model", {1, 2});
  ASSERT_TRUE(weights.ok()) << weights.error().message;
  EXPECT_EQ(answer(std::move(*weights), texts_of("qwen3"), {}).error().message,
            "weights of rank 1 of 2 cannot run as rank 0 of 1");
}

// One that ends in the middle of a batch: the other answers with an error, and does not hang.
TEST(RanksOfModels, ARankThatIsGoneFailsTheBatch) {
  const std::size_t bytes = kernels::shared_group_bytes(2);
  const auto memory = make_memfd("ranks_test", bytes);
  const auto join = [&](std::size_t rank) {
    auto mapping = Mapping::map(memory->get(), bytes, Mapping::Access::read_write);
    return std::move(*kernels::join_shared_group(std::move(*mapping), rank, {2}));
  };
  std::thread other([&] {
    const auto group = join(1);
    std::vector<float> values(1);
    (void)group->sum({values.data(), 0, 1});  // nothing, and then it ends
  });
  const auto group = join(0);
  auto weights = packed(kFamilies + "qwen3/model", {0, 2});
  const auto got = answer(std::move(*weights), texts_of("qwen3"), {.communicator = group.get()});
  other.join();
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().message, "rank 0 of 2 cannot go on: another rank has ended");
}

}  // namespace
}  // namespace sheaf::engine
