#include "cli/top_view.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

namespace sheaf::cli {
namespace {

using slices::LoadSource;

TopReport report_of_cores() {
  TopReport report{.server = "127.0.0.1:8080", .cores = 4, .cores_load = 0.375, .ready = true};
  report.gpus = Error{ErrorCode::not_found, "NVML cannot be opened"};
  report.memory_bytes = 16ull << 30;
  report.memory_used_bytes = 5ull << 30;
  report.open_requests = 3;
  report.models = {{.name = "sentence-transformers/all-MiniLM-L6-v2",
                    .replicas = 2,
                    .replicas_ready = 1,
                    .queue_tokens = 1234,
                    .tokens_per_s = 45'200}};
  TopSlice& first = report.slices.emplace_back();
  first.sample.slice = "cores:0-1";
  first.sample.load = 0.985;
  first.sample.load_source = LoadSource::kernel;
  first.sample.memory_used_bytes = 312 << 20;
  first.tenants = {{.name = "0",
                    .model = "sentence-transformers/all-MiniLM-L6-v2",
                    .state = "ready",
                    .processes = {{7, 1 << 20}, {8, 2 << 20}},
                    .rate = ReplicaRate{45'200, 0.9}},
                   {.name = "1", .model = "org/m", .state = "starting", .restarts = 2}};
  report.slices.emplace_back().sample.slice = "cores:2-3";
  return report;
}

TopReport report_of_cards() {
  TopReport report = report_of_cores();
  report.gpus = {};
  report.slices.clear();
  slices::SliceSample& card = report.slices.emplace_back().sample;
  card.slice = "gpu:0";
  card.name = "NVIDIA H200";
  card.load = 0.97;
  card.load_source = LoadSource::gpm;
  card.memory_used_bytes = 120ull << 30;
  card.memory_bytes = 140ull << 30;
  card.temperature_c = 64;
  card.power_mw = 612'900;
  card.sm_clock_mhz = 1980;
  card.age_us = 0;
  report.slices[0].tenants = {{.name = "python3", .processes = {{123456, 3ull << 30}}}};
  return report;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::size_t columns_of(const std::string& line) {
  return static_cast<std::size_t>(std::ranges::count_if(
      line, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(TopView, ShowsSlicesAndWhatRunsThere) {
  const std::string text = text_of(report_of_cores(), 80, 24);
  EXPECT_TRUE(has(text, "4 cores 38 % busy  memory 5.0/16.0 GiB  no GPU")) << text;
  EXPECT_TRUE(has(text, "server 127.0.0.1:8080 is ready, open requests 3"));
  EXPECT_TRUE(has(text, "1 of 2 replicas ready, 45.2k tokens/s, 1.23k tokens waiting"));
  EXPECT_TRUE(has(text, "SLICE          LOAD     MEMORY  TOKENS/S  RUNS\n")) << text;
  EXPECT_TRUE(
      has(text, "cores:0-1  98 % cpu  312.0 MiB     45.2k  all-MiniLM-L6-v2 #0, 2 processes\n"))
      << text;
  EXPECT_TRUE(has(text, "m #1 starting, restarts 2\n"));
  EXPECT_TRUE(has(text, "cores:2-3\n"));
  EXPECT_FALSE(has(text, "°C"));
}

TEST(TopView, CardsHaveTheirOwnColumns) {
  const std::string text = text_of(report_of_cards(), 80, 24);
  EXPECT_TRUE(has(text, "gpu:0  97 % gpm  120.0/140.0 GiB  64  612")) << text;
  EXPECT_TRUE(has(text, "python3 123456, 3.0 GiB"));
  EXPECT_FALSE(has(text, "MHZ"));
  EXPECT_TRUE(has(text_of(report_of_cards(), 120, 24), "MHZ"));
  EXPECT_TRUE(has(text_of(report_of_cards(), 120, 24), " 1980 "));
}

TEST(TopView, IdleSlicesSayWhatTheyAre) {
  TopReport report = report_of_cards();
  report.slices[0].tenants.clear();
  slices::SliceSample mig{.slice = "mig:0/3", .gpu_instance = 3};
  mig.name = "NVIDIA H200 MIG 1g.18gb";
  report.slices.push_back({mig, {}});
  EXPECT_TRUE(has(text_of(report, 80, 24), "  NVIDIA H200\n"));
  EXPECT_TRUE(has(text_of(report, 80, 24), "  MIG 1g.18gb\n"));
  report.slices[0].sample.cut = true;
  EXPECT_TRUE(has(text_of(report, 80, 24), "  cut into MIG devices\n"));
}

TEST(TopView, SaysWhatIsWrong) {
  TopReport report = report_of_cards();
  slices::SliceSample& card = report.slices[0].sample;
  card.silent_us = 12 * kSecond;
  card.error = "GPU is lost";
  card.xids = {{31, 20}, {79, 1}};
  card.out_of_use = "in quarantine after Xid 79";
  report.server_silent = "cannot connect";
  const std::string text = text_of(report, 80, 24);
  EXPECT_TRUE(has(text, "! gpu:0 has not answered for 12 s\n")) << text;
  EXPECT_TRUE(has(text, "! gpu:0: GPU is lost\n"));
  EXPECT_TRUE(has(text, "! gpu:0 is in quarantine after Xid 79: no replica is put there\n"));
  EXPECT_TRUE(has(text, "! gpu:0: Xid 31 (20 times), 79\n"));
  EXPECT_TRUE(has(text, "no server: cannot connect\n"));
  EXPECT_FALSE(has(text_of(report_of_cards(), 80, 24), "!"));
  report.gpus = Error{ErrorCode::deadline_exceeded, "NVML has not answered yet"};
  EXPECT_TRUE(has(text_of(report, 80, 24), "! NVML has not answered yet\n"));
}

TEST(TopView, FitsTheWindow) {
  TopReport report = report_of_cards();
  report.models[0].name = std::string(200, 'm');
  report.slices[0].tenants[0].name = std::string(200, 'p') + "\033[31m";
  for (int i = 0; i < 60; ++i) report.slices.push_back(report.slices[0]);
  for (const std::size_t columns : {20, 60, 80, 130})
    for (const std::size_t rows : {1, 2, 10, 24, 40}) {
      const auto lines = lines_of(text_of(report, columns, rows));
      EXPECT_LE(lines.size(), rows);
      for (const std::string& line : lines) EXPECT_LE(columns_of(line), columns) << line;
    }
  const std::string cut = text_of(report, 80, 10);
  EXPECT_TRUE(has(cut, "… ")) << cut;
  EXPECT_TRUE(has(cut, " more lines\n"));
  EXPECT_FALSE(has(cut, "\033"));
}

TEST(TopView, FactsAreForPrograms) {
  const auto facts = facts_of(report_of_cores());
  EXPECT_EQ(facts["machine"]["cores"], 4);
  EXPECT_EQ(facts["server"]["models"][0]["tokens_per_s"], 45'200);
  EXPECT_EQ(facts["slices"][0]["slice"], "cores:0-1");
  EXPECT_EQ(facts["slices"][0]["load_source"], "kernel");
  const auto& replica = facts["slices"][0]["replicas"][0];
  EXPECT_EQ(replica["busy"], 0.9);
  EXPECT_EQ(replica["pid"], 7);
  EXPECT_EQ(replica["processes"][1]["pid"], 8);
  EXPECT_EQ(replica["memory_bytes"], 3 << 20);
  EXPECT_TRUE(facts["slices"][0]["replicas"][1]["busy"].is_null());
  EXPECT_EQ(facts_of(report_of_cards())["slices"][0]["processes"][0]["pid"], 123456);
}

}  // namespace
}  // namespace sheaf::cli
