#include "planner/memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "planner/known_models.h"

namespace sheaf::planner {
namespace {

double gb(std::uint64_t bytes) { return static_cast<double>(bytes) / 1e9; }

TEST(Dtype, NamesComeBack) {
  for (const Dtype dtype : kDtypes) EXPECT_EQ(parse_dtype(name_of(dtype)).value(), dtype);
  const auto wrong = parse_dtype("float8");
  ASSERT_FALSE(wrong.ok());
  EXPECT_NE(wrong.error().message.find("'float8'"), std::string::npos);
  EXPECT_NE(wrong.error().message.find("int8, fp8"), std::string::npos);
}

TEST(Memory, FourBillionParametersInEachDtype) {
  const ModelFacts model = qwen3_embedding_4b();
  EXPECT_NEAR(gb(memory_of(model, load(Dtype::bfloat16)).weights_bytes), 7.267 + 1.553, 0.01);
  EXPECT_NEAR(gb(memory_of(model, load(Dtype::float32)).weights_bytes), 16.09, 0.01);
  // Products in bytes with a scale for 128; words are float32 in all.
  EXPECT_NEAR(gb(memory_of(model, load(Dtype::int8)).weights_bytes), 3.633 * 132 / 128 + 1.553,
              0.01);
  // Gates, and what is up and down, in bytes, and all other products in halves.
  const double in_fp8 = 36 * 3 * 2560.0 * 9728 / 1e9;
  EXPECT_NEAR(gb(memory_of(model, load(Dtype::fp8)).weights_bytes),
              in_fp8 + 2 * (3.633 - in_fp8) + 1.553, 0.01);
}

Load in_fp8(std::vector<std::uint32_t> layers) {
  Load some = load(Dtype::fp8);
  some.fp8_layers = std::move(layers);
  return some;
}

TEST(Memory, OfFp8InSomeLayersTheirFeedForwardPartsAreBytes) {
  const ModelFacts model = qwen3_embedding_4b();
  const std::uint64_t half = memory_of(model, load(Dtype::bfloat16)).weights_bytes;
  const auto spared = [&](const Load& load) {
    return gb(half - memory_of(model, load).weights_bytes);
  };
  const double of_layer = 3 * 2560.0 * 9728 / 1e9;
  EXPECT_NEAR(spared(in_fp8({0, 2, 3, 35})), 4 * of_layer, 1e-6);
  EXPECT_NEAR(spared(in_fp8({7})), of_layer, 1e-6);
  EXPECT_NEAR(spared(load(Dtype::fp8)), 36 * of_layer, 1e-6);
  EXPECT_EQ(dtype_text(in_fp8({0, 2, 3, 35})), "fp8:0,2-3,35");
  EXPECT_EQ(dtype_text(load(Dtype::int8)), "int8");
}

// As `sheaf-replica-emulated estimate` says of MiniLM, but for its pooler, which is not loaded.
TEST(Memory, TablesAreFloat32InEveryDtype) {
  const ModelFacts model = minilm();
  for (const Dtype dtype : {Dtype::bfloat16, Dtype::fp8}) {
    Load some = load(dtype);
    some.fp8_layers = {};
    ModelFacts none = model;
    none.parameters.tables = 0;
    EXPECT_EQ(memory_of(model, some).weights_bytes - memory_of(none, some).weights_bytes,
              11'917'824u * 4);
  }
  constexpr std::uint64_t kPooler = 384 * 384;
  EXPECT_NEAR(static_cast<double>(memory_of(model, load(Dtype::bfloat16)).weights_bytes),
              69'040'128 + 2 * kPooler, 20'000);
}

TEST(Memory, WordsThatAreMultipliedByAreProducts) {
  ModelFacts model = minilm();
  const std::uint64_t words = 30'522 * 384, others = 11'917'824 - words;
  model.spec.word_head.transform.name = "cls.predictions.transform.dense";
  const auto tables = [&model](Dtype dtype) {
    ModelFacts none = model;
    none.parameters.tables = 0;
    return memory_of(model, load(dtype)).weights_bytes - memory_of(none, load(dtype)).weights_bytes;
  };
  EXPECT_EQ(tables(Dtype::bfloat16), 2 * words + 4 * others);
  EXPECT_EQ(tables(Dtype::fp8), 2 * words + 4 * others);
  EXPECT_EQ(tables(Dtype::int8), words / 128 * 132 + 4 * others);
  model.spec.word_head.decoder = "cls.predictions.decoder";
  EXPECT_EQ(tables(Dtype::bfloat16), 4 * (words + others));
}

TEST(Memory, EachStreamTakesItsWorkingSetAndAWorkspace) {
  const ModelFacts model = minilm();
  Load three = load(Dtype::bfloat16);
  const Memory one = memory_of(model, three);
  three.streams = 3;
  const Memory all = memory_of(model, three);
  EXPECT_EQ(all.weights_bytes, one.weights_bytes);
  EXPECT_EQ(all.context_bytes, one.context_bytes);
  EXPECT_EQ(all.replica_bytes() - one.replica_bytes(), 2 * (one.activations_bytes + (32 << 20)));
  EXPECT_EQ(tensor_parallel(model, three, 2)[0].memory.total_bytes(),
            tensor_parallel(model, load(Dtype::bfloat16), 2)[0].memory.total_bytes())
      << "a replica of several ranks has one stream";
}

TEST(Memory, BlocksOfInt8AreFilledUp) {
  ModelFacts model = minilm();
  model.parameters = {.products = 192 * 50, .blocks = 2 * 50};
  EXPECT_EQ(memory_of(model, load(Dtype::int8)).weights_bytes, 2u * 50 * (128 + 4));
  EXPECT_EQ(memory_of(model, load(Dtype::bfloat16)).weights_bytes, 192u * 50 * 2);
}

// By hand for one token: three states of 384 and a middle of 1536, or four times twelve heads
// of 32.
TEST(Memory, ActivationsAreThoseAliveAtOnce) {
  const ModelFacts model = minilm();
  const std::uint64_t rows = 16'384 / 256 * 384 * sizeof(float), ids = 16'384 * 3 * 4;
  EXPECT_EQ(memory_of(model, load(Dtype::float32)).activations_bytes,
            16'384ull * (3 * 384 + 1536) * 4 + rows + ids);
  EXPECT_EQ(memory_of(model, load(Dtype::bfloat16)).activations_bytes,
            16'384ull * (3 * 384 + 1536) * 2 + rows + ids);
  const Memory small = memory_of(model, load(Dtype::float32, 256));
  EXPECT_EQ(small.activations_bytes, 256ull * ((3 * 384 + 1536) * 4 + 3 * 4) + 384 * 4);
}

TEST(Memory, DecodersGateWhateverTheirSpecSays) {
  const Memory memory = memory_of(qwen3_embedding_4b(), load(Dtype::bfloat16, 1'000));
  EXPECT_EQ(memory.activations_bytes, 1'000ull * ((3 * 2560 + 3 * 9728) * 2 + 3 * 4) + 2560 * 4);
}

TEST(Memory, ATotalIsItsParts) {
  const Memory memory = memory_of(minilm(), load(Dtype::bfloat16));
  EXPECT_EQ(memory.kv_cache_bytes, 0u);
  EXPECT_EQ(memory.total_bytes(), memory.weights_bytes + memory.activations_bytes +
                                      memory.context_bytes + memory.workspace_bytes);
}

TEST(Memory, OnlyDecodersWouldHaveAKvCache) {
  EXPECT_EQ(kv_bytes_per_token(qwen3_embedding_4b(), Dtype::bfloat16), 2u * 36 * 8 * 128 * 2);
  EXPECT_EQ(kv_bytes_per_token(minilm(), Dtype::bfloat16), 0u);
}

TEST(Memory, ASparseHeadNeedsRoomForWords) {
  ModelFacts model = minilm();
  const std::uint64_t before = memory_of(model, load(Dtype::bfloat16)).activations_bytes;
  model.spec.word_head.transform.name = "cls.predictions.transform.dense";
  EXPECT_GT(memory_of(model, load(Dtype::bfloat16)).activations_bytes,
            before + 256ull * 30'522 * 2);
}

TEST(TensorParallel, SplitsHeadsEvenlyOrNotAtAll) {
  const ModelFacts model = qwen3_embedding_4b();
  const Memory whole = memory_of(model, load(Dtype::bfloat16));
  const double words = 151'665 * 2560 * 4.0 / 1e9;  // each rank has them all
  for (const std::uint32_t ranks : {2u, 4u, 8u}) {
    const std::vector<Rank> parts = tensor_parallel(model, load(Dtype::bfloat16), ranks);
    ASSERT_EQ(parts.size(), ranks);
    EXPECT_EQ(parts[0].heads, 32 / ranks);
    EXPECT_EQ(parts[0].layers, 36u);
    EXPECT_NEAR(gb(parts[0].memory.weights_bytes),
                (gb(whole.weights_bytes) - words) / ranks + words, 0.002);
    EXPECT_LT(parts[0].memory.activations_bytes, whole.activations_bytes);
  }
  EXPECT_TRUE(tensor_parallel(model, load(Dtype::bfloat16), 3).empty());
  EXPECT_TRUE(tensor_parallel(minilm(), load(Dtype::bfloat16), 8).empty());  // 12 heads
}

TEST(TensorParallel, FewKeyHeadsAreHeldByMoreRanks) {
  const ModelFacts model = qwen3_embedding_4b();
  const auto parts = tensor_parallel(model, load(Dtype::bfloat16), 16);
  ASSERT_EQ(parts.size(), 16u);
  const double keys_and_values = 2.0 * 36 * 8 * 128 * 2560 * 2 / 1e9;
  EXPECT_NEAR(gb(parts[0].memory.weights_bytes), 1.553 + (7.267 + keys_and_values) / 16, 0.003);
}

TEST(Pipeline, LayersAreAllThereOnceAndEven) {
  const ModelFacts model = qwen3_embedding_4b();
  const double layer = gb(memory_of(model, load(Dtype::bfloat16)).weights_bytes) / 36;
  for (std::uint32_t ranks = 2; ranks <= 36; ++ranks) {
    const std::vector<Rank> stages = pipeline(model, load(Dtype::bfloat16), ranks);
    ASSERT_EQ(stages.size(), ranks);
    std::uint32_t next = 0;
    std::uint64_t least = ~0ull, most = 0;
    for (const Rank& stage : stages) {
      EXPECT_EQ(stage.first_layer, next);
      EXPECT_GT(stage.layers, 0u);
      next += stage.layers;
      least = std::min(least, stage.memory.weights_bytes);
      most = std::max(most, stage.memory.weights_bytes);
    }
    EXPECT_EQ(next, 36u);
    // Where the words alone are more than a share, the first stage has one layer beside them.
    EXPECT_TRUE(stages[0].layers == 1 || gb(most - least) < 2 * layer) << ranks;
  }
  EXPECT_TRUE(pipeline(model, load(Dtype::bfloat16), 37).empty());
}

TEST(Pipeline, LayersInFp8AreSmallerStages) {
  const ModelFacts model = qwen3_embedding_4b();
  std::vector<std::uint32_t> first(18);
  std::iota(first.begin(), first.end(), 0);
  std::uint64_t weights = 0;
  const std::vector<Rank> stages = pipeline(model, in_fp8(first), 2);
  for (const Rank& stage : stages) weights += stage.memory.weights_bytes;
  EXPECT_NEAR(gb(weights), gb(memory_of(model, in_fp8(first)).weights_bytes), 1e-6);
  const std::vector<Rank> plain = pipeline(model, load(Dtype::bfloat16), 2);
  EXPECT_GT(stages[0].layers, plain[0].layers);
}

}  // namespace
}  // namespace sheaf::planner
