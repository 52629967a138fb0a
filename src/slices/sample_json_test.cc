#include "slices/sample_json.h"

#include <gtest/gtest.h>

namespace sheaf::slices {
namespace {

using nlohmann::json;

SliceSample full_sample() {
  SliceSample sample{.slice = "mig:1/3", .gpu = 1, .gpu_instance = 3, .compute_instance = 0};
  sample.name = "NVIDIA H200 MIG 1g.18gb";
  sample.uuid = "MIG-1";
  sample.load_source = LoadSource::gpm;
  sample.load = 0.5;
  sample.multiprocessor_load = 0.25;
  sample.memory_load = 0.125;
  sample.memory_used_bytes = 5'000'000'000;
  sample.memory_bytes = 18'000'000'000;
  sample.temperature_c = 54;
  sample.power_mw = 412'500;
  sample.power_limit_mw = 700'000;
  sample.sm_clock_mhz = 1980;
  sample.memory_clock_mhz = 3201;
  sample.processes = {{.pid = 77, .name = "python", .bytes = 1 << 30}};
  sample.xids = {{31, 2}, {79, 1}};
  sample.out_of_use = "drained after Xid 48";
  sample.age_us = 1'500'000;
  sample.silent_us = 250'000;
  sample.error = "GPU is lost";
  return sample;
}

json read_back(const SliceSample& sample) { return json::parse(facts_of(sample).dump()); }

TEST(SampleJson, ComesBackAsItWas) {
  const SliceSample before = full_sample();
  const auto after = sample_of(read_back(before));
  ASSERT_TRUE(after.ok()) << after.error().message;
  EXPECT_EQ(facts_of(*after), facts_of(before));
  EXPECT_EQ(after->power_mw, 412'500u);
  EXPECT_EQ(after->age_us, 1'500'000);
  EXPECT_EQ(after->xids, before.xids);
  EXPECT_EQ(after->out_of_use, before.out_of_use);
  EXPECT_EQ(after->processes.at(0).pid, 77u);
  EXPECT_EQ(after->load_source, LoadSource::gpm);
}

TEST(SampleJson, WhatIsNotKnownIsNullAndComesBackUnknown) {
  const SliceSample before{.slice = "gpu:0"};
  const json facts = read_back(before);
  EXPECT_TRUE(facts["load"].is_null());
  EXPECT_TRUE(facts["age_s"].is_null());
  EXPECT_EQ(facts["load_source"], "none");
  const auto after = sample_of(facts);
  ASSERT_TRUE(after.ok());
  EXPECT_FALSE(after->load);
  EXPECT_FALSE(after->age_us);
  EXPECT_TRUE(sample_of(json::object()).ok());
}

TEST(SampleJson, EachFieldOfAnotherKindIsRefusedByName) {
  const json good = read_back(full_sample());
  for (const auto& [name, value] : good.items()) {
    json bad = good;
    bad[name] = json::array({json::array()});
    const auto sample = sample_of(bad);
    ASSERT_FALSE(sample.ok()) << name;
    EXPECT_EQ(sample.error().code, ErrorCode::corrupt);
    EXPECT_NE(sample.error().message.find("'" + name + "'"), std::string::npos)
        << sample.error().message;
  }
}

TEST(SampleJson, NumbersOutOfBoundsAreRefused) {
  const std::pair<const char*, json> wrong[] = {{"load", 1.5},
                                                {"load", -0.1},
                                                {"gpu", -1},
                                                {"gpu", 1ull << 40},
                                                {"power_w", -3},
                                                {"power_w", 1e12},
                                                {"age_s", 1e300},
                                                {"load_source", "me"},
                                                {"xids", {{"x", 1}}},
                                                {"xids", {{"", 1}}},
                                                {"processes", {{{"name", "no pid"}}}}};
  for (const auto& [name, value] : wrong) {
    json facts = read_back(full_sample());
    facts[name] = value;
    EXPECT_FALSE(sample_of(facts).ok()) << name << ": " << value;
  }
  EXPECT_FALSE(sample_of(json::array()).ok());
  EXPECT_FALSE(sample_of(json()).ok());
}

}  // namespace
}  // namespace sheaf::slices
