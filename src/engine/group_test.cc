#include "engine/group.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "kernels/ops.h"

namespace sheaf::engine {
namespace {

// On this processor's backends, which gain nothing by it, and where tests have a card, on that.
class GroupTest : public testing::Test {
 protected:
  // Texts of these lengths, of ids 1, 2, ...
  void take(const std::vector<std::uint32_t>& lengths, const kernels::Backend& ops,
            const ItemOptions& asked = {}) {
    ids_.clear();
    cu_seqlens_.assign(1, 0);
    for (const std::uint32_t length : lengths) cu_seqlens_.push_back(cu_seqlens_.back() + length);
    for (std::uint32_t i = 0; i < cu_seqlens_.back(); ++i)
      ids_.push_back(static_cast<std::int32_t>(i + 1));
    options_.assign(lengths.size(), asked);
    group_.take({ids_, cu_seqlens_, options_}, 0, lengths.size(), ops);
  }
  std::vector<std::uint32_t> random_lengths(std::size_t texts, std::uint32_t longest) {
    std::vector<std::uint32_t> lengths(texts);
    for (auto& length : lengths)
      length = std::uniform_int_distribution<std::uint32_t>(1, longest)(random_);
    return lengths;
  }
  std::size_t rows() const { return group_.texts().ids.size(); }
  std::vector<std::uint32_t> shape() const {
    return {group_.shape().begin(), group_.shape().end()};
  }

  template <class Body>
  void on_each_backend(Body body) {
    for (const tensor::Dtype dtype : {tensor::Dtype::float32, tensor::Dtype::bfloat16})
      for (const std::string& name : kernels::backend_names(dtype)) {
        SCOPED_TRACE(name);
        const auto ops = kernels::make_backend(name, {});
        ASSERT_TRUE(ops.ok()) << ops.error().message;
        body(**ops, name.find("cuda") != std::string::npos);
      }
  }

  model::ModelSpec spec_{.hidden_size = 8, .type_vocab_size = 2, .positions = 512, .dimensions = 8};
  Group group_{spec_};
  std::vector<std::int32_t> ids_;
  std::vector<std::uint32_t> cu_seqlens_;
  std::vector<ItemOptions> options_;
  std::mt19937 random_{7};
  std::uint32_t longest_ = 100;  // so far
};

TEST_F(GroupTest, HasWhatWasAskedForFirst) {
  on_each_backend([&](const kernels::Backend& ops, bool) {
    for (const std::size_t texts : {1, 2, 7, 8, 9, 300}) {
      take(random_lengths(texts, 100), ops, {.normalize = false, .dimensions = 3, .second_at = 1});
      ASSERT_EQ(group_.asked(), texts);
      const kernels::Texts got = group_.texts();
      EXPECT_TRUE(std::ranges::equal(got.ids.first(ids_.size()), ids_));
      EXPECT_TRUE(std::ranges::equal(got.cu_seqlens.first(texts + 1), cu_seqlens_));
      for (std::size_t i = 0; i < texts; ++i) {
        EXPECT_EQ(got.second_at[i], 1u);
        EXPECT_EQ(group_.items()[i].dimensions, 3u);
        EXPECT_FALSE(group_.items()[i].normalize);
      }
    }
  });
}

TEST_F(GroupTest, IsFilledUpOnCardsAlone) {
  on_each_backend([&](const kernels::Backend& ops, bool card) {
    for (int round = 0; round < 100; ++round) {
      const std::size_t texts = 1 + random_() % 400;
      take(random_lengths(texts, 1 + random_() % 200), ops);
      const kernels::Texts got = group_.texts();
      ASSERT_EQ(got.cu_seqlens.size(), group_.size() + 1);
      ASSERT_EQ(got.cu_seqlens.back(), rows());
      if (!card) {
        EXPECT_EQ(group_.size(), texts);
        continue;
      }
      for (std::size_t i = texts; i < group_.size(); ++i) {
        const std::uint32_t tokens = got.cu_seqlens[i + 1] - got.cu_seqlens[i];
        EXPECT_GE(tokens, 1u);
        EXPECT_LE(tokens, 32u);
      }
      EXPECT_EQ(rows() % 32, 0u);
      if (ids_.size() > 2048) {
        EXPECT_LE(rows() * 100, ids_.size() * 102) << ids_.size();
      }
      if (rows() - ids_.size() >= 8) {
        EXPECT_EQ(group_.size() % 8, 0u);
      }
    }
  });
}

// So that memory which is counted for the largest batch will do for others.
TEST_F(GroupTest, HasNoFewerRowsForMoreTokens) {
  on_each_backend([&](const kernels::Backend& ops, bool) {
    std::size_t before = 0;
    for (std::uint32_t tokens = 1; tokens < 9000; tokens += 1 + random_() % 150) {
      take({tokens}, ops);
      EXPECT_GE(rows(), before) << tokens;
      before = rows();
      take(std::vector<std::uint32_t>(tokens, 1), ops);
      EXPECT_EQ(rows(), before) << tokens;
    }
  });
}

// A full block of rows stays one: the next would be for a few rows.
TEST_F(GroupTest, DoesNotPassABlockOfRows) {
  on_each_backend([&](const kernels::Backend& ops, bool) {
    const auto block = static_cast<std::uint32_t>(ops.preferred_rows(spec_.hidden_size));
    for (const std::uint32_t tokens : {block - 1, block, 2 * block - 5, 2 * block}) {
      take({tokens / 2, tokens - tokens / 2}, ops);
      EXPECT_LE(rows(), (tokens + block - 1) / block * block);
    }
  });
}

TEST_F(GroupTest, OfOtherTextsMayHaveTheSameShape) {
  on_each_backend([&](const kernels::Backend& ops, bool card) {
    take({++longest_}, ops);
    take({40, 50, 60}, ops);
    const auto first = shape();
    EXPECT_EQ(first.empty(), !card) << "of many texts nothing else is known";
    take({70, 31, 50}, ops);
    EXPECT_EQ(shape(), first);
    take({40, 50, 60, 100}, ops);
    EXPECT_EQ(shape() == first, !card);
    take({++longest_}, ops);
    take({40, 50, 60}, ops);
    EXPECT_EQ(shape() == first, !card) << "tables reach farther now";
    take({40, 50, 60}, ops, {.output = model::Output::sparse});
    EXPECT_TRUE(shape().empty());
    EXPECT_EQ(group_.size(), 3u);
    take({40}, ops, {.output = model::Output::sparse});
    EXPECT_EQ(shape().front(), 40u);
  });
}

// Whose texts are pooled one by one.
TEST_F(GroupTest, IsLeftAloneWherePromptsAreNotPooled) {
  spec_.pools_prompt = false;
  on_each_backend([&](const kernels::Backend& ops, bool) {
    take({40, 50}, ops, {.second_at = 5});
    EXPECT_EQ(group_.size(), 2u);
    EXPECT_EQ(group_.pooled_from(1), 45u);
    EXPECT_EQ(group_.texts().second_at[1], 0u);
    take({40}, ops, {.second_at = 5});
    const auto first = shape();
    take({40}, ops, {.second_at = 6});
    EXPECT_NE(shape(), first);
  });
}

}  // namespace
}  // namespace sheaf::engine
