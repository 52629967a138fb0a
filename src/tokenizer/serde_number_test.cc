#include "tokenizer/serde_number.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace sheaf::tokenizer {
namespace {

TEST(SerdeNumber, LeavesShortNumbersAlone) {
  for (const double value : {0.0, -0.0, 1.0, -10.5, 0.1, 1e22, -123456.789, 5e-5})
    EXPECT_EQ(as_serde_reads_it(value), value);
  EXPECT_TRUE(std::signbit(as_serde_reads_it(-0.0)));
}

// Written back by tokenizers 0.23.3 after it read the left one.
TEST(SerdeNumber, RoundsTwiceAsSerdeDoes) {
  EXPECT_EQ(as_serde_reads_it(-15.774467468261719), -15.77446746826172);
  EXPECT_EQ(as_serde_reads_it(-1.8771917819976807), -1.8771917819976809);
  EXPECT_EQ(as_serde_reads_it(-18.728811264038086), -18.72881126403809);
  EXPECT_EQ(as_serde_reads_it(-13.406111717224121), -13.40611171722412);
  EXPECT_EQ(as_serde_reads_it(-3.2046285950281606), -3.204628595028161);
  EXPECT_EQ(as_serde_reads_it(-12.856424874599497), -12.856424874599496);
  EXPECT_EQ(as_serde_reads_it(-1.8947525442607582), -1.8947525442607585);
  EXPECT_EQ(as_serde_reads_it(-15.280867697105613), -15.280867697105611);
}

TEST(SerdeNumber, SurvivesTheEnds) {
  using Limits = std::numeric_limits<double>;
  for (const double value : {Limits::max(), Limits::lowest(), Limits::min(), Limits::denorm_min()})
    EXPECT_NEAR(as_serde_reads_it(value) / value, 1, 1e-15) << value;
}

}  // namespace
}  // namespace sheaf::tokenizer
