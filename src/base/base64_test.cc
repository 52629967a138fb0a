#include "base/base64.h"

#include <gtest/gtest.h>

namespace sheaf {
namespace {

TEST(Base64, Rfc4648Vectors) {
  EXPECT_EQ(decode_base64(""), "");
  EXPECT_EQ(decode_base64("Zg=="), "f");
  EXPECT_EQ(decode_base64("Zm8="), "fo");
  EXPECT_EQ(decode_base64("Zm9v"), "foo");
  EXPECT_EQ(decode_base64("Zm9vYmFy"), "foobar");
  EXPECT_EQ(decode_base64("+/+/"), "\xfb\xff\xbf");
}

TEST(Base64, RefusesWhatItIsNot) {
  for (const char* text : {"Z", "Zg=", "Z===", "Zm9!", "Zm 9", "=Zm9"})
    EXPECT_FALSE(decode_base64(text).has_value()) << text;
}

}  // namespace
}  // namespace sheaf
