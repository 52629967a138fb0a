#include "slices/slice_sample.h"

#include <gtest/gtest.h>

namespace sheaf::slices {
namespace {

TEST(SliceSampleTest, SharesBelongToWhatTheyAreCutFrom) {
  EXPECT_TRUE(is_slice_of("gpu:0", "gpu:0"));
  EXPECT_TRUE(is_slice_of("time:0#1", "gpu:0"));
  EXPECT_TRUE(is_slice_of("mps:0/3#0", "mig:0/3"));
  EXPECT_TRUE(is_slice_of("mig:0/3/1", "mig:0/3/1"));
  EXPECT_TRUE(is_slice_of("cores:0-1", "cores:0-1"));
  EXPECT_TRUE(is_slice_of("gpu:0,gpu:11", "gpu:0"));
  EXPECT_TRUE(is_slice_of("gpu:0,gpu:11", "gpu:11"));
  EXPECT_FALSE(is_slice_of("gpu:0,gpu:11", "gpu:1"));
  EXPECT_FALSE(is_slice_of("cores:0", "gpu:0"));
  EXPECT_FALSE(is_slice_of("gpu:1", "gpu:0"));
  EXPECT_FALSE(is_slice_of("gpu:10", "gpu:1"));
  EXPECT_FALSE(is_slice_of("mig:0/3", "gpu:0"));
  EXPECT_FALSE(is_slice_of("mig:0/3/1", "mig:0/3"));
  EXPECT_FALSE(is_slice_of("", "gpu:0"));
  EXPECT_FALSE(is_slice_of("", ""));
}

TEST(SliceSampleTest, SourcesHaveNamesThatComeBack) {
  for (const auto source : {LoadSource::none, LoadSource::gpm, LoadSource::nvml, LoadSource::kernel,
                            LoadSource::busy_time})
    EXPECT_EQ(parse_load_source(name_of(source)), source);
  EXPECT_FALSE(parse_load_source("dcgm"));
}

TEST(SliceSampleTest, ValuesAreFreshForSomeSeconds) {
  SliceSample sample;
  EXPECT_FALSE(sample.is_fresh());
  sample.age_us = 2 * kSecond;
  EXPECT_TRUE(sample.is_fresh());
  sample.error = "GPU is lost";
  EXPECT_FALSE(sample.is_fresh());
  sample.error.clear();
  sample.age_us = 6 * kSecond;
  EXPECT_FALSE(sample.is_fresh());
}

}  // namespace
}  // namespace sheaf::slices
