#include "cli/plan_cards.h"

#include <gtest/gtest.h>

namespace sheaf::cli {
namespace {

slices::Gpu card_here(unsigned index, std::string_view key) {
  slices::Gpu gpu;
  gpu.index = index;
  const slices::CardModel* card = slices::find_card(key);
  gpu.model = {std::shared_ptr<void>(), card};
  gpu.name = card->product;
  gpu.compute_capability_major = card->compute_capability_major;
  gpu.compute_capability_minor = card->compute_capability_minor;
  return gpu;
}

std::string no_cards_because(const slices::GpuInventory& inventory) {
  const auto cards = cards_here(inventory, /*fp8=*/false);
  return cards.ok() ? "ok" : cards.error().message;
}

TEST(PlanCards, VisibleCardsWithTheirOwnIndexes) {
  slices::GpuInventory inventory;
  for (const unsigned index : {0u, 1u, 3u}) inventory.gpus.push_back(card_here(index, "h200-141"));
  inventory.gpus[0].visible = false;
  const auto cards = cards_here(inventory, /*fp8=*/false);
  ASSERT_TRUE(cards.ok()) << cards.error().message;
  EXPECT_EQ(cards->model->key, "h200-141");
  EXPECT_EQ(cards->indexes, (std::vector<unsigned>{1, 3}));
  EXPECT_TRUE(cards->left_out.empty());
}

TEST(PlanCards, WhichAreLeftOutIsSaid) {
  slices::GpuInventory inventory{.gpus = {card_here(0, "a100-40"), card_here(1, "l4")}};
  inventory.gpus[1].model = nullptr;
  const auto cards = cards_here(inventory, /*fp8=*/false);
  ASSERT_TRUE(cards.ok()) << cards.error().message;
  EXPECT_EQ(cards->indexes, std::vector<unsigned>{0});
  EXPECT_EQ(cards->left_out,
            std::vector<std::string>{"GPU 1, NVIDIA L4, which has no MIG; --gpu describes it"});
}

TEST(PlanCards, WithoutFp8TheyAreLeftOutWhereItIsWanted) {
  slices::GpuInventory inventory{.gpus = {card_here(0, "a100-40"), card_here(1, "h200-141")}};
  EXPECT_NE(no_cards_because(inventory), "ok") << "of two kinds";
  const auto cards = cards_here(inventory, /*fp8=*/true);
  ASSERT_TRUE(cards.ok()) << cards.error().message;
  EXPECT_EQ(cards->indexes, std::vector<unsigned>{1});
  EXPECT_EQ(cards->left_out,
            std::vector<std::string>{"GPU 0, NVIDIA A100-SXM4-40GB, which has compute capability "
                                     "8.0, and fp8 needs 8.9; --gpu describes it"});
  inventory.gpus.pop_back();
  EXPECT_TRUE(cards_here(inventory, /*fp8=*/true).ok()) << "rates_of() says why it cannot";
}

// What is left out says nothing about the others: an L4 is planned for whole, as it would be alone.
TEST(PlanCards, ThoseThatAreLeftOutForFp8DoNotLeaveOutOthers) {
  slices::GpuInventory inventory{.gpus = {card_here(0, "a100-40"), card_here(1, "l4")}};
  inventory.gpus[0].compute_capability_major = 8;
  inventory.gpus[0].compute_capability_minor = 0;
  inventory.gpus[1].model = nullptr;
  inventory.gpus[1].pci_id = slices::find_card("l4")->pci_ids.front();
  inventory.gpus[1].compute_capability_major = 8;
  inventory.gpus[1].compute_capability_minor = 9;
  const auto cards = cards_here(inventory, /*fp8=*/true);
  ASSERT_TRUE(cards.ok()) << cards.error().message;
  EXPECT_EQ(cards->model->key, "l4");
  EXPECT_EQ(cards->indexes, std::vector<unsigned>{1});
}

TEST(PlanCards, WithoutMigTheyArePlannedForWhole) {
  slices::GpuInventory inventory{.gpus = {card_here(0, "l4")}};
  inventory.gpus[0].model = nullptr;
  EXPECT_NE(no_cards_because(inventory), "ok");
  inventory.gpus[0].pci_id = slices::find_card("l4")->pci_ids.front();
  const auto cards = cards_here(inventory, /*fp8=*/false);
  ASSERT_TRUE(cards.ok()) << cards.error().message;
  EXPECT_EQ(cards->model->key, "l4");
}

TEST(PlanCards, NoneOrSeveralKindsAreRefused) {
  slices::GpuInventory inventory;
  EXPECT_NE(no_cards_because(inventory).find("--gpu h200"), std::string::npos);
  inventory.gpus = {card_here(0, "h200-141"), card_here(1, "l4"), card_here(2, "l4")};
  EXPECT_NE(no_cards_because(inventory).find("1 × NVIDIA H200, 2 × NVIDIA L4"), std::string::npos)
      << no_cards_because(inventory);
  inventory.gpus[0].visible = false;
  EXPECT_EQ(no_cards_because(inventory), "ok");
  inventory.gpus[1].model = nullptr;
  inventory.gpus[2].model = nullptr;
  EXPECT_NE(no_cards_because(inventory), "ok");
}

TEST(PlanCards, DescribedOnesAreCountedFromZero) {
  const auto cards = described_cards("h200", 3);
  ASSERT_TRUE(cards.ok());
  EXPECT_EQ(cards->indexes, (std::vector<unsigned>{0, 1, 2}));
  EXPECT_FALSE(described_cards("24GiB", 1).ok());
  EXPECT_FALSE(described_cards("h200/1g.18gb", 1).ok());
}

}  // namespace
}  // namespace sheaf::cli
