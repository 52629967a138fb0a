#include "base/log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace sheaf {
namespace {

std::string logged(std::string_view message) {
  testing::internal::CaptureStderr();
  write_log(LogLevel::info, message);
  return testing::internal::GetCapturedStderr();
}

TEST(LogTest, AMessageIsOneLineOfBoundedLength) {
  const std::string line = logged("model \"a\nb\r\x1b[31m\" is not served");
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  EXPECT_NE(line.find("model \"a b  [31m\" is not served\n"), std::string::npos) << line;
  EXPECT_LT(logged(std::string(1 << 20, 'x')).size(), 5'000u);
}

}  // namespace
}  // namespace sheaf
