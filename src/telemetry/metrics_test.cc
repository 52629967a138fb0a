#include "telemetry/metrics.h"

#include <gtest/gtest.h>

#include <thread>

namespace sheaf::telemetry {
namespace {

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

TEST(MetricsTest, CountsRequestsByMethodAndReason) {
  Metrics metrics;
  metrics.request_started(Metrics::Method::single);
  metrics.request_started(Metrics::Method::batch);
  metrics.request_started(Metrics::Method::batch);
  metrics.request_succeeded(Metrics::Method::batch, 2'000, 10, 20, 1'500);
  metrics.request_failed("validation");
  metrics.request_failed("validation");
  const std::string text = metrics.render();
  EXPECT_TRUE(has_line(text, "te_request_count{method=\"single\"} 1")) << text;
  EXPECT_TRUE(has_line(text, "te_request_count{method=\"batch\"} 2"));
  EXPECT_TRUE(has_line(text, "te_request_success{method=\"batch\"} 1"));
  EXPECT_TRUE(has_line(text, "te_request_failure{err=\"validation\"} 2"));
  EXPECT_TRUE(has_line(text, "te_embed_count 3"));
  EXPECT_TRUE(has_line(text, "te_embed_success 1"));
}

TEST(MetricsTest, HistogramsHaveTeisBuckets) {
  Metrics metrics;
  metrics.request_succeeded(Metrics::Method::single, 20, 0, 0, 10);  // 20 µs: second bucket
  metrics.input_length(5);
  metrics.batch_sent(3, 100);
  const std::string text = metrics.render();
  EXPECT_TRUE(has_line(text, "te_request_duration_bucket{le=\"1.5e-05\"} 0")) << text;
  EXPECT_TRUE(has_line(text, "te_request_duration_bucket{le=\"2.25e-05\"} 1"));
  EXPECT_TRUE(has_line(text, "te_request_inference_duration_bucket{le=\"1.5e-05\"} 1"));
  EXPECT_TRUE(has_line(text, "te_embed_duration_count 1"));
  EXPECT_TRUE(has_line(text, "te_request_input_length_bucket{le=\"4\"} 0"));
  EXPECT_TRUE(has_line(text, "te_request_input_length_bucket{le=\"8\"} 1"));
  EXPECT_TRUE(has_line(text, "te_batch_next_size_sum 3"));
  EXPECT_TRUE(has_line(text, "te_batch_next_tokens_sum 100"));
}

TEST(MetricsTest, ReadsReplicasAndQueuesAtScrape) {
  Metrics metrics;
  metrics.set_reader([] {
    Readings readings;
    readings.models = {{"m", 2, 300, 1'000'000}};
    readings.replicas = {{"0", "cores:0-1", "m", "ready", 4, 128, 10, 2'000, 1.5, 9'000}};
    return readings;
  });
  const std::string text = metrics.render();
  const std::string labels = "model=\"m\",replica=\"0\",slice=\"cores:0-1\"";
  EXPECT_TRUE(has_line(text, "te_queue_size 2")) << text;
  EXPECT_TRUE(has_line(text, "sheaf_queue_tokens{model=\"m\"} 300"));
  EXPECT_TRUE(has_line(text, "sheaf_queue_tokens_max{model=\"m\"} 1000000"));
  EXPECT_TRUE(has_line(text, "sheaf_replica_state{" + labels + ",state=\"ready\"} 1"));
  EXPECT_TRUE(has_line(text, "sheaf_replica_restarts_total{" + labels + "} 4"));
  EXPECT_TRUE(has_line(text, "sheaf_replica_queue_tokens{" + labels + "} 128"));
  EXPECT_TRUE(has_line(text, "sheaf_replica_batch_tokens_total{" + labels + "} 2000"));
  EXPECT_TRUE(has_line(text, "sheaf_replica_busy_seconds_total{" + labels + "} 1.5"));
}

TEST(MetricsTest, ThreadsMayRecordTogether) {
  Metrics metrics;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        metrics.request_started(Metrics::Method::single);
        metrics.request_failed("dropped");
      }
    });
  }
  for (int i = 0; i < 20; ++i) metrics.render();
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(has_line(metrics.render(), "te_request_failure{err=\"dropped\"} 2000"));
}

}  // namespace
}  // namespace sheaf::telemetry
