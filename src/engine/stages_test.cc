// A model whose layers are divided into stages answers as it does undivided.
#include <gtest/gtest.h>
#include <malloc.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "engine/cosine.h"
#include "engine/engine.h"
#include "engine/footprint.h"
#include "engine/pack.h"
#include "engine/pipeline.h"
#include "kernels/ops.h"
#include "kernels/ranks/shared_communicator.h"
#include "model/spec/device_map.h"

namespace sheaf::engine {
namespace {

using nlohmann::json;
using StageTexts = std::vector<std::vector<std::int32_t>>;

const std::string kGoldenFiles = SHEAF_SOURCE_DIR "/tests/golden/";

struct Part {
  model::Output output = model::Output::vector;
  // Before the processor's an emulated card may stand.
  std::string backend = kernels::backend_names().front();
  bool one_by_one = false;  // each text a batch of its own
};

StageTexts texts_in(const std::string& folder) {
  std::ifstream stream(folder + "/cases.json");
  return json::parse(stream).get<StageTexts>();
}

Result<Mapping> packed_stage(const std::string& folder, const model::Shard& shard,
                             const std::string& backend) {
  SHEAF_ASSIGN(const Fd fd, make_memfd("stages_test", 0));
  SHEAF_TRY(pack_for(backend, folder, fd.get(), "", shard));
  SHEAF_ASSIGN(const std::size_t bytes, file_size(fd.get()));
  return Mapping::map(fd.get(), bytes, Mapping::Access::read_only);
}

// Of texts that come so many times, in one batch or in as many as there are.
Result<std::vector<float>> answer_of(Engine& engine, const StageTexts& texts, std::size_t times,
                                     const Part& part) {
  std::vector<float> answers;
  Rows rows;
  std::vector<std::int32_t> ids;
  std::vector<std::uint32_t> bounds = {0};
  const auto embed = [&]() -> Status {
    const std::vector<ItemOptions> all(bounds.size() - 1,
                                       {.normalize = false, .output = part.output});
    SHEAF_TRY(engine.embed({ids, bounds, all}, rows));
    answers.insert(answers.end(), rows.values().begin(), rows.values().end());
    ids.clear();
    bounds = {0};
    return {};
  };
  for (std::size_t i = 0; i < times; ++i)
    for (const auto& text : texts) {
      ids.insert(ids.end(), text.begin(), text.end());
      bounds.push_back(static_cast<std::uint32_t>(ids.size()));
      if (part.one_by_one) SHEAF_TRY(embed());
    }
  if (!part.one_by_one) SHEAF_TRY(embed());
  return answers;
}

Result<std::vector<float>> answer_of(Mapping weights, const StageTexts& texts, std::size_t times,
                                     const Part& part, EngineOptions options) {
  SHEAF_ASSIGN(const auto engine, Engine::open(std::move(weights), options));
  return answer_of(*engine, texts, times, part);
}

std::vector<model::Stage> even_stages(const std::string& folder, std::uint32_t count) {
  const auto spec = model::read_spec(folder);
  return model::divide_layers({.words = 0, .layers = std::vector<std::uint64_t>(spec->layers, 1)},
                              std::vector<std::uint64_t>(count, 1));
}

// What each stage answers, by its number.
std::vector<Result<std::vector<float>>> answers_of_stages(const std::string& folder,
                                                          const StageTexts& texts,
                                                          std::size_t times, std::uint32_t count,
                                                          const Part& part) {
  const std::size_t bytes = kernels::shared_group_bytes(count);
  const auto memory = make_memfd("stages_test", bytes);
  std::vector<Result<std::vector<float>>> answers(count,
                                                  Error{ErrorCode::internal, "it did not answer"});
  std::vector<std::thread> threads;
  for (const model::Stage& stage : even_stages(folder, count))
    threads.emplace_back([&, stage] {
      const model::Shard shard{.stage = stage};
      auto mapping = Mapping::map(memory->get(), bytes, Mapping::Access::read_write);
      const auto group =
          kernels::join_shared_group(std::move(*mapping), shard.process(), {.ranks = count});
      auto weights = packed_stage(folder, shard, part.backend);
      answers[stage.index] = weights.ok() ? answer_of(std::move(*weights), texts, times, part,
                                                      {.communicator = group->get()})
                                          : weights.error();
      std::vector<std::byte> nothing;  // nobody ends before all have answered
      if (answers[stage.index].ok()) (void)(*group)->share(nothing);
    });
  for (std::thread& thread : threads) thread.join();
  return answers;
}

// Bit by bit: a row is computed alike whatever rows are beside it. On a real card an engine chooses
// by the clock which of the library's products it takes, another engine perhaps another one.
void expect_same(const std::string& folder, const StageTexts& texts, std::size_t times,
                 std::uint32_t count, const Part& part = {}) {
  auto whole = packed_stage(folder, {}, part.backend);
  ASSERT_TRUE(whole.ok()) << whole.error().message;
  Part at_once = part;  // of which nothing is recorded
  at_once.one_by_one = false;
  const auto want = answer_of(std::move(*whole), texts, times, at_once, {});
  ASSERT_TRUE(want.ok()) << want.error().message;
  ASSERT_FALSE(want->empty());
  const auto answers = answers_of_stages(folder, texts, times, count, part);
  ASSERT_EQ(answers.size(), count);
  for (std::uint32_t i = 0; i < count; ++i) {
    ASSERT_TRUE(answers[i].ok()) << "stage " << i << ": " << answers[i].error().message;
    if (i + 1 < count) {
      EXPECT_TRUE(answers[i]->empty()) << "stage " << i;
    }
  }
  const std::vector<float>& got = *answers.back();
  ASSERT_EQ(got.size(), want->size());
  if (part.backend.starts_with("cuda ")) {
    EXPECT_GT(cosine(got, *want), 0.9995);
  } else {
    EXPECT_TRUE(got == *want);
  }
}

struct Piped {
  const char* family;
  std::uint32_t stages;
};

class Stages : public ::testing::TestWithParam<Piped> {};

TEST_P(Stages, AnswerAsOneDoes) {
  const std::string folder = kGoldenFiles + "families/" + GetParam().family;
  expect_same(folder + "/model", texts_in(folder), 1, GetParam().stages);
}

INSTANTIATE_TEST_SUITE_P(
    , Stages,
    ::testing::Values(Piped{"roberta", 3}, Piped{"distilbert", 2}, Piped{"mpnet", 2},
                      Piped{"deberta_v2", 3}, Piped{"deberta_keys", 2}, Piped{"gte_new", 2},
                      Piped{"jina_bert", 2}, Piped{"jina_code", 2}, Piped{"jina_v3", 2},
                      Piped{"nomic_moe", 4}, Piped{"modernbert", 3}, Piped{"llama", 2},
                      Piped{"mistral", 3}, Piped{"qwen2_yarn", 2}, Piped{"qwen3", 3},
                      Piped{"phi3_windows", 2}, Piped{"gemma3", 3}),
    [](const auto& info) { return std::string(info.param.family); });

// On cards and on the processor, and in int8, whose scales the norm before a stage decides.
TEST(StagesOfModels, MayBeInAnyDtype) {
  for (const tensor::Dtype dtype : tensor::kDtypes)
    for (const std::string& backend : kernels::backend_names(dtype)) {
      for (const char* family : {"roberta", "qwen3", "modernbert", "nomic"}) {
        SCOPED_TRACE(backend + ", " + family);
        const std::string folder = kGoldenFiles + "families/" + family;
        expect_same(folder + "/model", texts_in(folder), 1, 2, {.backend = backend});
      }
    }
}

// The last stage's heads, one of them over the words, which then are on the first one too.
TEST(StagesOfModels, HaveTheirHeadsAtTheEnd) {
  for (const char* name : {"bert", "mpnet", "modernbert", "bge_m3"}) {
    SCOPED_TRACE(name);
    const std::string folder = kGoldenFiles + "sparse/" + name;
    expect_same(folder + "/model", texts_in(folder), 1, 2, {.output = model::Output::sparse});
  }
  const std::string folder = kGoldenFiles + "sparse/bge_m3";
  expect_same(folder + "/model", texts_in(folder), 1, 2, {.output = model::Output::tokens});
}

// A batch of many groups, which are smaller than those of one process, so that stages work at the
// same time.
TEST(StagesOfModels, CutABatchIntoGroups) {
  const std::string folder = kGoldenFiles + "families/roberta";
  for (const tensor::Dtype dtype : tensor::kDtypes)
    for (const std::string& backend : kernels::backend_names(dtype)) {
      if (!backend.starts_with("cpu ")) continue;  // a card's groups are of thousands of tokens
      SCOPED_TRACE(backend);
      expect_same(folder + "/model", texts_in(folder), 100, 3, {.backend = backend});
    }
}

// A card records the work of a text when its length has come a few times, and repeats it from then
// on: what comes from the stage before and what goes to the one behind is of each text all the
// same.
TEST(StagesOfModels, RepeatWhatTheyRecorded) {
  const std::string folder = kGoldenFiles + "families/roberta";
  StageTexts texts;
  for (std::int32_t i = 0; i < 7; ++i)
    for (const std::int32_t length : {3, 7}) {
      texts.emplace_back();
      for (std::int32_t k = 0; k < length; ++k) texts.back().push_back(4 + (7 * i + k) % 20);
    }
  for (const tensor::Dtype dtype : {tensor::Dtype::float32, tensor::Dtype::bfloat16})
    for (const std::string& backend : kernels::backend_names(dtype)) {
      SCOPED_TRACE(backend);
      expect_same(folder + "/model", texts, 1, 3, {.backend = backend, .one_by_one = true});
    }
}

// Whose layers do nothing.
struct Idle final : model::Model {
  void embed(kernels::Backend&, const kernels::Texts&, tensor::TypedSpan) override {}
  void run_layers(kernels::Backend&, std::span<const std::uint32_t>, tensor::TypedSpan) override {}
};
// That hands on nothing.
struct Silent final : kernels::Communicator {
  std::size_t rank() const override { return 1; }
  std::size_t ranks() const override { return 3; }
  Status meet() override { return {}; }
  Status sum(tensor::MatrixSpan) override { return {}; }
  Status share(std::vector<std::byte>&) override { return {}; }
  Status send(std::size_t, tensor::TypedView) override { return {}; }
  Status receive(std::size_t, tensor::TypedSpan) override { return {}; }
};

// So that a process which hands on hundreds of megabytes is not held for one that hangs.
TEST(StagesOfModels, HandingOnIsProgress) {
  const auto ops = kernels::make_backend("reference", {});
  ASSERT_TRUE(ops.ok()) << ops.error().message;
  Idle model;
  Silent others;
  std::atomic<std::uint64_t> progress = 0;
  const std::int32_t ids[] = {1, 2, 3};
  const std::uint32_t bounds[] = {0, 3};
  const auto raised_by = [&](std::uint32_t stage) {
    progress = 0;
    Pipeline pipeline({.hidden_size = 8}, {.index = stage, .count = 3}, &others, &progress);
    EXPECT_TRUE(pipeline.forward(model, **ops, {ids, bounds, {}}, {}).ok());
    return progress.load();
  };
  EXPECT_EQ(raised_by(0), 2u);
  EXPECT_EQ(raised_by(1), 4u);
  EXPECT_EQ(raised_by(2), 2u);
}

TEST(StagesOfModels, GroupsAreAsManyAsKeepStagesBusy) {
  model::ModelSpec spec;
  const auto tokens = [&](std::uint32_t stages, std::size_t batch) {
    return Pipeline(spec, {.count = stages}, nullptr).group_tokens(batch, 100);
  };
  EXPECT_EQ(tokens(1, 10), 400u);
  EXPECT_EQ(tokens(1, 100'000), 400u);
  EXPECT_EQ(tokens(2, 500), 100u) << "not fewer than reading the weights is worth";
  EXPECT_EQ(tokens(2, 1600), 200u) << "eight groups";
  EXPECT_EQ(tokens(4, 1600), 100u) << "sixteen";
  EXPECT_EQ(tokens(2, 100'000), 400u) << "nor more than stay in the cache";
}

// Packed files together are as large as the whole model's; what both have are their heads and one
// norm.
TEST(StagesOfModels, HaveOnlyTheirOwnWeights) {
  const std::string backend = backend_name(tensor::Dtype::float32);
  for (const char* family : {"roberta", "qwen3"}) {
    SCOPED_TRACE(family);
    const std::string folder = kGoldenFiles + "families/" + family + "/model";
    const auto whole = packed_stage(folder, {}, backend);
    ASSERT_TRUE(whole.ok()) << whole.error().message;
    const auto parts = part_bytes({.folder = folder});
    ASSERT_TRUE(parts.ok()) << parts.error().message;
    EXPECT_GT(parts->words, 0u);
    const auto stages = even_stages(folder, 3);
    std::size_t all = 0;
    for (const model::Stage& stage : stages) {
      const auto packed = packed_stage(folder, {.stage = stage}, backend);
      ASSERT_TRUE(packed.ok()) << packed.error().message;
      all += packed->size();
      // Beside the tensors there is the file's own description.
      EXPECT_LT(parts->of(stage), packed->size());
      EXPECT_GT(parts->of(stage) + (16 << 10), packed->size());
      EXPECT_LT(packed->size(), whole->size() / 4 * 3);
    }
    EXPECT_LT(all, whole->size() + (32 << 10));
  }
}

TEST(StagesOfModels, AreEstimatedAsTheyArePacked) {
  const std::string folder = kGoldenFiles + "families/roberta/model";
  for (const model::Stage& stage : even_stages(folder, 3)) {
    const Source source{.folder = folder, .shard = {.stage = stage}};
    const auto footprint = footprint_of(source, 512, 1);
    ASSERT_TRUE(footprint.ok()) << footprint.error().message;
    const auto packed = packed_stage(folder, source.shard, backend_name(source.dtype));
    ASSERT_TRUE(packed.ok()) << packed.error().message;
    EXPECT_EQ(footprint->weights_bytes, packed->size());
    if (::mallinfo2().uordblks == 0) continue;  // a sanitizer's allocator does not count
    EXPECT_GT(footprint->working_set_bytes, 0u);
  }
}

TEST(StagesOfModels, WeightsOfAStageRunOnlyThere) {
  const std::string folder = kGoldenFiles + "families/roberta";
  auto weights = packed_stage(folder + "/model", {.stage = {0, 2, 0, 2}}, Part().backend);
  ASSERT_TRUE(weights.ok()) << weights.error().message;
  EXPECT_EQ(answer_of(std::move(*weights), texts_in(folder), 1, {}, {}).error().message,
            "weights of rank 1 of 2 cannot run as rank 0 of 1");
}

// A card without room for what it is to compute: the other stage gets nothing, and hears of it.
TEST(StagesOfModels, ACardWithoutRoomFailsTheBatch) {
  const std::string folder = kGoldenFiles + "families/roberta", backend = Part().backend;
  if (backend.starts_with("cpu ")) GTEST_SKIP() << "no limit is set to the processor's memory";
  const auto stages = even_stages(folder + "/model", 2);
  constexpr std::size_t kBesideWeights = (std::size_t{32} << 20) + (64 << 10);  // for products
  for (const std::uint32_t poor : {0u, 1u}) {
    const std::size_t bytes = kernels::shared_group_bytes(2);
    const auto memory = make_memfd("stages_test", bytes);
    std::vector<Result<std::vector<float>>> answers(2, std::vector<float>());
    std::vector<std::thread> threads;
    for (const model::Stage& stage : stages) {
      const model::Shard shard{.stage = stage};
      auto mapping = Mapping::map(memory->get(), bytes, Mapping::Access::read_write);
      auto group = kernels::join_shared_group(std::move(*mapping), shard.process(), {.ranks = 2});
      auto weights = packed_stage(folder + "/model", shard, backend);
      const std::string limit = std::to_string(weights->size() + kBesideWeights);
      if (stage.index == poor) ::setenv("SHEAF_DEVICE_MEMORY_BYTES", limit.c_str(), 1);
      auto engine = Engine::open(std::move(*weights), {.communicator = group->get()});
      ::unsetenv("SHEAF_DEVICE_MEMORY_BYTES");
      ASSERT_TRUE(engine.ok()) << engine.error().message;
      threads.emplace_back(
          [&, i = stage.index, group = std::move(*group), engine = std::move(*engine)]() mutable {
            answers[i] = answer_of(*engine, texts_in(folder), 200, {});
            engine.reset();
            group.reset();
          });
    }
    for (std::thread& thread : threads) thread.join();
    ASSERT_FALSE(answers[poor].ok());
    EXPECT_EQ(answers[poor].error().code, ErrorCode::too_large) << answers[poor].error().message;
    if (poor == 0) {  // of whom the other one waits
      ASSERT_FALSE(answers[1].ok());
      EXPECT_EQ(answers[1].error().message, "rank 0 of 2 cannot go on: another rank has ended");
    }
  }
}

// One that ends in the middle of a batch: the other answers with an error, and does not hang, nor
// does it try again.
TEST(StagesOfModels, AStageThatIsGoneFailsTheBatch) {
  const std::string folder = kGoldenFiles + "families/roberta";
  for (const std::uint32_t gone : {0u, 1u}) {
    const std::size_t bytes = kernels::shared_group_bytes(2);
    const auto memory = make_memfd("stages_test", bytes);
    const auto join = [&](std::size_t rank) {
      auto mapping = Mapping::map(memory->get(), bytes, Mapping::Access::read_write);
      return std::move(*kernels::join_shared_group(std::move(*mapping), rank, {.ranks = 2}));
    };
    const auto group = join(1 - gone);
    std::thread other([&] { join(gone).reset(); });
    const auto stages = even_stages(folder + "/model", 2);
    // Process 0 is the last stage.
    auto weights =
        packed_stage(folder + "/model", {.stage = stages[gone == 0 ? 0 : 1]}, Part().backend);
    other.join();
    const auto got =
        answer_of(std::move(*weights), texts_in(folder), 50, {}, {.communicator = group.get()});
    ASSERT_FALSE(got.ok());
    EXPECT_EQ(got.error().message,
              "rank " + std::to_string(1 - gone) + " of 2 cannot go on: another rank has ended");
  }
}

}  // namespace
}  // namespace sheaf::engine
