#include "planner/rates.h"

#include <gtest/gtest.h>

#include "planner/known_models.h"

namespace sheaf::planner {
namespace {

const slices::CardModel& card(std::string_view key) { return *slices::find_card(key); }

TEST(Rates, FromTheDataSheet) {
  const auto rates = rates_of(minilm(), load(Dtype::bfloat16), card("a100-40"), 0);
  ASSERT_TRUE(rates.ok()) << rates.error().message;
  // 21.5 MFLOP of products and 2.4 of attention a token (docs/cpu.md counts the same).
  const double operations = 2 * 10'764'288.0 + 4.0 * 6 * 384 * 256;
  EXPECT_NEAR(rates->compute_tokens_per_s, 312e12 * 0.4 / operations, 1);
  EXPECT_GT(rates->bandwidth_tokens_per_s, 0);
}

TEST(Rates, FasterCardsAndSmallerDtypesAreFaster) {
  const auto rate = [](std::string_view key, Dtype dtype) {
    return rates_of(qwen3_embedding_4b(), load(dtype), card(key), 0).value();
  };
  EXPECT_GT(rate("h100-80", Dtype::bfloat16).compute_tokens_per_s,
            rate("a100-80", Dtype::bfloat16).compute_tokens_per_s);
  EXPECT_GT(rate("h200-141", Dtype::bfloat16).bandwidth_tokens_per_s,
            rate("h100-80", Dtype::bfloat16).bandwidth_tokens_per_s);
  EXPECT_GT(rate("h100-80", Dtype::int8).compute_tokens_per_s,
            rate("h100-80", Dtype::bfloat16).compute_tokens_per_s);
  EXPECT_GT(rate("h100-80", Dtype::bfloat16).compute_tokens_per_s,
            rate("h100-80", Dtype::float32).compute_tokens_per_s);
}

// Between no layer and all of them; traffic too, as what is not fp8 is 16 bits wide.
TEST(Rates, OfFp8AsManyLayersGainAsAreInIt) {
  const auto rate = [](model::Fp8Layers layers) {
    Load some = load(Dtype::fp8, 256);
    some.fp8_layers = std::move(layers);
    return rates_of(qwen3_embedding_4b(), some, card("h200-141"), 0).value();
  };
  const Rates none =
      rates_of(qwen3_embedding_4b(), load(Dtype::bfloat16, 256), card("h200-141"), 0).value();
  const Rates one = rate({{0}}), two = rate({{0, 5}}), all = rate({});
  for (const auto member : {&Rates::compute_tokens_per_s, &Rates::bandwidth_tokens_per_s}) {
    EXPECT_GT(one.*member, none.*member);
    EXPECT_GT(two.*member, one.*member);
    EXPECT_GT(all.*member, two.*member);
  }
}

TEST(Rates, WhatWasMeasuredReplacesTheLower) {
  const Load half = load(Dtype::bfloat16);
  const Rates guessed = rates_of(minilm(), half, card("l4"), 0).value();
  const Rates measured = rates_of(minilm(), half, card("l4"), 1'000).value();
  EXPECT_DOUBLE_EQ(std::min(measured.compute_tokens_per_s, measured.bandwidth_tokens_per_s), 1'000);
  EXPECT_NEAR(measured.compute_tokens_per_s / measured.bandwidth_tokens_per_s,
              guessed.compute_tokens_per_s / guessed.bandwidth_tokens_per_s, 1e-9);
}

TEST(Rates, OfExpertsOnlyTheChosenCount) {
  ModelFacts model = minilm();
  model.spec.experts = 8;
  model.spec.experts_chosen = 2;
  model.spec.expert_every = 2;
  model.parameters.products += 3ull * 7 * 2 * 384 * 1536;  // layers 1, 3 and 5
  model.parameters.blocks = model.parameters.products / model::kInt8Block;
  const Load half = load(Dtype::bfloat16);
  EXPECT_NEAR(rates_of(model, half, card("l4"), 0)->compute_tokens_per_s,
              121e12 * 0.4 / (2 * (10'764'288.0 + 3 * 2 * 384 * 1536) + 4.0 * 6 * 384 * 256), 1);
}

TEST(Rates, RefusedWhereNothingIsKnown) {
  const auto jetson = rates_of(minilm(), load(Dtype::bfloat16), card("jetson"), 0);
  ASSERT_FALSE(jetson.ok());
  EXPECT_NE(jetson.error().message.find("jetson"), std::string::npos);
  const auto fp8 = rates_of(minilm(), load(Dtype::fp8), card("a100-40"), 0);
  ASSERT_FALSE(fp8.ok());
  EXPECT_EQ(fp8.error().message,
            "model all-MiniLM-L6-v2: --dtype fp8 needs a card of compute capability 8.9 or later, "
            "and a100-40 has 8.0; --dtype bfloat16 computes on it");
  Load some = load(Dtype::fp8);
  some.fp8_layers = {0, 2};
  EXPECT_FALSE(rates_of(minilm(), some, card("a100-40"), 0).ok());
  EXPECT_TRUE(rates_of(minilm(), some, card("l4"), 0).ok());
}

}  // namespace
}  // namespace sheaf::planner
