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

TEST(LogTest, FieldsStandBesideTheMessageInJson) {
  const LogField fields[] = {
      {"request_id", "a\"b"}, {"texts", std::uint64_t{3}}, {"total_ms", 1.5}};
  set_log_options({.json = true});
  testing::internal::CaptureStderr();
  write_log(LogLevel::warn, "said", fields);
  const std::string line = testing::internal::GetCapturedStderr();
  set_log_options({});
  EXPECT_NE(line.find("\"level\":\"warn\",\"message\":\"said\",\"request_id\":\"a\\\"b\","
                      "\"texts\":3,\"total_ms\":1.500}\n"),
            std::string::npos)
      << line;
}

}  // namespace
}  // namespace sheaf
