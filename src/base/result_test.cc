#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace sheaf {
namespace {

Result<std::unique_ptr<int>> half(int value) {
  if (value % 2 != 0)
    return Error{ErrorCode::invalid_argument, std::to_string(value) + " is odd", "value"};
  return std::make_unique<int>(value / 2);
}

Result<int> quarter(int value) {
  SHEAF_ASSIGN(const std::unique_ptr<int> first, half(value));
  SHEAF_ASSIGN(const std::unique_ptr<int> second, half(*first));
  return *second;
}

Status both_even(int a, int b) {
  SHEAF_TRY(quarter(a * 2));
  SHEAF_TRY(quarter(b * 2));
  return {};
}

TEST(Result, CarriesValuesThatOnlyMove) {
  auto result = half(8);
  ASSERT_TRUE(result.ok());
  const std::unique_ptr<int> value = std::move(result).value();
  EXPECT_EQ(*value, 4);
}

TEST(Result, TheFirstErrorLeavesTheFunction) {
  EXPECT_EQ(*quarter(12), 3);
  ASSERT_FALSE(quarter(6).ok());
  EXPECT_EQ(quarter(6).error().message, "3 is odd");
  EXPECT_EQ(quarter(6).error().param, "value");
  EXPECT_TRUE(both_even(2, 4).ok());
  EXPECT_EQ(both_even(2, 3).error().message, "3 is odd");
}

TEST(Error, HasANameForEveryCode) {
  EXPECT_EQ(name_of(ErrorCode::invalid_argument), "invalid_argument");
  EXPECT_EQ(name_of(ErrorCode::internal), "internal");
  EXPECT_EQ(errno_error("open", ENOENT).message, "open: No such file or directory");
}

}  // namespace
}  // namespace sheaf
