#include "kernels/profile.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "tensor/buffer.h"

namespace sheaf::kernels {
namespace {

// One call of an attention over texts of these lengths, as the profile counts it.
double flop_of(const AttentionShape& shape, const std::vector<std::uint32_t>& lengths) {
  Profile profile;
  const auto backend =
      make_profiled(std::move(*make_backend(backend_names().front(), {})), 1, profile);
  std::vector<std::uint32_t> bounds = {0};
  for (const std::uint32_t length : lengths) bounds.push_back(bounds.back() + length);
  std::vector<float> qkv(bounds.back() * shape.columns(), 0.5f);
  std::vector<float> out(bounds.back() * shape.heads * shape.head_size);
  backend->attention({qkv.data(), bounds.back(), shape.columns()}, bounds, shape,
                     {out.data(), bounds.back(), shape.heads * shape.head_size});
  const auto sums = profile.sums();
  EXPECT_EQ(sums.size(), 1u);
  EXPECT_EQ(sums.begin()->second.rows, bounds.back());
  return sums.begin()->second.flop;
}

TEST(Profile, CountsTheKeysThatQueriesSee) {
  for (const std::size_t before : {std::size_t{0}, std::size_t{3}, AttentionShape::kAll})
    for (const std::size_t after : {std::size_t{0}, std::size_t{2}, AttentionShape::kAll}) {
      const std::vector<std::uint32_t> lengths = {1, 2, 9};
      std::size_t pairs = 0;
      for (const std::size_t tokens : lengths)
        for (std::size_t query = 0; query < tokens; ++query)
          for (std::size_t key = 0; key < tokens; ++key)
            pairs += key <= query ? query - key <= before : key - query <= after;
      EXPECT_EQ(
          flop_of({.heads = 4, .kv_heads = 2, .head_size = 16, .before = before, .after = after},
                  lengths),
          4.0 * 4 * 16 * static_cast<double>(pairs))
          << before << " before, " << after << " after";
    }
}

TEST(Profile, TableFitsAScreenWithTheCostliestFirst) {
  Profile profile;
  profile.add({.operation = "normalize 384", .rows = 10, .bytes = 4e6, .wall_ns = 1'000'000});
  for (int i = 0; i < 3; ++i)
    profile.add({.operation = "linear 1234->12345 gelu + x",
                 .rows = 32'768,
                 .flop = 8e12,
                 .wall_ns = 100'000'000'000,
                 .busy_ns = 150'000'000'000,
                 .threads = 2});
  std::istringstream lines(profile.table("of process 1"));
  std::vector<std::string> got;
  for (std::string line; std::getline(lines, line);) got.push_back(line);
  const std::vector<std::string> want = {
      "of process 1",
      "operation                      calls    rows        ms  share          rate busy",
      "linear 1234->12345 gelu + x        3 32768.0 300000.00 100.0%  80.0 GFLOP/s  75%",
      "normalize 384                      1    10.0      1.00   0.0%      4.0 GB/s     ",
      "all                                          300001.00         80.0 GFLOP/s  75%"};
  EXPECT_EQ(got, want);
}

TEST(Profile, IsAskedForByTheEnvironment) {
  ::unsetenv("SHEAF_PROFILE");
  EXPECT_EQ(profile_if_asked(), nullptr);
  ::setenv("SHEAF_PROFILE", "0", 1);
  EXPECT_EQ(profile_if_asked(), nullptr);
  ::setenv("SHEAF_PROFILE", "1", 1);
  EXPECT_NE(profile_if_asked(), nullptr);
  ::unsetenv("SHEAF_PROFILE");
}

}  // namespace
}  // namespace sheaf::kernels
