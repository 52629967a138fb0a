#include "planner/capacity.h"

#include <gtest/gtest.h>

#include "planner/known_models.h"

namespace sheaf::planner {
namespace {

Gpu gpu_named(std::string_view name) { return find_gpu(name).value(); }

bool says(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST(Fit, WeightsCountOnceAndReplicasEach) {
  const Gpu card{"24GiB", 24ull << 30, nullptr, nullptr};
  const Fit fit = fit_of(qwen3_embedding_4b(), load(Dtype::bfloat16), card, 0.9);
  ASSERT_GT(fit.replicas, 1u);
  const auto taken = [&](std::uint64_t n) {
    return fit.memory.weights_bytes + n * fit.memory.replica_bytes();
  };
  EXPECT_LE(taken(fit.replicas), fit.usable_bytes);
  EXPECT_GT(taken(fit.replicas + 1), fit.usable_bytes);
}

TEST(Fit, ASmallModelIsBoundByMpsNotByMemory) {
  EXPECT_EQ(fit_of(minilm(), load(Dtype::bfloat16), gpu_named("h200"), 0.9).replicas, 48u);
  EXPECT_EQ(fit_of(minilm(), load(Dtype::bfloat16), gpu_named("h200/1g.18gb"), 0.9).replicas, 6u);
}

TEST(Fit, Fp8NeedsAdaOrLater) {
  const Fit ampere = fit_of(minilm(), load(Dtype::fp8), gpu_named("a100-80"), 0.9);
  EXPECT_FALSE(ampere.computable);
  EXPECT_EQ(ampere.replicas, 0u);
  EXPECT_GT(fit_of(minilm(), load(Dtype::fp8), gpu_named("h100-80"), 0.9).replicas, 0u);
}

TEST(Fit, LayersInFp8NeedAdaOrLaterToo) {
  Load some = load(Dtype::fp8);
  some.fp8_layers = {0, 2};
  const Fit ampere = fit_of(minilm(), some, gpu_named("a100-80"), 0.9);
  EXPECT_FALSE(ampere.computable);
  EXPECT_EQ(ampere.replicas, 0u);
  EXPECT_GT(fit_of(minilm(), some, gpu_named("h100-80"), 0.9).replicas, 0u);
}

TEST(Refusal, AsManyStreamsAsThereIsRoomFor) {
  Load eight = load(Dtype::bfloat16);
  eight.streams = 8;
  const Gpu card{"16GiB", 16ull << 30, nullptr, nullptr};
  const Memory one = memory_of(qwen3_embedding_4b(), load(Dtype::bfloat16));
  const std::uint64_t usable = fit_of(qwen3_embedding_4b(), eight, card, 0.9).usable_bytes;
  const std::uint64_t more = (usable - one.total_bytes()) / (one.activations_bytes + (32 << 20));
  ASSERT_GT(more, 0u);
  ASSERT_LT(more, 7u);
  const std::string text = refusal(qwen3_embedding_4b(), eight, card, 0.9);
  EXPECT_TRUE(says(text, "--streams " + std::to_string(1 + more))) << text;
}

TEST(Refusal, FourBillionParametersOnAFiveGigabyteSlice) {
  const std::string text =
      refusal(qwen3_embedding_4b(), load(Dtype::bfloat16), gpu_named("a100-40/1g.5gb"), 0.9, 3);
  EXPECT_TRUE(says(text, "8.21 GiB of weights against 4.75 GiB")) << text;
  EXPECT_TRUE(says(text, "4.27 GiB may be used")) << text;
  // Of 9.62 GiB in 2g.10gb 8.66 may be used, which weights and a context (8.70 GiB) exceed.
  EXPECT_TRUE(
      says(text, "4g.20gb (19.50 GiB) for bfloat16; fewer instances: one card has 1 of it, not 3"))
      << text;
  EXPECT_TRUE(says(text, "int8 (7.06 GiB) does not fit either")) << text;
}

TEST(Refusal, ALargerSliceWithASmallerBatch) {
  const std::string text = refusal(qwen3_embedding_4b(), load(Dtype::bfloat16, 131'072),
                                   gpu_named("a100-80/1g.10gb"), 0.9, 3);
  EXPECT_TRUE(says(text,
                   "2g.20gb (19.50 GiB) for bfloat16 with --max-batch-tokens 65536, 3 of which one "
                   "card has"))
      << text;
}

TEST(Refusal, NeverProposesWhatIsThereAlready) {
  const std::string text = refusal(qwen3_embedding_4b(), load(Dtype::float32, 32'768),
                                   gpu_named("a100-40/4g.20gb"), 0.9);
  EXPECT_FALSE(says(text, "g.20gb (")) << text;
  EXPECT_TRUE(says(text, "7g.40gb (39.25 GiB) for float32")) << text;
}

TEST(Refusal, ALargerSliceHelpsSmallBatchesToo) {
  const std::string text =
      refusal(qwen3_embedding_4b(), load(Dtype::int8, 1024), gpu_named("a100-40/1g.5gb"), 0.9, 3);
  EXPECT_TRUE(says(text, "2g.10gb (9.62 GiB) for int8, 3 of which one card has")) << text;
}

TEST(Refusal, ASliceOfWhichThereAreEnough) {
  const std::string text =
      refusal(qwen3_embedding_4b(), load(Dtype::float32), gpu_named("a100-40/1g.5gb"), 0.9, 2);
  EXPECT_TRUE(says(text, "3g.20gb (19.50 GiB) for float32")) << text;
  EXPECT_TRUE(says(text, ", 2 of which one card has")) << text;
}

TEST(Refusal, MoreInstancesThanACardHasLargerSlices) {
  const std::string text =
      refusal(qwen3_embedding_4b(), load(Dtype::bfloat16), gpu_named("a100-40/1g.5gb"), 0.9, 5);
  EXPECT_TRUE(says(text, "fewer instances: one card has 1 of it, not 5")) << text;
}

TEST(Refusal, ASmallerDtypeOrSeveralCards) {
  const Gpu card{"8GiB", 8ull << 30, nullptr, nullptr};
  const std::string text = refusal(qwen3_embedding_4b(), load(Dtype::bfloat16), card, 0.9);
  EXPECT_TRUE(says(text, "what helps: int8 (7.06 GiB); 2 such cards, split by heads")) << text;
}

TEST(Refusal, SeveralCardsHaveOneStream) {
  const Gpu card{"8GiB", 8ull << 30, nullptr, nullptr};
  Load two = load(Dtype::bfloat16);
  two.streams = 2;
  const std::string text = refusal(qwen3_embedding_4b(), two, card, 0.9);
  EXPECT_TRUE(says(text, "2 such cards, split by heads, with --streams 1")) << text;
}

TEST(Refusal, OfFp8InSomeLayersAllOfThemAndInt8) {
  Load some = load(Dtype::fp8);
  some.fp8_layers = {0};
  const auto in_gib = [&](std::uint64_t gib) {
    const Gpu card{"card", gib << 30, nullptr, nullptr};
    return refusal(qwen3_embedding_4b(), some, card, 0.9);
  };
  EXPECT_TRUE(says(in_gib(10), "what helps: fp8 in all layers (")) << in_gib(10);
  EXPECT_TRUE(says(in_gib(10), "; int8 (")) << in_gib(10);
  EXPECT_TRUE(says(in_gib(8), "what helps: int8 (")) << in_gib(8);
  EXPECT_FALSE(says(in_gib(8), "in all layers")) << in_gib(8);
  EXPECT_TRUE(says(in_gib(6), "int8 (7.06 GiB) does not fit either")) << in_gib(6);
}

TEST(Refusal, ASmallerBatchWhereThatIsEnough) {
  Load large = load(Dtype::bfloat16);
  large.batch_tokens = 1 << 20;
  const std::string text = refusal(minilm(), large, gpu_named("a100-40/1g.5gb"), 0.9);
  EXPECT_TRUE(says(text, "--max-batch-tokens 524288")) << text;
}

TEST(Refusal, NothingHelpsATooSmallCard) {
  const Gpu card{"512MiB", 512ull << 20, nullptr, nullptr};
  const std::string text = refusal(minilm(), load(Dtype::int8), card, 0.9);
  EXPECT_TRUE(says(text, "a larger card is needed")) << text;
}

TEST(Spreads, SayWhichFit) {
  const Gpu card{"5GiB", 5ull << 30, nullptr, nullptr};
  bool one_fits = false, one_does_not = false;
  for (const Spread& spread : spreads_of(qwen3_embedding_4b(), load(Dtype::bfloat16), card, 0.9)) {
    std::uint64_t most = 0;
    for (const Rank& rank : spread.ranks) most = std::max(most, rank.memory.total_bytes());
    EXPECT_EQ(spread.fits, most <= static_cast<std::uint64_t>(0.9 * (5ull << 30)));
    (spread.fits ? one_fits : one_does_not) = true;
  }
  EXPECT_TRUE(one_fits && one_does_not);
}

}  // namespace
}  // namespace sheaf::planner
