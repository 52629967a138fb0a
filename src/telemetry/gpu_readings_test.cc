#include "telemetry/gpu_readings.h"

#include <gtest/gtest.h>

#include <string>

#include "telemetry/metrics.h"

namespace sheaf::telemetry {
namespace {

using slices::LoadSource;
using slices::SliceSample;
using slices::XidReaction;

constexpr const char* kCard = "index=\"1\",uuid=\"GPU-1\",slice=\"gpu:1\"";
constexpr const char* kMig = "index=\"1\",uuid=\"MIG-3\",slice=\"mig:1/3\"";

bool says(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}
std::string labelled(const char* name, const std::string& labels, const char* value) {
  return std::string(name) + "{" + labels + "} " + value;
}

GpuReadings two_slices() {
  SliceSample card{.slice = "gpu:1", .gpu = 1, .uuid = "GPU-1"};
  card.load = 0.5;
  card.load_source = LoadSource::nvml;
  card.memory_used_bytes = 1024;
  card.memory_bytes = 4096;
  card.temperature_c = 54;
  card.power_mw = 412'500;
  card.power_limit_mw = 700'000;
  card.sm_clock_mhz = 1980;
  card.memory_clock_mhz = 2619;
  card.xids = {{31, 20}, {79, 1}};
  card.age_us = 1'500'000;
  SliceSample mig{.slice = "mig:1/3", .gpu = 1, .gpu_instance = 3, .uuid = "MIG-3"};
  mig.load = 0.25;
  mig.load_source = LoadSource::gpm;
  mig.multiprocessor_load = 0.125;
  mig.memory_load = 0.75;
  mig.age_us = 1'500'000;
  GpuReadings readings{.samples = {card, mig}, .reactions = {}};
  readings.reactions[{1, XidReaction::restart_replica}] = 1;
  readings.reactions[{1, XidReaction::quarantine_card}] = 1;
  return readings;
}

std::string text_of(const GpuReadings& readings) {
  Metrics metrics;
  metrics.set_gpu_reader([&] { return readings; });
  return metrics.render();
}

TEST(GpuReadingsTest, CardsAndSlicesAreGauges) {
  const std::string text = text_of(two_slices());
  const std::string card = kCard, mig = kMig;
  EXPECT_TRUE(says(text, labelled("sheaf_gpu_load_ratio", card + ",source=\"nvml\"", "0.5")))
      << text;
  EXPECT_TRUE(says(text, labelled("sheaf_gpu_load_ratio", mig + ",source=\"gpm\"", "0.25")));
  EXPECT_TRUE(says(text, labelled("sheaf_gpu_multiprocessor_load_ratio", mig, "0.125")));
  EXPECT_TRUE(says(text, labelled("sheaf_gpu_memory_bandwidth_ratio", mig, "0.75")));
  EXPECT_TRUE(says(text, labelled("sheaf_gpu_memory_used_bytes", card, "1024")));
  EXPECT_TRUE(says(text, labelled("sheaf_gpu_memory_bytes", card, "4096")));
  EXPECT_TRUE(says(text, labelled("sheaf_gpu_temperature_celsius", card, "54")));
  EXPECT_TRUE(says(text, labelled("sheaf_gpu_power_watts", card, "412.5")));
  EXPECT_TRUE(says(text, labelled("sheaf_gpu_power_limit_watts", card, "700")));
  EXPECT_TRUE(says(text, labelled("sheaf_gpu_sm_clock_hertz", card, "1980000000")));
  EXPECT_TRUE(says(text, labelled("sheaf_gpu_sample_age_seconds", mig, "1.5")));
  EXPECT_TRUE(says(text, labelled("sheaf_gpu_silent_seconds", card, "0")));
  EXPECT_EQ(text.find("sheaf_gpu_temperature_celsius{" + mig), std::string::npos);
}

TEST(GpuReadingsTest, XidsAndReactionsAreCounters) {
  const std::string text = text_of(two_slices());
  const std::string card = kCard;
  EXPECT_TRUE(says(text, "# TYPE sheaf_gpu_xids_total counter")) << text;
  EXPECT_TRUE(says(text, labelled("sheaf_gpu_xids_total", card + ",xid=\"31\"", "20")));
  EXPECT_TRUE(says(text, labelled("sheaf_gpu_xids_total", card + ",xid=\"79\"", "1")));
  EXPECT_TRUE(says(text, labelled("sheaf_gpu_xid_reactions_total",
                                  card + ",reaction=\"quarantine_card\"", "1")));
}

TEST(GpuReadingsTest, ACardThatDoesNotAnswerHasNoGaugesButItsSilence) {
  GpuReadings readings = two_slices();
  readings.samples[0].age_us = 60 * kSecond;
  readings.samples[0].silent_us = 59 * kSecond;
  readings.samples[1].error = "GPU is lost";
  const std::string text = text_of(readings);
  EXPECT_EQ(text.find("sheaf_gpu_load_ratio"), std::string::npos) << text;
  EXPECT_EQ(text.find("sheaf_gpu_memory_bytes"), std::string::npos);
  EXPECT_TRUE(says(text, labelled("sheaf_gpu_silent_seconds", kCard, "59")));
  EXPECT_TRUE(says(text, labelled("sheaf_gpu_sample_age_seconds", kCard, "60")));
  EXPECT_NE(text.find("sheaf_gpu_xids_total{"), std::string::npos);
}

TEST(GpuReadingsTest, MachinesWithoutCardsShowNone) {
  EXPECT_EQ(Metrics().render().find("sheaf_gpu_"), std::string::npos);
  EXPECT_EQ(text_of({}).find("sheaf_gpu_"), std::string::npos);
}

}  // namespace
}  // namespace sheaf::telemetry
